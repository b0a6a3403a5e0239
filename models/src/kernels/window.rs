//! Windows over channels-last maps whose borders are cut off rather than padded: depthwise convolutions of any
//! size, stride and dilation, and pools. Vectors run along the channels.
//!
//! Inside the map, eight neighbouring outputs are summed in registers over the taps of the window; at the left
//! and right border one output at a time, over the taps that are inside.

use super::matmul::Activation;
use super::simd::{Isa, Simd, multiversion};
use std::ops::Range;

/// How a window lies over one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Values along the axis.
    pub length: usize,
    /// Taps of the window.
    pub taps: usize,
    /// Step between outputs.
    pub stride: usize,
    /// Distance between taps.
    pub dilation: usize,
    /// What would be padding before the first value.
    pub before: usize,
}

impl Axis {
    /// The taps of output `at` that are inside the map, and the place of the first of them.
    pub fn inside(&self, at: usize) -> (Range<usize>, usize) {
        let start = at * self.stride;
        let first = self.before.saturating_sub(start).div_ceil(self.dilation);
        let end = self.length + self.before;
        let last = if start >= end {
            0
        } else {
            (end - start).div_ceil(self.dilation).min(self.taps)
        };
        let first = first.min(last);
        let place = (start + first * self.dilation).saturating_sub(self.before);
        (first..last, place)
    }

    /// The outputs, of `count`, all of whose taps are inside.
    pub fn interior(&self, count: usize) -> Range<usize> {
        let extent = (self.taps - 1) * self.dilation + 1;
        let first = self.before.div_ceil(self.stride);
        let end = match (self.length + self.before).checked_sub(extent) {
            Some(room) => room / self.stride + 1,
            None => 0,
        };
        let first = first.min(count);
        first..end.clamp(first, count)
    }
}

/// A depthwise filter `[down, right, channels]` with its bias.
pub struct MapFilter {
    weights: Vec<f32>,
    bias: Vec<f32>,
    taps: [usize; 2],
    isa: Isa,
}

/// One row of outputs. Distances in elements.
#[derive(Clone, Copy)]
pub struct Line {
    /// The first value of the map.
    pub input: *const f32,
    /// Distance between its rows.
    pub row: usize,
    /// Distance between its pixels.
    pub pixel: usize,
    /// How the window lies from top to bottom.
    pub down: Axis,
    /// How the window lies from left to right.
    pub right: Axis,
    /// Which row of outputs.
    pub y: usize,
    /// The first output of the row.
    pub output: *mut f32,
    /// Distance between outputs.
    pub output_pixel: usize,
    /// Number of outputs.
    pub width: usize,
}

impl MapFilter {
    /// A filter from `[channels, down, right]` weights.
    ///
    /// # Panics
    /// When the lengths do not agree.
    pub fn new(weights: &[f32], bias: &[f32], taps: [usize; 2], isa: Isa) -> Self {
        let (channels, count) = (bias.len(), taps[0] * taps[1]);
        assert_eq!(
            weights.len(),
            channels * count,
            "weights must be [channels, down, right]"
        );
        let by_tap = (0..count * channels)
            .map(|i| weights[i % channels * count + i / channels])
            .collect();
        Self {
            weights: by_tap,
            bias: bias.to_vec(),
            taps,
            isa,
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        ((self.weights.len() + self.bias.len()) * size_of::<f32>()) as u64
    }

    /// One row of outputs for some of the channels.
    ///
    /// # Safety
    /// The map is readable where the line's axes say, the outputs writable and not touched by others meanwhile.
    ///
    /// # Panics
    /// When the channels or taps are not the filter's.
    pub unsafe fn line(&self, line: Line, channels: Range<usize>, activation: Activation) {
        let all = self.bias.len();
        assert!(
            channels.start <= channels.end && channels.end <= all,
            "channels {channels:?} of {all}"
        );
        assert_eq!([line.down.taps, line.right.taps], self.taps, "taps");
        if channels.is_empty() {
            return;
        }
        let filter = Filter {
            weights: self.weights[channels.start..].as_ptr(),
            bias: self.bias[channels.start..].as_ptr(),
            stride: all,
            count: channels.len(),
        };
        // SAFETY: the first channel is inside the pixel; the rest is the caller's contract.
        unsafe {
            let line = Line {
                input: line.input.add(channels.start),
                output: line.output.add(channels.start),
                ..line
            };
            match (line.right.taps, line.right.stride, line.right.dilation) {
                (3, 1, 1) => line_3_1(self.isa, filter, line, activation),
                (3, 2, 1) => line_3_2(self.isa, filter, line, activation),
                (5, 1, 1) => line_5_1(self.isa, filter, line, activation),
                _ => line_any(self.isa, filter, line, activation),
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
    count: usize,
}

multiversion! { unsafe fn line_3_1(isa, filter: Filter, line: Line, activation: Activation) = line_3_1_body }
multiversion! { unsafe fn line_3_2(isa, filter: Filter, line: Line, activation: Activation) = line_3_2_body }
multiversion! { unsafe fn line_5_1(isa, filter: Filter, line: Line, activation: Activation) = line_5_1_body }
multiversion! { unsafe fn line_any(isa, filter: Filter, line: Line, activation: Activation) = line_any_body }

#[inline(always)]
unsafe fn line_3_1_body<S: Simd>(filter: Filter, line: Line, activation: Activation) {
    // SAFETY: the caller's contract.
    unsafe { line_body::<S, 3, 1>(filter, line, activation) }
}

#[inline(always)]
unsafe fn line_3_2_body<S: Simd>(filter: Filter, line: Line, activation: Activation) {
    // SAFETY: the caller's contract.
    unsafe { line_body::<S, 3, 2>(filter, line, activation) }
}

#[inline(always)]
unsafe fn line_5_1_body<S: Simd>(filter: Filter, line: Line, activation: Activation) {
    // SAFETY: the caller's contract.
    unsafe { line_body::<S, 5, 1>(filter, line, activation) }
}

#[inline(always)]
unsafe fn line_any_body<S: Simd>(filter: Filter, line: Line, activation: Activation) {
    // SAFETY: the caller's contract.
    unsafe { line_body::<S, 0, 0>(filter, line, activation) }
}

/// `SIDE` and `STRIDE` are those along the row, or 0 for any.
#[inline(always)]
unsafe fn line_body<S: Simd, const SIDE: usize, const STRIDE: usize>(
    filter: Filter,
    line: Line,
    activation: Activation,
) {
    let inside = line.right.interior(line.width);
    // SAFETY: the contract of `MapFilter::line`.
    unsafe {
        let mut channel = 0;
        while channel < filter.count {
            let lanes = S::LANES.min(filter.count - channel);
            let part = Filter {
                weights: filter.weights.add(channel),
                bias: filter.bias.add(channel),
                ..filter
            };
            let line = Line {
                input: line.input.add(channel),
                output: line.output.add(channel),
                ..line
            };
            for x in 0..inside.start {
                border::<S>(part, line, x, lanes, activation);
            }
            let mut x = inside.start;
            if lanes == S::LANES {
                while x + 8 <= inside.end {
                    pixels::<S, SIDE, STRIDE, 8, true>(part, line, x, lanes, activation);
                    x += 8;
                }
                if x + 4 <= inside.end {
                    pixels::<S, SIDE, STRIDE, 4, true>(part, line, x, lanes, activation);
                    x += 4;
                }
                while x < inside.end {
                    pixels::<S, SIDE, STRIDE, 1, true>(part, line, x, lanes, activation);
                    x += 1;
                }
            } else {
                while x + 4 <= inside.end {
                    pixels::<S, SIDE, STRIDE, 4, false>(part, line, x, lanes, activation);
                    x += 4;
                }
                while x < inside.end {
                    pixels::<S, SIDE, STRIDE, 1, false>(part, line, x, lanes, activation);
                    x += 1;
                }
            }
            for x in inside.end..line.width {
                border::<S>(part, line, x, lanes, activation);
            }
            channel += lanes;
        }
    }
}

#[inline(always)]
unsafe fn read<S: Simd>(at: *const f32, lanes: usize, whole: bool) -> S::V {
    // SAFETY: the caller's contract.
    unsafe {
        if whole {
            S::load(at)
        } else {
            S::load_part(at, lanes)
        }
    }
}

#[inline(always)]
unsafe fn write<S: Simd>(
    at: *mut f32,
    sum: S::V,
    lanes: usize,
    whole: bool,
    activation: Activation,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let y = match activation {
            Activation::Relu6 => S::min(S::splat(6.0), S::max(S::splat(0.0), sum)),
            Activation::Relu => S::max(S::splat(0.0), sum),
            Activation::Gelu => super::math::gelu::<S>(sum),
            Activation::GeluTanh => super::math::gelu_tanh::<S>(sum),
            Activation::None => sum,
        };
        if whole {
            S::store(at, y);
        } else {
            S::store_part(at, y, lanes);
        }
    }
}

/// One output, over the taps that are inside the map.
#[inline(always)]
unsafe fn border<S: Simd>(
    filter: Filter,
    line: Line,
    x: usize,
    lanes: usize,
    activation: Activation,
) {
    let (down, top) = line.down.inside(line.y);
    let (right, left) = line.right.inside(x);
    // SAFETY: the taps are inside the map by `inside`.
    unsafe {
        let mut sum = S::load_part(filter.bias, lanes);
        for (i, tap_y) in down.enumerate() {
            let row = line
                .input
                .add((top + i * line.down.dilation) * line.row + left * line.pixel);
            for (j, tap_x) in right.clone().enumerate() {
                let tap = tap_y * line.right.taps + tap_x;
                let weight = S::load_part(filter.weights.add(tap * filter.stride), lanes);
                let value = S::load_part(row.add(j * line.right.dilation * line.pixel), lanes);
                sum = S::fma(value, weight, sum);
            }
        }
        write::<S>(
            line.output.add(x * line.output_pixel),
            sum,
            lanes,
            false,
            activation,
        );
    }
}

/// Neighbouring outputs whose taps along the row are all inside the map.
#[inline(always)]
unsafe fn pixels<
    S: Simd,
    const SIDE: usize,
    const STRIDE: usize,
    const PIXELS: usize,
    const WHOLE: bool,
>(
    filter: Filter,
    line: Line,
    first: usize,
    lanes: usize,
    activation: Activation,
) {
    let (down, top) = line.down.inside(line.y);
    let left = first * line.right.stride - line.right.before;
    // SAFETY: the taps are inside the map by `inside` and `interior`.
    unsafe {
        let mut sums = [read::<S>(filter.bias, lanes, WHOLE); PIXELS];
        for (i, tap_y) in down.enumerate() {
            let row = line
                .input
                .add((top + i * line.down.dilation) * line.row + left * line.pixel);
            let weights = filter.weights.add(tap_y * line.right.taps * filter.stride);
            if SIDE > 0 {
                // Every value once, into all the sums it belongs to.
                let mut taps = [S::splat(0.0); 5];
                for (x, tap) in taps.iter_mut().enumerate().take(SIDE) {
                    *tap = read::<S>(weights.add(x * filter.stride), lanes, WHOLE);
                }
                for x in 0..(PIXELS - 1) * STRIDE + SIDE {
                    let value = read::<S>(row.add(x * line.pixel), lanes, WHOLE);
                    for (tap, &weight) in taps.iter().enumerate().take(SIDE) {
                        if x >= tap
                            && (x - tap).is_multiple_of(STRIDE)
                            && (x - tap) / STRIDE < PIXELS
                        {
                            let sum = &mut sums[(x - tap) / STRIDE];
                            *sum = S::fma(value, weight, *sum);
                        }
                    }
                }
            } else {
                let step = line.right.stride * line.pixel;
                for tap in 0..line.right.taps {
                    let weight = read::<S>(weights.add(tap * filter.stride), lanes, WHOLE);
                    let at = row.add(tap * line.right.dilation * line.pixel);
                    for (pixel, sum) in sums.iter_mut().enumerate() {
                        let value = read::<S>(at.add(pixel * step), lanes, WHOLE);
                        *sum = S::fma(value, weight, *sum);
                    }
                }
            }
        }
        for (pixel, &sum) in sums.iter().enumerate() {
            let out = line.output.add((first + pixel) * line.output_pixel);
            write::<S>(out, sum, lanes, WHOLE, activation);
        }
    }
}

/// What a pool makes of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The largest.
    Max,
    /// The sum times a factor that each output's number of taps decides.
    Mean {
        /// Whether taps outside the map count.
        all: bool,
    },
}

/// One row of a pool's outputs, all of `channels`.
///
/// # Safety
/// As [`MapFilter::line`].
pub unsafe fn pool_line(isa: Isa, pooling: Pooling, line: Line, channels: usize) {
    // SAFETY: the caller's contract.
    unsafe { pool(isa, pooling, line, channels) }
}

multiversion! { unsafe fn pool(isa, pooling: Pooling, line: Line, channels: usize) = pool_body }

#[inline(always)]
unsafe fn pool_body<S: Simd>(pooling: Pooling, line: Line, channels: usize) {
    let (down, top) = line.down.inside(line.y);
    let rows = down.len();
    for x in 0..line.width {
        let (right, left) = line.right.inside(x);
        let columns = right.len();
        let taps = match pooling {
            Pooling::Mean { all: true } => line.down.taps * line.right.taps,
            _ => rows * columns,
        };
        let mut channel = 0;
        while channel < channels {
            let lanes = S::LANES.min(channels - channel);
            let whole = lanes == S::LANES;
            // SAFETY: the taps are inside the map by `inside`.
            unsafe {
                let start = line.input.add(top * line.row + left * line.pixel + channel);
                // Not closures: they might stay outside of the entry point that enables the instructions.
                let (step_y, step_x) = (
                    line.down.dilation * line.row,
                    line.right.dilation * line.pixel,
                );
                let out = line.output.add(x * line.output_pixel + channel);
                let result = match pooling {
                    Pooling::Max => {
                        let mut best = S::splat(f32::NEG_INFINITY);
                        for i in 0..rows {
                            for j in 0..columns {
                                let at = start.add(i * step_y + j * step_x);
                                best = S::max(best, read::<S>(at, lanes, whole));
                            }
                        }
                        best
                    }
                    Pooling::Mean { .. } => {
                        let mut sum = S::splat(0.0);
                        for i in 0..rows {
                            for j in 0..columns {
                                let at = start.add(i * step_y + j * step_x);
                                sum = S::add(sum, read::<S>(at, lanes, whole));
                            }
                        }
                        S::mul(sum, S::splat(1.0 / taps as f32))
                    }
                };
                write::<S>(out, result, lanes, whole, Activation::None);
            }
            channel += lanes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn axis(length: usize, taps: usize, stride: usize, dilation: usize, before: usize) -> Axis {
        Axis {
            length,
            taps,
            stride,
            dilation,
            before,
        }
    }

    proptest! {
        /// Against the definition, for every instruction set: sums in double precision over the taps inside.
        #[test]
        fn windows_are_their_definitions(
            height in 1usize..9, width in 1usize..23, channels in 1usize..37,
            taps in (1usize..6, prop_oneof![Just(1usize), Just(3), Just(5), Just(7)]),
            stride in (1usize..3, 1usize..3), dilation in (1usize..3, 1usize..3),
            before in (0usize..3, 0usize..3), after in (0usize..3, 0usize..3),
        ) {
            let outputs = |length: usize, taps: usize, stride: usize, dilation: usize, pads: usize| {
                (length + pads).checked_sub((taps - 1) * dilation + 1).map(|room| room / stride + 1)
            };
            let down = axis(height, taps.0, stride.0, dilation.0, before.0);
            let right = axis(width, taps.1, stride.1, dilation.1, before.1);
            let (Some(rows), Some(columns)) = (
                outputs(height, taps.0, stride.0, dilation.0, before.0 + after.0),
                outputs(width, taps.1, stride.1, dilation.1, before.1 + after.1),
            ) else {
                return Ok(());
            };
            let noise = |i: usize| ((i * 7919 % 1000) as f32 - 500.0) / 500.0;
            let input: Vec<f32> = (0..height * width * channels).map(noise).collect();
            let count = taps.0 * taps.1;
            let weights: Vec<f32> = (0..channels * count).map(|i| noise(i + 13)).collect();
            let bias: Vec<f32> = (0..channels).map(|i| noise(i + 5)).collect();
            for isa in Isa::available() {
                let filter = MapFilter::new(&weights, &bias, [taps.0, taps.1], isa);
                for y in 0..rows {
                    let mut sums = vec![f32::NAN; columns * channels];
                    let mut largest = vec![f32::NAN; columns * channels];
                    let line = |out: &mut Vec<f32>| Line {
                        input: input.as_ptr(), row: width * channels, pixel: channels,
                        down, right, y, output: out.as_mut_ptr(), output_pixel: channels, width: columns,
                    };
                    // SAFETY: the axes are those of the map, and the rows of results are as long as said.
                    unsafe {
                        filter.line(line(&mut sums), 0..channels, Activation::None);
                        pool_line(isa, Pooling::Max, line(&mut largest), channels);
                    }
                    for x in 0..columns {
                        for channel in 0..channels {
                            let mut sum = f64::from(bias[channel]);
                            let mut best = f32::NEG_INFINITY;
                            for i in 0..taps.0 {
                                for j in 0..taps.1 {
                                    let place = |at: usize, stride: usize, tap: usize, dilation: usize, before: usize| {
                                        (at * stride + tap * dilation).checked_sub(before)
                                    };
                                    let (Some(v), Some(u)) = (
                                        place(y, stride.0, i, dilation.0, before.0).filter(|&v| v < height),
                                        place(x, stride.1, j, dilation.1, before.1).filter(|&u| u < width),
                                    ) else { continue };
                                    let value = input[(v * width + u) * channels + channel];
                                    sum += f64::from(value) * f64::from(weights[channel * count + i * taps.1 + j]);
                                    best = best.max(value);
                                }
                            }
                            let at = x * channels + channel;
                            prop_assert!((f64::from(sums[at]) - sum).abs() < 1e-4, "{isa:?} {y} {x} {channel}: {} {sum}", sums[at]);
                            prop_assert_eq!(largest[at], best);
                        }
                    }
                }
            }
        }
    }
}
