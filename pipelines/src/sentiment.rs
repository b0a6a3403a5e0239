//! Sentiment of a text: POSITIVE, NEGATIVE, NEUTRAL or MIXED, with a probability for each.
//!
//! ```text
//! text ─ parts ─ tokens ─ encoder + adapter ─ mean ─ linear layer ─ temperature ─ probabilities of the part
//!                                                                    parts joined ─ probabilities of the text
//! ```
//!
//! All languages are read by multilingual-e5-small with low-rank adapters, trained on English ratings by `escala train`
//! (`weights/sentiment/README.md`): the encoder was made so that sentences that mean the same are near each other in
//! whatever language, and so what was learned in one holds in the others. An operator can name another classifier, one for
//! English texts and one for all others; its labels are known by what popular checkpoints call them.
//!
//! **What the built-in classifier does not know.** It learned from sentences: ratings in figures become words before it
//! reads them (`ratings`), and opinions without verbs are read apart (`lists`). A classifier that an operator named reads
//! texts as they are.
//!
//! **Parts.** A long text is cut between sentences into parts of at most [`PART`] bytes (of other classifiers: what
//! they can read). The text's
//! probabilities are the parts' mean, weighted by length. Parts that contradict each other make the text mixed: with
//! *u* the mean of how much more positive than negative the positive parts are, *d* the same of the negative parts and
//! *m* the smaller of both, *m* is moved from POSITIVE and *m* from NEGATIVE to MIXED. (The targets of the training
//! examples are made of the raters' shares in the same way.)

mod lists;
mod ratings;

use crate::classifier::{Source, TextClassifier};
use crate::error::{Error, Kind, Result};
use crate::syntax::names;
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit};
use crate::windows::sentence_parts;
use escala_models::{Compute, Precision};
use escala_weights::{Progress, Store, builtin};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::{Arc, Weak};

/// Bytes of a text that the built-in classifiers read together: they learned from sentences.
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

impl Sentiment {
    /// What a classifier's label means: the four names themselves, what popular checkpoints call them, and stars
    /// of five (three are neutral).
    fn of_label(label: &str) -> Option<Self> {
        let label = label.to_lowercase().replace(['_', '-'], " ");
        match label.trim() {
            "positive" | "pos" | "very positive" | "4 stars" | "5 stars" => Some(Self::Positive),
            "negative" | "neg" | "very negative" | "1 star" | "2 stars" => Some(Self::Negative),
            "neutral" | "neu" | "3 stars" => Some(Self::Neutral),
            "mixed" => Some(Self::Mixed),
            _ => None,
        }
    }
}

/// A classifier whose labels are sentiments.
pub struct Judge {
    classifier: TextClassifier,
    /// The place in [`Scores`] of each label.
    places: Vec<usize>,
    /// Bytes that are read together.
    part: usize,
    /// Ratings and lists are made what it knows.
    prepares: bool,
}

impl Judge {
    /// The classifier that an operator named.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be loaded, or its labels are not sentiments.
    fn named(reference: &str, context: &LoadContext<'_>) -> Result<Self> {
        let classifier = TextClassifier::named(reference, context)?;
        let part = classifier.bytes_at_once();
        Self::of(classifier, part, reference, false)
    }

    fn of(classifier: TextClassifier, part: usize, name: &str, prepares: bool) -> Result<Self> {
        let labels = classifier.labels();
        let meant: Option<Vec<Sentiment>> = labels
            .iter()
            .map(|label| Sentiment::of_label(label))
            .collect();
        let both = [Sentiment::Positive, Sentiment::Negative];
        match meant {
            Some(meant) if both.iter().all(|wanted| meant.contains(wanted)) => Ok(Self {
                places: meant.iter().map(|sentiment| *sentiment as usize).collect(),
                classifier,
                part,
                prepares,
            }),
            _ => Err(Error::new(
                Kind::Unavailable,
                format!(
                    "{name} cannot judge sentiment: its labels are {}; known are positive, negative, neutral, \
                     mixed, \"very positive\", \"very negative\" and \"1 star\" to \"5 stars\" (`id2label` in \
                     config.json names them)",
                    labels.join(", ")
                ),
            )),
        }
    }

    /// The parts of a text that are judged apart, as the classifier reads them.
    fn parts<'t>(&self, text: &'t str) -> Vec<Cow<'t, str>> {
        if !self.prepares {
            let parts = sentence_parts(text, self.part).into_iter();
            return parts.map(|part| Cow::Borrowed(&text[part])).collect();
        }
        match ratings::in_words(text) {
            Cow::Borrowed(text) => lists::parts(text, self.part),
            Cow::Owned(text) => {
                let parts = lists::parts(&text, self.part).into_iter();
                parts.map(|part| Cow::Owned(part.into_owned())).collect()
            }
        }
    }

    /// The probabilities of the sentiments from those of the labels.
    fn scores(&self, labels: &[f32]) -> Scores {
        let mut scores = [0f32; 4];
        for (&place, score) in self.places.iter().zip(labels) {
            scores[place] += score;
        }
        if !self.classifier.exclusive() {
            let sum: f32 = scores.iter().sum();
            // No label holds: the text says neither.
            match sum > f32::MIN_POSITIVE {
                true => scores.iter_mut().for_each(|score| *score /= sum),
                false => scores = [0.0, 0.0, 1.0, 0.0],
            }
        }
        scores
    }
}

/// A place for a classifier that several tasks hold the same copy of.
#[derive(Clone)]
pub struct SharedClassifier {
    source: Source,
    place: Arc<Mutex<Weak<Judge>>>,
}

impl SharedClassifier {
    /// The classifier that is named, else the built-in one.
    pub fn new(named: Option<&str>) -> Self {
        Self {
            source: Source::of(named, builtin::SENTIMENT.base),
            place: Arc::default(),
        }
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<Arc<Judge>> {
        let mut place = self.place.lock();
        if let Some(shared) = place.upgrade() {
            return Ok(shared);
        }
        let shared = Arc::new(match &self.source {
            Source::Catalogue(base) => {
                let classifier = TextClassifier::builtin(&builtin::SENTIMENT, context)?;
                Judge::of(classifier, PART, base, true)?
            }
            Source::Checkpoint(reference) => Judge::named(reference, context)?,
        });
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
    judge: Arc<Judge>,
}

/// What the parts of a text say, in order, each with its length in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts(Vec<(usize, Scores)>);

impl Parts {
    /// The probabilities of the whole text.
    pub fn whole(&self) -> Scores {
        join(&self.0)
    }

    /// The parts of several texts that follow each other.
    pub fn concat(texts: impl IntoIterator<Item = Self>) -> Self {
        Self(texts.into_iter().flat_map(|parts| parts.0).collect())
    }
}

impl FromIterator<(usize, Scores)> for Parts {
    fn from_iter<I: IntoIterator<Item = (usize, Scores)>>(parts: I) -> Self {
        Self(parts.into_iter().collect())
    }
}

impl Task for SentimentTask {
    type Input = Arc<str>;
    type Output = Parts;
    type Pipeline = SentimentPipeline;

    fn name(&self) -> &'static str {
        self.name
    }

    fn model(&self) -> &str {
        self.shared.source.name()
    }

    fn precision(&self, asked: Precision) -> Precision {
        asked
    }

    fn fetch(
        &self,
        weights: &Store,
        progress: &dyn Progress,
    ) -> std::result::Result<(), escala_weights::Error> {
        self.shared.source.fetch(weights, progress).map(drop)
    }

    fn unit(&self) -> Unit {
        Unit::Tokens
    }

    fn cost(&self, input: &Arc<str>) -> u64 {
        input.len() as u64 / 4 + 2
    }

    fn limits(&self) -> Limits {
        // As embeddings: two cores read about 10,000 tokens a second, so a batch takes a tenth of a second.
        Limits {
            batch_cost: 1024,
            batch_items: 256,
            queue_items: 8192,
            queue_cost: 1 << 20,
        }
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<SentimentPipeline> {
        Ok(SentimentPipeline {
            judge: self.shared.load(context)?,
        })
    }
}

impl Pipeline for SentimentPipeline {
    type Input = Arc<str>;
    type Output = Parts;

    fn memory(&self) -> u64 {
        self.judge.classifier.memory()
    }

    fn sample(&self) -> Arc<str> {
        "The room was clean, but the breakfast was cold.".into()
    }

    fn run(&self, compute: &Compute, batch: &[Arc<str>]) -> Vec<Result<Parts>> {
        let (mut texts, mut counts) = (Vec::new(), Vec::with_capacity(batch.len()));
        for text in batch {
            let before = texts.len();
            texts.extend(self.judge.parts(text));
            counts.push(texts.len() - before);
        }
        let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
        let mut scores = Vec::with_capacity(texts.len());
        let mut tokens = Vec::with_capacity(texts.len());
        for some in texts.chunks(AT_ONCE) {
            match self.judge.classifier.classify(compute, some) {
                Ok(rows) => {
                    scores.extend(rows.iter().map(|row| self.judge.scores(row)));
                    tokens.extend(compute.shown.take());
                }
                Err(error) => {
                    let error =
                        Error::new(Kind::Internal, "the sentiment model failed").with_source(error);
                    return batch.iter().map(|_| Err(error.clone())).collect();
                }
            }
        }
        let items = counts.iter().enumerate();
        let items = items.flat_map(|(item, count)| std::iter::repeat_n(item, *count));
        for (item, tokens) in items.zip(tokens) {
            compute.shown.add(item, tokens);
        }
        let mut rest = texts.iter().map(|text| text.len()).zip(scores);
        let own = |count| Ok(rest.by_ref().take(count).collect());
        counts.into_iter().map(own).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    #[test]
    fn labels_of_popular_checkpoints_are_known() {
        let known = [
            ("POSITIVE", Sentiment::Positive),
            ("Very Negative", Sentiment::Negative),
            ("neutral", Sentiment::Neutral),
            ("1 star", Sentiment::Negative),
            ("3 stars", Sentiment::Neutral),
            ("5 stars", Sentiment::Positive),
            ("MIXED", Sentiment::Mixed),
        ];
        for (label, sentiment) in known {
            assert_eq!(Sentiment::of_label(label), Some(sentiment), "{label}");
        }
        for label in ["LABEL_0", "", "joy", "not positive"] {
            assert_eq!(Sentiment::of_label(label), None, "{label}");
        }
    }

    proptest! {
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
