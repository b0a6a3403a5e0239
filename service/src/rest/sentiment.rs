//! `POST /v1/text/sentiment`: the sentiment of texts.

use super::call::Call;
use super::error::TextErrors;
use super::text::{Response, Rules, TextRequest};
use crate::app::App;
use crate::failure::Failure;
use axum::Json;
use axum::extract::State;
use escala_pipelines::sentiment::{LANGUAGES, Scores, SentimentInput, likeliest};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A probability for each sentiment; together they are one.
#[derive(Debug, Serialize, ToSchema)]
pub struct SentimentScores {
    positive: f32,
    negative: f32,
    neutral: f32,
    mixed: f32,
}

/// The sentiment of one text.
#[derive(Debug, Serialize, ToSchema)]
pub struct SentimentAnswer {
    /// The likeliest: `POSITIVE`, `NEGATIVE`, `NEUTRAL` or `MIXED`.
    #[schema(example = "POSITIVE")]
    sentiment: &'static str,
    /// How likely each is, calibrated on held-out texts.
    scores: SentimentScores,
}

impl SentimentAnswer {
    /// The answer about a text.
    pub fn of(_: &str, scores: Scores) -> Self {
        let [positive, negative, neutral, mixed] = scores;
        Self {
            sentiment: likeliest(&scores).name(),
            scores: SentimentScores {
                positive,
                negative,
                neutral,
                mixed,
            },
        }
    }
}

/// Tell the sentiment of texts.
///
/// A body of type `text/plain` is one text; `?language=` says its language (`en` when left out).
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/text/sentiment",
    tag = "text",
    request_body(content(
        (TextRequest = "application/json"),
        (String = "text/plain"),
    )),
    responses(
        TextErrors,
        (status = 200, description = "The sentiment of each text.", body = Response<SentimentAnswer>),
    )
)]
pub async fn sentiment(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<Response<SentimentAnswer>>, Failure> {
    let rules = Rules {
        languages: Some(LANGUAGES),
        predictor: &*app.sentiment,
        input: SentimentInput::new,
        output: SentimentAnswer::of,
    };
    rules.call(&app, call).await.map(Json)
}
