// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `DescribeProducersRequest`, API 61, versions 0, flexible 0+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `Topics`. All versions.
    pub topics: Vec<TopicRequest>,
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.topics = r.array(true, |r| TopicRequest::read(version, r))?;
        r.tags(|_, _| Ok(false))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        w.array(true, &self.topics, |w, one| one.write(version, w))?;
        w.tags(Tags::default())?;
        Ok(())
    }
}

/// `TopicRequest` in `DescribeProducersRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TopicRequest {
    /// `Name`. All versions.
    pub name: String,
    /// `PartitionIndexes`. All versions.
    pub partition_indexes: Vec<i32>,
}

impl TopicRequest {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(_version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.name = r.string(true)?;
        out.partition_indexes = r.array(true, Reader::int32)?;
        r.tags(|_, _| Ok(false))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, _version: i16, w: &mut Writer) -> Result<()> {
        w.string(true, &self.name)?;
        w.array(true, &self.partition_indexes, |w, one| { w.int32(*one); Ok(()) })?;
        w.tags(Tags::default())?;
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 61;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE: Option<i16> = Some(0);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `DescribeProducersResponse`, API 61, versions 0, flexible 0+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `Topics`. All versions.
    pub topics: Vec<TopicResponse>,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.throttle_time_ms = r.int32()?;
        out.topics = r.array(true, |r| TopicResponse::read(version, r))?;
        r.tags(|_, _| Ok(false))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        w.int32(self.throttle_time_ms);
        w.array(true, &self.topics, |w, one| one.write(version, w))?;
        w.tags(Tags::default())?;
        Ok(())
    }
}

/// `TopicResponse` in `DescribeProducersResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TopicResponse {
    /// `Name`. All versions.
    pub name: String,
    /// `Partitions`. All versions.
    pub partitions: Vec<PartitionResponse>,
}

impl TopicResponse {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.name = r.string(true)?;
        out.partitions = r.array(true, |r| PartitionResponse::read(version, r))?;
        r.tags(|_, _| Ok(false))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        w.string(true, &self.name)?;
        w.array(true, &self.partitions, |w, one| one.write(version, w))?;
        w.tags(Tags::default())?;
        Ok(())
    }
}

/// `PartitionResponse` in `DescribeProducersResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PartitionResponse {
    /// `PartitionIndex`. All versions.
    pub partition_index: i32,
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `ErrorMessage`. All versions, null everywhere.
    pub error_message: Option<String>,
    /// `ActiveProducers`. All versions.
    pub active_producers: Vec<ProducerState>,
}

impl PartitionResponse {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.partition_index = r.int32()?;
        out.error_code = r.int16()?;
        out.error_message = r.nullable_string(true, true)?;
        out.active_producers = r.array(true, |r| ProducerState::read(version, r))?;
        r.tags(|_, _| Ok(false))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        w.int32(self.partition_index);
        w.int16(self.error_code);
        w.nullable_string(true, true, self.error_message.as_deref())?;
        w.array(true, &self.active_producers, |w, one| one.write(version, w))?;
        w.tags(Tags::default())?;
        Ok(())
    }
}

/// `ProducerState` in `DescribeProducersResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct ProducerState {
    /// `ProducerId`. All versions.
    pub producer_id: i64,
    /// `ProducerEpoch`. All versions.
    pub producer_epoch: i32,
    /// `LastSequence`. All versions.
    pub last_sequence: i32,
    /// `LastTimestamp`. All versions.
    pub last_timestamp: i64,
    /// `CoordinatorEpoch`. All versions.
    pub coordinator_epoch: i32,
    /// `CurrentTxnStartOffset`. All versions.
    pub current_txn_start_offset: i64,
}

impl Default for ProducerState {
    fn default() -> Self {
        Self {
            producer_id: Default::default(),
            producer_epoch: Default::default(),
            last_sequence: -1,
            last_timestamp: -1,
            coordinator_epoch: Default::default(),
            current_txn_start_offset: -1,
        }
    }
}

impl ProducerState {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(_version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.producer_id = r.int64()?;
        out.producer_epoch = r.int32()?;
        out.last_sequence = r.int32()?;
        out.last_timestamp = r.int64()?;
        out.coordinator_epoch = r.int32()?;
        out.current_txn_start_offset = r.int64()?;
        r.tags(|_, _| Ok(false))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, _version: i16, w: &mut Writer) -> Result<()> {
        w.int64(self.producer_id);
        w.int32(self.producer_epoch);
        w.int32(self.last_sequence);
        w.int64(self.last_timestamp);
        w.int32(self.coordinator_epoch);
        w.int64(self.current_txn_start_offset);
        w.tags(Tags::default())?;
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 61;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE: Option<i16> = Some(0);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
