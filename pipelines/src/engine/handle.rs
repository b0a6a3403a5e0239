//! How callers reach a task: a typed handle, and the future of one prediction.

use super::queue::Ticket;
use super::signals::after;
use super::slot::{Admitted, TaskSlot};
use super::{Owner, State, TaskMetrics};
use crate::error::{Error, Kind, Result};
use crate::task::{Options, Task};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;
use tokio::sync::oneshot;

/// A task that is registered with an engine. Cheap to clone; keeps the engine running.
pub struct Handle<T: Task> {
    pub(super) owner: Arc<Owner>,
    pub(super) slot: Arc<TaskSlot<T>>,
}

impl<T: Task> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self {
            owner: self.owner.clone(),
            slot: self.slot.clone(),
        }
    }
}

impl<T: Task> Handle<T> {
    /// Predicts one item. It has its place in the queue (or its refusal) when this returns; the future
    /// only waits for the answer, and dropping it frees the place.
    ///
    /// The future resolves to an error of kind `Overloaded` when the queue is full, `Deadline` when the
    /// deadline passes before the item is picked (an item that is picked in time is answered even if
    /// late), `Unavailable` when the model cannot be loaded or the engine shuts down, `Internal` when the
    /// pipeline breaks, and to whatever the pipeline itself says about the item.
    pub fn predict(&self, input: T::Input, options: Options) -> Prediction<T> {
        self.slot.submit(&self.owner.shared, input, options)
    }

    /// Predicts many items, each with its own place in the queue; the answers are in order.
    ///
    /// The items enter the queue one after the other, and when it is full the rest waits for places, until
    /// the deadline: many items never take more than the queue's bounds, and are not refused as
    /// overloaded while there is time. What has no place at the deadline fails with kind `Deadline`.
    /// Dropping the future frees all places.
    pub fn predict_many(
        &self,
        inputs: Vec<T::Input>,
        options: Options,
    ) -> impl Future<Output = Vec<Result<T::Output>>> + Send + 'static {
        let mut outside = Outside {
            slot: self.slot.clone(),
            items: VecDeque::new(),
        };
        let costed = inputs.into_iter().map(|input| {
            let cost = outside.slot.cost(&input);
            (input, cost)
        });
        outside.items = costed.collect();
        let handle = self.clone();
        async move {
            let (slot, shared) = (&handle.slot, &handle.owner.shared);
            let deadline = options
                .deadline
                .unwrap_or_else(|| after(Instant::now(), shared.config.default_deadline));
            let rest = &mut outside.items;
            let mut places = Vec::with_capacity(rest.len());
            while !rest.is_empty() {
                // Listens before it looks, so that no place becomes free unheard.
                let mut room = pin!(slot.room.notified());
                room.as_mut().enable();
                match slot.submit_some(shared, rest, options.priority, deadline, &mut places) {
                    Admitted::All => {}
                    Admitted::Full => room.await,
                    Admitted::Refused(error) => {
                        places.extend(rest.drain(..).map(|_| Prediction::refused(error.clone())));
                    }
                }
            }
            let mut answers = Vec::with_capacity(places.len());
            for place in places {
                answers.push(place.await);
            }
            answers
        }
    }

    /// [`Handle::predict`] for callers without an async runtime; blocks the thread.
    ///
    /// # Errors
    /// As [`Handle::predict`].
    pub fn predict_blocking(&self, input: T::Input, options: Options) -> Result<T::Output> {
        block_on(self.predict(input, options))
    }

    /// [`Handle::predict_many`] for callers without an async runtime; blocks the thread.
    pub fn predict_many_blocking(
        &self,
        inputs: Vec<T::Input>,
        options: Options,
    ) -> Vec<Result<T::Output>> {
        block_on(self.predict_many(inputs, options))
    }

    /// Loads the model and warms it up, if it is not; concurrent calls and requests share one load. The
    /// load starts when this is called and goes on when the future is dropped.
    ///
    /// The future resolves to an error of kind `Unavailable` when the model cannot be loaded (also, for a
    /// while, after a load failed), `Overloaded` when models in use hold the memory.
    pub fn load(&self) -> impl Future<Output = Result<()>> + Send + 'static {
        let loading = self.slot.load(&self.owner.shared);
        let handle = self.clone();
        async move {
            let outcome = match loading? {
                None => Ok(()),
                Some(receiver) => receiver.await.unwrap_or_else(|_| Err(unanswered())),
            };
            drop(handle);
            outcome
        }
    }

    /// [`Handle::load`] for callers without an async runtime; blocks the thread.
    ///
    /// # Errors
    /// As [`Handle::load`].
    pub fn load_blocking(&self) -> Result<()> {
        block_on(self.load())
    }

    /// What the model is doing.
    pub fn state(&self) -> State {
        self.slot.state()
    }

    /// The task itself, as it was registered.
    pub fn task(&self) -> &T {
        &self.slot.task
    }

    /// The task's counters now.
    pub fn metrics(&self) -> TaskMetrics {
        self.slot.metrics()
    }
}

/// Items of one call, with their costs, that have no place in the queue yet. What is left when the caller
/// goes away is counted as cancelled: every item has an outcome, also one that was never admitted.
struct Outside<T: Task> {
    slot: Arc<TaskSlot<T>>,
    items: VecDeque<(T::Input, u64)>,
}

impl<T: Task> Drop for Outside<T> {
    fn drop(&mut self) {
        self.slot.gave_up(self.items.len());
    }
}

/// The answer to one item, in the future. Dropping it before the answer is there gives the place in the
/// queue free at once, and what had not been picked yet is not computed.
#[must_use = "dropping a prediction cancels it"]
pub struct Prediction<T: Task>(Place<T>);

enum Place<T: Task> {
    Refused(Option<Error>),
    Waiting {
        slot: Arc<TaskSlot<T>>,
        ticket: Ticket,
        receiver: oneshot::Receiver<Result<T::Output>>,
    },
    Over,
}

fn unanswered() -> Error {
    Error::new(
        Kind::Internal,
        "the engine dropped this item without an answer; this is a defect",
    )
}

impl<T: Task> Prediction<T> {
    pub(super) fn refused(error: Error) -> Self {
        Self(Place::Refused(Some(error)))
    }

    pub(super) fn waiting(
        slot: Arc<TaskSlot<T>>,
        ticket: Ticket,
        receiver: oneshot::Receiver<Result<T::Output>>,
    ) -> Self {
        Self(Place::Waiting {
            slot,
            ticket,
            receiver,
        })
    }
}

impl<T: Task> Future for Prediction<T> {
    type Output = Result<T::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let answer = match &mut this.0 {
            Place::Refused(error) => Err(error.take().unwrap_or_else(unanswered)),
            Place::Waiting { receiver, .. } => match Pin::new(receiver).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(answer) => answer.unwrap_or_else(|_| Err(unanswered())),
            },
            Place::Over => Err(unanswered()),
        };
        this.0 = Place::Over;
        Poll::Ready(answer)
    }
}

impl<T: Task> Drop for Prediction<T> {
    fn drop(&mut self) {
        if let Place::Waiting { slot, ticket, .. } = &self.0 {
            slot.cancel(*ticket);
        }
    }
}

/// Wakes a thread that waits for a future.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread; unlike a runtime's own way, it may be called from anywhere.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, EngineConfig};
    use crate::task::{Limits, LoadContext, Pipeline, Unit};
    use escala_models::Compute;
    use escala_weights::{Store, StoreOptions};

    /// A task with two places, whose model is never there.
    struct NeverLoaded;

    impl Task for NeverLoaded {
        type Input = ();
        type Output = ();
        type Pipeline = NeverLoaded;

        fn name(&self) -> &'static str {
            "never"
        }

        fn model(&self) -> &str {
            "never"
        }

        fn unit(&self) -> Unit {
            Unit::Bytes
        }

        fn cost(&self, (): &()) -> u64 {
            1
        }

        fn limits(&self) -> Limits {
            Limits {
                batch_cost: 1,
                batch_items: 1,
                queue_items: 2,
                queue_cost: 2,
            }
        }

        /// Known beforehand, so that the load waits for memory.
        fn memory_estimate(&self) -> Option<u64> {
            Some(1)
        }

        fn load(&self, _: &LoadContext<'_>) -> Result<NeverLoaded> {
            Err(Error::new(Kind::Unavailable, "there is no such model"))
        }
    }

    impl Pipeline for NeverLoaded {
        type Input = ();
        type Output = ();

        fn memory(&self) -> u64 {
            1
        }

        fn sample(&self) {}

        fn run(&self, _: &Compute, batch: &[()]) -> Vec<Result<()>> {
            batch.iter().map(|()| Ok(())).collect()
        }
    }

    #[test]
    fn items_without_a_place_are_cancelled_with_their_caller() {
        let options = StoreOptions {
            dir: Some(std::env::temp_dir().join("escala-handle-tests")),
            offline: true,
            ..StoreOptions::default()
        };
        let store = Store::open(options).expect("opening a store touches no file");
        let engine = Engine::start(EngineConfig::default(), Arc::new(store)).expect("threads");
        let handle = engine.register(NeverLoaded).expect("registered once");
        // Keeps the loader from reserving memory, so that the load waits as long as this is held.
        let memory = &handle.owner.shared.signals.memory;
        let all = memory
            .reserve(memory.budget(), "all", Instant::now(), Vec::new)
            .expect("nothing is loaded");
        let unpolled = handle.predict_many(vec![(); 3], Options::default());
        drop(unpolled);
        assert_eq!(handle.metrics().cancelled, 3);
        {
            let mut many = pin!(handle.predict_many(vec![(); 5], Options::default()));
            let mut context = Context::from_waker(Waker::noop());
            assert!(many.as_mut().poll(&mut context).is_pending());
            assert_eq!(handle.metrics().queue_items, 2);
        }
        assert_eq!(handle.metrics().cancelled, 8);
        drop(all);
    }
}
