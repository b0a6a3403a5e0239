//! `POST /v1/images/faces`, `/v1/images/text`, `/v1/images/moderation` and `/v1/images/compare`.
//!
//! An image is the body itself (`image/*` or `application/octet-stream`) or base64 in a JSON body. Places are in pixels
//! of the image as it is meant to be seen (EXIF orientation applied), from its upper left corner.

use super::call::{Call, Media, predict_one};
use super::error::ErrorBody;
use super::labels::{check_image, image_of};
use crate::app::App;
use crate::failure::Failure;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use escala_pipelines::Kind;
use escala_pipelines::faces::looks::Gender;
use escala_pipelines::faces::similarity::{distance, percent};
use escala_pipelines::faces::{Face, Faces, FacesInput, FacesOptions, Looks};
use escala_pipelines::moderation::{Moderated, ModerationInput};
use escala_pipelines::ocr::recognise::{Reading, Word};
use escala_pipelines::ocr::{OcrFound, OcrInput};
use escala_pipelines::vision::{Area, Point};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// An image.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageRequest {
    /// The encoded image (JPEG, PNG, WebP, GIF, BMP or TIFF) in base64.
    #[schema(content_encoding = "base64")]
    image: String,
}

/// Two images.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompareRequest {
    /// The image whose largest face is looked for, in base64.
    #[schema(content_encoding = "base64")]
    source: String,
    /// The image in whose faces it is looked for, in base64.
    #[schema(content_encoding = "base64")]
    target: String,
}

/// A place in pixels.
#[derive(Debug, Serialize, ToSchema)]
pub struct BoxView {
    left: f32,
    top: f32,
    width: f32,
    height: f32,
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

/// A point of a face.
#[derive(Debug, Serialize, ToSchema)]
pub struct LandmarkView {
    /// Rekognition's name of it.
    #[schema(example = "eyeLeft")]
    name: &'static str,
    x: f32,
    y: f32,
}

/// An emotion and its share.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmotionView {
    #[schema(example = "HAPPY")]
    name: &'static str,
    /// 0 to 1; the shares of a face sum to one.
    score: f32,
}

/// One face.
#[derive(Debug, Serialize, ToSchema)]
pub struct FaceView {
    /// How sure the detector is, 0 to 1.
    score: f32,
    /// Where it is; it may reach outside the image.
    #[serde(rename = "box")]
    area: BoxView,
    /// Its points.
    landmarks: Vec<LandmarkView>,
    /// How it is turned, in degrees: clockwise, towards the image's right, up.
    roll: f32,
    yaw: f32,
    pitch: f32,
    /// Where open eyes look, in the same degrees: 0, 0 is at the camera.
    #[serde(skip_serializing_if = "Option::is_none")]
    eye_yaw: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eye_pitch: Option<f32>,
    /// 0 to 100.
    brightness: f32,
    /// 0 to 100.
    sharpness: f32,
    /// Years.
    #[serde(skip_serializing_if = "Option::is_none")]
    age: Option<f32>,
    /// `male` or `female`, as the network sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    gender: Option<&'static str>,
    /// How sure that is, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    gender_score: Option<f32>,
    /// Likeliest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    emotions: Vec<EmotionView>,
    /// How sure it is that the eyes are open, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    eyes_open: Option<f32>,
    /// How sure it is that the mouth is open, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    mouth_open: Option<f32>,
}

impl From<Face> for FaceView {
    fn from(face: Face) -> Self {
        let landmark = |(name, point): (&'static str, Point)| LandmarkView {
            name,
            x: point.x,
            y: point.y,
        };
        let looks: Option<Looks> = face.looks;
        let emotions = looks.iter().flat_map(|looks| &looks.emotions);
        Self {
            score: face.score,
            area: face.area.into(),
            landmarks: face.landmarks.named().into_iter().map(landmark).collect(),
            roll: face.pose.roll,
            yaw: face.pose.yaw,
            pitch: face.pose.pitch,
            eye_yaw: face.gaze.map(|gaze| gaze.yaw),
            eye_pitch: face.gaze.map(|gaze| gaze.pitch),
            brightness: face.quality.brightness,
            sharpness: face.quality.sharpness,
            emotions: emotions
                .map(|(emotion, score)| EmotionView {
                    name: emotion.name(),
                    score: *score,
                })
                .collect(),
            age: looks.as_ref().map(|looks| looks.age_gender.age),
            gender: looks.as_ref().map(|looks| match looks.age_gender.gender {
                Gender::Male => "male",
                Gender::Female => "female",
            }),
            gender_score: looks.as_ref().map(|looks| looks.age_gender.gender_score),
            eyes_open: looks.as_ref().map(|looks| looks.eyes_open),
            mouth_open: looks.as_ref().map(|looks| looks.mouth_open),
        }
    }
}

/// The faces of an image.
#[derive(Debug, Serialize, ToSchema)]
pub struct FacesAnswer {
    /// Columns of the image.
    width: u32,
    /// Rows of the image.
    height: u32,
    /// Largest first.
    faces: Vec<FaceView>,
}

impl From<Faces> for FacesAnswer {
    fn from(found: Faces) -> Self {
        Self {
            width: found.width,
            height: found.height,
            faces: found.faces.into_iter().map(FaceView::from).collect(),
        }
    }
}

/// A face and how like the other it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ComparedView {
    /// Percent; 80 counts as the same person at AWS's default.
    similarity: f32,
    /// Euclidean distance of the descriptors; the network was trained to tell persons apart at 0.6.
    distance: f32,
    /// The face in the target.
    face: FaceView,
}

/// The faces of the target beside the largest of the source.
#[derive(Debug, Serialize, ToSchema)]
pub struct CompareAnswer {
    /// The face that was looked for.
    source: FaceView,
    /// Most alike first.
    faces: Vec<ComparedView>,
}

/// A word or line.
#[derive(Debug, Serialize, ToSchema)]
pub struct WordView {
    text: String,
    /// 0 to 1.
    score: f32,
    /// Corners, clockwise from the upper left one as the text is read.
    polygon: Vec<PointView>,
}

impl From<Word> for WordView {
    fn from(word: Word) -> Self {
        Self {
            text: word.text,
            score: word.score,
            polygon: word.quad.into_iter().map(PointView::from).collect(),
        }
    }
}

/// A line with its words.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineView {
    #[serde(flatten)]
    line: WordView,
    words: Vec<WordView>,
}

/// The text in an image.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImageTextAnswer {
    /// Columns of the image.
    width: u32,
    /// Rows of the image.
    height: u32,
    /// In reading order.
    lines: Vec<LineView>,
}

impl From<OcrFound> for ImageTextAnswer {
    fn from(found: OcrFound) -> Self {
        let line = |reading: Reading| LineView {
            line: reading.line.into(),
            words: reading.words.into_iter().map(WordView::from).collect(),
        };
        Self {
            width: found.width,
            height: found.height,
            lines: found.lines.into_iter().map(line).collect(),
        }
    }
}

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

/// The image of a call, within the limits.
pub(super) async fn image(app: &App, call: &Call) -> Result<Bytes, Failure> {
    let image = match call.media {
        Media::Json => {
            let request: ImageRequest = call.json().await?;
            image_of(request.image).await?
        }
        Media::Image => call.body.clone(),
        _ => return Err(call.unsupported("application/json, image/* or application/octet-stream")),
    };
    check_image(&image, &app.config.limits)?;
    Ok(image)
}

/// Find the faces of an image, and what they look like.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/faces",
    tag = "images",
    request_body(content(
        (ImageRequest = "application/json"),
        (String = "image/*"),
        (String = "application/octet-stream"),
    )),
    responses(
        (status = 200, description = "Faces, largest first.", body = FacesAnswer),
        (status = 400, description = "The request breaks a rule, or the bytes are not an image.", body = ErrorBody),
        (status = 413, description = "The body or the image is too large.", body = ErrorBody),
        (status = 415, description = "The content type is not taken here.", body = ErrorBody),
        (status = 429, description = "The queue is full; `Retry-After` says when to come back.", body = ErrorBody),
        (status = 503, description = "The model cannot be loaded now.", body = ErrorBody),
        (status = 504, description = "The deadline passed.", body = ErrorBody),
    )
)]
pub async fn faces(State(app): State<Arc<App>>, call: Call) -> Result<Json<FacesAnswer>, Failure> {
    let input = FacesInput {
        image: image(&app, &call).await?,
        options: FacesOptions {
            looks: true,
            gaze: true,
            ..FacesOptions::default()
        },
    };
    let found = predict_one(&*app.images.faces, input, call.options).await?;
    Ok(Json(found.into()))
}

/// Compare the largest face of one image with all faces of another.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/compare",
    tag = "images",
    request_body(content((CompareRequest = "application/json"))),
    responses(
        (status = 200, description = "The other image's faces, most alike first.", body = CompareAnswer),
        (status = 400, description = "The request breaks a rule, the bytes are not an image, or the source has no face.", body = ErrorBody),
        (status = 413, description = "The body or an image is too large.", body = ErrorBody),
        (status = 415, description = "The content type is not taken here.", body = ErrorBody),
        (status = 429, description = "The queue is full; `Retry-After` says when to come back.", body = ErrorBody),
        (status = 503, description = "The model cannot be loaded now.", body = ErrorBody),
        (status = 504, description = "The deadline passed.", body = ErrorBody),
    )
)]
pub async fn compare(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<CompareAnswer>, Failure> {
    if call.media != Media::Json {
        return Err(call.unsupported("application/json"));
    }
    let request: CompareRequest = call.json().await?;
    let mut found = Vec::with_capacity(2);
    for text in [request.source, request.target] {
        let image = image_of(text).await?;
        check_image(&image, &app.config.limits)?;
        let input = FacesInput {
            image,
            options: FacesOptions {
                descriptors: true,
                ..FacesOptions::default()
            },
        };
        found.push(predict_one(&*app.images.faces, input, call.options).await?);
    }
    let target = found.pop().map_or_else(Vec::new, |found| found.faces);
    let source = found.pop().map_or_else(Vec::new, |found| found.faces);
    let none = || Failure::of_kind(Kind::InvalidInput, "the source has no face").at("source");
    let source = source.into_iter().next().ok_or_else(none)?;
    let of = |face: &Face| face.descriptor.clone().unwrap_or_default();
    let wanted = of(&source);
    let mut faces: Vec<ComparedView> = target
        .into_iter()
        .map(|face| {
            let distance = distance(&wanted, &of(&face));
            ComparedView {
                similarity: percent(distance),
                distance,
                face: face.into(),
            }
        })
        .collect();
    faces.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    let source = source.into();
    Ok(Json(CompareAnswer { source, faces }))
}

/// Read the text in an image.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/text",
    tag = "images",
    request_body(content(
        (ImageRequest = "application/json"),
        (String = "image/*"),
        (String = "application/octet-stream"),
    )),
    responses(
        (status = 200, description = "Lines in reading order.", body = ImageTextAnswer),
        (status = 400, description = "The request breaks a rule, or the bytes are not an image.", body = ErrorBody),
        (status = 413, description = "The body or the image is too large.", body = ErrorBody),
        (status = 415, description = "The content type is not taken here.", body = ErrorBody),
        (status = 429, description = "The queue is full; `Retry-After` says when to come back.", body = ErrorBody),
        (status = 503, description = "The model cannot be loaded now.", body = ErrorBody),
        (status = 504, description = "The deadline passed.", body = ErrorBody),
    )
)]
pub async fn text(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<ImageTextAnswer>, Failure> {
    let input = OcrInput {
        image: image(&app, &call).await?,
    };
    let found = predict_one(&*app.images.text, input, call.options).await?;
    Ok(Json(found.into()))
}

/// Judge whether an image should be seen by a moderator.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/moderation",
    tag = "images",
    request_body(content(
        (ImageRequest = "application/json"),
        (String = "image/*"),
        (String = "application/octet-stream"),
    )),
    responses(
        (status = 200, description = "Labels and what the networks say.", body = ModerationAnswer),
        (status = 400, description = "The request breaks a rule, or the bytes are not an image.", body = ErrorBody),
        (status = 413, description = "The body or the image is too large.", body = ErrorBody),
        (status = 415, description = "The content type is not taken here.", body = ErrorBody),
        (status = 429, description = "The queue is full; `Retry-After` says when to come back.", body = ErrorBody),
        (status = 503, description = "The model cannot be loaded now.", body = ErrorBody),
        (status = 504, description = "The deadline passed.", body = ErrorBody),
    )
)]
pub async fn moderation(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<ModerationAnswer>, Failure> {
    let input = ModerationInput {
        image: image(&app, &call).await?,
    };
    let found = predict_one(&*app.images.moderation, input, call.options).await?;
    Ok(Json(found.into()))
}
