//! A partition of another Kafka: committed records are read ahead, answers and offset are one transaction.

use super::super::definition::Guarantee;
use super::super::event_log::{Halt, Halted, Partition};
use super::super::output::Written;
use super::super::reader::{Item, Part};
use super::super::worker::{Fence, Work};
use super::client::{Consumer, Ears, Producer, drop_aside};
use super::{Shared, Takes, committed, extents, offsets_list};
use crate::log::now;
use crate::records::{Draft, Header, Record};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{CommitMode, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _};
use rdkafka::{Message, Offset};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What a reader does by itself: a few mebibytes ahead, and no pause when it may go on.
const READING: [(&str, &str); 8] = [
    ("queued.min.messages", "4096"),
    ("queued.max.messages.kbytes", "4096"),
    ("fetch.message.max.bytes", "1048576"),
    ("fetch.wait.max.ms", "500"),
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.error.backoff.ms", "200"),
    ("enable.partition.eof", "true"),
    // Where the partition ends.
    ("statistics.interval.ms", "1000"),
];
/// How often a reader that waits for records serves its client.
const SERVE: Duration = Duration::from_millis(500);
/// What a client has to say that is served at once.
const EVENTS: usize = 16;
/// Before the end of a partition is looked at again.
const SEEK: Duration = Duration::from_secs(5);
/// Longest wait for a commit, and for one answer within it.
const COMMIT: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(5));
/// Longest wait for an answer to an abort; whoever works on the partition next aborts, too.
const ABORT: Duration = Duration::from_secs(3);
/// Between two looks at what was delivered.
const DELIVERY: Duration = Duration::from_millis(1);
/// Pause before what failed for now is asked again.
const AGAIN: Duration = Duration::from_millis(20);
/// Bytes of a batch that is sent, about; librdkafka's default.
const BATCH: usize = 1_000_000;

type Result<T> = std::result::Result<T, KafkaError>;

/// A partition that is worked on.
pub struct Theirs {
    work: Arc<Work>,
    begun: i64,
    missed: u64,
    /// Both are `None` once it is dropped.
    reading: Option<Reading>,
    writing: Option<Arc<Writing>>,
    takes: [Takes; 2],
}

impl Drop for Theirs {
    fn drop(&mut self) {
        // Clients wait for their threads when they end.
        drop_aside((self.reading.take(), self.writing.take()));
    }
}

impl Theirs {
    /// Opens a partition: fences whoever worked on it before, and only then asks where the group stands.
    pub fn open(
        shared: Arc<Shared>,
        work: Arc<Work>,
        member: Weak<Consumer>,
        partition: u32,
        takes: [Takes; 2],
    ) -> Halted<Self> {
        let opened = Self::try_open(&shared, &work, member, partition, takes);
        opened.map_err(|error| shared.cluster.halt(&error))
    }

    fn try_open(
        shared: &Arc<Shared>,
        work: &Arc<Work>,
        member: Weak<Consumer>,
        partition: u32,
        takes: [Takes; 2],
    ) -> Result<Self> {
        let flow = &work.flow;
        let once = flow.guarantee == Guarantee::ExactlyOnce;
        let id = format!("{}-{partition}", shared.group);
        let largest = takes.map(|takes| takes.most);
        let batch = largest[0].min(largest[1]).min(BATCH);
        // A record may be as large as its topic takes; the request around it has a little more.
        let most = largest[0].max(largest[1]).saturating_add(1024);
        let producer = shared.cluster.producer(
            once.then_some(id.as_str()),
            most.clamp(1000, 1_000_000_000),
            batch,
        )?;
        let gone = || KafkaError::ConsumerCommit(Code::UnknownMemberId);
        let consumer = member.upgrade().ok_or_else(gone)?;
        let group = consumer.group_metadata().ok_or_else(gone)?;
        if once {
            producer.init_transactions(COMMIT.1)?;
        }
        let only = partition..partition + 1;
        let known = committed(&consumer, &flow.from, only.clone())?;
        let extent = extents(&consumer, &flow.from, only)?.pop();
        let missing = || KafkaError::OffsetFetch(Code::UnknownPartition);
        let extent = extent.ok_or_else(missing)?;
        drop(consumer);
        let known = known.get(&partition).copied();
        // A flow that begins at the end has committed where that was when it was made: other partitions came later.
        let begun = known.map_or(extent.start, |offset| offset.max(extent.start));
        let writing = Arc::new(Writing {
            shared: shared.clone(),
            work: work.clone(),
            fence: work.fence.clone(),
            member,
            group,
            producer,
            partition,
            takes,
        });
        if known.is_none() {
            // So that its group is seen from now on.
            writing.commit(&Written::default(), begun)?;
        }
        Ok(Self {
            work: work.clone(),
            begun,
            missed: known.map_or(0, |offset| (extent.start - offset).max(0) as u64),
            reading: Some(Reading::begin(shared, work, partition, begun)?),
            writing: Some(writing),
            takes,
        })
    }
}

impl Partition for Theirs {
    fn begun(&self) -> i64 {
        self.begun
    }

    fn take(&mut self, most: usize, bytes: usize) -> BoxFuture<'_, Halted<Option<Part>>> {
        let part = match &mut self.reading {
            Some(reading) => reading.take(most, bytes),
            None => Err(Halt::Over),
        };
        Box::pin(std::future::ready(part))
    }

    fn more(&mut self) -> BoxFuture<'_, Halted<()>> {
        Box::pin(async move {
            let reading = self.reading.as_ref().ok_or(Halt::Over)?;
            // After a while its client is served, records or not.
            let _ = tokio::time::timeout(SERVE, reading.more.notified()).await;
            Ok(())
        })
    }

    fn missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }

    fn most(&mut self) -> Halted<(usize, usize)> {
        let [answers, dead] = self.takes;
        Ok((answers.most, dead.most))
    }

    fn keyed(&mut self) -> Halted<bool> {
        Ok(self.takes[0].keyed)
    }

    fn put(&mut self, written: Written, next: i64) -> BoxFuture<'_, Halted<()>> {
        Box::pin(async move {
            let writing = self.writing.clone().ok_or(Halt::Over)?;
            let put = self.work.fence.pass(move || writing.put(&written, next));
            put.await.ok_or(Halt::Over)?
        })
    }
}

/// Reads a partition.
struct Reading {
    shared: Arc<Shared>,
    work: Arc<Work>,
    partition: u32,
    // Before the client, which it belongs to.
    queue: PartitionQueue<Ears>,
    client: Arc<Consumer>,
    more: Arc<Notify>,
    /// What comes next, looked at already.
    front: Option<Item>,
    /// The offset after what was taken.
    next: i64,
    sought: Option<Sought>,
}

/// A reader that has nothing more although the partition goes on: what follows are markers of transactions and records that
/// were given up, which librdkafka does not show. It is made to read from here again. When it says then that it is at the
/// end, it has seen all that there was when the end was learnt, and there is nothing to show in between.
struct Sought {
    when: Instant,
    from: i64,
    end: i64,
}

impl Reading {
    fn begin(shared: &Arc<Shared>, work: &Arc<Work>, partition: u32, from: i64) -> Result<Self> {
        let ears = shared.cluster.ears(work.progress.clone(), partition as i32);
        let ours = READING.to_vec();
        let client = shared.cluster.consumer(&shared.group, Some(ears), ours)?;
        let (client, topic) = (Arc::new(client), &work.flow.from);
        // Before the first record comes, so that all go there and nothing else does.
        let queue = client.split_partition_queue(topic, partition as i32);
        let missing = || KafkaError::MessageConsumption(Code::UnknownPartition);
        let mut queue = queue.ok_or_else(missing)?;
        let more = Arc::new(Notify::new());
        let wake = more.clone();
        queue.set_nonempty_callback(move || wake.notify_one());
        client.assign(&offsets_list(topic, [(partition, from)])?)?;
        Ok(Self {
            shared: shared.clone(),
            work: work.clone(),
            partition,
            queue,
            client,
            more,
            front: None,
            next: from,
            sought: None,
        })
    }

    fn take(&mut self, most: usize, bytes: usize) -> Halted<Option<Part>> {
        for _ in 0..EVENTS {
            // Its errors were heard; records come from the queue.
            let _ = self.client.poll(Duration::ZERO);
        }
        let end = self.client.context().end();
        if let Some(end) = end {
            self.shared.ends.lock().insert(self.partition, end);
        }
        let (before, mut items, mut left) = (self.next, Vec::new(), bytes);
        while items.len() < most {
            let item = match self.front.take() {
                Some(item) => item,
                None => match self.queue.poll(Duration::ZERO) {
                    Some(Ok(message)) => item(&message),
                    Some(Err(KafkaError::PartitionEOF(_))) => {
                        self.at_the_end();
                        continue;
                    }
                    Some(Err(error)) => return Err(self.shared.cluster.halt(&error)),
                    None => {
                        if let (true, Some(end)) = (items.is_empty(), end) {
                            self.seek(end);
                        }
                        break;
                    }
                },
            };
            self.sought = None;
            if !items.is_empty() && item.bytes() > left {
                self.front = Some(item);
                break;
            }
            left = left.saturating_sub(item.bytes());
            self.next = item.offset() + 1;
            items.push(item);
        }
        let next = self.next;
        Ok((next > before).then_some(Part { items, next }))
    }

    /// Reads from here again where the partition goes on and nothing comes.
    fn seek(&mut self, end: i64) {
        let asked = self.sought.as_ref();
        let again = asked.is_none_or(|sought| sought.when.elapsed() > SEEK);
        if end <= self.next || !again {
            return;
        }
        let (topic, from) = (&self.work.flow.from, self.next);
        let (partition, offset) = (self.partition as i32, Offset::Offset(from));
        // What was on its way before this is dropped by librdkafka.
        let sought = self.client.seek(topic, partition, offset, Duration::ZERO);
        if let Err(error) = sought {
            tracing::debug!(%error, "the end of a partition is not looked at");
        }
        let when = Instant::now();
        self.sought = Some(Sought { when, from, end });
    }

    fn at_the_end(&mut self) {
        if let Some(sought) = self.sought.take()
            && sought.from == self.next
        {
            self.next = sought.end;
        }
    }
}

/// A message as a flow reads it.
fn item(message: &BorrowedMessage<'_>) -> Item {
    let offset = message.offset();
    // The name of a header may be any bytes; rdkafka asserts that it is UTF-8.
    let headers = catch_unwind(AssertUnwindSafe(|| -> Vec<Header> {
        let all = message
            .headers()
            .into_iter()
            .flat_map(|headers| headers.iter());
        let header = |header: rdkafka::message::Header<'_, &[u8]>| {
            let value = header.value.map(Bytes::copy_from_slice);
            (header.key.to_owned(), value)
        };
        all.map(header).collect()
    }));
    let Ok(headers) = headers else {
        return Item::Damaged {
            first: offset,
            why: "the name of a header is not UTF-8".to_owned(),
        };
    };
    Item::Record(Record {
        offset,
        timestamp: message.timestamp().to_millis().unwrap_or_else(now),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers,
    })
}

/// Writes what became of a partition's records.
struct Writing {
    shared: Arc<Shared>,
    work: Arc<Work>,
    fence: Fence,
    member: Weak<Consumer>,
    /// The member and its generation when the partition was opened.
    group: ConsumerGroupMetadata,
    producer: Producer,
    partition: u32,
    takes: [Takes; 2],
}

impl Writing {
    fn put(&self, written: &Written, next: i64) -> Halted<()> {
        let put = self.commit(written, next);
        put.map_err(|error| match self.fence.holds() {
            true => self.shared.cluster.halt(&error),
            false => Halt::Over,
        })
    }

    fn commit(&self, written: &Written, next: i64) -> Result<()> {
        let flow = &self.work.flow;
        let offsets = offsets_list(&flow.from, [(self.partition, next)])?;
        let until = Instant::now() + COMMIT.0;
        if flow.guarantee == Guarantee::AtLeastOnce {
            self.send(written, until)?;
            let gone = || KafkaError::ConsumerCommit(Code::UnknownMemberId);
            let member = self.member.upgrade().ok_or_else(gone)?;
            return member.commit(&offsets, CommitMode::Sync);
        }
        self.producer.begin_transaction()?;
        let ready = self.send(written, until).and_then(|()| {
            again(until, || {
                let (producer, group) = (&self.producer, &self.group);
                producer.send_offsets_to_transaction(&offsets, group, COMMIT.1)
            })?;
            self.stands()
        });
        let ended =
            ready.and_then(|()| again(until, || self.producer.commit_transaction(COMMIT.1)));
        if let Err(error) = &ended
            && !matches!(error, KafkaError::Transaction(error) if error.is_fatal())
        {
            // What cannot be aborted now is aborted by whoever opens the partition next.
            if let Err(error) = self.producer.abort_transaction(ABORT) {
                tracing::debug!(%error, "a transaction is left to be aborted");
            }
        }
        ended
    }

    /// Whether the work is still the flow's.
    fn stands(&self) -> Result<()> {
        match self.fence.holds() {
            true => Ok(()),
            false => Err(KafkaError::Canceled),
        }
    }

    /// Sends records and waits until all are taken.
    fn send(&self, written: &Written, until: Instant) -> Result<()> {
        let flow = &self.work.flow;
        for ((topic, drafts), takes) in [
            (&flow.to, &written.answers),
            (&flow.dead_letters, &written.dead),
        ]
        .into_iter()
        .zip(self.takes)
        {
            let partition = self.partition % takes.partitions.max(1);
            for draft in drafts {
                let mut waiting = record(topic, partition, draft);
                while let Err((error, back)) = self.producer.send(waiting) {
                    // Its queue is full.
                    if error.rdkafka_error_code() != Some(Code::QueueFull) || Instant::now() > until
                    {
                        return Err(error);
                    }
                    self.producer.poll(DELIVERY);
                    self.stands()?;
                    waiting = back;
                }
            }
        }
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(DELIVERY);
            self.stands()?;
            if Instant::now() > until {
                return Err(KafkaError::Flush(Code::OperationTimedOut));
            }
        }
        self.producer.context().failed().map_or(Ok(()), Err)
    }
}

fn record<'a>(topic: &'a str, partition: u32, draft: &'a Draft) -> BaseRecord<'a, [u8], [u8]> {
    let mut headers = OwnedHeaders::new_with_capacity(draft.headers.len());
    for (name, value) in &draft.headers {
        headers = headers.insert(rdkafka::message::Header {
            key: name,
            value: value.as_deref(),
        });
    }
    BaseRecord {
        topic,
        partition: Some(partition as i32),
        payload: draft.value.as_deref(),
        key: draft.key.as_deref(),
        timestamp: Some(draft.timestamp),
        headers: Some(headers),
        delivery_opaque: (),
    }
}

/// Does again what may be done again.
fn again(until: Instant, mut step: impl FnMut() -> Result<()>) -> Result<()> {
    loop {
        match step() {
            Err(KafkaError::Transaction(error))
                if error.is_retriable() && Instant::now() < until =>
            {
                tracing::debug!(%error, "asked again");
                std::thread::sleep(AGAIN);
            }
            done => return done,
        }
    }
}
