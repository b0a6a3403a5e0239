//! What changes the file, each in the transaction of whoever asks.

use super::super::{Error, Gone, New, PLAN_LOST, Result, Submitted, may_be_planned, planned_text};
use super::rows::{TASK, job, kept, known, number, task_of, text};
use crate::job::{
    Fence, Job, Losses, Part, Plan, Planned, Planning, SAMPLES, Sample, State, Task, TaskState,
};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

pub(super) fn event(
    at: &Transaction<'_>,
    id: &str,
    now: i64,
    kind: &str,
    text: &str,
) -> Result<()> {
    at.prepare_cached(
        "INSERT INTO event SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4 FROM event WHERE job = ?1",
    )?
    .execute(params![id, now, kind, text])?;
    Ok(())
}

pub(super) fn advance(
    at: &Transaction<'_>,
    id: &str,
    to: State,
    why: Option<&str>,
    now: i64,
) -> Result<Job> {
    let mut job = job(at, id)?;
    if !job.state.may(to) {
        return Err(Error::State {
            is: job.state,
            wanted: to,
        });
    }
    job.state = to;
    if to == State::Running {
        job.begun = Some(now);
    }
    if !to.is_live() {
        job.ended = Some(now);
    }
    if let Some(why) = why {
        job.why = Some(why.to_owned());
    }
    at.prepare_cached("UPDATE job SET state = ?2, begun = ?3, ended = ?4, why = ?5 WHERE id = ?1")?
        .execute(params![id, to.name(), job.begun, job.ended, job.why])?;
    event(at, id, now, to.name(), why.unwrap_or_default())?;
    Ok(job)
}

/// Changes a task that an attempt holds.
pub(super) fn change(
    at: &Transaction<'_>,
    fence: &Fence,
    to: TaskState,
    attempt: u32,
) -> Result<()> {
    let changed = at
        .prepare_cached(
            "UPDATE task SET state = ?5, attempt = ?6, owner = NULL, until = NULL
             WHERE job = ?1 AND number = ?2 AND state = 'leased' AND attempt = ?3 AND owner = ?4",
        )?
        .execute(params![
            fence.job,
            kept(fence.task)?,
            fence.attempt,
            fence.owner,
            to.name(),
            attempt
        ])?;
    match changed {
        0 => Err(Error::Fenced {
            job: fence.job.clone(),
            task: fence.task,
        }),
        _ => Ok(()),
    }
}

/// Keeps what a task came to.
pub(super) fn count(at: &Transaction<'_>, id: &str, task: u64, part: &Part) -> Result<()> {
    at.prepare_cached("UPDATE task SET part = ?3 WHERE job = ?1 AND number = ?2")?
        .execute(params![id, kept(task)?, text(part)?])?;
    let usage = part.usage;
    let values = "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    at.prepare_cached(&format!("INSERT INTO usage {values}"))?
        .execute(params![
            id,
            kept(task)?,
            kept(usage.documents)?,
            kept(usage.errors)?,
            kept(usage.read)?,
            kept(usage.written)?,
            kept(usage.characters)?,
            kept(usage.units)?,
            kept(usage.compute_ms)?,
            kept(usage.wall_ms)?,
            kept(usage.tokens)?,
            kept(usage.pixels)?,
        ])?;
    if part.samples.is_empty() {
        return Ok(());
    }
    let mut samples: Vec<Sample> = job(at, id)?.samples;
    let room = SAMPLES.saturating_sub(samples.len());
    samples.extend(part.samples.iter().take(room).cloned());
    at.prepare_cached("UPDATE job SET samples = ?2 WHERE id = ?1")?
        .execute(params![id, text(&samples)?])?;
    Ok(())
}

pub(super) fn of_token(
    at: &Connection,
    kind: &str,
    token: &str,
    digest: &str,
) -> Result<Option<Job>> {
    let known: Option<(String, String)> = at
        .prepare_cached("SELECT job, digest FROM idempotency WHERE kind = ?1 AND token = ?2")?
        .query_row([kind, token], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match known {
        None => Ok(None),
        Some((id, known)) if known == digest => job(at, &id).map(Some),
        Some(_) => Err(Error::Token),
    }
}

pub(super) fn submit(at: &Transaction<'_>, new: New) -> Result<Submitted> {
    let kind = &new.spec.kind;
    if let Some((token, digest)) = &new.token
        && let Some(job) = of_token(at, kind, token, digest)?
    {
        return Ok(Submitted::Known(job));
    }
    let live: i64 = at
        .prepare_cached(
            "SELECT count(*) FROM job WHERE kind = ?1 AND state NOT IN ('completed', 'failed', 'stopped')",
        )?
        .query_row([kind], |row| row.get(0))?;
    let live = number(live)?;
    if live >= new.most_live {
        return Err(Error::Quota { live });
    }
    let job = Job {
        id: new.id,
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
    at.prepare_cached(
        "INSERT INTO job (id, kind, name, state, submitted, spec, planned, samples)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        job.id,
        job.spec.kind,
        job.spec.name,
        job.state.name(),
        job.submitted,
        text(&job.spec)?,
        text(&job.planned)?,
        text(&job.samples)?,
    ])?;
    event(at, &job.id, new.now, job.state.name(), "")?;
    if let Some((token, digest)) = new.token {
        at.prepare_cached("INSERT INTO idempotency VALUES (?1, ?2, ?3, ?4)")?
            .execute([&job.spec.kind, &token, &job.id, &digest])?;
    }
    Ok(Submitted::New(job))
}

pub(super) fn keep_planning(at: &Transaction<'_>, id: &str, planning: Planning) -> Result<()> {
    at.prepare_cached("UPDATE job SET planning = ?2 WHERE id = ?1")?
        .execute(params![id, text(&planning)?])?;
    Ok(())
}

pub(super) fn begin_plan(at: &Transaction<'_>, id: &str, now: i64) -> Result<Job> {
    let mut job = job(at, id)?;
    may_be_planned(job.state)?;
    if job.planning.open {
        event(at, id, now, "note", PLAN_LOST)?;
    }
    job.planning = job.planning.begun();
    keep_planning(at, id, job.planning)?;
    Ok(job)
}

pub(super) fn plan(at: &Transaction<'_>, id: &str, plan: &Plan, now: i64) -> Result<Job> {
    let mut job = advance(at, id, State::Queued, None, now)?;
    event(at, id, now, "note", &planned_text(plan))?;
    (job.planned, job.planning) = (plan.total(), Planning::default());
    at.prepare_cached("UPDATE job SET planned = ?2, planning = NULL WHERE id = ?1")?
        .execute(params![id, text(&job.planned)?])?;
    let mut statement = at.prepare_cached("INSERT INTO input VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for (number, input) in plan.inputs.iter().enumerate() {
        statement.execute(params![
            id,
            kept(number as u64)?,
            input.key,
            kept(input.length)?,
            input.etag,
            kept(input.documents)?,
        ])?;
    }
    let mut statement = at.prepare_cached(
        "INSERT INTO task (job, number, state, attempt, pieces) VALUES (?1, ?2, 'pending', 0, ?3)",
    )?;
    for (number, pieces) in plan.tasks.iter().enumerate() {
        statement.execute(params![id, kept(number as u64)?, text(pieces)?])?;
    }
    Ok(job)
}

pub(super) fn lease(
    at: &Transaction<'_>,
    id: &str,
    owner: &str,
    most: usize,
    until: i64,
    now: i64,
) -> Result<Vec<(Fence, Task)>> {
    let job = job(at, id)?;
    if job.state != State::Running {
        return Err(Error::State {
            is: job.state,
            wanted: State::Running,
        });
    }
    let mut pending = Vec::new();
    {
        let mut statement = at.prepare_cached(&format!(
            "SELECT {TASK} FROM task WHERE job = ?1 AND state = 'pending' ORDER BY number LIMIT ?2"
        ))?;
        let mut rows = statement.query(params![id, kept(most as u64)?])?;
        while let Some(row) = rows.next()? {
            pending.push(task_of(row)?);
        }
    }
    let mut leased = Vec::with_capacity(pending.len());
    for mut task in pending {
        task.state = TaskState::Leased;
        task.attempt += 1;
        at.prepare_cached(
            "UPDATE task SET state = 'leased', attempt = ?3, owner = ?4, until = ?5, place = NULL
             WHERE job = ?1 AND number = ?2",
        )?
        .execute(params![id, kept(task.number)?, task.attempt, owner, until])?;
        let text = format!("task {} is leased, attempt {}", task.number, task.attempt);
        event(at, id, now, "task", &text)?;
        let fence = Fence {
            job: id.to_owned(),
            task: task.number,
            attempt: task.attempt,
            owner: owner.to_owned(),
        };
        leased.push((fence, task));
    }
    Ok(leased)
}

pub(super) fn reclaim(at: &Transaction<'_>, gone: &Gone, attempts: u32, now: i64) -> Result<u64> {
    let (condition, value) = match gone {
        Gone::Expired => ("until <= ?1", Value::Integer(now)),
        Gone::AllBut(owner) => ("owner <> ?1", Value::Text(owner.clone())),
    };
    let query = format!(
        "SELECT job, number, place, lost, lost_at FROM task WHERE state = 'leased' AND {condition}"
    );
    let mut lost: Vec<(String, i64, Losses)> = Vec::new();
    {
        let mut statement = at.prepare_cached(&query)?;
        let mut rows = statement.query([value])?;
        while let Some(row) = rows.next()? {
            let place = |column| -> Result<Option<u64>> {
                row.get::<_, Option<i64>>(column)?.map(number).transpose()
            };
            let before = Losses {
                times: row.get(3)?,
                place: place(4)?,
            };
            lost.push((row.get(0)?, row.get(1)?, before.and(place(2)?)));
        }
    }
    for (id, task, losses) in &lost {
        let state = match losses.times >= attempts {
            true => TaskState::Poisoned,
            false => TaskState::Pending,
        };
        at.prepare_cached(
            "UPDATE task SET state = ?3, owner = NULL, until = NULL, place = NULL, lost = ?4, lost_at = ?5
             WHERE job = ?1 AND number = ?2",
        )?
        .execute(params![
            id,
            task,
            state.name(),
            losses.times,
            losses.place.map(kept).transpose()?
        ])?;
        let text = format!("task {task} was lost and is {}", state.name());
        event(at, id, now, "task", &text)?;
    }
    Ok(lost.len() as u64)
}

pub(super) fn bury(at: &Transaction<'_>, id: &str, task: u64, part: &Part, now: i64) -> Result<()> {
    known(at, id)?;
    let found: Option<(String, Option<String>)> = at
        .prepare_cached("SELECT state, part FROM task WHERE job = ?1 AND number = ?2")?
        .query_row(params![id, kept(task)?], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    match found {
        Some((state, None)) if state == TaskState::Poisoned.name() => {
            count(at, id, task, part)?;
            event(at, id, now, "task", &format!("task {task} became errors"))
        }
        Some((state, Some(_))) if state == TaskState::Poisoned.name() => Ok(()),
        _ => Err(Error::Fenced {
            job: id.to_owned(),
            task,
        }),
    }
}
