// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `DescribeConfigsRequest`, API 32, versions 1-4, flexible 4+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `Resources`. All versions.
    pub resources: Vec<DescribeConfigsResource>,
    /// `IncludeSynonyms`. All versions.
    pub include_synonyms: bool,
    /// `IncludeDocumentation`. Versions 3+.
    pub include_documentation: bool,
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 4;
        let mut out = Self::default();
        out.resources = r.array(flexible, |r| DescribeConfigsResource::read(version, r))?;
        out.include_synonyms = r.bool()?;
        if version >= 3 { out.include_documentation = r.bool()?; }
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
        w.array(flexible, &self.resources, |w, one| one.write(version, w))?;
        w.bool(self.include_synonyms);
        if version >= 3 { w.bool(self.include_documentation); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DescribeConfigsResource` in `DescribeConfigsRequest`.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribeConfigsResource {
    /// `ResourceType`. All versions.
    pub resource_type: i8,
    /// `ResourceName`. All versions.
    pub resource_name: String,
    /// `ConfigurationKeys`. All versions, null everywhere.
    pub configuration_keys: Option<Vec<String>>,
}

impl Default for DescribeConfigsResource {
    fn default() -> Self {
        Self {
            resource_type: Default::default(),
            resource_name: Default::default(),
            configuration_keys: Some(Default::default()),
        }
    }
}

impl DescribeConfigsResource {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 4;
        let mut out = Self::default();
        out.resource_type = r.int8()?;
        out.resource_name = r.string(flexible)?;
        out.configuration_keys = r.nullable_array(flexible, true, |r| r.string(flexible))?;
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
        w.int8(self.resource_type);
        w.string(flexible, &self.resource_name)?;
        w.nullable_array(flexible, true, self.configuration_keys.as_deref(), |w, one| w.string(flexible, one))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 32;
    const VERSIONS: RangeInclusive<i16> = 1..=4;
    const FLEXIBLE: Option<i16> = Some(4);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `DescribeConfigsResponse`, API 32, versions 1-4, flexible 4+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `Results`. All versions.
    pub results: Vec<DescribeConfigsResult>,
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
        out.results = r.array(flexible, |r| DescribeConfigsResult::read(version, r))?;
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
        w.array(flexible, &self.results, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DescribeConfigsResult` in `DescribeConfigsResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribeConfigsResult {
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `ErrorMessage`. All versions, null everywhere.
    pub error_message: Option<String>,
    /// `ResourceType`. All versions.
    pub resource_type: i8,
    /// `ResourceName`. All versions.
    pub resource_name: String,
    /// `Configs`. All versions.
    pub configs: Vec<DescribeConfigsResourceResult>,
}

impl Default for DescribeConfigsResult {
    fn default() -> Self {
        Self {
            error_code: Default::default(),
            error_message: Some(Default::default()),
            resource_type: Default::default(),
            resource_name: Default::default(),
            configs: Default::default(),
        }
    }
}

impl DescribeConfigsResult {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 4;
        let mut out = Self::default();
        out.error_code = r.int16()?;
        out.error_message = r.nullable_string(flexible, true)?;
        out.resource_type = r.int8()?;
        out.resource_name = r.string(flexible)?;
        out.configs = r.array(flexible, |r| DescribeConfigsResourceResult::read(version, r))?;
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
        w.int16(self.error_code);
        w.nullable_string(flexible, true, self.error_message.as_deref())?;
        w.int8(self.resource_type);
        w.string(flexible, &self.resource_name)?;
        w.array(flexible, &self.configs, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DescribeConfigsResourceResult` in `DescribeConfigsResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribeConfigsResourceResult {
    /// `Name`. All versions.
    pub name: String,
    /// `Value`. All versions, null everywhere.
    pub value: Option<String>,
    /// `ReadOnly`. All versions.
    pub read_only: bool,
    /// `ConfigSource`. All versions.
    pub config_source: i8,
    /// `IsSensitive`. All versions.
    pub is_sensitive: bool,
    /// `Synonyms`. All versions.
    pub synonyms: Vec<DescribeConfigsSynonym>,
    /// `ConfigType`. Versions 3+.
    pub config_type: i8,
    /// `Documentation`. Versions 3+, null everywhere.
    pub documentation: Option<String>,
}

impl Default for DescribeConfigsResourceResult {
    fn default() -> Self {
        Self {
            name: Default::default(),
            value: Some(Default::default()),
            read_only: Default::default(),
            config_source: -1,
            is_sensitive: Default::default(),
            synonyms: Default::default(),
            config_type: 0,
            documentation: Some(Default::default()),
        }
    }
}

impl DescribeConfigsResourceResult {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 4;
        let mut out = Self::default();
        out.name = r.string(flexible)?;
        out.value = r.nullable_string(flexible, true)?;
        out.read_only = r.bool()?;
        out.config_source = r.int8()?;
        out.is_sensitive = r.bool()?;
        out.synonyms = r.array(flexible, |r| DescribeConfigsSynonym::read(version, r))?;
        if version >= 3 { out.config_type = r.int8()?; }
        if version >= 3 { out.documentation = r.nullable_string(flexible, true)?; }
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
        w.string(flexible, &self.name)?;
        w.nullable_string(flexible, true, self.value.as_deref())?;
        w.bool(self.read_only);
        w.int8(self.config_source);
        w.bool(self.is_sensitive);
        w.array(flexible, &self.synonyms, |w, one| one.write(version, w))?;
        if version >= 3 { w.int8(self.config_type); }
        if version >= 3 { w.nullable_string(flexible, true, self.documentation.as_deref())?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `DescribeConfigsSynonym` in `DescribeConfigsResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribeConfigsSynonym {
    /// `Name`. All versions.
    pub name: String,
    /// `Value`. All versions, null everywhere.
    pub value: Option<String>,
    /// `Source`. All versions.
    pub source: i8,
}

impl Default for DescribeConfigsSynonym {
    fn default() -> Self {
        Self {
            name: Default::default(),
            value: Some(Default::default()),
            source: Default::default(),
        }
    }
}

impl DescribeConfigsSynonym {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 4;
        let mut out = Self::default();
        out.name = r.string(flexible)?;
        out.value = r.nullable_string(flexible, true)?;
        out.source = r.int8()?;
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
        w.string(flexible, &self.name)?;
        w.nullable_string(flexible, true, self.value.as_deref())?;
        w.int8(self.source);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 32;
    const VERSIONS: RangeInclusive<i16> = 1..=4;
    const FLEXIBLE: Option<i16> = Some(4);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
