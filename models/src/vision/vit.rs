//! ViT: an image's patches as the tokens of a transformer.
//!
//! Paper: Dosovitskiy and others, "An Image is Worth 16x16 Words" (2020). Reference: `ViTForImageClassification` of
//! transformers 5.24. Tensors: `vit.embeddings.{cls_token,position_embeddings,patch_embeddings.projection.*}`,
//! `vit.encoder.layer.N.{attention.attention.{query,key,value},attention.output.dense,intermediate.dense,output.dense,
//! layernorm_before,layernorm_after}.*`, `vit.layernorm.*`, `classifier.*`.

use super::{Layers, MOST_BLOCKS, Result, activation, array, unsupported};
use crate::graph::{
    Arithmetic, Function, Graph, Op, Padding, Reduce, Reduction, Tensor, Value, Window,
};
use escala_weights::Tensors;
use serde::Deserialize;

/// `config.json`
#[derive(Deserialize)]
pub(super) struct Config {
    #[serde(default = "wide")]
    hidden_size: usize,
    #[serde(default = "twelve")]
    num_hidden_layers: usize,
    #[serde(default = "twelve")]
    num_attention_heads: usize,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "epsilon")]
    layer_norm_eps: f32,
    #[serde(default = "sixteen")]
    patch_size: usize,
    #[serde(default = "yes")]
    qkv_bias: bool,
}

fn wide() -> usize {
    768
}

fn twelve() -> usize {
    12
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn epsilon() -> f32 {
    1e-12
}

fn sixteen() -> usize {
    16
}

fn yes() -> bool {
    true
}

/// The network, and its classes.
pub(super) fn graph(
    config: Config,
    weights: &Tensors,
    [height, width]: [usize; 2],
) -> Result<(Graph, usize)> {
    let (hidden, heads, patch) = (
        config.hidden_size,
        config.num_attention_heads,
        config.patch_size,
    );
    if heads == 0 || hidden == 0 || !hidden.is_multiple_of(heads) {
        return unsupported(format!(
            "`hidden_size` {hidden} is not made of `num_attention_heads` {heads}"
        ));
    }
    if !(1..=MOST_BLOCKS).contains(&config.num_hidden_layers) {
        return unsupported(format!("`num_hidden_layers` is not 1 to {MOST_BLOCKS}"));
    }
    if patch == 0 || height < patch || width < patch {
        return unsupported(format!(
            "`patch_size` {patch} does not fit an image of {height} x {width}"
        ));
    }
    let tokens = (height / patch) * (width / patch) + 1;
    let (mut layers, x) = Layers::new(weights, [height, width]);
    let window = Window {
        size: [patch; 2],
        ..Window::square(patch, patch, Padding::VALID)
    };
    let patches = layers.conv(x, "vit.embeddings.patch_embeddings.projection", window)?;
    let rows = layers
        .graph
        .integers(&[1, tokens as i64 - 1, hidden as i64]);
    let patches = reshape(&mut layers, "vit.embeddings.flat", patches, rows);
    let name = "vit.embeddings.cls_token";
    let class = array(weights, name)?;
    layers.shaped(&class, name, &[1, 1, hidden])?;
    let class = layers.graph.constant(class);
    let x = layers.graph.apply(
        "vit.embeddings.tokens",
        Op::Concat { axis: 1 },
        &[class, patches],
    );
    let name = "vit.embeddings.position_embeddings";
    let positions = array(weights, name)?;
    layers.shaped(&positions, name, &[1, tokens, hidden])?;
    let positions = layers.graph.constant(positions);
    let mut x = layers.graph.add("vit.embeddings.sum", x, positions);

    let act = activation(&config.hidden_act)?;
    for number in 0..config.num_hidden_layers {
        let name = |part: &str| format!("vit.encoder.layer.{number}.{part}");
        let read = norm(
            &mut layers,
            x,
            &name("layernorm_before"),
            hidden,
            config.layer_norm_eps,
        )?;
        let seen = attention(&mut layers, read, &name("attention"), &config, tokens)?;
        x = layers.graph.add(&name("attention.sum"), x, seen);
        let read = norm(
            &mut layers,
            x,
            &name("layernorm_after"),
            hidden,
            config.layer_norm_eps,
        )?;
        let (inner, _) = layers.linear(read, &name("intermediate.dense"), true)?;
        let inner = layers
            .graph
            .map(&name("intermediate.act"), act.clone(), inner);
        let (out, _) = layers.linear(inner, &name("output.dense"), true)?;
        x = layers.graph.add(&name("output.sum"), x, out);
    }
    // Only the first token is read further.
    let [starts, ends, axes] = [0, 1, 1].map(|at| layers.graph.integers(&[at]));
    let first = layers
        .graph
        .apply("vit.first", Op::Slice, &[x, starts, ends, axes]);
    let first = norm(
        &mut layers,
        first,
        "vit.layernorm",
        hidden,
        config.layer_norm_eps,
    )?;
    let flat = layers.graph.integers(&[1, hidden as i64]);
    let first = reshape(&mut layers, "vit.flat", first, flat);
    layers.scores(first, "classifier")
}

fn reshape(layers: &mut Layers<'_>, name: &str, x: Value, shape: Value) -> Value {
    layers
        .graph
        .apply(name, Op::Reshape { keep_zeros: false }, &[x, shape])
}

/// Attention of every token to every token, `[1, tokens, hidden]`.
fn attention(
    layers: &mut Layers<'_>,
    x: Value,
    name: &str,
    config: &Config,
    tokens: usize,
) -> Result<Value> {
    let (hidden, heads) = (config.hidden_size, config.num_attention_heads);
    let each = hidden / heads;
    let split = layers
        .graph
        .integers(&[tokens as i64, heads as i64, each as i64]);
    let mut part = |what: &str, order: [usize; 3]| -> Result<Value> {
        let name = format!("{name}.attention.{what}");
        let (x, _) = layers.linear(x, &name, config.qkv_bias)?;
        let x = reshape(layers, &format!("{name}.heads"), x, split);
        Ok(layers.graph.apply(
            &format!("{name}.order"),
            Op::Transpose(order.to_vec()),
            &[x],
        ))
    };
    // Heads first; keys turned so that the product is of rows with columns.
    let query = part("query", [1, 0, 2])?;
    let key = part("key", [1, 2, 0])?;
    let value = part("value", [1, 0, 2])?;
    let graph = &mut layers.graph;
    let scaled = Function::Affine {
        scale: 1.0 / (each as f32).sqrt(),
        shift: 0.0,
    };
    let query = graph.map(&format!("{name}.scaled"), scaled, query);
    let scores = graph.apply(&format!("{name}.scores"), Op::MatMul, &[query, key]);
    let shares = graph.apply(
        &format!("{name}.shares"),
        Op::Softmax { axis: -1 },
        &[scores],
    );
    let seen = graph.apply(&format!("{name}.seen"), Op::MatMul, &[shares, value]);
    let seen = graph.apply(
        &format!("{name}.order"),
        Op::Transpose(vec![1, 0, 2]),
        &[seen],
    );
    let shape = graph.integers(&[1, tokens as i64, hidden as i64]);
    let seen = reshape(layers, &format!("{name}.flat"), seen, shape);
    let (out, _) = layers.linear(seen, &format!("{name}.output.dense"), true)?;
    Ok(out)
}

/// Layer normalisation over the last axis.
fn norm(layers: &mut Layers<'_>, x: Value, name: &str, hidden: usize, eps: f32) -> Result<Value> {
    let gamma = layers.list(&format!("{name}.weight"), hidden)?;
    let beta = layers.list(&format!("{name}.bias"), hidden)?;
    let graph = &mut layers.graph;
    let mean = |graph: &mut Graph, what: &str, x: Value| {
        let mean = Op::Reduce(Reduce {
            kind: Reduction::Mean,
            axes: vec![-1],
            keep: true,
        });
        graph.apply(&format!("{name}.{what}"), mean, &[x])
    };
    let arithmetic = |graph: &mut Graph, what: &str, op: Arithmetic, inputs: [Value; 2]| {
        graph.apply(&format!("{name}.{what}"), Op::Arithmetic(op), &inputs)
    };
    let middle = mean(graph, "mean", x);
    let centred = arithmetic(graph, "centred", Arithmetic::Sub, [x, middle]);
    let squares = arithmetic(graph, "squares", Arithmetic::Mul, [centred, centred]);
    let variance = mean(graph, "variance", squares);
    let shifted = Function::Affine {
        scale: 1.0,
        shift: eps,
    };
    let variance = graph.map(&format!("{name}.eps"), shifted, variance);
    let deviation = graph.map(&format!("{name}.deviation"), Function::Sqrt, variance);
    let unit = arithmetic(graph, "unit", Arithmetic::Div, [centred, deviation]);
    let gamma = graph.constant(Tensor::list(gamma));
    let beta = graph.constant(Tensor::list(beta));
    let scaled = arithmetic(graph, "scaled", Arithmetic::Mul, [unit, gamma]);
    Ok(arithmetic(
        graph,
        "shifted",
        Arithmetic::Add,
        [scaled, beta],
    ))
}
