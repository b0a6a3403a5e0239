// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `ApiVersionsRequest`, API 18, versions 0-4, flexible 3+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `ClientSoftwareName`. Versions 3+.
    pub client_software_name: String,
    /// `ClientSoftwareVersion`. Versions 3+.
    pub client_software_version: String,
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        if version >= 3 { out.client_software_name = r.string(flexible)?; }
        if version >= 3 { out.client_software_version = r.string(flexible)?; }
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
        if version >= 3 { w.string(flexible, &self.client_software_name)?; }
        if version >= 3 { w.string(flexible, &self.client_software_version)?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 18;
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    const FLEXIBLE: Option<i16> = Some(3);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `ApiVersionsResponse`, API 18, versions 0-4, flexible 3+.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `ApiKeys`. All versions.
    pub api_keys: Vec<ApiVersion>,
    /// `ThrottleTimeMs`. Versions 1+.
    pub throttle_time_ms: i32,
    /// `SupportedFeatures`. Versions 3+, tag 0.
    pub supported_features: Vec<SupportedFeatureKey>,
    /// `FinalizedFeaturesEpoch`. Versions 3+, tag 1.
    pub finalized_features_epoch: i64,
    /// `FinalizedFeatures`. Versions 3+, tag 2.
    pub finalized_features: Vec<FinalizedFeatureKey>,
    /// `ZkMigrationReady`. Versions 3+, tag 3.
    pub zk_migration_ready: bool,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            error_code: Default::default(),
            api_keys: Default::default(),
            throttle_time_ms: Default::default(),
            supported_features: Default::default(),
            finalized_features_epoch: -1,
            finalized_features: Default::default(),
            zk_migration_ready: false,
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
        out.error_code = r.int16()?;
        out.api_keys = r.array(flexible, |r| ApiVersion::read(version, r))?;
        if version >= 1 { out.throttle_time_ms = r.int32()?; }
        if flexible {
            r.tags(|tag, r| {
                match tag {
                    0 => out.supported_features = r.array(true, |r| SupportedFeatureKey::read(version, r))?,
                    1 => out.finalized_features_epoch = r.int64()?,
                    2 => out.finalized_features = r.array(true, |r| FinalizedFeatureKey::read(version, r))?,
                    3 => out.zk_migration_ready = r.bool()?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
        }
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        let flexible = version >= 3;
        w.int16(self.error_code);
        w.array(flexible, &self.api_keys, |w, one| one.write(version, w))?;
        if version >= 1 { w.int32(self.throttle_time_ms); }
        if flexible {
            let mut tags = Tags::default();
            if !self.supported_features.is_empty() { tags.push(0, |w| { w.array(true, &self.supported_features, |w, one| one.write(version, w))?; Ok(()) })?; }
            if self.finalized_features_epoch != -1 { tags.push(1, |w| { w.int64(self.finalized_features_epoch); Ok(()) })?; }
            if !self.finalized_features.is_empty() { tags.push(2, |w| { w.array(true, &self.finalized_features, |w, one| one.write(version, w))?; Ok(()) })?; }
            if self.zk_migration_ready { tags.push(3, |w| { w.bool(self.zk_migration_ready); Ok(()) })?; }
            w.tags(tags)?;
        }
        Ok(())
    }
}

/// `ApiVersion` in `ApiVersionsResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ApiVersion {
    /// `ApiKey`. All versions.
    pub api_key: i16,
    /// `MinVersion`. All versions.
    pub min_version: i16,
    /// `MaxVersion`. All versions.
    pub max_version: i16,
}

impl ApiVersion {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        out.api_key = r.int16()?;
        out.min_version = r.int16()?;
        out.max_version = r.int16()?;
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
        w.int16(self.api_key);
        w.int16(self.min_version);
        w.int16(self.max_version);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `SupportedFeatureKey` in `ApiVersionsResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SupportedFeatureKey {
    /// `Name`. Versions 3+.
    pub name: String,
    /// `MinVersion`. Versions 3+.
    pub min_version: i16,
    /// `MaxVersion`. Versions 3+.
    pub max_version: i16,
}

impl SupportedFeatureKey {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        if version >= 3 { out.name = r.string(flexible)?; }
        if version >= 3 { out.min_version = r.int16()?; }
        if version >= 3 { out.max_version = r.int16()?; }
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
        if version >= 3 { w.string(flexible, &self.name)?; }
        if version >= 3 { w.int16(self.min_version); }
        if version >= 3 { w.int16(self.max_version); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `FinalizedFeatureKey` in `ApiVersionsResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FinalizedFeatureKey {
    /// `Name`. Versions 3+.
    pub name: String,
    /// `MaxVersionLevel`. Versions 3+.
    pub max_version_level: i16,
    /// `MinVersionLevel`. Versions 3+.
    pub min_version_level: i16,
}

impl FinalizedFeatureKey {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        if version >= 3 { out.name = r.string(flexible)?; }
        if version >= 3 { out.max_version_level = r.int16()?; }
        if version >= 3 { out.min_version_level = r.int16()?; }
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
        if version >= 3 { w.string(flexible, &self.name)?; }
        if version >= 3 { w.int16(self.max_version_level); }
        if version >= 3 { w.int16(self.min_version_level); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 18;
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    const FLEXIBLE: Option<i16> = Some(3);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
