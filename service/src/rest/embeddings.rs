//! `POST /v1/text/embeddings`: texts as vectors whose angles tell how near their meanings are.

use super::call::{Call, Media, Texts, check_text, check_texts, predict_list, predict_one};
use super::error::{ErrorBody, ItemError, TextErrors};
use super::list::List;
use crate::app::App;
use crate::failure::Failure;
use axum::Json;
use axum::extract::State;
use escala_pipelines::embeddings::{Embedding, EmbeddingInput};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// The model behind the embeddings, unless another one was named.
const MODEL: &str = "all-MiniLM-L6-v2";

/// What the model behind the embeddings is called.
pub fn model(app: &App) -> &str {
    app.config
        .checkpoints
        .embeddings
        .as_deref()
        .unwrap_or(MODEL)
}

/// One text or a list of texts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingsRequest {
    /// One text. Give this or `texts`.
    text: Option<String>,
    /// Texts, answered in order. Give this or `text`.
    #[schema(value_type = Option<Vec<String>>, example = json!(["a cat on a mat", "un gato"]))]
    texts: Option<List<String>>,
}

/// The embedding of one text.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmbeddingAnswer {
    /// 384 numbers (unless another model was named), Euclidean length 1: the dot product of two embeddings is the cosine of their angle.
    embedding: Vec<f32>,
    /// Tokens read, special ones included; at most 256 (unless another model was named).
    tokens: usize,
    /// The text was longer than the model reads; what came after was not read.
    truncated: bool,
}

/// The answer to one item of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum EmbeddingItem {
    /// It has one.
    Answer(EmbeddingAnswer),
    /// It failed alone.
    Failed {
        /// Why.
        error: ItemError,
    },
}

/// An answer for `text`, results for `texts`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum EmbeddingsResponse {
    /// For `text`.
    One {
        /// The model that answered.
        model: String,
        /// The embedding.
        #[serde(flatten)]
        answer: EmbeddingAnswer,
    },
    /// For `texts`.
    Many {
        /// The model that answered.
        model: String,
        /// One for each text, in order.
        results: Vec<EmbeddingItem>,
    },
}

impl From<Embedding> for EmbeddingAnswer {
    fn from(embedding: Embedding) -> Self {
        Self {
            embedding: embedding.vector,
            tokens: embedding.tokens,
            truncated: embedding.truncated,
        }
    }
}

/// Embed texts.
///
/// A body of type `text/plain` is one text.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/text/embeddings",
    tag = "text",
    request_body(content(
        (EmbeddingsRequest = "application/json"),
        (String = "text/plain"),
    )),
    responses(
        TextErrors,
        (status = 200, description = "The embedding of each text.", body = EmbeddingsResponse),
        (status = 400, description = "The request breaks a rule.", body = ErrorBody),
    )
)]
pub async fn embeddings(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<EmbeddingsResponse>, Failure> {
    let texts = match call.media {
        Media::Json => {
            let request: EmbeddingsRequest = call.json().await?;
            Texts::of(request.text, request.texts)?
        }
        Media::Text => Texts::One(call.text()?),
        _ => return Err(call.unsupported("application/json or text/plain")),
    };
    Ok(Json(match texts {
        Texts::One(text) => {
            let text = check_text(text, &app.config.limits)?;
            let embedding =
                predict_one(&*app.embeddings, EmbeddingInput { text }, call.options).await?;
            EmbeddingsResponse::One {
                model: model(&app).to_owned(),
                answer: embedding.into(),
            }
        }
        Texts::Many(texts) => {
            let texts = check_texts(texts, &app.config.limits)?;
            let inputs = texts
                .into_iter()
                .map(|text| EmbeddingInput { text })
                .collect();
            let results = predict_list(&*app.embeddings, inputs, call.options).await?;
            let item = |result: Result<Embedding, Failure>| match result {
                Ok(embedding) => EmbeddingItem::Answer(embedding.into()),
                Err(failure) => EmbeddingItem::Failed {
                    error: failure.into(),
                },
            };
            EmbeddingsResponse::Many {
                model: model(&app).to_owned(),
                results: results.into_iter().map(item).collect(),
            }
        }
    }))
}
