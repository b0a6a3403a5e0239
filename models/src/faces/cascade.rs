//! A cascade of three small networks that finds small faces: MTCNN.
//!
//! Zhang, Zhang, Li and Qiao: Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks
//! (2016). Reference: facenet-pytorch 2.6.0 (`models/mtcnn.py`). Each network answers two scores before softmax (none,
//! a face) and how far to move the four edges of what it was shown; the last one answers where five points are, too, as
//! parts of what it was shown. The first network is all convolutions, so that it sees every place of a picture at
//! once.
//!
//! The weights are PyTorch's: channels first, and the products read maps with the columns outermost.

use super::{Error, INPUT, Result};
use crate::graph::{
    self, Function, Graph, Linear, Op, Padding, Pool, PoolKind, Tensor, Value, Window,
};
use escala_weights::Tensors;
use std::sync::Arc;

/// What [`refine`] sees: pixels along each side.
pub const REFINE_SIDE: usize = 24;
/// What [`confirm`] sees: pixels along each side.
pub const CONFIRM_SIDE: usize = 48;
/// Numbers of an answer: two scores and four edges.
pub const NUMBERS: usize = 6;
/// Numbers of an answer of [`confirm`]: across and down of two eyes, a nose and two corners of a mouth, too, the five
/// across first.
pub const CONFIRM_NUMBERS: usize = 16;

/// `answer` `[1, rows, columns, 6]`: what is seen at every second pixel of a picture, in squares of 12 pixels.
///
/// # Errors
/// When the weights are not those of the network.
pub fn propose(weights: &Tensors) -> Result<Graph> {
    let (mut cascade, x) = Cascade::new(weights, [Some(1), None, None, Some(3)]);
    let x = cascade.conv(x, "conv1", "prelu1")?;
    let x = cascade.halve("pool1", x, 2, Padding::Same);
    let x = cascade.conv(x, "conv2", "prelu2")?;
    let x = cascade.conv(x, "conv3", "prelu3")?;
    let (score, edges) = (
        weights.f32("conv4_1.weight")?,
        weights.f32("conv4_2.weight")?,
    );
    let inputs = score.0.get(1).copied().unwrap_or(0);
    let kernel = [score.1, edges.1].concat();
    let kernel = Tensor::new(&[NUMBERS, inputs, 1, 1], kernel)?;
    let bias = cascade.biases(&["conv4_1", "conv4_2"])?;
    let window = Window::square(1, 1, Padding::VALID);
    let answer = cascade
        .graph
        .conv("conv4", x, kernel, Some(&bias), window, 1)?;
    cascade.graph.output("answer", answer);
    Ok(cascade.graph)
}

/// `answer` `[n, 6]` of `n` pictures of [`REFINE_SIDE`].
///
/// # Errors
/// When the weights are not those of the network.
pub fn refine(weights: &Tensors) -> Result<Graph> {
    let side = Some(REFINE_SIDE);
    let (mut cascade, x) = Cascade::new(weights, [None, side, side, Some(3)]);
    let x = cascade.conv(x, "conv1", "prelu1")?;
    let x = cascade.halve("pool1", x, 3, Padding::Same);
    let x = cascade.conv(x, "conv2", "prelu2")?;
    let x = cascade.halve("pool2", x, 3, Padding::VALID);
    let x = cascade.conv(x, "conv3", "prelu3")?;
    let x = cascade.product(x, 3, "dense4", "prelu4")?;
    cascade.answer(x, &["dense5_1", "dense5_2"])
}

/// `answer` `[n, 16]` of `n` pictures of [`CONFIRM_SIDE`].
///
/// # Errors
/// When the weights are not those of the network.
pub fn confirm(weights: &Tensors) -> Result<Graph> {
    let side = Some(CONFIRM_SIDE);
    let (mut cascade, x) = Cascade::new(weights, [None, side, side, Some(3)]);
    let x = cascade.conv(x, "conv1", "prelu1")?;
    let x = cascade.halve("pool1", x, 3, Padding::Same);
    let x = cascade.conv(x, "conv2", "prelu2")?;
    let x = cascade.halve("pool2", x, 3, Padding::VALID);
    let x = cascade.conv(x, "conv3", "prelu3")?;
    let x = cascade.halve("pool3", x, 2, Padding::VALID);
    let x = cascade.conv(x, "conv4", "prelu4")?;
    let x = cascade.product(x, 3, "dense5", "prelu5")?;
    cascade.answer(x, &["dense6_1", "dense6_2", "dense6_3"])
}

/// A network of the cascade as it grows.
struct Cascade<'a> {
    graph: Graph,
    weights: &'a Tensors,
}

impl<'a> Cascade<'a> {
    fn new(weights: &'a Tensors, shape: [Option<usize>; 4]) -> (Self, Value) {
        let mut graph = Graph::new();
        let input = graph.input(INPUT, &shape);
        (Self { graph, weights }, input)
    }

    fn list(&self, name: &str) -> Result<Vec<f32>> {
        Ok(self.weights.f32(name)?.1.into_owned())
    }

    /// The biases of layers that are one here.
    fn biases(&self, layers: &[&str]) -> Result<Vec<f32>> {
        let lists = layers
            .iter()
            .map(|name| self.list(&format!("{name}.bias")))
            .collect::<Result<Vec<_>>>()?;
        Ok(lists.concat())
    }

    /// A convolution without padding, and what bends it.
    fn conv(&mut self, x: Value, name: &str, slopes: &str) -> Result<Value> {
        let (shape, kernel) = self.weights.f32(&format!("{name}.weight"))?;
        let kernel = Tensor::new(&shape, kernel.into_owned())?;
        let bias = self.list(&format!("{name}.bias"))?;
        let window = Window::square(1, 1, Padding::VALID);
        let x = self.graph.conv(name, x, kernel, Some(&bias), window, 1)?;
        self.bend(x, slopes)
    }

    fn bend(&mut self, x: Value, slopes: &str) -> Result<Value> {
        let values = self.list(&format!("{slopes}.weight"))?;
        Ok(self.graph.map(slopes, Function::Prelu(values.into()), x))
    }

    /// The largest of each window, two pixels apart. PyTorch counts a last window that reaches outside: where there
    /// is one, `Same` has it too.
    fn halve(&mut self, name: &str, x: Value, side: usize, padding: Padding) -> Value {
        let window = Window::square(side, 2, padding);
        let kind = PoolKind::Max;
        self.graph
            .apply(name, Op::Pool(Pool { kind, window }), &[x])
    }

    /// A product over a map of `side` x `side` places, and what bends it.
    fn product(&mut self, x: Value, side: usize, name: &str, slopes: &str) -> Result<Value> {
        let (shape, given) = self.weights.f32(&format!("{name}.weight"))?;
        let &[outputs, inputs] = shape.as_slice() else {
            return Err(self.unfit(name, &shape));
        };
        let places = side * side;
        if outputs == 0 || inputs == 0 || inputs % places != 0 {
            return Err(self.unfit(name, &shape));
        }
        let channels = inputs / places;
        let mut turned = vec![0.0; given.len()];
        for (row, weights) in given.chunks_exact(inputs).enumerate() {
            for (at, &weight) in weights.iter().enumerate() {
                let (column, line, channel) =
                    (at / channels / side, at / channels % side, at % channels);
                let input = (line * side + column) * channels + channel;
                turned[input * outputs + row] = weight;
            }
        }
        let bias = self.list(&format!("{name}.bias"))?;
        let shape = self.graph.integers(&[-1, inputs as i64]);
        let reshape = Op::Reshape { keep_zeros: false };
        let flat = format!("{name}/flat");
        let x = self.graph.apply(&flat, reshape, &[x, shape]);
        let x = self.linear(x, name, [inputs, outputs], turned, &bias)?;
        self.bend(x, slopes)
    }

    /// All that is answered, by one product.
    fn answer(mut self, x: Value, layers: &[&str]) -> Result<Graph> {
        let (mut rows, mut inputs) = (Vec::new(), 0);
        for name in layers {
            let (shape, weights) = self.weights.f32(&format!("{name}.weight"))?;
            let &[_, width] = shape.as_slice() else {
                return Err(self.unfit(name, &shape));
            };
            if width == 0 || (inputs != 0 && inputs != width) {
                return Err(self.unfit(name, &shape));
            }
            inputs = width;
            rows.extend_from_slice(&weights);
        }
        let outputs = rows.len() / inputs.max(1);
        let mut turned = vec![0.0; rows.len()];
        for (row, weights) in rows.chunks_exact(inputs.max(1)).enumerate() {
            for (input, &weight) in weights.iter().enumerate() {
                turned[input * outputs + row] = weight;
            }
        }
        let bias = self.biases(layers)?;
        let answer = self.linear(x, "answer", [inputs, outputs], turned, &bias)?;
        self.graph.output("answer", answer);
        Ok(self.graph)
    }

    fn linear(
        &mut self,
        x: Value,
        name: &str,
        shape: [usize; 2],
        weights: Vec<f32>,
        bias: &[f32],
    ) -> Result<Value> {
        let linear = Linear::new(name, Arc::new(Tensor::new(&shape, weights)?), Some(bias))?;
        Ok(self.graph.apply(name, Op::Linear(linear), &[x]))
    }

    fn unfit(&self, name: &str, shape: &[usize]) -> Error {
        Error::Graph(graph::Error::Invalid {
            node: name.to_owned(),
            what: format!("weights of shape {shape:?}"),
        })
    }
}
