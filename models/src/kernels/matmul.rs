//! Packed matrix products with fused bias, activation and residual.
//!
//! The right-hand matrix (the weights) is packed once into panels of two vectors' width, so that the
//! inner loop reads it from start to end. The inner loop keeps a register tile of rows x 2 vectors of
//! the result: with AVX-512 12 x 32, which needs 24 accumulators, two vectors of weights and a broadcast
//! of the left-hand value straight from memory; with AVX2 6 x 16. The left-hand matrix is read where it lies.
//!
//! The left-hand rows may come in several segments, each a fixed distance after the other. That makes the
//! same loop a convolution over channels-last images without unfolding them: one segment for each row of
//! the filter, `filter width x channels` contiguous values in each ([`Left::segments`]).
//!
//! Who splits the work decides the speed: a product of few rows is split by panels (each thread reads
//! half of the weights), one of many rows by rows, in chunks small enough that the left-hand side stays
//! in the second-level cache while the panels go by.

use super::aligned::AlignedVec;
use super::math;
use super::simd::{Isa, Simd, multiversion};
use std::ops::Range;

/// What happens to a sum before it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// Exact GELU, `x/2 (1 + erf(x/sqrt 2))`.
    Gelu,
    /// GELU by the hyperbolic tangent, `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`.
    GeluTanh,
    /// Clamp to 0..=6.
    Relu6,
    /// Clamp to at least 0.
    Relu,
}

/// How the numbers of a right-hand matrix lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// As 32-bit floats.
    Full,
    /// As 16-bit brain floats, which are the upper halves of 32-bit ones: each 32 bits have a lane of the panel's first vector
    /// below and the same lane of the second above. A product of few rows takes as long as its weights take to arrive, and
    /// these are half as many bytes; they are widened in registers, where nothing is lost.
    Halves,
}

/// A right-hand matrix `[k, n]` in panels, with its bias.
pub struct PackedMatrix {
    data: AlignedVec,
    stored: Stored,
    bias: AlignedVec,
    k: usize,
    n: usize,
    isa: Isa,
}

/// The left-hand side of a product: where its rows are.
#[derive(Clone, Copy)]
pub struct Left {
    /// First value of row 0.
    pub start: *const f32,
    /// Distance between rows, in elements.
    pub row: usize,
    /// Number of segments of a row; `k` is split evenly over them. One for a plain matrix.
    pub segments: usize,
    /// Distance between the segments of a row, in elements.
    pub segment: usize,
}

/// Where results go, and what is added to them.
#[derive(Clone, Copy)]
pub struct Right {
    /// Result of row 0, column 0 of the whole matrix.
    pub start: *mut f32,
    /// Distance between rows, in elements.
    pub row: usize,
    /// Added after the activation, same layout as the result with its own row distance.
    pub residual: Option<(*const f32, usize)>,
    /// Applied to sum plus bias.
    pub activation: Activation,
}

impl Left {
    /// Rows one after the other, `row` elements apart.
    pub fn rows(start: *const f32, row: usize) -> Self {
        Self {
            start,
            row,
            segments: 1,
            segment: 0,
        }
    }
}

impl PackedMatrix {
    /// Packs `weights`, stored as `[n, k]` (one row for each output, as PyTorch's linear layers), with
    /// `bias` of length `n` or empty.
    ///
    /// # Panics
    /// When the lengths do not agree.
    pub fn from_outputs(weights: &[f32], bias: &[f32], n: usize, k: usize, isa: Isa) -> Self {
        assert_eq!(weights.len(), n * k, "weights must be [n, k]");
        Self::pack(n, k, bias, isa, |row, column| weights[column * k + row])
    }

    /// As [`PackedMatrix::from_outputs`], in half the memory where every weight is a 16-bit brain float, whatever it was stored as.
    ///
    /// # Panics
    /// When the lengths do not agree.
    pub fn smallest(weights: &[f32], bias: &[f32], n: usize, k: usize, isa: Isa) -> Self {
        assert_eq!(weights.len(), n * k, "weights must be [n, k]");
        let short = weights.iter().all(|weight| weight.to_bits() & 0xffff == 0);
        let stored = if short { Stored::Halves } else { Stored::Full };
        Self::packed(n, k, bias, isa, stored, |row, column| {
            weights[column * k + row]
        })
    }

    /// Packs a matrix given by its element `(row of k, column of n)`.
    ///
    /// # Panics
    /// When `bias` is neither empty nor of length `n`.
    pub fn pack(
        n: usize,
        k: usize,
        bias: &[f32],
        isa: Isa,
        element: impl Fn(usize, usize) -> f32,
    ) -> Self {
        Self::packed(n, k, bias, isa, Stored::Full, element)
    }

    fn packed(
        n: usize,
        k: usize,
        bias: &[f32],
        isa: Isa,
        stored: Stored,
        element: impl Fn(usize, usize) -> f32,
    ) -> Self {
        assert!(
            bias.is_empty() || bias.len() == n,
            "bias must be empty or [n]"
        );
        let (lanes, width) = (isa.lanes(), 2 * isa.lanes());
        let step = stored.step(isa);
        let panels = n.div_ceil(width);
        let mut data = AlignedVec::zeroed(panels * step * k);
        for (panel, block) in data.chunks_exact_mut((step * k).max(1)).enumerate() {
            let columns = panel * width..n.min((panel + 1) * width);
            for column in columns {
                let lane = column - panel * width;
                for row in 0..k {
                    let value = element(row, column);
                    match stored {
                        Stored::Full => block[row * step + lane] = value,
                        Stored::Halves => {
                            let pair = &mut block[row * step + lane % lanes];
                            let half = value.to_bits() >> 16 << (lane / lanes * 16);
                            *pair = f32::from_bits(pair.to_bits() | half);
                        }
                    }
                }
            }
        }
        let mut padded = AlignedVec::zeroed(panels * width);
        padded[..bias.len()].copy_from_slice(bias);
        Self {
            data,
            stored,
            bias: padded,
            k,
            n,
            isa,
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
        self.n.div_ceil(self.panel_width())
    }

    /// Columns of a panel.
    pub fn panel_width(&self) -> usize {
        2 * self.isa.lanes()
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.data.bytes() + self.bias.bytes()
    }

    /// `result[0..rows, columns of panels] = activation(left * self + bias) + residual`.
    ///
    /// # Safety
    /// `left` has `rows` rows of `k` readable values (in its segments), `right` has `rows` rows of `n`
    /// writable values (and readable residuals), and nobody else touches the written columns meanwhile.
    /// The result may be the residual itself, element for element, but must not overlap `left`.
    pub unsafe fn multiply(&self, left: Left, rows: usize, panels: Range<usize>, right: Right) {
        for panel in panels {
            let column = panel * self.panel_width();
            let right = Right {
                // SAFETY: `column < n`, so the offset is inside row 0.
                start: unsafe { right.start.add(column) },
                // SAFETY: as above.
                residual: right
                    .residual
                    .map(|(start, row)| (unsafe { start.add(column) }, row)),
                ..right
            };
            // SAFETY: the caller's contract, restricted to this panel.
            unsafe { self.multiply_panel(left, rows, panel, right) }
        }
    }

    /// The same of one panel, with its columns alone at `right`.
    ///
    /// # Safety
    /// As [`PackedMatrix::multiply`], for the columns of the panel.
    pub unsafe fn multiply_panel(&self, left: Left, rows: usize, panel: usize, right: Right) {
        let width = self.panel_width();
        let column = panel * width;
        debug_assert!(self.k.is_multiple_of(left.segments.max(1)));
        let step = self.stored.step(self.isa);
        let panel = Panel {
            weights: self.data[panel * step * self.k..].as_ptr(),
            bias: self.bias[column..].as_ptr(),
            columns: (self.n - column).min(width),
            step,
            stored: self.stored,
        };
        let depth = self.k / left.segments.max(1);
        // SAFETY: the caller's contract.
        unsafe { multiply_panel(self.isa, left, rows, depth, panel, right) }
    }
}

impl Stored {
    /// Distance between the rows of a panel, in 32 bits.
    fn step(self, isa: Isa) -> usize {
        match self {
            Self::Full => 2 * isa.lanes(),
            Self::Halves => isa.lanes(),
        }
    }
}

/// Elements ahead of which weights are asked for.
const AHEAD: usize = 1024;

/// Elements of a cache line.
const LINE: usize = 16;

/// Columns of the widest register tile.
pub(super) const TILE_COLUMNS: usize = 32;

/// The sums of the largest register tile in memory.
pub(super) type Sums = [[f32; TILE_COLUMNS]; 12];

/// Columns of the right-hand side, at most two vectors wide.
#[derive(Clone, Copy)]
pub(crate) struct Panel {
    /// Row 0.
    pub(crate) weights: *const f32,
    /// One value a column; null for none.
    pub(crate) bias: *const f32,
    /// Columns that exist.
    pub(crate) columns: usize,
    /// Distance between rows, in 32 bits; readable for both vectors.
    pub(crate) step: usize,
    /// How they are stored.
    pub(crate) stored: Stored,
}

multiversion! {
    /// One panel against all rows, in even blocks of at most a register tile.
    ///
    /// # Safety
    /// As [`PackedMatrix::multiply`].
    pub(crate) unsafe fn multiply_panel(isa, left: Left, rows: usize, k: usize, panel: Panel, right: Right) = panel_body
}

#[inline(always)]
unsafe fn panel_body<S: Simd>(left: Left, rows: usize, k: usize, panel: Panel, right: Right) {
    let blocks = rows.div_ceil(S::TILE_ROWS);
    for block in 0..blocks {
        let start = rows * block / blocks;
        let end = rows * (block + 1) / blocks;
        // SAFETY: the caller's contract; `start..end` is inside the rows.
        unsafe {
            let left = Left {
                start: left.start.add(start * left.row),
                ..left
            };
            let right = Right {
                start: right.start.add(start * right.row),
                residual: right.residual.map(|(at, row)| (at.add(start * row), row)),
                ..right
            };
            macro_rules! tiles {
                ($($rows:literal)*) => {
                    match (end - start, panel.columns > S::LANES, panel.stored) {
                        $(($rows, true, Stored::Full) => tile::<S, $rows, 2, false>(left, k, panel, right),
                          ($rows, false, Stored::Full) => tile::<S, $rows, 1, false>(left, k, panel, right),
                          ($rows, true, Stored::Halves) => tile::<S, $rows, 2, true>(left, k, panel, right),
                          ($rows, false, Stored::Halves) => tile::<S, $rows, 1, true>(left, k, panel, right),)*
                        _ => {}
                    }
                };
            }
            match S::TILE_ROWS {
                4 => tiles!(1 2 3 4),
                6 => tiles!(1 2 3 4 5 6),
                _ => tiles!(1 2 3 4 5 6 7 8 9 10 11 12),
            }
        }
    }
}

/// Repeats the body for the constants 0..12 below a bound. Written out, because the sums only stay in
/// registers when the compiler sees constant places before it decides where the array lives (a loop it
/// unrolls later costs a factor of two).
macro_rules! unroll {
    ($row:ident < $bound:ident $body:block) => {
        $crate::kernels::matmul::unroll!(@ $row $bound $body 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    (@ $row:ident $bound:ident $body:block $($i:literal)*) => {
        $(if $bound > $i {
            const $row: usize = $i;
            $body
        })*
    };
}
pub(super) use unroll;

#[inline(always)]
unsafe fn tile<S: Simd, const ROWS: usize, const VECTORS: usize, const HALVES: bool>(
    left: Left,
    k: usize,
    panel: Panel,
    right: Right,
) {
    // SAFETY: the caller's contract of `PackedMatrix::multiply`.
    unsafe {
        let mut start = [S::splat(0.0); VECTORS];
        if !panel.bias.is_null() {
            start[0] = S::load(panel.bias);
            if VECTORS > 1 {
                start[VECTORS - 1] = S::load(panel.bias.add(S::LANES));
            }
        }
        let mut sums = [start; ROWS];
        let mut weights = panel.weights;
        for segment in 0..left.segments {
            let mut at = left.start.add(segment * left.segment);
            for _ in 0..k {
                // Weights that come from beyond the second level arrive in time; a panel is followed by the next.
                S::prefetch(weights.wrapping_add(AHEAD));
                if !HALVES && VECTORS > 1 && S::LANES >= LINE {
                    S::prefetch(weights.wrapping_add(AHEAD + S::LANES));
                }
                let (w0, w1) = if HALVES {
                    S::load_halves(weights)
                } else if VECTORS > 1 {
                    (S::load(weights), S::load(weights.add(S::LANES)))
                } else {
                    let only = S::load(weights);
                    (only, only)
                };
                unroll!(ROW < ROWS {
                    let x = S::splat(*at.add(ROW * left.row));
                    sums[ROW][0] = S::fma(x, w0, sums[ROW][0]);
                    if VECTORS > 1 {
                        sums[ROW][VECTORS - 1] = S::fma(x, w1, sums[ROW][VECTORS - 1]);
                    }
                });
                weights = weights.add(panel.step);
                at = at.add(1);
            }
        }
        let whole = panel.columns == VECTORS * S::LANES;
        let direct = !matches!(right.activation, Activation::Gelu | Activation::GeluTanh);
        if whole && right.residual.is_none() && direct {
            // Straight from the registers: with short sums the way through memory below costs a tenth.
            // (The bound comes first: these instructions answer the second operand when one is not a
            // number, and what is not a number must stay visible.)
            let (low, high) = match right.activation {
                Activation::Relu6 => (0.0, 6.0),
                Activation::Relu => (0.0, f32::INFINITY),
                Activation::None | Activation::Gelu | Activation::GeluTanh => {
                    (f32::NEG_INFINITY, f32::INFINITY)
                }
            };
            let (low, high) = (S::splat(low), S::splat(high));
            unroll!(ROW < ROWS {
                let out = right.start.add(ROW * right.row);
                S::store(out, S::min(high, S::max(low, sums[ROW][0])));
                if VECTORS > 1 {
                    S::store(out.add(S::LANES), S::min(high, S::max(low, sums[ROW][VECTORS - 1])));
                }
            });
            return;
        }
        // From here on the sums are in memory: the epilogue is a loop, and a loop over registers would
        // have kept a copy of them in memory all along.
        let mut stored = std::mem::MaybeUninit::<Sums>::uninit();
        let stored = stored.as_mut_ptr().cast::<f32>();
        unroll!(ROW < ROWS {
            S::store(stored.add(ROW * TILE_COLUMNS), sums[ROW][0]);
            if VECTORS > 1 {
                S::store(stored.add(ROW * TILE_COLUMNS + S::LANES), sums[ROW][VECTORS - 1]);
            }
        });
        finish::<S, VECTORS>(stored, ROWS, panel.columns, right);
    }
}

/// Activates the sums of a register tile, which lie [`TILE_COLUMNS`] apart, adds the residual, and stores `columns` of each row.
///
/// # Safety
/// `stored` is readable for `rows` such rows, and `right` as [`PackedMatrix::multiply`] wants it for them.
#[inline(always)]
pub(super) unsafe fn finish<S: Simd, const VECTORS: usize>(
    stored: *const f32,
    rows: usize,
    columns: usize,
    right: Right,
) {
    let whole = columns == VECTORS * S::LANES;
    for row in 0..rows {
        for vector in 0..VECTORS {
            let offset = vector * S::LANES;
            // SAFETY: the function's contract; the last vector has at least one column.
            unsafe {
                let out = right.start.add(row * right.row + offset);
                let mut y = S::load(stored.add(row * TILE_COLUMNS + offset));
                y = match right.activation {
                    Activation::None => y,
                    Activation::Gelu => math::gelu::<S>(y),
                    Activation::GeluTanh => math::gelu_tanh::<S>(y),
                    Activation::Relu6 => S::min(S::splat(6.0), S::max(S::splat(0.0), y)),
                    Activation::Relu => S::max(S::splat(0.0), y),
                };
                let residual = right
                    .residual
                    .map(|(start, distance)| start.add(row * distance + offset));
                if whole {
                    if let Some(residual) = residual {
                        y = S::add(y, S::load(residual));
                    }
                    S::store(out, y);
                } else {
                    let count = columns - offset;
                    let count = if count < S::LANES { count } else { S::LANES };
                    if let Some(residual) = residual {
                        y = S::add(y, S::load_part(residual, count));
                    }
                    S::store_part(out, y, count);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same product in double precision, as the definition says.
    #[allow(clippy::too_many_arguments)]
    fn reference(
        left: &[f32],
        weights: &[f32],
        bias: &[f32],
        residual: Option<&[f32]>,
        m: usize,
        n: usize,
        k: usize,
        activation: Activation,
    ) -> Vec<f64> {
        let mut out = Vec::new();
        for i in 0..m {
            for j in 0..n {
                let mut sum: f64 = (0..k)
                    .map(|l| f64::from(left[i * k + l]) * f64::from(weights[j * k + l]))
                    .sum();
                sum += f64::from(bias[j]);
                sum = match activation {
                    Activation::None => sum,
                    Activation::Relu => sum.max(0.0),
                    Activation::Relu6 => sum.clamp(0.0, 6.0),
                    Activation::Gelu => {
                        let x = candle_core::Tensor::new(&[sum], &candle_core::Device::Cpu)
                            .expect("tensor");
                        x.gelu_erf()
                            .expect("gelu")
                            .to_vec1::<f64>()
                            .expect("values")[0]
                    }
                    Activation::GeluTanh => {
                        let x = candle_core::Tensor::new(&[sum], &candle_core::Device::Cpu)
                            .expect("tensor");
                        let y = x.gelu().and_then(|y| y.to_vec1::<f64>());
                        y.expect("values")[0]
                    }
                };
                out.push(sum + residual.map_or(0.0, |r| f64::from(r[i * n + j])));
            }
        }
        out
    }

    fn values(seed: u64, len: usize) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        (0..len)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]
        #[test]
        fn a_packed_product_is_the_product(
            m in 0usize..40, n in 1usize..100, k in 1usize..70, seed in any::<u64>(),
            kind in 0usize..5, with_residual in any::<bool>(), short in any::<bool>(),
        ) {
            let activation = [
                Activation::None, Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Relu6,
            ][kind];
            let left = values(seed, m * k);
            let mut weights = values(seed ^ 1, n * k);
            // One that is no brain float, and is nothing beside the others.
            weights[0] = f32::from_bits(1);
            if short {
                weights.iter_mut().for_each(|weight| *weight = half::bf16::from_f32(*weight).to_f32());
            }
            let bias = values(seed ^ 2, n);
            let residual = values(seed ^ 3, m * n);
            let expected = reference(&left, &weights, &bias, with_residual.then_some(&residual[..]), m, n, k, activation);
            for isa in Isa::available() {
                let packed = PackedMatrix::smallest(&weights, &bias, n, k, isa);
                prop_assert_eq!(packed.stored, if short { Stored::Halves } else { Stored::Full });
                let mut out = vec![f32::NAN; m * n];
                let right = Right {
                    start: out.as_mut_ptr(),
                    row: n,
                    residual: with_residual.then_some((residual.as_ptr(), n)),
                    activation,
                };
                // SAFETY: the buffers have the shapes the product reads and writes.
                unsafe { packed.multiply(Left::rows(left.as_ptr(), k), m, 0..packed.panels(), right) };
                for (got, want) in out.iter().zip(&expected) {
                    // k products of values up to one, each rounded once: k * 2^-24, with room for GELU.
                    prop_assert!((f64::from(*got) - want).abs() <= 1e-6 * (k as f64 + 2.0), "{isa:?} {got} {want}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_visible() {
        let (n, k) = (37, 3);
        for isa in Isa::available() {
            let packed = PackedMatrix::from_outputs(&vec![1.0; n * k], &[], n, k, isa);
            for activation in [
                Activation::None,
                Activation::Gelu,
                Activation::GeluTanh,
                Activation::Relu,
                Activation::Relu6,
            ] {
                let left = [f32::NAN; 3];
                let mut out = vec![0.0; n];
                let right = Right {
                    start: out.as_mut_ptr(),
                    row: n,
                    residual: None,
                    activation,
                };
                // SAFETY: one row of `k` values in, one of `n` out.
                unsafe {
                    packed.multiply(Left::rows(left.as_ptr(), k), 1, 0..packed.panels(), right)
                };
                // The error function of GELU is clamped: there it is the factor that keeps the mark.
                assert!(
                    out.iter().all(|y| y.is_nan()),
                    "{isa:?} {activation:?} {out:?}"
                );
            }
        }
    }

    #[test]
    fn segments_make_a_convolution() {
        // A 3x3 convolution of stride 2 over a 9x9 image of 3 channels against candle's own.
        let (side, channels, outputs) = (9, 3, 5);
        let image = values(7, side * side * channels);
        let weights = values(8, outputs * 9 * channels);
        let device = candle_core::Device::Cpu;
        let input = candle_core::Tensor::from_slice(&image, (1, side, side, channels), &device)
            .and_then(|t| t.permute((0, 3, 1, 2)))
            .and_then(|t| t.contiguous())
            .expect("input");
        // weights[o][ky][kx][c] -> OIHW
        let filter = candle_core::Tensor::from_slice(&weights, (outputs, 3, 3, channels), &device)
            .and_then(|t| t.permute((0, 3, 1, 2)))
            .and_then(|t| t.contiguous())
            .expect("filter");
        let expected = input
            .conv2d(&filter, 0, 2, 1, 1)
            .and_then(|t| t.permute((0, 2, 3, 1)))
            .and_then(|t| t.flatten_all());
        let expected = expected
            .and_then(|t| t.to_vec1::<f32>())
            .expect("reference");
        for isa in Isa::available() {
            let packed = PackedMatrix::from_outputs(&weights, &[], outputs, 9 * channels, isa);
            let mut out = vec![0.0; 4 * 4 * outputs];
            for y in 0..4 {
                let left = Left {
                    start: image[2 * y * side * channels..].as_ptr(),
                    row: 2 * channels,
                    segments: 3,
                    segment: side * channels,
                };
                let right = Right {
                    start: out[y * 4 * outputs..].as_mut_ptr(),
                    row: outputs,
                    residual: None,
                    activation: Activation::None,
                };
                // SAFETY: the filter stays inside the image for these four outputs.
                unsafe { packed.multiply(left, 4, 0..packed.panels(), right) };
            }
            for (got, want) in out.iter().zip(&expected) {
                assert!((got - want).abs() < 1e-5, "{isa:?} {got} {want}");
            }
        }
    }
}
