//! The networks of faces: two detectors, landmarks, descriptors, age and gender, expressions.
//!
//! Reference: @vladmandic/face-api 1.7.15 (after face-api.js by Vincent Mühler), which runs them on TensorFlow.js, and
//! facenet-pytorch 2.6.0 for [`cascade`]. Their files hold weights only, so the architectures are written here, as
//! [`Graph`]s. All networks read maps with channels last, red first; those of face-api pad as TensorFlow does ("same":
//! the odd pixel after).
//!
//! | function | network | reads | gives |
//! | --- | --- | --- | --- |
//! | [`detector`] | SSD on MobileNet V1 | `[1, 512, 512, 3]` | `boxes` `[5118, 4]`, `classes` `[5118, 3]` |
//! | [`landmarks`] | four dense blocks | `[1, 112, 112, 3]` | `answer` `[1, 136]` |
//! | [`expression`] | the same | `[1, 112, 112, 3]` | `answer` `[1, 7]` |
//! | [`age_gender`] | a small Xception | `[1, 112, 112, 3]` | `age` `[1, 1]`, `gender` `[1, 2]` |
//! | [`descriptor`] | dlib's residual network | `[1, 150, 150, 3]` | `answer` `[1, 128]` |
//! | [`cascade`] | the three of MTCNN | pictures of any size, of 24 and of 48 pixels | `answer` `[.., 6]` |

pub mod cascade;
mod dense;
mod detector;
mod residual;
mod xception;

pub use dense::{expression, landmarks};
pub use detector::{anchors, detector};
pub use residual::descriptor;
pub use xception::age_gender;

use crate::graph::{
    self, Function, Graph, Linear, Op, Padding, Pool, PoolKind, Tensor, Value, Window,
};
use escala_weights::Tensors;
use escala_weights::tensors;
use std::sync::Arc;

/// Name of every network's input.
pub const INPUT: &str = "input";

/// Why a network cannot be made of its weights.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The published tensors are not what the network needs.
    #[error("the weights do not fit the network")]
    Weights(#[from] tensors::Error),
    /// The network cannot be put together.
    #[error("the network cannot be built")]
    Graph(#[from] graph::Error),
}

type Result<T> = std::result::Result<T, Error>;

/// A graph that grows by layers whose weights have names.
struct Layers<'a> {
    graph: Graph,
    weights: &'a Tensors,
}

impl<'a> Layers<'a> {
    /// A graph with one input, a square picture.
    fn new(weights: &'a Tensors, side: usize) -> (Self, Value) {
        let mut graph = Graph::new();
        let input = graph.input(INPUT, &[Some(1), Some(side), Some(side), Some(3)]);
        (Self { graph, weights }, input)
    }

    /// A list of numbers.
    fn list(&self, name: &str) -> Result<Vec<f32>> {
        Ok(self.weights.f32(name)?.1.into_owned())
    }

    /// `[height, width, inputs, outputs]` weights as `[outputs, inputs, height, width]`, each output times its scale.
    fn kernel(&self, name: &str, scales: Option<&[f32]>) -> Result<Tensor> {
        let (shape, data) = self.weights.f32(name)?;
        let (size, inputs, outputs) = four(name, &shape)?;
        let mut turned = vec![0.0; data.len()];
        for (at, value) in data.iter().enumerate() {
            let (place, input, output) =
                (at / outputs / inputs, at / outputs % inputs, at % outputs);
            let scale = scales.and_then(|s| s.get(output)).copied().unwrap_or(1.0);
            turned[(output * inputs + input) * size + place] = value * scale;
        }
        Ok(Tensor::new(&[outputs, inputs, shape[0], shape[1]], turned)?)
    }

    /// A convolution; `bias` is empty where there is none.
    fn conv(
        &mut self,
        x: Value,
        kernel: &str,
        bias: &str,
        stride: usize,
        padding: Padding,
    ) -> Result<Value> {
        let weights = self.kernel(kernel, None)?;
        let bias = if bias.is_empty() {
            None
        } else {
            Some(self.list(bias)?)
        };
        let window = Window::square(1, stride, padding);
        Ok(self
            .graph
            .conv(kernel, x, weights, bias.as_deref(), window, 1)?)
    }

    /// A convolution of each channel with its own `[height, width, channels, 1]` weights, times `scales`, and a bias.
    fn depthwise(
        &mut self,
        x: Value,
        kernel: &str,
        stride: usize,
        scales: Option<&[f32]>,
        bias: Option<&[f32]>,
    ) -> Result<Value> {
        let (shape, data) = self.weights.f32(kernel)?;
        let (size, channels, _) = four(kernel, &shape)?;
        let mut turned = vec![0.0; data.len()];
        for (at, value) in data.iter().enumerate() {
            let (place, channel) = (at / channels, at % channels);
            let scale = scales.and_then(|s| s.get(channel)).copied().unwrap_or(1.0);
            if let Some(to) = turned.get_mut(channel * size + place) {
                *to = value * scale;
            }
        }
        let weights = Tensor::new(&[channels, 1, shape[0], shape[1]], turned)?;
        let window = Window::square(1, stride, Padding::Same);
        Ok(self
            .graph
            .conv(kernel, x, weights, bias, window, channels)?)
    }

    /// Depthwise, then pointwise, then a bias: `NAME/depthwise_filter`, `NAME/pointwise_filter`, `NAME/bias`.
    fn separable(&mut self, x: Value, name: &str, stride: usize) -> Result<Value> {
        let deep = self.depthwise(x, &format!("{name}/depthwise_filter"), stride, None, None)?;
        let (kernel, bias) = (format!("{name}/pointwise_filter"), format!("{name}/bias"));
        self.conv(deep, &kernel, &bias, 1, Padding::Same)
    }

    fn relu(&mut self, name: &str, x: Value) -> Value {
        self.graph.map(name, Function::RELU, x)
    }

    fn pool(
        &mut self,
        name: &str,
        kind: PoolKind,
        x: Value,
        side: usize,
        stride: usize,
        padding: Padding,
    ) -> Value {
        let window = Window::square(side, stride, padding);
        self.graph
            .apply(name, Op::Pool(Pool { kind, window }), &[x])
    }

    /// `[1, n]` of a map of one place.
    fn flat(&mut self, name: &str, x: Value) -> Value {
        let shape = self.graph.integers(&[1, -1]);
        self.graph
            .apply(name, Op::Reshape { keep_zeros: false }, &[x, shape])
    }

    /// A product with `[inputs, outputs]` weights; `bias` is empty where there is none.
    fn linear(&mut self, x: Value, weights: &str, bias: &str) -> Result<Value> {
        let (shape, data) = self.weights.f32(weights)?;
        let tensor = Arc::new(Tensor::new(&shape, data.into_owned())?);
        let bias = if bias.is_empty() {
            None
        } else {
            Some(self.list(bias)?)
        };
        let linear = Linear::new(weights, tensor, bias.as_deref())?;
        Ok(self.graph.apply(weights, Op::Linear(linear), &[x]))
    }
}

/// Places, inputs and outputs of four-dimensional weights.
fn four(name: &str, shape: &[usize]) -> Result<(usize, usize, usize)> {
    match *shape {
        [height, width, inputs, outputs] if !shape.contains(&0) => {
            Ok((height * width, inputs, outputs))
        }
        _ => Err(Error::Graph(graph::Error::Invalid {
            node: name.to_owned(),
            what: format!("weights of shape {shape:?}"),
        })),
    }
}
