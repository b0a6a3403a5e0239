//! Topics of the event log for the doors: what is written to them, read from them and told of them.
//!
//! | file | what |
//! | --- | --- |
//! | `topics/produce.rs` | records get partitions and become batches, a request is there whole or not at all |
//! | `topics/consume.rs` | a reader of some partitions: where it stands, what comes next, and waiting for it |
//! | `topics/record.rs` | a record as JSON, for REST and the command line |
//! | `topics/lag.rs` | how far behind groups are |
//!
//! Promises: what is answered as written is on the disk; what is read was committed; requests that read share a few
//! places, so that what batches unpack to is bounded, and so do those that wait.

pub mod consume;
pub mod lag;
pub mod produce;
pub mod record;

use crate::app::App;
use escala_stream_ingest::{log, records};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Reads that go on at one time. A read holds a batch and what it unpacks to, [`records::LARGEST`] at worst.
const READS: usize = 4;

/// Why a topic cannot be written, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no log.
    #[error("the event log is off: start the server with an address as `kafka.listen`")]
    Off,
    /// The log itself says why.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// What is stored cannot be read.
    #[error(transparent)]
    Records(#[from] records::Error),
    /// The request breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// A record is larger than the topic takes.
    #[error(
        "record {record} takes {bytes} bytes, and the topic takes {most} (`max.message.bytes`)"
    )]
    TooLarge {
        /// Its place in the request, from 0.
        record: usize,
        /// Its size as a batch.
        bytes: usize,
        /// What the topic takes.
        most: usize,
    },
    /// Too many ask for this at one time.
    #[error("{0}")]
    Overloaded(&'static str),
    /// The disk did not answer before the request's deadline.
    #[error("the disk did not answer in time; the records may be there all the same")]
    Late,
    /// A defect.
    #[error("{0}")]
    Internal(String),
}

/// What an operation gives.
pub type Result<T> = std::result::Result<T, Error>;

/// The log behind the doors.
///
/// # Errors
/// [`Error::Off`] when there is none.
pub fn log_of(app: &App) -> Result<&log::Log> {
    app.log.as_ref().ok_or(Error::Off)
}

/// What all requests about topics share.
#[derive(Debug)]
pub struct Topics {
    reads: Arc<Semaphore>,
    waits: Arc<Semaphore>,
    /// Where the next record without a key goes.
    turn: AtomicU32,
}

impl Topics {
    /// With places for so many requests that wait.
    pub fn new(waits: usize) -> Self {
        Self {
            reads: Arc::new(Semaphore::new(READS)),
            waits: Arc::new(Semaphore::new(waits.min(Semaphore::MAX_PERMITS))),
            turn: AtomicU32::new(0),
        }
    }

    /// A place among the requests that wait.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there is none.
    pub fn wait(&self) -> Result<OwnedSemaphorePermit> {
        let place = self.waits.clone().try_acquire_owned();
        place
            .map_err(|_| Error::Overloaded("too many requests wait for records (`limits.streams`)"))
    }
}
