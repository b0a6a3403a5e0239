//! Linear layers on hidden states: the heads of classifiers.

use super::weights::Weights;
use crate::error::{Error, Result};
use crate::kernels::matmul::{Left, Right};
use crate::kernels::shared::SharedSlice;
use crate::kernels::{Activation, Isa, PackedMatrix};
use crate::team::Team;
use std::ops::Range;

/// What a layer does to its sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    Tanh,
    Kernel(Activation),
}

/// Panels of a wide layer that a thread takes at a time.
const PANELS: usize = 64;

/// A linear layer on rows, for the calling thread where it is next to nothing beside the network.
pub(super) struct Dense {
    matrix: PackedMatrix,
    after: After,
}

impl Dense {
    /// A layer from the hidden size to itself.
    pub(super) fn square(weights: &Weights, module: &str, after: After) -> Result<Self> {
        let hidden = weights.config.hidden_size;
        Self::new(weights, module, hidden, after)
    }

    /// A layer from the hidden size to `outputs`.
    pub(super) fn new(
        weights: &Weights,
        module: &str,
        outputs: usize,
        after: After,
    ) -> Result<Self> {
        let inputs = weights.config.hidden_size;
        let (weight, bias) = weights.linear(module, outputs, inputs)?;
        Ok(Self::of(&weight, &bias, inputs, after))
    }

    /// A layer of `weight` `[outputs, inputs]` and `bias` `[outputs]`.
    pub(super) fn of(weight: &[f32], bias: &[f32], inputs: usize, after: After) -> Self {
        let outputs = bias.len();
        let matrix = PackedMatrix::from_outputs(weight, bias, outputs, inputs, Isa::best());
        Self { matrix, after }
    }

    /// The layer that ends a classifier, with the names of its outputs.
    pub(super) fn classifier(weights: &Weights, module: &str) -> Result<(Self, Vec<String>)> {
        let name = format!("{module}.bias");
        if !weights.has(&name) {
            return Err(Error::unsupported(format!(
                "a checkpoint without the tensor \"{name}\" has no head for this task"
            )));
        }
        let outputs = weights.rows(&name)?;
        let mut labels = weights.config.labels.clone();
        if labels.is_empty() {
            labels = (0..outputs).map(|label| format!("LABEL_{label}")).collect();
        }
        if labels.len() != outputs || outputs == 0 {
            return Err(Error::unsupported(format!(
                "{} labels for a head of {outputs}",
                labels.len()
            )));
        }
        let layer = Self::new(weights, module, outputs, After::Nothing)?;
        Ok((layer, labels))
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> u64 {
        self.matrix.bytes()
    }

    /// The layer applied to each of the rows, which lie one after the other.
    pub(super) fn apply(&self, rows: &[f32]) -> Vec<f32> {
        self.multiply(rows, |all, part| part(0..all))
    }

    /// The same for a wide layer, on the threads of a team.
    pub(super) fn apply_on(&self, team: &Team, rows: &[f32]) -> Vec<f32> {
        self.multiply(rows, |all, part| {
            team.for_each(all.div_ceil(PANELS), |index| {
                part(index * PANELS..all.min((index + 1) * PANELS));
            });
        })
    }

    /// The layer applied to rows, its panels shared out by `share`, which is given their number and what does some of them.
    /// It gives each away once.
    fn multiply(
        &self,
        rows: &[f32],
        share: impl FnOnce(usize, &(dyn Fn(Range<usize>) + Sync)),
    ) -> Vec<f32> {
        let (k, n) = (self.matrix.k(), self.matrix.n());
        let count = rows.len() / k;
        let mut out = vec![0.0; count * n];
        let result = SharedSlice::new(&mut out);
        share(self.matrix.panels(), &|panels| {
            let right = Right {
                start: result.at(0, count * n),
                row: n,
                residual: None,
                activation: match self.after {
                    After::Kernel(activation) => activation,
                    After::Nothing | After::Tanh => Activation::None,
                },
            };
            // SAFETY: `rows` holds `count` rows of `k`, `out` of `n`, nobody else writes to `out`, and no panel is given away
            // twice, so that columns are written by one thread.
            unsafe {
                let left = Left::rows(rows.as_ptr(), k);
                self.matrix.multiply(left, count, panels, right);
            }
        });
        if self.after == After::Tanh {
            out.iter_mut().for_each(|x| *x = x.tanh());
        }
        out
    }
}

/// Turns numbers into probabilities that sum to one.
pub(super) fn softmax(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|x| *x = (*x - most).exp());
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|x| *x /= sum);
}

/// Refuses what is not a number.
pub(super) fn finite(row: &[f32]) -> Result<()> {
    if row.iter().all(|x| x.is_finite()) {
        Ok(())
    } else {
        Err(Error::NotFinite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one_on_extreme_numbers() {
        for mut row in [
            vec![1e30, -1e30, 0.0],
            vec![-3e38, -3e38],
            vec![0.0],
            vec![88.0, 89.0],
        ] {
            softmax(&mut row);
            finite(&row).expect("numbers");
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{row:?}");
        }
        assert!(finite(&[1.0, f32::NAN]).is_err());
    }
}
