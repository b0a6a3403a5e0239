//! A file of batches, exactly as a fetch answers them: `<first offset>.log`, which Kafka's own tools read. Compaction
//! writes another file, `<first offset>.<how often>.log`.
//!
//! Every batch that is read is checked again, so damage is told and never served. What stands behind
//! [`Segment::bytes`] is not part of the segment.

use super::index::{Entry, Index};
use crate::log::batch::{self, HEAD, Head};
use crate::log::error::{Error, Result, io};
use crate::log::files::Files;
use bytes::Bytes;
use parking_lot::Mutex;
use std::io::IoSlice;

/// Bytes that are read at once to look for a batch.
const LOOK: usize = 64 << 10;
/// Most bytes that are read at once.
const CHUNK: usize = 1 << 20;

/// A segment.
pub(crate) struct Segment {
    pub base: i64,
    pub path: String,
    state: Mutex<State>,
}

struct State {
    extent: Extent,
    /// Built or read when it is first needed.
    index: Option<Index>,
    /// Nothing more is written to it.
    ended: bool,
}

/// What a segment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub bytes: u64,
    /// When its first batch came.
    pub first_at: i64,
    /// When its last batch came.
    pub last_at: i64,
    /// The largest time of a record; -1 if records have none.
    pub max_timestamp: i64,
    /// The leader epoch of all its batches.
    pub epoch: i32,
    /// Whether a repair or compaction left batches out, so that offsets are missing.
    pub gaps: bool,
    /// How often it was compacted.
    pub generation: u32,
    /// The first time from which on a tombstone or a marker in it may go.
    pub horizon: i64,
}

impl Segment {
    /// A segment that has nothing yet.
    pub fn new(folder: &str, base: i64, epoch: i32) -> Self {
        Self::known(
            folder,
            base,
            Extent {
                bytes: 0,
                first_at: 0,
                last_at: 0,
                max_timestamp: -1,
                epoch,
                gaps: false,
                generation: 0,
                horizon: i64::MAX,
            },
        )
    }

    /// A segment with nothing yet that is to take the place of compacted ones.
    pub fn compacted(folder: &str, base: i64, epoch: i32, generation: u32) -> Self {
        let extent = Extent {
            gaps: true,
            generation,
            ..Self::new(folder, base, epoch).extent()
        };
        Self::known(folder, base, extent)
    }

    /// A segment that is there.
    pub fn known(folder: &str, base: i64, extent: Extent) -> Self {
        let index = (extent.bytes == 0).then(Index::default);
        Self {
            base,
            path: path(folder, base, extent.generation),
            state: Mutex::new(State {
                extent,
                index,
                ended: extent.generation > 0,
            }),
        }
    }

    /// Lets nothing more be written to it.
    pub fn end(&self) {
        self.state.lock().ended = true;
    }

    pub fn is_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// Takes note of a time from which on something in it may go.
    pub fn expires(&self, horizon: i64) {
        let mut state = self.state.lock();
        state.extent.horizon = state.extent.horizon.min(horizon);
    }

    pub fn extent(&self) -> Extent {
        self.state.lock().extent
    }

    pub fn bytes(&self) -> u64 {
        self.state.lock().extent.bytes
    }

    /// The largest time of a record, if it has records.
    pub fn max_timestamp(&self) -> Option<i64> {
        let extent = self.state.lock().extent;
        (extent.bytes > 0).then_some(extent.max_timestamp)
    }

    /// Writes batches behind those that are there. After an error the segment has what it had.
    pub fn append(&self, files: &Files, batches: &[(Head, Bytes, i64)]) -> std::io::Result<()> {
        let start = self.bytes();
        let file = files.get(&self.path)?;
        let slices: Vec<IoSlice<'_>> = batches
            .iter()
            .map(|(_, bytes, _)| IoSlice::new(bytes))
            .collect();
        file.write_past(&slices, start)?;
        let mut state = self.state.lock();
        let State { extent, index, .. } = &mut *state;
        for (head, bytes, at) in batches {
            if let Some(index) = index {
                index.note(Entry {
                    offset: head.base_offset,
                    position: extent.bytes,
                    max_before: extent.max_timestamp,
                });
            }
            if extent.bytes == 0 {
                extent.first_at = *at;
            }
            extent.last_at = *at;
            extent.max_timestamp = extent.max_timestamp.max(head.newest());
            extent.bytes += bytes.len() as u64;
        }
        Ok(())
    }

    /// Writes the index beside a segment that is complete. It is worth little, so nothing is made of an error.
    pub fn seal(&self, files: &Files) {
        let encoded = {
            let state = self.state.lock();
            match &state.index {
                Some(index) => index.encode(self.base, state.extent.bytes),
                None => return,
            }
        };
        let path = index_path(&self.path);
        let written = files
            .disk
            .create(&path)
            .and_then(|file| file.write_at(&[IoSlice::new(&encoded)], 0));
        if let Err(error) = written {
            tracing::warn!(%path, %error, "an index could not be written; it will be built when it is needed");
        }
    }

    fn damaged(&self, at: u64, why: &str) -> Error {
        Error::Damaged {
            path: self.path.clone(),
            at,
            why: why.to_owned(),
        }
    }

    /// Whole batches from the one that has `offset` or the first one after it, as far as they are before `end`; none if
    /// there is none.
    pub fn read(
        &self,
        files: &Files,
        offset: i64,
        max_bytes: usize,
        end: i64,
    ) -> Result<Vec<Bytes>> {
        let (extent, from) = self.look_up(files, |index| index.of_offset(offset))?;
        let mut walk = Walk::new(self, files, from, extent)?;
        walk.want = max_bytes.clamp(LOOK, CHUNK);
        let mut batches: Vec<Bytes> = Vec::new();
        let mut taken = 0;
        while let Some((at, head)) = walk.head()? {
            if head.last_offset() < offset {
                walk.skip(&head);
                continue;
            }
            if taken > 0 && taken + head.bytes > max_bytes {
                break;
            }
            // Bytes that are there already are taken; more are read only if nothing was found yet.
            if taken > 0 && !walk.holds(&head) {
                break;
            }
            let batch = walk.take(&head)?;
            if !batch::intact(&batch, &head) {
                if taken > 0 {
                    break;
                }
                return Err(self.damaged(at, "the CRC-32C of a batch is another"));
            }
            // Only now is it known that the head says what was written.
            if head.last_offset() >= end {
                break;
            }
            taken += head.bytes;
            batches.push(batch);
        }
        Ok(batches)
    }

    /// The first record with offsets from `from` whose time satisfies `wanted`.
    pub fn find_time(
        &self,
        files: &Files,
        from: i64,
        wanted: impl Fn(i64) -> bool,
    ) -> Result<Option<(i64, i64)>> {
        if !self.max_timestamp().is_some_and(&wanted) {
            return Ok(None);
        }
        let (extent, entry) = self.look_up(files, |index| index.of_time(&wanted))?;
        let mut walk = Walk::new(self, files, entry, extent)?;
        while let Some((at, head)) = walk.head()? {
            if head.last_offset() < from || !wanted(head.newest()) {
                walk.skip(&head);
                continue;
            }
            let batch = walk.take(&head)?;
            if !batch::intact(&batch, &head) {
                return Err(self.damaged(at, "the CRC-32C of a batch is another"));
            }
            let found = batch::find_time(&batch, &head, &wanted);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The largest time of the batches that have records from this offset on.
    pub fn max_time_from(&self, files: &Files, from: i64) -> Result<Option<i64>> {
        if from <= self.base {
            return Ok(self.max_timestamp());
        }
        let (extent, entry) = self.look_up(files, |index| index.of_offset(from))?;
        let mut walk = Walk::new(self, files, entry, extent)?;
        let mut largest = None;
        while let Some((_, head)) = walk.head()? {
            if head.last_offset() >= from {
                largest = largest.max(Some(head.newest()));
            }
            walk.skip(&head);
        }
        Ok(largest)
    }

    /// Goes through all batches from the one that has `offset`, as long as `each` says so; it is told whether a batch is
    /// the segment's last. An error at damage.
    pub fn go_through(
        &self,
        files: &Files,
        offset: i64,
        mut each: impl FnMut(Head, Bytes, bool) -> bool,
    ) -> Result<()> {
        let (extent, from) = match offset <= self.base {
            true => (self.extent(), self.beginning()),
            false => self.look_up(files, |index| index.of_offset(offset))?,
        };
        let mut walk = Walk::new(self, files, from, extent)?;
        walk.want = CHUNK;
        while let Some((at, head)) = walk.head()? {
            if head.last_offset() < offset {
                walk.skip(&head);
                continue;
            }
            let batch = walk.take(&head)?;
            if !batch::intact(&batch, &head) {
                return Err(self.damaged(at, "the CRC-32C of a batch is another"));
            }
            if !each(head, batch, walk.at >= walk.end) {
                break;
            }
        }
        Ok(())
    }

    /// Reads every batch that can be read, and gives where damage is.
    pub fn scan(&self, files: &Files, mut each: impl FnMut(u64, Head, Bytes)) -> Vec<Error> {
        let mut damages = Vec::new();
        let mut walk = match Walk::new(self, files, self.beginning(), self.extent()) {
            Ok(walk) => walk,
            Err(error) => return vec![error],
        };
        walk.want = CHUNK;
        loop {
            let batch = match walk.head() {
                Ok(Some((at, head))) => {
                    walk.peek(&head)
                        .and_then(|batch| match batch::intact(&batch, &head) {
                            true => Ok((at, head, batch)),
                            false => Err(self.damaged(at, "the CRC-32C of a batch is another")),
                        })
                }
                Ok(None) => return damages,
                Err(error) => Err(error),
            };
            match batch {
                Ok((at, head, batch)) => {
                    walk.skip(&head);
                    each(at, head, batch);
                }
                Err(error) => {
                    let goes_on = matches!(error, Error::Damaged { .. }) && walk.find_next();
                    damages.push(error);
                    if !goes_on {
                        return damages;
                    }
                }
            }
        }
    }

    /// Asks the index, which is read or built if need be; gives what the segment has with the answer.
    fn look_up(
        &self,
        files: &Files,
        ask: impl Fn(&Index) -> Option<Entry>,
    ) -> Result<(Extent, Entry)> {
        let extent = {
            let state = self.state.lock();
            if let Some(index) = &state.index {
                return Ok((state.extent, ask(index).unwrap_or(self.beginning())));
            }
            state.extent
        };
        // Without the lock, which appending needs: what is appended meanwhile is caught up with below.
        let read = read_index(files, &self.path, self.base, extent.bytes);
        let known = read.is_some();
        let mut index = read.unwrap_or_default();
        let mut from = self.beginning();
        if !known {
            from = self.build(files, &mut index, from, extent)?;
        }
        let mut state = self.state.lock();
        if !known && from.position < state.extent.bytes {
            self.build(files, &mut index, from, state.extent)?;
        }
        let found = ask(&index).unwrap_or(self.beginning());
        // An index from a file is complete for what the segment had then; one that grew since is looked at again.
        if !known || state.extent.bytes == extent.bytes {
            state.index = Some(index);
        }
        Ok((state.extent, found))
    }

    /// Where the first batch is.
    fn beginning(&self) -> Entry {
        Entry {
            offset: self.base,
            position: 0,
            max_before: -1,
        }
    }

    /// Adds batches to an index; gives where the next one will be.
    fn build(
        &self,
        files: &Files,
        index: &mut Index,
        mut from: Entry,
        extent: Extent,
    ) -> Result<Entry> {
        let mut walk = Walk::new(self, files, from, extent)?;
        while let Some((position, head)) = walk.head()? {
            index.note(Entry {
                offset: head.base_offset,
                position,
                max_before: from.max_before,
            });
            walk.skip(&head);
            from = Entry {
                offset: walk.next,
                position: walk.at,
                max_before: from.max_before.max(head.newest()),
            };
        }
        Ok(from)
    }
}

/// Goes through a segment from batch to batch.
struct Walk<'a> {
    segment: &'a Segment,
    file: std::sync::Arc<dyn crate::log::disk::File>,
    /// Where the next batch begins.
    at: u64,
    /// Where the segment ends.
    end: u64,
    /// The offset that the next batch has, or at least has.
    next: i64,
    gaps: bool,
    epoch: i32,
    buffer: Bytes,
    /// Where the buffer begins in the file.
    buffered: u64,
    /// Bytes to read at once.
    want: usize,
}

impl<'a> Walk<'a> {
    fn new(segment: &'a Segment, files: &Files, from: Entry, extent: Extent) -> Result<Self> {
        let file = files
            .get(&segment.path)
            .map_err(io("open", &segment.path))?;
        Ok(Self {
            segment,
            file,
            at: from.position,
            end: extent.bytes,
            next: from.offset,
            gaps: extent.gaps,
            epoch: extent.epoch,
            buffer: Bytes::new(),
            buffered: 0,
            want: LOOK,
        })
    }

    /// The next batch's place and head.
    fn head(&mut self) -> Result<Option<(u64, Head)>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let damaged = |why| self.segment.damaged(self.at, why);
        if self.end - self.at < HEAD as u64 {
            return Err(damaged("a batch has no whole head"));
        }
        let head = Head::read(self.bytes(HEAD)?).ok_or_else(|| {
            self.segment
                .damaged(self.at, "something else stands where a batch should begin")
        })?;
        // Offset and epoch are not in the sum of the batch, but it is known what they must be.
        let possible = match self.gaps {
            true => head.base_offset >= self.next,
            false => head.base_offset == self.next,
        } && head.leader_epoch == self.epoch
            && head.bytes as u64 <= self.end - self.at;
        if !possible {
            return Err(self
                .segment
                .damaged(self.at, "the head of a batch says what cannot be"));
        }
        Ok(Some((self.at, head)))
    }

    /// Whether a batch is in the buffer.
    fn holds(&self, head: &Head) -> bool {
        self.at >= self.buffered
            && self.at + head.bytes as u64 <= self.buffered + self.buffer.len() as u64
    }

    fn skip(&mut self, head: &Head) {
        self.at += head.bytes as u64;
        self.next = head.last_offset() + 1;
    }

    fn take(&mut self, head: &Head) -> Result<Bytes> {
        let batch = self.peek(head)?;
        self.skip(head);
        Ok(batch)
    }

    /// The next batch, without going on.
    fn peek(&mut self, head: &Head) -> Result<Bytes> {
        self.bytes(head.bytes)?;
        let from = (self.at - self.buffered) as usize;
        Ok(self.buffer.slice(from..from + head.bytes))
    }

    /// Goes on to the next place where a whole batch is, looking at every byte; whether there is one.
    fn find_next(&mut self) -> bool {
        while self.at + (HEAD as u64) < self.end {
            self.at += 1;
            let Ok(head) = self.bytes(HEAD).map(Head::read) else {
                return false;
            };
            let possible = head.filter(|head| {
                head.base_offset >= self.next && head.bytes as u64 <= self.end - self.at
            });
            if let Some(head) = possible
                && self
                    .peek(&head)
                    .is_ok_and(|batch| batch::intact(&batch, &head))
                && !self.is_contradicted(&head)
            {
                self.next = head.base_offset;
                return true;
            }
        }
        false
    }

    /// Whether the batch behind this one says that its offset, which is not in its sum, is another.
    fn is_contradicted(&mut self, head: &Head) -> bool {
        let at = self.at;
        self.at += head.bytes as u64;
        let left = self.end - self.at;
        let follower = match self.gaps || left < HEAD as u64 {
            true => None,
            false => self.bytes(HEAD).ok().and_then(Head::read),
        };
        let follower = follower.filter(|follower| {
            let whole = follower.bytes as u64 <= left;
            let batch = whole.then(|| self.peek(follower));
            matches!(batch, Some(Ok(batch)) if batch::intact(&batch, follower))
        });
        self.at = at;
        follower.is_some_and(|follower| follower.base_offset != head.last_offset() + 1)
    }

    /// The next bytes of the file, read if they are not in the buffer.
    fn bytes(&mut self, count: usize) -> Result<&[u8]> {
        let there = self.at >= self.buffered
            && self.at + count as u64 <= self.buffered + self.buffer.len() as u64;
        if !there {
            let left = (self.end - self.at).min(usize::MAX as u64) as usize;
            let want = self.want.max(count).min(left);
            let buffer = self
                .file
                .read(want, self.at)
                .map_err(io("read", &self.segment.path))?;
            if buffer.len() < want {
                return Err(self.segment.damaged(
                    self.at + buffer.len() as u64,
                    "the file ends before its segment does",
                ));
            }
            self.buffer = buffer;
            self.buffered = self.at;
        }
        let from = (self.at - self.buffered) as usize;
        Ok(&self.buffer[from..from + count])
    }
}

fn read_index(files: &Files, path: &str, base: i64, bytes: u64) -> Option<Index> {
    let file = files.disk.open(&index_path(path)).ok()?;
    let length = usize::try_from(file.length().ok()?).ok()?;
    // An entry takes 24 bytes for 4096 of the segment.
    if length as u64 > bytes / 64 + 4096 {
        return None;
    }
    let content = file.read(length, 0).ok()?;
    Index::decode(&content, base, bytes)
}

/// The file of the segment that begins at this offset and was compacted so often.
fn path(folder: &str, base: i64, generation: u32) -> String {
    match generation {
        0 => format!("{folder}/{base:020}.log"),
        _ => format!("{folder}/{base:020}.{generation}.log"),
    }
}

/// First offset and generation of the segment that a file belongs to by its name, if to any.
pub(crate) fn named(name: &str) -> Option<(i64, u32)> {
    let (name, kind) = name.rsplit_once('.')?;
    if !matches!(kind, "log" | "index") {
        return None;
    }
    match name.split_once('.') {
        Some((base, generation)) => Some((base.parse().ok()?, generation.parse().ok()?)),
        None => Some((name.parse().ok()?, 0)),
    }
}

/// The file of a segment's index.
pub(crate) fn index_path(segment: &str) -> String {
    format!("{}.index", segment.trim_end_matches(".log"))
}
