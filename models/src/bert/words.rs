//! Classifying the words of a text: spans of entities and the like.
//!
//! A word's label is that of its first token, and words of one label after the other are one span; a `B-` label
//! always starts another. This is the strategy `first` of the pipeline for token classification of Hugging Face
//! transformers, with its idea of a word: where tokens are marked as continuing one, that; else what is between
//! spaces. Positions are bytes of the text.

use super::head::{Dense, finite, softmax};
use super::tokenizer::Place;
use super::{Config, Encoder, Output, Tokenizer, Way, each, open};
use crate::compute::Compute;
use crate::error::Result;
use candle_core::Device;
use std::path::Path;

/// The label of what is nothing.
const OUTSIDE: &str = "O";

/// A network that labels the words of a text.
pub struct TokenClassifier {
    tokenizer: Tokenizer,
    encoder: Encoder,
    output: Dense,
    labels: Vec<String>,
}

/// What a classifier says of the words of one text.
#[derive(Clone, Debug, PartialEq)]
pub struct WordLabels {
    /// What has a label other than `O`, in the order of the text.
    pub spans: Vec<Span>,
    /// Tokens read, special ones included.
    pub tokens: usize,
    /// The text had more tokens than the network reads; the rest has no labels.
    pub truncated: bool,
}

/// Words after each other that are one thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The label without `B-` or `I-`.
    pub label: String,
    /// The mean of the words' probabilities.
    pub score: f32,
    /// First byte.
    pub start: usize,
    /// After the last byte.
    pub end: usize,
}

/// A word with the label of its first token.
struct Word {
    label: usize,
    score: f32,
    start: usize,
    end: usize,
}

impl TokenClassifier {
    /// Loads a checkpoint's folder for `device`.
    ///
    /// # Errors
    /// When a file is missing, does not fit, has no such head, or the device refuses.
    pub fn load(folder: &Path, device: &Device) -> Result<Self> {
        Self::load_way(folder, Way::Best(device))
    }

    /// The same with the network in plain candle operations, also on the CPU: the reference of the fast way.
    ///
    /// # Errors
    /// As [`TokenClassifier::load`].
    pub fn load_reference(folder: &Path, device: &Device) -> Result<Self> {
        Self::load_way(folder, Way::Plain(device))
    }

    fn load_way(folder: &Path, way: Way<'_>) -> Result<Self> {
        let weights = open(folder)?;
        let (output, labels) = Dense::classifier(&weights, "classifier")?;
        Ok(Self {
            tokenizer: Tokenizer::load(folder, weights.config.max_tokens())?,
            encoder: Encoder::new(&weights, way)?,
            output,
            labels,
        })
    }

    /// Sizes of the network.
    pub fn config(&self) -> &Config {
        &self.encoder.config
    }

    /// The labels that the network knows, with `B-` and `I-` where it has them.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Bytes of memory that the loaded network holds.
    pub fn memory(&self) -> u64 {
        self.encoder.memory() + self.output.bytes()
    }

    /// The labelled spans of each text. The answer for a text does not depend on the others.
    ///
    /// # Errors
    /// When the tokenizer or the device fails, or the network gives something that is not a number.
    pub fn classify(&self, compute: &Compute, texts: &[&str]) -> Result<Vec<WordLabels>> {
        let placed = each(compute, texts, |text| self.tokenizer.encode_placed(text))?;
        let sequences: Vec<&[u32]> = placed.iter().map(|placed| &*placed.tokens.ids).collect();
        let hidden = self.encoder.run(compute, &sequences, Output::All)?;
        let read = hidden.iter().zip(&placed).zip(texts);
        read.map(|((hidden, placed), text)| {
            let rows = self.output.apply(hidden);
            finite(&rows)?;
            let words = self.words(&rows, &placed.places);
            Ok(WordLabels {
                spans: self.spans(&words, text),
                tokens: placed.tokens.ids.len(),
                truncated: placed.tokens.truncated,
            })
        })
        .collect()
    }

    /// Joins the tokens of each word.
    fn words(&self, rows: &[f32], places: &[Option<Place>]) -> Vec<Word> {
        let mut words: Vec<Word> = Vec::new();
        for (row, place) in rows.chunks_exact(self.labels.len()).zip(places) {
            let Some(place) = place else { continue };
            if place.continues
                && let Some(word) = words.last_mut()
            {
                word.end = place.end;
                continue;
            }
            let mut scores = row.to_vec();
            softmax(&mut scores);
            let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            let (label, &score) = best.expect("a head has at least one label");
            words.push(Word {
                label,
                score,
                start: place.start,
                end: place.end,
            });
        }
        words
    }

    /// Joins words of the same label.
    fn spans(&self, words: &[Word], text: &str) -> Vec<Span> {
        let tag = |word: &Word| {
            let label = self.labels[word.label].as_str();
            match label.strip_prefix("B-") {
                Some(tag) => (true, tag),
                None => (false, label.strip_prefix("I-").unwrap_or(label)),
            }
        };
        words
            .chunk_by(|before, word| {
                let (begins, label) = tag(word);
                !begins && label == tag(before).1
            })
            .filter_map(|group| {
                let (first, last) = (group.first()?, group.last()?);
                let label = tag(first).1;
                if label == OUTSIDE {
                    return None;
                }
                // Some tokenizers count the space before a word as the word's, some make it a token.
                let place = text.get(first.start..last.end)?;
                let start = first.start + (place.len() - place.trim_start().len());
                let end = first.start + place.trim_end().len();
                if start >= end {
                    return None;
                }
                let sum: f32 = group.iter().map(|word| word.score).sum();
                Some(Span {
                    label: label.to_owned(),
                    score: sum / group.len() as f32,
                    start,
                    end,
                })
            })
            .collect()
    }
}
