//! Properties computed from pixels: dominant colours, brightness, sharpness, contrast.
//!
//! Rekognition documents what these figures mean but not their formulas; these are ours, each stated below,
//! and every figure lies between 0 and 100. All of them are deterministic. Foreground and background apart
//! would need a segmentation network; the figures are for the whole image.

use super::css_colors::{CSS_COLORS, CssColor};
use super::resize::{Crop, bicubic};
use image::RgbImage;
use ndarray::{Array1, Array2, ArrayView1, Axis};

/// Most dominant colours that can be asked for, as at Rekognition.
pub const MAX_DOMINANT_COLORS: usize = 20;
/// Dominant colours answered when nobody says how many.
pub const DEFAULT_DOMINANT_COLORS: usize = 10;

/// What Rekognition's `ImageProperties` holds for the whole image.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageProperties {
    /// Quality figures, each 0 to 100.
    pub quality: Quality,
    /// Most frequent first; no CSS colour twice.
    pub dominant_colors: Vec<DominantColor>,
}

/// Quality figures, each 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// Mean luma (BT.601), 100 being white.
    pub brightness: f32,
    /// Strength of edges at 512 pixels along the longer side: `100 * (1 - exp(-d / 15))` with `d` the standard
    /// deviation of the luma's Laplacian (the sum of four neighbours less four times the pixel).
    pub sharpness: f32,
    /// Spread of luma: the 95th percentile less the 5th, 100 being black to white.
    pub contrast: f32,
}

/// One dominant colour.
#[derive(Clone, Debug, PartialEq)]
pub struct DominantColor {
    /// Red, green, blue: the mean of the pixels counted here.
    pub rgb: [u8; 3],
    /// Nearest named CSS colour, such as `darkslategrey`.
    pub css_color: String,
    /// Red, green, blue of that named colour. Rekognition answers these as the colour's own values.
    pub css_rgb: [u8; 3],
    /// One of twelve simple colour names: black, blue, brown, cyan, green, grey, orange, pink, purple, red,
    /// white, yellow.
    pub simplified_color: String,
    /// Share of the image's pixels, 0 to 100.
    pub pixel_percent: f32,
}

/// Measures an image; answers at most `max_colors` dominant colours, and never more than
/// [`MAX_DOMINANT_COLORS`]. (No image has more than 16: that many clusters are sought.)
///
/// # Panics
/// When the image has no pixels, which [`super::decode`] never answers.
pub fn measure(image: &RgbImage, max_colors: usize) -> ImageProperties {
    let small = at_most(image, 512);
    ImageProperties {
        quality: quality(&small),
        dominant_colors: dominant_colors(image, max_colors.min(MAX_DOMINANT_COLORS)),
    }
}

/// The image with its longer side reduced to `side`; as it is when it is not longer.
fn at_most(image: &RgbImage, side: u32) -> std::borrow::Cow<'_, RgbImage> {
    let (width, height) = image.dimensions();
    let longer = width.max(height);
    if longer <= side {
        return std::borrow::Cow::Borrowed(image);
    }
    let scaled =
        |length: u32| ((u64::from(length) * u64::from(side) / u64::from(longer)) as u32).max(1);
    std::borrow::Cow::Owned(bicubic(
        image,
        Crop::whole(width, height),
        scaled(width),
        scaled(height),
    ))
}

fn quality(image: &RgbImage) -> Quality {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let luma = Array2::from_shape_fn((height, width), |(row, column)| {
        let [red, green, blue] = image.get_pixel(column as u32, row as u32).0;
        0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue)
    });
    let mut histogram = [0u64; 256];
    for &value in &luma {
        histogram[value.round().clamp(0.0, 255.0) as usize] += 1;
    }
    let percentile = |share: f64| {
        let wanted = (share * luma.len() as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let level = histogram.iter().position(|&count| {
            seen += count;
            seen >= wanted
        });
        level.unwrap_or(255) as f64
    };
    let mut laplacian = Vec::new();
    for row in 1..height.saturating_sub(1) {
        for column in 1..width.saturating_sub(1) {
            let around = luma[(row - 1, column)]
                + luma[(row + 1, column)]
                + luma[(row, column - 1)]
                + luma[(row, column + 1)];
            laplacian.push(around - 4.0 * luma[(row, column)]);
        }
    }
    // An image without inner pixels has no edges to measure.
    let deviation = if laplacian.is_empty() {
        0.0
    } else {
        Array1::from_vec(laplacian).std(0.0)
    };
    let percent = |value: f64| (100.0 * value).clamp(0.0, 100.0) as f32;
    Quality {
        brightness: percent(luma.mean().unwrap_or(0.0) / 255.0),
        sharpness: percent(1.0 - (-deviation / 15.0).exp()),
        contrast: percent((percentile(0.95) - percentile(0.05)) / 255.0),
    }
}

/// Pixels looked at for colours, along each side.
const GRID: u32 = 96;
/// Clusters before those of one name are joined.
const CLUSTERS: usize = 16;
/// Rounds of k-means; it settles in fewer on photographs.
const ROUNDS: usize = 12;
/// Squared distance under which two clusters are one colour (a just noticeable difference is about 2).
const SAME_COLOR: f32 = 6.0 * 6.0;

/// A fixed sequence of well mixed numbers (SplitMix64): the same image always gives the same answer.
struct Sequence(u64);

impl Sequence {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// One pixel from each cell of a grid, at a random place in its cell: unlike averages these are colours of
/// the image, and unlike a fixed place they do not fall into step with its patterns.
fn samples(image: &RgbImage, sequence: &mut Sequence) -> Vec<[u8; 3]> {
    let (width, height) = image.dimensions();
    let (columns, rows) = (width.min(GRID), height.min(GRID));
    let mut result = Vec::with_capacity((columns * rows) as usize);
    let edge = |cell: u32, cells: u32, length: u32| {
        (u64::from(cell) * u64::from(length) / u64::from(cells)) as u32
    };
    for row in 0..rows {
        let (top, bottom) = (edge(row, rows, height), edge(row + 1, rows, height));
        for column in 0..columns {
            let (left, right) = (
                edge(column, columns, width),
                edge(column + 1, columns, width),
            );
            let (x, y) = (
                left + sequence.below(right - left),
                top + sequence.below(bottom - top),
            );
            result.push(image.get_pixel(x, y).0);
        }
    }
    result
}

/// Where an sRGB colour is in a space in which distance is how different two colours look: OKLab
/// (B. Ottosson, "A perceptual color space for image processing", 2020), times 100.
///
/// Lightness has Ottosson's toe ("Okhsv and Okhsl", 2021), without which all dark colours are far from black;
/// the colour axes count twice, as in the difference that CSS Color Module Level 4 calls deltaEOK2. CIELAB was tried:
/// its nearest names for dark blues are purples.
fn lab(rgb: [u8; 3]) -> [f32; 3] {
    let [red, green, blue] = rgb.map(|value| {
        let value = f32::from(value) / 255.0;
        if value <= 0.040_45 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    });
    let long = (0.412_221_47 * red + 0.536_332_54 * green + 0.051_445_99 * blue).cbrt();
    let medium = (0.211_903_5 * red + 0.680_699_5 * green + 0.107_396_96 * blue).cbrt();
    let short = (0.088_302_46 * red + 0.281_718_84 * green + 0.629_978_7 * blue).cbrt();
    let light = 0.210_454_26 * long + 0.793_617_8 * medium - 0.004_072_047 * short;
    [
        100.0 * toe(light),
        200.0 * (1.977_998_5 * long - 2.428_592_2 * medium + 0.450_593_7 * short),
        200.0 * (0.025_904_037 * long + 0.782_771_77 * medium - 0.808_675_77 * short),
    ]
}

/// Lightness as CIELAB has it, from that of OKLab.
fn toe(light: f32) -> f32 {
    const K1: f32 = 0.206;
    const K2: f32 = 0.03;
    const K3: f32 = (1.0 + K1) / (1.0 + K2);
    let line = K3 * light - K1;
    0.5 * (line + (line * line + 4.0 * K2 * K3 * light).sqrt())
}

fn distance(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The index and squared distance of the row of `centres` nearest to `point`.
fn nearest(point: ArrayView1<'_, f32>, centres: &Array2<f32>) -> (usize, f32) {
    centres
        .rows()
        .into_iter()
        .map(|centre| distance(point, centre))
        .enumerate()
        .fold((0, f32::INFINITY), |best, (index, distance)| {
            if distance < best.1 {
                (index, distance)
            } else {
                best
            }
        })
}

/// Starting centres spread over the points (k-means++); fewer than asked when there are fewer colours.
fn spread(points: &Array2<f32>, sequence: &mut Sequence) -> Array2<f32> {
    let first = sequence.below(points.nrows() as u32) as usize;
    let mut chosen = vec![first];
    let mut distances: Vec<f32> = points
        .rows()
        .into_iter()
        .map(|point| distance(point, points.row(first)))
        .collect();
    while chosen.len() < CLUSTERS {
        let total: f64 = distances.iter().map(|&distance| f64::from(distance)).sum();
        if total <= 0.0 {
            break;
        }
        let mut left = sequence.unit() * total;
        let far = |index: &usize| distances[*index] > 0.0;
        let next = (0..distances.len()).filter(far).find(|&index| {
            left -= f64::from(distances[index]);
            left <= 0.0
        });
        // Rounding may leave a crumb of the total: then the last point that is not a centre.
        let Some(next) = next.or_else(|| (0..distances.len()).rev().find(far)) else {
            break;
        };
        for (distance_now, point) in distances.iter_mut().zip(points.rows()) {
            *distance_now = distance_now.min(distance(point, points.row(next)));
        }
        chosen.push(next);
    }
    points.select(Axis(0), &chosen)
}

/// The named colour that looks nearest.
fn named(color: [f32; 3], names: &Array2<f32>) -> &'static CssColor {
    &CSS_COLORS[nearest(ArrayView1::from(&color), names).0]
}

/// A set of pixels taken for one colour.
#[derive(Clone, Copy, Default)]
struct Cluster {
    sum: [u64; 3],
    count: u64,
}

impl Cluster {
    fn mean(&self) -> [u8; 3] {
        self.sum
            .map(|sum| ((sum + self.count / 2) / self.count.max(1)) as u8)
    }

    fn join(&mut self, other: Cluster) {
        self.count += other.count;
        for (sum, other) in self.sum.iter_mut().zip(other.sum) {
            *sum += other;
        }
    }
}

fn dominant_colors(image: &RgbImage, most: usize) -> Vec<DominantColor> {
    let mut sequence = Sequence(0x0c01_0125);
    let pixels = samples(image, &mut sequence);
    let points = to_lab(&pixels);
    let mut centres = spread(&points, &mut sequence);
    let mut assigned = vec![usize::MAX; pixels.len()];
    for _ in 0..ROUNDS {
        let mut changed = false;
        for (assigned, point) in assigned.iter_mut().zip(points.rows()) {
            let (index, _) = nearest(point, &centres);
            changed |= index != *assigned;
            *assigned = index;
        }
        if !changed {
            break;
        }
        let mut sums = Array2::<f32>::zeros(centres.raw_dim());
        let mut counts = Array1::<f32>::zeros(centres.nrows());
        for (&index, point) in assigned.iter().zip(points.rows()) {
            let mut sum = sums.row_mut(index);
            sum += &point;
            counts[index] += 1.0;
        }
        for (index, mut centre) in centres.rows_mut().into_iter().enumerate() {
            // A cluster that lost its points stays where it was.
            if counts[index] > 0.0 {
                centre.assign(&(&sums.row(index) / counts[index]));
            }
        }
    }
    let mut clusters = vec![Cluster::default(); centres.nrows()];
    for (&index, pixel) in assigned.iter().zip(&pixels) {
        clusters[index].join(Cluster {
            sum: pixel.map(u64::from),
            count: 1,
        });
    }
    clusters.retain(|cluster| cluster.count > 0);
    clusters.sort_by_key(|cluster| std::cmp::Reverse(cluster.count));

    let names = to_lab(&CSS_COLORS.map(|color| color.rgb));
    let mut joined: Vec<Cluster> = Vec::new();
    for cluster in clusters {
        let color = lab(cluster.mean());
        let same = joined.iter_mut().find(|other| {
            let other = lab(other.mean());
            named(other, &names).name == named(color, &names).name
                || distance(ArrayView1::from(&other), ArrayView1::from(&color)) < SAME_COLOR
        });
        match same {
            Some(other) => other.join(cluster),
            None => joined.push(cluster),
        }
    }
    // A joined mean may have moved to a name that another has: join by the final names.
    let mut colors: Vec<(&'static CssColor, Cluster)> = Vec::new();
    for cluster in joined {
        let name = named(lab(cluster.mean()), &names);
        match colors.iter_mut().find(|(other, _)| other.name == name.name) {
            Some((_, other)) => other.join(cluster),
            None => colors.push((name, cluster)),
        }
    }
    colors.sort_by(|(a, left), (b, right)| right.count.cmp(&left.count).then(a.name.cmp(b.name)));
    colors.truncate(most);
    let share = |count: u64| (100.0 * count as f64 / pixels.len() as f64) as f32;
    colors
        .into_iter()
        .map(|(css, cluster)| DominantColor {
            rgb: cluster.mean(),
            css_color: css.name.to_owned(),
            css_rgb: css.rgb,
            simplified_color: css.simple.to_owned(),
            pixel_percent: share(cluster.count),
        })
        .collect()
}

/// One row of three coordinates for each colour.
fn to_lab(colors: &[[u8; 3]]) -> Array2<f32> {
    let mut result = Array2::zeros((colors.len(), 3));
    for (mut row, &color) in result.rows_mut().into_iter().zip(colors) {
        row.assign(&ArrayView1::from(&lab(color)));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use proptest::prelude::*;

    fn checkerboard(side: u32, cell: u32, colors: [[u8; 3]; 2]) -> RgbImage {
        RgbImage::from_fn(side, side, |x, y| {
            Rgb(colors[((x / cell + y / cell) % 2) as usize])
        })
    }

    #[test]
    fn colour_coordinates_are_those_of_published_conversions() {
        // a and b of the reference conversion as CSS Color Module Level 4 gives them.
        for (rgb, expected) in [
            ([255, 255, 255], [0.0, 0.0]),
            ([255, 0, 0], [22.486, 12.585]),
            ([0, 255, 0], [-23.389, 17.950]),
            ([0, 0, 255], [-3.246, -31.153]),
            ([0, 0, 0], [0.0, 0.0]),
        ] {
            let [_, a, b] = lab(rgb);
            for (value, expected) in [a, b].into_iter().zip(expected) {
                assert!(
                    (value / 2.0 - expected).abs() < 0.005,
                    "{rgb:?}: {value} against {expected}"
                );
            }
        }
        // The toe was made to give greys about the lightness L* of CIELAB; these are L* of sRGB greys.
        for (grey, lightness) in [
            (0, 0.0),
            (32, 12.25),
            (64, 27.09),
            (128, 53.59),
            (192, 77.70),
            (255, 100.0),
        ] {
            assert!(
                (lab([grey; 3])[0] - lightness).abs() < 2.0,
                "{grey}: {:?}",
                lab([grey; 3])
            );
        }
    }

    #[test]
    fn one_colour_is_the_only_colour_and_has_no_edges() {
        for (rgb, css, simple, brightness) in [
            ([0, 0, 0], "black", "black", 0.0),
            ([255, 255, 255], "white", "white", 100.0),
            ([255, 0, 0], "red", "red", 29.9),
            ([47, 79, 79], "darkslategrey", "grey", 27.23),
            ([85, 107, 47], "darkolivegreen", "green", 36.70),
            ([128, 128, 128], "gray", "grey", 50.2),
            ([250, 2, 3], "red", "red", 29.91),
            ([20, 20, 70], "midnightblue", "blue", 10.08),
            ([33, 21, 11], "black", "black", 9.20),
        ] {
            let properties = measure(&RgbImage::from_pixel(300, 200, Rgb(rgb)), 10);
            let [color] = properties.dominant_colors.as_slice() else {
                panic!("{rgb:?}: one colour")
            };
            assert_eq!(
                (
                    color.rgb,
                    color.css_color.as_str(),
                    color.simplified_color.as_str()
                ),
                (rgb, css, simple)
            );
            assert_eq!(color.pixel_percent, 100.0);
            assert!(
                (properties.quality.brightness - brightness).abs() < 0.1,
                "{rgb:?}: {:?}",
                properties.quality
            );
            assert_eq!(
                (properties.quality.sharpness, properties.quality.contrast),
                (0.0, 0.0)
            );
        }
    }

    #[test]
    fn shares_of_a_picture_with_known_areas() {
        // 60 % navy, 30 % gold, 10 % white.
        let image = RgbImage::from_fn(1000, 400, |x, _| {
            Rgb(if x < 600 {
                [0, 0, 128]
            } else if x < 900 {
                [255, 215, 0]
            } else {
                [255, 255, 255]
            })
        });
        let colors = measure(&image, 12).dominant_colors;
        let expected = [
            ("navy", "blue", 60.0),
            ("gold", "yellow", 30.0),
            ("white", "white", 10.0),
        ];
        assert_eq!(colors.len(), expected.len());
        for (color, (css, simple, percent)) in colors.iter().zip(expected) {
            assert_eq!(
                (color.css_color.as_str(), color.simplified_color.as_str()),
                (css, simple)
            );
            // A grid of 96 columns has an error of one column at each border.
            assert!((color.pixel_percent - percent).abs() <= 1.1, "{color:?}");
        }
        assert_eq!(measure(&image, 2).dominant_colors.as_slice(), &colors[..2]);
        assert_eq!(measure(&image, 0).dominant_colors.len(), 0);
    }

    #[test]
    fn a_pattern_does_not_hide_from_the_samples() {
        for cell in [1, 2, 5, 10] {
            let colors = measure(&checkerboard(960, cell, [[0; 3], [255; 3]]), 12).dominant_colors;
            assert_eq!(colors.len(), 2, "cells of {cell}");
            assert!(
                colors
                    .iter()
                    .all(|color| (color.pixel_percent - 50.0).abs() < 3.0),
                "{colors:?}"
            );
        }
    }

    #[test]
    fn sharpness_falls_with_blur_and_contrast_with_range() {
        let sharp = checkerboard(480, 16, [[0; 3], [255; 3]]);
        let mut last = 101.0;
        for sigma in [0.0, 1.0, 2.0, 4.0, 8.0] {
            let image = if sigma == 0.0 {
                sharp.clone()
            } else {
                image::imageops::blur(&sharp, sigma)
            };
            let sharpness = measure(&image, 1).quality.sharpness;
            assert!(sharpness < last, "sigma {sigma}: {sharpness} after {last}");
            last = sharpness;
        }
        assert!(last < 30.0, "{last}");
        assert_eq!(measure(&sharp, 1).quality.contrast, 100.0);
        assert_eq!(measure(&sharp, 1).quality.brightness, 50.0);
        let flat = measure(&checkerboard(480, 16, [[102; 3], [153; 3]]), 1).quality;
        assert!(
            (flat.contrast - 20.0).abs() < 0.01 && (flat.brightness - 50.0).abs() < 0.01,
            "{flat:?}"
        );
    }

    #[test]
    fn photographs_are_in_the_middle_of_the_scales() {
        for name in ["chelsea.png", "coffee.png"] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../tests/golden/images")
                .join(name);
            let image =
                crate::image::decode(&std::fs::read(path).unwrap(), &Default::default()).unwrap();
            let properties = measure(&image, 10);
            let quality = properties.quality;
            for value in [quality.brightness, quality.sharpness, quality.contrast] {
                assert!((20.0..99.0).contains(&value), "{name}: {quality:?}");
            }
            let blurred = measure(&image::imageops::blur(&image, 3.0), 10).quality;
            assert!(
                blurred.sharpness < quality.sharpness - 20.0,
                "{name}: {blurred:?} against {quality:?}"
            );
            // Both are brown pictures: a ginger cat, a wooden table.
            assert!(
                properties
                    .dominant_colors
                    .iter()
                    .any(|color| color.simplified_color == "brown"),
                "{properties:?}"
            );
        }
    }

    #[test]
    fn the_twelve_simple_colours_are_all_there() {
        let mut simple: Vec<&str> = CSS_COLORS.iter().map(|color| color.simple).collect();
        simple.sort_unstable();
        simple.dedup();
        assert_eq!(
            simple,
            [
                "black", "blue", "brown", "cyan", "green", "grey", "orange", "pink", "purple",
                "red", "white", "yellow"
            ]
        );
        let mut names: Vec<&str> = CSS_COLORS.iter().map(|color| color.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CSS_COLORS.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn figures_keep_their_bounds(
            (width, height) in (1u32..700, 1u32..40),
            seed in any::<u32>(),
            levels in 1u32..256,
            most in 0usize..25,
        ) {
            let image = RgbImage::from_fn(width, height, |x, y| {
                let noise = |channel: u32| {
                    let mixed = (x * 31 + y * 17 + channel * 7).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 9;
                    (mixed % levels * 255 / levels.max(1)) as u8
                };
                Rgb([noise(0), noise(1), noise(2)])
            });
            let properties = measure(&image, most);
            let Quality { brightness, sharpness, contrast } = properties.quality;
            for value in [brightness, sharpness, contrast] {
                prop_assert!((0.0..=100.0).contains(&value));
            }
            let colors = &properties.dominant_colors;
            prop_assert_eq!(colors.is_empty(), most == 0);
            prop_assert!(colors.len() <= most.min(MAX_DOMINANT_COLORS));
            prop_assert!(colors.windows(2).all(|pair| pair[0].pixel_percent >= pair[1].pixel_percent));
            prop_assert!(colors.iter().map(|color| color.pixel_percent).sum::<f32>() <= 100.01);
            let mut names: Vec<_> = colors.iter().map(|color| color.css_color.clone()).collect();
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), colors.len());
            prop_assert_eq!(&properties, &measure(&image, most));
        }
    }
}
