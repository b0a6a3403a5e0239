//! What becomes of a batch when a partition is compacted.

use super::keys::Keys;
use crate::log::batch::{
    self, COMPRESSION, DELETE_HORIZON, HEAD, Head, LOG_APPEND_TIME, Record, Records,
};
use crate::log::marker;
use crate::records::compression;
use bytes::Bytes;
use std::collections::{HashMap, HashSet};

/// What becomes of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is kept as it is.
    Same,
    /// This is kept instead.
    Other(Head, Bytes),
    Gone,
}

/// The end of what a producer wrote, by which its sequences go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    /// The offset of its last record.
    Record(i64),
    /// Only a marker says its epoch.
    Epoch(i16),
}

/// What is known of a partition that does not change while it is compacted.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// What time it is, in milliseconds since 1970.
    pub now: i64,
    /// How long tombstones and markers are kept after they were first compacted.
    pub delete_retention: i64,
    /// By producer: first offset and marker of each transaction that was aborted, in their order.
    pub aborted: HashMap<i64, Vec<(i64, i64)>>,
    /// The last batch of every producer: it is kept, without records if need be.
    pub last: HashMap<i64, Last>,
}

impl Facts {
    fn is_aborted(&self, head: &Head) -> bool {
        let spans = self.aborted.get(&head.producer);
        spans.is_some_and(|spans| {
            let at = spans.partition_point(|(_, marker)| *marker < head.base_offset);
            spans
                .get(at)
                .is_some_and(|(first, _)| *first <= head.base_offset)
        })
    }

    /// Whether the batch has what a producer goes on from.
    fn is_last(&self, head: &Head) -> bool {
        head.producer >= 0
            && self
                .last
                .get(&head.producer)
                .is_some_and(|last| match last {
                    Last::Record(offset) => *offset == head.last_offset() && !head.is_control(),
                    Last::Epoch(epoch) => head.is_control() && *epoch == head.producer_epoch,
                })
    }

    /// Whether compaction goes by the keys of a batch.
    pub fn counts(&self, head: &Head) -> bool {
        head.count > 0 && !head.is_control() && !(head.is_transactional() && self.is_aborted(head))
    }

    fn later(&self) -> i64 {
        self.now.saturating_add(self.delete_retention)
    }
}

/// The keys of records that were not compacted before, as far as before an offset.
#[derive(Clone, Copy)]
pub(super) struct Noted<'a> {
    pub keys: &'a Keys,
    pub end: i64,
}

/// Goes through a partition from its first batch on.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    /// Producers with something in a transaction since their last marker.
    wrote: HashSet<i64>,
    /// Offsets of markers of aborted transactions that are gone.
    pub markers: Vec<i64>,
    /// Records that are gone.
    pub removed: u64,
}

impl Filter {
    /// Decides about the next batch. `ends` says that it is the last of what is compacted: that one is kept, if need be
    /// without records, so that readers come to the end.
    pub fn decide(
        &mut self,
        facts: &Facts,
        noted: Noted<'_>,
        head: &Head,
        batch: &Bytes,
        ends: bool,
    ) -> Fate {
        let held = ends || facts.is_last(head);
        let fate = match head.is_control() {
            true => self.marker(facts, head, batch),
            false => self.records(facts, noted, head, batch),
        };
        let (fate, left) = match fate {
            Fate::Gone if held && head.count == 0 => (Fate::Same, 0),
            Fate::Gone if held => {
                let (head, batch) = emptied(head);
                (Fate::Other(head, batch), 0)
            }
            Fate::Gone => (Fate::Gone, 0),
            Fate::Same => (Fate::Same, head.count),
            Fate::Other(other, batch) => {
                let left = other.count;
                (Fate::Other(other, batch), left)
            }
        };
        if head.is_transactional() && !head.is_control() && fate != Fate::Gone {
            self.wrote.insert(head.producer);
        }
        self.removed += u64::from(head.count.saturating_sub(left).max(0) as u32);
        fate
    }

    /// A marker goes some time after the last batch of its transaction.
    fn marker(&mut self, facts: &Facts, head: &Head, batch: &Bytes) -> Fate {
        let alone = !self.wrote.remove(&head.producer);
        match head.horizon() {
            _ if head.count == 0 => Fate::Gone,
            _ if !alone => Fate::Same,
            Some(horizon) if horizon > facts.now => Fate::Same,
            Some(_) => {
                if !marker::commits(batch) {
                    self.markers.push(head.base_offset);
                }
                Fate::Gone
            }
            None => {
                let due = Head {
                    attributes: head.attributes | DELETE_HORIZON,
                    base_timestamp: facts.later(),
                    ..*head
                };
                let mut moved = Vec::with_capacity(batch.len());
                for record in Records(&batch[HEAD..]) {
                    moved_by(&record, head.base_timestamp, due.base_timestamp, &mut moved);
                }
                let (due, batch) = batch::assemble(due, &moved);
                Fate::Other(due, batch)
            }
        }
    }

    fn records(&self, facts: &Facts, noted: Noted<'_>, head: &Head, batch: &Bytes) -> Fate {
        if head.count == 0 || head.is_transactional() && facts.is_aborted(head) {
            return Fate::Gone;
        }
        // What cannot be read is none of ours to judge.
        let Ok(body) = batch::body(batch, head) else {
            return Fate::Same;
        };
        let Some(left) = Left::of(facts, noted, head, &body) else {
            return Fate::Same;
        };
        let horizon = match left.tombstones {
            true => Some(head.horizon().unwrap_or_else(|| facts.later())),
            false => None,
        };
        match left.count {
            0 => Fate::Gone,
            count if count == head.count && horizon == head.horizon() => Fate::Same,
            _ => {
                let (head, batch) = left.write(head, &body, horizon);
                Fate::Other(head, batch)
            }
        }
    }
}

/// Whether all records of a batch can be read: as many as there should be, one after the other, and nothing behind.
pub(super) fn is_readable(head: &Head, body: &[u8]) -> bool {
    let mut records = Records(body);
    let mut before = -1;
    for _ in 0..head.count {
        match records.next() {
            Some(record)
                if record.offset_delta > before
                    && record.offset_delta <= i64::from(head.last_offset_delta)
                    && record.content().is_some() =>
            {
                before = record.offset_delta;
            }
            _ => return false,
        }
    }
    records.0.is_empty()
}

/// What is left of a batch.
struct Left {
    /// For each record whether it is.
    kept: Vec<bool>,
    count: i32,
    tombstones: bool,
    /// The time of the first record that is left, and the largest.
    first: i64,
    newest: i64,
}

impl Left {
    /// `None` if the batch cannot be read.
    fn of(facts: &Facts, noted: Noted<'_>, head: &Head, body: &[u8]) -> Option<Self> {
        if !is_readable(head, body) {
            return None;
        }
        let expired = head.horizon().is_some_and(|horizon| horizon <= facts.now);
        let mut left = Self {
            kept: Vec::new(),
            count: 0,
            tombstones: false,
            first: 0,
            newest: i64::MIN,
        };
        for record in Records(body) {
            let content = record.content()?;
            let offset = head.base_offset.saturating_add(record.offset_delta);
            // A record without a key is older than the setting by which it would have been refused.
            let newest = content
                .key
                .is_none_or(|key| noted.keys.last(key).is_none_or(|last| offset >= last));
            // What it deletes is gone with this pass.
            let tombstone = content.tombstone && content.key.is_some() && offset < noted.end;
            let kept = newest && !(tombstone && expired);
            left.kept.push(kept);
            if kept {
                let time = head.base_timestamp.wrapping_add(record.timestamp_delta);
                if left.count == 0 {
                    left.first = time;
                }
                left.count += 1;
                left.tombstones |= tombstone;
                left.newest = left.newest.max(time);
            }
        }
        Some(left)
    }

    fn write(&self, head: &Head, body: &[u8], horizon: Option<i64>) -> (Head, Bytes) {
        let mut head_left = Head {
            attributes: head.attributes & !DELETE_HORIZON,
            count: self.count,
            ..*head
        };
        if head.attributes & LOG_APPEND_TIME == 0 {
            head_left.max_timestamp = self.newest;
        }
        if let Some(horizon) = horizon {
            head_left.attributes |= DELETE_HORIZON;
            head_left.base_timestamp = horizon;
        } else if head.horizon().is_some() {
            head_left.base_timestamp = self.first;
        }
        let (before, after) = (head.base_timestamp, head_left.base_timestamp);
        let mut records = Vec::with_capacity(body.len());
        for (record, kept) in Records(body).zip(&self.kept) {
            match kept {
                true if before == after => records.extend_from_slice(record.bytes),
                true => moved_by(&record, before, after, &mut records),
                false => {}
            }
        }
        match compression::pack(head.attributes & COMPRESSION, None, &records) {
            Some(packed) => batch::assemble(head_left, &packed),
            None => {
                head_left.attributes &= !COMPRESSION;
                batch::assemble(head_left, &records)
            }
        }
    }
}

/// Writes a record into a batch that counts times from another one.
fn moved_by(record: &Record<'_>, before: i64, after: i64, out: &mut Vec<u8>) {
    let time = before.wrapping_add(record.timestamp_delta);
    record.put(time.wrapping_sub(after), out);
}

/// A batch without records that says which offsets and sequences its records had.
fn emptied(head: &Head) -> (Head, Bytes) {
    let head = Head {
        attributes: head.attributes & !(COMPRESSION | DELETE_HORIZON),
        base_timestamp: -1,
        count: 0,
        ..*head
    };
    batch::assemble(head, &[])
}
