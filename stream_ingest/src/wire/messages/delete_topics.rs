// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;
use uuid::Uuid;

/// `DeleteTopicsRequest`, API 20, versions 1-6, flexible 4+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `Topics`. Versions 6+.
    pub topics: Vec<DeleteTopicState>,
    /// `TopicNames`. Versions 0-5.
    pub topic_names: Vec<String>,
    /// `TimeoutMs`. All versions.
    pub timeout_ms: i32,
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 4;
        let mut out = Self::default();
        if version >= 6 { out.topics = r.array(flexible, |r| DeleteTopicState::read(version, r))?; }
        if version <= 5 { out.topic_names = r.array(flexible, |r| r.string(flexible))?; }
        out.timeout_ms = r.int32()?;
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
        if version >= 6 { w.array(flexible, &self.topics, |w, one| one.write(version, w))?; }
        if version <= 5 { w.array(flexible, &self.topic_names, |w, one| w.string(flexible, one))?; }
        w.int32(self.timeout_ms);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DeleteTopicState` in `DeleteTopicsRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeleteTopicState {
    /// `Name`. Versions 6+, null in 6+.
    pub name: Option<String>,
    /// `TopicId`. Versions 6+.
    pub topic_id: Uuid,
}

impl DeleteTopicState {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 4;
        let mut out = Self::default();
        if version >= 6 { out.name = r.nullable_string(flexible, version >= 6)?; }
        if version >= 6 { out.topic_id = r.uuid()?; }
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
        if version >= 6 { w.nullable_string(flexible, version >= 6, self.name.as_deref())?; }
        if version >= 6 { w.uuid(self.topic_id); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 20;
    const VERSIONS: RangeInclusive<i16> = 1..=6;
    const FLEXIBLE: Option<i16> = Some(4);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `DeleteTopicsResponse`, API 20, versions 1-6, flexible 4+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `Responses`. All versions.
    pub responses: Vec<DeletableTopicResult>,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 4;
        let mut out = Self::default();
        out.throttle_time_ms = r.int32()?;
        out.responses = r.array(flexible, |r| DeletableTopicResult::read(version, r))?;
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
        w.int32(self.throttle_time_ms);
        w.array(flexible, &self.responses, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DeletableTopicResult` in `DeleteTopicsResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct DeletableTopicResult {
    /// `Name`. All versions, null in 6+.
    pub name: Option<String>,
    /// `TopicId`. Versions 6+.
    pub topic_id: Uuid,
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `ErrorMessage`. Versions 5+, null in 5+.
    pub error_message: Option<String>,
}

impl Default for DeletableTopicResult {
    fn default() -> Self {
        Self {
            name: Some(Default::default()),
            topic_id: Default::default(),
            error_code: Default::default(),
            error_message: None,
        }
    }
}

impl DeletableTopicResult {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 4;
        let mut out = Self::default();
        out.name = r.nullable_string(flexible, version >= 6)?;
        if version >= 6 { out.topic_id = r.uuid()?; }
        out.error_code = r.int16()?;
        if version >= 5 { out.error_message = r.nullable_string(flexible, version >= 5)?; }
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
        w.nullable_string(flexible, version >= 6, self.name.as_deref())?;
        if version >= 6 { w.uuid(self.topic_id); }
        w.int16(self.error_code);
        if version >= 5 { w.nullable_string(flexible, version >= 5, self.error_message.as_deref())?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 20;
    const VERSIONS: RangeInclusive<i16> = 1..=6;
    const FLEXIBLE: Option<i16> = Some(4);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
