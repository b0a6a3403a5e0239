//! Where tasks are worked on.
//!
//! A [`Cluster`] is given groups of leased tasks and hands back what became of each. It knows no store: a task may be given
//! twice (its lease was lost), and writes the same bytes under the same name, so that it does not matter which of the two
//! comes back; the fence of each says whose word counts. [`Local`] is this machine.

use crate::behind::behind;
use crate::job::{Fence, Input, Part, Spec, Task};
use crate::runner::DEFECT;
use crate::runner::task::{Ended, Order, Tools, execute};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use tokio::sync::watch;

/// Machines that work on tasks.
pub trait Cluster: Send + Sync {
    /// How many more tasks it wants now.
    fn room(&self) -> usize;

    /// Gives it tasks of one job.
    fn submit(&self, group: Group);

    /// What became of tasks since the last time this was asked. [`Wake`] is called when there is something.
    fn receipts(&self) -> Vec<Receipt>;

    /// Ends the work on a job: each of its tasks comes back soon, most of them put down.
    fn cancel(&self, job: &str);

    /// What was done of tasks of a job that have not come back.
    fn doing(&self, job: &str) -> Doing;
}

/// Called when there is something to be fetched.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Tasks of one job.
#[derive(Clone, Debug)]
pub struct Group {
    /// The job.
    pub spec: Arc<Spec>,
    /// Its inputs.
    pub inputs: Arc<Vec<Input>>,
    /// Its tasks, and the right to say what became of each.
    pub tasks: Vec<(Fence, Task)>,
}

/// What became of a task.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The task and the attempt.
    pub fence: Fence,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a task.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Its part is published.
    Done(Part),
    /// It was cancelled.
    PutDown,
    /// It cannot be done, and the job with it.
    Failed(String),
}

/// What was done of unfinished tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doing {
    /// Documents.
    pub documents: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Bytes that were written.
    pub written: u64,
    /// Documents without an answer.
    pub errors: u64,
}

/// Counters of a task that is worked on.
#[derive(Debug, Default)]
pub struct Live {
    /// Documents.
    pub documents: AtomicU64,
    /// Bytes that were read.
    pub bytes: AtomicU64,
    /// Bytes that were written.
    pub written: AtomicU64,
    /// Documents without an answer.
    pub errors: AtomicU64,
}

impl Live {
    /// It begins again.
    pub fn clear(&self) {
        for counter in [&self.documents, &self.bytes, &self.written, &self.errors] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// This machine: threads that work on a task each.
pub struct Local {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    tools: Tools,
    wake: Wake,
    most: usize,
    inside: Mutex<Inside>,
    changed: Condvar,
}

#[derive(Default)]
struct Inside {
    waiting: VecDeque<Order>,
    /// Threads that work on a task.
    busy: usize,
    /// One of them, and nobody may join it.
    alone: bool,
    /// What is worked on, with what cancels it.
    working: Vec<(Fence, Arc<Live>, watch::Sender<bool>)>,
    ended: Vec<Receipt>,
    closed: bool,
}

impl Local {
    /// Begins with so many threads.
    ///
    /// # Errors
    /// The machine gives no more threads.
    pub fn start(tools: Tools, threads: usize, wake: Wake) -> std::io::Result<Self> {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            tools,
            wake,
            // One waits, so that nobody does.
            most: threads + 1,
            inside: Mutex::default(),
            changed: Condvar::new(),
        });
        let begin = |number: usize| {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name(format!("job-{number}"))
                .stack_size(crate::STACK)
                .spawn(move || shared.work())
        };
        Ok(Self {
            threads: (0..threads).map(begin).collect::<Result<_, _>>()?,
            shared,
        })
    }
}

impl Shared {
    fn next(&self) -> Option<Order> {
        let mut inside = self.inside.lock();
        loop {
            if inside.closed {
                return None;
            }
            let may_begin = match inside.waiting.front() {
                Some(order) if order.alone => inside.busy == 0,
                Some(_) => !inside.alone,
                None => false,
            };
            if may_begin && let Some(order) = inside.waiting.pop_front() {
                inside.busy += 1;
                inside.alone = order.alone;
                return Some(order);
            }
            self.changed.wait(&mut inside);
        }
    }

    fn work(&self) {
        behind();
        while let Some(order) = self.next() {
            let fence = order.fence.clone();
            let worked = std::panic::AssertUnwindSafe(|| execute(&self.tools, order));
            let outcome = match std::panic::catch_unwind(worked) {
                Ok(Ended::Done(part)) => Outcome::Done(part),
                Ok(Ended::PutDown) => Outcome::PutDown,
                Ok(Ended::Failed(why)) => Outcome::Failed(why),
                Err(_) => Outcome::Failed(DEFECT.to_owned()),
            };
            self.ended(fence, outcome);
        }
    }

    fn ended(&self, fence: Fence, outcome: Outcome) {
        let mut inside = self.inside.lock();
        inside.working.retain(|(other, ..)| *other != fence);
        inside.ended.push(Receipt { fence, outcome });
        inside.busy -= 1;
        inside.alone = false;
        drop(inside);
        self.changed.notify_all();
        (self.wake)();
    }
}

impl Cluster for Local {
    fn room(&self) -> usize {
        let inside = self.shared.inside.lock();
        self.shared.most.saturating_sub(inside.working.len())
    }

    fn submit(&self, group: Group) {
        let mut inside = self.shared.inside.lock();
        for (fence, task) in group.tasks {
            let (cancel, cancelled) = watch::channel(false);
            let live = Arc::new(Live::default());
            inside.working.push((fence.clone(), live.clone(), cancel));
            inside.waiting.push_back(Order {
                fence,
                pieces: task.pieces,
                suspect: task.losses.times > 0,
                alone: task.losses.times > 1,
                spec: group.spec.clone(),
                inputs: group.inputs.clone(),
                live,
                cancelled,
                poison: false,
            });
        }
        drop(inside);
        self.shared.changed.notify_all();
    }

    fn receipts(&self) -> Vec<Receipt> {
        std::mem::take(&mut self.shared.inside.lock().ended)
    }

    fn cancel(&self, job: &str) {
        let inside = self.shared.inside.lock();
        for (fence, _, cancel) in &inside.working {
            if fence.job == job {
                cancel.send_replace(true);
            }
        }
    }

    fn doing(&self, job: &str) -> Doing {
        let inside = self.shared.inside.lock();
        let mut doing = Doing::default();
        for (fence, live, _) in &inside.working {
            if fence.job == job {
                doing.documents += live.documents.load(Ordering::Relaxed);
                doing.bytes += live.bytes.load(Ordering::Relaxed);
                doing.written += live.written.load(Ordering::Relaxed);
                doing.errors += live.errors.load(Ordering::Relaxed);
            }
        }
        doing
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let mut inside = self.shared.inside.lock();
        inside.closed = true;
        for (_, _, cancel) in &inside.working {
            cancel.send_replace(true);
        }
        drop(inside);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that works on jobs panicked");
            }
        }
    }
}
