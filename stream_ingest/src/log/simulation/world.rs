//! A log on a simulated disk, driven step by step, beside a model of what it should be.

use super::model::{COMPACTED, GROUP, ID, Model, Records, Standing};
use crate::log::check;
use crate::log::checkpoint;
use crate::log::cleaner::Job;
use crate::log::committer::Committer;
use crate::log::disk::simulated::Simulated;
use crate::log::error::{Error, Result};
use crate::log::handle::Log;
use crate::log::keeper::Keeper;
use crate::log::sequencer::Part;
use crate::log::testing::{By, batch, in_transaction, keyed, packed, transactional};
use crate::log::types::{
    Acks, Committed, End, Membership, Offsets, Options, Output, Producer, Stage,
};
use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use uuid::Uuid;

/// What can be done to a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// Appends a small batch to a partition of `t`.
    Append(u32),
    /// Appends a batch of several sectors.
    AppendLarge(u32),
    /// Appends a producer's next batch.
    AppendInOrder,
    /// Sends the producer's last batch again.
    AppendAgain,
    /// Appends to two partitions and commits offsets, as one.
    CommitBatch,
    CommitOffsets,
    /// Keeps who is in the group, every third time nobody.
    Members,
    /// Deletes the older half of partition 0.
    DeleteRecords,
    CreateTopic,
    DeleteTopic,
    /// A new instance takes over the transactional id.
    Begin,
    /// Appends to a partition of `t`, within a transaction.
    Within(u32),
    /// Appends to the newest other topic, within a transaction.
    WithinMore,
    /// Commits offsets, within a transaction.
    OffsetsWithin,
    Commit,
    Abort,
    /// The transaction was open for too long.
    TimeOut,
    /// One round of the write-ahead log.
    Round,
    /// Lays the next round down.
    Lay,
    Checkpoint,
    /// Appends records with keys, some of them tombstones, to the topic that compacts.
    Keyed,
    /// The same within a transaction.
    KeyedWithin,
    /// Deletes the older half of the topic that compacts.
    DeleteKeyed,
    /// Compacts whatever is due.
    Compact,
    /// Compacts, and takes what comes of it over when the next round is laid down.
    CompactAside,
}

impl Op {
    pub const ALL: [Self; 21] = [
        Self::Append(0),
        Self::AppendLarge(1),
        Self::AppendInOrder,
        Self::AppendAgain,
        Self::CommitBatch,
        Self::CommitOffsets,
        Self::Members,
        Self::DeleteRecords,
        Self::CreateTopic,
        Self::DeleteTopic,
        Self::Begin,
        Self::Within(0),
        Self::Within(1),
        Self::WithinMore,
        Self::OffsetsWithin,
        Self::Commit,
        Self::Abort,
        Self::TimeOut,
        Self::Round,
        Self::Lay,
        Self::Checkpoint,
    ];

    /// What is done to a topic that compacts.
    pub const KEYED: [Self; 11] = [
        Self::Keyed,
        Self::KeyedWithin,
        Self::DeleteKeyed,
        Self::AppendLarge(0),
        Self::Commit,
        Self::Abort,
        Self::Round,
        Self::Lay,
        Self::Checkpoint,
        Self::Compact,
        Self::CompactAside,
    ];

    /// As [`Op::draw`], with more that is done to a topic that compacts.
    pub fn draw_keyed(random: &mut StdRng) -> Self {
        match random.random_range(0..3) {
            0 => Self::draw(random),
            _ => Self::KEYED[random.random_range(0..Self::KEYED.len())],
        }
    }

    pub fn draw(random: &mut StdRng) -> Self {
        match random.random_range(0..33) {
            at @ 0..21 => Self::ALL[at],
            21..27 => Self::Round,
            27..31 => Self::Lay,
            _ => Self::Append(random.random_range(0..2)),
        }
    }
}

/// The log, the disk and the model.
pub(super) struct World {
    pub disk: Simulated,
    pub options: Options,
    pub log: Log,
    pub committer: Committer,
    pub keeper: Keeper,
    /// What the keeper wants compacted.
    jobs: Receiver<Job>,
    /// The state after every frame; the first is the oldest that a crash may leave.
    pub states: Vec<Model>,
    /// The LSN of the first of these.
    pub first: u64,
    /// Numbers that make every value another.
    serial: u64,
    /// The batches of an idempotent producer, with the offsets that they got and the LSNs of their frames.
    sent: Vec<(Bytes, i64, u64)>,
    topics: u64,
    /// The last LSN before the last round that wrote something.
    pub before_last_round: u64,
}

/// A log that writes little and often.
pub(super) fn options() -> Options {
    let ids = Arc::new(AtomicU64::new(1));
    let clock = Arc::new(AtomicI64::new(1_000_000));
    let salts = AtomicU64::new(1);
    let mut defaults = crate::log::TopicConfig::default();
    defaults.set("segment.bytes", "2000").unwrap();
    defaults.set("retention.ms", "-1").unwrap();
    Options {
        defaults,
        wal_bytes: 3000,
        lay_bytes: 1000,
        cache_bytes: 500,
        reserve_bytes: 0,
        checkpoint_every: Duration::from_secs(3600),
        retention_every: Duration::from_secs(3600),
        clock: Arc::new(move || clock.fetch_add(1, Ordering::Relaxed)),
        ids: Arc::new(move || Uuid::from_u128(u128::from(ids.fetch_add(1, Ordering::Relaxed)))),
        salts: Arc::new(move || {
            let count = salts.fetch_add(1, Ordering::Relaxed);
            count.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        }),
        ..Options::default()
    }
}

/// The same, but a topic's records need not be durable before there are so many.
pub(super) fn relaxed(messages: &str) -> Options {
    let mut options = options();
    options.defaults.set("flush.messages", messages).unwrap();
    options
}

impl World {
    /// A new log with a topic of two partitions, all of it durable.
    pub fn new() -> Self {
        Self::with(options())
    }

    /// The same, but appends need not be durable before they are acknowledged.
    pub fn relaxed() -> Self {
        Self::with(relaxed("4"))
    }

    pub fn with(options: Options) -> Self {
        let disk = Simulated::new();
        let (log, committer, mut keeper) =
            Log::open_stepped(Arc::new(disk.clone()), options.clone()).unwrap();
        let (given, jobs) = sync_channel(1);
        keeper.hand_over(given);
        let mut world = Self {
            disk,
            options,
            log,
            committer,
            keeper,
            jobs,
            states: vec![Model::default()],
            first: 0,
            serial: 0,
            sent: Vec::new(),
            topics: 0,
            before_last_round: 0,
        };
        world.log.submit_topic("t", 2, &[]).unwrap();
        world.frame(|model| {
            model
                .topics
                .insert("t".to_owned(), vec![Records::default(); 2]);
        });
        world.committer.round();
        world.settle();
        world
    }

    /// The same, with a topic that compacts and has a few segments, where there are more keys than are kept in memory.
    pub fn keyed() -> Self {
        let mut world = Self::with(Options {
            compaction_keys: 3,
            ..options()
        });
        let settings = [
            ("cleanup.policy", "compact"),
            ("segment.bytes", "200"),
            ("min.cleanable.dirty.ratio", "0"),
            ("delete.retention.ms", "30"),
        ];
        world.log.submit_topic(COMPACTED, 1, &settings).unwrap();
        world.frame(|model| {
            let records = vec![Records::default()];
            model.topics.insert(COMPACTED.to_owned(), records);
        });
        for _ in 0..6 {
            world.act(Op::Keyed).unwrap();
        }
        for op in [Op::Round, Op::Lay, Op::Lay] {
            world.act(op).unwrap();
        }
        world.settle();
        world
    }

    /// Records with keys, every fourth of them a tombstone, compressed in every way.
    fn keyed_batch(&mut self, by: Option<By>) -> Bytes {
        let (a, b) = (self.value(10), self.value(30));
        let serial = self.serial;
        let key = |n: u64| format!("key {}", n % 5);
        let text = String::from_utf8_lossy;
        let (a, b) = (text(&a), text(&b));
        let value = (!serial.is_multiple_of(4)).then_some(&*b);
        let (one, other) = (key(serial), key(serial * 7 / 3));
        let records = [(&*one, Some(&*a)), (&*other, value)];
        let batch = match serial % 3 {
            0 if by.is_none() => keyed(&records[1..], by, serial as i64),
            _ => keyed(&records, by, serial as i64),
        };
        match (serial / 2 % 7) as i16 {
            codec @ 1..=4 => packed(&batch, codec),
            _ => batch,
        }
    }

    /// Takes note of what a frame does.
    pub fn frame(&mut self, change: impl FnOnce(&mut Model)) {
        let mut model = self.states.last().unwrap().clone();
        change(&mut model);
        self.states.push(model);
    }

    /// What is durable cannot be taken back.
    pub fn settle(&mut self) {
        let durable = self.log.durable_lsn();
        let settled = (durable - self.first) as usize;
        self.states.drain(..settled);
        self.first = durable;
    }

    fn value(&mut self, length: usize) -> Vec<u8> {
        self.serial += 1;
        let mut value = format!("value {} ", self.serial).into_bytes();
        value.resize(length.max(value.len()), self.serial as u8);
        value
    }

    fn one(&mut self, length: usize) -> Bytes {
        let (a, b) = (self.value(length), self.value(1));
        match self.serial % 3 {
            0 => batch(&[&a], None, 5),
            _ => batch(&[&a, &b], None, 5),
        }
    }

    /// Does one thing; an error is the log's.
    pub fn act(&mut self, op: Op) -> Result<()> {
        match op {
            Op::Append(partition) => self.append("t", partition, 10)?,
            Op::AppendLarge(partition) => self.append("t", partition, 1200)?,
            Op::AppendInOrder => {
                let value = self.value(10);
                let batch = batch(&[&value], Some(By(7, 0, self.sent.len() as i32)), 5);
                let pending = self.log.submit("t", 0, batch.clone(), Acks::Durable)?;
                let lsn = self.first + self.states.len() as u64;
                self.sent.push((batch.clone(), pending.base_offset(), lsn));
                self.frame(|model| model.append("t", 0, &batch));
            }
            Op::AppendAgain => {
                if let Some((batch, offset, _)) = self.sent.last().cloned() {
                    let pending = self.log.submit("t", 0, batch, Acks::Durable)?;
                    assert_eq!(pending.base_offset(), offset, "a batch that was sent again");
                }
            }
            Op::CommitBatch => {
                let outputs: Vec<Output> = (0..2)
                    .map(|partition| Output {
                        topic: "t".to_owned(),
                        partition,
                        batches: self.one(10),
                    })
                    .collect();
                let offsets = self.offsets();
                self.log
                    .submit_batch(outputs.clone(), "flow", offsets.clone(), || true)?;
                self.frame(|model| {
                    for output in &outputs {
                        model.append("t", output.partition, &output.batches);
                    }
                    model.commit("flow", &offsets);
                });
            }
            Op::CommitOffsets => {
                let offsets = self.offsets();
                self.log.submit_offsets("group", offsets.clone(), || true)?;
                self.frame(|model| model.commit("group", &offsets));
            }
            Op::Members => {
                let members = Bytes::from(self.value(20));
                let members = (!self.serial.is_multiple_of(3)).then_some(members);
                let kept = members.clone();
                self.log.submit_members("group", || match kept {
                    Some(members) => Membership::These(members),
                    None => Membership::Nobody,
                })?;
                self.frame(|model| model.members("group", members.as_ref()));
            }
            Op::DeleteRecords => self.delete_half("t")?,
            Op::DeleteKeyed => self.delete_half(COMPACTED)?,
            Op::Keyed => {
                let batch = self.keyed_batch(None);
                let submitted = self.log.submit(COMPACTED, 0, batch.clone(), Acks::Durable);
                let _pending = submitted?;
                self.frame(|model| model.append(COMPACTED, 0, &batch));
            }
            Op::KeyedWithin => self.append_within(COMPACTED, 0)?,
            Op::Compact => {
                self.keeper.compact();
                while self.do_job() {
                    self.keeper.take_compacted();
                }
                self.keeper.take_compacted();
                self.log.check()?;
            }
            Op::CompactAside => {
                self.keeper.compact();
                self.do_job();
                self.log.check()?;
            }
            Op::CreateTopic => {
                self.topics += 1;
                let name = format!("more-{}", self.topics);
                self.log
                    .submit_topic(&name, 1, &[("segment.bytes", "100")])?;
                self.frame(|model| {
                    model.topics.insert(name.clone(), vec![Records::default()]);
                });
                self.append(&name, 0, 10)?;
            }
            Op::DeleteTopic => {
                let last = self.states.last().unwrap().topics.keys();
                if let Some(name) = last.filter(|name| name.starts_with("more")).max().cloned() {
                    self.log.submit_delete(&name)?;
                    self.frame(|model| model.remove(&name));
                }
            }
            Op::Begin => self.begin()?,
            Op::Within(partition) => self.append_within("t", partition)?,
            Op::WithinMore => {
                let last = self.states.last().unwrap().topics.keys();
                let newest = last.filter(|name| name.starts_with("more")).max();
                if let Some(name) = newest.cloned() {
                    self.append_within(&name, 0)?;
                }
            }
            Op::OffsetsWithin => {
                let producer = self.producer()?;
                let offsets = self.offsets();
                let part = Part {
                    id: ID,
                    joins: true,
                };
                self.log
                    .submit_pending(part, producer, GROUP, offsets.clone(), || true)?;
                self.frame(|model| {
                    let standing = model.transaction.as_mut().unwrap();
                    standing.stage = Stage::Ongoing;
                    for (place, committed) in &offsets {
                        standing.offsets.insert(place.clone(), committed.offset);
                    }
                });
            }
            Op::Commit => self.end(End::Commit)?,
            Op::Abort => self.end(End::Abort)?,
            Op::TimeOut => {
                if self.log.submit_time_out(i64::MAX) {
                    self.frame(|model| {
                        let producer = model.transaction.as_ref().unwrap().producer;
                        let next = after(producer);
                        model.end(End::Abort, next.epoch, next, Stage::Aborted);
                    });
                }
            }
            Op::Round => {
                let before = self.log.durable_lsn();
                if self.committer.round() {
                    self.before_last_round = before;
                }
                self.log.check()?;
            }
            Op::Lay => {
                let _ = self.keeper.lay();
                self.keeper.prepare();
                self.keeper.take_compacted();
                self.log.check()?;
            }
            Op::Checkpoint => {
                self.keeper.checkpoint();
                self.log.check()?;
            }
        }
        Ok(())
    }

    /// Does the job that the keeper gave, if it gave one.
    fn do_job(&self) -> bool {
        let Ok(job) = self.jobs.try_recv() else {
            return false;
        };
        let shared = self.log.shared();
        job.run(&shared.files, &|| false, &mut |outcome| {
            shared.laying.lock().compacted.push_back(outcome);
        });
        true
    }

    /// Deletes the older half of partition 0.
    fn delete_half(&mut self, topic: &str) -> Result<()> {
        let known = self.log.describe(topic, 0)?;
        let before = (known.log_start + known.high_watermark + 1) / 2;
        let (start, reply) = self.log.submit_start(topic, 0, before)?;
        if reply.is_some() {
            self.frame(|model| {
                let records = &mut model.topics.get_mut(topic).unwrap()[0];
                records.start = start;
                records.batches.retain(|(_, next, _)| *next > start);
            });
        }
        Ok(())
    }

    fn append(&mut self, topic: &str, partition: u32, length: usize) -> Result<()> {
        let batch = self.one(length);
        let _pending = self
            .log
            .submit(topic, partition, batch.clone(), Acks::Durable)?;
        self.frame(|model| model.append(topic, partition, &batch));
        Ok(())
    }

    fn standing(&self) -> Option<&Standing> {
        self.states.last().unwrap().transaction.as_ref()
    }

    /// The transactional id's producer; there is one from now on.
    fn producer(&mut self) -> Result<Producer> {
        if self.standing().is_none() {
            self.begin()?;
        }
        Ok(self.standing().unwrap().producer)
    }

    fn begin(&mut self) -> Result<()> {
        let before = self.standing().map(|standing| standing.producer);
        let (producer, lsn) = self.log.submit_begin(ID, Duration::from_secs(60), None)?;
        if let Some(before) = before {
            assert_eq!(producer, after(before));
        }
        // Ids may have been set aside first.
        while self.first + (self.states.len() as u64) < lsn {
            self.frame(|_| {});
        }
        self.frame(|model| {
            model.end(End::Abort, producer.epoch, producer, Stage::Empty);
            model.transaction = Some(Standing::new(producer));
        });
        Ok(())
    }

    fn append_within(&mut self, topic: &str, partition: u32) -> Result<()> {
        let producer = self.producer()?;
        let place = (topic.to_owned(), partition);
        let standing = self.standing().unwrap();
        let sequence = standing.sequences.get(&place).copied().unwrap_or(0);
        let joins = self.serial.is_multiple_of(2) && !standing.places.contains(&place);
        if !joins && !standing.places.contains(&place) {
            let places = std::slice::from_ref(&place);
            self.log.submit_join(ID, producer, places, None)?;
            self.frame(|model| {
                let standing = model.transaction.as_mut().unwrap();
                standing.stage = Stage::Ongoing;
                standing.places.insert(place.clone());
            });
        }
        let by = By(producer.id, producer.epoch, sequence);
        let batch = match topic {
            COMPACTED => in_transaction(&self.keyed_batch(Some(by)), by.1),
            _ => {
                let (a, b) = (self.value(10), self.value(300));
                transactional(&[&a, &b], by, 5)
            }
        };
        let pending =
            self.log
                .submit_in(ID, joins, topic, partition, batch.clone(), Acks::Durable)?;
        let base = pending.base_offset();
        self.frame(|model| {
            model.append(topic, partition, &batch);
            let standing = model.transaction.as_mut().unwrap();
            standing.stage = Stage::Ongoing;
            standing.places.insert(place.clone());
            standing.written.entry(place.clone()).or_insert(base);
            standing.sequences.insert(place.clone(), sequence + 2);
        });
        Ok(())
    }

    fn end(&mut self, end: End) -> Result<()> {
        self.serial += 1;
        let bumps = self.serial.is_multiple_of(2);
        let Some(standing) = self.standing() else {
            return Ok(());
        };
        if standing.stage != Stage::Ongoing {
            return Ok(());
        }
        let producer = standing.producer;
        let (next, _) = self.log.submit_end(ID, producer, end, bumps)?;
        assert_eq!(next, if bumps { after(producer) } else { producer });
        let stage = match end {
            End::Commit => Stage::Committed,
            End::Abort => Stage::Aborted,
        };
        self.frame(|model| model.end(end, next.epoch, next, stage));
        Ok(())
    }

    fn offsets(&mut self) -> Offsets {
        self.serial += 1;
        let committed = Committed::at(self.serial as i64);
        [(("t".to_owned(), 0), committed)].into()
    }

    /// Opens what a crash left and holds it against the model.
    pub fn recover(&self, left: &Simulated) -> Result<()> {
        let (log, _, _) = Log::open_stepped(Arc::new(left.clone()), self.options.clone())?;
        let found = Model::of(&log)?;
        let settled = (self.log.durable_lsn() - self.first) as usize;
        let at = log.durable_lsn().checked_sub(self.first);
        let state = at.and_then(|at| self.states.get(at as usize));
        assert!(
            at.is_some_and(|at| at as usize >= settled),
            "recovered frame {} of {}..={}",
            log.durable_lsn(),
            self.log.durable_lsn(),
            self.first + self.states.len() as u64 - 1,
        );
        let state = state.expect("a state for every frame");
        if found.compacted.is_some() && !left.is_off() {
            self.hold_files(left);
        }
        state.holds(&found, log.durable_lsn());
        if let Some((batch, offset, lsn)) = self.sent.last() {
            let again = log.submit("t", 0, batch.clone(), Acks::Durable);
            let durable = log.durable_lsn();
            let lost = self.sent.iter().filter(|(_, _, lsn)| *lsn > durable);
            match again {
                again if *lsn <= durable => {
                    assert_eq!(again?.base_offset(), *offset, "a batch that was sent again");
                }
                // The producer's first batch may have any sequence, any other has to follow.
                again if lost.count() == 1 || self.sent[0].2 > durable => {
                    assert_eq!(again?.base_offset(), found.topics["t"][0].next);
                }
                again => assert!(matches!(again, Err(Error::OutOfOrderSequence { .. }))),
            }
        }
        Ok(())
    }

    /// Of a log that was just opened there are no files of segments but those that its checkpoint knows, and all of them
    /// can be read.
    fn hold_files(&self, left: &Simulated) {
        let image = checkpoint::read(left, &self.options.defaults).unwrap();
        let topics = image.unwrap().topics.into_values();
        let partitions = topics.flat_map(|topic| topic.partitions);
        let segments = partitions.flat_map(|partition| partition.segments);
        let known: BTreeSet<String> = segments.map(|segment| segment.path.clone()).collect();
        let files = left.files().into_iter().map(|(path, _)| path);
        let there = files.filter(|path| path.starts_with("topics/") && path.ends_with(".log"));
        assert_eq!(there.collect::<BTreeSet<String>>(), known);
        let damages = check(Arc::new(left.clone()), &self.options).unwrap();
        assert!(damages.is_empty(), "{damages:?}");
    }

    /// What was in an open transaction before a crash can be committed after it.
    fn commit_after(&self, left: &Simulated) -> Result<()> {
        let (log, mut committer, _) =
            Log::open_stepped(Arc::new(left.clone()), self.options.clone())?;
        let mut model = Model::of(&log)?;
        let Some(standing) = model.transaction.clone() else {
            return Ok(());
        };
        if standing.stage == Stage::Ongoing {
            let producer = standing.producer;
            let (next, _) = log.submit_end(ID, producer, End::Commit, true)?;
            committer.round();
            log.check()?;
            model.end(End::Commit, next.epoch, next, Stage::Committed);
            let mut found = Model::of(&log)?;
            if let Some(seen) = &found.compacted {
                assert_eq!(seen.stable, seen.next);
            }
            (model.compacted, found.compacted) = (None, None);
            assert_eq!(found, model);
        }
        Ok(())
    }

    /// Opens a log on a full disk: everything can be read, nothing appended.
    pub fn recover_full(&self, left: &Simulated) {
        let (log, _, _) = Log::open_stepped(Arc::new(left.clone()), self.options.clone()).unwrap();
        assert_eq!(Some(&Model::of(&log).unwrap()), self.states.last());
        let refused = log.submit("t", 0, batch(&[b"a"], None, 5), Acks::Durable);
        assert!(matches!(refused.err(), Some(Error::Full { .. })));
    }

    /// Goes on with what a crash left.
    pub fn go_on(&mut self, left: Simulated) -> Result<()> {
        // What is held against the model changes it: a batch may be sent again.
        self.recover(&left.copy())?;
        self.commit_after(&left.copy())?;
        let (log, committer, mut keeper) =
            Log::open_stepped(Arc::new(left.clone()), self.options.clone())?;
        let (given, jobs) = sync_channel(1);
        keeper.hand_over(given);
        self.jobs = jobs;
        let at = (log.durable_lsn() - self.first) as usize;
        self.states.truncate(at + 1);
        self.states.drain(..at);
        self.first = log.durable_lsn();
        self.sent.retain(|(_, _, lsn)| *lsn <= self.first);
        (self.disk, self.log) = (left, log);
        (self.committer, self.keeper) = (committer, keeper);
        Ok(())
    }
}

/// The producer with its next epoch.
fn after(producer: Producer) -> Producer {
    Producer {
        epoch: producer.epoch + 1,
        ..producer
    }
}
