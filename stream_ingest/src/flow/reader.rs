//! Records of a partition from an offset on, one part after the other.

use crate::log::{Error, Isolation, Log, Presence, Result};
use crate::records::{self, Record, Records};
use bytes::Bytes;
use std::collections::VecDeque;
use tokio::sync::watch;

/// Bytes of batches that are asked of the log at once.
const BYTES: usize = 1 << 20;

/// What stands in a partition.
#[derive(Debug)]
pub enum Item {
    /// A record.
    Record(Record),
    /// A batch that cannot be read, and why.
    Damaged {
        /// The offset of its first record that is wanted.
        first: i64,
        /// Why.
        why: String,
    },
}

impl Item {
    pub fn offset(&self) -> i64 {
        match self {
            Self::Record(record) => record.offset,
            Self::Damaged { first, .. } => *first,
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Self::Record(record) => record.value.as_ref().map_or(0, Bytes::len),
            Self::Damaged { .. } => 0,
        }
    }
}

/// Some of a partition, in order.
#[derive(Debug)]
pub struct Part {
    /// What stands there; nothing where there are only markers of transactions.
    pub items: Vec<Item>,
    /// The offset after it.
    pub next: i64,
}

/// Reads a partition from an offset on: committed records alone.
pub struct Reader {
    log: Log,
    topic: String,
    partition: u32,
    /// The offset after everything that was asked of the log.
    read: i64,
    /// Batches that are not yet looked into: they may be much larger inside.
    batches: VecDeque<Bytes>,
    /// The records of the batch that is looked into, and the offset after it.
    open: Option<(Records, i64)>,
    /// What comes next, looked at already.
    front: Option<Item>,
    /// The offset after what was looked at.
    seen: i64,
    high: watch::Receiver<i64>,
    presence: Presence,
    missed: u64,
}

impl Reader {
    /// A reader that begins at an offset.
    ///
    /// # Errors
    /// When there is no such partition.
    pub fn new(log: Log, topic: &str, partition: u32, offset: i64) -> Result<Self> {
        let presence = log.presence(topic, partition)?;
        let high = log.watch(topic, partition)?;
        Ok(Self {
            presence,
            log,
            topic: topic.to_owned(),
            partition,
            read: offset,
            batches: VecDeque::new(),
            open: None,
            front: None,
            seen: offset,
            high,
            missed: 0,
        })
    }

    /// The partition that is read: one of a topic that is made anew is another.
    pub fn presence(&self) -> &Presence {
        &self.presence
    }

    /// How many records were gone before they were read, since this was last asked.
    pub fn missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }

    /// The next part, of at most so many items, and so many bytes unless one alone has more; `None` at the end. May wait
    /// for the disk.
    ///
    /// # Errors
    /// Those of the log.
    pub async fn take(&mut self, most: usize, bytes: usize) -> Result<Option<Part>> {
        let from = self.position();
        let mut items = Vec::new();
        let mut left = bytes;
        while items.len() < most {
            let front = match self.front.take() {
                Some(item) => Some(item),
                None => self.look(),
            };
            match front {
                Some(item) if items.is_empty() || item.bytes() <= left => {
                    left = left.saturating_sub(item.bytes());
                    items.push(item);
                }
                Some(item) => {
                    self.front = Some(item);
                    break;
                }
                // What is there is handed over before the log is asked again.
                None if items.is_empty() && self.fetch().await? => {}
                None => break,
            }
        }
        let next = self.position();
        Ok((next > from).then_some(Part { items, next }))
    }

    /// The offset after what was taken.
    fn position(&self) -> i64 {
        match &self.front {
            Some(item) => item.offset(),
            // What was read last may have been nothing to show.
            None if self.open.is_none() && self.batches.is_empty() => self.read,
            None => self.seen,
        }
    }

    /// Waits until there may be more after [`Reader::take`] had nothing.
    ///
    /// # Errors
    /// When the topic or the log goes away.
    pub async fn more(&mut self) -> Result<()> {
        let changed = self.high.changed().await;
        changed.map_err(|_| Error::NoTopic(self.topic.clone()))
    }

    /// The next item of what the log gave.
    fn look(&mut self) -> Option<Item> {
        loop {
            let (records, after) = match &mut self.open {
                Some(open) => open,
                None => {
                    let batch = self.batches.pop_front()?;
                    let Some((first, last, _)) = records::extent(&batch) else {
                        continue;
                    };
                    self.seen = self.seen.max(first);
                    match records::open(&batch) {
                        Ok(records) => self.open.insert((records, last + 1)),
                        Err(error) => return Some(self.damaged(last + 1, &error)),
                    }
                }
            };
            let after = *after;
            match records.next() {
                Some(Ok(record)) if record.offset < self.seen => {}
                Some(Ok(record)) => {
                    self.seen = record.offset + 1;
                    return Some(Item::Record(record));
                }
                Some(Err(error)) => {
                    self.open = None;
                    return Some(self.damaged(after, &error));
                }
                None => {
                    self.open = None;
                    self.seen = self.seen.max(after);
                }
            }
        }
    }

    fn damaged(&mut self, after: i64, error: &records::Error) -> Item {
        let first = self.seen;
        self.seen = self.seen.max(after);
        Item::Damaged {
            first,
            why: error.to_string(),
        }
    }

    /// Asks the log for more batches; whether there are any.
    async fn fetch(&mut self) -> Result<bool> {
        // What comes after this look wakes `more`.
        self.high.borrow_and_update();
        let isolation = Isolation::ReadCommitted;
        let (topic, partition) = (&self.topic, self.partition);
        loop {
            let recent = self
                .log
                .read_recent(topic, partition, self.read, BYTES, isolation);
            let read = match recent {
                Ok(Some(read)) => Ok(read),
                Err(error) => Err(error),
                Ok(None) => {
                    let (log, topic, offset) = (self.log.clone(), topic.clone(), self.read);
                    let reading = tokio::task::spawn_blocking(move || {
                        log.read(&topic, partition, offset, BYTES, isolation)
                    });
                    reading.await.unwrap_or(Err(Error::Closed))
                }
            };
            if !self.presence.holds() {
                // What was read may be another's of the same name.
                return Err(Error::NoTopic(topic.clone()));
            }
            match read {
                Ok(read) => {
                    let all = read.batches.iter().flat_map(records::split);
                    let ends = all.filter_map(|batch| records::extent(&batch.ok()?));
                    let end = ends.map(|(_, last, _)| last + 1).max();
                    self.read = self.read.max(end.unwrap_or(self.read));
                    self.batches.extend(read.visible());
                    return Ok(!self.batches.is_empty());
                }
                // Retention was quicker, or somebody deleted records.
                Err(Error::OffsetOutOfRange { log_start, .. }) if log_start > self.read => {
                    self.missed += (log_start - self.read) as u64;
                    (self.read, self.seen) = (log_start, log_start);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
