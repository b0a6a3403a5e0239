//! The tokenizers keep to `properties.rs` on the texts of `models/fuzz/seeds` and on generated ones. The targets in
//! `models/fuzz` search further; what they find becomes a seed.

mod properties;

use proptest::prelude::*;

/// Every tokenizer on one text.
fn check(text: &str) {
    for property in [
        properties::wordpiece,
        properties::unigram,
        properties::unigram_json,
        properties::byte_bpe,
        properties::spacy_english,
        properties::spacy_spanish,
        properties::fasttext,
        properties::keras,
    ] {
        property(text);
    }
}

#[test]
fn every_seed_keeps_the_properties() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds");
    let mut read = 0;
    for entry in std::fs::read_dir(seeds).expect("seeds") {
        let bytes = std::fs::read(entry.expect("a seed").path()).expect("a seed");
        // As the targets do.
        let text = String::from_utf8_lossy(&bytes);
        check(&text);
        // Long, with seams between what does not belong together.
        check(&text.repeat(1 + 8000 / text.len().max(1)));
        read += 1;
    }
    assert!(read >= 20, "{read} seeds");
}

/// Pieces that tokenizers treat in ways of their own.
fn odd() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        any::<char>().prop_map(String::from),
        "[a-zA-Zéñß]{1,8}",
        "[ \t\r\n\u{b}\u{c}\u{0}\u{a0}\u{2028}\u{3000}\u{200b}]{1,3}",
        "[-.,:;!?'\"()/@#$%&*+=<>~^_…—’½ﬁ]{1,4}",
        "[a-z]{1,3}[\u{300}-\u{304}\u{307}\u{345}]{1,3}",
        prop_oneof![
            Just("ΑΣ"),
            Just("İ"),
            Just("ﷺ"),
            Just("👩🏽‍🚀"),
            Just("🇪🇸"),
            Just("각"),
            Just("각"),
            Just("中文"),
            Just("</s>"),
            Just("[SEP]"),
            Just("<mask>"),
            Just("▁"),
            Just("Ġ"),
            Just("##a"),
            Just("don't"),
            Just("http://a.b/c?d"),
            Just("a@b.es"),
            Just("EE.UU."),
            Just(":-)"),
            Just("\u{fffd}"),
            Just("\u{feff}"),
        ]
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn every_text_keeps_the_properties(parts in proptest::collection::vec(odd(), 0..24)) {
        check(&parts.concat());
    }
}
