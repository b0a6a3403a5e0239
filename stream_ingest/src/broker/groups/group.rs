//! One consumer group: who is in it, and the steps by which its members agree who reads what.
//!
//! ```text
//! Empty ──join──► Joining ──everybody joined, or time is up──► Syncing ──leader's plan, kept──► Stable
//!   ▲               ▲  ▲                                          │                              │
//!   └── last left ──┘  └──────── somebody joins, leaves or falls silent ────────────────────────┘
//! ```
//!
//! The group knows no clock, no connection and no disk: times come in, and answers go to whoever waits for them. What members
//! act on outlives the broker: before an assignment is given out, or the place of a static member to its successor, the group
//! is to be written down ([`Group::take_unkept`]), and answers when it was ([`Group::kept`]).

use crate::broker::Code;
use crate::broker::budget::Held;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long a member that was never given an id of its own keeps its place while the group forms.
const NEW_MEMBER: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    Joining,
    Syncing,
    Stable,
}

impl State {
    /// Kafka's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Joining => "PreparingRebalance",
            Self::Syncing => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// A member joins, or joins again.
#[derive(Debug)]
pub(crate) struct Join {
    /// Empty if it was not given one.
    pub member: String,
    /// The name that a static member keeps across its restarts.
    pub instance: Option<String>,
    pub client: String,
    pub host: String,
    pub session: Duration,
    pub rebalance: Duration,
    pub protocol_type: String,
    /// What it can do, best first, with what it says of itself.
    pub protocols: Vec<(String, Bytes)>,
    /// Whether it must come back with the id that it is given.
    pub needs_id: bool,
    /// Whether it understands that there is nothing to assign.
    pub may_skip: bool,
    /// What its protocols occupy.
    pub held: Held,
}

/// What a member that joined is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Joined {
    pub generation: i32,
    pub protocol_type: String,
    pub protocol: String,
    pub leader: String,
    pub member: String,
    pub skip_assignment: bool,
    /// Everybody, for the leader; nobody for the others.
    pub members: Vec<(String, Option<String>, Bytes)>,
}

/// Why a member is refused, with the id that it shall use where that is why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub code: Code,
    pub member: String,
}

/// What a member that has its assignment is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub protocol_type: String,
    pub protocol: String,
    pub assignment: Bytes,
}

pub(crate) type JoinAnswer = Result<Joined, Refused>;
pub(crate) type SyncAnswer = Result<Assigned, Code>;

/// Who asks: its id, and its instance if it is static.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who<'a> {
    pub member: &'a str,
    pub instance: Option<&'a str>,
    pub generation: i32,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub instance: Option<String>,
    pub client: String,
    pub host: String,
    pub(super) session: Duration,
    pub(super) rebalance: Duration,
    protocols: Vec<(String, Bytes)>,
    pub assignment: Bytes,
    /// When it counts as gone, unless it waits for an answer.
    deadline: Instant,
    joining: Option<oneshot::Sender<JoinAnswer>>,
    /// What the successor of a static member is answered when this edition of the group is kept.
    due: Option<(u64, Joined)>,
    syncing: Option<oneshot::Sender<SyncAnswer>>,
    _held: Held,
    _assignment_held: Option<Held>,
}

impl Member {
    /// One that has nothing assigned and waits for nothing; gone at the deadline.
    pub(super) fn new(join: Join, deadline: Instant) -> Self {
        Self {
            instance: join.instance,
            client: join.client,
            host: join.host,
            session: join.session,
            rebalance: join.rebalance,
            protocols: join.protocols,
            assignment: Bytes::new(),
            deadline,
            joining: None,
            due: None,
            syncing: None,
            _held: join.held,
            _assignment_held: None,
        }
    }

    pub(super) fn assign(&mut self, assignment: Bytes, held: Held) {
        self.assignment = assignment;
        self._assignment_held = Some(held);
    }

    fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    fn waits(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }

    fn touch(&mut self, now: Instant) {
        self.deadline = now + self.session;
    }
}

#[derive(Debug)]
pub(crate) struct Group {
    pub state: State,
    pub generation: i32,
    pub protocol_type: String,
    pub protocol: String,
    leader: Option<String>,
    pub members: BTreeMap<String, Member>,
    statics: HashMap<String, String>,
    /// Ids that were given and not used yet, until when.
    promised: HashMap<String, Instant>,
    /// While joining: when it ends whoever is missing. While syncing: when who has not come is out.
    deadline: Option<Instant>,
    /// The edition with the plan that the leader brought, until that is kept.
    planned: Option<u64>,
    /// Counts what has to be kept before somebody is answered.
    edition: u64,
    /// Whether anything is to be kept that nobody was told of.
    unkept: bool,
    /// Whether something of this group is or was about to be kept.
    pub(super) on_disk: bool,
    /// While an empty group gathers its first members: until when at most.
    gathering: Option<Instant>,
    initial_delay: Duration,
    most: usize,
}

impl Group {
    pub fn new(initial_delay: Duration, most: usize) -> Self {
        Self {
            state: State::Empty,
            generation: 0,
            protocol_type: String::new(),
            protocol: String::new(),
            leader: None,
            members: BTreeMap::new(),
            statics: HashMap::new(),
            promised: HashMap::new(),
            deadline: None,
            planned: None,
            edition: 0,
            unkept: false,
            on_disk: false,
            gathering: None,
            initial_delay,
            most,
        }
    }

    /// Puts members back who were in a group that was settled.
    pub(super) fn seat(&mut self, leader: String, members: Vec<(String, Member)>) {
        self.members = members.into_iter().collect();
        let statics = self.members.iter().filter_map(|(id, member)| {
            let instance = member.instance.clone()?;
            Some((instance, id.clone()))
        });
        self.statics = statics.collect();
        self.leader = Some(leader).filter(|leader| self.members.contains_key(leader));
        self.state = State::Stable;
        self.on_disk = true;
    }

    pub(super) fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    /// Whether it is known who is in it and who reads what.
    pub(super) fn is_settled(&self) -> bool {
        !self.members.is_empty() && (self.state == State::Stable || self.planned.is_some())
    }

    /// Whether nobody is in it or about to be.
    pub fn is_idle(&self) -> bool {
        self.members.is_empty() && self.promised.is_empty()
    }

    /// When something happens by itself.
    pub fn next(&self) -> Option<Instant> {
        let members = self.members.values().filter(|member| !member.waits());
        members
            .map(|member| member.deadline)
            .chain(self.promised.values().copied())
            .chain(self.deadline)
            .min()
    }

    /// What has happened by itself until now.
    pub fn pass(&mut self, now: Instant) {
        self.promised.retain(|_, until| *until > now);
        let gone = self
            .members
            .iter()
            .filter(|(_, member)| !member.waits() && member.deadline <= now);
        let gone: Vec<String> = gone.map(|(id, _)| id.clone()).collect();
        for id in &gone {
            self.remove(id);
        }
        if !gone.is_empty() {
            self.changed(now);
        }
        match self.deadline.filter(|deadline| *deadline <= now) {
            Some(_) if self.state == State::Joining => {
                // An empty group waits again for as long as members keep coming, up to its limit.
                let again = self.gathering.take();
                match again.filter(|until| *until > now && self.newcomers(now)) {
                    Some(until) => {
                        self.gathering = Some(until);
                        self.deadline = Some((now + self.initial_delay).min(until));
                    }
                    None => self.joined(now),
                }
            }
            Some(_) if self.state == State::Syncing => {
                let late = self
                    .members
                    .iter()
                    .filter(|(_, member)| member.syncing.is_none());
                let late: Vec<String> = late.map(|(id, _)| id.clone()).collect();
                self.deadline = None;
                for id in &late {
                    self.remove(id);
                }
                self.changed(now);
            }
            _ => self.try_joined(now),
        }
    }

    /// Whether anybody joined within the last delay.
    fn newcomers(&self, now: Instant) -> bool {
        let since = now + NEW_MEMBER - self.initial_delay;
        self.members
            .values()
            .any(|member| member.joining.is_some() && member.deadline > since)
    }

    /// A member joins; `id` is a new one in case it needs one.
    pub fn join(&mut self, join: Join, id: String, now: Instant) -> oneshot::Receiver<JoinAnswer> {
        let (sender, receiver) = oneshot::channel();
        let refuse = |sender: oneshot::Sender<JoinAnswer>, code, member: &str| {
            let member = member.to_owned();
            // Who left takes no answer; so in all sends here.
            let _ = sender.send(Err(Refused { code, member }));
        };
        let known = self.members.contains_key(&join.member);
        if !known && self.members.len() >= self.most {
            refuse(sender, Code::GroupMaxSizeReached, &join.member);
            return receiver;
        }
        if !self.agrees(&join) {
            refuse(sender, Code::InconsistentGroupProtocol, &join.member);
            return receiver;
        }
        if join.member.is_empty() {
            let seated = join
                .instance
                .as_ref()
                .and_then(|instance| self.statics.get(instance));
            if let Some(old) = seated.cloned() {
                self.replace(&old, join, id, sender, now);
            } else if join.needs_id && join.instance.is_none() {
                if self.promised.len() >= self.most {
                    refuse(sender, Code::GroupMaxSizeReached, "");
                    return receiver;
                }
                self.promised.insert(id.clone(), now + join.session);
                refuse(sender, Code::MemberIdRequired, &id);
            } else {
                self.add(join, id, sender, now);
            }
            return receiver;
        }
        if self.promised.remove(&join.member).is_some() {
            let id = join.member.clone();
            self.add(join, id, sender, now);
            return receiver;
        }
        if let Err(code) = self.check_instance(&join.member, join.instance.as_deref()) {
            refuse(sender, code, &join.member);
            return receiver;
        }
        self.rejoin(join, sender, now);
        receiver
    }

    /// Whether a protocol of the joining member is one that all others have.
    fn agrees(&self, join: &Join) -> bool {
        if join.protocol_type.is_empty() || join.protocols.is_empty() {
            return false;
        }
        // A static member that was restarted need not agree with its former self.
        let seated = join
            .instance
            .as_ref()
            .and_then(|instance| self.statics.get(instance));
        let own = seated.unwrap_or(&join.member);
        let others = || self.members.iter().filter(|(id, _)| *id != own);
        if others().next().is_none() {
            return true;
        }
        let common = |name: &str| {
            others().all(|(_, member)| member.protocols.iter().any(|(theirs, _)| theirs == name))
        };
        self.protocol_type == join.protocol_type
            && join.protocols.iter().any(|(name, _)| common(name))
    }

    fn check_instance(&self, member: &str, instance: Option<&str>) -> Result<(), Code> {
        if let Some(instance) = instance
            && let Some(seated) = self.statics.get(instance)
        {
            return match seated == member {
                true => Ok(()),
                false => Err(Code::FencedInstanceId),
            };
        }
        match self.members.contains_key(member) && instance.is_none() {
            true => Ok(()),
            false => Err(Code::UnknownMemberId),
        }
    }

    fn add(&mut self, join: Join, id: String, sender: oneshot::Sender<JoinAnswer>, now: Instant) {
        if self.members.is_empty() {
            self.protocol_type.clone_from(&join.protocol_type);
        }
        if let Some(instance) = &join.instance {
            self.statics.insert(instance.clone(), id.clone());
        }
        let mut member = Member::new(join, now + NEW_MEMBER);
        member.joining = Some(sender);
        self.members.insert(id, member);
        self.rebalance(now);
    }

    /// A static member that was restarted takes its old place under a new id.
    fn replace(
        &mut self,
        old: &str,
        join: Join,
        id: String,
        sender: oneshot::Sender<JoinAnswer>,
        now: Instant,
    ) {
        let Some(mut before) = self.members.remove(old) else {
            return self.add(join, id, sender, now);
        };
        let fenced = Refused {
            code: Code::FencedInstanceId,
            member: old.to_owned(),
        };
        if let Some(waiting) = before.joining.take() {
            let _ = waiting.send(Err(fenced));
        }
        if let Some(waiting) = before.syncing.take() {
            let _ = waiting.send(Err(Code::FencedInstanceId));
        }
        let same = before.metadata(&self.protocol)
            == join
                .protocols
                .iter()
                .find(|(name, _)| *name == self.protocol)
                .map(|(_, metadata)| metadata.clone())
                .unwrap_or_default();
        let led = self.leader.as_deref() == Some(old);
        if led {
            self.leader = Some(id.clone());
        }
        if let Some(instance) = &join.instance {
            self.statics.insert(instance.clone(), id.clone());
        }
        let may_skip = join.may_skip;
        let until = now + join.session;
        let mut member = Member::new(join, until);
        member.assignment = before.assignment;
        member._assignment_held = before._assignment_held;
        member.joining = Some(sender);
        self.members.insert(id.clone(), member);
        if self.state != State::Stable || !same || self.select() != self.protocol {
            return self.rebalance(now);
        }
        // Nothing changes for anybody: it gets what its predecessor had.
        let mut answer = self.answer(&id);
        if led && may_skip {
            answer.skip_assignment = true;
        } else if led {
            // An older client that is told it leads would assign again; told another's name, it only asks.
            answer.leader = old.to_owned();
            answer.members.clear();
        }
        let edition = self.must_keep();
        if let Some(member) = self.members.get_mut(&id) {
            member.due = Some((edition, answer));
        }
    }

    fn must_keep(&mut self) -> u64 {
        self.edition += 1;
        self.unkept = true;
        self.edition
    }

    /// Whether the group is to be written down for somebody to be answered; told once.
    pub fn take_unkept(&mut self) -> bool {
        std::mem::take(&mut self.unkept)
    }

    /// What is to be written down is this edition.
    pub fn edition(&self) -> u64 {
        self.edition
    }

    /// An edition of the group is kept: those who waited for that are answered.
    pub fn kept(&mut self, edition: u64, now: Instant) {
        let is_kept = |waiting: u64| waiting <= edition;
        if self.planned.is_some_and(is_kept) {
            self.planned = None;
            self.state = State::Stable;
            self.deadline = None;
        }
        for member in self.members.values_mut() {
            if let Some((_, answer)) = member.due.take_if(|(waiting, _)| is_kept(*waiting))
                && let Some(waiting) = member.joining.take()
            {
                member.touch(now);
                let _ = waiting.send(Ok(answer));
            }
        }
        self.assign(now);
    }

    /// Gives those who wait for it what they are assigned, if that is settled.
    fn assign(&mut self, now: Instant) {
        if self.state != State::Stable {
            return;
        }
        for member in self.members.values_mut() {
            if let Some(waiting) = member.syncing.take() {
                member.touch(now);
                let _ = waiting.send(Ok(Assigned {
                    protocol_type: self.protocol_type.clone(),
                    protocol: self.protocol.clone(),
                    assignment: member.assignment.clone(),
                }));
            }
        }
    }

    /// A member that is known joins again.
    fn rejoin(&mut self, join: Join, sender: oneshot::Sender<JoinAnswer>, now: Instant) {
        let leads = self.leader.as_deref() == Some(join.member.as_str());
        let id = join.member;
        let state = self.state;
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        let same = member.protocols == join.protocols;
        member.client = join.client;
        member.host = join.host;
        member.session = join.session;
        member.rebalance = join.rebalance;
        member.protocols = join.protocols;
        member._held = join.held;
        member.touch(now);
        let answered = match state {
            // It did not get the answer to its last request.
            State::Syncing => same,
            State::Stable => same && !leads,
            State::Empty | State::Joining => false,
        };
        if answered {
            let answer = self.answer(&id);
            let _ = sender.send(Ok(answer));
            return;
        }
        if let Some(earlier) = member.joining.replace(sender) {
            let code = Code::RebalanceInProgress;
            let _ = earlier.send(Err(Refused { code, member: id }));
        }
        self.rebalance(now);
    }

    /// Everybody has to join again.
    fn rebalance(&mut self, now: Instant) {
        self.planned = None;
        for member in self.members.values_mut() {
            // With everybody else, then.
            member.due = None;
        }
        if self.state == State::Syncing || self.state == State::Stable {
            for member in self.members.values_mut() {
                if let Some(waiting) = member.syncing.take() {
                    let _ = waiting.send(Err(Code::RebalanceInProgress));
                    member.touch(now);
                }
            }
        }
        if self.state == State::Empty {
            let longest = self.longest_rebalance();
            self.gathering = Some(now + longest);
            self.deadline = Some(now + self.initial_delay.min(longest));
        } else if self.state != State::Joining {
            self.gathering = None;
            self.deadline = Some(now + self.longest_rebalance());
        }
        self.state = State::Joining;
        self.try_joined(now);
    }

    fn longest_rebalance(&self) -> Duration {
        let times = self.members.values().map(|member| member.rebalance);
        times.max().unwrap_or_default()
    }

    /// Ends joining when nobody is missing.
    fn try_joined(&mut self, now: Instant) {
        // An empty group waits its delay even if everybody there has joined.
        let gathering = self.gathering.is_some() && self.deadline.is_some_and(|until| until > now);
        let all = self.members.values().all(|member| member.joining.is_some());
        if self.state == State::Joining && !gathering && all && self.promised.is_empty() {
            self.joined(now);
        }
    }

    /// Joining is over: who did not join is out, unless it is static, and those who did form the next generation.
    fn joined(&mut self, now: Instant) {
        let missing = self
            .members
            .iter()
            .filter(|(_, member)| member.joining.is_none() && member.instance.is_none());
        let missing: Vec<String> = missing.map(|(id, _)| id.clone()).collect();
        for id in &missing {
            self.remove(id);
        }
        let joined = |group: &Self, id: &String| {
            group
                .members
                .get(id)
                .is_some_and(|member| member.joining.is_some())
        };
        if !self.members.is_empty() && !self.members.keys().any(|id| joined(self, id)) {
            // Only static members that are away: wait for one of them, or for their sessions to end.
            self.deadline = Some(now + self.longest_rebalance());
            return;
        }
        self.gathering = None;
        self.deadline = None;
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.state = State::Empty;
            self.protocol.clear();
            self.leader = None;
            return;
        }
        if !self
            .leader
            .as_ref()
            .is_some_and(|leader| joined(self, leader))
        {
            self.leader = self.members.keys().find(|id| joined(self, id)).cloned();
        }
        self.protocol = self.select();
        self.state = State::Syncing;
        self.deadline = Some(now + self.longest_rebalance());
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.answer(&id);
            if let Some(member) = self.members.get_mut(&id)
                && let Some(waiting) = member.joining.take()
            {
                member.touch(now);
                let _ = waiting.send(Ok(answer));
            }
        }
    }

    fn answer(&self, id: &str) -> Joined {
        let leads = self.leader.as_deref() == Some(id);
        let describe = |(id, member): (&String, &Member)| {
            (
                id.clone(),
                member.instance.clone(),
                member.metadata(&self.protocol),
            )
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member: id.to_owned(),
            skip_assignment: false,
            members: match leads {
                true => self.members.iter().map(describe).collect(),
                false => Vec::new(),
            },
        }
    }

    /// The protocol that most members like best of those that all have.
    fn select(&self) -> String {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        let common = |name: &str| {
            let has = |member: &Member| member.protocols.iter().any(|(theirs, _)| theirs == name);
            self.members.values().all(has)
        };
        for member in self.members.values() {
            let best = member.protocols.iter().find(|(name, _)| common(name));
            if let Some((name, _)) = best {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.into_iter().max_by_key(|(_, votes)| *votes);
        most.map_or(String::new(), |(name, _)| name.to_owned())
    }

    /// Somebody is gone, and the others shall know.
    fn changed(&mut self, now: Instant) {
        match self.state {
            State::Stable | State::Syncing => self.rebalance(now),
            State::Joining => self.try_joined(now),
            State::Empty => {}
        }
    }

    fn remove(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else {
            return;
        };
        if let Some(instance) = &member.instance
            && self
                .statics
                .get(instance)
                .is_some_and(|seated| seated == id)
        {
            self.statics.remove(instance);
        }
        let code = Code::UnknownMemberId;
        if let Some(waiting) = member.joining {
            let _ = waiting.send(Err(Refused {
                code,
                member: id.to_owned(),
            }));
        }
        if let Some(waiting) = member.syncing {
            let _ = waiting.send(Err(code));
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = None;
        }
    }

    fn check(&self, who: Who<'_>) -> Result<(), Code> {
        self.check_instance(who.member, who.instance)?;
        match who.generation == self.generation {
            true => Ok(()),
            false => Err(Code::IllegalGeneration),
        }
    }

    /// A member asks for its assignment; the leader brings everybody's.
    pub fn sync(
        &mut self,
        who: Who<'_>,
        protocol: (Option<&str>, Option<&str>),
        assignments: Vec<(String, Bytes, Held)>,
        now: Instant,
    ) -> oneshot::Receiver<SyncAnswer> {
        let (sender, receiver) = oneshot::channel();
        let differs = |given: Option<&str>, ours: &str| given.is_some_and(|given| given != ours);
        let mut checked = self.check(who);
        if checked.is_ok()
            && (differs(protocol.0, &self.protocol_type) || differs(protocol.1, &self.protocol))
        {
            checked = Err(Code::InconsistentGroupProtocol);
        }
        let checked = checked.and(match self.state {
            State::Empty => Err(Code::UnknownMemberId),
            State::Joining => Err(Code::RebalanceInProgress),
            State::Syncing | State::Stable => Ok(()),
        });
        let member = self.members.get_mut(who.member);
        let member = match (checked, member) {
            (Ok(()), Some(member)) => member,
            (checked, _) => {
                let code = checked.err().unwrap_or(Code::UnknownMemberId);
                let _ = sender.send(Err(code));
                return receiver;
            }
        };
        member.touch(now);
        if let Some(earlier) = member.syncing.replace(sender) {
            let _ = earlier.send(Err(Code::RebalanceInProgress));
        }
        if self.state == State::Syncing && self.leader.as_deref() == Some(who.member) {
            for member in self.members.values_mut() {
                member.assignment = Bytes::new();
                member._assignment_held = None;
            }
            for (id, assignment, held) in assignments {
                if let Some(member) = self.members.get_mut(&id) {
                    member.assign(assignment, held);
                }
            }
            self.planned = Some(self.must_keep());
        }
        self.assign(now);
        receiver
    }

    /// A member is alive.
    pub fn heartbeat(&mut self, who: Who<'_>, now: Instant) -> Result<(), Code> {
        self.check(who)?;
        if let Some(member) = self.members.get_mut(who.member) {
            member.touch(now);
        }
        match self.state {
            State::Empty => Err(Code::UnknownMemberId),
            State::Joining => Err(Code::RebalanceInProgress),
            State::Syncing | State::Stable => Ok(()),
        }
    }

    /// Members leave: by id, or by instance if the id is empty.
    pub fn leave<'a>(
        &mut self,
        leaving: impl Iterator<Item = (&'a str, Option<&'a str>)>,
        now: Instant,
    ) -> Vec<Result<(), Code>> {
        let mut anybody = false;
        let left = leaving
            .map(|(member, instance)| {
                if self.promised.remove(member).is_some() {
                    anybody = true;
                    return Ok(());
                }
                let seated = instance
                    .and_then(|instance| self.statics.get(instance))
                    .cloned();
                let id = match seated {
                    Some(seated) if member.is_empty() => seated,
                    _ => {
                        self.check_instance(member, instance)?;
                        member.to_owned()
                    }
                };
                self.remove(&id);
                anybody = true;
                Ok(())
            })
            .collect();
        if anybody {
            self.changed(now);
        }
        left
    }

    /// Whether offsets may be committed by this one now; nobody in particular may while the group is empty.
    pub fn may_commit(
        &mut self,
        who: Who<'_>,
        transactional: bool,
        now: Instant,
    ) -> Result<(), Code> {
        if who.generation < 0 && who.member.is_empty() && who.instance.is_none() {
            return match self.state {
                State::Empty => Ok(()),
                // A producer that does not say for whom it commits is fenced by its own epoch.
                _ if transactional => Ok(()),
                _ => Err(Code::UnknownMemberId),
            };
        }
        self.check(who)?;
        if self.state == State::Syncing && !transactional {
            return Err(Code::RebalanceInProgress);
        }
        if let Some(member) = self.members.get_mut(who.member) {
            member.touch(now);
        }
        Ok(())
    }

    /// What a member said of itself under the protocol that was selected.
    pub fn metadata(&self, member: &Member) -> Bytes {
        member.metadata(&self.protocol)
    }

    /// Ends every wait: the broker stops.
    pub fn close(&mut self) {
        for member in self.members.values_mut() {
            // Dropping the senders tells those who wait.
            member.joining = None;
            member.syncing = None;
        }
    }
}
