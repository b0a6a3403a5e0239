//! BERT sentence encoder (Devlin et al. 2018, arXiv:1810.04805), as all-MiniLM-L6-v2 uses it.
//!
//! Post-layer-norm transformer; exact GELU; mean of the last hidden states over all tokens, scaled to
//! length one (Reimers and Gurevych 2019, arXiv:1908.10084). Reference implementations: Hugging Face
//! `BertModel` and sentence-transformers; the tensor names are theirs, without prefix
//! (`encoder.layer.0.attention.self.query.weight` …).
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | configuration, weights by name, the choice of device |
//! | `cpu.rs` | the fast way on the CPU: packed weights, no padding, a team for the whole network |
//! | `graph.rs` | the plain way in candle operations: for CUDA, and what the fast way is checked against |
//! | `tokenizer.rs` | text to token ids |

mod cpu;
mod graph;
mod tokenizer;

pub use tokenizer::{Tokenizer, Tokens};

use crate::compute::Compute;
use crate::error::{Error, Result};
use candle_core::Device;
use escala_weights::Tensors;
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;

/// Sizes of the network, read from `config.json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Config {
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width between the two products of the feed-forward part.
    pub intermediate_size: usize,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Tokens known.
    pub vocab_size: usize,
    /// Kinds of segments.
    pub type_vocab_size: usize,
    /// Added to the variance in layer normalisation.
    pub layer_norm_eps: f64,
    /// Must be `gelu`.
    pub hidden_act: String,
}

impl Config {
    /// Reads and checks `config.json`.
    ///
    /// # Errors
    /// When the file is missing, is not a BERT configuration, or asks for something not built.
    pub fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::File {
            path: path.into(),
            source,
        })?;
        let config: Self = serde_json::from_str(&text).map_err(|source| Error::Config {
            path: path.into(),
            source,
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let sizes = [
            self.hidden_size,
            self.num_hidden_layers,
            self.num_attention_heads,
            self.intermediate_size,
        ];
        if sizes.contains(&0) || sizes.iter().any(|&size| size > 1 << 16) {
            return Err(Error::unsupported(format!(
                "sizes out of range in {self:?}"
            )));
        }
        if self.max_position_embeddings == 0 || self.vocab_size == 0 || self.type_vocab_size == 0 {
            return Err(Error::unsupported(format!("empty embeddings in {self:?}")));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(Error::unsupported(format!(
                "a hidden size of {} is not a multiple of {} heads",
                self.hidden_size, self.num_attention_heads
            )));
        }
        if self.hidden_act != "gelu" {
            return Err(Error::unsupported(format!(
                "activation `{}`",
                self.hidden_act
            )));
        }
        Ok(())
    }

    /// Width of one head.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }
}

/// The tensors of a BERT by their names.
struct Weights {
    tensors: Arc<Tensors>,
    config: Config,
}

impl Weights {
    fn get(&self, name: &str, shape: &[usize]) -> Result<std::borrow::Cow<'_, [f32]>> {
        Ok(self.tensors.f32_of(name, shape)?)
    }

    fn layer(
        &self,
        layer: usize,
        name: &str,
        shape: &[usize],
    ) -> Result<std::borrow::Cow<'_, [f32]>> {
        self.get(&format!("encoder.layer.{layer}.{name}"), shape)
    }
}

/// A BERT that turns token sequences into sentence embeddings.
pub struct SentenceEncoder {
    config: Config,
    network: Network,
}

enum Network {
    Cpu(cpu::Encoder),
    Graph(graph::Encoder),
}

impl SentenceEncoder {
    /// Loads `config.json` and `model.safetensors` of `folder` for `device`.
    ///
    /// # Errors
    /// When a file is missing, does not fit, or the device refuses.
    pub fn load(folder: &Path, device: &Device) -> Result<Self> {
        let config = Config::open(&folder.join("config.json"))?;
        let tensors = Arc::new(Tensors::open(folder.join("model.safetensors"))?);
        Self::new(config, tensors, device)
    }

    /// The network of `config` with the weights in `tensors`.
    ///
    /// # Errors
    /// When the tensors do not fit or the device refuses.
    pub fn new(config: Config, tensors: Arc<Tensors>, device: &Device) -> Result<Self> {
        config.check()?;
        let weights = Weights {
            tensors,
            config: config.clone(),
        };
        let network = match device {
            Device::Cpu => Network::Cpu(cpu::Encoder::new(weights)?),
            _ => Network::Graph(graph::Encoder::new(&weights, device)?),
        };
        Ok(Self { config, network })
    }

    /// The same network in plain candle operations, also on the CPU: the reference of the fast way.
    ///
    /// # Errors
    /// As [`SentenceEncoder::new`].
    pub fn reference(config: Config, tensors: Arc<Tensors>, device: &Device) -> Result<Self> {
        config.check()?;
        let weights = Weights {
            tensors,
            config: config.clone(),
        };
        Ok(Self {
            network: Network::Graph(graph::Encoder::new(&weights, device)?),
            config,
        })
    }

    /// Sizes of the network.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Bytes of memory that the loaded network holds.
    pub fn memory(&self) -> u64 {
        match &self.network {
            Network::Cpu(network) => network.memory(),
            Network::Graph(network) => network.memory(),
        }
    }

    /// One embedding of `hidden_size` values and length one for each sequence of token ids.
    ///
    /// Sequences of different lengths share a batch without padding on the CPU; the answer for a sequence
    /// does not depend on the others.
    ///
    /// # Errors
    /// When a sequence is empty or too long, an id is unknown, or the device fails.
    pub fn encode(&self, compute: &Compute, sequences: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        for ids in sequences {
            if ids.is_empty() || ids.len() > self.config.max_position_embeddings {
                return Err(Error::unsupported(format!(
                    "a sequence of {} tokens, the network reads 1 to {}",
                    ids.len(),
                    self.config.max_position_embeddings
                )));
            }
            if let Some(id) = ids
                .iter()
                .find(|&&id| id as usize >= self.config.vocab_size)
            {
                return Err(Error::unsupported(format!(
                    "token id {id} of {} known",
                    self.config.vocab_size
                )));
            }
        }
        if sequences.is_empty() {
            return Ok(Vec::new());
        }
        match &self.network {
            Network::Cpu(network) => Ok(network.encode(&compute.team, sequences)),
            Network::Graph(network) => network.encode(sequences),
        }
    }
}
