//! What a log should be, by an oracle that knows neither disks nor frames.

use crate::log::error::{Error, Result};
use crate::log::handle::Log;
use crate::log::types::{End, Isolation, Offsets, Place, Producer, Stage};
use crate::records;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// The transactional id that everything in a transaction is written under.
pub(super) const ID: &str = "worker";
/// The topic that compacts.
pub(super) const COMPACTED: &str = "compacted";
/// The group whose offsets transactions commit.
pub(super) const GROUP: &str = "consumers";

const TRANSACTIONAL: u8 = 1 << 4;
const CONTROL: u8 = 1 << 5;

/// What is known of a log from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub topics: BTreeMap<String, Vec<Records>>,
    pub groups: BTreeMap<String, BTreeMap<Place, i64>>,
    /// Who is in a group.
    pub members: BTreeMap<String, Bytes>,
    pub transaction: Option<Standing>,
    /// What readers see of the topic that compacts; what was written to it is among the topics.
    pub compacted: Option<Seen>,
}

/// What readers of committed records see of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub start: i64,
    pub next: i64,
    pub stable: i64,
    pub records: Vec<records::Record>,
}

impl Seen {
    fn of(log: &Log, topic: &str) -> Result<Self> {
        let described = log.describe(topic, 0)?;
        // Everything that is there can be read, whatever became of it.
        let mut offset = described.log_start;
        loop {
            let read = log.read(topic, 0, offset, 1000, Isolation::ReadUncommitted)?;
            let Some(last) = read.batches.last() else {
                break;
            };
            let before = std::mem::replace(&mut offset, next(last));
            assert!(before < offset, "reading goes on");
        }
        assert_eq!(offset, described.high_watermark, "readers come to the end");
        let batches = visible(log, topic, 0)?;
        Ok(Self {
            start: described.log_start,
            next: described.high_watermark,
            stable: described.last_stable,
            records: decoded(batches.iter(), described.log_start),
        })
    }

    /// Holds it against all that was written: what is missing has a later record with its key or is a tombstone, and who
    /// puts everything into a table has the same table.
    fn hold(&self, written: &Records, open: Option<i64>) {
        let (stable, committed) = written.committed(open);
        assert_eq!(
            (self.start, self.next, self.stable),
            (written.start, written.next, stable)
        );
        let written = decoded(committed.iter(), self.start);
        let offsets: Vec<i64> = self.records.iter().map(|record| record.offset).collect();
        assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
        for record in &self.records {
            assert!(written.contains(record), "{record:?} was not written");
        }
        for (i, record) in written.iter().enumerate() {
            let later = written[i + 1..].iter().any(|later| later.key == record.key);
            assert!(
                later || record.value.is_none() || self.records.contains(record),
                "{record:?} is missing from {:#?}",
                self.records
            );
        }
        assert_eq!(table(&self.records), table(&written));
    }
}

/// Keys and values, without those that are deleted.
fn table(records: &[records::Record]) -> BTreeMap<Bytes, Bytes> {
    let mut table = BTreeMap::new();
    for record in records {
        let key = record.key.clone().unwrap();
        match record.value.clone() {
            Some(value) => table.insert(key, value),
            None => table.remove(&key),
        };
    }
    table
}

/// The records of batches that were cut to what their sums are of.
fn decoded<'a>(
    batches: impl Iterator<Item = &'a (i64, Bytes)>,
    start: i64,
) -> Vec<records::Record> {
    let whole = batches.map(|(base, summed)| {
        let mut batch = base.to_be_bytes().to_vec();
        batch.extend((summed.len() as i32 + 9).to_be_bytes());
        batch.extend([0, 0, 0, 0, 2]);
        batch.extend(crc32c::crc32c(summed).to_be_bytes());
        batch.extend_from_slice(summed);
        Bytes::from(batch)
    });
    let records = whole.flat_map(|batch| records::decode_one(&batch).unwrap());
    records.filter(|record| record.offset >= start).collect()
}

/// Where the transactional id stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub producer: Producer,
    pub stage: Stage,
    /// The partitions in the transaction.
    pub places: BTreeSet<Place>,
    /// Those with records of it, and the first one's offset.
    pub written: BTreeMap<Place, i64>,
    /// The group's offsets in it.
    pub offsets: BTreeMap<Place, i64>,
    /// The next sequence in every partition, where it is not 0.
    pub sequences: BTreeMap<Place, i32>,
}

impl Standing {
    pub fn new(producer: Producer) -> Self {
        Self {
            producer,
            stage: Stage::Empty,
            places: BTreeSet::new(),
            written: BTreeMap::new(),
            offsets: BTreeMap::new(),
            sequences: BTreeMap::new(),
        }
    }

    /// What a log shows of it.
    fn of(log: &Log) -> Option<Self> {
        let found = log.transaction(ID).ok()?;
        let mut standing = Self {
            stage: found.stage,
            places: found.places.into_iter().collect(),
            offsets: log.pending_now(ID, GROUP),
            ..Self::new(found.producer)
        };
        for topic in log.topics() {
            for partition in 0..topic.partitions {
                let place = (topic.name.clone(), partition);
                for writer in log.writers(&topic.name, partition).unwrap() {
                    if writer.producer.id != standing.producer.id {
                        continue;
                    }
                    if let Some(first) = writer.open_from {
                        standing.written.insert(place.clone(), first);
                    }
                    if writer.producer == standing.producer && writer.last_sequence >= 0 {
                        let next = writer.last_sequence + 1;
                        standing.sequences.insert(place.clone(), next);
                    }
                }
            }
        }
        Some(standing)
    }
}

/// A partition: its first offset, and batches by offset, without what the log writes into them. Of a marker only what it
/// says is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub start: i64,
    pub next: i64,
    pub batches: Vec<(i64, i64, Bytes)>,
}

fn marker(producer: Producer, end: End) -> Bytes {
    format!("{producer:?} {end:?}").into()
}

/// A batch as it is held against others.
fn plain(batch: &Bytes) -> Bytes {
    if batch[22] & CONTROL == 0 {
        return batch.slice(21..);
    }
    let producer = Producer {
        id: i64::from_be_bytes(batch[43..51].try_into().unwrap()),
        epoch: i16::from_be_bytes(batch[51..53].try_into().unwrap()),
    };
    match batch[66..70] {
        [0, 0, 0, 0] => marker(producer, End::Abort),
        [0, 0, 0, 1] => marker(producer, End::Commit),
        _ => panic!("a control batch says {:?}", &batch[61..]),
    }
}

impl Model {
    pub fn append(&mut self, topic: &str, partition: u32, batch: &Bytes) {
        let records = &mut self.topics.get_mut(topic).unwrap()[partition as usize];
        let count = i64::from(i32::from_be_bytes(batch[57..61].try_into().unwrap()));
        let (base, next) = (records.next, records.next + count);
        records.batches.push((base, next, batch.slice(21..)));
        records.next = next;
    }

    pub fn members(&mut self, group: &str, members: Option<&Bytes>) {
        match members {
            Some(members) => self.members.insert(group.to_owned(), members.clone()),
            None => self.members.remove(group),
        };
    }

    pub fn commit(&mut self, group: &str, offsets: &Offsets) {
        let kept = self.groups.entry(group.to_owned()).or_default();
        for (place, committed) in offsets {
            kept.insert(place.clone(), committed.offset);
        }
    }

    /// Ends the transaction: the producer is called `next` then, and markers say `epoch`.
    pub fn end(&mut self, end: End, epoch: i16, next: Producer, stage: Stage) {
        let Some(standing) = &mut self.transaction else {
            return;
        };
        let producer = Producer {
            epoch,
            ..standing.producer
        };
        if standing.stage == Stage::Ongoing {
            for ((topic, partition), _) in std::mem::take(&mut standing.written) {
                // What is seen of a log does not tell what was written to the topic that compacts.
                let Some(topic) = self.topics.get_mut(&topic) else {
                    continue;
                };
                let records = &mut topic[partition as usize];
                let (base, next) = (records.next, records.next + 1);
                records.batches.push((base, next, marker(producer, end)));
                records.next = next;
            }
            let offsets = std::mem::take(&mut standing.offsets);
            if end == End::Commit && !offsets.is_empty() {
                self.groups
                    .entry(GROUP.to_owned())
                    .or_default()
                    .extend(offsets);
            }
        }
        standing.places.clear();
        if next != standing.producer {
            standing.sequences.clear();
        }
        (standing.producer, standing.stage) = (next, stage);
    }

    /// Nothing of a topic is left.
    pub fn remove(&mut self, name: &str) {
        self.topics.remove(name);
        if let Some(standing) = &mut self.transaction {
            standing.places.retain(|(topic, _)| topic != name);
            standing.written.retain(|(topic, _), _| topic != name);
            standing.sequences.retain(|(topic, _), _| topic != name);
        }
    }

    /// What a damaged log shows, which must be what this has or is an error; what is missing is told by errors. Of a log that
    /// was not repaired (`whole`), what readers of committed records see is held against all of its records.
    pub fn as_far_as(log: &Log, known: &Self, whole: bool, refused: &mut Vec<Error>) -> Self {
        let mut found = Self {
            transaction: Standing::of(log),
            ..Self::default()
        };
        for topic in log.topics() {
            let Some(known) = known.topics.get(&topic.name) else {
                // Its deletion was lost.
                found.topics.insert(topic.name, Vec::new());
                continue;
            };
            let mut partitions = Vec::new();
            for (partition, known) in (0..topic.partitions).zip(known) {
                match Records::of(log, &topic.name, partition) {
                    Ok(records) => {
                        let abort = |batch: &Bytes| batch.ends_with(b"Abort");
                        for batch in records.batches.iter().filter(|(_, _, b)| !abort(b)) {
                            assert!(known.batches.contains(batch), "{} {partition}", topic.name);
                        }
                        let held = match whole {
                            true => found.hold(&records, log, &topic.name, partition),
                            false => visible(log, &topic.name, partition).map(|visible| {
                                let (_, committed) = known.committed(None);
                                for batch in visible {
                                    assert!(committed.contains(&batch), "{batch:?} is visible");
                                }
                            }),
                        };
                        refused.extend(held.err());
                        partitions.push(records);
                    }
                    Err(error) => refused.push(error),
                }
            }
            found.topics.insert(topic.name, partitions);
        }
        found.groups = Self::groups_of(log);
        for (group, offsets) in &found.groups {
            for (place, offset) in offsets {
                assert!(known.groups[group][place] >= *offset, "{group}");
            }
        }
        found
    }

    /// What a log shows.
    pub fn of(log: &Log) -> Result<Self> {
        let mut model = Self {
            transaction: Standing::of(log),
            ..Self::default()
        };
        for topic in log.topics() {
            if topic.name == COMPACTED {
                model.compacted = Some(Seen::of(log, COMPACTED)?);
                continue;
            }
            let mut partitions = Vec::new();
            for partition in 0..topic.partitions {
                let records = Records::of(log, &topic.name, partition)?;
                model.hold(&records, log, &topic.name, partition)?;
                partitions.push(records);
            }
            model.topics.insert(topic.name, partitions);
        }
        model.groups = Self::groups_of(log);
        model.members = log.members().into_iter().collect();
        Ok(model)
    }

    /// Holds what is seen of a log against this, the state after a frame.
    pub fn holds(&self, found: &Self, frame: u64) {
        let mut state = self.clone();
        if let Some(seen) = &found.compacted {
            let written = state.topics.remove(COMPACTED).unwrap();
            let place = (COMPACTED.to_owned(), 0);
            let standing = state.transaction.as_ref();
            let open = standing.and_then(|standing| standing.written.get(&place));
            seen.hold(&written[0], open.copied());
        }
        state.compacted.clone_from(&found.compacted);
        assert_eq!(&state, found, "the state after frame {frame}");
    }

    /// Holds what readers of committed records see against all records.
    fn hold(&self, records: &Records, log: &Log, topic: &str, partition: u32) -> Result<()> {
        let place = (topic.to_owned(), partition);
        let standing = self.transaction.as_ref();
        let open = standing.and_then(|standing| standing.written.get(&place));
        let (stable, committed) = records.committed(open.copied());
        let described = log.describe(topic, partition)?;
        let found = visible(log, topic, partition)?;
        let what = || {
            let short = |batch: &Bytes| String::from_utf8_lossy(batch).escape_debug().to_string();
            let batches = records.batches.iter();
            let batches =
                batches.map(|(base, _, batch)| (base, short(&batch.slice(..40.min(batch.len())))));
            format!("{topic} {partition}: {:#?}", batches.collect::<Vec<_>>())
        };
        assert_eq!(described.last_stable, stable, "{}", what());
        let bases =
            |batches: &[(i64, Bytes)]| batches.iter().map(|(base, _)| *base).collect::<Vec<_>>();
        assert_eq!(bases(&found), bases(&committed), "{}", what());
        assert!(found == committed, "{}", what());
        Ok(())
    }

    fn groups_of(log: &Log) -> BTreeMap<String, BTreeMap<Place, i64>> {
        let of = |group: String| {
            let offsets = log.offsets_now(&group).into_iter();
            let offsets = offsets.map(|(place, known)| (place, known.offset));
            (group, offsets.collect())
        };
        log.groups().into_iter().map(of).collect()
    }
}

fn base(batch: &Bytes) -> i64 {
    i64::from_be_bytes(batch[..8].try_into().unwrap())
}

/// The offset after a batch.
fn next(batch: &Bytes) -> i64 {
    base(batch) + i64::from(i32::from_be_bytes(batch[23..27].try_into().unwrap())) + 1
}

/// What a program that reads committed records is shown: offsets and batches.
fn visible(log: &Log, topic: &str, partition: u32) -> Result<Vec<(i64, Bytes)>> {
    let described = log.describe(topic, partition)?;
    let mut offset = described.log_start;
    let mut visible = Vec::new();
    loop {
        let read = log.read(topic, partition, offset, 1000, Isolation::ReadCommitted)?;
        let Some(last) = read.batches.last() else {
            return Ok(visible);
        };
        offset = next(last);
        let shown = read.visible().into_iter();
        visible.extend(shown.map(|batch| (base(&batch), batch.slice(21..))));
    }
}

impl Records {
    fn of(log: &Log, topic: &str, partition: u32) -> Result<Self> {
        let described = log.describe(topic, partition)?;
        let mut records = Self {
            start: described.log_start,
            next: described.high_watermark,
            batches: Vec::new(),
        };
        let mut offset = described.log_start;
        while offset < described.high_watermark {
            let read = log.read(topic, partition, offset, 1000, Isolation::ReadUncommitted)?;
            if read.batches.is_empty() {
                // Nothing more is there after a repair.
                break;
            }
            for batch in read.batches {
                let base = base(&batch);
                offset = next(&batch);
                records.batches.push((base, offset, plain(&batch)));
            }
        }
        Ok(records)
    }

    /// What is decided, by looking at all records: the last stable offset, and what counts before it. `open` is where an
    /// open transaction begins, which may be among records that were deleted.
    pub fn committed(&self, open: Option<i64>) -> (i64, Vec<(i64, Bytes)>) {
        let mut stable = open.unwrap_or(self.next);
        let mut committed: Vec<&(i64, i64, Bytes)> = Vec::new();
        for (i, one) in self.batches.iter().enumerate() {
            let (base, _, batch) = one;
            let Some(producer) = written_by(batch) else {
                if !is_marker(batch) {
                    committed.push(one);
                }
                continue;
            };
            let later = self.batches[i + 1..].iter();
            let mut ends = later.filter_map(|(_, _, batch)| ended(batch, producer));
            match ends.next() {
                Some(true) => committed.push(one),
                Some(false) => {}
                None => stable = stable.min(*base),
            }
        }
        // The partition may begin within a batch, and nothing before that be decided.
        stable = stable.max(self.start);
        let before = committed.into_iter().filter(|(_, next, _)| *next <= stable);
        let before = before.map(|(base, _, batch)| (*base, batch.clone()));
        (stable, before.collect())
    }
}

fn is_marker(batch: &Bytes) -> bool {
    batch.starts_with(b"Producer")
}

/// Whose transaction a batch belongs to.
fn written_by(batch: &Bytes) -> Option<i64> {
    let transactional = !is_marker(batch) && batch[1] & TRANSACTIONAL != 0;
    transactional.then(|| i64::from_be_bytes(batch[22..30].try_into().unwrap()))
}

/// Whether a batch is a marker of this producer, and whether it commits.
fn ended(batch: &Bytes, producer: i64) -> Option<bool> {
    let mine = format!("Producer {{ id: {producer}, ");
    let marker = is_marker(batch) && batch.starts_with(mine.as_bytes());
    marker.then(|| batch.ends_with(b"Commit"))
}
