//! What jobs and endpoints say, as CloudWatch Logs shows it: groups of streams of lines.
//!
//! Lines lie in a SQLite file of their own. They are written without waiting for the disk (`synchronous=NORMAL`): what was said
//! in the last moment before a loss of power may be lost, what was said before a kill is there. A stream has at most
//! [`LINES`] lines and a line at most [`LONGEST`] bytes.
//!
//! Source: the API reference of CloudWatch Logs (`DescribeLogStreams`, `GetLogEvents`, `FilterLogEvents`).

use crate::names::{Caller, now};
use crate::refusal::{LOGS_INVALID, LOGS_NOT_FOUND, Refusal};
use crate::store;
use parking_lot::Mutex;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;

/// The group of training jobs.
pub const TRAINING: &str = "/aws/sagemaker/TrainingJobs";
/// The group of transform jobs.
pub const TRANSFORM: &str = "/aws/sagemaker/TransformJobs";
/// What stands before an endpoint's name in the name of its group.
pub const ENDPOINTS: &str = "/aws/sagemaker/Endpoints/";

/// Most lines of a stream; the last says that there are no more.
pub const LINES: i64 = 100_000;
/// Most bytes of a line, as at AWS.
pub const LONGEST: usize = 256 << 10;
/// Most events of an answer, as at AWS.
const MOST: i64 = 10_000;
/// Most bytes of an answer's messages, as at AWS.
const MOST_BYTES: usize = 1 << 20;
/// Most groups or streams of an answer, as at AWS.
const PAGE: i64 = 50;
/// How long a change waits for SQLite's own tools.
const BUSY: Duration = Duration::from_secs(10);

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS stream (
    id INTEGER PRIMARY KEY,
    grouped TEXT NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    lines INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    first INTEGER,
    last INTEGER,
    UNIQUE (grouped, name)
) STRICT;
CREATE TABLE IF NOT EXISTS event (
    stream INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (stream, number)
) STRICT, WITHOUT ROWID;
";

/// The operations of CloudWatch Logs that have handlers.
pub const OPERATIONS: &[&str] = &[
    "DescribeLogGroups",
    "DescribeLogStreams",
    "GetLogEvents",
    "FilterLogEvents",
    "DeleteLogGroup",
    "DeleteLogStream",
];

type Answer = crate::refusal::Result<Value>;

/// The logs of a folder.
pub struct Logs {
    connection: Mutex<Connection>,
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(LOGS_INVALID, message)
}

fn no_group() -> Refusal {
    Refusal::new(LOGS_NOT_FOUND, "The specified log group does not exist.")
}

fn no_stream() -> Refusal {
    Refusal::new(LOGS_NOT_FOUND, "The specified log stream does not exist.")
}

/// Not more of a line than a stream takes.
fn cut(line: &str) -> &str {
    match line.len() > LONGEST {
        false => line,
        true => &line[..line.floor_char_boundary(LONGEST)],
    }
}

fn text<'a>(input: &'a Value, name: &str) -> Option<&'a str> {
    input.get(name).and_then(Value::as_str)
}

fn group(input: &Value) -> crate::refusal::Result<&str> {
    if let Some(name) = text(input, "logGroupName") {
        return Ok(name);
    }
    // An ARN ends in `log-group:NAME`, with `:*` where all streams are meant.
    let identifier = text(input, "logGroupIdentifier");
    let name = identifier.map(|one| one.rsplit_once("log-group:").map_or(one, |(_, name)| name));
    name.map(|name| name.trim_end_matches(":*"))
        .ok_or_else(|| invalid("A log group must be named: logGroupName or logGroupIdentifier."))
}

impl Logs {
    /// Opens the logs of a folder, or begins there.
    ///
    /// # Errors
    /// The file is no database.
    pub fn open(folder: &Path) -> store::Result<Self> {
        let connection = Connection::open(folder.join("logs.db"))?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(TABLES)?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    /// Says lines in a stream, which is made if there is none. What cannot be kept is in the server's own log.
    pub fn say<'a>(&self, group: &str, stream: &str, lines: impl IntoIterator<Item = &'a str>) {
        if let Err(error) = self.keep(group, stream, lines) {
            tracing::warn!(%error, group, stream, "a line of a log was not kept");
        }
    }

    /// Says a line in the stream of an endpoint's variant.
    pub fn say_of_variant(&self, endpoint: &str, variant: &str, line: &str) {
        // Variants have one instance here, whatever was asked for.
        self.say(
            &format!("{ENDPOINTS}{endpoint}"),
            &format!("{variant}/i-0"),
            [line],
        );
    }

    fn keep<'a>(
        &self,
        group: &str,
        stream: &str,
        lines: impl IntoIterator<Item = &'a str>,
    ) -> store::Result<()> {
        let at = now();
        let mut connection = self.connection.lock();
        let step = connection.transaction()?;
        step.prepare_cached(
            "INSERT INTO stream (grouped, name, created) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute(params![group, stream, at])?;
        let (id, mut count, last): (i64, i64, Option<i64>) = step
            .prepare_cached("SELECT id, lines, last FROM stream WHERE grouped = ?1 AND name = ?2")?
            .query_row([group, stream], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        // Clocks may be set back; what was said later stands later.
        let at = at.max(last.unwrap_or(at));
        let mut bytes = 0;
        let before = count;
        for line in lines {
            let line = match count - (LINES - 1) {
                ..0 => cut(line),
                0 => "there are no more lines of this log: it has as many as it may have",
                _ => break,
            };
            step.prepare_cached(
                "INSERT INTO event (stream, number, at, message) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![id, count, at, line])?;
            count += 1;
            bytes += line.len() as i64;
        }
        if count > before {
            step.prepare_cached(
                "UPDATE stream SET lines = ?2, bytes = bytes + ?3, first = coalesce(first, ?4), last = ?4 WHERE id = ?1",
            )?
            .execute(params![id, count, bytes, at])?;
        }
        Ok(step.commit()?)
    }

    /// Forgets streams to which nothing was added since a time; how many.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn forget(&self, before: i64) -> store::Result<usize> {
        let old = "SELECT id FROM stream WHERE coalesce(last, created) < ?1";
        self.remove(old, &[Sql::from(before)])
    }

    fn remove(&self, which: &str, values: &[Sql]) -> store::Result<usize> {
        let mut connection = self.connection.lock();
        let step = connection.transaction()?;
        step.execute(
            &format!("DELETE FROM event WHERE stream IN ({which})"),
            params_from_iter(values),
        )?;
        let gone = step.execute(
            &format!("DELETE FROM stream WHERE id IN ({which})"),
            params_from_iter(values),
        )?;
        step.commit()?;
        Ok(gone)
    }

    /// Answers an operation on logs. It waits for the disk.
    ///
    /// # Errors
    /// What is answered instead.
    pub fn call(&self, caller: &Caller, operation: &str, input: &Value) -> Answer {
        match operation {
            "DescribeLogGroups" => self.groups(caller, input),
            "DescribeLogStreams" => self.streams(caller, input),
            "GetLogEvents" => self.events(input),
            "FilterLogEvents" => self.filter(input),
            "DeleteLogGroup" => {
                let which = "SELECT id FROM stream WHERE grouped = ?1";
                let gone = self.remove(which, &[Sql::from(group(input)?.to_owned())])?;
                match gone {
                    0 => Err(no_group()),
                    _ => Ok(json!({})),
                }
            }
            _ => {
                let which = "SELECT id FROM stream WHERE grouped = ?1 AND name = ?2";
                let stream = text(input, "logStreamName").unwrap_or_default();
                let names = [group(input)?, stream].map(|name| Sql::from(name.to_owned()));
                match self.remove(which, &names)? {
                    0 => Err(no_stream()),
                    _ => Ok(json!({})),
                }
            }
        }
    }

    fn groups(&self, caller: &Caller, input: &Value) -> Answer {
        let prefix = text(input, "logGroupNamePrefix").unwrap_or_default();
        let pattern = text(input, "logGroupNamePattern").unwrap_or_default();
        let behind = text(input, "nextToken").unwrap_or_default();
        let most = limit(input, PAGE);
        let connection = self.connection.lock();
        let mut statement = connection
            .prepare_cached(
                "SELECT grouped, min(created), sum(bytes) FROM stream
                 WHERE substr(grouped, 1, length(?1)) = ?1 AND instr(grouped, ?2) > 0 AND grouped > ?3
                 GROUP BY grouped ORDER BY grouped LIMIT ?4",
            )
            .map_err(store::Error::from)?;
        let rows = statement.query_map(params![prefix, pattern, behind, most + 1], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        });
        let rows: Vec<(String, i64, i64)> = rows
            .and_then(Iterator::collect)
            .map_err(store::Error::from)?;
        let next = more(&rows, most, |row| row.0.clone());
        let groups = rows.iter().take(most as usize).map(|(name, created, bytes)| {
            let arn = group_arn(caller, name);
            json!({
                "logGroupName": name, "creationTime": created, "metricFilterCount": 0, "storedBytes": bytes,
                "arn": format!("{arn}:*"), "logGroupArn": arn, "logGroupClass": "STANDARD",
            })
        });
        Ok(page("logGroups", groups.collect(), next))
    }

    fn streams(&self, caller: &Caller, input: &Value) -> Answer {
        let group = group(input)?;
        let prefix = text(input, "logStreamNamePrefix");
        let by_time = text(input, "orderBy") == Some("LastEventTime");
        if by_time && prefix.is_some() {
            return Err(invalid(
                "Cannot order by LastEventTime with a logStreamNamePrefix.",
            ));
        }
        let descending = input.get("descending").and_then(Value::as_bool) == Some(true);
        let most = limit(input, PAGE);
        let (column, way, than) = match (by_time, descending) {
            (true, true) => ("printf('%020d', coalesce(last, created))", "DESC", "<"),
            (true, false) => ("printf('%020d', coalesce(last, created))", "ASC", ">"),
            (false, true) => ("name", "DESC", "<"),
            (false, false) => ("name", "ASC", ">"),
        };
        let mut sql = format!(
            "SELECT name, created, first, last, bytes, {column} FROM stream
             WHERE grouped = ? AND substr(name, 1, length(?)) = ?"
        );
        let prefix = Sql::from(prefix.unwrap_or_default().to_owned());
        let mut values = vec![Sql::from(group.to_owned()), prefix.clone(), prefix];
        if let Some(token) = text(input, "nextToken") {
            let (value, name) = token
                .split_once('/')
                .ok_or_else(|| invalid("The specified nextToken is invalid."))?;
            let value = match by_time {
                true => value,
                false => name,
            };
            sql.push_str(&format!(" AND ({column}, name) {than} (?, ?)"));
            values.extend([value, name].map(|value| Sql::from(value.to_owned())));
        }
        sql.push_str(&format!(" ORDER BY {column} {way}, name {way} LIMIT ?"));
        values.push(Sql::from(most + 1));
        let connection = self.connection.lock();
        if !has_group(&connection, group)? {
            return Err(no_group());
        }
        type Stream = (String, i64, Option<i64>, Option<i64>, i64, String);
        let rows: Vec<Stream> = connection
            .prepare_cached(&sql)
            .and_then(|mut statement| {
                let rows = statement.query_map(params_from_iter(values), |row| {
                    Ok((
                        row.get(0)?,
                        row.get(1)?,
                        row.get(2)?,
                        row.get(3)?,
                        row.get(4)?,
                        row.get(5)?,
                    ))
                })?;
                rows.collect()
            })
            .map_err(store::Error::from)?;
        let next = more(&rows, most, |row| match by_time {
            true => format!("{}/{}", row.5, row.0),
            false => format!("/{}", row.0),
        });
        let streams = rows.iter().take(most as usize).map(|row| {
            let (name, created, first, last, bytes, _) = row;
            let mut stream = json!({
                "logStreamName": name, "creationTime": created, "storedBytes": bytes,
                "arn": format!("{}:log-stream:{name}", group_arn(caller, group)),
            });
            if let (Some(first), Some(last)) = (first, last) {
                stream["firstEventTimestamp"] = json!(first);
                stream["lastEventTimestamp"] = json!(last);
                stream["lastIngestionTime"] = json!(last);
            }
            stream
        });
        Ok(page("logStreams", streams.collect(), next))
    }

    fn events(&self, input: &Value) -> Answer {
        let (group, stream) = (
            group(input)?,
            text(input, "logStreamName").unwrap_or_default(),
        );
        let most = limit(input, MOST);
        let from_head = input.get("startFromHead").and_then(Value::as_bool) == Some(true);
        let connection = self.connection.lock();
        let found = connection
            .query_row(
                "SELECT id, lines FROM stream WHERE grouped = ?1 AND name = ?2",
                [group, stream],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .map_err(store::Error::from)?;
        let (id, lines): (i64, i64) = match found {
            Some(found) => found,
            None if has_group(&connection, group)? => return Err(no_stream()),
            None => return Err(no_group()),
        };
        // `f/NUMBER` goes on at a line, `b/NUMBER` ends before it.
        let token = text(input, "nextToken");
        let (forward, at) = match token {
            None => (from_head, if from_head { 0 } else { lines }),
            Some(token) => {
                let wrong = || invalid("The specified nextToken is invalid.");
                let (way, number) = token.split_once('/').ok_or_else(wrong)?;
                let number: i64 = number.parse().map_err(|_| wrong())?;
                match way {
                    "f" => (true, number),
                    "b" => (false, number),
                    _ => return Err(wrong()),
                }
            }
        };
        let (than, way) = match forward {
            true => (">=", "ASC"),
            false => ("<", "DESC"),
        };
        let sql = format!(
            "SELECT number, at, message FROM event WHERE stream = ?1 AND number {than} ?2 AND at >= ?3 AND at < ?4
             ORDER BY number {way} LIMIT ?5"
        );
        let mut statement = connection
            .prepare_cached(&sql)
            .map_err(store::Error::from)?;
        let (start, end) = times(input);
        let mut rows = statement
            .query(params![id, at, start, end, most])
            .map_err(store::Error::from)?;
        let mut events: Vec<(i64, Value)> = Vec::new();
        let mut bytes = 0;
        while let Some(row) = rows.next().map_err(store::Error::from)? {
            let read = || -> rusqlite::Result<(i64, i64, String)> {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            };
            let (number, at, message) = read().map_err(store::Error::from)?;
            bytes += message.len();
            if bytes > MOST_BYTES && !events.is_empty() {
                break;
            }
            let event = json!({"timestamp": at, "ingestionTime": at, "message": message});
            events.push((number, event));
        }
        if !forward {
            events.reverse();
        }
        // Where nothing comes the tokens stay what they were: so clients know that they have all.
        let (first, behind) = match (events.first(), events.last()) {
            (Some((first, _)), Some((last, _))) => (*first, last + 1),
            _ => (at, at),
        };
        let events: Vec<Value> = events.into_iter().map(|(_, event)| event).collect();
        Ok(json!({
            "events": events,
            "nextForwardToken": format!("f/{behind}"),
            "nextBackwardToken": format!("b/{first}"),
        }))
    }

    fn filter(&self, input: &Value) -> Answer {
        let group = group(input)?;
        let pattern = Pattern::read(text(input, "filterPattern").unwrap_or_default())?;
        let most = limit(input, MOST) as usize;
        let names: Option<Vec<&str>> = input
            .get("logStreamNames")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect());
        let prefix = text(input, "logStreamNamePrefix").unwrap_or_default();
        if names.is_some() && !prefix.is_empty() {
            return Err(invalid(
                "logStreamNames and logStreamNamePrefix cannot be used together.",
            ));
        }
        let connection = self.connection.lock();
        if !has_group(&connection, group)? {
            return Err(no_group());
        }
        // Behind this time, stream and line.
        let behind = match text(input, "nextToken") {
            None => (i64::MIN, 0, -1),
            Some(token) => {
                let mut parts = token.split('/').map(str::parse::<i64>);
                match (parts.next(), parts.next(), parts.next()) {
                    (Some(Ok(at)), Some(Ok(stream)), Some(Ok(number))) => (at, stream, number),
                    _ => return Err(invalid("The specified nextToken is invalid.")),
                }
            }
        };
        let (start, end) = times(input);
        let sql = "SELECT stream.name, event.at, event.message, stream.id, event.number
            FROM stream JOIN event ON event.stream = stream.id
            WHERE stream.grouped = ?1 AND substr(stream.name, 1, length(?2)) = ?2 AND event.at >= ?3 AND event.at < ?4
            AND (event.at, stream.id, event.number) > (?5, ?6, ?7)
            ORDER BY event.at, stream.id, event.number";
        let mut statement = connection.prepare_cached(sql).map_err(store::Error::from)?;
        let mut rows = statement
            .query(params![
                group, prefix, start, end, behind.0, behind.1, behind.2
            ])
            .map_err(store::Error::from)?;
        let (mut events, mut bytes, mut next) = (Vec::new(), 0, None);
        let mut last = behind;
        while let Some(row) = rows.next().map_err(store::Error::from)? {
            let read = || -> rusqlite::Result<(String, i64, String, i64, i64)> {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                ))
            };
            let (stream, at, message, id, number) = read().map_err(store::Error::from)?;
            let chosen = names.as_ref().is_none_or(|names| names.contains(&&*stream));
            if !chosen || !pattern.is_in(&message) {
                continue;
            }
            bytes += message.len();
            if events.len() == most || (bytes > MOST_BYTES && !events.is_empty()) {
                next = Some(format!("{}/{}/{}", last.0, last.1, last.2));
                break;
            }
            last = (at, id, number);
            events.push(json!({
                "logStreamName": stream, "timestamp": at, "ingestionTime": at, "message": message,
                "eventId": format!("{id:08}{number:012}"),
            }));
        }
        Ok(page("events", events, next))
    }
}

fn limit(input: &Value, most: i64) -> i64 {
    let limit = input.get("limit").and_then(Value::as_i64);
    limit.map_or(most, |limit| limit.clamp(1, most))
}

fn times(input: &Value) -> (i64, i64) {
    let time = |name: &str| input.get(name).and_then(Value::as_i64);
    (
        time("startTime").unwrap_or(i64::MIN),
        time("endTime").unwrap_or(i64::MAX),
    )
}

/// The token that goes on behind the last one shown, where there are more than that.
fn more<T>(rows: &[T], most: i64, place: impl Fn(&T) -> String) -> Option<String> {
    let most = most as usize;
    match rows.len() > most {
        true => most
            .checked_sub(1)
            .and_then(|last| rows.get(last))
            .map(place),
        false => None,
    }
}

fn page(name: &str, items: Vec<Value>, next: Option<String>) -> Value {
    let mut answer = Map::new();
    answer.insert(name.to_owned(), Value::Array(items));
    if let Some(next) = next {
        answer.insert("nextToken".to_owned(), Value::from(next));
    }
    Value::Object(answer)
}

fn group_arn(caller: &Caller, group: &str) -> String {
    let Caller { account, region } = caller;
    format!("arn:aws:logs:{region}:{account}:log-group:{group}")
}

fn has_group(connection: &Connection, group: &str) -> store::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM stream WHERE grouped = ?1)";
    Ok(connection.query_row(sql, [group], |row| row.get(0))?)
}

/// What lines are looked for, in CloudWatch's syntax for unstructured text: `all of "these words"`, `?any ?of ?these`, `-without`.
struct Pattern {
    all: Vec<String>,
    any: Vec<String>,
    none: Vec<String>,
}

impl Pattern {
    fn read(pattern: &str) -> crate::refusal::Result<Self> {
        let mut read = Self {
            all: Vec::new(),
            any: Vec::new(),
            none: Vec::new(),
        };
        let mut rest = pattern.trim();
        if rest.starts_with(['{', '[', '%']) {
            return Err(invalid(
                "Filter patterns of JSON, of columns and of regular expressions are not known here; terms are: all of them, \"quoted\", ?any, -without.",
            ));
        }
        while !rest.is_empty() {
            let kind = rest.chars().next().filter(|first| "?-".contains(*first));
            rest = rest.trim_start_matches(['?', '-']);
            let (term, behind) = match rest.strip_prefix('"') {
                Some(quoted) => quoted
                    .split_once('"')
                    .ok_or_else(|| invalid("Invalid filter pattern: a quote is not closed."))?,
                None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
            };
            if !term.is_empty() {
                match kind {
                    Some('?') => read.any.push(term.to_owned()),
                    Some(_) => read.none.push(term.to_owned()),
                    None => read.all.push(term.to_owned()),
                }
            }
            rest = behind.trim_start();
        }
        Ok(read)
    }

    fn is_in(&self, line: &str) -> bool {
        let has = |term: &String| line.contains(term.as_str());
        self.all.iter().all(has)
            && (self.any.is_empty() || self.any.iter().any(has))
            && !self.none.iter().any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> Caller {
        Caller {
            account: "123456789012".to_owned(),
            region: "eu-west-1".to_owned(),
        }
    }

    fn call(logs: &Logs, operation: &str, input: Value) -> Answer {
        logs.call(&caller(), operation, &input)
    }

    fn messages(answer: &Value) -> Vec<&str> {
        let events = answer["events"].as_array().expect("events");
        let message = |event: &Value| event["message"].as_str().map(|_| ());
        assert!(events.iter().all(|event| message(event).is_some()));
        events
            .iter()
            .filter_map(|event| event["message"].as_str())
            .collect()
    }

    #[test]
    fn lines_are_read_forward_and_backward_and_nothing_new_keeps_the_token() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(folder.path()).unwrap();
        logs.say(TRAINING, "a/algo-1-1", ["one", "two"]);
        logs.say(TRAINING, "a/algo-1-1", ["three"]);
        let stream = json!({"logGroupName": TRAINING, "logStreamName": "a/algo-1-1", "limit": 2, "startFromHead": true});
        let first = call(&logs, "GetLogEvents", stream.clone()).unwrap();
        assert_eq!(messages(&first), ["one", "two"]);
        let mut next = stream.clone();
        next["nextToken"] = first["nextForwardToken"].clone();
        let second = call(&logs, "GetLogEvents", next.clone()).unwrap();
        assert_eq!(messages(&second), ["three"]);
        next["nextToken"] = second["nextForwardToken"].clone();
        let third = call(&logs, "GetLogEvents", next.clone()).unwrap();
        assert!(messages(&third).is_empty());
        assert_eq!(third["nextForwardToken"], next["nextToken"]);
        logs.say(TRAINING, "a/algo-1-1", ["four"]);
        let fourth = call(&logs, "GetLogEvents", next).unwrap();
        assert_eq!(messages(&fourth), ["four"]);
        // The last ones first, where nothing is said.
        let last = json!({"logGroupName": TRAINING, "logStreamName": "a/algo-1-1", "limit": 3});
        let last = call(&logs, "GetLogEvents", last).unwrap();
        assert_eq!(messages(&last), ["two", "three", "four"]);
        let before = json!({"logGroupName": TRAINING, "logStreamName": "a/algo-1-1", "nextToken": last["nextBackwardToken"]});
        assert_eq!(
            messages(&call(&logs, "GetLogEvents", before).unwrap()),
            ["one"]
        );
        // They are there after a restart.
        drop(logs);
        let logs = Logs::open(folder.path()).unwrap();
        let all =
            json!({"logGroupName": TRAINING, "logStreamName": "a/algo-1-1", "startFromHead": true});
        assert_eq!(
            messages(&call(&logs, "GetLogEvents", all).unwrap()).len(),
            4
        );
    }

    #[test]
    fn streams_and_groups_are_listed_in_pages() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(folder.path()).unwrap();
        let missing = call(
            &logs,
            "DescribeLogStreams",
            json!({"logGroupName": TRAINING}),
        );
        assert_eq!(missing.unwrap_err().code, LOGS_NOT_FOUND);
        for name in [
            "job-b/algo-1",
            "job-a/algo-1",
            "job-c/algo-1",
            "other/algo-1",
        ] {
            logs.say(TRAINING, name, [name]);
        }
        logs.say(TRANSFORM, "t/1", ["x"]);
        for (input, wanted) in [
            (
                json!({"logStreamNamePrefix": "job-"}),
                vec!["job-a", "job-b", "job-c"],
            ),
            (
                json!({"descending": true}),
                vec!["other", "job-c", "job-b", "job-a"],
            ),
            (
                json!({"orderBy": "LastEventTime"}),
                vec!["job-b", "job-a", "job-c", "other"],
            ),
        ] {
            let mut seen: Vec<String> = Vec::new();
            let mut input = input;
            input["logGroupName"] = json!(TRAINING);
            input["limit"] = json!(2);
            loop {
                let page = call(&logs, "DescribeLogStreams", input.clone()).unwrap();
                let streams = page["logStreams"].as_array().unwrap();
                assert!(streams.len() <= 2);
                seen.extend(streams.iter().map(|one| {
                    let name = one["logStreamName"].as_str().unwrap();
                    assert!(one["arn"].as_str().unwrap().ends_with(name));
                    name.trim_end_matches("/algo-1").to_owned()
                }));
                match page.get("nextToken") {
                    Some(token) => input["nextToken"] = token.clone(),
                    None => break,
                }
            }
            if input.get("orderBy").is_some() {
                // All may have come in one millisecond: then by name.
                seen.sort();
                let mut wanted = wanted.clone();
                wanted.sort_unstable();
                assert_eq!(seen, wanted);
            } else {
                assert_eq!(seen, wanted);
            }
        }
        let groups = call(&logs, "DescribeLogGroups", json!({"limit": 1})).unwrap();
        assert_eq!(groups["logGroups"][0]["logGroupName"], TRAINING);
        let rest = json!({"nextToken": groups["nextToken"]});
        let groups = call(&logs, "DescribeLogGroups", rest).unwrap();
        assert_eq!(groups["logGroups"][0]["logGroupName"], TRANSFORM);
        assert!(groups.get("nextToken").is_none());
        call(&logs, "DeleteLogGroup", json!({"logGroupName": TRANSFORM})).unwrap();
        let again = call(&logs, "DeleteLogGroup", json!({"logGroupName": TRANSFORM}));
        assert_eq!(again.unwrap_err().code, LOGS_NOT_FOUND);
        assert_eq!(logs.forget(i64::MAX).unwrap(), 4);
    }

    #[test]
    fn lines_are_found_by_their_words() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(folder.path()).unwrap();
        logs.say(TRAINING, "a/1", ["epoch 1 loss 0.5", "epoch 2 loss 0.4"]);
        logs.say(TRAINING, "b/1", ["error: no data", "epoch 1 loss 0.9"]);
        for (pattern, wanted) in [
            ("", 4),
            ("epoch", 3),
            ("epoch 0.4", 1),
            ("\"epoch 1\"", 2),
            ("?error ?0.4", 2),
            ("epoch -0.5", 2),
        ] {
            let mut input = json!({"logGroupName": TRAINING, "filterPattern": pattern, "limit": 1});
            let mut seen = 0;
            loop {
                let page = call(&logs, "FilterLogEvents", input.clone()).unwrap();
                seen += messages(&page).len();
                match page.get("nextToken") {
                    Some(token) => input["nextToken"] = token.clone(),
                    None => break,
                }
            }
            assert_eq!(seen, wanted, "{pattern}");
        }
        let one = json!({"logGroupName": TRAINING, "logStreamNames": ["b/1"]});
        assert_eq!(
            messages(&call(&logs, "FilterLogEvents", one).unwrap()).len(),
            2
        );
        let json = json!({"logGroupName": TRAINING, "filterPattern": "{ $.x = 1 }"});
        assert_eq!(
            call(&logs, "FilterLogEvents", json).unwrap_err().code,
            LOGS_INVALID
        );
        let open = json!({"logGroupName": TRAINING, "filterPattern": "\"x"});
        assert_eq!(
            call(&logs, "FilterLogEvents", open).unwrap_err().code,
            LOGS_INVALID
        );
    }
}
