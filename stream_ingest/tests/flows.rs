//! Flows as Kafka's clients see them: the group of one that works is its own.

mod common;

use common::wire::Client;
use common::{Broker, options, wait_for};
use escala_stream_ingest::broker::{Code, Metrics};
use escala_stream_ingest::flow::{
    Answer, External, Flows, Input, Model, Predictor, Question, Takes, Wanted,
};
use escala_stream_ingest::log::Acks;
use escala_stream_ingest::records::{self, Draft};
use escala_stream_ingest::wire::Reader;
use escala_stream_ingest::wire::messages::consumer_protocol_assignment::ConsumerProtocolAssignment;
use escala_stream_ingest::wire::messages::{
    delete_groups, describe_groups, heartbeat, join_group, leave_group, list_groups, offset_commit,
    offset_delete,
};
use futures_util::future::BoxFuture;
use serde_json::value::to_raw_value;
use std::sync::Arc;

/// Answers everything with the same.
struct Yes;

impl Predictor for Yes {
    fn takes(&self, _: &Question) -> Result<Takes, String> {
        Ok(Takes::Text)
    }

    fn model(&self, _: &Question) -> Option<Model> {
        None
    }

    fn predict<'a>(&'a self, _: &'a Question, inputs: Vec<Input>) -> BoxFuture<'a, Vec<Answer>> {
        let yes = |_| Ok(to_raw_value("yes").expect("JSON"));
        let answers = inputs.into_iter().map(yes).collect();
        Box::pin(async move { answers })
    }
}

const GROUP: &str = "flow-f";

/// Commits offset 0 for `in` as a tool does that is no member.
fn put_back(client: &mut Client) -> i16 {
    let request = offset_commit::Request {
        group_id: GROUP.to_owned(),
        generation_id_or_member_epoch: -1,
        topics: vec![offset_commit::OffsetCommitRequestTopic {
            name: "in".to_owned(),
            partitions: vec![offset_commit::OffsetCommitRequestPartition {
                committed_leader_epoch: -1,
                ..offset_commit::OffsetCommitRequestPartition::default()
            }],
            ..offset_commit::OffsetCommitRequestTopic::default()
        }],
        ..offset_commit::Request::default()
    };
    let answer: offset_commit::Response = client.ask(8, &request);
    answer.topics[0].partitions[0].error_code
}

fn delete(client: &mut Client) -> i16 {
    let request = delete_groups::Request {
        groups_names: vec![GROUP.to_owned()],
    };
    let answer: delete_groups::Response = client.ask(2, &request);
    answer.results[0].error_code
}

fn delete_offset(client: &mut Client) -> i16 {
    let request = offset_delete::Request {
        group_id: GROUP.to_owned(),
        topics: vec![offset_delete::OffsetDeleteRequestTopic {
            name: "in".to_owned(),
            partitions: vec![offset_delete::OffsetDeleteRequestPartition::default()],
        }],
    };
    let answer: offset_delete::Response = client.ask(0, &request);
    assert_eq!(answer.error_code, 0);
    answer.topics[0].partitions[0].error_code
}

fn join(client: &mut Client) -> join_group::Response {
    let request = join_group::Request {
        group_id: GROUP.to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![join_group::JoinGroupRequestProtocol {
            name: "range".to_owned(),
            ..join_group::JoinGroupRequestProtocol::default()
        }],
        ..join_group::Request::default()
    };
    client.ask(3, &request)
}

fn beat(client: &mut Client, member: &str, generation: i32) -> i16 {
    let request = heartbeat::Request {
        group_id: GROUP.to_owned(),
        generation_id: generation,
        member_id: member.to_owned(),
        ..heartbeat::Request::default()
    };
    let answer: heartbeat::Response = client.ask(3, &request);
    answer.error_code
}

fn describe(client: &mut Client) -> describe_groups::DescribedGroup {
    let request = describe_groups::Request {
        groups: vec![GROUP.to_owned()],
        ..describe_groups::Request::default()
    };
    let answer: describe_groups::Response = client.ask(5, &request);
    answer.groups[0].clone()
}

fn state_in_list(client: &mut Client) -> Option<String> {
    let answer: list_groups::Response = client.ask(4, &list_groups::Request::default());
    let found = answer.groups.iter().find(|group| group.group_id == GROUP);
    found.map(|group| group.group_state.clone())
}

#[test]
fn the_group_of_a_flow_at_work_is_its_own() {
    let broker = Broker::start(options());
    let log = broker.log.clone();
    let folder = tempfile::tempdir().expect("a folder");
    let block = |work: BoxFuture<'_, ()>| broker.runtime.block_on(work);
    let in_runtime = broker.runtime.enter();
    let path = folder.path().join("flows.json");
    let flows = Flows::open(log.clone(), External::default(), path, Arc::new(Yes)).expect("flows");
    block(Box::pin(async {
        log.create_topic("in", 2, &[]).await.expect("a topic");
        let draft = Draft {
            value: Some("text".into()),
            ..Draft::default()
        };
        let batch = records::encode(&[draft]).expect("a batch");
        let appended = log.append("in", 0, batch, Acks::Durable).await;
        appended.expect("a record");
        let wanted = Wanted {
            name: "f".to_owned(),
            from: "in".to_owned(),
            to: "out".to_owned(),
            task: "any".to_owned(),
            ..Wanted::default()
        };
        flows.create(wanted).await.expect("a flow");
    }));
    let end = || log.describe("out", 0).expect("a partition").high_watermark;
    wait_for("an answer", || end() == 1);

    let client = &mut Client::connect(broker.address);
    let refused = |client: &mut Client| {
        assert_eq!(put_back(client), Code::UnknownMemberId.number());
        assert_eq!(delete(client), Code::NonEmptyGroup.number());
        let subscribed = Code::GroupSubscribedToTopic.number();
        assert_eq!(delete_offset(client), subscribed);
        let joined = join(client).error_code;
        assert_eq!(joined, Code::InconsistentGroupProtocol.number());
    };
    refused(client);
    let shown = describe(client);
    assert_eq!(
        (shown.group_state.as_str(), shown.members.len()),
        ("Stable", 1)
    );
    assert_eq!(shown.protocol_type, "consumer");
    let mut reader = Reader::new(shown.members[0].member_assignment.clone());
    let version = reader.int16().expect("a version");
    let assigned = ConsumerProtocolAssignment::read(version, &mut reader).expect("partitions");
    assert_eq!(assigned.assigned_partitions[0].topic, "in");
    assert_eq!(assigned.assigned_partitions[0].partitions, [0, 1]);
    assert_eq!(state_in_list(client).as_deref(), Some("Stable"));

    // At rest it is a group without members, and may be put elsewhere.
    let named = |paused: bool| {
        let flows = &flows;
        block(Box::pin(async move {
            let done = match paused {
                true => flows.pause("f").await,
                false => flows.resume("f").await,
            };
            done.expect("the flow");
        }));
    };
    named(true);
    assert_eq!(describe(client).group_state, "Empty");
    assert_eq!(put_back(client), 0);
    // Whoever came in meanwhile is no member any more when the flow goes on, and does not hold it up.
    let stray = join(client);
    assert_eq!(stray.error_code, 0);
    named(false);
    wait_for("the answer again", || end() == 2);
    let gone = Code::UnknownMemberId.number();
    assert_eq!(beat(client, &stray.member_id, stray.generation_id), gone);
    refused(client);
    assert_eq!(describe(client).members.len(), 1);
    named(true);
    // It has still to go, or its group has a member.
    let leaving = leave_group::Request {
        group_id: GROUP.to_owned(),
        member_id: stray.member_id,
        ..leave_group::Request::default()
    };
    let left: leave_group::Response = client.ask(2, &leaving);
    assert_eq!(left.error_code, 0);
    assert_eq!(delete_offset(client), 0);
    named(false);
    // Without an offset it begins with the first record.
    wait_for("the answer once more", || end() == 3);
    drop(flows);
    drop(in_runtime);
}

/// Of a group that has committed nothing the log knows nothing; the broker does.
#[test]
fn groups_with_members_are_known_before_they_commit() {
    let metrics = Arc::new(Metrics::default());
    let mut options = options();
    options.metrics = metrics.clone();
    let broker = Broker::start(options);
    let client = &mut Client::connect(broker.address);
    assert!(metrics.groups().is_empty());
    assert_eq!(join(client).error_code, 0);
    let known: Vec<(String, usize)> = metrics.groups().into_iter().collect();
    assert_eq!(known, [(GROUP.to_owned(), 1)]);
    assert!(broker.log.groups().is_empty());
    let mut text = String::new();
    metrics.write(&mut text);
    for line in ["escala_kafka_groups 1", "escala_kafka_group_members 1"] {
        assert!(text.lines().any(|there| there == line), "{line} in\n{text}");
    }
}
