//! Fuzzes fastText's reading of words and character n-grams.
#![no_main]

#[path = "../../tests/tokenizing/properties.rs"]
#[allow(dead_code)]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::fasttext(&String::from_utf8_lossy(data)));
