//! `POST /v1/text/language`: the language a text is written in.

use super::call::{Call, Media, Texts};
use super::error::{ErrorBody, TextErrors};
use super::list::List;
use super::text::{Response, Rules};
use crate::app::App;
use crate::failure::Failure;
use axum::Json;
use axum::extract::State;
use escala_pipelines::language::Language;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// One text or a list of texts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LanguageRequest {
    /// One text. Give this or `texts`.
    #[schema(example = "¿Dónde está la biblioteca?")]
    text: Option<String>,
    /// Texts, answered in order. Give this or `text`.
    #[schema(value_type = Option<Vec<String>>)]
    texts: Option<List<String>>,
}

/// One language the text may be in.
#[derive(Debug, Serialize, ToSchema)]
pub struct LanguageScore {
    /// ISO 639-1 code where there is one, else ISO 639-2/3; Traditional Chinese is `zh-TW`.
    #[schema(example = "es")]
    code: String,
    /// Probability, 0 to 1.
    score: f32,
}

/// The languages of one text.
#[derive(Debug, Serialize, ToSchema)]
pub struct LanguageAnswer {
    /// Most likely first.
    languages: Vec<LanguageScore>,
}

impl LanguageAnswer {
    /// The languages of a text.
    pub fn of(languages: Vec<Language>) -> Self {
        let languages = languages.into_iter().map(|language| LanguageScore {
            code: language.code,
            score: language.score,
        });
        Self {
            languages: languages.collect(),
        }
    }
}

/// Detect the dominant language of texts.
///
/// A body of type `text/plain` is one text.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/text/language",
    tag = "text",
    request_body(content(
        (LanguageRequest = "application/json"),
        (String = "text/plain"),
    )),
    responses(
        TextErrors,
        (status = 200, description = "The languages of each text, most likely first.", body = Response<LanguageAnswer>),
        (status = 400, description = "The request breaks a rule.", body = ErrorBody),
    )
)]
pub async fn language(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<Response<LanguageAnswer>>, Failure> {
    let texts = match call.media {
        Media::Json => {
            let request: LanguageRequest = call.json().await?;
            Texts::of(request.text, request.texts)?
        }
        Media::Text => Texts::One(call.text()?),
        _ => return Err(call.unsupported("application/json or text/plain")),
    };
    let rules = Rules {
        languages: None,
        predictor: &*app.language,
        input: |text, _| text.to_string(),
        output: |_, languages| LanguageAnswer::of(languages),
    };
    rules.answer(&app, texts, "", call.options).await.map(Json)
}
