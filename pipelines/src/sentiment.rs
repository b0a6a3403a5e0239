//! Sentiment of a text: POSITIVE, NEGATIVE, NEUTRAL or MIXED, with a probability for each.
//!
//! ```text
//! text ─ parts ─ tokens ─ encoder + adapter ─ mean ─ linear layer ─ temperature ─ probabilities of the part
//!                                                                    parts joined ─ probabilities of the text
//! ```
//!
//! English is read by all-MiniLM-L6-v2 with low-rank adapters, all other languages by multilingual-e5-small as it is
//! with a linear layer; both were trained on the same ratings by `escala train` (`weights/sentiment/README.md`).
//!
//! **Parts.** A text of more than [`PART`] bytes is cut between sentences into parts of at most that. The text's
//! probabilities are the parts' mean, weighted by length. Parts that contradict each other make the text mixed: with
//! *u* the mean of how much more positive than negative the positive parts are, *d* the same of the negative parts and
//! *m* the smaller of both, *m* is moved from POSITIVE and *m* from NEGATIVE to MIXED. (The targets of the training
//! examples are made of the raters' shares in the same way.)

use crate::error::{Error, Kind, Result};
use crate::syntax::names;
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit, unavailable};
use escala_models::Compute;
use escala_models::bert::AdaptedClassifier;
use escala_models::train::adapter::Adapter;
use escala_weights::builtin;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Weak};

/// Bytes of a text that are read together.
pub const PART: usize = 280;

/// Parts that go through the network together.
const AT_ONCE: usize = 64;

/// Languages that Comprehend lists for sentiment; the multilingual model has read texts in all of them.
pub const LANGUAGES: &[&str] = &[
    "en", "es", "fr", "de", "it", "pt", "ar", "hi", "ja", "ko", "zh", "zh-TW",
];

names! {
    /// A sentiment, as Comprehend tells them apart.
    Sentiment {
        /// Something good is said.
        Positive = "POSITIVE",
        /// Something bad is said.
        Negative = "NEGATIVE",
        /// Neither is.
        Neutral = "NEUTRAL",
        /// Both are.
        Mixed = "MIXED",
    }
}

/// Probabilities of POSITIVE, NEGATIVE, NEUTRAL and MIXED; they sum to one.
pub type Scores = [f32; 4];

/// A text in a language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentimentInput {
    /// The text.
    pub text: Arc<str>,
    /// One of [`LANGUAGES`].
    pub language: Arc<str>,
}

impl SentimentInput {
    /// A text in a language.
    pub fn new(text: Arc<str>, language: &str) -> Self {
        Self {
            text,
            language: language.into(),
        }
    }
}

/// The likeliest sentiment; the first of several that are equally likely.
pub fn likeliest(scores: &Scores) -> Sentiment {
    let likelier = |best: usize, other: usize| match scores[other] > scores[best] {
        true => other,
        false => best,
    };
    Sentiment::ALL[(1..scores.len()).fold(0, likelier)]
}

/// A place for a classifier that several tasks hold the same copy of.
#[derive(Clone)]
pub struct SharedClassifier {
    adapter: builtin::Adapter,
    place: Arc<Mutex<Weak<AdaptedClassifier>>>,
}

impl SharedClassifier {
    /// The classifier of English texts.
    pub fn english() -> Self {
        Self::of(builtin::SENTIMENT_ENGLISH)
    }

    /// The classifier of texts in other languages.
    pub fn multilingual() -> Self {
        Self::of(builtin::SENTIMENT_MULTILINGUAL)
    }

    fn of(adapter: builtin::Adapter) -> Self {
        Self {
            adapter,
            place: Arc::default(),
        }
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<Arc<AdaptedClassifier>> {
        let mut place = self.place.lock();
        if let Some(shared) = place.upgrade() {
            return Ok(shared);
        }
        let base = self.adapter.base;
        let files = context
            .weights
            .ensure(base, &escala_weights::Silent)
            .map_err(|e| unavailable(base, e))?;
        let name = Path::new("the built-in adapter");
        let adapter = Adapter::parse(self.adapter.config, self.adapter.tensors.into(), name)
            .map_err(|e| unavailable(base, e))?;
        let classifier = AdaptedClassifier::new(files.dir(), adapter, context.device)
            .map_err(|e| unavailable(base, e))?;
        let names = Sentiment::ALL.iter().map(|sentiment| sentiment.name());
        if !classifier.labels().iter().map(String::as_str).eq(names) {
            let message = format!(
                "the adapter of {base} has the labels {:?}",
                classifier.labels()
            );
            return Err(Error::new(Kind::Unavailable, message));
        }
        let shared = Arc::new(classifier);
        *place = Arc::downgrade(&shared);
        Ok(shared)
    }
}

/// Sentiment of texts in one language or several.
#[derive(Clone)]
pub struct SentimentTask {
    name: &'static str,
    shared: SharedClassifier,
}

impl SentimentTask {
    /// Of English texts.
    pub fn english(shared: SharedClassifier) -> Self {
        Self {
            name: "sentiment",
            shared,
        }
    }

    /// Of texts in other languages.
    pub fn multilingual(shared: SharedClassifier) -> Self {
        Self {
            name: "sentiment-multilingual",
            shared,
        }
    }
}

/// The loaded classifier.
pub struct SentimentPipeline {
    classifier: Arc<AdaptedClassifier>,
}

impl Task for SentimentTask {
    type Input = Arc<str>;
    type Output = Scores;
    type Pipeline = SentimentPipeline;

    fn name(&self) -> &'static str {
        self.name
    }

    fn model(&self) -> &str {
        self.shared.adapter.base
    }

    fn unit(&self) -> Unit {
        Unit::Tokens
    }

    fn cost(&self, input: &Arc<str>) -> u64 {
        input.len() as u64 / 4 + 2
    }

    fn limits(&self) -> Limits {
        // As embeddings: two cores read about 10,000 tokens a second, so a batch takes a tenth of a second; one
        // text of a megabyte is a quarter of the queue and takes half a minute.
        Limits {
            batch_cost: 1024,
            batch_items: 256,
            queue_items: 8192,
            queue_cost: 1 << 20,
        }
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<SentimentPipeline> {
        Ok(SentimentPipeline {
            classifier: self.shared.load(context)?,
        })
    }
}

impl Pipeline for SentimentPipeline {
    type Input = Arc<str>;
    type Output = Scores;

    fn memory(&self) -> u64 {
        self.classifier.memory()
    }

    fn sample(&self) -> Arc<str> {
        "The room was clean, but the breakfast was cold.".into()
    }

    fn run(&self, compute: &Compute, batch: &[Arc<str>]) -> Vec<Result<Scores>> {
        let (mut texts, mut counts) = (Vec::new(), Vec::with_capacity(batch.len()));
        for text in batch {
            let parts = parts(text);
            counts.push(parts.len());
            texts.extend(parts.into_iter().map(|part| &text[part]));
        }
        let mut scores = Vec::with_capacity(texts.len());
        for some in texts.chunks(AT_ONCE) {
            match self.classifier.classify(compute, some) {
                Ok(rows) => scores.extend(rows),
                Err(error) => {
                    let error =
                        Error::new(Kind::Internal, "the sentiment model failed").with_source(error);
                    return batch.iter().map(|_| Err(error.clone())).collect();
                }
            }
        }
        let mut rest = texts.iter().zip(&scores);
        counts
            .into_iter()
            .map(|count| {
                let own: Option<Vec<(usize, Scores)>> = rest
                    .by_ref()
                    .take(count)
                    .map(|(text, scores)| Some((text.len(), scores.as_slice().try_into().ok()?)))
                    .collect();
                own.map(|own| join(&own)).ok_or_else(|| {
                    Error::new(Kind::Internal, "the sentiment model has other labels")
                })
            })
            .collect()
    }
}

/// The probabilities of a text from those of its parts, each with its length. See the module's text.
fn join(parts: &[(usize, Scores)]) -> Scores {
    if let [(_, only)] = parts {
        return *only;
    }
    let total: f32 = parts.iter().map(|(length, _)| *length as f32).sum();
    let mut scores = [0f32; 4];
    let (mut up, mut down) = (0f32, 0f32);
    for (length, part) in parts {
        let weight = *length as f32 / total.max(1.0);
        scores
            .iter_mut()
            .zip(part)
            .for_each(|(sum, p)| *sum += weight * p);
        let leaning = weight * (part[0] - part[1]);
        if leaning > 0.0 {
            up += leaning;
        } else {
            down -= leaning;
        }
    }
    let both = up.min(down);
    scores[0] -= both;
    scores[1] -= both;
    scores[3] += 2.0 * both;
    scores
}

/// The parts of a text that are read together: whole sentences as far as they fit. At least one; together they
/// are the text.
fn parts(text: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    if text.len() <= PART {
        parts.push(0..text.len());
        return parts;
    }
    let (mut start, mut sentence, mut space) = (0, 0, 0);
    let mut last = ' ';
    for (at, c) in text.char_indices() {
        if at - start >= PART {
            // The end of the last whole sentence, or of the last whole word, or here.
            let end = [sentence, space, at].into_iter().find(|&end| end > start);
            let end = end.unwrap_or(at);
            parts.push(start..end);
            start = end;
        }
        let after = at + c.len_utf8();
        if c.is_whitespace() {
            space = after;
            if matches!(last, '.' | '!' | '?' | '…') || c == '\n' {
                sentence = after;
            }
        } else if matches!(c, '。' | '！' | '？') {
            sentence = after;
        }
        last = c;
    }
    parts.push(start..text.len());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_end_with_sentences_where_they_can() {
        let sentence = "The room was clean and the staff were kind. ";
        let text = sentence.repeat(20);
        for part in parts(&text) {
            assert!(text[part].ends_with(". "));
        }
        let words = parts(&"word ".repeat(200)).into_iter();
        assert!(words.clone().count() > 3);
        assert_eq!(parts("").len(), 1);
        let solid = "字".repeat(1000);
        assert!(parts(&solid).iter().all(|part| part.len() <= PART + 3));
    }

    #[test]
    fn parts_that_contradict_make_a_text_mixed() {
        let good = [0.9, 0.02, 0.05, 0.03];
        let bad = [0.02, 0.9, 0.05, 0.03];
        assert_eq!(join(&[(10, good)]), good);
        assert_eq!(
            likeliest(&join(&[(10, good), (12, good)])),
            Sentiment::Positive
        );
        let both = join(&[(10, good), (10, bad)]);
        assert_eq!(likeliest(&both), Sentiment::Mixed);
        assert!((both.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        // One word of blame in a long praise does not.
        assert_eq!(
            likeliest(&join(&[(1000, good), (50, bad)])),
            Sentiment::Positive
        );
    }

    proptest! {
        #[test]
        fn parts_are_the_text(text in "\\PC{0,900}|[a-z .!\n]{0,2000}|[字。 a]{0,900}") {
            let parts = parts(&text);
            prop_assert!(!parts.is_empty());
            let joined: String = parts.iter().map(|part| &text[part.clone()]).collect();
            prop_assert_eq!(joined, text.clone());
            prop_assert!(parts.iter().all(|part| part.len() < PART + 8));
        }

        #[test]
        fn joined_probabilities_are_probabilities(
            parts in prop::collection::vec((1usize..300, prop::array::uniform4(0.01f32..1.0)), 1..30)
        ) {
            let parts: Vec<(usize, Scores)> = parts
                .into_iter()
                .map(|(length, p)| (length, p.map(|x| x / p.iter().sum::<f32>())))
                .collect();
            let scores = join(&parts);
            prop_assert!(scores.iter().all(|p| (-1e-6..=1.0 + 1e-6).contains(p)), "{scores:?}");
            prop_assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        }
    }
}
