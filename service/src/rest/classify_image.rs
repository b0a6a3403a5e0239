//! `POST /v1/images/classify`: the classes of an image, by a classifier of the operator's own.

use super::call::{Call, Media, predict_one};
use super::classify::ClassesAnswer;
use super::error::ErrorBody;
use super::labels::{check_image, image_of};
use crate::app::App;
use crate::failure::Failure;
use axum::Json;
use axum::extract::State;
use escala_pipelines::Kind;
use escala_pipelines::classes::Classes;
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
}

/// What there is to do where no classifier is named.
pub const NO_CLASSIFIER: &str = "no classifier of images is named; start with `--model image-classes=FOLDER`, where FOLDER has a checkpoint or an ONNX \
     file with its `model.toml`, or with `--model image-classes=org/name`";

/// The likeliest classes of an image.
pub fn answer(mut classes: Classes, most: usize) -> ClassesAnswer {
    classes.truncate(most);
    ClassesAnswer::of("", classes)
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
    tag = "images",
    params(ClassifyImageQuery),
    request_body(content(
        (ClassifyImageRequest = "application/json"),
        (String = "image/*"),
        (String = "application/octet-stream"),
    )),
    responses(
        (status = 200, description = "The classes, most likely first.", body = ClassesAnswer),
        (status = 400, description = "The request breaks a rule, the bytes are not an image, or the server has no classifier.", body = ErrorBody),
        (status = 413, description = "The body or the image is too large.", body = ErrorBody),
        (status = 415, description = "The content type is not taken here.", body = ErrorBody),
        (status = 429, description = "The queue is full; `Retry-After` says when to come back.", body = ErrorBody),
        (status = 503, description = "The model cannot be loaded now.", body = ErrorBody),
        (status = 504, description = "The deadline passed.", body = ErrorBody),
    )
)]
pub async fn classify_image(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<ClassesAnswer>, Failure> {
    let Some(predictor) = &app.images.classes else {
        return Err(Failure::of_kind(
            Kind::Unsupported,
            NO_CLASSIFIER.to_owned(),
        ));
    };
    let (image, most) = match call.media {
        Media::Json if !call.query.is_empty() => {
            return Err(Failure::invalid(
                "with a JSON body, settings belong into the body, not into the query string",
            ));
        }
        Media::Json => {
            let request: ClassifyImageRequest = call.json().await?;
            (image_of(request.image).await?, request.max_classes)
        }
        Media::Image => {
            let query: ClassifyImageQuery = call.query()?;
            (call.body.clone(), query.max_classes)
        }
        _ => return Err(call.unsupported("application/json, image/* or application/octet-stream")),
    };
    let most = most.unwrap_or(DEFAULT_CLASSES);
    if most == 0 {
        return Err(Failure::invalid("`max_classes` must be at least 1").at("max_classes"));
    }
    check_image(&image, &app.config.limits)?;
    let classes = predict_one(&**predictor, image, call.options).await?;
    Ok(Json(answer(classes, most)))
}
