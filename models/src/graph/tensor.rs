//! A dense tensor in row-major order.

use super::{Error, Result};
use std::sync::Arc;

/// Values in row-major order and their dimensions; a scalar has none.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

/// The product of dimensions, if it is a number.
pub(crate) fn count(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size))
}

/// Row-major distances.
pub(crate) fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}

impl Tensor {
    /// A tensor of `shape`.
    ///
    /// # Errors
    /// When the shape does not hold as many elements as `data` has.
    pub fn new(shape: &[usize], data: Vec<f32>) -> Result<Self> {
        if count(shape) != Some(data.len()) {
            return Err(Error::Malformed {
                format: "a tensor",
                what: format!("{} elements in shape {shape:?}", data.len()),
            });
        }
        Ok(Self {
            shape: shape.to_vec(),
            data,
        })
    }

    /// A tensor without dimensions.
    pub fn scalar(value: f32) -> Self {
        Self {
            shape: Vec::new(),
            data: vec![value],
        }
    }

    /// A list.
    pub fn list(data: Vec<f32>) -> Self {
        Self {
            shape: vec![data.len()],
            data,
        }
    }

    /// A list of whole numbers.
    pub fn integers(values: &[i64]) -> Self {
        Self::list(values.iter().map(|&value| value as f32).collect())
    }

    /// Dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Elements.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Gives the elements away.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// Whole numbers; fractions are cut off, what does not fit becomes the nearest that does.
    pub(crate) fn to_integers(&self) -> Vec<i64> {
        self.data.iter().map(|&value| value as i64).collect()
    }

    /// The only element.
    pub(crate) fn only(&self) -> Option<f32> {
        match self.data.as_slice() {
            [value] => Some(*value),
            _ => None,
        }
    }

    /// A tensor of this shape whose elements are elsewhere.
    pub(crate) fn without_data(&self) -> Arc<Self> {
        Arc::new(Self {
            shape: self.shape.clone(),
            data: Vec::new(),
        })
    }

    /// The same elements in another shape of as many.
    pub(crate) fn reshaped(&self, shape: &[usize]) -> Option<Self> {
        (count(shape) == Some(self.data.len())).then(|| Self {
            shape: shape.to_vec(),
            data: self.data.clone(),
        })
    }

    /// Dimension `i` of the result is dimension `order[i]` of this one. `order` is a permutation.
    pub(crate) fn transposed(&self, order: &[usize]) -> Self {
        let strides = row_major(&self.shape);
        let shape: Vec<usize> = order.iter().map(|&axis| self.shape[axis]).collect();
        let steps: Vec<usize> = order.iter().map(|&axis| strides[axis]).collect();
        let mut data = Vec::with_capacity(self.data.len());
        each_offset(&shape, &steps, |offset| data.push(self.data[offset]));
        Self { shape, data }
    }
}

/// Calls `visit` with the offset of every element of a strided view, in row-major order.
pub(crate) fn each_offset(shape: &[usize], strides: &[usize], mut visit: impl FnMut(usize)) {
    if shape.contains(&0) {
        return;
    }
    let mut index = vec![0; shape.len()];
    let mut offset = 0;
    loop {
        visit(offset);
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            offset += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            offset -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
}
