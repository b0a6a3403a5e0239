//! How many dimensions values have, as far as a graph says before the sizes of its inputs are known.

use crate::graph::op::Op;
use crate::graph::shape::axes_of;
use crate::graph::{Graph, Node, Value};
use std::collections::HashMap;

/// The ranks of the values of a graph that grows.
#[derive(Default)]
pub(super) struct Ranks {
    known: HashMap<Value, usize>,
    /// Nodes that have been looked at.
    nodes: usize,
}

impl Ranks {
    /// Keeps what the graph does not say itself: the rank of an input, or what a file's operation promises.
    pub(super) fn note(&mut self, value: Value, rank: usize) {
        self.known.insert(value, rank);
    }

    /// The rank of a value; nothing where only a run can tell.
    pub(super) fn of(&mut self, graph: &Graph, value: Value) -> Option<usize> {
        for node in &graph.nodes[self.nodes..] {
            if let Some(rank) = self.made(graph, node) {
                self.known
                    .extend(node.outputs.iter().map(|&output| (output, rank)));
            }
        }
        self.nodes = graph.nodes.len();
        self.known(graph, value)
    }

    fn known(&self, graph: &Graph, value: Value) -> Option<usize> {
        match graph.constant_of(value) {
            Some(constant) => Some(constant.shape().len()),
            None => self.known.get(&value).copied(),
        }
    }

    /// The rank of a node's results.
    fn made(&self, graph: &Graph, node: &Node) -> Option<usize> {
        let input = |index: usize| node.inputs.get(index).copied();
        let of = |index: usize| self.known(graph, input(index)?);
        // How long a list is that says a size for every axis.
        let listed = |index: usize| Some(graph.constant_of(input(index)?)?.data().len());
        // How many of the axes there are, whichever way they are counted.
        let distinct = |axes: &[isize], rank: usize| Some(axes_of(node, axes, rank).ok()?.len());
        match &node.op {
            Op::Conv(_) | Op::Deconv(_) | Op::Pool(_) | Op::Resize(_) | Op::GridSample(_) => {
                Some(4)
            }
            Op::Deformable(_) => Some(3),
            Op::Shape | Op::Range => Some(1),
            Op::Linear(_)
            | Op::Map(_)
            | Op::Softmax { .. }
            | Op::Normalise(_)
            | Op::CumulativeSum { .. }
            | Op::Pad { .. }
            | Op::Slice
            | Op::Split { .. }
            | Op::Tile
            | Op::TopK { .. }
            | Op::GatherElements { .. }
            | Op::ScatterNd => of(0),
            Op::Arithmetic(_) | Op::MatMul => Some(of(0)?.max(of(1)?)),
            Op::Where => Some(of(0)?.max(of(1)?).max(of(2)?)),
            Op::Concat { .. } => (0..node.inputs.len()).find_map(of),
            Op::Expand => Some(of(0)?.max(listed(1)?)),
            Op::Reshape { .. } => listed(1),
            Op::SparseToDense => listed(1),
            Op::Transpose(order) if !order.is_empty() => Some(order.len()),
            Op::Transpose(_) => of(0),
            Op::Reduce(reduce) if reduce.keep => of(0),
            Op::Reduce(reduce) => {
                let axes = match input(1) {
                    Some(axes) => graph.constant_of(axes)?.to_integers(),
                    None => reduce.axes.iter().map(|&axis| axis as i64).collect(),
                };
                let axes: Vec<isize> = axes
                    .iter()
                    .map(|&axis| axis.clamp(-64, 64) as isize)
                    .collect();
                match axes.is_empty() {
                    true => Some(0),
                    false => of(0)?.checked_sub(distinct(&axes, of(0)?)?),
                }
            }
            Op::ArgMax { keep, .. } => of(0)?.checked_sub(usize::from(!keep)),
            // Which axes have size one is not known.
            Op::Squeeze(axes) if axes.is_empty() => None,
            Op::Squeeze(axes) => of(0)?.checked_sub(distinct(axes, of(0)?)?),
            Op::Unsqueeze(axes) => {
                let rank = of(0)? + axes.len();
                (distinct(axes, rank)? == axes.len()).then_some(rank)
            }
            Op::Gather { .. } => Some(of(0)?.checked_sub(1)? + of(1)?),
            Op::GatherNd => {
                let depth = *graph.constant_of(input(1)?)?.shape().last()?;
                Some(of(1)?.checked_sub(1)? + of(0)?.checked_sub(depth)?)
            }
        }
    }
}
