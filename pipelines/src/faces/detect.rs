//! What the face detector sees and what its numbers mean.
//!
//! A single-shot detector: 5,118 boxes (anchors) lie on the image, and for each the network answers how to move and
//! stretch it and whether a face is in it. The anchors are a tensor of the weights.

use super::broken;
use super::upright::Features;
use crate::error::Result;
use crate::image::resize::Crop;
use crate::vision::Area;
use crate::vision::boxes::{suppress, surer};
use crate::vision::resample::{Canvas, Grid, bilinear};
use image::RgbImage;

/// Pixels along each side of what the network sees.
pub const SIDE: u32 = 512;
/// Boxes that the network judges.
pub const ANCHORS: usize = 5118;
/// Numbers of a box: top, left, bottom, right, as parts of the side.
pub const EDGES: usize = 4;
/// Numbers that the network answers for the contents of a box; the second is the face.
pub const CLASSES: usize = 3;

/// Boxes that are compared with each other; many times what an image holds.
const CANDIDATES: usize = 1000;
/// A face below this part of the longer side is small for this detector: it has fewer than 52 pixels.
const SMALL: f32 = 0.1;
/// Below this part it takes what is beside a face for one.
const TINY: f32 = 0.05;
/// Boxes of two detectors that overlap more than this are one face.
pub(super) const SAME: f32 = 0.3;
/// Centres and sizes were trained this many times larger than they are.
const SCALES: [f32; 2] = [10.0, 5.0];

/// What is black to the network.
pub(super) const BLACK: f32 = -1.0;

/// How many of the network's pixels an image of this size covers.
pub(super) fn seen((width, height): (u32, u32)) -> (u32, u32) {
    let longer = u64::from(width.max(height).max(1));
    let part = |length: u32| {
        (u64::from(length) * u64::from(SIDE))
            .div_ceil(longer)
            .max(1) as u32
    };
    (part(width), part(height))
}

/// The image as the network was trained to see it: in the upper left corner of a black square, 512 x 512 x 3,
/// −1 to 1.
pub fn input(image: &RgbImage) -> Vec<f32> {
    let canvas = Canvas::corner(Crop::whole(image.width(), image.height()));
    let mut pixels = bilinear(image, canvas, SIDE, SIDE, Grid::Corner);
    for value in &mut pixels {
        *value = *value / 127.5 - 1.0;
    }
    pixels
}

/// Which boxes to keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Least score.
    pub score: f32,
    /// Of two boxes that overlap more than this, the surer remains.
    pub overlap: f32,
    /// Most boxes of an image.
    pub most: usize,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            // Large faces in the corner of a wide picture are found so; what is none is told by the mesh's flag.
            score: 0.3,
            overlap: 0.5,
            most: 100,
        }
    }
}

/// A box that may hold a face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// How sure the detector is, 0 to 1.
    pub score: f32,
    /// Where it is; it may reach outside the image, but not outside the square around it.
    pub area: Area,
    /// Eyes, nose and mouth, where the detector sees them.
    pub features: Option<Features>,
}

/// The boxes of a `width` x `height` image, surest first. `boxes` and `classes` are the network's answers, `anchors`
/// what they are relative to.
///
/// # Errors
/// `Internal` when an answer has another size or holds what is not a number.
pub fn decode(
    boxes: &[f32],
    classes: &[f32],
    anchors: &[f32],
    (width, height): (u32, u32),
    thresholds: &Thresholds,
) -> Result<Vec<Candidate>> {
    if boxes.len() != ANCHORS * EDGES
        || anchors.len() != ANCHORS * EDGES
        || classes.len() != ANCHORS * CLASSES
    {
        return Err(broken("an answer of another size"));
    }
    let side = width.max(height) as f32;
    let mut found = Vec::new();
    let all = boxes.as_chunks::<EDGES>().0.iter();
    let all = all.zip(anchors.as_chunks::<EDGES>().0);
    for ((moved, anchor), classes) in all.zip(classes.as_chunks::<CLASSES>().0) {
        if !classes[1].is_finite() {
            return Err(broken("a score that is no number"));
        }
        let score = sigmoid(classes[1]);
        if score < thresholds.score {
            continue;
        }
        if !moved.iter().all(|value| value.is_finite()) {
            return Err(broken("a box that is no number"));
        }
        // Along one axis: 0 is down, 1 is across.
        let span = |axis: usize| {
            let (from, to) = (anchor[axis], anchor[axis + 2]);
            let size = to - from;
            let centre = moved[axis] / SCALES[0] * size + (from + to) / 2.0;
            let half = (moved[axis + 2] / SCALES[1]).exp() * size / 2.0;
            (
                (centre - half).max(0.0) * side,
                (centre + half).min(1.0) * side,
            )
        };
        let ((top, bottom), (left, right)) = (span(0), span(1));
        found.push((score, Area::new(left, top, right, bottom)));
    }
    found.sort_by(|a, b| surer(a.0, b.0));
    found.truncate(CANDIDATES);
    let kept = suppress(&found, thresholds.overlap, thresholds.most);
    let candidate = |index: usize| {
        let (score, area) = found[index];
        Candidate {
            score,
            area,
            features: None,
        }
    };
    Ok(kept.into_iter().map(candidate).collect())
}

/// What two detectors found, each face once. `found` are of the network of this file, which sees large faces best and
/// those seen from the side; `second` are of the [cascade](super::cascade), which sees small ones best: of a face that
/// both found, the box of the better one remains.
pub(super) fn united(
    mut found: Vec<Candidate>,
    mut second: Vec<Candidate>,
    (width, height): (u32, u32),
) -> Vec<Candidate> {
    let longer = width.max(height) as f32;
    let part = |area: &Area| area.width().max(area.height()) / longer;
    let same = |one: &Candidate, other: &Candidate| one.area.overlap(&other.area) > SAME;
    found.retain(|one| match part(&one.area) {
        tiny if tiny < TINY => false,
        small if small < SMALL => !second.iter().any(|other| same(one, other)),
        _ => true,
    });
    second.retain(|other| {
        let Some(one) = found.iter_mut().find(|one| same(one, other)) else {
            return true;
        };
        one.features = other.features;
        false
    });
    found.extend(second);
    found
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::vision::Point;
    use image::Rgb;

    #[test]
    fn the_input_is_padded_with_black_at_the_right_and_below() {
        let input = input(&RgbImage::from_pixel(100, 50, Rgb([255, 127, 0])));
        assert_eq!(input.len(), (SIDE * SIDE * 3) as usize);
        let at = |x: u32, y: u32| &input[((y * SIDE + x) * 3) as usize..][..3];
        assert_eq!(at(0, 0)[0], 1.0);
        assert_eq!(at(511, 200)[2], -1.0);
        assert_eq!(at(10, 300), [-1.0; 3]);
    }

    fn answers() -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let anchors = [0.2, 0.4, 0.4, 0.8].repeat(ANCHORS);
        (
            vec![0.0; ANCHORS * EDGES],
            vec![-9.0; ANCHORS * CLASSES],
            anchors,
        )
    }

    #[test]
    fn anchors_are_moved_and_stretched() {
        let (mut boxes, mut classes, anchors) = answers();
        classes[7 * CLASSES + 1] = 0.0;
        // Half an anchor down, three quarters of one to the left; twice as high.
        boxes[7 * EDGES..][..4].copy_from_slice(&[5.0, -7.5, 5.0 * 2_f32.ln(), 0.0]);
        let found = decode(
            &boxes,
            &classes,
            &anchors,
            (1000, 500),
            &Thresholds::default(),
        )
        .unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].score, 0.5);
        let area = found[0].area;
        for (edge, wanted) in [
            (area.left, 100.0),
            (area.top, 200.0),
            (area.right, 500.0),
            (area.bottom, 600.0),
        ] {
            assert!((edge - wanted).abs() < 1e-3, "{area:?}");
        }
    }

    #[test]
    fn the_same_face_is_found_once() {
        let (boxes, mut classes, anchors) = answers();
        for anchor in 0..ANCHORS {
            classes[anchor * CLASSES + 1] = anchor as f32 / 1000.0;
        }
        let found = decode(
            &boxes,
            &classes,
            &anchors,
            (300, 300),
            &Thresholds::default(),
        )
        .unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].score > 0.99);
    }

    /// In a picture of 1000 pixels: of a face that both found the better one's box, what one alone found as it is.
    #[test]
    fn each_face_is_told_once() {
        let features = [Point::new(1.0, 2.0); 5];
        let face = |x: f32, side: f32, score: f32, features: Option<Features>| Candidate {
            score,
            area: Area::new(x, 0.0, x + side, side),
            features,
        };
        let seen = Some(features);
        let told =
            |found: Vec<Candidate>, second: Vec<Candidate>| united(found, second, (1000, 400));
        // Large: the first network's box, with what the second knows of it.
        let large = told(
            vec![face(0.0, 200.0, 0.8, None)],
            vec![face(9.0, 180.0, 0.99, seen)],
        );
        assert_eq!(large, [face(0.0, 200.0, 0.8, seen)]);
        // Small: the second's.
        let small = told(
            vec![face(0.0, 80.0, 0.8, None)],
            vec![face(5.0, 75.0, 0.99, seen)],
        );
        assert_eq!(small, [face(5.0, 75.0, 0.99, seen)]);
        // Small, of the first alone; tiny ones of the first are none.
        let alone = told(
            vec![face(0.0, 80.0, 0.8, None), face(300.0, 40.0, 0.9, None)],
            vec![],
        );
        assert_eq!(alone, [face(0.0, 80.0, 0.8, None)]);
        // Two beside each other, and a tiny one of the second.
        let found = vec![face(0.0, 200.0, 0.8, None)];
        let second = vec![face(150.0, 180.0, 0.99, seen), face(600.0, 30.0, 0.7, seen)];
        let three = told(found, second);
        assert_eq!(three.len(), 3, "{three:?}");
        assert_eq!(three[0].features, None);
    }

    #[test]
    fn broken_answers_are_errors() {
        let (boxes, classes, anchors) = answers();
        let run = |boxes: &[f32], classes: &[f32]| {
            let answer = decode(boxes, classes, &anchors, (9, 9), &Thresholds::default());
            answer.map_err(|error| error.kind())
        };
        assert_eq!(run(&boxes, &classes), Ok(vec![]));
        assert_eq!(run(&boxes[1..], &classes), Err(Kind::Internal));
        let mut not = classes.clone();
        not[1] = f32::NAN;
        assert_eq!(run(&boxes, &not), Err(Kind::Internal));
        let (mut far, mut sure) = (boxes.clone(), classes.clone());
        sure[1] = 9.0;
        far[0] = f32::NAN;
        assert_eq!(run(&far, &sure), Err(Kind::Internal));
    }
}
