//! EfficientNet-Lite0 image classifier (Tan and Le 2019, arXiv:1905.11946; the Lite variants drop squeeze
//! and excite and use ReLU6).
//!
//! Reference: the TensorFlow TPU repository's `efficientnet/lite`, ported to PyTorch with the tensor names
//! `_conv_stem.weight`, `_blocks.{0..15}._expand_conv.weight` … `_fc.bias`. Batch normalisation (epsilon
//! 1e-3) is folded into the convolutions when the weights are read, unless the file says that it is already. Padding is TensorFlow's "same": the odd
//! pixel goes to the bottom and the right.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | the architecture, weights by name with normalisation folded in, the choice of device |
//! | `cpu.rs` | the fast way on the CPU: channels last, packed weights, one region of the team |
//! | `graph.rs` | the plain way in candle operations: for CUDA, and what the fast way is checked against |

mod cpu;
mod graph;

use crate::compute::Compute;
use crate::error::{Error, Result};
use candle_core::Device;
use escala_weights::Tensors;
use std::path::Path;

/// Side of the input image.
pub const SIDE: usize = 224;
/// Values of one input image.
pub const INPUT: usize = SIDE * SIDE * 3;
/// ImageNet classes.
pub const CLASSES: usize = 1000;
/// Width of the pooled features.
pub const FEATURES: usize = 1280;

pub(crate) const STEM: usize = 32;
/// Channels of the last block.
pub(crate) const LAST: usize = 320;
const BATCH_NORM_EPSILON: f32 = 1e-3;

/// Metadata of a file whose convolutions have their normalisation folded in already, and the version of its layout.
pub(crate) const FOLDED: (&str, &str) = ("folded", "1");

/// One inverted residual block: expand, depthwise, project.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockShape {
    pub(crate) side: usize,
    pub(crate) stride: usize,
    pub(crate) expand: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl BlockShape {
    pub(crate) fn inner(&self) -> usize {
        self.inputs * self.expand
    }

    pub(crate) fn residual(&self) -> bool {
        self.stride == 1 && self.inputs == self.outputs
    }
}

/// The sixteen blocks: (filter side, stride, expansion, inputs, outputs, repeats).
pub(crate) fn blocks() -> Vec<BlockShape> {
    const STAGES: [(usize, usize, usize, usize, usize, usize); 7] = [
        (3, 1, 1, 32, 16, 1),
        (3, 2, 6, 16, 24, 2),
        (5, 2, 6, 24, 40, 2),
        (3, 2, 6, 40, 80, 3),
        (5, 1, 6, 80, 112, 3),
        (5, 2, 6, 112, 192, 4),
        (3, 1, 6, 192, 320, 1),
    ];
    let mut blocks = Vec::new();
    for (side, stride, expand, inputs, outputs, repeats) in STAGES {
        for repeat in 0..repeats {
            let (stride, inputs) = if repeat == 0 {
                (stride, inputs)
            } else {
                (1, outputs)
            };
            blocks.push(BlockShape {
                side,
                stride,
                expand,
                inputs,
                outputs,
            });
        }
    }
    blocks
}

/// TensorFlow's "same" padding of one side: (before, after, length of the output).
pub(crate) fn same_padding(length: usize, side: usize, stride: usize) -> (usize, usize, usize) {
    let output = length.div_ceil(stride);
    let total = ((output - 1) * stride + side).saturating_sub(length);
    (total / 2, total - total / 2, output)
}

/// A convolution with its batch normalisation folded in.
pub(crate) struct Folded {
    /// `[outputs, inputs / groups, side, side]`
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

/// A convolution as the file has it: with a normalisation beside it, or with one folded in.
pub(crate) fn folded(
    tensors: &Tensors,
    conv: &str,
    norm: &str,
    shape: [usize; 4],
) -> Result<Folded> {
    let outputs = shape[0];
    let mut weight = tensors
        .f32_of(&format!("{conv}.weight"), &shape)?
        .into_owned();
    match tensors.metadata(FOLDED.0) {
        Some(version) if version == FOLDED.1 => {
            let bias = tensors.f32_of(&format!("{conv}.bias"), &[outputs])?;
            return finite(weight, bias.into_owned());
        }
        Some(version) => {
            return Err(Error::unsupported(format!(
                "tuned weights of version {version}, this program reads {}",
                FOLDED.1
            )));
        }
        None => {}
    }
    let get = |part: &str| tensors.f32_of(&format!("{norm}.{part}"), &[outputs]);
    let (gamma, beta) = (get("weight")?, get("bias")?);
    let (mean, variance) = (get("running_mean")?, get("running_var")?);
    let scale: Vec<f32> = gamma
        .iter()
        .zip(variance.iter())
        .map(|(g, v)| g / (v + BATCH_NORM_EPSILON).sqrt())
        .collect();
    for (filter, scale) in weight
        .chunks_exact_mut(shape[1..].iter().product())
        .zip(&scale)
    {
        filter.iter_mut().for_each(|w| *w *= scale);
    }
    let bias = beta
        .iter()
        .zip(mean.iter())
        .zip(&scale)
        .map(|((b, m), s)| b - m * s)
        .collect();
    finite(weight, bias)
}

/// Weights of which every one is a number.
fn finite(weight: Vec<f32>, bias: Vec<f32>) -> Result<Folded> {
    match weight.iter().chain(&bias).all(|value| value.is_finite()) {
        true => Ok(Folded { weight, bias }),
        false => Err(Error::unsupported("a weight is not a finite number")),
    }
}

/// The last layer, `[classes, FEATURES]` and `[classes]`: as many classes as the file has rows.
fn layer(tensors: &Tensors) -> Result<(Folded, usize)> {
    let (_, shape) = tensors.info("_fc.weight")?;
    let classes = shape.first().copied().unwrap_or(0).max(1);
    let weight = tensors.f32_of("_fc.weight", &[classes, FEATURES])?;
    let bias = tensors.f32_of("_fc.bias", &[classes])?;
    Ok((finite(weight.into_owned(), bias.into_owned())?, classes))
}

/// What the network says about a batch of images.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// `[images, classes]`, before the softmax.
    pub logits: Vec<f32>,
    /// `[images, FEATURES]`, what the last layer reads.
    pub features: Vec<f32>,
}

/// The loaded network.
pub struct EfficientNetLite {
    network: Network,
}

enum Network {
    Cpu(Box<cpu::Network>),
    Graph(graph::Network),
}

impl EfficientNetLite {
    /// Loads the weights for `device`: the published ones, or what [`tuning`](crate::train::image) left, which has classes of
    /// its own.
    ///
    /// # Errors
    /// When the tensors do not fit, one is not finite, or the device refuses.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let tensors = Tensors::open(path)?;
        let network = match device {
            Device::Cpu => Network::Cpu(Box::new(cpu::Network::new(&tensors)?)),
            _ => Network::Graph(graph::Network::new(&tensors, device)?),
        };
        Ok(Self { network })
    }

    /// The same network in plain candle operations, also on the CPU: the reference of the fast way.
    ///
    /// # Errors
    /// As [`EfficientNetLite::load`].
    pub fn reference(path: &Path, device: &Device) -> Result<Self> {
        Ok(Self {
            network: Network::Graph(graph::Network::new(&Tensors::open(path)?, device)?),
        })
    }

    /// Classes that it tells apart: [`CLASSES`], or those that it was tuned for.
    pub fn classes(&self) -> usize {
        match &self.network {
            Network::Cpu(network) => network.classes(),
            Network::Graph(network) => network.classes(),
        }
    }

    /// Bytes of memory that the loaded network holds.
    pub fn memory(&self) -> u64 {
        match &self.network {
            Network::Cpu(network) => network.memory(),
            Network::Graph(network) => network.memory(),
        }
    }

    /// Classifies images given as `[n, SIDE, SIDE, 3]` values, red first, each `(x - 127) / 128`.
    ///
    /// # Errors
    /// When the input is not a whole number of images, the device fails, or the output is not finite.
    pub fn forward(&self, compute: &Compute, images: &[f32]) -> Result<Predictions> {
        if !images.len().is_multiple_of(INPUT) {
            return Err(Error::unsupported(format!(
                "{} input values, an image has {INPUT}",
                images.len()
            )));
        }
        if images.is_empty() {
            return Ok(Predictions {
                logits: Vec::new(),
                features: Vec::new(),
            });
        }
        let predictions = match &self.network {
            Network::Cpu(network) => network.forward(&compute.team, images),
            Network::Graph(network) => network.forward(images)?,
        };
        if predictions.logits.iter().all(|logit| logit.is_finite()) {
            Ok(predictions)
        } else {
            Err(Error::NotFinite)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_architecture_is_the_published_one() {
        let blocks = blocks();
        assert_eq!(blocks.len(), 16);
        assert!(
            blocks
                .windows(2)
                .all(|pair| pair[0].outputs == pair[1].inputs)
        );
        let stride: usize = blocks.iter().map(|block| block.stride).product();
        assert_eq!(SIDE / 2 / stride, 7);
    }

    #[test]
    fn padding_is_tensorflows() {
        assert_eq!(same_padding(224, 3, 2), (0, 1, 112));
        assert_eq!(same_padding(56, 5, 2), (1, 2, 28));
        assert_eq!(same_padding(14, 5, 1), (2, 2, 14));
        assert_eq!(same_padding(7, 3, 2), (1, 1, 4));
    }
}
