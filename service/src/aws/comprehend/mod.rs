//! Comprehend's operations.
//!
//! Sizes are counted in bytes of UTF-8, and "KB" is 1,000 bytes: the real service says "Max length of
//! request text allowed is 5000 bytes while in this request the text size is 5074 bytes".

mod dominant_language;

use super::Aws;
use super::dispatch::{Call, typed};
use super::errors::{Failure, concerns_the_item};
use escala_pipelines::{Error, Kind, Options};
use serde_json::{Value, json};

/// The operations that have handlers.
pub const OPERATIONS: &[&str] = &["DetectDominantLanguage", "BatchDetectDominantLanguage"];

/// A typed request.
pub enum Request {
    /// `DetectDominantLanguage`.
    DetectDominantLanguage(dominant_language::Single),
    /// `BatchDetectDominantLanguage`.
    BatchDetectDominantLanguage(dominant_language::Batch),
}

/// Makes a typed request of a validated input.
///
/// # Errors
/// The operation has no handler.
pub fn read(call: Call, input: Value) -> Result<Request, Failure> {
    Ok(match call.operation.name.as_str() {
        "DetectDominantLanguage" => Request::DetectDominantLanguage(typed(input)?),
        "BatchDetectDominantLanguage" => Request::BatchDetectDominantLanguage(typed(input)?),
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
        Request::DetectDominantLanguage(request) => {
            dominant_language::single(aws, call, request, options).await
        }
        Request::BatchDetectDominantLanguage(request) => {
            dominant_language::batch(aws, call, request, options).await
        }
    }
}

/// Most bytes of the text of a single-document operation that reads whole documents.
const DOCUMENT: usize = 100_000;
/// Most bytes of one document of a batch.
const BATCH_DOCUMENT: usize = 5_000;
/// Most documents of a batch.
const BATCH: usize = 25;

/// A text that an operation can work on.
///
/// # Errors
/// It is too long, or nothing but white space. (The real service documents no rule for the latter; an
/// invented answer would be worse than a refusal.)
fn readable(text: &str, most: usize) -> Result<(), Error> {
    let size = text.len();
    if size > most {
        let message = format!(
            "Input text size exceeds limit. Max length of request text allowed is {most} bytes while in this request \
             the text size is {size} bytes"
        );
        return Err(Error::new(Kind::TooLarge, message));
    }
    if text.chars().all(char::is_whitespace) {
        return Err(Error::new(
            Kind::InvalidInput,
            "The input text holds nothing but white space.",
        ));
    }
    Ok(())
}

/// Refuses a batch of too many documents, with the text of the real service.
fn batch_size(documents: usize) -> Result<(), Failure> {
    if documents <= BATCH {
        return Ok(());
    }
    let message = format!(
        "Please use a smaller number of items in a single batch. Maximum batch size is {BATCH}."
    );
    Err(Failure::declared(
        "BatchSizeLimitExceededException",
        message,
    ))
}

/// The answer of a batch: what succeeded in `ResultList`, what failed in `ErrorList`, both by index. An
/// error that is not about a document fails the whole request, so that the caller's SDK tries it again.
fn batch_answer(call: Call, outcomes: Vec<Result<Value, Error>>) -> Result<Value, Failure> {
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for (index, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(mut result) => {
                result["Index"] = index.into();
                results.push(result);
            }
            Err(error) if concerns_the_item(error.kind()) => {
                let code = item_code(error.kind());
                errors.push(
                    json!({"Index": index, "ErrorCode": code, "ErrorMessage": error.message()}),
                );
            }
            Err(error) => return Err(Failure::of(call.service.id, call.operation, error)),
        }
    }
    Ok(json!({"ResultList": results, "ErrorList": errors}))
}

/// `ErrorCode` of an item of `ErrorList`. The API reference calls it numeric, programs written against the
/// real service handle words such as `TEXT_SIZE_LIMIT_EXCEEDED`.
fn item_code(kind: Kind) -> &'static str {
    match kind {
        Kind::TooLarge => "TEXT_SIZE_LIMIT_EXCEEDED",
        Kind::Unsupported => "UNSUPPORTED_LANGUAGE",
        _ => "INVALID_REQUEST",
    }
}
