//! `DetectToxicContent`: labels and toxicity of several segments of one text.
//!
//! The answer leaves out `SEXUAL` and `GRAPHIC`, which the model knows nothing of: a constant in their place would
//! be read as a judgement.

use super::document::{readable, supported, unanswered};
use crate::aws::dispatch::Call;
use crate::aws::errors::Failure;
use crate::aws::{Aws, number};
use escala_pipelines::toxicity::{LANGUAGES, Toxicity};
use escala_pipelines::{Error, Kind, Options};
use serde::Deserialize;
use serde_json::{Value, json};

/// Most segments of a request.
const SEGMENTS: usize = 10;
/// Most bytes of a segment; ten of them are the most that the real service takes in a request.
const SEGMENT: usize = 1_000;

/// `DetectToxicContentRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Request {
    text_segments: Vec<Segment>,
    language_code: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Segment {
    text: String,
}

/// Answers a request: one result a segment, in order.
///
/// # Errors
/// What the operation answers instead. It has no list of errors, so one segment that fails fails the request.
pub async fn answer(
    aws: &Aws,
    call: Call,
    request: Request,
    options: Options,
) -> Result<Value, Failure> {
    let fail = |error| Failure::of(call.service.id, call.operation, error);
    supported(call, Some(LANGUAGES), &request.language_code)?;
    let segments = request.text_segments;
    if segments.len() > SEGMENTS {
        let message = format!(
            "There are {} text segments; at most {SEGMENTS} are taken.",
            segments.len()
        );
        return Err(fail(Error::new(Kind::InvalidInput, message)));
    }
    for segment in &segments {
        readable(&segment.text, SEGMENT).map_err(fail)?;
    }
    let count = segments.len();
    let inputs = segments.into_iter().map(|s| s.text.into()).collect();
    let answers = aws.toxicity.predict_many(inputs, options).await;
    if answers.len() != count {
        return Err(fail(unanswered()));
    }
    let results = answers.into_iter().map(|answer| result(&answer?));
    let results = results.collect::<Result<Vec<_>, Error>>().map_err(fail)?;
    Ok(json!({ "ResultList": results }))
}

fn result(toxicity: &Toxicity) -> Result<Value, Error> {
    let label = |(kind, score): &(escala_pipelines::toxicity::ToxicKind, f32)| {
        Ok(json!({"Name": kind.name(), "Score": number(*score)?}))
    };
    let labels = toxicity.labels.iter().map(label);
    Ok(json!({
        "Labels": labels.collect::<Result<Vec<Value>, Error>>()?,
        "Toxicity": number(toxicity.toxicity)?,
    }))
}
