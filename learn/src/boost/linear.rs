//! Boosting of a linear model, a step for each coordinate a round: `gblinear`.
//!
//! Steps are those of XGBoost's `coord_descent` with the columns in their order (`CoordinateDelta` at 3.2.0). Its other
//! updater, `shotgun`, takes the same steps in an order that depends on its threads. What is missing counts as 0.

use crate::Features;
use rayon::prelude::*;

/// What steps go by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Descent {
    /// How much of each step is taken.
    pub eta: f32,
    /// Weight that counts as loss, for each row.
    pub alpha: f32,
    /// Squared weight that counts as loss, for each row.
    pub lambda: f32,
}

/// The values of columns, of rows that have them.
pub struct Columns {
    /// Where each column begins, and the end.
    starts: Vec<usize>,
    rows: Vec<u32>,
    values: Vec<f32>,
}

/// The values of a row that are there, with their columns.
fn of_row(features: &Features, row: usize) -> impl Iterator<Item = (usize, f32)> {
    let (dense, columns, values): (&[f32], &[u32], &[f32]) = match features {
        Features::Dense { columns, values } => {
            (&values[row * columns..(row + 1) * columns], &[], &[])
        }
        Features::Sparse(csr) => {
            let (columns, values) = csr.row(row);
            (&[], columns, values)
        }
    };
    let dense = dense.iter().copied().enumerate();
    let columns = columns.iter().map(|column| *column as usize);
    let sparse = columns.zip(values.iter().copied());
    dense.chain(sparse).filter(|(_, value)| !value.is_nan())
}

impl Columns {
    /// The columns of rows.
    pub fn new(features: &Features) -> Self {
        let mut starts = vec![0usize; features.columns() + 1];
        for row in 0..features.rows() {
            for (column, _) in of_row(features, row) {
                starts[column + 1] += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut next = starts.clone();
        let (mut rows, mut values) = (vec![0u32; sum], vec![0f32; sum]);
        for row in 0..features.rows() {
            for (column, value) in of_row(features, row) {
                let place = next[column];
                (rows[place], values[place]) = (row as u32, value);
                next[column] += 1;
            }
        }
        Self {
            starts,
            rows,
            values,
        }
    }

    fn column(&self, column: usize) -> impl Iterator<Item = (usize, f32)> {
        let range = self.starts[column]..self.starts[column + 1];
        let rows = self.rows[range.clone()].iter().map(|row| *row as usize);
        rows.zip(self.values[range].iter().copied())
    }
}

/// A step that makes a weight's loss smaller, at most to where the weight is 0.
fn step(gradient: f64, hessian: f64, weight: f64, alpha: f64, lambda: f64) -> f64 {
    if hessian < f64::from(1e-5f32) {
        return 0.0;
    }
    let (gradient, hessian) = (gradient + lambda * weight, hessian + lambda);
    match weight - gradient / hessian >= 0.0 {
        true => (-(gradient + alpha) / hessian).max(-weight),
        false => (-(gradient - alpha) / hessian).min(-weight),
    }
}

/// A round: a step for the bias of each group, then one for each weight. Weights are `groups` for each column, with the
/// biases behind them; `gradients`, `groups` for each row, are those of the rows before, and end as those after. `rows` is the
/// sum of what rows count.
pub fn descend(
    descent: Descent,
    columns: &Columns,
    rows: f64,
    weights: &mut [f32],
    gradients: &mut [[f32; 2]],
    groups: usize,
) {
    let Descent { eta, alpha, lambda } = descent;
    let penalty = |part: f32| f64::from((f64::from(part) * rows) as f32);
    let (alpha, lambda) = (penalty(alpha), penalty(lambda));
    let biases = weights.len() - groups;
    for group in 0..groups {
        let (mut gradient, mut hessian) = (0f64, 0f64);
        for own in gradients.chunks_exact(groups) {
            gradient += f64::from(own[group][0]);
            hessian += f64::from(own[group][1]);
        }
        let change = -gradient / hessian;
        let change = if change.is_finite() { change } else { 0.0 };
        let change = (f64::from(eta) * change) as f32;
        weights[biases + group] += change;
        for own in gradients.chunks_exact_mut(groups) {
            own[group][0] += own[group][1] * change;
        }
    }
    for group in 0..groups {
        for column in 0..columns.starts.len() - 1 {
            let (mut gradient, mut hessian) = (0f64, 0f64);
            for (row, value) in columns.column(column) {
                let own = gradients[row * groups + group];
                gradient += f64::from(own[0] * value);
                hessian += f64::from(own[1] * value * value);
            }
            let weight = &mut weights[column * groups + group];
            let change = step(gradient, hessian, f64::from(*weight), alpha, lambda);
            let change = (f64::from(eta) * change) as f32;
            if change == 0.0 {
                continue;
            }
            *weight += change;
            for (row, value) in columns.column(column) {
                let own = &mut gradients[row * groups + group];
                own[0] += own[1] * value * change;
            }
        }
    }
}

/// What sums begin with: those of all groups with the first one's, as XGBoost's linear models add it.
pub fn begin(sums: &mut [f32]) {
    if let Some(first) = sums.first().copied() {
        sums.fill(first);
    }
}

/// Rows that a thread adds up at once.
const ROWS: usize = 256;

/// Adds what weights say of rows to their sums, `groups` for each row.
pub fn add(weights: &[f32], features: &Features, groups: usize, sums: &mut [f32]) {
    let biases = &weights[weights.len() - groups..];
    let block = |first: usize, sums: &mut [f32]| {
        for (place, own) in sums.chunks_exact_mut(groups).enumerate() {
            for (sum, bias) in own.iter_mut().zip(biases) {
                *sum += bias;
            }
            for (column, value) in of_row(features, first + place) {
                let weights = &weights[column * groups..(column + 1) * groups];
                for (sum, weight) in own.iter_mut().zip(weights) {
                    *sum += weight * value;
                }
            }
        }
    };
    match sums.len() <= groups * ROWS {
        true => block(0, sums),
        false => sums
            .par_chunks_mut(groups * ROWS)
            .enumerate()
            .for_each(|(at, sums)| block(at * ROWS, sums)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_end_where_a_weight_is_nothing() {
        // Without penalties, Newton's step.
        assert_eq!(step(2.0, 4.0, 0.0, 0.0, 0.0), -0.5);
        assert_eq!(step(-2.0, 4.0, 1.0, 0.0, 0.0), 0.5);
        // A penalty larger than the gradient leaves a weight of nothing so, and takes another there.
        assert_eq!(step(2.0, 4.0, 0.0, 3.0, 0.0), 0.0);
        assert_eq!(step(2.0, 4.0, 0.25, 3.0, 0.0), -0.25);
        assert_eq!(step(-2.0, 4.0, 0.0, 1.0, 0.0), 0.25);
        assert_eq!(step(2.0, 4.0, 1.0, 0.0, 4.0), -0.75);
        // A column without values has no say.
        assert_eq!(step(2.0, 0.0, 1.0, 0.0, 1.0), 0.0);
    }

    #[test]
    fn columns_are_of_the_values_that_are_there() {
        let features = Features::Dense {
            columns: 3,
            values: vec![1.0, f32::NAN, 0.0, 2.0, 3.0, f32::NAN],
        };
        let columns = Columns::new(&features);
        let of = |column| columns.column(column).collect::<Vec<_>>();
        assert_eq!(
            [of(0), of(1), of(2)],
            [vec![(0, 1.0), (1, 2.0)], vec![(1, 3.0)], vec![(0, 0.0)]]
        );
    }
}
