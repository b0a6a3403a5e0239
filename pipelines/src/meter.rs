//! Counting what answers take, for whoever asks.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

tokio::task_local! {
    /// Who counts what is asked now.
    static METER: Meter;
}

/// Counts the tokens that encoders of texts are shown for those who ask. Cheap to clone; all clones are one count.
///
/// Which questions are whose is known by the future that asks them: everything that it asks of an engine counts, through
/// whatever it asks, and what it leaves to tasks of their own does not.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<AtomicU64>);

impl Meter {
    /// Runs a future and counts what it asks.
    pub async fn count<F: Future>(&self, asking: F) -> F::Output {
        METER.scope(self.clone(), asking).await
    }

    /// Tokens so far. Those of an answer are in it before the answer is there.
    pub fn tokens(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The one that counts what is asked here, where there is one.
    pub(crate) fn current() -> Option<Self> {
        METER.try_with(Self::clone).ok()
    }

    pub(crate) fn add(&self, tokens: u64) {
        self.0.fetch_add(tokens, Ordering::Relaxed);
    }
}
