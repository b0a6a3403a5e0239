//! Classifiers of texts, wherever they come from: built into the binary, trained here, or a checkpoint of a hub.
//!
//! | what the operator names | what it is |
//! | --- | --- |
//! | nothing | the task's own: a base of the catalogue with an adapter from the binary |
//! | a folder with `adapter_config.json` | trained by `escala train text-classifier` |
//! | another folder, `org/name`, `org/name@revision` | a checkpoint with a head for sequence classification |

use crate::error::Result;
use crate::task::{LoadContext, unavailable};
use escala_models::Compute;
use escala_models::bert::{AdaptedClassifier, Problem, SequenceClassifier};
use escala_models::train::adapter::{Adapter, OWN_BASE};
use escala_weights::{ModelFiles, Progress, Silent, Store, builtin};
use std::path::Path;
use std::sync::Arc;

/// Bytes of a text that any classifier reads together, at most.
const MOST_AT_ONCE: usize = 1000;

/// Where the model of a task comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The catalogue, by name.
    Catalogue(&'static str),
    /// A checkpoint that the operator named: `org/name`, `org/name@revision`, or the path of a folder.
    Checkpoint(Arc<str>),
}

impl Source {
    /// The checkpoint that was named, else the catalogue's model.
    pub fn of(named: Option<&str>, catalogue: &'static str) -> Self {
        named.map_or(Self::Catalogue(catalogue), |named| {
            Self::Checkpoint(named.into())
        })
    }

    /// What it is called in messages and answers.
    pub fn name(&self) -> &str {
        match self {
            Self::Catalogue(name) => name,
            Self::Checkpoint(reference) => reference,
        }
    }

    /// The files, pulled where they are missing. Of a folder with an adapter: those of its base.
    ///
    /// # Errors
    /// What cannot be pulled or is not a checkpoint.
    pub fn fetch(
        &self,
        store: &Store,
        progress: &dyn Progress,
    ) -> std::result::Result<ModelFiles, escala_weights::Error> {
        match self {
            Self::Catalogue(name) => store.ensure(name, progress),
            Self::Checkpoint(reference) => {
                let folder = Path::new(&**reference);
                match base_of(folder) {
                    Some(base) if base == OWN_BASE => store.checkpoint(reference, progress),
                    Some(base) if store.catalog().get(&base).is_some() => {
                        store.ensure(&base, progress)
                    }
                    Some(base) => store.checkpoint(&base, progress),
                    None => store.checkpoint(reference, progress),
                }
            }
        }
    }
}

/// The base that the adapter in `folder` says it belongs to, if there is an adapter that can be read.
fn base_of(folder: &Path) -> Option<String> {
    if !Adapter::is_in(folder) {
        return None;
    }
    match Adapter::open(folder) {
        Ok(adapter) => Some(adapter.config.base_model_name_or_path),
        Err(error) => {
            // It is then taken for a checkpoint, and what that lacks is said; this is why.
            tracing::error!(folder = %folder.display(), %error, "the adapter cannot be read");
            None
        }
    }
}

/// A loaded classifier of texts.
pub enum TextClassifier {
    /// A base with an adapter, and a head on the mean of its hidden states.
    Adapted(AdaptedClassifier),
    /// A checkpoint with a head of its family.
    Checkpoint(SequenceClassifier),
}

impl TextClassifier {
    /// A base of the catalogue with an adapter from the binary.
    ///
    /// # Errors
    /// `Unavailable` with what is missing and what to do.
    pub fn builtin(adapter: &builtin::Adapter, context: &LoadContext<'_>) -> Result<Self> {
        let base = adapter.base;
        let files = context
            .weights
            .ensure(base, &Silent)
            .map_err(|e| unavailable(base, e))?;
        let name = Path::new("the built-in adapter");
        let adapter = Adapter::parse(adapter.config, adapter.tensors.into(), name)
            .map_err(|e| unavailable(base, e))?;
        let classifier = AdaptedClassifier::new(files.dir(), adapter, context.target)
            .map_err(|e| unavailable(base, e))?;
        Ok(Self::Adapted(classifier))
    }

    /// What the operator named.
    ///
    /// # Errors
    /// `Unavailable` with what is missing and what to do.
    pub fn named(reference: &str, context: &LoadContext<'_>) -> Result<Self> {
        let source = Source::Checkpoint(reference.into());
        let files = source
            .fetch(context.weights, &Silent)
            .map_err(|e| unavailable(reference, e))?;
        let folder = Path::new(reference);
        if Adapter::is_in(folder) {
            return AdaptedClassifier::load(files.dir(), folder, context.target)
                .map(Self::Adapted)
                .map_err(|e| unavailable(reference, e));
        }
        SequenceClassifier::load(files.dir(), context.target)
            .map(Self::Checkpoint)
            .map_err(|e| unavailable(reference, e))
    }

    /// The labels, in the order of scores.
    pub fn labels(&self) -> &[String] {
        match self {
            Self::Adapted(classifier) => classifier.labels(),
            Self::Checkpoint(classifier) => classifier.labels(),
        }
    }

    /// Whether exactly one label holds, so that the scores of a text sum to one.
    pub fn exclusive(&self) -> bool {
        match self {
            Self::Adapted(_) => true,
            Self::Checkpoint(classifier) => classifier.problem() == Problem::SingleLabel,
        }
    }

    /// The tokens that are read of a text; more are cut off.
    pub fn max_tokens(&self) -> usize {
        match self {
            Self::Adapted(classifier) => classifier.max_tokens(),
            Self::Checkpoint(classifier) => classifier.config().max_tokens(),
        }
    }

    /// Bytes of a text that can be read together: a token has two bytes or more in nearly all texts.
    pub fn bytes_at_once(&self) -> usize {
        (2 * self.max_tokens().saturating_sub(2)).clamp(32, MOST_AT_ONCE)
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> u64 {
        match self {
            Self::Adapted(classifier) => classifier.memory(),
            Self::Checkpoint(classifier) => classifier.memory(),
        }
    }

    /// The probability of each label for each pair of texts, in order; none of a classifier that reads one text.
    ///
    /// # Errors
    /// As [`TextClassifier::classify`].
    pub fn classify_pairs(
        &self,
        compute: &Compute,
        pairs: &[(&str, &str)],
    ) -> Option<escala_models::Result<Vec<Vec<f32>>>> {
        let Self::Checkpoint(classifier) = self else {
            return None;
        };
        let answers = classifier.classify_pairs(compute, pairs);
        Some(answers.map(|answers| answers.into_iter().map(|answer| answer.scores).collect()))
    }

    /// What the network gives for each label of each pair of texts, or of each text where there are no others, before it is made
    /// a probability; none of a base with an adapter, whose numbers are scaled to be calibrated.
    ///
    /// # Errors
    /// As [`TextClassifier::classify`].
    pub fn score(
        &self,
        compute: &Compute,
        texts: &[&str],
        others: Option<&[&str]>,
    ) -> Option<escala_models::Result<Vec<Vec<f32>>>> {
        let Self::Checkpoint(classifier) = self else {
            return None;
        };
        Some(match others {
            None => classifier.score(compute, texts),
            Some(others) => {
                let pairs = texts.iter().copied().zip(others.iter().copied());
                classifier.score_pairs(compute, &pairs.collect::<Vec<_>>())
            }
        })
    }

    /// The probability of each label for each text, in order.
    ///
    /// # Errors
    /// When the tokenizer or the device fails, or the network gives something that is not a number.
    pub fn classify(
        &self,
        compute: &Compute,
        texts: &[&str],
    ) -> escala_models::Result<Vec<Vec<f32>>> {
        match self {
            Self::Adapted(classifier) => classifier.classify(compute, texts),
            Self::Checkpoint(classifier) => {
                let answers = classifier.classify(compute, texts)?.into_iter();
                Ok(answers.map(|answer| answer.scores).collect())
            }
        }
    }
}
