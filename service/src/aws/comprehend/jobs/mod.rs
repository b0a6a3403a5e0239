//! The asynchronous jobs: `Start…`, `Describe…`, `List…` and `Stop…` of six kinds of detection, and of topics, whose jobs AWS
//! has no operation to stop (`escala jobs cancel` does).
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | the kinds, and which operation is which |
//! | `start.rs` | a request becomes a job of [`escala_batch`] |
//! | `show.rs` | a job becomes the properties that AWS shows |
//! | `work.rs` | what is asked about a document and what is written of it |
//! | `topics.rs` | topics, which are found in all documents together |
//!
//! Inputs are lines that end with LF, CR or CRLF, or files. The output is `output.tar.gz` with one file `output` of JSON
//! lines in the order of the input; for personal data it is a file for each input, `<name>.out`. A document without an answer is
//! a line with `ErrorCode`. AWS ignores what follows a line that is not UTF-8; here only that line is an error.

mod show;
mod start;
mod topics;
pub mod work;

use super::View;
use crate::aws::Aws;
use crate::aws::away;
use crate::aws::dispatch::{Call, typed};
use crate::aws::errors::Failure;
use escala_batch::runner::{self, Runner};
use escala_batch::store;
use escala_pipelines::{Error, Kind as ErrorKind};
use escala_sagemaker::Caller;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// A kind of job.
#[derive(Debug)]
pub struct Kind {
    /// Its name among all jobs.
    pub name: &'static str,
    /// What the operations call it: `Sentiment` of `StartSentimentDetectionJob`.
    middle: &'static str,
    /// What its ARNs call it.
    arn: &'static str,
    /// What the folder of its output begins with, as AWS's examples show it.
    code: &'static str,
    /// What is asked about each document; nothing where topics of all of them are found.
    view: Option<View>,
    /// Most bytes of a document: "5 KB" is 5120 in AWS's messages about jobs, while the other operations say 5000.
    document: u64,
}

/// Every kind that has handlers.
pub const KINDS: [Kind; 7] = [
    kind(
        "language",
        "DominantLanguage",
        "dominant-language",
        "LANGUAGE",
        Some(View::Language),
        1 << 20,
    ),
    kind(
        "entities",
        "Entities",
        "entities",
        "NER",
        Some(View::Entities),
        1 << 20,
    ),
    kind(
        "key-phrases",
        "KeyPhrases",
        "key-phrases",
        "KP",
        Some(View::KeyPhrases),
        1 << 20,
    ),
    kind(
        "sentiment",
        "Sentiment",
        "sentiment",
        "SENTIMENT",
        Some(View::Sentiment),
        5 << 10,
    ),
    kind(
        "targeted-sentiment",
        "TargetedSentiment",
        "targeted-sentiment",
        "TS",
        Some(View::Targeted),
        10 << 10,
    ),
    kind(
        "pii",
        "PiiEntities",
        "pii-entities",
        "PII",
        Some(View::Pii),
        1 << 20,
    ),
    kind(
        "topics",
        "Topics",
        "topics",
        "TOPICS",
        None,
        topics::DOCUMENT,
    ),
];

const fn kind(
    name: &'static str,
    middle: &'static str,
    arn: &'static str,
    code: &'static str,
    view: Option<View>,
    document: u64,
) -> Kind {
    Kind {
        name,
        middle,
        arn,
        code,
        view,
        document,
    }
}

impl Kind {
    /// Its name among the kinds of all services.
    pub fn full_name(&self) -> String {
        format!("comprehend.{}", self.name)
    }

    /// Whether it finds topics in all documents together.
    fn is_topics(&self) -> bool {
        self.view.is_none()
    }
}

/// What is done with jobs.
#[derive(Clone, Copy, Debug)]
enum Verb {
    Start,
    Describe,
    List,
    Stop,
}

/// A typed request about jobs.
pub struct Request {
    kind: &'static Kind,
    asked: Asked,
}

enum Asked {
    Start(Box<start::Start>),
    Describe(Named),
    List(show::List),
    Stop(Named),
}

/// `Describe…JobRequest`, `Stop…JobRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    job_id: String,
}

/// The kind and verb of an operation.
fn find(operation: &str) -> Option<(&'static Kind, Verb)> {
    let verbs = [
        ("Start", "DetectionJob", Verb::Start),
        ("Describe", "DetectionJob", Verb::Describe),
        ("List", "DetectionJobs", Verb::List),
        ("Stop", "DetectionJob", Verb::Stop),
    ];
    verbs.into_iter().find_map(|(begin, end, verb)| {
        let middle = operation.strip_prefix(begin)?.strip_suffix(end)?;
        let kind = KINDS.iter().find(|kind| kind.middle == middle)?;
        Some((kind, verb))
    })
}

/// Makes a typed request of a validated input; `None` where the operation is not about jobs.
///
/// # Errors
/// What is asked is not part of this version of Escala.
pub fn read(call: Call, input: &Value) -> Result<Option<Request>, Failure> {
    let Some((kind, verb)) = find(&call.operation.name) else {
        return Ok(None);
    };
    let input = input.clone();
    let asked = match verb {
        Verb::Start => Asked::Start(Box::new(start::Start::read(kind, input)?)),
        Verb::Describe => Asked::Describe(typed(input)?),
        Verb::List => Asked::List(typed(input)?),
        Verb::Stop => Asked::Stop(typed(input)?),
    };
    Ok(Some(Request { kind, asked }))
}

/// Runs a request.
///
/// # Errors
/// What the operation answers instead of its output.
pub async fn run(
    aws: &Aws,
    caller: &Caller,
    call: Call,
    request: Request,
) -> Result<Value, Failure> {
    let caller = caller.clone();
    let jobs = aws.jobs.clone().ok_or_else(|| {
        let error = Error::new(ErrorKind::Unavailable, "This server keeps no jobs.");
        Failure::of(call.service.id, call.operation, error)
    })?;
    // What is kept is on a disk.
    away(move || answer(&jobs, &caller, call, request)).await
}

fn answer(
    jobs: &Arc<Runner>,
    caller: &Caller,
    call: Call,
    request: Request,
) -> Result<Value, Failure> {
    let kind = request.kind;
    let fail = |error: runner::Error| failure(call, &error);
    match request.asked {
        Asked::Start(start) => {
            let job = start.submit(jobs, caller, kind).map_err(fail)?;
            Ok(json!({
                "JobId": job.id,
                "JobArn": show::arn(caller, kind, &job),
                "JobStatus": show::status(job.state),
            }))
        }
        Asked::Describe(named) => {
            let job = of_kind(jobs, kind, &named.job_id).map_err(fail)?;
            let name = format!("{}DetectionJobProperties", kind.middle);
            Ok(json!({ name: show::properties(caller, kind, &job) }))
        }
        Asked::List(list) => {
            let (jobs, next) = list.page(jobs, call, kind)?;
            let name = format!("{}DetectionJobPropertiesList", kind.middle);
            let shown = jobs.iter().map(|job| show::properties(caller, kind, job));
            let mut answer = json!({ name: shown.collect::<Vec<_>>() });
            if let Some(next) = next {
                answer["NextToken"] = next.into();
            }
            Ok(answer)
        }
        Asked::Stop(named) => {
            of_kind(jobs, kind, &named.job_id).map_err(fail)?;
            let job = jobs.stop(&named.job_id).map_err(fail)?;
            Ok(json!({"JobId": job.id, "JobStatus": show::status(job.state)}))
        }
    }
}

/// A job of a kind; those of another are not found.
fn of_kind(jobs: &Runner, kind: &Kind, id: &str) -> Result<escala_batch::job::Job, runner::Error> {
    let job = jobs.job(id)?;
    match job.spec.kind == kind.full_name() {
        true => Ok(job),
        false => Err(store::Error::NotFound(id.to_owned()).into()),
    }
}

/// What an operation answers instead.
fn failure(call: Call, error: &runner::Error) -> Failure {
    use runner::Error as R;
    use store::Error as S;
    match error {
        R::Store(S::NotFound(_)) => Failure::declared(
            "JobNotFoundException",
            "The specified job was not found. Check the job ID and try again.",
        ),
        R::Store(S::Quota { live }) => Failure::declared(
            "TooManyRequestsException",
            format!("The limit of active jobs is reached: {live} jobs of this kind are active."),
        ),
        R::Store(S::Token) => invalid("The ClientRequestToken was used with another request."),
        R::Store(S::State { is, .. }) => invalid(&format!(
            "The job is {} and cannot be stopped.",
            show::status(*is)
        )),
        error => {
            let error = Error::new(ErrorKind::Internal, crate::failure::chain(error));
            Failure::of(call.service.id, call.operation, error)
        }
    }
}

fn invalid(message: &str) -> Failure {
    Failure::declared("InvalidRequestException", message)
}
