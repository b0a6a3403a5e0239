//! The decoder's pixels beside libjpeg-turbo's, its vector code beside the portable, and files that are damaged or ask for too
//! much.

use super::*;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::sync::OnceLock;

const LIMIT: u64 = 1 << 28;

/// Two threads, which do what a team's do.
struct Pair;

impl Threads for Pair {
    fn count(&self) -> usize {
        2
    }

    fn run(&self, work: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            scope.spawn(|| work(1));
            work(0);
        });
    }
}

struct Case {
    name: String,
    file: Vec<u8>,
    /// Of the pixels divided by 1, 2, 4 and 8.
    digests: Vec<String>,
}

/// What libjpeg-turbo makes of files of all kinds.
fn golden() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/jpeg.json");
        let golden = std::fs::read(path).expect("golden");
        let golden: serde_json::Value = serde_json::from_slice(&golden).expect("json");
        let cases = golden["cases"].as_array().expect("cases").iter();
        let case = |case: &serde_json::Value| Case {
            name: case["name"].as_str().expect("a name").to_owned(),
            file: BASE64_STANDARD
                .decode(case["file"].as_str().expect("a file"))
                .expect("base64"),
            digests: serde_json::from_value(case["sha256"].clone()).expect("digests"),
        };
        cases.map(case).collect()
    })
}

fn digest(pixels: &[u8]) -> String {
    let digest = Sha256::digest(pixels);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn pixels_are_those_of_libjpeg_turbo() {
    assert!(golden().len() > 70);
    for case in golden() {
        for (divisor, wanted) in [1, 2, 4, 8].into_iter().zip(&case.digests) {
            for (threads, name) in [(&Alone as &dyn Threads, "one"), (&Pair, "two")] {
                let pixels = decode(&case.file, divisor, LIMIT, threads).expect(&case.name);
                let found = digest(&pixels);
                assert_eq!(&found, wanted, "{} / {divisor}, threads: {name}", case.name);
            }
        }
    }
}

#[test]
fn what_ends_early_is_none_at_every_length() {
    for name in [
        "baseline 4:2:0 33x17",
        "progressive 4:2:0 33x17",
        "written, a scan each",
    ] {
        let case = golden().iter().find(|case| case.name == name);
        let file = &case.expect("it is there").file;
        for length in 0..file.len() {
            assert_eq!(
                decode(&file[..length], 1, LIMIT, &Alone),
                None,
                "{name}: {length}"
            );
        }
    }
}

#[test]
fn both_halves_of_a_photograph_meet() {
    let name = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/golden/images/grace_hopper.jpg"
    );
    let hopper = std::fs::read(name).expect("a photograph");
    let mut large = Vec::new();
    let noise = numbers(11);
    let picture = image::RgbImage::from_vec(
        700,
        500,
        std::iter::repeat_with(noise)
            .map(|n| n as u8)
            .take(3 * 700 * 500)
            .collect(),
    );
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut large, 60)
        .encode_image(&picture.expect("enough pixels"))
        .expect("JPEG");
    for file in [hopper, large] {
        for divisor in [2, 4, 8] {
            let alone = decode(&file, divisor, LIMIT, &Alone).expect("pixels");
            halves::MET.set(0);
            let pair = decode(&file, divisor, LIMIT, &Pair).expect("pixels");
            assert!(alone == pair, "{divisor}");
            assert_eq!(halves::MET.get(), 1, "{divisor}");
        }
    }
}

#[test]
fn bytes_between_and_behind_change_nothing() {
    let case = &golden()[0];
    let [mut filled, mut behind] = [case.file.clone(), case.file.clone()];
    // Fill bytes before the first segment, and what a viewer never reads.
    filled.splice(2..2, [0xff; 9]);
    behind.extend(b"behind");
    for file in [filled, behind] {
        let pixels = decode(&file, 1, LIMIT, &Alone).expect("pixels");
        assert_eq!(digest(&pixels), case.digests[0]);
    }
}

#[test]
fn what_needs_too_much_is_none() {
    for name in ["progressive 4:2:0 97x81", "baseline 4:2:0 97x81"] {
        let case = golden().iter().find(|case| case.name == name);
        let file = &case.expect("it is there").file;
        let pixels = 97 * 81 * 3;
        assert_eq!(decode(file, 1, pixels, &Alone), None, "{name}");
        assert!(decode(file, 1, 10 * pixels, &Alone).is_some(), "{name}");
    }
}

/// Numbers that look random, the same each time.
fn numbers(seed: u64) -> impl FnMut() -> u32 {
    let mut state = seed | 1;
    move || {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }
}

#[test]
fn vector_code_transforms_as_the_portable() {
    let mut next = numbers(3);
    for round in 0..3000 {
        let mut blocks = [0_i16; 256];
        // From a single coefficient to all, from small ones to such as no encoder writes.
        let (count, large) = (1 + round % 70, round / 70 % 16);
        for block in blocks.as_chunks_mut::<64>().0 {
            block[0] = (next() as i16) >> (15 - large);
            for _ in 1..count.min(next() as usize % 64 + 1) {
                block[next() as usize % 64] = (next() as i16) >> (15 - large);
            }
        }
        let wild = round % 3 == 0;
        let quantizer = std::array::from_fn(|_| {
            if wild {
                next() as u16
            } else {
                1 + next() as u16 % 40
            }
        });
        for size in [8, 4, 2, 1] {
            let (mut chosen, mut portable) = (vec![0; 4 * size * size], vec![0; 4 * size * size]);
            transform::transform(size, &blocks, &quantizer, &mut chosen);
            transform::transform_portable(size, &blocks, &quantizer, &mut portable);
            assert_eq!(
                chosen, portable,
                "{size}, round {round}: {blocks:?} {quantizer:?}"
            );
        }
    }
}

#[test]
fn vector_code_makes_colours_as_the_portable() {
    let mut next = numbers(5);
    for width in [1, 31, 32, 33, 100, 4096] {
        let mut row = || (0..width).map(|_| (next() >> 9) as u8).collect::<Vec<u8>>();
        let (luma, blue, red) = (row(), row(), row());
        let (mut chosen, mut portable) = (vec![0; 3 * width], vec![0; 3 * width]);
        colour::from_ycbcr(&luma, &blue, &red, &mut chosen);
        colour::from_ycbcr_portable(&luma, &blue, &red, &mut portable);
        assert_eq!(chosen, portable, "{width}");
    }
    // Every pair of colour differences.
    let all: Vec<u8> = (0..=255).collect();
    for blue in 0..=255 {
        let (luma, blue) = ([90; 256], [blue; 256]);
        let (mut chosen, mut portable) = ([0; 768], [0; 768]);
        colour::from_ycbcr(&luma, &blue, &all, &mut chosen);
        colour::from_ycbcr_portable(&luma, &blue, &all, &mut portable);
        assert_eq!(chosen, portable);
    }
}

#[test]
fn vector_code_upsamples_as_the_portable() {
    use upsample::{Upsampling, upsample, upsample_portable};
    let mut next = numbers(7);
    for width in [1, 2, 3, 17, 64, 1000] {
        let mut row = || (0..width).map(|_| next() as u8).collect::<Vec<u8>>();
        let (near, far) = (row(), row());
        for way in [
            Upsampling::Across,
            Upsampling::Down,
            Upsampling::Both,
            Upsampling::Repeat(1),
            Upsampling::Repeat(2),
            Upsampling::Repeat(4),
        ] {
            for place in 0..2 {
                let (mut chosen, mut portable) = (vec![0; 4 * width], vec![0; 4 * width]);
                let mut sums = vec![0; width + 2];
                upsample(way, (&near, &far), place, &mut chosen, &mut sums);
                upsample_portable(way, (&near, &far), place, &mut portable, &mut sums);
                assert_eq!(chosen, portable, "{way:?}, {width}");
            }
        }
    }
}

/// A restart marker in a scan that has none: what is behind it is not read, by two threads either.
#[test]
fn codes_behind_a_marker_that_does_not_belong_there_are_nobodys() {
    let mut seen = 0;
    for case in golden() {
        let stuffed = |pair: &[u8]| pair == [0xff, 0];
        let places = case.file.windows(2).enumerate();
        for (place, _) in places.filter(|(_, pair)| stuffed(pair)).take(3) {
            let mut file = case.file.clone();
            file[place + 1] = 0xd0;
            for divisor in [2, 8] {
                let alone = decode(&file, divisor, 1 << 22, &Alone);
                let pair = decode(&file, divisor, 1 << 22, &Pair);
                assert!(alone == pair, "{}, {place}", case.name);
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen} are too few to mean much");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2000)
    ))]

    #[test]
    fn damaged_files_never_panic_and_threads_agree(
        case in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        divisor in prop::sample::select(vec![1, 2, 4, 8]),
    ) {
        let mut file = golden()[case.index(golden().len())].file.clone();
        for (place, value) in flips {
            let place = place.index(file.len());
            file[place] = value;
        }
        // Small: a flipped size is refused instead of making the test slow.
        let limit = 1 << 22;
        let alone = decode(&file, divisor, limit, &Alone);
        let pair = decode(&file, divisor, limit, &Pair);
        prop_assert!(alone == pair);
        if let Some(pixels) = alone {
            let header = Header::read(&file).expect("it was decoded");
            let size = |side: u32| (side as usize).div_ceil(divisor);
            prop_assert_eq!(pixels.len(), 3 * size(header.width) * size(header.height));
        }
    }
}
