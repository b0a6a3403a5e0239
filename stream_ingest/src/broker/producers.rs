//! Producers that number their batches: InitProducerId, DescribeProducers.

use super::transactions::code;
use super::{Code, Context, partition};
use crate::log::Producer;
use crate::wire::messages::{describe_producers, init_producer_id};
use std::time::Duration;

/// The first version of InitProducerId whose clients know another word for a producer that was fenced.
const FENCED: i16 = 4;

/// A number for an idempotent producer, or the next epoch for one with a transactional id.
pub(crate) async fn init(
    context: &Context,
    version: i16,
    request: init_producer_id::Request,
) -> init_producer_id::Response {
    let given = match request.transactional_id.as_deref() {
        None => {
            let given = context.log().init_producer_id().await;
            given
                .map(|id| Producer { id, epoch: 0 })
                .map_err(|error| code(&error))
        }
        Some("") => Err(Code::InvalidRequest),
        Some(id) => begin(context, version, id, &request).await,
    };
    init_producer_id::Response {
        error_code: given.err().unwrap_or(Code::None).number(),
        producer_id: given.map_or(-1, |producer| producer.id),
        producer_epoch: given.map_or(-1, |producer| producer.epoch),
        ..init_producer_id::Response::default()
    }
}

async fn begin(
    context: &Context,
    version: i16,
    id: &str,
    request: &init_producer_id::Request,
) -> Result<Producer, Code> {
    let timeout = u64::try_from(request.transaction_timeout_ms)
        .map_err(|_| Code::InvalidTransactionTimeout)?;
    // Both or neither.
    let expected = match (request.producer_id, request.producer_epoch) {
        (-1, -1) => None,
        (id @ 0.., epoch @ 0..) => Some(Producer { id, epoch }),
        _ => return Err(Code::InvalidRequest),
    };
    let log = context.log();
    let begun = log.begin(id, Duration::from_millis(timeout), expected);
    begun.await.map_err(|error| match code(&error) {
        Code::ProducerFenced if version < FENCED => Code::InvalidProducerEpoch,
        code => code,
    })
}

/// DescribeProducers.
pub(crate) async fn describe(
    context: &Context,
    _: i16,
    request: describe_producers::Request,
) -> describe_producers::Response {
    let one = |topic: &str, partition_index: i32| {
        let index = partition(partition_index);
        let found = index.and_then(|index| Ok(context.log().writers(topic, index)?));
        let producers = found.as_deref().unwrap_or_default().iter();
        let producers = producers.map(|writer| describe_producers::ProducerState {
            producer_id: writer.producer.id,
            producer_epoch: i32::from(writer.producer.epoch),
            last_sequence: writer.last_sequence,
            last_timestamp: writer.at,
            coordinator_epoch: if writer.open_from.is_some() { 0 } else { -1 },
            current_txn_start_offset: writer.open_from.unwrap_or(-1),
        });
        describe_producers::PartitionResponse {
            partition_index,
            active_producers: producers.collect(),
            error_code: found.err().unwrap_or(Code::None).number(),
            ..describe_producers::PartitionResponse::default()
        }
    };
    let topics = request.topics.into_iter().map(|topic| {
        let indexes = topic.partition_indexes.into_iter();
        let partitions = indexes.map(|index| one(&topic.name, index));
        let partitions = partitions.collect();
        describe_producers::TopicResponse {
            name: topic.name,
            partitions,
        }
    });
    describe_producers::Response {
        topics: topics.collect(),
        ..describe_producers::Response::default()
    }
}
