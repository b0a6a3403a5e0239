//! DETR: objects of an image by a transformer (Carion et al., 2020).
//!
//! Reference: `transformers` (`model_type` `detr`, the checkpoints of facebook/detr-resnet-50 and its kin). Tensors
//! have the names of such a checkpoint: `model.backbone.conv_encoder.model.*` (a residual network with the names of
//! timm or of transformers), `model.input_projection`, `model.encoder.*`, `model.decoder.*`,
//! `model.query_position_embeddings`, `class_labels_classifier`, `bbox_predictor`.
//!
//! ```text
//! image ─ ResNet ─ 1x1 ─ rows ─ encoder layers ─┐
//!                       positions (sines) ──────┤
//! learned queries ──────── decoder layers ──────┴─ scores, boxes
//! ```

pub(crate) mod config;
pub(crate) mod layers;
pub(crate) mod resnet;
pub(crate) mod transformer;

pub use config::Config;

use crate::error::Result;
use crate::graph::{Arithmetic, Function, Graph, Op, Tensor, Value};
use escala_weights::Tensors;
use layers::{EPSILON, Layers, Wide};
use transformer::{Attended, EncoderLayer, attention, feed_forward};

/// Name of the network's input.
pub const INPUT: &str = "pixel_values";
/// What is divided by grows from 1 to this along the dimensions of a position.
const TEMPERATURE: f64 = 10_000.0;

/// The network of a checkpoint.
///
/// It reads [`INPUT`], `[batch, height, width, 3]`: RGB with ImageNet's mean and deviation; images of a batch have one
/// size, which may be another in every run (sides of at least 32 make sense). It gives `logits`
/// `[batch, queries, labels + 1]` before softmax, the last being "no object", and `pred_boxes` `[batch, queries, 4]`:
/// middle, width and height as parts of the image.
///
/// # Errors
/// When the weights are not those of the configuration.
pub fn graph(config: &Config, weights: &Tensors) -> Result<Graph> {
    let mut layers = Layers::new(weights);
    let image = layers.graph.input(INPUT, &[None, None, None, Some(3)]);
    let prefix = "model.backbone.conv_encoder.model.";
    let maps = config.backbone.build(&mut layers, image, prefix)?;
    let Some(&map) = maps.last() else {
        return Err(crate::Error::unsupported("a backbone without stages"));
    };
    let width = config.width;
    let projected = projection(&mut layers, map, width)?;
    let positions = positions(&mut layers, projected);
    let mut memory = layers.rows("model.input_projection", projected);
    for layer in 0..config.encoder_layers {
        let layer = EncoderLayer {
            name: &format!("model.encoder.layers.{layer}"),
            heads: config.encoder_heads,
            inner: config.encoder_inner,
            function: config.function.clone(),
            epsilon: EPSILON,
            norm_first: false,
        };
        memory = layer.build(&mut layers, memory, Some(positions))?;
    }
    let placed = layers.add("model.encoder", memory, positions);
    let answers = decode(&mut layers, config, memory, placed)?;
    let classes = config.labels.len() + 1;
    let logits = layers.linear("class_labels_classifier", answers, classes)?;
    let boxes = layers.perceptron("bbox_predictor", answers, &[width, width, 4])?;
    let boxes = layers.map("bbox_predictor", Function::Sigmoid, boxes);
    layers.graph.output("logits", logits.value);
    layers.graph.output("pred_boxes", boxes.value);
    Ok(layers.graph)
}

/// The convolution that gives the map the transformer's width.
fn projection(layers: &mut Layers<'_>, map: Wide, width: usize) -> Result<Wide> {
    let name = "model.input_projection";
    let kernel = layers::Kernel {
        shape: [width, map.width, 1, 1],
        weights: layers.tensor_of(&format!("{name}.weight"), &[width, map.width, 1, 1])?,
        bias: layers.tensor_of(&format!("{name}.bias"), &[width])?,
    };
    layers.convolve(name, map, kernel, 1)
}

/// The queries after all layers: `[batch, queries, width]`. `placed` is the encoder's answer with its positions.
fn decode(layers: &mut Layers<'_>, config: &Config, memory: Wide, placed: Wide) -> Result<Wide> {
    let (queries, width) = (config.queries, config.width);
    let name = "model.query_position_embeddings.weight";
    let learned = layers.tensor_of(name, &[queries, width])?;
    let learned = Tensor::new(&[1, queries, width], learned)?;
    let nothing = Tensor::new(&[1, queries, width], vec![0.0; queries * width])?;
    let learned = layers.graph.constant(learned);
    let mut x = Wide {
        value: layers.graph.constant(nothing),
        width,
    };
    for layer in 0..config.decoder_layers {
        let name = format!("model.decoder.layers.{layer}");
        let asking = layers.add(&name, x, learned);
        let themselves = Attended {
            queries: asking,
            keys: asking,
            values: x,
        };
        let own = format!("{name}.self_attn");
        x = attention(layers, &own, themselves, config.decoder_heads, x.value)?;
        x = layers.layer_norm(&format!("{own}_layer_norm"), x, EPSILON)?;
        let encoded = Attended {
            queries: layers.add(&name, x, learned),
            keys: placed,
            values: memory,
        };
        let cross = format!("{name}.encoder_attn");
        x = attention(layers, &cross, encoded, config.decoder_heads, x.value)?;
        x = layers.layer_norm(&format!("{cross}_layer_norm"), x, EPSILON)?;
        x = feed_forward(layers, &name, x, config.decoder_inner, &config.function)?;
        x = layers.layer_norm(&format!("{name}.final_layer_norm"), x, EPSILON)?;
    }
    layers.layer_norm("model.decoder.layernorm", x, EPSILON)
}

/// Sines and cosines of the rows and columns of a map, `[1, height * width, width]`: known before the run from the
/// map's shape. Half of the numbers are of the row, and sines and cosines take turns; a whole side is one turn of
/// the slowest.
fn positions(layers: &mut Layers<'_>, map: Wide) -> Value {
    let half = map.width / 2;
    let name = "model.position_embedding";
    let periods = (0..half / 2).map(|pair| {
        let exponent = 2.0 * pair as f64 / half as f64;
        TEMPERATURE.powf(exponent) as f32
    });
    let periods = layers.graph.constant(Tensor::list(periods.collect()));
    let graph = &mut layers.graph;
    let sizes = graph.apply(name, Op::Shape, &[map.value]);
    let mut side = |axis: i64| -> [Value; 2] {
        let bounds = [axis, axis + 1].map(|bound| graph.integers(&[bound]));
        let size = graph.apply(name, Op::Slice, &[sizes, bounds[0], bounds[1]]);
        let small = graph.constant(Tensor::scalar(1e-6));
        let (one, whole) = (
            graph.constant(Tensor::scalar(1.0)),
            graph.add(name, size, small),
        );
        let end = graph.add(name, size, one);
        let places = graph.apply(name, Op::Range, &[one, end, one]);
        let parts = graph.apply(name, Op::Arithmetic(Arithmetic::Div), &[places, whole]);
        let turn = Function::Affine {
            scale: std::f32::consts::TAU,
            shift: 0.0,
        };
        let angles = graph.map(name, turn, parts);
        let angles = graph.apply(name, Op::Unsqueeze(vec![1]), &[angles]);
        let angles = graph.apply(name, Op::Arithmetic(Arithmetic::Div), &[angles, periods]);
        let waves = [Function::Sin, Function::Cos].map(|function| {
            let wave = graph.map(name, function, angles);
            graph.apply(name, Op::Unsqueeze(vec![2]), &[wave])
        });
        let turns = graph.apply(name, Op::Concat { axis: 2 }, &waves);
        let shape = graph.integers(&[0, half as i64]);
        let rows = graph.apply(name, Op::Reshape { keep_zeros: true }, &[turns, shape]);
        [size, rows]
    };
    let ([height, rows], [width, columns]) = (side(1), side(2));
    let deep = graph.integers(&[half as i64]);
    let all = graph.apply(name, Op::Concat { axis: 0 }, &[height, width, deep]);
    let parts = [(rows, 1), (columns, 0)].map(|(part, axis)| {
        let part = graph.apply(name, Op::Unsqueeze(vec![axis]), &[part]);
        graph.apply(name, Op::Expand, &[part, all])
    });
    let joined = graph.apply(name, Op::Concat { axis: 2 }, &parts);
    layers.reshape(name, joined, &[1, -1, map.width as i64])
}
