//! Elementary functions on vectors: `exp`, the hyperbolic tangent, and the Gaussian error linear unit.

use super::simd::Simd;

/// `e^x`, relative error below 3e-7 for x in [-87, 88]; smaller inputs give (nearly) zero.
///
/// Range reduction by powers of two with a two-part logarithm, then a polynomial of degree six
/// (Cephes `expf`, Moshier).
///
/// # Safety
/// See [`Simd`].
#[inline(always)]
pub(crate) unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller's contract.
    unsafe {
        let x = S::min(S::splat(88.0), S::max(S::splat(-87.0), x));
        let n = S::round(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
        let r = S::fma(n, S::splat(-0.693_359_4), x);
        let r = S::fma(n, S::splat(2.121_944_4e-4), r);
        let mut p = S::splat(1.987_569_1e-4);
        for c in [
            1.398_199_9e-3,
            8.333_452e-3,
            4.166_579_6e-2,
            1.666_666_6e-1,
            5.0e-1,
        ] {
            p = S::fma(p, r, S::splat(c));
        }
        let y = S::add(S::fma(p, S::mul(r, r), r), S::splat(1.0));
        S::mul(y, S::pow2(n))
    }
}

/// `x/2 (1 + erf(x/sqrt 2))`, the exact form of GELU; absolute error below 5e-7 (|x| + 1).
///
/// # Safety
/// See [`Simd`].
#[inline(always)]
pub(crate) unsafe fn gelu<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller's contract.
    unsafe {
        let half = S::mul(x, S::splat(0.5));
        S::fma(half, erf_of_root::<S>(x), half)
    }
}

/// The derivative of [`gelu`]: `(1 + erf(x/sqrt 2))/2 + x exp(-x^2/2)/sqrt(2 pi)`.
///
/// # Safety
/// See [`Simd`].
#[inline(always)]
pub(crate) unsafe fn gelu_slope<S: Simd>(x: S::V) -> S::V {
    const DENSITY: f32 = 0.398_942_3;
    // SAFETY: the caller's contract.
    unsafe {
        let half = S::splat(0.5);
        let below = S::fma(half, erf_of_root::<S>(x), half);
        let density = exp::<S>(S::mul(S::mul(x, x), S::splat(-0.5)));
        S::fma(S::mul(x, S::splat(DENSITY)), density, below)
    }
}

/// `erf(x / sqrt 2)`, a rational minimax approximation, odd over even in x, clamped where it is one to half
/// a unit in the last place (the coefficients that XLA and Eigen use for `f32`).
///
/// # Safety
/// See [`Simd`].
#[inline(always)]
unsafe fn erf_of_root<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller's contract.
    unsafe {
        let z = S::mul(x, S::splat(std::f32::consts::FRAC_1_SQRT_2));
        let z = S::min(S::max(z, S::splat(-3.743_921_2)), S::splat(3.743_921_2));
        let z2 = S::mul(z, z);
        let mut p = S::splat(2.290_506_6e-4);
        for c in [
            3.408_291e-3,
            5.095_569_5e-2,
            1.852_083_2e-1,
            std::f32::consts::FRAC_2_SQRT_PI,
        ] {
            p = S::fma(p, z2, S::splat(c));
        }
        let mut q = S::splat(-1.179_160_3e-7);
        for c in [
            2.354_796_6e-5,
            1.017_962_5e-3,
            1.407_047e-2,
            1.109_850_5e-1,
            4.974_692_5e-1,
            1.0,
        ] {
            q = S::fma(q, z2, S::splat(c));
        }
        S::div(S::mul(z, p), q)
    }
}

/// `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`, GELU by the hyperbolic tangent, as `x / (1 + e^-2u)`;
/// absolute error below 5e-7 (|x| + 1).
///
/// # Safety
/// See [`Simd`].
#[inline(always)]
pub(crate) unsafe fn gelu_tanh<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller's contract.
    unsafe {
        let cubic = S::fma(S::mul(x, x), S::splat(0.044_715), S::splat(1.0));
        // -2 sqrt(2/pi)
        let exponent = S::mul(S::mul(x, cubic), S::splat(-1.595_769));
        S::div(x, S::add(S::splat(1.0), exp::<S>(exponent)))
    }
}

/// The hyperbolic tangent, absolute error below 4e-7.
///
/// A rational minimax approximation, odd over even in x, clamped where it is one to half a unit in the last place
/// (the coefficients that XLA and Eigen use for `f32`).
///
/// # Safety
/// See [`Simd`].
#[inline(always)]
pub(crate) unsafe fn tanh<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller's contract.
    unsafe {
        // The bound comes first, so that what is not a number stays so.
        let x = S::min(S::splat(7.905_311), S::max(S::splat(-7.905_311), x));
        let x2 = S::mul(x, x);
        let mut p = S::splat(-2.760_768_5e-16);
        for c in [
            2.000_188e-13,
            -8.604_672e-11,
            5.122_297e-8,
            1.485_722_4e-5,
            6.372_619e-4,
            4.893_524_6e-3,
        ] {
            p = S::fma(p, x2, S::splat(c));
        }
        let mut q = S::splat(1.198_258_4e-6);
        for c in [1.185_347e-4, 2.268_434_6e-3, 4.893_525e-3] {
            q = S::fma(q, x2, S::splat(c));
        }
        S::div(S::mul(x, p), q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{Isa, multiversion};

    multiversion! {
        unsafe fn tanh_of(isa, values: *mut f32, count: usize) = tanh_body
    }

    #[inline(always)]
    unsafe fn tanh_body<S: Simd>(values: *mut f32, count: usize) {
        for at in (0..count).step_by(S::LANES) {
            // SAFETY: the caller gives whole vectors.
            unsafe { S::store(values.add(at), tanh::<S>(S::load(values.add(at)))) }
        }
    }

    #[test]
    fn tangents_are_those_of_the_standard_library() {
        let inputs: Vec<f32> = (-16_000..16_000).map(|i| i as f32 / 1600.0).collect();
        for isa in Isa::available() {
            let mut values = inputs.clone();
            // SAFETY: 32,000 is a multiple of every number of lanes.
            unsafe { tanh_of(isa, values.as_mut_ptr(), values.len()) };
            for (x, y) in inputs.iter().zip(&values) {
                let want = f64::from(*x).tanh();
                assert!(
                    (f64::from(*y) - want).abs() < 4e-7,
                    "{isa:?} {x}: {y} {want}"
                );
                assert!(y.abs() <= 1.0, "{isa:?} {x}: {y}");
            }
            let mut values = [f32::NAN; 16];
            // SAFETY: sixteen is a multiple of every number of lanes.
            unsafe { tanh_of(isa, values.as_mut_ptr(), values.len()) };
            assert!(values.iter().all(|y| y.is_nan()), "{isa:?}");
        }
    }
}
