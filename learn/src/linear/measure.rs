//! How good scores are, and which threshold makes most of them.

use super::settings::Criterion;

/// Rows of class 1 and 0 by what was said of them, each counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub true_positive: f64,
    pub false_positive: f64,
    pub true_negative: f64,
    pub false_negative: f64,
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

impl Counts {
    /// Those of pairs of what was said and what is.
    pub fn of(pairs: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let mut counts = Self::default();
        for pair in pairs {
            *match pair {
                (true, true) => &mut counts.true_positive,
                (true, false) => &mut counts.false_positive,
                (false, false) => &mut counts.true_negative,
                (false, true) => &mut counts.false_negative,
            } += 1.0;
        }
        counts
    }

    pub fn accuracy(&self) -> f64 {
        let right = self.true_positive + self.true_negative;
        share(right, right + self.false_positive + self.false_negative)
    }

    pub fn precision(&self) -> f64 {
        share(self.true_positive, self.true_positive + self.false_positive)
    }

    pub fn recall(&self) -> f64 {
        share(self.true_positive, self.true_positive + self.false_negative)
    }

    pub fn f_beta(&self, beta: f64) -> f64 {
        let square = beta * beta;
        let (precision, recall) = (self.precision(), self.recall());
        share(
            (1.0 + square) * precision * recall,
            square * precision + recall,
        )
    }

    /// By a criterion, greater is better.
    fn by(&self, criterion: Criterion, beta: f64) -> f64 {
        match criterion {
            Criterion::Accuracy | Criterion::Loss => self.accuracy(),
            Criterion::FBeta => self.f_beta(beta),
            // Until the target is met, what is nearer to it is better than nothing, and worse than all that meets it.
            Criterion::PrecisionAtRecall(target) => match self.recall() {
                recall if recall >= target => 1.0 + self.precision(),
                recall => recall,
            },
            Criterion::RecallAtPrecision(target) => match self.precision() {
                precision if precision >= target => 1.0 + self.recall(),
                precision => precision,
            },
        }
    }
}

/// The threshold from which scores are of class 1, and how good it is by the criterion (greater is better). Of thresholds that
/// are as good it is the one nearest to `middle`.
pub(super) fn threshold(
    scores: &[f32],
    labels: &[f32],
    criterion: Criterion,
    beta: f64,
    middle: f32,
) -> (f32, f64) {
    let all = |threshold: f32| {
        Counts::of(
            scores
                .iter()
                .zip(labels)
                .map(|(score, label)| (*score >= threshold, *label > 0.5)),
        )
    };
    let mut best = (middle, all(middle).by(criterion, beta));
    if criterion == Criterion::Loss {
        return best;
    }
    let mut order: Vec<_> = scores.iter().copied().zip(labels.iter().copied()).collect();
    order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let positive = labels.iter().filter(|label| **label > 0.5).count() as f64;
    let mut counts = Counts {
        false_negative: positive,
        true_negative: labels.len() as f64 - positive,
        ..Counts::default()
    };
    for (at, (score, label)) in order.iter().enumerate() {
        if *label > 0.5 {
            counts.true_positive += 1.0;
            counts.false_negative -= 1.0;
        } else {
            counts.false_positive += 1.0;
            counts.true_negative -= 1.0;
        }
        let next = order.get(at + 1).map(|one| one.0);
        if next == Some(*score) {
            continue;
        }
        let found = counts.by(criterion, beta);
        // Half way to the next score, so that rows a little off fall on the same side.
        let half = next.map_or(*score, |next| next + 0.5 * (score - next));
        let nearer = (half - middle).abs() < (best.0 - middle).abs();
        if found > best.1 + 1e-12 || (found > best.1 - 1e-12 && nearer && best.0 != middle) {
            best = (half, found);
        }
    }
    best
}

/// The area under the curve of true against false positives; one half where there are not both classes.
pub(super) fn area(scores: &[f32], labels: &[f32]) -> f64 {
    let mut order: Vec<_> = scores.iter().zip(labels).collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(b.0));
    let positive = labels.iter().filter(|label| **label > 0.5).count() as f64;
    let pairs = positive * (labels.len() as f64 - positive);
    if pairs == 0.0 {
        return 0.5;
    }
    let (mut below, mut won) = (0.0, 0.0);
    for tied in order.chunk_by(|a, b| a.0 == b.0) {
        let ones = tied.iter().filter(|one| *one.1 > 0.5).count() as f64;
        let zeros = tied.len() as f64 - ones;
        won += ones * (below + 0.5 * zeros);
        below += zeros;
    }
    won / pairs
}

/// What SageMaker measures of classes.
pub(super) fn classes(
    scores: &[f32],
    classes: usize,
    labels: &[f32],
    top: usize,
    beta: f64,
) -> Vec<(&'static str, f64)> {
    let mut per: Vec<Counts> = vec![Counts::default(); classes];
    let (mut right, mut within, mut gain) = (0.0, 0.0, 0.0);
    for (row, label) in scores.chunks_exact(classes).zip(labels) {
        let label = *label as usize;
        let said = best(row);
        // Ties count for the label where it comes first.
        let above = |(at, score): (usize, &f32)| {
            *score > row[label] || (*score == row[label] && at < label)
        };
        let rank = row.iter().enumerate().filter(|one| above(*one)).count();
        right += f64::from(u8::from(said == label));
        within += f64::from(u8::from(rank < top));
        gain += 1.0 / (rank as f64 + 2.0).log2();
        if said == label {
            per[label].true_positive += 1.0;
        } else {
            per[said].false_positive += 1.0;
            per[label].false_negative += 1.0;
        }
    }
    let rows = labels.len() as f64;
    let mean = |of: &dyn Fn(&Counts) -> f64| per.iter().map(of).sum::<f64>() / classes as f64;
    vec![
        ("multiclass_accuracy", share(right, rows)),
        ("multiclass_top_k_accuracy", share(within, rows)),
        ("dcg", share(gain, rows)),
        ("macro_recall", mean(&Counts::recall)),
        ("macro_precision", mean(&Counts::precision)),
        ("macro_f_beta", mean(&|counts| counts.f_beta(beta))),
    ]
}

/// The first of the greatest.
pub(super) fn best(row: &[f32]) -> usize {
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

    const SCORES: [f32; 6] = [0.1, 0.4, 0.35, 0.8, 0.7, 0.2];
    const LABELS: [f32; 6] = [0.0, 0.0, 1.0, 1.0, 1.0, 0.0];

    #[test]
    fn thresholds_do_what_is_asked() {
        let find = |criterion| threshold(&SCORES, &LABELS, criterion, 1.0, 0.5);
        // 0.5 has five of six right already, and nothing is better.
        assert_eq!(find(Criterion::Accuracy), (0.5, 5.0 / 6.0));
        let (at, f1) = find(Criterion::FBeta);
        assert!(
            (at - 0.275).abs() < 1e-6 && (f1 - 6.0 / 7.0).abs() < 1e-12,
            "{at} {f1}"
        );
        let (at, value) = find(Criterion::PrecisionAtRecall(0.9));
        assert!((at - 0.275).abs() < 1e-6 && (value - 1.75).abs() < 1e-12);
        let (at, value) = find(Criterion::RecallAtPrecision(0.9));
        assert!(at > 0.4 && (value - (1.0 + 2.0 / 3.0)).abs() < 1e-12);
        assert_eq!(find(Criterion::Loss).0, 0.5);
    }

    #[test]
    fn areas_count_pairs() {
        // Of nine pairs, one is the wrong way round.
        assert!((area(&SCORES, &LABELS) - 8.0 / 9.0).abs() < 1e-12);
        assert_eq!(area(&[0.5, 0.5], &[0.0, 1.0]), 0.5);
        assert_eq!(area(&[0.5], &[1.0]), 0.5);
    }
}
