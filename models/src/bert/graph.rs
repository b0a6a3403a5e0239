//! The network in plain candle operations, for any device.

use super::config::{Config, HiddenAct};
use super::weights::{Part, Weights};
use super::{Output, second};
use crate::error::Result;
use candle_core::{D, DType, Device, IndexOp, Tensor};
use candle_nn::{Embedding, LayerNorm, Linear, Module};

/// A BERT encoder on a device; sequences are padded to the longest of a batch and masked.
pub(super) struct Encoder {
    words: Embedding,
    /// Positions with each segment added.
    positions: Embedding,
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
        let norm = |module: &str| -> Result<LayerNorm> {
            let (gamma, beta) = weights.norm(module)?;
            let gamma = Tensor::from_slice(&gamma, hidden, device)?;
            let beta = Tensor::from_slice(&beta, hidden, device)?;
            Ok(LayerNorm::new(gamma, beta, config.layer_norm_eps))
        };
        let linear = |layer: usize, part: Part, outputs: usize, inputs: usize| -> Result<Linear> {
            let (weight, bias) = weights.linear(&weights.part(layer, part), outputs, inputs)?;
            let weight = Tensor::from_slice(&weight, (outputs, inputs), device)?;
            let bias = Tensor::from_slice(&bias, outputs, device)?;
            Ok(Linear::new(weight, Some(bias)))
        };
        let layers = (0..config.num_hidden_layers)
            .map(|layer| {
                Ok(Layer {
                    query: linear(layer, Part::Query, hidden, hidden)?,
                    key: linear(layer, Part::Key, hidden, hidden)?,
                    value: linear(layer, Part::Value, hidden, hidden)?,
                    attention_output: linear(layer, Part::AttentionOutput, hidden, hidden)?,
                    attention_norm: norm(&weights.part(layer, Part::AttentionNorm))?,
                    up: linear(layer, Part::Up, inner, hidden)?,
                    down: linear(layer, Part::Down, hidden, inner)?,
                    output_norm: norm(&weights.part(layer, Part::OutputNorm))?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let shape = [config.vocab_size, hidden];
        let words = weights.get(&weights.module("embeddings.word_embeddings.weight"), &shape)?;
        let words = Tensor::from_slice(&words, &shape, device)?;
        let shape = [config.segments() * config.max_position_embeddings, hidden];
        let positions = Tensor::from_slice(&weights.positions()?, &shape, device)?;
        Ok(Self {
            words: Embedding::new(words, hidden),
            positions: Embedding::new(positions, hidden),
            norm: norm(&weights.module("embeddings.LayerNorm"))?,
            layers,
            device: device.clone(),
            config,
        })
    }

    pub(super) fn memory(&self) -> u64 {
        let config = &self.config;
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let embeddings =
            (config.vocab_size + config.segments() * config.max_position_embeddings + 2) * hidden;
        let layer = 4 * hidden * (hidden + 1) + 2 * inner * hidden + inner + 5 * hidden;
        ((embeddings + config.num_hidden_layers * layer) * size_of::<f32>()) as u64
    }

    pub(super) fn run(
        &self,
        sequences: &[&[u32]],
        seconds: &[usize],
        output: Output,
    ) -> Result<Vec<Vec<f32>>> {
        let longest = sequences.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let (batch, hidden) = (sequences.len(), self.config.hidden_size);
        let mut ids = vec![0u32; batch * longest];
        let mut positions = vec![0u32; batch * longest];
        let mut mask = vec![0f32; batch * longest];
        for (row, sequence) in sequences.iter().enumerate() {
            let second = second(seconds, row);
            let row = row * longest..row * longest + sequence.len();
            ids[row.clone()].copy_from_slice(sequence);
            let places = positions[row.clone()].iter_mut();
            places
                .zip(self.config.positions(sequence, second))
                .for_each(|(place, position)| *place = position);
            mask[row].fill(1.0);
        }
        let ids = Tensor::from_vec(ids, (batch, longest), &self.device)?;
        let positions = Tensor::from_vec(positions, (batch, longest), &self.device)?;
        let mask = Tensor::from_vec(mask, (batch, longest), &self.device)?;
        // 0 where there is a token, very negative where there is padding: [batch, 1, 1, longest].
        let bias = ((&mask - 1.0)? * 1e9)?.reshape((batch, 1, 1, longest))?;
        let x = (self.words.forward(&ids)? + self.positions.forward(&positions)?)?;
        let mut x = self.norm.forward(&x)?;
        for layer in &self.layers {
            x = layer.forward(&x, &bias, &self.config)?;
        }
        let x = match output {
            Output::Mean => {
                let counts = mask.sum_keepdim(1)?;
                let sums = x.broadcast_mul(&mask.unsqueeze(D::Minus1)?)?.sum(1)?;
                sums.broadcast_div(&counts)?
            }
            Output::First => x.i((.., 0))?,
            Output::All => x,
        };
        let x = x.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
        if output != Output::All {
            return Ok(x.to_vec2::<f32>()?);
        }
        let rows = x.reshape((batch, longest * hidden))?.to_vec2::<f32>()?;
        let cut = |(mut row, ids): (Vec<f32>, &&[u32])| {
            row.truncate(ids.len() * hidden);
            row
        };
        Ok(rows.into_iter().zip(sequences).map(cut).collect())
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
        let inner = self.up.forward(&x)?;
        let inner = match config.hidden_act {
            HiddenAct::Gelu => inner.gelu_erf()?,
            HiddenAct::GeluTanh => inner.gelu()?,
            HiddenAct::Relu => inner.relu()?,
        };
        Ok(self
            .output_norm
            .forward(&(self.down.forward(&inner)? + &x)?)?)
    }
}
