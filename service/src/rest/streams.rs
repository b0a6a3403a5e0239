//! `/v1/streams`: flows, which predict from topic to topic.

use super::call::{Call, Media};
use super::collections::part;
use super::error::{StoredBodyErrors, StoredErrors};
use crate::app::App;
use crate::failure::{Failure, chain};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use clap::ValueEnum;
use escala_pipelines::Kind;
use escala_stream_ingest::flow::{
    Description, Error, Flows, Guarantee, Lag, Start, State as Doing, To, Wanted,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

type Name = Result<Path<String>, PathRejection>;

/// How often an answer may be written.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum GuaranteeView {
    /// Once: answers and the place after their records are written together.
    #[default]
    ExactlyOnce,
    /// Again after a crash.
    AtLeastOnce,
}

/// Where a flow begins.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum StartView {
    /// With the first record that is there.
    #[default]
    Earliest,
    /// With the first record that comes after it was made.
    Latest,
}

/// A new flow.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamRequest {
    /// Its name: letters, digits, dots, dashes and underscores.
    #[schema(example = "sentiment-of-reviews")]
    pub name: String,
    /// Where the Kafka is whose topics these are, `host:port` and more after commas; the built-in log when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brokers: Option<String>,
    /// The topic that it reads, which must be there.
    #[schema(example = "reviews")]
    pub from: String,
    /// The topic that it writes; made with as many partitions where it is not there.
    #[schema(example = "reviews.sentiment")]
    pub to: String,
    /// The topic of what cannot be predicted; `<to>.dead-letters` when left out.
    pub dead_letters: Option<String>,
    /// What it asks: `language`, `entities`, `key-phrases`, `syntax`, `pii`, `sentiment`, `targeted-sentiment`, `toxicity`,
    /// `classify`, `embeddings`, `labels`, `faces`, `image-text`, `moderation`, `bodies`, `classify-image`; or `endpoint:NAME` or `endpoint:NAME/MODEL`, a hosted model, of which records are rows: a line of CSV or a JSON value.
    #[schema(example = "sentiment")]
    pub task: String,
    /// The language of texts, `en` when left out; `auto` detects it for each text.
    pub language: Option<String>,
    /// Where in a record's JSON the text or the base64 image is: a member's name or a JSON pointer (RFC 6901). The whole
    /// value is the text or the image's file when left out.
    #[schema(example = "text")]
    pub field: Option<String>,
    /// How often an answer may be written.
    #[serde(default)]
    pub guarantee: GuaranteeView,
    /// Where it begins.
    #[serde(default)]
    pub start: StartView,
    /// Not to begin yet.
    #[serde(default)]
    pub paused: bool,
}

/// Where a flow stands in a partition.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LagView {
    /// The partition.
    pub partition: u32,
    /// The offset that it goes on with.
    pub position: i64,
    /// The offset after the last record.
    pub end: i64,
    /// Offsets still to be done.
    pub lag: i64,
}

impl From<Lag> for LagView {
    fn from(lag: Lag) -> Self {
        Self {
            partition: lag.partition,
            position: lag.position,
            end: lag.end,
            lag: lag.lag(),
        }
    }
}

/// A flow and what it does.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct StreamView {
    /// Its name; its consumer group is `flow-<name>`.
    #[schema(example = "sentiment-of-reviews")]
    pub name: String,
    /// `running`, `paused` or `waiting`.
    #[schema(example = "running")]
    pub state: String,
    /// What a waiting flow waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is unusual about where its answers go, if anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Where the Kafka is whose topics these are; the built-in log when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brokers: Option<String>,
    /// The topic that it reads.
    pub from: String,
    /// The topic that it writes.
    pub to: String,
    /// The topic of what cannot be predicted.
    pub dead_letters: String,
    /// What it asks.
    pub task: String,
    /// The language of texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The JSON pointer to the text or image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// How often an answer may be written.
    pub guarantee: GuaranteeView,
    /// Where it began.
    pub start: StartView,
    /// The model that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The digest of its files, once it has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// When it was made, in seconds since 1970.
    pub created: f64,
    /// Offsets still to be done, of all partitions.
    pub lag: i64,
    /// Records a second, of the last seconds.
    pub records_per_second: f64,
    /// Records that are done with, since the server started.
    pub records: u64,
    /// Answers that were written since then.
    pub answers: u64,
    /// Records that went to the dead letters since then.
    pub dead: u64,
    /// Records that were asked about again since then.
    pub retried: u64,
    /// Records that were deleted before they were read, since then.
    pub missed: u64,
    /// Where it stands.
    pub partitions: Vec<LagView>,
}

impl From<Description> for StreamView {
    fn from(about: Description) -> Self {
        let (state, reason) = match about.state {
            Doing::Running => ("running", None),
            Doing::Paused => ("paused", None),
            Doing::Waiting(why) => ("waiting", Some(why)),
        };
        let flow = &about.flow;
        let (model, digest) = match about.model {
            Some(model) => (Some(model.name), model.digest),
            None => (None, None),
        };
        Self {
            name: flow.name.clone(),
            state: state.to_owned(),
            reason,
            warning: about.warning,
            brokers: flow.brokers.clone(),
            from: flow.from.clone(),
            to: flow.to.clone(),
            dead_letters: flow.dead_letters.clone(),
            task: flow.task.clone(),
            language: flow.language.clone(),
            field: flow.field.clone(),
            guarantee: match flow.guarantee {
                Guarantee::ExactlyOnce => GuaranteeView::ExactlyOnce,
                Guarantee::AtLeastOnce => GuaranteeView::AtLeastOnce,
            },
            start: match flow.start {
                Start::Earliest => StartView::Earliest,
                Start::Latest => StartView::Latest,
            },
            model,
            digest,
            created: flow.created as f64 / 1000.0,
            lag: about.lag.iter().map(Lag::lag).sum(),
            records_per_second: (about.rate * 100.0).round() / 100.0,
            records: about.records,
            answers: about.answers,
            dead: about.dead,
            retried: about.retried,
            missed: about.missed,
            partitions: about.lag.into_iter().map(LagView::from).collect(),
        }
    }
}

/// All flows.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct StreamsView {
    /// By name.
    pub streams: Vec<StreamView>,
}

/// Where a flow is put. Give one of `to`, `offset` and `time`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetRequest {
    /// One partition; all when left out.
    pub partition: Option<u32>,
    /// To the first record that is there, or after the last.
    pub to: Option<StartView>,
    /// To an offset.
    pub offset: Option<i64>,
    /// To the first record with this time or a later one, in milliseconds since 1970.
    pub time: Option<i64>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = chain(&error);
        match error {
            Error::Exists(_) => Self::new(StatusCode::CONFLICT, "conflict", message),
            Error::NotFound(_) => Self::of_kind(Kind::NotFound, message),
            Error::Invalid(_) => Self::invalid(message),
            Error::Log(error) => error.into(),
            Error::NoKafka => Self::of_kind(Kind::Unsupported, message),
            Error::Kafka { .. } | Error::Stored { .. } => Self::of_kind(Kind::Unavailable, message),
        }
    }
}

fn flows(app: &App) -> Result<&Flows, Failure> {
    app.flows.as_deref().ok_or_else(|| {
        Failure::of_kind(
            Kind::Unavailable,
            "the server runs without an event log; set `kafka.listen` to an address",
        )
    })
}

fn shown(flow: Result<Description, Error>) -> Result<Json<StreamView>, Failure> {
    Ok(Json(flow?.into()))
}

/// List flows.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    get,
    path = "/v1/streams",
    operation_id = "list_streams",
    tag = "streams",
    responses(
        StoredErrors,
        (status = 200, description = "All of them, by name.", body = StreamsView),
    )
)]
pub async fn list(State(app): State<Arc<App>>) -> Result<Json<StreamsView>, Failure> {
    let all = flows(&app)?.list().await?;
    Ok(Json(StreamsView {
        streams: all.into_iter().map(StreamView::from).collect(),
    }))
}

/// Make a flow.
///
/// It reads a topic, asks about every record, and writes an answer a record to another topic: same key, same
/// partition, same order. What cannot be predicted goes to the dead letters with its reason in the headers.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/streams",
    operation_id = "create_stream",
    tag = "streams",
    request_body = StreamRequest,
    responses(
        StoredBodyErrors,
        (status = 201, description = "It is kept, and works.", body = StreamView),
        (status = 409, description = "There is one of that name.", body = super::error::ErrorBody),
    )
)]
pub async fn create(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<(StatusCode, Json<StreamView>), Failure> {
    let request: StreamRequest = json(&call).await?;
    let made = flows(&app)?.create(Wanted {
        name: request.name,
        brokers: request.brokers,
        from: request.from,
        to: request.to,
        dead_letters: request.dead_letters,
        task: request.task,
        language: request.language,
        field: request.field,
        guarantee: match request.guarantee {
            GuaranteeView::ExactlyOnce => Guarantee::ExactlyOnce,
            GuaranteeView::AtLeastOnce => Guarantee::AtLeastOnce,
        },
        start: match request.start {
            StartView::Earliest => Start::Earliest,
            StartView::Latest => Start::Latest,
        },
        paused: request.paused,
    });
    Ok((StatusCode::CREATED, shown(made.await)?))
}

async fn json<T: serde::de::DeserializeOwned + Send + 'static>(call: &Call) -> Result<T, Failure> {
    match call.media {
        Media::Json => call.json().await,
        _ => Err(call.unsupported("application/json")),
    }
}

/// Describe a flow.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    get,
    path = "/v1/streams/{name}",
    operation_id = "describe_stream",
    tag = "streams",
    params(("name" = String, Path)),
    responses(
        StoredErrors,
        (status = 200, description = "What it is and does.", body = StreamView),
        (status = 404, description = "There is none.", body = super::error::ErrorBody),
    )
)]
pub async fn describe(
    State(app): State<Arc<App>>,
    name: Name,
) -> Result<Json<StreamView>, Failure> {
    shown(flows(&app)?.describe(&part(name)?).await)
}

/// Delete a flow.
///
/// The topics stay, and what it wrote.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    delete,
    path = "/v1/streams/{name}",
    operation_id = "delete_stream",
    tag = "streams",
    params(("name" = String, Path)),
    responses(
        StoredErrors,
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is none.", body = super::error::ErrorBody),
    )
)]
pub async fn delete(State(app): State<Arc<App>>, name: Name) -> Result<StatusCode, Failure> {
    flows(&app)?.delete(&part(name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Let a flow rest.
///
/// When this is answered, nothing more of it is written until it is resumed.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/streams/{name}/pause",
    operation_id = "pause_stream",
    tag = "streams",
    params(("name" = String, Path)),
    responses(
        StoredErrors,
        (status = 200, description = "It rests.", body = StreamView),
        (status = 404, description = "There is none.", body = super::error::ErrorBody),
    )
)]
pub async fn pause(State(app): State<Arc<App>>, name: Name) -> Result<Json<StreamView>, Failure> {
    shown(flows(&app)?.pause(&part(name)?).await)
}

/// Let a flow go on.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/streams/{name}/resume",
    operation_id = "resume_stream",
    tag = "streams",
    params(("name" = String, Path)),
    responses(
        StoredErrors,
        (status = 200, description = "It works.", body = StreamView),
        (status = 404, description = "There is none.", body = super::error::ErrorBody),
    )
)]
pub async fn resume(State(app): State<Arc<App>>, name: Name) -> Result<Json<StreamView>, Failure> {
    shown(flows(&app)?.resume(&part(name)?).await)
}

/// Put a flow somewhere else.
///
/// Answers of records that it meets again are written again.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/streams/{name}/reset",
    operation_id = "reset_stream",
    tag = "streams",
    params(("name" = String, Path)),
    request_body = ResetRequest,
    responses(
        StoredBodyErrors,
        (status = 200, description = "It goes on from there.", body = StreamView),
        (status = 404, description = "There is none.", body = super::error::ErrorBody),
    )
)]
pub async fn reset(
    State(app): State<Arc<App>>,
    name: Name,
    call: Call,
) -> Result<Json<StreamView>, Failure> {
    let request: ResetRequest = json(&call).await?;
    let to = match (request.to, request.offset, request.time) {
        (Some(StartView::Earliest), None, None) => To::Earliest,
        (Some(StartView::Latest), None, None) => To::Latest,
        (None, Some(offset), None) => To::Offset(offset),
        (None, None, Some(time)) => To::Time(time),
        _ => {
            return Err(Failure::invalid("give one of `to`, `offset` and `time`"));
        }
    };
    let name = part(name)?;
    shown(flows(&app)?.reset(&name, request.partition, to).await)
}
