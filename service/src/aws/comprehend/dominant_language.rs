//! `DetectDominantLanguage` and `BatchDetectDominantLanguage`.
//!
//! AWS advises at least 20 characters and does not refuse shorter texts; neither does Escala.

use super::document::{Rules, WHOLE};
use crate::aws::{Aws, number};
use escala_pipelines::Error;
use escala_pipelines::language::{Language, Languages};
use serde_json::{Value, json};

pub fn rules(aws: &Aws) -> Rules<'_, String, Languages> {
    Rules {
        most: WHOLE,
        languages: None,
        predictor: &*aws.language,
        input: |text, _| text.to_string(),
        output,
    }
}

fn output(_: &str, languages: Languages) -> Result<Value, Error> {
    let language = |language: &Language| {
        Ok(json!({"LanguageCode": language.code, "Score": number(language.score)?}))
    };
    let languages: Vec<Value> = languages
        .iter()
        .map(language)
        .collect::<Result<_, Error>>()?;
    Ok(json!({ "Languages": languages }))
}
