//! The S3 door: buckets and objects for S3's clients, on the port of the other doors.
//!
//! | file | what |
//! | --- | --- |
//! | `request.rs` | which requests are S3's, and taking their signatures off |
//! | `known.rs` | what a request may ask for beside its method and address |
//! | `chunked.rs` | bodies in the encoding `aws-chunked` |
//! | `places.rs` | where the buckets are: the store, and folders |
//! | `transfer.rs` | bytes between bodies and the disk, a piece at a time |
//! | `conditions.rs` | `If-Match` and its like, ranges |
//! | `words.rs` | our values in S3's words and back: checksums, tags, headers, errors |
//! | `operations.rs` | the operations |
//!
//! The crate `s3s` reads requests and writes answers; what is not in `operations.rs` it answers with `NotImplemented`. An
//! object is never in memory as a whole: a request holds at most [`transfer::PIECE`] bytes of it, which count in the memory
//! that requests share, and where that is full the answer is `SlowDown`.

mod chunked;
mod conditions;
mod known;
mod operations;
pub mod places;
mod request;
mod transfer;
mod words;

pub use request::is_s3;

use crate::server::body::Buffers;
use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use axum::response::Response;
use places::Places;
use s3s::S3Result;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::host::{S3Host, VirtualHost};
use s3s::service::{S3Service, S3ServiceBuilder};
use std::sync::Arc;
use std::time::Duration;

/// Most bytes of a document in a request: what names 10,000 parts with checksums.
const DOCUMENT: u64 = 4 << 20;

/// The door.
#[derive(Clone)]
pub struct S3 {
    service: S3Service,
    buffers: Arc<Buffers>,
    pause: Duration,
    /// Whose the buckets are.
    owner: Arc<str>,
}

/// Headers that say whose the buckets of a request are thought to be.
const OWNERS: [&str; 2] = [
    "x-amz-expected-bucket-owner",
    "x-amz-source-expected-bucket-owner",
];

/// What the operations share.
struct Door {
    places: Arc<Places>,
    buffers: Arc<Buffers>,
}

/// Hosts that name buckets.
struct Hosts;

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let named = VirtualHost::new(host);
        Ok(match request::bucket_of(host) {
            Some(bucket) => named.with_bucket(bucket),
            None => named,
        })
    }
}

/// Failures that happen before the door sees a request.
pub fn failure(failure: &crate::failure::Failure, _id: &str) -> Response {
    let mut error = s3s::S3Error::with_message(
        match failure.status {
            status if status.is_server_error() => s3s::S3ErrorCode::InternalError,
            StatusCode::FORBIDDEN => s3s::S3ErrorCode::AccessDenied,
            _ => s3s::S3ErrorCode::InvalidRequest,
        },
        failure.message.clone(),
    );
    error.set_status_code(failure.status);
    request::refused(error)
}

impl S3 {
    /// The door to places, which belong to an account; bytes on their way count in `buffers`, and a body may pause for so long.
    pub fn new(places: Arc<Places>, buffers: Arc<Buffers>, pause: Duration, owner: &str) -> Self {
        let mut config = S3Config::default();
        // It fits where there are addresses.
        config.xml_max_body_size = DOCUMENT as usize;
        config.post_object_max_file_size = 0;
        let door = Door {
            places,
            buffers: buffers.clone(),
        };
        let mut service = S3ServiceBuilder::new(door);
        service.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        service.set_host(Hosts);
        Self {
            service: service.build(),
            buffers,
            pause,
            owner: owner.into(),
        }
    }

    /// Whether the buckets belong to whom the request expects.
    fn is_owner(&self, headers: &HeaderMap) -> bool {
        let expected = OWNERS.iter().filter_map(|name| headers.get(*name));
        let mut expected = expected.map(|owner| owner.as_bytes());
        expected.all(|owner| owner == self.owner.as_bytes())
    }

    /// Answers a request of S3's.
    pub async fn answer(&self, request: Request<Body>, id: &str) -> Response {
        let (parts, body) = request.into_parts();
        let document = match parts.method == Method::POST {
            true => Some(self.buffers.share(DOCUMENT)),
            false => None,
        };
        let request = match document {
            Some(None) => Err(words::slow_down()),
            _ => request::unsign(parts, body, self.pause),
        };
        let mut answer = match request {
            Err(error) => request::refused(error),
            Ok(request) if !self.is_owner(request.headers()) => {
                request::refused(s3s::s3_error!(AccessDenied, "Access Denied"))
            }
            Ok(request) => match self.service.call(request).await {
                Ok(answer) => answer.map(Body::new),
                Err(error) => {
                    tracing::error!(?error, id, "an answer of S3's cannot be written");
                    request::refused(s3s::s3_error!(InternalError))
                }
            },
        };
        if answer.status().is_client_error() {
            answer = words::explained(answer).await;
        }
        if answer.status() == StatusCode::NOT_MODIFIED {
            *answer.body_mut() = Body::empty();
            answer.headers_mut().remove(CONTENT_TYPE);
            answer.headers_mut().remove(CONTENT_LENGTH);
        }
        // `s3s` says so of what it reads, and not of what is only looked at.
        if answer.status() == StatusCode::OK && answer.headers().contains_key(CONTENT_RANGE) {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        if let Ok(id) = HeaderValue::from_str(id) {
            answer.headers_mut().insert("x-amz-request-id", id);
        }
        answer
    }
}
