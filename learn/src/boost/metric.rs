//! How good predictions are: XGBoost's `src/metric` at 3.2.0, and the scores that SageMaker's container takes from
//! scikit-learn, which count all rows the same.

use super::cox;
use super::objective::Targets;
use rayon::prelude::*;

/// A measure of predictions.
#[derive(Clone, Debug, PartialEq)]
pub enum Metric {
    Rmse,
    Rmsle,
    Mae,
    Mape,
    LogLoss,
    /// Wrong classes, where what is above is class 1: 0.5 if nothing is said.
    Error {
        above: Option<f32>,
    },
    MultiError,
    MultiLogLoss,
    Auc,
    AucPr,
    PoissonLikelihood,
    GammaLikelihood,
    GammaDeviance,
    TweedieLikelihood {
        power: f32,
    },
    PseudoHuber {
        slope: f32,
    },
    CoxLikelihood,
    Mse,
    R2,
    /// Of classes; with two, what is above is class 1.
    Score {
        name: &'static str,
        score: Score,
        above: f32,
    },
}

/// How often classes are right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Score {
    Accuracy,
    BalancedAccuracy,
    F1(Mean),
    Precision(Mean),
    Recall(Mean),
}

/// What is scored of several classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mean {
    /// Class 1 of two.
    One,
    /// The mean of classes.
    Classes,
    /// The mean of rows.
    Rows,
}

/// Scores by the names that SageMaker's container has for them. `f1` is another name of the mean of classes.
const SCORES: [(&str, Score); 11] = [
    ("accuracy", Score::Accuracy),
    ("balanced_accuracy", Score::BalancedAccuracy),
    ("f1_macro", Score::F1(Mean::Classes)),
    ("f1_binary", Score::F1(Mean::One)),
    ("precision", Score::Precision(Mean::One)),
    ("precision_macro", Score::Precision(Mean::Classes)),
    ("precision_micro", Score::Precision(Mean::Rows)),
    ("recall", Score::Recall(Mean::One)),
    ("recall_macro", Score::Recall(Mean::Classes)),
    ("recall_micro", Score::Recall(Mean::Rows)),
    ("f1", Score::F1(Mean::Classes)),
];

/// Rows whose losses are added up one after another.
const CHUNK: usize = 4096;

impl Metric {
    /// Reads a name. `power` and `slope` are hyperparameters that some need; what is `above` is class 1 of two.
    ///
    /// # Errors
    ///
    /// A sentence, if it is none that is measured here.
    pub fn read(name: &str, power: f32, slope: f32, above: f32) -> Result<Self, String> {
        let (plain, at) = match name.split_once('@') {
            Some((plain, at)) => {
                let number = at
                    .trim()
                    .parse::<f32>()
                    .ok()
                    .filter(|number| number.is_finite());
                let number = number.ok_or_else(|| format!("{name} has no number after @"))?;
                (plain.trim(), Some(number))
            }
            None => (name, None),
        };
        Ok(match (plain, at) {
            ("rmse", None) => Self::Rmse,
            ("rmsle", None) => Self::Rmsle,
            ("mae", None) => Self::Mae,
            ("mape", None) => Self::Mape,
            ("logloss", None) => Self::LogLoss,
            ("error", above) => Self::Error { above },
            ("merror", None) => Self::MultiError,
            ("mlogloss", None) => Self::MultiLogLoss,
            ("auc", None) => Self::Auc,
            ("aucpr", None) => Self::AucPr,
            ("poisson-nloglik", None) => Self::PoissonLikelihood,
            ("gamma-nloglik", None) => Self::GammaLikelihood,
            ("gamma-deviance", None) => Self::GammaDeviance,
            ("tweedie-nloglik", at) => match at.unwrap_or(power) {
                power if (1.0..2.0).contains(&power) => Self::TweedieLikelihood { power },
                power => {
                    return Err(format!(
                        "the power of tweedie-nloglik is in [1, 2), and {power} is not"
                    ));
                }
            },
            ("mphe", None) => Self::PseudoHuber { slope },
            ("cox-nloglik", None) => Self::CoxLikelihood,
            ("mse", None) => Self::Mse,
            ("r2", None) => Self::R2,
            _ => match SCORES.iter().find(|(known, _)| *known == name) {
                Some((name, score)) => Self::Score {
                    name,
                    score: *score,
                    above,
                },
                None => return Err(format!("eval_metric {name} is not measured here")),
            },
        })
    }

    /// Its name, as lines of the log have it.
    pub fn name(&self) -> String {
        match self {
            Self::Rmse => "rmse".to_owned(),
            Self::Rmsle => "rmsle".to_owned(),
            Self::Mae => "mae".to_owned(),
            Self::Mape => "mape".to_owned(),
            Self::LogLoss => "logloss".to_owned(),
            Self::Error { above: Some(above) } if *above != 0.5 => format!("error@{above}"),
            Self::Error { .. } => "error".to_owned(),
            Self::MultiError => "merror".to_owned(),
            Self::MultiLogLoss => "mlogloss".to_owned(),
            Self::Auc => "auc".to_owned(),
            Self::AucPr => "aucpr".to_owned(),
            Self::PoissonLikelihood => "poisson-nloglik".to_owned(),
            Self::GammaLikelihood => "gamma-nloglik".to_owned(),
            Self::GammaDeviance => "gamma-deviance".to_owned(),
            Self::TweedieLikelihood { power } => format!("tweedie-nloglik@{power}"),
            Self::PseudoHuber { .. } => "mphe".to_owned(),
            Self::CoxLikelihood => "cox-nloglik".to_owned(),
            Self::Mse => "mse".to_owned(),
            Self::R2 => "r2".to_owned(),
            Self::Score { name, .. } => (*name).to_owned(),
        }
    }

    /// Whether more is better.
    pub fn is_better_high(&self) -> bool {
        matches!(
            self,
            Self::Auc | Self::AucPr | Self::R2 | Self::Score { .. }
        )
    }

    /// Whether it looks at the probabilities of several classes.
    fn is_of_classes(&self) -> bool {
        matches!(self, Self::MultiError | Self::MultiLogLoss)
    }

    /// Why it cannot be measured of so many numbers a row.
    pub fn unfit(&self, groups: usize) -> Option<String> {
        let name = self.name();
        match (self, groups) {
            (Self::Auc | Self::AucPr, _) => None,
            (Self::Score { score, .. }, _) => (groups > 1 && score.is_of_one())
                .then(|| format!("{name} is of one class of two, and there are {groups}")),
            (_, 1) if self.is_of_classes() => Some(format!(
                "{name} is for several classes; logloss and error are for two"
            )),
            (_, 2..) if !self.is_of_classes() => Some(format!(
                "{name} is not for several classes; merror and mlogloss are"
            )),
            _ => None,
        }
    }

    /// Measures predictions, `groups` for each row.
    pub fn measure(&self, predictions: &[f32], groups: usize, targets: &Targets<'_>) -> f64 {
        match self {
            Self::Auc | Self::AucPr => return self.curve(predictions, groups, targets),
            Self::MultiError | Self::MultiLogLoss => {
                let [sum, weights] = totals(targets, |row| {
                    let own = &predictions[row * groups..(row + 1) * groups];
                    self.class_loss(own, targets.labels[row] as usize)
                });
                return sum / weights;
            }
            Self::Score { score, above, .. } => {
                return score.of(predictions, groups, targets.labels, *above);
            }
            Self::CoxLikelihood => return cox::likelihood(predictions, targets.labels),
            Self::Mse | Self::R2 => {
                let alike = Targets {
                    weights: None,
                    ..*targets
                };
                let labels = targets.labels;
                let [sum, rows] = totals(&alike, |row| self.loss(labels[row], predictions[row]));
                if *self == Self::Mse {
                    return sum / rows;
                }
                let mean = labels.iter().copied().map(f64::from).sum::<f64>() / rows;
                let spread = labels
                    .iter()
                    .map(|label| (f64::from(*label) - mean).powi(2));
                return 1.0 - sum / spread.sum::<f64>();
            }
            _ => {}
        }
        let [sum, weights] = totals(targets, |row| {
            self.loss(targets.labels[row], predictions[row])
        });
        let mean = if weights == 0.0 { sum } else { sum / weights };
        match self {
            Self::Rmse | Self::Rmsle => mean.sqrt(),
            Self::GammaDeviance => 2.0 * sum / if weights <= 0.0 { 1e-6 } else { weights },
            _ => mean,
        }
    }

    fn class_loss(&self, own: &[f32], label: usize) -> f32 {
        match self {
            Self::MultiError => f32::from(likeliest(own) != label),
            _ => -own.get(label).copied().unwrap_or(0.0).max(1e-16).ln(),
        }
    }

    fn loss(&self, label: f32, predicted: f32) -> f32 {
        match self {
            Self::Rmsle => {
                let rest = label.ln_1p() - predicted.ln_1p();
                rest * rest
            }
            Self::Mae => (label - predicted).abs(),
            Self::Mape => ((label - predicted) / label).abs(),
            Self::LogLoss => {
                let part = |share: f32, likely: f32| match share {
                    0.0 => 0.0,
                    share => share * likely.max(1e-16).ln(),
                };
                part(-label, predicted) + part(-(1.0 - label), 1.0 - predicted)
            }
            Self::Error { above } => match predicted > above.unwrap_or(0.5) {
                true => 1.0 - label,
                false => label,
            },
            Self::PoissonLikelihood => {
                let predicted = predicted.max(1e-16);
                log_gamma(label + 1.0) + predicted - predicted.ln() * label
            }
            Self::GammaLikelihood => {
                let predicted = predicted.max(1e-6);
                let theta = -1.0 / predicted;
                -(label * theta + (-theta).ln())
            }
            Self::GammaDeviance => {
                let (label, predicted) = (label + 1e-6, predicted + 1e-6);
                (predicted / label).ln() + label / predicted - 1.0
            }
            Self::TweedieLikelihood { power } => {
                let log = predicted.ln();
                let one = label * ((1.0 - power) * log).exp() / (1.0 - power);
                -one + ((2.0 - power) * log).exp() / (2.0 - power)
            }
            Self::PseudoHuber { slope } => {
                let rest = (label - predicted) / slope;
                slope * slope * ((1.0 + rest * rest).sqrt() - 1.0)
            }
            _ => {
                let rest = label - predicted;
                rest * rest
            }
        }
    }

    fn curve(&self, predictions: &[f32], groups: usize, targets: &Targets<'_>) -> f64 {
        if groups == 1 {
            let (area, around) = self.area(predictions, targets.labels, targets);
            return (area / around).min(1.0);
        }
        // Each class against the rest; under the first curve by how frequent it is.
        let classes: Vec<(f64, f64)> = (0..groups)
            .into_par_iter()
            .map(|class| {
                let own: Vec<f32> = predictions
                    .iter()
                    .skip(class)
                    .step_by(groups)
                    .copied()
                    .collect();
                let is: Vec<f32> = targets
                    .labels
                    .iter()
                    .map(|label| f32::from(*label == class as f32))
                    .collect();
                let (area, around) = self.area(&own, &is, targets);
                let weights = is.iter().enumerate();
                let weights = weights.map(|(row, is)| f64::from(*is * targets.weight(row)));
                (
                    area / around,
                    if *self == Self::Auc {
                        weights.sum()
                    } else {
                        1.0
                    },
                )
            })
            .collect();
        let shares: f64 = classes.iter().map(|(_, share)| share).sum();
        classes
            .iter()
            .map(|(area, share)| area * share)
            .sum::<f64>()
            / shares
    }

    /// The area under a curve and what it is a part of.
    fn area(&self, predictions: &[f32], labels: &[f32], targets: &Targets<'_>) -> (f64, f64) {
        let mut order: Vec<u32> = (0..predictions.len() as u32).collect();
        order.par_sort_by(|one, other| {
            predictions[*other as usize].total_cmp(&predictions[*one as usize])
        });
        let (mut positive, mut negative) = (0f64, 0f64);
        for (row, label) in labels.iter().enumerate() {
            let weight = targets.weight(row);
            positive += f64::from(weight * label);
            negative += f64::from(weight * (1.0 - label));
        }
        if positive <= 0.0 || negative <= 0.0 {
            return (f64::NAN, 1.0);
        }
        let roc = *self == Self::Auc;
        let mut area = 0f64;
        let (mut right, mut wrong) = (0f64, 0f64);
        for equal in
            order.chunk_by(|one, other| predictions[*one as usize] == predictions[*other as usize])
        {
            let before = (right, wrong);
            for row in equal {
                let (label, weight) = (labels[*row as usize], targets.weight(*row as usize));
                right += f64::from(label * weight);
                wrong += f64::from((1.0 - label) * weight);
            }
            area += match roc {
                true => (wrong - before.1) * (right + before.0) / 2.0,
                false => step(before, (right, wrong), positive),
            };
        }
        (area, if roc { positive * negative } else { 1.0 })
    }
}

impl Score {
    /// Whether it looks at class 1 alone.
    fn is_of_one(&self) -> bool {
        matches!(
            self,
            Self::F1(Mean::One) | Self::Precision(Mean::One) | Self::Recall(Mean::One)
        )
    }

    fn of(&self, predictions: &[f32], groups: usize, labels: &[f32], above: f32) -> f64 {
        // Of each class: rows that are and were said to be it, that were said to be it, that are it.
        let mut counts = vec![[0f64; 3]; groups.max(2)];
        for (own, label) in predictions.chunks_exact(groups).zip(labels) {
            let said = match own {
                [one] => usize::from(*one > above),
                several => likeliest(several),
            };
            let is = (*label as usize).min(counts.len() - 1);
            counts[said][1] += 1.0;
            counts[is][2] += 1.0;
            counts[is][0] += f64::from(u8::from(said == is));
        }
        let rows: f64 = labels.len() as f64;
        let right: f64 = counts.iter().map(|count| count[0]).sum();
        let part = |of: f64, all: f64| if all == 0.0 { 0.0 } else { of / all };
        let of_class = |[both, said, is]: [f64; 3]| match self {
            Self::F1(_) => part(2.0 * both, said + is),
            Self::Precision(_) => part(both, said),
            _ => part(both, is),
        };
        let mean = |classes: &mut dyn Iterator<Item = [f64; 3]>| {
            let found: Vec<f64> = classes.map(of_class).collect();
            found.iter().sum::<f64>() / found.len() as f64
        };
        let mut classes = counts.iter().copied();
        match self {
            Self::Accuracy | Self::F1(Mean::Rows) => part(right, rows),
            Self::Precision(Mean::Rows) | Self::Recall(Mean::Rows) => part(right, rows),
            Self::BalancedAccuracy => mean(&mut classes.filter(|count| count[2] > 0.0)),
            Self::F1(Mean::Classes)
            | Self::Precision(Mean::Classes)
            | Self::Recall(Mean::Classes) => {
                mean(&mut classes.filter(|count| count[1] + count[2] > 0.0))
            }
            Self::F1(Mean::One) | Self::Precision(Mean::One) | Self::Recall(Mean::One) => {
                classes.nth(1).map_or(0.0, of_class)
            }
        }
    }
}

/// What a step adds under the curve of precision by recall (Keilwacker, Grosse and Grau, 2014).
fn step(
    (right_before, wrong_before): (f64, f64),
    (right, wrong): (f64, f64),
    positive: f64,
) -> f64 {
    let (recall_before, recall) = (right_before / positive, right / positive);
    let (a, b) = match right == right_before {
        true => (1.0, 0.0),
        false => {
            let slope = (wrong - wrong_before) / (right - right_before);
            (
                slope + 1.0,
                (wrong_before - slope * right_before) / positive,
            )
        }
    };
    match b == 0.0 {
        true => (recall - recall_before) / a,
        false => {
            let logs = (a * recall + b).ln() - (a * recall_before + b).ln();
            (recall - recall_before - b / a * logs) / a
        }
    }
}

/// Sums of losses and of weights; the order of additions depends on nothing but the number of rows.
fn totals(targets: &Targets<'_>, loss: impl Fn(usize) -> f32 + Sync) -> [f64; 2] {
    let rows = targets.labels.len();
    let chunks: Vec<[f64; 2]> = (0..rows.div_ceil(CHUNK))
        .into_par_iter()
        .map(|chunk| {
            let mut sums = [0f64; 2];
            for row in chunk * CHUNK..((chunk + 1) * CHUNK).min(rows) {
                let weight = targets.weight(row);
                sums[0] += f64::from(loss(row) * weight);
                sums[1] += f64::from(weight);
            }
            sums
        })
        .collect();
    chunks
        .iter()
        .fold([0.0; 2], |sum, part| [sum[0] + part[0], sum[1] + part[1]])
}

/// The first of the largest.
pub fn likeliest(values: &[f32]) -> usize {
    let mut best = 0;
    for (place, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = place;
        }
    }
    best
}

/// The logarithm of the gamma function above 0, by Lanczos' series.
fn log_gamma(of: f32) -> f32 {
    const SERIES: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = f64::from(of) - 1.0;
    let t = x + 7.5;
    let series = SERIES
        .iter()
        .enumerate()
        .skip(1)
        .fold(SERIES[0], |sum, (place, part)| {
            sum + part / (x + place as f64)
        });
    (0.5 * std::f64::consts::TAU.ln() + (x + 0.5) * t.ln() - t + series.ln()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_gamma_is_that_of_factorials() {
        let mut factorial = 1f64;
        for number in 1..60u32 {
            factorial *= f64::from(number);
            let found = f64::from(log_gamma(number as f32 + 1.0));
            assert!(
                (found - factorial.ln()).abs() <= 1e-6 * factorial.ln().max(1.0),
                "{number} {found}"
            );
        }
    }

    #[test]
    fn names_are_read_back() {
        for name in [
            "rmse",
            "rmsle",
            "mae",
            "mape",
            "logloss",
            "error",
            "error@0.7",
            "merror",
            "mlogloss",
            "auc",
            "aucpr",
            "poisson-nloglik",
            "gamma-nloglik",
            "gamma-deviance",
            "tweedie-nloglik@1.5",
            "mphe",
            "mse",
            "r2",
            "f1",
            "recall_micro",
        ] {
            assert_eq!(Metric::read(name, 1.2, 1.0, 0.5).unwrap().name(), name);
        }
        assert_eq!(
            Metric::read("tweedie-nloglik", 1.2, 1.0, 0.5)
                .unwrap()
                .name(),
            "tweedie-nloglik@1.2"
        );
        for bad in ["ndcg", "rmse@3", "error@x", "tweedie-nloglik@2.5", ""] {
            assert!(Metric::read(bad, 1.2, 1.0, 0.5).is_err(), "{bad}");
        }
    }
}
