//! `POST /v1/chat/completions`: conversations with hosted models that continue texts.
//!
//! The model is an endpoint by its name, and the whole request is its: what it takes and answers is in
//! `hosted/checkpoints/messages.rs`. With `"stream": true` server-sent events.

use super::error::OpenAiErrorBody;
use crate::app::App;
use crate::failure::Failure;
use crate::hosted::rows::failure;
use crate::rest::call::{Call, Media};
use crate::rest::endpoints::{caller, sagemaker};
use crate::streamed::{Begun, Coming, begin};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use escala_sagemaker::invoke::{Invocation, InvokeError};
use escala_sagemaker::served::Asked;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use utoipa::ToSchema;

/// A conversation to go on with.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CreateChatCompletion {
    /// The name of an endpoint whose model has a chat template.
    #[schema(example = "assistant")]
    model: String,
    /// What was said so far.
    messages: Vec<ChatMessage>,
    /// Most new tokens.
    #[schema(default = 1024)]
    max_completion_tokens: Option<u64>,
    /// 0 takes the likeliest token each time.
    #[schema(default = 1.0)]
    temperature: Option<f32>,
    /// Tokens are drawn from the likeliest ones that together have this share.
    #[schema(default = 1.0)]
    top_p: Option<f32>,
    /// Texts that end the answer.
    stop: Option<Vec<String>>,
    /// Draws the same tokens each time.
    seed: Option<u64>,
    /// Whether the answer comes as server-sent events.
    #[schema(default = false)]
    stream: Option<bool>,
}

/// What somebody said.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant` or what else the model's template knows.
    #[schema(example = "user")]
    role: String,
    /// What was said.
    #[schema(example = "What is a log?")]
    content: String,
}

/// The answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChatCompletion {
    id: String,
    #[schema(example = "chat.completion")]
    object: String,
    created: u64,
    model: String,
    choices: Vec<ChatChoice>,
    usage: ChatUsage,
}

/// What is said.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChatChoice {
    index: u64,
    message: ChatMessage,
    /// `stop`, or `length` where there were as many tokens as there may be.
    finish_reason: String,
}

/// Tokens that were read and written.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChatUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

/// The members that are read here.
#[derive(Deserialize)]
struct Named {
    model: String,
    #[serde(default)]
    messages: Value,
    #[serde(default)]
    stream: Option<bool>,
}

/// Go on with a conversation, in OpenAI's shape.
///
/// # Errors
/// Those of [`crate::failure`], in OpenAI's shape.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    operation_id = "create_chat_completion",
    tag = "openai",
    request_body = CreateChatCompletion,
    responses(
        (status = 200, description = "What is said; with `stream` server-sent events, each with a part of it, and `[DONE]`.", content(
            (ChatCompletion = "application/json"), (String = "text/event-stream"),
        )),
        (status = 400, description = "The request breaks a rule, or the model knows no conversations.", body = OpenAiErrorBody),
        (status = 404, description = "There is no such endpoint.", body = OpenAiErrorBody),
        (status = 413, description = "The body is too large.", body = OpenAiErrorBody),
        (status = 415, description = "The body is not JSON.", body = OpenAiErrorBody),
        (status = 429, description = "The model is being opened, or has too much to do.", body = OpenAiErrorBody),
        (status = 503, description = "Nothing is hosted here.", body = OpenAiErrorBody),
    )
)]
pub async fn completions(State(app): State<Arc<App>>, call: Call) -> Result<Response, Failure> {
    if call.media != Media::Json {
        return Err(call.unsupported("application/json"));
    }
    let named: Named = call.json().await?;
    // Endpoints also answer what is no conversation, in a form that is not this door's.
    if !named.messages.is_array() {
        return Err(Failure::invalid("messages are a list").at("messages"));
    }
    let (sagemaker, caller) = (sagemaker(&app)?.clone(), caller(&app));
    let asked = Asked {
        content_type: Some("application/json".to_owned()),
        accept: Some("application/json".to_owned()),
        body: call.body,
        ..Asked::default()
    };
    let refused = |error: &InvokeError| refused(error, &named.model);
    let (name, invocation) = Invocation::named(&named.model);
    let name = name.to_owned();
    if named.stream != Some(true) {
        let hosting = sagemaker.hosting();
        let answered = hosting.invoke(&caller, &name, asked, &invocation).await;
        let said = answered.map_err(|error| refused(&error))?.said;
        return Ok(answer(&said.content_type, Body::from(said.body)));
    }
    match begin(sagemaker, caller, name, asked, invocation).await {
        Ok(Begun::Whole(answered)) => {
            let said = answered.said;
            Ok(answer(&said.content_type, Body::from(said.body)))
        }
        Ok(Begun::Parts {
            content_type,
            parts,
            ..
        }) => {
            let events = stream::unfold(parts, next);
            Ok(answer(&content_type, Body::from_stream(events)))
        }
        Err(error) => Err(refused(&error)),
    }
}

/// The next event; an answer that breaks off ends with one that says why.
async fn next(mut parts: Coming) -> Option<(Result<Bytes, Infallible>, Coming)> {
    let event = match parts.next().await? {
        Ok(part) => part,
        Err(error) => {
            let error = json!({"error": {"message": error.message, "type": "server_error", "code": error.code}});
            Bytes::from(format!("data: {error}\n\n"))
        }
    };
    Some((Ok(event), parts))
}

fn answer(content_type: &str, body: Body) -> Response {
    let mut response = body.into_response();
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}

/// Why an endpoint does not answer, in this door's words.
fn refused(error: &InvokeError, model: &str) -> Failure {
    let failure = failure(error);
    if failure.status == StatusCode::NOT_FOUND {
        let model: String = model.chars().take(100).collect();
        let message = format!(
            "the model `{model}` does not exist here: models of conversations are endpoints, by their names"
        );
        return Failure::new(StatusCode::NOT_FOUND, "model_not_found", message).at("model");
    }
    failure
}
