//! `DetectPiiEntities` and `ContainsPiiEntities`.

use super::document::{Rules, WHOLE};
use crate::aws::{Aws, number};
use escala_pipelines::Error;
use escala_pipelines::pii::{LANGUAGES, Pii, PiiInput, labels};
use serde_json::{Value, json};

/// How an operation shows what was found in a text.
type Output = fn(&str, Pii) -> Result<Value, Error>;

fn rules(aws: &Aws, output: Output) -> Rules<'_, PiiInput, Pii> {
    Rules {
        most: WHOLE,
        languages: Some(LANGUAGES),
        predictor: &*aws.pii,
        input: match aws.pii_extensions {
            true => |text, language| PiiInput::new(text, language).extended(true),
            false => |text, language| PiiInput::new(text, language),
        },
        output,
    }
}

pub fn detect(aws: &Aws) -> Rules<'_, PiiInput, Pii> {
    rules(aws, |_, found| {
        let entities = found.iter().map(|entity| {
            Ok(json!({
                "Type": entity.kind.name(),
                "Score": number(entity.score)?,
                "BeginOffset": entity.extent.begin,
                "EndOffset": entity.extent.end,
            }))
        });
        Ok(json!({"Entities": entities.collect::<Result<Vec<_>, Error>>()?}))
    })
}

pub fn contains(aws: &Aws) -> Rules<'_, PiiInput, Pii> {
    rules(aws, |_, found| {
        let labels = labels(&found)
            .into_iter()
            .map(|(kind, score)| Ok(json!({"Name": kind.name(), "Score": number(score)?})));
        Ok(json!({"Labels": labels.collect::<Result<Vec<_>, Error>>()?}))
    })
}
