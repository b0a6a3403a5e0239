//! `DetectProtectiveEquipment`: persons and the parts of their bodies.
//!
//! Persons come from the detector, parts from the pose network. No network here knows covers, so `EquipmentDetections` is
//! empty and, where a summary is asked for, every person is among those of whom it cannot be said.

use super::faces::place;
use super::image::Image;
use crate::app::one;
use crate::aws::dispatch::Call;
use crate::aws::errors::Failure;
use crate::aws::{Aws, number};
use escala_pipelines::bodies::{BodiesInput, Body, MOST, Part};
use escala_pipelines::{Error, Options};
use serde::Deserialize;
use serde_json::{Value, json};

/// The version of the networks, in the answer.
const VERSION: &str = "1.0";

/// `DetectProtectiveEquipmentRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DetectProtectiveEquipment {
    image: Image,
    summarization_attributes: Option<serde::de::IgnoredAny>,
}

/// Runs the request.
pub async fn detect(
    aws: &Aws,
    call: Call,
    input: DetectProtectiveEquipment,
    options: Options,
) -> Result<Value, Failure> {
    let fail = |error| Failure::of(call.service.id, call.operation, error);
    let image = input.image.encoded()?;
    let found = one(
        &*aws.images.bodies,
        BodiesInput { image, most: MOST },
        options,
    )
    .await;
    let found = found.map_err(fail)?;
    let (width, height) = (found.width.max(1) as f32, found.height.max(1) as f32);
    let part = |(part, score): &(Part, f32)| {
        Ok(json!({
            "Name": part.name(),
            "Confidence": number(score * 100.0)?,
            "EquipmentDetections": [],
        }))
    };
    let person = |(id, body): (usize, &Body)| {
        let parts: Result<Vec<Value>, Error> = body.parts().iter().map(part).collect();
        let area = &body.area;
        let shares = [
            area.left / width,
            area.top / height,
            area.width() / width,
            area.height() / height,
        ];
        Ok(json!({
            "Id": id,
            "BodyParts": parts?,
            "BoundingBox": place(shares)?,
            "Confidence": number(body.score * 100.0)?,
        }))
    };
    let persons = found.bodies.iter().take(MOST).enumerate().map(person);
    let persons: Result<Vec<Value>, Error> = persons.collect();
    let persons = persons.map_err(fail)?;
    let mut output = json!({"ProtectiveEquipmentModelVersion": VERSION, "Persons": persons});
    if input.summarization_attributes.is_some() {
        let all: Vec<usize> = (0..found.bodies.len().min(MOST)).collect();
        output["Summary"] = json!({
            "PersonsWithRequiredEquipment": [],
            "PersonsWithoutRequiredEquipment": [],
            "PersonsIndeterminate": all,
        });
    }
    Ok(output)
}
