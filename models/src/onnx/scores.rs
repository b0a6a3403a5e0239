//! What becomes of the sums of a classifier or a regression: the `post_transform` of the operator set, with the
//! conventions of ONNX Runtime where the set leaves them open.

use crate::graph::Result;
use crate::graph::onnx::wire::Node;

/// A function of a row of sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transform {
    None,
    /// Of every sum.
    Logistic,
    /// Shares of one.
    Softmax,
    /// Shares of one among the sums that are not zero.
    SoftmaxZero,
    /// The inverse of the normal distribution, of every sum.
    Probit,
}

/// Sums of this size and below are zero to [`Transform::SoftmaxZero`].
const ZERO: f32 = 1e-7;

impl Transform {
    pub(super) fn read(node: &Node<'_>) -> Result<Self> {
        match node.text("post_transform") {
            None | Some("NONE") => Ok(Self::None),
            Some("LOGISTIC") => Ok(Self::Logistic),
            Some("SOFTMAX") => Ok(Self::Softmax),
            Some("SOFTMAX_ZERO") => Ok(Self::SoftmaxZero),
            Some("PROBIT") => Ok(Self::Probit),
            Some(other) => Err(node.unsupported(format!("post_transform {other}"))),
        }
    }

    /// Of a row of several sums.
    pub(super) fn apply(self, row: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Logistic => row.iter_mut().for_each(|score| *score = logistic(*score)),
            Self::Probit => row.iter_mut().for_each(|score| *score = probit(*score)),
            Self::Softmax | Self::SoftmaxZero => {
                let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let mut sum = 0.0;
                for score in row.iter_mut() {
                    *score = if self == Self::SoftmaxZero && score.abs() <= ZERO {
                        0.0
                    } else {
                        (*score - largest).exp()
                    };
                    sum += *score;
                }
                row.iter_mut().for_each(|score| *score /= sum);
            }
        }
    }

    /// Of a row of one sum: only the last of the transforms changes it.
    pub(super) fn apply_alone(self, score: f32) -> f32 {
        if self == Self::Probit {
            probit(score)
        } else {
            score
        }
    }

    /// The two scores of a classifier that makes one sum for two classes. `share` says that the sum is the second
    /// class's share of one; else its sign decides.
    pub(super) fn pair(self, score: f32, share: bool) -> [f32; 2] {
        match (self, share) {
            (Self::Logistic, _) => [logistic(-score), logistic(score)],
            (_, true) => [1.0 - score, score],
            (_, false) => [-score, score],
        }
    }
}

/// `1 / (1 + e^-x)`, exact on both sides.
pub(super) fn logistic(x: f32) -> f32 {
    let share = 1.0 / (1.0 + (-x.abs()).exp());
    if x < 0.0 { 1.0 - share } else { share }
}

/// The value below which a normal variable is with probability `share`, by Winitzki's approximation of the inverse error
/// function with the constants that ONNX Runtime has: answers agree with it, and to about 0.002 with the true value.
fn probit(share: f32) -> f32 {
    const A: f32 = 0.147;
    #[allow(clippy::approx_constant)]
    const PI: f32 = 3.14159;
    let x = 2.0 * share - 1.0;
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let half = 2.0 / (PI * A) + 0.5 * log;
    let size = (-half + (half * half - log / A).sqrt()).sqrt();
    std::f32::consts::SQRT_2 * if x < 0.0 { -size } else { size }
}

/// Where the largest is, the first of equals; the first of all where nothing can be compared.
pub(super) fn largest(row: &[f32]) -> usize {
    let mut best = 0;
    for (at, score) in row.iter().enumerate() {
        if *score > row[best] {
            best = at;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_one_on_extreme_sums() {
        for transform in [Transform::Softmax, Transform::SoftmaxZero] {
            for row in [[1e30, -1e30, 5.0], [80.0, 90.0, 100.0], [-1e3, -1e3, -1e3]] {
                let mut shares = row;
                transform.apply(&mut shares);
                let sum: f32 = shares.iter().sum();
                assert!((sum - 1.0).abs() < 1e-6, "{row:?} {shares:?}");
            }
        }
        for x in [-1e30, -90.0, 0.0, 90.0, 1e30] {
            let [no, yes] = Transform::Logistic.pair(x, false);
            assert!((no + yes - 1.0).abs() < 1e-6);
        }
    }
}
