//! A linear classifier on vectors that an encoder gave: logistic regression, for when the encoder stays as it is.
//!
//! Vectors are standardised (mean 0, deviation 1 in each dimension), which makes one learning rate right for all
//! of them; the scaling is folded into the weights at the end.

use super::adapter::Head;
use super::classifier::{Settings, shuffle};
use super::loss::Loss;
use super::random;
use crate::error::{Error, Result};

/// Trains on `vectors` with `targets` over `labels` labels by `loss`: distributions, or what holds of each; stops when the loss on the development
/// vectors has not improved for `settings.patience` epochs, and returns the best.
///
/// Uses the settings' epochs, batch, head rate, weight decay, patience and seed; the optimiser is Adam
/// (Kingma and Ba 2015, arXiv:1412.6980). `stopped` is asked before each batch whether to end with what was learned so far.
///
/// # Errors
/// When the settings make no sense, there is nothing to learn from, lengths differ, or a number is not finite.
pub fn train(
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
        && loss.fits(labels);
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
    let size = labels * width + labels;
    let mut head = Head {
        weight: vec![0.0; labels * width],
        bias: vec![0.0; labels],
    };
    let (mut first, mut second) = (vec![0f32; size], vec![0f32; size]);
    let mut best: Option<(f64, Head)> = None;
    let (mut since, mut step) = (0, 0i32);
    'epochs: for epoch in 0..settings.epochs {
        let mut order: Vec<usize> = (0..inputs.len()).collect();
        shuffle(&mut order, random(settings.seed, u64::from(epoch)));
        for batch in order.chunks(settings.batch) {
            if stopped() {
                break 'epochs;
            }
            let mut gradient = vec![0f32; size];
            for &index in batch {
                let predicted = loss.probabilities(&head.apply(&inputs[index]));
                let errors = loss.gradient(&predicted, &targets[index]);
                for (label, error) in errors.into_iter().enumerate() {
                    let error = error / batch.len() as f32;
                    let row = &mut gradient[label * width..(label + 1) * width];
                    row.iter_mut()
                        .zip(&inputs[index])
                        .for_each(|(g, x)| *g += error * x);
                    gradient[labels * width + label] += error;
                }
            }
            step = step.saturating_add(1);
            let rate = settings.head_rate as f32;
            let scales = [
                1.0 / (1.0 - 0.9f32.powi(step)),
                1.0 / (1.0 - 0.999f32.powi(step)),
            ];
            let values = head.weight.iter_mut().chain(head.bias.iter_mut());
            for (index, ((value, gradient), (first, second))) in values
                .zip(&gradient)
                .zip(first.iter_mut().zip(second.iter_mut()))
                .enumerate()
            {
                *first = 0.9 * *first + 0.1 * gradient;
                *second = 0.999 * *second + 0.001 * gradient * gradient;
                if index < labels * width {
                    *value -= rate * settings.weight_decay as f32 * *value;
                }
                *value -= rate * (*first * scales[0]) / ((*second * scales[1]).sqrt() + 1e-8);
            }
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
        let judged = loss.metrics(&predicted, wanted, labels).loss;
        if !judged.is_finite() {
            return Err(Error::NotFinite);
        }
        if best.as_ref().is_none_or(|(least, _)| judged < *least) {
            let copy = Head {
                weight: head.weight.clone(),
                bias: head.bias.clone(),
            };
            best = Some((judged, copy));
            since = 0;
        } else {
            since += 1;
            if settings.patience > 0 && since >= settings.patience {
                break;
            }
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
