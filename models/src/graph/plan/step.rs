//! The steps of a plan: kernel calls, and the buffers they touch.

use super::View;
use super::sample::{Deforming, Rows, Sampling};
use super::select::{CumulativeSum, GatherElements, Scatter, Select, TopK};
use crate::graph::Tensor;
use crate::graph::op::{Arithmetic, Function, PoolKind, Reduction, Window};
use crate::kernels::window::Axis;
use std::sync::Arc;

/// A part of a buffer: `span` elements from `offset` are touched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) buffer: usize,
    pub(crate) offset: usize,
    pub(crate) span: usize,
}

/// A channels-last map: `[batch, height, width, channels]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map {
    pub(crate) slot: Slot,
    pub(crate) shape: [usize; 4],
    pub(crate) strides: [usize; 4],
}

impl Map {
    /// Whether all pixels are one row of pixels with even distances.
    pub(crate) fn is_even(&self) -> bool {
        let [batch, height, width, _] = self.shape;
        let [image, row, pixel, _] = self.strides;
        (height == 1 || row == width * pixel) && (batch == 1 || image == height * width * pixel)
    }

    pub(crate) fn pixels(&self) -> usize {
        self.shape[0] * self.shape[1] * self.shape[2]
    }
}

/// One dimension of a loop and the distances of its operands.
#[derive(Clone, Debug)]
pub(crate) struct Dimension {
    pub(crate) size: usize,
    pub(crate) strides: Vec<usize>,
}

/// What follows a sum.
#[derive(Clone, Debug)]
pub(crate) struct Finish {
    pub(crate) first: Function,
    pub(crate) residual: Option<Map>,
    pub(crate) second: Function,
}

/// Where one coordinate of a resized map comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) low: usize,
    pub(crate) high: usize,
    /// How much of `high`.
    pub(crate) weight: f32,
}

/// Windows of every channel alone.
#[derive(Clone, Debug)]
pub(crate) struct Depthwise {
    pub(crate) down: Axis,
    pub(crate) right: Axis,
    pub(crate) input: Map,
    pub(crate) output: Map,
    pub(crate) finish: Finish,
}

/// Products whose results are the pixels of a window that nothing else reaches.
#[derive(Clone, Debug)]
pub(crate) struct Spread {
    pub(crate) size: [usize; 2],
    pub(crate) input: Map,
    pub(crate) output: Map,
    pub(crate) finish: Finish,
}

/// The largest or the mean of every window.
#[derive(Clone, Debug)]
pub(crate) struct Pooled {
    pub(crate) kind: PoolKind,
    pub(crate) down: Axis,
    pub(crate) right: Axis,
    pub(crate) input: Map,
    pub(crate) output: Map,
}

/// A function of every element.
#[derive(Clone, Debug)]
pub(crate) struct Mapped {
    pub(crate) function: Function,
    pub(crate) loops: Vec<Dimension>,
    pub(crate) output: Slot,
    pub(crate) input: Slot,
}

/// A function of two elements each.
#[derive(Clone, Debug)]
pub(crate) struct Paired {
    pub(crate) arithmetic: Arithmetic,
    pub(crate) loops: Vec<Dimension>,
    pub(crate) output: Slot,
    pub(crate) inputs: [Slot; 2],
}

/// Elements at other places.
#[derive(Clone, Debug)]
pub(crate) struct Copied {
    pub(crate) loops: Vec<Dimension>,
    pub(crate) output: Slot,
    pub(crate) input: Slot,
}

/// One value everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Filled {
    pub(crate) loops: Vec<Dimension>,
    pub(crate) output: Slot,
    pub(crate) value: f32,
}

/// Sums of rows: every result is over `over`, neighbouring results lie in neighbouring columns.
#[derive(Clone, Debug)]
pub(crate) struct SummedRows {
    pub(crate) loops: Vec<Dimension>,
    /// Distances in the input.
    pub(crate) over: Vec<(usize, usize)>,
    pub(crate) columns: usize,
    pub(crate) scale: f32,
    pub(crate) output: Slot,
    pub(crate) input: Slot,
}

/// Every result is over `length` neighbouring values.
#[derive(Clone, Debug)]
pub(crate) struct ReducedRuns {
    pub(crate) kind: Reduction,
    pub(crate) loops: Vec<Dimension>,
    pub(crate) length: usize,
    pub(crate) output: Slot,
    pub(crate) input: Slot,
}

/// Runs of `length` neighbouring values that sum to one.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    pub(crate) loops: Vec<Dimension>,
    pub(crate) length: usize,
    pub(crate) output: Slot,
    pub(crate) input: Slot,
}

/// Products of matrices.
#[derive(Clone, Debug)]
pub(crate) struct Products {
    /// Over products; the strides of result, left and right.
    pub(crate) loops: Vec<Dimension>,
    pub(crate) rows: usize,
    pub(crate) inner: usize,
    pub(crate) columns: usize,
    pub(crate) output: Slot,
    pub(crate) output_row: usize,
    pub(crate) left: Slot,
    pub(crate) left_row: usize,
    pub(crate) right: Slot,
    pub(crate) right_strides: [usize; 2],
}

/// Where the largest of `length` values is.
#[derive(Clone, Debug)]
pub(crate) struct Largest {
    pub(crate) loops: Vec<Dimension>,
    pub(crate) length: usize,
    pub(crate) stride: usize,
    pub(crate) output: Slot,
    pub(crate) input: Slot,
}

/// Rows of `loops` starting where the indices say.
#[derive(Clone, Debug)]
pub(crate) struct Gathered {
    /// Sizes and distances of the axes that an index addresses.
    pub(crate) axes: Vec<(usize, usize)>,
    /// Over the tuples of indices: result and indices.
    pub(crate) tuples: Vec<Dimension>,
    /// Distance between the indices of a tuple.
    pub(crate) component: usize,
    /// Over what one tuple addresses: result and input.
    pub(crate) loops: Vec<Dimension>,
    pub(crate) output: Slot,
    pub(crate) input: Slot,
    pub(crate) indices: Slot,
}

/// One kernel call. `loops` are from the outermost to the innermost dimension; the operands of their strides
/// are the result and the inputs in order.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A product over the channels of every pixel; the strides of `input` are those between the pixels used.
    Pointwise {
        input: Map,
        output: Map,
        finish: Finish,
    },
    Conv {
        window: Window,
        before: [usize; 2],
        input: Map,
        output: Map,
        finish: Finish,
        /// Rows of outputs that go together at most; 0 when the input is read where it lies.
        rows: usize,
    },
    /// Windows of 3x3 with stride one, by tiles of outputs.
    Tiled {
        before: [usize; 2],
        input: Map,
        output: Map,
        finish: Finish,
        /// Rows of tiles that go together at most.
        rows: usize,
        /// Tiles whose transformed inputs are there at a time.
        tiles: usize,
    },
    /// Any groups and dilations.
    Unfolded {
        window: Window,
        before: [usize; 2],
        groups: usize,
        input: Map,
        output: Map,
        finish: Finish,
    },
    Depthwise(Depthwise),
    Deconv(Spread),
    Pool(Pooled),
    Resize {
        nearest: bool,
        rows: Vec<Source>,
        columns: Vec<Source>,
        input: Map,
        output: Map,
    },
    Function(Mapped),
    Pair(Paired),
    Copy(Copied),
    Fill(Filled),
    ReduceRows(SummedRows),
    ReduceLast(ReducedRuns),
    Softmax(Shares),
    MatMul(Products),
    ArgMax(Largest),
    Gather(Gathered),
    Select(Select),
    TopK(TopK),
    GatherElements(GatherElements),
    Scatter(Scatter),
    CumulativeSum(CumulativeSum),
    Normalise(Rows),
    GridSample(Sampling),
    Deformable(Deforming),
}

impl Step {
    /// The kernel and its sizes, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Pointwise { input, output, .. } => {
                format!("pointwise {:?} {:?}", input.shape, output.shape)
            }
            Self::Conv {
                window,
                input,
                output,
                ..
            } => format!(
                "conv {:?} {:?} {:?}",
                window.size, input.shape, output.shape
            ),
            Self::Tiled { input, output, .. } => {
                format!("tiled {:?} {:?}", input.shape, output.shape)
            }
            Self::Unfolded { input, output, .. } => {
                format!("unfolded {:?} {:?}", input.shape, output.shape)
            }
            Self::Depthwise(step) => format!(
                "depthwise {}x{} {:?} {:?}",
                step.down.taps, step.right.taps, step.input.shape, step.output.shape
            ),
            Self::Deconv(step) => {
                format!("deconv {:?} {:?}", step.input.shape, step.output.shape)
            }
            Self::Pool(step) => format!("pool {:?} {:?}", step.input.shape, step.output.shape),
            Self::Resize { input, output, .. } => {
                format!("resize {:?} {:?}", input.shape, output.shape)
            }
            Self::Function(step) => format!("function {}", sizes(&step.loops)),
            Self::Pair(step) => format!("pair {}", sizes(&step.loops)),
            Self::Copy(step) => format!("copy {}", sizes(&step.loops)),
            Self::Fill(step) => format!("fill {}", sizes(&step.loops)),
            Self::ReduceRows(step) => format!("rows {:?} of {}", step.over, step.columns),
            Self::ReduceLast(step) => format!("last {} of {}", sizes(&step.loops), step.length),
            Self::Softmax(step) => format!("softmax {} of {}", sizes(&step.loops), step.length),
            Self::MatMul(step) => {
                let (rows, inner, columns) = (step.rows, step.inner, step.columns);
                format!(
                    "products {} of {rows}x{inner}x{columns}",
                    sizes(&step.loops)
                )
            }
            Self::ArgMax(step) => format!("largest {} of {}", sizes(&step.loops), step.length),
            Self::Gather(step) => format!("gather {}", sizes(&step.loops)),
            Self::Select(step) => format!("select {}", sizes(&step.loops)),
            Self::TopK(step) => format!("{} of {}", step.count, step.length),
            Self::GatherElements(step) => format!("gather {}", sizes(&step.loops)),
            Self::Scatter(step) => format!("scatter {}", sizes(&step.tuples)),
            Self::CumulativeSum(step) => format!("sums {}", sizes(&step.loops)),
            Self::Normalise(step) => format!("rows {} of {}", sizes(&step.loops), step.length),
            Self::GridSample(step) => format!("{:?} {:?}", step.input.shape, step.output.shape),
            Self::Deformable(step) => format!("{} of {:?}", step.queries, step.deformable.maps),
        }
    }
}

fn sizes(loops: &[Dimension]) -> String {
    let sizes: Vec<usize> = loops.iter().map(|dimension| dimension.size).collect();
    format!("{sizes:?}")
}

/// Where a buffer is.
#[derive(Clone, Debug)]
pub(crate) enum Base {
    /// Elements into the workspace.
    Arena(usize),
    Constant(Arc<Tensor>),
    /// The input of this number.
    Input(usize),
}

/// A step with the node it is for.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) node: usize,
    pub(crate) step: Step,
    /// Whether one member does it alone.
    pub(crate) alone: bool,
}

/// The steps of a run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Planned>,
    /// Where the first input lies, if it lies in the workspace.
    pub(crate) input: Option<Slot>,
    pub(crate) buffers: Vec<Base>,
    /// Elements of the workspace.
    pub(crate) arena: usize,
    /// Elements that every member needs for itself.
    pub(crate) scratch: usize,
    pub(crate) outputs: Vec<View>,
}

impl Plan {
    /// The first input's place in the workspace; nothing where it lies elsewhere.
    pub(crate) fn input<'a>(&self, arena: &'a mut [f32]) -> &'a mut [f32] {
        match self.input.map(|slot| (slot, &self.buffers[slot.buffer])) {
            Some((slot, Base::Arena(start))) => &mut arena[start + slot.offset..][..slot.span],
            _ => &mut [],
        }
    }
}
