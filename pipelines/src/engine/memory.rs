//! The memory budget of loaded models.
//!
//! Promises: the sum of what is reserved never exceeds the budget; room is made by evicting, least
//! recently used first, models that nobody uses, and only when that makes enough room; a model that can
//! never fit is refused with numbers; a load that must wait for models in use waits a bounded time.

use super::slot::Slot;
use crate::error::{Error, Kind, Result};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Default)]
struct Used {
    bytes: u64,
    peak: u64,
}

pub(super) struct Memory {
    budget: u64,
    used: Mutex<Used>,
    freed: Condvar,
    /// The engine has stopped: nobody waits any more.
    closed: AtomicBool,
    /// Loaders that wait for room; registered before they look at the slots.
    waiters: AtomicUsize,
}

/// Bytes reserved for one model, given back when dropped.
pub(super) struct Reservation<'a> {
    memory: &'a Memory,
    bytes: u64,
}

/// Counts a loader among those that wait for room.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Bytes as people read them.
fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

impl Memory {
    pub fn new(budget: u64) -> Self {
        Self {
            budget,
            used: Mutex::default(),
            freed: Condvar::new(),
            closed: AtomicBool::new(false),
            waiters: AtomicUsize::new(0),
        }
    }

    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// Bytes reserved now, and the most ever.
    pub fn used(&self) -> (u64, u64) {
        let used = self.used.lock();
        (used.bytes, used.peak)
    }

    /// A model has become free to evict.
    pub fn idle(&self) {
        if self.waiters.load(Ordering::SeqCst) > 0 {
            let _used = self.used.lock();
            self.freed.notify_all();
        }
    }

    /// Ends all waiting for room.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let _used = self.used.lock();
        self.freed.notify_all();
    }

    /// Gives `bytes` back.
    pub fn release(&self, bytes: u64) {
        if bytes > 0 {
            self.used.lock().bytes -= bytes;
            self.freed.notify_all();
        }
    }

    /// Refuses what can never fit.
    fn check(&self, bytes: u64, model: &str) -> Result<()> {
        if bytes <= self.budget {
            return Ok(());
        }
        Err(Error::new(
            Kind::Unavailable,
            format!(
                "model {model} needs {} of memory and the budget for models is {}: raise the memory budget",
                mib(bytes),
                mib(self.budget)
            ),
        ))
    }

    /// Reserves `bytes`, evicting what nobody uses and waiting until `deadline` for what is in use.
    pub fn reserve(
        &self,
        bytes: u64,
        model: &str,
        deadline: Instant,
        slots: impl Fn() -> Vec<Arc<dyn Slot>>,
    ) -> Result<Reservation<'_>> {
        self.check(bytes, model)?;
        self.waiters.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.waiters);
        let mut used = self.used.lock();
        loop {
            if self.closed.load(Ordering::SeqCst) {
                return Err(super::shutting_down());
            }
            if self.fit(&mut used, bytes, &slots()) {
                return Ok(Reservation {
                    memory: self,
                    bytes,
                });
            }
            if self.freed.wait_until(&mut used, deadline).timed_out() {
                let message = format!(
                    "model {model} needs {} of memory and {} of {} are taken by models in use",
                    mib(bytes),
                    mib(used.bytes),
                    mib(self.budget)
                );
                return Err(
                    Error::new(Kind::Overloaded, message).with_retry_after(Duration::from_secs(1))
                );
            }
        }
    }

    /// Adds `bytes` to what is used, evicting if that is needed and enough.
    fn fit(&self, used: &mut Used, bytes: u64, slots: &[Arc<dyn Slot>]) -> bool {
        let room = self.budget - used.bytes;
        if bytes > room {
            let mut idle: Vec<_> = slots
                .iter()
                .filter_map(|slot| slot.evictable().map(|(last, bytes)| (last, bytes, slot)))
                .collect();
            let total: u64 = idle.iter().map(|(_, bytes, _)| bytes).sum();
            if bytes > room.saturating_add(total) {
                return false;
            }
            idle.sort_by_key(|(last, ..)| *last);
            for (_, _, slot) in idle {
                // `None`: a request came in between and keeps it.
                used.bytes -= slot.evict().unwrap_or(0);
                if bytes <= self.budget - used.bytes {
                    break;
                }
            }
            if bytes > self.budget - used.bytes {
                return false;
            }
        }
        used.bytes += bytes;
        used.peak = used.peak.max(used.bytes);
        true
    }
}

impl<'a> Reservation<'a> {
    /// A reservation of nothing, for a model of unknown size.
    pub fn none(memory: &'a Memory) -> Self {
        Self { memory, bytes: 0 }
    }

    /// Makes it `bytes` without waiting for anyone; false when there is no room for that now.
    ///
    /// # Errors
    /// When `bytes` can never fit.
    pub fn resize(
        &mut self,
        bytes: u64,
        model: &str,
        slots: impl Fn() -> Vec<Arc<dyn Slot>>,
    ) -> Result<bool> {
        self.memory.check(bytes, model)?;
        if bytes <= self.bytes {
            self.memory.release(self.bytes - bytes);
        } else {
            let mut used = self.memory.used.lock();
            if !self.memory.fit(&mut used, bytes - self.bytes, &slots()) {
                return Ok(false);
            }
        }
        self.bytes = bytes;
        Ok(true)
    }

    /// Leaves the bytes reserved; whoever drops the model releases them.
    pub fn keep(mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.memory.release(self.bytes);
    }
}
