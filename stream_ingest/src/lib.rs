//! Partitioned event log that speaks Kafka's protocol.

pub mod wire;
