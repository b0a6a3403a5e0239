// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Writer};
use std::ops::RangeInclusive;

/// `OffsetDeleteRequest`, API 47, versions 0, flexible none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `GroupId`. All versions.
    pub group_id: String,
    /// `Topics`. All versions.
    pub topics: Vec<OffsetDeleteRequestTopic>,
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.group_id = r.string(false)?;
        out.topics = r.array(false, |r| OffsetDeleteRequestTopic::read(version, r))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        w.string(false, &self.group_id)?;
        w.array(false, &self.topics, |w, one| one.write(version, w))?;
        Ok(())
    }
}

/// `OffsetDeleteRequestTopic` in `OffsetDeleteRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OffsetDeleteRequestTopic {
    /// `Name`. All versions.
    pub name: String,
    /// `Partitions`. All versions.
    pub partitions: Vec<OffsetDeleteRequestPartition>,
}

impl OffsetDeleteRequestTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.name = r.string(false)?;
        out.partitions = r.array(false, |r| OffsetDeleteRequestPartition::read(version, r))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        w.string(false, &self.name)?;
        w.array(false, &self.partitions, |w, one| one.write(version, w))?;
        Ok(())
    }
}

/// `OffsetDeleteRequestPartition` in `OffsetDeleteRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OffsetDeleteRequestPartition {
    /// `PartitionIndex`. All versions.
    pub partition_index: i32,
}

impl OffsetDeleteRequestPartition {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(_version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.partition_index = r.int32()?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, _version: i16, w: &mut Writer) -> Result<()> {
        w.int32(self.partition_index);
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 47;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE: Option<i16> = None;

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `OffsetDeleteResponse`, API 47, versions 0, flexible none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `Topics`. All versions.
    pub topics: Vec<OffsetDeleteResponseTopic>,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.error_code = r.int16()?;
        out.throttle_time_ms = r.int32()?;
        out.topics = r.array(false, |r| OffsetDeleteResponseTopic::read(version, r))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        w.int16(self.error_code);
        w.int32(self.throttle_time_ms);
        w.array(false, &self.topics, |w, one| one.write(version, w))?;
        Ok(())
    }
}

/// `OffsetDeleteResponseTopic` in `OffsetDeleteResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OffsetDeleteResponseTopic {
    /// `Name`. All versions.
    pub name: String,
    /// `Partitions`. All versions.
    pub partitions: Vec<OffsetDeleteResponsePartition>,
}

impl OffsetDeleteResponseTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.name = r.string(false)?;
        out.partitions = r.array(false, |r| OffsetDeleteResponsePartition::read(version, r))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        w.string(false, &self.name)?;
        w.array(false, &self.partitions, |w, one| one.write(version, w))?;
        Ok(())
    }
}

/// `OffsetDeleteResponsePartition` in `OffsetDeleteResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OffsetDeleteResponsePartition {
    /// `PartitionIndex`. All versions.
    pub partition_index: i32,
    /// `ErrorCode`. All versions.
    pub error_code: i16,
}

impl OffsetDeleteResponsePartition {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(_version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.partition_index = r.int32()?;
        out.error_code = r.int16()?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, _version: i16, w: &mut Writer) -> Result<()> {
        w.int32(self.partition_index);
        w.int16(self.error_code);
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 47;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE: Option<i16> = None;

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
