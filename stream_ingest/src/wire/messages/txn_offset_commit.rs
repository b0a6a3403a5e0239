// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `TxnOffsetCommitRequest`, API 28, versions 0-5, flexible 3+.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `TransactionalId`. All versions.
    pub transactional_id: String,
    /// `GroupId`. All versions.
    pub group_id: String,
    /// `ProducerId`. All versions.
    pub producer_id: i64,
    /// `ProducerEpoch`. All versions.
    pub producer_epoch: i16,
    /// `GenerationId`. Versions 3+.
    pub generation_id: i32,
    /// `MemberId`. Versions 3+.
    pub member_id: String,
    /// `GroupInstanceId`. Versions 3+, null in 3+.
    pub group_instance_id: Option<String>,
    /// `Topics`. All versions.
    pub topics: Vec<TxnOffsetCommitRequestTopic>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            transactional_id: Default::default(),
            group_id: Default::default(),
            producer_id: Default::default(),
            producer_epoch: Default::default(),
            generation_id: -1,
            member_id: Default::default(),
            group_instance_id: None,
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
        let flexible = version >= 3;
        let mut out = Self::default();
        out.transactional_id = r.string(flexible)?;
        out.group_id = r.string(flexible)?;
        out.producer_id = r.int64()?;
        out.producer_epoch = r.int16()?;
        if version >= 3 { out.generation_id = r.int32()?; }
        if version >= 3 { out.member_id = r.string(flexible)?; }
        if version >= 3 { out.group_instance_id = r.nullable_string(flexible, version >= 3)?; }
        out.topics = r.array(flexible, |r| TxnOffsetCommitRequestTopic::read(version, r))?;
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
        let flexible = version >= 3;
        w.string(flexible, &self.transactional_id)?;
        w.string(flexible, &self.group_id)?;
        w.int64(self.producer_id);
        w.int16(self.producer_epoch);
        if version >= 3 { w.int32(self.generation_id); }
        if version >= 3 { w.string(flexible, &self.member_id)?; }
        if version >= 3 { w.nullable_string(flexible, version >= 3, self.group_instance_id.as_deref())?; }
        w.array(flexible, &self.topics, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `TxnOffsetCommitRequestTopic` in `TxnOffsetCommitRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TxnOffsetCommitRequestTopic {
    /// `Name`. All versions.
    pub name: String,
    /// `Partitions`. All versions.
    pub partitions: Vec<TxnOffsetCommitRequestPartition>,
}

impl TxnOffsetCommitRequestTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        out.name = r.string(flexible)?;
        out.partitions = r.array(flexible, |r| TxnOffsetCommitRequestPartition::read(version, r))?;
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
        let flexible = version >= 3;
        w.string(flexible, &self.name)?;
        w.array(flexible, &self.partitions, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `TxnOffsetCommitRequestPartition` in `TxnOffsetCommitRequest`.
#[derive(Debug, Clone, PartialEq)]
pub struct TxnOffsetCommitRequestPartition {
    /// `PartitionIndex`. All versions.
    pub partition_index: i32,
    /// `CommittedOffset`. All versions.
    pub committed_offset: i64,
    /// `CommittedLeaderEpoch`. Versions 2+.
    pub committed_leader_epoch: i32,
    /// `CommittedMetadata`. All versions, null everywhere.
    pub committed_metadata: Option<String>,
}

impl Default for TxnOffsetCommitRequestPartition {
    fn default() -> Self {
        Self {
            partition_index: Default::default(),
            committed_offset: Default::default(),
            committed_leader_epoch: -1,
            committed_metadata: Some(Default::default()),
        }
    }
}

impl TxnOffsetCommitRequestPartition {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        out.partition_index = r.int32()?;
        out.committed_offset = r.int64()?;
        if version >= 2 { out.committed_leader_epoch = r.int32()?; }
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
        let flexible = version >= 3;
        w.int32(self.partition_index);
        w.int64(self.committed_offset);
        if version >= 2 { w.int32(self.committed_leader_epoch); }
        w.nullable_string(flexible, true, self.committed_metadata.as_deref())?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 28;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE: Option<i16> = Some(3);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `TxnOffsetCommitResponse`, API 28, versions 0-5, flexible 3+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `Topics`. All versions.
    pub topics: Vec<TxnOffsetCommitResponseTopic>,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        out.throttle_time_ms = r.int32()?;
        out.topics = r.array(flexible, |r| TxnOffsetCommitResponseTopic::read(version, r))?;
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
        let flexible = version >= 3;
        w.int32(self.throttle_time_ms);
        w.array(flexible, &self.topics, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `TxnOffsetCommitResponseTopic` in `TxnOffsetCommitResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TxnOffsetCommitResponseTopic {
    /// `Name`. All versions.
    pub name: String,
    /// `Partitions`. All versions.
    pub partitions: Vec<TxnOffsetCommitResponsePartition>,
}

impl TxnOffsetCommitResponseTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        out.name = r.string(flexible)?;
        out.partitions = r.array(flexible, |r| TxnOffsetCommitResponsePartition::read(version, r))?;
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
        let flexible = version >= 3;
        w.string(flexible, &self.name)?;
        w.array(flexible, &self.partitions, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `TxnOffsetCommitResponsePartition` in `TxnOffsetCommitResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TxnOffsetCommitResponsePartition {
    /// `PartitionIndex`. All versions.
    pub partition_index: i32,
    /// `ErrorCode`. All versions.
    pub error_code: i16,
}

impl TxnOffsetCommitResponsePartition {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
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
        let flexible = version >= 3;
        w.int32(self.partition_index);
        w.int16(self.error_code);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 28;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE: Option<i16> = Some(3);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
