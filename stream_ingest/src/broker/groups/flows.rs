//! The group of a flow at work, as clients are shown it: stable, with one member that reads all of a topic.
//!
//! The flow commits in this process, past the members that are kept here. Whoever else would join the group or change its
//! offsets is told what Kafka tells about a group with members; when the flow rests, the group is as any without members.

use super::group::State;
use crate::broker::Context;
use crate::wire::messages::consumer_protocol_assignment::{
    ConsumerProtocolAssignment, TopicPartition,
};
use crate::wire::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use crate::wire::messages::describe_groups::{DescribedGroup, DescribedGroupMember};
use crate::wire::{Result, Writer};
use bytes::Bytes;

/// The type of these groups: tools look into what members of this type say.
pub(super) const TYPE: &str = "consumer";
/// What such a member says its program is.
const CLIENT: &str = "escala";
/// Where it is: in this process.
const HOST: &str = "/127.0.0.1";
/// How what members say is written here.
const VERSION: i16 = 0;

/// The group, if a flow is at work for it.
pub(super) fn describe(context: &Context, group: &str) -> Option<DescribedGroup> {
    let topic = context.log().occupied_group(group)?;
    // A topic that is gone for now has no partitions.
    let partitions = context
        .log()
        .topic(&topic)
        .map_or(0, |topic| topic.partitions);
    let partitions = (0..i32::try_from(partitions).unwrap_or(i32::MAX)).collect();
    let subscription = ConsumerProtocolSubscription {
        topics: vec![topic.clone()],
        ..ConsumerProtocolSubscription::default()
    };
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: vec![TopicPartition { topic, partitions }],
        user_data: None,
    };
    let member = DescribedGroupMember {
        member_id: format!("{CLIENT}-{group}"),
        client_id: CLIENT.to_owned(),
        client_host: HOST.to_owned(),
        member_metadata: written(|writer| subscription.write(VERSION, writer)),
        member_assignment: written(|writer| assignment.write(VERSION, writer)),
        ..DescribedGroupMember::default()
    };
    Some(DescribedGroup {
        group_state: State::Stable.word().to_owned(),
        protocol_type: TYPE.to_owned(),
        protocol_data: CLIENT.to_owned(),
        members: vec![member],
        ..DescribedGroup::default()
    })
}

/// The version, and what is written after it; nothing where it cannot be written, as of a member that says nothing.
fn written(write: impl FnOnce(&mut Writer) -> Result<()>) -> Bytes {
    let mut writer = Writer::new();
    writer.int16(VERSION);
    match write(&mut writer) {
        Ok(()) => writer.finish().concat().into(),
        Err(_) => Bytes::new(),
    }
}
