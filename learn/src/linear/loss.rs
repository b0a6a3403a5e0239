//! What is made small: losses of a score and a label, with their slopes.

use crate::kernel;

/// A loss of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Loss {
    /// Of labels 0 and 1 and a margin.
    Logistic,
    /// Of labels 0 and 1 and a margin that should be at least this on the right side.
    Hinge(f32),
    /// Of a class and a margin for each.
    Softmax,
    /// The square of the error.
    Squared,
    /// The error without its sign.
    Absolute,
    /// The square of what the error is beyond this.
    InsensitiveSquared(f32),
    /// What the error is beyond this.
    InsensitiveAbsolute(f32),
    /// The error, times this where the label is above the score and times one less this where it is below.
    Quantile(f32),
    /// Half the square of errors up to this, and linear beyond.
    Huber(f32),
}

impl Loss {
    /// Whether it has corners, at which no slope leads down.
    pub fn has_corners(self) -> bool {
        matches!(
            self,
            Self::Hinge(_) | Self::Absolute | Self::InsensitiveAbsolute(_) | Self::Quantile(_)
        )
    }

    /// The losses of rows, and their slopes in the place of the scores. Corners are rounded over a width of `round`.
    ///
    /// `scores` has `outputs` for each label; only softmax has more than one.
    pub fn slopes(
        self,
        scores: &mut [f32],
        outputs: usize,
        labels: &[f32],
        round: f32,
        losses: &mut [f32],
    ) {
        match self {
            Self::Logistic => kernel::logistic(scores, labels, losses),
            Self::Softmax => {
                let own: Vec<f32> = scores
                    .chunks_exact(outputs)
                    .zip(labels)
                    .map(|(row, label)| row[*label as usize])
                    .collect();
                kernel::softmax(scores, outputs, losses);
                for (((row, label), own), loss) in scores
                    .chunks_exact_mut(outputs)
                    .zip(labels)
                    .zip(own)
                    .zip(losses)
                {
                    row[*label as usize] -= 1.0;
                    *loss = (*loss - own).max(0.0);
                }
            }
            _ => {
                for ((score, label), loss) in scores.iter_mut().zip(labels).zip(losses) {
                    (*loss, *score) = self.one(*score, *label, round);
                }
            }
        }
    }

    /// A loss and its slope.
    fn one(self, score: f32, label: f32, round: f32) -> (f32, f32) {
        let error = score - label;
        let side = error.signum();
        match self {
            Self::Hinge(margin) => {
                let sign = if label > 0.5 { 1.0 } else { -1.0 };
                let (loss, slope) = above(margin - sign * score, round);
                (loss, -sign * slope)
            }
            Self::Absolute => {
                let (loss, slope) = above(error.abs(), round);
                (loss, side * slope)
            }
            Self::InsensitiveAbsolute(width) => {
                let (loss, slope) = above(error.abs() - width, round);
                (loss, side * slope)
            }
            Self::InsensitiveSquared(width) => {
                let beyond = (error.abs() - width).max(0.0);
                (beyond * beyond, side * 2.0 * beyond)
            }
            Self::Quantile(quantile) => {
                let factor = if error > 0.0 {
                    1.0 - quantile
                } else {
                    quantile
                };
                let (loss, slope) = above(error.abs(), round);
                (factor * loss, factor * side * slope)
            }
            Self::Huber(delta) => {
                if error.abs() <= delta {
                    (0.5 * error * error, error)
                } else {
                    (delta * (error.abs() - 0.5 * delta), delta * side)
                }
            }
            _ => (error * error, 2.0 * error),
        }
    }
}

/// What of a number is above zero, with its slope, the corner rounded to a parabola `round` wide.
fn above(number: f32, round: f32) -> (f32, f32) {
    if number <= 0.0 {
        (0.0, 0.0)
    } else if number < round {
        (number * number / (2.0 * round), number / round)
    } else {
        (number - 0.5 * round, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_losses() {
        let all = [
            Loss::Logistic,
            Loss::Hinge(1.0),
            Loss::Squared,
            Loss::Absolute,
            Loss::InsensitiveSquared(0.3),
            Loss::InsensitiveAbsolute(0.3),
            Loss::Quantile(0.8),
            Loss::Huber(0.7),
        ];
        let at = |loss: Loss, score: f32, label: f32| {
            let (mut score, mut value) = ([score], [0.0]);
            loss.slopes(&mut score, 1, &[label], 0.05, &mut value);
            (f64::from(value[0]), f64::from(score[0]))
        };
        for loss in all {
            for step in -20..20 {
                let score = step as f32 * 0.11 + 0.013;
                for label in [0.0, 1.0] {
                    let small = 1e-3;
                    let slope = (at(loss, score + small, label).0
                        - at(loss, score - small, label).0)
                        / 2e-3;
                    let got = at(loss, score, label).1;
                    assert!(
                        (got - slope).abs() < 3e-2,
                        "{loss:?} {score} {label}: {got} {slope}"
                    );
                }
            }
        }
    }
}
