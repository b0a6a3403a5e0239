//! Compaction: of each key the last record is kept, at its offset.
//!
//! ```text
//!           compacted            to be compacted         written to
//! offsets ──┼────────────────────┼───────────────────────┼──────────
//!           │ segments           │ segments: their keys  │ last segment, and whatever an open transaction has
//!           └──── all of them are written anew ──────────┘
//! ```
//!
//! A pass notes the last offset of every key that is not compacted yet, then goes through all segments from the first and
//! leaves out what a later record has taken the place of. Where there are more keys than are kept in memory, another pass
//! goes on from there. Small segments become one. What Kafka's cleaner does is done: tombstones and markers of transactions
//! are kept for `delete.retention.ms` after a pass first saw them (KIP-534), records of aborted transactions go, the last
//! batch of a producer and the last of a pass are kept without records. Other than Kafka, it looks again when
//! tombstones are due, and keeps records without a key, which are older than the setting.
//!
//! The thread that does this changes nothing that anybody sees. It writes files beside those that are there, under
//! names of their own, syncs them and hands them to the keeper ([`Outcome`]), which puts them into the image. The next
//! checkpoint makes that durable, and only then are the old files removed. So a crash leaves the old segments or the new,
//! and files that no checkpoint knows are removed when the log is opened. On a full disk, or at damage, everything stays as
//! it was.

mod filter;
mod keys;
#[cfg(test)]
mod tests;

use super::batch::{self, Head, Records};
use super::disk::is_full;
use super::error::Error;
use super::files::Files;
use super::partition::segment::{Segment, index_path};
use super::shared::Shared;
use bytes::Bytes;
pub(crate) use filter::{Facts, Last};
use filter::{Fate, Filter, Noted, is_readable};
use keys::Keys;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use uuid::Uuid;

/// Bytes that are gathered before they are written.
const AT_ONCE: usize = 1 << 20;

/// A partition that is to be compacted.
pub(crate) struct Job {
    pub place: (Uuid, u32),
    pub folder: String,
    /// The segments, from the partition's first on; nothing more is written to them.
    pub segments: Vec<Arc<Segment>>,
    /// The offset before which everything was compacted.
    pub from: i64,
    /// The offset after the last segment.
    pub to: i64,
    /// Segments that are not larger together become one.
    pub segment_bytes: u64,
    /// Most keys that are kept in memory.
    pub keys: usize,
    /// Bytes that others need on the disk.
    pub spare: u64,
    pub facts: Facts,
}

/// Segments and what is to take their place.
pub(crate) struct Replaced {
    pub place: (Uuid, u32),
    pub old: Vec<Arc<Segment>>,
    /// `None` if nothing is left.
    pub new: Option<Arc<Segment>>,
    /// The offset after the segments.
    pub end: i64,
    /// Markers of aborted transactions that are gone, sorted.
    pub markers: Vec<i64>,
    /// Records that are gone.
    pub records: u64,
}

/// What comes of a job, in order.
pub(crate) enum Outcome {
    Replaced(Replaced),
    /// Everything before this offset is compacted.
    Compacted((Uuid, u32), i64),
    /// Nothing more comes.
    Ended((Uuid, u32), Result<(), Stop>),
}

/// Why a job ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The log closes, or the segments went meanwhile.
    Needless,
    /// There is too little space.
    Full,
    /// What is there cannot be read.
    Unreadable(Error),
    /// A write or a sync failed.
    Failed(&'static str, io::Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match &error {
            Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Self::Needless,
            _ => Self::Unreadable(error),
        }
    }
}

/// The thread's work: one job after the other.
pub(crate) fn work(shared: &Shared, jobs: &Receiver<Job>) {
    for job in jobs {
        let stopped = || shared.is_ending();
        job.run(&shared.files, &stopped, &mut |outcome| {
            let mut laying = shared.laying.lock();
            laying.compacted.push_back(outcome);
            shared.to_lay.notify_one();
        });
    }
}

impl Job {
    /// Compacts; `tell` is given what comes of it.
    pub fn run(mut self, files: &Files, stopped: &dyn Fn() -> bool, tell: &mut dyn FnMut(Outcome)) {
        let done = self.passes(files, stopped, tell);
        tell(Outcome::Ended(self.place, done));
    }

    fn passes(
        &mut self,
        files: &Files,
        stopped: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(Outcome),
    ) -> Result<(), Stop> {
        loop {
            let mut keys = Keys::new(self.keys);
            let end = self.note_keys(files, stopped, &mut keys)?;
            self.pass(files, stopped, &keys, end, tell)?;
            tell(Outcome::Compacted(self.place, end));
            self.from = end;
            if end >= self.to {
                return Ok(());
            }
        }
    }

    /// Notes the keys that are not compacted yet, as many as there is room for; gives the offset after them.
    fn note_keys(
        &self,
        files: &Files,
        stopped: &dyn Fn() -> bool,
        keys: &mut Keys,
    ) -> Result<i64, Stop> {
        let mut end = None;
        for (segment, after) in self.with_ends() {
            if after <= self.from {
                continue;
            }
            let mut needless = false;
            segment.go_through(files, self.from, |head, batch, _| {
                needless = stopped();
                if needless || !self.facts.counts(&head) {
                    return !needless;
                }
                if !keys.is_empty() && !keys.has_room(head.count as usize) {
                    end = Some(head.base_offset.max(self.from));
                    return false;
                }
                if let Ok(body) = batch::body(&batch, &head)
                    && is_readable(&head, &body)
                {
                    end = self.note(&head, &body, keys);
                }
                end.is_none()
            })?;
            if needless {
                return Err(Stop::Needless);
            }
            if let Some(end) = end {
                return Ok(end);
            }
        }
        Ok(self.to)
    }

    /// Notes the keys of a batch; gives the offset of the first record for which there is no room.
    fn note(&self, head: &Head, body: &[u8], keys: &mut Keys) -> Option<i64> {
        for record in Records(body) {
            let offset = head.base_offset + record.offset_delta;
            if let Some(key) = record.content().and_then(|content| content.key)
                && offset >= self.from
                && !keys.note(key, offset)
            {
                return Some(offset);
            }
        }
        None
    }

    /// The segments, each with the offset after it.
    fn with_ends(&self) -> impl Iterator<Item = (&Arc<Segment>, i64)> {
        let bases = self.segments.iter().skip(1).map(|segment| segment.base);
        self.segments.iter().zip(bases.chain([self.to]))
    }

    /// Goes through all segments that begin before `end`.
    fn pass(
        &mut self,
        files: &Files,
        stopped: &dyn Fn() -> bool,
        keys: &Keys,
        end: i64,
        tell: &mut dyn FnMut(Outcome),
    ) -> Result<(), Stop> {
        let mut filter = Filter::default();
        let mut at = 0;
        let mut left = Vec::with_capacity(self.segments.len());
        while let Some(count) = self.group(at, end) {
            let group = &self.segments[at..at + count];
            at += count;
            let until = self.segments.get(at).map_or(self.to, |next| next.base);
            let pass = Pass {
                job: self,
                files,
                stopped,
                keys,
                end,
                group,
                last: at == self.segments.len(),
            };
            let before = filter.clone();
            if count == 1 && pass.keeps(&mut filter)? {
                left.extend(group.iter().cloned());
                continue;
            }
            filter = before;
            let new = pass.write(&mut filter)?;
            left.extend(new.clone());
            tell(Outcome::Replaced(Replaced {
                place: self.place,
                old: group.to_vec(),
                new,
                end: until,
                markers: std::mem::take(&mut filter.markers),
                records: std::mem::take(&mut filter.removed),
            }));
        }
        left.extend(self.segments.drain(at..));
        self.segments = left;
        Ok(())
    }

    /// How many segments from this one on become one; `None` when none is left that begins before `end`.
    fn group(&self, at: usize, end: i64) -> Option<usize> {
        let first = self.segments.get(at).filter(|first| first.base < end)?;
        let epoch = first.extent().epoch;
        let mut bytes = first.bytes();
        let more = self.with_ends().skip(at + 1).take_while(|(next, after)| {
            bytes += next.bytes();
            next.base < end
                && bytes <= self.segment_bytes
                && next.extent().epoch == epoch
                && after - first.base <= i64::from(i32::MAX)
        });
        Some(1 + more.count())
    }
}

/// A pass at some segments that become one.
struct Pass<'a> {
    job: &'a Job,
    files: &'a Files,
    stopped: &'a dyn Fn() -> bool,
    keys: &'a Keys,
    /// Records from here on are kept.
    end: i64,
    group: &'a [Arc<Segment>],
    /// Whether these are the job's last.
    last: bool,
}

impl Pass<'_> {
    /// Goes through all batches with what becomes of each, as long as `each` says so.
    fn decide(
        &self,
        filter: &mut Filter,
        mut each: impl FnMut(&Segment, Head, Bytes, Fate) -> Result<bool, Stop>,
    ) -> Result<(), Stop> {
        for (i, segment) in self.group.iter().enumerate() {
            let mut going = Ok(true);
            segment.go_through(self.files, segment.base, |head, batch, last| {
                let fate = match head.base_offset < self.end {
                    true => {
                        let ends = last && self.last && i + 1 == self.group.len();
                        let noted = Noted {
                            keys: self.keys,
                            end: self.end,
                        };
                        filter.decide(&self.job.facts, noted, &head, &batch, ends)
                    }
                    false => Fate::Same,
                };
                going = match (self.stopped)() {
                    true => Err(Stop::Needless),
                    false => each(segment, head, batch, fate),
                };
                matches!(going, Ok(true))
            })?;
            if !going? {
                break;
            }
        }
        Ok(())
    }

    /// Whether everything is kept as it is.
    fn keeps(&self, filter: &mut Filter) -> Result<bool, Stop> {
        let mut keeps = true;
        self.decide(filter, |_, _, _, fate| {
            keeps &= fate == Fate::Same;
            Ok(keeps)
        })?;
        Ok(keeps)
    }

    /// Writes what is kept into a segment of its own, which is on the disk when this returns; `None` if nothing is kept.
    fn write(&self, filter: &mut Filter) -> Result<Option<Arc<Segment>>, Stop> {
        let [first, ..] = self.group else {
            return Ok(None);
        };
        let most: u64 = self.group.iter().map(|segment| segment.bytes()).sum();
        let free = self.files.disk.free().unwrap_or(u64::MAX);
        if free < most.saturating_add(self.job.spare) {
            return Err(Stop::Full);
        }
        let old = self.group.iter().map(|segment| segment.extent().generation);
        let generation = old.max().unwrap_or(0) + 1;
        let (folder, epoch) = (&self.job.folder, first.extent().epoch);
        let segment = Segment::compacted(folder, first.base, epoch, generation);
        let written = self.fill(filter, &segment);
        match written {
            Ok(true) => Ok(Some(Arc::new(segment))),
            unwritten => {
                forget(self.files, &segment);
                unwritten.map(|_| None)
            }
        }
    }

    /// Whether the segment has anything.
    fn fill(&self, filter: &mut Filter, segment: &Segment) -> Result<bool, Stop> {
        let failed = |error: io::Error| match error.kind() {
            _ if is_full(&error) => Stop::Full,
            // The topic was deleted, and its folder with it.
            io::ErrorKind::NotFound => Stop::Needless,
            _ => Stop::Failed("write a compacted segment", error),
        };
        let file = self.files.create(&segment.path).map_err(failed)?;
        let mut gathered: Vec<(Head, Bytes, i64)> = Vec::new();
        let (mut bytes, mut any) = (0, false);
        self.decide(filter, |from, head, batch, fate| {
            let (head, batch) = match fate {
                Fate::Gone => return Ok(true),
                Fate::Same => (head, batch),
                Fate::Other(head, batch) => (head, batch),
            };
            // What was due before and is kept is not ours.
            let due = head.horizon().filter(|due| *due >= self.job.facts.now);
            if let Some(due) = due {
                segment.expires(due);
            }
            let extent = from.extent();
            let at = match any {
                true => extent.last_at,
                false => extent.first_at,
            };
            any = true;
            bytes += batch.len();
            gathered.push((head, batch, at));
            if bytes >= AT_ONCE {
                segment.append(self.files, &gathered).map_err(failed)?;
                gathered.clear();
                bytes = 0;
            }
            Ok(true)
        })?;
        if !any {
            return Ok(false);
        }
        if !gathered.is_empty() {
            segment.append(self.files, &gathered).map_err(failed)?;
        }
        segment.seal(self.files);
        let synced = file.sync();
        synced
            .and_then(|()| self.files.disk.sync_folder(&self.job.folder))
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Stop::Needless,
                _ => Stop::Failed("sync a compacted segment", error),
            })?;
        Ok(true)
    }
}

/// Removes the files of a segment that nobody knows.
pub(crate) fn forget(files: &Files, segment: &Segment) {
    let index = index_path(&segment.path);
    let removed = files
        .remove(&segment.path)
        .and_then(|()| files.remove(&index));
    if let Err(error) = removed {
        // It goes when the log is opened the next time.
        tracing::warn!(path = %segment.path, %error, "a file could not be removed");
    }
}
