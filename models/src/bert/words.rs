//! Classifying the words of a text: spans of entities and the like.
//!
//! A word's label is that of its first token, and words of one label after the other are one span; a `B-` label
//! always starts another. This is the strategy `first` of the pipeline for token classification of Hugging Face
//! transformers, with its idea of a word: where tokens are marked as continuing one, that; else what is between
//! spaces. Positions are bytes of the text.
//!
//! A text of more tokens than the network has positions for is read in windows that overlap by a quarter, at most
//! by [`OVERLAP`] tokens; where spans of two windows overlap, the longer one holds, then the more probable one.

use super::head::{Dense, finite, softmax};
use super::tokenizer::{Place, PlacedTokens};
use super::{Config, Encoder, Output, Tokenizer, Way, each, open};
use crate::compute::Compute;
use crate::error::{Error, Result};
use candle_core::Device;
use std::path::Path;

/// The label of what is nothing.
const OUTSIDE: &str = "O";

/// The most tokens that two windows share.
const OVERLAP: usize = 64;

/// The tokens of windows that are read at once.
const BATCH: usize = 4096;

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
    /// Tokens of the text, special ones included.
    pub tokens: usize,
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

/// A part of a text that the network reads at once.
struct Window {
    text: usize,
    ids: Vec<u32>,
    places: Vec<Option<Place>>,
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
        let mut windows = Vec::new();
        for (text, placed) in placed.iter().enumerate() {
            windows.extend(self.windows(text, placed)?);
        }
        let mut found: Vec<Vec<Vec<Span>>> = texts.iter().map(|_| Vec::new()).collect();
        let mut rest = windows.as_slice();
        while !rest.is_empty() {
            let mut tokens = 0;
            let fit = rest.iter().take_while(|window| {
                tokens += window.ids.len();
                tokens <= BATCH
            });
            let (batch, others) = rest.split_at(fit.count().max(1));
            rest = others;
            let sequences: Vec<&[u32]> = batch.iter().map(|window| &*window.ids).collect();
            let hidden = self.encoder.run(compute, &sequences, Output::All)?;
            for (hidden, window) in hidden.iter().zip(batch) {
                let rows = self.output.apply(hidden);
                finite(&rows)?;
                let words = self.words(&rows, &window.places);
                found[window.text].push(self.spans(&words));
            }
        }
        let answers = found.into_iter().zip(&placed).zip(texts);
        let answer = |((found, placed), text): ((Vec<Vec<Span>>, &PlacedTokens), &&str)| {
            let spans = merge(found).into_iter();
            WordLabels {
                spans: spans.filter_map(|span| span.trimmed(text)).collect(),
                tokens: placed.ids.len(),
            }
        };
        Ok(answers.map(answer).collect())
    }

    /// The readings of a text: its tokens in pieces that fit, with the special tokens around each.
    fn windows(&self, text: usize, placed: &PlacedTokens) -> Result<Vec<Window>> {
        let special = |place: &&Option<Place>| place.is_none();
        let head = placed.places.iter().take_while(special).count();
        let tail = placed.places[head..]
            .iter()
            .rev()
            .take_while(special)
            .count();
        let content = head..placed.ids.len() - tail;
        let room = self.tokenizer.longest().saturating_sub(head + tail);
        if room == 0 {
            return Err(Error::unsupported(format!(
                "{} special tokens in a sequence of {}",
                head + tail,
                self.tokenizer.longest()
            )));
        }
        let step = room - OVERLAP.min(room / 4);
        let mut windows = Vec::new();
        let mut start = content.start;
        loop {
            let part = start..content.end.min(start + room);
            windows.push(Window {
                text,
                ids: [
                    &placed.ids[..head],
                    &placed.ids[part.clone()],
                    &placed.ids[content.end..],
                ]
                .concat(),
                places: [
                    &placed.places[..head],
                    &placed.places[part.clone()],
                    &placed.places[content.end..],
                ]
                .concat(),
            });
            if part.end == content.end {
                return Ok(windows);
            }
            start += step;
        }
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
    fn spans(&self, words: &[Word]) -> Vec<Span> {
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
                let sum: f32 = group.iter().map(|word| word.score).sum();
                Some(Span {
                    label: label.to_owned(),
                    score: sum / group.len() as f32,
                    start: first.start,
                    end: last.end,
                })
            })
            .collect()
    }
}

impl Span {
    /// Without white space at its ends: some tokenizers count the space before a word as the word's, and some
    /// make it a token.
    fn trimmed(mut self, text: &str) -> Option<Self> {
        let place = text.get(self.start..self.end)?;
        self.end = self.start + place.trim_end().len();
        self.start += place.len() - place.trim_start().len();
        (self.start < self.end).then_some(self)
    }
}

/// The spans of a text from those of its windows.
fn merge(mut windows: Vec<Vec<Span>>) -> Vec<Span> {
    if windows.len() == 1 {
        return windows.pop().unwrap_or_default();
    }
    let mut all = windows.concat();
    // Stable: of two at the same place the earlier window's comes first.
    all.sort_by_key(|span| span.start);
    let mut spans: Vec<Span> = Vec::new();
    for span in all {
        match spans.last_mut() {
            Some(before) if span.start < before.end => {
                let lengths = (span.end - span.start, before.end - before.start);
                if lengths.0 > lengths.1 || (lengths.0 == lengths.1 && span.score > before.score) {
                    *before = span;
                }
            }
            _ => spans.push(span),
        }
    }
    spans
}
