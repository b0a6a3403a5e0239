//! The steps of a group, with times that the tests choose.

use super::group::{Assigned, Group, Join, JoinAnswer, Joined, Refused, State, SyncAnswer, Who};
use crate::broker::Code;
use crate::broker::budget::{Budget, Held};
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::Instant;

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);

/// A group, and the time.
struct Scene {
    group: Group,
    now: Instant,
    ids: usize,
    bytes: Budget,
}

impl Scene {
    fn new(initial_delay: Duration) -> Self {
        Self {
            group: Group::new(initial_delay, 4),
            now: Instant::now(),
            ids: 0,
            bytes: Budget::new(1 << 20),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.group.pass(self.now);
    }

    fn asks(&self, member: &str, protocols: &[&str]) -> Join {
        Join {
            member: member.to_owned(),
            instance: None,
            client: "client".to_owned(),
            host: "/host".to_owned(),
            session: SESSION,
            rebalance: REBALANCE,
            protocol_type: "consumer".to_owned(),
            protocols: protocols
                .iter()
                .map(|name| ((*name).to_owned(), Bytes::from(format!("{name}-data"))))
                .collect(),
            needs_id: false,
            may_skip: true,
            held: self.bytes.try_take(10).expect("ten bytes"),
        }
    }

    fn join(&mut self, join: Join) -> Receiver<JoinAnswer> {
        self.ids += 1;
        let answer = self.group.join(join, format!("m{}", self.ids), self.now);
        self.keep();
        answer
    }

    /// Has what is to be kept kept at once.
    fn keep(&mut self) {
        if self.group.take_unkept() {
            self.group.kept(self.group.edition(), self.now);
        }
    }

    /// Joins as an older client does, with one protocol.
    fn enter(&mut self, member: &str) -> Receiver<JoinAnswer> {
        self.join(self.asks(member, &["range"]))
    }

    fn enter_static(&mut self, instance: &str) -> Receiver<JoinAnswer> {
        let mut join = self.asks("", &["range"]);
        join.instance = Some(instance.to_owned());
        self.join(join)
    }

    /// Asks for the assignment; the leader brings one for each of `members`.
    fn sync(&mut self, member: &str, members: &[&str]) -> Receiver<SyncAnswer> {
        let generation = self.group.generation;
        let plan = members
            .iter()
            .map(|id| {
                let plan = Bytes::from(format!("for {id}"));
                ((*id).to_owned(), plan, held(&self.bytes))
            })
            .collect();
        let who = who(member, generation);
        let answer = self.group.sync(who, (None, None), plan, self.now);
        self.keep();
        answer
    }

    fn beat(&mut self, member: &str) -> Result<(), Code> {
        let generation = self.group.generation;
        self.group.heartbeat(who(member, generation), self.now)
    }

    fn leave(&mut self, member: &str) -> Result<(), Code> {
        self.group.leave([(member, None)].into_iter(), self.now)[0]
    }

    /// m1, the leader, and m2, stable.
    fn stable(&mut self) {
        let first = told(&mut self.enter(""));
        assert_eq!((first.member.as_str(), first.generation), ("m1", 1));
        let mut second = self.enter("");
        assert_eq!(self.beat("m1"), Err(Code::RebalanceInProgress));
        let mut first = self.enter("m1");
        assert_eq!(told(&mut first).members.len(), 2);
        assert_eq!(told(&mut second).leader, "m1");
        let mut follower = self.sync("m2", &[]);
        assert!(waits(&mut follower));
        let mut leader = self.sync("m1", &["m1", "m2"]);
        assert_eq!(assigned(&mut leader), "for m1");
        assert_eq!(assigned(&mut follower), "for m2");
        assert_eq!(self.group.state, State::Stable);
    }
}

fn who(member: &str, generation: i32) -> Who<'_> {
    Who {
        member,
        instance: None,
        generation,
    }
}

fn told(answer: &mut Receiver<JoinAnswer>) -> Joined {
    answer.try_recv().expect("an answer").expect("joined")
}

fn refused(answer: &mut Receiver<JoinAnswer>) -> Refused {
    answer.try_recv().expect("an answer").expect_err("refused")
}

fn assigned(answer: &mut Receiver<SyncAnswer>) -> String {
    let Assigned { assignment, .. } = answer.try_recv().expect("an answer").expect("assigned");
    String::from_utf8(assignment.to_vec()).expect("text")
}

fn waits<T>(answer: &mut Receiver<T>) -> bool {
    matches!(answer.try_recv(), Err(TryRecvError::Empty))
}

#[test]
fn members_form_a_group_and_another_one_makes_them_begin_again() {
    let mut scene = Scene::new(Duration::ZERO);
    scene.stable();
    let mut third = scene.enter("");
    assert!(waits(&mut third));
    assert_eq!(scene.beat("m2"), Err(Code::RebalanceInProgress));
    let (mut first, mut second) = (scene.enter("m1"), scene.enter("m2"));
    assert_eq!(told(&mut first).members.len(), 3);
    assert_eq!(told(&mut second).generation, 3);
    assert!(told(&mut third).members.is_empty());
    // The plan of a generation that is over is not taken.
    let mut late = scene
        .group
        .sync(who("m1", 2), (None, None), Vec::new(), scene.now);
    assert_eq!(late.try_recv(), Ok(Err(Code::IllegalGeneration)));
}

#[test]
fn an_empty_group_waits_for_more_members_as_long_as_they_come() {
    let mut scene = Scene::new(Duration::from_secs(3));
    let mut first = scene.enter("");
    scene.pass(Duration::from_secs(2));
    let mut second = scene.enter("");
    scene.pass(Duration::from_secs(1));
    assert!(waits(&mut first), "somebody came during the first delay");
    scene.pass(Duration::from_secs(3));
    assert_eq!(told(&mut first).members.len(), 2);
    assert_eq!(told(&mut second).generation, 1);
}

#[test]
fn who_does_not_join_again_is_out() {
    let mut scene = Scene::new(Duration::ZERO);
    scene.stable();
    let mut third = scene.enter("");
    let mut second = scene.enter("m2");
    for _ in 0..6 {
        // The leader lives, and does not join.
        scene.pass(Duration::from_secs(9));
        assert_eq!(scene.beat("m1"), Err(Code::RebalanceInProgress));
    }
    assert!(waits(&mut second));
    scene.pass(Duration::from_secs(6));
    let second = told(&mut second);
    assert_eq!((second.leader.as_str(), second.members.len()), ("m2", 2));
    assert_eq!(told(&mut third).leader, "m2");
    assert_eq!(scene.beat("m1"), Err(Code::UnknownMemberId));
}

#[test]
fn who_is_silent_for_a_session_is_out() {
    let mut scene = Scene::new(Duration::ZERO);
    scene.stable();
    scene.pass(Duration::from_secs(6));
    assert_eq!(scene.beat("m1"), Ok(()));
    assert_eq!(scene.group.next(), Some(scene.now + Duration::from_secs(4)));
    scene.pass(Duration::from_secs(4));
    assert_eq!(scene.beat("m2"), Err(Code::UnknownMemberId));
    assert_eq!(scene.beat("m1"), Err(Code::RebalanceInProgress));
    assert_eq!(told(&mut scene.enter("m1")).members.len(), 1);
    scene.pass(SESSION);
    assert!(scene.group.is_idle());
}

#[test]
fn who_does_not_ask_for_its_assignment_is_out() {
    let mut scene = Scene::new(Duration::ZERO);
    told(&mut scene.enter(""));
    let mut second = scene.enter("");
    told(&mut scene.enter("m1"));
    told(&mut second);
    let mut waiting = scene.sync("m2", &[]);
    for _ in 0..7 {
        scene.pass(Duration::from_secs(9));
        // The leader lives, and makes no plan.
        let _in_time_or_not = scene.beat("m1");
    }
    assert_eq!(waiting.try_recv(), Ok(Err(Code::RebalanceInProgress)));
    assert_eq!(told(&mut scene.enter("m2")).leader, "m2");
}

#[test]
fn whoever_leaves_is_gone_at_once() {
    let mut scene = Scene::new(Duration::ZERO);
    scene.stable();
    assert_eq!(scene.leave("m2"), Ok(()));
    assert_eq!(scene.leave("m2"), Err(Code::UnknownMemberId));
    assert_eq!(scene.group.state, State::Joining);
    assert_eq!(told(&mut scene.enter("m1")).members.len(), 1);
    assert_eq!(scene.leave("m1"), Ok(()));
    assert!(scene.group.is_idle());
    assert_eq!(scene.group.next(), None);
}

#[test]
fn ids_are_given_first_and_for_a_session_only() {
    let mut scene = Scene::new(Duration::ZERO);
    let mut ask = scene.asks("", &["range"]);
    ask.needs_id = true;
    let answer = refused(&mut scene.join(ask));
    assert_eq!(
        (answer.code, answer.member.as_str()),
        (Code::MemberIdRequired, "m1")
    );
    assert!(!scene.group.is_idle());
    scene.pass(SESSION);
    assert!(scene.group.is_idle());
    assert_eq!(refused(&mut scene.enter("m1")).code, Code::UnknownMemberId);
    let mut ask = scene.asks("", &["range"]);
    ask.needs_id = true;
    let id = refused(&mut scene.join(ask)).member;
    assert_eq!(told(&mut scene.enter(&id)).leader, id);
}

#[test]
fn the_protocol_is_one_that_all_have_and_most_like_best() {
    let mut scene = Scene::new(Duration::ZERO);
    told(&mut scene.join(scene.asks("", &["a", "b", "c"])));
    let mut second = scene.join(scene.asks("", &["c", "b"]));
    let mut third = scene.join(scene.asks("", &["x", "c", "b"]));
    let mut nothing_in_common = scene.join(scene.asks("", &["a"]));
    assert_eq!(
        refused(&mut nothing_in_common).code,
        Code::InconsistentGroupProtocol
    );
    let mut other_type = scene.asks("", &["c"]);
    other_type.protocol_type = "connect".to_owned();
    assert_eq!(
        refused(&mut scene.join(other_type)).code,
        Code::InconsistentGroupProtocol
    );
    let first = told(&mut scene.join(scene.asks("m1", &["a", "b", "c"])));
    assert_eq!(first.protocol, "c");
    let (id, _, metadata) = &first.members[0];
    assert_eq!((id.as_str(), &metadata[..]), ("m1", &b"c-data"[..]));
    assert_eq!(
        (told(&mut second).protocol, told(&mut third).protocol),
        ("c".into(), "c".into())
    );
}

#[test]
fn a_lost_answer_is_given_again() {
    let mut scene = Scene::new(Duration::ZERO);
    scene.stable();
    // A follower that changes nothing disturbs nobody; the leader may want to assign anew.
    assert_eq!(told(&mut scene.enter("m2")).generation, 2);
    assert_eq!(assigned(&mut scene.sync("m2", &[])), "for m2");
    assert_eq!(scene.group.state, State::Stable);
    assert!(waits(&mut scene.enter("m1")));
    assert_eq!(scene.group.state, State::Joining);
}

#[test]
fn a_static_member_that_restarts_gets_what_it_had() {
    let mut scene = Scene::new(Duration::ZERO);
    let first = told(&mut scene.enter_static("a"));
    let mut second = scene.enter_static("b");
    let mut again = scene.asks(&first.member, &["range"]);
    again.instance = Some("a".to_owned());
    told(&mut scene.join(again));
    let second = told(&mut second).member;
    let mut plan = scene.sync_static(&first.member, "a", &[&first.member, &second]);
    assert_eq!(assigned(&mut plan), format!("for {}", first.member));
    let back = told(&mut scene.enter_static("b"));
    assert_eq!((back.generation, scene.group.state), (2, State::Stable));
    assert_ne!(back.member, second);
    let mut synced = scene.sync_static(&back.member, "b", &[]);
    assert_eq!(assigned(&mut synced), format!("for {second}"));
    // Its former self is fenced.
    let former = Who {
        member: &second,
        instance: Some("b"),
        generation: 2,
    };
    assert_eq!(
        scene.group.heartbeat(former, scene.now),
        Err(Code::FencedInstanceId)
    );
    // The leader, back, need not assign.
    let back = told(&mut scene.enter_static("a"));
    assert!(
        back.skip_assignment && back.leader == back.member,
        "{back:?}"
    );
    assert_eq!(scene.group.state, State::Stable);
}

impl Scene {
    fn sync_static(
        &mut self,
        member: &str,
        instance: &str,
        members: &[&str],
    ) -> Receiver<SyncAnswer> {
        let plan = members.iter().map(|id| {
            let plan = Bytes::from(format!("for {id}"));
            ((*id).to_owned(), plan, held(&self.bytes))
        });
        let plan = plan.collect();
        let who = Who {
            member,
            instance: Some(instance),
            generation: self.group.generation,
        };
        let answer = self.group.sync(who, (None, None), plan, self.now);
        self.keep();
        answer
    }
}

#[test]
fn nobody_acts_on_what_is_not_kept() {
    let mut scene = Scene::new(Duration::ZERO);
    let first = told(&mut scene.enter_static("a")).member;
    let static_leader = Who {
        member: &first,
        instance: Some("a"),
        generation: 1,
    };
    let plan = || vec![(first.clone(), Bytes::from("plan"), held(&scene.bytes))];
    let mut waiting = scene
        .group
        .sync(static_leader, (None, None), plan(), scene.now);
    assert!(waits(&mut waiting) && scene.group.state == State::Syncing);
    assert!(scene.group.take_unkept() && !scene.group.take_unkept());
    // What was kept is older than the plan.
    scene.group.kept(scene.group.edition() - 1, scene.now);
    assert!(waits(&mut waiting));
    scene.group.kept(scene.group.edition(), scene.now);
    assert_eq!(assigned(&mut waiting), "plan");
    assert_eq!(scene.group.state, State::Stable);
    // Its successor learns its id when the disk knows it.
    let mut join = scene.asks("", &["range"]);
    join.instance = Some("a".to_owned());
    let mut back = scene.group.join(join, "successor".to_owned(), scene.now);
    assert!(waits(&mut back) && scene.group.take_unkept());
    scene.group.kept(scene.group.edition(), scene.now);
    let back = told(&mut back);
    assert_eq!((back.member.as_str(), back.generation), ("successor", 1));
    // A plan of a generation that is over is nobody's, whenever it is kept.
    let leader = Who {
        member: "successor",
        ..static_leader
    };
    let mut other = scene.enter("");
    assert!(waits(&mut other));
    let mut late = scene
        .group
        .sync(leader, (None, None), Vec::new(), scene.now);
    assert_eq!(late.try_recv(), Ok(Err(Code::RebalanceInProgress)));
    scene.group.kept(scene.group.edition(), scene.now);
    assert!(waits(&mut other) && scene.group.state == State::Joining);
}

fn held(bytes: &Budget) -> Held {
    bytes.try_take(5).expect("five bytes")
}

#[test]
fn who_may_commit() {
    let mut scene = Scene::new(Duration::ZERO);
    let now = scene.now;
    let anybody = who("", -1);
    let commits = |group: &mut Group, who| {
        // With a transaction and without.
        let with = group.may_commit(who, true, now);
        (group.may_commit(who, false, now), with)
    };
    assert_eq!(commits(&mut scene.group, anybody), (Ok(()), Ok(())));
    scene.stable();
    // A producer that does not say for whom it commits is fenced by its epoch.
    assert_eq!(
        commits(&mut scene.group, anybody),
        (Err(Code::UnknownMemberId), Ok(()))
    );
    assert_eq!(commits(&mut scene.group, who("m2", 2)), (Ok(()), Ok(())));
    let old = Err(Code::IllegalGeneration);
    assert_eq!(commits(&mut scene.group, who("m2", 1)), (old, old));
    let mut third = scene.enter("");
    // What was read before the next generation can still be committed.
    assert_eq!(commits(&mut scene.group, who("m2", 2)), (Ok(()), Ok(())));
    let (mut second, mut first) = (scene.enter("m2"), scene.enter("m1"));
    assert_eq!(told(&mut first).generation, told(&mut second).generation);
    assert_eq!(told(&mut third).generation, 3);
    assert_eq!(
        commits(&mut scene.group, who("m2", 3)),
        (Err(Code::RebalanceInProgress), Ok(()))
    );
}

#[test]
fn a_group_has_so_many_members_and_no_more() {
    let mut scene = Scene::new(Duration::from_secs(3));
    let _waiting: Vec<_> = (0..4).map(|_| scene.enter("")).collect();
    assert_eq!(
        refused(&mut scene.enter("")).code,
        Code::GroupMaxSizeReached
    );
}

#[test]
fn what_members_said_is_given_back_when_they_go() {
    let mut scene = Scene::new(Duration::ZERO);
    scene.stable();
    assert!(scene.bytes.try_take((1 << 20) - 29).is_none());
    assert_eq!((scene.leave("m1"), scene.leave("m2")), (Ok(()), Ok(())));
    assert!(scene.bytes.try_take(1 << 20).is_some());
}
