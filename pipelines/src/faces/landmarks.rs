//! 68 points of a face, their names, and the crops that are made from them.
//!
//! The order is that of the iBUG 300-W annotation: jaw 0–16, brows 17–21 and 22–26, nose 27–35, eyes 36–41 and
//! 42–47, mouth 48–67, each from the image's left to its right. Left and right mean the image's, as Rekognition
//! means them.

use super::{broken, normalise};
use crate::error::Result;
use crate::image::resize::Crop;
use crate::vision::resample::{Canvas, Grid, bilinear, whole_pixels};
use crate::vision::{Area, Point};
use image::RgbImage;

/// Points of a face.
pub const POINTS: usize = 68;
/// Pixels along each side of what the network for landmarks sees, and those for looks.
pub const SIDE: u32 = 112;

/// A part of an image as the networks for cropped faces were trained to see it: in the middle of a black square of
/// `side` pixels, means subtracted, by 255.
pub fn input(image: &RgbImage, crop: Crop, side: u32) -> Vec<f32> {
    normalise(bilinear(
        image,
        Canvas::middle(crop),
        side,
        side,
        Grid::Corner,
    ))
}

/// The points of a face.
#[derive(Clone, Debug, PartialEq)]
pub struct Landmarks {
    /// The points, in the order of iBUG 300-W, in pixels of the image.
    points: [Point; POINTS],
    /// The middles of the irises, where they were looked for.
    pupils: Option<[Point; 2]>,
}

impl Landmarks {
    /// The points that the network answered for `crop` of a face at `area`.
    ///
    /// # Errors
    /// `Internal` when the answer has another size or holds what is not a number.
    pub fn decode(answer: &[f32], area: &Area, crop: Crop) -> Result<Self> {
        if answer.len() != 2 * POINTS {
            return Err(broken("an answer of another size"));
        }
        if !answer.iter().all(|value| value.is_finite()) {
            return Err(broken("a point that is no number"));
        }
        let (width, height) = (crop.width as f32, crop.height as f32);
        let scale = SIDE as f32 / width.max(height);
        // Where the crop lies in what the network saw.
        let (across, down) = (width * scale, height * scale);
        let (left, top) = (
            (down - across).max(0.0) / 2.0,
            (across - down).max(0.0) / 2.0,
        );
        let point = |index: usize| {
            let place = |value: f32, margin: f32, seen: f32| (value * SIDE as f32 - margin) / seen;
            Point::new(
                place(answer[2 * index], left, across) * width + area.left,
                place(answer[2 * index + 1], top, down) * height + area.top,
            )
        };
        Ok(Self {
            points: std::array::from_fn(point),
            pupils: None,
        })
    }

    /// The points, in the order of iBUG 300-W, in pixels of the image.
    pub fn points(&self) -> &[Point; POINTS] {
        &self.points
    }

    fn mean(&self, indices: std::ops::Range<usize>) -> Point {
        Point::mean(&self.points[indices])
    }

    /// The middles of the eye on the left and the eye on the right.
    pub fn eyes(&self) -> [Point; 2] {
        [self.mean(36..42), self.mean(42..48)]
    }

    /// The part of a `width` x `height` image that the networks for looks are shown: the points' box and a tenth
    /// more on each side. `None` when none of it is inside.
    pub fn aligned(&self, width: u32, height: u32) -> Option<Crop> {
        let fold = |of: fn(&Point) -> f32, start: f32, best: fn(f32, f32) -> f32| {
            self.points.iter().map(of).fold(start, best)
        };
        let (left, top) = (
            fold(|p| p.x, f32::INFINITY, f32::min),
            fold(|p| p.y, f32::INFINITY, f32::min),
        );
        // The reference never looks left of or above the image for the far edges.
        let (right, bottom) = (fold(|p| p.x, 0.0, f32::max), fold(|p| p.y, 0.0, f32::max));
        let (across, down) = ((right - left) / 10.0, (bottom - top) / 10.0);
        let area = Area::new(left - across, top - down, right + across, bottom + down);
        whole_pixels(&area, width, height)
    }

    /// Points that are known.
    #[cfg(test)]
    pub(super) fn known(points: [Point; POINTS]) -> Self {
        Self {
            points,
            pupils: None,
        }
    }

    /// The same with every point where `place` says; crops are no longer to be made of them.
    pub(super) fn moved(mut self, place: impl Fn(Point) -> Point) -> Self {
        self.points = self.points.map(&place);
        self.pupils = self.pupils.map(|pupils| pupils.map(&place));
        self
    }

    /// The same with the middles of the irises, that on the left first.
    pub fn with_pupils(self, pupils: [Point; 2]) -> Self {
        Self {
            pupils: Some(pupils),
            ..self
        }
    }

    /// The points under Rekognition's names: the five that are always answered first. Pupils are the irises' middles
    /// where these are known, else the lids'.
    pub fn named(&self) -> Vec<(&'static str, Point)> {
        NAMES
            .iter()
            .map(|(name, points)| {
                let iris = match *name {
                    "leftPupil" => self.pupils.map(|[left, _]| left),
                    "rightPupil" => self.pupils.map(|[_, right]| right),
                    _ => None,
                };
                let points: Vec<Point> = points.iter().map(|&i| self.points[i]).collect();
                (*name, iris.unwrap_or_else(|| Point::mean(&points)))
            })
            .collect()
    }
}

/// How many of [`Landmarks::named`] are answered when not all attributes are asked for.
pub const DEFAULT_NAMES: usize = 5;

/// Rekognition's names, and the points whose mean each is.
const NAMES: [(&str, &[usize]); 30] = [
    ("eyeLeft", &[36, 37, 38, 39, 40, 41]),
    ("eyeRight", &[42, 43, 44, 45, 46, 47]),
    ("mouthLeft", &[48]),
    ("mouthRight", &[54]),
    ("nose", &[30]),
    ("leftEyeBrowLeft", &[17]),
    ("leftEyeBrowRight", &[21]),
    ("leftEyeBrowUp", &[19]),
    ("rightEyeBrowLeft", &[22]),
    ("rightEyeBrowRight", &[26]),
    ("rightEyeBrowUp", &[24]),
    ("leftEyeLeft", &[36]),
    ("leftEyeRight", &[39]),
    ("leftEyeUp", &[37, 38]),
    ("leftEyeDown", &[40, 41]),
    ("rightEyeLeft", &[42]),
    ("rightEyeRight", &[45]),
    ("rightEyeUp", &[43, 44]),
    ("rightEyeDown", &[46, 47]),
    ("noseLeft", &[31]),
    ("noseRight", &[35]),
    ("mouthUp", &[51]),
    ("mouthDown", &[57]),
    ("leftPupil", &[37, 38, 40, 41]),
    ("rightPupil", &[43, 44, 46, 47]),
    ("upperJawlineLeft", &[0]),
    ("midJawlineLeft", &[4]),
    ("chinBottom", &[8]),
    ("midJawlineRight", &[12]),
    ("upperJawlineRight", &[16]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use std::collections::HashSet;

    fn crop(left: u32, top: u32, width: u32, height: u32) -> Crop {
        Crop {
            left,
            top,
            width,
            height,
        }
    }

    #[test]
    fn points_are_undone_from_the_square() {
        // A crop twice as high as wide: a quarter of what the network sees is black on each side.
        let area = Area::new(10.5, 20.25, 60.5, 120.25);
        let mut answer = vec![0.5; 2 * POINTS];
        answer[..4].copy_from_slice(&[0.25, 0.0, 0.75, 1.0]);
        let landmarks = Landmarks::decode(&answer, &area, crop(10, 20, 50, 100)).unwrap();
        assert_eq!(landmarks.points()[0], Point::new(10.5, 20.25));
        assert_eq!(landmarks.points()[1], Point::new(60.5, 120.25));
        assert_eq!(landmarks.points()[2], Point::new(35.5, 70.25));
        for wrong in [vec![0.0; 135], vec![f32::NAN; 136]] {
            let error = Landmarks::decode(&wrong, &area, crop(10, 20, 50, 100)).unwrap_err();
            assert_eq!(error.kind(), Kind::Internal);
        }
    }

    fn reference() -> (Landmarks, [f64; 4]) {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/faces.json");
        let golden: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let face = &golden["items"][0]["faces"][0];
        let number = |value: &serde_json::Value| value.as_f64().unwrap();
        let points = face["landmarks68"].as_array().unwrap();
        let landmarks = Landmarks::known(std::array::from_fn(|i| {
            Point::new(number(&points[i][0]) as f32, number(&points[i][1]) as f32)
        }));
        let aligned = &face["aligned_box_xywh"];
        (landmarks, std::array::from_fn(|i| number(&aligned[i])))
    }

    #[test]
    fn the_aligned_box_is_that_of_the_reference() {
        let (landmarks, [x, y, width, height]) = reference();
        let found = landmarks.aligned(512, 512).unwrap();
        assert_eq!(found, crop(x as u32, y as u32, width as u32, height as u32));
        // Outside the image nothing is left.
        assert_eq!(landmarks.aligned(100, 50), None);
    }

    #[test]
    fn names_are_rekognitions() {
        let (landmarks, _) = reference();
        let named = landmarks.named();
        let names: HashSet<_> = named.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), 30);
        let at = |wanted: &str| named.iter().find(|(name, _)| *name == wanted).unwrap().1;
        assert!(at("eyeLeft").x < at("nose").x && at("nose").x < at("eyeRight").x);
        assert!(at("leftEyeUp").y < at("leftEyeDown").y);
        assert!(at("mouthUp").y < at("mouthDown").y && at("mouthDown").y < at("chinBottom").y);
        assert!(at("leftEyeBrowUp").y < at("leftPupil").y);
        let irises = [Point::new(1.0, 2.0), Point::new(3.0, 4.0)];
        let seen = landmarks.clone().with_pupils(irises).named();
        let changed = seen.iter().zip(&named).filter(|(a, b)| a != b);
        let changed: Vec<_> = changed.map(|(a, _)| *a).collect();
        assert_eq!(
            changed,
            [("leftPupil", irises[0]), ("rightPupil", irises[1])]
        );
        assert!(at("upperJawlineLeft").x < at("upperJawlineRight").x);
        let default: Vec<_> = named[..DEFAULT_NAMES]
            .iter()
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(
            default,
            ["eyeLeft", "eyeRight", "mouthLeft", "mouthRight", "nose"]
        );
    }
}
