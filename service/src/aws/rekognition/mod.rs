//! Rekognition's operations.

mod celebrities;
mod collections;
mod detect_labels;
mod equipment;
mod faces;
mod image;
pub mod media;
mod moderation;
mod words;

use super::Aws;
use super::dispatch::{Call, typed};
use super::errors::Failure;
use escala_pipelines::Options;
use escala_sagemaker::Caller;
use serde_json::Value;

/// The operations that have handlers.
pub const OPERATIONS: &[&str] = &[
    "DetectLabels",
    "DetectFaces",
    "CompareFaces",
    "DetectText",
    "DetectModerationLabels",
    "DetectProtectiveEquipment",
    "RecognizeCelebrities",
    "GetCelebrityInfo",
    "CreateCollection",
    "DescribeCollection",
    "ListCollections",
    "DeleteCollection",
    "IndexFaces",
    "ListFaces",
    "DeleteFaces",
    "SearchFaces",
    "SearchFacesByImage",
    "CreateUser",
    "DeleteUser",
    "ListUsers",
    "AssociateFaces",
    "DisassociateFaces",
    "SearchUsers",
    "SearchUsersByImage",
    "TagResource",
    "UntagResource",
    "ListTagsForResource",
    "StartMediaAnalysisJob",
    "GetMediaAnalysisJob",
    "ListMediaAnalysisJobs",
];

/// A typed request.
pub enum Request {
    /// `DetectLabels`.
    DetectLabels(Box<detect_labels::Input>),
    /// `DetectFaces`.
    DetectFaces(Box<faces::DetectFaces>),
    /// `CompareFaces`.
    CompareFaces(Box<faces::CompareFaces>),
    /// `DetectText`.
    DetectText(Box<words::DetectText>),
    /// `DetectModerationLabels`.
    DetectModerationLabels(Box<moderation::DetectModerationLabels>),
    /// `DetectProtectiveEquipment`.
    DetectProtectiveEquipment(Box<equipment::DetectProtectiveEquipment>),
    /// `RecognizeCelebrities`.
    RecognizeCelebrities(Box<celebrities::RecognizeCelebrities>),
    /// `GetCelebrityInfo`.
    GetCelebrityInfo(Box<celebrities::GetCelebrityInfo>),
    /// One of the operations on jobs.
    Media(media::Request),
    /// One of the operations on collections.
    Collections(Box<collections::Input>),
}

/// Makes a typed request of a validated input.
///
/// # Errors
/// The operation has no handler, or what it is asked is not part of this version of Escala.
pub fn read(call: Call, input: Value) -> Result<Request, Failure> {
    if let Some(request) = media::read(call, &input)? {
        return Ok(Request::Media(request));
    }
    Ok(match call.operation.name.as_str() {
        "DetectLabels" => Request::DetectLabels(typed(input)?),
        "DetectFaces" => Request::DetectFaces(typed(input)?),
        "CompareFaces" => Request::CompareFaces(typed(input)?),
        "DetectText" => Request::DetectText(typed(input)?),
        "DetectModerationLabels" => Request::DetectModerationLabels(typed(input)?),
        "DetectProtectiveEquipment" => Request::DetectProtectiveEquipment(typed(input)?),
        "RecognizeCelebrities" => Request::RecognizeCelebrities(typed(input)?),
        "GetCelebrityInfo" => Request::GetCelebrityInfo(typed(input)?),
        // All others are on collections.
        name if OPERATIONS.contains(&name) => Request::Collections(typed(input)?),
        other => return Err(Failure::not_implemented(call.service.id, other)),
    })
}

/// Runs a request.
///
/// # Errors
/// What the operation answers instead of its output.
pub async fn run(
    aws: &Aws,
    caller: &Caller,
    call: Call,
    request: Request,
    options: Options,
) -> Result<Value, Failure> {
    match request {
        Request::DetectLabels(input) => detect_labels::run(aws, call, *input, options).await,
        Request::DetectFaces(input) => faces::detect(aws, call, *input, options).await,
        Request::CompareFaces(input) => faces::compare(aws, call, *input, options).await,
        Request::DetectText(input) => words::detect(aws, call, *input, options).await,
        Request::DetectModerationLabels(input) => {
            moderation::detect(aws, call, *input, options).await
        }
        Request::DetectProtectiveEquipment(input) => {
            equipment::detect(aws, call, *input, options).await
        }
        Request::RecognizeCelebrities(input) => {
            celebrities::recognise(aws, call, *input, options).await
        }
        Request::GetCelebrityInfo(input) => celebrities::info(aws, call, *input).await,
        Request::Media(request) => media::run(aws, call, request, options).await,
        Request::Collections(input) => collections::run(aws, caller, call, *input, options).await,
    }
}
