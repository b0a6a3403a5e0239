//! Descriptors: the residual network of dlib's face recognition.

use super::{Layers, Result};
use crate::graph::{Graph, Op, Padding, PoolKind, Reduce, Reduction, Value, Window};
use escala_weights::Tensors;

/// 128 numbers, near for two pictures of one person.
///
/// # Errors
/// When the weights are not those of the network.
pub fn descriptor(weights: &Tensors) -> Result<Graph> {
    let (mut layers, x) = Layers::new(weights, 150);
    let x = scaled(&mut layers, x, "conv32_down", 2, Padding::VALID)?;
    let x = layers.relu("conv32_down/relu", x);
    // 72 pixels a side become 35.
    let mut x = layers.pool("pool", PoolKind::Max, x, 3, 2, Padding::VALID);
    let mut side = 35_usize;
    let mut channels = 32_usize;
    for (name, wider) in [
        ("conv32_1", None),
        ("conv32_2", None),
        ("conv32_3", None),
        ("conv64_down", Some(64)),
        ("conv64_1", None),
        ("conv64_2", None),
        ("conv64_3", None),
        ("conv128_down", Some(128)),
        ("conv128_1", None),
        ("conv128_2", None),
        ("conv256_down", Some(256)),
        ("conv256_1", None),
        ("conv256_2", None),
        ("conv256_down_out", Some(256)),
    ] {
        x = match wider {
            None => {
                let out = scaled(&mut layers, x, &format!("{name}/conv1"), 1, Padding::Same)?;
                let out = layers.relu(&format!("{name}/conv1/relu"), out);
                let out = scaled(&mut layers, out, &format!("{name}/conv2"), 1, Padding::Same)?;
                let sum = layers.graph.add(&format!("{name}/sum"), out, x);
                layers.relu(&format!("{name}/relu"), sum)
            }
            Some(wider) => {
                let x = down(&mut layers, x, name, side, wider - channels)?;
                side /= 2;
                channels = wider;
                x
            }
        };
    }
    let mean = Op::Reduce(Reduce {
        kind: Reduction::Mean,
        axes: vec![1, 2],
        keep: false,
    });
    let x = layers.graph.apply("mean", mean, &[x]);
    let answer = layers.linear(x, "fc", "")?;
    layers.graph.output("answer", answer);
    Ok(layers.graph)
}

/// A convolution whose outputs each have a factor and an offset.
fn scaled(
    layers: &mut Layers<'_>,
    x: Value,
    name: &str,
    stride: usize,
    padding: Padding,
) -> Result<Value> {
    let kernel = format!("{name}/conv/filters");
    let factors = layers.list(&format!("{name}/scale/weights"))?;
    let offsets = layers.list(&format!("{name}/scale/biases"))?;
    let bias = layers.list(&format!("{name}/conv/bias"))?;
    let bias: Vec<f32> = bias
        .iter()
        .zip(&factors)
        .zip(&offsets)
        .map(|((bias, factor), offset)| bias * factor + offset)
        .collect();
    let weights = layers.kernel(&kernel, Some(&factors))?;
    let window = Window::square(1, stride, padding);
    Ok(layers
        .graph
        .conv(&kernel, x, weights, Some(&bias), window, 1)?)
}

/// Halves a map of `side`: the way around is a mean and has `more` channels of zeros added; where the convolutions
/// come out a row and a column shorter, they get those of zeros.
fn down(layers: &mut Layers<'_>, x: Value, name: &str, side: usize, more: usize) -> Result<Value> {
    let out = scaled(layers, x, &format!("{name}/conv1"), 2, Padding::VALID)?;
    let out = layers.relu(&format!("{name}/conv1/relu"), out);
    let mut out = scaled(layers, out, &format!("{name}/conv2"), 1, Padding::Same)?;
    let mut around = layers.pool(
        &format!("{name}/mean"),
        PoolKind::Average,
        x,
        2,
        2,
        Padding::VALID,
    );
    let (short, half) = ((side - 3) / 2 + 1, side / 2);
    if short < half {
        let missing = (half - short) as i64;
        out = zeros(
            layers,
            &format!("{name}/rim"),
            out,
            [0, missing, missing, 0],
        );
    }
    if more > 0 {
        around = zeros(
            layers,
            &format!("{name}/wider"),
            around,
            [0, 0, 0, more as i64],
        );
    }
    let sum = layers.graph.add(&format!("{name}/sum"), around, out);
    Ok(layers.relu(&format!("{name}/relu"), sum))
}

/// Zeros after each axis.
fn zeros(layers: &mut Layers<'_>, name: &str, x: Value, after: [i64; 4]) -> Value {
    let mut amounts = [0; 8];
    amounts[4..].copy_from_slice(&after);
    let amounts = layers.graph.integers(&amounts);
    layers
        .graph
        .apply(name, Op::Pad { value: 0.0 }, &[x, amounts])
}
