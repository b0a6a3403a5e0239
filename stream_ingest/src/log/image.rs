//! The state of the whole log after some frame of the write-ahead log: what a checkpoint keeps and what replay rebuilds.
//! The same code runs in both, so that a log that was opened again is the one that was closed.

use super::batch::Head;
use super::codec::{Put, Take};
use super::error::Error;
use super::event::{self, Event};
use super::groups::Groups;
use super::marker::marker;
use super::partition::decisions::Decisions;
use super::partition::segment::{Extent, Segment};
use super::producers::Producers;
use super::sum::crc32c;
use super::topics::TopicConfig;
use super::transactions::Transactions;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// The state of the log.
pub(crate) struct Image {
    /// The last frame that had its effect.
    pub lsn: u64,
    /// The log's own id, made once.
    pub cluster: Uuid,
    /// The first producer id that was certainly not given.
    pub next_producer: i64,
    pub topics: BTreeMap<Uuid, TopicImage>,
    pub groups: Groups,
    pub transactions: Transactions,
    /// Files that nothing needs and that are yet to be removed.
    pub doomed: Vec<String>,
    /// The log was closed with this: nothing came after it.
    pub closed: bool,
}

pub(crate) struct TopicImage {
    pub name: String,
    pub config: Arc<TopicConfig>,
    pub partitions: Vec<PartitionImage>,
}

pub(crate) struct PartitionImage {
    pub log_start: i64,
    /// The offset of the next batch.
    pub next: i64,
    /// Leader epochs and their first offsets.
    pub epochs: Vec<(i32, i64)>,
    pub producers: Producers,
    pub decisions: Decisions,
    pub segments: Vec<Arc<Segment>>,
    /// The offset before which everything was compacted.
    pub compacted: i64,
    /// Acknowledged data that is missing.
    pub refused: Option<Error>,
}

impl PartitionImage {
    pub fn new() -> Self {
        Self {
            log_start: 0,
            next: 0,
            epochs: vec![(0, 0)],
            producers: Producers::default(),
            decisions: Decisions::default(),
            segments: Vec::new(),
            compacted: 0,
            refused: None,
        }
    }

    pub fn epoch(&self) -> i32 {
        self.epochs.last().map_or(0, |(epoch, _)| *epoch)
    }

    /// Begins another leader epoch with the next record. One that had none is forgotten, as are those before the first record.
    pub fn begin_epoch(&mut self) {
        let epoch = self.epoch().saturating_add(1);
        self.epochs.retain(|(_, start)| *start < self.next);
        self.epochs.push((epoch, self.next));
        let outdated = self.epochs.iter().skip(1);
        let outdated = outdated.filter(|(_, start)| *start <= self.log_start);
        self.epochs.drain(..outdated.count());
    }

    /// Aborts what is open, before offsets that are missing: gives markers to append there. Where they have no place,
    /// readers are told what was aborted and never meet its markers.
    pub fn end_lost(&mut self, next: i64, at: i64) -> Vec<(Head, Bytes, i64)> {
        let producers: Vec<i64> = self.decisions.open.producers().collect();
        if producers.len() as i64 > next - self.next {
            self.decisions.lose(&producers, next - 1);
            return Vec::new();
        }
        let ends = producers.into_iter().zip(self.next..);
        ends.map(|(producer, offset)| {
            let fresh = marker(producer, 0, false, at, false);
            let (head, batch) = fresh.place(offset, self.epoch());
            (head, batch, at)
        })
        .collect()
    }

    /// Takes note of a batch that was appended, and of those missing before it if an earlier one was lost.
    pub fn appended(&mut self, head: &Head, batch: &[u8], at: i64) {
        if head.base_offset > self.next {
            self.producers.clear();
        }
        self.producers.record(head, head.base_offset, at);
        self.decisions.note(head, batch);
        self.next = head.last_offset() + 1;
    }
}

/// Overrides as pairs, as events have them.
pub(crate) fn overrides(config: &TopicConfig) -> Vec<(String, String)> {
    config
        .overrides
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect()
}

/// Settings from overrides that were valid once. One that is not known any more is left out, and told.
pub(crate) fn config(defaults: &TopicConfig, overrides: &[(String, String)]) -> TopicConfig {
    let mut config = TopicConfig {
        overrides: BTreeMap::new(),
        ..defaults.clone()
    };
    for (key, value) in overrides {
        if let Err(error) = config.set(key, value) {
            tracing::warn!(%error, "a topic's setting is left out");
        }
    }
    config
}

/// The folder of a partition.
pub(crate) fn folder(topic: Uuid, partition: u32) -> String {
    format!("topics/{topic}-{partition}")
}

const MAGIC: &[u8; 8] = b"ESCCHECK";
/// Version 1 knew no transactions, version 2 no compaction, version 3 no members of groups and
/// no closed logs. They are still read.
const VERSION: u32 = 4;

impl Image {
    pub fn new(cluster: Uuid) -> Self {
        Self {
            lsn: 0,
            cluster,
            next_producer: 0,
            topics: BTreeMap::new(),
            groups: Groups::default(),
            transactions: Transactions::default(),
            doomed: Vec::new(),
            closed: false,
        }
    }

    pub fn partition(&mut self, topic: Uuid, partition: u32) -> Option<&mut PartitionImage> {
        self.topics
            .get_mut(&topic)?
            .partitions
            .get_mut(partition as usize)
    }

    /// Lets everything have its effect that does not write segments: all events but [`Event::Append`].
    pub fn apply(&mut self, event: &Event, defaults: &TopicConfig) {
        self.groups.apply(event);
        self.transactions.apply(event);
        match event {
            Event::Topic {
                id,
                name,
                partitions,
                overrides,
            } => {
                let topic = TopicImage {
                    name: name.clone(),
                    config: Arc::new(config(defaults, overrides)),
                    partitions: (0..*partitions).map(|_| PartitionImage::new()).collect(),
                };
                // It is there already where a round is replayed that a checkpoint had a part of.
                self.topics.entry(*id).or_insert(topic);
            }
            Event::Removed { id, .. } => {
                if let Some(topic) = self.topics.remove(id) {
                    for (index, partition) in topic.partitions.iter().enumerate() {
                        if partition.next > 0 {
                            self.doomed.push(folder(*id, index as u32));
                        }
                    }
                }
            }
            Event::Partitions { id, total } => {
                if let Some(topic) = self.topics.get_mut(id) {
                    let total = (*total as usize).max(topic.partitions.len());
                    topic.partitions.resize_with(total, PartitionImage::new);
                }
            }
            Event::Config { id, overrides } => {
                if let Some(topic) = self.topics.get_mut(id) {
                    topic.config = Arc::new(config(defaults, overrides));
                }
            }
            Event::Start {
                topic,
                partition,
                offset,
            } => {
                if let Some(found) = self.partition(*topic, *partition) {
                    found.log_start = found.log_start.max(*offset);
                    found.decisions.start_at(*offset);
                }
            }
            Event::Producers { next } => self.next_producer = self.next_producer.max(*next),
            Event::Append { .. }
            | Event::Offsets { .. }
            | Event::Forget { .. }
            | Event::Expired { .. }
            | Event::Members { .. }
            | Event::Owner { .. }
            | Event::Joined { .. }
            | Event::Pending { .. } => {}
        }
    }

    /// The image as a file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(MAGIC);
        out.u32(VERSION);
        out.u64(self.lsn);
        out.id(self.cluster);
        out.i64(self.next_producer);
        out.u32(self.topics.len() as u32);
        for (id, topic) in &self.topics {
            out.id(*id);
            out.text(&topic.name);
            event::pairs(&mut out, &overrides(&topic.config));
            out.u32(topic.partitions.len() as u32);
            for partition in &topic.partitions {
                put_partition(&mut out, partition);
            }
        }
        self.groups.encode(&mut out);
        self.transactions.encode(&mut out);
        out.u32(self.doomed.len() as u32);
        for path in &self.doomed {
            out.text(path);
        }
        out.u8(self.closed.into());
        out.u32(crc32c(&out));
        out
    }

    /// Reads an image; says what is wrong if it is none.
    pub fn decode(file: &[u8], defaults: &TopicConfig) -> Result<Self, &'static str> {
        let (content, sum) = file
            .split_last_chunk::<4>()
            .ok_or("it is too short for a checkpoint")?;
        if crc32c(content) != u32::from_le_bytes(*sum) {
            return Err("the CRC-32C of the checkpoint is another");
        }
        let mut take = Take(content);
        if take.bytes(8) != Some(MAGIC) {
            return Err("it is not a checkpoint");
        }
        let version = take.u32().filter(|version| (1..=VERSION).contains(version));
        let Some(version) = version else {
            return Err("the checkpoint has another version than this program reads");
        };
        let image = Self::take(&mut take, version, defaults);
        let image = image.ok_or("the checkpoint is not complete")?;
        if !take.0.is_empty() {
            return Err("something stands behind the checkpoint");
        }
        Ok(image)
    }

    fn take(take: &mut Take<'_>, version: u32, defaults: &TopicConfig) -> Option<Self> {
        Some(Self {
            lsn: take.u64()?,
            cluster: take.id()?,
            next_producer: take.i64()?,
            topics: take
                .list(|take| {
                    let id = take.id()?;
                    let name = take.text()?;
                    let config = Arc::new(config(defaults, &event::take_pairs(take)?));
                    let mut index = 0;
                    let partitions = take.list(|take| {
                        index += 1;
                        take_partition(take, version, &folder(id, index - 1))
                    })?;
                    let topic = TopicImage {
                        name,
                        config,
                        partitions,
                    };
                    Some((id, topic))
                })?
                .into_iter()
                .collect(),
            groups: Groups::decode(take, version >= 4)?,
            transactions: match version {
                1 => Transactions::default(),
                _ => Transactions::decode(take)?,
            },
            doomed: take.list(Take::text)?,
            closed: version >= 4 && take.u8()? != 0,
        })
    }
}

fn put_partition(out: &mut Vec<u8>, partition: &PartitionImage) {
    out.i64(partition.log_start);
    out.i64(partition.next);
    out.u32(partition.epochs.len() as u32);
    for (epoch, start) in &partition.epochs {
        out.u32(*epoch as u32);
        out.i64(*start);
    }
    partition.producers.encode(out);
    partition.decisions.encode(out);
    out.u32(partition.segments.len() as u32);
    for segment in &partition.segments {
        let extent = segment.extent();
        out.i64(segment.base);
        out.u64(extent.bytes);
        out.i64(extent.first_at);
        out.i64(extent.last_at);
        out.i64(extent.max_timestamp);
        out.u32(extent.epoch as u32);
        out.u8(extent.gaps.into());
        out.u32(extent.generation);
        out.i64(extent.horizon);
    }
    match &partition.refused {
        Some(Error::Damaged { path, at, why }) => {
            out.u8(1);
            out.text(path);
            out.u64(*at);
            out.text(why);
        }
        _ => out.u8(0),
    }
    out.i64(partition.compacted);
}

fn take_partition(take: &mut Take<'_>, version: u32, folder: &str) -> Option<PartitionImage> {
    Some(PartitionImage {
        log_start: take.i64()?,
        next: take.i64()?,
        epochs: take.list(|take| Some((take.u32()? as i32, take.i64()?)))?,
        producers: Producers::decode(take)?,
        decisions: match version {
            1 => Decisions::default(),
            _ => Decisions::decode(take)?,
        },
        segments: take.list(|take| {
            let base = take.i64()?;
            let extent = Extent {
                bytes: take.u64()?,
                first_at: take.i64()?,
                last_at: take.i64()?,
                max_timestamp: take.i64()?,
                epoch: take.u32()? as i32,
                gaps: take.u8()? != 0,
                generation: match version {
                    ..3 => 0,
                    _ => take.u32()?,
                },
                horizon: match version {
                    ..3 => i64::MAX,
                    _ => take.i64()?,
                },
            };
            Some(Arc::new(Segment::known(folder, base, extent)))
        })?,
        refused: match take.u8()? {
            0 => None,
            _ => Some(Error::Damaged {
                path: take.text()?,
                at: take.u64()?,
                why: take.text()?,
            }),
        },
        compacted: match version {
            ..3 => 0,
            _ => take.i64()?,
        },
    })
}
