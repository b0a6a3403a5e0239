//! The index: which buckets, objects and uploads there are, in SQLite.
//!
//! Everything that changes it is done by one thread, one after the other. What waits for that thread when it begins is done
//! in one transaction, so that many small changes pay for one write through to the disk; each is still whole or not at all,
//! and is answered when the disk has it. Readers have connections of their own and wait for nobody.

use super::Error;
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// The format of the index and of the folder around it.
const VERSION: i64 = 1;
/// What says that a database is one of these: `escO`.
const APPLICATION: i64 = 0x6573_634f;

/// Changes that wait for the thread that makes them.
const WAITING: usize = 256;
/// Changes of one transaction.
const TOGETHER: usize = 64;
/// Connections that are kept for readers.
const READERS: usize = 16;

const SCHEMA: &str = "
CREATE TABLE bucket (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    tags TEXT NOT NULL DEFAULT '[]'
);
CREATE TABLE object (
    bucket INTEGER NOT NULL REFERENCES bucket(id),
    key TEXT NOT NULL,
    id TEXT NOT NULL,
    length INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified INTEGER NOT NULL,
    about TEXT NOT NULL,
    checksum TEXT,
    parts INTEGER NOT NULL,
    tags TEXT NOT NULL,
    PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE TABLE segment (
    object TEXT NOT NULL,
    number INTEGER NOT NULL,
    file TEXT NOT NULL,
    length INTEGER NOT NULL,
    checksum TEXT,
    PRIMARY KEY (object, number)
) WITHOUT ROWID;
CREATE INDEX segment_file ON segment(file);
CREATE TABLE upload (
    id TEXT PRIMARY KEY,
    bucket INTEGER NOT NULL REFERENCES bucket(id),
    key TEXT NOT NULL,
    started INTEGER NOT NULL,
    about TEXT NOT NULL,
    checksum TEXT,
    tags TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX upload_key ON upload(bucket, key, id);
CREATE TABLE part (
    upload TEXT NOT NULL REFERENCES upload(id),
    number INTEGER NOT NULL,
    file TEXT NOT NULL,
    length INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified INTEGER NOT NULL,
    checksum TEXT,
    PRIMARY KEY (upload, number)
) WITHOUT ROWID;
CREATE INDEX part_file ON part(file);
";

/// Makes a change, and gives back what tells its caller when the transaction is through.
type Change = Box<dyn FnOnce(&Connection) -> Told + Send>;
/// Tells how the transaction ended.
type Told = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// The index of a store.
pub struct Index {
    path: PathBuf,
    readers: Mutex<Vec<Connection>>,
    changes: Option<SyncSender<Change>>,
    thread: Option<JoinHandle<()>>,
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

impl Index {
    /// Opens the index at `path`, which is made if there is none.
    pub fn open(path: PathBuf) -> Result<Self, Error> {
        let write = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let connection = connect(&path, write | OpenFlags::SQLITE_OPEN_CREATE)?;
        let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        match (number("application_id")?, number("user_version")?) {
            (APPLICATION, VERSION) => (),
            (0, 0) => {
                let made = connection.unchecked_transaction()?;
                made.execute_batch(SCHEMA)?;
                made.pragma_update(None, "application_id", APPLICATION)?;
                made.pragma_update(None, "user_version", VERSION)?;
                made.commit()?;
            }
            (APPLICATION, version) => return Err(Error::Version(version)),
            _ => return Err(Error::Version(0)),
        }
        let (changes, waiting) = sync_channel::<Change>(WAITING);
        let thread = std::thread::Builder::new()
            .name("objects".to_owned())
            .spawn(move || {
                while let Ok(first) = waiting.recv() {
                    let more = std::iter::from_fn(|| waiting.try_recv().ok());
                    together(
                        &connection,
                        std::iter::once(first).chain(more).take(TOGETHER),
                    );
                }
            })
            .map_err(Error::Disk)?;
        Ok(Self {
            path,
            readers: Mutex::new(Vec::new()),
            changes: Some(changes),
            thread: Some(thread),
        })
    }

    /// Asks the index as it is.
    pub fn read<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let kept = self.readers.lock().pop();
        let connection = match kept {
            Some(connection) => connection,
            None => connect(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?,
        };
        // One transaction, so that all of the answers are of the same state.
        let state = connection.unchecked_transaction()?;
        let answer = ask(&state);
        drop(state);
        let mut readers = self.readers.lock();
        if readers.len() < READERS {
            readers.push(connection);
        }
        answer
    }

    /// Changes the index, and comes back when the disk has it.
    pub fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (tell, told) = sync_channel(1);
        let change: Change = Box::new(move |connection| {
            let made = in_part(connection, change);
            Box::new(move |through| {
                // A caller that went away does not want to know.
                let _ = tell.send(made.and_then(|made| through.map(|()| made)));
            })
        });
        let changes = self.changes.as_ref().ok_or(Error::Closed)?;
        changes.send(change).map_err(|_| Error::Closed)?;
        told.recv().map_err(|_| Error::Closed)?
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        drop(self.changes.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was told to whoever waited for it.
            let _ = thread.join();
        }
    }
}

/// A change that is undone alone if it fails.
fn in_part<T>(
    connection: &Connection,
    change: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    connection.execute_batch("SAVEPOINT change")?;
    let made = change(connection);
    if made.is_err() {
        connection.execute_batch("ROLLBACK TO change")?;
    }
    connection.execute_batch("RELEASE change")?;
    made
}

/// Makes changes in one transaction.
fn together(connection: &Connection, changes: impl Iterator<Item = Change>) {
    let begun = connection.execute_batch("BEGIN IMMEDIATE");
    let told: Vec<Told> = match &begun {
        Ok(()) => changes.map(|change| change(connection)).collect(),
        // Outside of a transaction nothing may be changed: that nothing was is all there is to tell.
        Err(error) => return tracing::error!(%error, "the index of objects cannot be changed"),
    };
    let mut through = connection.execute_batch("COMMIT");
    if through.is_err()
        && !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        through = Err(error);
    }
    for tell in told {
        tell(match &through {
            Ok(()) => Ok(()),
            Err(error) => Err(Error::Disk(std::io::Error::other(error.to_string()))),
        });
    }
}
