//! One registered task inside the engine: its queue, its model and what happens to both.
//!
//! The model goes `Unloaded -> Loading -> Warming -> Ready`, back to `Unloaded` when it is evicted, and to
//! `Failed` when loading or warm-up fails; a failed one is tried again by the first request after a
//! back-off that doubles. At most one load of a task is under way. Items may wait in the queue whatever
//! the stage. A model is evicted only when no item waits for it and no batch runs on it.
//!
//! `admission.rs` has the way into the queue, `compute.rs` the way through a lane, `load.rs` the life of
//! the model. The task's types end here: the engine sees slots through the [`Slot`] trait.

use crate::engine::metrics::{Labelled, Metrics, TaskMetrics};
use crate::engine::queue::{Entry, Queue};
use crate::engine::signals::Signals;
use crate::engine::{State, TaskStatus};
use crate::error::{Error, Kind, Result};
use crate::meter::Meter;
use crate::task::{Limits, Priority, Task, Unit};
use escala_models::Compute;
use parking_lot::Mutex;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// What a refused caller is told while nothing has been measured yet.
const FIRST_RETRY: Duration = Duration::from_secs(1);

mod admission;
mod compute;
mod load;

pub(super) use admission::Admitted;

/// What the engine does with a task, whatever its types.
pub(in crate::engine) trait Slot: Send + Sync {
    fn name(&self) -> &'static str;
    fn version(&self) -> &str;
    /// The most urgent work that could run now and since when it waits.
    fn head(&self) -> Option<(Priority, Instant)>;
    /// What it had of the lanes' time for its batches.
    fn had(&self) -> Duration;
    /// Runs the most urgent batch, if another lane has not taken it; its time is added to `had`.
    fn run(&self, compute: &Compute, had: Duration);
    /// Answers items whose deadline has come; the earliest deadline of the others.
    fn expire(&self, now: Instant) -> Option<Instant>;
    /// Last use and bytes of a model that nobody uses.
    fn evictable(&self) -> Option<(Instant, u64)>;
    /// Drops the model if nobody uses it; the bytes that are free now.
    fn evict(&self) -> Option<u64>;
    /// Nothing waits and nothing runs.
    fn is_drained(&self) -> bool;
    /// Answers what waits with `error`; the number of items. To be called in [`Phase::Stopped`].
    fn close(&self, error: &Error) -> usize;
    fn status(&self) -> TaskStatus;
    fn labelled(&self) -> Labelled;
}

type Answer<T> = Result<<T as Task>::Output>;

/// What waits in the queue.
pub(in crate::engine) struct Waiting<T: Task> {
    input: T::Input,
    caller: oneshot::Sender<Answer<T>>,
    /// Counts what the answer takes.
    meter: Option<Meter>,
}

enum Stage<P> {
    Unloaded,
    Loading,
    Warming {
        pipeline: Arc<P>,
        bytes: u64,
        /// When the load began, and when the model came into memory.
        began: Instant,
        loaded: Instant,
        /// A lane has taken the warm-up run.
        taken: bool,
    },
    Ready {
        pipeline: Arc<P>,
        bytes: u64,
    },
    Failed {
        error: Error,
        until: Instant,
    },
}

struct Inner<T: Task> {
    queue: Queue<Waiting<T>>,
    stage: Stage<T::Pipeline>,
    /// Batches (and warm-up runs) that hold the pipeline.
    running: u64,
    last_used: Instant,
    /// Failed loads since the last success.
    failures: u32,
    /// Bytes the model turned out to hold when it was last loaded.
    measured: Option<u64>,
    load_waiters: Vec<oneshot::Sender<Result<()>>>,
    /// No deadline of an item or of a caller waiting for room is earlier than this; the clerk will come.
    earliest: Option<Instant>,
    /// Cost computed per second, smoothed.
    rate: Option<f64>,
    /// The best that a lane has done, which fades.
    best: Option<Pace>,
}

pub(in crate::engine) struct TaskSlot<T: Task> {
    pub task: T,
    name: &'static str,
    version: String,
    limits: Limits,
    unit: Unit,
    inner: Mutex<Inner<T>>,
    /// Told when places in the queue become free.
    pub room: Notify,
    metrics: Metrics,
    signals: Arc<Signals>,
    had: Mutex<Duration>,
}

/// What a lane computes in a second, by batches that are large enough to show it. Where an item's time does not go by its
/// cost, as that of a picture by what is in it, cost says too little, and so do items where they differ.
#[derive(Clone, Copy)]
struct Pace {
    cost: f64,
    items: f64,
}

/// What a panic said, kept as the source of an error.
#[derive(Debug, thiserror::Error)]
#[error("panicked: {0}")]
struct Panicked(String);

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

impl<T: Task> TaskSlot<T> {
    pub fn new(task: T, signals: Arc<Signals>) -> Self {
        let asked = task.limits();
        let limits = Limits {
            batch_cost: asked.batch_cost.max(1),
            batch_items: asked.batch_items.max(1),
            queue_items: asked.queue_items.max(1),
            queue_cost: asked.queue_cost.max(1),
        };
        Self {
            name: task.name(),
            version: task.version().to_owned(),
            unit: task.unit(),
            limits,
            inner: Mutex::new(Inner {
                queue: Queue::new(limits),
                stage: Stage::Unloaded,
                running: 0,
                last_used: Instant::now(),
                failures: 0,
                measured: None,
                load_waiters: Vec::new(),
                earliest: None,
                rate: None,
                best: None,
            }),
            had: Mutex::new(Duration::ZERO),
            room: Notify::new(),
            metrics: Metrics::new(),
            signals,
            task,
        }
    }

    pub fn cost(&self, input: &T::Input) -> u64 {
        self.task.cost(input).max(1)
    }

    pub fn state(&self) -> State {
        match &self.inner.lock().stage {
            Stage::Unloaded => State::Unloaded,
            Stage::Loading | Stage::Warming { .. } => State::Loading,
            Stage::Ready { .. } => State::Ready,
            Stage::Failed { error, .. } => State::Failed(error.clone()),
        }
    }

    pub fn metrics(&self) -> TaskMetrics {
        self.metrics.snapshot(self.limits, self.unit)
    }

    /// Publishes the queue's numbers; to be called before the lock is let go.
    fn gauge(&self, inner: &Inner<T>) {
        self.metrics.queue_items.set(inner.queue.items() as u64);
        self.metrics.queue_cost.set(inner.queue.cost());
    }

    /// Tells those who wait for what an item that left the queue had taken.
    fn left_queue(&self, idle: bool) {
        self.room.notify_waiters();
        if idle {
            self.signals.memory.idle();
        }
        self.signals.progress();
    }

    fn late(&self) -> Error {
        Error::new(
            Kind::Deadline,
            format!(
                "the deadline passed before {} could start on this item",
                self.name
            ),
        )
    }

    fn answer_late(&self, expired: Vec<Entry<Waiting<T>>>) {
        if expired.is_empty() {
            return;
        }
        Metrics::add(&self.metrics.expired, expired.len());
        let error = self.late();
        for entry in expired {
            // The caller may just have gone.
            let _ = entry.payload.caller.send(Err(error.clone()));
        }
    }

    fn panicked(&self, doing: &str, panic: &(dyn Any + Send)) -> Error {
        Metrics::add(&self.metrics.panics, 1);
        let text = panic_text(panic);
        tracing::error!(
            task = self.name,
            version = self.version,
            panic = text,
            "panic while {doing}"
        );
        let message = format!(
            "the model of {} broke while {doing}; this is a defect",
            self.name
        );
        Error::new(Kind::Internal, message).with_source(Panicked(text))
    }

    /// Drops a pipeline; what goes wrong there must not upset the books.
    fn discard<P>(&self, pipeline: P) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(pipeline))) {
            self.panicked("unloading", &*panic);
        }
    }
}

impl<T: Task> Inner<T> {
    /// Nobody uses the model.
    fn is_idle(&self) -> bool {
        self.running == 0 && self.queue.is_empty()
    }
}

impl<T: Task> Slot for TaskSlot<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn head(&self) -> Option<(Priority, Instant)> {
        let inner = self.inner.lock();
        match &inner.stage {
            Stage::Warming {
                loaded,
                taken: false,
                ..
            } => Some((Priority::Interactive, *loaded)),
            Stage::Ready { .. } => inner.queue.head(),
            _ => None,
        }
    }

    fn had(&self) -> Duration {
        *self.had.lock()
    }

    fn run(&self, compute: &Compute, had: Duration) {
        let mut inner = self.inner.lock();
        match &mut inner.stage {
            Stage::Warming {
                pipeline, taken, ..
            } if !*taken => {
                *taken = true;
                let pipeline = pipeline.clone();
                inner.running += 1;
                self.metrics.running.set(inner.running);
                drop(inner);
                self.warm_up(compute, pipeline);
            }
            Stage::Ready { pipeline, .. } => {
                let pipeline = pipeline.clone();
                self.run_batch(compute, inner, pipeline, had);
            }
            _ => {}
        }
    }

    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut expired = Vec::new();
        let (earliest, idle) = {
            let mut inner = self.inner.lock();
            if inner.earliest.is_none_or(|earliest| now < earliest) {
                return inner.earliest;
            }
            inner.earliest = inner.queue.expire(now, &mut expired);
            self.gauge(&inner);
            (inner.earliest, inner.is_idle())
        };
        self.answer_late(expired);
        // Also wakes callers who wait for room and whose own time may be up.
        self.left_queue(idle);
        earliest
    }

    fn evictable(&self) -> Option<(Instant, u64)> {
        let inner = self.inner.lock();
        match &inner.stage {
            Stage::Ready { bytes, .. } if inner.is_idle() => Some((inner.last_used, *bytes)),
            _ => None,
        }
    }

    fn evict(&self) -> Option<u64> {
        let (pipeline, bytes) = {
            let mut inner = self.inner.lock();
            if !inner.is_idle() {
                return None;
            }
            match std::mem::replace(&mut inner.stage, Stage::Unloaded) {
                Stage::Ready { pipeline, bytes } => {
                    self.metrics.memory.set(0);
                    (pipeline, bytes)
                }
                other => {
                    inner.stage = other;
                    return None;
                }
            }
        };
        Metrics::add(&self.metrics.evictions, 1);
        self.discard(pipeline);
        tracing::info!(
            task = self.name,
            version = self.version,
            bytes,
            "model evicted to make room"
        );
        Some(bytes)
    }

    fn is_drained(&self) -> bool {
        self.inner.lock().is_idle()
    }

    fn close(&self, error: &Error) -> usize {
        let (waiting, waiters) = {
            let mut inner = self.inner.lock();
            let waiting = inner.queue.drain();
            self.gauge(&inner);
            (waiting, std::mem::take(&mut inner.load_waiters))
        };
        self.answer_all(waiting, waiters, error)
    }

    fn status(&self) -> TaskStatus {
        TaskStatus {
            name: self.name,
            version: self.version.clone(),
            model: self.task.model().to_owned(),
            state: self.state(),
            memory: self.metrics.memory.now(),
            queue_items: self.metrics.queue_items.now(),
            queue_cost: self.metrics.queue_cost.now(),
            running_batches: self.metrics.running.now(),
        }
    }

    fn labelled(&self) -> Labelled {
        Labelled {
            task: self.name,
            version: self.version.clone(),
            ready: matches!(self.inner.lock().stage, Stage::Ready { .. }),
            metrics: self.metrics(),
        }
    }
}
