//! Attention and feed-forward parts of detection transformers. Positions are added to what queries and keys are made
//! of, not to values.

use super::layers::{Layers, Wide};
use crate::error::{Error, Result};
use crate::graph::{Function, Op, Value};

/// What an attention reads.
#[derive(Clone, Copy)]
pub(crate) struct Attended {
    /// What asks, with its positions.
    pub(crate) queries: Wide,
    /// What is asked, with its positions.
    pub(crate) keys: Wide,
    /// What is answered.
    pub(crate) values: Wide,
}

/// Attention with several heads, projected and added to `residual`.
pub(crate) fn attention(
    layers: &mut Layers<'_>,
    name: &str,
    attended: Attended,
    heads: usize,
    residual: Value,
) -> Result<Wide> {
    let width = attended.queries.width;
    if heads == 0 || !width.is_multiple_of(heads) {
        return Err(Error::unsupported(format!(
            "{heads} heads of a width of {width}"
        )));
    }
    let size = width / heads;
    let scale = 1.0 / (size as f32).sqrt();
    let mut split = |part: &str, x: Wide, scale: f32, order: [usize; 4]| -> Result<Value> {
        let name = format!("{name}.{part}");
        let x = layers.scaled_linear(&name, x, width, scale)?;
        let x = layers.reshape(&name, x.value, &[0, 0, heads as i64, size as i64]);
        let op = Op::Transpose(order.to_vec());
        Ok(layers.graph.apply(&name, op, &[x]))
    };
    // `[batch, heads, tokens, size]`, the keys' last two the other way round.
    let queries = split("q_proj", attended.queries, scale, [0, 2, 1, 3])?;
    let keys = split("k_proj", attended.keys, 1.0, [0, 2, 3, 1])?;
    let values = split("v_proj", attended.values, 1.0, [0, 2, 1, 3])?;
    let graph = &mut layers.graph;
    let scores = graph.apply(name, Op::MatMul, &[queries, keys]);
    let shares = graph.apply(name, Op::Softmax { axis: -1 }, &[scores]);
    let mixed = graph.apply(name, Op::MatMul, &[shares, values]);
    let mixed = graph.apply(name, Op::Transpose(vec![0, 2, 1, 3]), &[mixed]);
    let mixed = Wide {
        value: layers.reshape(name, mixed, &[0, 0, width as i64]),
        width,
    };
    let out = layers.linear(&format!("{name}.out_proj"), mixed, width)?;
    Ok(layers.add(name, out, residual))
}

/// Two products with a function between them (`NAME.fc1`, `NAME.fc2`), added to `x`.
pub(crate) fn feed_forward(
    layers: &mut Layers<'_>,
    name: &str,
    x: Wide,
    inner: usize,
    function: &Function,
) -> Result<Wide> {
    let first = format!("{name}.fc1");
    let y = layers.linear(&first, x, inner)?;
    let y = layers.map(&first, function.clone(), y);
    let y = layers.linear(&format!("{name}.fc2"), y, x.width)?;
    Ok(layers.add(name, y, x.value))
}

/// A layer of an encoder: what comes in with `positions` asks itself, then the feed-forward part; both added to what
/// came in and normalised after (or before) it.
pub(crate) struct EncoderLayer<'a> {
    pub(crate) name: &'a str,
    pub(crate) heads: usize,
    pub(crate) inner: usize,
    pub(crate) function: Function,
    pub(crate) epsilon: f32,
    pub(crate) norm_first: bool,
}

impl EncoderLayer<'_> {
    pub(crate) fn build(
        &self,
        layers: &mut Layers<'_>,
        x: Wide,
        positions: Option<Value>,
    ) -> Result<Wide> {
        let name = self.name;
        let norms = ["self_attn_layer_norm", "final_layer_norm"].map(|n| format!("{name}.{n}"));
        let mut seen = x;
        if self.norm_first {
            seen = layers.layer_norm(&norms[0], x, self.epsilon)?;
        }
        let placed = match positions {
            Some(positions) => layers.add(name, seen, positions),
            None => seen,
        };
        let attended = Attended {
            queries: placed,
            keys: placed,
            values: seen,
        };
        let attention_name = format!("{name}.self_attn");
        let mut x = attention(layers, &attention_name, attended, self.heads, x.value)?;
        if !self.norm_first {
            x = layers.layer_norm(&norms[0], x, self.epsilon)?;
            let y = feed_forward(layers, name, x, self.inner, &self.function)?;
            return layers.layer_norm(&norms[1], y, self.epsilon);
        }
        // What is normalised is also what the feed-forward part is added to.
        let x = layers.layer_norm(&norms[1], x, self.epsilon)?;
        feed_forward(layers, name, x, self.inner, &self.function)
    }
}
