//! A square of an image that is turned and scaled as one likes: the image around a face, with the face upright.

use super::Point;
use super::average::average_rows;
use crate::image::resize::Crop;
use image::{Rgb, RgbImage};

/// How a square lies in an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turned {
    /// Where the middle of the square is, in pixels of the image: the middle of the upper left pixel is at 0.5, 0.5.
    pub middle: Point,
    /// Pixels of the image in one of the square.
    pub step: f32,
    /// By how much the square is turned clockwise, in radians.
    pub turn: f32,
}

impl Turned {
    /// The square that brings `from`, in a square of `side` pixels, as near as can be to `to` in an image: least squares
    /// over all that turns, scales and moves. `None` when all of `from` is in one place, or a place is no number.
    pub fn fitted(from: &[Point], to: &[Point], side: f32) -> Option<Self> {
        let (a, b) = (Point::mean(from), Point::mean(to));
        // As complex numbers: to − b = z · (from − a).
        let (mut real, mut imaginary, mut size) = (0.0, 0.0, 0.0);
        for (from, to) in from.iter().zip(to) {
            let (x, y) = (from.x - a.x, from.y - a.y);
            let (u, v) = (to.x - b.x, to.y - b.y);
            real += x * u + y * v;
            imaginary += x * v - y * u;
            size += x * x + y * y;
        }
        let step = real.hypot(imaginary) / size;
        let turn = imaginary.atan2(real);
        if !(step.is_normal() && turn.is_finite()) {
            return None;
        }
        let mut square = Self {
            middle: Point::default(),
            step,
            turn,
        };
        let moved = square.place(Point::new(side / 2.0 - a.x, side / 2.0 - a.y));
        square.middle = Point::new(b.x + moved.x, b.y + moved.y);
        Some(square)
    }

    /// Where in the image a place is that lies so far from the middle of the square.
    pub fn place(&self, from: Point) -> Point {
        let (sin, cos) = self.turn.sin_cos();
        let (x, y) = (from.x * self.step, from.y * self.step);
        Point::new(
            self.middle.x + x * cos - y * sin,
            self.middle.y + x * sin + y * cos,
        )
    }

    /// The square with `side` pixels along each side: bilinear, of means of as many pixels of the image as one of the
    /// square covers; black where there is no image.
    pub fn pixels(&self, image: &RgbImage, side: u32) -> RgbImage {
        let times = if self.step >= 2.0 {
            self.step as u32
        } else {
            1
        };
        let reach = side as f32 * self.step;
        // What the square can see, in whole steps.
        let range = |middle: f32, length: u32| {
            let first = (middle - reach).floor().clamp(0.0, length as f32) as u32;
            let end = (middle + reach).ceil().clamp(0.0, length as f32) as u32;
            (first, (end - first) / times * times)
        };
        let (left, width) = range(self.middle.x, image.width());
        let (top, height) = range(self.middle.y, image.height());
        if width == 0 || height == 0 {
            return RgbImage::new(side, side);
        }
        if times == 1 {
            return self.sampled(image, side);
        }
        let crop = Crop {
            left,
            top,
            width,
            height,
        };
        let size = (width / times, height / times);
        let mut bytes = Vec::with_capacity(size.0 as usize * size.1 as usize * 3);
        average_rows(image, crop, size, 0..size.1, |row| {
            bytes.extend(row.iter().map(|value| value.round() as u8));
        });
        let Some(smaller) = RgbImage::from_raw(size.0, size.1, bytes) else {
            return RgbImage::new(side, side);
        };
        let times = times as f32;
        let inside = Self {
            middle: Point::new(
                (self.middle.x - left as f32) / times,
                (self.middle.y - top as f32) / times,
            ),
            step: self.step / times,
            turn: self.turn,
        };
        inside.sampled(&smaller, side)
    }

    fn sampled(&self, image: &RgbImage, side: u32) -> RgbImage {
        let half = side as f32 / 2.0;
        RgbImage::from_fn(side, side, |x, y| {
            let from = Point::new(x as f32 + 0.5 - half, y as f32 + 0.5 - half);
            let Point { x, y } = self.place(from);
            image::imageops::interpolate_bilinear(image, x - 0.5, y - 0.5).unwrap_or(Rgb([0; 3]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fitted_brings_every_place_where_it_belongs() {
        let wanted = Turned {
            middle: Point::new(40.0, 70.0),
            step: 1.5,
            turn: 0.7,
        };
        let from = [(0.0, 0.0), (10.0, 3.0), (8.0, 20.0)].map(|(x, y)| Point::new(x, y));
        let to = from.map(|p| wanted.place(Point::new(p.x - 16.0, p.y - 16.0)));
        let found = Turned::fitted(&from, &to, 32.0).unwrap();
        assert!(found.middle.distance(wanted.middle) < 1e-3, "{found:?}");
        assert!((found.step - 1.5).abs() < 1e-4 && (found.turn - 0.7).abs() < 1e-4);
        assert_eq!(Turned::fitted(&[from[0]; 3], &to, 32.0), None);
        let broken = [Point::new(f32::NAN, 0.0), to[1], to[2]];
        assert_eq!(Turned::fitted(&from, &broken, 32.0), None);
    }

    #[test]
    fn a_square_without_a_turn_is_the_image() {
        let image = RgbImage::from_fn(8, 8, |x, y| Rgb([(x * 30) as u8, (y * 30) as u8, 9]));
        let whole = |step: f32| Turned {
            middle: Point::new(4.0, 4.0),
            step,
            turn: 0.0,
        };
        assert_eq!(whole(1.0).pixels(&image, 8), image);
        let half = whole(2.0).pixels(&image, 4);
        assert_eq!(half.get_pixel(0, 0).0, [15, 15, 9]);
        assert_eq!(half.get_pixel(3, 2).0, [195, 135, 9]);
        let quarter = Turned {
            turn: std::f32::consts::FRAC_PI_2,
            ..whole(1.0)
        };
        // What was at the left is above.
        let turned = quarter.pixels(&image, 6);
        assert_eq!(turned.get_pixel(2, 0).0, image.get_pixel(6, 3).0);
        let outside = Turned {
            middle: Point::new(-900.0, 4.0),
            ..whole(3.0)
        };
        assert!(outside.pixels(&image, 5).as_raw().iter().all(|&v| v == 0));
    }
}
