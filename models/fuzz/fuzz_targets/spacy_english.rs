//! Fuzzes spaCy's English tokenizer (pulls `en-core-web-sm`).
#![no_main]

#[path = "../../tests/tokenizing/properties.rs"]
#[allow(dead_code)]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::spacy_english(&String::from_utf8_lossy(data)));
