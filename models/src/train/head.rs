//! A linear classifier on vectors that an encoder gave: logistic regression, for when the encoder stays as it is.
//!
//! Vectors are standardised (mean 0, deviation 1 in each dimension), which makes one learning rate right for all
//! of them; the scaling is folded into the weights at the end.

use super::adapter::Head;
use super::classifier::{Schedule, Settings, shuffle};
use super::loss::Loss;
use super::ops::dropout_factors;
use super::optimizer::warm_up_and_decay;
use super::random;
use super::rule::Pace;
use crate::error::{Error, Result};

/// Trains on `vectors` with `targets` over `labels` labels by `loss`: distributions, or what holds of each; stops when there was
/// no improvement on the development vectors for `settings.patience` epochs, and returns what had the least loss on them.
///
/// Uses the settings' epochs, batch, head rate and its schedule, rule, weight decay, head's dropout (none where it has none of its
/// own) and L2, patience and seed. Decay and L2 are of weights of standardised vectors. `stopped` is asked before each batch
/// whether to end with what was learned so far.
///
/// # Errors
/// When the settings make no sense, there is nothing to learn from, lengths differ, or a number is not finite.
pub fn train(
    vectors: &[Vec<f32>],
    targets: &[Vec<f32>],
    dev: (&[Vec<f32>], &[Vec<f32>]),
    of: (usize, &Loss),
    settings: &Settings,
    stopped: &mut dyn FnMut() -> bool,
) -> Result<Head> {
    train_from(None, vectors, targets, dev, of, settings, stopped)
}

/// [`train`] from a head that was learned before, where there is one.
///
/// # Errors
/// As those of [`train`]; the head does not fit.
pub fn train_from(
    begin: Option<&Head>,
    vectors: &[Vec<f32>],
    targets: &[Vec<f32>],
    dev: (&[Vec<f32>], &[Vec<f32>]),
    (labels, loss): (usize, &Loss),
    settings: &Settings,
    stopped: &mut dyn FnMut() -> bool,
) -> Result<Head> {
    settings.check()?;
    let width = vectors.first().map_or(0, Vec::len);
    let all = vectors.iter().chain(dev.0);
    let fits = width > 0
        && vectors.len() == targets.len()
        && dev.0.len() == dev.1.len()
        && all.clone().all(|v| v.len() == width)
        && targets.iter().chain(dev.1).all(|t| t.len() == labels)
        && loss.fits(labels)
        && begin
            .is_none_or(|head| head.weight.len() == labels * width && head.bias.len() == labels);
    if !fits {
        return Err(Error::unsupported("vectors and targets do not fit"));
    }
    if all.flatten().any(|x| !x.is_finite()) {
        return Err(Error::NotFinite);
    }
    let (mean, scale) = standard(vectors, width);
    let standardise = |vector: &Vec<f32>| -> Vec<f32> {
        let parts = vector.iter().zip(&mean).zip(&scale);
        parts.map(|((x, mean), scale)| (x - mean) * scale).collect()
    };
    let inputs: Vec<Vec<f32>> = vectors.iter().map(standardise).collect();
    let dev_inputs: Vec<Vec<f32>> = dev.0.iter().map(standardise).collect();
    let dev_targets: Vec<&[f32]> = dev.1.iter().map(Vec::as_slice).collect();
    let mut head = match begin {
        Some(head) => standardised(head, &mean, &scale),
        None => Head {
            weight: vec![0.0; labels * width],
            bias: vec![0.0; labels],
        },
    };
    let rule = settings.rule;
    let (mut weight_means, mut bias_means) = (rule.begin(labels * width), rule.begin(labels));
    let mut best: Option<(f64, Head)> = None;
    let (mut mark, mut since, mut step) = (None, 0, 0u64);
    let per_epoch = inputs.len().div_ceil(settings.batch) as u64;
    let steps = per_epoch * u64::from(settings.epochs);
    let dropout = settings.head_dropout.unwrap_or(0.0);
    let mut factors = vec![1f32; width];
    'epochs: for epoch in 0..settings.epochs {
        let mut order: Vec<usize> = (0..inputs.len()).collect();
        shuffle(&mut order, random(settings.seed, u64::from(epoch)));
        for batch in order.chunks(settings.batch) {
            if stopped() {
                break 'epochs;
            }
            let mut slopes = vec![0f32; labels * width];
            let mut bias_slopes = vec![0f32; labels];
            for &index in batch {
                let mut input = inputs[index].clone();
                if dropout > 0.0 {
                    let seed = random(random(settings.seed ^ 0xD509, step), index as u64);
                    dropout_factors(dropout, seed, 0, &mut factors);
                    input.iter_mut().zip(&factors).for_each(|(x, f)| *x *= f);
                }
                let predicted = loss.probabilities(&head.apply(&input));
                let errors = loss.gradient(&predicted, &targets[index]);
                for (label, error) in errors.into_iter().enumerate() {
                    let error = error / batch.len() as f32;
                    let row = &mut slopes[label * width..(label + 1) * width];
                    row.iter_mut()
                        .zip(&input)
                        .for_each(|(g, x)| *g += error * x);
                    bias_slopes[label] += error;
                }
            }
            let l2 = 2.0 * settings.head_l2 as f32;
            let weights = slopes.iter_mut().zip(&head.weight);
            weights.for_each(|(slope, weight)| *slope += l2 * weight);
            let factor = match &settings.schedule {
                Schedule::WarmUp => match (step as f64) < (settings.warm_up * steps as f64).floor()
                {
                    true => warm_up_and_decay(step, steps, settings.warm_up),
                    false => 1.0,
                },
                Schedule::Steps(steps) => steps.factor(u64::from(epoch)),
            };
            step += 1;
            let pace = |decay: f64| Pace {
                time: step,
                rate: (settings.head_rate * factor) as f32,
                decay: decay as f32,
            };
            let [first, second] = &mut weight_means;
            let pace_of_weights = pace(settings.weight_decay);
            rule.step(
                &mut head.weight,
                slopes.into_iter(),
                [first, second],
                pace_of_weights,
            );
            let [first, second] = &mut bias_means;
            rule.step(
                &mut head.bias,
                bias_slopes.into_iter(),
                [first, second],
                pace(0.0),
            );
        }
        let judged = if dev_inputs.is_empty() {
            &inputs
        } else {
            &dev_inputs
        };
        let predicted: Vec<Vec<f32>> = judged
            .iter()
            .map(|x| loss.probabilities(&head.apply(x)))
            .collect();
        let own: Vec<&[f32]> = targets.iter().map(Vec::as_slice).collect();
        let wanted = if dev_inputs.is_empty() {
            &own
        } else {
            &dev_targets
        };
        let figures = loss.metrics(&predicted, wanted, labels);
        let judged = figures.loss;
        if !judged.is_finite() || predicted.iter().flatten().any(|p| !p.is_finite()) {
            return Err(Error::NotFinite);
        }
        if best.as_ref().is_none_or(|(least, _)| judged < *least) {
            let copy = Head {
                weight: head.weight.clone(),
                bias: head.bias.clone(),
            };
            best = Some((judged, copy));
        }
        match settings.improvement.over(mark, &figures) {
            Some(figure) => (mark, since) = (Some(figure), 0),
            None => since += 1,
        }
        if settings.ends(since, u64::from(epoch) + 1) {
            break;
        }
    }
    let mut head = best.map_or(head, |(_, best)| best);
    // w.((x - mean) scale) + b = (w scale).x + (b - (w scale).mean)
    for (row, bias) in head.weight.chunks_exact_mut(width).zip(&mut head.bias) {
        row.iter_mut()
            .zip(&scale)
            .for_each(|(w, scale)| *w *= scale);
        *bias -= row.iter().zip(&mean).map(|(w, mean)| w * mean).sum::<f32>();
    }
    Ok(head)
}

/// The head for standardised vectors that answers as `head` does for those that they were.
fn standardised(head: &Head, mean: &[f32], scale: &[f32]) -> Head {
    let (mut weight, mut bias) = (head.weight.clone(), head.bias.clone());
    for (row, bias) in weight.chunks_exact_mut(mean.len()).zip(&mut bias) {
        *bias += row.iter().zip(mean).map(|(w, mean)| w * mean).sum::<f32>();
        row.iter_mut().zip(scale).for_each(|(w, scale)| *w /= scale);
    }
    Head { weight, bias }
}

/// Mean and inverse deviation of each dimension.
fn standard(vectors: &[Vec<f32>], width: usize) -> (Vec<f32>, Vec<f32>) {
    let count = vectors.len() as f64;
    let (mut mean, mut square) = (vec![0f64; width], vec![0f64; width]);
    for vector in vectors {
        for (x, (mean, square)) in vector.iter().zip(mean.iter_mut().zip(square.iter_mut())) {
            *mean += f64::from(*x) / count;
            *square += f64::from(*x) * f64::from(*x) / count;
        }
    }
    let scale = square
        .iter()
        .zip(&mean)
        .map(|(square, mean)| (1.0 / (square - mean * mean).max(1e-12).sqrt()) as f32)
        .collect();
    (mean.into_iter().map(|x| x as f32).collect(), scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Rule;
    use crate::train::classifier::{Improvement, Steps};
    use crate::train::metrics::argmax;

    #[test]
    fn what_a_plane_separates_is_learned_whatever_the_scale() {
        // Label 1 where 3 x - y > 100; x about 1000, y about 0.
        let item = |index: u64| {
            let unit = |at| (random(5, index * 2 + at) >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
            let (x, y) = (1000.0 + 100.0 * unit(0), 0.001 * unit(1));
            let label = usize::from((x - 1000.0) / 100.0 - y / 0.001 > 0.0);
            let mut target = vec![0.0, 0.0];
            target[label] = 1.0;
            (vec![x, y], target)
        };
        let (vectors, targets): (Vec<_>, Vec<_>) = (0..400).map(item).unzip();
        let (dev, dev_targets): (Vec<_>, Vec<_>) = (400..500).map(item).unzip();
        let settings = Settings {
            epochs: 60,
            batch: 16,
            head_rate: 0.05,
            patience: 0,
            ..Settings::default()
        };
        let head = train(
            &vectors,
            &targets,
            (&dev, &dev_targets),
            (2, &Loss::Softmax),
            &settings,
            &mut || false,
        )
        .expect("trained");
        let mut batches = 0;
        let mut third = || {
            batches += 1;
            batches == 3
        };
        let ended = train(
            &vectors,
            &targets,
            (&dev, &dev_targets),
            (2, &Loss::Softmax),
            &settings,
            &mut third,
        );
        let ended = ended.expect("what was learned");
        assert!(ended.weight != head.weight, "it went on");
        assert_eq!(batches, 3);
        let right = dev
            .iter()
            .zip(&dev_targets)
            .filter(|(x, t)| argmax(&head.apply(x)) == argmax(t))
            .count();
        assert!(right >= 97, "{right} of 100");
    }

    /// Vectors of two classes, each of a deviation of its own.
    fn blobs(count: u64) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
        let item = |index: u64| {
            let unit = |at| (random(9, index * 2 + at) >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
            let one = index.is_multiple_of(2);
            let middle = if one { 1.0 } else { -1.0 };
            let vector = vec![10.0 + 3.0 * (middle + unit(0)), 0.1 * (unit(1) - middle)];
            (vector, vec![f32::from(one), f32::from(!one)])
        };
        (0..count).map(item).unzip()
    }

    fn trained(begin: Option<&Head>, settings: &Settings) -> Head {
        let (vectors, targets) = blobs(64);
        let none: (&[Vec<f32>], &[Vec<f32>]) = (&[], &[]);
        let of = (2, &Loss::Softmax);
        train_from(begin, &vectors, &targets, none, of, settings, &mut || false).expect("trained")
    }

    fn plain() -> Settings {
        Settings {
            epochs: 20,
            batch: 16,
            head_rate: 0.05,
            weight_decay: 0.0,
            patience: 0,
            ..Settings::default()
        }
    }

    fn length(head: &Head) -> f32 {
        // Of the first dimension, whose deviation is about 3.
        3.0 * head.weight[0].hypot(head.weight[2])
    }

    #[test]
    fn every_rule_learns_and_what_holds_weights_down_does() {
        let adam = trained(None, &plain());
        for (rule, head_rate) in [
            (
                Rule::Sgd {
                    momentum: 0.9,
                    nesterov: false,
                },
                0.1,
            ),
            (
                Rule::Sgd {
                    momentum: 0.9,
                    nesterov: true,
                },
                0.1,
            ),
            (
                Rule::RmsProp {
                    rho: 0.95,
                    epsilon: 1e-7,
                },
                0.05,
            ),
            (
                Rule::Adagrad {
                    initial: 1e-4,
                    epsilon: 1e-7,
                },
                0.1,
            ),
            (
                Rule::Adadelta {
                    rho: 0.95,
                    epsilon: 1e-7,
                },
                1.0,
            ),
        ] {
            let settings = Settings {
                rule,
                head_rate,
                ..plain()
            };
            let head = trained(None, &settings);
            let (vectors, targets) = blobs(64);
            let right = |(x, t): (&Vec<f32>, &Vec<f32>)| argmax(&head.apply(x)) == argmax(t);
            assert!(vectors.iter().zip(&targets).all(right), "{rule:?}");
            assert!(head.weight != adam.weight, "{rule:?}");
        }
        let held = Settings {
            head_l2: 0.1,
            ..plain()
        };
        assert!(length(&trained(None, &held)) < 0.7 * length(&adam));
        let slower = Settings {
            schedule: Schedule::Steps(Steps {
                factor: 0.0,
                epochs: vec![2, 4],
            }),
            ..plain()
        };
        let two = Settings {
            epochs: 2,
            schedule: Schedule::Steps(Steps::default()),
            ..plain()
        };
        assert_eq!(trained(None, &slower).weight, trained(None, &two).weight);
        let none = Settings {
            head_dropout: Some(1.0),
            ..plain()
        };
        assert_eq!(trained(None, &none).weight, [0.0; 4]);
    }

    #[test]
    fn it_begins_with_what_was_learned_before() {
        let before = trained(None, &plain());
        let still = Settings {
            epochs: 1,
            head_rate: 0.0,
            ..plain()
        };
        let same = trained(Some(&before), &still);
        let both = before.weight.iter().chain(&before.bias);
        for (one, other) in both.zip(same.weight.iter().chain(&same.bias)) {
            // There and back through standardised vectors.
            assert!(
                (one - other).abs() < 1e-4 * one.abs().max(1.0),
                "{one} {other}"
            );
        }
        let short = Head {
            weight: vec![0.0; 3],
            bias: vec![0.0; 2],
        };
        let (vectors, targets) = blobs(8);
        let none: (&[Vec<f32>], &[Vec<f32>]) = (&[], &[]);
        let of = (2, &Loss::Softmax);
        let begun = train_from(
            Some(&short),
            &vectors,
            &targets,
            none,
            of,
            &still,
            &mut || false,
        );
        assert!(begun.is_err());
    }

    #[test]
    fn it_stops_early_as_is_asked() {
        let (vectors, targets) = blobs(64);
        // The other way round: the more is learned, the worse it is.
        let dev_targets: Vec<Vec<f32>> = targets.iter().map(|t| vec![t[1], t[0]]).collect();
        let epochs = |settings: Settings, dev_targets: &[Vec<f32>]| {
            let mut batches = 0;
            let mut counted = || {
                batches += 1;
                false
            };
            let dev = (&vectors[..], dev_targets);
            let of = (2, &Loss::Softmax);
            train(&vectors, &targets, dev, of, &settings, &mut counted).expect("trained");
            batches / 4
        };
        let patient = Settings {
            patience: 3,
            ..plain()
        };
        assert_eq!(epochs(patient.clone(), &dev_targets), 4);
        assert_eq!(epochs(patient.clone(), &targets), 20);
        let least = Settings {
            least_epochs: 7,
            ..patient.clone()
        };
        assert_eq!(epochs(least, &dev_targets), 7);
        // Less of a loss, but never so much less.
        let much = Settings {
            improvement: Improvement::Loss(0.5),
            ..patient.clone()
        };
        assert_eq!(epochs(much, &targets), 4);
        // All are right from the first epoch on.
        let accuracy = Settings {
            improvement: Improvement::Accuracy(0.0),
            ..patient
        };
        assert_eq!(epochs(accuracy, &targets), 4);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let settings = Settings::default();
        let none: (&[Vec<f32>], &[Vec<f32>]) = (&[], &[]);
        assert!(
            train(&[], &[], none, (2, &Loss::Softmax), &settings, &mut || {
                false
            })
            .is_err()
        );
        assert!(
            train(
                &[vec![1.0]],
                &[vec![1.0]],
                none,
                (2, &Loss::Softmax),
                &settings,
                &mut || { false }
            )
            .is_err()
        );
        let never = Settings {
            epochs: 0,
            ..Settings::default()
        };
        assert!(
            train(
                &[vec![1.0]],
                &[vec![1.0, 0.0]],
                none,
                (2, &Loss::Softmax),
                &never,
                &mut || false
            )
            .is_err()
        );
        assert!(
            train(
                &[vec![f32::NAN]],
                &[vec![1.0, 0.0]],
                none,
                (2, &Loss::Softmax),
                &settings,
                &mut || false
            )
            .is_err()
        );
    }
}
