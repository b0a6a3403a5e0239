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
    /// Precision, recall and F1 of each label, in the labels' order.
    pub labels: Vec<LabelMetrics>,
    /// `confusion[target][predicted]`.
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
            labels,
            confusion,
            calibration_error,
            calibration: bins,
        }
    }
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
}
