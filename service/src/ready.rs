//! Which of the models that are loaded at start are warm: what `/readyz` answers.

use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

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
    tasks: Mutex<Inner>,
}

struct Inner {
    states: BTreeMap<&'static str, State>,
    stopping: bool,
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
            tasks: Mutex::new(Inner {
                states,
                stopping: false,
            }),
        }
    }

    /// The task's model is warm.
    pub fn ready(&self, task: &'static str) {
        let after_ms = u64::try_from(self.age().as_millis()).unwrap_or(u64::MAX);
        self.tasks
            .lock()
            .states
            .insert(task, State::Ready { after_ms });
    }

    /// The task's model could not be loaded.
    pub fn failed(&self, task: &'static str, message: String) {
        self.tasks
            .lock()
            .states
            .insert(task, State::Failed { message });
    }

    /// The server drains: balancers must send nothing more.
    pub fn stop(&self) {
        self.tasks.lock().stopping = true;
    }

    /// Every task is warm and the server is not stopping.
    pub fn is_ready(&self) -> bool {
        let tasks = self.tasks.lock();
        !tasks.stopping
            && tasks
                .states
                .values()
                .all(|state| matches!(state, State::Ready { .. }))
    }

    /// The states by task.
    pub fn states(&self) -> BTreeMap<&'static str, State> {
        self.tasks.lock().states.clone()
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
        assert!(Readiness::new([]).is_ready());
    }
}
