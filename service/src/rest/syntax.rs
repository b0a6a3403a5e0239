//! `POST /v1/text/entities`, `/v1/text/key-phrases` and `/v1/text/syntax`: three views of one reading.

use super::call::Call;
use super::error::TextErrors;
use super::text::{Part, Response, Rules, TextRequest};
use crate::app::App;
use crate::failure::Failure;
use axum::Json;
use axum::extract::State;
use escala_pipelines::syntax::{LANGUAGES, Syntax, SyntaxInput};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A named thing.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntityView {
    /// `PERSON`, `LOCATION`, `ORGANIZATION`, `COMMERCIAL_ITEM`, `EVENT`, `DATE`, `QUANTITY`, `TITLE` or `OTHER`.
    #[serde(rename = "type")]
    #[schema(example = "LOCATION")]
    kind: &'static str,
    /// What the model calls it: in English a label of OntoNotes 5, in Spanish `PER`, `LOC`, `ORG` or `MISC`.
    #[schema(example = "GPE")]
    label: String,
    /// Probability, 0 to 1; on average as often right as the model's makers measured.
    score: f32,
    /// Where it stands.
    #[serde(flatten)]
    part: Part,
}

/// The named things of one text.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntitiesAnswer {
    /// In the order of the text.
    pub(crate) entities: Vec<EntityView>,
}

/// A noun phrase.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyPhraseView {
    /// Probability, 0 to 1; on average as often right as the model's makers measured.
    score: f32,
    /// Where it stands.
    #[serde(flatten)]
    part: Part,
}

/// The noun phrases of one text.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyPhrasesAnswer {
    /// In the order of the text.
    pub(crate) key_phrases: Vec<KeyPhraseView>,
}

/// A word or mark.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenView {
    /// Where it stands.
    #[serde(flatten)]
    part: Part,
    /// Part of speech: `ADJ`, `ADP`, `ADV`, `AUX`, `CCONJ`, `DET`, `INTJ`, `NOUN`, `NUM`, `O`, `PART`, `PRON`,
    /// `PROPN`, `PUNCT`, `SCONJ`, `SYM` or `VERB`.
    #[schema(example = "PROPN")]
    part_of_speech: &'static str,
    /// Probability of the tag, 0 to 1.
    score: f32,
    /// Tag of the Penn treebank; in Spanish the universal part of speech.
    #[schema(example = "NNP")]
    tag: String,
    /// Dictionary form.
    lemma: String,
    /// Relation to its head.
    #[schema(example = "nsubj")]
    dependency: String,
    /// Index of its head in `tokens`; its own for the root of a sentence.
    head: usize,
}

/// The words and sentences of one text.
#[derive(Debug, Serialize, ToSchema)]
pub struct SyntaxAnswer {
    /// In the order of the text, without white space.
    pub(crate) tokens: Vec<TokenView>,
    /// Its sentences.
    sentences: Vec<Part>,
}

impl EntitiesAnswer {
    /// The named things of a reading.
    pub fn of(text: &str, syntax: Syntax) -> Self {
        let view = |entity: escala_pipelines::syntax::Entity| EntityView {
            kind: entity.kind.name(),
            part: Part::of(text, entity.extent),
            label: entity.label,
            score: entity.score,
        };
        Self {
            entities: syntax.entities.into_iter().map(view).collect(),
        }
    }
}

impl KeyPhrasesAnswer {
    /// The noun phrases of a reading.
    pub fn of(text: &str, syntax: Syntax) -> Self {
        let phrases = syntax.key_phrases.iter().map(|phrase| KeyPhraseView {
            score: phrase.score,
            part: Part::of(text, phrase.extent),
        });
        Self {
            key_phrases: phrases.collect(),
        }
    }
}

impl SyntaxAnswer {
    /// The words and sentences of a reading.
    pub fn of(text: &str, syntax: Syntax) -> Self {
        let sentences = syntax.sentences.iter();
        let sentences = sentences.map(|extent| Part::of(text, *extent)).collect();
        let view = |token: escala_pipelines::syntax::Token| TokenView {
            part: Part::of(text, token.extent),
            part_of_speech: token.part_of_speech.name(),
            score: token.score,
            tag: token.tag,
            lemma: token.lemma,
            dependency: token.dependency,
            head: token.head,
        };
        Self {
            tokens: syntax.tokens.into_iter().map(view).collect(),
            sentences,
        }
    }
}

fn rules<A>(app: &App, output: fn(&str, Syntax) -> A) -> Rules<'_, SyntaxInput, Syntax, A> {
    Rules {
        languages: Some(LANGUAGES),
        predictor: &*app.syntax,
        input: SyntaxInput::new,
        output,
    }
}

/// Find the people, places, organizations, dates and amounts that texts name.
///
/// A body of type `text/plain` is one text; `?language=` says its language (`en` when left out).
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/text/entities",
    tag = "text",
    request_body(content(
        (TextRequest = "application/json"),
        (String = "text/plain"),
    )),
    responses(
        TextErrors,
        (status = 200, description = "The named things of each text.", body = Response<EntitiesAnswer>),
    )
)]
pub async fn entities(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<Response<EntitiesAnswer>>, Failure> {
    rules(&app, EntitiesAnswer::of)
        .call(&app, call)
        .await
        .map(Json)
}

/// Find the noun phrases of texts.
///
/// A body of type `text/plain` is one text; `?language=` says its language (`en` when left out).
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/text/key-phrases",
    tag = "text",
    request_body(content(
        (TextRequest = "application/json"),
        (String = "text/plain"),
    )),
    responses(
        TextErrors,
        (status = 200, description = "The noun phrases of each text.", body = Response<KeyPhrasesAnswer>),
    )
)]
pub async fn key_phrases(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<Response<KeyPhrasesAnswer>>, Failure> {
    rules(&app, KeyPhrasesAnswer::of)
        .call(&app, call)
        .await
        .map(Json)
}

/// Split texts into sentences and words with their parts of speech, dictionary forms and relations.
///
/// A body of type `text/plain` is one text; `?language=` says its language (`en` when left out).
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/text/syntax",
    tag = "text",
    request_body(content(
        (TextRequest = "application/json"),
        (String = "text/plain"),
    )),
    responses(
        TextErrors,
        (status = 200, description = "The words and sentences of each text.", body = Response<SyntaxAnswer>),
    )
)]
pub async fn syntax(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<Response<SyntaxAnswer>>, Failure> {
    rules(&app, SyntaxAnswer::of)
        .call(&app, call)
        .await
        .map(Json)
}
