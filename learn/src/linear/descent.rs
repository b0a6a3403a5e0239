//! Steps down the slopes of a batch: sgd with momentum, adam, rmsprop.

use super::settings::{Optimizer, Settings};

#[derive(Clone)]
pub(super) struct Descent {
    pub weights: Vec<f64>,
    pub mean: Vec<f64>,
    pub square: Vec<f64>,
    /// Batches so far.
    pub steps: u64,
}

impl Descent {
    pub fn new(weights: Vec<f64>) -> Self {
        Self {
            mean: vec![0.0; weights.len()],
            square: vec![0.0; weights.len()],
            weights,
            steps: 0,
        }
    }

    /// Moves down `slopes` (those of `wd` among them), then draws weights to zero by `l1`. Biases are where `bias` says.
    pub fn step(
        &mut self,
        slopes: &[f64],
        l1: &[f64],
        settings: &Settings,
        bias: impl Fn(usize) -> bool,
    ) {
        let mut rate = settings.rate;
        if let Some(scheduler) = settings.scheduler {
            let times = i32::try_from(self.steps / scheduler.every).unwrap_or(i32::MAX);
            rate = (rate * scheduler.factor.powi(times)).max(scheduler.least.min(rate));
        }
        self.steps += 1;
        let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
        for at in 0..self.weights.len() {
            let rate = if bias(at) {
                rate * settings.bias_rate
            } else {
                rate
            };
            let slope = slopes[at];
            let change = match settings.optimizer {
                Optimizer::Adam { mean, square } => {
                    self.mean[at] = mean * self.mean[at] + (1.0 - mean) * slope;
                    self.square[at] = square * self.square[at] + (1.0 - square) * slope * slope;
                    let mean = self.mean[at] / (1.0 - mean.powi(steps));
                    let square = self.square[at] / (1.0 - square.powi(steps));
                    rate * mean / (square.sqrt() + 1e-8)
                }
                Optimizer::RmsProp => {
                    self.square[at] = 0.9 * self.square[at] + 0.1 * slope * slope;
                    rate * slope / (self.square[at] + 1e-8).sqrt()
                }
                Optimizer::Sgd { momentum } => {
                    self.mean[at] = momentum * self.mean[at] + rate * slope;
                    self.mean[at]
                }
                // The caller goes another way.
                Optimizer::Auto => rate * slope,
            };
            let moved = self.weights[at] - change;
            self.weights[at] = moved.signum() * (moved.abs() - rate * l1[at]).max(0.0);
        }
    }
}
