//! Text to the numbers of its words, as the tokenizer of Keras does it.
//!
//! Lower case; the space and the filters separate words (other white space does not, which is how the network was
//! trained); words outside the vocabulary are left out.

use crate::error::{Error, Result};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;

/// The words of the vocabulary.
pub struct Words {
    ids: HashMap<Box<str>, u32>,
    filters: Box<str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    filters: Box<str>,
    words: Vec<Box<str>>,
}

impl Words {
    /// Reads `words.json`, whose words are numbered from 1 and must be fewer than `below`.
    ///
    /// # Errors
    /// When the file is missing or is something else.
    pub fn open(path: &Path, below: usize) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::File {
            path: path.into(),
            source,
        })?;
        let file: File = serde_json::from_str(&text).map_err(|source| Error::Config {
            path: path.into(),
            source,
        })?;
        if file.words.len() >= below {
            return Err(Error::unsupported(format!(
                "{} words for an embedding of {below} rows",
                file.words.len()
            )));
        }
        Ok(Self {
            ids: file.words.into_iter().zip(1..).collect(),
            filters: file.filters,
        })
    }

    /// The known words of a text, in its order.
    pub fn of(&self, text: &str) -> Vec<u32> {
        let separates = |c: char| c == ' ' || self.filters.contains(c);
        text.to_lowercase()
            .split(separates)
            .filter_map(|word| self.ids.get(word))
            .copied()
            .collect()
    }

    /// Bytes of memory that the vocabulary holds.
    pub fn memory(&self) -> u64 {
        let places = self.ids.capacity() * (size_of::<(Box<str>, u32)>() + 1);
        let words: usize = self.ids.keys().map(|word| word.len()).sum();
        (places + words + self.filters.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_at_filters_and_spaces_and_unknown_ones_left_out() {
        let words = Words {
            ids: [("a", 1), ("b", 2), ("don't", 3), ("ος", 4)]
                .map(|(word, id)| (word.into(), id))
                .into(),
            filters: "!-\t\n".into(),
        };
        assert_eq!(words.of("A b-B!!x DON'T\ta\u{a0}b a\rb"), [1, 2, 2, 3]);
        assert_eq!(words.of("ΟΣ"), [4]);
        assert!(words.of("").is_empty());
    }
}
