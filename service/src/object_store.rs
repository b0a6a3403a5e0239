//! Objects in buckets, which requests name instead of sending their bytes (`S3Object`).
//!
//! [`ObjectStore`] is what a place of objects must do; [`folder::Folder`] is one on the disk, [`memory::Memory`] one for
//! tests, and `suite` holds both to the contract. The doors read through [`Objects`], which bounds what is read and where.

pub mod folder;
pub mod memory;
#[cfg(test)]
pub mod suite;

use crate::server::body::{Buffers, Share};
use bytes::Bytes;
use escala_pipelines::Options;
use std::fmt;
use std::io::Read;
use std::sync::Arc;

/// Most bytes of a key, as in S3.
const LONGEST_KEY: usize = 1024;

/// The version of every object in a store that keeps one of each, as S3 names it.
pub const ONLY_VERSION: &str = "null";

/// A place of objects.
///
/// The contract:
/// * A name has one object or none. What is not an object (a folder, a device) is none.
/// * An object that is opened gives its bytes as they were then, or fails; it never gives those of another.
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
}

/// An object that is open.
pub struct Object {
    /// Its bytes, counted.
    pub length: u64,
    /// Its bytes.
    pub bytes: Box<dyn Read + Send>,
}

/// The name of an object: a bucket by S3's rules, and a key that is a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    bucket: String,
    key: String,
    version: Option<String>,
}

impl ObjectName {
    /// A name. Keys are paths here: their parts between slashes are neither empty nor `.` nor `..`.
    ///
    /// # Errors
    /// [`Error::Name`] with the rule that is broken.
    pub fn new(bucket: &str, key: &str, version: Option<&str>) -> Result<Self, Error> {
        bucket_rules(bucket).map_err(Error::Name)?;
        key_rules(key).map_err(Error::Name)?;
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            version: version.map(str::to_owned),
        })
    }

    /// The bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// For stores that keep one version of each object: whether it is the one that is asked for.
    ///
    /// # Errors
    /// [`Error::NoVersion`].
    fn only_version(&self) -> Result<(), Error> {
        match &self.version {
            Some(version) if version != ONLY_VERSION => Err(Error::NoVersion),
            _ => Ok(()),
        }
    }
}

/// S3's rules for the names of general purpose buckets.
fn bucket_rules(bucket: &str) -> Result<(), &'static str> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = bucket.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return Err("a bucket's name has 3 to 63 characters");
    };
    let address = bucket.split('.').count() == 4
        && bucket
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let reserved = ["xn--", "sthree-", "amzn-s3-demo-"]
        .iter()
        .any(|prefix| bucket.starts_with(prefix))
        || ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"]
            .iter()
            .any(|suffix| bucket.ends_with(suffix));
    let rules = [
        (
            (3..=63).contains(&bytes.len()),
            "a bucket's name has 3 to 63 characters",
        ),
        (
            bytes.iter().all(|&b| plain(b) || matches!(b, b'.' | b'-')),
            "a bucket's name has lower-case letters, digits, dots and hyphens only",
        ),
        (
            plain(*first) && plain(*last),
            "a bucket's name begins and ends with a letter or digit",
        ),
        (
            !bucket.contains(".."),
            "a bucket's name has no two dots in a row",
        ),
        (!address, "a bucket's name is no IP address"),
        (!reserved, "a bucket's name has none of S3's reserved parts"),
    ];
    match rules.into_iter().find(|(holds, _)| !holds) {
        Some((_, rule)) => Err(rule),
        None => Ok(()),
    }
}

fn key_rules(key: &str) -> Result<(), &'static str> {
    if !(1..=LONGEST_KEY).contains(&key.len()) {
        return Err("a key has 1 to 1024 bytes");
    }
    if key.contains('\0') {
        return Err("a key has no character of number zero");
    }
    match key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        true => Err("the parts of a key between slashes are neither empty nor `.` nor `..`"),
        false => Ok(()),
    }
}

/// Why an object cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No object can have this name.
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
    /// The store may not look.
    #[error("the object may not be read")]
    Denied,
    /// The object has more bytes than are taken.
    #[error("the object has {length} bytes; at most {most} are taken")]
    TooLarge {
        /// Its bytes.
        length: u64,
        /// What is taken.
        most: u64,
    },
    /// Too much is read at the same time.
    #[error("too many large objects are read at the same time")]
    Busy,
    /// It took too long.
    #[error("the object was not read in time")]
    Deadline,
    /// The store cannot be read now.
    #[error("the object cannot be read: {0}")]
    Unavailable(#[from] std::io::Error),
}

/// Objects as the doors read them: whole, off the threads that serve connections, within a bound for each and, together
/// with requests' bodies, a bound for all.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    most: u64,
    buffers: Arc<Buffers>,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("most", &self.most).finish()
    }
}

/// The bytes of an object and their part of the shared memory.
struct Held {
    bytes: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Objects {
    /// The objects of a store of at most `most` bytes.
    pub fn new(store: Arc<dyn ObjectStore>, most: u64, buffers: Arc<Buffers>) -> Self {
        Self {
            store,
            most,
            buffers,
        }
    }

    /// An object's bytes, which count in the shared memory until the last copy of them is dropped.
    ///
    /// # Errors
    /// Those of the store; [`Error::TooLarge`], [`Error::Busy`], [`Error::Deadline`].
    pub async fn read(&self, name: ObjectName, options: Options) -> Result<Bytes, Error> {
        let objects = self.clone();
        let read = tokio::task::spawn_blocking(move || objects.read_now(&name));
        let read = match options.deadline {
            Some(deadline) => tokio::time::timeout_at(deadline.into(), read)
                .await
                .map_err(|_| Error::Deadline)?,
            None => read.await,
        };
        read.unwrap_or_else(|error| Err(Error::Unavailable(std::io::Error::other(error))))
    }

    fn read_now(&self, name: &ObjectName) -> Result<Bytes, Error> {
        let object = self.store.open(name)?;
        let (length, most) = (object.length, self.most);
        if length > most {
            return Err(Error::TooLarge { length, most });
        }
        let share = self.buffers.share(length).ok_or(Error::Busy)?;
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        // One more, so that growing is noticed.
        object.bytes.take(length + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            let changed = std::io::Error::other("it changed while it was read");
            return Err(Error::Unavailable(changed));
        }
        Ok(Bytes::from_owner(Held {
            bytes,
            _share: share,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::memory::Memory;
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn buckets_have_the_names_that_s3_gives_them() {
        for name in [
            "abc",
            "my-bucket.2026",
            "0.a",
            "1.2.3",
            &"x".repeat(63),
            "1.2.3.4.5",
        ] {
            assert_eq!(bucket_rules(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "ab",
            &"x".repeat(64),
            "Bucket",
            "my_bucket",
            "-abc",
            "abc-",
            ".abc",
            "a..b",
            "..",
            "a/b",
            "192.168.5.4",
            "xn--abc",
            "sthree-abc",
            "abc-s3alias",
            "abc--ol-s3",
            "büro",
            "a\0b",
        ] {
            assert!(bucket_rules(name).is_err(), "{name}");
        }
    }

    #[test]
    fn keys_are_paths_that_stay_inside() {
        for key in [
            "a",
            "a/b/c.png",
            "a b",
            "größe/照片 🙂.jpg",
            "...",
            ".hidden",
            "a..b",
            "a\\..\\b",
            "%2e%2e/x",
            &"x".repeat(1024),
        ] {
            assert_eq!(key_rules(key), Ok(()), "{key}");
        }
        for key in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../../x",
            "a/./b",
            "a//b",
            "a/",
            "a\0",
            &"x".repeat(1025),
        ] {
            assert!(key_rules(key).is_err(), "{key:?}");
        }
    }

    fn objects(most: u64, shared: u64) -> (Objects, Arc<Buffers>) {
        let buffers = Arc::new(Buffers::new(shared));
        let mut store = Memory::default();
        store.put("bucket", "five", b"12345");
        (
            Objects::new(Arc::new(store), most, buffers.clone()),
            buffers,
        )
    }

    #[tokio::test]
    async fn what_is_read_is_bounded_alone_and_together() {
        let five = || ObjectName::new("bucket", "five", None).expect("a name");
        let (small, _) = objects(4, 100);
        let refused = small.read(five(), Options::default()).await;
        assert!(matches!(
            refused,
            Err(Error::TooLarge { length: 5, most: 4 })
        ));
        let (objects, buffers) = objects(5, 9);
        let first = objects
            .read(five(), Options::default())
            .await
            .expect("fits");
        assert_eq!(first, &b"12345"[..]);
        let part = first.slice(1..2);
        drop(first);
        let second = objects.read(five(), Options::default()).await;
        assert!(matches!(second, Err(Error::Busy)), "a part is still held");
        drop(part);
        assert!(objects.read(five(), Options::default()).await.is_ok());
        assert!(buffers.share(9).is_some(), "all was given back");
    }

    /// A store whose objects never come, or come to less than they said.
    struct Odd;

    impl ObjectStore for Odd {
        fn open(&self, name: &ObjectName) -> Result<Object, Error> {
            if name.key() == "late" {
                std::thread::sleep(Duration::from_millis(300));
            }
            Ok(Object {
                length: 3,
                bytes: match name.key() {
                    "more" => Box::new(&b"1234"[..]),
                    _ => Box::new(&b"12"[..]),
                },
            })
        }
    }

    #[tokio::test]
    async fn what_comes_too_late_or_not_as_it_was_said_is_refused() {
        let objects = Objects::new(Arc::new(Odd), 10, Arc::new(Buffers::new(10)));
        let read = async |key: &str, options: Options| {
            let name = ObjectName::new("bucket", key, None).expect("a name");
            objects.read(name, options).await
        };
        for key in ["less", "more"] {
            let changed = read(key, Options::default()).await;
            assert!(matches!(changed, Err(Error::Unavailable(_))), "{key}");
        }
        let soon = Options {
            deadline: Some(Instant::now() + Duration::from_millis(5)),
            ..Options::default()
        };
        assert!(matches!(read("late", soon).await, Err(Error::Deadline)));
    }
}
