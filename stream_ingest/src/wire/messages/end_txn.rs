// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `EndTxnRequest`, API 26, versions 0-5, flexible 3+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `TransactionalId`. All versions.
    pub transactional_id: String,
    /// `ProducerId`. All versions.
    pub producer_id: i64,
    /// `ProducerEpoch`. All versions.
    pub producer_epoch: i16,
    /// `Committed`. All versions.
    pub committed: bool,
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
        out.producer_id = r.int64()?;
        out.producer_epoch = r.int16()?;
        out.committed = r.bool()?;
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
        w.int64(self.producer_id);
        w.int16(self.producer_epoch);
        w.bool(self.committed);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 26;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE: Option<i16> = Some(3);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `EndTxnResponse`, API 26, versions 0-5, flexible 3+.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `ProducerId`. Versions 5+.
    pub producer_id: i64,
    /// `ProducerEpoch`. Versions 5+.
    pub producer_epoch: i16,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            throttle_time_ms: Default::default(),
            error_code: Default::default(),
            producer_id: -1,
            producer_epoch: -1,
        }
    }
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
        out.error_code = r.int16()?;
        if version >= 5 { out.producer_id = r.int64()?; }
        if version >= 5 { out.producer_epoch = r.int16()?; }
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
        w.int16(self.error_code);
        if version >= 5 { w.int64(self.producer_id); }
        if version >= 5 { w.int16(self.producer_epoch); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 26;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE: Option<i16> = Some(3);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
