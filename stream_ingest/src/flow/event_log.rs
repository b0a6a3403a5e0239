//! What flows need of a log, whichever it is: the built-in one ([`Local`](super::local::Local)) or another Kafka.
//!
//! A flow at work is a [`Member`] of its consumer group; it is told which partitions are its own and opens a [`Partition`] for
//! each. Whoever opened a partition last, alone can commit in it: that is what makes answers come once.

use super::definition::Definition;
use super::error::Result;
use super::output::Written;
use super::reader::Part;
use super::worker::Work;
use crate::log;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a partition begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The offset of the first record that is there.
    pub start: i64,
    /// The offset after the last record that readers of committed records are shown.
    pub end: i64,
    /// The offset after the last record.
    pub high: i64,
}

/// The `retention.ms` of a topic for answers to the records of one with this `cleanup.policy` and, where it has one of its
/// own, this `retention.ms`; `None` for the log's default. Answers to what is kept for ever, or until its key comes
/// again, are kept for ever.
pub fn retention(policy: &str, own: Option<&str>) -> Option<String> {
    match policy.split(',').any(|policy| policy.trim() == "delete") {
        true => own.map(str::to_owned),
        false => Some("-1".to_owned()),
    }
}

/// Room for what is written beside a record's own bytes: where it is from, and why it has no answer.
const ROOM: usize = 64 << 10;

/// The `max.message.bytes` of a topic for answers to the records of one with this: a dead letter has all of its record, and
/// more headers.
pub fn largest(from: usize) -> usize {
    from.saturating_add(ROOM).min(log::LONGEST_BATCH)
}

/// A log that a flow reads and writes.
pub trait EventLog: Send + Sync + 'static {
    /// How many partitions a topic has; `None` where there is no such topic.
    fn partitions<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Option<u32>>>;

    /// Makes a topic for answers to the records of another, `from`, which keeps them as long as that keeps its records:
    /// they have the same times. It takes what that takes, with room for headers ([`largest`]). One that is there stays as it is.
    fn create_topic<'a>(
        &'a self,
        topic: &'a str,
        partitions: u32,
        from: &'a str,
    ) -> BoxFuture<'a, Result<()>>;

    /// Where the partitions of a topic begin and end; nothing where there is no such topic.
    fn extents<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Vec<Extent>>>;

    /// The offset of the first record with this time or a later one, in milliseconds since 1970; `None` where there is none.
    fn offset_for_time<'a>(
        &'a self,
        topic: &'a str,
        partition: u32,
        time: i64,
    ) -> BoxFuture<'a, Result<Option<i64>>>;

    /// The offsets that a flow's group has committed.
    fn offsets<'a>(&'a self, flow: &'a Definition) -> BoxFuture<'a, Result<BTreeMap<u32, i64>>>;

    /// Commits other offsets for a flow's group, which must not be at work.
    fn put<'a>(
        &'a self,
        flow: &'a Definition,
        offsets: BTreeMap<u32, i64>,
    ) -> BoxFuture<'a, Result<()>>;

    /// Keeps the offsets of a flow's group from expiring until [`EventLog::forget`], and from being changed by others while
    /// the flow is at work, where that is in its hands.
    fn hold(&self, flow: &Definition, at_work: bool);

    /// Forgets a flow's group and its offsets.
    fn forget<'a>(&'a self, flow: &'a Definition) -> BoxFuture<'a, Result<()>>;

    /// The end of a partition that is worked on, as far as it is known without asking.
    fn known_end(&self, topic: &str, partition: u32) -> Option<i64>;

    /// Begins the work of a flow.
    fn join(&self, work: Arc<Work>) -> BoxFuture<'_, Halted<Arc<dyn Member>>>;
}

/// A flow at work, alone or beside other servers. It leaves its group when it is dropped.
pub trait Member: Send + Sync {
    /// The partitions that are its own, each with a number that grows whenever it was somebody else's in between. Comes
    /// back when they are others than `before`.
    fn assigned<'a>(&'a self, before: &'a BTreeMap<u32, u64>) -> BoxFuture<'a, BTreeMap<u32, u64>>;

    /// Opens a partition where its group stands. From now on nobody who opened it before can commit in it.
    fn open(&self, partition: u32) -> BoxFuture<'_, Halted<Box<dyn Partition>>>;
}

/// A partition that is worked on.
pub trait Partition: Send {
    /// The offset that it began with.
    fn begun(&self) -> i64;

    /// The next part, of at most so many items, and so many bytes unless one alone has more; `None` at the end.
    fn take(&mut self, most: usize, bytes: usize) -> BoxFuture<'_, Halted<Option<Part>>>;

    /// Waits until there may be more after [`Partition::take`] had nothing. May be dropped at any time.
    fn more(&mut self) -> BoxFuture<'_, Halted<()>>;

    /// How many records were gone before they were read, since this was last asked.
    fn missed(&mut self) -> u64;

    /// The largest batches that the topics of answers and of dead letters take, in bytes.
    fn most(&mut self) -> Halted<(usize, usize)>;

    /// Whether the topic of answers compacts: then every record that it takes has a key.
    fn keyed(&mut self) -> Halted<bool>;

    /// Writes what became of some records, and the offset after them, as the flow guarantees.
    fn put(&mut self, written: Written, next: i64) -> BoxFuture<'_, Halted<()>>;
}

/// Why work in a partition ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// For good: the flow was put elsewhere or rests, or the log is closed.
    Over,
    /// It was somebody else's in between; whoever it belongs to now begins anew.
    #[cfg_attr(
        not(feature = "kafka"),
        allow(dead_code, reason = "the built-in log is nobody else's")
    )]
    Moved,
    /// For now, and why.
    Trouble(String),
}

/// What work in a partition gives.
pub type Halted<T> = std::result::Result<T, Halt>;

impl From<log::Error> for Halt {
    fn from(error: log::Error) -> Self {
        match error {
            log::Error::Closed | log::Error::Failed(_) | log::Error::Fenced => Self::Over,
            error => Self::Trouble(error.to_string()),
        }
    }
}
