//! `LinearClassifier` and `LinearRegressor`.

use super::Meaning;
use super::labels::Classes;
use super::operator::{Kind, Made, Operator};
use super::scores::{Transform, largest};
use super::value::{Call, Data, Table, Value};
use crate::graph::Result;
use crate::graph::onnx::wire::Node;

/// Rows of a part that one member of the team does.
pub(super) const PART: usize = 64;
/// Products of a row that are summed side by side.
const LANES: usize = 16;

/// One sum of products of the columns for each result.
struct Sums {
    /// `[results, columns]`
    coefficients: Vec<f32>,
    intercepts: Vec<f32>,
    columns: usize,
}

impl Sums {
    fn read(node: &Node<'_>, results: usize) -> Result<Self> {
        let coefficients = node.floats("coefficients").to_vec();
        let mut intercepts = node.floats("intercepts").to_vec();
        if intercepts.is_empty() {
            intercepts = vec![0.0; results.min(coefficients.len())];
        }
        let fits = results > 0
            && intercepts.len() == results
            && !coefficients.is_empty()
            && coefficients.len().is_multiple_of(results);
        if !fits {
            return Err(node.unsupported(format!(
                "{} coefficients and {} intercepts for {results} results",
                coefficients.len(),
                intercepts.len()
            )));
        }
        Ok(Self {
            columns: coefficients.len() / results,
            coefficients,
            intercepts,
        })
    }

    fn results(&self) -> usize {
        self.intercepts.len()
    }

    fn row(&self, row: &[f32], sums: &mut [f32]) {
        let lines = self.coefficients.chunks_exact(self.columns);
        for ((sum, line), intercept) in sums.iter_mut().zip(lines).zip(&self.intercepts) {
            *sum = intercept + dot(row, line);
        }
    }

    fn bytes(&self) -> u64 {
        size_of::<f32>() as u64 * (self.coefficients.len() + self.intercepts.len()) as u64
    }
}

/// The sum of products of two lists of one length.
pub(super) fn dot(left: &[f32], right: &[f32]) -> f32 {
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    let mut sums = [0f32; LANES];
    for (left, right) in left.iter().zip(right) {
        for lane in 0..LANES {
            sums[lane] += left[lane] * right[lane];
        }
    }
    let rest = left_rest.iter().zip(right_rest);
    sums.iter().sum::<f32>() + rest.map(|(x, y)| x * y).sum::<f32>()
}

struct Classifier {
    sums: Sums,
    labels: Classes,
    transform: Transform,
    /// Whether one sum is for two classes.
    pair: bool,
}

/// Reads a `LinearClassifier`.
pub(super) fn classifier(node: &Node<'_>) -> Result<Made> {
    let classes = Classes::read(node, "classlabels_ints", "classlabels_strings")?;
    let results = match node.floats("intercepts").len() {
        0 => classes.len(),
        intercepts => intercepts,
    };
    let sums = Sums::read(node, results)?;
    let transform = Transform::read(node)?;
    let (pair, labels) = match (results, classes.len()) {
        (1, 2) => (true, classes.clone()),
        (1, _) => (false, classes.no_and_yes()),
        (results, classes_) if results == classes_ => (false, classes.clone()),
        (results, classes) => {
            return Err(node.unsupported(format!("{results} sums for {classes} classes")));
        }
    };
    if pair && transform == Transform::Probit {
        return Err(node.unsupported("the probit of one sum for two classes"));
    }
    let facts = classes.facts();
    let classifier = Classifier {
        sums,
        labels,
        transform,
        pair,
    };
    Ok(Made::new(classifier, facts))
}

impl Operator for Classifier {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let table = call.table_of(inputs, self.sums.columns)?;
        let width = if self.pair { 2 } else { self.sums.results() };
        classify(call, &self.labels, &table, width, |row, scores| {
            if self.sums.results() == 1 {
                self.sums.row(row, &mut scores[..1]);
                let sum = scores[0];
                if self.pair {
                    scores.copy_from_slice(&self.transform.pair(sum, true));
                } else {
                    scores[0] = self.transform.apply_alone(sum);
                }
                return u32::from(sum > 0.0);
            }
            self.sums.row(row, scores);
            let chosen = largest(scores);
            self.transform.apply(scores);
            chosen as u32
        })
    }

    fn bytes(&self) -> u64 {
        self.sums.bytes() + self.labels.bytes()
    }
}

/// The labels and scores of all rows; `classify` writes the scores of a row and says which class it is.
pub(super) fn classify(
    call: &Call<'_>,
    labels: &Classes,
    table: &Table<'_>,
    width: usize,
    classify: impl Fn(&[f32], &mut [f32]) -> u32 + Sync,
) -> Result<Vec<Value>> {
    let shape = vec![table.rows, width];
    let mut scores = vec![0f32; call.room(&shape)?];
    let mut chosen = vec![0u32; table.rows];
    let parts = table.data.chunks(PART * table.width.max(1));
    let parts = parts
        .zip(scores.chunks_mut(PART * width.max(1)))
        .zip(chosen.chunks_mut(PART));
    call.share(parts.collect(), |((rows, scores), chosen)| {
        let rows = rows.chunks(table.width.max(1));
        let scores = scores.chunks_mut(width.max(1));
        for ((row, scores), chosen) in rows.zip(scores).zip(chosen) {
            *chosen = classify(row, scores);
        }
    });
    let labels = labels.labels(call, &chosen)?;
    Ok(vec![labels, Value::new(shape, Data::Numbers(scores))])
}

/// A row of numbers for each row of a table.
pub(super) fn each_row(
    call: &Call<'_>,
    table: &Table<'_>,
    width: usize,
    work: impl Fn(&[f32], &mut [f32]) + Sync,
) -> Result<Vec<Value>> {
    let shape = vec![table.rows, width];
    let mut results = vec![0f32; call.room(&shape)?];
    let parts = table.data.chunks(PART * table.width.max(1));
    let parts = parts.zip(results.chunks_mut(PART * width.max(1)));
    call.share(parts.collect(), |(rows, results)| {
        let rows = rows.chunks(table.width.max(1));
        for (row, results) in rows.zip(results.chunks_mut(width.max(1))) {
            work(row, results);
        }
    });
    Ok(vec![Value::new(shape, Data::Numbers(results))])
}

struct Regressor {
    sums: Sums,
    transform: Transform,
}

/// Reads a `LinearRegressor`.
pub(super) fn regressor(node: &Node<'_>) -> Result<Made> {
    let targets = usize::try_from(node.integer("targets", 1)).unwrap_or(0);
    let regressor = Regressor {
        sums: Sums::read(node, targets)?,
        transform: Transform::read(node)?,
    };
    Ok(Made::one(regressor, Kind::Numbers, Meaning::Numbers))
}

impl Operator for Regressor {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let table = call.table_of(inputs, self.sums.columns)?;
        each_row(call, &table, self.sums.results(), |row, sums| {
            self.sums.row(row, sums);
            match sums {
                [sum] => *sum = self.transform.apply_alone(*sum),
                sums => self.transform.apply(sums),
            }
        })
    }

    fn bytes(&self) -> u64 {
        self.sums.bytes()
    }
}
