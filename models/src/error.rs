//! What can go wrong when a network is loaded or run.

use std::path::{Path, PathBuf};

/// Result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a network cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The published tensors are not what the network needs.
    #[error("the weights do not fit the network")]
    Weights(#[from] escala_weights::tensors::Error),
    /// A file beside the tensors cannot be read.
    #[error("{path} cannot be read")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A configuration file is not understood.
    #[error("{path} is not the configuration of this network")]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The text of a configuration is not understood.
    #[error("this is not the configuration of the network")]
    Json(#[source] serde_json::Error),
    /// The network's graph cannot be put together.
    #[error("the network cannot be built")]
    Graph(#[from] crate::graph::Error),
    /// A value of the configuration or the weights is outside what the network supports.
    #[error("{what}")]
    Unsupported {
        /// What is not supported.
        what: String,
    },
    /// The tokenizer failed.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// candle failed (a device error, or shapes that do not agree).
    #[error("compute failed")]
    Candle(#[from] candle_core::Error),
    /// The network produced a number that is not finite.
    #[error("the network's output is not finite")]
    NotFinite,
}

impl Error {
    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }
}

/// Reads a configuration file.
///
/// # Errors
/// When it cannot be read or is not what it should be.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|source| Error::File {
        path: path.into(),
        source,
    })?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Config {
        path: path.into(),
        source,
    })
}
