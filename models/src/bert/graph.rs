//! The network in plain candle operations, for any device.

use super::{Config, Weights};
use crate::error::Result;
use candle_core::{D, DType, Device, IndexOp, Tensor};
use candle_nn::{Embedding, LayerNorm, Linear, Module};

/// A BERT encoder on a device; sequences are padded to the longest of a batch and masked.
pub(super) struct Encoder {
    words: Embedding,
    positions: Tensor,
    segment: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
    config: Config,
    device: Device,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    up: Linear,
    down: Linear,
    output_norm: LayerNorm,
}

impl Encoder {
    pub(super) fn new(weights: &Weights, device: &Device) -> Result<Self> {
        let config = weights.config.clone();
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let tensor = |name: &str, shape: &[usize]| -> Result<Tensor> {
            Ok(Tensor::from_slice(
                &weights.get(name, shape)?,
                shape,
                device,
            )?)
        };
        let norm = |name: &str| -> Result<LayerNorm> {
            let (gamma, beta) = (
                tensor(&format!("{name}.weight"), &[hidden])?,
                tensor(&format!("{name}.bias"), &[hidden])?,
            );
            Ok(LayerNorm::new(gamma, beta, config.layer_norm_eps))
        };
        let linear = |name: &str, outputs: usize, inputs: usize| -> Result<Linear> {
            let weight = tensor(&format!("{name}.weight"), &[outputs, inputs])?;
            Ok(Linear::new(
                weight,
                Some(tensor(&format!("{name}.bias"), &[outputs])?),
            ))
        };
        let layers = (0..config.num_hidden_layers)
            .map(|layer| {
                let at = |name: &str| format!("encoder.layer.{layer}.{name}");
                Ok(Layer {
                    query: linear(&at("attention.self.query"), hidden, hidden)?,
                    key: linear(&at("attention.self.key"), hidden, hidden)?,
                    value: linear(&at("attention.self.value"), hidden, hidden)?,
                    attention_output: linear(&at("attention.output.dense"), hidden, hidden)?,
                    attention_norm: norm(&at("attention.output.LayerNorm"))?,
                    up: linear(&at("intermediate.dense"), inner, hidden)?,
                    down: linear(&at("output.dense"), hidden, inner)?,
                    output_norm: norm(&at("output.LayerNorm"))?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            words: Embedding::new(
                tensor(
                    "embeddings.word_embeddings.weight",
                    &[config.vocab_size, hidden],
                )?,
                hidden,
            ),
            positions: tensor(
                "embeddings.position_embeddings.weight",
                &[config.max_position_embeddings, hidden],
            )?,
            segment: tensor(
                "embeddings.token_type_embeddings.weight",
                &[config.type_vocab_size, hidden],
            )?
            .i(0)?,
            norm: norm("embeddings.LayerNorm")?,
            layers,
            device: device.clone(),
            config,
        })
    }

    pub(super) fn memory(&self) -> u64 {
        let config = &self.config;
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let embeddings = (config.vocab_size + config.max_position_embeddings + 3) * hidden;
        let layer = 4 * hidden * (hidden + 1) + 2 * inner * hidden + inner + 5 * hidden;
        ((embeddings + config.num_hidden_layers * layer) * size_of::<f32>()) as u64
    }

    pub(super) fn encode(&self, sequences: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let longest = sequences.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let (batch, hidden) = (sequences.len(), self.config.hidden_size);
        let mut ids = vec![0u32; batch * longest];
        let mut mask = vec![0f32; batch * longest];
        for (row, sequence) in sequences.iter().enumerate() {
            ids[row * longest..][..sequence.len()].copy_from_slice(sequence);
            mask[row * longest..][..sequence.len()].fill(1.0);
        }
        let ids = Tensor::from_vec(ids, (batch, longest), &self.device)?;
        let mask = Tensor::from_vec(mask, (batch, longest), &self.device)?;
        // 0 where there is a token, very negative where there is padding: [batch, 1, 1, longest].
        let bias = ((&mask - 1.0)? * 1e9)?.reshape((batch, 1, 1, longest))?;
        let positions = self.positions.i(..longest)?;
        let x = self
            .words
            .forward(&ids)?
            .broadcast_add(&positions)?
            .broadcast_add(&self.segment)?;
        let mut x = self.norm.forward(&x)?;
        for layer in &self.layers {
            x = layer.forward(&x, &bias, &self.config)?;
        }
        let weights = mask.unsqueeze(D::Minus1)?;
        let sums = x.broadcast_mul(&weights)?.sum(1)?;
        let norms = sums.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
        let unit = sums
            .broadcast_div(&norms)?
            .to_dtype(DType::F32)?
            .to_device(&Device::Cpu)?;
        debug_assert_eq!(unit.dims(), [batch, hidden]);
        Ok(unit.to_vec2::<f32>()?)
    }
}

impl Layer {
    fn forward(&self, x: &Tensor, bias: &Tensor, config: &Config) -> Result<Tensor> {
        let (batch, tokens, _) = x.dims3()?;
        let heads = |t: Tensor| -> candle_core::Result<Tensor> {
            t.reshape((
                batch,
                tokens,
                config.num_attention_heads,
                config.head_size(),
            ))?
            .transpose(1, 2)?
            .contiguous()
        };
        let query = heads(self.query.forward(x)?)?;
        let key = heads(self.key.forward(x)?)?;
        let value = heads(self.value.forward(x)?)?;
        let scale = 1.0 / (config.head_size() as f64).sqrt();
        let scores = (query.matmul(&key.t()?.contiguous()?)? * scale)?.broadcast_add(bias)?;
        let mixed = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&value)?;
        let mixed = mixed
            .transpose(1, 2)?
            .reshape((batch, tokens, config.hidden_size))?;
        let x = self
            .attention_norm
            .forward(&(self.attention_output.forward(&mixed)? + x)?)?;
        let inner = self.up.forward(&x)?.gelu_erf()?;
        Ok(self
            .output_norm
            .forward(&(self.down.forward(&inner)? + &x)?)?)
    }
}
