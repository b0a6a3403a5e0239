//! Checkpoints of the BERT family as Hugging Face transformers writes them, against what transformers answers
//! (`tests/golden/encoders.json`, made by `make_encoders.py`).
//!
//! The weights are not in the golden file: script and test compute them by the same formula.

use candle_core::Device;
use escala_models::Compute;
use escala_models::bert::{
    Problem, SentenceEncoder, SequenceClassifier, Span, TokenClassifier, Tokenizer,
};
use proptest::prelude::*;
use std::path::Path;
use std::sync::OnceLock;

#[path = "../../tests/common/checkpoints.rs"]
mod checkpoints;

use checkpoints::{Case, golden, of_task};

/// Values have six decimals, and sums in 32-bit floats come in another order.
fn near(got: &[f32], want: &[f32]) -> bool {
    got.len() == want.len() && got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5)
}

#[test]
fn tokens_and_mean_hidden_states_are_transformers() {
    assert_eq!(golden().checkpoints.len(), 8);
    for checkpoint in &golden().checkpoints {
        let folder = checkpoint.folder();
        let fast = SentenceEncoder::load(folder.path(), &Device::Cpu).expect("fast");
        let plain = SentenceEncoder::load_reference(folder.path(), &Device::Cpu).expect("plain");
        assert_eq!(fast.max_tokens(), 48, "{}", checkpoint.name);
        let tokenizer = Tokenizer::load(folder.path(), fast.max_tokens()).expect("tokenizer");
        for case in &checkpoint.cases {
            let tokens = tokenizer.encode(&case.text).expect("tokens");
            assert_eq!(tokens.ids, case.ids, "{}: {}", checkpoint.name, case.text);
            assert_eq!(tokens.truncated, case.text.len() > 100, "{}", case.text);
        }
        let sequences: Vec<&[u32]> = checkpoint.cases.iter().map(|case| &*case.ids).collect();
        for (encoder, threads) in [(&fast, 1), (&fast, 3), (&plain, 1)] {
            let means = encoder
                .pool(&Compute::cpu(threads), &sequences)
                .expect("means");
            for (mean, case) in means.iter().zip(&checkpoint.cases) {
                assert!(
                    near(mean, &case.mean),
                    "{}: {}: {mean:?}",
                    checkpoint.name,
                    case.text
                );
            }
        }
    }
}

#[test]
fn scores_of_texts_are_transformers() {
    for checkpoint in of_task("sequence") {
        let folder = checkpoint.folder();
        let fast = SequenceClassifier::load(folder.path(), &Device::Cpu).expect("fast");
        let plain = SequenceClassifier::load_reference(folder.path(), &Device::Cpu).expect("plain");
        let sigmoid = ["distilbert", "xlm-roberta"].contains(&checkpoint.name.as_str());
        assert_eq!(
            fast.problem() == Problem::MultiLabel,
            sigmoid,
            "{}",
            checkpoint.name
        );
        let names: &[&str] = match fast.labels().len() {
            1 => &["spam"],
            _ => &["bad", "so-so", "good"],
        };
        assert_eq!(fast.labels(), names);
        for (classifier, threads) in [(&fast, 1), (&fast, 2), (&plain, 1)] {
            let compute = Compute::cpu(threads);
            let together = classifier
                .classify(&compute, &checkpoint.texts())
                .expect("scores");
            for (answer, case) in together.iter().zip(&checkpoint.cases) {
                let at = format!("{}: {}: {answer:?}", checkpoint.name, case.text);
                assert!(near(&answer.scores, &case.scores), "{at}");
                assert_eq!(answer.tokens, case.ids.len(), "{at}");
                let alone = classifier
                    .classify(&compute, &[&case.text])
                    .expect("scores");
                assert!(near(&alone[0].scores, &answer.scores), "{at}");
            }
        }
        assert!(
            fast.classify(&Compute::cpu(1), &[])
                .expect("nothing")
                .is_empty()
        );
    }
}

/// The golden's spans in bytes. transformers also reports spans of nothing, where a tokenizer makes a token of a
/// space, and counts the space before a word where a tokenizer does; we do neither.
fn spans(case: &Case) -> Vec<Span> {
    let byte = |character: usize| {
        let mut starts = case.text.char_indices().map(|(at, _)| at);
        starts.nth(character).unwrap_or(case.text.len())
    };
    let spans = case.spans.iter().map(|(label, score, start, end)| {
        let (start, end) = (byte(*start), byte(*end));
        let text = &case.text[start..end];
        Span {
            label: label.clone(),
            score: *score,
            start: start + text.len() - text.trim_start().len(),
            end: start + text.trim_end().len(),
        }
    });
    spans.filter(|span| span.start < span.end).collect()
}

#[test]
fn spans_of_words_are_transformers() {
    let mut seen = 0;
    for checkpoint in of_task("words") {
        let folder = checkpoint.folder();
        let fast = TokenClassifier::load(folder.path(), &Device::Cpu).expect("fast");
        let plain = TokenClassifier::load_reference(folder.path(), &Device::Cpu).expect("plain");
        assert_eq!(fast.labels()[1], "B-PERSON");
        for (classifier, threads) in [(&fast, 1), (&fast, 2), (&plain, 1)] {
            let compute = Compute::cpu(threads);
            let answers = classifier
                .classify(&compute, &checkpoint.texts())
                .expect("spans");
            for (answer, case) in answers.iter().zip(&checkpoint.cases) {
                let wanted = spans(case);
                let at = format!(
                    "{}: {}:\n{:?}\n{wanted:?}",
                    checkpoint.name, case.text, answer.spans
                );
                assert_eq!(answer.spans.len(), wanted.len(), "{at}");
                for (got, want) in answer.spans.iter().zip(&wanted) {
                    assert!((got.score - want.score).abs() < 1e-5, "{at}");
                    let place = |span: &Span| (span.label.clone(), span.start, span.end);
                    assert_eq!(place(got), place(want), "{at}");
                }
                assert!(answer.tokens >= case.ids.len(), "{at}");
                seen += wanted.len();
            }
        }
    }
    assert!(seen > 500, "{seen} spans are too few to mean much");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn any_text_is_read(any in any::<String>(), near in "[ a-zé.#<>\\[\\]PADs/▁\u{301}あ😀\u{0}-\u{20}]{0,120}") {
        static LOADED: OnceLock<Vec<(TokenClassifier, Tokenizer)>> = OnceLock::new();
        let loaded = LOADED.get_or_init(|| of_task("words").map(|checkpoint| {
            let folder = checkpoint.folder();
            let classifier = TokenClassifier::load(folder.path(), &Device::Cpu).expect("loads");
            (classifier, Tokenizer::load(folder.path(), 48).expect("tokenizer"))
        }).collect());
        let compute = Compute::cpu(1);
        for (classifier, tokenizer) in loaded {
            for text in [any.as_str(), near.as_str()] {
                let ids = tokenizer.encode(text).expect("tokens").ids;
                prop_assert!((2..=48).contains(&ids.len()));
                prop_assert!(ids.iter().all(|&id| (id as usize) < classifier.config().vocab_size));
                let answer = &classifier.classify(&compute, &[text]).expect("spans")[0];
                for span in &answer.spans {
                    // On boundaries, inside, and of something.
                    prop_assert!(text.get(span.start..span.end).is_some_and(|t| !t.is_empty()), "{span:?}");
                    prop_assert!(span.score > 0.0 && span.score <= 1.0);
                }
            }
        }
    }
}

fn refusal(folder: &Path) -> String {
    let error = SequenceClassifier::load(folder, &Device::Cpu)
        .err()
        .expect("refused");
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    let checkpoint = of_task("sequence").next().expect("bert");
    let words = of_task("words").next().expect("bert words");
    // A classifier of words has no pooler.
    assert!(refusal(words.folder().path()).contains("bert.pooler.dense.weight"));
    let folder = checkpoint.folder();
    let tensors = folder.path().join("model.safetensors");
    let whole = std::fs::read(&tensors).expect("file");
    std::fs::write(&tensors, &whole[..whole.len() - 1]).expect("file");
    assert!(refusal(folder.path()).contains("not a whole safetensors file"));
    std::fs::remove_file(&tensors).expect("file");
    assert!(refusal(folder.path()).contains("no model.safetensors"));
    std::fs::write(folder.path().join("pytorch_model.bin"), b"x").expect("file");
    let said = refusal(folder.path());
    assert!(
        said.contains("pytorch_model.bin") && said.contains("only safetensors"),
        "{said}"
    );
    std::fs::write(&tensors, &whole).expect("file");
    for (from, to, says) in [
        ("\"hidden_size\":32", "\"hidden_size\":64", "has shape"),
        ("\"vocab_size\":106", "\"vocab_size\":107", "has shape"),
        (
            "\"2\":\"good\"",
            "\"2\":\"good\",\"3\":\"best\"",
            "4 labels for a head of 3",
        ),
        (
            "\"model_type\":\"bert\"",
            "\"model_type\":\"gpt2\"",
            "architecture `gpt2`",
        ),
        ("{", "", "not the configuration"),
    ] {
        let config = checkpoint.config.to_string();
        assert!(config.contains(from), "{from}: {config}");
        std::fs::write(
            folder.path().join("config.json"),
            config.replacen(from, to, 1),
        )
        .expect("file");
        let said = refusal(folder.path());
        assert!(said.contains(says), "{says}: {said}");
    }
    std::fs::write(
        folder.path().join("config.json"),
        checkpoint.config.to_string(),
    )
    .expect("file");
    std::fs::write(folder.path().join("tokenizer.json"), "{}").expect("file");
    assert!(refusal(folder.path()).contains("tokenizer.json"));
}
