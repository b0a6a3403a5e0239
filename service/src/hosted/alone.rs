//! How requests come to networks that are no task of the engine: to most of them one at a time, with all threads of the
//! network for it ([`Alone`]), to those that see to it themselves all that wait ([`Beside`]).

use super::refuse;
use crate::failure::chain;
use escala_models::Compute;
use escala_pipelines::{Error, Kind};
use escala_sagemaker::served::{About, Asked, GivenUp, Said, Served, Unanswered};
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

    /// What it is asked about.
    fn about(&self) -> About {
        About::Texts
    }

    /// Bytes of memory that it holds, about.
    fn memory(&self) -> u64;
}

/// What answers several requests at once.
pub trait AnswersAll: Send + Sync + 'static {
    /// As [`Answers::answer`], while others are answered.
    ///
    /// # Errors
    /// As there.
    fn answer(&self, asked: &Asked) -> Result<Said, Unanswered>;

    /// Bytes of memory that it holds, about.
    fn memory(&self) -> u64;
}

/// Those who wait for a model.
struct Line(Semaphore);

impl Line {
    fn new() -> Self {
        Self(Semaphore::new(WAITING))
    }

    /// Lets a request be answered, on a thread of its own, by what is `ready` for it.
    async fn ask<R: Send + 'static>(
        &self,
        mut asked: Asked,
        ready: impl Future<Output = R>,
        answer: impl FnOnce(R, &Asked) -> Result<Said, Unanswered> + Send + 'static,
    ) -> Result<Said, Unanswered> {
        let Ok(_place) = self.0.try_acquire() else {
            return Err(refuse(503, "too many requests wait for this model"));
        };
        // Whoever gives up while it waits leaves nothing behind; later the model is told.
        asked.given_up = GivenUp::default();
        let _given_up = asked.given_up.on_drop();
        let ready = ready.await;
        let answered = tokio::task::spawn_blocking(move || answer(ready, &asked));
        answered.await.map_err(|error| {
            tracing::error!(%error, "a hosted model broke off");
            broke_off()
        })?
    }
}

/// A model that answers one request after the other.
pub struct Alone<A> {
    inner: Arc<Mutex<(A, Compute)>>,
    memory: u64,
    about: About,
    line: Line,
}

impl<A: Answers> Alone<A> {
    /// The model, with the threads that it has.
    pub fn new(model: A, compute: Compute) -> Self {
        Self {
            memory: model.memory(),
            about: model.about(),
            inner: Arc::new(Mutex::new((model, compute))),
            line: Line::new(),
        }
    }
}

impl<A: Answers> Served for Alone<A> {
    fn about(&self) -> About {
        self.about
    }

    fn invoke(&self, asked: Asked) -> BoxFuture<'_, Result<Said, Unanswered>> {
        let ready = Arc::clone(&self.inner).lock_owned();
        Box::pin(self.line.ask(asked, ready, |mut inner, asked| {
            let (model, compute) = &mut *inner;
            model.answer(compute, asked)
        }))
    }

    fn memory(&self) -> u64 {
        self.memory
    }
}

/// A model that answers several requests at once.
pub struct Beside<A> {
    model: Arc<A>,
    line: Line,
}

impl<A: AnswersAll> Beside<A> {
    /// The model.
    pub fn new(model: A) -> Self {
        Self {
            model: Arc::new(model),
            line: Line::new(),
        }
    }
}

impl<A: AnswersAll> Served for Beside<A> {
    fn about(&self) -> About {
        About::Texts
    }

    fn invoke(&self, asked: Asked) -> BoxFuture<'_, Result<Said, Unanswered>> {
        let ready = std::future::ready(Arc::clone(&self.model));
        Box::pin(
            self.line
                .ask(asked, ready, |model, asked| model.answer(asked)),
        )
    }

    fn memory(&self) -> u64 {
        self.model.memory()
    }
}

/// Goes on only while somebody waits for the answer: between pieces of work, so that no model is busy for nobody.
///
/// # Errors
/// Nobody does.
pub fn wanted(asked: &Asked) -> Result<(), Unanswered> {
    match asked.given_up.is_so() {
        true => Err(refuse(503, "nobody waits for the answer")),
        false => Ok(()),
    }
}

/// What a caller is told of a model that panicked.
pub fn broke_off() -> Unanswered {
    refuse(500, "the model broke off; the server's log says why")
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
