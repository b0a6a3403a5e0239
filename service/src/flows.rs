//! What flows ask: the tasks of the command line, answered as the REST door answers them.
//!
//! [`escala_stream_ingest::flow`] reads, keeps the order and commits; it asks an [`Asker`] about the records, which asks the
//! same engine as every door, after whoever waits for an answer. [`differences`] compares the answers of two models.

pub mod differences;

use crate::app::{App, one};
use crate::failure::{Failure, chain};
use crate::located::located;
use crate::machine::{Machine, data_folder};
use crate::rest::analyze::{self, Feature, Outcome};
use crate::rest::call::predict_list;
use crate::rest::classify::{ClassesAnswer, NO_CLASSIFIER};
use crate::rest::embeddings::EmbeddingAnswer;
use crate::rest::images::bodies::BodiesAnswer;
use crate::rest::images::check_image;
use crate::rest::images::classify::{DEFAULT_CLASSES, NO_CLASSIFIER as NO_IMAGE_CLASSIFIER};
use crate::rest::images::faces::FacesAnswer;
use crate::rest::images::labels::LabelsResponse;
use crate::rest::images::moderation::ModerationAnswer;
use crate::rest::images::text::ImageTextAnswer;
use bytes::Bytes;
use escala_pipelines::bodies::{BodiesInput, MOST};
use escala_pipelines::embeddings::EmbeddingInput;
use escala_pipelines::faces::{FacesInput, FacesOptions};
use escala_pipelines::labels::{LabelsInput, LabelsOptions};
use escala_pipelines::moderation::ModerationInput;
use escala_pipelines::ocr::OcrInput;
use escala_pipelines::{Kind, Options, Priority};
use escala_stream_ingest::flow::{
    Answer, External, Failed, Fault, Flows, Input, Model, Predictor, Question, Takes,
};
use escala_stream_ingest::log::Log;
use escala_weights::builtin::SENTIMENT;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a record may wait for its turn: others come first, and nobody is waiting for it.
const PATIENCE: Duration = Duration::from_secs(600);

/// Images that are asked about at a time.
const IMAGES: usize = 8;

/// The language of texts whose flow does not say one, as everywhere.
const LANGUAGE: &str = "en";
/// The word for a language that is detected for each text.
const DETECTED: &str = "auto";

/// A task that flows can ask.
#[derive(Clone, Copy)]
struct Asked {
    /// Its name on the command line.
    name: &'static str,
    /// The task of the configuration whose model answers.
    task: &'static str,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    /// A feature of `/v1/text/analyze`.
    Feature(&'static str),
    Classes,
    Embedding,
    Labels,
    Faces,
    Text,
    Moderation,
    Bodies,
    ImageClasses,
}

const ASKED: [Asked; 16] = [
    feature("language", "language", "language"),
    feature("entities", "syntax", "entities"),
    feature("key-phrases", "syntax", "key_phrases"),
    feature("syntax", "syntax", "syntax"),
    feature("pii", "pii", "pii"),
    feature("sentiment", "sentiment", "sentiment"),
    feature(
        "targeted-sentiment",
        "targeted-sentiment",
        "targeted_sentiment",
    ),
    feature("toxicity", "toxicity", "toxicity"),
    asked("classify", "classify", What::Classes),
    asked("embeddings", "embeddings", What::Embedding),
    asked("labels", "labels", What::Labels),
    asked("faces", "faces", What::Faces),
    asked("image-text", "image-text", What::Text),
    asked("moderation", "moderation", What::Moderation),
    asked("bodies", "bodies", What::Bodies),
    asked("classify-image", "image-classes", What::ImageClasses),
];

const fn feature(name: &'static str, task: &'static str, feature: &'static str) -> Asked {
    asked(name, task, What::Feature(feature))
}

const fn asked(name: &'static str, task: &'static str, what: What) -> Asked {
    Asked { name, task, what }
}

/// The names of the tasks that flows can ask.
pub fn tasks() -> impl Iterator<Item = &'static str> {
    ASKED.iter().map(|asked| asked.name)
}

fn find(question: &Question) -> Result<Asked, String> {
    let found = ASKED.iter().find(|asked| asked.name == question.task);
    found.copied().ok_or_else(|| {
        let name: String = question.task.chars().take(40).collect();
        let known: Vec<&str> = tasks().collect();
        format!("there is no task `{name}`; there are {}", known.join(", "))
    })
}

/// The task of the configuration that answers a question.
///
/// # Errors
/// The tasks that there are.
pub fn task_of(question: &Question) -> Result<&'static str, String> {
    let asked = find(question)?;
    Ok(match (asked.task, question.language.as_deref()) {
        ("sentiment", Some(language)) if language != LANGUAGE => "sentiment-multilingual",
        (task, _) => task,
    })
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

    async fn answers(&self, asked: Asked, question: &Question, inputs: Vec<Input>) -> Vec<Answer> {
        let options = Options {
            priority: Priority::Streaming,
            deadline: Some(Instant::now() + PATIENCE),
        };
        let count = inputs.len();
        let (mut texts, mut images) = (Vec::new(), Vec::new());
        for input in inputs {
            match input {
                Input::Text(text) => texts.push(text),
                Input::Image(bytes) => images.push(bytes),
            }
        }
        let outcomes = match asked.what {
            What::Feature(_) | What::Classes | What::Embedding => {
                self.texts(asked.what, question, texts, options).await
            }
            _ => Ok(self.images(asked.what, images, options).await),
        };
        match outcomes {
            Ok(outcomes) => outcomes
                .into_iter()
                .map(|outcome| outcome.map_err(failed))
                .collect(),
            Err(failure) => vec![Err(failed(failure)); count],
        }
    }

    async fn texts(
        &self,
        what: What,
        question: &Question,
        texts: Vec<String>,
        options: Options,
    ) -> Result<Vec<Outcome>, Failure> {
        let limits = &self.app.config.limits;
        // Those that are too long are not asked about.
        let most = match what {
            What::Feature(_) => limits.rest_text.get(),
            _ => limits.text.get(),
        };
        let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(texts.len());
        let mut short = Vec::with_capacity(texts.len());
        for text in texts {
            outcomes.push(match text.len() as u64 > most {
                false => {
                    short.push(text);
                    None
                }
                true => {
                    let bytes = text.len();
                    let why = format!("the text has {bytes} bytes; at most {most} are taken");
                    Some(Err(Failure::of_kind(Kind::TooLarge, why)))
                }
            });
        }
        let mut answers = self
            .short_texts(what, question, short, options)
            .await?
            .into_iter();
        let unanswered = || {
            Err(Failure::of_kind(
                Kind::Internal,
                "the prediction has no answer",
            ))
        };
        Ok(outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(|| answers.next().unwrap_or_else(unanswered)))
            .collect())
    }

    async fn short_texts(
        &self,
        what: What,
        question: &Question,
        texts: Vec<String>,
        options: Options,
    ) -> Result<Vec<Outcome>, Failure> {
        let app = &self.app;
        match what {
            What::Feature(name) => {
                let feature = feature_named(name)?;
                let texts: Vec<Arc<str>> = texts.into_iter().map(Arc::from).collect();
                let language = question.language.as_deref().unwrap_or(LANGUAGE);
                let language = Some(language).filter(|language| *language != DETECTED);
                analyze::ask(app, &texts, language, feature, options).await
            }
            What::Classes => {
                let Some(classify) = &app.classify else {
                    return Err(Failure::of_kind(Kind::Unsupported, NO_CLASSIFIER));
                };
                let inputs = texts.iter().map(|text| Arc::from(text.as_str())).collect();
                let found = predict_list(&**classify, inputs, options).await?;
                let answer = |found: Result<_, Failure>| {
                    raw(found.map(|classes| ClassesAnswer::of("", classes)))
                };
                Ok(found.into_iter().map(answer).collect())
            }
            _ => {
                let inputs = texts.into_iter().map(|text| EmbeddingInput { text });
                let found = predict_list(&*app.embeddings, inputs.collect(), options).await?;
                let answer = |found: Result<_, Failure>| raw(found.map(EmbeddingAnswer::from));
                Ok(found.into_iter().map(answer).collect())
            }
        }
    }

    async fn images(&self, what: What, images: Vec<Bytes>, options: Options) -> Vec<Outcome> {
        let ask = |image: Bytes| self.image(what, image, options);
        stream::iter(images.into_iter().map(ask))
            .buffered(IMAGES)
            .collect()
            .await
    }

    async fn image(&self, what: What, image: Bytes, options: Options) -> Outcome {
        let app = &self.app;
        check_image(&image, &app.config.limits)?;
        match what {
            What::Faces => {
                let options_of = FacesOptions {
                    looks: true,
                    gaze: true,
                    ..FacesOptions::default()
                };
                let input = FacesInput {
                    image,
                    options: options_of,
                };
                let found = one(&*app.images.faces, input, options).await;
                shown(found.map(FacesAnswer::from))
            }
            What::Text => {
                let found = one(&*app.images.text, OcrInput { image }, options).await;
                shown(found.map(ImageTextAnswer::from))
            }
            What::Moderation => {
                let image = image.into();
                let found = one(&*app.images.moderation, ModerationInput { image }, options).await;
                shown(found.map(ModerationAnswer::from))
            }
            What::Bodies => {
                let input = BodiesInput { image, most: MOST };
                let found = one(&*app.images.bodies, input, options).await;
                shown(found.map(BodiesAnswer::from))
            }
            What::ImageClasses => {
                let Some(classes) = &app.images.classes else {
                    return Err(Failure::of_kind(Kind::Unsupported, NO_IMAGE_CLASSIFIER));
                };
                let found = one(&**classes, image, options).await;
                shown(found.map(|mut classes| {
                    classes.truncate(DEFAULT_CLASSES);
                    ClassesAnswer::of("", classes)
                }))
            }
            What::Labels | What::Feature(_) | What::Classes | What::Embedding => {
                let input = LabelsInput {
                    image: image.into(),
                    options: LabelsOptions::default(),
                };
                let objects = app.images.objects.as_deref();
                let found = located(&*app.labels, objects, input, options).await;
                shown(found.map(LabelsResponse::from))
            }
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
        let digest = digest.map(|digest| format!("sha256:{digest}"));
        self.models.lock().insert(task, Model { name, digest });
    }
}

impl Predictor for Asker {
    fn takes(&self, question: &Question) -> Result<Takes, String> {
        let asked = find(question)?;
        let language = question.language.as_deref();
        match asked.what {
            What::Feature(name) => {
                let feature = feature_named(name).map_err(|failure| failure.message)?;
                if let Some(language) = language.filter(|language| *language != DETECTED) {
                    feature.check(language).map_err(|failure| failure.message)?;
                }
                Ok(Takes::Text)
            }
            _ if language.is_some() => Err(format!("`{}` asks for no language", asked.name)),
            What::Classes if self.app.classify.is_none() => Err(NO_CLASSIFIER.to_owned()),
            What::Classes | What::Embedding => Ok(Takes::Text),
            What::ImageClasses if self.app.images.classes.is_none() => {
                Err(NO_IMAGE_CLASSIFIER.to_owned())
            }
            _ => Ok(Takes::Image),
        }
    }

    fn model(&self, question: &Question) -> Option<Model> {
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
            let asked = match find(question) {
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

fn feature_named(name: &'static str) -> Result<&'static Feature, Failure> {
    let found = analyze::features(&[name.to_owned()])?;
    found
        .into_iter()
        .next()
        .ok_or_else(|| Failure::invalid(name))
}

fn raw<A: Serialize>(answer: Result<A, Failure>) -> Outcome {
    analyze::raw(answer)
}

fn shown<A: Serialize>(answer: escala_pipelines::Result<A>) -> Outcome {
    raw(answer.map_err(Failure::from))
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
