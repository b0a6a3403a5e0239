//! The layers of the network, forwards and backwards, for one image and one thread.
//!
//! Maps are channels last. Buffers that are the right-hand side of a weight's gradient have [`SLACK`] elements after them.

use crate::kernels::convolution::{
    GradientRow, Rows, SLACK, add_depthwise_gradient, add_transposed_product,
};
use crate::kernels::depthwise::{DepthwiseFilter, NoKernel, Row};
use crate::kernels::matmul::{Left, Right};
use crate::kernels::{Activation, Isa, PackedMatrix};

/// A 1x1 convolution or a linear layer: a product over rows of `inputs` values.
pub(super) struct Linear {
    forward: PackedMatrix,
    backward: PackedMatrix,
    isa: Isa,
    pub inputs: usize,
    pub outputs: usize,
}

impl Linear {
    /// The layer with `weight` `[outputs, inputs]`.
    pub fn new(weight: &[f32], bias: &[f32], isa: Isa) -> Self {
        let outputs = bias.len();
        let inputs = weight.len() / outputs.max(1);
        Self {
            forward: PackedMatrix::from_outputs(weight, bias, outputs, inputs, isa),
            backward: PackedMatrix::pack(inputs, outputs, &[], isa, |row, column| {
                weight[row * inputs + column]
            }),
            isa,
            inputs,
            outputs,
        }
    }

    /// `out = activation(x W^T + b)`, row by row, and what `residual` has is added.
    pub fn forward(
        &self,
        x: &[f32],
        out: &mut [f32],
        activation: Activation,
        residual: Option<&[f32]>,
    ) {
        multiply(
            &self.forward,
            &x[..out.len() / self.outputs * self.inputs],
            out,
            activation,
            residual,
        );
    }

    /// The gradient of the input, `out = grad W`, and what `residual` has is added.
    pub fn backward(&self, grad: &[f32], out: &mut [f32], residual: Option<&[f32]>) {
        let grad = &grad[..out.len() / self.inputs * self.outputs];
        multiply(&self.backward, grad, out, Activation::None, residual);
    }

    /// Adds what `grad` `[rows, outputs]` says of the weights, whose inputs were `x` (with [`SLACK`] elements after).
    pub fn add_gradient(&self, grad: &[f32], x: &[f32], sums: &mut [f32]) {
        let count = grad.len() / self.outputs;
        assert!(x.len() >= count * self.inputs + SLACK && sums.len() == self.outputs * self.inputs);
        let rows = |values: &[f32], row| Rows {
            start: values.as_ptr(),
            row,
        };
        // SAFETY: the instruction set was detected; the sides have `count` rows and the slack, `sums` is as large as the
        // weights (both asserted).
        unsafe {
            add_transposed_product(
                self.isa,
                (rows(grad, self.outputs), self.outputs),
                (rows(x, self.inputs), self.inputs),
                count,
                sums.as_mut_ptr(),
                self.inputs,
            );
        }
    }
}

fn multiply(
    matrix: &PackedMatrix,
    left: &[f32],
    out: &mut [f32],
    activation: Activation,
    residual: Option<&[f32]>,
) {
    let rows = out.len() / matrix.n();
    assert!(left.len() == rows * matrix.k() && out.len() == rows * matrix.n());
    assert!(residual.is_none_or(|residual| residual.len() >= out.len()));
    let right = Right {
        start: out.as_mut_ptr(),
        row: matrix.n(),
        residual: residual.map(|residual| (residual.as_ptr(), matrix.n())),
        activation,
    };
    let left = Left::rows(left.as_ptr(), matrix.k());
    // SAFETY: `left` has these rows, `out` and the residual too (asserted); `out` is borrowed by nobody else.
    unsafe { matrix.multiply(left, rows, 0..matrix.panels(), right) };
}

/// A square map with zeros around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Side of the map.
    pub inside: usize,
    /// Rows and columns before it.
    pub before: usize,
    /// Side of the whole.
    pub side: usize,
}

impl Frame {
    /// Where pixel `(y, 0)` of the map is, for so many channels.
    pub fn at(&self, y: usize, channels: usize) -> usize {
        ((y + self.before) * self.side + self.before) * channels
    }

    /// Elements of the whole.
    pub fn len(&self, channels: usize) -> usize {
        self.side * self.side * channels
    }
}

/// A depthwise convolution of a framed map.
pub(super) struct Depthwise {
    forward: DepthwiseFilter,
    /// The filter turned around, of stride 1: for the gradient of the input.
    backward: DepthwiseFilter,
    isa: Isa,
    pub channels: usize,
    side: usize,
    stride: usize,
    pub input: Frame,
    pub output: usize,
}

impl Depthwise {
    /// The layer with `weight` `[channels, side, side]`.
    pub fn new(
        (weight, bias): (&[f32], &[f32]),
        (side, stride): (usize, usize),
        input: Frame,
        output: usize,
        isa: Isa,
    ) -> Result<Self, NoKernel> {
        let mut turned = weight.to_vec();
        turned
            .chunks_exact_mut(side * side)
            .for_each(<[f32]>::reverse);
        let none = vec![0.0; bias.len()];
        Ok(Self {
            forward: DepthwiseFilter::new(weight, bias, side, stride, isa)?,
            backward: DepthwiseFilter::new(&turned, &none, side, 1, isa)?,
            isa,
            channels: bias.len(),
            side,
            stride,
            input,
            output,
        })
    }

    /// The map of gradients as the turned filter reads it: spread by the stride, with zeros between and around.
    pub fn spread(&self) -> Frame {
        Frame {
            inside: self.output,
            before: self.side - 1 - self.input.before,
            side: self.input.inside + self.side - 1,
        }
    }

    /// Row `y` of the outputs, after `activation`.
    pub fn forward(&self, framed: &[f32], y: usize, out: &mut [f32], activation: Activation) {
        let row = self.input.side * self.channels;
        let framed = &framed[y * self.stride * row..];
        assert!(framed.len() >= self.side * row && out.len() == self.output * self.channels);
        let row = Row {
            input: framed.as_ptr(),
            input_row: row,
            pixel: self.channels,
            output: out.as_mut_ptr(),
            width: self.output,
        };
        // SAFETY: the rows under the filter are there and as wide as its outputs need; `out` has a row (asserted).
        unsafe { self.forward.row(row, 0, self.channels, activation) };
    }

    /// Adds what row `y` of the gradients says of the filter to `sums` `[side * side, channels]`.
    pub fn add_gradient(&self, framed: &[f32], y: usize, grad: &[f32], sums: &mut [f32]) {
        let row = self.input.side * self.channels;
        let framed = &framed[y * self.stride * row..];
        assert!(framed.len() >= self.side * row && grad.len() == self.output * self.channels);
        assert_eq!(sums.len(), self.side * self.side * self.channels);
        let row = GradientRow {
            input: framed.as_ptr(),
            input_row: row,
            grad: grad.as_ptr(),
            width: self.output,
            channels: self.channels,
        };
        // SAFETY: as in `forward`; `sums` is as large as the filter (asserted).
        unsafe {
            add_depthwise_gradient(self.isa, (self.side, self.stride), row, sums.as_mut_ptr())
        };
    }

    /// Writes row `y` of the gradients, `grad`, to its place in `spread`, with the zeros before it and beside it. Rows
    /// come in their order, and after the last `grad` is `None`.
    pub fn spread_row(&self, y: usize, grad: Option<&[f32]>, spread: &mut [f32]) {
        let frame = self.spread();
        let (row, channels) = (frame.side * self.channels, self.channels);
        let at = |y: usize| (y * self.stride + frame.before).min(frame.side);
        let from = if y == 0 { 0 } else { at(y - 1) + 1 };
        let Some(grad) = grad else {
            return spread[from * row..frame.len(channels)].fill(0.0);
        };
        spread[from * row..at(y) * row].fill(0.0);
        let out = &mut spread[at(y) * row..][..row];
        let start = frame.before * channels;
        if self.stride == 1 {
            out[..start].fill(0.0);
            out[start..][..grad.len()].copy_from_slice(grad);
            out[start + grad.len()..].fill(0.0);
            return;
        }
        out.fill(0.0);
        let places = out[start..].chunks_mut(self.stride * channels);
        for (place, grad) in places.zip(grad.chunks_exact(channels)) {
            place[..channels].copy_from_slice(grad);
        }
    }

    /// Row `y` of the gradient of the map (without its frame).
    pub fn backward(&self, spread: &[f32], y: usize, out: &mut [f32]) {
        let row = self.spread().side * self.channels;
        let spread = &spread[y * row..];
        let width = self.input.inside;
        assert!(spread.len() >= self.side * row && out.len() == width * self.channels);
        let row = Row {
            input: spread.as_ptr(),
            input_row: row,
            pixel: self.channels,
            output: out.as_mut_ptr(),
            width,
        };
        // SAFETY: the rows under the filter are there and `side - 1` pixels wider than the outputs; `out` has a row
        // (asserted).
        unsafe { self.backward.row(row, 0, self.channels, Activation::None) };
    }
}

/// Channels of an image.
const COLOURS: usize = 3;
/// Side of the first convolution's filter; its stride is 2.
const SIDE: usize = 3;
/// Values under a filter.
const UNDER: usize = SIDE * SIDE * COLOURS;

/// The first convolution: 3x3 of stride 2 over an image with a row and a column of zeros after it.
pub(super) struct Stem {
    forward: PackedMatrix,
    isa: Isa,
    outputs: usize,
    /// Side of the framed image.
    side: usize,
}

impl Stem {
    /// The layer with `weight` `[outputs, 3, 3, 3]` over framed images of `side`.
    pub fn new(weight: &[f32], bias: &[f32], side: usize, isa: Isa) -> Self {
        let forward = PackedMatrix::pack(bias.len(), UNDER, bias, isa, |under, output| {
            weight[output * UNDER + Self::in_file(under)]
        });
        Self {
            forward,
            isa,
            outputs: bias.len(),
            side,
        }
    }

    /// Where a filter's value that is read at `under` (row, column, channel) lies in a file (channel, row, column).
    pub fn in_file(under: usize) -> usize {
        let (place, channel) = (under / COLOURS, under % COLOURS);
        channel * SIDE * SIDE + place
    }

    fn row(&self) -> usize {
        self.side * COLOURS
    }

    /// Row `y` of the outputs, after `activation`.
    pub fn forward(&self, image: &[f32], y: usize, out: &mut [f32], activation: Activation) {
        let image = &image[2 * y * self.row()..];
        let width = out.len() / self.outputs;
        assert!(image.len() >= SIDE * self.row() && 2 * width < self.side);
        let left = Left {
            start: image.as_ptr(),
            row: 2 * COLOURS,
            segments: SIDE,
            segment: self.row(),
        };
        let right = Right {
            start: out.as_mut_ptr(),
            row: self.outputs,
            residual: None,
            activation,
        };
        // SAFETY: three rows of the image lie under the filter, each as wide as the outputs need (asserted).
        unsafe {
            self.forward
                .multiply(left, width, 0..self.forward.panels(), right)
        };
    }

    /// Adds what row `y` of the gradients says of the weights to `sums`, `[outputs, UNDER]` in the order of reading.
    pub fn add_gradient(&self, image: &[f32], y: usize, grad: &[f32], sums: &mut [f32]) {
        let image = &image[2 * y * self.row()..];
        let width = grad.len() / self.outputs;
        assert!(image.len() >= SIDE * self.row() + SLACK && 2 * width < self.side);
        assert_eq!(sums.len(), self.outputs * UNDER);
        for line in 0..SIDE {
            let left = Rows {
                start: grad.as_ptr(),
                row: self.outputs,
            };
            let right = Rows {
                start: image[line * self.row()..].as_ptr(),
                row: 2 * COLOURS,
            };
            // SAFETY: the instruction set was detected; `width` pixels on both sides, a row of the filter under each, and
            // the slack after the image (asserted).
            unsafe {
                add_transposed_product(
                    self.isa,
                    (left, self.outputs),
                    (right, SIDE * COLOURS),
                    width,
                    sums[line * SIDE * COLOURS..].as_mut_ptr(),
                    UNDER,
                );
            }
        }
    }
}
