//! What can go wrong between a request and its prediction, in the few kinds that doors tell apart.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The closed set of reasons; each door maps a kind once to its own error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The input breaks a rule of the operation.
    InvalidInput,
    /// The bytes are not an image of a supported format, or are damaged.
    InvalidImage,
    /// The input is larger than the operation allows (bytes of text, pixels, bytes of image).
    TooLarge,
    /// The language, option or feature is real but not offered.
    Unsupported,
    /// The named model or resource does not exist.
    NotFound,
    /// The queue is full; trying again later helps.
    Overloaded,
    /// The deadline passed before an answer was ready.
    Deadline,
    /// The model cannot be loaded now (weights missing, no memory); the message says what to do.
    Unavailable,
    /// A defect or a hardware fault; the message is for the operator.
    Internal,
}

/// An error with a sentence for the user. Cheap to clone: one failure may answer many callers.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    message: Arc<str>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    retry_after: Option<Duration>,
}

/// Result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind` with a sentence for the user.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into().into(),
            source: None,
            retry_after: None,
        }
    }

    /// Keeps the cause for logs.
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Tells the caller when trying again may help.
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The kind, for doors to map.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The sentence for the user, without its cause.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// When trying again may help, if known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| source.as_ref() as &(dyn std::error::Error + 'static))
    }
}
