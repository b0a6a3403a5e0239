//! The offsets of groups: OffsetCommit, OffsetFetch, OffsetDelete.

use super::group::{Group, State, Who};
use super::kept;
use crate::broker::transactions::code;
use crate::broker::{Code, Context, partition};
use crate::log::{Committed, Error, Offsets, Place};
use crate::wire::Reader;
use crate::wire::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use crate::wire::messages::{offset_commit, offset_delete, offset_fetch};
use bytes::Bytes;
use std::collections::BTreeSet;

/// OffsetCommit: answered when the offsets are on the disk.
pub(crate) async fn commit(
    context: &Context,
    _: i16,
    request: offset_commit::Request,
) -> offset_commit::Response {
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
    let done = keep(context, &request, offsets).await;
    let topics = topics.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(partition_index, checked)| {
            let outcome = done.and(checked);
            offset_commit::OffsetCommitResponsePartition {
                partition_index,
                error_code: outcome.err().unwrap_or(Code::None).number(),
            }
        });
        offset_commit::OffsetCommitResponseTopic {
            name: name.to_owned(),
            partitions: partitions.collect(),
            ..offset_commit::OffsetCommitResponseTopic::default()
        }
    });
    offset_commit::Response {
        topics: topics.collect(),
        ..offset_commit::Response::default()
    }
}

async fn keep(
    context: &Context,
    request: &offset_commit::Request,
    offsets: Offsets,
) -> Result<(), Code> {
    if request.group_id.is_empty() {
        return Err(Code::InvalidGroupId);
    }
    let who = Who {
        member: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        generation: request.generation_id_or_member_epoch,
    };
    let (fence, refused) = kept::fence(context, &request.group_id, who, false);
    if offsets.is_empty() {
        // Nothing to keep, but whoever may not shall learn it.
        return match fence() {
            true => Ok(()),
            false => Err(refused.lock().unwrap_or(Code::IllegalGeneration)),
        };
    }
    match context
        .log()
        .commit_offsets(&request.group_id, offsets, fence)
        .await
    {
        Ok(()) => Ok(()),
        Err(Error::Fenced) => Err(refused.lock().unwrap_or(Code::IllegalGeneration)),
        Err(error) => Err(code(&error)),
    }
}

/// OffsetFetch: one group before version 8, any number after.
pub(crate) async fn committed(
    context: &Context,
    version: i16,
    request: offset_fetch::Request,
) -> offset_fetch::Response {
    if version < 8 {
        let wanted = request.topics.map(|topics| {
            let topics = topics.into_iter();
            topics
                .map(|topic| (topic.name, topic.partition_indexes))
                .collect()
        });
        let stable = request.require_stable;
        let (found, code) = find(context, &request.group_id, wanted, stable).await;
        let topics = found.into_iter().map(|(name, partitions)| {
            let partitions = partitions
                .into_iter()
                .map(|(partition_index, found, error)| {
                    offset_fetch::OffsetFetchResponsePartition {
                        partition_index,
                        committed_offset: found.offset,
                        committed_leader_epoch: found.leader_epoch,
                        metadata: Some(found.metadata),
                        error_code: match code {
                            Code::None => error,
                            // Before version 2 there is no other place for it.
                            code => code,
                        }
                        .number(),
                    }
                });
            offset_fetch::OffsetFetchResponseTopic {
                name,
                partitions: partitions.collect(),
            }
        });
        return offset_fetch::Response {
            topics: topics.collect(),
            error_code: code.number(),
            ..offset_fetch::Response::default()
        };
    }
    let mut groups = Vec::with_capacity(request.groups.len());
    for group in request.groups {
        let wanted = group.topics.map(|topics| {
            let topics = topics.into_iter();
            topics
                .map(|topic| (topic.name, topic.partition_indexes))
                .collect()
        });
        let stable = request.require_stable;
        let (found, code) = find(context, &group.group_id, wanted, stable).await;
        let topics = found.into_iter().map(|(name, partitions)| {
            let partitions = partitions
                .into_iter()
                .map(|(partition_index, found, error)| {
                    offset_fetch::OffsetFetchResponsePartitions {
                        partition_index,
                        committed_offset: found.offset,
                        committed_leader_epoch: found.leader_epoch,
                        metadata: Some(found.metadata),
                        error_code: error.number(),
                    }
                });
            offset_fetch::OffsetFetchResponseTopics {
                name,
                partitions: partitions.collect(),
                ..offset_fetch::OffsetFetchResponseTopics::default()
            }
        });
        groups.push(offset_fetch::OffsetFetchResponseGroup {
            topics: topics.collect(),
            group_id: group.group_id,
            error_code: code.number(),
        });
    }
    offset_fetch::Response {
        groups,
        ..offset_fetch::Response::default()
    }
}

/// Partitions with their offsets, and whether these may be told.
type Found = Vec<(String, Vec<(i32, Committed, Code)>)>;

/// The offsets of the partitions that are asked for, or of all. -1 is none. With `stable`, one that a transaction is about
/// to change is not told: whoever asks comes back when it is decided.
async fn find(
    context: &Context,
    group: &str,
    wanted: Option<Vec<(String, Vec<i32>)>>,
    stable: bool,
) -> (Found, Code) {
    let (stored, unstable, code) = match context.log().stable_offsets(group).await {
        Ok((stored, unstable)) if stable => (stored, unstable, Code::None),
        Ok((stored, _)) => (stored, BTreeSet::new(), Code::None),
        Err(error) => (Offsets::new(), BTreeSet::new(), code(&error)),
    };
    let tell = |topic: &str, index: i32| {
        let place: Option<Place> = u32::try_from(index)
            .ok()
            .map(|index| (topic.to_owned(), index));
        let none = Committed::at(-1);
        match place {
            Some(place) if unstable.contains(&place) => (index, none, Code::UnstableOffsetCommit),
            place => {
                let found = place.and_then(|place| stored.get(&place).cloned());
                (index, found.unwrap_or(none), Code::None)
            }
        }
    };
    let wanted = wanted.unwrap_or_else(|| {
        let mut all: Vec<(String, Vec<i32>)> = Vec::new();
        let places: BTreeSet<&Place> = stored.keys().chain(&unstable).collect();
        for (topic, index) in places {
            let index = i32::try_from(*index).unwrap_or(i32::MAX);
            match all.last_mut() {
                Some((last, indexes)) if last == topic => indexes.push(index),
                _ => all.push((topic.clone(), vec![index])),
            }
        }
        all
    });
    let found = wanted.into_iter().map(|(topic, indexes)| {
        let partitions = indexes.into_iter().map(|index| tell(&topic, index));
        let partitions = partitions.collect();
        (topic, partitions)
    });
    (found.collect(), code)
}

/// OffsetDelete. Offsets of topics that members of the group read are kept.
pub(crate) async fn delete_offsets(
    context: &Context,
    _: i16,
    request: offset_delete::Request,
) -> offset_delete::Response {
    let log = context.log();
    let read = subscribed(context, &request.group_id);
    if read.is_none() && !log.groups().contains(&request.group_id) {
        return offset_delete::Response {
            error_code: Code::GroupIdNotFound.number(),
            ..offset_delete::Response::default()
        };
    }
    let read = match read {
        Some(Ok(topics)) => topics,
        None => BTreeSet::new(),
        Some(Err(code)) => {
            return offset_delete::Response {
                error_code: code.number(),
                ..offset_delete::Response::default()
            };
        }
    };
    let mut places = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let partitions = topic.partitions.iter().map(|one| {
            let checked = match partition(one.partition_index) {
                Ok(_) if read.contains(&topic.name) => Err(Code::GroupSubscribedToTopic),
                Ok(index) => log
                    .describe(&topic.name, index)
                    .map(|_| index)
                    .map_err(Code::from),
                Err(code) => Err(code),
            };
            if let Ok(index) = checked {
                places.push((topic.name.clone(), index));
            }
            offset_delete::OffsetDeleteResponsePartition {
                partition_index: one.partition_index,
                error_code: checked.err().unwrap_or(Code::None).number(),
            }
        });
        topics.push(offset_delete::OffsetDeleteResponseTopic {
            partitions: partitions.collect(),
            name: topic.name,
        });
    }
    let deleted = match places.is_empty() {
        true => Ok(()),
        false => {
            log.delete_offsets(&request.group_id, &places, || true)
                .await
        }
    };
    match deleted {
        Ok(()) => offset_delete::Response {
            topics,
            ..offset_delete::Response::default()
        },
        Err(error) => offset_delete::Response {
            error_code: code(&error).number(),
            ..offset_delete::Response::default()
        },
    }
}

/// The topics that the members of a group read, if it has members; only consumers say which.
fn subscribed(context: &Context, name: &str) -> Option<Result<BTreeSet<String>, Code>> {
    if let Some(topic) = context.log().occupied_group(name) {
        return Some(Ok([topic].into()));
    }
    context.shared.groups.with(name, |group| group.subscribed())
}

impl Group {
    /// The topics that the members read. An error if they do not say which.
    pub(super) fn subscribed(&self) -> Result<BTreeSet<String>, Code> {
        if self.state == State::Empty {
            return Ok(BTreeSet::new());
        }
        if self.protocol_type != "consumer" {
            return Err(Code::NonEmptyGroup);
        }
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            // A version in front says how it is written; later ones add to the end.
            let metadata: Bytes = self.metadata(member);
            let mut reader = Reader::new(metadata);
            let subscription = reader.int16().and_then(|version| {
                ConsumerProtocolSubscription::read(version.clamp(0, 3), &mut reader)
            });
            match subscription {
                Ok(subscription) => topics.extend(subscription.topics),
                // Who knows what it reads.
                Err(_) => return Err(Code::NonEmptyGroup),
            }
        }
        Ok(topics)
    }
}
