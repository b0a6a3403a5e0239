//! What flows ask: the tasks of the command line, answered as the REST door answers them.
//!
//! [`escala_stream_ingest::flow`] reads, keeps the order and commits; it asks an [`Asker`] about the records, which asks the
//! same engine as every door, after whoever waits for an answer. [`differences`] compares the answers of two models.

pub mod differences;

use crate::app::App;
use crate::asked::{self, Asked, DETECTED, LANGUAGE, OfImage, OfText, What, feature_named, find};
use crate::failure::{Failure, chain};
use crate::hosted::rows;
use crate::machine::{Machine, data_folder};
use crate::rest::classify::NO_CLASSIFIER;
use crate::rest::images::classify::NO_CLASSIFIER as NO_IMAGE_CLASSIFIER;
use escala_models::Precision;
use escala_pipelines::{Kind, Options, Priority};
use escala_sagemaker::served::Haste;
use escala_stream_ingest::flow::{
    Answer, External, Failed, Fault, Flows, Input, Model, Predictor, Question, Takes,
};
use escala_stream_ingest::log::Log;
use escala_weights::builtin::SENTIMENT;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use crate::asked::tasks;

/// How long a record may wait for its turn: others come first, and nobody is waiting for it.
const PATIENCE: Duration = Duration::from_secs(600);

/// The task of the configuration that answers a question.
///
/// # Errors
/// The tasks that there are.
pub fn task_of(question: &Question) -> Result<&'static str, String> {
    let asked = find(&question.task)?;
    Ok(match (asked.task, question.language.as_deref()) {
        ("sentiment", Some(language)) if language != LANGUAGE => "sentiment-multilingual",
        (task, _) => task,
    })
}

/// What stands before the name of an endpoint in the name of a task: a hosted model answers then, and records are rows.
pub(crate) const ENDPOINT: &str = "endpoint:";

/// The endpoint that a task names, where it does.
pub(crate) fn endpoint_of(task: &str) -> Option<&str> {
    task.strip_prefix(ENDPOINT).filter(|name| !name.is_empty())
}

/// A task of the command line as flows take it: one of [`tasks`], or `endpoint:NAME` (`endpoint:NAME/MODEL` where it has many).
///
/// # Errors
/// The tasks that there are.
pub fn task(name: &str) -> Result<String, String> {
    match endpoint_of(name) {
        Some(_) => Ok(name.to_owned()),
        None => find(name)
            .map(|asked| asked.name.to_owned())
            .map_err(|why| format!("{why}, and {ENDPOINT}NAME for a hosted model")),
    }
}

/// Asks the engine for flows.
pub struct Asker {
    app: App,
    machine: Arc<Machine>,
    /// Models that have answered, by the task of the configuration.
    models: Mutex<BTreeMap<&'static str, Model>>,
}

impl Asker {
    /// Asks this app, whose tasks are the machine's.
    pub fn new(app: App, machine: Arc<Machine>) -> Self {
        Self {
            app,
            machine,
            models: Mutex::default(),
        }
    }

    /// What an endpoint says of records, which are rows.
    async fn hosted(&self, endpoint: &str, inputs: Vec<Input>) -> Vec<Answer> {
        let count = inputs.len();
        let rows = inputs.into_iter().map(|input| match input {
            Input::Text(text) => text,
            Input::Image(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        });
        let account = &self.app.config.aws.account;
        let asked = rows::of_rows(
            &self.app.sagemaker,
            account,
            endpoint,
            Haste::Now,
            rows.collect(),
        );
        match asked.await {
            Ok(outcomes) => outcomes
                .into_iter()
                .map(|outcome| outcome.map_err(failed))
                .collect(),
            // An endpoint may come back: its records wait.
            Err(failure) => {
                let failed = Failed {
                    fault: Fault::Now,
                    ..failed(failure)
                };
                vec![Err(failed); count]
            }
        }
    }

    async fn answers(&self, asked: Asked, question: &Question, inputs: Vec<Input>) -> Vec<Answer> {
        let options = Options {
            priority: Priority::Streaming,
            deadline: Some(Instant::now() + PATIENCE),
        };
        let language = question.language.as_deref();
        let count = inputs.len();
        let (mut texts, mut images) = (Vec::new(), Vec::new());
        for input in inputs {
            match input {
                Input::Text(text) => texts.push(text),
                Input::Image(bytes) => images.push(bytes),
            }
        }
        let outcomes = match asked.what {
            What::Text(what) if images.is_empty() => {
                asked::of_texts(&self.app, what, language, texts, options).await
            }
            What::Image(what) if texts.is_empty() => {
                Ok(asked::of_images(&self.app, what, images, options).await)
            }
            // The flow reads records as what the question takes.
            _ => Err(Failure::of_kind(
                Kind::Internal,
                "texts and images were taken for each other",
            )),
        };
        match outcomes {
            Ok(outcomes) => outcomes
                .into_iter()
                .map(|outcome| outcome.map_err(failed))
                .collect(),
            Err(failure) => vec![Err(failed(failure)); count],
        }
    }

    /// Learns who answers, once: reading a folder's files takes a while.
    async fn learn(&self, task: &'static str) {
        if self.models.lock().contains_key(task) {
            return;
        }
        let Some(name) = self.machine.model_of(task).map(str::to_owned) else {
            return;
        };
        let (store, named) = (self.machine.store.clone(), name.clone());
        let digest = tokio::task::spawn_blocking(move || {
            let digest = store.digest(&named).map_err(|error| chain(&error))?;
            // Its own classifier is part of the binary.
            let is_built_in = task.starts_with("sentiment") && named == SENTIMENT.base;
            Ok(match is_built_in {
                true => digest.map(|base| SENTIMENT.digest(base)),
                false => digest,
            })
        });
        let digest = digest.await.unwrap_or_else(|error| Err(error.to_string()));
        let digest = digest.unwrap_or_else(|error| {
            tracing::warn!(model = name, error, "a model's digest is not known");
            None
        });
        // The same weights in another precision answer otherwise.
        let digest = digest.map(|digest| match self.machine.precision_of(task) {
            Precision::Full => format!("sha256:{digest}"),
            precision => format!("sha256:{digest}+{precision}"),
        });
        self.models.lock().insert(task, Model { name, digest });
    }
}

impl Predictor for Asker {
    fn takes(&self, question: &Question) -> Result<Takes, String> {
        if endpoint_of(&question.task).is_some() {
            return match question.language {
                Some(_) => Err("an endpoint asks for no language".to_owned()),
                None => Ok(Takes::Text),
            };
        }
        let asked = find(&question.task)?;
        let language = question.language.as_deref();
        match asked.what {
            What::Text(OfText::Feature(name)) => {
                let feature = feature_named(name).map_err(|failure| failure.message)?;
                if let Some(language) = language.filter(|language| *language != DETECTED) {
                    feature.check(language).map_err(|failure| failure.message)?;
                }
                Ok(Takes::Text)
            }
            _ if language.is_some() => Err(format!("`{}` asks for no language", asked.name)),
            What::Text(OfText::Classes) if self.app.classify.is_none() => {
                Err(NO_CLASSIFIER.to_owned())
            }
            What::Text(OfText::Classes | OfText::Embedding) => Ok(Takes::Text),
            What::Image(OfImage::Classes) if self.app.images.classes.is_none() => {
                Err(NO_IMAGE_CLASSIFIER.to_owned())
            }
            What::Image(_) => Ok(Takes::Image),
        }
    }

    fn model(&self, question: &Question) -> Option<Model> {
        if endpoint_of(&question.task).is_some() {
            return Some(Model {
                name: question.task.clone(),
                digest: None,
            });
        }
        let task = task_of(question).ok()?;
        let known = self.models.lock().get(task).cloned();
        known.or_else(|| {
            Some(Model {
                name: self.machine.model_of(task)?.to_owned(),
                digest: None,
            })
        })
    }

    fn predict<'a>(
        &'a self,
        question: &'a Question,
        inputs: Vec<Input>,
    ) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(async move {
            if let Some(endpoint) = endpoint_of(&question.task) {
                return self.hosted(endpoint, inputs).await;
            }
            let asked = match find(&question.task) {
                Ok(asked) => asked,
                Err(message) => {
                    return vec![Err(failed(Failure::invalid(message))); inputs.len()];
                }
            };
            let answers = self.answers(asked, question, inputs).await;
            // Only a model that has answered is there to be read.
            if let (true, Ok(task)) = (answers.iter().any(Result::is_ok), task_of(question)) {
                self.learn(task).await;
            }
            answers
        })
    }
}

/// A failure as flows see it.
fn failed(failure: Failure) -> Failed {
    let fault = match failure.code {
        "overloaded" | "deadline" | "unavailable" => Fault::Now,
        "internal" => Fault::Defect,
        _ => Fault::Record,
    };
    Failed {
        fault,
        code: failure.code.to_owned(),
        message: failure.message,
    }
}

/// The flows of a log, at work.
///
/// # Errors
/// A sentence when their file cannot be read, or one with the settings of another Kafka.
pub fn open(log: &Log, app: App, machine: &Arc<Machine>) -> Result<Flows, String> {
    let path = data_folder(&app.config)?.join("flows.json");
    let files = app.config.kafka.external.iter().map(PathBuf::as_path);
    let external = External::read(files).map_err(|error| format!("`kafka.external`: {error}"))?;
    let asker = Asker::new(app, machine.clone());
    Flows::open(log.clone(), external, path, Arc::new(asker)).map_err(|error| chain(&error))
}
