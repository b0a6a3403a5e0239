//! What is to be small: losses with their gradients, what predictions become of the trees' sums, and where boosting begins.
//!
//! After XGBoost's `src/objective` at 3.2.0.

use super::cox;
use super::metric::Metric;
use crate::{Error, Result};

/// What trees learn to make small.
#[derive(Clone, Debug, PartialEq)]
pub enum Objective {
    SquaredError,
    SquaredLogError,
    /// `reg:logistic`, `binary:logistic` or `binary:logitraw`.
    Logistic(Logistic),
    AbsoluteError,
    PseudoHuber {
        slope: f32,
    },
    Hinge,
    Poisson {
        max_delta_step: f32,
    },
    Gamma,
    Tweedie {
        power: f32,
    },
    Softmax {
        classes: usize,
        /// Answer with all probabilities, instead of the likeliest class.
        probabilities: bool,
    },
    /// Hazards, by gradients that are of all rows together: [`cox`].
    Cox,
    /// What can be predicted with, and is not learned here: its name and whether answers are powers of e.
    Other {
        name: String,
        exponential: bool,
    },
}

/// Which of the logistic objectives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Logistic {
    Regression,
    Binary,
    Raw,
}

/// Labels and what rows count.
#[derive(Clone, Copy)]
pub struct Targets<'a> {
    pub labels: &'a [f32],
    pub weights: Option<&'a [f32]>,
    /// What rows with label 1 count more.
    pub positive: f32,
}

impl Targets<'_> {
    pub fn weight(&self, row: usize) -> f32 {
        self.weights.map_or(1.0, |weights| weights[row])
    }
}

const EPSILON: f32 = 1e-6;

impl Objective {
    /// Its name in XGBoost.
    pub fn name(&self) -> &str {
        match self {
            Self::SquaredError => "reg:squarederror",
            Self::SquaredLogError => "reg:squaredlogerror",
            Self::Logistic(Logistic::Regression) => "reg:logistic",
            Self::Logistic(Logistic::Binary) => "binary:logistic",
            Self::Logistic(Logistic::Raw) => "binary:logitraw",
            Self::AbsoluteError => "reg:absoluteerror",
            Self::PseudoHuber { .. } => "reg:pseudohubererror",
            Self::Hinge => "binary:hinge",
            Self::Poisson { .. } => "count:poisson",
            Self::Gamma => "reg:gamma",
            Self::Tweedie { .. } => "reg:tweedie",
            Self::Softmax {
                probabilities: false,
                ..
            } => "multi:softmax",
            Self::Softmax {
                probabilities: true,
                ..
            } => "multi:softprob",
            Self::Cox => "survival:cox",
            Self::Other { name, .. } => name,
        }
    }

    /// How many numbers trees add up for a row.
    pub fn groups(&self) -> usize {
        match self {
            Self::Softmax { classes, .. } => *classes,
            _ => 1,
        }
    }

    /// What is measured where nothing is said.
    pub fn metric(&self) -> Metric {
        match self {
            Self::SquaredError | Self::Logistic(Logistic::Regression) | Self::Other { .. } => {
                Metric::Rmse
            }
            Self::SquaredLogError => Metric::Rmsle,
            Self::Logistic(_) => Metric::LogLoss,
            Self::AbsoluteError => Metric::Mae,
            Self::PseudoHuber { slope } => Metric::PseudoHuber { slope: *slope },
            Self::Hinge => Metric::Error { above: None },
            Self::Poisson { .. } => Metric::PoissonLikelihood,
            Self::Gamma => Metric::GammaDeviance,
            Self::Tweedie { power } => Metric::TweedieLikelihood { power: *power },
            Self::Softmax { .. } => Metric::MultiLogLoss,
            Self::Cox => Metric::CoxLikelihood,
        }
    }

    /// Whether leaves are refreshed with medians of what is left.
    pub fn has_medians(&self) -> bool {
        *self == Self::AbsoluteError
    }

    /// Why a label cannot be learned.
    fn refused(&self, label: f32) -> Option<String> {
        let (fine, wanted) = match self {
            Self::SquaredLogError => (label > -1.0, "above -1".to_owned()),
            Self::Logistic(Logistic::Regression) => {
                ((0.0..=1.0).contains(&label), "from 0 to 1".to_owned())
            }
            Self::Logistic(_) | Self::Hinge => (
                (0.0..=1.0).contains(&label),
                "in [0,1] for logistic regression".to_owned(),
            ),
            Self::Poisson { .. } | Self::Tweedie { .. } => (label >= 0.0, "nonnegative".to_owned()),
            Self::Gamma => (label > 0.0, "positive".to_owned()),
            Self::Softmax { classes, .. } => (
                label >= 0.0 && label < *classes as f32 && label.fract() == 0.0,
                format!("whole numbers in [0, num_class), which is {classes}"),
            ),
            _ => (true, "numbers".to_owned()),
        };
        (!fine || !label.is_finite()).then(|| {
            format!(
                "a label is {label}, and labels of {} must be {wanted}",
                self.name()
            )
        })
    }

    /// # Errors
    ///
    /// If a label is none of this objective.
    pub fn check(&self, labels: &[f32]) -> Result<()> {
        match labels.iter().find_map(|label| self.refused(*label)) {
            Some(why) => Err(Error::Input(why)),
            None => Ok(()),
        }
    }

    /// Gradients and hessians of a row's loss by the trees' sums; none of [`Objective::Cox`], where a row alone has none.
    pub fn gradients(&self, sums: &[f32], row: usize, targets: &Targets<'_>, out: &mut [[f32; 2]]) {
        let label = targets.labels[row];
        let weight = targets.weight(row);
        let stressed = if label == 1.0 {
            weight * targets.positive
        } else {
            weight
        };
        let sum = sums[0];
        out[0] = match self {
            Self::Softmax { classes, .. } => {
                softmax_gradients(&sums[..*classes], label as usize, weight, out);
                return;
            }
            Self::SquaredError | Self::Other { .. } => [(sum - label) * stressed, stressed],
            Self::SquaredLogError => {
                let sum = sum.max(-1.0 + 1e-6);
                let (own, other) = (sum.ln_1p(), label.ln_1p());
                let hessian = ((-own + other + 1.0) / ((sum + 1.0) * (sum + 1.0))).max(1e-6);
                [(own - other) / (sum + 1.0) * weight, hessian * weight]
            }
            Self::Logistic(_) => {
                let likely = sigmoid(sum);
                [
                    (likely - label) * stressed,
                    (likely * (1.0 - likely)).max(1e-16) * stressed,
                ]
            }
            Self::AbsoluteError => {
                let sign = f32::from(sum > label) - f32::from(sum < label);
                [sign * weight, weight]
            }
            Self::PseudoHuber { slope } => {
                let (rest, square) = (sum - label, slope * slope);
                let root = (1.0 + rest * rest / square).sqrt();
                [
                    rest / root * weight,
                    square / ((square + rest * rest) * root) * weight,
                ]
            }
            Self::Hinge => {
                let side = label * 2.0 - 1.0;
                match sum * side < 1.0 {
                    true => [-side * weight, weight],
                    false => [0.0, f32::MIN_POSITIVE],
                }
            }
            Self::Poisson { max_delta_step } => [
                (sum.exp() - label) * weight,
                (sum + max_delta_step).exp() * weight,
            ],
            Self::Gamma => {
                let ratio = label / sum.exp();
                [(1.0 - ratio) * stressed, ratio * stressed]
            }
            Self::Cox => [0.0, 0.0],
            Self::Tweedie { power } => {
                let (one, two) = (((1.0 - power) * sum).exp(), ((2.0 - power) * sum).exp());
                [
                    (-label * one + two) * weight,
                    (-label * (1.0 - power) * one + (2.0 - power) * two) * weight,
                ]
            }
        };
    }

    /// What the trees' sums of a row mean, in place; `Softmax` has as many numbers before as after.
    pub fn transform(&self, sums: &mut [f32]) {
        match self {
            Self::Logistic(Logistic::Regression | Logistic::Binary) => {
                sums.iter_mut().for_each(|sum| *sum = sigmoid(*sum))
            }
            Self::Hinge => sums
                .iter_mut()
                .for_each(|sum| *sum = if *sum > 0.0 { 1.0 } else { 0.0 }),
            Self::Poisson { .. }
            | Self::Gamma
            | Self::Tweedie { .. }
            | Self::Cox
            | Self::Other {
                exponential: true, ..
            } => {
                sums.iter_mut().for_each(|sum| *sum = sum.exp());
            }
            Self::Softmax { .. } => softmax(sums),
            _ => {}
        }
    }

    /// Sums as they are before the first tree, of answers.
    ///
    /// # Errors
    ///
    /// If no sum gives such an answer.
    pub fn sum_of(&self, base: f32) -> Result<f32> {
        let (fine, wanted) = match self {
            Self::Logistic(Logistic::Regression | Logistic::Binary) => {
                ((0.0..=1.0).contains(&base), "in (0,1)")
            }
            Self::Poisson { .. }
            | Self::Gamma
            | Self::Tweedie { .. }
            | Self::Cox
            | Self::Other {
                exponential: true, ..
            } => (base > 0.0, "above 0"),
            _ => (true, "a number"),
        };
        if !fine || !base.is_finite() {
            return Err(Error::input(format!(
                "base_score must be {wanted} for {}, and is {base}",
                self.name()
            )));
        }
        Ok(match self {
            Self::Logistic(Logistic::Regression | Logistic::Binary) => {
                let base = base.clamp(EPSILON, 1.0 - EPSILON);
                -(1.0 / base - 1.0).ln()
            }
            Self::Poisson { .. }
            | Self::Gamma
            | Self::Tweedie { .. }
            | Self::Cox
            | Self::Other {
                exponential: true, ..
            } => base.ln(),
            _ => base,
        })
    }

    /// The answers to begin with: of the labels, as XGBoost estimates them.
    pub fn base(&self, targets: &Targets<'_>) -> Vec<f32> {
        let by_gradients = (targets.positive - 1.0).abs() > EPSILON;
        match self {
            Self::Softmax { classes, .. } => priors(*classes, targets),
            Self::AbsoluteError => {
                let rows: Vec<u32> = (0..targets.labels.len() as u32).collect();
                vec![median(&rows, targets, |row| targets.labels[row]).unwrap_or(0.0)]
            }
            Self::SquaredLogError | Self::PseudoHuber { .. } | Self::Hinge | Self::Cox => {
                vec![self.newton(targets)]
            }
            Self::SquaredError | Self::Logistic(_) | Self::Gamma if by_gradients => {
                vec![self.newton(targets)]
            }
            _ => vec![mean(targets)],
        }
    }

    /// One step from 0.
    fn newton(&self, targets: &Targets<'_>) -> f32 {
        let rows = targets.labels.len();
        let mut pairs = vec![[0f32; 2]; rows];
        match self {
            Self::Cox => {
                let order = cox::order(targets.labels);
                cox::gradients(&vec![0.0; rows], targets, &order, &mut pairs);
            }
            _ => {
                for (row, pair) in pairs.chunks_exact_mut(1).enumerate() {
                    self.gradients(&[0.0], row, targets, pair);
                }
            }
        }
        let (mut gradient, mut hessian) = (0f64, 0f64);
        for pair in pairs {
            gradient += f64::from(pair[0]);
            hessian += f64::from(pair[1]);
        }
        let mut step = [(-gradient / hessian.max(f64::from(EPSILON))) as f32];
        self.transform(&mut step);
        step[0]
    }
}

fn mean(targets: &Targets<'_>) -> f32 {
    let (mut sum, mut weights) = (0f64, 0f64);
    for (row, label) in targets.labels.iter().enumerate() {
        let weight = f64::from(targets.weight(row));
        sum += f64::from(*label) * weight;
        weights += weight;
    }
    if weights > 0.0 {
        (sum / weights) as f32
    } else {
        0.0
    }
}

/// Logarithms of how frequent classes are, around 0.
fn priors(classes: usize, targets: &Targets<'_>) -> Vec<f32> {
    let mut counts = vec![0f64; classes];
    for (row, label) in targets.labels.iter().enumerate() {
        counts[*label as usize] += f64::from(targets.weight(row));
    }
    let sum: f64 = counts.iter().sum();
    let logs: Vec<f32> = counts
        .iter()
        .map(|count| ((count / sum) as f32 + EPSILON).ln())
        .collect();
    let mean = logs.iter().map(|log| log / classes as f32).sum::<f32>();
    logs.iter().map(|log| log - mean).collect()
}

/// The median of what rows have, as XGBoost takes it: between two values without weights, one of the values with them.
pub fn median(rows: &[u32], targets: &Targets<'_>, value: impl Fn(usize) -> f32) -> Option<f32> {
    let mut values: Vec<(f32, f32)> = rows
        .iter()
        .map(|row| (value(*row as usize), targets.weight(*row as usize)))
        .collect();
    values.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (first, last) = (values.first()?.0, values.last()?.0);
    let count = values.len() as f64;
    if targets.weights.is_some() {
        let mut sum = 0f32;
        let sums: Vec<f32> = values
            .iter()
            .map(|(_, weight)| {
                sum += weight;
                sum
            })
            .collect();
        let half = (f64::from(sum) * 0.5) as f32;
        let at = sums
            .partition_point(|sum| *sum < half)
            .min(values.len() - 1);
        return Some(values[at].0);
    }
    if 0.5 <= 1.0 / (count + 1.0) {
        return Some(first);
    }
    if 0.5 >= count / (count + 1.0) {
        return Some(last);
    }
    let place = 0.5 * (count + 1.0);
    let below = place.floor() - 1.0;
    let (one, two) = (values[below as usize].0, values[below as usize + 1].0);
    Some((f64::from(one) + (place - 1.0 - below) * f64::from(two - one)) as f32)
}

/// 1 / (1 + e^-x).
pub fn sigmoid(sum: f32) -> f32 {
    1.0 / ((-sum).min(88.7).exp() + 1.0 + 1e-16)
}

fn softmax(sums: &mut [f32]) {
    let most = sums.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0f64;
    for sum in sums.iter_mut() {
        *sum = (*sum - most).exp();
        total += f64::from(*sum);
    }
    for sum in sums {
        *sum /= total as f32;
    }
}

fn softmax_gradients(sums: &[f32], label: usize, weight: f32, out: &mut [[f32; 2]]) {
    let most = sums.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let mut total = 0f64;
    for (sum, pair) in sums.iter().zip(out.iter_mut()) {
        let power = (sum - most).exp();
        total += f64::from(power);
        pair[0] = power;
    }
    for (class, pair) in out.iter_mut().enumerate() {
        let likely = pair[0] / total as f32;
        let hessian = (2.0 * likely * (1.0 - likely) * weight).max(1e-16);
        let rest = if class == label { likely - 1.0 } else { likely };
        *pair = [rest * weight, hessian];
    }
}
