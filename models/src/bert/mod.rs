//! Encoders of the BERT family (Devlin et al. 2018, arXiv:1810.04805): BERT, DistilBERT, RoBERTa and
//! XLM-RoBERTa, for sentence embeddings and for classifying texts and words.
//!
//! All are the same post-layer-norm transformer; they differ in the names of their tensors, in where positions
//! start and in the head. Reference implementations: `BertModel`, `DistilBertModel` and `RobertaModel` of
//! Hugging Face transformers with their `…ForSequenceClassification` and `…ForTokenClassification`, and
//! sentence-transformers (Reimers and Gurevych 2019, arXiv:1908.10084). What is read is their layout: a folder
//! with `config.json`, `model.safetensors` (32- or 16-bit floats, or the 4-bit blocks of
//! `escala_weights::format::e5s1`) and a tokenizer.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | the network on either way, and the choice between them |
//! | `config.rs` | sizes and choices from `config.json` |
//! | `weights.rs` | tensors by what they are, whatever they are called and however stored |
//! | `cpu.rs` | the fast way on the CPU: packed weights, no padding, a team for the whole network |
//! | `linear.rs` | its linear layers, in full precision or in 8 bits |
//! | `graph.rs` | the plain way in candle operations: for CUDA, and what the fast way is checked against |
//! | `tokenizer.rs`, `unigram.rs` | text to token ids |
//! | `sentence.rs` | sentence embeddings |
//! | `head.rs`, `sequence.rs`, `words.rs` | classifiers of texts and of words |
//! | `masks.rs` | words for what was left out of a text |
//! | `answers.rs` | where a text answers a question |
//! | `adapted.rs` | classifiers of texts that were trained here: a base model with an adapter |

mod adapted;
mod answers;
mod config;
mod cpu;
mod graph;
mod head;
mod linear;
mod masks;
mod sentence;
mod sequence;
mod tokenizer;
mod unigram;
pub(crate) mod weights;
mod words;

pub use adapted::AdaptedClassifier;
pub use answers::{Answer, AnswerFinder, AnswerOptions};
pub(crate) use config::labels;
pub use config::{Config, Family, HiddenAct, Problem};
pub use masks::{Filling, MaskFiller, Masked};
pub use sentence::SentenceEncoder;
pub use sequence::{Classification, SequenceClassifier};
pub use tokenizer::{Place, PlacedTokens, Tokenizer, Tokens};
pub use words::{Span, Strategy, Token, TokenClassifier, WordLabels};

use crate::compute::{Compute, Target};
use crate::error::{Error, Result};
use candle_core::Device;
use escala_weights::Tensors;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weights::Weights;

/// What of the last hidden states is wanted of each sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// The mean over all tokens.
    Mean,
    /// The first token's.
    First,
    /// All, one token after the other.
    All,
}

impl Output {
    /// Takes it from the `[tokens, hidden]` rows of a sequence.
    fn of(self, rows: &[f32], hidden: usize) -> Vec<f32> {
        match self {
            Self::First => rows[..hidden].to_vec(),
            Self::All => rows.to_vec(),
            Self::Mean => {
                let mut mean = vec![0f32; hidden];
                for row in rows.chunks_exact(hidden) {
                    mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
                }
                let count = (rows.len() / hidden) as f32;
                mean.iter_mut().for_each(|x| *x /= count);
                mean
            }
        }
    }
}

/// Which way a network goes.
#[derive(Clone, Copy)]
enum Way<'a> {
    /// The fast one on the CPU, the plain one elsewhere.
    Best(Target<'a>),
    /// The plain one.
    Plain(&'a Device),
}

/// The network up to the last hidden states.
struct Encoder {
    config: Config,
    network: Network,
}

enum Network {
    Cpu(cpu::Encoder),
    Graph(graph::Encoder),
}

impl Encoder {
    fn new(weights: &Weights, way: Way<'_>) -> Result<Self> {
        let network = match way {
            Way::Best(target) if target.device.is_cpu() => {
                Network::Cpu(cpu::Encoder::new(weights, target.precision)?)
            }
            Way::Best(Target { device, .. }) | Way::Plain(device) => {
                Network::Graph(graph::Encoder::new(weights, device)?)
            }
        };
        Ok(Self {
            config: weights.config.clone(),
            network,
        })
    }

    /// Bytes of memory that the loaded network holds.
    fn memory(&self) -> u64 {
        match &self.network {
            Network::Cpu(network) => network.memory(),
            Network::Graph(network) => network.memory(),
        }
    }

    /// Runs the network. Sequences of different lengths share a batch without padding on the CPU; the answer
    /// for a sequence does not depend on the others.
    fn run(
        &self,
        compute: &Compute,
        sequences: &[&[u32]],
        output: Output,
    ) -> Result<Vec<Vec<f32>>> {
        self.run_pairs(compute, sequences, &[], output)
    }

    /// The same for sequences of which each has a second text that begins at a token; one that is not told has none.
    fn run_pairs(
        &self,
        compute: &Compute,
        sequences: &[&[u32]],
        seconds: &[usize],
        output: Output,
    ) -> Result<Vec<Vec<f32>>> {
        let longest = self.config.max_tokens();
        for ids in sequences {
            if ids.is_empty() || ids.len() > longest {
                return Err(Error::unsupported(format!(
                    "a sequence of {} tokens, the network reads 1 to {longest}",
                    ids.len()
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
            Network::Cpu(network) => Ok(network.run(&compute.team, sequences, seconds, output)),
            Network::Graph(network) => network.run(sequences, seconds, output),
        }
    }
}

/// The token that the second text of a sequence begins with; behind all where it has none.
fn second(seconds: &[usize], sequence: usize) -> usize {
    seconds.get(sequence).copied().unwrap_or(usize::MAX)
}

/// The configuration and tensors of a checkpoint in a folder.
fn open(folder: &Path) -> Result<Weights> {
    let config = Config::open(&folder.join("config.json"))?;
    Weights::new(config, Arc::new(Tensors::open(tensor_file(folder)?)?))
}

/// `model.safetensors` of a folder, or what lists the files that stand in for it, or why there is none.
pub(crate) fn tensor_file(folder: &Path) -> Result<PathBuf> {
    for name in ["model.safetensors", escala_weights::parts::FILE] {
        let file = folder.join(name);
        if file.exists() {
            return Ok(file);
        }
    }
    let others = [
        (
            "pytorch_model.bin",
            "only safetensors are read, not PyTorch's pickles; save the model again with `safe_serialization=True`",
        ),
        ("tf_model.h5", "only safetensors are read"),
    ];
    for (other, why) in others {
        if folder.join(other).exists() {
            return Err(Error::unsupported(format!(
                "{} has {other} and no model.safetensors: {why}",
                folder.display()
            )));
        }
    }
    Err(Error::unsupported(format!(
        "{} has no model.safetensors",
        folder.display()
    )))
}

/// Says that each text was shown to an encoder as these tokens.
fn show(compute: &Compute, texts: &[&[u32]]) {
    for (text, tokens) in texts.iter().enumerate() {
        compute.shown.add(text, tokens.len() as u64);
    }
}

/// Calls `work` for each item on the team's threads.
fn each<T: Sync, U: Send>(
    compute: &Compute,
    items: &[T],
    work: impl Fn(&T) -> Result<U> + Sync,
) -> Result<Vec<U>> {
    let slots: Vec<std::sync::Mutex<Option<Result<U>>>> =
        items.iter().map(|_| std::sync::Mutex::default()).collect();
    let lock = |index: usize| {
        let slot: &std::sync::Mutex<_> = &slots[index];
        slot.lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    };
    compute.team.for_each(items.len(), |index| {
        let done = work(&items[index]);
        *lock(index) = Some(done);
    });
    (0..items.len())
        .map(|index| {
            let done = lock(index).take();
            done.expect("`for_each` visits every index before it returns")
        })
        .collect()
}
