//! Boosting that leaves some of its trees out while it learns the next ones: `dart`.
//!
//! Rashmi and Gilad-Bachrach, "DART: Dropouts meet Multiple Additive Regression Trees", 2015; what is dropped and what trees
//! count afterwards is as in XGBoost's `Dart` at 3.2.0, by other random numbers.

use super::draw::{Draw, uniform};

/// Which trees are left out, and how the others make up for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drops {
    /// The share of trees that is dropped.
    pub rate: f64,
    /// The share of rounds in which none is.
    pub skip: f64,
    /// Whether one is dropped at least, where any are.
    pub one: bool,
    /// Whether trees are dropped the likelier the more they count.
    pub weighted: bool,
    /// Whether new trees count as much as all that were dropped together, instead of as much as each.
    pub forest: bool,
}

impl Drops {
    /// The trees that are left out of a round, ascending, by what each counts.
    pub fn draw(&self, seed: u64, round: u64, weights: &[f32]) -> Vec<usize> {
        let mut draw = Draw::at(seed, &[2, round]);
        let mut share = || uniform(draw.next(), 0);
        if weights.is_empty() || (self.skip > 0.0 && share() < self.skip) {
            return Vec::new();
        }
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        let rate = |weight: f32| match self.weighted {
            true => self.rate * weights.len() as f64 * f64::from(weight) / total,
            false => self.rate,
        };
        let trees = weights.iter().enumerate();
        let mut dropped: Vec<usize> = trees
            .filter(|(_, weight)| share() < rate(**weight))
            .map(|(tree, _)| tree)
            .collect();
        if self.one && dropped.is_empty() {
            let place = share();
            let one = match self.weighted {
                true => {
                    let mut sum = 0.0;
                    let mut passed = weights.iter().map(|weight| {
                        sum += f64::from(*weight) / total;
                        sum
                    });
                    passed.position(|sum| place < sum)
                }
                false => Some((place * weights.len() as f64) as usize),
            };
            dropped.push(one.unwrap_or(weights.len() - 1).min(weights.len() - 1));
        }
        dropped
    }

    /// What the trees that were dropped count of what they did, and what new ones count: `new` trees were learned, each with
    /// its share of `eta`.
    pub fn counts(&self, dropped: usize, new: usize, eta: f32) -> (f32, f32) {
        let rate = eta / new as f32;
        match (dropped, self.forest) {
            (0, _) => (1.0, 1.0),
            (_, true) => {
                let part = 1.0 / (1.0 + rate);
                (part, part)
            }
            (dropped, false) => {
                let dropped = dropped as f32;
                (dropped / (dropped + rate), 1.0 / (dropped + rate))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DROPS: Drops = Drops {
        rate: 0.25,
        skip: 0.0,
        one: false,
        weighted: false,
        forest: false,
    };

    /// How often each of four trees is dropped in 4000 rounds, and in how many none is.
    fn counted(drops: Drops, weights: [f32; 4]) -> ([usize; 4], usize) {
        let (mut counts, mut none) = ([0; 4], 0);
        for round in 0..4000 {
            let dropped = drops.draw(3, round, &weights);
            assert!(dropped.is_sorted_by(|one, other| one < other));
            none += usize::from(dropped.is_empty());
            dropped.iter().for_each(|tree| counts[*tree] += 1);
        }
        (counts, none)
    }

    /// Within four deviations.
    fn about(found: usize, share: f64) -> bool {
        let deviation = (4000.0 * share * (1.0 - share)).sqrt();
        (found as f64 - 4000.0 * share).abs() <= 4.0 * deviation
    }

    #[test]
    fn trees_are_dropped_by_their_share() {
        let (counts, none) = counted(DROPS, [1.0; 4]);
        assert!(counts.iter().all(|count| about(*count, 0.25)), "{counts:?}");
        assert!(about(none, 0.75f64.powi(4)), "{none}");
        let skips = Drops { skip: 0.5, ..DROPS };
        let (counts, _) = counted(skips, [1.0; 4]);
        assert!(
            counts.iter().all(|count| about(*count, 0.125)),
            "{counts:?}"
        );
        let weighted = Drops {
            weighted: true,
            ..DROPS
        };
        let (counts, _) = counted(weighted, [0.5, 1.5, 1.0, 1.0]);
        for (count, share) in counts.into_iter().zip([0.125, 0.375, 0.25, 0.25]) {
            assert!(about(count, share), "{counts:?}");
        }
        assert!(DROPS.draw(3, 0, &[]).is_empty());
    }

    #[test]
    fn one_is_dropped_where_one_has_to_be() {
        let one = Drops {
            rate: 0.0,
            one: true,
            ..DROPS
        };
        let (counts, none) = counted(one, [1.0; 4]);
        assert!(
            none == 0 && counts.iter().all(|count| about(*count, 0.25)),
            "{counts:?}"
        );
        let weighted = Drops {
            weighted: true,
            ..one
        };
        let (counts, none) = counted(weighted, [1.0, 5.0, 0.0, 4.0]);
        assert_eq!((none, counts[2]), (0, 0));
        assert!(about(counts[1], 0.5) && about(counts[3], 0.4), "{counts:?}");
    }
}
