//! `POST /v1/images/compare`: the largest face of one image beside all faces of another.

use super::super::call::{Call, Media};
use super::super::error::{ErrorBody, ImageErrors};
use super::faces::FaceView;
use super::{Answer, RenderQuery, answer, bar, check_image, image_of, share, wants_picture};
use crate::app::App;
use crate::compared::{Alike, Compared, Terms, compare as compared};
use crate::failure::Failure;
use crate::gallery::faces::Bar;
use axum::body::Bytes;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

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
    /// Least likeness of the faces that are told, in percent.
    #[schema(default = 0.0, minimum = 0, maximum = 100)]
    threshold: Option<f32>,
    /// What is asked of faces: `none`, `auto`, `low`, `medium` or `high`.
    #[schema(default = "none")]
    quality: Option<String>,
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

impl From<Compared> for CompareAnswer {
    fn from(compared: Compared) -> Self {
        let view = |alike: Alike| ComparedView {
            similarity: alike.similarity,
            distance: alike.distance,
            face: alike.face.into(),
        };
        Self {
            source: compared.source.into(),
            faces: compared.faces.into_iter().map(view).collect(),
        }
    }
}

/// Compare the largest face of one image with all faces of another.
///
/// The picture of it has both images beside each other, scaled to the same height.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/compare",
    tag = "images",
    params(RenderQuery),
    request_body(content((CompareRequest = "application/json"))),
    responses(
        ImageErrors,
        (status = 200, description = "The other image's faces, most alike first.", content((CompareAnswer = "application/json"), (String = "image/png"))),
        (status = 400, description = "The request breaks a rule, the bytes are not an image, or the source has no face.", body = ErrorBody),
        (status = 413, description = "The body or an image is too large.", body = ErrorBody),
    )
)]
pub async fn compare(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Answer<CompareAnswer>, Failure> {
    let picture = wants_picture(&call)?;
    if call.media != Media::Json {
        return Err(call.unsupported("application/json"));
    }
    let request: CompareRequest = call.json().await?;
    let least = share(request.threshold, "threshold")?;
    let terms = Terms {
        least: least.map_or(0.0, |least| least * 100.0),
        bar: bar(request.quality, Bar::NONE)?,
    };
    let of = async |text: String, member: &'static str| -> Result<Bytes, Failure> {
        let image = image_of(text, member).await?;
        check_image(&image, &app.config.limits).map_err(|failure| failure.at(member))?;
        Ok(image)
    };
    let images = [
        of(request.source, "source").await?,
        of(request.target, "target").await?,
    ];
    let found = compared(&*app.images.faces, &images, terms, call.options).await?;
    let drawn = picture.then(|| found.picture(images));
    answer(&app, &call, found, drawn).await
}
