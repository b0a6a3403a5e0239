//! Sums, means and products of rows; the largest of them.

use super::{RUN, Run, each, total};
use crate::graph::op::Reduction;
use crate::graph::plan::{Largest, Products, ReducedRuns, Shares, SummedRows};
use crate::kernels::Activation;
use crate::kernels::elementwise::{self, Block};
use crate::kernels::matmul::{Left, Panel, Right, Stored, multiply_panel};
use crate::team::Member;

impl Run<'_> {
    pub(super) fn sum_rows(&self, member: Member<'_>, index: usize, step: &SummedRows) {
        let SummedRows {
            loops,
            over,
            columns,
            scale,
            output,
            input,
        } = step;
        let (to, from) = (self.write(*output), self.read(*input));
        // Columns in pieces of several vectors: what the rows of one task read lies close together.
        const PIECE: usize = 48;
        /// Rows that are summed in single precision before they are added to the rest in double.
        const ROWS: usize = 512;
        let pieces = columns.div_ceil(PIECE);
        let (last, others) = match over.split_last() {
            Some((&last, others)) => (last, others),
            None => ((1, 0), &over[..0]),
        };
        let count = total(loops) * pieces;
        self.tasks(member, index, count, |task| {
            let column = task % pieces * PIECE;
            let width = PIECE.min(columns - column);
            let row = task / pieces;
            each(loops, row..row + 1, |_, offsets| {
                let out = to.wrapping_add(offsets[0] + column);
                let start = from.wrapping_add(offsets[1] + column);
                let mut part = [0f32; PIECE];
                let groups: usize = others.iter().map(|&(size, _)| size).product();
                let mut sums = [0f64; PIECE];
                for group in 0..groups {
                    let mut rest = group;
                    let mut offset = 0;
                    for &(size, stride) in others.iter().rev() {
                        offset += rest % size * stride;
                        rest /= size;
                    }
                    // A million values that are added one after the other lose digits.
                    for first in (0..last.0).step_by(ROWS) {
                        let block = Block {
                            out: part.as_mut_ptr(),
                            out_row: 0,
                            input: start.wrapping_add(offset + first * last.1),
                            input_row: last.1,
                            residual: std::ptr::null(),
                            residual_row: 0,
                            rows: ROWS.min(last.0 - first),
                            columns: width,
                        };
                        // SAFETY: see the module; a piece of results.
                        unsafe { elementwise::sum_rows(self.isa, block, 1.0) };
                        for (sum, part) in sums.iter_mut().zip(&part[..width]) {
                            *sum += f64::from(*part);
                        }
                    }
                }
                for (at, sum) in sums[..width].iter().enumerate() {
                    // SAFETY: see the module.
                    unsafe { *out.add(at) = *sum as f32 * scale };
                }
            });
        });
    }

    pub(super) fn reduce_runs(&self, member: Member<'_>, index: usize, step: &ReducedRuns) {
        let ReducedRuns {
            kind,
            loops,
            length,
            output,
            input,
        } = step;
        let (to, from) = (self.write(*output), self.read(*input));
        self.pieces(
            member,
            index,
            total(loops),
            RUN / length.max(&1) + 1,
            |piece| {
                each(loops, piece, |_, offsets| {
                    let start = from.wrapping_add(offsets[1]);
                    // SAFETY: see the module.
                    unsafe {
                        let fold = |first: f32, f: fn(f32, f32) -> f32| {
                            (0..*length).fold(first, |sum, at| f(sum, *start.add(at)))
                        };
                        let value =
                            match kind {
                                // What is not a number stays visible.
                                Reduction::Max => fold(f32::NEG_INFINITY, |best, x| {
                                    if x > best || x.is_nan() { x } else { best }
                                }),
                                Reduction::Min => fold(f32::INFINITY, |best, x| {
                                    if x < best || x.is_nan() { x } else { best }
                                }),
                                Reduction::Product => fold(1.0, |product, x| product * x),
                                Reduction::Sum => elementwise::sum(self.isa, start, *length),
                                Reduction::Mean => {
                                    elementwise::sum(self.isa, start, *length) / *length as f32
                                }
                            };
                        *to.add(offsets[0]) = value;
                    }
                });
            },
        );
    }

    pub(super) fn shares(&self, member: Member<'_>, index: usize, step: &Shares) {
        let Shares {
            loops,
            length,
            output,
            input,
        } = step;
        let (to, from) = (self.write(*output), self.read(*input));
        self.pieces(
            member,
            index,
            total(loops),
            RUN / length.max(&1) + 1,
            |piece| {
                each(loops, piece, |_, offsets| {
                    let block = Block {
                        out: to.wrapping_add(offsets[0]),
                        out_row: *length,
                        input: from.wrapping_add(offsets[1]),
                        input_row: *length,
                        residual: std::ptr::null(),
                        residual_row: 0,
                        rows: 1,
                        columns: *length,
                    };
                    // SAFETY: see the module.
                    unsafe { elementwise::softmax(self.isa, block) };
                });
            },
        );
    }

    pub(super) fn products(&self, member: Member<'_>, index: usize, step: &Products) {
        let Products {
            loops,
            rows,
            inner,
            columns,
            output,
            output_row,
            left,
            left_row,
            right,
            right_strides,
        } = step;
        let (to, left, right) = (self.write(*output), self.read(*left), self.read(*right));
        let width = 2 * self.isa.lanes();
        self.tasks(member, index, total(loops), |task| {
            each(loops, task..task + 1, |_, offsets| {
                let scratch = self.scratch(member);
                for (number, column) in (0..*columns).step_by(width).enumerate() {
                    let count = width.min(columns - column);
                    let panel = scratch.wrapping_add(number * width * inner);
                    // SAFETY: see the module; the planner made room for all panels.
                    unsafe {
                        for k in 0..*inner {
                            let row = panel.add(k * width);
                            let from = right
                                .add(offsets[2] + k * right_strides[0] + column * right_strides[1]);
                            for at in 0..width {
                                *row.add(at) = if at < count {
                                    *from.add(at * right_strides[1])
                                } else {
                                    0.0
                                };
                            }
                        }
                        multiply_panel(
                            self.isa,
                            Left::rows(left.add(offsets[1]), *left_row),
                            *rows,
                            *inner,
                            Panel {
                                weights: panel,
                                bias: std::ptr::null(),
                                columns: count,
                                step: width,
                                stored: Stored::Full,
                            },
                            Right {
                                start: to.add(offsets[0] + column),
                                row: *output_row,
                                residual: None,
                                activation: Activation::None,
                            },
                        );
                    }
                }
            });
        });
    }

    pub(super) fn largest(&self, step: &Largest) {
        let Largest {
            loops,
            length,
            stride,
            output,
            input,
        } = step;
        let (to, from) = (self.write(*output), self.read(*input));
        each(loops, 0..total(loops), |_, offsets| {
            let (mut best, mut place) = (f32::NEG_INFINITY, 0);
            for at in 0..*length {
                // SAFETY: see the module.
                let value = unsafe { *from.add(offsets[1] + at * stride) };
                if value > best {
                    (best, place) = (value, at);
                }
            }
            // SAFETY: as above.
            unsafe { *to.add(offsets[0]) = place as f32 };
        });
    }
}
