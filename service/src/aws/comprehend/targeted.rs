//! `DetectTargetedSentiment` and its batch form.

use super::document::{Rules, SHORT};
use crate::aws::{Aws, number};
use escala_pipelines::Error;
use escala_pipelines::targeted::{Group, LANGUAGES, Target, Targeted};
use serde_json::{Value, json};
use std::sync::Arc;

pub fn rules(aws: &Aws) -> Rules<'_, Arc<str>, Targeted> {
    Rules {
        most: SHORT,
        languages: Some(LANGUAGES),
        predictor: &*aws.targeted,
        input: |text, _| text,
        output: |text, groups| {
            let entities = groups.iter().map(|group| entity(text, group));
            Ok(json!({"Entities": entities.collect::<Result<Vec<_>, Error>>()?}))
        },
    }
}

fn entity(text: &str, group: &Group) -> Result<Value, Error> {
    let mentions = group.mentions.iter().map(|target| mention(text, target));
    Ok(json!({
        "DescriptiveMentionIndex": group.descriptive,
        "Mentions": mentions.collect::<Result<Vec<_>, Error>>()?,
    }))
}

fn mention(text: &str, target: &Target) -> Result<Value, Error> {
    let [positive, negative, neutral, mixed] = target.scores;
    let sentiment = json!({
        "Sentiment": target.sentiment().name(),
        "SentimentScore": {
            "Positive": number(positive)?,
            "Negative": number(negative)?,
            "Neutral": number(neutral)?,
            "Mixed": number(mixed)?,
        },
    });
    Ok(json!({
        "Score": number(target.score)?,
        "GroupScore": number(target.group_score)?,
        "Text": target.extent.of(text),
        "Type": target.kind.name(),
        "MentionSentiment": sentiment,
        "BeginOffset": target.extent.begin,
        "EndOffset": target.extent.end,
    }))
}
