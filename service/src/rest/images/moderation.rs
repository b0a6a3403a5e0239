//! `POST /v1/images/moderation`: what a moderator should see of an image.

use super::super::call::{Call, predict_one};
use super::super::error::ImageErrors;
use super::{Answer, ImageRequest, RenderQuery, answer, image, wants_picture};
use crate::app::App;
use crate::failure::Failure;
use axum::body::Bytes;
use axum::extract::State;
use escala_pipelines::moderation::{Moderated, ModerationInput};
use escala_pipelines::render::{RenderInput, answers};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A label of Rekognition's taxonomy for moderation.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModerationView {
    #[schema(example = "Explicit")]
    name: &'static str,
    /// The label above; empty for those of the first level.
    parent: &'static str,
    level: u32,
    /// Percent.
    confidence: f32,
}

/// What a moderator should see of an image.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModerationAnswer {
    /// Labels of at least 50 %, first level before second.
    labels: Vec<ModerationView>,
    /// Shares of the classes that the network knows, 0 to 1; they sum to one.
    drawing: f32,
    hentai: f32,
    neutral: f32,
    porn: f32,
    sexy: f32,
    /// The second network's opinion, 0 to 1.
    unsafe_for_work: f32,
    /// Whether it is drawn rather than photographed, where that is at least 50 % likely.
    content_types: Vec<&'static str>,
}

/// Least confidence of a label, in percent.
const LEAST: f32 = 50.0;

impl From<Moderated> for ModerationAnswer {
    fn from(found: Moderated) -> Self {
        let opinions = found.opinions;
        let views = found.labels(LEAST);
        let views = views.into_iter().map(|label| ModerationView {
            name: label.name,
            parent: label.parent,
            level: label.level,
            confidence: label.confidence,
        });
        let kinds = found.content_types(LEAST);
        Self {
            labels: views.collect(),
            drawing: opinions.drawing,
            hentai: opinions.hentai,
            neutral: opinions.neutral,
            porn: opinions.porn,
            sexy: opinions.sexy,
            unsafe_for_work: opinions.unsafe_for_work,
            content_types: kinds.into_iter().map(|(name, _)| name).collect(),
        }
    }
}

/// The image with what a moderator should see of it.
pub fn picture(image: Bytes, found: &Moderated) -> RenderInput {
    let labels = found.labels(LEAST);
    let kinds = found.content_types(LEAST);
    RenderInput::one(image, answers::moderation(&labels, &kinds))
}

/// Judge whether an image should be seen by a moderator.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/moderation",
    tag = "images",
    params(RenderQuery),
    request_body(content(
        (ImageRequest = "application/json"),
        (String = "image/*"),
        (String = "application/octet-stream"),
    )),
    responses(
        ImageErrors,
        (status = 200, description = "Labels and what the networks say.", content((ModerationAnswer = "application/json"), (String = "image/png"))),
    )
)]
pub async fn moderation(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Answer<ModerationAnswer>, Failure> {
    let wanted = wants_picture(&call)?;
    let image = image(&app, &call).await?;
    let input = ModerationInput {
        image: image.clone().into(),
    };
    let found = predict_one(&*app.images.moderation, input, call.options).await?;
    let drawn = wanted.then(|| picture(image, &found));
    answer(&app, &call, found, drawn).await
}
