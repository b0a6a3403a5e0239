//! What NanoDet sees and what its numbers mean.
//!
//! Reference: RangiLyu/nanodet, `nanodet/model/head/nanodet_head.py`, NanoDet-g at 416 pixels. Every place of three
//! grids (8, 16 and 32 pixels apart) answers 80 scores and, for each of its four sides, how likely each of 11
//! distances to the box's edge is. The mean distance, in steps of the grid, places the edge.

use super::Detection;
use super::kinds::CLASSES;
use crate::error::{Error, Kind, Result};
use crate::vision::Area;
use crate::vision::boxes::{suppress, surer};
use escala_weights::declaration::{Colours, Filter, Input, Layout, Resize};

/// Pixels along each side of what the network sees.
pub const SIDE: u32 = 416;
/// Pixels between the places of each grid.
pub const STRIDES: [u32; 3] = [8, 16, 32];
/// Distances that a place knows for a side of its box, in steps of its grid.
const DISTANCES: usize = 11;
/// Numbers that a place answers for its box.
pub const SIDES: usize = 4 * DISTANCES;

/// What the network was trained to see: the image stretched, in planes of blue, green and red, 3 x 416 x 416.
pub const INPUT: Input = Input {
    width: SIDE,
    height: SIDE,
    layout: Layout::Nchw,
    colours: Colours::Bgr,
    resize: Resize::Stretch {},
    filter: Filter::TensorflowBilinear,
    scale: 1.0,
    mean: [103.53, 116.28, 123.675],
    std: [57.375, 57.12, 58.395],
};

/// Boxes of one class that are compared with each other; many times what an image holds.
const CANDIDATES: usize = 1000;

/// The score from which on detections are worth showing.
const WORKING_POINT: f32 = 0.33;
/// How sure one is of such a detection.
const SURENESS: f32 = 0.55;

/// Places of a grid.
pub fn places(stride: u32) -> usize {
    (SIDE / stride) as usize * (SIDE / stride) as usize
}

/// What the network answers for one grid.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Scores 0 to 1, [`CLASSES`] a place.
    pub scores: &'a [f32],
    /// Distances before softmax, [`SIDES`] a place.
    pub sides: &'a [f32],
}

/// Which detections to keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Least score.
    pub score: f32,
    /// Of two boxes of one class that overlap more than this, the surer remains.
    pub overlap: f32,
    /// Most detections of an image.
    pub most: usize,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            score: 0.3,
            overlap: 0.5,
            most: 100,
        }
    }
}

/// How sure one may be of a detection with a score. The network's scores say which of two is surer, but are low: of what it
/// finds with [`WORKING_POINT`], its best compromise between what is missed and what is not there, somewhat more than
/// half is right. So the working point becomes 0.55, and scores lie evenly on both sides of it: 0 remains 0, and 1
/// remains 1.
pub fn sureness(score: f32) -> f32 {
    if score < WORKING_POINT {
        score * (SURENESS / WORKING_POINT)
    } else {
        SURENESS + (score - WORKING_POINT) * ((1.0 - SURENESS) / (1.0 - WORKING_POINT))
    }
}

/// The detections in a `width` x `height` image, surest first.
///
/// # Errors
/// `Internal` when an answer has not the size of its grid or holds what is not a number.
pub fn decode(
    answers: [Answer<'_>; 3],
    width: u32,
    height: u32,
    thresholds: &Thresholds,
) -> Result<Vec<Detection>> {
    let mut classes: Vec<Vec<(f32, Area)>> = vec![Vec::new(); CLASSES];
    let (across, down) = (width as f32 / SIDE as f32, height as f32 / SIDE as f32);
    for (answer, stride) in answers.into_iter().zip(STRIDES) {
        let count = places(stride);
        if answer.scores.len() != count * CLASSES || answer.sides.len() != count * SIDES {
            return Err(broken("an answer of another size"));
        }
        if !answer.scores.iter().all(|score| score.is_finite()) {
            return Err(broken("a score that is no number"));
        }
        let columns = (SIDE / stride) as usize;
        let scores = answer.scores.chunks_exact(CLASSES);
        for (place, (scores, sides)) in scores.zip(answer.sides.chunks_exact(SIDES)).enumerate() {
            if scores.iter().all(|&score| score <= thresholds.score) {
                continue;
            }
            let at = |index: usize| (index as f32 + 0.5) * stride as f32;
            let (x, y) = (at(place % columns), at(place / columns));
            let [left, top, right, bottom]: [f32; 4] = std::array::from_fn(|side| {
                stride as f32 * mean(&sides[side * DISTANCES..][..DISTANCES])
            });
            let area = Area::new(
                (x - left) * across,
                (y - top) * down,
                (x + right) * across,
                (y + bottom) * down,
            );
            if !area.is_finite() {
                return Err(broken("a distance that is no number"));
            }
            for (class, &score) in scores.iter().enumerate() {
                if score > thresholds.score {
                    classes[class].push((score, area));
                }
            }
        }
    }
    let mut found = Vec::new();
    for (class, mut candidates) in classes.into_iter().enumerate() {
        candidates.sort_by(|a, b| surer(a.0, b.0));
        candidates.truncate(CANDIDATES);
        for index in suppress(&candidates, thresholds.overlap, thresholds.most) {
            let (score, area) = candidates[index];
            let area = area.within(width, height);
            if area.size() > 0.0 {
                found.push(Detection { class, score, area });
            }
        }
    }
    found.sort_by(|a, b| surer(a.score, b.score));
    found.truncate(thresholds.most);
    Ok(found)
}

/// The mean of 0 to 10, weighted by softmax.
fn mean(scores: &[f32]) -> f32 {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for (distance, score) in scores.iter().enumerate() {
        let weight = (score - most).exp();
        sum += weight;
        weighted += weight * distance as f32;
    }
    weighted / sum
}

fn broken(what: &str) -> Error {
    Error::new(Kind::Internal, format!("the object network gave {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::preprocess::show;
    use image::{Rgb, RgbImage};

    struct Raw {
        scores: [Vec<f32>; 3],
        sides: [Vec<f32>; 3],
    }

    impl Raw {
        fn empty() -> Self {
            Self {
                scores: STRIDES.map(|s| vec![0.0; places(s) * CLASSES]),
                sides: STRIDES.map(|s| vec![0.0; places(s) * SIDES]),
            }
        }

        /// One class at one place, with edges at whole distances.
        fn put(&mut self, grid: usize, place: usize, class: usize, score: f32, sides: [usize; 4]) {
            self.scores[grid][place * CLASSES + class] = score;
            for (side, distance) in sides.into_iter().enumerate() {
                self.sides[grid][place * SIDES + side * DISTANCES + distance] = 200.0;
            }
        }

        fn decode(&self, width: u32, height: u32) -> Result<Vec<Detection>> {
            let answers = std::array::from_fn(|i| Answer {
                scores: &self.scores[i],
                sides: &self.sides[i],
            });
            decode(answers, width, height, &Thresholds::default())
        }
    }

    #[test]
    fn the_input_is_planes_of_blue_green_and_red() {
        let image = RgbImage::from_pixel(100, 50, Rgb([200, 100, 10]));
        let input = show(&INPUT, &image).pixels;
        let plane = (SIDE * SIDE) as usize;
        assert_eq!(input.len(), 3 * plane);
        for (channel, value) in [(0, 10.0), (1, 100.0), (2, 200.0)] {
            let wanted = (value - INPUT.mean[channel]) / INPUT.std[channel];
            let values = &input[channel * plane..(channel + 1) * plane];
            assert!(values.iter().all(|v| (v - wanted).abs() < 1e-5));
        }
    }

    #[test]
    fn places_and_distances_make_boxes() {
        let mut raw = Raw::empty();
        // Row 1, column 2 of the coarsest grid: centre (80, 48); then twice as wide, half as high.
        raw.put(2, 15, 7, 0.9, [1, 0, 2, 3]);
        let found = raw.decode(832, 208).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].class, found[0].score), (7, 0.9));
        assert_eq!(found[0].area, Area::new(96.0, 24.0, 288.0, 72.0));
    }

    #[test]
    fn sureness_grows_with_the_score() {
        assert_eq!(sureness(0.0), 0.0);
        assert!(
            (sureness(1.0) - 1.0).abs() < 1e-6 && (sureness(WORKING_POINT) - 0.55).abs() < 1e-6
        );
        let steps: Vec<f32> = (0..=1000).map(|i| sureness(i as f32 / 1000.0)).collect();
        assert!(steps.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn equal_distances_mean_the_middle() {
        assert_eq!(mean(&[0.0; DISTANCES]), 5.0);
        assert!((mean(&[1000.0, 1000.0, 0.0]) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn a_class_suppresses_itself_only() {
        let mut raw = Raw::empty();
        raw.put(2, 84, 3, 0.8, [2, 2, 2, 2]);
        raw.put(2, 84, 1, 0.5, [2, 2, 2, 2]);
        // The same box from the finer grid, surer.
        raw.put(1, 13 * 2 * 12 + 12, 3, 0.9, [4, 4, 5, 5]);
        let found = raw.decode(416, 416).unwrap();
        let classes: Vec<_> = found.iter().map(|d| (d.class, d.score)).collect();
        assert_eq!(classes, [(3, 0.9), (1, 0.5)]);
    }

    #[test]
    fn boxes_end_at_the_image() {
        let mut raw = Raw::empty();
        raw.put(2, 0, 0, 0.9, [10, 10, 10, 10]);
        let found = raw.decode(100, 100).unwrap();
        assert_eq!((found[0].area.left, found[0].area.top), (0.0, 0.0));
        assert!(found[0].area.right <= 100.0);
    }

    #[test]
    fn broken_answers_are_errors() {
        let mut short = Raw::empty();
        short.scores[1].pop();
        let mut not_a_number = Raw::empty();
        not_a_number.scores[0][17] = f32::NAN;
        let mut nowhere = Raw::empty();
        nowhere.put(0, 5, 5, 0.9, [1, 1, 1, 1]);
        nowhere.sides[0][5 * SIDES] = f32::NAN;
        for raw in [short, not_a_number, nowhere] {
            assert_eq!(raw.decode(10, 10).unwrap_err().kind(), Kind::Internal);
        }
        // Everything above the threshold everywhere still ends.
        let mut full = Raw::empty();
        for scores in &mut full.scores {
            scores.fill(0.99);
        }
        assert!(full.decode(416, 416).unwrap().len() <= 100);
    }
}
