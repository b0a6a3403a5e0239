//! How good a classifier is: accuracy, F1, confusion, calibration.

use serde::Serialize;

/// Bins of the calibration curve.
const BINS: usize = 10;

/// Figures over a labelled set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metrics {
    /// Items.
    pub count: usize,
    /// Mean cross-entropy to the targets, in nats.
    pub loss: f64,
    /// Share of the items whose most likely label is the target's.
    pub accuracy: f64,
    /// Mean of the labels' F1.
    pub macro_f1: f64,
    /// Share of the items whose class is among the likeliest, as many of them as were asked for; see [`among`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top: Option<f64>,
    /// [`mean_average_precision`], where classes do not exclude each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_precision: Option<f64>,
    /// Precision, recall and F1 of each label, in the labels' order.
    pub labels: Vec<LabelMetrics>,
    /// `confusion[target][predicted]`; empty where classes do not exclude each other.
    pub confusion: Vec<Vec<usize>>,
    /// Expected calibration error of the most likely label (Guo et al. 2017, arXiv:1706.04599), ten bins.
    pub calibration_error: f64,
    /// The calibration curve: items, mean probability and accuracy of each bin.
    pub calibration: Vec<Bin>,
}

/// Figures of one label.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LabelMetrics {
    /// Right among those predicted.
    pub precision: f64,
    /// Found among those there.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Items with this target.
    pub count: usize,
}

/// One bin of the calibration curve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bin {
    /// Items in the bin.
    pub count: usize,
    /// Mean probability of the most likely label.
    pub confidence: f64,
    /// Share that is right.
    pub accuracy: f64,
}

/// The index of the greatest value, the first of equals.
pub fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

/// Whether fewer than `k` classes are likelier than `class`.
pub fn among(values: &[f32], class: usize, k: usize) -> bool {
    let own = values.get(class).copied().unwrap_or(f32::NEG_INFINITY);
    values.iter().filter(|value| **value > own).count() < k
}

/// Share of the items whose class, the likeliest of their target, is one of the `k` likeliest that are predicted.
pub fn top_accuracy(predicted: &[Vec<f32>], targets: &[&[f32]], k: usize) -> f64 {
    let both = predicted.iter().zip(targets);
    let right = both.filter(|(predicted, target)| among(predicted, argmax(target), k));
    right.count() as f64 / predicted.len().min(targets.len()).max(1) as f64
}

impl Metrics {
    /// Compares `predicted` distributions with `targets`, one row of `labels` probabilities for each item.
    pub fn of(predicted: &[Vec<f32>], targets: &[&[f32]], labels: usize) -> Self {
        let mut confusion = vec![vec![0usize; labels]; labels];
        let mut bins = vec![Bin::default(); BINS];
        let (mut loss, mut right) = (0f64, 0usize);
        let count = predicted.len().min(targets.len());
        for (predicted, target) in predicted.iter().zip(targets) {
            let (is, should) = (argmax(predicted), argmax(target));
            confusion[should][is] += 1;
            let hit = usize::from(is == should);
            right += hit;
            loss -= target
                .iter()
                .zip(predicted)
                .map(|(t, p)| f64::from(*t) * f64::from(p.max(1e-9)).ln())
                .sum::<f64>();
            let confidence = f64::from(predicted[is]);
            let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
            bin.count += 1;
            bin.confidence += confidence;
            bin.accuracy += hit as f64;
        }
        let total = count.max(1) as f64;
        let mut calibration_error = 0.0;
        for bin in &mut bins {
            let items = bin.count.max(1) as f64;
            bin.confidence /= items;
            bin.accuracy /= items;
            calibration_error += bin.count as f64 / total * (bin.confidence - bin.accuracy).abs();
        }
        let labels: Vec<LabelMetrics> = (0..labels)
            .map(|label| {
                let hit = confusion[label][label] as f64;
                let there: usize = confusion[label].iter().sum();
                let said: usize = confusion.iter().map(|row| row[label]).sum();
                let share = |of: usize| if of == 0 { 0.0 } else { hit / of as f64 };
                LabelMetrics {
                    precision: share(said),
                    recall: share(there),
                    f1: if said + there == 0 {
                        0.0
                    } else {
                        2.0 * hit / (said + there) as f64
                    },
                    count: there,
                }
            })
            .collect();
        // As scikit-learn means it: classes that nothing is and nothing was called are not among those meant.
        let met = |label: &usize| {
            let said: usize = confusion.iter().map(|row| row[*label]).sum();
            said + labels[*label].count > 0
        };
        let met: Vec<usize> = (0..labels.len()).filter(met).collect();
        let f1: f64 = met.iter().map(|label| labels[*label].f1).sum();
        Self {
            count,
            loss: loss / total,
            accuracy: right as f64 / total,
            macro_f1: f1 / met.len().max(1) as f64,
            top: None,
            average_precision: None,
            labels,
            confusion,
            calibration_error,
            calibration: bins,
        }
    }
}

impl Metrics {
    /// Compares the probabilities of classes that hold each by itself with what held (0 or 1): a class is said to hold from one
    /// half. Accuracy is the share of all items and classes that is right, as SageMaker's image classification means it; there is
    /// no confusion, and calibration is that of all probabilities. `loss` is told.
    pub fn of_independent(
        predicted: &[Vec<f32>],
        targets: &[&[f32]],
        labels: usize,
        loss: f64,
    ) -> Self {
        // Said and held, said alone, held alone.
        let mut counts = vec![[0_usize; 3]; labels];
        let mut bins = vec![Bin::default(); BINS];
        let mut right = 0_usize;
        let count = predicted.len().min(targets.len());
        for (predicted, target) in predicted.iter().zip(targets) {
            for ((p, target), counts) in predicted.iter().zip(*target).zip(&mut counts) {
                let (said, held) = (*p >= 0.5, *target >= 0.5);
                right += usize::from(said == held);
                match (said, held) {
                    (true, true) => counts[0] += 1,
                    (true, false) => counts[1] += 1,
                    (false, true) => counts[2] += 1,
                    (false, false) => {}
                }
                let bin = &mut bins[((f64::from(*p) * BINS as f64) as usize).min(BINS - 1)];
                bin.count += 1;
                bin.confidence += f64::from(*p);
                bin.accuracy += f64::from(u8::from(held));
            }
        }
        let total = (count * labels).max(1) as f64;
        let mut calibration_error = 0.0;
        for bin in &mut bins {
            let items = bin.count.max(1) as f64;
            bin.confidence /= items;
            bin.accuracy /= items;
            calibration_error += bin.count as f64 / total * (bin.confidence - bin.accuracy).abs();
        }
        let share = |part: usize, of: usize| match of {
            0 => 0.0,
            of => part as f64 / of as f64,
        };
        let each = counts.iter().map(|&[both, said, held]| LabelMetrics {
            precision: share(both, both + said),
            recall: share(both, both + held),
            f1: share(2 * both, 2 * both + said + held),
            count: both + held,
        });
        let each: Vec<LabelMetrics> = each.collect();
        let met = each
            .iter()
            .zip(&counts)
            .filter(|(_, counts)| counts.iter().sum::<usize>() > 0);
        let (f1, met) = met.fold((0.0, 0_usize), |(sum, met), (label, _)| {
            (sum + label.f1, met + 1)
        });
        Self {
            count,
            loss,
            accuracy: right as f64 / total,
            macro_f1: f1 / met.max(1) as f64,
            top: None,
            average_precision: Some(mean_average_precision(predicted, targets, labels)),
            labels: each,
            confusion: Vec::new(),
            calibration_error,
            calibration: bins,
        }
    }
}

/// The mean over the classes that hold of something of their average precision: of a class, the mean of the precision at each
/// item that it holds for, items in the order of its probability. Equal probabilities are taken in the order that is the worst.
pub fn mean_average_precision(predicted: &[Vec<f32>], targets: &[&[f32]], labels: usize) -> f64 {
    let (mut sum, mut classes) = (0.0, 0_usize);
    for label in 0..labels {
        let mut items: Vec<(f32, bool)> = predicted
            .iter()
            .zip(targets)
            .map(|(p, target)| (p[label], target[label] >= 0.5))
            .collect();
        items.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        let (mut found, mut precision) = (0_usize, 0.0);
        for (rank, (_, held)) in items.iter().enumerate() {
            if *held {
                found += 1;
                precision += found as f64 / (rank + 1) as f64;
            }
        }
        if found > 0 {
            sum += precision / found as f64;
            classes += 1;
        }
    }
    sum / classes.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_worked_out_by_hand() {
        let predicted = [
            vec![0.95f32, 0.05, 0.0],
            vec![0.6, 0.4, 0.0],
            vec![0.2, 0.72, 0.08],
            vec![0.1, 0.8, 0.1],
        ];
        let targets: [&[f32]; 4] = [
            &[1.0, 0.0, 0.0],
            &[0.0, 1.0, 0.0],
            &[0.0, 1.0, 0.0],
            &[0.0, 0.0, 1.0],
        ];
        let metrics = Metrics::of(&predicted, &targets, 3);
        assert_eq!(metrics.accuracy, 0.5);
        // The last item's class is as likely as the first, behind the second.
        let top = [1, 2, 3].map(|k| top_accuracy(&predicted, &targets, k));
        assert_eq!(top, [0.5, 1.0, 1.0]);
        assert_eq!(top_accuracy(&[], &[], 2), 0.0);
        assert_eq!(
            metrics.confusion,
            vec![vec![1, 0, 0], vec![1, 1, 0], vec![0, 1, 0]]
        );
        let f1: Vec<f64> = metrics.labels.iter().map(|l| l.f1).collect();
        assert_eq!(f1, vec![2.0 / 3.0, 0.5, 0.0]);
        assert!((metrics.macro_f1 - (2.0 / 3.0 + 0.5) / 3.0).abs() < 1e-12);
        // Of the first two classes only: the third is neither there nor said.
        let two = Metrics::of(&predicted[..3], &targets[..3], 3);
        assert_eq!(
            two.confusion,
            vec![vec![1, 0, 0], vec![1, 1, 0], vec![0; 3]]
        );
        assert!((two.macro_f1 - 2.0 / 3.0).abs() < 1e-12);
        let loss = -(0.95f64.ln() + 0.4f64.ln() + 0.72f64.ln() + 0.1f64.ln()) / 4.0;
        assert!((metrics.loss - loss).abs() < 1e-6);
        // |0.95-1| + |0.6-0| + |0.72-1| + |0.8-0|, a quarter each.
        assert!((metrics.calibration_error - 1.73 / 4.0).abs() < 1e-6);
    }

    #[test]
    fn figures_of_independent_classes_are_those_worked_out_by_hand() {
        let predicted = [
            vec![0.9f32, 0.2, 0.1],
            vec![0.8, 0.7, 0.1],
            vec![0.3, 0.6, 0.1],
        ];
        let targets: [&[f32]; 3] = [&[1.0, 0.0, 0.0], &[0.0, 1.0, 0.0], &[1.0, 1.0, 0.0]];
        let metrics = Metrics::of_independent(&predicted, &targets, 3, 0.25);
        assert_eq!((metrics.count, metrics.loss), (3, 0.25));
        assert!(
            metrics
                .average_precision
                .is_some_and(|precision| precision > 0.9)
        );
        assert!((metrics.accuracy - 7.0 / 9.0).abs() < 1e-12);
        let f1: Vec<f64> = metrics.labels.iter().map(|l| l.f1).collect();
        assert_eq!(f1, vec![0.5, 1.0, 0.0]);
        // The third neither holds nor is said to.
        assert!((metrics.macro_f1 - 0.75).abs() < 1e-12);
        // First class: right at ranks 1 and 3; second: at 1 and 2; the third is of nothing.
        let precision = mean_average_precision(&predicted, &targets, 3);
        assert!((precision - ((1.0 + 2.0 / 3.0) / 2.0 + 1.0) / 2.0).abs() < 1e-12);
        let same = [vec![0.5f32], vec![0.5]];
        let targets: [&[f32]; 2] = [&[1.0], &[0.0]];
        assert_eq!(mean_average_precision(&same, &targets, 1), 0.5);
    }
}
