// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `DeleteRecordsRequest`, API 21, versions 0-2, flexible 2+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `Topics`. All versions.
    pub topics: Vec<DeleteRecordsTopic>,
    /// `TimeoutMs`. All versions.
    pub timeout_ms: i32,
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 2;
        let mut out = Self::default();
        out.topics = r.array(flexible, |r| DeleteRecordsTopic::read(version, r))?;
        out.timeout_ms = r.int32()?;
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
        let flexible = version >= 2;
        w.array(flexible, &self.topics, |w, one| one.write(version, w))?;
        w.int32(self.timeout_ms);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DeleteRecordsTopic` in `DeleteRecordsRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeleteRecordsTopic {
    /// `Name`. All versions.
    pub name: String,
    /// `Partitions`. All versions.
    pub partitions: Vec<DeleteRecordsPartition>,
}

impl DeleteRecordsTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 2;
        let mut out = Self::default();
        out.name = r.string(flexible)?;
        out.partitions = r.array(flexible, |r| DeleteRecordsPartition::read(version, r))?;
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
        let flexible = version >= 2;
        w.string(flexible, &self.name)?;
        w.array(flexible, &self.partitions, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DeleteRecordsPartition` in `DeleteRecordsRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeleteRecordsPartition {
    /// `PartitionIndex`. All versions.
    pub partition_index: i32,
    /// `Offset`. All versions.
    pub offset: i64,
}

impl DeleteRecordsPartition {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 2;
        let mut out = Self::default();
        out.partition_index = r.int32()?;
        out.offset = r.int64()?;
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
        let flexible = version >= 2;
        w.int32(self.partition_index);
        w.int64(self.offset);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 21;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE: Option<i16> = Some(2);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `DeleteRecordsResponse`, API 21, versions 0-2, flexible 2+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `Topics`. All versions.
    pub topics: Vec<DeleteRecordsTopicResult>,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 2;
        let mut out = Self::default();
        out.throttle_time_ms = r.int32()?;
        out.topics = r.array(flexible, |r| DeleteRecordsTopicResult::read(version, r))?;
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
        let flexible = version >= 2;
        w.int32(self.throttle_time_ms);
        w.array(flexible, &self.topics, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DeleteRecordsTopicResult` in `DeleteRecordsResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeleteRecordsTopicResult {
    /// `Name`. All versions.
    pub name: String,
    /// `Partitions`. All versions.
    pub partitions: Vec<DeleteRecordsPartitionResult>,
}

impl DeleteRecordsTopicResult {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 2;
        let mut out = Self::default();
        out.name = r.string(flexible)?;
        out.partitions = r.array(flexible, |r| DeleteRecordsPartitionResult::read(version, r))?;
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
        let flexible = version >= 2;
        w.string(flexible, &self.name)?;
        w.array(flexible, &self.partitions, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DeleteRecordsPartitionResult` in `DeleteRecordsResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeleteRecordsPartitionResult {
    /// `PartitionIndex`. All versions.
    pub partition_index: i32,
    /// `LowWatermark`. All versions.
    pub low_watermark: i64,
    /// `ErrorCode`. All versions.
    pub error_code: i16,
}

impl DeleteRecordsPartitionResult {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 2;
        let mut out = Self::default();
        out.partition_index = r.int32()?;
        out.low_watermark = r.int64()?;
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
        let flexible = version >= 2;
        w.int32(self.partition_index);
        w.int64(self.low_watermark);
        w.int16(self.error_code);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 21;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE: Option<i16> = Some(2);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
