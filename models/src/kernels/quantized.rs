//! Matrix products of 8-bit whole numbers: weights quantised once, the left-hand rows as they come ("dynamic quantisation").
//!
//! A weight is a whole number `w` of -127..=127 times the scale of its column. A value of a left-hand row is
//! `scale * q + shift` with `q` of -128..=127, where scale and shift are chosen by the row's least and greatest value. A result
//! is then `scale of column * (scale * sum(q w) + shift * sum(w))`: one exact sum of whole numbers, and one for each column that
//! is known beforehand (Jacob et al. 2018, arXiv:1712.05877, section 2.3).
//!
//! Dot product instructions (VNNI) multiply four unsigned bytes with four signed ones and add all to a sum of 32 bits. So the
//! weights are stored with 128 added, four of a column side by side, and each sum begins at `-128 sum(q)`. Machines without these
//! instructions get the same sums from those that they have.
//!
//! The register tile and the order of the loops are those of [`matmul`](super::matmul).

use super::aligned::AlignedVec;
use super::matmul::{Right, Sums, TILE_COLUMNS, finish, unroll};
use super::simd::{Isa, Simd, multiversion};
use std::ops::Range;

/// Values whose products one instruction adds up.
const GROUP: usize = 4;

/// Longest sum that surely fits 32 bits: each product is at most 255 * 128.
const LONGEST: usize = 65_536;

/// Room behind the bytes of a row for what belongs to it, in `f32`: scale, shift, and what its sums begin at as bits of an `i32`.
const BEHIND: usize = 16;

/// The instructions for sums of products of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instructions {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Those of Avx2 with dot products (AVX-VNNI).
    #[cfg(target_arch = "x86_64")]
    Avx2Dots,
    /// Those of Avx512 with dot products (AVX512-VNNI).
    #[cfg(target_arch = "x86_64")]
    Avx512Dots,
}

impl Instructions {
    /// The best that this machine has within an instruction set.
    fn of(isa: Isa) -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if isa == Isa::Avx512 && is_x86_feature_detected!("avx512vnni") {
                return Self::Avx512Dots;
            }
            if isa != Isa::Portable {
                return if is_x86_feature_detected!("avxvnni") {
                    Self::Avx2Dots
                } else {
                    Self::Avx2
                };
            }
        }
        // Without the others there is no choice.
        let _ = isa;
        Self::Portable
    }

    fn lanes(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Dots => 16,
            _ => 8,
        }
    }
}

/// Whether this machine has dot products of bytes, without which 8 bits save memory and no time.
pub fn has_dot_products() -> bool {
    match Instructions::of(Isa::best()) {
        Instructions::Portable => false,
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => false,
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2Dots | Instructions::Avx512Dots => true,
    }
}

/// A right-hand matrix `[k, n]` in 8 bits, with its bias.
pub struct QuantizedMatrix {
    /// For each panel of two vectors' columns and each group of four rows: four bytes a column.
    bytes: AlignedVec,
    /// For each panel the scales, the sums of weights times scales, and the bias of its columns.
    columns: AlignedVec,
    k: usize,
    n: usize,
    isa: Isa,
    instructions: Instructions,
}

impl QuantizedMatrix {
    /// Whether sums of this length fit.
    pub fn fits(k: usize) -> bool {
        k <= LONGEST
    }

    /// Quantises `weights`, stored as `[n, k]` (one row for each output), with `bias` of length `n` or empty.
    ///
    /// # Panics
    /// When the lengths do not agree, `k` is 0, or does not [fit](Self::fits).
    pub fn from_outputs(weights: &[f32], bias: &[f32], n: usize, k: usize, isa: Isa) -> Self {
        Self::with(weights, bias, n, k, isa, Instructions::of(isa))
    }

    fn with(
        weights: &[f32],
        bias: &[f32],
        n: usize,
        k: usize,
        isa: Isa,
        instructions: Instructions,
    ) -> Self {
        assert_eq!(weights.len(), n * k, "weights must be [n, k]");
        assert!(
            bias.is_empty() || bias.len() == n,
            "bias must be empty or [n]"
        );
        assert!(k > 0 && Self::fits(k), "sums of {k} products");
        let (lanes, width) = (instructions.lanes(), 2 * instructions.lanes());
        let (panels, groups) = (n.div_ceil(width), k.div_ceil(GROUP));
        // A lane of `f32` holds a group of bytes.
        let mut bytes = AlignedVec::zeroed(panels * groups * width);
        let stored: &mut [u8] = bytemuck::cast_slice_mut(&mut bytes);
        stored.fill(128);
        let mut columns = AlignedVec::zeroed(panels * 3 * width);
        for (column, row) in weights.chunks_exact(k).enumerate() {
            let greatest = row.iter().fold(0.0_f32, |most, w| most.max(w.abs()));
            // What is not finite must stay visible: then the scale is not a number.
            let scale = if row.iter().all(|w| w.is_finite()) {
                greatest / 127.0
            } else {
                f32::NAN
            };
            let inverse = (1.0 / scale).min(f32::MAX);
            let (panel, lane) = (column / width, column % width);
            let block = &mut stored[panel * groups * width * GROUP..];
            let mut sum = 0;
            for (at, w) in row.iter().enumerate() {
                let whole = (w * inverse).round_ties_even().clamp(-127.0, 127.0) as i32;
                sum += whole;
                let place = (at / GROUP * 2 + lane / lanes) * lanes + lane % lanes;
                block[place * GROUP + at % GROUP] = (whole + 128) as u8;
            }
            let of_panel = &mut columns[panel * 3 * width..];
            of_panel[lane] = scale;
            of_panel[width + lane] = scale * sum as f32;
            of_panel[2 * width + lane] = bias.get(column).copied().unwrap_or(0.0);
        }
        Self {
            bytes,
            columns,
            k,
            n,
            isa,
            instructions,
        }
    }

    /// Length of the sums.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Number of outputs.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Panels the columns are packed in.
    pub fn panels(&self) -> usize {
        self.n.div_ceil(2 * self.instructions.lanes())
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes.bytes() + self.columns.bytes()
    }

    /// Distance between quantised left-hand rows, in `f32`.
    pub fn row(&self) -> usize {
        row_length(self.k)
    }

    /// Quantises `rows` rows of `k` values that lie one after the other, to be multiplied from `to`.
    ///
    /// # Safety
    /// `from` is readable for `rows * k` elements, and `to`, which begins a cache line, writable for `rows` times
    /// [`QuantizedMatrix::row`].
    pub unsafe fn quantize(&self, from: *const f32, rows: usize, to: *mut f32) {
        // SAFETY: the caller's contract.
        unsafe { quantize_rows(self.isa, from, rows, self.k, to) }
    }

    /// `result[0..rows, columns of panels] = activation(left * self + bias) + residual`, with the rows of `left` as
    /// [`QuantizedMatrix::quantize`] left them.
    ///
    /// # Safety
    /// `left` has `rows` quantised rows of `k` values; `right` and the rest are as
    /// [`PackedMatrix::multiply`](super::PackedMatrix::multiply) wants them.
    pub unsafe fn multiply(
        &self,
        left: *const f32,
        rows: usize,
        panels: Range<usize>,
        right: Right,
    ) {
        let width = 2 * self.instructions.lanes();
        let groups = self.k.div_ceil(GROUP);
        for panel in panels {
            let column = panel * width;
            let at = Panel {
                bytes: self.bytes[panel * groups * width..].as_ptr(),
                columns: self.columns[panel * 3 * width..].as_ptr(),
                count: (self.n - column).min(width),
                groups,
            };
            // SAFETY: `column < n`, so the offsets are inside row 0; the rest is the caller's contract, restricted to this panel.
            unsafe {
                let right = Right {
                    start: right.start.add(column),
                    residual: right.residual.map(|(at, row)| (at.add(column), row)),
                    ..right
                };
                multiply_panel(self.instructions, left, self.row(), rows, at, right);
            }
        }
    }
}

/// Distance between quantised rows of `k` values, in `f32`.
fn row_length(k: usize) -> usize {
    k.next_multiple_of(64) / 4 + BEHIND
}

multiversion! {
    /// Quantises rows, see [`QuantizedMatrix::quantize`].
    ///
    /// # Safety
    /// As there.
    unsafe fn quantize_rows(isa, from: *const f32, rows: usize, k: usize, to: *mut f32) = quantize_body
}

#[inline(always)]
unsafe fn quantize_body<S: Simd>(from: *const f32, rows: usize, k: usize, to: *mut f32) {
    let whole = k / S::LANES * S::LANES;
    let length = row_length(k);
    for row in 0..rows {
        // SAFETY: the function's contract.
        unsafe {
            let x = from.add(row * k);
            let bytes = to.add(row * length).cast::<i8>();
            let behind = to.add((row + 1) * length - BEHIND);
            let (mut least, mut most) = (f32::INFINITY, f32::NEG_INFINITY);
            if whole > 0 {
                let first = S::load(x);
                let (mut low, mut high) = (first, first);
                let mut at = S::LANES;
                while at < whole {
                    let values = S::load(x.add(at));
                    low = S::min(low, values);
                    high = S::max(high, values);
                    at += S::LANES;
                }
                least = -S::maximum(S::sub(S::splat(0.0), low));
                most = S::maximum(high);
            }
            for at in whole..k {
                least = least.min(*x.add(at));
                most = most.max(*x.add(at));
            }
            let mut scale = (most - least) / 255.0;
            let mut inverse = 1.0 / scale;
            if !inverse.is_finite() {
                // All values are the same, but for what no scale can tell.
                (scale, inverse) = (0.0, 0.0);
            }
            let (lows, inverses) = (S::splat(least), S::splat(inverse));
            let mut sums = S::splat(0.0);
            let mut at = 0;
            while at < whole {
                let above = S::sub(S::load(x.add(at)), lows);
                let q = S::round(S::fma(above, inverses, S::splat(-128.0)));
                let q = S::min(S::splat(127.0), q);
                sums = S::add(sums, q);
                S::store_bytes(bytes.add(at), q);
                at += S::LANES;
            }
            let mut sum = S::sum(sums);
            for at in whole..k {
                let q = ((*x.add(at) - least) * inverse - 128.0).round_ties_even();
                let q = if q > 127.0 { 127.0 } else { q };
                sum += q;
                *bytes.add(at) = q as i8;
            }
            // Nothing times whatever weights are behind the last.
            let end = (length - BEHIND) * 4;
            std::ptr::write_bytes(bytes.add(k), 0, end - k);
            // A value that is not finite has made the sum so; it must stay visible.
            *behind = if sum.is_finite() { scale } else { f32::NAN };
            *behind.add(1) = least + 128.0 * scale;
            *behind.add(2) = f32::from_bits((-128 * sum as i32) as u32);
        }
    }
}

/// Columns of the right-hand side.
#[derive(Clone, Copy)]
struct Panel {
    /// The first group.
    bytes: *const f32,
    /// Scales, sums times scales, bias.
    columns: *const f32,
    /// Columns that exist.
    count: usize,
    /// Groups of four rows.
    groups: usize,
}

/// Vectors of whole numbers with the instructions of a machine.
///
/// # Safety
/// As [`Simd`].
#[allow(clippy::missing_safety_doc)]
trait Dots: Copy {
    /// The same lanes of `f32`.
    type S: Simd;
    /// As many sums of 32 bits, or groups of four bytes.
    type I: Copy;
    /// Rows of the register tile, with two vectors of sums each.
    const ROWS: usize;

    /// A sum in every lane.
    unsafe fn splat(x: i32) -> Self::I;
    /// A group for each lane.
    unsafe fn load(p: *const f32) -> Self::I;
    /// The products of four unsigned with four signed bytes, added to each sum.
    unsafe fn dot(sums: Self::I, unsigned: Self::I, signed: Self::I) -> Self::I;
    /// The sums to the nearest.
    unsafe fn floats(sums: Self::I) -> <Self::S as Simd>::V;
}

/// Runs a panel with the instructions of the machine.
///
/// # Safety
/// As [`QuantizedMatrix::multiply`]; the machine has the instructions.
unsafe fn multiply_panel(
    instructions: Instructions,
    left: *const f32,
    distance: usize,
    rows: usize,
    panel: Panel,
    right: Right,
) {
    /// An entry point with instructions enabled.
    macro_rules! with {
        ($dots:ty, $features:literal) => {{
            #[target_feature(enable = $features)]
            unsafe fn with(l: *const f32, d: usize, rows: usize, panel: Panel, right: Right) {
                // SAFETY: the caller's contract is the body's.
                unsafe { panel_body::<$dots>(l, d, rows, panel, right) }
            }
            with(left, distance, rows, panel, right)
        }};
    }
    // SAFETY: instructions come from run-time detection; the rest is the caller's contract.
    unsafe {
        match instructions {
            Instructions::Portable => {
                panel_body::<PortableDots>(left, distance, rows, panel, right)
            }
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => with!(x86::Avx2, "avx2,fma"),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2Dots => with!(x86::Avx2Dots, "avx2,fma,avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Dots => {
                with!(x86::Avx512Dots, "avx512f,avx512dq,avx512vnni,avx2,fma")
            }
        }
    }
}

/// A panel against all rows, in even blocks of at most a register tile.
#[inline(always)]
unsafe fn panel_body<D: Dots>(
    left: *const f32,
    distance: usize,
    rows: usize,
    panel: Panel,
    right: Right,
) {
    let blocks = rows.div_ceil(D::ROWS);
    for block in 0..blocks {
        let (start, end) = (rows * block / blocks, rows * (block + 1) / blocks);
        // SAFETY: the caller's contract; `start..end` is inside the rows.
        unsafe {
            let left = left.add(start * distance);
            let right = Right {
                start: right.start.add(start * right.row),
                residual: right.residual.map(|(at, row)| (at.add(start * row), row)),
                ..right
            };
            macro_rules! tiles {
                ($($rows:literal)*) => {
                    match end - start {
                        $($rows => tile::<D, $rows>(left, distance, panel, right),)*
                        _ => {}
                    }
                };
            }
            match D::ROWS {
                4 => tiles!(1 2 3 4),
                6 => tiles!(1 2 3 4 5 6),
                _ => tiles!(1 2 3 4 5 6 7 8 9 10 11 12),
            }
        }
    }
}

#[inline(always)]
unsafe fn tile<D: Dots, const ROWS: usize>(
    left: *const f32,
    distance: usize,
    panel: Panel,
    right: Right,
) {
    let lanes = D::S::LANES;
    // SAFETY: the contract of `QuantizedMatrix::multiply`.
    unsafe {
        let behind = left.add(distance - BEHIND);
        let mut sums = [[D::splat(0); 2]; ROWS];
        unroll!(ROW < ROWS {
            let begin = D::splat((*behind.add(ROW * distance + 2)).to_bits() as i32);
            sums[ROW] = [begin, begin];
        });
        let (mut weights, mut at) = (panel.bytes, left);
        for _ in 0..panel.groups {
            let (w0, w1) = (D::load(weights), D::load(weights.add(lanes)));
            unroll!(ROW < ROWS {
                let group = D::splat((*at.add(ROW * distance)).to_bits() as i32);
                sums[ROW][0] = D::dot(sums[ROW][0], w0, group);
                sums[ROW][1] = D::dot(sums[ROW][1], w1, group);
            });
            weights = weights.add(2 * lanes);
            at = at.add(1);
        }
        let mut stored = std::mem::MaybeUninit::<Sums>::uninit();
        let stored = stored.as_mut_ptr().cast::<f32>();
        macro_rules! scaled {
            ($vector:literal) => {
                let of = panel.columns.add($vector * lanes);
                let scales = D::S::load(of);
                let shifts = D::S::load(of.add(2 * lanes));
                let bias = D::S::load(of.add(4 * lanes));
                unroll!(ROW < ROWS {
                    let row = behind.add(ROW * distance);
                    let known = D::S::fma(D::S::splat(*row.add(1)), shifts, bias);
                    let sum = D::S::mul(D::S::splat(*row), D::floats(sums[ROW][$vector]));
                    let y = D::S::fma(sum, scales, known);
                    D::S::store(stored.add(ROW * TILE_COLUMNS + $vector * lanes), y);
                });
            };
        }
        scaled!(0);
        scaled!(1);
        if panel.count > lanes {
            finish::<D::S, 2>(stored, ROWS, panel.count, right);
        } else {
            finish::<D::S, 1>(stored, ROWS, panel.count, right);
        }
    }
}

/// Eight lanes in plain Rust.
#[derive(Clone, Copy)]
struct PortableDots;

// SAFETY of the pointer accesses below: the trait's contract.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Dots for PortableDots {
    type S = super::simd::Portable;
    type I = [i32; 8];
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: i32) -> Self::I {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::I {
        unsafe { p.cast::<[i32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn dot(sums: Self::I, unsigned: Self::I, signed: Self::I) -> Self::I {
        std::array::from_fn(|lane| {
            let (u, s) = (unsigned[lane].to_le_bytes(), signed[lane].to_le_bytes());
            let products = u
                .iter()
                .zip(s)
                .map(|(&u, s)| i32::from(u) * i32::from(s as i8));
            sums[lane].wrapping_add(products.sum())
        })
    }
    #[inline(always)]
    unsafe fn floats(sums: Self::I) -> [f32; 8] {
        sums.map(|sum| sum as f32)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Dots;
    use crate::kernels::simd;
    use std::arch::x86_64::*;

    /// AVX2: products of pairs of 16 bits.
    #[derive(Clone, Copy)]
    pub(super) struct Avx2;

    /// AVX2 with AVX-VNNI.
    #[derive(Clone, Copy)]
    pub(super) struct Avx2Dots;

    /// AVX-512 with AVX512-VNNI.
    #[derive(Clone, Copy)]
    pub(super) struct Avx512Dots;

    // SAFETY of everything below: the trait's contract.
    #[allow(clippy::undocumented_unsafe_blocks)]
    impl Dots for Avx2 {
        type S = simd::Avx2;
        type I = __m256i;
        // Eight sums, two vectors of weights and one of values, each as even and odd bytes: fourteen of sixteen registers.
        const ROWS: usize = 4;

        #[inline(always)]
        unsafe fn splat(x: i32) -> Self::I {
            unsafe { _mm256_set1_epi32(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self::I {
            unsafe { _mm256_loadu_si256(p.cast()) }
        }
        #[inline(always)]
        unsafe fn dot(sums: Self::I, unsigned: Self::I, signed: Self::I) -> Self::I {
            // The instruction for products of bytes adds two of them in 16 bits, which do not hold them.
            unsafe {
                let even = _mm256_and_si256(unsigned, _mm256_set1_epi16(0xff));
                let odd = _mm256_srli_epi16::<8>(unsigned);
                let even_of = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(signed));
                let odd_of = _mm256_srai_epi16::<8>(signed);
                let products = _mm256_add_epi32(
                    _mm256_madd_epi16(even, even_of),
                    _mm256_madd_epi16(odd, odd_of),
                );
                _mm256_add_epi32(sums, products)
            }
        }
        #[inline(always)]
        unsafe fn floats(sums: Self::I) -> __m256 {
            unsafe { _mm256_cvtepi32_ps(sums) }
        }
    }

    #[allow(clippy::undocumented_unsafe_blocks)]
    impl Dots for Avx2Dots {
        type S = simd::Avx2;
        type I = __m256i;
        const ROWS: usize = 6;

        #[inline(always)]
        unsafe fn splat(x: i32) -> Self::I {
            unsafe { _mm256_set1_epi32(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self::I {
            unsafe { _mm256_loadu_si256(p.cast()) }
        }
        #[inline(always)]
        unsafe fn dot(sums: Self::I, unsigned: Self::I, signed: Self::I) -> Self::I {
            unsafe { _mm256_dpbusd_avx_epi32(sums, unsigned, signed) }
        }
        #[inline(always)]
        unsafe fn floats(sums: Self::I) -> __m256 {
            unsafe { _mm256_cvtepi32_ps(sums) }
        }
    }

    #[allow(clippy::undocumented_unsafe_blocks)]
    impl Dots for Avx512Dots {
        type S = simd::Avx512;
        type I = __m512i;
        const ROWS: usize = 12;

        #[inline(always)]
        unsafe fn splat(x: i32) -> Self::I {
            unsafe { _mm512_set1_epi32(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self::I {
            unsafe { _mm512_loadu_si512(p.cast()) }
        }
        #[inline(always)]
        unsafe fn dot(sums: Self::I, unsigned: Self::I, signed: Self::I) -> Self::I {
            unsafe { _mm512_dpbusd_epi32(sums, unsigned, signed) }
        }
        #[inline(always)]
        unsafe fn floats(sums: Self::I) -> __m512 {
            unsafe { _mm512_cvtepi32_ps(sums) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Activation, PackedMatrix, matmul::Left};
    use proptest::prelude::*;

    /// All that this machine can run.
    fn available() -> Vec<(Isa, Instructions)> {
        let mut all = Vec::new();
        for isa in Isa::available() {
            all.push((isa, Instructions::of(isa)));
            #[cfg(target_arch = "x86_64")]
            if isa != Isa::Portable {
                all.push((isa, Instructions::Avx2));
            }
        }
        all
    }

    /// The result of a product, and the quantised rows as numbers.
    fn product(matrix: &QuantizedMatrix, left: &[f32], rows: usize, right: Right) -> Vec<f32> {
        let mut quantized = AlignedVec::zeroed(rows * matrix.row());
        // SAFETY: the buffers have the shapes that are read and written.
        unsafe {
            matrix.quantize(left.as_ptr(), rows, quantized.as_mut_ptr());
            matrix.multiply(quantized.as_ptr(), rows, 0..matrix.panels(), right);
        }
        let mut numbers = Vec::new();
        for row in quantized.chunks_exact(matrix.row()) {
            let (bytes, behind) = row.split_at(matrix.row() - BEHIND);
            let bytes: &[i8] = bytemuck::cast_slice(bytes);
            let number = |q: &i8| behind[0] * f32::from(*q) + behind[1];
            numbers.extend(bytes[..matrix.k()].iter().map(number));
        }
        numbers
    }

    fn to(out: &mut [f32], n: usize) -> Right {
        Right {
            start: out.as_mut_ptr(),
            row: n,
            residual: None,
            activation: Activation::None,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]
        #[test]
        fn a_quantized_product_is_the_product_of_what_was_quantized(
            (m, n, k) in (0usize..30, 1usize..80, 1usize..90),
            left in prop::collection::vec(-4.0f32..9.0, 30 * 90), weights in prop::collection::vec(-0.3f32..0.2, 80 * 90),
            with_residual in any::<bool>(), gelu in any::<bool>(),
        ) {
            let (left, weights) = (&left[..m * k], &weights[..n * k]);
            let bias: Vec<f32> = (0..n).map(|i| i as f32 / 50.0 - 0.5).collect();
            let residual: Vec<f32> = (0..m * n).map(|i| (i % 17) as f32 / 7.0).collect();
            // What 8 bits make of the weights, by the definition.
            let mut near = Vec::new();
            for row in weights.chunks_exact(k) {
                let scale = row.iter().fold(0.0_f32, |most, w| most.max(w.abs())) / 127.0;
                near.extend(row.iter().map(|w| (w * (1.0 / scale)).round_ties_even() * scale));
                for (near, w) in near[near.len() - k..].iter().zip(row) {
                    prop_assert!((near - w).abs() <= scale * 0.51);
                }
            }
            for (isa, instructions) in available() {
                let matrix = QuantizedMatrix::with(weights, &bias, n, k, isa, instructions);
                let mut out = vec![f32::NAN; m * n];
                let right = Right {
                    residual: with_residual.then_some((residual.as_ptr(), n)),
                    activation: if gelu { Activation::Gelu } else { Activation::None },
                    ..to(&mut out, n)
                };
                let numbers = product(&matrix, left, m, right);
                for (row, numbers) in left.chunks_exact(k).zip(numbers.chunks_exact(k)) {
                    let least = row.iter().copied().fold(f32::INFINITY, f32::min);
                    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    for (number, x) in numbers.iter().zip(row) {
                        prop_assert!((number - x).abs() <= (most - least) / 255.0 * 0.51 + 1e-6, "{number} {x}");
                    }
                }
                let mut want = vec![f32::NAN; m * n];
                let packed = PackedMatrix::from_outputs(&near, &bias, n, k, isa);
                let right = Right { residual: right.residual, activation: right.activation, ..to(&mut want, n) };
                // SAFETY: the buffers have the shapes the product reads and writes.
                unsafe { packed.multiply(Left::rows(numbers.as_ptr(), k), m, 0..packed.panels(), right) };
                for (got, want) in out.iter().zip(&want) {
                    // k products of values up to 9 * 0.3, each rounded once.
                    prop_assert!((got - want).abs() <= 1e-6 * (k as f32 + 2.0), "{instructions:?} {got} {want}");
                }
            }
        }
    }

    #[test]
    fn the_greatest_sums_fit() {
        let (n, k) = (3, LONGEST);
        for (isa, instructions) in available() {
            for sign in [1.0, -1.0] {
                let weights = vec![sign; n * k];
                let matrix = QuantizedMatrix::with(&weights, &[], n, k, isa, instructions);
                let mut left = vec![1.0; k];
                left[0] = 0.0;
                let mut out = vec![0.0; n];
                product(&matrix, &left, 1, to(&mut out, n));
                for y in &out {
                    assert!((y / (sign * (k - 1) as f32) - 1.0).abs() < 1e-5, "{y}");
                }
            }
        }
    }

    #[test]
    fn rows_of_one_value_are_exact_and_what_is_not_a_number_stays_visible() {
        let (n, k) = (37, 70);
        for (isa, instructions) in available() {
            let weights = vec![0.5; n * k];
            let matrix = QuantizedMatrix::with(&weights, &[], n, k, isa, instructions);
            let mut out = vec![0.0; n];
            for value in [0.0, 3.0, -7.5] {
                product(&matrix, &vec![value; k], 1, to(&mut out, n));
                let want = value * 0.5 * k as f32;
                assert!(
                    out.iter().all(|y| (y - want).abs() <= want.abs() * 1e-6),
                    "{out:?}"
                );
            }
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for place in [0, 33, k - 1] {
                    let mut left = vec![1.0; k];
                    left[place] = bad;
                    product(&matrix, &left, 1, to(&mut out, n));
                    assert!(out.iter().all(|y| !y.is_finite()), "{bad} {place} {out:?}");
                    let mut weights = weights.clone();
                    weights[k + place] = bad;
                    let matrix = QuantizedMatrix::with(&weights, &[], n, k, isa, instructions);
                    product(&matrix, &vec![1.0; k], 1, to(&mut out, n));
                    assert!(
                        !out[1].is_finite() && out[0] == 35.0,
                        "{bad} {place} {out:?}"
                    );
                }
            }
        }
    }
}
