// Written by protocol/generate.py from protocol/messages.json.

//! The messages, one module an API: structs with the protocol's field names, read and written by version.

/// AddOffsetsToTxn, API 25.
pub mod add_offsets_to_txn;
/// AddPartitionsToTxn, API 24.
pub mod add_partitions_to_txn;
/// AlterConfigs, API 33.
pub mod alter_configs;
/// ApiVersions, API 18.
pub mod api_versions;
/// ConsumerProtocolAssignment.
pub mod consumer_protocol_assignment;
/// ConsumerProtocolSubscription.
pub mod consumer_protocol_subscription;
/// CreateAcls, API 30.
pub mod create_acls;
/// CreatePartitions, API 37.
pub mod create_partitions;
/// CreateTopics, API 19.
pub mod create_topics;
/// DeleteAcls, API 31.
pub mod delete_acls;
/// DeleteGroups, API 42.
pub mod delete_groups;
/// DeleteRecords, API 21.
pub mod delete_records;
/// DeleteTopics, API 20.
pub mod delete_topics;
/// DescribeAcls, API 29.
pub mod describe_acls;
/// DescribeCluster, API 60.
pub mod describe_cluster;
/// DescribeConfigs, API 32.
pub mod describe_configs;
/// DescribeGroups, API 15.
pub mod describe_groups;
/// DescribeLogDirs, API 35.
pub mod describe_log_dirs;
/// DescribeProducers, API 61.
pub mod describe_producers;
/// DescribeTransactions, API 65.
pub mod describe_transactions;
/// EndTxn, API 26.
pub mod end_txn;
/// Fetch, API 1.
pub mod fetch;
/// FindCoordinator, API 10.
pub mod find_coordinator;
/// Heartbeat, API 12.
pub mod heartbeat;
/// IncrementalAlterConfigs, API 44.
pub mod incremental_alter_configs;
/// InitProducerId, API 22.
pub mod init_producer_id;
/// JoinGroup, API 11.
pub mod join_group;
/// LeaveGroup, API 13.
pub mod leave_group;
/// ListGroups, API 16.
pub mod list_groups;
/// ListOffsets, API 2.
pub mod list_offsets;
/// ListTransactions, API 66.
pub mod list_transactions;
/// Metadata, API 3.
pub mod metadata;
/// OffsetCommit, API 8.
pub mod offset_commit;
/// OffsetDelete, API 47.
pub mod offset_delete;
/// OffsetFetch, API 9.
pub mod offset_fetch;
/// OffsetForLeaderEpoch, API 23.
pub mod offset_for_leader_epoch;
/// Produce, API 0.
pub mod produce;
/// SaslAuthenticate, API 36.
pub mod sasl_authenticate;
/// SaslHandshake, API 17.
pub mod sasl_handshake;
/// SyncGroup, API 14.
pub mod sync_group;
/// TxnOffsetCommit, API 28.
pub mod txn_offset_commit;

use super::{Reader, Result, Writer};
use std::ops::RangeInclusive;

/// An API of the protocol that has messages here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Api {
    /// Key 0.
    Produce = 0,
    /// Key 1.
    Fetch = 1,
    /// Key 2.
    ListOffsets = 2,
    /// Key 3.
    Metadata = 3,
    /// Key 8.
    OffsetCommit = 8,
    /// Key 9.
    OffsetFetch = 9,
    /// Key 10.
    FindCoordinator = 10,
    /// Key 11.
    JoinGroup = 11,
    /// Key 12.
    Heartbeat = 12,
    /// Key 13.
    LeaveGroup = 13,
    /// Key 14.
    SyncGroup = 14,
    /// Key 15.
    DescribeGroups = 15,
    /// Key 16.
    ListGroups = 16,
    /// Key 17.
    SaslHandshake = 17,
    /// Key 18.
    ApiVersions = 18,
    /// Key 19.
    CreateTopics = 19,
    /// Key 20.
    DeleteTopics = 20,
    /// Key 21.
    DeleteRecords = 21,
    /// Key 22.
    InitProducerId = 22,
    /// Key 23.
    OffsetForLeaderEpoch = 23,
    /// Key 24.
    AddPartitionsToTxn = 24,
    /// Key 25.
    AddOffsetsToTxn = 25,
    /// Key 26.
    EndTxn = 26,
    /// Key 28.
    TxnOffsetCommit = 28,
    /// Key 29.
    DescribeAcls = 29,
    /// Key 30.
    CreateAcls = 30,
    /// Key 31.
    DeleteAcls = 31,
    /// Key 32.
    DescribeConfigs = 32,
    /// Key 33.
    AlterConfigs = 33,
    /// Key 35.
    DescribeLogDirs = 35,
    /// Key 36.
    SaslAuthenticate = 36,
    /// Key 37.
    CreatePartitions = 37,
    /// Key 42.
    DeleteGroups = 42,
    /// Key 44.
    IncrementalAlterConfigs = 44,
    /// Key 47.
    OffsetDelete = 47,
    /// Key 60.
    DescribeCluster = 60,
    /// Key 61.
    DescribeProducers = 61,
    /// Key 65.
    DescribeTransactions = 65,
    /// Key 66.
    ListTransactions = 66,
}

impl Api {
    /// All, by key.
    pub const ALL: [Self; 39] = [
        Self::Produce,
        Self::Fetch,
        Self::ListOffsets,
        Self::Metadata,
        Self::OffsetCommit,
        Self::OffsetFetch,
        Self::FindCoordinator,
        Self::JoinGroup,
        Self::Heartbeat,
        Self::LeaveGroup,
        Self::SyncGroup,
        Self::DescribeGroups,
        Self::ListGroups,
        Self::SaslHandshake,
        Self::ApiVersions,
        Self::CreateTopics,
        Self::DeleteTopics,
        Self::DeleteRecords,
        Self::InitProducerId,
        Self::OffsetForLeaderEpoch,
        Self::AddPartitionsToTxn,
        Self::AddOffsetsToTxn,
        Self::EndTxn,
        Self::TxnOffsetCommit,
        Self::DescribeAcls,
        Self::CreateAcls,
        Self::DeleteAcls,
        Self::DescribeConfigs,
        Self::AlterConfigs,
        Self::DescribeLogDirs,
        Self::SaslAuthenticate,
        Self::CreatePartitions,
        Self::DeleteGroups,
        Self::IncrementalAlterConfigs,
        Self::OffsetDelete,
        Self::DescribeCluster,
        Self::DescribeProducers,
        Self::DescribeTransactions,
        Self::ListTransactions,
    ];

    /// The API of a key.
    pub fn of(key: i16) -> Option<Self> {
        Some(match key {
            0 => Self::Produce,
            1 => Self::Fetch,
            2 => Self::ListOffsets,
            3 => Self::Metadata,
            8 => Self::OffsetCommit,
            9 => Self::OffsetFetch,
            10 => Self::FindCoordinator,
            11 => Self::JoinGroup,
            12 => Self::Heartbeat,
            13 => Self::LeaveGroup,
            14 => Self::SyncGroup,
            15 => Self::DescribeGroups,
            16 => Self::ListGroups,
            17 => Self::SaslHandshake,
            18 => Self::ApiVersions,
            19 => Self::CreateTopics,
            20 => Self::DeleteTopics,
            21 => Self::DeleteRecords,
            22 => Self::InitProducerId,
            23 => Self::OffsetForLeaderEpoch,
            24 => Self::AddPartitionsToTxn,
            25 => Self::AddOffsetsToTxn,
            26 => Self::EndTxn,
            28 => Self::TxnOffsetCommit,
            29 => Self::DescribeAcls,
            30 => Self::CreateAcls,
            31 => Self::DeleteAcls,
            32 => Self::DescribeConfigs,
            33 => Self::AlterConfigs,
            35 => Self::DescribeLogDirs,
            36 => Self::SaslAuthenticate,
            37 => Self::CreatePartitions,
            42 => Self::DeleteGroups,
            44 => Self::IncrementalAlterConfigs,
            47 => Self::OffsetDelete,
            60 => Self::DescribeCluster,
            61 => Self::DescribeProducers,
            65 => Self::DescribeTransactions,
            66 => Self::ListTransactions,
            _ => return None,
        })
    }

    /// The first version whose headers and lengths are of the flexible kind.
    pub fn flexible(self) -> Option<i16> {
        match self {
            Self::Produce => Some(9),
            Self::Fetch => Some(12),
            Self::ListOffsets => Some(6),
            Self::Metadata => Some(9),
            Self::OffsetCommit => Some(8),
            Self::OffsetFetch => Some(6),
            Self::FindCoordinator => Some(3),
            Self::JoinGroup => Some(6),
            Self::Heartbeat => Some(4),
            Self::LeaveGroup => Some(4),
            Self::SyncGroup => Some(4),
            Self::DescribeGroups => Some(5),
            Self::ListGroups => Some(3),
            Self::SaslHandshake => None,
            Self::ApiVersions => Some(3),
            Self::CreateTopics => Some(5),
            Self::DeleteTopics => Some(4),
            Self::DeleteRecords => Some(2),
            Self::InitProducerId => Some(2),
            Self::OffsetForLeaderEpoch => Some(4),
            Self::AddPartitionsToTxn => Some(3),
            Self::AddOffsetsToTxn => Some(3),
            Self::EndTxn => Some(3),
            Self::TxnOffsetCommit => Some(3),
            Self::DescribeAcls => Some(2),
            Self::CreateAcls => Some(2),
            Self::DeleteAcls => Some(2),
            Self::DescribeConfigs => Some(4),
            Self::AlterConfigs => Some(2),
            Self::DescribeLogDirs => Some(2),
            Self::SaslAuthenticate => Some(2),
            Self::CreatePartitions => Some(2),
            Self::DeleteGroups => Some(2),
            Self::IncrementalAlterConfigs => Some(1),
            Self::OffsetDelete => None,
            Self::DescribeCluster => Some(0),
            Self::DescribeProducers => Some(0),
            Self::DescribeTransactions => Some(0),
            Self::ListTransactions => Some(0),
        }
    }

    /// The versions whose messages are here.
    pub fn versions(self) -> RangeInclusive<i16> {
        match self {
            Self::Produce => 3..=13,
            Self::Fetch => 4..=18,
            Self::ListOffsets => 1..=10,
            Self::Metadata => 0..=13,
            Self::OffsetCommit => 2..=10,
            Self::OffsetFetch => 1..=10,
            Self::FindCoordinator => 0..=6,
            Self::JoinGroup => 0..=9,
            Self::Heartbeat => 0..=4,
            Self::LeaveGroup => 0..=5,
            Self::SyncGroup => 0..=5,
            Self::DescribeGroups => 0..=6,
            Self::ListGroups => 0..=5,
            Self::SaslHandshake => 0..=1,
            Self::ApiVersions => 0..=4,
            Self::CreateTopics => 2..=7,
            Self::DeleteTopics => 1..=6,
            Self::DeleteRecords => 0..=2,
            Self::InitProducerId => 0..=6,
            Self::OffsetForLeaderEpoch => 2..=4,
            Self::AddPartitionsToTxn => 0..=5,
            Self::AddOffsetsToTxn => 0..=4,
            Self::EndTxn => 0..=5,
            Self::TxnOffsetCommit => 0..=5,
            Self::DescribeAcls => 1..=3,
            Self::CreateAcls => 1..=3,
            Self::DeleteAcls => 1..=3,
            Self::DescribeConfigs => 1..=4,
            Self::AlterConfigs => 0..=2,
            Self::DescribeLogDirs => 1..=4,
            Self::SaslAuthenticate => 0..=2,
            Self::CreatePartitions => 0..=3,
            Self::DeleteGroups => 0..=2,
            Self::IncrementalAlterConfigs => 0..=1,
            Self::OffsetDelete => 0..=0,
            Self::DescribeCluster => 0..=2,
            Self::DescribeProducers => 0..=0,
            Self::DescribeTransactions => 0..=0,
            Self::ListTransactions => 0..=2,
        }
    }
}

/// Reads a message by its name, such as `FetchRequest`, to its end and writes it again: what properties
/// and fuzzers hold on to. `None` where there is no such message in that version.
///
/// # Errors
/// When the bytes are not such a message.
pub fn recode(name: &str, version: i16, mut r: Reader) -> Option<Result<Writer>> {
    macro_rules! recode {
        ($message:ty) => {{
            let read = <$message>::read(version, &mut r).and_then(|message| r.end().map(|()| message));
            read.and_then(|message| {
                let mut w = Writer::new();
                message.write(version, &mut w)?;
                Ok(w)
            })
        }};
    }
    Some(match (name, version) {
        ("ProduceRequest", 3..=13) => recode!(produce::Request),
        ("ProduceResponse", 3..=13) => recode!(produce::Response),
        ("FetchRequest", 4..=18) => recode!(fetch::Request),
        ("FetchResponse", 4..=18) => recode!(fetch::Response),
        ("ListOffsetsRequest", 1..=10) => recode!(list_offsets::Request),
        ("ListOffsetsResponse", 1..=10) => recode!(list_offsets::Response),
        ("MetadataRequest", 0..=13) => recode!(metadata::Request),
        ("MetadataResponse", 0..=13) => recode!(metadata::Response),
        ("OffsetCommitRequest", 2..=10) => recode!(offset_commit::Request),
        ("OffsetCommitResponse", 2..=10) => recode!(offset_commit::Response),
        ("OffsetFetchRequest", 1..=10) => recode!(offset_fetch::Request),
        ("OffsetFetchResponse", 1..=10) => recode!(offset_fetch::Response),
        ("FindCoordinatorRequest", 0..=6) => recode!(find_coordinator::Request),
        ("FindCoordinatorResponse", 0..=6) => recode!(find_coordinator::Response),
        ("JoinGroupRequest", 0..=9) => recode!(join_group::Request),
        ("JoinGroupResponse", 0..=9) => recode!(join_group::Response),
        ("HeartbeatRequest", 0..=4) => recode!(heartbeat::Request),
        ("HeartbeatResponse", 0..=4) => recode!(heartbeat::Response),
        ("LeaveGroupRequest", 0..=5) => recode!(leave_group::Request),
        ("LeaveGroupResponse", 0..=5) => recode!(leave_group::Response),
        ("SyncGroupRequest", 0..=5) => recode!(sync_group::Request),
        ("SyncGroupResponse", 0..=5) => recode!(sync_group::Response),
        ("DescribeGroupsRequest", 0..=6) => recode!(describe_groups::Request),
        ("DescribeGroupsResponse", 0..=6) => recode!(describe_groups::Response),
        ("ListGroupsRequest", 0..=5) => recode!(list_groups::Request),
        ("ListGroupsResponse", 0..=5) => recode!(list_groups::Response),
        ("SaslHandshakeRequest", 0..=1) => recode!(sasl_handshake::Request),
        ("SaslHandshakeResponse", 0..=1) => recode!(sasl_handshake::Response),
        ("ApiVersionsRequest", 0..=4) => recode!(api_versions::Request),
        ("ApiVersionsResponse", 0..=4) => recode!(api_versions::Response),
        ("CreateTopicsRequest", 2..=7) => recode!(create_topics::Request),
        ("CreateTopicsResponse", 2..=7) => recode!(create_topics::Response),
        ("DeleteTopicsRequest", 1..=6) => recode!(delete_topics::Request),
        ("DeleteTopicsResponse", 1..=6) => recode!(delete_topics::Response),
        ("DeleteRecordsRequest", 0..=2) => recode!(delete_records::Request),
        ("DeleteRecordsResponse", 0..=2) => recode!(delete_records::Response),
        ("InitProducerIdRequest", 0..=6) => recode!(init_producer_id::Request),
        ("InitProducerIdResponse", 0..=6) => recode!(init_producer_id::Response),
        ("OffsetForLeaderEpochRequest", 2..=4) => recode!(offset_for_leader_epoch::Request),
        ("OffsetForLeaderEpochResponse", 2..=4) => recode!(offset_for_leader_epoch::Response),
        ("AddPartitionsToTxnRequest", 0..=5) => recode!(add_partitions_to_txn::Request),
        ("AddPartitionsToTxnResponse", 0..=5) => recode!(add_partitions_to_txn::Response),
        ("AddOffsetsToTxnRequest", 0..=4) => recode!(add_offsets_to_txn::Request),
        ("AddOffsetsToTxnResponse", 0..=4) => recode!(add_offsets_to_txn::Response),
        ("EndTxnRequest", 0..=5) => recode!(end_txn::Request),
        ("EndTxnResponse", 0..=5) => recode!(end_txn::Response),
        ("TxnOffsetCommitRequest", 0..=5) => recode!(txn_offset_commit::Request),
        ("TxnOffsetCommitResponse", 0..=5) => recode!(txn_offset_commit::Response),
        ("DescribeAclsRequest", 1..=3) => recode!(describe_acls::Request),
        ("DescribeAclsResponse", 1..=3) => recode!(describe_acls::Response),
        ("CreateAclsRequest", 1..=3) => recode!(create_acls::Request),
        ("CreateAclsResponse", 1..=3) => recode!(create_acls::Response),
        ("DeleteAclsRequest", 1..=3) => recode!(delete_acls::Request),
        ("DeleteAclsResponse", 1..=3) => recode!(delete_acls::Response),
        ("DescribeConfigsRequest", 1..=4) => recode!(describe_configs::Request),
        ("DescribeConfigsResponse", 1..=4) => recode!(describe_configs::Response),
        ("AlterConfigsRequest", 0..=2) => recode!(alter_configs::Request),
        ("AlterConfigsResponse", 0..=2) => recode!(alter_configs::Response),
        ("DescribeLogDirsRequest", 1..=4) => recode!(describe_log_dirs::Request),
        ("DescribeLogDirsResponse", 1..=4) => recode!(describe_log_dirs::Response),
        ("SaslAuthenticateRequest", 0..=2) => recode!(sasl_authenticate::Request),
        ("SaslAuthenticateResponse", 0..=2) => recode!(sasl_authenticate::Response),
        ("CreatePartitionsRequest", 0..=3) => recode!(create_partitions::Request),
        ("CreatePartitionsResponse", 0..=3) => recode!(create_partitions::Response),
        ("DeleteGroupsRequest", 0..=2) => recode!(delete_groups::Request),
        ("DeleteGroupsResponse", 0..=2) => recode!(delete_groups::Response),
        ("IncrementalAlterConfigsRequest", 0..=1) => recode!(incremental_alter_configs::Request),
        ("IncrementalAlterConfigsResponse", 0..=1) => recode!(incremental_alter_configs::Response),
        ("OffsetDeleteRequest", 0..=0) => recode!(offset_delete::Request),
        ("OffsetDeleteResponse", 0..=0) => recode!(offset_delete::Response),
        ("DescribeClusterRequest", 0..=2) => recode!(describe_cluster::Request),
        ("DescribeClusterResponse", 0..=2) => recode!(describe_cluster::Response),
        ("DescribeProducersRequest", 0..=0) => recode!(describe_producers::Request),
        ("DescribeProducersResponse", 0..=0) => recode!(describe_producers::Response),
        ("DescribeTransactionsRequest", 0..=0) => recode!(describe_transactions::Request),
        ("DescribeTransactionsResponse", 0..=0) => recode!(describe_transactions::Response),
        ("ListTransactionsRequest", 0..=2) => recode!(list_transactions::Request),
        ("ListTransactionsResponse", 0..=2) => recode!(list_transactions::Response),
        ("ConsumerProtocolSubscription", 0..=3) => recode!(consumer_protocol_subscription::ConsumerProtocolSubscription),
        ("ConsumerProtocolAssignment", 0..=3) => recode!(consumer_protocol_assignment::ConsumerProtocolAssignment),
        _ => return None,
    })
}
