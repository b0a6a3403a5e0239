//! How alike two faces are, from their descriptors.
//!
//! Descriptors are points in a space of 128 dimensions that the network was trained to put near each other for one
//! person and far apart for two; the distance at which it was trained to decide is 0.6. Clients think in
//! percent and take 80 for enough, so the distance is bent by a logistic curve. Its two numbers are fitted to the pairs
//! of `tests/likeness.rs`: 31 of one person, portraits of different years and photographs of groups beside themselves
//! smaller and tilted, lie at 0.10 to 0.41; 225 of two people lie at 0.59 to 1.08. No pair lies between, so the likeliest
//! curve is a step, and says nothing of those that might; the curve is the one that has 80 % in the middle between the
//! farthest pair of one person and the nearest of two, and a quarter at that nearest. So pairs of one person reach 98 and more,
//! those of two stay below 26. 80 is at a distance of 0.50, 95 at 0.45, 99 at 0.39.

/// Numbers of a descriptor.
pub const DIMENSIONS: usize = 128;

/// The distance that counts as half alike.
const MIDDLE: f32 = 0.55;
/// How far from the middle the curve turns.
const WIDTH: f32 = 0.035;

/// The Euclidean distance; infinite for descriptors of different length.
pub fn distance(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return f32::INFINITY;
    }
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).powi(2))
        .sum::<f32>()
        .sqrt()
}

/// Percent of likeness at a distance, 0 to 100; less for more distance.
pub fn percent(distance: f32) -> f32 {
    if distance.is_nan() {
        return 0.0;
    }
    100.0 / (1.0 + ((distance - MIDDLE) / WIDTH).exp())
}

/// The largest distance that reaches a percentage: the other way round of [`percent`].
pub fn farthest(percent: f32) -> f32 {
    if percent <= 0.0 {
        return f32::MAX;
    }
    // Nothing reaches a hundred; what is alike in every number is taken for it.
    (MIDDLE + WIDTH * (100.0 / percent.min(100.0) - 1.0).ln()).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distances of `tests/likeness.rs`, pairs of one person and of two.
    #[test]
    fn known_pairs_fall_on_their_side() {
        for same in [0.104, 0.319, 0.389, 0.408] {
            assert!(percent(same) >= 80.0, "{same}: {}", percent(same));
        }
        for other in [0.588, 0.599, 0.644, 0.866, 1.078] {
            assert!(percent(other) < 50.0, "{other}: {}", percent(other));
        }
        assert!(percent(0.0) > 99.99 && percent(f32::INFINITY) == 0.0 && percent(f32::NAN) == 0.0);
    }

    #[test]
    fn percentages_and_distances_go_both_ways() {
        for wanted in [0.1, 20.0, 50.0, 80.0, 99.0] {
            assert!(
                (percent(farthest(wanted)) - wanted).abs() < 0.01,
                "{wanted}"
            );
        }
        assert_eq!((farthest(0.0), farthest(100.0)), (f32::MAX, 0.0));
    }

    #[test]
    fn more_distance_is_never_more_alike() {
        let percents: Vec<_> = (0..300).map(|i| percent(i as f32 / 100.0)).collect();
        assert!(percents.is_sorted_by(|a, b| a >= b));
        assert_eq!(distance(&[0.0, 3.0], &[4.0, 0.0]), 5.0);
        assert_eq!(distance(&[0.0], &[]), f32::INFINITY);
    }
}
