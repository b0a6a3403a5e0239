// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `DeleteAclsRequest`, API 31, versions 1-3, flexible 2+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `Filters`. All versions.
    pub filters: Vec<DeleteAclsFilter>,
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 2;
        let mut out = Self::default();
        out.filters = r.array(flexible, |r| DeleteAclsFilter::read(version, r))?;
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
        w.array(flexible, &self.filters, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DeleteAclsFilter` in `DeleteAclsRequest`.
#[derive(Debug, Clone, PartialEq)]
pub struct DeleteAclsFilter {
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

impl Default for DeleteAclsFilter {
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

impl DeleteAclsFilter {
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
    const KEY: i16 = 31;
    const VERSIONS: RangeInclusive<i16> = 1..=3;
    const FLEXIBLE: Option<i16> = Some(2);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `DeleteAclsResponse`, API 31, versions 1-3, flexible 2+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `FilterResults`. All versions.
    pub filter_results: Vec<DeleteAclsFilterResult>,
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
        out.filter_results = r.array(flexible, |r| DeleteAclsFilterResult::read(version, r))?;
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
        w.array(flexible, &self.filter_results, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DeleteAclsFilterResult` in `DeleteAclsResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct DeleteAclsFilterResult {
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `ErrorMessage`. All versions, null everywhere.
    pub error_message: Option<String>,
    /// `MatchingAcls`. All versions.
    pub matching_acls: Vec<DeleteAclsMatchingAcl>,
}

impl Default for DeleteAclsFilterResult {
    fn default() -> Self {
        Self {
            error_code: Default::default(),
            error_message: Some(Default::default()),
            matching_acls: Default::default(),
        }
    }
}

impl DeleteAclsFilterResult {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 2;
        let mut out = Self::default();
        out.error_code = r.int16()?;
        out.error_message = r.nullable_string(flexible, true)?;
        out.matching_acls = r.array(flexible, |r| DeleteAclsMatchingAcl::read(version, r))?;
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
        w.array(flexible, &self.matching_acls, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DeleteAclsMatchingAcl` in `DeleteAclsResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct DeleteAclsMatchingAcl {
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `ErrorMessage`. All versions, null everywhere.
    pub error_message: Option<String>,
    /// `ResourceType`. All versions.
    pub resource_type: i8,
    /// `ResourceName`. All versions.
    pub resource_name: String,
    /// `PatternType`. All versions.
    pub pattern_type: i8,
    /// `Principal`. All versions.
    pub principal: String,
    /// `Host`. All versions.
    pub host: String,
    /// `Operation`. All versions.
    pub operation: i8,
    /// `PermissionType`. All versions.
    pub permission_type: i8,
}

impl Default for DeleteAclsMatchingAcl {
    fn default() -> Self {
        Self {
            error_code: Default::default(),
            error_message: Some(Default::default()),
            resource_type: Default::default(),
            resource_name: Default::default(),
            pattern_type: 3,
            principal: Default::default(),
            host: Default::default(),
            operation: Default::default(),
            permission_type: Default::default(),
        }
    }
}

impl DeleteAclsMatchingAcl {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 2;
        let mut out = Self::default();
        out.error_code = r.int16()?;
        out.error_message = r.nullable_string(flexible, true)?;
        out.resource_type = r.int8()?;
        out.resource_name = r.string(flexible)?;
        out.pattern_type = r.int8()?;
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
        w.int16(self.error_code);
        w.nullable_string(flexible, true, self.error_message.as_deref())?;
        w.int8(self.resource_type);
        w.string(flexible, &self.resource_name)?;
        w.int8(self.pattern_type);
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
    const KEY: i16 = 31;
    const VERSIONS: RangeInclusive<i16> = 1..=3;
    const FLEXIBLE: Option<i16> = Some(2);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
