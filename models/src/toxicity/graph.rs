//! The network in plain candle operations, for any device.

use super::{Direction, EMBEDDING, LABELS, STEPS, Scores, UNITS, WORDS, Weights};
use crate::error::Result;
use candle_core::{D, Device, IndexOp, Tensor};

pub(super) struct Network {
    embedding: Tensor,
    directions: [Layer; 2],
    dense: (Tensor, Tensor),
    output: (Tensor, Tensor),
    device: Device,
}

struct Layer {
    kernel: Tensor,
    recurrent: Tensor,
    bias: Tensor,
}

impl Network {
    pub(super) fn new(weights: &Weights<'_>, device: &Device) -> Result<Self> {
        let layer = |direction: &Direction<'_>| -> Result<Layer> {
            let recurrent = (UNITS, 4 * UNITS);
            Ok(Layer {
                kernel: Tensor::from_slice(&direction.kernel, (EMBEDDING, 4 * UNITS), device)?,
                recurrent: Tensor::from_slice(&direction.recurrent, recurrent, device)?,
                bias: Tensor::from_slice(&direction.bias, 4 * UNITS, device)?,
            })
        };
        let dense = |dense: &super::Dense<'_>| -> Result<(Tensor, Tensor)> {
            let outputs = dense.bias.len();
            let shape = (dense.kernel.len() / outputs, outputs);
            Ok((
                Tensor::from_slice(&dense.kernel, shape, device)?,
                Tensor::from_slice(&dense.bias, outputs, device)?,
            ))
        };
        let [forward, backward] = &weights.directions;
        Ok(Self {
            embedding: Tensor::from_slice(&weights.embedding, (WORDS, EMBEDDING), device)?,
            directions: [layer(forward)?, layer(backward)?],
            dense: dense(&weights.dense)?,
            output: dense(&weights.output)?,
            device: device.clone(),
        })
    }

    pub(super) fn memory(&self) -> u64 {
        let layers = 2 * (EMBEDDING + UNITS + 1) * 4 * UNITS;
        let dense = (2 * UNITS + 1) * UNITS + (UNITS + 1) * LABELS.len();
        ((WORDS * EMBEDDING + layers + dense) * size_of::<f32>()) as u64
    }

    pub(super) fn scores(&self, sequences: &[&[u32]]) -> Result<Vec<Scores>> {
        let batch = sequences.len();
        let mut ids = vec![0u32; batch * STEPS];
        for (row, words) in ids.chunks_exact_mut(STEPS).zip(sequences) {
            row[STEPS - words.len()..].copy_from_slice(words);
        }
        let ids = Tensor::from_vec(ids, batch * STEPS, &self.device)?;
        let x = self.embedding.index_select(&ids, 0)?;
        let [forward, backward] = &self.directions;
        let peaks = Tensor::cat(
            &[
                forward.peaks(&x, batch, 0..STEPS)?,
                backward.peaks(&x, batch, (0..STEPS).rev())?,
            ],
            D::Minus1,
        )?;
        let (kernel, bias) = &self.dense;
        let hidden = peaks.matmul(kernel)?.broadcast_add(bias)?.relu()?;
        let (kernel, bias) = &self.output;
        let logits = hidden.matmul(kernel)?.broadcast_add(bias)?;
        let scores = candle_nn::ops::sigmoid(&logits)?.to_vec2::<f32>()?;
        Ok(scores
            .iter()
            .map(|row| std::array::from_fn(|label| row[label]))
            .collect())
    }
}

impl Layer {
    /// The largest hidden state of each unit over the steps: `[batch, units]`.
    fn peaks(
        &self,
        x: &Tensor,
        batch: usize,
        steps: impl Iterator<Item = usize>,
    ) -> Result<Tensor> {
        let inputs = x
            .matmul(&self.kernel)?
            .broadcast_add(&self.bias)?
            .reshape((batch, STEPS, 4 * UNITS))?;
        let mut hidden = Tensor::zeros((batch, UNITS), x.dtype(), x.device())?;
        let mut memory = hidden.clone();
        let mut peaks: Option<Tensor> = None;
        for step in steps {
            let sums = (inputs.i((.., step))? + hidden.matmul(&self.recurrent)?)?;
            let gate = |gate: usize| sums.narrow(1, gate * UNITS, UNITS);
            let hard = |x: Tensor| x.affine(0.2, 0.5)?.clamp(0.0, 1.0);
            let (input, forget, output) = (hard(gate(0)?)?, hard(gate(1)?)?, hard(gate(3)?)?);
            memory = ((forget * &memory)? + (input * gate(2)?.tanh()?)?)?;
            hidden = (output * memory.tanh()?)?;
            peaks = Some(match peaks {
                Some(peaks) => peaks.maximum(&hidden)?,
                None => hidden.clone(),
            });
        }
        Ok(peaks.unwrap_or(hidden))
    }
}
