//! multilingual-e5-small against `tests/golden/multilingual_e5.json`: ids of the package's own tokenizer,
//! embeddings of PyTorch with the same 4-bit weights expanded, and the package's own embeddings.

use candle_core::Device;
use escala_models::Compute;
use escala_models::bert::{SentenceEncoder, Tokenizer};
use escala_weights::{Silent, Store, StoreOptions};
use proptest::prelude::*;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::OnceLock;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
    tokens: Vec<Tokenised>,
}

#[derive(Deserialize)]
struct Case {
    prefix: String,
    text: String,
    ids: Vec<u32>,
    mean_first8: Vec<f32>,
    unit: Vec<f32>,
    package: Vec<f32>,
}

#[derive(Deserialize)]
struct Tokenised {
    text: String,
    ids: Vec<u32>,
}

fn golden() -> Golden {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/golden/multilingual_e5.json"
    ))
    .expect("golden");
    serde_json::from_str(&text).expect("golden json")
}

fn folder() -> PathBuf {
    let store = Store::open(StoreOptions::default()).expect("store");
    let files = store.ensure("multilingual-e5-small", &Silent);
    files.expect("weights").dir().to_owned()
}

fn tokenizer() -> &'static Tokenizer {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    TOKENIZER.get_or_init(|| Tokenizer::load(&folder(), 512).expect("tokenizer"))
}

fn ids(text: &str) -> Vec<u32> {
    tokenizer().encode(text).expect("tokens").ids
}

#[test]
fn tokens_are_the_packages() {
    let golden = golden();
    for case in &golden.cases {
        let text = format!("{}: {}", case.prefix, case.text);
        assert_eq!(ids(&text), case.ids, "{text}");
    }
    for case in &golden.tokens {
        assert_eq!(
            ids(&format!("query: {}", case.text)),
            case.ids,
            "{}",
            case.text
        );
    }
}

#[test]
fn spaces_around_a_text_and_the_form_of_its_accents_do_not_matter() {
    let plain = ids("query: La película fue maravillosa, ¿verdad?");
    for other in [
        " query: La película fue maravillosa, ¿verdad?\n",
        "query: La peli\u{301}cula fue maravillosa, ¿verdad?",
        "query:\u{a0}La\tpelícula fue \r\n maravillosa, ¿verdad?\u{200b}",
    ] {
        assert_eq!(ids(other), plain, "{other:?}");
    }
    assert_eq!(ids(""), [0, 2]);
    assert_eq!(ids(" \n"), [0, 2]);
}

#[test]
fn a_long_text_is_cut_and_keeps_its_end_mark() {
    let tokens = tokenizer()
        .encode(&"palabra ".repeat(100_000))
        .expect("tokens");
    assert!(tokens.truncated);
    assert_eq!((tokens.ids.len(), tokens.ids[511]), (512, 2));
    let whole = tokenizer().encode(&"palabra ".repeat(300)).expect("tokens");
    assert!(!whole.truncated);
    assert_eq!(whole.ids[..300], tokens.ids[..300]);
    // No white space at all.
    let tokens = tokenizer().encode(&"长".repeat(60_000)).expect("tokens");
    assert_eq!((tokens.truncated, tokens.ids.len()), (true, 512));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn any_text_has_tokens_of_the_vocabulary(text in any::<String>(), words in "[ a-zé▁\u{301}あ中😀\u{0}-\u{20}]{0,200}") {
        for text in [text.as_str(), words.as_str()] {
            let ids = ids(text);
            prop_assert!(ids.len() >= 2 && ids.len() <= 512);
            prop_assert!(ids.iter().all(|&id| id < 250_002), "{ids:?}");
            prop_assert_eq!((ids[0], ids[ids.len() - 1]), (0, 2));
        }
    }
}

#[test]
fn embeddings_are_pytorchs_and_close_to_the_packages() {
    let golden = golden();
    let folder = folder();
    let fast = SentenceEncoder::load(&folder, &Device::Cpu).expect("fast");
    let plain = SentenceEncoder::load_reference(&folder, &Device::Cpu).expect("plain");
    assert_eq!(fast.max_tokens(), 512);
    // Nothing of the word table is expanded: 4-bit words, 32-bit layers.
    assert!(fast.memory() < 145_000_000, "{}", fast.memory());
    let sequences: Vec<&[u32]> = golden.cases.iter().map(|case| &*case.ids).collect();
    for (encoder, threads) in [(&fast, 1), (&fast, 2), (&plain, 1)] {
        let compute = Compute::cpu(threads);
        let units = encoder.encode(&compute, &sequences).expect("embeddings");
        let means = encoder.pool(&compute, &sequences).expect("embeddings");
        for ((unit, mean), case) in units.iter().zip(&means).zip(&golden.cases) {
            for (got, want) in unit.iter().zip(&case.unit) {
                // Six decimals in the file, and twelve layers of 32-bit sums in another order.
                assert!((got - want).abs() < 5e-6, "{}: {got} {want}", case.text);
            }
            for (got, want) in mean.iter().zip(&case.mean_first8) {
                assert!((got - want).abs() < 2e-5, "{}: {got} {want}", case.text);
            }
            // The package rounds activations to 8 bits.
            let cosine: f32 = unit.iter().zip(&case.package).map(|(a, b)| a * b).sum();
            assert!(cosine > 0.9995, "{}: {cosine}", case.text);
        }
        let alone = &encoder
            .encode(&compute, &sequences[..1])
            .expect("embedding")[0];
        let together = alone.iter().zip(&units[0]);
        assert!(
            together.clone().all(|(a, b)| (a - b).abs() < 3e-6),
            "alone and batched differ"
        );
    }
}
