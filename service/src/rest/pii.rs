//! `POST /v1/text/pii`: personal data in texts.

use super::call::Call;
use super::error::ErrorBody;
use super::text::{Part, Response, Rules, TextRequest};
use crate::app::App;
use crate::failure::Failure;
use axum::Json;
use axum::extract::State;
use escala_pipelines::pii::{LANGUAGES, Pii, PiiInput};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A piece of personal data.
#[derive(Debug, Serialize, ToSchema)]
pub struct PiiView {
    /// The name of its kind in Comprehend: `EMAIL`, `NAME`, `CREDIT_DEBIT_NUMBER`, ….
    #[serde(rename = "type")]
    #[schema(example = "EMAIL")]
    kind: &'static str,
    /// How sure the rule behind it is, 0 to 1.
    score: f32,
    /// What it rests on: `checksum`, `pattern` or `model`.
    evidence: &'static str,
    /// Where it stands.
    #[serde(flatten)]
    part: Part,
}

/// The personal data in one text.
#[derive(Debug, Serialize, ToSchema)]
pub struct PiiAnswer {
    /// In the order of the text; no two overlap.
    pub(crate) entities: Vec<PiiView>,
}

impl PiiAnswer {
    /// What was found in a text.
    pub fn of(text: &str, found: Pii) -> Self {
        let entities = found.iter().map(|entity| PiiView {
            kind: entity.kind.name(),
            score: entity.score,
            evidence: entity.evidence.name(),
            part: Part::of(text, entity.extent),
        });
        Self {
            entities: entities.collect(),
        }
    }
}

/// Find personal data in texts.
///
/// A body of type `text/plain` is one text; `?language=` says its language (`en` when left out).
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/text/pii",
    tag = "text",
    request_body(content(
        (TextRequest = "application/json"),
        (String = "text/plain"),
    )),
    responses(
        (status = 200, description = "The personal data in each text.", body = Response<PiiAnswer>),
        (status = 400, description = "The request breaks a rule, or there is no model for the language.", body = ErrorBody),
        (status = 413, description = "The body or a text is too large.", body = ErrorBody),
        (status = 415, description = "The content type is not taken here.", body = ErrorBody),
        (status = 429, description = "The queue is full; `Retry-After` says when to come back.", body = ErrorBody),
        (status = 503, description = "The model cannot be loaded now.", body = ErrorBody),
        (status = 504, description = "The deadline passed.", body = ErrorBody),
    )
)]
pub async fn pii(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<Response<PiiAnswer>>, Failure> {
    let rules = Rules {
        languages: Some(LANGUAGES),
        predictor: &*app.pii,
        input: |text, language| PiiInput::new(text, language),
        output: PiiAnswer::of,
    };
    rules.call(&app, call).await.map(Json)
}
