//! The event log: partitions of records that are there after any crash.

mod batch;
mod check;
mod checkpoint;
mod codec;
mod committer;
pub mod disk;
mod error;
mod event;
mod files;
mod groups;
mod handle;
mod image;
mod keeper;
pub(crate) mod partition;
mod producers;
mod recovery;
mod sequencer;
mod shared;
#[cfg(test)]
mod simulation;
mod store;
#[cfg(test)]
mod testing;
mod topics;
mod types;
mod wal;

pub use check::{check, repair};
pub use error::{Error, Result};
pub use handle::{Log, Pending};
pub use topics::{LONGEST_BATCH, SETTINGS, TopicConfig};
pub use types::{
    Acks, Appended, Clock, Committed, Found, Ids, Isolation, Offsets, Options, Output, Partition,
    Place, Read, Topic,
};
