//! Random numbers that depend on where they are used and not on what was drawn before: training that goes on from a
//! checkpoint, and threads in any number, draw the same.

/// A stream of numbers: SplitMix64.
pub struct Draw(u64);

impl Draw {
    /// The stream of a place: the seed and, say, the round and the tree.
    pub fn at(seed: u64, place: &[u64]) -> Self {
        let mut state = mixed(seed ^ 0x9e37_79b9_7f4a_7c15);
        for part in place {
            state = mixed(state ^ mixed(part.wrapping_add(0x632b_e59b_d9b4_e019)));
        }
        Self(state)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number below `bound`, which is above 0.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// `count` of the columns, ascending; all where the share is 1.
    pub fn columns(&mut self, from: &[u32], share: f32) -> Vec<u32> {
        if share >= 1.0 {
            return from.to_vec();
        }
        let count = ((share * from.len() as f32) as usize).clamp(1, from.len());
        let mut all = from.to_vec();
        for place in 0..count {
            let other = place + self.below(all.len() - place);
            all.swap(place, other);
        }
        all.truncate(count);
        all.sort_unstable();
        all
    }
}

/// A number from 0 to 1, for each row by itself.
pub fn uniform(key: u64, row: u64) -> f64 {
    (mixed(key ^ mixed(row)) >> 11) as f64 / (1u64 << 53) as f64
}

fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_drawn_evenly_ascending_and_each_once() {
        let from: Vec<u32> = (0..10).collect();
        let mut counts = [0; 10];
        for round in 0..2000 {
            let drawn = Draw::at(7, &[round]).columns(&from, 0.35);
            assert_eq!(drawn.len(), 3);
            assert!(drawn.is_sorted_by(|a, b| a < b));
            for column in drawn {
                counts[column as usize] += 1;
            }
        }
        // 2000 draws of 3 in 10: 600 each, give or take four deviations.
        assert!(
            counts.iter().all(|count| (520..680).contains(count)),
            "{counts:?}"
        );
        assert_eq!(Draw::at(7, &[1]).columns(&from, 0.01).len(), 1);
        assert_eq!(Draw::at(7, &[1]).columns(&from, 1.0), from);
    }

    #[test]
    fn rows_are_drawn_evenly() {
        let mean = (0..10_000).map(|row| uniform(3, row)).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.015, "{mean}");
        assert!((0..10_000).all(|row| (0.0..1.0).contains(&uniform(5, row))));
    }
}
