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
//! The model reads a hundred words. A longer text is read in windows of a hundred, each beginning fifty after the one
//! before and the last ending with the text, and each label's score is its largest: wherever an insult stands, some
//! window holds it with its surroundings. (The package reads the last hundred words only.) Among a hundred calm words an
//! insult scores lower than alone.
//!
//! Scores are the network's outputs: probabilities of the labels that people gave to comments on Wikipedia. They are not
//! recalibrated, because that needs labelled texts of the kind to be judged; `pipelines/README.md` has what was
//! measured.

use crate::error::{Error, Kind, Result};
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit, unavailable};
use escala_models::Compute;
use escala_models::toxicity::{Classifier, LABELS, STEPS, Scores};
use parking_lot::Mutex;
use std::sync::Arc;

/// The catalogue's name of the network.
pub const MODEL: &str = "tox-block";

/// Languages that the model reads.
pub const LANGUAGES: &[&str] = &["en"];

/// Words from the beginning of a window to that of the next.
const STRIDE: usize = STEPS / 2;

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
        // Every window costs the same; a word has five bytes with its space.
        let words = input.len() / 5;
        let windows = 1 + words.saturating_sub(STEPS).div_ceil(STRIDE);
        (windows * STEPS) as u64
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

/// The parts of a text that the network reads one by one; at least one.
fn windows(words: &[u32]) -> impl Iterator<Item = &[u32]> {
    let last = words.len().saturating_sub(STEPS);
    let starts = (0..last).step_by(STRIDE).chain([last]);
    starts.map(|start| &words[start..words.len().min(start + STEPS)])
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
        let words: Vec<Mutex<Vec<u32>>> = batch.iter().map(|_| Mutex::default()).collect();
        compute.team.for_each(batch.len(), |index| {
            *words[index].lock() = self.classifier.words().of(&batch[index]);
        });
        let words: Vec<Vec<u32>> = words.into_iter().map(Mutex::into_inner).collect();
        let (mut parts, mut owners) = (Vec::new(), Vec::new());
        for (index, words) in words.iter().enumerate() {
            for window in windows(words) {
                parts.push(window);
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

    #[test]
    fn windows_cover_a_text_and_end_with_it() {
        for length in [0, 1, 99, 100, 101, 149, 150, 151, 200, 1234] {
            let words: Vec<u32> = (0..length).collect();
            let windows: Vec<&[u32]> = windows(&words).collect();
            let (first, last) = (windows[0], windows[windows.len() - 1]);
            assert!(
                words.starts_with(first) && words.ends_with(last),
                "{length}"
            );
            assert_eq!(last.len(), words.len().min(STEPS));
            assert_eq!(
                windows.len(),
                1 + words.len().saturating_sub(STEPS).div_ceil(STRIDE)
            );
            for pair in windows.windows(2) {
                assert_eq!(pair[0].len(), STEPS);
                assert!(pair[1][0] > pair[0][0] && pair[1][0] - pair[0][0] <= STRIDE as u32);
            }
        }
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
