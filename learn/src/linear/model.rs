//! What linear-learner learned, and what it says of rows.

use super::settings::Predictor;
use super::{NAME, measure};
use crate::check::{complete, fits};
use crate::kernel;
use crate::store::{self, Numbers};
use crate::{Answers, Features, Field, Model, Result, Table, Values};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

const VERSION: u32 = 1;

/// A linear model: weights of columns as they are, and biases.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    pub(super) head: Head,
    /// `outputs * columns`.
    pub(super) weights: Vec<f64>,
    pub(super) biases: Vec<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub predictor: Predictor,
    /// Whether scores are probabilities.
    pub probabilities: bool,
    pub columns: usize,
    pub outputs: usize,
    /// From which score on a row is of class 1.
    pub threshold: f32,
}

impl Linear {
    /// Weights of columns, one row for each class of a multiclass classifier, otherwise one.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// What is added, one number for each row of weights.
    pub fn biases(&self) -> &[f64] {
        &self.biases
    }

    /// Sums of rows before they become probabilities.
    fn margins(&self, features: &Features) -> Vec<f32> {
        let Head {
            columns, outputs, ..
        } = self.head;
        let mut out = vec![0.0; features.rows() * outputs];
        out.par_chunks_mut(outputs)
            .enumerate()
            .for_each(|(row, out)| {
                for ((out, weights), bias) in out
                    .iter_mut()
                    .zip(self.weights.chunks_exact(columns))
                    .zip(&self.biases)
                {
                    let sum = match features {
                        Features::Dense { values, .. } => {
                            dot(&values[row * columns..][..columns], weights)
                        }
                        Features::Sparse(csr) => {
                            let (indices, values) = csr.row(row);
                            indices
                                .iter()
                                .zip(values)
                                .map(|(index, value)| weights[*index as usize] * f64::from(*value))
                                .sum()
                        }
                    };
                    *out = (sum + bias) as f32;
                }
            });
        out
    }

    /// Scores of rows, `outputs` beside each other.
    pub(super) fn scores(&self, features: &Features) -> Vec<f32> {
        let mut scores = self.margins(features);
        match (self.head.predictor, self.head.probabilities) {
            (Predictor::Binary, true) => {
                // The slope of the logistic loss of label 0 is the probability of 1.
                let zeros = vec![0.0; scores.len()];
                let mut losses = vec![0.0; scores.len()];
                kernel::logistic(&mut scores, &zeros, &mut losses);
            }
            (Predictor::Multiclass, _) => {
                let mut logs = vec![0.0; features.rows()];
                kernel::softmax(&mut scores, self.head.outputs, &mut logs);
            }
            _ => {}
        }
        scores
    }

    pub(super) fn read(folder: &Path) -> Result<Self> {
        store::read(folder, NAME, VERSION, |head: Head, tensors| {
            let outputs = match head.predictor {
                Predictor::Multiclass => head.outputs >= 3,
                _ => head.outputs == 1,
            };
            if !outputs || head.columns == 0 {
                return Err(format!("{head:?} is no model"));
            }
            Ok(Self {
                weights: tensors.f64("weights", &[head.outputs, head.columns])?,
                biases: tensors.f64("biases", &[head.outputs])?,
                head,
            })
        })
    }
}

fn dot(values: &[f32], weights: &[f64]) -> f64 {
    let mut sums = [0.0_f64; 8];
    let (wide, rest) = values.as_chunks::<8>();
    let (wide_weights, rest_weights) = weights.as_chunks::<8>();
    for (values, weights) in wide.iter().zip(wide_weights) {
        for (sum, (value, weight)) in sums.iter_mut().zip(values.iter().zip(weights)) {
            *sum += f64::from(*value) * weight;
        }
    }
    let rest: f64 = rest
        .iter()
        .zip(rest_weights)
        .map(|(value, weight)| f64::from(*value) * weight)
        .sum();
    sums.iter().sum::<f64>() + rest
}

impl Model for Linear {
    fn columns(&self) -> Option<usize> {
        Some(self.head.columns)
    }

    fn predict(&self, table: &Table) -> Result<Answers> {
        fits(&table.features, self.head.columns)?;
        complete(&table.features, "the rows")?;
        let scores = self.scores(&table.features);
        let mut labels = None;
        match self.head.predictor {
            Predictor::Binary => {
                labels = Some(
                    scores
                        .iter()
                        .map(|score| u32::from(*score >= self.head.threshold))
                        .collect(),
                );
            }
            Predictor::Multiclass => {
                labels = Some(
                    scores
                        .chunks_exact(self.head.outputs)
                        .map(|row| measure::best(row) as u32)
                        .collect(),
                );
            }
            Predictor::Regressor => {}
        }
        let score = match self.head.predictor {
            Predictor::Multiclass => Values::Vectors {
                width: self.head.outputs,
                values: scores,
            },
            _ => Values::Numbers(scores),
        };
        let mut fields = vec![Field {
            name: "score",
            values: score,
        }];
        fields.extend(labels.map(|labels| Field {
            name: "predicted_label",
            values: Values::Whole(labels),
        }));
        Ok(Answers {
            list: "predictions",
            fields,
        })
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let shape = [self.head.outputs, self.head.columns];
        store::write(
            folder,
            NAME,
            VERSION,
            &self.head,
            &[
                ("weights", &shape, Numbers::F64(&self.weights)),
                ("biases", &shape[..1], Numbers::F64(&self.biases)),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::LinearLearner;

    #[test]
    fn damaged_files_bring_no_panic() {
        let model = Linear {
            head: Head {
                predictor: Predictor::Multiclass,
                probabilities: true,
                columns: 2,
                outputs: 3,
                threshold: 0.0,
            },
            weights: vec![1.0, -1.0, 0.5, 0.25, 0.0, 2.0],
            biases: vec![0.1, 0.2, 0.3],
        };
        let folder = tempfile::tempdir().unwrap();
        model.write(folder.path()).unwrap();
        let table = Table::dense(2, vec![1.0, 2.0]).unwrap();
        crate::store::tests::mutated(&LinearLearner, folder.path(), &table);
    }
}
