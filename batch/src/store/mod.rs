//! The durable state of jobs.
//!
//! [`Store`] is what a place of jobs must do; [`sqlite::Sqlite`] keeps them in a file, [`memory::Memory`] is for tests, and
//! `suite` holds both to the contract. Several machines may share one: work is leased to an owner until a time, and what
//! comes from a lease that is not held any more is refused ([`Error::Fenced`]), whatever it says.

pub mod memory;
pub mod sqlite;
#[cfg(test)]
mod suite;

use crate::job::{Event, Fence, Input, Job, Part, Plan, Spec, State, Task, TaskState, Usage};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A place of jobs.
///
/// The contract:
/// * Every method that changes something does it whole or not at all, and it is durable when the method returns.
/// * A job or task is changed only from a state from which it may change; else nothing is.
/// * Every change of state is an event of the job, in the same step.
/// * What is read is what was written before; calls may wait for a disk.
///
/// Times are milliseconds since 1970, brought by the caller.
pub trait Store: Send + Sync + 'static {
    /// Keeps a new job, or finds the one that the same request with the same token made before.
    ///
    /// # Errors
    /// [`Error::Quota`]; [`Error::Token`] when another request had the token.
    fn submit(&self, new: New) -> Result<Submitted>;

    /// The job of a kind that the request with this digest made with a token; none where the token is nobody's.
    ///
    /// # Errors
    /// [`Error::Token`] when another request had the token.
    fn known(&self, kind: &str, token: &str, digest: &str) -> Result<Option<Job>>;

    /// A job.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    fn job(&self, id: &str) -> Result<Job>;

    /// Jobs that a filter lets through, in its order.
    ///
    /// # Errors
    /// The store cannot be read.
    fn jobs(&self, filter: &Filter) -> Result<Vec<Job>>;

    /// How many jobs there are in each state.
    ///
    /// # Errors
    /// The store cannot be read.
    fn states(&self) -> Result<Vec<(State, u64)>>;

    /// Moves a job to another state.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::State`].
    fn advance(&self, id: &str, to: State, why: Option<&str>, now: i64) -> Result<Job>;

    /// Somebody begins to plan a job that is being planned. Answers it with what is known of the times before.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::State`].
    fn begin_plan(&self, id: &str, now: i64) -> Result<Job>;

    /// Who plans a job that was lost before is done with so many of its inputs.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    fn mark_plan(&self, id: &str, place: u64) -> Result<()>;

    /// Who planned a job came back without a plan.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    fn put_down_plan(&self, id: &str) -> Result<()>;

    /// Freezes the inputs and tasks of a job that is being planned; it is queued then.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::State`].
    fn plan(&self, id: &str, plan: &Plan, now: i64) -> Result<Job>;

    /// The inputs of a job, in order.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    fn inputs(&self, id: &str) -> Result<Vec<Input>>;

    /// The tasks of a job, in order.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    fn tasks(&self, id: &str) -> Result<Vec<Task>>;

    /// How many tasks of a job are in each state.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    fn task_states(&self, id: &str) -> Result<Vec<(TaskState, u64)>>;

    /// Leases the first pending tasks of a running job to an owner. Each lease is an attempt.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::State`] when the job does not run.
    fn lease(
        &self,
        id: &str,
        owner: &str,
        most: usize,
        until: i64,
        now: i64,
    ) -> Result<Vec<(Fence, Task)>>;

    /// Makes all leases of an owner last longer.
    ///
    /// # Errors
    /// The store cannot be written.
    fn renew(&self, owner: &str, until: i64) -> Result<u64>;

    /// A leased task is done. Its usage counts for the job, once.
    ///
    /// # Errors
    /// [`Error::Fenced`].
    fn done(&self, fence: &Fence, part: &Part, now: i64) -> Result<()>;

    /// An attempt at a task that was lost before has come to a place: so many of its documents are done with.
    ///
    /// # Errors
    /// [`Error::Fenced`].
    fn mark(&self, fence: &Fence, place: u64) -> Result<()>;

    /// A leased task was put down before it was done, by its owner's will: the attempt does not count.
    ///
    /// # Errors
    /// [`Error::Fenced`].
    fn put_down(&self, fence: &Fence, now: i64) -> Result<()>;

    /// A leased task cannot be done, and its job with it: both fail in one step. Answers the job, unless it had ended before.
    ///
    /// # Errors
    /// [`Error::Fenced`].
    fn fail(&self, fence: &Fence, why: &str, now: i64) -> Result<Option<Job>>;

    /// Takes tasks from owners that are gone: back to pending, or poisoned after so many [`Losses`](crate::job::Losses) at one
    /// place. Answers how many.
    ///
    /// # Errors
    /// The store cannot be written.
    fn reclaim(&self, gone: &Gone, attempts: u32, now: i64) -> Result<u64>;

    /// Keeps where the errors of a poisoned task's documents are.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Fenced`] when the task is not poisoned.
    fn bury(&self, id: &str, task: u64, part: &Part, now: i64) -> Result<()>;

    /// The output of a job that commits or is asked to stop is there: it is not put together again.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::State`] when it is in another state.
    fn assembled(&self, id: &str, now: i64) -> Result<()>;

    /// What a job took.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    fn usage(&self, id: &str) -> Result<Usage>;

    /// Forgets jobs that ended before a time, with all that is kept of them, at most so many, the oldest first; how many.
    ///
    /// # Errors
    /// The store cannot be written.
    fn forget(&self, before: i64, most: usize) -> Result<u64>;

    /// Notes something in the log of a job.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    fn note(&self, id: &str, text: &str, now: i64) -> Result<()>;

    /// The log of a job behind an event, at most so many.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    fn events(&self, id: &str, after: u64, most: usize) -> Result<Vec<Event>>;
}

/// A job to be kept.
#[derive(Clone, Debug)]
pub struct New {
    /// Its id, which no other job has.
    pub id: String,
    /// What is wanted.
    pub spec: Spec,
    /// What makes asking again harmless, and a digest of the request that it came with.
    pub token: Option<(String, String)>,
    /// Most jobs of its kind that may be live with it.
    pub most_live: u64,
    /// When it was submitted.
    pub now: i64,
}

/// What became of a new job.
#[derive(Clone, Debug, PartialEq)]
pub enum Submitted {
    /// It is kept.
    New(Job),
    /// It was kept before.
    Known(Job),
}

impl Submitted {
    /// The job.
    pub fn job(self) -> Job {
        match self {
            Self::New(job) | Self::Known(job) => job,
        }
    }
}

/// Which jobs are listed.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this kind.
    pub kind: Option<String>,
    /// In one of these states; in any where there are none.
    pub states: Vec<State>,
    /// With this name.
    pub name: Option<String>,
    /// Submitted before.
    pub before: Option<i64>,
    /// Submitted after.
    pub after: Option<i64>,
    /// Behind this place, in the order.
    pub behind: Option<Place>,
    /// Which come first.
    pub order: Order,
    /// At most so many.
    pub most: usize,
}

/// Which jobs of a list come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The youngest.
    #[default]
    Youngest,
    /// The oldest.
    Oldest,
}

impl Filter {
    /// Whether a job passes.
    fn passes(&self, job: &Job) -> bool {
        let place = (job.submitted, job.id.as_str());
        self.kind.as_ref().is_none_or(|kind| *kind == job.spec.kind)
            && (self.states.is_empty() || self.states.contains(&job.state))
            && (self.name.is_none() || self.name == job.spec.name)
            && self.before.is_none_or(|before| job.submitted < before)
            && self.after.is_none_or(|after| job.submitted > after)
            && self.behind.as_ref().is_none_or(|behind| {
                let behind = (behind.submitted, behind.id.as_str());
                match self.order {
                    Order::Youngest => place < behind,
                    Order::Oldest => place > behind,
                }
            })
    }
}

/// A place in the list of jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// When the job there was submitted.
    pub submitted: i64,
    /// Its id.
    pub id: String,
}

impl From<&Job> for Place {
    fn from(job: &Job) -> Self {
        Self {
            submitted: job.submitted,
            id: job.id.clone(),
        }
    }
}

/// Which owners are gone.
#[derive(Clone, Debug)]
pub enum Gone {
    /// Those whose leases have ended by now.
    Expired,
    /// All but this one: nobody else can have the store.
    AllBut(String),
}

/// Why a store does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such job.
    #[error("there is no job {0}")]
    NotFound(String),
    /// The job may not do that in the state that it is in.
    #[error("the job is {is} and cannot become {wanted}")]
    State {
        /// Its state.
        is: State,
        /// What it cannot become.
        wanted: State,
    },
    /// Somebody else has the task, or nobody.
    #[error("task {task} of job {job} is not held any more")]
    Fenced {
        /// The job.
        job: String,
        /// The number of the task.
        task: u64,
    },
    /// There are too many.
    #[error("{live} jobs of this kind are live, which is the limit")]
    Quota {
        /// How many there are.
        live: u64,
    },
    /// A token came with two requests.
    #[error("another request had this token")]
    Token,
    /// The file was written by a version that is not known.
    #[error("{path} has format {found}; this version knows formats up to {known}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The youngest that is known.
        known: i64,
    },
    /// Another process has it.
    #[error("another process has {0}")]
    Held(PathBuf),
    /// What was read is not what is written.
    #[error("the jobs' state is damaged: {0}")]
    Damaged(String),
    /// The file cannot be used.
    #[error("the jobs' state cannot be used")]
    Sqlite(#[from] rusqlite::Error),
    /// The file cannot be opened.
    #[error("{path} cannot be opened")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store was closed.
    #[error("the jobs' state is closed")]
    Closed,
}

/// What a store answers.
pub type Result<T> = std::result::Result<T, Error>;

/// The sentence of a plan, for logs.
fn planned_text(plan: &Plan) -> String {
    let total = plan.total();
    format!(
        "{} documents of {} inputs, {} bytes, in {} tasks",
        total.documents, total.inputs, total.bytes, total.tasks
    )
}

/// The sentence of an output that is there, for logs.
const ASSEMBLED: &str = "the output is there";

/// Whether the output of a job in this state can have come to be there.
fn may_be_assembled(is: State) -> Result<()> {
    match is {
        State::Committing | State::StopRequested => Ok(()),
        _ => Err(Error::State {
            is,
            wanted: State::Completed,
        }),
    }
}

/// The sentence of a planning that nobody came back from, for logs.
const PLAN_LOST: &str = "whoever planned it did not come back";

/// Whether a job in this state can be planned.
fn may_be_planned(is: State) -> Result<()> {
    match is {
        State::Planning => Ok(()),
        _ => Err(Error::State {
            is,
            wanted: State::Queued,
        }),
    }
}
