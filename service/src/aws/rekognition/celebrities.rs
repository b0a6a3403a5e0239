//! `RecognizeCelebrities` and `GetCelebrityInfo`: the people whom the operator made known.
//!
//! No network here knows anybody by itself; without a gallery every face is unrecognised, and the log says how to fill
//! one. `MatchConfidence` is the likeness to the nearest face of the person, which is 80 percent at least. A gender that
//! nobody told is `Unlisted`. `OrientationCorrection` is always null at AWS, and so is left out.

use super::collections::failure;
use super::faces::compared;
use super::image::Image;
use crate::aws::dispatch::Call;
use crate::aws::errors::Failure;
use crate::aws::{Aws, number};
use crate::gallery::celebrities::Celebrity;
use escala_pipelines::faces::similarity::percent;
use escala_pipelines::{Error, Options};
use serde::Deserialize;
use serde_json::{Value, json};

/// `RecognizeCelebritiesRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RecognizeCelebrities {
    image: Image,
}

/// `GetCelebrityInfoRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetCelebrityInfo {
    id: String,
}

/// `RecognizeCelebrities`.
pub async fn recognise(
    aws: &Aws,
    call: Call,
    input: RecognizeCelebrities,
    options: Options,
) -> Result<Value, Failure> {
    let image = input.image.encoded(aws, call, options).await?;
    let found = aws.images.recognise(image, options).await;
    let found = found.map_err(|error| failure(call, error))?;
    let face = |at: usize| compared(&found.seen, &found.seen.faces[at]);
    let known = |(celebrity, at, distance): &(Celebrity, usize, f32)| {
        Ok(json!({
            "Urls": celebrity.urls,
            "Name": celebrity.name,
            "Id": celebrity.id,
            "Face": face(*at)?,
            "MatchConfidence": number(percent(*distance))?,
            "KnownGender": {"Type": celebrity.gender.aws()},
        }))
    };
    let fail = |error| Failure::of(call.service.id, call.operation, error);
    let celebrities: Result<Vec<Value>, Error> = found.known.iter().map(known).collect();
    let others: Result<Vec<Value>, Error> = found.unknown.iter().copied().map(face).collect();
    Ok(json!({
        "CelebrityFaces": celebrities.map_err(fail)?,
        "UnrecognizedFaces": others.map_err(fail)?,
    }))
}

/// `GetCelebrityInfo`.
pub async fn info(aws: &Aws, call: Call, input: GetCelebrityInfo) -> Result<Value, Failure> {
    let celebrity = aws.images.celebrities.get(&input.id).await;
    let celebrity = celebrity.map_err(|error| failure(call, error))?;
    Ok(json!({
        "Urls": celebrity.urls,
        "Name": celebrity.name,
        "KnownGender": {"Type": celebrity.gender.aws()},
    }))
}
