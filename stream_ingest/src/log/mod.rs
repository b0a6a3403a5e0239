//! The event log: partitions of records that are there after any crash.

pub mod disk;
mod error;
mod handle;
mod topics;
mod types;

pub use error::{Error, Result};
pub use handle::{Log, Pending};
pub use topics::{LONGEST_BATCH, SETTINGS, TopicConfig};
pub use types::{
    Acks, Appended, Clock, Committed, Found, Ids, Isolation, Offsets, Options, Output, Partition,
    Place, Read, Topic,
};
