//! Why something cannot be learned or predicted.

use std::path::PathBuf;

/// Result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something cannot be learned, read or predicted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the caller gave is wrong: a hyperparameter, a table, a row. The sentence is for them, and says what would be right.
    #[error("{0}")]
    Input(String),
    /// A file of a model is not one of the algorithm's, or is damaged.
    #[error("{path} is no model of {algorithm}: {why}")]
    Model {
        /// The file.
        path: PathBuf,
        /// The algorithm that was to read it.
        algorithm: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Numbers grew beyond what can be counted with, so nothing was learned.
    #[error("{0}")]
    Diverged(String),
    /// [`Watch`](crate::Watch) asked to stop before there was anything to keep.
    #[error("stopped before anything was learned")]
    Stopped,
}

impl Error {
    /// What the caller gave is wrong.
    pub fn input(what: impl Into<String>) -> Self {
        Self::Input(what.into())
    }
}
