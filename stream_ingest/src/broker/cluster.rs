//! The cluster, which is one broker: DescribeCluster, DescribeLogDirs, FindCoordinator.

use super::metadata::CLUSTER_OPERATIONS;
use super::{Code, Context};
use crate::wire::messages::{describe_cluster, describe_log_dirs, find_coordinator};

/// Kinds of keys that have a coordinator.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// DescribeCluster.
pub(crate) async fn describe(
    context: &Context,
    _: i16,
    request: describe_cluster::Request,
) -> describe_cluster::Response {
    let (host, port) = context.address();
    let node = context.options().node;
    if request.endpoint_type != 1 {
        // There are brokers here and no controllers of their own.
        return describe_cluster::Response {
            error_code: Code::InvalidRequest.number(),
            error_message: Some("only brokers can be described".to_owned()),
            ..describe_cluster::Response::default()
        };
    }
    describe_cluster::Response {
        cluster_id: context.options().cluster.clone(),
        controller_id: node,
        brokers: vec![describe_cluster::DescribeClusterBroker {
            broker_id: node,
            host,
            port,
            ..describe_cluster::DescribeClusterBroker::default()
        }],
        cluster_authorized_operations: match request.include_cluster_authorized_operations {
            true => CLUSTER_OPERATIONS,
            false => i32::MIN,
        },
        ..describe_cluster::Response::default()
    }
}

/// FindCoordinator. All groups and transactions are coordinated here.
pub(crate) async fn find_coordinator(
    context: &Context,
    version: i16,
    request: find_coordinator::Request,
) -> find_coordinator::Response {
    let (host, port) = context.address();
    let node = context.options().node;
    let found = match request.key_type {
        GROUP | TRANSACTION => Ok(()),
        _ => Err((
            Code::InvalidRequest,
            "only groups and transactions have a coordinator here",
        )),
    };
    let error_code = found
        .map_or_else(|(code, _)| code, |()| Code::None)
        .number();
    let error_message = found.err().map(|(_, words)| words.to_owned());
    if version >= 4 {
        let coordinator = |key: String| find_coordinator::Coordinator {
            key,
            node_id: if found.is_ok() { node } else { -1 },
            host: found.map_or(String::new(), |()| host.clone()),
            port: if found.is_ok() { port } else { -1 },
            error_code,
            error_message: error_message.clone(),
        };
        let coordinators = request.coordinator_keys.into_iter().map(coordinator);
        return find_coordinator::Response {
            coordinators: coordinators.collect(),
            ..find_coordinator::Response::default()
        };
    }
    find_coordinator::Response {
        error_code,
        error_message,
        node_id: if found.is_ok() { node } else { -1 },
        host: found.map_or(String::new(), |()| host),
        port: if found.is_ok() { port } else { -1 },
        ..find_coordinator::Response::default()
    }
}

/// DescribeLogDirs: one folder.
pub(crate) async fn log_dirs(
    context: &Context,
    _: i16,
    request: describe_log_dirs::Request,
) -> describe_log_dirs::Response {
    let log = context.log();
    let one = |topic: &str, index: u32| {
        let state = log.describe(topic, index).ok()?;
        Some(describe_log_dirs::DescribeLogDirsPartition {
            partition_index: index as i32,
            partition_size: i64::try_from(state.bytes).unwrap_or(i64::MAX),
            ..describe_log_dirs::DescribeLogDirsPartition::default()
        })
    };
    let wanted: Vec<(String, Vec<u32>)> = match request.topics {
        None => log
            .topics()
            .into_iter()
            .map(|topic| (topic.name, (0..topic.partitions).collect()))
            .collect(),
        Some(topics) => topics
            .into_iter()
            .map(|topic| {
                let indexes = topic.partitions.into_iter();
                (
                    topic.topic,
                    indexes
                        .filter_map(|index| u32::try_from(index).ok())
                        .collect(),
                )
            })
            .collect(),
    };
    let topics = wanted.into_iter().map(|(name, indexes)| {
        let partitions = indexes.into_iter().filter_map(|index| one(&name, index));
        describe_log_dirs::DescribeLogDirsTopic {
            partitions: partitions.collect(),
            name,
        }
    });
    let space = context.blocking(crate::log::Log::space).await;
    let (total, usable) = match space {
        Ok(Ok((total, usable))) => {
            let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
            (bytes(total), bytes(usable))
        }
        // Kafka's words for a disk that does not say.
        Ok(Err(_)) | Err(_) => (-1, -1),
    };
    describe_log_dirs::Response {
        results: vec![describe_log_dirs::DescribeLogDirsResult {
            log_dir: context.options().folder.clone(),
            topics: topics
                .filter(|topic| !topic.partitions.is_empty())
                .collect(),
            total_bytes: total,
            usable_bytes: usable,
            ..describe_log_dirs::DescribeLogDirsResult::default()
        }],
        ..describe_log_dirs::Response::default()
    }
}
