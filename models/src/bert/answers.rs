//! Where a text answers a question: the span of its tokens that most probably does (Rajpurkar et al. 2016, arXiv:1606.05250).
//!
//! The head is one layer, `qa_outputs`, that says of each token how well an answer would begin and end there. A text of more
//! tokens than are read together is read in windows that overlap; answers that read the same are one, and their probabilities
//! are added. Reference: the pipeline `question-answering` of Hugging Face transformers 4. Positions are bytes of the text.

use super::head::{After, Dense, finite, softmax};
use super::tokenizer::Asked;
use super::{Config, Encoder, Output, Tokenizer, Way, open};
use crate::compute::{Compute, Target};
use crate::error::{Error, Result};
use candle_core::Device;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

/// The layer's outputs: how well an answer begins, and how well it ends.
const ENDS: usize = 2;

/// Windows that are read at once.
const BATCH: usize = 16;

/// Most windows of a text.
const MOST: usize = 1024;

/// Bytes for each token of as many windows, beyond which a text is not even cut into tokens: they have about four.
const BYTES: usize = 8;

/// A network that finds answers in texts.
pub struct AnswerFinder {
    tokenizer: Tokenizer,
    encoder: Encoder,
    output: Dense,
}

/// How answers are looked for, under transformers' names in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerOptions {
    /// Answers that are told, at most (`top_k`).
    pub most: usize,
    /// Tokens of an answer, at most (`max_answer_len`).
    pub longest: usize,
    /// Tokens that are read together, question and special ones included (`max_seq_len`); never more than the network reads.
    pub window: usize,
    /// Tokens that two windows share (`doc_stride`); where it is not said half a window, at most 128.
    pub overlap: Option<usize>,
    /// Whether answers are whole words (`align_to_words`).
    pub words: bool,
    /// Whether nothing is an answer, too: one of no length (`handle_impossible_answer`).
    pub none: bool,
}

impl Default for AnswerOptions {
    fn default() -> Self {
        Self {
            most: 1,
            longest: 15,
            window: 384,
            overlap: None,
            words: true,
            none: false,
        }
    }
}

/// Where an answer is.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its probability, those of all windows together.
    pub score: f64,
    /// Its bytes in the text.
    pub place: Range<usize>,
}

/// A part of a text that is read at once: some of its tokens.
struct Window {
    ids: Vec<u32>,
    tokens: Range<usize>,
}

/// A span of tokens of the text.
struct Span {
    score: f64,
    tokens: Range<usize>,
}

impl AnswerFinder {
    /// Loads a checkpoint's folder for `target`.
    ///
    /// # Errors
    /// When a file is missing, does not fit, has no such head, or the device refuses.
    pub fn load<'a>(folder: &Path, target: impl Into<Target<'a>>) -> Result<Self> {
        Self::load_way(folder, Way::Best(target.into()))
    }

    /// The same with the encoder in plain candle operations, also on the CPU: the reference of the fast way.
    ///
    /// # Errors
    /// As [`AnswerFinder::load`].
    pub fn load_reference(folder: &Path, device: &Device) -> Result<Self> {
        Self::load_way(folder, Way::Plain(device))
    }

    fn load_way(folder: &Path, way: Way<'_>) -> Result<Self> {
        let weights = open(folder)?;
        if !weights.has("qa_outputs.weight") {
            return Err(Error::unsupported(
                "a checkpoint without the tensor \"qa_outputs.weight\" has no head for this task",
            ));
        }
        Ok(Self {
            tokenizer: Tokenizer::load(folder, weights.config.max_tokens())?,
            output: Dense::new(&weights, "qa_outputs", ENDS, After::Nothing)?,
            encoder: Encoder::new(&weights, way)?,
        })
    }

    /// Sizes of the network.
    pub fn config(&self) -> &Config {
        &self.encoder.config
    }

    /// Bytes of memory that the loaded network holds.
    pub fn memory(&self) -> u64 {
        self.encoder.memory() + self.output.bytes()
    }

    /// The most probable answers to a question in a text, the most probable first. None of both where the question leaves too
    /// little room for the text, or the text has too many windows.
    ///
    /// # Errors
    /// When the tokenizer or the device fails, or the network gives something that is not a number.
    pub fn answers(
        &self,
        compute: &Compute,
        question: &str,
        text: &str,
        options: &AnswerOptions,
    ) -> Result<Option<Vec<Answer>>> {
        let most = MOST * BYTES * self.tokenizer.longest();
        if question.len().max(text.len()) > most {
            return Ok(None);
        }
        let asked = self.tokenizer.encode_asked(question, text)?;
        let Some(windows) = self.windows(&asked, options) else {
            return Ok(None);
        };
        // Some are one when they are aligned to words.
        let candidates = match options.words {
            true => options.most.saturating_mul(2).saturating_add(10),
            false => options.most,
        };
        let mut found = Found::default();
        let mut nothing = f64::INFINITY;
        for some in windows.chunks(BATCH) {
            let sequences: Vec<&[u32]> = some.iter().map(|window| &*window.ids).collect();
            let seconds = vec![asked.second.unwrap_or(usize::MAX); some.len()];
            let states = self
                .encoder
                .run_pairs(compute, &sequences, &seconds, Output::All)?;
            for (window, states) in some.iter().zip(states) {
                let numbers = self.output.apply(&states);
                finite(&numbers)?;
                let (spans, none) = spans(&numbers, &asked, window, options, candidates);
                nothing = nothing.min(none);
                for span in spans {
                    let place = match options.words {
                        true => words(&asked, window, &span.tokens),
                        false => exact(&asked, &span.tokens),
                    };
                    found.add(text, span.score, place);
                }
            }
        }
        let mut found = found.answers;
        if options.none {
            found.push(Answer {
                score: nothing,
                place: 0..0,
            });
        }
        found.sort_by(|one, other| other.score.total_cmp(&one.score));
        found.truncate(options.most);
        Ok(Some(found))
    }

    /// The text in pieces that fit behind the question; none where it leaves no room.
    fn windows(&self, asked: &Asked, options: &AnswerOptions) -> Option<Vec<Window>> {
        let longest = options.window.min(self.tokenizer.longest());
        let around = asked.ids.len() - asked.text.len();
        let room = longest.checked_sub(around).filter(|room| *room > 0)?;
        let overlap = options.overlap.unwrap_or((longest / 2).min(128));
        let all = asked.text.len();
        let step = match all <= room {
            true => room,
            false => room.checked_sub(overlap).filter(|step| *step > 0)?,
        };
        let count = all.saturating_sub(room).div_ceil(step) + 1;
        if count > MOST {
            return None;
        }
        let head = &asked.ids[..asked.text.start];
        let tail = &asked.ids[asked.text.end..];
        let window = |number: usize| {
            let tokens = number * step..all.min(number * step + room);
            let ids = &asked.ids[asked.text.clone()][tokens.clone()];
            Window {
                ids: [head, ids, tail].concat(),
                tokens,
            }
        };
        Some((0..count).map(window).collect())
    }
}

/// The most probable spans of a window, and the probability that there is none.
fn spans(
    numbers: &[f32],
    asked: &Asked,
    window: &Window,
    options: &AnswerOptions,
    candidates: usize,
) -> (Vec<Span>, f64) {
    let text = asked.text.start..asked.text.start + window.tokens.len();
    // The first token stands for no answer; those of the question are no answers.
    let of = |end: usize| -> Vec<f32> {
        let mut row: Vec<f32> = std::iter::once(0)
            .chain(text.clone())
            .filter_map(|token| numbers.get(token * ENDS + end).copied())
            .collect();
        softmax(&mut row);
        row
    };
    let (starts, ends) = (of(0), of(1));
    let (Some((no, starts)), Some((nor, ends))) = (starts.split_first(), ends.split_first()) else {
        return (Vec::new(), 0.0);
    };
    let mut spans: Vec<Span> = Vec::new();
    for (start, begins) in starts.iter().enumerate() {
        for (length, finishes) in ends[start..].iter().take(options.longest).enumerate() {
            spans.push(Span {
                score: f64::from(*begins) * f64::from(*finishes),
                tokens: window.tokens.start + start..window.tokens.start + start + length + 1,
            });
        }
        // The best are kept, not all of a long window.
        if spans.len() > candidates.saturating_mul(4).max(1 << 16) {
            best(&mut spans, candidates);
        }
    }
    best(&mut spans, candidates);
    (spans, f64::from(*no) * f64::from(*nor))
}

/// Keeps the most probable.
fn best(spans: &mut Vec<Span>, most: usize) {
    // Stable: of two that are as probable the first.
    spans.sort_by(|one, other| other.score.total_cmp(&one.score));
    spans.truncate(most);
}

/// The bytes of tokens.
fn exact(asked: &Asked, tokens: &Range<usize>) -> Range<usize> {
    let place = |token: usize| asked.places.get(token).map(|place| place.0.clone());
    let first = place(tokens.start).unwrap_or_default();
    let last = place(tokens.end - 1).unwrap_or_default();
    first.start..last.end.max(first.start)
}

/// The bytes of the words of tokens, as far as the window has their tokens.
fn words(asked: &Asked, window: &Window, tokens: &Range<usize>) -> Range<usize> {
    let word = |token: usize| asked.places.get(token).and_then(|place| place.1);
    let (Some(first), Some(last)) = (word(tokens.start), word(tokens.end - 1)) else {
        return exact(asked, tokens);
    };
    let mut whole = tokens.clone();
    while whole.start > window.tokens.start && word(whole.start - 1) == Some(first) {
        whole.start -= 1;
    }
    while whole.end < window.tokens.end && word(whole.end) == Some(last) {
        whole.end += 1;
    }
    exact(asked, &whole)
}

/// Answers so far.
#[derive(Default)]
struct Found {
    answers: Vec<Answer>,
    /// Which of them it is, by how it reads.
    by_text: HashMap<String, usize>,
}

impl Found {
    /// Adds an answer, or its probability to one that reads the same.
    fn add(&mut self, text: &str, score: f64, place: Range<usize>) {
        let read = text.get(place.clone()).unwrap_or_default().to_lowercase();
        let number = *self.by_text.entry(read).or_insert(self.answers.len());
        match self.answers.get_mut(number) {
            Some(same) => same.score += score,
            None => self.answers.push(Answer { score, place }),
        }
    }
}
