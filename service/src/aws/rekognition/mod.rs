//! Rekognition's operations.

mod detect_labels;
mod image;

use super::Aws;
use super::dispatch::{Call, typed};
use super::errors::Failure;
use escala_pipelines::Options;
use serde_json::Value;

/// The operations that have handlers.
pub const OPERATIONS: &[&str] = &["DetectLabels"];

/// A typed request.
pub enum Request {
    /// `DetectLabels`.
    DetectLabels(Box<detect_labels::Input>),
}

/// Makes a typed request of a validated input.
///
/// # Errors
/// The operation has no handler.
pub fn read(call: Call, input: Value) -> Result<Request, Failure> {
    Ok(match call.operation.name.as_str() {
        "DetectLabels" => Request::DetectLabels(typed(input)?),
        other => return Err(Failure::not_implemented(call.service.id, other)),
    })
}

/// Runs a request.
///
/// # Errors
/// What the operation answers instead of its output.
pub async fn run(
    aws: &Aws,
    call: Call,
    request: Request,
    options: Options,
) -> Result<Value, Failure> {
    match request {
        Request::DetectLabels(input) => detect_labels::run(aws, call, *input, options).await,
    }
}
