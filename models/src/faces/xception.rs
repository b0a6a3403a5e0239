//! Age and gender: an Xception of few layers with two products at its end.

use super::{Layers, Result};
use crate::graph::{Graph, Padding, PoolKind, Value};
use escala_weights::Tensors;

/// Years, and two scores before softmax: male, female.
///
/// # Errors
/// When the weights are not those of the network.
pub fn age_gender(weights: &Tensors) -> Result<Graph> {
    let (mut layers, x) = Layers::new(weights, 112);
    let entry = "entry_flow/conv_in";
    let (kernel, bias) = (format!("{entry}/filters"), format!("{entry}/bias"));
    let x = layers.conv(x, &kernel, &bias, 2, Padding::Same)?;
    let x = layers.relu("entry_flow/relu", x);
    let x = reduction(&mut layers, x, "entry_flow/reduction_block_0", false)?;
    let mut x = reduction(&mut layers, x, "entry_flow/reduction_block_1", true)?;
    for block in 0..2 {
        let name = format!("middle_flow/main_block_{block}");
        let mut out = x;
        for conv in 0..3 {
            let conv = format!("{name}/separable_conv{conv}");
            out = layers.relu(&format!("{conv}/relu"), out);
            out = layers.separable(out, &conv, 1)?;
        }
        x = layers.graph.add(&format!("{name}/sum"), out, x);
    }
    let x = reduction(&mut layers, x, "exit_flow/reduction_block", true)?;
    let x = layers.separable(x, "exit_flow/separable_conv", 1)?;
    let x = layers.relu("exit_flow/relu", x);
    let x = layers.pool("pool", PoolKind::Average, x, 7, 2, Padding::VALID);
    let flat = layers.flat("flat", x);
    let age = layers.linear(flat, "fc/age/weights", "fc/age/bias")?;
    let gender = layers.linear(flat, "fc/gender/weights", "fc/gender/bias")?;
    layers.graph.output("age", age);
    layers.graph.output("gender", gender);
    Ok(layers.graph)
}

/// Two separable convolutions and a pool that halves the map, beside a convolution that does so at once.
fn reduction(layers: &mut Layers<'_>, x: Value, name: &str, active: bool) -> Result<Value> {
    let conv = |index: usize| format!("{name}/separable_conv{index}");
    let first = if active {
        layers.relu(&format!("{}/relu", conv(0)), x)
    } else {
        x
    };
    let out = layers.separable(first, &conv(0), 1)?;
    let out = layers.relu(&format!("{}/relu", conv(1)), out);
    let out = layers.separable(out, &conv(1), 1)?;
    let out = layers.pool(
        &format!("{name}/pool"),
        PoolKind::Max,
        out,
        3,
        2,
        Padding::Same,
    );
    let expansion = format!("{name}/expansion_conv");
    let (kernel, bias) = (format!("{expansion}/filters"), format!("{expansion}/bias"));
    let beside = layers.conv(x, &kernel, &bias, 2, Padding::Same)?;
    Ok(layers.graph.add(&format!("{name}/sum"), out, beside))
}
