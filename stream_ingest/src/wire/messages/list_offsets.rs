// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `ListOffsetsRequest`, API 2, versions 1-10, flexible 6+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `ReplicaId`. All versions.
    pub replica_id: i32,
    /// `IsolationLevel`. Versions 2+.
    pub isolation_level: i8,
    /// `Topics`. All versions.
    pub topics: Vec<ListOffsetsTopic>,
    /// `TimeoutMs`. Versions 10+.
    pub timeout_ms: i32,
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        out.replica_id = r.int32()?;
        if version >= 2 { out.isolation_level = r.int8()?; }
        out.topics = r.array(flexible, |r| ListOffsetsTopic::read(version, r))?;
        if version >= 10 { out.timeout_ms = r.int32()?; }
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
        w.int32(self.replica_id);
        if version >= 2 { w.int8(self.isolation_level); }
        w.array(flexible, &self.topics, |w, one| one.write(version, w))?;
        if version >= 10 { w.int32(self.timeout_ms); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `ListOffsetsTopic` in `ListOffsetsRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListOffsetsTopic {
    /// `Name`. All versions.
    pub name: String,
    /// `Partitions`. All versions.
    pub partitions: Vec<ListOffsetsPartition>,
}

impl ListOffsetsTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        out.name = r.string(flexible)?;
        out.partitions = r.array(flexible, |r| ListOffsetsPartition::read(version, r))?;
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
        w.string(flexible, &self.name)?;
        w.array(flexible, &self.partitions, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `ListOffsetsPartition` in `ListOffsetsRequest`.
#[derive(Debug, Clone, PartialEq)]
pub struct ListOffsetsPartition {
    /// `PartitionIndex`. All versions.
    pub partition_index: i32,
    /// `CurrentLeaderEpoch`. Versions 4+.
    pub current_leader_epoch: i32,
    /// `Timestamp`. All versions.
    pub timestamp: i64,
}

impl Default for ListOffsetsPartition {
    fn default() -> Self {
        Self {
            partition_index: Default::default(),
            current_leader_epoch: -1,
            timestamp: Default::default(),
        }
    }
}

impl ListOffsetsPartition {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        out.partition_index = r.int32()?;
        if version >= 4 { out.current_leader_epoch = r.int32()?; }
        out.timestamp = r.int64()?;
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
        w.int32(self.partition_index);
        if version >= 4 { w.int32(self.current_leader_epoch); }
        w.int64(self.timestamp);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 2;
    const VERSIONS: RangeInclusive<i16> = 1..=10;
    const FLEXIBLE: Option<i16> = Some(6);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `ListOffsetsResponse`, API 2, versions 1-10, flexible 6+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. Versions 2+.
    pub throttle_time_ms: i32,
    /// `Topics`. All versions.
    pub topics: Vec<ListOffsetsTopicResponse>,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        if version >= 2 { out.throttle_time_ms = r.int32()?; }
        out.topics = r.array(flexible, |r| ListOffsetsTopicResponse::read(version, r))?;
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
        if version >= 2 { w.int32(self.throttle_time_ms); }
        w.array(flexible, &self.topics, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `ListOffsetsTopicResponse` in `ListOffsetsResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListOffsetsTopicResponse {
    /// `Name`. All versions.
    pub name: String,
    /// `Partitions`. All versions.
    pub partitions: Vec<ListOffsetsPartitionResponse>,
}

impl ListOffsetsTopicResponse {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        out.name = r.string(flexible)?;
        out.partitions = r.array(flexible, |r| ListOffsetsPartitionResponse::read(version, r))?;
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
        w.string(flexible, &self.name)?;
        w.array(flexible, &self.partitions, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `ListOffsetsPartitionResponse` in `ListOffsetsResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct ListOffsetsPartitionResponse {
    /// `PartitionIndex`. All versions.
    pub partition_index: i32,
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `Timestamp`. All versions.
    pub timestamp: i64,
    /// `Offset`. All versions.
    pub offset: i64,
    /// `LeaderEpoch`. Versions 4+.
    pub leader_epoch: i32,
}

impl Default for ListOffsetsPartitionResponse {
    fn default() -> Self {
        Self {
            partition_index: Default::default(),
            error_code: Default::default(),
            timestamp: -1,
            offset: -1,
            leader_epoch: -1,
        }
    }
}

impl ListOffsetsPartitionResponse {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        out.partition_index = r.int32()?;
        out.error_code = r.int16()?;
        out.timestamp = r.int64()?;
        out.offset = r.int64()?;
        if version >= 4 { out.leader_epoch = r.int32()?; }
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
        w.int32(self.partition_index);
        w.int16(self.error_code);
        w.int64(self.timestamp);
        w.int64(self.offset);
        if version >= 4 { w.int32(self.leader_epoch); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 2;
    const VERSIONS: RangeInclusive<i16> = 1..=10;
    const FLEXIBLE: Option<i16> = Some(6);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
