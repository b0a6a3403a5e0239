//! `POST /v1/text/toxicity`: how toxic texts are.

use super::call::Call;
use super::error::TextErrors;
use super::text::{Response, Rules, TextRequest};
use crate::app::App;
use crate::failure::Failure;
use axum::Json;
use axum::extract::State;
use escala_pipelines::toxicity::{LANGUAGES, Toxicity};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A kind of toxicity.
#[derive(Debug, Serialize, ToSchema)]
pub struct ToxicityView {
    /// Its name in Comprehend: `PROFANITY`, `HATE_SPEECH`, `INSULT`, `HARASSMENT_OR_ABUSE` or `VIOLENCE_OR_THREAT`.
    #[schema(example = "INSULT")]
    label: &'static str,
    /// Probability, 0 to 1, not recalibrated.
    score: f32,
}

/// How toxic one text is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ToxicityAnswer {
    /// Probability that the text is toxic, 0 to 1, not recalibrated.
    toxicity: f32,
    /// Every kind that the model knows.
    labels: Vec<ToxicityView>,
}

impl ToxicityAnswer {
    /// The answer about a text.
    pub fn of(_: &str, toxicity: Toxicity) -> Self {
        let view = |(kind, score): (escala_pipelines::toxicity::ToxicKind, f32)| ToxicityView {
            label: kind.name(),
            score,
        };
        Self {
            toxicity: toxicity.toxicity,
            labels: toxicity.labels.into_iter().map(view).collect(),
        }
    }
}

/// Judge how toxic texts are.
///
/// A body of type `text/plain` is one text; `?language=` says its language (`en` when left out).
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/text/toxicity",
    tag = "text",
    request_body(content(
        (TextRequest = "application/json"),
        (String = "text/plain"),
    )),
    responses(
        TextErrors,
        (status = 200, description = "How toxic each text is.", body = Response<ToxicityAnswer>),
    )
)]
pub async fn toxicity(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<Response<ToxicityAnswer>>, Failure> {
    let rules = Rules {
        languages: Some(LANGUAGES),
        predictor: &*app.toxicity,
        input: |text, _| text,
        output: ToxicityAnswer::of,
    };
    rules.call(&app, call).await.map(Json)
}
