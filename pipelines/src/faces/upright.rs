//! Faces that lie on their side or hang: the networks that look closer know upright ones only, so they are shown a part
//! of the image that is turned, and what they find is turned back.

use super::task::Face;
use crate::vision::turned::Turned;
use crate::vision::{Area, Point};
use image::RgbImage;

/// Eyes, nose and corners of the mouth, as a detector sees them: left and right are the image's when the face is upright.
pub type Features = [Point; 5];

/// A face that is turned less than this is shown as it is, in degrees.
const UPRIGHT: f32 = 20.0;
/// Heights of a face that the networks need around it.
const AROUND: f32 = 1.7;
/// Faces are shown no wider than this: more than any of the networks sees.
const WIDEST: f32 = 192.0;
/// The box of an upright face in units of the larger of two distances, between the eyes and from eyes to mouth: its width,
/// its height, and how far its middle is above that of eyes and mouth. Means over the portraits and groups of the tests.
const BOX: (f32, f32, f32) = (1.9, 2.73, 0.24);

/// A part of an image in which a face is upright.
pub(super) struct Upright {
    pub(super) image: RgbImage,
    /// Where the face is in it.
    pub(super) area: Area,
    square: Turned,
}

impl Upright {
    /// The part around a face; `None` when the face is upright, or its features are in one place or nowhere.
    pub(super) fn of(image: &RgbImage, features: &Features) -> Option<Self> {
        let [left, right, _, mouth @ ..] = features;
        let turn = (right.y - left.y).atan2(right.x - left.x);
        let (eyes, mouth) = (Point::mean(&[*left, *right]), Point::mean(mouth));
        let unit = left.distance(*right).max(eyes.distance(mouth));
        // Also what is not a number.
        if !(turn.to_degrees().abs() > UPRIGHT && unit >= 1.0 && unit.is_finite()) {
            return None;
        }
        let (width, height) = (BOX.0 * unit, BOX.1 * unit);
        let between = Point::mean(&[eyes, mouth]);
        let up = BOX.2 * unit;
        let square = Turned {
            middle: Point::new(between.x + up * turn.sin(), between.y - up * turn.cos()),
            step: (width / WIDEST).max(1.0),
            turn,
        };
        let side = (AROUND * height / square.step).ceil();
        let half = side / 2.0;
        let (across, down) = (width / square.step / 2.0, height / square.step / 2.0);
        Some(Self {
            image: square.pixels(image, side as u32),
            area: Area::new(half - across, half - down, half + across, half + down),
            square,
        })
    }

    /// What was found in the part as it is in the image.
    pub(super) fn back(&self, mut face: Face) -> Face {
        let half = self.image.width() as f32 / 2.0;
        let place = |point: Point| {
            let from = Point::new(point.x - half, point.y - half);
            self.square.place(from)
        };
        face.landmarks = face.landmarks.moved(place);
        let roll = face.pose.roll + self.square.turn.to_degrees();
        face.pose.roll = (roll + 180.0).rem_euclid(360.0) - 180.0;
        if let Some(gaze) = &mut face.gaze {
            gaze.pupils = gaze.pupils.map(place);
        }
        face
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    /// A face that lies on its side, its eyes one above the other: the part has them side by side.
    #[test]
    fn a_part_shows_the_face_upright() {
        let mut image = RgbImage::from_pixel(300, 150, Rgb([40; 3]));
        let features: Features = [
            Point::new(160.0, 80.0),
            Point::new(160.0, 120.0),
            Point::new(150.0, 100.0),
            Point::new(120.0, 85.0),
            Point::new(120.0, 115.0),
        ];
        for (feature, colour) in features.iter().zip([10_u8, 60, 110, 160, 210]) {
            for (x, y) in (0..7).flat_map(|x| (0..7).map(move |y| (x, y))) {
                let (x, y) = (feature.x as u32 - 3 + x, feature.y as u32 - 3 + y);
                image.put_pixel(x, y, Rgb([colour, 255, 0]));
            }
        }
        let part = Upright::of(&image, &features).expect("a turned face");
        assert!((part.square.turn.to_degrees() - 90.0).abs() < 1e-3);
        let half = part.image.width() as f32 / 2.0;
        let seen = |right: f32, down: f32| {
            let from = Point::new(right, down);
            let place = part.square.place(from);
            let pixel = part
                .image
                .get_pixel((half + right) as u32, (half + down) as u32);
            (place, pixel.0)
        };
        // Eyes and mouth are 40 apart: the middle is 9.6 above what lies between them.
        for (feature, (right, down)) in features.iter().zip([
            (-20.0, -10.4),
            (20.0, -10.4),
            (0.0, -0.4),
            (-15.0, 29.6),
            (15.0, 29.6),
        ]) {
            let (place, [_, green, _]) = seen(right, down);
            assert!(place.distance(*feature) < 0.01, "{place:?} {feature:?}");
            assert_eq!(green, 255, "{feature:?}");
        }
        assert_eq!(part.area.centre(), Point::new(half, half));
        let last = part.image.width() - 1;
        assert_eq!(part.image.get_pixel(0, 0).0, [40; 3]);
        assert_eq!(part.image.get_pixel(last, 0).0, [0; 3], "outside the image");
    }

    #[test]
    fn upright_faces_and_broken_ones_are_left_as_they_are() {
        let image = RgbImage::new(50, 50);
        let face = |right: Point| {
            let left = Point::new(10.0, 10.0);
            [left, right, left, left, left]
        };
        assert!(Upright::of(&image, &face(Point::new(20.0, 12.0))).is_none());
        assert!(Upright::of(&image, &face(Point::new(10.0, 10.0))).is_none());
        assert!(Upright::of(&image, &face(Point::new(f32::NAN, 30.0))).is_none());
        assert!(Upright::of(&image, &face(Point::new(f32::INFINITY, f32::INFINITY))).is_none());
        assert!(Upright::of(&image, &face(Point::new(20.0, 20.0))).is_some());
    }
}
