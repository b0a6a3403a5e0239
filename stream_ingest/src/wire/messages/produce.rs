// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use bytes::Bytes;
use std::ops::RangeInclusive;
use uuid::Uuid;

/// `ProduceRequest`, API 0, versions 3-13, flexible 9+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `TransactionalId`. All versions, null everywhere.
    pub transactional_id: Option<String>,
    /// `Acks`. All versions.
    pub acks: i16,
    /// `TimeoutMs`. All versions.
    pub timeout_ms: i32,
    /// `TopicData`. All versions.
    pub topic_data: Vec<TopicProduceData>,
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 9;
        let mut out = Self::default();
        out.transactional_id = r.nullable_string(flexible, true)?;
        out.acks = r.int16()?;
        out.timeout_ms = r.int32()?;
        out.topic_data = r.array(flexible, |r| TopicProduceData::read(version, r))?;
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
        w.nullable_string(flexible, true, self.transactional_id.as_deref())?;
        w.int16(self.acks);
        w.int32(self.timeout_ms);
        w.array(flexible, &self.topic_data, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `TopicProduceData` in `ProduceRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TopicProduceData {
    /// `Name`. Versions 0-12.
    pub name: String,
    /// `TopicId`. Versions 13+.
    pub topic_id: Uuid,
    /// `PartitionData`. All versions.
    pub partition_data: Vec<PartitionProduceData>,
}

impl TopicProduceData {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 9;
        let mut out = Self::default();
        if version <= 12 { out.name = r.string(flexible)?; }
        if version >= 13 { out.topic_id = r.uuid()?; }
        out.partition_data = r.array(flexible, |r| PartitionProduceData::read(version, r))?;
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
        if version <= 12 { w.string(flexible, &self.name)?; }
        if version >= 13 { w.uuid(self.topic_id); }
        w.array(flexible, &self.partition_data, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `PartitionProduceData` in `ProduceRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PartitionProduceData {
    /// `Index`. All versions.
    pub index: i32,
    /// `Records`. All versions, null everywhere.
    pub records: Option<Bytes>,
}

impl PartitionProduceData {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 9;
        let mut out = Self::default();
        out.index = r.int32()?;
        out.records = r.nullable_bytes(flexible, true)?;
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
        w.int32(self.index);
        w.nullable_bytes(flexible, true, self.records.as_ref())?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 0;
    const VERSIONS: RangeInclusive<i16> = 3..=13;
    const FLEXIBLE: Option<i16> = Some(9);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `ProduceResponse`, API 0, versions 3-13, flexible 9+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `Responses`. All versions.
    pub responses: Vec<TopicProduceResponse>,
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `NodeEndpoints`. Versions 10+, tag 0.
    pub node_endpoints: Vec<NodeEndpoint>,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 9;
        let mut out = Self::default();
        out.responses = r.array(flexible, |r| TopicProduceResponse::read(version, r))?;
        out.throttle_time_ms = r.int32()?;
        if flexible {
            r.tags(|tag, r| {
                match tag {
                    0 if version >= 10 => out.node_endpoints = r.array(true, |r| NodeEndpoint::read(version, r))?,
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
        let flexible = version >= 9;
        w.array(flexible, &self.responses, |w, one| one.write(version, w))?;
        w.int32(self.throttle_time_ms);
        if flexible {
            let mut tags = Tags::default();
            if version >= 10 && !self.node_endpoints.is_empty() { tags.push(0, |w| { w.array(true, &self.node_endpoints, |w, one| one.write(version, w))?; Ok(()) })?; }
            w.tags(tags)?;
        }
        Ok(())
    }
}

/// `TopicProduceResponse` in `ProduceResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TopicProduceResponse {
    /// `Name`. Versions 0-12.
    pub name: String,
    /// `TopicId`. Versions 13+.
    pub topic_id: Uuid,
    /// `PartitionResponses`. All versions.
    pub partition_responses: Vec<PartitionProduceResponse>,
}

impl TopicProduceResponse {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 9;
        let mut out = Self::default();
        if version <= 12 { out.name = r.string(flexible)?; }
        if version >= 13 { out.topic_id = r.uuid()?; }
        out.partition_responses = r.array(flexible, |r| PartitionProduceResponse::read(version, r))?;
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
        if version <= 12 { w.string(flexible, &self.name)?; }
        if version >= 13 { w.uuid(self.topic_id); }
        w.array(flexible, &self.partition_responses, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `PartitionProduceResponse` in `ProduceResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionProduceResponse {
    /// `Index`. All versions.
    pub index: i32,
    /// `ErrorCode`. All versions.
    pub error_code: i16,
    /// `BaseOffset`. All versions.
    pub base_offset: i64,
    /// `LogAppendTimeMs`. All versions.
    pub log_append_time_ms: i64,
    /// `LogStartOffset`. Versions 5+.
    pub log_start_offset: i64,
    /// `RecordErrors`. Versions 8+.
    pub record_errors: Vec<BatchIndexAndErrorMessage>,
    /// `ErrorMessage`. Versions 8+, null in 8+.
    pub error_message: Option<String>,
    /// `CurrentLeader`. Versions 10+, tag 0.
    pub current_leader: LeaderIdAndEpoch,
}

impl Default for PartitionProduceResponse {
    fn default() -> Self {
        Self {
            index: Default::default(),
            error_code: Default::default(),
            base_offset: Default::default(),
            log_append_time_ms: -1,
            log_start_offset: -1,
            record_errors: Default::default(),
            error_message: None,
            current_leader: Default::default(),
        }
    }
}

impl PartitionProduceResponse {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 9;
        let mut out = Self::default();
        out.index = r.int32()?;
        out.error_code = r.int16()?;
        out.base_offset = r.int64()?;
        out.log_append_time_ms = r.int64()?;
        if version >= 5 { out.log_start_offset = r.int64()?; }
        if version >= 8 { out.record_errors = r.array(flexible, |r| BatchIndexAndErrorMessage::read(version, r))?; }
        if version >= 8 { out.error_message = r.nullable_string(flexible, version >= 8)?; }
        if flexible {
            r.tags(|tag, r| {
                match tag {
                    0 if version >= 10 => out.current_leader = LeaderIdAndEpoch::read(version, r)?,
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
        let flexible = version >= 9;
        w.int32(self.index);
        w.int16(self.error_code);
        w.int64(self.base_offset);
        w.int64(self.log_append_time_ms);
        if version >= 5 { w.int64(self.log_start_offset); }
        if version >= 8 { w.array(flexible, &self.record_errors, |w, one| one.write(version, w))?; }
        if version >= 8 { w.nullable_string(flexible, version >= 8, self.error_message.as_deref())?; }
        if flexible {
            let mut tags = Tags::default();
            if version >= 10 && self.current_leader != LeaderIdAndEpoch::default() { tags.push(0, |w| { self.current_leader.write(version, w)?; Ok(()) })?; }
            w.tags(tags)?;
        }
        Ok(())
    }
}

/// `BatchIndexAndErrorMessage` in `ProduceResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BatchIndexAndErrorMessage {
    /// `BatchIndex`. Versions 8+.
    pub batch_index: i32,
    /// `BatchIndexErrorMessage`. Versions 8+, null in 8+.
    pub batch_index_error_message: Option<String>,
}

impl BatchIndexAndErrorMessage {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 9;
        let mut out = Self::default();
        if version >= 8 { out.batch_index = r.int32()?; }
        if version >= 8 { out.batch_index_error_message = r.nullable_string(flexible, version >= 8)?; }
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
        if version >= 8 { w.int32(self.batch_index); }
        if version >= 8 { w.nullable_string(flexible, version >= 8, self.batch_index_error_message.as_deref())?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `LeaderIdAndEpoch` in `ProduceResponse`.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaderIdAndEpoch {
    /// `LeaderId`. Versions 10+.
    pub leader_id: i32,
    /// `LeaderEpoch`. Versions 10+.
    pub leader_epoch: i32,
}

impl Default for LeaderIdAndEpoch {
    fn default() -> Self {
        Self {
            leader_id: -1,
            leader_epoch: -1,
        }
    }
}

impl LeaderIdAndEpoch {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 9;
        let mut out = Self::default();
        if version >= 10 { out.leader_id = r.int32()?; }
        if version >= 10 { out.leader_epoch = r.int32()?; }
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
        if version >= 10 { w.int32(self.leader_id); }
        if version >= 10 { w.int32(self.leader_epoch); }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `NodeEndpoint` in `ProduceResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeEndpoint {
    /// `NodeId`. Versions 10+.
    pub node_id: i32,
    /// `Host`. Versions 10+.
    pub host: String,
    /// `Port`. Versions 10+.
    pub port: i32,
    /// `Rack`. Versions 10+, null in 10+.
    pub rack: Option<String>,
}

impl NodeEndpoint {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 9;
        let mut out = Self::default();
        if version >= 10 { out.node_id = r.int32()?; }
        if version >= 10 { out.host = r.string(flexible)?; }
        if version >= 10 { out.port = r.int32()?; }
        if version >= 10 { out.rack = r.nullable_string(flexible, version >= 10)?; }
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
        if version >= 10 { w.int32(self.node_id); }
        if version >= 10 { w.string(flexible, &self.host)?; }
        if version >= 10 { w.int32(self.port); }
        if version >= 10 { w.nullable_string(flexible, version >= 10, self.rack.as_deref())?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 0;
    const VERSIONS: RangeInclusive<i16> = 3..=13;
    const FLEXIBLE: Option<i16> = Some(9);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
