//! Text to token ids, with the vocabulary of `tokenizer.json`.

use crate::error::{Error, Result};
use std::path::Path;

/// A tokenizer that never pads and cuts at a fixed length.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    longest: usize,
}

/// The tokens of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Ids, with the special tokens around them.
    pub ids: Vec<u32>,
    /// The text had more tokens than fit.
    pub truncated: bool,
}

impl Tokenizer {
    /// Opens `tokenizer.json`; texts are cut to `longest` tokens, special ones included.
    ///
    /// # Errors
    /// When the file is not a tokenizer.
    pub fn open(path: &Path, longest: usize) -> Result<Self> {
        let mut inner = tokenizers::Tokenizer::from_file(path)
            .map_err(|error| Error::Tokenizer(error.to_string()))?;
        inner.with_padding(None);
        // Cutting here rather than in the crate tells us whether anything was cut.
        inner
            .with_truncation(None)
            .map_err(|error| Error::Tokenizer(error.to_string()))?;
        Ok(Self {
            inner,
            longest: longest.max(2),
        })
    }

    /// The tokens of `text`.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn encode(&self, text: &str) -> Result<Tokens> {
        let (text, cut) = self.prefix(text);
        let encoding = self
            .inner
            .encode_fast(text, true)
            .map_err(|error| Error::Tokenizer(error.to_string()))?;
        let ids = encoding.get_ids();
        let truncated = cut || ids.len() > self.longest;
        if ids.len() <= self.longest {
            return Ok(Tokens {
                ids: ids.to_vec(),
                truncated,
            });
        }
        // Keep the closing special token, as truncation in the reference does.
        let mut ids = [&ids[..self.longest - 1], &ids[ids.len() - 1..]].concat();
        ids.truncate(self.longest);
        Ok(Tokens { ids, truncated })
    }

    /// The part of a very long text that can matter: a word is at most 100 characters before it becomes
    /// one unknown token (WordPiece's limit), so 128 characters for each token are more than enough unless
    /// a text is mostly white space, which is skipped rather than counted.
    fn prefix<'a>(&self, text: &'a str) -> (&'a str, bool) {
        let limit = self.longest * 128;
        if text.len() <= limit {
            return (text, false);
        }
        let mut solid = 0;
        for (at, c) in text.char_indices() {
            if !c.is_whitespace() {
                solid += 1;
            } else if solid >= limit {
                return (&text[..at], !text[at..].trim().is_empty());
            }
        }
        (text, false)
    }
}
