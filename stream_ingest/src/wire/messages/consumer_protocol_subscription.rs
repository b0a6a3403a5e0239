// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Reader, Result, Writer};
use bytes::Bytes;

/// `ConsumerProtocolSubscription`, versions 0-3, flexible none.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumerProtocolSubscription {
    /// `Topics`. All versions.
    pub topics: Vec<String>,
    /// `UserData`. All versions, null everywhere.
    pub user_data: Option<Bytes>,
    /// `OwnedPartitions`. Versions 1+.
    pub owned_partitions: Vec<TopicPartition>,
    /// `GenerationId`. Versions 2+.
    pub generation_id: i32,
    /// `RackId`. Versions 3+, null in 3+.
    pub rack_id: Option<String>,
}

impl Default for ConsumerProtocolSubscription {
    fn default() -> Self {
        Self {
            topics: Default::default(),
            user_data: None,
            owned_partitions: Default::default(),
            generation_id: -1,
            rack_id: None,
        }
    }
}

impl ConsumerProtocolSubscription {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.topics = r.array(false, |r| r.string(false))?;
        out.user_data = r.nullable_bytes(false, true)?;
        if version >= 1 { out.owned_partitions = r.array(false, |r| TopicPartition::read(version, r))?; }
        if version >= 2 { out.generation_id = r.int32()?; }
        if version >= 3 { out.rack_id = r.nullable_string(false, version >= 3)?; }
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        w.array(false, &self.topics, |w, one| w.string(false, one))?;
        w.nullable_bytes(false, true, self.user_data.as_ref())?;
        if version >= 1 { w.array(false, &self.owned_partitions, |w, one| one.write(version, w))?; }
        if version >= 2 { w.int32(self.generation_id); }
        if version >= 3 { w.nullable_string(false, version >= 3, self.rack_id.as_deref())?; }
        Ok(())
    }
}

/// `TopicPartition` in `ConsumerProtocolSubscription`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TopicPartition {
    /// `Topic`. Versions 1+.
    pub topic: String,
    /// `Partitions`. Versions 1+.
    pub partitions: Vec<i32>,
}

impl TopicPartition {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        if version >= 1 { out.topic = r.string(false)?; }
        if version >= 1 { out.partitions = r.array(false, Reader::int32)?; }
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        if version >= 1 { w.string(false, &self.topic)?; }
        if version >= 1 { w.array(false, &self.partitions, |w, one| { w.int32(*one); Ok(()) })?; }
        Ok(())
    }
}
