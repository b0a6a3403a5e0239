//! Bytes that many may want at once and all together may not exceed.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of bytes to share. Clones share the same.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    total: u32,
    /// Whose turn it is to go beyond.
    beyond: Arc<Semaphore>,
}

/// Bytes of a budget that somebody has; they are free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    permit: OwnedSemaphorePermit,
    beyond: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Gives back all but so many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        let over = self.permit.num_permits().saturating_sub(bytes);
        drop(self.permit.split(over));
    }
}

impl From<OwnedSemaphorePermit> for Held {
    fn from(permit: OwnedSemaphorePermit) -> Self {
        Self {
            permit,
            beyond: None,
        }
    }
}

impl Budget {
    pub fn new(bytes: usize) -> Self {
        let total = u32::try_from(bytes).unwrap_or(u32::MAX);
        Self {
            free: Arc::new(Semaphore::new(total as usize)),
            total,
            beyond: Arc::new(Semaphore::new(1)),
        }
    }

    fn capped(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.total)
    }

    /// Waits until so many bytes are free. More than there are in all counts as all.
    pub async fn take(&self, bytes: usize) -> Held {
        let permit = self.free.clone().acquire_many_owned(self.capped(bytes));
        permit.await.expect("the semaphore is never closed").into()
    }

    /// Waits until so many more bytes are free. Where many have a part of what each needs, nothing may be left for any of
    /// them: then one at a time gets what it needs beyond all that there is, so that none waits for ever.
    pub async fn take_more(&self, held: &mut Held, bytes: usize) {
        if held.beyond.is_some() {
            return;
        }
        let free = self.free.clone().acquire_many_owned(self.capped(bytes));
        let beyond = self.beyond.clone().acquire_owned();
        tokio::select! {
            biased;
            more = free => held.permit.merge(more.expect("the semaphore is never closed")),
            turn = beyond => held.beyond = Some(turn.expect("the semaphore is never closed")),
        }
    }

    /// So many bytes, if they are free now.
    pub fn try_take(&self, bytes: usize) -> Option<Held> {
        let bytes = u32::try_from(bytes).ok()?;
        let permit = self.free.clone().try_acquire_many_owned(bytes);
        permit.ok().map(Held::from)
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

    #[test]
    fn of_those_that_have_a_part_one_at_a_time_gets_all() {
        let budget = Budget::new(100);
        let [mut one, mut other] = [(); 2].map(|()| budget.try_take(50).expect("a half"));
        let more = |held: &mut Held| budget.take_more(held, 30).now_or_never();
        assert!(more(&mut one).is_some());
        assert!(more(&mut one).is_some());
        assert!(more(&mut other).is_none());
        assert!(budget.try_take(1).is_none());
        drop(one);
        assert!(more(&mut other).is_some());
        assert!(budget.try_take(21).is_none());
        let rest = budget.try_take(20).expect("what it left");
        drop((other, rest));
        assert!(budget.try_take(100).is_some());
    }
}
