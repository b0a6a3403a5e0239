//! The tables of the file, and what came to them with each format.

use super::super::{Error, Result};
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// The format that is written.
pub(super) const FORMAT: i64 = 4;
/// Tells the file from other databases: "EscJ".
const APPLICATION: i64 = 0x4573_634a;

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
pub(super) fn begin(connection: &mut Connection, path: &Path) -> Result<()> {
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
