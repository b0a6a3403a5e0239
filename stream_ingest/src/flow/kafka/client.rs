//! librdkafka's clients: their settings, what they say, and who may wait for them.
//!
//! Their calls wait, so they are made on threads of their own: a Kafka that does not answer must not take the threads that
//! the built-in log reads with.

use super::super::error::{Error, Result};
use super::super::event_log::Halt;
use super::super::progress::{ALL, Progress};
use super::PATIENCE;
use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, ProducerContext};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Message, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use tokio::sync::{oneshot, watch};

/// A consumer of ours.
pub type Consumer = BaseConsumer<Ears>;
/// A producer of ours.
pub type Producer = BaseProducer<Deliveries>;

/// Properties of all clients that the operator's may differ from.
const USUAL: [(&str, &str); 7] = [
    ("client.id", "escala"),
    // A broker that does not answer is asked again soon; the default is a minute.
    ("socket.timeout.ms", "15000"),
    ("socket.keepalive.enable", "true"),
    ("reconnect.backoff.max.ms", "2000"),
    // A server that is gone is missed after so long; the default is 45 seconds.
    ("session.timeout.ms", "10000"),
    ("heartbeat.interval.ms", "2000"),
    // How soon new partitions are noticed.
    ("topic.metadata.refresh.interval.ms", "10000"),
];

/// Where a Kafka is and how it is reached.
pub struct Cluster {
    brokers: String,
    settings: BTreeMap<String, String>,
}

impl Cluster {
    pub fn new(brokers: &str, settings: BTreeMap<String, String>) -> Self {
        Self {
            brokers: brokers.to_owned(),
            settings,
        }
    }

    fn config(&self, ours: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        // librdkafka says loudly which properties are for consumers and which for producers; these are for both.
        config.set_log_level(RDKafkaLogLevel::Error);
        for (name, value) in USUAL {
            config.set(name, value);
        }
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        for (name, value) in ours {
            config.set(*name, *value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// A consumer that reads committed records, commits nothing by itself and makes no topics.
    pub fn consumer(
        &self,
        group: &str,
        ears: Option<Ears>,
        more: Vec<(&str, &str)>,
    ) -> std::result::Result<Consumer, KafkaError> {
        let mut ours = vec![
            ("group.id", group),
            ("group.protocol", "classic"),
            ("partition.assignment.strategy", "range"),
            ("isolation.level", "read_committed"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            // Neither skipped nor read again without being noticed.
            ("auto.offset.reset", "error"),
            ("check.crcs", "true"),
            ("allow.auto.create.topics", "false"),
        ];
        ours.extend(more);
        let ears = ears.unwrap_or_else(|| Ears::new(&self.brokers, None, -1));
        self.config(&ours).create_with_context(ears)
    }

    pub fn ears(&self, progress: Arc<Progress>, partition: i32) -> Ears {
        Ears::new(&self.brokers, Some(progress), partition)
    }

    /// A producer whose records keep their order and come once, with a transactional id or none.
    pub fn producer(
        &self,
        transactional: Option<&str>,
        most: usize,
        batch: usize,
    ) -> std::result::Result<Producer, KafkaError> {
        let (most, batch) = (most.to_string(), batch.to_string());
        let mut ours = vec![
            ("enable.idempotence", "true"),
            ("message.max.bytes", most.as_str()),
            ("batch.size", batch.as_str()),
            // Everything is sent at once and waited for.
            ("linger.ms", "0"),
        ];
        if let Some(id) = transactional {
            // How long readers wait for what a dead server left open, when no other begins.
            ours.extend([
                ("transactional.id", id),
                ("transaction.timeout.ms", "30000"),
            ]);
        } else {
            ours.push(("message.timeout.ms", "30000"));
        }
        self.config(&ours)
            .create_with_context(Deliveries::default())
    }

    /// Asks as an administrator.
    pub async fn administer<T>(
        &self,
        ask: impl AsyncFnOnce(&AdminClient<Quiet>, &AdminOptions) -> std::result::Result<T, KafkaError>,
    ) -> std::result::Result<T, KafkaError> {
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let options = options.operation_timeout(Some(PATIENCE));
        let admin = self.config(&[]).create_with_context(Quiet)?;
        let answer = ask(&admin, &options).await;
        drop_aside(admin);
        answer
    }

    pub fn error(&self, why: impl Into<String>) -> Error {
        Error::Kafka {
            brokers: self.brokers.clone(),
            why: why.into(),
        }
    }

    pub fn result<T>(&self, result: std::result::Result<T, KafkaError>) -> Result<T> {
        result.map_err(|error| self.error(why(&error)))
    }

    /// What an error means for whoever works on a partition.
    pub fn halt(&self, error: &KafkaError) -> Halt {
        match code(error) {
            Some(
                Code::Fenced
                | Code::ProducerFenced
                | Code::InvalidProducerEpoch
                | Code::FencedInstanceId
                | Code::IllegalGeneration
                | Code::UnknownMemberId
                | Code::RebalanceInProgress
                // Retention was quicker than the reader; where it begins now is looked up anew.
                | Code::AutoOffsetReset,
            ) => Halt::Moved,
            _ => Halt::Trouble(self.error(why(error)).to_string()),
        }
    }
}

/// The code of an error.
pub fn code(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    }
}

/// What an error says, without the values of properties.
fn why(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, description, name, _) => format!("`{name}`: {description}"),
        KafkaError::ClientCreation(why) => why.clone(),
        KafkaError::Transaction(error) => error.string(),
        error => match code(error) {
            // The text of most is their code's.
            Some(code) => code.to_string(),
            None => error.to_string(),
        },
    }
}

/// Does what may wait on a thread of its own; `None` where it ended in a panic or there are no threads.
pub async fn aside<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (give, take) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned());
    let begun = thread.spawn(move || {
        // Whoever asked may have gone.
        let _ = give.send(work());
    });
    if let Err(error) = begun {
        tracing::error!(%error, "a thread for Kafka cannot begin");
    }
    take.await.ok()
}

/// Drops what may wait when it is dropped, on a thread of its own.
pub fn drop_aside<T: Send + 'static>(what: T) {
    let thread = std::thread::Builder::new().name("kafka-drop".to_owned());
    // Where there are no threads, it was dropped here.
    let _ = thread.spawn(move || drop(what));
}

fn say(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "librdkafka"),
        _ => tracing::debug!(facility, message, "librdkafka"),
    }
}

/// An administrator hears what it asks for.
pub struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        say(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
    }
}

/// What a consumer hears: the partitions that are its own, where they end, what is wrong.
pub struct Ears {
    brokers: String,
    progress: Option<Arc<Progress>>,
    /// The partition that it reads, if it reads one.
    partition: i32,
    assigned: watch::Sender<BTreeMap<u32, u64>>,
    rebalances: AtomicU64,
    end: AtomicI64,
}

impl Ears {
    fn new(brokers: &str, progress: Option<Arc<Progress>>, partition: i32) -> Self {
        Self {
            brokers: brokers.to_owned(),
            progress,
            partition,
            assigned: watch::Sender::default(),
            rebalances: AtomicU64::new(0),
            end: AtomicI64::new(-1),
        }
    }

    /// The partitions that the group has given to this member, each with the number of the rebalance that gave it.
    pub fn assigned(&self) -> watch::Receiver<BTreeMap<u32, u64>> {
        self.assigned.subscribe()
    }

    /// The end of the partition, for readers of committed records, as it was a moment ago.
    pub fn end(&self) -> Option<i64> {
        Some(self.end.load(Ordering::SeqCst)).filter(|end| *end >= 0)
    }
}

impl ClientContext for Ears {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        say(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
        // The others are of one broker of several, or come back to whoever asked.
        let lasting = matches!(
            code(&error),
            Some(Code::AllBrokersDown | Code::Authentication)
        );
        if let (true, Some(progress)) = (lasting, &self.progress) {
            progress.trouble(ALL, format!("Kafka at {}: {reason}", self.brokers));
        }
    }

    fn stats(&self, statistics: Statistics) {
        let topics = statistics.topics.values();
        let mut partitions = topics.filter_map(|topic| topic.partitions.get(&self.partition));
        if let Some(partition) = partitions.next() {
            self.end.fetch_max(partition.ls_offset, Ordering::SeqCst);
        }
    }
}

impl ConsumerContext for Ears {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assigned = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let number = self.rebalances.fetch_add(1, Ordering::SeqCst);
                let elements = partitions.elements();
                elements
                    .iter()
                    .map(|element| (element.partition() as u32, number))
                    .collect()
            }
            _ => BTreeMap::new(),
        };
        tracing::debug!(?assigned, "a flow's share of partitions is another");
        self.assigned.send_replace(assigned);
        // The member itself reads nothing; saying so ends the rebalance.
        let done = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                consumer.assign(&TopicPartitionList::new())
            }
            _ => consumer.unassign(),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "a rebalance does not end");
        }
    }
}

/// What becomes of records that are sent.
#[derive(Default)]
pub struct Deliveries {
    failed: Mutex<Option<KafkaError>>,
}

impl Deliveries {
    /// Why a record was not taken, if one was not.
    pub fn failed(&self) -> Option<KafkaError> {
        self.failed.lock().take()
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        say(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, delivery: &DeliveryResult<'_>, (): ()) {
        if let Err((error, record)) = delivery {
            tracing::debug!(%error, topic = record.topic(), "a record was not taken");
            self.failed.lock().get_or_insert_with(|| error.clone());
        }
    }
}
