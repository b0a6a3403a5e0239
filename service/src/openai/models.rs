//! `GET /v1/models` and `GET /v1/models/{model}`.

use super::error::OpenAiErrorBody;
use crate::app::App;
use crate::failure::Failure;
use crate::rest::embeddings;
use crate::rest::endpoints::{EndpointView, hosted};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// When the built-in model was published (2021-08-30), in seconds since the epoch.
const CREATED: u64 = 1_630_281_600;

/// The models of this door.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelList {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<Model>,
}

/// One model.
#[derive(Debug, Serialize, ToSchema)]
pub struct Model {
    #[schema(example = "all-MiniLM-L6-v2")]
    id: String,
    #[schema(example = "model")]
    object: &'static str,
    created: u64,
    owned_by: String,
}

fn model(app: &App) -> Model {
    let id = embeddings::model(app).to_owned();
    let named = app.config.checkpoints.embeddings.is_some();
    // Of a checkpoint nothing is known but where it comes from.
    let (created, owned_by) = match named {
        true => (0, id.split_once('/').map_or("user", |(owner, _)| owner)),
        false => (CREATED, "sentence-transformers"),
    };
    Model {
        object: "model",
        created,
        owned_by: owned_by.to_owned(),
        id,
    }
}

/// Endpoints that can be asked: which of them know conversations is theirs to say.
async fn endpoints(app: &App) -> Result<Vec<Model>, Failure> {
    // A server that hosts nothing has none.
    if app.sagemaker.get().is_none() {
        return Ok(Vec::new());
    }
    let hosted = hosted(app, Some("InService")).await?;
    let model = |endpoint: EndpointView| Model {
        id: endpoint.name,
        object: "model",
        created: endpoint.created,
        owned_by: "endpoint".to_owned(),
    };
    Ok(hosted.into_iter().map(model).collect())
}

/// Checks that a model's name is ours: the built-in one's with or without the name of its hub's folder.
///
/// # Errors
/// 404 with the name that there is.
pub fn known(app: &App, name: &str) -> Result<(), Failure> {
    let model = embeddings::model(app);
    let bare = name.strip_prefix("sentence-transformers/").unwrap_or(name);
    if bare.eq_ignore_ascii_case(model) || name == model {
        return Ok(());
    }
    let name: String = name.chars().take(100).collect();
    let message = format!("the model `{name}` does not exist here; use `{model}`");
    Err(Failure::new(StatusCode::NOT_FOUND, "model_not_found", message).at("model"))
}

/// List the models: the one that embeds, and the endpoints in service.
///
/// # Errors
/// When the endpoints cannot be listed.
#[utoipa::path(
    get,
    path = "/v1/models",
    operation_id = "list_models",
    tag = "openai",
    responses((status = 200, description = "The models.", body = ModelList))
)]
pub async fn list(State(app): State<Arc<App>>) -> Result<Json<ModelList>, Failure> {
    let mut data = vec![model(&app)];
    data.extend(endpoints(&app).await?);
    let object = "list";
    Ok(Json(ModelList { object, data }))
}

/// Describe one model.
///
/// # Errors
/// 404 when there is no such model.
#[utoipa::path(
    get,
    path = "/v1/models/{model}",
    operation_id = "describe_model",
    tag = "openai",
    params(("model" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "The model.", body = Model),
        (status = 404, description = "There is no such model.", body = OpenAiErrorBody),
    )
)]
pub async fn one(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Model>, Failure> {
    let Path(name) =
        name.map_err(|_| Failure::invalid("the model's name is not valid UTF-8").at("model"))?;
    let endpoints = endpoints(&app).await?;
    if let Some(endpoint) = endpoints.into_iter().find(|model| model.id == name) {
        return Ok(Json(endpoint));
    }
    known(&app, &name)?;
    Ok(Json(model(&app)))
}
