// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `IncrementalAlterConfigsRequest`, API 44, versions 0-1, flexible 1+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `Resources`. All versions.
    pub resources: Vec<AlterConfigsResource>,
    /// `ValidateOnly`. All versions.
    pub validate_only: bool,
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 1;
        let mut out = Self::default();
        out.resources = r.array(flexible, |r| AlterConfigsResource::read(version, r))?;
        out.validate_only = r.bool()?;
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
        let flexible = version >= 1;
        w.array(flexible, &self.resources, |w, one| one.write(version, w))?;
        w.bool(self.validate_only);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `AlterConfigsResource` in `IncrementalAlterConfigsRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AlterConfigsResource {
    /// `ResourceType`. All versions.
    pub resource_type: i8,
    /// `ResourceName`. All versions.
    pub resource_name: String,
    /// `Configs`. All versions.
    pub configs: Vec<AlterableConfig>,
}

impl AlterConfigsResource {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 1;
        let mut out = Self::default();
        out.resource_type = r.int8()?;
        out.resource_name = r.string(flexible)?;
        out.configs = r.array(flexible, |r| AlterableConfig::read(version, r))?;
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
        let flexible = version >= 1;
        w.int8(self.resource_type);
        w.string(flexible, &self.resource_name)?;
        w.array(flexible, &self.configs, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `AlterableConfig` in `IncrementalAlterConfigsRequest`.
#[derive(Debug, Clone, PartialEq)]
pub struct AlterableConfig {
    /// `Name`. All versions.
    pub name: String,
    /// `ConfigOperation`. All versions.
    pub config_operation: i8,
    /// `Value`. All versions, null everywhere.
    pub value: Option<String>,
}

impl Default for AlterableConfig {
    fn default() -> Self {
        Self {
            name: Default::default(),
            config_operation: Default::default(),
            value: Some(Default::default()),
        }
    }
}

impl AlterableConfig {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 1;
        let mut out = Self::default();
        out.name = r.string(flexible)?;
        out.config_operation = r.int8()?;
        out.value = r.nullable_string(flexible, true)?;
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
        let flexible = version >= 1;
        w.string(flexible, &self.name)?;
        w.int8(self.config_operation);
        w.nullable_string(flexible, true, self.value.as_deref())?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 44;
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE: Option<i16> = Some(1);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `IncrementalAlterConfigsResponse`, API 44, versions 0-1, flexible 1+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `Responses`. All versions.
    pub responses: Vec<AlterConfigsResourceResponse>,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 1;
        let mut out = Self::default();
        out.throttle_time_ms = r.int32()?;
        out.responses = r.array(flexible, |r| AlterConfigsResourceResponse::read(version, r))?;
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
        let flexible = version >= 1;
        w.int32(self.throttle_time_ms);
        w.array(flexible, &self.responses, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `AlterConfigsResourceResponse` in `IncrementalAlterConfigsResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct AlterConfigsResourceResponse {
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `ErrorMessage`. All versions, null everywhere.
    pub error_message: Option<String>,
    /// `ResourceType`. All versions.
    pub resource_type: i8,
    /// `ResourceName`. All versions.
    pub resource_name: String,
}

impl Default for AlterConfigsResourceResponse {
    fn default() -> Self {
        Self {
            error_code: Default::default(),
            error_message: Some(Default::default()),
            resource_type: Default::default(),
            resource_name: Default::default(),
        }
    }
}

impl AlterConfigsResourceResponse {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 1;
        let mut out = Self::default();
        out.error_code = r.int16()?;
        out.error_message = r.nullable_string(flexible, true)?;
        out.resource_type = r.int8()?;
        out.resource_name = r.string(flexible)?;
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
        let flexible = version >= 1;
        w.int16(self.error_code);
        w.nullable_string(flexible, true, self.error_message.as_deref())?;
        w.int8(self.resource_type);
        w.string(flexible, &self.resource_name)?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 44;
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    const FLEXIBLE: Option<i16> = Some(1);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
