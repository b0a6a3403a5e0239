//! Consumer groups: who is in them is decided in memory (`group.rs`) and kept in the log (`stored.rs`), as are their offsets.
//! After a restart members go on as they were.
//!
//! A group for which a flow reads in this process is the flow's alone while it is at work (`flows.rs`).

mod expiry;
mod flows;
mod group;
pub(crate) mod kept;
mod offsets;
mod stored;
#[cfg(test)]
mod tests;

pub(crate) use group::Who;
pub(crate) use offsets::{commit, committed, delete_offsets};

use super::budget::{Budget, Held};
use super::dispatch::{Asked, Reply};
use super::metadata::GROUP_OPERATIONS;
use super::{Code, Context, GroupLimits};
use crate::log::{Error, Log};
use crate::wire::messages::{
    delete_groups, describe_groups, heartbeat, join_group, leave_group, list_groups, sync_group,
};
use bytes::Bytes;
use futures_util::FutureExt;
use group::{Group, Join, JoinAnswer, Refused, State, SyncAnswer};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// The type of all groups here: KIP-848 knows another.
const TYPE: &str = "classic";
/// How much of a client's name is put into the ids of members.
const NAME_IN_ID: usize = 64;

/// Groups by name. Clones are the same.
pub(crate) type Directory = Arc<Mutex<BTreeMap<String, Arc<Mutex<Group>>>>>;

/// The groups that have members.
#[derive(Debug)]
pub(crate) struct Groups {
    limits: GroupLimits,
    bytes: Budget,
    all: Directory,
    /// When the sessions are looked at next, unless told otherwise.
    planned: Mutex<Option<Instant>>,
    sooner: Notify,
    seen: expiry::Seen,
}

impl Groups {
    /// No groups, which come into `all`; `now` in milliseconds since 1970.
    pub fn new(limits: GroupLimits, now: i64, all: Directory) -> Self {
        Self {
            bytes: Budget::new(limits.bytes),
            limits,
            all,
            planned: Mutex::new(None),
            sooner: Notify::new(),
            seen: expiry::Seen::new(now),
        }
    }

    fn find(&self, name: &str) -> Option<Arc<Mutex<Group>>> {
        self.all.lock().get(name).cloned()
    }

    /// Lets something happen to a group that is there, and plans for what it leads to.
    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Group) -> T) -> Option<T> {
        let group = self.find(name)?;
        let mut group = group.lock();
        let result = act(&mut group);
        self.plan_for(&group);
        Some(result)
    }

    fn plan_for(&self, group: &Group) {
        // A group without members is forgotten at once: its offsets are in the log, its members not any more.
        self.plan(match group.is_idle() {
            true => Some(Instant::now()),
            false => group.next(),
        });
    }

    fn plan(&self, next: Option<Instant>) {
        let Some(next) = next else {
            return;
        };
        let mut planned = self.planned.lock();
        if planned.is_none_or(|planned| next < planned) {
            *planned = Some(next);
            self.sooner.notify_one();
        }
    }

    /// Lets time pass for all groups, for ever: sessions end, joining ends, empty groups are forgotten.
    pub async fn watch_sessions(&self, log: &Log) {
        loop {
            let planned = *self.planned.lock();
            match planned {
                Some(planned) => {
                    tokio::select! {
                        () = sleep_until(planned) => {}
                        () = self.sooner.notified() => continue,
                    }
                }
                None => {
                    self.sooner.notified().await;
                    continue;
                }
            }
            *self.planned.lock() = None;
            self.pass(log, Instant::now());
        }
    }

    fn pass(&self, log: &Log, now: Instant) {
        let mut left = Vec::new();
        self.all.lock().retain(|name, group| {
            let mut group = group.lock();
            group.pass(now);
            self.plan(group.next());
            if group.is_idle() {
                self.seen.left(log, name);
                left.extend(group.on_disk.then(|| name.clone()));
            }
            !group.is_idle()
        });
        // Not under the lock, which the log takes when it asks who is there.
        for name in &left {
            self.note(log, name);
        }
    }

    fn join(
        &self,
        name: &str,
        join: Join,
        id: String,
    ) -> Result<(oneshot::Receiver<JoinAnswer>, bool), Code> {
        let now = Instant::now();
        let mut all = self.all.lock();
        if !all.contains_key(name) {
            // A member of a group that was forgotten, such as by a restart.
            if !join.member.is_empty() {
                return Err(Code::UnknownMemberId);
            }
            if all.len() >= self.limits.groups {
                return Err(Code::GroupMaxSizeReached);
            }
        }
        let group = all.entry(name.to_owned()).or_insert_with(|| {
            let group = Group::new(self.limits.initial_delay, self.limits.members);
            Arc::new(Mutex::new(group))
        });
        // Held together, so that the group is not forgotten in between.
        let mut group = group.lock();
        let answer = group.join(join, id, now);
        self.plan_for(&group);
        Ok((answer, group.take_unkept()))
    }

    /// Ends every wait: the broker stops.
    pub fn close(&self) {
        for group in self.all.lock().values() {
            group.lock().close();
        }
    }
}

/// The groups in a directory that have members, with how many these are.
pub(crate) fn peopled(all: &Directory) -> BTreeMap<String, usize> {
    let all = all.lock();
    let members = all.iter().map(|(name, group)| {
        let members = group.lock().members.len();
        (name.clone(), members)
    });
    members.filter(|(_, members)| *members > 0).collect()
}

fn duration(milliseconds: i32) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())
}

/// JoinGroup: answered when the group has its next generation.
pub(crate) fn join(context: &Context, asked: Asked, request: join_group::Request) -> Reply {
    let member = request.member_id.clone();
    let group = request.group_id.clone();
    let waiting = enter(context, asked.version, request);
    let context = context.clone();
    let later = async move {
        let answer = match waiting {
            // Whose sender is gone, the broker stops.
            Ok(answer) => answer.await.unwrap_or(Err(Refused {
                code: Code::CoordinatorNotAvailable,
                member,
            })),
            Err(code) => Err(Refused { code, member }),
        };
        tracing::trace!(group, peer = %context.peer, ok = answer.is_ok(), "joined");
        let answer = match answer {
            Ok(joined) => join_group::Response {
                generation_id: joined.generation,
                protocol_type: Some(joined.protocol_type),
                protocol_name: Some(joined.protocol),
                leader: joined.leader,
                skip_assignment: joined.skip_assignment,
                member_id: joined.member,
                members: joined
                    .members
                    .into_iter()
                    .map(|(member_id, group_instance_id, metadata)| {
                        join_group::JoinGroupResponseMember {
                            member_id,
                            group_instance_id,
                            metadata,
                        }
                    })
                    .collect(),
                ..join_group::Response::default()
            },
            Err(refused) => join_group::Response {
                error_code: refused.code.number(),
                generation_id: -1,
                // Only from version 7 on may it be null.
                protocol_name: (asked.version < 7).then(String::new),
                member_id: refused.member,
                ..join_group::Response::default()
            },
        };
        asked.frame(&answer)
    };
    Reply::Later(later.boxed())
}

fn enter(
    context: &Context,
    version: i16,
    request: join_group::Request,
) -> Result<oneshot::Receiver<JoinAnswer>, Code> {
    let groups = &context.shared.groups;
    let limits = &groups.limits;
    if request.group_id.is_empty() {
        return Err(Code::InvalidGroupId);
    }
    if context.log().occupied_group(&request.group_id).is_some() {
        // It shares its partitions with nobody, which clients take for another protocol, and for good.
        return Err(Code::InconsistentGroupProtocol);
    }
    let session = duration(request.session_timeout_ms);
    if !(limits.shortest_session..=limits.longest_session).contains(&session) {
        return Err(Code::InvalidSessionTimeout);
    }
    let rebalance = match version {
        0 => session,
        _ => duration(request.rebalance_timeout_ms).max(session),
    };
    let said = request
        .protocols
        .iter()
        .map(|one| one.name.len() + one.metadata.len());
    let names = request.group_id.len() + context.client.len();
    let held = hold(groups, said.sum::<usize>() + names)?;
    let prefix = match &request.group_instance_id {
        Some(instance) => instance,
        None => &context.client,
    };
    let id = format!("{}-{}", shortened(prefix), Uuid::new_v4());
    let join = Join {
        member: request.member_id,
        instance: request.group_instance_id,
        client: context.client.clone(),
        host: format!("/{}", context.peer.ip().to_canonical()),
        session,
        rebalance,
        protocol_type: request.protocol_type,
        // Copied: what was read shares the memory of the whole request.
        protocols: request
            .protocols
            .into_iter()
            .map(|one| (one.name, Bytes::copy_from_slice(&one.metadata)))
            .collect(),
        needs_id: version >= 4,
        may_skip: version >= 9,
        held,
    };
    let (answer, unkept) = groups.join(&request.group_id, join, id)?;
    if unkept {
        keep(context, request.group_id);
    }
    Ok(answer)
}

/// Has a group written down, and then goes on with it: also if whoever made that necessary does not wait for it.
fn keep(context: &Context, name: String) {
    let shared = context.shared.clone();
    tokio::spawn(async move { shared.groups.keep(&shared.log, &name).await });
}

fn hold(groups: &Groups, bytes: usize) -> Result<Held, Code> {
    groups
        .bytes
        .try_take(bytes)
        .ok_or(Code::GroupMaxSizeReached)
}

fn shortened(name: &str) -> &str {
    let mut end = name.len().min(NAME_IN_ID);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

/// SyncGroup: answered when the leader has brought the assignments.
pub(crate) fn sync(context: &Context, asked: Asked, request: sync_group::Request) -> Reply {
    let waiting = assign(context, request);
    let later = async move {
        let answer: SyncAnswer = match waiting {
            Ok(answer) => answer.await.unwrap_or(Err(Code::CoordinatorNotAvailable)),
            Err(code) => Err(code),
        };
        let answer = match answer {
            Ok(assigned) => sync_group::Response {
                protocol_type: Some(assigned.protocol_type),
                protocol_name: Some(assigned.protocol),
                assignment: assigned.assignment,
                ..sync_group::Response::default()
            },
            Err(code) => sync_group::Response {
                error_code: code.number(),
                ..sync_group::Response::default()
            },
        };
        asked.frame(&answer)
    };
    Reply::Later(later.boxed())
}

fn assign(
    context: &Context,
    request: sync_group::Request,
) -> Result<oneshot::Receiver<SyncAnswer>, Code> {
    let groups = &context.shared.groups;
    if context.log().occupied_group(&request.group_id).is_some() {
        return Err(Code::UnknownMemberId);
    }
    let assignments = request
        .assignments
        .into_iter()
        .map(|one| {
            let held = hold(groups, one.assignment.len())?;
            Ok((one.member_id, Bytes::copy_from_slice(&one.assignment), held))
        })
        .collect::<Result<Vec<_>, Code>>()?;
    let who = Who {
        member: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    let protocol = (
        request.protocol_type.as_deref(),
        request.protocol_name.as_deref(),
    );
    let (answer, unkept) = groups
        .with(&request.group_id, |group| {
            let answer = group.sync(who, protocol, assignments, Instant::now());
            (answer, group.take_unkept())
        })
        .ok_or(Code::UnknownMemberId)?;
    if unkept {
        keep(context, request.group_id);
    }
    Ok(answer)
}

/// Heartbeat.
pub(crate) async fn heartbeat(
    context: &Context,
    _: i16,
    request: heartbeat::Request,
) -> heartbeat::Response {
    let who = Who {
        member: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    let groups = &context.shared.groups;
    let alive = match context.log().occupied_group(&request.group_id) {
        // It was a member before a flow had the group.
        Some(_) => None,
        None => groups.with(&request.group_id, |group| {
            group.heartbeat(who, Instant::now())
        }),
    };
    let alive = alive.unwrap_or(Err(Code::UnknownMemberId));
    heartbeat::Response {
        error_code: alive.err().unwrap_or(Code::None).number(),
        ..heartbeat::Response::default()
    }
}

/// LeaveGroup: one member before version 3, any number after.
pub(crate) async fn leave(
    context: &Context,
    version: i16,
    request: leave_group::Request,
) -> leave_group::Response {
    let leaving: Vec<(&str, Option<&str>)> = match version {
        ..3 => vec![(request.member_id.as_str(), None)],
        _ => request
            .members
            .iter()
            .map(|one| (one.member_id.as_str(), one.group_instance_id.as_deref()))
            .collect(),
    };
    let groups = &context.shared.groups;
    let left = groups.with(&request.group_id, |group| {
        group.leave(leaving.iter().copied(), Instant::now())
    });
    let left = left.unwrap_or_else(|| vec![Err(Code::UnknownMemberId); leaving.len()]);
    let code = |left: &Result<(), Code>| left.err().unwrap_or(Code::None).number();
    if version < 3 {
        return leave_group::Response {
            error_code: left.first().map_or(Code::UnknownMemberId.number(), code),
            ..leave_group::Response::default()
        };
    }
    let members =
        leaving
            .iter()
            .zip(&left)
            .map(|((member, instance), left)| leave_group::MemberResponse {
                member_id: (*member).to_owned(),
                group_instance_id: instance.map(str::to_owned),
                error_code: code(left),
            });
    leave_group::Response {
        members: members.collect(),
        ..leave_group::Response::default()
    }
}

/// DescribeGroups.
pub(crate) async fn describe(
    context: &Context,
    version: i16,
    request: describe_groups::Request,
) -> describe_groups::Response {
    let stored: BTreeSet<String> = context.log().groups().into_iter().collect();
    let operations = match request.include_authorized_operations {
        true => GROUP_OPERATIONS,
        false => i32::MIN,
    };
    let groups = request.groups.into_iter().map(|name| {
        let described = flows::describe(context, &name).or_else(|| {
            context.shared.groups.with(&name, |group| {
                let members = group.members.iter().map(|(id, member)| {
                    describe_groups::DescribedGroupMember {
                        member_id: id.clone(),
                        group_instance_id: member.instance.clone(),
                        client_id: member.client.clone(),
                        client_host: member.host.clone(),
                        member_metadata: match group.state {
                            State::Stable => group.metadata(member),
                            _ => Bytes::new(),
                        },
                        member_assignment: member.assignment.clone(),
                    }
                });
                describe_groups::DescribedGroup {
                    group_state: group.state.word().to_owned(),
                    protocol_type: group.protocol_type.clone(),
                    protocol_data: match group.state {
                        State::Stable => group.protocol.clone(),
                        _ => String::new(),
                    },
                    members: members.collect(),
                    ..describe_groups::DescribedGroup::default()
                }
            })
        });
        let described = described.unwrap_or_else(|| {
            let known = stored.contains(&name);
            // Before version 6 there is no error for it.
            let unknown = !known && version >= 6;
            describe_groups::DescribedGroup {
                error_code: match unknown {
                    true => Code::GroupIdNotFound.number(),
                    false => Code::None.number(),
                },
                error_message: unknown.then(|| format!("the group {name} is not known")),
                group_state: if known { "Empty" } else { "Dead" }.to_owned(),
                ..describe_groups::DescribedGroup::default()
            }
        });
        describe_groups::DescribedGroup {
            group_id: name,
            authorized_operations: operations,
            ..described
        }
    });
    describe_groups::Response {
        groups: groups.collect(),
        ..describe_groups::Response::default()
    }
}

/// ListGroups: those with members and those with offsets.
pub(crate) async fn list(
    context: &Context,
    _: i16,
    request: list_groups::Request,
) -> list_groups::Response {
    let mut groups: BTreeMap<String, (State, String)> = context
        .log()
        .groups()
        .into_iter()
        .map(|name| (name, (State::Empty, String::new())))
        .collect();
    for (name, group) in context.shared.groups.all.lock().iter() {
        let group = group.lock();
        groups.insert(name.clone(), (group.state, group.protocol_type.clone()));
    }
    for name in context.log().occupied_groups() {
        groups.insert(name, (State::Stable, flows::TYPE.to_owned()));
    }
    let listed = |filter: &[String], word: &str| {
        filter.is_empty() || filter.iter().any(|one| one.eq_ignore_ascii_case(word))
    };
    let groups = groups
        .into_iter()
        .filter(|(_, (state, _))| {
            listed(&request.states_filter, state.word()) && listed(&request.types_filter, TYPE)
        })
        .map(
            |(group_id, (state, protocol_type))| list_groups::ListedGroup {
                group_id,
                protocol_type,
                group_state: state.word().to_owned(),
                group_type: TYPE.to_owned(),
            },
        );
    list_groups::Response {
        groups: groups.collect(),
        ..list_groups::Response::default()
    }
}

/// DeleteGroups.
pub(crate) async fn delete(
    context: &Context,
    _: i16,
    request: delete_groups::Request,
) -> delete_groups::Response {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for name in request.groups_names {
        let shared = context.shared.clone();
        let group = name.clone();
        let log = context.log().clone();
        let empty = move || {
            let members = shared.groups.find(&group);
            let idle = members.is_none_or(|members| members.lock().is_idle());
            idle && log.occupied_group(&group).is_none()
        };
        let here = !empty();
        let deleted = match context.log().delete_group(&name, empty).await {
            Ok(()) => Ok(()),
            Err(Error::Fenced) => Err(Code::NonEmptyGroup),
            // It has members and no offsets yet.
            Err(Error::NoGroup(_)) if here => Err(Code::NonEmptyGroup),
            Err(error) => Err(super::transactions::code(&error)),
        };
        results.push(delete_groups::DeletableGroupResult {
            group_id: name,
            error_code: deleted.err().unwrap_or(Code::None).number(),
        });
    }
    delete_groups::Response {
        results,
        ..delete_groups::Response::default()
    }
}
