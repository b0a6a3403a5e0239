// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `FindCoordinatorRequest`, API 10, versions 0-6, flexible 3+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `Key`. Versions 0-3.
    pub key: String,
    /// `KeyType`. Versions 1+.
    pub key_type: i8,
    /// `CoordinatorKeys`. Versions 4+.
    pub coordinator_keys: Vec<String>,
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        if version <= 3 { out.key = r.string(flexible)?; }
        if version >= 1 { out.key_type = r.int8()?; }
        if version >= 4 { out.coordinator_keys = r.array(flexible, |r| r.string(flexible))?; }
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
        if version <= 3 { w.string(flexible, &self.key)?; }
        if version >= 1 { w.int8(self.key_type); }
        if version >= 4 { w.array(flexible, &self.coordinator_keys, |w, one| w.string(flexible, one))?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 10;
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    const FLEXIBLE: Option<i16> = Some(3);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `FindCoordinatorResponse`, API 10, versions 0-6, flexible 3+.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// `ThrottleTimeMs`. Versions 1+.
    pub throttle_time_ms: i32,
    /// `ErrorCode`. Versions 0-3.
    pub error_code: i16,
    /// `ErrorMessage`. Versions 1-3, null in 1-3.
    pub error_message: Option<String>,
    /// `NodeId`. Versions 0-3.
    pub node_id: i32,
    /// `Host`. Versions 0-3.
    pub host: String,
    /// `Port`. Versions 0-3.
    pub port: i32,
    /// `Coordinators`. Versions 4+.
    pub coordinators: Vec<Coordinator>,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            throttle_time_ms: Default::default(),
            error_code: Default::default(),
            error_message: Some(Default::default()),
            node_id: Default::default(),
            host: Default::default(),
            port: Default::default(),
            coordinators: Default::default(),
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
        if version >= 1 { out.throttle_time_ms = r.int32()?; }
        if version <= 3 { out.error_code = r.int16()?; }
        if (1..=3).contains(&version) { out.error_message = r.nullable_string(flexible, (1..=3).contains(&version))?; }
        if version <= 3 { out.node_id = r.int32()?; }
        if version <= 3 { out.host = r.string(flexible)?; }
        if version <= 3 { out.port = r.int32()?; }
        if version >= 4 { out.coordinators = r.array(flexible, |r| Coordinator::read(version, r))?; }
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
        if version <= 3 { w.int16(self.error_code); }
        if (1..=3).contains(&version) { w.nullable_string(flexible, (1..=3).contains(&version), self.error_message.as_deref())?; }
        if version <= 3 { w.int32(self.node_id); }
        if version <= 3 { w.string(flexible, &self.host)?; }
        if version <= 3 { w.int32(self.port); }
        if version >= 4 { w.array(flexible, &self.coordinators, |w, one| one.write(version, w))?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `Coordinator` in `FindCoordinatorResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct Coordinator {
    /// `Key`. Versions 4+.
    pub key: String,
    /// `NodeId`. Versions 4+.
    pub node_id: i32,
    /// `Host`. Versions 4+.
    pub host: String,
    /// `Port`. Versions 4+.
    pub port: i32,
    /// `ErrorCode`. Versions 4+.
    pub error_code: i16,
    /// `ErrorMessage`. Versions 4+, null in 4+.
    pub error_message: Option<String>,
}

impl Default for Coordinator {
    fn default() -> Self {
        Self {
            key: Default::default(),
            node_id: Default::default(),
            host: Default::default(),
            port: Default::default(),
            error_code: Default::default(),
            error_message: Some(Default::default()),
        }
    }
}

impl Coordinator {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        if version >= 4 { out.key = r.string(flexible)?; }
        if version >= 4 { out.node_id = r.int32()?; }
        if version >= 4 { out.host = r.string(flexible)?; }
        if version >= 4 { out.port = r.int32()?; }
        if version >= 4 { out.error_code = r.int16()?; }
        if version >= 4 { out.error_message = r.nullable_string(flexible, version >= 4)?; }
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
        if version >= 4 { w.string(flexible, &self.key)?; }
        if version >= 4 { w.int32(self.node_id); }
        if version >= 4 { w.string(flexible, &self.host)?; }
        if version >= 4 { w.int32(self.port); }
        if version >= 4 { w.int16(self.error_code); }
        if version >= 4 { w.nullable_string(flexible, version >= 4, self.error_message.as_deref())?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 10;
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    const FLEXIBLE: Option<i16> = Some(3);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
