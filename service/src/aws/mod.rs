//! The AWS doors: Comprehend, Rekognition, SageMaker and CloudWatch Logs over AWS JSON 1.1 (`POST /` with `X-Amz-Target`), and
//! what of STS and IAM their clients ask on the way, over AWS's query protocol ([`query`]); [`runtime`] is what endpoints are asked.
//!
//! They are driven by the public service models in `service/aws-models`: [`model`] loads them, [`validate`]
//! checks every request against them with the messages AWS gives (and in tests every answer), [`errors`]
//! holds the one table from the engine's errors to AWS's. [`json11`] is the protocol, [`dispatch`] knows the
//! operations and no protocol, [`comprehend`] and [`rekognition`] hold a file for each group of operations; [`jobs`] is what
//! the operations on jobs share. [`sagemaker`] hands its operations to the crate of that name.
//!
//! Operations of the models without a handler answer `NotImplementedException` (501). Every answer carries
//! `x-amzn-RequestId`. Signatures are not verified: any key is accepted.

pub mod comprehend;
pub mod dispatch;
pub mod errors;
pub mod jobs;
pub mod json11;
pub mod model;
pub mod query;
pub mod rekognition;
pub mod runtime;
pub mod sagemaker;
pub mod validate;

use crate::app::{App, Images, Predict};
use crate::server::observe::{Deadline, Operation, RequestId};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::post;
use errors::Failure;
use escala_batch::runner::Runner;
use escala_pipelines::labels::{Labels, LabelsInput};
use escala_pipelines::language::Languages;
use escala_pipelines::pii::{Pii, PiiInput};
use escala_pipelines::sentiment::{Scores, SentimentInput};
use escala_pipelines::syntax::{Syntax, SyntaxInput};
use escala_pipelines::targeted::Targeted;
use escala_pipelines::toxicity::Toxicity;
use escala_pipelines::{Error, Kind, Options, Priority};
use escala_sagemaker::{Caller, SageMaker};
use std::sync::Arc;
use tracing::Instrument;

/// What the handlers ask: a door translates, it never predicts.
#[derive(Clone)]
pub struct Aws {
    /// Languages of texts.
    pub language: Arc<dyn Predict<String, Languages>>,
    /// Sentiments of texts.
    pub sentiment: Arc<dyn Predict<SentimentInput, Scores>>,
    /// Words, names and phrases of texts.
    pub syntax: Arc<dyn Predict<SyntaxInput, Syntax>>,
    /// What texts speak of, and the sentiment towards each.
    pub targeted: Arc<dyn Predict<Arc<str>, Targeted>>,
    /// Personal data in texts.
    pub pii: Arc<dyn Predict<PiiInput, Pii>>,
    /// Toxicity of texts.
    pub toxicity: Arc<dyn Predict<Arc<str>, Toxicity>>,
    /// Labels of images.
    pub labels: Arc<dyn Predict<LabelsInput, Labels>>,
    /// Everything else about images.
    pub images: Images,
    /// Jobs; none where nothing keeps them.
    pub jobs: Option<Arc<Runner>>,
    /// What is trained and hosted; none where nothing keeps it.
    pub sagemaker: Option<Arc<SageMaker>>,
    /// The account that every caller is in.
    pub account: Arc<str>,
    /// Most bytes of a text where the settings allow more than AWS does.
    pub long_texts: Option<usize>,
    /// Whether to report personal data of kinds that AWS does not know.
    pub pii_extensions: bool,
}

impl Aws {
    /// What the handlers of an app's door ask.
    pub fn of(app: &App) -> Self {
        Self {
            language: app.language.clone(),
            syntax: app.syntax.clone(),
            targeted: app.targeted.clone(),
            pii: app.pii.clone(),
            sentiment: app.sentiment.clone(),
            toxicity: app.toxicity.clone(),
            labels: app.labels.clone(),
            images: app.images.clone(),
            jobs: app.jobs.clone(),
            sagemaker: app.sagemaker.get().cloned(),
            account: app.config.aws.account.as_str().into(),
            long_texts: (app.config.aws.long_texts).then(|| app.config.limits.rest_text.as_usize()),
            pii_extensions: app.config.aws.pii_extensions,
        }
    }
}

impl Aws {
    /// Who asks: the account of all, in the region that the request is signed for.
    pub fn caller(&self, headers: &HeaderMap) -> Caller {
        Caller {
            account: self.account.to_string(),
            region: json11::region(headers).unwrap_or_else(|| "us-east-1".to_owned()),
        }
    }
}

/// The operation that a request named, in the extensions of its answer. Only names of the service models
/// come here, so that it may become a label in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationName {
    /// `comprehend`, `rekognition`, …; `aws` when the request named no service that is known.
    pub service: &'static str,
    /// Name in the service model; `unknown` when the request named none of it.
    pub operation: &'static str,
}

/// Bodies above this are read away from the threads that serve connections.
const READ_INLINE: usize = 256 << 10;

/// `POST /` for the server's router.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/", post(entry))
        .merge(runtime::router())
}

async fn entry(State(app): State<Arc<App>>, request: Request) -> Response {
    let aws = Aws::of(&app);
    let (parts, body) = request.into_parts();
    let request = Request::from_parts(parts.clone(), body);
    match Bytes::from_request(request, &()).await {
        Ok(body) => handle(&aws, &parts, body).await,
        Err(_) => {
            let failure = Failure::serialization("The request's body broke off.");
            json11::error(None, &failure, &request_id(&parts))
        }
    }
}

/// Answers one request whose body is read; the server bounds the body's size before.
///
/// In the request's extensions it finds, where the server put them, its id, its deadline and the place for
/// the operation's name; in the answer's extensions it leaves an [`OperationName`].
pub async fn handle(aws: &Aws, parts: &Parts, body: Bytes) -> Response {
    let id = request_id(parts);
    let mut name = OperationName {
        service: "aws",
        operation: "unknown",
    };
    let mut response = match query::is_query(&parts.headers) {
        true => query::answer(&aws.caller(&parts.headers), &body, &id, &mut name),
        false => match answer(aws, parts, body, &id, &mut name).await {
            Ok(value) => json11::answer(&value, &id),
            Err(failure) => {
                let service = (name.service == model::Id::Rekognition.name())
                    .then_some(model::Id::Rekognition);
                report(&failure, &id, name);
                json11::error(service, &failure, &id)
            }
        },
    };
    if let Some(place) = parts.extensions.get::<Operation>() {
        place.set(format!("{}.{}", name.service, name.operation));
    }
    response.extensions_mut().insert(name);
    response
}

/// The form, at this door, of a failure from before the door saw the request: a body that is too large or
/// does not arrive, too many at the same time, a panic. The status stays; the code is AWS's for it.
pub fn refused(status: StatusCode, message: &str, request_id: &str) -> Response {
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "RequestEntityTooLargeException",
        StatusCode::REQUEST_TIMEOUT => "RequestTimeoutException",
        StatusCode::FORBIDDEN => "AccessDeniedException",
        StatusCode::TOO_MANY_REQUESTS => "ThrottlingException",
        StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailableException",
        status if status.is_server_error() => "InternalFailure",
        _ => errors::SERIALIZATION,
    };
    json11::error(None, &Failure::outside(code, status, message), request_id)
}

async fn answer(
    aws: &Aws,
    parts: &Parts,
    body: Bytes,
    id: &str,
    name: &mut OperationName,
) -> Result<serde_json::Value, Failure> {
    let target = json11::target(&parts.headers)?;
    let service = dispatch::service(target.prefix)?;
    name.service = service.id.name();
    if let Some(other) = service.other(target.operation) {
        name.operation = other;
    }
    let call = dispatch::find(service, target.operation)?;
    name.operation = call.operation.name.as_str();
    if !call.is_implemented() {
        return Err(Failure::not_implemented(service.id, &call.operation.name));
    }
    let span = tracing::info_span!(
        "aws",
        id,
        service = name.service,
        operation = name.operation
    );
    let deadline = parts
        .extensions
        .get::<Deadline>()
        .map(|deadline| deadline.0);
    let options = Options {
        priority: Priority::Interactive,
        deadline,
    };
    async {
        let large = body.len() > READ_INLINE;
        let read = move || dispatch::read(call, json11::decode(&body)?);
        let request = if large { away(read).await? } else { read()? };
        dispatch::run(aws, aws.caller(&parts.headers), call, request, options).await
    }
    .instrument(span)
    .await
}

/// A score for an answer. JSON has no NaN, and nothing that is none may be shown as a score.
fn number(score: f32) -> escala_pipelines::Result<serde_json::Number> {
    let wrong = || {
        Error::new(
            Kind::Internal,
            format!("the model answered the score {score}"),
        )
    };
    serde_json::Number::from_f64(f64::from(score)).ok_or_else(wrong)
}

async fn away<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Failure::internal(format!(
            "reading a request failed: {error}"
        ))),
    }
}

fn request_id(parts: &Parts) -> Arc<str> {
    match parts.extensions.get::<RequestId>() {
        Some(RequestId(id)) => id.clone(),
        None => uuid::Uuid::new_v4().to_string().into(),
    }
}

/// Logs what the caller is not told.
fn report(failure: &Failure, id: &str, name: OperationName) {
    let cause = failure
        .cause
        .as_ref()
        .map(|cause| crate::failure::chain(cause))
        .unwrap_or_default();
    let OperationName { service, operation } = name;
    if failure.status.is_server_error() && failure.code != errors::NOT_IMPLEMENTED {
        tracing::error!(
            id,
            service,
            operation,
            code = failure.code,
            cause,
            "an AWS operation failed"
        );
    } else {
        tracing::debug!(
            id,
            service,
            operation,
            code = failure.code,
            cause,
            "an AWS request is refused"
        );
    }
}

#[cfg(test)]
mod tests;
