//! What decoding keeps to, whatever the bytes. The test beside this file calls it on the seeds and on what becomes of
//! them, the target in `pipelines/fuzz` on what libFuzzer comes up with.

use super::decode::{Alone, Detail, ImageLimits, decode, decode_for, dimensions};
use super::error::Kind;

/// Small, so that a claimed size is refused instead of taking long.
pub const LIMITS: ImageLimits = ImageLimits {
    max_bytes: 1 << 20,
    max_pixels: 1 << 20,
    max_side: 4096,
    min_side: 1,
};

/// Decodes, whole and smaller.
///
/// # Panics
/// When something does not hold.
pub fn decoding(bytes: &[u8]) {
    let whole = decode(bytes, &LIMITS);
    let cost = LIMITS.cost(bytes);
    match &whole {
        Ok(pixels) => {
            let (width, height) = pixels.dimensions();
            assert!(width > 0 && height > 0, "{width} x {height}");
            let count = u64::from(width) * u64::from(height);
            assert!(count <= LIMITS.max_pixels && count <= cost);
            let stored = dimensions(bytes).expect("it was decoded");
            assert!([(width, height), (height, width)].contains(&stored));
        }
        Err(error) => {
            use Kind::{InvalidImage, InvalidInput, TooLarge};
            assert!(
                matches!(error.kind(), InvalidImage | TooLarge | InvalidInput),
                "{error:?}"
            );
            assert!(!error.message().is_empty());
        }
    }
    for detail in [Detail::Shorter(1), Detail::Shorter(40), Detail::Longer(100)] {
        let (Ok(whole), small) = (&whole, decode_for(bytes, &LIMITS, detail, &Alone)) else {
            continue;
        };
        let small = small.expect("what can be decoded can be made smaller");
        assert_eq!((small.width, small.height), whole.dimensions());
        let by = [1, 2, 4, 8].into_iter().find(|by| {
            let size = (small.width.div_ceil(*by), small.height.div_ceil(*by));
            size == small.pixels.dimensions()
        });
        let by = by.expect("a size that was not asked for");
        let (shorter, longer) = (small.width.min(small.height), small.width.max(small.height));
        let enough = match detail {
            Detail::Whole => false,
            Detail::Shorter(least) => shorter.div_ceil(by) >= least,
            Detail::Longer(least) => longer.div_ceil(by) >= least,
        };
        assert!(
            by == 1 || enough,
            "{detail:?}: {:?}",
            small.pixels.dimensions()
        );
    }
}
