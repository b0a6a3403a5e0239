//! What a model is to a query.

use crate::functions::Function;
use async_trait::async_trait;
use datafusion::arrow::array::ArrayRef;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

/// A model that a query may call.
///
/// The contract: as many answers as rows, in their order; an answer depends on its own row alone; a row that cannot be
/// answered is a fault beside the others. Dropping the future gives the work up.
#[async_trait]
pub trait Model: Debug + Send + Sync + 'static {
    /// The function that it is.
    fn function(&self) -> &'static Function;

    /// Answers rows: an array for each argument of the call, of the types that the function declares and all equally
    /// long. No value of them is null, and no row is there twice. What networks are shown for it is counted.
    ///
    /// # Errors
    /// What is wrong with the machine, or with this set of rows as a whole.
    async fn score(&self, inputs: &[ArrayRef], seen: &Seen) -> Result<Scores, Error>;
}

/// What networks are shown for a query.
#[derive(Debug, Default)]
pub struct Seen {
    tokens: AtomicU64,
    pixels: AtomicU64,
}

impl Seen {
    /// So much more: tokens by encoders of texts, pixels of images that were decoded.
    pub fn add(&self, tokens: u64, pixels: u64) {
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
        self.pixels.fetch_add(pixels, Ordering::Relaxed);
    }

    /// Tokens and pixels so far.
    pub fn counted(&self) -> (u64, u64) {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        (count(&self.tokens), count(&self.pixels))
    }
}

/// Answers to a set of rows.
#[derive(Debug, Clone)]
pub struct Scores {
    /// One for each row, of the function's type; null where there is a fault.
    pub values: ArrayRef,
    /// Why a row has no answer, one for each row; empty when every row has one.
    pub faults: Vec<Option<String>>,
}

/// Why a set of rows was not answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Nothing can be answered at present: the query ends.
    #[error("{0}")]
    Unavailable(String),
    /// These rows together could not be answered: they are tried in halves, down to the one at fault.
    #[error("{0}")]
    Batch(String),
}
