//! Metadata: where the topics are. All are here.

use super::{Code, Context};
use crate::log::{Error, Topic};
use crate::wire::messages::metadata::{
    MetadataRequestTopic, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    Request, Response,
};

/// Bits of the operations that anybody may do: create, delete, alter, describe and the like, by Kafka's numbers.
pub(crate) const TOPIC_OPERATIONS: i32 = bits(&[3, 4, 5, 6, 7, 8, 10, 11]);
pub(crate) const GROUP_OPERATIONS: i32 = bits(&[3, 6, 8]);
pub(crate) const CLUSTER_OPERATIONS: i32 = bits(&[5, 7, 8, 9, 10, 11, 12]);

const fn bits(operations: &[u32]) -> i32 {
    let (mut bits, mut at) = (0, 0);
    while at < operations.len() {
        bits |= 1 << operations[at];
        at += 1;
    }
    bits
}

/// A list of topics, or all; topics that are not there may be made on the way.
pub(crate) async fn answer(context: &Context, version: i16, request: Request) -> Response {
    let node = context.options().node;
    let (host, port) = context.address();
    let mut topics = Vec::new();
    match request.topics {
        // Before version 1 an empty list meant all.
        Some(wanted) if version > 0 || !wanted.is_empty() => {
            let create = request.allow_auto_topic_creation && context.options().auto_create;
            for topic in wanted {
                let found = find(context, &topic, create).await;
                topics.push(match found {
                    Ok(topic) => describe(context, &topic),
                    Err(code) => MetadataResponseTopic {
                        error_code: code.number(),
                        // Only the versions that ask by id can say that there is no name.
                        name: match topic.topic_id.is_nil() {
                            true => topic.name.or_else(|| (version < 12).then(String::new)),
                            false => (version < 12).then(String::new),
                        },
                        topic_id: topic.topic_id,
                        ..MetadataResponseTopic::default()
                    },
                });
            }
        }
        _ => topics.extend(
            context
                .log()
                .topics()
                .iter()
                .map(|topic| describe(context, topic)),
        ),
    }
    if request.include_topic_authorized_operations {
        for topic in &mut topics {
            topic.topic_authorized_operations = TOPIC_OPERATIONS;
        }
    }
    let cluster_authorized_operations = match request.include_cluster_authorized_operations {
        true => CLUSTER_OPERATIONS,
        false => i32::MIN,
    };
    Response {
        brokers: vec![MetadataResponseBroker {
            node_id: node,
            host,
            port,
            rack: None,
        }],
        cluster_id: Some(context.options().cluster.clone()),
        controller_id: node,
        topics,
        cluster_authorized_operations,
        ..Response::default()
    }
}

async fn find(
    context: &Context,
    topic: &MetadataRequestTopic,
    create: bool,
) -> Result<Topic, Code> {
    let log = context.log();
    // Some clients send an empty name beside an id.
    let name = topic.name.as_ref().filter(|_| topic.topic_id.is_nil());
    let Some(name) = name else {
        return log
            .topic_by_id(topic.topic_id)
            .map_err(|error| match error {
                Error::NoTopic(_) => Code::UnknownTopicId,
                other => other.into(),
            });
    };
    match log.topic(name) {
        Err(Error::NoTopic(_)) if create => {
            match log
                .create_topic(name, context.options().partitions, &[])
                .await
            {
                // Somebody else was first.
                Err(Error::TopicExists(_)) => Ok(log.topic(name)?),
                made => Ok(made?),
            }
        }
        found => Ok(found?),
    }
}

fn describe(context: &Context, topic: &Topic) -> MetadataResponseTopic {
    let node = context.options().node;
    let partition = |index: u32| {
        let state = context.log().describe(&topic.name, index);
        MetadataResponsePartition {
            error_code: Code::None.number(),
            partition_index: index as i32,
            leader_id: node,
            leader_epoch: state.map_or(-1, |state| state.leader_epoch),
            replica_nodes: vec![node],
            isr_nodes: vec![node],
            offline_replicas: Vec::new(),
        }
    };
    MetadataResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        partitions: (0..topic.partitions).map(partition).collect(),
        ..MetadataResponseTopic::default()
    }
}
