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

use crate::graph::{
    self, Function, Graph, Linear, Op, Padding, Reduce, Reduction, Tensor, Value, Window,
};
use escala_weights::{Tensors, tensors};
use half::{bf16, f16};
use safetensors::Dtype;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Name of every network's input.
pub const INPUT: &str = "pixel_values";
/// Name of every network's output.
pub const LOGITS: &str = "logits";

/// Blocks of a network: many times what any has, so that a file cannot ask for endless work.
const MOST_BLOCKS: usize = 1000;

/// Why a network cannot be made of its files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tensors are not what the network needs.
    #[error("the weights do not fit the network")]
    Weights(#[from] tensors::Error),
    /// The network cannot be put together.
    #[error("the network cannot be built")]
    Graph(#[from] graph::Error),
    /// `config.json` is not understood.
    #[error("config.json is not understood")]
    Config(#[from] serde_json::Error),
    /// What is asked for is not built.
    #[error("{0}")]
    Unsupported(String),
}

type Result<T> = std::result::Result<T, Error>;

fn unsupported<T>(what: impl Into<String>) -> Result<T> {
    Err(Error::Unsupported(what.into()))
}

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

/// The family that a `config.json` is of.
///
/// # Errors
/// When it is not one, or does not say.
pub fn model_type(config: &[u8]) -> Result<String> {
    let common: Common = serde_json::from_slice(config)?;
    match common.model_type {
        Some(name) => Ok(name),
        None => unsupported("`model_type` is missing in config.json"),
    }
}

/// The classifier of a `config.json` and its tensors, for images of `height` x `width`.
///
/// # Errors
/// When the files are not those of a family that is built.
pub fn classifier(config: &[u8], weights: &Tensors, size: [usize; 2]) -> Result<Classifier> {
    let common: Common = serde_json::from_slice(config)?;
    if common.num_channels.is_some_and(|channels| channels != 3) {
        return unsupported("`num_channels` must be 3");
    }
    let exclusive = match common.problem_type.as_deref() {
        None | Some("single_label_classification") => true,
        Some("multi_label_classification") => false,
        Some(other) => return unsupported(format!("`problem_type` {other} is not built")),
    };
    let (graph, classes) = match common.model_type.as_deref() {
        Some("vit") => vit::graph(serde_json::from_slice(config)?, weights, size)?,
        Some("resnet") => resnet::graph(&serde_json::from_slice(config)?, weights, size)?,
        Some("efficientnet") => {
            efficientnet::graph(&serde_json::from_slice(config)?, weights, size)?
        }
        other => {
            return unsupported(format!(
                "`model_type` {} is no image classifier that is built: vit, resnet or efficientnet",
                other.unwrap_or("is missing and")
            ));
        }
    };
    let labels = labels(common.id2label, common.num_labels, classes)?;
    Ok(Classifier {
        graph,
        labels,
        exclusive,
    })
}

/// The names of `count` classes.
fn labels(
    named: Option<BTreeMap<String, String>>,
    declared: Option<usize>,
    count: usize,
) -> Result<Vec<String>> {
    let Some(mut named) = named else {
        if declared.is_some_and(|declared| declared != count) {
            return unsupported(format!(
                "`num_labels` is not {count} as the classifier's scores"
            ));
        }
        return Ok((0..count).map(|label| format!("LABEL_{label}")).collect());
    };
    if named.len() != count {
        return unsupported(format!(
            "`id2label` has {} labels for {count} scores",
            named.len()
        ));
    }
    (0..count)
        .map(|label| match named.remove(&label.to_string()) {
            Some(name) => Ok(name),
            None => unsupported(format!("`id2label` has no {label}")),
        })
        .collect()
}

/// A tensor of a checkpoint as 32-bit floats; halves are widened.
fn array(weights: &Tensors, name: &str) -> Result<Tensor> {
    let (dtype, shape) = weights.info(name)?;
    let shape = shape.to_vec();
    let halves = |widen: fn([u8; 2]) -> f32| -> Result<Vec<f32>> {
        let pairs = weights.raw(name)?.as_chunks::<2>().0;
        Ok(pairs.iter().map(|&pair| widen(pair)).collect())
    };
    let data = match dtype {
        Dtype::F16 => halves(|pair| f16::from_le_bytes(pair).to_f32())?,
        Dtype::BF16 => halves(|pair| bf16::from_le_bytes(pair).to_f32())?,
        _ => weights.f32(name)?.1.into_owned(),
    };
    Ok(Tensor::new(&shape, data)?)
}

/// The functions that `hidden_act` may name.
fn activation(name: &str) -> Result<Function> {
    Ok(match name {
        "relu" => Function::RELU,
        "relu6" => Function::RELU6,
        "gelu" => Function::Gelu,
        "silu" | "swish" => Function::Silu,
        "sigmoid" => Function::Sigmoid,
        "tanh" => Function::Tanh,
        other => return unsupported(format!("`hidden_act` {other} is not built")),
    })
}

/// A graph that grows by layers whose tensors have names.
struct Layers<'a> {
    graph: Graph,
    weights: &'a Tensors,
}

impl<'a> Layers<'a> {
    /// A graph with one input.
    fn new(weights: &'a Tensors, [height, width]: [usize; 2]) -> (Self, Value) {
        let mut graph = Graph::new();
        let input = graph.input(INPUT, &[Some(1), Some(height), Some(width), Some(3)]);
        (Self { graph, weights }, input)
    }

    /// A list of numbers.
    fn list(&self, name: &str, length: usize) -> Result<Vec<f32>> {
        let tensor = array(self.weights, name)?;
        self.shaped(&tensor, name, &[length])?;
        Ok(tensor.into_data())
    }

    /// Refuses a tensor of another shape.
    fn shaped(&self, tensor: &Tensor, name: &str, wanted: &[usize]) -> Result<()> {
        if tensor.shape() == wanted {
            return Ok(());
        }
        Err(tensors::Error::WrongShape {
            path: self.weights.path().to_owned(),
            name: name.to_owned(),
            wanted: wanted.to_vec(),
            found: tensor.shape().to_vec(),
        }
        .into())
    }

    /// A convolution that `NAME.weight` describes, `[outputs, inputs / groups, height, width]`, and then the batch
    /// normalisation `NORM`, which is made part of it.
    fn normalised(
        &mut self,
        x: Value,
        name: &str,
        norm: &str,
        shape: ConvShape,
        eps: f32,
    ) -> Result<Value> {
        let weight = format!("{name}.weight");
        let tensor = array(self.weights, &weight)?;
        let &[outputs, inputs, height, width] = tensor.shape() else {
            self.shaped(&tensor, &weight, &[0; 4])?;
            return unsupported(format!("{weight} has no four dimensions"));
        };
        if [height, width] != [shape.side; 2] {
            self.shaped(&tensor, &weight, &[outputs, inputs, shape.side, shape.side])?;
        }
        let list = |what: &str| self.list(&format!("{norm}.{what}"), outputs);
        let (gamma, beta) = (list("weight")?, list("bias")?);
        let (mean, variance) = (list("running_mean")?, list("running_var")?);
        let factors: Vec<f32> = gamma
            .iter()
            .zip(&variance)
            .map(|(gamma, variance)| gamma / (variance + eps).sqrt())
            .collect();
        let offsets: Vec<f32> = beta
            .iter()
            .zip(&mean)
            .zip(&factors)
            .map(|((beta, mean), factor)| beta - mean * factor)
            .collect();
        let dims = tensor.shape().to_vec();
        let mut data = tensor.into_data();
        let each = data.len() / outputs.max(1);
        for (row, factor) in data.chunks_exact_mut(each.max(1)).zip(&factors) {
            row.iter_mut().for_each(|value| *value *= factor);
        }
        let groups = if shape.depthwise { outputs } else { 1 };
        let window = Window::square(shape.side, shape.stride, shape.padding);
        let weights = Tensor::new(&dims, data)?;
        Ok(self
            .graph
            .conv(name, x, weights, Some(&offsets), window, groups)?)
    }

    /// A convolution with a bias.
    fn conv(&mut self, x: Value, name: &str, window: Window) -> Result<Value> {
        let weight = format!("{name}.weight");
        let tensor = array(self.weights, &weight)?;
        let &[outputs, inputs, ..] = tensor.shape() else {
            return unsupported(format!("{weight} has no four dimensions"));
        };
        self.shaped(
            &tensor,
            &weight,
            &[outputs, inputs, window.size[0], window.size[1]],
        )?;
        let bias = self.list(&format!("{name}.bias"), outputs)?;
        Ok(self.graph.conv(name, x, tensor, Some(&bias), window, 1)?)
    }

    /// `NAME.weight` `[outputs, inputs]` and `NAME.bias`, where there is one; gives also the outputs.
    fn linear(&mut self, x: Value, name: &str, bias: bool) -> Result<(Value, usize)> {
        let weight = format!("{name}.weight");
        let tensor = array(self.weights, &weight)?;
        let &[outputs, inputs] = tensor.shape() else {
            return unsupported(format!("{weight} has no two dimensions"));
        };
        let mut turned = vec![0.0; inputs * outputs];
        for (output, row) in tensor.data().chunks_exact(inputs.max(1)).enumerate() {
            for (input, &value) in row.iter().enumerate() {
                turned[input * outputs + output] = value;
            }
        }
        let bias = match bias {
            true => Some(self.list(&format!("{name}.bias"), outputs)?),
            false => None,
        };
        let turned = Arc::new(Tensor::new(&[inputs, outputs], turned)?);
        let linear = Linear::new(name, turned, bias.as_deref())?;
        Ok((self.graph.apply(name, Op::Linear(linear), &[x]), outputs))
    }

    /// The mean over height and width; `keep` leaves them with size one.
    fn mean(&mut self, name: &str, x: Value, keep: bool) -> Value {
        let mean = Op::Reduce(Reduce {
            kind: Reduction::Mean,
            axes: vec![1, 2],
            keep,
        });
        self.graph.apply(name, mean, &[x])
    }

    /// The product that gives the scores; ends the graph and gives it with the number of classes.
    fn scores(mut self, x: Value, name: &str) -> Result<(Graph, usize)> {
        let (logits, classes) = self.linear(x, name, true)?;
        self.graph.output(LOGITS, logits);
        Ok((self.graph, classes))
    }
}

/// How a normalised convolution moves over its map.
#[derive(Clone, Copy)]
struct ConvShape {
    side: usize,
    stride: usize,
    padding: Padding,
    /// Whether each channel has weights of its own.
    depthwise: bool,
}

impl ConvShape {
    /// A square window with as much around the map as keeps its size at stride 1.
    fn centred(side: usize, stride: usize) -> Self {
        Self {
            side,
            stride,
            padding: Padding::Explicit([side / 2; 4]),
            depthwise: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_as_many_as_scores() {
        let named = |names: &[(&str, &str)]| {
            let own = |(id, name): &(&str, &str)| ((*id).to_owned(), (*name).to_owned());
            Some(names.iter().map(own).collect::<BTreeMap<_, _>>())
        };
        let two = named(&[("1", "dog"), ("0", "cat")]);
        assert_eq!(labels(two.clone(), None, 2).unwrap(), ["cat", "dog"]);
        assert_eq!(labels(None, None, 2).unwrap(), ["LABEL_0", "LABEL_1"]);
        for (named, declared, says) in [
            (two, None, "2 labels for 3 scores"),
            (named(&[("0", "a"), ("1", "b"), ("3", "c")]), None, "no 2"),
            (None, Some(2), "`num_labels`"),
        ] {
            let why = labels(named, declared, 3).unwrap_err().to_string();
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn families_that_are_not_built_are_refused_by_name() {
        assert_eq!(model_type(br#"{"model_type": "vit"}"#).unwrap(), "vit");
        assert!(
            model_type(b"{}")
                .unwrap_err()
                .to_string()
                .contains("model_type")
        );
        assert!(model_type(b"[").is_err());
        assert!(activation("mish").unwrap_err().to_string().contains("mish"));
    }
}
