//! Which token follows: the likeliest, or one that is drawn.
//!
//! Scores are changed in the order of transformers' logits processors: repetition penalty (Keskar et al. 2019,
//! arXiv:1909.05858), temperature, `top_k` (Fan et al. 2018, arXiv:1805.04833), `top_p` (Holtzman et al. 2020,
//! arXiv:1904.09751), `min_p` (Nguyen et al. 2024, arXiv:2407.01082).

use crate::train::random;

/// Below this temperature scores are put beside the best before they are divided.
const COLD: f32 = 1e-3;

/// How the token that follows is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Whether it is drawn; otherwise it is the likeliest.
    pub sample: bool,
    /// Scores are divided by this before they are shares; above 0.
    pub temperature: f32,
    /// Only so many of the likeliest are drawn from; 0 for all.
    pub top_k: usize,
    /// Only the likeliest that together have this share; above 0, 1 for all.
    pub top_p: f32,
    /// Only those that have this part of the likeliest's share; 0 for all.
    pub min_p: f32,
    /// Scores of tokens that were there are divided by this, or multiplied where below 0; above 0, 1 for none.
    pub repetition_penalty: f32,
    /// What decides the draws.
    pub seed: u64,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            sample: false,
            temperature: 1.0,
            top_k: 50,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            seed: 0,
        }
    }
}

impl Choice {
    /// Chooses by the scores, all finite, of the tokens of the vocabulary, behind the tokens `before`; `draw` numbers the
    /// draws of a seed.
    pub fn of(&self, scores: &mut [f32], before: &[u32], draw: u64) -> u32 {
        if !self.sample {
            self.penalise(scores, before);
            let best = scores.iter().enumerate();
            // Of equal ones the first.
            let best = best.max_by(|(a, x), (b, y)| x.total_cmp(y).then(b.cmp(a)));
            return best.map_or(0, |(token, _)| token as u32);
        }
        let shares = self.shares(scores, before);
        let at = (random(self.seed, draw) >> 11) as f64 / (1u64 << 53) as f64;
        let all: f64 = shares.iter().map(|(_, share)| f64::from(*share)).sum();
        let mut rest = at * all;
        for (token, share) in &shares {
            rest -= f64::from(*share);
            if rest < 0.0 {
                return *token;
            }
        }
        shares.last().map_or(0, |(token, _)| *token)
    }

    /// The tokens that may be drawn with their shares, the likeliest first.
    pub fn shares(&self, scores: &mut [f32], before: &[u32]) -> Vec<(u32, f32)> {
        self.penalise(scores, before);
        // Divided by almost nothing, all but the best would be as far away as numbers go, on both sides.
        let best = match self.temperature < COLD {
            true => scores.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            false => 0.0,
        };
        for score in scores.iter_mut() {
            *score = (*score - best) / self.temperature;
        }
        let mut left: Vec<(u32, f32)> = (0..).zip(scores.iter().copied()).collect();
        let down = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if self.top_k > 0 && self.top_k < left.len() {
            let (_, &mut (_, least), _) = left.select_nth_unstable_by(self.top_k - 1, down);
            left.retain(|(_, score)| *score >= least);
        }
        left.sort_unstable_by(down);
        let mut shares = softmax(&left);
        if self.top_p < 1.0 {
            // From the least likely: those go whose sum, their own share in it, is not more than what is left out.
            let mut sum = 0.0;
            let gone = shares.iter().rev().take_while(|(_, share)| {
                sum += share;
                sum <= 1.0 - self.top_p
            });
            let kept = (left.len() - gone.count()).max(1);
            left.truncate(kept);
            shares = softmax(&left);
        }
        if self.min_p > 0.0 {
            let least = shares.first().map_or(0.0, |(_, share)| share * self.min_p);
            let kept = shares
                .iter()
                .take_while(|(_, share)| *share >= least)
                .count();
            left.truncate(kept.max(1));
            shares = softmax(&left);
        }
        shares
    }

    fn penalise(&self, scores: &mut [f32], before: &[u32]) {
        if self.repetition_penalty == 1.0 {
            return;
        }
        let mut there = before.to_vec();
        there.sort_unstable();
        there.dedup();
        for token in there {
            if let Some(score) = scores.get_mut(token as usize) {
                match *score < 0.0 {
                    true => *score *= self.repetition_penalty,
                    false => *score /= self.repetition_penalty,
                }
            }
        }
    }
}

/// The shares of scores, which are sorted, the highest first.
fn softmax(scores: &[(u32, f32)]) -> Vec<(u32, f32)> {
    let highest = scores.first().map_or(0.0, |(_, score)| *score);
    let raised = scores
        .iter()
        .map(|(token, score)| (*token, (score - highest).exp()));
    let mut raised: Vec<(u32, f32)> = raised.collect();
    let sum: f64 = raised.iter().map(|(_, share)| f64::from(*share)).sum();
    for (_, share) in &mut raised {
        *share = (f64::from(*share) / sum) as f32;
    }
    raised
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_shares_that_are_told() {
        let scores = [0.0f32, 2.0, 1.0, -3.0, 2.0];
        let choice = Choice {
            sample: true,
            top_k: 3,
            ..Choice::default()
        };
        let shares = choice.shares(&mut scores.clone(), &[]);
        let tokens: Vec<u32> = shares.iter().map(|(token, _)| *token).collect();
        assert_eq!(tokens, [1, 4, 2]);
        let mut counts = [0u32; 5];
        for draw in 0..20_000 {
            counts[choice.of(&mut scores.clone(), &[], draw) as usize] += 1;
        }
        for (token, share) in shares {
            let found = f64::from(counts[token as usize]) / 20_000.0;
            assert!(
                (found - f64::from(share)).abs() < 0.02,
                "{token}: {found}, not {share}"
            );
        }
        assert_eq!((counts[0], counts[3]), (0, 0));
    }

    #[test]
    fn almost_no_temperature_is_almost_no_chance() {
        let scores = [1.0f32, -2.0, 7.5, 7.0];
        for temperature in [f32::MIN_POSITIVE, 1e-30, 1e-4, 2e-3] {
            let choice = Choice {
                sample: true,
                temperature,
                top_k: 0,
                ..Choice::default()
            };
            let shares = choice.shares(&mut scores.clone(), &[]);
            assert_eq!(shares[0], (2, 1.0), "{temperature}");
            for draw in 0..100 {
                assert_eq!(
                    choice.of(&mut scores.clone(), &[], draw),
                    2,
                    "{temperature}"
                );
            }
        }
    }

    #[test]
    fn the_likeliest_is_the_first_of_equal_ones() {
        let choice = Choice::default();
        assert_eq!(choice.of(&mut [1.0, 3.0, 3.0], &[], 0), 1);
        let careful = Choice {
            repetition_penalty: 2.0,
            ..Choice::default()
        };
        assert_eq!(
            careful.of(&mut [-1.0, -3.0, -2.0], &[0, 0], 0),
            0,
            "penalised once"
        );
        assert_eq!(careful.of(&mut [4.0, 3.0, -2.0], &[0], 0), 1);
        assert_eq!(
            careful.of(&mut [4.0], &[7], 0),
            0,
            "what is not known is passed over"
        );
    }
}
