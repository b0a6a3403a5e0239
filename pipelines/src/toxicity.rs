//! Toxicity of English texts: ToxBlock, in Comprehend's terms.
//!
//! The model has six labels of its own. Comprehend's are made of them without any weight or threshold of ours:
//!
//! | Comprehend | model |
//! | --- | --- |
//! | `Toxicity` of the whole text | toxic |
//! | `PROFANITY` | obscene |
//! | `INSULT` | insult |
//! | `HATE_SPEECH` | identity_hate |
//! | `VIOLENCE_OR_THREAT` | threat |
//! | `HARASSMENT_OR_ABUSE` | the largest of insult, threat, identity_hate and severe_toxic |
//! | `SEXUAL`, `GRAPHIC` | nothing: the labels are left out |
//!
//! An operator can name another classifier, whose labels are known by the names that the Jigsaw data sets gave them; one
//! with `sexual_explicit` also answers `SEXUAL`. It reads a long text in whole sentences, as many as it takes at once.
//!
//! The model has no label for harassment: abuse is at least one of the four, and the probability that at least one
//! holds is no less than the largest of theirs.
//!
//! The model reads a hundred words, and among many calm words an insult scores far lower than alone. So a text of more
//! than `SHORT` words that the model knows is read in several windows, and each label's score is its largest:
//!
//! * as a whole; a text of more than a hundred words in windows of a hundred, each beginning fifty after the one before
//!   and the last ending with the text (the package reads the last hundred words only);
//! * in sentences, as many together as make `LEAST` words; what has more than `SHORT` words without an end of a
//!   sentence, in windows of so many, each beginning half of that after the one before.
//!
//! The sizes were chosen among others by how many of the labelled sentences were found within calm texts and how many
//! calm texts were called toxic (`tests/toxicity.rs` measures both). The price of the largest of many scores: the longer
//! a text, the likelier one of its sentences is mistaken.
//!
//! Words that are spelled to be overlooked (`b1tch`, `i d i o t`) are also scored as they are meant (`disguise`), and each
//! score is the larger.
//!
//! Scores are the network's outputs: probabilities of the labels that people gave to comments on Wikipedia. They are not
//! recalibrated, because that needs labelled texts of the kind to be judged; `pipelines/README.md` has what was
//! measured.

mod disguise;

use crate::classifier::{Source, TextClassifier};
use crate::error::{Error, Kind, Result};
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit, unavailable};
use crate::windows::{Joined, Part, sentence_parts};
use escala_models::Compute;
use escala_models::toxicity::{Classifier, STEPS, Words};
use escala_weights::{Progress, Store};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;

/// The catalogue's name of the network.
pub const MODEL: &str = "tox-block";

/// Languages that the model reads.
pub const LANGUAGES: &[&str] = &["en"];

/// Most words of a text that is read as a whole only, and of a window of sentences.
const SHORT: usize = 20;

/// Least words of a window of sentences, but for the last: a sentence of fewer is read with the next.
const LEAST: usize = 6;

/// Parts that a named classifier reads together.
const AT_ONCE: usize = 64;

/// A label of Comprehend that a model can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ToxicKind {
    /// Vulgar words.
    Profanity,
    /// Belittles people for what they are.
    HateSpeech,
    /// Belittles a person.
    Insult,
    /// Seeks to hurt or to drive away.
    HarassmentOrAbuse,
    /// Speaks of sex.
    Sexual,
    /// Threatens or wishes harm.
    ViolenceOrThreat,
}

/// What a model's label says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Toxic,
    SevereToxic,
    Obscene,
    Threat,
    Insult,
    IdentityHate,
    Sexual,
}

/// Labels that are told apart.
const SAYS: usize = Says::Sexual as usize + 1;

/// The probability of what each label says, by [`Says`]; `None` where the model has no such label.
type Scores = [Option<f32>; SAYS];

impl Says {
    /// As the data sets of Jigsaw's two contests and the classifiers trained on them name it.
    fn of_label(label: &str) -> Option<Self> {
        match label.to_lowercase().replace([' ', '-'], "_").as_str() {
            "toxic" | "toxicity" => Some(Self::Toxic),
            "severe_toxic" | "severe_toxicity" => Some(Self::SevereToxic),
            "obscene" => Some(Self::Obscene),
            "threat" => Some(Self::Threat),
            "insult" => Some(Self::Insult),
            "identity_hate" | "identity_attack" => Some(Self::IdentityHate),
            "sexual_explicit" => Some(Self::Sexual),
            _ => None,
        }
    }
}

impl ToxicKind {
    /// All of them, in Comprehend's order.
    pub const ALL: [Self; 6] = [
        Self::Profanity,
        Self::HateSpeech,
        Self::Insult,
        Self::HarassmentOrAbuse,
        Self::Sexual,
        Self::ViolenceOrThreat,
    ];

    /// Its name in Comprehend.
    pub fn name(self) -> &'static str {
        match self {
            Self::Profanity => "PROFANITY",
            Self::HateSpeech => "HATE_SPEECH",
            Self::Insult => "INSULT",
            Self::HarassmentOrAbuse => "HARASSMENT_OR_ABUSE",
            Self::Sexual => "SEXUAL",
            Self::ViolenceOrThreat => "VIOLENCE_OR_THREAT",
        }
    }

    /// The labels of a model that it is made of: its score is the largest of theirs.
    fn made_of(self) -> &'static [Says] {
        match self {
            Self::Profanity => &[Says::Obscene],
            Self::HateSpeech => &[Says::IdentityHate],
            Self::Insult => &[Says::Insult],
            Self::HarassmentOrAbuse => &[
                Says::SevereToxic,
                Says::Threat,
                Says::Insult,
                Says::IdentityHate,
            ],
            Self::Sexual => &[Says::Sexual],
            Self::ViolenceOrThreat => &[Says::Threat],
        }
    }

    fn score(self, scores: &Scores) -> Option<f32> {
        let known = self
            .made_of()
            .iter()
            .filter_map(|says| scores[*says as usize]);
        known.reduce(f32::max)
    }
}

/// How toxic a text is.
#[derive(Clone, Debug, PartialEq)]
pub struct Toxicity {
    /// Probability that it is toxic, 0 to 1.
    pub toxicity: f32,
    /// Probability of each label that the model knows, 0 to 1, in the order of [`ToxicKind::ALL`].
    pub labels: Vec<(ToxicKind, f32)>,
}

impl Toxicity {
    fn of(scores: &Scores) -> Self {
        let label = |kind: ToxicKind| Some((kind, kind.score(scores)?));
        Self {
            toxicity: scores[Says::Toxic as usize].unwrap_or_default(),
            labels: ToxicKind::ALL.into_iter().filter_map(label).collect(),
        }
    }
}

/// Toxicity of a text.
#[derive(Clone, Debug)]
pub struct ToxicityTask {
    source: Source,
}

impl ToxicityTask {
    /// By the classifier that is named, else by [`MODEL`].
    pub fn new(named: Option<&str>) -> Self {
        Self {
            source: Source::of(named, MODEL),
        }
    }
}

impl Default for ToxicityTask {
    fn default() -> Self {
        Self::new(None)
    }
}

/// The loaded network.
pub struct ToxicityPipeline {
    network: Network,
}

enum Network {
    ToxBlock(Classifier),
    Named {
        classifier: Box<TextClassifier>,
        /// What each label says.
        says: Vec<Option<Says>>,
        /// Bytes that are read together.
        part: usize,
    },
}

impl Network {
    /// The classifier that an operator named.
    fn named(reference: &str, context: &LoadContext<'_>) -> Result<Self> {
        let classifier = TextClassifier::named(reference, context)?;
        let labels = classifier.labels();
        let says: Vec<_> = labels.iter().map(|label| Says::of_label(label)).collect();
        if !says.contains(&Some(Says::Toxic)) {
            let message = format!(
                "{reference} cannot judge toxicity: its labels are {}, and none is \"toxic\" or \"toxicity\"",
                labels.join(", ")
            );
            return Err(Error::new(Kind::Unavailable, message));
        }
        Ok(Self::Named {
            part: classifier.bytes_at_once(),
            says,
            classifier: Box::new(classifier),
        })
    }

    /// The scores of each text: the largest of its parts'.
    fn scores(&self, compute: &Compute, batch: &[Arc<str>]) -> escala_models::Result<Vec<Scores>> {
        match self {
            Self::ToxBlock(classifier) => {
                let known = |word: &str| !classifier.words().of(word).is_empty();
                let meant = batch.iter().enumerate().filter_map(|(index, text)| {
                    disguise::removed(text, known).map(|meant| (index, Arc::from(meant)))
                });
                let (owners, meant): (Vec<usize>, Vec<Arc<str>>) = meant.unzip();
                let mut scores = tox_block(classifier, compute, &[batch, &meant[..]].concat())?;
                let others = scores.split_off(batch.len());
                for (owner, other) in owners.into_iter().zip(others) {
                    for (score, other) in scores[owner].iter_mut().zip(other) {
                        *score = match (*score, other) {
                            (Some(score), Some(other)) => Some(score.max(other)),
                            (score, other) => score.or(other),
                        };
                    }
                }
                Ok(scores)
            }
            Self::Named {
                classifier,
                says,
                part,
            } => {
                let (mut parts, mut owners) = (Vec::new(), Vec::new());
                for (index, text) in batch.iter().enumerate() {
                    for range in sentence_parts(text, *part) {
                        parts.push(&text[range]);
                        owners.push(index);
                    }
                }
                let mut largest = vec![Scores::default(); batch.len()];
                let mut shown = vec![0; batch.len()];
                for (parts, owners) in parts.chunks(AT_ONCE).zip(owners.chunks(AT_ONCE)) {
                    let rows = classifier.classify(compute, parts)?;
                    for (tokens, &owner) in compute.shown.take().into_iter().zip(owners) {
                        shown[owner] += tokens;
                    }
                    for (row, &owner) in rows.iter().zip(owners) {
                        let known = says.iter().zip(row);
                        for (says, score) in
                            known.filter_map(|(says, score)| Some(((*says)?, *score)))
                        {
                            let place = &mut largest[owner][says as usize];
                            *place = Some(place.map_or(score, |other: f32| other.max(score)));
                        }
                    }
                }
                for (text, tokens) in shown.into_iter().enumerate() {
                    compute.shown.add(text, tokens);
                }
                Ok(largest)
            }
        }
    }
}

impl Task for ToxicityTask {
    type Input = Arc<str>;
    type Output = Toxicity;
    type Pipeline = ToxicityPipeline;

    fn name(&self) -> &'static str {
        "toxicity"
    }

    fn model(&self) -> &str {
        self.source.name()
    }

    fn fetch(
        &self,
        weights: &Store,
        progress: &dyn Progress,
    ) -> std::result::Result<(), escala_weights::Error> {
        self.source.fetch(weights, progress).map(drop)
    }

    fn unit(&self) -> Unit {
        Unit::Tokens
    }

    fn cost(&self, input: &Arc<str>) -> u64 {
        // Every window costs about the same, short or not; a word has five bytes with its space.
        let words = input.len() / 5;
        let whole = 1 + words.saturating_sub(STEPS).div_ceil(STEPS / 2);
        let sentences = if words > SHORT { words / LEAST } else { 0 };
        ((whole + sentences) * STEPS) as u64
    }

    fn limits(&self) -> Limits {
        // A core reads more than 5,000 windows a second: a batch takes some milliseconds, the queue holds
        // seconds of work.
        Limits {
            batch_cost: 6_400,
            batch_items: 64,
            queue_items: 16_384,
            queue_cost: 4 << 20,
        }
    }

    fn memory_estimate(&self) -> Option<u64> {
        matches!(self.source, Source::Catalogue(_)).then_some(6_000_000)
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<ToxicityPipeline> {
        let network = match &self.source {
            Source::Catalogue(model) => {
                let files = context
                    .weights
                    .ensure(model, &escala_weights::Silent)
                    .map_err(|e| unavailable(model, e))?;
                let classifier = Classifier::load(files.dir(), context.target.device);
                Network::ToxBlock(classifier.map_err(|e| unavailable(model, e))?)
            }
            Source::Checkpoint(reference) => Network::named(reference, context)?,
        };
        Ok(ToxicityPipeline { network })
    }
}

/// The words of a text that the model knows, and after how many of them each sentence ends; the last ends with the text.
#[derive(Debug, Default)]
struct Read {
    words: Vec<u32>,
    ends: Vec<usize>,
}

impl Read {
    fn of(words: &Words, text: &str) -> Self {
        let mut read = Self::default();
        for sentence in sentences(text) {
            read.words.extend(words.of(sentence));
            read.ends.push(read.words.len());
        }
        read
    }

    /// The parts of the text that the network reads one by one; at least one.
    fn windows(&self) -> Vec<Range<usize>> {
        let length = self.words.len();
        let mut windows = Vec::new();
        overlapping(0..length, STEPS, &mut windows);
        if length <= SHORT {
            return windows;
        }
        let mut start = 0;
        for &end in &self.ends {
            if end - start >= LEAST || (end == length && end > start) {
                overlapping(start..end, SHORT, &mut windows);
                start = end;
            }
        }
        windows
    }
}

/// Windows of at most so many words, each beginning half of that after the one before, the last ending with the words.
fn overlapping(words: Range<usize>, most: usize, windows: &mut Vec<Range<usize>>) {
    let last = words.end.saturating_sub(most).max(words.start);
    let starts = (words.start..last).step_by(most / 2).chain([last]);
    windows.extend(starts.map(|start| start..words.end.min(start + most)));
}

/// A text cut behind lines and behind marks that end a sentence before a space. What else they end ("Dr.") is cut as
/// well: such a piece has few words and is read with the next. The words are those of the whole text, since both a
/// space and a line's end part words.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut marked = false;
        let end = rest.char_indices().find_map(|(at, c)| match c {
            '\n' => Some(at + 1),
            ' ' if marked => Some(at),
            '.' | '!' | '?' | '…' => {
                marked = true;
                None
            }
            '"' | '\'' | ')' | ']' | '”' | '’' => None,
            _ => {
                marked = false;
                None
            }
        });
        let (sentence, others) = rest.split_at(end.unwrap_or(rest.len()));
        rest = others;
        Some(sentence)
    })
}

/// The largest of every score: what holds of a part of a text holds of the text.
impl Joined for Toxicity {
    fn join(parts: Vec<(Part, Self)>) -> Self {
        let mut answers = parts.into_iter().map(|(_, answer)| answer);
        let first = answers
            .next()
            .unwrap_or_else(|| Self::of(&Scores::default()));
        answers.fold(first, |mut whole, part| {
            whole.toxicity = whole.toxicity.max(part.toxicity);
            let labels = whole.labels.iter_mut().zip(part.labels);
            // Every answer has the model's labels, in the order of `ToxicKind::ALL`.
            labels.for_each(|((_, score), (_, other))| *score = score.max(other));
            whole
        })
    }
}

impl Pipeline for ToxicityPipeline {
    type Input = Arc<str>;
    type Output = Toxicity;

    fn memory(&self) -> u64 {
        match &self.network {
            Network::ToxBlock(classifier) => classifier.memory(),
            Network::Named { classifier, .. } => classifier.memory(),
        }
    }

    fn sample(&self) -> Arc<str> {
        "The quick brown fox jumps over the lazy dog.".into()
    }

    fn run(&self, compute: &Compute, batch: &[Arc<str>]) -> Vec<Result<Toxicity>> {
        match self.network.scores(compute, batch) {
            Ok(scores) => scores
                .iter()
                .map(|scores| Ok(Toxicity::of(scores)))
                .collect(),
            Err(error) => {
                let error =
                    Error::new(Kind::Internal, "the toxicity model failed").with_source(error);
                batch.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }
}

/// The scores that ToxBlock gives each text: the largest of its windows'.
fn tox_block(
    classifier: &Classifier,
    compute: &Compute,
    batch: &[Arc<str>],
) -> escala_models::Result<Vec<Scores>> {
    let texts: Vec<Mutex<Read>> = batch.iter().map(|_| Mutex::default()).collect();
    compute.team.for_each(batch.len(), |index| {
        *texts[index].lock() = Read::of(classifier.words(), &batch[index]);
    });
    let texts: Vec<Read> = texts.into_iter().map(Mutex::into_inner).collect();
    let (mut parts, mut owners) = (Vec::new(), Vec::new());
    for (index, text) in texts.iter().enumerate() {
        for window in text.windows() {
            parts.push(&text.words[window]);
            owners.push(index);
        }
    }
    // Every text has a window; `LABELS` has the order of `Says`.
    let mut largest = vec![Scores::default(); batch.len()];
    for (owner, scores) in owners.into_iter().zip(classifier.scores(compute, &parts)?) {
        for (place, score) in largest[owner].iter_mut().zip(scores) {
            *place = Some(place.map_or(score, |other| other.max(score)));
        }
    }
    Ok(largest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The scores of a model with these six labels.
    fn known(scores: [f32; 6]) -> Scores {
        let mut known = Scores::default();
        let places = known.iter_mut().zip(scores);
        places.for_each(|(place, score)| *place = Some(score));
        known
    }

    #[test]
    fn the_built_in_models_labels_are_in_the_order_of_what_they_say() {
        for (place, label) in escala_models::toxicity::LABELS.iter().enumerate() {
            let says = Says::of_label(label).map(|says| says as usize);
            assert_eq!(says, Some(place), "{label}");
        }
        for label in ["non-toxic", "LABEL_0", "", "female"] {
            assert_eq!(Says::of_label(label), None, "{label}");
        }
    }

    #[test]
    fn a_model_that_knows_more_answers_more() {
        let mut scores = known([0.9, 0.3, 0.5, 0.1, 0.2, 0.05]);
        scores[Says::Sexual as usize] = Some(0.8);
        scores[Says::Obscene as usize] = None;
        let labels = Toxicity::of(&scores).labels;
        assert_eq!(labels.len(), 5);
        assert!(labels.contains(&(ToxicKind::Sexual, 0.8)));
        assert!(labels.iter().all(|(kind, _)| *kind != ToxicKind::Profanity));
    }

    fn read(words: usize, ends: &[usize]) -> Read {
        Read {
            words: (0..words as u32).collect(),
            ends: ends.to_vec(),
        }
    }

    #[test]
    fn short_texts_are_read_as_a_whole() {
        for length in [0, 1, 6, 19, 20] {
            let half = length / 2;
            let whole = read(length, &[half, length]).windows();
            assert_eq!((whole.len(), &whole[0]), (1, &(0..length)));
        }
    }

    #[test]
    fn long_texts_are_read_as_a_whole_and_in_sentences() {
        // Sentences of 2, 9, 3, 1 and 6 words.
        let windows = read(21, &[2, 11, 14, 15, 21]).windows();
        assert_eq!(windows, [0..21, 0..11, 11..21]);
        let windows = read(24, &[7, 14, 21, 24]).windows();
        assert_eq!(windows, [0..24, 0..7, 7..14, 14..21, 21..24]);
        // No end of a sentence at all.
        let windows = read(45, &[45]).windows();
        assert_eq!(windows, [0..45, 0..20, 10..30, 20..40, 25..45]);
        let windows = read(160, &[160]).windows();
        assert_eq!(windows[..3], [0..100, 50..150, 60..160]);
    }

    proptest! {
        #[test]
        fn windows_cover_a_text_within_bounds(lengths in prop::collection::vec(0usize..60, 0..60)) {
            let ends: Vec<usize> = lengths.iter().scan(0, |end, length| {
                *end += length;
                Some(*end)
            }).collect();
            let length = ends.last().copied().unwrap_or(0);
            let windows = read(length, &ends).windows();
            prop_assert!(windows.iter().all(|w| w.start <= w.end && w.end <= length && w.len() <= STEPS));
            let whole = 1 + length.saturating_sub(STEPS).div_ceil(STEPS / 2);
            prop_assert!(windows.len() <= whole + length / LEAST + 1, "{}", windows.len());
            // The windows of a hundred, then those of sentences: both cover the text.
            let (whole, sentences) = windows.split_at(whole);
            for windows in [whole, sentences] {
                if windows.is_empty() {
                    prop_assert!(length <= SHORT);
                    continue;
                }
                prop_assert_eq!((windows[0].start, windows[windows.len() - 1].end), (0, length));
                prop_assert!(windows.windows(2).all(|pair| pair[1].start <= pair[0].end));
            }
        }

        #[test]
        fn sentences_are_the_text(text in "[a-zB .!?…\"')\n\t\r\u{a0}Σ]{0,200}") {
            let all: Vec<&str> = sentences(&text).collect();
            prop_assert!(all.iter().all(|sentence| !sentence.is_empty()));
            prop_assert_eq!(&all.concat(), &text);
            // Every cut is where words part.
            for pair in all.windows(2) {
                prop_assert!(pair[0].ends_with('\n') || pair[1].starts_with(' '), "{pair:?}");
            }
        }
    }

    #[test]
    fn sentences_end_with_marks_and_lines() {
        let text = "One. \"Two!\" Three... four\nfive 1.5 \n six";
        let all: Vec<&str> = sentences(text).collect();
        let wanted = [
            "One.",
            " \"Two!\"",
            " Three...",
            " four\n",
            "five 1.5 \n",
            " six",
        ];
        assert_eq!(all, wanted);
    }

    #[test]
    fn the_answer_of_parts_is_the_largest() {
        let part = Part {
            bytes: 0..1,
            before: 0,
        };
        let answers = [
            [0.9, 0.3, 0.5, 0.1, 0.2, 0.05],
            [0.2, 0.1, 0.7, 0.4, 0.3, 0.01],
        ];
        let parts = answers.map(|scores| (part.clone(), Toxicity::of(&known(scores))));
        let whole = Toxicity::join(parts.into());
        assert_eq!(whole.toxicity, 0.9);
        let scores: Vec<f32> = whole.labels.iter().map(|(_, score)| *score).collect();
        assert_eq!(scores, [0.7, 0.05, 0.3, 0.4, 0.4]);
    }

    #[test]
    fn every_label_is_one_of_the_models_own_scores() {
        let toxicity = Toxicity::of(&known([0.9, 0.3, 0.5, 0.1, 0.2, 0.05]));
        assert_eq!(toxicity.toxicity, 0.9);
        let scores: Vec<_> = toxicity
            .labels
            .iter()
            .map(|(kind, score)| (kind.name(), *score))
            .collect();
        assert_eq!(
            scores,
            [
                ("PROFANITY", 0.5),
                ("HATE_SPEECH", 0.05),
                ("INSULT", 0.2),
                ("HARASSMENT_OR_ABUSE", 0.3),
                ("VIOLENCE_OR_THREAT", 0.1),
            ]
        );
    }
}
