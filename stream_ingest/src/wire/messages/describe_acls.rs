// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `DescribeAclsRequest`, API 29, versions 1-3, flexible 2+.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `ResourceTypeFilter`. All versions.
    pub resource_type_filter: i8,
    /// `ResourceNameFilter`. All versions, null everywhere.
    pub resource_name_filter: Option<String>,
    /// `PatternTypeFilter`. All versions.
    pub pattern_type_filter: i8,
    /// `PrincipalFilter`. All versions, null everywhere.
    pub principal_filter: Option<String>,
    /// `HostFilter`. All versions, null everywhere.
    pub host_filter: Option<String>,
    /// `Operation`. All versions.
    pub operation: i8,
    /// `PermissionType`. All versions.
    pub permission_type: i8,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            resource_type_filter: Default::default(),
            resource_name_filter: Some(Default::default()),
            pattern_type_filter: 3,
            principal_filter: Some(Default::default()),
            host_filter: Some(Default::default()),
            operation: Default::default(),
            permission_type: Default::default(),
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
        out.resource_type_filter = r.int8()?;
        out.resource_name_filter = r.nullable_string(flexible, true)?;
        out.pattern_type_filter = r.int8()?;
        out.principal_filter = r.nullable_string(flexible, true)?;
        out.host_filter = r.nullable_string(flexible, true)?;
        out.operation = r.int8()?;
        out.permission_type = r.int8()?;
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
        w.int8(self.resource_type_filter);
        w.nullable_string(flexible, true, self.resource_name_filter.as_deref())?;
        w.int8(self.pattern_type_filter);
        w.nullable_string(flexible, true, self.principal_filter.as_deref())?;
        w.nullable_string(flexible, true, self.host_filter.as_deref())?;
        w.int8(self.operation);
        w.int8(self.permission_type);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 29;
    const VERSIONS: RangeInclusive<i16> = 1..=3;
    const FLEXIBLE: Option<i16> = Some(2);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `DescribeAclsResponse`, API 29, versions 1-3, flexible 2+.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `ErrorMessage`. All versions, null everywhere.
    pub error_message: Option<String>,
    /// `Resources`. All versions.
    pub resources: Vec<DescribeAclsResource>,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            throttle_time_ms: Default::default(),
            error_code: Default::default(),
            error_message: Some(Default::default()),
            resources: Default::default(),
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
        out.error_message = r.nullable_string(flexible, true)?;
        out.resources = r.array(flexible, |r| DescribeAclsResource::read(version, r))?;
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
        w.nullable_string(flexible, true, self.error_message.as_deref())?;
        w.array(flexible, &self.resources, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DescribeAclsResource` in `DescribeAclsResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribeAclsResource {
    /// `ResourceType`. All versions.
    pub resource_type: i8,
    /// `ResourceName`. All versions.
    pub resource_name: String,
    /// `PatternType`. All versions.
    pub pattern_type: i8,
    /// `Acls`. All versions.
    pub acls: Vec<AclDescription>,
}

impl Default for DescribeAclsResource {
    fn default() -> Self {
        Self {
            resource_type: Default::default(),
            resource_name: Default::default(),
            pattern_type: 3,
            acls: Default::default(),
        }
    }
}

impl DescribeAclsResource {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 2;
        let mut out = Self::default();
        out.resource_type = r.int8()?;
        out.resource_name = r.string(flexible)?;
        out.pattern_type = r.int8()?;
        out.acls = r.array(flexible, |r| AclDescription::read(version, r))?;
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
        w.int8(self.resource_type);
        w.string(flexible, &self.resource_name)?;
        w.int8(self.pattern_type);
        w.array(flexible, &self.acls, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `AclDescription` in `DescribeAclsResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AclDescription {
    /// `Principal`. All versions.
    pub principal: String,
    /// `Host`. All versions.
    pub host: String,
    /// `Operation`. All versions.
    pub operation: i8,
    /// `PermissionType`. All versions.
    pub permission_type: i8,
}

impl AclDescription {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 2;
        let mut out = Self::default();
        out.principal = r.string(flexible)?;
        out.host = r.string(flexible)?;
        out.operation = r.int8()?;
        out.permission_type = r.int8()?;
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
        w.string(flexible, &self.principal)?;
        w.string(flexible, &self.host)?;
        w.int8(self.operation);
        w.int8(self.permission_type);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 29;
    const VERSIONS: RangeInclusive<i16> = 1..=3;
    const FLEXIBLE: Option<i16> = Some(2);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
