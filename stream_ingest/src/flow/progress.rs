//! What a flow counts while it works.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The number of no partition: what is wrong with all of a flow.
pub const ALL: u32 = u32::MAX;

/// Seconds over which the rate is averaged, later ones counting more.
const SECONDS: f64 = 10.0;

/// Counters of one flow since the server started.
#[derive(Debug, Default)]
pub struct Progress {
    flow: String,
    /// Records that were read and are done with.
    pub records: AtomicU64,
    /// Answers that were written.
    pub answers: AtomicU64,
    /// Records that went to the dead letters.
    pub dead: AtomicU64,
    /// Records that were asked about again, because the machine had no answer.
    pub retried: AtomicU64,
    /// Records that were gone before they were read.
    pub missed: AtomicU64,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    rate: f64,
    at: Option<Instant>,
    positions: BTreeMap<u32, i64>,
    trouble: BTreeMap<u32, String>,
}

impl Progress {
    /// Of a flow with this name.
    pub fn of(flow: &str) -> Self {
        Self {
            flow: flow.to_owned(),
            ..Self::default()
        }
    }

    /// Some of a partition is durable: the offset after it, and how many records it had.
    pub fn done(&self, partition: u32, next: i64, records: u64, answers: u64, dead: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.answers.fetch_add(answers, Ordering::Relaxed);
        self.dead.fetch_add(dead, Ordering::Relaxed);
        let mut inside = self.inside.lock();
        let now = Instant::now();
        inside.rate = inside.faded(now) + records as f64 / SECONDS;
        inside.at = Some(now);
        inside.positions.insert(partition, next);
        inside.trouble.remove(&partition);
    }

    /// A partition goes on from this offset.
    pub fn at(&self, partition: u32, next: i64) {
        let mut inside = self.inside.lock();
        inside.positions.insert(partition, next);
        inside.trouble.remove(&partition);
    }

    /// A partition is somebody else's now.
    pub fn leave(&self, partition: u32) {
        let mut inside = self.inside.lock();
        inside.positions.remove(&partition);
        inside.trouble.remove(&partition);
    }

    /// What was wrong with a partition, or with all of the flow, is over.
    #[cfg(feature = "kafka")]
    pub fn well(&self, partition: u32) {
        self.inside.lock().trouble.remove(&partition);
    }

    /// Why a partition waits.
    pub fn trouble(&self, partition: u32, why: String) {
        let before = self.inside.lock().trouble.insert(partition, why.clone());
        if before.as_ref() != Some(&why) {
            let flow = &*self.flow;
            match partition {
                ALL => tracing::warn!(flow, why, "a flow waits"),
                partition => tracing::warn!(flow, partition, why, "a flow waits"),
            }
        }
    }

    /// Why the flow waits, if a partition of it does.
    pub fn why(&self) -> Option<String> {
        self.inside.lock().trouble.values().next().cloned()
    }

    /// Records a second, of the last seconds.
    pub fn rate(&self) -> f64 {
        self.inside.lock().faded(Instant::now())
    }

    /// The offset that a partition goes on with, if it has begun.
    pub fn position(&self, partition: u32) -> Option<i64> {
        self.inside.lock().positions.get(&partition).copied()
    }

    /// The partitions that are worked on.
    pub fn partitions(&self) -> Vec<u32> {
        self.inside.lock().positions.keys().copied().collect()
    }

    /// Forgets where partitions stand.
    pub fn forget(&self) {
        let mut inside = self.inside.lock();
        inside.positions.clear();
        inside.trouble.clear();
    }
}

impl Inside {
    fn faded(&self, now: Instant) -> f64 {
        let since = self.at.map(|at| now.saturating_duration_since(at));
        since.map_or(0.0, |since| {
            self.rate * (-since.as_secs_f64() / SECONDS).exp()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::{Debug, Write};
    use std::sync::Arc;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    /// Keeps the fields of what is logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            write!(self.0, "{}={value:?} ", field.name()).expect("a line");
        }
    }

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut line = Line(String::new());
            event.record(&mut line);
            self.0.lock().push(line.0);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_flow_that_waits_is_named_once_for_each_reason() {
        let lines = Lines::default();
        tracing::subscriber::with_default(lines.clone(), || {
            let progress = Progress::of("of-reviews");
            for why in ["full", "full", "busy"] {
                progress.trouble(2, why.to_owned());
            }
            progress.trouble(ALL, "gone".to_owned());
        });
        let lines = lines.0.lock();
        let said = |at: usize, what: &str| assert!(lines[at].contains(what), "{}", lines[at]);
        assert_eq!(lines.len(), 3);
        for at in 0..3 {
            said(at, "flow=\"of-reviews\"");
        }
        said(0, "partition=2");
        said(1, "why=\"busy\"");
        assert!(!lines[2].contains("partition"), "{}", lines[2]);
    }
}
