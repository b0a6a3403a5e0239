// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `ListTransactionsRequest`, API 66, versions 0-2, flexible 0+.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `StateFilters`. All versions.
    pub state_filters: Vec<String>,
    /// `ProducerIdFilters`. All versions.
    pub producer_id_filters: Vec<i64>,
    /// `DurationFilter`. Versions 1+.
    pub duration_filter: i64,
    /// `TransactionalIdPattern`. Versions 2+, null in 2+.
    pub transactional_id_pattern: Option<String>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            state_filters: Default::default(),
            producer_id_filters: Default::default(),
            duration_filter: -1,
            transactional_id_pattern: None,
        }
    }
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.state_filters = r.array(true, |r| r.string(true))?;
        out.producer_id_filters = r.array(true, Reader::int64)?;
        if version >= 1 { out.duration_filter = r.int64()?; }
        if version >= 2 { out.transactional_id_pattern = r.nullable_string(true, version >= 2)?; }
        r.tags(|_, _| Ok(false))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        w.array(true, &self.state_filters, |w, one| w.string(true, one))?;
        w.array(true, &self.producer_id_filters, |w, one| { w.int64(*one); Ok(()) })?;
        if version >= 1 { w.int64(self.duration_filter); }
        if version >= 2 { w.nullable_string(true, version >= 2, self.transactional_id_pattern.as_deref())?; }
        w.tags(Tags::default())?;
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 66;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE: Option<i16> = Some(0);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `ListTransactionsResponse`, API 66, versions 0-2, flexible 0+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `UnknownStateFilters`. All versions.
    pub unknown_state_filters: Vec<String>,
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
        out.error_code = r.int16()?;
        out.unknown_state_filters = r.array(true, |r| r.string(true))?;
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
        w.int16(self.error_code);
        w.array(true, &self.unknown_state_filters, |w, one| w.string(true, one))?;
        w.array(true, &self.transaction_states, |w, one| one.write(version, w))?;
        w.tags(Tags::default())?;
        Ok(())
    }
}

/// `TransactionState` in `ListTransactionsResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TransactionState {
    /// `TransactionalId`. All versions.
    pub transactional_id: String,
    /// `ProducerId`. All versions.
    pub producer_id: i64,
    /// `TransactionState`. All versions.
    pub transaction_state: String,
}

impl TransactionState {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(_version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.transactional_id = r.string(true)?;
        out.producer_id = r.int64()?;
        out.transaction_state = r.string(true)?;
        r.tags(|_, _| Ok(false))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, _version: i16, w: &mut Writer) -> Result<()> {
        w.string(true, &self.transactional_id)?;
        w.int64(self.producer_id);
        w.string(true, &self.transaction_state)?;
        w.tags(Tags::default())?;
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 66;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE: Option<i16> = Some(0);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
