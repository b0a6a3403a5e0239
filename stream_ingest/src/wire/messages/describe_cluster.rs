// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `DescribeClusterRequest`, API 60, versions 0-2, flexible 0+.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `IncludeClusterAuthorizedOperations`. All versions.
    pub include_cluster_authorized_operations: bool,
    /// `EndpointType`. Versions 1+.
    pub endpoint_type: i8,
    /// `IncludeFencedBrokers`. Versions 2+.
    pub include_fenced_brokers: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            include_cluster_authorized_operations: Default::default(),
            endpoint_type: 1,
            include_fenced_brokers: Default::default(),
        }
    }
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.include_cluster_authorized_operations = r.bool()?;
        if version >= 1 { out.endpoint_type = r.int8()?; }
        if version >= 2 { out.include_fenced_brokers = r.bool()?; }
        r.tags(|_, _| Ok(false))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        w.bool(self.include_cluster_authorized_operations);
        if version >= 1 { w.int8(self.endpoint_type); }
        if version >= 2 { w.bool(self.include_fenced_brokers); }
        w.tags(Tags::default())?;
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 60;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE: Option<i16> = Some(0);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `DescribeClusterResponse`, API 60, versions 0-2, flexible 0+.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `ErrorMessage`. All versions, null everywhere.
    pub error_message: Option<String>,
    /// `EndpointType`. Versions 1+.
    pub endpoint_type: i8,
    /// `ClusterId`. All versions.
    pub cluster_id: String,
    /// `ControllerId`. All versions.
    pub controller_id: i32,
    /// `Brokers`. All versions.
    pub brokers: Vec<DescribeClusterBroker>,
    /// `ClusterAuthorizedOperations`. All versions.
    pub cluster_authorized_operations: i32,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            throttle_time_ms: Default::default(),
            error_code: Default::default(),
            error_message: None,
            endpoint_type: 1,
            cluster_id: Default::default(),
            controller_id: -1,
            brokers: Default::default(),
            cluster_authorized_operations: i32::MIN,
        }
    }
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.throttle_time_ms = r.int32()?;
        out.error_code = r.int16()?;
        out.error_message = r.nullable_string(true, true)?;
        if version >= 1 { out.endpoint_type = r.int8()?; }
        out.cluster_id = r.string(true)?;
        out.controller_id = r.int32()?;
        out.brokers = r.array(true, |r| DescribeClusterBroker::read(version, r))?;
        out.cluster_authorized_operations = r.int32()?;
        r.tags(|_, _| Ok(false))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        w.int32(self.throttle_time_ms);
        w.int16(self.error_code);
        w.nullable_string(true, true, self.error_message.as_deref())?;
        if version >= 1 { w.int8(self.endpoint_type); }
        w.string(true, &self.cluster_id)?;
        w.int32(self.controller_id);
        w.array(true, &self.brokers, |w, one| one.write(version, w))?;
        w.int32(self.cluster_authorized_operations);
        w.tags(Tags::default())?;
        Ok(())
    }
}

/// `DescribeClusterBroker` in `DescribeClusterResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DescribeClusterBroker {
    /// `BrokerId`. All versions.
    pub broker_id: i32,
    /// `Host`. All versions.
    pub host: String,
    /// `Port`. All versions.
    pub port: i32,
    /// `Rack`. All versions, null everywhere.
    pub rack: Option<String>,
    /// `IsFenced`. Versions 2+.
    pub is_fenced: bool,
}

impl DescribeClusterBroker {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.broker_id = r.int32()?;
        out.host = r.string(true)?;
        out.port = r.int32()?;
        out.rack = r.nullable_string(true, true)?;
        if version >= 2 { out.is_fenced = r.bool()?; }
        r.tags(|_, _| Ok(false))?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        w.int32(self.broker_id);
        w.string(true, &self.host)?;
        w.int32(self.port);
        w.nullable_string(true, true, self.rack.as_deref())?;
        if version >= 2 { w.bool(self.is_fenced); }
        w.tags(Tags::default())?;
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 60;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE: Option<i16> = Some(0);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
