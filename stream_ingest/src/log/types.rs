//! What is given to the log and what it gives back.

use super::batch::Head;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// When an append is answered. Consumers see it when it is on the disk, whichever this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// At once, with the offset it will have.
    None,
    /// When the system has it: it survives the end of this process, not that of the machine.
    Written,
    /// When it is on the disk: `acks=all`.
    Durable,
}

/// What is kept of who is in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// What was kept before.
    AsBefore,
    /// Nothing: nobody is in it.
    Nobody,
    /// These members, as whoever serves the group writes them.
    These(Bytes),
}

/// What a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Everything that is durable.
    ReadUncommitted,
    /// What is durable before the first open transaction, with a list of the transactions in it that were aborted.
    ReadCommitted,
}

/// Part of a transaction that was aborted: what this producer wrote from this offset on, until its next marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aborted {
    /// The producer's id.
    pub producer: i64,
    /// The offset of the first record that it wrote in the transaction.
    pub first_offset: i64,
}

/// Where an append went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The offset of its first record. A batch that was sent again has the offset it got the first time.
    pub base_offset: i64,
    /// The offset of its last record.
    pub last_offset: i64,
    /// The time that the log gave to its records, in milliseconds since 1970; `None` where they keep their own
    /// (`message.timestamp.type=CreateTime`).
    pub log_append_time: Option<i64>,
    /// The first offset that the partition has.
    pub log_start: i64,
    /// Whether an idempotent producer had sent it before, so that nothing was appended.
    pub duplicate: bool,
}

/// What was read.
#[derive(Debug, Clone)]
pub struct Read {
    /// Whole Kafka v2 batches, one to a `Bytes` or several, in order of offsets. The first may begin before the
    /// offset that was asked for; clients skip those records.
    pub batches: Vec<Bytes>,
    /// The offset after the last visible record.
    pub high_watermark: i64,
    /// The offset before which no transaction is open.
    pub last_stable: i64,
    /// The first offset that the partition has.
    pub log_start: i64,
    /// For [`Isolation::ReadCommitted`]: what was aborted and is among the batches.
    pub aborted: Vec<Aborted>,
}

impl Read {
    /// The batches whose records a program is shown: no markers, and nothing that was aborted. What Kafka's clients do
    /// with an answer of committed records.
    pub fn visible(&self) -> Vec<Bytes> {
        let mut later = self.aborted.clone();
        later.sort_by_key(|one| std::cmp::Reverse(one.first_offset));
        let mut aborted = BTreeSet::new();
        let mut visible = Vec::new();
        for bytes in &self.batches {
            let mut left = bytes.clone();
            while let Some(head) = Head::read(&left) {
                let batch = left.split_to(head.bytes.min(left.len()));
                while later
                    .last()
                    .is_some_and(|one| one.first_offset <= head.last_offset())
                {
                    aborted.extend(later.pop().map(|one| one.producer));
                }
                if head.is_control() {
                    if !super::marker::commits(&batch) {
                        aborted.remove(&head.producer);
                    }
                } else if !(head.is_transactional() && aborted.contains(&head.producer)) {
                    visible.push(batch);
                }
            }
        }
        visible
    }
}

/// A producer as its requests name it: an id, and how often it was given to a new instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Producer {
    /// Its id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All of it counts.
    Commit,
    /// None of it does.
    Abort,
}

/// Where the transaction of a transactional id stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// There was none yet under this producer's epoch.
    Empty,
    /// One is open.
    Ongoing,
    /// The last one was committed.
    Committed,
    /// The last one was aborted.
    Aborted,
}

/// A transactional id and what is in its transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Who may write under it.
    pub producer: Producer,
    /// Where it stands.
    pub stage: Stage,
    /// How long a transaction may be open.
    pub timeout: Duration,
    /// When the open transaction began, in milliseconds since 1970.
    pub since: Option<i64>,
    /// The partitions that are in it.
    pub places: Vec<Place>,
}

/// What a partition knows of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writer {
    /// Its id and the epoch that it wrote with last.
    pub producer: Producer,
    /// The sequence of its last record, -1 if it has none in this epoch.
    pub last_sequence: i32,
    /// When it was heard of last, in milliseconds since 1970.
    pub at: i64,
    /// Where its open transaction begins.
    pub open_from: Option<i64>,
}

/// A topic.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id, which another topic of the same name never has.
    pub id: Uuid,
    /// Number of partitions.
    pub partitions: u32,
    /// Its settings.
    pub config: Arc<super::TopicConfig>,
}

/// The state of a partition.
#[derive(Debug, Clone)]
pub struct Partition {
    /// The first offset that is there.
    pub log_start: i64,
    /// The offset after the last visible (durable) record.
    pub high_watermark: i64,
    /// The offset before which no transaction is open.
    pub last_stable: i64,
    /// The epoch that is written into batches.
    pub leader_epoch: i32,
    /// Bytes in its segments, and of what will be there shortly.
    pub bytes: u64,
    /// Number of its segments.
    pub segments: usize,
    /// Why it can neither be read nor written: acknowledged data is missing.
    pub refused: Option<super::Error>,
}

impl Partition {
    /// Records that are there and that a group has still to read which committed this offset.
    pub fn behind(&self, committed: i64) -> i64 {
        let from = committed.max(self.log_start);
        self.last_stable.saturating_sub(from).max(0)
    }
}

/// A record found by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, in milliseconds since 1970.
    pub timestamp: i64,
}

/// An offset that a consumer group has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset that the group will read.
    pub offset: i64,
    /// The leader epoch of the record before it, -1 if the consumer did not say.
    pub leader_epoch: i32,
    /// What the consumer wrote beside it.
    pub metadata: String,
    /// When, in milliseconds since 1970. Set by the log.
    pub at: i64,
}

impl Committed {
    /// An offset without anything beside it.
    pub fn at(offset: i64) -> Self {
        Self {
            offset,
            leader_epoch: -1,
            metadata: String::new(),
            at: 0,
        }
    }
}

/// A partition by its topic's name, as offsets are kept under.
pub type Place = (String, u32);

/// The offsets of a group.
pub type Offsets = BTreeMap<Place, Committed>;

/// Records for one partition in [`Log::commit_batch`](super::Log::commit_batch).
#[derive(Debug, Clone)]
pub struct Output {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Whole v2 batches, one after the other.
    pub batches: Bytes,
}

/// A point in time and what `now` means: milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Milliseconds since 1970 by the system's clock; 0 where that is before.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// Gives the ids of topics.
pub type Ids = Arc<dyn Fn() -> Uuid + Send + Sync>;

/// Gives numbers that nobody else can guess.
pub type Salts = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A number that nobody can guess.
fn salt() -> u64 {
    // What is fixed in an id is in one half, and in the other where that is drawn.
    let (one, other) = Uuid::new_v4().as_u64_pair();
    one ^ other
}

/// How the log is to be run.
#[derive(Clone)]
pub struct Options {
    /// What a topic has that does not say otherwise.
    pub defaults: super::TopicConfig,
    /// Bytes of a file of the write-ahead log before the next is begun.
    pub wal_bytes: u64,
    /// Most bytes written by one round, which ends in one sync.
    pub round_bytes: usize,
    /// Bytes that may wait for the disk before appends are refused with [`Error::Busy`](super::Error::Busy).
    pub waiting_bytes: usize,
    /// Bytes that are durable and gather in memory before they are laid down in segments, if that does not take longer than
    /// [`lay_within`](Self::lay_within).
    pub lay_bytes: usize,
    /// The longest that something is durable and not laid down, while the disk has space.
    pub lay_within: Duration,
    /// Bytes of recent batches that are kept in memory for readers at the end. Others are read from segments, and much
    /// that is laid down at once is not in the system's cache.
    pub cache_bytes: usize,
    /// Bytes in segments, since the last checkpoint, after which one is made.
    pub checkpoint_bytes: u64,
    /// Time since the last checkpoint after which one is made if anything was appended.
    pub checkpoint_every: Duration,
    /// How often old data, and what is to be compacted, is looked for.
    pub retention_every: Duration,
    /// Most keys that compaction keeps in memory at once, 25 to 86 bytes each; where there are more it goes over a partition
    /// more than once.
    pub compaction_keys: usize,
    /// Time without a batch after which the state of an idempotent producer is forgotten.
    pub producer_expiry: Duration,
    /// How often transactions are looked for that are open for longer than they may be.
    pub transactions_every: Duration,
    /// The longest that a producer may ask for its transactions to stay open: `transaction.max.timeout.ms`.
    pub transaction_max_timeout: Duration,
    /// Time without a transaction after which a transactional id is forgotten: `transactional.id.expiration.ms`.
    pub transactional_id_expiration: Duration,
    /// Most transactional ids; for one more, the one that was idle longest is forgotten.
    pub transactional_ids: usize,
    /// Bytes kept in a file that is given up when the disk is full, so that what was begun can be ended. The same
    /// number of bytes must be free for anything to be appended.
    pub reserve_bytes: u64,
    /// Most partitions of all topics together.
    pub partitions: usize,
    /// What time it is.
    pub clock: Clock,
    /// The next topic's id.
    pub ids: Ids,
    /// The salt of the next file of the write-ahead log.
    pub salts: Salts,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            defaults: super::TopicConfig::default(),
            wal_bytes: 64 << 20,
            round_bytes: 8 << 20,
            waiting_bytes: 64 << 20,
            lay_bytes: 4 << 20,
            lay_within: Duration::from_millis(100),
            cache_bytes: 256 << 20,
            checkpoint_bytes: 64 << 20,
            checkpoint_every: Duration::from_secs(5),
            retention_every: Duration::from_secs(30),
            // What fits into a table of 2^21 places: 50 MiB, and 75 MiB while it grows.
            compaction_keys: (1 << 21) / 8 * 7,
            producer_expiry: Duration::from_secs(24 * 3600),
            transactions_every: Duration::from_secs(1),
            transaction_max_timeout: Duration::from_secs(15 * 60),
            transactional_id_expiration: Duration::from_secs(7 * 24 * 3600),
            transactional_ids: 100_000,
            reserve_bytes: 128 << 20,
            partitions: 100_000,
            clock: Arc::new(now),
            ids: Arc::new(Uuid::new_v4),
            salts: Arc::new(salt),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("defaults", &self.defaults)
            .field("wal_bytes", &self.wal_bytes)
            .field("waiting_bytes", &self.waiting_bytes)
            .field("cache_bytes", &self.cache_bytes)
            .field("reserve_bytes", &self.reserve_bytes)
            .finish_non_exhaustive()
    }
}
