//! Whether the eyes are open, and which way they look, from the lids and the place of the iris between the corners of each.
//!
//! MediaPipe's iris network is shown one eye at a time, a square around its corners; it was trained on eyes whose inner
//! corner is on the left, so that the eye on the image's left is mirrored. The direction is geometry, no network's
//! word: an iris is 11.7 mm wide, which gives the scale, and turns about a point 9.9 mm behind it (13.5 mm from the top
//! of the cornea to the centre of rotation, 3.6 mm from there to the iris), so that how far it is from the middle of the
//! eye's corners says how far the eye has turned in the head; the head's own turn is added. Nothing says how sure that
//! is, so no confidence is answered.

use super::broken;
use super::mesh::{self, Mesh, Pose};
use crate::error::Result;
use crate::vision::resample::crop_and_resize;
use crate::vision::{Area, Point};
use image::RgbImage;

/// Pixels along each side of what the network sees.
pub const SIDE: u32 = 64;
/// Numbers that the network gives: 71 points of the eye's outline and five of the iris, three each.
pub const NUMBERS: usize = (71 + 5) * 3;
/// How much larger than the distance of the eye's corners the square is.
const MARGIN: f32 = 2.3;
/// The first point of the iris, its centre; then right, up, left and down on its edge.
const IRIS: usize = 71;
/// The two points of the outline at the eye's corners.
const CORNERS: [usize; 2] = [0, 8];
/// Those in the middle of the lower and of the upper lid.
const LIDS: [usize; 2] = [4, 12];
/// Lids so far apart, in widths of the eye, are as likely open as closed, and it turns over about the second. Between the
/// groups and portraits of the tests: eyes that are open are apart by 0.28 and more, three of four that are closed by 0.20 and
/// less.
const OPEN: (f32, f32) = (0.24, 0.02);

/// Width of an iris in millimetres.
const IRIS_WIDTH: f32 = 11.7;
/// From the iris to the point about which the eye turns, in millimetres.
const RADIUS: f32 = 9.9;
/// How far above the line between the corners the iris of an eye that looks straight ahead is, in millimetres.
const REST: f32 = 2.0;

/// Where the eyes look, in degrees as [`Pose`] has them: 0 is at the viewer, however the head is turned.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gaze {
    /// Towards the image's right.
    pub yaw: f32,
    /// Up.
    pub pitch: f32,
    /// The middles of the irises in pixels of the image, that on the left first.
    pub pupils: [Point; 2],
}

/// One of the two eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// That on the image's left.
    Left,
    /// That on the image's right.
    Right,
}

/// The square that is shown to the network, for a face at `area`; without a size when the corners coincide.
pub fn square(mesh: &Mesh, area: &Area, image: (u32, u32), side: Side) -> Area {
    let corners = match side {
        Side::Left => (33, 133),
        Side::Right => (362, 263),
    };
    let at = |index| {
        let spot = mesh.flat(index);
        mesh::in_image(spot, area, image)
    };
    let (a, b) = (at(corners.0), at(corners.1));
    let centre = Point::mean(&[a, b]);
    let half = MARGIN / 2.0 * a.distance(b);
    Area::new(
        centre.x - half,
        centre.y - half,
        centre.x + half,
        centre.y + half,
    )
}

/// An eye as the network was trained to see it: 64 x 64 x 3, 0 to 1, the one on the left mirrored.
pub fn input(image: &RgbImage, square: Area, side: Side) -> Vec<f32> {
    let mut pixels = crop_and_resize(image, square, SIDE);
    for value in &mut pixels {
        *value /= 255.0;
    }
    if side == Side::Left {
        for row in pixels.chunks_exact_mut(SIDE as usize * 3) {
            let pixels = row.as_chunks_mut::<3>().0;
            pixels.reverse();
        }
    }
    pixels
}

/// An eye in pixels of what the network saw, not mirrored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Eye {
    /// The corners, that on the left first.
    corners: [Point; 2],
    /// The middle of the iris.
    iris: Point,
    /// Its width.
    width: f32,
    /// How far the lids are apart, in distances of the corners.
    apart: f32,
}

/// How sure it is that both eyes are open, 0 to 1: the one that is less open counts twice. `None` when an eye has no size.
pub fn open([left, right]: &[(Eye, Area); 2]) -> Option<f32> {
    let (a, b) = (left.0.apart, right.0.apart);
    let apart = (a + b + a.min(b)) / 3.0;
    let sized = |area: &Area| area.width() >= 1.0;
    (apart.is_finite() && sized(&left.1) && sized(&right.1))
        .then(|| mesh::share(apart, OPEN.0, OPEN.1))
}

impl Eye {
    /// From the network's numbers.
    ///
    /// # Errors
    /// `Internal` when the answer has another size or holds what is not a number.
    pub fn decode(answer: &[f32], side: Side) -> Result<Self> {
        if answer.len() != NUMBERS {
            return Err(broken("an answer of another size"));
        }
        if !answer.iter().all(|value| value.is_finite()) {
            return Err(broken("a point that is no number"));
        }
        let at = |index: usize| {
            let (x, y) = (answer[3 * index], answer[3 * index + 1]);
            match side {
                Side::Left => Point::new((SIDE - 1) as f32 - x, y),
                Side::Right => Point::new(x, y),
            }
        };
        let mut corners = CORNERS.map(at);
        corners.sort_by(|a, b| a.x.total_cmp(&b.x));
        let lids = LIDS.map(at);
        Ok(Self {
            corners,
            iris: at(IRIS),
            width: at(IRIS + 1).distance(at(IRIS + 3)),
            apart: lids[0].distance(lids[1]) / corners[0].distance(corners[1]),
        })
    }

    /// How far to the right and up of the corners' middle the iris is, in millimetres along the line of the corners
    /// and across it; `None` when the points coincide.
    fn offset(&self) -> Option<(f32, f32)> {
        let [left, right] = self.corners;
        let length = left.distance(right);
        if length < 1.0 || self.width < 1.0 {
            return None;
        }
        let (along, down) = ((right.x - left.x) / length, (right.y - left.y) / length);
        let middle = Point::mean(&self.corners);
        let (x, y) = (self.iris.x - middle.x, self.iris.y - middle.y);
        let scale = IRIS_WIDTH / self.width;
        Some((
            (x * along + y * down) * scale,
            (x * down - y * along) * scale,
        ))
    }

    /// The middle of the iris in pixels of the image.
    fn pupil(&self, square: &Area, image: (u32, u32)) -> Point {
        mesh::place(self.iris, square, SIDE, image)
    }
}

impl Gaze {
    /// From both eyes, each with the square in which it was seen; `None` when an eye has no size.
    ///
    /// The mean of the two is taken: eyes that look at something near turn inwards, each as far as the other.
    pub fn of(
        left: (&Eye, &Area),
        right: (&Eye, &Area),
        pose: &Pose,
        image: (u32, u32),
    ) -> Option<Self> {
        let (a, b) = (left.0.offset()?, right.0.offset()?);
        let (across, up) = ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0 - REST);
        // A turned head shows its eyes narrowed.
        let narrowed = |degrees: f32| degrees.to_radians().cos().max(0.3);
        let turn = |millimetres: f32| (millimetres / RADIUS).clamp(-1.0, 1.0).asin().to_degrees();
        Some(Self {
            yaw: pose.yaw + turn(across / narrowed(pose.yaw)),
            pitch: pose.pitch + turn(up / narrowed(pose.pitch)),
            pupils: [left.0.pupil(left.1, image), right.0.pupil(right.1, image)],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn golden(name: &str) -> Value {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/golden")
            .join(name);
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn number(value: &Value) -> f32 {
        value.as_f64().unwrap() as f32
    }

    /// The reference's points of an eye as the network gives them; those it does not record are nought.
    fn answer(eye: &Value) -> Vec<f32> {
        let mut numbers = vec![0.0; NUMBERS];
        let groups = [("eye_contour_first16_xyz", 0), ("iris5_xyz", IRIS)];
        for (name, first) in groups {
            for (at, spot) in eye[name].as_array().unwrap().iter().enumerate() {
                for axis in 0..3 {
                    numbers[3 * (first + at) + axis] = number(&spot[axis]);
                }
            }
        }
        numbers
    }

    /// Both eyes of an image in the orientation that the network was trained on.
    fn eyes(image: &str) -> [(Eye, Area); 2] {
        let golden = golden("iris.json");
        [(Side::Left, "imgleft"), (Side::Right, "imgright")].map(|(side, name)| {
            let mirrored = side == Side::Left;
            let found = golden.as_array().unwrap().iter().find(|eye| {
                eye["image"] == image && eye["eye"] == name && eye["flipped"] == mirrored
            });
            let eye = found.unwrap();
            let (x, y) = (
                number(&eye["crop_center"][0]),
                number(&eye["crop_center"][1]),
            );
            let half = number(&eye["crop_half"]);
            let square = Area::new(x - half, y - half, x + half, y + half);
            (Eye::decode(&answer(eye), side).unwrap(), square)
        })
    }

    #[test]
    fn people_who_look_at_the_camera_look_ahead() {
        for (image, size) in [
            ("astronaut.png", (512, 512)),
            ("grace_hopper.jpg", (512, 600)),
        ] {
            let [left, right] = eyes(image);
            let ahead = Pose::default();
            let gaze = Gaze::of((&left.0, &left.1), (&right.0, &right.1), &ahead, size).unwrap();
            assert!(
                gaze.yaw.abs() < 8.0 && gaze.pitch.abs() < 8.0,
                "{image}: {gaze:?}"
            );
            let open = open(&eyes(image)).unwrap();
            assert!(open > 0.9, "{image}: {open}");
            // The pupils lie in their squares, near the middle.
            for (pupil, square) in gaze.pupils.iter().zip([&left.1, &right.1]) {
                let off = pupil.distance(square.centre());
                assert!(off < square.width() / 8.0, "{image}: {gaze:?}");
            }
        }
    }

    #[test]
    fn an_iris_that_moves_turns_the_eyes_that_way() {
        let eye = |x: f32, y: f32| Eye {
            corners: [Point::new(20.0, 32.0), Point::new(44.0, 32.0)],
            iris: Point::new(32.0 + x, 32.0 + y),
            width: 9.0,
            apart: 0.35,
        };
        let square = Area::new(0.0, 0.0, 63.0, 63.0);
        let gaze = |x, y, pose: Pose| {
            let eye = eye(x, y);
            Gaze::of((&eye, &square), (&eye, &square), &pose, (64, 64)).unwrap()
        };
        let rest = REST / IRIS_WIDTH * 9.0;
        let ahead = gaze(0.0, -rest, Pose::default());
        assert!(
            ahead.yaw.abs() < 1e-3 && ahead.pitch.abs() < 1e-3,
            "{ahead:?}"
        );
        // Half the radius is 30 degrees.
        let half = RADIUS / 2.0 / IRIS_WIDTH * 9.0;
        let right = gaze(half, -rest, Pose::default());
        assert!((right.yaw - 30.0).abs() < 0.01, "{right:?}");
        let up = gaze(0.0, -rest - half, Pose::default());
        assert!((up.pitch - 30.0).abs() < 0.01, "{up:?}");
        let turned = Pose {
            yaw: -20.0,
            pitch: 5.0,
            roll: 0.0,
        };
        let with_head = gaze(0.0, -rest, turned);
        assert!((with_head.yaw + 20.0).abs() < 0.01 && (with_head.pitch - 5.0).abs() < 0.1);
        // Places are spread from the middle of the first pixel to that of the last.
        assert!((ahead.pupils[0].x - 31.5).abs() < 0.01);
    }

    #[test]
    fn eyes_that_are_none_make_no_panic() {
        assert!(Eye::decode(&[0.0; 3], Side::Left).is_err());
        assert!(Eye::decode(&[f32::NAN; NUMBERS], Side::Right).is_err());
        let flat = Eye::decode(&[5.0; NUMBERS], Side::Right).unwrap();
        let square = Area::default();
        let gaze = Gaze::of((&flat, &square), (&flat, &square), &Pose::default(), (1, 1));
        assert_eq!(gaze, None);
        assert_eq!(open(&[(flat, square), (flat, square)]), None);
    }
}
