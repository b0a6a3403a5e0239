//! Jobs in a SQLite file.
//!
//! One thread writes, so that a commit never waits for a lock; readers see what was committed (WAL). Every commit is synced
//! (`synchronous=FULL`): what was answered survives power cuts. The file has a format version (`user_version`), is held by
//! one process at a time (`jobs.lock` beside it), and may be read meanwhile with SQLite's own tools.

mod changes;
mod format;
mod rows;

use super::{ASSEMBLED, Error, Filter, Gone, New, Result, Store, Submitted, may_be_assembled};
use crate::job::{Event, Fence, Input, Job, Part, Plan, State, Task, TaskState, Usage};
use changes::{
    advance, begin_plan, bury, change, count, event, keep_planning, lease, of_token, plan, reclaim,
    submit,
};
use parking_lot::Mutex;
use rows::{TASK, job, job_of, kept, known, number, query, state, task_of, task_state};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params, params_from_iter};
use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Changes that may wait for the writer.
const WAITING: usize = 64;
/// How long a reader waits for a checkpoint.
const BUSY: Duration = Duration::from_secs(10);

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
        format::begin(&mut connection, &path)?;
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
    use super::format::FORMAT;
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
