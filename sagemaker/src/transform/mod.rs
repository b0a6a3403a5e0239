//! Transform jobs: `CreateTransformJob` and what is asked about them afterwards.
//!
//! ```text
//! mod.rs       the operations; what is kept of a job and what the job runner knows of it agree
//! request.rs   what is asked, and what is shown of it
//! manifest.rs  inputs that a manifest names
//! work.rs      objects -> requests -> answers -> output
//! ```
//!
//! A transform job is kept twice: as a resource, for good, and as a job of the [`Runner`], which forgets jobs some time after
//! they ended. The resource comes first, with the id that its job will have, so that at any instant one of these is so:
//!
//! * The resource is live and its job unknown: it is submitted, under the same token, so that it cannot be there twice.
//! * The resource is live and its job has ended: the resource takes the end over. It is told when that happens, and looks
//!   whenever somebody asks and when the process starts.
//! * Both are live, or the resource has ended.
//!
//! Source: the SageMaker API reference and the developer guide, "Batch transform".

mod manifest;
mod request;
mod work;

#[cfg(test)]
mod tests;

pub use work::Open;

use crate::logs::{Logs, TRANSFORM};
use crate::names::{now, seconds};
use crate::store::{Error, Resource, Store};
use crate::{Caller, Kind, Refusal, lists, refusal, tags};
use escala_batch::job::{Job, Spec, State};
use escala_batch::runner::{Error as RunnerError, OF_INPUT, OF_INPUTS, OF_OUTPUT, Runner, Token};
use escala_batch::store::Error as JobError;
use escala_batch::work::Work;
use escala_objects::WritableStore;
use request::Request;
use serde_json::{Map, Value, json};
use std::sync::{Arc, OnceLock, Weak};

/// The kind of these jobs among those of the runner.
pub const KIND: &str = "sagemaker.transform";

/// States of a transform job that go on.
const LIVE: [&str; 2] = ["InProgress", "Stopping"];
/// Most characters of a reason.
const LONGEST_REASON: usize = 1024;

/// Members of what is kept of a job beside the request.
const REQUEST: &str = "request";
const ID: &str = "id";
const SPEC: &str = "spec";
const SUBMITTED: &str = "submitted";
const BEGUN: &str = "begun";
const ENDED: &str = "ended";
const WHY: &str = "why";

/// Transform jobs.
pub struct Transforms {
    store: Arc<Store>,
    logs: Arc<Logs>,
    objects: Arc<dyn WritableStore>,
    open: Open,
    runner: OnceLock<Weak<Runner>>,
}

fn is_live(resource: &Resource) -> bool {
    LIVE.contains(&resource.status.as_str())
}

fn text<'a>(input: &'a Value, name: &str) -> &'a str {
    input.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn internal(what: &str, error: &dyn std::fmt::Display) -> Refusal {
    tracing::error!(%error, "{what}");
    Refusal::new(refusal::INTERNAL, "The server failed; its log says why.")
}

/// Why a job failed, as SageMaker says it: whose fault it is, then a sentence.
fn reason(why: Option<&str>) -> String {
    let why = why.unwrap_or("the job failed");
    let known = [work::CLIENT, work::ALGORITHM];
    let of_the_client = [OF_INPUT, OF_INPUTS, OF_OUTPUT, "no object in the bucket"];
    let begins = |with: &&str| why.starts_with(*with);
    let why = match () {
        () if known.iter().any(begins) => why.to_owned(),
        () if of_the_client.iter().any(begins) => format!("{}: {why}", work::CLIENT),
        () => format!("{}: {why}", work::ALGORITHM),
    };
    why.chars().take(LONGEST_REASON).collect()
}

/// Takes the end of a job over; nothing where it goes on.
fn take_over(resource: &mut Resource, job: &Job) {
    let status = match job.state {
        State::Completed => "Completed",
        State::Failed => "Failed",
        State::Stopped => "Stopped",
        _ => return,
    };
    if !is_live(resource) {
        return;
    }
    let ended = job.ended.unwrap_or_else(now);
    end(resource, status, job.begun, ended);
    if job.state == State::Failed {
        resource.body[WHY] = Value::from(reason(job.why.as_deref()));
    }
}

fn end(resource: &mut Resource, status: &str, begun: Option<i64>, ended: i64) {
    status.clone_into(&mut resource.status);
    resource.modified = ended;
    resource.body[ENDED] = Value::from(ended);
    if let Some(begun) = begun {
        resource.body[BEGUN] = Value::from(begun);
    }
}

impl Transforms {
    /// Jobs that are kept in a store and read and write objects.
    pub fn new(
        store: Arc<Store>,
        logs: Arc<Logs>,
        objects: Arc<dyn WritableStore>,
        open: Open,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            logs,
            objects,
            open,
            runner: OnceLock::new(),
        })
    }

    /// What does the jobs of the kind [`KIND`], for the runner.
    pub fn work(self: &Arc<Self>) -> Arc<dyn Work> {
        let (objects, open) = (self.objects.clone(), self.open.clone());
        Arc::new(work::Batches::new(objects, open, Arc::downgrade(self)))
    }

    /// Takes the runner that does the jobs, once it was started with [`Transforms::work`]: what is live goes on, what has
    /// ended meanwhile is kept.
    ///
    /// # Errors
    /// The store.
    pub fn attach(&self, runner: &Arc<Runner>) -> refusal::Result<()> {
        // A second one would be another runner of the same jobs.
        let _ = self.runner.set(Arc::downgrade(runner));
        self.settle_all()
    }

    fn runner(&self) -> Option<Arc<Runner>> {
        self.runner.get().and_then(Weak::upgrade)
    }

    /// Does an operation on transform jobs; `None` where it is none.
    pub fn call(
        &self,
        caller: &Caller,
        operation: &str,
        input: &Value,
    ) -> Option<refusal::Result<Value>> {
        Some(match operation {
            "CreateTransformJob" => self.create(caller, input),
            "DescribeTransformJob" => self.describe(input),
            "ListTransformJobs" => self.list(input),
            "StopTransformJob" => self.stop(input),
            _ => return None,
        })
    }

    fn create(&self, caller: &Caller, input: &Value) -> refusal::Result<Value> {
        let mut input = input.clone();
        let tags = tags::taken(&mut input)?;
        let request = Request::read(&input).map_err(Refusal::validation)?;
        request.check()?;
        let (bucket, key) = request.input()?;
        let source = match request.has_manifest() {
            false => (bucket.to_owned(), key.to_owned()),
            true => {
                let named = manifest::read(&*self.objects, bucket, key);
                let named = named.map_err(|why| Refusal::validation(format!("{why}.")))?;
                (named.bucket, named.prefix)
            }
        };
        let spec = request.spec(&input, source)?;
        if self.store.get(Kind::Model, &request.model_name)?.is_none() {
            let arn = caller.arn(Kind::Model, &request.model_name);
            return Err(Refusal::absent("model", &arn));
        }
        let runner = self
            .runner()
            .ok_or_else(|| internal("a transform job", &"nothing runs jobs here"))?;
        let name = &request.transform_job_name;
        let spec = serde_json::to_value(spec).map_err(|error| internal("a spec", &error))?;
        let made = now();
        let resource = Resource {
            kind: Kind::TransformJob,
            name: name.clone(),
            arn: caller.arn(Kind::TransformJob, name),
            created: made,
            modified: made,
            status: "InProgress".to_owned(),
            body: json!({REQUEST: input, ID: Runner::new_id(), SPEC: spec}),
        };
        self.store.create(&resource, &tags).map_err(|error| match error {
            Error::Exists(arn) => Refusal::new(
                refusal::IN_USE,
                format!(
                    "Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})"
                ),
            ),
            error => error.into(),
        })?;
        let line = format!(
            "input s3://{bucket}/{key}, output {}, model {}",
            text(&input["TransformOutput"], "S3OutputPath"),
            request.model_name
        );
        self.say(name, &line);
        match self.submit(&runner, &resource) {
            Ok(_) => {}
            Err(RunnerError::Store(JobError::Quota { live })) => {
                self.store.delete(Kind::TransformJob, name)?;
                return Err(Refusal::new(
                    refusal::LIMIT,
                    format!(
                        "The account-level service limit 'Number of transform jobs' is {live} jobs, with current utilization of {live} jobs and a request delta of 1 jobs."
                    ),
                ));
            }
            // It is kept, and submitted when somebody looks.
            Err(error) => {
                tracing::error!(%error, job = name, "a transform job is not submitted yet")
            }
        }
        Ok(json!({"TransformJobArn": resource.arn}))
    }

    /// Submits the job of a resource, which may have been before.
    fn submit(&self, runner: &Runner, resource: &Resource) -> Result<Job, RunnerError> {
        let id = text(&resource.body, ID);
        let spec: Spec = serde_json::from_value(resource.body[SPEC].clone())
            .map_err(|error| JobError::Damaged(error.to_string()))?;
        let token = Token {
            token: id,
            request: id,
        };
        let job = runner.submit(id.to_owned(), spec, Some(token))?.job();
        let marked = self
            .store
            .update(Kind::TransformJob, &resource.name, |resource| {
                resource.body[SUBMITTED] = Value::from(true);
                Ok::<_, Error>(())
            });
        // It is a hint for when the runner has forgotten the job.
        if let Err(error) = marked {
            tracing::warn!(%error, job = resource.name, "that a job was submitted is not kept");
        }
        Ok(job)
    }

    /// Makes a resource agree with its job: what it is then, and its job where that is live.
    fn settle(&self, resource: Resource) -> refusal::Result<(Resource, Option<Job>)> {
        let Some(runner) = self.runner().filter(|_| is_live(&resource)) else {
            return Ok((resource, None));
        };
        let stopping = resource.status == "Stopping";
        let id = text(&resource.body, ID);
        let job = match runner.job(id) {
            Ok(job) => Some(job),
            Err(RunnerError::Store(JobError::NotFound(_))) => None,
            Err(error) => return Err(internal("a transform job", &error)),
        };
        let job = match job {
            Some(job) if stopping && job.state.is_live() => match runner.stop(&job.id) {
                Ok(job) => Some(job),
                // It ended in this moment.
                Err(RunnerError::Store(JobError::State { .. })) => runner.job(&job.id).ok(),
                Err(error) => return Err(internal("a transform job", &error)),
            },
            None if !stopping && resource.body.get(SUBMITTED).is_none() => {
                match self.submit(&runner, &resource) {
                    Ok(job) => Some(job),
                    // Later.
                    Err(error) => {
                        tracing::warn!(%error, job = resource.name, "a transform job waits");
                        return Ok((resource, None));
                    }
                }
            }
            job => job,
        };
        if job.as_ref().is_some_and(|job| job.state.is_live()) {
            return Ok((resource, job));
        }
        let settled = self
            .store
            .update(Kind::TransformJob, &resource.name, |kept| {
                match &job {
                    Some(job) => take_over(kept, job),
                    None if !is_live(kept) => {}
                    None if stopping => end(kept, "Stopped", None, now()),
                    None => {
                        end(kept, "Failed", None, now());
                        let why = "InternalServerError: how the job ended was forgotten";
                        kept.body[WHY] = Value::from(why);
                    }
                }
                Ok::<_, Error>(kept.clone())
            })?;
        Ok((settled.unwrap_or(resource), None))
    }

    fn settle_all(&self) -> refusal::Result<()> {
        for resource in self.store.in_states(Kind::TransformJob, &LIVE)? {
            self.settle(resource)?;
        }
        Ok(())
    }

    /// Says a line in a job's log.
    fn say(&self, name: &str, line: &str) {
        self.logs.say(TRANSFORM, &format!("{name}/i-0"), [line]);
    }

    /// Told by the runner that a job has ended.
    fn ended(&self, name: &str, job: &Job) {
        let done = &job.planned;
        let what = format!(
            "{} records of {} objects, {} bytes",
            done.documents, done.inputs, done.bytes
        );
        self.say(
            name,
            &match (job.state, &job.why) {
                (State::Completed, _) => format!("completed: {what}"),
                (State::Stopped, _) => "stopped".to_owned(),
                (_, why) => format!("failed: {}", reason(why.as_deref())),
            },
        );
        let kept = self.store.update(Kind::TransformJob, name, |resource| {
            if text(&resource.body, ID) == job.id {
                take_over(resource, job);
            }
            Ok::<_, Error>(())
        });
        // Whoever asks for the job finds it out again.
        if let Err(error) = kept {
            tracing::error!(%error, job = name, "how a transform job ended is not kept yet");
        }
    }

    fn found(&self, input: &Value) -> refusal::Result<Resource> {
        let name = text(input, "TransformJobName");
        let found = self.store.get(Kind::TransformJob, name)?;
        found.ok_or_else(|| {
            Refusal::validation(format!("Could not find requested job with name: {name}"))
        })
    }

    fn describe(&self, input: &Value) -> refusal::Result<Value> {
        let (resource, job) = self.settle(self.found(input)?)?;
        let mut shown = request::shown(&resource.body[REQUEST]);
        let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        put("TransformJobName", Value::from(resource.name.as_str()));
        put("TransformJobArn", Value::from(resource.arn.as_str()));
        put("TransformJobStatus", Value::from(resource.status.as_str()));
        put("CreationTime", seconds(resource.created));
        let begun = resource.body.get(BEGUN).and_then(Value::as_i64);
        if let Some(begun) = begun.or(job.and_then(|job| job.begun)) {
            put("TransformStartTime", seconds(begun));
        }
        ending(&resource, &mut shown);
        Ok(Value::Object(shown))
    }

    fn list(&self, input: &Value) -> refusal::Result<Value> {
        self.settle_all()?;
        let page = lists::page(&self.store, Kind::TransformJob, input, "StatusEquals")?;
        Ok(lists::answer("TransformJobSummaries", &page, |resource| {
            let mut summary = Map::new();
            let mut put = |name: &str, value: Value| summary.insert(name.to_owned(), value);
            put("TransformJobName", Value::from(resource.name.as_str()));
            put("TransformJobArn", Value::from(resource.arn.as_str()));
            put("TransformJobStatus", Value::from(resource.status.as_str()));
            put("CreationTime", seconds(resource.created));
            put("LastModifiedTime", seconds(resource.modified));
            ending(resource, &mut summary);
            Value::Object(summary)
        }))
    }

    fn stop(&self, input: &Value) -> refusal::Result<Value> {
        let (resource, _) = self.settle(self.found(input)?)?;
        let stopping = self.store.update(Kind::TransformJob, &resource.name, |kept| {
            match kept.status.as_str() {
                "InProgress" => {
                    "Stopping".clone_into(&mut kept.status);
                    kept.modified = now();
                }
                "Stopping" => {}
                status => {
                    return Err(Refusal::validation(format!(
                        "The request was rejected because the transform job is in status {status}."
                    )));
                }
            }
            Ok(kept.clone())
        })?;
        if let Some(stopping) = stopping {
            self.settle(stopping)?;
        }
        Ok(json!({}))
    }
}

/// How and when a job ended.
fn ending(resource: &Resource, shown: &mut Map<String, Value>) {
    if let Some(ended) = resource.body.get(ENDED).and_then(Value::as_i64) {
        shown.insert("TransformEndTime".to_owned(), seconds(ended));
    }
    if let Some(why) = resource.body.get(WHY) {
        shown.insert("FailureReason".to_owned(), why.clone());
    }
}
