//! OpenAI's APIs for embeddings and conversations, for its clients and everything built on them.
//!
//! The wire is OpenAI's; the model is ours and is named as what it is. A model of OpenAI's by name is
//! refused as unknown, since answering with another one would be a lie that only shows in bad results. Models of
//! conversations are endpoints.

pub mod chat;
pub mod embeddings;
pub mod error;
pub mod models;

use crate::app::App;
use axum::Router;
use axum::routing::{get, post};
use std::sync::Arc;

/// The routes of this door.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/embeddings", post(embeddings::embeddings))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*model}", get(models::one))
}
