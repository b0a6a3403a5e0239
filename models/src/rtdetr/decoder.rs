//! Queries and what becomes of them: the best places of all maps, and layers that ask each other and the maps, and
//! move the boxes.

use super::Config;
use super::encoder::Map;
use crate::detr::layers::{Layers, Normalised, Wide};
use crate::detr::transformer::{Attended, attention, feed_forward};
use crate::error::{Error, Result};
use crate::graph::{Arithmetic, Deformable, Function, Op, Reduce, Reduction, Tensor, Value};

/// Anchors nearer to the image's edge are not used.
const EDGE: f32 = 1e-2;
/// Side of the anchors of the largest map, as a part of the image; those of each other are twice as large.
const ANCHOR: f32 = 0.05;
/// Parts of the image nearer to 0 or 1 count as this before their logarithm.
const NEAREST: f32 = 1e-5;

/// Adds the decoder and its outputs.
pub(super) fn build(layers: &mut Layers<'_>, config: &Config, maps: &[Map]) -> Result<()> {
    let memory = memory(layers, config, maps)?;
    let (mut x, mut boxes) = queries(layers, config, maps, memory)?;
    let deformable = Deformable {
        heads: config.decoder_heads,
        points: config.points,
        maps: maps.iter().map(|map| [map.side; 2]).collect(),
    };
    let width = config.width;
    for layer in 0..config.decoder_layers {
        let name = format!("model.decoder.layers.{layer}");
        let positions =
            layers.perceptron("model.decoder.query_pos_head", boxes, &[2 * width, width])?;
        x = decoder_layer(
            layers,
            config,
            &name,
            x,
            positions,
            boxes,
            memory,
            &deformable,
        )?;
        let head = either(layers, "bbox_embed", &format!("{layer}.layers.0"), layer);
        let moves = layers.perceptron(&head, x, &[width, width, 4])?;
        let before = logit(layers, &name, boxes.value);
        let moved = layers.add(&head, moves, before);
        boxes = layers.map(&head, Function::Sigmoid, moved);
    }
    let last = config.decoder_layers - 1;
    let head = either(layers, "class_embed", &last.to_string(), last);
    let logits = layers.linear(&head, x, config.labels.len())?;
    layers.graph.output("logits", logits.value);
    layers.graph.output("pred_boxes", boxes.value);
    Ok(())
}

/// Heads are stored under the decoder or beside it, being the same tensors.
fn either(layers: &Layers<'_>, kind: &str, first: &str, layer: usize) -> String {
    let under = format!("model.decoder.{kind}");
    if layers.has(&format!("{under}.{first}.weight")) {
        format!("{under}.{layer}")
    } else {
        format!("{kind}.{layer}")
    }
}

/// The places of all maps in turn: `[batch, places, width]`.
fn memory(layers: &mut Layers<'_>, config: &Config, maps: &[Map]) -> Result<Wide> {
    let width = config.width;
    let mut rows = Vec::new();
    for (level, map) in maps.iter().enumerate() {
        let name = format!("model.decoder_input_proj.{level}");
        let names = [format!("{name}.0"), format!("{name}.1")];
        let names = Normalised {
            conv: &names[0],
            norm: &names[1],
            epsilon: config.norm_epsilon,
        };
        let projected = layers.normalised(&names, map.map, 1, 1, Function::Identity)?;
        if projected.width != width {
            let what = format!("{name} has {} channels, not {width}", projected.width);
            return Err(Error::unsupported(what));
        }
        rows.push(layers.rows(&name, projected).value);
    }
    let op = Op::Concat { axis: 1 };
    Ok(Wide {
        value: layers.graph.apply("model.decoder_input_proj", op, &rows),
        width,
    })
}

/// Anchors before a sigmoid, `[places, 4]`, and for every place whether its anchor is used.
fn anchors(maps: &[Map]) -> (Vec<f32>, Vec<bool>) {
    let (mut anchors, mut used) = (Vec::new(), Vec::new());
    for (level, map) in maps.iter().enumerate() {
        let size = ANCHOR * (level as f32).exp2();
        let part = |at: usize| (at as f32 + 0.5) / map.side as f32;
        for row in 0..map.side {
            for column in 0..map.side {
                let anchor = [part(column), part(row), size, size];
                let inside = anchor.iter().all(|&x| x > EDGE && x < 1.0 - EDGE);
                let before = |x: f32| {
                    if inside {
                        (x / (1.0 - x)).ln()
                    } else {
                        f32::MAX
                    }
                };
                anchors.extend(anchor.map(before));
                used.push(inside);
            }
        }
    }
    (anchors, used)
}

/// What the decoder begins with: the best places, `[batch, queries, width]`, and their boxes.
fn queries(
    layers: &mut Layers<'_>,
    config: &Config,
    maps: &[Map],
    memory: Wide,
) -> Result<(Wide, Wide)> {
    let (anchors, used) = anchors(maps);
    let (places, queries, width) = (used.len(), config.queries, config.width);
    if queries > places {
        let what = format!("{queries} queries among {places} places");
        return Err(Error::unsupported(what));
    }
    let mut seen = memory;
    if used.contains(&false) {
        let used = used.iter().map(|&used| if used { 1.0 } else { 0.0 });
        let mask = Tensor::new(&[1, places, 1], used.collect())?;
        let mask = layers.graph.constant(mask);
        seen = layers.multiply("model.enc_output", memory, mask);
    }
    let seen = layers.linear("model.enc_output.0", seen, width)?;
    let seen = layers.layer_norm("model.enc_output.1", seen, config.epsilon)?;
    let scores = layers.linear("model.enc_score_head", seen, config.labels.len())?;
    let name = "model.queries";
    let graph = &mut layers.graph;
    let best = Op::Reduce(Reduce {
        kind: Reduction::Max,
        axes: vec![-1],
        keep: false,
    });
    let best = graph.apply(name, best, &[scores.value]);
    let count = graph.integers(&[queries as i64]);
    let op = Op::TopK {
        axis: 1,
        largest: true,
    };
    let chosen = graph.apply_many(name, op, &[best, count], 2)[1];
    // The same for every element of a row.
    let indices = graph.apply(name, Op::Unsqueeze(vec![2]), &[chosen]);
    let across = graph.integers(&[1, 1, width as i64]);
    let indices = graph.apply(name, Op::Expand, &[indices, across]);
    let op = Op::GatherElements { axis: 1 };
    let rows = Wide {
        value: graph.apply(name, op, &[seen.value, indices]),
        width,
    };
    let anchors = graph.constant(Tensor::new(&[places, 4], anchors)?);
    let anchors = graph.apply(name, Op::Gather { axis: 0 }, &[anchors, chosen]);
    // Boxes of the chosen places only: the others' are not looked at.
    let moves = layers.perceptron("model.enc_bbox_head", rows, &[width, width, 4])?;
    let moved = layers.add("model.enc_bbox_head", moves, anchors);
    let boxes = layers.map("model.enc_bbox_head", Function::Sigmoid, moved);
    Ok((rows, boxes))
}

/// `log(x / (1 - x))`, bounded.
fn logit(layers: &mut Layers<'_>, name: &str, x: Value) -> Value {
    let graph = &mut layers.graph;
    let bound = Function::Clip {
        low: NEAREST,
        high: 1.0,
    };
    let rest = Function::Affine {
        scale: -1.0,
        shift: 1.0,
    };
    let rest = graph.map(name, rest, x);
    let (part, rest) = (
        graph.map(name, bound.clone(), x),
        graph.map(name, bound, rest),
    );
    let ratio = graph.apply(name, Op::Arithmetic(Arithmetic::Div), &[part, rest]);
    graph.map(name, Function::Log, ratio)
}

#[allow(clippy::too_many_arguments)]
fn decoder_layer(
    layers: &mut Layers<'_>,
    config: &Config,
    name: &str,
    x: Wide,
    positions: Wide,
    boxes: Wide,
    memory: Wide,
    deformable: &Deformable,
) -> Result<Wide> {
    let width = config.width;
    let placed = layers.add(name, positions, x.value);
    let themselves = Attended {
        queries: placed,
        keys: placed,
        values: x,
    };
    let own = format!("{name}.self_attn");
    let x = attention(layers, &own, themselves, config.decoder_heads, x.value)?;
    let x = layers.layer_norm(&format!("{own}_layer_norm"), x, config.epsilon)?;

    let cross = format!("{name}.encoder_attn");
    let samples = deformable.heads * deformable.maps.len() * deformable.points;
    let placed = layers.add(&cross, x, positions.value);
    let values = layers.linear(&format!("{cross}.value_proj"), memory, width)?;
    let offsets = layers.linear(&format!("{cross}.sampling_offsets"), placed, 2 * samples)?;
    let weights = layers.linear(&format!("{cross}.attention_weights"), placed, samples)?;
    // Shares of all samples of a head.
    let heads = deformable.heads as i64;
    let shares = layers.reshape(&cross, weights.value, &[0, 0, heads, -1]);
    let shares = layers
        .graph
        .apply(&cross, Op::Softmax { axis: -1 }, &[shares]);
    let shares = layers.reshape(&cross, shares, &[0, 0, samples as i64]);
    let op = Op::Deformable(deformable.clone());
    let inputs = [values.value, boxes.value, offsets.value, shares];
    let read = Wide {
        value: layers.graph.apply(&cross, op, &inputs),
        width,
    };
    let out = layers.linear(&format!("{cross}.output_proj"), read, width)?;
    let x = layers.add(&cross, out, x.value);
    let x = layers.layer_norm(&format!("{cross}_layer_norm"), x, config.epsilon)?;

    let function = &config.decoder_function;
    let x = feed_forward(layers, name, x, config.decoder_inner, function)?;
    layers.layer_norm(&format!("{name}.final_layer_norm"), x, config.epsilon)
}
