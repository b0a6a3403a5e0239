//! `POST /v1/images/classify`: the classes of an image, by a classifier of the operator's own.

use super::super::call::{Call, Media};
use super::super::classify::ClassesAnswer;
use super::super::error::ImageErrors;
use super::{Answer, Render, RenderQuery, answer, check_image, image_of};
use crate::app::{App, one};
use crate::failure::Failure;
use axum::extract::State;
use escala_pipelines::Kind;
use escala_pipelines::classes::Classes;
use escala_pipelines::render::{RenderInput, answers};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Classes of an answer when the request does not say.
pub const DEFAULT_CLASSES: usize = 10;

/// An image and what is asked about it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassifyImageRequest {
    /// The encoded image (JPEG, PNG, WebP, GIF, BMP or TIFF) in base64.
    #[schema(content_encoding = "base64")]
    image: String,
    /// Most classes, most likely first.
    #[schema(default = 10, minimum = 1)]
    max_classes: Option<usize>,
}

/// What is asked about an image that is the body itself.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ClassifyImageQuery {
    /// Most classes, most likely first.
    #[param(default = 10, minimum = 1)]
    max_classes: Option<usize>,
    /// `png`: answer the image itself with its classes written on it. So does the header `Accept: image/png`.
    #[param(inline)]
    render: Option<Render>,
}

/// What there is to do where no classifier is named.
pub const NO_CLASSIFIER: &str = "no classifier of images is named; start with `--model image-classes=FOLDER`, where FOLDER has a checkpoint or an ONNX \
     file with its `model.toml`, or with `--model image-classes=org/name`";

impl From<Classes> for ClassesAnswer {
    fn from(classes: Classes) -> Self {
        Self::of("", classes)
    }
}

/// Put an image into classes of your own.
///
/// The classifier is the one that the server was started with (`--model image-classes=…`). The image is either in the
/// JSON body as base64, or it is the body itself (`image/*` or `application/octet-stream`).
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/classify",
    operation_id = "classify_image",
    tag = "images",
    params(ClassifyImageQuery),
    request_body(content(
        (ClassifyImageRequest = "application/json"),
        (String = "image/*"),
        (String = "application/octet-stream"),
    )),
    responses(
        ImageErrors,
        (status = 200, description = "The classes, most likely first.", content((ClassesAnswer = "application/json"), (String = "image/png"))),
    )
)]
pub async fn classify(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Answer<ClassesAnswer>, Failure> {
    let (image, most, render) = match call.media {
        Media::Json => {
            let Ok(RenderQuery { render }) = call.query() else {
                return Err(Failure::invalid(
                    "with a JSON body, settings belong into the body, not into the query string; only `render=png` may be there",
                ));
            };
            let request: ClassifyImageRequest = call.json().await?;
            let image = image_of(request.image, "image").await?;
            (image, request.max_classes, render)
        }
        Media::Image => {
            let query: ClassifyImageQuery = call.query()?;
            (call.body.clone(), query.max_classes, query.render)
        }
        _ => return Err(call.unsupported("application/json, image/* or application/octet-stream")),
    };
    let Some(predictor) = &app.images.classes else {
        return Err(Failure::of_kind(
            Kind::Unsupported,
            NO_CLASSIFIER.to_owned(),
        ));
    };
    let picture = call.prefers_png || render.is_some();
    let most = most.unwrap_or(DEFAULT_CLASSES);
    if most == 0 {
        return Err(Failure::invalid("`max_classes` must be at least 1").at("max_classes"));
    }
    check_image(&image, &app.config.limits)?;
    let mut classes = one(&**predictor, image.clone(), call.options).await?;
    classes.truncate(most);
    let drawn = picture.then(|| RenderInput::one(image, answers::classes(&classes)));
    answer(&app, &call, classes, drawn).await
}
