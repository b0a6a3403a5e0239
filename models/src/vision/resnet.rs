//! ResNet: residual blocks of two 3 x 3 convolutions, or of 1 x 1, 3 x 3 and 1 x 1.
//!
//! Paper: He and others, "Deep Residual Learning for Image Recognition" (2015). Reference:
//! `ResNetForImageClassification` of transformers 5.24, whose blocks halve maps in the 3 x 3 convolution ("v1.5")
//! unless `downsample_in_bottleneck` is set. Tensors: `resnet.embedder.embedder.{convolution,normalization}.*`,
//! `resnet.encoder.stages.S.layers.L.{shortcut,layer.N}.{convolution,normalization}.*`, `classifier.1.*`.

use super::{ConvShape, Layers, MOST_BLOCKS, Result, activation, unsupported};
use crate::graph::{Function, Graph, Op, Padding, Pool, PoolKind, Value, Window};
use escala_weights::Tensors;
use serde::Deserialize;

/// Added to the variance; PyTorch's own, the configuration has none.
const EPSILON: f32 = 1e-5;

/// `config.json`
#[derive(Deserialize)]
pub(super) struct Config {
    #[serde(default = "embedding")]
    embedding_size: usize,
    #[serde(default = "sizes")]
    hidden_sizes: Vec<usize>,
    #[serde(default = "depths")]
    depths: Vec<usize>,
    #[serde(default = "bottleneck")]
    layer_type: String,
    #[serde(default = "relu")]
    hidden_act: String,
    #[serde(default)]
    downsample_in_first_stage: bool,
    #[serde(default)]
    downsample_in_bottleneck: bool,
}

fn embedding() -> usize {
    64
}

fn sizes() -> Vec<usize> {
    vec![256, 512, 1024, 2048]
}

fn depths() -> Vec<usize> {
    vec![3, 4, 6, 3]
}

fn bottleneck() -> String {
    "bottleneck".to_owned()
}

fn relu() -> String {
    "relu".to_owned()
}

/// The network, and its classes.
pub(super) fn graph(
    config: &Config,
    weights: &Tensors,
    size: [usize; 2],
) -> Result<(Graph, usize)> {
    let narrow = match config.layer_type.as_str() {
        "bottleneck" => true,
        "basic" => false,
        other => return unsupported(format!("`layer_type` {other} is not built")),
    };
    if config.depths.len() != config.hidden_sizes.len() || config.depths.contains(&0) {
        return unsupported("`depths` and `hidden_sizes` are not of the same stages");
    }
    if config.depths.iter().any(|&depth| depth > MOST_BLOCKS) || config.depths.len() > MOST_BLOCKS {
        return unsupported(format!("`depths` is over {MOST_BLOCKS}"));
    }
    let act = activation(&config.hidden_act)?;
    let (mut layers, x) = Layers::new(weights, size);
    let x = conv(&mut layers, x, "resnet.embedder.embedder", 7, 2, Some(&act))?;
    let pool = Pool {
        kind: PoolKind::Max,
        window: Window::square(3, 2, Padding::Explicit([1; 4])),
    };
    let mut x = layers.graph.apply("pooler", Op::Pool(pool), &[x]);
    let mut channels = config.embedding_size;
    let stages = config.depths.iter().zip(&config.hidden_sizes).enumerate();
    for (stage, (&depth, &wide)) in stages {
        let halves = stage > 0 || config.downsample_in_first_stage;
        for layer in 0..depth {
            let block = Block {
                name: format!("resnet.encoder.stages.{stage}.layers.{layer}"),
                stride: if layer == 0 && halves { 2 } else { 1 },
                changes: channels != wide,
                narrow,
                early: config.downsample_in_bottleneck,
            };
            x = block.apply(&mut layers, x, &act)?;
            channels = wide;
        }
    }
    let pooled = layers.mean("mean", x, false);
    layers.scores(pooled, "classifier.1")
}

/// One residual block.
struct Block {
    name: String,
    stride: usize,
    /// Whether it has other channels than what it reads.
    changes: bool,
    /// Whether it goes through a bottleneck.
    narrow: bool,
    /// Whether a bottleneck halves the map in its first convolution.
    early: bool,
}

impl Block {
    fn apply(&self, layers: &mut Layers<'_>, x: Value, act: &Function) -> Result<Value> {
        let name = &self.name;
        let around = match self.changes || self.stride != 1 {
            true => conv(layers, x, &format!("{name}.shortcut"), 1, self.stride, None)?,
            false => x,
        };
        let strides: &[(usize, usize)] = match (self.narrow, self.early) {
            (true, true) => &[(1, self.stride), (3, 1), (1, 1)],
            (true, false) => &[(1, 1), (3, self.stride), (1, 1)],
            (false, _) => &[(3, self.stride), (3, 1)],
        };
        let mut out = x;
        for (index, &(side, stride)) in strides.iter().enumerate() {
            let act = (index + 1 < strides.len()).then_some(act);
            out = conv(
                layers,
                out,
                &format!("{name}.layer.{index}"),
                side,
                stride,
                act,
            )?;
        }
        let sum = layers.graph.add(&format!("{name}.sum"), out, around);
        Ok(layers
            .graph
            .map(&format!("{name}.activation"), act.clone(), sum))
    }
}

/// A normalised convolution, and the activation where there is one.
fn conv(
    layers: &mut Layers<'_>,
    x: Value,
    name: &str,
    side: usize,
    stride: usize,
    act: Option<&Function>,
) -> Result<Value> {
    let (convolution, norm) = (
        format!("{name}.convolution"),
        format!("{name}.normalization"),
    );
    let shape = ConvShape::centred(side, stride);
    let x = layers.normalised(x, &convolution, &norm, shape, EPSILON)?;
    Ok(match act {
        Some(act) => layers
            .graph
            .map(&format!("{name}.activation"), act.clone(), x),
        None => x,
    })
}
