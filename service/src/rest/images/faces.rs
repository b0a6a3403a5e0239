//! `POST /v1/images/faces`: where faces are, and what they look like.

use super::super::call::{Call, predict_one};
use super::super::error::ImageErrors;
use super::{Answer, BoxView, ImageRequest, RenderQuery, answer, image, wants_picture};
use crate::app::App;
use crate::failure::Failure;
use axum::extract::State;
use escala_pipelines::faces::looks::Gender;
use escala_pipelines::faces::{Face, Faces, FacesInput, FacesOptions, Looks};
use escala_pipelines::render::{RenderInput, answers};
use escala_pipelines::vision::Point;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

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
    /// Whole years between which the age probably is.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_low: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_high: Option<u32>,
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
    /// How sure it is that the face smiles, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    smile: Option<f32>,
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
        let ages = looks.as_ref().map(|looks| looks.age_gender.range());
        Self {
            score: face.confidence,
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
            age_low: ages.map(|(low, _)| low),
            age_high: ages.map(|(_, high)| high),
            gender: looks.as_ref().map(|looks| match looks.age_gender.gender {
                Gender::Male => "male",
                Gender::Female => "female",
            }),
            gender_score: looks.as_ref().map(|looks| looks.age_gender.gender_score),
            eyes_open: looks.as_ref().map(|looks| looks.eyes_open),
            mouth_open: looks.as_ref().map(|looks| looks.mouth_open),
            smile: looks.as_ref().map(Looks::smile),
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

/// Find the faces of an image, and what they look like.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/faces",
    tag = "images",
    params(RenderQuery),
    request_body(content(
        (ImageRequest = "application/json"),
        (String = "image/*"),
        (String = "application/octet-stream"),
    )),
    responses(
        ImageErrors,
        (status = 200, description = "Faces, largest first.", content((FacesAnswer = "application/json"), (String = "image/png"))),
    )
)]
pub async fn faces(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Answer<FacesAnswer>, Failure> {
    let picture = wants_picture(&call)?;
    let image = image(&app, &call).await?;
    let input = FacesInput {
        image: image.clone(),
        options: FacesOptions {
            looks: true,
            gaze: true,
            ..FacesOptions::default()
        },
    };
    let found = predict_one(&*app.images.faces, input, call.options).await?;
    let drawn = picture.then(|| RenderInput::one(image, answers::faces(&found)));
    answer(&app, &call, found, drawn).await
}
