// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;
use uuid::Uuid;

/// `CreateTopicsRequest`, API 19, versions 2-7, flexible 5+.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `Topics`. All versions.
    pub topics: Vec<CreatableTopic>,
    /// `timeoutMs`. All versions.
    pub timeout_ms: i32,
    /// `validateOnly`. All versions.
    pub validate_only: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            topics: Default::default(),
            timeout_ms: 60000,
            validate_only: false,
        }
    }
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 5;
        let mut out = Self::default();
        out.topics = r.array(flexible, |r| CreatableTopic::read(version, r))?;
        out.timeout_ms = r.int32()?;
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
        let flexible = version >= 5;
        w.array(flexible, &self.topics, |w, one| one.write(version, w))?;
        w.int32(self.timeout_ms);
        w.bool(self.validate_only);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `CreatableTopic` in `CreateTopicsRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CreatableTopic {
    /// `Name`. All versions.
    pub name: String,
    /// `NumPartitions`. All versions.
    pub num_partitions: i32,
    /// `ReplicationFactor`. All versions.
    pub replication_factor: i16,
    /// `Assignments`. All versions.
    pub assignments: Vec<CreatableReplicaAssignment>,
    /// `Configs`. All versions.
    pub configs: Vec<CreatableTopicConfig>,
}

impl CreatableTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 5;
        let mut out = Self::default();
        out.name = r.string(flexible)?;
        out.num_partitions = r.int32()?;
        out.replication_factor = r.int16()?;
        out.assignments = r.array(flexible, |r| CreatableReplicaAssignment::read(version, r))?;
        out.configs = r.array(flexible, |r| CreatableTopicConfig::read(version, r))?;
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
        w.string(flexible, &self.name)?;
        w.int32(self.num_partitions);
        w.int16(self.replication_factor);
        w.array(flexible, &self.assignments, |w, one| one.write(version, w))?;
        w.array(flexible, &self.configs, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `CreatableReplicaAssignment` in `CreateTopicsRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CreatableReplicaAssignment {
    /// `PartitionIndex`. All versions.
    pub partition_index: i32,
    /// `BrokerIds`. All versions.
    pub broker_ids: Vec<i32>,
}

impl CreatableReplicaAssignment {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 5;
        let mut out = Self::default();
        out.partition_index = r.int32()?;
        out.broker_ids = r.array(flexible, Reader::int32)?;
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
        w.int32(self.partition_index);
        w.array(flexible, &self.broker_ids, |w, one| { w.int32(*one); Ok(()) })?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `CreatableTopicConfig` in `CreateTopicsRequest`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreatableTopicConfig {
    /// `Name`. All versions.
    pub name: String,
    /// `Value`. All versions, null everywhere.
    pub value: Option<String>,
}

impl Default for CreatableTopicConfig {
    fn default() -> Self {
        Self {
            name: Default::default(),
            value: Some(Default::default()),
        }
    }
}

impl CreatableTopicConfig {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 5;
        let mut out = Self::default();
        out.name = r.string(flexible)?;
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
        let flexible = version >= 5;
        w.string(flexible, &self.name)?;
        w.nullable_string(flexible, true, self.value.as_deref())?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 19;
    const VERSIONS: RangeInclusive<i16> = 2..=7;
    const FLEXIBLE: Option<i16> = Some(5);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `CreateTopicsResponse`, API 19, versions 2-7, flexible 5+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `Topics`. All versions.
    pub topics: Vec<CreatableTopicResult>,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 5;
        let mut out = Self::default();
        out.throttle_time_ms = r.int32()?;
        out.topics = r.array(flexible, |r| CreatableTopicResult::read(version, r))?;
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
        w.int32(self.throttle_time_ms);
        w.array(flexible, &self.topics, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `CreatableTopicResult` in `CreateTopicsResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreatableTopicResult {
    /// `Name`. All versions.
    pub name: String,
    /// `TopicId`. Versions 7+.
    pub topic_id: Uuid,
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `ErrorMessage`. All versions, null everywhere.
    pub error_message: Option<String>,
    /// `TopicConfigErrorCode`. Versions 5+, tag 0.
    pub topic_config_error_code: i16,
    /// `NumPartitions`. Versions 5+.
    pub num_partitions: i32,
    /// `ReplicationFactor`. Versions 5+.
    pub replication_factor: i16,
    /// `Configs`. Versions 5+, null in 5+.
    pub configs: Option<Vec<CreatableTopicConfigs>>,
}

impl Default for CreatableTopicResult {
    fn default() -> Self {
        Self {
            name: Default::default(),
            topic_id: Default::default(),
            error_code: Default::default(),
            error_message: Some(Default::default()),
            topic_config_error_code: Default::default(),
            num_partitions: -1,
            replication_factor: -1,
            configs: Some(Default::default()),
        }
    }
}

impl CreatableTopicResult {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 5;
        let mut out = Self::default();
        out.name = r.string(flexible)?;
        if version >= 7 { out.topic_id = r.uuid()?; }
        out.error_code = r.int16()?;
        out.error_message = r.nullable_string(flexible, true)?;
        if version >= 5 { out.num_partitions = r.int32()?; }
        if version >= 5 { out.replication_factor = r.int16()?; }
        if version >= 5 { out.configs = r.nullable_array(flexible, version >= 5, |r| CreatableTopicConfigs::read(version, r))?; }
        if flexible {
            r.tags(|tag, r| {
                match tag {
                    0 => out.topic_config_error_code = r.int16()?,
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
        let flexible = version >= 5;
        w.string(flexible, &self.name)?;
        if version >= 7 { w.uuid(self.topic_id); }
        w.int16(self.error_code);
        w.nullable_string(flexible, true, self.error_message.as_deref())?;
        if version >= 5 { w.int32(self.num_partitions); }
        if version >= 5 { w.int16(self.replication_factor); }
        if version >= 5 { w.nullable_array(flexible, version >= 5, self.configs.as_deref(), |w, one| one.write(version, w))?; }
        if flexible {
            let mut tags = Tags::default();
            if self.topic_config_error_code != 0 { tags.push(0, |w| { w.int16(self.topic_config_error_code); Ok(()) })?; }
            w.tags(tags)?;
        }
        Ok(())
    }
}

/// `CreatableTopicConfigs` in `CreateTopicsResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreatableTopicConfigs {
    /// `Name`. Versions 5+.
    pub name: String,
    /// `Value`. Versions 5+, null in 5+.
    pub value: Option<String>,
    /// `ReadOnly`. Versions 5+.
    pub read_only: bool,
    /// `ConfigSource`. Versions 5+.
    pub config_source: i8,
    /// `IsSensitive`. Versions 5+.
    pub is_sensitive: bool,
}

impl Default for CreatableTopicConfigs {
    fn default() -> Self {
        Self {
            name: Default::default(),
            value: Some(Default::default()),
            read_only: Default::default(),
            config_source: -1,
            is_sensitive: Default::default(),
        }
    }
}

impl CreatableTopicConfigs {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 5;
        let mut out = Self::default();
        if version >= 5 { out.name = r.string(flexible)?; }
        if version >= 5 { out.value = r.nullable_string(flexible, version >= 5)?; }
        if version >= 5 { out.read_only = r.bool()?; }
        if version >= 5 { out.config_source = r.int8()?; }
        if version >= 5 { out.is_sensitive = r.bool()?; }
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
        if version >= 5 { w.string(flexible, &self.name)?; }
        if version >= 5 { w.nullable_string(flexible, version >= 5, self.value.as_deref())?; }
        if version >= 5 { w.bool(self.read_only); }
        if version >= 5 { w.int8(self.config_source); }
        if version >= 5 { w.bool(self.is_sensitive); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 19;
    const VERSIONS: RangeInclusive<i16> = 2..=7;
    const FLEXIBLE: Option<i16> = Some(5);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
