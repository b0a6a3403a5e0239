//! 468 points of a face in space: whether it is a face, how it is turned, and whether eyes and mouth are open.
//!
//! MediaPipe's face mesh is shown a square of one and a half times the detected box. Its flag is a second opinion:
//! the detector takes a cat or a badge for a face now and then, the mesh does not.

use super::broken;
use crate::error::Result;
use crate::vision::resample::crop_and_resize;
use crate::vision::{Area, Point};
use image::RgbImage;

/// Pixels along each side of what the network sees.
pub const SIDE: u32 = 192;
/// Points of the mesh.
pub const POINTS: usize = 468;
/// How much larger than the longer side of the box the square is.
const MARGIN: f32 = 1.5;
/// Degrees downwards that the pitch of a face looking straight ahead comes out as.
const PITCH_OFFSET: f32 = 6.0;

/// The square that is shown to the network for a face at `area`.
pub fn square(area: &Area) -> Area {
    let centre = area.centre();
    let half = MARGIN / 2.0 * area.width().max(area.height());
    Area::new(
        centre.x - half,
        centre.y - half,
        centre.x + half,
        centre.y + half,
    )
}

/// The face as the network was trained to see it: 192 x 192 x 3, 0 to 1, black outside the image.
pub fn input(image: &RgbImage, area: &Area) -> Vec<f32> {
    let mut pixels = crop_and_resize(image, square(area), SIDE);
    for value in &mut pixels {
        *value /= 255.0;
    }
    pixels
}

/// A point of the mesh in pixels of what the network saw; away from the viewer is positive.
type Spot = [f32; 3];

/// The points of a face, in space.
#[derive(Clone, Debug)]
pub struct Mesh {
    spots: Vec<Spot>,
}

/// How a face is turned, in degrees; 0 is towards the viewer. Signs are Rekognition's, as its published answers show them
/// beside the places of eyes, nose and mouth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pose {
    /// Clockwise tilt: the eye on the image's right is lower.
    pub roll: f32,
    /// Turn towards the image's right.
    pub yaw: f32,
    /// Nod up.
    pub pitch: f32,
}

/// Where in the image a place is that a network saw at `spot` of a square of `side` pixels.
pub(super) fn place(spot: Point, square: &Area, side: u32, image: (u32, u32)) -> Point {
    // As `crop_and_resize` reads: areas are relative to the image's size, places to its last pixel.
    let along = |spot: f32, from: f32, to: f32, length: u32| {
        let (length, last) = (length.max(1) as f32, length.saturating_sub(1) as f32);
        (from + spot * (to - from) / (side - 1) as f32) / length * last
    };
    Point::new(
        along(spot.x, square.left, square.right, image.0),
        along(spot.y, square.top, square.bottom, image.1),
    )
}

/// [`place`] of a point of the mesh of a face at `area`.
pub(super) fn in_image(spot: Point, area: &Area, image: (u32, u32)) -> Point {
    place(spot, &square(area), SIDE, image)
}

impl Mesh {
    /// From the network's numbers, three a point.
    ///
    /// # Errors
    /// `Internal` when the answer has another size or holds what is not a number.
    pub fn decode(answer: &[f32]) -> Result<Self> {
        if answer.len() != 3 * POINTS {
            return Err(broken("an answer of another size"));
        }
        if !answer.iter().all(|value| value.is_finite()) {
            return Err(broken("a point that is no number"));
        }
        Ok(Self {
            spots: answer.as_chunks::<3>().0.to_vec(),
        })
    }

    /// How the face is turned.
    pub fn pose(&self) -> Pose {
        // From ear to ear and from forehead to chin; the third axis is across both.
        let across = minus(self.spots[454], self.spots[234]);
        let down = unit(minus(self.spots[152], self.spots[10]));
        let out = unit(cross(across, down));
        let across = unit(cross(down, out));
        let (roll, yaw, pitch) = (
            -down[0].atan2(across[0].hypot(out[0])),
            (-out[0]).atan2(across[0]),
            (-down[2]).atan2(down[1]),
        );
        Pose {
            roll: roll.to_degrees(),
            yaw: yaw.to_degrees(),
            pitch: pitch.to_degrees() + PITCH_OFFSET,
        }
    }

    /// How sure it is that the eyes are open, 0 to 1: the opening of the lids, in widths of the eye.
    pub fn eyes_open(&self) -> f32 {
        let left = self.ratio((159, 145), (33, 133));
        let right = self.ratio((386, 374), (362, 263));
        share((left + right) / 2.0, 0.17, 0.03)
    }

    /// How sure it is that the mouth is open, 0 to 1: the opening of the lips, in widths of the mouth.
    pub fn mouth_open(&self) -> f32 {
        share(self.ratio((13, 14), (61, 291)), 0.1, 0.02)
    }

    fn ratio(&self, opening: (usize, usize), width: (usize, usize)) -> f32 {
        let distance = |(a, b): (usize, usize)| self.flat(a).distance(self.flat(b));
        let width = distance(width);
        if width > 0.0 {
            distance(opening) / width
        } else {
            0.0
        }
    }

    /// A point in pixels of what the network saw.
    pub(super) fn flat(&self, index: usize) -> Point {
        Point::new(self.spots[index][0], self.spots[index][1])
    }
}

/// A measure that is half sure at `middle`, and turns over about `width` around it.
pub(super) fn share(value: f32, middle: f32, width: f32) -> f32 {
    1.0 / (1.0 + ((middle - value) / width).exp())
}

fn minus(a: Spot, b: Spot) -> Spot {
    std::array::from_fn(|i| a[i] - b[i])
}

fn cross(a: Spot, b: Spot) -> Spot {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

/// Of length 1; as it is when it has none.
fn unit(a: Spot) -> Spot {
    let length = a.iter().map(|v| v * v).sum::<f32>().sqrt();
    if length > 0.0 {
        a.map(|v| v / length)
    } else {
        a
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    /// The reference's points that matter, and its pose.
    fn reference() -> Vec<(String, Mesh, Pose)> {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/facemesh.json");
        let golden: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let items = golden["items"].as_array().unwrap().iter();
        let number = |value: &serde_json::Value| value.as_f64().unwrap() as f32;
        items
            .map(|item| {
                let mut spots = vec![[0.0; 3]; POINTS];
                for (index, spot) in item["points_crop192"].as_object().unwrap() {
                    spots[index.parse::<usize>().unwrap()] =
                        std::array::from_fn(|i| number(&spot[i]));
                }
                let pose = &item["pose_deg"];
                let pose = Pose {
                    roll: number(&pose["roll"]),
                    yaw: number(&pose["yaw"]),
                    pitch: number(&pose["pitch"]),
                };
                (
                    item["image"].as_str().unwrap().to_owned(),
                    Mesh { spots },
                    pose,
                )
            })
            .collect()
    }

    #[test]
    fn poses_are_those_of_the_reference() {
        let golden = reference();
        assert_eq!(golden.len(), 3);
        for (image, mesh, wanted) in golden {
            let pose = mesh.pose();
            // The reference counts turns to the left and downwards and does not subtract the offset; its points are
            // rounded to a thousandth.
            for (found, wanted) in [
                (pose.roll, wanted.roll),
                (-pose.yaw, wanted.yaw),
                (PITCH_OFFSET - pose.pitch, wanted.pitch),
            ] {
                assert!((found - wanted).abs() < 0.02, "{image}: {pose:?}");
            }
        }
    }

    /// The cat looks to the image's right and down: its nose is nearer to the right eye and far below both.
    #[test]
    fn signs_are_rekognitions() {
        let golden = reference();
        let (_, mesh, _) = golden
            .iter()
            .find(|(image, ..)| image == "chelsea.png")
            .unwrap();
        let (left, right, nose) = (mesh.flat(33), mesh.flat(263), mesh.flat(1));
        assert!(nose.distance(right) < nose.distance(left));
        let pose = mesh.pose();
        assert!(pose.yaw > 10.0 && pose.pitch < -5.0, "{pose:?}");
        let (_, astronaut, _) = golden
            .iter()
            .find(|(image, ..)| image == "astronaut.png")
            .unwrap();
        assert!(astronaut.flat(263).y > astronaut.flat(33).y && astronaut.pose().roll > 2.0);
    }

    /// An astronaut who laughs and an officer with closed lips; both look at the camera.
    #[test]
    fn open_eyes_and_mouths_are_seen() {
        let golden = reference();
        let mesh = |name: &str| &golden.iter().find(|(image, ..)| image == name).unwrap().1;
        for name in ["astronaut.png", "grace_hopper.jpg"] {
            assert!(mesh(name).eyes_open() > 0.9, "{name}");
        }
        assert!(mesh("astronaut.png").mouth_open() > 0.9);
        assert!(mesh("grace_hopper.jpg").mouth_open() < 0.1);
    }

    #[test]
    fn the_square_is_larger_than_the_face_and_black_outside() {
        let area = Area::new(0.0, 0.0, 40.0, 20.0);
        assert_eq!(square(&area), Area::new(-10.0, -20.0, 50.0, 40.0));
        let input = input(&RgbImage::from_pixel(100, 100, Rgb([255; 3])), &area);
        assert_eq!(input.len(), (SIDE * SIDE * 3) as usize);
        assert_eq!((input[0], input[input.len() - 1]), (0.0, 1.0));
    }

    #[test]
    fn points_that_are_none_make_no_panic() {
        assert!(Mesh::decode(&[0.0; 3]).is_err());
        assert!(Mesh::decode(&[f32::NAN; 3 * POINTS]).is_err());
        let mesh = Mesh::decode(&[5.0; 3 * POINTS]).unwrap();
        let pose = mesh.pose();
        assert!(
            [pose.roll, pose.yaw, pose.pitch]
                .iter()
                .all(|v| v.is_finite())
        );
        assert!(mesh.eyes_open() < 0.1 && mesh.mouth_open() < 0.1);
    }
}
