//! Points, and the steps that centers take among them.

use crate::kernel::{self, Panels};
use crate::{Csr, Features};
use rand::Rng;
use rand::rngs::StdRng;
use rayon::prelude::*;
use std::ops::Range;

/// Points that are worked on at once.
const BLOCK: usize = 240;
/// How much memory sums of clusters may take, over all shares of points.
const SUMS: usize = 256 << 20;

/// Points, and how much each counts.
pub(super) struct Points<'a> {
    rows: Rows<'a>,
    /// One for each point.
    pub weights: Vec<f32>,
    /// The square of each point's length.
    squares: Vec<f32>,
    columns: usize,
}

enum Rows<'a> {
    Dense(Vec<f32>),
    Sparse(&'a Csr),
}

/// Where points belong, and what that sums up to.
pub(super) struct Step {
    /// Sums of the points of each cluster, `k * columns`.
    pub sums: Vec<f64>,
    /// How much the points of each cluster count.
    pub counts: Vec<f64>,
    /// The sum of squares of distances.
    pub ssd: f64,
    /// Points that were of another cluster before.
    pub moved: usize,
}

impl<'a> Points<'a> {
    /// Points of a table, dense ones with `mean` subtracted: near zero, `f32` tells distances best. Sparse rows may have fewer
    /// than `columns`.
    pub fn new(features: &'a Features, columns: usize, mean: &[f32], weights: Vec<f32>) -> Self {
        let (rows, squares) = match features {
            Features::Dense { values, .. } => {
                let mut rows = vec![0.0; values.len()];
                rows.par_chunks_mut(columns * BLOCK)
                    .zip(values.par_chunks(columns * BLOCK))
                    .for_each(|(rows, values)| {
                        for (row, values) in rows
                            .chunks_exact_mut(columns)
                            .zip(values.chunks_exact(columns))
                        {
                            for ((row, value), mean) in row.iter_mut().zip(values).zip(mean) {
                                *row = value - mean;
                            }
                        }
                    });
                let squares = rows.par_chunks_exact(columns).map(square).collect();
                (Rows::Dense(rows), squares)
            }
            Features::Sparse(csr) => {
                let squares = (0..features.rows())
                    .map(|row| square(csr.row(row).1))
                    .collect();
                (Rows::Sparse(csr), squares)
            }
        };
        Self {
            rows,
            weights,
            squares,
            columns,
        }
    }

    /// Points that are there.
    pub fn dense(rows: Vec<f32>, columns: usize, weights: Vec<f32>) -> Points<'static> {
        Points {
            squares: rows.chunks_exact(columns).map(square).collect(),
            rows: Rows::Dense(rows),
            weights,
            columns,
        }
    }

    pub fn len(&self) -> usize {
        self.squares.len()
    }

    /// A point, every value of it.
    pub fn point(&self, at: usize) -> Vec<f32> {
        match &self.rows {
            Rows::Dense(rows) => rows[at * self.columns..][..self.columns].to_vec(),
            Rows::Sparse(csr) => {
                let mut point = vec![0.0; self.columns];
                let (indices, values) = csr.row(at);
                for (index, value) in indices.iter().zip(values) {
                    point[*index as usize] = *value;
                }
                point
            }
        }
    }

    /// The nearest center of each point of a range, and the square of its distance.
    fn nearest(
        &self,
        centers: &Centers,
        range: Range<usize>,
        labels: &mut [u32],
        squares: &mut [f32],
    ) {
        match &self.rows {
            Rows::Dense(rows) => {
                let rows = &rows[range.start * self.columns..range.end * self.columns];
                centers
                    .panels
                    .nearest(rows, &centers.squares, labels, squares);
            }
            Rows::Sparse(csr) => {
                let count = centers.squares.len();
                let mut products = vec![0.0_f32; count];
                for (row, (label, value)) in
                    range.clone().zip(labels.iter_mut().zip(squares.iter_mut()))
                {
                    products.fill(0.0);
                    let (indices, values) = csr.row(row);
                    for (index, value) in indices.iter().zip(values) {
                        let lane = &centers.by_column[*index as usize * count..][..count];
                        for (product, center) in products.iter_mut().zip(lane) {
                            *product += value * center;
                        }
                    }
                    (*label, *value) = (0, f32::INFINITY);
                    for (at, (product, square)) in products.iter().zip(&centers.squares).enumerate()
                    {
                        let found = square - 2.0 * product;
                        if found < *value {
                            (*label, *value) = (at as u32, found);
                        }
                    }
                }
            }
        }
        for (square, own) in squares.iter_mut().zip(&self.squares[range]) {
            *square = (*square + own).max(0.0);
        }
    }

    /// Assigns the points of a range to their nearest centers, and sums them up.
    pub fn step(&self, centers: &[f32], range: Range<usize>, labels: &mut [u32]) -> Step {
        let k = centers.len() / self.columns;
        let held = Centers::new(centers, self.columns, matches!(self.rows, Rows::Sparse(_)));
        let most = SUMS / (centers.len() * 8).max(1);
        let size = range
            .len()
            .div_ceil(most.clamp(1, 64))
            .next_multiple_of(BLOCK)
            .max(BLOCK);
        let parts: Vec<Step> = labels
            .par_chunks_mut(size)
            .enumerate()
            .map(|(at, labels)| {
                let mut step = Step {
                    sums: vec![0.0; centers.len()],
                    counts: vec![0.0; k],
                    ssd: 0.0,
                    moved: 0,
                };
                let (mut now, mut squares) = ([0_u32; BLOCK], [0.0_f32; BLOCK]);
                let mut start = range.start + at * size;
                for labels in labels.chunks_mut(BLOCK) {
                    let range = start..start + labels.len();
                    start = range.end;
                    let (now, squares) = (&mut now[..labels.len()], &mut squares[..labels.len()]);
                    self.nearest(&held, range.clone(), now, squares);
                    let weights = &self.weights[range.clone()];
                    for (((label, now), square), weight) in
                        labels.iter_mut().zip(&*now).zip(&*squares).zip(weights)
                    {
                        step.moved += usize::from(label != now);
                        *label = *now;
                        step.counts[*now as usize] += f64::from(*weight);
                        step.ssd += f64::from(*weight) * f64::from(*square);
                    }
                    match &self.rows {
                        Rows::Dense(rows) => {
                            let rows = &rows[range.start * self.columns..range.end * self.columns];
                            kernel::add_by_label(rows, now, weights, self.columns, &mut step.sums);
                        }
                        Rows::Sparse(csr) => {
                            for ((row, label), weight) in range.zip(&*now).zip(weights) {
                                let (indices, values) = csr.row(row);
                                let sums = &mut step.sums[*label as usize * self.columns..]
                                    [..self.columns];
                                for (index, value) in indices.iter().zip(values) {
                                    sums[*index as usize] += f64::from(*weight) * f64::from(*value);
                                }
                            }
                        }
                    }
                }
                step
            })
            .collect();
        let empty = Step {
            sums: vec![0.0; centers.len()],
            counts: vec![0.0; k],
            ssd: 0.0,
            moved: 0,
        };
        parts.into_iter().fold(empty, |mut all, part| {
            for (sum, part) in all.sums.iter_mut().zip(&part.sums) {
                *sum += part;
            }
            for (count, part) in all.counts.iter_mut().zip(&part.counts) {
                *count += part;
            }
            all.ssd += part.ssd;
            all.moved += part.moved;
            all
        })
    }

    /// Squares of distances of all points to their nearest centers, and which these are.
    pub fn distances(&self, centers: &[f32]) -> (Vec<u32>, Vec<f32>) {
        let held = Centers::new(centers, self.columns, matches!(self.rows, Rows::Sparse(_)));
        let (mut labels, mut squares) = (vec![0; self.len()], vec![0.0; self.len()]);
        labels
            .par_chunks_mut(BLOCK)
            .zip(squares.par_chunks_mut(BLOCK))
            .enumerate()
            .for_each(|(at, (labels, squares))| {
                let range = at * BLOCK..at * BLOCK + labels.len();
                self.nearest(&held, range, labels, squares);
            });
        (labels, squares)
    }

    /// Moves each center to the mean of its points. Those without any go to the points that are farthest from theirs.
    pub fn moved(&self, step: &Step, centers: &mut [f32]) {
        let columns = self.columns;
        let empty: Vec<usize> = (0..step.counts.len())
            .filter(|at| step.counts[*at] <= 0.0)
            .collect();
        let far = if empty.is_empty() {
            Vec::new()
        } else {
            let (_, squares) = self.distances(centers);
            let mut order: Vec<usize> = (0..self.len())
                .filter(|at| self.weights[*at] > 0.0)
                .collect();
            order.sort_by(|a, b| squares[*b].total_cmp(&squares[*a]));
            order
        };
        for (cluster, center) in centers.chunks_exact_mut(columns).enumerate() {
            if step.counts[cluster] > 0.0 {
                let sums = &step.sums[cluster * columns..][..columns];
                for (one, sum) in center.iter_mut().zip(sums) {
                    *one = (sum / step.counts[cluster]) as f32;
                }
            }
        }
        for (cluster, point) in empty.into_iter().zip(far) {
            centers[cluster * columns..][..columns].copy_from_slice(&self.point(point));
        }
    }

    /// `k` of the points as centers: the first at random, each other one the best of some that are drawn by the squares of
    /// their distances (Arthur and Vassilvitskii 2007).
    pub fn spread(&self, k: usize, random: &mut StdRng) -> Vec<f32> {
        let trials = 2 + (k as f64).ln() as usize;
        let mut centers = self.point(drawn(&self.weights, |_| 1.0, random));
        let (_, mut squares) = self.distances(&centers);
        for _ in 1..k {
            let mut best: Option<(f64, Vec<f32>, Vec<f32>)> = None;
            for _ in 0..trials {
                let candidate = self.point(drawn(&self.weights, |at| squares[at], random));
                let (_, mut own) = self.distances(&candidate);
                for (own, before) in own.iter_mut().zip(&squares) {
                    *own = own.min(*before);
                }
                let pairs = own.iter().zip(&self.weights);
                let sum = pairs
                    .map(|(square, weight)| f64::from(*square) * f64::from(*weight))
                    .sum();
                if best.as_ref().is_none_or(|best| sum < best.0) {
                    best = Some((sum, candidate, own));
                }
            }
            if let Some((_, center, own)) = best {
                centers.extend(center);
                squares = own;
            }
        }
        centers
    }

    /// `k` different points as centers.
    pub fn random(&self, k: usize, random: &mut StdRng) -> Vec<f32> {
        rand::seq::index::sample(random, self.len(), k.min(self.len()))
            .iter()
            .flat_map(|at| self.point(at))
            .collect()
    }
}

/// An index by weights times shares; any where all are zero.
fn drawn(weights: &[f32], share: impl Fn(usize) -> f32, random: &mut StdRng) -> usize {
    let part = |at: usize| f64::from(weights[at]) * f64::from(share(at));
    let total: f64 = (0..weights.len()).map(part).sum();
    let mut left = random.random::<f64>() * total;
    if total <= 0.0 {
        return random.random_range(0..weights.len());
    }
    for at in 0..weights.len() {
        left -= part(at);
        if left < 0.0 {
            return at;
        }
    }
    weights.len() - 1
}

/// Centers as [`Points::nearest`] takes them.
struct Centers {
    panels: Panels,
    /// Column by column, for sparse points.
    by_column: Vec<f32>,
    squares: Vec<f32>,
}

impl Centers {
    fn new(centers: &[f32], columns: usize, sparse: bool) -> Self {
        let k = centers.len() / columns;
        let mut by_column = Vec::new();
        if sparse {
            by_column.resize(centers.len(), 0.0);
            for (at, center) in centers.chunks_exact(columns).enumerate() {
                for (column, value) in center.iter().enumerate() {
                    by_column[column * k + at] = *value;
                }
            }
        }
        Self {
            panels: Panels::new(columns, if sparse { &[] } else { centers }),
            by_column,
            squares: centers.chunks_exact(columns).map(square).collect(),
        }
    }
}

fn square(row: &[f32]) -> f32 {
    row.iter().map(|one| one * one).sum()
}
