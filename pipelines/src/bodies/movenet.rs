//! What MoveNet sees and what its numbers mean.

use super::Joint;
use crate::error::{Error, Kind, Result};
use crate::image::resize::Crop;
use crate::vision::Point;
use crate::vision::resample::{Canvas, Grid, bilinear};
use image::RgbImage;

/// Pixels along each side of what the network sees.
pub const SIDE: u32 = 192;
/// Points of a body.
pub const COUNT: usize = 17;
/// Their names, in the order of the network's outputs; left and right are the person's own.
pub const JOINTS: [&str; COUNT] = [
    "nose",
    "leftEye",
    "rightEye",
    "leftEar",
    "rightEar",
    "leftShoulder",
    "rightShoulder",
    "leftElbow",
    "rightElbow",
    "leftWrist",
    "rightWrist",
    "leftHip",
    "rightHip",
    "leftKnee",
    "rightKnee",
    "leftAnkle",
    "rightAnkle",
];

/// A part of an image as the network was trained to see it: in the middle of a black square, 192 x 192 x 3, whole
/// numbers 0 to 255.
pub fn input(image: &RgbImage, crop: Crop) -> Vec<f32> {
    let mut pixels = bilinear(image, Canvas::middle(crop), SIDE, SIDE, Grid::Corner);
    for value in &mut pixels {
        *value = value.trunc();
    }
    pixels
}

/// The points of a body in `crop`, from the network's down, across and score of each.
///
/// # Errors
/// `Internal` when the answer has another size or holds what is not a number.
pub fn decode(answer: &[f32], crop: Crop) -> Result<[Joint; COUNT]> {
    let broken = |what: &str| Error::new(Kind::Internal, format!("the body network gave {what}"));
    if answer.len() != 3 * COUNT {
        return Err(broken("an answer of another size"));
    }
    if !answer.iter().all(|value| value.is_finite()) {
        return Err(broken("what is no number"));
    }
    let canvas = Canvas::middle(crop);
    let side = canvas.size().0 as f32;
    let (left, top) = canvas.offset();
    let place = |share: f32, margin: u32, start: u32| share * side - margin as f32 + start as f32;
    Ok(std::array::from_fn(|index| {
        let [down, across, score] = [0, 1, 2].map(|i| answer[3 * index + i]);
        Joint {
            point: Point::new(place(across, left, crop.left), place(down, top, crop.top)),
            score: score.clamp(0.0, 1.0),
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn points_are_undone_from_the_square() {
        let crop = Crop {
            left: 10,
            top: 20,
            width: 50,
            height: 100,
        };
        let mut answer = [0.5; 3 * COUNT];
        answer[..3].copy_from_slice(&[0.0, 0.25, 2.0]);
        let joints = decode(&answer, crop).unwrap();
        assert_eq!(
            (joints[0].point, joints[0].score),
            (Point::new(10.0, 20.0), 1.0)
        );
        assert_eq!(joints[1].point, Point::new(35.0, 70.0));
        assert!(decode(&answer[1..], crop).is_err());
        assert!(decode(&[f32::NAN; 3 * COUNT], crop).is_err());
    }

    #[test]
    fn the_input_is_whole_numbers_on_black() {
        let image = RgbImage::from_fn(300, 100, |x, _| Rgb([x as u8, 200, 9]));
        let input = input(&image, Crop::whole(300, 100));
        assert!(input.iter().all(|v| v.fract() == 0.0));
        assert_eq!(input[..3], [0.0; 3]);
        let middle = ((SIDE / 2 * SIDE) * 3) as usize;
        assert_eq!(input[middle + 1], 200.0);
    }
}
