//! Bulk analysis of images: `StartMediaAnalysisJob`, `GetMediaAnalysisJob` and `ListMediaAnalysisJobs`. AWS has no operation to
//! stop such a job (`escala jobs cancel` does).
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | which operation is which, and what they answer instead |
//! | `start.rs` | a request becomes a job of [`escala_batch`] |
//! | `show.rs` | a job becomes what AWS shows of it |
//! | `work.rs` | what is asked about a line of a manifest, and what is written of it |
//!
//! The input is a manifest, one object of lines like `{"source-ref":"s3://bucket/key.jpg"}`. The output is a file of results and
//! one that sums the manifest up and has its errors; both are where `GetMediaAnalysisJob` says. AWS documents the form of all
//! three (Rekognition developer guide, "Bulk analysis") and not where the output lies below `S3KeyPrefix`: here it is
//! `<prefix>/<job>/results.jsonl`, as public code that reads such output calls it, and `<prefix>/<job>/manifest-summary.json`.

mod show;
mod start;
pub mod work;

use crate::aws::dispatch::{Call, typed};
use crate::aws::errors::Failure;
use crate::aws::{Aws, away};
use escala_batch::job::Job;
use escala_batch::runner::{self, Runner};
use escala_batch::store;
use escala_pipelines::{Error, Kind, Options};
use serde::Deserialize;
use serde_json::{Value, json};

/// What its jobs are called among all jobs.
pub const KIND: &str = "rekognition.moderation";

/// A typed request about jobs.
pub enum Request {
    /// `StartMediaAnalysisJob`.
    Start(Box<start::Start>),
    /// `GetMediaAnalysisJob`.
    Get(Get),
    /// `ListMediaAnalysisJobs`.
    List(show::List),
}

/// `GetMediaAnalysisJobRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Get {
    job_id: String,
}

/// Makes a typed request of a validated input; `None` where the operation is not about jobs.
///
/// # Errors
/// What is asked is not part of this version of Escala.
pub fn read(call: Call, input: &Value) -> Result<Option<Request>, Failure> {
    let input = || input.clone();
    Ok(Some(match call.operation.name.as_str() {
        "StartMediaAnalysisJob" => Request::Start(Box::new(start::Start::read(call, input())?)),
        "GetMediaAnalysisJob" => Request::Get(typed(input())?),
        "ListMediaAnalysisJobs" => Request::List(typed(input())?),
        _ => return Ok(None),
    }))
}

/// Runs a request.
///
/// # Errors
/// What the operation answers instead of its output.
pub async fn run(
    aws: &Aws,
    call: Call,
    request: Request,
    options: Options,
) -> Result<Value, Failure> {
    let jobs = aws.jobs.clone().ok_or_else(|| {
        let error = Error::new(Kind::Unavailable, "This server keeps no jobs.");
        Failure::of(call.service.id, call.operation, error)
    })?;
    let looked = match &request {
        Request::Start(start) => start.look(aws, call, options).await,
        _ => Ok(()),
    };
    // What is kept is on a disk.
    away(move || match (looked, &request) {
        // Of a job that is there already the manifest may be gone.
        (Err(refused), Request::Start(start)) => {
            let known = start.known(&jobs).map_err(|error| failure(call, &error))?;
            known.map(begun).ok_or(refused)
        }
        (Err(refused), _) => Err(refused),
        (Ok(()), _) => answer(&jobs, call, request),
    })
    .await
}

/// What is answered about a job that is there now.
fn begun(job: Job) -> Value {
    json!({ "JobId": job.id })
}

fn answer(jobs: &Runner, call: Call, request: Request) -> Result<Value, Failure> {
    let fail = |error: runner::Error| failure(call, &error);
    match request {
        Request::Start(start) => start.submit(jobs).map(begun).map_err(fail),
        Request::Get(get) => Ok(show::description(&found(jobs, &get.job_id).map_err(fail)?)),
        Request::List(list) => {
            let (jobs, next) = list.page(jobs, call)?;
            let shown: Vec<Value> = jobs.iter().map(show::description).collect();
            let mut answer = json!({ "MediaAnalysisJobs": shown });
            if let Some(next) = next {
                answer["NextToken"] = next.into();
            }
            Ok(answer)
        }
    }
}

/// A job; those of other operations are not found.
fn found(jobs: &Runner, id: &str) -> Result<Job, runner::Error> {
    let job = jobs.job(id)?;
    match job.spec.kind == KIND {
        true => Ok(job),
        false => Err(store::Error::NotFound(id.to_owned()).into()),
    }
}

/// What an operation answers instead.
fn failure(call: Call, error: &runner::Error) -> Failure {
    use runner::Error as R;
    use store::Error as S;
    match error {
        R::Store(S::NotFound(id)) => Failure::declared(
            "ResourceNotFoundException",
            format!("There is no media analysis job {id}."),
        ),
        R::Store(S::Quota { live }) => Failure::declared(
            "LimitExceededException",
            format!("The limit of active jobs is reached: {live} media analysis jobs are active."),
        ),
        R::Store(S::Token) => Failure::declared(
            "IdempotentParameterMismatchException",
            "The ClientRequestToken was used with another request.",
        ),
        error => {
            let error = Error::new(Kind::Internal, crate::failure::chain(error));
            Failure::of(call.service.id, call.operation, error)
        }
    }
}
