// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `OffsetForLeaderEpochRequest`, API 23, versions 2-4, flexible 4+.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `ReplicaId`. Versions 3+.
    pub replica_id: i32,
    /// `Topics`. All versions.
    pub topics: Vec<OffsetForLeaderTopic>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            replica_id: -2,
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
        let flexible = version >= 4;
        let mut out = Self::default();
        if version >= 3 { out.replica_id = r.int32()?; }
        out.topics = r.array(flexible, |r| OffsetForLeaderTopic::read(version, r))?;
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
        let flexible = version >= 4;
        if version >= 3 { w.int32(self.replica_id); }
        w.array(flexible, &self.topics, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `OffsetForLeaderTopic` in `OffsetForLeaderEpochRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OffsetForLeaderTopic {
    /// `Topic`. All versions.
    pub topic: String,
    /// `Partitions`. All versions.
    pub partitions: Vec<OffsetForLeaderPartition>,
}

impl OffsetForLeaderTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 4;
        let mut out = Self::default();
        out.topic = r.string(flexible)?;
        out.partitions = r.array(flexible, |r| OffsetForLeaderPartition::read(version, r))?;
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
        let flexible = version >= 4;
        w.string(flexible, &self.topic)?;
        w.array(flexible, &self.partitions, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `OffsetForLeaderPartition` in `OffsetForLeaderEpochRequest`.
#[derive(Debug, Clone, PartialEq)]
pub struct OffsetForLeaderPartition {
    /// `Partition`. All versions.
    pub partition: i32,
    /// `CurrentLeaderEpoch`. All versions.
    pub current_leader_epoch: i32,
    /// `LeaderEpoch`. All versions.
    pub leader_epoch: i32,
}

impl Default for OffsetForLeaderPartition {
    fn default() -> Self {
        Self {
            partition: Default::default(),
            current_leader_epoch: -1,
            leader_epoch: Default::default(),
        }
    }
}

impl OffsetForLeaderPartition {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 4;
        let mut out = Self::default();
        out.partition = r.int32()?;
        out.current_leader_epoch = r.int32()?;
        out.leader_epoch = r.int32()?;
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
        let flexible = version >= 4;
        w.int32(self.partition);
        w.int32(self.current_leader_epoch);
        w.int32(self.leader_epoch);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 23;
    const VERSIONS: RangeInclusive<i16> = 2..=4;
    const FLEXIBLE: Option<i16> = Some(4);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `OffsetForLeaderEpochResponse`, API 23, versions 2-4, flexible 4+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `Topics`. All versions.
    pub topics: Vec<OffsetForLeaderTopicResult>,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 4;
        let mut out = Self::default();
        out.throttle_time_ms = r.int32()?;
        out.topics = r.array(flexible, |r| OffsetForLeaderTopicResult::read(version, r))?;
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
        let flexible = version >= 4;
        w.int32(self.throttle_time_ms);
        w.array(flexible, &self.topics, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `OffsetForLeaderTopicResult` in `OffsetForLeaderEpochResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OffsetForLeaderTopicResult {
    /// `Topic`. All versions.
    pub topic: String,
    /// `Partitions`. All versions.
    pub partitions: Vec<EpochEndOffset>,
}

impl OffsetForLeaderTopicResult {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 4;
        let mut out = Self::default();
        out.topic = r.string(flexible)?;
        out.partitions = r.array(flexible, |r| EpochEndOffset::read(version, r))?;
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
        let flexible = version >= 4;
        w.string(flexible, &self.topic)?;
        w.array(flexible, &self.partitions, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `EpochEndOffset` in `OffsetForLeaderEpochResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochEndOffset {
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `Partition`. All versions.
    pub partition: i32,
    /// `LeaderEpoch`. All versions.
    pub leader_epoch: i32,
    /// `EndOffset`. All versions.
    pub end_offset: i64,
}

impl Default for EpochEndOffset {
    fn default() -> Self {
        Self {
            error_code: Default::default(),
            partition: Default::default(),
            leader_epoch: -1,
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
        let flexible = version >= 4;
        let mut out = Self::default();
        out.error_code = r.int16()?;
        out.partition = r.int32()?;
        out.leader_epoch = r.int32()?;
        out.end_offset = r.int64()?;
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
        let flexible = version >= 4;
        w.int16(self.error_code);
        w.int32(self.partition);
        w.int32(self.leader_epoch);
        w.int64(self.end_offset);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 23;
    const VERSIONS: RangeInclusive<i16> = 2..=4;
    const FLEXIBLE: Option<i16> = Some(4);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
