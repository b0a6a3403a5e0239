//! Where in a segment an offset or a time is: an entry for every four kilobytes. It can be built again from the segment
//! at any time, so its file is believed only if its sum and the segment's length are right.
//!
//! ```text
//! file    magic "ESCINDEX", version u32, base i64, bytes of the segment u64, entries, CRC-32C u32    (little-endian)
//! entry   base offset of a batch i64, its position u64, largest time of all batches before it i64
//! ```

use crate::log::codec::{Put, Take};
use crate::log::sum::crc32c;

const MAGIC: &[u8; 8] = b"ESCINDEX";
const VERSION: u32 = 1;

/// Bytes of a segment between two entries.
const EVERY: u64 = 4096;

/// A batch that can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub offset: i64,
    pub position: u64,
    pub max_before: i64,
}

/// The index of a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index(Vec<Entry>);

impl Index {
    /// Takes note of a batch. Batches come in order.
    pub fn note(&mut self, entry: Entry) {
        let due = match self.0.last() {
            Some(last) => entry.position >= last.position + EVERY,
            None => true,
        };
        if due {
            self.0.push(entry);
        }
    }

    /// An entry from which going on finds the batch with this offset.
    pub fn of_offset(&self, offset: i64) -> Option<Entry> {
        let after = self.0.partition_point(|entry| entry.offset <= offset);
        self.0.get(after.checked_sub(1)?).copied()
    }

    /// An entry before which no time satisfies `wanted`.
    pub fn of_time(&self, wanted: impl Fn(i64) -> bool) -> Option<Entry> {
        let after = self.0.partition_point(|entry| !wanted(entry.max_before));
        self.0.get(after.checked_sub(1)?).copied()
    }

    pub fn encode(&self, base: i64, bytes: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + self.0.len() * 24);
        out.extend(MAGIC);
        out.u32(VERSION);
        out.i64(base);
        out.u64(bytes);
        out.u32(self.0.len() as u32);
        for entry in &self.0 {
            out.i64(entry.offset);
            out.u64(entry.position);
            out.i64(entry.max_before);
        }
        out.u32(crc32c(&out));
        out
    }

    /// Reads the index of a segment with this base and these bytes; `None` if it is anything else.
    pub fn decode(file: &[u8], base: i64, bytes: u64) -> Option<Self> {
        let (content, sum) = file.split_last_chunk::<4>()?;
        if crc32c(content) != u32::from_le_bytes(*sum) {
            return None;
        }
        let mut take = Take(content);
        let right = take.bytes(8)? == MAGIC
            && take.u32()? == VERSION
            && take.i64()? == base
            && take.u64()? == bytes;
        if !right {
            return None;
        }
        let entries = take.list(|take| {
            Some(Entry {
                offset: take.i64()?,
                position: take.u64()?,
                max_before: take.i64()?,
            })
        })?;
        Some(Self(entries))
    }
}
