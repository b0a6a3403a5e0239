//! Sentence embeddings: all-MiniLM-L6-v2, mean pooling, unit length.

use crate::error::{Error, Kind, Result};
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit, unavailable};
use escala_models::Compute;
use escala_models::bert::{SentenceEncoder, Tokenizer, Tokens};
use parking_lot::Mutex;

/// The catalogue's name of the encoder.
pub const MODEL: &str = "all-minilm-l6-v2";

/// Numbers in an embedding.
pub const DIMENSIONS: usize = 384;

/// Tokens the encoder reads of a text, as sentence-transformers does for this model.
pub const MAX_TOKENS: usize = 256;

/// One text to embed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingInput {
    /// The text; may be empty.
    pub text: String,
}

/// The embedding of one text.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// 384 numbers, Euclidean length 1.
    pub vector: Vec<f32>,
    /// Tokens read, special ones included; at most 256.
    pub tokens: usize,
    /// The text had more tokens than the model reads.
    pub truncated: bool,
}

/// Sentence embeddings.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbeddingsTask;

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
        MODEL
    }

    fn unit(&self) -> Unit {
        Unit::Tokens
    }

    fn cost(&self, input: &EmbeddingInput) -> u64 {
        // English has four to five bytes a token; other scripts have fewer, and the estimate is low there
        // by at most the factor that a batch may be larger than meant.
        (input.text.len() as u64 / 4 + 2).min(MAX_TOKENS as u64)
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
        Some(95_000_000)
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<EmbeddingsPipeline> {
        let files = context
            .weights
            .ensure(MODEL, &escala_weights::Silent)
            .map_err(|e| unavailable(MODEL, e))?;
        let tokenizer = files
            .path("tokenizer.json")
            .map_err(|e| unavailable(MODEL, e))?;
        Ok(EmbeddingsPipeline {
            tokenizer: Tokenizer::open(&tokenizer, MAX_TOKENS)
                .map_err(|e| unavailable(MODEL, e))?,
            encoder: SentenceEncoder::load(files.dir(), context.device)
                .map_err(|e| unavailable(MODEL, e))?,
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
        let vectors = self.encoder.encode(compute, &sequences);
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
            .map(|tokens| {
                let tokens = tokens?;
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
