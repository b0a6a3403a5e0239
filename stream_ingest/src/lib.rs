//! Partitioned event log, Kafka wire protocol and streaming inference.
//!
//! | module | what |
//! | --- | --- |
//! | [`log`] | the storage engine: topics, appends, reads, offsets of groups |
//! | [`wire`] | Kafka's messages as typed structs; no I/O |
//! | [`broker`] | what Kafka's clients connect to: the messages over sockets, answered from the log |
//!
//! The crate may use `escala-pipelines` and nothing above it, and `service` will join it to the doors. The README's
//! table of what is real says when it does something.

pub mod broker;
pub mod log;
pub mod wire;
