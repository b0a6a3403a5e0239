//! ViT: an image's patches as the tokens of a transformer.
//!
//! Paper: Dosovitskiy and others, "An Image is Worth 16x16 Words" (2020). Reference: `ViTForImageClassification` of
//! transformers 5.24. Tensors: `vit.embeddings.{cls_token,position_embeddings,patch_embeddings.projection.*}`,
//! `vit.encoder.layer.N.{attention.attention.{query,key,value},attention.output.dense,intermediate.dense,output.dense,
//! layernorm_before,layernorm_after}.*`, `vit.layernorm.*`, `classifier.*`.

use super::MOST_BLOCKS;
use crate::detr::layers::{Layers, Wide, activation};
use crate::error::{Error, Result};
use crate::graph::{Linear, Op, Padding, Tensor, Value, Window};
use serde::Deserialize;
use std::sync::Arc;

/// `config.json`
#[derive(Deserialize)]
pub(super) struct Config {
    #[serde(default = "wide")]
    hidden_size: usize,
    #[serde(default = "twelve")]
    num_hidden_layers: usize,
    #[serde(default = "twelve")]
    num_attention_heads: usize,
    #[serde(default = "inner")]
    intermediate_size: usize,
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

fn inner() -> usize {
    3072
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

/// What the classes are told by, and the name of the product that tells them.
pub(super) fn features(
    config: &Config,
    layers: &mut Layers<'_>,
    image: Wide,
    [height, width]: [usize; 2],
) -> Result<(Wide, &'static str)> {
    let (hidden, heads, patch) = (
        config.hidden_size,
        config.num_attention_heads,
        config.patch_size,
    );
    if heads == 0 || hidden == 0 || !hidden.is_multiple_of(heads) {
        return Err(Error::unsupported(format!(
            "`hidden_size` {hidden} is not made of `num_attention_heads` {heads}"
        )));
    }
    if !(1..=MOST_BLOCKS).contains(&config.num_hidden_layers) {
        let what = format!("`num_hidden_layers` is not 1 to {MOST_BLOCKS}");
        return Err(Error::unsupported(what));
    }
    if patch == 0 || height < patch || width < patch {
        return Err(Error::unsupported(format!(
            "`patch_size` {patch} does not fit an image of {height} x {width}"
        )));
    }
    let tokens = (height / patch) * (width / patch) + 1;
    let name = "vit.embeddings.patch_embeddings.projection";
    let shape = [hidden, 3, patch, patch];
    let weights = layers.tensor_of(&format!("{name}.weight"), &shape)?;
    let weights = Tensor::new(&shape, weights)?;
    let bias = layers.tensor_of(&format!("{name}.bias"), &[hidden])?;
    let window = Window::square(patch, patch, Padding::VALID);
    let map = Wide {
        value: layers
            .graph
            .conv(name, image.value, weights, Some(&bias), window, 1)?,
        width: hidden,
    };
    let patches = layers.rows(name, map);
    let class = constant(layers, "vit.embeddings.cls_token", &[1, 1, hidden])?;
    let positions = "vit.embeddings.position_embeddings";
    let positions = constant(layers, positions, &[1, tokens, hidden])?;
    let all = Op::Concat { axis: 1 };
    let mut x = Wide {
        value: layers
            .graph
            .apply("vit.embeddings", all, &[class, patches.value]),
        width: hidden,
    };
    x = layers.add("vit.embeddings", x, positions);

    let (act, epsilon) = (activation(&config.hidden_act)?, config.layer_norm_eps);
    for number in 0..config.num_hidden_layers {
        let name = |part: &str| format!("vit.encoder.layer.{number}.{part}");
        let read = layers.layer_norm(&name("layernorm_before"), x, epsilon)?;
        let seen = attention(layers, &name("attention"), read, heads, config.qkv_bias)?;
        x = layers.add(&name("attention"), seen, x.value);
        let read = layers.layer_norm(&name("layernorm_after"), x, epsilon)?;
        let inner = name("intermediate.dense");
        let inner = layers.linear(&inner, read, config.intermediate_size)?;
        let inner = layers.map(&name("intermediate"), act.clone(), inner);
        let out = layers.linear(&name("output.dense"), inner, hidden)?;
        x = layers.add(&name("output"), out, x.value);
    }
    // Only the first token is read further.
    let [starts, ends, axes] = [0, 1, 1].map(|at| layers.graph.integers(&[at]));
    let first = layers
        .graph
        .apply("vit", Op::Slice, &[x.value, starts, ends, axes]);
    let first = Wide {
        value: layers.reshape("vit", first, &[1, hidden as i64]),
        width: hidden,
    };
    let first = layers.layer_norm("vit.layernorm", first, epsilon)?;
    Ok((first, "classifier"))
}

/// A tensor of the checkpoint as it is.
fn constant(layers: &mut Layers<'_>, name: &str, shape: &[usize]) -> Result<Value> {
    let tensor = Tensor::new(shape, layers.tensor_of(name, shape)?)?;
    Ok(layers.graph.constant(tensor))
}

/// Attention of every token to every token, `[1, tokens, hidden]`.
fn attention(
    layers: &mut Layers<'_>,
    name: &str,
    x: Wide,
    heads: usize,
    biased: bool,
) -> Result<Wide> {
    let (hidden, each) = (x.width, x.width / heads);
    let scale = 1.0 / (each as f32).sqrt();
    let mut split = |part: &str, scale: f32, order: [usize; 4]| -> Result<Value> {
        let name = format!("{name}.attention.{part}");
        let made = match biased {
            true => layers.scaled_linear(&name, x, hidden, scale)?.value,
            false => unbiased(layers, &name, x, scale)?,
        };
        let shape = [0, 0, heads as i64, each as i64];
        let made = layers.reshape(&name, made, &shape);
        let op = Op::Transpose(order.to_vec());
        Ok(layers.graph.apply(&name, op, &[made]))
    };
    // `[1, heads, tokens, each]`, the keys' last two the other way round.
    let query = split("query", scale, [0, 2, 1, 3])?;
    let key = split("key", 1.0, [0, 2, 3, 1])?;
    let value = split("value", 1.0, [0, 2, 1, 3])?;
    let graph = &mut layers.graph;
    let scores = graph.apply(name, Op::MatMul, &[query, key]);
    let shares = graph.apply(name, Op::Softmax { axis: -1 }, &[scores]);
    let mixed = graph.apply(name, Op::MatMul, &[shares, value]);
    let mixed = graph.apply(name, Op::Transpose(vec![0, 2, 1, 3]), &[mixed]);
    let mixed = Wide {
        value: layers.reshape(name, mixed, &[0, 0, hidden as i64]),
        width: hidden,
    };
    layers.linear(&format!("{name}.output.dense"), mixed, hidden)
}

/// A product with a square `NAME.weight`, times `scale`, without a bias.
fn unbiased(layers: &mut Layers<'_>, name: &str, x: Wide, scale: f32) -> Result<Value> {
    let hidden = x.width;
    let stored = layers.tensor_of(&format!("{name}.weight"), &[hidden; 2])?;
    let mut weights = vec![0.0; stored.len()];
    for (at, value) in stored.iter().enumerate() {
        weights[at % hidden * hidden + at / hidden] = value * scale;
    }
    let weights = Arc::new(Tensor::new(&[hidden; 2], weights)?);
    let linear = Linear::new(name, weights, None)?;
    Ok(layers.graph.apply(name, Op::Linear(linear), &[x.value]))
}
