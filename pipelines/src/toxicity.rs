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
//! Scores are the network's outputs: probabilities of the labels that people gave to comments on Wikipedia. They are not
//! recalibrated, because that needs labelled texts of the kind to be judged; `pipelines/README.md` has what was
//! measured.

use crate::error::{Error, Kind, Result};
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit, unavailable};
use crate::windows::{Joined, Part};
use escala_models::Compute;
use escala_models::toxicity::{Classifier, LABELS, STEPS, Scores, Words};
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

/// A label of Comprehend that the model can answer.
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
    /// Threatens or wishes harm.
    ViolenceOrThreat,
}

impl ToxicKind {
    /// All of them, in Comprehend's order.
    pub const ALL: [Self; 5] = [
        Self::Profanity,
        Self::HateSpeech,
        Self::Insult,
        Self::HarassmentOrAbuse,
        Self::ViolenceOrThreat,
    ];

    /// Its name in Comprehend.
    pub fn name(self) -> &'static str {
        match self {
            Self::Profanity => "PROFANITY",
            Self::HateSpeech => "HATE_SPEECH",
            Self::Insult => "INSULT",
            Self::HarassmentOrAbuse => "HARASSMENT_OR_ABUSE",
            Self::ViolenceOrThreat => "VIOLENCE_OR_THREAT",
        }
    }

    fn score(self, [_, severe_toxic, obscene, threat, insult, identity_hate]: Scores) -> f32 {
        match self {
            Self::Profanity => obscene,
            Self::HateSpeech => identity_hate,
            Self::Insult => insult,
            Self::HarassmentOrAbuse => severe_toxic.max(threat).max(insult).max(identity_hate),
            Self::ViolenceOrThreat => threat,
        }
    }
}

/// How toxic a text is.
#[derive(Clone, Debug, PartialEq)]
pub struct Toxicity {
    /// Probability that it is toxic, 0 to 1.
    pub toxicity: f32,
    /// Probability of each label, 0 to 1, in the order of [`ToxicKind::ALL`].
    pub labels: Vec<(ToxicKind, f32)>,
}

impl Toxicity {
    fn of(scores: Scores) -> Self {
        Self {
            toxicity: scores[0],
            labels: ToxicKind::ALL
                .map(|kind| (kind, kind.score(scores)))
                .to_vec(),
        }
    }
}

/// Toxicity of a text.
#[derive(Clone, Copy, Debug, Default)]
pub struct ToxicityTask;

/// The loaded network.
pub struct ToxicityPipeline {
    classifier: Classifier,
}

impl Task for ToxicityTask {
    type Input = Arc<str>;
    type Output = Toxicity;
    type Pipeline = ToxicityPipeline;

    fn name(&self) -> &'static str {
        "toxicity"
    }

    fn model(&self) -> &str {
        MODEL
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
        Some(6_000_000)
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<ToxicityPipeline> {
        let files = context
            .weights
            .ensure(MODEL, &escala_weights::Silent)
            .map_err(|e| unavailable(MODEL, e))?;
        let classifier =
            Classifier::load(files.dir(), context.device).map_err(|e| unavailable(MODEL, e))?;
        Ok(ToxicityPipeline { classifier })
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
            .unwrap_or_else(|| Self::of(Scores::default()));
        answers.fold(first, |mut whole, part| {
            whole.toxicity = whole.toxicity.max(part.toxicity);
            let labels = whole.labels.iter_mut().zip(part.labels);
            // Every answer has the labels of `ToxicKind::ALL`, in their order.
            labels.for_each(|((_, score), (_, other))| *score = score.max(other));
            whole
        })
    }
}

impl Pipeline for ToxicityPipeline {
    type Input = Arc<str>;
    type Output = Toxicity;

    fn memory(&self) -> u64 {
        self.classifier.memory()
    }

    fn sample(&self) -> Arc<str> {
        "The quick brown fox jumps over the lazy dog.".into()
    }

    fn run(&self, compute: &Compute, batch: &[Arc<str>]) -> Vec<Result<Toxicity>> {
        let texts: Vec<Mutex<Read>> = batch.iter().map(|_| Mutex::default()).collect();
        compute.team.for_each(batch.len(), |index| {
            *texts[index].lock() = Read::of(self.classifier.words(), &batch[index]);
        });
        let texts: Vec<Read> = texts.into_iter().map(Mutex::into_inner).collect();
        let (mut parts, mut owners) = (Vec::new(), Vec::new());
        for (index, text) in texts.iter().enumerate() {
            for window in text.windows() {
                parts.push(&text.words[window]);
                owners.push(index);
            }
        }
        let scores = match self.classifier.scores(compute, &parts) {
            Ok(scores) => scores,
            Err(error) => {
                let error =
                    Error::new(Kind::Internal, "the toxicity model failed").with_source(error);
                return batch.iter().map(|_| Err(error.clone())).collect();
            }
        };
        // Every text has a window, so every place is written; the network's scores are finite and above zero.
        let mut largest = vec![[0.0_f32; LABELS.len()]; batch.len()];
        for (owner, scores) in owners.into_iter().zip(scores) {
            let best = largest[owner].iter_mut().zip(scores);
            best.for_each(|(best, score)| *best = best.max(score));
        }
        largest
            .into_iter()
            .map(|scores| Ok(Toxicity::of(scores)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        let parts = answers.map(|scores| (part.clone(), Toxicity::of(scores)));
        let whole = Toxicity::join(parts.into());
        assert_eq!(whole.toxicity, 0.9);
        let scores: Vec<f32> = whole.labels.iter().map(|(_, score)| *score).collect();
        assert_eq!(scores, [0.7, 0.05, 0.3, 0.4, 0.4]);
    }

    #[test]
    fn every_label_is_one_of_the_models_own_scores() {
        let toxicity = Toxicity::of([0.9, 0.3, 0.5, 0.1, 0.2, 0.05]);
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
