//! Plain JSON over HTTP, and pictures. A handler reads a request, asks [`crate::app::App`], and renders the answer.
//!
//! Shapes: an operation takes one item or a list; a list answers one result per item, in order, each
//! an answer or `{"error": {"code", "message"}}`. Errors of a whole request are
//! `{"error": {"code", "message", "request_id"}}` with the statuses of [`crate::failure`].

pub mod analyze;
pub mod call;
pub mod celebrities;
pub mod classify;
pub mod collections;
pub mod embeddings;
pub mod endpoints;
pub mod error;
pub mod images;
pub mod jobs;
pub mod language;
pub mod list;
pub mod openapi;
pub mod pii;
pub mod redact;
pub mod sentiment;
#[cfg(feature = "sql")]
pub mod sql;
pub mod streams;
pub mod syntax;
pub mod targeted;
pub mod text;
pub mod topics;
pub mod toxicity;

use crate::app::App;
use axum::Router;
use axum::routing::{delete, get, patch, post};
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
        .route("/v1/images/labels", post(images::labels::labels))
        .route("/v1/images/faces", post(images::faces::faces))
        .route("/v1/images/compare", post(images::compare::compare))
        .route("/v1/images/text", post(images::text::text))
        .route(
            "/v1/images/moderation",
            post(images::moderation::moderation),
        )
        .route("/v1/images/bodies", post(images::bodies::bodies))
        .route("/v1/images/classify", post(images::classify::classify))
        .merge(collection_routes())
        .merge(celebrity_routes())
        .merge(stream_routes())
        .merge(job_routes())
        .merge(topic_routes())
        .merge(query_routes())
        .route("/v1/endpoints", get(endpoints::list))
        .route("/v1/endpoints/{name}/predict", post(endpoints::predict))
}

#[cfg(feature = "sql")]
fn query_routes() -> Router<Arc<App>> {
    Router::new().route("/v1/sql", post(sql::sql))
}

#[cfg(not(feature = "sql"))]
fn query_routes() -> Router<Arc<App>> {
    Router::new()
}

fn collection_routes() -> Router<Arc<App>> {
    use collections as c;
    Router::new()
        .route("/v1/images/collections", get(c::list).post(c::create))
        .route(
            "/v1/images/collections/{id}",
            get(c::describe).delete(c::delete),
        )
        .route("/v1/images/collections/{id}/tags", patch(c::tags))
        .route(
            "/v1/images/collections/{id}/faces",
            get(c::faces).post(c::index).delete(c::delete_faces),
        )
        .route("/v1/images/collections/{id}/search", post(c::search))
        .route(
            "/v1/images/collections/{id}/users",
            get(c::users).post(c::create_user),
        )
        .route(
            "/v1/images/collections/{id}/users/search",
            post(c::search_users).delete(c::delete_user_named_search),
        )
        .route(
            "/v1/images/collections/{id}/users/{user}",
            delete(c::delete_user),
        )
        .route(
            "/v1/images/collections/{id}/users/{user}/faces",
            post(c::associate).delete(c::disassociate),
        )
}

fn celebrity_routes() -> Router<Arc<App>> {
    use celebrities::{add, describe, list, recognise, remove};
    Router::new()
        .route("/v1/images/celebrities", post(recognise))
        .route("/v1/images/celebrities/gallery", get(list).post(add))
        .route(
            "/v1/images/celebrities/gallery/{id}",
            get(describe).delete(remove),
        )
}

fn stream_routes() -> Router<Arc<App>> {
    use streams::{create, delete, describe, list, pause, reset, resume};
    Router::new()
        .route("/v1/streams", get(list).post(create))
        .route("/v1/streams/{name}", get(describe).delete(delete))
        .route("/v1/streams/{name}/pause", post(pause))
        .route("/v1/streams/{name}/resume", post(resume))
        .route("/v1/streams/{name}/reset", post(reset))
}

fn job_routes() -> Router<Arc<App>> {
    use jobs::{cancel, create, describe, events, list};
    Router::new()
        .route("/v1/jobs", get(list).post(create))
        .route("/v1/jobs/{id}", get(describe))
        .route("/v1/jobs/{id}/events", get(events))
        .route("/v1/jobs/{id}/cancel", post(cancel))
}

fn topic_routes() -> Router<Arc<App>> {
    use topics as t;
    Router::new()
        .route("/v1/topics", get(t::list).post(t::create))
        .route(
            "/v1/topics/{topic}",
            get(t::describe).patch(t::change).delete(t::delete),
        )
        .route("/v1/topics/{topic}/records", get(t::read).post(t::write))
        .route("/v1/groups", get(t::groups))
        .route("/v1/groups/{group}", get(t::group))
}
