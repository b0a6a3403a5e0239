//! Checkpoints in Hugging Face's layout as models.
//!
//! The image is one of Hugging Face's inference containers, of any version (`huggingface-pytorch-inference`), one of its
//! containers for embeddings (`tei`, `tei-cpu`), or what trained a classifier here. The model is in the folder of the model's
//! data, or is the hub's that `HF_MODEL_ID` names (`HF_MODEL_REVISION` says which state of it). `HF_TASK` says what it is asked;
//! where nothing does, the architecture in its `config.json`. Requests and answers are those of the containers' toolkit.
//!
//! | `HF_TASK` | file | a question, and its answer |
//! | --- | --- | --- |
//! | `text-classification`, `sentiment-analysis` | `classifier.rs` | `{"inputs": "text", "parameters": {"top_k": 2}}`, or pairs, `{"inputs": {"text": "…", "text_pair": "…"}}`: `[{"label": "POSITIVE", "score": 0.99}]` |
//! | `zero-shot-classification` | `hypotheses.rs` | `{"inputs": "text", "parameters": {"candidate_labels": ["a", "b"]}}`: `{"sequence": "text", "labels": ["b", "a"], "scores": [0.9, 0.1]}` |
//! | `token-classification`, `ner` | `words.rs` | `{"inputs": "text", "parameters": {"aggregation_strategy": "first"}}`: `[{"entity_group": "PER", "score": 0.99, "word": "Ada", "start": 0, "end": 3}]` |
//! | `question-answering` | `passages.rs` | `{"inputs": {"question": "…", "context": "…"}, "parameters": {"top_k": 2}}`: `{"score": 0.9, "start": 21, "end": 27, "answer": "London"}` |
//! | `fill-mask` | `masks.rs` | `{"inputs": "She lived in [MASK]."}`: `[{"score": 0.9, "token": 2414, "token_str": "london", "sequence": "she lived in london."}, …]` |
//! | `text-generation` | `continued.rs` | `{"inputs": "Once", "parameters": {"max_new_tokens": 20}}`: `[{"generated_text": "Once upon a time …"}]`; `{"messages": [{"role": "user", "content": "Hi"}]}`, by the checkpoint's own template (`messages.rs`, `chat.rs`): `{"choices": [{"message": {"role": "assistant", "content": "…"}, …}], "usage": {…}}`; with `"stream": true` server-sent events |
//! | `feature-extraction` | `encoder.rs` | `{"inputs": "text"}`: the last hidden states, `[[[0.1, …], …]]`; of `tei` embeddings, `[[0.1, …]]` |
//! | `sentence-embeddings` | `encoder.rs` | `{"inputs": ["text", …]}`: `{"embeddings": [[0.1, …], …]}` |
//! | `sentence-similarity` | `encoder.rs` | `{"inputs": {"source_sentence": "text", "sentences": ["text", …]}}`: `{"similarities": [0.9, …]}` |
//! | `image-classification` | `pictures.rs` | an image, or `{"inputs": "BASE64"}`: `[{"label": "tabby", "score": 0.9}, …]` |
//! | `object-detection` | `things.rs` | an image, or `{"inputs": "BASE64", "parameters": {"threshold": 0.5}}`: `[{"label": "cat", "score": 0.9, "box": {"xmin": 1, …}}, …]` |
//!
//! Sources: huggingface/sagemaker-huggingface-inference-toolkit, transformers' pipelines, huggingface/text-embeddings-inference.

mod chat;
mod classifier;
mod continued;
mod encoder;
mod hypotheses;
mod masks;
mod messages;
mod passages;
mod pictures;
mod things;
mod words;

pub use pictures::Pictures;

use super::alone::{Alone, Beside};
use super::questions::refuse;
use crate::failure::chain;
use escala_models::compute::Device;
use escala_models::{Compute, Precision, Target};
use escala_pipelines::image::ImageLimits;
use escala_pipelines::task::LoadContext;
use escala_sagemaker::served::{Container, Opener, Served, Unanswered};
use escala_weights::{ModelFiles, Silent, Store};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What images of Hugging Face's containers begin with.
const PREFIX: &str = "huggingface-";
/// Containers for embeddings.
const EMBEDDINGS: [&str; 2] = ["tei", "tei-cpu"];
/// What trains classifiers of texts.
pub const TRAINED: &str = "text-classification";
/// Most bytes of a `config.json`.
const CONFIG: u64 = 16 << 20;

/// What a model is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    Classes,
    Hypotheses,
    Words,
    Passages,
    Masks,
    Continued,
    States,
    Embeddings,
    Similarity,
    Picture,
    Things,
}

/// Tasks by their names, the one that is told first.
const TASKS: [(&str, Asks); 13] = [
    ("text-classification", Asks::Classes),
    ("sentiment-analysis", Asks::Classes),
    ("zero-shot-classification", Asks::Hypotheses),
    ("token-classification", Asks::Words),
    ("ner", Asks::Words),
    ("question-answering", Asks::Passages),
    ("fill-mask", Asks::Masks),
    ("text-generation", Asks::Continued),
    ("feature-extraction", Asks::States),
    ("sentence-embeddings", Asks::Embeddings),
    ("sentence-similarity", Asks::Similarity),
    ("image-classification", Asks::Picture),
    ("object-detection", Asks::Things),
];

fn tasks() -> String {
    TASKS.map(|(name, _)| name).join(", ")
}

/// Who opens them.
pub struct Checkpoints {
    /// Where weights come from.
    pub weights: Arc<Store>,
    /// What computes.
    pub device: Device,
    /// What text encoders multiply in.
    pub precision: Precision,
    /// Threads of a model.
    pub threads: usize,
    /// What an image may have.
    pub limits: ImageLimits,
}

impl Checkpoints {
    fn load(&self, container: &Container<'_>) -> Result<Arc<dyn Served>, String> {
        let reference = reference(container)?;
        let context = LoadContext {
            weights: &self.weights,
            target: Target {
                device: &self.device,
                precision: self.precision,
            },
        };
        let asks = self.asks(container, &reference)?;
        let told = |error: escala_pipelines::Error| chain(&error);
        let name = &*reference;
        Ok(match asks {
            Asks::Classes => {
                let all = container.repository == TRAINED;
                self.alone(classifier::Classifier::load(name, all, &context).map_err(told)?)
            }
            Asks::Hypotheses => self.alone(hypotheses::Hypotheses::load(name, &context)?),
            Asks::Words => self.alone(words::Words::load(name, &context)?),
            Asks::Passages => self.alone(passages::Passages::load(name, &context)?),
            Asks::Masks => self.alone(masks::Masks::load(name, &context)?),
            Asks::Continued => {
                let form = match container.repository.contains("-tgi-") {
                    true => continued::Form::Inference,
                    false => continued::Form::Pipeline,
                };
                let texts = continued::Texts::load(name, form, self.compute(), &context)?;
                Arc::new(Beside::new(texts))
            }
            Asks::States => self.alone(encoder::States::load(name, &context)?),
            Asks::Embeddings | Asks::Similarity => {
                let form = match (asks, EMBEDDINGS.contains(&container.repository)) {
                    (Asks::Similarity, _) => encoder::Form::Similarities,
                    (_, true) => encoder::Form::Bare,
                    (_, false) => encoder::Form::Named,
                };
                self.alone(encoder::Sentences::load(name, form, &context).map_err(told)?)
            }
            Asks::Things => {
                self.alone(things::Things::load(name, self.limits, &context).map_err(told)?)
            }
            Asks::Picture => {
                self.alone(pictures::Pictures::load(name, self.limits, &context).map_err(told)?)
            }
        })
    }

    fn alone(&self, model: impl super::alone::Answers) -> Arc<dyn Served> {
        Arc::new(Alone::new(model, self.compute()))
    }

    /// The threads of a model.
    fn compute(&self) -> Compute {
        Compute::new(self.device.clone(), self.threads)
    }

    /// What the model is asked.
    fn asks(&self, container: &Container<'_>, reference: &str) -> Result<Asks, String> {
        if container.repository == TRAINED {
            return Ok(Asks::Classes);
        }
        if EMBEDDINGS.contains(&container.repository) {
            return Ok(Asks::Embeddings);
        }
        if let Some(said) = container.environment.get("HF_TASK") {
            let found = TASKS.iter().find(|(name, _)| name == said);
            return found.map(|(_, asks)| *asks).ok_or_else(|| {
                format!(
                    "HF_TASK {said} is not answered here; these are: {}",
                    tasks()
                )
            });
        }
        // What was trained here has no architecture of its own.
        if Path::new(reference).join("adapter_config.json").is_file() {
            return Ok(Asks::Classes);
        }
        let files = self.weights.any_checkpoint(reference, &Silent);
        let files = files.map_err(|error| chain(&error))?;
        let path = files.path("config.json").map_err(|error| chain(&error))?;
        let length = std::fs::metadata(&path).map_err(|error| error.to_string())?;
        if length.len() > CONFIG {
            return Err("config.json is too large".to_owned());
        }
        let config = std::fs::read(&path).map_err(|error| error.to_string())?;
        let config: Value = serde_json::from_slice(&config)
            .map_err(|error| format!("config.json is not valid JSON: {error}"))?;
        of_architecture(&config).ok_or_else(|| {
            format!(
                "its architecture does not say what it is asked: set HF_TASK to one of {}",
                tasks()
            )
        })
    }
}

/// A checkpoint's files, pulled where they are missing.
fn open(reference: &str, context: &LoadContext<'_>) -> Result<ModelFiles, String> {
    let files = context.weights.checkpoint(reference, &Silent);
    files.map_err(|error| chain(&error))
}

/// A whole number among the parameters, where there is one.
/// Refuses parameters that have no effect here: whoever sends one means something by it.
fn known(parameters: &Value, names: &[&str]) -> Result<(), Unanswered> {
    let Value::Object(members) = parameters else {
        return Ok(());
    };
    match members.keys().find(|name| !names.contains(&name.as_str())) {
        None => Ok(()),
        Some(other) => Err(refuse(
            400,
            format!(
                "parameters.{other} is not known here; these are: {}",
                names.join(", ")
            ),
        )),
    }
}

fn whole(parameters: &Value, name: &str, least: u64) -> Result<Option<usize>, Unanswered> {
    match parameters.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(number) => match number.as_u64().filter(|number| *number >= least) {
            Some(number) => Ok(Some(usize::try_from(number).unwrap_or(usize::MAX))),
            None => Err(refuse(
                400,
                format!("parameters.{name} is a whole number from {least} on"),
            )),
        },
    }
}

/// What a model of this configuration is asked, by the ending of its architecture's name.
fn of_architecture(config: &Value) -> Option<Asks> {
    let architecture = config.get("architectures")?.get(0)?.as_str()?;
    let (_, ending) = architecture.rsplit_once("For").unwrap_or(("", ""));
    if architecture == "GPT2LMHeadModel" {
        return Some(Asks::Continued);
    }
    match ending {
        "SequenceClassification" => Some(Asks::Classes),
        "TokenClassification" => Some(Asks::Words),
        "ImageClassification" => Some(Asks::Picture),
        "ObjectDetection" => Some(Asks::Things),
        "QuestionAnswering" => Some(Asks::Passages),
        "MaskedLM" => Some(Asks::Masks),
        "CausalLM" => Some(Asks::Continued),
        "" => Some(Asks::States),
        _ => None,
    }
}

/// The model that a container names, as the store of weights takes it.
fn reference(container: &Container<'_>) -> Result<String, String> {
    let environment: &BTreeMap<String, String> = container.environment;
    match (container.folder, environment.get("HF_MODEL_ID")) {
        (Some(folder), _) => Ok(folder.display().to_string()),
        (None, Some(id)) => Ok(match environment.get("HF_MODEL_REVISION") {
            Some(revision) if !id.contains('@') => format!("{id}@{revision}"),
            _ => id.clone(),
        }),
        (None, None) => Err(
            "there is no model: give ModelDataUrl, or HF_MODEL_ID in the environment".to_owned(),
        ),
    }
}

impl Opener for Checkpoints {
    fn open(&self, container: &Container<'_>) -> Option<Result<Arc<dyn Served>, String>> {
        self.knows(container.repository)
            .then(|| self.load(container))
    }

    fn knows(&self, repository: &str) -> bool {
        repository.starts_with(PREFIX) || repository == TRAINED || EMBEDDINGS.contains(&repository)
    }

    fn accepts(&self) -> String {
        format!(
            "{PREFIX}… and {} (Hugging Face's containers) with HF_TASK one of {}, the model in ModelDataUrl or named by HF_MODEL_ID",
            EMBEDDINGS.join(", "),
            tasks()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_told_by_the_architecture() {
        for (name, wanted) in [
            ("DistilBertForSequenceClassification", Some(Asks::Classes)),
            ("BertForTokenClassification", Some(Asks::Words)),
            ("BertModel", Some(Asks::States)),
            ("RobertaForMaskedLM", Some(Asks::Masks)),
            ("DistilBertForQuestionAnswering", Some(Asks::Passages)),
            ("ViTForImageClassification", Some(Asks::Picture)),
            ("DetrForObjectDetection", Some(Asks::Things)),
            ("LlamaForCausalLM", Some(Asks::Continued)),
            ("GPT2LMHeadModel", Some(Asks::Continued)),
            ("T5ForConditionalGeneration", None),
        ] {
            let config = serde_json::json!({"architectures": [name]});
            assert_eq!(of_architecture(&config), wanted, "{name}");
        }
        assert_eq!(of_architecture(&serde_json::json!({})), None);
    }

    #[test]
    fn models_are_named_by_folder_or_by_the_hubs_name() {
        let named = |folder: Option<&Path>, variables: &[(&str, &str)]| {
            let variables = variables.iter();
            let environment = variables
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            reference(&Container {
                repository: "huggingface-pytorch-inference",
                environment: &environment,
                folder,
            })
        };
        let hub = [("HF_MODEL_ID", "org/name"), ("HF_MODEL_REVISION", "v2")];
        assert_eq!(named(None, &hub).as_deref(), Ok("org/name@v2"));
        assert_eq!(named(None, &hub[..1]).as_deref(), Ok("org/name"));
        assert_eq!(named(Some(Path::new("/m")), &hub).as_deref(), Ok("/m"));
        assert!(named(None, &[]).is_err());
    }
}
