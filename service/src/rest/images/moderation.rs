//! `POST /v1/images/moderation`: what a moderator should see of an image.

use super::super::call::{Call, predict_one};
use super::super::error::ImageErrors;
use super::{Answer, Render, Settings, answer, share, with_settings};
use crate::app::App;
use crate::failure::Failure;
use axum::body::Bytes;
use axum::extract::State;
use escala_pipelines::moderation::{Moderated, ModerationInput};
use escala_pipelines::render::{RenderInput, answers};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

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
    /// Labels of at least the confidence that was asked for, first level before second.
    labels: Vec<ModerationView>,
    /// Shares of the classes that the network knows, 0 to 1; they sum to one.
    drawing: f32,
    hentai: f32,
    neutral: f32,
    porn: f32,
    sexy: f32,
    /// The second network's opinion, 0 to 1.
    unsafe_for_work: f32,
    /// Whether it is drawn rather than photographed, where that is as likely.
    content_types: Vec<&'static str>,
}

/// Least confidence of a label where nothing is said, in percent.
pub const LEAST: f32 = 50.0;

/// What was found, and from which confidence on it is told, in percent.
pub struct Judged {
    /// What was found.
    pub found: Moderated,
    /// The confidence.
    pub least: f32,
}

impl From<Judged> for ModerationAnswer {
    fn from(Judged { found, least }: Judged) -> Self {
        let opinions = found.opinions;
        let views = found.labels(least);
        let views = views.into_iter().map(|label| ModerationView {
            name: label.name,
            parent: label.parent,
            level: label.level,
            confidence: label.confidence,
        });
        let kinds = found.content_types(least);
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
pub fn picture(image: Bytes, Judged { found, least }: &Judged) -> RenderInput {
    let labels = found.labels(*least);
    let kinds = found.content_types(*least);
    RenderInput::one(image, answers::moderation(&labels, &kinds))
}

/// An image that is to be judged, and how.
#[derive(Debug, Default, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ModerationRequest {
    /// The encoded image (JPEG, PNG, WebP, GIF, BMP or TIFF) in base64.
    #[schema(content_encoding = "base64", required = true)]
    #[param(ignore)]
    image: Option<String>,
    /// Least confidence of a label in percent.
    #[schema(default = 50.0, minimum = 0, maximum = 100)]
    #[param(default = 50.0, minimum = 0, maximum = 100)]
    min_confidence: Option<f32>,
    /// `png`: answer the image, with its labels drawn on it. So does the header `Accept: image/png`.
    #[param(inline)]
    render: Option<Render>,
}

impl Settings for ModerationRequest {
    fn image(&mut self) -> Option<String> {
        self.image.take()
    }

    fn render(&self) -> Option<Render> {
        self.render
    }
}

/// Judge whether an image should be seen by a moderator.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/moderation",
    tag = "images",
    params(ModerationRequest),
    request_body(content(
        (ModerationRequest = "application/json"),
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
    let (image, settings, wanted) = with_settings::<ModerationRequest>(&app, &call).await?;
    let least = share(settings.min_confidence, "min_confidence")?;
    let least = least.map_or(LEAST, |least| least * 100.0);
    let input = ModerationInput {
        image: image.clone().into(),
    };
    let found = predict_one(&*app.images.moderation, input, call.options).await?;
    let found = Judged { found, least };
    let drawn = wanted.then(|| picture(image, &found));
    answer(&app, &call, found, drawn).await
}
