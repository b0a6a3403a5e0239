//! `POST /v1/text/pii`: personal data in texts.

use super::call::{Call, Media, Texts};
use super::error::TextErrors;
use super::list::List;
use super::text::{Part, Response, Rules};
use crate::app::App;
use crate::failure::Failure;
use axum::Json;
use axum::extract::State;
use escala_pipelines::pii::{LANGUAGES, Pii, PiiInput, iban_country};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// One text or a list of texts, all in one language.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PiiRequest {
    /// One text. Give this or `texts`.
    #[schema(example = "Write to ada@example.com.")]
    text: Option<String>,
    /// Texts, answered in order. Give this or `text`.
    #[schema(value_type = Option<Vec<String>>)]
    texts: Option<List<String>>,
    /// Their language; `en` when left out.
    #[schema(example = "en")]
    language: Option<String>,
    /// Also look for kinds that Comprehend does not know: `ES_DNI`, `ES_NIE`, `ES_CIF`.
    #[serde(default)]
    extensions: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PiiQuery {
    language: Option<String>,
    #[serde(default)]
    extensions: bool,
}

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
    /// The country of an IBAN, ISO 3166-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
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
            country: iban_country(text, entity).map(str::to_owned),
            part: Part::of(text, entity.extent),
        });
        Self {
            entities: entities.collect(),
        }
    }
}

/// Find personal data in texts.
///
/// A body of type `text/plain` is one text; `?language=` says its language (`en` when left out), and
/// `?extensions=true` asks for kinds that Comprehend does not know.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/text/pii",
    tag = "text",
    request_body(content(
        (PiiRequest = "application/json"),
        (String = "text/plain"),
    )),
    responses(
        TextErrors,
        (status = 200, description = "The personal data in each text.", body = Response<PiiAnswer>),
    )
)]
pub async fn pii(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<Response<PiiAnswer>>, Failure> {
    let (texts, language, extensions) = match call.media {
        Media::Json => {
            let request: PiiRequest = call.json().await?;
            let texts = Texts::of(request.text, request.texts)?;
            (texts, request.language, request.extensions)
        }
        Media::Text => {
            let query: PiiQuery = call.query()?;
            (Texts::One(call.text()?), query.language, query.extensions)
        }
        _ => return Err(call.unsupported("application/json or text/plain")),
    };
    let rules = Rules {
        languages: Some(LANGUAGES),
        predictor: &*app.pii,
        input: match extensions {
            true => |text, language| PiiInput::new(text, language).extended(true),
            false => |text, language| PiiInput::new(text, language),
        },
        output: PiiAnswer::of,
    };
    let language = language.as_deref().unwrap_or("en");
    rules
        .answer(&app, texts, language, call.options)
        .await
        .map(Json)
}
