//! Health, readiness, metrics, the OpenAPI document and the pages that people look at.
//!
//! The pages are in the binary and need nothing from the network.

use crate::app::App;
use crate::failure::chain;
use crate::hosted;
use crate::jobs;
use crate::machine;
use crate::metrics::disks;
use crate::ready::State as TaskState;
use crate::rest::openapi;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use utoipa::ToSchema;

/// What the pages may do: their own inline script and style, and requests to this server.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data: blob:";

/// The routes of this door.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(|| async { page(include_str!("ops/index.html")) }))
        .route(
            "/docs",
            get(|| async { page(include_str!("ops/docs.html")) }),
        )
        .route("/openapi.json", get(document))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}

fn page(html: &'static str) -> Response {
    (
        [
            (CONTENT_SECURITY_POLICY, PAGE_POLICY),
            (CACHE_CONTROL, "no-cache"),
        ],
        Html(html),
    )
        .into_response()
}

async fn document() -> Response {
    static DOCUMENT: LazyLock<String> = LazyLock::new(openapi::json);
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

/// The process lives.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operations",
    responses((status = 200, description = "The process lives.", body = String, content_type = "text/plain"))
)]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the default models are warm.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ready {
    /// All of them are, and the server is not stopping.
    ready: bool,
    /// By task: `loading`, `ready` or `failed`, with details.
    #[schema(value_type = Object)]
    tasks: BTreeMap<&'static str, TaskState>,
}

/// The default models are warm.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operations",
    responses(
        (status = 200, description = "Ready for requests.", body = Ready),
        (status = 503, description = "Not yet, or stopping.", body = Ready),
    )
)]
pub async fn readyz(State(app): State<Arc<App>>) -> (StatusCode, Json<Ready>) {
    let ready = app.ready.is_ready();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(Ready {
            ready,
            tasks: app.ready.states(),
        }),
    )
}

/// Counters and gauges for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses((status = 200, description = "The text format of Prometheus.", body = String, content_type = "text/plain"))
)]
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut text = app.metrics.text();
    text.push_str(&(app.engine_metrics)());
    let folders = machine::folders(&app.config);
    let disks = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        disks::write(&folders, &mut text);
        text
    });
    match disks.await {
        Ok(disks) => text.push_str(&disks),
        Err(error) => tracing::error!(%error, "the disks cannot be looked at"),
    }
    if let Some(log) = &app.log {
        log.write_metrics(&mut text);
    }
    if let Some(kafka) = &app.kafka_metrics {
        kafka.write(&mut text);
    }
    if let Some(flows) = &app.flows {
        flows.write_metrics(&mut text);
    }
    if let Some(jobs) = app.jobs.clone() {
        // They are counted where they are kept, on a disk.
        let sagemaker = app.sagemaker.get().cloned();
        let counted = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            if let Some(sagemaker) = sagemaker {
                hosted::write_metrics(&sagemaker.hosting().counts(), &mut text);
            }
            jobs::write_metrics(&jobs, &mut text).map(|()| text)
        });
        match counted.await {
            Ok(Ok(counted)) => text.push_str(&counted),
            Ok(Err(error)) => tracing::warn!(error = chain(&error), "jobs cannot be counted"),
            Err(error) => tracing::error!(%error, "jobs cannot be counted"),
        }
    }
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
        .into_response()
}
