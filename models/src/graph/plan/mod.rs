//! The steps of a run for one set of input shapes: where every value lies, and which kernel makes it.
//!
//! A value is a strided view of a buffer. Operations that only look at a tensor in another way (transposes,
//! slices, splits, expansions, most reshapes) make no step. What a concatenation joins is written into its place where the
//! producer can. Buffers whose lives do not overlap share memory, and chains of local operations whose maps between are
//! large run by bands of rows (`bands.rs`).

use super::evaluate::Budget;
use super::op::{Arithmetic, Function, Op};
use super::shape::{Operands, axis_of, infer, order_of, pads, parts, slices};
use super::tensor::{Tensor, count, row_major};
use super::{Error, Graph, Limits, Node, Result, Value};
use maps::residual_of;
use place::{Buffer, LINE, place};
use reach::Strip;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use view::wide;

mod bands;
#[cfg(test)]
mod growing;
pub(crate) mod letterbox;
mod maps;
mod place;
mod reach;
pub(crate) mod sample;
pub(crate) mod select;
mod step;
mod sums;
mod view;

pub(crate) use bands::Bands;
pub(crate) use step::{
    Base, Copied, Depthwise, Dimension, Filled, Finish, Gathered, Largest, Map, Mapped, Paired,
    Plan, Planned, Pooled, Products, ReducedRuns, Shares, Slot, Source, Spread, Step, SummedRows,
};
pub(crate) use view::{View, loops};

/// How deep concatenations of concatenations are written in place.
const DEPTH: usize = 8;
/// Work (in rough elements touched) below which one member does a step alone.
const SMALL: usize = 6_000;
/// Elements of a workspace from which on bands are tried: 32 MB. Members of a team meet more often by bands, which is
/// little beside the work of large maps only.
pub(crate) const LARGE: usize = 1 << 23;

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
    /// The part of its result that is planned, where it is not the whole.
    strip: Option<Strip>,
}

/// Where a value lies in a concatenation.
#[derive(Clone, Copy)]
struct Target {
    whole: Value,
    axis: usize,
    start: usize,
}

/// What a run begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start<'a> {
    pub(crate) limits: Limits,
    /// The shapes of the inputs.
    pub(crate) shapes: &'a [&'a [usize]],
    /// Whether inputs lie in the workspace, where what comes later may overwrite them.
    pub(crate) inside: bool,
}

/// Plans a run: by bands where that makes the workspace of a large run smaller by a quarter.
pub(crate) fn plan(graph: &Graph, start: Start<'_>) -> Result<Plan> {
    let whole = plan_with(graph, start, None);
    let is_large = match &whole {
        Ok(plan) => plan.arena >= LARGE,
        Err(Error::TooLarge { .. }) => true,
        Err(_) => false,
    };
    if !is_large {
        return whole;
    }
    match (whole, plan_with(graph, start, Some(Bands::default()))) {
        (Ok(whole), Ok(banded)) if banded.arena > whole.arena / 4 * 3 => Ok(whole),
        (_, Ok(banded)) => Ok(banded),
        (whole, Err(_)) => whole,
    }
}

/// Plans a run, by bands or not.
pub(crate) fn plan_with(graph: &Graph, start: Start<'_>, bands: Option<Bands>) -> Result<Plan> {
    let mut planner = Planner::started(graph, start)?;
    let (chains, members) = match bands {
        Some(bands) => planner.chains(bands),
        None => Default::default(),
    };
    let is_member = |index: usize| members.get(index).is_some_and(|&member| member);
    // What concatenations in chains join goes there by bands.
    let nodes = graph.nodes.iter().enumerate();
    let banded = nodes.filter(|&(index, _)| is_member(index));
    let banded: HashSet<Value> = banded.map(|(_, node)| node.outputs[0]).collect();
    let targets = &mut planner.targets;
    targets.retain(|_, target| !banded.contains(&target.whole));
    for (index, node) in graph.nodes.iter().enumerate() {
        planner.node = index;
        if planner.is_known(node) {
            continue;
        }
        match chains.get(&index) {
            Some(chain) => planner.plan_chain(chain)?,
            None if is_member(index) => {}
            None => planner.plan_node(node)?,
        }
    }
    planner.finish()
}

impl<'a> Planner<'a> {
    /// A planner that has not planned a node yet.
    fn started(graph: &'a Graph, start: Start<'_>) -> Result<Self> {
        let mut planner = Self::measured(graph, start.limits, start.shapes)?;
        planner.aim()?;
        for (number, (_, value)) in graph.inputs.iter().enumerate() {
            let base = (!start.inside).then_some(Base::Input(number));
            let view = planner.whole(start.shapes[number], base)?;
            planner.buffers[view.buffer].first = 0;
            planner.views[value.0] = Some(view);
        }
        Ok(planner)
    }

    /// Whether all that a node makes is known before anything runs.
    fn is_known(&self, node: &Node) -> bool {
        let is_known = |value: &Value| self.known[value.0].is_some();
        node.outputs.iter().all(is_known)
    }

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
            strip: None,
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
        if let (Some(_), Some(rows)) = (&self.strip, &self.views[value.0]) {
            return Ok(rows.clone());
        }
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

    /// Where the map that a node makes is to be written, its channels nearest.
    fn map_output(&mut self, node: &Node) -> Result<View> {
        let (value, order) = (node.outputs[0], [0, 1, 2, 3]);
        // The kernel of a transposed convolution writes what is one run.
        if self.strip.is_some() || !matches!(node.op, Op::Deconv(_)) {
            return self.output(value, &order);
        }
        let shape = self.shape(value).to_vec();
        let view = self.ordered(&shape, &order)?;
        self.views[value.0] = Some(view.clone());
        Ok(view)
    }

    /// The axes of what is made of `view`: as there, so that both are read in one direction, unless the layout is given.
    fn order_like(&self, view: &View) -> Vec<usize> {
        match &self.strip {
            Some(_) => (0..view.shape.len()).collect(),
            None => view.order(),
        }
    }

    /// Lets a value be these places of it.
    fn show(&mut self, value: Value, view: Option<View>) {
        if let Some(view) = &view {
            self.shapes[value.0] = Some(view.shape.clone());
        }
        self.views[value.0] = view;
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
        let step = Step::Copy(Copied {
            loops: loops(&to.shape, &to.order(), &[&to.strides, &from.strides]),
            output: to.slot(),
            input: from.slot(),
        });
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
                let view = self.map_output(node)?;
                let output = self.map_of(node, &view)?;
                let finish = Finish {
                    first: deconv.after.first.clone(),
                    residual: None,
                    second: deconv.after.second.clone(),
                };
                let step = Step::Deconv(Spread {
                    size: deconv.size,
                    input,
                    output,
                    finish,
                });
                self.step(step, usize::MAX, &[input.slot, output.slot]);
                Ok(())
            }
            Op::Map(function) => {
                let mut view = first(self)?;
                let rank = view.shape.len();
                let mut order = self.order_like(&view);
                if matches!(function, Function::Prelu(_)) {
                    view = self.nearest(view, rank - 1)?;
                    order = self.order_like(&view);
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
                let step = Step::Function(Mapped {
                    function: function.clone(),
                    loops: dimensions,
                    output: output.slot(),
                    input: view.slot(),
                });
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
                let step = Step::Softmax(Shares {
                    loops: loops(&view.shape, &outer, &[&output.strides, &view.strides]),
                    length: view.shape[axis],
                    output: output.slot(),
                    input: view.slot(),
                });
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
                let step = Step::ArgMax(Largest {
                    loops: loops(&inner.shape, &order, &[&flat.strides, &inner.strides]),
                    length: view.shape[axis],
                    stride: view.strides[axis],
                    output: output.slot(),
                    input: view.slot(),
                });
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
                let fill = Step::Fill(Filled {
                    loops: loops(&output.shape, &order, &[&output.strides]),
                    output: output.slot(),
                    value: *value,
                });
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
            self.order_like(full)
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
        let step = Step::Pair(Paired {
            arithmetic,
            loops: dimensions,
            output: slots[0],
            inputs: [slots[1], slots[2]],
        });
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

    fn gather(&mut self, output: &View, view: &View, indices: &View, parts: GatherParts<'_>) {
        let order = |shape: &[usize]| (0..shape.len()).collect::<Vec<_>>();
        let step = Step::Gather(Gathered {
            tuples: loops(parts.tuple_shape, &order(parts.tuple_shape), &parts.tuples),
            loops: loops(parts.inner_shape, &order(parts.inner_shape), &parts.inner),
            axes: parts.axes,
            component: parts.component,
            output: output.slot(),
            input: view.slot(),
            indices: indices.slot(),
        });
        self.step(step, 0, &[output.slot(), view.slot(), indices.slot()]);
    }

    /// Places the buffers and closes the plan.
    fn finish(self) -> Result<Plan> {
        self.finish_with(Vec::new())
    }

    /// The same; `more` are outputs beside those of the graph.
    fn finish_with(mut self, more: Vec<View>) -> Result<Plan> {
        let input = match self.graph.inputs.first() {
            Some(&(_, value)) => Some(self.view(value)?.slot()),
            None => None,
        };
        let mut outputs = Vec::new();
        for (_, value) in &self.graph.outputs {
            if self.shapes[value.0].is_none() {
                return Err(Error::Invalid {
                    node: "output".to_owned(),
                    what: "an output that nothing makes".to_owned(),
                });
            }
            outputs.push(self.view(*value)?);
        }
        outputs.extend(more);
        for view in &outputs {
            self.buffers[view.buffer].last = usize::MAX;
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
            input,
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
