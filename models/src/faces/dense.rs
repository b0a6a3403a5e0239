//! Landmarks and expressions: four dense blocks of separable convolutions, and a product.

use super::{Layers, Result};
use crate::graph::{Graph, Padding, PoolKind, Value};
use escala_weights::Tensors;

/// 68 points, as parts of the side: x and y in turn.
///
/// # Errors
/// When the weights are not those of the network.
pub fn landmarks(weights: &Tensors) -> Result<Graph> {
    blocks(weights)
}

/// Seven scores before softmax: neutral, happy, sad, angry, fearful, disgusted, surprised.
///
/// # Errors
/// When the weights are not those of the network.
pub fn expression(weights: &Tensors) -> Result<Graph> {
    blocks(weights)
}

fn blocks(weights: &Tensors) -> Result<Graph> {
    let (mut layers, mut x) = Layers::new(weights, 112);
    for block in 0..4 {
        x = dense(&mut layers, x, block)?;
    }
    let pooled = layers.pool("pool", PoolKind::Average, x, 7, 2, Padding::VALID);
    let flat = layers.flat("flat", pooled);
    let answer = layers.linear(flat, "fc/weights", "fc/bias")?;
    layers.graph.output("answer", answer);
    Ok(layers.graph)
}

/// Halves the map, then three convolutions of which each sees the sum of all before it.
fn dense(layers: &mut Layers<'_>, x: Value, block: usize) -> Result<Value> {
    let name = |conv: usize| format!("dense{block}/conv{conv}");
    let first = if block == 0 {
        let (kernel, bias) = (format!("{}/filters", name(0)), format!("{}/bias", name(0)));
        layers.conv(x, &kernel, &bias, 2, Padding::Same)?
    } else {
        layers.separable(x, &name(0), 2)?
    };
    let first = layers.relu(&format!("{}/relu", name(0)), first);
    let (mut sum, mut seen) = (first, first);
    for conv in 1..4 {
        let out = layers.separable(seen, &name(conv), 1)?;
        sum = layers.graph.add(&format!("{}/sum", name(conv)), sum, out);
        seen = layers.relu(&format!("{}/relu", name(conv)), sum);
    }
    Ok(seen)
}
