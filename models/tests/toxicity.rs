//! ToxBlock against the reference outputs in `tests/golden/toxicity.json` (Keras 2, f32).

use candle_core::Device;
use escala_models::Compute;
use escala_models::toxicity::{Classifier, LABELS, STEPS};
use escala_weights::{Silent, Store, StoreOptions};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    labels: Vec<String>,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    text: String,
    ids: Vec<u32>,
    scores: Vec<f32>,
}

fn golden() -> Golden {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/golden/toxicity.json"
    ))
    .expect("golden");
    serde_json::from_str(&text).expect("golden json")
}

fn folder() -> std::path::PathBuf {
    let store = Store::open(StoreOptions::default()).expect("store");
    let files = store.ensure("tox-block", &Silent).expect("weights");
    files.dir().to_owned()
}

/// What the network reads of a longer text.
fn last(ids: &[u32]) -> &[u32] {
    &ids[ids.len().saturating_sub(STEPS)..]
}

#[test]
fn words_and_scores_are_the_references() {
    let (golden, folder) = (golden(), folder());
    assert_eq!(golden.labels, LABELS);
    assert!(golden.items.len() >= 20);
    let fast = Classifier::load(&folder, &Device::Cpu).expect("fast");
    let plain = Classifier::reference(&folder, &Device::Cpu).expect("plain");
    let ids: Vec<Vec<u32>> = golden
        .items
        .iter()
        .map(|item| fast.words().of(&item.text))
        .collect();
    for (ids, item) in ids.iter().zip(&golden.items) {
        assert_eq!(ids, &item.ids, "{}", item.text);
    }
    let sequences: Vec<&[u32]> = ids.iter().map(|ids| last(ids)).collect();
    for (classifier, threads) in [(&fast, 1), (&fast, 2), (&fast, 3), (&plain, 1)] {
        let compute = Compute::cpu(threads);
        let scores = classifier.scores(&compute, &sequences).expect("scores");
        assert_eq!(scores.len(), golden.items.len());
        for (scores, item) in scores.iter().zip(&golden.items) {
            for (got, want) in scores.iter().zip(&item.scores) {
                // Sums in another order, carried through a hundred steps; the worst seen is 5e-7.
                assert!((got - want).abs() < 3e-6, "{}: {got} {want}", item.text);
            }
        }
    }
}

#[test]
fn alone_and_in_any_company_a_text_has_the_same_scores_to_the_last_bit() {
    let fast = Classifier::load(&folder(), &Device::Cpu).expect("fast");
    let plain = Classifier::reference(&folder(), &Device::Cpu).expect("plain");
    // Every length, with words from all over the vocabulary.
    let texts: Vec<Vec<u32>> = (0..=STEPS as u32)
        .map(|length| {
            let word = |at: u32| 1 + (at * 7919 + length * 104_729) % 19_999;
            (0..length).map(word).collect()
        })
        .collect();
    let sequences: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let one = Compute::cpu(1);
    let alone: Vec<_> = sequences
        .iter()
        .map(|words| fast.scores(&one, &[words]).expect("scores")[0])
        .collect();
    for threads in [1, 2, 5] {
        let together = fast.scores(&Compute::cpu(threads), &sequences);
        assert_eq!(together.expect("scores"), alone, "{threads} threads");
    }
    let reference = plain.scores(&one, &sequences).expect("scores");
    for (got, want) in alone.iter().flatten().zip(reference.iter().flatten()) {
        // As above, for texts that mean nothing.
        assert!((got - want).abs() < 3e-6, "{got} {want}");
    }
}

#[test]
fn what_does_not_fit_the_network_is_an_error() {
    let fast = Classifier::load(&folder(), &Device::Cpu).expect("fast");
    let compute = Compute::cpu(1);
    assert!(fast.scores(&compute, &[&[1; STEPS + 1]]).is_err());
    assert!(fast.scores(&compute, &[&[1], &[20_000]]).is_err());
    assert!(fast.scores(&compute, &[]).expect("none").is_empty());
}
