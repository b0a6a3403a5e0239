//! Sums of products: of matrices, and by equations.

use super::wire::Node;
use super::{Importer, Result};
use crate::graph::Value;
use crate::graph::op::{Function, Op};

impl Importer {
    /// What is a sum of products.
    pub(super) fn products(&mut self, node: &Node) -> Result<Option<Value>> {
        match node.op.as_str() {
            "MatMul" => self.mat_mul(node),
            "Gemm" => self.gemm(node),
            "Einsum" => self.einsum(node),
            _ => return Ok(None),
        }
        .map(Some)
    }

    fn mat_mul(&mut self, node: &Node) -> Result<Value> {
        let (x, weights) = (self.value(node, 0)?, self.value(node, 1)?);
        let vector = self.graph.constant_of(weights).cloned();
        let column = vector.and_then(|vector| match *vector.shape() {
            [length] => vector.reshaped(&[length, 1]),
            _ => None,
        });
        let Some(column) = column else {
            return self.apply(node, Op::MatMul, 2);
        };
        // A list on the right is a column, which the result does not have.
        let column = self.graph.constant(column);
        let product = self.graph.apply(&node.name, Op::MatMul, &[x, column]);
        Ok(self
            .graph
            .apply(&node.name, Op::Squeeze(vec![-1]), &[product]))
    }

    fn gemm(&mut self, node: &Node) -> Result<Value> {
        let mut weights = self.value(node, 1)?;
        if node.integer("transB", 0) != 0 {
            weights = match self.graph.constant_of(weights).cloned() {
                Some(tensor) if tensor.shape().len() == 2 => {
                    self.graph.constant(tensor.transposed(&[1, 0]))
                }
                _ => self
                    .graph
                    .apply(&node.name, Op::Transpose(vec![1, 0]), &[weights]),
            };
        }
        let mut x = self.value(node, 0)?;
        if node.integer("transA", 0) != 0 {
            x = self
                .graph
                .apply(&node.name, Op::Transpose(vec![1, 0]), &[x]);
        }
        let product = self.graph.apply(&node.name, Op::MatMul, &[x, weights]);
        self.ranks.note(product, 2);
        let product = self.scaled(node, "alpha", product);
        Ok(match self.maybe(node, 2)? {
            Some(bias) => {
                let bias = self.scaled(node, "beta", bias);
                self.graph.add(&node.name, product, bias)
            }
            None => product,
        })
    }

    /// A value times a factor of the node.
    fn scaled(&mut self, node: &Node, factor: &str, value: Value) -> Value {
        let (scale, shift) = (node.float(factor, 1.0), 0.0);
        if scale == 1.0 {
            return value;
        }
        self.graph
            .map(&node.name, Function::Affine { scale, shift }, value)
    }

    /// Sums of products of two operands, as one product of matrices: the axes are put into the groups of both
    /// with result (the outer ones), of one with result, and of both without result (which are summed).
    fn einsum(&mut self, node: &Node) -> Result<Value> {
        let equation: String = node.text("equation").unwrap_or_default().replace(' ', "");
        let unsupported = || node.unsupported(format!("the equation {equation:?}"));
        let (operands, result) = equation.split_once("->").ok_or_else(unsupported)?;
        let (left, right) = operands.split_once(',').ok_or_else(unsupported)?;
        let letters = |text: &str| -> Option<Vec<char>> {
            let letters: Vec<char> = text.chars().collect();
            let once = (1..letters.len()).all(|at| !letters[..at].contains(&letters[at]));
            (once && letters.len() <= 8 && letters.iter().all(char::is_ascii_alphabetic))
                .then_some(letters)
        };
        let (Some(left), Some(right), Some(result)) =
            (letters(left), letters(right), letters(result))
        else {
            return Err(unsupported());
        };
        let of = |letters: &[char], keep: &dyn Fn(&char) -> bool| -> Vec<char> {
            letters
                .iter()
                .copied()
                .filter(|letter| keep(letter))
                .collect()
        };
        let both = of(&result, &|l| left.contains(l) && right.contains(l));
        let rows = of(&result, &|l| left.contains(l) && !right.contains(l));
        let columns = of(&result, &|l| right.contains(l) && !left.contains(l));
        let summed = of(&left, &|l| right.contains(l) && !result.contains(l));
        let fits = both.len() + rows.len() + columns.len() == result.len()
            && both.len() + rows.len() + summed.len() == left.len()
            && both.len() + columns.len() + summed.len() == right.len();
        if !fits || node.inputs.len() != 2 {
            return Err(unsupported());
        }
        let place = |letters: &[char], letter: &char| {
            letters
                .iter()
                .position(|other| other == letter)
                .unwrap_or(0)
        };
        // The operands with their axes in groups, and their sizes then.
        let mut grouped =
            |index: usize, from: &[char], groups: [&[char]; 3]| -> Result<[Value; 2]> {
                let order = groups.concat().iter().map(|l| place(from, l)).collect();
                let x = self.value(node, index)?;
                let x = self.graph.apply(&node.name, Op::Transpose(order), &[x]);
                Ok([x, self.graph.apply(&node.name, Op::Shape, &[x])])
            };
        let [b, r, c, s] = [&both, &rows, &columns, &summed].map(|group| group.len() as i64);
        let [left, left_sizes] = grouped(0, &left, [&both, &rows, &summed])?;
        let [right, right_sizes] = grouped(1, &right, [&both, &summed, &columns])?;
        let outer = self.part(node, left_sizes, 0, b);
        let inner = self.product(node, left_sizes, b + r, b + r + s);
        let (height, width) = (
            self.product(node, left_sizes, b, b + r),
            self.product(node, right_sizes, b + s, b + s + c),
        );
        let mut shaped = |x: Value, shape: &[Value]| {
            let shape = self.graph.apply(&node.name, Op::Concat { axis: 0 }, shape);
            let op = Op::Reshape { keep_zeros: false };
            self.graph.apply(&node.name, op, &[x, shape])
        };
        let left = shaped(left, &[outer, height, inner]);
        let right = shaped(right, &[outer, inner, width]);
        let product = self.graph.apply(&node.name, Op::MatMul, &[left, right]);
        let (high, wide) = (
            self.part(node, left_sizes, b, b + r),
            self.part(node, right_sizes, b + s, b + s + c),
        );
        let shape = self
            .graph
            .apply(&node.name, Op::Concat { axis: 0 }, &[outer, high, wide]);
        let op = Op::Reshape { keep_zeros: false };
        let product = self.graph.apply(&node.name, op, &[product, shape]);
        let made = [both, rows, columns].concat();
        let order = result.iter().map(|letter| place(&made, letter)).collect();
        Ok(self
            .graph
            .apply(&node.name, Op::Transpose(order), &[product]))
    }
}
