//! What the engine counts, as plain numbers and in the Prometheus text format.
//!
//! Counters are relaxed atomics: each is exact, several read together may be an instant apart. Gauges of
//! the queue and their high-water marks are written under the queue's lock, so no peak is missed.
//! Every item that is handed in is counted under exactly one outcome.

use crate::task::{Limits, Unit};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the buckets of batch sizes, in items.
const ITEM_BOUNDS: [u64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
/// Upper bounds of the buckets of batch costs, in the task's unit.
const COST_BOUNDS: [u64; 14] = [
    1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216,
    67_108_864,
];
/// Upper bounds of the buckets of times, in nanoseconds: 50 µs to 30 s.
const TIME_BOUNDS: [u64; 18] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
];

/// Counts of values in fixed buckets.
pub(super) struct Histogram {
    bounds: &'static [u64],
    /// One more than bounds: the last holds what exceeds them all.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [u64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self {
            bounds,
            buckets,
            sum: AtomicU64::new(0),
        }
    }

    pub fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    pub fn observe_time(&self, time: Duration) {
        self.observe(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// `unit`: what one counted unit is worth in the snapshot (a nanosecond is 1e-9 s).
    fn snapshot(&self, unit: f64) -> HistogramSnapshot {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(self.buckets.len());
        for (index, bucket) in self.buckets.iter().enumerate() {
            count += bucket.load(Relaxed);
            buckets.push((
                self.bounds
                    .get(index)
                    .map_or(f64::INFINITY, |bound| *bound as f64 * unit),
                count,
            ));
        }
        HistogramSnapshot {
            buckets,
            sum: self.sum.load(Relaxed) as f64 * unit,
            count,
        }
    }
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSnapshot {
    /// Upper bound and number of values at most that large; the last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// Sum of all values.
    pub sum: f64,
    /// Number of values.
    pub count: u64,
}

/// A number that goes up and down, and the highest it has been.
#[derive(Default)]
pub(super) struct Gauge {
    now: AtomicU64,
    peak: AtomicU64,
}

impl Gauge {
    /// To be called by one thread at a time (under the lock of what is measured).
    pub fn set(&self, value: u64) {
        self.now.store(value, Relaxed);
        if value > self.peak.load(Relaxed) {
            self.peak.store(value, Relaxed);
        }
    }

    pub fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }
}

/// The counters of one task.
pub(super) struct Metrics {
    pub done: AtomicU64,
    pub failed: AtomicU64,
    pub cancelled: AtomicU64,
    pub expired: AtomicU64,
    pub refused: AtomicU64,
    pub panics: AtomicU64,
    pub batches: AtomicU64,
    pub batch_items: Histogram,
    pub batch_cost: Histogram,
    pub queue_items: Gauge,
    pub queue_cost: Gauge,
    pub running: Gauge,
    pub queue_wait: Histogram,
    pub compute: Histogram,
    pub loads: AtomicU64,
    pub load_failures: AtomicU64,
    pub load_time: Histogram,
    pub evictions: AtomicU64,
    pub memory: Gauge,
    pub units: AtomicU64,
}

impl Metrics {
    pub fn new() -> Self {
        Self {
            done: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            batch_items: Histogram::new(&ITEM_BOUNDS),
            batch_cost: Histogram::new(&COST_BOUNDS),
            queue_items: Gauge::default(),
            queue_cost: Gauge::default(),
            running: Gauge::default(),
            queue_wait: Histogram::new(&TIME_BOUNDS),
            compute: Histogram::new(&TIME_BOUNDS),
            loads: AtomicU64::new(0),
            load_failures: AtomicU64::new(0),
            load_time: Histogram::new(&TIME_BOUNDS),
            evictions: AtomicU64::new(0),
            memory: Gauge::default(),
            units: AtomicU64::new(0),
        }
    }

    pub fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Relaxed);
    }

    pub fn snapshot(&self, limits: Limits, unit: Unit) -> TaskMetrics {
        let peak = |gauge: &Gauge| gauge.peak.load(Relaxed);
        TaskMetrics {
            limits,
            unit,
            done: self.done.load(Relaxed),
            failed: self.failed.load(Relaxed),
            cancelled: self.cancelled.load(Relaxed),
            expired: self.expired.load(Relaxed),
            refused: self.refused.load(Relaxed),
            panics: self.panics.load(Relaxed),
            batches: self.batches.load(Relaxed),
            batch_items: self.batch_items.snapshot(1.0),
            batch_cost: self.batch_cost.snapshot(1.0),
            queue_items: self.queue_items.now(),
            queue_items_peak: peak(&self.queue_items),
            queue_cost: self.queue_cost.now(),
            queue_cost_peak: peak(&self.queue_cost),
            running_batches: self.running.now(),
            queue_wait_seconds: self.queue_wait.snapshot(1e-9),
            compute_seconds: self.compute.snapshot(1e-9),
            loads: self.loads.load(Relaxed),
            load_failures: self.load_failures.load(Relaxed),
            load_seconds: self.load_time.snapshot(1e-9),
            evictions: self.evictions.load(Relaxed),
            memory: self.memory.now(),
            units: self.units.load(Relaxed),
        }
    }
}

/// The counters of one task at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskMetrics {
    /// The bounds it works under.
    pub limits: Limits,
    /// What costs and `units` count.
    pub unit: Unit,
    /// Items answered with a prediction.
    pub done: u64,
    /// Items answered with an error of the model, its loading or the engine.
    pub failed: u64,
    /// Items whose caller went away before the answer.
    pub cancelled: u64,
    /// Items whose deadline passed before they were computed.
    pub expired: u64,
    /// Items that were not admitted.
    pub refused: u64,
    /// Panics caught in the pipeline or its loading.
    pub panics: u64,
    /// Batches computed.
    pub batches: u64,
    /// Items in a batch.
    pub batch_items: HistogramSnapshot,
    /// Cost of a batch.
    pub batch_cost: HistogramSnapshot,
    /// Items waiting.
    pub queue_items: u64,
    /// Most items that ever waited.
    pub queue_items_peak: u64,
    /// Cost waiting.
    pub queue_cost: u64,
    /// Most cost that ever waited.
    pub queue_cost_peak: u64,
    /// Batches being computed.
    pub running_batches: u64,
    /// Time of an item from admission to its batch.
    pub queue_wait_seconds: HistogramSnapshot,
    /// Time of a batch on its lane.
    pub compute_seconds: HistogramSnapshot,
    /// Models loaded and warmed up.
    pub loads: u64,
    /// Loads that failed.
    pub load_failures: u64,
    /// Time of a successful load, warm-up included.
    pub load_seconds: HistogramSnapshot,
    /// Models evicted to make room.
    pub evictions: u64,
    /// Bytes that the loaded model holds; 0 when none is loaded.
    pub memory: u64,
    /// Cost of the items done, as [`Task::cost`](crate::task::Task::cost) estimated it: tokens, bytes or pixels.
    pub units: u64,
}

/// One task in the text format: its labels and its numbers.
pub(super) struct Labelled {
    pub task: &'static str,
    pub version: String,
    pub ready: bool,
    pub metrics: TaskMetrics,
}

/// The engine's own numbers.
pub(super) struct EngineMetrics {
    pub lanes: usize,
    pub memory_used: u64,
    pub memory_budget: u64,
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// A family of counters or gauges: type, name, help, and the value of one task.
type Family = (
    &'static str,
    &'static str,
    &'static str,
    fn(&Labelled) -> u64,
);

const FAMILIES: [Family; 13] = [
    ("counter", "batches_total", "Batches computed.", |task| {
        task.metrics.batches
    }),
    (
        "counter",
        "panics_total",
        "Panics caught in a pipeline or its loading.",
        |task| task.metrics.panics,
    ),
    (
        "counter",
        "model_loads_total",
        "Models loaded and warmed up.",
        |task| task.metrics.loads,
    ),
    (
        "counter",
        "model_load_failures_total",
        "Loads of models that failed.",
        |task| task.metrics.load_failures,
    ),
    (
        "counter",
        "model_evictions_total",
        "Models evicted to make room.",
        |task| task.metrics.evictions,
    ),
    (
        "gauge",
        "model_ready",
        "1 when the model is loaded and warm.",
        |task| u64::from(task.ready),
    ),
    (
        "gauge",
        "model_memory_bytes",
        "Bytes that the loaded model holds.",
        |task| task.metrics.memory,
    ),
    (
        "gauge",
        "running_batches",
        "Batches being computed.",
        |task| task.metrics.running_batches,
    ),
    ("gauge", "queue_items", "Items waiting.", |task| {
        task.metrics.queue_items
    }),
    (
        "gauge",
        "queue_items_peak",
        "Most items that ever waited.",
        |task| task.metrics.queue_items_peak,
    ),
    (
        "gauge",
        "queue_items_limit",
        "Most items that may wait.",
        |task| task.metrics.limits.queue_items as u64,
    ),
    (
        "gauge",
        "queue_cost",
        "Cost waiting, in the unit of the task.",
        |task| task.metrics.queue_cost,
    ),
    (
        "gauge",
        "queue_cost_limit",
        "Most cost that may wait.",
        |task| task.metrics.limits.queue_cost,
    ),
];

/// A family of histograms: name, help, and the values of one task.
type HistogramFamily = (
    &'static str,
    &'static str,
    fn(&TaskMetrics) -> &HistogramSnapshot,
);

const HISTOGRAMS: [HistogramFamily; 5] = [
    ("batch_items", "Items in a batch.", |task| &task.batch_items),
    (
        "batch_cost",
        "Cost of a batch, in the unit of the task.",
        |task| &task.batch_cost,
    ),
    (
        "queue_wait_seconds",
        "Time of an item from admission to its batch.",
        |task| &task.queue_wait_seconds,
    ),
    ("compute_seconds", "Time of a batch on its lane.", |task| {
        &task.compute_seconds
    }),
    (
        "model_load_seconds",
        "Time of a load, warm-up included.",
        |task| &task.load_seconds,
    ),
];

/// Appends everything in the Prometheus text exposition format, version 0.0.4.
pub(super) fn write(
    engine: &EngineMetrics,
    tasks: &[Labelled],
    out: &mut String,
) -> std::fmt::Result {
    for (name, help, value) in [
        ("lanes", "Compute lanes.", engine.lanes as u64),
        (
            "memory_bytes",
            "Bytes reserved for models.",
            engine.memory_used,
        ),
        (
            "memory_budget_bytes",
            "Most bytes that models may hold.",
            engine.memory_budget,
        ),
    ] {
        writeln!(
            out,
            "# HELP escala_{name} {help}\n# TYPE escala_{name} gauge\nescala_{name} {value}"
        )?;
    }
    let labels: Vec<String> = tasks
        .iter()
        .map(|task| {
            format!(
                "task=\"{}\",version=\"{}\"",
                escaped(task.task),
                escaped(&task.version)
            )
        })
        .collect();
    let head = |out: &mut String, kind: &str, name: &str, help: &str| {
        writeln!(
            out,
            "# HELP escala_{name} {help}\n# TYPE escala_{name} {kind}"
        )
    };

    head(
        out,
        "counter",
        "items_total",
        "Items by outcome; each item has exactly one.",
    )?;
    for (task, labels) in tasks.iter().zip(&labels) {
        let metrics = &task.metrics;
        for (outcome, count) in [
            ("done", metrics.done),
            ("failed", metrics.failed),
            ("cancelled", metrics.cancelled),
            ("expired", metrics.expired),
            ("refused", metrics.refused),
        ] {
            writeln!(
                out,
                "escala_items_total{{{labels},outcome=\"{outcome}\"}} {count}"
            )?;
        }
    }
    head(
        out,
        "counter",
        "units_done_total",
        "Cost of the items done, as it was estimated before they were computed: tokens, bytes or pixels.",
    )?;
    for (task, labels) in tasks.iter().zip(&labels) {
        let unit = task.metrics.unit.name();
        writeln!(
            out,
            "escala_units_done_total{{{labels},unit=\"{unit}\"}} {}",
            task.metrics.units
        )?;
    }
    for (kind, name, help, value) in FAMILIES {
        head(out, kind, name, help)?;
        for (task, labels) in tasks.iter().zip(&labels) {
            writeln!(out, "escala_{name}{{{labels}}} {}", value(task))?;
        }
    }
    for (name, help, values) in HISTOGRAMS {
        head(out, "histogram", name, help)?;
        for (task, labels) in tasks.iter().zip(&labels) {
            let values = values(&task.metrics);
            for (bound, count) in &values.buckets {
                if bound.is_finite() {
                    // Nine decimals: enough for every bound, and none of binary rounding's noise.
                    let bound = format!("{bound:.9}");
                    let bound = bound.trim_end_matches('0').trim_end_matches('.');
                    writeln!(
                        out,
                        "escala_{name}_bucket{{{labels},le=\"{bound}\"}} {count}"
                    )?;
                } else {
                    writeln!(out, "escala_{name}_bucket{{{labels},le=\"+Inf\"}} {count}")?;
                }
            }
            writeln!(out, "escala_{name}_sum{{{labels}}} {}", values.sum)?;
            writeln!(out, "escala_{name}_count{{{labels}}} {}", values.count)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_first_bucket_that_holds_it() {
        let histogram = Histogram::new(&ITEM_BOUNDS);
        for value in [1, 2, 3, 1024, 5000] {
            histogram.observe(value);
        }
        let snapshot = histogram.snapshot(1.0);
        assert_eq!(snapshot.buckets[..3], [(1.0, 1), (2.0, 2), (4.0, 3)]);
        assert_eq!(snapshot.buckets[10..], [(1024.0, 4), (f64::INFINITY, 5)]);
        assert_eq!((snapshot.sum, snapshot.count), (6030.0, 5));
    }

    #[test]
    fn the_text_is_one_family_after_the_other_with_escaped_labels() {
        let metrics = Metrics::new();
        Metrics::add(&metrics.done, 7);
        metrics.queue_wait.observe_time(Duration::from_micros(60));
        let limits = Limits {
            batch_cost: 1,
            batch_items: 1,
            queue_items: 5,
            queue_cost: 1,
        };
        let task = |version: &str| Labelled {
            task: "echo",
            version: version.to_owned(),
            ready: true,
            metrics: metrics.snapshot(limits, Unit::Bytes),
        };
        let engine = EngineMetrics {
            lanes: 1,
            memory_used: 2,
            memory_budget: 3,
        };
        let mut out = String::new();
        write(&engine, &[task("a\"b"), task("2")], &mut out).expect("strings take everything");
        for line in [
            "escala_memory_budget_bytes 3",
            "escala_items_total{task=\"echo\",version=\"a\\\"b\",outcome=\"done\"} 7",
            "escala_items_total{task=\"echo\",version=\"2\",outcome=\"done\"} 7",
            "escala_queue_items_limit{task=\"echo\",version=\"2\"} 5",
            "escala_queue_wait_seconds_bucket{task=\"echo\",version=\"2\",le=\"0.00005\"} 0",
            "escala_queue_wait_seconds_bucket{task=\"echo\",version=\"2\",le=\"0.0001\"} 1",
            "escala_queue_wait_seconds_bucket{task=\"echo\",version=\"2\",le=\"+Inf\"} 1",
            "escala_batch_items_bucket{task=\"echo\",version=\"2\",le=\"1024\"} 0",
            "escala_queue_wait_seconds_count{task=\"echo\",version=\"2\"} 1",
        ] {
            assert!(
                out.lines().any(|found| found == line),
                "{line} is missing in\n{out}"
            );
        }
        let mut families: Vec<&str> = out
            .lines()
            .filter(|line| line.starts_with("# TYPE"))
            .collect();
        let all = families.len();
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), all, "each family is declared once");
    }
}
