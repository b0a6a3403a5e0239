//! Flows: a topic goes in, predictions come out.
//!
//! A flow reads a topic, asks a [`Predictor`] about every record, and writes an answer a record to another topic: same
//! key, same partition, same order. It is a consumer group of its own (`flow-<name>`), so that Kafka's tools show its lag.
//!
//! ```text
//! flows.rs      the flows there are, kept in a file; begins and ends their work
//! worker.rs     the partitions of one flow: read ahead -> ask -> commit, in order
//!   input.rs      what a record is asked about: its text, a field of its JSON, its image
//!   output.rs     the records that are written, cut into what one commit may hold
//! event_log.rs  what a flow needs of a log: a group, partitions, parts, commits
//!   local.rs      on the built-in log; reader.rs: records from an offset on, whatever stands in the way
//!   kafka.rs      on another Kafka, by librdkafka (feature `kafka`); external.rs: where it is and how it is reached
//! progress.rs   what a flow counts while it works
//! ```
//!
//! # Promises
//!
//! * **Exactly once** ([`Guarantee::ExactlyOnce`]): the answers and the offset after their records are one frame of the
//!   log ([`Log::commit_batch`](crate::log::Log::commit_batch)). Killed at any instant, a flow goes on where that frame
//!   stands: every record has one answer, also for readers that read uncommitted. On another Kafka they are one
//!   transaction: readers of committed records see one answer a record (`kafka.rs`).
//! * **Nothing disappears.** A record that cannot be predicted goes to the dead letters with its reason, in the same
//!   frame; the partition goes on. What is wrong with the machine (a model that cannot be loaded, a full disk) is waited
//!   for, and said in the flow's state.
//! * **Who asks directly goes first**: flows ask with the engine's middle priority and wait for places in its queue.
//! * **Bounded**: a partition has at most three parts of a second's quarter of work in flight, [`MOST_RECORDS`] and
//!   [`MOST_BYTES`] each.
//!
//! A tombstone (a record without a value) becomes a tombstone with the same key: on a compacted topic it deletes the answer.

mod definition;
mod error;
mod event_log;
mod external;
mod flows;
mod input;
#[cfg(feature = "kafka")]
mod kafka;
mod local;
mod output;
mod progress;
mod reader;
mod worker;

pub use definition::{Definition, Guarantee, Start, Wanted};
pub use error::{Error, Result};
pub use external::{External, Unusable};
pub use flows::{Description, Flows, Lag, State, To};
pub use input::{Input, Takes, field_of};
pub use output::{DEAD_CODE, DEAD_MESSAGE, DEAD_VALUE, FLOW, OFFSET, PARTITION, TOPIC};
pub use reader::Reader;

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

/// Most records that are asked about at once.
pub const MOST_RECORDS: usize = 1024;
/// Most bytes of records that are asked about at once; one record may have more.
pub const MOST_BYTES: usize = 1 << 20;

/// What a flow asks about its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The task, as the command line calls it: `sentiment`, `key-phrases`, `faces`.
    pub task: String,
    /// The language of texts; `auto` detects it.
    pub language: Option<String>,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// What tells one version of it from another, where it is known: `sha256:…`.
    pub digest: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Whose fault it is.
    pub fault: Fault,
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

/// Whose fault it is that there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The record's: asking again gives the same.
    Record,
    /// The machine's, for now: it is asked again until it answers.
    Now,
    /// A defect: asked again a few times, then the record goes to the dead letters.
    Defect,
}

/// What is said about one record.
pub type Answer = std::result::Result<Box<RawValue>, Failed>;

/// Who predicts for flows.
pub trait Predictor: Send + Sync + 'static {
    /// What a task takes, or why a question cannot be asked here.
    ///
    /// # Errors
    /// A sentence for whoever makes the flow.
    fn takes(&self, question: &Question) -> std::result::Result<Takes, String>;

    /// Who answers a question.
    fn model(&self, question: &Question) -> Option<Model>;

    /// One answer for each input, in order. Waits for places in the engine's queue; dropping the future gives them up.
    fn predict<'a>(
        &'a self,
        question: &'a Question,
        inputs: Vec<Input>,
    ) -> BoxFuture<'a, Vec<Answer>>;
}

#[cfg(test)]
mod tests;
