//! What the handles of a log and its threads share.

use super::cleaner::Outcome;
use super::error::{Error, Result};
use super::event::Event;
use super::files::Files;
use super::groups::Groups;
use super::metrics::Metrics;
use super::partition::Live;
use super::sequencer::Sequencer;
use super::store::{Reserve, relieve};
use super::types::{Acks, Options};
use super::wal::Spare;
use parking_lot::{Condvar, Mutex, RwLock};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

/// When a frame has to be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    /// Before it is acknowledged and shown.
    Now,
    /// Not so soon: its topic says so.
    Later {
        /// Records that it has.
        records: u64,
        /// Records after which the log is synced.
        most: u64,
        /// Time after which it is.
        within: Option<Duration>,
    },
}

/// An event, with its partition if it has one.
pub(crate) type Placed = (Event, Option<Arc<Live>>);

/// A frame on its way to the disk, and from there to segments.
pub(crate) struct Frame {
    pub lsn: u64,
    pub events: Vec<Placed>,
    pub bytes: usize,
    pub flush: Flush,
    /// Who waits, and for what.
    pub ack: Option<(Acks, oneshot::Sender<Result<()>>)>,
}

/// Rounds that are durable and not yet in segments.
#[derive(Default)]
pub(crate) struct Laying {
    pub rounds: VecDeque<Vec<Frame>>,
    /// Bytes that they have.
    pub bytes: usize,
    /// When the oldest has waited long enough; `None` when there is none.
    pub until: Option<Instant>,
    /// What came of compaction.
    pub compacted: VecDeque<Outcome>,
    /// Nothing more will come.
    pub closing: bool,
}

impl Laying {
    /// Puts a round behind the others; whether that is a reason to begin, or to look at the clock.
    pub fn push(&mut self, round: Vec<Frame>, options: &Options) -> bool {
        let first = self.rounds.is_empty();
        let before = self.bytes;
        if first {
            self.until = Some(Instant::now() + options.lay_within);
        }
        self.bytes += bytes(&round);
        self.rounds.push_back(round);
        first || before < options.lay_bytes && self.bytes >= options.lay_bytes
    }

    /// Takes rounds until they have so many bytes, but at least one.
    pub fn take(&mut self, options: &Options) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut taken = 0;
        while taken < options.lay_bytes
            && let Some(round) = self.rounds.pop_front()
        {
            taken += bytes(&round);
            frames.extend(round);
        }
        self.bytes -= taken;
        let more = !self.rounds.is_empty();
        self.until = more.then(|| Instant::now() + options.lay_within);
        frames
    }

    /// Whether enough has gathered, or long enough.
    pub fn is_due(&self, options: &Options) -> bool {
        self.closing
            || self.bytes >= options.lay_bytes
            || self.until.is_some_and(|until| until <= Instant::now())
    }
}

fn bytes(round: &[Frame]) -> usize {
    round.iter().map(|frame| frame.bytes).sum()
}

/// What everybody sees.
pub(crate) struct Shared {
    pub options: Options,
    pub files: Arc<Files>,
    pub cluster: Uuid,
    pub sequencer: Mutex<Sequencer>,
    /// Something is in the queue, or it closes.
    pub queued: Condvar,
    pub laying: Mutex<Laying>,
    /// Something is to be laid down.
    pub to_lay: Condvar,
    /// Offsets of groups, as far as they are durable.
    pub groups: RwLock<Groups>,
    /// Groups whose offsets do not expire, each with the topic that is read for it in this process at the moment.
    pub kept_groups: Mutex<BTreeMap<String, Option<String>>>,
    /// The last LSN that is acknowledged: durable, or written where that is enough ([`Flush::Later`]). Also changed, to the
    /// same, when the log fails.
    pub settled: watch::Sender<u64>,
    /// The last LSN that is durable for certain.
    #[cfg(test)]
    pub synced: std::sync::atomic::AtomicU64,
    /// Why the log takes nothing more.
    pub failure: watch::Sender<Option<Error>>,
    /// How many of the threads have ended, and let go of the disk.
    pub ended: Arc<watch::Sender<usize>>,
    /// Changed when there may be room again, or no hope of it.
    pub room: watch::Sender<()>,
    /// Bytes that wait for the disk.
    waiting: Arc<AtomicUsize>,
    /// Too little space was left when it was looked at last.
    full: AtomicBool,
    /// Nothing is laid down any more.
    ending: AtomicBool,
    /// First LSNs of the files of the write-ahead log.
    pub wal_files: Mutex<VecDeque<u64>>,
    /// The file that it goes on with.
    pub spare: Spare,
    pub metrics: Metrics,
}

impl Shared {
    pub fn new(
        options: Options,
        files: Arc<Files>,
        cluster: Uuid,
        sequencer: Sequencer,
        waiting: Arc<AtomicUsize>,
        groups: Groups,
        wal_files: VecDeque<u64>,
    ) -> Self {
        let settled = sequencer.last_lsn();
        let spare = Spare::new(files.disk.clone(), options.wal_bytes);
        Self {
            options,
            files,
            cluster,
            sequencer: Mutex::new(sequencer),
            queued: Condvar::new(),
            laying: Mutex::default(),
            to_lay: Condvar::new(),
            groups: RwLock::new(groups),
            kept_groups: Mutex::default(),
            settled: watch::Sender::new(settled),
            #[cfg(test)]
            synced: settled.into(),
            failure: watch::Sender::new(None),
            ended: Arc::new(watch::Sender::new(0)),
            room: watch::Sender::new(()),
            waiting,
            full: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            wal_files: Mutex::new(wal_files),
            spare,
            metrics: Metrics::default(),
        }
    }

    /// Stops the log for good: nothing that is not on the disk yet is acknowledged any more.
    pub fn fail(&self, what: &str, error: &io::Error) {
        tracing::error!(%error, "the log has stopped: it could not {what}");
        let error = Error::Failed(format!("cannot {what}: {error}").into());
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert(error.clone());
            first
        });
        // Under the lock that submitting takes: nothing comes after this.
        let frames = self.sequencer.lock().stop();
        for frame in frames {
            self.refuse(frame);
        }
        self.queued.notify_all();
        self.to_lay.notify_all();
        self.settled.send_modify(|_| {});
        self.room.send_replace(());
    }

    /// Answers who waits for a frame that will not be written.
    pub fn refuse(&self, frame: Frame) {
        if let Some((_, reply)) = frame.ack {
            let error = self.failure.borrow().clone().unwrap_or(Error::Closed);
            // Who does not wait any more has nothing to be told.
            let _ = reply.send(Err(error));
        }
    }

    /// Why nothing can be asked, if so.
    pub fn check(&self) -> Result<()> {
        match &*self.failure.borrow() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Whether there is space for something more.
    pub fn has_space(&self) -> Result<()> {
        if self.full.load(Ordering::Relaxed) {
            let free = self.files.disk.free().unwrap_or(0);
            let needed = self.needed();
            if free < needed {
                self.metrics.refused();
                return Err(Error::Full { free, needed });
            }
            self.full.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Bytes that must be free for appends to be taken: what was taken already has to go into segments.
    pub fn needed(&self) -> u64 {
        self.options.reserve_bytes + self.waiting() as u64
    }

    /// Says that what is compacted now would be of no use.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Looks at the space that is left.
    pub fn look_at_space(&self) {
        // A disk that does not say is not full as far as is known; a write will tell.
        let free = self.files.disk.free().unwrap_or(u64::MAX);
        if free < self.needed() {
            self.set_full();
        }
    }

    pub fn set_full(&self) {
        if !self.full.swap(true, Ordering::Relaxed) {
            tracing::warn!("the disk is full: appends are refused until there is space");
            // Who waits for room is answered.
            self.room.send_replace(());
        }
    }

    /// Does something that may need what is kept for a full disk: files that the write-ahead log would go on with, then
    /// the reserves, in this order.
    pub fn with_reserve(
        &self,
        reserves: &[Reserve],
        mut work: impl FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        let is_full = super::disk::is_full;
        let Err(mut error) = work() else {
            return Ok(());
        };
        if is_full(&error) {
            self.set_full();
        }
        if is_full(&error) && self.spare.give_up() {
            match work() {
                Ok(()) => return Ok(()),
                Err(again) => error = again,
            }
        }
        for reserve in reserves {
            if is_full(&error) && relieve(&self.files, *reserve) {
                match work() {
                    Ok(()) => return Ok(()),
                    Err(again) => error = again,
                }
            }
        }
        Err(error)
    }

    /// Bytes that wait for the disk.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub fn is_crowded(&self) -> bool {
        self.waiting() >= self.options.waiting_bytes
    }

    /// Bytes that waited are in segments.
    pub fn take_waiting(&self, bytes: usize) {
        let before = self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        let limit = self.options.waiting_bytes;
        if before >= limit && before - bytes < limit {
            self.room.send_replace(());
        }
    }
}
