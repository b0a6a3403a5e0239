//! Topics are what scikit-learn learns: `tests/golden/lda.json`, written by `make_lda.py` beside it.

use escala_models::lda::{Lda, Options};
use serde::Deserialize;

const TOPICS: usize = 6;
const WORDS: usize = 60;
const DOCUMENTS: u32 = 256;

#[derive(Deserialize)]
struct Golden {
    /// `[rounds, topics, words]`.
    components: Vec<Vec<Vec<f64>>>,
    mixtures: Vec<Vec<f64>>,
}

/// The formula of `make_lda.py`.
fn document(number: u32) -> Vec<(u32, u32)> {
    let mut counts = [0; WORDS];
    for i in 0..=number % 13 {
        let word = (number * 31 + i * i * 7) % WORDS as u32;
        let drawn = number % 3 * 20 + word / 3;
        counts[if i % 3 == 0 { word } else { drawn } as usize] += 1;
    }
    let counts = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    counts.map(|(word, count)| (word as u32, *count)).collect()
}

#[test]
fn topics_are_those_that_scikit_learn_learns() {
    let golden: Golden =
        serde_json::from_str(include_str!("../../tests/golden/lda.json")).expect("a golden file");
    let lambda = (0..WORDS * TOPICS).map(|at| {
        let (word, topic) = (at / TOPICS, at % TOPICS);
        0.5 + ((topic * WORDS + word) * 7919 % 1021) as f64 / 1020.0
    });
    let mut lda = Lda::begin(&Options::new(TOPICS, WORDS), lambda.collect()).expect("topics");
    let documents: Vec<_> = (0..DOCUMENTS).map(document).collect();
    // Differences come from the reference's own digamma, which is right to about 1e-9, and from the order of sums.
    let same = |got: f64, want: f64, what: &str| {
        assert!(
            (got - want).abs() < 1e-7 * want.max(1.0),
            "{what}: {got} {want}"
        );
    };
    for (round, components) in golden.components.iter().enumerate() {
        for batch in documents.chunks(64) {
            lda.learn(batch, u64::from(DOCUMENTS), 2).expect("learnt");
        }
        for (topic, components) in components.iter().enumerate() {
            let sum: f64 = components.iter().sum();
            for (got, want) in lda.distribution(topic).iter().zip(components) {
                same(*got, want / sum, &format!("round {round}, topic {topic}"));
            }
        }
    }
    let mixtures = lda.mixtures(&documents, 2).expect("mixtures");
    for (at, (got, want)) in mixtures.iter().zip(&golden.mixtures).enumerate() {
        for (got, want) in got.iter().zip(want) {
            same(*got, *want, &format!("document {at}"));
        }
    }
}
