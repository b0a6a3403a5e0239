//! `POST /v1/text/targeted-sentiment`: what texts speak of, and the sentiment towards each.

use super::call::Call;
use super::error::TextErrors;
use super::text::{Part, Response, Rules, TextRequest};
use crate::app::App;
use crate::failure::Failure;
use axum::Json;
use axum::extract::State;
use escala_pipelines::targeted::{Group, LANGUAGES, Target, Targeted};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Probabilities of the four sentiments.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetScores {
    positive: f32,
    negative: f32,
    neutral: f32,
    mixed: f32,
}

/// A place where the text names something.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetView {
    /// `PERSON`, `LOCATION`, `ORGANIZATION`, `FACILITY`, `BRAND`, `COMMERCIAL_ITEM`, `MOVIE`, `MUSIC`, `BOOK`,
    /// `SOFTWARE`, `GAME`, `PERSONAL_TITLE`, `EVENT`, `DATE`, `QUANTITY`, `ATTRIBUTE` or `OTHER`.
    #[serde(rename = "type")]
    #[schema(example = "ATTRIBUTE")]
    kind: &'static str,
    /// `POSITIVE`, `NEGATIVE`, `NEUTRAL` or `MIXED`: the likeliest of `scores`.
    #[schema(example = "POSITIVE")]
    sentiment: &'static str,
    /// Probabilities, not calibrated.
    scores: TargetScores,
    /// Probability that something is named here, 0 to 1, not calibrated.
    score: f32,
    /// How sure it is that this is the thing of its entity, 0 to 1, set by hand for each rule.
    group_score: f32,
    /// Where it stands.
    #[serde(flatten)]
    part: Part,
}

/// One thing that the text speaks of.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetedEntity {
    /// Indices of the mentions that name it best.
    descriptive: Vec<usize>,
    /// In the order of the text.
    mentions: Vec<TargetView>,
}

/// What one text speaks of.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetedAnswer {
    /// In the order of their first mentions.
    pub(crate) entities: Vec<TargetedEntity>,
}

impl TargetedAnswer {
    /// What was found in a text.
    pub fn of(text: &str, found: Targeted) -> Self {
        let view = |target: &Target| {
            let [positive, negative, neutral, mixed] = target.scores;
            TargetView {
                kind: target.kind.name(),
                sentiment: target.sentiment().name(),
                scores: TargetScores {
                    positive,
                    negative,
                    neutral,
                    mixed,
                },
                score: target.score,
                group_score: target.group_score,
                part: Part::of(text, target.extent),
            }
        };
        let entity = |group: Group| TargetedEntity {
            mentions: group.mentions.iter().map(view).collect(),
            descriptive: group.descriptive,
        };
        Self {
            entities: found.into_iter().map(entity).collect(),
        }
    }
}

/// Find who and what texts speak of, and the sentiment towards each.
///
/// A body of type `text/plain` is one text; `?language=` says its language (`en` when left out).
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/text/targeted-sentiment",
    tag = "text",
    request_body(content(
        (TextRequest = "application/json"),
        (String = "text/plain"),
    )),
    responses(
        TextErrors,
        (status = 200, description = "What each text speaks of.", body = Response<TargetedAnswer>),
    )
)]
pub async fn targeted_sentiment(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<Response<TargetedAnswer>>, Failure> {
    let rules = Rules {
        languages: Some(LANGUAGES),
        predictor: &*app.targeted,
        input: |text, _| text,
        output: TargetedAnswer::of,
    };
    rules.call(&app, call).await.map(Json)
}
