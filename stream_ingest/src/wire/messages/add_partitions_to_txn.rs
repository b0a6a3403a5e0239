// Written by protocol/generate.py from protocol/messages.json.

use crate::wire::{Message, Reader, Result, Tags, Writer};
use std::ops::RangeInclusive;

/// `AddPartitionsToTxnRequest`, API 24, versions 0-5, flexible 3+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `Transactions`. Versions 4+.
    pub transactions: Vec<AddPartitionsToTxnTransaction>,
    /// `V3AndBelowTransactionalId`. Versions 0-3.
    pub v3_and_below_transactional_id: String,
    /// `V3AndBelowProducerId`. Versions 0-3.
    pub v3_and_below_producer_id: i64,
    /// `V3AndBelowProducerEpoch`. Versions 0-3.
    pub v3_and_below_producer_epoch: i16,
    /// `V3AndBelowTopics`. Versions 0-3.
    pub v3_and_below_topics: Vec<AddPartitionsToTxnTopic>,
}

impl Request {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        if version >= 4 { out.transactions = r.array(flexible, |r| AddPartitionsToTxnTransaction::read(version, r))?; }
        if version <= 3 { out.v3_and_below_transactional_id = r.string(flexible)?; }
        if version <= 3 { out.v3_and_below_producer_id = r.int64()?; }
        if version <= 3 { out.v3_and_below_producer_epoch = r.int16()?; }
        if version <= 3 { out.v3_and_below_topics = r.array(flexible, |r| AddPartitionsToTxnTopic::read(version, r))?; }
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
        if version >= 4 { w.array(flexible, &self.transactions, |w, one| one.write(version, w))?; }
        if version <= 3 { w.string(flexible, &self.v3_and_below_transactional_id)?; }
        if version <= 3 { w.int64(self.v3_and_below_producer_id); }
        if version <= 3 { w.int16(self.v3_and_below_producer_epoch); }
        if version <= 3 { w.array(flexible, &self.v3_and_below_topics, |w, one| one.write(version, w))?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `AddPartitionsToTxnTransaction` in `AddPartitionsToTxnRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AddPartitionsToTxnTransaction {
    /// `TransactionalId`. Versions 4+.
    pub transactional_id: String,
    /// `ProducerId`. Versions 4+.
    pub producer_id: i64,
    /// `ProducerEpoch`. Versions 4+.
    pub producer_epoch: i16,
    /// `VerifyOnly`. Versions 4+.
    pub verify_only: bool,
    /// `Topics`. Versions 4+.
    pub topics: Vec<AddPartitionsToTxnTopic>,
}

impl AddPartitionsToTxnTransaction {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        if version >= 4 { out.transactional_id = r.string(flexible)?; }
        if version >= 4 { out.producer_id = r.int64()?; }
        if version >= 4 { out.producer_epoch = r.int16()?; }
        if version >= 4 { out.verify_only = r.bool()?; }
        if version >= 4 { out.topics = r.array(flexible, |r| AddPartitionsToTxnTopic::read(version, r))?; }
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
        if version >= 4 { w.string(flexible, &self.transactional_id)?; }
        if version >= 4 { w.int64(self.producer_id); }
        if version >= 4 { w.int16(self.producer_epoch); }
        if version >= 4 { w.bool(self.verify_only); }
        if version >= 4 { w.array(flexible, &self.topics, |w, one| one.write(version, w))?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `AddPartitionsToTxnTopic` in `AddPartitionsToTxnRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AddPartitionsToTxnTopic {
    /// `Name`. All versions.
    pub name: String,
    /// `Partitions`. All versions.
    pub partitions: Vec<i32>,
}

impl AddPartitionsToTxnTopic {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        out.name = r.string(flexible)?;
        out.partitions = r.array(flexible, Reader::int32)?;
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
        w.string(flexible, &self.name)?;
        w.array(flexible, &self.partitions, |w, one| { w.int32(*one); Ok(()) })?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Request {
    const KEY: i16 = 24;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE: Option<i16> = Some(3);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}

/// `AddPartitionsToTxnResponse`, API 24, versions 0-5, flexible 3+.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// `ThrottleTimeMs`. All versions.
    pub throttle_time_ms: i32,
    /// `ErrorCode`. Versions 4+.
    pub error_code: i16,
    /// `ResultsByTransaction`. Versions 4+.
    pub results_by_transaction: Vec<AddPartitionsToTxnResult>,
    /// `ResultsByTopicV3AndBelow`. Versions 0-3.
    pub results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult>,
}

impl Response {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        out.throttle_time_ms = r.int32()?;
        if version >= 4 { out.error_code = r.int16()?; }
        if version >= 4 { out.results_by_transaction = r.array(flexible, |r| AddPartitionsToTxnResult::read(version, r))?; }
        if version <= 3 { out.results_by_topic_v3_and_below = r.array(flexible, |r| AddPartitionsToTxnTopicResult::read(version, r))?; }
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
        w.int32(self.throttle_time_ms);
        if version >= 4 { w.int16(self.error_code); }
        if version >= 4 { w.array(flexible, &self.results_by_transaction, |w, one| one.write(version, w))?; }
        if version <= 3 { w.array(flexible, &self.results_by_topic_v3_and_below, |w, one| one.write(version, w))?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `AddPartitionsToTxnResult` in `AddPartitionsToTxnResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AddPartitionsToTxnResult {
    /// `TransactionalId`. Versions 4+.
    pub transactional_id: String,
    /// `TopicResults`. Versions 4+.
    pub topic_results: Vec<AddPartitionsToTxnTopicResult>,
}

impl AddPartitionsToTxnResult {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        if version >= 4 { out.transactional_id = r.string(flexible)?; }
        if version >= 4 { out.topic_results = r.array(flexible, |r| AddPartitionsToTxnTopicResult::read(version, r))?; }
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
        if version >= 4 { w.string(flexible, &self.transactional_id)?; }
        if version >= 4 { w.array(flexible, &self.topic_results, |w, one| one.write(version, w))?; }
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `AddPartitionsToTxnTopicResult` in `AddPartitionsToTxnResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AddPartitionsToTxnTopicResult {
    /// `Name`. All versions.
    pub name: String,
    /// `ResultsByPartition`. All versions.
    pub results_by_partition: Vec<AddPartitionsToTxnPartitionResult>,
}

impl AddPartitionsToTxnTopicResult {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        out.name = r.string(flexible)?;
        out.results_by_partition = r.array(flexible, |r| AddPartitionsToTxnPartitionResult::read(version, r))?;
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
        w.string(flexible, &self.name)?;
        w.array(flexible, &self.results_by_partition, |w, one| one.write(version, w))?;
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

/// `AddPartitionsToTxnPartitionResult` in `AddPartitionsToTxnResponse`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AddPartitionsToTxnPartitionResult {
    /// `PartitionIndex`. All versions.
    pub partition_index: i32,
    /// `PartitionErrorCode`. All versions.
    pub partition_error_code: i16,
}

impl AddPartitionsToTxnPartitionResult {
    /// Reads it as `version` has it.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn read(version: i16, r: &mut Reader) -> Result<Self> {
        let flexible = version >= 3;
        let mut out = Self::default();
        out.partition_index = r.int32()?;
        out.partition_error_code = r.int16()?;
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
        w.int32(self.partition_index);
        w.int16(self.partition_error_code);
        if flexible {
            w.tags(Tags::default())?;
        }
        Ok(())
    }
}

impl Message for Response {
    const KEY: i16 = 24;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const FLEXIBLE: Option<i16> = Some(3);

    fn read(version: i16, r: &mut Reader) -> Result<Self> {
        Self::read(version, r)
    }

    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {
        self.write(version, w)
    }
}
