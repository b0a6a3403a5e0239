//! Temperature scaling (Guo et al. 2017, arXiv:1706.04599): one number that makes probabilities mean what
//! they say, without changing which label is the most likely.

use super::classifier::softmax;
use super::metrics::argmax;

/// The temperature under which the labels of `targets` (their most likely ones) are the likeliest given `logits`.
///
/// Found by golden-section search on the logarithm between 0.1 and 10, where the loss has one minimum.
pub fn temperature(logits: &[Vec<f32>], targets: &[&[f32]]) -> f32 {
    if logits.is_empty() {
        return 1.0;
    }
    let loss = |log: f64| -> f64 {
        let scale = (-log).exp() as f32;
        logits
            .iter()
            .zip(targets)
            .map(|(logits, target)| {
                let scaled: Vec<f32> = logits.iter().map(|x| x * scale).collect();
                -f64::from(softmax(&scaled)[argmax(target)].max(1e-12)).ln()
            })
            .sum()
    };
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (0.1f64.ln(), 10f64.ln());
    for _ in 0..60 {
        let (a, b) = (high - ratio * (high - low), low + ratio * (high - low));
        if loss(a) < loss(b) {
            high = b;
        } else {
            low = a;
        }
    }
    ((low + high) / 2.0).exp() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_temperature_undoes_a_known_sharpening() {
        // Logits (0, 1) and labels drawn in the proportion of their softmax, then sharpened by three.
        let p = 1.0 / (1.0 + (-1f64).exp());
        let ones = (p * 1000.0).round() as usize;
        let logits = vec![vec![0.0, 3.0]; 1000];
        let targets: Vec<&[f32]> = (0..1000)
            .map(|i| {
                if i < ones {
                    &[0.0, 1.0][..]
                } else {
                    &[1.0, 0.0][..]
                }
            })
            .collect();
        let got = temperature(&logits, &targets);
        assert!((got - 3.0).abs() < 0.02, "{got}");
        assert_eq!(temperature(&[], &[]), 1.0);
    }
}
