//! Softmax attention for one head of one sequence, without padding and without a matrix of all scores.
//!
//! Queries go by in register-tile blocks: their scores against all keys, the softmax and the weighted sum
//! of the values stay in the first- and second-level cache. Keys are transposed and values copied once
//! per head into the panels that the matrix product reads.

use super::math;
use super::matmul::{Activation, Left, Panel, Right, Stored, multiply_panel};
use super::simd::{Isa, Simd, multiversion};

/// Where one head of one sequence lies: rows of a `[tokens, …]` buffer.
#[derive(Clone, Copy)]
pub struct Head {
    /// First query value of the first token.
    pub queries: *const f32,
    /// First key value of the first token.
    pub keys: *const f32,
    /// First value of the first token.
    pub values: *const f32,
    /// Distance between tokens in all three, in elements.
    pub row: usize,
    /// Tokens of the sequence.
    pub tokens: usize,
    /// Values of a head.
    pub dim: usize,
}

/// Elements of scratch memory that [`attend`] needs for sequences of up to `tokens` tokens.
pub fn scratch_len(isa: Isa, tokens: usize, dim: usize) -> usize {
    let width = 2 * isa.lanes();
    let padded = tokens.next_multiple_of(width);
    padded * dim + padded * dim.next_multiple_of(width) + padded * isa.tile_rows()
}

/// `out[t] = softmax(scale * q_t . K) V` for every token `t` of one head.
///
/// # Safety
/// `head` is readable, `out` is writable for `tokens` rows of `dim` values `out_row` apart, `scratch` for
/// [`scratch_len`] elements, and none of them overlap or are touched by others meanwhile.
pub unsafe fn attend(
    isa: Isa,
    head: Head,
    scale: f32,
    out: *mut f32,
    out_row: usize,
    scratch: *mut f32,
) {
    let width = 2 * isa.lanes();
    let padded = head.tokens.next_multiple_of(width);
    let value_panels = head.dim.div_ceil(width);
    // SAFETY: the caller's contract; the three parts of the scratch memory follow one another.
    unsafe {
        let keys = scratch;
        let values = keys.add(padded * head.dim);
        let scores = values.add(padded * value_panels * width);
        pack(isa, head, keys, values);
        let rows = isa.tile_rows();
        let mut first = 0;
        while first < head.tokens {
            let rows = rows.min(head.tokens - first);
            let left = Left::rows(head.queries.add(first * head.row), head.row);
            for panel in 0..padded / width {
                let columns = width.min(head.tokens - panel * width);
                let weights = keys.add(panel * width * head.dim).cast_const();
                let right = Right {
                    start: scores.add(panel * width),
                    row: padded,
                    residual: None,
                    activation: Activation::None,
                };
                multiply_panel(
                    isa,
                    left,
                    rows,
                    head.dim,
                    Panel {
                        weights,
                        bias: std::ptr::null(),
                        columns,
                        step: width,
                        stored: Stored::Full,
                    },
                    right,
                );
            }
            let out = out.add(first * out_row);
            for row in 0..rows {
                softmax(isa, scores.add(row * padded), head.tokens, scale);
            }
            let left = Left::rows(scores, padded);
            for panel in 0..value_panels {
                let columns = width.min(head.dim - panel * width);
                let weights = values.add(panel * width * padded).cast_const();
                let right = Right {
                    start: out.add(panel * width),
                    row: out_row,
                    residual: None,
                    activation: Activation::None,
                };
                multiply_panel(
                    isa,
                    left,
                    rows,
                    head.tokens,
                    Panel {
                        weights,
                        bias: std::ptr::null(),
                        columns,
                        step: width,
                        stored: Stored::Full,
                    },
                    right,
                );
            }
            first += rows;
        }
    }
}

multiversion! {
    /// Copies keys (transposed) and values into panels; the columns past the last token are zeros.
    unsafe fn pack(isa, head: Head, keys: *mut f32, values: *mut f32) = pack_body
}

#[inline(always)]
unsafe fn pack_body<S: Simd>(head: Head, keys: *mut f32, values: *mut f32) {
    let width = 2 * S::LANES;
    let padded = head.tokens.next_multiple_of(width);
    // SAFETY: the contract of `attend`.
    unsafe {
        // A vector of tokens at a time, so that stores are whole vectors. The columns past the last token
        // are read with the panel: they must at least be numbers, or arithmetic on NaN or denormals would
        // slow the loop down.
        let mut lanes = [0f32; 16];
        for first in (0..padded).step_by(S::LANES) {
            let count = head.tokens.saturating_sub(first).min(S::LANES);
            let from = head.keys.add(first.min(head.tokens - 1) * head.row);
            let to = keys.add(first / width * width * head.dim + first % width);
            lanes[count..].fill(0.0);
            for d in 0..head.dim {
                for (token, lane) in lanes[..count].iter_mut().enumerate() {
                    *lane = *from.add(token * head.row + d);
                }
                S::store(to.add(d * width), S::load(lanes.as_ptr()));
            }
        }
        for panel in 0..head.dim.div_ceil(width) {
            let columns = width.min(head.dim - panel * width);
            for token in 0..head.tokens {
                let from = head.values.add(token * head.row + panel * width);
                let to = values.add(panel * width * padded + token * width);
                if columns == width {
                    S::store(to, S::load(from));
                    S::store(to.add(S::LANES), S::load(from.add(S::LANES)));
                } else {
                    let first = columns.min(S::LANES);
                    S::store(to, S::load_part(from, first));
                    S::store(
                        to.add(S::LANES),
                        S::load_part(from.add(first), columns - first),
                    );
                }
            }
        }
    }
}

multiversion! {
    /// `x = softmax(scale * x)` in place.
    ///
    /// # Safety
    /// `x` is writable for `len >= 1` elements.
    pub(crate) unsafe fn softmax(isa, x: *mut f32, len: usize, scale: f32) = softmax_body
}

#[inline(always)]
pub(super) unsafe fn softmax_body<S: Simd>(x: *mut f32, len: usize, scale: f32) {
    // SAFETY: the contract of `softmax`.
    unsafe {
        let whole = len / S::LANES * S::LANES;
        let rest = len - whole;
        let mut largest = f32::NEG_INFINITY;
        if whole > 0 {
            let mut max = S::load(x);
            let mut at = S::LANES;
            while at < whole {
                max = S::max(max, S::load(x.add(at)));
                at += S::LANES;
            }
            largest = S::maximum(max);
        }
        for at in whole..len {
            largest = if *x.add(at) > largest {
                *x.add(at)
            } else {
                largest
            };
        }
        let scale = S::splat(scale);
        let largest = S::splat(largest);
        let mut sum = S::splat(0.0);
        let mut at = 0;
        while at < whole {
            let y = math::exp::<S>(S::mul(S::sub(S::load(x.add(at)), largest), scale));
            sum = S::add(sum, y);
            S::store(x.add(at), y);
            at += S::LANES;
        }
        let mut total = S::sum(sum);
        if rest > 0 {
            let y = math::exp::<S>(S::mul(
                S::sub(S::load_part(x.add(whole), rest), largest),
                scale,
            ));
            S::store_part(x.add(whole), y, rest);
            for at in whole..len {
                total += *x.add(at);
            }
        }
        let inverse = S::splat(1.0 / total);
        let mut at = 0;
        while at < whole {
            S::store(x.add(at), S::mul(S::load(x.add(at)), inverse));
            at += S::LANES;
        }
        if rest > 0 {
            S::store_part(
                x.add(whole),
                S::mul(S::load_part(x.add(whole), rest), inverse),
                rest,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{D, Device, Tensor};

    #[test]
    fn attention_is_candles_attention() {
        let device = Device::Cpu;
        for (tokens, dim) in [
            (1, 32),
            (2, 32),
            (15, 32),
            (32, 32),
            (33, 64),
            (100, 32),
            (257, 16),
            (40, 20),
        ] {
            let row = 3 * dim + 5;
            let x = Tensor::randn(0f32, 1.5, (tokens, row), &device).expect("random");
            let part = |at: usize| {
                x.narrow(1, at, dim)
                    .and_then(|t| t.contiguous())
                    .expect("part")
            };
            let (q, k, v) = (part(0), part(dim), part(2 * dim));
            let scale = 1.0 / (dim as f64).sqrt();
            let expected = q
                .matmul(&k.t().expect("t"))
                .and_then(|s| s * scale)
                .and_then(|s| candle_nn::ops::softmax(&s, D::Minus1))
                .and_then(|p| p.matmul(&v))
                .and_then(|o| o.flatten_all())
                .and_then(|o| o.to_vec1::<f32>())
                .expect("reference");
            let x = x
                .flatten_all()
                .and_then(|x| x.to_vec1::<f32>())
                .expect("values");
            for isa in Isa::available() {
                let mut scratch = vec![f32::NAN; scratch_len(isa, tokens, dim)];
                let mut out = vec![f32::NAN; tokens * dim];
                let head = Head {
                    queries: x.as_ptr(),
                    keys: x[dim..].as_ptr(),
                    values: x[2 * dim..].as_ptr(),
                    row,
                    tokens,
                    dim,
                };
                // SAFETY: the buffers have the sizes that `attend` asks for.
                unsafe {
                    attend(
                        isa,
                        head,
                        scale as f32,
                        out.as_mut_ptr(),
                        dim,
                        scratch.as_mut_ptr(),
                    )
                };
                for (got, want) in out.iter().zip(&expected) {
                    // Convex combinations of values of size one to six.
                    assert!(
                        (got - want).abs() < 5e-6,
                        "{isa:?} {tokens}x{dim}: {got} {want}"
                    );
                }
            }
        }
    }

    #[test]
    fn softmax_sums_to_one_on_extreme_inputs() {
        for isa in Isa::available() {
            for len in [1, 7, 8, 16, 17, 50] {
                for spread in [0.0, 1.0, 1e4, 1e30] {
                    let mut x: Vec<f32> = (0..len).map(|i| (i as f32 - 3.0) * spread).collect();
                    // SAFETY: `x` has `len` elements.
                    unsafe { softmax(isa, x.as_mut_ptr(), len, 1.0) };
                    let sum: f32 = x.iter().sum();
                    assert!(
                        (sum - 1.0).abs() < 1e-5 && x.iter().all(|p| (0.0..=1.000_001).contains(p)),
                        "{isa:?} {x:?}"
                    );
                }
            }
        }
    }
}
