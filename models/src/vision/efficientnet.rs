//! EfficientNet: blocks that widen, convolve each channel, squeeze and excite, and narrow again.
//!
//! Paper: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (2019). Reference:
//! `EfficientNetForImageClassification` of transformers 5.24, which pads maps that are halved as TensorFlow does (the
//! odd pixel after) unless `depthwise_padding` lists the block. Tensors: `efficientnet.embeddings.*`,
//! `efficientnet.encoder.blocks.N.{expansion,depthwise_conv,squeeze_excite,projection}.*`,
//! `efficientnet.encoder.top_{conv,bn}.*`, `classifier.*`.

use super::{MOST_BLOCKS, pooled};
use crate::detr::layers::{Kernel, Layers, Normalised, Wide, activation};
use crate::error::{Error, Result};
use crate::graph::{Function, Padding, Reduction, Tensor, Window};
use serde::Deserialize;

/// `config.json`
#[derive(Deserialize)]
pub(super) struct Config {
    #[serde(default = "depth")]
    depth_coefficient: f64,
    #[serde(default = "kernels")]
    kernel_sizes: Vec<usize>,
    #[serde(default = "strides")]
    strides: Vec<usize>,
    #[serde(default = "repeats")]
    num_block_repeats: Vec<usize>,
    #[serde(default = "ratios")]
    expand_ratios: Vec<usize>,
    #[serde(default)]
    depthwise_padding: Vec<usize>,
    #[serde(default = "swish")]
    hidden_act: String,
    #[serde(default = "mean")]
    pooling_type: String,
    #[serde(default = "epsilon")]
    batch_norm_eps: f32,
}

fn depth() -> f64 {
    3.1
}

fn kernels() -> Vec<usize> {
    vec![3, 3, 5, 3, 5, 5, 3]
}

fn strides() -> Vec<usize> {
    vec![1, 2, 2, 2, 1, 2, 1]
}

fn repeats() -> Vec<usize> {
    vec![1, 2, 2, 3, 3, 4, 1]
}

fn ratios() -> Vec<usize> {
    vec![1, 6, 6, 6, 6, 6, 6]
}

fn swish() -> String {
    "swish".to_owned()
}

fn mean() -> String {
    "mean".to_owned()
}

fn epsilon() -> f32 {
    1e-3
}

/// What the classes are told by, and the name of the product that tells them. Widths are those of the tensors.
pub(super) fn features(
    config: &Config,
    layers: &mut Layers<'_>,
    image: Wide,
) -> Result<(Wide, &'static str)> {
    let stages = config.kernel_sizes.len();
    let lists = [
        &config.strides,
        &config.num_block_repeats,
        &config.expand_ratios,
    ];
    if lists.iter().any(|list| list.len() != stages) {
        return Err(Error::unsupported(
            "`kernel_sizes`, `strides`, `num_block_repeats` and `expand_ratios` are not of the same stages",
        ));
    }
    let odd = |&side: &usize| side % 2 == 1 && side <= 31;
    if !config.kernel_sizes.iter().all(odd) {
        return Err(Error::unsupported("`kernel_sizes` must be odd, 31 at most"));
    }
    if !config.strides.iter().all(|stride| (1..=2).contains(stride)) {
        return Err(Error::unsupported("`strides` must be 1 or 2"));
    }
    let act = activation(&config.hidden_act)?;
    let pooling = match config.pooling_type.as_str() {
        "mean" => Reduction::Mean,
        "max" => Reduction::Max,
        other => {
            let what = format!("`pooling_type` {other} is not built");
            return Err(Error::unsupported(what));
        }
    };
    let epsilon = config.batch_norm_eps;
    let name = "efficientnet.embeddings";
    let names = [format!("{name}.convolution"), format!("{name}.batchnorm")];
    let kernel = layers.kernel(&pair(&names, epsilon), image.width, 3)?;
    // One row and column of zeros after the map, whatever its size.
    let x = windowed(layers, name, image, kernel, 2, [0, 0, 1, 1], 1)?;
    let mut x = layers.map(name, act.clone(), x);
    let mut number = 0;
    for stage in 0..stages {
        let blocks = (config.depth_coefficient * config.num_block_repeats[stage] as f64).ceil();
        if !(1.0..=MOST_BLOCKS as f64).contains(&blocks) || number > MOST_BLOCKS {
            return Err(Error::unsupported(
                "`num_block_repeats` times `depth_coefficient` is out of range",
            ));
        }
        for repeat in 0..blocks as usize {
            let first = repeat == 0;
            let block = Block {
                name: format!("efficientnet.encoder.blocks.{number}"),
                side: config.kernel_sizes[stage],
                stride: if first { config.strides[stage] } else { 1 },
                widens: config.expand_ratios[stage] != 1,
                first,
                even: config.depthwise_padding.contains(&number),
                epsilon,
            };
            x = block.build(layers, x, &act)?;
            number += 1;
        }
    }
    let names = ["conv", "bn"].map(|part| format!("efficientnet.encoder.top_{part}"));
    let x = layers.normalised(&pair(&names, epsilon), x, 1, 1, act)?;
    let pooled = pooled(layers, "efficientnet.pooler", pooling, x, false);
    Ok((pooled, "classifier"))
}

fn pair(names: &[String; 2], epsilon: f32) -> Normalised<'_> {
    Normalised {
        conv: &names[0],
        norm: &names[1],
        epsilon,
    }
}

/// A convolution with zeros around the map: above, left, below, right.
fn windowed(
    layers: &mut Layers<'_>,
    name: &str,
    x: Wide,
    kernel: Kernel,
    stride: usize,
    around: [usize; 4],
    groups: usize,
) -> Result<Wide> {
    let [outputs, _, side, _] = kernel.shape;
    let weights = Tensor::new(&kernel.shape, kernel.weights)?;
    let window = Window::square(side, stride, Padding::Explicit(around));
    let bias = Some(kernel.bias.as_slice());
    let value = layers
        .graph
        .conv(name, x.value, weights, bias, window, groups)?;
    Ok(Wide {
        value,
        width: outputs,
    })
}

/// One inverted bottleneck.
struct Block {
    name: String,
    side: usize,
    stride: usize,
    /// Whether it begins with a convolution that widens.
    widens: bool,
    /// Whether it is the first of its stage, which nothing goes around.
    first: bool,
    /// Whether a map that is halved is padded on all sides alike.
    even: bool,
    epsilon: f32,
}

impl Block {
    fn build(&self, layers: &mut Layers<'_>, x: Wide, act: &Function) -> Result<Wide> {
        let name = |part: &str| format!("{}.{part}", self.name);
        let mut out = x;
        if self.widens {
            let names = ["conv", "bn"].map(|part| name(&format!("expansion.expand_{part}")));
            let names = pair(&names, self.epsilon);
            out = layers.normalised(&names, out, 1, 1, act.clone())?;
        }
        let names = ["conv", "norm"].map(|part| name(&format!("depthwise_conv.depthwise_{part}")));
        let kernel = layers.kernel(&pair(&names, self.epsilon), 1, self.side)?;
        if kernel.shape[0] != out.width {
            let what = format!("{} of other channels than its input", names[0]);
            return Err(Error::unsupported(what));
        }
        let half = self.side / 2;
        let before = match (self.stride, self.even) {
            (2, false) => half.saturating_sub(1),
            _ => half,
        };
        let around = [before, before, half, half];
        let channels = out.width;
        out = windowed(
            layers,
            &names[0],
            out,
            kernel,
            self.stride,
            around,
            channels,
        )?;
        out = layers.map(&names[1], act.clone(), out);

        let squeezed = name("squeeze_excite");
        let mut share = pooled(layers, &squeezed, Reduction::Mean, out, true);
        for (part, function) in [("reduce", act.clone()), ("expand", Function::Sigmoid)] {
            let name = format!("{squeezed}.{part}");
            let (shape, weights) = layers.tensor(&format!("{name}.weight"))?;
            let shape = match shape[..] {
                [outputs, inputs, 1, 1] if inputs == share.width => [outputs, inputs, 1, 1],
                _ => {
                    let what = format!("{name}.weight of shape {shape:?}");
                    return Err(Error::unsupported(what));
                }
            };
            let bias = layers.tensor_of(&format!("{name}.bias"), &[shape[0]])?;
            let kernel = Kernel {
                shape,
                weights,
                bias,
            };
            share = layers.convolve(&name, share, kernel, 1)?;
            share = layers.map(&name, function, share);
        }
        out = layers.multiply(&squeezed, out, share.value);

        let names = ["conv", "bn"].map(|part| name(&format!("projection.project_{part}")));
        let names = pair(&names, self.epsilon);
        out = layers.normalised(&names, out, 1, 1, Function::Identity)?;
        if self.stride == 1 && !self.first {
            out = layers.add(&self.name, out, x.value);
        }
        Ok(out)
    }
}
