//! Partitioned event log, Kafka's wire protocol, and flows: streaming inference on the log.
//!
//! | module | what |
//! | --- | --- |
//! | [`log`] | the storage engine: topics, appends, reads, offsets of groups |
//! | [`flow`] | flows: topics go in, predictions come out |
//! | [`records`] | single records out of batches, and batches of records |
//! | [`wire`] | Kafka's messages as typed structs; no I/O |
//! | [`broker`] | what Kafka's clients connect to: the messages over sockets, answered from the log |
//!
//! `service/src/kafka.rs` opens the log and serves the broker beside the other doors, `service/src/flows.rs` predicts for
//! flows. The crate knows no task and no model.

pub mod broker;
pub mod flow;
pub mod log;
pub mod records;
pub mod wire;
