//! Topics made, deleted and widened: CreateTopics, DeleteTopics, CreatePartitions.

use super::{Code, Context, message, worded};
use crate::log::{Error, Topic};
use crate::wire::messages::{create_partitions, create_topics, delete_topics};
use std::collections::HashMap;

type Refusal = (Code, String);

fn refuse<T>(code: Code, words: &str) -> Result<T, Refusal> {
    Err((code, words.to_owned()))
}

/// How often a request has each name: what stands twice is refused, both times.
pub(super) fn counts<'a>(names: impl Iterator<Item = &'a str>) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for name in names {
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    counts
}

/// CreateTopics.
pub(crate) async fn create(
    context: &Context,
    _: i16,
    request: create_topics::Request,
) -> create_topics::Response {
    let counts = counts(request.topics.iter().map(|topic| topic.name.as_str()));
    let mut topics = Vec::with_capacity(request.topics.len());
    for wanted in &request.topics {
        let made = if counts.get(&wanted.name).is_some_and(|count| *count > 1) {
            refuse(
                Code::InvalidRequest,
                "the topic is there twice in the request",
            )
        } else {
            create_one(context, wanted, request.validate_only).await
        };
        topics.push(created(wanted, made));
    }
    create_topics::Response {
        topics,
        ..create_topics::Response::default()
    }
}

async fn create_one(
    context: &Context,
    wanted: &create_topics::CreatableTopic,
    validate_only: bool,
) -> Result<(u32, Option<Topic>), Refusal> {
    let partitions = partitions(context, wanted)?;
    let mut settings = Vec::with_capacity(wanted.configs.len());
    for setting in &wanted.configs {
        match &setting.value {
            Some(value) => settings.push((setting.name.as_str(), value.as_str())),
            None => return refuse(Code::InvalidConfig, "a setting has no value"),
        }
    }
    let log = context.log();
    if validate_only {
        log.check_topic(&wanted.name, partitions, &settings)
            .map_err(worded)?;
        return Ok((partitions, None));
    }
    let topic = log
        .create_topic(&wanted.name, partitions, &settings)
        .await
        .map_err(worded)?;
    Ok((partitions, Some(topic)))
}

/// The number of partitions, if what is asked for beside it is what one node can give.
fn partitions(context: &Context, wanted: &create_topics::CreatableTopic) -> Result<u32, Refusal> {
    let options = context.options();
    let accepted = options.accept_replication;
    if !wanted.assignments.is_empty() {
        if wanted.num_partitions != -1 || wanted.replication_factor != -1 {
            return refuse(
                Code::InvalidRequest,
                "with replicas assigned, partitions and replication factor must be -1",
            );
        }
        let mut indexes: Vec<i32> = wanted
            .assignments
            .iter()
            .map(|one| one.partition_index)
            .collect();
        indexes.sort_unstable();
        let consecutive = indexes
            .iter()
            .enumerate()
            .all(|(at, index)| i32::try_from(at) == Ok(*index));
        let here =
            |one: &create_topics::CreatableReplicaAssignment| one.broker_ids == [options.node];
        if !consecutive || !wanted.assignments.iter().all(here) {
            return refuse(
                Code::InvalidReplicaAssignment,
                "every partition from 0 on must be assigned to the only node",
            );
        }
        return u32::try_from(indexes.len())
            .map_err(|_| (Code::InvalidPartitions, "too many partitions".to_owned()));
    }
    match wanted.replication_factor {
        -1 | 1 => {}
        2.. if accepted => {}
        _ => {
            return refuse(
                Code::InvalidReplicationFactor,
                "the replication factor must be 1: there is one node",
            );
        }
    }
    match wanted.num_partitions {
        -1 => Ok(options.partitions),
        count => u32::try_from(count)
            .ok()
            .filter(|count| *count > 0)
            .ok_or_else(|| {
                let words = "the number of partitions must be larger than 0";
                (Code::InvalidPartitions, words.to_owned())
            }),
    }
}

fn created(
    wanted: &create_topics::CreatableTopic,
    made: Result<(u32, Option<Topic>), Refusal>,
) -> create_topics::CreatableTopicResult {
    let mut result = create_topics::CreatableTopicResult {
        name: wanted.name.clone(),
        ..create_topics::CreatableTopicResult::default()
    };
    match made {
        Ok((partitions, topic)) => {
            result.num_partitions = i32::try_from(partitions).unwrap_or(-1);
            result.replication_factor = 1;
            if let Some(topic) = topic {
                result.topic_id = topic.id;
                let settings = topic.config.entries().into_iter();
                let settings =
                    settings.map(
                        |(name, value, origin)| create_topics::CreatableTopicConfigs {
                            name: name.to_owned(),
                            value: Some(value),
                            config_source: super::configs::source(origin),
                            ..create_topics::CreatableTopicConfigs::default()
                        },
                    );
                result.configs = Some(settings.collect());
            }
        }
        Err(refusal) => (result.error_code, result.error_message) = message(&Err(refusal)),
    }
    result
}

/// DeleteTopics.
pub(crate) async fn delete(
    context: &Context,
    version: i16,
    request: delete_topics::Request,
) -> delete_topics::Response {
    let wanted = match version {
        ..6 => request
            .topic_names
            .into_iter()
            .map(|name| delete_topics::DeleteTopicState {
                name: Some(name),
                ..delete_topics::DeleteTopicState::default()
            })
            .collect(),
        _ => request.topics,
    };
    let mut responses = Vec::with_capacity(wanted.len());
    for topic in wanted {
        let mut result = delete_topics::DeletableTopicResult {
            name: topic.name,
            topic_id: topic.topic_id,
            ..delete_topics::DeletableTopicResult::default()
        };
        let deleted = delete_one(context, &mut result).await;
        (result.error_code, result.error_message) = message(&deleted);
        responses.push(result);
    }
    delete_topics::Response {
        responses,
        ..delete_topics::Response::default()
    }
}

async fn delete_one(
    context: &Context,
    topic: &mut delete_topics::DeletableTopicResult,
) -> Result<(), Refusal> {
    let log = context.log();
    let found = match &topic.name {
        Some(name) => log.topic(name).map_err(worded)?,
        None => log
            .topic_by_id(topic.topic_id)
            .map_err(|error| match error {
                Error::NoTopic(_) => (Code::UnknownTopicId, error.to_string()),
                other => worded(other),
            })?,
    };
    topic.topic_id = found.id;
    log.delete_topic(&found.name).await.map_err(worded)?;
    topic.name = Some(found.name);
    Ok(())
}

/// CreatePartitions.
pub(crate) async fn add_partitions(
    context: &Context,
    _: i16,
    request: create_partitions::Request,
) -> create_partitions::Response {
    let counts = counts(request.topics.iter().map(|topic| topic.name.as_str()));
    let mut results = Vec::with_capacity(request.topics.len());
    for wanted in request.topics {
        let added = if counts.get(&wanted.name).is_some_and(|count| *count > 1) {
            refuse(
                Code::InvalidRequest,
                "the topic is there twice in the request",
            )
        } else {
            add_to_one(context, &wanted, request.validate_only).await
        };
        let (error_code, error_message) = message(&added);
        results.push(create_partitions::CreatePartitionsTopicResult {
            name: wanted.name,
            error_code,
            error_message,
        });
    }
    create_partitions::Response {
        results,
        ..create_partitions::Response::default()
    }
}

async fn add_to_one(
    context: &Context,
    wanted: &create_partitions::CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), Refusal> {
    let log = context.log();
    let topic = log.topic(&wanted.name).map_err(worded)?;
    let total = u32::try_from(wanted.count).unwrap_or_default();
    if total <= topic.partitions {
        let words = format!("the topic has {} partitions already", topic.partitions);
        return Err((Code::InvalidPartitions, words));
    }
    if let Some(assigned) = &wanted.assignments {
        let node = context.options().node;
        let here = assigned.iter().all(|one| one.broker_ids == [node]);
        if !here || assigned.len() as u64 != u64::from(total - topic.partitions) {
            return refuse(
                Code::InvalidReplicaAssignment,
                "every new partition must be assigned to the only node",
            );
        }
    }
    if validate_only {
        return Ok(());
    }
    log.add_partitions(&wanted.name, total)
        .await
        .map_err(worded)
}
