//! Words, labels and the hashes of n-grams, as fastText has them (`dictionary.cc`).
//!
//! A text is cut at whitespace, and its end is a word of its own. An n-gram is the row of the hash of its words, those that
//! are no words of the vocabulary included. Other than there, only rows of n-grams that were in the lines to learn from are
//! kept: the others were never learned, so they are as good as zero.

use super::{LABEL, Line};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// The word that stands for the end of a text.
const END: &str = "</s>";
/// The row of an n-gram that was never learned: it counts, and adds nothing.
pub(super) const UNSEEN: u32 = u32::MAX;

/// How n-grams become rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Grams {
    /// Most words of one; 1 for none.
    pub words: usize,
    /// Rows that they are hashed to.
    pub buckets: u32,
}

/// Which row each word and n-gram has, and the names of the labels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Vocabulary {
    words: Vec<String>,
    rows: HashMap<String, u32>,
    labels: Vec<String>,
    numbers: HashMap<String, u32>,
    grams: Grams,
    /// Those that have rows, behind those of the words, ascending.
    buckets: Vec<u32>,
}

/// A line in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Coded {
    /// The rows of its words and n-grams.
    pub rows: Vec<u32>,
    /// Its labels that there are.
    pub labels: Vec<u32>,
    /// Its words and labels, counted.
    pub tokens: u64,
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    // Whitespace as fastText's: of ASCII.
    let is_space =
        |letter: char| matches!(letter, ' ' | '\n' | '\r' | '\t' | '\x0b' | '\x0c' | '\0');
    text.split(is_space)
        // What is a label is no word, and the end is at the end only.
        .filter(|word| !word.is_empty() && !word.starts_with(LABEL) && *word != END)
        .chain([END])
}

/// FNV-1a, of signed bytes, as a signed number.
fn hash(word: &str) -> u64 {
    let hash = word.bytes().fold(2_166_136_261_u32, |hash, byte| {
        (hash ^ byte.cast_signed() as u32).wrapping_mul(16_777_619)
    });
    i64::from(hash.cast_signed()).cast_unsigned()
}

/// The hashes of all n-grams of at least two words.
fn hashed(text: &str, grams: Grams, mut each: impl FnMut(u32)) {
    if grams.words < 2 || grams.buckets == 0 {
        return;
    }
    let hashes: Vec<u64> = words(text).map(hash).collect();
    for (at, first) in hashes.iter().enumerate() {
        let mut whole = *first;
        for next in hashes[at + 1..].iter().take(grams.words - 1) {
            whole = whole.wrapping_mul(116_049_371).wrapping_add(*next);
            each((whole % u64::from(grams.buckets)) as u32);
        }
    }
}

fn numbered(names: &[String]) -> HashMap<String, u32> {
    let numbered = names.iter().cloned().zip(0..);
    numbered.collect()
}

/// The names that are there often enough, the most frequent first.
fn frequent<'a>(names: impl Iterator<Item = &'a str>, least: u64) -> Vec<String> {
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let mut often: Vec<_> = counts
        .into_iter()
        .filter(|(_, count)| *count >= least)
        .collect();
    often.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    often.into_iter().map(|(name, _)| name.to_owned()).collect()
}

impl Vocabulary {
    /// That of some lines.
    pub fn of(lines: &[Line], least: u64, grams: Grams) -> Self {
        let words = frequent(lines.iter().flat_map(|line| words(&line.text)), least);
        let labels = lines.iter().flat_map(|line| &line.labels);
        let labels = frequent(labels.map(String::as_str), 0);
        let mut buckets = HashSet::new();
        for line in lines {
            hashed(&line.text, grams, |bucket| {
                buckets.insert(bucket);
            });
        }
        let mut buckets = Vec::from_iter(buckets);
        buckets.sort_unstable();
        Self::new(words, labels, grams, buckets)
    }

    fn new(words: Vec<String>, labels: Vec<String>, grams: Grams, buckets: Vec<u32>) -> Self {
        Self {
            rows: numbered(&words),
            numbers: numbered(&labels),
            words,
            labels,
            grams,
            buckets,
        }
    }

    /// One that was kept.
    ///
    /// # Errors
    /// It is none.
    pub fn kept(
        words: Vec<String>,
        labels: Vec<String>,
        grams: Grams,
        buckets: Vec<u32>,
    ) -> std::result::Result<Self, String> {
        let this = Self::new(words, labels, grams, buckets);
        if this.rows.len() != this.words.len() || this.numbers.len() != this.labels.len() {
            return Err("a word or a label is there twice".to_owned());
        }
        if this.labels.is_empty() {
            return Err("there are no labels".to_owned());
        }
        let ascending = this.buckets.is_sorted_by(|a, b| a < b);
        if !ascending
            || this
                .buckets
                .last()
                .is_some_and(|last| *last >= grams.buckets)
        {
            return Err("the rows of n-grams are out of order".to_owned());
        }
        Ok(this)
    }

    pub fn words(&self) -> &[String] {
        &self.words
    }

    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    pub fn buckets(&self) -> &[u32] {
        &self.buckets
    }

    pub fn grams(&self) -> Grams {
        self.grams
    }

    /// Rows of words and n-grams.
    pub fn rows(&self) -> usize {
        self.words.len() + self.buckets.len()
    }

    /// A text in numbers, and those of its labels that there are.
    pub fn code(&self, text: &str, labels: &[String]) -> Coded {
        let mut coded = Coded {
            tokens: labels.len() as u64,
            ..Coded::default()
        };
        for word in words(text) {
            coded.tokens += 1;
            coded.rows.extend(self.rows.get(word));
        }
        let behind = self.words.len();
        hashed(text, self.grams, |bucket| {
            let row = self.buckets.binary_search(&bucket);
            coded
                .rows
                .push(row.map_or(UNSEEN, |row| (behind + row) as u32));
        });
        let numbers = labels.iter().filter_map(|label| self.numbers.get(label));
        coded.labels.extend(numbers);
        coded
    }

    /// The lines that can be learned from, in numbers.
    ///
    /// # Errors
    /// There are none.
    pub fn code_all(&self, lines: &[Line], channel: &str) -> Result<Vec<Coded>> {
        let coded = lines.iter().map(|line| self.code(&line.text, &line.labels));
        let good = |line: &Coded| !line.labels.is_empty() && !line.rows.is_empty();
        let coded: Vec<Coded> = coded.filter(good).collect();
        if coded.is_empty() {
            return Err(Error::input(format!(
                "channel {channel} has no line with a label and a word: lines are `{LABEL}NAME word word …`"
            )));
        }
        Ok(coded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_whitespace_and_have_an_end() {
        let of = |text| words(text).collect::<Vec<_>>();
        assert_eq!(of("a\tb \u{a0}c\n"), ["a", "b", "\u{a0}c", END]);
        assert_eq!(of("__label__x </s> a"), ["a", END]);
        assert_eq!(of(""), [END]);
    }

    #[test]
    fn words_are_by_frequency_and_labels_are_all_there() {
        let line = |label: &str, text: &str| Line {
            labels: vec![format!("{LABEL}{label}")],
            text: text.to_owned(),
        };
        let lines = [line("x", "b b a"), line("y", "b a c"), line("y", "d")];
        let grams = Grams {
            words: 1,
            buckets: 10,
        };
        let vocabulary = Vocabulary::of(&lines, 2, grams);
        assert_eq!(vocabulary.words(), [END, "b", "a"]);
        assert_eq!(vocabulary.labels(), ["__label__y", "__label__x"]);
        let coded = vocabulary.code("a e b", &["__label__x".to_owned(), "__label__z".to_owned()]);
        assert_eq!(coded.rows, [2, 1, 0]);
        assert_eq!((coded.labels, coded.tokens), (vec![1], 6));
        let grams = Grams {
            words: 3,
            buckets: 1 << 20,
        };
        let vocabulary = Vocabulary::of(&lines, 2, grams);
        // `c` is no word, and in n-grams all the same.
        let rows = vocabulary.code("b a c", &[]).rows;
        assert_eq!(rows.len(), 3 + 5);
        assert!(!rows.contains(&UNSEEN));
        let rows = vocabulary.code("c c", &[]).rows;
        assert_eq!(rows.iter().filter(|row| **row == UNSEEN).count(), 2);
    }
}
