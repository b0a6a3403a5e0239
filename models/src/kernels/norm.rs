//! Normalisation of rows, in place.

use super::simd::{Simd, multiversion};

multiversion! {
    /// `x = (x - mean) / sqrt(variance + epsilon) * gamma + beta` for each of `rows` rows of `width`.
    ///
    /// Mean and variance in two passes over the row, which is in the first-level cache by then.
    ///
    /// # Safety
    /// `x` is writable for `rows * width` elements, `gamma` and `beta` readable for `width`.
    pub unsafe fn layer_norm(isa, x: *mut f32, rows: usize, width: usize, gamma: *const f32, beta: *const f32, epsilon: f32) = layer_norm_body
}

#[inline(always)]
unsafe fn layer_norm_body<S: Simd>(
    x: *mut f32,
    rows: usize,
    width: usize,
    gamma: *const f32,
    beta: *const f32,
    epsilon: f32,
) {
    let whole = width / S::LANES * S::LANES;
    let rest = width - whole;
    for row in 0..rows {
        // SAFETY: the function's contract.
        unsafe {
            let x = x.add(row * width);
            let mut sum = S::splat(0.0);
            let mut at = 0;
            while at < whole {
                sum = S::add(sum, S::load(x.add(at)));
                at += S::LANES;
            }
            let mut total = S::sum(sum);
            for at in whole..width {
                total += *x.add(at);
            }
            let mean = total / width as f32;
            let means = S::splat(mean);
            let mut squares = S::splat(0.0);
            let mut at = 0;
            while at < whole {
                let d = S::sub(S::load(x.add(at)), means);
                squares = S::fma(d, d, squares);
                at += S::LANES;
            }
            let mut total = S::sum(squares);
            for at in whole..width {
                total += (*x.add(at) - mean) * (*x.add(at) - mean);
            }
            let inverse = S::splat(1.0 / (total / width as f32 + epsilon).sqrt());
            let mut at = 0;
            while at < whole {
                let d = S::mul(S::sub(S::load(x.add(at)), means), inverse);
                S::store(
                    x.add(at),
                    S::fma(d, S::load(gamma.add(at)), S::load(beta.add(at))),
                );
                at += S::LANES;
            }
            if rest > 0 {
                let d = S::mul(S::sub(S::load_part(x.add(whole), rest), means), inverse);
                let y = S::fma(
                    d,
                    S::load_part(gamma.add(whole), rest),
                    S::load_part(beta.add(whole), rest),
                );
                S::store_part(x.add(whole), y, rest);
            }
        }
    }
}

multiversion! {
    /// `x = x / sqrt(mean of x^2 + epsilon) * gamma` for each of `rows` rows of `width`, `distance` apart (Zhang and Sennrich
    /// 2019, arXiv:1910.07467).
    ///
    /// # Safety
    /// The rows of `x` are writable, `gamma` is readable for `width`.
    pub unsafe fn rms_norm(isa, x: *mut f32, rows: usize, width: usize, distance: usize, gamma: *const f32, epsilon: f32) = rms_norm_body
}

#[inline(always)]
unsafe fn rms_norm_body<S: Simd>(
    x: *mut f32,
    rows: usize,
    width: usize,
    distance: usize,
    gamma: *const f32,
    epsilon: f32,
) {
    for row in 0..rows {
        // SAFETY: the function's contract; no more lanes are touched than the row has columns left.
        unsafe {
            let x = x.add(row * distance);
            let lanes = |at: usize| (width - at).min(S::LANES);
            let mut squares = S::splat(0.0);
            for at in (0..width).step_by(S::LANES) {
                let value = S::load_part(x.add(at), lanes(at));
                squares = S::fma(value, value, squares);
            }
            let inverse = 1.0 / (S::sum(squares) / width as f32 + epsilon).sqrt();
            for at in (0..width).step_by(S::LANES) {
                let value = S::mul(S::load_part(x.add(at), lanes(at)), S::splat(inverse));
                let value = S::mul(value, S::load_part(gamma.add(at), lanes(at)));
                S::store_part(x.add(at), value, lanes(at));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Isa;
    use candle_core::{Device, Tensor};

    #[test]
    fn rms_norm_is_candles_rms_norm() {
        for (rows, width, distance) in [(1, 384, 384), (5, 33, 40), (3, 7, 7)] {
            let x = Tensor::randn(1f32, 2.0, (rows, width), &Device::Cpu).expect("random");
            let gamma = Tensor::randn(1f32, 0.2, width, &Device::Cpu).expect("random");
            let want = candle_nn::ops::rms_norm_slow(&x, &gamma, 1e-5)
                .and_then(|want| want.to_vec2::<f32>())
                .expect("candle's");
            let rows_of = x.to_vec2::<f32>().expect("values");
            let gamma = gamma.to_vec1::<f32>().expect("values");
            for isa in Isa::available() {
                let mut got = vec![7.0; rows * distance];
                for (to, from) in got.chunks_exact_mut(distance).zip(&rows_of) {
                    to[..width].copy_from_slice(from);
                }
                let start = got.as_mut_ptr();
                // SAFETY: as many rows, so far apart, and a number for each column.
                unsafe { rms_norm(isa, start, rows, width, distance, gamma.as_ptr(), 1e-5) };
                for (got, want) in got.chunks_exact(distance).zip(&want) {
                    let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
                    assert!(got.iter().zip(want).all(near), "{isa:?} {got:?} {want:?}");
                    assert!(got[width..].iter().all(|&beyond| beyond == 7.0), "{isa:?}");
                }
            }
        }
    }

    #[test]
    fn layer_norm_is_candles_layer_norm() {
        for (rows, width) in [(1, 384), (5, 33), (3, 7)] {
            let x = Tensor::randn(3f32, 2.0, (rows, width), &Device::Cpu).expect("random");
            let gamma = Tensor::randn(1f32, 0.2, width, &Device::Cpu).expect("random");
            let beta = Tensor::randn(0f32, 0.2, width, &Device::Cpu).expect("random");
            let values = |t: &Tensor| {
                t.flatten_all()
                    .and_then(|t| t.to_vec1::<f32>())
                    .expect("values")
            };
            let expected = values(
                &candle_nn::ops::layer_norm_slow(&x, &gamma, &beta, 1e-12).expect("reference"),
            );
            for isa in Isa::available() {
                let mut got = values(&x);
                let (gamma, beta) = (values(&gamma), values(&beta));
                // SAFETY: the buffers have the stated shapes.
                unsafe {
                    layer_norm(
                        isa,
                        got.as_mut_ptr(),
                        rows,
                        width,
                        gamma.as_ptr(),
                        beta.as_ptr(),
                        1e-12,
                    )
                };
                for (got, want) in got.iter().zip(&expected) {
                    assert!((got - want).abs() < 1e-5, "{isa:?} {got} {want}");
                }
            }
        }
    }
}
