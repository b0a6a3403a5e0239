//! From an operation's name and its input to its output, whatever protocol carried them.
//!
//! [`find`] → [`read`] → [`run`]. A codec of another protocol (Comprehend's model lists `rpc-v2-cbor`
//! first by now) has to bring the name and a value, and render what comes back.

use super::errors::Failure;
use super::model::Id;
use super::model::{Models, Operation, Service};
use super::{Aws, comprehend, rekognition, sagemaker, validate};
use escala_pipelines::Options;
use escala_sagemaker::Caller;
use serde_json::Value;

/// An operation that a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The service.
    pub service: &'static Service,
    /// The operation.
    pub operation: &'static Operation,
}

/// A request, validated and typed.
pub enum Request {
    /// One of Comprehend's.
    Comprehend(comprehend::Request),
    /// One of Rekognition's.
    Rekognition(rekognition::Request),
    /// One of SageMaker's or of CloudWatch Logs', as it came.
    SageMaker(Value),
}

/// The service of a target prefix.
///
/// # Errors
/// None of the services has it.
pub fn service(prefix: &str) -> Result<&'static Service, Failure> {
    let models = Models::get().map_err(|error| Failure::internal(error.to_string()))?;
    let unknown = || {
        Failure::unknown_operation(
            "The header X-Amz-Target names a service that is not part of this version of Escala.",
        )
    };
    models.by_target_prefix(prefix).ok_or_else(unknown)
}

/// The operation of a name.
///
/// # Errors
/// The service has no such operation.
pub fn find(service: &'static Service, operation: &str) -> Result<Call, Failure> {
    if let Some(other) = service.other(operation) {
        return Err(Failure::not_implemented(service.id, other));
    }
    let unknown =
        || Failure::unknown_operation(format!("{} has no such operation.", service.id.name()));
    service
        .operation(operation)
        .map(|operation| Call { service, operation })
        .ok_or_else(unknown)
}

impl Call {
    /// Whether Escala has a handler for it.
    pub fn is_implemented(self) -> bool {
        let name = self.operation.name.as_str();
        match self.service.id {
            Id::Comprehend => comprehend::OPERATIONS.contains(&name),
            Id::Rekognition => rekognition::OPERATIONS.contains(&name),
            // Their models have the shapes of those that have handlers.
            Id::SageMaker | Id::Logs => true,
        }
    }
}

/// Validates an input against the service model and makes a typed request of it.
///
/// # Errors
/// The input breaks the model, or Escala has no handler for the operation.
pub fn read(call: Call, input: Value) -> Result<Request, Failure> {
    validate::input(call.service, call.operation.input, &input).map_err(
        |invalid| match invalid {
            validate::Invalid::Serialization(_) => Failure::serialization(invalid.message()),
            validate::Invalid::Constraints(_) => Failure::validation(invalid.message()),
        },
    )?;
    match call.service.id {
        Id::Comprehend => comprehend::read(call, input).map(Request::Comprehend),
        Id::Rekognition => rekognition::read(call, input).map(Request::Rekognition),
        Id::SageMaker | Id::Logs => Ok(Request::SageMaker(input)),
    }
}

/// Runs a request.
///
/// # Errors
/// What the operation answers instead of its output.
pub async fn run(
    aws: &Aws,
    caller: Caller,
    call: Call,
    request: Request,
    options: Options,
) -> Result<Value, Failure> {
    match request {
        Request::Comprehend(request) => comprehend::run(aws, &caller, call, request, options).await,
        Request::Rekognition(request) => {
            rekognition::run(aws, &caller, call, request, options).await
        }
        Request::SageMaker(input) => sagemaker::run(aws, caller, call, input).await,
    }
}

/// Reads a validated input into its struct. The model has checked it, so that a failure here means that
/// the struct and the model disagree: a defect, answered as one.
pub(super) fn typed<T: serde::de::DeserializeOwned>(input: Value) -> Result<T, Failure> {
    serde_json::from_value(input)
        .map_err(|error| Failure::internal(format!("a validated request does not fit: {error}")))
}
