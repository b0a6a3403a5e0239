//! EfficientNet: blocks that widen, convolve each channel, squeeze and excite, and narrow again.
//!
//! Paper: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (2019). Reference:
//! `EfficientNetForImageClassification` of transformers 5.24, which pads maps that are halved as TensorFlow does (the
//! odd pixel after) unless `depthwise_padding` lists the block. Tensors: `efficientnet.embeddings.*`,
//! `efficientnet.encoder.blocks.N.{expansion,depthwise_conv,squeeze_excite,projection}.*`,
//! `efficientnet.encoder.top_{conv,bn}.*`, `classifier.*`.

use super::{ConvShape, Layers, MOST_BLOCKS, Result, activation, unsupported};
use crate::graph::{Arithmetic, Function, Graph, Op, Padding, Reduce, Reduction, Value, Window};
use escala_weights::Tensors;
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

/// The network, and its classes. Widths are those of the tensors.
pub(super) fn graph(
    config: &Config,
    weights: &Tensors,
    size: [usize; 2],
) -> Result<(Graph, usize)> {
    let stages = config.kernel_sizes.len();
    let lists = [
        &config.strides,
        &config.num_block_repeats,
        &config.expand_ratios,
    ];
    if lists.iter().any(|list| list.len() != stages) {
        return unsupported(
            "`kernel_sizes`, `strides`, `num_block_repeats` and `expand_ratios` are not of the same stages",
        );
    }
    if config
        .kernel_sizes
        .iter()
        .any(|&side| side % 2 == 0 || side > 31)
    {
        return unsupported("`kernel_sizes` must be odd, 31 at most");
    }
    if config
        .strides
        .iter()
        .any(|stride| !(1..=2).contains(stride))
    {
        return unsupported("`strides` must be 1 or 2");
    }
    let act = activation(&config.hidden_act)?;
    let pooling = match config.pooling_type.as_str() {
        "mean" => Reduction::Mean,
        "max" => Reduction::Max,
        other => return unsupported(format!("`pooling_type` {other} is not built")),
    };
    let (mut layers, x) = Layers::new(weights, size);
    let eps = config.batch_norm_eps;
    // One row and column of zeros after the map, whatever its size.
    let stem = ConvShape {
        side: 3,
        stride: 2,
        padding: Padding::Explicit([0, 0, 1, 1]),
        depthwise: false,
    };
    let name = "efficientnet.embeddings";
    let x = layers.normalised(
        x,
        &format!("{name}.convolution"),
        &format!("{name}.batchnorm"),
        stem,
        eps,
    )?;
    let mut x = layers
        .graph
        .map(&format!("{name}.activation"), act.clone(), x);
    let mut number = 0;
    for stage in 0..stages {
        let blocks = (config.depth_coefficient * config.num_block_repeats[stage] as f64).ceil();
        if !(1.0..=MOST_BLOCKS as f64).contains(&blocks) {
            return unsupported("`num_block_repeats` times `depth_coefficient` is out of range");
        }
        for repeat in 0..blocks as usize {
            let block = Block {
                name: format!("efficientnet.encoder.blocks.{number}"),
                side: config.kernel_sizes[stage],
                stride: if repeat == 0 {
                    config.strides[stage]
                } else {
                    1
                },
                widens: config.expand_ratios[stage] != 1,
                first: repeat == 0,
                even: config.depthwise_padding.contains(&number),
                eps,
            };
            x = block.apply(&mut layers, x, &act)?;
            number += 1;
        }
    }
    let top = "efficientnet.encoder.top_";
    let shape = ConvShape::centred(1, 1);
    let x = layers.normalised(x, &format!("{top}conv"), &format!("{top}bn"), shape, eps)?;
    let x = layers
        .graph
        .map(&format!("{top}activation"), act.clone(), x);
    let pool = Op::Reduce(Reduce {
        kind: pooling,
        axes: vec![1, 2],
        keep: false,
    });
    let pooled = layers.graph.apply("pooler", pool, &[x]);
    layers.scores(pooled, "classifier")
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
    eps: f32,
}

impl Block {
    fn apply(&self, layers: &mut Layers<'_>, x: Value, act: &Function) -> Result<Value> {
        let name = |part: &str| format!("{}.{part}", self.name);
        let pointwise = ConvShape::centred(1, 1);
        let mut out = x;
        if self.widens {
            let (conv, norm) = (name("expansion.expand_conv"), name("expansion.expand_bn"));
            out = layers.normalised(out, &conv, &norm, pointwise, self.eps)?;
            out = layers.graph.map(&name("expansion.act"), act.clone(), out);
        }
        let half = self.side / 2;
        let padding = match (self.stride, self.even) {
            (2, false) => [half.saturating_sub(1), half.saturating_sub(1), half, half],
            _ => [half; 4],
        };
        let depthwise = ConvShape {
            side: self.side,
            stride: self.stride,
            padding: Padding::Explicit(padding),
            depthwise: true,
        };
        let (conv, norm) = (
            name("depthwise_conv.depthwise_conv"),
            name("depthwise_conv.depthwise_norm"),
        );
        out = layers.normalised(out, &conv, &norm, depthwise, self.eps)?;
        out = layers
            .graph
            .map(&name("depthwise_conv.act"), act.clone(), out);

        let one = Window::square(1, 1, Padding::VALID);
        let squeezed = layers.mean(&name("squeeze_excite.squeeze"), out, true);
        let share = layers.conv(squeezed, &name("squeeze_excite.reduce"), one)?;
        let share = layers
            .graph
            .map(&name("squeeze_excite.act_reduce"), act.clone(), share);
        let share = layers.conv(share, &name("squeeze_excite.expand"), one)?;
        let share = layers
            .graph
            .map(&name("squeeze_excite.act_expand"), Function::Sigmoid, share);
        out = layers.graph.apply(
            &name("squeeze_excite.product"),
            Op::Arithmetic(Arithmetic::Mul),
            &[out, share],
        );

        let (conv, norm) = (
            name("projection.project_conv"),
            name("projection.project_bn"),
        );
        out = layers.normalised(out, &conv, &norm, pointwise, self.eps)?;
        if self.stride == 1 && !self.first {
            out = layers.graph.add(&name("projection.sum"), out, x);
        }
        Ok(out)
    }
}
