//! Decoding keeps to `properties.rs` on odd and harmful files and on what becomes of them, and within a bound of memory.

#[path = "../../../tests/common/hostile.rs"]
mod hostile;
#[path = "../../../tests/common/images.rs"]
#[allow(dead_code)]
mod images;
mod properties;

use escala_pipelines::error;
use escala_pipelines::image::decode::{self, Alone, Detail, ImageLimits, decode_for};
use escala_pipelines::image::resize::{Crop, bicubic};
use image::RgbImage;
use proptest::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::OnceLock;

/// What decoding one file of [`properties::LIMITS`] may hold: pixels of 16 bytes, and as many for the way to them,
/// frames and canvases; the file itself and what its metadata unpack to.
const HELD_AT_MOST: isize = 64 << 20;

/// Counts what this thread holds and the most it held.
struct Counting;

thread_local! {
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(bytes: isize) {
    // A thread that is going away is not counted.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        held.set((now + bytes, most.max(now + bytes)));
    });
}

// SAFETY: everything is the system's; only numbers are kept.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// For the generators of files.
fn golden_image(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/images");
    std::fs::read(format!("{folder}/{name}")).expect("an image")
}

fn seeds() -> &'static [Vec<u8>] {
    static SEEDS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SEEDS.get_or_init(|| {
        let files = hostile::files().into_iter().map(|(_, bytes, _)| bytes);
        files.filter(|bytes| bytes.len() < 100_000).collect()
    })
}

fn check(bytes: &[u8]) {
    let before = HELD.with(|held| {
        let (now, _) = held.get();
        held.set((now, now));
        now
    });
    properties::decoding(bytes);
    let most = HELD.with(|held| held.get().1) - before;
    let format = image::guess_format(bytes).ok();
    assert!(most <= HELD_AT_MOST, "{most} bytes held by {format:?}");
}

#[test]
fn every_seed_keeps_the_properties() {
    assert!(seeds().len() > 50);
    for seed in seeds() {
        check(seed);
    }
}

#[test]
fn smaller_jpegs_are_those_of_libjpeg() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/golden/jpeg_draft.json"
    );
    let golden = std::fs::read_to_string(path).expect("golden");
    let golden: serde_json::Value = serde_json::from_str(&golden).expect("json");
    let bytes = golden_image(golden["image"].as_str().expect("a name"));
    let cases = golden["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 3);
    for case in cases {
        let size: (u32, u32) = serde_json::from_value(case["size"].clone()).expect("a size");
        let detail = Detail::Shorter(size.0.min(size.1));
        let small = decode_for(&bytes, &ImageLimits::default(), detail, &Alone).expect("an image");
        assert_eq!(small.pixels.dimensions(), size);
        assert_eq!((small.width, small.height), (512, 600));
        let at: Vec<u32> = serde_json::from_value(case["at"].clone()).expect("places");
        let pixels: Vec<[u8; 3]> = serde_json::from_value(case["pixels"].clone()).expect("pixels");
        for (at, wanted) in at.iter().zip(&pixels) {
            let found = small.pixels.get_pixel(at % size.0, at / size.0).0;
            assert_eq!(&found, wanted, "pixel {at} at {size:?}");
        }
    }
}

#[test]
fn networks_hardly_see_that_a_photograph_was_made_smaller() {
    let large = images::decoded("astronaut.png").resize_exact(
        3000,
        3000,
        image::imageops::FilterType::CatmullRom,
    );
    let bytes = images::jpeg(&large);
    let shown = |detail| {
        let decoded = decode_for(
            &bytes,
            &ImageLimits {
                max_bytes: 1 << 24,
                ..ImageLimits::default()
            },
            detail,
            &Alone,
        );
        let pixels = decoded.expect("an image").pixels;
        let crop = Crop::centre(pixels.width(), pixels.height(), 224);
        (pixels.width(), bicubic(&pixels, crop, 224, 224))
    };
    let (whole, small) = (shown(Detail::Whole), shown(Detail::Shorter(640)));
    assert_eq!((whole.0, small.0), (3000, 750));
    let mean = |a: &RgbImage, b: &RgbImage| {
        let sum: u32 = a
            .as_raw()
            .iter()
            .zip(b.as_raw())
            .map(|(&a, &b)| u32::from(a.abs_diff(b)))
            .sum();
        f64::from(sum) / a.as_raw().len() as f64
    };
    let difference = mean(&whole.1, &small.1);
    assert!(difference < 1.5, "{difference}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn damaged_seeds_keep_the_properties(
        seed in any::<prop::sample::Index>(),
        // Mostly near the front, where headers are.
        flips in prop::collection::vec((prop_oneof![0usize..200, any::<usize>()], any::<u8>()), 0..8),
        cut in 0.2f64..4.0,
    ) {
        let mut bytes = seeds()[seed.index(seeds().len())].clone();
        let length = bytes.len().max(1);
        for (at, value) in flips {
            if let Some(byte) = bytes.get_mut(at % length) {
                *byte = value;
            }
        }
        bytes.truncate((length as f64 * cut) as usize);
        check(&bytes);
    }
}
