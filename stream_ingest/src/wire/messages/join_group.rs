// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use bytes::Bytes;
use std::ops::RangeInclusive;

/// `JoinGroupRequest`, API 11, versions 0-9, flexible 6+.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `GroupId`. All versions.
    pub group_id: String,
    /// `SessionTimeoutMs`. All versions.
    pub session_timeout_ms: i32,
    /// `RebalanceTimeoutMs`. Versions 1+.
    pub rebalance_timeout_ms: i32,
    /// `MemberId`. All versions.
    pub member_id: String,
    /// `GroupInstanceId`. Versions 5+, null in 5+.
    pub group_instance_id: Option<String>,
    /// `ProtocolType`. All versions.
    pub protocol_type: String,
    /// `Protocols`. All versions.
    pub protocols: Vec<JoinGroupRequestProtocol>,
    /// `Reason`. Versions 8+, null in 8+.
    pub reason: Option<String>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            group_id: Default::default(),
            session_timeout_ms: Default::default(),
            rebalance_timeout_ms: -1,
            member_id: Default::default(),
            group_instance_id: None,
            protocol_type: Default::default(),
            protocols: Default::default(),
            reason: None,
        }
    }
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        out.group_id = r.string(flexible)?;
        out.session_timeout_ms = r.int32()?;
        if version >= 1 { out.rebalance_timeout_ms = r.int32()?; }
        out.member_id = r.string(flexible)?;
        if version >= 5 { out.group_instance_id = r.nullable_string(flexible, version >= 5)?; }
        out.protocol_type = r.string(flexible)?;
        out.protocols = r.array(flexible, |r| JoinGroupRequestProtocol::read(version, r))?;
        if version >= 8 { out.reason = r.nullable_string(flexible, version >= 8)?; }
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
        let flexible = version >= 6;
        w.string(flexible, &self.group_id)?;
        w.int32(self.session_timeout_ms);
        if version >= 1 { w.int32(self.rebalance_timeout_ms); }
        w.string(flexible, &self.member_id)?;
        if version >= 5 { w.nullable_string(flexible, version >= 5, self.group_instance_id.as_deref())?; }
        w.string(flexible, &self.protocol_type)?;
        w.array(flexible, &self.protocols, |w, one| one.write(version, w))?;
        if version >= 8 { w.nullable_string(flexible, version >= 8, self.reason.as_deref())?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `JoinGroupRequestProtocol` in `JoinGroupRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JoinGroupRequestProtocol {
    /// `Name`. All versions.
    pub name: String,
    /// `Metadata`. All versions.
    pub metadata: Bytes,
}

impl JoinGroupRequestProtocol {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        out.name = r.string(flexible)?;
        out.metadata = r.bytes(flexible)?;
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
        let flexible = version >= 6;
        w.string(flexible, &self.name)?;
        w.bytes(flexible, &self.metadata)?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 11;
    const VERSIONS: RangeInclusive<i16> = 0..=9;
    const FLEXIBLE: Option<i16> = Some(6);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `JoinGroupResponse`, API 11, versions 0-9, flexible 6+.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// `ThrottleTimeMs`. Versions 2+.
    pub throttle_time_ms: i32,
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `GenerationId`. All versions.
    pub generation_id: i32,
    /// `ProtocolType`. Versions 7+, null in 7+.
    pub protocol_type: Option<String>,
    /// `ProtocolName`. All versions, null in 7+.
    pub protocol_name: Option<String>,
    /// `Leader`. All versions.
    pub leader: String,
    /// `SkipAssignment`. Versions 9+.
    pub skip_assignment: bool,
    /// `MemberId`. All versions.
    pub member_id: String,
    /// `Members`. All versions.
    pub members: Vec<JoinGroupResponseMember>,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            throttle_time_ms: Default::default(),
            error_code: Default::default(),
            generation_id: -1,
            protocol_type: None,
            protocol_name: Some(Default::default()),
            leader: Default::default(),
            skip_assignment: false,
            member_id: Default::default(),
            members: Default::default(),
        }
    }
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        if version >= 2 { out.throttle_time_ms = r.int32()?; }
        out.error_code = r.int16()?;
        out.generation_id = r.int32()?;
        if version >= 7 { out.protocol_type = r.nullable_string(flexible, version >= 7)?; }
        out.protocol_name = r.nullable_string(flexible, version >= 7)?;
        out.leader = r.string(flexible)?;
        if version >= 9 { out.skip_assignment = r.bool()?; }
        out.member_id = r.string(flexible)?;
        out.members = r.array(flexible, |r| JoinGroupResponseMember::read(version, r))?;
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
        let flexible = version >= 6;
        if version >= 2 { w.int32(self.throttle_time_ms); }
        w.int16(self.error_code);
        w.int32(self.generation_id);
        if version >= 7 { w.nullable_string(flexible, version >= 7, self.protocol_type.as_deref())?; }
        w.nullable_string(flexible, version >= 7, self.protocol_name.as_deref())?;
        w.string(flexible, &self.leader)?;
        if version >= 9 { w.bool(self.skip_assignment); }
        w.string(flexible, &self.member_id)?;
        w.array(flexible, &self.members, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `JoinGroupResponseMember` in `JoinGroupResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JoinGroupResponseMember {
    /// `MemberId`. All versions.
    pub member_id: String,
    /// `GroupInstanceId`. Versions 5+, null in 5+.
    pub group_instance_id: Option<String>,
    /// `Metadata`. All versions.
    pub metadata: Bytes,
}

impl JoinGroupResponseMember {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 6;
        let mut out = Self::default();
        out.member_id = r.string(flexible)?;
        if version >= 5 { out.group_instance_id = r.nullable_string(flexible, version >= 5)?; }
        out.metadata = r.bytes(flexible)?;
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
        let flexible = version >= 6;
        w.string(flexible, &self.member_id)?;
        if version >= 5 { w.nullable_string(flexible, version >= 5, self.group_instance_id.as_deref())?; }
        w.bytes(flexible, &self.metadata)?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 11;
    const VERSIONS: RangeInclusive<i16> = 0..=9;
    const FLEXIBLE: Option<i16> = Some(6);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
