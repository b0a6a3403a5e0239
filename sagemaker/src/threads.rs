//! Threads that models work on: so many questions at a time, and so many that wait.

use crate::served::Unanswered;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

/// How many questions may wait for a thread, for each that works.
const WAITING: usize = 256;

/// They.
pub(crate) struct Threads {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    most: usize,
}

/// What a container would have answered.
pub(crate) fn unanswered(status: u16, message: impl Into<String>) -> Unanswered {
    Unanswered {
        status,
        message: message.into(),
    }
}

/// Counts one that waits.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Threads {
    /// So many; one at least.
    pub(crate) fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        Self {
            free: Arc::new(Semaphore::new(threads)),
            waiting: AtomicUsize::new(0),
            most: threads * WAITING,
        }
    }

    /// Does some work on a thread, when one is free. Dropping the future gives up its place among those that wait.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Unanswered> + Send + 'static,
    ) -> Result<T, Unanswered> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        if before >= self.most {
            return Err(unanswered(503, "too many questions wait already"));
        }
        let free = Arc::clone(&self.free).acquire_owned().await;
        let free = free.map_err(|_| unanswered(503, "the server ends"))?;
        drop(waiting);
        let work = tokio::task::spawn_blocking(move || {
            let _working = free;
            work()
        });
        work.await
            .map_err(|error| unanswered(500, format!("the model broke: {error}")))?
    }
}
