//! Jobs as AWS shows them, and pages of them.

use super::{Kind, failure, invalid};
use crate::aws::dispatch::Call;
use crate::aws::errors::Failure;
use crate::aws::jobs::{page, place, seconds};
use escala_batch::job::{Form, Job, State};
use escala_batch::runner::Runner;
use escala_batch::store::{Filter, Order};
use escala_sagemaker::Caller;
use serde::Deserialize;
use serde_json::{Value, json};

/// Jobs of a page where the request does not say.
const PAGE: f64 = 100.0;

/// The name of a job in all of AWS.
pub fn arn(caller: &Caller, kind: &Kind, job: &Job) -> String {
    let Caller { account, region } = caller;
    format!(
        "arn:aws:comprehend:{region}:{account}:{}-detection-job/{}",
        kind.arn, job.id
    )
}

/// AWS's word for a state.
pub fn status(state: State) -> &'static str {
    match state {
        State::Submitted | State::Planning | State::Queued => "SUBMITTED",
        State::Running | State::Committing => "IN_PROGRESS",
        State::StopRequested => "STOP_REQUESTED",
        State::Completed => "COMPLETED",
        State::Failed => "FAILED",
        State::Stopped => "STOPPED",
    }
}

/// `…DetectionJobProperties`.
pub fn properties(caller: &Caller, kind: &Kind, job: &Job) -> Value {
    let output = &job.spec.output;
    let file = match &output.form {
        Form::Archive { name, .. } | Form::Collected { name, .. } => name.as_str(),
        Form::Files { .. }
        | Form::Joined { .. }
        | Form::Summed { .. }
        | Form::Tables { .. }
        | Form::Unpacked { .. } => "",
    };
    let mut shown = job.spec.details.clone();
    shown["JobId"] = job.id.clone().into();
    shown["JobArn"] = arn(caller, kind, job).into();
    shown["JobStatus"] = status(job.state).into();
    shown["SubmitTime"] = seconds(job.submitted).into();
    shown["OutputDataConfig"] =
        json!({"S3Uri": format!("s3://{}/{}{file}", output.bucket, output.folder)});
    if let Some(name) = &job.spec.name {
        shown["JobName"] = name.clone().into();
    }
    if let Some(why) = &job.why {
        shown["Message"] = why.clone().into();
    }
    if let Some(ended) = job.ended {
        shown["EndTime"] = seconds(ended).into();
    }
    shown
}

/// `List…DetectionJobsRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct List {
    filter: Option<Filters>,
    next_token: Option<String>,
    max_results: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filters {
    job_name: Option<String>,
    job_status: Option<String>,
    submit_time_before: Option<f64>,
    submit_time_after: Option<f64>,
}

impl Filters {
    /// How many there are.
    fn count(&self) -> usize {
        [
            self.job_name.is_some(),
            self.job_status.is_some(),
            self.submit_time_before.is_some(),
            self.submit_time_after.is_some(),
        ]
        .into_iter()
        .filter(|is_set| *is_set)
        .count()
    }
}

impl List {
    /// A page of jobs, and what the next one is asked with.
    ///
    /// # Errors
    /// The filter or the token is not one; the jobs cannot be read.
    pub fn page(
        self,
        jobs: &Runner,
        call: Call,
        kind: &Kind,
    ) -> Result<(Vec<Job>, Option<String>), Failure> {
        // A null is what was left out.
        let filters = self.filter.unwrap_or_default();
        if filters.count() > 1 {
            return Err(Failure::declared(
                "InvalidFilterException",
                "The filter specified for the operation is invalid. Specify a different filter: only one at a time.",
            ));
        }
        let states = filters.job_status.map(|wanted| {
            let is_it = |state: &State| status(*state) == wanted;
            State::ALL.into_iter().filter(is_it).collect()
        });
        // By AWS's reference topics have it the other way round.
        let turned = match kind.is_topics() {
            true => filters.submit_time_after.is_some(),
            false => filters.submit_time_before.is_some(),
        };
        let millis = |seconds: f64| (seconds * 1000.0) as i64;
        let read = |token: &str| {
            place(token).ok_or_else(|| invalid("The NextToken is not one of this server's."))
        };
        let behind = self.next_token.as_deref().map(read).transpose()?;
        let filter = Filter {
            kind: Some(kind.full_name()),
            states: states.unwrap_or_default(),
            name: filters.job_name,
            before: filters.submit_time_before.map(millis),
            after: filters.submit_time_after.map(millis),
            behind,
            order: match turned {
                true => Order::Oldest,
                false => Order::Youngest,
            },
            // The model's bounds hold; a fraction is cut off as AWS does.
            most: self.max_results.unwrap_or(PAGE) as usize,
        };
        page(jobs, filter).map_err(|error| failure(call, &error))
    }
}
