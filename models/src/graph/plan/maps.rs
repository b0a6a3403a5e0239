//! Windows over maps, and resized maps.

use super::view::span;
use super::{
    Depthwise, Dimension, Finish, Map, Mapped, Planner, Pooled, Slot, Source, Step, View, loops,
};
use crate::graph::execute::by_tiles;
use crate::graph::op::{
    After, Arithmetic, Conv, Function, Op, Pool, PoolKind, Resize, ResizeMode, Window,
};
use crate::graph::shape::resize_target;
use crate::graph::{Coordinates, Node, Result, Value};
use crate::kernels::window::Axis;
use crate::kernels::winograd::{PRODUCTS, TILE};

/// Elements of input rows that a convolution keeps around itself while it works on a group of rows.
const GROUP: usize = 64 * 1024;

/// Elements of transformed inputs that a convolution by tiles works on at a time.
const TRANSFORMED: usize = 64 * 1024;

/// Fewest tiles that it works on at a time: weights go by once for them.
const FEWEST_TILES: usize = 24;

/// The widest panel of a product.
const WIDEST: usize = 32;

impl Planner<'_> {
    pub(super) fn step_with(&mut self, step: Step, work: usize, maps: &[Map]) {
        let mut slots: Vec<Slot> = maps.iter().map(|map| map.slot).collect();
        let (Step::Pointwise { finish, .. }
        | Step::Conv { finish, .. }
        | Step::Tiled { finish, .. }
        | Step::Unfolded { finish, .. }
        | Step::Depthwise(Depthwise { finish, .. })) = &step
        else {
            return self.step(step, work, &slots);
        };
        slots.extend(finish.residual.map(|residual| residual.slot));
        self.step(step, work, &slots);
    }

    /// Plans a sum with what follows it; `made` is the sum's own shape. A residual of another shape is added
    /// in a step of its own.
    pub(super) fn with_residual(
        &mut self,
        node: &Node,
        after: &After,
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
        let step = Step::Function(Mapped {
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
        });
        self.step(step, 2 * total.elements(), &[output.slot(), total.slot()]);
        Ok(())
    }

    pub(super) fn conv(&mut self, node: &Node, conv: &Conv) -> Result<()> {
        let view = self.view(node.inputs[0])?;
        let window = conv.window;
        let shape: [usize; 4] = view
            .shape
            .as_slice()
            .try_into()
            .map_err(|_| node.invalid("a map has four dimensions"))?;
        let fit = |axis| self.fit(node, &window, axis, shape[axis + 1]);
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
                    Step::Depthwise(Depthwise {
                        down: axis(0),
                        right: axis(1),
                        input,
                        output,
                        finish,
                    })
                } else if by_tiles(conv) {
                    planner.tiled(node, before, input, output, finish)?
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

    /// A convolution by tiles, and room for what it keeps.
    fn tiled(
        &mut self,
        node: &Node,
        before: [usize; 2],
        input: Map,
        output: Map,
        finish: Finish,
    ) -> Result<Step> {
        let channels = input.shape[3];
        let [_, height, width, _] = output.shape;
        let (down, right) = (height.div_ceil(TILE), width.div_ceil(TILE));
        let line = right
            .checked_mul(TILE)
            .and_then(|columns| (columns + 2).checked_mul(channels))
            .ok_or_else(|| node.invalid("a row that is too long"))?;
        let lines = |rows: usize| (TILE * rows + 2).saturating_mul(line);
        let mut rows = 1;
        while rows < down && lines(rows + 1) <= GROUP {
            rows += 1;
        }
        let tiles = (TRANSFORMED / (PRODUCTS * channels)).max(FEWEST_TILES);
        let tiles = tiles.min(rows * right);
        let kept = (tiles * PRODUCTS).saturating_mul(channels + WIDEST);
        self.scratch = self.scratch.max(lines(rows).saturating_add(kept));
        Ok(Step::Tiled {
            before,
            input,
            output,
            finish,
            rows,
            tiles,
        })
    }

    pub(super) fn pool(&mut self, node: &Node, pool: Pool) -> Result<()> {
        let view = self.view(node.inputs[0])?;
        let view = self.nearest(view, 3)?;
        let input = self.map_of(node, &view)?;
        // What surrounds the map counts; what a last window sees beyond that does not.
        let (mut surrounded, mut beyond) = (false, false);
        let mut axis = |axis: usize| -> Result<Axis> {
            let window = &pool.window;
            let length = input.shape[axis + 1];
            let (before, after, outputs) = self.fit(node, window, axis, length)?;
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
        let step = Step::Pool(Pooled {
            kind,
            down,
            right,
            input,
            output,
        });
        let work = output.pixels() * output.shape[3] * 4;
        self.step_with(step, work, &[input, output]);
        Ok(())
    }

    pub(super) fn resize(&mut self, node: &Node, resize: &Resize) -> Result<()> {
        let view = self.view(node.inputs[0])?;
        let view = self.nearest(view, 3)?;
        let input = self.map_of(node, &view)?;
        let of = |axis| match self.strip.as_ref().and_then(|strip| strip.along(axis)) {
            Some(stretch) => Ok(stretch.sources.clone()),
            None => self.sources(node, resize, axis),
        };
        let (rows, columns) = (of(0)?, of(1)?);
        let output = self.output(node.outputs[0], &[0, 1, 2, 3])?;
        let output = self.map_of(node, &output)?;
        let step = Step::Resize {
            nearest: resize.mode != ResizeMode::Linear,
            rows,
            columns,
            input,
            output,
        };
        let work = output.pixels() * output.shape[3];
        self.step_with(step, 4 * work, &[input, output]);
        Ok(())
    }

    /// Where the coordinates of a resized map come from, along an axis (0 down, 1 to the right).
    pub(super) fn sources(&self, node: &Node, resize: &Resize, axis: usize) -> Result<Vec<Source>> {
        let (factors, sizes) =
            self.with_operands(node, |operands| resize_target(node, resize, operands))?;
        let length = self.shape(node.inputs[0])[axis + 1];
        let of = |at| source(resize, at, length, sizes[axis], factors[axis]);
        Ok((0..sizes[axis]).map(of).collect())
    }

    /// `(before, after, outputs)` of a window along an axis of a map, or of the part of it that is planned.
    fn fit(
        &self,
        node: &Node,
        window: &Window,
        axis: usize,
        length: usize,
    ) -> Result<(usize, usize, usize)> {
        if let Some(stretch) = self.strip.as_ref().and_then(|strip| strip.along(axis)) {
            return Ok((stretch.before, 0, stretch.count));
        }
        window
            .fit(axis, length)
            .ok_or_else(|| node.invalid("no room for a window"))
    }
}

/// The second input of a sum.
pub(super) fn residual_of(node: &Node) -> Option<&Value> {
    let after = match &node.op {
        Op::Conv(conv) => &conv.after,
        Op::Linear(linear) => &linear.after,
        _ => return None,
    };
    after.residual.then(|| node.inputs.last())?
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
        high: match resize.mode {
            ResizeMode::Linear => (low + 1).min(last),
            _ => low,
        },
        weight: (place - low as f64) as f32,
    }
}
