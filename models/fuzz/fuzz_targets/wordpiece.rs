//! Fuzzes WordPiece, BERT's tokenizer.
#![no_main]

#[path = "../../tests/tokenizing/properties.rs"]
#[allow(dead_code)]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::wordpiece(&String::from_utf8_lossy(data)));
