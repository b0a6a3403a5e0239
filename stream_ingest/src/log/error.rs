//! Why the log refuses; what Kafka calls it stands with each variant.

use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Why the log cannot do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// There is no such topic (Kafka: 3, `UNKNOWN_TOPIC_OR_PARTITION`; 100, `UNKNOWN_TOPIC_ID`, where an id was given).
    #[error("there is no topic {0}")]
    NoTopic(String),
    /// The topic has no such partition (Kafka: 3, `UNKNOWN_TOPIC_OR_PARTITION`).
    #[error("the topic {topic} has no partition {partition}")]
    NoPartition {
        /// The topic.
        topic: String,
        /// What was asked for.
        partition: u32,
    },
    /// The topic is there already (Kafka: 36, `TOPIC_ALREADY_EXISTS`).
    #[error("the topic {0} already exists")]
    TopicExists(String),
    /// The name cannot be a topic's (Kafka: 17, `INVALID_TOPIC_EXCEPTION`).
    #[error("a topic cannot be called {name:?}: {why}")]
    TopicName {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A topic's name differs from another's only in dots and underscores (Kafka: 17, `INVALID_TOPIC_EXCEPTION`).
    #[error("topic {name} collides with {other}: they differ only in dots and underscores")]
    TopicCollides {
        /// The name.
        name: String,
        /// That of the topic that is there.
        other: String,
    },
    /// The number of partitions is not possible (Kafka: 37, `INVALID_PARTITIONS`).
    #[error("{0}")]
    Partitions(String),
    /// A setting is unknown or its value cannot be used (Kafka: 40, `INVALID_CONFIG`).
    #[error("the setting {key} cannot be {value:?}: {why}")]
    Config {
        /// The setting.
        key: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// The partition does not have that offset (Kafka: 1, `OFFSET_OUT_OF_RANGE`).
    #[error("offset {offset} is not within {log_start}..={high_watermark}")]
    OffsetOutOfRange {
        /// What was asked for.
        offset: i64,
        /// The first offset that is there.
        log_start: i64,
        /// The offset after the last visible record.
        high_watermark: i64,
    },
    /// The sum of a batch that is to be appended is wrong: it was damaged on its way (Kafka: 2, `CORRUPT_MESSAGE`; a
    /// retry may help).
    #[error("the batch was damaged on its way: {0}")]
    BatchDamaged(&'static str),
    /// A batch is not one that a producer may write (Kafka: 87, `INVALID_RECORD`).
    #[error("the batch is not valid: {0}")]
    BatchInvalid(&'static str),
    /// Records of a batch for a topic that compacts have no key (Kafka: 87, `INVALID_RECORD`).
    #[error("a record of a topic that compacts must have a key")]
    Keyless {
        /// The places of such records in their batch, from 0; at most [`MOST_RECORDS`](Self::MOST_RECORDS) of them.
        records: Vec<i32>,
    },
    /// Records of a batch have times that are further from the log's than their topic allows (Kafka: 32,
    /// `INVALID_TIMESTAMP`).
    #[error("a record's time is further from the broker's than the topic allows")]
    Untimely {
        /// As in [`Keyless`](Self::Keyless).
        records: Vec<i32>,
    },
    /// Records of a format before version 2 (Kafka: 43, `UNSUPPORTED_FOR_MESSAGE_FORMAT`).
    #[error("records of format {0} are not taken, only those of format 2")]
    BatchFormat(i8),
    /// A batch is larger than the topic allows (Kafka: 10, `MESSAGE_TOO_LARGE`).
    #[error("a batch of {bytes} bytes is more than the topic's {most}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// `max.message.bytes`.
        most: usize,
    },
    /// A producer's batch does not follow the one before it (Kafka: 45, `OUT_OF_ORDER_SEQUENCE_NUMBER`).
    #[error("producer {producer} sent sequence {got} where {expected} follows")]
    OutOfOrderSequence {
        /// Its id.
        producer: i64,
        /// The sequence that would have followed.
        expected: i32,
        /// What came.
        got: i32,
    },
    /// Some batches of one append are there already and others are not (Kafka: 46, `DUPLICATE_SEQUENCE_NUMBER`).
    #[error("producer {producer} sent sequence {sequence} again together with new ones")]
    DuplicateSequence {
        /// Its id.
        producer: i64,
        /// The sequence.
        sequence: i32,
    },
    /// A producer with a newer epoch has taken over (Kafka: 47, `INVALID_PRODUCER_EPOCH`).
    #[error("producer {producer} has epoch {current}, not {got}")]
    ProducerEpoch {
        /// Its id.
        producer: i64,
        /// The newest epoch that was seen.
        current: i16,
        /// What came.
        got: i16,
    },
    /// The transactional id is not known, or has another producer (Kafka: 49, `INVALID_PRODUCER_ID_MAPPING`).
    #[error("producer {producer} is not that of the transactional id {id:?}")]
    ProducerMapping {
        /// The transactional id.
        id: String,
        /// The producer that asked.
        producer: i64,
    },
    /// Another instance has taken over the transactional id, or its transaction was open for too long (Kafka: 90,
    /// `PRODUCER_FENCED`).
    #[error(
        "producer {producer} has epoch {current}, not {got}: another instance goes on, or a transaction took too long"
    )]
    ProducerFenced {
        /// Its id.
        producer: i64,
        /// The epoch of who may go on.
        current: i16,
        /// What came.
        got: i16,
    },
    /// It is not the time for this in a transaction (Kafka: 48, `INVALID_TXN_STATE`).
    #[error("{0}")]
    TransactionState(&'static str),
    /// A producer asks for transactions that take longer than is allowed (Kafka: 50, `INVALID_TRANSACTION_TIMEOUT`).
    #[error("transactions may be open for at most {most:?}, not {asked:?}")]
    TransactionTimeout {
        /// What was asked for.
        asked: Duration,
        /// `transaction.max.timeout.ms`.
        most: Duration,
    },
    /// As many transactional ids as are possible have open transactions; a retry may help (Kafka: 15,
    /// `COORDINATOR_NOT_AVAILABLE`).
    #[error("{0} transactional ids are in a transaction, and no more are possible")]
    Transactions(usize),
    /// There is no such transactional id (Kafka: 105, `TRANSACTIONAL_ID_NOT_FOUND`).
    #[error("there is no transactional id {0:?}")]
    NoTransactionalId(String),
    /// A batch of a transaction came without a transactional id (Kafka: 53, `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`).
    #[error("a batch of a transaction came without a transactional id")]
    Unnamed,
    /// Who commits is no longer the one to commit (Kafka: 22, `ILLEGAL_GENERATION`).
    #[error("the group has another generation now")]
    Fenced,
    /// There is no such group (Kafka: 69, `GROUP_ID_NOT_FOUND`).
    #[error("there is no group {0}")]
    NoGroup(String),
    /// Something that a client gave is longer than what is kept (Kafka: 42, `INVALID_REQUEST`; 12,
    /// `OFFSET_METADATA_TOO_LARGE`, for the metadata of an offset).
    #[error("{what} has {bytes} bytes, at most {most} are kept")]
    TooLong {
        /// What.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// More is waiting for the disk than is allowed to; ask again after [`Log::room`](super::Log::room) (Kafka: throttle).
    #[error("the log has more waiting for the disk than it may")]
    Busy,
    /// The disk is full: nothing is appended, reads go on, and appends too once there is space (Kafka: 56,
    /// `KAFKA_STORAGE_ERROR`).
    #[error("the disk is full: {free} bytes are free, {needed} are needed")]
    Full {
        /// Bytes that are free.
        free: u64,
        /// Bytes that must be.
        needed: u64,
    },
    /// Data that was acknowledged is damaged on the disk (Kafka: 2, `CORRUPT_MESSAGE`, to who reads; 56,
    /// `KAFKA_STORAGE_ERROR`, to who appends). What else is there is served.
    #[error("{path} is damaged at byte {at}: {why}")]
    Damaged {
        /// The file, relative to the log's folder.
        path: String,
        /// Where in it.
        at: u64,
        /// What is wrong.
        why: String,
    },
    /// A write or a sync failed, and the log takes nothing more: only opening it again tells what the disk kept
    /// (Kafka: 56, `KAFKA_STORAGE_ERROR`). Never retried, because a sync that failed once may succeed the next time
    /// without having written anything. The owner ends the process with an error.
    #[error("the log has stopped: {0}")]
    Failed(Arc<str>),
    /// The log was closed (Kafka: 56, `KAFKA_STORAGE_ERROR`).
    #[error("the log is closed")]
    Closed,
    /// The disk refuses something that changes nothing, such as a read (Kafka: 56, `KAFKA_STORAGE_ERROR`).
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file, relative to the log's folder.
        path: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
}

impl Error {
    /// Most records that [`Error::Keyless`] and [`Error::Untimely`] name.
    pub const MOST_RECORDS: usize = 100;
}

/// What an operation gives.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn io(what: &'static str, path: &str) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io {
        what,
        path,
        source: Arc::new(source),
    }
}
