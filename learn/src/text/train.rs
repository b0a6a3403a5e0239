//! Stochastic gradient descent of fastText's classifier (`model.cc`, `loss.cc`): the mean of the rows of a line, a softmax over
//! all labels, a step for each line, and steps that become smaller to nothing.
//!
//! Steps come one after the other, so that the model is the same with any number of threads; lines are shuffled in each epoch.

use super::vocabulary::{Coded, UNSEEN};
use crate::kernel::{dispatch, dot, fma};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;

/// What is learned.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matrices {
    /// Numbers of a row.
    pub dim: usize,
    /// Of words and n-grams.
    pub rows: Vec<f32>,
    /// Of labels.
    pub output: Vec<f32>,
}

/// The generator of random numbers of an epoch, so that each can be begun alone.
fn generator(seed: u64, epoch: u64) -> StdRng {
    let mut first = StdRng::seed_from_u64(seed);
    StdRng::seed_from_u64(first.random::<u64>() ^ epoch)
}

impl Matrices {
    /// Before anything is learned.
    pub fn new(dim: usize, rows: usize, labels: usize, seed: u64) -> Self {
        // The epochs count from 1.
        let mut random = generator(seed, 0);
        let bound = 1.0 / dim as f32;
        Self {
            dim,
            rows: (0..rows * dim)
                .map(|_| random.random_range(-bound..bound))
                .collect(),
            output: vec![0.0; labels * dim],
        }
    }

    pub fn labels(&self) -> usize {
        self.output.len() / self.dim
    }

    /// The probability of each label.
    pub fn probabilities(&self, rows: &[u32]) -> Vec<f32> {
        let mut hidden = vec![0.0; self.dim];
        let mut scores = vec![0.0; self.labels()];
        probabilities(&self.rows, rows, &self.output, &mut hidden, &mut scores);
        scores
    }

    /// Of how many lines, as a share, the likeliest label is one of their own.
    pub fn accuracy(&self, lines: &[Coded]) -> f64 {
        let is_right = |line: &&Coded| {
            let scores = self.probabilities(&line.rows).into_iter().zip(0..);
            let best = scores.reduce(|best, one| if one.0 > best.0 { one } else { best });
            best.is_some_and(|(_, label)| line.labels.contains(&label))
        };
        let right = lines.par_iter().filter(is_right).count();
        right as f64 / lines.len().max(1) as f64
    }

    /// Whether all numbers are such.
    pub fn is_finite(&self) -> bool {
        self.rows
            .iter()
            .chain(&self.output)
            .all(|one| one.is_finite())
    }

    /// A pass over all lines, number `epoch` of `epochs`, from 1. `go_on` is asked now and then; whether it came to its end.
    pub fn epoch(
        &mut self,
        lines: &[Coded],
        (epoch, epochs): (u64, u64),
        (rate, seed): (f32, u64),
        mut go_on: impl FnMut() -> bool,
    ) -> bool {
        let tokens: u64 = lines.iter().map(|line| line.tokens).sum();
        let total = (tokens * epochs).max(1) as f64;
        let mut done = tokens * (epoch - 1);
        let mut random = generator(seed, epoch);
        let mut order: Vec<u32> = (0..lines.len() as u32).collect();
        order.shuffle(&mut random);
        let mut hidden = vec![0.0; self.dim];
        let mut gradient = vec![0.0; self.dim];
        let mut scores = vec![0.0; self.labels()];
        for (at, line) in order.iter().map(|at| &lines[*at as usize]).enumerate() {
            if at % 1024 == 0 && !go_on() {
                return false;
            }
            let rate = f64::from(rate) * (1.0 - done as f64 / total);
            done += line.tokens;
            let target = match line.labels[..] {
                [one] => one,
                // One of several, another one each time.
                ref many => many[random.random_range(0..many.len())],
            };
            hidden.fill(0.0);
            gradient.fill(0.0);
            step(
                &mut self.rows,
                &line.rows,
                &mut self.output,
                (target as usize, rate as f32),
                (&mut hidden, &mut gradient, &mut scores),
            );
        }
        true
    }
}

dispatch! {
    /// Adds up the rows of a line, and what they say of each label.
    fn probabilities(rows: &[f32], line: &[u32], output: &[f32], hidden: &mut [f32], scores: &mut [f32]) = probabilities_body
}

#[inline(always)]
fn probabilities_body<const R: usize, const FMA: bool>(
    rows: &[f32],
    line: &[u32],
    output: &[f32],
    hidden: &mut [f32],
    scores: &mut [f32],
) {
    let dim = hidden.len();
    for row in line.iter().filter(|row| **row != UNSEEN) {
        let row = &rows[*row as usize * dim..][..dim];
        hidden
            .iter_mut()
            .zip(row)
            .for_each(|(sum, one)| *sum += one);
    }
    // Those that were never learned count, too.
    let share = 1.0 / line.len().max(1) as f32;
    hidden.iter_mut().for_each(|sum| *sum *= share);
    let mut most = f32::MIN;
    for (score, weights) in scores.iter_mut().zip(output.chunks_exact(dim)) {
        *score = dot::<FMA>(weights, hidden);
        most = most.max(*score);
    }
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - most).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// What a step needs beside what it changes: the mean of the rows, the gradient for them, the probabilities.
type Space<'a> = (&'a mut [f32], &'a mut [f32], &'a mut [f32]);

dispatch! {
    /// Moves what a line says towards its label, so far.
    fn step(rows: &mut [f32], line: &[u32], output: &mut [f32], to: (usize, f32), space: Space<'_>) = step_body
}

#[inline(always)]
fn step_body<const R: usize, const FMA: bool>(
    rows: &mut [f32],
    line: &[u32],
    output: &mut [f32],
    (target, rate): (usize, f32),
    (hidden, gradient, scores): Space<'_>,
) {
    let dim = hidden.len();
    probabilities_body::<R, FMA>(rows, line, output, hidden, scores);
    for (label, (score, weights)) in scores.iter().zip(output.chunks_exact_mut(dim)).enumerate() {
        let wanted = if label == target { 1.0 } else { 0.0 };
        let change = rate * (wanted - score);
        for ((weight, gradient), hidden) in weights.iter_mut().zip(&mut *gradient).zip(&*hidden) {
            *gradient = fma::<FMA>(change, *weight, *gradient);
            *weight = fma::<FMA>(change, *hidden, *weight);
        }
    }
    let share = 1.0 / line.len().max(1) as f32;
    gradient.iter_mut().for_each(|one| *one *= share);
    for row in line.iter().filter(|row| **row != UNSEEN) {
        let row = &mut rows[*row as usize * dim..][..dim];
        row.iter_mut()
            .zip(&*gradient)
            .for_each(|(one, more)| *one += more);
    }
}
