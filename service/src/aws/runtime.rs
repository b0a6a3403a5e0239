//! SageMaker Runtime: what endpoints are asked. `POST /endpoints/NAME/invocations`, `…/invocations-response-stream` and
//! `…/async-invocations`, AWS's REST protocol: what is said beside the body is in headers, and so is an error's name.
//!
//! Source: the API reference of SageMaker Runtime (2017-05-13), and Amazon's event stream encoding for streamed answers.

use super::Aws;
use super::json11::{self, ERROR_TYPE};
use crate::app::App;
use crate::server::observe::Operation;
use crate::streamed::{Begun, Coming, begin};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{ACCEPT, AsHeaderName, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::post;
use escala_sagemaker::asynchronous::Later;
use escala_sagemaker::invoke::{Invocation, InvokeError};
use escala_sagemaker::served::Asked;
use escala_sagemaker::{Caller, SageMaker};
use futures_util::stream;
use std::convert::Infallible;
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Most bytes of a request's body, as at AWS: 6 MiB.
const LARGEST: usize = 6 << 20;
/// Seconds that a question may wait to be answered later, and that its answer may take, as at AWS.
const TTL: RangeInclusive<u64> = 60..=21_600;
const TIMEOUT: RangeInclusive<u64> = 1..=3600;
/// Most bytes of a part of a streamed answer.
const PART: usize = 64 << 10;

const VARIANT: HeaderName = HeaderName::from_static("x-amzn-invoked-production-variant");
const ATTRIBUTES: HeaderName = HeaderName::from_static("x-amzn-sagemaker-custom-attributes");
const STREAMED_TYPE: HeaderName = HeaderName::from_static("x-amzn-sagemaker-content-type");
const STREAMED_ACCEPT: HeaderName = HeaderName::from_static("x-amzn-sagemaker-accept");
const OUTPUT: HeaderName = HeaderName::from_static("x-amzn-sagemaker-outputlocation");
const FAILURE: HeaderName = HeaderName::from_static("x-amzn-sagemaker-failurelocation");

/// The paths, for the server's router.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/endpoints/{name}/invocations", post(invoke))
        .route(
            "/endpoints/{name}/invocations-response-stream",
            post(streamed),
        )
        .route("/endpoints/{name}/async-invocations", post(later))
}

/// What a request is.
struct Question {
    sagemaker: Arc<SageMaker>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
    id: Arc<str>,
}

/// What an operation answers.
type Outcome = Result<Response, InvokeError>;

fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.to_owned()).filter(|value| !value.is_empty())
}

fn error(code: &'static str, status: u16, message: String) -> InvokeError {
    InvokeError {
        code,
        status,
        message,
        original: None,
    }
}

/// Reads a request and answers it: what `answer` says, or why it does not.
async fn asked<F: Future<Output = Outcome>>(
    app: &App,
    request: Request,
    operation: &'static str,
    answer: impl FnOnce(Question) -> F,
) -> Response {
    let (parts, body) = request.into_parts();
    if let Some(place) = parts.extensions.get::<Operation>() {
        place.set(format!("sagemaker-runtime.{operation}"));
    }
    let id = super::request_id(&parts);
    let aws = Aws::of(app);
    let read = async {
        let body = axum::body::to_bytes(body, LARGEST).await.map_err(|_| {
            let message = format!("The request's body is larger than {LARGEST} bytes.");
            error("ValidationError", 413, message)
        })?;
        let sagemaker = aws.sagemaker.clone().ok_or_else(|| {
            let message = "This server keeps nothing of SageMaker's; its log says why.";
            error("ServiceUnavailable", 503, message.to_owned())
        })?;
        Ok(Question {
            sagemaker,
            caller: aws.caller(&parts.headers),
            headers: parts.headers,
            body,
            id: id.clone(),
        })
    };
    let outcome = match read.await {
        Ok(question) => answer(question).await,
        Err(error) => Err(error),
    };
    outcome.unwrap_or_else(|error| failed(&id, &error))
}

impl Question {
    fn header(&self, name: &'static str) -> Option<String> {
        text(&self.headers, name)
    }

    /// A number of seconds in a header, within AWS's bounds.
    fn seconds(
        &self,
        name: &'static str,
        bounds: RangeInclusive<u64>,
    ) -> Result<Option<u64>, InvokeError> {
        let Some(value) = self.header(name) else {
            return Ok(None);
        };
        let seconds = value
            .parse()
            .ok()
            .filter(|seconds| bounds.contains(seconds));
        seconds.map(Some).ok_or_else(|| {
            let (least, most) = (bounds.start(), bounds.end());
            let message = format!(
                "The header {name} is {value}: it is a number of seconds from {least} to {most}."
            );
            error("ValidationError", 400, message)
        })
    }

    /// What the endpoint is asked, and how.
    fn asked(&self, accept: HeaderName) -> (Asked, Invocation) {
        let asked = Asked {
            content_type: text(&self.headers, CONTENT_TYPE),
            accept: text(&self.headers, accept),
            body: self.body.clone(),
            ..Asked::default()
        };
        let invocation = Invocation {
            target_variant: self.header("x-amzn-sagemaker-target-variant"),
            target_model: self.header("x-amzn-sagemaker-target-model"),
            target_container: self.header("x-amzn-sagemaker-target-container-hostname"),
            inference_component: self.header("x-amzn-sagemaker-inference-component"),
            inference_id: self.header("x-amzn-sagemaker-inference-id"),
            custom_attributes: self.header("x-amzn-sagemaker-custom-attributes"),
            waits: false,
        };
        (asked, invocation)
    }

    /// An answer with what all have in their headers.
    fn answer(&self, status: StatusCode, body: Body) -> Response {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        json11::identify(&mut response, &self.id);
        // As containers that say nothing of their own: what came goes back.
        if let Some(attributes) = self.headers.get(ATTRIBUTES) {
            let attributes = attributes.clone();
            response.headers_mut().insert(ATTRIBUTES, attributes);
        }
        response
    }
}

fn put(response: &mut Response, name: HeaderName, value: &str) {
    // What is no header's text is left out: models say what they want.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

async fn invoke(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let answer = async |question: Question| {
        let (asked, invocation) = question.asked(ACCEPT);
        let hosting = question.sagemaker.hosting();
        let answered = hosting.invoke(&question.caller, &name, asked, &invocation);
        let answered = answered.await?;
        let mut response = question.answer(StatusCode::OK, Body::from(answered.said.body));
        put(&mut response, CONTENT_TYPE, &answered.said.content_type);
        put(&mut response, VARIANT, &answered.variant);
        Ok(response)
    };
    asked(&app, request, "InvokeEndpoint", answer).await
}

async fn streamed(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let answer = async |question: Question| {
        let (asked, invocation) = question.asked(STREAMED_ACCEPT);
        let (sagemaker, caller) = (question.sagemaker.clone(), question.caller.clone());
        let begun = begin(sagemaker, caller, name, asked, invocation).await?;
        let (body, content_type, variant) = match begun {
            Begun::Parts {
                content_type,
                variant,
                parts,
            } => {
                let events = stream::unfold(parts, next);
                (Body::from_stream(events), content_type, variant)
            }
            Begun::Whole(answered) => {
                let body = answered.said.body;
                let parts = (0..body.len()).step_by(PART).map(move |from| {
                    let part = body.slice(from..body.len().min(from + PART));
                    Ok::<_, Infallible>(event(&PAYLOAD, &part))
                });
                let body = Body::from_stream(stream::iter(parts));
                (body, answered.said.content_type, answered.variant)
            }
        };
        let mut response = question.answer(StatusCode::OK, body);
        put(
            &mut response,
            CONTENT_TYPE,
            "application/vnd.amazon.eventstream",
        );
        put(&mut response, STREAMED_TYPE, &content_type);
        put(&mut response, VARIANT, &variant);
        Ok(response)
    };
    asked(&app, request, "InvokeEndpointWithResponseStream", answer).await
}

/// The next part as an event; in the end, where the answer broke off, why.
async fn next(mut parts: Coming) -> Option<(Result<Bytes, Infallible>, Coming)> {
    let message = match parts.next().await? {
        Ok(part) => event(&PAYLOAD, &part),
        Err(error) => {
            let told = serde_json::json!({"Message": error.message, "ErrorCode": error.code});
            event(&BROKEN, told.to_string().as_bytes())
        }
    };
    Some((Ok(message), parts))
}

async fn later(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let answer = async |question: Question| {
        let later = Later {
            input: question.header("x-amzn-sagemaker-inputlocation"),
            body: Some(question.body.clone()).filter(|body| !body.is_empty()),
            content_type: question.header("x-amzn-sagemaker-content-type"),
            accept: question.header("x-amzn-sagemaker-accept"),
            custom_attributes: question.header("x-amzn-sagemaker-custom-attributes"),
            inference_id: question.header("x-amzn-sagemaker-inference-id"),
            extension: question.header("x-amzn-sagemaker-s3outputpathextension"),
            filename: question.header("x-amzn-sagemaker-filename"),
            ttl: question.seconds("x-amzn-sagemaker-requestttlseconds", TTL)?,
            timeout: question.seconds("x-amzn-sagemaker-invocationtimeoutseconds", TIMEOUT)?,
        };
        let hosting = question.sagemaker.hosting();
        let accepted = hosting.invoke_async(&question.caller, &name, later).await?;
        let body = serde_json::json!({"InferenceId": accepted.inference_id}).to_string();
        let mut response = question.answer(StatusCode::ACCEPTED, Body::from(body));
        put(&mut response, CONTENT_TYPE, "application/json");
        put(&mut response, OUTPUT, &accepted.output);
        if let Some(failure) = &accepted.failure {
            put(&mut response, FAILURE, failure);
        }
        Ok(response)
    };
    asked(&app, request, "InvokeEndpointAsync", answer).await
}

fn failed(id: &str, error: &InvokeError) -> Response {
    let InvokeError {
        code,
        status,
        message,
        ..
    } = error;
    if *status >= 500 {
        tracing::warn!(id, code, message, "an invocation failed");
    }
    let mut response = Response::new(Body::from(error.members().to_string()));
    *response.status_mut() =
        StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json11::identify(&mut response, id);
    put(&mut response, CONTENT_TYPE, "application/json");
    put(&mut response, ERROR_TYPE, code);
    response
}

/// Headers of a message of Amazon's event stream encoding.
type Headers = [(&'static str, &'static str); 3];

/// A part of a streamed answer.
const PAYLOAD: Headers = [
    (":event-type", "PayloadPart"),
    (":content-type", "application/octet-stream"),
    (":message-type", "event"),
];

/// Why there are no more.
const BROKEN: Headers = [
    (":exception-type", "ModelStreamError"),
    (":content-type", "application/json"),
    (":message-type", "exception"),
];

/// A message of Amazon's event stream encoding: lengths, their checksum, headers, payload, and a checksum of all of it.
fn event(headers_of: &Headers, payload: &[u8]) -> Bytes {
    let mut headers = Vec::new();
    for (name, value) in headers_of {
        headers.push(name.len() as u8);
        headers.extend(name.bytes());
        // Text.
        headers.push(7);
        headers.extend((value.len() as u16).to_be_bytes());
        headers.extend(value.bytes());
    }
    let all = 12 + headers.len() + payload.len() + 4;
    let mut message = Vec::with_capacity(all);
    message.extend((all as u32).to_be_bytes());
    message.extend((headers.len() as u32).to_be_bytes());
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message.extend(headers);
    message.extend(payload);
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_lengths_and_sums_that_clients_check() {
        let message = event(&PAYLOAD, b"hello");
        let number = |at: usize| {
            u32::from_be_bytes([
                message[at],
                message[at + 1],
                message[at + 2],
                message[at + 3],
            ])
        };
        assert_eq!(number(0) as usize, message.len());
        assert_eq!(number(8), crc32fast::hash(&message[..8]));
        let end = message.len() - 4;
        assert_eq!(number(end), crc32fast::hash(&message[..end]));
        assert_eq!(&message[end - 5..end], b"hello");
        assert_eq!(12 + number(4) as usize + 5, end);
    }
}
