//! `DetectSyntax`, `DetectEntities`, `DetectKeyPhrases` and their batch forms: three views of one reading.
//!
//! Offsets count Unicode code points. Tokens are numbered from 1, as the real service numbers them.

use super::document::{Rules, SHORT, Single, WHOLE};
use crate::aws::dispatch::Call;
use crate::aws::errors::Failure;
use crate::aws::{Aws, number};
use escala_pipelines::offsets::Extent;
use escala_pipelines::syntax::{LANGUAGES, Syntax, SyntaxInput};
use escala_pipelines::{Error, Kind};
use serde::Deserialize;
use serde_json::{Value, json};

/// How an operation shows a reading of a text.
type Output = fn(&str, Syntax) -> Result<Value, Error>;

fn rules(aws: &Aws, most: usize, output: Output) -> Rules<'_, SyntaxInput, Syntax> {
    Rules {
        most,
        languages: Some(LANGUAGES),
        predictor: &*aws.syntax,
        input: SyntaxInput::new,
        output,
    }
}

pub fn tokens(aws: &Aws) -> Rules<'_, SyntaxInput, Syntax> {
    rules(aws, SHORT, |text, syntax| {
        let token = |(index, token): (usize, &escala_pipelines::syntax::Token)| {
            let tag = json!({"Tag": token.part_of_speech.name(), "Score": number(token.score)?});
            Ok(placed(
                text,
                token.extent,
                json!({"TokenId": index + 1, "PartOfSpeech": tag}),
            ))
        };
        let tokens = syntax.tokens.iter().enumerate().map(token);
        Ok(json!({"SyntaxTokens": tokens.collect::<Result<Vec<_>, Error>>()?}))
    })
}

pub fn entities(aws: &Aws) -> Rules<'_, SyntaxInput, Syntax> {
    rules(aws, WHOLE, |text, syntax| {
        let entities = syntax.entities.iter().map(|entity| {
            let members = json!({"Type": entity.kind.name(), "Score": number(entity.score)?});
            Ok(placed(text, entity.extent, members))
        });
        Ok(json!({"Entities": entities.collect::<Result<Vec<_>, Error>>()?}))
    })
}

pub fn key_phrases(aws: &Aws) -> Rules<'_, SyntaxInput, Syntax> {
    rules(aws, WHOLE, |text, syntax| {
        let phrases = syntax.key_phrases.iter().map(|phrase| {
            let members = json!({"Score": number(phrase.score)?});
            Ok(placed(text, phrase.extent, members))
        });
        Ok(json!({"KeyPhrases": phrases.collect::<Result<Vec<_>, Error>>()?}))
    })
}

/// Members with those that say where something stands.
fn placed(text: &str, extent: Extent, mut members: Value) -> Value {
    members["Text"] = extent.of(text).into();
    members["BeginOffset"] = extent.begin.into();
    members["EndOffset"] = extent.end.into();
    members
}

/// `DetectEntitiesRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Entities {
    text: Option<String>,
    language_code: Option<String>,
    endpoint_arn: Option<String>,
    bytes: Option<Value>,
}

impl Entities {
    /// The request about a text that it makes.
    ///
    /// # Errors
    /// It asks for a custom recogniser or brings a file (neither is part of this version of Escala), or has no
    /// text or no language.
    pub fn plain(self, call: Call) -> Result<Single, Failure> {
        let invalid = |message: &str| {
            let error = Error::new(Kind::InvalidInput, message);
            Failure::of(call.service.id, call.operation, error)
        };
        if self.endpoint_arn.is_some() {
            return Err(Failure::declared(
                "ResourceUnavailableException",
                "Custom entity recognizers and their endpoints are not part of this version of Escala; leave out \
                 EndpointArn to use the built-in model.",
            ));
        }
        match (self.text, self.bytes) {
            (Some(_), Some(_)) => Err(invalid("Give either Text or Bytes, not both.")),
            (None, None) => Err(invalid("Text is missing.")),
            (None, Some(_)) => Err(invalid(
                "Documents in Bytes (PDF, Word, images) are for custom entity recognizers, which are not part of \
                 this version of Escala; send their text in Text.",
            )),
            (Some(_), None) if self.language_code.is_none() => {
                Err(invalid("LanguageCode is missing."))
            }
            (Some(text), None) => Ok(Single::new(text, self.language_code)),
        }
    }
}
