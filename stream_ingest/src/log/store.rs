//! Laying down what is durable: batches go from the write-ahead log's rounds into segments, and the image follows. Once
//! segments and image are on the disk too, the write-ahead log before them is removed.

use super::batch::Head;
use super::checkpoint;
use super::cleaner::{self, Facts, Job, Last, Replaced};
use super::disk::{File, is_full};
use super::event::Event;
use super::files::Files;
use super::image::{Image, PartitionImage, folder};
use super::partition::Live;
use super::partition::segment::{Segment, index_path};
use super::topics::TopicConfig;
use super::types::Options;
use super::wal::{self, Spare};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;
use uuid::Uuid;

/// Files with unsynced bytes after which a checkpoint is made, so that not too many are open.
const MOST_DIRTY: usize = 512;

/// Files and folders that are synced one by one; more are synced with all that the disk has.
const FEW: usize = if cfg!(test) { 3 } else { 64 };

/// Bytes given to the system in one write.
const ONE_WRITE: usize = 8 << 20;

/// A file that is kept to be given up when the disk is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reserve {
    /// For what was taken and has to be written.
    Begun,
    /// For a checkpoint, without which no file can go.
    Checkpoint,
}

impl Reserve {
    fn path(self) -> &'static str {
        match self {
            Self::Begun => "reserve",
            Self::Checkpoint => "reserve.checkpoint",
        }
    }
}

/// Space is given in blocks; no disk in use has larger ones.
const BLOCK: u64 = 4096;

/// A partition that is to begin later than it does.
pub(crate) struct Start {
    topic: Uuid,
    /// All of them, if none is named.
    partition: Option<u32>,
    offset: i64,
    live: Option<Arc<Live>>,
}

impl Start {
    /// What an event says of that.
    pub fn of(event: &Event, live: Option<&Arc<Live>>) -> Option<Self> {
        let (topic, partition, offset) = match event {
            Event::Start {
                topic,
                partition,
                offset,
            } => (*topic, Some(*partition), *offset),
            Event::Removed { id, .. } => (*id, None, i64::MAX),
            _ => return None,
        };
        let live = live.cloned();
        Some(Self {
            topic,
            partition,
            offset,
            live,
        })
    }
}

/// Segments, and the state that they belong to.
pub(crate) struct Store {
    pub files: Arc<Files>,
    pub options: Options,
    pub image: Image,
    /// Bytes of the last checkpoint, as far as this knows it.
    image_bytes: u64,
    /// Whether batches of topics that are not there are skipped: only in a repair.
    pub lenient: bool,
    /// Whether ends of transactions may be among what is lost: only in a repair.
    pub lost_ends: bool,
    /// Whether what is planned was once before, as far as a checkpoint in the middle of it came: only in a recovery.
    pub replays: bool,
    /// Topics whose batches were skipped in a recovery because they are not there, and whose removal was not met yet.
    pub unexplained: BTreeSet<Uuid>,
    /// What is to be done, in order.
    plan: VecDeque<Step>,
    /// Where in the plan batches of a partition can still be added.
    open: HashMap<(Uuid, u32), u64>,
    /// Steps that were taken from the plan's front.
    done: u64,
    dirty: BTreeMap<String, Arc<dyn File>>,
    dirty_folders: BTreeSet<String>,
    /// For every partition of a topic that compacts the bytes that were not yet, when that was looked at last.
    pub uncompacted: Vec<((Uuid, u32), u64)>,
    /// Partitions in which something cannot be read.
    pub uncompactable: BTreeSet<(Uuid, u32)>,
    /// Whether the image changed since the last checkpoint by something else than what was planned.
    replaced: bool,
    /// Bytes in segments since the last checkpoint.
    pub since: u64,
    /// The LSN of the last checkpoint.
    pub checkpointed: u64,
    /// Batches in memory, the oldest first; a partition that was deleted has let go of its own.
    recent: VecDeque<(Weak<Live>, usize)>,
    cached: usize,
}

enum Step {
    Write {
        place: (Uuid, u32),
        live: Option<Arc<Live>>,
        batches: VecDeque<(Head, Bytes, i64)>,
    },
    Event(Event, Option<Arc<Live>>),
    Reached(u64),
}

impl Store {
    pub fn new(files: Arc<Files>, options: Options, image: Image) -> Self {
        Self {
            files,
            options,
            checkpointed: image.lsn,
            image,
            image_bytes: 0,
            lenient: false,
            lost_ends: false,
            replays: false,
            unexplained: BTreeSet::new(),
            plan: VecDeque::new(),
            open: HashMap::new(),
            done: 0,
            dirty: BTreeMap::new(),
            dirty_folders: BTreeSet::new(),
            uncompacted: Vec::new(),
            uncompactable: BTreeSet::new(),
            replaced: false,
            since: 0,
            recent: VecDeque::new(),
            cached: 0,
        }
    }

    /// Puts an event into the plan.
    pub fn plan(&mut self, event: Event, live: Option<Arc<Live>>) {
        match event {
            Event::Append {
                topic,
                partition,
                at,
                batch,
            } => {
                // Checked before it was appended, or by the frame's sum.
                let Some(head) = Head::read(&batch) else {
                    return;
                };
                let place = (topic, partition);
                let step = self
                    .open
                    .get(&place)
                    .and_then(|&step| step.checked_sub(self.done))
                    .and_then(|step| self.plan.get_mut(step as usize));
                match step {
                    Some(Step::Write { batches, .. }) => batches.push_back((head, batch, at)),
                    _ => {
                        self.open.insert(place, self.done + self.plan.len() as u64);
                        self.plan.push_back(Step::Write {
                            place,
                            live,
                            batches: [(head, batch, at)].into(),
                        });
                    }
                }
            }
            event => {
                let independent = matches!(
                    event,
                    Event::Offsets { .. }
                        | Event::Forget { .. }
                        | Event::Expired { .. }
                        | Event::Producers { .. }
                        | Event::Owner { .. }
                        | Event::Joined { .. }
                        | Event::Pending { .. }
                );
                if !independent {
                    self.open.clear();
                }
                self.plan.push_back(Step::Event(event, live));
            }
        }
    }

    /// Says that the plan has all events of the frames up to this.
    pub fn reached(&mut self, lsn: u64) {
        self.plan.push_back(Step::Reached(lsn));
    }

    /// Does what is planned. After an error the rest is still planned, and doing it again goes on where this stopped.
    pub fn execute(&mut self) -> io::Result<()> {
        self.open.clear();
        while let Some(mut step) = self.plan.pop_front() {
            let result = match &mut step {
                Step::Write {
                    place,
                    live,
                    batches,
                } => self.write(*place, live.as_ref(), batches),
                Step::Event(event, live) => {
                    self.apply(event, live.as_deref());
                    Ok(())
                }
                Step::Reached(lsn) => {
                    self.image.lsn = *lsn;
                    Ok(())
                }
            };
            if let Err(error) = result {
                self.plan.push_front(step);
                return Err(error);
            }
            self.done += 1;
        }
        Ok(())
    }

    /// Writes batches into a partition's segments, taking from the front what is written.
    fn write(
        &mut self,
        (topic, index): (Uuid, u32),
        live: Option<&Arc<Live>>,
        batches: &mut VecDeque<(Head, Bytes, i64)>,
    ) -> io::Result<()> {
        let config = match self.image.topics.get(&topic) {
            Some(topic) if (index as usize) < topic.partitions.len() => topic.config.clone(),
            _ if self.lenient => {
                batches.clear();
                return Ok(());
            }
            None if self.replays => {
                if self.unexplained.insert(topic) {
                    tracing::warn!(%topic, "batches of a topic are skipped: it was removed after them");
                }
                batches.clear();
                return Ok(());
            }
            _ => {
                return Err(io::Error::other(format!(
                    "a batch belongs to {topic}-{index}, which is not there"
                )));
            }
        };
        let folder = folder(topic, index);
        while let Some((head, _, at)) = batches.front() {
            let Some(partition) = self.image.partition(topic, index) else {
                return Ok(());
            };
            if head.base_offset < partition.next {
                // Laid down before a checkpoint that was made in the middle of a round.
                batches.pop_front();
                continue;
            }
            if self.lost_ends && head.base_offset > partition.next {
                // Whatever was open may have ended in what is missing, and nobody knows how.
                let lost = partition.end_lost(head.base_offset, *at);
                if !lost.is_empty() {
                    for marker in lost.into_iter().rev() {
                        batches.push_front(marker);
                    }
                    continue;
                }
            }
            let segment = match partition.segments.last() {
                Some(last)
                    if head.base_offset == partition.next && !full(last, &config, head, *at) =>
                {
                    last.clone()
                }
                last => {
                    if let Some(last) = last {
                        last.seal(&self.files);
                    } else {
                        self.files.disk.create_folder(&folder)?;
                        self.dirty_folders.insert("topics".to_owned());
                    }
                    let segment =
                        Arc::new(Segment::new(&folder, head.base_offset, head.leader_epoch));
                    let file = self.files.create(&segment.path)?;
                    self.dirty.insert(segment.path.clone(), file);
                    self.dirty_folders.insert(folder.clone());
                    partition.segments.push(segment.clone());
                    // An empty one of the same name may have been let go when the disk was full.
                    self.image.doomed.retain(|path| *path != segment.path);
                    segment
                }
            };
            let mut bytes = 0;
            let mut next = head.base_offset;
            let extent = segment.extent();
            let first_at = match extent.bytes {
                0 => *at,
                _ => extent.first_at,
            };
            let count = batches
                .iter()
                .take_while(|(head, batch, at)| {
                    let first = bytes == 0;
                    let follows = head.base_offset == next && head.leader_epoch == extent.epoch;
                    next = head.last_offset() + 1;
                    bytes += batch.len();
                    first
                        || follows
                            && bytes <= ONE_WRITE
                            && extent.bytes + bytes as u64 <= config.segment_bytes
                            && in_time(first_at, *at, &config)
                            && head.last_offset() - segment.base <= i64::from(i32::MAX)
                })
                .count();
            if self.has_many_open() {
                self.sync()?;
            }
            let some = &batches.make_contiguous()[..count];
            segment.append(&self.files, some)?;
            if !self.dirty.contains_key(&segment.path) {
                let file = self.files.get(&segment.path)?;
                self.dirty.insert(segment.path.clone(), file);
            }
            let Some(partition) = self.image.partition(topic, index) else {
                return Ok(());
            };
            for (head, batch, at) in batches.drain(..count) {
                partition.appended(&head, &batch, at);
                self.since += batch.len() as u64;
                if let Some(live) = live {
                    self.recent.push_back((Arc::downgrade(live), batch.len()));
                    self.cached += batch.len();
                }
            }
            if let Some(live) = live {
                live.lay(&partition.segments, partition.next);
            }
        }
        while self.cached > self.options.cache_bytes {
            let Some((live, bytes)) = self.recent.pop_front() else {
                break;
            };
            if let Some(live) = live.upgrade() {
                live.forget_oldest();
            }
            self.cached -= bytes;
        }
        Ok(())
    }

    fn apply(&mut self, event: &Event, live: Option<&Live>) {
        self.image.apply(event, &self.options.defaults);
        match event {
            Event::Start {
                topic, partition, ..
            } => drop(self.let_go(*topic, *partition, live)),
            // It was removed already when the checkpoint was made, in the middle of the round that removes it.
            Event::Removed { id, .. } => drop(self.unexplained.remove(id)),
            _ => {}
        }
    }

    /// Lets go of the segments that are before the start of a partition; whether there are any.
    fn let_go(&mut self, topic: Uuid, partition: u32, live: Option<&Live>) -> bool {
        let Some(found) = self.image.partition(topic, partition) else {
            return false;
        };
        let gone = gone(found);
        if gone == 0 {
            return false;
        }
        let doomed: Vec<Arc<Segment>> = found.segments.drain(..gone).collect();
        if let Some(live) = live {
            live.lay(&found.segments, found.next);
        }
        for segment in doomed {
            self.dirty.remove(&segment.path);
            self.image.doomed.push(segment.path.clone());
        }
        true
    }

    /// Partitions that begin later once everything planned is done.
    pub fn planned_starts(&self) -> Vec<Start> {
        let starts = self.plan.iter().filter_map(|step| match step {
            Step::Event(event, live) => Start::of(event, live.as_ref()),
            Step::Write { .. } | Step::Reached(_) => None,
        });
        starts.collect()
    }

    /// Lets partitions begin where they will, before the turn of that, as far as they are laid down; whether that makes
    /// segments unneeded. What is replayed after a crash moves the start again, to the same place.
    pub fn give_way(&mut self, starts: &[Start]) -> bool {
        let mut any = false;
        for start in starts {
            let count = match self.image.topics.get(&start.topic) {
                Some(topic) => topic.partitions.len() as u32,
                None => continue,
            };
            let partitions = match start.partition {
                Some(partition) => partition..partition + 1,
                None => 0..count,
            };
            for index in partitions {
                let Some(partition) = self.image.partition(start.topic, index) else {
                    continue;
                };
                let offset = start.offset.min(partition.next);
                let event = Event::Start {
                    topic: start.topic,
                    partition: index,
                    offset,
                };
                self.image.apply(&event, &self.options.defaults);
                any |= self.let_go(start.topic, index, start.live.as_deref());
            }
        }
        self.replaced |= any;
        any
    }

    /// Whether anything happened since the last checkpoint.
    pub fn is_changed(&self) -> bool {
        let closes = self.image.closed;
        self.image.lsn != self.checkpointed || self.since > 0 || self.replaced || closes
    }

    /// Whether enough was laid down for a checkpoint.
    pub fn is_due(&self) -> bool {
        self.since >= self.options.checkpoint_bytes || self.has_many_open()
    }

    fn has_many_open(&self) -> bool {
        self.dirty.len() >= MOST_DIRTY.min(self.files.disk.most_open())
    }

    /// Makes everything that is laid down durable. An error is the end: what the system has of these files is not
    /// known any more.
    pub fn sync(&mut self) -> io::Result<()> {
        let together = match self.dirty.len() + self.dirty_folders.len() > FEW {
            true => match self.files.disk.sync() {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => false,
                synced => {
                    synced?;
                    true
                }
            },
            false => false,
        };
        if !together {
            for file in self.dirty.values() {
                file.sync()?;
            }
            for folder in &self.dirty_folders {
                self.files.disk.sync_folder(folder)?;
            }
        }
        self.dirty.clear();
        self.dirty_folders.clear();
        Ok(())
    }

    /// After [`Store::sync`]: writes the image, so that the write-ahead log before it is not needed any more.
    pub fn keep_image(&mut self) -> io::Result<()> {
        self.image_bytes = checkpoint::write(&*self.files.disk, &self.image)?;
        self.since = 0;
        self.replaced = false;
        self.checkpointed = self.image.lsn;
        Ok(())
    }

    /// After [`Store::keep_image`]: removes what the image does not need, segments and files of the write-ahead log;
    /// `wal_files` are the first LSNs of those that are there. Nothing is lost if this fails.
    /// A file that can be used again becomes the spare one.
    pub fn clean(&mut self, wal_files: &mut VecDeque<u64>, spare: Option<&Spare>) {
        while let [first, next, ..] = wal_files.make_contiguous()
            && *next <= self.checkpointed + 1
        {
            let kept = spare.map_or(Ok(false), |spare| spare.recycle(*first));
            let gone = kept.and_then(|kept| match kept {
                true => Ok(()),
                false => self.files.remove(&wal::path(*first)),
            });
            if let Err(error) = gone {
                tracing::warn!(file = wal::path(*first), %error, "a file could not be removed");
                break;
            }
            wal_files.pop_front();
        }
        for path in std::mem::take(&mut self.image.doomed) {
            if let Err(error) = self.remove(&path) {
                tracing::warn!(%path, %error, "a file could not be removed");
                self.image.doomed.push(path);
            }
        }
    }

    /// Removes a segment, or the folder of a partition. The next image forgets it, so that is durable before.
    pub fn remove(&mut self, path: &str) -> io::Result<()> {
        match path.ends_with(".log") {
            true => {
                let there = self.files.disk.open(path).is_ok();
                self.files.remove(path)?;
                self.files.remove(&index_path(path))?;
                if !there {
                    // Its folder may be gone, too.
                    return Ok(());
                }
            }
            false => remove_folder(&self.files, path)?,
        }
        let (folder, _) = path.rsplit_once('/').unwrap_or_default();
        self.dirty_folders.remove(path);
        self.changed(folder.to_owned());
        Ok(())
    }

    /// Says that files were removed from a folder.
    pub fn changed(&mut self, folder: String) {
        self.dirty_folders.insert(folder);
    }

    /// Seals the segments that are written to, when the log is closed.
    pub fn seal(&self) {
        for topic in self.image.topics.values() {
            for partition in &topic.partitions {
                if let Some(last) = partition.segments.last() {
                    last.seal(&self.files);
                }
            }
        }
    }

    /// Where partitions should begin: what is too old or too much goes, by whole segments.
    pub fn outdated(&self, now: i64) -> Vec<(Uuid, u32, i64)> {
        let mut starts = Vec::new();
        for (id, topic) in &self.image.topics {
            if !topic.config.delete {
                continue;
            }
            for (index, partition) in topic.partitions.iter().enumerate() {
                if partition.refused.is_some() {
                    continue;
                }
                if let Some(start) = retained_from(partition, &topic.config, now) {
                    starts.push((*id, index as u32, start));
                }
            }
        }
        starts
    }

    /// What is to be compacted first, if anything is. `spare` are the bytes that others need on the disk.
    pub fn next_job(&mut self, now: i64, spare: u64) -> Option<Job> {
        self.uncompacted.clear();
        let mut first: Option<(Due, (Uuid, u32))> = None;
        for (id, topic) in &self.image.topics {
            if !topic.config.compact {
                continue;
            }
            for (index, partition) in topic.partitions.iter().enumerate() {
                let place = (*id, index as u32);
                if partition.refused.is_some() || self.uncompactable.contains(&place) {
                    continue;
                }
                if let Some(last) = partition.segments.last()
                    && !last.is_ended()
                    && last.bytes() > 0
                    && !in_time(last.extent().first_at, now, &topic.config)
                {
                    last.end();
                    last.seal(&self.files);
                }
                let (due, bytes) = Due::of(partition, &topic.config, now);
                self.uncompacted.push((place, bytes));
                let before = first.as_ref().map(|(due, _)| due.urgency);
                if let Some(due) = due
                    && before.is_none_or(|before| before.total_cmp(&due.urgency).is_lt())
                {
                    first = Some((due, place));
                }
            }
        }
        let (due, place) = first?;
        self.job(&due, place, now, spare)
    }

    fn job(&self, due: &Due, place: (Uuid, u32), now: i64, spare: u64) -> Option<Job> {
        let topic = self.image.topics.get(&place.0)?;
        let partition = topic.partitions.get(place.1 as usize)?;
        let mut facts = Facts {
            now,
            delete_retention: millis(topic.config.delete_retention),
            ..Facts::default()
        };
        for (producer, first, last) in partition.decisions.spans(due.to) {
            facts
                .aborted
                .entry(producer)
                .or_default()
                .push((first, last));
        }
        let lasts = partition.producers.lasts();
        facts.last.extend(lasts.map(|(id, offset, epoch)| {
            let last = offset.map_or(Last::Epoch(epoch), Last::Record);
            (id, last)
        }));
        Some(Job {
            place,
            folder: folder(place.0, place.1),
            segments: partition.segments[..due.segments].to_vec(),
            from: from(partition),
            to: due.to,
            segment_bytes: topic.config.segment_bytes,
            keys: self.options.compaction_keys,
            spare,
            facts,
        })
    }

    /// Puts a compacted segment in the place of others, if they are still there; whether they were.
    pub fn replace(&mut self, replaced: Replaced, live: Option<&Live>) -> bool {
        let found = self.image.partition(replaced.place.0, replaced.place.1);
        let at = found.as_ref().and_then(|partition| {
            let mut windows = partition.segments.windows(replaced.old.len());
            windows.position(|there| {
                let mut pairs = there.iter().zip(&replaced.old);
                pairs.all(|(there, old)| Arc::ptr_eq(there, old))
            })
        });
        let (Some(partition), Some(at)) = (found, at) else {
            // Retention was quicker, or the topic is gone.
            if let Some(new) = &replaced.new {
                cleaner::forget(&self.files, new);
            }
            return false;
        };
        let until = at + replaced.old.len();
        partition
            .segments
            .splice(at..until, replaced.new.iter().cloned());
        partition.decisions.forget(&replaced.markers);
        if let Some(live) = live {
            live.replace(&partition.segments, replaced.end, &replaced.markers);
        }
        for segment in replaced.old {
            self.dirty.remove(&segment.path);
            self.image.doomed.push(segment.path.clone());
        }
        self.since += replaced.new.map_or(0, |segment| segment.bytes());
        self.replaced = true;
        true
    }

    /// Takes note that a partition is compacted up to this offset; whether that is news.
    pub fn compacted(&mut self, (topic, index): (Uuid, u32), to: i64) -> bool {
        match self.image.partition(topic, index) {
            Some(partition) if partition.compacted < to => {
                partition.compacted = to;
                self.replaced = true;
                true
            }
            _ => false,
        }
    }

    /// Forgets producers that were silent for long.
    pub fn expire_producers(&mut self, before: i64) {
        for topic in self.image.topics.values_mut() {
            for partition in &mut topic.partitions {
                partition.producers.expire(before);
            }
        }
    }

    /// Keeps files to give up when the disk is full.
    pub fn reserve(&self) -> io::Result<()> {
        let bytes = self.options.reserve_bytes;
        if bytes == 0 {
            return Ok(());
        }
        // The next may be longer than the last was.
        let checkpoint = (2 * self.image_bytes).next_multiple_of(BLOCK).max(BLOCK);
        self.keep_reserve(Reserve::Checkpoint, checkpoint, checkpoint)?;
        self.keep_reserve(Reserve::Begun, bytes, bytes.saturating_mul(3))
    }

    /// Keeps a file of so many bytes, if as many are free as are `wanted` for that.
    fn keep_reserve(&self, reserve: Reserve, bytes: u64, wanted: u64) -> io::Result<()> {
        let disk = &self.files.disk;
        let there = match disk.open(reserve.path()) {
            Ok(file) => file.length()?,
            Err(_) => 0,
        };
        if there >= bytes || disk.free()? < wanted {
            return Ok(());
        }
        match disk.create(reserve.path())?.allocate(bytes) {
            // Somebody else was quicker.
            Err(error) if is_full(&error) => disk.remove(reserve.path()),
            kept => kept,
        }
    }
}

/// Gives up a file that was kept for a full disk; whether there was one.
pub(crate) fn relieve(files: &Files, reserve: Reserve) -> bool {
    let removed = files.disk.remove(reserve.path()).is_ok();
    if removed {
        tracing::warn!(
            ?reserve,
            "the disk is full: the reserve is given up, appends are refused until there is space"
        );
    }
    removed
}

/// Removes a partition's folder with all that is in it.
fn remove_folder(files: &Files, folder: &str) -> io::Result<()> {
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let names = match files.disk.list(folder) {
        Err(error) if gone(&error) => return Ok(()),
        names => names?,
    };
    for name in names {
        files.remove(&format!("{folder}/{name}"))?;
    }
    match files.disk.remove_folder(folder) {
        Err(error) if gone(&error) => Ok(()),
        removed => removed,
    }
}

/// Whether a batch begins the next segment.
fn full(segment: &Segment, config: &TopicConfig, head: &Head, at: i64) -> bool {
    let extent = segment.extent();
    segment.is_ended()
        || extent.bytes > 0
            && (extent.epoch != head.leader_epoch
                || extent.bytes + head.bytes as u64 > config.segment_bytes
                || !in_time(extent.first_at, at, config)
                || head.last_offset() - segment.base > i64::from(i32::MAX))
}

fn in_time(first: i64, at: i64, config: &TopicConfig) -> bool {
    u128::from(at.saturating_sub(first).max(0) as u64) <= config.roll_after().as_millis()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The first offset that is not compacted yet.
fn from(partition: &PartitionImage) -> i64 {
    partition.compacted.max(partition.log_start)
}

/// Segments of a partition that are to be compacted now.
struct Due {
    /// How many of them, from the first on.
    segments: usize,
    /// The offset after these.
    to: i64,
    /// What is more urgent comes first.
    urgency: f64,
}

impl Due {
    /// What is due, if anything is, and the bytes that were not compacted yet.
    fn of(partition: &PartitionImage, config: &TopicConfig, now: i64) -> (Option<Self>, u64) {
        let from = from(partition);
        let stable = partition
            .decisions
            .stable(partition.log_start, partition.next);
        let bases = partition.segments.iter().skip(1);
        let ends = bases.map(|segment| segment.base).chain([partition.next]);
        let (min_lag, max_lag) = (
            millis(config.min_compaction_lag),
            millis(config.max_compaction_lag),
        );
        let mut due = Self {
            segments: 0,
            to: from,
            urgency: 0.0,
        };
        let (mut clean, mut dirty, mut unclean) = (0, 0, 0);
        let (mut going, mut overdue) = (true, false);
        for (segment, end) in partition.segments.iter().zip(ends) {
            let extent = segment.extent();
            let is_dirty = end > from;
            if is_dirty {
                unclean += extent.bytes;
            }
            // Neither what is written to, nor what is not decided, nor what is too young.
            going &= segment.is_ended() || end < partition.next;
            going &= end <= stable;
            going &= !is_dirty || min_lag == 0 || extent.last_at <= now.saturating_sub(min_lag);
            if !going {
                continue;
            }
            due.segments += 1;
            due.to = due.to.max(end);
            match is_dirty {
                true => {
                    dirty += extent.bytes;
                    overdue |= extent.first_at < now.saturating_sub(max_lag);
                }
                false => clean += extent.bytes,
            }
            // Also where nothing new came, a tombstone goes in its time.
            overdue |= extent.horizon <= now;
        }
        let ratio = dirty as f64 / (clean + dirty).max(1) as f64;
        due.urgency = match overdue {
            true => 1.0 + ratio,
            false => ratio,
        };
        let is_due = due.segments > 0 && (overdue || ratio > config.dirty_ratio);
        (is_due.then_some(due), unclean)
    }
}

/// Segments that are before the start of the log.
fn gone(partition: &PartitionImage) -> usize {
    let ends = partition
        .segments
        .iter()
        .skip(1)
        .map(|segment| segment.base)
        .chain([partition.next]);
    ends.take(partition.segments.len())
        .take_while(|end| *end <= partition.log_start)
        .count()
}

fn retained_from(partition: &PartitionImage, config: &TopicConfig, now: i64) -> Option<i64> {
    let mut excess = config.retention_bytes.map_or(0, |most| {
        let all: u64 = partition
            .segments
            .iter()
            .map(|segment| segment.bytes())
            .sum();
        all.saturating_sub(most)
    });
    let mut start = None;
    for (i, segment) in partition.segments.iter().enumerate() {
        let extent = segment.extent();
        let newest = match extent.max_timestamp {
            ..0 => extent.last_at,
            time => time,
        };
        let old = config
            .retention
            .is_some_and(|kept| i128::from(now) - i128::from(newest) > kept.as_millis() as i128);
        let last = i + 1 == partition.segments.len();
        // The segment that is written to goes only when it is old.
        let surplus = !last && config.retention_bytes.is_some() && excess >= extent.bytes;
        if !old && !surplus {
            break;
        }
        excess = excess.saturating_sub(extent.bytes);
        start = Some(
            partition
                .segments
                .get(i + 1)
                .map_or(partition.next, |next| next.base),
        );
    }
    start.filter(|start| *start > partition.log_start)
}
