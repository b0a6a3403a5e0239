//! Flows on another Kafka, by [librdkafka](https://github.com/confluentinc/librdkafka).
//!
//! ```text
//! kafka.rs              the topics and offsets of a flow: asked, made, put elsewhere
//! kafka/client.rs       librdkafka's clients: settings, what they say, who may wait for them
//! kafka/group.rs        a flow at work: a member of its consumer group, which shares partitions with other servers
//! kafka/partition.rs    one partition: reads committed records, commits answers and offset in a transaction
//! ```
//!
//! # Exactly once
//!
//! Each partition has a transactional id of its own (`flow-<name>-<partition>`). Whoever begins work on it fences the one
//! before (`InitProducerId` aborts what that one had open and refuses it from then on), and only then asks where the
//! group stands. So there is one writer after each committed offset, whatever the group believes: a server that was cut
//! off, or stopped for a minute, finds its transactions refused. The offset is part of the transaction and carries the
//! generation of the member.
//!
//! A partition has two clients of its own, one that reads and one that writes, so that none waits for another. They cost
//! about ten threads, asleep.

mod client;
mod group;
mod partition;

use super::definition::Definition;
use super::error::{Error, Result};
use super::event_log::{EventLog, Extent, Halted, Member, largest, retention};
use super::worker::Work;
pub(super) use client::aside;
use client::{Cluster, Consumer};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{
    ConfigSource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest wait for the members of a group to leave it.
const LEAVING: Duration = Duration::from_secs(15);
/// Between two looks at whether they have.
const LOOK: Duration = Duration::from_millis(100);

/// The Kafka that one flow works on.
pub struct Kafka {
    shared: Arc<Shared>,
}

/// What the clients of one flow share.
struct Shared {
    cluster: Cluster,
    group: String,
    /// The client that is a member of the group, while the flow works.
    member: Mutex<Weak<Consumer>>,
    /// What the topics that are written take, and when that was asked.
    takes: tokio::sync::Mutex<Option<(Instant, [Takes; 2])>>,
    /// The ends of partitions that are worked on, as their readers were told last.
    ends: Mutex<BTreeMap<u32, i64>>,
}

/// How long what topics take is taken for known.
const KNOWN: Duration = Duration::from_secs(10);
/// Where a setting comes from that a topic has of its own.
const OWN: ConfigSource = ConfigSource::DynamicTopic;
/// `max.message.bytes` of a topic that does not say; Kafka's default is a little more.
const USUAL_MOST: usize = 1_000_000;

impl Kafka {
    /// The Kafka at these brokers, reached with these properties. Nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::Kafka`] where the properties cannot be.
    pub fn new(
        brokers: &str,
        settings: BTreeMap<String, String>,
        flow: &Definition,
    ) -> Result<Self> {
        let shared = Shared {
            cluster: Cluster::new(brokers, settings),
            group: flow.group(),
            member: Mutex::default(),
            takes: tokio::sync::Mutex::default(),
            ends: Mutex::default(),
        };
        // Properties are looked at when a client is made.
        let made = shared.cluster.consumer(&shared.group, None, Vec::new());
        shared.cluster.result(made.map(drop))?;
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Asks with the client of the member, or with a new one.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Shared, &Consumer) -> std::result::Result<T, KafkaError> + Send + 'static,
    ) -> Result<T> {
        let shared = self.shared.clone();
        aside("kafka-ask", move || {
            let member = shared.member.lock().upgrade();
            let answer = match member {
                Some(member) => question(&shared, &member),
                None => shared.consumer().and_then(|new| question(&shared, &new)),
            };
            shared.cluster.result(answer)
        })
        .await
        .unwrap_or_else(|| Err(self.shared.cluster.error("it was not asked")))
    }
}

impl Shared {
    /// A client that is no member.
    fn consumer(&self) -> std::result::Result<Consumer, KafkaError> {
        self.cluster.consumer(&self.group, None, Vec::new())
    }

    /// What the topics of a flow's answers and dead letters take.
    async fn takes(self: &Arc<Self>, flow: &Definition) -> Result<[Takes; 2]> {
        let mut known = self.takes.lock().await;
        if let Some((asked, takes)) = &*known
            && asked.elapsed() < KNOWN
        {
            return Ok(*takes);
        }
        let (shared, topics) = (self.clone(), [flow.to.clone(), flow.dead_letters.clone()]);
        let names = topics.clone();
        let counts = aside("kafka-ask", move || {
            let consumer = shared.consumer()?;
            let [to, dead] = [&names[0], &names[1]].map(|topic| partitions(&consumer, topic));
            Ok([to?, dead?])
        });
        let counts = counts.await.unwrap_or(Err(KafkaError::Canceled));
        let counts = self.cluster.result(counts)?;
        let mut takes = [Takes {
            partitions: 0,
            most: USUAL_MOST,
            keyed: false,
        }; 2];
        for ((takes, topic), count) in takes.iter_mut().zip(&topics).zip(counts) {
            let missing = || self.cluster.error(format!("there is no topic {topic}"));
            takes.partitions = count.ok_or_else(missing)?;
        }
        let described = self.cluster.administer(async |admin, options| {
            let topics = topics
                .each_ref()
                .map(|topic| ResourceSpecifier::Topic(topic));
            admin.describe_configs(&topics, options).await
        });
        for described in self.cluster.result(described.await)? {
            // Whoever may write need not be allowed to look at settings.
            let Ok(described) = described else {
                continue;
            };
            let OwnedResourceSpecifier::Topic(name) = &described.specifier else {
                continue;
            };
            let named = topics.iter().position(|topic| topic == name);
            let takes = &mut takes[named.unwrap_or(0)];
            let said = |name| described.get(name)?.value.as_deref();
            if let Some(most) = said("max.message.bytes").and_then(|most| most.parse().ok()) {
                takes.most = most;
            }
            let policy = said("cleanup.policy").unwrap_or_default();
            takes.keyed = policy.split(',').any(|policy| policy.trim() == "compact");
        }
        *known = Some((Instant::now(), takes));
        Ok(takes)
    }
}

/// What a topic that is written takes.
#[derive(Debug, Clone, Copy)]
struct Takes {
    partitions: u32,
    /// Bytes of its largest batch.
    most: usize,
    /// It compacts: every record has a key.
    keyed: bool,
}

/// How many partitions a topic has.
fn partitions(consumer: &Consumer, topic: &str) -> std::result::Result<Option<u32>, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let found = metadata.topics().iter().find(|known| known.name() == topic);
    match found.map(|known| (known.error().map(Code::from), known.partitions().len())) {
        None | Some((Some(Code::UnknownTopicOrPartition | Code::UnknownTopic), _)) => Ok(None),
        // No topic can be called that.
        Some((Some(Code::InvalidTopic), _)) => Ok(None),
        Some((Some(code), _)) => Err(KafkaError::MetadataFetch(code)),
        Some((None, 0)) => Ok(None),
        Some((None, partitions)) => Ok(Some(partitions as u32)),
    }
}

/// Asks for offsets by time, or for the first or last, of some partitions.
fn offsets_at(
    consumer: &Consumer,
    topic: &str,
    partitions: std::ops::Range<u32>,
    what: Offset,
) -> std::result::Result<Vec<Option<i64>>, KafkaError> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(topic, partition as i32, what)?;
    }
    let found = consumer.offsets_for_times(list, PATIENCE)?;
    let offset = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        element.error()?;
        Ok(offset_of(element.offset()))
    };
    found.elements().iter().map(offset).collect()
}

fn offset_of(offset: Offset) -> Option<i64> {
    match offset {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

/// Where partitions begin and end.
fn extents(
    consumer: &Consumer,
    topic: &str,
    partitions: std::ops::Range<u32>,
) -> std::result::Result<Vec<Extent>, KafkaError> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let starts = offsets_at(consumer, topic, partitions.clone(), Offset::Beginning)?;
    let ends = offsets_at(consumer, topic, partitions, Offset::End)?;
    let missing = || KafkaError::OffsetFetch(Code::UnknownPartition);
    let extent = |(start, end): (Option<i64>, Option<i64>)| {
        let (start, end) = (start.ok_or_else(missing)?, end.ok_or_else(missing)?);
        Ok(Extent {
            start,
            end,
            high: end,
        })
    };
    starts.into_iter().zip(ends).map(extent).collect()
}

/// The offsets that the group has committed in some partitions.
fn committed(
    consumer: &Consumer,
    topic: &str,
    partitions: std::ops::Range<u32>,
) -> std::result::Result<BTreeMap<u32, i64>, KafkaError> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, partition as i32);
    }
    if list.count() == 0 {
        return Ok(BTreeMap::new());
    }
    let found = consumer.committed_offsets(list, PATIENCE)?;
    let mut offsets = BTreeMap::new();
    for element in found.elements() {
        element.error()?;
        if let Some(offset) = offset_of(element.offset()) {
            offsets.insert(element.partition() as u32, offset);
        }
    }
    Ok(offsets)
}

fn offsets_list(
    topic: &str,
    offsets: impl IntoIterator<Item = (u32, i64)>,
) -> std::result::Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, partition as i32, Offset::Offset(offset))?;
    }
    Ok(list)
}

impl EventLog for Kafka {
    fn partitions<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Option<u32>>> {
        let topic = topic.to_owned();
        Box::pin(self.ask(move |_, consumer| partitions(consumer, &topic)))
    }

    fn create_topic<'a>(
        &'a self,
        topic: &'a str,
        wanted: u32,
        from: &'a str,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            // One that is there needs no right to make it.
            if self.partitions(topic).await?.is_some() {
                return Ok(());
            }
            let cluster = &self.shared.cluster;
            let made = cluster.administer(async |admin, options| {
                let like = [ResourceSpecifier::Topic(from)];
                let like = admin.describe_configs(&like, options).await?.pop();
                // Whoever may make topics need not be allowed to look at settings.
                let like = like.and_then(|like| like.ok());
                let most = like.as_ref().and_then(|like| {
                    let most = like.get("max.message.bytes")?.value.as_deref()?;
                    Some(largest(most.parse().ok()?).to_string())
                });
                let kept = like.and_then(|like| {
                    let policy = like.get("cleanup.policy")?.value.clone()?;
                    let own = like.get("retention.ms")?;
                    let own = own.value.as_deref().filter(|_| own.source == OWN);
                    retention(&policy, own)
                });
                // As many copies as the brokers make by themselves.
                let mut new = NewTopic::new(topic, wanted as i32, TopicReplication::Fixed(-1));
                if let Some(kept) = &kept {
                    new = new.set("retention.ms", kept);
                }
                if let Some(most) = &most {
                    new = new.set("max.message.bytes", most);
                }
                match admin.create_topics([&new], options).await?.pop() {
                    None | Some(Ok(_) | Err((_, Code::TopicAlreadyExists))) => Ok(()),
                    Some(Err((_, code))) => Err(KafkaError::AdminOp(code)),
                }
            });
            cluster.result(made.await)
        })
    }

    fn extents<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Vec<Extent>>> {
        let topic = topic.to_owned();
        Box::pin(self.ask(move |_, consumer| {
            let partitions = partitions(consumer, &topic)?.unwrap_or(0);
            extents(consumer, &topic, 0..partitions)
        }))
    }

    fn offset_for_time<'a>(
        &'a self,
        topic: &'a str,
        partition: u32,
        time: i64,
    ) -> BoxFuture<'a, Result<Option<i64>>> {
        let topic = topic.to_owned();
        Box::pin(self.ask(move |_, consumer| {
            let time = Offset::Offset(time.max(0));
            let found = offsets_at(consumer, &topic, partition..partition + 1, time)?;
            Ok(found.into_iter().next().flatten())
        }))
    }

    fn offsets<'a>(&'a self, flow: &'a Definition) -> BoxFuture<'a, Result<BTreeMap<u32, i64>>> {
        let topic = flow.from.clone();
        Box::pin(self.ask(move |_, consumer| {
            let partitions = partitions(consumer, &topic)?.unwrap_or(0);
            committed(consumer, &topic, 0..partitions)
        }))
    }

    fn put<'a>(
        &'a self,
        flow: &'a Definition,
        offsets: BTreeMap<u32, i64>,
    ) -> BoxFuture<'a, Result<()>> {
        let topic = flow.from.clone();
        Box::pin(async move {
            let begun = Instant::now();
            loop {
                let (shared, topic, offsets) =
                    (self.shared.clone(), topic.clone(), offsets.clone());
                // The member, if there is one left, is about to leave.
                let put = aside("kafka-put", move || {
                    let consumer = shared.consumer()?;
                    let list = offsets_list(&topic, offsets)?;
                    consumer.commit(&list, CommitMode::Sync)
                });
                match put.await.unwrap_or(Err(KafkaError::Canceled)) {
                    Err(KafkaError::ConsumerCommit(
                        Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress,
                    )) if begun.elapsed() < LEAVING => tokio::time::sleep(LOOK).await,
                    Err(KafkaError::ConsumerCommit(
                        Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress,
                    )) => {
                        let group = &self.shared.group;
                        let why = format!(
                            "others of the group {group} are at work; let the flow rest on every server first"
                        );
                        return Err(Error::Invalid(why));
                    }
                    put => return self.shared.cluster.result(put),
                }
            }
        })
    }

    fn hold(&self, _: &Definition, _: bool) {
        // While it is at work it is a member of its group there.
        // `offsets.retention.minutes` of that Kafka counts from when the flow rests.
    }

    fn forget<'a>(&'a self, _: &'a Definition) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let (shared, begun) = (&self.shared, Instant::now());
            loop {
                let forgotten = shared.cluster.administer(async |admin, options| {
                    let groups = [shared.group.as_str()];
                    let mut deleted = admin.delete_groups(&groups, options).await?;
                    Ok(deleted.pop().map_or(Ok(()), |deleted| deleted.map(drop)))
                });
                match shared.cluster.result(forgotten.await)? {
                    Ok(()) | Err((_, Code::GroupIdNotFound)) => return Ok(()),
                    // Its member is about to leave; members on other servers go on with it.
                    Err((_, Code::NonEmptyGroup)) if begun.elapsed() > LEAVING => return Ok(()),
                    Err((_, Code::NonEmptyGroup)) => tokio::time::sleep(LOOK).await,
                    Err((_, code)) => {
                        return shared.cluster.result(Err(KafkaError::AdminOp(code)));
                    }
                }
            }
        })
    }

    fn known_end(&self, _: &str, partition: u32) -> Option<i64> {
        self.shared.ends.lock().get(&partition).copied()
    }

    fn join(&self, work: Arc<Work>) -> BoxFuture<'_, Halted<Arc<dyn Member>>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let member: Arc<dyn Member> = Arc::new(group::Group::join(shared, work)?);
            Ok(member)
        })
    }
}
