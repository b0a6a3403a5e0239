//! Threads that models work on: so many questions at a time, and so many that wait.
//!
//! Questions for which nobody waits have threads and places of their own, which go behind the others: somebody who waits is
//! neither in a line with a transform job nor next to it on the processor.

use crate::served::{Haste, Unanswered};
use escala_batch::behind::behind;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// How many questions may wait for a thread, for each that works.
const WAITING: usize = 256;

/// They.
pub(crate) struct Threads {
    threads: usize,
    now: Places,
    later: Places,
    /// The threads of questions for which nobody waits, made for the first of them; none where the machine gives none.
    pool: OnceLock<Option<ThreadPool>>,
}

/// What a container would have answered.
pub(crate) fn unanswered(status: u16, message: impl Into<String>) -> Unanswered {
    Unanswered {
        status,
        message: message.into(),
    }
}

/// Places of those that work, and of those that wait.
struct Places {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    most: usize,
}

/// Counts one that waits.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    fn new(threads: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(threads)),
            waiting: AtomicUsize::new(0),
            most: threads * WAITING,
        }
    }

    /// A place among those that work, when one is free.
    async fn one(&self) -> Result<OwnedSemaphorePermit, Unanswered> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= self.most {
            return Err(unanswered(503, "too many questions wait already"));
        }
        let free = Arc::clone(&self.free).acquire_owned().await;
        free.map_err(|_| unanswered(503, "the server ends"))
    }
}

impl Threads {
    /// So many; one at least.
    pub(crate) fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        Self {
            threads,
            now: Places::new(threads),
            later: Places::new(threads),
            pool: OnceLock::new(),
        }
    }

    /// Does some work on a thread, when one is free. Dropping the future gives up its place among those that wait.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        haste: Haste,
        work: impl FnOnce() -> Result<T, Unanswered> + Send + 'static,
    ) -> Result<T, Unanswered> {
        let broke =
            |why: &dyn std::fmt::Display| unanswered(500, format!("the model broke: {why}"));
        if haste == Haste::Behind
            && let Some(pool) = self.pool()
        {
            let working = self.later.one().await?;
            let (tell, told) = oneshot::channel();
            pool.spawn(move || {
                let _working = working;
                let answer = catch_unwind(AssertUnwindSafe(work));
                // Whoever asked may have gone away.
                let _ = tell.send(answer);
            });
            return match told.await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(broke(&"a defect ended the work; the log says where")),
                Err(_) => Err(unanswered(503, "the server ends")),
            };
        }
        let working = self.now.one().await?;
        let work = tokio::task::spawn_blocking(move || {
            let _working = working;
            work()
        });
        work.await.map_err(|error| broke(&error))?
    }

    fn pool(&self) -> Option<&ThreadPool> {
        let made = self.pool.get_or_init(|| {
            let pool = ThreadPoolBuilder::new()
                .num_threads(self.threads)
                .thread_name(|number| format!("behind-{number}"))
                .start_handler(|_| behind())
                .build();
            pool.inspect_err(
                |error| tracing::warn!(%error, "questions of jobs share the threads of others"),
            )
            .ok()
        });
        made.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Somebody who waits has an answer while all threads of the others are taken.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_waits_is_not_in_a_line_with_jobs() {
        let threads = Arc::new(Threads::new(1));
        let (begin, begun) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let job = tokio::spawn({
            let threads = Arc::clone(&threads);
            async move {
                let work = move || {
                    begin.send(()).map_err(|_| unanswered(500, "nobody"))?;
                    ended.recv().map_err(|_| unanswered(500, "nobody"))?;
                    Ok(std::thread::current().name().map(str::to_owned))
                };
                threads.run(Haste::Behind, work).await
            }
        });
        tokio::task::spawn_blocking(move || begun.recv())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(threads.run(Haste::Now, || Ok(1)).await, Ok(1));
        end.send(()).unwrap();
        assert_eq!(job.await.unwrap(), Ok(Some("behind-0".to_owned())));
    }

    #[tokio::test]
    async fn a_defect_is_an_answer_and_gives_its_place_back() {
        let threads = Threads::new(1);
        for haste in [Haste::Behind, Haste::Now, Haste::Behind, Haste::Now] {
            let broken = threads.run::<()>(haste, || panic!("on purpose")).await;
            assert_eq!(broken.unwrap_err().status, 500);
        }
        assert_eq!(threads.run(Haste::Behind, || Ok(2)).await, Ok(2));
    }
}
