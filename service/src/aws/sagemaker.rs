//! SageMaker's operations and those of CloudWatch Logs: handed to [`escala_sagemaker`], on a thread that may wait for the disk.

use super::Aws;
use super::dispatch::Call;
use super::errors::Failure;
use super::model::Id;
use escala_pipelines::{Error, Kind};
use escala_sagemaker::Caller;
use serde_json::Value;

/// Runs an operation.
///
/// # Errors
/// What it answers instead of its output.
pub async fn run(aws: &Aws, caller: Caller, call: Call, input: Value) -> Result<Value, Failure> {
    let Some(sagemaker) = aws.sagemaker.clone() else {
        let none = Error::new(
            Kind::Unavailable,
            "This server keeps nothing of SageMaker's; its log says why.",
        );
        return Err(Failure::of(call.service.id, call.operation, none));
    };
    let answered = super::away(move || {
        let name = call.operation.name.as_str();
        let answered = match call.service.id {
            Id::Logs => sagemaker.logs().call(&caller, name, &input),
            _ => sagemaker.call(&caller, name, input),
        };
        answered.map_err(Failure::refused)
    });
    answered.await
}
