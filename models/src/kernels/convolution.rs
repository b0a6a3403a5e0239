//! The backward passes of convolutions over channels-last images: what of the gradient belongs to the weights.
//!
//! The gradient of a convolution's input needs no kernel of its own: for a 1x1 convolution it is a product with the
//! weights the other way round ([`PackedMatrix`](super::PackedMatrix)), for a depthwise one it is the depthwise
//! convolution of the spread gradient with the filter turned around ([`DepthwiseFilter`](super::depthwise::DepthwiseFilter)).
//! All sums are added to what is there, so that the images of a batch and the groups of rows of an image add up.

use super::matmul::{Activation, Left, Panel, Right, Stored, multiply_panel};
use super::simd::{Isa, Simd, multiversion};

/// Elements past the last row that [`add_transposed_product`] may read of its right-hand side.
pub const SLACK: usize = 32;

/// A matrix where it lies: its first element and the distance between its rows.
#[derive(Clone, Copy)]
pub struct Rows {
    /// First element.
    pub start: *const f32,
    /// Distance between rows, in elements.
    pub row: usize,
}

/// `out[i, j] += sum over p of left[p, i] * right[p, j]` for `i < rows` and `j < columns`; `out` is `[rows, …]` with rows
/// `out_row` apart. It is the gradient of weights `[outputs, inputs]`, with gradients on the left, inputs on the right and
/// one pixel after the other in between.
///
/// The register tile of the packed product is used with both sides in place: every pixel is a segment of length one.
///
/// # Safety
/// `isa` is one this machine has; both sides have `count` rows, the right one [`SLACK`] readable elements after its last;
/// `out` is writable, overlaps neither side, and nobody else touches it meanwhile.
pub unsafe fn add_transposed_product(
    isa: Isa,
    (left, rows): (Rows, usize),
    (right, columns): (Rows, usize),
    count: usize,
    out: *mut f32,
    out_row: usize,
) {
    let width = 2 * isa.lanes();
    let left = Left {
        start: left.start,
        row: 1,
        segments: count,
        segment: left.row,
    };
    for column in (0..columns).step_by(width) {
        // SAFETY: `column` is inside the rows of the right side and of `out`; the rest is the caller's contract.
        unsafe {
            let panel = Panel {
                weights: right.start.add(column),
                bias: std::ptr::null(),
                columns: (columns - column).min(width),
                step: right.row,
                stored: Stored::Full,
            };
            let out = out.add(column);
            let to = Right {
                start: out,
                row: out_row,
                residual: Some((out.cast_const(), out_row)),
                activation: Activation::None,
            };
            multiply_panel(isa, left, rows, 1, panel, to);
        }
    }
}

multiversion! {
    /// Clears `grad` wherever ReLU6 was not between its bounds (`out` is what it answered), and adds up what is left for
    /// each channel; `out` and `grad` are `[pixels, sums.len()]`.
    ///
    /// # Safety
    /// `isa` is one this machine has.
    pub unsafe fn relu6_backward(isa, out: &[f32], grad: &mut [f32], sums: &mut [f32]) = relu6_backward_body
}

multiversion! {
    /// Adds up `values` `[pixels, sums.len()]` for each channel.
    ///
    /// # Safety
    /// `isa` is one this machine has.
    pub unsafe fn add_columns(isa, values: &[f32], sums: &mut [f32]) = add_columns_body
}

// The loops are plain Rust over contiguous values: the compiler vectorises them for the instruction set.

#[inline(always)]
unsafe fn relu6_backward_body<S: Simd>(out: &[f32], grad: &mut [f32], sums: &mut [f32]) {
    let width = sums.len().max(1);
    for (out, grad) in out.chunks_exact(width).zip(grad.chunks_exact_mut(width)) {
        for ((out, grad), sum) in out.iter().zip(grad).zip(sums.iter_mut()) {
            let passed = if *out > 0.0 && *out < 6.0 { *grad } else { 0.0 };
            *grad = passed;
            *sum += passed;
        }
    }
}

#[inline(always)]
unsafe fn add_columns_body<S: Simd>(values: &[f32], sums: &mut [f32]) {
    for values in values.chunks_exact(sums.len().max(1)) {
        for (value, sum) in values.iter().zip(sums.iter_mut()) {
            *sum += value;
        }
    }
}

/// A row of gradients of a depthwise convolution, and the inputs under it. Distances in elements.
#[derive(Clone, Copy)]
pub struct GradientRow {
    /// Input under the first tap of the first output (the image is padded already).
    pub input: *const f32,
    /// Distance between input rows.
    pub input_row: usize,
    /// Gradient of the first output.
    pub grad: *const f32,
    /// Number of outputs.
    pub width: usize,
    /// Channels: the distance between pixels of both.
    pub channels: usize,
}

/// Adds what a row of gradients says of a depthwise filter to `sums`, `[side * side, channels]`; `side` is 3 or 5, `stride`
/// 1 or 2, as in [`DepthwiseFilter`](super::depthwise::DepthwiseFilter), which refuses others.
///
/// # Safety
/// `isa` is one this machine has, all inputs under the filter and the gradients are readable, and nobody else touches
/// `sums`.
pub unsafe fn add_depthwise_gradient(
    isa: Isa,
    (side, stride): (usize, usize),
    row: GradientRow,
    sums: *mut f32,
) {
    // SAFETY: the caller's contract.
    unsafe {
        match (side, stride) {
            (3, 1) => filter_3_1(isa, row, sums),
            (3, _) => filter_3_2(isa, row, sums),
            (_, 1) => filter_5_1(isa, row, sums),
            (_, _) => filter_5_2(isa, row, sums),
        }
    }
}

multiversion! { unsafe fn filter_3_1(isa, row: GradientRow, sums: *mut f32) = filter_3_1_body }
multiversion! { unsafe fn filter_3_2(isa, row: GradientRow, sums: *mut f32) = filter_3_2_body }
multiversion! { unsafe fn filter_5_1(isa, row: GradientRow, sums: *mut f32) = filter_5_1_body }
multiversion! { unsafe fn filter_5_2(isa, row: GradientRow, sums: *mut f32) = filter_5_2_body }

#[inline(always)]
unsafe fn filter_3_1_body<S: Simd>(row: GradientRow, sums: *mut f32) {
    // SAFETY: the caller's contract.
    unsafe { filter_body::<S, 3, 1>(row, sums) }
}

#[inline(always)]
unsafe fn filter_3_2_body<S: Simd>(row: GradientRow, sums: *mut f32) {
    // SAFETY: the caller's contract.
    unsafe { filter_body::<S, 3, 2>(row, sums) }
}

#[inline(always)]
unsafe fn filter_5_1_body<S: Simd>(row: GradientRow, sums: *mut f32) {
    // SAFETY: the caller's contract.
    unsafe { filter_body::<S, 5, 1>(row, sums) }
}

#[inline(always)]
unsafe fn filter_5_2_body<S: Simd>(row: GradientRow, sums: *mut f32) {
    // SAFETY: the caller's contract.
    unsafe { filter_body::<S, 5, 2>(row, sums) }
}

/// One row of the filter at a time: its sums stay in registers while the row of gradients goes by.
#[inline(always)]
unsafe fn filter_body<S: Simd, const SIDE: usize, const STRIDE: usize>(
    row: GradientRow,
    sums: *mut f32,
) {
    // SAFETY: the contract of `add_depthwise_gradient`; lanes past the last channel are masked.
    unsafe {
        let mut channel = 0;
        while channel < row.channels {
            let lanes = if row.channels - channel < S::LANES {
                row.channels - channel
            } else {
                S::LANES
            };
            let at = GradientRow {
                input: row.input.add(channel),
                grad: row.grad.add(channel),
                ..row
            };
            for y in 0..SIDE {
                let sums = sums.add(y * SIDE * row.channels + channel);
                let at = GradientRow {
                    input: at.input.add(y * row.input_row),
                    ..at
                };
                if lanes == S::LANES {
                    taps::<S, SIDE, STRIDE, true>(at, lanes, sums);
                } else {
                    taps::<S, SIDE, STRIDE, false>(at, lanes, sums);
                }
            }
            channel += lanes;
        }
    }
}

#[inline(always)]
unsafe fn taps<S: Simd, const SIDE: usize, const STRIDE: usize, const WHOLE: bool>(
    row: GradientRow,
    lanes: usize,
    sums: *mut f32,
) {
    // SAFETY: the contract of `add_depthwise_gradient`.
    unsafe {
        let mut totals = [S::splat(0.0); SIDE];
        let mut x = 0;
        while x + 8 <= row.width {
            pixels::<S, SIDE, STRIDE, 8, WHOLE>(row, x, lanes, &mut totals);
            x += 8;
        }
        if x + 4 <= row.width {
            pixels::<S, SIDE, STRIDE, 4, WHOLE>(row, x, lanes, &mut totals);
            x += 4;
        }
        while x < row.width {
            pixels::<S, SIDE, STRIDE, 1, WHOLE>(row, x, lanes, &mut totals);
            x += 1;
        }
        for (tap, &total) in totals.iter().enumerate() {
            let sum = sums.add(tap * row.channels);
            if WHOLE {
                S::store(sum, S::add(S::load(sum), total));
            } else {
                S::store_part(sum, S::add(S::load_part(sum, lanes), total), lanes);
            }
        }
    }
}

#[inline(always)]
unsafe fn pixels<
    S: Simd,
    const SIDE: usize,
    const STRIDE: usize,
    const PIXELS: usize,
    const WHOLE: bool,
>(
    row: GradientRow,
    first: usize,
    lanes: usize,
    totals: &mut [S::V; SIDE],
) {
    // SAFETY: the contract of `add_depthwise_gradient`.
    unsafe {
        let load = |p: *const f32| {
            if WHOLE {
                S::load(p)
            } else {
                S::load_part(p, lanes)
            }
        };
        let mut grads = [S::splat(0.0); PIXELS];
        for (pixel, grad) in grads.iter_mut().enumerate() {
            *grad = load(row.grad.add((first + pixel) * row.channels));
        }
        let input = row.input.add(first * STRIDE * row.channels);
        for x in 0..(PIXELS - 1) * STRIDE + SIDE {
            let value = load(input.add(x * row.channels));
            for (tap, total) in totals.iter_mut().enumerate() {
                if x >= tap && (x - tap).is_multiple_of(STRIDE) && (x - tap) / STRIDE < PIXELS {
                    *total = S::fma(value, grads[(x - tap) / STRIDE], *total);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor, Var};

    fn flat(tensor: &Tensor) -> Vec<f32> {
        tensor
            .contiguous()
            .and_then(|t| t.flatten_all())
            .and_then(|t| t.to_vec1::<f32>())
            .expect("values")
    }

    fn random(shape: &[usize]) -> Tensor {
        Tensor::randn(0f32, 1.0, shape, &Device::Cpu).expect("random")
    }

    #[track_caller]
    fn same(got: &[f32], want: &[f32], what: &str) {
        assert_eq!(got.len(), want.len());
        let most = want.iter().fold(1f32, |most, x| most.max(x.abs()));
        for (got, want) in got.iter().zip(want) {
            assert!(
                (got - want).abs() <= 1e-5 * most,
                "{what}: {got} instead of {want}"
            );
        }
    }

    #[test]
    fn what_is_added_is_the_product_of_the_transposed() {
        for (count, rows, columns) in [(49, 24, 96), (7, 13, 33), (1, 1, 1), (200, 40, 16)] {
            let (left, right) = (random(&[count, rows]), random(&[count, columns]));
            let before = random(&[rows, columns]);
            let want = left
                .t()
                .and_then(|l| l.matmul(&right))
                .and_then(|p| p + &before)
                .expect("the product");
            let left = flat(&left);
            let mut right = flat(&right);
            right.resize(right.len() + SLACK, f32::NAN);
            for isa in Isa::available() {
                let mut out = flat(&before);
                let at = |values: &[f32], row| Rows {
                    start: values.as_ptr(),
                    row,
                };
                // SAFETY: the buffers have the shapes, the right one with what may be read after it.
                unsafe {
                    add_transposed_product(
                        isa,
                        (at(&left, rows), rows),
                        (at(&right, columns), columns),
                        count,
                        out.as_mut_ptr(),
                        columns,
                    );
                }
                same(&out, &flat(&want), &format!("{isa:?} {count}"));
            }
        }
    }

    #[test]
    fn a_filters_gradient_is_candles() {
        for (side, stride, width, channels) in [
            (3, 1, 30, 32),
            (3, 2, 29, 24),
            (5, 1, 21, 40),
            (5, 2, 33, 19),
            (3, 1, 7, 5),
        ] {
            let x = random(&[1, channels, width, width]);
            let w = Var::from_tensor(&random(&[channels, 1, side, side])).expect("a variable");
            let y = x.conv2d(&w, 0, stride, 1, channels).expect("forward");
            let grad = random(y.dims());
            let loss = (&y * &grad).and_then(|x| x.sum_all()).expect("loss");
            let grads = loss.backward().expect("gradients");
            let want = grads.get(&w).expect("the filter's");
            // [channels, 1, side, side] -> [taps, channels]
            let want = want.reshape((channels, side * side)).and_then(|w| w.t());
            let want = flat(&want.expect("transposed"));
            let last = |t: &Tensor| flat(&t.permute((0, 2, 3, 1)).expect("channels last"));
            let (input, grad) = (last(&x), last(&grad));
            let out = (width - side) / stride + 1;
            for isa in Isa::available() {
                let mut sums = vec![0f32; side * side * channels];
                for y in 0..out {
                    let row = GradientRow {
                        input: input[y * stride * width * channels..].as_ptr(),
                        input_row: width * channels,
                        grad: grad[y * out * channels..].as_ptr(),
                        width: out,
                        channels,
                    };
                    // SAFETY: every tap of the valid convolution is inside the image.
                    unsafe { add_depthwise_gradient(isa, (side, stride), row, sums.as_mut_ptr()) };
                }
                same(&sums, &want, &format!("{isa:?} {side} {stride}"));
            }
        }
    }

    #[test]
    fn the_gradient_passes_only_between_the_bounds() {
        let out = [0.0, 3.0, 6.0, 5.999, 1e-9, 0.0];
        for isa in Isa::available() {
            let (mut grad, mut sums) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [10.0, 20.0]);
            // SAFETY: the instruction set is there.
            unsafe { relu6_backward(isa, &out, &mut grad, &mut sums) };
            assert_eq!(grad, [0.0, 2.0, 0.0, 4.0, 5.0, 0.0]);
            assert_eq!(sums, [15.0, 26.0]);
            // SAFETY: as above.
            unsafe { add_columns(isa, &grad, &mut sums) };
            assert_eq!(sums, [20.0, 32.0]);
        }
    }
}
