//! Objects on this machine's disk, for whoever writes them by S3's rules.
//!
//! ```text
//! <folder>/index.db   which buckets, objects and uploads there are (SQLite)
//! <folder>/bytes/     their bytes, in files named at random
//! <folder>/lock       held by the one process that has the store open
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | `index.rs` | the index's tables, its one writer and its readers |
//! | `files.rs` | the files: written through, pinned while they are read, swept |
//! | `checksum.rs` | MD5, CRCs and SHAs of what passes by |
//! | `objects.rs` | objects: put, get, copy, delete, list, tags |
//! | `buckets.rs` | buckets |
//! | `uploads.rs` | uploads in parts |
//!
//! Promises: what is acknowledged is on the disk, with its folders, and is there whole after a loss of power; bytes are
//! checked before anything can see them; a change is whole or not at all, conditions included (`If-None-Match: *` has one
//! winner); a reader reads the object it opened to its end, whatever is put in its place. Opening the store looks at every
//! file once and removes those that no row names.

mod buckets;
pub mod checksum;
mod files;
mod index;
mod objects;
mod uploads;

pub use buckets::Bucket;
pub use files::{Writing, Written};
pub use objects::{About, Condition, Copy, Found, Info, Part, Put, Tags};
pub use uploads::{Given, NewUpload, Parts, SMALLEST_PART, Upload, UploadedPart};

use checksum::{Algorithm, Summed};
use files::Files;
use index::Index;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Why the store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What every place of objects says.
    #[error(transparent)]
    Store(#[from] crate::Error),
    /// The bucket is there already.
    #[error("there is a bucket {0} already")]
    BucketExists(String),
    /// The bucket has objects.
    #[error("the bucket {0} has objects in it")]
    NotEmpty(String),
    /// A condition of the request does not hold.
    #[error("the object is not what the request expects")]
    Precondition,
    /// There is no such upload.
    #[error("there is no upload {0} of this object")]
    NoUpload(String),
    /// A part is not there, or is another.
    #[error("part {0} was not uploaded, or is not what the request says")]
    InvalidPart(u32),
    /// Parts are not in the order of their numbers.
    #[error("the parts are not in the order of their numbers")]
    PartOrder,
    /// A part other than the last is too small.
    #[error("part {0} has fewer than {SMALLEST_PART} bytes and is not the last")]
    SmallPart(u32),
    /// The bytes are not as many as were announced.
    #[error("{got} bytes came, {announced} were announced")]
    Length {
        /// What came.
        got: u64,
        /// What was announced.
        announced: u64,
    },
    /// The bytes do not have the digest that was announced.
    #[error("the bytes do not have the {0} that was announced")]
    Digest(&'static str),
    /// The store is open in another process.
    #[error("the objects in {0} are in use by another process")]
    InUse(PathBuf),
    /// The bucket is in no store of this kind.
    #[error(
        "the bucket {0} is elsewhere, where objects are read, listed, put whole and deleted, and nothing else is done"
    )]
    Elsewhere(String),
    /// The store has a format that this program does not know.
    #[error("the objects have the format {0}, which this version cannot read")]
    Version(i64),
    /// The index does not answer.
    #[error("the index of the objects does not answer")]
    Closed,
    /// The index cannot be asked.
    #[error("the index of the objects cannot be used: {0}")]
    Index(#[from] rusqlite::Error),
    /// What the index says about an object cannot be read.
    #[error("what the index says cannot be read: {0}")]
    Row(#[from] serde_json::Error),
    /// The disk does not do it.
    #[error("the objects cannot be read or written: {0}")]
    Disk(#[from] std::io::Error),
}

impl Error {
    /// Whether it is certain that nothing was changed.
    fn nothing_changed(&self) -> bool {
        !matches!(self, Self::Closed | Self::Index(_) | Self::Disk(_))
    }
}

impl From<Error> for crate::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error,
            Error::Disk(error) => Self::Unavailable(error),
            other => Self::Unavailable(std::io::Error::other(other)),
        }
    }
}

/// What bytes were said to be, where anything was.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// How many there are.
    pub length: Option<u64>,
    /// Their MD5.
    pub md5: Option<Vec<u8>>,
    /// The SHA-256 that the request was signed with.
    pub payload: Option<Vec<u8>>,
    /// Their checksums.
    pub checksums: Vec<(Algorithm, Vec<u8>)>,
}

impl Expected {
    /// Whether bytes are what was expected.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Digest`].
    pub fn check(&self, length: u64, summed: &Summed) -> Result<(), Error> {
        if let Some(announced) = self.length.filter(|announced| *announced != length) {
            let got = length;
            return Err(Error::Length { got, announced });
        }
        if self.md5.as_ref().is_some_and(|md5| *md5 != summed.md5) {
            return Err(Error::Digest("Content-MD5"));
        }
        let sum = |algorithm| summed.others.iter().find(|(one, _)| *one == algorithm);
        let is = |algorithm, bytes: &[u8]| sum(algorithm).is_some_and(|(_, sum)| sum == bytes);
        if let Some(payload) = &self.payload
            && !is(Algorithm::Sha256, payload)
        {
            return Err(Error::Digest("x-amz-content-sha256"));
        }
        match self.checksums.iter().find(|(one, bytes)| !is(*one, bytes)) {
            Some((algorithm, _)) => Err(Error::Digest(algorithm.name())),
            None => Ok(()),
        }
    }
}

/// A store that is open. Clones are the same one.
#[derive(Clone)]
pub struct Local(Arc<Inner>);

struct Inner {
    // Dropped in this order: the lock last.
    index: Index,
    files: Arc<Files>,
    _lock: File,
}

impl Local {
    /// Opens the store in a folder, which is made if there is none, and removes what an earlier process left unfinished.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Version`]; [`Error::Disk`], [`Error::Index`].
    pub fn open(folder: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(folder)?;
        if let Some(parent) = folder.canonicalize()?.parent() {
            File::open(parent)?.sync_all()?;
        }
        let lock = File::create(folder.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::InUse(folder.to_owned()),
            TryLockError::Error(error) => Error::Disk(error),
        })?;
        let index = Index::open(folder.join("index.db"))?;
        let files = Arc::new(Files::open(folder.join("bytes"))?);
        let removed = index.read(|index| {
            let mut named = index.prepare(
                "SELECT EXISTS (SELECT 1 FROM segment WHERE file = ?1) OR EXISTS (SELECT 1 FROM part WHERE file = ?1)",
            )?;
            files.sweep(|name| Ok(named.query_row([name], |row| row.get(0))?))
        })?;
        if removed > 0 {
            tracing::info!(removed, "unfinished objects were removed");
        }
        Ok(Self(Arc::new(Inner {
            index,
            files,
            _lock: lock,
        })))
    }

    /// Begins bytes that are to become an object or a part; these checksums of them are computed.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn write(&self, algorithms: &[Algorithm]) -> Result<Writing, Error> {
        Ok(Writing::begin(&self.0.files, algorithms)?)
    }

    /// After a change that was to name a file: keeps it, unless it is certain that nothing names it.
    fn settle<T>(&self, written: Written, changed: Result<T, Error>) -> Result<T, Error> {
        if changed
            .as_ref()
            .err()
            .is_none_or(|error| !error.nothing_changed())
        {
            written.keep();
        }
        changed
    }
}

/// Times in the index: milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

fn time(milliseconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds.unsigned_abs())
}

/// Lengths in the index.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
