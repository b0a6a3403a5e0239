//! Partitioned event log and Kafka's wire protocol; the place of streaming inference.
//!
//! | module | what |
//! | --- | --- |
//! | [`log`] | the storage engine: topics, appends, reads, offsets of groups |
//! | [`records`] | single records out of batches, and batches of records |
//! | [`wire`] | Kafka's messages as typed structs; no I/O |
//! | [`broker`] | what Kafka's clients connect to: the messages over sockets, answered from the log |
//!
//! `service/src/kafka.rs` opens the log and serves the broker beside the other doors. The crate may use
//! `escala-pipelines` and nothing above it; streaming inference is not built.

pub mod broker;
pub mod log;
pub mod records;
pub mod wire;
