//! What the operations on documents share: their two forms, limits, languages and lists of errors.
//!
//! An operation brings its [`Rules`], how to ask the engine about a text, and how to show the answer; the
//! single and the batch form differ in nothing else.

use crate::app::Predict;
use crate::aws::dispatch::Call;
use crate::aws::errors::{Failure, concerns_the_item};
use escala_pipelines::{Error, Kind, Options};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Most bytes of the text of an operation that reads whole documents.
pub const WHOLE: usize = 100_000;
/// Most bytes of the text of an operation that reads sentences, and of any document of a batch.
pub const SHORT: usize = 5_000;
/// Most documents of a batch.
const BATCH: usize = 25;

/// A request about one document.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Single {
    text: String,
    language_code: Option<String>,
    #[serde(skip)]
    most: Option<usize>,
}

impl Single {
    /// A request about this text.
    pub fn new(text: String, language_code: Option<String>) -> Self {
        Self {
            text,
            language_code,
            most: None,
        }
    }
}

/// A request about several documents in one language.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Batch {
    text_list: Vec<String>,
    language_code: Option<String>,
    #[serde(skip)]
    most: Option<usize>,
}

/// A request in one of the two forms.
pub enum Form {
    /// About one document.
    Single(Single),
    /// About several.
    Batch(Batch),
}

impl Form {
    /// Takes texts of up to so many bytes, which AWS refuses; for models that read texts of any length.
    pub fn allow(&mut self, most: usize) {
        match self {
            Self::Single(request) => request.most = Some(most),
            Self::Batch(request) => request.most = Some(most),
        }
    }
}

/// What an operation takes, how it asks, and how it shows the answer.
pub struct Rules<'a, I, O> {
    /// Most bytes of the text of the single form.
    pub most: usize,
    /// Languages that the model reads; `None` when the operation is not told a language.
    pub languages: Option<&'static [&'static str]>,
    /// Whom it asks.
    pub predictor: &'a dyn Predict<I, O>,
    /// What it asks about a text in a language (empty when it is not told one).
    pub input: fn(Arc<str>, &str) -> I,
    /// The members of the answer about a text.
    pub output: fn(&str, O) -> Result<Value, Error>,
}

impl<I: Send, O> Rules<'_, I, O> {
    /// Answers a request in either form.
    ///
    /// # Errors
    /// What the operation answers instead.
    pub async fn answer(&self, call: Call, form: Form, options: Options) -> Result<Value, Failure> {
        match form {
            Form::Single(request) => self.single(call, request, options).await,
            Form::Batch(request) => self.batch(call, request, options).await,
        }
    }

    /// Most bytes of a text: AWS's limit, or a higher one where the settings and the model allow it.
    fn most(&self, allowed: Option<usize>, aws: usize) -> usize {
        let allowed = allowed.filter(|_| self.predictor.reads_long_texts());
        allowed.map_or(aws, |allowed| allowed.max(aws))
    }

    async fn single(
        &self,
        call: Call,
        request: Single,
        options: Options,
    ) -> Result<Value, Failure> {
        let fail = |error| Failure::of(call.service.id, call.operation, error);
        let language = request.language_code.as_deref().unwrap_or_default();
        supported(call, self.languages, language)?;
        let most = self.most(request.most, self.most);
        readable(&request.text, most).map_err(fail)?;
        let text: Arc<str> = request.text.into();
        let input = (self.input)(text.clone(), language);
        let answer = self
            .predictor
            .predict_many(vec![input], options)
            .await
            .pop();
        let answer = answer.unwrap_or_else(|| Err(unanswered())).map_err(fail)?;
        (self.output)(&text, answer).map_err(fail)
    }

    /// The members of the answer about each text, in order. Those that cannot be worked on are not asked about.
    pub async fn documents(
        &self,
        texts: Vec<Arc<str>>,
        language: &str,
        most: usize,
        options: Options,
    ) -> Vec<Result<Value, Error>> {
        let texts: Vec<Result<Arc<str>, Error>> = texts
            .into_iter()
            .map(|text| readable(&text, most).map(|()| text))
            .collect();
        let inputs: Vec<I> = texts
            .iter()
            .flatten()
            .map(|text| (self.input)(text.clone(), language))
            .collect();
        let mut answers = match inputs.is_empty() {
            true => Vec::new(),
            false => self.predictor.predict_many(inputs, options).await,
        }
        .into_iter();
        let answer = |text: Result<Arc<str>, Error>| {
            let text = text?;
            let answer = answers.next().unwrap_or_else(|| Err(unanswered()))?;
            (self.output)(&text, answer)
        };
        texts.into_iter().map(answer).collect()
    }

    /// What succeeded in `ResultList`, what failed in `ErrorList`, both by index. An error that is not about a
    /// document fails the whole request, so that the caller's SDK tries it again.
    async fn batch(&self, call: Call, request: Batch, options: Options) -> Result<Value, Failure> {
        batch_size(request.text_list.len())?;
        let language = request.language_code.as_deref().unwrap_or_default();
        supported(call, self.languages, language)?;
        let most = self.most(request.most, SHORT);
        let texts = request.text_list.into_iter().map(Arc::from).collect();
        let answers = self.documents(texts, language, most, options).await;
        let (mut results, mut errors) = (Vec::new(), Vec::new());
        for (index, outcome) in answers.into_iter().enumerate() {
            match outcome {
                Ok(mut result) => {
                    result["Index"] = index.into();
                    results.push(result);
                }
                // The language is the whole request's.
                Err(error)
                    if concerns_the_item(error.kind()) && error.kind() != Kind::Unsupported =>
                {
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
}

/// Refuses a language that the model does not read; `None` when the operation is not told a language.
///
/// # Errors
/// `UnsupportedLanguageException`, which names the languages there are.
pub fn supported(
    call: Call,
    languages: Option<&'static [&'static str]>,
    code: &str,
) -> Result<(), Failure> {
    let Some(languages) = languages.filter(|languages| !languages.contains(&code)) else {
        return Ok(());
    };
    let message = format!(
        "{} has no model for the language '{code}' in this build; languages it has models for: {}.",
        call.operation.name,
        languages.join(", ")
    );
    let error = Error::new(Kind::Unsupported, message);
    Err(Failure::of(call.service.id, call.operation, error))
}

/// A text that an operation can work on.
///
/// # Errors
/// It is too long, or nothing but white space. (The real service documents no rule for the latter; an
/// invented answer would be worse than a refusal.)
pub fn readable(text: &str, most: usize) -> Result<(), Error> {
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

/// `ErrorCode` of an item of `ErrorList`. The API reference calls it numeric, programs written against the
/// real service handle words such as `TEXT_SIZE_LIMIT_EXCEEDED`.
fn item_code(kind: Kind) -> &'static str {
    match kind {
        Kind::TooLarge => "TEXT_SIZE_LIMIT_EXCEEDED",
        _ => "INVALID_REQUEST",
    }
}

/// The engine broke its contract.
pub fn unanswered() -> Error {
    Error::new(
        Kind::Internal,
        "the engine answered fewer items than it was given",
    )
}
