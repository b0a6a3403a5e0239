//! Plain JSON over HTTP. A handler reads a request, asks [`crate::app::App`], and renders the answer.
//!
//! Shapes: an operation takes one item or a list; a list answers one result per item, in order, each
//! an answer or `{"error": {"code", "message"}}`. Errors of a whole request are
//! `{"error": {"code", "message", "request_id"}}` with the statuses of [`crate::failure`].

pub mod analyze;
pub mod call;
pub mod classify;
pub mod classify_image;
pub mod embeddings;
pub mod error;
pub mod images;
pub mod labels;
pub mod language;
pub mod list;
pub mod openapi;
pub mod pii;
pub mod redact;
pub mod sentiment;
pub mod syntax;
pub mod targeted;
pub mod text;
pub mod toxicity;

use crate::app::App;
use axum::Router;
use axum::routing::post;
use std::sync::Arc;

/// The routes of this door.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/text/language", post(language::language))
        .route("/v1/text/entities", post(syntax::entities))
        .route("/v1/text/key-phrases", post(syntax::key_phrases))
        .route("/v1/text/syntax", post(syntax::syntax))
        .route("/v1/text/sentiment", post(sentiment::sentiment))
        .route(
            "/v1/text/targeted-sentiment",
            post(targeted::targeted_sentiment),
        )
        .route("/v1/text/pii", post(pii::pii))
        .route("/v1/text/toxicity", post(toxicity::toxicity))
        .route("/v1/text/classify", post(classify::classify))
        .route("/v1/text/redact", post(redact::redact))
        .route("/v1/text/analyze", post(analyze::analyze_texts))
        .route("/v1/text/embeddings", post(embeddings::embeddings))
        .route("/v1/images/labels", post(labels::labels))
        .route("/v1/images/faces", post(images::faces))
        .route("/v1/images/compare", post(images::compare))
        .route("/v1/images/text", post(images::text))
        .route("/v1/images/moderation", post(images::moderation))
        .route("/v1/images/classify", post(classify_image::classify_image))
}
