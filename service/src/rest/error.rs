//! The shape of errors in the REST door.

use crate::failure::Failure;
use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Why a whole request failed.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: RequestError,
}

/// What went wrong with a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequestError {
    /// A word for programs: `invalid_input`, `invalid_image`, `unsupported`, `not_found`, `method_not_allowed`,
    /// `conflict`, `limit_exceeded`, `timeout`, `too_large`, `unsupported_media_type`, `overloaded`, `unavailable`, `deadline`, `internal`.
    #[schema(example = "invalid_input")]
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
    /// The id under which the server logged the request; also in the header `x-request-id`.
    pub request_id: String,
}

/// What went wrong with one item of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct ItemError {
    /// A word for programs: `invalid_input`, `invalid_image`, `unsupported`, `too_large`.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl From<Failure> for ItemError {
    fn from(failure: Failure) -> Self {
        Self {
            code: failure.code,
            message: failure.message,
        }
    }
}

/// The failure as an answer of this door.
pub fn render(failure: &Failure, request_id: &str) -> Response {
    let error = RequestError {
        code: failure.code,
        message: failure.message.clone(),
        request_id: request_id.to_owned(),
    };
    (failure.status, Json(ErrorBody { error })).into_response()
}
