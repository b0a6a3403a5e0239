//! Rows of the file as jobs and tasks, and which of them a list has.

use super::super::{Error, Filter, Order, Result};
use crate::job::{Job, Losses, Planning, State, Task, TaskState};
use rusqlite::types::Value;
use rusqlite::{Connection, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What [`job_of`] reads.
pub(super) const JOB: &str =
    "id, state, submitted, begun, ended, why, spec, planned, samples, assembled,
    planning";

pub(super) fn text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Damaged(error.to_string()))
}

pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::Damaged(error.to_string()))
}

pub(super) fn state(name: &str) -> Result<State> {
    State::of_name(name).ok_or_else(|| Error::Damaged(format!("there is no state {name}")))
}

pub(super) fn task_state(name: &str) -> Result<TaskState> {
    let found = TaskState::of_name(name);
    found.ok_or_else(|| Error::Damaged(format!("there is no state {name} of tasks")))
}

/// Numbers are never negative here, and never that large.
pub(super) fn number(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| Error::Damaged(format!("{value} is no count")))
}

pub(super) fn kept(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| Error::Damaged(format!("{value} is too large to be kept")))
}

pub(super) fn job_of(row: &Row<'_>) -> Result<Job> {
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
pub(super) const TASK: &str = "number, state, attempt, pieces, part, lost, lost_at";

pub(super) fn task_of(row: &Row<'_>) -> Result<Task> {
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

pub(super) fn job(connection: &Connection, id: &str) -> Result<Job> {
    let query = format!("SELECT {JOB} FROM job WHERE id = ?1");
    let mut statement = connection.prepare_cached(&query)?;
    let mut rows = statement.query([id])?;
    match rows.next()? {
        Some(row) => job_of(row),
        None => Err(Error::NotFound(id.to_owned())),
    }
}

pub(super) fn known(connection: &Connection, id: &str) -> Result<()> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM job WHERE id = ?1")?;
    match statement.exists([id])? {
        true => Ok(()),
        false => Err(Error::NotFound(id.to_owned())),
    }
}

/// The query of a filter and its values.
pub(super) fn query(filter: &Filter) -> Result<(String, Vec<Value>)> {
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
