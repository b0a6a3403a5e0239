//! Consumer groups on the wire: joining, committing, what expires; and members across restarts of the broker, where what they were
//! assigned is theirs still, and a static member has its place.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bytes::Bytes;
use common::wire::{Batch, Client, append, join};
use common::{Broker, options, wait_for};
use escala_stream_ingest::broker::Code;
use escala_stream_ingest::log::Committed;
use escala_stream_ingest::wire::messages::{
    describe_groups, heartbeat, join_group, leave_group, offset_commit, offset_fetch, sync_group,
};
use std::time::Duration;

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
        let mut request = commit(GROUP, self.generation, &self.id, offset);
        request.group_instance_id.clone_from(&self.instance);
        committed(client, &request)
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

/// A request to commit an offset of partition 0 of `t`.
fn commit(group: &str, generation: i32, member: &str, offset: i64) -> offset_commit::Request {
    offset_commit::Request {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: generation,
        member_id: member.to_owned(),
        topics: vec![offset_commit::OffsetCommitRequestTopic {
            name: "t".to_owned(),
            partitions: vec![offset_commit::OffsetCommitRequestPartition {
                committed_offset: offset,
                ..offset_commit::OffsetCommitRequestPartition::default()
            }],
            ..offset_commit::OffsetCommitRequestTopic::default()
        }],
        ..offset_commit::Request::default()
    }
}

/// What becomes of it.
fn committed(client: &mut Client, request: &offset_commit::Request) -> i16 {
    let answer: offset_commit::Response = client.ask(8, request);
    answer.topics[0].partitions[0].error_code
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

/// From version 4 on a member comes twice: the id that it is given survives a lost answer.
#[test]
fn a_member_is_given_an_id_before_it_joins() {
    let broker = Broker::start(options());
    let mut client = Client::connect(broker.address);
    let (version, request) = join(5, "");
    let refused: join_group::Response = client.ask(version, &request);
    assert_eq!(refused.error_code, Code::MemberIdRequired.number());
    assert!(
        refused.member_id.starts_with("test-"),
        "{}",
        refused.member_id
    );
    let (version, request) = join(5, &refused.member_id);
    let joined: join_group::Response = client.ask(version, &request);
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    assert_eq!(
        (&joined.leader, &joined.member_id),
        (&refused.member_id, &refused.member_id)
    );
    assert_eq!(joined.members.len(), 1);
    // Offsets are kept for the generation that is, and not for one that was.
    broker.topic("t", &[]);
    let assign = sync_group::Request {
        group_id: "g".to_owned(),
        generation_id: 1,
        member_id: joined.member_id.clone(),
        ..sync_group::Request::default()
    };
    let synced: sync_group::Response = client.ask(3, &assign);
    assert_eq!(synced.error_code, 0);
    let mut commit = |generation, member: &str, offset| {
        committed(&mut client, &commit("g", generation, member, offset))
    };
    assert_eq!(commit(1, &joined.member_id, 5), 0);
    assert_eq!(
        commit(0, &joined.member_id, 6),
        Code::IllegalGeneration.number()
    );
    assert_eq!(commit(1, "somebody", 6), Code::UnknownMemberId.number());
    assert_eq!(commit(-1, "", 6), Code::UnknownMemberId.number());
    let wanted = offset_fetch::Request {
        groups: vec![offset_fetch::OffsetFetchRequestGroup {
            group_id: "g".to_owned(),
            topics: None,
            ..offset_fetch::OffsetFetchRequestGroup::default()
        }],
        require_stable: true,
        ..offset_fetch::Request::default()
    };
    let kept: offset_fetch::Response = client.ask(8, &wanted);
    assert_eq!(kept.groups[0].topics[0].partitions[0].committed_offset, 5);
}

/// On a full disk a commit is refused with what consumers try again; the number of a failed disk would end them.
#[test]
fn commits_on_a_full_disk_may_be_tried_again() {
    let broker = Broker::start(options());
    broker.topic("t", &[]);
    let commit = |broker: &Broker| {
        let mut client = Client::connect(broker.address);
        committed(&mut client, &commit("g", -1, "", 5))
    };
    assert_eq!(commit(&broker), 0);
    let full = broker.restart_full(options());
    let mut client = Client::connect(full.address);
    let refused = append(&mut client, "t", Batch::default().of(&[b"x"]));
    assert_eq!(refused.error_code, Code::KafkaStorageError.number());
    assert_eq!(commit(&full), Code::CoordinatorNotAvailable.number());
}

/// Offsets go when nobody is in their group and nobody commits them for the retention; what a group with members has and
/// what a flow has stays.
#[test]
fn offsets_expire_where_nobody_comes_back() {
    const HOUR: i64 = 3_600_000;
    let mut options = options();
    options.groups.offsets_retention = Duration::from_secs(3600);
    options.groups.offsets_check = Duration::from_millis(10);
    let broker = Broker::start(options);
    broker.topic("t", &[]);
    let mut client = Client::connect(broker.address);
    let (version, request) = join(3, "");
    let joined: join_group::Response = client.ask(version, &request);
    assert_eq!(joined.error_code, 0);
    let log = &broker.log;
    let commit = |group: &str, partition: u32| {
        let offset = Committed::at(1);
        let offsets = [(("t".to_owned(), partition), offset)].into();
        let kept = log.commit_offsets(group, offsets, || true);
        broker.runtime.block_on(kept).expect("offsets are kept");
    };
    for group in ["g", "flow-f", "left", "lagging"] {
        commit(group, 0);
    }
    log.keep_group("flow-f");
    broker.pass(HOUR / 2);
    // Of its offsets one is younger.
    commit("lagging", 1);
    broker.pass(HOUR / 2 + 1000);
    wait_for("an offset has expired", || {
        !log.groups().contains(&"left".to_owned())
    });
    wait_for("and another", || {
        let left = broker.runtime.block_on(log.offsets("lagging"));
        left.expect("offsets").into_keys().eq([("t".to_owned(), 1)])
    });
    assert_eq!(log.groups(), ["flow-f", "g", "lagging"]);
    // The member leaves: its group's time begins.
    let leave = leave_group::Request {
        group_id: "g".to_owned(),
        member_id: joined.member_id,
        ..leave_group::Request::default()
    };
    let gone: leave_group::Response = client.ask(1, &leave);
    assert_eq!(gone.error_code, 0);
    log.release_group("flow-f");
    wait_for("what a flow had has expired", || {
        log.groups() == ["g", "lagging"]
    });
    broker.pass(HOUR + 1000);
    wait_for("what the group had has expired", || log.groups().is_empty());
}

/// A group with members keeps what they read, and what else was committed for it for the retention (KIP-211).
#[test]
fn offsets_of_topics_that_no_member_reads_expire() {
    let mut options = options();
    options.groups.offsets_retention = Duration::from_secs(3600);
    options.groups.offsets_check = Duration::from_millis(10);
    let broker = Broker::start(options);
    let mut client = Client::connect(broker.address);
    for name in ["read", "unread"] {
        broker.topic(name, &[]);
        let offsets = [((name.to_owned(), 0), Committed::at(1))].into();
        let kept = broker.log.commit_offsets("g", offsets, || true);
        broker.runtime.block_on(kept).expect("offsets are kept");
    }
    let (version, mut request) = join(3, "");
    // A subscription of version 0: its version, topics, nothing else said.
    let mut subscription = vec![0, 0, 0, 0, 0, 1, 0, 4];
    subscription.extend(b"read");
    subscription.extend((-1_i32).to_be_bytes());
    request.protocols[0].metadata = Bytes::from(subscription);
    let joined: join_group::Response = client.ask(version, &request);
    let settle = sync_group::Request {
        group_id: "g".to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id,
        ..sync_group::Request::default()
    };
    let synced: sync_group::Response = client.ask(3, &settle);
    assert_eq!((joined.error_code, synced.error_code), (0, 0));
    broker.pass(3_600_000 + 1000);
    wait_for("what nobody reads has expired", || {
        let left = broker.runtime.block_on(broker.log.offsets("g"));
        left.expect("offsets")
            .into_keys()
            .eq([("read".to_owned(), 0)])
    });
}

/// A group's time begins when its last member goes, whether or not anybody looked while it had one.
#[test]
fn offsets_of_a_group_that_was_there_between_two_looks_stay() {
    const HOUR: i64 = 3_600_000;
    let mut options = options();
    options.groups.offsets_retention = Duration::from_secs(3600);
    options.groups.offsets_check = Duration::from_secs(2);
    let broker = Broker::start(options);
    broker.topic("t", &[]);
    let log = &broker.log;
    for group in ["g", "left"] {
        let offsets = [(("t".to_owned(), 0), Committed::at(1))].into();
        let kept = log.commit_offsets(group, offsets, || true);
        broker.runtime.block_on(kept).expect("offsets are kept");
    }
    let mut client = Client::connect(broker.address);
    let (version, request) = join(3, "");
    let joined: join_group::Response = client.ask(version, &request);
    broker.pass(HOUR + 1000);
    let leave = leave_group::Request {
        group_id: "g".to_owned(),
        member_id: joined.member_id,
        ..leave_group::Request::default()
    };
    let gone: leave_group::Response = client.ask(1, &leave);
    assert_eq!((joined.error_code, gone.error_code), (0, 0));
    wait_for("what nobody came back for has expired", || {
        !log.has_group("left")
    });
    assert!(log.has_group("g"));
    broker.pass(HOUR + 1000);
    wait_for("the group's time is over", || !log.has_group("g"));
}

/// Version 0 has no rebalance timeout, no ids that are given first, and no names in its errors.
#[test]
fn the_oldest_members_join_at_once() {
    let broker = Broker::start(options());
    let mut client = Client::connect(broker.address);
    let (version, request) = join(0, "");
    let joined: join_group::Response = client.ask(version, &request);
    assert_eq!(joined.error_code, 0);
    let (version, mut request) = join(0, "");
    request.protocol_type = "connect".to_owned();
    let refused: join_group::Response = client.ask(version, &request);
    assert_eq!(refused.error_code, Code::InconsistentGroupProtocol.number());
    let (version, mut request) = join(0, "");
    request.session_timeout_ms = 1;
    let refused: join_group::Response = client.ask(version, &request);
    assert_eq!(refused.error_code, Code::InvalidSessionTimeout.number());
}

/// Newer clients are told of a group that nobody knows by an error, older ones by its state.
#[test]
fn a_group_that_is_not_known_is_described_as_kafka_does() {
    let broker = Broker::start(options());
    let mut client = Client::connect(broker.address);
    let request = describe_groups::Request {
        groups: vec!["nobody's".to_owned()],
        ..describe_groups::Request::default()
    };
    for (version, code) in [(5, Code::None), (6, Code::GroupIdNotFound)] {
        let answer: describe_groups::Response = client.ask(version, &request);
        assert_eq!(answer.groups[0].error_code, code.number(), "{version}");
        assert_eq!(answer.groups[0].group_state, "Dead");
    }
}
