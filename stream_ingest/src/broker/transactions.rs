//! Transactions: what joins them, how they end, and what administrators see of them.
//!
//! A transaction is the log's: it is decided there at once, so nobody is ever told that another transaction is in the way
//! (`CONCURRENT_TRANSACTIONS`). Clients of two generations are served. The older say what joins a transaction
//! (AddPartitionsToTxn, AddOffsetsToTxn) before they send it. The newer (KIP-890) just send it, and get another epoch
//! with every end, so that a request that arrives late cannot become part of the next transaction.

use super::groups::{Who, kept};
use super::{Code, Context, partition};
use crate::log::{End, Error, Offsets, Place, Producer, Stage, Transaction};
use crate::wire::messages::{
    add_offsets_to_txn, add_partitions_to_txn, describe_transactions, end_txn, list_transactions,
    txn_offset_commit,
};
use std::collections::BTreeMap;

/// The first version of TxnOffsetCommit with which a group joins the transaction by itself.
const OFFSETS_JOIN: i16 = 5;
/// The first version of EndTxn that gives the producer its next epoch.
const END_BUMPS: i16 = 5;
/// The first version of TxnOffsetCommit whose clients know that a transaction can only be aborted.
const OFFSETS_ABORTABLE: i16 = 4;
/// The first version of requests about transactions whose clients know another word for a producer that was fenced.
const FENCED: i16 = 2;

/// A partition's number, and which it is if there is one.
type Checked = (i32, Result<Place, Code>);

/// What a client of the coordinator is told: that it may try again, where that helps.
pub(super) fn code(error: &Error) -> Code {
    match error {
        Error::Full { .. } | Error::Busy => Code::CoordinatorNotAvailable,
        Error::Failed(_) | Error::Closed | Error::Io { .. } => Code::NotCoordinator,
        Error::Damaged { .. } => Code::UnknownServerError,
        error => Code::from(error),
    }
}

/// The same for a version whose clients know only that an epoch is old.
fn code_in(version: i16, error: &Error) -> Code {
    match code(error) {
        Code::ProducerFenced if version < FENCED => Code::InvalidProducerEpoch,
        code => code,
    }
}

fn named(id: &str) -> Result<&str, Code> {
    match id.is_empty() {
        true => Err(Code::InvalidRequest),
        false => Ok(id),
    }
}

/// AddPartitionsToTxn: all partitions or none.
pub(crate) async fn add_partitions(
    context: &Context,
    version: i16,
    request: add_partitions_to_txn::Request,
) -> add_partitions_to_txn::Response {
    let producer = Producer {
        id: request.v3_and_below_producer_id,
        epoch: request.v3_and_below_producer_epoch,
    };
    let topics = request.v3_and_below_topics;
    let check = |topic: &str, index: i32| {
        let index = partition(index)?;
        context.log().describe(topic, index)?;
        Ok::<Place, Code>((topic.to_owned(), index))
    };
    let checked: Vec<(String, Vec<Checked>)> = topics
        .into_iter()
        .map(|topic| {
            let indexes = topic.partitions.into_iter();
            let checked = indexes.map(|index| (index, check(&topic.name, index)));
            let checked = checked.collect();
            (topic.name, checked)
        })
        .collect();
    let all = checked.iter().flat_map(|(_, partitions)| partitions);
    let places: Result<Vec<Place>, Code> = all.map(|(_, checked)| checked.clone()).collect();
    let joined = match (named(&request.v3_and_below_transactional_id), places) {
        (Err(code), _) => Err(code),
        // Others would join, but not without those.
        (_, Err(_)) => Err(Code::OperationNotAttempted),
        (Ok(id), Ok(places)) => {
            let joined = context.log().join(id, producer, &places, None).await;
            joined.map_err(|error| code_in(version, &error))
        }
    };
    let results = checked.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(partition_index, checked)| {
            let outcome = match joined {
                Err(Code::OperationNotAttempted) => checked.and(joined),
                joined => joined,
            };
            add_partitions_to_txn::AddPartitionsToTxnPartitionResult {
                partition_index,
                partition_error_code: outcome.err().unwrap_or(Code::None).number(),
            }
        });
        add_partitions_to_txn::AddPartitionsToTxnTopicResult {
            name,
            results_by_partition: partitions.collect(),
        }
    });
    add_partitions_to_txn::Response {
        results_by_topic_v3_and_below: results.collect(),
        ..add_partitions_to_txn::Response::default()
    }
}

/// AddOffsetsToTxn.
pub(crate) async fn add_offsets(
    context: &Context,
    version: i16,
    request: add_offsets_to_txn::Request,
) -> add_offsets_to_txn::Response {
    let producer = Producer {
        id: request.producer_id,
        epoch: request.producer_epoch,
    };
    let joined = match named(&request.transactional_id) {
        Ok(_) if request.group_id.is_empty() => Err(Code::InvalidGroupId),
        Ok(id) => {
            let group = Some(request.group_id.as_str());
            let joined = context.log().join(id, producer, &[], group).await;
            joined.map_err(|error| code_in(version, &error))
        }
        Err(code) => Err(code),
    };
    add_offsets_to_txn::Response {
        error_code: joined.err().unwrap_or(Code::None).number(),
        ..add_offsets_to_txn::Response::default()
    }
}

/// TxnOffsetCommit: the offsets wait for the end of the transaction.
pub(crate) async fn commit_offsets(
    context: &Context,
    version: i16,
    request: txn_offset_commit::Request,
) -> txn_offset_commit::Response {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|one| kept::Wanted {
            partition: one.partition_index,
            offset: one.committed_offset,
            epoch: one.committed_leader_epoch,
            metadata: one.committed_metadata.as_deref(),
        });
        (topic.name.as_str(), partitions)
    });
    let (offsets, topics) = kept::check_all(context, topics);
    let done = pend(context, version, &request, offsets).await;
    let topics = topics.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(partition_index, checked)| {
            txn_offset_commit::TxnOffsetCommitResponsePartition {
                partition_index,
                error_code: done.and(checked).err().unwrap_or(Code::None).number(),
            }
        });
        txn_offset_commit::TxnOffsetCommitResponseTopic {
            name: name.to_owned(),
            partitions: partitions.collect(),
        }
    });
    txn_offset_commit::Response {
        topics: topics.collect(),
        ..txn_offset_commit::Response::default()
    }
}

async fn pend(
    context: &Context,
    version: i16,
    request: &txn_offset_commit::Request,
    offsets: Offsets,
) -> Result<(), Code> {
    let id = named(&request.transactional_id)?;
    if request.group_id.is_empty() {
        return Err(Code::InvalidGroupId);
    }
    let producer = Producer {
        id: request.producer_id,
        epoch: request.producer_epoch,
    };
    let who = Who {
        member: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    let (fence, refused) = kept::fence(context, &request.group_id, who, true);
    let joins = version >= OFFSETS_JOIN;
    let log = context.log();
    let kept = log.commit_offsets_in(id, joins, producer, &request.group_id, offsets, fence);
    match kept.await {
        Ok(()) => Ok(()),
        Err(Error::Fenced) => Err(refused.lock().unwrap_or(Code::IllegalGeneration)),
        Err(Error::TransactionState(_)) if version >= OFFSETS_ABORTABLE => {
            Err(Code::TransactionAbortable)
        }
        Err(error) => Err(code(&error)),
    }
}

/// EndTxn: answered when all of it is on the disk.
pub(crate) async fn end(
    context: &Context,
    version: i16,
    request: end_txn::Request,
) -> end_txn::Response {
    let producer = Producer {
        id: request.producer_id,
        epoch: request.producer_epoch,
    };
    let end = match request.committed {
        true => End::Commit,
        false => End::Abort,
    };
    let bumps = version >= END_BUMPS;
    let ended = match named(&request.transactional_id) {
        Ok(id) => {
            let ended = context.log().end(id, producer, end, bumps).await;
            ended.map_err(|error| code_in(version, &error))
        }
        Err(code) => Err(code),
    };
    end_txn::Response {
        error_code: ended.err().unwrap_or(Code::None).number(),
        producer_id: ended.map_or(-1, |producer| producer.id),
        producer_epoch: ended.map_or(-1, |producer| producer.epoch),
        ..end_txn::Response::default()
    }
}

/// Kafka's words. Of its other states nothing here is ever in one.
fn word(stage: Stage) -> &'static str {
    match stage {
        Stage::Empty => "Empty",
        Stage::Ongoing => "Ongoing",
        Stage::Committed => "CompleteCommit",
        Stage::Aborted => "CompleteAbort",
    }
}

/// Kafka's states that a transaction here is never in: administrators may ask for them all the same.
const OTHER_WORDS: [&str; 4] = ["PrepareCommit", "PrepareAbort", "Dead", "PrepareEpochFence"];
const STAGES: [Stage; 4] = [
    Stage::Empty,
    Stage::Ongoing,
    Stage::Committed,
    Stage::Aborted,
];

/// DescribeTransactions.
pub(crate) async fn describe(
    context: &Context,
    _: i16,
    request: describe_transactions::Request,
) -> describe_transactions::Response {
    let states = request.transactional_ids.into_iter().map(|id| {
        let found = match named(&id) {
            Ok(id) => context.log().transaction(id).map_err(|error| code(&error)),
            Err(code) => Err(code),
        };
        match found {
            Ok(found) => described(id, found),
            Err(code) => describe_transactions::TransactionState {
                error_code: code.number(),
                transactional_id: id,
                transaction_start_time_ms: -1,
                producer_id: -1,
                producer_epoch: -1,
                ..describe_transactions::TransactionState::default()
            },
        }
    });
    describe_transactions::Response {
        transaction_states: states.collect(),
        ..describe_transactions::Response::default()
    }
}

fn described(
    transactional_id: String,
    found: Transaction,
) -> describe_transactions::TransactionState {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in found.places {
        let partitions = topics.entry(topic).or_default();
        partitions.extend(i32::try_from(partition));
    }
    let topics = topics
        .into_iter()
        .map(|(topic, partitions)| describe_transactions::TopicData { topic, partitions });
    describe_transactions::TransactionState {
        transactional_id,
        transaction_state: word(found.stage).to_owned(),
        transaction_timeout_ms: i32::try_from(found.timeout.as_millis()).unwrap_or(i32::MAX),
        transaction_start_time_ms: found.since.unwrap_or(-1),
        producer_id: found.producer.id,
        producer_epoch: found.producer.epoch,
        topics: topics.collect(),
        ..describe_transactions::TransactionState::default()
    }
}

/// ListTransactions: those in some states, of some producers, or open for longer than some time.
pub(crate) async fn list(
    context: &Context,
    _: i16,
    request: list_transactions::Request,
) -> list_transactions::Response {
    let known = |filter: &str| {
        OTHER_WORDS.contains(&filter) || STAGES.iter().any(|stage| word(*stage) == filter)
    };
    let filters = &request.state_filters;
    let unknown = filters.iter().filter(|filter| !known(filter)).cloned();
    let unknown_state_filters: Vec<String> = unknown.collect();
    let now = context.log().now();
    let wanted = |found: &Transaction| {
        let stage = word(found.stage);
        let producers = &request.producer_id_filters;
        let long = match (request.duration_filter, found.since) {
            (..0, _) => true,
            (least, Some(since)) => now.saturating_sub(since) > least,
            (_, None) => false,
        };
        (filters.is_empty() || filters.iter().any(|filter| filter == stage))
            && (producers.is_empty() || producers.contains(&found.producer.id))
            && long
    };
    let all = context.log().transactions().into_iter();
    let states = all
        .filter(|(_, found)| wanted(found))
        .map(
            |(transactional_id, found)| list_transactions::TransactionState {
                transactional_id,
                producer_id: found.producer.id,
                transaction_state: word(found.stage).to_owned(),
            },
        );
    list_transactions::Response {
        unknown_state_filters,
        transaction_states: states.collect(),
        ..list_transactions::Response::default()
    }
}
