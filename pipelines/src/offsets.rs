//! Positions in a text: bytes of UTF-8, as Rust slices, and characters, as AWS counts.
//!
//! A character is a Unicode code point: an `é` written as one code point is one, an emoji made of several
//! code points is several.

use crate::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Bytes between two marks: a lookup counts the characters of at most this many bytes.
const STRIDE: usize = 64;

/// Where something stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Extent {
    /// First byte.
    pub begin_byte: usize,
    /// The byte after the last.
    pub end_byte: usize,
    /// First character.
    pub begin: usize,
    /// The character after the last.
    pub end: usize,
}

impl Extent {
    /// Its part of the text that it was made for; empty for any other text that it does not fit.
    pub fn of(self, text: &str) -> &str {
        text.get(self.begin_byte..self.end_byte).unwrap_or_default()
    }
}

/// Turns positions in bytes into positions in characters, in constant time.
pub struct Offsets<'t> {
    text: &'t str,
    /// Characters that start before byte `index * STRIDE`.
    marks: Vec<u32>,
}

impl<'t> Offsets<'t> {
    /// Reads the text once.
    pub fn new(text: &'t str) -> Self {
        let mut marks = Vec::with_capacity(text.len() / STRIDE + 1);
        let mut before = 0u32;
        for stride in text.as_bytes().chunks(STRIDE) {
            marks.push(before);
            before += starts(stride);
        }
        marks.push(before);
        Self { text, marks }
    }

    /// The extent of a range of bytes.
    ///
    /// # Errors
    /// `Internal` when the range does not lie between characters of the text.
    pub fn extent(&self, bytes: Range<usize>) -> Result<Extent> {
        if self.text.get(bytes.clone()).is_none() {
            let message = format!("no characters stand at the bytes {bytes:?} of the text");
            return Err(Error::new(Kind::Internal, message));
        }
        Ok(Extent {
            begin_byte: bytes.start,
            end_byte: bytes.end,
            begin: self.characters(bytes.start),
            end: self.characters(bytes.end),
        })
    }

    /// The extent of a range of bytes without the white space at its ends; `None` when nothing is left.
    ///
    /// # Errors
    /// As [`Offsets::extent`].
    pub fn trimmed(&self, bytes: Range<usize>) -> Result<Option<Extent>> {
        let Extent { begin_byte, .. } = self.extent(bytes.clone())?;
        let part = &self.text[bytes];
        let start = begin_byte + part.len() - part.trim_start().len();
        match part.trim() {
            "" => Ok(None),
            kept => self.extent(start..start + kept.len()).map(Some),
        }
    }

    /// Characters that start before a byte.
    fn characters(&self, byte: usize) -> usize {
        let mark = byte / STRIDE;
        let rest = &self.text.as_bytes()[mark * STRIDE..byte];
        (self.marks[mark] + starts(rest)) as usize
    }
}

/// Characters that start in these bytes: all bytes but continuations, `10xxxxxx`.
fn starts(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .map(|byte| u32::from(byte & 0xC0 != 0x80))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn characters_are_counted_as_rust_counts_them(text in "\\PC{0,200}") {
            let offsets = Offsets::new(&text);
            let mut edges: Vec<usize> = text.char_indices().map(|(byte, _)| byte).collect();
            edges.push(text.len());
            for (count, &byte) in edges.iter().enumerate() {
                let extent = offsets.extent(byte..text.len()).expect("between characters");
                prop_assert_eq!((extent.begin, extent.end), (count, text.chars().count()));
                prop_assert_eq!(extent.of(&text), &text[byte..]);
            }
        }
    }

    #[test]
    fn white_space_is_trimmed_and_torn_characters_are_refused() {
        let text = "a \u{3000}né\n👩‍🚀 ";
        let offsets = Offsets::new(text);
        let whole = offsets.trimmed(1..9).expect("fits").expect("something");
        assert_eq!((whole.of(text), whole.begin, whole.end), ("né", 3, 5));
        assert_eq!(offsets.trimmed(1..5).expect("fits"), None);
        assert!(offsets.extent(0..3).is_err());
        assert!(offsets.extent(0..99).is_err());
    }
}
