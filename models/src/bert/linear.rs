//! A linear layer of the encoder on the CPU, in the precision that was asked for.

use crate::compute::Precision;
use crate::kernels::matmul::{Left, Right};
use crate::kernels::{Isa, PackedMatrix, QuantizedMatrix};
use std::ops::Range;

/// Weights and bias of a layer.
pub(super) enum Linear {
    Full(PackedMatrix),
    Int8(QuantizedMatrix),
}

/// The left-hand rows of a product: as they are, and where those that are quantised lie.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    /// Row 0, the others behind it.
    pub(super) start: *const f32,
    /// As [`Linear::quantize`] left them; of no meaning to layers that do not want them.
    pub(super) quantized: *const f32,
}

impl Linear {
    /// `weights` are `[n, k]`, `bias` is `[n]`.
    pub(super) fn new(
        weights: &[f32],
        bias: &[f32],
        n: usize,
        k: usize,
        isa: Isa,
        precision: Precision,
    ) -> Self {
        if precision == Precision::Int8 && QuantizedMatrix::fits(k) {
            return Self::Int8(QuantizedMatrix::from_outputs(weights, bias, n, k, isa));
        }
        Self::Full(PackedMatrix::from_outputs(weights, bias, n, k, isa))
    }

    /// Numbers that go into a row's sums.
    pub(super) fn k(&self) -> usize {
        match self {
            Self::Full(matrix) => matrix.k(),
            Self::Int8(matrix) => matrix.k(),
        }
    }

    /// Outputs.
    pub(super) fn n(&self) -> usize {
        match self {
            Self::Full(matrix) => matrix.n(),
            Self::Int8(matrix) => matrix.n(),
        }
    }

    /// Panels that the outputs are split in.
    pub(super) fn panels(&self) -> usize {
        match self {
            Self::Full(matrix) => matrix.panels(),
            Self::Int8(matrix) => matrix.panels(),
        }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Full(matrix) => matrix.bytes(),
            Self::Int8(matrix) => matrix.bytes(),
        }
    }

    /// Room that a quantised row takes, in `f32`; none where rows are taken as they are.
    pub(super) fn quantized(&self) -> usize {
        match self {
            Self::Full(_) => 0,
            Self::Int8(matrix) => matrix.row(),
        }
    }

    /// Makes `rows` rows from `from` ready at `to`, where the layer wants them so.
    ///
    /// # Safety
    /// `from` is readable for `rows` times [`Linear::k`], `to` writable for `rows` times [`Linear::quantized`] and begins a cache
    /// line.
    pub(super) unsafe fn quantize(&self, from: *const f32, rows: usize, to: *mut f32) {
        if let Self::Int8(matrix) = self {
            // SAFETY: the caller's contract.
            unsafe { matrix.quantize(from, rows, to) }
        }
    }

    /// `right[0..rows, columns of panels] = activation(left * weights + bias) + residual`
    ///
    /// # Safety
    /// As [`PackedMatrix::multiply`], and the rows are [ready](Linear::quantize).
    pub(super) unsafe fn multiply(
        &self,
        left: Rows,
        rows: usize,
        panels: Range<usize>,
        right: Right,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            match self {
                Self::Full(matrix) => {
                    let left = Left::rows(left.start, matrix.k());
                    matrix.multiply(left, rows, panels, right);
                }
                Self::Int8(matrix) => matrix.multiply(left.quantized, rows, panels, right),
            }
        }
    }

    /// All columns of rows that only the caller works on; `room` is for quantising them.
    ///
    /// # Safety
    /// As [`Linear::quantize`] to `room` and [`Linear::multiply`].
    pub(super) unsafe fn apply(&self, from: *const f32, rows: usize, room: *mut f32, right: Right) {
        // SAFETY: the caller's contract.
        unsafe {
            self.quantize(from, rows, room);
            let left = Rows {
                start: from,
                quantized: room.cast_const(),
            };
            self.multiply(left, rows, 0..self.panels(), right);
        }
    }
}
