//! The contract between a task (language, embeddings, labels, …) and the engine that serves it.

use crate::error::{Error, Kind, Result};
use escala_models::{Compute, Precision, Target};
use escala_weights::{Progress, Store};
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// What the cost of an item counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Tokens of text (an estimate before tokenising).
    Tokens,
    /// Bytes of text.
    Bytes,
    /// Pixels of images.
    Pixels,
    /// Faces of a collection that is searched.
    Faces,
}

impl Unit {
    /// The plural word used in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Bytes => "bytes",
            Self::Pixels => "pixels",
            Self::Faces => "faces",
        }
    }
}

/// The bounds of one task's queue and batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most cost in one batch. An item that costs more runs alone.
    pub batch_cost: u64,
    /// Most items in one batch. A batch holds its lane until its last item is done, so there are few where items are
    /// computed one after the other and one may take long.
    pub batch_items: usize,
    /// Most items waiting; one more is refused as overloaded.
    pub queue_items: usize,
    /// Most cost waiting; an item that would exceed it is refused as overloaded
    /// (but one item is always admitted to an empty queue).
    ///
    /// Streaming items may fill three quarters of the queue, batch items half of it: the rest is kept
    /// free for those that matter more.
    pub queue_cost: u64,
}

/// Who waits for the answer. A lower-ranked item runs only when no higher-ranked one waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A person or a service in the middle of a request.
    #[default]
    Interactive,
    /// A record of a topic.
    Streaming,
    /// An item of a job.
    Batch,
}

/// How one request wants to be served.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Who waits.
    pub priority: Priority,
    /// When the answer is of no more use; `None` means the engine's default from now.
    pub deadline: Option<Instant>,
}

impl Options {
    /// Interactive, with this long to answer.
    pub fn within(timeout: Duration) -> Self {
        Self {
            priority: Priority::Interactive,
            deadline: Some(Instant::now() + timeout),
        }
    }
}

/// What a task needs to load its model.
pub struct LoadContext<'a> {
    /// Where weights come from (pulls them when they are missing).
    pub weights: &'a Store,
    /// What the model will run on.
    pub target: Target<'a>,
}

/// A kind of prediction: what its items cost, how its queue is bounded and how its model is loaded.
pub trait Task: Send + Sync + 'static {
    /// One item.
    type Input: Send + Sync + 'static;
    /// The answer to one item.
    type Output: Send + 'static;
    /// The loaded model with its pre- and post-processing.
    type Pipeline: Pipeline<Input = Self::Input, Output = Self::Output>;

    /// The task's name in metrics, logs and messages: `language`, `embeddings`, `labels`.
    fn name(&self) -> &'static str;

    /// The name of the model behind it: the catalogue's, or the checkpoint that the operator named.
    fn model(&self) -> &str;

    /// What products are made in where `asked` is what the operator wants of text encoders; of other networks, always full.
    fn precision(&self, asked: Precision) -> Precision {
        let _ = asked;
        Precision::Full
    }

    /// Pulls the model where it is missing. Loading does so too; this is for showing progress.
    ///
    /// # Errors
    /// What cannot be pulled, and what to do.
    fn fetch(
        &self,
        weights: &Store,
        progress: &dyn Progress,
    ) -> std::result::Result<(), escala_weights::Error> {
        weights.ensure(self.model(), progress).map(drop)
    }

    /// The version under which it is registered beside others of the same name.
    fn version(&self) -> &str {
        "1"
    }

    /// What [`Task::cost`] counts.
    fn unit(&self) -> Unit;

    /// The cost of an item, known before the model is loaded; cheap, at least 1.
    fn cost(&self, input: &Self::Input) -> u64;

    /// The bounds of its queue and batches.
    fn limits(&self) -> Limits;

    /// Bytes that the model will hold once loaded, if that is known beforehand (the size of its weights).
    ///
    /// With it, room is made before loading starts and memory stays within the budget at every moment;
    /// without it, a model of unknown size is counted once it is loaded.
    fn memory_estimate(&self) -> Option<u64> {
        None
    }

    /// Loads the model; runs on a loader thread and may take seconds.
    ///
    /// # Errors
    /// `Unavailable` with what is missing and what to do.
    fn load(&self, context: &LoadContext<'_>) -> Result<Self::Pipeline>;
}

/// A loaded model that turns a batch of items into one answer per item, in order.
pub trait Pipeline: Send + Sync + 'static {
    /// One item.
    type Input: Send + Sync + 'static;
    /// The answer to one item.
    type Output: Send + 'static;

    /// Bytes of memory that the loaded model holds.
    fn memory(&self) -> u64;

    /// A small input for the warm-up run.
    fn sample(&self) -> Self::Input;

    /// One answer per item, in order; an item that fails does not fail its neighbours, and an answer
    /// does not depend on the other items of the batch. Runs on a compute thread, possibly on several at
    /// once. The engine keeps the inputs, so that it can run them again one by one after a panic.
    /// What encoders of texts are shown is said of the items ([`Compute::shown`]).
    fn run(&self, compute: &Compute, batch: &[Self::Input]) -> Vec<Result<Self::Output>>;
}

/// One answer per item, the items shared out among the team one by one: for items that differ in cost.
pub(crate) fn each<I: Sync, O: Send>(
    compute: &Compute,
    batch: &[I],
    one: impl Fn(&I) -> Result<O> + Sync,
) -> Vec<Result<O>> {
    if let [only] = batch {
        return vec![one(only)];
    }
    let places: Vec<Mutex<Option<Result<O>>>> = batch.iter().map(|_| Mutex::new(None)).collect();
    compute.team.for_each(batch.len(), |index| {
        *places[index].lock() = Some(one(&batch[index]));
    });
    let missing = || {
        Err(Error::new(
            Kind::Internal,
            "an item of the batch was left out",
        ))
    };
    places
        .into_iter()
        .map(|place| place.into_inner().unwrap_or_else(missing))
        .collect()
}

/// The answers of items that an encoder of texts was shown, each with its tokens, which are said.
pub(crate) fn shown<O>(compute: &Compute, answers: Vec<Result<(O, usize)>>) -> Vec<Result<O>> {
    let answers = answers.into_iter().enumerate().map(|(item, answer)| {
        let (answer, tokens) = answer?;
        compute.shown.add(item, tokens as u64);
        Ok(answer)
    });
    answers.collect()
}

/// The error of a model that cannot be loaded, with every cause in its sentence: what is missing and what
/// to do about it is in the causes.
pub fn unavailable(model: &str, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    let mut sentence = format!("the model {model} cannot be loaded: {cause}");
    let mut source = cause.source();
    while let Some(error) = source {
        sentence.push_str(&format!(": {error}"));
        source = error.source();
    }
    Error::new(Kind::Unavailable, sentence).with_source(cause)
}
