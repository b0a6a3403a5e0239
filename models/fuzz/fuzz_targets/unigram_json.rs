//! Fuzzes the unigram model of `tokenizer.json`, XLM-RoBERTa's tokenizer.
#![no_main]

#[path = "../../tests/tokenizing/properties.rs"]
#[allow(dead_code)]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::unigram_json(&String::from_utf8_lossy(data)));
