//! The thread that lays down what is durable, makes checkpoints, lets old data go and has partitions compacted.

use super::cleaner::{Job, Outcome, Stop};
use super::disk::is_full;
use super::shared::Shared;
use super::store::{self, Reserve, Store};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// How often a full disk is tried again.
const PATIENCE: Duration = Duration::from_millis(200);

/// The store and when its next duties are due.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    pub store: Store,
    /// Bytes of the rounds that are being laid down.
    bytes: usize,
    checkpoint_at: Instant,
    retention_at: Instant,
    transactions_at: Instant,
    /// Who compacts; without, this does.
    cleaner: Option<SyncSender<Job>>,
    /// The job that is at work.
    at_work: Option<Work>,
}

/// What came of a job.
#[derive(Default)]
struct Work {
    /// Anything.
    useful: bool,
    /// Something that had gone meanwhile was not replaced: what is left there may be older than a tombstone.
    spoiled: bool,
}

/// The disk is full; later it may not be.
pub(crate) struct Paused;

impl Keeper {
    pub fn new(shared: Arc<Shared>, store: Store) -> Self {
        let now = Instant::now();
        Self {
            checkpoint_at: now + shared.options.checkpoint_every,
            retention_at: now + shared.options.retention_every,
            transactions_at: now + shared.options.transactions_every,
            shared,
            store,
            bytes: 0,
            cleaner: None,
            at_work: None,
        }
    }

    /// Has jobs done by whoever takes them.
    pub fn hand_over(&mut self, jobs: SyncSender<Job>) {
        self.cleaner = Some(jobs);
    }

    /// Runs until the log is closed or fails.
    pub fn run(mut self) {
        loop {
            let due = self.bytes > 0 || self.shared.laying.lock().is_due(&self.shared.options);
            let laid = match due {
                true => self.lay(),
                false => Ok(false),
            };
            self.take_compacted();
            if self.shared.check().is_err() {
                break;
            }
            let closing = {
                let laying = self.shared.laying.lock();
                laying.closing && (laying.rounds.is_empty() || laid.is_err())
            };
            if closing && !matches!(laid, Ok(true)) {
                // What could not be laid down is in the write-ahead log.
                self.close();
                break;
            }
            self.duties();
            if !matches!(laid, Ok(true)) {
                self.rest(laid.is_err());
            }
        }
        self.shared.end();
    }

    fn rest(&self, paused: bool) {
        let now = Instant::now();
        let mut until = self.checkpoint_at.min(self.retention_at);
        until = until.min(self.transactions_at);
        if paused {
            until = until.min(now + PATIENCE);
        }
        if self.shared.spare.is_due() {
            return;
        }
        let mut laying = self.shared.laying.lock();
        if let Some(due) = laying.until
            && !paused
        {
            until = until.min(due);
        }
        let idle = !laying.is_due(&self.shared.options) && laying.compacted.is_empty();
        if idle || paused {
            self.shared.to_lay.wait_until(&mut laying, until);
        }
    }

    fn duties(&mut self) {
        let now = Instant::now();
        self.prepare();
        if self.store.is_due() || now >= self.checkpoint_at {
            self.checkpoint();
        }
        if now >= self.transactions_at {
            self.end_transactions();
            self.transactions_at = Instant::now() + self.shared.options.transactions_every;
        }
        if now >= self.retention_at || self.shared.is_full() && self.retention_at > now + PATIENCE {
            self.retain();
            self.compact();
            self.retention_at = Instant::now() + self.shared.options.retention_every;
            if self.shared.is_full() {
                self.retention_at = self.retention_at.min(now + PATIENCE);
            }
        }
    }

    /// Lays down the next rounds; whether there were any.
    pub fn lay(&mut self) -> Result<bool, Paused> {
        if self.shared.check().is_err() {
            return Ok(false);
        }
        if self.bytes == 0 {
            let frames = self.shared.laying.lock().take(&self.shared.options);
            if frames.is_empty() {
                return Ok(false);
            }
            let mut last = self.store.image.lsn;
            for frame in frames {
                self.bytes += frame.bytes;
                last = frame.lsn;
                for (event, live) in frame.events {
                    self.store.plan(event, live);
                }
            }
            self.store.reached(last);
        }
        let store = &mut self.store;
        match self
            .shared
            .with_reserve(&[Reserve::Begun], || store.execute())
        {
            Ok(()) => {
                self.shared.take_waiting(std::mem::take(&mut self.bytes));
                Ok(true)
            }
            Err(error) if is_full(&error) => {
                self.give_way();
                Err(Paused)
            }
            Err(error) => {
                self.shared.fail("write a segment", &error);
                Ok(false)
            }
        }
    }

    /// What is to be laid down has no space, and behind it may wait what makes some: records that are deleted, topics
    /// that are removed. Both are decided, so of what is laid down already it may go before its turn.
    fn give_way(&mut self) {
        let mut starts = self.store.planned_starts();
        let laying = self.shared.laying.lock();
        for (event, live) in laying
            .rounds
            .iter()
            .flatten()
            .flat_map(|frame| &frame.events)
        {
            starts.extend(store::Start::of(event, live.as_ref()));
        }
        drop(laying);
        if self.store.give_way(&starts) {
            // With the next checkpoint the files go.
            self.checkpoint_at = Instant::now();
        }
    }

    /// Fills a piece of the file that the write-ahead log goes on with. Without one it makes do.
    pub fn prepare(&self) {
        if self.shared.is_full() || self.shared.check().is_err() {
            return self.shared.spare.forgo();
        }
        match self.shared.spare.prepare() {
            Err(error) if is_full(&error) => {
                tracing::warn!(%error, "no file was prepared for the write-ahead log");
            }
            Err(error) => self.shared.fail("prepare a file", &error),
            Ok(()) => {}
        }
    }

    /// Makes what is laid down durable, writes a checkpoint and removes what it makes unneeded.
    pub fn checkpoint(&mut self) {
        self.checkpoint_at = Instant::now() + self.shared.options.checkpoint_every;
        if self.shared.check().is_err() {
            // After a failed sync the next one may succeed without having written anything.
            return;
        }
        if !self.store.is_changed() {
            return;
        }
        if let Err(error) = self.store.sync() {
            self.shared.fail("sync a segment", &error);
            return;
        }
        let store = &mut self.store;
        let reserves = [Reserve::Checkpoint, Reserve::Begun];
        match self.shared.with_reserve(&reserves, || store.keep_image()) {
            Ok(()) => {
                let spare = (!self.shared.is_full()).then_some(&self.shared.spare);
                self.store.clean(&mut self.shared.wal_files.lock(), spare);
                if self.shared.is_full() {
                    self.reserve();
                }
            }
            Err(error) if is_full(&error) => {
                tracing::warn!(%error, "a checkpoint has to wait for space");
            }
            Err(error) => self.shared.fail("write a checkpoint", &error),
        }
    }

    /// Aborts transactions that are open for too long, and forgets transactional ids that nobody uses.
    pub fn end_transactions(&self) {
        let options = &self.shared.options;
        let now = (options.clock)();
        let kept = options.transactional_id_expiration.as_millis();
        let before = now.saturating_sub(i64::try_from(kept).unwrap_or(i64::MAX));
        let mut sequencer = self.shared.sequencer.lock();
        // Both, also on a full disk: little is written, and readers wait for what is open.
        if sequencer.time_out(now) | sequencer.forget_idle(before) {
            self.shared.queued.notify_one();
        }
    }

    /// Lets go of what is too old or too much, and keeps a reserve if there is space again.
    pub fn retain(&mut self) {
        let now = (self.shared.options.clock)();
        let starts = self.store.outdated(now);
        if !starts.is_empty() {
            let mut sequencer = self.shared.sequencer.lock();
            for (topic, partition, start) in starts {
                // The topic may have been deleted meanwhile, or the log closed.
                let _ = sequencer.start_at(topic, partition, start);
            }
            self.shared.queued.notify_one();
        }
        let expiry = self.shared.options.producer_expiry.as_millis();
        let before = now.saturating_sub(i64::try_from(expiry).unwrap_or(i64::MAX));
        self.store.expire_producers(before);
        self.shared.sequencer.lock().expire_producers(before);
        self.reserve();
    }

    fn reserve(&self) {
        if let Err(error) = self.store.reserve() {
            tracing::warn!(%error, "no reserve could be kept");
        }
    }

    /// Has the partition compacted that needs it most.
    pub fn compact(&mut self) {
        if self.at_work.is_some() || self.shared.is_full() || self.shared.check().is_err() {
            return;
        }
        let now = (self.shared.options.clock)();
        let job = self.store.next_job(now, self.shared.needed());
        {
            let sequencer = self.shared.sequencer.lock();
            for (place, bytes) in &self.store.uncompacted {
                if let Some(live) = sequencer.live_of(*place) {
                    live.dirty().store(*bytes, Relaxed);
                }
            }
        }
        let Some(job) = job else {
            return;
        };
        self.at_work = Some(Work::default());
        match &self.cleaner {
            Some(cleaner) => {
                if cleaner.try_send(job).is_err() {
                    self.at_work = None;
                }
            }
            None => {
                let shared = self.shared.clone();
                let stopped = || shared.is_ending();
                job.run(&shared.files, &stopped, &mut |outcome| {
                    self.conclude(outcome)
                });
            }
        }
    }

    /// Takes over what was compacted, and goes on with the next partition.
    pub fn take_compacted(&mut self) {
        loop {
            let outcome = self.shared.laying.lock().compacted.pop_front();
            let Some(outcome) = outcome else {
                return;
            };
            let ended = matches!(outcome, Outcome::Ended(_, Ok(())));
            let useful = ended && self.at_work.as_ref().is_some_and(|work| work.useful);
            self.conclude(outcome);
            if useful {
                self.compact();
            }
        }
    }

    fn conclude(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Replaced(replaced) => {
                let live = self.shared.sequencer.lock().live_of(replaced.place);
                let before = replaced.old.iter().map(|segment| segment.bytes()).sum();
                let after = replaced.new.as_ref().map_or(0, |segment| segment.bytes());
                let records = replaced.records;
                let done = self.store.replace(replaced, live.as_deref());
                if done {
                    self.shared.metrics.compacted(before, after, records);
                }
                if let Some(work) = &mut self.at_work {
                    work.useful |= done;
                    work.spoiled |= !done;
                }
            }
            Outcome::Compacted(place, to) => {
                self.shared.metrics.passed();
                if let Some(work) = &mut self.at_work
                    && !work.spoiled
                {
                    work.useful |= self.store.compacted(place, to);
                }
            }
            Outcome::Ended(place, ended) => {
                self.at_work = None;
                match ended {
                    Ok(()) | Err(Stop::Needless) => {}
                    Err(Stop::Full) => {
                        tracing::warn!("compaction has to wait for space");
                    }
                    Err(Stop::Unreadable(error)) => {
                        let (topic, partition) = place;
                        tracing::error!(%topic, partition, %error, "a partition cannot be compacted");
                        self.shared.metrics.uncompactable();
                        self.store.uncompactable.insert(place);
                    }
                    Err(Stop::Failed(what, error)) => self.shared.fail(what, &error),
                }
            }
        }
    }

    /// The last checkpoint: after it nothing has to be replayed.
    pub fn close(&mut self) {
        self.shared.end();
        self.take_compacted();
        self.store.image.closed = true;
        self.checkpoint();
        if self.shared.check().is_ok() {
            self.store.seal();
        }
    }
}
