//! Classifiers of texts as models: a checkpoint in Hugging Face's layout, or what `text-classification` trained.
//!
//! The image is one of Hugging Face's inference containers, of any version. The model is in the folder of the model's data, or
//! is the hub's that `HF_MODEL_ID` names. Requests and answers are those of its toolkit:
//! `{"inputs": "text", "parameters": {"top_k": 2}}` and `[{"label": "POSITIVE", "score": 0.99}]`.

use super::questions::{Shape, Texts, answers, refuse, texts};
use escala_models::Compute;
use escala_models::compute::Device;
use escala_pipelines::classifier::TextClassifier;
use escala_pipelines::task::LoadContext;
use escala_sagemaker::served::{Asked, Container, Opener, Said, Served, Unanswered};
use escala_weights::Store;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What images of Hugging Face's containers begin with.
const PREFIX: &str = "huggingface-";
/// What trains classifiers of texts.
pub const TRAINED: &str = "text-classification";
/// Tasks that are answered.
const TASKS: [&str; 2] = ["text-classification", "sentiment-analysis"];
/// Requests of a model that wait for it; more are refused.
const WAITING: usize = 64;
/// Texts that the network sees at a time.
const AT_ONCE: usize = 32;

/// Who opens them.
pub struct Classifiers {
    /// Where weights come from.
    pub weights: Arc<Store>,
    /// What computes.
    pub device: Device,
    /// Threads of a model.
    pub threads: usize,
}

impl Classifiers {
    fn load(&self, container: &Container<'_>) -> Result<Arc<dyn Served>, String> {
        let environment = |name: &str| container.environment.get(name).map(String::as_str);
        if let Some(task) = environment("HF_TASK").filter(|task| !TASKS.contains(task)) {
            return Err(format!(
                "HF_TASK {task} is not answered here; {} are",
                TASKS.join(" and ")
            ));
        }
        let reference = match (container.folder, environment("HF_MODEL_ID")) {
            (Some(folder), _) => folder.display().to_string(),
            (None, Some(id)) => id.to_owned(),
            (None, None) => {
                return Err(
                    "there is no model: give ModelDataUrl, or HF_MODEL_ID in the environment"
                        .to_owned(),
                );
            }
        };
        let context = LoadContext {
            weights: &self.weights,
            device: &self.device,
        };
        let opened = TextClassifier::named(&reference, &context);
        let classifier = opened.map_err(|error| crate::failure::chain(&error))?;
        Ok(Arc::new(Classifier {
            all: container.repository == TRAINED,
            model: Arc::new(Model {
                labels: classifier.labels().to_vec(),
                memory: classifier.memory(),
                inner: Mutex::new((classifier, Compute::new(self.device.clone(), self.threads))),
            }),
            places: Arc::new(Semaphore::new(WAITING)),
        }))
    }
}

impl Opener for Classifiers {
    fn open(&self, container: &Container<'_>) -> Option<Result<Arc<dyn Served>, String>> {
        let own = container.repository.starts_with(PREFIX) || container.repository == TRAINED;
        own.then(|| self.load(container))
    }

    fn accepts(&self) -> String {
        format!(
            "{PREFIX}… (Hugging Face's containers) with HF_TASK {}, the model in ModelDataUrl or named by HF_MODEL_ID",
            TASKS.join(" or ")
        )
    }
}

struct Model {
    labels: Vec<String>,
    memory: u64,
    /// One request at a time: the network has all threads then.
    inner: Mutex<(TextClassifier, Compute)>,
}

struct Classifier {
    /// Whether all labels are told where nobody says how many.
    all: bool,
    model: Arc<Model>,
    places: Arc<Semaphore>,
}

impl Model {
    fn classify(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Unanswered> {
        let (classifier, compute) = &mut *self.inner.lock();
        let mut scores = Vec::with_capacity(texts.len());
        for some in texts.chunks(AT_ONCE) {
            let some: Vec<&str> = some.iter().map(String::as_str).collect();
            let found = classifier.classify(compute, &some);
            scores.extend(found.map_err(|error| {
                tracing::error!(
                    error = crate::failure::chain(&error),
                    "a hosted classifier failed"
                );
                refuse(500, "the classifier failed; the server's log says why")
            })?);
        }
        Ok(scores)
    }
}

impl Classifier {
    /// How many labels are told of each text, and whether they were asked for.
    fn most(&self, parameters: &Value) -> Result<(usize, bool), Unanswered> {
        let all = self.model.labels.len();
        match parameters.get("top_k") {
            None if self.all => Ok((all, true)),
            None => Ok((1, false)),
            Some(Value::Null) => Ok((all, true)),
            Some(most) => match most.as_u64() {
                Some(most) if most > 0 => Ok((most.min(all as u64) as usize, true)),
                _ => Err(refuse(400, "parameters.top_k is a whole number above 0")),
            },
        }
    }

    fn row(&self, scores: &[f32], most: usize, list: bool) -> Result<Box<RawValue>, Unanswered> {
        let mut ranked: Vec<(usize, f32)> = scores.iter().copied().enumerate().collect();
        ranked.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
        let told = ranked.iter().take(most).map(|(label, score)| {
            serde_json::json!({"label": self.model.labels.get(*label), "score": score})
        });
        let mut told: Vec<Value> = told.collect();
        let value = match (list, told.pop()) {
            (false, Some(only)) => only,
            (_, last) => Value::Array(told.into_iter().chain(last).collect()),
        };
        to_raw_value(&value).map_err(|error| refuse(500, error.to_string()))
    }

    async fn answer(&self, asked: Asked) -> Result<Said, Unanswered> {
        let Texts {
            texts,
            shape,
            parameters,
        } = texts(asked.content_type.as_deref(), &asked.body)?;
        let (most, list) = self.most(&parameters)?;
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return Err(refuse(503, "too many requests wait for this model"));
        };
        let model = self.model.clone();
        let found = tokio::task::spawn_blocking(move || {
            let found = model.classify(&texts);
            drop(place);
            found
        });
        let found = found.await.map_err(|error| {
            tracing::error!(%error, "a hosted classifier broke off");
            refuse(500, "the classifier broke off; the server's log says why")
        })??;
        let rows: Result<Vec<_>, _> = found
            .iter()
            .map(|scores| self.row(scores, most, list))
            .collect();
        let rows = rows?;
        match shape {
            // One text: the toolkit answers its labels in one list.
            Shape::One if !list => answers(Shape::Inputs, asked.accept.as_deref(), &rows),
            shape => answers(shape, asked.accept.as_deref(), &rows),
        }
    }
}

impl Served for Classifier {
    fn invoke(&self, asked: Asked) -> BoxFuture<'_, Result<Said, Unanswered>> {
        Box::pin(self.answer(asked))
    }

    fn memory(&self) -> u64 {
        self.model.memory
    }
}
