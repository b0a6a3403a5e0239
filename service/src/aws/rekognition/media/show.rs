//! Jobs as AWS shows them, and pages of them.

use super::{KIND, failure};
use crate::aws::dispatch::Call;
use crate::aws::errors::Failure;
use crate::aws::jobs::{page, place, seconds};
use crate::aws::rekognition::moderation::VERSION;
use escala_batch::job::{Form, Job, State};
use escala_batch::runner::{OF_INPUT, OF_INPUTS, OF_OUTPUT, Runner};
use escala_batch::store::Filter;
use serde::Deserialize;
use serde_json::{Value, json};

/// Jobs of a page where the request does not say.
const PAGE: f64 = 100.0;

/// AWS's word for a state. It has none for a job that was stopped.
fn status(state: State) -> &'static str {
    match state {
        State::Submitted => "CREATED",
        State::Planning | State::Queued => "QUEUED",
        State::Running | State::Committing | State::StopRequested => "IN_PROGRESS",
        State::Completed => "SUCCEEDED",
        State::Failed | State::Stopped => "FAILED",
    }
}

/// AWS's word for why a job failed.
fn code(why: &str) -> &'static str {
    let words = [
        (OF_INPUT, "INVALID_S3_OBJECT"),
        (OF_INPUTS, "INVALID_MANIFEST"),
        (OF_OUTPUT, "INVALID_OUTPUT_CONFIG"),
    ];
    let known = words.iter().find(|(of, _)| why.starts_with(of));
    known.map_or("INTERNAL_ERROR", |(_, code)| code)
}

/// `MediaAnalysisJobDescription`, and `GetMediaAnalysisJobResponse`.
pub fn description(job: &Job) -> Value {
    let output = &job.spec.output;
    let mut shown = job.spec.details.clone();
    shown["JobId"] = job.id.clone().into();
    shown["Status"] = status(job.state).into();
    shown["CreationTimestamp"] = seconds(job.submitted).into();
    if let Some(name) = &job.spec.name {
        shown["JobName"] = name.clone().into();
    }
    if let Some(ended) = job.ended {
        shown["CompletionTimestamp"] = seconds(ended).into();
    }
    match (job.state, &output.form) {
        (State::Completed, Form::Summed { name, summary }) => {
            let object = |file: &str| {
                let key = format!("{}{file}", output.folder);
                json!({"Bucket": output.bucket, "Name": key})
            };
            shown["Results"] =
                json!({"S3Object": object(name), "ModelVersions": {"Moderation": VERSION}});
            shown["ManifestSummary"] = json!({"S3Object": object(summary)});
        }
        (State::Failed | State::Stopped, _) => {
            let why = job.why.as_deref().unwrap_or_default();
            shown["FailureDetails"] = json!({"Code": code(why), "Message": why});
        }
        _ => {}
    }
    shown
}

/// `ListMediaAnalysisJobsRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct List {
    next_token: Option<String>,
    max_results: Option<f64>,
}

impl List {
    /// A page of jobs, and what the next one is asked with.
    ///
    /// # Errors
    /// The token is not one; the jobs cannot be read.
    pub fn page(self, jobs: &Runner, call: Call) -> Result<(Vec<Job>, Option<String>), Failure> {
        let read = |token: &str| {
            let not_one = || Failure::declared("InvalidPaginationTokenException", "Invalid Token");
            place(token).ok_or_else(not_one)
        };
        let filter = Filter {
            kind: Some(KIND.to_owned()),
            behind: self.next_token.as_deref().map(read).transpose()?,
            // The model's bounds hold; a fraction is cut off as AWS does.
            most: self.max_results.unwrap_or(PAGE) as usize,
            ..Filter::default()
        };
        page(jobs, filter).map_err(|error| failure(call, &error))
    }
}
