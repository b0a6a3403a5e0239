//! Classifying the words of a text: spans of entities and the like.
//!
//! A word's label is that of its first token where no other [`Strategy`] is asked for, and words of one label after the other
//! are one span; a `B-` label always starts another. The strategies are those of the pipeline for token classification of Hugging
//! Face transformers, with its idea of a word: where tokens are marked as continuing one, that; else what is between
//! spaces. Positions are bytes of the text.
//!
//! A text of more tokens than the network has positions for is read in windows that overlap by a quarter, at most
//! by [`OVERLAP`] tokens; where spans of two windows overlap, the longer one holds, then the more probable one.

use super::head::{Dense, finite, softmax};
use super::tokenizer::{Place, PlacedTokens};
use super::{Config, Encoder, Output, Tokenizer, Way, each, open};
use crate::compute::{Compute, Target};
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

/// How tokens become spans, under the names of transformers' `aggregation_strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// They do not: each token with a label other than `O` is a span, under the label as the network has it.
    None,
    /// Each token is a word.
    Simple,
    /// A word has the label of its first token.
    #[default]
    First,
    /// A word has the label that is most probable in the mean of its tokens.
    Average,
    /// A word has the label of its surest token.
    Max,
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
    /// The label, without `B-` or `I-` but by [`Strategy::None`].
    pub label: String,
    /// The mean of the words' probabilities.
    pub score: f32,
    /// First byte.
    pub start: usize,
    /// After the last byte.
    pub end: usize,
    /// The token that it is, by [`Strategy::None`].
    pub token: Option<Token>,
}

/// A token of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its number among the tokens of the text, special ones included.
    pub index: usize,
    /// As the vocabulary has it, or as the text has it where the vocabulary does not.
    pub text: String,
}

/// A part of a text that the network reads at once.
struct Window {
    text: usize,
    /// What is added to the number of a token here for its number in the text.
    before: usize,
    ids: Vec<u32>,
    places: Vec<Option<Place>>,
}

/// A word with the probabilities of its labels.
struct Word {
    scores: Vec<f32>,
    /// How many tokens the scores are the sum of.
    parts: f32,
    /// The number of its first token in the text.
    index: usize,
    start: usize,
    end: usize,
}

/// The place and the number of the largest.
fn largest(scores: &[f32]) -> (usize, f32) {
    let numbers = scores.iter().copied().enumerate();
    let best = numbers.max_by(|a, b| a.1.total_cmp(&b.1));
    best.unwrap_or_default()
}

impl Word {
    /// Another token belongs to it.
    fn add(&mut self, scores: &[f32], end: usize, strategy: Strategy) {
        self.end = end;
        match strategy {
            Strategy::Average => {
                let sums = self.scores.iter_mut().zip(scores);
                sums.for_each(|(sum, score)| *sum += score);
                self.parts += 1.0;
            }
            Strategy::Max if largest(scores).1 > largest(&self.scores).1 => {
                self.scores.copy_from_slice(scores);
            }
            _ => {}
        }
    }

    /// Its label and how probable that is.
    fn best(&self) -> (usize, f32) {
        let (label, score) = largest(&self.scores);
        (label, score / self.parts)
    }
}

impl TokenClassifier {
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

    /// The labelled spans of each text, by [`Strategy::First`]. The answer for a text does not depend on the others.
    ///
    /// # Errors
    /// When the tokenizer or the device fails, or the network gives something that is not a number.
    pub fn classify(&self, compute: &Compute, texts: &[&str]) -> Result<Vec<WordLabels>> {
        self.classify_by(compute, texts, Strategy::First)
    }

    /// The labelled spans of each text, by any strategy.
    ///
    /// # Errors
    /// As [`TokenClassifier::classify`].
    pub fn classify_by(
        &self,
        compute: &Compute,
        texts: &[&str],
        strategy: Strategy,
    ) -> Result<Vec<WordLabels>> {
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
                compute.shown.add(window.text, window.ids.len() as u64);
                let rows = self.output.apply(hidden);
                finite(&rows)?;
                let words = self.words(&rows, window, strategy);
                found[window.text].push(match strategy {
                    Strategy::None => self.tokens(&words, &placed[window.text]),
                    _ => self.spans(&words),
                });
            }
        }
        let answers = found.into_iter().zip(&placed).zip(texts);
        let answer = |((found, placed), text): ((Vec<Vec<Span>>, &PlacedTokens), &&str)| {
            let spans = match strategy {
                Strategy::None => once(found)
                    .into_iter()
                    .map(|span| self.spelled(span, placed, text))
                    .collect(),
                _ => {
                    let spans = merge(found).into_iter();
                    spans.filter_map(|span| span.trimmed(text)).collect()
                }
            };
            WordLabels {
                spans,
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
                before: part.start - head,
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

    /// Joins the tokens of each word, where the strategy does.
    fn words(&self, rows: &[f32], window: &Window, strategy: Strategy) -> Vec<Word> {
        let joins = !matches!(strategy, Strategy::None | Strategy::Simple);
        let mut words: Vec<Word> = Vec::new();
        let rows = rows.chunks_exact(self.labels.len());
        for (number, (row, place)) in rows.zip(&window.places).enumerate() {
            let Some(place) = place else { continue };
            let mut scores = row.to_vec();
            softmax(&mut scores);
            if joins
                && place.continues
                && let Some(word) = words.last_mut()
            {
                word.add(&scores, place.end, strategy);
                continue;
            }
            words.push(Word {
                scores,
                parts: 1.0,
                index: window.before + number,
                start: place.start,
                end: place.end,
            });
        }
        words
    }

    /// Tokens with a label, one by one.
    fn tokens(&self, words: &[Word], placed: &PlacedTokens) -> Vec<Span> {
        let labelled = words.iter().filter_map(|word| {
            let (label, score) = word.best();
            let label = self.labels.get(label)?;
            let id = placed.ids.get(word.index)?;
            (label != OUTSIDE).then(|| Span {
                label: label.clone(),
                score,
                start: word.start,
                end: word.end,
                token: Some(Token {
                    index: word.index,
                    text: self.tokenizer.token(*id).unwrap_or_default(),
                }),
            })
        });
        labelled.collect()
    }

    /// What the vocabulary does not know is told as it stands in the text.
    fn spelled(&self, mut span: Span, placed: &PlacedTokens, text: &str) -> Span {
        if let Some(token) = &mut span.token
            && let Some(id) = placed.ids.get(token.index)
            && self.tokenizer.is_unknown(*id)
            && let Some(spelled) = text.get(span.start..span.end)
        {
            spelled.clone_into(&mut token.text);
        }
        span
    }

    /// Joins words of the same label.
    fn spans(&self, words: &[Word]) -> Vec<Span> {
        let tag = |word: &Word| {
            let label = self.labels.get(word.best().0).map_or("", String::as_str);
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
                let sum: f32 = group.iter().map(|word| word.best().1).sum();
                Some(Span {
                    label: label.to_owned(),
                    score: sum / group.len() as f32,
                    start: first.start,
                    end: last.end,
                    token: None,
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

/// The tokens of a text from those of its windows, each once.
fn once(windows: Vec<Vec<Span>>) -> Vec<Span> {
    let number = |span: &Span| span.token.as_ref().map(|token| token.index);
    let mut all = windows.concat();
    all.sort_by(|a, b| {
        let surer = || b.score.total_cmp(&a.score);
        number(a).cmp(&number(b)).then_with(surer)
    });
    all.dedup_by_key(|span| number(span));
    all
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
