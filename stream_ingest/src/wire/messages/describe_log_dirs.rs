// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `DescribeLogDirsRequest`, API 35, versions 1-4, flexible 2+.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `Topics`. All versions, null everywhere.
    pub topics: Option<Vec<DescribableLogDirTopic>>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            topics: Some(Default::default()),
        }
    }
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 2;
        let mut out = Self::default();
        out.topics = r.nullable_array(flexible, true, |r| DescribableLogDirTopic::read(version, r))?;
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
        w.nullable_array(flexible, true, self.topics.as_deref(), |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DescribableLogDirTopic` in `DescribeLogDirsRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DescribableLogDirTopic {
    /// `Topic`. All versions.
    pub topic: String,
    /// `Partitions`. All versions.
    pub partitions: Vec<i32>,
}

impl DescribableLogDirTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 2;
        let mut out = Self::default();
        out.topic = r.string(flexible)?;
        out.partitions = r.array(flexible, Reader::int32)?;
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
        w.string(flexible, &self.topic)?;
        w.array(flexible, &self.partitions, |w, one| { w.int32(*one); Ok(()) })?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 35;
    const VERSIONS: RangeInclusive<i16> = 1..=4;
    const FLEXIBLE: Option<i16> = Some(2);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `DescribeLogDirsResponse`, API 35, versions 1-4, flexible 2+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `ErrorCode`. Versions 3+.
    pub error_code: i16,
    /// `Results`. All versions.
    pub results: Vec<DescribeLogDirsResult>,
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
        if version >= 3 { out.error_code = r.int16()?; }
        out.results = r.array(flexible, |r| DescribeLogDirsResult::read(version, r))?;
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
        if version >= 3 { w.int16(self.error_code); }
        w.array(flexible, &self.results, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DescribeLogDirsResult` in `DescribeLogDirsResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribeLogDirsResult {
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `LogDir`. All versions.
    pub log_dir: String,
    /// `Topics`. All versions.
    pub topics: Vec<DescribeLogDirsTopic>,
    /// `TotalBytes`. Versions 4+.
    pub total_bytes: i64,
    /// `UsableBytes`. Versions 4+.
    pub usable_bytes: i64,
}

impl Default for DescribeLogDirsResult {
    fn default() -> Self {
        Self {
            error_code: Default::default(),
            log_dir: Default::default(),
            topics: Default::default(),
            total_bytes: -1,
            usable_bytes: -1,
        }
    }
}

impl DescribeLogDirsResult {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 2;
        let mut out = Self::default();
        out.error_code = r.int16()?;
        out.log_dir = r.string(flexible)?;
        out.topics = r.array(flexible, |r| DescribeLogDirsTopic::read(version, r))?;
        if version >= 4 { out.total_bytes = r.int64()?; }
        if version >= 4 { out.usable_bytes = r.int64()?; }
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
        w.int16(self.error_code);
        w.string(flexible, &self.log_dir)?;
        w.array(flexible, &self.topics, |w, one| one.write(version, w))?;
        if version >= 4 { w.int64(self.total_bytes); }
        if version >= 4 { w.int64(self.usable_bytes); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DescribeLogDirsTopic` in `DescribeLogDirsResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DescribeLogDirsTopic {
    /// `Name`. All versions.
    pub name: String,
    /// `Partitions`. All versions.
    pub partitions: Vec<DescribeLogDirsPartition>,
}

impl DescribeLogDirsTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 2;
        let mut out = Self::default();
        out.name = r.string(flexible)?;
        out.partitions = r.array(flexible, |r| DescribeLogDirsPartition::read(version, r))?;
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

/// `DescribeLogDirsPartition` in `DescribeLogDirsResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DescribeLogDirsPartition {
    /// `PartitionIndex`. All versions.
    pub partition_index: i32,
    /// `PartitionSize`. All versions.
    pub partition_size: i64,
    /// `OffsetLag`. All versions.
    pub offset_lag: i64,
    /// `IsFutureKey`. All versions.
    pub is_future_key: bool,
}

impl DescribeLogDirsPartition {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 2;
        let mut out = Self::default();
        out.partition_index = r.int32()?;
        out.partition_size = r.int64()?;
        out.offset_lag = r.int64()?;
        out.is_future_key = r.bool()?;
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
        w.int64(self.partition_size);
        w.int64(self.offset_lag);
        w.bool(self.is_future_key);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 35;
    const VERSIONS: RangeInclusive<i16> = 1..=4;
    const FLEXIBLE: Option<i16> = Some(2);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
