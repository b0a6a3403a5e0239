//! Foreign formats in, safetensors out; one module a format.
//!
//! Readers take the whole file as bytes, because what they read is pinned by size and SHA-256. They are
//! nevertheless written for hostile input: no count read from a file leads to an allocation before the bytes
//! that must back it have been seen, and every malformed input is an [`Error`].

pub mod bundle;
pub mod e5s1;
pub mod fasttext;
pub mod keras_tokenizer;
pub mod msgpack;
pub mod onnx;
mod pickle;
pub mod safetensors;
pub mod slices;
pub mod tfjs;
pub mod thinc;
pub mod torch_legacy;

use std::io;

/// Why a file of some format cannot be read, or its conversion not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes end in the middle of something.
    #[error("the file ends at byte {at} in the middle of {what}")]
    Truncated {
        /// Where more bytes were wanted.
        at: usize,
        /// What was being read.
        what: &'static str,
    },
    /// A value that the format does not allow.
    #[error("{what}")]
    Invalid {
        /// What does not hold.
        what: String,
    },
    /// A part of the format that is not read here.
    #[error("{what} is not supported")]
    Unsupported {
        /// The part.
        what: String,
    },
    /// The converted file would be larger than anything this format is used for.
    #[error("{what} would take {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its size.
        bytes: u128,
        /// The bound.
        limit: u64,
    },
    /// The disk refused.
    #[error("writing failed: {0}")]
    Io(#[from] io::Error),
}

pub(crate) fn invalid(what: impl Into<String>) -> Error {
    Error::Invalid { what: what.into() }
}

/// A cursor over little-endian bytes that never reads past the end.
#[derive(Clone)]
pub(crate) struct Bytes<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    pub(crate) fn new(all: &'a [u8]) -> Self {
        Self { all, at: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn remaining(&self) -> usize {
        self.all.len() - self.at
    }

    pub(crate) fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Error> {
        let truncated = Error::Truncated {
            at: self.all.len(),
            what,
        };
        let end = self
            .at
            .checked_add(count)
            .ok_or(Error::Truncated { at: self.at, what })?;
        let bytes = self.all.get(self.at..end).ok_or(truncated)?;
        self.at = end;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Error> {
        let bytes = self.take(N, what)?;
        Ok(std::array::from_fn(|i| bytes[i]))
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Error> {
        Ok(self.array::<1>(what)?[0])
    }

    pub(crate) fn i32(&mut self, what: &'static str) -> Result<i32, Error> {
        self.array(what).map(i32::from_le_bytes)
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, Error> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Error> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, Error> {
        self.array(what).map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self, what: &'static str) -> Result<i64, Error> {
        self.array(what).map(i64::from_le_bytes)
    }

    pub(crate) fn f64(&mut self, what: &'static str) -> Result<f64, Error> {
        self.array(what).map(f64::from_le_bytes)
    }

    /// `count` 32-bit floats; the bytes are there before anything is allocated.
    pub(crate) fn f32s(&mut self, count: usize, what: &'static str) -> Result<Vec<f32>, Error> {
        self.words(count, what, f32::from_le_bytes)
    }

    /// `count` 32-bit integers, likewise.
    pub(crate) fn u32s(&mut self, count: usize, what: &'static str) -> Result<Vec<u32>, Error> {
        self.words(count, what, u32::from_le_bytes)
    }

    fn words<T>(
        &mut self,
        count: usize,
        what: &'static str,
        read: impl Fn([u8; 4]) -> T,
    ) -> Result<Vec<T>, Error> {
        let bytes = count
            .checked_mul(4)
            .ok_or(Error::Truncated { at: self.at, what })?;
        let bytes = self.take(bytes, what)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|&b| read(b)).collect())
    }

    /// The bytes up to the next `end`, which is passed over.
    pub(crate) fn until(&mut self, end: u8, what: &'static str) -> Result<&'a [u8], Error> {
        let rest = &self.all[self.at..];
        let length = rest
            .iter()
            .position(|&b| b == end)
            .ok_or(Error::Truncated {
                at: self.all.len(),
                what,
            })?;
        self.at += length + 1;
        Ok(&rest[..length])
    }
}
