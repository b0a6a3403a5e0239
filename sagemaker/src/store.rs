//! What is kept: resources with their states, their tags, in one SQLite file.
//!
//! A resource is what a request said, beside what became of it, as JSON; what lists are filtered and ordered by are columns.
//! Every change is one transaction and on the disk when the call returns (`synchronous=FULL`). Calls wait for the disk.

use crate::names::Kind;
use parking_lot::Mutex;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params, params_from_iter};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The format that is written.
const FORMAT: i64 = 1;
/// Tells the file from other databases: "EscM".
const APPLICATION: i64 = 0x4573_634d;
/// How long a change waits for SQLite's own tools.
const BUSY: Duration = Duration::from_secs(10);

const TABLES: &str = "
CREATE TABLE resource (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    arn TEXT NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    status TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX resource_by_time ON resource (kind, created, name);
CREATE INDEX resource_by_status ON resource (kind, status, name);
CREATE UNIQUE INDEX resource_by_arn ON resource (arn);
CREATE TABLE tag (
    arn TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (arn, key)
) STRICT, WITHOUT ROWID;
";

const COLUMNS: &str = "kind, name, arn, created, modified, status, body";

/// Something that has a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// What it is.
    pub kind: Kind,
    /// Its name, which no other of its kind has.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// When it was made, in milliseconds since 1970.
    pub created: i64,
    /// When it was changed last.
    pub modified: i64,
    /// Where it stands, in AWS's words; empty where it has no states.
    pub status: String,
    /// The request, and what became of it.
    pub body: Value,
}

/// Why the store does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is one of that name.
    #[error("there is one of this name: {0}")]
    Exists(String),
    /// The file was written by a version that is not known.
    #[error("{path} has format {found}; this version knows formats up to {FORMAT}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// What was read is not what is written.
    #[error("what is kept of SageMaker's resources is damaged: {0}")]
    Damaged(String),
    /// The file cannot be used.
    #[error("what is kept of SageMaker's resources cannot be used")]
    Sqlite(#[from] rusqlite::Error),
    /// The folder cannot be made.
    #[error("{path} cannot be made")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl From<Error> for crate::Refusal {
    fn from(error: Error) -> Self {
        let why = std::error::Error::source(&error).map(|cause| cause.to_string());
        tracing::error!(%error, why, "SageMaker's resources");
        Self::new(
            crate::refusal::INTERNAL,
            "The server failed; its log says why.",
        )
    }
}

/// What a store answers.
pub type Result<T> = std::result::Result<T, Error>;

/// What a list is ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The name.
    Name,
    /// When it was made.
    Created,
    /// The state, then the name.
    Status,
}

/// Which resources are listed, and how.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Parts of the name.
    pub name_contains: Option<String>,
    /// Made before, in milliseconds since 1970.
    pub created_before: Option<i64>,
    /// Made after.
    pub created_after: Option<i64>,
    /// Changed before.
    pub modified_before: Option<i64>,
    /// Changed after.
    pub modified_after: Option<i64>,
    /// In this state.
    pub status: Option<String>,
    /// The order.
    pub order: Order,
    /// Whether the last come first.
    pub descending: bool,
    /// Behind the one with this value of the order's column, and this name.
    pub behind: Option<(String, String)>,
    /// At most so many.
    pub most: usize,
}

impl Resource {
    /// Where it is in a list of an order.
    pub fn place(&self, order: Order) -> (String, String) {
        let value = match order {
            Order::Name => self.name.clone(),
            Order::Created => self.created.to_string(),
            Order::Status => self.status.clone(),
        };
        (value, self.name.clone())
    }
}

/// The resources of a folder.
pub struct Store {
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens what is kept in a folder, or begins there. The caller sees to it that one process has the folder.
    ///
    /// # Errors
    /// [`Error::Format`], [`Error::Folder`], or the file is no database.
    pub fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|source| Error::Folder {
            path: folder.to_owned(),
            source,
        })?;
        let path = folder.join("resources.db");
        let mut connection = Connection::open(&path)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let begun = connection.transaction()?;
        let found: i64 = begun.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match found {
            0 => {
                begun.execute_batch(TABLES)?;
                begun.pragma_update(None, "user_version", FORMAT)?;
                begun.pragma_update(None, "application_id", APPLICATION)?;
            }
            FORMAT => {}
            found => return Err(Error::Format { path, found }),
        }
        begun.commit()?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    /// Keeps a new resource with its tags.
    ///
    /// # Errors
    /// [`Error::Exists`] with the ARN of the one that has its name.
    pub fn create(&self, resource: &Resource, tags: &[(String, String)]) -> Result<()> {
        let mut connection = self.connection.lock();
        let change = connection.transaction()?;
        if let Some(there) = one(&change, resource.kind, &resource.name)? {
            return Err(Error::Exists(there.arn));
        }
        put(&change, resource)?;
        change.execute("DELETE FROM tag WHERE arn = ?1", [&resource.arn])?;
        put_tags(&change, &resource.arn, tags)?;
        Ok(change.commit()?)
    }

    /// The one of a name.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn get(&self, kind: Kind, name: &str) -> Result<Option<Resource>> {
        one(&self.connection.lock(), kind, name)
    }

    /// The one of an ARN.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn of_arn(&self, arn: &str) -> Result<Option<Resource>> {
        let connection = self.connection.lock();
        let sql = format!("SELECT {COLUMNS} FROM resource WHERE arn = ?1");
        let found = connection.query_row(&sql, [arn], resource).optional()?;
        found.transpose()
    }

    /// Changes the one of a name, in one step: nothing is kept where `change` answers an error, and nothing is changed
    /// meanwhile. `None` where there is none. `change` must not ask the store.
    ///
    /// # Errors
    /// Those of the store, and of `change`.
    pub fn update<T, E: From<Error>>(
        &self,
        kind: Kind,
        name: &str,
        change: impl FnOnce(&mut Resource) -> std::result::Result<T, E>,
    ) -> std::result::Result<Option<T>, E> {
        let sqlite = |error: rusqlite::Error| E::from(Error::from(error));
        let mut connection = self.connection.lock();
        let step = connection.transaction().map_err(sqlite)?;
        let Some(mut found) = one(&step, kind, name)? else {
            return Ok(None);
        };
        let before = found.clone();
        let said = change(&mut found)?;
        if found != before {
            put(&step, &found)?;
            step.commit().map_err(sqlite)?;
        }
        Ok(Some(said))
    }

    /// Forgets the one of a name with its tags; whether there was one.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn delete(&self, kind: Kind, name: &str) -> Result<bool> {
        let mut connection = self.connection.lock();
        let change = connection.transaction()?;
        let Some(found) = one(&change, kind, name)? else {
            return Ok(false);
        };
        change.execute("DELETE FROM tag WHERE arn = ?1", [&found.arn])?;
        change.execute(
            "DELETE FROM resource WHERE kind = ?1 AND name = ?2",
            [kind.in_arn(), name],
        )?;
        change.commit()?;
        Ok(true)
    }

    /// Those of a kind that a filter lets through, in its order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(&self, kind: Kind, filter: &Filter) -> Result<Vec<Resource>> {
        let mut sql = format!("SELECT {COLUMNS} FROM resource WHERE kind = ?");
        let mut values = vec![Sql::from(kind.in_arn().to_owned())];
        let mut and = |clause: &str, value: Option<Sql>| {
            if let Some(value) = value {
                sql.push_str(clause);
                values.push(value);
            }
        };
        // instr() compares letter by letter, where LIKE does not.
        let contains = filter.name_contains.clone();
        and(" AND instr(name, ?) > 0", contains.map(Sql::from));
        and(" AND created < ?", filter.created_before.map(Sql::from));
        and(" AND created > ?", filter.created_after.map(Sql::from));
        and(" AND modified < ?", filter.modified_before.map(Sql::from));
        and(" AND modified > ?", filter.modified_after.map(Sql::from));
        and(" AND status = ?", filter.status.clone().map(Sql::from));
        let (column, whole) = match filter.order {
            Order::Name => ("name", false),
            Order::Created => ("created", true),
            Order::Status => ("status", false),
        };
        let (than, way) = match filter.descending {
            true => ("<", "DESC"),
            false => (">", "ASC"),
        };
        if let Some((value, name)) = &filter.behind {
            let value = match (whole, value.parse::<i64>()) {
                (true, Ok(value)) => Sql::from(value),
                _ => Sql::from(value.clone()),
            };
            sql.push_str(&format!(" AND ({column}, name) {than} (?, ?)"));
            values.extend([value, Sql::from(name.clone())]);
        }
        sql.push_str(&format!(" ORDER BY {column} {way}, name {way} LIMIT ?"));
        values.push(Sql::from(i64::try_from(filter.most).unwrap_or(i64::MAX)));
        let connection = self.connection.lock();
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), resource)?;
        rows.map(|row| row?).collect()
    }

    /// All of a kind in some of the states: what goes on by itself.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn in_states(&self, kind: Kind, states: &[&str]) -> Result<Vec<Resource>> {
        let connection = self.connection.lock();
        let sql =
            format!("SELECT {COLUMNS} FROM resource WHERE kind = ?1 AND status = ?2 ORDER BY name");
        let mut statement = connection.prepare_cached(&sql)?;
        let mut all = Vec::new();
        for state in states {
            let rows = statement.query_map([kind.in_arn(), state], resource)?;
            for row in rows {
                all.push(row??);
            }
        }
        Ok(all)
    }

    /// How many there are of a kind, in one of some states; in any where none is named.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn count(&self, kind: Kind, states: &[&str]) -> Result<u64> {
        let connection = self.connection.lock();
        let marks = vec!["?"; states.len()].join(", ");
        let sql = match states.is_empty() {
            true => "SELECT count(*) FROM resource WHERE kind = ?".to_owned(),
            false => {
                format!("SELECT count(*) FROM resource WHERE kind = ? AND status IN ({marks})")
            }
        };
        let values = std::iter::once(kind.in_arn()).chain(states.iter().copied());
        let count: i64 = connection.query_row(&sql, params_from_iter(values), |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// The tags of an ARN, by key.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn tags(&self, arn: &str) -> Result<Vec<(String, String)>> {
        let connection = self.connection.lock();
        let mut statement =
            connection.prepare_cached("SELECT key, value FROM tag WHERE arn = ?1 ORDER BY key")?;
        let rows = statement.query_map([arn], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Changes the tags of an ARN: those with the keys go, the others are put; how many there are then. With more than `most`
    /// nothing is changed.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn tag(
        &self,
        arn: &str,
        put: &[(String, String)],
        gone: &[String],
        most: usize,
    ) -> Result<usize> {
        let mut connection = self.connection.lock();
        let change = connection.transaction()?;
        for key in gone {
            change.execute("DELETE FROM tag WHERE arn = ?1 AND key = ?2", [arn, key])?;
        }
        put_tags(&change, arn, put)?;
        let count: i64 =
            change.query_row("SELECT count(*) FROM tag WHERE arn = ?1", [arn], |row| {
                row.get(0)
            })?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count <= most {
            change.commit()?;
        }
        Ok(count)
    }
}

fn put(change: &Transaction<'_>, resource: &Resource) -> Result<()> {
    change.execute(
        "INSERT OR REPLACE INTO resource (kind, name, arn, created, modified, status, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![
            resource.kind.in_arn(),
            resource.name,
            resource.arn,
            resource.created,
            resource.modified,
            resource.status,
            resource.body.to_string(),
        ],
    )?;
    Ok(())
}

fn put_tags(change: &Transaction<'_>, arn: &str, tags: &[(String, String)]) -> Result<()> {
    for (key, value) in tags {
        change.execute(
            "INSERT OR REPLACE INTO tag (arn, key, value) VALUES (?1, ?2, ?3)",
            [arn, key, value],
        )?;
    }
    Ok(())
}

fn one(connection: &Connection, kind: Kind, name: &str) -> Result<Option<Resource>> {
    let sql = format!("SELECT {COLUMNS} FROM resource WHERE kind = ?1 AND name = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_row([kind.in_arn(), name], resource);
    found.optional()?.transpose()
}

fn resource(row: &Row<'_>) -> rusqlite::Result<Result<Resource>> {
    let kind: String = row.get(0)?;
    let body: String = row.get(6)?;
    let Some(kind) = Kind::ALL.into_iter().find(|one| one.in_arn() == kind) else {
        return Ok(Err(Error::Damaged(format!("there is no kind {kind}"))));
    };
    let body = match serde_json::from_str(&body) {
        Ok(body) => body,
        Err(error) => return Ok(Err(Error::Damaged(error.to_string()))),
    };
    Ok(Ok(Resource {
        kind,
        name: row.get(1)?,
        arn: row.get(2)?,
        created: row.get(3)?,
        modified: row.get(4)?,
        status: row.get(5)?,
        body,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn model(name: &str, created: i64) -> Resource {
        Resource {
            kind: Kind::Model,
            name: name.to_owned(),
            arn: format!("arn:model/{name}"),
            created,
            modified: created,
            status: String::new(),
            body: json!({"name": name}),
        }
    }

    fn everything() -> Filter {
        Filter {
            name_contains: None,
            created_before: None,
            created_after: None,
            modified_before: None,
            modified_after: None,
            status: None,
            order: Order::Created,
            descending: true,
            behind: None,
            most: 2,
        }
    }

    #[test]
    fn what_is_made_is_there_after_opening_again() {
        let folder = tempfile::tempdir().unwrap();
        let tags = [("team".to_owned(), "a".to_owned())];
        {
            let store = Store::open(folder.path()).unwrap();
            store.create(&model("a", 1), &tags).unwrap();
            let again = store.create(&model("a", 2), &[]);
            assert!(matches!(again, Err(Error::Exists(arn)) if arn == "arn:model/a"));
            let renamed = store.update(Kind::Model, "a", |found| {
                found.status = "New".to_owned();
                Ok::<_, Error>(found.created)
            });
            assert_eq!(renamed.unwrap(), Some(1));
            let refused = store.update(Kind::Model, "a", |found| {
                found.status = "Never".to_owned();
                Err::<(), _>(Error::Damaged("no".to_owned()))
            });
            assert!(refused.is_err());
        }
        let store = Store::open(folder.path()).unwrap();
        let found = store.get(Kind::Model, "a").unwrap().unwrap();
        assert_eq!((found.created, found.status.as_str()), (1, "New"));
        assert_eq!(store.of_arn("arn:model/a").unwrap(), Some(found));
        assert_eq!(store.tags("arn:model/a").unwrap(), tags);
        assert!(store.delete(Kind::Model, "a").unwrap());
        assert!(!store.delete(Kind::Model, "a").unwrap());
        assert!(store.tags("arn:model/a").unwrap().is_empty());
    }

    #[test]
    fn lists_go_on_behind_the_last_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for (name, created) in [("a", 3), ("b", 1), ("c", 3), ("dB", 2), ("e", 3)] {
            store.create(&model(name, created), &[]).unwrap();
        }
        for (order, descending, wanted) in [
            (Order::Created, true, ["e", "c", "a", "dB", "b"]),
            (Order::Created, false, ["b", "dB", "a", "c", "e"]),
            (Order::Name, false, ["a", "b", "c", "dB", "e"]),
            (Order::Status, true, ["e", "dB", "c", "b", "a"]),
        ] {
            let mut filter = Filter {
                order,
                descending,
                ..everything()
            };
            let mut seen = Vec::new();
            loop {
                let page = store.list(Kind::Model, &filter).unwrap();
                seen.extend(page.iter().map(|one| one.name.clone()));
                match page.last() {
                    Some(last) => filter.behind = Some(last.place(order)),
                    None => break,
                }
            }
            assert_eq!(seen, wanted, "{order:?}");
        }
        let filter = Filter {
            name_contains: Some("B".to_owned()),
            created_after: Some(1),
            ..everything()
        };
        let found = store.list(Kind::Model, &filter).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "dB");
        assert_eq!(store.count(Kind::Model, &[]).unwrap(), 5);
        assert_eq!(store.count(Kind::Model, &["", "x"]).unwrap(), 5);
        assert_eq!(store.count(Kind::Endpoint, &[]).unwrap(), 0);
        assert_eq!(store.in_states(Kind::Model, &[""]).unwrap().len(), 5);
    }

    #[test]
    fn there_are_at_most_so_many_tags() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let tag = |key: &str| (key.to_owned(), "v".to_owned());
        assert_eq!(store.tag("x", &[tag("a"), tag("b")], &[], 2).unwrap(), 2);
        assert_eq!(store.tag("x", &[tag("c")], &[], 2).unwrap(), 3);
        assert_eq!(store.tags("x").unwrap(), [tag("a"), tag("b")]);
        let gone = ["a".to_owned()];
        assert_eq!(store.tag("x", &[tag("c")], &gone, 2).unwrap(), 2);
        assert_eq!(store.tags("x").unwrap(), [tag("b"), tag("c")]);
    }
}
