//! Squared Euclidean distances of one vector to many.

use super::simd::{Isa, Simd, multiversion};

multiversion! {
    /// `out[i] = sum((rows[i] - query)^2)` for each of `count` rows of `width`.
    ///
    /// # Safety
    /// `query` is readable for `width` elements, `rows` for `count * width`; `out` is writable for `count`.
    unsafe fn distances(isa, query: *const f32, rows: *const f32, count: usize, width: usize, out: *mut f32) = distances_body
}

/// Rows that are read side by side: their sums do not wait for each other.
const ROWS: usize = 4;

#[inline(always)]
unsafe fn distances_body<S: Simd>(
    query: *const f32,
    rows: *const f32,
    count: usize,
    width: usize,
    out: *mut f32,
) {
    let whole = width / S::LANES * S::LANES;
    let rest = width - whole;
    let mut row = 0;
    // SAFETY: the function's contract; `row + ROWS <= count` in the first loop, `row < count` in the second.
    unsafe {
        while row + ROWS <= count {
            let start = rows.add(row * width);
            let mut sums = [S::splat(0.0); ROWS];
            let mut at = 0;
            while at < whole {
                let q = S::load(query.add(at));
                for (i, sum) in sums.iter_mut().enumerate() {
                    let d = S::sub(S::load(start.add(i * width + at)), q);
                    *sum = S::fma(d, d, *sum);
                }
                at += S::LANES;
            }
            if rest > 0 {
                let q = S::load_part(query.add(whole), rest);
                for (i, sum) in sums.iter_mut().enumerate() {
                    let d = S::sub(S::load_part(start.add(i * width + whole), rest), q);
                    *sum = S::fma(d, d, *sum);
                }
            }
            for (i, sum) in sums.into_iter().enumerate() {
                *out.add(row + i) = S::sum(sum);
            }
            row += ROWS;
        }
        while row < count {
            let start = rows.add(row * width);
            let mut sum = S::splat(0.0);
            let mut at = 0;
            while at < whole {
                let d = S::sub(S::load(start.add(at)), S::load(query.add(at)));
                sum = S::fma(d, d, sum);
                at += S::LANES;
            }
            if rest > 0 {
                let d = S::sub(
                    S::load_part(start.add(whole), rest),
                    S::load_part(query.add(whole), rest),
                );
                sum = S::fma(d, d, sum);
            }
            *out.add(row) = S::sum(sum);
            row += 1;
        }
    }
}

/// The squared distance of `query` to each row of `rows`, which lie one after the other.
///
/// A row's answer does not depend on where it stands.
///
/// # Panics
/// When the lengths do not fit each other.
pub fn squared_distances(query: &[f32], rows: &[f32], out: &mut [f32]) {
    assert_eq!(
        rows.len(),
        out.len() * query.len(),
        "rows of the query's width"
    );
    // SAFETY: the lengths were just compared.
    unsafe {
        distances(
            Isa::best(),
            query.as_ptr(),
            rows.as_ptr(),
            out.len(),
            query.len(),
            out.as_mut_ptr(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn distances_are_those_of_the_definition(
            width in 1usize..150,
            count in 0usize..11,
            seed in any::<u32>(),
        ) {
            let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32
                / (1 << 24) as f32 - 0.5;
            let query: Vec<f32> = (0..width).map(value).collect();
            let rows: Vec<f32> = (0..count * width).map(|i| value(i + 1000)).collect();
            for isa in Isa::available() {
                let mut out = vec![f32::NAN; count];
                // SAFETY: the buffers have these sizes.
                unsafe {
                    distances(isa, query.as_ptr(), rows.as_ptr(), count, width, out.as_mut_ptr());
                }
                for (row, got) in rows.chunks_exact(width).zip(&out) {
                    let want: f64 = row.iter().zip(&query)
                        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
                    // Sums of up to 150 squares below one, in 32-bit floats.
                    prop_assert!((f64::from(*got) - want).abs() < 1e-4, "{}: {got} {want}", isa.name());
                }
            }
            // Alone, a row has the same bits.
            let mut all = vec![0.0; count];
            squared_distances(&query, &rows, &mut all);
            for (row, all) in rows.chunks_exact(width).zip(all) {
                let mut alone = [0.0];
                squared_distances(&query, row, &mut alone);
                prop_assert_eq!(alone[0].to_bits(), all.to_bits());
            }
        }
    }
}
