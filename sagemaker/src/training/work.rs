//! Training jobs at work: the runner's job reads the resource, trains, and leaves the archive of the model.
//!
//! A training has threads of its own, which go behind those that answer requests. The thread of the runner looks after it
//! meanwhile: whether the job is to rest, whether it was asked to stop, and whether its time is over.

use super::channels;
use super::checkpoints::{self, Checkpoints};
use super::records;
use super::trainer::{Failure, Lesson};
use super::{Inner, Request};
use crate::Refusal;
use crate::archive;
use crate::names::{Kind, now, repository};
use crate::served::Container;
use crate::store::Resource;
use escala_batch::behind::behind;
use escala_batch::job::{Job, Spec};
use escala_batch::runner::Trouble;
use escala_batch::work::{Bounds, Collected, Documents, Telling, Whole, Work, Writing};
use escala_learn::Watch;
use fancy_regex::Regex;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How often the runner's thread looks after a training.
const LOOK: Duration = Duration::from_millis(100);
/// The least time between two notes of how long a training has taken.
const APART: Duration = Duration::from_secs(10);
/// Bytes that are copied at a time.
const PIECE: usize = 256 << 10;
/// Most metrics of a job, as at AWS.
const METRICS: usize = 40;
/// What a job says that begins with a checkpoint.
const GOES_ON: &str = "goes on from the last checkpoint";
/// How often a training is taken up where the machine cannot.
const TRIES: u32 = 3;

/// What is shared between a training and who looks after it.
pub(super) struct Control {
    /// When it was taken up.
    pub began: Instant,
    /// Ends with what was learned so far.
    pub stop: AtomicBool,
    /// Why: its time was over.
    pub overdue: AtomicBool,
    /// Ends at once and is taken up again later.
    rest: AtomicBool,
    /// The part that is done, in parts of [`WHOLE`].
    done: AtomicU32,
}

impl Control {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            stop: AtomicBool::new(false),
            overdue: AtomicBool::new(false),
            rest: AtomicBool::new(false),
            done: AtomicU32::new(0),
        }
    }
}

const WHOLE: u32 = 1_000_000;
/// Hyperparameters of XGBoost's container that ask for a model for each of several parts of the rows.
const FOLDS: [&str; 2] = ["_kfold", "_num_cv_round"];

impl Work for Inner {
    fn bounds(&self, _: &Spec) -> Bounds {
        Bounds {
            document: u64::MAX,
            documents: 1,
            bytes: u64::MAX,
        }
    }

    fn whole(&self) -> Option<&dyn Whole> {
        Some(self)
    }

    fn ended(&self, job: &Job) {
        let name = job.spec.question["name"].as_str().unwrap_or_default();
        let kept = self.store.get(Kind::TrainingJob, name);
        let settled = kept.map_err(Refusal::from).and_then(|kept| match kept {
            Some(kept) if kept.body["job"] == *job.id => self.finish(kept, Some(job)).map(drop),
            _ => Ok(()),
        });
        if let Err(error) = settled {
            tracing::warn!(%error, job = name, "how a training job ended is not known yet");
        }
    }
}

impl Whole for Inner {
    fn collect(
        &self,
        spec: &Spec,
        _: &mut dyn Documents,
        progress: &Telling<'_>,
        write: &mut Writing<'_>,
    ) -> Result<Collected, Trouble> {
        let name = spec.question["name"].as_str().unwrap_or_default();
        let control = Arc::new(Control::new());
        // Before its state is read: whoever asks it to stop tells the one or the other.
        self.running.lock().insert(name.to_owned(), control.clone());
        let outcome = self.train(spec, name, &control, progress, write);
        self.running.lock().remove(name);
        outcome
    }
}

impl Inner {
    /// Trains a job, and writes its model to where the job's output is.
    fn train(
        &self,
        spec: &Spec,
        name: &str,
        control: &Control,
        progress: &Telling<'_>,
        write: &mut Writing<'_>,
    ) -> Result<Collected, Trouble> {
        let stored = |error| Trouble::Now(format!("the training job cannot be read: {error}"));
        let resource = self.store.get(Kind::TrainingJob, name).map_err(stored)?;
        let Some(resource) = resource.filter(|found| spec.question["arn"] == *found.arn) else {
            return Err(Trouble::Fails("the training job was deleted".to_owned()));
        };
        if resource.status != super::IN_PROGRESS {
            if !self.has_kept(&resource) {
                return Err(Trouble::Fails("the training job was stopped".to_owned()));
            }
            // The process ended before it had: what was learned until the last checkpoint is left, as it would have been.
            control.stop.store(true, Ordering::SeqCst);
        }
        let mut tries = 0;
        let outcome = loop {
            tries += 1;
            match self.run(&resource, control, progress) {
                Err(Failure::Now(why)) if tries < TRIES => {
                    tracing::warn!(job = name, why, "a training job is begun again");
                }
                outcome => break outcome,
            }
        };
        let failed = |why: String| {
            self.note_failure(name, &why);
            self.say(&resource, [why.as_str()]);
            Trouble::Fails(why)
        };
        match outcome {
            // Not tried again from here: some of it may be written.
            Ok(folders) => folders.leave(write).map(|()| Collected::default()),
            Err(_) if control.rest.load(Ordering::SeqCst) => Err(Trouble::Rest),
            Err(Failure::Client(why)) => Err(failed(format!("ClientError: {why}"))),
            Err(Failure::Algorithm(why)) => Err(failed(format!("AlgorithmError: {why}"))),
            Err(Failure::Now(why)) => Err(failed(format!("InternalServerError: {why}"))),
            Err(Failure::Stopped) => {
                // Before there was anything to keep.
                if control.overdue.load(Ordering::SeqCst) {
                    self.change(name, |body| body["unlearned"] = json!(true));
                }
                Err(Trouble::Fails("the training job was stopped".to_owned()))
            }
        }
    }
}

/// Folders of a training, removed with it.
struct Folders(PathBuf);

impl Folders {
    fn new(root: &Path, job: &str) -> std::io::Result<Self> {
        let own = Self(root.join(job));
        // What a process that was killed left.
        own.clear();
        std::fs::create_dir_all(own.model())?;
        std::fs::create_dir_all(own.scratch())?;
        Ok(own)
    }

    fn model(&self) -> PathBuf {
        self.0.join("model")
    }

    fn scratch(&self) -> PathBuf {
        self.0.join("scratch")
    }

    fn archive(&self) -> PathBuf {
        self.0.join("model.tar.gz")
    }

    /// Writes the archive to where the job's output is.
    fn leave(&self, write: &mut Writing<'_>) -> Result<(), Trouble> {
        let disk = |error: std::io::Error| {
            Trouble::Now(format!(
                "the model that was learned cannot be read: {error}"
            ))
        };
        let mut file = File::open(self.archive()).map_err(disk)?;
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece).map_err(disk)? {
                0 => return Ok(()),
                read => write(0, &piece[..read])?,
            }
        }
    }

    fn clear(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, folder = %self.0.display(), "a folder of a training stays");
        }
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Inner {
    /// Learns, and packs what was learned.
    fn run(
        &self,
        resource: &Resource,
        control: &Control,
        progress: &Telling<'_>,
    ) -> Result<Folders, Failure> {
        let name = &resource.name;
        let disk = |error: std::io::Error| {
            Failure::Now(format!(
                "the folder of the training cannot be used: {error}"
            ))
        };
        let request = Request::of(resource)
            .map_err(|why| Failure::Algorithm(format!("the request cannot be read: {why}")))?;
        let again = self.enter(name, "Downloading", "Downloading input data");
        if again {
            self.say(resource, ["the training was interrupted and goes on"]);
        }
        let began = Instant::now();
        let spent = Duration::from_millis(resource.body["spent"].as_u64().unwrap_or(0));
        let limit = request.stopping_condition.max_runtime_in_seconds;
        let limit = limit.unwrap_or(super::LONGEST);
        let folders = Folders::new(&self.folder.join("trainings"), name).map_err(disk)?;
        let mut notes = Notes {
            inner: self,
            resource,
            patterns: request.patterns(),
            metrics: BTreeMap::new(),
        };
        std::thread::scope(|scope| {
            let (tell, told) = channel();
            let (notes, folders, request) = (&mut notes, &folders, &request);
            // What reads tables calls itself for each column that lies in another.
            let thread = std::thread::Builder::new()
                .name("training".to_owned())
                .stack_size(escala_batch::STACK);
            let thread = thread.spawn_scoped(scope, move || {
                behind();
                let learned = self.learn(resource, request, folders, control, notes);
                // Whoever looks after it waits for nothing else.
                let _ = tell.send(());
                learned
            });
            let thread = thread.map_err(disk)?;
            let mut saved = Instant::now();
            while let Err(RecvTimeoutError::Timeout) = told.recv_timeout(LOOK) {
                let done = control.done.load(Ordering::Relaxed);
                if progress(f64::from(done) / f64::from(WHOLE)).is_break() {
                    control.rest.store(true, Ordering::SeqCst);
                }
                let taken = spent + began.elapsed();
                if taken > Duration::from_secs(limit) && !control.stop.load(Ordering::SeqCst) {
                    control.overdue.store(true, Ordering::SeqCst);
                    control.stop.store(true, Ordering::SeqCst);
                }
                // So that a process that is killed again and again does not train for ever.
                if saved.elapsed() > APART {
                    saved = Instant::now();
                    self.change(name, |body| body["spent"] = json!(taken.as_millis() as u64));
                }
            }
            match thread.join() {
                Ok(learned) => learned,
                Err(_) => Err(Failure::Algorithm(
                    "the algorithm broke off; the server's log says where".to_owned(),
                )),
            }
        })?;
        if control.rest.load(Ordering::SeqCst) {
            return Err(Failure::Stopped);
        }
        let metrics: Vec<Value> = notes
            .metrics
            .iter()
            .map(|(name, (value, at))| {
                json!({"MetricName": name, "Value": value, "Timestamp": crate::names::seconds(*at)})
            })
            .collect();
        let overdue = control.overdue.load(Ordering::SeqCst);
        self.change(name, |body| {
            if !metrics.is_empty() {
                body["metrics"] = Value::from(metrics);
            }
            body["overdue"] = json!(overdue);
        });
        self.enter(name, "Uploading", "Uploading generated training model");
        let path = folders.archive();
        let packed = File::create(&path).map_err(disk)?;
        archive::pack(&folders.model(), packed)
            .map_err(|error| Failure::Now(format!("the model cannot be packed: {error}")))?;
        Ok(folders)
    }

    fn learn(
        &self,
        resource: &Resource,
        request: &Request,
        folders: &Folders,
        control: &Control,
        notes: &mut Notes<'_>,
    ) -> Result<(), Failure> {
        let image = request.image();
        let repository = repository(image);
        let trainer = self.trainer(repository).ok_or_else(|| {
            Failure::Client(format!(
                "nothing here trains the image {image:?}; what is trained: {}",
                self.repositories().join(", ")
            ))
        })?;
        let script = |name: &&String| name.starts_with("sagemaker_");
        if let Some(name) = request.hyper_parameters.keys().find(script) {
            return Err(Failure::Client(format!(
                "the hyperparameter {name} asks for a script to be run; only the algorithms of the server are trained"
            )));
        }
        let mut given = request.hyper_parameters.clone();
        for name in FOLDS {
            if given.get(name).is_some_and(|said| said.trim() != "1") {
                return Err(Failure::Client(format!(
                    "the hyperparameter {name} asks for cross-validation, which is not done here: train a job for each fold"
                )));
            }
        }
        // What SageMaker's own parts tell each other.
        given.retain(|name, _| !name.starts_with('_'));
        let mut channels = Vec::new();
        for asked in &request.input_data_config {
            let found = channels::find(&*self.objects, asked)?;
            let (files, bytes) = (found.files.len(), found.bytes());
            notes.line(&format!(
                "channel {}: {files} objects, {bytes} bytes",
                found.name
            ));
            channels.push(found);
        }
        let identity = checkpoints::identity(resource, image, &given, &channels);
        let stopped = || control.stop.load(Ordering::SeqCst) || control.rest.load(Ordering::SeqCst);
        for channel in &mut channels {
            if trainer.images() && records::are_in(channel) {
                records::unpack(&*self.objects, channel, stopped)?;
                let (name, images) = (&channel.name, channel.files.len());
                notes.line(&format!("channel {name}: {images} images in record files"));
            }
        }
        let learning = || {
            self.enter(
                &resource.name,
                "Training",
                "Training image download completed. Training in progress.",
            );
        };
        let (model, scratch) = (folders.model(), folders.scratch());
        let kept = self.checkpoint_path(&resource.name);
        std::fs::create_dir_all(&kept).map_err(|error| {
            Failure::Now(format!(
                "the folder of the checkpoint cannot be made: {error}"
            ))
        })?;
        let lesson = Lesson {
            hyperparameters: &given,
            channels: &channels,
            folder: &model,
            scratch: &scratch,
            checkpoint: &kept,
            most_bytes: self.options.most_bytes,
            objects: &*self.objects,
            learning: &learning,
        };
        let container = Container {
            repository,
            environment: &request.environment,
            folder: None,
        };
        let remote = request.checkpoint_config.as_ref();
        let remote = remote.map(|one| one.s3_uri.clone());
        let mut checkpoints = Checkpoints::new(self, kept.clone(), remote, identity);
        if checkpoints.fetch_files() {
            notes.line(GOES_ON);
        }
        let mut onlooker = Onlooker {
            notes,
            control,
            checkpoints: &mut checkpoints,
        };
        let learned = self
            .pool
            .install(|| trainer.train(&container, &lesson, &mut onlooker));
        // However it ended, others may go on from there.
        onlooker.keep_files();
        learned
    }
}

/// What a training says.
struct Notes<'a> {
    inner: &'a Inner,
    resource: &'a Resource,
    /// `MetricDefinitions`.
    patterns: Vec<(String, Regex)>,
    /// The last value of each metric, and when.
    metrics: BTreeMap<String, (f64, i64)>,
}

impl Notes<'_> {
    fn line(&mut self, line: &str) {
        self.inner.say(self.resource, line.lines());
        for (name, pattern) in &self.patterns {
            // One that gives up has found nothing.
            let found = pattern.captures(line).ok().flatten();
            let value = found.and_then(|found| found.get(1)?.as_str().parse::<f64>().ok());
            if let Some(value) = value.filter(|value| value.is_finite()) {
                self.metrics.insert(name.clone(), (value, now()));
            }
        }
    }
}

/// Looks on while a trainer learns.
struct Onlooker<'a, 'b, 'c> {
    notes: &'a mut Notes<'b>,
    control: &'a Control,
    checkpoints: &'a mut Checkpoints<'c>,
}

impl Onlooker<'_, '_, '_> {
    fn keep_files(&mut self) {
        if let Err(why) = self.checkpoints.keep_files() {
            self.notes
                .line(&format!("the checkpoint was not kept: {why}"));
        }
    }
}

impl Watch for Onlooker<'_, '_, '_> {
    fn log(&mut self, line: &str) {
        self.notes.line(line);
    }

    fn metric(&mut self, name: &str, value: f64) {
        let metrics = &mut self.notes.metrics;
        if value.is_finite() && (metrics.len() < METRICS || metrics.contains_key(name)) {
            metrics.insert(name.to_owned(), (value, now()));
        }
    }

    fn progress(&mut self, done: u64, total: u64) {
        let part = done as f64 / total.max(1) as f64;
        let part = (part.clamp(0.0, 1.0) * f64::from(WHOLE)) as u32;
        self.control.done.store(part, Ordering::Relaxed);
    }

    fn stopped(&mut self) -> bool {
        if self.checkpoints.files_due() {
            self.keep_files();
        }
        self.control.stop.load(Ordering::SeqCst) || self.control.rest.load(Ordering::SeqCst)
    }

    fn checkpoint(&mut self, bytes: &mut dyn FnMut() -> Vec<u8>) {
        if !self.checkpoints.due() && !self.stopped() {
            return;
        }
        if let Err(why) = self.checkpoints.keep(&bytes()) {
            self.notes
                .line(&format!("the checkpoint was not kept: {why}"));
        }
    }

    fn resume(&mut self) -> Option<Vec<u8>> {
        let kept = self.checkpoints.read()?;
        self.notes.line(GOES_ON);
        Some(kept)
    }
}

/// Trainings that are at work, by the names of their jobs.
pub(super) type Running = Mutex<BTreeMap<String, Arc<Control>>>;
