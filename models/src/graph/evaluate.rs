//! The values that are known before anything runs: what only constants and shapes decide.

use super::op::{Op, Reduction};
use super::shape::{Operands, axis_of, order_of, range, reduced, slices};
use super::tensor::{count, each_offset, row_major};
use super::{Error, Limits, Node, Result, Tensor};

/// Results of at most so many elements are computed while planning when all they need is known.
pub(crate) const KNOWN: usize = 1 << 16;

/// What may be computed before a run: together no more than one tensor may have.
pub(crate) struct Budget {
    left: usize,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            left: limits.elements,
            limit: limits.elements,
        }
    }

    /// The results of a node as [`evaluate`] gives them.
    pub(crate) fn evaluate(
        &mut self,
        node: &Node,
        operands: &Operands<'_>,
        shapes: &[Vec<usize>],
    ) -> Result<Option<Vec<Tensor>>> {
        let results = evaluate(node, operands, shapes)?;
        for tensor in results.iter().flatten() {
            let left = self.left.checked_sub(tensor.data().len());
            self.left = left.ok_or_else(|| Error::TooLarge {
                what: "what is computed before the run".to_owned(),
                limit: self.limit as u64,
            })?;
        }
        Ok(results)
    }
}

/// The results of a node whose inputs are known, if they are small and the operation is one that shapes are
/// made with. `shapes` are the results' from [`infer`].
fn evaluate(
    node: &Node,
    operands: &Operands<'_>,
    shapes: &[Vec<usize>],
) -> Result<Option<Vec<Tensor>>> {
    if matches!(node.op, Op::Shape) {
        let sizes = operands.shape(node, 0)?.iter().map(|&size| size as f32);
        return Ok(Some(vec![Tensor::list(sizes.collect())]));
    }
    let inputs: Option<Vec<&Tensor>> = operands.known.iter().copied().collect();
    let (Some(inputs), Some(shape)) = (inputs, shapes.first()) else {
        return Ok(None);
    };
    if shapes
        .iter()
        .any(|shape| count(shape).is_none_or(|n| n > KNOWN))
    {
        return Ok(None);
    }
    if matches!(node.op, Op::Range) {
        let (start, step, length) = range(node, operands)?;
        let numbers = (0..length).map(|at| (start + at as f64 * step) as f32);
        return Ok(Some(vec![Tensor::list(numbers.collect())]));
    }
    let Some(&x) = inputs.first() else {
        return Ok(None);
    };
    let made = |data| Tensor::new(shape, data);
    let result = match &node.op {
        Op::Map(function) => {
            let channels = x.shape().last().copied().unwrap_or(1).max(1);
            made(
                x.data()
                    .iter()
                    .enumerate()
                    .map(|(at, &value)| function.of(value, at % channels))
                    .collect(),
            )?
        }
        Op::Arithmetic(arithmetic) => {
            let (left, right) = (repeated(x, shape), repeated(inputs[1], shape));
            let pairs = left.into_iter().zip(right);
            made(pairs.map(|(a, b)| arithmetic.of(a, b)).collect())?
        }
        Op::Where => {
            let [condition, x, y] = [0, 1, 2].map(|side| repeated(inputs[side], shape));
            let sides = x.into_iter().zip(y).zip(condition);
            let chosen = sides.map(|((x, y), condition)| if condition != 0.0 { x } else { y });
            made(chosen.collect())?
        }
        Op::Expand => made(repeated(x, shape))?,
        Op::Tile => {
            let strides = row_major(x.shape());
            let places = row_major(shape);
            let value = |at: usize| {
                let axes = places.iter().zip(&strides).zip(shape).zip(x.shape());
                let offset: usize = axes
                    .map(|(((place, stride), &tiled), &size)| at / place % tiled % size * stride)
                    .sum();
                x.data()[offset]
            };
            made((0..count(shape).unwrap_or(0)).map(value).collect())?
        }
        Op::CumulativeSum { axis } => {
            let axis = axis_of(node, *axis, shape.len())?;
            let inner: usize = shape[axis + 1..].iter().product();
            let mut data = x.data().to_vec();
            for at in 0..data.len() {
                if !(at / inner).is_multiple_of(shape[axis]) {
                    data[at] += data[at - inner];
                }
            }
            made(data)?
        }
        Op::Reduce(reduce) => {
            let axes = reduced(node, &reduce.axes, operands)?;
            let (start, fold): (f64, fn(f64, f64) -> f64) = match reduce.kind {
                Reduction::Mean | Reduction::Sum => (0.0, |a, b| a + b),
                Reduction::Product => (1.0, |a, b| a * b),
                Reduction::Max => (f64::NEG_INFINITY, f64::max),
                Reduction::Min => (f64::INFINITY, f64::min),
            };
            let kept: Vec<usize> = (0..x.shape().len())
                .map(|axis| {
                    if axes.contains(&axis) {
                        1
                    } else {
                        x.shape()[axis]
                    }
                })
                .collect();
            let mut data = vec![start; count(&kept).unwrap_or(0)];
            let mut values = x.data().iter();
            each_offset(x.shape(), &broadcast_strides(&kept, x.shape()), |place| {
                if let Some(&value) = values.next() {
                    data[place] = fold(data[place], f64::from(value));
                }
            });
            let over = match reduce.kind {
                Reduction::Mean => x.data().len() as f64 / data.len().max(1) as f64,
                _ => 1.0,
            };
            made(
                data.into_iter()
                    .map(|value| (value / over) as f32)
                    .collect(),
            )?
        }
        Op::Split { axis } => {
            let axis = axis_of(node, *axis, x.shape().len())?;
            let outer: usize = x.shape()[..axis].iter().product();
            let inner: usize = x.shape()[axis + 1..].iter().product();
            let whole = x.shape()[axis] * inner;
            let mut start = 0;
            let mut parts = Vec::with_capacity(shapes.len());
            for part in shapes {
                let length = part[axis] * inner;
                let rows = (0..outer).map(|row| row * whole + start);
                let data = rows.flat_map(|from| &x.data()[from..from + length]);
                parts.push(Tensor::new(part, data.copied().collect())?);
                start += length;
            }
            return Ok(Some(parts));
        }
        Op::ScatterNd => {
            let [_, indices, updates] = inputs.as_slice() else {
                return Err(node.invalid("three inputs are needed"));
            };
            let depth = indices.shape().last().copied().unwrap_or(0);
            let inner: usize = shape[depth..].iter().product();
            let mut data = x.data().to_vec();
            let tuples = indices.shape()[..indices.shape().len() - 1]
                .iter()
                .product();
            let indices = indices.to_integers();
            for tuple in 0..tuples {
                let mut offset = 0;
                for (axis, &index) in indices[tuple * depth..][..depth].iter().enumerate() {
                    offset = offset * shape[axis] + inside(node, index, shape[axis])?;
                }
                let update = &updates.data()[tuple * inner..][..inner];
                data[offset * inner..][..inner].copy_from_slice(update);
            }
            made(data)?
        }
        Op::Transpose(order) => x.transposed(&order_of(node, order, x.shape().len())?),
        Op::Reshape { .. } | Op::Squeeze(_) | Op::Unsqueeze(_) => match x.reshaped(shape) {
            Some(tensor) => tensor,
            None => return Ok(None),
        },
        Op::Concat { axis } => {
            let axis = axis_of(node, *axis, shape.len())?;
            let outer: usize = shape[..axis].iter().product();
            let inner: usize = shape[axis + 1..].iter().product();
            let mut data = Vec::new();
            for row in 0..outer {
                for tensor in &inputs {
                    let length = tensor.shape()[axis] * inner;
                    data.extend_from_slice(&tensor.data()[row * length..(row + 1) * length]);
                }
            }
            made(data)?
        }
        Op::Slice => {
            let strides = row_major(x.shape());
            let parts = slices(node, operands)?;
            let mut data = Vec::new();
            let lengths: Vec<usize> = parts.iter().map(|part| part.2).collect();
            let places = row_major(&lengths);
            let total = count(&lengths).unwrap_or(0);
            for at in 0..total {
                let offset: i64 = parts
                    .iter()
                    .enumerate()
                    .map(|(axis, &(start, step, length))| {
                        let index = (at / places[axis] % length) as i64;
                        (start as i64 + index * step) * strides[axis] as i64
                    })
                    .sum();
                data.push(x.data()[offset as usize]);
            }
            made(data)?
        }
        Op::Gather { axis } => {
            let axis = axis_of(node, *axis, x.shape().len())?;
            let size = x.shape()[axis];
            let outer: usize = x.shape()[..axis].iter().product();
            let inner: usize = x.shape()[axis + 1..].iter().product();
            let mut data = Vec::new();
            for row in 0..outer {
                for index in inputs[1].to_integers() {
                    let index = inside(node, index, size)?;
                    let start = (row * size + index) * inner;
                    data.extend_from_slice(&x.data()[start..start + inner]);
                }
            }
            made(data)?
        }
        Op::SparseToDense => {
            let [indices, _, values, default] = inputs.as_slice() else {
                return Err(node.invalid("four inputs are needed"));
            };
            let default = default
                .only()
                .ok_or_else(|| node.invalid("a default that is not a scalar"))?;
            let mut data = vec![default; count(shape).unwrap_or(0)];
            let strides = row_major(shape);
            let rank = shape.len().max(1);
            for (at, index) in indices.to_integers().chunks(rank).enumerate() {
                let mut offset = 0;
                for (axis, &i) in index.iter().enumerate() {
                    let size = shape.get(axis).copied().unwrap_or(1);
                    let i = usize::try_from(i)
                        .ok()
                        .filter(|&i| i < size)
                        .ok_or_else(|| node.invalid(format!("index {i} of {size}")))?;
                    offset += i * strides.get(axis).copied().unwrap_or(1);
                }
                let value = values.data().get(at).or(values.data().first());
                if let (Some(place), Some(&value)) = (data.get_mut(offset), value) {
                    *place = value;
                }
            }
            made(data)?
        }
        _ => return Ok(None),
    };
    Ok(Some(vec![result]))
}

/// Distances with which a row-major tensor of `shape` is read as `wide`.
fn broadcast_strides(shape: &[usize], wide: &[usize]) -> Vec<usize> {
    let strides = row_major(shape);
    let missing = wide.len() - shape.len();
    (0..wide.len())
        .map(|axis| match axis.checked_sub(missing) {
            Some(axis) if shape[axis] != 1 => strides[axis],
            _ => 0,
        })
        .collect()
}

/// A tensor's elements, repeated to a larger shape.
fn repeated(tensor: &Tensor, shape: &[usize]) -> Vec<f32> {
    let mut elements = Vec::with_capacity(count(shape).unwrap_or(0));
    each_offset(shape, &broadcast_strides(tensor.shape(), shape), |offset| {
        elements.push(tensor.data()[offset]);
    });
    elements
}

/// An index that may count from the end.
fn inside(node: &Node, index: i64, size: usize) -> Result<usize> {
    let from_front = if index < 0 {
        index.saturating_add(size as i64)
    } else {
        index
    };
    usize::try_from(from_front)
        .ok()
        .filter(|&index| index < size)
        .ok_or_else(|| node.invalid(format!("index {index} of {size}")))
}
