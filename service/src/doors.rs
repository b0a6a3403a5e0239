//! The doors of the HTTP port: which request belongs to which, and the one router they make up.
//!
//! | path | door |
//! | --- | --- |
//! | any, signed for S3 or to a host of S3's (`s3.…`) | S3 |
//! | `POST /`, `/endpoints/…` | AWS wire (JSON 1.1; SageMaker Runtime) |
//! | `/v1/text/…`, `/v1/images/…`, `/v1/topics/…`, `/v1/groups/…`, `/v1/streams/…`, `/v1/jobs/…`, `/v1/sql`, `/v1/endpoints/…` | REST |
//! | `/v1/embeddings`, `/v1/chat/completions`, `/v1/models` | OpenAI |
//! | `/v2/…` | Open Inference Protocol |
//! | `/healthz`, `/readyz`, `/metrics`, `/openapi.json`, `/docs`, `GET /` | operations |

use crate::app::App;
use crate::failure::Failure;
use crate::server::observe::{Observer, RequestId, observe};
use crate::{aws, open_inference, openai, ops, rest, s3};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use std::sync::Arc;

/// Whose manners an answer follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// AWS JSON 1.1.
    Aws,
    /// Objects in buckets.
    S3,
    /// Plain JSON.
    Rest,
    /// OpenAI's embeddings and conversations.
    OpenAi,
    /// The Open Inference Protocol.
    OpenInference,
    /// Health, metrics, documentation.
    Ops,
}

impl Door {
    /// The door that a request knocks at.
    pub fn of(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let path = uri.path();
        match path {
            _ if s3::is_s3(headers, uri) => Self::S3,
            "/" if *method == Method::POST => Self::Aws,
            _ if path.starts_with("/endpoints/") => Self::Aws,
            "/" | "/healthz" | "/readyz" | "/metrics" | "/openapi.json" | "/docs" => Self::Ops,
            "/v1/embeddings" | "/v1/chat/completions" | "/v1/models" => Self::OpenAi,
            _ if path.starts_with("/v1/models/") => Self::OpenAi,
            "/v2" => Self::OpenInference,
            _ if path.starts_with("/v2/") => Self::OpenInference,
            _ => Self::Rest,
        }
    }

    /// The word for it in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::S3 => "s3",
            Self::Rest => "rest",
            Self::OpenAi => "openai",
            Self::OpenInference => "open-inference",
            Self::Ops => "ops",
        }
    }

    /// Renders a failure the way this door's clients expect it.
    pub fn render(self, failure: &Failure, request_id: &str) -> Response {
        match self {
            Self::Aws => aws::refused(failure.status, &failure.message, request_id),
            Self::S3 => s3::failure(failure, request_id),
            Self::OpenAi => openai::error::render(failure, request_id),
            Self::OpenInference => open_inference::render(failure, request_id),
            Self::Rest | Self::Ops => rest::error::render(failure, request_id),
        }
    }
}

/// Every door, with request ids, counting, limits and the rendering of failures around them.
pub fn router(app: Arc<App>) -> Router {
    let observer = Observer {
        app: app.clone(),
        buffers: app.buffers.clone(),
    };
    Router::new()
        .merge(aws::router())
        .merge(rest::router())
        .merge(openai::router())
        .merge(open_inference::router())
        .merge(ops::router())
        .with_state(app.clone())
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        // `observe` reads bodies within our own limits.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(app, objects))
        .layer(from_fn_with_state(observer, observe))
}

/// Requests of S3's are not found by their paths, and go no further than here.
async fn objects(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match request.extensions().get::<Door>() {
        Some(Door::S3) => {
            let id = request.extensions().get::<RequestId>().cloned();
            let id = id.map_or_else(|| "".into(), |id| id.0);
            app.s3.answer(request, &id).await
        }
        _ => next.run(request).await,
    }
}

async fn nothing_here(uri: Uri) -> Failure {
    let path: String = uri.path().chars().take(200).collect();
    Failure::new(
        StatusCode::NOT_FOUND,
        "not_found",
        format!("nothing is served at {path}; see /docs for what is"),
    )
}

async fn wrong_method(method: Method, uri: Uri) -> Failure {
    let message = format!(
        "{} is not answered at {}; see /docs for what is",
        method,
        uri.path()
    );
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        message,
    )
}
