//! The shape of errors that OpenAI's clients understand.

use crate::failure::Failure;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Why a request failed.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpenAiErrorBody {
    /// What went wrong.
    pub error: OpenAiError,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpenAiError {
    /// A sentence for people.
    pub message: String,
    /// The class of error.
    #[serde(rename = "type")]
    pub class: &'static str,
    /// The member of the request at fault.
    pub param: Option<&'static str>,
    /// A word for programs.
    pub code: Option<&'static str>,
    /// The id under which the server logged the request; also in the header `x-request-id`.
    pub request_id: String,
}

/// The failure as an answer of this door.
pub fn render(failure: &Failure, request_id: &str) -> Response {
    let class = match failure.status {
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    let error = OpenAiError {
        message: failure.message.clone(),
        class,
        param: failure.member,
        code: Some(failure.code),
        request_id: request_id.to_owned(),
    };
    (failure.status, Json(OpenAiErrorBody { error })).into_response()
}
