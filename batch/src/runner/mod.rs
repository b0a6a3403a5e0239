//! The runner: jobs that are kept become output.
//!
//! ```text
//! mod.rs         who asks: submit, stop, how far it is
//! supervisor.rs  the thread that moves jobs from state to state
//! aside.rs       what is done for a job on a thread of its own: before its tasks, and after them
//! plan.rs        which inputs there are, and how they are cut into tasks
//! task.rs        one task: read -> ask -> write a part            (on the threads of a cluster)
//! whole.rs       one task that is all documents of a job
//! tables.rs      one task that is rows of tables
//! assemble.rs    parts -> output
//! names.rs       what the objects of the output are called
//! progress.rs    how far jobs are
//! trouble.rs     why work on a job does not go on
//! ```
//!
//! # Promises
//!
//! * **Once.** A part is published whole, under a name that is the task's whoever does it; then, in one transaction, the
//!   task is done and its cost counts. Killed in between, it is done again and writes the same bytes under the same name.
//!   Tasks that are done are not asked about again.
//! * **Whole.** Output appears when all of it is there, each object by one step, and the job is completed after that, when its
//!   parts are gone. A job that fails leaves nothing.
//! * **What was planned.** Inputs are frozen when a job is planned; one that has changed by the time it is read fails the job.
//! * **Everything else goes on.** A document without an answer is an error in its place. Whoever asks directly goes first:
//!   jobs ask in small batches, their threads are [behind](crate::behind) those of others, and what is cancelled ends with the
//!   batch that it waits for.

mod aside;
pub mod assemble;
mod names;
pub mod plan;
pub mod progress;
mod supervisor;
mod tables;
pub mod task;
mod trouble;
mod whole;

pub use trouble::{OF_INPUT, OF_INPUTS, OF_OUTPUT, Trouble};

use crate::STACK;
use crate::behind::behind;
use crate::cluster::{Cluster, Doing, Local, Wake};
use crate::job::{Event, Fence, Job, Source, Spec, State, Target, Usage};
use crate::store::{self, Filter, Gone, New, Store, Submitted};
use crate::work::Work;
use escala_objects::{ObjectName, WritableStore};
use parking_lot::Mutex;
use progress::{Progress, Rates};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use supervisor::{Signal, Supervisor};
use task::Tools;
use tokio::runtime::{Builder, Runtime};
pub(crate) use trouble::DEFECT;
use trouble::{chain, no_tables};

/// Who does which kinds of jobs.
pub type Works = Arc<BTreeMap<String, Arc<dyn Work>>>;

/// How inputs are cut into tasks: a task is done again when it is interrupted, and its part is one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of a task, about.
    pub bytes: u64,
    /// Most documents of a task.
    pub documents: u64,
}

/// What a runner may do.
#[derive(Clone)]
pub struct Options {
    /// Jobs that are worked on at the same time; the others wait in their order.
    pub jobs: usize,
    /// Tasks that are worked on at the same time.
    pub tasks: usize,
    /// Live jobs of each kind.
    pub live: u64,
    /// How inputs are cut.
    pub cut: Cut,
    /// How often nobody comes back from the same place of a task before its documents become errors.
    pub attempts: u32,
    /// How often nobody comes back from the same place of a job's planning before it fails. More often than from tasks: a planning
    /// is what every start begins with, so a server that is killed again and again for other reasons is killed in one.
    pub plan_attempts: u32,
    /// How long the machine may have no answers, or take no output, before a job fails.
    pub patience: Duration,
    /// How long a lease lasts without being renewed.
    pub lease: Duration,
    /// How long jobs that have ended are kept; their output stays.
    pub retention: Duration,
    /// Told what is reached, by tests that end the process there.
    pub reached: Option<Arc<dyn Fn(Point) + Send + Sync>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            jobs: 4,
            tasks: 2,
            live: 10,
            cut: Cut {
                bytes: 1 << 20,
                documents: 1000,
            },
            attempts: 5,
            plan_attempts: 15,
            patience: Duration::from_secs(600),
            lease: Duration::from_secs(60),
            retention: Duration::from_secs(90 * 24 * 3600),
            reached: None,
        }
    }
}

/// Instants that a crash may come at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The plan is made and not kept.
    Planned,
    /// A task has some of its answers.
    MidBatch,
    /// A part is written and not published.
    PartWritten,
    /// A part is published and its task not done.
    PartPublished,
    /// Some of the output is put together.
    MidAssembly,
    /// The output is put together and not published.
    OutputWritten,
    /// The output is kept to be there, and the parts are, too.
    Assembled,
    /// Some of the parts are deleted.
    MidClearing,
    /// The output is there and the job not completed.
    BeforeCompleted,
}

fn named(bucket: &str, key: &str) -> Result<ObjectName, Trouble> {
    let name = ObjectName::new(bucket, key, None);
    name.map_err(|error| Trouble::Fails(format!("s3://{bucket}/{key} is no name: {error}")))
}

fn input_name(source: &Source, key: &str) -> Result<ObjectName, Trouble> {
    named(&source.bucket, key)
}

fn output_name(target: &Target, file: &str) -> Result<ObjectName, Trouble> {
    named(&target.bucket, &format!("{}{file}", target.folder))
}

fn part_name(target: &Target, job: &str, task: u64) -> Result<ObjectName, Trouble> {
    output_name(target, &format!(".parts/{job}/{task:08}"))
}

/// The name of an input's file: its key without the folder that the job was given.
fn file_of<'a>(source: &Source, key: &'a str) -> &'a str {
    let folder = source.prefix.rfind('/').map_or(0, |slash| slash + 1);
    key.get(folder..).unwrap_or(key)
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// What makes asking again harmless.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// The caller's word.
    pub token: &'a str,
    /// The request, in a form that is the same for the same request.
    pub request: &'a str,
}

/// The SHA-256 sum of some bytes, in hexadecimal.
fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why a runner does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What keeps the jobs does not.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Nobody does such jobs.
    #[error("nothing here does jobs of the kind {0}")]
    Kind(String),
    /// The machine gives no more threads.
    #[error("no thread can be started for jobs")]
    Thread(#[source] std::io::Error),
}

/// What a runner answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Jobs at work. Dropped, it puts its work down; what was begun goes on when the jobs are opened again.
pub struct Runner {
    shared: Arc<Shared>,
    tell: Sender<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Until it is dropped.
    runtime: Option<Runtime>,
}

struct Shared {
    store: Arc<dyn Store>,
    cluster: Arc<dyn Cluster>,
    tools: Tools,
    options: Options,
    rates: Mutex<Rates>,
    resting: AtomicBool,
    documents: AtomicU64,
    errors: AtomicU64,
}

impl Runner {
    /// Begins to work on what is kept. What others had leased is taken from them: the store is this process's alone.
    ///
    /// # Errors
    /// The store cannot be used, or the machine gives no threads.
    pub fn start(
        store: Arc<dyn Store>,
        objects: Arc<dyn WritableStore>,
        works: Works,
        options: Options,
    ) -> Result<Self> {
        // Answers are waited for, and work is begun, on threads of its own: what jobs begin in a runtime that others use, too,
        // would be behind those others for good.
        let runtime = Builder::new_multi_thread()
            .thread_name("jobs-runtime")
            .thread_stack_size(STACK)
            .on_thread_start(behind)
            .enable_all()
            .build()
            .map_err(Error::Thread)?;
        let owner = uuid::Uuid::new_v4().simple().to_string();
        let gone = Gone::AllBut(owner.clone());
        let lost = store.reclaim(&gone, options.attempts, now())?;
        if lost > 0 {
            tracing::info!(tasks = lost, "tasks that were interrupted are begun again");
        }
        let (tell, told) = channel();
        let marks = store.clone();
        let mark = move |fence: &Fence, place: u64| {
            // It is a hint for later; whether the task is still this process's is found at its end.
            if let Err(error) = marks.mark(fence, place) {
                tracing::debug!(error = chain(&error), "where a task is was not kept");
            }
        };
        let tools = Tools {
            mark: Arc::new(mark),
            objects,
            works,
            runtime: runtime.handle().clone(),
            patience: options.patience,
            reached: options.reached.clone(),
        };
        let waker = Mutex::new(tell.clone());
        let wake: Wake = Arc::new(move || {
            // Whoever would look around is gone with the runner.
            let _ = waker.lock().send(Signal::Wake);
        });
        let cluster = Local::start(tools.clone(), options.tasks, wake).map_err(Error::Thread)?;
        let shared = Arc::new(Shared {
            store,
            cluster: Arc::new(cluster),
            tools,
            options,
            rates: Mutex::default(),
            resting: AtomicBool::new(false),
            documents: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        });
        let supervisor = Supervisor::new(owner, shared.clone(), tell.clone())?;
        let thread = std::thread::Builder::new()
            .name("jobs".to_owned())
            .spawn(move || supervisor.run(&told))
            .map_err(Error::Thread)?;
        Ok(Self {
            shared,
            tell,
            thread: Mutex::new(Some(thread)),
            runtime: Some(runtime),
        })
    }

    /// An id that no job has.
    pub fn new_id() -> String {
        uuid::Uuid::new_v4().simple().to_string()
    }

    /// Keeps a job under a new id. With a token, and the request that it came with, asking again finds the job that was made.
    ///
    /// # Errors
    /// [`Error::Kind`], [`store::Error::Quota`], [`store::Error::Token`].
    pub fn submit(&self, id: String, spec: Spec, token: Option<Token<'_>>) -> Result<Submitted> {
        if !self.shared.tools.works.contains_key(&spec.kind) {
            return Err(Error::Kind(spec.kind));
        }
        let submitted = self.shared.store.submit(New {
            id,
            spec,
            token: token.map(|token| (token.token.to_owned(), digest(token.request.as_bytes()))),
            most_live: self.shared.options.live,
            now: now(),
        })?;
        self.wake();
        Ok(submitted)
    }

    /// The job of a kind that a request made with a token before; none where it made none.
    ///
    /// # Errors
    /// [`store::Error::Token`] when another request had the token.
    pub fn known(&self, kind: &str, token: Token<'_>) -> Result<Option<Job>> {
        let digest = digest(token.request.as_bytes());
        Ok(self.shared.store.known(kind, token.token, &digest)?)
    }

    /// Asks a job to stop. One that was asked already is left as it is.
    ///
    /// # Errors
    /// [`store::Error::NotFound`]; [`store::Error::State`] when it has ended.
    pub fn stop(&self, id: &str) -> Result<Job> {
        let job = self.shared.store.job(id)?;
        if job.state == State::StopRequested {
            return Ok(job);
        }
        let job = self
            .shared
            .store
            .advance(id, State::StopRequested, None, now())?;
        // At once, not when the runner comes round.
        self.shared.cluster.cancel(id);
        self.wake();
        Ok(job)
    }

    /// A job.
    ///
    /// # Errors
    /// [`store::Error::NotFound`].
    pub fn job(&self, id: &str) -> Result<Job> {
        Ok(self.shared.store.job(id)?)
    }

    /// Jobs, in the order of the filter.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn jobs(&self, filter: &Filter) -> Result<Vec<Job>> {
        Ok(self.shared.store.jobs(filter)?)
    }

    /// How many jobs there are in each state.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn states(&self) -> Result<Vec<(State, u64)>> {
        Ok(self.shared.store.states()?)
    }

    /// The log of a job behind an event.
    ///
    /// # Errors
    /// [`store::Error::NotFound`].
    pub fn events(&self, id: &str, after: u64, most: usize) -> Result<Vec<Event>> {
        Ok(self.shared.store.events(id, after, most)?)
    }

    /// What a job took, and how far it is.
    ///
    /// # Errors
    /// [`store::Error::NotFound`].
    pub fn progress(&self, job: &Job) -> Result<(Usage, Progress)> {
        let usage = self.shared.store.usage(&job.id)?;
        let doing = match job.state.is_live() {
            true => self.shared.cluster.doing(&job.id),
            false => Doing::default(),
        };
        let rate = self.shared.rates.lock().rate(&job.id, Instant::now());
        Ok((usage, Progress::of(job, &usage, doing, rate)))
    }

    /// Documents that were done with since the start, and how many of them have no answer.
    pub fn counted(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.shared.documents), count(&self.shared.errors))
    }

    /// Puts the work down and waits until nothing is done any more.
    pub fn rest(&self) {
        self.shared.resting.store(true, Ordering::SeqCst);
        self.wake();
        // Held until it is done: whoever else asks waits, too.
        let mut thread = self.thread.lock();
        if let Some(thread) = thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that moves jobs panicked");
        }
    }

    fn wake(&self) {
        // Whoever would look around rests already.
        let _ = self.tell.send(Signal::Wake);
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.rest();
        // Whoever drops it may be a task that must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
