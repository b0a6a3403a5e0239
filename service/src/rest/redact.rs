//! `POST /v1/text/redact`: texts without their personal data.

use super::call::{Call, Media, Texts};
use super::error::TextErrors;
use super::list::List;
use super::text::{Item, Response, Rules};
use crate::app::App;
use crate::failure::Failure;
use axum::Json;
use axum::extract::State;
use escala_pipelines::pii::redact::{Mode, Redaction};
use escala_pipelines::pii::{LANGUAGES, Pii, PiiInput, PiiKind};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// One text or a list of texts, and how they are redacted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RedactRequest {
    /// One text. Give this or `texts`.
    #[schema(example = "Write to ada@example.com.")]
    text: Option<String>,
    /// Texts, answered in order. Give this or `text`.
    #[schema(value_type = Option<Vec<String>>)]
    texts: Option<List<String>>,
    /// Their language; `en` when left out.
    #[schema(example = "en")]
    language: Option<String>,
    /// `mask` (each character becomes the mask's) or `replace` (a finding becomes its kind in brackets); `mask`
    /// when left out.
    mode: Option<String>,
    /// The character of `mask`; `*` when left out.
    #[schema(example = "*")]
    mask: Option<String>,
    /// Kinds to take out, such as `EMAIL`; all when left out.
    types: Option<Vec<String>>,
    /// Findings with a lower score stay.
    min_score: Option<f32>,
    /// Also look for kinds that Comprehend does not know: `ES_DNI`, `ES_NIE`, `ES_CIF`.
    extensions: Option<bool>,
}

/// How texts are redacted, as callers say it; what is `None` was left out.
#[derive(Debug, Default)]
pub struct How {
    /// `mask` or `replace`.
    pub mode: Option<String>,
    /// The character of `mask`.
    pub mask: Option<String>,
    /// Names of the kinds to take out.
    pub types: Option<Vec<String>>,
    /// Findings with a lower score stay.
    pub min_score: Option<f32>,
    /// Whether to look for kinds that Comprehend does not know.
    pub extensions: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RedactQuery {
    language: Option<String>,
    mode: Option<String>,
    mask: Option<String>,
    types: Option<String>,
    min_score: Option<f32>,
    extensions: Option<bool>,
}

/// What a caller can say about a redaction, checked.
#[derive(Debug)]
pub struct Plan {
    /// What is taken out and how.
    pub redaction: Redaction,
    /// Whether extensions are looked for.
    pub extended: bool,
}

impl How {
    /// Checks it.
    ///
    /// # Errors
    /// 400 with the member at fault.
    pub fn plan(self) -> Result<Plan, Failure> {
        let mask = self.mask.as_deref().unwrap_or("*");
        let mut characters = mask.chars();
        let mask = match (characters.next(), characters.next()) {
            (Some(mask), None) if !mask.is_control() && !mask.is_whitespace() => mask,
            _ => {
                let message = "`mask` must be one character that can be seen";
                return Err(Failure::invalid(message).at("mask"));
            }
        };
        let mode = match self.mode.as_deref() {
            None | Some("mask") => Mode::Mask(mask),
            Some("replace") if self.mask.is_some() => {
                let message = "`mask` is for the mode `mask`";
                return Err(Failure::invalid(message).at("mask"));
            }
            Some("replace") => Mode::Replace,
            Some(mode) => {
                let mode: String = mode.chars().take(20).collect();
                let message = format!("there is no mode `{mode}`; there are mask, replace");
                return Err(Failure::invalid(message).at("mode"));
            }
        };
        let kind = |name: &String| {
            PiiKind::of_name(name).ok_or_else(|| {
                let known: Vec<&str> = PiiKind::ALL.iter().map(|kind| kind.name()).collect();
                let name: String = name.chars().take(50).collect();
                let message = format!("there is no type `{name}`; there are {}", known.join(", "));
                Failure::invalid(message).at("types")
            })
        };
        let kinds = match &self.types {
            Some(names) => Some(names.iter().map(kind).collect::<Result<_, _>>()?),
            None => None,
        };
        let min_score = self.min_score.unwrap_or_default();
        if !(0.0..=1.0).contains(&min_score) {
            let message = "`min_score` must be between 0 and 1";
            return Err(Failure::invalid(message).at("min_score"));
        }
        Ok(Plan {
            redaction: Redaction {
                mode,
                kinds,
                min_score,
            },
            extended: self.extensions.unwrap_or_default(),
        })
    }
}

/// Something that was taken out. What it was is not said again.
#[derive(Debug, Serialize, ToSchema)]
pub struct RedactedView {
    /// The name of its kind.
    #[serde(rename = "type")]
    #[schema(example = "EMAIL")]
    kind: &'static str,
    /// How sure the rule behind it is, 0 to 1.
    score: f32,
    /// Its first character in the original, counted in Unicode code points.
    begin: usize,
    /// The character after its last, in the original.
    end: usize,
    /// The first character of what stands for it in the redacted text.
    redacted_begin: usize,
    /// The character after the last of what stands for it in the redacted text.
    redacted_end: usize,
}

/// One text without its personal data.
#[derive(Debug, Serialize, ToSchema)]
pub struct RedactAnswer {
    /// The text.
    #[schema(example = "Write to ***************.")]
    pub(crate) text: String,
    /// What was taken out, in order.
    entities: Vec<RedactedView>,
}

impl RedactAnswer {
    /// A text without what was found in it.
    ///
    /// # Errors
    /// 500 when a finding does not fit the text.
    pub fn of(text: &str, found: &Pii, redaction: &Redaction) -> Result<Self, Failure> {
        let redacted = redaction.apply(text, found)?;
        let view = |(entity, place): (
            escala_pipelines::pii::PiiEntity,
            escala_pipelines::offsets::Extent,
        )| RedactedView {
            kind: entity.kind.name(),
            score: entity.score,
            begin: entity.extent.begin,
            end: entity.extent.end,
            redacted_begin: place.begin,
            redacted_end: place.end,
        };
        Ok(Self {
            text: redacted.text,
            entities: redacted.entities.into_iter().map(view).collect(),
        })
    }
}

/// Take personal data out of texts.
///
/// A body of type `text/plain` is one text; the query then says the rest (`?language=`, `?mode=`, `?mask=`,
/// `?types=EMAIL,PHONE`, `?min_score=`, `?extensions=`). With `mask` the text keeps its length in code points.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/text/redact",
    tag = "text",
    request_body(content(
        (RedactRequest = "application/json"),
        (String = "text/plain"),
    )),
    responses(
        TextErrors,
        (status = 200, description = "Each text without its personal data.", body = Response<RedactAnswer>),
    )
)]
pub async fn redact(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<Response<RedactAnswer>>, Failure> {
    let (texts, language, how) = match call.media {
        Media::Json => {
            let request: RedactRequest = call.json().await?;
            let texts = Texts::of(request.text, request.texts)?;
            let how = How {
                mode: request.mode,
                mask: request.mask,
                types: request.types,
                min_score: request.min_score,
                extensions: request.extensions,
            };
            (texts, request.language, how)
        }
        Media::Text => {
            let query: RedactQuery = call.query()?;
            let names = |names: String| names.split(',').map(str::to_owned).collect();
            let how = How {
                mode: query.mode,
                mask: query.mask,
                types: query.types.map(names),
                min_score: query.min_score,
                extensions: query.extensions,
            };
            (Texts::One(call.text()?), query.language, how)
        }
        _ => return Err(call.unsupported("application/json or text/plain")),
    };
    let plan = how.plan()?;
    let rules = Rules {
        languages: Some(LANGUAGES),
        predictor: &*app.pii,
        input: match plan.extended {
            true => |text, language| PiiInput::new(text, language).extended(true),
            false => |text, language| PiiInput::new(text, language),
        },
        output: |text, found| (text.to_owned(), found),
    };
    let language = language.as_deref().unwrap_or("en");
    let answer = |(text, found): (String, Pii)| RedactAnswer::of(&text, &found, &plan.redaction);
    let found = rules.answer(&app, texts, language, call.options).await?;
    Ok(Json(match found {
        Response::One(one) => Response::One(answer(one)?),
        Response::Many { results } => {
            let item = |item: Item<(String, Pii)>| match item {
                Item::Answer(one) => Ok(Item::Answer(answer(one)?)),
                Item::Failed { error } => Ok(Item::Failed { error }),
            };
            let results = results.into_iter().map(item);
            Response::Many {
                results: results.collect::<Result<_, Failure>>()?,
            }
        }
    }))
}
