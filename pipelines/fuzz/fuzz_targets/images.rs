//! Fuzzes the decoding of images: headers, limits, EXIF, the smaller ways of JPEG.
#![no_main]
#![allow(dead_code)]

#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/image/decode.rs"]
mod decode;
#[path = "../../tests/images/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::decoding(data));
