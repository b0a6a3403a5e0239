//! RT-DETR: objects of an image by a transformer, in real time (Zhao et al., 2023).
//!
//! Reference: `transformers` (`model_type` `rt_detr`, the checkpoints of PekingU/rtdetr_r18vd, rtdetr_r50vd and their
//! kin). Tensors have the names of such a checkpoint: `model.backbone.model.*`, `model.encoder_input_proj.*`,
//! `model.encoder.*`, `model.decoder_input_proj.*`, `model.enc_output`, `model.enc_score_head`,
//! `model.enc_bbox_head`, `model.decoder.*`.
//!
//! ```text
//! image ─ ResNet-D ─ three maps ─ attention within the smallest ─ down and up again (encoder.rs)
//!   ─ every place scored ─ the best are queries ─ decoder layers, each of which moves the boxes (decoder.rs)
//! ```

mod config;
mod decoder;
mod encoder;

pub use config::Config;

use crate::detr::layers::Layers;
use crate::error::{Error, Result};
use crate::graph::Graph;
use escala_weights::Tensors;

/// Name of the network's input.
pub const INPUT: &str = "pixel_values";
/// Sides of images are multiples of this.
const STEP: usize = 32;
/// The largest side of an image.
const LARGEST: usize = 4096;

/// The network of a checkpoint for square images of a side, which is a multiple of 32 (published checkpoints are
/// for 640).
///
/// It reads [`INPUT`], `[batch, side, side, 3]`: RGB from 0 to 1. It gives `logits` `[batch, queries, labels]`, each
/// before a sigmoid of its own, and `pred_boxes` `[batch, queries, 4]`: middle, width and height as parts of the
/// image. Boxes do not need non-maximum suppression.
///
/// # Errors
/// When the weights are not those of the configuration, or the side does not fit.
pub fn graph(config: &Config, weights: &Tensors, side: usize) -> Result<Graph> {
    if side == 0 || !side.is_multiple_of(STEP) || side > LARGEST {
        return Err(Error::unsupported(format!(
            "a side of {side}: multiples of {STEP} up to {LARGEST} are"
        )));
    }
    if config.side.is_some_and(|wanted| wanted != [side; 2]) {
        let what = format!("a side of {side} where anchors are for {:?}", config.side);
        return Err(Error::unsupported(what));
    }
    let mut layers = Layers::new(weights);
    let shape = [None, Some(side), Some(side), Some(3)];
    let image = layers.graph.input(INPUT, &shape);
    let maps = config
        .backbone
        .build(&mut layers, image, "model.backbone.model.")?;
    let maps: Vec<_> = config
        .stages
        .iter()
        .filter_map(|&stage| Some((*maps.get(stage)?, stage)))
        .map(|(map, stage)| encoder::Map {
            map,
            side: side >> (stage + 2 + usize::from(config.backbone.halving)),
        })
        .collect();
    let maps = encoder::build(&mut layers, config, maps)?;
    decoder::build(&mut layers, config, &maps)?;
    Ok(layers.graph)
}
