//! Attention of one token to those before it, whose keys and values were kept.

use super::attention::softmax_body;
use super::simd::{Simd, multiversion};

/// Keys and values of one head, the oldest first.
#[derive(Clone, Copy)]
pub struct KeptHead {
    /// The oldest key.
    pub keys: *const f32,
    /// The oldest value.
    pub values: *const f32,
    /// Distance between those of one token and of the next, in elements.
    pub row: usize,
    /// Tokens, at least one.
    pub tokens: usize,
    /// Width of the head.
    pub dim: usize,
}

multiversion! {
    /// `out = softmax(scale * query K) V`; `scores` is room for one number a token.
    ///
    /// # Safety
    /// `isa` is one this machine has; query, keys and values are readable and `out` writable for `dim` elements each,
    /// `scores` for one a token; nothing overlaps what is written, and nobody else touches that.
    pub unsafe fn attend_kept(isa, query: *const f32, head: KeptHead, scale: f32, scores: *mut f32, out: *mut f32) = attend_body
}

/// Keys that are read side by side, and vectors of values: their sums do not wait for each other.
const SIDE: usize = 4;

#[inline(always)]
unsafe fn attend_body<S: Simd>(
    query: *const f32,
    head: KeptHead,
    scale: f32,
    scores: *mut f32,
    out: *mut f32,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut token = 0;
        while token + SIDE <= head.tokens {
            dots::<S, SIDE>(query, head, token, scores);
            token += SIDE;
        }
        while token < head.tokens {
            dots::<S, 1>(query, head, token, scores);
            token += 1;
        }
        softmax_body::<S>(scores, head.tokens, scale);
        let mut column = 0;
        while column + SIDE * S::LANES <= head.dim {
            let mut sums = [S::splat(0.0); SIDE];
            for token in 0..head.tokens {
                let share = S::splat(*scores.add(token));
                let value = head.values.add(token * head.row + column);
                for (at, sum) in sums.iter_mut().enumerate() {
                    *sum = S::fma(share, S::load(value.add(at * S::LANES)), *sum);
                }
            }
            for (at, sum) in sums.into_iter().enumerate() {
                S::store(out.add(column + at * S::LANES), sum);
            }
            column += SIDE * S::LANES;
        }
        while column < head.dim {
            let lanes = (head.dim - column).min(S::LANES);
            let mut sum = S::splat(0.0);
            for token in 0..head.tokens {
                let value = head.values.add(token * head.row + column);
                let value = S::load_part(value, lanes);
                sum = S::fma(S::splat(*scores.add(token)), value, sum);
            }
            S::store_part(out.add(column), sum, lanes);
            column += lanes;
        }
    }
}

/// The query's products with some keys from `token` on.
#[inline(always)]
unsafe fn dots<S: Simd, const COUNT: usize>(
    query: *const f32,
    head: KeptHead,
    token: usize,
    scores: *mut f32,
) {
    let whole = head.dim / S::LANES * S::LANES;
    // SAFETY: the contract of `attend_kept`; `token + COUNT` is at most the number of tokens.
    unsafe {
        let mut sums = [S::splat(0.0); COUNT];
        let key = |at: usize| head.keys.add((token + at) * head.row);
        let mut column = 0;
        while column < whole {
            let q = S::load(query.add(column));
            for (at, sum) in sums.iter_mut().enumerate() {
                *sum = S::fma(q, S::load(key(at).add(column)), *sum);
            }
            column += S::LANES;
        }
        let rest = head.dim - whole;
        if rest > 0 {
            let q = S::load_part(query.add(whole), rest);
            for (at, sum) in sums.iter_mut().enumerate() {
                *sum = S::fma(q, S::load_part(key(at).add(whole), rest), *sum);
            }
        }
        for (at, sum) in sums.into_iter().enumerate() {
            *scores.add(token + at) = S::sum(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Isa;
    use candle_core::{D, Device, Tensor};

    #[test]
    fn attention_to_what_is_kept_is_candles() {
        for (tokens, dim, heads) in [(1, 8, 1), (5, 64, 2), (9, 12, 3), (33, 40, 1), (4, 3, 2)] {
            let random = |rows: usize, columns: usize| {
                Tensor::randn(0f32, 1.0, (rows, columns), &Device::Cpu).expect("random")
            };
            let query = random(1, dim);
            let (keys, values) = (random(tokens, dim * heads), random(tokens, dim * heads));
            let scale = 1.0 / (dim as f64).sqrt();
            let last = (heads - 1) * dim;
            let part = |x: &Tensor| x.narrow(1, last, dim).and_then(|x| x.contiguous());
            let want = query
                .matmul(&part(&keys).and_then(|keys| keys.t()).expect("keys"))
                .and_then(|scores| candle_nn::ops::softmax(&(scores * scale)?, D::Minus1))
                .and_then(|shares| shares.matmul(&part(&values)?))
                .and_then(|out| out.flatten_all()?.to_vec1::<f32>())
                .expect("candle's");
            let flat = |x: &Tensor| {
                let flat = x.flatten_all().and_then(|x| x.to_vec1::<f32>());
                flat.expect("values")
            };
            let (query, keys, values) = (flat(&query), flat(&keys), flat(&values));
            for isa in Isa::available() {
                let (mut scores, mut out) = (vec![f32::NAN; tokens], vec![f32::NAN; dim]);
                let head = KeptHead {
                    keys: keys[last..].as_ptr(),
                    values: values[last..].as_ptr(),
                    row: dim * heads,
                    tokens,
                    dim,
                };
                let (to, room) = (out.as_mut_ptr(), scores.as_mut_ptr());
                // SAFETY: the buffers have the shapes.
                unsafe { attend_kept(isa, query.as_ptr(), head, scale as f32, room, to) };
                for (got, want) in out.iter().zip(&want) {
                    assert!(
                        (got - want).abs() < 1e-5,
                        "{isa:?} {tokens} {dim}: {got} {want}"
                    );
                }
            }
        }
    }
}
