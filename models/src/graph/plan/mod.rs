//! The steps of a run for one set of input shapes: where every value lies, and which kernel makes it.
//!
//! A value is a strided view of a buffer. Operations that only look at a tensor in another way (transposes,
//! slices, splits, expansions, most reshapes) make no step. What a concatenation joins is written into its place where the
//! producer can. Buffers whose lives do not overlap share memory.

use super::evaluate::Budget;
use super::op::{
    Arithmetic, Conv, Function, Op, Pool, PoolKind, Reduce, Reduction, Resize, ResizeMode, Window,
};
use super::shape::{
    Operands, axis_of, infer, order_of, pads, parts, reduced, resize_target, slices,
};
use super::tensor::{Tensor, count, row_major};
use super::{Coordinates, Error, Graph, Limits, Node, Result, Value};
use crate::kernels::window::Axis;
use sample::{Deforming, Rows, Sampling};
use select::{CumulativeSum, GatherElements, Scatter, Select, TopK};
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) mod sample;
pub(crate) mod select;

/// Elements to which buffers are aligned: a cache line.
const LINE: usize = 16;
/// How deep concatenations of concatenations are written in place.
const DEPTH: usize = 8;
/// Work (in rough elements touched) below which one member does a step alone.
const SMALL: usize = 6_000;
/// Elements of input rows that a convolution keeps around itself while it works on a group of rows.
const GROUP: usize = 64 * 1024;

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
    /// Any groups and dilations.
    Unfolded {
        window: Window,
        before: [usize; 2],
        groups: usize,
        input: Map,
        output: Map,
        finish: Finish,
    },
    Depthwise {
        down: Axis,
        right: Axis,
        input: Map,
        output: Map,
        finish: Finish,
    },
    Deconv {
        size: [usize; 2],
        input: Map,
        output: Map,
        finish: Finish,
    },
    Pool {
        kind: PoolKind,
        down: Axis,
        right: Axis,
        input: Map,
        output: Map,
    },
    Resize {
        nearest: bool,
        rows: Vec<Source>,
        columns: Vec<Source>,
        input: Map,
        output: Map,
    },
    Function {
        function: Function,
        loops: Vec<Dimension>,
        output: Slot,
        input: Slot,
    },
    Pair {
        arithmetic: Arithmetic,
        loops: Vec<Dimension>,
        output: Slot,
        inputs: [Slot; 2],
    },
    Copy {
        loops: Vec<Dimension>,
        output: Slot,
        input: Slot,
    },
    Fill {
        loops: Vec<Dimension>,
        output: Slot,
        value: f32,
    },
    /// Sums of rows: every result is over `over`, neighbouring results lie in neighbouring columns.
    ReduceRows {
        loops: Vec<Dimension>,
        /// Distances in the input.
        over: Vec<(usize, usize)>,
        columns: usize,
        scale: f32,
        output: Slot,
        input: Slot,
    },
    /// Every result is over `length` neighbouring values.
    ReduceLast {
        kind: Reduction,
        loops: Vec<Dimension>,
        length: usize,
        output: Slot,
        input: Slot,
    },
    Softmax {
        loops: Vec<Dimension>,
        length: usize,
        output: Slot,
        input: Slot,
    },
    MatMul {
        /// Over products; the strides of result, left and right.
        loops: Vec<Dimension>,
        rows: usize,
        inner: usize,
        columns: usize,
        output: Slot,
        output_row: usize,
        left: Slot,
        left_row: usize,
        right: Slot,
        right_strides: [usize; 2],
    },
    ArgMax {
        loops: Vec<Dimension>,
        length: usize,
        stride: usize,
        output: Slot,
        input: Slot,
    },
    /// Rows of `loops` starting where the indices say.
    Gather {
        /// Sizes and distances of the axes that an index addresses.
        axes: Vec<(usize, usize)>,
        /// Over the tuples of indices: result and indices.
        tuples: Vec<Dimension>,
        /// Distance between the indices of a tuple.
        component: usize,
        /// Over what one tuple addresses: result and input.
        loops: Vec<Dimension>,
        output: Slot,
        input: Slot,
        indices: Slot,
    },
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
            Self::Unfolded { input, output, .. } => {
                format!("unfolded {:?} {:?}", input.shape, output.shape)
            }
            Self::Depthwise {
                down,
                right,
                input,
                output,
                ..
            } => format!(
                "depthwise {}x{} {:?} {:?}",
                down.taps, right.taps, input.shape, output.shape
            ),
            Self::Deconv { input, output, .. } => {
                format!("deconv {:?} {:?}", input.shape, output.shape)
            }
            Self::Pool { input, output, .. } => {
                format!("pool {:?} {:?}", input.shape, output.shape)
            }
            Self::Resize { input, output, .. } => {
                format!("resize {:?} {:?}", input.shape, output.shape)
            }
            Self::Function { loops, .. } => format!("function {}", sizes(loops)),
            Self::Pair { loops, .. } => format!("pair {}", sizes(loops)),
            Self::Copy { loops, .. } => format!("copy {}", sizes(loops)),
            Self::Fill { loops, .. } => format!("fill {}", sizes(loops)),
            Self::ReduceRows { over, columns, .. } => format!("rows {over:?} of {columns}"),
            Self::ReduceLast { loops, length, .. } => format!("last {} of {length}", sizes(loops)),
            Self::Softmax { loops, length, .. } => format!("softmax {} of {length}", sizes(loops)),
            Self::MatMul {
                loops,
                rows,
                inner,
                columns,
                ..
            } => format!("products {} of {rows}x{inner}x{columns}", sizes(loops)),
            Self::ArgMax { loops, length, .. } => format!("largest {} of {length}", sizes(loops)),
            Self::Gather { loops, .. } => format!("gather {}", sizes(loops)),
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
    pub(crate) buffers: Vec<Base>,
    /// Elements of the workspace.
    pub(crate) arena: usize,
    /// Elements that every member needs for itself.
    pub(crate) scratch: usize,
    pub(crate) outputs: Vec<View>,
}

/// A tensor somewhere in a buffer.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) buffer: usize,
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}

impl View {
    /// Elements from the first to the last, if there are any.
    fn span(&self) -> usize {
        span(&self.shape, &self.strides)
    }

    pub(crate) fn slot(&self) -> Slot {
        Slot {
            buffer: self.buffer,
            offset: self.offset,
            span: self.span(),
        }
    }

    fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The axes from the farthest to the nearest.
    fn order(&self) -> Vec<usize> {
        let mut axes: Vec<usize> = (0..self.shape.len()).collect();
        // Axes of one element and repeated ones go where they were.
        axes.sort_by_key(|&axis| std::cmp::Reverse(self.weight(axis)));
        axes
    }

    fn weight(&self, axis: usize) -> usize {
        let has_elements = |&axis: &usize| self.shape[axis] > 1 && self.strides[axis] > 0;
        if has_elements(&axis) {
            return self.strides[axis];
        }
        // As far as the next axis that has elements of its own.
        (axis + 1..self.shape.len())
            .find(has_elements)
            .map_or(1, |axis| {
                self.strides[axis].saturating_mul(self.shape[axis])
            })
    }

    fn permuted(&self, order: &[usize]) -> Self {
        Self {
            shape: order.iter().map(|&axis| self.shape[axis]).collect(),
            strides: order.iter().map(|&axis| self.strides[axis]).collect(),
            ..*self
        }
    }

    fn map(&self) -> Option<Map> {
        Some(Map {
            slot: self.slot(),
            shape: self.shape.as_slice().try_into().ok()?,
            strides: self.strides.as_slice().try_into().ok()?,
        })
    }

    /// The same elements in another shape, where that is only another way to look at them.
    fn reshaped(&self, shape: &[usize]) -> Option<Self> {
        if self.elements() == 0 {
            return Some(Self {
                shape: shape.to_vec(),
                strides: row_major(shape),
                ..*self
            });
        }
        // Axes with more than one element, neighbours that are one run joined.
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            if size == 1 {
                continue;
            }
            match runs.last_mut() {
                Some((run, distance)) if *distance == stride.checked_mul(size)? => {
                    *run *= size;
                    *distance = stride;
                }
                _ => runs.push((size, stride)),
            }
        }
        // Every run is cut into the wanted axes, from the last.
        let mut strides = vec![1; shape.len()];
        let mut run = runs.pop();
        let mut nearer = 1;
        for axis in (0..shape.len()).rev() {
            let size = shape[axis];
            if size == 1 {
                strides[axis] = nearer;
                continue;
            }
            let (left, stride) = run.as_mut()?;
            if !left.is_multiple_of(size) {
                return None;
            }
            strides[axis] = *stride;
            *left /= size;
            *stride = stride.checked_mul(size)?;
            nearer = *stride;
            if *left == 1 {
                run = runs.pop();
            }
        }
        run.is_none().then(|| Self {
            shape: shape.to_vec(),
            strides,
            ..*self
        })
    }
}

fn span(shape: &[usize], strides: &[usize]) -> usize {
    if shape.contains(&0) {
        return 0;
    }
    1 + shape
        .iter()
        .zip(strides)
        .map(|(&size, &stride)| (size - 1) * stride)
        .sum::<usize>()
}

/// A loop over operands of one shape, from their strides: axes in the given order, neighbours joined where all
/// operands allow it, axes of one element dropped. Never empty.
fn loops(shape: &[usize], order: &[usize], operands: &[&[usize]]) -> Vec<Dimension> {
    let mut dimensions: Vec<Dimension> = Vec::new();
    for &axis in order {
        let size = shape[axis];
        if size == 1 {
            continue;
        }
        let strides: Vec<usize> = operands.iter().map(|strides| strides[axis]).collect();
        match dimensions.last_mut() {
            Some(outer)
                if outer
                    .strides
                    .iter()
                    .zip(&strides)
                    .all(|(&far, &near)| far == near * size) =>
            {
                outer.size *= size;
                outer.strides = strides;
            }
            _ => dimensions.push(Dimension { size, strides }),
        }
    }
    if dimensions.is_empty() {
        dimensions.push(Dimension {
            size: if shape.contains(&0) { 0 } else { 1 },
            strides: vec![1; operands.len()],
        });
    }
    dimensions
}

/// What makes the plan, and its parts so far.
pub(crate) struct Planner<'a> {
    graph: &'a Graph,
    limits: Limits,
    shapes: Vec<Option<Vec<usize>>>,
    known: Vec<Option<Arc<Tensor>>>,
    views: Vec<Option<View>>,
    buffers: Vec<Buffer>,
    targets: HashMap<Value, Target>,
    steps: Vec<Planned>,
    scratch: usize,
    node: usize,
}

struct Buffer {
    base: Option<Base>,
    size: usize,
    /// The first and the last step that touch it.
    first: usize,
    last: usize,
}

/// Where a value lies in a concatenation.
#[derive(Clone, Copy)]
struct Target {
    whole: Value,
    axis: usize,
    start: usize,
}

/// Plans a run with inputs of these shapes.
pub(crate) fn plan(graph: &Graph, limits: Limits, inputs: &[&[usize]]) -> Result<Plan> {
    let mut planner = Planner::measured(graph, limits, inputs)?;
    planner.aim()?;
    for (number, (_, value)) in graph.inputs.iter().enumerate() {
        let shape = inputs[number];
        let view = planner.whole(shape, Some(Base::Input(number)))?;
        planner.views[value.0] = Some(view);
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        planner.node = index;
        let is_known = |value: &Value| planner.known[value.0].is_some();
        if node.outputs.iter().all(is_known) {
            continue;
        }
        planner.plan_node(node)?;
    }
    planner.finish()
}

impl<'a> Planner<'a> {
    /// A planner that knows the shapes of all values, and the values of those that shapes decide.
    pub(crate) fn measured(graph: &'a Graph, limits: Limits, inputs: &[&[usize]]) -> Result<Self> {
        let count = graph.constants.len();
        let mut planner = Self {
            graph,
            limits,
            shapes: vec![None; count],
            known: graph.constants.clone(),
            views: vec![None; count],
            buffers: Vec::new(),
            targets: HashMap::new(),
            steps: Vec::new(),
            scratch: 0,
            node: 0,
        };
        planner.measure(inputs)?;
        Ok(planner)
    }

    fn measure(&mut self, inputs: &[&[usize]]) -> Result<()> {
        for (index, tensor) in self.known.iter().enumerate() {
            self.shapes[index] = tensor.as_ref().map(|tensor| tensor.shape().to_vec());
        }
        for ((_, value), shape) in self.graph.inputs.iter().zip(inputs) {
            self.shapes[value.0] = Some(shape.to_vec());
        }
        let mut budget = Budget::new(self.limits);
        for node in &self.graph.nodes {
            let shapes = node
                .inputs
                .iter()
                .map(|value| {
                    self.shapes[value.0]
                        .as_deref()
                        .ok_or_else(|| node.invalid("an input that nothing makes"))
                })
                .collect::<Result<Vec<_>>>()?;
            let known: Vec<Option<&Tensor>> = node
                .inputs
                .iter()
                .map(|value| self.known[value.0].as_deref())
                .collect();
            let operands = Operands {
                shapes: &shapes,
                known: &known,
            };
            let mut made = infer(node, &operands)?;
            if let Some(&residual) = residual_of(node) {
                // A residual may be larger than the sum.
                let shape = self.shapes[residual.0].as_deref().unwrap_or(&[]);
                made[0] = super::shape::broadcast(node, &made[0], shape)?;
            }
            if made.len() != node.outputs.len() {
                return Err(node.invalid("the number of results is another"));
            }
            for shape in &made {
                if count(shape).is_none_or(|elements| elements > self.limits.elements) {
                    return Err(Error::TooLarge {
                        what: format!("a tensor {shape:?} of node `{}`", node.name),
                        limit: self.limits.elements as u64,
                    });
                }
            }
            let values = budget.evaluate(node, &operands, &made)?;
            for (index, (&value, shape)) in node.outputs.iter().zip(made).enumerate() {
                self.shapes[value.0] = Some(shape);
                if let Some(tensor) = values.as_ref().and_then(|values| values.get(index)) {
                    self.known[value.0] = Some(Arc::new(tensor.clone()));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn shape(&self, value: Value) -> &[usize] {
        // `measure` has seen every value.
        self.shapes[value.0].as_deref().unwrap_or(&[])
    }

    /// The value, if it is known before anything runs.
    pub(crate) fn known(&self, value: Value) -> Option<&Tensor> {
        self.known[value.0].as_deref()
    }

    /// Notes which values could be written where a concatenation wants them.
    fn aim(&mut self) -> Result<()> {
        for node in &self.graph.nodes {
            let Op::Concat { axis } = node.op else {
                continue;
            };
            let whole = node.outputs[0];
            let axis = axis_of(node, axis, self.shape(whole).len())?;
            let mut start = 0;
            for &value in &node.inputs {
                let length = self.shape(value)[axis];
                let target = Target { whole, axis, start };
                self.targets.entry(value).or_insert(target);
                start += length;
            }
        }
        Ok(())
    }

    /// A view of a new buffer in row-major order.
    fn whole(&mut self, shape: &[usize], base: Option<Base>) -> Result<View> {
        let size = count(shape).unwrap_or(usize::MAX);
        if size > self.limits.elements {
            return Err(Error::TooLarge {
                what: format!("a tensor {shape:?}"),
                limit: self.limits.elements as u64,
            });
        }
        self.buffers.push(Buffer {
            base,
            size,
            first: usize::MAX,
            last: 0,
        });
        Ok(View {
            buffer: self.buffers.len() - 1,
            offset: 0,
            shape: shape.to_vec(),
            strides: row_major(shape),
        })
    }

    /// A view of a new buffer whose axes lie in `order`, the last one nearest.
    fn ordered(&mut self, shape: &[usize], order: &[usize]) -> Result<View> {
        let far: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
        let view = self.whole(&far, None)?;
        let mut inverse = vec![0; order.len()];
        for (at, &axis) in order.iter().enumerate() {
            inverse[axis] = at;
        }
        Ok(view.permuted(&inverse))
    }

    /// Where a value is to be written, its axes in `order`: the last of them has distance one.
    fn output(&mut self, value: Value, order: &[usize]) -> Result<View> {
        self.output_at(value, order, 0)
    }

    fn output_at(&mut self, value: Value, order: &[usize], depth: usize) -> Result<View> {
        let shape = self.shape(value).to_vec();
        if let Some(&target) = self.targets.get(&value)
            && depth < DEPTH
            && self.known[target.whole.0].is_none()
        {
            let whole = match &self.views[target.whole.0] {
                Some(view) => view.clone(),
                None => {
                    let view = self.output_at(target.whole, order, depth + 1)?;
                    self.views[target.whole.0] = Some(view.clone());
                    view
                }
            };
            let nearest = order.last().copied();
            if nearest.is_none_or(|axis| whole.strides[axis] == 1) {
                let view = View {
                    offset: whole.offset + target.start * whole.strides[target.axis],
                    shape,
                    ..whole
                };
                self.views[value.0] = Some(view.clone());
                return Ok(view);
            }
        }
        let view = self.ordered(&shape, order)?;
        self.views[value.0] = Some(view.clone());
        Ok(view)
    }

    /// The view of a value that is read.
    fn view(&mut self, value: Value) -> Result<View> {
        if let Some(view) = &self.views[value.0] {
            return Ok(view.clone());
        }
        let Some(tensor) = self.known[value.0].clone() else {
            return Err(Error::Invalid {
                node: self.graph.nodes[self.node].name.clone(),
                what: "an input that nothing has made".to_owned(),
            });
        };
        let shape = tensor.shape().to_vec();
        let view = self.whole(&shape, Some(Base::Constant(tensor)))?;
        self.views[value.0] = Some(view.clone());
        Ok(view)
    }

    /// Adds a step that touches these buffers.
    fn step(&mut self, step: Step, work: usize, slots: &[Slot]) {
        let index = self.steps.len();
        for slot in slots {
            let buffer = &mut self.buffers[slot.buffer];
            buffer.first = buffer.first.min(index);
            buffer.last = buffer.last.max(index);
        }
        self.steps.push(Planned {
            node: self.node,
            step,
            alone: work < SMALL,
        });
    }

    fn copy(&mut self, from: &View, to: &View) {
        if to.elements() == 0 {
            return;
        }
        let step = Step::Copy {
            loops: loops(&to.shape, &to.order(), &[&to.strides, &from.strides]),
            output: to.slot(),
            input: from.slot(),
        };
        self.step(step, to.elements(), &[to.slot(), from.slot()]);
    }

    /// The view, or a copy of it whose axes lie in `order`.
    fn copied(&mut self, view: &View, order: &[usize]) -> Result<View> {
        let copy = self.ordered(&view.shape, order)?;
        self.copy(view, &copy);
        Ok(copy)
    }

    /// The same elements in another shape, copied where it is not only another way to look at them.
    fn looked_at(&mut self, view: &View, shape: &[usize]) -> Result<View> {
        if let Some(view) = view.reshaped(shape) {
            return Ok(view);
        }
        let order: Vec<usize> = (0..view.shape.len()).collect();
        let copy = self.copied(view, &order)?;
        Ok(View {
            strides: row_major(shape),
            shape: shape.to_vec(),
            ..copy
        })
    }

    /// The view if its axis `axis` has distance one (or one element), else a copy of which that is so.
    fn nearest(&mut self, view: View, axis: usize) -> Result<View> {
        if view.strides[axis] == 1 {
            return Ok(view);
        }
        if view.shape[axis] <= 1 {
            let mut view = view;
            view.strides[axis] = 1;
            return Ok(view);
        }
        let mut order: Vec<usize> = (0..view.shape.len()).filter(|&a| a != axis).collect();
        order.push(axis);
        self.copied(&view, &order)
    }

    /// Rows of the last axis as one line of pixels, copied if they do not lie so.
    fn flat(&mut self, view: &View) -> Result<Map> {
        let columns = view.shape.last().copied().unwrap_or(1);
        let rows = view.elements() / columns.max(1);
        let shape = [1, 1, rows, columns];
        let line = |view: &View| {
            let mut view = view.reshaped(&shape)?;
            if columns == 1 {
                view.strides[3] = 1;
            }
            (view.strides[3] == 1).then(|| view.map())?
        };
        if let Some(map) = line(view) {
            return Ok(map);
        }
        let order: Vec<usize> = (0..view.shape.len()).collect();
        let copy = self.copied(view, &order)?;
        line(&copy).ok_or_else(|| self.graph.nodes[self.node].invalid("rows of no layout"))
    }

    fn map_of(&self, node: &Node, view: &View) -> Result<Map> {
        view.map()
            .ok_or_else(|| node.invalid("a map has four dimensions"))
    }

    #[allow(clippy::too_many_lines)]
    fn plan_node(&mut self, node: &Node) -> Result<()> {
        let first = |planner: &mut Self| planner.view(node.inputs[0]);
        let result = node.outputs[0];
        if node.inputs.is_empty() {
            return Err(node.invalid("no inputs"));
        }
        // Another way to look at the same elements.
        let looked = match &node.op {
            Op::Map(Function::Identity) => Some(first(self)?),
            Op::Transpose(order) => {
                let view = first(self)?;
                Some(view.permuted(&order_of(node, order, view.shape.len())?))
            }
            Op::Reshape { .. } | Op::Squeeze(_) | Op::Unsqueeze(_) => {
                let view = first(self)?;
                let shape = self.shape(result).to_vec();
                Some(self.looked_at(&view, &shape)?)
            }
            Op::Expand => {
                let view = first(self)?;
                Some(wide(&view, self.shape(result)))
            }
            Op::Tile => Some(self.tile(node)?),
            Op::Slice => {
                let mut view = first(self)?;
                let sliced = self.with_operands(node, |operands| slices(node, operands))?;
                for (axis, (start, step, length)) in sliced.into_iter().enumerate() {
                    let Ok(step) = usize::try_from(step) else {
                        return Err(node.unsupported("a step backwards"));
                    };
                    if length > 0 {
                        view.offset += start * view.strides[axis];
                    }
                    view.strides[axis] = view.strides[axis].saturating_mul(step);
                    view.shape[axis] = length;
                    if length <= 1 {
                        view.strides[axis] = 1;
                    }
                }
                Some(view)
            }
            Op::Split { axis } => {
                let view = first(self)?;
                let axis = axis_of(node, *axis, view.shape.len())?;
                let sizes = self.with_operands(node, |operands| parts(node, axis, operands))?;
                let mut start = 0;
                for (&value, size) in node.outputs.iter().zip(sizes) {
                    let mut part = view.clone();
                    if size > 0 {
                        part.offset += start * part.strides[axis];
                    }
                    part.shape[axis] = size;
                    start += size;
                    self.views[value.0] = Some(part);
                }
                return Ok(());
            }
            _ => None,
        };
        if let Some(view) = looked {
            self.views[result.0] = Some(view);
            return Ok(());
        }
        if self.shape(result).contains(&0) {
            for &value in &node.outputs {
                let shape = self.shape(value).to_vec();
                let view = self.whole(&shape, None)?;
                self.views[value.0] = Some(view);
            }
            return Ok(());
        }
        match &node.op {
            Op::Conv(conv) => self.conv(node, conv),
            Op::Linear(linear) => {
                let view = first(self)?;
                let input = self.flat(&view)?;
                let mut made = view.shape.clone();
                if let Some(last) = made.last_mut() {
                    *last = linear.bias.len();
                }
                let order: Vec<usize> = (0..made.len()).collect();
                self.with_residual(
                    node,
                    &linear.after,
                    &made,
                    &order,
                    |planner, output, finish| {
                        let output = planner.flat(output)?;
                        let work = input.pixels() * (input.shape[3] + output.shape[3]);
                        let work = work.saturating_mul(1 + input.shape[3] / 32);
                        let step = Step::Pointwise {
                            input,
                            output,
                            finish,
                        };
                        planner.step_with(step, work, &[input, output]);
                        Ok(())
                    },
                )
            }
            Op::Deconv(deconv) => {
                let view = first(self)?;
                let view = self.nearest(view, 3)?;
                let input = self.map_of(node, &view)?;
                let shape = self.shape(result).to_vec();
                let view = self.ordered(&shape, &[0, 1, 2, 3])?;
                self.views[result.0] = Some(view.clone());
                let output = self.map_of(node, &view)?;
                let finish = Finish {
                    first: deconv.after.first.clone(),
                    residual: None,
                    second: deconv.after.second.clone(),
                };
                let step = Step::Deconv {
                    size: deconv.size,
                    input,
                    output,
                    finish,
                };
                self.step(step, usize::MAX, &[input.slot, output.slot]);
                Ok(())
            }
            Op::Map(function) => {
                let mut view = first(self)?;
                let rank = view.shape.len();
                let mut order = view.order();
                if matches!(function, Function::Prelu(_)) {
                    view = self.nearest(view, rank - 1)?;
                    order = view.order();
                    if order.last() != Some(&(rank - 1)) {
                        order.retain(|&axis| axis != rank - 1);
                        order.push(rank - 1);
                    }
                }
                let output = self.output(result, &order)?;
                let mut dimensions =
                    loops(&output.shape, &order, &[&output.strides, &view.strides]);
                if let Function::Prelu(slopes) = function
                    && dimensions
                        .last()
                        .is_none_or(|last| last.size != slopes.len())
                {
                    // The channels must stay a dimension of their own.
                    let outer: Vec<usize> = order[..rank - 1].to_vec();
                    dimensions = loops(&output.shape, &outer, &[&output.strides, &view.strides]);
                    dimensions.push(Dimension {
                        size: slopes.len(),
                        strides: vec![1, 1],
                    });
                }
                if dimensions
                    .last()
                    .is_some_and(|last| last.size > 1 && last.strides[1] != 1)
                {
                    let copy = self.copied(&view, &order)?;
                    dimensions = loops(&output.shape, &order, &[&output.strides, &copy.strides]);
                    view = copy;
                }
                let step = Step::Function {
                    function: function.clone(),
                    loops: dimensions,
                    output: output.slot(),
                    input: view.slot(),
                };
                self.step(step, 2 * output.elements(), &[output.slot(), view.slot()]);
                Ok(())
            }
            Op::Arithmetic(arithmetic) => {
                let (left, right) = (self.view(node.inputs[0])?, self.view(node.inputs[1])?);
                self.pair(node, *arithmetic, left, right, result)
            }
            Op::Pool(pool) => self.pool(node, *pool),
            Op::Reduce(reduce) => self.reduce(node, reduce),
            Op::Softmax { axis } => {
                let view = first(self)?;
                let axis = axis_of(node, *axis, view.shape.len())?;
                let view = self.nearest(view, axis)?;
                let mut order = view.order();
                order.retain(|&other| other != axis);
                let outer = order.clone();
                order.push(axis);
                let output = self.output(result, &order)?;
                let step = Step::Softmax {
                    loops: loops(&view.shape, &outer, &[&output.strides, &view.strides]),
                    length: view.shape[axis],
                    output: output.slot(),
                    input: view.slot(),
                };
                self.step(step, 8 * view.elements(), &[output.slot(), view.slot()]);
                Ok(())
            }
            Op::MatMul => self.matmul(node),
            Op::ArgMax { axis, .. } => {
                let view = first(self)?;
                let axis = axis_of(node, *axis, view.shape.len())?;
                let made = self.shape(result).to_vec();
                let order: Vec<usize> = (0..made.len()).collect();
                let output = self.output(result, &order)?;
                let kept: Vec<usize> = (0..view.shape.len()).filter(|&a| a != axis).collect();
                let inner = view.permuted(&kept);
                let flat = output
                    .reshaped(&inner.shape)
                    .ok_or_else(|| node.unsupported("this layout"))?;
                let order: Vec<usize> = (0..inner.shape.len()).collect();
                let step = Step::ArgMax {
                    loops: loops(&inner.shape, &order, &[&flat.strides, &inner.strides]),
                    length: view.shape[axis],
                    stride: view.strides[axis],
                    output: output.slot(),
                    input: view.slot(),
                };
                self.step(step, 0, &[output.slot(), view.slot()]);
                Ok(())
            }
            Op::Concat { axis } => {
                let order = {
                    let view = first(self)?;
                    view.order()
                };
                let whole = match &self.views[result.0] {
                    Some(view) => view.clone(),
                    None => self.output(result, &order)?,
                };
                let axis = axis_of(node, *axis, whole.shape.len())?;
                let mut start = 0;
                for &value in &node.inputs {
                    let view = self.view(value)?;
                    let place = View {
                        offset: whole.offset + start * whole.strides[axis],
                        shape: view.shape.clone(),
                        strides: whole.strides.clone(),
                        buffer: whole.buffer,
                    };
                    start += view.shape[axis];
                    let is_there = view.buffer == place.buffer
                        && view.offset == place.offset
                        && view.strides == place.strides;
                    if !is_there {
                        self.copy(&view, &place);
                    }
                }
                Ok(())
            }
            Op::Pad { value } => {
                let view = first(self)?;
                let amounts = self.with_operands(node, |operands| pads(node, operands))?;
                let order = view.order();
                let output = self.output(result, &order)?;
                let fill = Step::Fill {
                    loops: loops(&output.shape, &order, &[&output.strides]),
                    output: output.slot(),
                    value: *value,
                };
                self.step(fill, output.elements(), &[output.slot()]);
                let mut inside = output;
                for (axis, (before, _)) in amounts.into_iter().enumerate() {
                    inside.offset += before * inside.strides[axis];
                    inside.shape[axis] = view.shape[axis];
                }
                self.copy(&view, &inside);
                Ok(())
            }
            Op::Resize(resize) => self.resize(node, resize),
            Op::Gather { axis } => {
                let (view, indices) = (self.view(node.inputs[0])?, self.view(node.inputs[1])?);
                let axis = axis_of(node, *axis, view.shape.len())?;
                let made = self.shape(result).to_vec();
                let order: Vec<usize> = (0..made.len()).collect();
                let output = self.output(result, &order)?;
                let depth = indices.shape.len();
                let kept: Vec<usize> = (0..view.shape.len()).filter(|&a| a != axis).collect();
                let inner = view.permuted(&kept);
                let places: Vec<usize> = (0..axis).chain(axis + depth..made.len()).collect();
                let results = output.permuted(&places);
                let tuples = output.permuted(&(axis..axis + depth).collect::<Vec<_>>());
                self.gather(
                    &output,
                    &view,
                    &indices,
                    GatherParts {
                        axes: vec![(view.shape[axis], view.strides[axis])],
                        tuples: [&tuples.strides, &indices.strides],
                        tuple_shape: &indices.shape,
                        component: 0,
                        inner: [&results.strides, &inner.strides],
                        inner_shape: &inner.shape,
                    },
                );
                Ok(())
            }
            Op::GatherNd => {
                let (view, indices) = (self.view(node.inputs[0])?, self.view(node.inputs[1])?);
                let made = self.shape(result).to_vec();
                let order: Vec<usize> = (0..made.len()).collect();
                let output = self.output(result, &order)?;
                let lead = indices.shape.len() - 1;
                let depth = indices.shape[lead];
                let axes = (0..depth).map(|axis| (view.shape[axis], view.strides[axis]));
                self.gather(
                    &output,
                    &view,
                    &indices,
                    GatherParts {
                        axes: axes.collect(),
                        tuples: [&output.strides[..lead], &indices.strides[..lead]],
                        tuple_shape: &indices.shape[..lead],
                        component: indices.strides[lead],
                        inner: [&output.strides[lead..], &view.strides[depth..]],
                        inner_shape: &view.shape[depth..],
                    },
                );
                Ok(())
            }
            Op::Transpose(_)
            | Op::Reshape { .. }
            | Op::Squeeze(_)
            | Op::Unsqueeze(_)
            | Op::Slice
            | Op::Expand
            | Op::Tile
            | Op::Split { .. } => Err(node.invalid("a view that was not made")),
            Op::Where => self.select(node),
            Op::TopK { axis, largest } => self.top_k(node, *axis, *largest),
            Op::GatherElements { axis } => self.gather_elements(node, *axis),
            Op::ScatterNd => self.scatter(node),
            Op::CumulativeSum { axis } => self.cumulative_sum(node, *axis),
            Op::Normalise(normalise) => self.normalise(node, normalise),
            Op::GridSample(sample) => self.grid_sample(node, *sample),
            Op::Deformable(deformable) => self.deformable(node, deformable),
            Op::Shape | Op::Range | Op::SparseToDense => {
                Err(node.unsupported("a result that is not known before the run"))
            }
        }
    }

    pub(crate) fn with_operands<T>(
        &self,
        node: &Node,
        read: impl FnOnce(&Operands<'_>) -> Result<T>,
    ) -> Result<T> {
        let shapes: Vec<&[usize]> = node.inputs.iter().map(|&v| self.shape(v)).collect();
        let known: Vec<Option<&Tensor>> = node
            .inputs
            .iter()
            .map(|value| self.known[value.0].as_deref())
            .collect();
        read(&Operands {
            shapes: &shapes,
            known: &known,
        })
    }

    fn step_with(&mut self, step: Step, work: usize, maps: &[Map]) {
        let mut slots: Vec<Slot> = maps.iter().map(|map| map.slot).collect();
        let (Step::Pointwise { finish, .. }
        | Step::Conv { finish, .. }
        | Step::Unfolded { finish, .. }
        | Step::Depthwise { finish, .. }) = &step
        else {
            return self.step(step, work, &slots);
        };
        slots.extend(finish.residual.map(|residual| residual.slot));
        self.step(step, work, &slots);
    }

    /// Plans a sum with what follows it; `made` is the sum's own shape. A residual of another shape is added
    /// in a step of its own.
    fn with_residual(
        &mut self,
        node: &Node,
        after: &super::op::After,
        made: &[usize],
        order: &[usize],
        sum: impl FnOnce(&mut Self, &View, Finish) -> Result<()>,
    ) -> Result<()> {
        let result = node.outputs[0];
        let mut finish = Finish {
            first: after.first.clone(),
            residual: None,
            second: after.second.clone(),
        };
        // Rows of a product are one line of pixels: not a part of a concatenation.
        let is_linear = matches!(node.op, Op::Linear(_));
        let output = |planner: &mut Self| {
            if !is_linear {
                return planner.output(result, order);
            }
            let shape = planner.shape(result).to_vec();
            let view = planner.ordered(&shape, order)?;
            planner.views[result.0] = Some(view.clone());
            Ok(view)
        };
        let Some(&other) = residual_of(node) else {
            let output = output(self)?;
            return sum(self, &output, finish);
        };
        let mut residual = self.view(other)?;
        if residual.shape == made {
            let map = if is_linear {
                self.flat(&residual)?
            } else {
                residual = self.nearest(residual, made.len() - 1)?;
                self.map_of(node, &residual)?
            };
            finish.residual = Some(map);
            let output = output(self)?;
            return sum(self, &output, finish);
        }
        let second = std::mem::replace(&mut finish.second, Function::Identity);
        let alone = self.ordered(made, order)?;
        sum(self, &alone, finish)?;
        if second == Function::Identity {
            return self.pair(node, Arithmetic::Add, alone, residual, result);
        }
        let shape = self.shape(result).to_vec();
        let order: Vec<usize> = (0..shape.len()).collect();
        let total = self.ordered(&shape, &order)?;
        self.pair_into(node, Arithmetic::Add, alone, residual, &total)?;
        let output = self.output(result, &order)?;
        let step = Step::Function {
            function: second,
            // The last axis stays a dimension of its own, for functions that depend on the channel.
            loops: {
                let (last, outer) = match order.split_last() {
                    Some((&last, outer)) => (last, outer),
                    None => return Err(node.invalid("no dimensions")),
                };
                let mut dimensions = loops(&shape, outer, &[&output.strides, &total.strides]);
                dimensions.push(Dimension {
                    size: shape[last],
                    strides: vec![1, 1],
                });
                dimensions
            },
            output: output.slot(),
            input: total.slot(),
        };
        self.step(step, 2 * total.elements(), &[output.slot(), total.slot()]);
        Ok(())
    }

    fn conv(&mut self, node: &Node, conv: &Conv) -> Result<()> {
        let view = self.view(node.inputs[0])?;
        let window = conv.window;
        let shape: [usize; 4] = view
            .shape
            .as_slice()
            .try_into()
            .map_err(|_| node.invalid("a map has four dimensions"))?;
        let fit = |axis| {
            window
                .fit(axis, shape[axis + 1])
                .ok_or_else(|| node.invalid("no room for a window"))
        };
        let ((top, _, rows), (left, _, columns)) = (fit(0)?, fit(1)?);
        let before = [top, left];
        let made = [shape[0], rows, columns, conv.outputs()];
        let is_point = window.size == [1, 1]
            && conv.groups == 1
            && before == [0, 0]
            && (rows - 1) * window.strides[0] < shape[1]
            && (columns - 1) * window.strides[1] < shape[2];
        let is_depthwise = conv.groups > 1
            && conv.weights.shape()[1] == 1
            && conv.groups == shape[3]
            && conv.outputs() == conv.groups;
        let view = if is_point || is_depthwise || conv.groups > 1 || window.dilations != [1, 1] {
            self.nearest(view, 3)?
        } else {
            view
        };
        let input = self.map_of(node, &view)?;
        self.with_residual(
            node,
            &conv.after,
            &made,
            &[0, 1, 2, 3],
            |planner, output, finish| {
                let output = planner.map_of(node, output)?;
                let step = if is_point {
                    let mut input = input;
                    input.shape[1] = rows;
                    input.shape[2] = columns;
                    input.strides[1] *= window.strides[0];
                    input.strides[2] *= window.strides[1];
                    input.slot.span = span(&input.shape, &input.strides);
                    Step::Pointwise {
                        input,
                        output,
                        finish,
                    }
                } else if is_depthwise {
                    let axis = |axis: usize| Axis {
                        length: shape[axis + 1],
                        taps: window.size[axis],
                        stride: window.strides[axis],
                        dilation: window.dilations[axis],
                        before: before[axis],
                    };
                    Step::Depthwise {
                        down: axis(0),
                        right: axis(1),
                        input,
                        output,
                        finish,
                    }
                } else if conv.groups == 1 && window.dilations == [1, 1] {
                    // Read where it lies when nothing surrounds the map and a row of the window is one run.
                    let reach = |axis: usize, outputs: usize| {
                        (outputs - 1) * window.strides[axis] + window.size[axis] <= shape[axis + 1]
                    };
                    let direct = before == [0, 0]
                        && reach(0, rows)
                        && reach(1, columns)
                        && input.strides[3] == 1
                        && (input.strides[2] == shape[3] || shape[2] == 1);
                    let line = ((columns - 1) * window.strides[1] + window.size[1])
                        .checked_mul(shape[3])
                        .ok_or_else(|| node.invalid("a row that is too long"))?;
                    let lines = |group: usize| (group - 1) * window.strides[0] + window.size[0];
                    let group = if direct {
                        0
                    } else {
                        let mut group = 1;
                        while group < rows && lines(group + 1).saturating_mul(line) <= GROUP {
                            group += 1;
                        }
                        planner.scratch = planner.scratch.max(lines(group).saturating_mul(line));
                        group
                    };
                    Step::Conv {
                        window,
                        before,
                        input,
                        output,
                        finish,
                        rows: group,
                    }
                } else {
                    let depth = conv.weights.shape()[1..].iter().product::<usize>();
                    planner.scratch = planner.scratch.max(columns.saturating_mul(depth));
                    Step::Unfolded {
                        window,
                        before,
                        groups: conv.groups,
                        input,
                        output,
                        finish,
                    }
                };
                let depth: usize = conv.weights.shape()[1..].iter().product();
                let work = output
                    .pixels()
                    .saturating_mul(conv.outputs())
                    .saturating_mul(1 + depth / 16);
                planner.step_with(step, work, &[input, output]);
                Ok(())
            },
        )
    }

    fn pool(&mut self, node: &Node, pool: Pool) -> Result<()> {
        let view = self.view(node.inputs[0])?;
        let view = self.nearest(view, 3)?;
        let input = self.map_of(node, &view)?;
        // What surrounds the map counts; what a last window sees beyond that does not.
        let (mut surrounded, mut beyond) = (false, false);
        let mut axis = |axis: usize| -> Result<Axis> {
            let window = &pool.window;
            let length = input.shape[axis + 1];
            let (before, after, outputs) = window
                .fit(axis, length)
                .ok_or_else(|| node.invalid("no room for a window"))?;
            let extent = (window.size[axis] - 1) * window.dilations[axis] + 1;
            surrounded |= before + after > 0;
            beyond |= (outputs - 1) * window.strides[axis] + extent > before + length + after;
            Ok(Axis {
                length: input.shape[axis + 1],
                taps: pool.window.size[axis],
                stride: pool.window.strides[axis],
                dilation: pool.window.dilations[axis],
                before,
            })
        };
        let (down, right) = (axis(0)?, axis(1)?);
        let kind = match pool.kind {
            PoolKind::AverageWithPadding if !surrounded => PoolKind::Average,
            PoolKind::AverageWithPadding if beyond => {
                return Err(node.unsupported("a mean with padding and beyond it"));
            }
            kind => kind,
        };
        let output = self.output(node.outputs[0], &[0, 1, 2, 3])?;
        let output = self.map_of(node, &output)?;
        let step = Step::Pool {
            kind,
            down,
            right,
            input,
            output,
        };
        let work = output.pixels() * output.shape[3] * 4;
        self.step_with(step, work, &[input, output]);
        Ok(())
    }

    fn pair(
        &mut self,
        node: &Node,
        arithmetic: Arithmetic,
        left: View,
        right: View,
        result: Value,
    ) -> Result<()> {
        let shape = self.shape(result).to_vec();
        // As the operand lies that has all the elements.
        let full = if left.elements() >= right.elements() {
            &left
        } else {
            &right
        };
        let order = if full.shape == shape {
            full.order()
        } else {
            (0..shape.len()).collect()
        };
        let output = self.output(result, &order)?;
        self.pair_into(node, arithmetic, left, right, &output)
    }

    fn pair_into(
        &mut self,
        node: &Node,
        arithmetic: Arithmetic,
        left: View,
        right: View,
        output: &View,
    ) -> Result<()> {
        let mut sides = [left, right];
        let dimensions = self.aligned(node, &mut sides, output)?;
        let slots = [output.slot(), sides[0].slot(), sides[1].slot()];
        let step = Step::Pair {
            arithmetic,
            loops: dimensions,
            output: slots[0],
            inputs: [slots[1], slots[2]],
        };
        self.step(step, 2 * output.elements(), &slots);
        Ok(())
    }

    /// The loop over an output and what it is made of, which is repeated to its shape. The innermost dimension
    /// is one run, or one value, on all sides; what does not lie so is copied.
    fn aligned(
        &mut self,
        node: &Node,
        sides: &mut [View],
        output: &View,
    ) -> Result<Vec<Dimension>> {
        let order = output.order();
        for side in sides.iter_mut() {
            *side = wide(side, &output.shape);
        }
        let around = |sides: &[View]| {
            let mut strides = vec![output.strides.as_slice()];
            strides.extend(sides.iter().map(|side| side.strides.as_slice()));
            loops(&output.shape, &order, &strides)
        };
        let dimensions = around(sides);
        let Some(last) = dimensions.last() else {
            return Err(node.invalid("no dimensions"));
        };
        let apart = last.strides[1..].iter().map(|&stride| stride > 1);
        let apart: Vec<bool> = apart.map(|apart| apart && last.size > 1).collect();
        for (side, apart) in sides.iter_mut().zip(apart) {
            if apart {
                *side = self.copied(side, &order)?;
            }
        }
        Ok(around(sides))
    }

    fn reduce(&mut self, node: &Node, reduce: &Reduce) -> Result<()> {
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
            let step = Step::ReduceRows {
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
            };
            self.step(step, view.elements(), &[output.slot(), view.slot()]);
            return Ok(());
        }
        let rows = self.rows(&view, &kept, &axes)?;
        let order: Vec<usize> = (0..made.len()).collect();
        let output = self.output(result, &order)?;
        let results = without(&output);
        let all: Vec<usize> = (0..kept.len()).collect();
        let step = Step::ReduceLast {
            kind: reduce.kind,
            loops: loops(
                &rows.shape[..kept.len()],
                &all,
                &[&results.strides, &rows.strides],
            ),
            length: over,
            output: output.slot(),
            input: rows.slot(),
        };
        self.step(step, view.elements(), &[output.slot(), rows.slot()]);
        Ok(())
    }

    /// The view as its axes `kept` and a last one of all elements of the others, which is one run: copied where
    /// it does not lie so.
    fn rows(&mut self, view: &View, kept: &[usize], others: &[usize]) -> Result<View> {
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

    fn matmul(&mut self, node: &Node) -> Result<()> {
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
        let step = Step::MatMul {
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
        };
        let work = output.elements().saturating_mul(1 + inner / 16);
        self.step(step, work, &[output.slot(), left.slot(), right.slot()]);
        Ok(())
    }

    fn resize(&mut self, node: &Node, resize: &Resize) -> Result<()> {
        let view = self.view(node.inputs[0])?;
        let view = self.nearest(view, 3)?;
        let input = self.map_of(node, &view)?;
        let (factors, sizes) =
            self.with_operands(node, |operands| resize_target(node, resize, operands))?;
        let output = self.output(node.outputs[0], &[0, 1, 2, 3])?;
        let output = self.map_of(node, &output)?;
        let sources = |axis: usize| -> Vec<Source> {
            (0..sizes[axis])
                .map(|at| {
                    source(
                        resize,
                        at,
                        input.shape[axis + 1],
                        sizes[axis],
                        factors[axis],
                    )
                })
                .collect()
        };
        let step = Step::Resize {
            nearest: resize.mode != ResizeMode::Linear,
            rows: sources(0),
            columns: sources(1),
            input,
            output,
        };
        let work = output.pixels() * output.shape[3];
        self.step_with(step, 4 * work, &[input, output]);
        Ok(())
    }

    fn gather(&mut self, output: &View, view: &View, indices: &View, parts: GatherParts<'_>) {
        let order = |shape: &[usize]| (0..shape.len()).collect::<Vec<_>>();
        let step = Step::Gather {
            tuples: loops(parts.tuple_shape, &order(parts.tuple_shape), &parts.tuples),
            loops: loops(parts.inner_shape, &order(parts.inner_shape), &parts.inner),
            axes: parts.axes,
            component: parts.component,
            output: output.slot(),
            input: view.slot(),
            indices: indices.slot(),
        };
        self.step(step, 0, &[output.slot(), view.slot(), indices.slot()]);
    }

    /// Places the buffers and closes the plan.
    fn finish(mut self) -> Result<Plan> {
        let mut outputs = Vec::new();
        for (_, value) in &self.graph.outputs {
            if self.shapes[value.0].is_none() {
                return Err(Error::Invalid {
                    node: "output".to_owned(),
                    what: "an output that nothing makes".to_owned(),
                });
            }
            let view = self.view(*value)?;
            self.buffers[view.buffer].last = usize::MAX;
            outputs.push(view);
        }
        let (places, arena) = place(&self.buffers, self.limits)?;
        let buffers = self
            .buffers
            .into_iter()
            .zip(places)
            .map(|(buffer, offset)| buffer.base.unwrap_or(Base::Arena(offset)))
            .collect();
        if self.scratch > self.limits.workspace / 8 {
            return Err(Error::TooLarge {
                what: "a step's own buffer".to_owned(),
                limit: self.limits.workspace as u64 / 8,
            });
        }
        Ok(Plan {
            steps: self.steps,
            buffers,
            arena,
            scratch: self.scratch.next_multiple_of(LINE),
            outputs,
        })
    }
}

struct GatherParts<'a> {
    axes: Vec<(usize, usize)>,
    tuples: [&'a [usize]; 2],
    tuple_shape: &'a [usize],
    component: usize,
    inner: [&'a [usize]; 2],
    inner_shape: &'a [usize],
}

/// The second input of a sum.
fn residual_of(node: &Node) -> Option<&Value> {
    let after = match &node.op {
        Op::Conv(conv) => &conv.after,
        Op::Linear(linear) => &linear.after,
        _ => return None,
    };
    after.residual.then(|| node.inputs.last())?
}

/// A view repeated to a larger shape.
fn wide(view: &View, shape: &[usize]) -> View {
    let missing = shape.len() - view.shape.len();
    let strides = (0..shape.len())
        .map(|axis| match axis.checked_sub(missing) {
            Some(axis) if view.shape[axis] != 1 => view.strides[axis],
            _ => 0,
        })
        .collect();
    View {
        shape: shape.to_vec(),
        strides,
        ..*view
    }
}

fn source(resize: &Resize, at: usize, input: usize, output: usize, factor: f64) -> Source {
    let last = input - 1;
    let x = at as f64;
    let place = match resize.coordinates {
        Coordinates::Asymmetric => x / factor,
        Coordinates::HalfPixel => (x + 0.5) / factor - 0.5,
        Coordinates::AlignCorners if output > 1 => x * last as f64 / (output - 1) as f64,
        Coordinates::AlignCorners => 0.0,
    };
    let place = place.clamp(0.0, last as f64);
    let low = match resize.mode {
        ResizeMode::NearestPreferFloor => (place - 0.5).ceil(),
        ResizeMode::NearestPreferCeil => (place + 0.5).floor(),
        ResizeMode::NearestCeil => place.ceil(),
        ResizeMode::NearestFloor | ResizeMode::Linear => place.floor(),
    };
    let low = (low.max(0.0) as usize).min(last);
    Source {
        low,
        high: (low + 1).min(last),
        weight: (place - low as f64) as f32,
    }
}

/// Places buffers so that those that live at the same time do not overlap: the largest first, each at the
/// lowest place that is free while it lives.
fn place(buffers: &[Buffer], limits: Limits) -> Result<(Vec<usize>, usize)> {
    let mut places = vec![0; buffers.len()];
    let mut waiting: Vec<usize> = (0..buffers.len())
        .filter(|&index| buffers[index].base.is_none() && buffers[index].size > 0)
        .collect();
    waiting.sort_by_key(|&index| (std::cmp::Reverse(buffers[index].size), index));
    let mut placed: Vec<usize> = Vec::with_capacity(waiting.len());
    let mut arena = 0;
    for index in waiting {
        let buffer = &buffers[index];
        let size = buffer.size.next_multiple_of(LINE);
        let mut at = 0usize;
        // `placed` is sorted by place.
        for &other in &placed {
            let neighbour = &buffers[other];
            if neighbour.last < buffer.first || buffer.last < neighbour.first {
                continue;
            }
            let start = places[other];
            if at + size <= start {
                break;
            }
            at = at.max(start + neighbour.size.next_multiple_of(LINE));
        }
        if at + size > limits.workspace {
            return Err(Error::TooLarge {
                what: "the workspace of a run".to_owned(),
                limit: limits.workspace as u64,
            });
        }
        places[index] = at;
        arena = arena.max(at + size);
        let position = placed.partition_point(|&other| places[other] <= at);
        placed.insert(position, index);
    }
    Ok((places, arena))
}
