//! Why something cannot be done with flows.

use crate::log;
use std::path::PathBuf;

/// Why something cannot be done with flows.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is one of that name.
    #[error("there is a flow {0} already")]
    Exists(String),
    /// There is none of that name.
    #[error("there is no flow {0}")]
    NotFound(String),
    /// What was asked for cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The log refuses.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The Kafka that a flow works on does not do what it is asked.
    #[error("Kafka at {brokers}: {why}")]
    Kafka {
        /// Where it is.
        brokers: String,
        /// Why.
        why: String,
    },
    /// This program was built without what it takes to reach another Kafka.
    #[error("this build has no external Kafka; build it with `--features kafka`")]
    NoKafka,
    /// The file of the flows cannot be read or written.
    #[error("the flows cannot be {what} in {path}")]
    Stored {
        /// `read` or `kept`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What an operation gives.
pub type Result<T> = std::result::Result<T, Error>;
