//! Groups on the disk: who is in a group, and who reads what, outlives the broker, so that a restart is a pause and nothing
//! else for those who read. As Kafka does, only what is settled is kept: a group that was agreeing on its next generation is
//! found in the last one, and its members are told to join again.

use super::group::{Group, Join, Member};
use super::{Groups, hold};
use crate::log::codec::{Put, Take};
use crate::log::{Error, Log, Membership};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How members are written here.
const VERSION: u8 = 1;
/// What the protocol has room for, in milliseconds.
const LONGEST_REBALANCE: u64 = i32::MAX as u64;

impl Groups {
    /// Brings back the groups that were kept. Sessions begin anew.
    pub fn restore(&self, log: &Log) {
        let now = Instant::now();
        for (name, members) in log.members() {
            match self.read(&members, now) {
                Some(group) => {
                    let group = Arc::new(parking_lot::Mutex::new(group));
                    self.plan_for(&group.lock());
                    self.all.lock().insert(name, group);
                }
                None => {
                    tracing::warn!(group = name, "the members of a group have to join again");
                    self.note(log, &name);
                }
            }
        }
    }

    /// A group as it was written; `None` if it is not understood, or more than is allowed.
    fn read(&self, bytes: &[u8], now: Instant) -> Option<Group> {
        let limits = &self.limits;
        if self.all.lock().len() >= limits.groups {
            return None;
        }
        let take = &mut Take(bytes);
        if take.u8()? != VERSION {
            return None;
        }
        let mut group = Group::new(limits.initial_delay, limits.members);
        group.generation = take.u32()? as i32;
        group.protocol_type = take.text()?;
        group.protocol = take.text()?;
        let leader = take.text()?;
        let protocol = group.protocol.clone();
        let members = take.list(|take| read_member(self, take, &protocol, now))?;
        if members.is_empty() || members.len() > limits.members || !take.0.is_empty() {
            return None;
        }
        group.seat(leader, members);
        Some(group)
    }

    /// Keeps what is settled of a group, and then lets those go on who wait for that. Where there is no space to keep it,
    /// they go on all the same: reading goes on with a full disk.
    pub async fn keep(&self, log: &Log, name: &str) {
        let mut edition = None;
        let kept = log.keep_members(name, || {
            self.with(name, |group| {
                edition = Some(group.edition());
                group.membership()
            })
            .unwrap_or(Membership::Nobody)
        });
        match kept.await {
            Ok(()) => {}
            Err(error @ (Error::Full { .. } | Error::TooLong { .. })) => {
                tracing::warn!(group = name, %error, "after a restart the members of a group will have to join again");
            }
            // The broker ends, and with it who waits.
            Err(error) => return tracing::debug!(group = name, %error, "a group was not kept"),
        }
        if let Some(edition) = edition {
            self.with(name, |group| group.kept(edition, Instant::now()));
        }
    }

    /// Keeps what is settled of a group that nobody waits for, such as that nobody is in it any more.
    pub fn note(&self, log: &Log, name: &str) {
        let decide = || {
            self.find(name)
                .map_or(Membership::Nobody, |group| group.lock().membership())
        };
        if let Err(error) = log.submit_members(name, decide) {
            tracing::debug!(group = name, %error, "a group was not kept");
        }
    }
}

impl Group {
    /// What is to be kept of the group as it is.
    fn membership(&mut self) -> Membership {
        match self.is_settled() {
            true => {
                self.on_disk = true;
                Membership::These(self.written())
            }
            false if self.on_disk && !self.is_idle() => Membership::AsBefore,
            false => Membership::Nobody,
        }
    }

    fn written(&self) -> Bytes {
        let mut out = Vec::new();
        out.u8(VERSION);
        out.u32(self.generation as u32);
        out.text(&self.protocol_type);
        out.text(&self.protocol);
        out.text(self.leader().unwrap_or_default());
        out.u32(self.members.len() as u32);
        for (id, member) in &self.members {
            out.text(id);
            out.u8(member.instance.is_some().into());
            if let Some(instance) = &member.instance {
                out.text(instance);
            }
            out.text(&member.client);
            out.text(&member.host);
            out.u64(member.session.as_millis() as u64);
            out.u64(member.rebalance.as_millis() as u64);
            out.block(&self.metadata(member));
            out.block(&member.assignment);
        }
        out.into()
    }
}

fn read_member(
    groups: &Groups,
    take: &mut Take<'_>,
    protocol: &str,
    now: Instant,
) -> Option<(String, Member)> {
    let id = take.text()?;
    let instance = match take.u8()? {
        0 => None,
        _ => Some(take.text()?),
    };
    let (client, host) = (take.text()?, take.text()?);
    let session = Duration::from_millis(take.u64()?).min(groups.limits.longest_session);
    let rebalance = Duration::from_millis(take.u64()?.min(LONGEST_REBALANCE));
    let metadata = Bytes::copy_from_slice(take.block()?);
    let assignment = Bytes::copy_from_slice(take.block()?);
    let held = hold(groups, protocol.len() + metadata.len() + client.len()).ok()?;
    let assignment_held = hold(groups, assignment.len()).ok()?;
    let joined = Join {
        member: id.clone(),
        instance,
        client,
        host,
        session,
        rebalance,
        protocol_type: String::new(),
        protocols: vec![(protocol.to_owned(), metadata)],
        needs_id: false,
        may_skip: false,
        held,
    };
    let mut member = Member::new(joined, now + session);
    member.assign(assignment, assignment_held);
    Some((id, member))
}
