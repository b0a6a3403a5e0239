// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use bytes::Bytes;
use std::ops::RangeInclusive;

/// `DescribeGroupsRequest`, API 15, versions 0-6, flexible 5+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `Groups`. All versions.
    pub groups: Vec<String>,
    /// `IncludeAuthorizedOperations`. Versions 3+.
    pub include_authorized_operations: bool,
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 5;
        let mut out = Self::default();
        out.groups = r.array(flexible, |r| r.string(flexible))?;
        if version >= 3 { out.include_authorized_operations = r.bool()?; }
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
        let flexible = version >= 5;
        w.array(flexible, &self.groups, |w, one| w.string(flexible, one))?;
        if version >= 3 { w.bool(self.include_authorized_operations); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 15;
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    const FLEXIBLE: Option<i16> = Some(5);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `DescribeGroupsResponse`, API 15, versions 0-6, flexible 5+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. Versions 1+.
    pub throttle_time_ms: i32,
    /// `Groups`. All versions.
    pub groups: Vec<DescribedGroup>,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 5;
        let mut out = Self::default();
        if version >= 1 { out.throttle_time_ms = r.int32()?; }
        out.groups = r.array(flexible, |r| DescribedGroup::read(version, r))?;
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
        let flexible = version >= 5;
        if version >= 1 { w.int32(self.throttle_time_ms); }
        w.array(flexible, &self.groups, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DescribedGroup` in `DescribeGroupsResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedGroup {
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `ErrorMessage`. Versions 6+, null in 6+.
    pub error_message: Option<String>,
    /// `GroupId`. All versions.
    pub group_id: String,
    /// `GroupState`. All versions.
    pub group_state: String,
    /// `ProtocolType`. All versions.
    pub protocol_type: String,
    /// `ProtocolData`. All versions.
    pub protocol_data: String,
    /// `Members`. All versions.
    pub members: Vec<DescribedGroupMember>,
    /// `AuthorizedOperations`. Versions 3+.
    pub authorized_operations: i32,
}

impl Default for DescribedGroup {
    fn default() -> Self {
        Self {
            error_code: Default::default(),
            error_message: None,
            group_id: Default::default(),
            group_state: Default::default(),
            protocol_type: Default::default(),
            protocol_data: Default::default(),
            members: Default::default(),
            authorized_operations: i32::MIN,
        }
    }
}

impl DescribedGroup {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 5;
        let mut out = Self::default();
        out.error_code = r.int16()?;
        if version >= 6 { out.error_message = r.nullable_string(flexible, version >= 6)?; }
        out.group_id = r.string(flexible)?;
        out.group_state = r.string(flexible)?;
        out.protocol_type = r.string(flexible)?;
        out.protocol_data = r.string(flexible)?;
        out.members = r.array(flexible, |r| DescribedGroupMember::read(version, r))?;
        if version >= 3 { out.authorized_operations = r.int32()?; }
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
        let flexible = version >= 5;
        w.int16(self.error_code);
        if version >= 6 { w.nullable_string(flexible, version >= 6, self.error_message.as_deref())?; }
        w.string(flexible, &self.group_id)?;
        w.string(flexible, &self.group_state)?;
        w.string(flexible, &self.protocol_type)?;
        w.string(flexible, &self.protocol_data)?;
        w.array(flexible, &self.members, |w, one| one.write(version, w))?;
        if version >= 3 { w.int32(self.authorized_operations); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DescribedGroupMember` in `DescribeGroupsResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DescribedGroupMember {
    /// `MemberId`. All versions.
    pub member_id: String,
    /// `GroupInstanceId`. Versions 4+, null in 4+.
    pub group_instance_id: Option<String>,
    /// `ClientId`. All versions.
    pub client_id: String,
    /// `ClientHost`. All versions.
    pub client_host: String,
    /// `MemberMetadata`. All versions.
    pub member_metadata: Bytes,
    /// `MemberAssignment`. All versions.
    pub member_assignment: Bytes,
}

impl DescribedGroupMember {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 5;
        let mut out = Self::default();
        out.member_id = r.string(flexible)?;
        if version >= 4 { out.group_instance_id = r.nullable_string(flexible, version >= 4)?; }
        out.client_id = r.string(flexible)?;
        out.client_host = r.string(flexible)?;
        out.member_metadata = r.bytes(flexible)?;
        out.member_assignment = r.bytes(flexible)?;
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
        let flexible = version >= 5;
        w.string(flexible, &self.member_id)?;
        if version >= 4 { w.nullable_string(flexible, version >= 4, self.group_instance_id.as_deref())?; }
        w.string(flexible, &self.client_id)?;
        w.string(flexible, &self.client_host)?;
        w.bytes(flexible, &self.member_metadata)?;
        w.bytes(flexible, &self.member_assignment)?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 15;
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    const FLEXIBLE: Option<i16> = Some(5);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
