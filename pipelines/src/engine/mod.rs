//! The engine: loads models, admits items, forms batches and computes them on threads of its own.
//!
//! The way of an item:
//!
//! 1. [`Handle::predict`] asks the task what the item costs and gives it a place in the task's bounded
//!    queue (`queue.rs`), or refuses it (queue full, engine shutting down, model broken). The caller gets a
//!    [`Prediction`]; dropping that gives the place free.
//! 2. The first item of a task whose model is not loaded starts a load on a thread of its own (`slot/`):
//!    room is made within the memory budget (`memory.rs`), the model is loaded and warmed up on a lane. Items wait
//!    meanwhile, under the same bounds and deadlines.
//! 3. A lane (`lane.rs`) that is free takes the next batch: by priority, then of the task that had least of the lanes'
//!    time, up to the task's batch budget. It never waits for a batch to fill. Items whose deadline
//!    has passed are answered on the way, not computed; a clerk answers those that nobody picks in time.
//! 4. The lane runs the pipeline on its team of threads and answers each caller. A panic costs the item
//!    that caused it an `Internal` error, its neighbours nothing.
//!
//! Promises: queues never hold more than their limits and models never more than the memory budget; the
//! answer of an item does not depend on what shared its batch, given pipelines that keep their contract;
//! every item is answered exactly once or cancelled; no network code runs on an async runtime's thread;
//! loading one model holds up no other.
//!
//! ```no_run
//! # use escala_pipelines::{Options, Result, engine::{Engine, EngineConfig}, task::Task};
//! # use std::{sync::Arc, time::Duration};
//! # async fn example<T: Task>(
//! #     task: T, input: T::Input, store: Arc<escala_weights::Store>,
//! # ) -> Result<T::Output> {
//! let engine = Engine::start(EngineConfig::default(), store)?;
//! let handle = engine.register(task)?;
//! handle.load().await?;
//! handle.predict(input, Options::within(Duration::from_secs(2))).await
//! # }
//! ```
//!
//! Work in hand is not interrupted: an urgent item waits at most for the batches that run when it comes, so a task's limits
//! also bound how long others may be held up by it. `batch_cost` does where the time of an item goes with its cost, and only
//! `batch_items` where it depends on what is found in the item, such as the lines of a page or the faces of a crowd.

mod handle;
mod lane;
mod memory;
mod metrics;
mod queue;
mod signals;
mod slot;

pub use handle::{Handle, Prediction};
pub use metrics::{HistogramSnapshot, TaskMetrics};

use crate::error::{Error, Kind, Result};
use crate::task::Task;
use candle_core::Device;
use escala_models::Precision;
use escala_weights::Store;
use metrics::{EngineMetrics, Labelled};
use parking_lot::{Mutex, RwLock};
use signals::{Phase, Signals, after};
use slot::{Slot, TaskSlot};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How an engine uses the machine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Batches that are computed at the same time; at least 1.
    pub lanes: usize,
    /// Threads that work on one batch; at least 1.
    pub threads_per_lane: usize,
    /// Where models run.
    pub device: Device,
    /// What text encoders are loaded in.
    pub precision: Precision,
    /// Most bytes that loaded models may hold together.
    pub memory_budget: u64,
    /// How long an item without a deadline may wait for its turn, and a load for memory.
    pub default_deadline: Duration,
    /// How long a model that failed to load is left alone; doubles with every failure, 64 times at most.
    pub load_retry: Duration,
}

impl Default for EngineConfig {
    /// The CPU with a lane for every four cores that divides them among its threads, 2 GiB for models,
    /// 30 seconds to wait, a second between attempts to load.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let lanes = (cores / 4).max(1);
        Self {
            lanes,
            threads_per_lane: (cores / lanes).max(1),
            device: Device::Cpu,
            precision: Precision::Full,
            memory_budget: 2 << 30,
            default_deadline: Duration::from_secs(30),
            load_retry: Duration::from_secs(1),
        }
    }
}

/// What a task's model is doing.
#[derive(Clone, Debug)]
pub enum State {
    /// Not in memory; the first request loads it.
    Unloaded,
    /// Being loaded or warmed up.
    Loading,
    /// Loaded and warm.
    Ready,
    /// The last load failed so; requests are answered with it until the next attempt.
    Failed(Error),
}

impl State {
    /// Loaded and warm.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready)
    }

    /// One lowercase word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unloaded => "unloaded",
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Failed(_) => "failed",
        }
    }
}

/// A registered task at one moment.
#[derive(Clone, Debug)]
pub struct TaskStatus {
    /// The task's name.
    pub name: &'static str,
    /// The version it is registered under.
    pub version: String,
    /// The catalogue's name of its model.
    pub model: String,
    /// What the model is doing.
    pub state: State,
    /// Bytes that the model holds; 0 when it is not loaded.
    pub memory: u64,
    /// Items waiting.
    pub queue_items: u64,
    /// Cost waiting, in the task's unit.
    pub queue_cost: u64,
    /// Batches being computed.
    pub running_batches: u64,
}

/// How a shutdown ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Items that were still waiting at the deadline and were answered `Unavailable`.
    pub abandoned: usize,
    /// Threads that were still busy with a batch or a load when the shutdown returned; they end with it.
    pub busy_threads: usize,
}

/// The engine. Cheap to clone; when the last clone and the last [`Handle`] are gone it stops without
/// draining.
#[derive(Clone)]
pub struct Engine {
    owner: Arc<Owner>,
}

/// What lanes, loaders and handles share.
struct Shared {
    config: EngineConfig,
    store: Arc<Store>,
    slots: RwLock<Vec<Arc<dyn Slot>>>,
    signals: Arc<Signals>,
    /// What the task whose turn was last had had of the lanes' time.
    turn: Mutex<Duration>,
}

/// Stops the threads when the last user has gone; the threads themselves hold only `Shared`.
struct Owner {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

fn shutting_down() -> Error {
    Error::new(Kind::Unavailable, "the engine is shutting down")
}

impl Engine {
    /// Starts the lanes. No model is loaded yet.
    ///
    /// # Errors
    /// `Unavailable` when the machine gives no more threads.
    pub fn start(config: EngineConfig, store: Arc<Store>) -> Result<Self> {
        let config = EngineConfig {
            lanes: config.lanes.max(1),
            threads_per_lane: config.threads_per_lane.max(1),
            ..config
        };
        let lanes = config.lanes;
        let signals = Arc::new(Signals::new(config.memory_budget, config.load_retry));
        let shared = Arc::new(Shared {
            config,
            store,
            slots: RwLock::default(),
            signals,
            turn: Mutex::default(),
        });
        // From here on an error drops the owner, which stops the threads started so far.
        let engine = Self {
            owner: Arc::new(Owner {
                shared,
                threads: Mutex::default(),
            }),
        };
        for index in 0..lanes {
            engine.spawn(format!("lane-{index}"), lane::run)?;
        }
        engine.spawn("clerk".to_owned(), lane::watch_deadlines)?;
        Ok(engine)
    }

    fn spawn(&self, name: String, work: fn(&Shared)) -> Result<()> {
        let shared = self.owner.shared.clone();
        let guard = shared.signals.enter();
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || {
                let _guard = guard;
                work(&shared);
            })
            .map_err(|source| {
                Error::new(
                    Kind::Unavailable,
                    "the machine gives no more threads to the engine",
                )
                .with_source(source)
            })?;
        self.owner.threads.lock().push(thread);
        Ok(())
    }

    /// Adds a task; versions of one name live side by side. Nothing is loaded yet.
    ///
    /// # Errors
    /// `InvalidInput` when this name and version are registered already, `Unavailable` when the engine
    /// shuts down.
    pub fn register<T: Task>(&self, task: T) -> Result<Handle<T>> {
        let shared = &self.owner.shared;
        if shared.signals.phase() != Phase::Open {
            return Err(shutting_down());
        }
        let slot = Arc::new(TaskSlot::new(task, shared.signals.clone()));
        let mut slots = shared.slots.write();
        if slots
            .iter()
            .any(|other| other.name() == slot.name() && other.version() == slot.version())
        {
            let message = format!(
                "task {} version {} is registered already",
                slot.name(),
                slot.version()
            );
            return Err(Error::new(Kind::InvalidInput, message));
        }
        slots.push(slot.clone());
        Ok(Handle {
            owner: self.owner.clone(),
            slot,
        })
    }

    /// Loads and warms up a task's model, as [`Handle::load`].
    ///
    /// # Errors
    /// As [`Handle::load`].
    pub async fn preload<T: Task>(&self, handle: &Handle<T>) -> Result<()> {
        handle.load().await
    }

    /// All registered tasks, in order of registration.
    pub fn tasks(&self) -> Vec<TaskStatus> {
        self.owner
            .shared
            .slots
            .read()
            .iter()
            .map(|slot| slot.status())
            .collect()
    }

    /// How the engine was started.
    pub fn config(&self) -> &EngineConfig {
        &self.owner.shared.config
    }

    /// Bytes reserved for models now, and the most there ever were.
    pub fn memory(&self) -> (u64, u64) {
        self.owner.shared.signals.memory.used()
    }

    /// Appends the counters of the engine and of all tasks in the Prometheus text format; every name
    /// starts with `escala_`.
    pub fn write_metrics(&self, out: &mut String) {
        let shared = &self.owner.shared;
        let tasks: Vec<Labelled> = shared
            .slots
            .read()
            .iter()
            .map(|slot| slot.labelled())
            .collect();
        let memory = &shared.signals.memory;
        let engine = EngineMetrics {
            lanes: shared.config.lanes,
            memory_used: memory.used().0,
            memory_budget: memory.budget(),
        };
        metrics::write(&engine, &tasks, out).expect("writing to a string cannot fail");
    }

    /// Stops admitting (`Unavailable`), finishes what waits, and ends the threads; what still waits at the
    /// deadline is answered `Unavailable`. Blocks: call it from a thread that may wait.
    ///
    /// Only threads inside a batch or a load at the deadline outlive it, until they are done with that.
    pub fn shutdown(&self, deadline: Instant) -> Shutdown {
        let shared = &self.owner.shared;
        shared.signals.advance(Phase::Draining);
        // Every slot was locked after the phase changed when it is found empty: nothing comes after.
        shared.signals.drained.wait_until(deadline, || {
            shared.slots.read().iter().all(|slot| slot.is_drained())
        });
        let abandoned = self.owner.stop();
        // Idle threads need a moment to see it, even when the deadline has passed.
        let grace = deadline.max(after(Instant::now(), Duration::from_millis(200)));
        let busy_threads = shared.signals.wait_for_threads(grace);
        for thread in std::mem::take(&mut *self.owner.threads.lock()) {
            // Without busy threads all are past their last line; else those that are not are left alone.
            if (busy_threads == 0 || thread.is_finished()) && thread.join().is_err() {
                tracing::error!("an engine thread panicked");
            }
        }
        Shutdown {
            abandoned,
            busy_threads,
        }
    }
}

impl Owner {
    /// Ends the threads after what they are doing; the number of items left without a prediction.
    fn stop(&self) -> usize {
        let signals = &self.shared.signals;
        signals.advance(Phase::Stopped);
        let slots = self.shared.slots.read().clone();
        let abandoned = slots.iter().map(|slot| slot.close(&shutting_down())).sum();
        signals.memory.close();
        signals.lanes.wake_all();
        signals.alarm.touch();
        abandoned
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop();
    }
}
