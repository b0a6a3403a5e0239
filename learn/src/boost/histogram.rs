//! Sums of gradients by bins.
//!
//! Sums are whole numbers: gradients are scaled by a power of two so that the sum of all of them has at most 51 bits. Whole
//! numbers add up to the same in any order, so neither threads nor the way rows are cut between them change a model, and a sum
//! less a part of it is exactly the rest; nothing is lost either where such sums become numbers of 64 bits with a point.

use super::bins::{Bins, Block, Codes, Layout};

/// A gradient and a hessian, scaled.
pub type Pair = [i64; 2];

/// Bits of a sum.
const BITS: i32 = 51;

/// What is added to a number of fewer bits to have it, rounded, in the lowest ones.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// How gradients and hessians are scaled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// What they are multiplied by.
    to: [f64; 2],
    /// What sums are multiplied by to be those of gradients and hessians.
    back: [f64; 2],
}

impl Scale {
    /// For as many pairs, of which none is larger than this.
    pub fn new(rows: usize, largest: [f32; 2]) -> Self {
        let exponents = largest.map(|largest| {
            let sum = f64::from(largest) * rows.max(1) as f64;
            // Where all are zero, any will do.
            if sum > 0.0 {
                BITS - sum.log2().ceil() as i32
            } else {
                0
            }
        });
        Self {
            to: exponents.map(|exponent| 2f64.powi(exponent)),
            back: exponents.map(|exponent| 2f64.powi(-exponent)),
        }
    }

    /// A pair as whole numbers.
    pub fn whole(&self, pair: [f32; 2]) -> Pair {
        [0, 1].map(|part| {
            let rounded = f64::from(pair[part]) * self.to[part] + ROUND;
            rounded.to_bits() as i64 - ROUND.to_bits() as i64
        })
    }

    /// A sum of pairs as it would be without a scale.
    pub fn sum(&self, pair: Pair) -> [f64; 2] {
        [0, 1].map(|part| pair[part] as f64 * self.back[part])
    }
}

/// Adds rows to the histogram of a span of columns.
pub fn add(bins: &Bins, span: usize, rows: &[u32], pairs: &[Pair], sums: &mut [Pair]) {
    match &bins.layout {
        Layout::Dense { blocks, .. } => {
            let block = &blocks[span];
            macro_rules! by_width {
                ($codes:ident, $kernel:ident: $($width:literal)*) => {
                    match block.offsets.len() {
                        $($width => $kernel::<$width>(block, $codes, rows, pairs, sums),)*
                        other => unreachable!("blocks have at most 16 columns, not {other}"),
                    }
                };
            }
            match &block.codes {
                Codes::Narrow(codes) => {
                    by_width!(codes, narrow: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
                }
                Codes::Wide(codes) => {
                    by_width!(codes, wide: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
                }
            }
        }
        Layout::Sparse { .. } => unreachable!("sparse rows are added whole"),
    }
}

/// Adds sparse rows to a histogram of all columns.
pub fn add_sparse(
    starts: &[usize],
    slots: &[u32],
    rows: &[u32],
    pairs: &[Pair],
    sums: &mut [Pair],
) {
    for (at, row) in rows.iter().enumerate() {
        if let Some(later) = rows.get(at + AHEAD) {
            soon(starts, *later as usize);
            soon(pairs, *later as usize);
        }
        if let Some(later) = rows.get(at + AHEAD / 2) {
            let start = starts[*later as usize];
            soon(slots, start);
            soon(slots, start + 16);
        }
        let row = *row as usize;
        let [gradient, hessian] = pairs[row];
        for slot in &slots[starts[row]..starts[row + 1]] {
            let sum = &mut sums[*slot as usize];
            sum[0] += gradient;
            sum[1] += hessian;
        }
    }
}

/// How many rows ahead are asked for.
const AHEAD: usize = 24;

#[inline(always)]
fn soon<T>(values: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing, and the address is computed without being followed.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().wrapping_add(at).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, at);
}

fn narrow<const WIDTH: usize>(
    block: &Block,
    codes: &[u8],
    rows: &[u32],
    pairs: &[Pair],
    sums: &mut [Pair],
) {
    let mut offsets = [0u32; WIDTH];
    offsets.copy_from_slice(&block.offsets);
    rows_of::<WIDTH, u8>(codes, rows, pairs, sums, |place, code| {
        offsets[place] as usize + usize::from(code)
    });
}

fn wide<const WIDTH: usize>(
    _: &Block,
    codes: &[u16],
    rows: &[u32],
    pairs: &[Pair],
    sums: &mut [Pair],
) {
    rows_of::<WIDTH, u16>(codes, rows, pairs, sums, |_, code| usize::from(code));
}

#[inline(always)]
fn rows_of<const WIDTH: usize, C: Copy>(
    codes: &[C],
    rows: &[u32],
    pairs: &[Pair],
    sums: &mut [Pair],
    slot: impl Fn(usize, C) -> usize,
) {
    for (at, row) in rows.iter().enumerate() {
        if let Some(later) = rows.get(at + AHEAD) {
            soon(codes, *later as usize * WIDTH);
            soon(pairs, *later as usize);
        }
        let row = *row as usize;
        let [gradient, hessian] = pairs[row];
        let own = &codes[row * WIDTH..(row + 1) * WIDTH];
        for (place, code) in own.iter().enumerate() {
            let slot = slot(place, *code);
            debug_assert!(slot < sums.len());
            // SAFETY: codes are below the slots of their column, since `Bins` made both, and `sums` are as many as the slots
            // of the span, since its callers cut histograms by `Bins::slots_of`.
            let sum = unsafe { sums.get_unchecked_mut(slot) };
            sum[0] += gradient;
            sum[1] += hessian;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Features;

    #[test]
    fn scaled_pairs_keep_what_they_were_and_their_sum_fits() {
        let scale = Scale::new(1000, [0.75, 1.0]);
        for value in [0.75f32, -0.75, 0.1, 1e-9, 0.0] {
            let back = scale.sum(scale.whole([value, 1.0]));
            assert!(
                (back[0] - f64::from(value)).abs() <= scale.back[0],
                "{value} {back:?}"
            );
            assert_eq!(back[1], 1.0);
        }
        let whole = scale.whole([0.75, 1.0]);
        assert!(whole.iter().all(|part| part.checked_mul(1000).is_some()));
        assert_eq!(Scale::new(5, [0.0, 0.0]).whole([0.0, 0.0]), [0, 0]);
    }

    #[test]
    fn every_layout_has_the_sums_of_a_plain_loop() {
        let mut state = 1u32;
        let mut random = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        for (columns, most, distinct, missing) in [
            (3, 256, 9, 0),
            (21, 256, 5000, 0),
            (21, 256, 5000, 3),
            (2, 1000, 5000, 0),
        ] {
            let rows = 1500;
            let values: Vec<f32> = (0..rows * columns)
                .map(|_| match random() % 10 < missing {
                    true => f32::NAN,
                    false => (random() % distinct) as f32,
                })
                .collect();
            let bins = Bins::new(
                &Features::Dense {
                    columns,
                    values: values.clone(),
                },
                None,
                most,
            )
            .unwrap();
            let pairs: Vec<Pair> = (0..rows).map(|row| [row as i64 - 700, 1]).collect();
            let chosen: Vec<u32> = (0..rows as u32).filter(|row| row % 3 != 1).collect();
            let mut sums = vec![[0; 2]; bins.total()];
            for (span, range) in bins.spans.iter().enumerate() {
                add(
                    &bins,
                    span,
                    &chosen,
                    &pairs,
                    &mut sums[bins.slots_of(range)],
                );
            }
            for column in 0..columns {
                let mut expected = vec![[0; 2]; bins.cuts.bins(column)];
                for row in &chosen {
                    let value = values[*row as usize * columns + column];
                    if !value.is_nan() {
                        let sum =
                            &mut expected[super::super::cuts::bin(bins.cuts.of(column), value)];
                        let pair = pairs[*row as usize];
                        *sum = [sum[0] + pair[0], sum[1] + pair[1]];
                    }
                }
                assert_eq!(&sums[bins.slots[column]..][..expected.len()], expected);
            }
        }
    }
}
