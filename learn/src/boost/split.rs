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

/// Bins that are looked at together.
const LANES: usize = 8;

/// Sums of what is on one side of some splits, and what they gain.
struct Lanes {
    gradients: [f64; LANES],
    hessians: [f64; LANES],
    gains: [f32; LANES],
}

impl Lanes {
    /// Gains of splits with these sums on the left, or on the right; minus infinity where there is none.
    #[inline(always)]
    fn gain(&mut self, rules: &Rules, column: usize, node: &Sums, total: [f64; 2], on_left: bool) {
        let least = f64::from(rules.min_child_weight);
        let none = f32::NEG_INFINITY;
        if rules.plain() {
            let (alpha, lambda) = (f64::from(rules.alpha), f64::from(rules.lambda));
            let half = |gradient: f64, hessian: f64| {
                let shrunk = (gradient.abs() - alpha).max(0.0);
                let gain = (shrunk * shrunk) as f32 / (hessian + lambda) as f32;
                if hessian <= 0.0 { 0.0 } else { gain }
            };
            for lane in 0..LANES {
                let (gradient, hessian) = (self.gradients[lane], self.hessians[lane]);
                let rest = total[1] - hessian;
                let gain = half(gradient, hessian) + half(total[0] - gradient, rest) - node.gain;
                let fits = (hessian >= least) & (rest >= least) & (gain < f32::INFINITY);
                self.gains[lane] = if fits { gain } else { none };
            }
            return;
        }
        for lane in 0..LANES {
            let one = [self.gradients[lane], self.hessians[lane]];
            let other = [total[0] - one[0], total[1] - one[1]];
            self.gains[lane] = none;
            if one[1] >= least && other[1] >= least {
                let (left, right) = if on_left { (one, other) } else { (other, one) };
                let gain = rules.split_gain(column, left, right, node.bounds) - node.gain;
                self.gains[lane] = if gain.is_finite() { gain } else { none };
            }
        }
    }

    /// The first lane that gains most, if that is more than `least`.
    fn best(&self, least: f32) -> Option<usize> {
        let most = self.gains.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        match most > least {
            true => self.gains.iter().position(|gain| *gain == most),
            false => None,
        }
    }
}

/// The search for a column's best split.
struct Search<'a> {
    rules: &'a Rules,
    scale: Scale,
    column: usize,
    node: &'a Sums,
    total: [f64; 2],
    lanes: Lanes,
    /// What the best one gains.
    reach: f32,
    /// How many bins before the last one of its side, and whether that is the right one.
    found: Option<(usize, bool)>,
}

impl Search<'_> {
    /// Adds bins to a side one after another; what it is in the end.
    fn look(&mut self, mut sums: impl Iterator<Item = Pair>, from_above: bool) -> Pair {
        let mut side = [0i64; 2];
        let mut first = 0;
        loop {
            let mut count = 0;
            for sum in sums.by_ref().take(LANES) {
                side = plus(side, sum);
                let [gradient, hessian] = self.scale.sum(side);
                self.lanes.gradients[count] = gradient;
                self.lanes.hessians[count] = hessian;
                count += 1;
            }
            if count == 0 {
                return side;
            }
            // Lanes that are left over are no sides.
            self.lanes.hessians[count..].fill(-1.0);
            self.lanes
                .gain(self.rules, self.column, self.node, self.total, !from_above);
            if let Some(lane) = self.lanes.best(self.reach) {
                self.reach = self.lanes.gains[lane];
                self.found = Some((first + lane, from_above));
            }
            first += count;
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
    if sums.iter().all(|sum| *sum == [0; 2]) {
        return;
    }
    let total = scale.sum(node.total);
    let mut search = Search {
        rules,
        scale,
        column,
        node,
        total,
        lanes: Lanes {
            gradients: [0.0; LANES],
            hessians: [0.0; LANES],
            gains: [0.0; LANES],
        },
        reach: best.gain,
        found: None,
    };
    // The left side grows from below, and then, if values are missing, the right one from above.
    let side = search.look(sums.iter().copied(), false);
    if side != node.total {
        search.look(sums.iter().rev().copied(), true);
    }
    let gain = search.reach;
    let Some((at, from_above)) = search.found else {
        return;
    };
    let add = |bins: &[Pair]| bins.iter().fold([0; 2], |sum, one| plus(sum, *one));
    let (bin, left, right) = match from_above {
        false => {
            let left = add(&sums[..=at]);
            (at as i32, left, minus(node.total, left))
        }
        true => {
            let lowest = sums.len() - 1 - at;
            let right = add(&sums[lowest..]);
            (lowest as i32 - 1, minus(node.total, right), right)
        }
    };
    *best = Split {
        gain,
        column: column as u32,
        value: match usize::try_from(bin) {
            Ok(bin) => cuts.of(column)[bin],
            Err(_) => cuts.least[column],
        },
        bin,
        missing_left: from_above,
        left,
        right,
    };
}

pub fn plus(one: Pair, other: Pair) -> Pair {
    [one[0] + other[0], one[1] + other[1]]
}

pub fn minus(one: Pair, other: Pair) -> Pair {
    [one[0] - other[0], one[1] - other[1]]
}
