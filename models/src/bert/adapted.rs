//! Classifiers of texts that were trained here: a base encoder, an adapter, a linear layer on the mean of the
//! last hidden states. Training is in [`crate::train`].

use super::head::finite;
use super::{Config, Encoder, Output, Tokenizer, Way, each, open, show};
use crate::compute::{Compute, Target};
use crate::error::Result;
use crate::train::adapter::{Adapter, Head};
use crate::train::classifier::softmax;
use std::path::Path;

/// A base model with an adapter merged into it, and the head that was trained with it.
pub struct AdaptedClassifier {
    tokenizer: Tokenizer,
    encoder: Encoder,
    head: Head,
    labels: Vec<String>,
    prompt: String,
    temperature: f32,
    max_tokens: usize,
}

impl AdaptedClassifier {
    /// The base model of the folder `base` with the adapter of the folder `adapter`, for `target`.
    ///
    /// # Errors
    /// When a file is missing, the two do not fit, or the device refuses.
    pub fn load<'a>(base: &Path, adapter: &Path, target: impl Into<Target<'a>>) -> Result<Self> {
        Self::new(base, Adapter::open(adapter)?, target)
    }

    /// The base model of the folder `base` with an open adapter.
    ///
    /// # Errors
    /// When a file is missing, the two do not fit, or the device refuses.
    pub fn new<'a>(base: &Path, adapter: Adapter, target: impl Into<Target<'a>>) -> Result<Self> {
        let weights = open(base)?;
        let changed = adapter.merged(&weights)?;
        let weights = weights.with(changed);
        let longest = adapter.config.max_tokens.min(weights.config.max_tokens());
        Ok(Self {
            tokenizer: Tokenizer::load(base, longest)?,
            head: adapter.head(weights.config.hidden_size)?,
            encoder: Encoder::new(&weights, Way::Best(target.into()))?,
            labels: adapter.config.labels,
            prompt: adapter.config.prompt,
            temperature: adapter.config.temperature,
            max_tokens: longest,
        })
    }

    /// Sizes of the network.
    pub fn config(&self) -> &Config {
        &self.encoder.config
    }

    /// The labels, in the order of the probabilities.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The tokens that are read of a text, special ones included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Bytes of memory that the loaded network holds.
    pub fn memory(&self) -> u64 {
        self.encoder.memory()
    }

    /// The probabilities of the labels for each text, calibrated. The answer for a text does not depend on
    /// the others.
    ///
    /// # Errors
    /// When the tokenizer or the device fails, or the network gives something that is not a number.
    pub fn classify(&self, compute: &Compute, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let tokens = each(compute, texts, |text| {
            if self.prompt.is_empty() {
                return self.tokenizer.encode(text);
            }
            self.tokenizer.encode(&format!("{}{text}", self.prompt))
        })?;
        let sequences: Vec<&[u32]> = tokens.iter().map(|tokens| &*tokens.ids).collect();
        let pooled = self.encoder.run(compute, &sequences, Output::Mean)?;
        show(compute, &sequences);
        pooled
            .iter()
            .map(|mean| {
                let mut logits = self.head.apply(mean);
                finite(&logits)?;
                logits.iter_mut().for_each(|x| *x /= self.temperature);
                Ok(softmax(&logits))
            })
            .collect()
    }
}
