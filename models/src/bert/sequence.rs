//! Classifying whole texts: the first token's last hidden state and a small head.
//!
//! The head is the family's: BERT's pooler and `classifier`; RoBERTa's `classifier.dense` and
//! `classifier.out_proj`; DistilBERT's `pre_classifier` and `classifier`.

use super::config::{Family, Problem};
use super::head::{After, Dense, finite, softmax};
use super::tokenizer::{PairTokens, Tokens};
use super::{Config, Encoder, Output, Tokenizer, Way, each, open, show};
use crate::compute::{Compute, Target};
use crate::error::Result;
use crate::kernels::Activation;
use candle_core::Device;
use std::path::Path;

/// A network that scores labels for a text.
pub struct SequenceClassifier {
    tokenizer: Tokenizer,
    encoder: Encoder,
    dense: Dense,
    output: Dense,
    labels: Vec<String>,
    problem: Problem,
}

/// What a classifier says of one text.
#[derive(Clone, Debug, PartialEq)]
pub struct Classification {
    /// The probability of each label, in the order of [`SequenceClassifier::labels`]; of a regression the numbers.
    pub scores: Vec<f32>,
    /// Tokens read, special ones included.
    pub tokens: usize,
    /// The text had more tokens than the network reads.
    pub truncated: bool,
}

impl SequenceClassifier {
    /// Loads a checkpoint's folder for `target`.
    ///
    /// # Errors
    /// When a file is missing, does not fit, has no such head, or the device refuses.
    pub fn load<'a>(folder: &Path, target: impl Into<Target<'a>>) -> Result<Self> {
        Self::load_way(folder, Way::Best(target.into()))
    }

    /// The same with the network in plain candle operations, also on the CPU: the reference of the fast way.
    ///
    /// # Errors
    /// As [`SequenceClassifier::load`].
    pub fn load_reference(folder: &Path, device: &Device) -> Result<Self> {
        Self::load_way(folder, Way::Plain(device))
    }

    fn load_way(folder: &Path, way: Way<'_>) -> Result<Self> {
        let weights = open(folder)?;
        let (dense, after, output) = match weights.config.family {
            Family::Bert => (weights.module("pooler.dense"), After::Tanh, "classifier"),
            Family::Roberta => (
                "classifier.dense".to_owned(),
                After::Tanh,
                "classifier.out_proj",
            ),
            Family::DistilBert => (
                "pre_classifier".to_owned(),
                After::Kernel(Activation::Relu),
                "classifier",
            ),
        };
        let (output, labels) = Dense::classifier(&weights, output)?;
        let problem = weights.config.problem.unwrap_or(if labels.len() == 1 {
            Problem::MultiLabel
        } else {
            Problem::SingleLabel
        });
        Ok(Self {
            tokenizer: Tokenizer::load(folder, weights.config.max_tokens())?,
            dense: Dense::square(&weights, &dense, after)?,
            encoder: Encoder::new(&weights, way)?,
            output,
            labels,
            problem,
        })
    }

    /// Sizes of the network.
    pub fn config(&self) -> &Config {
        &self.encoder.config
    }

    /// The labels, in the order of scores.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Whether exactly one label holds or each by itself.
    pub fn problem(&self) -> Problem {
        self.problem
    }

    /// Bytes of memory that the loaded network holds.
    pub fn memory(&self) -> u64 {
        self.encoder.memory() + self.dense.bytes() + self.output.bytes()
    }

    /// The scores for each text. The answer for a text does not depend on the others.
    ///
    /// # Errors
    /// When the tokenizer or the device fails, or the network gives something that is not a number.
    pub fn classify(&self, compute: &Compute, texts: &[&str]) -> Result<Vec<Classification>> {
        let (tokens, rows) = self.read(compute, texts)?;
        let read = tokens.iter().map(|one| (one.ids.len(), one.truncated));
        Ok(self.classified(&rows, read))
    }

    /// What the network gives for each label of each text, before it is made a probability.
    ///
    /// # Errors
    /// As [`SequenceClassifier::classify`].
    pub fn score(&self, compute: &Compute, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let (_, rows) = self.read(compute, texts)?;
        let each = rows.chunks_exact(self.labels.len());
        Ok(each.map(<[f32]>::to_vec).collect())
    }

    fn read(&self, compute: &Compute, texts: &[&str]) -> Result<(Vec<Tokens>, Vec<f32>)> {
        let tokens = each(compute, texts, |text| self.tokenizer.encode(text))?;
        let sequences: Vec<&[u32]> = tokens.iter().map(|tokens| &*tokens.ids).collect();
        let rows = self.numbers(compute, &sequences, &[])?;
        show(compute, &sequences);
        Ok((tokens, rows))
    }

    /// The scores for each pair of texts, one read behind the other.
    ///
    /// # Errors
    /// As [`SequenceClassifier::classify`], and when the tokenizer has no form for two texts.
    pub fn classify_pairs(
        &self,
        compute: &Compute,
        pairs: &[(&str, &str)],
    ) -> Result<Vec<Classification>> {
        let (tokens, rows) = self.read_pairs(compute, pairs)?;
        let read = tokens.iter().map(|one| (one.ids.len(), one.truncated));
        Ok(self.classified(&rows, read))
    }

    /// What the network gives for each label of each pair of texts, before it is made a probability.
    ///
    /// # Errors
    /// As [`SequenceClassifier::classify_pairs`].
    pub fn score_pairs(&self, compute: &Compute, pairs: &[(&str, &str)]) -> Result<Vec<Vec<f32>>> {
        let (_, rows) = self.read_pairs(compute, pairs)?;
        let each = rows.chunks_exact(self.labels.len());
        Ok(each.map(<[f32]>::to_vec).collect())
    }

    fn read_pairs(
        &self,
        compute: &Compute,
        pairs: &[(&str, &str)],
    ) -> Result<(Vec<PairTokens>, Vec<f32>)> {
        let tokens = each(compute, pairs, |(first, second)| {
            self.tokenizer.encode_pair(first, second)
        })?;
        let sequences: Vec<&[u32]> = tokens.iter().map(|tokens| &*tokens.ids).collect();
        let seconds: Vec<usize> = tokens.iter().map(|tokens| tokens.second).collect();
        let rows = self.numbers(compute, &sequences, &seconds)?;
        show(compute, &sequences);
        Ok((tokens, rows))
    }

    /// The numbers of all labels of each sequence, one behind the other.
    fn numbers(
        &self,
        compute: &Compute,
        sequences: &[&[u32]],
        seconds: &[usize],
    ) -> Result<Vec<f32>> {
        let first = self
            .encoder
            .run_pairs(compute, sequences, seconds, Output::First)?;
        let rows = self.output.apply(&self.dense.apply(&first.concat()));
        finite(&rows)?;
        Ok(rows)
    }

    /// What is said of texts of so many tokens each, some of them cut.
    fn classified(
        &self,
        rows: &[f32],
        read: impl Iterator<Item = (usize, bool)>,
    ) -> Vec<Classification> {
        let scored = rows.chunks_exact(self.labels.len()).zip(read);
        let classified = scored.map(|(row, (tokens, truncated))| Classification {
            scores: self.probabilities(row),
            tokens,
            truncated,
        });
        classified.collect()
    }

    fn probabilities(&self, row: &[f32]) -> Vec<f32> {
        let mut scores = row.to_vec();
        match self.problem {
            Problem::SingleLabel => softmax(&mut scores),
            Problem::Regression => {}
            Problem::MultiLabel => scores
                .iter_mut()
                .for_each(|x| *x = 1.0 / (1.0 + (-*x).exp())),
        }
        scores
    }
}
