//! Arithmetic over rows of `f32`: products with vectors and matrices, exponentials. What each returns does not depend on the
//! number of threads; where the processor has FMA, products round once.

use std::ops::Range;

/// Makes a function that runs a body compiled for the widest vectors that the processor has.
///
/// The body is generic over the rows it takes at once and whether multiplying and adding is one instruction.
macro_rules! dispatch {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) = $body:ident) => {
        $(#[$doc])*
        $visibility fn $name($($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx2,fma")]
                fn widest($($arg: $type),*) { $body::<12, true>($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn wide($($arg: $type),*) { $body::<6, true>($($arg),*) }
                if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has avx512f, hence avx2, and fma, all that the function needs.
                    return unsafe { widest($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has both features.
                    return unsafe { wide($($arg),*) };
                }
            }
            $body::<4, { cfg!(target_arch = "aarch64") }>($($arg),*)
        }
    };
}

pub(crate) use dispatch;

#[inline(always)]
pub(crate) fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Vectors of a panel.
pub(crate) const PANEL: usize = 16;

/// Vectors that rows are multiplied with, sixteen beside each other, value by value.
pub(crate) struct Panels {
    dim: usize,
    count: usize,
    data: Vec<f32>,
}

impl Panels {
    /// Packs `vectors`, which have `dim` values each.
    pub fn new(dim: usize, vectors: &[f32]) -> Self {
        let count = vectors.len() / dim;
        let mut data = vec![0.0; count.div_ceil(PANEL) * PANEL * dim];
        for (at, vector) in vectors.chunks_exact(dim).enumerate() {
            let panel = &mut data[at / PANEL * PANEL * dim..];
            for (value, slot) in vector
                .iter()
                .zip(panel[at % PANEL..].iter_mut().step_by(PANEL))
            {
                *slot = *value;
            }
        }
        Self { dim, count, data }
    }

    /// How many products each row has in what [`dots`](Self::dots) fills: the vectors, and nothing up to a whole panel.
    pub fn stride(&self) -> usize {
        self.count.div_ceil(PANEL) * PANEL
    }

    /// Of each row, the vector for which `offset − 2 · product` is least, the first of several, and that number. With squares of
    /// lengths as offsets it is the nearest, and the number is the square of the distance less that of the row's length.
    pub fn nearest(&self, rows: &[f32], offsets: &[f32], labels: &mut [u32], values: &mut [f32]) {
        assert!(offsets.len() == self.count && labels.len() == values.len());
        assert_eq!(rows.len(), labels.len() * self.dim);
        let mut padded = vec![f32::INFINITY; self.stride()];
        padded[..self.count].copy_from_slice(offsets);
        nearest(rows, &self.data, self.dim, &padded, labels, values);
    }

    /// The products of each row with each vector: `rows * stride` numbers.
    pub fn dots(&self, rows: &[f32], out: &mut [f32]) {
        assert_eq!(rows.len() / self.dim * self.stride(), out.len());
        dots(rows, &self.data, self.dim, self.stride(), out);
    }
}

dispatch! { fn dots(rows: &[f32], data: &[f32], dim: usize, stride: usize, out: &mut [f32]) = dots_body }

#[inline(always)]
fn dots_body<const R: usize, const FMA: bool>(
    rows: &[f32],
    data: &[f32],
    dim: usize,
    stride: usize,
    out: &mut [f32],
) {
    for (panel, vectors) in data.chunks_exact(PANEL * dim).enumerate() {
        let mut rows = rows.chunks_exact(dim * R);
        let mut outs = out.chunks_exact_mut(stride * R);
        for (block, out) in (&mut rows).zip(&mut outs) {
            tile::<R, FMA>(block, vectors, dim, &mut out[panel * PANEL..], stride);
        }
        for (row, out) in rows
            .remainder()
            .chunks_exact(dim)
            .zip(outs.into_remainder().chunks_exact_mut(stride))
        {
            tile::<1, FMA>(row, vectors, dim, &mut out[panel * PANEL..], stride);
        }
    }
}

dispatch! {
    fn nearest(
        rows: &[f32],
        data: &[f32],
        dim: usize,
        offsets: &[f32],
        labels: &mut [u32],
        values: &mut [f32],
    ) = nearest_body
}

#[inline(always)]
fn nearest_body<const R: usize, const FMA: bool>(
    rows: &[f32],
    data: &[f32],
    dim: usize,
    offsets: &[f32],
    labels: &mut [u32],
    values: &mut [f32],
) {
    let mut blocks = rows.chunks_exact(dim * R);
    let mut done = 0;
    for block in &mut blocks {
        let range = done..done + R;
        nearest_tile::<R, FMA>(
            block,
            data,
            dim,
            offsets,
            &mut labels[range.clone()],
            &mut values[range],
        );
        done += R;
    }
    for row in blocks.remainder().chunks_exact(dim) {
        let range = done..done + 1;
        nearest_tile::<1, FMA>(
            row,
            data,
            dim,
            offsets,
            &mut labels[range.clone()],
            &mut values[range],
        );
        done += 1;
    }
}

#[inline(always)]
fn nearest_tile<const R: usize, const FMA: bool>(
    rows: &[f32],
    data: &[f32],
    dim: usize,
    offsets: &[f32],
    labels: &mut [u32],
    values: &mut [f32],
) {
    // The least of each lane, and the panel it is in.
    let mut least = [[f32::INFINITY; PANEL]; R];
    let mut panels = [[0_u32; PANEL]; R];
    let mut sums = [[0.0; PANEL]; R];
    let (offsets, _) = offsets.as_chunks::<PANEL>();
    for ((panel, vectors), offsets) in data.chunks_exact(PANEL * dim).enumerate().zip(offsets) {
        tile::<R, FMA>(rows, vectors, dim, sums.as_flattened_mut(), PANEL);
        for ((sums, least), panels) in sums.iter().zip(&mut least).zip(&mut panels) {
            for lane in 0..PANEL {
                let value = fma::<FMA>(-2.0, sums[lane], offsets[lane]);
                let less = value < least[lane];
                least[lane] = if less { value } else { least[lane] };
                panels[lane] = if less { panel as u32 } else { panels[lane] };
            }
        }
    }
    for (((least, panels), label), value) in least.iter().zip(&panels).zip(labels).zip(values) {
        let mut best = (least[0], panels[0] * PANEL as u32);
        for lane in 1..PANEL {
            let at = panels[lane] * PANEL as u32 + lane as u32;
            if least[lane] < best.0 || (least[lane] == best.0 && at < best.1) {
                best = (least[lane], at);
            }
        }
        (*value, *label) = best;
    }
}

dispatch! {
    /// Adds each row to the sum of its label.
    pub(crate) fn add_by_label(rows: &[f32], labels: &[u32], weights: &[f32], dim: usize, sums: &mut [f64]) = add_by_label_body
}

#[inline(always)]
fn add_by_label_body<const R: usize, const FMA: bool>(
    rows: &[f32],
    labels: &[u32],
    weights: &[f32],
    dim: usize,
    sums: &mut [f64],
) {
    for ((row, label), weight) in rows.chunks_exact(dim).zip(labels).zip(weights) {
        let weight = f64::from(*weight);
        let sums = &mut sums[*label as usize * dim..][..dim];
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += weight * f64::from(*value);
        }
    }
}

#[inline(always)]
fn tile<const R: usize, const FMA: bool>(
    rows: &[f32],
    vectors: &[f32],
    dim: usize,
    out: &mut [f32],
    stride: usize,
) {
    let mut sums = [[0.0_f32; PANEL]; R];
    let rows: [&[f32]; R] = std::array::from_fn(|row| &rows[row * dim..][..dim]);
    for (at, lane) in vectors.as_chunks::<PANEL>().0[..dim].iter().enumerate() {
        for (row, sums) in rows.iter().zip(&mut sums) {
            let value = row[at];
            for (sum, other) in sums.iter_mut().zip(lane) {
                *sum = fma::<FMA>(value, *other, *sum);
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        out[row * stride..][..PANEL].copy_from_slice(sums);
    }
}

dispatch! {
    /// The product of each row with one vector.
    pub(crate) fn products(rows: &[f32], vector: &[f32], out: &mut [f32]) = products_body
}

#[inline(always)]
fn products_body<const R: usize, const FMA: bool>(rows: &[f32], vector: &[f32], out: &mut [f32]) {
    for (row, out) in rows.chunks_exact(vector.len()).zip(out) {
        *out = dot::<FMA>(row, vector);
    }
}

#[inline(always)]
pub(crate) fn dot<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 32];
    let (wide_a, rest_a) = a.as_chunks::<32>();
    let (wide_b, rest_b) = b.as_chunks::<32>();
    for (a, b) in wide_a.iter().zip(wide_b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum = fma::<FMA>(*a, *b, *sum);
        }
    }
    let (small_a, rest_a) = rest_a.as_chunks::<8>();
    let (small_b, rest_b) = rest_b.as_chunks::<8>();
    for (a, b) in small_a.iter().zip(small_b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum = fma::<FMA>(*a, *b, *sum);
        }
    }
    let mut rest = 0.0;
    for (a, b) in rest_a.iter().zip(rest_b) {
        rest = fma::<FMA>(*a, *b, rest);
    }
    let mut width = 16;
    while width > 0 {
        for at in 0..width {
            sums[at] += sums[at + width];
        }
        width /= 2;
    }
    sums[0] + rest
}

dispatch! {
    /// Adds to `sum` each row times its factor.
    pub(crate) fn add_rows(rows: &[f32], factors: &[f32], sum: &mut [f32]) = add_rows_body
}

#[inline(always)]
fn add_rows_body<const R: usize, const FMA: bool>(rows: &[f32], factors: &[f32], sum: &mut [f32]) {
    let dim = sum.len();
    let (fours, rest) = factors.as_chunks::<4>();
    for (rows, factors) in rows.chunks_exact(dim * 4).zip(fours) {
        let (a, rows) = rows.split_at(dim);
        let (b, rows) = rows.split_at(dim);
        let (c, d) = rows.split_at(dim);
        for ((((sum, a), b), c), d) in sum.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            let low = fma::<FMA>(factors[1], *b, factors[0] * a);
            let high = fma::<FMA>(factors[3], *d, factors[2] * c);
            *sum += low + high;
        }
    }
    for (row, factor) in rows[fours.len() * 4 * dim..].chunks_exact(dim).zip(rest) {
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum = fma::<FMA>(*factor, *value, *sum);
        }
    }
}

/// `e^x` within two units in the last place; 0 below -87 and large above 88, never infinite. After Cephes' `expf`.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    /// Adding and subtracting it rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let whole = fma::<FMA>(x, std::f32::consts::LOG2_E, ROUND) - ROUND;
    let x = fma::<FMA>(whole, -0.693_359_4, x);
    let x = fma::<FMA>(whole, 2.121_944_4e-4, x);
    let mut sum = 1.987_569_1e-4;
    for factor in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ] {
        sum = fma::<FMA>(sum, x, factor);
    }
    let sum = fma::<FMA>(sum, x * x, x) + 1.0;
    sum * f32::from_bits(((whole as i32 + 127) << 23) as u32)
}

/// `ln(1 + x)` of `x` from 0 to 1, by the series of the inverse hyperbolic tangent.
#[inline(always)]
fn ln_1p<const FMA: bool>(x: f32) -> f32 {
    let t = x / (2.0 + x);
    let square = t * t;
    let mut sum = 1.0 / 11.0;
    for factor in [1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0] {
        sum = fma::<FMA>(sum, square, factor);
    }
    2.0 * t * sum
}

dispatch! {
    /// Of margins `z` and labels 0 or 1: the logistic losses, and in the margins' place the slopes.
    pub(crate) fn logistic(z: &mut [f32], labels: &[f32], losses: &mut [f32]) = logistic_body
}

#[inline(always)]
fn logistic_body<const R: usize, const FMA: bool>(
    z: &mut [f32],
    labels: &[f32],
    losses: &mut [f32],
) {
    for ((z, label), loss) in z.iter_mut().zip(labels).zip(losses) {
        let small = exp::<FMA>(-z.abs());
        *loss = z.max(0.0) - *z * label + ln_1p::<FMA>(small);
        let one = 1.0 / (1.0 + small);
        let probability = if *z >= 0.0 { one } else { small * one };
        *z = probability - label;
    }
}

dispatch! {
    /// Makes each row of `width` margins probabilities that sum to one, and writes the logarithm of what they were divided by,
    /// the greatest margin included: `ln Σ e^z`.
    pub(crate) fn softmax(z: &mut [f32], width: usize, logs: &mut [f32]) = softmax_body
}

#[inline(always)]
fn softmax_body<const R: usize, const FMA: bool>(z: &mut [f32], width: usize, logs: &mut [f32]) {
    for (row, log) in z.chunks_exact_mut(width).zip(logs) {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for value in row.iter_mut() {
            *value = exp::<FMA>(*value - most);
        }
        let sum: f32 = row.iter().sum();
        let share = 1.0 / sum;
        for value in row.iter_mut() {
            *value *= share;
        }
        *log = most + sum.ln();
    }
}

/// `c += aᵀ b` of row-major `a` (`rows × m`) and `b` (`rows × n`).
pub(crate) fn add_transposed(a: &[f32], m: usize, b: &[f32], n: usize, c: &mut [f32]) {
    let rows = a.len() / m;
    assert!(a.len() == rows * m && b.len() == rows * n && c.len() == m * n);
    // SAFETY: by the assertion, every index within the strides given is within the slices.
    unsafe {
        matrixmultiply::sgemm(
            m,
            rows,
            n,
            1.0,
            a.as_ptr(),
            1,
            m as isize,
            b.as_ptr(),
            n as isize,
            1,
            1.0,
            c.as_mut_ptr(),
            n as isize,
            1,
        );
    }
}

/// Adds to a symmetric matrix, of `dim` rows, `aᵀ a` of row-major `a`; only its lower half, by tiles, is right.
pub(crate) fn add_gram(a: &[f64], dim: usize, gram: &mut [f64]) {
    const TILE: usize = 192;
    let rows = a.len() / dim;
    assert!(a.len() == rows * dim && gram.len() == dim * dim);
    for top in (0..dim).step_by(TILE) {
        let height = TILE.min(dim - top);
        // SAFETY: the left matrix is columns `top..top + height` of `a`, the right one columns `0..top + height`, and the result
        // rows `top..` and columns `0..top + height` of `gram`: by the assertion all within the slices.
        unsafe {
            matrixmultiply::dgemm(
                height,
                rows,
                top + height,
                1.0,
                a.as_ptr().add(top),
                1,
                dim as isize,
                a.as_ptr(),
                dim as isize,
                1,
                1.0,
                gram.as_mut_ptr().add(top * dim),
                dim as isize,
                1,
            );
        }
    }
}

/// Ranges of rows that work is shared out by: as many rows each, not more ranges than `most`, the same for every number of
/// threads.
pub(crate) fn shares(rows: usize, least: usize, most: usize) -> Vec<Range<usize>> {
    let size = rows.div_ceil(most.max(1)).max(least).max(1);
    (0..rows)
        .step_by(size)
        .map(|start| start..(start + size).min(rows))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32)
            .map(|at| {
                let mixed = (at ^ seed).wrapping_mul(2_654_435_761).rotate_left(13) ^ seed;
                (mixed % 2000) as f32 / 1000.0 - 1.0
            })
            .collect()
    }

    #[test]
    fn products_are_those_of_f64() {
        for (rows, dim, count) in [(1, 1, 1), (13, 7, 17), (25, 50, 20), (4, 100, 33)] {
            let a = numbers(rows * dim, 1);
            let b = numbers(count * dim, 2);
            let panels = Panels::new(dim, &b);
            let mut out = vec![0.0; rows * panels.stride()];
            panels.dots(&a, &mut out);
            let mut single = vec![0.0; rows];
            products(&a, &b[..dim], &mut single);
            for row in 0..rows {
                for vector in 0..count {
                    let exact: f64 = (0..dim)
                        .map(|at| f64::from(a[row * dim + at]) * f64::from(b[vector * dim + at]))
                        .sum();
                    let got = f64::from(out[row * panels.stride() + vector]);
                    assert!((got - exact).abs() < 1e-5, "{got} {exact}");
                    if vector == 0 {
                        assert!((f64::from(single[row]) - exact).abs() < 1e-5);
                    }
                }
            }
        }
    }

    #[test]
    fn the_nearest_is_found_among_all() {
        for (rows, dim, count) in [(1, 3, 1), (13, 7, 17), (37, 50, 20), (5, 4, 100)] {
            let a = numbers(rows * dim, 6);
            let b = numbers(count * dim, 7);
            let offsets: Vec<f32> = b
                .chunks_exact(dim)
                .map(|row| row.iter().map(|one| one * one).sum())
                .collect();
            let (mut labels, mut values) = (vec![0; rows], vec![0.0; rows]);
            Panels::new(dim, &b).nearest(&a, &offsets, &mut labels, &mut values);
            for (row, (label, value)) in a.chunks_exact(dim).zip(labels.iter().zip(&values)) {
                let square: f32 = row.iter().map(|one| one * one).sum();
                let distance = |vector: &[f32]| -> f32 {
                    row.iter().zip(vector).map(|(a, b)| (a - b) * (a - b)).sum()
                };
                let least = b
                    .chunks_exact(dim)
                    .map(distance)
                    .fold(f32::INFINITY, f32::min);
                let own = distance(&b[*label as usize * dim..][..dim]);
                assert!(own <= least + 1e-4 && (own - square - value).abs() < 1e-4);
            }
        }
        // Of two that are as near, the first.
        let (mut labels, mut values) = ([9], [0.0]);
        let vectors = [1.0_f32; 40];
        Panels::new(1, &vectors).nearest(&[1.0], &[1.0; 40], &mut labels, &mut values);
        assert_eq!((labels[0], values[0]), (0, -1.0));
    }

    #[test]
    fn rows_are_added_and_transposed() {
        let (rows, dim) = (11, 9);
        let a = numbers(rows * dim, 3);
        let factors = numbers(rows * 2, 4);
        let mut product = vec![0.0; 2 * dim];
        add_transposed(&factors, 2, &a, dim, &mut product);
        for one in 0..2 {
            let own: Vec<_> = factors.iter().skip(one).step_by(2).copied().collect();
            let mut sum = vec![0.0; dim];
            add_rows(&a, &own, &mut sum);
            for (got, expected) in sum.iter().zip(&product[one * dim..]) {
                assert!((got - expected).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn losses_are_those_of_f64() {
        let mut z: Vec<f32> = (-400..=400).map(|at| at as f32 / 8.0).collect();
        let labels: Vec<f32> = (0..z.len()).map(|at| (at % 2) as f32).collect();
        let mut losses = vec![0.0; z.len()];
        let margins = z.clone();
        logistic(&mut z, &labels, &mut losses);
        for ((margin, label), (slope, loss)) in
            margins.iter().zip(&labels).zip(z.iter().zip(&losses))
        {
            let (margin, label) = (f64::from(*margin), f64::from(*label));
            let exact = margin.max(0.0) - margin * label + (-margin.abs()).exp().ln_1p();
            assert!((f64::from(*loss) - exact).abs() < 1e-6 * exact.max(1.0));
            let exact = 1.0 / (1.0 + (-margin).exp()) - label;
            assert!((f64::from(*slope) - exact).abs() < 2e-7);
        }
        let mut z = vec![1.0, 2.0, 3.0, -1e30, 1e30, 0.0];
        let mut logs = vec![0.0; 2];
        softmax(&mut z, 3, &mut logs);
        assert!((z[..3].iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((logs[0] - 3.407_606).abs() < 1e-5);
        assert_eq!(
            z[3..],
            [0.0, 1.0, 0.0].map(|one: f32| if one == 1.0 { 1.0 } else { z[3] })
        );
        assert!(z[3] < 1e-30);
    }

    #[test]
    fn half_of_a_gram_matrix_is_right() {
        let (rows, dim) = (5, 200);
        let a: Vec<f64> = numbers(rows * dim, 5).into_iter().map(f64::from).collect();
        let mut gram = vec![0.0; dim * dim];
        add_gram(&a, dim, &mut gram);
        for row in 0..dim {
            for column in 0..=row {
                let exact: f64 = (0..rows)
                    .map(|at| a[at * dim + row] * a[at * dim + column])
                    .sum();
                assert!((gram[row * dim + column] - exact).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn shares_are_all_rows_once() {
        for rows in [0, 1, 255, 256, 257, 100_000] {
            let shares = shares(rows, 256, 64);
            assert!(shares.len() <= 64);
            assert_eq!(shares.iter().map(|range| range.len()).sum::<usize>(), rows);
            assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }
}
