//! A partition: what readers see of it, and its segments.
//!
//! ```text
//!            log start                                  laid             high watermark       next
//! offsets  ──┼──────────────────────────────────────────┼────────────────┼────────────────────┼──
//!            │ segments on the disk                     │ memory alone   │ not yet durable    │
//!                             └ memory too, for readers at the end ──────┘
//! ```

pub(crate) mod decisions;
pub(crate) mod index;
pub(crate) mod segment;

use super::batch::{self, Head};
use super::error::{Error, Result};
use super::files::Files;
use super::metrics::Traffic;
use super::types::{Found, Isolation, Read};
use bytes::Bytes;
use decisions::Decisions;
use parking_lot::Mutex;
use segment::Segment;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use tokio::sync::watch;

/// What readers see of a partition.
pub(crate) struct Live {
    state: Mutex<State>,
    watermark: watch::Sender<i64>,
    traffic: Traffic,
    /// Bytes that were not compacted yet.
    dirty: AtomicU64,
    /// Its topic was deleted.
    gone: AtomicBool,
    /// Damage was found in it.
    damaged: AtomicBool,
}

struct State {
    log_start: i64,
    high_watermark: i64,
    /// The first offset that is not in segments.
    laid: i64,
    segments: Vec<Arc<Segment>>,
    /// How often compaction has put others in the place of segments.
    replaced: u64,
    recent: VecDeque<Recent>,
    epochs: Vec<(i32, i64)>,
    decisions: Decisions,
    refused: Option<Error>,
}

impl State {
    /// The offset before which this reader may see.
    fn end(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.high_watermark,
            Isolation::ReadCommitted => self.last_stable(),
        }
    }

    fn last_stable(&self) -> i64 {
        self.decisions.stable(self.log_start, self.high_watermark)
    }
}

/// A batch in memory.
struct Recent {
    base: i64,
    last: i64,
    bytes: Bytes,
}

/// Where a partition stands when the log is opened.
pub(crate) struct Standing {
    pub log_start: i64,
    pub next: i64,
    pub segments: Vec<Arc<Segment>>,
    pub epochs: Vec<(i32, i64)>,
    pub decisions: Decisions,
    pub refused: Option<Error>,
}

impl Live {
    pub fn new(standing: Standing) -> Self {
        Self {
            watermark: watch::Sender::new(standing.next),
            traffic: Traffic::default(),
            dirty: AtomicU64::new(0),
            gone: AtomicBool::new(false),
            damaged: AtomicBool::new(standing.refused.is_some()),
            state: Mutex::new(State {
                log_start: standing.log_start,
                high_watermark: standing.next,
                laid: standing.next,
                segments: standing.segments,
                replaced: 0,
                recent: VecDeque::new(),
                epochs: standing.epochs,
                decisions: standing.decisions,
                refused: standing.refused,
            }),
        }
    }

    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    pub fn dirty(&self) -> &AtomicU64 {
        &self.dirty
    }

    /// Says that its topic was deleted.
    pub fn go(&self) {
        self.gone.store(true, SeqCst);
    }

    pub fn is_gone(&self) -> bool {
        self.gone.load(SeqCst)
    }

    /// Notes that damage was found; whether it is the first.
    pub fn note_damage(&self) -> bool {
        !self.damaged.swap(true, Relaxed)
    }

    /// Whether damage was found in it since the log was opened, or when it was.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Relaxed)
    }

    pub fn watch(&self) -> watch::Receiver<i64> {
        self.watermark.subscribe()
    }

    /// Shows a durable batch to readers.
    pub fn publish(&self, bytes: Bytes) {
        let Some(head) = Head::read(&bytes) else {
            return;
        };
        let last = head.last_offset();
        let (size, count) = (bytes.len() as u64, u64::from(head.count.max(0) as u32));
        self.traffic.bytes_in.fetch_add(size, Relaxed);
        self.traffic.records_in.fetch_add(count, Relaxed);
        let mut state = self.state.lock();
        state.decisions.note(&head, &bytes);
        state.recent.push_back(Recent {
            base: head.base_offset,
            last,
            bytes,
        });
        state.high_watermark = last + 1;
        drop(state);
        self.watermark.send_replace(last + 1);
    }

    /// Takes what is before this offset from readers.
    pub fn start_at(&self, offset: i64) {
        let mut state = self.state.lock();
        state.log_start = state.log_start.max(offset);
        state.decisions.start_at(offset);
    }

    /// Says which segments there are and that they have everything before `laid`.
    pub fn lay(&self, segments: &[Arc<Segment>], laid: i64) {
        let mut state = self.state.lock();
        if state.segments.len() != segments.len()
            || state.segments.first().map(|segment| segment.base)
                != segments.first().map(|segment| segment.base)
            || state.segments.last().map(|segment| segment.base)
                != segments.last().map(|segment| segment.base)
        {
            state.segments = segments.to_vec();
        }
        state.laid = laid;
    }

    /// Puts compacted segments in the place of others, with which everything before `end` goes and what was known of the
    /// transactions that were aborted with `markers`.
    pub fn replace(&self, segments: &[Arc<Segment>], end: i64, markers: &[i64]) {
        let mut state = self.state.lock();
        state.segments = segments.to_vec();
        state.replaced += 1;
        state.decisions.forget(markers);
        while state.recent.front().is_some_and(|oldest| oldest.last < end) {
            state.recent.pop_front();
        }
    }

    /// Lets go of the oldest batch in memory, if segments have it.
    pub fn forget_oldest(&self) {
        let mut state = self.state.lock();
        let laid = state.laid;
        if state
            .recent
            .front()
            .is_some_and(|oldest| oldest.last < laid)
        {
            state.recent.pop_front();
        }
    }

    /// Refuses if acknowledged data of the partition is missing.
    pub fn usable(&self) -> Result<()> {
        match &self.state.lock().refused {
            Some(why) => Err(why.clone()),
            None => Ok(()),
        }
    }

    pub fn describe(&self) -> super::Partition {
        let state = self.state.lock();
        let laid: u64 = state.segments.iter().map(|segment| segment.bytes()).sum();
        let unlaid = state.recent.iter().rev();
        let unlaid = unlaid.take_while(|recent| recent.base >= state.laid);
        let unlaid: usize = unlaid.map(|recent| recent.bytes.len()).sum();
        super::Partition {
            log_start: state.log_start,
            high_watermark: state.high_watermark,
            last_stable: state.last_stable(),
            leader_epoch: state.epochs.last().map_or(0, |(epoch, _)| *epoch),
            bytes: laid + unlaid as u64,
            segments: state.segments.len(),
            refused: state.refused.clone(),
        }
    }

    /// The largest epoch that is at most this, and the offset after its last record.
    pub fn epoch_end(&self, epoch: i32) -> (i32, i64) {
        let state = self.state.lock();
        let at = state.epochs.partition_point(|(known, _)| *known <= epoch);
        let end = state
            .epochs
            .get(at)
            .map_or(state.high_watermark, |(_, start)| *start);
        match at.checked_sub(1).and_then(|at| state.epochs.get(at)) {
            Some((known, _)) => (*known, end),
            None => (-1, -1),
        }
    }

    fn answer(state: &State, offset: i64, batches: Vec<Bytes>, isolation: Isolation) -> Read {
        let last = batches.last().and_then(|batch| Head::read(batch));
        let aborted = match (isolation, last) {
            (Isolation::ReadCommitted, Some(last)) => {
                state.decisions.aborted(offset, last.last_offset() + 1)
            }
            _ => Vec::new(),
        };
        Read {
            batches,
            high_watermark: state.high_watermark,
            last_stable: state.last_stable(),
            log_start: state.log_start,
            aborted,
        }
    }

    fn out_of_range(state: &State, offset: i64) -> Error {
        Error::OffsetOutOfRange {
            offset,
            log_start: state.log_start,
            high_watermark: state.high_watermark,
        }
    }

    /// Reads what is in memory; `None` where segments would have to be read.
    pub fn read_recent(
        &self,
        offset: i64,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Option<Read>> {
        let state = self.state.lock();
        if let Some(why) = &state.refused {
            return Err(why.clone());
        }
        if offset < state.log_start || offset > state.high_watermark {
            return Err(Self::out_of_range(&state, offset));
        }
        let end = state.end(isolation);
        if offset >= end {
            return Ok(Some(Self::answer(&state, offset, Vec::new(), isolation)));
        }
        let in_memory = state
            .recent
            .front()
            .is_some_and(|first| first.base <= offset);
        if !in_memory && offset < state.laid {
            return Ok(None);
        }
        let batches = recent(&state, offset, max_bytes, end);
        Ok(Some(Self::answer(&state, offset, batches, isolation)))
    }

    /// Reads from memory or segments.
    pub fn read(
        &self,
        files: &Files,
        offset: i64,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Read> {
        self.persist(|| {
            loop {
                if let Some(read) = self.read_recent(offset, max_bytes, isolation)? {
                    return Ok(read);
                }
                if let Some(read) = self.read_segments(files, offset, max_bytes, isolation)? {
                    return Ok(read);
                }
            }
        })
    }

    /// Tries again what found a segment deleted, as long as there are other segments than before. Where retention did
    /// that, the offset is below the log's start then; where compaction did, others have it.
    fn persist<T>(&self, read: impl Fn() -> Result<T>) -> Result<T> {
        loop {
            let before = self.shape();
            match read() {
                Err(Error::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound && self.shape() != before => {}
                read => return read,
            }
        }
    }

    /// What changes when a segment goes.
    fn shape(&self) -> (u64, i64, Option<i64>) {
        let state = self.state.lock();
        let first = state.segments.first().map(|segment| segment.base);
        (state.replaced, state.log_start, first)
    }

    fn read_segments(
        &self,
        files: &Files,
        offset: i64,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Option<Read>> {
        let (segments, end, replaced): (Vec<Arc<Segment>>, i64, u64) = {
            let state = self.state.lock();
            let at = state
                .segments
                .partition_point(|segment| segment.base <= offset)
                .saturating_sub(1);
            let segments = state.segments[at..].to_vec();
            (segments, state.end(isolation), state.replaced)
        };
        let mut batches = Vec::new();
        for segment in segments {
            batches = segment.read(files, offset, max_bytes, end)?;
            if !batches.is_empty() {
                break;
            }
        }
        let state = self.state.lock();
        if offset < state.log_start {
            // Deleted meanwhile, and with it what was known of aborted transactions.
            return Err(Self::out_of_range(&state, offset));
        }
        if state.replaced != replaced {
            // What was read may have records of transactions of which it is forgotten that they were aborted.
            return Ok(None);
        }
        if batches.is_empty() {
            // The offset lies in a gap that a repair left behind the last segment.
            batches = recent(&state, offset, max_bytes, end);
        }
        Ok(Some(Self::answer(&state, offset, batches, isolation)))
    }

    /// The first record whose time satisfies `wanted`, which must hold for all larger times once it holds for one.
    pub fn find_time(&self, files: &Files, wanted: impl Fn(i64) -> bool) -> Result<Option<Found>> {
        self.persist(|| self.find_time_once(files, &wanted))
    }

    fn find_time_once(&self, files: &Files, wanted: impl Fn(i64) -> bool) -> Result<Option<Found>> {
        let (segments, unlaid, log_start) = {
            let state = self.state.lock();
            if let Some(why) = &state.refused {
                return Err(why.clone());
            }
            let unlaid: Vec<Bytes> = state
                .recent
                .iter()
                .filter(|recent| recent.base >= state.laid && recent.last >= state.log_start)
                .map(|recent| recent.bytes.clone())
                .collect();
            (state.segments.clone(), unlaid, state.log_start)
        };
        let found = |(offset, timestamp): (i64, i64)| Found {
            offset: offset.max(log_start),
            timestamp,
        };
        for segment in segments {
            if let Some(hit) = segment.find_time(files, log_start, &wanted)? {
                return Ok(Some(found(hit)));
            }
        }
        let hit = unlaid.iter().find_map(|bytes| {
            let head = Head::read(bytes)?;
            batch::find_time(bytes, &head, &wanted)
        });
        Ok(hit.map(found))
    }

    /// The record with the largest time.
    pub fn max_time(&self, files: &Files) -> Result<Option<Found>> {
        let Some(largest) = self.persist(|| self.largest_time(files))? else {
            return Ok(None);
        };
        self.find_time(files, |time| time >= largest)
    }

    fn largest_time(&self, files: &Files) -> Result<Option<i64>> {
        let (mut largest, segments, log_start) = {
            let state = self.state.lock();
            let recent = state
                .recent
                .iter()
                .filter(|recent| recent.base >= state.laid && recent.last >= state.log_start)
                .filter_map(|recent| Head::read(&recent.bytes))
                .map(|head| head.newest());
            (recent.max(), state.segments.clone(), state.log_start)
        };
        for segment in segments {
            largest = largest.max(segment.max_time_from(files, log_start)?);
        }
        Ok(largest)
    }
}

fn recent(state: &State, offset: i64, max_bytes: usize, end: i64) -> Vec<Bytes> {
    let from = state.recent.partition_point(|recent| recent.last < offset);
    let mut bytes = 0;
    let mut batches = Vec::new();
    for recent in state.recent.range(from..) {
        let enough = bytes > 0 && bytes + recent.bytes.len() > max_bytes;
        if enough || recent.last >= end {
            break;
        }
        bytes += recent.bytes.len();
        batches.push(recent.bytes.clone());
    }
    batches
}
