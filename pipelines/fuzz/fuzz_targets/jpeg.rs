//! Fuzzes the decoder of JPEG alone, where nothing else may answer in its place.
#![no_main]
#![allow(dead_code)]

#[path = "../../src/image/jpeg/mod.rs"]
mod jpeg;

use jpeg::{Alone, Header, Threads, decode};

/// One thread that does the work of two, one after the other.
struct Turns;

impl Threads for Turns {
    fn count(&self) -> usize {
        2
    }

    fn run(&self, work: &(dyn Fn(usize) + Sync)) {
        work(0);
        work(1);
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // A quarter of a megapixel; the last byte says how much smaller.
    let limit = 1 << 20;
    let divisor = 1 << (data.last().copied().unwrap_or_default() & 3);
    let alone = decode(data, divisor, limit, &Alone);
    assert!(
        alone == decode(data, divisor, limit, &Turns),
        "threads disagree"
    );
    if let Some(pixels) = alone {
        let header = Header::read(data).expect("it was decoded");
        let side = |side: u32| (side as usize).div_ceil(divisor);
        assert_eq!(pixels.len(), 3 * side(header.width) * side(header.height));
    }
});
