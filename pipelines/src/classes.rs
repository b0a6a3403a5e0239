//! Classes of texts by a classifier of the operator's own: one that was trained here, or a checkpoint.
//!
//! There is no default. A text is read as far as the classifier reads (its `max_tokens`).

use crate::classifier::{Source, TextClassifier};
use crate::error::{Error, Kind, Result};
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit};
use escala_models::{Compute, Precision};
use escala_weights::{Progress, Store};
use std::sync::Arc;

/// Tokens that a classifier is expected to read of a text, at most, when the cost of one is estimated.
const MOST_TOKENS: u64 = 512;

/// A class and its probability.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// The label.
    pub name: Arc<str>,
    /// Probability, 0 to 1. Where exactly one class holds, those of a text sum to one.
    pub score: f32,
}

/// The classes of one text, most likely first.
pub type Classes = Vec<Class>;

/// Classes of texts.
#[derive(Clone, Debug)]
pub struct ClassesTask {
    reference: Arc<str>,
}

impl ClassesTask {
    /// By the classifier that is named.
    pub fn new(reference: &str) -> Self {
        Self {
            reference: reference.into(),
        }
    }
}

/// The loaded classifier.
pub struct ClassesPipeline {
    classifier: TextClassifier,
    names: Vec<Arc<str>>,
}

impl Task for ClassesTask {
    type Input = Arc<str>;
    type Output = Classes;
    type Pipeline = ClassesPipeline;

    fn name(&self) -> &'static str {
        "classify"
    }

    fn model(&self) -> &str {
        &self.reference
    }

    fn precision(&self, asked: Precision) -> Precision {
        asked
    }

    fn fetch(
        &self,
        weights: &Store,
        progress: &dyn Progress,
    ) -> std::result::Result<(), escala_weights::Error> {
        let source = Source::Checkpoint(self.reference.clone());
        source.fetch(weights, progress).map(drop)
    }

    fn unit(&self) -> Unit {
        Unit::Tokens
    }

    fn cost(&self, input: &Arc<str>) -> u64 {
        (input.len() as u64 / 4 + 2).min(MOST_TOKENS)
    }

    fn limits(&self) -> Limits {
        // As embeddings.
        Limits {
            batch_cost: 1024,
            batch_items: 256,
            queue_items: 8192,
            queue_cost: 128 << 10,
        }
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<ClassesPipeline> {
        let classifier = TextClassifier::named(&self.reference, context)?;
        let names = classifier
            .labels()
            .iter()
            .map(|label| label.as_str().into());
        Ok(ClassesPipeline {
            names: names.collect(),
            classifier,
        })
    }
}

impl Pipeline for ClassesPipeline {
    type Input = Arc<str>;
    type Output = Classes;

    fn memory(&self) -> u64 {
        self.classifier.memory()
    }

    fn sample(&self) -> Arc<str> {
        "The quick brown fox jumps over the lazy dog.".into()
    }

    fn run(&self, compute: &Compute, batch: &[Arc<str>]) -> Vec<Result<Classes>> {
        let texts: Vec<&str> = batch.iter().map(|text| &**text).collect();
        let rows = match self.classifier.classify(compute, &texts) {
            Ok(rows) => rows,
            Err(error) => {
                let error = Error::new(Kind::Internal, "the classifier failed").with_source(error);
                return batch.iter().map(|_| Err(error.clone())).collect();
            }
        };
        let classes = |row: Vec<f32>| {
            let class = |(name, score): (&Arc<str>, f32)| Class {
                name: name.clone(),
                score,
            };
            let mut classes: Classes = self.names.iter().zip(row).map(class).collect();
            classes.sort_by(|a, b| b.score.total_cmp(&a.score));
            Ok(classes)
        };
        rows.into_iter().map(classes).collect()
    }
}
