//! The Open Inference Protocol, version 2, by HTTP: endpoints as KServe's and Triton's clients ask them.
//!
//! A tensor of numbers has a row for each of its first dimension, which goes to the model as it would in CSV; one of `BYTES` has
//! a text for each, or an image in base64. Several tensors have as many rows each, which go to the model as objects by the
//! tensors' names. What is said of rows comes back as a tensor for each field of the model's answer: `score`,
//! `predicted_label`, …
//!
//! The models of an endpoint that has many are its versions: `/v2/models/NAME/versions/one.tar.gz/infer`.
//!
//! Source: the Open Inference Protocol's specification (`/v2/models/NAME/infer`, KServe).

use crate::app::App;
use crate::failure::Failure;
use crate::hosted::rows;
use crate::rest::endpoints::{caller, described, sagemaker};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use escala_pipelines::Kind;
use escala_sagemaker::invoke::Invocation;
use escala_sagemaker::served::{About, Haste};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Most numbers or texts of a request.
const MOST: usize = 1_000_000;

/// The paths, for the server's router.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v2", get(about))
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
        .route("/v2/models/{name}", get(model))
        .route("/v2/models/{name}/ready", get(model_ready))
        .route("/v2/models/{name}/infer", post(infer))
        .route("/v2/models/{name}/versions/{version}", get(model))
        .route(
            "/v2/models/{name}/versions/{version}/ready",
            get(model_ready),
        )
        .route("/v2/models/{name}/versions/{version}/infer", post(infer))
}

/// Failures in the protocol's form.
pub fn render(failure: &Failure, id: &str) -> Response {
    let mut response = crate::rest::error::render(failure, id);
    *response.body_mut() = json!({"error": failure.message}).to_string().into();
    response
        .headers_mut()
        .remove(axum::http::header::CONTENT_LENGTH);
    response
}

async fn about() -> Json<Value> {
    Json(json!({"name": "escala", "version": env!("CARGO_PKG_VERSION"), "extensions": []}))
}

async fn live() -> Json<Value> {
    Json(json!({"live": true}))
}

async fn ready(State(app): State<Arc<App>>) -> Result<Json<Value>, Failure> {
    sagemaker(&app)?;
    Ok(Json(json!({"ready": true})))
}

/// Who is asked.
#[derive(Deserialize)]
struct Model {
    name: String,
    /// One of the endpoint's many models.
    version: Option<String>,
}

type Place = Result<Path<Model>, PathRejection>;

impl Model {
    fn of(place: Place) -> Result<Self, Failure> {
        let Path(model) = place.map_err(|error| Failure::invalid(error.body_text()))?;
        let whole = model.whole();
        let (name, version) = match whole.split_once('/') {
            Some((name, version)) => (name, Some(version.to_owned())),
            None => (whole.as_str(), None),
        };
        Ok(Self {
            name: name.to_owned(),
            version,
        })
    }

    /// The name as [`Invocation::named`] reads it.
    fn whole(&self) -> String {
        match &self.version {
            Some(version) => format!("{}/{version}", self.name),
            None => self.name.clone(),
        }
    }

    /// The endpoint's state, in SageMaker's words.
    async fn status(&self, app: &App) -> Result<String, Failure> {
        let described = described(app, self.name.clone()).await?;
        let status = described["EndpointStatus"].as_str().unwrap_or_default();
        Ok(status.to_owned())
    }

    /// What the model takes. It is opened for that.
    async fn about(&self, app: &App) -> Result<About, Failure> {
        let (whole, hosting) = (self.whole(), sagemaker(app)?.hosting());
        let (name, invocation) = Invocation::named(&whole);
        let about = hosting.about(&caller(app), name, &invocation).await;
        about.map_err(|error| rows::failure(&error))
    }
}

async fn model(State(app): State<Arc<App>>, place: Place) -> Result<Json<Value>, Failure> {
    let model = Model::of(place)?;
    model.status(&app).await?;
    let about = model.about(&app).await?;
    let mut answer = metadata(&model.name, about);
    if let Some(version) = model.version {
        answer["versions"] = json!([version]);
    }
    Ok(Json(answer))
}

/// The metadata of a model: what [`infer`] takes. The answers about texts and images are tensors for each field of them, which
/// differ from model to model and are not listed.
fn metadata(name: &str, about: About) -> Value {
    let tensor = |name: &str, datatype: &str, shape: &[i64]| json!({"name": name, "datatype": datatype, "shape": shape});
    let (input, outputs) = match about {
        About::Numbers => {
            let score = tensor("score", "FP32", &[-1, -1]);
            (tensor("input", "FP32", &[-1, -1]), vec![score])
        }
        About::Texts => (tensor("text", "BYTES", &[-1]), Vec::new()),
        About::Images => (tensor("image", "BYTES", &[-1]), Vec::new()),
    };
    json!({"name": name, "platform": "escala", "inputs": [input], "outputs": outputs})
}

async fn model_ready(State(app): State<Arc<App>>, place: Place) -> Result<Json<Value>, Failure> {
    let model = Model::of(place)?;
    let status = model.status(&app).await?;
    if !["InService", "Updating", "RollingBack", "SystemUpdating"].contains(&&*status) {
        let why = format!("the endpoint {} is {status}", model.name);
        return Err(Failure::of_kind(Kind::Unavailable, why));
    }
    if model.version.is_some() {
        model.about(&app).await?;
    }
    Ok(Json(json!({"name": model.name, "ready": true})))
}

#[derive(Deserialize)]
struct Request {
    id: Option<String>,
    inputs: Vec<Tensor>,
}

#[derive(Deserialize)]
struct Tensor {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    data: Value,
}

/// The values of a tensor one after the other, however they are nested.
fn flat<'a>(value: &'a Value, to: &mut Vec<&'a Value>) -> Result<(), Failure> {
    match value {
        Value::Array(values) => values.iter().try_for_each(|value| flat(value, to)),
        value => {
            if to.len() == MOST {
                return Err(Failure::invalid(format!(
                    "a request has at most {MOST} values"
                )));
            }
            to.push(value);
            Ok(())
        }
    }
}

impl Tensor {
    fn wrong(&self, why: &str) -> Failure {
        Failure::invalid(format!("the input {:?} {why}", self.name))
    }

    /// The values of it, and how many there are in a row.
    fn values(&self) -> Result<(Vec<&Value>, usize), Failure> {
        let mut values = Vec::new();
        flat(&self.data, &mut values)?;
        let count = self.shape.first().copied().unwrap_or(0);
        let all = self
            .shape
            .iter()
            .try_fold(1_u64, |all, one| all.checked_mul(*one));
        if all != Some(values.len() as u64) || count == 0 {
            return Err(self.wrong("has a shape that is not that of its data"));
        }
        let width = values.len() / count as usize;
        Ok((values, width.max(1)))
    }

    /// The rows of it, as lines of CSV or values of JSON.
    fn rows(&self) -> Result<Vec<String>, Failure> {
        let wrong = |why: &str| self.wrong(why);
        let (values, width) = self.values()?;
        let row = |row: &[&Value]| -> Result<String, Failure> {
            if self.datatype == "BYTES" {
                let texts = row.iter().map(|value| value.as_str());
                let texts = texts.collect::<Option<Vec<_>>>();
                return match texts.as_deref() {
                    // A text that is asked about, as classifiers of texts take it, or an image in base64, as those of images do.
                    Some([text]) => {
                        Ok(json!({"text": text, "source": text, "data": text}).to_string())
                    }
                    _ => Err(wrong("has more than one text in a row")),
                };
            }
            let number = |value: &&Value| match value {
                Value::Number(number) => Ok(number.to_string()),
                Value::Bool(flag) => Ok(u8::from(*flag).to_string()),
                Value::Null => Ok(String::new()),
                _ => Err(wrong("has a value that is no number")),
            };
            Ok(row
                .iter()
                .map(number)
                .collect::<Result<Vec<_>, _>>()?
                .join(","))
        };
        values.chunks(width).map(row).collect()
    }
}

/// The rows of several tensors: objects of values, or lists of them, by the tensors' names.
fn objects(tensors: &[Tensor]) -> Result<Vec<String>, Failure> {
    let mut rows: Vec<Map<String, Value>> = Vec::new();
    let mut all = 0;
    for (number, tensor) in tensors.iter().enumerate() {
        let (values, width) = tensor.values()?;
        all += values.len();
        if all > MOST {
            return Err(Failure::invalid(format!(
                "a request has at most {MOST} values"
            )));
        }
        if number == 0 {
            rows.resize_with(values.len() / width, Map::new);
        }
        if rows.len() * width != values.len() {
            return Err(tensor.wrong("has another number of rows than those before it"));
        }
        for (row, values) in rows.iter_mut().zip(values.chunks(width)) {
            let value = match values {
                [only] => (*only).clone(),
                several => several.iter().copied().cloned().collect(),
            };
            if row.insert(tensor.name.clone(), value).is_some() {
                return Err(tensor.wrong("is there twice"));
            }
        }
    }
    Ok(rows
        .into_iter()
        .map(|row| Value::Object(row).to_string())
        .collect())
}

/// The tensors that answers make: one for each field.
fn outputs(answers: &[Value]) -> Vec<Value> {
    let mut fields: Map<String, Value> = Map::new();
    for answer in answers {
        let found = match answer {
            Value::Object(members) => members.clone(),
            other => Map::from_iter([("output".to_owned(), other.clone())]),
        };
        for (name, value) in found {
            let column = fields.entry(name).or_insert_with(|| json!([]));
            if let Some(column) = column.as_array_mut() {
                column.push(value);
            }
        }
    }
    let whole = |(name, column): (String, Value)| {
        let values = column.as_array().cloned().unwrap_or_default();
        let rows = values.len();
        let all = |is: fn(&Value) -> bool| values.iter().all(is);
        let width = values.first().and_then(Value::as_array).map(Vec::len);
        let vectors = width.filter(|width| {
            let is_row = |value: &Value| {
                value
                    .as_array()
                    .is_some_and(|row| row.len() == *width && row.iter().all(Value::is_number))
            };
            values.iter().all(is_row)
        });
        match vectors {
            Some(width) => {
                let flat = values
                    .into_iter()
                    .flat_map(|row| row.as_array().cloned().unwrap_or_default());
                let flat: Vec<Value> = flat.collect();
                json!({"name": name, "datatype": "FP32", "shape": [rows, width], "data": flat})
            }
            None if all(|value| value.is_i64() || value.is_u64()) => {
                json!({"name": name, "datatype": "INT64", "shape": [rows], "data": values})
            }
            None if all(Value::is_number) => {
                json!({"name": name, "datatype": "FP32", "shape": [rows], "data": values})
            }
            None => {
                let texts = values.iter().map(|value| match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                let texts: Vec<String> = texts.collect();
                json!({"name": name, "datatype": "BYTES", "shape": [rows], "data": texts})
            }
        }
    };
    fields.into_iter().map(whole).collect()
}

async fn infer(
    State(app): State<Arc<App>>,
    place: Place,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Failure> {
    let model = Model::of(place)?;
    let body = body.map_err(|error| Failure::invalid(error.body_text()))?;
    let request: Request = serde_json::from_slice(&body)
        .map_err(|error| Failure::invalid(format!("this is no request for inference: {error}")))?;
    let rows = match &request.inputs[..] {
        [] => return Err(Failure::invalid("there are no inputs")),
        [tensor] => tensor.rows()?,
        tensors => objects(tensors)?,
    };
    let account = &app.config.aws.account;
    let answers = rows::of_rows(&app.sagemaker, account, &model.whole(), Haste::Now, rows).await?;
    let answers: Vec<Value> = answers
        .into_iter()
        .map(|answer| {
            let answer = serde_json::from_str(answer?.get());
            answer.map_err(|error| Failure::of_kind(Kind::Internal, error.to_string()))
        })
        .collect::<Result<_, Failure>>()?;
    let mut said = json!({"model_name": model.name, "outputs": outputs(&answers)});
    if let Some(id) = request.id {
        said["id"] = Value::from(id);
    }
    if let Some(version) = model.version {
        said["model_version"] = json!(version);
    }
    Ok(Json(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[u64], datatype: &str, data: Value) -> Result<Vec<String>, String> {
        let tensor = Tensor {
            name: "x".to_owned(),
            shape: shape.to_vec(),
            datatype: datatype.to_owned(),
            data,
        };
        tensor.rows().map_err(|failure| failure.message)
    }

    #[test]
    fn tensors_become_rows() {
        let flat = tensor(&[2, 2], "FP32", json!([1, 2.5, 3, null]));
        assert_eq!(
            flat.as_deref(),
            Ok(&["1,2.5".to_owned(), "3,".to_owned()][..])
        );
        let nested = tensor(&[2, 1, 2], "INT64", json!([[[1, 2]], [[3, true]]]));
        assert_eq!(
            nested.as_deref(),
            Ok(&["1,2".to_owned(), "3,1".to_owned()][..])
        );
        let texts = tensor(&[1], "BYTES", json!(["a"])).expect("rows");
        assert_eq!(texts, [r#"{"data":"a","source":"a","text":"a"}"#]);
        for (shape, datatype, data) in [
            (&[2, 2][..], "FP32", json!([1, 2, 3])),
            (&[0], "FP32", json!([])),
            (&[], "FP32", json!([])),
            (&[u64::MAX, u64::MAX], "FP32", json!([1])),
            (&[1], "FP32", json!(["a"])),
            (&[1, 2], "BYTES", json!(["a", "b"])),
        ] {
            assert!(tensor(shape, datatype, data).is_err(), "{shape:?}");
        }
    }

    #[test]
    fn several_tensors_become_objects() {
        let tensor = |name: &str, shape: &[u64], datatype: &str, data: Value| Tensor {
            name: name.to_owned(),
            shape: shape.to_vec(),
            datatype: datatype.to_owned(),
            data,
        };
        let city = || tensor("city", &[2, 1], "BYTES", json!(["Rome", "3"]));
        let size = tensor("size", &[2, 2], "FP32", json!([[1, 2.5], [3, null]]));
        let rows = objects(&[city(), size]).expect("rows");
        assert_eq!(
            rows,
            [
                r#"{"city":"Rome","size":[1,2.5]}"#,
                r#"{"city":"3","size":[3,null]}"#
            ]
        );
        for other in [
            city(),
            tensor("size", &[3, 1], "FP32", json!([1, 2, 3])),
            tensor("size", &[1, 1], "FP32", json!([1])),
            tensor("size", &[2, 2], "FP32", json!([1])),
        ] {
            assert!(objects(&[city(), other]).is_err());
        }
    }

    #[test]
    fn answers_become_tensors() {
        let answers = [
            json!({"score": 0.5, "predicted_label": 1, "projection": [1.0, 2.0]}),
            json!({"score": 1, "predicted_label": 0, "projection": [3.0, 4.0]}),
        ];
        assert_eq!(
            outputs(&answers),
            [
                json!({"name": "predicted_label", "datatype": "INT64", "shape": [2], "data": [1, 0]}),
                json!({"name": "projection", "datatype": "FP32", "shape": [2, 2], "data": [1.0, 2.0, 3.0, 4.0]}),
                json!({"name": "score", "datatype": "FP32", "shape": [2], "data": [0.5, 1]}),
            ]
        );
        let texts = outputs(&[json!({"label": ["a"], "prob": [0.5]}), json!("b")]);
        assert_eq!(
            texts[0],
            json!({"name": "label", "datatype": "BYTES", "shape": [1], "data": ["[\"a\"]"]})
        );
    }
}
