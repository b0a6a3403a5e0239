// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;
use uuid::Uuid;

/// `OffsetFetchRequest`, API 9, versions 1-10, flexible 6+.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `GroupId`. Versions 0-7.
    pub group_id: String,
    /// `Topics`. Versions 0-7, null in 2-7.
    pub topics: Option<Vec<OffsetFetchRequestTopic>>,
    /// `Groups`. Versions 8+.
    pub groups: Vec<OffsetFetchRequestGroup>,
    /// `RequireStable`. Versions 7+.
    pub require_stable: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            group_id: Default::default(),
            topics: Some(Default::default()),
            groups: Default::default(),
            require_stable: false,
        }
    }
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        if version <= 7 { out.group_id = r.string(flexible)?; }
        if version <= 7 { out.topics = r.nullable_array(flexible, (2..=7).contains(&version), |r| OffsetFetchRequestTopic::read(version, r))?; }
        if version >= 8 { out.groups = r.array(flexible, |r| OffsetFetchRequestGroup::read(version, r))?; }
        if version >= 7 { out.require_stable = r.bool()?; }
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
        let flexible = version >= 6;
        if version <= 7 { w.string(flexible, &self.group_id)?; }
        if version <= 7 { w.nullable_array(flexible, (2..=7).contains(&version), self.topics.as_deref(), |w, one| one.write(version, w))?; }
        if version >= 8 { w.array(flexible, &self.groups, |w, one| one.write(version, w))?; }
        if version >= 7 { w.bool(self.require_stable); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `OffsetFetchRequestTopic` in `OffsetFetchRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OffsetFetchRequestTopic {
    /// `Name`. Versions 0-7.
    pub name: String,
    /// `PartitionIndexes`. Versions 0-7.
    pub partition_indexes: Vec<i32>,
}

impl OffsetFetchRequestTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        if version <= 7 { out.name = r.string(flexible)?; }
        if version <= 7 { out.partition_indexes = r.array(flexible, Reader::int32)?; }
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
        let flexible = version >= 6;
        if version <= 7 { w.string(flexible, &self.name)?; }
        if version <= 7 { w.array(flexible, &self.partition_indexes, |w, one| { w.int32(*one); Ok(()) })?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `OffsetFetchRequestGroup` in `OffsetFetchRequest`.
#[derive(Debug, Clone, PartialEq)]
pub struct OffsetFetchRequestGroup {
    /// `GroupId`. Versions 8+.
    pub group_id: String,
    /// `MemberId`. Versions 9+, null in 9+.
    pub member_id: Option<String>,
    /// `MemberEpoch`. Versions 9+.
    pub member_epoch: i32,
    /// `Topics`. Versions 8+, null in 8+.
    pub topics: Option<Vec<OffsetFetchRequestTopics>>,
}

impl Default for OffsetFetchRequestGroup {
    fn default() -> Self {
        Self {
            group_id: Default::default(),
            member_id: None,
            member_epoch: -1,
            topics: Some(Default::default()),
        }
    }
}

impl OffsetFetchRequestGroup {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        if version >= 8 { out.group_id = r.string(flexible)?; }
        if version >= 9 { out.member_id = r.nullable_string(flexible, version >= 9)?; }
        if version >= 9 { out.member_epoch = r.int32()?; }
        if version >= 8 { out.topics = r.nullable_array(flexible, version >= 8, |r| OffsetFetchRequestTopics::read(version, r))?; }
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
        let flexible = version >= 6;
        if version >= 8 { w.string(flexible, &self.group_id)?; }
        if version >= 9 { w.nullable_string(flexible, version >= 9, self.member_id.as_deref())?; }
        if version >= 9 { w.int32(self.member_epoch); }
        if version >= 8 { w.nullable_array(flexible, version >= 8, self.topics.as_deref(), |w, one| one.write(version, w))?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `OffsetFetchRequestTopics` in `OffsetFetchRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OffsetFetchRequestTopics {
    /// `Name`. Versions 8-9.
    pub name: String,
    /// `TopicId`. Versions 10+.
    pub topic_id: Uuid,
    /// `PartitionIndexes`. Versions 8+.
    pub partition_indexes: Vec<i32>,
}

impl OffsetFetchRequestTopics {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        if (8..=9).contains(&version) { out.name = r.string(flexible)?; }
        if version >= 10 { out.topic_id = r.uuid()?; }
        if version >= 8 { out.partition_indexes = r.array(flexible, Reader::int32)?; }
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
        let flexible = version >= 6;
        if (8..=9).contains(&version) { w.string(flexible, &self.name)?; }
        if version >= 10 { w.uuid(self.topic_id); }
        if version >= 8 { w.array(flexible, &self.partition_indexes, |w, one| { w.int32(*one); Ok(()) })?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 9;
    const VERSIONS: RangeInclusive<i16> = 1..=10;
    const FLEXIBLE: Option<i16> = Some(6);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `OffsetFetchResponse`, API 9, versions 1-10, flexible 6+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. Versions 3+.
    pub throttle_time_ms: i32,
    /// `Topics`. Versions 0-7.
    pub topics: Vec<OffsetFetchResponseTopic>,
    /// `ErrorCode`. Versions 2-7.
    pub error_code: i16,
    /// `Groups`. Versions 8+.
    pub groups: Vec<OffsetFetchResponseGroup>,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        if version >= 3 { out.throttle_time_ms = r.int32()?; }
        if version <= 7 { out.topics = r.array(flexible, |r| OffsetFetchResponseTopic::read(version, r))?; }
        if (2..=7).contains(&version) { out.error_code = r.int16()?; }
        if version >= 8 { out.groups = r.array(flexible, |r| OffsetFetchResponseGroup::read(version, r))?; }
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
        let flexible = version >= 6;
        if version >= 3 { w.int32(self.throttle_time_ms); }
        if version <= 7 { w.array(flexible, &self.topics, |w, one| one.write(version, w))?; }
        if (2..=7).contains(&version) { w.int16(self.error_code); }
        if version >= 8 { w.array(flexible, &self.groups, |w, one| one.write(version, w))?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `OffsetFetchResponseTopic` in `OffsetFetchResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OffsetFetchResponseTopic {
    /// `Name`. Versions 0-7.
    pub name: String,
    /// `Partitions`. Versions 0-7.
    pub partitions: Vec<OffsetFetchResponsePartition>,
}

impl OffsetFetchResponseTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        if version <= 7 { out.name = r.string(flexible)?; }
        if version <= 7 { out.partitions = r.array(flexible, |r| OffsetFetchResponsePartition::read(version, r))?; }
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
        let flexible = version >= 6;
        if version <= 7 { w.string(flexible, &self.name)?; }
        if version <= 7 { w.array(flexible, &self.partitions, |w, one| one.write(version, w))?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `OffsetFetchResponsePartition` in `OffsetFetchResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct OffsetFetchResponsePartition {
    /// `PartitionIndex`. Versions 0-7.
    pub partition_index: i32,
    /// `CommittedOffset`. Versions 0-7.
    pub committed_offset: i64,
    /// `CommittedLeaderEpoch`. Versions 5-7.
    pub committed_leader_epoch: i32,
    /// `Metadata`. Versions 0-7, null in 0-7.
    pub metadata: Option<String>,
    /// `ErrorCode`. Versions 0-7.
    pub error_code: i16,
}

impl Default for OffsetFetchResponsePartition {
    fn default() -> Self {
        Self {
            partition_index: Default::default(),
            committed_offset: Default::default(),
            committed_leader_epoch: -1,
            metadata: Some(Default::default()),
            error_code: Default::default(),
        }
    }
}

impl OffsetFetchResponsePartition {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        if version <= 7 { out.partition_index = r.int32()?; }
        if version <= 7 { out.committed_offset = r.int64()?; }
        if (5..=7).contains(&version) { out.committed_leader_epoch = r.int32()?; }
        if version <= 7 { out.metadata = r.nullable_string(flexible, version <= 7)?; }
        if version <= 7 { out.error_code = r.int16()?; }
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
        let flexible = version >= 6;
        if version <= 7 { w.int32(self.partition_index); }
        if version <= 7 { w.int64(self.committed_offset); }
        if (5..=7).contains(&version) { w.int32(self.committed_leader_epoch); }
        if version <= 7 { w.nullable_string(flexible, version <= 7, self.metadata.as_deref())?; }
        if version <= 7 { w.int16(self.error_code); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `OffsetFetchResponseGroup` in `OffsetFetchResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OffsetFetchResponseGroup {
    /// `GroupId`. Versions 8+.
    pub group_id: String,
    /// `Topics`. Versions 8+.
    pub topics: Vec<OffsetFetchResponseTopics>,
    /// `ErrorCode`. Versions 8+.
    pub error_code: i16,
}

impl OffsetFetchResponseGroup {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        if version >= 8 { out.group_id = r.string(flexible)?; }
        if version >= 8 { out.topics = r.array(flexible, |r| OffsetFetchResponseTopics::read(version, r))?; }
        if version >= 8 { out.error_code = r.int16()?; }
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
        let flexible = version >= 6;
        if version >= 8 { w.string(flexible, &self.group_id)?; }
        if version >= 8 { w.array(flexible, &self.topics, |w, one| one.write(version, w))?; }
        if version >= 8 { w.int16(self.error_code); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `OffsetFetchResponseTopics` in `OffsetFetchResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OffsetFetchResponseTopics {
    /// `Name`. Versions 8-9.
    pub name: String,
    /// `TopicId`. Versions 10+.
    pub topic_id: Uuid,
    /// `Partitions`. Versions 8+.
    pub partitions: Vec<OffsetFetchResponsePartitions>,
}

impl OffsetFetchResponseTopics {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        if (8..=9).contains(&version) { out.name = r.string(flexible)?; }
        if version >= 10 { out.topic_id = r.uuid()?; }
        if version >= 8 { out.partitions = r.array(flexible, |r| OffsetFetchResponsePartitions::read(version, r))?; }
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
        let flexible = version >= 6;
        if (8..=9).contains(&version) { w.string(flexible, &self.name)?; }
        if version >= 10 { w.uuid(self.topic_id); }
        if version >= 8 { w.array(flexible, &self.partitions, |w, one| one.write(version, w))?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `OffsetFetchResponsePartitions` in `OffsetFetchResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct OffsetFetchResponsePartitions {
    /// `PartitionIndex`. Versions 8+.
    pub partition_index: i32,
    /// `CommittedOffset`. Versions 8+.
    pub committed_offset: i64,
    /// `CommittedLeaderEpoch`. Versions 8+.
    pub committed_leader_epoch: i32,
    /// `Metadata`. Versions 8+, null in 8+.
    pub metadata: Option<String>,
    /// `ErrorCode`. Versions 8+.
    pub error_code: i16,
}

impl Default for OffsetFetchResponsePartitions {
    fn default() -> Self {
        Self {
            partition_index: Default::default(),
            committed_offset: Default::default(),
            committed_leader_epoch: -1,
            metadata: Some(Default::default()),
            error_code: Default::default(),
        }
    }
}

impl OffsetFetchResponsePartitions {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        if version >= 8 { out.partition_index = r.int32()?; }
        if version >= 8 { out.committed_offset = r.int64()?; }
        if version >= 8 { out.committed_leader_epoch = r.int32()?; }
        if version >= 8 { out.metadata = r.nullable_string(flexible, version >= 8)?; }
        if version >= 8 { out.error_code = r.int16()?; }
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
        let flexible = version >= 6;
        if version >= 8 { w.int32(self.partition_index); }
        if version >= 8 { w.int64(self.committed_offset); }
        if version >= 8 { w.int32(self.committed_leader_epoch); }
        if version >= 8 { w.nullable_string(flexible, version >= 8, self.metadata.as_deref())?; }
        if version >= 8 { w.int16(self.error_code); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 9;
    const VERSIONS: RangeInclusive<i16> = 1..=10;
    const FLEXIBLE: Option<i16> = Some(6);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
