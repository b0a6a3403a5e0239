//! `DetectSentiment` and `BatchDetectSentiment`.

use super::document::{Rules, SHORT};
use crate::aws::{Aws, number};
use escala_pipelines::sentiment::{LANGUAGES, Scores, SentimentInput, likeliest};
use serde_json::json;

pub fn rules(aws: &Aws) -> Rules<'_, SentimentInput, Scores> {
    Rules {
        most: SHORT,
        languages: Some(LANGUAGES),
        predictor: &*aws.sentiment,
        input: SentimentInput::new,
        output: |_, scores| {
            let [positive, negative, neutral, mixed] = scores;
            Ok(json!({
                "Sentiment": likeliest(&scores).name(),
                "SentimentScore": {
                    "Positive": number(positive)?,
                    "Negative": number(negative)?,
                    "Neutral": number(neutral)?,
                    "Mixed": number(mixed)?,
                },
            }))
        },
    }
}
