//! all-MiniLM-L6-v2 against the reference outputs in `tests/golden/minilm.json` (PyTorch, f32).

use candle_core::Device;
use escala_models::bert::{Config, SentenceEncoder, Tokenizer};
use escala_models::{Compute, Precision, Target};
use escala_weights::{Silent, Store, StoreOptions, Tensors};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
struct Golden {
    items: Vec<Item>,
    cosine: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Item {
    text: String,
    input_ids: Vec<u32>,
    embedding_first8: Vec<f32>,
    embedding_last4: Vec<f32>,
}

fn golden() -> Golden {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/golden/minilm.json"
    ))
    .expect("golden");
    serde_json::from_str(&text).expect("golden json")
}

fn folder() -> std::path::PathBuf {
    let store = Store::open(StoreOptions::default()).expect("store");
    store
        .ensure("all-minilm-l6-v2", &Silent)
        .expect("weights")
        .dir()
        .to_owned()
}

#[test]
fn tokens_and_embeddings_are_the_references() {
    let golden = golden();
    let folder = folder();
    let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), 256).expect("tokenizer");
    let ids: Vec<Vec<u32>> = golden
        .items
        .iter()
        .map(|item| tokenizer.encode(&item.text).expect("tokens").ids)
        .collect();
    for (ids, item) in ids.iter().zip(&golden.items) {
        assert_eq!(ids, &item.input_ids, "{}", item.text);
    }
    let sequences: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let config = Config::open(&folder.join("config.json")).expect("config");
    let tensors = Arc::new(Tensors::open(folder.join("model.safetensors")).expect("tensors"));
    let fast = SentenceEncoder::new(config.clone(), tensors.clone(), &Device::Cpu).expect("fast");
    let plain = SentenceEncoder::reference(config, tensors, &Device::Cpu).expect("plain");
    for (encoder, threads) in [(&fast, 1), (&fast, 2), (&fast, 3), (&plain, 1)] {
        let compute = Compute::cpu(threads);
        let embeddings = encoder.encode(&compute, &sequences).expect("embeddings");
        for (embedding, item) in embeddings.iter().zip(&golden.items) {
            let ends = embedding[..8]
                .iter()
                .zip(&item.embedding_first8)
                .chain(embedding[380..].iter().zip(&item.embedding_last4));
            for (got, want) in ends {
                // The golden values have six decimals; six layers of f32 sums in another order add about 1e-6.
                assert!((got - want).abs() < 3e-6, "{}: {got} {want}", item.text);
            }
        }
        for (i, row) in golden.cosine.iter().enumerate() {
            for (j, want) in row.iter().enumerate() {
                let got: f32 = embeddings[i]
                    .iter()
                    .zip(&embeddings[j])
                    .map(|(a, b)| a * b)
                    .sum();
                assert!((got - want).abs() < 1e-4, "cosine {i} {j}: {got} {want}");
            }
        }
        // Alone equals batched, to rounding: the tiles of a product may be cut elsewhere.
        for (sequence, together) in sequences.iter().zip(&embeddings) {
            let alone = &encoder.encode(&compute, &[sequence]).expect("embedding")[0];
            let worst = alone
                .iter()
                .zip(together)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(worst < 2e-6, "alone and batched differ by {worst}");
        }
    }
}

/// What two embeddings have in common.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn eight_bits_embed_nearly_the_same() {
    let golden = golden();
    let folder = folder();
    let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), 256).expect("tokenizer");
    let ids: Vec<Vec<u32>> = golden
        .items
        .iter()
        .map(|item| tokenizer.encode(&item.text).expect("tokens").ids)
        .collect();
    // Few tokens and many go different ways.
    let few: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let many: Vec<&[u32]> = std::iter::repeat_n(&few, 20).flatten().copied().collect();
    let full = SentenceEncoder::load(&folder, &Device::Cpu).expect("full");
    let target = Target {
        device: &Device::Cpu,
        precision: Precision::Int8,
    };
    let short = SentenceEncoder::load(&folder, target).expect("8 bits");
    assert!(short.memory() < full.memory(), "{}", short.memory());
    for threads in [1, 2, 3] {
        let compute = Compute::cpu(threads);
        let expected = full.encode(&compute, &few).expect("embeddings");
        let got = short.encode(&compute, &few).expect("embeddings");
        for ((got, expected), item) in got.iter().zip(&expected).zip(&golden.items) {
            let cosine = cosine(got, expected);
            assert!(cosine > 0.99, "{}: {cosine}", item.text);
        }
        // What texts have in common moves by little.
        for (i, row) in golden.cosine.iter().enumerate() {
            for (j, want) in row.iter().enumerate() {
                let cosine = cosine(&got[i], &got[j]);
                assert!((cosine - want).abs() < 0.02, "{i} {j}: {cosine} {want}");
            }
        }
        let again = short.encode(&compute, &many).expect("embeddings");
        for (one, other) in again.iter().zip(got.iter().cycle()) {
            assert!(cosine(one, other) > 0.9999, "alone and in a batch");
        }
    }
}
