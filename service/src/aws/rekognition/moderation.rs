//! `DetectModerationLabels`.
//!
//! The names are those of moderation model 7. What the networks cannot tell apart is not answered:
//! `escala_pipelines::moderation::labels` says which labels there are. Human loops and projects are not part of this
//! version.

use super::image::Image;
use crate::app::one;
use crate::aws::dispatch::Call;
use crate::aws::errors::Failure;
use crate::aws::{Aws, number};
use escala_pipelines::moderation::labels::ModerationLabel;
use escala_pipelines::moderation::{Moderated, ModerationInput};
use escala_pipelines::{Error, Kind, Options};
use serde::Deserialize;
use serde_json::{Value, json};

/// Least confidence when the request does not say, in percent.
const LEAST: f32 = 50.0;

/// The model version whose taxonomy the names are of.
pub const VERSION: &str = "7.0";

/// `DetectModerationLabelsRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DetectModerationLabels {
    image: Image,
    min_confidence: Option<f32>,
    human_loop_config: Option<serde::de::IgnoredAny>,
    project_version: Option<String>,
}

/// Runs the request.
pub async fn detect(
    aws: &Aws,
    call: Call,
    input: DetectModerationLabels,
    options: Options,
) -> Result<Value, Failure> {
    let fail = |error| Failure::of(call.service.id, call.operation, error);
    if let Some(adapter) = input.project_version {
        // There are no adapters here, so that none has this name.
        let message = format!("The project version {adapter} does not exist.");
        return Err(Failure::declared("ResourceNotFoundException", message));
    }
    if input.human_loop_config.is_some() {
        return Err(fail(Error::new(
            Kind::InvalidInput,
            "HumanLoopConfig is not part of this version of Escala",
        )));
    }
    let image = input.image.encoded(aws, call, options).await?.into();
    let found = one(&*aws.images.moderation, ModerationInput { image }, options).await;
    let answer = found.and_then(|found| answer(&found, input.min_confidence));
    answer.map_err(fail)
}

/// What is answered of what was found, from a confidence on.
pub fn answer(found: &Moderated, least: Option<f32>) -> Result<Value, Error> {
    let least = least.unwrap_or(LEAST);
    let view = |label: &ModerationLabel| {
        Ok(json!({
            "Name": label.name,
            "ParentName": label.parent,
            "TaxonomyLevel": label.level,
            "Confidence": number(label.confidence)?,
        }))
    };
    let labels: Result<Vec<Value>, Error> = found.labels(least).iter().map(view).collect();
    let kind = |(name, confidence): &(&str, f32)| {
        Ok(json!({"Name": name, "Confidence": number(*confidence)?}))
    };
    let kinds: Result<Vec<Value>, Error> = found.content_types(least).iter().map(kind).collect();
    Ok(json!({
        "ModerationLabels": labels?,
        "ContentTypes": kinds?,
        "ModerationModelVersion": VERSION,
    }))
}
