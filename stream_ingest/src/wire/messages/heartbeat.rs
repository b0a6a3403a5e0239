// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `HeartbeatRequest`, API 12, versions 0-4, flexible 4+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `GroupId`. All versions.
    pub group_id: String,
    /// `GenerationId`. All versions.
    pub generation_id: i32,
    /// `MemberId`. All versions.
    pub member_id: String,
    /// `GroupInstanceId`. Versions 3+, null in 3+.
    pub group_instance_id: Option<String>,
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 4;
        let mut out = Self::default();
        out.group_id = r.string(flexible)?;
        out.generation_id = r.int32()?;
        out.member_id = r.string(flexible)?;
        if version >= 3 { out.group_instance_id = r.nullable_string(flexible, version >= 3)?; }
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
        let flexible = version >= 4;
        w.string(flexible, &self.group_id)?;
        w.int32(self.generation_id);
        w.string(flexible, &self.member_id)?;
        if version >= 3 { w.nullable_string(flexible, version >= 3, self.group_instance_id.as_deref())?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 12;
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    const FLEXIBLE: Option<i16> = Some(4);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `HeartbeatResponse`, API 12, versions 0-4, flexible 4+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. Versions 1+.
    pub throttle_time_ms: i32,
    /// `ErrorCode`. All versions.
    pub error_code: i16,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 4;
        let mut out = Self::default();
        if version >= 1 { out.throttle_time_ms = r.int32()?; }
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
        let flexible = version >= 4;
        if version >= 1 { w.int32(self.throttle_time_ms); }
        w.int16(self.error_code);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 12;
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    const FLEXIBLE: Option<i16> = Some(4);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
