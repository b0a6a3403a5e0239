//! The numbers that scripts beside golden files and tests both make, so that no weights need to be stored.

/// `count` numbers in [-0.5, 0.5): FNV-1a of the name, then SplitMix64 of that plus the element's number.
pub fn value(name: &str, count: usize) -> impl Iterator<Item = f32> {
    let seed = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    (1..=count as u64).map(move |number| {
        let mut state = seed.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        state ^= state >> 31;
        ((state >> 40) as f64 / f64::from(1 << 24) - 0.5) as f32
    })
}
