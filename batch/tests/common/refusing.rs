//! A store that refuses to do things, as one on a full disk does.

use escala_batch::job::{Event, Fence, Input, Job, Part, Plan, State, Task, TaskState, Usage};
use escala_batch::store::memory::Memory;
use escala_batch::store::{Error, Filter, Gone, New, Result, Store, Submitted};
use std::sync::Arc;

/// What is asked of the store, of what may be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Advance(State),
    Done,
    Fail,
    Inputs,
    Mark(u64),
}

/// Whether something is refused.
type Refuses = Box<dyn Fn(Asked) -> bool + Send + Sync>;

/// Jobs in memory.
pub struct Refusing {
    pub jobs: Arc<Memory>,
    pub refuses: Refuses,
}

impl Refusing {
    fn may(&self, asked: Asked) -> Result<()> {
        match (self.refuses)(asked) {
            true => Err(Error::Damaged("the disk is full".to_owned())),
            false => Ok(()),
        }
    }
}

impl Store for Refusing {
    fn submit(&self, new: New) -> Result<Submitted> {
        self.jobs.submit(new)
    }

    fn known(&self, kind: &str, token: &str, digest: &str) -> Result<Option<Job>> {
        self.jobs.known(kind, token, digest)
    }

    fn job(&self, id: &str) -> Result<Job> {
        self.jobs.job(id)
    }

    fn jobs(&self, filter: &Filter) -> Result<Vec<Job>> {
        self.jobs.jobs(filter)
    }

    fn states(&self) -> Result<Vec<(State, u64)>> {
        self.jobs.states()
    }

    fn advance(&self, id: &str, to: State, why: Option<&str>, now: i64) -> Result<Job> {
        self.may(Asked::Advance(to))?;
        self.jobs.advance(id, to, why, now)
    }

    fn begin_plan(&self, id: &str, now: i64) -> Result<Job> {
        self.jobs.begin_plan(id, now)
    }

    fn mark_plan(&self, id: &str, place: u64) -> Result<()> {
        self.jobs.mark_plan(id, place)
    }

    fn put_down_plan(&self, id: &str) -> Result<()> {
        self.jobs.put_down_plan(id)
    }

    fn plan(&self, id: &str, plan: &Plan, now: i64) -> Result<Job> {
        self.jobs.plan(id, plan, now)
    }

    fn inputs(&self, id: &str) -> Result<Vec<Input>> {
        self.may(Asked::Inputs)?;
        self.jobs.inputs(id)
    }

    fn tasks(&self, id: &str) -> Result<Vec<Task>> {
        self.jobs.tasks(id)
    }

    fn task_states(&self, id: &str) -> Result<Vec<(TaskState, u64)>> {
        self.jobs.task_states(id)
    }

    fn lease(
        &self,
        id: &str,
        owner: &str,
        most: usize,
        until: i64,
        now: i64,
    ) -> Result<Vec<(Fence, Task)>> {
        self.jobs.lease(id, owner, most, until, now)
    }

    fn renew(&self, owner: &str, until: i64) -> Result<u64> {
        self.jobs.renew(owner, until)
    }

    fn done(&self, fence: &Fence, part: &Part, now: i64) -> Result<()> {
        self.may(Asked::Done)?;
        self.jobs.done(fence, part, now)
    }

    fn mark(&self, fence: &Fence, place: u64) -> Result<()> {
        self.may(Asked::Mark(place))?;
        self.jobs.mark(fence, place)
    }

    fn put_down(&self, fence: &Fence, now: i64) -> Result<()> {
        self.jobs.put_down(fence, now)
    }

    fn fail(&self, fence: &Fence, why: &str, now: i64) -> Result<Option<Job>> {
        self.may(Asked::Fail)?;
        self.jobs.fail(fence, why, now)
    }

    fn reclaim(&self, gone: &Gone, attempts: u32, now: i64) -> Result<u64> {
        self.jobs.reclaim(gone, attempts, now)
    }

    fn bury(&self, id: &str, task: u64, part: &Part, now: i64) -> Result<()> {
        self.jobs.bury(id, task, part, now)
    }

    fn assembled(&self, id: &str, now: i64) -> Result<()> {
        self.jobs.assembled(id, now)
    }

    fn usage(&self, id: &str) -> Result<Usage> {
        self.jobs.usage(id)
    }

    fn forget(&self, before: i64, most: usize) -> Result<u64> {
        self.jobs.forget(before, most)
    }

    fn note(&self, id: &str, text: &str, now: i64) -> Result<()> {
        self.jobs.note(id, text, now)
    }

    fn events(&self, id: &str, after: u64, most: usize) -> Result<Vec<Event>> {
        self.jobs.events(id, after, most)
    }
}
