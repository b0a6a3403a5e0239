//! Networks that continue texts: GPT-2 (Radford et al. 2019), Llama (Touvron et al. 2023, arXiv:2302.13971), Mistral, Qwen 2
//! and Qwen 3.
//!
//! What is read is a folder in Hugging Face's layout: `config.json`, `model.safetensors` (32- or 16-bit floats; or several such
//! files and `model.safetensors.index.json`) and `tokenizer.json`, and where it is there `generation_config.json`. Weights that are
//! brain floats stay so in memory. Reference implementations: `GPT2LMHeadModel`,
//! `LlamaForCausalLM` and their like, and `generate`, of Hugging Face transformers. They run on the CPU.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | texts in, texts out |
//! | `config.rs` | sizes and choices from `config.json` |
//! | `network.rs` | the network, and what it keeps of a text |
//! | `batch.rs` | several texts that go through it side by side |
//! | `together.rs` | texts of many callers, continued by one thread |
//! | `choose.rs` | which token follows |

mod batch;
mod choose;
mod config;
mod network;
mod together;

pub use batch::Batch;
pub use choose::Choice;
pub use config::{Config, Family, Stretch};
pub use together::{Coming, Together, Told};

use crate::compute::Compute;
use crate::error::{Error, Result, read_json};
use config::Ids;
use escala_weights::Tensors;
use network::{CHUNK, Kept, Network, Part, Workspace};
use serde::Deserialize;
use std::ops::ControlFlow;
use std::path::Path;

/// What a checkpoint says of how it is used, in `generation_config.json`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Defaults {
    /// Most new tokens.
    pub max_new_tokens: Option<usize>,
    /// Most tokens of the text and what is new.
    pub max_length: Option<usize>,
    /// Whether tokens are drawn.
    pub do_sample: Option<bool>,
    /// As in [`Choice`], as the others.
    pub temperature: Option<f32>,
    /// Likeliest tokens.
    pub top_k: Option<usize>,
    /// Their share.
    pub top_p: Option<f32>,
    /// Part of the likeliest's share.
    pub min_p: Option<f32>,
    /// Penalty of what was there.
    pub repetition_penalty: Option<f32>,
    #[serde(rename = "eos_token_id", deserialize_with = "ids")]
    eos: Option<Vec<u32>>,
}

fn ids<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> std::result::Result<Option<Vec<u32>>, D::Error> {
    let ids = Ids::deserialize(from)?.all();
    Ok(Some(ids).filter(|ids| !ids.is_empty()))
}

/// A network that continues texts.
pub struct Continuer {
    tokenizer: tokenizers::Tokenizer,
    network: Network,
    defaults: Defaults,
}

/// How a text is continued.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Continuing {
    /// Most new tokens.
    pub most: usize,
    /// How each is chosen.
    pub choice: Choice,
    /// Tokens that end the text; empty for those of the checkpoint.
    pub ends: Vec<u32>,
}

/// A token that was chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chosen {
    /// Its number.
    pub token: u32,
    /// The natural logarithm of its probability by the network, before sampling's settings.
    pub logarithm: f32,
}

/// Why there are no more tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// There are as many as there may be.
    Length,
    /// One of those that end a text.
    Token,
    /// Who watched had enough.
    Watcher,
}

impl Continuer {
    /// Loads a checkpoint's folder.
    ///
    /// # Errors
    /// When a file is missing, does not fit, or describes what is not built.
    pub fn load(folder: &Path) -> Result<Self> {
        let config = Config::open(&folder.join("config.json"))?;
        let tensors = Tensors::open(crate::bert::tensor_file(folder)?)?;
        let path = folder.join("tokenizer.json");
        let mut tokenizer = tokenizers::Tokenizer::from_file(&path)
            .map_err(|error| Error::Tokenizer(format!("{}: {error}", path.display())))?;
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| Error::Tokenizer(error.to_string()))?;
        Ok(Self {
            tokenizer,
            defaults: defaults(&folder.join("generation_config.json"))?,
            network: Network::new(config, tensors)?,
        })
    }

    /// Sizes of the network.
    pub fn config(&self) -> &Config {
        self.network.config()
    }

    /// What the checkpoint says of how it is used.
    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    /// Bytes of memory that the loaded network holds.
    pub fn memory(&self) -> u64 {
        self.network.memory()
    }

    /// Bytes that a text of so many tokens needs while it is continued.
    pub fn memory_of(&self, tokens: usize) -> u64 {
        let config = self.config();
        let row = 8 * config.num_key_value_heads * config.head_dim * config.num_hidden_layers;
        (row as u64).saturating_mul(tokens as u64)
    }

    /// The tokens of a text; `begun` with those that the beginning of a text has.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn tokens(&self, text: &str, begun: bool) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode_fast(text, begun);
        let encoding = encoding.map_err(|error| Error::Tokenizer(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Tokens as a text, without special ones.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn text(&self, tokens: &[u32]) -> Result<String> {
        let text = self.tokenizer.decode(tokens, true);
        text.map_err(|error| Error::Tokenizer(error.to_string()))
    }

    /// Whether a token is a special one, which texts do not show.
    pub fn is_special(&self, token: u32) -> bool {
        let added = self.tokenizer.get_added_tokens_decoder();
        added.get(&token).is_some_and(|token| token.special)
    }

    /// The numbers that the network has for each token of the vocabulary behind these.
    ///
    /// # Errors
    /// When there are none or more than the network has positions, one is not known, or a number is not finite.
    pub fn scores(&self, compute: &Compute, tokens: &[u32]) -> Result<Vec<f32>> {
        let mut kept = Kept::new(self.config(), self.room(tokens.len())?);
        let (mut workspace, mut scores) = (Workspace::default(), Vec::new());
        let chunks = tokens.chunks(CHUNK);
        let last = chunks.len().saturating_sub(1);
        for (number, tokens) in chunks.enumerate() {
            let mut part = [Part {
                kept: &mut kept,
                tokens,
                told: number == last,
            }];
            let told = self
                .network
                .read(&compute.team, &mut workspace, &mut part)?;
            scores = told.to_vec();
        }
        match scores.iter().all(|score| score.is_finite()) {
            _ if tokens.is_empty() => Err(Error::unsupported("there are no tokens")),
            true => Ok(scores),
            false => Err(Error::NotFinite),
        }
    }

    /// Tokens that follow others, each shown to `watch`, which ends it by `Break`. A token that ends a text is among them.
    ///
    /// # Errors
    /// When there are none before, none may follow, there are more in all than the network has positions, one is not known, or a
    /// number is not finite.
    pub fn follow(
        &self,
        compute: &Compute,
        tokens: &[u32],
        how: &Continuing,
        mut watch: impl FnMut(Chosen) -> ControlFlow<()>,
    ) -> Result<(Vec<Chosen>, Ended)> {
        let (mut batch, mut chosen) = (Batch::default(), Vec::new());
        batch.add(self, tokens.to_vec(), how.clone())?;
        loop {
            for step in batch.step(self, compute)? {
                let (next, ended) = step.next?;
                chosen.push(next);
                let watched = watch(next);
                match ended {
                    Some(Ended::Token) => return Ok((chosen, Ended::Token)),
                    _ if watched.is_break() => return Ok((chosen, Ended::Watcher)),
                    Some(ended) => return Ok((chosen, ended)),
                    None => (),
                }
            }
        }
    }

    /// Tokens that end a text.
    fn ends<'a>(&'a self, how: &'a Continuing) -> &'a [u32] {
        match (how.ends.is_empty(), &self.defaults.eos) {
            (false, _) => &how.ends,
            (true, Some(ends)) => ends,
            (true, None) => &self.config().eos,
        }
    }

    /// So many tokens, if the network has as many positions.
    fn room(&self, tokens: usize) -> Result<usize> {
        let most = self.config().max_position_embeddings;
        match tokens <= most {
            true => Ok(tokens),
            false => Err(Error::unsupported(format!(
                "{tokens} tokens, the network has {most} positions"
            ))),
        }
    }
}

/// What is said of how a checkpoint is used; nothing where the file is not there.
fn defaults(path: &Path) -> Result<Defaults> {
    match read_json(path) {
        Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(Defaults::default())
        }
        read => read,
    }
}
