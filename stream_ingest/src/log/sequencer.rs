//! Where the order of everything is decided: offsets, sequences, topics. One short lock for the whole log; what is slow
//! (sums, copies, the disk) is done before or after. What was decided is in the queue in the same order, and the queue
//! is the write-ahead log's.

mod transactions;

pub(crate) use transactions::Part;

use super::batch::{Fresh, Head};
use super::error::{Error, Result};
use super::event::Event;
use super::image::{Image, config, overrides};
use super::partition::decisions::{Decisions, Open};
use super::partition::{Live, Standing};
use super::producers::{Producers, Seen};
use super::shared::{Flush, Frame, Placed};
use super::topics::TopicConfig;
use super::transactions::Transactions;
use super::types::{Acks, Appended, Committed, Place, Topic};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::oneshot;
use uuid::Uuid;

/// Producer ids that are set aside with one event.
const PRODUCER_IDS: i64 = 1000;

/// What was decided last.
pub(crate) struct Sequencer {
    topics: HashMap<Uuid, SequencedTopic>,
    names: BTreeMap<String, Uuid>,
    partitions: usize,
    pub queue: VecDeque<Frame>,
    next_lsn: u64,
    next_producer: i64,
    producers_set_aside: i64,
    /// The frame that set them aside.
    producers_frame: u64,
    transactions: Transactions,
    /// Nothing more is taken.
    closed: bool,
    /// Bytes that wait for the disk.
    waiting: Arc<AtomicUsize>,
}

pub(crate) struct SequencedTopic {
    name: String,
    pub config: Arc<TopicConfig>,
    pub partitions: Vec<Sequenced>,
}

/// What the next batch of a partition gets.
pub(crate) struct Sequenced {
    pub live: Arc<Live>,
    next: i64,
    log_start: i64,
    epoch: i32,
    producers: Producers,
    open: Open,
}

/// Who waits for a frame.
pub(crate) type Reply = oneshot::Receiver<Result<()>>;

/// What became of batches.
pub(crate) enum Sequel {
    /// They are in the queue.
    Queued(Appended, Option<Reply>),
    /// They were appended before; durable when the frame with this LSN is.
    Again(Appended, u64),
}

impl Sequencer {
    pub fn new(image: &Image, waiting: Arc<AtomicUsize>) -> Self {
        let mut sequencer = Self {
            topics: HashMap::new(),
            names: BTreeMap::new(),
            partitions: 0,
            queue: VecDeque::new(),
            next_lsn: image.lsn + 1,
            next_producer: image.next_producer,
            producers_set_aside: image.next_producer,
            producers_frame: image.lsn,
            transactions: image.transactions.clone(),
            closed: false,
            waiting,
        };
        for (id, topic) in &image.topics {
            let partitions: Vec<Sequenced> = topic
                .partitions
                .iter()
                .map(|partition| {
                    let standing = Standing {
                        log_start: partition.log_start,
                        next: partition.next,
                        segments: partition.segments.clone(),
                        epochs: partition.epochs.clone(),
                        decisions: partition.decisions.clone(),
                        refused: partition.refused.clone(),
                    };
                    Sequenced {
                        live: Arc::new(Live::new(standing)),
                        next: partition.next,
                        log_start: partition.log_start,
                        epoch: partition.epoch(),
                        producers: partition.producers.clone(),
                        open: partition.decisions.open.clone(),
                    }
                })
                .collect();
            sequencer.partitions += partitions.len();
            sequencer.names.insert(topic.name.clone(), *id);
            let topic = SequencedTopic {
                name: topic.name.clone(),
                config: topic.config.clone(),
                partitions,
            };
            sequencer.topics.insert(*id, topic);
        }
        sequencer
    }

    pub fn last_lsn(&self) -> u64 {
        self.next_lsn - 1
    }

    /// Takes nothing more; what is queued is written.
    pub fn close(&mut self) {
        self.closed = true;
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes nothing more, and gives what was queued.
    pub fn stop(&mut self) -> VecDeque<Frame> {
        self.closed = true;
        std::mem::take(&mut self.queue)
    }

    /// Puts events into the queue as one frame.
    fn push(&mut self, events: Vec<Placed>, acks: Acks) -> (u64, Option<Reply>) {
        self.push_flushed(events, acks, Flush::Now)
    }

    fn push_flushed(
        &mut self,
        events: Vec<Placed>,
        acks: Acks,
        flush: Flush,
    ) -> (u64, Option<Reply>) {
        let lsn = self.next_lsn;
        self.next_lsn += 1;
        let (ack, reply) = match acks {
            Acks::None => (None, None),
            acks => {
                let (ack, reply) = oneshot::channel();
                (Some((acks, ack)), Some(reply))
            }
        };
        let bytes = events.iter().map(|(event, _)| size(event)).sum();
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
        self.queue.push_back(Frame {
            lsn,
            bytes,
            events,
            flush,
            ack,
        });
        (lsn, reply)
    }

    fn push_one(&mut self, event: Event) -> Result<Option<Reply>> {
        Ok(self.push(vec![(event, None)], Acks::Durable).1)
    }

    /// Puts an event of no topic into the queue.
    pub fn note(&mut self, event: Event) -> Result<Option<Reply>> {
        self.open()?;
        self.push_one(event)
    }

    fn open(&self) -> Result<()> {
        match self.closed {
            true => Err(Error::Closed),
            false => Ok(()),
        }
    }

    pub fn id(&self, name: &str) -> Result<Uuid> {
        let id = self.names.get(name).copied();
        id.ok_or_else(|| Error::NoTopic(name.to_owned()))
    }

    pub fn topic(&self, name: &str) -> Result<&SequencedTopic> {
        let topic = self.names.get(name).and_then(|id| self.topics.get(id));
        topic.ok_or_else(|| Error::NoTopic(name.to_owned()))
    }

    pub fn live(&self, name: &str, partition: u32) -> Result<&Arc<Live>> {
        let found = self.topic(name)?.partitions.get(partition as usize);
        let found = found.ok_or_else(|| Error::NoPartition {
            topic: name.to_owned(),
            partition,
        })?;
        Ok(&found.live)
    }

    /// A partition by the id of its topic.
    pub fn live_of(&self, (id, partition): (Uuid, u32)) -> Option<Arc<Live>> {
        let found = self.topics.get(&id)?.partitions.get(partition as usize)?;
        Some(found.live.clone())
    }

    /// The partitions of every topic, by name.
    pub fn lives(&self) -> BTreeMap<String, Vec<Arc<Live>>> {
        let lives = |topic: &SequencedTopic| {
            let partitions = topic.partitions.iter();
            partitions.map(|partition| partition.live.clone()).collect()
        };
        let topics = self.topics.values();
        topics
            .map(|topic| (topic.name.clone(), lives(topic)))
            .collect()
    }

    /// How many partitions have topics that ask for more replicas than the one that there is.
    pub fn under_min(&self) -> u64 {
        let asking = self.topics.values();
        let asking = asking.filter(|topic| topic.config.min_insync_replicas > 1);
        asking.map(|topic| topic.partitions.len() as u64).sum()
    }

    fn partition(&mut self, id: Uuid, partition: u32) -> Result<&mut Sequenced> {
        let topic = self
            .topics
            .get_mut(&id)
            .ok_or_else(|| Error::NoTopic(id.to_string()))?;
        match topic.partitions.get_mut(partition as usize) {
            Some(found) => Ok(found),
            None => Err(Error::NoPartition {
                topic: topic.name.clone(),
                partition,
            }),
        }
    }

    fn describe(&self, id: Uuid, topic: &SequencedTopic) -> Topic {
        Topic {
            name: topic.name.clone(),
            id,
            partitions: topic.partitions.len() as u32,
            config: topic.config.clone(),
        }
    }

    pub fn describe_all(&self) -> Vec<Topic> {
        let of = |id: &Uuid| Some(self.describe(*id, self.topics.get(id)?));
        self.names.values().filter_map(of).collect()
    }

    pub fn describe_one(&self, id: Uuid) -> Option<Topic> {
        Some(self.describe(id, self.topics.get(&id)?))
    }

    /// Whether a topic could be made, and its settings.
    pub fn check_topic(
        &self,
        name: &str,
        partitions: u32,
        settings: &[(&str, &str)],
        defaults: &TopicConfig,
        most: usize,
    ) -> Result<TopicConfig> {
        super::topics::check_name(name)?;
        if self.names.contains_key(name) {
            return Err(Error::TopicExists(name.to_owned()));
        }
        if let Some(other) = self
            .names
            .keys()
            .find(|other| super::topics::collide(name, other))
        {
            return Err(Error::TopicCollides {
                name: name.to_owned(),
                other: other.clone(),
            });
        }
        if partitions == 0 {
            return Err(Error::Partitions(
                "a topic has at least one partition".to_owned(),
            ));
        }
        self.check_partitions(partitions as usize, most)?;
        let set = settings.iter().map(|(key, value)| (*key, Some(*value)));
        TopicConfig::with(defaults, defaults, set)
    }

    fn check_partitions(&self, more: usize, most: usize) -> Result<()> {
        if self.partitions.saturating_add(more) > most {
            return Err(Error::Partitions(format!(
                "there are {} partitions, and at most {most} are possible",
                self.partitions
            )));
        }
        Ok(())
    }

    /// Makes a topic whose settings were checked.
    pub fn create(
        &mut self,
        id: Uuid,
        name: &str,
        partitions: u32,
        settings: &TopicConfig,
    ) -> Result<(Topic, Option<Reply>)> {
        self.open()?;
        let event = Event::Topic {
            id,
            name: name.to_owned(),
            partitions,
            overrides: overrides(settings),
        };
        let topic = SequencedTopic {
            name: name.to_owned(),
            config: Arc::new(settings.clone()),
            partitions: (0..partitions).map(|_| fresh()).collect(),
        };
        let described = self.describe(id, &topic);
        self.partitions += partitions as usize;
        self.topics.insert(id, topic);
        self.names.insert(name.to_owned(), id);
        Ok((described, self.push_one(event)?))
    }

    pub fn remove(&mut self, name: &str) -> Result<Option<Reply>> {
        self.open()?;
        let id = self.id(name)?;
        self.names.remove(name);
        if let Some(topic) = self.topics.remove(&id) {
            self.partitions -= topic.partitions.len();
            topic.partitions.iter().for_each(|one| one.live.go());
        }
        let event = Event::Removed {
            id,
            name: name.to_owned(),
        };
        self.transactions.apply(&event);
        self.push_one(event)
    }

    pub fn add_partitions(&mut self, name: &str, total: u32, most: usize) -> Result<Option<Reply>> {
        self.open()?;
        let id = self.id(name)?;
        let there = self.topic(name)?.partitions.len();
        let more = (total as usize).checked_sub(there).filter(|more| *more > 0);
        let more = more.ok_or_else(|| {
            Error::Partitions(format!("the topic has {there} partitions already"))
        })?;
        self.check_partitions(more, most)?;
        if let Some(topic) = self.topics.get_mut(&id) {
            let added = (there as u32..total).map(|_| fresh());
            topic.partitions.extend(added);
            self.partitions += more;
        }
        self.push_one(Event::Partitions { id, total })
    }

    pub fn alter(
        &mut self,
        name: &str,
        changes: &[(&str, Option<&str>)],
        defaults: &TopicConfig,
    ) -> Result<Option<Reply>> {
        self.open()?;
        let id = self.id(name)?;
        let changed = self
            .topic(name)?
            .config
            .with(defaults, changes.iter().copied())?;
        let overrides = overrides(&changed);
        if let Some(topic) = self.topics.get_mut(&id) {
            topic.config = Arc::new(config(defaults, &overrides));
        }
        self.push_one(Event::Config { id, overrides })
    }

    /// Moves the first offset of a partition.
    pub fn start_at(
        &mut self,
        id: Uuid,
        partition: u32,
        offset: i64,
    ) -> Result<(i64, Option<Reply>)> {
        self.open()?;
        let found = self.partition(id, partition)?;
        let start = offset.min(found.next);
        if start <= found.log_start {
            return Ok((found.log_start, None));
        }
        found.log_start = start;
        let live = found.live.clone();
        let event = Event::Start {
            topic: id,
            partition,
            offset: start,
        };
        Ok((start, self.push(vec![(event, Some(live))], Acks::Durable).1))
    }

    /// Appends checked batches to a partition; `part` is the transaction that they may belong to.
    pub fn append(
        &mut self,
        (id, partition): (Uuid, u32),
        batches: Vec<Fresh>,
        part: Option<Part<'_>>,
        at: i64,
        stamped: bool,
        acks: Acks,
    ) -> Result<Sequel> {
        self.open()?;
        let last_lsn = self.last_lsn();
        let found = self.partition(id, partition)?;
        found.live.usable()?;
        let log_start = found.log_start;
        if let Some(again) = found
            .producers
            .check(batches.iter().map(|batch| &batch.head))?
        {
            return Ok(Sequel::Again(repeated(again, stamped, log_start), last_lsn));
        }
        let joined = self.admit((id, partition), &batches, part, at)?;
        let flush = match (&joined, self.topics.get(&id)) {
            (None, Some(topic)) => flush(&topic.config, &batches),
            _ => Flush::Now,
        };
        let found = self.partition(id, partition)?;
        let (mut events, appended) = found.place((id, partition), batches, at, stamped);
        if let Some(joined) = joined {
            self.transactions.apply(&joined);
            events.insert(0, (joined, None));
        }
        let (_, reply) = self.push_flushed(events, acks, flush);
        Ok(Sequel::Queued(appended, reply))
    }

    /// Appends to several partitions and commits offsets, as one frame.
    pub fn commit(
        &mut self,
        outputs: Vec<(Uuid, u32, Vec<Fresh>, bool)>,
        offsets: Event,
        at: i64,
    ) -> Result<(Vec<Appended>, Option<Reply>)> {
        self.open()?;
        for (id, partition, batches, _) in &outputs {
            self.partition(*id, *partition)?.live.usable()?;
            if batches.iter().any(|batch| batch.head.producer >= 0) {
                return Err(Error::BatchInvalid(
                    "what is committed with offsets has no producer id",
                ));
            }
        }
        let mut events = Vec::new();
        let mut appended = Vec::with_capacity(outputs.len());
        for (id, partition, batches, stamped) in outputs {
            let found = self.partition(id, partition)?;
            let (more, one) = found.place((id, partition), batches, at, stamped);
            events.extend(more);
            appended.push(one);
        }
        events.push((offsets, None));
        Ok((appended, self.push(events, Acks::Durable).1))
    }

    /// The next producer id, and the frame that must be durable before it may be given: ids are set aside a thousand
    /// at a time.
    pub fn producer_id(&mut self) -> Result<(i64, u64)> {
        self.open()?;
        let id = self.next_producer;
        self.next_producer += 1;
        if id >= self.producers_set_aside {
            self.producers_set_aside = id + PRODUCER_IDS;
            let next = self.producers_set_aside;
            self.producers_frame = self
                .push(vec![(Event::Producers { next }, None)], Acks::None)
                .0;
        }
        Ok((id, self.producers_frame))
    }

    /// Forgets producers that were silent for long.
    pub fn expire_producers(&mut self, before: i64) {
        for topic in self.topics.values_mut() {
            for partition in &mut topic.partitions {
                partition.producers.expire(before);
            }
        }
    }
}

impl Sequenced {
    /// Gives batches their offsets.
    fn place(
        &mut self,
        (topic, partition): (Uuid, u32),
        batches: Vec<Fresh>,
        at: i64,
        stamped: bool,
    ) -> (Vec<Placed>, Appended) {
        let base_offset = self.next;
        let mut time = -1;
        let events = batches
            .into_iter()
            .map(|batch| {
                let (head, batch): (Head, Bytes) = batch.place(self.next, self.epoch);
                time = head.max_timestamp;
                self.producers.record(&head, head.base_offset, at);
                self.open.note(&head);
                self.next = head.last_offset() + 1;
                let event = Event::Append {
                    topic,
                    partition,
                    at,
                    batch,
                };
                (event, Some(self.live.clone()))
            })
            .collect();
        let appended = Appended {
            base_offset,
            last_offset: self.next - 1,
            log_append_time: stamped.then_some(time),
            log_start: self.log_start,
            duplicate: false,
        };
        (events, appended)
    }
}

/// When batches of a topic have to be durable.
fn flush(config: &TopicConfig, batches: &[Fresh]) -> Flush {
    match config.flush_messages {
        ..=1 => Flush::Now,
        most => Flush::Later {
            records: batches
                .iter()
                .map(|batch| u64::from(batch.head.count.max(0) as u32))
                .sum(),
            most,
            within: config.flush_within,
        },
    }
}

fn repeated((first, last): (Seen, Seen), stamped: bool, log_start: i64) -> Appended {
    Appended {
        base_offset: first.base_offset,
        last_offset: last.last_offset,
        log_append_time: stamped.then_some(last.timestamp),
        log_start,
        duplicate: true,
    }
}

fn fresh() -> Sequenced {
    let standing = Standing {
        log_start: 0,
        next: 0,
        segments: Vec::new(),
        epochs: vec![(0, 0)],
        decisions: Decisions::default(),
        refused: None,
    };
    Sequenced {
        live: Arc::new(Live::new(standing)),
        next: 0,
        log_start: 0,
        epoch: 0,
        producers: Producers::default(),
        open: Open::default(),
    }
}

/// Bytes of memory that an event takes, about.
fn size(event: &Event) -> usize {
    128 + match event {
        Event::Append { batch, .. } => batch.len(),
        Event::Offsets { offsets, .. } | Event::Pending { offsets, .. } => offsets
            .iter()
            .map(|(place, committed)| offset_size((place, committed)))
            .sum(),
        Event::Members { members, .. } => members.as_ref().map_or(0, Bytes::len),
        Event::Joined { places, .. } => places.len() * size_of::<(Uuid, u32)>(),
        _ => 0,
    }
}

/// Bytes of memory that an offset takes, about.
pub(crate) fn offset_size(((topic, _), committed): (&Place, &Committed)) -> usize {
    64 + topic.len() + committed.metadata.len()
}
