//! Partitioned event log, Kafka wire protocol and streaming inference.
//!
//! [`log`] is the storage engine. It may use `escala-pipelines` and nothing above it, and `service` will join it to
//! the doors. The README's table of what is real says when it does something.

pub mod log;
