//! `POST /v1/text/analyze`: several questions about texts in one request.
//!
//! [`FEATURES`] is the registry: a feature is a name, the languages it reads, and how it asks about the texts of a
//! [`Batch`]. Adding one is one entry there ([`Batch::ask`] is all that most need). Features are asked at the same
//! time; those that need a reading of the texts share one ([`Batch::readings`]), and so do those that need their
//! language.
//!
//! What a feature cannot do for a text (its language, its length) is said in that feature's place; what is wrong
//! with the server fails the request.

use super::call::{Call, Media, Texts, check_texts_within, predict_list};
use super::error::{ErrorBody, TextErrors};
use super::language::LanguageAnswer;
use super::list::List;
use super::pii::PiiAnswer;
use super::sentiment::SentimentAnswer;
use super::syntax::{EntitiesAnswer, KeyPhrasesAnswer, SyntaxAnswer};
use super::targeted::TargetedAnswer;
use super::text::{Item, Response, check_language};
use super::toxicity::ToxicityAnswer;
use crate::app::{App, Predict};
use crate::failure::Failure;
use axum::Json;
use axum::extract::State;
use escala_pipelines::language::Languages;
use escala_pipelines::pii::{self, PiiInput};
use escala_pipelines::sentiment::{self, SentimentInput};
use escala_pipelines::syntax::{self, Syntax, SyntaxInput};
use escala_pipelines::{Kind, Options};
use escala_pipelines::{targeted, toxicity};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::OnceCell;
use utoipa::ToSchema;

/// What a feature says about one text.
pub type Outcome = Result<Box<RawValue>, Failure>;
/// What a feature says about several, in order; or why the whole request fails.
type Outcomes<'b> = Pin<Box<dyn Future<Output = Result<Vec<Outcome>, Failure>> + Send + 'b>>;

/// A question about texts.
pub struct Feature {
    /// Its name in requests and answers.
    pub name: &'static str,
    /// The task of the configuration whose model it needs.
    pub task: &'static str,
    /// Languages that it takes; `None` when it does not matter.
    languages: Option<&'static [&'static str]>,
    /// Those of them in which it needs a reading of the text.
    reads: &'static [&'static str],
    /// Asks about the texts of a batch with these numbers.
    ask: for<'b> fn(&'b Batch<'b>, Vec<usize>) -> Outcomes<'b>,
}

impl Feature {
    /// Refuses a language that it does not take.
    ///
    /// # Errors
    /// 400 with those that it takes.
    pub fn check(&self, language: &str) -> Result<(), Failure> {
        check_language(language, self.languages)
    }
}

/// Everything that can be asked.
pub const FEATURES: &[Feature] = &[
    Feature {
        name: "language",
        task: "language",
        languages: None,
        reads: &[],
        ask: |batch, which| {
            Box::pin(async move {
                let detected = batch.detected().await?;
                let one = |index: usize| detected[index].clone().map(LanguageAnswer::of);
                Ok(which.into_iter().map(|index| raw(one(index))).collect())
            })
        },
    },
    Feature {
        name: "entities",
        task: "syntax",
        languages: Some(syntax::LANGUAGES),
        reads: syntax::LANGUAGES,
        ask: |batch, which| {
            batch.view(which, |text, reading| {
                let entities = reading.entities.clone();
                EntitiesAnswer::of(
                    text,
                    Syntax {
                        entities,
                        ..Syntax::default()
                    },
                )
            })
        },
    },
    Feature {
        name: "key_phrases",
        task: "syntax",
        languages: Some(syntax::LANGUAGES),
        reads: syntax::LANGUAGES,
        ask: |batch, which| {
            batch.view(which, |text, reading| {
                let key_phrases = reading.key_phrases.clone();
                KeyPhrasesAnswer::of(
                    text,
                    Syntax {
                        key_phrases,
                        ..Syntax::default()
                    },
                )
            })
        },
    },
    Feature {
        name: "syntax",
        task: "syntax",
        languages: Some(syntax::LANGUAGES),
        reads: syntax::LANGUAGES,
        ask: |batch, which| {
            batch.view(which, |text, reading| {
                let (tokens, sentences) = (reading.tokens.clone(), reading.sentences.clone());
                SyntaxAnswer::of(
                    text,
                    Syntax {
                        tokens,
                        sentences,
                        ..Syntax::default()
                    },
                )
            })
        },
    },
    Feature {
        name: "pii",
        task: "pii",
        languages: Some(pii::LANGUAGES),
        reads: pii::READ,
        ask: |batch, which| {
            Box::pin(async move {
                let readings = batch.readings().await?;
                let input = |index: usize, text: Arc<str>, language: &str| {
                    let input = PiiInput::new(text, language);
                    match &readings[index] {
                        // Perhaps made for other features.
                        Some(Ok(reading)) => Ok(input.read(reading.clone())),
                        _ if !input.needs_reading() => Ok(input),
                        Some(Err(failure)) => Err(failure.clone()),
                        None => Err(missing()),
                    }
                };
                batch
                    .ask(which, &*batch.app.pii, input, PiiAnswer::of)
                    .await
            })
        },
    },
    Feature {
        name: "toxicity",
        task: "toxicity",
        languages: Some(toxicity::LANGUAGES),
        reads: &[],
        ask: |batch, which| {
            let input = |_, text: Arc<str>, _: &str| Ok(text);
            Box::pin(batch.ask(which, &*batch.app.toxicity, input, ToxicityAnswer::of))
        },
    },
    Feature {
        name: "sentiment",
        task: "sentiment",
        languages: Some(sentiment::LANGUAGES),
        reads: &[],
        ask: |batch, which| {
            let input = |_, text: Arc<str>, language: &str| Ok(SentimentInput::new(text, language));
            Box::pin(batch.ask(which, &*batch.app.sentiment, input, SentimentAnswer::of))
        },
    },
    Feature {
        name: "targeted_sentiment",
        task: "targeted-sentiment",
        languages: Some(targeted::LANGUAGES),
        reads: &[],
        ask: |batch, which| {
            let input = |_, text: Arc<str>, _: &str| Ok(text);
            Box::pin(batch.ask(which, &*batch.app.targeted, input, TargetedAnswer::of))
        },
    },
];

/// The features with these names, each once; all when there are none.
///
/// # Errors
/// 400 naming the known ones when one is unknown.
pub fn features(names: &[String]) -> Result<Vec<&'static Feature>, Failure> {
    if names.is_empty() {
        return Ok(FEATURES.iter().collect());
    }
    let mut found: Vec<&Feature> = Vec::new();
    for name in names {
        let Some(feature) = FEATURES.iter().find(|feature| feature.name == name) else {
            let known: Vec<&str> = FEATURES.iter().map(|feature| feature.name).collect();
            let name: String = name.chars().take(40).collect();
            let message = format!(
                "there is no feature `{name}`; there are {}",
                known.join(", ")
            );
            return Err(Failure::invalid(message).at("features"));
        };
        if !found.iter().any(|have| have.name == feature.name) {
            found.push(feature);
        }
    }
    Ok(found)
}

/// Answers about several texts. What is shared is asked once, by whichever feature needs it first.
type Shared<T> = OnceCell<Result<T, Failure>>;

/// A reading that several features share, or why there is none.
type Reading = Result<Arc<Syntax>, Failure>;

/// The texts of a request, and what is known of them.
pub struct Batch<'a> {
    app: &'a App,
    texts: &'a [Arc<str>],
    /// The language of each, when the caller said it; else it is detected.
    language: Option<&'a str>,
    features: &'a [&'static Feature],
    options: Options,
    detected: Shared<Vec<Result<Languages, Failure>>>,
    readings: Shared<Vec<Option<Reading>>>,
}

impl<'a> Batch<'a> {
    fn new(
        app: &'a App,
        texts: &'a [Arc<str>],
        language: Option<&'a str>,
        features: &'a [&'static Feature],
        options: Options,
    ) -> Self {
        Self {
            app,
            texts,
            language,
            features,
            options,
            detected: OnceCell::new(),
            readings: OnceCell::new(),
        }
    }
}

impl Batch<'_> {
    /// The languages that each text may be in.
    async fn detected(&self) -> Result<&[Result<Languages, Failure>], Failure> {
        let detected = self.detected.get_or_init(|| async {
            let texts = self.texts.iter().map(|text| text.to_string()).collect();
            predict_list(&*self.app.language, texts, self.options).await
        });
        detected.await.as_deref().map_err(Clone::clone)
    }

    /// The language of each text.
    async fn languages(&self) -> Result<Vec<Result<String, Failure>>, Failure> {
        if let Some(language) = self.language {
            return Ok(vec![Ok(language.to_owned()); self.texts.len()]);
        }
        let first = |languages: &Languages| match languages.first() {
            Some(language) => Ok(language.code.clone()),
            None => Err(Failure::of_kind(Kind::Internal, "the text has no language")),
        };
        let detected = self.detected().await?;
        let language = |languages: &Result<Languages, Failure>| {
            languages.as_ref().map_err(Clone::clone).and_then(first)
        };
        Ok(detected.iter().map(language).collect())
    }

    /// A reading of each text in whose language a feature needs one.
    async fn readings(&self) -> Result<&[Option<Result<Arc<Syntax>, Failure>>], Failure> {
        let readings = self.readings.get_or_init(|| async {
            let languages = self.languages().await?;
            let mut which = Vec::new();
            let mut inputs = Vec::new();
            for (index, (text, language)) in self.texts.iter().zip(&languages).enumerate() {
                let Ok(language) = language.as_deref() else {
                    continue;
                };
                let mut features = self.features.iter();
                if features.any(|feature| feature.reads.contains(&language)) {
                    which.push(index);
                    inputs.push(SyntaxInput::new(text.clone(), language));
                }
            }
            let answers = predict_list(&*self.app.syntax, inputs, self.options).await?;
            let mut readings: Vec<_> = self.texts.iter().map(|_| None).collect();
            for (index, answer) in which.into_iter().zip(answers) {
                readings[index] = Some(answer.map(Arc::new));
            }
            Ok(readings)
        });
        readings.await.as_deref().map_err(Clone::clone)
    }

    /// A view of the readings of these texts.
    fn view<'b, A: Serialize + 'b>(
        &'b self,
        which: Vec<usize>,
        of: fn(&str, &Syntax) -> A,
    ) -> Outcomes<'b> {
        Box::pin(async move {
            let readings = self.readings().await?;
            let one = |index: usize| match &readings[index] {
                Some(Ok(reading)) => raw(Ok(of(&self.texts[index], reading))),
                Some(Err(failure)) => Err(failure.clone()),
                None => Err(missing()),
            };
            Ok(which.into_iter().map(one).collect())
        })
    }

    /// Asks a task about these texts: `input` makes the question about the text with a number, in its language, and
    /// `output` shows the answer.
    pub async fn ask<I: Send, O, A: Serialize>(
        &self,
        which: Vec<usize>,
        predictor: &dyn Predict<I, O>,
        input: impl Fn(usize, Arc<str>, &str) -> Result<I, Failure>,
        output: fn(&str, O) -> A,
    ) -> Result<Vec<Outcome>, Failure> {
        let languages = self.languages().await?;
        let limit = self.app.config.limits.text.get();
        let question = |index: usize| {
            let text = &self.texts[index];
            if text.len() as u64 > limit && !predictor.reads_long_texts() {
                let message = format!(
                    "the text has {} bytes; at most {limit} are taken",
                    text.len()
                );
                return Err(Failure::of_kind(Kind::TooLarge, message));
            }
            input(
                index,
                text.clone(),
                languages[index].as_deref().unwrap_or_default(),
            )
        };
        let mut questions = Vec::with_capacity(which.len());
        let mut asked = Vec::with_capacity(which.len());
        for &index in &which {
            match question(index) {
                Ok(question) => {
                    questions.push(question);
                    asked.push(Ok(index));
                }
                Err(failure) => asked.push(Err(failure)),
            }
        }
        let answers = match questions.is_empty() {
            true => Vec::new(),
            false => predict_list(predictor, questions, self.options).await?,
        };
        let mut answers = answers.into_iter();
        let outcome = |asked: Result<usize, Failure>| {
            let index = asked?;
            let answer = answers.next().unwrap_or_else(|| Err(missing()))?;
            raw(Ok(output(&self.texts[index], answer)))
        };
        Ok(asked.into_iter().map(outcome).collect())
    }

    /// What a feature says about each text.
    async fn answer(&self, feature: &Feature) -> Result<Vec<Outcome>, Failure> {
        let mut outcomes: Vec<Option<Outcome>> = self.texts.iter().map(|_| None).collect();
        let mut which = Vec::new();
        if feature.languages.is_none() {
            which.extend(0..self.texts.len());
        } else {
            for (index, language) in self.languages().await?.into_iter().enumerate() {
                let checked = language.and_then(|code| feature.check(&code));
                match checked {
                    Ok(()) => which.push(index),
                    Err(failure) => outcomes[index] = Some(Err(failure)),
                }
            }
        }
        if !which.is_empty() {
            let answers = (feature.ask)(self, which.clone()).await?;
            for (index, answer) in which.into_iter().zip(answers) {
                outcomes[index] = Some(answer);
            }
        }
        let outcomes = outcomes.into_iter();
        Ok(outcomes
            .map(|outcome| outcome.unwrap_or_else(|| Err(missing())))
            .collect())
    }
}

/// An answer as JSON.
///
/// # Errors
/// The failure itself; `internal` where the answer cannot be written.
pub fn raw<A: Serialize>(answer: Result<A, Failure>) -> Outcome {
    to_raw_value(&answer?).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        Failure::of_kind(Kind::Internal, "the answer could not be written")
    })
}

fn missing() -> Failure {
    Failure::of_kind(Kind::Internal, "the prediction has no answer")
}

/// One text or a list of texts, and what is asked about them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnalyzeRequest {
    /// One text. Give this or `texts`.
    #[schema(example = "Ada Lovelace was born in London on 10 December 1815.")]
    text: Option<String>,
    /// Texts, answered in order. Give this or `text`.
    #[schema(value_type = Option<Vec<String>>)]
    texts: Option<List<String>>,
    /// Their language; detected for each when left out.
    #[schema(example = "en")]
    language: Option<String>,
    /// What is asked: `language`, `entities`, `key_phrases`, `syntax`, `pii`, `toxicity`, `sentiment`,
    /// `targeted_sentiment`; everything when left out.
    #[serde(default)]
    #[schema(example = json!(["entities", "pii"]))]
    features: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnalyzeQuery {
    language: Option<String>,
    features: Option<String>,
}

/// What was asked about one text.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnalyzeAnswer {
    /// Its language: the caller's word, or the likeliest.
    #[schema(example = "en")]
    language: String,
    /// By name of the feature: what the feature's own route answers, or an `error` with `code` and `message`.
    #[schema(value_type = Object)]
    features: BTreeMap<&'static str, Item<Box<RawValue>>>,
}

/// Asks one thing about texts, in a language or in each one's own.
///
/// # Errors
/// What is wrong with the server. What is wrong with a text is its outcome.
pub async fn ask(
    app: &App,
    texts: &[Arc<str>],
    language: Option<&str>,
    feature: &'static Feature,
    options: Options,
) -> Result<Vec<Outcome>, Failure> {
    let features = &[feature];
    let batch = Batch::new(app, texts, language, features, options);
    batch.answer(feature).await
}

/// Asks about texts.
///
/// # Errors
/// What is wrong with the server. What is wrong with a text is its item's.
pub async fn analyze(
    app: &App,
    texts: &[Arc<str>],
    language: Option<&str>,
    features: &[&'static Feature],
    options: Options,
) -> Result<Vec<Result<AnalyzeAnswer, Failure>>, Failure> {
    let batch = Batch::new(app, texts, language, features, options);
    let answers = features.iter().map(|feature| batch.answer(feature));
    let (languages, answers) =
        futures_util::future::try_join(batch.languages(), try_join_all(answers)).await?;
    let mut answers: Vec<_> = answers.into_iter().map(Vec::into_iter).collect();
    let mut results = Vec::with_capacity(texts.len());
    for language in languages {
        let mut said = BTreeMap::new();
        for (feature, outcomes) in features.iter().zip(&mut answers) {
            let item = match outcomes.next().unwrap_or_else(|| Err(missing())) {
                Ok(answer) => Item::Answer(answer),
                Err(failure) => Item::Failed {
                    error: failure.into(),
                },
            };
            said.insert(feature.name, item);
        }
        results.push(language.map(|language| AnalyzeAnswer {
            language,
            features: said,
        }));
    }
    Ok(results)
}

/// Ask several questions about texts at once.
///
/// The texts are read once, whatever is asked about them. A body of type `text/plain` is one text;
/// `?language=` says its language and `?features=entities,pii` what is asked.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/text/analyze",
    tag = "text",
    request_body(content(
        (AnalyzeRequest = "application/json"),
        (String = "text/plain"),
    )),
    responses(
        TextErrors,
        (status = 200, description = "What was asked about each text.", body = Response<AnalyzeAnswer>),
        (status = 400, description = "The request breaks a rule, or there is no such feature.", body = ErrorBody),
        (status = 503, description = "A model cannot be loaded now.", body = ErrorBody),
    )
)]
pub async fn analyze_texts(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<Response<AnalyzeAnswer>>, Failure> {
    let (texts, language, names) = match call.media {
        Media::Json => {
            let request: AnalyzeRequest = call.json().await?;
            let texts = Texts::of(request.text, request.texts)?;
            (texts, request.language, request.features)
        }
        Media::Text => {
            let query: AnalyzeQuery = call.query()?;
            let names = query.features.unwrap_or_default();
            let names = names.split(',').filter(|name| !name.is_empty());
            let names = names.map(str::to_owned).collect();
            (Texts::One(call.text()?), query.language, names)
        }
        _ => return Err(call.unsupported("application/json or text/plain")),
    };
    let features = features(&names)?;
    let limits = &app.config.limits;
    let (one, texts) = match texts {
        Texts::One(text) => {
            let text = super::call::check_text_within(text, limits.rest_text)?;
            (true, vec![text])
        }
        Texts::Many(texts) => (false, check_texts_within(texts, limits, limits.rest_text)?),
    };
    let texts: Vec<Arc<str>> = texts.into_iter().map(Arc::from).collect();
    let language = language.as_deref();
    let mut results = analyze(&app, &texts, language, &features, call.options).await?;
    if one {
        let answer = results.pop().unwrap_or_else(|| Err(missing()))?;
        return Ok(Json(Response::One(answer)));
    }
    let item = |result: Result<AnalyzeAnswer, Failure>| match result {
        Ok(answer) => Item::Answer(answer),
        Err(failure) => Item::Failed {
            error: failure.into(),
        },
    };
    Ok(Json(Response::Many {
        results: results.into_iter().map(item).collect(),
    }))
}
