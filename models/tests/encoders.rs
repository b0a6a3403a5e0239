//! Checkpoints of the BERT family as Hugging Face transformers writes them, against what transformers answers
//! (`tests/golden/encoders.json`, made by `make_encoders.py`).
//!
//! The weights are not in the golden file: script and test compute them by the same formula.

use candle_core::Device;
use escala_models::Compute;
use escala_models::bert::{
    AnswerFinder, AnswerOptions, MaskFiller, Problem, SentenceEncoder, SequenceClassifier, Span,
    Strategy, TokenClassifier, Tokenizer,
};
use proptest::prelude::*;
use std::path::Path;
use std::sync::OnceLock;

#[path = "../../tests/common/checkpoints.rs"]
mod checkpoints;

use checkpoints::{answers, golden, of_task, pairs};

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

/// A regression tells the numbers from which a classifier makes its probabilities.
#[test]
fn regressions_tell_numbers() {
    let compute = Compute::cpu(1);
    let exclusive = of_task("sequence").filter(|checkpoint| checkpoint.name == "bert");
    let mut seen = 0;
    for checkpoint in exclusive {
        let folder = checkpoint.folder();
        let mut config = checkpoint.config.clone();
        config["problem_type"] = "regression".into();
        let path = folder.path().join("config.json");
        std::fs::write(path, config.to_string()).expect("a file");
        let network = SequenceClassifier::load(folder.path(), &Device::Cpu).expect("a network");
        assert_eq!(network.problem(), Problem::Regression);
        let texts = checkpoint.texts();
        let numbers = network.classify(&compute, &texts).expect("numbers");
        let raw = network.score(&compute, &texts).expect("numbers");
        for ((answer, raw), case) in numbers.iter().zip(&raw).zip(&checkpoint.cases) {
            assert_eq!(&answer.scores, raw);
            let parts: Vec<f32> = raw.iter().map(|number| number.exp()).collect();
            let all: f32 = parts.iter().sum();
            let shares: Vec<f32> = parts.iter().map(|part| part / all).collect();
            assert!(near(&shares, &case.scores), "{}", case.text);
            seen += 1;
        }
    }
    assert!(seen > 3);
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
fn spans(text: &str, spans: &[(String, f32, usize, usize)]) -> Vec<Span> {
    let byte = |character: usize| {
        let mut starts = text.char_indices().map(|(at, _)| at);
        starts.nth(character).unwrap_or(text.len())
    };
    let spans = spans.iter().map(|(label, score, start, end)| {
        let (start, end) = (byte(*start), byte(*end));
        let place = &text[start..end];
        Span {
            label: label.clone(),
            score: *score,
            start: start + place.len() - place.trim_start().len(),
            end: start + place.trim_end().len(),
            token: None,
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
                let wanted = spans(&case.text, &case.spans);
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

/// Each way, and beside others in a batch.
#[test]
fn pairs_of_texts_are_read_as_by_transformers() {
    for paired in &pairs().checkpoints {
        let folder = paired.checkpoint.folder();
        let fast = SequenceClassifier::load(folder.path(), &Device::Cpu).expect("fast");
        let plain = SequenceClassifier::load_reference(folder.path(), &Device::Cpu).expect("plain");
        let texts = paired.pairs.iter();
        let texts: Vec<_> = texts.map(|one| (&*one.text, &*one.text_pair)).collect();
        for (classifier, threads) in [(&fast, 1), (&fast, 2), (&plain, 1)] {
            let compute = Compute::cpu(threads);
            let answers = classifier.classify_pairs(&compute, &texts).expect("scores");
            assert_eq!(answers.len(), paired.pairs.len());
            for (answer, pair) in answers.iter().zip(&paired.pairs) {
                for (got, want) in answer.scores.iter().zip(&pair.probabilities) {
                    let name = &paired.checkpoint.name;
                    let said = &answer.scores;
                    assert!((got - want).abs() < 1e-5, "{name}: {}: {said:?}", pair.text);
                }
                assert!(!answer.truncated);
            }
        }
        // The second text stays whole where the first is too long for both.
        let long = "long ".repeat(60);
        let compute = Compute::cpu(1);
        let [one, other] = [("it is free", true), ("a dog", true)].map(|(second, cut)| {
            let mut said = fast
                .classify_pairs(&compute, &[(&*long, second)])
                .expect("scores");
            let said = said.pop().expect("an answer");
            assert_eq!(said.truncated, cut);
            said.scores
        });
        assert_ne!(one, other);
        let behind_nothing = fast.classify_pairs(&compute, &[("", &*long)]);
        assert!(behind_nothing.expect("scores")[0].truncated);
        assert!(
            fast.classify_pairs(&compute, &[])
                .expect("nothing")
                .is_empty()
        );
    }
}

/// What transformers puts in the place of masks (`tests/golden/answers.json`, made by `make_answers.py`), on each way.
#[test]
fn masks_are_filled_as_by_transformers() {
    for of in &answers().checkpoints {
        let name = &of.masks.checkpoint.name;
        let folder = of.masks.checkpoint.folder();
        let fast = MaskFiller::load(folder.path(), &Device::Cpu).expect("fast");
        let plain = MaskFiller::load_reference(folder.path(), &Device::Cpu).expect("plain");
        for (filler, threads) in [(&fast, 1), (&fast, 2), (&plain, 1)] {
            let compute = Compute::cpu(threads);
            let texts = of.masks.masked.iter();
            let texts: Vec<_> = texts
                .map(|case| filler.read(&case.text).expect("tokens"))
                .collect();
            let filled = filler.fill(&compute, &texts, 2, &[]).expect("words");
            for ((masks, text), case) in filled.iter().zip(&texts).zip(&of.masks.masked) {
                assert_eq!((masks.len(), text.truncated()), (text.masks(), false));
                if case.parameters.get("targets").is_some() {
                    continue;
                }
                let wanted = case.filled.as_array().expect("words");
                let wanted = match masks.len() {
                    1 => std::slice::from_ref(&case.filled),
                    _ => wanted.as_slice(),
                };
                assert_eq!(masks.len(), wanted.len(), "{name}: {}", case.text);
                for (words, wanted) in masks.iter().zip(wanted) {
                    assert_eq!(words.len(), 2);
                    for (word, wanted) in words.iter().zip(wanted.as_array().expect("words")) {
                        assert_eq!(wanted["token"], word.token, "{name}: {}", case.text);
                        assert_eq!(wanted["token_str"], *word.word, "{name}: {}", case.text);
                        assert_eq!(wanted["sequence"], *word.text, "{name}");
                        let score = wanted["score"].as_f64().expect("a score") as f32;
                        assert!((word.score - score).abs() < 1e-5, "{name}: {word:?}");
                    }
                }
            }
        }
        // A word that is no token stands for its first, and there is no token of nothing.
        assert_eq!(fast.token("").expect("none"), None);
        assert!(fast.token("nonesuch").expect("its first").is_some());
        let other = of.answers.checkpoint.folder();
        let refused = MaskFiller::load(other.path(), &Device::Cpu).err();
        let refused = refused.expect("no such head").to_string();
        assert!(refused.contains("cannot fill masks"), "{refused}");
    }
}

/// Where transformers finds answers (`tests/golden/answers.json`); the service reads the parameters.
#[test]
fn answers_are_found_on_either_way() {
    let options = AnswerOptions {
        most: 3,
        window: 24,
        overlap: Some(5),
        none: true,
        ..AnswerOptions::default()
    };
    for of in &answers().checkpoints {
        let name = &of.answers.checkpoint.name;
        let folder = of.answers.checkpoint.folder();
        let fast = AnswerFinder::load(folder.path(), &Device::Cpu).expect("fast");
        let plain = AnswerFinder::load_reference(folder.path(), &Device::Cpu).expect("plain");
        let compute = Compute::cpu(2);
        for case in &of.answers.questions {
            let ask = |finder: &AnswerFinder, options: &AnswerOptions| {
                let found = finder.answers(&compute, &case.question, &case.context, options);
                found.expect("a network").expect("room")
            };
            let golden = match &case.answers {
                serde_json::Value::Array(all) => &all[0],
                one => one,
            };
            let parameters = case.parameters.as_object().expect("some");
            if parameters.keys().all(|key| key == "top_k") {
                let most = parameters.get("top_k").and_then(serde_json::Value::as_u64);
                let asked = AnswerOptions {
                    most: most.unwrap_or(1) as usize,
                    ..AnswerOptions::default()
                };
                let first = &ask(&fast, &asked)[0];
                let read = &case.context[first.place.clone()];
                assert_eq!(golden["answer"], read, "{name}: {}", case.context);
                let score = golden["score"].as_f64().expect("a score");
                assert!((first.score - score).abs() < 1e-5, "{name}: {first:?}");
            }
            let (one, other) = (ask(&fast, &options), ask(&plain, &options));
            assert_eq!(one.len(), other.len(), "{name}: {}", case.context);
            for (one, other) in one.iter().zip(&other) {
                assert_eq!(one.place, other.place, "{name}: {}", case.context);
                assert!((one.score - other.score).abs() < 1e-5, "{name}: {one:?}");
            }
        }
        let narrow = AnswerOptions {
            window: 4,
            ..options
        };
        let none = fast.answers(&compute, "Who lived in London?", "Ada", &narrow);
        assert_eq!(none.expect("a network"), None);
        // Too long to be read at all, and just not.
        for (words, read) in [(100_000, false), (400, true)] {
            let long = "Ada ".repeat(words);
            let found = fast.answers(&compute, "Who?", &long, &AnswerOptions::default());
            assert_eq!(found.expect("a network").is_some(), read, "{words}");
        }
    }
}

/// What transformers says by the other strategies (`tests/golden/word_strategies.json`, made by `make_word_strategies.py`).
#[test]
fn strategies_are_those_of_transformers() {
    #[derive(serde::Deserialize)]
    struct Golden {
        checkpoints: Vec<Said>,
    }
    #[derive(serde::Deserialize)]
    struct Said {
        name: String,
        cases: Vec<Strategies>,
    }
    type Group = (String, f32, usize, usize);
    type Alone = (String, f32, usize, usize, usize, String);
    #[derive(serde::Deserialize)]
    struct Strategies {
        text: String,
        none: Option<Vec<Alone>>,
        simple: Vec<Group>,
        average: Vec<Group>,
        max: Vec<Group>,
    }
    let golden = include_str!("../../tests/golden/word_strategies.json");
    let golden: Golden = serde_json::from_str(golden).expect("golden");
    let compute = Compute::cpu(1);
    let (mut groups, mut tokens) = (0, 0);
    for said in &golden.checkpoints {
        let checkpoint = of_task("words").find(|one| one.name == said.name);
        let folder = checkpoint.expect("a checkpoint").folder();
        let classifier = TokenClassifier::load(folder.path(), &Device::Cpu).expect("loads");
        let answer = |text: &str, strategy| {
            let mut answers = classifier
                .classify_by(&compute, &[text], strategy)
                .expect("spans");
            answers.pop().expect("an answer").spans
        };
        for case in &said.cases {
            for (strategy, wanted) in [
                (Strategy::Simple, &case.simple),
                (Strategy::Average, &case.average),
                (Strategy::Max, &case.max),
            ] {
                let wanted = spans(&case.text, wanted);
                let got = answer(&case.text, strategy);
                let at = format!("{}, {strategy:?}: {got:?}\n{wanted:?}", said.name);
                assert_eq!(got.len(), wanted.len(), "{at}");
                for (got, want) in got.iter().zip(&wanted) {
                    assert!((got.score - want.score).abs() < 1e-5, "{at}");
                    let place = |span: &Span| (span.label.clone(), span.start, span.end);
                    assert_eq!(place(got), place(want), "{at}");
                }
                groups += wanted.len();
            }
            let Some(wanted) = &case.none else { continue };
            let got = answer(&case.text, Strategy::None);
            let at = format!("{}: {got:?}\n{wanted:?}", said.name);
            assert_eq!(got.len(), wanted.len(), "{at}");
            for (got, (label, score, start, end, index, text)) in got.iter().zip(wanted) {
                assert!((got.score - score).abs() < 1e-5, "{at}");
                let characters = |bytes| case.text[..bytes].chars().count();
                let token = got.token.as_ref().expect("a token");
                assert_eq!(
                    (&got.label, characters(got.start), characters(got.end)),
                    (label, *start, *end),
                    "{at}"
                );
                assert_eq!((&token.index, &token.text), (index, text), "{at}");
                tokens += 1;
            }
        }
    }
    assert!(groups > 900 && tokens > 300, "{groups}, {tokens}");
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
