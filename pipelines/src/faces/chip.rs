//! What the network for descriptors is shown: a face turned, scaled and moved until its points lie where those of the
//! mean face do, as dlib's network was trained to see faces.
//!
//! Reference: dlib, `get_face_chip_details` (`dlib/image_transforms/interpolation.h`) with a padding of a quarter.

use super::landmarks::Landmarks;
use crate::vision::Point;
use crate::vision::turned::Turned;
use image::RgbImage;

/// Pixels along each side.
pub const SIDE: u32 = 150;
/// Black or image around the mean face, as a part of its size, on each side.
const PADDING: f32 = 0.25;

/// Where points of the mean face are: the bridge and the base of the nose, the eyes, the upper lip and the inner mouth, by
/// their place in the order of iBUG 300-W. Brows and the lower lip move too much to be told by.
const MEAN: [(usize, f32, f32); 33] = [
    (27, 0.490_127, 0.203_352),
    (28, 0.490_127, 0.307_009),
    (29, 0.490_127, 0.409_805),
    (30, 0.490_127, 0.515_625),
    (31, 0.366_88, 0.587_326),
    (32, 0.426_036, 0.609_345),
    (33, 0.490_127, 0.628_106),
    (34, 0.554_217, 0.609_345),
    (35, 0.613_373, 0.587_326),
    (36, 0.121_737, 0.216_423),
    (37, 0.187_122, 0.178_758),
    (38, 0.265_825, 0.179_852),
    (39, 0.334_606, 0.231_733),
    (40, 0.260_918, 0.245_099),
    (41, 0.182_743, 0.244_077),
    (42, 0.645_647, 0.231_733),
    (43, 0.714_428, 0.179_852),
    (44, 0.793_132, 0.178_758),
    (45, 0.858_516, 0.216_423),
    (46, 0.797_51, 0.244_077),
    (47, 0.719_335, 0.245_099),
    (48, 0.254_149, 0.780_233),
    (49, 0.340_985, 0.745_405),
    (50, 0.428_858, 0.727_388),
    (51, 0.490_127, 0.742_578),
    (52, 0.551_395, 0.727_388),
    (53, 0.639_268, 0.745_405),
    (54, 0.726_104, 0.780_233),
    (60, 0.290_379, 0.784_792),
    (61, 0.428_096, 0.778_746),
    (62, 0.490_127, 0.785_343),
    (63, 0.552_157, 0.778_746),
    (64, 0.689_874, 0.784_792),
];

/// The chip of a face; `None` when its points are all in one place.
pub fn chip(image: &RgbImage, landmarks: &Landmarks) -> Option<RgbImage> {
    let place = |part: f32| (part + PADDING) / (1.0 + 2.0 * PADDING) * SIDE as f32;
    let mean = MEAN.map(|(_, x, y)| Point::new(place(x), place(y)));
    // Points are counted from the middle of the first pixel, squares from its edge.
    let found = MEAN.map(|(index, ..)| {
        let Point { x, y } = landmarks.points()[index];
        Point::new(x + 0.5, y + 0.5)
    });
    let square = Turned::fitted(&mean, &found, SIDE as f32)?;
    Some(square.pixels(image, SIDE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faces::landmarks::POINTS;
    use serde_json::Value;

    /// Chips as dlib cuts them, upright and turned, by the means of squares of 15 pixels.
    #[test]
    fn chips_are_those_of_the_reference() {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/");
        let text = std::fs::read_to_string(format!("{golden}chips.json")).unwrap();
        let chips: Value = serde_json::from_str(&text).unwrap();
        let items = chips["items"].as_array().unwrap();
        assert_eq!(items.len(), 3);
        for item in items {
            let name = item["image"].as_str().unwrap();
            let file = name.split(' ').next().unwrap();
            let mut image = image::open(format!("{golden}images/{file}"))
                .unwrap()
                .to_rgb8();
            if file != name {
                image = image::imageops::rotate90(&image);
            }
            let number = |value: &Value| value.as_f64().unwrap() as f32;
            let points: [Point; POINTS] = std::array::from_fn(|i| {
                let at = &item["points"][i];
                // The reference counts from the middle of the first pixel, in whole ones.
                Point::new(number(&at[0]).round(), number(&at[1]).round())
            });
            let chip = chip(&image, &Landmarks::known(points)).unwrap();
            let wanted: Vec<f32> = item["cells"]
                .as_array()
                .unwrap()
                .iter()
                .map(number)
                .collect();
            assert_eq!(wanted.len(), 300);
            let mut worst = 0.0_f32;
            for (index, wanted) in wanted.iter().enumerate() {
                let (row, column, channel) = (index / 30, index / 3 % 10, index % 3);
                let cell = (0..225).map(|at| {
                    let (x, y) = (column * 15 + at % 15, row * 15 + at / 15);
                    f32::from(chip.get_pixel(x as u32, y as u32).0[channel])
                });
                worst = worst.max((cell.sum::<f32>() / 225.0 - wanted).abs());
            }
            assert!(worst < 4.0, "{name}: {worst}");
        }
    }
}
