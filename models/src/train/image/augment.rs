//! Mirrored, shifted, recoloured and bent images: functions of an image and a random number.
//!
//! The ranges of colours and of what bends are those of SageMaker's image classification ("Image Classification
//! Hyperparameters", `augmentation_type`), whose images come from MXNet's `ImageRecordIter`: colours are moved in OpenCV's
//! HLS (hues count half degrees, lightness and saturation go to 255), a matrix turns, shears and stretches about the centre.
//! Hues go round, where OpenCV's 8 bits end.

use crate::efficientnet::SIDE;
use crate::train::random;
use std::ops::RangeInclusive;

/// Values of a row.
const ROW: usize = SIDE * 3;
/// Most that a hue is moved by, in half degrees.
const HUE: f32 = 36.0;
/// Most that saturation and lightness are moved by, of 255.
const TONE: f32 = 50.0;
/// Most degrees that an image is turned by.
const ANGLE: f32 = 10.0;
/// Most of its height that an image is sheared by along its width.
const SHEAR: f32 = 0.1;
/// Most that the ratio of the sides is changed by.
const ASPECT: f32 = 0.25;

/// What may happen to an image before it is learned from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Augmentation {
    /// It is mirrored, left for right, every other time.
    pub flip: bool,
    /// It is moved by at most so many pixels along each side; its edge is repeated where it left. The same as a crop of
    /// the image with its edges continued.
    pub shift: usize,
    /// Its hue, saturation and lightness are moved: by at most 36 of 180, 50 and 50 of 255.
    pub colours: bool,
    /// It is turned by at most 10 degrees, sheared by at most a tenth, and its sides are stretched so that their ratio changes by
    /// at most a quarter.
    pub bend: bool,
}

/// What happens to one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Change {
    flip: bool,
    /// Added to a pixel's row and column to find where it comes from.
    from: [isize; 2],
    /// Added to hues (of 360), saturations and lightnesses (of 1).
    colours: Option<[f32; 3]>,
    /// Where a pixel comes from, from the centre: `[y, x]` by `[y, x]`.
    bend: Option<[[f32; 2]; 2]>,
}

impl Augmentation {
    /// What happens to the image that `seed` stands for.
    pub(super) fn change(self, seed: u64) -> Change {
        let shift = self.shift.min(SIDE) as u64;
        let along = |index| (random(seed, index) % (2 * shift + 1)) as isize - shift as isize;
        // Numbers 0 to 3 belong to what else is drawn from an image's seed.
        let within = |index: u64, range: RangeInclusive<f32>| {
            let unit = (random(seed, index) >> 40) as f32 / (1_u64 << 24) as f32;
            range.start() + unit * (range.end() - range.start())
        };
        let colours = || {
            [
                2.0 * within(4, -HUE..=HUE),
                within(5, -TONE..=TONE) / 255.0,
                within(6, -TONE..=TONE) / 255.0,
            ]
        };
        let bend = || {
            let shear = within(7, -SHEAR..=SHEAR);
            let (sin, cos) = within(8, -ANGLE..=ANGLE).to_radians().sin_cos();
            let ratio = 1.0 + within(9, -ASPECT..=ASPECT);
            // Of equal area, nearly: their mean is 1.
            let height = 2.0 / (1.0 + ratio);
            let width = ratio * height;
            [
                [cos * width, -sin * width],
                [
                    height * sin + shear * width * cos,
                    height * cos - shear * width * sin,
                ],
            ]
        };
        Change {
            flip: self.flip && random(seed, 0) >> 63 == 1,
            from: [along(1), along(2)],
            colours: self.colours.then(colours),
            bend: self.bend.then(bend),
        }
    }
}

impl Change {
    /// Nothing.
    pub(super) const NONE: Self = Self {
        flip: false,
        from: [0, 0],
        colours: None,
        bend: None,
    };

    /// Writes row `y` of the changed `image` `[SIDE, SIDE, 3]` to `out`.
    pub(super) fn row(self, image: &[f32], y: usize, out: &mut [f32]) {
        let inside = |at: usize, by: isize| at.saturating_add_signed(by).min(SIDE - 1);
        let pixels = out.chunks_exact_mut(3).take(SIDE).enumerate();
        let mirrored = |x: usize| if self.flip { SIDE - 1 - x } else { x };
        match self.bend {
            Some(bend) => {
                let centre = (SIDE - 1) as f32 / 2.0;
                for (x, pixel) in pixels {
                    let from = [y as f32 - centre, mirrored(x) as f32 - centre];
                    let at = [0, 1].map(|axis| {
                        let [down, along] = bend[axis];
                        down * from[0] + along * from[1] + centre + self.from[axis] as f32
                    });
                    between(image, at, pixel);
                }
            }
            None => {
                let row = &image[inside(y, self.from[0]) * ROW..][..ROW];
                if self == Self::NONE {
                    return out[..ROW].copy_from_slice(row);
                }
                for (x, pixel) in pixels {
                    pixel.copy_from_slice(&row[inside(mirrored(x), self.from[1]) * 3..][..3]);
                }
            }
        }
        if let Some(by) = self.colours {
            for pixel in out.chunks_exact_mut(3).take(SIDE) {
                recolour(pixel, by);
            }
        }
    }
}

/// The pixel between four of `image`, whose edge goes on.
fn between(image: &[f32], at: [f32; 2], pixel: &mut [f32]) {
    let last = SIDE - 1;
    let axis = |at: f32| {
        let at = at.clamp(0.0, last as f32);
        let first = (at as usize).min(last);
        (first, (first + 1).min(last), at - first as f32)
    };
    let ((top, bottom, down), (left, right, along)) = (axis(at[0]), axis(at[1]));
    for (channel, value) in pixel.iter_mut().enumerate() {
        let of = |y: usize, x: usize| image[y * ROW + x * 3 + channel];
        let above = of(top, left) + along * (of(top, right) - of(top, left));
        let below = of(bottom, left) + along * (of(bottom, right) - of(bottom, left));
        *value = above + down * (below - above);
    }
}

/// Moves the colour of a pixel as the network sees it: bytes less 127, divided by 128.
fn recolour(pixel: &mut [f32], [hue, saturation, lightness]: [f32; 3]) {
    let [red, green, blue] =
        [0, 1, 2].map(|at| ((pixel[at] * 128.0 + 127.0) / 255.0).clamp(0.0, 1.0));
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    let (range, light) = (most - least, (most + least) / 2.0);
    let (mut turn, mut full) = (0.0, 0.0);
    if range > 0.0 {
        full = range / (1.0 - (2.0 * light - 1.0).abs()).max(f32::MIN_POSITIVE);
        turn = 60.0
            * match most {
                _ if most == red => (green - blue) / range,
                _ if most == green => (blue - red) / range + 2.0,
                _ => (red - green) / range + 4.0,
            };
    }
    let turn = (turn + hue).rem_euclid(360.0) / 60.0;
    let full = (full + saturation).clamp(0.0, 1.0);
    let light = (light + lightness).clamp(0.0, 1.0);
    let chroma = (1.0 - (2.0 * light - 1.0).abs()) * full;
    // How much of the chroma a channel has that is so far from its own hue: all up to 60 degrees, none from 120 on.
    for (value, own) in pixel.iter_mut().zip([0.0, 2.0, 4.0]) {
        let away = (turn - own).abs();
        let away = away.min(6.0 - away);
        let part = (2.0 - away).clamp(0.0, 1.0);
        let level = light - chroma / 2.0 + chroma * part;
        *value = (level * 255.0 - 127.0) / 128.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Vec<f32> {
        (0..SIDE * ROW).map(|index| index as f32).collect()
    }

    /// Pixel `(y, x)` of the changed image, first channel.
    fn pixel(change: Change, y: usize, x: usize) -> f32 {
        let mut row = vec![0.0; ROW];
        change.row(&image(), y, &mut row);
        row[x * 3]
    }

    #[test]
    fn images_are_moved_and_mirrored() {
        let at = |y: usize, x: usize| (y * ROW + x * 3) as f32;
        assert_eq!(pixel(Change::NONE, 5, 7), at(5, 7));
        let change = Change {
            from: [3, -2],
            ..Change::NONE
        };
        assert_eq!(pixel(change, 5, 7), at(8, 5));
        assert_eq!(pixel(change, SIDE - 1, 0), at(SIDE - 1, 0));
        let change = Change {
            flip: true,
            from: [0, 1],
            ..Change::NONE
        };
        assert_eq!(pixel(change, 0, 0), at(0, SIDE - 1));
        assert_eq!(pixel(change, 0, 10), at(0, SIDE - 10));
    }

    #[test]
    fn what_happens_is_a_function_of_the_seed_and_within_bounds() {
        let augmentation = Augmentation {
            flip: true,
            shift: 4,
            ..Augmentation::default()
        };
        let changes: Vec<Change> = (0..2000).map(|seed| augmentation.change(seed)).collect();
        assert_eq!(
            changes,
            (0..2000)
                .map(|seed| augmentation.change(seed))
                .collect::<Vec<_>>()
        );
        let flipped = changes.iter().filter(|change| change.flip).count();
        // Four standard deviations of a fair coin.
        assert!((910..=1090).contains(&flipped), "{flipped}");
        for way in -4..=4 {
            assert!(changes.iter().any(|change| change.from[0] == way));
            assert!(changes.iter().any(|change| change.from[1] == way));
        }
        let most = changes.iter().flat_map(|change| change.from).max();
        assert_eq!(most, Some(4));
        assert_eq!(Augmentation::default().change(7), Change::NONE);
        let never = Augmentation {
            shift: 4,
            ..Augmentation::default()
        };
        assert!((0..100).all(|seed| !never.change(seed).flip));
    }

    const COLOURS: [[u8; 3]; 3] = [[200, 174, 30], [82, 14, 165], [52, 117, 175]];

    /// The bytes of a pixel after its colour was moved.
    fn recoloured(bytes: [u8; 3], by: [f32; 3]) -> [u8; 3] {
        let mut pixel = bytes.map(|byte| (f32::from(byte) - 127.0) / 128.0);
        recolour(&mut pixel, by);
        pixel.map(|value| (value * 128.0 + 127.0).round() as u8)
    }

    /// Numbers of Python's `colorsys`.
    #[test]
    fn colours_move_in_hue_saturation_and_lightness() {
        let none = [0.0; 3];
        for bytes in [
            [0, 0, 0],
            [255, 255, 255],
            [200, 30, 90],
            [7, 255, 255],
            [1, 2, 0],
            [90, 90, 90],
        ] {
            assert_eq!(recoloured(bytes, none), bytes);
        }
        assert_eq!(recoloured([200, 30, 90], [72.0, 0.0, 0.0]), COLOURS[0]);
        assert_eq!(recoloured([200, 30, 90], [-72.0, 0.1, -0.1]), COLOURS[1]);
        assert_eq!(recoloured([20, 130, 90], [50.0, -0.19, 0.15]), COLOURS[2]);
        // Grey has no hue to move, and takes a colour where it gets some saturation.
        assert_eq!(recoloured([90, 90, 90], [72.0, 0.0, 0.1]), [116, 116, 116]);
        // What is white stays within a byte.
        assert_eq!(
            recoloured([255, 255, 255], [0.0, 0.0, 0.19]),
            [255, 255, 255]
        );
    }

    #[test]
    fn an_image_is_turned_about_its_centre_and_its_edge_goes_on() {
        // A value that grows along one side.
        let image: Vec<f32> = (0..SIDE * ROW)
            .map(|index| (index / 3 % SIDE) as f32)
            .collect();
        let bent = |bend, y, x: usize| {
            let mut row = vec![0.0; ROW];
            let change = Change {
                bend: Some(bend),
                ..Change::NONE
            };
            change.row(&image, y, &mut row);
            row[3 * x]
        };
        let (sin, cos) = 10f32.to_radians().sin_cos();
        let turned = [[cos, -sin], [sin, cos]];
        let centre = (SIDE - 1) as f32 / 2.0;
        for (y, x) in [(100, 120), (30, 60), (180, 40)] {
            let want = centre + sin * (y as f32 - centre) + cos * (x as f32 - centre);
            assert!((bent(turned, y, x) - want).abs() < 1e-3, "{y} {x}");
        }
        assert_eq!(bent([[1.0, 0.0], [0.0, 2.0]], 5, 0), 0.0);
        assert_eq!(
            bent([[1.0, 0.0], [0.0, 2.0]], 5, SIDE - 1),
            (SIDE - 1) as f32
        );
        let same = [[1.0, 0.0], [0.0, 1.0]];
        assert_eq!(bent(same, 7, 33), 33.0);
    }

    #[test]
    fn what_moves_stays_within_its_bounds() {
        let all = Augmentation {
            colours: true,
            bend: true,
            ..Augmentation::default()
        };
        let (mut most, mut stretched) = ([0f32; 3], [1f32; 2]);
        for seed in 0..2000 {
            let change = all.change(seed);
            let (colours, bend) = (
                change.colours.expect("colours"),
                change.bend.expect("a bend"),
            );
            for (most, one) in most.iter_mut().zip(colours) {
                *most = most.max(one.abs());
            }
            let length = (bend[0][0].powi(2) + bend[0][1].powi(2)).sqrt();
            stretched = [stretched[0].min(length), stretched[1].max(length)];
        }
        for (most, bound) in most.iter().zip([72.0, 50.0 / 255.0, 50.0 / 255.0]) {
            assert!((0.97 * bound..=bound).contains(most), "{most} of {bound}");
        }
        // A ratio r between the sides, of mean 1: 2r / (1 + r).
        assert!(stretched[0] >= 1.5 / 1.75 - 1e-5 && stretched[1] <= 2.5 / 2.25 + 1e-5);
        let plain = Augmentation {
            flip: true,
            shift: 4,
            ..Augmentation::default()
        };
        let more = Augmentation {
            colours: true,
            bend: true,
            ..plain
        };
        // What else is drawn does not change where there is more.
        assert!((0..100).all(|seed| {
            let (one, other) = (plain.change(seed), more.change(seed));
            one.flip == other.flip && one.from == other.from
        }));
    }
}
