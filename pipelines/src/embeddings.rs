//! Sentence embeddings: all-MiniLM-L6-v2, mean pooling, unit length; or the encoder that an operator names, pooled as its
//! folder says.

use crate::classifier::Source;
use crate::error::{Error, Kind, Result};
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit, unavailable};
use escala_models::bert::{SentenceEncoder, Tokenizer, Tokens};
use escala_models::{Compute, Precision};
use escala_weights::{Progress, Store};
use parking_lot::Mutex;

/// The catalogue's name of the encoder.
pub const MODEL: &str = "all-minilm-l6-v2";

/// Numbers in an embedding.
pub const DIMENSIONS: usize = 384;

/// Tokens the encoder reads of a text, as sentence-transformers does for this model.
pub const MAX_TOKENS: usize = 256;

/// Tokens that any encoder is expected to read of a text, at most, when the cost of one is estimated.
const MOST_TOKENS: u64 = 512;

/// One text to embed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingInput {
    /// The text; may be empty.
    pub text: String,
}

/// The embedding of one text.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Numbers of Euclidean length 1; [`DIMENSIONS`] unless another encoder was named.
    pub vector: Vec<f32>,
    /// Tokens read, special ones included; at most [`MAX_TOKENS`] unless another encoder was named.
    pub tokens: usize,
    /// The text had more tokens than the model reads.
    pub truncated: bool,
}

/// Sentence embeddings.
#[derive(Clone, Debug)]
pub struct EmbeddingsTask {
    source: Source,
}

impl EmbeddingsTask {
    /// By the encoder that is named, else by [`MODEL`].
    pub fn new(named: Option<&str>) -> Self {
        Self {
            source: Source::of(named, MODEL),
        }
    }
}

impl Default for EmbeddingsTask {
    fn default() -> Self {
        Self::new(None)
    }
}

/// The loaded encoder with its tokenizer.
pub struct EmbeddingsPipeline {
    tokenizer: Tokenizer,
    encoder: SentenceEncoder,
}

impl Task for EmbeddingsTask {
    type Input = EmbeddingInput;
    type Output = Embedding;
    type Pipeline = EmbeddingsPipeline;

    fn name(&self) -> &'static str {
        "embeddings"
    }

    fn model(&self) -> &str {
        self.source.name()
    }

    fn precision(&self, asked: Precision) -> Precision {
        asked
    }

    fn fetch(
        &self,
        weights: &Store,
        progress: &dyn Progress,
    ) -> std::result::Result<(), escala_weights::Error> {
        self.source.fetch(weights, progress).map(drop)
    }

    fn unit(&self) -> Unit {
        Unit::Tokens
    }

    fn cost(&self, input: &EmbeddingInput) -> u64 {
        // English has four to five bytes a token; other scripts have fewer, and the estimate is low there
        // by at most the factor that a batch may be larger than meant.
        (input.text.len() as u64 / 4 + 2).min(MOST_TOKENS)
    }

    fn limits(&self) -> Limits {
        // Two cores read about 10,000 tokens a second: a batch takes a tenth of a second, the queue holds
        // a dozen seconds of work.
        Limits {
            batch_cost: 1024,
            batch_items: 256,
            queue_items: 8192,
            queue_cost: 128 << 10,
        }
    }

    fn memory_estimate(&self) -> Option<u64> {
        matches!(self.source, Source::Catalogue(_)).then_some(95_000_000)
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<EmbeddingsPipeline> {
        let model = self.source.name();
        let files = self
            .source
            .fetch(context.weights, &escala_weights::Silent)
            .map_err(|e| unavailable(model, e))?;
        let encoder = SentenceEncoder::load(files.dir(), context.target)
            .map_err(|e| unavailable(model, e))?;
        let longest = match self.source {
            Source::Catalogue(_) => MAX_TOKENS,
            Source::Checkpoint(_) => encoder.max_tokens(),
        };
        Ok(EmbeddingsPipeline {
            tokenizer: Tokenizer::load(files.dir(), longest).map_err(|e| unavailable(model, e))?,
            encoder,
        })
    }
}

impl Pipeline for EmbeddingsPipeline {
    type Input = EmbeddingInput;
    type Output = Embedding;

    fn memory(&self) -> u64 {
        self.encoder.memory()
    }

    fn sample(&self) -> EmbeddingInput {
        EmbeddingInput {
            text: "The quick brown fox jumps over the lazy dog.".to_owned(),
        }
    }

    fn run(&self, compute: &Compute, batch: &[EmbeddingInput]) -> Vec<Result<Embedding>> {
        self.embed(compute, batch, true)
    }
}

impl EmbeddingsPipeline {
    /// Embeds texts; where they are not to be of `length_one`, as long as the network makes them.
    pub fn embed(
        &self,
        compute: &Compute,
        batch: &[EmbeddingInput],
        length_one: bool,
    ) -> Vec<Result<Embedding>> {
        let slots: Vec<Mutex<Option<Result<Tokens>>>> =
            batch.iter().map(|_| Mutex::default()).collect();
        compute.team.for_each(batch.len(), |index| {
            let tokens = self.tokenizer.encode(&batch[index].text);
            let tokens = tokens.map_err(|e| {
                Error::new(Kind::Internal, "the text cannot be tokenised").with_source(e)
            });
            *slots[index].lock() = Some(tokens);
        });
        let tokens: Vec<Result<Tokens>> = slots
            .into_iter()
            .map(|slot| {
                slot.into_inner()
                    .expect("`for_each` visits every index before it returns")
            })
            .collect();
        let sequences: Vec<&[u32]> = tokens
            .iter()
            .flatten()
            .map(|tokens| tokens.ids.as_slice())
            .collect();
        let vectors = match length_one {
            true => self.encoder.encode(compute, &sequences),
            false => self.encoder.pool(compute, &sequences),
        };
        let mut vectors = match vectors {
            Ok(vectors) => vectors.into_iter(),
            Err(error) => {
                let error = Error::new(Kind::Internal, "the encoder failed").with_source(error);
                return tokens
                    .into_iter()
                    .map(|tokens| tokens.and(Err(error.clone())))
                    .collect();
            }
        };
        tokens
            .into_iter()
            .enumerate()
            .map(|(item, tokens)| {
                let tokens = tokens?;
                compute.shown.add(item, tokens.ids.len() as u64);
                let vector = vectors.next().unwrap_or_default();
                if vector.is_empty() || vector.iter().any(|x| !x.is_finite()) {
                    return Err(Error::new(
                        Kind::Internal,
                        "the encoder's answer is not a number",
                    ));
                }
                Ok(Embedding {
                    vector,
                    tokens: tokens.ids.len(),
                    truncated: tokens.truncated,
                })
            })
            .collect()
    }
}
