//! The table as optimisers see it: columns shifted and scaled, and sums over all rows of losses and their slopes.
//!
//! Dense rows are shifted and scaled once. Sparse ones stay as they are: shifting would fill them, so it is done to the
//! weights instead, which is the same.

use crate::kernel::{self, Panels};
use crate::{Csr, Features};
use rayon::prelude::*;
use std::ops::Range;

/// Rows that are worked on at once, so that they stay in the cache between products and sums.
const BLOCK: usize = 256;
/// How much memory sums of slopes may take, over all shares of rows.
const SUMS: usize = 256 << 20;

/// What is subtracted from columns, and what they are divided by then.
#[derive(Clone, Debug)]
pub(super) struct Scaler {
    pub mean: Vec<f64>,
    pub scale: Vec<f64>,
}

impl Scaler {
    /// Learned of at most `sample` rows, evenly spread over the table.
    pub fn of(features: &Features, sample: usize, shift: bool, scale: bool) -> Self {
        let (rows, columns) = (features.rows(), features.columns());
        let (mut mean, mut square) = (vec![0.0_f64; columns], vec![0.0_f64; columns]);
        let count = sample.min(rows).max(1);
        let mut row = vec![0.0; columns];
        // Sums are taken around the first row: numbers far from zero keep their digits.
        let mut first = vec![0.0; columns];
        if let Features::Dense { values, .. } = features {
            first.copy_from_slice(&values[..columns]);
        }
        for at in 0..count {
            let at = (at as u128 * rows as u128 / count as u128) as usize;
            match features {
                Features::Dense { values, .. } => {
                    row.copy_from_slice(&values[at * columns..][..columns]);
                    for (((value, first), mean), square) in
                        row.iter().zip(&first).zip(&mut mean).zip(&mut square)
                    {
                        let value = f64::from(*value) - f64::from(*first);
                        *mean += value;
                        *square += value * value;
                    }
                }
                Features::Sparse(csr) => {
                    let (indices, values) = csr.row(at);
                    for (index, value) in indices.iter().zip(values) {
                        let value = f64::from(*value);
                        mean[*index as usize] += value;
                        square[*index as usize] += value * value;
                    }
                }
            }
        }
        let count = count as f64;
        let mut scales = vec![1.0; columns];
        for column in 0..columns {
            let average = mean[column] / count;
            let variance = square[column] / count - average * average;
            mean[column] = if shift {
                average + f64::from(first[column])
            } else {
                0.0
            };
            // A column that hardly changes has nothing to be scaled by.
            let least = 1e-14 * square[column] / count;
            if scale && variance > least && variance.sqrt() > 1e-30 {
                scales[column] = variance.sqrt();
            }
        }
        Self {
            mean,
            scale: scales,
        }
    }

    /// Weights and bias (last) of the columns as they are, from those of scaled ones.
    pub fn unscaled(&self, weights: &[f64]) -> (Vec<f64>, f64) {
        let (weights, bias) = weights.split_at(self.mean.len());
        let raw: Vec<_> = weights
            .iter()
            .zip(&self.scale)
            .map(|(weight, scale)| weight / scale)
            .collect();
        let shift: f64 = raw
            .iter()
            .zip(&self.mean)
            .map(|(weight, mean)| weight * mean)
            .sum();
        (raw, bias[0] - shift)
    }
}

pub(super) enum Design {
    Dense {
        columns: usize,
        rows: Vec<f32>,
    },
    Sparse {
        csr: Csr,
        /// The same by columns: where each begins, rows, values.
        starts: Vec<usize>,
        rows: Vec<u32>,
        values: Vec<f32>,
        scaler: Scaler,
    },
}

/// Sums over rows.
pub(super) struct Sums {
    /// Losses, one for each loss that is kept apart.
    pub losses: Vec<f64>,
    /// Slopes, `columns` and one of the bias for each output.
    pub slopes: Vec<f64>,
}

/// Of scores of rows (outputs beside each other): adds losses, and leaves slopes in their place.
pub(super) type Slopes<'a> = dyn Fn(Range<usize>, &mut [f32], &mut [f64]) + Sync + 'a;

impl Design {
    pub fn new(features: &Features, scaler: &Scaler) -> Self {
        match features {
            Features::Dense { columns, values } => {
                let mean: Vec<_> = scaler.mean.clone();
                let share: Vec<_> = scaler.scale.iter().map(|scale| 1.0 / scale).collect();
                let mut rows = vec![0.0; values.len()];
                rows.par_chunks_mut(columns * BLOCK)
                    .zip(values.par_chunks(columns * BLOCK))
                    .for_each(|(scaled, values)| {
                        for (scaled, values) in scaled
                            .chunks_exact_mut(*columns)
                            .zip(values.chunks_exact(*columns))
                        {
                            for (((scaled, value), mean), share) in
                                scaled.iter_mut().zip(values).zip(&mean).zip(&share)
                            {
                                *scaled = ((f64::from(*value) - mean) * share) as f32;
                            }
                        }
                    });
                Self::Dense {
                    columns: *columns,
                    rows,
                }
            }
            Features::Sparse(csr) => {
                let mut starts = vec![0; csr.columns + 1];
                for index in &csr.indices {
                    starts[*index as usize + 1] += 1;
                }
                for at in 1..starts.len() {
                    starts[at] += starts[at - 1];
                }
                let mut next = starts.clone();
                let (mut rows, mut values) =
                    (vec![0; csr.values.len()], vec![0.0; csr.values.len()]);
                for row in 0..features.rows() {
                    let (indices, numbers) = csr.row(row);
                    for (index, number) in indices.iter().zip(numbers) {
                        let at = &mut next[*index as usize];
                        rows[*at] = row as u32;
                        values[*at] = *number;
                        *at += 1;
                    }
                }
                Self::Sparse {
                    csr: csr.clone(),
                    starts,
                    rows,
                    values,
                    scaler: scaler.clone(),
                }
            }
        }
    }

    pub fn columns(&self) -> usize {
        match self {
            Self::Dense { columns, .. } => *columns,
            Self::Sparse { csr, .. } => csr.columns,
        }
    }

    pub fn rows(&self) -> usize {
        match self {
            Self::Dense { columns, rows } => rows.len() / columns,
            Self::Sparse { csr, .. } => csr.starts.len() - 1,
        }
    }

    /// Losses and slopes summed over some rows, in the order that `order` has them, or all in their own order.
    ///
    /// `weights` are `columns` and a bias for each of `outputs`.
    pub fn sums(
        &self,
        weights: &[f64],
        outputs: usize,
        losses: usize,
        order: Option<&[u32]>,
        slopes: &Slopes,
    ) -> Sums {
        let width = self.columns() + 1;
        let count = order.map_or(self.rows(), <[u32]>::len);
        match self {
            Self::Dense { columns, rows } => {
                let product = Product::new(*columns, weights, outputs);
                let most = SUMS / (outputs * width * 8).max(1);
                let shares = kernel::shares(count, BLOCK, most.clamp(1, 64));
                let parts: Vec<_> = shares
                    .into_par_iter()
                    .map(|share| {
                        dense(
                            rows, *columns, &product, outputs, losses, order, share, slopes,
                        )
                    })
                    .collect();
                let mut parts = parts.into_iter();
                let mut sums = parts.next().unwrap_or_else(|| Sums {
                    losses: vec![0.0; losses],
                    slopes: vec![0.0; outputs * width],
                });
                for part in parts {
                    add(&mut sums.losses, &part.losses);
                    add(&mut sums.slopes, &part.slopes);
                }
                sums
            }
            Self::Sparse {
                csr,
                starts,
                rows,
                values,
                scaler,
            } => {
                let scores = Scores::new(scaler, weights, outputs);
                let mut all = vec![0.0; count * outputs];
                let parts: Vec<_> = all
                    .par_chunks_mut(BLOCK * outputs)
                    .enumerate()
                    .map(|(block, out)| {
                        let start = block * BLOCK;
                        for (at, out) in out.chunks_exact_mut(outputs).enumerate() {
                            let row = order.map_or(start + at, |order| order[start + at] as usize);
                            scores.row(csr.row(row), out);
                        }
                        let mut sums = vec![0.0; losses];
                        slopes(start..start + out.len() / outputs, out, &mut sums);
                        sums
                    })
                    .collect();
                let mut sums = Sums {
                    losses: vec![0.0; losses],
                    slopes: vec![0.0; outputs * width],
                };
                for part in parts {
                    add(&mut sums.losses, &part);
                }
                let mut totals = vec![0.0_f64; outputs];
                for row in all.chunks_exact(outputs) {
                    for (total, slope) in totals.iter_mut().zip(row) {
                        *total += f64::from(*slope);
                    }
                }
                // By columns, so that no two threads add to one sum.
                let mut by_column = vec![0.0_f64; csr.columns * outputs];
                match order {
                    None => {
                        by_column
                            .par_chunks_mut(outputs)
                            .enumerate()
                            .for_each(|(column, sums)| {
                                for at in starts[column]..starts[column + 1] {
                                    let row = &all[rows[at] as usize * outputs..][..outputs];
                                    for (sum, slope) in sums.iter_mut().zip(row) {
                                        *sum += f64::from(values[at]) * f64::from(*slope);
                                    }
                                }
                            })
                    }
                    Some(order) => {
                        for (row, slopes) in order.iter().zip(all.chunks_exact(outputs)) {
                            let (indices, values) = csr.row(*row as usize);
                            for (index, value) in indices.iter().zip(values) {
                                let sums = &mut by_column[*index as usize * outputs..][..outputs];
                                for (sum, slope) in sums.iter_mut().zip(slopes) {
                                    *sum += f64::from(*value) * f64::from(*slope);
                                }
                            }
                        }
                    }
                }
                for (output, total) in totals.iter().enumerate() {
                    let out = &mut sums.slopes[output * width..][..width];
                    for column in 0..csr.columns {
                        out[column] = (by_column[column * outputs + output]
                            - scaler.mean[column] * total)
                            / scaler.scale[column];
                    }
                    out[csr.columns] = *total;
                }
                sums
            }
        }
    }

    /// The scores of all rows, outputs beside each other.
    pub fn scores(&self, weights: &[f64], outputs: usize) -> Vec<f32> {
        let mut all = vec![0.0; self.rows() * outputs];
        match self {
            Self::Dense { columns, rows } => {
                let product = Product::new(*columns, weights, outputs);
                all.par_chunks_mut(BLOCK * outputs)
                    .zip(rows.par_chunks(BLOCK * columns))
                    .for_each_init(Vec::new, |held, (out, rows)| {
                        product.scores(rows, out, held)
                    });
            }
            Self::Sparse { csr, scaler, .. } => {
                let scores = Scores::new(scaler, weights, outputs);
                all.par_chunks_mut(outputs)
                    .enumerate()
                    .for_each(|(row, out)| scores.row(csr.row(row), out));
            }
        }
        all
    }

    /// `Xᵀ X / n` (its lower half), `Xᵀ y / n` and the means of columns, rows counting as their weights; `y` has a column for
    /// each output. None for sparse tables.
    pub fn normal(&self, targets: &[f32], weights: Option<&[f32]>) -> Option<Normal> {
        let Self::Dense { columns, rows } = self else {
            return None;
        };
        let width = columns + 2;
        let most = SUMS / (width * width * 8);
        let shares = kernel::shares(self.rows(), 1024, most.clamp(1, 16));
        let parts: Vec<_> = shares
            .into_par_iter()
            .map(|share| {
                let mut gram = vec![0.0; width * width];
                let mut wide = Vec::with_capacity(BLOCK * width);
                for start in share.clone().step_by(BLOCK) {
                    wide.clear();
                    for row in start..(start + BLOCK).min(share.end) {
                        let root = weights.map_or(1.0, |weights| f64::from(weights[row]).sqrt());
                        let values = &rows[row * columns..][..*columns];
                        wide.extend(values.iter().map(|value| f64::from(*value) * root));
                        wide.extend([root, f64::from(targets[row]) * root]);
                    }
                    kernel::add_gram(&wide, width, &mut gram);
                }
                gram
            })
            .collect();
        let gram = parts.into_iter().reduce(|mut sum, part| {
            add(&mut sum, &part);
            sum
        })?;
        Some(Normal { gram, width })
    }
}

/// Sums of products of columns, of ones (last but one) and of targets (last), with each other.
pub(super) struct Normal {
    pub gram: Vec<f64>,
    pub width: usize,
}

fn add(sum: &mut [f64], part: &[f64]) {
    for (sum, part) in sum.iter_mut().zip(part) {
        *sum += part;
    }
}

/// Weights as kernels take them.
enum Product {
    /// Each output on its own.
    Few(Vec<Vec<f32>>, Vec<f32>),
    Many(Panels, Vec<f32>),
}

impl Product {
    fn new(columns: usize, weights: &[f64], outputs: usize) -> Self {
        let rows = weights.chunks_exact(columns + 1);
        let biases = rows.clone().map(|row| row[columns] as f32).collect();
        let flat = |row: &[f64]| {
            row[..columns]
                .iter()
                .map(|one| *one as f32)
                .collect::<Vec<_>>()
        };
        if outputs < 4 {
            Self::Few(rows.map(flat).collect(), biases)
        } else {
            let all: Vec<f32> = rows.flat_map(flat).collect();
            Self::Many(Panels::new(columns, &all), biases)
        }
    }

    fn scores(&self, rows: &[f32], out: &mut [f32], held: &mut Vec<f32>) {
        match self {
            Self::Few(vectors, biases) => {
                let outputs = vectors.len();
                if let ([vector], [bias]) = (vectors.as_slice(), biases.as_slice()) {
                    kernel::products(rows, vector, out);
                    out.iter_mut().for_each(|one| *one += bias);
                    return;
                }
                held.clear();
                held.resize(out.len() / outputs, 0.0);
                for (output, (vector, bias)) in vectors.iter().zip(biases).enumerate() {
                    kernel::products(rows, vector, held);
                    for (out, score) in out[output..].iter_mut().step_by(outputs).zip(&*held) {
                        *out = score + bias;
                    }
                }
            }
            Self::Many(panels, biases) => {
                let outputs = biases.len();
                held.clear();
                held.resize(out.len() / outputs * panels.stride(), 0.0);
                panels.dots(rows, held);
                for (out, scores) in out
                    .chunks_exact_mut(outputs)
                    .zip(held.chunks_exact(panels.stride()))
                {
                    for ((out, score), bias) in out.iter_mut().zip(scores).zip(biases) {
                        *out = score + bias;
                    }
                }
            }
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "the inner loop of one caller")]
fn dense(
    rows: &[f32],
    columns: usize,
    product: &Product,
    outputs: usize,
    losses: usize,
    order: Option<&[u32]>,
    share: Range<usize>,
    slopes: &Slopes,
) -> Sums {
    let width = columns + 1;
    let mut sums = Sums {
        losses: vec![0.0; losses],
        slopes: vec![0.0; outputs * width],
    };
    let mut gathered = Vec::new();
    let mut held = Vec::new();
    let mut scores = vec![0.0; BLOCK * outputs];
    let mut own = vec![0.0; BLOCK];
    let mut partial = vec![0.0_f32; outputs * columns];
    for start in share.clone().step_by(BLOCK) {
        let range = start..(start + BLOCK).min(share.end);
        let block = match order {
            None => &rows[range.start * columns..range.end * columns],
            Some(order) => {
                gathered.clear();
                for row in &order[range.clone()] {
                    gathered.extend_from_slice(&rows[*row as usize * columns..][..columns]);
                }
                &gathered
            }
        };
        let scores = &mut scores[..range.len() * outputs];
        product.scores(block, scores, &mut held);
        slopes(range.clone(), scores, &mut sums.losses);
        partial.fill(0.0);
        if outputs < 4 {
            let own = &mut own[..range.len()];
            for (output, partial) in partial.chunks_exact_mut(columns).enumerate() {
                for (own, slope) in own.iter_mut().zip(scores[output..].iter().step_by(outputs)) {
                    *own = *slope;
                }
                kernel::add_rows(block, own, partial);
            }
        } else {
            kernel::add_transposed(scores, outputs, block, columns, &mut partial);
        }
        for (output, out) in sums.slopes.chunks_exact_mut(width).enumerate() {
            for (sum, part) in out.iter_mut().zip(&partial[output * columns..][..columns]) {
                *sum += f64::from(*part);
            }
            out[columns] += scores[output..]
                .iter()
                .step_by(outputs)
                .map(|slope| f64::from(*slope))
                .sum::<f64>();
        }
    }
    sums
}

/// Weights of sparse rows: those of unscaled columns, outputs beside each other.
struct Scores {
    weights: Vec<f64>,
    biases: Vec<f64>,
}

impl Scores {
    fn new(scaler: &Scaler, weights: &[f64], outputs: usize) -> Self {
        let columns = scaler.mean.len();
        let mut out = Self {
            weights: vec![0.0; columns * outputs],
            biases: Vec::with_capacity(outputs),
        };
        for (output, row) in weights.chunks_exact(columns + 1).enumerate() {
            let (raw, bias) = scaler.unscaled(row);
            for (column, weight) in raw.into_iter().enumerate() {
                out.weights[column * outputs + output] = weight;
            }
            out.biases.push(bias);
        }
        out
    }

    fn row(&self, (indices, values): (&[u32], &[f32]), out: &mut [f32]) {
        let outputs = self.biases.len();
        let mut sums = self.biases.clone();
        for (index, value) in indices.iter().zip(values) {
            let weights = &self.weights[*index as usize * outputs..][..outputs];
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += f64::from(*value) * weight;
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum as f32;
        }
    }
}
