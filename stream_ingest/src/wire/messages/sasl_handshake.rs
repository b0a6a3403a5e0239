// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Writer};
use std::ops::RangeInclusive;

/// `SaslHandshakeRequest`, API 17, versions 0-1, flexible none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `Mechanism`. All versions.
    pub mechanism: String,
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(_version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.mechanism = r.string(false)?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, _version: i16, w: &mut Writer) -> Result<()> {
        w.string(false, &self.mechanism)?;
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 17;
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE: Option<i16> = None;

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `SaslHandshakeResponse`, API 17, versions 0-1, flexible none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `Mechanisms`. All versions.
    pub mechanisms: Vec<String>,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(_version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.error_code = r.int16()?;
        out.mechanisms = r.array(false, |r| r.string(false))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, _version: i16, w: &mut Writer) -> Result<()> {
        w.int16(self.error_code);
        w.array(false, &self.mechanisms, |w, one| w.string(false, one))?;
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 17;
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE: Option<i16> = None;

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
