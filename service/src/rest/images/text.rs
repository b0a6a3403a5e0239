//! `POST /v1/images/text`: the text in an image.

use super::super::call::{Call, predict_one};
use super::super::error::ImageErrors;
use super::{Answer, PointView, Render, Settings, answer, share, with_settings};
use crate::app::App;
use crate::failure::Failure;
use axum::extract::State;
use escala_pipelines::ocr::filter::{Region, WordFilter};
use escala_pipelines::ocr::recognise::{Reading, Word};
use escala_pipelines::ocr::{OcrFound, OcrInput};
use escala_pipelines::render::{RenderInput, answers};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// An image whose text is to be read, and which words are wanted.
#[derive(Debug, Default, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TextRequest {
    /// The encoded image (JPEG, PNG, WebP, GIF, BMP or TIFF) in base64.
    #[schema(content_encoding = "base64", required = true)]
    #[param(ignore)]
    image: Option<String>,
    /// Least confidence of a word in percent; all of them if it is not said.
    #[schema(minimum = 0, maximum = 100)]
    #[param(minimum = 0, maximum = 100)]
    min_confidence: Option<f32>,
    /// Least height of a word, as a share of the image's, 0 to 1.
    min_height: Option<f32>,
    /// Least width of a word, as a share of the image's, 0 to 1.
    min_width: Option<f32>,
    /// Only words whose middle is there: left, top, width and height as shares of the image, separated by commas.
    #[schema(example = "0,0.5,1,0.5")]
    region: Option<String>,
    /// `png`: answer the image, with its text drawn on it. So does the header `Accept: image/png`.
    #[param(inline)]
    render: Option<Render>,
}

impl Settings for TextRequest {
    fn image(&mut self) -> Option<String> {
        self.image.take()
    }

    fn render(&self) -> Option<Render> {
        self.render
    }
}

/// Reads `left,top,width,height`, as shares.
pub fn region(text: &str) -> Result<Region, &'static str> {
    let wrong = "a region is LEFT,TOP,WIDTH,HEIGHT, as shares of the image from 0 to 1";
    let numbers: Result<Vec<f32>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    match numbers.as_deref() {
        Ok(&[left, top, width, height])
            if [left, top, width, height]
                .iter()
                .all(|one| (0.0..=1.0).contains(one)) =>
        {
            Ok(Region::Box([left, top, left + width, top + height]))
        }
        _ => Err(wrong),
    }
}

impl TextRequest {
    fn filter(&self) -> Result<WordFilter, Failure> {
        let side = |side: Option<f32>, member: &'static str| match side {
            Some(side) if !(0.0..=1.0).contains(&side) => {
                Err(Failure::invalid(format!("`{member}` must be between 0 and 1")).at(member))
            }
            side => Ok(side.unwrap_or(0.0)),
        };
        let region = self.region.as_deref().map(region).transpose();
        let region = region.map_err(|why| Failure::invalid(why).at("region"))?;
        Ok(WordFilter {
            least: share(self.min_confidence, "min_confidence")?.unwrap_or(0.0),
            height: side(self.min_height, "min_height")?,
            width: side(self.min_width, "min_width")?,
            regions: region.into_iter().collect(),
        })
    }
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
    params(TextRequest),
    request_body(content(
        (TextRequest = "application/json"),
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
    let (image, settings, picture) = with_settings::<TextRequest>(&app, &call).await?;
    let filter = settings.filter()?;
    let input = OcrInput {
        image: image.clone(),
    };
    let found = predict_one(&*app.images.text, input, call.options).await?;
    let found = filter.apply(found);
    let drawn = picture.then(|| RenderInput::one(image, answers::text(&found)));
    answer(&app, &call, found, drawn).await
}
