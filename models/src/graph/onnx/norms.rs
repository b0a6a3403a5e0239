//! Values brought to a mean of 0 and a variance of 1, or to a sum of 1.

use super::wire::Node;
use super::{Importer, Result};
use crate::graph::op::{Arithmetic, Function, Normalise, Op};
use crate::graph::{Tensor, Value};

impl Importer {
    /// What is brought to another mean, variance or sum.
    pub(super) fn norms(&mut self, node: &Node) -> Result<Option<Value>> {
        match node.op.as_str() {
            "BatchNormalization" => self.batch_norm(node),
            "LayerNormalization" => self.layer_norm(node),
            "InstanceNormalization" | "GroupNormalization" => self.group_norm(node),
            "Softmax" => self.softmax(node),
            "LogSoftmax" => self.log_softmax(node),
            _ => return Ok(None),
        }
        .map(Some)
    }

    /// By statistics that the file has: a factor and a summand for each channel.
    fn batch_norm(&mut self, node: &Node) -> Result<Value> {
        let parts = (1..5)
            .map(|index| self.known(node, index))
            .collect::<Result<Vec<_>>>()?;
        let epsilon = node.float("epsilon", 1e-5);
        let channels = parts[0].data().len();
        if parts.iter().any(|part| part.data().len() != channels) {
            return Err(node.unsupported("statistics of different lengths"));
        }
        let [gamma, beta, mean, variance] = [0, 1, 2, 3].map(|index| parts[index].data());
        let scale: Vec<f32> = gamma
            .iter()
            .zip(variance)
            .map(|(gamma, variance)| gamma / (variance + epsilon).sqrt())
            .collect();
        let shift = beta
            .iter()
            .zip(mean)
            .zip(&scale)
            .map(|((beta, mean), scale)| beta - mean * scale)
            .collect();
        let x = self.value(node, 0)?;
        self.per_channel(node, x, scale, shift)
    }

    /// `scale x + shift`, one of each for a channel: those are the second axis.
    fn per_channel(
        &mut self,
        node: &Node,
        x: Value,
        scale: Vec<f32>,
        shift: Vec<f32>,
    ) -> Result<Value> {
        let channels = scale.len();
        let Some(rank) = self.ranks.of(&self.graph, x) else {
            // Only the run tells how many axes follow the channels: they become one, and again what they were.
            let lines = self.graph.integers(&[0, channels as i64, -1]);
            let sizes = self.graph.apply(&node.name, Op::Shape, &[x]);
            let x = self.reshaped(node, x, lines, true);
            let x = self.per_channel(node, x, scale, shift)?;
            return Ok(self.reshaped(node, x, sizes, false));
        };
        let mut shape = vec![1; rank.max(2) - 1];
        shape[0] = channels;
        let scale = self.graph.constant(Tensor::new(&shape, scale)?);
        let shift = self.graph.constant(Tensor::new(&shape, shift)?);
        let product = Op::Arithmetic(Arithmetic::Mul);
        let x = self.graph.apply(&node.name, product, &[x, scale]);
        Ok(self.graph.add(&node.name, x, shift))
    }

    fn layer_norm(&mut self, node: &Node) -> Result<Value> {
        let gamma = self.known(node, 1)?;
        let beta = match self.maybe(node, 2)? {
            Some(_) => Some(self.known(node, 2)?),
            None => None,
        };
        let axis = node.axis(-1);
        let normalise = Normalise {
            // An axis from the front says nothing about how many follow; the factors have as many.
            axes: if axis < 0 {
                axis.unsigned_abs()
            } else {
                gamma.shape().len()
            },
            epsilon: node.float("epsilon", 1e-5),
            gamma: Some(gamma.data().into()),
            beta: beta.map(|beta| beta.data().into()),
        };
        self.apply(node, Op::Normalise(normalise), 1)
    }

    /// Groups of channels, each with mean 0 and variance 1; every channel its own for instances.
    fn group_norm(&mut self, node: &Node) -> Result<Value> {
        let (gamma, beta) = (self.known(node, 1)?, self.known(node, 2)?);
        let channels = gamma.data().len() as i64;
        let groups = match node.op.as_str() {
            "InstanceNormalization" => channels,
            _ => node.integer("num_groups", 0),
        };
        if groups <= 0 || beta.data().len() as i64 != channels {
            return Err(node.unsupported("these groups"));
        }
        let factors =
            |tensor: &Tensor| Tensor::new(&[tensor.data().len(), 1], tensor.data().to_vec());
        let (gamma, beta) = (factors(&gamma)?, factors(&beta)?);
        let x = self.value(node, 0)?;
        let graph = &mut self.graph;
        let sizes = graph.apply(&node.name, Op::Shape, &[x]);
        let (rows, lines) = (
            graph.integers(&[0, groups, -1]),
            graph.integers(&[0, channels, -1]),
        );
        let reshape = |keep_zeros| Op::Reshape { keep_zeros };
        let normalise = Op::Normalise(Normalise {
            axes: 1,
            epsilon: node.float("epsilon", 1e-5),
            gamma: None,
            beta: None,
        });
        let x = graph.apply(&node.name, reshape(true), &[x, rows]);
        let x = graph.apply(&node.name, normalise, &[x]);
        let x = graph.apply(&node.name, reshape(true), &[x, lines]);
        let (gamma, beta) = (graph.constant(gamma), graph.constant(beta));
        let x = graph.apply(&node.name, Op::Arithmetic(Arithmetic::Mul), &[x, gamma]);
        let x = graph.add(&node.name, x, beta);
        Ok(graph.apply(&node.name, reshape(false), &[x, sizes]))
    }

    /// Shares that sum to one: along an axis, and in versions before 13 over it and all that follow.
    fn softmax(&mut self, node: &Node) -> Result<Value> {
        let x = self.value(node, 0)?;
        if !(1..13).contains(&self.version) {
            let axis = node.axis(-1);
            return Ok(self.graph.apply(&node.name, Op::Softmax { axis }, &[x]));
        }
        let axis = node.axis(1);
        let last = Op::Softmax { axis: -1 };
        let rank = self.ranks.of(&self.graph, x);
        if axis == -1 || rank.is_some_and(|rank| axis == rank as isize - 1) {
            return Ok(self.graph.apply(&node.name, last, &[x]));
        }
        let flat = self.flat(node, x, axis);
        let sizes = self.graph.apply(&node.name, Op::Shape, &[x]);
        let x = self.reshaped(node, x, flat, true);
        let x = self.graph.apply(&node.name, last, &[x]);
        Ok(self.reshaped(node, x, sizes, false))
    }

    fn log_softmax(&mut self, node: &Node) -> Result<Value> {
        let shares = self.softmax(node)?;
        Ok(self.graph.map(&node.name, Function::Log, shares))
    }
}
