//! ToxBlock 0.1.2: six kinds of toxicity in English texts.
//!
//! Embeddings of the 19,999 most frequent words, a bidirectional LSTM of 50 units each way (Hochreiter and Schmidhuber
//! 1997; Schuster and Paliwal 1997), the largest value of each unit over time, two dense layers. Trained on the comments
//! of the Jigsaw Toxic Comment Classification Challenge. Reference implementation: Keras 2 on the package's own file
//! (`tests/golden/toxicity.py`).
//!
//! The network always takes [`STEPS`] steps: shorter texts are preceded by blanks (word 0), and these are computed
//! like words. Tensors: `embedding`, `{forward,backward}.{kernel,recurrent,bias}` with the gates input, forget,
//! candidate and output side by side, `dense.{kernel,bias}`, `output.{kernel,bias}`; kernels are `[inputs, outputs]`.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | the weights by name, the choice of device |
//! | `cpu.rs` | the fast way on the CPU: packed weights, rows in step, blanks computed once |
//! | `graph.rs` | the plain way in candle operations: for CUDA, and what the fast way is checked against |
//! | `words.rs` | text to words |

mod cpu;
mod graph;
mod words;

pub use words::Words;

use crate::compute::Compute;
use crate::error::{Error, Result};
use candle_core::Device;
use escala_weights::Tensors;
use std::borrow::Cow;
use std::path::Path;

/// Steps that the network takes.
pub const STEPS: usize = 100;
/// Words of the embedding table, the blank included.
const WORDS: usize = 20_000;
/// Width of an embedding.
const EMBEDDING: usize = 50;
/// Units of the LSTM in each direction.
const UNITS: usize = 50;
/// Width between the two dense layers.
const HIDDEN: usize = 50;

/// What the scores are probabilities of, in their order: the labels of the training data.
pub const LABELS: [&str; 6] = [
    "toxic",
    "severe_toxic",
    "obscene",
    "threat",
    "insult",
    "identity_hate",
];

/// One probability for each of [`LABELS`].
pub type Scores = [f32; LABELS.len()];

/// The tensors by their names.
struct Weights<'a> {
    embedding: Cow<'a, [f32]>,
    /// Forward, backward.
    directions: [Direction<'a>; 2],
    dense: Dense<'a>,
    output: Dense<'a>,
}

struct Direction<'a> {
    kernel: Cow<'a, [f32]>,
    recurrent: Cow<'a, [f32]>,
    bias: Cow<'a, [f32]>,
}

struct Dense<'a> {
    kernel: Cow<'a, [f32]>,
    bias: Cow<'a, [f32]>,
}

impl<'a> Weights<'a> {
    fn of(tensors: &'a Tensors) -> Result<Self> {
        let get = |name: &str, shape: &[usize]| tensors.f32_of(name, shape);
        let direction = |name: &str| -> Result<Direction<'a>> {
            Ok(Direction {
                kernel: get(&format!("{name}.kernel"), &[EMBEDDING, 4 * UNITS])?,
                recurrent: get(&format!("{name}.recurrent"), &[UNITS, 4 * UNITS])?,
                bias: get(&format!("{name}.bias"), &[4 * UNITS])?,
            })
        };
        let dense = |name: &str, inputs: usize, outputs: usize| -> Result<Dense<'a>> {
            Ok(Dense {
                kernel: get(&format!("{name}.kernel"), &[inputs, outputs])?,
                bias: get(&format!("{name}.bias"), &[outputs])?,
            })
        };
        Ok(Self {
            embedding: get("embedding", &[WORDS, EMBEDDING])?,
            directions: [direction("forward")?, direction("backward")?],
            dense: dense("dense", 2 * UNITS, HIDDEN)?,
            output: dense("output", HIDDEN, LABELS.len())?,
        })
    }
}

/// The network with its words.
pub struct Classifier {
    words: Words,
    network: Network,
}

enum Network {
    Cpu(Box<cpu::Network>),
    Graph(graph::Network),
}

impl Classifier {
    /// Loads `words.json` and `model.safetensors` of `folder` for `device`.
    ///
    /// # Errors
    /// When a file is missing, does not fit, or the device refuses.
    pub fn load(folder: &Path, device: &Device) -> Result<Self> {
        let tensors = Tensors::open(folder.join("model.safetensors"))?;
        let weights = Weights::of(&tensors)?;
        Ok(Self {
            words: Words::open(&folder.join("words.json"), WORDS)?,
            network: match device {
                Device::Cpu => Network::Cpu(Box::new(cpu::Network::new(&weights))),
                _ => Network::Graph(graph::Network::new(&weights, device)?),
            },
        })
    }

    /// The same network in plain candle operations, also on the CPU: the reference of the fast way.
    ///
    /// # Errors
    /// As [`Classifier::load`].
    pub fn reference(folder: &Path, device: &Device) -> Result<Self> {
        let tensors = Tensors::open(folder.join("model.safetensors"))?;
        Ok(Self {
            words: Words::open(&folder.join("words.json"), WORDS)?,
            network: Network::Graph(graph::Network::new(&Weights::of(&tensors)?, device)?),
        })
    }

    /// The words that the network reads.
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// Bytes of memory that the loaded network and its words hold.
    pub fn memory(&self) -> u64 {
        self.words.memory()
            + match &self.network {
                Network::Cpu(network) => network.memory(),
                Network::Graph(network) => network.memory(),
            }
    }

    /// The scores of each sequence of at most [`STEPS`] words. The answer for a sequence does not depend on the
    /// others.
    ///
    /// # Errors
    /// When a sequence is too long, a word is unknown, the device fails, or a score is not a number.
    pub fn scores(&self, compute: &Compute, sequences: &[&[u32]]) -> Result<Vec<Scores>> {
        for words in sequences {
            if words.len() > STEPS {
                return Err(Error::unsupported(format!(
                    "a sequence of {} words, the network reads {STEPS}",
                    words.len()
                )));
            }
            if let Some(word) = words.iter().find(|&&word| word as usize >= WORDS) {
                return Err(Error::unsupported(format!("word {word} of {WORDS} known")));
            }
        }
        if sequences.is_empty() {
            return Ok(Vec::new());
        }
        let scores = match &self.network {
            Network::Cpu(network) => network.scores(&compute.team, sequences),
            Network::Graph(network) => network.scores(sequences)?,
        };
        match scores.iter().flatten().all(|score| score.is_finite()) {
            true => Ok(scores),
            false => Err(Error::NotFinite),
        }
    }
}
