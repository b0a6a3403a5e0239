//! People and which parts of their bodies can be seen.
//!
//! A detector finds the people, MoveNet the 17 points of each one's body. Whether somebody wears protective equipment
//! no network here knows; [`covers`] joins the people with what an operator's own detector found.

pub mod covers;
pub mod movenet;
pub mod task;

use crate::vision::{Area, Point};

pub use covers::{Cover, Worn};
pub use task::{BodiesInput, BodiesPipeline, BodiesTask};

/// A point with a lower score is a guess.
pub const SEEN: f32 = 0.2;

/// Most people of an answer, as in Rekognition's.
pub const MOST: usize = 15;

/// A point of a body that was looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Joint {
    /// Where it is, in pixels of the image; a guess when the score is low.
    pub point: Point,
    /// How sure the network is, 0 to 1.
    pub score: f32,
}

/// A part of a body, as Rekognition names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The face.
    Face,
    /// The head.
    Head,
    /// The person's own left hand.
    LeftHand,
    /// The person's own right hand.
    RightHand,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Face, Self::Head, Self::LeftHand, Self::RightHand];

    /// Rekognition's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Face => "FACE",
            Self::Head => "HEAD",
            Self::LeftHand => "LEFT_HAND",
            Self::RightHand => "RIGHT_HAND",
        }
    }
}

/// One person.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// Where, in pixels.
    pub area: Area,
    /// How sure the detector is, 0 to 1.
    pub score: f32,
    /// The points, in the order of [`movenet::JOINTS`].
    pub joints: [Joint; movenet::COUNT],
    /// What covers the parts, where a detector of covers was asked.
    pub worn: Vec<Worn>,
}

impl Body {
    /// The parts that can be seen and how sure that is, 0 to 1. A hand is where its wrist is; a face needs the nose
    /// and an eye, a head any of nose, eyes and ears.
    pub fn parts(&self) -> Vec<(Part, f32)> {
        let score = |index: usize| self.joints[index].score;
        let best = |indices: &[usize]| indices.iter().map(|&i| score(i)).fold(0.0, f32::max);
        let share = |part| match part {
            Part::Face => score(0).min(best(&[1, 2])),
            Part::Head => best(&[0, 1, 2, 3, 4]),
            Part::LeftHand => score(9),
            Part::RightHand => score(10),
        };
        let all = Part::ALL.into_iter().map(|part| (part, share(part)));
        all.filter(|(_, share)| *share >= SEEN).collect()
    }
}

/// The people in one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Bodies {
    /// Columns of the image.
    pub width: u32,
    /// Rows of the image.
    pub height: u32,
    /// Surest first.
    pub bodies: Vec<Body>,
    /// The kinds of covers that were looked for: of others nobody is known to wear none.
    pub sought: Vec<Cover>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_their_points() {
        let body = |seen: &[(usize, f32)]| {
            let mut joints = [Joint {
                point: Point::default(),
                score: 0.05,
            }; movenet::COUNT];
            for &(index, score) in seen {
                joints[index].score = score;
            }
            Body {
                area: Area::default(),
                score: 0.9,
                joints,
                worn: Vec::new(),
            }
        };
        let names =
            |body: Body| -> Vec<&str> { body.parts().iter().map(|(p, _)| p.name()).collect() };
        assert_eq!(names(body(&[])), [""; 0]);
        assert_eq!(names(body(&[(3, 0.6), (10, 0.4)])), ["HEAD", "RIGHT_HAND"]);
        assert_eq!(
            names(body(&[(0, 0.5), (2, 0.7), (9, 0.3)])),
            ["FACE", "HEAD", "LEFT_HAND"]
        );
    }
}
