//! The write-ahead log: every change of the log, in the order that was decided, as frames that are there whole or not.
//!
//! ```text
//! file    magic "ESCALWAL", version u32, first LSN u64, CRC-32C u32                                 (24 bytes)
//! frame   magic u32, CRC-32C of the head u32, CRC-32C of the payload u32, length of the payload u32,
//!         LSN u64, durable LSN u64, topic 16 bytes, partition u32                                   (52 bytes)
//!         payload: events
//! ```
//! LSNs count frames, from 1 without gaps. The durable LSN says which frames were on the disk when this one was
//! written, and a file is begun only when all before it is: that is what tells rot from a torn end. A frame that cannot be read was acknowledged if a later frame, a later
//! file or the checkpoint says so; if nothing does, the machine stopped while it was being written, and it and what
//! follows it never happened. Behind the last frame of the last file there may be zeros, or frames of an earlier file that
//! is used again (`spare.rs`), with smaller LSNs. The head has its own sum and, if the frame is an append to one partition, names it: rot
//! in the payload then takes that partition out of use and no other.

mod scan;
mod spare;
mod writer;

pub(crate) use scan::Scan;
pub(crate) use spare::Spare;
pub(crate) use writer::Writer;

use super::codec::{Put, Take};
use uuid::Uuid;

pub(crate) const FOLDER: &str = "wal";

const FILE_MAGIC: &[u8; 8] = b"ESCALWAL";
const VERSION: u32 = 1;
pub(crate) const FILE_HEAD: usize = 24;

const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"\xe5FR\x01");
pub(crate) const FRAME_HEAD: usize = 52;

/// Most bytes of a payload.
pub(crate) const LONGEST: usize = 256 << 20;

/// Says in a head that the frame is not one partition's.
const NO_PARTITION: u32 = u32::MAX;

/// The name of the file that begins with this frame.
pub(crate) fn file_name(first: u64) -> String {
    format!("{first:020}.wal")
}

/// The path of the file that begins with this frame.
pub(crate) fn path(first: u64) -> String {
    format!("{FOLDER}/{}", file_name(first))
}

pub(crate) fn first_of(name: &str) -> Option<u64> {
    name.strip_suffix(".wal")?.parse().ok()
}

fn file_head(first: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(FILE_HEAD);
    out.extend(FILE_MAGIC);
    out.u32(VERSION);
    out.u64(first);
    out.u32(crc32c::crc32c(&out));
    out
}

/// Whether a file has a head of another version.
fn other_version(bytes: &[u8]) -> bool {
    let head = bytes
        .get(..FILE_HEAD)
        .and_then(<[u8]>::split_last_chunk::<4>);
    head.is_some_and(|(content, sum)| {
        let mut take = Take(content);
        crc32c::crc32c(content) == u32::from_le_bytes(*sum)
            && take.bytes(8) == Some(FILE_MAGIC)
            && take.u32() != Some(VERSION)
    })
}

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub lsn: u64,
    pub durable: u64,
    /// Bytes of the payload.
    pub length: usize,
    pub crc: u32,
    /// The partition, if the payload is appends to one alone.
    pub place: Option<(Uuid, u32)>,
}

impl FrameHead {
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut summed = Vec::with_capacity(FRAME_HEAD - 8);
        summed.u32(self.crc);
        summed.u32(self.length as u32);
        summed.u64(self.lsn);
        summed.u64(self.durable);
        let (topic, partition) = self.place.unwrap_or((Uuid::nil(), NO_PARTITION));
        summed.id(topic);
        summed.u32(partition);
        out.u32(FRAME_MAGIC);
        out.u32(crc32c::crc32c(&summed));
        out.extend(summed);
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut take = Take(bytes.get(..FRAME_HEAD)?);
        if take.u32()? != FRAME_MAGIC {
            return None;
        }
        if take.u32()? != crc32c::crc32c(take.0) {
            return None;
        }
        let crc = take.u32()?;
        let length = take.u32()? as usize;
        let head = Self {
            crc,
            length,
            lsn: take.u64()?,
            durable: take.u64()?,
            place: match (take.id()?, take.u32()?) {
                (_, NO_PARTITION) => None,
                place => Some(place),
            },
        };
        (length <= LONGEST).then_some(head)
    }
}
