// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use bytes::Bytes;
use std::ops::RangeInclusive;

/// `SaslAuthenticateRequest`, API 36, versions 0-2, flexible 2+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `AuthBytes`. All versions.
    pub auth_bytes: Bytes,
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 2;
        let mut out = Self::default();
        out.auth_bytes = r.bytes(flexible)?;
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
        w.bytes(flexible, &self.auth_bytes)?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 36;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE: Option<i16> = Some(2);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `SaslAuthenticateResponse`, API 36, versions 0-2, flexible 2+.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `ErrorMessage`. All versions, null everywhere.
    pub error_message: Option<String>,
    /// `AuthBytes`. All versions.
    pub auth_bytes: Bytes,
    /// `SessionLifetimeMs`. Versions 1+.
    pub session_lifetime_ms: i64,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            error_code: Default::default(),
            error_message: Some(Default::default()),
            auth_bytes: Default::default(),
            session_lifetime_ms: 0,
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
        out.error_code = r.int16()?;
        out.error_message = r.nullable_string(flexible, true)?;
        out.auth_bytes = r.bytes(flexible)?;
        if version >= 1 { out.session_lifetime_ms = r.int64()?; }
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
        w.nullable_string(flexible, true, self.error_message.as_deref())?;
        w.bytes(flexible, &self.auth_bytes)?;
        if version >= 1 { w.int64(self.session_lifetime_ms); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 36;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE: Option<i16> = Some(2);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
