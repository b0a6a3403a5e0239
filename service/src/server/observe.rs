//! What surrounds every request: its id, its deadline, its body within the limits, a net under panics,
//! the rendering of failures in the door's shape, one line in the log, and the counters.
//!
//! A caller that goes away drops this future, and with it the place in the engine's queue; it is
//! counted with status 499.

use crate::app::App;
use crate::doors::Door;
use crate::failure::Failure;
use crate::server::body::{self, Buffers};
use crate::server::pages;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONNECTION, HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tracing::Instrument;

/// The header with the id, in requests and answers.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Status under which a request is counted whose caller went away before the answer.
const CALLER_GONE: u16 = 499;

/// The id of a request: the caller's own, or a new one. In the request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub Arc<str>);

/// When a request's answer is of no more use. In the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Instant);

/// Where a door that does not go by paths writes the operation's name. In the request's extensions.
/// The name must come from a fixed list: it becomes a label in the metrics.
#[derive(Clone, Debug, Default)]
pub struct Operation(Arc<OnceLock<Cow<'static, str>>>);

impl Operation {
    /// Names the operation; the first name stays.
    pub fn set(&self, name: impl Into<Cow<'static, str>>) {
        // A second name is ignored on purpose.
        let _ = self.0.set(name.into());
    }
}

/// What [`observe`] needs.
#[derive(Clone)]
pub struct Observer {
    /// Limits and counters.
    pub app: Arc<App>,
    /// The memory for bodies.
    pub buffers: Arc<Buffers>,
}

/// Counts and logs a request when it ends, however it ends.
struct Watch {
    app: Arc<App>,
    door: Door,
    operation: Operation,
    id: RequestId,
    method: Method,
    uri: Uri,
    started: Instant,
    status: u16,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        let operation = self.operation.0.get().cloned();
        let operation = operation.unwrap_or(Cow::Borrowed(match self.door {
            // What was refused before its door knew what it is.
            Door::S3 => method(&self.method),
            _ => "unknown",
        }));
        let (door, status, id) = (self.door.name(), self.status, &*self.id.0);
        let ms = took.as_micros() as f64 / 1e3;
        // What is asked for, without the questions in the address.
        let (method, path) = (&self.method, self.uri.path());
        match status {
            // Probes ask often, and their 503 is an answer.
            _ if self.door == Door::Ops => {
                tracing::debug!(id, door, %operation, %method, path, status, ms, "request");
            }
            500.. => tracing::warn!(id, door, %operation, %method, path, status, ms, "request"),
            400.. if status != CALLER_GONE => {
                tracing::info!(id, door, %operation, %method, path, status, ms, "request")
            }
            _ => tracing::debug!(id, door, %operation, %method, path, status, ms, "request"),
        }
        self.app.metrics.answered(door, operation, status, took);
    }
}

/// The middleware around all routes.
pub async fn observe(State(observer): State<Observer>, request: Request, next: Next) -> Response {
    let Observer { app, buffers } = observer;
    let started = Instant::now();
    let _in_flight = app.metrics.request_begins();
    let door = Door::of(request.method(), request.uri(), request.headers());
    let id = request_id(request.headers());
    let operation = Operation::default();
    if !matches!(door, Door::Aws | Door::S3) {
        match request.extensions().get::<MatchedPath>() {
            Some(path) => operation.set(path.as_str().to_owned()),
            None => operation.set("unmatched"),
        }
    }
    let mut watch = Watch {
        app: app.clone(),
        door,
        operation: operation.clone(),
        id: id.clone(),
        method: request.method().clone(),
        uri: request.uri().clone(),
        started,
        status: CALLER_GONE,
    };

    let deadline = started + app.config.limits.deadline.get();
    let (mut parts, body) = request.into_parts();
    let (body, whole) = body::watch(body);
    parts.extensions.insert(id.clone());
    parts.extensions.insert(operation);
    parts.extensions.insert(Deadline(deadline));
    parts.extensions.insert(door);
    let admitted = pages::admit(&app.config, &parts.method, &parts.uri, &parts.headers);
    let (reader, admitted) = match admitted {
        Ok(reader) => (reader, Ok(())),
        Err(failure) => (None, Err(failure)),
    };
    if let Some(reader) = &reader
        && let Some(mut response) = reader.preflight(&parts.method, &parts.headers)
    {
        reader.may_read(response.headers_mut());
        watch.status = response.status().as_u16();
        return response;
    }
    // Objects are read piece by piece by their door, within limits of its own.
    let body = match (admitted, door) {
        (Err(failure), _) => Err(failure),
        (Ok(()), door) if !matches!(door, Door::Ops | Door::S3) && buffers.is_over() => {
            Err(body::turn_away(&parts.headers, body, &app.config.limits).await)
        }
        (Ok(()), Door::S3) => Ok((body, None)),
        (Ok(()), _) => body::collect(&parts.headers, body, &app.config.limits, deadline, &buffers)
            .await
            .map(|held| {
                app.metrics.read(held.bytes.len() as u64);
                (Body::from(held.bytes.clone()), Some(held))
            }),
    };
    let mut response = match body {
        Err(failure) => failure.into_response(),
        Ok((body, _held)) => {
            let request = Request::from_parts(parts, body);
            // At the level of errors, so that no choice of level takes the id off a line that matters.
            let span = tracing::error_span!("request", id = &*id.0);
            match AssertUnwindSafe(next.run(request).instrument(span))
                .catch_unwind()
                .await
            {
                Ok(response) => response,
                Err(panic) => {
                    tracing::error!(
                        id = &*id.0,
                        panic = panic_text(&*panic),
                        "a handler panicked"
                    );
                    Failure::new(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "internal",
                        "the server failed; its log says why under this request's id",
                    )
                    .into_response()
                }
            }
        }
    };

    if door != Door::S3 {
        response = body::hold(response, &buffers);
    }
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        // The headers of the bare answer stay (`Allow` beside 405).
        let mut rendered = door.render(&failure, &id.0);
        if let Some(after) = failure.retry_after {
            rendered
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        if let Some(allow) = response.headers_mut().remove(axum::http::header::ALLOW) {
            rendered
                .headers_mut()
                .insert(axum::http::header::ALLOW, allow);
        }
        response = rendered;
    }
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    if !whole.is_read() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    if let Some(reader) = reader {
        reader.may_read(response.headers_mut());
    }
    watch.status = response.status().as_u16();
    response
}

/// The name in metrics of a request of S3's that is none of its operations.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// `Retry-After` knows whole seconds only; never less than asked for, never 0.
fn whole_seconds(after: Duration) -> u64 {
    (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1)
}

/// The caller's id if it is short and printable, else a new one.
fn request_id(headers: &HeaderMap) -> RequestId {
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| {
            (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        });
    match given {
        Some(id) => RequestId(id.into()),
        None => RequestId(uuid::Uuid::new_v4().to_string().into()),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_only_when_they_are_harmless() {
        let id_of = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(value).expect("header"));
            request_id(&headers).0.to_string()
        };
        assert_eq!(id_of(b"abc-1"), "abc-1");
        for bad in [&b""[..], b"two words", b"\xff", &[b'x'; 129]] {
            let id = id_of(bad);
            assert!(uuid::Uuid::parse_str(&id).is_ok(), "{id}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }

    #[test]
    fn waiting_times_are_rounded_up() {
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_millis(2001)), 3);
        assert_eq!(whole_seconds(Duration::from_secs(5)), 5);
    }
}
