//! Sentiment in every language: English texts go to one task, all others to another. Both have the one built-in model, of
//! which there is one copy; an operator can name a model for either, and the two are then loaded apart, each when it is
//! first asked.

use crate::app::{Answers, Predict};
use escala_pipelines::sentiment::{Parts, Scores, SentimentInput};
use escala_pipelines::{Error, Kind, Options, Result};
use std::sync::Arc;

/// A judge of texts.
pub type Judge = Arc<dyn Predict<Arc<str>, Parts>>;

/// The judges by language.
pub struct Sentiments {
    /// Of English texts.
    pub english: Judge,
    /// Of all others.
    pub multilingual: Judge,
}

impl Predict<SentimentInput, Scores> for Sentiments {
    fn predict_many(&self, inputs: Vec<SentimentInput>, options: Options) -> Answers<'_, Scores> {
        Box::pin(async move {
            let mut answers: Vec<Option<Result<Scores>>> = inputs.iter().map(|_| None).collect();
            for (judge, english) in [(&self.english, true), (&self.multilingual, false)] {
                let which =
                    (0..inputs.len()).filter(|&i| (*inputs[i].language == *"en") == english);
                let which: Vec<usize> = which.collect();
                if which.is_empty() {
                    continue;
                }
                let texts = which.iter().map(|&i| inputs[i].text.clone()).collect();
                let judged = judge.predict_many(texts, options).await;
                for (index, answer) in which.into_iter().zip(judged) {
                    answers[index] = Some(answer.map(|parts| parts.whole()));
                }
            }
            let unanswered = || {
                Err(Error::new(
                    Kind::Internal,
                    "the engine answered fewer items than it was given",
                ))
            };
            let answer = |answer: Option<Result<Scores>>| answer.unwrap_or_else(unanswered);
            answers.into_iter().map(answer).collect()
        })
    }

    fn reads_long_texts(&self) -> bool {
        self.english.reads_long_texts() && self.multilingual.reads_long_texts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with the length of the text and a mark of its own.
    struct Marked(f32);

    impl Predict<Arc<str>, Parts> for Marked {
        fn predict_many(&self, inputs: Vec<Arc<str>>, _: Options) -> Answers<'_, Parts> {
            let answer = |text: Arc<str>| {
                let scores = [self.0, text.len() as f32, 0.0, 0.0];
                Ok([(text.len(), scores)].into_iter().collect())
            };
            Box::pin(async move { inputs.into_iter().map(answer).collect() })
        }
    }

    #[tokio::test]
    async fn texts_go_to_the_judge_of_their_language_and_answers_keep_their_order() {
        let sentiments = Sentiments {
            english: Arc::new(Marked(1.0)),
            multilingual: Arc::new(Marked(2.0)),
        };
        let inputs = [("a", "en"), ("bb", "de"), ("ccc", "en"), ("dddd", "zh-TW")];
        let inputs = inputs.map(|(text, language)| SentimentInput::new(text.into(), language));
        let answers = sentiments
            .predict_many(inputs.to_vec(), Options::default())
            .await;
        let answers: Vec<Scores> = answers.into_iter().flatten().collect();
        let marks: Vec<(f32, f32)> = answers.iter().map(|s| (s[0], s[1])).collect();
        assert_eq!(marks, [(1.0, 1.0), (2.0, 2.0), (1.0, 3.0), (2.0, 4.0)]);
    }
}
