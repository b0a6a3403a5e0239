//! The optimiser: a [`Rule`] for every tensor that learns, with gradient clipping, and the learning rate over time.

use super::rule::{Pace, Rule};
use crate::error::{Error, Result};
use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};

/// A tensor that learns.
pub struct Parameter {
    /// Its name in files.
    pub name: String,
    /// Its value.
    pub var: Var,
    /// Its share of the learning rate.
    pub rate: f64,
    /// Whether weight decay applies: to matrices, not to biases and normalisations.
    pub decays: bool,
}

/// Settings of the optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerConfig {
    /// What a step makes of a gradient.
    pub rule: Rule,
    /// Weight decay: of gradient descent a part of the gradient (L2), else decoupled.
    pub weight_decay: f64,
    /// The gradients of all parameters together are scaled to at most this length.
    pub max_norm: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            rule: Rule::default(),
            weight_decay: 0.01,
            max_norm: 1.0,
        }
    }
}

/// The optimiser with the two numbers that its rule keeps of each value, its means.
pub struct Optimizer {
    config: OptimizerConfig,
    parameters: Vec<Parameter>,
    means: Vec<[Vec<f32>; 2]>,
    steps: u64,
}

impl Optimizer {
    /// An optimiser that has not taken a step.
    pub fn new(config: OptimizerConfig, parameters: Vec<Parameter>) -> Self {
        let means = parameters
            .iter()
            .map(|p| config.rule.begin(p.var.elem_count()))
            .collect();
        Self {
            config,
            parameters,
            means,
            steps: 0,
        }
    }

    /// What learns.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Numbers that learn.
    pub fn count(&self) -> usize {
        self.means.iter().map(|[first, _]| first.len()).sum()
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The two running means of the parameter at `index`.
    pub fn means(&self, index: usize) -> [&[f32]; 2] {
        let [first, second] = &self.means[index];
        [first, second]
    }

    /// Goes on where another optimiser was.
    ///
    /// # Errors
    /// When the lengths do not fit the parameters.
    pub fn restore(&mut self, steps: u64, means: Vec<[Vec<f32>; 2]>) -> Result<()> {
        let fits = means.len() == self.means.len()
            && means
                .iter()
                .zip(&self.means)
                .all(|(new, old)| new.iter().all(|mean| mean.len() == old[0].len()));
        if !fits {
            return Err(Error::unsupported(
                "the optimiser's state belongs to other parameters",
            ));
        }
        self.steps = steps;
        self.means = means;
        Ok(())
    }

    /// The parameters' values, in their order.
    ///
    /// # Errors
    /// When candle fails.
    pub fn values(&self) -> Result<Vec<Vec<f32>>> {
        self.parameters
            .iter()
            .map(|p| {
                let value = p.var.to_device(&Device::Cpu)?.flatten_all()?;
                Ok(value.to_vec1::<f32>()?)
            })
            .collect()
    }

    /// One step with the gradients in `grads` at `rate`; returns the length of the gradients before clipping.
    ///
    /// # Errors
    /// When a gradient or what becomes of a value is not finite, or candle fails.
    pub fn step(&mut self, grads: &GradStore, rate: f64) -> Result<f64> {
        let mut gradients = Vec::with_capacity(self.parameters.len());
        for parameter in &self.parameters {
            let gradient = match grads.get(&parameter.var) {
                Some(gradient) => gradient
                    .to_device(&Device::Cpu)?
                    .flatten_all()?
                    .to_vec1::<f32>()?,
                // Not on the way from this batch to its loss.
                None => vec![0f32; parameter.var.elem_count()],
            };
            gradients.push(gradient);
        }
        self.apply(&gradients, rate)
    }

    /// [`Optimizer::step`] with the gradients of all parameters, in their order.
    ///
    /// # Errors
    /// When they are not as long as the parameters, one or what becomes of a value is not finite, or candle fails.
    pub fn apply(&mut self, gradients: &[Vec<f32>], rate: f64) -> Result<f64> {
        let lengths = self.means.iter().map(|[first, _]| first.len());
        if !lengths.eq(gradients.iter().map(Vec::len)) {
            return Err(Error::unsupported("the gradients are not the parameters'"));
        }
        let squares: f64 = gradients
            .iter()
            .map(|gradient| {
                let squares = gradient.iter().map(|&g| f64::from(g) * f64::from(g));
                squares.sum::<f64>()
            })
            .sum();
        let norm = squares.sqrt();
        if !norm.is_finite() {
            return Err(Error::NotFinite);
        }
        self.steps += 1;
        let OptimizerConfig {
            rule,
            weight_decay,
            max_norm,
        } = self.config;
        let clip = if norm > max_norm {
            (max_norm / norm) as f32
        } else {
            1.0
        };
        for ((parameter, means), gradient) in
            self.parameters.iter().zip(&mut self.means).zip(gradients)
        {
            let pace = Pace {
                time: self.steps,
                rate: (rate * parameter.rate) as f32,
                decay: match parameter.decays {
                    true => weight_decay as f32,
                    false => 0.0,
                },
            };
            let mut values = parameter
                .var
                .to_device(&Device::Cpu)?
                .flatten_all()?
                .to_vec1::<f32>()?;
            let clipped = gradient.iter().map(|gradient| gradient * clip);
            let [first, second] = means;
            rule.step(&mut values, clipped, [first, second], pace);
            if values.iter().any(|value| !value.is_finite()) {
                return Err(Error::NotFinite);
            }
            parameter.var.set(&Tensor::from_vec(
                values,
                parameter.var.shape(),
                parameter.var.device(),
            )?)?;
        }
        Ok(norm)
    }
}

/// The learning rate's factor at `step` of `steps`: up from zero over the first `warm_up` of them (a share),
/// then down to zero, both in straight lines.
pub fn warm_up_and_decay(step: u64, steps: u64, warm_up: f64) -> f64 {
    let warm = (warm_up * steps as f64).floor().max(0.0);
    let step = step as f64;
    if step < warm {
        return (step + 1.0) / warm;
    }
    ((steps as f64 - step) / (steps as f64 - warm).max(1.0)).clamp(0.0, 1.0)
}

/// As [`warm_up_and_decay`], but down along half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983).
pub fn warm_up_and_cosine(step: u64, steps: u64, warm_up: f64) -> f64 {
    let left = warm_up_and_decay(step, steps, warm_up);
    let warm = (warm_up * steps as f64).floor();
    if (step as f64) < warm {
        return left;
    }
    0.5 * (1.0 - (std::f64::consts::PI * left).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three steps of `torch.optim.AdamW(lr=0.1, weight_decay=0.1)` of PyTorch on `w = [1, -2, 3]` with the
    /// loss `sum(w^2 * [1, 2, 3])`, without clipping (printed by `torch` 2.15).
    #[test]
    fn three_steps_are_pytorchs() {
        let var = Var::from_vec(vec![1f32, -2.0, 3.0], 3, &Device::Cpu).expect("a variable");
        let factors = Tensor::new(&[1f32, 2.0, 3.0], &Device::Cpu).expect("a tensor");
        let config = OptimizerConfig {
            weight_decay: 0.1,
            max_norm: f64::INFINITY,
            ..OptimizerConfig::default()
        };
        let parameter = Parameter {
            name: "w".to_owned(),
            var: var.clone(),
            rate: 1.0,
            decays: true,
        };
        let mut optimizer = Optimizer::new(config, vec![parameter]);
        for _ in 0..3 {
            let loss = (var.sqr().expect("square") * &factors).and_then(|x| x.sum_all());
            let grads = loss.and_then(|loss| loss.backward()).expect("gradients");
            optimizer.step(&grads, 0.1).expect("a step");
        }
        let got = var.to_vec1::<f32>().expect("values");
        for (got, want) in got.iter().zip(PYTORCH) {
            assert!((got - want).abs() < 1e-5, "{got} instead of {want}");
        }
    }

    const PYTORCH: [f32; 3] = [0.675_101_3, -1.644_368_6, 2.614_406];

    #[test]
    fn the_rate_goes_up_and_then_down_to_zero() {
        let rates: Vec<f64> = (0..=10)
            .map(|step| warm_up_and_decay(step, 10, 0.2))
            .collect();
        let want = [
            0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0,
        ];
        for (got, want) in rates.iter().zip(want) {
            assert!((got - want).abs() < 1e-12, "{got} instead of {want}");
        }
        assert_eq!(warm_up_and_decay(0, 0, 0.1), 0.0);
    }

    #[test]
    fn the_rate_comes_down_along_a_cosine() {
        let rates: Vec<f64> = (0..=8)
            .map(|step| warm_up_and_cosine(step, 8, 0.5))
            .collect();
        // (1 + cos(pi t)) / 2 at quarters.
        let half = std::f64::consts::FRAC_1_SQRT_2 / 2.0;
        let want = [0.25, 0.5, 0.75, 1.0, 1.0, 0.5 + half, 0.5, 0.5 - half, 0.0];
        for (got, want) in rates.iter().zip(want) {
            assert!((got - want).abs() < 1e-12, "{got} instead of {want}");
        }
    }
}
