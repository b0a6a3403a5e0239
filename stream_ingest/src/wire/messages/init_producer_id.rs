// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `InitProducerIdRequest`, API 22, versions 0-6, flexible 2+.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `TransactionalId`. All versions, null everywhere.
    pub transactional_id: Option<String>,
    /// `TransactionTimeoutMs`. All versions.
    pub transaction_timeout_ms: i32,
    /// `ProducerId`. Versions 3+.
    pub producer_id: i64,
    /// `ProducerEpoch`. Versions 3+.
    pub producer_epoch: i16,
    /// `Enable2Pc`. Versions 6+.
    pub enable2_pc: bool,
    /// `KeepPreparedTxn`. Versions 6+.
    pub keep_prepared_txn: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            transactional_id: Some(Default::default()),
            transaction_timeout_ms: Default::default(),
            producer_id: -1,
            producer_epoch: -1,
            enable2_pc: false,
            keep_prepared_txn: false,
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
        out.transactional_id = r.nullable_string(flexible, true)?;
        out.transaction_timeout_ms = r.int32()?;
        if version >= 3 { out.producer_id = r.int64()?; }
        if version >= 3 { out.producer_epoch = r.int16()?; }
        if version >= 6 { out.enable2_pc = r.bool()?; }
        if version >= 6 { out.keep_prepared_txn = r.bool()?; }
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
        w.nullable_string(flexible, true, self.transactional_id.as_deref())?;
        w.int32(self.transaction_timeout_ms);
        if version >= 3 { w.int64(self.producer_id); }
        if version >= 3 { w.int16(self.producer_epoch); }
        if version >= 6 { w.bool(self.enable2_pc); }
        if version >= 6 { w.bool(self.keep_prepared_txn); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 22;
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    const FLEXIBLE: Option<i16> = Some(2);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `InitProducerIdResponse`, API 22, versions 0-6, flexible 2+.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `ProducerId`. All versions.
    pub producer_id: i64,
    /// `ProducerEpoch`. All versions.
    pub producer_epoch: i16,
    /// `OngoingTxnProducerId`. Versions 6+.
    pub ongoing_txn_producer_id: i64,
    /// `OngoingTxnProducerEpoch`. Versions 6+.
    pub ongoing_txn_producer_epoch: i16,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            throttle_time_ms: Default::default(),
            error_code: Default::default(),
            producer_id: -1,
            producer_epoch: Default::default(),
            ongoing_txn_producer_id: -1,
            ongoing_txn_producer_epoch: -1,
        }
    }
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
        out.error_code = r.int16()?;
        out.producer_id = r.int64()?;
        out.producer_epoch = r.int16()?;
        if version >= 6 { out.ongoing_txn_producer_id = r.int64()?; }
        if version >= 6 { out.ongoing_txn_producer_epoch = r.int16()?; }
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
        w.int16(self.error_code);
        w.int64(self.producer_id);
        w.int16(self.producer_epoch);
        if version >= 6 { w.int64(self.ongoing_txn_producer_id); }
        if version >= 6 { w.int16(self.ongoing_txn_producer_epoch); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 22;
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    const FLEXIBLE: Option<i16> = Some(2);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
