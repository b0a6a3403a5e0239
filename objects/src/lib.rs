//! Objects in buckets, as S3 knows them: the contract of a place that keeps them, and the places that keep it.
//!
//! [`ObjectStore`] is what can be read, [`WritableStore`] what can be written too; [`suite`] holds every implementation
//! to both. All calls are synchronous: they may wait for a disk or a network, and are made from threads that may.
//!
//! | file | what |
//! | --- | --- |
//! | `name.rs` | the names that buckets and objects may have |
//! | `folder.rs` | folders whose files are objects, some of which may be written |
//! | `local.rs` | a store of our own on the disk, with all that S3 says of objects |
//! | `remote.rs` | buckets of S3, Google Cloud Storage and Azure; the feature `remote` |
//! | `memory.rs` | objects in memory, for tests |
//! | `parquet.rs` | what objects of Parquet say of themselves, before they are read |
//! | `listing.rs` | pages of a bucket with common prefixes |
//! | `suite.rs` | the contract as tests |
//!
//! ```
//! use escala_objects::{ObjectName, ObjectStore, WritableStore, memory::Memory};
//! use std::io::{Read, Write};
//!
//! let store = Memory::default();
//! store.bucket("photos");
//! let mut new = store.create(&ObjectName::new("photos", "2026/cat.png", None)?)?;
//! new.write_all(b"not really a cat")?;
//! let kept = new.commit()?;
//! assert_eq!((kept.key.as_str(), kept.length), ("2026/cat.png", 16));
//!
//! let mut text = String::new();
//! let mut object = store.open_range(&ObjectName::new("photos", "2026/cat.png", None)?, 11..100)?;
//! object.bytes.read_to_string(&mut text)?;
//! assert_eq!((text.as_str(), object.length), ("a cat", 16));
//! assert_eq!(store.list("photos", "2026/", "", 10)?.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod folder;
pub mod listing;
pub mod local;
pub mod memory;
mod name;
pub mod parquet;
#[cfg(feature = "remote")]
pub mod remote;
pub mod suite;

pub use name::{LONGEST_KEY, ONLY_VERSION, ObjectName, after_all_with, bucket_rules};

use std::io::{Read, Write};
use std::ops::Range;
use std::time::SystemTime;

/// A place of objects.
///
/// The contract:
/// * A name has one object or none. What is not an object (a folder, a device) is none.
/// * An object that is opened gives its bytes as they were then, or fails; it never gives those of another. One that is
///   replaced or deleted meanwhile is read to its end, where the store was what wrote it.
/// * Nothing outside the store can be reached by any name.
/// * A store that keeps one version of each object knows it as [`ONLY_VERSION`] and knows no other.
/// * Calls may wait for a disk or a network, but never for what nobody said would come.
pub trait ObjectStore: Send + Sync {
    /// Opens an object.
    ///
    /// # Errors
    /// [`Error::NoBucket`], [`Error::NoKey`], [`Error::NoVersion`]; [`Error::Denied`] where the store may not look;
    /// [`Error::Unavailable`] where it cannot.
    fn open(&self, name: &ObjectName) -> Result<Object, Error>;

    /// Opens the bytes of an object that are in a range; what of it is beyond the object's end is left out. The
    /// [`Object::length`] stays the whole object's.
    ///
    /// # Errors
    /// Those of [`ObjectStore::open`]; [`Error::Range`] where none of its bytes are in the range.
    fn open_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Object, Error>;

    /// What an object's writer said that it is (`Content-Type`), where the place keeps that.
    ///
    /// # Errors
    /// Those of [`ObjectStore::open`].
    fn content_type(&self, _: &ObjectName) -> Result<Option<String>, Error> {
        Ok(None)
    }

    /// At most `most` objects of a bucket whose keys begin with `prefix` and come after `after`, in the order of the
    /// keys' bytes. Fewer than `most` are the last ones.
    ///
    /// # Errors
    /// [`Error::NoBucket`]; [`Error::Denied`], [`Error::Unavailable`].
    fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<Listed>, Error>;
}

/// A place that objects can be put into.
///
/// The contract, beside that of [`ObjectStore`]:
/// * An object that is being made is not seen, and nothing is left of it when it is dropped; [`NewObject::commit`] makes it
///   visible whole, in the place of the one that had its name.
/// * What was committed or deleted is so for every call that begins later, and where the store is on a disk it is so after
///   a loss of power.
/// * Of objects with one name that are made at the same time, the last to be committed stays.
pub trait WritableStore: ObjectStore {
    /// Begins an object.
    ///
    /// # Errors
    /// [`Error::NoBucket`], [`Error::NoVersion`]; [`Error::Denied`], [`Error::Unavailable`].
    fn create(&self, name: &ObjectName) -> Result<Box<dyn NewObject>, Error>;

    /// Deletes an object. That there is none is no error.
    ///
    /// # Errors
    /// [`Error::NoBucket`], [`Error::NoVersion`]; [`Error::Denied`], [`Error::Unavailable`].
    fn delete(&self, name: &ObjectName) -> Result<(), Error>;
}

/// A place that keeps what objects' writers say about them, too.
pub trait Described: WritableStore {
    /// What is known of an object.
    ///
    /// # Errors
    /// Those of [`ObjectStore::open`].
    fn describe(&self, name: &ObjectName) -> Result<local::Info, Error>;

    /// Begins an object of which this is said.
    ///
    /// # Errors
    /// Those of [`WritableStore::create`]; [`Error::Unavailable`] with [`std::io::ErrorKind::Unsupported`] where the place
    /// cannot say it.
    fn create_described(
        &self,
        name: &ObjectName,
        about: &local::About,
    ) -> Result<Box<dyn NewObject>, Error>;

    /// Deletes objects. Those that are not there are deleted. After an error some may be.
    ///
    /// # Errors
    /// Those of [`WritableStore::delete`].
    fn delete_all(&self, bucket: &str, keys: &[String]) -> Result<(), Error>;
}

/// An object that is being made. Dropped without [`NewObject::commit`], it never was.
pub trait NewObject: Write + Send {
    /// Makes it visible.
    ///
    /// # Errors
    /// [`Error::NoBucket`] where the bucket went away meanwhile; [`Error::Unavailable`].
    fn commit(self: Box<Self>) -> Result<Listed, Error>;
}

/// An object that is open.
pub struct Object {
    /// The bytes of the whole object, counted.
    pub length: u64,
    /// What changes when the bytes do, without quotes: MD5 in hexadecimal digits where the store knows it.
    pub etag: String,
    /// When it became what it is.
    pub modified: SystemTime,
    /// The bytes that were asked for.
    pub bytes: Box<dyn Read + Send>,
}

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its bytes, counted.
    pub length: u64,
    /// As [`Object::etag`].
    pub etag: String,
    /// When it became what it is.
    pub modified: SystemTime,
}

/// Why an object cannot be had or made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No bucket or object can have this name.
    #[error("{0}")]
    Name(&'static str),
    /// There is no such bucket.
    #[error("there is no bucket {0}")]
    NoBucket(String),
    /// There is no such object.
    #[error("there is no object {1} in the bucket {0}")]
    NoKey(String, String),
    /// The object has no such version.
    #[error("there is no such version: objects here have the version `{ONLY_VERSION}` only")]
    NoVersion,
    /// The object has no byte in the range.
    #[error("the object has {length} bytes and none in the range")]
    Range {
        /// Its bytes.
        length: u64,
    },
    /// The store may not look there, or may not write.
    #[error("the object may not be read or written")]
    Denied,
    /// The store cannot be used now.
    #[error("the objects cannot be reached: {0}")]
    Unavailable(#[from] std::io::Error),
}

/// The part of a range that is inside so many bytes.
fn inside(range: Range<u64>, length: u64) -> Result<Range<u64>, Error> {
    let range = range.start..range.end.min(length);
    match range.is_empty() {
        true => Err(Error::Range { length }),
        false => Ok(range),
    }
}
