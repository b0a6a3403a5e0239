//! Jobs in a SQLite file.
//!
//! One thread writes, so that a commit never waits for a lock; readers see what was committed (WAL). Every commit is synced
//! (`synchronous=FULL`): what was answered survives power cuts. The file has a format version (`user_version`), is held by
//! one process at a time (`jobs.lock` beside it), and may be read meanwhile with SQLite's own tools.

use super::{
    ASSEMBLED, Error, Filter, Gone, New, Order, PLAN_LOST, Result, Store, Submitted,
    may_be_assembled, may_be_planned, planned_text,
};
use crate::job::{
    Event, Fence, Input, Job, Losses, Part, Plan, Planned, Planning, SAMPLES, Sample, State, Task,
    TaskState, Usage,
};
use parking_lot::Mutex;
use rusqlite::types::Value;
use rusqlite::{
    Connection, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params,
    params_from_iter,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The format that is written.
const FORMAT: i64 = 4;
/// Tells the file from other databases: "EscJ".
const APPLICATION: i64 = 0x4573_634a;
/// Changes that may wait for the writer.
const WAITING: usize = 64;
/// How long a reader waits for a checkpoint.
const BUSY: Duration = Duration::from_secs(10);

const TABLES: &str = "
CREATE TABLE job (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT,
    state TEXT NOT NULL,
    submitted INTEGER NOT NULL,
    begun INTEGER,
    ended INTEGER,
    why TEXT,
    spec TEXT NOT NULL,
    planned TEXT NOT NULL,
    samples TEXT NOT NULL,
    assembled INTEGER NOT NULL DEFAULT 0,
    planning TEXT
) STRICT;
CREATE INDEX job_by_time ON job (submitted DESC, id DESC);
CREATE INDEX job_by_kind ON job (kind, submitted DESC, id DESC);
CREATE INDEX job_by_state ON job (state, submitted DESC, id DESC);
CREATE INDEX job_by_name ON job (kind, name, submitted DESC, id DESC);
CREATE TABLE input (
    job TEXT NOT NULL REFERENCES job,
    number INTEGER NOT NULL,
    key TEXT NOT NULL,
    length INTEGER NOT NULL,
    etag TEXT NOT NULL,
    documents INTEGER NOT NULL,
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE task (
    job TEXT NOT NULL REFERENCES job,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    owner TEXT,
    until INTEGER,
    pieces TEXT NOT NULL,
    part TEXT,
    place INTEGER,
    lost INTEGER NOT NULL DEFAULT 0,
    lost_at INTEGER,
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX task_by_state ON task (job, state, number);
CREATE INDEX task_leased ON task (owner, until) WHERE state = 'leased';
CREATE TABLE usage (
    job TEXT NOT NULL REFERENCES job,
    task INTEGER NOT NULL,
    documents INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    read INTEGER NOT NULL,
    written INTEGER NOT NULL,
    characters INTEGER NOT NULL,
    units INTEGER NOT NULL,
    compute_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL,
    tokens INTEGER NOT NULL DEFAULT 0,
    pixels INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, task)
) STRICT, WITHOUT ROWID;
CREATE TABLE event (
    job TEXT NOT NULL REFERENCES job,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE idempotency (
    kind TEXT NOT NULL,
    token TEXT NOT NULL,
    job TEXT NOT NULL REFERENCES job,
    digest TEXT NOT NULL,
    PRIMARY KEY (kind, token)
) STRICT, WITHOUT ROWID;
";

const JOB: &str = "id, state, submitted, begun, ended, why, spec, planned, samples, assembled,
    planning";

type Work = Box<dyn FnOnce(&mut Connection) + Send>;

/// Jobs in a file.
pub struct Sqlite {
    reader: Mutex<Connection>,
    writer: Option<SyncSender<Work>>,
    thread: Option<JoinHandle<()>>,
    _lock: File,
}

impl Sqlite {
    /// Opens the jobs of a folder, or begins there.
    ///
    /// # Errors
    /// [`Error::Held`], [`Error::Format`], [`Error::Open`], or the file is no database.
    pub fn open(folder: &Path) -> Result<Self> {
        let open = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Open { path, source }
        };
        std::fs::create_dir_all(folder).map_err(open(folder))?;
        let path = folder.join("jobs.lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(open(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(Error::Held(folder.to_owned())),
            Err(std::fs::TryLockError::Error(source)) => return Err(open(&path)(source)),
        }
        let path = folder.join("jobs.db");
        let mut connection = Connection::open(&path)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_prepared_statement_cache_capacity(64);
        begin(&mut connection, &path)?;
        let reader = Connection::open_with_flags(
            &path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        reader.busy_timeout(BUSY)?;
        reader.pragma_update(None, "query_only", true)?;
        let (writer, work): (_, Receiver<Work>) = sync_channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("jobs-writer".to_owned())
            .spawn(move || {
                while let Ok(work) = work.recv() {
                    work(&mut connection);
                }
            })
            .map_err(open(&path))?;
        Ok(Self {
            reader: Mutex::new(reader),
            writer: Some(writer),
            thread: Some(thread),
            _lock: lock,
        })
    }

    /// Does something on the writer's thread, in one transaction.
    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tell, told) = sync_channel(1);
        let work: Work = Box::new(move |connection| {
            let outcome = (|| {
                let behavior = TransactionBehavior::Immediate;
                let transaction = connection.transaction_with_behavior(behavior)?;
                let value = work(&transaction)?;
                transaction.commit()?;
                Ok(value)
            })();
            // Whoever asked may be gone; what was done is done.
            let _ = tell.send(outcome);
        });
        let writer = self.writer.as_ref().ok_or(Error::Closed)?;
        writer.send(work).map_err(|_| Error::Closed)?;
        told.recv().map_err(|_| Error::Closed)?
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.writer = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the jobs' state panicked");
        }
    }
}

/// What has come to files of the first format.
const SINCE_1: &str = "
ALTER TABLE task ADD COLUMN place INTEGER;
ALTER TABLE task ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN lost_at INTEGER;
";
/// What has come to files of the second.
const SINCE_2: &str = "
ALTER TABLE job ADD COLUMN assembled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN planning TEXT;
";
/// What has come to files of the third.
const SINCE_3: &str = "
ALTER TABLE usage ADD COLUMN tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage ADD COLUMN pixels INTEGER NOT NULL DEFAULT 0;
";
/// What came to files of each format, the first first.
const SINCE: [&str; FORMAT as usize - 1] = [SINCE_1, SINCE_2, SINCE_3];

/// Makes the tables, or checks that the file's format is known.
fn begin(connection: &mut Connection, path: &Path) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let number = |name: &str| -> Result<i64> {
        Ok(transaction.pragma_query_value(None, name, |row| row.get(0))?)
    };
    let (found, application) = (number("user_version")?, number("application_id")?);
    let is_empty = (found, application) == (0, 0);
    if !is_empty && (application != APPLICATION || !(1..=FORMAT).contains(&found)) {
        return Err(Error::Format {
            path: path.to_owned(),
            found,
            known: FORMAT,
        });
    }
    if is_empty {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
    } else {
        for (format, since) in (1..).zip(SINCE) {
            if found <= format {
                transaction.execute_batch(since)?;
            }
        }
    }
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    Ok(())
}

fn text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Damaged(error.to_string()))
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::Damaged(error.to_string()))
}

fn state(name: &str) -> Result<State> {
    State::of_name(name).ok_or_else(|| Error::Damaged(format!("there is no state {name}")))
}

fn task_state(name: &str) -> Result<TaskState> {
    let found = TaskState::of_name(name);
    found.ok_or_else(|| Error::Damaged(format!("there is no state {name} of tasks")))
}

/// Numbers are never negative here, and never that large.
fn number(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| Error::Damaged(format!("{value} is no count")))
}

fn kept(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| Error::Damaged(format!("{value} is too large to be kept")))
}

fn job_of(row: &Row<'_>) -> Result<Job> {
    Ok(Job {
        id: row.get(0)?,
        state: state(&row.get::<_, String>(1)?)?,
        submitted: row.get(2)?,
        begun: row.get(3)?,
        ended: row.get(4)?,
        why: row.get(5)?,
        spec: read(&row.get::<_, String>(6)?)?,
        planned: read(&row.get::<_, String>(7)?)?,
        samples: read(&row.get::<_, String>(8)?)?,
        assembled: row.get(9)?,
        planning: match row.get::<_, Option<String>>(10)? {
            Some(planning) => read(&planning)?,
            None => Planning::default(),
        },
    })
}

/// What [`task_of`] reads.
const TASK: &str = "number, state, attempt, pieces, part, lost, lost_at";

fn task_of(row: &Row<'_>) -> Result<Task> {
    let part: Option<String> = row.get(4)?;
    Ok(Task {
        number: number(row.get(0)?)?,
        state: task_state(&row.get::<_, String>(1)?)?,
        attempt: row.get(2)?,
        pieces: read(&row.get::<_, String>(3)?)?,
        losses: Losses {
            times: row.get(5)?,
            place: row.get::<_, Option<i64>>(6)?.map(number).transpose()?,
        },
        part: part.as_deref().map(read).transpose()?,
    })
}

fn job(connection: &Connection, id: &str) -> Result<Job> {
    let query = format!("SELECT {JOB} FROM job WHERE id = ?1");
    let mut statement = connection.prepare_cached(&query)?;
    let mut rows = statement.query([id])?;
    match rows.next()? {
        Some(row) => job_of(row),
        None => Err(Error::NotFound(id.to_owned())),
    }
}

fn known(connection: &Connection, id: &str) -> Result<()> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM job WHERE id = ?1")?;
    match statement.exists([id])? {
        true => Ok(()),
        false => Err(Error::NotFound(id.to_owned())),
    }
}

fn event(at: &Transaction<'_>, id: &str, now: i64, kind: &str, text: &str) -> Result<()> {
    at.prepare_cached(
        "INSERT INTO event SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4 FROM event WHERE job = ?1",
    )?
    .execute(params![id, now, kind, text])?;
    Ok(())
}

fn advance(at: &Transaction<'_>, id: &str, to: State, why: Option<&str>, now: i64) -> Result<Job> {
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
fn change(at: &Transaction<'_>, fence: &Fence, to: TaskState, attempt: u32) -> Result<()> {
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
fn count(at: &Transaction<'_>, id: &str, task: u64, part: &Part) -> Result<()> {
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

fn of_token(at: &Connection, kind: &str, token: &str, digest: &str) -> Result<Option<Job>> {
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

fn submit(at: &Transaction<'_>, new: New) -> Result<Submitted> {
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

fn keep_planning(at: &Transaction<'_>, id: &str, planning: Planning) -> Result<()> {
    at.prepare_cached("UPDATE job SET planning = ?2 WHERE id = ?1")?
        .execute(params![id, text(&planning)?])?;
    Ok(())
}

fn begin_plan(at: &Transaction<'_>, id: &str, now: i64) -> Result<Job> {
    let mut job = job(at, id)?;
    may_be_planned(job.state)?;
    if job.planning.open {
        event(at, id, now, "note", PLAN_LOST)?;
    }
    job.planning = job.planning.begun();
    keep_planning(at, id, job.planning)?;
    Ok(job)
}

fn plan(at: &Transaction<'_>, id: &str, plan: &Plan, now: i64) -> Result<Job> {
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

fn lease(
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

fn reclaim(at: &Transaction<'_>, gone: &Gone, attempts: u32, now: i64) -> Result<u64> {
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

fn bury(at: &Transaction<'_>, id: &str, task: u64, part: &Part, now: i64) -> Result<()> {
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

/// The query of a filter and its values.
fn query(filter: &Filter) -> Result<(String, Vec<Value>)> {
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    if let Some(kind) = &filter.kind {
        conditions.push("kind = ?".to_owned());
        values.push(Value::Text(kind.clone()));
    }
    if !filter.states.is_empty() {
        let places = vec!["?"; filter.states.len()].join(", ");
        conditions.push(format!("state IN ({places})"));
        let names = filter.states.iter().map(|state| state.name().to_owned());
        values.extend(names.map(Value::Text));
    }
    if let Some(name) = &filter.name {
        conditions.push("name = ?".to_owned());
        values.push(Value::Text(name.clone()));
    }
    if let Some(before) = filter.before {
        conditions.push("submitted < ?".to_owned());
        values.push(Value::Integer(before));
    }
    if let Some(after) = filter.after {
        conditions.push("submitted > ?".to_owned());
        values.push(Value::Integer(after));
    }
    let (direction, later) = match filter.order {
        Order::Youngest => ("DESC", "<"),
        Order::Oldest => ("ASC", ">"),
    };
    if let Some(behind) = &filter.behind {
        conditions.push(format!("(submitted, id) {later} (?, ?)"));
        values.push(Value::Integer(behind.submitted));
        values.push(Value::Text(behind.id.clone()));
    }
    let conditions = match conditions.is_empty() {
        true => String::new(),
        false => format!("WHERE {}", conditions.join(" AND ")),
    };
    values.push(Value::Integer(kept(filter.most as u64)?));
    let query = format!(
        "SELECT {JOB} FROM job {conditions} ORDER BY submitted {direction}, id {direction} LIMIT ?"
    );
    Ok((query, values))
}

impl Store for Sqlite {
    fn submit(&self, new: New) -> Result<Submitted> {
        self.write(move |at| submit(at, new))
    }

    fn known(&self, kind: &str, token: &str, digest: &str) -> Result<Option<Job>> {
        of_token(&self.reader.lock(), kind, token, digest)
    }

    fn job(&self, id: &str) -> Result<Job> {
        job(&self.reader.lock(), id)
    }

    fn jobs(&self, filter: &Filter) -> Result<Vec<Job>> {
        let (query, values) = query(filter)?;
        let reader = self.reader.lock();
        let mut statement = reader.prepare_cached(&query)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut jobs = Vec::new();
        while let Some(row) = rows.next()? {
            jobs.push(job_of(row)?);
        }
        Ok(jobs)
    }

    fn states(&self) -> Result<Vec<(State, u64)>> {
        let reader = self.reader.lock();
        let mut statement =
            reader.prepare_cached("SELECT state, count(*) FROM job GROUP BY state")?;
        let mut rows = statement.query([])?;
        let mut counts = Vec::new();
        while let Some(row) = rows.next()? {
            counts.push((state(&row.get::<_, String>(0)?)?, number(row.get(1)?)?));
        }
        counts.sort();
        Ok(counts)
    }

    fn advance(&self, id: &str, to: State, why: Option<&str>, now: i64) -> Result<Job> {
        let (id, why) = (id.to_owned(), why.map(str::to_owned));
        self.write(move |at| advance(at, &id, to, why.as_deref(), now))
    }

    fn begin_plan(&self, id: &str, now: i64) -> Result<Job> {
        let id = id.to_owned();
        self.write(move |at| begin_plan(at, &id, now))
    }

    fn mark_plan(&self, id: &str, place: u64) -> Result<()> {
        let id = id.to_owned();
        self.write(move |at| {
            let mut planning = job(at, &id)?.planning;
            planning.place = Some(place);
            keep_planning(at, &id, planning)
        })
    }

    fn put_down_plan(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.write(move |at| {
            let planning = job(at, &id)?.planning;
            keep_planning(at, &id, planning.put_down())
        })
    }

    fn plan(&self, id: &str, frozen: &Plan, now: i64) -> Result<Job> {
        let (id, frozen) = (id.to_owned(), frozen.clone());
        self.write(move |at| plan(at, &id, &frozen, now))
    }

    fn inputs(&self, id: &str) -> Result<Vec<Input>> {
        let reader = self.reader.lock();
        known(&reader, id)?;
        let mut statement = reader.prepare_cached(
            "SELECT key, length, etag, documents FROM input WHERE job = ?1 ORDER BY number",
        )?;
        let mut rows = statement.query([id])?;
        let mut inputs = Vec::new();
        while let Some(row) = rows.next()? {
            inputs.push(Input {
                key: row.get(0)?,
                length: number(row.get(1)?)?,
                etag: row.get(2)?,
                documents: number(row.get(3)?)?,
            });
        }
        Ok(inputs)
    }

    fn tasks(&self, id: &str) -> Result<Vec<Task>> {
        let reader = self.reader.lock();
        known(&reader, id)?;
        let mut statement = reader.prepare_cached(&format!(
            "SELECT {TASK} FROM task WHERE job = ?1 ORDER BY number"
        ))?;
        let mut rows = statement.query([id])?;
        let mut tasks = Vec::new();
        while let Some(row) = rows.next()? {
            tasks.push(task_of(row)?);
        }
        Ok(tasks)
    }

    fn task_states(&self, id: &str) -> Result<Vec<(TaskState, u64)>> {
        let reader = self.reader.lock();
        known(&reader, id)?;
        let mut statement = reader
            .prepare_cached("SELECT state, count(*) FROM task WHERE job = ?1 GROUP BY state")?;
        let mut rows = statement.query([id])?;
        let mut counts = Vec::new();
        while let Some(row) = rows.next()? {
            counts.push((task_state(&row.get::<_, String>(0)?)?, number(row.get(1)?)?));
        }
        let place = |state| TaskState::ALL.iter().position(|other| *other == state);
        counts.sort_by_key(|(state, _)| place(*state));
        Ok(counts)
    }

    fn lease(
        &self,
        id: &str,
        owner: &str,
        most: usize,
        until: i64,
        now: i64,
    ) -> Result<Vec<(Fence, Task)>> {
        let (id, owner) = (id.to_owned(), owner.to_owned());
        self.write(move |at| lease(at, &id, &owner, most, until, now))
    }

    fn renew(&self, owner: &str, until: i64) -> Result<u64> {
        let owner = owner.to_owned();
        self.write(move |at| {
            let renewed = at
                .prepare_cached("UPDATE task SET until = ?2 WHERE state = 'leased' AND owner = ?1")?
                .execute(params![owner, until])?;
            Ok(renewed as u64)
        })
    }

    fn done(&self, fence: &Fence, part: &Part, now: i64) -> Result<()> {
        let (fence, part) = (fence.clone(), part.clone());
        self.write(move |at| {
            known(at, &fence.job)?;
            change(at, &fence, TaskState::Done, fence.attempt)?;
            count(at, &fence.job, fence.task, &part)?;
            let text = format!("task {} is done", fence.task);
            event(at, &fence.job, now, "task", &text)
        })
    }

    fn mark(&self, fence: &Fence, place: u64) -> Result<()> {
        let fence = fence.clone();
        self.write(move |at| {
            let marked = at
                .prepare_cached(
                    "UPDATE task SET place = ?5
                     WHERE job = ?1 AND number = ?2 AND state = 'leased' AND attempt = ?3 AND owner = ?4",
                )?
                .execute(params![
                    fence.job,
                    kept(fence.task)?,
                    fence.attempt,
                    fence.owner,
                    kept(place)?
                ])?;
            match marked {
                0 => Err(Error::Fenced {
                    job: fence.job.clone(),
                    task: fence.task,
                }),
                _ => Ok(()),
            }
        })
    }

    fn put_down(&self, fence: &Fence, now: i64) -> Result<()> {
        let fence = fence.clone();
        self.write(move |at| {
            known(at, &fence.job)?;
            let before = fence.attempt.saturating_sub(1);
            change(at, &fence, TaskState::Pending, before)?;
            let text = format!("task {} is put down", fence.task);
            event(at, &fence.job, now, "task", &text)
        })
    }

    fn fail(&self, fence: &Fence, why: &str, now: i64) -> Result<Option<Job>> {
        let (fence, why) = (fence.clone(), why.to_owned());
        self.write(move |at| {
            let job = job(at, &fence.job)?;
            change(at, &fence, TaskState::Failed, fence.attempt)?;
            let text = format!("task {} failed: {why}", fence.task);
            event(at, &fence.job, now, "task", &text)?;
            match job.state.is_live() {
                true => advance(at, &fence.job, State::Failed, Some(&why), now).map(Some),
                false => Ok(None),
            }
        })
    }

    fn reclaim(&self, gone: &Gone, attempts: u32, now: i64) -> Result<u64> {
        let gone = gone.clone();
        self.write(move |at| reclaim(at, &gone, attempts, now))
    }

    fn bury(&self, id: &str, task: u64, part: &Part, now: i64) -> Result<()> {
        let (id, part) = (id.to_owned(), part.clone());
        self.write(move |at| bury(at, &id, task, &part, now))
    }

    fn assembled(&self, id: &str, now: i64) -> Result<()> {
        let id = id.to_owned();
        self.write(move |at| {
            may_be_assembled(job(at, &id)?.state)?;
            at.prepare_cached("UPDATE job SET assembled = 1 WHERE id = ?1")?
                .execute([&id])?;
            event(at, &id, now, "note", ASSEMBLED)
        })
    }

    fn usage(&self, id: &str) -> Result<Usage> {
        let reader = self.reader.lock();
        known(&reader, id)?;
        let mut statement = reader.prepare_cached(
            "SELECT coalesce(sum(documents), 0), coalesce(sum(errors), 0), coalesce(sum(read), 0),
                    coalesce(sum(written), 0), coalesce(sum(characters), 0), coalesce(sum(units), 0),
                    coalesce(sum(compute_ms), 0), coalesce(sum(wall_ms), 0),
                    coalesce(sum(tokens), 0), coalesce(sum(pixels), 0)
             FROM usage WHERE job = ?1",
        )?;
        let mut rows = statement.query([id])?;
        let Some(row) = rows.next()? else {
            return Ok(Usage::default());
        };
        Ok(Usage {
            documents: number(row.get(0)?)?,
            errors: number(row.get(1)?)?,
            read: number(row.get(2)?)?,
            written: number(row.get(3)?)?,
            characters: number(row.get(4)?)?,
            units: number(row.get(5)?)?,
            compute_ms: number(row.get(6)?)?,
            wall_ms: number(row.get(7)?)?,
            tokens: number(row.get(8)?)?,
            pixels: number(row.get(9)?)?,
        })
    }

    fn forget(&self, before: i64, most: usize) -> Result<u64> {
        let most = kept(most as u64)?;
        self.write(move |transaction| {
            let old = "SELECT id FROM job WHERE ended < ?1 ORDER BY ended, id LIMIT ?2";
            for table in ["idempotency", "event", "usage", "task", "input"] {
                let delete = format!("DELETE FROM {table} WHERE job IN ({old})");
                transaction
                    .prepare_cached(&delete)?
                    .execute(params![before, most])?;
            }
            let delete = format!("DELETE FROM job WHERE id IN ({old})");
            let gone = transaction
                .prepare_cached(&delete)?
                .execute(params![before, most])?;
            Ok(gone as u64)
        })
    }

    fn note(&self, id: &str, text: &str, now: i64) -> Result<()> {
        let (id, text) = (id.to_owned(), text.to_owned());
        self.write(move |at| {
            known(at, &id)?;
            event(at, &id, now, "note", &text)
        })
    }

    fn events(&self, id: &str, after: u64, most: usize) -> Result<Vec<Event>> {
        let reader = self.reader.lock();
        known(&reader, id)?;
        let mut statement = reader.prepare_cached(
            "SELECT number, at, kind, text FROM event
             WHERE job = ?1 AND number > ?2 ORDER BY number LIMIT ?3",
        )?;
        let mut rows = statement.query(params![id, kept(after)?, kept(most as u64)?])?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            events.push(Event {
                number: number(row.get(0)?)?,
                at: row.get(1)?,
                kind: row.get(2)?,
                text: row.get(3)?,
            });
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::super::suite;
    use super::*;

    #[test]
    fn keeps_the_contract() {
        suite::all(&|| {
            let folder = tempfile::tempdir().expect("a folder");
            let store = Sqlite::open(folder.path()).expect("opens");
            (Box::new(store), Some(folder))
        });
    }

    #[test]
    fn what_was_written_is_there_when_it_is_opened_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Sqlite::open(folder.path()).expect("opens");
        let before = suite::half_done(&store);
        assert!(
            matches!(Sqlite::open(folder.path()), Err(Error::Held(_))),
            "one process has it"
        );
        drop(store);
        let store = Sqlite::open(folder.path()).expect("opens again");
        assert_eq!(suite::all_of(&store), before);
    }

    #[test]
    fn a_file_of_another_kind_or_a_later_version_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(Sqlite::open(folder.path()).expect("opens"));
        let path = folder.path().join("jobs.db");
        let change = |name: &str, value: i64| {
            let connection = Connection::open(&path).expect("a database");
            connection
                .pragma_update(None, name, value)
                .expect("is changed");
        };
        change("user_version", FORMAT + 1);
        let refused = Sqlite::open(folder.path()).err().expect("refused");
        assert!(
            matches!(refused, Error::Format { found, .. } if found == FORMAT + 1),
            "{refused}"
        );
        change("user_version", FORMAT);
        drop(Sqlite::open(folder.path()).expect("opens"));
        change("application_id", 7);
        assert!(matches!(
            Sqlite::open(folder.path()),
            Err(Error::Format { .. })
        ));
        std::fs::write(&path, b"no database at all, but some bytes").expect("written");
        assert!(matches!(Sqlite::open(folder.path()), Err(Error::Sqlite(_))));
    }

    #[test]
    fn every_commit_is_synced() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Sqlite::open(folder.path()).expect("opens");
        let synchronous: i64 = store
            .write(|at| Ok(at.pragma_query_value(None, "synchronous", |row| row.get(0))?))
            .expect("known");
        let journal: String = store
            .write(|at| Ok(at.pragma_query_value(None, "journal_mode", |row| row.get(0))?))
            .expect("known");
        assert_eq!((synchronous, journal.as_str()), (2, "wal"));
    }
}
