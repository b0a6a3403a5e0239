//! Runs the steps of a plan on the members of a team.
//!
//! Every step is cut into tasks; a member starts with its own part of them, which is the same part of the map
//! for all steps and so often still in its cache, and helps the others when it is done. Steps that are too
//! small to share are done by the first member while the others wait for the next barrier.
//!
//! Safety. All pointers come from [`Run::read`] and [`Run::write`], which check that what a step touches
//! (its slot, computed from shapes and strides by the planner) is inside the buffer. Steps write to buffers
//! that no other live value shares (the planner places them so), and the tasks of a step write different
//! elements.

mod maps;
mod packed;
mod sample;
mod select;

pub(crate) use packed::{Packed, by_tiles};

use super::Graph;
use super::op::{Arithmetic, Function, PoolKind, Reduction};
use super::plan::{Base, Dimension, Finish, Map, Plan, Slot, Step};
use crate::kernels::elementwise::{self, Block, Pair, Pairing};
use crate::kernels::matmul::{Left, Panel, Right, Stored, multiply_panel};
use crate::kernels::shared::SharedSlice;
use crate::kernels::window::{Line, Pooling, pool_line};
use crate::kernels::{Activation, Isa, PackedMatrix};
use crate::team::Member;
use maps::{Convolution, Tiling};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Elements of one run that a task takes of a long one.
const RUN: usize = 4096;
/// Operands of a loop at most.
const OPERANDS: usize = 4;
/// Tasks a member gets of a step, so that one that is late can be helped.
const SHARES: usize = 6;

/// One run of a plan.
pub(crate) struct Run<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) graph: &'a Graph,
    pub(crate) packed: &'a [Packed],
    pub(crate) inputs: &'a [&'a [f32]],
    pub(crate) arena: SharedSlice<'a>,
    pub(crate) scratch: SharedSlice<'a>,
    /// One for each step and member, all zero.
    pub(crate) taken: &'a [AtomicUsize],
    /// Nanoseconds of each step, if wanted.
    pub(crate) times: Option<&'a [AtomicU64]>,
    pub(crate) isa: Isa,
}

/// What a kernel can do to its sums by itself.
fn activation(function: &Function) -> Option<Activation> {
    match function {
        Function::Identity => Some(Activation::None),
        Function::Gelu => Some(Activation::Gelu),
        Function::GeluTanh => Some(Activation::GeluTanh),
        function if *function == Function::RELU => Some(Activation::Relu),
        function if *function == Function::RELU6 => Some(Activation::Relu6),
        _ => None,
    }
}

/// The kernel's function for columns from `column` on; absent for the rare ones.
fn kernel_map(function: &Function, column: usize) -> Option<elementwise::Map> {
    use elementwise::Map as Kernel;
    Some(match function {
        Function::Identity => Kernel::Identity,
        Function::Clip { low, high } => Kernel::Clip(*low, *high),
        Function::Leaky(slope) => Kernel::Leaky(*slope),
        Function::Prelu(slopes) => Kernel::Prelu(slopes[column..].as_ptr()),
        Function::HardSigmoid { slope, offset } => Kernel::HardSigmoid(*slope, *offset),
        Function::HardSwish => Kernel::HardSwish,
        Function::Sigmoid => Kernel::Sigmoid,
        Function::Silu => Kernel::Silu,
        Function::Gelu => Kernel::Gelu,
        Function::Tanh => Kernel::Tanh,
        Function::Exp => Kernel::Exp,
        Function::Affine { scale, shift } => Kernel::Affine(*scale, *shift),
        Function::GeluTanh
        | Function::Erf
        | Function::Sqrt
        | Function::Floor
        | Function::Truncate
        | Function::Elu(_)
        | Function::Softplus
        | Function::Log
        | Function::Sin
        | Function::Cos
        | Function::Abs
        | Function::Sign
        | Function::Reciprocal
        | Function::Ceil
        | Function::Round
        | Function::Not
        | Function::IsTrue
        | Function::IsNan => return None,
    })
}

fn kernel_pair(arithmetic: Arithmetic) -> Option<Pairing> {
    Some(match arithmetic {
        Arithmetic::Add => Pairing::Add,
        Arithmetic::Sub => Pairing::Sub,
        Arithmetic::Mul => Pairing::Mul,
        Arithmetic::Div => Pairing::Div,
        Arithmetic::Max => Pairing::Max,
        Arithmetic::Min => Pairing::Min,
        Arithmetic::SquaredDifference => Pairing::SquaredDifference,
        Arithmetic::Pow
        | Arithmetic::FloorDiv
        | Arithmetic::Modulo
        | Arithmetic::Remainder
        | Arithmetic::Equal
        | Arithmetic::Less
        | Arithmetic::LessOrEqual
        | Arithmetic::Greater
        | Arithmetic::GreaterOrEqual
        | Arithmetic::And
        | Arithmetic::Or
        | Arithmetic::Xor => return None,
    })
}

/// Some rows of sums that are stored and not finished.
#[derive(Clone, Copy)]
struct Sums {
    out: *mut f32,
    out_row: usize,
    residual: Option<(*const f32, usize)>,
    rows: usize,
}

impl Sums {
    /// So many columns, changed where they lie.
    fn block(&self, columns: usize) -> Block {
        Block {
            out: self.out,
            out_row: self.out_row,
            input: self.out.cast_const(),
            input_row: self.out_row,
            residual: std::ptr::null(),
            residual_row: 0,
            rows: self.rows,
            columns,
        }
    }
}

/// `f(index, offsets)` for every index of some dimensions, from `range` of the flattened index.
fn each(
    dimensions: &[Dimension],
    range: Range<usize>,
    mut visit: impl FnMut(usize, [usize; OPERANDS]),
) {
    for index in range {
        let mut rest = index;
        let mut offsets = [0; OPERANDS];
        for dimension in dimensions.iter().rev() {
            let at = rest % dimension.size;
            rest /= dimension.size;
            for (offset, &stride) in offsets.iter_mut().zip(&dimension.strides) {
                *offset += at * stride;
            }
        }
        visit(index, offsets);
    }
}

fn total(dimensions: &[Dimension]) -> usize {
    dimensions.iter().map(|dimension| dimension.size).product()
}

/// Where a tuple of indices, `component` apart, points to; absent outside.
///
/// # Safety
/// There are as many indices as axes.
unsafe fn address(axes: &[(usize, usize)], indices: *const f32, component: usize) -> Option<usize> {
    axes.iter().enumerate().try_fold(0, |start, (at, &axis)| {
        // SAFETY: the caller's promise.
        let index = unsafe { *indices.add(at * component) };
        Some(start + place(index, axis)?)
    })
}

/// How far an element of an axis (of a size and distance) lies; absent outside. The index may count from the end.
fn place(index: f32, (size, stride): (usize, usize)) -> Option<usize> {
    let index = index as i64;
    let index = if index < 0 {
        index.saturating_add(size as i64)
    } else {
        index
    };
    let index = usize::try_from(index).ok().filter(|&i| i < size)?;
    Some(index * stride)
}

/// A loop as rows of columns: the outer dimensions, the rows and the columns.
struct Grid<'a> {
    outer: &'a [Dimension],
    rows: Dimension,
    columns: usize,
    /// Distance between the columns of each operand.
    steps: [usize; OPERANDS],
}

impl<'a> Grid<'a> {
    /// The innermost dimension is one of columns if the result is one run there and the others are one run or
    /// one value.
    fn new(dimensions: &'a [Dimension]) -> Self {
        let one = |strides: usize| Dimension {
            size: 1,
            strides: vec![0; strides],
        };
        let mut steps = [1; OPERANDS];
        let (mut outer, mut columns) = (dimensions, 1);
        let operands = dimensions
            .first()
            .map_or(0, |dimension| dimension.strides.len());
        if let Some((last, others)) = dimensions.split_last()
            && last.strides[0] == 1
            && last.strides[1..].iter().all(|&stride| stride <= 1)
        {
            columns = last.size;
            outer = others;
            for (step, &stride) in steps.iter_mut().zip(&last.strides) {
                *step = stride;
            }
        }
        let (rows, outer) = match outer.split_last() {
            Some((rows, outer)) => (rows.clone(), outer),
            None => (one(operands), outer),
        };
        Self {
            outer,
            rows,
            columns,
            steps,
        }
    }
}

impl Run<'_> {
    /// One member's part of the run.
    pub(crate) fn region(&self, member: Member<'_>) {
        let mut shared = true;
        for (index, planned) in self.plan.steps.iter().enumerate() {
            if index > 0 && !(shared && planned.alone) {
                member.barrier();
            }
            shared = planned.alone;
            let start = self.times.map(|_| Instant::now());
            if !planned.alone {
                self.step(member, index);
            } else if member.index() == 0 {
                self.step(Member::SOLO, index);
            }
            if let (Some(times), Some(start), 0) = (self.times, start, member.index()) {
                times[index].fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
            }
        }
    }

    fn read(&self, slot: Slot) -> *const f32 {
        match &self.plan.buffers[slot.buffer] {
            Base::Arena(offset) => self.arena.at(offset + slot.offset, slot.span).cast_const(),
            Base::Constant(tensor) => tensor.data()[slot.offset..slot.offset + slot.span].as_ptr(),
            Base::Input(number) => {
                self.inputs[*number][slot.offset..slot.offset + slot.span].as_ptr()
            }
        }
    }

    fn write(&self, slot: Slot) -> *mut f32 {
        match &self.plan.buffers[slot.buffer] {
            Base::Arena(offset) => self.arena.at(offset + slot.offset, slot.span),
            // The planner makes new buffers for results; only those have no base of their own.
            Base::Constant(_) | Base::Input(_) => unreachable!("a step writes to its own buffers"),
        }
    }

    fn scratch(&self, member: Member<'_>) -> *mut f32 {
        self.scratch
            .at(member.index() * self.plan.scratch, self.plan.scratch)
    }

    /// Calls `work` for this member's tasks, then for those that others have not begun.
    fn tasks(&self, member: Member<'_>, index: usize, count: usize, mut work: impl FnMut(usize)) {
        let members = member.count();
        if members == 1 {
            return (0..count).for_each(work);
        }
        for turn in 0..members {
            let owner = (member.index() + turn) % members;
            let (start, end) = (count * owner / members, count * (owner + 1) / members);
            let taken = &self.taken[index * members + owner];
            loop {
                let task = start + taken.fetch_add(1, Ordering::Relaxed);
                if task >= end {
                    break;
                }
                work(task);
            }
        }
    }

    /// Tasks over `count` units in pieces of at least `least`.
    fn pieces(
        &self,
        member: Member<'_>,
        index: usize,
        count: usize,
        least: usize,
        mut work: impl FnMut(Range<usize>),
    ) {
        let size = count
            .div_ceil(member.count() * SHARES)
            .max(least)
            .max(1)
            .min(count.max(1));
        self.tasks(member, index, count.div_ceil(size), |task| {
            work(task * size..count.min((task + 1) * size))
        });
    }

    #[allow(clippy::too_many_lines)]
    fn step(&self, member: Member<'_>, index: usize) {
        let planned = &self.plan.steps[index];
        let packed = &self.packed[planned.node];
        match (&planned.step, packed) {
            (
                Step::Pointwise {
                    input,
                    output,
                    finish,
                },
                Packed::Dense(matrix),
            ) => self.pointwise(member, index, matrix, input, output, finish),
            (
                Step::Conv {
                    window,
                    before,
                    input,
                    output,
                    finish,
                    rows,
                },
                Packed::Dense(matrix),
            ) => {
                let conv = Convolution {
                    matrix,
                    window,
                    before: *before,
                    input,
                    output,
                    finish,
                };
                self.conv(member, index, &conv, *rows);
            }
            (
                Step::Tiled {
                    before,
                    input,
                    output,
                    finish,
                    rows,
                    tiles,
                },
                Packed::Winograd(filter),
            ) => {
                let tiling = Tiling {
                    filter,
                    before: *before,
                    input,
                    output,
                    finish,
                    rows: *rows,
                    tiles: *tiles,
                };
                self.tiled(member, index, &tiling);
            }
            (
                Step::Unfolded {
                    window,
                    before,
                    groups,
                    input,
                    output,
                    finish,
                },
                Packed::Several(matrices),
            ) => self.unfolded(
                member, index, matrices, window, *before, *groups, input, output, finish,
            ),
            (
                Step::Depthwise {
                    down,
                    right,
                    input,
                    output,
                    finish,
                },
                Packed::Depthwise(filter),
            ) => {
                let line = self.line(*down, *right, input, output);
                let channels = output.shape[3];
                let rows = output.shape[0] * output.shape[1];
                let first = activation(&finish.first).unwrap_or_default();
                let work = |row: usize, channels: Range<usize>| {
                    let line = line(row);
                    // SAFETY: see the module; the axes are those of the map.
                    unsafe { filter.line(line, channels.clone(), first) };
                    self.finish(
                        finish,
                        Sums {
                            out: line.output.wrapping_add(channels.start),
                            out_row: line.output_pixel,
                            residual: self.residual(
                                finish,
                                row / output.shape[1],
                                row % output.shape[1],
                                0,
                            ),
                            rows: line.width,
                        },
                        channels.clone(),
                    );
                };
                if rows >= 2 * member.count() {
                    self.pieces(member, index, rows, 1, |piece| {
                        for row in piece {
                            work(row, 0..channels);
                        }
                    });
                } else {
                    self.pieces(member, index, channels.div_ceil(16), 1, |piece| {
                        let channels = piece.start * 16..channels.min(piece.end * 16);
                        for row in 0..rows {
                            work(row, channels.clone());
                        }
                    });
                }
            }
            (
                Step::Deconv {
                    size,
                    input,
                    output,
                    finish,
                },
                Packed::Several(matrices),
            ) => {
                let [_, height, width, _] = input.shape;
                let (from, to) = (self.read(input.slot), self.write(output.slot));
                let channels = output.shape[3];
                self.pieces(member, index, input.shape[0] * height, 1, |piece| {
                    for row in piece {
                        let (image, y) = (row / height, row % height);
                        let left = Left::rows(
                            from.wrapping_add(image * input.strides[0] + y * input.strides[1]),
                            input.strides[2],
                        );
                        for (dy, matrix) in matrices.iter().enumerate() {
                            let out = to.wrapping_add(
                                image * output.strides[0] + (y * size[0] + dy) * output.strides[1],
                            );
                            let right = Right {
                                start: out,
                                row: size[1] * output.strides[2],
                                residual: None,
                                activation: activation(&finish.first).unwrap_or_default(),
                            };
                            let sums = Sums {
                                out,
                                out_row: output.strides[2],
                                residual: None,
                                rows: width * size[1],
                            };
                            // SAFETY: see the module; the result is dense, so that the values under one input
                            // pixel are one run in every row.
                            unsafe { matrix.multiply(left, width, 0..matrix.panels(), right) };
                            self.finish(finish, sums, 0..channels);
                        }
                    }
                });
            }
            (
                Step::Pool {
                    kind,
                    down,
                    right,
                    input,
                    output,
                },
                _,
            ) => {
                let line = self.line(*down, *right, input, output);
                let pooling = match kind {
                    PoolKind::Max => Pooling::Max,
                    PoolKind::Average => Pooling::Mean { all: false },
                    PoolKind::AverageWithPadding => Pooling::Mean { all: true },
                };
                let rows = output.shape[0] * output.shape[1];
                self.pieces(member, index, rows, 1, |piece| {
                    for row in piece {
                        // SAFETY: see the module; the axes are those of the map.
                        unsafe { pool_line(self.isa, pooling, line(row), output.shape[3]) };
                    }
                });
            }
            (
                Step::Resize {
                    nearest,
                    rows,
                    columns,
                    input,
                    output,
                },
                _,
            ) => self.resize(member, index, *nearest, rows, columns, input, output),
            (
                Step::Function {
                    function,
                    loops,
                    output,
                    input,
                },
                _,
            ) => {
                let (to, from) = (self.write(*output), self.read(*input));
                self.grid(
                    member,
                    index,
                    loops,
                    |grid, offsets, rows, columns, first| {
                        let block = Block {
                            out: to.wrapping_add(offsets[0]),
                            out_row: grid.rows.strides[0],
                            input: from.wrapping_add(offsets[1]),
                            input_row: grid.rows.strides[1],
                            residual: std::ptr::null(),
                            residual_row: 0,
                            rows,
                            columns,
                        };
                        self.map(function, block, first);
                    },
                );
            }
            (
                Step::Pair {
                    arithmetic,
                    loops,
                    output,
                    inputs,
                },
                _,
            ) => {
                let to = self.write(*output);
                let from = inputs.map(|slot| self.read(slot));
                self.grid(member, index, loops, |grid, offsets, rows, columns, _| {
                    let block = Pair {
                        out: to.wrapping_add(offsets[0]),
                        out_row: grid.rows.strides[0],
                        input: [
                            from[0].wrapping_add(offsets[1]),
                            from[1].wrapping_add(offsets[2]),
                        ],
                        row: [grid.rows.strides[1], grid.rows.strides[2]],
                        step: [grid.steps[1], grid.steps[2]],
                        rows,
                        columns,
                    };
                    pair(self.isa, *arithmetic, block);
                });
            }
            (
                Step::Copy {
                    loops,
                    output,
                    input,
                },
                _,
            ) => {
                let (to, from) = (self.write(*output), self.read(*input));
                self.grid(member, index, loops, |grid, offsets, rows, columns, _| {
                    for row in 0..rows {
                        let to = to.wrapping_add(offsets[0] + row * grid.rows.strides[0]);
                        let from = from.wrapping_add(offsets[1] + row * grid.rows.strides[1]);
                        // SAFETY: see the module.
                        unsafe {
                            if grid.steps[1] == 1 {
                                to.copy_from_nonoverlapping(from, columns);
                            } else {
                                for column in 0..columns {
                                    *to.add(column) = *from;
                                }
                            }
                        }
                    }
                });
            }
            (
                Step::Fill {
                    loops,
                    output,
                    value,
                },
                _,
            ) => {
                let to = self.write(*output);
                self.grid(member, index, loops, |grid, offsets, rows, columns, _| {
                    for row in 0..rows {
                        let to = to.wrapping_add(offsets[0] + row * grid.rows.strides[0]);
                        for column in 0..columns {
                            // SAFETY: see the module.
                            unsafe { *to.add(column) = *value };
                        }
                    }
                });
            }
            (
                Step::ReduceRows {
                    loops,
                    over,
                    columns,
                    scale,
                    output,
                    input,
                },
                _,
            ) => {
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
            (
                Step::ReduceLast {
                    kind,
                    loops,
                    length,
                    output,
                    input,
                },
                _,
            ) => {
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
                                let value = match kind {
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
            (
                Step::Softmax {
                    loops,
                    length,
                    output,
                    input,
                },
                _,
            ) => {
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
            (
                Step::MatMul {
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
                },
                _,
            ) => {
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
                                    let from = right.add(
                                        offsets[2]
                                            + k * right_strides[0]
                                            + column * right_strides[1],
                                    );
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
            (
                Step::ArgMax {
                    loops,
                    length,
                    stride,
                    output,
                    input,
                },
                _,
            ) => {
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
            (
                Step::Gather {
                    axes,
                    tuples,
                    component,
                    loops,
                    output,
                    input,
                    indices,
                },
                _,
            ) => {
                let to = self.write(*output);
                let (from, indices) = (self.read(*input), self.read(*indices));
                each(tuples, 0..total(tuples), |_, tuple| {
                    // SAFETY: see the module; indices that are not inside are not followed.
                    unsafe {
                        let start = address(axes, indices.add(tuple[1]), *component);
                        each(loops, 0..total(loops), |_, offsets| {
                            *to.add(tuple[0] + offsets[0]) = match start {
                                Some(start) => *from.add(start + offsets[1]),
                                // What an index outside addresses is not a number.
                                None => f32::NAN,
                            };
                        });
                    }
                });
            }
            (Step::Select(step), _) => self.select(member, index, step),
            (Step::TopK(step), _) => self.top_k(member, index, step),
            (Step::GatherElements(step), _) => self.gather_elements(member, index, step),
            (Step::Scatter(step), _) => self.scatter(step),
            (Step::CumulativeSum(step), _) => self.cumulative_sum(member, index, step),
            (Step::Normalise(step), _) => self.normalise(member, index, step),
            (Step::GridSample(step), _) => self.grid_sample(member, index, step),
            (Step::Deformable(step), _) => self.deformable(member, index, step),
            (
                Step::Pointwise { .. }
                | Step::Conv { .. }
                | Step::Tiled { .. }
                | Step::Unfolded { .. }
                | Step::Depthwise { .. }
                | Step::Deconv { .. },
                _,
            ) => {
                let node = &self.graph.nodes[planned.node].name;
                unreachable!("`{node}` was packed and planned for different kernels")
            }
        }
    }

    /// The rows of a window's outputs.
    fn line<'b>(
        &'b self,
        down: crate::kernels::window::Axis,
        right: crate::kernels::window::Axis,
        input: &'b Map,
        output: &'b Map,
    ) -> impl Fn(usize) -> Line + 'b {
        let (from, to) = (self.read(input.slot), self.write(output.slot));
        move |row| {
            let (image, y) = (row / output.shape[1], row % output.shape[1]);
            Line {
                input: from.wrapping_add(image * input.strides[0]),
                row: input.strides[1],
                pixel: input.strides[2],
                down,
                right,
                y,
                output: to.wrapping_add(image * output.strides[0] + y * output.strides[1]),
                output_pixel: output.strides[2],
                width: output.shape[2],
            }
        }
    }

    /// Calls `work(grid, offsets, rows, columns, first column)` for the blocks of a loop.
    fn grid(
        &self,
        member: Member<'_>,
        index: usize,
        dimensions: &[Dimension],
        work: impl Fn(&Grid<'_>, [usize; OPERANDS], usize, usize, usize),
    ) {
        let grid = Grid::new(dimensions);
        if !grid.outer.is_empty() {
            let least = RUN / (grid.rows.size * grid.columns).max(1) + 1;
            return self.pieces(member, index, total(grid.outer), least, |piece| {
                each(grid.outer, piece, |_, offsets| {
                    work(&grid, offsets, grid.rows.size, grid.columns, 0);
                });
            });
        }
        if grid.rows.size > 1 {
            let least = RUN / grid.columns.max(1) + 1;
            return self.pieces(member, index, grid.rows.size, least, |piece| {
                let mut offsets = [0; OPERANDS];
                for (offset, &stride) in offsets.iter_mut().zip(&grid.rows.strides) {
                    *offset = piece.start * stride;
                }
                work(&grid, offsets, piece.len(), grid.columns, 0);
            });
        }
        self.pieces(member, index, grid.columns, RUN, |piece| {
            let offsets = grid.steps.map(|step| piece.start * step);
            work(&grid, offsets, 1, piece.len(), piece.start);
        });
    }

    fn map(&self, function: &Function, block: Block, column: usize) {
        if let Some(function) = kernel_map(function, column) {
            // SAFETY: see the module.
            return unsafe { elementwise::map(self.isa, function, block) };
        }
        for row in 0..block.rows {
            for at in 0..block.columns {
                // SAFETY: see the module.
                unsafe {
                    let mut x = *block.input.add(row * block.input_row + at);
                    if !block.residual.is_null() {
                        x += *block.residual.add(row * block.residual_row + at);
                    }
                    *block.out.add(row * block.out_row + at) = function.of(x, column + at);
                }
            }
        }
    }

    /// Where the residual of a line of outputs begins (at output `x` of it), and the distance of its pixels.
    fn residual(
        &self,
        finish: &Finish,
        image: usize,
        y: usize,
        x: usize,
    ) -> Option<(*const f32, usize)> {
        let map = finish.residual?;
        let offset = image * map.strides[0] + y * map.strides[1] + x * map.strides[2];
        Some((self.read(map.slot).wrapping_add(offset), map.strides[2]))
    }

    /// Does to stored sums what their kernel could not. `columns` are those of the result's row that `sums.out`
    /// points into, whose first is `columns.start`; the residual begins with column 0.
    fn finish(&self, finish: &Finish, sums: Sums, columns: Range<usize>) {
        let mut block = sums.block(columns.len());
        if activation(&finish.first).is_none() {
            self.map(&finish.first, block, columns.start);
        }
        if let Some((residual, row)) = sums.residual {
            block.residual = residual.wrapping_add(columns.start);
            block.residual_row = row;
        } else if finish.second == Function::Identity {
            return;
        }
        self.map(&finish.second, block, columns.start);
    }

    /// What follows sums with which nothing was done yet; both as [`Self::finish`].
    fn finish_all(&self, finish: &Finish, sums: Sums, columns: Range<usize>) {
        if activation(&finish.first).is_some_and(|first| first != Activation::None) {
            self.map(&finish.first, sums.block(columns.len()), columns.start);
        }
        self.finish(finish, sums, columns);
    }

    /// A product of some rows with some panels, finished.
    fn product(
        &self,
        matrix: &PackedMatrix,
        left: Left,
        sums: Sums,
        panels: Range<usize>,
        finish: &Finish,
    ) {
        let first = activation(&finish.first);
        let mut right = Right {
            start: sums.out,
            row: sums.out_row,
            residual: None,
            activation: first.unwrap_or_default(),
        };
        if first.is_some() && finish.second == Function::Identity {
            right.residual = sums.residual;
            // SAFETY: see the module.
            return unsafe { matrix.multiply(left, sums.rows, panels, right) };
        }
        for panel in panels {
            // SAFETY: see the module.
            unsafe { matrix.multiply(left, sums.rows, panel..panel + 1, right) };
            let start = panel * matrix.panel_width();
            let columns = start..matrix.n().min(start + matrix.panel_width());
            let sums = Sums {
                out: sums.out.wrapping_add(start),
                ..sums
            };
            self.finish(finish, sums, columns);
        }
    }
}

fn pair(isa: Isa, arithmetic: Arithmetic, block: Pair) {
    if let Some(pairing) = kernel_pair(arithmetic) {
        // SAFETY: see the module.
        return unsafe { elementwise::pair(isa, pairing, block) };
    }
    for row in 0..block.rows {
        for column in 0..block.columns {
            // SAFETY: see the module.
            unsafe {
                let side = |side: usize| {
                    *block.input[side].add(row * block.row[side] + column * block.step[side])
                };
                *block.out.add(row * block.out_row + column) = arithmetic.of(side(0), side(1));
            }
        }
    }
}
