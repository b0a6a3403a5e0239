//! What went wrong with a request, before a door renders it in its own shape.
//!
//! This is the one table from the engine's kinds of error to HTTP statuses for the REST doors. (The AWS
//! door has its own, with AWS's codes.) A handler answers `Err(Failure)`; the failure travels in the
//! response's extensions to [`crate::server::observe`], which knows the request's id and its door.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use escala_pipelines::{Error, Kind};
use std::time::Duration;

/// Why a request is refused or could not be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status.
    pub status: StatusCode,
    /// A word for programs.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
    /// The member of the request at fault, where one is.
    pub member: Option<&'static str>,
    /// When trying again may help.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure with this status, code and sentence.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            member: None,
            retry_after: None,
        }
    }

    /// The request breaks a rule of the operation.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::of_kind(Kind::InvalidInput, message)
    }

    /// A failure with the status and code of an engine's kind.
    pub fn of_kind(kind: Kind, message: impl Into<String>) -> Self {
        let (status, code) = row(kind);
        Self::new(status, code, message)
    }

    /// Names the member of the request at fault.
    pub fn at(mut self, member: &'static str) -> Self {
        self.member = Some(member);
        self
    }

    /// Tells the caller when trying again may help.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

/// Status and code of a kind.
fn row(kind: Kind) -> (StatusCode, &'static str) {
    match kind {
        Kind::InvalidInput => (StatusCode::BAD_REQUEST, "invalid_input"),
        Kind::InvalidImage => (StatusCode::BAD_REQUEST, "invalid_image"),
        Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        Kind::Unsupported => (StatusCode::BAD_REQUEST, "unsupported"),
        Kind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        Kind::Overloaded => (StatusCode::TOO_MANY_REQUESTS, "overloaded"),
        Kind::Deadline => (StatusCode::GATEWAY_TIMEOUT, "deadline"),
        Kind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

/// The failure is about one item of a request and says nothing about the others.
pub fn concerns_the_item(kind: Kind) -> bool {
    match kind {
        Kind::InvalidInput
        | Kind::InvalidImage
        | Kind::TooLarge
        | Kind::Unsupported
        | Kind::NotFound => true,
        Kind::Overloaded | Kind::Deadline | Kind::Unavailable | Kind::Internal => false,
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let mut failure = Self::of_kind(error.kind(), error.message());
        failure.retry_after = error.retry_after();
        match error.kind() {
            Kind::Internal => {
                // The message is for the operator, who finds it in the log under the request's id.
                tracing::error!(error = %chain(error), "prediction failed");
                failure.message =
                    "the prediction failed; the server's log says why under this request's id"
                        .to_owned();
            }
            Kind::Overloaded => {
                failure.retry_after = failure.retry_after.or(Some(Duration::from_secs(1)))
            }
            _ => {}
        }
        failure
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<crate::gallery::Error> for Failure {
    fn from(error: crate::gallery::Error) -> Self {
        use crate::gallery::Error as G;
        use escala_collections::Error as E;
        let code = match &error {
            G::Collections(E::Exists(_) | E::UserExists(_)) => "conflict",
            G::Collections(E::Limit { .. }) => "limit_exceeded",
            _ => return error.into_engine().into(),
        };
        Self::new(StatusCode::CONFLICT, code, error.to_string())
    }
}

impl From<escala_stream_ingest::log::Error> for Failure {
    fn from(error: escala_stream_ingest::log::Error) -> Self {
        use escala_stream_ingest::log::Error as E;
        let message = error.to_string();
        match error {
            E::NoTopic(_) | E::NoPartition { .. } | E::NoGroup(_) => {
                Self::of_kind(Kind::NotFound, message)
            }
            E::TopicExists(_) | E::TopicCollides { .. } => {
                Self::new(StatusCode::CONFLICT, "conflict", message)
            }
            E::TopicName { .. }
            | E::Partitions(_)
            | E::Config { .. }
            | E::BatchInvalid(_)
            | E::Keyless { .. }
            | E::Untimely { .. }
            | E::TooLong { .. } => Self::invalid(message),
            E::TooLarge { .. } => Self::of_kind(Kind::TooLarge, message),
            E::OffsetOutOfRange { .. } => Self::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "offset_out_of_range",
                message,
            ),
            E::Busy => Self::of_kind(Kind::Overloaded, message).retry_after(Duration::from_secs(1)),
            E::Full { .. } | E::Damaged { .. } | E::Failed(_) | E::Closed | E::Io { .. } => {
                tracing::warn!(error = %message, "the event log refuses");
                Self::of_kind(Kind::Unavailable, message)
            }
            // What only producers of Kafka's protocol can do.
            _ => defect(&message),
        }
    }
}

impl From<crate::topics::Error> for Failure {
    fn from(error: crate::topics::Error) -> Self {
        use crate::topics::Error as E;
        let message = error.to_string();
        match error {
            E::Log(error) => error.into(),
            E::Off => Self::of_kind(Kind::Unavailable, message),
            E::Records(_) => {
                tracing::warn!(error = %message, "records cannot be read");
                Self::of_kind(Kind::Unavailable, message)
            }
            E::Invalid(_) => Self::invalid(message),
            E::TooLarge { .. } => Self::of_kind(Kind::TooLarge, message),
            E::Overloaded(_) => {
                Self::of_kind(Kind::Overloaded, message).retry_after(Duration::from_secs(1))
            }
            E::Late => Self::of_kind(Kind::Deadline, message),
            E::Internal(_) => defect(&message),
        }
    }
}

/// What is for the operator, who finds it in the log under the request's id.
fn defect(message: &str) -> Failure {
    tracing::error!(error = message, "a request about topics failed");
    let told = "the server failed; its log says why under this request's id";
    Failure::of_kind(Kind::Internal, told)
}

/// An error with its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat their cause in their own text.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [(Kind, u16); 9] = [
        (Kind::InvalidInput, 400),
        (Kind::InvalidImage, 400),
        (Kind::TooLarge, 413),
        (Kind::Unsupported, 400),
        (Kind::NotFound, 404),
        (Kind::Overloaded, 429),
        (Kind::Deadline, 504),
        (Kind::Unavailable, 503),
        (Kind::Internal, 500),
    ];

    #[test]
    fn every_kind_has_a_status_and_a_code_of_its_own() {
        let mut codes = std::collections::BTreeSet::new();
        for (kind, status) in KINDS {
            let failure = Failure::from(Error::new(kind, "because"));
            assert_eq!(failure.status.as_u16(), status, "{kind:?}");
            assert!(codes.insert(failure.code), "{kind:?}");
            assert_eq!(
                concerns_the_item(kind),
                failure.status.as_u16() < 429,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn overload_says_when_to_come_back_and_defects_say_nothing_of_the_inside() {
        assert_eq!(
            Failure::from(Error::new(Kind::Overloaded, "full")).retry_after,
            Some(Duration::from_secs(1))
        );
        let error = Error::new(Kind::Overloaded, "full").with_retry_after(Duration::from_secs(7));
        assert_eq!(
            Failure::from(error).retry_after,
            Some(Duration::from_secs(7))
        );
        assert!(
            !Failure::from(Error::new(Kind::Internal, "weights at /secret"))
                .message
                .contains("/secret")
        );
    }

    #[test]
    fn causes_are_told_once() {
        let io = std::io::Error::other("disk is gone");
        let error = Error::new(Kind::Unavailable, "cannot load").with_source(io);
        assert_eq!(chain(&error), "cannot load: disk is gone");
    }
}
