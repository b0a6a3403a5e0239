//! The write-ahead log: every change of the log, in the order that was decided, as frames that are there whole or not.
//!
//! ```text
//! file    magic "ESCALWAL", version u32, first LSN u64, CRC-32C u32, salt u64, CRC-32C of all before it u32   (36 bytes)
//! frame   magic u32, CRC-32C of the head u32, salt u64, CRC-32C of the payload u32, length of the payload u32,
//!         LSN u64, durable LSN u64, topic 16 bytes, partition u32                                             (60 bytes)
//!         payload: events
//! ```
//! LSNs count frames, from 1 without gaps. The durable LSN says which frames were on the disk when this one was
//! written, and a file is begun only when all before it is: that is what tells rot from a torn end. A frame that cannot be
//! read was acknowledged if a later frame, a later file or the checkpoint says so; if nothing does, the machine stopped while
//! it was being written, and it and what follows it never happened. Behind the last frame of the last file there may be
//! zeros, or what an earlier file had that is used again (`spare.rs`). The head has its own sum and, if the frame is an append
//! to one partition, names it: rot in the payload then takes that partition out of use and no other.
//!
//! Payloads have what clients sent as it came, and behind a frame that cannot be read the next is searched for. So that no
//! record is ever taken for frames, each file has a salt that nobody can guess, made when it is begun, and a frame counts
//! only with the salt of its file. In version 1 neither had one: its file heads end with the first CRC-32C, its frame heads
//! have 8 bytes less. Such files are read and not written.

mod scan;
mod spare;
mod writer;

pub(crate) use scan::Scan;
pub(crate) use spare::Spare;
pub(crate) use writer::Writer;

use super::codec::{Put, Take};
use super::sum::crc32c;
use uuid::Uuid;

pub(crate) const FOLDER: &str = "wal";

const FILE_MAGIC: &[u8; 8] = b"ESCALWAL";
const VERSION: u32 = 2;
const FILE_HEAD: usize = 36;
/// Bytes that a program for version 1 looks at: it refuses a file that has another version there.
const PLAIN_FILE_HEAD: usize = 24;

const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"\xe5FR\x02");
const FRAME_HEAD: usize = 60;
const PLAIN_FRAME_MAGIC: u32 = u32::from_le_bytes(*b"\xe5FR\x01");
const PLAIN_FRAME_HEAD: usize = 52;

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

/// What tells a file's own frames from other bytes that look like frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// Nothing: the file has version 1.
    Plain,
    /// The salt that is in the file's head and in each of its frames'.
    Salt(u64),
}

impl Mark {
    /// Bytes before a file's first frame.
    fn file_head(self) -> usize {
        match self {
            Self::Plain => PLAIN_FILE_HEAD,
            Self::Salt(_) => FILE_HEAD,
        }
    }

    /// Bytes before a frame's payload.
    fn frame_head(self) -> usize {
        match self {
            Self::Plain => PLAIN_FRAME_HEAD,
            Self::Salt(_) => FRAME_HEAD,
        }
    }
}

fn file_head(first: u64, salt: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(FILE_HEAD);
    out.extend(FILE_MAGIC);
    out.u32(VERSION);
    out.u64(first);
    out.u32(crc32c(&out));
    out.u64(salt);
    out.u32(crc32c(&out));
    out
}

/// The first of so many bytes, if the last four of these are the CRC-32C of those before.
fn summed(bytes: &[u8], count: usize) -> Option<Take<'_>> {
    let (content, sum) = bytes.get(..count)?.split_last_chunk::<4>()?;
    (crc32c(content) == u32::from_le_bytes(*sum)).then_some(Take(content))
}

/// The version that a file's head says; `None` where it cannot be read.
fn version(bytes: &[u8]) -> Option<u32> {
    let mut take = summed(bytes, PLAIN_FILE_HEAD)?;
    if take.bytes(8)? != FILE_MAGIC {
        return None;
    }
    take.u32()
}

/// Whether a file has a head of another version.
fn other_version(bytes: &[u8]) -> bool {
    version(bytes).is_some_and(|version| !(1..=VERSION).contains(&version))
}

/// How a file's frames are marked, as its head says; `None` where it cannot be read.
fn mark(bytes: &[u8]) -> Option<Mark> {
    match version(bytes)? {
        1 => Some(Mark::Plain),
        _ => {
            let mut take = summed(bytes, FILE_HEAD)?;
            take.bytes(PLAIN_FILE_HEAD)?;
            take.u64().map(Mark::Salt)
        }
    }
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
    pub fn encode(&self, salt: u64, out: &mut Vec<u8>) {
        let mut summed = Vec::with_capacity(FRAME_HEAD - 8);
        summed.u64(salt);
        summed.u32(self.crc);
        summed.u32(self.length as u32);
        summed.u64(self.lsn);
        summed.u64(self.durable);
        let (topic, partition) = self.place.unwrap_or((Uuid::nil(), NO_PARTITION));
        summed.id(topic);
        summed.u32(partition);
        out.u32(FRAME_MAGIC);
        out.u32(crc32c(&summed));
        out.extend(summed);
    }

    /// Reads a head, and how it is marked.
    fn decode(bytes: &[u8]) -> Option<(Mark, Self)> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (salted, length) = match u32::from_le_bytes(*magic) {
            FRAME_MAGIC => (true, FRAME_HEAD),
            PLAIN_FRAME_MAGIC => (false, PLAIN_FRAME_HEAD),
            _ => return None,
        };
        let mut take = Take(rest.get(..length - 4)?);
        if take.u32()? != crc32c(take.0) {
            return None;
        }
        let mark = match salted {
            true => Mark::Salt(take.u64()?),
            false => Mark::Plain,
        };
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
        (length <= LONGEST && head.durable < head.lsn).then_some((mark, head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program for version 1 looks at the first bytes of a file alone, and finds a head of another version: it refuses the
    /// file, and does not take it for an empty one.
    #[test]
    fn programs_of_version_1_see_that_there_is_another() {
        let head = file_head(7, 9);
        let (content, sum) = head[..24].split_last_chunk::<4>().unwrap();
        assert_eq!(crc32c::crc32c(content), u32::from_le_bytes(*sum));
        assert_eq!(content, b"ESCALWAL\x02\0\0\0\x07\0\0\0\0\0\0\0");
        assert_eq!(
            (mark(&head), other_version(&head)),
            (Some(Mark::Salt(9)), false)
        );
        // So does this program with one that comes later.
        let mut later = content.to_vec();
        later[8] = 3;
        later.u32(crc32c::crc32c(&later));
        assert!(other_version(&later));
    }
}
