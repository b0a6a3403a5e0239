//! Normal equations: the best weights of squared errors, at once.

use super::{Run, State};
use crate::linear::loss::Loss;
use crate::linear::settings::Optimizer;

/// Up to how many columns equations are solved instead of searched.
const SOLVED: usize = 2000;

impl Run<'_> {
    /// Solves normal equations of squared errors, where there is a table that allows it.
    pub(super) fn solve(&mut self) -> bool {
        let settings = self.settings;
        let columns = self.width - 1;
        if settings.optimizer != Optimizer::Auto
            || settings.loss != Loss::Squared
            || settings.l1.unwrap_or(0.0) > 0.0
            || columns > SOLVED
        {
            return false;
        }
        let weights = self.train.weights[0].as_deref();
        let Some(normal) = self.design.normal(&self.train.targets, weights) else {
            return false;
        };
        let total = self.train.totals[0];
        let size = if settings.bias { self.width } else { columns };
        let mut solutions = Vec::new();
        for candidate in &self.candidates {
            let mut matrix = vec![0.0; size * size];
            let mut solution = vec![0.0; self.width];
            for row in 0..size {
                for column in 0..=row {
                    // Twice: the loss is the whole square, what draws to zero is half of it.
                    matrix[row * size + column] =
                        2.0 * normal.gram[row * normal.width + column] / total;
                }
                let wd = if row == columns {
                    candidate.wd * settings.bias_wd
                } else {
                    candidate.wd
                };
                matrix[row * size + row] += wd;
                solution[row] = 2.0 * normal.gram[(normal.width - 1) * normal.width + row] / total;
            }
            if !cholesky(&mut matrix, &mut solution[..size]) {
                return false;
            }
            solutions.push(solution);
        }
        for (candidate, solution) in self.candidates.iter_mut().zip(solutions) {
            candidate.state = State::Solved(solution);
        }
        true
    }
}

/// Solves `matrix · x = vector` in the vector's place, of a symmetric matrix whose lower half is given. Directions along which
/// the matrix is flat, as of columns that say the same, get nothing.
fn cholesky(matrix: &mut [f64], vector: &mut [f64]) -> bool {
    let size = vector.len();
    let greatest = (0..size).fold(0.0_f64, |most, at| most.max(matrix[at * size + at]));
    let mut flat = vec![false; size];
    for row in 0..size {
        let (done, rest) = matrix.split_at_mut(row * size);
        let own = &mut rest[..size];
        for column in 0..row {
            let other = &done[column * size..][..=column];
            let sum: f64 = own[..column].iter().zip(other).map(|(a, b)| a * b).sum();
            own[column] = if flat[column] {
                0.0
            } else {
                (own[column] - sum) / other[column]
            };
        }
        let sum: f64 = own[..row].iter().map(|one| one * one).sum();
        let left = own[row] - sum;
        if !left.is_finite() {
            return false;
        }
        flat[row] = left <= 1e-11 * own[row].max(1e-4 * greatest);
        own[row] = if flat[row] { 1.0 } else { left.sqrt() };
    }
    for row in 0..size {
        let sum: f64 = matrix[row * size..][..row]
            .iter()
            .zip(&*vector)
            .map(|(a, b)| a * b)
            .sum();
        vector[row] = if flat[row] {
            0.0
        } else {
            (vector[row] - sum) / matrix[row * size + row]
        };
    }
    for row in (0..size).rev() {
        let sum: f64 = (row + 1..size)
            .map(|below| matrix[below * size + row] * vector[below])
            .sum();
        vector[row] = if flat[row] {
            0.0
        } else {
            (vector[row] - sum) / matrix[row * size + row]
        };
    }
    vector.iter().all(|one| one.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved_and_copies_of_columns_left_out() {
        let mut matrix = [4.0, 0.0, 0.0, 2.0, 3.0, 0.0, 4.0, 2.0, 4.0];
        let mut vector = [10.0, 9.0, 10.0];
        assert!(cholesky(&mut matrix, &mut vector));
        for (got, expected) in vector.iter().zip([1.5, 2.0, 0.0]) {
            assert!((got - expected).abs() < 1e-9, "{vector:?}");
        }
    }
}
