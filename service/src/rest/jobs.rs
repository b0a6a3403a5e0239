//! `/v1/jobs`: jobs, whichever door they came by.

use super::call::Call;
use super::collections::part;
use super::endpoints::described;
use super::error::{StoredBodyErrors, StoredErrors};
use crate::app::App;
use crate::failure::Failure;
use crate::flows::endpoint_of;
use crate::scoring::{Wanted, read_from, written_to};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use escala_batch::job::{Event, Form, Job, Sample, Spec, Split, State as Stand};
use escala_batch::prices;
use escala_batch::runner::{Runner, Token};
use escala_batch::store::{Filter, Order, Place};
use escala_pipelines::Kind;
use escala_sagemaker::invoke::Invocation;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

type Id = Result<Path<String>, PathRejection>;

/// Jobs or events of a page where the query does not say, and most of them.
const PAGE: usize = 100;
const MOST: usize = 1000;

/// A document without an answer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SampleView {
    /// The name of its file.
    pub file: String,
    /// Its line, from 0, where documents are lines; of a table its row, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

impl From<Sample> for SampleView {
    fn from(sample: Sample) -> Self {
        Self {
            file: sample.file,
            line: sample.line,
            code: sample.code,
            message: sample.message,
        }
    }
}

/// What a job took.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CostView {
    /// Seconds that answers were waited for, of all parts together.
    pub compute_seconds: f64,
    /// Characters (code points) of documents with an answer.
    pub characters: u64,
    /// Units as AWS bills them: 100 characters, or an image.
    pub units: u64,
    /// Tokens that encoders of texts were shown, special ones included, once for texts that come several times in a query; none
    /// where no encoder reads (`language`, topics), and of models that are hosted.
    #[serde(default)]
    pub tokens: u64,
    /// Pixels of images that were decoded, as many as their files have.
    #[serde(default)]
    pub pixels: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// Bytes that were written, also of parts that are not done.
    pub bytes_written: u64,
    /// US dollars that AWS would have billed by its list prices, without free tiers and discounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws_dollars: Option<f64>,
    /// The day of the list prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws_prices_of: Option<String>,
}

/// A job and how far it is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Its id.
    pub id: String,
    /// What kind it is.
    #[schema(example = "comprehend.sentiment")]
    pub kind: String,
    /// The name that its owner gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `submitted`, `planning`, `queued`, `running`, `committing`, `stop_requested`, `completed`, `failed` or `stopped`.
    #[schema(example = "running")]
    pub state: String,
    /// Why it failed, or what is to be known of its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it reads: every object whose name begins with this; or a query.
    pub input: String,
    /// What it writes.
    pub output: String,
    /// When it was submitted, began and ended, in seconds since 1970.
    pub submitted: f64,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<f64>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<f64>,
    /// Documents; 0 before it is planned. Of a query that is copied they are its rows, which are known when it has ended.
    pub documents: u64,
    /// Documents that are done with.
    pub done: u64,
    /// Those of them without an answer.
    pub errors: u64,
    /// Bytes of all inputs.
    pub bytes: u64,
    /// Bytes that are done with.
    pub bytes_done: u64,
    /// Documents a second, over the last minute; of a job that has ended, between its begin and its end.
    pub documents_per_second: f64,
    /// Seconds until the last document, at this rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<f64>,
    /// The first documents without an answer.
    pub samples: Vec<SampleView>,
    /// What it took.
    pub cost: CostView,
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// A job as it is shown.
pub(crate) fn view(jobs: &Runner, job: Job) -> Result<JobView, Failure> {
    let (usage, progress) = jobs.progress(&job)?;
    let (input, output) = (&job.spec.input, &job.spec.output);
    let file = match &output.form {
        Form::Archive { name, .. } | Form::Collected { name, .. } | Form::Joined { name } => {
            name.as_str()
        }
        // A folder of files.
        Form::Files { .. } | Form::Summed { .. } | Form::Tables { .. } | Form::Unpacked { .. } => {
            ""
        }
    };
    let bill = prices::bill(&job.spec.kind, &usage);
    Ok(JobView {
        input: match input.split {
            Split::Question => job.spec.question["query"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            _ => format!("s3://{}/{}", input.bucket, input.prefix),
        },
        output: format!("s3://{}/{}{file}", output.bucket, output.folder),
        id: job.id,
        kind: job.spec.kind,
        name: job.spec.name,
        state: job.state.name().to_owned(),
        reason: job.why,
        submitted: seconds(job.submitted),
        begun: job.begun.map(seconds),
        ended: job.ended.map(seconds),
        documents: match job.ended {
            // Rows of a query are not planned.
            Some(_) if job.planned.documents == 0 => progress.documents,
            _ => job.planned.documents,
        },
        done: progress.documents,
        errors: progress.errors,
        bytes: job.planned.bytes,
        bytes_done: progress.bytes,
        documents_per_second: rounded(progress.rate),
        seconds_left: progress.left.map(rounded),
        samples: job.samples.into_iter().map(SampleView::from).collect(),
        cost: CostView {
            compute_seconds: usage.compute_ms as f64 / 1000.0,
            characters: usage.characters,
            units: usage.units,
            tokens: usage.tokens,
            pixels: usage.pixels,
            bytes_read: usage.read,
            bytes_written: progress.written,
            aws_dollars: bill.as_ref().map(|bill| bill.dollars),
            aws_prices_of: bill.map(|bill| bill.seen.to_owned()),
        },
    })
}

/// Some jobs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct JobsView {
    /// The youngest first.
    pub jobs: Vec<JobView>,
    /// What to give as `after` for the next page, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Something that happened to a job.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Its number in the job, from 1.
    pub number: u64,
    /// When, in seconds since 1970.
    pub at: f64,
    /// The state that was reached, `task` or `note`.
    pub kind: String,
    /// A sentence; may be empty.
    pub text: String,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        Self {
            number: event.number,
            at: seconds(event.at),
            kind: event.kind,
            text: event.text,
        }
    }
}

/// Some of the log of a job.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EventsView {
    /// The oldest first.
    pub events: Vec<EventView>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobsQuery {
    kind: Option<String>,
    state: Option<String>,
    name: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    after: Option<u64>,
    limit: Option<usize>,
}

fn limited(limit: Option<usize>) -> Result<usize, Failure> {
    match limit {
        None => Ok(PAGE),
        Some(limit) if (1..=MOST).contains(&limit) => Ok(limit),
        Some(_) => {
            let message = format!("`limit` must be between 1 and {MOST}");
            Err(Failure::invalid(message).at("limit"))
        }
    }
}

impl JobsQuery {
    fn filter(self) -> Result<Filter, Failure> {
        let state = |name: String| {
            Stand::of_name(&name).ok_or_else(|| {
                let known: Vec<&str> = Stand::ALL.iter().map(|state| state.name()).collect();
                let name: String = name.chars().take(40).collect();
                let message = format!("there is no state `{name}`; there are {}", known.join(", "));
                Failure::invalid(message).at("state")
            })
        };
        let place = |text: String| {
            let place = text.split_once('-').and_then(|(submitted, id)| {
                Some(Place {
                    submitted: submitted.parse().ok()?,
                    id: id.to_owned(),
                })
            });
            let message = "`after` must be the `next` of another page";
            place.ok_or_else(|| Failure::invalid(message).at("after"))
        };
        Ok(Filter {
            kind: self.kind,
            states: self.state.map(state).transpose()?.into_iter().collect(),
            name: self.name,
            before: None,
            after: None,
            behind: self.after.map(place).transpose()?,
            order: Order::default(),
            most: limited(self.limit)? + 1,
        })
    }
}

/// Asks for something that may wait for the disk.
async fn asked<T: Send + 'static>(
    app: &App,
    ask: impl FnOnce(&Runner) -> Result<T, Failure> + Send + 'static,
) -> Result<Json<T>, Failure> {
    let jobs = app.jobs.clone().ok_or_else(|| {
        let message = "this server keeps no jobs; its log says why";
        Failure::of_kind(Kind::Unavailable, message)
    })?;
    let answer = tokio::task::spawn_blocking(move || ask(&jobs)).await;
    let failed =
        |error: tokio::task::JoinError| Err(Failure::of_kind(Kind::Internal, error.to_string()));
    answer.unwrap_or_else(failed).map(Json)
}

/// A dataset that is to be scored.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreRequest {
    /// What is asked. About rows of tables: `sentiment`, `language`, `entities`, `key_phrases`, `pii`, `redact`, `embed`,
    /// `labels`, `faces`. About images: `labels`, `faces`, `image-text`, `moderation`, `bodies`, `classify-image`. About either:
    /// `endpoint:NAME`, a hosted model; of an endpoint that has many, `endpoint:NAME/MODEL`.
    #[schema(example = "sentiment")]
    pub task: String,
    /// The column of texts, or of the bytes of images; without one the objects are images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "review")]
    pub column: Option<String>,
    /// Of `endpoint:NAME`, in the place of `column`: the columns of a row, in the order in which the model takes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Every object whose name begins with this: tables (.parquet, .csv, .tsv, .jsonl, .arrow) or images; or every file,
    /// `file:///PATH/…`, in a folder that may be read so. What begins with a dot or an underscore is no table of a dataset.
    #[schema(example = "s3://lake/reviews/")]
    pub input: String,
    /// The folder that is written, of a bucket or `file:///PATH/…` in a folder that may be written so. A table in lines has its name again;
    /// others are parts whose names end in the number of their first row. Of images there is one `TASK.jsonl` (of a hosted model:
    /// `prediction.jsonl`).
    #[schema(example = "s3://lake/scored/")]
    pub output: String,
    /// `parquet`, `csv`, `tsv`, `jsonl` or `arrow`; as the input where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The texts' language; `auto` detects it for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// A name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Jobs of higher priority go first.
    #[serde(default)]
    pub priority: i32,
    /// The same request with the same token is one job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Most characters of a name or a token.
const LONGEST_NAME: usize = 256;

/// Score a dataset.
///
/// The rows as they were, with a column of answers named like the task (of a hosted model: `prediction`) and one of errors
/// (`TASK_error`). The job goes on
/// where it was when the server is started again, and its output appears when all of it is there.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/jobs",
    operation_id = "create_job",
    tag = "jobs",
    request_body(content((ScoreRequest = "application/json"))),
    responses(
        StoredBodyErrors,
        (status = 201, description = "The job, which has not begun.", body = JobView),
        (status = 409, description = "There are too many jobs of the kind, or the token is another request's.", body = super::error::ErrorBody),
    )
)]
pub async fn create(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<(StatusCode, Json<JobView>), Failure> {
    let request: ScoreRequest = call.json_only().await?;
    let said = format!("{request:?}");
    for (member, text) in [("name", &request.name), ("token", &request.token)] {
        let fits = |text: &String| (1..=LONGEST_NAME).contains(&text.chars().count());
        if !text.as_ref().is_none_or(fits) {
            let message = format!("`{member}` has 1 to {LONGEST_NAME} characters");
            return Err(Failure::invalid(message).at(member));
        }
    }
    let token = request.token;
    if let Some(endpoint) = endpoint_of(&request.task) {
        let (name, _) = Invocation::named(endpoint);
        described(&app, name.to_owned()).await?;
    }
    let wanted = Wanted {
        task: request.task,
        column: request.column,
        columns: request.columns,
        language: request.language,
        format: request.format,
        input: read_from(request.input, &app.config.objects)?,
        output: written_to(request.output, "output", &app.config.objects)?,
        name: request.name,
        priority: request.priority,
    };
    let spec = wanted.spec()?;
    let job = submit(&app, spec, token.map(|token| (token, said))).await?;
    Ok((StatusCode::CREATED, job))
}

/// Keeps a job; a token is given with what was asked with it.
pub(super) async fn submit(
    app: &App,
    spec: Spec,
    token: Option<(String, String)>,
) -> Result<Json<JobView>, Failure> {
    asked(app, move |runner| {
        let token = token
            .as_ref()
            .map(|(token, request)| Token { token, request });
        let submitted = runner.submit(Runner::new_id(), spec, token)?;
        view(runner, submitted.job())
    })
    .await
}

/// List jobs.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    get,
    path = "/v1/jobs",
    operation_id = "list_jobs",
    tag = "jobs",
    params(
        ("kind" = Option<String>, Query, description = "Of this kind."),
        ("state" = Option<String>, Query, description = "In this state."),
        ("name" = Option<String>, Query, description = "With this name."),
        ("after" = Option<String>, Query, description = "The `next` of the page before."),
        ("limit" = Option<usize>, Query, description = "At most so many; 100 when left out, 1000 at most."),
    ),
    responses(
        StoredErrors,
        (status = 200, description = "The youngest first.", body = JobsView),
    )
)]
pub async fn list(State(app): State<Arc<App>>, call: Call) -> Result<Json<JobsView>, Failure> {
    let filter = call.query::<JobsQuery>()?.filter()?;
    asked(&app, move |runner| {
        let mut jobs = runner.jobs(&filter)?;
        let most = filter.most - 1;
        let more = jobs.len() > most;
        jobs.truncate(most);
        let last = jobs.last().filter(|_| more);
        let next = last.map(|job| format!("{}-{}", job.submitted, job.id));
        let jobs = jobs.into_iter().map(|job| view(runner, job));
        Ok(JobsView {
            jobs: jobs.collect::<Result<_, _>>()?,
            next,
        })
    })
    .await
}

/// Describe a job.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}",
    operation_id = "describe_job",
    tag = "jobs",
    params(("id" = String, Path)),
    responses(
        StoredErrors,
        (status = 200, description = "What it is and how far.", body = JobView),
        (status = 404, description = "There is none.", body = super::error::ErrorBody),
    )
)]
pub async fn describe(State(app): State<Arc<App>>, id: Id) -> Result<Json<JobView>, Failure> {
    let id = part(id)?;
    asked(&app, move |runner| {
        let job = runner.job(&id)?;
        view(runner, job)
    })
    .await
}

/// Read the log of a job.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/events",
    operation_id = "job_events",
    tag = "jobs",
    params(
        ("id" = String, Path),
        ("after" = Option<u64>, Query, description = "Behind the event of this number."),
        ("limit" = Option<usize>, Query, description = "At most so many; 100 when left out, 1000 at most."),
    ),
    responses(
        StoredErrors,
        (status = 200, description = "What happened to it.", body = EventsView),
        (status = 404, description = "There is none.", body = super::error::ErrorBody),
    )
)]
pub async fn events(
    State(app): State<Arc<App>>,
    id: Id,
    call: Call,
) -> Result<Json<EventsView>, Failure> {
    let id = part(id)?;
    let query: EventsQuery = call.query()?;
    let most = limited(query.limit)?;
    asked(&app, move |runner| {
        let events = runner.events(&id, query.after.unwrap_or_default(), most)?;
        let events = events.into_iter().map(EventView::from).collect();
        Ok(EventsView { events })
    })
    .await
}

/// Stop a job.
///
/// What is done of it before is left in its output; the machine is free at once.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}/cancel",
    operation_id = "cancel_job",
    tag = "jobs",
    params(("id" = String, Path)),
    responses(
        StoredErrors,
        (status = 200, description = "It is asked to stop.", body = JobView),
        (status = 404, description = "There is none.", body = super::error::ErrorBody),
        (status = 409, description = "It has ended.", body = super::error::ErrorBody),
    )
)]
pub async fn cancel(State(app): State<Arc<App>>, id: Id) -> Result<Json<JobView>, Failure> {
    let id = part(id)?;
    asked(&app, move |runner| {
        let job = runner.stop(&id)?;
        view(runner, job)
    })
    .await
}
