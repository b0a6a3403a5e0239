//! The tensors of a checkpoint by what they are, whatever the family calls them and however they are stored.

use super::config::{Config, Family};
use crate::error::{Error, Result};
use escala_weights::Tensors;
use half::{bf16, f16};
use safetensors::tensor::Dtype;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Names that checkpoints put before the encoder's own, by the class that saved them.
const PREFIXES: [&str; 4] = ["", "bert.", "roberta.", "distilbert."];

/// Weights in a block of GGML's Q4_0, and its bytes: an f16 scale, then 32 nibbles.
const BLOCK: usize = 32;
const BLOCK_BYTES: usize = 18;

/// A part of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    Query,
    Key,
    Value,
    AttentionOutput,
    AttentionNorm,
    Up,
    Down,
    OutputNorm,
}

impl Part {
    fn name(self, family: Family) -> &'static str {
        let (usual, distil) = match self {
            Self::Query => ("attention.self.query", "attention.q_lin"),
            Self::Key => ("attention.self.key", "attention.k_lin"),
            Self::Value => ("attention.self.value", "attention.v_lin"),
            Self::AttentionOutput => ("attention.output.dense", "attention.out_lin"),
            Self::AttentionNorm => ("attention.output.LayerNorm", "sa_layer_norm"),
            Self::Up => ("intermediate.dense", "ffn.lin1"),
            Self::Down => ("output.dense", "ffn.lin2"),
            Self::OutputNorm => ("output.LayerNorm", "output_layer_norm"),
        };
        match family {
            Family::DistilBert => distil,
            Family::Bert | Family::Roberta => usual,
        }
    }
}

/// The tensors of a checkpoint.
#[derive(Clone)]
pub(crate) struct Weights {
    tensors: Arc<Tensors>,
    pub(crate) config: Config,
    prefix: &'static str,
    /// Tensors that stand in for those of the file: what an adapter changed.
    changed: Arc<HashMap<String, Vec<f32>>>,
}

/// Weight and bias of a linear layer, or gamma and beta of a normalisation.
pub(crate) type Pair<'a> = (Cow<'a, [f32]>, Cow<'a, [f32]>);

impl Weights {
    pub(crate) fn new(config: Config, tensors: Arc<Tensors>) -> Result<Self> {
        config.check()?;
        let words = "embeddings.word_embeddings.weight";
        let prefix = PREFIXES
            .into_iter()
            .find(|prefix| tensors.info(&format!("{prefix}{words}")).is_ok());
        let Some(prefix) = prefix else {
            // Names the tensor and the file.
            tensors.info(words)?;
            return Err(Error::unsupported("a checkpoint without word embeddings"));
        };
        Ok(Self {
            tensors,
            config,
            prefix,
            changed: Arc::default(),
        })
    }

    /// The same tensors but for those in `changed`.
    pub(crate) fn with(self, changed: HashMap<String, Vec<f32>>) -> Self {
        Self {
            changed: Arc::new(changed),
            ..self
        }
    }

    /// A module of the encoder by its name without prefix.
    pub(crate) fn module(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A part of a layer, as a module.
    pub(crate) fn part(&self, layer: usize, part: Part) -> String {
        let layers = match self.config.family {
            Family::DistilBert => "transformer.layer",
            Family::Bert | Family::Roberta => "encoder.layer",
        };
        let part = part.name(self.config.family);
        format!("{}{layers}.{layer}.{part}", self.prefix)
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.info(name).is_ok()
    }

    /// The length of a tensor's first dimension.
    pub(crate) fn rows(&self, name: &str) -> Result<usize> {
        let (_, shape) = self.tensors.info(name)?;
        Ok(shape.first().copied().unwrap_or(0))
    }

    /// A tensor's numbers, expanded where they are stored in fewer bits.
    pub(crate) fn get(&self, name: &str, shape: &[usize]) -> Result<Cow<'_, [f32]>> {
        if let Some(changed) = self.changed.get(name)
            && changed.len() == shape.iter().product::<usize>()
        {
            Stored::find(&self.tensors, name, shape)?;
            return Ok(Cow::Borrowed(changed));
        }
        numbers(&self.tensors, name, shape)
    }

    /// Weight `[outputs, inputs]` and bias `[outputs]` of a linear layer.
    pub(crate) fn linear(&self, module: &str, outputs: usize, inputs: usize) -> Result<Pair<'_>> {
        Ok((
            self.get(&format!("{module}.weight"), &[outputs, inputs])?,
            self.get(&format!("{module}.bias"), &[outputs])?,
        ))
    }

    /// Gamma and beta of a normalisation; checkpoints that came from TensorFlow call them so.
    pub(crate) fn norm(&self, module: &str) -> Result<Pair<'_>> {
        let shape = [self.config.hidden_size];
        let get = |name: &str, old: &str| {
            let old = format!("{module}.{old}");
            if self.has(&old) {
                return self.get(&old, &shape);
            }
            self.get(&format!("{module}.{name}"), &shape)
        };
        Ok((get("weight", "gamma")?, get("bias", "beta")?))
    }

    /// The table of positions with a segment's row added to each of its rows: the two always come together. One text is
    /// always the first segment; where there is a second, the same positions with that one come behind
    /// ([`Config::positions`]).
    pub(crate) fn positions(&self) -> Result<Vec<f32>> {
        let (hidden, segments) = (self.config.hidden_size, self.config.type_vocab_size);
        let name = self.module("embeddings.position_embeddings.weight");
        let positions = self.get(&name, &[self.config.max_position_embeddings, hidden])?;
        if segments == 0 {
            return Ok(positions.into_owned());
        }
        let name = self.module("embeddings.token_type_embeddings.weight");
        let segments = self.get(&name, &[segments, hidden])?;
        let used = segments.chunks_exact(hidden).take(self.config.segments());
        let mut sums = Vec::with_capacity(used.len() * positions.len());
        for segment in used {
            for row in positions.chunks_exact(hidden) {
                sums.extend(row.iter().zip(segment).map(|(position, of)| position + of));
            }
        }
        Ok(sums)
    }

    /// The table of words, left where it is: only the rows of words that occur are ever read.
    pub(crate) fn words(&self) -> Result<Words> {
        let name = self.module("embeddings.word_embeddings.weight");
        let (rows, width) = (self.config.vocab_size, self.config.hidden_size);
        Words::new(self.tensors.clone(), name, rows, width)
    }
}

/// A tensor's numbers, expanded where they are stored in fewer bits.
pub(crate) fn numbers<'a>(
    tensors: &'a Tensors,
    name: &str,
    shape: &[usize],
) -> Result<Cow<'a, [f32]>> {
    let stored = Stored::find(tensors, name, shape)?;
    if stored == Stored::F32 {
        return Ok(tensors.f32_of(name, shape)?);
    }
    let mut values = vec![0.0; shape.iter().product()];
    stored.read(tensors.raw(name)?, 0, &mut values);
    Ok(Cow::Owned(values))
}

/// The table of words in the mapped file.
pub(crate) struct Words {
    tensors: Arc<Tensors>,
    name: String,
    stored: Stored,
    pub(crate) rows: usize,
    width: usize,
}

impl Words {
    /// The table `[rows, width]` of this name.
    pub(crate) fn new(
        tensors: Arc<Tensors>,
        name: String,
        rows: usize,
        width: usize,
    ) -> Result<Self> {
        Ok(Self {
            stored: Stored::find(&tensors, &name, &[rows, width])?,
            tensors,
            name,
            rows,
            width,
        })
    }

    /// Bytes of the table.
    pub(crate) fn bytes(&self) -> u64 {
        self.raw().len() as u64
    }

    /// Copies a row.
    ///
    /// # Panics
    /// When there is no such row, or `to` is not as wide as one.
    pub(crate) fn row(&self, row: usize, to: &mut [f32]) {
        assert!(
            row < self.rows && to.len() == self.width,
            "row {row} of {}",
            self.rows
        );
        self.stored.read(self.raw(), row * self.width, to);
    }

    fn raw(&self) -> &[u8] {
        let raw = self.tensors.raw(&self.name);
        raw.expect("found when loaded, and an open file does not change")
    }
}

/// How a tensor's numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stored {
    F32,
    F16,
    Bf16,
    /// Blocks of [`BLOCK`] as bytes, in a tensor of shape `[rows, columns / 32 * 18]`.
    Q4,
}

impl Stored {
    /// How the tensor of this shape is stored.
    fn find(tensors: &Tensors, name: &str, shape: &[usize]) -> Result<Self> {
        let (dtype, found) = tensors.info(name)?;
        let stored = match dtype {
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::Bf16,
            Dtype::U8 => Self::Q4,
            other => {
                return Err(Error::unsupported(format!(
                    "tensor \"{name}\" of type {other:?}"
                )));
            }
        };
        let holds = match (stored, shape, found) {
            (Self::Q4, &[rows, columns], &[stored_rows, bytes]) => {
                columns.is_multiple_of(BLOCK)
                    && rows == stored_rows
                    && bytes == columns / BLOCK * BLOCK_BYTES
            }
            (Self::Q4, ..) => false,
            _ => shape == found,
        };
        if !holds {
            return Err(escala_weights::tensors::Error::WrongShape {
                path: tensors.path().to_owned(),
                name: name.to_owned(),
                wanted: shape.to_vec(),
                found: found.to_vec(),
            }
            .into());
        }
        Ok(stored)
    }

    /// Reads `to.len()` numbers from the element `from` on. Of blocks both are multiples of [`BLOCK`].
    fn read(self, raw: &[u8], from: usize, to: &mut [f32]) {
        let count = to.len();
        match self {
            Self::F32 => {
                let raw = raw[from * 4..(from + count) * 4].as_chunks::<4>().0;
                to.iter_mut()
                    .zip(raw)
                    .for_each(|(to, &b)| *to = f32::from_le_bytes(b));
            }
            Self::F16 => {
                let raw = raw[from * 2..(from + count) * 2].as_chunks::<2>().0;
                to.iter_mut()
                    .zip(raw)
                    .for_each(|(to, &b)| *to = f16::from_le_bytes(b).to_f32());
            }
            Self::Bf16 => {
                let raw = raw[from * 2..(from + count) * 2].as_chunks::<2>().0;
                to.iter_mut()
                    .zip(raw)
                    .for_each(|(to, &b)| *to = bf16::from_le_bytes(b).to_f32());
            }
            Self::Q4 => {
                let bytes = |elements: usize| elements / BLOCK * BLOCK_BYTES;
                let blocks = raw[bytes(from)..bytes(from + count)]
                    .as_chunks::<BLOCK_BYTES>()
                    .0;
                for (to, block) in to.chunks_exact_mut(BLOCK).zip(blocks) {
                    let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
                    let (low, high) = to.split_at_mut(BLOCK / 2);
                    for ((low, high), &pair) in low.iter_mut().zip(high).zip(&block[2..]) {
                        *low = f32::from(i16::from(pair & 15) - 8) * scale;
                        *high = f32::from(i16::from(pair >> 4) - 8) * scale;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::quantized::{GgmlDType, QTensor};
    use candle_core::{Device, Tensor};

    #[test]
    fn four_bits_expand_as_candle_expands_them() {
        let values: Vec<f32> = (0..96)
            .map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0)
            .collect();
        let tensor = Tensor::from_slice(&values, (3, 32), &Device::Cpu).expect("tensor");
        let stored = QTensor::quantize(&tensor, GgmlDType::Q4_0).expect("blocks");
        let expected = stored
            .dequantize(&Device::Cpu)
            .and_then(|t| t.flatten_all())
            .and_then(|t| t.to_vec1::<f32>())
            .expect("reference");
        let raw = stored.data().expect("bytes");
        let mut got = vec![f32::NAN; 96];
        Stored::Q4.read(&raw, 0, &mut got);
        assert_eq!(got, expected);
        let mut row = vec![f32::NAN; 32];
        Stored::Q4.read(&raw, 64, &mut row);
        assert_eq!(row, expected[64..]);
    }

    #[test]
    fn halves_expand_to_the_same_numbers() {
        let values = [1.5_f32, -0.25, 3.0, 65504.0];
        let half: Vec<u8> = values
            .iter()
            .flat_map(|&v| f16::from_f32(v).to_le_bytes())
            .collect();
        let mut got = [0.0; 3];
        Stored::F16.read(&half, 1, &mut got);
        assert_eq!(got, values[1..]);
        let brain: Vec<u8> = values
            .iter()
            .flat_map(|&v| bf16::from_f32(v).to_le_bytes())
            .collect();
        let mut got = [0.0; 2];
        Stored::Bf16.read(&brain, 1, &mut got);
        assert_eq!(got, values[1..3]);
    }
}
