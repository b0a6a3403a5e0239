//! L-BFGS, and for weights that are drawn to zero OWL-QN (Andrew and Gao 2007), turned inside out: it says where it wants to
//! know the value and the slopes, and is told. So many of them share one pass over a table.

use std::collections::VecDeque;

/// Steps that are remembered.
const MEMORY: usize = 10;
/// Of the decrease that the slope promises, how much a step must bring.
const ENOUGH: f64 = 1e-4;
/// Halvings of a step before it is given up.
const TRIES: u32 = 20;

#[derive(Clone)]
pub(super) struct Lbfgs {
    /// The best point so far.
    pub point: Vec<f64>,
    /// Where the value and slopes are wanted.
    pub trial: Vec<f64>,
    /// Nothing is left to be gained.
    pub done: bool,
    /// The value at the point, without what draws to zero.
    pub value: f64,
    pub slopes: Vec<f64>,
    pub direction: Vec<f64>,
    pub step: f64,
    pub tries: u32,
    pub started: bool,
    /// Differences of points and of slopes.
    pub past: VecDeque<(Vec<f64>, Vec<f64>)>,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Lbfgs {
    pub fn new(point: Vec<f64>) -> Self {
        Self {
            trial: point.clone(),
            slopes: vec![0.0; point.len()],
            direction: vec![0.0; point.len()],
            point,
            done: false,
            value: 0.0,
            step: 1.0,
            tries: 0,
            started: false,
            past: VecDeque::new(),
        }
    }

    /// Forgets all but the point: what is minimised has changed.
    pub fn restart(&mut self) {
        *self = Self::new(std::mem::take(&mut self.point));
    }

    /// Takes the value and slopes at [`trial`](Self::trial). `l1` is what draws each weight to zero.
    pub fn tell(&mut self, value: f64, slopes: Vec<f64>, l1: &[f64], tolerance: f64) {
        let drawn =
            |point: &[f64]| -> f64 { point.iter().zip(l1).map(|(one, l1)| one.abs() * l1).sum() };
        if !self.started {
            self.started = true;
            self.value = value;
            self.slopes = slopes;
            self.turn(l1, tolerance);
            return;
        }
        let steepest = self.steepest(l1);
        let moved: Vec<f64> = self
            .trial
            .iter()
            .zip(&self.point)
            .map(|(now, before)| now - before)
            .collect();
        let before = self.value + drawn(&self.point);
        let after = value + drawn(&self.trial);
        let promised = dot(&steepest, &moved);
        if after.is_finite() && after <= before + ENOUGH * promised {
            let bent: Vec<f64> = slopes
                .iter()
                .zip(&self.slopes)
                .map(|(now, before)| now - before)
                .collect();
            if dot(&moved, &bent) > 1e-10 * dot(&bent, &bent) {
                if self.past.len() == MEMORY {
                    self.past.pop_front();
                }
                self.past.push_back((moved, bent));
            }
            self.point.copy_from_slice(&self.trial);
            self.value = value;
            self.slopes = slopes;
            // What is left is less than what sums of `f32` can tell.
            if before - after <= 1e-9 * before.abs() {
                self.done = true;
                return;
            }
            self.turn(l1, tolerance);
            return;
        }
        self.tries += 1;
        if self.tries > TRIES {
            if self.past.is_empty() {
                self.done = true;
                return;
            }
            // The past led astray; once more along the slopes.
            self.past.clear();
            self.turn(l1, tolerance);
            return;
        }
        // The parabola through the value, its slope and the value that was too high.
        let slope = promised / self.step;
        let parabola =
            -slope * self.step * self.step / (2.0 * (after - before - slope * self.step));
        self.step = if parabola.is_finite() {
            parabola.clamp(0.1 * self.step, 0.5 * self.step)
        } else {
            0.1 * self.step
        };
        self.aim(l1);
    }

    /// The slopes with what draws to zero: the least of those at a corner.
    fn steepest(&self, l1: &[f64]) -> Vec<f64> {
        let mut out = self.slopes.clone();
        for ((slope, point), l1) in out
            .iter_mut()
            .zip(&self.point)
            .zip(l1)
            .filter(|(_, l1)| **l1 > 0.0)
        {
            *slope = if *point != 0.0 {
                *slope + l1 * point.signum()
            } else if *slope < -l1 {
                *slope + l1
            } else if *slope > *l1 {
                *slope - l1
            } else {
                0.0
            };
        }
        out
    }

    /// Chooses a new direction.
    fn turn(&mut self, l1: &[f64], tolerance: f64) {
        let steepest = self.steepest(l1);
        let most = steepest
            .iter()
            .fold(0.0_f64, |most, one| most.max(one.abs()));
        if most <= tolerance {
            self.done = true;
            return;
        }
        let mut direction: Vec<f64> = steepest.iter().map(|one| -one).collect();
        let mut shares = Vec::with_capacity(self.past.len());
        for (moved, bent) in self.past.iter().rev() {
            let share = dot(moved, &direction) / dot(moved, bent);
            for (one, bent) in direction.iter_mut().zip(bent) {
                *one -= share * bent;
            }
            shares.push(share);
        }
        if let Some((moved, bent)) = self.past.back() {
            let scale = dot(moved, bent) / dot(bent, bent);
            direction.iter_mut().for_each(|one| *one *= scale);
        }
        for ((moved, bent), share) in self.past.iter().zip(shares.into_iter().rev()) {
            let back = dot(bent, &direction) / dot(moved, bent);
            for (one, moved) in direction.iter_mut().zip(moved) {
                *one += (share - back) * moved;
            }
        }
        // Where weights are drawn to zero, none may go against the slope.
        for ((one, slope), l1) in direction.iter_mut().zip(&steepest).zip(l1) {
            if *l1 > 0.0 && *one * slope >= 0.0 {
                *one = 0.0;
            }
        }
        if dot(&direction, &steepest) >= 0.0 {
            self.past.clear();
            direction = steepest.iter().map(|one| -one).collect();
        }
        self.step = match self.past.is_empty() {
            true => 1.0_f64.min(1.0 / dot(&direction, &direction).sqrt()),
            false => 1.0,
        };
        self.direction = direction;
        self.tries = 0;
        self.aim(l1);
    }

    /// Sets the trial by direction and step; weights that are drawn to zero stop there instead of changing their sign.
    fn aim(&mut self, l1: &[f64]) {
        let steepest = self.steepest(l1);
        for at in 0..self.point.len() {
            let mut one = self.point[at] + self.step * self.direction[at];
            if l1[at] > 0.0 {
                let side = if self.point[at] != 0.0 {
                    self.point[at]
                } else {
                    -steepest[at]
                };
                if one * side <= 0.0 {
                    one = 0.0;
                }
            }
            self.trial[at] = one;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valley_that_bends_is_walked_to_its_end() {
        let mut search = Lbfgs::new(vec![-1.2, 1.0]);
        let mut asked = 0;
        while !search.done && asked < 200 {
            let [x, y] = search.trial[..] else {
                unreachable!()
            };
            let value = (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2);
            let slopes = vec![
                -2.0 * (1.0 - x) - 400.0 * x * (y - x * x),
                200.0 * (y - x * x),
            ];
            search.tell(value, slopes, &[0.0; 2], 1e-8);
            asked += 1;
        }
        assert!(asked < 100, "{asked}");
        assert!((search.point[0] - 1.0).abs() < 1e-4 && (search.point[1] - 1.0).abs() < 1e-4);
    }

    #[test]
    fn weights_are_drawn_to_zero_exactly() {
        // ½ Σ (w - t)² + Σ |w| is least at t drawn to zero by one.
        let targets = [3.0, 0.5, -0.7, -2.0, 1.5];
        let mut search = Lbfgs::new(vec![0.0; 5]);
        for _ in 0..100 {
            if search.done {
                break;
            }
            let slopes: Vec<f64> = search
                .trial
                .iter()
                .zip(&targets)
                .map(|(one, target)| one - target)
                .collect();
            let value = 0.5 * dot(&slopes, &slopes);
            search.tell(value, slopes, &[1.0; 5], 1e-9);
        }
        for (got, expected) in search.point.iter().zip([2.0, 0.0, 0.0, -1.0, 0.5]) {
            assert!((got - expected).abs() < 1e-6, "{:?}", search.point);
        }
        assert_eq!(search.point[1..3], [0.0, 0.0]);
    }
}
