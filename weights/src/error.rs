//! What can go wrong between the catalogue and a mapped tensor.
//!
//! One enum for the store ([`Error`]), one line per source that was tried ([`Attempt`]); the formats and the
//! tensor reader have enums of their own and arrive here as a source.

use crate::{format, tensors};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What a [`crate::Store`] answers when it cannot give a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A catalogue file that cannot be used.
    #[error("catalogue file {file}: {why}")]
    Catalogue {
        /// The file's name.
        file: String,
        /// What is wrong in it.
        why: String,
    },
    /// No model of this name is in the catalogue.
    #[error("no model named \"{name}\" (known: {})", known.join(", "))]
    UnknownModel {
        /// The name asked for.
        name: String,
        /// Every name in the catalogue.
        known: Vec<String>,
    },
    /// What should name a checkpoint does not.
    #[error("\"{reference}\" names no checkpoint: {why}")]
    Reference {
        /// What was given.
        reference: String,
        /// What does not hold.
        why: &'static str,
    },
    /// A folder is not a checkpoint.
    #[error("{reference} is no checkpoint: {}: {why}", path.display())]
    Checkpoint {
        /// What was given.
        reference: String,
        /// The file at fault.
        path: PathBuf,
        /// What does not hold.
        why: String,
    },
    /// What declares an image network, or names its classes, cannot be used.
    #[error("{}: {why}", path.display())]
    Declaration {
        /// The file.
        path: PathBuf,
        /// What is wrong, and with which key.
        why: String,
    },
    /// Neither a setting nor the environment says where models are kept.
    #[error("no directory for models: set ESCALA_MODELS_DIR, XDG_CACHE_HOME or HOME")]
    NoDirectory,
    /// The disk refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Every source failed.
    #[error("could not pull model \"{model}\":{}", Attempts(attempts))]
    Pull {
        /// The model.
        model: String,
        /// Each source in the order tried: why it failed and what to do about it.
        attempts: Vec<Attempt>,
    },
    /// A file that held its checksum could not be converted.
    #[error("could not convert {file} of model \"{model}\": {source}")]
    Convert {
        /// The model.
        model: String,
        /// The file inside it.
        file: String,
        /// What the format says.
        source: format::Error,
    },
    /// The model is not in the store.
    #[error("model \"{model}\" is not in {} (pull it with `escala models pull {model}`)", dir.display())]
    NotPulled {
        /// The model.
        model: String,
        /// The store's folder.
        dir: PathBuf,
    },
    /// The model may be pulled only by somebody who accepts its licence.
    #[error(
        "model \"{model}\" is under the licence {licence} and is pulled only by somebody who accepts it: `escala models pull {model} --accept-licence {licence}`"
    )]
    Consent {
        /// The model.
        model: String,
        /// SPDX identifier of its licence.
        licence: String,
    },
    /// The model is in the store but is not what was published.
    #[error(
        "model \"{model}\" is damaged in {}: {why} (pull it again with `escala models rm {model}` and `escala models pull {model}`)",
        path.display()
    )]
    Damaged {
        /// The model.
        model: String,
        /// The file or folder at fault.
        path: PathBuf,
        /// What does not hold.
        why: String,
    },
    /// The published model has no file of this name.
    #[error("model \"{model}\" has no file \"{file}\" (it has: {})", has.join(", "))]
    NoSuchFile {
        /// The model.
        model: String,
        /// The file asked for.
        file: String,
        /// The files it has.
        has: Vec<String>,
    },
    /// A published file cannot be read as tensors.
    #[error(transparent)]
    Tensors(#[from] tensors::Error),
}

impl Error {
    /// Whether trying again later may help without anybody changing anything (the network, a busy disk).
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Pull { attempts, .. } => attempts.iter().any(|attempt| attempt.transient),
            Self::Io { source, .. } => {
                matches!(
                    source.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::TimedOut
                )
            }
            _ => false,
        }
    }
}

/// Wraps an I/O error with what was tried and where.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// One source that was tried and did not give what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The source in words: `PyPI package x 1.0 (pip)`, `hub repository a/b`, `folder /weights`.
    pub source: String,
    /// Why it failed, with the last lines of a program's output where there are any.
    pub why: String,
    /// What somebody can do about it.
    pub hint: String,
    /// Whether the same attempt may succeed later.
    pub transient: bool,
}

struct Attempts<'a>(&'a [Attempt]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for attempt in self.0 {
            write!(
                f,
                "\n  - {}: {}",
                attempt.source,
                attempt.why.replace('\n', "\n      ")
            )?;
            if !attempt.hint.is_empty() {
                write!(f, "\n    what to do: {}", attempt.hint)?;
            }
        }
        Ok(())
    }
}
