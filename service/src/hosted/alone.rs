//! Models that answer one request at a time, with all threads of theirs for it: networks that are no task of the engine.

use super::refuse;
use crate::failure::chain;
use escala_models::Compute;
use escala_pipelines::{Error, Kind};
use escala_sagemaker::served::{Asked, GivenUp, Said, Served, Unanswered};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore};

/// Requests of a model that wait for it; more are refused.
const WAITING: usize = 64;

/// What answers.
pub trait Answers: Send + 'static {
    /// Answers a request; called on a thread that may be busy for long.
    ///
    /// # Errors
    /// What a container would have answered.
    fn answer(&mut self, compute: &Compute, asked: &Asked) -> Result<Said, Unanswered>;

    /// Bytes of memory that it holds, about.
    fn memory(&self) -> u64;
}

/// A model that answers one request after the other.
pub struct Alone<A> {
    inner: Arc<Mutex<(A, Compute)>>,
    memory: u64,
    places: Semaphore,
}

impl<A: Answers> Alone<A> {
    /// The model, with the threads that it has.
    pub fn new(model: A, compute: Compute) -> Self {
        Self {
            memory: model.memory(),
            inner: Arc::new(Mutex::new((model, compute))),
            places: Semaphore::new(WAITING),
        }
    }

    async fn ask(&self, mut asked: Asked) -> Result<Said, Unanswered> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(refuse(503, "too many requests wait for this model"));
        };
        // Whoever gives up while it waits leaves nothing behind; later the model is told.
        asked.given_up = GivenUp::default();
        let _given_up = asked.given_up.on_drop();
        let mut inner = Arc::clone(&self.inner).lock_owned().await;
        let answered = tokio::task::spawn_blocking(move || {
            let (model, compute) = &mut *inner;
            model.answer(compute, &asked)
        });
        answered.await.map_err(|error| {
            tracing::error!(%error, "a hosted model broke off");
            refuse(500, "the model broke off; the server's log says why")
        })?
    }
}

impl<A: Answers> Served for Alone<A> {
    fn invoke(&self, asked: Asked) -> BoxFuture<'_, Result<Said, Unanswered>> {
        Box::pin(self.ask(asked))
    }

    fn memory(&self) -> u64 {
        self.memory
    }
}

/// A network failed: its log says why, the caller only that it did.
pub fn broke(error: &dyn std::error::Error) -> Unanswered {
    tracing::error!(error = chain(error), "a hosted model failed");
    refuse(500, "the model failed; the server's log says why")
}

/// What is wrong with an input, or with the model.
pub fn told(error: &Error) -> Unanswered {
    match error.kind() {
        Kind::Internal => broke(error),
        _ => refuse(400, error.message()),
    }
}
