// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;
use uuid::Uuid;

/// `MetadataRequest`, API 3, versions 0-13, flexible 9+.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `Topics`. All versions, null in 1+.
    pub topics: Option<Vec<MetadataRequestTopic>>,
    /// `AllowAutoTopicCreation`. Versions 4+.
    pub allow_auto_topic_creation: bool,
    /// `IncludeClusterAuthorizedOperations`. Versions 8-10.
    pub include_cluster_authorized_operations: bool,
    /// `IncludeTopicAuthorizedOperations`. Versions 8+.
    pub include_topic_authorized_operations: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            topics: Some(Default::default()),
            allow_auto_topic_creation: true,
            include_cluster_authorized_operations: Default::default(),
            include_topic_authorized_operations: Default::default(),
        }
    }
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 9;
        let mut out = Self::default();
        out.topics = r.nullable_array(flexible, version >= 1, |r| MetadataRequestTopic::read(version, r))?;
        if version >= 4 { out.allow_auto_topic_creation = r.bool()?; }
        if (8..=10).contains(&version) { out.include_cluster_authorized_operations = r.bool()?; }
        if version >= 8 { out.include_topic_authorized_operations = r.bool()?; }
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
        let flexible = version >= 9;
        w.nullable_array(flexible, version >= 1, self.topics.as_deref(), |w, one| one.write(version, w))?;
        if version >= 4 { w.bool(self.allow_auto_topic_creation); }
        if (8..=10).contains(&version) { w.bool(self.include_cluster_authorized_operations); }
        if version >= 8 { w.bool(self.include_topic_authorized_operations); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `MetadataRequestTopic` in `MetadataRequest`.
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataRequestTopic {
    /// `TopicId`. Versions 10+.
    pub topic_id: Uuid,
    /// `Name`. All versions, null in 10+.
    pub name: Option<String>,
}

impl Default for MetadataRequestTopic {
    fn default() -> Self {
        Self {
            topic_id: Default::default(),
            name: Some(Default::default()),
        }
    }
}

impl MetadataRequestTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 9;
        let mut out = Self::default();
        if version >= 10 { out.topic_id = r.uuid()?; }
        out.name = r.nullable_string(flexible, version >= 10)?;
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
        let flexible = version >= 9;
        if version >= 10 { w.uuid(self.topic_id); }
        w.nullable_string(flexible, version >= 10, self.name.as_deref())?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 3;
    const VERSIONS: RangeInclusive<i16> = 0..=13;
    const FLEXIBLE: Option<i16> = Some(9);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `MetadataResponse`, API 3, versions 0-13, flexible 9+.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// `ThrottleTimeMs`. Versions 3+.
    pub throttle_time_ms: i32,
    /// `Brokers`. All versions.
    pub brokers: Vec<MetadataResponseBroker>,
    /// `ClusterId`. Versions 2+, null in 2+.
    pub cluster_id: Option<String>,
    /// `ControllerId`. Versions 1+.
    pub controller_id: i32,
    /// `Topics`. All versions.
    pub topics: Vec<MetadataResponseTopic>,
    /// `ClusterAuthorizedOperations`. Versions 8-10.
    pub cluster_authorized_operations: i32,
    /// `ErrorCode`. Versions 13+.
    pub error_code: i16,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            throttle_time_ms: Default::default(),
            brokers: Default::default(),
            cluster_id: None,
            controller_id: -1,
            topics: Default::default(),
            cluster_authorized_operations: i32::MIN,
            error_code: Default::default(),
        }
    }
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 9;
        let mut out = Self::default();
        if version >= 3 { out.throttle_time_ms = r.int32()?; }
        out.brokers = r.array(flexible, |r| MetadataResponseBroker::read(version, r))?;
        if version >= 2 { out.cluster_id = r.nullable_string(flexible, version >= 2)?; }
        if version >= 1 { out.controller_id = r.int32()?; }
        out.topics = r.array(flexible, |r| MetadataResponseTopic::read(version, r))?;
        if (8..=10).contains(&version) { out.cluster_authorized_operations = r.int32()?; }
        if version >= 13 { out.error_code = r.int16()?; }
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
        let flexible = version >= 9;
        if version >= 3 { w.int32(self.throttle_time_ms); }
        w.array(flexible, &self.brokers, |w, one| one.write(version, w))?;
        if version >= 2 { w.nullable_string(flexible, version >= 2, self.cluster_id.as_deref())?; }
        if version >= 1 { w.int32(self.controller_id); }
        w.array(flexible, &self.topics, |w, one| one.write(version, w))?;
        if (8..=10).contains(&version) { w.int32(self.cluster_authorized_operations); }
        if version >= 13 { w.int16(self.error_code); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `MetadataResponseBroker` in `MetadataResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetadataResponseBroker {
    /// `NodeId`. All versions.
    pub node_id: i32,
    /// `Host`. All versions.
    pub host: String,
    /// `Port`. All versions.
    pub port: i32,
    /// `Rack`. Versions 1+, null in 1+.
    pub rack: Option<String>,
}

impl MetadataResponseBroker {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 9;
        let mut out = Self::default();
        out.node_id = r.int32()?;
        out.host = r.string(flexible)?;
        out.port = r.int32()?;
        if version >= 1 { out.rack = r.nullable_string(flexible, version >= 1)?; }
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
        let flexible = version >= 9;
        w.int32(self.node_id);
        w.string(flexible, &self.host)?;
        w.int32(self.port);
        if version >= 1 { w.nullable_string(flexible, version >= 1, self.rack.as_deref())?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `MetadataResponseTopic` in `MetadataResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataResponseTopic {
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `Name`. All versions, null in 12+.
    pub name: Option<String>,
    /// `TopicId`. Versions 10+.
    pub topic_id: Uuid,
    /// `IsInternal`. Versions 1+.
    pub is_internal: bool,
    /// `Partitions`. All versions.
    pub partitions: Vec<MetadataResponsePartition>,
    /// `TopicAuthorizedOperations`. Versions 8+.
    pub topic_authorized_operations: i32,
}

impl Default for MetadataResponseTopic {
    fn default() -> Self {
        Self {
            error_code: Default::default(),
            name: Some(Default::default()),
            topic_id: Default::default(),
            is_internal: false,
            partitions: Default::default(),
            topic_authorized_operations: i32::MIN,
        }
    }
}

impl MetadataResponseTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 9;
        let mut out = Self::default();
        out.error_code = r.int16()?;
        out.name = r.nullable_string(flexible, version >= 12)?;
        if version >= 10 { out.topic_id = r.uuid()?; }
        if version >= 1 { out.is_internal = r.bool()?; }
        out.partitions = r.array(flexible, |r| MetadataResponsePartition::read(version, r))?;
        if version >= 8 { out.topic_authorized_operations = r.int32()?; }
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
        let flexible = version >= 9;
        w.int16(self.error_code);
        w.nullable_string(flexible, version >= 12, self.name.as_deref())?;
        if version >= 10 { w.uuid(self.topic_id); }
        if version >= 1 { w.bool(self.is_internal); }
        w.array(flexible, &self.partitions, |w, one| one.write(version, w))?;
        if version >= 8 { w.int32(self.topic_authorized_operations); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `MetadataResponsePartition` in `MetadataResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataResponsePartition {
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `PartitionIndex`. All versions.
    pub partition_index: i32,
    /// `LeaderId`. All versions.
    pub leader_id: i32,
    /// `LeaderEpoch`. Versions 7+.
    pub leader_epoch: i32,
    /// `ReplicaNodes`. All versions.
    pub replica_nodes: Vec<i32>,
    /// `IsrNodes`. All versions.
    pub isr_nodes: Vec<i32>,
    /// `OfflineReplicas`. Versions 5+.
    pub offline_replicas: Vec<i32>,
}

impl Default for MetadataResponsePartition {
    fn default() -> Self {
        Self {
            error_code: Default::default(),
            partition_index: Default::default(),
            leader_id: Default::default(),
            leader_epoch: -1,
            replica_nodes: Default::default(),
            isr_nodes: Default::default(),
            offline_replicas: Default::default(),
        }
    }
}

impl MetadataResponsePartition {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 9;
        let mut out = Self::default();
        out.error_code = r.int16()?;
        out.partition_index = r.int32()?;
        out.leader_id = r.int32()?;
        if version >= 7 { out.leader_epoch = r.int32()?; }
        out.replica_nodes = r.array(flexible, Reader::int32)?;
        out.isr_nodes = r.array(flexible, Reader::int32)?;
        if version >= 5 { out.offline_replicas = r.array(flexible, Reader::int32)?; }
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
        let flexible = version >= 9;
        w.int16(self.error_code);
        w.int32(self.partition_index);
        w.int32(self.leader_id);
        if version >= 7 { w.int32(self.leader_epoch); }
        w.array(flexible, &self.replica_nodes, |w, one| { w.int32(*one); Ok(()) })?;
        w.array(flexible, &self.isr_nodes, |w, one| { w.int32(*one); Ok(()) })?;
        if version >= 5 { w.array(flexible, &self.offline_replicas, |w, one| { w.int32(*one); Ok(()) })?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 3;
    const VERSIONS: RangeInclusive<i16> = 0..=13;
    const FLEXIBLE: Option<i16> = Some(9);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
