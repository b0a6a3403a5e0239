//! The model: loaded on a thread of its own, warmed up on a lane, or failed.

use super::{FIRST_RETRY, Stage, TaskSlot, Waiting};
use crate::engine::memory::Reservation;
use crate::engine::metrics::Metrics;
use crate::engine::queue::Entry;
use crate::engine::signals::{Phase, after};
use crate::engine::{Shared, shutting_down};
use crate::error::{Error, Kind, Result};
use crate::task::{LoadContext, Pipeline, Task};
use escala_models::{Compute, Target, threads};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// The back-off after failed loads grows to this many times its first value.
const MOST_BACK_OFF: u32 = 64;

impl<T: Task> TaskSlot<T> {
    /// Starts a load unless one is under way; the receiver hears how it ends. `None` when already ready.
    ///
    /// # Errors
    /// While the engine shuts down, and during the back-off after a failed load.
    pub(in crate::engine) fn load(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
    ) -> Result<Option<oneshot::Receiver<Result<()>>>> {
        let (sender, receiver) = oneshot::channel();
        let start = {
            let mut inner = self.inner.lock();
            if let Some(error) = self.unwilling(&inner, Instant::now()) {
                return Err(error);
            }
            let start = match inner.stage {
                Stage::Ready { .. } => return Ok(None),
                Stage::Unloaded | Stage::Failed { .. } => true,
                Stage::Loading | Stage::Warming { .. } => false,
            };
            if start {
                inner.stage = Stage::Loading;
            }
            // Those who stopped waiting do not pile up.
            inner.load_waiters.retain(|waiter| !waiter.is_closed());
            inner.load_waiters.push(sender);
            start
        };
        if start {
            self.start_load(shared);
        }
        Ok(Some(receiver))
    }

    /// Loads on a thread of its own: a slow load holds up nobody else. To be called by whoever set
    /// `Stage::Loading`.
    pub(super) fn start_load(self: &Arc<Self>, shared: &Arc<Shared>) {
        let (slot, shared, guard) = (self.clone(), shared.clone(), self.signals.enter());
        let spawned = threads::spawn(format!("load-{}", self.name), move || {
            let _guard = guard;
            slot.load_now(&shared);
        });
        if let Err(source) = spawned {
            let error = Error::new(
                Kind::Unavailable,
                format!("no thread to load the model of {}", self.name),
            );
            self.load_failed(error.with_source(source), 0);
        }
    }

    fn load_now(&self, shared: &Shared) {
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.fetch(shared)))
            .unwrap_or_else(|panic| Err(self.panicked("loading", &*panic)));
        match outcome {
            Err(error) => self.load_failed(error, 0),
            Ok((pipeline, bytes)) => {
                {
                    let mut inner = self.inner.lock();
                    if self.signals.phase() != Phase::Stopped {
                        let pipeline = Arc::new(pipeline);
                        let loaded = Instant::now();
                        inner.stage = Stage::Warming {
                            pipeline,
                            bytes,
                            began,
                            loaded,
                            taken: false,
                        };
                        self.metrics.memory.set(bytes);
                        drop(inner);
                        return self.signals.lanes.wake_one();
                    }
                }
                self.discard(pipeline);
                self.load_failed(shutting_down(), bytes);
            }
        }
    }

    /// Makes room, loads, and makes the reserved bytes those that the model really holds.
    fn fetch(&self, shared: &Shared) -> Result<(T::Pipeline, u64)> {
        let memory = &self.signals.memory;
        let slots = || shared.slots.read().clone();
        let model = self.task.model();
        let deadline = after(Instant::now(), shared.config.default_deadline);
        let known = self
            .inner
            .lock()
            .measured
            .or_else(|| self.task.memory_estimate());
        let mut reservation = match known {
            Some(bytes) => memory.reserve(bytes, model, deadline, slots)?,
            None => Reservation::none(memory),
        };
        loop {
            let pipeline = self.task.load(&LoadContext {
                weights: &shared.store,
                target: Target {
                    device: &shared.config.device,
                    precision: self.task.precision(shared.config.precision),
                },
            })?;
            let bytes = pipeline.memory();
            let before = self.inner.lock().measured.replace(bytes);
            if reservation.resize(bytes, model, slots)? {
                reservation.keep();
                return Ok((pipeline, bytes));
            }
            // Larger than expected, and the rest is held by models in use. Waiting with the memory held
            // could make two loads wait for each other: start again with the size known now.
            drop(pipeline);
            drop(reservation);
            if before == Some(bytes) || Instant::now() >= deadline {
                let message = format!(
                    "no memory for model {model}: {bytes} bytes are taken by models in use"
                );
                return Err(Error::new(Kind::Overloaded, message).with_retry_after(FIRST_RETRY));
            }
            reservation = memory.reserve(bytes, model, deadline, slots)?;
        }
    }

    /// Answers everyone who waits for the model with the error, and starts the back-off. The pipeline
    /// must be gone; `bytes` are what it held.
    pub(super) fn load_failed(&self, error: Error, bytes: u64) {
        tracing::warn!(task = self.name, version = self.version, error = %error, "the model cannot be loaded");
        self.signals.memory.release(bytes);
        let (waiting, waiters) = {
            let mut inner = self.inner.lock();
            let factor = 1u32
                .checked_shl(inner.failures)
                .unwrap_or(MOST_BACK_OFF)
                .min(MOST_BACK_OFF);
            inner.failures = inner.failures.saturating_add(1);
            let until = after(
                Instant::now(),
                self.signals.load_retry.saturating_mul(factor),
            );
            inner.stage = Stage::Failed {
                error: error.clone(),
                until,
            };
            self.metrics.memory.set(0);
            let waiting = inner.queue.drain();
            self.gauge(&inner);
            (waiting, std::mem::take(&mut inner.load_waiters))
        };
        Metrics::add(&self.metrics.load_failures, 1);
        self.answer_all(waiting, waiters, &error);
    }

    /// Answers items and those who wait for the model; the number of items.
    pub(super) fn answer_all(
        &self,
        waiting: Vec<Entry<Waiting<T>>>,
        waiters: Vec<oneshot::Sender<Result<()>>>,
        error: &Error,
    ) -> usize {
        let count = waiting.len();
        Metrics::add(&self.metrics.failed, count);
        for entry in waiting {
            let _ = entry.payload.caller.send(Err(error.clone()));
        }
        for waiter in waiters {
            let _ = waiter.send(Err(error.clone()));
        }
        self.left_queue(true);
        count
    }

    /// Runs the model's own sample; it is ready only when it has answered that.
    pub(super) fn warm_up(&self, compute: &Compute, pipeline: Arc<T::Pipeline>) {
        let sample = catch_unwind(AssertUnwindSafe(|| pipeline.sample()))
            .map_err(|panic| self.panicked("making its sample", &*panic));
        let answer = sample.and_then(|sample| {
            let mut answers = self.attempt(&pipeline, compute, std::slice::from_ref(&sample))?;
            match answers.pop() {
                Some(Ok(_)) => Ok(()),
                Some(Err(error)) => {
                    let message = format!("model {} fails on its own sample", self.task.model());
                    Err(Error::new(Kind::Unavailable, message).with_source(error))
                }
                None => Err(Error::new(Kind::Internal, "no answer to the sample")),
            }
        });
        drop(pipeline);
        let mut inner = self.inner.lock();
        inner.running -= 1;
        self.metrics.running.set(inner.running);
        let Stage::Warming {
            pipeline,
            bytes,
            began,
            ..
        } = std::mem::replace(&mut inner.stage, Stage::Loading)
        else {
            // Only this function leaves `Warming`, once per load.
            return;
        };
        match answer {
            Ok(()) => {
                inner.stage = Stage::Ready { pipeline, bytes };
                inner.failures = 0;
                inner.last_used = Instant::now();
                let waiters = std::mem::take(&mut inner.load_waiters);
                let idle = inner.is_idle();
                drop(inner);
                Metrics::add(&self.metrics.loads, 1);
                self.metrics.load_time.observe_time(began.elapsed());
                tracing::info!(
                    task = self.name,
                    version = self.version,
                    model = self.task.model(),
                    bytes,
                    seconds = began.elapsed().as_secs_f64(),
                    "model ready"
                );
                for waiter in waiters {
                    let _ = waiter.send(Ok(()));
                }
                if idle {
                    self.signals.memory.idle();
                }
                self.signals.progress();
            }
            Err(error) => {
                drop(inner);
                self.discard(pipeline);
                self.load_failed(error, bytes);
            }
        }
    }
}
