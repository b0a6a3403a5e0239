//! What a classifier's scores say, and how far they are from what holds.

use super::classifier::softmax;
use super::metrics::Metrics;

/// The least probability whose logarithm is taken.
const LEAST: f32 = 1e-9;

/// How the classes of an item hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Loss {
    /// One of them does: probabilities are the softmax of the scores, the loss is the cross-entropy.
    #[default]
    Softmax,
    /// Each does or does not by itself: probabilities are sigmoids, the loss is the mean over the classes of their binary
    /// cross-entropies. What holds of a class counts as many times as this has for it: 1 each, or [`balanced`].
    Sigmoid(Vec<f32>),
}

impl Loss {
    /// Whether it is one of so many classes.
    pub(super) fn fits(&self, classes: usize) -> bool {
        match self {
            Self::Softmax => true,
            Self::Sigmoid(weights) => {
                weights.len() == classes && weights.iter().all(|one| one.is_finite() && *one > 0.0)
            }
        }
    }

    /// The probability of each class.
    pub fn probabilities(&self, scores: &[f32]) -> Vec<f32> {
        match self {
            Self::Softmax => softmax(scores),
            Self::Sigmoid(_) => scores.iter().map(|score| sigmoid(*score)).collect(),
        }
    }

    /// The loss of an item with these probabilities; not a number where one of them is none.
    pub fn of(&self, probabilities: &[f32], targets: &[f32]) -> f64 {
        let ln = |p: f32| f64::from(if p.is_nan() { p } else { p.max(LEAST) }).ln();
        let both = probabilities.iter().zip(targets);
        match self {
            Self::Softmax => both
                .filter(|(p, target)| **target > 0.0 || p.is_nan())
                .map(|(p, target)| -f64::from(*target) * ln(*p))
                .sum(),
            Self::Sigmoid(weights) => {
                let each = both.zip(weights).map(|((p, target), weight)| {
                    let target = f64::from(*target);
                    -(f64::from(*weight) * target * ln(*p) + (1.0 - target) * ln(1.0 - p))
                });
                each.sum::<f64>() / weights.len().max(1) as f64
            }
        }
    }

    /// The gradient of [`Loss::of`] for each score.
    pub fn gradient(&self, probabilities: &[f32], targets: &[f32]) -> Vec<f32> {
        let both = probabilities.iter().zip(targets);
        match self {
            Self::Softmax => both.map(|(p, target)| p - target).collect(),
            Self::Sigmoid(weights) => {
                let share = 1.0 / weights.len().max(1) as f32;
                let each = both.zip(weights);
                each.map(|((p, target), weight)| {
                    (p * (1.0 - target) - weight * target * (1.0 - p)) * share
                })
                .collect()
            }
        }
    }

    /// Figures of items with these probabilities.
    pub fn metrics(&self, predicted: &[Vec<f32>], targets: &[&[f32]], classes: usize) -> Metrics {
        match self {
            Self::Softmax => Metrics::of(predicted, targets, classes),
            Self::Sigmoid(_) => {
                let losses = predicted.iter().zip(targets);
                let sum: f64 = losses.map(|(p, target)| self.of(p, target)).sum();
                let loss = sum / predicted.len().max(1) as f64;
                Metrics::of_independent(predicted, targets, classes, loss)
            }
        }
    }
}

/// The sigmoid, on the side of it where nothing overflows.
fn sigmoid(score: f32) -> f32 {
    let away = (-score.abs()).exp();
    match score >= 0.0 {
        true => 1.0 / (1.0 + away),
        false => away / (1.0 + away),
    }
}

/// For each class how many items it does not hold for, for one that it holds for: with these for weights of
/// [`Loss::Sigmoid`] both weigh alike. At most 100, and 1 of a class that holds for none.
pub fn balanced<'a>(targets: impl Iterator<Item = &'a [u32]>, classes: usize) -> Vec<f32> {
    const MOST: f32 = 100.0;
    let (mut held, mut count) = (vec![0_usize; classes], 0_usize);
    for target in targets {
        count += 1;
        for class in target {
            if let Some(held) = held.get_mut(*class as usize) {
                *held += 1;
            }
        }
    }
    held.into_iter()
        .map(|held| match held {
            0 => 1.0,
            held => ((count - held.min(count)) as f32 / held as f32).clamp(1.0 / MOST, MOST),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that Python works out of the definitions in double precision.
    #[test]
    fn losses_and_gradients_are_those_of_the_definitions() {
        let scores = [0.5_f32, -1.25, 2.0];
        let sigmoid = Loss::Sigmoid(vec![1.0, 3.0, 0.5]);
        let p = sigmoid.probabilities(&scores);
        let targets = [0.0, 1.0, 1.0];
        let close = |got: &[f32], want: &[f64]| {
            assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(want) {
                assert!((f64::from(*got) - want).abs() < 1e-6, "{got} {want}");
            }
        };
        close(&p, &[0.622_459_33, 0.222_700_14, 0.880_797_08]);
        assert!((sigmoid.of(&p, &targets) - 1.847_776_08).abs() < 1e-6);
        let gradient = sigmoid.gradient(&p, &targets);
        close(&gradient, &[0.207_486_44, -0.777_299_86, -0.019_867_15]);
        let p = Loss::Softmax.probabilities(&scores);
        let targets = [0.0, 1.0, 0.0];
        assert!((Loss::Softmax.of(&p, &targets) - 3.482_621_98).abs() < 1e-6);
        let gradient = Loss::Softmax.gradient(&p, &targets);
        close(&gradient, &[0.176_820_18, -0.969_273_26, 0.792_453_08]);
    }

    #[test]
    fn extreme_scores_stay_numbers_and_what_is_none_shows() {
        let loss = Loss::Sigmoid(vec![1.0; 2]);
        let p = loss.probabilities(&[1e30, -1e30]);
        assert_eq!(p, [1.0, 0.0]);
        assert!(loss.of(&p, &[0.0, 1.0]).is_finite());
        for loss in [loss, Loss::Softmax] {
            let p = loss.probabilities(&[f32::NAN, 0.0]);
            assert!(loss.of(&p, &[0.0, 1.0]).is_nan(), "{loss:?}");
        }
    }

    #[test]
    fn classes_are_balanced_by_what_they_do_not_hold_for() {
        let targets: [&[u32]; 4] = [&[0], &[0, 1], &[0], &[]];
        let weights = balanced(targets.into_iter(), 3);
        assert_eq!(weights, [1.0 / 3.0, 3.0, 1.0]);
    }
}
