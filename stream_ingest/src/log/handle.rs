//! The log as its users hold it.

#[cfg(test)]
mod tests;
mod transactions;

use super::admission;
use super::batch::Fresh;
use super::cleaner;
use super::committer::Committer;
use super::disk::Disk;
use super::error::{Error, Result};
use super::event::Event;
use super::keeper::Keeper;
use super::partition::Live;
use super::recovery::recover;
use super::sequencer::{Part, Reply, Sequel, offset_size};
use super::shared::Shared;
use super::topics::TopicConfig;
use super::types::{
    Acks, Appended, Found, Isolation, Membership, Offsets, Options, Output, Partition, Place, Read,
    Topic,
};
use super::wal;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::watch;
use uuid::Uuid;

/// Most bytes of a group's name.
const GROUP: usize = 32_767;
/// Most bytes that a consumer may write beside an offset: what Kafka's `offset.metadata.max.bytes` is.
const METADATA: usize = 4096;
/// Most bytes of one append or commit.
const COMMIT: usize = wal::LONGEST / 2;

/// An open log. Clones are the same log. Every method that is not `async` answers without waiting for a sync; those
/// that may read from the disk say so, and are called from threads that may block. When the last clone goes away, the
/// log closes as by [`Log::close`], but nobody waits for it.
#[derive(Clone)]
pub struct Log(Arc<Handle>);

struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.sequencer.lock().close();
        self.0.queued.notify_all();
    }
}

/// A partition that was there.
#[derive(Clone)]
pub struct Presence(Arc<Live>);

impl Presence {
    /// Whether it still is. As part of a fence of a commit ([`Log::commit_offsets`]) this is exact: no commit for a topic
    /// comes into another of its name.
    pub fn holds(&self) -> bool {
        !self.0.is_gone()
    }
}

/// The threads of a log.
const THREADS: usize = 3;

/// A thread of the log. When it ends it lets go of the log and says so; when it panics, it stops the log, so that nobody
/// waits for what will not happen.
struct Thread {
    shared: Option<Arc<Shared>>,
    ended: Arc<watch::Sender<usize>>,
}

impl Thread {
    fn start(
        name: &str,
        shared: &Arc<Shared>,
        work: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<()> {
        let thread = Self {
            shared: Some(shared.clone()),
            ended: shared.ended.clone(),
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _thread = thread;
                work();
            })?;
        Ok(())
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take()
            && std::thread::panicking()
        {
            let error = std::io::Error::other("a thread of the log panicked");
            shared.fail("go on", &error);
        }
        self.ended.send_modify(|ended| *ended += 1);
    }
}

/// An append that has its offset and waits to be acknowledged.
#[must_use = "an append is acknowledged by `done`"]
pub struct Pending {
    appended: Appended,
    wait: Wait,
}

/// The batches of an append with their sums checked, the id of their topic, and whether they got the log's time.
type Checked = (Uuid, Vec<Fresh>, bool);

enum Wait {
    Nothing,
    Reply(Reply),
    Lsn(Arc<Shared>, u64),
}

impl Pending {
    /// The offset of the first record. Nothing is promised until [`Pending::done`].
    pub fn base_offset(&self) -> i64 {
        self.appended.base_offset
    }

    /// Waits for what [`Acks`] asked for. Dropping it takes nothing back.
    pub async fn done(self) -> Result<Appended> {
        match self.wait {
            Wait::Nothing => {}
            Wait::Reply(reply) => replied(Some(reply)).await?,
            Wait::Lsn(shared, lsn) => reach(&shared, lsn).await?,
        }
        Ok(self.appended)
    }

    /// As [`Pending::done`] if that would not wait.
    #[cfg(test)]
    pub(crate) fn now(&mut self) -> Option<Result<Appended>> {
        let done = match &mut self.wait {
            Wait::Nothing => Ok(()),
            Wait::Reply(reply) => match reply.try_recv() {
                Ok(done) => done,
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => return None,
                Err(_) => Err(Error::Closed),
            },
            Wait::Lsn(shared, lsn) => match *shared.settled.borrow() >= *lsn {
                true => Ok(()),
                false => return None,
            },
        };
        Some(done.map(|()| self.appended))
    }
}

async fn replied(reply: Option<Reply>) -> Result<()> {
    match reply {
        Some(reply) => reply.await.unwrap_or(Err(Error::Closed)),
        None => Ok(()),
    }
}

/// Waits until a frame is acknowledged.
async fn reach(shared: &Shared, lsn: u64) -> Result<()> {
    let mut settled = shared.settled.subscribe();
    loop {
        if *settled.borrow_and_update() >= lsn {
            return Ok(());
        }
        shared.check()?;
        settled.changed().await.map_err(|_| Error::Closed)?;
    }
}

impl Log {
    /// Opens the log of a disk, makes good what a crash left, and starts its three threads. Reads and writes the disk.
    ///
    /// Acknowledged data that is damaged in one partition takes that partition out of use ([`Partition::refused`]); if
    /// it is not known what is missing, the log is not opened ([`Error::Damaged`]). [`repair`](super::repair) goes on
    /// without what is lost.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<Self> {
        let (log, committer, mut keeper) = Self::open_stepped(disk, options)?;
        let shared = log.shared();
        let (jobs, taken) = std::sync::mpsc::sync_channel(1);
        keeper.hand_over(jobs);
        let cleaning = shared.clone();
        let started = Thread::start("escala-wal", shared, move || committer.run())
            .and_then(|()| Thread::start("escala-segments", shared, move || keeper.run()))
            .and_then(|()| {
                Thread::start("escala-cleaner", shared, move || {
                    cleaner::work(&cleaning, &taken);
                })
            });
        started.map_err(super::error::io("start a thread for", "the log"))?;
        Ok(log)
    }

    /// A log whose threads' work is done by calls.
    pub(crate) fn open_stepped(
        disk: Arc<dyn Disk>,
        options: Options,
    ) -> Result<(Self, Committer, Keeper)> {
        let (shared, writer, store) = recover(disk, options)?;
        let committer = Committer::new(shared.clone(), writer);
        let keeper = Keeper::new(shared.clone(), store);
        Ok((Self(Arc::new(Handle(shared))), committer, keeper))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }

    /// Waits for what was appended, makes a checkpoint and ends the threads; nothing can be changed from the call on. When
    /// the last handle is gone too, the folder can be opened again.
    pub async fn close(&self) -> Result<()> {
        let shared = self.shared();
        shared.sequencer.lock().close();
        shared.queued.notify_all();
        let mut ended = shared.ended.subscribe();
        ended
            .wait_for(|ended| *ended == THREADS)
            .await
            .map_err(|_| Error::Closed)?;
        shared.check()
    }

    /// Comes back when the log has failed, with why. The owner ends the process with an error then.
    pub async fn failed(&self) -> Error {
        let mut failure = self.shared().failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(failure) => failure.clone().unwrap_or(Error::Closed),
            Err(_) => Error::Closed,
        }
    }

    /// What time it is for the log, in milliseconds since 1970.
    pub fn now(&self) -> i64 {
        (self.shared().options.clock)()
    }

    /// The log's own id, made when its folder was new: Kafka's cluster id.
    pub fn cluster_id(&self) -> Uuid {
        self.shared().cluster
    }

    /// Makes a topic; it is durable when this comes back. Settings have Kafka's names.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: u32,
        config: &[(&str, &str)],
    ) -> Result<Topic> {
        self.room().await;
        let (topic, reply) = self.submit_topic(name, partitions, config)?;
        replied(reply).await?;
        Ok(topic)
    }

    pub(crate) fn submit_topic(
        &self,
        name: &str,
        partitions: u32,
        config: &[(&str, &str)],
    ) -> Result<(Topic, Option<Reply>)> {
        let options = &self.shared().options;
        let id = (options.ids)();
        self.change(|sequencer| {
            let defaults = &options.defaults;
            let most = options.partitions;
            let config = sequencer.check_topic(name, partitions, config, defaults, most)?;
            sequencer.create(id, name, partitions, &config)
        })
    }

    /// What [`Log::create_topic`] would refuse, without making anything.
    pub fn check_topic(&self, name: &str, partitions: u32, config: &[(&str, &str)]) -> Result<()> {
        let options = &self.shared().options;
        let sequencer = self.shared().sequencer.lock();
        let most = options.partitions;
        sequencer.check_topic(name, partitions, config, &options.defaults, most)?;
        Ok(())
    }

    /// Deletes a topic, its records and the offsets that groups committed for it.
    pub async fn delete_topic(&self, name: &str) -> Result<()> {
        replied(self.submit_delete(name)?).await
    }

    pub(crate) fn submit_delete(&self, name: &str) -> Result<Option<Reply>> {
        // Also on a full disk: it makes space.
        self.shared().check()?;
        self.sequence(|sequencer| sequencer.remove(name))
    }

    /// Gives a topic more partitions, up to `total`.
    pub async fn add_partitions(&self, name: &str, total: u32) -> Result<()> {
        self.room().await;
        let most = self.shared().options.partitions;
        replied(self.change(|sequencer| sequencer.add_partitions(name, total, most))?).await
    }

    /// Sets settings of a topic (`Some`) or gives them back their defaults (`None`), all or none.
    pub async fn alter_config(&self, name: &str, changes: &[(&str, Option<&str>)]) -> Result<()> {
        // Also on a full disk: it may make space.
        let shared = self.shared();
        shared.check()?;
        let defaults = &shared.options.defaults;
        replied(self.sequence(|sequencer| sequencer.alter(name, changes, defaults))?).await
    }

    /// What [`Log::alter_config`] would refuse, without changing anything.
    pub fn check_config(&self, name: &str, changes: &[(&str, Option<&str>)]) -> Result<()> {
        let config = self.topic(name)?.config;
        let defaults = &self.shared().options.defaults;
        config.with(defaults, changes.iter().copied()).map(drop)
    }

    /// The space of the disk in bytes: all of it, and what is left.
    pub fn space(&self) -> std::io::Result<(u64, u64)> {
        let disk = &self.shared().files.disk;
        Ok((disk.total()?, disk.free()?))
    }

    /// All topics, sorted by name.
    pub fn topics(&self) -> Vec<Topic> {
        self.shared().sequencer.lock().describe_all()
    }

    /// A topic.
    pub fn topic(&self, name: &str) -> Result<Topic> {
        let sequencer = self.shared().sequencer.lock();
        let found = sequencer.describe_one(sequencer.id(name)?);
        found.ok_or_else(|| Error::NoTopic(name.to_owned()))
    }

    /// A topic by its id.
    pub fn topic_by_id(&self, id: Uuid) -> Result<Topic> {
        let found = self.shared().sequencer.lock().describe_one(id);
        found.ok_or_else(|| Error::NoTopic(id.to_string()))
    }

    fn live(&self, topic: &str, partition: u32) -> Result<Arc<Live>> {
        let sequencer = self.shared().sequencer.lock();
        sequencer.live(topic, partition).cloned()
    }

    /// The state of a partition.
    pub fn describe(&self, topic: &str, partition: u32) -> Result<Partition> {
        Ok(self.live(topic, partition)?.describe())
    }

    /// The end of a leader epoch: the epoch itself or the newest one before it, and the offset after its last record
    /// (`OffsetForLeaderEpoch`); -1 and -1 if there is none.
    pub fn epoch_end(&self, topic: &str, partition: u32, epoch: i32) -> Result<(i32, i64)> {
        Ok(self.live(topic, partition)?.epoch_end(epoch))
    }

    /// Checks batches, gives them their offsets and puts them in the queue for the disk. The order of calls is the
    /// order of offsets; what comes later can be submitted before the first is done. Refuses with [`Error::Busy`]
    /// when too much is waiting.
    pub fn submit(
        &self,
        topic: &str,
        partition: u32,
        batches: Bytes,
        acks: Acks,
    ) -> Result<Pending> {
        self.submit_as(None, topic, partition, batches, acks)
    }

    fn submit_as(
        &self,
        part: Option<Part<'_>>,
        topic: &str,
        partition: u32,
        batches: Bytes,
        acks: Acks,
    ) -> Result<Pending> {
        match self.shared().is_crowded() {
            true => Err(Error::Busy),
            false => self.enter(part, topic, partition, batches, acks),
        }
    }

    /// Waits for room, then does as [`Log::submit`], or with a transactional id and `joins` as [`Log::submit_in`]. Bytes that
    /// nobody else has are not copied. What has to be compressed or decompressed for that is, on a thread that may block.
    pub async fn submit_with_room(
        &self,
        transaction: Option<(&str, bool)>,
        topic: &str,
        partition: u32,
        batches: Bytes,
        acks: Acks,
    ) -> Result<Pending> {
        self.room().await;
        let part = transaction.map(|(id, joins)| Part { id, joins });
        self.may_enter()?;
        let now = self.now();
        let (id, config) = self.config(topic)?;
        let checked = checked_aside(id, config, batches, now).await;
        self.enter_checked(part, partition, checked?, now, acks)
    }

    /// Submits a batch as it is.
    #[cfg(test)]
    pub(crate) fn submit_unchecked(&self, topic: &str, partition: u32, batch: &[u8]) -> Result<()> {
        let fresh = Fresh {
            head: super::batch::Head::read(batch).unwrap(),
            bytes: batch.into(),
        };
        let (id, _) = self.config(topic)?;
        let checked = (id, vec![fresh], false);
        self.enter_checked(None, partition, checked, self.now(), Acks::Durable)
            .map(drop)
    }

    /// Submits. How much may wait is looked at before: those who saw room at the same time all come in.
    fn enter(
        &self,
        part: Option<Part<'_>>,
        topic: &str,
        partition: u32,
        batches: Bytes,
        acks: Acks,
    ) -> Result<Pending> {
        self.may_enter()?;
        let now = self.now();
        let checked = self.checked(topic, batches, now)?;
        self.enter_checked(part, partition, checked, now, acks)
    }

    /// Whether anything is taken now.
    fn may_enter(&self) -> Result<()> {
        let shared = self.shared();
        shared.check()?;
        shared.has_space()
    }

    fn enter_checked(
        &self,
        part: Option<Part<'_>>,
        partition: u32,
        (id, batches, stamped): Checked,
        now: i64,
        acks: Acks,
    ) -> Result<Pending> {
        let shared = self.shared();
        let place = (id, partition);
        let sequel =
            self.sequence(|sequencer| sequencer.append(place, batches, part, now, stamped, acks));
        let (appended, wait) = match sequel? {
            Sequel::Queued(appended, reply) => (appended, reply.map_or(Wait::Nothing, Wait::Reply)),
            Sequel::Again(appended, lsn) => match acks {
                Acks::None => (appended, Wait::Nothing),
                _ => (appended, Wait::Lsn(shared.clone(), lsn)),
            },
        };
        Ok(Pending { appended, wait })
    }

    /// A topic's id and settings.
    fn config(&self, topic: &str) -> Result<(Uuid, Arc<TopicConfig>)> {
        let sequencer = self.shared().sequencer.lock();
        Ok((sequencer.id(topic)?, sequencer.topic(topic)?.config.clone()))
    }

    fn checked(&self, topic: &str, batches: Bytes, now: i64) -> Result<Checked> {
        let (id, config) = self.config(topic)?;
        checked(id, &config, batches, now)
    }

    /// Decides something that takes space. Who calls has waited for [`Log::room`].
    fn change<T>(
        &self,
        decide: impl FnOnce(&mut super::sequencer::Sequencer) -> Result<T>,
    ) -> Result<T> {
        self.shared().check()?;
        self.shared().has_space()?;
        self.sequence(decide)
    }

    fn sequence<T>(
        &self,
        decide: impl FnOnce(&mut super::sequencer::Sequencer) -> Result<T>,
    ) -> Result<T> {
        let decided = decide(&mut self.shared().sequencer.lock());
        self.shared().queued.notify_one();
        match decided {
            // A log that failed is closed too; why is what matters.
            Err(Error::Closed) => Err(self.shared().check().err().unwrap_or(Error::Closed)),
            decided => decided,
        }
    }

    /// Waits until [`Log::submit`] would not refuse with [`Error::Busy`].
    pub async fn room(&self) {
        let shared = self.shared();
        let mut room = shared.room.subscribe();
        loop {
            room.borrow_and_update();
            if !shared.is_crowded() || shared.is_full() || shared.check().is_err() {
                return;
            }
            if room.changed().await.is_err() {
                return;
            }
        }
    }

    /// [`Log::submit_with_room`] and [`Pending::done`].
    pub async fn append(
        &self,
        topic: &str,
        partition: u32,
        batches: Bytes,
        acks: Acks,
    ) -> Result<Appended> {
        let submitted = self.submit_with_room(None, topic, partition, batches, acks);
        submitted.await?.done().await
    }

    /// Reads whole batches from the one that has `offset`, until `max_bytes` are reached, but always one. Nothing at
    /// the high watermark, or at the last stable offset for a reader of committed records. May read from the disk.
    pub fn read(
        &self,
        topic: &str,
        partition: u32,
        offset: i64,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Read> {
        let live = self.live(topic, partition)?;
        let read = live.read(&self.shared().files, offset, max_bytes, isolation);
        told(&live, topic, partition, read)
    }

    /// As [`Log::read`], from memory alone: `None` where the disk would have to be read.
    pub fn read_recent(
        &self,
        topic: &str,
        partition: u32,
        offset: i64,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Option<Read>> {
        let live = self.live(topic, partition)?;
        let read = live.read_recent(offset, max_bytes, isolation);
        told(&live, topic, partition, read)
    }

    /// The first record whose timestamp is at least this, or `None`. May read from the disk, and decompresses the batch that
    /// it is found in.
    pub fn offset_for_time(
        &self,
        topic: &str,
        partition: u32,
        timestamp: i64,
    ) -> Result<Option<Found>> {
        let live = self.live(topic, partition)?;
        let found = live.find_time(&self.shared().files, |time| time >= timestamp);
        told(&live, topic, partition, found)
    }

    /// The record with the largest timestamp (`ListOffsets` with -3), or `None` if there is no record. May read from
    /// the disk.
    pub fn offset_of_max_time(&self, topic: &str, partition: u32) -> Result<Option<Found>> {
        let live = self.live(topic, partition)?;
        let found = live.max_time(&self.shared().files);
        told(&live, topic, partition, found)
    }

    /// The high watermark of a partition, as it moves. The sender goes away with the topic or the log.
    pub fn watch(&self, topic: &str, partition: u32) -> Result<watch::Receiver<i64>> {
        Ok(self.live(topic, partition)?.watch())
    }

    /// Tells a partition from one of the same name and number in a topic that is made later.
    pub fn presence(&self, topic: &str, partition: u32) -> Result<Presence> {
        Ok(Presence(self.live(topic, partition)?))
    }

    /// Makes `before` the first offset of a partition; -1 is the high watermark. Gives the first offset that is
    /// there then.
    pub async fn delete_records(&self, topic: &str, partition: u32, before: i64) -> Result<i64> {
        let (start, reply) = self.submit_start(topic, partition, before)?;
        replied(reply).await?;
        Ok(start)
    }

    pub(crate) fn submit_start(
        &self,
        topic: &str,
        partition: u32,
        before: i64,
    ) -> Result<(i64, Option<Reply>)> {
        // Also on a full disk: it makes space.
        self.shared().check()?;
        let live = self.live(topic, partition)?;
        live.usable()?;
        let known = live.describe();
        let before = match before {
            -1 => known.high_watermark,
            before => before,
        };
        if !(0..=known.high_watermark).contains(&before) {
            return Err(Error::OffsetOutOfRange {
                offset: before,
                log_start: known.log_start,
                high_watermark: known.high_watermark,
            });
        }
        self.sequence(|sequencer| {
            let id = sequencer.id(topic)?;
            sequencer.start_at(id, partition, before)
        })
    }

    /// Keeps offsets of a group; they are durable when this comes back. `fence` is asked at the moment that decides
    /// the order of commits: whether who commits is still the one to (it must not block, nor call the log);
    /// [`Error::Fenced`] if not. A group is there as long as it has offsets.
    pub async fn commit_offsets(
        &self,
        group: &str,
        offsets: Offsets,
        fence: impl FnOnce() -> bool + Send,
    ) -> Result<()> {
        self.room().await;
        replied(self.submit_offsets(group, offsets, fence)?).await
    }

    pub(crate) fn submit_offsets(
        &self,
        group: &str,
        offsets: Offsets,
        fence: impl FnOnce() -> bool,
    ) -> Result<Option<Reply>> {
        let now = (self.shared().options.clock)();
        let event = committed(group, offsets, now)?;
        self.change(|sequencer| match fence() {
            true => sequencer.note(event),
            false => Err(Error::Fenced),
        })
    }

    /// Appends outputs and keeps the offsets of the inputs they came from: after any crash all of it is there, or
    /// nothing. Answers the place of each output.
    pub async fn commit_batch(
        &self,
        outputs: Vec<Output>,
        group: &str,
        offsets: Offsets,
        fence: impl FnOnce() -> bool + Send,
    ) -> Result<Vec<Appended>> {
        self.room().await;
        let now = self.now();
        fits_commit(&outputs)?;
        let mut checked = Vec::with_capacity(outputs.len());
        for output in outputs {
            let (id, config) = self.config(&output.topic)?;
            let batches = checked_aside(id, config, output.batches, now).await?;
            checked.push((output.partition, batches));
        }
        let (appended, reply) = self.enter_batch(checked, group, offsets, now, fence)?;
        replied(reply).await?;
        Ok(appended)
    }

    #[cfg(test)]
    pub(crate) fn submit_batch(
        &self,
        outputs: Vec<Output>,
        group: &str,
        offsets: Offsets,
        fence: impl FnOnce() -> bool,
    ) -> Result<(Vec<Appended>, Option<Reply>)> {
        let now = self.now();
        fits_commit(&outputs)?;
        let check = |output: Output| {
            let batches = self.checked(&output.topic, output.batches, now)?;
            Ok((output.partition, batches))
        };
        let checked = outputs.into_iter().map(check).collect::<Result<Vec<_>>>()?;
        self.enter_batch(checked, group, offsets, now, fence)
    }

    fn enter_batch(
        &self,
        outputs: Vec<(u32, Checked)>,
        group: &str,
        offsets: Offsets,
        now: i64,
        fence: impl FnOnce() -> bool,
    ) -> Result<(Vec<Appended>, Option<Reply>)> {
        let event = committed(group, offsets, now)?;
        let outputs = outputs
            .into_iter()
            .map(|(partition, (id, fresh, stamped))| (id, partition, fresh, stamped))
            .collect();
        self.change(|sequencer| match fence() {
            true => sequencer.commit(outputs, event, now),
            false => Err(Error::Fenced),
        })
    }

    /// The offsets of a group, empty if there is no such group. Everything that was committed before this call,
    /// acknowledged or not, is among them and durable.
    pub async fn offsets(&self, group: &str) -> Result<Offsets> {
        let shared = self.shared();
        let last = shared.sequencer.lock().last_lsn();
        reach(shared, last).await?;
        let groups = shared.groups.read();
        Ok(groups.offsets.get(group).cloned().unwrap_or_default())
    }

    #[cfg(test)]
    pub(crate) fn offsets_now(&self, group: &str) -> Offsets {
        let groups = self.shared().groups.read();
        groups.offsets.get(group).cloned().unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn durable_lsn(&self) -> u64 {
        let synced = &self.shared().synced;
        synced.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Why the log has stopped, if it has.
    #[cfg(test)]
    pub(crate) fn check(&self) -> Result<()> {
        self.shared().check()
    }

    /// The groups that have offsets, sorted.
    pub fn groups(&self) -> Vec<String> {
        self.shared()
            .groups
            .read()
            .offsets
            .keys()
            .cloned()
            .collect()
    }

    /// Whether a group has offsets.
    pub fn has_group(&self, group: &str) -> bool {
        self.shared().groups.read().offsets.contains_key(group)
    }

    /// Forgets a group's offsets. `fence` as in [`Log::commit_offsets`]: whether the group is empty.
    pub async fn delete_group(
        &self,
        group: &str,
        fence: impl FnOnce() -> bool + Send,
    ) -> Result<()> {
        if !self.has_group(group) {
            return Err(Error::NoGroup(group.to_owned()));
        }
        let event = Event::Forget {
            group: group.to_owned(),
            places: Vec::new(),
        };
        self.shared().check()?;
        let reply = self.sequence(|sequencer| match fence() {
            true => sequencer.note(event),
            false => Err(Error::Fenced),
        })?;
        replied(reply).await
    }

    /// Keeps who is in a group; it is durable when this comes back. `decide` is asked at the moment that decides the order of
    /// everything (it must not block, nor call the log), so what is kept last is what was so last.
    pub async fn keep_members(
        &self,
        group: &str,
        decide: impl FnOnce() -> Membership + Send,
    ) -> Result<()> {
        self.room().await;
        replied(self.submit_members(group, decide)?).await
    }

    /// As [`Log::keep_members`], without waiting for anything. Nobody is kept on a full disk, but that nobody is there is.
    pub(crate) fn submit_members(
        &self,
        group: &str,
        decide: impl FnOnce() -> Membership,
    ) -> Result<Option<Reply>> {
        short("the name of a group", group.len(), GROUP)?;
        self.shared().check()?;
        let space = self.shared().has_space();
        self.sequence(|sequencer| {
            let members = match decide() {
                Membership::AsBefore => return Ok(None),
                Membership::Nobody => None,
                Membership::These(members) => {
                    space?;
                    short("what is said of a group's members", members.len(), COMMIT)?;
                    Some(members)
                }
            };
            let group = group.to_owned();
            sequencer.note(Event::Members { group, members })
        })
    }

    /// The groups that have members, with what was kept of these.
    pub fn members(&self) -> Vec<(String, Bytes)> {
        let groups = self.shared().groups.read();
        let members = groups.members.iter();
        members
            .map(|(group, members)| (group.clone(), members.clone()))
            .collect()
    }

    /// Forgets some of a group's offsets; those that are not there are no error. `fence` as in [`Log::commit_offsets`].
    pub async fn delete_offsets(
        &self,
        group: &str,
        places: &[Place],
        fence: impl FnOnce() -> bool + Send,
    ) -> Result<()> {
        if places.is_empty() {
            return Ok(());
        }
        self.room().await;
        let event = Event::Forget {
            group: group.to_owned(),
            places: places.to_vec(),
        };
        let reply = self.change(|sequencer| match fence() {
            true => sequencer.note(event),
            false => Err(Error::Fenced),
        })?;
        replied(reply).await
    }

    /// Forgets the offsets of a group that were committed before this time, in milliseconds since 1970. `fence` as in
    /// [`Log::commit_offsets`]: whether nobody is in the group.
    pub async fn expire_offsets(
        &self,
        group: &str,
        before: i64,
        fence: impl FnOnce() -> bool + Send,
    ) -> Result<()> {
        self.room().await;
        let event = Event::Expired {
            group: group.to_owned(),
            before,
        };
        let reply = self.change(|sequencer| match fence() {
            true => sequencer.note(event),
            false => Err(Error::Fenced),
        })?;
        replied(reply).await
    }

    /// Says that the offsets of a group do not expire as long as the log is open, whoever reads with it: it has no members
    /// that a broker knows.
    pub fn keep_group(&self, group: &str) {
        self.occupy_group(group, None);
    }

    /// As [`Log::keep_group`], and says which topic is read for the group in this process from now on, or that none is. As
    /// long as one is, nobody else shall change the group's offsets: whoever serves others asks [`Log::occupied_group`].
    pub fn occupy_group(&self, group: &str, topic: Option<&str>) {
        let (group, topic) = (group.to_owned(), topic.map(str::to_owned));
        self.shared().kept_groups.lock().insert(group, topic);
    }

    /// The topic that is read for a group in this process. Does not block: a fence may ask.
    pub fn occupied_group(&self, group: &str) -> Option<String> {
        let groups = self.shared().kept_groups.lock();
        groups.get(group).cloned().flatten()
    }

    /// The groups for which topics are read in this process.
    pub fn occupied_groups(&self) -> Vec<String> {
        let groups = self.shared().kept_groups.lock();
        let occupied = groups.iter().filter(|(_, topic)| topic.is_some());
        occupied.map(|(group, _)| group.clone()).collect()
    }

    /// Takes back [`Log::keep_group`] and [`Log::occupy_group`].
    pub fn release_group(&self, group: &str) {
        self.shared().kept_groups.lock().remove(group);
    }

    /// Whether the offsets of a group do not expire.
    pub fn keeps_group(&self, group: &str) -> bool {
        self.shared().kept_groups.lock().contains_key(group)
    }

    /// A producer id that was never given before; its epoch is 0.
    pub async fn init_producer_id(&self) -> Result<i64> {
        self.room().await;
        let (id, lsn) = self.submit_producer()?;
        reach(self.shared(), lsn).await?;
        Ok(id)
    }

    /// A producer id, and the frame that must be durable before it may be given.
    pub(crate) fn submit_producer(&self) -> Result<(i64, u64)> {
        self.change(|sequencer| sequencer.producer_id())
    }
}

/// What was read; of damage the log of the server is told once a partition.
fn told<T>(live: &Live, topic: &str, partition: u32, read: Result<T>) -> Result<T> {
    if let Err(error @ Error::Damaged { path, at, .. }) = &read
        && live.note_damage()
    {
        tracing::warn!(topic, partition, file = path, at, %error, "a partition is damaged");
    }
    read
}

/// As [`checked`], on a thread that may block if it takes its time.
async fn checked_aside(
    id: Uuid,
    config: Arc<TopicConfig>,
    batches: Bytes,
    now: i64,
) -> Result<Checked> {
    if !admission::packs(&batches, &config) {
        return checked(id, &config, batches, now);
    }
    let check = move || checked(id, &config, batches, now);
    let checked = tokio::task::spawn_blocking(check).await;
    checked.unwrap_or_else(|error| {
        tracing::error!(%error, "batches were not checked to the end");
        Err(Error::Closed)
    })
}

fn checked(id: Uuid, config: &TopicConfig, batches: Bytes, now: i64) -> Result<Checked> {
    short("an append", batches.len(), COMMIT)?;
    let fresh = admission::check(batches, config, now)?;
    Ok((id, fresh, config.log_append_time))
}

fn fits_commit(outputs: &[Output]) -> Result<()> {
    let bytes = outputs.iter().map(|output| output.batches.len()).sum();
    short("a commit", bytes, COMMIT)
}

fn short(what: &'static str, bytes: usize, most: usize) -> Result<()> {
    match bytes > most {
        true => Err(Error::TooLong { what, bytes, most }),
        false => Ok(()),
    }
}

fn committed(group: &str, offsets: Offsets, at: i64) -> Result<Event> {
    short("the name of a group", group.len(), GROUP)?;
    for committed in offsets.values() {
        short(
            "what stands beside an offset",
            committed.metadata.len(),
            METADATA,
        )?;
    }
    let bytes: usize = offsets.iter().map(offset_size).sum();
    short("a commit", bytes, COMMIT)?;
    let offsets = offsets
        .into_iter()
        .map(|(place, mut committed)| {
            committed.at = at;
            (place, committed)
        })
        .collect();
    Ok(Event::Offsets {
        group: group.to_owned(),
        offsets,
    })
}
