// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;
use uuid::Uuid;

/// `OffsetCommitRequest`, API 8, versions 2-10, flexible 8+.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `GroupId`. All versions.
    pub group_id: String,
    /// `GenerationIdOrMemberEpoch`. All versions.
    pub generation_id_or_member_epoch: i32,
    /// `MemberId`. All versions.
    pub member_id: String,
    /// `GroupInstanceId`. Versions 7+, null in 7+.
    pub group_instance_id: Option<String>,
    /// `RetentionTimeMs`. Versions 2-4.
    pub retention_time_ms: i64,
    /// `Topics`. All versions.
    pub topics: Vec<OffsetCommitRequestTopic>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            group_id: Default::default(),
            generation_id_or_member_epoch: -1,
            member_id: Default::default(),
            group_instance_id: None,
            retention_time_ms: -1,
            topics: Default::default(),
        }
    }
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 8;
        let mut out = Self::default();
        out.group_id = r.string(flexible)?;
        out.generation_id_or_member_epoch = r.int32()?;
        out.member_id = r.string(flexible)?;
        if version >= 7 { out.group_instance_id = r.nullable_string(flexible, version >= 7)?; }
        if version <= 4 { out.retention_time_ms = r.int64()?; }
        out.topics = r.array(flexible, |r| OffsetCommitRequestTopic::read(version, r))?;
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
        let flexible = version >= 8;
        w.string(flexible, &self.group_id)?;
        w.int32(self.generation_id_or_member_epoch);
        w.string(flexible, &self.member_id)?;
        if version >= 7 { w.nullable_string(flexible, version >= 7, self.group_instance_id.as_deref())?; }
        if version <= 4 { w.int64(self.retention_time_ms); }
        w.array(flexible, &self.topics, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `OffsetCommitRequestTopic` in `OffsetCommitRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OffsetCommitRequestTopic {
    /// `Name`. Versions 0-9.
    pub name: String,
    /// `TopicId`. Versions 10+.
    pub topic_id: Uuid,
    /// `Partitions`. All versions.
    pub partitions: Vec<OffsetCommitRequestPartition>,
}

impl OffsetCommitRequestTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 8;
        let mut out = Self::default();
        if version <= 9 { out.name = r.string(flexible)?; }
        if version >= 10 { out.topic_id = r.uuid()?; }
        out.partitions = r.array(flexible, |r| OffsetCommitRequestPartition::read(version, r))?;
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
        let flexible = version >= 8;
        if version <= 9 { w.string(flexible, &self.name)?; }
        if version >= 10 { w.uuid(self.topic_id); }
        w.array(flexible, &self.partitions, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `OffsetCommitRequestPartition` in `OffsetCommitRequest`.
#[derive(Debug, Clone, PartialEq)]
pub struct OffsetCommitRequestPartition {
    /// `PartitionIndex`. All versions.
    pub partition_index: i32,
    /// `CommittedOffset`. All versions.
    pub committed_offset: i64,
    /// `CommittedLeaderEpoch`. Versions 6+.
    pub committed_leader_epoch: i32,
    /// `CommittedMetadata`. All versions, null everywhere.
    pub committed_metadata: Option<String>,
}

impl Default for OffsetCommitRequestPartition {
    fn default() -> Self {
        Self {
            partition_index: Default::default(),
            committed_offset: Default::default(),
            committed_leader_epoch: -1,
            committed_metadata: Some(Default::default()),
        }
    }
}

impl OffsetCommitRequestPartition {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 8;
        let mut out = Self::default();
        out.partition_index = r.int32()?;
        out.committed_offset = r.int64()?;
        if version >= 6 { out.committed_leader_epoch = r.int32()?; }
        out.committed_metadata = r.nullable_string(flexible, true)?;
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
        let flexible = version >= 8;
        w.int32(self.partition_index);
        w.int64(self.committed_offset);
        if version >= 6 { w.int32(self.committed_leader_epoch); }
        w.nullable_string(flexible, true, self.committed_metadata.as_deref())?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 8;
    const VERSIONS: RangeInclusive<i16> = 2..=10;
    const FLEXIBLE: Option<i16> = Some(8);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `OffsetCommitResponse`, API 8, versions 2-10, flexible 8+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. Versions 3+.
    pub throttle_time_ms: i32,
    /// `Topics`. All versions.
    pub topics: Vec<OffsetCommitResponseTopic>,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 8;
        let mut out = Self::default();
        if version >= 3 { out.throttle_time_ms = r.int32()?; }
        out.topics = r.array(flexible, |r| OffsetCommitResponseTopic::read(version, r))?;
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
        let flexible = version >= 8;
        if version >= 3 { w.int32(self.throttle_time_ms); }
        w.array(flexible, &self.topics, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `OffsetCommitResponseTopic` in `OffsetCommitResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OffsetCommitResponseTopic {
    /// `Name`. Versions 0-9.
    pub name: String,
    /// `TopicId`. Versions 10+.
    pub topic_id: Uuid,
    /// `Partitions`. All versions.
    pub partitions: Vec<OffsetCommitResponsePartition>,
}

impl OffsetCommitResponseTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 8;
        let mut out = Self::default();
        if version <= 9 { out.name = r.string(flexible)?; }
        if version >= 10 { out.topic_id = r.uuid()?; }
        out.partitions = r.array(flexible, |r| OffsetCommitResponsePartition::read(version, r))?;
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
        let flexible = version >= 8;
        if version <= 9 { w.string(flexible, &self.name)?; }
        if version >= 10 { w.uuid(self.topic_id); }
        w.array(flexible, &self.partitions, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `OffsetCommitResponsePartition` in `OffsetCommitResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OffsetCommitResponsePartition {
    /// `PartitionIndex`. All versions.
    pub partition_index: i32,
    /// `ErrorCode`. All versions.
    pub error_code: i16,
}

impl OffsetCommitResponsePartition {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 8;
        let mut out = Self::default();
        out.partition_index = r.int32()?;
        out.error_code = r.int16()?;
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
        let flexible = version >= 8;
        w.int32(self.partition_index);
        w.int16(self.error_code);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 8;
    const VERSIONS: RangeInclusive<i16> = 2..=10;
    const FLEXIBLE: Option<i16> = Some(8);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
