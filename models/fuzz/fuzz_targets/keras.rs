//! Fuzzes the tokenizer of Keras, the toxicity model's.
#![no_main]

#[path = "../../tests/tokenizing/properties.rs"]
#[allow(dead_code)]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::keras(&String::from_utf8_lossy(data)));
