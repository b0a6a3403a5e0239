//! Linear layers on hidden states: the heads of classifiers.

use super::weights::Weights;
use crate::error::{Error, Result};
use crate::kernels::matmul::{Left, Right};
use crate::kernels::{Activation, Isa, PackedMatrix};

/// What a layer does to its sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    Tanh,
    Relu,
}

/// A linear layer on rows, for the calling thread: beside the network it is next to nothing.
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
        let matrix = PackedMatrix::from_outputs(&weight, &bias, outputs, inputs, Isa::best());
        Ok(Self { matrix, after })
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
        let (k, n) = (self.matrix.k(), self.matrix.n());
        let count = rows.len() / k;
        let mut out = vec![0.0; count * n];
        let right = Right {
            start: out.as_mut_ptr(),
            row: n,
            residual: None,
            activation: match self.after {
                After::Relu => Activation::Relu,
                After::Nothing | After::Tanh => Activation::None,
            },
        };
        // SAFETY: `rows` holds `count` rows of `k`, `out` of `n`, and nobody else has either.
        unsafe {
            let left = Left::rows(rows.as_ptr(), k);
            self.matrix
                .multiply(left, count, 0..self.matrix.panels(), right);
        }
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
