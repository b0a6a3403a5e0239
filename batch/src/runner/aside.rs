//! What is done for a job on a thread of its own: it is planned before its tasks begin, and put together after them.

use super::assemble::{self, Committed};
use super::trouble::{chain, no_tables};
use super::{Cut, Point, Shared, Trouble, file_of, names, now, plan, task};
use crate::job::{Fence, Job, Plan, State, TaskState};
use crate::store;
use escala_objects::Listed;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often it is asked whether a table that is cut is still wanted.
const GLANCE: Duration = Duration::from_millis(100);

/// What came of it.
pub enum Aside {
    Planned(Result<Plan, Trouble>),
    /// Why the job fails although its output is there, where it does.
    Assembled(Result<Option<String>, Trouble>),
    Cleared,
}

/// Looks at a job's inputs and cuts them into tasks.
pub fn planned(shared: &Shared, job: &Job, go_on: &dyn Fn() -> bool) -> Result<Plan, Trouble> {
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
pub fn assembled(
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
