//! What is drawn of each kind of answer.

use super::paint::Colour;
use super::{BAD, GOOD, Link, Mark, PALETTE};
use crate::bodies::{Bodies, Body, SEEN, movenet};
use crate::classes::Class;
use crate::faces::looks::Gender;
use crate::faces::{Face, Faces};
use crate::moderation::labels::ModerationLabel;
use crate::objects::join::Located;
use crate::ocr::OcrFound;
use crate::vision::Point;

/// From this percentage on two faces count as one person's, as in Rekognition's default.
const SAME: f32 = 80.0;

/// Joints that a line joins, by their places in [`movenet::JOINTS`].
const BONES: [(usize, usize); 16] = [
    (0, 1),
    (0, 2),
    (1, 3),
    (2, 4),
    (5, 6),
    (5, 7),
    (7, 9),
    (6, 8),
    (8, 10),
    (5, 11),
    (6, 12),
    (11, 12),
    (11, 13),
    (13, 15),
    (12, 14),
    (14, 16),
];

fn colour(index: usize) -> Colour {
    PALETTE[index % PALETTE.len()]
}

fn percent(name: &str, percent: f32) -> String {
    format!("{name} {percent:.0} %")
}

/// Each face: its box, its points, and what it looks like as far as that was asked.
pub fn faces(found: &Faces) -> Vec<Mark> {
    named(found, &[])
}

/// The same, with somebody's name and likeness in percent in place of what the face at some place looks like.
pub fn named(found: &Faces, names: &[(usize, String, f32)]) -> Vec<Mark> {
    let each = found.faces.iter().enumerate();
    each.flat_map(|(index, face)| {
        let name = names.iter().find(|(place, ..)| *place == index);
        let name = name.map(|(_, name, likeness)| (name.as_str(), *likeness));
        let says = caption(name, looks(face), face.confidence);
        one_face(face, says, colour(index))
    })
    .collect()
}

/// Who it is, else what the face looks like, else that it is one.
fn caption(name: Option<(&str, f32)>, looks: Vec<String>, confidence: f32) -> Vec<String> {
    match name {
        Some((name, likeness)) => vec![format!("{name} {likeness:.1} %")],
        None if looks.is_empty() => vec![percent("face", 100.0 * confidence)],
        None => looks,
    }
}

fn looks(face: &Face) -> Vec<String> {
    let Some(looks) = &face.looks else {
        return Vec::new();
    };
    let seen = &looks.age_gender;
    let gender = match seen.gender {
        Gender::Male => "male",
        Gender::Female => "female",
    };
    let mut lines = vec![format!(
        "{}, {:.0} years",
        percent(gender, 100.0 * seen.gender_score),
        seen.age
    )];
    if let Some((emotion, share)) = looks.emotions.first() {
        lines.push(percent(&emotion.name().to_lowercase(), 100.0 * share));
    }
    lines
}

fn one_face(face: &Face, caption: Vec<String>, colour: Colour) -> [Mark; 2] {
    let named = face.landmarks.named();
    let points = named.into_iter().map(|(_, point)| point).collect();
    [
        Mark::Dots { points, colour },
        Mark::Box {
            area: face.area,
            caption,
            colour,
        },
    ]
}

/// A face that was looked for beside those of another image with their likeness in percent: the marks of either image, and
/// a line to each that counts as the same person's.
pub fn comparison(source: &Face, faces: &[(Face, f32)]) -> ([Vec<Mark>; 2], Vec<Link>) {
    let sought = one_face(source, vec!["source".to_owned()], PALETTE[0]).to_vec();
    let same = |likeness: f32| if likeness >= SAME { GOOD } else { BAD };
    let marks = faces.iter().flat_map(|(face, likeness)| {
        let caption = format!("{likeness:.1} %");
        one_face(face, vec![caption], same(*likeness))
    });
    let alike = faces.iter().filter(|(_, likeness)| *likeness >= SAME);
    let links = alike.map(|(face, _)| Link {
        from: Point::new(source.area.right, source.area.centre().y),
        to: Point::new(face.area.left, face.area.centre().y),
        colour: GOOD,
    });
    ([sought, marks.collect()], links.collect())
}

/// Each line with what it says, and its words where there are several.
pub fn text(found: &OcrFound) -> Vec<Mark> {
    let colour = PALETTE[0];
    let each = found.lines.iter();
    each.flat_map(|reading| {
        let words = reading.words.iter().filter(|_| reading.words.len() > 1);
        let words = words.map(|word| Mark::Part {
            corners: word.quad.to_vec(),
            colour: PALETTE[1],
        });
        let line = Mark::Outline {
            corners: reading.line.quad.to_vec(),
            caption: Some(reading.line.text.clone()),
            colour,
        };
        // The line over the edges that it shares with its words.
        words.chain(std::iter::once(line)).collect::<Vec<_>>()
    })
    .collect()
}

/// A box around each thing that has a place, in one colour for each label; the other labels in a corner.
pub fn labels(found: &[Located]) -> Vec<Mark> {
    let (placed, others): (Vec<_>, Vec<_>) = found
        .iter()
        .partition(|located| !located.instances.is_empty());
    let boxes = placed.iter().enumerate().flat_map(|(index, located)| {
        located.instances.iter().map(move |instance| Mark::Box {
            area: instance.area,
            caption: vec![percent(&located.label.name, instance.confidence)],
            colour: colour(index),
        })
    });
    let mut marks: Vec<Mark> = boxes.collect();
    let others = others.iter().map(|located| &located.label);
    let lines: Vec<String> = others.map(|l| percent(&l.name, l.confidence)).collect();
    if !lines.is_empty() {
        marks.push(Mark::Note {
            lines,
            colour: colour(placed.len()),
        });
    }
    if marks.is_empty() {
        marks.push(nothing("no labels"));
    }
    marks
}

/// Labels for a moderator, the second level under the first, and the kinds of picture.
pub fn moderation(labels: &[ModerationLabel], kinds: &[(&str, f32)]) -> Vec<Mark> {
    let mut lines = Vec::new();
    for above in labels.iter().filter(|label| label.parent.is_empty()) {
        lines.push(percent(above.name, above.confidence));
        let below = labels.iter().filter(|label| label.parent == above.name);
        lines.extend(below.map(|label| percent(&format!("   {}", label.name), label.confidence)));
    }
    let colour = if lines.is_empty() { GOOD } else { BAD };
    if lines.is_empty() {
        lines.push("nothing to moderate".to_owned());
    }
    lines.extend(kinds.iter().map(|(name, share)| percent(name, *share)));
    vec![Mark::Note { lines, colour }]
}

/// Classes of the whole image.
pub fn classes(found: &[Class]) -> Vec<Mark> {
    let lines: Vec<String> = found
        .iter()
        .map(|class| percent(&class.name, 100.0 * class.score))
        .collect();
    match lines.is_empty() {
        true => vec![nothing("no classes")],
        false => vec![Mark::Note {
            lines,
            colour: colour(0),
        }],
    }
}

fn nothing(what: &str) -> Mark {
    Mark::Note {
        lines: vec![what.to_owned()],
        colour: GOOD,
    }
}

/// Each person: the box, the joints that are seen with the lines between them, and the parts.
pub fn bodies(found: &Bodies) -> Vec<Mark> {
    let each = found.bodies.iter().enumerate();
    each.flat_map(|(index, body)| one_body(body, colour(index)))
        .collect()
}

fn one_body(body: &Body, colour: Colour) -> [Mark; 3] {
    let seen = |index: usize| Some(&body.joints[index]).filter(|joint| joint.score >= SEEN);
    let bones = BONES.iter();
    let lines = bones.filter_map(|&(a, b)| Some([seen(a)?.point, seen(b)?.point]));
    let points = (0..movenet::COUNT).filter_map(|index| Some(seen(index)?.point));
    let mut caption = vec![percent("Person", 100.0 * body.score)];
    let parts: Vec<String> = body
        .parts()
        .iter()
        .map(|(part, _)| part.name().to_lowercase().replace('_', " "))
        .collect();
    if !parts.is_empty() {
        caption.push(parts.join(", "));
    }
    let worn = body.worn.iter().filter(|worn| worn.covers());
    let worn: Vec<String> = worn
        .map(|worn| {
            percent(
                &worn.cover.name().to_lowercase().replace('_', " "),
                worn.confidence,
            )
        })
        .collect();
    if !worn.is_empty() {
        caption.push(worn.join(", "));
    }
    [
        Mark::Lines {
            lines: lines.collect(),
            colour,
        },
        Mark::Dots {
            points: points.collect(),
            colour,
        },
        Mark::Box {
            area: body.area,
            caption,
            colour,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bodies::Joint;
    use crate::labels::Label;
    use crate::objects::join::Instance;
    use crate::vision::Area;

    fn located(name: &str, confidence: f32, areas: &[Area]) -> Located {
        let instance = |area: &Area| Instance {
            area: *area,
            confidence,
        };
        Located {
            label: Label {
                name: name.to_owned(),
                confidence,
                parents: Vec::new(),
                categories: Vec::new(),
                aliases: Vec::new(),
            },
            instances: areas.iter().map(instance).collect(),
        }
    }

    #[test]
    fn faces_say_who_they_are_or_what_they_look_like() {
        let looks = || vec!["female 98 %, 32 years".to_owned()];
        let eileen = Some(("eileen", 99.98));
        assert_eq!(caption(eileen, looks(), 0.97), ["eileen 100.0 %"]);
        assert_eq!(caption(None, looks(), 0.97), looks());
        assert_eq!(caption(None, Vec::new(), 0.97), ["face 97 %"]);
    }

    #[test]
    fn labels_with_places_are_boxes_and_the_others_a_note() {
        let area = Area::new(1.0, 2.0, 30.0, 40.0);
        let marks = labels(&[
            located("Animal", 95.4, &[]),
            located("Cat", 91.5, &[area, area]),
            located("Cup", 60.0, &[area]),
        ]);
        let captions: Vec<_> = marks
            .iter()
            .filter_map(|mark| match mark {
                Mark::Box {
                    caption, colour, ..
                } => Some((caption[0].as_str(), *colour)),
                _ => None,
            })
            .collect();
        let cat = ("Cat 92 %", PALETTE[0]);
        assert_eq!(captions, [cat, cat, ("Cup 60 %", PALETTE[1])]);
        assert!(matches!(&marks[3], Mark::Note { lines, .. } if lines == &["Animal 95 %"]));
        assert!(matches!(&labels(&[])[..], [Mark::Note { lines, .. }] if lines == &["no labels"]));
    }

    #[test]
    fn moderation_labels_stand_under_their_parents() {
        let label = |name, parent, level, confidence| ModerationLabel {
            name,
            parent,
            level,
            confidence,
        };
        let found = [
            label("Violence", "", 1, 90.0),
            label("Alcohol", "", 1, 60.0),
            label("Weapons", "Violence", 2, 90.0),
        ];
        let lines = |marks: Vec<Mark>| match &marks[..] {
            [Mark::Note { lines, colour }] => (lines.clone(), *colour),
            other => panic!("{other:?}"),
        };
        let (said, stripe) = lines(moderation(&found, &[("Illustrated", 70.0)]));
        assert_eq!(
            said,
            [
                "Violence 90 %",
                "   Weapons 90 %",
                "Alcohol 60 %",
                "Illustrated 70 %"
            ]
        );
        assert_eq!(stripe, BAD);
        let harmless = lines(moderation(&[], &[]));
        assert_eq!(harmless, (vec!["nothing to moderate".to_owned()], GOOD));
    }

    #[test]
    fn only_joints_that_are_seen_are_joined() {
        let mut joints = [Joint {
            point: Point::default(),
            score: 0.1,
        }; movenet::COUNT];
        for (index, joint) in joints.iter_mut().enumerate() {
            joint.point = Point::new(index as f32, 0.0);
        }
        // The left shoulder, elbow and wrist, and the nose, which nothing is joined to.
        for index in [0, 5, 7, 9] {
            joints[index].score = 0.6;
        }
        let body = Body {
            area: Area::default(),
            score: 0.875,
            joints,
            worn: Vec::new(),
        };
        let [lines, dots, frame] = one_body(&body, GOOD);
        let at = |index: usize| joints[index].point;
        let Mark::Lines { lines, .. } = lines else {
            panic!("{lines:?}")
        };
        assert_eq!(lines, [[at(5), at(7)], [at(7), at(9)]]);
        assert!(matches!(dots, Mark::Dots { points, .. } if points.len() == 4));
        let Mark::Box { caption, .. } = frame else {
            panic!("{frame:?}")
        };
        assert_eq!(caption, ["Person 88 %", "head, left hand"]);
    }
}
