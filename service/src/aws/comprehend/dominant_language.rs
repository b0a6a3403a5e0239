//! `DetectDominantLanguage` and `BatchDetectDominantLanguage`.
//!
//! AWS advises at least 20 characters and does not refuse shorter texts; neither does Escala.

use super::{BATCH_DOCUMENT, DOCUMENT, batch_answer, batch_size, readable};
use crate::aws::Aws;
use crate::aws::dispatch::Call;
use crate::aws::errors::Failure;
use crate::aws::number;
use escala_pipelines::language::Languages;
use escala_pipelines::{Error, Kind, Options};
use serde::Deserialize;
use serde_json::{Value, json};

/// `DetectDominantLanguageRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Single {
    text: String,
}

/// `BatchDetectDominantLanguageRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Batch {
    text_list: Vec<String>,
}

pub async fn single(
    aws: &Aws,
    call: Call,
    request: Single,
    options: Options,
) -> Result<Value, Failure> {
    let fail = |error| Failure::of(call.service.id, call.operation, error);
    readable(&request.text, DOCUMENT).map_err(fail)?;
    let answer = aws
        .language
        .predict_many(vec![request.text], options)
        .await
        .pop();
    let languages = answer.unwrap_or_else(|| Err(unanswered())).map_err(fail)?;
    output(&languages).map_err(fail)
}

pub async fn batch(
    aws: &Aws,
    call: Call,
    request: Batch,
    options: Options,
) -> Result<Value, Failure> {
    batch_size(request.text_list.len())?;
    let refusals: Vec<Option<Error>> = request
        .text_list
        .iter()
        .map(|text| readable(text, BATCH_DOCUMENT).err())
        .collect();
    let texts = request
        .text_list
        .into_iter()
        .zip(&refusals)
        .filter(|(_, refusal)| refusal.is_none());
    let texts: Vec<String> = texts.map(|(text, _)| text).collect();
    let mut answers = match texts.is_empty() {
        true => Vec::new(),
        false => aws.language.predict_many(texts, options).await,
    }
    .into_iter();
    let outcomes = refusals.into_iter().map(|refusal| match refusal {
        Some(error) => Err(error),
        None => output(&answers.next().unwrap_or_else(|| Err(unanswered()))?),
    });
    batch_answer(call, outcomes.collect())
}

fn output(languages: &Languages) -> Result<Value, Error> {
    let language = |language: &escala_pipelines::language::Language| {
        Ok(json!({"LanguageCode": language.code, "Score": number(language.score)?}))
    };
    let languages: Vec<Value> = languages
        .iter()
        .map(language)
        .collect::<Result<_, Error>>()?;
    Ok(json!({ "Languages": languages }))
}

fn unanswered() -> Error {
    Error::new(
        Kind::Internal,
        "the engine answered fewer items than it was given",
    )
}
