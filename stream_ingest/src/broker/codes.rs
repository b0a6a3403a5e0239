//! Kafka's error numbers, and which of them says what the log says.

use crate::log::Error;

/// An error of the protocol, by the name and number that clients know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
#[allow(missing_docs)] // Kafka's names; its protocol guide says what each means.
pub enum Code {
    UnknownServerError = -1,
    None = 0,
    OffsetOutOfRange = 1,
    CorruptMessage = 2,
    UnknownTopicOrPartition = 3,
    RequestTimedOut = 7,
    MessageTooLarge = 10,
    OffsetMetadataTooLarge = 12,
    CoordinatorNotAvailable = 15,
    NotCoordinator = 16,
    InvalidTopicException = 17,
    InvalidRequiredAcks = 21,
    IllegalGeneration = 22,
    InconsistentGroupProtocol = 23,
    InvalidGroupId = 24,
    UnknownMemberId = 25,
    InvalidSessionTimeout = 26,
    RebalanceInProgress = 27,
    InvalidTimestamp = 32,
    UnsupportedSaslMechanism = 33,
    UnsupportedVersion = 35,
    TopicAlreadyExists = 36,
    InvalidPartitions = 37,
    InvalidReplicationFactor = 38,
    InvalidReplicaAssignment = 39,
    InvalidConfig = 40,
    InvalidRequest = 42,
    UnsupportedForMessageFormat = 43,
    PolicyViolation = 44,
    OutOfOrderSequenceNumber = 45,
    DuplicateSequenceNumber = 46,
    InvalidProducerEpoch = 47,
    InvalidTxnState = 48,
    InvalidProducerIdMapping = 49,
    InvalidTransactionTimeout = 50,
    TransactionalIdAuthorizationFailed = 53,
    SecurityDisabled = 54,
    OperationNotAttempted = 55,
    KafkaStorageError = 56,
    NonEmptyGroup = 68,
    GroupIdNotFound = 69,
    FetchSessionIdNotFound = 70,
    InvalidFetchSessionEpoch = 71,
    FencedLeaderEpoch = 74,
    UnknownLeaderEpoch = 75,
    MemberIdRequired = 79,
    GroupMaxSizeReached = 81,
    FencedInstanceId = 82,
    GroupSubscribedToTopic = 86,
    InvalidRecord = 87,
    UnstableOffsetCommit = 88,
    ThrottlingQuotaExceeded = 89,
    ProducerFenced = 90,
    UnknownTopicId = 100,
    TransactionalIdNotFound = 105,
    TransactionAbortable = 120,
}

impl Code {
    /// The number on the wire.
    pub fn number(self) -> i16 {
        self as i16
    }
}

impl From<&Error> for Code {
    fn from(error: &Error) -> Self {
        match error {
            Error::NoTopic(_) | Error::NoPartition { .. } => Self::UnknownTopicOrPartition,
            Error::TopicExists(_) => Self::TopicAlreadyExists,
            Error::TopicName { .. } | Error::TopicCollides { .. } => Self::InvalidTopicException,
            Error::Partitions(_) => Self::InvalidPartitions,
            Error::Config { .. } => Self::InvalidConfig,
            Error::OffsetOutOfRange { .. } => Self::OffsetOutOfRange,
            Error::BatchDamaged(_) => Self::CorruptMessage,
            Error::BatchInvalid(_) | Error::Keyless { .. } => Self::InvalidRecord,
            Error::Untimely { .. } => Self::InvalidTimestamp,
            Error::BatchFormat(_) => Self::UnsupportedForMessageFormat,
            Error::TooLarge { .. } => Self::MessageTooLarge,
            Error::OutOfOrderSequence { .. } => Self::OutOfOrderSequenceNumber,
            Error::DuplicateSequence { .. } => Self::DuplicateSequenceNumber,
            Error::ProducerEpoch { .. } => Self::InvalidProducerEpoch,
            Error::ProducerMapping { .. } => Self::InvalidProducerIdMapping,
            Error::ProducerFenced { .. } => Self::ProducerFenced,
            Error::TransactionState(_) => Self::InvalidTxnState,
            Error::TransactionTimeout { .. } => Self::InvalidTransactionTimeout,
            Error::Transactions(_) => Self::CoordinatorNotAvailable,
            Error::NoTransactionalId(_) => Self::TransactionalIdNotFound,
            Error::Unnamed => Self::TransactionalIdAuthorizationFailed,
            Error::Fenced => Self::IllegalGeneration,
            Error::NoGroup(_) => Self::GroupIdNotFound,
            Error::TooLong { .. } => Self::InvalidRequest,
            // What clients try again: the producer keeps the batch and its place.
            Error::Busy => Self::RequestTimedOut,
            // Whoever reads must be told that it is no empty partition, and not try again in silence.
            Error::Damaged { .. } => Self::CorruptMessage,
            Error::Full { .. } | Error::Failed(_) | Error::Closed | Error::Io { .. } => {
                Self::KafkaStorageError
            }
        }
    }
}

impl From<Error> for Code {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}
