//! Encoders of texts: their last hidden states, embeddings, and how alike texts are.

use super::super::alone::{Answers, broke, told, wanted};
use super::super::questions::{Shape, answers, refuse, texts};
use super::open;
use crate::failure::chain;
use escala_models::Compute;
use escala_models::bert::{SentenceEncoder, Tokenizer};
use escala_pipelines::embeddings::{EmbeddingInput, EmbeddingsPipeline, EmbeddingsTask};
use escala_pipelines::task::{LoadContext, Pipeline, Task};
use escala_sagemaker::served::{Asked, Said, Unanswered};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// Texts that the network sees at a time.
const AT_ONCE: usize = 32;
/// Most numbers of hidden states that a request is answered with.
const MOST: usize = 1 << 24;

fn raw(value: &impl Serialize) -> Result<Box<RawValue>, Unanswered> {
    to_raw_value(value).map_err(|error| refuse(500, error.to_string()))
}

/// The last hidden states of texts, as transformers' pipeline `feature-extraction` answers them.
pub struct States {
    tokenizer: Tokenizer,
    encoder: SentenceEncoder,
}

impl States {
    /// What is named.
    ///
    /// # Errors
    /// A sentence: it is no encoder, or not there.
    pub fn load(reference: &str, context: &LoadContext<'_>) -> Result<Self, String> {
        let files = open(reference, context)?;
        let encoder = SentenceEncoder::load(files.dir(), context.target);
        let encoder = encoder.map_err(|error| chain(&error))?;
        let longest = encoder.config().max_tokens();
        let tokenizer = Tokenizer::load(files.dir(), longest);
        Ok(Self {
            tokenizer: tokenizer.map_err(|error| chain(&error))?,
            encoder,
        })
    }
}

impl Answers for States {
    fn answer(&mut self, compute: &Compute, asked: &Asked) -> Result<Said, Unanswered> {
        let asked_about = texts(asked.content_type.as_deref(), &asked.body)?;
        let width = self.encoder.config().hidden_size;
        let mut rows = Vec::with_capacity(asked_about.items.len());
        let mut numbers = 0_usize;
        for some in asked_about.items.chunks(AT_ONCE) {
            wanted(asked)?;
            let tokens = some.iter().map(|text| self.tokenizer.encode(text));
            let tokens: Vec<_> = tokens
                .collect::<escala_models::Result<_>>()
                .map_err(|error| broke(&error))?;
            let sequences: Vec<&[u32]> = tokens.iter().map(|tokens| &*tokens.ids).collect();
            let states = self.encoder.states(compute, &sequences);
            for states in states.map_err(|error| broke(&error))? {
                numbers = numbers.saturating_add(states.len());
                if numbers > MOST {
                    return Err(refuse(
                        400,
                        format!(
                            "an answer has at most {MOST} numbers: ask about fewer texts at a time"
                        ),
                    ));
                }
                if states.iter().any(|state| !state.is_finite()) {
                    return Err(refuse(500, "the encoder's answer is not a number"));
                }
                // A text is a batch of one.
                rows.push(raw(&[states.chunks(width).collect::<Vec<_>>()])?);
            }
        }
        answers(asked_about.answered(), asked.accept.as_deref(), &rows)
    }

    fn memory(&self) -> u64 {
        self.encoder.memory()
    }
}

/// How embeddings are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `{"embeddings": …}`, as the toolkit does.
    Named,
    /// `[[…], …]`, as the containers for embeddings do.
    Bare,
    /// `{"similarities": […]}` of one sentence and others.
    Similarities,
}

/// Embeddings of texts.
pub struct Sentences {
    pipeline: EmbeddingsPipeline,
    form: Form,
}

/// How texts are embedded, as the containers for embeddings are told.
struct How {
    /// Whether embeddings have length one.
    normalize: bool,
    /// Whether texts may be cut; they are where nothing is said.
    truncate: Option<bool>,
}

impl Default for How {
    fn default() -> Self {
        Self {
            normalize: true,
            truncate: None,
        }
    }
}

impl How {
    /// As a request says it beside its `inputs`; bodies that are no object of JSON say nothing.
    fn of(body: &[u8]) -> Result<Self, Unanswered> {
        #[derive(Default, Deserialize)]
        struct Said {
            normalize: Option<serde_json::Value>,
            truncate: Option<serde_json::Value>,
        }
        let object = body.trim_ascii_start().starts_with(b"{");
        let said: Option<Said> = object.then(|| serde_json::from_slice(body).ok()).flatten();
        let said = said.unwrap_or_default();
        let flag = |name: &str, value: Option<serde_json::Value>| match value {
            None | Some(serde_json::Value::Null) => Ok(None),
            Some(serde_json::Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(refuse(400, format!("{name} is true or false"))),
        };
        Ok(Self {
            normalize: flag("normalize", said.normalize)?.unwrap_or(true),
            truncate: flag("truncate", said.truncate)?,
        })
    }
}

#[derive(Deserialize)]
struct Compared {
    inputs: Sides,
}

#[derive(Deserialize)]
struct Sides {
    source_sentence: String,
    sentences: Vec<String>,
}

impl Sentences {
    /// What is named.
    ///
    /// # Errors
    /// It is no encoder, or not there.
    pub fn load(
        reference: &str,
        form: Form,
        context: &LoadContext<'_>,
    ) -> escala_pipelines::Result<Self> {
        let pipeline = EmbeddingsTask::new(Some(reference)).load(context)?;
        Ok(Self { pipeline, form })
    }

    fn vectors(
        &self,
        compute: &Compute,
        texts: Vec<String>,
        how: &How,
        asked: &Asked,
    ) -> Result<Vec<Vec<f32>>, Unanswered> {
        let inputs = texts.into_iter().map(|text| EmbeddingInput { text });
        let inputs: Vec<EmbeddingInput> = inputs.collect();
        let mut vectors = Vec::with_capacity(inputs.len());
        for some in inputs.chunks(AT_ONCE) {
            wanted(asked)?;
            for found in self.pipeline.embed(compute, some, how.normalize) {
                let found = found.map_err(|error| told(&error))?;
                if found.truncated && how.truncate == Some(false) {
                    return Err(refuse(
                        413,
                        format!(
                            "a text has more than the {} tokens that are read, and truncate is false",
                            found.tokens
                        ),
                    ));
                }
                vectors.push(found.vector);
            }
        }
        Ok(vectors)
    }

    fn similarities(&self, compute: &Compute, asked: &Asked) -> Result<Said, Unanswered> {
        let Compared { inputs } = serde_json::from_slice(&asked.body).map_err(|error| {
            refuse(
                400,
                format!(
                    "the request is not {{\"inputs\": {{\"source_sentence\": …, \"sentences\": […]}}}}: {error}"
                ),
            )
        })?;
        let how = How::default();
        let mut vectors = self.vectors(compute, vec![inputs.source_sentence], &how, asked)?;
        let source = vectors.pop().unwrap_or_default();
        let others = self.vectors(compute, inputs.sentences, &how, asked)?;
        // All have length one.
        let dot = |other: &Vec<f32>| other.iter().zip(&source).map(|(a, b)| a * b).sum::<f32>();
        let similarities: Vec<f32> = others.iter().map(dot).collect();
        let said = raw(&serde_json::json!({"similarities": similarities}))?;
        answers(Shape::One, None, &[said])
    }
}

impl Answers for Sentences {
    fn answer(&mut self, compute: &Compute, asked: &Asked) -> Result<Said, Unanswered> {
        if self.form == Form::Similarities {
            return self.similarities(compute, asked);
        }
        let asked_about = texts(asked.content_type.as_deref(), &asked.body)?;
        let how = How::of(&asked.body)?;
        let vectors = self.vectors(compute, asked_about.items, &how, asked)?;
        let accept = asked.accept.as_deref();
        match (self.form, asked_about.shape) {
            (Form::Named, Shape::One | Shape::Inputs) => {
                let said = match &vectors[..] {
                    [one] if !asked_about.list => raw(&serde_json::json!({"embeddings": one}))?,
                    all => raw(&serde_json::json!({"embeddings": all}))?,
                };
                answers(Shape::One, accept, &[said])
            }
            (form, shape) => {
                let rows = vectors.iter().map(|vector| match form {
                    Form::Named => raw(&serde_json::json!({"embeddings": vector})),
                    _ => raw(vector),
                });
                let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
                let shape = match shape {
                    Shape::One => Shape::Inputs,
                    shape => shape,
                };
                answers(shape, accept, &rows)
            }
        }
    }

    fn memory(&self) -> u64 {
        self.pipeline.memory()
    }
}
