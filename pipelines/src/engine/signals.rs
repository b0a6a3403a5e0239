//! How the engine's threads wait for each other: lanes for work, the clerk for deadlines, a loader for
//! memory, a shutdown for the end.
//!
//! Order of locks: a signal's lock is taken before a slot's, never while a slot's is held. Whoever
//! changes a slot unlocks it first and then signals; whoever waits registers first and then looks at the
//! slots. So either the waiter sees the change or the changer sees the waiter, and the common case (no
//! one waits) costs one atomic load.

use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// `now + wait`, a year at most: no wait is so long that the sum overflows.
pub(super) fn after(now: Instant, wait: Duration) -> Instant {
    now + wait.min(Duration::from_secs(365 * 24 * 3600))
}

/// Lanes that sleep until there is work.
#[derive(Default)]
pub(super) struct Sleepers {
    /// Lanes asleep that nobody has called yet. Changes only under the lock of `calls`.
    asleep: AtomicUsize,
    /// Calls that no lane has answered yet.
    calls: Mutex<usize>,
    wake: Condvar,
}

impl Sleepers {
    /// Wakes one lane if one sleeps.
    pub fn wake_one(&self) {
        if self.asleep.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut calls = self.calls.lock();
        if self.asleep.load(Ordering::SeqCst) > 0 {
            self.asleep.fetch_sub(1, Ordering::SeqCst);
            *calls += 1;
            self.wake.notify_one();
        }
    }

    /// Wakes every lane, and those about to fall asleep.
    pub fn wake_all(&self) {
        let mut calls = self.calls.lock();
        *calls += self.asleep.swap(0, Ordering::SeqCst);
        self.wake.notify_all();
    }

    /// Sleeps until called, unless `busy` says that there is something to do.
    pub fn sleep_unless(&self, busy: impl FnOnce() -> bool) {
        let mut calls = self.calls.lock();
        self.asleep.fetch_add(1, Ordering::SeqCst);
        if busy() {
            self.asleep.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        while *calls == 0 {
            self.wake.wait(&mut calls);
        }
        *calls -= 1;
    }
}

/// The clerk's alarm clock.
#[derive(Default)]
pub(super) struct Alarm {
    next: Mutex<Option<Instant>>,
    ring: Condvar,
}

impl Alarm {
    /// Rings at `when` at the latest.
    pub fn by(&self, when: Instant) {
        let mut next = self.next.lock();
        if next.is_none_or(|set| when < set) {
            *next = Some(when);
            self.ring.notify_one();
        }
    }

    /// Waits for the alarm, but not before `earliest`; `stopped` is looked at whenever it is touched.
    pub fn wait(&self, earliest: Instant, stopped: impl Fn() -> bool) {
        let mut next = self.next.lock();
        loop {
            if stopped() {
                return;
            }
            match *next {
                None => self.ring.wait(&mut next),
                Some(when) if when.max(earliest) <= Instant::now() => {
                    *next = None;
                    return;
                }
                Some(when) => {
                    self.ring.wait_until(&mut next, when.max(earliest));
                }
            }
        }
    }

    /// Makes the clerk look whether it is to stop.
    pub fn touch(&self) {
        let _next = self.next.lock();
        self.ring.notify_one();
    }
}

/// A condition that others look at rarely: threads left, queues drained.
#[derive(Default)]
pub(super) struct Watched {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Watched {
    /// Something that a waiter looks at has changed.
    pub fn notify(&self) {
        let _lock = self.lock.lock();
        self.changed.notify_all();
    }

    /// Waits until `done` or until the deadline; whether it is done.
    pub fn wait_until(&self, deadline: Instant, done: impl Fn() -> bool) -> bool {
        let mut lock = self.lock.lock();
        while !done() {
            if self.changed.wait_until(&mut lock, deadline).timed_out() {
                return done();
            }
        }
        true
    }
}

/// How far the engine is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Phase {
    /// Serves.
    Open,
    /// Admits nothing, finishes what waits.
    Draining,
    /// Finishes nothing more.
    Stopped,
}

/// Everything that slots, lanes and handles tell each other.
pub(super) struct Signals {
    pub lanes: Sleepers,
    pub alarm: Alarm,
    pub memory: super::memory::Memory,
    /// Told, from `Draining` on, whenever less work waits.
    pub drained: Watched,
    /// Engine threads that live, loaders included.
    threads: AtomicUsize,
    left: Watched,
    /// First back-off after a failed load.
    pub load_retry: Duration,
    phase: AtomicU8,
}

impl Signals {
    pub fn new(memory_budget: u64, load_retry: Duration) -> Self {
        Self {
            lanes: Sleepers::default(),
            alarm: Alarm::default(),
            memory: super::memory::Memory::new(memory_budget),
            drained: Watched::default(),
            threads: AtomicUsize::new(0),
            left: Watched::default(),
            load_retry,
            phase: AtomicU8::new(0),
        }
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Open,
            1 => Phase::Draining,
            _ => Phase::Stopped,
        }
    }

    /// Goes on to `phase`; never back.
    pub fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::SeqCst);
    }

    /// To be called after work has left a slot.
    pub fn progress(&self) {
        if self.phase() != Phase::Open {
            self.drained.notify();
        }
    }

    /// Counts a thread until the guard is dropped on it.
    pub fn enter(self: &std::sync::Arc<Self>) -> ThreadGuard {
        self.threads.fetch_add(1, Ordering::SeqCst);
        ThreadGuard(self.clone())
    }

    /// Waits until all counted threads have left; how many have not.
    pub fn wait_for_threads(&self, deadline: Instant) -> usize {
        self.left
            .wait_until(deadline, || self.threads.load(Ordering::SeqCst) == 0);
        self.threads.load(Ordering::SeqCst)
    }
}

/// Says that one of the engine's threads lives.
pub(super) struct ThreadGuard(std::sync::Arc<Signals>);

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        self.0.threads.fetch_sub(1, Ordering::SeqCst);
        self.0.left.notify();
    }
}
