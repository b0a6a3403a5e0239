//! Places in the queue: given, refused and taken back.

use super::{FIRST_RETRY, Inner, Stage, TaskSlot, Waiting};
use crate::engine::handle::Prediction;
use crate::engine::metrics::Metrics;
use crate::engine::queue::{Entry, Ticket};
use crate::engine::signals::{Phase, after};
use crate::engine::{Shared, shutting_down};
use crate::error::{Error, Kind};
use crate::meter::Meter;
use crate::task::{Options, Priority, Task};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Most items admitted under one hold of the queue's lock.
const ADMIT_AT_ONCE: usize = 256;

/// What to do after the slot is unlocked.
#[derive(Default)]
struct After {
    load: bool,
    work: bool,
    alarm: Option<Instant>,
}

/// What became of several items.
pub(in crate::engine) enum Admitted {
    /// All that were looked at have a place; there may be more.
    All,
    /// The first that is left has no place now.
    Full,
    /// None that is left will be admitted.
    Refused(Error),
}

impl<T: Task> TaskSlot<T> {
    /// Gives one item a place in the queue, or a refusal.
    pub(in crate::engine) fn submit(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        input: T::Input,
        options: Options,
    ) -> Prediction<T> {
        let cost = self.cost(&input);
        let now = Instant::now();
        let deadline = options
            .deadline
            .unwrap_or_else(|| after(now, shared.config.default_deadline));
        if deadline <= now {
            Metrics::add(&self.metrics.expired, 1);
            return Prediction::refused(self.late());
        }
        let (sender, receiver) = oneshot::channel();
        let entry = Entry {
            payload: Waiting {
                input,
                caller: sender,
                meter: Meter::current(),
            },
            cost,
            enqueued: now,
            deadline,
        };
        let mut todo = After::default();
        let outcome = {
            let mut inner = self.inner.lock();
            let outcome = match self.unwilling(&inner, now) {
                Some(error) => Err((error, entry)),
                None if let Some(error) =
                    self.hopeless(&inner, shared, options.priority, deadline - now) =>
                {
                    Err((error, entry))
                }
                None => match inner.queue.push(options.priority, entry) {
                    Ok(ticket) => {
                        self.admitted(&mut inner, deadline, &mut todo);
                        Ok(ticket)
                    }
                    Err(entry) => Err((self.full(&inner), entry)),
                },
            };
            self.gauge(&inner);
            outcome
        };
        self.carry_out(todo, shared);
        match outcome {
            Ok(ticket) => Prediction::waiting(self.clone(), ticket, receiver),
            Err((error, _entry)) => {
                Metrics::add(&self.metrics.refused, 1);
                Prediction::refused(error)
            }
        }
    }

    /// Gives as many of `items` (with their costs) a place as fit now, oldest first.
    pub(in crate::engine) fn submit_some(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        items: &mut VecDeque<(T::Input, u64)>,
        priority: Priority,
        deadline: Instant,
        places: &mut Vec<Prediction<T>>,
    ) -> Admitted {
        let now = Instant::now();
        if deadline <= now {
            Metrics::add(&self.metrics.expired, items.len());
            return Admitted::Refused(self.late());
        }
        let meter = Meter::current();
        let mut todo = After::default();
        let mut outcome = Admitted::All;
        {
            let mut inner = self.inner.lock();
            for _ in 0..ADMIT_AT_ONCE {
                let Some((_, cost)) = items.front() else {
                    break;
                };
                let cost = *cost;
                if let Some(error) = self.unwilling(&inner, now) {
                    Metrics::add(&self.metrics.refused, items.len());
                    outcome = Admitted::Refused(error);
                    break;
                }
                if let Some(error) = self.hopeless(&inner, shared, priority, deadline - now) {
                    Metrics::add(&self.metrics.refused, items.len());
                    outcome = Admitted::Refused(error);
                    break;
                }
                if !inner.queue.admits(priority, cost) {
                    // The caller will wait for room, and must be told when its time is up.
                    self.expect_clerk(&mut inner, deadline, &mut todo);
                    outcome = Admitted::Full;
                    break;
                }
                let Some((input, _)) = items.pop_front() else {
                    break;
                };
                let (sender, receiver) = oneshot::channel();
                let entry = Entry {
                    payload: Waiting {
                        input,
                        caller: sender,
                        meter: meter.clone(),
                    },
                    cost,
                    enqueued: now,
                    deadline,
                };
                if let Ok(ticket) = inner.queue.push(priority, entry) {
                    places.push(Prediction::waiting(self.clone(), ticket, receiver));
                    self.admitted(&mut inner, deadline, &mut todo);
                } else {
                    // Not reached: the queue admitted this very item above, under the same lock.
                    places.push(Prediction::refused(self.full(&inner)));
                }
            }
            self.gauge(&inner);
        }
        self.carry_out(todo, shared);
        outcome
    }

    /// Frees the place of an item that still waits, because its caller has gone.
    pub(in crate::engine) fn cancel(&self, ticket: Ticket) {
        let (entry, idle) = {
            let mut inner = self.inner.lock();
            let Some(entry) = inner.queue.remove(ticket) else {
                return;
            };
            self.gauge(&inner);
            (entry, inner.is_idle())
        };
        Metrics::add(&self.metrics.cancelled, 1);
        drop(entry);
        self.left_queue(idle);
    }

    /// Counts items that never had a place, because their caller has gone.
    pub(in crate::engine) fn gave_up(&self, items: usize) {
        Metrics::add(&self.metrics.cancelled, items);
    }

    /// Why nothing is admitted, if so.
    pub(super) fn unwilling(&self, inner: &Inner<T>, now: Instant) -> Option<Error> {
        if self.signals.phase() != Phase::Open {
            return Some(shutting_down());
        }
        match &inner.stage {
            Stage::Failed { error, until } if now < *until => {
                Some(error.clone().with_retry_after(*until - now))
            }
            _ => None,
        }
    }

    /// Notes what a new item asks for.
    fn admitted(&self, inner: &mut Inner<T>, deadline: Instant, todo: &mut After) {
        self.expect_clerk(inner, deadline, todo);
        match inner.stage {
            Stage::Ready { .. } => todo.work = true,
            Stage::Unloaded | Stage::Failed { .. } => {
                inner.stage = Stage::Loading;
                todo.load = true;
            }
            Stage::Loading | Stage::Warming { .. } => {}
        }
    }

    fn expect_clerk(&self, inner: &mut Inner<T>, deadline: Instant, todo: &mut After) {
        if inner.earliest.is_none_or(|earliest| deadline < earliest) {
            inner.earliest = Some(deadline);
            todo.alarm = Some(deadline);
        }
    }

    fn carry_out(self: &Arc<Self>, todo: After, shared: &Arc<Shared>) {
        if todo.work {
            self.signals.lanes.wake_one();
        }
        if let Some(deadline) = todo.alarm {
            self.signals.alarm.by(deadline);
        }
        if todo.load {
            self.start_load(shared);
        }
    }

    /// Why an item that has so much `time` left would not be computed in it, if so: what waits before it takes longer by its
    /// cost and by its number, even when every lane works on it at its best. Whoever asks should know now, not when the time is
    /// over.
    fn hopeless(
        &self,
        inner: &Inner<T>,
        shared: &Shared,
        priority: Priority,
        time: Duration,
    ) -> Option<Error> {
        let best = inner.best?;
        let (cost, items) = inner.queue.ahead(priority);
        let wait = (cost as f64 / best.cost).min(items as f64 / best.items);
        let wait = wait / shared.config.lanes.max(1) as f64;
        if !(wait.is_finite() && wait > time.as_secs_f64()) {
            return None;
        }
        let later = Duration::from_secs_f64((wait - time.as_secs_f64()).clamp(1.0, 60.0));
        let message = format!(
            "the queue of {} holds work for {wait:.0} s and the request has {:.0} s; try again in {:.0} s",
            self.name,
            time.as_secs_f64(),
            later.as_secs_f64()
        );
        Some(Error::new(Kind::Overloaded, message).with_retry_after(later))
    }

    fn full(&self, inner: &Inner<T>) -> Error {
        let wait = match inner.rate {
            Some(rate) if rate > 0.0 => {
                Duration::from_secs_f64((inner.queue.cost() as f64 / rate).clamp(0.05, 60.0))
            }
            _ => FIRST_RETRY,
        };
        let message = format!(
            "the queue of {} is full ({} items with {} {} wait); try again in {:.1} s",
            self.name,
            inner.queue.items(),
            inner.queue.cost(),
            self.unit.name(),
            wait.as_secs_f64()
        );
        Error::new(Kind::Overloaded, message).with_retry_after(wait)
    }
}
