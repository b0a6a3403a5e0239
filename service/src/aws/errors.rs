//! What the AWS doors answer when they cannot answer: one table from the engine's kinds of error to AWS's
//! codes, and the errors that every AWS service has.
//!
//! | engine | Comprehend | Rekognition | status |
//! | --- | --- | --- | --- |
//! | `InvalidInput` | `InvalidRequestException` | `InvalidParameterException` | 400 |
//! | `InvalidImage` | `InvalidRequestException` | `InvalidImageFormatException` | 400 |
//! | `TooLarge` | `TextSizeLimitExceededException` | `ImageTooLargeException` | 400 |
//! | `Unsupported` | `UnsupportedLanguageException` | `InvalidParameterException` | 400 |
//! | `NotFound` | `ResourceNotFoundException` | `ResourceNotFoundException` | 400 |
//! | `Overloaded` | `ThrottlingException` | `ThrottlingException` | 400 |
//! | `Deadline`, `Unavailable` | `ServiceUnavailableException` | `ServiceUnavailableException` | 503 |
//! | `Internal` | `InternalServerException` | `InternalServerError` | 500 |
//!
//! Where an operation does not declare the code of the table, it answers the service's code for bad input
//! instead, because SDKs make typed exceptions of declared codes only. `ThrottlingException` and
//! `ServiceUnavailableException` belong to every AWS service, declared or not, and SDKs retry them with
//! growing pauses, which is what a full queue needs. (Comprehend declares `TooManyRequestsException` for
//! jobs only. Rekognition's model calls throttling a fault, its guide lists it under status 400 and 500; 400
//! is what SDKs meet most.)
//!
//! Operations that AWS has and Escala has not answer `NotImplementedException` with status 501. The choice:
//! `UnknownOperationException` would blame the caller's SDK for a gap of ours, a 500 or 503 would be retried
//! by every SDK and a 400 reads as a wrong request; 501 raises at once and says what is the matter.

use super::model::{Id, Operation};
use axum::http::StatusCode;
use escala_pipelines::{Error, Kind};
use escala_sagemaker::Refusal;
use std::time::Duration;

/// Codes that any operation may answer without declaring them.
pub const COMMON: [&str; 8] = [
    VALIDATION,
    SERIALIZATION,
    "UnknownOperationException",
    NOT_IMPLEMENTED,
    "ThrottlingException",
    "ServiceUnavailableException",
    "RequestEntityTooLargeException",
    "InternalFailure",
];
/// The request breaks a constraint of the service model.
pub const VALIDATION: &str = "ValidationException";
/// The body is not what the service model asks for.
pub const SERIALIZATION: &str = "SerializationException";
/// AWS has the operation, this version of Escala has not.
pub const NOT_IMPLEMENTED: &str = "NotImplementedException";

/// A refusal or failure, in AWS's terms but not yet in a protocol's form.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The error's name.
    pub code: &'static str,
    /// HTTP status.
    pub status: StatusCode,
    /// A sentence for the caller.
    pub message: String,
    /// Whether the service model has the error (its form differs from that of the framework's errors).
    pub modeled: bool,
    /// When trying again may help.
    pub retry_after: Option<Duration>,
    /// What happened, for the log; not shown to the caller.
    pub cause: Option<Error>,
}

impl Failure {
    fn new(
        code: &'static str,
        status: StatusCode,
        message: impl Into<String>,
        modeled: bool,
    ) -> Self {
        Self {
            code,
            status,
            message: message.into(),
            modeled,
            retry_after: None,
            cause: None,
        }
    }

    /// An error that the service model declares, status 400.
    pub fn declared(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, StatusCode::BAD_REQUEST, message, true)
    }

    /// The body cannot be read as what the operation asks for.
    pub fn serialization(message: impl Into<String>) -> Self {
        Self::new(SERIALIZATION, StatusCode::BAD_REQUEST, message, false)
    }

    /// A constraint of the service model does not hold.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(VALIDATION, StatusCode::BAD_REQUEST, message, false)
    }

    /// AWS has no such operation, or the request names none.
    pub fn unknown_operation(message: impl Into<String>) -> Self {
        Self::new(
            "UnknownOperationException",
            StatusCode::BAD_REQUEST,
            message,
            false,
        )
    }

    /// AWS has the operation, Escala has not (yet).
    pub fn not_implemented(service: Id, operation: &str) -> Self {
        let service = match service {
            Id::Comprehend => "Comprehend",
            Id::Rekognition => "Rekognition",
            Id::SageMaker => "SageMaker",
            Id::Logs => "CloudWatch Logs",
        };
        let message = format!(
            "The {service} operation {operation} is known but not part of this version of Escala."
        );
        Self::new(NOT_IMPLEMENTED, StatusCode::NOT_IMPLEMENTED, message, false)
    }

    /// A failure from before the door saw the request.
    pub(super) fn outside(code: &'static str, status: StatusCode, message: &str) -> Self {
        Self::new(code, status, message, false)
    }

    /// A defect of ours outside the engine.
    pub fn internal(cause: impl Into<String>) -> Self {
        let mut failure = Self::new(
            "InternalFailure",
            StatusCode::INTERNAL_SERVER_ERROR,
            SERVER_FAILED,
            false,
        );
        failure.cause = Some(Error::new(Kind::Internal, cause));
        failure
    }

    /// What SageMaker's operations answer instead.
    pub fn refused(refusal: Refusal) -> Self {
        let internal = refusal.code == escala_sagemaker::refusal::INTERNAL;
        let status = match internal {
            true => StatusCode::INTERNAL_SERVER_ERROR,
            false => StatusCode::BAD_REQUEST,
        };
        let modeled = !COMMON.contains(&refusal.code);
        Self::new(refusal.code, status, refusal.message, modeled)
    }

    /// What `operation` of `service` answers when the engine says `error`: the table above.
    pub fn of(service: Id, operation: &Operation, error: Error) -> Self {
        use Id::{Comprehend, Logs, Rekognition, SageMaker};
        let invalid = match service {
            Comprehend => "InvalidRequestException",
            Rekognition | Logs => "InvalidParameterException",
            SageMaker => VALIDATION,
        };
        let said = || error.message().to_owned();
        // Clients compare these two texts with AWS's word for word.
        const IMAGE_FORMAT: &str = "Request has invalid image format";
        const SLOW_DOWN: &str = "Slow down; sudden increase in rate of requests.";
        // AWS leaves it at the sentence; what is wrong follows it here.
        let because = |sentence: &str| format!("{sentence}: {}", error.message());
        let (code, message) = match (error.kind(), service) {
            // They ask no engine; what they refuse has words of its own ([`Failure::refused`]).
            (Kind::Overloaded, SageMaker | Logs) => ("ThrottlingException", SLOW_DOWN.to_owned()),
            (Kind::Deadline | Kind::Unavailable, _) => ("ServiceUnavailableException", said()),
            (Kind::Internal, SageMaker | Logs) => ("InternalFailure", SERVER_FAILED.to_owned()),
            (_, SageMaker | Logs) => (invalid, said()),
            (Kind::InvalidInput, Comprehend) => (invalid, said()),
            (Kind::InvalidInput, Rekognition) => {
                (invalid, because("Request has invalid parameters"))
            }
            (Kind::InvalidImage, Comprehend) => (invalid, said()),
            (Kind::InvalidImage, Rekognition) => {
                ("InvalidImageFormatException", IMAGE_FORMAT.to_owned())
            }
            (Kind::TooLarge, Comprehend) => ("TextSizeLimitExceededException", said()),
            (Kind::TooLarge, Rekognition) => {
                ("ImageTooLargeException", because("Image size is too large"))
            }
            (Kind::Unsupported, Comprehend) => ("UnsupportedLanguageException", said()),
            (Kind::Unsupported, Rekognition) => (invalid, said()),
            (Kind::NotFound, _) => ("ResourceNotFoundException", said()),
            (Kind::Overloaded, Comprehend) => ("ThrottlingException", "Rate exceeded".to_owned()),
            (Kind::Overloaded, Rekognition) => ("ThrottlingException", SLOW_DOWN.to_owned()),
            (Kind::Internal, Comprehend) => ("InternalServerException", SERVER_FAILED.to_owned()),
            (Kind::Internal, Rekognition) => ("InternalServerError", SERVER_FAILED.to_owned()),
        };
        let known = operation.declares(code) || COMMON.contains(&code);
        let code = if known { code } else { invalid };
        let status = match error.kind() {
            Kind::Deadline | Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        let mut failure = Self::new(code, status, message, !COMMON.contains(&code));
        failure.retry_after = error.retry_after();
        failure.cause = Some(error);
        failure
    }
}

/// What a caller is told of a defect; the log says the rest under the request's id.
const SERVER_FAILED: &str =
    "The server failed to answer; its log says why under the id of this request.";

/// Whether an error is about the one item of a batch; the others are about the moment or the server, and
/// the whole request is better tried again.
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

#[cfg(test)]
mod tests {
    use super::super::model::Models;
    use super::*;

    const KINDS: [Kind; 9] = [
        Kind::InvalidInput,
        Kind::InvalidImage,
        Kind::TooLarge,
        Kind::Unsupported,
        Kind::NotFound,
        Kind::Overloaded,
        Kind::Deadline,
        Kind::Unavailable,
        Kind::Internal,
    ];

    #[test]
    fn every_synchronous_operation_answers_codes_it_may_answer_with_the_status_of_the_model() {
        // The others ask no engine.
        let services = Models::get().expect("models are well-formed").services();
        for service in &services[..2] {
            // Operations whose errors have the synchronous ones among them.
            let synchronous = |operation: &&Operation| match service.id {
                Id::Comprehend => operation.declares("TextSizeLimitExceededException"),
                _ => operation.declares("InvalidImageFormatException"),
            };
            let mut seen = 0;
            for operation in service.operations().filter(synchronous) {
                for kind in KINDS {
                    let failure = Failure::of(service.id, operation, Error::new(kind, "why"));
                    assert!(
                        operation.declares(failure.code) || COMMON.contains(&failure.code),
                        "{}: {kind:?} is {}",
                        operation.name,
                        failure.code
                    );
                    if failure.modeled {
                        let status = service
                            .shape_named(failure.code)
                            .and_then(|shape| shape.error_status);
                        assert_eq!(status, Some(failure.status.as_u16()), "{}", failure.code);
                    }
                    seen += 1;
                }
            }
            assert!(seen >= 9 * 8, "{} operations found", seen / 9);
        }
    }

    #[test]
    fn defects_are_not_told_to_callers() {
        let service = &Models::get().expect("models are well-formed").services()[0];
        let operation = service.operation("DetectDominantLanguage").expect("known");
        let failure = Failure::of(
            service.id,
            operation,
            Error::new(Kind::Internal, "index 7 out of bounds"),
        );
        assert_eq!(
            (failure.code, failure.status.as_u16()),
            ("InternalServerException", 500)
        );
        assert!(!failure.message.contains("bounds"), "{}", failure.message);
        assert!(
            failure
                .cause
                .is_some_and(|cause| cause.message().contains("bounds"))
        );
    }

    #[test]
    fn when_to_try_again_is_kept() {
        let service = &Models::get().expect("models are well-formed").services()[1];
        let operation = service.operation("DetectLabels").expect("known");
        let full =
            Error::new(Kind::Overloaded, "queue full").with_retry_after(Duration::from_secs(2));
        let failure = Failure::of(service.id, operation, full);
        assert_eq!(
            (failure.code, failure.status.as_u16()),
            ("ThrottlingException", 400)
        );
        assert_eq!(failure.retry_after, Some(Duration::from_secs(2)));
    }
}
