//! `POST /v1/text/classify`: the classes of texts, by a classifier of the operator's own.

use super::call::Call;
use super::error::{ErrorBody, TextErrors};
use super::text::{Response, Rules, TextRequest};
use crate::app::App;
use crate::failure::Failure;
use axum::Json;
use axum::extract::State;
use escala_pipelines::Kind;
use escala_pipelines::classes::Classes;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A class and its probability.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClassView {
    /// The label.
    #[schema(example = "billing")]
    name: String,
    /// Probability, 0 to 1.
    score: f32,
}

/// The classes of one text or image.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClassesAnswer {
    /// Most likely first: all classes of a text, as many as were asked for of an image.
    classes: Vec<ClassView>,
}

impl ClassesAnswer {
    /// The answer about a text.
    pub fn of(_: &str, classes: Classes) -> Self {
        let view = |class: escala_pipelines::classes::Class| ClassView {
            name: (*class.name).to_owned(),
            score: class.score,
        };
        Self {
            classes: classes.into_iter().map(view).collect(),
        }
    }
}

/// What there is to do where no classifier is named.
pub const NO_CLASSIFIER: &str = "no classifier is named; start with `--model classify=FOLDER`, where FOLDER is what `escala train text-classifier` \
     wrote or a checkpoint's, or with `--model classify=org/name`";

/// Put texts into classes of your own.
///
/// The classifier is the one that the server was started with (`--model classify=…`); it reads what it was trained to
/// read, whatever the language. A body of type `text/plain` is one text.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/text/classify",
    tag = "text",
    request_body(content(
        (TextRequest = "application/json"),
        (String = "text/plain"),
    )),
    responses(
        TextErrors,
        (status = 200, description = "The classes of each text.", body = Response<ClassesAnswer>),
        (status = 400, description = "The request breaks a rule, or the server has no classifier.", body = ErrorBody),
    )
)]
pub async fn classify(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<Response<ClassesAnswer>>, Failure> {
    let Some(predictor) = &app.classify else {
        return Err(Failure::of_kind(
            Kind::Unsupported,
            NO_CLASSIFIER.to_owned(),
        ));
    };
    let rules = Rules {
        languages: None,
        predictor: &**predictor,
        input: |text, _| text,
        output: ClassesAnswer::of,
    };
    rules.call(&app, call).await.map(Json)
}
