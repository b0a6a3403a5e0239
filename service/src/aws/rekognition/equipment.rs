//! `DetectProtectiveEquipment`: persons, the parts of their bodies, and what covers them.
//!
//! Persons come from the detector, parts from the pose network. Covers come from a detector that the operator names for the
//! task `covers`. Without one `EquipmentDetections` is empty. Where a summary asks for covers that the detector does not know,
//! or without one for any, every person is among those of whom it cannot be said.

use super::faces::place;
use super::image::Image;
use crate::app::one;
use crate::aws::dispatch::Call;
use crate::aws::errors::Failure;
use crate::aws::{Aws, number};
use escala_pipelines::bodies::{Bodies, BodiesInput, Body, Cover, MOST, Part, Worn};
use escala_pipelines::vision::Area;
use escala_pipelines::{Error, Kind, Options};
use serde::Deserialize;
use serde_json::{Value, json};

/// The longest side of an image, in pixels, as at AWS.
const LONGEST: u32 = 4096;
/// The least confidence of what is answered of a person, as AWS has it: a share.
const LEAST: f32 = 0.5;

/// The version of the networks, in the answer.
const VERSION: &str = "1.0";

/// `DetectProtectiveEquipmentRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DetectProtectiveEquipment {
    image: Image,
    summarization_attributes: Option<Summarization>,
}

/// `ProtectiveEquipmentSummarizationAttributes`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Summarization {
    min_confidence: f32,
    required_equipment_types: Vec<String>,
}

/// Runs the request.
pub async fn detect(
    aws: &Aws,
    call: Call,
    input: DetectProtectiveEquipment,
    options: Options,
) -> Result<Value, Failure> {
    let fail = |error| Failure::of(call.service.id, call.operation, error);
    let image = input.image.encoded(aws, call, options).await?;
    let found = one(
        &*aws.images.bodies,
        BodiesInput { image, most: MOST },
        options,
    )
    .await;
    let found = found.map_err(fail)?;
    if found.width.max(found.height) > LONGEST {
        let why = format!(
            "the image has {} by {} pixels; protective equipment is looked for in at most {LONGEST} by {LONGEST}",
            found.width, found.height
        );
        return Err(fail(Error::new(Kind::TooLarge, why)));
    }
    let persons = found.bodies.iter().take(MOST).enumerate();
    let persons = persons.map(|(id, body)| person(&found, id, body));
    let persons: Result<Vec<Value>, Error> = persons.collect();
    let persons = persons.map_err(fail)?;
    let mut output = json!({"ProtectiveEquipmentModelVersion": VERSION, "Persons": persons});
    if let Some(asked) = input.summarization_attributes {
        let mut ids: [Vec<usize>; 3] = Default::default();
        for (id, body) in found.bodies.iter().take(MOST).enumerate() {
            ids[asked.verdict(body, &found.sought) as usize].push(id);
        }
        let [with, without, indeterminate] = ids;
        output["Summary"] = json!({
            "PersonsWithRequiredEquipment": with,
            "PersonsWithoutRequiredEquipment": without,
            "PersonsIndeterminate": indeterminate,
        });
    }
    Ok(output)
}

/// `ProtectiveEquipmentPerson`.
fn person(found: &Bodies, id: usize, body: &Body) -> Result<Value, Error> {
    let (width, height) = (found.width.max(1) as f32, found.height.max(1) as f32);
    let bounding_box = |area: &Area| {
        place([
            area.left / width,
            area.top / height,
            area.width() / width,
            area.height() / height,
        ])
    };
    let equipment = |worn: &Worn| {
        let covers = worn.covers();
        let share = match covers {
            true => worn.covered,
            false => 1.0 - worn.covered,
        };
        Ok(json!({
            "Type": worn.cover.name(),
            "BoundingBox": bounding_box(&worn.area)?,
            "Confidence": number(worn.confidence)?,
            "CoversBodyPart": {"Value": covers, "Confidence": number(100.0 * share)?},
        }))
    };
    let part = |&(part, score): &(Part, f32)| {
        let mine = body.worn.iter().filter(|worn| worn.part == part);
        let detections: Result<Vec<Value>, Error> = mine.map(equipment).collect();
        Ok(json!({
            "Name": part.name(),
            "Confidence": number(score * 100.0)?,
            "EquipmentDetections": detections?,
        }))
    };
    let parts = body.parts();
    let parts = parts.iter().filter(|(_, score)| *score >= LEAST);
    let parts: Result<Vec<Value>, Error> = parts.map(part).collect();
    Ok(json!({
        "Id": id,
        "BodyParts": parts?,
        "BoundingBox": bounding_box(&body.area)?,
        "Confidence": number(body.score * 100.0)?,
    }))
}

/// Where a person belongs in the summary; the order is that of the answer's lists.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    With,
    Without,
    Indeterminate,
}

impl Summarization {
    /// Somebody wears what is required when every seen part that it is worn on is covered by it, surely enough. Of
    /// equipment that is worn on parts that cannot be seen, or that was not looked for, nothing can be said.
    fn verdict(&self, body: &Body, sought: &[Cover]) -> Verdict {
        let least = self.min_confidence;
        let seen = body.parts();
        let seen = |part: Part| {
            seen.iter()
                .any(|&(p, score)| p == part && score * 100.0 >= least)
        };
        let required = Cover::ALL.into_iter().filter(|cover| {
            let mut names = self.required_equipment_types.iter();
            names.any(|name| name == cover.name())
        });
        let (mut lacking, mut unknown) = (false, false);
        for cover in required {
            if !sought.contains(&cover) {
                unknown = true;
                continue;
            }
            let parts = cover.parts().iter().filter(|&&part| seen(part));
            let parts: Vec<Part> = parts.copied().collect();
            unknown |= parts.is_empty();
            lacking |= parts.iter().any(|&part| {
                let mut covers = body.worn.iter();
                !covers.any(|worn| {
                    worn.cover == cover
                        && worn.part == part
                        && worn.covers()
                        && worn.confidence >= least
                })
            });
        }
        match (lacking, unknown) {
            (true, _) => Verdict::Without,
            (false, true) => Verdict::Indeterminate,
            (false, false) => Verdict::With,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use escala_pipelines::bodies::{Joint, movenet};
    use escala_pipelines::vision::Point;

    fn body(seen: &[(usize, f32)]) -> Body {
        let mut joints = [Joint {
            point: Point::default(),
            score: 0.0,
        }; movenet::COUNT];
        for &(index, score) in seen {
            joints[index].score = score;
        }
        Body {
            area: Area::new(0.0, 0.0, 10.0, 30.0),
            score: 0.9,
            joints,
            worn: Vec::new(),
        }
    }

    fn on(cover: Cover, part: Part, confidence: f32, covered: f32) -> Worn {
        Worn {
            cover,
            part,
            area: Area::default(),
            confidence,
            covered,
        }
    }

    #[test]
    fn people_are_summed_up_by_what_is_required() {
        let asked = |types: &[&str]| Summarization {
            min_confidence: 60.0,
            required_equipment_types: types.iter().map(|&name| name.to_owned()).collect(),
        };
        // Nose, eye and the right wrist are seen, the left wrist is not sure enough.
        let body = |worn: &[Worn]| Body {
            worn: worn.to_vec(),
            ..self::body(&[(0, 0.9), (1, 0.8), (9, 0.3), (10, 0.7)])
        };
        let helmet = on(Cover::Head, Part::Head, 80.0, 0.9);
        let glove = on(Cover::Hand, Part::RightHand, 90.0, 0.7);
        let held = on(Cover::Head, Part::Head, 80.0, 0.1);
        let unsure = on(Cover::Head, Part::Head, 50.0, 0.9);
        let head = asked(&["HEAD_COVER"]);
        let both = asked(&["HEAD_COVER", "HAND_COVER"]);
        for (asked, worn, verdict) in [
            (&head, &[helmet.clone()][..], Verdict::With),
            (&head, &[], Verdict::Without),
            (&head, &[held], Verdict::Without),
            (&head, &[unsure], Verdict::Without),
            (&both, &[helmet.clone(), glove], Verdict::With),
            (&both, &[helmet], Verdict::Without),
        ] {
            assert_eq!(asked.verdict(&body(worn), &Cover::ALL), verdict, "{worn:?}");
        }
        let hidden = self::body(&[(3, 0.9)]);
        let face = asked(&["FACE_COVER"]);
        assert_eq!(face.verdict(&hidden, &Cover::ALL), Verdict::Indeterminate);
    }

    /// Who is not seen to wear what nobody looked for may wear it.
    #[test]
    fn nobody_lacks_what_was_not_looked_for() {
        let asked = |types: &[&str]| Summarization {
            min_confidence: 60.0,
            required_equipment_types: types.iter().map(|&name| name.to_owned()).collect(),
        };
        let bare = self::body(&[(0, 0.9), (1, 0.8), (9, 0.9)]);
        let helmeted = Body {
            worn: vec![on(Cover::Head, Part::Head, 80.0, 0.9)],
            ..bare.clone()
        };
        let (face, both) = (asked(&["FACE_COVER"]), asked(&["FACE_COVER", "HEAD_COVER"]));
        for (asked, body, sought, verdict) in [
            (&face, &bare, &[][..], Verdict::Indeterminate),
            (&face, &bare, &[Cover::Head], Verdict::Indeterminate),
            (&both, &helmeted, &[Cover::Head], Verdict::Indeterminate),
            // One that is known to be missing is enough.
            (&both, &bare, &[Cover::Head], Verdict::Without),
            (&face, &bare, &[Cover::Face], Verdict::Without),
        ] {
            assert_eq!(asked.verdict(body, sought), verdict, "{sought:?}");
        }
    }
}
