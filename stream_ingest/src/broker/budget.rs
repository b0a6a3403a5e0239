//! Bytes that many may want at once and all together may not exceed.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of bytes to share. Clones share the same.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    total: u32,
}

/// Bytes of a budget that somebody has; they are free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Held(OwnedSemaphorePermit);

impl Held {
    /// Gives back all but so many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        let over = self.0.num_permits().saturating_sub(bytes);
        drop(self.0.split(over));
    }
}

impl Budget {
    pub fn new(bytes: usize) -> Self {
        let total = u32::try_from(bytes).unwrap_or(u32::MAX);
        Self {
            free: Arc::new(Semaphore::new(total as usize)),
            total,
        }
    }

    fn capped(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.total)
    }

    /// Waits until so many bytes are free. More than there are in all counts as all.
    pub async fn take(&self, bytes: usize) -> Held {
        let permit = self.free.clone().acquire_many_owned(self.capped(bytes));
        Held(permit.await.expect("the semaphore is never closed"))
    }

    /// So many bytes, if they are free now.
    pub fn try_take(&self, bytes: usize) -> Option<Held> {
        let bytes = u32::try_from(bytes).ok()?;
        let permit = self.free.clone().try_acquire_many_owned(bytes);
        permit.ok().map(Held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn what_is_taken_is_not_there_until_it_is_given_back() {
        let budget = Budget::new(100);
        let mut held = budget.try_take(80).expect("80 of 100");
        assert!(budget.try_take(30).is_none());
        assert!(budget.take(30).now_or_never().is_none());
        held.shrink(50);
        let rest = budget.try_take(50).expect("what was given back");
        drop((held, rest));
        // More than all is all, so that one large request passes alone.
        assert!(budget.take(1000).now_or_never().is_some());
    }
}
