//! Training jobs: the operations, and the states of a job.
//!
//! ```text
//! mod.rs          CreateTrainingJob, Describe, List, Stop, Delete; a job's states
//! work.rs         the runner's job: read, train, pack
//! channels.rs     which objects a channel has
//! checkpoints.rs  the last state of a training, on the disk or in a bucket
//! records.rs      images in record files of MXNet
//! trainer.rs      the contract of what trains
//! tables.rs       the algorithms of `learn/` on tables as a trainer
//! texts.rs        those on lines of text
//! parquet.rs      tables in Parquet files, with the feature `parquet`
//! ```
//!
//! A training job is a resource here and a job of the runner there. The resource says what was asked and how far it came; the
//! runner's job is what is done. Whoever asks for a resource sees it settled: a runner's job that has ended has ended the
//! training job, with the times of its end. A process that was killed in between finds both at the next start: jobs that the
//! runner does not know are handed to it again, under a token, so that they are one.
//!
//! Source: the API reference (`CreateTrainingJob`, `DescribeTrainingJob`) and the developer guide on SageMaker's
//! built-in algorithms.

mod channels;
mod checkpoints;
#[cfg(feature = "parquet")]
mod parquet;
mod records;
mod tables;
mod texts;
mod trainer;
mod work;

pub use channels::{Channel, File};
pub use tables::Tables;
pub use texts::Texts;
pub use trainer::{Failure, Lesson, Trainer};

use crate::lists;
use crate::logs::{Logs, TRAINING};
use crate::names::{ADDRESSES, Caller, Kind, now, s3, seconds};
use crate::refusal::{IN_USE, LIMIT, Refusal, Result};
use crate::store::{self, Resource, Store};
use crate::tags;
use channels::Asked;
use escala_batch::behind::behind;
use escala_batch::job::{Form, Job, Source, Spec, Split, State, Target};
use escala_batch::runner::{Error as RunnerError, Runner, Token};
use escala_batch::store::Error as JobError;
use escala_batch::work::Work;
use escala_objects::WritableStore;
use fancy_regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};
use work::Running;

/// The kind of the runner's jobs.
pub const KIND: &str = "sagemaker.training";

/// The operations.
pub const OPERATIONS: &[&str] = &[
    "CreateTrainingJob",
    "DescribeTrainingJob",
    "ListTrainingJobs",
    "StopTrainingJob",
    "DeleteTrainingJob",
];

const IN_PROGRESS: &str = "InProgress";
const STOPPING: &str = "Stopping";
const COMPLETED: &str = "Completed";
const FAILED: &str = "Failed";
const STOPPED: &str = "Stopped";

/// How long a training that is asked to stop has to end with what it learned, as at AWS.
const GRACE: i64 = 120_000;
/// The longest a training may take where nothing is said, as at AWS: a day.
const LONGEST: u64 = 24 * 3600;
/// Most characters of a reason, as the service model says.
const REASON: usize = 1024;

/// Members of the request that are told again as they are.
const ECHOED: [&str; 20] = [
    "HyperParameters",
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "CheckpointConfig",
    "DebugHookConfig",
    "ExperimentConfig",
    "DebugRuleConfigurations",
    "TensorBoardOutputConfig",
    "ProfilerConfig",
    "ProfilerRuleConfigurations",
    "Environment",
    "RetryStrategy",
    "RemoteDebugConfig",
    "InfraCheckConfig",
];

/// What trainings may take.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Most bytes that the channels of a job may have together.
    pub most_bytes: u64,
    /// Threads that train, all jobs together.
    pub threads: usize,
}

/// What of a request is needed to train.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    algorithm_specification: Specification,
    #[serde(default)]
    hyper_parameters: BTreeMap<String, String>,
    #[serde(default)]
    input_data_config: Vec<Asked>,
    output_data_config: Output,
    #[serde(default)]
    stopping_condition: Stopping,
    checkpoint_config: Option<CheckpointConfig>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Specification {
    training_image: Option<String>,
    algorithm_name: Option<String>,
    #[serde(default)]
    metric_definitions: Vec<Metric>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    name: String,
    regex: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    s3_output_path: String,
    compression_type: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stopping {
    max_runtime_in_seconds: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CheckpointConfig {
    s3_uri: String,
}

impl Request {
    fn read(input: &Value) -> std::result::Result<Self, serde_json::Error> {
        Self::deserialize(input)
    }

    fn of(resource: &Resource) -> std::result::Result<Self, serde_json::Error> {
        Self::read(&resource.body["request"])
    }

    fn image(&self) -> &str {
        let asked = &self.algorithm_specification;
        let image = asked.training_image.as_deref();
        image
            .or(asked.algorithm_name.as_deref())
            .unwrap_or_default()
    }

    /// The metrics that are looked for in the log. They were looked at when the job was made.
    fn patterns(&self) -> Vec<(String, Regex)> {
        let definitions = &self.algorithm_specification.metric_definitions;
        let compiled = definitions
            .iter()
            .filter_map(|one| Some((one.name.clone(), Regex::new(&one.regex).ok()?)));
        compiled.collect()
    }
}

/// Training jobs.
#[derive(Clone)]
pub struct Trainings(Arc<Inner>);

struct Inner {
    store: Arc<Store>,
    logs: Arc<Logs>,
    objects: Arc<dyn WritableStore>,
    folder: PathBuf,
    trainers: Vec<Box<dyn Trainer>>,
    options: Options,
    pool: rayon::ThreadPool,
    runner: OnceLock<Weak<Runner>>,
    running: Running,
}

/// Where a job's model is put, and its address: `model.tar.gz`, or without compression a folder `model/`.
fn artefact(output: &Value, job: &str) -> Option<(Target, String)> {
    let (bucket, prefix) = s3(text(output, "S3OutputPath"))?;
    let prefix = prefix.trim_end_matches('/');
    let slash = if prefix.is_empty() { "" } else { "/" };
    let folder = format!("{prefix}{slash}{job}/output/");
    let (form, last) = match text(output, "CompressionType") {
        "NONE" => {
            let name = "model".to_owned();
            (Form::Unpacked { name }, "model/")
        }
        _ => {
            let name = "model.tar.gz".to_owned();
            (Form::Joined { name }, "model.tar.gz")
        }
    };
    let address = format!("s3://{bucket}/{folder}{last}");
    let target = Target {
        bucket: bucket.to_owned(),
        folder,
        form,
    };
    Some((target, address))
}

fn text<'a>(input: &'a Value, name: &str) -> &'a str {
    input[name].as_str().unwrap_or_default()
}

impl Trainings {
    /// Training jobs of a store, whose folder is for what is under way. The runner comes later ([`Trainings::attach`]).
    ///
    /// # Errors
    /// A sentence where the machine gives no threads.
    pub fn new(
        store: Arc<Store>,
        logs: Arc<Logs>,
        objects: Arc<dyn WritableStore>,
        folder: &Path,
        trainers: Vec<Box<dyn Trainer>>,
        options: Options,
    ) -> std::result::Result<Self, String> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options.threads)
            .thread_name(|number| format!("training-{number}"))
            .start_handler(|_| behind())
            .build();
        Ok(Self(Arc::new(Inner {
            store,
            logs,
            objects,
            folder: folder.to_owned(),
            trainers,
            options,
            pool: pool.map_err(|error| error.to_string())?,
            runner: OnceLock::new(),
            running: Running::default(),
        })))
    }

    /// What the runner does for these jobs.
    pub fn work(&self) -> (String, Arc<dyn Work>) {
        (KIND.to_owned(), self.0.clone())
    }

    /// The repositories of images that are trained.
    pub fn repositories(&self) -> Vec<&'static str> {
        self.0.repositories()
    }

    /// Hands jobs to a runner from now on, and those that it does not know yet.
    ///
    /// # Errors
    /// The store cannot be used.
    pub fn attach(&self, runner: &Arc<Runner>) -> Result<()> {
        if self.0.runner.set(Arc::downgrade(runner)).is_err() {
            tracing::error!("training jobs have a runner already");
        }
        self.settle()
    }

    /// Sees to it that jobs that have ended are known to have ended.
    ///
    /// # Errors
    /// The store cannot be used.
    pub fn settle(&self) -> Result<()> {
        for resource in self.0.live()? {
            self.0.settled(resource)?;
        }
        Ok(())
    }

    /// Answers an operation on training jobs. It waits for the disk.
    ///
    /// # Errors
    /// What is answered instead.
    pub fn call(&self, caller: &Caller, operation: &str, input: Value) -> Result<Value> {
        match operation {
            "CreateTrainingJob" => self.0.create(caller, input),
            "DescribeTrainingJob" => self.0.describe(&input),
            "ListTrainingJobs" => {
                self.settle()?;
                // No job here has a warm pool or a plan.
                let none_has = ["WarmPoolStatusEquals", "TrainingPlanArnEquals"];
                if none_has.iter().any(|name| input.get(name).is_some()) {
                    return Ok(json!({"TrainingJobSummaries": []}));
                }
                let page = lists::page(&self.0.store, Kind::TrainingJob, &input, "StatusEquals")?;
                Ok(lists::answer("TrainingJobSummaries", &page, summary))
            }
            "StopTrainingJob" => self.0.stop(&input),
            _ => self.0.delete(&input),
        }
    }
}

fn summary(resource: &Resource) -> Value {
    let mut summary = json!({
        "TrainingJobName": resource.name,
        "TrainingJobArn": resource.arn,
        "CreationTime": seconds(resource.created),
        "LastModifiedTime": seconds(resource.modified),
        "TrainingJobStatus": resource.status,
        "SecondaryStatus": secondary(resource),
    });
    if let Some(ended) = resource.body["ended"].as_i64() {
        summary["TrainingEndTime"] = seconds(ended);
    }
    summary
}

fn secondary(resource: &Resource) -> &str {
    let transitions = resource.body["transitions"].as_array();
    let last = transitions.and_then(|all| all.last());
    last.map_or("Starting", |last| text(last, "Status"))
}

/// Goes over to a secondary status at a time; the one before ends.
fn transit(body: &mut Value, at: i64, status: &str, message: &str) {
    let Some(all) = body["transitions"].as_array_mut() else {
        return;
    };
    if let Some(last) = all.last_mut() {
        last["EndTime"] = seconds(at);
    }
    all.push(json!({"Status": status, "StartTime": seconds(at), "StatusMessage": message}));
}

impl Inner {
    fn repositories(&self) -> Vec<&'static str> {
        self.trainers
            .iter()
            .flat_map(|one| one.repositories())
            .collect()
    }

    fn trainer(&self, repository: &str) -> Option<&dyn Trainer> {
        let mut trainers = self.trainers.iter().map(|one| &**one);
        trainers.find(|one| one.repositories().contains(&repository))
    }

    fn runner(&self) -> Option<Arc<Runner>> {
        self.runner.get()?.upgrade()
    }

    fn live(&self) -> Result<Vec<Resource>> {
        Ok(self
            .store
            .in_states(Kind::TrainingJob, &[IN_PROGRESS, STOPPING])?)
    }

    fn found(&self, input: &Value) -> Result<Resource> {
        let name = text(input, "TrainingJobName");
        let found = self.store.get(Kind::TrainingJob, name)?;
        found.ok_or_else(|| Refusal::validation("Requested resource not found."))
    }

    fn create(&self, caller: &Caller, mut input: Value) -> Result<Value> {
        let wrong = |error: serde_json::Error| {
            Refusal::validation(format!("The request cannot be trained: {error}"))
        };
        if input.get("AlgorithmSpecification").is_none() {
            return Err(Refusal::validation(
                "AlgorithmSpecification is missing: it names the algorithm by its TrainingImage.",
            ));
        }
        let request = Request::read(&input).map_err(wrong)?;
        let asked = &request.algorithm_specification;
        match (&asked.training_image, &asked.algorithm_name) {
            (Some(_), Some(_)) | (None, None) => {
                return Err(Refusal::validation(
                    "AlgorithmSpecification takes either a TrainingImage or an AlgorithmName.",
                ));
            }
            (None, Some(name)) if name.starts_with("arn:") => {
                return Err(Refusal::absent("algorithm", name));
            }
            _ => {}
        }
        for one in &asked.metric_definitions {
            if let Err(error) = Regex::new(&one.regex) {
                return Err(Refusal::validation(format!(
                    "The Regex of the metric definition {:?} cannot be read: {error}",
                    one.name
                )));
            }
        }
        let mut names: Vec<&str> = request
            .input_data_config
            .iter()
            .map(|one| &*one.channel_name)
            .collect();
        names.sort_unstable();
        if names.windows(2).any(|two| two[0] == two[1]) {
            return Err(Refusal::validation(
                "Each ChannelName of InputDataConfig may be there only once.",
            ));
        }
        if input["EnableManagedSpotTraining"] == true {
            let stopping = &input["StoppingCondition"];
            let waits = stopping["MaxWaitTimeInSeconds"].as_u64();
            let runs = stopping["MaxRuntimeInSeconds"].as_u64();
            if waits.is_none_or(|waits| Some(waits) < runs) {
                return Err(Refusal::validation(
                    "With EnableManagedSpotTraining, StoppingCondition.MaxWaitTimeInSeconds is at least MaxRuntimeInSeconds.",
                ));
            }
        }
        let output = &request.output_data_config;
        let compression = output.compression_type.as_deref();
        if compression.is_some_and(|said| said != "GZIP" && said != "NONE") {
            return Err(Refusal::validation(
                "OutputDataConfig.CompressionType is GZIP (model.tar.gz) or NONE (a folder, model/).",
            ));
        }
        let name = text(&input, "TrainingJobName").to_owned();
        let kept = request.checkpoint_config.iter();
        let kept = kept.map(|one| ("CheckpointConfig.S3Uri", &*one.s3_uri));
        let channels = request.input_data_config.iter();
        let channels = channels.filter_map(|one| Some(("S3DataSource.S3Uri", one.address()?)));
        let output = ("OutputDataConfig.S3OutputPath", &*output.s3_output_path);
        for (what, address) in kept.chain(channels).chain([output]) {
            if s3(address).is_none() {
                return Err(Refusal::validation(format!(
                    "{what} {address:?} is no address of S3's: those are {ADDRESSES}."
                )));
            }
        }
        let tags = tags::taken(&mut input)?;
        let (at, arn) = (now(), caller.arn(Kind::TrainingJob, &name));
        // The id is the job's before there is one: whoever hands it over, and however often, it is one.
        let mut body = json!({"request": input, "transitions": [], "job": Runner::new_id()});
        transit(&mut body, at, "Starting", "Starting the training job");
        let resource = Resource {
            kind: Kind::TrainingJob,
            name,
            arn: arn.clone(),
            created: at,
            modified: at,
            status: IN_PROGRESS.to_owned(),
            body,
        };
        match self.store.create(&resource, &tags) {
            Err(store::Error::Exists(there)) => {
                return Err(Refusal::new(
                    IN_USE,
                    format!(
                        "Training job names must be unique within an AWS account and region, and a training job with this name already exists ({there})"
                    ),
                ));
            }
            other => other?,
        }
        let Some(runner) = self.runner() else {
            self.store.delete(Kind::TrainingJob, &resource.name)?;
            return Err(Refusal::new(
                crate::refusal::INTERNAL,
                "This server keeps no jobs; its log says why.",
            ));
        };
        match self.submit(&runner, &resource) {
            Ok(_) => {}
            Err(RunnerError::Store(JobError::Quota { live })) => {
                self.store.delete(Kind::TrainingJob, &resource.name)?;
                return Err(Refusal::new(
                    LIMIT,
                    format!(
                        "The account-level service limit 'training jobs at the same time' is {live}, with current utilization of {live} and a request delta of 1."
                    ),
                ));
            }
            // It is handed over when somebody looks at it.
            Err(error) => {
                tracing::error!(%error, job = resource.name, "a training job waits");
            }
        }
        Ok(json!({"TrainingJobArn": arn}))
    }

    /// Hands a job to the runner. Done again it changes nothing.
    fn submit(
        &self,
        runner: &Runner,
        resource: &Resource,
    ) -> std::result::Result<Job, RunnerError> {
        let damaged = |why: &str| RunnerError::Store(JobError::Damaged(why.to_owned()));
        let output = &resource.body["request"]["OutputDataConfig"];
        let (output, _) =
            artefact(output, &resource.name).ok_or_else(|| damaged("the output is no address"))?;
        let spec = Spec {
            kind: KIND.to_owned(),
            name: Some(resource.name.clone()),
            priority: 0,
            input: Source {
                bucket: String::new(),
                prefix: String::new(),
                split: Split::Question,
            },
            output,
            question: json!({"name": resource.name, "arn": resource.arn, "created": resource.created}),
            details: Value::Null,
        };
        let id = text(&resource.body, "job");
        let token = Token {
            token: id,
            request: id,
        };
        let job = runner.submit(id.to_owned(), spec, Some(token))?.job();
        self.change(&resource.name, |body| body["submitted"] = json!(true));
        Ok(job)
    }

    /// The job as it is now: what the runner knows of its end is put down.
    fn settled(&self, resource: Resource) -> Result<Resource> {
        if ![IN_PROGRESS, STOPPING].contains(&&*resource.status) {
            return Ok(resource);
        }
        let Some(runner) = self.runner() else {
            return Ok(resource);
        };
        let id = text(&resource.body, "job");
        let found = match runner.job(id) {
            // The process ended before it was handed over.
            Err(RunnerError::Store(JobError::NotFound(_)))
                if resource.body.get("submitted").is_none() && resource.status == IN_PROGRESS =>
            {
                self.submit(&runner, &resource)
            }
            found => found,
        };
        let job = match found {
            Ok(job) => Some(job),
            Err(RunnerError::Store(JobError::NotFound(_))) => None,
            Err(error) => {
                tracing::warn!(%error, job = id, "a training job cannot be looked at");
                return Ok(resource);
            }
        };
        if job.as_ref().is_some_and(|job| job.state.is_live()) {
            self.hasten(&runner, &resource, id);
            return Ok(resource);
        }
        self.finish(resource, job.as_ref())
    }

    /// Puts down how a job ended, which the runner knows of or not.
    fn finish(&self, resource: Resource, job: Option<&Job>) -> Result<Resource> {
        let path = self.checkpoint_path(&resource.name);
        // Before anybody knows that it ended, so that none is left behind. One in a bucket stays, as at AWS.
        if let Err(error) = std::fs::remove_dir_all(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %path.display(), "a checkpoint stays");
        }
        let ended = self
            .store
            .update(Kind::TrainingJob, &resource.name, |found| {
                if found.arn == resource.arn && found.created == resource.created {
                    end(found, job);
                }
                Ok::<_, store::Error>(found.clone())
            })?;
        Ok(ended.unwrap_or(resource))
    }

    /// Stops what was asked to stop and has learned nothing, or does not end. What has a checkpoint and does not run has its turn
    /// yet, to leave what it learned.
    fn hasten(&self, runner: &Runner, resource: &Resource, id: &str) {
        if resource.status != STOPPING {
            return;
        }
        let running = self.running.lock().get(&resource.name).cloned();
        let give_up = match running {
            None => !self.has_kept(resource),
            Some(control) => {
                let asked = now() - resource.modified;
                asked > GRACE && control.began.elapsed().as_millis() > GRACE as u128
            }
        };
        if give_up && let Err(error) = runner.stop(id) {
            // It ended in this moment.
            tracing::debug!(%error, job = id, "a training job is not stopped");
        }
    }

    fn describe(&self, input: &Value) -> Result<Value> {
        let resource = self.settled(self.found(input)?)?;
        Ok(described(&resource))
    }

    fn stop(&self, input: &Value) -> Result<Value> {
        let resource = self.settled(self.found(input)?)?;
        if resource.status == STOPPING {
            return Ok(json!({}));
        }
        let stopping = self
            .store
            .update(Kind::TrainingJob, &resource.name, |found| {
                if found.status != IN_PROGRESS {
                    return Err(Refusal::validation(format!(
                        "The request was rejected because the training job is in status {}.",
                        found.status
                    )));
                }
                let at = now();
                found.status = STOPPING.to_owned();
                found.modified = at;
                transit(&mut found.body, at, "Stopping", "Stopping the training job");
                Ok(found.clone())
            })?;
        if let Some(control) = self.running.lock().get(&resource.name) {
            control.stop.store(true, Ordering::SeqCst);
        }
        if let Some(stopping) = stopping {
            self.settled(stopping)?;
        }
        Ok(json!({}))
    }

    fn delete(&self, input: &Value) -> Result<Value> {
        let resource = self.settled(self.found(input)?)?;
        if [IN_PROGRESS, STOPPING].contains(&&*resource.status) {
            return Err(Refusal::new(
                IN_USE,
                format!(
                    "The training job is in status {}; only one that has ended can be deleted.",
                    resource.status
                ),
            ));
        }
        self.store.delete(Kind::TrainingJob, &resource.name)?;
        Ok(json!({}))
    }

    /// Goes over to a secondary status; whether the job was in it before, and so was interrupted.
    fn enter(&self, name: &str, status: &str, message: &str) -> bool {
        let mut again = false;
        self.change(name, |body| {
            let at = now();
            let known = body["transitions"].as_array();
            again = known.is_some_and(|all| all.iter().any(|one| text(one, "Status") == status));
            let last = known.and_then(|all| all.last());
            let stopping = last.is_some_and(|last| text(last, "Status") == STOPPING);
            if status == "Training" && body.get("started").is_none() {
                body["started"] = json!(at);
            }
            // One that is asked to stop says so until it has.
            if stopping {
                return;
            }
            if again && status == "Downloading" {
                transit(body, at, "Restarting", "Restarting the training job");
            }
            transit(body, at, status, message);
        });
        again
    }

    /// Changes what is known of a job. That it cannot be kept is said in the log: the training goes on.
    fn change(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let changed = self.store.update(Kind::TrainingJob, name, |found| {
            change(&mut found.body);
            found.modified = match found.status.as_str() {
                // Since when it is stopping is when it was changed last.
                STOPPING => found.modified,
                _ => now(),
            };
            Ok::<_, store::Error>(())
        });
        if let Err(error) = changed {
            tracing::error!(%error, job = name, "what became of a training job was not kept");
        }
    }

    fn note_failure(&self, name: &str, why: &str) {
        let why: String = why.chars().take(REASON).collect();
        self.change(name, |body| body["failure"] = json!(why));
    }

    /// Says lines in the job's log.
    fn say<'a>(&self, resource: &Resource, lines: impl IntoIterator<Item = &'a str>) {
        let stream = format!("{}/algo-1-{}", resource.name, resource.created / 1000);
        self.logs.say(TRAINING, &stream, lines);
    }

    fn checkpoint_path(&self, name: &str) -> PathBuf {
        self.folder.join("checkpoints").join(name)
    }

    /// Whether a job has learned something that is kept: in the folder of its checkpoint, or in a bucket, which is not asked.
    fn has_kept(&self, resource: &Resource) -> bool {
        let request = &resource.body["request"];
        let kept = || {
            let mut files = std::fs::read_dir(self.checkpoint_path(&resource.name)).ok()?;
            files.next()
        };
        resource.body.get("started").is_some()
            && (request.get("CheckpointConfig").is_some() || kept().is_some())
    }
}

/// Puts down how a job ended.
fn end(found: &mut Resource, job: Option<&Job>) {
    if ![IN_PROGRESS, STOPPING].contains(&&*found.status) {
        return;
    }
    let at = job.and_then(|job| job.ended).unwrap_or_else(now);
    let state = job.map(|job| job.state);
    // Its time was over before it had learned anything, or after.
    let overdue = match state {
        Some(State::Completed) => found.body["overdue"] == true,
        Some(State::Failed) => found.body["unlearned"] == true,
        _ => false,
    };
    let (status, secondary, message) = match state {
        _ if overdue => (
            STOPPED,
            "MaxRuntimeExceeded",
            "Training job runtime exceeded MaxRuntimeInSeconds provided",
        ),
        Some(State::Completed) if found.status == IN_PROGRESS => {
            (COMPLETED, "Completed", "Training job completed")
        }
        Some(State::Failed) | None if found.status == IN_PROGRESS => {
            (FAILED, "Failed", "Training job failed")
        }
        _ => (STOPPED, "Stopped", "Training job stopped"),
    };
    if status == FAILED && found.body.get("failure").is_none() {
        let why = job.and_then(|job| job.why.as_deref());
        let why = why.unwrap_or("nothing is known of it any more");
        let whose = match why.starts_with(escala_batch::runner::OF_OUTPUT) {
            true => "ClientError",
            false => "InternalServerError",
        };
        let why: String = format!("{whose}: {why}").chars().take(REASON).collect();
        found.body["failure"] = json!(why);
    }
    found.body["artefact"] = json!(state == Some(State::Completed));
    found.body["ended"] = json!(at);
    transit(&mut found.body, at, secondary, message);
    if let Some(last) = found.body["transitions"]
        .as_array_mut()
        .and_then(|all| all.last_mut())
    {
        last["EndTime"] = seconds(at);
    }
    found.status = status.to_owned();
    found.modified = at.max(found.modified);
}

/// The answer about a job.
fn described(resource: &Resource) -> Value {
    let (body, request) = (&resource.body, &resource.body["request"]);
    let mut said = Map::new();
    let mut say = |name: &str, value: Value| said.insert(name.to_owned(), value);
    for name in ECHOED {
        // Clients that check answers take no structure without members.
        let value = request.get(name).filter(|value| match value {
            Value::Object(members) => !members.is_empty(),
            value => !value.is_null(),
        });
        if let Some(value) = value {
            say(name, value.clone());
        }
    }
    let mut output = request["OutputDataConfig"].clone();
    if output.get("KmsKeyId").is_none() {
        output["KmsKeyId"] = json!("");
    }
    let artefact = artefact(&output, &resource.name);
    say("OutputDataConfig", output);
    let mut stopping = request
        .get("StoppingCondition")
        .cloned()
        .unwrap_or(json!({}));
    if stopping.get("MaxRuntimeInSeconds").is_none() {
        stopping["MaxRuntimeInSeconds"] = json!(LONGEST);
    }
    say("StoppingCondition", stopping);
    for name in [
        "EnableNetworkIsolation",
        "EnableInterContainerTrafficEncryption",
        "EnableManagedSpotTraining",
    ] {
        let value = request.get(name).cloned().unwrap_or(json!(false));
        say(name, value);
    }
    if let Some((_, address)) = artefact {
        say("ModelArtifacts", json!({"S3ModelArtifacts": address}));
    }
    say("TrainingJobName", json!(resource.name));
    say("TrainingJobArn", json!(resource.arn));
    say("TrainingJobStatus", json!(resource.status));
    say("SecondaryStatus", json!(secondary(resource)));
    say("SecondaryStatusTransitions", body["transitions"].clone());
    say("CreationTime", seconds(resource.created));
    say("LastModifiedTime", seconds(resource.modified));
    if let Some(why) = body.get("failure") {
        say("FailureReason", why.clone());
    }
    if let Some(metrics) = body.get("metrics") {
        say("FinalMetricDataList", metrics.clone());
    }
    let (started, ended) = (body["started"].as_i64(), body["ended"].as_i64());
    if let Some(started) = started {
        say("TrainingStartTime", seconds(started));
    }
    if let Some(ended) = ended {
        say("TrainingEndTime", seconds(ended));
        // They begin at 1; a job that never trained took none.
        if let Some(started) = started {
            let took = ((ended - started).max(0) as u64).div_ceil(1000).max(1);
            say("TrainingTimeInSeconds", json!(took));
            say("BillableTimeInSeconds", json!(took));
        }
    }
    Value::Object(said)
}

#[cfg(test)]
mod tests;
