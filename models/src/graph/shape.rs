//! What shapes operations give.

use super::evaluate::KNOWN;
use super::op::{Deformable, Function, Normalise, Op, Resize, ResizeTarget};
use super::tensor::count;
use super::{Node, Result, Tensor};

/// Whole numbers are exact up to here, so that indices of an axis are.
const EXACT: usize = 1 << 24;

/// An axis that may count from the end.
pub(crate) fn axis_of(node: &Node, axis: isize, rank: usize) -> Result<usize> {
    let from_front = if axis < 0 {
        axis.checked_add(rank as isize)
    } else {
        Some(axis)
    };
    from_front
        .and_then(|axis| usize::try_from(axis).ok())
        .filter(|&axis| axis < rank)
        .ok_or_else(|| node.invalid(format!("no axis {axis} in {rank} dimensions")))
}

/// Several axes, sorted, each once.
pub(crate) fn axes_of(node: &Node, axes: &[isize], rank: usize) -> Result<Vec<usize>> {
    let mut found = axes
        .iter()
        .map(|&axis| axis_of(node, axis, rank))
        .collect::<Result<Vec<_>>>()?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The shape that two broadcast to.
pub(crate) fn broadcast(node: &Node, left: &[usize], right: &[usize]) -> Result<Vec<usize>> {
    let rank = left.len().max(right.len());
    (0..rank)
        .map(|axis| {
            let size = |shape: &[usize]| {
                (axis + shape.len())
                    .checked_sub(rank)
                    .map_or(1, |axis| shape[axis])
            };
            match (size(left), size(right)) {
                (a, b) if a == b => Ok(a),
                (1, b) => Ok(b),
                (a, 1) => Ok(a),
                _ => Err(node.invalid(format!("shapes {left:?} and {right:?} do not go together"))),
            }
        })
        .collect()
}

/// What a node sees of its inputs.
pub(crate) struct Operands<'a> {
    pub(crate) shapes: &'a [&'a [usize]],
    /// Values known before anything runs.
    pub(crate) known: &'a [Option<&'a Tensor>],
}

impl Operands<'_> {
    pub(crate) fn shape(&self, node: &Node, index: usize) -> Result<&[usize]> {
        self.shapes
            .get(index)
            .copied()
            .ok_or_else(|| node.invalid(format!("input {index} is missing")))
    }

    pub(crate) fn integers(&self, node: &Node, index: usize) -> Result<Vec<i64>> {
        self.known
            .get(index)
            .copied()
            .flatten()
            .map(Tensor::to_integers)
            .ok_or_else(|| node.invalid(format!("input {index} must be known before the run")))
    }

    fn map(&self, node: &Node) -> Result<[usize; 4]> {
        let shape = self.shape(node, 0)?;
        <[usize; 4]>::try_from(shape)
            .map_err(|_| node.invalid(format!("a map has four dimensions, not {shape:?}")))
    }
}

/// A part of every axis: first index, step (may be negative) and number of elements.
pub(crate) fn slices(node: &Node, operands: &Operands<'_>) -> Result<Vec<(usize, i64, usize)>> {
    let shape = operands.shape(node, 0)?;
    let starts = operands.integers(node, 1)?;
    let ends = operands.integers(node, 2)?;
    let axes = if operands.shapes.len() > 3 {
        operands.integers(node, 3)?
    } else {
        (0..starts.len() as i64).collect()
    };
    let steps = if operands.shapes.len() > 4 {
        operands.integers(node, 4)?
    } else {
        vec![1; starts.len()]
    };
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err(node.invalid("starts, ends, axes and steps differ in number"));
    }
    let mut parts: Vec<(usize, i64, usize)> = shape.iter().map(|&size| (0, 1, size)).collect();
    for (index, &axis) in axes.iter().enumerate() {
        let axis = axis_of(node, axis.clamp(-64, 64) as isize, shape.len())?;
        let size = shape[axis] as i64;
        let step = steps[index];
        let from_front = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
        let (start, length) = if step > 0 {
            let start = from_front(starts[index]).clamp(0, size);
            let end = from_front(ends[index]).clamp(0, size);
            (start, (end - start).max(0).saturating_add(step - 1) / step)
        } else if step < 0 && step > i64::MIN {
            let start = from_front(starts[index]).clamp(0, (size - 1).max(0));
            let end = if ends[index] < -size {
                -1
            } else {
                from_front(ends[index]).clamp(-1, size - 1)
            };
            let length = (start - end).max(0).saturating_add(-step - 1) / -step;
            (start, if size == 0 { 0 } else { length })
        } else {
            return Err(node.invalid(format!("a step of {step}")));
        };
        parts[axis] = (start as usize, step, length as usize);
    }
    Ok(parts)
}

/// Amounts before and after every axis.
pub(crate) fn pads(node: &Node, operands: &Operands<'_>) -> Result<Vec<(usize, usize)>> {
    let rank = operands.shape(node, 0)?.len();
    let amounts = operands.integers(node, 1)?;
    if amounts.len() != 2 * rank {
        return Err(node.invalid(format!("{} amounts for {rank} axes", amounts.len())));
    }
    (0..rank)
        .map(|axis| {
            match (
                usize::try_from(amounts[axis]),
                usize::try_from(amounts[rank + axis]),
            ) {
                (Ok(before), Ok(after)) => Ok((before, after)),
                _ => Err(node.unsupported("negative padding")),
            }
        })
        .collect()
}

/// The factors and sizes of a resize: `[height, width]` each.
pub(crate) fn resize_target(
    node: &Node,
    resize: &Resize,
    operands: &Operands<'_>,
) -> Result<([f64; 2], [usize; 2])> {
    let [_, height, width, _] = operands.map(node)?;
    let inputs = [height, width];
    let target = operands.known.get(1).copied().flatten();
    let Some(&[down, right]) = target.map(Tensor::data) else {
        return Err(node.invalid("the target must be two known numbers"));
    };
    let target = [down, right];
    let mut factors = [0.0; 2];
    let mut sizes = [0; 2];
    for axis in 0..2 {
        let input = inputs[axis] as f64;
        match resize.target {
            ResizeTarget::Scales => {
                factors[axis] = f64::from(target[axis]);
                sizes[axis] = (input * factors[axis]).floor() as usize;
            }
            ResizeTarget::Sizes => {
                sizes[axis] = target[axis] as usize;
                factors[axis] = sizes[axis] as f64 / input;
            }
        }
        if !factors[axis].is_finite() || factors[axis] <= 0.0 || inputs[axis] == 0 {
            return Err(node.invalid(format!("a resize of {inputs:?} by {target:?}")));
        }
    }
    Ok((factors, sizes))
}

/// The sizes of the parts of a split, along the axis.
pub(crate) fn parts(node: &Node, axis: usize, operands: &Operands<'_>) -> Result<Vec<usize>> {
    let size = operands.shape(node, 0)?[axis];
    let count = node.outputs.len();
    let parts: Vec<usize> = if operands.shapes.len() > 1 {
        let sizes = operands.integers(node, 1)?;
        let known: usize = sizes
            .iter()
            .filter_map(|&s| usize::try_from(s).ok())
            .fold(0, usize::saturating_add);
        sizes
            .iter()
            .map(|&part| usize::try_from(part).unwrap_or(size.saturating_sub(known)))
            .collect()
    } else {
        // The last part may be smaller.
        let part = size.div_ceil(count.max(1));
        let parts = (0..count).map(|number| {
            let start = number.checked_mul(part)?;
            size.checked_sub(start).map(|rest| rest.min(part))
        });
        parts
            .collect::<Option<_>>()
            .ok_or_else(|| node.invalid(format!("{size} elements in {count} parts")))?
    };
    let total = parts
        .iter()
        .try_fold(0usize, |sum, &part| sum.checked_add(part));
    if parts.len() != count || total != Some(size) {
        return Err(node.invalid(format!("parts {parts:?} of {size}")));
    }
    Ok(parts)
}

/// The axes of a reduction.
pub(crate) fn reduced(node: &Node, axes: &[isize], operands: &Operands<'_>) -> Result<Vec<usize>> {
    let rank = operands.shape(node, 0)?.len();
    let axes: Vec<isize> = if operands.shapes.len() > 1 {
        operands
            .integers(node, 1)?
            .into_iter()
            .map(|axis| axis.clamp(-64, 64) as isize)
            .collect()
    } else {
        axes.to_vec()
    };
    if axes.is_empty() {
        return Ok((0..rank).collect());
    }
    axes_of(node, &axes, rank)
}

/// The shapes of a node's results.
pub(crate) fn infer(node: &Node, operands: &Operands<'_>) -> Result<Vec<Vec<usize>>> {
    let too_large = || node.invalid("a size that is not a number");
    let first = || operands.shape(node, 0).map(<[usize]>::to_vec);
    let one = match &node.op {
        Op::Conv(conv) => {
            let [batch, height, width, channels] = operands.map(node)?;
            if channels != conv.inputs() {
                return Err(node.invalid(format!(
                    "{channels} channels where weights are for {}",
                    conv.inputs()
                )));
            }
            let fit = |axis, length| {
                conv.window
                    .fit(axis, length)
                    .map(|(_, _, outputs)| outputs)
                    .ok_or_else(|| node.invalid(format!("no room for a window in {length}")))
            };
            vec![batch, fit(0, height)?, fit(1, width)?, conv.outputs()]
        }
        Op::Deconv(deconv) => {
            let [batch, height, width, channels] = operands.map(node)?;
            if channels != deconv.weights.shape()[0] {
                return Err(node.invalid(format!("{channels} channels do not fit the weights")));
            }
            vec![
                batch,
                height.checked_mul(deconv.size[0]).ok_or_else(too_large)?,
                width.checked_mul(deconv.size[1]).ok_or_else(too_large)?,
                deconv.bias.len(),
            ]
        }
        Op::Linear(linear) => {
            let mut shape = first()?;
            match shape.last_mut() {
                Some(last) if *last == linear.weights.shape()[0] => *last = linear.bias.len(),
                _ => return Err(node.invalid(format!("{shape:?} does not fit the weights"))),
            }
            shape
        }
        Op::Map(function) => {
            let shape = first()?;
            if let Function::Prelu(slopes) = function
                && shape.last() != Some(&slopes.len())
            {
                return Err(node.invalid(format!("{} slopes for {shape:?}", slopes.len())));
            }
            shape
        }
        Op::Softmax { axis } => {
            let shape = first()?;
            axis_of(node, *axis, shape.len())?;
            shape
        }
        Op::Arithmetic(_) => broadcast(node, operands.shape(node, 0)?, operands.shape(node, 1)?)?,
        Op::Pool(pool) => {
            let [batch, height, width, channels] = operands.map(node)?;
            let fit = |axis, length| {
                let (before, after, outputs) = pool
                    .window
                    .fit(axis, length)
                    .ok_or_else(|| node.invalid(format!("no room for a window in {length}")))?;
                let extent = (pool.window.size[axis] - 1) * pool.window.dilations[axis] + 1;
                if before >= extent || after >= extent || length == 0 {
                    return Err(node.invalid("a pool of nothing but padding"));
                }
                Ok(outputs)
            };
            vec![batch, fit(0, height)?, fit(1, width)?, channels]
        }
        Op::Reduce(reduce) => {
            let shape = first()?;
            let axes = reduced(node, &reduce.axes, operands)?;
            let mut kept = Vec::new();
            for (axis, &size) in shape.iter().enumerate() {
                if !axes.contains(&axis) {
                    kept.push(size);
                } else if reduce.keep {
                    kept.push(1);
                }
            }
            if axes.iter().any(|&axis| shape[axis] == 0) {
                return Err(node.invalid("a reduction of nothing"));
            }
            kept
        }
        Op::MatMul => {
            let (left, right) = (operands.shape(node, 0)?, operands.shape(node, 1)?);
            let ([above @ .., rows, inner], [beside @ .., depth, columns]) = (left, right) else {
                return Err(node.unsupported("factors of less than two dimensions"));
            };
            if inner != depth {
                return Err(node.invalid(format!("{left:?} times {right:?}")));
            }
            let mut shape = broadcast(node, above, beside)?;
            shape.extend([*rows, *columns]);
            shape
        }
        Op::ArgMax { axis, keep } => {
            let mut shape = first()?;
            let axis = axis_of(node, *axis, shape.len())?;
            if shape[axis] == 0 {
                return Err(node.invalid("the largest of nothing"));
            }
            if *keep {
                shape[axis] = 1;
            } else {
                shape.remove(axis);
            }
            shape
        }
        Op::Transpose(order) => {
            let shape = first()?;
            order_of(node, order, shape.len())?
                .into_iter()
                .map(|axis| shape[axis])
                .collect()
        }
        Op::Reshape { keep_zeros } => {
            let shape = operands.shape(node, 0)?;
            let total = count(shape).ok_or_else(too_large)?;
            let wanted = operands.integers(node, 1)?;
            let mut free = None;
            let mut sizes = Vec::with_capacity(wanted.len());
            for (axis, &size) in wanted.iter().enumerate() {
                sizes.push(match size {
                    -1 if free.replace(axis).is_none() => 1,
                    0 if *keep_zeros => *shape
                        .get(axis)
                        .ok_or_else(|| node.invalid("a kept size that does not exist"))?,
                    size => usize::try_from(size)
                        .map_err(|_| node.invalid(format!("shape {wanted:?}")))?,
                });
            }
            let fixed = count(&sizes).ok_or_else(too_large)?;
            if let Some(axis) = free
                && fixed > 0
            {
                sizes[axis] = total / fixed;
            }
            if count(&sizes) != Some(total) {
                return Err(node.invalid(format!("{shape:?} as {wanted:?}")));
            }
            sizes
        }
        Op::Squeeze(axes) => {
            let shape = operands.shape(node, 0)?;
            let axes = if axes.is_empty() {
                (0..shape.len()).filter(|&axis| shape[axis] == 1).collect()
            } else {
                axes_of(node, axes, shape.len())?
            };
            if axes.iter().any(|&axis| shape[axis] != 1) {
                return Err(node.invalid(format!("axes {axes:?} of {shape:?} are not one")));
            }
            (0..shape.len())
                .filter(|axis| !axes.contains(axis))
                .map(|axis| shape[axis])
                .collect()
        }
        Op::Unsqueeze(axes) => {
            let shape = operands.shape(node, 0)?;
            let axes = axes_of(node, axes, shape.len() + axes.len())?;
            let mut rest = shape.iter();
            (0..shape.len() + axes.len())
                .filter_map(|axis| {
                    if axes.contains(&axis) {
                        Some(1)
                    } else {
                        rest.next().copied()
                    }
                })
                .collect()
        }
        Op::Concat { axis } => {
            let mut shape = first()?;
            let axis = axis_of(node, *axis, shape.len())?;
            for other in &operands.shapes[1..] {
                let fits = other.len() == shape.len()
                    && (0..shape.len()).all(|i| i == axis || other[i] == shape[i]);
                if !fits {
                    return Err(node.invalid(format!("{shape:?} beside {other:?}")));
                }
                shape[axis] = shape[axis].checked_add(other[axis]).ok_or_else(too_large)?;
            }
            shape
        }
        Op::Split { axis } => {
            let shape = first()?;
            let axis = axis_of(node, *axis, shape.len())?;
            return Ok(parts(node, axis, operands)?
                .into_iter()
                .map(|part| {
                    let mut shape = shape.clone();
                    shape[axis] = part;
                    shape
                })
                .collect());
        }
        Op::Slice => slices(node, operands)?
            .into_iter()
            .map(|(_, _, length)| length)
            .collect(),
        Op::Pad { .. } => operands
            .shape(node, 0)?
            .iter()
            .zip(pads(node, operands)?)
            .map(|(&size, (before, after))| size.checked_add(before)?.checked_add(after))
            .collect::<Option<_>>()
            .ok_or_else(too_large)?,
        Op::Resize(resize) => {
            let [batch, _, _, channels] = operands.map(node)?;
            let (_, sizes) = resize_target(node, resize, operands)?;
            vec![batch, sizes[0], sizes[1], channels]
        }
        Op::Gather { axis } => {
            let shape = operands.shape(node, 0)?;
            let axis = axis_of(node, *axis, shape.len())?;
            let mut result = shape[..axis].to_vec();
            result.extend(operands.shape(node, 1)?);
            result.extend(&shape[axis + 1..]);
            result
        }
        Op::GatherNd => {
            let (shape, indices) = (operands.shape(node, 0)?, operands.shape(node, 1)?);
            match indices.split_last() {
                Some((&depth, lead)) if depth <= shape.len() => {
                    let mut result = lead.to_vec();
                    result.extend(&shape[depth..]);
                    result
                }
                _ => return Err(node.invalid(format!("indices {indices:?} into {shape:?}"))),
            }
        }
        Op::Shape => vec![operands.shape(node, 0)?.len()],
        Op::SparseToDense => operands
            .integers(node, 1)?
            .into_iter()
            .map(|size| usize::try_from(size).map_err(|_| node.invalid("a negative size")))
            .collect::<Result<_>>()?,
        Op::Normalise(normalise) => {
            let shape = first()?;
            row_length(node, normalise, &shape)?;
            shape
        }
        Op::TopK { axis, .. } => {
            let mut shape = first()?;
            let axis = axis_of(node, *axis, shape.len())?;
            let wanted = only(node, operands, 1)?;
            if shape[axis] > EXACT {
                return Err(node.unsupported(format!("an axis of {}", shape[axis])));
            }
            shape[axis] = usize::try_from(wanted)
                .ok()
                .filter(|&wanted| wanted <= shape[axis])
                .ok_or_else(|| node.invalid(format!("the largest {wanted} of {}", shape[axis])))?;
            return Ok(vec![shape.clone(), shape]);
        }
        Op::GatherElements { axis } => {
            let (shape, indices) = (operands.shape(node, 0)?, operands.shape(node, 1)?);
            let axis = axis_of(node, *axis, shape.len())?;
            let fits = indices.len() == shape.len()
                && (0..shape.len()).all(|i| i == axis || indices[i] <= shape[i]);
            if !fits {
                return Err(node.invalid(format!("indices {indices:?} into {shape:?}")));
            }
            indices.to_vec()
        }
        Op::ScatterNd => {
            let (shape, indices) = (operands.shape(node, 0)?, operands.shape(node, 1)?);
            let updates = operands.shape(node, 2)?;
            let fits = indices.split_last().is_some_and(|(&depth, lead)| {
                depth <= shape.len() && updates.iter().eq(lead.iter().chain(&shape[depth..]))
            });
            if !fits {
                return Err(node.invalid(format!("{updates:?} at {indices:?} of {shape:?}")));
            }
            shape.to_vec()
        }
        Op::Where => {
            let sides = broadcast(node, operands.shape(node, 1)?, operands.shape(node, 2)?)?;
            broadcast(node, operands.shape(node, 0)?, &sides)?
        }
        Op::Expand => broadcast(node, operands.shape(node, 0)?, &sizes(node, operands, 1)?)?,
        Op::Tile => {
            let (shape, repeats) = (operands.shape(node, 0)?, sizes(node, operands, 1)?);
            if shape.len() != repeats.len() {
                return Err(node.invalid(format!("{shape:?} {repeats:?} times")));
            }
            let repeated = shape.iter().zip(&repeats).map(|(a, b)| a.checked_mul(*b));
            repeated.collect::<Option<_>>().ok_or_else(too_large)?
        }
        Op::Range => vec![range(node, operands)?.2],
        Op::CumulativeSum { axis } => {
            let shape = first()?;
            axis_of(node, *axis, shape.len())?;
            shape
        }
        Op::GridSample(_) => {
            let [batch, height, width, channels] = operands.map(node)?;
            match *operands.shape(node, 1)? {
                [images, rows, columns, 2] if images == batch && height > 0 && width > 0 => {
                    vec![batch, rows, columns, channels]
                }
                _ => return Err(node.invalid(format!("a grid of {:?}", operands.shapes[1]))),
            }
        }
        Op::Deformable(deformable) => deformed(node, deformable, operands)?,
    };
    Ok(vec![one])
}

/// The only number of an input that is known.
fn only(node: &Node, operands: &Operands<'_>, index: usize) -> Result<i64> {
    match operands.integers(node, index)?.as_slice() {
        &[value] => Ok(value),
        other => Err(node.invalid(format!("{} numbers for one", other.len()))),
    }
}

/// Sizes that an input says.
fn sizes(node: &Node, operands: &Operands<'_>, index: usize) -> Result<Vec<usize>> {
    let sizes = operands.integers(node, index)?;
    sizes
        .into_iter()
        .map(|size| usize::try_from(size).map_err(|_| node.invalid(format!("a size of {size}"))))
        .collect()
}

/// How many elements are normalised together.
pub(crate) fn row_length(node: &Node, normalise: &Normalise, shape: &[usize]) -> Result<usize> {
    let rows = shape.len().checked_sub(normalise.axes);
    let length = rows
        .filter(|_| normalise.axes > 0)
        .and_then(|start| count(&shape[start..]))
        .filter(|&length| length > 0)
        .ok_or_else(|| node.invalid(format!("no {} axes in {shape:?}", normalise.axes)))?;
    let fits = |values: &Option<_>| {
        let values: &Option<std::sync::Arc<[f32]>> = values;
        values.as_ref().is_none_or(|values| values.len() == length)
    };
    if !fits(&normalise.gamma) || !fits(&normalise.beta) {
        return Err(node.invalid(format!("other factors than {length}")));
    }
    Ok(length)
}

/// First number, step and how many numbers of a range.
pub(crate) fn range(node: &Node, operands: &Operands<'_>) -> Result<(f64, f64, usize)> {
    let number = |index: usize| {
        let known = operands.known.get(index).copied().flatten();
        known
            .and_then(Tensor::only)
            .map(f64::from)
            .ok_or_else(|| node.invalid(format!("input {index} must be a number known before")))
    };
    let (start, limit, step) = (number(0)?, number(1)?, number(2)?);
    let length = ((limit - start) / step).ceil().max(0.0);
    if length.is_nan() || length > KNOWN as f64 {
        return Err(node.invalid(format!("a range from {start} to {limit} by {step}")));
    }
    Ok((start, step, length as usize))
}

/// The shape of a deformable attention's result.
fn deformed(node: &Node, deformable: &Deformable, operands: &Operands<'_>) -> Result<Vec<usize>> {
    let shapes = (
        operands.shape(node, 0)?,
        operands.shape(node, 1)?,
        operands.shape(node, 2)?,
        operands.shape(node, 3)?,
    );
    let (
        &[batch, places, width],
        &[boxed, queries, 4],
        &[offset, offset_queries, offsets],
        &[weighted, weight_queries, weights],
    ) = shapes
    else {
        return Err(node.invalid(format!("operands of {shapes:?}")));
    };
    let of_maps = deformable.maps.iter().try_fold(0usize, |sum, map| {
        let map = map[0].checked_mul(map[1])?;
        (map > 0).then(|| sum.checked_add(map))?
    });
    let samples = deformable
        .heads
        .checked_mul(deformable.maps.len())
        .and_then(|samples| samples.checked_mul(deformable.points));
    let fits = of_maps == Some(places)
        && samples == Some(weights)
        && samples.and_then(|samples| samples.checked_mul(2)) == Some(offsets)
        && [boxed, offset, weighted]
            .iter()
            .all(|&images| images == batch)
        && [offset_queries, weight_queries]
            .iter()
            .all(|&q| q == queries)
        && weights > 0
        && width.is_multiple_of(deformable.heads);
    if !fits {
        return Err(node.invalid(format!("{shapes:?} for {deformable:?}")));
    }
    Ok(vec![batch, queries, width])
}

/// The order of a transpose.
pub(crate) fn order_of(node: &Node, order: &[usize], rank: usize) -> Result<Vec<usize>> {
    if order.is_empty() {
        return Ok((0..rank).rev().collect());
    }
    let mut seen = vec![false; rank];
    for &axis in order {
        match seen.get_mut(axis) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(node.invalid(format!("{order:?} is no order of {rank} axes"))),
        }
    }
    if order.len() != rank {
        return Err(node.invalid(format!("{order:?} is no order of {rank} axes")));
    }
    Ok(order.to_vec())
}
