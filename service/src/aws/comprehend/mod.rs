//! Comprehend's operations.
//!
//! [`document`] holds what they share; a file for each group of operations holds how it asks and answers.
//! Sizes are counted in bytes of UTF-8, and "KB" is 1,000 bytes: the real service says "Max length of
//! request text allowed is 5000 bytes while in this request the text size is 5074 bytes".

mod document;
mod dominant_language;
pub mod jobs;
mod pii;
mod sentiment;
mod syntax;
mod targeted;
mod toxic;

use super::Aws;
use super::dispatch::{Call, typed};
use super::errors::Failure;
use document::Form;
use escala_pipelines::Options;
use escala_sagemaker::Caller;
use serde_json::Value;

/// The operations that have handlers.
pub const OPERATIONS: &[&str] = &[
    "DetectDominantLanguage",
    "DetectEntities",
    "DetectKeyPhrases",
    "DetectSentiment",
    "DetectSyntax",
    "DetectTargetedSentiment",
    "DetectPiiEntities",
    "ContainsPiiEntities",
    "DetectToxicContent",
    "BatchDetectDominantLanguage",
    "BatchDetectEntities",
    "BatchDetectKeyPhrases",
    "BatchDetectSentiment",
    "BatchDetectSyntax",
    "BatchDetectTargetedSentiment",
    "StartDominantLanguageDetectionJob",
    "DescribeDominantLanguageDetectionJob",
    "ListDominantLanguageDetectionJobs",
    "StopDominantLanguageDetectionJob",
    "StartEntitiesDetectionJob",
    "DescribeEntitiesDetectionJob",
    "ListEntitiesDetectionJobs",
    "StopEntitiesDetectionJob",
    "StartKeyPhrasesDetectionJob",
    "DescribeKeyPhrasesDetectionJob",
    "ListKeyPhrasesDetectionJobs",
    "StopKeyPhrasesDetectionJob",
    "StartSentimentDetectionJob",
    "DescribeSentimentDetectionJob",
    "ListSentimentDetectionJobs",
    "StopSentimentDetectionJob",
    "StartTargetedSentimentDetectionJob",
    "DescribeTargetedSentimentDetectionJob",
    "ListTargetedSentimentDetectionJobs",
    "StopTargetedSentimentDetectionJob",
    "StartPiiEntitiesDetectionJob",
    "DescribePiiEntitiesDetectionJob",
    "ListPiiEntitiesDetectionJobs",
    "StopPiiEntitiesDetectionJob",
    "StartTopicsDetectionJob",
    "DescribeTopicsDetectionJob",
    "ListTopicsDetectionJobs",
];

/// What an operation reads in documents.
#[derive(Clone, Copy, Debug)]
enum View {
    Language,
    Entities,
    KeyPhrases,
    Sentiment,
    Syntax,
    Targeted,
    Pii,
    PiiLabels,
}

/// A typed request.
pub struct Request(About);

enum About {
    Documents { view: View, form: Form },
    Segments(toxic::Request),
    Jobs(jobs::Request),
}

/// Makes a typed request of a validated input.
///
/// # Errors
/// The operation has no handler, or what it is asked is not part of this version of Escala.
pub fn read(call: Call, input: Value) -> Result<Request, Failure> {
    let name = call.operation.name.as_str();
    if name == "DetectToxicContent" {
        return Ok(Request(About::Segments(typed(input)?)));
    }
    if let Some(request) = jobs::read(call, &input)? {
        return Ok(Request(About::Jobs(request)));
    }
    let view = match name.strip_prefix("Batch").unwrap_or(name) {
        "DetectDominantLanguage" => View::Language,
        "DetectEntities" => View::Entities,
        "DetectKeyPhrases" => View::KeyPhrases,
        "DetectSentiment" => View::Sentiment,
        "DetectSyntax" => View::Syntax,
        "DetectTargetedSentiment" => View::Targeted,
        "DetectPiiEntities" => View::Pii,
        "ContainsPiiEntities" => View::PiiLabels,
        _ => return Err(Failure::not_implemented(call.service.id, name)),
    };
    let form = if name.starts_with("Batch") {
        Form::Batch(typed(input)?)
    } else if matches!(view, View::Entities) {
        Form::Single(typed::<syntax::Entities>(input)?.plain(call)?)
    } else {
        Form::Single(typed(input)?)
    };
    Ok(Request(About::Documents { view, form }))
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
    let (view, mut form) = match request.0 {
        About::Documents { view, form } => (view, form),
        About::Segments(request) => return toxic::answer(aws, call, request, options).await,
        About::Jobs(request) => return jobs::run(aws, caller, call, request).await,
    };
    if let Some(most) = aws.long_texts {
        form.allow(most);
    }
    match view {
        View::Language => {
            dominant_language::rules(aws)
                .answer(call, form, options)
                .await
        }
        View::Entities => syntax::entities(aws).answer(call, form, options).await,
        View::KeyPhrases => syntax::key_phrases(aws).answer(call, form, options).await,
        View::Sentiment => sentiment::rules(aws).answer(call, form, options).await,
        View::Syntax => syntax::tokens(aws).answer(call, form, options).await,
        View::Targeted => targeted::rules(aws).answer(call, form, options).await,
        View::Pii => pii::detect(aws).answer(call, form, options).await,
        View::PiiLabels => pii::contains(aws).answer(call, form, options).await,
    }
}
