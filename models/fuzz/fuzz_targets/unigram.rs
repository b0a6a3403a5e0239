//! Fuzzes our unigram model over tables, multilingual-e5's tokenizer.
#![no_main]

#[path = "../../tests/tokenizing/properties.rs"]
#[allow(dead_code)]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::unigram(&String::from_utf8_lossy(data)));
