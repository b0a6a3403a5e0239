//! The words of a collection that topics are made of.

use super::words::{Guess, Language, words};
use std::collections::{HashMap, HashSet};

/// Most words of a vocabulary.
const LARGEST: usize = 20_000;
/// Most different words that are counted at a time; beyond, those seen least are forgotten.
const COUNTED: usize = 1 << 20;
/// Documents that tell the language.
const TELLING: usize = 1000;
/// Bytes of the documents that tell the language, at most.
const TELLING_BYTES: usize = 16 << 20;

/// Counts in how many documents each word is.
#[derive(Debug, Default)]
pub struct Survey {
    documents: u64,
    /// The first documents, until the language is known.
    first: Vec<String>,
    first_bytes: usize,
    guess: Guess,
    language: Option<Language>,
    counts: HashMap<String, u64>,
    forgotten: u64,
}

impl Survey {
    /// Documents that were read.
    pub fn documents(&self) -> u64 {
        self.documents
    }

    /// Reads a document.
    pub fn add(&mut self, text: &str) {
        self.documents += 1;
        if let Some(language) = self.language {
            return self.count(text, language);
        }
        self.guess.add(text);
        self.first.push(text.to_owned());
        self.first_bytes += text.len();
        if self.first.len() >= TELLING || self.first_bytes >= TELLING_BYTES {
            self.tell();
        }
    }

    fn tell(&mut self) -> Language {
        let language = *self.language.get_or_insert_with(|| self.guess.language());
        for text in std::mem::take(&mut self.first) {
            self.count(&text, language);
        }
        language
    }

    fn count(&mut self, text: &str, language: Language) {
        let mut seen = HashSet::new();
        words(text, language, |word| {
            if !seen.contains(word) {
                seen.insert(word.to_owned());
            }
        });
        for word in seen {
            *self.counts.entry(word).or_default() += 1;
        }
        // Lossy counting: what was seen no more often than words were forgotten cannot be frequent.
        while self.counts.len() > COUNTED {
            self.forgotten += 1;
            let least = self.forgotten;
            self.counts.retain(|_, count| *count > least);
        }
    }

    /// The vocabulary: words of at least two documents and at most half of them; the most frequent ones, where they are many.
    /// Where there are few documents, words of one count, too.
    pub fn finish(mut self) -> Vocabulary {
        let language = self.tell();
        let least = if self.documents < 20 { 1 } else { 2 };
        let most = if self.documents < 4 {
            self.documents
        } else {
            self.documents / 2
        };
        let counts = self.counts.into_iter();
        let mut counts: Vec<(String, u64)> = counts
            .filter(|(_, count)| (least..=most).contains(count))
            .collect();
        counts.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
        counts.truncate(LARGEST);
        let words: Vec<String> = counts.into_iter().map(|(word, _)| word).collect();
        let numbers = words.iter().cloned().zip(0..).collect();
        Vocabulary {
            words,
            numbers,
            language,
        }
    }
}

/// Words with numbers.
#[derive(Debug)]
pub struct Vocabulary {
    words: Vec<String>,
    numbers: HashMap<String, u32>,
    language: Language,
}

impl Vocabulary {
    /// How many words there are.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// A word by its number.
    ///
    /// # Panics
    /// Where there is none.
    pub fn word(&self, number: usize) -> &str {
        &self.words[number]
    }

    /// The words of a text that are of the vocabulary, by number, and how often each is there.
    pub fn counts(&self, text: &str) -> Vec<(u32, u32)> {
        let mut numbers = Vec::new();
        words(text, self.language, |word| {
            numbers.extend(self.numbers.get(word));
        });
        numbers.sort_unstable();
        let runs = numbers.chunk_by(|a, b| a == b);
        runs.map(|run| (run[0], run.len() as u32)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_some_documents_are_in_it() {
        let mut survey = Survey::default();
        for at in 0..40 {
            let kind = ["apple", "pear", "plum", "cherry"][at % 4];
            survey.add(&format!(
                "the common {kind} and {kind} unique{}",
                "x".repeat(at)
            ));
        }
        assert_eq!(survey.documents(), 40);
        let vocabulary = survey.finish();
        let all: Vec<&str> = (0..vocabulary.len())
            .map(|at| vocabulary.word(at))
            .collect();
        // As frequent as each other: by the alphabet.
        assert_eq!(all, ["apple", "cherry", "pear", "plum"]);
        let counts = vocabulary.counts("Plum apple, PLUM and common unique unseen plum.");
        assert_eq!(counts, [(0, 1), (3, 3)]);
        assert!(Survey::default().finish().is_empty());
    }

    #[test]
    fn counting_is_bounded_and_keeps_what_is_frequent() {
        let mut survey = Survey {
            language: Some(Guess::default().language()),
            ..Survey::default()
        };
        let letters = |mut number: usize| {
            let mut word = String::from("w");
            while number > 0 {
                word.push(char::from(b'a' + (number % 26) as u8));
                number /= 26;
            }
            word + "q"
        };
        let mut next = 0;
        for _ in 0..60 {
            let rare: Vec<String> = (next..next + 40_000).map(letters).collect();
            next += 40_000;
            survey.add(&format!("frequent {}", rare.join(" ")));
            assert!(survey.counts.len() <= COUNTED);
        }
        assert!(survey.forgotten > 0);
        assert!(survey.counts["frequent"] > 50);
    }
}
