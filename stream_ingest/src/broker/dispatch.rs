//! Which requests are served, by whom, and how their answers become bytes.

use super::budget::Held;
use super::connection::Closed;
use super::{
    Context, acls, cluster, configs, fetch, groups, metadata, offsets, produce, producers, topics,
    transactions, versions,
};
use crate::wire::{Api, Message, Reader, RequestHeader, Writer, messages, write_response_header};
use bytes::{Buf, Bytes};
use futures_util::future::BoxFuture;
use std::collections::VecDeque;
use std::io::IoSlice;

/// The APIs that are served, with the lowest and the highest version that is advertised.
///
/// Produce is advertised from 0 and served from 3: librdkafka before 2.11.1 does not compress otherwise. What only a
/// cluster of brokers or a newer kind of group needs is not here, and telemetry neither: clients then do without.
pub(crate) const SERVED: [(Api, i16, i16); 37] = [
    (Api::Produce, 0, 12),
    (Api::Fetch, 4, 12),
    (Api::ListOffsets, 1, 7),
    (Api::Metadata, 0, 12),
    (Api::OffsetCommit, 2, 9),
    (Api::OffsetFetch, 1, 9),
    (Api::FindCoordinator, 0, 4),
    (Api::JoinGroup, 0, 9),
    (Api::Heartbeat, 0, 4),
    (Api::LeaveGroup, 0, 5),
    (Api::SyncGroup, 0, 5),
    (Api::DescribeGroups, 0, 6),
    (Api::ListGroups, 0, 5),
    (Api::ApiVersions, 0, 4),
    (Api::CreateTopics, 2, 7),
    (Api::DeleteTopics, 1, 6),
    (Api::DeleteRecords, 0, 2),
    (Api::InitProducerId, 0, 5),
    (Api::OffsetForLeaderEpoch, 2, 4),
    (Api::AddPartitionsToTxn, 0, 3),
    (Api::AddOffsetsToTxn, 0, 4),
    (Api::EndTxn, 0, 5),
    (Api::TxnOffsetCommit, 0, 5),
    (Api::DescribeAcls, 1, 3),
    (Api::CreateAcls, 1, 3),
    (Api::DeleteAcls, 1, 3),
    (Api::DescribeConfigs, 1, 4),
    (Api::AlterConfigs, 0, 2),
    (Api::DescribeLogDirs, 1, 4),
    (Api::CreatePartitions, 0, 3),
    (Api::DeleteGroups, 0, 2),
    (Api::IncrementalAlterConfigs, 0, 1),
    (Api::OffsetDelete, 0, 0),
    (Api::DescribeCluster, 0, 1),
    (Api::DescribeProducers, 0, 0),
    (Api::DescribeTransactions, 0, 0),
    (Api::ListTransactions, 0, 1),
];

/// An answer as it goes over the wire, with its length in front.
#[derive(Debug)]
pub(crate) struct Frame {
    pieces: VecDeque<Bytes>,
    /// What the answer occupies of budgets until it is written.
    held: Vec<Held>,
}

impl Frame {
    /// Keeps a part of a budget until the answer is written.
    pub fn hold(&mut self, held: Held) {
        self.held.push(held);
    }
}

impl Buf for Frame {
    fn remaining(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(piece) = self.pieces.front_mut() {
            if count < piece.len() {
                return piece.advance(count);
            }
            count -= piece.len();
            self.pieces.pop_front();
        }
    }
}

/// What a request leads to.
pub(crate) enum Reply {
    /// An answer.
    Now(Frame),
    /// An answer in a while.
    Later(BoxFuture<'static, Result<Frame, Closed>>),
}

/// What is known of a request while it waits for its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub api: Api,
    pub version: i16,
    pub correlation: i32,
}

impl Asked {
    /// The answer's bytes.
    pub fn frame(self, answer: &impl Message) -> Result<Frame, Closed> {
        self.frame_holding(answer, Vec::new())
    }

    /// The answer's bytes, which occupy some of a budget until they are written.
    pub fn frame_holding(self, answer: &impl Message, held: Vec<Held>) -> Result<Frame, Closed> {
        let mut writer = Writer::new();
        write_response_header(self.api, self.version, self.correlation, &mut writer)
            .and_then(|()| answer.write(self.version, &mut writer))
            .map_err(Closed::Unwritable)?;
        let too_long = crate::wire::Error::TooLong(writer.len());
        let length = u32::try_from(writer.len())
            .ok()
            .filter(|length| *length <= i32::MAX as u32);
        let length = length.ok_or(Closed::Unwritable(too_long))?;
        let mut pieces = VecDeque::from(writer.finish());
        pieces.push_front(Bytes::copy_from_slice(&length.to_be_bytes()));
        Ok(Frame { pieces, held })
    }
}

fn read<M: Message>(version: i16, reader: &mut Reader) -> Result<M, Closed> {
    // What follows a request is ignored, as Kafka does.
    M::read(version, reader).map_err(Closed::Malformed)
}

/// Begins what a request asks for. `None` where no answer is due. What the request occupies is held as long as it is
/// needed.
pub(crate) async fn dispatch(
    context: &mut Context,
    mut reader: Reader,
    held: Held,
) -> Result<Option<Reply>, Closed> {
    let bytes = reader.left();
    let header = RequestHeader::read(&mut reader).map_err(Closed::Malformed)?;
    let (key, version) = (header.key, header.version);
    let unserved = Closed::Unserved { key, version };
    let Some(api) = Api::of(key) else {
        return Err(unserved);
    };
    let asked = Asked {
        api,
        version,
        correlation: header.correlation,
    };
    let served = SERVED.iter().find(|(served, _, _)| *served == api);
    if !served.is_some_and(|(_, low, high)| (*low..=*high).contains(&version)) {
        if api == Api::ApiVersions {
            return Ok(Some(Reply::Now(versions::unknown_version(asked)?)));
        }
        return Err(unserved);
    }
    context.options().metrics.asked(api);
    // The same name in most requests.
    match header.client {
        Some(client) if client != context.client => context.client = client,
        _ => {}
    }
    let context = &*context;
    macro_rules! now {
        ($message:ident, $handler:path) => {{
            let request = read::<messages::$message::Request>(version, &mut reader)?;
            let answer = $handler(context, version, request).await;
            Reply::Now(asked.frame(&answer)?)
        }};
    }
    Ok(Some(match api {
        Api::Produce if version < 3 => return Err(unserved),
        Api::Produce => {
            let request = read(version, &mut reader)?;
            // The log takes the records over where nobody else has them.
            drop(reader);
            return produce::begin(context, asked, request, bytes).await;
        }
        Api::Fetch => fetch::begin(context, asked, read(version, &mut reader)?, held),
        Api::JoinGroup => groups::join(context, asked, read(version, &mut reader)?),
        Api::SyncGroup => groups::sync(context, asked, read(version, &mut reader)?),
        Api::ApiVersions => now!(api_versions, versions::answer),
        Api::Metadata => now!(metadata, metadata::answer),
        Api::ListOffsets => now!(list_offsets, offsets::list),
        Api::OffsetForLeaderEpoch => now!(offset_for_leader_epoch, offsets::epoch_ends),
        Api::DeleteRecords => now!(delete_records, offsets::delete_records),
        Api::FindCoordinator => now!(find_coordinator, cluster::find_coordinator),
        Api::DescribeCluster => now!(describe_cluster, cluster::describe),
        Api::DescribeLogDirs => now!(describe_log_dirs, cluster::log_dirs),
        Api::OffsetCommit => now!(offset_commit, groups::commit),
        Api::OffsetFetch => now!(offset_fetch, groups::committed),
        Api::Heartbeat => now!(heartbeat, groups::heartbeat),
        Api::LeaveGroup => now!(leave_group, groups::leave),
        Api::DescribeGroups => now!(describe_groups, groups::describe),
        Api::ListGroups => now!(list_groups, groups::list),
        Api::DeleteGroups => now!(delete_groups, groups::delete),
        Api::OffsetDelete => now!(offset_delete, groups::delete_offsets),
        Api::CreateTopics => now!(create_topics, topics::create),
        Api::DeleteTopics => now!(delete_topics, topics::delete),
        Api::CreatePartitions => now!(create_partitions, topics::add_partitions),
        Api::DescribeConfigs => now!(describe_configs, configs::describe),
        Api::AlterConfigs => now!(alter_configs, configs::replace),
        Api::IncrementalAlterConfigs => now!(incremental_alter_configs, configs::change),
        Api::InitProducerId => now!(init_producer_id, producers::init),
        Api::AddPartitionsToTxn => now!(add_partitions_to_txn, transactions::add_partitions),
        Api::AddOffsetsToTxn => now!(add_offsets_to_txn, transactions::add_offsets),
        Api::EndTxn => now!(end_txn, transactions::end),
        Api::TxnOffsetCommit => now!(txn_offset_commit, transactions::commit_offsets),
        Api::DescribeProducers => now!(describe_producers, producers::describe),
        Api::DescribeTransactions => now!(describe_transactions, transactions::describe),
        Api::ListTransactions => now!(list_transactions, transactions::list),
        Api::DescribeAcls => now!(describe_acls, acls::describe),
        Api::CreateAcls => now!(create_acls, acls::create),
        Api::DeleteAcls => now!(delete_acls, acls::delete),
        _ => return Err(unserved),
    }))
}
