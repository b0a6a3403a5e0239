//! Members of groups across restarts of the broker: what they were assigned is theirs still, and a static member has its place.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bytes::Bytes;
use common::wire::Client;
use common::{Broker, options, wait_for};
use escala_stream_ingest::broker::Code;
use escala_stream_ingest::wire::messages::{
    describe_groups, heartbeat, join_group, leave_group, offset_commit, sync_group,
};

const GROUP: &str = "readers";

/// A member as a client has it.
#[derive(Debug, Clone, PartialEq)]
struct Member {
    id: String,
    instance: Option<String>,
    generation: i32,
}

impl Member {
    fn new(instance: Option<&str>) -> Self {
        Self {
            id: String::new(),
            instance: instance.map(str::to_owned),
            generation: -1,
        }
    }

    fn ask_to_join(&self) -> join_group::Request {
        join_group::Request {
            group_id: GROUP.to_owned(),
            session_timeout_ms: 20_000,
            rebalance_timeout_ms: 20_000,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: "consumer".to_owned(),
            protocols: vec![join_group::JoinGroupRequestProtocol {
                name: "range".to_owned(),
                metadata: Bytes::from_static(b"what I read"),
            }],
            ..join_group::Request::default()
        }
    }

    /// Joins, alone or with others that did so already; as the leader says who gets what.
    fn enter(&mut self, client: &mut Client, version: i16) -> join_group::Response {
        let mut joined: join_group::Response = client.ask(version, &self.ask_to_join());
        if joined.error_code == Code::MemberIdRequired.number() {
            self.id.clone_from(&joined.member_id);
            joined = client.ask(version, &self.ask_to_join());
        }
        assert_eq!(joined.error_code, 0);
        self.id.clone_from(&joined.member_id);
        self.generation = joined.generation_id;
        joined
    }

    fn sync(&self, client: &mut Client, plan: &[(&str, &'static [u8])]) -> Bytes {
        let request = sync_group::Request {
            group_id: GROUP.to_owned(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            assignments: plan
                .iter()
                .map(|(id, assignment)| sync_group::SyncGroupRequestAssignment {
                    member_id: (*id).to_owned(),
                    assignment: Bytes::from_static(assignment),
                })
                .collect(),
            ..sync_group::Request::default()
        };
        let answer: sync_group::Response = client.ask(4, &request);
        assert_eq!(answer.error_code, 0);
        answer.assignment
    }

    fn beat(&self, client: &mut Client) -> i16 {
        let request = heartbeat::Request {
            group_id: GROUP.to_owned(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
        };
        let answer: heartbeat::Response = client.ask(3, &request);
        answer.error_code
    }

    fn commit(&self, client: &mut Client, offset: i64) -> i16 {
        let request = offset_commit::Request {
            group_id: GROUP.to_owned(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            topics: vec![offset_commit::OffsetCommitRequestTopic {
                name: "t".to_owned(),
                partitions: vec![offset_commit::OffsetCommitRequestPartition {
                    committed_offset: offset,
                    ..offset_commit::OffsetCommitRequestPartition::default()
                }],
                ..offset_commit::OffsetCommitRequestTopic::default()
            }],
            ..offset_commit::Request::default()
        };
        let answer: offset_commit::Response = client.ask(8, &request);
        answer.topics[0].partitions[0].error_code
    }

    fn leave(&self, client: &mut Client) -> i16 {
        let request = leave_group::Request {
            group_id: GROUP.to_owned(),
            members: vec![leave_group::MemberIdentity {
                member_id: self.id.clone(),
                group_instance_id: self.instance.clone(),
                ..leave_group::MemberIdentity::default()
            }],
            ..leave_group::Request::default()
        };
        let answer: leave_group::Response = client.ask(3, &request);
        answer.members[0].error_code
    }
}

fn describe(client: &mut Client) -> describe_groups::DescribedGroup {
    let request = describe_groups::Request {
        groups: vec![GROUP.to_owned()],
        ..describe_groups::Request::default()
    };
    let answer: describe_groups::Response = client.ask(5, &request);
    answer.groups[0].clone()
}

fn start() -> Broker {
    let broker = Broker::start(options());
    let made = broker.log.create_topic("t", 2, &[]);
    broker.runtime.block_on(made).unwrap();
    broker
}

#[test]
fn a_restart_throws_nobody_out() {
    let broker = start();
    let mut client = Client::connect(broker.address);
    let mut member = Member::new(None);
    member.enter(&mut client, 5);
    let id = member.id.clone();
    assert_eq!(
        member.sync(&mut client, &[(&id, b"all of it")]),
        "all of it"
    );
    assert_eq!(member.commit(&mut client, 7), 0);
    let before = describe(&mut client);
    assert_eq!((&*before.group_state, before.members.len()), ("Stable", 1));

    let broker = broker.restart(options());
    let mut client = Client::connect(broker.address);
    assert_eq!(describe(&mut client), before);
    assert_eq!(member.beat(&mut client), 0);
    assert_eq!(member.commit(&mut client, 8), 0);
    // What it is assigned is told again to whoever asks again.
    assert_eq!(member.sync(&mut client, &[]), "all of it");
    // A generation that never was is refused as ever.
    let other = Member {
        generation: member.generation + 1,
        ..member.clone()
    };
    assert_eq!(
        other.commit(&mut client, 9),
        Code::IllegalGeneration.number()
    );

    // Who has left is not there after the next restart either.
    assert_eq!(member.leave(&mut client), 0);
    wait_for("the log knows nobody", || broker.log.members().is_empty());
    let broker = broker.restart(options());
    let mut client = Client::connect(broker.address);
    assert_eq!(member.beat(&mut client), Code::UnknownMemberId.number());
    assert_eq!(describe(&mut client).members, []);
}

#[test]
fn a_static_member_that_restarts_with_the_broker_has_its_place() {
    let broker = start();
    let mut client = Client::connect(broker.address);
    let mut first = Member::new(Some("a"));
    first.enter(&mut client, 9);
    let id = first.id.clone();
    assert_eq!(first.sync(&mut client, &[(&id, b"mine")]), "mine");
    let generation = first.generation;

    let broker = broker.restart(options());
    let mut client = Client::connect(broker.address);
    // Its program is new as well, and knows no id.
    let mut second = Member::new(Some("a"));
    let joined = second.enter(&mut client, 9);
    assert_eq!(
        (joined.generation_id, joined.skip_assignment),
        (generation, true)
    );
    assert_ne!(second.id, first.id);
    assert_eq!(second.sync(&mut client, &[]), "mine");
    let fenced = Code::FencedInstanceId.number();
    assert_eq!(first.beat(&mut client), fenced);

    // The log knows the successor, not who had the place before.
    let broker = broker.restart(options());
    let mut client = Client::connect(broker.address);
    assert_eq!(
        (second.beat(&mut client), first.beat(&mut client)),
        (0, fenced)
    );
}

#[test]
fn who_does_not_come_back_after_a_restart_is_out_after_its_session() {
    let broker = start();
    let mut client = Client::connect(broker.address);
    let mut member = Member::new(None);
    let mut request = member.ask_to_join();
    request.session_timeout_ms = 200;
    let joined: join_group::Response = client.ask(3, &request);
    member.id = joined.member_id;
    member.generation = joined.generation_id;
    let id = member.id.clone();
    member.sync(&mut client, &[(&id, b"")]);
    let broker = broker.restart(options());
    wait_for("the log knows nobody", || broker.log.members().is_empty());
    let mut client = Client::connect(broker.address);
    assert_eq!(member.beat(&mut client), Code::UnknownMemberId.number());
}

/// A group can be read with a full disk; what is lost is only that it outlives a restart.
#[test]
fn members_go_on_where_nothing_can_be_kept() {
    let broker = start().restart_full(options());
    let mut client = Client::connect(broker.address);
    let mut member = Member::new(None);
    member.enter(&mut client, 5);
    let id = member.id.clone();
    assert_eq!(member.sync(&mut client, &[(&id, b"all")]), "all");
    assert_eq!(member.beat(&mut client), 0);
    assert!(broker.log.members().is_empty());
}
