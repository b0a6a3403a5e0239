//! The language identifier against the answers of `fasttext-predict` in `tests/golden/lid176.json`.

use escala_models::fasttext::{Classifier, Scratch};
use escala_weights::{Silent, Store, StoreOptions};
use proptest::prelude::*;
use std::sync::OnceLock;

fn classifier() -> &'static Classifier {
    static CLASSIFIER: OnceLock<Classifier> = OnceLock::new();
    CLASSIFIER.get_or_init(|| {
        let store = Store::open(StoreOptions::default()).expect("store");
        let files = store.ensure("lid.176", &Silent).expect("weights");
        Classifier::load(&files.path("model.safetensors").expect("path")).expect("classifier")
    })
}

#[test]
fn the_three_best_languages_are_the_references() {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/golden/lid176.json"
    ))
    .expect("golden");
    let golden: serde_json::Value = serde_json::from_str(&text).expect("json");
    let classifier = classifier();
    let mut scratch = Scratch::default();
    let items = golden["items"].as_array().expect("items");
    assert!(items.len() >= 15);
    for item in items {
        let text = item["text"].as_str().expect("text");
        let scores = classifier.predict(text, &mut scratch);
        let mut ranked: Vec<(f32, &str)> = scores
            .iter()
            .copied()
            .zip(classifier.labels().iter().map(String::as_str))
            .collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (got, want) in ranked.iter().zip(item["top3"].as_array().expect("top3")) {
            let (label, score) = (
                want[0].as_str().expect("label"),
                want[1].as_f64().expect("score") as f32,
            );
            // Five decimals in the file; f32 sums in another order.
            assert!(
                (got.0 - score).abs() < 2e-5,
                "{text}: {got:?} instead of {want}"
            );
            // Scores that are equal to five decimals may change places.
            let same = scores[classifier
                .labels()
                .iter()
                .position(|l| l == label)
                .expect("known label")];
            assert!(
                (same - score).abs() < 2e-5,
                "{text}: {label} {same} instead of {score}"
            );
        }
    }
}

proptest! {
    #[test]
    fn any_text_has_a_distribution(text in ".{0,200}") {
        let mut scratch = Scratch::default();
        let scores = classifier().predict(&text, &mut scratch);
        let sum: f32 = scores.iter().sum();
        // Each decision adds 2e-5 at most, and a path has at most a few dozen.
        prop_assert!((sum - 1.0).abs() < 2e-3, "{sum}");
        prop_assert!(scores.iter().all(|p| p.is_finite() && *p >= 0.0));
    }
}
