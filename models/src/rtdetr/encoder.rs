//! The hybrid encoder: attention within a map (AIFI), and fusion of the maps from the smallest to the largest and
//! back (CCFM).

use super::Config;
use crate::detr::layers::{EPSILON, Kernel, Layers, Normalised, Wide};
use crate::detr::transformer::EncoderLayer;
use crate::error::{Error, Result};
use crate::graph::{Coordinates, Function, Op, Resize, ResizeMode, ResizeTarget, Tensor, Value};

/// A square map.
#[derive(Clone, Copy)]
pub(super) struct Map {
    pub(super) map: Wide,
    pub(super) side: usize,
}

/// Blocks in a row in a fusion.
const BLOCKS: usize = 3;

/// The backbone's maps, fused, from the largest to the smallest.
pub(super) fn build(layers: &mut Layers<'_>, config: &Config, maps: Vec<Map>) -> Result<Vec<Map>> {
    let width = config.encoder_width;
    let mut maps: Vec<Map> = maps
        .into_iter()
        .enumerate()
        .map(|(level, map)| {
            let name = format!("model.encoder_input_proj.{level}");
            let names = [format!("{name}.0"), format!("{name}.1")];
            let names = Normalised {
                conv: &names[0],
                norm: &names[1],
                epsilon: EPSILON,
            };
            let projected = layers.normalised(&names, map.map, 1, 1, Function::Identity)?;
            sized(&projected, width, &name)?;
            Ok(Map {
                map: projected,
                ..map
            })
        })
        .collect::<Result<_>>()?;
    if config.encoder_layers > 0 {
        for (number, &level) in config.attended.iter().enumerate() {
            let Some(map) = maps.get_mut(level) else {
                return Err(Error::unsupported(format!("attention within map {level}")));
            };
            *map = attend(layers, config, number, *map)?;
        }
    }
    fuse(layers, config, maps)
}

fn sized(map: &Wide, width: usize, name: &str) -> Result<()> {
    if map.width == width {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "{name} has {} channels, not {width}",
        map.width
    )))
}

/// Every place of a map asks every other.
fn attend(layers: &mut Layers<'_>, config: &Config, number: usize, map: Map) -> Result<Map> {
    let name = format!("model.encoder.encoder.{number}");
    let width = map.map.width;
    let positions = if config.placed {
        let positions = positions(map.side, width, config.temperature)?;
        Some(layers.graph.constant(positions))
    } else {
        None
    };
    let mut x = layers.rows(&name, map.map);
    for layer in 0..config.encoder_layers {
        let layer = EncoderLayer {
            name: &format!("{name}.layers.{layer}"),
            heads: config.encoder_heads,
            inner: config.encoder_inner,
            function: config.encoder_function.clone(),
            epsilon: config.epsilon,
            norm_first: config.norm_first,
        };
        x = layer.build(layers, x, positions)?;
    }
    let side = map.side as i64;
    let value = layers.reshape(&name, x.value, &[0, side, side, width as i64]);
    Ok(Map {
        map: Wide { value, width },
        ..map
    })
}

/// Sines and cosines of rows, then of columns: `[1, side * side, width]`.
fn positions(side: usize, width: usize, temperature: f64) -> Result<Tensor> {
    let quarter = width / 4;
    let mut data = Vec::with_capacity(side * side * width);
    let angle = |place: usize, at: usize| {
        let period = temperature.powf(at as f64 / quarter as f64);
        place as f64 / period
    };
    for row in 0..side {
        for column in 0..side {
            for place in [row, column] {
                data.extend((0..quarter).map(|at| angle(place, at).sin() as f32));
                data.extend((0..quarter).map(|at| angle(place, at).cos() as f32));
            }
        }
    }
    Ok(Tensor::new(&[1, side * side, width], data)?)
}

/// Down the maps from the smallest, which are made larger, and up again.
fn fuse(layers: &mut Layers<'_>, config: &Config, maps: Vec<Map>) -> Result<Vec<Map>> {
    let Some((&smallest, larger)) = maps.split_last() else {
        return Err(Error::unsupported("no maps to fuse"));
    };
    let mut descended = vec![smallest];
    for (step, &map) in larger.iter().rev().enumerate() {
        let lateral = normalised(
            layers,
            config,
            &format!("model.encoder.lateral_convs.{step}"),
            descended[step].map,
            1,
            1,
        )?;
        descended[step].map = lateral;
        let name = format!("model.encoder.fpn_blocks.{step}");
        let up = doubled(layers, &name, lateral.value);
        let joined = join(layers, &name, up, map.map);
        let fused = csp(layers, config, &name, joined)?;
        descended.push(Map { map: fused, ..map });
    }
    descended.reverse();
    let mut fused = descended.clone();
    for step in 1..fused.len() {
        let down = normalised(
            layers,
            config,
            &format!("model.encoder.downsample_convs.{}", step - 1),
            fused[step - 1].map,
            3,
            2,
        )?;
        let name = format!("model.encoder.pan_blocks.{}", step - 1);
        let joined = join(layers, &name, down.value, descended[step].map);
        fused[step].map = csp(layers, config, &name, joined)?;
    }
    Ok(fused)
}

/// Twice as high and wide.
fn doubled(layers: &mut Layers<'_>, name: &str, map: Value) -> Value {
    let twice = layers.graph.constant(Tensor::list(vec![2.0, 2.0]));
    let resize = Resize {
        mode: ResizeMode::NearestFloor,
        coordinates: Coordinates::Asymmetric,
        target: ResizeTarget::Scales,
    };
    layers.graph.apply(name, Op::Resize(resize), &[map, twice])
}

/// Two maps of as many channels as one.
fn join(layers: &mut Layers<'_>, name: &str, first: Value, second: Wide) -> Wide {
    let op = Op::Concat { axis: 3 };
    Wide {
        value: layers.graph.apply(name, op, &[first, second.value]),
        width: 2 * second.width,
    }
}

/// `NAME.conv` and `NAME.norm`.
fn kernel(
    layers: &Layers<'_>,
    config: &Config,
    name: &str,
    inputs: usize,
    side: usize,
) -> Result<Kernel> {
    let (conv, norm) = (format!("{name}.conv"), format!("{name}.norm"));
    let names = Normalised {
        conv: &conv,
        norm: &norm,
        epsilon: config.norm_epsilon,
    };
    layers.kernel(&names, inputs, side)
}

fn normalised(
    layers: &mut Layers<'_>,
    config: &Config,
    name: &str,
    x: Wide,
    side: usize,
    stride: usize,
) -> Result<Wide> {
    let kernel = kernel(layers, config, name, x.width, side)?;
    let y = layers.convolve(name, x, kernel, stride)?;
    Ok(layers.map(name, config.function.clone(), y))
}

/// One half goes through blocks, the other does not; then their sum.
fn csp(layers: &mut Layers<'_>, config: &Config, name: &str, x: Wide) -> Result<Wide> {
    let mut first = normalised(layers, config, &format!("{name}.conv1"), x, 1, 1)?;
    for block in 0..BLOCKS {
        let block = format!("{name}.bottlenecks.{block}");
        let kernel = whole(layers, config, &block, first.width)?;
        first = layers.convolve(&block, first, kernel, 1)?;
        first = layers.map(&block, config.function.clone(), first);
    }
    let second = normalised(layers, config, &format!("{name}.conv2"), x, 1, 1)?;
    sized(&second, first.width, name)?;
    let sum = layers.add(name, second, first.value);
    let last = format!("{name}.conv3");
    let made = if layers.has(&format!("{last}.conv.weight")) {
        normalised(layers, config, &last, sum, 1, 1)?
    } else {
        sum
    };
    sized(&made, config.encoder_width, name)?;
    Ok(made)
}

/// The window of three and the one of one beside it, whose results would be added, as one (RepVGG, Ding et al., 2021).
fn whole(layers: &Layers<'_>, config: &Config, name: &str, inputs: usize) -> Result<Kernel> {
    let mut wide = kernel(layers, config, &format!("{name}.conv1"), inputs, 3)?;
    let point = kernel(layers, config, &format!("{name}.conv2"), inputs, 1)?;
    if wide.bias.len() != point.bias.len() {
        return Err(Error::unsupported(format!("{name} of two widths")));
    }
    for (middle, weight) in wide
        .weights
        .iter_mut()
        .skip(4)
        .step_by(9)
        .zip(&point.weights)
    {
        *middle += weight;
    }
    for (bias, other) in wide.bias.iter_mut().zip(&point.bias) {
        *bias += other;
    }
    Ok(wide)
}
