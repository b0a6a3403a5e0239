//! What a step makes of a gradient: the rules of the optimisers, as Keras and MXNet have them.
//!
//! | rule | source |
//! | --- | --- |
//! | Adam, with weights that decay AdamW | Kingma and Ba 2015, arXiv:1412.6980; Loshchilov and Hutter 2019, arXiv:1711.05101 |
//! | gradient descent with momentum, also Nesterov's | Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning" |
//! | RMSProp | Tieleman and Hinton 2012, lecture 6.5 of "Neural Networks for Machine Learning" |
//! | AdaGrad | Duchi et al. 2011, "Adaptive Subgradient Methods" |
//! | AdaDelta | Zeiler 2012, arXiv:1212.5701 |
//!
//! Where epsilon stands differs: Adam adds it to the root of the corrected mean, as the paper's first algorithm does (Keras and
//! MXNet add it before the correction, its "epsilon hat"); the others add it under the root.

use serde::{Deserialize, Serialize};

/// How an optimiser moves a value by its gradient. Each keeps at most two numbers for a value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "lowercase")]
pub enum Rule {
    /// By a running mean of the gradients over the root of one of their squares.
    Adam {
        /// Decay of the mean of the gradients.
        beta1: f64,
        /// Decay of the mean of their squares.
        beta2: f64,
        /// Added to the root.
        epsilon: f64,
    },
    /// By a velocity that gradients push.
    Sgd {
        /// The part of its velocity that a value keeps.
        momentum: f64,
        /// Whether it goes by where the velocity takes it next.
        nesterov: bool,
    },
    /// By the gradient over the root of a running mean of its squares.
    RmsProp {
        /// Decay of the mean.
        rho: f64,
        /// Added under the root.
        epsilon: f64,
    },
    /// By the gradient over the root of the sum of its squares.
    Adagrad {
        /// What the sum begins with.
        initial: f64,
        /// Added under the root.
        epsilon: f64,
    },
    /// By the gradient, made as large as the steps before it were.
    Adadelta {
        /// Decay of the means of the squares of gradients and of steps.
        rho: f64,
        /// Added under the roots.
        epsilon: f64,
    },
}

impl Default for Rule {
    fn default() -> Self {
        Self::Adam {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
        }
    }
}

/// How far a step goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Which step it is, from 1.
    pub time: u64,
    /// The learning rate.
    pub rate: f32,
    /// The part of a value that decays at a rate of 1: of gradient descent a part of the gradient (L2), of others beside it.
    pub decay: f32,
}

impl Rule {
    /// Whether its numbers are such that it can be followed: none is below zero or without end, decays and momentum are 1 at most.
    pub(super) fn holds(self) -> bool {
        let (parts, others) = match self {
            Self::Adam {
                beta1,
                beta2,
                epsilon,
            } => ([beta1, beta2], [epsilon, 0.0]),
            Self::Sgd { momentum, .. } => ([momentum, 0.0], [0.0, 0.0]),
            Self::RmsProp { rho, epsilon } | Self::Adadelta { rho, epsilon } => {
                ([rho, 0.0], [epsilon, 0.0])
            }
            Self::Adagrad { initial, epsilon } => ([0.0, 0.0], [initial, epsilon]),
        };
        parts.iter().all(|part| (0.0..=1.0).contains(part))
            && others
                .iter()
                .all(|other| other.is_finite() && *other >= 0.0)
    }

    /// What it keeps of so many values before the first step.
    pub(super) fn begin(self, values: usize) -> [Vec<f32>; 2] {
        let first = match self {
            Self::Adagrad { initial, .. } => initial as f32,
            _ => 0.0,
        };
        [vec![first; values], vec![0.0; values]]
    }

    /// One step: moves `values` by `gradients`, and what it keeps of each. The four have one length.
    pub(super) fn step(
        self,
        values: &mut [f32],
        gradients: impl Iterator<Item = f32>,
        [first, second]: [&mut [f32]; 2],
        Pace { time, rate, decay }: Pace,
    ) {
        let kept = 1.0 - rate * decay;
        let all = values
            .iter_mut()
            .zip(gradients)
            .zip(first.iter_mut().zip(second));
        match self {
            Self::Adam {
                beta1,
                beta2,
                epsilon,
            } => {
                let (first_scale, second_scale) =
                    (correction(beta1, time), correction(beta2, time));
                let (beta1, beta2, epsilon) = (beta1 as f32, beta2 as f32, epsilon as f32);
                for ((value, gradient), (first, second)) in all {
                    *first = beta1 * *first + (1.0 - beta1) * gradient;
                    *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
                    let size = (*second * second_scale).sqrt() + epsilon;
                    *value = *value * kept - rate * over(*first * first_scale, size);
                }
            }
            Self::Sgd { momentum, nesterov } => {
                let momentum = momentum as f32;
                for ((value, gradient), (velocity, _)) in all {
                    let push = rate * (gradient + decay * *value);
                    *velocity = momentum * *velocity - push;
                    *value += match nesterov {
                        true => momentum * *velocity - push,
                        false => *velocity,
                    };
                }
            }
            Self::RmsProp { rho, epsilon } => {
                let (rho, epsilon) = (rho as f32, epsilon as f32);
                for ((value, gradient), (mean, _)) in all {
                    *mean = rho * *mean + (1.0 - rho) * gradient * gradient;
                    *value = *value * kept - rate * over(gradient, (*mean + epsilon).sqrt());
                }
            }
            Self::Adagrad { epsilon, .. } => {
                let epsilon = epsilon as f32;
                for ((value, gradient), (sum, _)) in all {
                    *sum += gradient * gradient;
                    *value = *value * kept - rate * over(gradient, (*sum + epsilon).sqrt());
                }
            }
            Self::Adadelta { rho, epsilon } => {
                let (rho, epsilon) = (rho as f32, epsilon as f32);
                for ((value, gradient), (mean, steps)) in all {
                    *mean = rho * *mean + (1.0 - rho) * gradient * gradient;
                    let size = (*steps + epsilon).sqrt();
                    let step = over(size * gradient, (*mean + epsilon).sqrt());
                    *steps = rho * *steps + (1.0 - rho) * step * step;
                    *value = *value * kept - rate * step;
                }
            }
        }
    }
}

/// What makes the mean of so many steps, which began at zero, as large as its parts; one that keeps all of its zero stays that.
fn correction(beta: f64, time: u64) -> f32 {
    match beta < 1.0 {
        true => (1.0 / (1.0 - beta.powi(time.min(i32::MAX as u64) as i32))) as f32,
        false => 1.0,
    }
}

/// A quotient, of which nothing is nothing whatever it is divided by: an epsilon may be zero.
fn over(part: f32, size: f32) -> f32 {
    match part == 0.0 {
        true => 0.0,
        false => part / size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five steps from `w = [1, -2, 3]` under the loss `sum(w^2 * [1, 2, 3])`.
    fn five_steps(rule: Rule, rate: f32, decay: f32) -> Vec<f32> {
        let mut values = [1_f32, -2.0, 3.0];
        let [mut first, mut second] = rule.begin(3);
        for time in 1..=5 {
            let gradients: Vec<f32> = values
                .iter()
                .zip([1_f32, 2.0, 3.0])
                .map(|(value, factor)| 2.0 * factor * value)
                .collect();
            rule.step(
                &mut values,
                gradients.into_iter(),
                [&mut first, &mut second],
                Pace { time, rate, decay },
            );
        }
        values.to_vec()
    }

    /// Values of Keras and of MXNet's formulas, as `tests/golden/optimizers.py` works them out; 2e-5 relative, as sums are 32-bit
    /// floats.
    #[test]
    fn five_steps_are_those_of_the_references() {
        let golden = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/golden/optimizers.json"
        );
        let golden = std::fs::read_to_string(golden).expect("a golden file");
        let golden: Vec<serde_json::Value> = serde_json::from_str(&golden).expect("JSON");
        assert_eq!(golden.len(), 9);
        for case in golden {
            let rule: Rule = serde_json::from_value(case["rule"].clone()).expect("a rule");
            let number = |name: &str| case[name].as_f64().expect("a number") as f32;
            let got = five_steps(rule, number("rate"), number("decay"));
            let wanted: Vec<f32> = serde_json::from_value(case["after"].clone()).expect("numbers");
            for (got, wanted) in got.iter().zip(&wanted) {
                let apart = (got - wanted).abs();
                assert!(
                    apart < 2e-5 * wanted.abs(),
                    "{rule:?}: {got} instead of {wanted}"
                );
            }
        }
    }

    #[test]
    fn the_ends_of_ranges_give_numbers() {
        for rule in [
            Rule::Adam {
                beta1: 1.0,
                beta2: 1.0,
                epsilon: 0.0,
            },
            Rule::RmsProp {
                rho: 1.0,
                epsilon: 0.0,
            },
            Rule::Adagrad {
                initial: 0.0,
                epsilon: 0.0,
            },
            Rule::Adadelta {
                rho: 0.0,
                epsilon: 0.0,
            },
        ] {
            assert!(rule.holds());
            let [mut first, mut second] = rule.begin(1);
            let mut values = [1.0];
            let pace = Pace {
                time: 1,
                rate: 0.1,
                decay: 0.0,
            };
            let kept = [&mut first[..], &mut second[..]];
            rule.step(&mut values, std::iter::once(0.0), kept, pace);
            assert_eq!(values, [1.0], "{rule:?}");
        }
        for rule in [
            Rule::Sgd {
                momentum: 1.5,
                nesterov: false,
            },
            Rule::RmsProp {
                rho: 0.9,
                epsilon: f64::NAN,
            },
            Rule::Adagrad {
                initial: -1.0,
                epsilon: 0.0,
            },
        ] {
            assert!(!rule.holds(), "{rule:?}");
        }
    }
}
