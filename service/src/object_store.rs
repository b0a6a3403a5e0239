//! Objects in buckets, which requests name instead of sending their bytes (`S3Object`).
//!
//! The places of objects are those of the crate `escala_objects`. The doors read through [`Objects`], which bounds what is
//! read and where.

use crate::server::body::{Buffers, Share};
use bytes::Bytes;
use escala_objects::ObjectStore;
pub use escala_objects::{ObjectName, folder, memory};
use escala_pipelines::Options;
use std::fmt;
use std::io::Read;
use std::sync::Arc;

/// Why an object cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store does not give it.
    #[error(transparent)]
    Store(#[from] escala_objects::Error),
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
    /// It broke off while it was read.
    #[error("the object cannot be read: {0}")]
    Broken(#[from] std::io::Error),
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
        away(options, move || objects.read_now(&name)).await
    }

    /// How many bytes an object has, whatever is taken of it.
    ///
    /// # Errors
    /// Those of the store; [`Error::Deadline`].
    pub async fn length(&self, name: ObjectName, options: Options) -> Result<u64, Error> {
        let store = self.store.clone();
        away(options, move || Ok(store.open(&name)?.length)).await
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
            return Err(Error::Broken(changed));
        }
        Ok(Bytes::from_owner(Held {
            bytes,
            _share: share,
        }))
    }
}

/// Does what may wait for a disk, until the deadline.
async fn away<T: Send + 'static>(
    options: Options,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let work = tokio::task::spawn_blocking(work);
    let done = match options.deadline {
        Some(deadline) => tokio::time::timeout_at(deadline.into(), work)
            .await
            .map_err(|_| Error::Deadline)?,
        None => work.await,
    };
    done.unwrap_or_else(|error| Err(Error::Broken(std::io::Error::other(error))))
}

#[cfg(test)]
mod tests {
    use super::memory::Memory;
    use super::*;
    use escala_objects::{Listed, Object};
    use std::ops::Range;
    use std::time::{Duration, Instant, SystemTime};

    fn objects(most: u64, shared: u64) -> (Objects, Arc<Buffers>) {
        let buffers = Arc::new(Buffers::new(shared));
        let store = Memory::default();
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
        let length = objects.length(five(), Options::default()).await;
        assert_eq!(length.expect("there"), 5, "which takes no memory");
        let second = objects.read(five(), Options::default()).await;
        assert!(matches!(second, Err(Error::Busy)), "a part is still held");
        drop(part);
        assert!(objects.read(five(), Options::default()).await.is_ok());
        assert!(buffers.share(9).is_some(), "all was given back");
    }

    /// A store whose objects never come, or come to less than they said.
    struct Odd;

    impl ObjectStore for Odd {
        fn open(&self, name: &ObjectName) -> Result<Object, escala_objects::Error> {
            if name.key() == "late" {
                std::thread::sleep(Duration::from_millis(300));
            }
            Ok(Object {
                length: 3,
                etag: String::new(),
                modified: SystemTime::UNIX_EPOCH,
                bytes: match name.key() {
                    "more" => Box::new(&b"1234"[..]),
                    _ => Box::new(&b"12"[..]),
                },
            })
        }

        fn open_range(
            &self,
            name: &ObjectName,
            _: Range<u64>,
        ) -> Result<Object, escala_objects::Error> {
            Err(name.absent())
        }

        fn list(
            &self,
            bucket: &str,
            _: &str,
            _: &str,
            _: usize,
        ) -> Result<Vec<Listed>, escala_objects::Error> {
            Err(escala_objects::Error::NoBucket(bucket.to_owned()))
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
            assert!(matches!(changed, Err(Error::Broken(_))), "{key}");
        }
        let soon = Options {
            deadline: Some(Instant::now() + Duration::from_millis(5)),
            ..Options::default()
        };
        assert!(matches!(read("late", soon).await, Err(Error::Deadline)));
    }
}
