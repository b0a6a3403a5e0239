//! Produce: batches go to the log as they came.

use super::connection::Closed;
use super::dispatch::{Asked, Reply};
use super::{Code, Context, Metrics, partition};
use crate::log::batch::Head;
use crate::log::{Acks, Error, Pending};
use crate::wire::Api;
use crate::wire::messages::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, Request, Response,
    TopicProduceResponse,
};
use bytes::Bytes;
use futures_util::FutureExt;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The first version whose clients know that a transaction can only be aborted.
const ABORTABLE: i16 = 11;
/// The first version with which a partition joins the transaction by itself.
const JOINS: i16 = 12;

/// Submits the batches of a request of so many bytes, in their order; the answer waits for what `acks` asks for. With
/// `acks=0` there is no answer, and an error closes the connection: the only way to tell the client.
pub(crate) async fn begin(
    context: &Context,
    asked: Asked,
    request: Request,
    bytes: usize,
) -> Result<Option<Reply>, Closed> {
    let acks = match request.acks {
        0 => Acks::None,
        1 => Acks::Written,
        -1 => Acks::Durable,
        _ => {
            let answer = refuse_all(&request, Code::InvalidRequiredAcks);
            return Ok(Some(Reply::Now(asked.frame(&answer)?)));
        }
    };
    let transaction = request.transactional_id.as_deref();
    let transaction = transaction.map(|id| (id, asked.version >= JOINS));
    let deadline = Instant::now() + Duration::from_millis(request.timeout_ms.max(0) as u64);
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for topic in request.topic_data {
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        for mut one in topic.partition_data {
            let index = one.index;
            if let Some(records) = &mut one.records
                && records.len() < bytes / 2
            {
                // The log would keep the whole request for them.
                *records = Bytes::copy_from_slice(records);
            }
            let pending = submit(context, transaction, &topic.name, one, acks).await;
            partitions.push((index, pending));
        }
        topics.push((topic.name, partitions));
    }
    if acks == Acks::None {
        let mut pending = topics.into_iter().flat_map(|(_, partitions)| partitions);
        return match pending.find_map(|(_, pending)| pending.err()) {
            Some(error) => {
                let metrics = &context.options().metrics;
                metrics.failed(Api::Produce, Code::from(&error));
                Err(Closed::Unacknowledged(error))
            }
            None => Ok(None),
        };
    }
    let metrics = context.options().metrics.clone();
    let later = async move {
        let mut responses = Vec::with_capacity(topics.len());
        for (name, partitions) in topics {
            let mut partition_responses = Vec::with_capacity(partitions.len());
            for (index, pending) in partitions {
                partition_responses.push(outcome(&metrics, asked, index, pending, deadline).await);
            }
            responses.push(TopicProduceResponse {
                name,
                partition_responses,
                ..TopicProduceResponse::default()
            });
        }
        let answer = Response {
            responses,
            ..Response::default()
        };
        asked.frame(&answer)
    };
    Ok(Some(Reply::Later(later.boxed())))
}

async fn submit(
    context: &Context,
    transaction: Option<(&str, bool)>,
    topic: &str,
    one: PartitionProduceData,
    acks: Acks,
) -> Result<Pending, Error> {
    let no_partition = |_| Error::NoPartition {
        topic: topic.to_owned(),
        partition: u32::MAX,
    };
    let index = partition(one.index).map_err(no_partition)?;
    let records = one.records.unwrap_or_default();
    if Head::read(&records).is_some_and(|head| head.bytes < records.len()) {
        return Err(Error::BatchInvalid(
            "a request has one batch for a partition",
        ));
    }
    let log = context.log();
    log.submit_with_room(transaction, topic, index, records, acks)
        .await
}

async fn outcome(
    metrics: &Metrics,
    asked: Asked,
    index: i32,
    pending: Result<Pending, Error>,
    deadline: Instant,
) -> PartitionProduceResponse {
    let done = match pending {
        Ok(pending) => timeout_at(deadline, pending.done()).await,
        Err(error) => Ok(Err(error)),
    };
    let failed = |code: Code, words: Option<String>| {
        metrics.failed(Api::Produce, code);
        PartitionProduceResponse {
            index,
            error_code: code.number(),
            base_offset: -1,
            log_start_offset: -1,
            error_message: words,
            ..PartitionProduceResponse::default()
        }
    };
    match done {
        Ok(Ok(appended)) => PartitionProduceResponse {
            index,
            base_offset: appended.base_offset,
            log_append_time_ms: appended.log_append_time.unwrap_or(-1),
            log_start_offset: appended.log_start,
            ..PartitionProduceResponse::default()
        },
        Ok(Err(error)) => {
            let code = match Code::from(&error) {
                // It is the partition that is damaged, and not the batch.
                _ if matches!(error, Error::Damaged { .. }) => Code::KafkaStorageError,
                Code::InvalidTxnState if asked.version >= ABORTABLE => Code::TransactionAbortable,
                code => code,
            };
            let mut failed = failed(code, Some(error.to_string()));
            if let Error::Keyless { records } | Error::Untimely { records } = &error {
                // A producer gives these up and tells the others that they were in their company.
                let refused = |record: &i32| BatchIndexAndErrorMessage {
                    batch_index: *record,
                    batch_index_error_message: Some(error.to_string()),
                };
                failed.record_errors = records.iter().map(refused).collect();
            }
            failed
        }
        // It may be appended all the same; an idempotent producer that sends it again gets its offset.
        Err(_) => failed(Code::RequestTimedOut, None),
    }
}

fn refuse_all(request: &Request, code: Code) -> Response {
    let partition = |one: &PartitionProduceData| PartitionProduceResponse {
        index: one.index,
        error_code: code.number(),
        base_offset: -1,
        log_start_offset: -1,
        ..PartitionProduceResponse::default()
    };
    let topics = request.topic_data.iter().map(|topic| TopicProduceResponse {
        name: topic.name.clone(),
        partition_responses: topic.partition_data.iter().map(partition).collect(),
        ..TopicProduceResponse::default()
    });
    Response {
        responses: topics.collect(),
        ..Response::default()
    }
}
