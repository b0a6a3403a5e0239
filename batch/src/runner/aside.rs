//! What is done for a job on a thread of its own: it is planned before its tasks begin, and put together after them.

use super::assemble::{self, Committed};
use super::trouble::{caught, chain, no_tables};
use super::{Cut, Point, Shared, Trouble, file_of, names, now, plan, task};
use crate::job::{Fence, Job, Plan, State, TaskState};
use crate::store;
use escala_objects::Listed;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often it is asked whether a table that is cut is still wanted.
const GLANCE: Duration = Duration::from_millis(100);
/// Inputs of a plan that was lost that are told one by one; of the others, each one after so many.
const EACH: u64 = 1000;

/// What came of it.
pub enum Aside {
    Planned(Result<Plan, Trouble>),
    /// Why the job fails although its output is there, where it does.
    Assembled(Result<Option<String>, Trouble>),
    Cleared,
}

/// Plans a job, unless nobody came back from that too often.
pub fn planned(shared: &Shared, id: &str, go_on: &dyn Fn() -> bool) -> Result<Plan, Trouble> {
    let store = &shared.store;
    let job = match store.begin_plan(id, now()) {
        Ok(job) => job,
        // It was asked to stop in this moment.
        Err(store::Error::State { .. }) => return Err(Trouble::Rest),
        Err(error) => return Err(Trouble::Now(chain(&error))),
    };
    if job.planning.losses.times >= shared.options.plan_attempts {
        let why = "whoever looked at its inputs did not come back, too often";
        return Err(Trouble::Fails(why.to_owned()));
    }
    let suspect = job.planning.is_suspect();
    let passed = Cell::new(0);
    let on_the_way = || {
        let place = passed.replace(passed.get() + 1);
        if suspect
            && (place < EACH || place.is_multiple_of(EACH))
            && let Err(error) = store.mark_plan(id, place)
        {
            tracing::debug!(
                job = id,
                error = chain(&error),
                "where a plan is was not kept"
            );
        }
        go_on()
    };
    let planned = caught(|| cut(shared, &job, go_on, &on_the_way));
    if let Err(error) = store.put_down_plan(id) {
        tracing::warn!(job = id, error = chain(&error), "a plan counts as lost");
    }
    planned
}

/// Looks at a job's inputs and cuts them into tasks. `on_the_way` is asked before each input whether to go on.
fn cut(
    shared: &Shared,
    job: &Job,
    go_on: &dyn Fn() -> bool,
    on_the_way: &dyn Fn() -> bool,
) -> Result<Plan, Trouble> {
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
    let plan = plan::plan(
        &*tools.objects,
        spec,
        bounds,
        cut,
        keys,
        &tables,
        on_the_way,
    )?;
    let root = work.tables();
    let root = root.and_then(|tables| tables.root(spec, &plan.inputs));
    names::check(spec, &plan.inputs, plan.tasks.iter().flatten(), root)?;
    tools.reach(Point::Planned);
    Ok(plan)
}

/// Puts a job's parts together, after those of poisoned tasks are written.
pub fn assembled(
    shared: &Shared,
    job: &Job,
    committed: &Committed,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<String>, Trouble> {
    let store = &shared.store;
    let unkept = |error: store::Error| Trouble::Now(chain(&error));
    if job.assembled {
        cleared(shared, job);
        return Ok(None);
    }
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
    let fails = assemble::assemble(&shared.tools, job, &inputs, &tasks, committed, go_on)?;
    if fails.is_none() {
        store.assembled(&job.id, now()).map_err(unkept)?;
        shared.tools.reach(Point::Assembled);
        cleared(shared, job);
    }
    Ok(fails)
}

/// Deletes the parts of a job whose output is there. What is left is looked for when it has ended.
fn cleared(shared: &Shared, job: &Job) {
    if let Err(error) = assemble::clear(&shared.tools, job) {
        tracing::warn!(
            job = job.id,
            error = chain(&error),
            "parts of a job are left"
        );
    }
}
