//! The face detector: MobileNet V1 with six grids of boxes.

use super::{Layers, Result};
use crate::graph::{Function, Graph, Op, Padding, Value};
use escala_weights::Tensors;

/// What the reference adds to variances.
const EPSILON: f32 = 0.001;
/// Pairs of convolutions that halve the map.
const HALVING: [usize; 4] = [2, 4, 6, 12];
/// Pairs of convolutions.
const PAIRS: usize = 13;
/// The pair whose map has the finest boxes.
const FINE: usize = 11;

/// `[boxes, 4]`: top, left, bottom and right of the boxes that answers are relative to.
///
/// # Errors
/// When the weights have none.
pub fn anchors(weights: &Tensors) -> Result<Vec<f32>> {
    Ok(weights
        .f32_of("Output/extra_dim", &[1, 5118, 4])?
        .into_owned())
}

/// How to move and stretch every anchor, and what is in it, before a sigmoid.
///
/// # Errors
/// When the weights are not those of the network.
pub fn detector(weights: &Tensors) -> Result<Graph> {
    let (mut layers, x) = Layers::new(weights, 512);
    let mut x = offset(&mut layers, x, "MobilenetV1/Conv2d_0_pointwise", 2)?;
    let mut maps = Vec::new();
    for pair in 1..=PAIRS {
        let stride = if HALVING.contains(&pair) { 2 } else { 1 };
        x = normalised(
            &mut layers,
            x,
            &format!("MobilenetV1/Conv2d_{pair}_depthwise"),
            stride,
        )?;
        x = offset(
            &mut layers,
            x,
            &format!("MobilenetV1/Conv2d_{pair}_pointwise"),
            1,
        )?;
        if pair == FINE || pair == PAIRS {
            maps.push(x);
        }
    }
    for layer in 0..8 {
        let stride = 1 + layer % 2;
        x = offset(
            &mut layers,
            x,
            &format!("Prediction/Conv2d_{layer}_pointwise"),
            stride,
        )?;
        if stride == 2 {
            maps.push(x);
        }
    }
    for (output, kind, width) in [
        ("boxes", "BoxEncodingPredictor", 4),
        ("classes", "ClassPredictor", 3),
    ] {
        let mut rows = Vec::new();
        for (index, &map) in maps.iter().enumerate() {
            let name = format!("Prediction/BoxPredictor_{index}/{kind}");
            let (kernel, bias) = (format!("{name}/weights"), format!("{name}/biases"));
            let answer = layers.conv(map, &kernel, &bias, 1, Padding::Same)?;
            let shape = layers.graph.integers(&[-1, width]);
            let reshape = Op::Reshape { keep_zeros: false };
            rows.push(
                layers
                    .graph
                    .apply(&format!("{name}/rows"), reshape, &[answer, shape]),
            );
        }
        let all = layers.graph.apply(output, Op::Concat { axis: 0 }, &rows);
        layers.graph.output(output, all);
    }
    Ok(layers.graph)
}

/// A convolution, an offset, and a clip.
fn offset(layers: &mut Layers<'_>, x: Value, name: &str, stride: usize) -> Result<Value> {
    let (kernel, bias) = (
        format!("{name}/weights"),
        format!("{name}/convolution_bn_offset"),
    );
    let x = layers.conv(x, &kernel, &bias, stride, Padding::Same)?;
    Ok(layers
        .graph
        .map(&format!("{name}/clip"), Function::RELU6, x))
}

/// A depthwise convolution, a batch normalisation (folded into it), and a clip.
fn normalised(layers: &mut Layers<'_>, x: Value, name: &str, stride: usize) -> Result<Value> {
    let of = |what: &str| layers.list(&format!("{name}/BatchNorm/{what}"));
    let (gamma, beta) = (of("gamma")?, of("beta")?);
    let (mean, variance) = (of("moving_mean")?, of("moving_variance")?);
    let factors: Vec<f32> = gamma
        .iter()
        .zip(&variance)
        .map(|(gamma, variance)| gamma / (variance + EPSILON).sqrt())
        .collect();
    let offsets: Vec<f32> = beta
        .iter()
        .zip(&mean)
        .zip(&factors)
        .map(|((beta, mean), factor)| beta - mean * factor)
        .collect();
    let kernel = format!("{name}/depthwise_weights");
    let x = layers.depthwise(x, &kernel, stride, Some(&factors), Some(&offsets))?;
    Ok(layers
        .graph
        .map(&format!("{name}/clip"), Function::RELU6, x))
}
