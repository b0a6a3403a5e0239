//! Which of the models that are loaded at start are warm: what `/readyz` answers; and whether the server stops.

use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How far one model has come.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State {
    /// Not begun, or being fetched or loaded.
    Loading,
    /// Warm.
    Ready {
        /// From the start of the server until it was warm, in milliseconds.
        after_ms: u64,
    },
    /// The last attempt failed; another one follows.
    Failed {
        /// Why, and what to do.
        message: String,
    },
}

/// The states of the preloaded models.
pub struct Readiness {
    started: Instant,
    states: Mutex<BTreeMap<&'static str, State>>,
    leaving: AtomicBool,
    stopping: watch::Sender<bool>,
}

impl Readiness {
    /// None of these tasks is ready yet.
    pub fn new(tasks: impl IntoIterator<Item = &'static str>) -> Self {
        let states = tasks
            .into_iter()
            .map(|task| (task, State::Loading))
            .collect();
        Self {
            started: Instant::now(),
            states: Mutex::new(states),
            leaving: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
        }
    }

    /// The task's model is warm.
    pub fn ready(&self, task: &'static str) {
        let after_ms = u64::try_from(self.age().as_millis()).unwrap_or(u64::MAX);
        self.states.lock().insert(task, State::Ready { after_ms });
    }

    /// The task's model could not be loaded.
    pub fn failed(&self, task: &'static str, message: String) {
        self.states.lock().insert(task, State::Failed { message });
    }

    /// The server will stop: balancers must send nothing more. All else goes on.
    pub fn leave(&self) {
        self.leaving.store(true, Relaxed);
    }

    /// The server drains: balancers must send nothing more, and answers that would go on end.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Comes back when the server drains.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender is here as long as this waits.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Every task is warm and the server neither stops nor is about to.
    pub fn is_ready(&self) -> bool {
        let states = self.states.lock();
        let warm = |state| matches!(state, &State::Ready { .. });
        let stays = !self.leaving.load(Relaxed) && !*self.stopping.borrow();
        stays && states.values().all(warm)
    }

    /// The states by task.
    pub fn states(&self) -> BTreeMap<&'static str, State> {
        self.states.lock().clone()
    }

    /// Time since the server was started.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_all_are_and_we_are_staying() {
        let readiness = Readiness::new(["a", "b"]);
        assert!(!readiness.is_ready());
        readiness.ready("a");
        readiness.failed("b", "no weights".to_owned());
        assert!(!readiness.is_ready());
        assert_eq!(
            readiness.states()["b"],
            State::Failed {
                message: "no weights".to_owned()
            }
        );
        readiness.ready("b");
        assert!(readiness.is_ready());
        readiness.stop();
        assert!(!readiness.is_ready());
        let readiness = Readiness::new([]);
        assert!(readiness.is_ready());
        readiness.leave();
        assert!(!readiness.is_ready());
    }

    #[tokio::test]
    async fn who_waits_for_the_end_learns_of_it_early_or_late() {
        let readiness = Readiness::new([]);
        let mut waiting = Box::pin(readiness.stopped());
        // What goes on while balancers look elsewhere goes on.
        readiness.leave();
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        readiness.stop();
        waiting.await;
        readiness.stopped().await;
    }
}
