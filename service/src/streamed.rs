//! Endpoints that are asked for an answer in parts, for every door that sends parts on: each as it comes, with what
//! belongs around it there.

use axum::body::Bytes;
use escala_sagemaker::invoke::{Answered, Invocation, InvokeError};
use escala_sagemaker::served::{Asked, Parts};
use escala_sagemaker::{Caller, SageMaker};
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// An answer that begins.
pub enum Begun {
    /// It came whole.
    Whole(Answered),
    /// It comes in parts.
    Parts {
        /// What they are.
        content_type: String,
        /// The variant that answers.
        variant: String,
        /// They themselves.
        parts: Coming,
    },
}

/// The parts of an answer that is on its way. Whoever drops them takes the question along.
pub struct Coming {
    first: Option<Bytes>,
    receiver: mpsc::Receiver<Bytes>,
    answering: JoinSet<Result<Answered, InvokeError>>,
}

/// Asks an endpoint, and waits for the answer or its first part.
///
/// # Errors
/// Why there is no answer.
pub async fn begin(
    sagemaker: Arc<SageMaker>,
    caller: Caller,
    name: String,
    mut asked: Asked,
    invocation: Invocation,
) -> Result<Begun, InvokeError> {
    let (parts, mut receiver, head) = Parts::new();
    asked.parts = Some(parts);
    let mut answering = JoinSet::new();
    answering.spawn(async move {
        let hosting = sagemaker.hosting();
        hosting.invoke(&caller, &name, asked, &invocation).await
    });
    let Some(first) = receiver.recv().await else {
        return ended(&mut answering).await.map(Begun::Whole);
    };
    let known = |what: &OnceLock<String>| what.get().cloned().unwrap_or_default();
    Ok(Begun::Parts {
        content_type: known(&head.content_type),
        variant: known(&head.variant),
        parts: Coming {
            first: Some(first),
            receiver,
            answering,
        },
    })
}

impl Coming {
    /// The next part; in the end, where the answer broke off, why.
    pub async fn next(&mut self) -> Option<Result<Bytes, InvokeError>> {
        let part = match self.first.take() {
            Some(first) => Some(first),
            None => self.receiver.recv().await,
        };
        match part {
            Some(part) => Some(Ok(part)),
            None if self.answering.is_empty() => None,
            None => {
                let error = ended(&mut self.answering).await.err()?;
                tracing::warn!(
                    code = error.code,
                    message = error.message,
                    "a streamed answer broke off"
                );
                Some(Err(error))
            }
        }
    }
}

/// How asking ended.
async fn ended(
    answering: &mut JoinSet<Result<Answered, InvokeError>>,
) -> Result<Answered, InvokeError> {
    match answering.join_next().await {
        Some(Ok(answered)) => answered,
        broken => {
            tracing::error!(?broken, "an invocation broke off");
            Err(InvokeError {
                code: "InternalFailure",
                status: 500,
                message: "The invocation broke off; the server's log says why.".to_owned(),
                original: None,
            })
        }
    }
}
