//! Image classifiers in the layout of Hugging Face transformers: `config.json` and `model.safetensors`.
//!
//! | `model_type` | file | what it is |
//! | --- | --- | --- |
//! | `vit` | [`vit`] | patches as tokens of a transformer |
//! | `resnet` | [`resnet`] | residual blocks, plain or with a bottleneck |
//! | `efficientnet` | [`efficientnet`] | inverted bottlenecks that squeeze and excite |
//!
//! Each is a [`Graph`] that reads [`INPUT`], `[1, height, width, 3]`, red first, normalised as the checkpoint's
//! `preprocessor_config.json` says, and gives [`LOGITS`], `[1, classes]` before softmax. The tensors' names are those
//! of the checkpoints on hubs. What a configuration asks for and is not built is refused with the key's name.

mod efficientnet;
mod resnet;
mod vit;

use crate::bert;
use crate::detr::layers::{Layers, Wide};
use crate::error::{Error, Result};
use crate::graph::{Graph, Op, Reduce, Reduction};
use escala_weights::Tensors;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Name of every network's input.
pub const INPUT: &str = "pixel_values";
/// Name of every network's output.
pub const LOGITS: &str = "logits";

/// Blocks of a network: many times what any has, so that a file cannot ask for endless work.
const MOST_BLOCKS: usize = 1000;

/// An image classifier.
#[derive(Debug)]
pub struct Classifier {
    /// From [`INPUT`] to [`LOGITS`].
    pub graph: Graph,
    /// The classes, in the order of scores.
    pub labels: Vec<String>,
    /// Whether exactly one class holds, so that softmax makes probabilities of scores; else each has its own.
    pub exclusive: bool,
}

/// What the configurations of all families have.
#[derive(Deserialize)]
struct Common {
    model_type: Option<String>,
    id2label: Option<BTreeMap<String, String>>,
    num_labels: Option<usize>,
    problem_type: Option<String>,
    num_channels: Option<usize>,
}

fn read<T: DeserializeOwned>(config: &[u8]) -> Result<T> {
    serde_json::from_slice(config).map_err(Error::Json)
}

/// The family that a `config.json` is of.
///
/// # Errors
/// When it is not one, or does not say.
pub fn model_type(config: &[u8]) -> Result<String> {
    let common: Common = read(config)?;
    let missing = || Error::unsupported("`model_type` is missing in config.json");
    common.model_type.ok_or_else(missing)
}

/// The classifier of a `config.json` and its tensors, for images of `height` x `width`.
///
/// # Errors
/// When the files are not those of a family that is built.
pub fn classifier(config: &[u8], weights: &Tensors, size: [usize; 2]) -> Result<Classifier> {
    let common: Common = read(config)?;
    if common.num_channels.is_some_and(|channels| channels != 3) {
        return Err(Error::unsupported("`num_channels` must be 3"));
    }
    let exclusive = match common.problem_type.as_deref() {
        None | Some("single_label_classification") => true,
        Some("multi_label_classification") => false,
        Some(other) => {
            let what = format!("`problem_type` {other} is not built");
            return Err(Error::unsupported(what));
        }
    };
    // Files whose classes are two without names leave both out.
    let labels = bert::labels(common.id2label, common.num_labels.or(Some(2)))?;
    let mut layers = Layers::new(weights);
    let [height, width] = size;
    let image = Wide {
        value: layers
            .graph
            .input(INPUT, &[Some(1), Some(height), Some(width), Some(3)]),
        width: 3,
    };
    let (features, head) = match common.model_type.as_deref() {
        Some("vit") => vit::features(&read(config)?, &mut layers, image, size)?,
        Some("resnet") => resnet::features(&read(config)?, &mut layers, image)?,
        Some("efficientnet") => efficientnet::features(&read(config)?, &mut layers, image)?,
        other => {
            return Err(Error::unsupported(format!(
                "`model_type` {} is no image classifier that is built: vit, resnet or efficientnet",
                other.unwrap_or("is missing and")
            )));
        }
    };
    let logits = layers.linear(head, features, labels.len())?;
    layers.graph.output(LOGITS, logits.value);
    Ok(Classifier {
        graph: layers.graph,
        labels,
        exclusive,
    })
}

/// A map's mean or largest over height and width; `keep` leaves them with size one.
fn pooled(layers: &mut Layers<'_>, name: &str, kind: Reduction, x: Wide, keep: bool) -> Wide {
    let op = Op::Reduce(Reduce {
        kind,
        axes: vec![1, 2],
        keep,
    });
    Wide {
        value: layers.graph.apply(name, op, &[x.value]),
        ..x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_must_say_what_they_are_of() {
        assert_eq!(model_type(br#"{"model_type": "vit"}"#).unwrap(), "vit");
        let why = model_type(b"{}").unwrap_err().to_string();
        assert!(why.contains("model_type"), "{why}");
        assert!(model_type(b"[").is_err());
    }
}
