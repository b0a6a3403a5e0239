//! `POST /v1/images/text`: the text in an image.

use super::super::call::{Call, predict_one};
use super::super::error::ImageErrors;
use super::{Answer, ImageRequest, PointView, RenderQuery, answer, image, wants_picture};
use crate::app::App;
use crate::failure::Failure;
use axum::extract::State;
use escala_pipelines::ocr::recognise::{Reading, Word};
use escala_pipelines::ocr::{OcrFound, OcrInput};
use escala_pipelines::render::{RenderInput, answers};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

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

/// Read the text in an image.
///
/// In the picture of it lines have captions; text that is too dense for them is written on a page beside the image.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/text",
    tag = "images",
    params(RenderQuery),
    request_body(content(
        (ImageRequest = "application/json"),
        (String = "image/*"),
        (String = "application/octet-stream"),
    )),
    responses(
        ImageErrors,
        (status = 200, description = "Lines in reading order.", content((ImageTextAnswer = "application/json"), (String = "image/png"))),
    )
)]
pub async fn text(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Answer<ImageTextAnswer>, Failure> {
    let picture = wants_picture(&call)?;
    let image = image(&app, &call).await?;
    let input = OcrInput {
        image: image.clone(),
    };
    let found = predict_one(&*app.images.text, input, call.options).await?;
    let drawn = picture.then(|| RenderInput::one(image, answers::text(&found)));
    answer(&app, &call, found, drawn).await
}
