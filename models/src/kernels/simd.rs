//! The few vector operations that kernels are written in, for AVX-512, AVX2 with FMA, and any machine.
//!
//! A kernel is a generic function over [`Simd`], always inlined into one entry point per instruction
//! set; [`multiversion`](crate::kernels::multiversion) writes the entry points and picks one at run time.

use std::sync::OnceLock;

/// The instruction set in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Eight lanes in plain Rust, vectorised as far as the compiler can.
    Portable,
    /// AVX2 and FMA: eight lanes, sixteen registers.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512F: sixteen lanes, thirty-two registers.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// The best this machine has, or the one named by the environment variable `ESCALA_ISA`
    /// (`portable`, `avx2`, `avx512`) if this machine has it.
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            let available = Self::available();
            let wanted = std::env::var("ESCALA_ISA").ok();
            available
                .iter()
                .copied()
                .find(|isa| wanted.as_deref() == Some(isa.name()))
                .unwrap_or(available[available.len() - 1])
        })
    }

    /// Every instruction set this machine can run, slowest first; never empty.
    pub fn available() -> Vec<Self> {
        let mut available = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                available.push(Self::Avx2);
            }
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
                available.push(Self::Avx512);
            }
        }
        available
    }

    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
        }
    }

    /// Lanes of a vector.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Self::Portable => Portable::LANES,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Avx512::LANES,
        }
    }

    /// Rows of the register tile of a matrix product.
    pub(crate) fn tile_rows(self) -> usize {
        match self {
            Self::Portable => Portable::TILE_ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Avx2::TILE_ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Avx512::TILE_ROWS,
        }
    }
}

/// A vector of `f32` lanes.
///
/// # Safety
/// Every method may only be called where the instruction set is enabled (inside a `target_feature`
/// entry point that run-time detection chose); pointers must be valid for the lanes they touch.
#[allow(clippy::missing_safety_doc, missing_docs)]
pub(crate) trait Simd: Copy {
    type V: Copy;
    const LANES: usize;
    /// Rows of the register tile: rows x 2 accumulators, two vectors of the right matrix and one
    /// broadcast must fit the registers.
    const TILE_ROWS: usize;

    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(p: *const f32) -> Self::V;
    /// The first `count` lanes from memory, the rest zero.
    unsafe fn load_part(p: *const f32, count: usize) -> Self::V;
    /// The lower and the upper halves of each lane's 32 bits, both as the upper half of a number whose other half is zero.
    unsafe fn load_halves(p: *const f32) -> (Self::V, Self::V);
    unsafe fn store(p: *mut f32, v: Self::V);
    /// Only the first `count` lanes are written.
    unsafe fn store_part(p: *mut f32, v: Self::V, count: usize);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `b` where one of the two is not a number.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// `b` where one of the two is not a number.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// Nearest integer, ties to even.
    unsafe fn round(a: Self::V) -> Self::V;
    /// `2^n` for integral `n` in -126..=127.
    unsafe fn pow2(n: Self::V) -> Self::V;
    /// The lanes as signed bytes, to the nearest and at most what these hold; of what is not a number, any.
    unsafe fn store_bytes(p: *mut i8, v: Self::V);
    /// Asks for the line of `p` to be brought into the cache; any address goes.
    unsafe fn prefetch(_p: *const f32) {}
    unsafe fn sum(a: Self::V) -> f32;
    unsafe fn maximum(a: Self::V) -> f32;
}

/// Eight lanes in plain Rust.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

#[inline(always)]
fn zip(a: [f32; 8], b: [f32; 8], f: impl Fn(f32, f32) -> f32) -> [f32; 8] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

// SAFETY of the pointer accesses below: the trait's contract.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Portable {
    type V = [f32; 8];
    const LANES: usize = 8;
    const TILE_ROWS: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        unsafe { p.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_part(p: *const f32, count: usize) -> Self::V {
        std::array::from_fn(|i| if i < count { unsafe { *p.add(i) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn load_halves(p: *const f32) -> (Self::V, Self::V) {
        let pairs = unsafe { p.cast::<[u32; 8]>().read_unaligned() };
        (
            pairs.map(|pair| f32::from_bits(pair << 16)),
            pairs.map(|pair| f32::from_bits(pair & 0xffff_0000)),
        )
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        unsafe { p.cast::<[f32; 8]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn store_part(p: *mut f32, v: Self::V, count: usize) {
        for (i, x) in v.into_iter().enumerate().take(count) {
            unsafe { *p.add(i) = x }
        }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x + y)
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x - y)
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x * y)
    }
    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x / y)
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // Without the instruction `f32::mul_add` is a library call: two roundings are the lesser evil.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| if x > y { x } else { y })
    }
    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| if x < y { x } else { y })
    }
    #[inline(always)]
    unsafe fn round(a: Self::V) -> Self::V {
        // Adding and subtracting 1.5 * 2^23 rounds to an integer without a library call.
        const MAGIC: f32 = 12_582_912.0;
        std::array::from_fn(|i| (a[i] + MAGIC) - MAGIC)
    }
    #[inline(always)]
    unsafe fn pow2(n: Self::V) -> Self::V {
        std::array::from_fn(|i| f32::from_bits(((n[i] as i32 + 127) << 23) as u32))
    }
    #[inline(always)]
    unsafe fn store_bytes(p: *mut i8, v: Self::V) {
        unsafe {
            let whole = Self::round(v);
            p.cast::<[i8; 8]>().write_unaligned(whole.map(|x| x as i8));
        }
    }
    #[inline(always)]
    unsafe fn sum(a: Self::V) -> f32 {
        a.into_iter().sum()
    }
    #[inline(always)]
    unsafe fn maximum(a: Self::V) -> f32 {
        a.into_iter()
            .fold(f32::NEG_INFINITY, |x, y| if x > y { x } else { y })
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Simd;
    use std::arch::x86_64::*;

    /// AVX2 with FMA.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2;

    #[inline(always)]
    fn mask8(count: usize) -> __m256i {
        const LANES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        // SAFETY: the offset is 0..=8, so eight integers are inside the sixteen.
        unsafe { _mm256_loadu_si256(LANES.as_ptr().add(8 - count.min(8)).cast()) }
    }

    // SAFETY of everything below: the trait's contract.
    #[allow(clippy::undocumented_unsafe_blocks)]
    impl Simd for Avx2 {
        type V = __m256;
        const LANES: usize = 8;
        // Twelve sums, two vectors of weights and a broadcast are fifteen of sixteen registers.
        const TILE_ROWS: usize = 6;

        #[inline(always)]
        unsafe fn splat(x: f32) -> Self::V {
            unsafe { _mm256_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self::V {
            unsafe { _mm256_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn load_part(p: *const f32, count: usize) -> Self::V {
            unsafe { _mm256_maskload_ps(p, mask8(count)) }
        }
        #[inline(always)]
        unsafe fn load_halves(p: *const f32) -> (Self::V, Self::V) {
            unsafe {
                let pairs = _mm256_loadu_si256(p.cast());
                let upper = _mm256_and_si256(pairs, _mm256_set1_epi32(-0x1_0000));
                (
                    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs)),
                    _mm256_castsi256_ps(upper),
                )
            }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: Self::V) {
            unsafe { _mm256_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn store_part(p: *mut f32, v: Self::V, count: usize) {
            unsafe { _mm256_maskstore_ps(p, mask8(count), v) }
        }
        #[inline(always)]
        unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm256_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm256_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm256_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm256_div_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm256_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm256_min_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn round(a: Self::V) -> Self::V {
            unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
        }
        #[inline(always)]
        unsafe fn pow2(n: Self::V) -> Self::V {
            unsafe {
                let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
            }
        }
        #[inline(always)]
        unsafe fn store_bytes(p: *mut i8, v: Self::V) {
            unsafe {
                let whole = _mm256_cvtps_epi32(v);
                let (low, high) = (
                    _mm256_castsi256_si128(whole),
                    _mm256_extracti128_si256::<1>(whole),
                );
                let short = _mm_packs_epi32(low, high);
                _mm_storel_epi64(p.cast(), _mm_packs_epi16(short, short));
            }
        }
        #[inline(always)]
        unsafe fn prefetch(p: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
        }
        #[inline(always)]
        unsafe fn sum(a: Self::V) -> f32 {
            unsafe {
                let x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
                let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
                _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
            }
        }
        #[inline(always)]
        unsafe fn maximum(a: Self::V) -> f32 {
            unsafe {
                let x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
                let x = _mm_max_ps(x, _mm_movehl_ps(x, x));
                _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)))
            }
        }
    }

    /// AVX-512F with DQ.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512;

    #[inline(always)]
    fn mask16(count: usize) -> __mmask16 {
        ((1u32 << count.min(16)) - 1) as u16
    }

    // SAFETY of everything below: the trait's contract.
    #[allow(clippy::undocumented_unsafe_blocks)]
    impl Simd for Avx512 {
        type V = __m512;
        const LANES: usize = 16;
        const TILE_ROWS: usize = 12;

        #[inline(always)]
        unsafe fn splat(x: f32) -> Self::V {
            unsafe { _mm512_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self::V {
            unsafe { _mm512_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn load_part(p: *const f32, count: usize) -> Self::V {
            unsafe { _mm512_maskz_loadu_ps(mask16(count), p) }
        }
        #[inline(always)]
        unsafe fn load_halves(p: *const f32) -> (Self::V, Self::V) {
            unsafe {
                let pairs = _mm512_loadu_si512(p.cast());
                let upper = _mm512_and_si512(pairs, _mm512_set1_epi32(-0x1_0000));
                (
                    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs)),
                    _mm512_castsi512_ps(upper),
                )
            }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: Self::V) {
            unsafe { _mm512_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn store_part(p: *mut f32, v: Self::V, count: usize) {
            unsafe { _mm512_mask_storeu_ps(p, mask16(count), v) }
        }
        #[inline(always)]
        unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_div_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_min_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn round(a: Self::V) -> Self::V {
            unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
        }
        #[inline(always)]
        unsafe fn pow2(n: Self::V) -> Self::V {
            unsafe {
                let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
                _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
            }
        }
        #[inline(always)]
        unsafe fn store_bytes(p: *mut i8, v: Self::V) {
            unsafe { _mm_storeu_si128(p.cast(), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v))) }
        }
        #[inline(always)]
        unsafe fn prefetch(p: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
        }
        #[inline(always)]
        unsafe fn sum(a: Self::V) -> f32 {
            unsafe { _mm512_reduce_add_ps(a) }
        }
        #[inline(always)]
        unsafe fn maximum(a: Self::V) -> f32 {
            unsafe { _mm512_reduce_max_ps(a) }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// Writes a function that runs `$body::<S>` with the vectors of the given [`Isa`].
///
/// The body is an `unsafe fn` generic over [`Simd`], marked `#[inline(always)]`.
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis unsafe fn $name:ident($isa:ident $(, $arg:ident: $ty:ty)* $(,)?) $(-> $ret:ty)? = $body:ident) => {
        $(#[$meta])*
        $vis unsafe fn $name($isa: $crate::kernels::simd::Isa $(, $arg: $ty)*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
            unsafe fn avx512($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: the caller's contract is the body's.
                unsafe { $body::<$crate::kernels::simd::Avx512>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: the caller's contract is the body's.
                unsafe { $body::<$crate::kernels::simd::Avx2>($($arg),*) }
            }
            // SAFETY: an `Isa` other than `Portable` comes from run-time detection; the rest is the
            // caller's contract.
            unsafe {
                match $isa {
                    $crate::kernels::simd::Isa::Portable => $body::<$crate::kernels::simd::Portable>($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::kernels::simd::Isa::Avx2 => avx2($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::kernels::simd::Isa::Avx512 => avx512($($arg),*),
                }
            }
        }
    };
}
pub(crate) use multiversion;
