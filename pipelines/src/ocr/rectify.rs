//! From a quadrangle of an image to an upright picture of its text.

use super::{Quad, planes, recognise, resize};
use crate::vision::Point;
use image::{Rgb, RgbImage, imageops};

/// Rows of what the networks for lines see.
pub const ROWS: u32 = 48;
/// Columns of what the network for orientation sees.
pub const ORIENTATION_COLUMNS: u32 = 192;
/// A picture this many times higher than wide holds text that runs downwards.
const UPRIGHT: f32 = 1.5;
/// Most columns or rows of a picture.
const LONGEST: u32 = 10_000;

/// The picture of one line, upright, and its corners as they are read.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The pixels.
    pub image: RgbImage,
    /// The corners in the image it is cut from, the first where the text begins.
    pub quad: Quad,
    /// Whether its text ran down or up in that image.
    pub laid: bool,
}

impl Picture {
    /// Cuts a quadrangle out of an image and makes it upright. `None` when it has no area.
    pub fn cut(image: &RgbImage, quad: &Quad) -> Option<Self> {
        let longer = |a: f32, b: f32| (a.max(b) as u32).min(LONGEST);
        let width = longer(quad[0].distance(quad[1]), quad[2].distance(quad[3]));
        let height = longer(quad[0].distance(quad[3]), quad[1].distance(quad[2]));
        if width == 0 || height == 0 || image.width() == 0 || image.height() == 0 {
            return None;
        }
        let flat = warp(image, quad, width, height)?;
        if height as f32 / width as f32 >= UPRIGHT {
            // A quarter turn to the left: what was the right side is the upper one.
            let [a, b, c, d] = *quad;
            return Some(Self {
                image: imageops::rotate270(&flat),
                quad: [b, c, d, a],
                laid: true,
            });
        }
        Some(Self {
            image: flat,
            quad: *quad,
            laid: false,
        })
    }

    /// The same, upside down.
    pub fn turn(&self) -> Self {
        let [a, b, c, d] = self.quad;
        Self {
            image: imageops::rotate180(&self.image),
            quad: [c, d, a, b],
            laid: self.laid,
        }
    }

    /// What the network for orientation sees: planes of 48 x 192, the picture at the left.
    pub fn orientation_input(&self) -> Vec<f32> {
        let columns = self.columns(ORIENTATION_COLUMNS);
        planes(&resize(&self.image, columns, ROWS), ORIENTATION_COLUMNS)
    }

    /// The part between two columns.
    pub(super) fn part(&self, from: u32, to: u32) -> Self {
        let (width, height) = self.image.dimensions();
        let place = |column: u32| column as f32 / width.max(1) as f32;
        Self {
            image: imageops::crop_imm(&self.image, from, 0, to - from, height).to_image(),
            quad: recognise::part(&self.quad, place(from), place(to)),
            laid: self.laid,
        }
    }

    /// Bytes of its pixels.
    pub(super) fn bytes(&self) -> usize {
        self.image.as_raw().len()
    }

    /// Columns at 48 rows, at most `most`.
    pub(super) fn columns(&self, most: u32) -> u32 {
        let (width, height) = self.image.dimensions();
        let columns = (ROWS as f32 * width as f32 / height.max(1) as f32).ceil() as u32;
        columns.clamp(1, most)
    }
}

/// What the network for orientation says of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Turned {
    /// Whether it is upside down, surely.
    pub is: bool,
    /// How much more it is upside down than upright, −1 to 1.
    pub share: f32,
}

impl Turned {
    /// From the network's scores; nothing where they are not two numbers.
    pub fn of(scores: &[f32]) -> Self {
        const SURE: f32 = 0.9;
        match scores {
            &[upright, turned] if (turned - upright).is_finite() => Self {
                is: turned > upright && turned > SURE,
                share: turned - upright,
            },
            _ => Self::default(),
        }
    }
}

/// A `width` x `height` picture whose corners are those of a quadrangle; bicubic, edges repeated. `None` when the
/// corners are not those of a quadrangle.
fn warp(image: &RgbImage, quad: &Quad, width: u32, height: u32) -> Option<RgbImage> {
    let (right, bottom) = (width as f32, height as f32);
    let upright = [(0.0, 0.0), (right, 0.0), (right, bottom), (0.0, bottom)];
    let map = perspective(upright.map(|(x, y)| Point::new(x, y)), *quad)?;
    Some(RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (f64::from(x), f64::from(y));
        let depth = map[6] * x + map[7] * y + 1.0;
        let place = |row: usize| (map[row] * x + map[row + 1] * y + map[row + 2]) / depth;
        bicubic(image, place(0), place(3))
    }))
}

/// The eight numbers of the projection that takes each of four points to its partner. `None` when there is none.
fn perspective(from: Quad, to: Quad) -> Option<[f64; 8]> {
    let mut rows = [[0.0; 9]; 8];
    for (index, (a, b)) in from.into_iter().zip(to).enumerate() {
        let (x, y, u, v) = (
            f64::from(a.x),
            f64::from(a.y),
            f64::from(b.x),
            f64::from(b.y),
        );
        rows[2 * index] = [x, y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y, u];
        rows[2 * index + 1] = [0.0, 0.0, 0.0, x, y, 1.0, -v * x, -v * y, v];
    }
    // Gauss's elimination with the largest pivot.
    for column in 0..8 {
        let pivot = (column..8).max_by(|&a, &b| {
            let size = |row: usize| rows[row][column].abs();
            size(a).total_cmp(&size(b))
        })?;
        rows.swap(column, pivot);
        let lead = rows[column];
        if lead[column].abs() < 1e-9 || !lead[column].is_finite() {
            return None;
        }
        for (index, row) in rows.iter_mut().enumerate() {
            if index != column {
                let factor = row[column] / lead[column];
                for (value, lead) in row.iter_mut().zip(lead) {
                    *value -= factor * lead;
                }
            }
        }
    }
    Some(std::array::from_fn(|i| rows[i][8] / rows[i][i]))
}

/// The colour at a place between pixels: Keys' cubic with a = −0.75, as OpenCV has it.
fn bicubic(image: &RgbImage, x: f64, y: f64) -> Rgb<u8> {
    const A: f64 = -0.75;
    let weights = |t: f64| {
        let far = |d: f64| ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A;
        let near = |d: f64| ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0;
        [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
    };
    let (columns, rows) = image.dimensions();
    let (x, y) = (
        x.clamp(-2.0, f64::from(columns) + 2.0),
        y.clamp(-2.0, f64::from(rows) + 2.0),
    );
    let (left, top) = (x.floor(), y.floor());
    let (across, down) = (weights(x - left), weights(y - top));
    let mut sums = [0.0; 3];
    for (row, down) in down.into_iter().enumerate() {
        for (column, across) in across.into_iter().enumerate() {
            let place = |start: f64, step: usize, count: u32| {
                (start - 1.0 + step as f64).clamp(0.0, f64::from(count - 1)) as u32
            };
            let pixel = image.get_pixel(place(left, column, columns), place(top, row, rows));
            for (sum, value) in sums.iter_mut().zip(pixel.0) {
                *sum += across * down * f64::from(value);
            }
        }
    }
    Rgb(sums.map(|sum| sum.round().clamp(0.0, 255.0) as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quad(corners: [(f32, f32); 4]) -> Quad {
        corners.map(|(x, y)| Point::new(x, y))
    }

    fn ramp() -> RgbImage {
        RgbImage::from_fn(100, 60, |x, y| Rgb([2 * x as u8, 4 * y as u8, 100]))
    }

    #[test]
    fn an_upright_rectangle_is_a_crop() {
        let image = ramp();
        let corners = quad([(10.0, 20.0), (50.0, 20.0), (50.0, 40.0), (10.0, 40.0)]);
        let picture = Picture::cut(&image, &corners).unwrap();
        assert_eq!(picture.image.dimensions(), (40, 20));
        for (x, y, pixel) in picture.image.enumerate_pixels() {
            assert_eq!(pixel, image.get_pixel(x + 10, y + 20));
        }
        assert_eq!(picture.quad, corners);
        let turned = picture.turn();
        assert_eq!(turned.image.get_pixel(0, 0), image.get_pixel(49, 39));
        assert_eq!(turned.quad[0], Point::new(50.0, 40.0));
    }

    #[test]
    fn text_that_runs_down_is_laid_flat() {
        let image = ramp();
        let corners = quad([(10.0, 10.0), (20.0, 10.0), (20.0, 50.0), (10.0, 50.0)]);
        let picture = Picture::cut(&image, &corners).unwrap();
        assert_eq!(picture.image.dimensions(), (40, 10));
        // The upper right corner of the image begins the text; it runs downwards.
        assert_eq!(picture.quad[0], Point::new(20.0, 10.0));
        assert_eq!(picture.image.get_pixel(0, 0), image.get_pixel(19, 10));
        assert_eq!(picture.image.get_pixel(39, 0), image.get_pixel(19, 49));
    }

    #[test]
    fn corners_go_to_corners() {
        let from = quad([(0.0, 0.0), (40.0, 0.0), (40.0, 10.0), (0.0, 10.0)]);
        let to = quad([(3.0, 4.0), (45.0, 9.0), (43.0, 22.0), (1.0, 15.0)]);
        let map = perspective(from, to).unwrap();
        for (a, b) in from.into_iter().zip(to) {
            let (x, y) = (f64::from(a.x), f64::from(a.y));
            let depth = map[6] * x + map[7] * y + 1.0;
            let found = Point::new(
                ((map[0] * x + map[1] * y + map[2]) / depth) as f32,
                ((map[3] * x + map[4] * y + map[5]) / depth) as f32,
            );
            assert!(found.distance(b) < 1e-4, "{found:?} {b:?}");
        }
    }

    #[test]
    fn what_is_no_quadrangle_is_no_picture() {
        let image = ramp();
        for corners in [
            [(5.0, 5.0); 4],
            [(0.0, 0.0), (40.0, 0.0), (40.0, 0.5), (0.0, 0.5)],
            [(f32::NAN, 0.0), (40.0, 0.0), (40.0, 9.0), (0.0, 9.0)],
        ] {
            assert!(
                Picture::cut(&image, &quad(corners)).is_none(),
                "{corners:?}"
            );
        }
        // Far outside it is the edge, repeated.
        let outside = quad([
            (500.0, 500.0),
            (540.0, 500.0),
            (540.0, 520.0),
            (500.0, 520.0),
        ]);
        let picture = Picture::cut(&image, &outside).unwrap();
        assert!(picture.image.pixels().all(|p| p == image.get_pixel(99, 59)));
    }

    #[test]
    fn orientation_needs_to_be_sure() {
        assert!(Turned::of(&[0.05, 0.95]).is);
        assert!(Turned::of(&[0.15, 0.85]).share > 0.6);
        for scores in [
            &[0.15, 0.85][..],
            &[0.95, 0.05],
            &[],
            &[f32::NAN, f32::NAN],
            &[0.0, 0.95, 0.1],
        ] {
            assert!(!Turned::of(scores).is, "{scores:?}");
        }
        let picture = Picture::cut(
            &ramp(),
            &quad([(0.0, 0.0), (20.0, 0.0), (20.0, 10.0), (0.0, 10.0)]),
        )
        .unwrap();
        assert_eq!(picture.orientation_input().len(), 3 * 48 * 192);
        assert_eq!(picture.columns(192), 96);
    }
}
