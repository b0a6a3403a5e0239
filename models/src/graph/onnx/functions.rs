//! Functions of every element: of one number, of two, and between types.

use super::wire::{Node, is_whole};
use super::{Importer, Result};
use crate::graph::Value;
use crate::graph::op::{Arithmetic, Function, Op};
use std::sync::Arc;

impl Importer {
    /// A function of one number.
    pub(super) fn functions(&mut self, node: &Node) -> Result<Option<Value>> {
        let function = match node.op.as_str() {
            "Relu" => Function::RELU,
            "LeakyRelu" => Function::Leaky(node.float("alpha", 0.01)),
            "HardSigmoid" => Function::HardSigmoid {
                slope: node.float("alpha", 0.2),
                offset: node.float("beta", 0.5),
            },
            "HardSwish" => Function::HardSwish,
            "Sigmoid" => Function::Sigmoid,
            "Tanh" => Function::Tanh,
            "Erf" => Function::Erf,
            "Exp" => Function::Exp,
            "Sqrt" => Function::Sqrt,
            "Floor" => Function::Floor,
            "Neg" => Function::NEGATIVE,
            "Abs" => Function::Abs,
            "Sign" => Function::Sign,
            "Reciprocal" => Function::Reciprocal,
            "Ceil" => Function::Ceil,
            "Round" => Function::Round,
            "Log" => Function::Log,
            "Sin" => Function::Sin,
            "Cos" => Function::Cos,
            "Not" => Function::Not,
            "IsNaN" => Function::IsNan,
            "Softplus" => Function::Softplus,
            "Elu" => Function::Elu(node.float("alpha", 1.0)),
            "Gelu" => match node.text("approximate") {
                None | Some("none") => Function::Gelu,
                Some("tanh") => Function::GeluTanh,
                Some(other) => return Err(node.unsupported(format!("approximate {other}"))),
            },
            "PRelu" => return self.prelu(node).map(Some),
            "Clip" => return self.clip(node).map(Some),
            "Mish" => return self.mish(node).map(Some),
            "Cast" => return self.cast(node).map(Some),
            _ => return Ok(None),
        };
        self.apply(node, Op::Map(function), 1).map(Some)
    }

    /// A function of two numbers, or of more where it may be taken two by two.
    pub(super) fn arithmetic(&mut self, node: &Node) -> Result<Option<Value>> {
        let arithmetic = match node.op.as_str() {
            "Add" => Arithmetic::Add,
            "Sub" => Arithmetic::Sub,
            "Mul" => Arithmetic::Mul,
            "Div" => return self.quotient(node).map(Some),
            "Pow" => Arithmetic::Pow,
            "Equal" => Arithmetic::Equal,
            "Less" => Arithmetic::Less,
            "LessOrEqual" => Arithmetic::LessOrEqual,
            "Greater" => Arithmetic::Greater,
            "GreaterOrEqual" => Arithmetic::GreaterOrEqual,
            "And" => Arithmetic::And,
            "Or" => Arithmetic::Or,
            "Xor" => Arithmetic::Xor,
            "Mod" if node.integer("fmod", 0) != 0 => Arithmetic::Remainder,
            "Mod" => Arithmetic::Modulo,
            "Max" => return self.over_all(node, Arithmetic::Max).map(Some),
            "Min" => return self.over_all(node, Arithmetic::Min).map(Some),
            "Sum" => return self.over_all(node, Arithmetic::Add).map(Some),
            _ => return Ok(None),
        };
        self.apply(node, Op::Arithmetic(arithmetic), 2).map(Some)
    }

    fn over_all(&mut self, node: &Node, arithmetic: Arithmetic) -> Result<Value> {
        let mut result = self.value(node, 0)?;
        for index in 1..node.inputs.len() {
            let other = self.value(node, index)?;
            let op = Op::Arithmetic(arithmetic);
            result = self.graph.apply(&node.name, op, &[result, other]);
        }
        Ok(result)
    }

    /// Of whole numbers cut off to whole numbers.
    fn quotient(&mut self, node: &Node) -> Result<Value> {
        let quotient = self.apply(node, Op::Arithmetic(Arithmetic::Div), 2)?;
        Ok(match self.gives_whole(node) {
            true => self.graph.map(&node.name, Function::Truncate, quotient),
            false => quotient,
        })
    }

    fn prelu(&mut self, node: &Node) -> Result<Value> {
        let slopes = self.known(node, 1)?;
        let slopes: Arc<[f32]> = slopes.data().into();
        self.spatial(node, Op::Map(Function::Prelu(slopes)), &[])
    }

    fn mish(&mut self, node: &Node) -> Result<Value> {
        let soft = self.apply(node, Op::Map(Function::Softplus), 1)?;
        let gate = self.graph.map(&node.name, Function::Tanh, soft);
        let x = self.value(node, 0)?;
        let product = Op::Arithmetic(Arithmetic::Mul);
        Ok(self.graph.apply(&node.name, product, &[x, gate]))
    }

    fn cast(&mut self, node: &Node) -> Result<Value> {
        let x = self.value(node, 0)?;
        match node.integer("to", 1) {
            // Another value: this one is not whole any more.
            1 | 10 | 11 | 16 if self.whole.contains(&x) => {
                self.apply(node, Op::Map(Function::Identity), 1)
            }
            1 | 10 | 11 | 16 => Ok(x),
            9 => self.apply(node, Op::Map(Function::IsTrue), 1),
            to if is_whole(to) && self.whole.contains(&x) => Ok(x),
            to if is_whole(to) => self.apply(node, Op::Map(Function::Truncate), 1),
            other => Err(node.unsupported(format!("a cast to type {other}"))),
        }
    }

    /// Bounds that are not constants (yet) are another two inputs.
    fn clip(&mut self, node: &Node) -> Result<Value> {
        let mut x = self.value(node, 0)?;
        let mut bounds = [
            node.float("min", f32::NEG_INFINITY),
            node.float("max", f32::INFINITY),
        ];
        for (index, bound) in bounds.iter_mut().enumerate() {
            let Some(value) = self.maybe(node, index + 1)? else {
                continue;
            };
            if let Some(tensor) = self.graph.constant_of(value) {
                let only = tensor.only();
                *bound = only.ok_or_else(|| node.unsupported("bounds that are not scalars"))?;
            } else {
                let arithmetic = [Arithmetic::Max, Arithmetic::Min][index];
                let op = Op::Arithmetic(arithmetic);
                x = self.graph.apply(&node.name, op, &[x, value]);
            }
        }
        let [low, high] = bounds;
        let op = Op::Map(Function::Clip { low, high });
        Ok(self.graph.apply(&node.name, op, &[x]))
    }
}
