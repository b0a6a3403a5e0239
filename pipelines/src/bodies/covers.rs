//! Protective equipment on the parts of people's bodies: what a detector of covers found, joined with the people that the
//! pose network saw.
//!
//! No network here knows covers; an operator brings a detector of them. Its labels are taken by what they say: helmets and
//! hard hats cover heads, masks and respirators faces, gloves hands. A label that says that something is missing
//! (`NO-Hardhat`, `without_mask`) is no cover.

use super::{Bodies, Body, Part, SEEN};
use crate::objects::Objects;
use crate::vision::{Area, Point};

/// A kind of equipment, as Rekognition names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cover {
    /// On the face.
    Face,
    /// On a hand.
    Hand,
    /// On the head.
    Head,
}

impl Cover {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Face, Self::Hand, Self::Head];

    /// Rekognition's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Face => "FACE_COVER",
            Self::Hand => "HAND_COVER",
            Self::Head => "HEAD_COVER",
        }
    }

    /// The parts that it is worn on.
    pub fn parts(self) -> &'static [Part] {
        match self {
            Self::Face => &[Part::Face],
            Self::Hand => &[Part::LeftHand, Part::RightHand],
            Self::Head => &[Part::Head],
        }
    }

    /// What a detector's label means; `None` for everything that is no cover.
    pub fn of_label(label: &str) -> Option<Self> {
        let lower = label.to_lowercase();
        let words: Vec<&str> = lower
            .split(|letter: char| !letter.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        const MISSING: [&str; 5] = ["no", "not", "non", "without", "missing"];
        if words.iter().any(|word| MISSING.contains(word)) {
            return None;
        }
        let dense = words.concat();
        let says = |names: &[&str]| names.iter().any(|name| dense.contains(name));
        if says(&["facecover", "mask", "respirator", "faceshield"]) {
            Some(Self::Face)
        } else if says(&["handcover", "glove"]) {
            Some(Self::Hand)
        } else if says(&["headcover", "helmet", "hardhat"]) {
            Some(Self::Head)
        } else {
            None
        }
    }
}

/// A cover that was found on a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Worn {
    /// What it is.
    pub cover: Cover,
    /// The part that it is nearest to.
    pub part: Part,
    /// Where it is, in pixels.
    pub area: Area,
    /// How sure the detector is, in percent.
    pub confidence: f32,
    /// How much of the part lies under it, 0 to 1.
    pub covered: f32,
}

impl Worn {
    /// Whether it is on the part, and not only held or lying beside it.
    pub fn covers(&self) -> bool {
        self.covered >= 0.5
    }
}

/// The kinds of covers among a detector's labels.
pub fn sought(labels: &[String]) -> Vec<Cover> {
    let meant: Vec<Cover> = labels
        .iter()
        .filter_map(|label| Cover::of_label(label))
        .collect();
    let each = Cover::ALL.into_iter();
    each.filter(|cover| meant.contains(cover)).collect()
}

/// People with their covers: each cover goes to the person and the part it lies nearest to. Those near nobody are left out.
pub fn dress(mut found: Bodies, objects: &Objects) -> Bodies {
    found.sought = sought(&objects.known);
    let covers = objects.objects.iter().filter_map(|object| {
        let cover = Cover::of_label(&object.name)?;
        object.area.is_finite().then_some((cover, object))
    });
    for (cover, object) in covers {
        let mut nearest: Option<(f32, usize, Part, Area)> = None;
        for (person, body) in found.bodies.iter().enumerate() {
            for &part in cover.parts() {
                let Some(area) = body.part_area(part) else {
                    continue;
                };
                let size = area.width().max(area.height()).max(1.0);
                let distance = object.area.centre().distance(area.centre()) / size;
                if distance.is_finite() && nearest.is_none_or(|(best, ..)| distance < best) {
                    nearest = Some((distance, person, part, area));
                }
            }
        }
        // Further away than the part is large, it is somebody's whom nobody saw.
        if let Some((distance, person, part, area)) = nearest
            && distance <= 1.0
        {
            let size = area.size();
            let covered = match size > 0.0 {
                true => area.common(&object.area) / size,
                false => 0.0,
            };
            found.bodies[person].worn.push(Worn {
                cover,
                part,
                area: object.area,
                confidence: object.confidence,
                covered,
            });
        }
    }
    found
}

impl Body {
    /// About where a part is, in pixels, from the points that are seen; `None` when they are not.
    ///
    /// The pose network gives points, not boxes. A face is as wide as its ears (or twice its eyes) are apart; a head
    /// is half as high again and reaches up; a hand begins at the wrist and goes on from the elbow by a third of the
    /// forearm.
    pub fn part_area(&self, part: Part) -> Option<Area> {
        let seen = |index: usize| {
            let joint = &self.joints[index];
            (joint.score >= SEEN).then_some(joint.point)
        };
        let around = |centre: Point, half: f32| {
            Area::new(
                centre.x - half,
                centre.y - half,
                centre.x + half,
                centre.y + half,
            )
        };
        match part {
            Part::Face | Part::Head => {
                let points: Vec<Point> = (0..5).filter_map(seen).collect();
                if points.is_empty() {
                    return None;
                }
                let apart = |a: usize, b: usize| Some(seen(a)?.distance(seen(b)?));
                // Without both ears or eyes, a head is about a seventh of a standing person, and never wider than one.
                let guess = (self.area.height() / 7.0).min(self.area.width());
                let width = apart(3, 4)
                    .or_else(|| apart(1, 2).map(|eyes| 2.0 * eyes))
                    .unwrap_or(guess)
                    .max(1.0);
                let face = around(Point::mean(&points), width / 2.0);
                Some(match part {
                    Part::Face => face,
                    _ => Area {
                        top: face.top - width / 2.0,
                        ..face
                    },
                })
            }
            Part::LeftHand | Part::RightHand => {
                let (elbow, wrist) = match part {
                    Part::LeftHand => (7, 9),
                    _ => (8, 10),
                };
                let wrist = seen(wrist)?;
                let (reach, half) = match seen(elbow) {
                    Some(elbow) => {
                        let (x, y) = (wrist.x - elbow.x, wrist.y - elbow.y);
                        ((x / 3.0, y / 3.0), x.hypot(y) / 3.0)
                    }
                    None => ((0.0, 0.0), self.area.height() / 16.0),
                };
                let hand = Point::new(wrist.x + reach.0, wrist.y + reach.1);
                Some(around(hand, half.max(1.0)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Joint, movenet};
    use super::*;
    use crate::objects::Object;

    #[test]
    fn labels_say_what_is_worn() {
        for (label, cover) in [
            ("Helmet", Some(Cover::Head)),
            ("hard-hat", Some(Cover::Head)),
            ("Hardhat", Some(Cover::Head)),
            ("HEAD_COVER", Some(Cover::Head)),
            ("Face Mask", Some(Cover::Face)),
            ("mask", Some(Cover::Face)),
            ("FACE_COVER", Some(Cover::Face)),
            ("Gloves", Some(Cover::Hand)),
            ("HAND_COVER", Some(Cover::Hand)),
            ("NO-Hardhat", None),
            ("no_mask", None),
            ("without mask", None),
            ("Safety Vest", None),
            ("person", None),
            ("", None),
        ] {
            assert_eq!(Cover::of_label(label), cover, "{label}");
        }
    }

    /// Somebody upright whose ears are 20 pixels apart at `x`, 50 and whose left forearm hangs down.
    fn body(x: f32) -> Body {
        let mut joints = [Joint {
            point: Point::default(),
            score: 0.0,
        }; movenet::COUNT];
        let mut see = |index: usize, x: f32, y: f32| {
            joints[index] = Joint {
                point: Point::new(x, y),
                score: 0.9,
            };
        };
        for (index, across) in [(0, 0.0), (1, 5.0), (2, -5.0), (3, 10.0), (4, -10.0)] {
            see(index, x + across, 50.0);
        }
        see(7, x + 20.0, 100.0);
        see(9, x + 20.0, 130.0);
        Body {
            area: Area::new(x - 25.0, 30.0, x + 25.0, 230.0),
            score: 0.9,
            joints,
            worn: Vec::new(),
        }
    }

    #[test]
    fn a_detector_looks_for_what_its_labels_say() {
        let sought = |labels: &[&str]| {
            let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
            super::sought(&labels)
        };
        assert_eq!(sought(&["person", "cat"]), []);
        assert_eq!(sought(&["Hardhat", "NO-Mask", "helmet"]), [Cover::Head]);
        assert_eq!(
            sought(&["helmet", "glove", "face mask"]),
            [Cover::Face, Cover::Hand, Cover::Head]
        );
    }

    /// What each of some people wears.
    fn worn(bodies: Vec<Body>, objects: &[Object]) -> Vec<Vec<Worn>> {
        let found = Bodies {
            width: 640,
            height: 480,
            bodies,
            sought: Vec::new(),
        };
        let objects = Objects {
            width: 640,
            height: 480,
            objects: objects.to_vec(),
            known: ["helmet".to_owned()].into(),
        };
        let dressed = dress(found, &objects);
        assert_eq!(dressed.sought, [Cover::Head]);
        dressed.bodies.into_iter().map(|body| body.worn).collect()
    }

    fn object(name: &str, area: Area) -> Object {
        Object {
            class: 0,
            name: name.to_owned(),
            confidence: 80.0,
            area,
            parents: Vec::new(),
            categories: Vec::new(),
            aliases: Vec::new(),
        }
    }

    #[test]
    fn covers_go_to_the_nearest_person_and_part() {
        let bodies = vec![body(100.0), body(300.0)];
        let objects = [
            object("helmet", Area::new(285.0, 25.0, 315.0, 60.0)),
            object("mask", Area::new(92.0, 45.0, 108.0, 62.0)),
            object("glove", Area::new(108.0, 128.0, 132.0, 152.0)),
            // Lies in the grass far from everybody.
            object("helmet", Area::new(600.0, 300.0, 640.0, 340.0)),
            object("no helmet", Area::new(85.0, 25.0, 115.0, 60.0)),
        ];
        let worn = worn(bodies, &objects);
        let summary: Vec<Vec<(Cover, Part)>> = worn
            .iter()
            .map(|covers| covers.iter().map(|worn| (worn.cover, worn.part)).collect())
            .collect();
        let first = vec![(Cover::Face, Part::Face), (Cover::Hand, Part::LeftHand)];
        assert_eq!(summary, [first, vec![(Cover::Head, Part::Head)]]);
        assert!(worn[1][0].covers(), "{worn:?}");
    }

    #[test]
    fn a_helmet_in_the_hand_covers_no_head() {
        let held = object("helmet", Area::new(112.0, 70.0, 132.0, 75.0));
        let worn = worn(vec![body(100.0)], &[held]);
        assert!(worn[0].iter().all(|worn| !worn.covers()), "{worn:?}");
    }

    #[test]
    fn parts_that_are_not_seen_have_no_place() {
        let body = body(100.0);
        assert!(body.part_area(Part::RightHand).is_none());
        let head = body.part_area(Part::Head).expect("a head");
        let face = body.part_area(Part::Face).expect("a face");
        assert_eq!(head.common(&face), face.size());
        assert!(head.size() > face.size());
        let hand = body.part_area(Part::LeftHand).expect("a hand");
        assert!(hand.centre().y > 130.0);
        let broken = object("mask", Area::new(f32::NAN, 0.0, 1.0, 1.0));
        assert!(worn(vec![body], &[broken])[0].is_empty());
    }
}
