//! Batches: taken from the queue, computed on a lane, answered.

use super::{Answer, Inner, Pace, TaskSlot, Waiting};
use crate::engine::metrics::Metrics;
use crate::engine::queue::Entry;
use crate::error::{Error, Kind, Result};
use crate::meter::Meter;
use crate::task::{Pipeline, Task};
use escala_models::Compute;
use parking_lot::MutexGuard;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Whom to answer while an item is computed.
struct Caller<T: Task> {
    sender: oneshot::Sender<Answer<T>>,
    meter: Option<Meter>,
    cost: u64,
    enqueued: Instant,
}

/// Tells those who count what encoders were shown for their items.
fn count<T: Task>(compute: &Compute, callers: &[Caller<T>]) {
    for (caller, tokens) in callers.iter().zip(compute.shown.take()) {
        if let Some(meter) = &caller.meter {
            meter.add(tokens);
        }
    }
}

impl<T: Task> TaskSlot<T> {
    pub(super) fn run_batch(
        &self,
        compute: &Compute,
        mut inner: MutexGuard<'_, Inner<T>>,
        pipeline: Arc<T::Pipeline>,
        had: Duration,
    ) {
        let (mut batch, mut expired) = (Vec::new(), Vec::new());
        let started = Instant::now();
        inner.queue.take(started, &mut batch, &mut expired);
        self.gauge(&inner);
        let more = !inner.queue.is_empty();
        let computes = !batch.is_empty();
        if computes {
            inner.running += 1;
            self.metrics.running.set(inner.running);
        }
        let idle = inner.is_idle();
        drop(inner);
        if more {
            // This lane is busy now: let another look at the rest.
            self.signals.lanes.wake_one();
        }
        self.answer_late(expired);
        if !computes {
            drop(pipeline);
            return self.left_queue(idle);
        }
        self.room.notify_waiters();

        let (inputs, callers): (Vec<T::Input>, Vec<Caller<T>>) = batch
            .into_iter()
            .map(|entry| {
                let Entry {
                    payload:
                        Waiting {
                            input,
                            caller,
                            meter,
                        },
                    cost,
                    enqueued,
                    ..
                } = entry;
                (
                    input,
                    Caller {
                        sender: caller,
                        meter,
                        cost,
                        enqueued,
                    },
                )
            })
            .unzip();
        let cost: u64 = callers.iter().map(|caller| caller.cost).sum();
        for caller in &callers {
            self.metrics
                .queue_wait
                .observe_time(started.saturating_duration_since(caller.enqueued));
        }
        Metrics::add(&self.metrics.batches, 1);
        self.metrics.batch_items.observe(inputs.len() as u64);
        self.metrics.batch_cost.observe(cost);

        let answers = self.answers(&pipeline, compute, &inputs, &callers);
        let took = started.elapsed();
        {
            let mut sum = self.had.lock();
            *sum = (*sum).max(had).saturating_add(took);
        }
        self.metrics.compute.observe_time(took);
        // Before the count of running batches falls: then an evicted pipeline is gone when it is dropped.
        drop(pipeline);

        let (mut done, mut failed, mut gone, mut units) = (0, 0, 0, 0);
        for (caller, answer) in callers.iter().zip(&answers) {
            if caller.sender.is_closed() {
                gone += 1;
            } else if answer.is_ok() {
                done += 1;
                units += caller.cost;
            } else {
                failed += 1;
            }
        }
        Metrics::add(&self.metrics.done, done);
        Metrics::add(&self.metrics.failed, failed);
        Metrics::add(&self.metrics.cancelled, gone);
        self.metrics.units.fetch_add(units, Ordering::Relaxed);

        let idle = {
            let mut inner = self.inner.lock();
            let seconds = took.as_secs_f64().max(1e-9);
            let rate = cost as f64 / seconds;
            inner.rate = Some(inner.rate.map_or(rate, |before| 0.8 * before + 0.2 * rate));
            let full = callers.len() >= self.limits.batch_items;
            if full || cost.saturating_mul(4) >= self.limits.batch_cost {
                let fading = |before: f64, new: f64| (0.95 * before + 0.05 * new).max(new);
                let items = callers.len() as f64 / seconds;
                let before = inner.best.unwrap_or(Pace { cost: rate, items });
                inner.best = Some(Pace {
                    cost: fading(before.cost, rate),
                    items: fading(before.items, items),
                });
            }
            inner.last_used = Instant::now();
            inner.running -= 1;
            self.metrics.running.set(inner.running);
            inner.is_idle()
        };
        // Before the answers: who has an answer finds the engine's books in order.
        if idle {
            self.signals.memory.idle();
        }
        for (caller, answer) in callers.into_iter().zip(answers) {
            // The caller may just have gone; there is no one else to tell.
            let _ = caller.sender.send(answer);
        }
        self.signals.progress();
    }

    /// One answer per input. A batch that panics is run again item by item, so that only the item to
    /// blame suffers.
    fn answers(
        &self,
        pipeline: &T::Pipeline,
        compute: &Compute,
        inputs: &[T::Input],
        callers: &[Caller<T>],
    ) -> Vec<Answer<T>> {
        match self.attempt(pipeline, compute, inputs) {
            Ok(answers) => {
                count(compute, callers);
                answers
            }
            Err(error) if inputs.len() == 1 => vec![Err(error)],
            Err(error) => inputs
                .chunks(1)
                .zip(callers)
                .map(|(alone, caller)| {
                    if caller.sender.is_closed() {
                        return Err(error.clone());
                    }
                    let mut answers = self.attempt(pipeline, compute, alone)?;
                    count(compute, std::slice::from_ref(caller));
                    answers.pop().unwrap_or_else(|| Err(error.clone()))
                })
                .collect(),
        }
    }

    /// Runs the pipeline once; an error when it panics or does not answer each input.
    pub(super) fn attempt(
        &self,
        pipeline: &T::Pipeline,
        compute: &Compute,
        inputs: &[T::Input],
    ) -> Result<Vec<Answer<T>>> {
        // Of a batch that broke off, or that nobody counts.
        compute.shown.take();
        match catch_unwind(AssertUnwindSafe(|| pipeline.run(compute, inputs))) {
            Ok(answers) if answers.len() == inputs.len() => Ok(answers),
            Ok(answers) => {
                let message = format!(
                    "the model of {} gave {} answers to {} items",
                    self.name,
                    answers.len(),
                    inputs.len()
                );
                tracing::error!(task = self.name, version = self.version, "{message}");
                Err(Error::new(Kind::Internal, message))
            }
            Err(panic) => Err(self.panicked("computing", &*panic)),
        }
    }
}
