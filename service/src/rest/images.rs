//! `POST /v1/images/…`: what images show, an operation in each file.
//!
//! An image is the body itself (`image/*` or `application/octet-stream`) or base64 in a JSON body. Places are in pixels
//! of the image as it is meant to be seen (EXIF orientation applied), from its upper left corner.
//!
//! Every operation answers JSON, or with `?render=png` or an `Accept` header that prefers `image/png` the picture itself
//! with what was found drawn on it. Failures are JSON either way.

pub mod bodies;
pub mod classify;
pub mod compare;
pub mod faces;
pub mod labels;
pub mod moderation;
pub mod text;

use super::call::{Call, Media, away, predict_one};
use crate::app::App;
use crate::config::Limits;
use crate::failure::Failure;
use crate::gallery::faces::Bar;
use axum::Json;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use escala_pipelines::Kind;
use escala_pipelines::render::RenderInput;
use escala_pipelines::vision::{Area, Point};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Base64 with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Images above this are decoded from base64 away from the threads that serve connections.
const DECODE_INLINE: usize = 256 << 10;

/// An image.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageRequest {
    /// The encoded image (JPEG, PNG, WebP, GIF, BMP or TIFF) in base64.
    #[schema(content_encoding = "base64")]
    image: String,
}

/// A place in pixels.
#[derive(Debug, Serialize, ToSchema)]
pub struct BoxView {
    pub(crate) left: f32,
    pub(crate) top: f32,
    pub(crate) width: f32,
    pub(crate) height: f32,
}

impl From<Area> for BoxView {
    fn from(area: Area) -> Self {
        Self {
            left: area.left,
            top: area.top,
            width: area.width(),
            height: area.height(),
        }
    }
}

/// A point in pixels.
#[derive(Debug, Serialize, ToSchema)]
pub struct PointView {
    x: f32,
    y: f32,
}

impl From<Point> for PointView {
    fn from(point: Point) -> Self {
        Self {
            x: point.x,
            y: point.y,
        }
    }
}

/// How an answer is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RenderQuery {
    /// `png`: answer the image itself, at most 4096 pixels a side, with what was found drawn on it. So does the header
    /// `Accept: image/png`.
    #[param(inline)]
    pub render: Option<Render>,
}

/// What an answer is drawn as.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Render {
    /// A PNG file.
    Png,
}

/// An answer as it is wanted.
#[derive(Debug)]
pub enum Answer<T> {
    /// What was found.
    Json(T),
    /// A PNG file with it.
    Picture(Bytes),
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        match self {
            Self::Json(found) => Json(found).into_response(),
            Self::Picture(file) => ([(CONTENT_TYPE, "image/png")], file).into_response(),
        }
    }
}

/// Whether a call that has no other settings in its query wants a picture.
///
/// # Errors
/// 400 for another parameter or another word.
pub(super) fn wants_picture(call: &Call) -> Result<bool, Failure> {
    let query: RenderQuery = call.query()?;
    Ok(call.prefers_png || query.render.is_some())
}

/// Answers what was found, or where it is to be drawn the picture.
///
/// # Errors
/// Those of drawing.
pub(super) async fn answer<F, T: From<F>>(
    app: &App,
    call: &Call,
    found: F,
    drawn: Option<RenderInput>,
) -> Result<Answer<T>, Failure> {
    match drawn {
        None => Ok(Answer::Json(found.into())),
        Some(input) => predict_one(&*app.images.render, input, call.options)
            .await
            .map(Answer::Picture),
    }
}

/// A request that has settings beside its image: those that are in the query where the image is the body.
pub(super) trait Settings: DeserializeOwned + Send + 'static {
    /// The image in base64, taken out.
    fn image(&mut self) -> Option<String>;

    /// How the answer is wanted.
    fn render(&self) -> Option<Render>;
}

/// The image of a call within the limits, its settings, and whether a picture is wanted. In a JSON body the settings are beside
/// the image, and the query has `render` at most.
///
/// # Errors
/// As [`image`].
pub(super) async fn with_settings<T: Settings>(
    app: &App,
    call: &Call,
) -> Result<(Bytes, T, bool), Failure> {
    let none = || Failure::of_kind(Kind::InvalidImage, "there is no image").at("image");
    let (image, settings, render) = match call.media {
        Media::Json => {
            let RenderQuery { render } = call.query()?;
            let mut settings: T = call.json().await?;
            let text = settings.image().ok_or_else(none)?;
            let render = render.or(settings.render());
            (image_of(text, "image").await?, settings, render)
        }
        Media::Image => {
            let mut settings: T = call.query()?;
            if settings.image().is_some() {
                let why = "the image is the body, and not in the query string";
                return Err(Failure::invalid(why).at("image"));
            }
            let render = settings.render();
            (call.body.clone(), settings, render)
        }
        _ => return Err(call.unsupported("application/json, image/* or application/octet-stream")),
    };
    check_image(&image, &app.config.limits)?;
    Ok((image, settings, call.prefers_png || render.is_some()))
}

/// A setting that is a percentage, as a share.
///
/// # Errors
/// 400 where it is none.
pub(super) fn share(percent: Option<f32>, member: &'static str) -> Result<Option<f32>, Failure> {
    match percent {
        Some(percent) if !(0.0..=100.0).contains(&percent) => {
            Err(Failure::invalid(format!("`{member}` must be between 0 and 100")).at(member))
        }
        percent => Ok(percent.map(|percent| percent / 100.0)),
    }
}

/// What is asked of faces, by its name.
///
/// # Errors
/// 400 for another name.
pub(super) fn bar(quality: Option<String>, default: Bar) -> Result<Bar, Failure> {
    let Some(quality) = quality else {
        return Ok(default);
    };
    Bar::named(&quality.to_ascii_uppercase()).ok_or_else(|| {
        let names = Bar::NAMES.map(str::to_ascii_lowercase).join(", ");
        Failure::invalid(format!("`quality` is one of {names}")).at("quality")
    })
}

/// The image of a call, within the limits.
///
/// # Errors
/// 400 and 413 as [`check_image`], 415 for a body of another kind.
pub async fn image(app: &App, call: &Call) -> Result<Bytes, Failure> {
    let image = match call.media {
        Media::Json => {
            let request: ImageRequest = call.json().await?;
            image_of(request.image, "image").await?
        }
        Media::Image => call.body.clone(),
        _ => return Err(call.unsupported("application/json, image/* or application/octet-stream")),
    };
    check_image(&image, &app.config.limits)?;
    Ok(image)
}

/// Checks an encoded image against the limits.
///
/// # Errors
/// 400 when it is empty, 413 when it is too large.
pub fn check_image(image: &[u8], limits: &Limits) -> Result<(), Failure> {
    if image.is_empty() {
        return Err(Failure::of_kind(Kind::InvalidImage, "there is no image").at("image"));
    }
    let limit = limits.image.get();
    if image.len() as u64 > limit {
        let message = format!(
            "the image has {} bytes; at most {limit} are taken",
            image.len()
        );
        return Err(Failure::of_kind(Kind::TooLarge, message).at("image"));
    }
    Ok(())
}

/// The bytes of an image in base64, which the request calls `member`; large ones are read away from the threads that
/// serve connections.
///
/// # Errors
/// 400 when it is not base64.
pub async fn image_of(text: String, member: &'static str) -> Result<Bytes, Failure> {
    match text.len() <= DECODE_INLINE {
        true => decode(&text, member),
        false => away(move || decode(&text, member)).await,
    }
}

fn decode(text: &str, member: &'static str) -> Result<Bytes, Failure> {
    BASE64.decode(text).map(Bytes::from).map_err(|error| {
        let hint = match text.starts_with("data:") {
            true => "; send what follows `base64,` in the data URL",
            false => "",
        };
        let error = error.to_string().to_lowercase();
        let error = error.trim_end_matches('.');
        Failure::invalid(format!("`{member}` is not base64: {error}{hint}")).at(member)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_with_and_without_padding() {
        for text in ["aGk=", "aGk"] {
            assert_eq!(decode(text, "image").expect(text), "hi");
        }
        for text in ["aGk*", "a", "aG k=", "data:image/png;base64,aGk="] {
            assert_eq!(
                decode(text, "image").expect_err(text).status.as_u16(),
                400,
                "{text}"
            );
        }
        let failure = decode("data:image/png;base64,aGk=", "image").expect_err("a URL");
        assert!(failure.message.contains("data URL"), "{}", failure.message);
    }
}
