//! Where a partition begins and ends, records by their time, ends of epochs, and records that are deleted.

use super::fetch::check_epoch;
use super::{Code, Context, partition};
use crate::log::{Found, Isolation};
use crate::wire::messages::{delete_records, list_offsets, offset_for_leader_epoch};

/// Instead of a time: the end, the beginning, the record with the largest time.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;

/// ListOffsets.
pub(crate) async fn list(
    context: &Context,
    _: i16,
    request: list_offsets::Request,
) -> list_offsets::Response {
    let isolation = match request.isolation_level {
        1 => Isolation::ReadCommitted,
        _ => Isolation::ReadUncommitted,
    };
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for one in topic.partitions {
            let mut answer = list_offsets::ListOffsetsPartitionResponse {
                partition_index: one.partition_index,
                ..list_offsets::ListOffsetsPartitionResponse::default()
            };
            match find(context, &topic.name, &one, isolation).await {
                Ok((found, epoch)) => {
                    answer.timestamp = found.timestamp;
                    answer.offset = found.offset;
                    answer.leader_epoch = epoch;
                }
                Err(code) => answer.error_code = code.number(),
            }
            partitions.push(answer);
        }
        topics.push(list_offsets::ListOffsetsTopicResponse {
            name: topic.name,
            partitions,
        });
    }
    list_offsets::Response {
        topics,
        ..list_offsets::Response::default()
    }
}

async fn find(
    context: &Context,
    topic: &str,
    wanted: &list_offsets::ListOffsetsPartition,
    isolation: Isolation,
) -> Result<(Found, i32), Code> {
    let index = partition(wanted.partition_index)?;
    check_epoch(context.log(), topic, index, wanted.current_leader_epoch)?;
    let state = context.log().describe(topic, index)?;
    let name = topic.to_owned();
    let last = match isolation {
        Isolation::ReadCommitted => state.last_stable,
        Isolation::ReadUncommitted => state.high_watermark,
    };
    let found = match wanted.timestamp {
        LATEST => Some(end(last)),
        EARLIEST => Some(end(state.log_start)),
        MAX_TIMESTAMP => {
            context
                .blocking(move |log| log.offset_of_max_time(&name, index))
                .await??
        }
        timestamp if timestamp >= 0 => {
            context
                .blocking(move |log| log.offset_for_time(&name, index, timestamp))
                .await??
        }
        _ => return Err(Code::InvalidRequest),
    };
    // What this reader cannot have yet is not found.
    let is_end = matches!(wanted.timestamp, LATEST | EARLIEST);
    let found = found.filter(|found| is_end || found.offset < last);
    Ok(match found {
        Some(found) => (found, state.leader_epoch),
        None => (end(-1), -1),
    })
}

fn end(offset: i64) -> Found {
    Found {
        offset,
        timestamp: -1,
    }
}

/// OffsetForLeaderEpoch.
pub(crate) async fn epoch_ends(
    context: &Context,
    _: i16,
    request: offset_for_leader_epoch::Request,
) -> offset_for_leader_epoch::Response {
    let one = |topic: &str, wanted: &offset_for_leader_epoch::OffsetForLeaderPartition| {
        let index = partition(wanted.partition)?;
        check_epoch(context.log(), topic, index, wanted.current_leader_epoch)?;
        let end = context.log().epoch_end(topic, index, wanted.leader_epoch);
        Ok::<_, Code>(end?)
    };
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let end = one(&topic.topic, wanted);
            offset_for_leader_epoch::EpochEndOffset {
                error_code: end.err().unwrap_or(Code::None).number(),
                partition: wanted.partition,
                leader_epoch: end.map_or(-1, |(epoch, _)| epoch),
                end_offset: end.map_or(-1, |(_, offset)| offset),
            }
        });
        offset_for_leader_epoch::OffsetForLeaderTopicResult {
            partitions: partitions.collect(),
            topic: topic.topic,
        }
    });
    offset_for_leader_epoch::Response {
        topics: topics.collect(),
        ..offset_for_leader_epoch::Response::default()
    }
}

/// DeleteRecords.
pub(crate) async fn delete_records(
    context: &Context,
    _: i16,
    request: delete_records::Request,
) -> delete_records::Response {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        // What compacts keeps the last record of each key, unless its policy has `delete`, too.
        let known = context.log().topic(&topic.name);
        let keeps = known.is_ok_and(|topic| topic.config.compact && !topic.config.delete);
        for one in topic.partitions {
            let deleted = match partition(one.partition_index) {
                Ok(_) if keeps => Err(Code::PolicyViolation),
                Ok(index) if one.offset >= -1 => context
                    .log()
                    .delete_records(&topic.name, index, one.offset)
                    .await
                    .map_err(Code::from),
                Ok(_) => Err(Code::OffsetOutOfRange),
                Err(code) => Err(code),
            };
            partitions.push(delete_records::DeleteRecordsPartitionResult {
                partition_index: one.partition_index,
                low_watermark: deleted.unwrap_or(-1),
                error_code: deleted.err().unwrap_or(Code::None).number(),
            });
        }
        topics.push(delete_records::DeleteRecordsTopicResult {
            name: topic.name,
            partitions,
        });
    }
    delete_records::Response {
        topics,
        ..delete_records::Response::default()
    }
}
