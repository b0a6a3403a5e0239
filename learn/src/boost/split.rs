//! What a split gains, and the best one of a node.
//!
//! The arithmetic is that of XGBoost's `split_evaluator.h` and `evaluate_splits.h` at 3.2.0, with its 32 and 64 bits, since
//! which of two nearly equal splits is taken depends on them.

use super::cuts::Cuts;
use super::histogram::{Pair, Scale};

/// What regularises trees.
#[derive(Clone, Debug)]
pub struct Rules {
    pub eta: f32,
    pub gamma: f32,
    pub lambda: f32,
    pub alpha: f32,
    pub min_child_weight: f32,
    /// 0 where there is no limit.
    pub max_delta_step: f32,
    /// 0 where there is no limit.
    pub max_depth: u32,
    /// 0 where there is no limit.
    pub max_leaves: u32,
    /// Split the leaf that gains most, instead of all of a depth.
    pub by_loss: bool,
    pub by_tree: f32,
    pub by_level: f32,
    pub by_node: f32,
    /// -1, 0 or 1 for each column, or none at all.
    pub monotone: Vec<i8>,
    /// Columns that may be on one path, in groups; none where all may.
    pub together: Vec<Vec<u32>>,
}

/// What is gained less than this is nothing.
pub const NOTHING: f32 = 1e-6;

impl Rules {
    fn shrunk(&self, gradient: f64) -> f64 {
        let alpha = f64::from(self.alpha);
        if gradient > alpha {
            gradient - alpha
        } else if gradient < -alpha {
            gradient + alpha
        } else {
            0.0
        }
    }

    /// What rows with these sums are best answered, between bounds.
    pub fn weight(&self, [gradient, hessian]: [f64; 2], bounds: [f32; 2]) -> f32 {
        if hessian < f64::from(self.min_child_weight) || hessian <= 0.0 {
            return self.bounded(0.0, bounds);
        }
        let mut weight = -self.shrunk(gradient) / (hessian + f64::from(self.lambda));
        let step = f64::from(self.max_delta_step);
        if step != 0.0 && weight.abs() > step {
            weight = step.copysign(weight);
        }
        self.bounded(weight as f32, bounds)
    }

    fn bounded(&self, weight: f32, [lower, upper]: [f32; 2]) -> f32 {
        match self.monotone.is_empty() {
            true => weight,
            false => weight.max(lower).min(upper),
        }
    }

    fn plain(&self) -> bool {
        self.max_delta_step == 0.0 && self.monotone.is_empty()
    }

    /// What answering with the best weight is better than answering 0.
    fn plain_gain(&self, [gradient, hessian]: [f64; 2]) -> f32 {
        if hessian <= 0.0 {
            return 0.0;
        }
        let shrunk = self.shrunk(gradient);
        (shrunk * shrunk) as f32 / (hessian + f64::from(self.lambda)) as f32
    }

    fn gain_with(&self, sums: [f64; 2], weight: f32) -> f32 {
        if self.plain() {
            return self.plain_gain(sums);
        }
        if sums[1] <= 0.0 {
            return 0.0;
        }
        let [gradient, hessian] = sums.map(|sum| sum as f32);
        -(2.0 * gradient * weight + (hessian + self.lambda) * (weight * weight))
    }

    /// What a node gains without a split.
    pub fn gain(&self, sums: [f64; 2], bounds: [f32; 2]) -> f32 {
        self.gain_with(sums, self.weight(sums, bounds))
    }

    fn split_gain(&self, column: usize, left: [f64; 2], right: [f64; 2], bounds: [f32; 2]) -> f32 {
        if self.plain() {
            return self.plain_gain(left) + self.plain_gain(right);
        }
        let (to_left, to_right) = (self.weight(left, bounds), self.weight(right, bounds));
        let gain = self.gain_with(left, to_left) + self.gain_with(right, to_right);
        match self.monotone.get(column).copied().unwrap_or(0) {
            1 if to_left > to_right => f32::NEG_INFINITY,
            -1 if to_left < to_right => f32::NEG_INFINITY,
            _ => gain,
        }
    }
}

/// A node that might be split.
#[derive(Clone, Copy, Debug)]
pub struct Sums {
    pub total: Pair,
    /// What it gains without a split.
    pub gain: f32,
    /// What answers below it are kept between.
    pub bounds: [f32; 2],
}

/// A split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    pub gain: f32,
    pub column: u32,
    /// What is below goes to the left.
    pub value: f32,
    /// The last bin of the column that goes to the left, or -1.
    pub bin: i32,
    pub missing_left: bool,
    pub left: Pair,
    pub right: Pair,
}

impl Split {
    /// None yet.
    pub const NONE: Self = Self {
        gain: 0.0,
        column: 0,
        value: 0.0,
        bin: -1,
        missing_left: false,
        left: [0; 2],
        right: [0; 2],
    };

    /// Takes another that gains more. Columns come in ascending order, and the first of equals stays.
    pub fn improve(&mut self, other: &Self) {
        if other.gain > self.gain && other.gain.is_finite() {
            *self = *other;
        }
    }
}

/// The best split of a node by one column, if it is better than `best`.
pub fn by_column(
    rules: &Rules,
    scale: Scale,
    node: &Sums,
    column: usize,
    cuts: &Cuts,
    sums: &[Pair],
    best: &mut Split,
) {
    let bounds = cuts.of(column);
    let least = f64::from(rules.min_child_weight);
    let mut found = Split::NONE;
    let mut left = [0i64; 2];
    let mut consider = |bin: i32, missing_left: bool, left: Pair, right: Pair| {
        let (below, above) = (scale.sum(left), scale.sum(right));
        if below[1] < least || above[1] < least {
            return;
        }
        let gain = rules.split_gain(column, below, above, node.bounds) - node.gain;
        if gain > found.gain && gain.is_finite() {
            found = Split {
                gain,
                column: column as u32,
                value: 0.0,
                bin,
                missing_left,
                left,
                right,
            };
        }
    };
    // Bins that nothing is in part rows as the bin before does.
    for (bin, sum) in sums.iter().enumerate() {
        if *sum != [0; 2] {
            left = plus(left, *sum);
            consider(bin as i32, false, left, minus(node.total, left));
        }
    }
    if left != node.total {
        let mut right = [0i64; 2];
        for (bin, sum) in sums.iter().enumerate().rev() {
            if *sum != [0; 2] {
                right = plus(right, *sum);
                consider(bin as i32 - 1, true, minus(node.total, right), right);
            }
        }
    }
    if found.gain > best.gain {
        found.value = match usize::try_from(found.bin) {
            Ok(bin) => bounds[bin],
            Err(_) => cuts.least[column],
        };
        *best = found;
    }
}

pub fn plus(one: Pair, other: Pair) -> Pair {
    [one[0] + other[0], one[1] + other[1]]
}

pub fn minus(one: Pair, other: Pair) -> Pair {
    [one[0] - other[0], one[1] - other[1]]
}
