//! A file of batches, exactly as a fetch answers them: `<first offset>.log`, which Kafka's own tools read.
//!
//! Every batch that is read is checked again, so damage is told and never served. What stands behind
//! [`Segment::bytes`] is not part of the segment.

use super::index::{Entry, Index};
use crate::log::batch::{self, HEAD, Head};
use crate::log::error::{Error, Result, io};
use crate::log::files::Files;
use bytes::{Bytes, BytesMut};
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
}

impl Segment {
    /// A segment that has nothing yet.
    pub fn new(folder: &str, base: i64) -> Self {
        Self::known(
            folder,
            base,
            Extent {
                bytes: 0,
                first_at: 0,
                last_at: 0,
                max_timestamp: -1,
            },
        )
    }

    /// A segment that is there.
    pub fn known(folder: &str, base: i64, extent: Extent) -> Self {
        let index = (extent.bytes == 0).then(Index::default);
        Self {
            base,
            path: path(folder, base),
            state: Mutex::new(State { extent, index }),
        }
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
        file.write_at(&slices, start)?;
        let mut state = self.state.lock();
        let State { extent, index } = &mut *state;
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
            extent.max_timestamp = extent.max_timestamp.max(head.max_timestamp);
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

    /// Whole batches from the one that has `offset` or the first one after it; none if there is none.
    pub fn read(&self, files: &Files, offset: i64, max_bytes: usize) -> Result<Vec<Bytes>> {
        let (bytes, position) = self.look_up(files, |index| index.position_of(offset))?;
        let mut walk = Walk::new(self, files, position, bytes)?;
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
        let (bytes, position) = self.look_up(files, |index| index.position_of_time(&wanted))?;
        let mut walk = Walk::new(self, files, position, bytes)?;
        while let Some((at, head)) = walk.head()? {
            if head.last_offset() < from || !wanted(head.max_timestamp) {
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

    /// Reads every batch; gives where damage is, and goes on behind it where that is possible.
    pub fn scan(&self, files: &Files, mut each: impl FnMut(Head, Bytes)) -> Vec<Error> {
        let mut damages = Vec::new();
        let mut walk = match Walk::new(self, files, 0, self.bytes()) {
            Ok(walk) => walk,
            Err(error) => return vec![error],
        };
        walk.want = CHUNK;
        loop {
            match walk.head() {
                Ok(Some((at, head))) => match walk.take(&head) {
                    Ok(batch) if batch::intact(&batch, &head) => each(head, batch),
                    Ok(_) => damages.push(self.damaged(at, "the CRC-32C of a batch is another")),
                    Err(error) => {
                        damages.push(error);
                        return damages;
                    }
                },
                Ok(None) => return damages,
                Err(error) => {
                    damages.push(error);
                    return damages;
                }
            }
        }
    }

    /// Asks the index, which is read or built if need be; gives the bytes of the segment with the answer.
    fn look_up(&self, files: &Files, ask: impl Fn(&Index) -> u64) -> Result<(u64, u64)> {
        let bytes = {
            let state = self.state.lock();
            if let Some(index) = &state.index {
                return Ok((state.extent.bytes, ask(index)));
            }
            state.extent.bytes
        };
        // Without the lock, which appending needs: what is appended meanwhile is caught up with below.
        let read = read_index(files, &self.path, self.base, bytes);
        let known = read.is_some();
        let mut index = read.unwrap_or_default();
        let mut max_before = -1;
        let mut from = 0;
        if !known {
            (max_before, from) = self.index_from(files, &mut index, max_before, 0, bytes)?;
        }
        let mut state = self.state.lock();
        let now = state.extent.bytes;
        if !known && from < now {
            self.index_from(files, &mut index, max_before, from, now)?;
        }
        let position = ask(&index);
        // An index from a file is complete for what the segment had then; one that grew since is looked at again.
        if !known || now == bytes {
            state.index = Some(index);
        }
        Ok((now, position))
    }

    fn index_from(
        &self,
        files: &Files,
        index: &mut Index,
        mut max_before: i64,
        from: u64,
        to: u64,
    ) -> Result<(i64, u64)> {
        let mut walk = Walk::new(self, files, from, to)?;
        while let Some((position, head)) = walk.head()? {
            index.note(Entry {
                offset: head.base_offset,
                position,
                max_before,
            });
            max_before = max_before.max(head.max_timestamp);
            walk.skip(&head);
        }
        Ok((max_before, to))
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
    /// The last offset that was passed.
    last: i64,
    buffer: Bytes,
    /// Where the buffer begins in the file.
    buffered: u64,
    /// Bytes to read at once.
    want: usize,
}

impl<'a> Walk<'a> {
    fn new(segment: &'a Segment, files: &Files, at: u64, end: u64) -> Result<Self> {
        let file = files
            .get(&segment.path)
            .map_err(io("open", &segment.path))?;
        Ok(Self {
            segment,
            file,
            at,
            end,
            last: segment.base - 1,
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
        let possible = head.base_offset > self.last && head.bytes as u64 <= self.end - self.at;
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
        self.last = head.last_offset();
    }

    fn take(&mut self, head: &Head) -> Result<Bytes> {
        self.bytes(head.bytes)?;
        let from = (self.at - self.buffered) as usize;
        let batch = self.buffer.slice(from..from + head.bytes);
        self.skip(head);
        Ok(batch)
    }

    /// The next bytes of the file, read if they are not in the buffer.
    fn bytes(&mut self, count: usize) -> Result<&[u8]> {
        let there = self.at >= self.buffered
            && self.at + count as u64 <= self.buffered + self.buffer.len() as u64;
        if !there {
            let left = (self.end - self.at).min(usize::MAX as u64) as usize;
            let want = self.want.max(count).min(left);
            let mut buffer = BytesMut::zeroed(want);
            let read = self
                .file
                .read_at(&mut buffer, self.at)
                .map_err(io("read", &self.segment.path))?;
            if read < want {
                return Err(self.segment.damaged(
                    self.at + read as u64,
                    "the file ends before its segment does",
                ));
            }
            self.buffer = buffer.freeze();
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
    let mut content = vec![0; length];
    let read = file.read_at(&mut content, 0).ok()?;
    Index::decode(&content[..read], base, bytes)
}

/// The file of the segment that begins at this offset.
pub(crate) fn path(folder: &str, base: i64) -> String {
    format!("{folder}/{base:020}.log")
}

/// The file of a segment's index.
pub(crate) fn index_path(segment: &str) -> String {
    format!("{}.index", segment.trim_end_matches(".log"))
}
