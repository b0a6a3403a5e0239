//! The same elements in another shape or order, side by side, cut or filled up, and the shapes themselves.

use super::wire::Node;
use super::{Importer, Result, small};
use crate::graph::op::{Op, Reduce, Reduction};
use crate::graph::{Tensor, Value};

impl Importer {
    /// What has the same elements elsewhere, or is a shape.
    pub(super) fn shapes(&mut self, node: &Node) -> Result<Option<Value>> {
        match node.op.as_str() {
            "Transpose" => self.transpose(node),
            "Reshape" => self.reshape(node),
            "Flatten" => self.flatten(node),
            "Squeeze" | "Unsqueeze" => self.squeeze(node),
            "Concat" => self.concat(node),
            "Slice" => self.slice(node),
            "Pad" => self.pad(node),
            "Expand" => self.apply(node, Op::Expand, 2),
            "Tile" => self.apply(node, Op::Tile, 2),
            "Range" => self.apply(node, Op::Range, 3),
            "ConstantOfShape" => self.filled(node),
            "Shape" => self.sizes(node),
            "Size" => self.count(node),
            _ => return Ok(None),
        }
        .map(Some)
    }

    fn transpose(&mut self, node: &Node) -> Result<Value> {
        let order = node.integers("perm").unwrap_or(&[]);
        let order = order.iter().map(|&axis| small(axis).unwrap_or(usize::MAX));
        self.apply(node, Op::Transpose(order.collect()), 1)
    }

    fn reshape(&mut self, node: &Node) -> Result<Value> {
        let keep_zeros = node.integer("allowzero", 0) == 0;
        self.apply(node, Op::Reshape { keep_zeros }, 2)
    }

    fn flatten(&mut self, node: &Node) -> Result<Value> {
        let x = self.value(node, 0)?;
        let sizes = self.flat(node, x, node.axis(1));
        Ok(self.reshaped(node, x, sizes, true))
    }

    fn squeeze(&mut self, node: &Node) -> Result<Value> {
        let axes = match self.maybe(node, 1)? {
            Some(_) => self
                .known(node, 1)?
                .to_integers()
                .into_iter()
                .map(|axis| axis.clamp(-64, 64) as isize)
                .collect(),
            None => node.axes().unwrap_or_default(),
        };
        let op = if node.op == "Squeeze" {
            Op::Squeeze(axes)
        } else {
            Op::Unsqueeze(axes)
        };
        self.apply(node, op, 1)
    }

    fn concat(&mut self, node: &Node) -> Result<Value> {
        let axis = node.axis(0);
        self.apply(node, Op::Concat { axis }, node.inputs.len())
    }

    fn slice(&mut self, node: &Node) -> Result<Value> {
        Ok(
            if let (Some(starts), Some(ends)) = (node.integers("starts"), node.integers("ends")) {
                let (starts, ends) = (starts.to_vec(), ends.to_vec());
                let axes = node
                    .integers("axes")
                    .map_or_else(|| (0..starts.len() as i64).collect(), <[i64]>::to_vec);
                let mut inputs = vec![self.value(node, 0)?];
                inputs.extend([starts, ends, axes].map(|list| self.graph.integers(&list)));
                self.graph.apply(&node.name, Op::Slice, &inputs)
            } else {
                self.apply(node, Op::Slice, node.inputs.len())?
            },
        )
    }

    fn pad(&mut self, node: &Node) -> Result<Value> {
        if node.text("mode").is_some_and(|mode| mode != "constant") {
            return Err(node.unsupported("a mode other than constant"));
        }
        let value = match self.maybe(node, 2)? {
            Some(_) => self.known(node, 2)?.only().unwrap_or(0.0),
            None => node.float("value", 0.0),
        };
        let amounts = match (self.maybe(node, 1)?, node.integers("pads")) {
            (Some(amounts), _) => amounts,
            (None, Some(amounts)) => {
                let amounts = amounts.to_vec();
                self.graph.integers(&amounts)
            }
            (None, None) => return Err(node.unsupported("no amounts")),
        };
        let x = self.value(node, 0)?;
        Ok(self
            .graph
            .apply(&node.name, Op::Pad { value }, &[x, amounts]))
    }

    fn filled(&mut self, node: &Node) -> Result<Value> {
        let value = node.attributes.get("value");
        let value = match value.and_then(|value| value.tensor.as_ref()) {
            Some(constant) => constant
                .tensor()?
                .and_then(|tensor| tensor.only())
                .ok_or_else(|| node.unsupported("other than one number"))?,
            None => 0.0,
        };
        let value = self.graph.constant(Tensor::scalar(value));
        let shape = self.value(node, 0)?;
        Ok(self.graph.apply(&node.name, Op::Expand, &[value, shape]))
    }

    fn sizes(&mut self, node: &Node) -> Result<Value> {
        let sizes = self.apply(node, Op::Shape, 1)?;
        let (start, end) = (node.integer("start", 0), node.integer("end", i64::MAX));
        Ok(if (start, end) == (0, i64::MAX) {
            sizes
        } else {
            let bounds = [start, end].map(|bound| self.graph.integers(&[bound]));
            let inputs = [sizes, bounds[0], bounds[1]];
            self.graph.apply(&node.name, Op::Slice, &inputs)
        })
    }

    fn count(&mut self, node: &Node) -> Result<Value> {
        let sizes = self.apply(node, Op::Shape, 1)?;
        let product = Reduce {
            kind: Reduction::Product,
            axes: vec![0],
            keep: false,
        };
        Ok(self.graph.apply(&node.name, Op::Reduce(product), &[sizes]))
    }

    /// As many parts as the node has results.
    pub(super) fn split(&mut self, node: &Node) -> Result<Vec<Value>> {
        let mut inputs = vec![self.value(node, 0)?];
        match (self.maybe(node, 1)?, node.integers("split")) {
            (Some(sizes), _) => inputs.push(sizes),
            (None, Some(sizes)) => {
                let sizes = sizes.to_vec();
                inputs.push(self.graph.integers(&sizes));
            }
            (None, None) => {}
        }
        let op = Op::Split { axis: node.axis(0) };
        let parts = node.outputs.len();
        Ok(self.graph.apply_many(&node.name, op, &inputs, parts))
    }

    pub(super) fn reshaped(
        &mut self,
        node: &Node,
        x: Value,
        sizes: Value,
        keep_zeros: bool,
    ) -> Value {
        let reshape = Op::Reshape { keep_zeros };
        self.graph.apply(&node.name, reshape, &[x, sizes])
    }

    /// The sizes of a matrix whose rows are the axes from `axis` on.
    pub(super) fn flat(&mut self, node: &Node, x: Value, axis: isize) -> Value {
        match self.counted_from_front(x, axis) as i64 {
            0 => self.graph.integers(&[1, -1]),
            1 => self.graph.integers(&[0, -1]),
            axis => {
                let sizes = self.graph.apply(&node.name, Op::Shape, &[x]);
                let rows = self.product(node, sizes, 0, axis);
                let rest = self.graph.integers(&[-1]);
                let join = Op::Concat { axis: 0 };
                self.graph.apply(&node.name, join, &[rows, rest])
            }
        }
    }

    /// An axis that counts from the front, where it is known how many there are.
    fn counted_from_front(&mut self, x: Value, axis: isize) -> isize {
        match self.ranks.of(&self.graph, x) {
            Some(rank) if axis < 0 => axis + rank as isize,
            _ => axis,
        }
    }

    /// The product of all sizes in a part of a list of sizes, as a list of one.
    pub(super) fn product(&mut self, node: &Node, sizes: Value, from: i64, to: i64) -> Value {
        if from == to {
            return self.graph.integers(&[1]);
        }
        let part = self.part(node, sizes, from, to);
        let product = Reduce {
            kind: Reduction::Product,
            axes: vec![0],
            keep: true,
        };
        self.graph.apply(&node.name, Op::Reduce(product), &[part])
    }

    /// A part of a list of sizes.
    pub(super) fn part(&mut self, node: &Node, list: Value, from: i64, to: i64) -> Value {
        let bounds = [from, to].map(|bound| self.graph.integers(&[bound]));
        let inputs = [list, bounds[0], bounds[1]];
        self.graph.apply(&node.name, Op::Slice, &inputs)
    }
}
