//! `/v1/endpoints`: hosted models, asked with plain HTTP.

use super::error::ErrorBody;
use crate::app::App;
use crate::failure::Failure;
use crate::hosted::rows::failure;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use escala_pipelines::Kind;
use escala_sagemaker::invoke::Invocation;
use escala_sagemaker::served::Asked;
use escala_sagemaker::{Caller, SageMaker};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// The variant that answered.
const VARIANT: HeaderName = HeaderName::from_static("x-escala-variant");

/// An endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub struct EndpointView {
    /// Its name.
    #[schema(example = "churn")]
    pub name: String,
    /// Where it stands, in SageMaker's words: `Creating`, `InService`, `Updating`, `Failed`, …
    #[schema(example = "InService")]
    status: String,
    /// When it was made, in seconds since 1970.
    #[serde(skip)]
    pub created: u64,
}

/// The endpoints.
#[derive(Debug, Serialize, ToSchema)]
pub struct EndpointsView {
    /// They, the youngest first; 100 at most.
    endpoints: Vec<EndpointView>,
}

/// What keeps endpoints.
///
/// # Errors
/// 503 where nothing does.
pub fn sagemaker(app: &App) -> Result<&Arc<SageMaker>, Failure> {
    app.sagemaker.get().ok_or_else(|| {
        let why = "this server hosts no models; its log says why";
        Failure::of_kind(Kind::Unavailable, why)
    })
}

/// Who asks at these doors.
pub fn caller(app: &App) -> Caller {
    Caller {
        account: app.config.aws.account.clone(),
        region: "us-east-1".to_owned(),
    }
}

/// List hosted models.
///
/// They are made with SageMaker's operations: any AWS SDK, its command line, or the SageMaker SDK.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    get,
    path = "/v1/endpoints",
    tag = "endpoints",
    responses(
        (status = 200, description = "What is hosted.", body = EndpointsView),
        (status = 503, description = "Nothing is hosted here.", body = ErrorBody),
    )
)]
pub async fn list(State(app): State<Arc<App>>) -> Result<Json<EndpointsView>, Failure> {
    let endpoints = hosted(&app, None).await?;
    Ok(Json(EndpointsView { endpoints }))
}

/// What `DescribeEndpoint` says of an endpoint.
///
/// # Errors
/// There is none of this name, or nothing is hosted.
pub async fn described(app: &App, name: String) -> Result<Value, Failure> {
    let (sagemaker, caller) = (sagemaker(app)?.clone(), caller(app));
    let described = tokio::task::spawn_blocking(move || {
        sagemaker.call(&caller, "DescribeEndpoint", json!({"EndpointName": name}))
    });
    let described = described
        .await
        .map_err(|error| Failure::of_kind(Kind::Internal, error.to_string()))?;
    described.map_err(|refusal| Failure::of_kind(Kind::NotFound, refusal.message))
}

/// The endpoints there are, at most a hundred; `status` leaves out those of another.
///
/// # Errors
/// When there are none to be had.
pub async fn hosted(app: &App, status: Option<&str>) -> Result<Vec<EndpointView>, Failure> {
    let (sagemaker, caller) = (sagemaker(app)?.clone(), caller(app));
    let mut wanted = json!({"MaxResults": 100});
    if let Some(status) = status {
        wanted["StatusEquals"] = json!(status);
    }
    let listed =
        tokio::task::spawn_blocking(move || sagemaker.call(&caller, "ListEndpoints", wanted));
    let listed = listed
        .await
        .map_err(|error| Failure::of_kind(Kind::Internal, error.to_string()))?;
    let listed = listed.map_err(|refusal| Failure::of_kind(Kind::Unavailable, refusal.message))?;
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let endpoints = listed["Endpoints"].as_array();
    let endpoints = endpoints.into_iter().flatten().map(|one| EndpointView {
        name: text(one, "EndpointName"),
        status: text(one, "EndpointStatus"),
        created: one["CreationTime"].as_f64().unwrap_or_default() as u64,
    });
    Ok(endpoints.collect())
}

/// Which of an endpoint's models answers.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PredictQuery {
    /// The variant; without it one by the variants' weights.
    variant: Option<String>,
    /// Of an endpoint with many models, the one that answers: its key below their prefix, such as `one.tar.gz`.
    model: Option<String>,
}

/// Ask a hosted model.
///
/// The body goes to the model as it is, and its answer comes back: what it takes depends on the model. Those that learned from
/// tables take `text/csv`, `application/json`, `application/jsonlines` and `application/x-recordio-protobuf`, and answer what
/// `Accept` prefers.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/endpoints/{name}/predict",
    tag = "endpoints",
    params(("name" = String, Path, description = "The endpoint."), PredictQuery),
    request_body(content((String = "text/csv"), (Value = "application/json"), (String = "application/jsonlines"))),
    responses(
        (status = 200, description = "What the model says; `x-escala-variant` is the variant that answered.", content(
            (Value = "application/json"), (String = "application/jsonlines"), (String = "text/csv"),
        )),
        (status = 400, description = "The model cannot read the request.", body = ErrorBody),
        (status = 404, description = "There is no such endpoint.", body = ErrorBody),
        (status = 429, description = "The model is being opened, or has too much to do.", body = ErrorBody),
        (status = 503, description = "Nothing is hosted here.", body = ErrorBody),
    )
)]
pub async fn predict(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<PredictQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let Path(name) = name.map_err(|error| Failure::invalid(error.body_text()))?;
    let Query(query) = query.map_err(|error| Failure::invalid(error.body_text()))?;
    let body = body.map_err(|error| Failure::invalid(error.body_text()))?;
    let text = |name: HeaderName| {
        let value = headers.get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    let asked = Asked {
        content_type: text(CONTENT_TYPE),
        accept: text(ACCEPT),
        body,
        ..Asked::default()
    };
    let hosting = sagemaker(&app)?.hosting();
    let (name, named) = Invocation::named(&name);
    let invocation = Invocation {
        target_variant: query.variant,
        target_model: query
            .model
            .filter(|model| !model.is_empty())
            .or(named.target_model),
        waits: named.waits,
        ..Invocation::default()
    };
    let answered = hosting
        .invoke(&caller(&app), name, asked, &invocation)
        .await;
    let answered = answered.map_err(|error| failure(&error))?;
    let mut response = Body::from(answered.said.body).into_response();
    for (name, value) in [
        (CONTENT_TYPE, answered.said.content_type),
        (VARIANT, answered.variant),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}
