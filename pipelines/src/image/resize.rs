//! The pixels a network was trained on: centre crop and Pillow's antialiased resampling, bicubic and bilinear.
//!
//! Reference: `src/libImaging/Resample.c` of Pillow, the path for 8-bit channels. Coefficients are
//! computed in f64, normalised, and rounded to fixed point with 22 fractional bits; a horizontal pass writes
//! 8-bit pixels, a vertical pass reads them. All of it is integer arithmetic from there, so the result
//! equals Pillow's byte for byte.

use image::RgbImage;

/// Fractional bits of a coefficient: 32 less 8 for the pixel and 2 for the overshoot of a bicubic.
const PRECISION: u32 = 22;
/// Pixels that one step of the horizontal pass weighs.
const STEP: usize = 4;
/// Bytes that it reads; those behind its pixels count nothing.
const READ: usize = 16;

/// A rectangle of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// Column of its first pixel.
    pub left: u32,
    /// Row of its first pixel.
    pub top: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Crop {
    /// The whole of a `width` x `height` image.
    pub fn whole(width: u32, height: u32) -> Self {
        Self {
            left: 0,
            top: 0,
            width,
            height,
        }
    }

    /// The centre square of EfficientNet's evaluation: of side `floor(target / (target + 32) * shorter side)`
    /// (at least one pixel), a half pixel going to the right and down.
    ///
    /// ```
    /// # use escala_pipelines::image::resize::Crop;
    /// assert_eq!(Crop::centre(451, 300, 224), Crop { left: 95, top: 19, width: 262, height: 262 });
    /// ```
    pub fn centre(width: u32, height: u32, target: u32) -> Self {
        let shorter = u64::from(width.min(height));
        let side = (shorter * u64::from(target) / (u64::from(target) + 32)).max(1) as u32;
        Self {
            left: (width - side).div_ceil(2),
            top: (height - side).div_ceil(2),
            width: side,
            height: side,
        }
    }
}

/// For each output position: where its window starts and its weights, `taps` apart.
struct Windows {
    starts: Vec<usize>,
    lengths: Vec<usize>,
    weights: Vec<i32>,
    taps: usize,
}

/// Keys' cubic kernel with a = -0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// How much a sample counts by its distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    Bicubic,
    Bilinear,
}

impl Filter {
    /// The distance from which on samples do not count.
    fn support(self) -> f64 {
        match self {
            Self::Bicubic => 2.0,
            Self::Bilinear => 1.0,
        }
    }

    fn weight(self, distance: f64) -> f64 {
        match self {
            Self::Bicubic => cubic(distance),
            Self::Bilinear => (1.0 - distance.abs()).max(0.0),
        }
    }
}

/// Weights for resampling `from` samples to `to`.
fn windows(from: usize, to: usize, filter: Filter) -> Windows {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    let taps = support.ceil() as usize * 2 + 1;
    let mut result = Windows {
        starts: Vec::with_capacity(to),
        lengths: Vec::with_capacity(to),
        weights: vec![0; to * taps],
        taps,
    };
    let mut exact = Vec::with_capacity(taps);
    for position in 0..to {
        let centre = (position as f64 + 0.5) * scale;
        // As casts to `int`: towards zero, and never negative after the clamp.
        let start = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        exact.clear();
        exact.extend(
            (start..end)
                .map(|sample| filter.weight((sample as f64 - centre + 0.5) * (1.0 / stretch))),
        );
        let sum: f64 = exact.iter().sum();
        for (weight, exact) in result.weights[position * taps..].iter_mut().zip(&exact) {
            let scaled = exact / sum * f64::from(1u32 << PRECISION);
            // Rounded half away from zero, by truncation as in C.
            *weight = if scaled < 0.0 {
                scaled - 0.5
            } else {
                scaled + 0.5
            } as i32;
        }
        result.starts.push(start);
        result.lengths.push(end - start);
    }
    result
}

fn clip(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

const HALF: i32 = 1 << (PRECISION - 1);

/// Resamples `crop` of `image` to `width` x `height`; pixels outside the crop are not read, so the result is
/// that of cropping first.
///
/// # Panics
/// When the crop is empty or reaches outside the image, or the size asked for is empty.
pub fn bicubic(image: &RgbImage, crop: Crop, width: u32, height: u32) -> RgbImage {
    resample(image, crop, width, height, Filter::Bicubic)
}

/// As [`bicubic`], with Pillow's bilinear filter, which is antialiased too.
///
/// # Panics
/// As [`bicubic`].
pub fn bilinear(image: &RgbImage, crop: Crop, width: u32, height: u32) -> RgbImage {
    resample(image, crop, width, height, Filter::Bilinear)
}

fn resample(image: &RgbImage, crop: Crop, width: u32, height: u32, filter: Filter) -> RgbImage {
    assert!(
        crop.width > 0 && crop.height > 0 && width > 0 && height > 0,
        "nothing to resample"
    );
    assert!(
        u64::from(crop.left) + u64::from(crop.width) <= u64::from(image.width())
            && u64::from(crop.top) + u64::from(crop.height) <= u64::from(image.height()),
        "the crop is within the image"
    );
    let stride = image.width() as usize * 3;
    let (left, top) = (crop.left as usize, crop.top as usize);
    let row_bytes = crop.width as usize * 3;
    let narrow = width as usize * 3;
    let rows = crop.height as usize;

    let mut between = vec![0u8; rows * narrow];
    let pixels = image.as_raw();
    let source = |row: usize| {
        let start = (top + row) * stride + left * 3;
        &pixels[start..start + row_bytes]
    };
    if crop.width == width {
        for (row, to) in between.chunks_exact_mut(narrow).enumerate() {
            to.copy_from_slice(source(row));
        }
    } else {
        let lanes = Lanes::new(&windows(crop.width as usize, width as usize, filter));
        // The last window may read past the row's end, with weights of zero.
        let mut padded = vec![0u8; row_bytes + lanes.steps * READ];
        for (row, to) in between.chunks_exact_mut(narrow).enumerate() {
            padded[..row_bytes].copy_from_slice(source(row));
            lanes.apply(&padded, to);
        }
    }
    let out = if crop.height == height {
        between
    } else {
        vertical(&between, narrow, rows, height as usize, filter)
    };
    RgbImage::from_raw(width, height, out).expect("three bytes for each pixel were written")
}

/// The horizontal weights, padded to whole steps and laid out as the products are summed.
///
/// A weight is `high * 2^15 + low` with `low` below 2^15, so that 16-bit products, of which two are summed at once, give
/// the same sum as products of 32 bits.
struct Lanes {
    /// First byte of each window.
    starts: Vec<usize>,
    weights: Vec<Weights>,
    steps: usize,
}

/// The parts of four weights, each three times for the channels: of the first and second pixel in turns, two numbers of no
/// use, then of the third and fourth.
#[derive(Clone, Copy, Default)]
struct Weights {
    low: [i16; 16],
    high: [i16; 16],
}

impl Weights {
    /// Weighs the pixel `place` of a step.
    fn set(&mut self, place: usize, weight: i32) {
        for channel in 0..3 {
            let lane = place / 2 * 8 + channel * 2 + place % 2;
            self.low[lane] = (weight & 0x7fff) as i16;
            self.high[lane] = (weight >> 15) as i16;
        }
    }
}

impl Lanes {
    fn new(windows: &Windows) -> Self {
        let longest = windows.lengths.iter().copied().max().unwrap_or(0);
        let steps = longest.div_ceil(STEP);
        let mut weights = vec![Weights::default(); windows.starts.len() * steps];
        for (position, &length) in windows.lengths.iter().enumerate() {
            for pixel in 0..length {
                weights[position * steps + pixel / STEP].set(
                    pixel % STEP,
                    windows.weights[position * windows.taps + pixel],
                );
            }
        }
        Self {
            starts: windows.starts.iter().map(|start| start * 3).collect(),
            weights,
            steps,
        }
    }

    fn apply(&self, row: &[u8], out: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { self.apply_avx2(row, out) };
        }
        self.apply_portable(row, out);
    }

    /// As the portable code, four pixels at once.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn apply_avx2(&self, row: &[u8], out: &mut [u8]) {
        use std::arch::x86_64::{
            __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_loadu_si128, _mm_packs_epi32,
            _mm_packus_epi16, _mm_set1_epi32, _mm_srai_epi32, _mm256_add_epi32,
            _mm256_broadcastsi128_si256, _mm256_castsi256_si128, _mm256_extracti128_si256,
            _mm256_loadu_si256, _mm256_madd_epi16, _mm256_setr_epi8, _mm256_setzero_si256,
            _mm256_shuffle_epi8, _mm256_slli_epi32,
        };
        // Bytes of the lanes of `Weights`, each with a zero to 16 bits.
        let order = _mm256_setr_epi8(
            0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, //
            6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1,
        );
        let load = |from: &[i16; 16]| -> __m256i {
            // SAFETY: 32 bytes are read of an array of as many; no alignment is needed.
            unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
        };
        let windows = self
            .starts
            .iter()
            .zip(self.weights.chunks_exact(self.steps));
        for (to, (&start, weights)) in out.chunks_exact_mut(3).zip(windows) {
            let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
            // One slice for the whole window, so that steps are not checked each.
            let bytes = &row[start..start + 3 * STEP * (weights.len() - 1) + READ];
            for (step, weights) in weights.iter().enumerate() {
                // SAFETY: 16 bytes are read from `3 * STEP * step`, of a slice that goes on for 16 bytes behind the place of
                // the last step; no alignment is needed.
                let bytes = unsafe { _mm_loadu_si128(bytes.as_ptr().add(3 * STEP * step).cast()) };
                let pixels = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), order);
                low = _mm256_add_epi32(low, _mm256_madd_epi16(pixels, load(&weights.low)));
                high = _mm256_add_epi32(high, _mm256_madd_epi16(pixels, load(&weights.high)));
            }
            let sums = _mm256_add_epi32(_mm256_slli_epi32::<15>(high), low);
            let sums = _mm_add_epi32(
                _mm256_castsi256_si128(sums),
                _mm256_extracti128_si256::<1>(sums),
            );
            let sums = _mm_add_epi32(sums, _mm_set1_epi32(HALF));
            let values = _mm_srai_epi32::<{ PRECISION as i32 }>(sums);
            let values = _mm_packs_epi32(values, values);
            let values = _mm_cvtsi128_si32(_mm_packus_epi16(values, values)).to_le_bytes();
            to.copy_from_slice(&values[..3]);
        }
    }

    fn apply_portable(&self, row: &[u8], out: &mut [u8]) {
        let windows = self
            .starts
            .iter()
            .zip(self.weights.chunks_exact(self.steps));
        for (to, (&start, weights)) in out.chunks_exact_mut(3).zip(windows) {
            let mut sums = [HALF; 3];
            for (pixels, weights) in row[start..].chunks_exact(3 * STEP).zip(weights) {
                for (place, pixel) in pixels.as_chunks::<3>().0.iter().enumerate() {
                    let lane = place / 2 * 8 + place % 2;
                    let weight = i32::from(weights.high[lane]) << 15 | i32::from(weights.low[lane]);
                    for (sum, &value) in sums.iter_mut().zip(pixel) {
                        *sum += i32::from(value) * weight;
                    }
                }
            }
            to.copy_from_slice(&sums.map(clip));
        }
    }
}

fn vertical(
    between: &[u8],
    row_bytes: usize,
    rows: usize,
    height: usize,
    filter: Filter,
) -> Vec<u8> {
    let windows = windows(rows, height, filter);
    let mut out = vec![0u8; height * row_bytes];
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { down_avx2(between, row_bytes, &windows, &mut out) };
        return out;
    }
    down(between, row_bytes, &windows, &mut out);
    out
}

/// The portable code, compiled for wider registers: SSE2 has no 32-bit product.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn down_avx2(between: &[u8], row_bytes: usize, windows: &Windows, out: &mut [u8]) {
    down(between, row_bytes, windows, out);
}

#[inline(always)]
fn down(between: &[u8], row_bytes: usize, windows: &Windows, out: &mut [u8]) {
    let mut sums = vec![0i32; row_bytes];
    for (position, to) in out.chunks_exact_mut(row_bytes).enumerate() {
        sums.fill(HALF);
        let from = between[windows.starts[position] * row_bytes..].chunks_exact(row_bytes);
        let weights = &windows.weights[position * windows.taps..][..windows.lengths[position]];
        for (row, &weight) in from.zip(weights) {
            for (sum, &byte) in sums.iter_mut().zip(row) {
                *sum += i32::from(byte) * weight;
            }
        }
        for (to, &sum) in to.iter_mut().zip(&sums) {
            *to = clip(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::decode::{ImageLimits, decode};
    use image::Rgb;
    use proptest::prelude::*;

    fn golden(name: &str) -> RgbImage {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/golden/images")
            .join(name);
        let bytes =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        decode(&bytes, &ImageLimits::default()).unwrap()
    }

    #[test]
    fn crops_and_pixels_are_those_of_the_reference() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/golden/efficientnet_lite0.json");
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut compared = 0;
        for item in json["items"].as_array().unwrap() {
            let name = item["image"].as_str().unwrap();
            // The reference also ran on a picture that is not kept here.
            if !["chelsea.png", "coffee.png", "grace_hopper.jpg"].contains(&name) {
                continue;
            }
            let image = golden(name);
            let crop = Crop::centre(image.width(), image.height(), 224);
            let corners = [
                crop.left,
                crop.top,
                crop.left + crop.width,
                crop.top + crop.height,
            ];
            let expected: Vec<u32> = serde_json::from_value(item["crop_box"].clone()).unwrap();
            assert_eq!(corners.as_slice(), expected, "{name}");

            let expected = golden(
                item["input_png"]
                    .as_str()
                    .unwrap()
                    .trim_start_matches("images/"),
            );
            let resized = bicubic(&image, crop, 224, 224);
            assert!(resized == expected, "{name}");
            compared += 1;
        }
        assert_eq!(compared, 3);
    }

    /// The definition, pixel by pixel, without lanes or padding.
    fn slow(image: &RgbImage, crop: Crop, width: u32, height: u32, filter: Filter) -> RgbImage {
        let pass = |from: &dyn Fn(u32) -> Rgb<u8>, windows: &Windows, position: usize| {
            let mut sums = [i64::from(HALF); 3];
            for tap in 0..windows.lengths[position] {
                let pixel = from((windows.starts[position] + tap) as u32);
                let weight = i64::from(windows.weights[position * windows.taps + tap]);
                for (sum, value) in sums.iter_mut().zip(pixel.0) {
                    *sum += i64::from(value) * weight;
                }
            }
            Rgb(sums.map(|sum| (sum >> PRECISION).clamp(0, 255) as u8))
        };
        let across = windows(crop.width as usize, width as usize, filter);
        let between = RgbImage::from_fn(width, crop.height, |x, y| {
            pass(
                &|column| *image.get_pixel(crop.left + column, crop.top + y),
                &across,
                x as usize,
            )
        });
        let down = windows(crop.height as usize, height as usize, filter);
        RgbImage::from_fn(width, height, |x, y| {
            pass(&|row| *between.get_pixel(x, row), &down, y as usize)
        })
    }

    #[test]
    fn both_kernels_agree() {
        for (from, to) in [(1, 7), (40, 7), (262, 224), (301, 64), (2000, 224)] {
            let lanes = Lanes::new(&windows(from, to, Filter::Bicubic));
            let row: Vec<u8> = (0..from * 3 + lanes.steps * READ)
                .map(|i| (i * i * 31 % 251) as u8)
                .collect();
            let (mut chosen, mut portable) = (vec![0; to * 3], vec![0; to * 3]);
            lanes.apply(&row, &mut chosen);
            lanes.apply_portable(&row, &mut portable);
            assert_eq!(chosen, portable, "{from} to {to}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn fast_equals_slow_and_stays_in_the_crop(
            (width, height) in (1u32..70, 1u32..70),
            (to_width, to_height) in (1u32..40, 1u32..40),
            (left, top, right, bottom) in (0u32..20, 0u32..20, 0u32..20, 0u32..20),
            seed in any::<u32>(),
        ) {
            let full = (width + left + right, height + top + bottom);
            let noise = |x: u32, y: u32, channel: u32| {
                ((x * 31 + y * 17 + channel * 7).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13) as u8
            };
            let image = RgbImage::from_fn(full.0, full.1, |x, y| Rgb([noise(x, y, 0), noise(x, y, 1), noise(x, y, 2)]));
            let crop = Crop { left, top, width, height };
            let fast = bicubic(&image, crop, to_width, to_height);
            prop_assert_eq!(&fast, &slow(&image, crop, to_width, to_height, Filter::Bicubic));
            let linear = bilinear(&image, crop, to_width, to_height);
            prop_assert_eq!(&linear, &slow(&image, crop, to_width, to_height, Filter::Bilinear));
            let alone = image::imageops::crop_imm(&image, left, top, width, height).to_image();
            prop_assert_eq!(&fast, &bicubic(&alone, Crop::whole(width, height), to_width, to_height));
        }

        #[test]
        fn one_colour_stays_one_colour(colour in any::<[u8; 3]>(), side in 1u32..300) {
            let image = RgbImage::from_pixel(side, side, Rgb(colour));
            let resized = bicubic(&image, Crop::whole(side, side), 64, 64);
            prop_assert!(resized.pixels().all(|pixel| pixel.0 == colour));
        }
    }

    #[test]
    fn the_crop_of_any_size_is_within_the_image() {
        for (width, height) in [
            (1, 1),
            (1, 5),
            (2, 1),
            (3, 3),
            (80, 10_000),
            (10_000, 80),
            (255, 256),
        ] {
            let crop = Crop::centre(width, height, 224);
            assert!(
                crop.width >= 1
                    && crop.left + crop.width <= width
                    && crop.top + crop.height <= height
            );
        }
    }
}
