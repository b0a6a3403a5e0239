//! What the operations on texts share: the request, one answer or a list, and the languages.

use super::call::{
    Call, Media, Texts, check_text_within, check_texts_within, predict_list, predict_one,
};
use super::error::ItemError;
use super::list::List;
use crate::app::{App, Predict};
use crate::failure::Failure;
use escala_pipelines::offsets::Extent;
use escala_pipelines::{Kind, Options};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// One text or a list of texts, all in one language.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TextRequest {
    /// One text. Give this or `texts`.
    #[schema(example = "Ada Lovelace was born in London on 10 December 1815.")]
    text: Option<String>,
    /// Texts, answered in order. Give this or `text`.
    #[schema(value_type = Option<Vec<String>>)]
    texts: Option<List<String>>,
    /// Their language; `en` when left out.
    #[schema(example = "en")]
    language: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextQuery {
    language: Option<String>,
}

/// The answer to one item of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Item<A> {
    /// It has one.
    Answer(A),
    /// It failed alone.
    Failed {
        /// Why.
        error: ItemError,
    },
}

/// An answer for `text`, results for `texts`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Response<A> {
    /// For `text`.
    One(A),
    /// For `texts`.
    Many {
        /// One for each text, in order.
        results: Vec<Item<A>>,
    },
}

/// A part of a text.
#[derive(Debug, Serialize, ToSchema)]
pub struct Part {
    /// The part itself.
    #[schema(example = "London")]
    pub text: String,
    /// Its first character, counted in Unicode code points.
    pub begin: usize,
    /// The character after its last.
    pub end: usize,
    /// Its first byte of UTF-8.
    pub begin_byte: usize,
    /// The byte after its last.
    pub end_byte: usize,
}

impl Part {
    /// What stands at an extent of a text.
    pub fn of(text: &str, extent: Extent) -> Self {
        Self {
            text: extent.of(text).to_owned(),
            begin: extent.begin,
            end: extent.end,
            begin_byte: extent.begin_byte,
            end_byte: extent.end_byte,
        }
    }
}

/// Refuses a language that a model does not read.
///
/// # Errors
/// 400 with the languages that it reads.
pub fn check_language(language: &str, known: Option<&[&str]>) -> Result<(), Failure> {
    let Some(known) = known.filter(|known| !known.contains(&language)) else {
        return Ok(());
    };
    let language: String = language.chars().take(20).collect();
    let message = format!(
        "there is no model for the language `{language}`; there is one for {}",
        known.join(", ")
    );
    Err(Failure::of_kind(Kind::Unsupported, message).at("language"))
}

/// How an operation asks about texts and shows the answers.
pub struct Rules<'a, I, O, A> {
    /// Languages that the model reads; `None` when the operation is not told a language.
    pub languages: Option<&'static [&'static str]>,
    /// Whom it asks.
    pub predictor: &'a dyn Predict<I, O>,
    /// What it asks about a text in a language.
    pub input: fn(Arc<str>, &str) -> I,
    /// The answer about a text.
    pub output: fn(&str, O) -> A,
}

impl<I: Send, O, A> Rules<'_, I, O, A> {
    /// Reads a [`TextRequest`], or a text with its language in the query, and answers it.
    ///
    /// # Errors
    /// Those of [`crate::failure`].
    pub async fn call(&self, app: &App, call: Call) -> Result<Response<A>, Failure> {
        let (texts, language) = match call.media {
            Media::Json => {
                let request: TextRequest = call.json().await?;
                (Texts::of(request.text, request.texts)?, request.language)
            }
            Media::Text => {
                let query: TextQuery = call.query()?;
                (Texts::One(call.text()?), query.language)
            }
            _ => return Err(call.unsupported("application/json or text/plain")),
        };
        let language = language.as_deref().unwrap_or("en");
        self.answer(app, texts, language, call.options).await
    }

    /// Answers about texts in a language.
    ///
    /// # Errors
    /// Those of [`crate::failure`].
    pub async fn answer(
        &self,
        app: &App,
        texts: Texts,
        language: &str,
        options: Options,
    ) -> Result<Response<A>, Failure> {
        check_language(language, self.languages)?;
        let limits = &app.config.limits;
        let most = match self.predictor.reads_long_texts() {
            true => limits.rest_text,
            false => limits.text,
        };
        match texts {
            Texts::One(text) => {
                let text: Arc<str> = check_text_within(text, most)?.into();
                let input = (self.input)(text.clone(), language);
                let answer = predict_one(self.predictor, input, options).await?;
                Ok(Response::One((self.output)(&text, answer)))
            }
            Texts::Many(texts) => {
                let texts = check_texts_within(texts, limits, most)?;
                let texts: Vec<Arc<str>> = texts.into_iter().map(Arc::from).collect();
                let input = |text: &Arc<str>| (self.input)(text.clone(), language);
                let inputs = texts.iter().map(input).collect();
                let results = predict_list(self.predictor, inputs, options).await?;
                // The language is the whole request's, and so is that there is no model for it.
                let unread = |failure: &&Failure| failure.code == "unsupported";
                let mut failures = results.iter().filter_map(|result| result.as_ref().err());
                if let Some(failure) = failures.find(unread).filter(|_| self.languages.is_some()) {
                    return Err(failure.clone().at("language"));
                }
                let item = |(text, result): (&Arc<str>, Result<O, Failure>)| match result {
                    Ok(answer) => Item::Answer((self.output)(text, answer)),
                    Err(failure) => Item::Failed {
                        error: failure.into(),
                    },
                };
                Ok(Response::Many {
                    results: texts.iter().zip(results).map(item).collect(),
                })
            }
        }
    }
}
