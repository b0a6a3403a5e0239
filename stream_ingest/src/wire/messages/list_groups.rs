// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `ListGroupsRequest`, API 16, versions 0-5, flexible 3+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `StatesFilter`. Versions 4+.
    pub states_filter: Vec<String>,
    /// `TypesFilter`. Versions 5+.
    pub types_filter: Vec<String>,
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        if version >= 4 { out.states_filter = r.array(flexible, |r| r.string(flexible))?; }
        if version >= 5 { out.types_filter = r.array(flexible, |r| r.string(flexible))?; }
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
        if version >= 4 { w.array(flexible, &self.states_filter, |w, one| w.string(flexible, one))?; }
        if version >= 5 { w.array(flexible, &self.types_filter, |w, one| w.string(flexible, one))?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 16;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE: Option<i16> = Some(3);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `ListGroupsResponse`, API 16, versions 0-5, flexible 3+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. Versions 1+.
    pub throttle_time_ms: i32,
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `Groups`. All versions.
    pub groups: Vec<ListedGroup>,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        if version >= 1 { out.throttle_time_ms = r.int32()?; }
        out.error_code = r.int16()?;
        out.groups = r.array(flexible, |r| ListedGroup::read(version, r))?;
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
        if version >= 1 { w.int32(self.throttle_time_ms); }
        w.int16(self.error_code);
        w.array(flexible, &self.groups, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `ListedGroup` in `ListGroupsResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListedGroup {
    /// `GroupId`. All versions.
    pub group_id: String,
    /// `ProtocolType`. All versions.
    pub protocol_type: String,
    /// `GroupState`. Versions 4+.
    pub group_state: String,
    /// `GroupType`. Versions 5+.
    pub group_type: String,
}

impl ListedGroup {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        out.group_id = r.string(flexible)?;
        out.protocol_type = r.string(flexible)?;
        if version >= 4 { out.group_state = r.string(flexible)?; }
        if version >= 5 { out.group_type = r.string(flexible)?; }
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
        w.string(flexible, &self.group_id)?;
        w.string(flexible, &self.protocol_type)?;
        if version >= 4 { w.string(flexible, &self.group_state)?; }
        if version >= 5 { w.string(flexible, &self.group_type)?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 16;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE: Option<i16> = Some(3);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
