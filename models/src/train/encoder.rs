//! A BERT encoder (see [`crate::bert`]) that can learn, whole or by low-rank adapters.

use super::ops::{FrozenLinear, Ops};
use super::optimizer::Parameter;
use super::random;
use crate::bert::weights::{Part, Weights, Words};
use crate::bert::{Config, HiddenAct};
use crate::error::{Error, Result};
use candle_core::{Device, Tensor, Var};
use escala_weights::Tensors;
use std::sync::Arc;

/// What of the encoder learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Everything, embeddings included.
    Full,
    /// Low-rank adapters (Hu et al. 2021, arXiv:2106.09685) beside every linear layer: `W + alpha/rank B A`.
    Lora {
        /// Rows of `A`, columns of `B`.
        rank: usize,
        /// Numerator of the adapters' factor.
        alpha: f64,
    },
}

/// Makes a variable of a name, values and a shape, and says whether weight decay applies.
type Learn<'a> = dyn FnMut(String, Vec<f32>, &[usize], bool) -> Result<Var> + 'a;

/// The linear layers of a transformer layer.
pub(crate) const LINEARS: [Part; 6] = [
    Part::Query,
    Part::Key,
    Part::Value,
    Part::AttentionOutput,
    Part::Up,
    Part::Down,
];

/// Outputs and inputs of a linear layer.
pub(crate) fn shape(config: &Config, part: Part) -> (usize, usize) {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    match part {
        Part::Up => (inner, hidden),
        Part::Down => (hidden, inner),
        _ => (hidden, hidden),
    }
}

/// The encoder with what learns and what does not.
pub struct LearningEncoder {
    config: Config,
    device: Device,
    ops: Ops,
    embeddings: Embeddings,
    norm: [Tensor; 2],
    layers: Vec<Layer>,
}

enum Embeddings {
    /// Rows are looked up in the file.
    Frozen { words: Words, positions: Vec<f32> },
    Learning {
        words: Var,
        positions: Var,
        segments: Option<Var>,
    },
}

struct Layer {
    linears: [Linear; 6],
    attention_norm: [Tensor; 2],
    output_norm: [Tensor; 2],
}

enum Linear {
    Learning {
        weight: Var,
        bias: Var,
    },
    Adapted {
        frozen: Arc<FrozenLinear>,
        a: Var,
        b: Var,
        scale: f64,
    },
}

/// Which elements of the activations are dropped in a forward pass.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// Share of the elements.
    pub rate: f32,
    /// Which ones.
    pub seed: u64,
}

impl LearningEncoder {
    /// The encoder of `config` with the weights in `tensors`, and its parameters.
    ///
    /// # Errors
    /// When the tensors do not fit or the device refuses.
    pub fn new(
        config: Config,
        tensors: Arc<Tensors>,
        method: Method,
        seed: u64,
        ops: Ops,
        device: &Device,
    ) -> Result<(Self, Vec<Parameter>)> {
        if let Method::Lora { rank, alpha } = method
            && (rank == 0 || rank > config.hidden_size || !alpha.is_finite())
        {
            return Err(Error::unsupported(format!(
                "adapters of rank {rank} and alpha {alpha} on a width of {}",
                config.hidden_size
            )));
        }
        let mut parameters = Vec::new();
        let mut learn = |name: String, values: Vec<f32>, shape: &[usize], decays| -> Result<Var> {
            let var = Var::from_vec(values, shape, device)?;
            parameters.push(Parameter {
                name,
                var: var.clone(),
                rate: 1.0,
                decays,
            });
            Ok(var)
        };
        if config.hidden_act != HiddenAct::Gelu {
            return Err(Error::unsupported(format!(
                "training with the activation {:?}",
                config.hidden_act
            )));
        }
        let weights = Weights::new(config.clone(), tensors)?;
        let hidden = config.hidden_size;
        let get = |name: &str, shape: &[usize]| -> Result<Vec<f32>> {
            Ok(weights.get(name, shape)?.into_owned())
        };
        let full = method == Method::Full;
        let norm = |module: &str, learn: &mut Learn<'_>| -> Result<[Tensor; 2]> {
            let (gamma, beta) = weights.norm(module)?;
            let mut part = |part: &str, values: Vec<f32>| -> Result<Tensor> {
                let name = format!("{module}.{part}");
                Ok(if full {
                    learn(name, values, &[hidden], false)?.as_tensor().clone()
                } else {
                    Tensor::from_vec(values, hidden, device)?
                })
            };
            let gamma = part("weight", gamma.into_owned())?;
            Ok([gamma, part("bias", beta.into_owned())?])
        };
        let embeddings = if full {
            let mut table = |name: &str, rows: usize| -> Result<Var> {
                let name = weights.module(&format!("embeddings.{name}_embeddings.weight"));
                let values = get(&name, &[rows, hidden])?;
                learn(name, values, &[rows, hidden], true)
            };
            Embeddings::Learning {
                words: table("word", config.vocab_size)?,
                positions: table("position", config.max_position_embeddings)?,
                segments: match config.type_vocab_size {
                    0 => None,
                    kinds => Some(table("token_type", kinds)?),
                },
            }
        } else {
            Embeddings::Frozen {
                words: weights.words()?,
                positions: weights.positions()?,
            }
        };
        let embedding_norm = norm(&weights.module("embeddings.LayerNorm"), &mut learn)?;
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for layer in 0..config.num_hidden_layers {
            let mut linears = Vec::with_capacity(LINEARS.len());
            for (index, part) in LINEARS.into_iter().enumerate() {
                let name = weights.part(layer, part);
                let (outputs, inputs) = shape(&config, part);
                let (weight, bias) = weights.linear(&name, outputs, inputs)?;
                let (weight, bias) = (weight.into_owned(), bias.into_owned());
                linears.push(match method {
                    Method::Full => Linear::Learning {
                        weight: learn(format!("{name}.weight"), weight, &[outputs, inputs], true)?,
                        bias: learn(format!("{name}.bias"), bias, &[outputs], false)?,
                    },
                    Method::Lora { rank, alpha } => {
                        let at = (layer * LINEARS.len() + index) as u64;
                        // As PyTorch's linear layers: uniform within 1/sqrt(inputs); B starts at zero.
                        let a = uniform(
                            rank * inputs,
                            1.0 / (inputs as f64).sqrt(),
                            random(seed, at),
                        );
                        Linear::Adapted {
                            frozen: Arc::new(FrozenLinear::new(
                                &weight, &bias, outputs, inputs, device,
                            )?),
                            a: learn(format!("{name}.lora_A.weight"), a, &[rank, inputs], true)?,
                            b: learn(
                                format!("{name}.lora_B.weight"),
                                vec![0f32; outputs * rank],
                                &[outputs, rank],
                                true,
                            )?,
                            scale: alpha / rank as f64,
                        }
                    }
                });
            }
            let linears: [Linear; 6] = linears
                .try_into()
                .unwrap_or_else(|_| unreachable!("one for each name"));
            layers.push(Layer {
                linears,
                attention_norm: norm(&weights.part(layer, Part::AttentionNorm), &mut learn)?,
                output_norm: norm(&weights.part(layer, Part::OutputNorm), &mut learn)?,
            });
        }
        let encoder = Self {
            embeddings,
            norm: embedding_norm,
            layers,
            device: device.clone(),
            config,
            ops,
        };
        Ok((encoder, parameters))
    }

    /// The operations it runs on.
    pub fn ops(&self) -> &Ops {
        &self.ops
    }

    /// The mean of the last hidden states of each sequence: `[sequences, hidden]`.
    ///
    /// # Errors
    /// When a sequence is empty or too long, an id is unknown, or candle fails.
    pub fn forward(&self, sequences: &[&[u32]], dropout: Option<Dropout>) -> Result<Tensor> {
        let mut starts = vec![0];
        for ids in sequences {
            if ids.is_empty() || ids.len() > self.config.max_tokens() {
                return Err(Error::unsupported(format!(
                    "a sequence of {} tokens, the network reads 1 to {}",
                    ids.len(),
                    self.config.max_tokens()
                )));
            }
            if ids.iter().any(|&id| id as usize >= self.config.vocab_size) {
                return Err(Error::unsupported("a token id that is not known"));
            }
            starts.push(starts[starts.len() - 1] + ids.len());
        }
        let starts: Arc<[usize]> = starts.into();
        let mut site = 0;
        let mut drop = |x: Tensor| -> Result<Tensor> {
            site += 1;
            Ok(match dropout {
                Some(Dropout { rate, seed }) => self.ops.dropout(&x, rate, random(seed, site))?,
                None => x,
            })
        };
        let mut x = drop(self.embed(sequences, &starts)?)?;
        for layer in &self.layers {
            let [query, key, value, output, up, down] = &layer.linears;
            let mixed = self.ops.attention(
                &query.forward(&self.ops, &x)?,
                &key.forward(&self.ops, &x)?,
                &value.forward(&self.ops, &x)?,
                &starts,
                self.config.num_attention_heads,
            )?;
            let mixed = drop(output.forward(&self.ops, &mixed)?)?;
            x = self.normalise(&(mixed + &x)?, &layer.attention_norm)?;
            let inner = self.ops.gelu(&up.forward(&self.ops, &x)?)?;
            let inner = drop(down.forward(&self.ops, &inner)?)?;
            x = self.normalise(&(inner + &x)?, &layer.output_norm)?;
        }
        let tokens = starts[sequences.len()];
        let mut mean = vec![0f32; sequences.len() * tokens];
        for (index, ids) in sequences.iter().enumerate() {
            let row = &mut mean[index * tokens..(index + 1) * tokens];
            row[starts[index]..starts[index + 1]].fill(1.0 / ids.len() as f32);
        }
        let mean = Tensor::from_vec(mean, (sequences.len(), tokens), &self.device)?;
        Ok(mean.matmul(&x)?)
    }

    fn normalise(&self, x: &Tensor, [gamma, beta]: &[Tensor; 2]) -> Result<Tensor> {
        let epsilon = self.config.layer_norm_eps;
        Ok(self.ops.layer_norm(x, gamma, beta, epsilon)?)
    }

    /// Word plus position plus segment of every token, normalised: `[tokens, hidden]`.
    fn embed(&self, sequences: &[&[u32]], starts: &[usize]) -> Result<Tensor> {
        let (tokens, hidden) = (starts[sequences.len()], self.config.hidden_size);
        let x = match &self.embeddings {
            Embeddings::Frozen { words, positions } => {
                let mut x = vec![0f32; tokens * hidden];
                let mut rows = x.chunks_exact_mut(hidden);
                for ids in sequences {
                    let places = self.config.positions(ids, usize::MAX);
                    for ((&id, place), row) in ids.iter().zip(places).zip(&mut rows) {
                        words.row(id as usize, row);
                        let position = &positions[place as usize * hidden..][..hidden];
                        row.iter_mut().zip(position).for_each(|(x, p)| *x += p);
                    }
                }
                Tensor::from_vec(x, (tokens, hidden), &self.device)?
            }
            Embeddings::Learning {
                words,
                positions,
                segments,
            } => {
                let ids: Vec<u32> = sequences
                    .iter()
                    .flat_map(|ids| ids.iter().copied())
                    .collect();
                let places: Vec<u32> = sequences
                    .iter()
                    .flat_map(|ids| self.config.positions(ids, usize::MAX))
                    .collect();
                let ids = Tensor::from_vec(ids, tokens, &self.device)?;
                let places = Tensor::from_vec(places, tokens, &self.device)?;
                let x = (words.index_select(&ids, 0)? + positions.index_select(&places, 0)?)?;
                match segments {
                    Some(segments) => x.broadcast_add(&segments.narrow(0, 0, 1)?)?,
                    None => x,
                }
            }
        };
        self.normalise(&x, &self.norm)
    }
}

impl Linear {
    fn forward(&self, ops: &Ops, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Learning { weight, bias } => x.matmul(&weight.t()?)?.broadcast_add(bias)?,
            Self::Adapted {
                frozen,
                a,
                b,
                scale,
            } => {
                let low = (x.matmul(&a.t()?)? * *scale)?;
                (ops.frozen(x, frozen)? + low.matmul(&b.t()?)?)?
            }
        })
    }
}

/// `count` numbers between `-limit` and `limit`.
pub(crate) fn uniform(count: usize, limit: f64, seed: u64) -> Vec<f32> {
    (0..count)
        .map(|index| {
            let unit = (random(seed, index as u64) >> 11) as f64 / (1u64 << 53) as f64;
            ((2.0 * unit - 1.0) * limit) as f32
        })
        .collect()
}
