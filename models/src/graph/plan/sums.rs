//! Sums, means and products of rows.

use super::view::wide;
use super::{Planner, Products, ReducedRuns, Step, SummedRows, View, loops};
use crate::graph::op::{Reduce, Reduction};
use crate::graph::shape::reduced;
use crate::graph::tensor::row_major;
use crate::graph::{Node, Result};

impl Planner<'_> {
    pub(super) fn reduce(&mut self, node: &Node, reduce: &Reduce) -> Result<()> {
        let view = self.view(node.inputs[0])?;
        let axes = self.with_operands(node, |operands| reduced(node, &reduce.axes, operands))?;
        let rank = view.shape.len();
        let kept: Vec<usize> = (0..rank).filter(|axis| !axes.contains(axis)).collect();
        let result = node.outputs[0];
        let made = self.shape(result).to_vec();
        let over: usize = axes.iter().map(|&axis| view.shape[axis]).product();
        // The result with only the kept axes.
        let without = |output: &View| -> View {
            if reduce.keep {
                output.permuted(&kept)
            } else {
                output.clone()
            }
        };
        let near = kept
            .iter()
            .copied()
            .find(|&axis| view.shape[axis] > 1 && view.strides[axis] == 1);
        if let (Some(near), Reduction::Mean | Reduction::Sum) = (near, reduce.kind) {
            // The nearest axis is kept: rows are added.
            let mut order: Vec<usize> = view
                .order()
                .into_iter()
                .filter(|axis| kept.contains(axis) && *axis != near)
                .collect();
            let outer = order.clone();
            order.push(near);
            // Places of the kept axes in the result.
            let place = |axis: usize| {
                if reduce.keep {
                    axis
                } else {
                    kept.iter().take_while(|&&other| other != axis).count()
                }
            };
            let mut wanted: Vec<usize> = (0..made.len())
                .filter(|axis| !order.iter().any(|&kept| place(kept) == *axis))
                .collect();
            wanted.extend(order.iter().map(|&axis| place(axis)));
            let output = self.output(result, &wanted)?;
            let outer_shape: Vec<usize> = outer.iter().map(|&axis| view.shape[axis]).collect();
            let outer_out: Vec<usize> = outer
                .iter()
                .map(|&axis| output.strides[place(axis)])
                .collect();
            let outer_in: Vec<usize> = outer.iter().map(|&axis| view.strides[axis]).collect();
            let all: Vec<usize> = (0..outer.len()).collect();
            let inner = view.permuted(&axes);
            let summed = loops(&inner.shape, &inner.order(), &[&inner.strides]);
            let step = Step::ReduceRows(SummedRows {
                loops: loops(&outer_shape, &all, &[&outer_out, &outer_in]),
                over: summed
                    .iter()
                    .map(|dimension| (dimension.size, dimension.strides[0]))
                    .collect(),
                columns: view.shape[near],
                scale: if reduce.kind == Reduction::Mean {
                    1.0 / over as f32
                } else {
                    1.0
                },
                output: output.slot(),
                input: view.slot(),
            });
            self.step(step, view.elements(), &[output.slot(), view.slot()]);
            return Ok(());
        }
        let rows = self.rows(&view, &kept, &axes)?;
        let order: Vec<usize> = (0..made.len()).collect();
        let output = self.output(result, &order)?;
        let results = without(&output);
        let all: Vec<usize> = (0..kept.len()).collect();
        let step = Step::ReduceLast(ReducedRuns {
            kind: reduce.kind,
            loops: loops(
                &rows.shape[..kept.len()],
                &all,
                &[&results.strides, &rows.strides],
            ),
            length: over,
            output: output.slot(),
            input: rows.slot(),
        });
        self.step(step, view.elements(), &[output.slot(), rows.slot()]);
        Ok(())
    }

    /// The view as its axes `kept` and a last one of all elements of the others, which is one run: copied where
    /// it does not lie so.
    pub(super) fn rows(&mut self, view: &View, kept: &[usize], others: &[usize]) -> Result<View> {
        let mut order = kept.to_vec();
        order.extend(others);
        let ordered = view.permuted(&order);
        let mut shape: Vec<usize> = kept.iter().map(|&axis| view.shape[axis]).collect();
        let length = others.iter().map(|&axis| view.shape[axis]).product();
        shape.push(length);
        match ordered.reshaped(&shape) {
            Some(rows) if length == 1 || rows.strides[kept.len()] == 1 => Ok(rows),
            _ => {
                let all: Vec<usize> = (0..view.shape.len()).collect();
                let copy = self.copied(&ordered, &all)?;
                Ok(View {
                    strides: row_major(&shape),
                    shape,
                    ..copy
                })
            }
        }
    }

    pub(super) fn matmul(&mut self, node: &Node) -> Result<()> {
        let (left, right) = (self.view(node.inputs[0])?, self.view(node.inputs[1])?);
        let result = node.outputs[0];
        let shape = self.shape(result).to_vec();
        let rank = shape.len();
        let left_rank = left.shape.len();
        let left = self.nearest(left, left_rank - 1)?;
        let order: Vec<usize> = (0..rank).collect();
        let output = self.output(result, &order)?;
        let outer = &shape[..rank - 2];
        let lead = |view: &View| {
            let axes = view.shape.len() - 2;
            let part = View {
                shape: view.shape[..axes].to_vec(),
                strides: view.strides[..axes].to_vec(),
                ..view.clone()
            };
            wide(&part, outer).strides
        };
        let (rows, inner, columns) = (shape[rank - 2], left.shape[left_rank - 1], shape[rank - 1]);
        let all: Vec<usize> = (0..outer.len()).collect();
        let right_rank = right.shape.len();
        let packed = columns
            .div_ceil(32)
            .checked_mul(32)
            .and_then(|wide| wide.checked_mul(inner))
            .ok_or_else(|| node.invalid("a factor that is too large"))?;
        self.scratch = self.scratch.max(packed);
        let step = Step::MatMul(Products {
            loops: loops(
                outer,
                &all,
                &[&output.strides[..rank - 2], &lead(&left), &lead(&right)],
            ),
            rows,
            inner,
            columns,
            output: output.slot(),
            output_row: output.strides[rank - 2],
            left: left.slot(),
            left_row: left.strides[left_rank - 2],
            right: right.slot(),
            right_strides: [right.strides[right_rank - 2], right.strides[right_rank - 1]],
        });
        let work = output.elements().saturating_mul(1 + inner / 16);
        self.step(step, work, &[output.slot(), left.slot(), right.slot()]);
        Ok(())
    }
}
