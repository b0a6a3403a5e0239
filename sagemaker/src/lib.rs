//! SageMaker: training jobs, models, endpoints and transform jobs, as they are kept and what they do.
//!
//! | file | what |
//! | --- | --- |
//! | `names.rs` | who asks, ARNs, images' names |
//! | `refusal.rs` | what is answered instead, in SageMaker's words |
//! | `store.rs` | what is kept, in a SQLite file |
//! | `lists.rs` | filters, order and pages of lists |
//! | `logs.rs` | what jobs say, as CloudWatch Logs shows it |
//! | `served.rs` | the contract of models that answer, and of who opens them |
//! | `archive.rs` | models as they are kept: gzipped tars |
//! | `learned.rs`, `threads.rs` | models of algorithms on tables and texts, behind their images |
//! | `training/` | training jobs |
//! | `models/` | models: what is kept of them, and those that are open |
//! | `endpoints/` | endpoints: what is kept of them, and the threads that deploy them |
//! | `invoke.rs` | invocations: which model answers |
//! | `capture.rs` | questions and answers that are kept |
//! | `asynchronous.rs` | questions that are answered later |
//! | `hosting.rs` | models and endpoints, all together |
//! | `tags.rs` | tags of all of it |
//! | `transform/` | transform jobs: whole objects are asked about, by the job runner |
//!
//! It knows the operations and no protocol: requests are JSON values that were checked against the service model, answers are
//! JSON values again.

pub mod archive;
pub mod asynchronous;
pub mod capture;
pub mod endpoints;
pub mod hosting;
pub mod invoke;
pub mod learned;
pub mod lists;
pub mod logs;
pub mod models;
pub mod names;
pub mod refusal;
pub mod served;
pub mod store;
pub mod tags;
#[cfg(test)]
mod testing;
mod threads;
pub mod training;
pub mod transform;

pub use hosting::Hosting;
pub use names::{Caller, Kind};
pub use refusal::Refusal;

use escala_batch::runner::Runner;
use escala_batch::work::Work;
use escala_objects::WritableStore;
use learned::Learned;
use logs::Logs;
use serde_json::Value;
use served::Opener;
use std::path::Path;
use std::sync::Arc;
use store::Store;
use tokio::runtime::Handle;
use training::{Tables, Texts, Trainer, Trainings};
use transform::Transforms;

/// How long lines of logs are kept that nothing was added to.
const LOGS_KEPT: i64 = 90 * 24 * 3600 * 1000;

/// What jobs and models may take.
#[derive(Clone)]
pub struct Settings {
    /// Training jobs.
    pub training: training::Options,
    /// Models and endpoints.
    pub hosting: hosting::Options,
    /// Threads that models of tables answer on, all together.
    pub threads: usize,
}

/// All of it.
pub struct SageMaker {
    logs: Arc<Logs>,
    trainings: Trainings,
    transforms: Arc<Transforms>,
    hosting: Hosting,
}

impl SageMaker {
    /// What is kept in a folder, or a beginning there; one process at a time may have it open. Trainers and openers are beside those of
    /// tables; endpoints answer on the runtime. Its jobs are those of a runner
    /// that is told of [`SageMaker::works`] and comes later ([`SageMaker::attach`]).
    ///
    /// # Errors
    /// A sentence: what is in the folder cannot be used, or the machine gives no threads.
    pub fn open(
        folder: &Path,
        objects: Arc<dyn WritableStore>,
        trainers: Vec<Box<dyn Trainer>>,
        openers: Vec<Arc<dyn Opener>>,
        runtime: Handle,
        settings: Settings,
    ) -> Result<Self, String> {
        let opened = |error: store::Error| match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        let store = Arc::new(Store::open(folder).map_err(opened)?);
        let logs = Arc::new(Logs::open(folder).map_err(opened)?);
        logs.forget(names::now() - LOGS_KEPT).map_err(opened)?;
        let own: [Box<dyn Trainer>; 2] = [Box::new(Tables), Box::new(Texts)];
        let trainers = own.into_iter().chain(trainers).collect();
        let trainings = Trainings::new(
            store.clone(),
            logs.clone(),
            objects.clone(),
            folder,
            trainers,
            settings.training,
        )?;
        let mut hosting = settings.hosting;
        hosting.logs = Some(logs.clone());
        let learned: Arc<dyn Opener> = Arc::new(Learned::new(settings.threads));
        let openers = std::iter::once(learned).chain(openers).collect();
        let hosting = Hosting::open(
            store.clone(),
            objects.clone(),
            folder.join("hosting"),
            openers,
            hosting,
            runtime,
        );
        let hosting = hosting.map_err(|error| format!("{}: {error}", folder.display()))?;
        let models = hosting.models().clone();
        let open: transform::Open = Arc::new(move |name, environment| {
            let opened = models.open_for_batch(name, environment);
            opened.map_err(|error| error.to_string())
        });
        let transforms = Transforms::new(store, logs.clone(), objects, open);
        Ok(Self {
            logs,
            trainings,
            transforms,
            hosting,
        })
    }

    /// What a runner does for its jobs, by their kinds.
    pub fn works(&self) -> Vec<(String, Arc<dyn Work>)> {
        let transforms = (transform::KIND.to_owned(), self.transforms.work());
        vec![self.trainings.work(), transforms]
    }

    /// Hands jobs to a runner from now on, and those that it does not know yet.
    ///
    /// # Errors
    /// What is kept cannot be used.
    pub fn attach(&self, runner: &Arc<Runner>) -> refusal::Result<()> {
        self.trainings.attach(runner)?;
        self.transforms.attach(runner)
    }

    /// Sees to it that jobs that have ended are known to have ended.
    ///
    /// # Errors
    /// What is kept cannot be used.
    pub fn settle(&self) -> refusal::Result<()> {
        self.trainings.settle()
    }

    /// Models and endpoints.
    pub fn hosting(&self) -> &Hosting {
        &self.hosting
    }

    /// What jobs say.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Answers an operation, whose input was checked against the service model. It waits for the disk.
    ///
    /// # Errors
    /// What is answered instead.
    pub fn call(&self, caller: &Caller, operation: &str, input: Value) -> refusal::Result<Value> {
        if training::OPERATIONS.contains(&operation) {
            return self.trainings.call(caller, operation, input);
        }
        let transforms = || self.transforms.call(caller, operation, &input);
        let hosting = || self.hosting.call(caller, operation, &input);
        match transforms().or_else(hosting) {
            Some(answer) => answer,
            None => Err(Refusal::new(
                refusal::INTERNAL,
                format!("{operation} has no handler"),
            )),
        }
    }
}
