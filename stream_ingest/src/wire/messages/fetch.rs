// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use bytes::Bytes;
use std::ops::RangeInclusive;
use uuid::Uuid;

/// `FetchRequest`, API 1, versions 4-18, flexible 12+.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `ClusterId`. Versions 12+, null in 12+, tag 0.
    pub cluster_id: Option<String>,
    /// `ReplicaId`. Versions 0-14.
    pub replica_id: i32,
    /// `ReplicaState`. Versions 15+, tag 1.
    pub replica_state: ReplicaState,
    /// `MaxWaitMs`. All versions.
    pub max_wait_ms: i32,
    /// `MinBytes`. All versions.
    pub min_bytes: i32,
    /// `MaxBytes`. All versions.
    pub max_bytes: i32,
    /// `IsolationLevel`. All versions.
    pub isolation_level: i8,
    /// `SessionId`. Versions 7+.
    pub session_id: i32,
    /// `SessionEpoch`. Versions 7+.
    pub session_epoch: i32,
    /// `Topics`. All versions.
    pub topics: Vec<FetchTopic>,
    /// `ForgottenTopicsData`. Versions 7+.
    pub forgotten_topics_data: Vec<ForgottenTopic>,
    /// `RackId`. Versions 11+.
    pub rack_id: String,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            cluster_id: None,
            replica_id: -1,
            replica_state: Default::default(),
            max_wait_ms: Default::default(),
            min_bytes: Default::default(),
            max_bytes: i32::MAX,
            isolation_level: 0,
            session_id: 0,
            session_epoch: -1,
            topics: Default::default(),
            forgotten_topics_data: Default::default(),
            rack_id: Default::default(),
        }
    }
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 12;
        let mut out = Self::default();
        if version <= 14 { out.replica_id = r.int32()?; }
        out.max_wait_ms = r.int32()?;
        out.min_bytes = r.int32()?;
        out.max_bytes = r.int32()?;
        out.isolation_level = r.int8()?;
        if version >= 7 { out.session_id = r.int32()?; }
        if version >= 7 { out.session_epoch = r.int32()?; }
        out.topics = r.array(flexible, |r| FetchTopic::read(version, r))?;
        if version >= 7 { out.forgotten_topics_data = r.array(flexible, |r| ForgottenTopic::read(version, r))?; }
        if version >= 11 { out.rack_id = r.string(flexible)?; }
        if flexible {
            r.tags(|tag, r| {
                match tag {
                    0 => out.cluster_id = r.nullable_string(true, version >= 12)?,
                    1 if version >= 15 => out.replica_state = ReplicaState::read(version, r)?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
        }
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        let flexible = version >= 12;
        if version <= 14 { w.int32(self.replica_id); }
        w.int32(self.max_wait_ms);
        w.int32(self.min_bytes);
        w.int32(self.max_bytes);
        w.int8(self.isolation_level);
        if version >= 7 { w.int32(self.session_id); }
        if version >= 7 { w.int32(self.session_epoch); }
        w.array(flexible, &self.topics, |w, one| one.write(version, w))?;
        if version >= 7 { w.array(flexible, &self.forgotten_topics_data, |w, one| one.write(version, w))?; }
        if version >= 11 { w.string(flexible, &self.rack_id)?; }
        if flexible {
            let mut tags = Tags::default();
            if self.cluster_id.is_some() { tags.push(0, |w| { w.nullable_string(true, version >= 12, self.cluster_id.as_deref())?; Ok(()) })?; }
            if version >= 15 && self.replica_state != ReplicaState::default() { tags.push(1, |w| { self.replica_state.write(version, w)?; Ok(()) })?; }
            w.tags(tags)?;
        }
        Ok(())
    }
}

/// `ReplicaState` in `FetchRequest`.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaState {
    /// `ReplicaId`. Versions 15+.
    pub replica_id: i32,
    /// `ReplicaEpoch`. Versions 15+.
    pub replica_epoch: i64,
}

impl Default for ReplicaState {
    fn default() -> Self {
        Self {
            replica_id: -1,
            replica_epoch: -1,
        }
    }
}

impl ReplicaState {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 12;
        let mut out = Self::default();
        if version >= 15 { out.replica_id = r.int32()?; }
        if version >= 15 { out.replica_epoch = r.int64()?; }
        if flexible {
            r.tags(|_, _| Ok(false))?;
        }
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        let flexible = version >= 12;
        if version >= 15 { w.int32(self.replica_id); }
        if version >= 15 { w.int64(self.replica_epoch); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `FetchTopic` in `FetchRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FetchTopic {
    /// `Topic`. Versions 0-12.
    pub topic: String,
    /// `TopicId`. Versions 13+.
    pub topic_id: Uuid,
    /// `Partitions`. All versions.
    pub partitions: Vec<FetchPartition>,
}

impl FetchTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 12;
        let mut out = Self::default();
        if version <= 12 { out.topic = r.string(flexible)?; }
        if version >= 13 { out.topic_id = r.uuid()?; }
        out.partitions = r.array(flexible, |r| FetchPartition::read(version, r))?;
        if flexible {
            r.tags(|_, _| Ok(false))?;
        }
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        let flexible = version >= 12;
        if version <= 12 { w.string(flexible, &self.topic)?; }
        if version >= 13 { w.uuid(self.topic_id); }
        w.array(flexible, &self.partitions, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `FetchPartition` in `FetchRequest`.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchPartition {
    /// `Partition`. All versions.
    pub partition: i32,
    /// `CurrentLeaderEpoch`. Versions 9+.
    pub current_leader_epoch: i32,
    /// `FetchOffset`. All versions.
    pub fetch_offset: i64,
    /// `LastFetchedEpoch`. Versions 12+.
    pub last_fetched_epoch: i32,
    /// `LogStartOffset`. Versions 5+.
    pub log_start_offset: i64,
    /// `PartitionMaxBytes`. All versions.
    pub partition_max_bytes: i32,
    /// `ReplicaDirectoryId`. Versions 17+, tag 0.
    pub replica_directory_id: Uuid,
    /// `HighWatermark`. Versions 18+, tag 1.
    pub high_watermark: i64,
}

impl Default for FetchPartition {
    fn default() -> Self {
        Self {
            partition: Default::default(),
            current_leader_epoch: -1,
            fetch_offset: Default::default(),
            last_fetched_epoch: -1,
            log_start_offset: -1,
            partition_max_bytes: Default::default(),
            replica_directory_id: Default::default(),
            high_watermark: i64::MAX,
        }
    }
}

impl FetchPartition {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 12;
        let mut out = Self::default();
        out.partition = r.int32()?;
        if version >= 9 { out.current_leader_epoch = r.int32()?; }
        out.fetch_offset = r.int64()?;
        if version >= 12 { out.last_fetched_epoch = r.int32()?; }
        if version >= 5 { out.log_start_offset = r.int64()?; }
        out.partition_max_bytes = r.int32()?;
        if flexible {
            r.tags(|tag, r| {
                match tag {
                    0 if version >= 17 => out.replica_directory_id = r.uuid()?,
                    1 if version >= 18 => out.high_watermark = r.int64()?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
        }
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        let flexible = version >= 12;
        w.int32(self.partition);
        if version >= 9 { w.int32(self.current_leader_epoch); }
        w.int64(self.fetch_offset);
        if version >= 12 { w.int32(self.last_fetched_epoch); }
        if version >= 5 { w.int64(self.log_start_offset); }
        w.int32(self.partition_max_bytes);
        if flexible {
            let mut tags = Tags::default();
            if version >= 17 && self.replica_directory_id != Uuid::nil() { tags.push(0, |w| { w.uuid(self.replica_directory_id); Ok(()) })?; }
            if version >= 18 && self.high_watermark != i64::MAX { tags.push(1, |w| { w.int64(self.high_watermark); Ok(()) })?; }
            w.tags(tags)?;
        }
        Ok(())
    }
}

/// `ForgottenTopic` in `FetchRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ForgottenTopic {
    /// `Topic`. Versions 7-12.
    pub topic: String,
    /// `TopicId`. Versions 13+.
    pub topic_id: Uuid,
    /// `Partitions`. Versions 7+.
    pub partitions: Vec<i32>,
}

impl ForgottenTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 12;
        let mut out = Self::default();
        if (7..=12).contains(&version) { out.topic = r.string(flexible)?; }
        if version >= 13 { out.topic_id = r.uuid()?; }
        if version >= 7 { out.partitions = r.array(flexible, Reader::int32)?; }
        if flexible {
            r.tags(|_, _| Ok(false))?;
        }
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        let flexible = version >= 12;
        if (7..=12).contains(&version) { w.string(flexible, &self.topic)?; }
        if version >= 13 { w.uuid(self.topic_id); }
        if version >= 7 { w.array(flexible, &self.partitions, |w, one| { w.int32(*one); Ok(()) })?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 1;
    const VERSIONS: RangeInclusive<i16> = 4..=18;
    const FLEXIBLE: Option<i16> = Some(12);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `FetchResponse`, API 1, versions 4-18, flexible 12+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `ErrorCode`. Versions 7+.
    pub error_code: i16,
    /// `SessionId`. Versions 7+.
    pub session_id: i32,
    /// `Responses`. All versions.
    pub responses: Vec<FetchableTopicResponse>,
    /// `NodeEndpoints`. Versions 16+, tag 0.
    pub node_endpoints: Vec<NodeEndpoint>,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 12;
        let mut out = Self::default();
        out.throttle_time_ms = r.int32()?;
        if version >= 7 { out.error_code = r.int16()?; }
        if version >= 7 { out.session_id = r.int32()?; }
        out.responses = r.array(flexible, |r| FetchableTopicResponse::read(version, r))?;
        if flexible {
            r.tags(|tag, r| {
                match tag {
                    0 if version >= 16 => out.node_endpoints = r.array(true, |r| NodeEndpoint::read(version, r))?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
        }
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        let flexible = version >= 12;
        w.int32(self.throttle_time_ms);
        if version >= 7 { w.int16(self.error_code); }
        if version >= 7 { w.int32(self.session_id); }
        w.array(flexible, &self.responses, |w, one| one.write(version, w))?;
        if flexible {
            let mut tags = Tags::default();
            if version >= 16 && !self.node_endpoints.is_empty() { tags.push(0, |w| { w.array(true, &self.node_endpoints, |w, one| one.write(version, w))?; Ok(()) })?; }
            w.tags(tags)?;
        }
        Ok(())
    }
}

/// `FetchableTopicResponse` in `FetchResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FetchableTopicResponse {
    /// `Topic`. Versions 0-12.
    pub topic: String,
    /// `TopicId`. Versions 13+.
    pub topic_id: Uuid,
    /// `Partitions`. All versions.
    pub partitions: Vec<PartitionData>,
}

impl FetchableTopicResponse {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 12;
        let mut out = Self::default();
        if version <= 12 { out.topic = r.string(flexible)?; }
        if version >= 13 { out.topic_id = r.uuid()?; }
        out.partitions = r.array(flexible, |r| PartitionData::read(version, r))?;
        if flexible {
            r.tags(|_, _| Ok(false))?;
        }
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        let flexible = version >= 12;
        if version <= 12 { w.string(flexible, &self.topic)?; }
        if version >= 13 { w.uuid(self.topic_id); }
        w.array(flexible, &self.partitions, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `PartitionData` in `FetchResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionData {
    /// `PartitionIndex`. All versions.
    pub partition_index: i32,
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `HighWatermark`. All versions.
    pub high_watermark: i64,
    /// `LastStableOffset`. All versions.
    pub last_stable_offset: i64,
    /// `LogStartOffset`. Versions 5+.
    pub log_start_offset: i64,
    /// `DivergingEpoch`. Versions 12+, tag 0.
    pub diverging_epoch: EpochEndOffset,
    /// `CurrentLeader`. Versions 12+, tag 1.
    pub current_leader: LeaderIdAndEpoch,
    /// `SnapshotId`. Versions 12+, tag 2.
    pub snapshot_id: SnapshotId,
    /// `AbortedTransactions`. All versions, null everywhere.
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// `PreferredReadReplica`. Versions 11+.
    pub preferred_read_replica: i32,
    /// `Records`. All versions, null everywhere.
    pub records: Option<Bytes>,
}

impl Default for PartitionData {
    fn default() -> Self {
        Self {
            partition_index: Default::default(),
            error_code: Default::default(),
            high_watermark: Default::default(),
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging_epoch: Default::default(),
            current_leader: Default::default(),
            snapshot_id: Default::default(),
            aborted_transactions: Some(Default::default()),
            preferred_read_replica: -1,
            records: None,
        }
    }
}

impl PartitionData {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 12;
        let mut out = Self::default();
        out.partition_index = r.int32()?;
        out.error_code = r.int16()?;
        out.high_watermark = r.int64()?;
        out.last_stable_offset = r.int64()?;
        if version >= 5 { out.log_start_offset = r.int64()?; }
        out.aborted_transactions = r.nullable_array(flexible, true, |r| AbortedTransaction::read(version, r))?;
        if version >= 11 { out.preferred_read_replica = r.int32()?; }
        out.records = r.nullable_bytes(flexible, true)?;
        if flexible {
            r.tags(|tag, r| {
                match tag {
                    0 => out.diverging_epoch = EpochEndOffset::read(version, r)?,
                    1 => out.current_leader = LeaderIdAndEpoch::read(version, r)?,
                    2 => out.snapshot_id = SnapshotId::read(version, r)?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
        }
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        let flexible = version >= 12;
        w.int32(self.partition_index);
        w.int16(self.error_code);
        w.int64(self.high_watermark);
        w.int64(self.last_stable_offset);
        if version >= 5 { w.int64(self.log_start_offset); }
        w.nullable_array(flexible, true, self.aborted_transactions.as_deref(), |w, one| one.write(version, w))?;
        if version >= 11 { w.int32(self.preferred_read_replica); }
        w.nullable_bytes(flexible, true, self.records.as_ref())?;
        if flexible {
            let mut tags = Tags::default();
            if self.diverging_epoch != EpochEndOffset::default() { tags.push(0, |w| { self.diverging_epoch.write(version, w)?; Ok(()) })?; }
            if self.current_leader != LeaderIdAndEpoch::default() { tags.push(1, |w| { self.current_leader.write(version, w)?; Ok(()) })?; }
            if self.snapshot_id != SnapshotId::default() { tags.push(2, |w| { self.snapshot_id.write(version, w)?; Ok(()) })?; }
            w.tags(tags)?;
        }
        Ok(())
    }
}

/// `EpochEndOffset` in `FetchResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochEndOffset {
    /// `Epoch`. Versions 12+.
    pub epoch: i32,
    /// `EndOffset`. Versions 12+.
    pub end_offset: i64,
}

impl Default for EpochEndOffset {
    fn default() -> Self {
        Self {
            epoch: -1,
            end_offset: -1,
        }
    }
}

impl EpochEndOffset {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 12;
        let mut out = Self::default();
        if version >= 12 { out.epoch = r.int32()?; }
        if version >= 12 { out.end_offset = r.int64()?; }
        if flexible {
            r.tags(|_, _| Ok(false))?;
        }
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        let flexible = version >= 12;
        if version >= 12 { w.int32(self.epoch); }
        if version >= 12 { w.int64(self.end_offset); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `LeaderIdAndEpoch` in `FetchResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaderIdAndEpoch {
    /// `LeaderId`. Versions 12+.
    pub leader_id: i32,
    /// `LeaderEpoch`. Versions 12+.
    pub leader_epoch: i32,
}

impl Default for LeaderIdAndEpoch {
    fn default() -> Self {
        Self {
            leader_id: -1,
            leader_epoch: -1,
        }
    }
}

impl LeaderIdAndEpoch {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 12;
        let mut out = Self::default();
        if version >= 12 { out.leader_id = r.int32()?; }
        if version >= 12 { out.leader_epoch = r.int32()?; }
        if flexible {
            r.tags(|_, _| Ok(false))?;
        }
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        let flexible = version >= 12;
        if version >= 12 { w.int32(self.leader_id); }
        if version >= 12 { w.int32(self.leader_epoch); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `SnapshotId` in `FetchResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotId {
    /// `EndOffset`. All versions.
    pub end_offset: i64,
    /// `Epoch`. All versions.
    pub epoch: i32,
}

impl Default for SnapshotId {
    fn default() -> Self {
        Self {
            end_offset: -1,
            epoch: -1,
        }
    }
}

impl SnapshotId {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 12;
        let mut out = Self::default();
        out.end_offset = r.int64()?;
        out.epoch = r.int32()?;
        if flexible {
            r.tags(|_, _| Ok(false))?;
        }
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        let flexible = version >= 12;
        w.int64(self.end_offset);
        w.int32(self.epoch);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `AbortedTransaction` in `FetchResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AbortedTransaction {
    /// `ProducerId`. All versions.
    pub producer_id: i64,
    /// `FirstOffset`. All versions.
    pub first_offset: i64,
}

impl AbortedTransaction {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 12;
        let mut out = Self::default();
        out.producer_id = r.int64()?;
        out.first_offset = r.int64()?;
        if flexible {
            r.tags(|_, _| Ok(false))?;
        }
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        let flexible = version >= 12;
        w.int64(self.producer_id);
        w.int64(self.first_offset);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `NodeEndpoint` in `FetchResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeEndpoint {
    /// `NodeId`. Versions 16+.
    pub node_id: i32,
    /// `Host`. Versions 16+.
    pub host: String,
    /// `Port`. Versions 16+.
    pub port: i32,
    /// `Rack`. Versions 16+, null in 16+.
    pub rack: Option<String>,
}

impl NodeEndpoint {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 12;
        let mut out = Self::default();
        if version >= 16 { out.node_id = r.int32()?; }
        if version >= 16 { out.host = r.string(flexible)?; }
        if version >= 16 { out.port = r.int32()?; }
        if version >= 16 { out.rack = r.nullable_string(flexible, version >= 16)?; }
        if flexible {
            r.tags(|_, _| Ok(false))?;
        }
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        let flexible = version >= 12;
        if version >= 16 { w.int32(self.node_id); }
        if version >= 16 { w.string(flexible, &self.host)?; }
        if version >= 16 { w.int32(self.port); }
        if version >= 16 { w.nullable_string(flexible, version >= 16, self.rack.as_deref())?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 1;
    const VERSIONS: RangeInclusive<i16> = 4..=18;
    const FLEXIBLE: Option<i16> = Some(12);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
