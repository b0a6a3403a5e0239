//! `POST /v1/images/bodies`: persons, their joints, which parts of them can be seen, and what covers these.

use super::super::call::{Call, predict_one};
use super::super::error::ImageErrors;
use super::{Answer, BoxView, ImageRequest, RenderQuery, answer, image, wants_picture};
use crate::app::App;
use crate::failure::Failure;
use axum::extract::State;
use escala_pipelines::bodies::movenet::JOINTS;
use escala_pipelines::bodies::{Bodies, BodiesInput, Body, Cover, Joint, MOST, Part, Worn};
use escala_pipelines::render::{RenderInput, answers};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A point of a body.
#[derive(Debug, Serialize, ToSchema)]
pub struct JointView {
    /// What it is; left and right are the person's own.
    #[schema(example = "leftShoulder")]
    name: &'static str,
    x: f32,
    y: f32,
    /// How sure the network is, 0 to 1; below 0.2 the place is a guess.
    score: f32,
}

/// A part of a body that can be seen.
#[derive(Debug, Serialize, ToSchema)]
pub struct PartView {
    /// Rekognition's name of it: `FACE`, `HEAD`, `LEFT_HAND` or `RIGHT_HAND`.
    #[schema(example = "HEAD")]
    name: &'static str,
    /// 0 to 1.
    score: f32,
    /// What is worn on it; left out where no detector of covers was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    equipment: Option<Vec<WornView>>,
}

/// Something worn for protection.
#[derive(Debug, Serialize, ToSchema)]
pub struct WornView {
    /// Rekognition's name of it: `FACE_COVER`, `HAND_COVER` or `HEAD_COVER`.
    #[serde(rename = "type")]
    #[schema(example = "HEAD_COVER")]
    kind: &'static str,
    /// Percent.
    confidence: f32,
    /// Where it is.
    #[serde(rename = "box")]
    area: BoxView,
    /// Whether it is on the part, and not only near it.
    covers: bool,
}

/// One person.
#[derive(Debug, Serialize, ToSchema)]
pub struct BodyView {
    /// How sure the detector is, 0 to 1.
    score: f32,
    /// Where the person is.
    #[serde(rename = "box")]
    area: BoxView,
    /// All seventeen, seen or not.
    joints: Vec<JointView>,
    /// Those that are seen.
    parts: Vec<PartView>,
}

impl BodyView {
    fn of(body: Body, sought: &[Cover]) -> Self {
        let joint = |(joint, name): (&Joint, &'static str)| JointView {
            name,
            x: joint.point.x,
            y: joint.point.y,
            score: joint.score,
        };
        let worn = |worn: &Worn| WornView {
            kind: worn.cover.name(),
            confidence: worn.confidence,
            area: worn.area.into(),
            covers: worn.covers(),
        };
        let part = |(part, score): (Part, f32)| {
            let mine = body.worn.iter().filter(|worn| worn.part == part);
            let known = sought.iter().any(|cover| cover.parts().contains(&part));
            PartView {
                name: part.name(),
                score,
                equipment: known.then(|| mine.map(worn).collect()),
            }
        };
        Self {
            score: body.score,
            area: body.area.into(),
            joints: body.joints.iter().zip(JOINTS).map(joint).collect(),
            parts: body.parts().into_iter().map(part).collect(),
        }
    }
}

/// The persons in an image.
#[derive(Debug, Serialize, ToSchema)]
pub struct BodiesAnswer {
    /// Columns of the image.
    width: u32,
    /// Rows of the image.
    height: u32,
    /// Surest first; at most 15.
    persons: Vec<BodyView>,
}

impl From<Bodies> for BodiesAnswer {
    fn from(found: Bodies) -> Self {
        let person = |body| BodyView::of(body, &found.sought);
        Self {
            width: found.width,
            height: found.height,
            persons: found.bodies.into_iter().map(person).collect(),
        }
    }
}

/// Find the persons in an image, their joints, the parts of their bodies, and what covers these.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/bodies",
    tag = "images",
    params(RenderQuery),
    request_body(content(
        (ImageRequest = "application/json"),
        (String = "image/*"),
        (String = "application/octet-stream"),
    )),
    responses(
        ImageErrors,
        (status = 200, description = "Persons, surest first.", content((BodiesAnswer = "application/json"), (String = "image/png"))),
    )
)]
pub async fn bodies(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Answer<BodiesAnswer>, Failure> {
    let picture = wants_picture(&call)?;
    let image = image(&app, &call).await?;
    let input = BodiesInput {
        image: image.clone(),
        most: MOST,
    };
    let found = predict_one(&*app.images.bodies, input, call.options).await?;
    let drawn = picture.then(|| RenderInput::one(image, answers::bodies(&found)));
    answer(&app, &call, found, drawn).await
}
