// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Reader, Result, Writer};
use bytes::Bytes;

/// `ConsumerProtocolAssignment`, versions 0-3, flexible none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConsumerProtocolAssignment {
    /// `AssignedPartitions`. All versions.
    pub assigned_partitions: Vec<TopicPartition>,
    /// `UserData`. All versions, null everywhere.
    pub user_data: Option<Bytes>,
}

impl ConsumerProtocolAssignment {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.assigned_partitions = r.array(false, |r| TopicPartition::read(version, r))?;
        out.user_data = r.nullable_bytes(false, true)?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        w.array(false, &self.assigned_partitions, |w, one| one.write(version, w))?;
        w.nullable_bytes(false, true, self.user_data.as_ref())?;
        Ok(())
    }
}

/// `TopicPartition` in `ConsumerProtocolAssignment`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TopicPartition {
    /// `Topic`. All versions.
    pub topic: String,
    /// `Partitions`. All versions.
    pub partitions: Vec<i32>,
}

impl TopicPartition {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(_version: i16, r: &mut Reader) -> Result<Self> {
        let mut out = Self::default();
        out.topic = r.string(false)?;
        out.partitions = r.array(false, Reader::int32)?;
        Ok(out)
    }

    /// Writes what `version` has of it; other fields are left out.
    ///
    /// # Errors
    /// When a value is null that may not be, or too long.
    pub fn write(&self, _version: i16, w: &mut Writer) -> Result<()> {
        w.string(false, &self.topic)?;
        w.array(false, &self.partitions, |w, one| { w.int32(*one); Ok(()) })?;
        Ok(())
    }
}
