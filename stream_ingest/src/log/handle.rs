//! The log as its users hold it.

use super::disk::Disk;
use super::error::{Error, Result};
use super::types::{
    Acks, Appended, Found, Isolation, Offsets, Options, Output, Partition, Read, Topic,
};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::watch;
use uuid::Uuid;

/// An open log. Clones are the same log. Every method that is not `async` answers without waiting for a sync; those
/// that may read from the disk say so, and are called from threads that may block.
#[derive(Clone)]
pub struct Log {}

/// An append that has its offset and waits to be acknowledged.
#[must_use = "an append is acknowledged by `done`"]
pub struct Pending {}

impl Pending {
    /// The offset of the first record. Nothing is promised until [`Pending::done`].
    pub fn base_offset(&self) -> i64 {
        0
    }

    /// Waits for what [`Acks`] asked for. Dropping it takes nothing back.
    pub async fn done(self) -> Result<Appended> {
        Err(Error::Closed)
    }
}

impl Log {
    /// Opens the log of a disk, makes good what a crash left, and starts its two threads. Reads and writes the disk.
    pub fn open(_disk: Arc<dyn Disk>, _options: Options) -> Result<Self> {
        Err(Error::Closed)
    }

    /// Waits for what was appended, makes a checkpoint and ends the threads; every handle answers [`Error::Closed`]
    /// from then on.
    pub async fn close(&self) -> Result<()> {
        Err(Error::Closed)
    }

    /// Comes back when the log has failed, with why. The owner ends the process with an error then.
    pub async fn failed(&self) -> Error {
        Error::Closed
    }

    /// Makes a topic; it is durable when this comes back. Settings have Kafka's names.
    pub async fn create_topic(
        &self,
        _name: &str,
        _partitions: u32,
        _config: &[(&str, &str)],
    ) -> Result<Topic> {
        Err(Error::Closed)
    }

    /// Deletes a topic, its records and the offsets that groups committed for it.
    pub async fn delete_topic(&self, _name: &str) -> Result<()> {
        Err(Error::Closed)
    }

    /// Gives a topic more partitions, up to `total`.
    pub async fn add_partitions(&self, _name: &str, _total: u32) -> Result<()> {
        Err(Error::Closed)
    }

    /// Sets settings of a topic (`Some`) or gives them back their defaults (`None`), all or none.
    pub async fn alter_config(&self, _name: &str, _changes: &[(&str, Option<&str>)]) -> Result<()> {
        Err(Error::Closed)
    }

    /// What [`Log::create_topic`] would refuse, without making anything.
    pub fn check_topic(
        &self,
        _name: &str,
        _partitions: u32,
        _config: &[(&str, &str)],
    ) -> Result<()> {
        Err(Error::Closed)
    }

    /// All topics, sorted by name.
    pub fn topics(&self) -> Vec<Topic> {
        Vec::new()
    }

    /// A topic.
    pub fn topic(&self, name: &str) -> Result<Topic> {
        Err(Error::NoTopic(name.to_owned()))
    }

    /// A topic by its id.
    pub fn topic_by_id(&self, id: Uuid) -> Result<Topic> {
        Err(Error::NoTopic(id.to_string()))
    }

    /// The state of a partition.
    pub fn describe(&self, _topic: &str, _partition: u32) -> Result<Partition> {
        Err(Error::Closed)
    }

    /// The end of a leader epoch: the epoch itself or the newest one before it, and the offset after its last record
    /// (`OffsetForLeaderEpoch`).
    pub fn epoch_end(&self, _topic: &str, _partition: u32, _epoch: i32) -> Result<(i32, i64)> {
        Err(Error::Closed)
    }

    /// Checks batches, gives them their offsets and puts them in the queue for the disk. The order of calls is the
    /// order of offsets; what comes later can be submitted before the first is done. Refuses with [`Error::Busy`]
    /// when too much is waiting.
    pub fn submit(
        &self,
        _topic: &str,
        _partition: u32,
        _batches: Bytes,
        _acks: Acks,
    ) -> Result<Pending> {
        Err(Error::Closed)
    }

    /// Waits until [`Log::submit`] would not refuse because of what is waiting.
    pub async fn room(&self) {}

    /// [`Log::room`], [`Log::submit`] and [`Pending::done`].
    pub async fn append(
        &self,
        topic: &str,
        partition: u32,
        batches: Bytes,
        acks: Acks,
    ) -> Result<Appended> {
        self.room().await;
        self.submit(topic, partition, batches, acks)?.done().await
    }

    /// Reads whole batches from the one that has `offset`, until `max_bytes` are reached, but always one. Nothing at
    /// the high watermark. May read from the disk.
    pub fn read(
        &self,
        _topic: &str,
        _partition: u32,
        _offset: i64,
        _max_bytes: usize,
        _isolation: Isolation,
    ) -> Result<Read> {
        Err(Error::Closed)
    }

    /// As [`Log::read`], from memory alone: `None` where the disk would have to be read.
    pub fn read_recent(
        &self,
        _topic: &str,
        _partition: u32,
        _offset: i64,
        _max_bytes: usize,
        _isolation: Isolation,
    ) -> Result<Option<Read>> {
        Err(Error::Closed)
    }

    /// The first record whose timestamp is at least this, or `None`. May read from the disk.
    pub fn offset_for_time(
        &self,
        _topic: &str,
        _partition: u32,
        _timestamp: i64,
    ) -> Result<Option<Found>> {
        Err(Error::Closed)
    }

    /// The record with the largest timestamp (`ListOffsets` with -3), or `None` if there is no record. May read from
    /// the disk.
    pub fn offset_of_max_time(&self, _topic: &str, _partition: u32) -> Result<Option<Found>> {
        Err(Error::Closed)
    }

    /// The high watermark of a partition, as it moves. The sender goes away with the topic or the log.
    pub fn watch(&self, _topic: &str, _partition: u32) -> Result<watch::Receiver<i64>> {
        Err(Error::Closed)
    }

    /// Makes `before` the first offset of a partition; -1 is the high watermark. Gives the first offset that is
    /// there then.
    pub async fn delete_records(&self, _topic: &str, _partition: u32, _before: i64) -> Result<i64> {
        Err(Error::Closed)
    }

    /// Keeps offsets of a group; they are durable when this comes back. `fence` is asked at the moment that decides
    /// the order of commits: whether who commits is still the one to (it must not block, nor call the log);
    /// [`Error::Fenced`] if not. A group is there as long as it has offsets.
    pub async fn commit_offsets(
        &self,
        _group: &str,
        _offsets: Offsets,
        _fence: impl FnOnce() -> bool + Send,
    ) -> Result<()> {
        Err(Error::Closed)
    }

    /// Appends outputs and keeps the offsets of the inputs they came from: after any crash all of it is there, or
    /// nothing.
    pub async fn commit_batch(
        &self,
        _outputs: Vec<Output>,
        _group: &str,
        _offsets: Offsets,
        _fence: impl FnOnce() -> bool + Send,
    ) -> Result<Vec<Appended>> {
        Err(Error::Closed)
    }

    /// The offsets of a group, empty if there is no such group. Everything that was committed before this call,
    /// acknowledged or not, is among them and durable.
    pub async fn offsets(&self, _group: &str) -> Result<Offsets> {
        Err(Error::Closed)
    }

    /// The groups that have offsets, sorted.
    pub fn groups(&self) -> Vec<String> {
        Vec::new()
    }

    /// Forgets a group's offsets. `fence` as in [`Log::commit_offsets`]: whether the group is empty.
    pub async fn delete_group(
        &self,
        _group: &str,
        _fence: impl FnOnce() -> bool + Send,
    ) -> Result<()> {
        Err(Error::Closed)
    }

    /// Forgets some of a group's offsets; those that are not there are no error.
    pub async fn delete_offsets(&self, _group: &str, _places: &[super::Place]) -> Result<()> {
        Err(Error::Closed)
    }

    /// A producer id that was never given before; its epoch is 0.
    pub async fn init_producer_id(&self) -> Result<i64> {
        Err(Error::Closed)
    }
}
