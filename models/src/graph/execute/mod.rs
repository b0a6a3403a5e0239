//! Runs the steps of a plan on the members of a team.
//!
//! Every step is cut into tasks; a member starts with its own part of them, which is the same part of the map
//! for all steps and so often still in its cache, and helps the others when it is done. Steps that are too
//! small to share are done by the first member while the others wait for the next barrier.
//!
//! Steps over maps are in `maps.rs` and `sample.rs`, functions of every element in `elements.rs`, sums and products in
//! `sums.rs`, what is chosen by size, conditions or indices in `select.rs`; `packed.rs` has the weights as kernels want
//! them.
//!
//! Safety. All pointers come from [`Run::read`] and [`Run::write`], which check that what a step touches
//! (its slot, computed from shapes and strides by the planner) is inside the buffer. Steps write to buffers
//! that no other live value shares (the planner places them so), and the tasks of a step write different
//! elements.

mod elements;
mod maps;
mod packed;
mod sample;
mod select;
mod sums;

pub(crate) use packed::{Packed, by_tiles};

use super::Graph;
use super::op::Function;
use super::plan::{Base, Dimension, Finish, Map, Plan, Slot, Step};
use crate::kernels::elementwise::{self, Block};
use crate::kernels::matmul::{Left, Right};
use crate::kernels::shared::SharedSlice;
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
            (Step::Depthwise(step), Packed::Depthwise(filter)) => {
                self.depthwise(member, index, filter, step)
            }
            (Step::Deconv(step), Packed::Several(matrices)) => {
                self.deconv(member, index, matrices, step)
            }
            (Step::Pool(step), _) => self.pool(member, index, step),
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
            (Step::Function(step), _) => self.function(member, index, step),
            (Step::Pair(step), _) => self.pair(member, index, step),
            (Step::Copy(step), _) => self.copy(member, index, step),
            (Step::Fill(step), _) => self.fill(member, index, step),
            (Step::ReduceRows(step), _) => self.sum_rows(member, index, step),
            (Step::ReduceLast(step), _) => self.reduce_runs(member, index, step),
            (Step::Softmax(step), _) => self.shares(member, index, step),
            (Step::MatMul(step), _) => self.products(member, index, step),
            (Step::ArgMax(step), _) => self.largest(step),
            (Step::Gather(step), _) => self.gather(step),
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
                | Step::Depthwise(_)
                | Step::Deconv(_),
                _,
            ) => {
                let node = &self.graph.nodes[planned.node].name;
                unreachable!("`{node}` was packed and planned for different kernels")
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
