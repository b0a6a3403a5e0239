//! Strided views of buffers, and loops over several of them.

use super::{Dimension, Map, Slot};
use crate::graph::tensor::row_major;

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
    pub(super) fn span(&self) -> usize {
        span(&self.shape, &self.strides)
    }

    pub(crate) fn slot(&self) -> Slot {
        Slot {
            buffer: self.buffer,
            offset: self.offset,
            span: self.span(),
        }
    }

    pub(super) fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The axes from the farthest to the nearest.
    pub(super) fn order(&self) -> Vec<usize> {
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

    pub(super) fn permuted(&self, order: &[usize]) -> Self {
        Self {
            shape: order.iter().map(|&axis| self.shape[axis]).collect(),
            strides: order.iter().map(|&axis| self.strides[axis]).collect(),
            ..*self
        }
    }

    pub(super) fn map(&self) -> Option<Map> {
        Some(Map {
            slot: self.slot(),
            shape: self.shape.as_slice().try_into().ok()?,
            strides: self.strides.as_slice().try_into().ok()?,
        })
    }

    /// The same elements in another shape, where that is only another way to look at them.
    pub(super) fn reshaped(&self, shape: &[usize]) -> Option<Self> {
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

pub(super) fn span(shape: &[usize], strides: &[usize]) -> usize {
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
pub(crate) fn loops(shape: &[usize], order: &[usize], operands: &[&[usize]]) -> Vec<Dimension> {
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

/// A view repeated to a larger shape.
pub(super) fn wide(view: &View, shape: &[usize]) -> View {
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
