//! Dominant language of a text: fastText `lid.176`, and for texts of a few words what it does not know of them (`short`).

mod short;

use crate::chinese;
use crate::error::{Error, Kind, Result};
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit, unavailable};
use escala_models::Compute;
use escala_models::fasttext::{Classifier, Scratch};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// The catalogue's name of the classifier.
pub const MODEL: &str = "lid.176";

/// Languages less likely than this are not named, but for the likeliest.
const FLOOR: f32 = 0.01;

/// Bytes of a text that may be short: so many letters of any script, and signs between them.
const SHORT: usize = 160;

/// Bytes of text that a thread takes at a time: about half a millisecond of work, so that calling the others
/// costs little and long texts are shared out as well as short ones.
const CHUNK: u64 = 8 << 10;

/// Bytes of a text, and a little more: an empty one still has a place in the queue and an answer.
fn cost_of(text: &str) -> u64 {
    text.len() as u64 + 16
}

/// One language the text may be in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Language {
    /// ISO 639-1 code where there is one, else ISO 639-2/3; Traditional Chinese is `zh-TW`.
    pub code: String,
    /// Probability, 0 to 1.
    pub score: f32,
}

/// The languages of one text, most likely first; never empty.
pub type Languages = Vec<Language>;

/// Dominant language of a text.
#[derive(Clone, Copy, Debug, Default)]
pub struct LanguageTask;

/// The loaded classifier.
pub struct LanguagePipeline {
    classifier: Classifier,
    chinese: Option<usize>,
}

impl Task for LanguageTask {
    type Input = String;
    type Output = Languages;
    type Pipeline = LanguagePipeline;

    fn name(&self) -> &'static str {
        "language"
    }

    fn model(&self) -> &str {
        MODEL
    }

    fn unit(&self) -> Unit {
        Unit::Bytes
    }

    fn cost(&self, input: &String) -> u64 {
        cost_of(input)
    }

    fn limits(&self) -> Limits {
        // About 50 ns a byte: a batch takes a few milliseconds, the queue holds a second of work.
        Limits {
            batch_cost: 128 << 10,
            batch_items: 4096,
            queue_items: 65_536,
            queue_cost: 32 << 20,
        }
    }

    fn memory_estimate(&self) -> Option<u64> {
        Some(5_000_000)
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<LanguagePipeline> {
        let files = context
            .weights
            .ensure(MODEL, &escala_weights::Silent)
            .map_err(|e| unavailable(MODEL, e))?;
        let path = files
            .path("model.safetensors")
            .map_err(|e| unavailable(MODEL, e))?;
        let classifier = Classifier::load(&path).map_err(|e| unavailable(MODEL, e))?;
        let chinese = classifier.labels().iter().position(|label| label == "zh");
        Ok(LanguagePipeline {
            classifier,
            chinese,
        })
    }
}

impl LanguagePipeline {
    fn languages(&self, text: &str, scratch: &mut Scratch) -> Result<Languages> {
        let scores = self.classifier.predict(text, scratch);
        if scores.iter().any(|score| !score.is_finite()) {
            return Err(Error::new(
                Kind::Internal,
                "the language classifier's answer is not a number",
            ));
        }
        let labels = self.classifier.labels();
        // The end of the line is a row, too.
        let known = || self.classifier.rows(text).len() > 1;
        let short = text.len() <= SHORT;
        let decided = match short {
            true => short::decide(text, labels, scores, known()),
            false => None,
        };
        let told = decided.unwrap_or_else(|| scores.iter().copied().enumerate().collect());
        let mut likely: Vec<(usize, f32)> = told
            .into_iter()
            .filter(|&(_, score)| score >= FLOOR)
            .collect();
        if likely.is_empty() {
            likely.extend(
                scores
                    .iter()
                    .copied()
                    .enumerate()
                    .max_by(|a, b| a.1.total_cmp(&b.1)),
            );
        }
        likely.sort_by(|a, b| b.1.total_cmp(&a.1));
        let code = |label: usize| {
            if Some(label) == self.chinese && chinese::is_traditional(text) {
                return "zh-TW".to_owned();
            }
            self.classifier.labels()[label].clone()
        };
        // Decisions are kept away from zero, so a certain path can come out a hair above one.
        Ok(likely
            .into_iter()
            .map(|(label, score)| Language {
                code: code(label),
                score: score.min(1.0),
            })
            .collect())
    }
}

/// Cuts the batch into runs that cost [`CHUNK`] or little more each.
fn chunks(batch: &[String]) -> Vec<&[String]> {
    let (mut chunks, mut start, mut sum) = (Vec::new(), 0, 0);
    for (index, text) in batch.iter().enumerate() {
        sum += cost_of(text);
        if sum >= CHUNK {
            chunks.push(&batch[start..=index]);
            (start, sum) = (index + 1, 0);
        }
    }
    if start < batch.len() {
        chunks.push(&batch[start..]);
    }
    chunks
}

impl Pipeline for LanguagePipeline {
    type Input = String;
    type Output = Languages;

    fn memory(&self) -> u64 {
        self.classifier.memory()
    }

    fn sample(&self) -> String {
        "Where is the library?".to_owned()
    }

    fn run(&self, compute: &Compute, batch: &[String]) -> Vec<Result<Languages>> {
        let one = |texts: &[String]| -> Vec<Result<Languages>> {
            let mut scratch = Scratch::default();
            texts
                .iter()
                .map(|text| self.languages(text, &mut scratch))
                .collect()
        };
        let chunks = chunks(batch);
        let answers: Vec<Mutex<Vec<Result<Languages>>>> =
            chunks.iter().map(|_| Mutex::default()).collect();
        compute.team.for_each(chunks.len(), |index| {
            *answers[index].lock() = one(chunks[index])
        });
        answers.into_iter().flat_map(Mutex::into_inner).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_the_batch_in_order_and_of_like_cost() {
        let short: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        let long = vec!["x".repeat(5000); 7];
        for (batch, most) in [(&short, 512), (&long, 2), (&Vec::new(), 0)] {
            let chunks = chunks(batch);
            assert_eq!(&chunks.concat(), batch);
            assert!(
                chunks
                    .iter()
                    .all(|chunk| !chunk.is_empty() && chunk.len() <= most)
            );
        }
    }
}
