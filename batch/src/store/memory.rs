//! Jobs in memory: for tests, and the contract in few lines.

use super::{
    ASSEMBLED, Error, Filter, Gone, New, Order, PLAN_LOST, Result, Store, Submitted,
    may_be_assembled, may_be_planned, planned_text,
};
use crate::job::{
    Event, Fence, Input, Job, Losses, Part, Plan, Planned, Planning, SAMPLES, State, Task,
    TaskState, Usage,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Jobs that are gone with the process.
#[derive(Default)]
pub struct Memory(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    jobs: BTreeMap<String, Kept>,
    tokens: BTreeMap<(String, String), (String, String)>,
}

struct Kept {
    job: Job,
    inputs: Vec<Input>,
    tasks: Vec<(Task, Lease)>,
    usage: Usage,
    events: Vec<Event>,
}

#[derive(Clone, Default)]
struct Lease {
    owner: String,
    until: i64,
    place: Option<u64>,
}

impl Kept {
    fn event(&mut self, at: i64, kind: &str, text: String) {
        self.events.push(Event {
            number: self.events.len() as u64 + 1,
            at,
            kind: kind.to_owned(),
            text,
        });
    }

    fn advance(&mut self, to: State, why: Option<&str>, now: i64) -> Result<()> {
        if !self.job.state.may(to) {
            return Err(Error::State {
                is: self.job.state,
                wanted: to,
            });
        }
        self.job.state = to;
        if to == State::Running {
            self.job.begun = Some(now);
        }
        if !to.is_live() {
            self.job.ended = Some(now);
        }
        if let Some(why) = why {
            self.job.why = Some(why.to_owned());
        }
        self.event(now, to.name(), why.unwrap_or_default().to_owned());
        Ok(())
    }

    fn held(&mut self, fence: &Fence) -> Result<&mut Task> {
        self.leased(fence).map(|(task, _)| task)
    }

    fn leased(&mut self, fence: &Fence) -> Result<&mut (Task, Lease)> {
        let task = usize::try_from(fence.task)
            .ok()
            .and_then(|at| self.tasks.get_mut(at));
        match task {
            Some(kept)
                if kept.0.state == TaskState::Leased
                    && kept.0.attempt == fence.attempt
                    && kept.1.owner == fence.owner =>
            {
                Ok(kept)
            }
            _ => Err(Error::Fenced {
                job: fence.job.clone(),
                task: fence.task,
            }),
        }
    }

    fn count(&mut self, part: &Part) {
        self.usage += part.usage;
        let room = SAMPLES.saturating_sub(self.job.samples.len());
        let samples = part.samples.iter().take(room).cloned();
        self.job.samples.extend(samples);
    }
}

impl Inside {
    fn known(&mut self, kind: &str, token: &str, digest: &str) -> Result<Option<Job>> {
        let place = (kind.to_owned(), token.to_owned());
        match self.tokens.get(&place).cloned() {
            None => Ok(None),
            Some((id, known)) if known == digest => Ok(Some(self.kept(&id)?.job.clone())),
            Some(_) => Err(Error::Token),
        }
    }

    fn kept(&mut self, id: &str) -> Result<&mut Kept> {
        let kept = self.jobs.get_mut(id);
        kept.ok_or_else(|| Error::NotFound(id.to_owned()))
    }
}

fn tally<S: Copy + PartialEq>(all: &[S], found: impl Iterator<Item = S> + Clone) -> Vec<(S, u64)> {
    let count = |state: S| found.clone().filter(|other| *other == state).count() as u64;
    let counts = all.iter().map(|state| (*state, count(*state)));
    counts.filter(|(_, count)| *count > 0).collect()
}

impl Store for Memory {
    fn submit(&self, new: New) -> Result<Submitted> {
        let mut inside = self.0.lock();
        let place = |token: &str| (new.spec.kind.clone(), token.to_owned());
        if let Some((token, digest)) = &new.token
            && let Some(job) = inside.known(&new.spec.kind, token, digest)?
        {
            return Ok(Submitted::Known(job));
        }
        let of_kind = |kept: &&Kept| kept.job.spec.kind == new.spec.kind;
        let kept = inside.jobs.values().filter(of_kind);
        let live = kept.filter(|kept| kept.job.state.is_live()).count() as u64;
        if live >= new.most_live {
            return Err(Error::Quota { live });
        }
        if let Some((token, digest)) = &new.token {
            let known = (new.id.clone(), digest.clone());
            inside.tokens.insert(place(token), known);
        }
        let job = Job {
            id: new.id.clone(),
            spec: new.spec,
            state: State::Submitted,
            submitted: new.now,
            begun: None,
            ended: None,
            why: None,
            planned: Planned::default(),
            samples: Vec::new(),
            assembled: false,
            planning: Planning::default(),
        };
        let mut kept = Kept {
            job: job.clone(),
            inputs: Vec::new(),
            tasks: Vec::new(),
            usage: Usage::default(),
            events: Vec::new(),
        };
        kept.event(new.now, State::Submitted.name(), String::new());
        inside.jobs.insert(new.id, kept);
        Ok(Submitted::New(job))
    }

    fn known(&self, kind: &str, token: &str, digest: &str) -> Result<Option<Job>> {
        self.0.lock().known(kind, token, digest)
    }

    fn job(&self, id: &str) -> Result<Job> {
        Ok(self.0.lock().kept(id)?.job.clone())
    }

    fn jobs(&self, filter: &Filter) -> Result<Vec<Job>> {
        let inside = self.0.lock();
        let jobs = inside.jobs.values().map(|kept| &kept.job);
        let mut found: Vec<Job> = jobs.filter(|job| filter.passes(job)).cloned().collect();
        found.sort_by(|a, b| (a.submitted, &a.id).cmp(&(b.submitted, &b.id)));
        if filter.order == Order::Youngest {
            found.reverse();
        }
        found.truncate(filter.most);
        Ok(found)
    }

    fn states(&self) -> Result<Vec<(State, u64)>> {
        let inside = self.0.lock();
        Ok(tally(
            &State::ALL,
            inside.jobs.values().map(|kept| kept.job.state),
        ))
    }

    fn advance(&self, id: &str, to: State, why: Option<&str>, now: i64) -> Result<Job> {
        let mut inside = self.0.lock();
        let kept = inside.kept(id)?;
        kept.advance(to, why, now)?;
        Ok(kept.job.clone())
    }

    fn begin_plan(&self, id: &str, now: i64) -> Result<Job> {
        let mut inside = self.0.lock();
        let kept = inside.kept(id)?;
        may_be_planned(kept.job.state)?;
        if kept.job.planning.open {
            kept.event(now, "note", PLAN_LOST.to_owned());
        }
        kept.job.planning = kept.job.planning.begun();
        Ok(kept.job.clone())
    }

    fn mark_plan(&self, id: &str, place: u64) -> Result<()> {
        self.0.lock().kept(id)?.job.planning.place = Some(place);
        Ok(())
    }

    fn put_down_plan(&self, id: &str) -> Result<()> {
        let mut inside = self.0.lock();
        let planning = &mut inside.kept(id)?.job.planning;
        *planning = planning.put_down();
        Ok(())
    }

    fn plan(&self, id: &str, plan: &Plan, now: i64) -> Result<Job> {
        let mut inside = self.0.lock();
        let kept = inside.kept(id)?;
        kept.advance(State::Queued, None, now)?;
        kept.event(now, "note", planned_text(plan));
        kept.job.planning = Planning::default();
        kept.job.planned = plan.total();
        kept.inputs = plan.inputs.clone();
        let task = |(number, pieces): (usize, &Vec<_>)| Task {
            number: number as u64,
            pieces: pieces.clone(),
            state: TaskState::Pending,
            attempt: 0,
            losses: Losses::default(),
            part: None,
        };
        let tasks = plan.tasks.iter().enumerate().map(task);
        kept.tasks = tasks.map(|task| (task, Lease::default())).collect();
        Ok(kept.job.clone())
    }

    fn inputs(&self, id: &str) -> Result<Vec<Input>> {
        Ok(self.0.lock().kept(id)?.inputs.clone())
    }

    fn tasks(&self, id: &str) -> Result<Vec<Task>> {
        let mut inside = self.0.lock();
        let tasks = inside.kept(id)?.tasks.iter();
        Ok(tasks.map(|(task, _)| task.clone()).collect())
    }

    fn task_states(&self, id: &str) -> Result<Vec<(TaskState, u64)>> {
        let mut inside = self.0.lock();
        let tasks = inside.kept(id)?.tasks.iter();
        Ok(tally(&TaskState::ALL, tasks.map(|(task, _)| task.state)))
    }

    fn lease(
        &self,
        id: &str,
        owner: &str,
        most: usize,
        until: i64,
        now: i64,
    ) -> Result<Vec<(Fence, Task)>> {
        let mut inside = self.0.lock();
        let kept = inside.kept(id)?;
        if kept.job.state != State::Running {
            return Err(Error::State {
                is: kept.job.state,
                wanted: State::Running,
            });
        }
        let mut leased = Vec::new();
        let pending = |kept: &&mut (Task, Lease)| kept.0.state == TaskState::Pending;
        for (task, lease) in kept.tasks.iter_mut().filter(pending).take(most) {
            task.state = TaskState::Leased;
            task.attempt += 1;
            *lease = Lease {
                owner: owner.to_owned(),
                until,
                place: None,
            };
            let fence = Fence {
                job: id.to_owned(),
                task: task.number,
                attempt: task.attempt,
                owner: owner.to_owned(),
            };
            leased.push((fence, task.clone()));
        }
        for (fence, _) in &leased {
            let text = format!("task {} is leased, attempt {}", fence.task, fence.attempt);
            kept.event(now, "task", text);
        }
        Ok(leased)
    }

    fn renew(&self, owner: &str, until: i64) -> Result<u64> {
        let mut inside = self.0.lock();
        let tasks = inside.jobs.values_mut().flat_map(|kept| &mut kept.tasks);
        let held = tasks
            .filter(|(task, lease)| task.state == TaskState::Leased && lease.owner == owner)
            .map(|(_, lease)| lease.until = until);
        Ok(held.count() as u64)
    }

    fn done(&self, fence: &Fence, part: &Part, now: i64) -> Result<()> {
        let mut inside = self.0.lock();
        let kept = inside.kept(&fence.job)?;
        let task = kept.held(fence)?;
        task.state = TaskState::Done;
        task.part = Some(part.clone());
        kept.count(part);
        kept.event(now, "task", format!("task {} is done", fence.task));
        Ok(())
    }

    fn mark(&self, fence: &Fence, place: u64) -> Result<()> {
        let mut inside = self.0.lock();
        inside.kept(&fence.job)?.leased(fence)?.1.place = Some(place);
        Ok(())
    }

    fn put_down(&self, fence: &Fence, now: i64) -> Result<()> {
        let mut inside = self.0.lock();
        let kept = inside.kept(&fence.job)?;
        let task = kept.held(fence)?;
        task.state = TaskState::Pending;
        task.attempt -= 1;
        kept.event(now, "task", format!("task {} is put down", fence.task));
        Ok(())
    }

    fn fail(&self, fence: &Fence, why: &str, now: i64) -> Result<Option<Job>> {
        let mut inside = self.0.lock();
        let kept = inside.kept(&fence.job)?;
        kept.held(fence)?.state = TaskState::Failed;
        kept.event(now, "task", format!("task {} failed: {why}", fence.task));
        if !kept.job.state.is_live() {
            return Ok(None);
        }
        kept.advance(State::Failed, Some(why), now)?;
        Ok(Some(kept.job.clone()))
    }

    fn reclaim(&self, gone: &Gone, attempts: u32, now: i64) -> Result<u64> {
        let mut inside = self.0.lock();
        let mut count = 0;
        for kept in inside.jobs.values_mut() {
            let mut texts = Vec::new();
            for (task, lease) in &mut kept.tasks {
                let is_gone = match gone {
                    Gone::Expired => lease.until <= now,
                    Gone::AllBut(owner) => lease.owner != *owner,
                };
                if task.state != TaskState::Leased || !is_gone {
                    continue;
                }
                task.losses = task.losses.and(lease.place);
                task.state = match task.losses.times >= attempts {
                    true => TaskState::Poisoned,
                    false => TaskState::Pending,
                };
                let (number, state) = (task.number, task.state.name());
                texts.push(format!("task {number} was lost and is {state}"));
            }
            count += texts.len() as u64;
            for text in texts {
                kept.event(now, "task", text);
            }
        }
        Ok(count)
    }

    fn bury(&self, id: &str, task: u64, part: &Part, now: i64) -> Result<()> {
        let mut inside = self.0.lock();
        let kept = inside.kept(id)?;
        let found = usize::try_from(task)
            .ok()
            .and_then(|at| kept.tasks.get_mut(at));
        match found {
            Some((found, _)) if found.state == TaskState::Poisoned => {
                if found.part.replace(part.clone()).is_none() {
                    kept.count(part);
                    kept.event(now, "task", format!("task {task} became errors"));
                }
                Ok(())
            }
            _ => Err(Error::Fenced {
                job: id.to_owned(),
                task,
            }),
        }
    }

    fn assembled(&self, id: &str, now: i64) -> Result<()> {
        let mut inside = self.0.lock();
        let kept = inside.kept(id)?;
        may_be_assembled(kept.job.state)?;
        kept.job.assembled = true;
        kept.event(now, "note", ASSEMBLED.to_owned());
        Ok(())
    }

    fn usage(&self, id: &str) -> Result<Usage> {
        Ok(self.0.lock().kept(id)?.usage)
    }

    fn forget(&self, before: i64, most: usize) -> Result<u64> {
        let mut inside = self.0.lock();
        let jobs = inside.jobs.values();
        let ended = jobs.filter_map(|kept| Some((kept.job.ended?, kept.job.id.clone())));
        let mut old: Vec<(i64, String)> = ended.filter(|(ended, _)| *ended < before).collect();
        old.sort();
        old.truncate(most);
        for (_, id) in &old {
            inside.jobs.remove(id);
            inside.tokens.retain(|_, (job, _)| job != id);
        }
        Ok(old.len() as u64)
    }

    fn note(&self, id: &str, text: &str, now: i64) -> Result<()> {
        self.0.lock().kept(id)?.event(now, "note", text.to_owned());
        Ok(())
    }

    fn events(&self, id: &str, after: u64, most: usize) -> Result<Vec<Event>> {
        let mut inside = self.0.lock();
        let events = inside.kept(id)?.events.iter();
        let behind = events.filter(|event| event.number > after).take(most);
        Ok(behind.cloned().collect())
    }
}
