//! `/v1/topics`: topics of the event log, their records, and groups that read them. What Kafka's clients write is read
//! here, and the other way round.
//!
//! Records are JSON (as text, as JSON or in base64), or lines of text. A reader is told a position with each answer, and
//! asks with it for what follows; `Accept: text/event-stream` has the same as events that go on.

mod answers;
mod sent;
mod stream;

pub use answers::*;
pub use sent::*;

use super::call::{Call, Media};
use super::collections::part;
use super::error::{ErrorBody, StoredBodyErrors, StoredErrors};
use crate::app::App;
use crate::config::units::Span;
use crate::failure::Failure;
use crate::topics::consume::{Most, Reader, Shown, Start};
use crate::topics::lag;
use crate::topics::produce::{MOST_RECORDS, Wanted, produce};
use crate::topics::{Error, log_of};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use escala_stream_ingest::log::{self, Topic, now};
use escala_stream_ingest::records::Draft;
use serde::Serialize;
use serde::de::IgnoredAny;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Records of an answer when nobody says how many, and the most there can be.
const LIMIT: usize = 100;
const MOST_LIMIT: usize = 10_000;
/// Bytes of an answer's records when nobody says how many, and the most there can be.
const BYTES: usize = 1 << 20;
const MOST_BYTES: usize = 16 << 20;
/// Longest that a request waits for records, if its deadline is not sooner.
const MOST_WAIT: Duration = Duration::from_secs(30);
/// What is left of a deadline for the answer itself.
const ANSWER_TIME: Duration = Duration::from_secs(1);

type Name = Result<Path<String>, PathRejection>;

/// List the topics.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    get,
    path = "/v1/topics",
    operation_id = "list_topics",
    tag = "topics",
    responses(
        StoredErrors,
        (status = 200, description = "Topics by name.", body = TopicsAnswer),
    )
)]
pub async fn list(State(app): State<Arc<App>>) -> Result<Json<TopicsAnswer>, Failure> {
    let log = log_of(&app)?;
    let line = |topic: Topic| {
        let partitions = 0..topic.partitions;
        // One that was deleted meanwhile has none.
        let states = partitions.filter_map(|one| log.describe(&topic.name, one).ok());
        TopicLine {
            bytes: states.map(|state| state.bytes).sum(),
            partitions: topic.partitions,
            name: topic.name,
        }
    };
    let topics = log.topics().into_iter().map(line).collect();
    Ok(Json(TopicsAnswer { topics }))
}

/// Make a topic.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/topics",
    operation_id = "create_topic",
    tag = "topics",
    request_body(content((TopicRequest = "application/json"))),
    responses(
        StoredBodyErrors,
        (status = 201, description = "The topic, empty.", body = TopicView),
        (status = 409, description = "The topic exists.", body = ErrorBody),
    )
)]
pub async fn create(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<(StatusCode, Json<TopicView>), Failure> {
    let log = log_of(&app)?;
    let request: TopicRequest = call.json_only().await?;
    let partitions = request.partitions.unwrap_or(app.config.kafka.partitions);
    let config = &request.config.0;
    if let Some((name, _)) = config.iter().find(|(_, value)| value.is_none()) {
        return Err(Failure::invalid(format!("the setting {name} has no value")).at("config"));
    }
    let set = config
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)));
    let set: Vec<(&str, &str)> = set.collect();
    let topic = log.create_topic(&request.name, partitions, &set).await?;
    Ok((StatusCode::CREATED, Json(TopicView::new(log, &topic)?)))
}

/// Describe a topic.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    get,
    path = "/v1/topics/{topic}",
    operation_id = "describe_topic",
    tag = "topics",
    params(("topic" = String, Path, description = "The topic.")),
    responses(
        StoredErrors,
        (status = 200, description = "Its partitions and settings.", body = TopicView),
        (status = 404, description = "There is no such topic.", body = ErrorBody),
    )
)]
pub async fn describe(
    State(app): State<Arc<App>>,
    topic: Name,
) -> Result<Json<TopicView>, Failure> {
    let log = log_of(&app)?;
    let topic = log.topic(&part(topic)?)?;
    Ok(Json(TopicView::new(log, &topic)?))
}

/// Change a topic: its settings, or how many partitions it has.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    patch,
    path = "/v1/topics/{topic}",
    operation_id = "change_topic",
    tag = "topics",
    params(("topic" = String, Path, description = "The topic.")),
    request_body(content((TopicChange = "application/json"))),
    responses(
        StoredBodyErrors,
        (status = 200, description = "The topic as it is now.", body = TopicView),
        (status = 404, description = "There is no such topic.", body = ErrorBody),
    )
)]
pub async fn change(
    State(app): State<Arc<App>>,
    topic: Name,
    call: Call,
) -> Result<Json<TopicView>, Failure> {
    let log = log_of(&app)?;
    let request: TopicChange = call.json_only().await?;
    let topic = log.topic(&part(topic)?)?;
    // Before anything is changed.
    if let Some(total) = request.partitions
        && total <= topic.partitions
    {
        let there = topic.partitions;
        let message = format!("the topic has {there} partitions, and can only have more");
        return Err(Failure::invalid(message).at("partitions"));
    }
    let changes = request.config.0.iter();
    let changes: Vec<(&str, Option<&str>)> = changes
        .map(|(name, value)| (name.as_str(), value.as_deref()))
        .collect();
    if !changes.is_empty() {
        log.alter_config(&topic.name, &changes).await?;
    }
    if let Some(total) = request.partitions {
        log.add_partitions(&topic.name, total).await?;
    }
    let topic = log.topic(&topic.name)?;
    Ok(Json(TopicView::new(log, &topic)?))
}

/// Delete a topic with all its records.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    delete,
    path = "/v1/topics/{topic}",
    operation_id = "delete_topic",
    tag = "topics",
    params(("topic" = String, Path, description = "The topic.")),
    responses(
        StoredErrors,
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is no such topic.", body = ErrorBody),
    )
)]
pub async fn delete(State(app): State<Arc<App>>, topic: Name) -> Result<StatusCode, Failure> {
    log_of(&app)?.delete_topic(&part(topic)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a body brings: one record, or many.
enum Brought {
    One(Wanted),
    Many(Vec<Wanted>),
}

/// Write records. They are on the disk when it is answered, all or none. One record, as the body itself, is answered
/// alone; `{"records": […]}` and lines of text are answered as a list. A topic that is not there is made, where the
/// setting `kafka.auto_create` says so.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/topics/{topic}/records",
    operation_id = "produce_records",
    tag = "topics",
    params(("topic" = String, Path, description = "The topic."), LinesQuery),
    request_body(content(
        (RecordsRequest = "application/json"),
        (String = "application/x-ndjson"),
        (String = "text/plain"),
    )),
    responses(
        StoredBodyErrors,
        (status = 200, description = "Where each record is.", body = PlacesAnswer),
        (status = 404, description = "There is no such topic or partition.", body = ErrorBody),
        (status = 413, description = "The body or a record is too large.", body = ErrorBody),
        (status = 429, description = "There are too many large requests.", body = ErrorBody),
        (status = 504, description = "The disk did not answer in time.", body = ErrorBody),
    )
)]
pub async fn write(
    State(app): State<Arc<App>>,
    topic: Name,
    call: Call,
) -> Result<Response, Failure> {
    log_of(&app)?;
    let topic = part(topic)?;
    let deadline = call.options.deadline;
    match brought(&call).await? {
        Brought::One(wanted) => {
            let mut placed = produce(&app, &topic, vec![wanted], deadline).await?;
            let place = placed.pop().map(PlaceView::from);
            Ok(Json(place).into_response())
        }
        Brought::Many(wanted) => {
            let placed = produce(&app, &topic, wanted, deadline).await?;
            let records = placed.into_iter().map(PlaceView::from).collect();
            Ok(Json(PlacesAnswer { records }).into_response())
        }
    }
}

async fn brought(call: &Call) -> Result<Brought, Failure> {
    let lines = match &call.media {
        Media::Json => {
            if !call.query.is_empty() {
                return Err(Failure::invalid(
                    "with a JSON body, everything belongs into the body and not into the query string",
                ));
            }
            let request: RecordsRequest = call.json().await?;
            return request.brought(now());
        }
        Media::Text => false,
        Media::Other(name) if is_ndjson(name) => true,
        _ => {
            return Err(call.unsupported("application/json, application/x-ndjson or text/plain"));
        }
    };
    let query: LinesQuery = call.query()?;
    if query.key.is_some() && query.key_separator.is_some() {
        let message = "give either `key` or `key_separator`";
        return Err(Failure::invalid(message).at("key"));
    }
    let body = call.body.clone();
    let wanted = super::call::away(move || from_lines(&body, &query, lines)).await?;
    Ok(Brought::Many(wanted))
}

fn is_ndjson(name: &str) -> bool {
    matches!(
        name,
        "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines"
    )
}

/// A record a line. Lines of JSON are checked, and empty ones left out.
fn from_lines(body: &Bytes, query: &LinesQuery, json: bool) -> Result<Vec<Wanted>, Failure> {
    let now = now();
    let key = query
        .key
        .as_ref()
        .map(|key| Bytes::copy_from_slice(key.as_bytes()));
    let separator = query
        .key_separator
        .as_deref()
        .unwrap_or_default()
        .as_bytes();
    let mut wanted = Vec::new();
    let mut left = body.clone();
    let mut number = 0;
    while !left.is_empty() {
        number += 1;
        let end = left.iter().position(|byte| *byte == b'\n');
        let mut line = left.split_to(end.unwrap_or(left.len()));
        if end.is_some() {
            left = left.split_off(1);
        }
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        if json && line.trim_ascii().is_empty() {
            continue;
        }
        if wanted.len() == MOST_RECORDS {
            let message = format!("there are more than {MOST_RECORDS} lines");
            return Err(Failure::invalid(message));
        }
        let parts = match separator {
            b"" => None,
            separator => line
                .windows(separator.len())
                .position(|part| part == separator)
                .map(|at| (line.slice(..at), line.slice(at + separator.len()..))),
        };
        let (key, value) = match parts {
            Some((key, value)) => (Some(key), value),
            None => (key.clone(), line),
        };
        if json && let Err(error) = serde_json::from_slice::<IgnoredAny>(&value) {
            let message = format!("line {number} is not JSON: {error}");
            return Err(Failure::invalid(message));
        }
        wanted.push(Wanted {
            draft: Draft {
                timestamp: now,
                key,
                value: Some(value),
                headers: Vec::new(),
            },
            partition: query.partition,
        });
    }
    Ok(wanted)
}

/// Whether `Accept` names a stream of events.
fn wants_events(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter();
    let mut values = values.filter_map(|value| value.to_str().ok());
    values.any(|value| value.to_ascii_lowercase().contains("text/event-stream"))
}

/// Where a request begins to read.
fn start(query: &RecordsQuery) -> Result<Start, Failure> {
    match (&query.offset, query.from_time) {
        (Some(_), Some(_)) => {
            let message = "give either `offset` or `from_time`";
            Err(Failure::invalid(message).at("offset"))
        }
        (Some(offset), None) => match offset.parse() {
            Err(Error::Invalid(why)) => Err(Failure::invalid(why).at("offset")),
            parsed => Ok(parsed?),
        },
        (None, Some(time)) => Ok(Start::Time(time)),
        (None, None) => Ok(Start::Earliest),
    }
}

/// Read records. A read that finds none can wait for one (`wait`). With `Accept: text/event-stream` the answer is a
/// stream of events that goes on: each has a record as its data and a position as its id, with which a client that comes
/// back (`Last-Event-ID`) goes on; an event `error` is the end.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    get,
    path = "/v1/topics/{topic}/records",
    operation_id = "consume_records",
    tag = "topics",
    params(("topic" = String, Path, description = "The topic."), RecordsQuery),
    responses(
        StoredErrors,
        (status = 200, description = "Records, and where they end.", content(
            (RecordsAnswer = "application/json"),
            (String = "text/event-stream"),
        )),
        (status = 404, description = "There is no such topic or partition.", body = ErrorBody),
        (status = 416, description = "The offset is not there: before the first or behind the next.", body = ErrorBody),
        (status = 429, description = "Too many requests wait for records.", body = ErrorBody),
    )
)]
pub async fn read(
    State(app): State<Arc<App>>,
    topic: Name,
    headers: HeaderMap,
    call: Call,
) -> Result<Response, Failure> {
    log_of(&app)?;
    let topic = part(topic)?;
    let query: RecordsQuery = call.query()?;
    if wants_events(&headers) {
        return stream::answer(app, &topic, query, &headers).await;
    }
    let wait = query.wait.as_deref().map_or(Ok(Duration::ZERO), |wait| {
        let span = wait.parse::<Span>().map(Span::get);
        span.map_err(|why| Failure::invalid(why).at("wait"))
    })?;
    let most = Most {
        records: within(query.limit, LIMIT, MOST_LIMIT),
        bytes: within(query.max_bytes, BYTES, MOST_BYTES),
    };
    let mut reader = Reader::open(&app, &topic, query.partition, start(&query)?).await?;
    let mut shown = reader.read(&app, most).await?;
    if shown.is_empty() && !wait.is_zero() {
        let until = until(wait, call.options.deadline);
        let _place = app.topics.wait()?;
        while shown.is_empty() {
            tokio::select! {
                () = reader.more() => shown = reader.read(&app, most).await?,
                () = app.ready.stopped() => break,
                () = tokio::time::sleep_until(until.into()) => break,
            }
        }
    }
    answer(&reader, &shown)
}

fn within(asked: Option<usize>, default: usize, most: usize) -> usize {
    asked.unwrap_or(default).clamp(1, most)
}

/// When a request that waits has waited enough.
fn until(wait: Duration, deadline: Option<Instant>) -> Instant {
    let until = Instant::now() + wait.min(MOST_WAIT);
    let deadline = deadline.map(|deadline| deadline.checked_sub(ANSWER_TIME).unwrap_or(deadline));
    deadline.map_or(until, |deadline| until.min(deadline))
}

/// [`RecordsAnswer`], of records that are JSON already.
fn answer(reader: &Reader, shown: &[Shown]) -> Result<Response, Failure> {
    #[derive(Serialize)]
    struct Rest {
        next: String,
        partitions: Vec<ReadView>,
    }
    let position = reader.position();
    let extents = reader.extents()?.into_iter();
    let partitions = extents.map(|(partition, first_offset, end_offset)| ReadView {
        partition,
        first_offset,
        next_offset: position.0.get(&partition).copied().unwrap_or_default(),
        end_offset,
    });
    let rest = Rest {
        next: position.to_string(),
        partitions: partitions.collect(),
    };
    let rest = serde_json::to_string(&rest);
    let rest = rest.map_err(|error| Error::Internal(error.to_string()))?;
    let bytes: usize = shown.iter().map(|one| one.json.len() + 1).sum();
    let mut body = String::with_capacity(bytes + rest.len() + 16);
    body.push_str("{\"records\":[");
    for (at, one) in shown.iter().enumerate() {
        if at > 0 {
            body.push(',');
        }
        body.push_str(&one.json);
    }
    body.push_str("],");
    body.push_str(rest.strip_prefix('{').unwrap_or(&rest));
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// List the groups that have committed offsets or have members.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    get,
    path = "/v1/groups",
    operation_id = "list_groups",
    tag = "topics",
    responses(
        StoredErrors,
        (status = 200, description = "Groups by name.", body = GroupsAnswer),
    )
)]
pub async fn groups(State(app): State<Arc<App>>) -> Result<Json<GroupsAnswer>, Failure> {
    let mut groups: BTreeSet<String> = log_of(&app)?.groups().into_iter().collect();
    groups.extend(peopled(&app));
    let groups = groups.into_iter();
    let groups = groups.map(|group| GroupLine { group }).collect();
    Ok(Json(GroupsAnswer { groups }))
}

/// The groups that have members.
fn peopled(app: &App) -> impl Iterator<Item = String> + use<> {
    let broker = app.kafka_metrics.as_ref();
    let groups = broker.map(|broker| broker.groups()).unwrap_or_default();
    groups.into_keys()
}

/// Where a group stands, and how far behind it is.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    get,
    path = "/v1/groups/{group}",
    operation_id = "describe_group",
    tag = "topics",
    params(("group" = String, Path, description = "The group.")),
    responses(
        StoredErrors,
        (status = 200, description = "By topic and partition.", body = GroupView),
        (status = 404, description = "The group has committed nothing and has no members.", body = ErrorBody),
    )
)]
pub async fn group(State(app): State<Arc<App>>, group: Name) -> Result<Json<GroupView>, Failure> {
    let log = log_of(&app)?;
    let group = part(group)?;
    let standings = match lag::standings(log, &group).await {
        // It has members, which have committed nothing yet.
        Err(Error::Log(log::Error::NoGroup(_))) if peopled(&app).any(|known| known == group) => {
            Vec::new()
        }
        standings => standings?,
    };
    let partitions: Vec<StandingView> = standings.into_iter().map(Into::into).collect();
    Ok(Json(GroupView {
        group,
        lag: partitions.iter().map(|partition| partition.lag).sum(),
        partitions,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(
        body: &'static str,
        query: LinesQuery,
        json: bool,
    ) -> Result<Vec<(Option<String>, String)>, String> {
        let wanted = from_lines(&Bytes::from_static(body.as_bytes()), &query, json);
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).expect("text");
        let parts = |wanted: Wanted| {
            let value = wanted.draft.value.expect("a value");
            (wanted.draft.key.map(text), text(value))
        };
        let wanted = wanted.map_err(|failure| failure.message)?;
        Ok(wanted.into_iter().map(parts).collect())
    }

    fn pair(key: Option<&str>, value: &str) -> (Option<String>, String) {
        (key.map(str::to_owned), value.to_owned())
    }

    #[test]
    fn a_line_is_a_record_and_the_last_end_is_none() {
        let plain = lines("a\n\nb\r\nc", LinesQuery::default(), false).expect("lines");
        assert_eq!(plain, ["a", "", "b", "c"].map(|value| pair(None, value)));
        assert!(
            lines("", LinesQuery::default(), false)
                .expect("no line")
                .is_empty()
        );
        assert_eq!(
            lines("\n", LinesQuery::default(), false)
                .expect("a line")
                .len(),
            1
        );
        let json = lines("{\"a\": 1}\n\n [2]\n", LinesQuery::default(), true).expect("lines");
        assert_eq!(json, ["{\"a\": 1}", " [2]"].map(|value| pair(None, value)));
        let message = lines("1\n\nx\n", LinesQuery::default(), true).expect_err("not JSON");
        assert!(message.starts_with("line 3 "), "{message}");
    }

    #[test]
    fn keys_stand_before_the_first_separator_or_are_one_for_all() {
        let by = |key: Option<&str>, separator: Option<&str>| LinesQuery {
            key: key.map(str::to_owned),
            key_separator: separator.map(str::to_owned),
            partition: Some(3),
        };
        let split = lines("k::v::w\nalone\n::", by(None, Some("::")), false).expect("lines");
        assert_eq!(
            split,
            [
                pair(Some("k"), "v::w"),
                pair(None, "alone"),
                pair(Some(""), "")
            ]
        );
        let all = lines("a\nb", by(Some("k"), None), false).expect("lines");
        assert_eq!(all, [pair(Some("k"), "a"), pair(Some("k"), "b")]);
    }

    #[test]
    fn a_body_is_one_record_or_many_and_not_both() {
        let brought = |json: &str| {
            let request: RecordsRequest =
                serde_json::from_str(json).map_err(|error| error.to_string())?;
            request.brought(5).map_err(|failure| failure.message)
        };
        assert!(
            matches!(brought("{}"), Ok(Brought::One(_))),
            "a tombstone without a key"
        );
        assert!(
            matches!(brought(r#"{"records": [{"value": 1}, {}]}"#), Ok(Brought::Many(many)) if many.len() == 2)
        );
        for (json, why) in [
            (r#"{"records": [], "key": "a"}"#, "either"),
            (r#"{"records": [{}, {"value_base64": "?"}]}"#, "record 1"),
            (r#"{"records": [{"records": []}]}"#, "unknown field"),
            (r#"{"worth": 1}"#, "unknown field"),
        ] {
            let message = brought(json).err().expect(json);
            assert!(message.contains(why), "{message}");
        }
        let many = format!("{{\"records\": [{}{{}}]}}", "{},".repeat(MOST_RECORDS));
        assert!(
            brought(&many)
                .err()
                .expect("too many")
                .contains("more than 10000")
        );
    }

    #[test]
    fn waiting_ends_before_the_deadline() {
        let soon = Instant::now() + Duration::from_secs(10);
        assert!(until(Duration::from_secs(3600), Some(soon)) <= soon - ANSWER_TIME);
        assert!(until(Duration::from_secs(3600), None) <= Instant::now() + MOST_WAIT);
    }

    #[test]
    fn events_are_for_those_who_name_them() {
        let wants = |accept: &'static str| {
            wants_events(&HeaderMap::from_iter([(
                ACCEPT,
                accept.parse().expect("a value"),
            )]))
        };
        assert!(wants("text/event-stream") && wants("application/json;q=0.5, Text/Event-Stream"));
        assert!(!wants("*/*") && !wants("text/*") && !wants_events(&HeaderMap::new()));
    }
}
