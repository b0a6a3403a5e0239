//! What the log counts, as Prometheus text.
//!
//! Counting is a few atomic additions. The number of series is bounded: [`TOPICS`] topics and [`LAGS`] pairs of group and
//! topic, by name; the rest of the topics is one more, and how many pairs are left out is told.

use super::groups::Groups;
use super::handle::Log;
use super::partition::Live;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Most topics that have series of their own.
const TOPICS: usize = 200;
/// Most pairs of group and topic whose lag is told.
const LAGS: usize = 1000;
/// The name of all other topics together, which no topic can have.
const OTHERS: &str = "(others)";

/// Upper bounds of the buckets for syncs, in seconds.
const BUCKETS: [f64; 13] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
];

/// What a log counts beside its partitions.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    frames: AtomicU64,
    refused: AtomicU64,
    buckets: [AtomicU64; BUCKETS.len()],
    syncs: AtomicU64,
    nanos: AtomicU64,
    compaction: Compaction,
}

/// What compaction did.
#[derive(Debug, Default)]
struct Compaction {
    passes: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    records: AtomicU64,
    refused: AtomicU64,
}

impl Metrics {
    /// Segments of so many bytes became one of so many, and so many records went.
    pub fn compacted(&self, before: u64, after: u64, records: u64) {
        self.compaction.bytes_in.fetch_add(before, Relaxed);
        self.compaction.bytes_out.fetch_add(after, Relaxed);
        self.compaction.records.fetch_add(records, Relaxed);
    }

    /// Compaction went over a partition.
    pub fn passed(&self) {
        self.compaction.passes.fetch_add(1, Relaxed);
    }

    /// A partition cannot be compacted because something in it cannot be read.
    pub fn uncompactable(&self) {
        self.compaction.refused.fetch_add(1, Relaxed);
    }

    /// A round of so many frames was synced within this time.
    pub fn synced(&self, frames: usize, took: Duration) {
        let seconds = took.as_secs_f64();
        if let Some(at) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            self.buckets[at].fetch_add(1, Relaxed);
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Relaxed);
        self.frames.fetch_add(frames as u64, Relaxed);
        self.syncs.fetch_add(1, Relaxed);
    }

    /// Something was refused because the disk is full.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let (name, help) = (
            "escala_log_sync_seconds",
            "Time of a sync, which ends a round.",
        );
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram")?;
        let mut below = 0;
        for (bound, count) in BUCKETS.iter().zip(&self.buckets) {
            below += count.load(Relaxed);
            writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {below}")?;
        }
        // Read after the buckets, so that no bucket is above it while rounds go on.
        let count = self.syncs.load(Relaxed).max(below);
        let sum = self.nanos.load(Relaxed) as f64 / 1e9;
        writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}")?;
        writeln!(out, "{name}_sum {sum}\n{name}_count {count}")
    }
}

/// What went into a partition and out of it since the log was opened.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub bytes_in: AtomicU64,
    pub records_in: AtomicU64,
    pub bytes_out: AtomicU64,
    pub records_out: AtomicU64,
}

/// The sums of a topic's partitions.
#[derive(Default)]
struct Sums {
    partitions: u64,
    damaged: u64,
    size: u64,
    dirty: u64,
    bytes_in: u64,
    records_in: u64,
    bytes_out: u64,
    records_out: u64,
}

impl Sums {
    fn add(&mut self, live: &Live) {
        let traffic = live.traffic();
        self.partitions += 1;
        self.damaged += u64::from(live.is_damaged());
        self.size += live.describe().bytes;
        self.dirty += live.dirty().load(Relaxed);
        self.bytes_in += traffic.bytes_in.load(Relaxed);
        self.records_in += traffic.records_in.load(Relaxed);
        self.bytes_out += traffic.bytes_out.load(Relaxed);
        self.records_out += traffic.records_out.load(Relaxed);
    }
}

type Column = (&'static str, &'static str, &'static str, fn(&Sums) -> u64);

/// Name, kind and meaning of what is told of each topic.
const COLUMNS: [Column; 8] = [
    ("partitions", "gauge", "Partitions.", |sums| sums.partitions),
    (
        "damaged_partitions",
        "gauge",
        "Partitions in which damage was found since the start, or before.",
        |sums| sums.damaged,
    ),
    ("size_bytes", "gauge", "Bytes in segments.", |sums| {
        sums.size
    }),
    (
        "uncompacted_bytes",
        "gauge",
        "Bytes in segments of topics that compact which were not compacted yet.",
        |sums| sums.dirty,
    ),
    (
        "bytes_in_total",
        "counter",
        "Bytes of batches that were appended.",
        |sums| sums.bytes_in,
    ),
    (
        "records_in_total",
        "counter",
        "Records that were appended.",
        |sums| sums.records_in,
    ),
    (
        "bytes_out_total",
        "counter",
        "Bytes that were given to readers.",
        |sums| sums.bytes_out,
    ),
    (
        "records_out_total",
        "counter",
        "Records that were given to readers.",
        |sums| sums.records_out,
    ),
];

/// A value of a label.
struct Label<'a>(&'a str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                // What else would end a line for some readers.
                letter if letter.is_control() => f.write_char('\u{fffd}')?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

/// What single numbers of a log are.
pub(super) struct Now {
    pub topics: usize,
    /// Partitions whose topic asks for more replicas than the one that there is.
    pub under_min: u64,
    pub waiting: usize,
    pub full: bool,
}

/// Writes everything that is counted. `lives` has the partitions of each topic.
pub(super) fn write(
    out: &mut String,
    metrics: &Metrics,
    now: &Now,
    lives: &BTreeMap<String, Vec<Arc<Live>>>,
    groups: &Groups,
) -> fmt::Result {
    let mut sums: BTreeMap<&str, Sums> = BTreeMap::new();
    for (at, (topic, lives)) in lives.iter().enumerate() {
        let name = if at < TOPICS { topic } else { OTHERS };
        let sums = sums.entry(name).or_default();
        lives.iter().for_each(|live| sums.add(live));
    }
    for (name, kind, help, value) in COLUMNS {
        writeln!(out, "# HELP escala_log_{name} {help}")?;
        writeln!(out, "# TYPE escala_log_{name} {kind}")?;
        for (topic, sums) in &sums {
            let value = value(sums);
            writeln!(
                out,
                "escala_log_{name}{{topic=\"{}\"}} {value}",
                Label(topic)
            )?;
        }
    }
    let left = lags(out, lives, groups)?;
    metrics.write(out)?;
    let (refused, frames) = (metrics.refused.load(Relaxed), metrics.frames.load(Relaxed));
    let compaction = &metrics.compaction;
    let single = [
        ("topics", "gauge", "Topics.", now.topics as u64),
        (
            "under_min_insync_partitions",
            "gauge",
            "Partitions that have one replica, and whose topic has a larger min.insync.replicas.",
            now.under_min,
        ),
        (
            "waiting_bytes",
            "gauge",
            "Bytes that wait for the disk.",
            now.waiting as u64,
        ),
        (
            "full",
            "gauge",
            "Whether the disk is full, so that appends are refused.",
            u64::from(now.full),
        ),
        (
            "refused_full_total",
            "counter",
            "Requests that were refused because the disk is full.",
            refused,
        ),
        (
            "rounds_total",
            "counter",
            "Rounds: one write and one sync for all that waited.",
            metrics.syncs.load(Relaxed),
        ),
        (
            "frames_total",
            "counter",
            "Frames of these rounds: appends, commits and changes.",
            frames,
        ),
        (
            "compaction_passes_total",
            "counter",
            "Passes of compaction over a partition.",
            compaction.passes.load(Relaxed),
        ),
        (
            "compaction_bytes_in_total",
            "counter",
            "Bytes of segments that compaction put others in the place of.",
            compaction.bytes_in.load(Relaxed),
        ),
        (
            "compaction_bytes_out_total",
            "counter",
            "Bytes of the segments in their place.",
            compaction.bytes_out.load(Relaxed),
        ),
        (
            "compaction_records_removed_total",
            "counter",
            "Records that compaction removed.",
            compaction.records.load(Relaxed),
        ),
        (
            "compaction_refused_total",
            "counter",
            "Partitions that are not compacted because something in them cannot be read.",
            compaction.refused.load(Relaxed),
        ),
        (
            "group_lags_left_out",
            "gauge",
            "Pairs of group and topic whose lag is not told because there are too many.",
            left as u64,
        ),
    ];
    for (name, kind, help, value) in single {
        writeln!(out, "# HELP escala_log_{name} {help}")?;
        writeln!(out, "# TYPE escala_log_{name} {kind}")?;
        writeln!(out, "escala_log_{name} {value}")?;
    }
    Ok(())
}

/// Writes how far behind groups are; gives how many are left out.
fn lags(
    out: &mut String,
    lives: &BTreeMap<String, Vec<Arc<Live>>>,
    groups: &Groups,
) -> Result<usize, fmt::Error> {
    let name = "escala_log_group_lag";
    writeln!(out, "# HELP {name} Records that a group has still to read.")?;
    writeln!(out, "# TYPE {name} gauge")?;
    let mut told = 0;
    let mut left = 0;
    for (group, offsets) in &groups.offsets {
        let mut lags: BTreeMap<&str, i64> = BTreeMap::new();
        for ((topic, partition), committed) in offsets {
            let live = lives
                .get(topic)
                .and_then(|lives| lives.get(*partition as usize));
            // A topic that was deleted takes the offsets with it, now or soon.
            if let Some(live) = live {
                *lags.entry(topic).or_default() += live.describe().behind(committed.offset);
            }
        }
        for (topic, lag) in lags {
            if told == LAGS {
                left += 1;
                continue;
            }
            told += 1;
            let (group, topic) = (Label(group), Label(topic));
            writeln!(out, "{name}{{group=\"{group}\",topic=\"{topic}\"}} {lag}")?;
        }
    }
    Ok(left)
}

impl Log {
    /// Writes what the log counts, in the text format of Prometheus. The series of a topic begin anew when it is made
    /// anew.
    pub fn write_metrics(&self, out: &mut String) {
        let shared = self.shared();
        let (lives, under_min) = {
            let sequencer = shared.sequencer.lock();
            (sequencer.lives(), sequencer.under_min())
        };
        let groups = shared.groups.read().clone();
        let now = Now {
            topics: lives.len(),
            under_min,
            waiting: shared.waiting(),
            full: shared.is_full(),
        };
        // Writing to a string cannot fail.
        let _ = write(out, &shared.metrics, &now, &lives, &groups);
    }

    /// Counts what a reader of a partition was given. A topic that is gone counts nothing.
    pub fn given(&self, topic: &str, partition: u32, bytes: usize, records: u64) {
        let sequencer = self.shared().sequencer.lock();
        if let Ok(live) = sequencer.live(topic, partition) {
            let traffic = live.traffic();
            traffic.bytes_out.fetch_add(bytes as u64, Relaxed);
            traffic.records_out.fetch_add(records, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::partition::Standing;
    use super::super::types::Committed;
    use super::*;

    fn live(log_start: i64, next: i64) -> Arc<Live> {
        Arc::new(Live::new(Standing {
            log_start,
            next,
            segments: Vec::new(),
            epochs: Vec::new(),
            decisions: super::super::partition::decisions::Decisions::default(),
            refused: None,
        }))
    }

    fn text(lives: &BTreeMap<String, Vec<Arc<Live>>>, groups: &Groups) -> String {
        let metrics = Metrics::default();
        metrics.synced(3, Duration::from_micros(200));
        metrics.synced(1, Duration::from_secs(60));
        let now = Now {
            topics: lives.len(),
            under_min: 0,
            waiting: 5,
            full: false,
        };
        let mut out = String::new();
        write(&mut out, &metrics, &now, lives, groups).unwrap();
        out
    }

    fn at(offset: i64) -> Committed {
        Committed::at(offset)
    }

    #[test]
    fn a_groups_lag_is_what_is_there_and_not_read() {
        let lives = BTreeMap::from([("a".to_owned(), vec![live(10, 30), live(0, 7)])]);
        let place = |topic: &str, partition| (topic.to_owned(), partition);
        let offsets = [
            // Ten were deleted before the group read them.
            (place("a", 0), at(5)),
            (place("a", 1), at(7)),
            (place("gone", 0), at(1)),
        ];
        let groups = Groups {
            offsets: [("g\"\n\\".to_owned(), offsets.into())].into(),
            ..Groups::default()
        };
        let text = text(&lives, &groups);
        let line = "escala_log_group_lag{group=\"g\\\"\\n\\\\\",topic=\"a\"} 20";
        assert!(text.lines().any(|there| there == line), "{text}");
        assert!(!text.contains("gone"), "{text}");
        for line in [
            "escala_log_partitions{topic=\"a\"} 2",
            "escala_log_sync_seconds_bucket{le=\"0.0001\"} 0",
            "escala_log_sync_seconds_bucket{le=\"0.00025\"} 1",
            "escala_log_sync_seconds_bucket{le=\"5\"} 1",
            "escala_log_sync_seconds_bucket{le=\"+Inf\"} 2",
            "escala_log_rounds_total 2",
            "escala_log_frames_total 4",
            "escala_log_waiting_bytes 5",
        ] {
            assert!(text.lines().any(|there| there == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn the_number_of_series_is_bounded_and_nothing_is_lost() {
        let topic = |n: usize| (format!("t{n:04}"), vec![live(0, 0)]);
        let lives: BTreeMap<_, _> = (0..TOPICS + 50).map(topic).collect();
        let group = |n: usize| {
            (
                format!("g{n:04}"),
                [(("t0000".to_owned(), 0), at(0))].into(),
            )
        };
        let groups = Groups {
            offsets: (0..LAGS + 7).map(group).collect(),
            ..Groups::default()
        };
        let text = text(&lives, &groups);
        let count = |prefix: &str| text.lines().filter(|line| line.starts_with(prefix)).count();
        assert_eq!(count("escala_log_partitions{"), TOPICS + 1);
        assert!(
            text.contains("escala_log_partitions{topic=\"(others)\"} 50\n"),
            "{text}"
        );
        assert_eq!(count("escala_log_group_lag{"), LAGS);
        assert!(
            text.contains("escala_log_group_lags_left_out 7\n"),
            "{text}"
        );
    }
}
