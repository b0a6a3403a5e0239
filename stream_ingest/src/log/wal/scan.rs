//! Reading what a run of the log left: which frames happened, which never did, and which did and cannot be read.

use super::{FOLDER, FrameHead, Mark, PLAIN_FILE_HEAD, first_of, mark, other_version, path};
use crate::log::disk::Disk;
use crate::log::error::{Error, Result, io};
use crate::log::event::Event;
use crate::log::sum::crc32c;
use bytes::Bytes;
use std::ops::Range;
use uuid::Uuid;

/// Frames that were acknowledged and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The file, and the byte in it.
    pub path: String,
    pub at: u64,
    /// Their LSNs.
    pub lsns: Range<u64>,
    /// The partition that they belong to, if that is known.
    pub place: Option<(Uuid, u32)>,
    pub why: &'static str,
}

impl Damage {
    pub fn error(&self) -> Error {
        Error::Damaged {
            path: self.path.clone(),
            at: self.at,
            why: self.why.to_owned(),
        }
    }
}

/// What there is to replay after a checkpoint.
pub(crate) struct Scan {
    /// First LSNs of the files that have something to replay.
    needed: Vec<u64>,
    /// The checkpoint's LSN.
    after: u64,
    /// The first LSN that never happened.
    pub end: u64,
    pub damages: Vec<Damage>,
}

/// What is found going through a file.
enum Found {
    Frame(FrameHead, Range<usize>),
    Bad(Damage),
}

impl Scan {
    /// Looks at all files that have frames after `after`.
    pub fn new(disk: &dyn Disk, after: u64) -> Result<Self> {
        let mut files: Vec<u64> = disk
            .list(FOLDER)
            .map_err(io("list", FOLDER))?
            .iter()
            .filter_map(|name| first_of(name))
            .filter(|first| *first > 0)
            .collect();
        files.sort_unstable();
        let needed: Vec<u64> = (0..files.len())
            .filter(|&i| files.get(i + 1).is_none_or(|next| *next > after + 1))
            .map(|i| files[i])
            .collect();
        let mut scan = Self {
            needed,
            after,
            end: after + 1,
            damages: Vec::new(),
        };
        // The last LSN that is known to have been durable.
        let mut durable = after;
        let mut bad = Vec::new();
        // The next LSN that should be found.
        let mut expected = after + 1;
        for &first in &scan.needed {
            let content = read(disk, first)?;
            if other_version(&content) {
                return Err(Error::Damaged {
                    path: path(first),
                    at: 8,
                    why: "the file has another version than this program reads".to_owned(),
                });
            }
            // A file is begun when all before it is durable.
            durable = durable.max(first - 1);
            if first > expected {
                bad.push(Damage {
                    path: path(first),
                    at: 0,
                    lsns: expected..first,
                    place: None,
                    why: "the file that should be before this one is missing",
                });
                expected = first;
            }
            for found in Frames::new(&content, first) {
                match found {
                    Found::Frame(head, _) => {
                        durable = durable.max(head.durable);
                        expected = expected.max(head.lsn + 1);
                    }
                    Found::Bad(damage) => {
                        expected = expected.max(damage.lsns.end);
                        bad.push(damage);
                    }
                }
            }
        }
        scan.end = expected;
        for mut damage in bad {
            if damage.lsns.end <= after + 1 {
                continue;
            }
            damage.lsns.start = damage.lsns.start.max(after + 1);
            if damage.lsns.end > durable + 1 {
                scan.end = scan.end.min(damage.lsns.start.max(durable + 1));
            }
            if damage.lsns.start <= durable {
                scan.damages.push(damage);
            }
        }
        Ok(scan)
    }

    /// Gives every frame that happened and can be read, in order.
    pub fn replay(
        &self,
        disk: &dyn Disk,
        mut each: impl FnMut(u64, Vec<Event>) -> Result<()>,
    ) -> Result<()> {
        for &first in &self.needed {
            let content = read(disk, first)?;
            for found in Frames::new(&content, first) {
                let Found::Frame(head, payload) = found else {
                    continue;
                };
                if head.lsn <= self.after || head.lsn >= self.end {
                    continue;
                }
                let at = payload.start;
                let events =
                    Event::decode_all(&content.slice(payload)).ok_or_else(|| Error::Damaged {
                        path: path(first),
                        at: at as u64,
                        why: "a frame has events that this program does not know".to_owned(),
                    })?;
                each(head.lsn, events)?;
            }
        }
        Ok(())
    }
}

fn read(disk: &dyn Disk, first: u64) -> Result<Bytes> {
    let path = path(first);
    let file = disk.open(&path).map_err(io("open", &path))?;
    let length = file.length().map_err(io("look at", &path))?;
    let length = usize::try_from(length).map_err(|_| Error::Damaged {
        path: path.clone(),
        at: 0,
        why: "it is longer than memory".to_owned(),
    })?;
    file.read(length, 0).map_err(io("read", &path))
}

/// The frames of a file, and what is wrong between them.
struct Frames<'a> {
    content: &'a [u8],
    path: String,
    /// How its frames are marked; `None` if there is none, and the head cannot be read.
    mark: Option<Mark>,
    at: usize,
    expected: u64,
}

impl<'a> Frames<'a> {
    /// Goes by the file's head or, where that is damaged, by the first frame that can be read: a head is on the disk before
    /// there are frames, so nobody can have that happen by stopping the machine.
    fn new(content: &'a [u8], first: u64) -> Self {
        let mark = mark(content).or_else(|| {
            let found = find(content, PLAIN_FILE_HEAD, first, None);
            found.map(|(_, mark, _)| mark)
        });
        Self {
            content,
            path: path(first),
            mark,
            at: mark.map_or(PLAIN_FILE_HEAD, Mark::file_head),
            expected: first,
        }
    }

    fn damage(&self, lsns: Range<u64>, place: Option<(Uuid, u32)>, why: &'static str) -> Found {
        Found::Bad(Damage {
            path: self.path.clone(),
            at: self.at as u64,
            lsns,
            place,
            why,
        })
    }
}

impl Iterator for Frames<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        let left = self.content.get(self.at..)?;
        if left.is_empty() {
            return None;
        }
        let lsn = self.expected;
        let frame = FrameHead::decode(left);
        match frame.filter(|(mark, head)| Some(*mark) == self.mark && head.lsn == lsn) {
            Some((mark, head)) => {
                let from = self.at + mark.frame_head();
                let payload = from..from + head.length;
                let found = match self.content.get(payload.clone()) {
                    Some(bytes) if crc32c(bytes) == head.crc => Found::Frame(head, payload.clone()),
                    Some(_) => self.damage(
                        lsn..lsn + 1,
                        head.place,
                        "the CRC-32C of a frame is another",
                    ),
                    None => self.damage(lsn..lsn + 1, head.place, "the file ends within a frame"),
                };
                self.at = payload.end;
                self.expected = lsn + 1;
                Some(found)
            }
            None => {
                let next = self
                    .mark
                    .and_then(|_| find(self.content, self.at + 1, lsn + 1, self.mark))
                    .map(|(at, _, head)| (at, head.lsn));
                let (at, expected) = next.unwrap_or((self.content.len(), lsn + 1));
                let found = self.damage(
                    lsn..expected,
                    None,
                    "something else stands where a frame should",
                );
                self.at = at;
                self.expected = expected;
                Some(found)
            }
        }
    }
}

/// The next whole frame, marked so if that is known, with an LSN of at least `least`: where it is, how it is marked, and its
/// head. Frames between have room there, so it is no further ahead than so many as would fit.
fn find(
    content: &[u8],
    from: usize,
    least: u64,
    mark: Option<Mark>,
) -> Option<(usize, Mark, FrameHead)> {
    (from..content.len()).find_map(|at| {
        let (found, head) = FrameHead::decode(&content[at..])?;
        let payload = content.get(at + found.frame_head()..)?.get(..head.length)?;
        let fit = ((at - from) / found.frame_head()) as u64;
        let whole = mark.is_none_or(|mark| mark == found)
            && head
                .lsn
                .checked_sub(least)
                .is_some_and(|ahead| ahead <= fit)
            && crc32c(payload) == head.crc;
        whole.then_some((at, found, head))
    })
}
