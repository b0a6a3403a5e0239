//! Depthwise convolution over channels-last images: vectors run along the channels.
//!
//! A block of output pixels of one row is kept in registers; each input value is loaded once per filter
//! row and used by all the outputs it belongs to.

use super::matmul::Activation;
use super::simd::{Isa, Simd, multiversion};

/// A depthwise filter: `[taps, channels]` with a bias.
pub struct DepthwiseFilter {
    weights: Vec<f32>,
    bias: Vec<f32>,
    channels: usize,
    /// Side of the square filter: 3 or 5.
    side: usize,
    /// 1 or 2.
    stride: usize,
    isa: Isa,
}

/// The filter's sizes are not ones that a kernel exists for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no depthwise kernel for side {side} and stride {stride}")]
pub struct NoKernel {
    side: usize,
    stride: usize,
}

/// Where one row of outputs comes from and goes to. Distances in elements.
#[derive(Clone, Copy)]
pub struct Row {
    /// Input under the first tap of the first output (the image is padded already).
    pub input: *const f32,
    /// Distance between input rows.
    pub input_row: usize,
    /// Distance between pixels, of input and output.
    pub pixel: usize,
    /// First output.
    pub output: *mut f32,
    /// Number of outputs.
    pub width: usize,
}

impl DepthwiseFilter {
    /// A filter from `[channels, side, side]` weights.
    ///
    /// # Errors
    /// When there is no kernel for the side or stride.
    ///
    /// # Panics
    /// When the lengths do not agree.
    pub fn new(
        weights: &[f32],
        bias: &[f32],
        side: usize,
        stride: usize,
        isa: Isa,
    ) -> Result<Self, NoKernel> {
        if !matches!((side, stride), (3 | 5, 1 | 2)) {
            return Err(NoKernel { side, stride });
        }
        let channels = bias.len();
        let taps = side * side;
        assert_eq!(
            weights.len(),
            channels * taps,
            "weights must be [channels, side, side]"
        );
        let by_tap = (0..taps * channels)
            .map(|i| weights[i % channels * taps + i / channels])
            .collect();
        Ok(Self {
            weights: by_tap,
            bias: bias.to_vec(),
            channels,
            side,
            stride,
            isa,
        })
    }

    /// Side of the filter.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Step between outputs.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        ((self.weights.len() + self.bias.len()) * size_of::<f32>()) as u64
    }

    /// One row of outputs for the channels `from..to`.
    ///
    /// # Safety
    /// All inputs under the filter are readable, the outputs writable and not touched by others meanwhile.
    ///
    /// # Panics
    /// When the channels are outside the filter.
    pub unsafe fn row(&self, row: Row, from: usize, to: usize, activation: Activation) {
        assert!(
            from <= to && to <= self.channels,
            "channels {from}..{to} of {}",
            self.channels
        );
        let filter = Filter {
            weights: self.weights[from..].as_ptr(),
            bias: self.bias[from..].as_ptr(),
            stride: self.channels,
            count: to - from,
        };
        // SAFETY: `from` is inside the pixel; the rest is the caller's contract.
        unsafe {
            let row = Row {
                input: row.input.add(from),
                output: row.output.add(from),
                ..row
            };
            match (self.side, self.stride) {
                (3, 1) => row_3_1(self.isa, filter, row, activation),
                (3, _) => row_3_2(self.isa, filter, row, activation),
                (_, 1) => row_5_1(self.isa, filter, row, activation),
                (_, _) => row_5_2(self.isa, filter, row, activation),
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Filter {
    weights: *const f32,
    bias: *const f32,
    /// Distance between taps.
    stride: usize,
    /// Channels to compute.
    count: usize,
}

multiversion! { unsafe fn row_3_1(isa, filter: Filter, row: Row, activation: Activation) = row_3_1_body }
multiversion! { unsafe fn row_3_2(isa, filter: Filter, row: Row, activation: Activation) = row_3_2_body }
multiversion! { unsafe fn row_5_1(isa, filter: Filter, row: Row, activation: Activation) = row_5_1_body }
multiversion! { unsafe fn row_5_2(isa, filter: Filter, row: Row, activation: Activation) = row_5_2_body }

#[inline(always)]
unsafe fn row_3_1_body<S: Simd>(filter: Filter, row: Row, activation: Activation) {
    // SAFETY: the caller's contract.
    unsafe { row_body::<S, 3, 1>(filter, row, activation) }
}

#[inline(always)]
unsafe fn row_3_2_body<S: Simd>(filter: Filter, row: Row, activation: Activation) {
    // SAFETY: the caller's contract.
    unsafe { row_body::<S, 3, 2>(filter, row, activation) }
}

#[inline(always)]
unsafe fn row_5_1_body<S: Simd>(filter: Filter, row: Row, activation: Activation) {
    // SAFETY: the caller's contract.
    unsafe { row_body::<S, 5, 1>(filter, row, activation) }
}

#[inline(always)]
unsafe fn row_5_2_body<S: Simd>(filter: Filter, row: Row, activation: Activation) {
    // SAFETY: the caller's contract.
    unsafe { row_body::<S, 5, 2>(filter, row, activation) }
}

#[inline(always)]
unsafe fn row_body<S: Simd, const SIDE: usize, const STRIDE: usize>(
    filter: Filter,
    row: Row,
    activation: Activation,
) {
    let whole = filter.count / S::LANES * S::LANES;
    // SAFETY: the contract of `DepthwiseFilter::row`; lanes past the last channel are masked.
    unsafe {
        let mut channel = 0;
        while channel < filter.count {
            let lanes = if channel < whole {
                S::LANES
            } else {
                filter.count - whole
            };
            let filter = Filter {
                weights: filter.weights.add(channel),
                bias: filter.bias.add(channel),
                ..filter
            };
            let row = Row {
                input: row.input.add(channel),
                output: row.output.add(channel),
                ..row
            };
            let mut x = 0;
            if lanes == S::LANES {
                while x + 8 <= row.width {
                    pixels::<S, SIDE, STRIDE, 8, true>(filter, row, x, lanes, activation);
                    x += 8;
                }
                if x + 4 <= row.width {
                    pixels::<S, SIDE, STRIDE, 4, true>(filter, row, x, lanes, activation);
                    x += 4;
                }
                while x < row.width {
                    pixels::<S, SIDE, STRIDE, 1, true>(filter, row, x, lanes, activation);
                    x += 1;
                }
            } else {
                while x < row.width {
                    pixels::<S, SIDE, STRIDE, 1, false>(filter, row, x, lanes, activation);
                    x += 1;
                }
            }
            channel += lanes;
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
    filter: Filter,
    row: Row,
    first: usize,
    lanes: usize,
    activation: Activation,
) {
    // SAFETY: the contract of `DepthwiseFilter::row`.
    unsafe {
        let load = |p: *const f32| {
            if WHOLE {
                S::load(p)
            } else {
                S::load_part(p, lanes)
            }
        };
        let mut sums = [load(filter.bias); PIXELS];
        for y in 0..SIDE {
            let mut weights = [S::splat(0.0); SIDE];
            for (x, w) in weights.iter_mut().enumerate() {
                *w = load(filter.weights.add((y * SIDE + x) * filter.stride));
            }
            let input = row
                .input
                .add(y * row.input_row + first * STRIDE * row.pixel);
            for x in 0..(PIXELS - 1) * STRIDE + SIDE {
                let value = load(input.add(x * row.pixel));
                for (tap, &weight) in weights.iter().enumerate() {
                    if x >= tap && (x - tap).is_multiple_of(STRIDE) && (x - tap) / STRIDE < PIXELS {
                        let sum = &mut sums[(x - tap) / STRIDE];
                        *sum = S::fma(value, weight, *sum);
                    }
                }
            }
        }
        for (pixel, &sum) in sums.iter().enumerate() {
            let y = match activation {
                Activation::Relu6 => S::min(S::splat(6.0), S::max(S::splat(0.0), sum)),
                Activation::Relu => S::max(S::splat(0.0), sum),
                Activation::Gelu => super::math::gelu::<S>(sum),
                Activation::GeluTanh => super::math::gelu_tanh::<S>(sum),
                Activation::None => sum,
            };
            let out = row.output.add((first + pixel) * row.pixel);
            if WHOLE {
                S::store(out, y)
            } else {
                S::store_part(out, y, lanes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    #[test]
    fn depthwise_is_candles_grouped_convolution() {
        for (side, stride, width, channels) in [
            (3, 1, 30, 32),
            (3, 2, 29, 24),
            (5, 1, 21, 40),
            (5, 2, 33, 19),
            (3, 1, 7, 5),
        ] {
            let device = Device::Cpu;
            let x = Tensor::randn(0f32, 1.0, (1, channels, width, width), &device).expect("random");
            let w = Tensor::randn(0f32, 1.0, (channels, 1, side, side), &device).expect("random");
            let values = |t: &Tensor| {
                t.flatten_all()
                    .and_then(|t| t.to_vec1::<f32>())
                    .expect("values")
            };
            let expected = x
                .conv2d(&w, 0, stride, 1, channels)
                .and_then(|y| y.permute((0, 2, 3, 1)))
                .expect("reference");
            let out_side = (width - side) / stride + 1;
            let expected = values(&expected.relu().expect("relu"));
            let input = values(&x.permute((0, 2, 3, 1)).expect("permute"));
            for isa in Isa::available() {
                let filter =
                    DepthwiseFilter::new(&values(&w), &vec![0.0; channels], side, stride, isa)
                        .expect("filter");
                let mut out = vec![f32::NAN; out_side * out_side * channels];
                for y in 0..out_side {
                    let row = Row {
                        input: input[y * stride * width * channels..].as_ptr(),
                        input_row: width * channels,
                        pixel: channels,
                        output: out[y * out_side * channels..].as_mut_ptr(),
                        width: out_side,
                    };
                    // SAFETY: every tap of the valid convolution is inside the image.
                    unsafe { filter.row(row, 0, channels, Activation::Relu) };
                }
                for (got, want) in out.iter().zip(&expected) {
                    assert!(
                        (got - want).abs() < 1e-4,
                        "{isa:?} {side} {stride}: {got} {want}"
                    );
                }
            }
        }
    }
}
