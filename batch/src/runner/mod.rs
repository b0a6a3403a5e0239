//! The runner: jobs that are kept become output.
//!
//! ```text
//! mod.rs       who asks: submit, stop, how far it is; the thread that moves jobs from state to state
//! plan.rs      which inputs there are, and how they are cut into tasks
//! task.rs      one task: read -> ask -> write a part            (on the threads of a cluster)
//! whole.rs     one task that is all documents of a job
//! tables.rs    one task that is rows of tables
//! assemble.rs  parts -> output
//! names.rs     what the objects of the output are called
//! progress.rs  how far jobs are
//! ```
//!
//! # Promises
//!
//! * **Once.** A part is published whole, under a name that is the task's whoever does it; then, in one transaction, the
//!   task is done and its cost counts. Killed in between, it is done again and writes the same bytes under the same name.
//!   Tasks that are done are not asked about again.
//! * **Whole.** Output appears when all of it is there, each object by one step, and the job is completed after that. A job
//!   that fails leaves nothing.
//! * **What was planned.** Inputs are frozen when a job is planned; one that has changed by the time it is read fails the job.
//! * **Everything else goes on.** A document without an answer is an error in its place. Whoever asks directly goes first:
//!   jobs ask in small batches, their threads are [behind](crate::behind) those of others, and what is cancelled ends with the
//!   batch that it waits for.

pub mod assemble;
mod names;
pub mod plan;
pub mod progress;
mod tables;
pub mod task;
mod whole;

use crate::STACK;
use crate::behind::behind;
use crate::cluster::{Cluster, Doing, Group, Local, Outcome, Receipt, Wake};
use crate::job::{
    Event, Fence, Input, Job, Part, Plan, Source, Spec, State, Target, TaskState, Usage,
};
use crate::store::{self, Filter, Gone, New, Store, Submitted};
use crate::work::Work;
use assemble::Committed;
use escala_objects::{Error as ObjectError, Listed, ObjectName, WritableStore};
use parking_lot::Mutex;
use progress::{Progress, Rates};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use task::Tools;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// Who does which kinds of jobs.
pub type Works = Arc<BTreeMap<String, Arc<dyn Work>>>;

/// How often the runner looks around without being asked.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is asked whether a table that is cut is still wanted.
const GLANCE: Duration = Duration::from_millis(100);
/// Most live jobs that are looked at.
const MOST_LIVE: usize = 10_000;
/// How often a job is planned where the machine cannot, a second apart at least.
const TRIES: u32 = 10;
/// The longest pause before a job is put together again where the machine cannot; the first is a second.
const PAUSE: Duration = Duration::from_secs(30);
/// Ended jobs whose parts are looked for at the start: those that ended in the moment of a crash are among the last.
const LATE: usize = 100;

/// How often old jobs are looked for, and how many are forgotten at a time.
const FORGET: Duration = Duration::from_secs(3600);
const MOST_FORGOTTEN: usize = 100;

/// Why a job fails whose work panics.
pub(crate) const DEFECT: &str = "a defect ended the work on it; the log says where";

/// How the reason of a failed job begins where one of its inputs is to blame, where all of them together are, and where its
/// output is: for doors that have words of their own for it.
pub const OF_INPUT: &str = "the input ";
/// All inputs together.
pub const OF_INPUTS: &str = "the inputs ";
/// The output.
pub const OF_OUTPUT: &str = "the output ";

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
    /// The output is there and the job not completed.
    BeforeCompleted,
}

/// Why something does not go on.
#[derive(Debug)]
pub enum Trouble {
    /// Somebody asked for rest.
    Rest,
    /// The machine's, for now.
    Now(String),
    /// The job fails.
    Fails(String),
}

impl Trouble {
    fn of(what: String, error: &ObjectError) -> Self {
        match error {
            ObjectError::Unavailable(_) => Self::Now(format!("{what}: {error}")),
            _ => Self::Fails(format!("{what}: {error}")),
        }
    }

    fn input(bucket: &str, key: &str, error: &ObjectError) -> Self {
        Self::of(
            format!("{OF_INPUT}s3://{bucket}/{key} cannot be read"),
            error,
        )
    }

    fn output(output: &Target, error: &ObjectError) -> Self {
        let (bucket, folder) = (&output.bucket, &output.folder);
        Self::of(
            format!("{OF_OUTPUT}s3://{bucket}/{folder} cannot be written"),
            error,
        )
    }

    fn changed(key: &str) -> Self {
        Self::Fails(format!(
            "{OF_INPUT}`{key}` has changed since the job was planned"
        ))
    }

    fn unknown(kind: &str) -> Self {
        Self::Fails(format!("nothing here does jobs of the kind {kind}"))
    }
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

fn no_tables(spec: &Spec) -> Trouble {
    Trouble::Fails(format!(
        "jobs of the kind {} read no tables here",
        spec.kind
    ))
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

enum Signal {
    /// Something may be there.
    Wake,
    /// A thread aside is done with a job.
    Aside(String, Aside),
}

enum Aside {
    Planned(Result<Plan, Trouble>),
    /// Why the job fails although its output is there, where it does.
    Assembled(Result<Option<String>, Trouble>),
    Cleared,
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
        let late = Filter {
            states: vec![State::Completed, State::Failed, State::Stopped],
            most: LATE,
            ..Filter::default()
        };
        let late = shared.store.jobs(&late)?;
        let supervisor = Supervisor {
            owner,
            shared: shared.clone(),
            tell: tell.clone(),
            asides: BTreeMap::new(),
            known: BTreeMap::new(),
            out: BTreeMap::new(),
            unkept: Vec::new(),
            tries: BTreeMap::new(),
            committed: BTreeMap::new(),
            ended: late.into_iter().map(|job| (job.id.clone(), job)).collect(),
            renewed: Instant::now(),
            forgot: None,
            turn: 0,
        };
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

    /// Jobs, the youngest first.
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

/// The thread that moves jobs from state to state.
struct Supervisor {
    owner: String,
    shared: Arc<Shared>,
    tell: Sender<Signal>,
    /// Threads that plan or assemble, and what tells them to rest.
    asides: BTreeMap<String, (Arc<AtomicBool>, JoinHandle<()>)>,
    /// What running jobs need for their tasks.
    known: BTreeMap<String, (Arc<Spec>, Arc<Vec<Input>>)>,
    /// Tasks that are with the cluster.
    out: BTreeMap<String, usize>,
    /// What became of tasks, where the store did not keep it when it was told.
    unkept: Vec<Receipt>,
    /// Jobs that were planned or assembled in vain.
    tries: BTreeMap<String, Tried>,
    /// What jobs have put into their output.
    committed: BTreeMap<String, Arc<Committed>>,
    /// Jobs that have ended and whose parts may still be there.
    ended: BTreeMap<String, Job>,
    renewed: Instant,
    /// When there was nothing to forget.
    forgot: Option<Instant>,
    /// Whose turn it is among jobs of one priority.
    turn: usize,
}

/// What was done in vain.
struct Tried {
    times: u32,
    /// When it was the first time.
    since: Instant,
    /// When it is done again.
    next: Instant,
}

impl Supervisor {
    fn run(mut self, told: &Receiver<Signal>) {
        loop {
            if let Err(error) = self.look() {
                tracing::error!(error = chain(&error), "jobs cannot be moved now");
            }
            let mut signal = match told.recv_timeout(LOOK) {
                Ok(signal) => Some(signal),
                Err(RecvTimeoutError::Timeout) => None,
                // It holds a sender itself.
                Err(RecvTimeoutError::Disconnected) => break,
            };
            while let Some(one) = signal {
                if let Signal::Aside(id, aside) = one
                    && let Err(error) = self.aside(&id, aside)
                {
                    tracing::error!(job = id, error = chain(&error), "a job cannot be moved now");
                }
                signal = told.try_recv().ok();
            }
            if self.shared.resting.load(Ordering::SeqCst) {
                self.rest(told);
                return;
            }
        }
    }

    /// Puts everything down.
    fn rest(&mut self, told: &Receiver<Signal>) {
        for (stop, _) in self.asides.values() {
            stop.store(true, Ordering::SeqCst);
        }
        let jobs: Vec<String> = self.out.keys().cloned().collect();
        for id in &jobs {
            self.shared.cluster.cancel(id);
        }
        while self.out.values().any(|count| *count > 0) {
            if let Err(error) = self.receipts() {
                tracing::error!(error = chain(&error), "a task cannot be put down");
            }
            if self.out.values().all(|count| *count == 0) {
                break;
            }
            // What comes in between is seen at the next turn; the time is for what nobody tells.
            let _ = told.recv_timeout(Duration::from_millis(100));
        }
        // For the last time: what is not kept is begun again at the next start.
        if !self.unkept.is_empty()
            && let Err(error) = self.receipts()
        {
            tracing::error!(error = chain(&error), "what became of a task is not kept");
        }
        for (_, (_, thread)) in std::mem::take(&mut self.asides) {
            if thread.join().is_err() {
                tracing::error!("a thread that plans or assembles panicked");
            }
        }
    }

    /// Does what can be done now.
    fn look(&mut self) -> store::Result<()> {
        // The other jobs go on whatever becomes of it.
        let kept = self.receipts();
        self.renew()?;
        let live = Filter {
            states: State::ALL
                .into_iter()
                .filter(|state| state.is_live())
                .collect(),
            most: MOST_LIVE,
            ..Filter::default()
        };
        let mut live = self.shared.store.jobs(&live)?;
        live.reverse();
        live.sort_by_key(|job| std::cmp::Reverse(job.spec.priority));
        let most = self.shared.options.jobs.max(1);
        let works = |job: &&Job| matches!(job.state, State::Running | State::Committing);
        let mut working = live.iter().filter(works).count();
        let mut running = Vec::new();
        for job in live {
            let id = job.id.clone();
            match job.state {
                State::StopRequested => self.stop(job)?,
                State::Submitted if self.asides.len() < most => {
                    let job = self
                        .shared
                        .store
                        .advance(&id, State::Planning, None, now())?;
                    self.plan(job);
                }
                State::Planning => self.plan(job),
                State::Queued if working < most => {
                    working += 1;
                    running.push(
                        self.shared
                            .store
                            .advance(&id, State::Running, None, now())?,
                    );
                }
                State::Running => running.push(job),
                State::Committing => self.assemble(job),
                _ => {}
            }
        }
        self.tasks(running)?;
        self.forget()?;
        self.clear();
        self.sample();
        kept
    }

    fn renew(&mut self) -> store::Result<()> {
        let lease = self.shared.options.lease;
        if self.renewed.elapsed() < lease / 4 {
            return Ok(());
        }
        self.renewed = Instant::now();
        self.shared.store.renew(&self.owner, self.until())?;
        let attempts = self.shared.options.attempts;
        let lost = self.shared.store.reclaim(&Gone::Expired, attempts, now())?;
        if lost > 0 {
            tracing::warn!(tasks = lost, "leases have ended before their tasks");
        }
        Ok(())
    }

    /// Forgets jobs that ended long ago, some at a time.
    fn forget(&mut self) -> store::Result<()> {
        if self.forgot.is_some_and(|at| at.elapsed() < FORGET) {
            return Ok(());
        }
        let kept = self.shared.options.retention.as_millis();
        let before = now().saturating_sub(i64::try_from(kept).unwrap_or(i64::MAX));
        let gone = self.shared.store.forget(before, MOST_FORGOTTEN)?;
        if gone > 0 {
            tracing::info!(jobs = gone, "jobs that ended long ago are forgotten");
        }
        // Where there may be more, the next look has them.
        self.forgot = (gone < MOST_FORGOTTEN as u64).then(Instant::now);
        Ok(())
    }

    fn until(&self) -> i64 {
        let lease = i64::try_from(self.shared.options.lease.as_millis()).unwrap_or(i64::MAX);
        now().saturating_add(lease)
    }

    /// Begins tasks of running jobs, those of the highest priority first and of equal ones in turn; jobs without any go on.
    fn tasks(&mut self, running: Vec<Job>) -> store::Result<()> {
        let mut begin = Vec::new();
        for job in running {
            // So there are never more of a job's than tasks that are worked on at a time.
            if self.is_unkept(&job.id) {
                continue;
            }
            let states = self.shared.store.task_states(&job.id)?;
            let count = |state: TaskState| {
                let found = states.iter().find(|(other, _)| *other == state);
                found.map_or(0, |(_, count)| *count)
            };
            if count(TaskState::Failed) > 0 {
                // A version that failed the two one after the other was ended in between.
                self.fail(&job.id, "a task of it failed; its log says why")?;
            } else if count(TaskState::Pending) > 0 {
                begin.push(job);
            } else if count(TaskState::Leased) == 0 {
                let to = State::Committing;
                let job = self.shared.store.advance(&job.id, to, None, now())?;
                self.assemble(job);
            }
        }
        let Some(first) = begin.first().filter(|_| self.shared.cluster.room() > 0) else {
            return Ok(());
        };
        let same = first.spec.priority;
        let equal = begin.iter().filter(|job| job.spec.priority == same).count();
        self.turn = self.turn.wrapping_add(1);
        begin[..equal].rotate_left(self.turn % equal);
        // One task of each in turn, as long as there is room.
        let mut left = true;
        while left && self.shared.cluster.room() > 0 {
            left = false;
            for job in &begin {
                if self.shared.cluster.room() > 0 && self.begin(job)? {
                    left = true;
                    // Those of lower priority wait as long as this one has something.
                    if job.spec.priority > begin.last().map_or(0, |job| job.spec.priority) {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Begins a task of a job; `false` where it has none.
    fn begin(&mut self, job: &Job) -> store::Result<bool> {
        // First: a task that is leased and not begun would be so for good.
        if !self.known.contains_key(&job.id) {
            let inputs = self.shared.store.inputs(&job.id)?;
            let known = (Arc::new(job.spec.clone()), Arc::new(inputs));
            self.known.insert(job.id.clone(), known);
        }
        let until = self.until();
        let leased = self
            .shared
            .store
            .lease(&job.id, &self.owner, 1, until, now());
        let leased = match leased {
            Ok(leased) => leased,
            // It was asked to stop in this moment.
            Err(store::Error::State { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        if leased.is_empty() {
            return Ok(false);
        }
        let (spec, inputs) = self.known[&job.id].clone();
        *self.out.entry(job.id.clone()).or_default() += leased.len();
        self.shared.cluster.submit(Group {
            spec,
            inputs,
            tasks: leased,
        });
        Ok(true)
    }

    /// Keeps what became of tasks. What cannot be kept now is kept at the next look: the lease is this process's, and is
    /// renewed until then.
    fn receipts(&mut self) -> store::Result<()> {
        let mut receipts = std::mem::take(&mut self.unkept);
        for receipt in self.shared.cluster.receipts() {
            if let Some(count) = self.out.get_mut(&receipt.fence.job) {
                *count = count.saturating_sub(1);
            }
            receipts.push(receipt);
        }
        let mut worst = Ok(());
        for receipt in receipts {
            let fence = &receipt.fence;
            let kept = match &receipt.outcome {
                Outcome::Done(part) => self.done(fence, part),
                Outcome::PutDown => self.shared.store.put_down(fence, now()),
                Outcome::Failed(why) => self.failed(fence, why),
            };
            match kept {
                // Or the job was forgotten meanwhile.
                Ok(()) | Err(store::Error::NotFound(_)) => {}
                Err(store::Error::Fenced { job, task }) => {
                    tracing::warn!(job, task, "a task came back after its lease had ended");
                }
                Err(error) => {
                    worst = Err(error);
                    self.unkept.push(receipt);
                }
            }
        }
        worst
    }

    /// Whether it is not kept yet what became of a task of a job.
    fn is_unkept(&self, id: &str) -> bool {
        self.unkept.iter().any(|receipt| receipt.fence.job == id)
    }

    fn done(&mut self, fence: &Fence, part: &Part) -> store::Result<()> {
        self.shared.store.done(fence, part, now())?;
        let count = |counter: &AtomicU64, by: u64| counter.fetch_add(by, Ordering::Relaxed);
        count(&self.shared.documents, part.usage.documents);
        count(&self.shared.errors, part.usage.errors);
        Ok(())
    }

    fn failed(&mut self, fence: &Fence, why: &str) -> store::Result<()> {
        if let Some(job) = self.shared.store.fail(fence, why, now())? {
            self.shared.cluster.cancel(&job.id);
            tracing::warn!(job = job.id, why, "a job failed");
            self.end(job);
        }
        Ok(())
    }

    /// Ends a job that cannot be done.
    fn fail(&mut self, id: &str, why: &str) -> store::Result<()> {
        self.shared.cluster.cancel(id);
        tracing::warn!(job = id, why, "a job failed");
        match self
            .shared
            .store
            .advance(id, State::Failed, Some(why), now())
        {
            Ok(job) => self.end(job),
            // It failed before.
            Err(store::Error::State { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn end(&mut self, job: Job) {
        self.tries.remove(&job.id);
        self.committed.remove(&job.id);
        self.known.remove(&job.id);
        self.shared.rates.lock().forget(&job.id);
        if let Some(work) = self.shared.tools.works.get(&job.spec.kind) {
            work.ended(&job);
        }
        self.ended.insert(job.id.clone(), job);
    }

    /// Ends a job that is asked to stop, once nothing is done for it any more.
    fn stop(&mut self, job: Job) -> store::Result<()> {
        self.shared.cluster.cancel(&job.id);
        if let Some((stop, _)) = self.asides.get(&job.id) {
            stop.store(true, Ordering::SeqCst);
            return Ok(());
        }
        let is_out = self.out.get(&job.id).is_some_and(|count| *count > 0);
        if is_out || self.is_unkept(&job.id) {
            return Ok(());
        }
        let states = self.shared.store.task_states(&job.id)?;
        if states.iter().any(|(state, _)| *state == TaskState::Done) {
            self.assemble(job);
            return Ok(());
        }
        let why = "stopped before anything was done";
        let job = self
            .shared
            .store
            .advance(&job.id, State::Stopped, Some(why), now())?;
        self.end(job);
        Ok(())
    }

    /// Does something for a job on a thread of its own, if nothing is done for it there already.
    fn on_the_side(
        &mut self,
        id: &str,
        work: impl FnOnce(&Shared, &dyn Fn() -> bool) -> Aside + Send + 'static,
    ) {
        let waits = |tried: &Tried| Instant::now() < tried.next;
        if self.asides.contains_key(id) || self.tries.get(id).is_some_and(waits) {
            return;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, tell, stopped) = (self.shared.clone(), self.tell.clone(), stop.clone());
        let name = id.to_owned();
        let thread = std::thread::Builder::new()
            .name("job-aside".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                behind();
                let aside = work(&shared, &|| !stopped.load(Ordering::SeqCst));
                // Nobody wants to know when everything rests.
                let _ = tell.send(Signal::Aside(name, aside));
            });
        match thread {
            Ok(thread) => {
                self.asides.insert(id.to_owned(), (stop, thread));
            }
            Err(error) => tracing::error!(job = id, %error, "no thread for a job"),
        }
    }

    fn plan(&mut self, job: Job) {
        let id = job.id.clone();
        self.on_the_side(&id, move |shared, go_on| {
            Aside::Planned(caught(|| planned(shared, &job, go_on)))
        });
    }

    fn assemble(&mut self, job: Job) {
        let id = job.id.clone();
        let patience = self.shared.options.patience;
        let is_late = |tried: &Tried| tried.since.elapsed() >= patience;
        let is_last = self.tries.get(&id).is_some_and(is_late);
        let committed = self.committed.entry(id.clone()).or_default().clone();
        self.on_the_side(&id, move |shared, go_on| {
            let assembled = match caught(|| assembled(shared, &job, &committed, go_on)) {
                Err(Trouble::Now(why)) if is_last => Err(Trouble::Fails(why)),
                assembled => assembled,
            };
            // Before anybody sees that the job has failed, and begins another one with the same output.
            if let Err(Trouble::Fails(_)) = &assembled
                && let Err(trouble) = caught(|| assemble::withdraw(&shared.tools, &job, &committed))
            {
                tracing::warn!(
                    job = job.id,
                    ?trouble,
                    "some output of a job that fails is left"
                );
            }
            Aside::Assembled(assembled)
        });
    }

    /// Deletes the parts of jobs that have ended, where nobody can write them any more.
    fn clear(&mut self) {
        let busy = |id: &&String| {
            self.out.get(*id).is_none_or(|count| *count == 0) && !self.asides.contains_key(*id)
        };
        let quiet: BTreeSet<String> = self.ended.keys().filter(busy).cloned().collect();
        // One after the other: nobody waits for it.
        let clearing = self.asides.keys().any(|id| self.ended.contains_key(id));
        if clearing {
            return;
        }
        if let Some(id) = quiet.into_iter().next()
            && let Some(job) = self.ended.get(&id).cloned()
        {
            self.on_the_side(&id, move |shared, _| {
                let cleared = caught(|| {
                    let cleared = assemble::clear(&shared.tools, &job);
                    cleared.map_err(|error| Trouble::Now(chain(&error)))
                });
                if let Err(trouble) = cleared {
                    tracing::warn!(job = job.id, ?trouble, "parts of a job are left");
                }
                Aside::Cleared
            });
        }
    }

    /// Keeps what a thread aside came to.
    fn aside(&mut self, id: &str, aside: Aside) -> store::Result<()> {
        if let Some((_, thread)) = self.asides.remove(id)
            && thread.join().is_err()
        {
            tracing::error!(job = id, "a thread that plans or assembles panicked");
        }
        match aside {
            Aside::Planned(Ok(plan)) => {
                self.tries.remove(id);
                match self.shared.store.plan(id, &plan, now()) {
                    // It was asked to stop meanwhile.
                    Ok(_) | Err(store::Error::State { .. }) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            Aside::Assembled(Ok(Some(why))) => self.fail(id, &why),
            Aside::Assembled(Ok(None)) => {
                self.shared.tools.reach(Point::BeforeCompleted);
                let (to, why) = match self.shared.store.job(id)?.state {
                    State::StopRequested => {
                        let why = "stopped; the output has what was done before";
                        (State::Stopped, Some(why))
                    }
                    _ => (State::Completed, None),
                };
                let job = self.shared.store.advance(id, to, why, now())?;
                self.end(job);
                Ok(())
            }
            Aside::Planned(Err(trouble)) => self.trouble(id, trouble, Some(TRIES)),
            Aside::Assembled(Err(trouble)) => self.trouble(id, trouble, None),
            Aside::Cleared => {
                self.ended.remove(id);
                self.out.remove(id);
                Ok(())
            }
        }
    }

    /// What becomes of a job after something was done in vain: it fails after so many times, or when whoever did it said so.
    fn trouble(&mut self, id: &str, trouble: Trouble, most: Option<u32>) -> store::Result<()> {
        let why = match trouble {
            // Looked at again, when somebody asks for rest no more.
            Trouble::Rest => return Ok(()),
            Trouble::Fails(why) => return self.fail(id, &why),
            Trouble::Now(why) => why,
        };
        let at = Instant::now();
        let tried = self.tries.entry(id.to_owned()).or_insert(Tried {
            times: 0,
            since: at,
            next: at,
        });
        tried.times += 1;
        if most.is_some_and(|most| tried.times >= most) {
            return self.fail(id, &why);
        }
        // What was done of tasks is there. Putting it together again may take a while each time.
        tried.next = at
            + match most {
                Some(_) => LOOK,
                None => PAUSE.min(LOOK * tried.times),
            };
        tracing::warn!(job = id, why, "a job is tried again");
        let text = format!("tried again: {why}");
        self.shared.store.note(id, &text, now())
    }

    /// Notes how far running jobs are, for their rates.
    fn sample(&mut self) {
        let now = Instant::now();
        let jobs: Vec<String> = self.known.keys().cloned().collect();
        for id in jobs {
            match self.shared.store.usage(&id) {
                Ok(usage) => {
                    let done = usage.documents + self.shared.cluster.doing(&id).documents;
                    self.shared.rates.lock().sample(&id, done, now);
                }
                Err(error) => tracing::warn!(error = chain(&error), "a job's rate is not known"),
            }
        }
    }
}

/// Does something for a job; a panic is a defect, and fails it.
fn caught<T>(work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    caught.unwrap_or_else(|_| Err(Trouble::Fails(DEFECT.to_owned())))
}

/// Looks at a job's inputs and cuts them into tasks.
fn planned(shared: &Shared, job: &Job, go_on: &dyn Fn() -> bool) -> Result<Plan, Trouble> {
    let (tools, spec) = (&shared.tools, &job.spec);
    let work = tools.works.get(&spec.kind);
    let work = work.ok_or_else(|| Trouble::unknown(&spec.kind))?;
    let bounds = work.bounds(spec);
    let cut = match work.whole() {
        None => shared.options.cut,
        Some(_) => Cut {
            bytes: u64::MAX,
            documents: u64::MAX,
        },
    };
    let tables = |number: u64, listed: &Listed| {
        let tables = work.tables().ok_or_else(|| no_tables(spec))?;
        if tables.passes_over(file_of(&spec.input, &listed.key)) {
            return Ok(None);
        }
        // What has no bytes has no rows, whatever its name says.
        if listed.length == 0 {
            return Ok(tables.takes_empty().then(Vec::new));
        }
        let cutting = tables.cut(spec, number, &listed.key, cut);
        let resting = async {
            while go_on() {
                tokio::time::sleep(GLANCE).await;
            }
        };
        tools.runtime.block_on(async {
            tokio::select! {
                biased;
                () = resting => Err(Trouble::Rest),
                pieces = cutting => pieces.map(Some),
            }
        })
    };
    let keys = work.tables().map(|tables| tables.keys(spec));
    let keys = keys.unwrap_or(Ok(None))?;
    let plan = plan::plan(&*tools.objects, spec, bounds, cut, keys, &tables, go_on)?;
    let root = work.tables();
    let root = root.and_then(|tables| tables.root(spec, &plan.inputs));
    names::check(spec, &plan.inputs, plan.tasks.iter().flatten(), root)?;
    tools.reach(Point::Planned);
    Ok(plan)
}

/// Puts a job's parts together, after those of poisoned tasks are written.
fn assembled(
    shared: &Shared,
    job: &Job,
    committed: &Committed,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<String>, Trouble> {
    let store = &shared.store;
    let unkept = |error: store::Error| Trouble::Now(chain(&error));
    let inputs = Arc::new(store.inputs(&job.id).map_err(unkept)?);
    let spec = Arc::new(job.spec.clone());
    let mut tasks = store.tasks(&job.id).map_err(unkept)?;
    for task in &mut tasks {
        if task.state != TaskState::Poisoned || task.part.is_some() {
            continue;
        }
        let (_cancel, cancelled) = watch::channel(false);
        let order = task::Order {
            fence: Fence {
                job: job.id.clone(),
                task: task.number,
                attempt: task.attempt,
                owner: String::new(),
            },
            pieces: task.pieces.clone(),
            suspect: false,
            alone: false,
            spec: spec.clone(),
            inputs: inputs.clone(),
            live: Arc::default(),
            cancelled,
            poison: true,
        };
        match task::execute(&shared.tools, order) {
            task::Ended::Done(part) => {
                let kept = store.bury(&job.id, task.number, &part, now());
                kept.map_err(unkept)?;
                task.part = Some(part);
            }
            task::Ended::PutDown => return Err(Trouble::Rest),
            task::Ended::Failed(why) => return Err(Trouble::Fails(why)),
        }
    }
    // Only of a job that was stopped some may be missing.
    let missing = tasks.iter().find(|task| task.part.is_none());
    if let Some(task) = missing.filter(|_| job.state == State::Committing) {
        let number = task.number;
        return Err(Trouble::Fails(format!("task {number} has no part")));
    }
    assemble::assemble(&shared.tools, job, &inputs, &tasks, committed, go_on)
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
