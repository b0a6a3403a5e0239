//! The shape of errors in the REST door.

use crate::failure::Failure;
use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response as Described, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

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
    /// `conflict`, `limit_exceeded`, `offset_out_of_range`, `timeout`, `too_large`, `unsupported_media_type`, `overloaded`, `unavailable`, `deadline`, `internal`.
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

/// The failures of operations on an image, for the document. An operation that has another sentence for one names it
/// after them.
pub struct ImageErrors;

impl IntoResponses for ImageErrors {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        failures(
            "The request breaks a rule, or the bytes are not an image.",
            "The body or the image is too large.",
        )
    }
}

/// The failures of operations on texts, as [`ImageErrors`].
pub struct TextErrors;

impl IntoResponses for TextErrors {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        failures(
            "The request breaks a rule, or there is no model for the language.",
            "The body or a text is too large.",
        )
    }
}

/// The failures of operations on what is kept, faces and people, without a body; as [`ImageErrors`].
pub struct StoredErrors;

impl IntoResponses for StoredErrors {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        described(&STORED)
    }
}

/// [`StoredErrors`] of operations with a body.
pub struct StoredBodyErrors;

impl IntoResponses for StoredBodyErrors {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        described(&[STORED[0], MEDIA, STORED[1]])
    }
}

const STORED: [(u16, &str); 2] = [
    (400, "The request breaks a rule."),
    (503, "What is kept cannot be read or changed now."),
];

const MEDIA: (u16, &str) = (415, "The content type is not taken here.");

fn failures(invalid: &str, large: &str) -> BTreeMap<String, RefOr<Described>> {
    described(&[
        (400, invalid),
        (413, large),
        MEDIA,
        (
            429,
            "The queue is full; `Retry-After` says when to come back.",
        ),
        (503, "The model cannot be loaded now."),
        (504, "The deadline passed."),
    ])
}

fn described(all: &[(u16, &str)]) -> BTreeMap<String, RefOr<Described>> {
    all.iter()
        .map(|&(status, description)| {
            let body = ContentBuilder::new()
                .schema(Some(Ref::from_schema_name("ErrorBody")))
                .build();
            let described = ResponseBuilder::new()
                .description(description)
                .content("application/json", body)
                .build();
            (status.to_string(), RefOr::T(described))
        })
        .collect()
}
