//! What becomes of the elements along axes: sums, the largest, and where that is.

use super::wire::Node;
use super::{Importer, Result};
use crate::graph::Value;
use crate::graph::op::{Arithmetic, Function, Op, Reduce, Reduction};

impl Importer {
    /// What puts the elements along axes together.
    pub(super) fn reductions(&mut self, node: &Node) -> Result<Option<Value>> {
        match node.op.as_str() {
            "ReduceMean" => self.reduce(node, Reduction::Mean),
            "ReduceSum" => self.reduce(node, Reduction::Sum),
            "ReduceMax" => self.reduce(node, Reduction::Max),
            "ReduceMin" => self.reduce(node, Reduction::Min),
            "ReduceProd" => self.reduce(node, Reduction::Product),
            "ReduceL1" => self.sum_of_sizes(node),
            "ReduceL2" | "ReduceSumSquare" => self.sum_of_squares(node),
            "ReduceLogSum" => self.log_sum(node),
            "ReduceLogSumExp" => self.log_sum_exp(node),
            "GlobalAveragePool" | "GlobalMaxPool" => self.global_pool(node),
            "ArgMax" | "ArgMin" => self.arg_max(node),
            "CumSum" => self.cumulative_sum(node),
            _ => return Ok(None),
        }
        .map(Some)
    }

    fn reduce(&mut self, node: &Node, kind: Reduction) -> Result<Value> {
        let x = self.value(node, 0)?;
        self.reduced(node, kind, x)
    }

    /// A reduction of a value along the node's axes.
    fn reduced(&mut self, node: &Node, kind: Reduction, x: Value) -> Result<Value> {
        let keep = node.integer("keepdims", 1) != 0;
        self.reduced_and(node, kind, x, keep)
    }

    /// A reduction along the node's axes, which stay with size one or not.
    fn reduced_and(&mut self, node: &Node, kind: Reduction, x: Value, keep: bool) -> Result<Value> {
        let axes = self.maybe(node, 1)?;
        if axes.is_none() && node.axes().is_none() && node.integer("noop_with_empty_axes", 0) != 0 {
            return Ok(x);
        }
        let reduce = Reduce {
            kind,
            axes: node.axes().unwrap_or_default(),
            keep,
        };
        let inputs: Vec<Value> = std::iter::once(x).chain(axes).collect();
        Ok(self.graph.apply(&node.name, Op::Reduce(reduce), &inputs))
    }

    fn sum_of_sizes(&mut self, node: &Node) -> Result<Value> {
        let sizes = self.apply(node, Op::Map(Function::Abs), 1)?;
        self.reduced(node, Reduction::Sum, sizes)
    }

    fn sum_of_squares(&mut self, node: &Node) -> Result<Value> {
        let x = self.value(node, 0)?;
        let square = self
            .graph
            .apply(&node.name, Op::Arithmetic(Arithmetic::Mul), &[x, x]);
        let sum = self.reduced(node, Reduction::Sum, square)?;
        Ok(if node.op == "ReduceL2" {
            self.graph.map(&node.name, Function::Sqrt, sum)
        } else {
            sum
        })
    }

    fn log_sum(&mut self, node: &Node) -> Result<Value> {
        let sum = self.reduce(node, Reduction::Sum)?;
        Ok(self.graph.map(&node.name, Function::Log, sum))
    }

    /// The logarithm of a sum of exponentials, without overflow: the largest is taken out of the sum.
    fn log_sum_exp(&mut self, node: &Node) -> Result<Value> {
        let x = self.value(node, 0)?;
        let largest = self.reduced_and(node, Reduction::Max, x, true)?;
        let difference = Op::Arithmetic(Arithmetic::Sub);
        let x = self.graph.apply(&node.name, difference, &[x, largest]);
        let x = self.graph.map(&node.name, Function::Exp, x);
        let sum = self.reduced(node, Reduction::Sum, x)?;
        let sum = self.graph.map(&node.name, Function::Log, sum);
        let largest = self.reduce(node, Reduction::Max)?;
        Ok(self.graph.add(&node.name, sum, largest))
    }

    fn global_pool(&mut self, node: &Node) -> Result<Value> {
        let kind = match node.op.as_str() {
            "GlobalMaxPool" => Reduction::Max,
            _ => Reduction::Mean,
        };
        // All axes after the channels, of lines as of maps; there are no others.
        let reduce = Reduce {
            kind,
            axes: vec![2, -1],
            keep: true,
        };
        self.apply(node, Op::Reduce(reduce), 1)
    }

    fn arg_max(&mut self, node: &Node) -> Result<Value> {
        if node.integer("select_last_index", 0) != 0 {
            return Err(node.unsupported("the last of equals"));
        }
        let op = Op::ArgMax {
            axis: node.axis(0),
            keep: node.integer("keepdims", 1) != 0,
        };
        let x = match node.op.as_str() {
            "ArgMin" => self.apply(node, Op::Map(Function::NEGATIVE), 1)?,
            _ => self.value(node, 0)?,
        };
        Ok(self.graph.apply(&node.name, op, &[x]))
    }

    fn cumulative_sum(&mut self, node: &Node) -> Result<Value> {
        let axis = self.known(node, 1)?.only();
        let axis = axis.ok_or_else(|| node.unsupported("an axis that is no number"))?;
        if node.integer("exclusive", 0) != 0 || node.integer("reverse", 0) != 0 {
            return Err(node.unsupported("sums without the element or from the end"));
        }
        let axis = (axis as i64).clamp(-64, 64) as isize;
        self.apply(node, Op::CumulativeSum { axis }, 1)
    }

    /// The largest along an axis, and where they are.
    pub(super) fn top_k(&mut self, node: &Node) -> Result<Vec<Value>> {
        let count = match (self.maybe(node, 1)?, node.attributes.get("k")) {
            (Some(count), _) => count,
            (None, Some(_)) => self.graph.integers(&[node.integer("k", 0)]),
            (None, None) => return Err(node.unsupported("no count")),
        };
        let op = Op::TopK {
            axis: node.axis(-1),
            largest: node.integer("largest", 1) != 0,
        };
        let x = self.value(node, 0)?;
        let results = self.graph.apply_many(&node.name, op, &[x, count], 2);
        self.whole.insert(results[1]);
        Ok(results)
    }
}
