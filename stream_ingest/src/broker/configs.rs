//! Settings of topics and of the broker: DescribeConfigs, AlterConfigs, IncrementalAlterConfigs.

use super::topics::counts;
use super::{Code, Context, message, worded};
use crate::log::{Origin, SETTINGS, Topic};
use crate::wire::messages::{alter_configs, describe_configs, incremental_alter_configs};

/// Kinds of things that have settings.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where a value comes from: the topic, the start of the broker, the default.
const OF_TOPIC: i8 = 1;
const OF_START: i8 = 4;
const DEFAULT: i8 = 5;

/// What can be done to a setting.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

type Refusal = (Code, String);
type Changes = Vec<(String, Option<String>)>;

pub(crate) fn source(origin: Origin) -> i8 {
    match origin {
        Origin::Topic => OF_TOPIC,
        Origin::Server => OF_START,
        Origin::Default => DEFAULT,
    }
}

/// DescribeConfigs.
pub(crate) async fn describe(
    context: &Context,
    _: i16,
    request: describe_configs::Request,
) -> describe_configs::Response {
    let results = request.resources.into_iter().map(|resource| {
        let mut result = describe_configs::DescribeConfigsResult {
            resource_type: resource.resource_type,
            ..describe_configs::DescribeConfigsResult::default()
        };
        match settings(context, &resource) {
            Ok(configs) => {
                let wanted = |name: &str| match &resource.configuration_keys {
                    Some(keys) => keys.iter().any(|key| key == name),
                    None => true,
                };
                result.configs = configs
                    .into_iter()
                    .filter(|one| wanted(&one.name))
                    .collect();
                if !request.include_synonyms {
                    for one in &mut result.configs {
                        one.synonyms.clear();
                    }
                }
            }
            Err(refusal) => (result.error_code, result.error_message) = message(&Err(refusal)),
        }
        result.resource_name = resource.resource_name;
        result
    });
    describe_configs::Response {
        results: results.collect(),
        ..describe_configs::Response::default()
    }
}

fn settings(
    context: &Context,
    resource: &describe_configs::DescribeConfigsResource,
) -> Result<Vec<describe_configs::DescribeConfigsResourceResult>, Refusal> {
    match resource.resource_type {
        TOPIC => {
            let topic = context
                .log()
                .topic(&resource.resource_name)
                .map_err(worded)?;
            let given = &topic.config.given;
            let one = |(name, value, origin): (&str, String, Origin)| {
                setting(name, value, source(origin), given.get(name))
            };
            Ok(topic.config.entries().into_iter().map(one).collect())
        }
        BROKER => {
            let options = context.options();
            check_broker(context, &resource.resource_name)?;
            let limits = &options.limits;
            let (host, port) = context.address();
            let mut facts = vec![
                ("advertised.listeners", format!("PLAINTEXT://{host}:{port}")),
                ("auto.create.topics.enable", options.auto_create.to_string()),
                ("broker.id", options.node.to_string()),
                ("default.replication.factor", "1".to_owned()),
                ("fetch.max.bytes", limits.fetch_bytes.to_string()),
                (
                    "group.initial.rebalance.delay.ms",
                    options.groups.initial_delay.as_millis().to_string(),
                ),
                (
                    "group.max.session.timeout.ms",
                    options.groups.longest_session.as_millis().to_string(),
                ),
                ("group.max.size", options.groups.members.to_string()),
                (
                    "group.min.session.timeout.ms",
                    options.groups.shortest_session.as_millis().to_string(),
                ),
                ("log.dirs", options.folder.clone()),
                (
                    "max.incremental.fetch.session.cache.slots",
                    options.sessions.sessions.to_string(),
                ),
                ("max.connections", limits.connections.to_string()),
                ("node.id", options.node.to_string()),
                ("num.partitions", options.partitions.to_string()),
                (
                    "offsets.retention.check.interval.ms",
                    options.groups.offsets_check.as_millis().to_string(),
                ),
                (
                    "offsets.retention.minutes",
                    (options.groups.offsets_retention.as_secs() / 60).to_string(),
                ),
                ("socket.request.max.bytes", limits.produce_bytes.to_string()),
            ];
            let producers = context.log().producer_settings().into_iter();
            facts.extend(producers.map(|(name, value)| (name, value.as_millis().to_string())));
            facts.sort_unstable();
            let one = |(name, value)| describe_configs::DescribeConfigsResourceResult {
                read_only: true,
                ..setting(name, value, OF_START, None)
            };
            Ok(facts.into_iter().map(one).collect())
        }
        other => Err(unknown(other)),
    }
}

/// A setting as it is told; `given` is what it is for topics that have none of their own, where that is the server's.
fn setting(
    name: &str,
    value: String,
    config_source: i8,
    given: Option<&String>,
) -> describe_configs::DescribeConfigsResourceResult {
    let kind = match name {
        "cleanup.policy"
        | "advertised.listeners"
        | "follower.replication.throttled.replicas"
        | "leader.replication.throttled.replicas" => 7,
        "compression.type" | "message.timestamp.type" | "log.dirs" => 2,
        "min.cleanable.dirty.ratio" => 6,
        "auto.create.topics.enable"
        | "message.downconversion.enable"
        | "preallocate"
        | "remote.log.copy.disable"
        | "remote.log.delete.on.disable"
        | "remote.storage.enable"
        | "unclean.leader.election.enable" => 1,
        name if name.ends_with(".ms")
            || name.ends_with("retention.bytes")
            || name == "flush.messages" =>
        {
            5
        }
        _ => 3,
    };
    let synonym = |value: &str, source| describe_configs::DescribeConfigsSynonym {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        source,
    };
    let mut synonyms = vec![synonym(&value, config_source)];
    if let Some(given) = given.filter(|_| config_source == OF_TOPIC) {
        synonyms.push(synonym(given, OF_START));
    }
    let default = SETTINGS.iter().find(|(setting, _)| *setting == name);
    if let Some((_, default)) = default.filter(|_| config_source != DEFAULT) {
        synonyms.push(synonym(default, DEFAULT));
    }
    describe_configs::DescribeConfigsResourceResult {
        name: name.to_owned(),
        value: Some(value),
        config_source,
        synonyms,
        config_type: kind,
        ..describe_configs::DescribeConfigsResourceResult::default()
    }
}

fn unknown(kind: i8) -> Refusal {
    (
        Code::InvalidRequest,
        format!("resources of type {kind} have no settings here"),
    )
}

/// An empty name is what all brokers have in common.
fn check_broker(context: &Context, name: &str) -> Result<(), Refusal> {
    let node = context.options().node.to_string();
    if name.is_empty() || name == node {
        return Ok(());
    }
    let words = format!("the only broker is {node}");
    Err((Code::InvalidRequest, words))
}

/// AlterConfigs: what is not named gets its default back.
pub(crate) async fn replace(
    context: &Context,
    _: i16,
    request: alter_configs::Request,
) -> alter_configs::Response {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let changes =
            topic_of(context, resource.resource_type, &resource.resource_name).and_then(|topic| {
                once(resource.configs.iter().map(|one| one.name.as_str()))?;
                let set = resource
                    .configs
                    .into_iter()
                    .map(|one| (one.name, one.value));
                let mut changes: Changes = set.collect();
                for (name, _, origin) in topic.config.entries() {
                    if origin == Origin::Topic
                        && !changes.iter().any(|(changed, _)| changed == name)
                    {
                        changes.push((name.to_owned(), None));
                    }
                }
                Ok(changes)
            });
        let altered = alter(
            context,
            &resource.resource_name,
            changes,
            request.validate_only,
        )
        .await;
        let (error_code, error_message) = message(&altered);
        responses.push(alter_configs::AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
        });
    }
    alter_configs::Response {
        responses,
        ..alter_configs::Response::default()
    }
}

/// IncrementalAlterConfigs: only what is named changes.
pub(crate) async fn change(
    context: &Context,
    _: i16,
    request: incremental_alter_configs::Request,
) -> incremental_alter_configs::Response {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let topic = topic_of(context, resource.resource_type, &resource.resource_name);
        let topic = topic.and_then(|topic| {
            once(resource.configs.iter().map(|one| one.name.as_str())).map(|()| topic)
        });
        let changes = topic.and_then(|topic| {
            let changes = resource.configs.into_iter().map(|one| changed(&topic, one));
            changes.collect::<Result<Changes, Refusal>>()
        });
        let altered = alter(
            context,
            &resource.resource_name,
            changes,
            request.validate_only,
        )
        .await;
        let (error_code, error_message) = message(&altered);
        responses.push(incremental_alter_configs::AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
        });
    }
    incremental_alter_configs::Response {
        responses,
        ..incremental_alter_configs::Response::default()
    }
}

fn topic_of(context: &Context, kind: i8, name: &str) -> Result<Topic, Refusal> {
    match kind {
        TOPIC => context.log().topic(name).map_err(worded),
        BROKER => {
            check_broker(context, name)?;
            let words = "the broker's settings are those it was started with";
            Err((Code::InvalidRequest, words.to_owned()))
        }
        other => Err(unknown(other)),
    }
}

/// Refuses settings that are named twice: which is meant is not known.
fn once<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
    let counts = counts(names);
    match counts.iter().find(|(_, count)| **count > 1) {
        Some((name, _)) => Err((
            Code::InvalidRequest,
            format!("the request names {name} twice"),
        )),
        None => Ok(()),
    }
}

/// What a change makes of a setting. Only lists can be added to and taken from.
fn changed(
    topic: &Topic,
    change: incremental_alter_configs::AlterableConfig,
) -> Result<(String, Option<String>), Refusal> {
    let missing = || (Code::InvalidConfig, format!("{} has no value", change.name));
    match change.config_operation {
        SET => Ok((
            change.name.clone(),
            Some(change.value.clone().ok_or_else(missing)?),
        )),
        DELETE => Ok((change.name, None)),
        operation @ (APPEND | SUBTRACT) if change.name == "cleanup.policy" => {
            let given = change.value.clone().ok_or_else(missing)?;
            let entries = topic.config.entries();
            let now = entries.iter().find(|(name, _, _)| *name == change.name);
            let now = now.map_or("", |(_, value, _)| value.as_str());
            let mut list: Vec<&str> = now.split(',').filter(|one| !one.is_empty()).collect();
            for one in given.split(',').map(str::trim) {
                list.retain(|there| *there != one);
                if operation == APPEND {
                    list.push(one);
                }
            }
            Ok((change.name, Some(list.join(","))))
        }
        APPEND | SUBTRACT => {
            let words = format!("{} is not a list", change.name);
            Err((Code::InvalidConfig, words))
        }
        other => Err((Code::InvalidRequest, format!("unknown operation {other}"))),
    }
}

async fn alter(
    context: &Context,
    topic: &str,
    changes: Result<Changes, Refusal>,
    validate_only: bool,
) -> Result<(), Refusal> {
    let changes = changes?;
    let changes: Vec<(&str, Option<&str>)> = changes
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref()))
        .collect();
    let log = context.log();
    if validate_only {
        return log.check_config(topic, &changes).map_err(worded);
    }
    log.alter_config(topic, &changes).await.map_err(worded)
}
