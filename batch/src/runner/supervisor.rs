//! The thread that moves jobs from state to state.

use super::aside::{Aside, assembled, planned};
use super::assemble::{self, Committed};
use super::trouble::{caught, chain};
use super::{Point, Shared, Trouble, now};
use crate::STACK;
use crate::behind::behind;
use crate::cluster::{Group, Outcome, Receipt};
use crate::job::{Fence, Input, Job, Part, Spec, State, TaskState};
use crate::store::{self, Filter, Gone};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the runner looks around without being asked.
const LOOK: Duration = Duration::from_secs(1);
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

/// What the thread is told.
pub enum Signal {
    /// Something may be there.
    Wake,
    /// A thread aside is done with a job.
    Aside(String, Aside),
}

/// The thread that moves jobs from state to state.
pub struct Supervisor {
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
    /// Of the jobs in a store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn new(owner: String, shared: Arc<Shared>, tell: Sender<Signal>) -> store::Result<Self> {
        let late = Filter {
            states: vec![State::Completed, State::Failed, State::Stopped],
            most: LATE,
            ..Filter::default()
        };
        let late = shared.store.jobs(&late)?;
        Ok(Self {
            owner,
            shared,
            tell,
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
        })
    }

    /// Moves jobs until somebody asks for rest, told of what may be there.
    pub fn run(mut self, told: &Receiver<Signal>) {
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
        // It is seen best that way whether it is that planning that ends the process.
        let alone = live.iter().find(|job| self.is_planned_alone(job));
        let alone = alone.map(|job| job.id.clone());
        for job in live {
            let id = job.id.clone();
            match job.state {
                State::StopRequested => self.stop(job)?,
                State::Submitted if self.asides.len() < most && alone.is_none() => {
                    let job = self
                        .shared
                        .store
                        .advance(&id, State::Planning, None, now())?;
                    self.plan(job);
                }
                State::Planning if alone.as_ref().is_none_or(|alone| *alone == id) => {
                    self.plan(job);
                }
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
        if alone.is_none() {
            self.tasks(running)?;
        }
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

    /// Whether a job is planned while nothing else is begun: twice nobody came back from the same place of it.
    fn is_planned_alone(&self, job: &Job) -> bool {
        let planning = match self.asides.contains_key(&job.id) {
            true => job.planning,
            false => job.planning.begun(),
        };
        job.state == State::Planning && planning.losses.times > 1
    }

    fn plan(&mut self, job: Job) {
        let id = job.id.clone();
        self.on_the_side(&id, move |shared, go_on| {
            Aside::Planned(caught(|| planned(shared, &job.id, go_on)))
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
