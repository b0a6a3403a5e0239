//! Models that are open and answer, whatever they are made of.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc;

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Haste {
    /// Somebody does.
    #[default]
    Now,
    /// Nobody does: it goes behind those for whom somebody waits.
    Behind,
}

/// A question as it came.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// What the body is; `application/octet-stream` where nothing is said.
    pub content_type: Option<String>,
    /// What is wanted; the model's own default where nothing is said.
    pub accept: Option<String>,
    /// The body.
    pub body: Bytes,
    /// Who waits for the answer.
    pub haste: Haste,
    /// Where parts of the answer go as they are made, where somebody listens.
    pub parts: Option<Parts>,
    /// Whether nobody waits any more: what takes long looks now and then.
    pub given_up: GivenUp,
}

/// Parts of an answer on their way before the whole is there. A model that makes its answer in parts says what they are
/// and sends each; together they are the body of what it says in the end.
#[derive(Clone, Debug)]
pub struct Parts {
    sender: mpsc::Sender<Bytes>,
    head: Arc<Head>,
}

/// What is known of an answer when its first part comes.
#[derive(Debug, Default)]
pub struct Head {
    /// What the parts are.
    pub content_type: OnceLock<String>,
    /// The variant that makes them.
    pub variant: OnceLock<String>,
}

/// Parts that may be on their way: more than a text has tokens. Who reads slowly does not hold up the model, which others
/// wait for; who does not read at all is given up.
const UNDER_WAY: usize = 1 << 16;

impl Parts {
    /// Where parts are sent, and where they come out.
    pub fn new() -> (Self, mpsc::Receiver<Bytes>, Arc<Head>) {
        let (sender, receiver) = mpsc::channel(UNDER_WAY);
        let head = Arc::<Head>::default();
        let parts = Self {
            sender,
            head: head.clone(),
        };
        (parts, receiver, head)
    }

    /// What is known of the answer.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Sends a part, without waiting. Answers whether anybody listens.
    pub fn send(&self, part: Bytes) -> bool {
        self.sender.try_send(part).is_ok()
    }
}

/// Whether a question was given up.
#[derive(Clone, Debug, Default)]
pub struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    /// Whether it was.
    pub fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// It is given up when this is dropped.
    pub fn on_drop(&self) -> GivesUp {
        GivesUp(self.clone())
    }
}

/// Gives a question up when it is dropped: when nobody waits for the answer any more.
#[derive(Debug)]
pub struct GivesUp(GivenUp);

impl Drop for GivesUp {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What it is.
    pub content_type: String,
    /// It.
    pub body: Bytes,
}

/// Why a model does not answer: what a container would have answered with a status of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unanswered {
    /// The status that a container would have: 400 for what cannot be read, 415 for a type that it does not know, 406 for one
    /// that it does not write, 500 for what broke, 503 for too much at a time.
    pub status: u16,
    /// A sentence for the caller.
    pub message: String,
}

/// What a model is asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum About {
    /// Rows of numbers.
    #[default]
    Numbers,
    /// Texts.
    Texts,
    /// Images.
    Images,
}

/// A model that is open.
pub trait Served: Send + Sync {
    /// What it is asked about.
    fn about(&self) -> About {
        About::Numbers
    }

    /// Answers a question. Dropping the future gives it up.
    fn invoke(&self, asked: Asked) -> BoxFuture<'_, Result<Said, Unanswered>>;

    /// Bytes of memory that it holds, about.
    fn memory(&self) -> u64;
}

/// What a model is made of: a container's image by its repository, its environment, and its files.
#[derive(Clone, Debug)]
pub struct Container<'a> {
    /// The repository that the image names.
    pub repository: &'a str,
    /// Its environment.
    pub environment: &'a BTreeMap<String, String>,
    /// The folder of its files, which were unpacked; none where the model has none.
    pub folder: Option<&'a Path>,
}

/// Who opens models: each knows some containers.
///
/// Opening may take long and is done on a thread that may wait.
pub trait Opener: Send + Sync {
    /// The model; none where it is not one of this opener's.
    ///
    /// # Errors
    /// A sentence for the person who made the model.
    fn open(&self, container: &Container<'_>) -> Option<Result<Arc<dyn Served>, String>>;

    /// Whether it would open models of this image's repository.
    fn knows(&self, repository: &str) -> bool;

    /// What it opens, for the sentence that says what is accepted.
    fn accepts(&self) -> String;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_read_holds_nobody_up() {
        let part = Bytes::from_static(b"part");
        let (parts, mut receiver, _) = Parts::new();
        assert!((0..UNDER_WAY).all(|_| parts.send(part.clone())));
        assert!(!parts.send(part.clone()), "more than may be on their way");
        assert_eq!(receiver.try_recv().ok(), Some(part.clone()));
        assert!(parts.send(part.clone()), "there is room again");
        drop(receiver);
        assert!(!parts.send(part), "nobody listens");
    }

    #[test]
    fn a_question_is_given_up_when_nobody_waits() {
        let given_up = GivenUp::default();
        let waiting = given_up.on_drop();
        assert!(!given_up.is_so());
        drop(waiting);
        assert!(given_up.is_so());
    }
}
