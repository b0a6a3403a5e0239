// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `DescribeTransactionsRequest`, API 65, versions 0, flexible 0+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `TransactionalIds`. All versions.
    pub transactional_ids: Vec<String>,
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(_version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.transactional_ids = r.array(true, |r| r.string(true))?;
        r.tags(|_, _| Ok(false))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, _version: i16, w: &mut Writer) -> Result<()> {
        w.array(true, &self.transactional_ids, |w, one| w.string(true, one))?;
        w.tags(Tags::default())?;
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 65;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE: Option<i16> = Some(0);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `DescribeTransactionsResponse`, API 65, versions 0, flexible 0+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `TransactionStates`. All versions.
    pub transaction_states: Vec<TransactionState>,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.throttle_time_ms = r.int32()?;
        out.transaction_states = r.array(true, |r| TransactionState::read(version, r))?;
        r.tags(|_, _| Ok(false))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        w.int32(self.throttle_time_ms);
        w.array(true, &self.transaction_states, |w, one| one.write(version, w))?;
        w.tags(Tags::default())?;
        Ok(())
    }
}

/// `TransactionState` in `DescribeTransactionsResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TransactionState {
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `TransactionalId`. All versions.
    pub transactional_id: String,
    /// `TransactionState`. All versions.
    pub transaction_state: String,
    /// `TransactionTimeoutMs`. All versions.
    pub transaction_timeout_ms: i32,
    /// `TransactionStartTimeMs`. All versions.
    pub transaction_start_time_ms: i64,
    /// `ProducerId`. All versions.
    pub producer_id: i64,
    /// `ProducerEpoch`. All versions.
    pub producer_epoch: i16,
    /// `Topics`. All versions.
    pub topics: Vec<TopicData>,
}

impl TransactionState {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.error_code = r.int16()?;
        out.transactional_id = r.string(true)?;
        out.transaction_state = r.string(true)?;
        out.transaction_timeout_ms = r.int32()?;
        out.transaction_start_time_ms = r.int64()?;
        out.producer_id = r.int64()?;
        out.producer_epoch = r.int16()?;
        out.topics = r.array(true, |r| TopicData::read(version, r))?;
        r.tags(|_, _| Ok(false))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        w.int16(self.error_code);
        w.string(true, &self.transactional_id)?;
        w.string(true, &self.transaction_state)?;
        w.int32(self.transaction_timeout_ms);
        w.int64(self.transaction_start_time_ms);
        w.int64(self.producer_id);
        w.int16(self.producer_epoch);
        w.array(true, &self.topics, |w, one| one.write(version, w))?;
        w.tags(Tags::default())?;
        Ok(())
    }
}

/// `TopicData` in `DescribeTransactionsResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TopicData {
    /// `Topic`. All versions.
    pub topic: String,
    /// `Partitions`. All versions.
    pub partitions: Vec<i32>,
}

impl TopicData {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(_version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.topic = r.string(true)?;
        out.partitions = r.array(true, Reader::int32)?;
        r.tags(|_, _| Ok(false))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, _version: i16, w: &mut Writer) -> Result<()> {
        w.string(true, &self.topic)?;
        w.array(true, &self.partitions, |w, one| { w.int32(*one); Ok(()) })?;
        w.tags(Tags::default())?;
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 65;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE: Option<i16> = Some(0);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
