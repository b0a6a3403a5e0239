//! The engine's threads: lanes that compute, and the clerk that watches deadlines.

use super::Shared;
use super::signals::Phase;
use super::slot::Slot;
use escala_models::Compute;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The clerk looks at the queues at most this often.
const CLERK_REST: Duration = Duration::from_millis(1);

/// Computes batches until the engine stops: always the most urgent priority that anything waits with, and within it the
/// task that had the least of the lanes' time, so that no task starves another however much waits for it; of tasks that
/// had the same, the one whose oldest item has waited longest.
///
/// What a task had is counted from where the others are when it comes back (start-time fair queueing, Goyal, Vin and
/// Cheng 1996): one that rested has no time saved up.
pub(super) fn run(shared: &Shared) {
    let compute = Compute::new(shared.config.device.clone(), shared.config.threads_per_lane);
    let stopped = || shared.signals.phase() == Phase::Stopped;
    while !stopped() {
        match next(shared) {
            Some((slot, had)) => {
                // The pipeline's panics are caught nearer to it, where its items can be answered; this
                // keeps the lane alive should anything else break (the drop of an input, say).
                if catch_unwind(AssertUnwindSafe(|| slot.run(&compute, had))).is_err() {
                    tracing::error!(
                        task = slot.name(),
                        "panic on a lane outside of the pipeline"
                    );
                }
            }
            None => shared
                .signals
                .lanes
                .sleep_unless(|| stopped() || next(shared).is_some()),
        }
    }
}

/// Whose turn it is, and what the task had of the lanes' time when it began.
fn next(shared: &Shared) -> Option<(Arc<dyn Slot>, Duration)> {
    let slots = shared.slots.read();
    let mut clock = shared.turn.lock();
    let waiting = slots.iter().filter_map(|slot| {
        let (priority, since) = slot.head()?;
        Some((priority, slot.had().max(*clock), since, slot))
    });
    let (_, had, _, slot) =
        waiting.min_by_key(|(priority, had, since, _)| (*priority, *had, *since))?;
    *clock = had;
    Some((slot.clone(), had))
}

/// Answers items whose deadline passes while they wait, however busy the lanes are.
pub(super) fn watch_deadlines(shared: &Shared) {
    let stopped = || shared.signals.phase() == Phase::Stopped;
    let mut earliest = Instant::now();
    loop {
        shared.signals.alarm.wait(earliest, stopped);
        if stopped() {
            return;
        }
        let now = Instant::now();
        let slots = shared.slots.read().clone();
        for slot in slots {
            let outcome = catch_unwind(AssertUnwindSafe(|| slot.expire(now)));
            match outcome {
                Ok(Some(deadline)) => shared.signals.alarm.by(deadline),
                Ok(None) => {}
                Err(_) => tracing::error!(
                    task = slot.name(),
                    "panic while dropping an item that came too late"
                ),
            }
        }
        earliest = now + CLERK_REST;
    }
}
