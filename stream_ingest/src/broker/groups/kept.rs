//! What committing offsets asks for, with a transaction or without: whether each of them can be kept, and whether who commits
//! may.

use super::group::Who;
use crate::broker::{Code, Context, partition};
use crate::log::{Committed, Offsets};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::Instant;

/// Longest text that a consumer may keep beside an offset.
const LONGEST_METADATA: usize = 4096;

/// A partition's number, and whether its offset can be kept.
pub(crate) type Checked = (i32, Result<(), Code>);

/// An offset as a request has it.
pub(crate) struct Wanted<'a> {
    pub partition: i32,
    pub offset: i64,
    pub epoch: i32,
    pub metadata: Option<&'a str>,
}

/// The offsets that can be kept, and what becomes of each.
pub(crate) fn check_all<'a, P: Iterator<Item = Wanted<'a>>>(
    context: &Context,
    topics: impl Iterator<Item = (&'a str, P)>,
) -> (Offsets, Vec<(&'a str, Vec<Checked>)>) {
    let mut offsets = Offsets::new();
    let mut answers = Vec::new();
    for (name, wanted) in topics {
        let known = context.log().topic(name);
        let mut partitions = Vec::new();
        for one in wanted {
            let checked = known
                .as_ref()
                .map_err(Code::from)
                .and_then(|known| check(known.partitions, &one));
            if let Ok(index) = checked {
                let committed = Committed {
                    offset: one.offset,
                    leader_epoch: one.epoch,
                    metadata: one.metadata.unwrap_or_default().to_owned(),
                    at: 0,
                };
                offsets.insert((name.to_owned(), index), committed);
            }
            partitions.push((one.partition, checked.map(drop)));
        }
        answers.push((name, partitions));
    }
    (offsets, answers)
}

fn check(partitions: u32, one: &Wanted<'_>) -> Result<u32, Code> {
    let index = partition(one.partition)?;
    if index >= partitions {
        return Err(Code::UnknownTopicOrPartition);
    }
    if one
        .metadata
        .is_some_and(|text| text.len() > LONGEST_METADATA)
    {
        return Err(Code::OffsetMetadataTooLarge);
    }
    Ok(index)
}

/// Asks whether a member may commit, and where it leaves the reason if not. It is asked at the moment that decides, so
/// that nobody commits after another has taken over.
pub(crate) fn fence(
    context: &Context,
    group: &str,
    who: Who<'_>,
    transactional: bool,
) -> (
    impl FnOnce() -> bool + Send + use<>,
    Arc<Mutex<Option<Code>>>,
) {
    let refused = Arc::new(Mutex::new(None));
    let reason = refused.clone();
    let (shared, log) = (context.shared.clone(), context.log().clone());
    let (group, member) = (group.to_owned(), who.member.to_owned());
    let (instance, generation) = (who.instance.map(str::to_owned), who.generation);
    let fence = move || {
        if log.occupied_group(&group).is_some() {
            // Who commits is no member: a flow is the only one.
            *reason.lock() = Some(Code::UnknownMemberId);
            return false;
        }
        let who = Who {
            member: &member,
            instance: instance.as_deref(),
            generation,
        };
        let now = Instant::now();
        let may = shared
            .groups
            .with(&group, |group| group.may_commit(who, transactional, now));
        let may = may.unwrap_or(match generation < 0 {
            // Nobody is in the group: whoever assigns partitions to itself may commit.
            true => Ok(()),
            false => Err(Code::IllegalGeneration),
        });
        *reason.lock() = may.err();
        may.is_ok()
    };
    (fence, refused)
}
