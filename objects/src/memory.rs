//! Objects in memory, for tests.

use crate::{Error, Listed, NewObject, Object, ObjectName, ObjectStore, WritableStore, inside};
use bytes::Bytes;
use md5::{Digest, Md5};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::ops::{Bound, Range};
use std::sync::Arc;
use std::time::SystemTime;

/// Objects by bucket and key. Clones are the same store.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Buckets>>);

type Buckets = BTreeMap<String, BTreeMap<String, Kept>>;

#[derive(Clone, Debug)]
struct Kept {
    bytes: Bytes,
    etag: String,
    modified: SystemTime,
}

impl Kept {
    fn new(bytes: Bytes) -> Self {
        let digest = Md5::digest(&bytes);
        Self {
            etag: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            modified: SystemTime::now(),
            bytes,
        }
    }

    fn listed(&self, key: &str) -> Listed {
        Listed {
            key: key.to_owned(),
            length: self.bytes.len() as u64,
            etag: self.etag.clone(),
            modified: self.modified,
        }
    }

    fn object(&self, bytes: Bytes) -> Object {
        Object {
            length: self.bytes.len() as u64,
            etag: self.etag.clone(),
            modified: self.modified,
            bytes: Box::new(Cursor::new(bytes)),
        }
    }
}

impl Memory {
    /// Makes a bucket, if there is none of the name.
    pub fn bucket(&self, bucket: &str) {
        self.0.lock().entry(bucket.to_owned()).or_default();
    }

    /// Puts an object into a bucket, which is made if there is none.
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let kept = Kept::new(Bytes::copy_from_slice(bytes));
        let mut buckets = self.0.lock();
        let objects = buckets.entry(bucket.to_owned()).or_default();
        objects.insert(key.to_owned(), kept);
    }

    fn get(&self, name: &ObjectName) -> Result<Kept, Error> {
        let buckets = self.0.lock();
        let objects = buckets.get(name.bucket());
        let objects = objects.ok_or_else(|| name.bucketless())?;
        let kept = objects.get(name.key()).ok_or_else(|| name.absent())?;
        name.only_version()?;
        Ok(kept.clone())
    }
}

impl ObjectStore for Memory {
    fn open(&self, name: &ObjectName) -> Result<Object, Error> {
        let kept = self.get(name)?;
        Ok(kept.object(kept.bytes.clone()))
    }

    fn open_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Object, Error> {
        let kept = self.get(name)?;
        let range = inside(range, kept.bytes.len() as u64)?;
        // Both are at most the length of bytes in memory.
        let bytes = kept.bytes.slice(range.start as usize..range.end as usize);
        Ok(kept.object(bytes))
    }

    fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<Listed>, Error> {
        let buckets = self.0.lock();
        let objects = buckets.get(bucket);
        let objects = objects.ok_or_else(|| Error::NoBucket(bucket.to_owned()))?;
        let from = match after < prefix {
            true => Bound::Included(prefix),
            false => Bound::Excluded(after),
        };
        let listed = objects
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(most)
            .map(|(key, kept)| kept.listed(key));
        Ok(listed.collect())
    }
}

impl WritableStore for Memory {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn NewObject>, Error> {
        if !self.0.lock().contains_key(name.bucket()) {
            return Err(name.bucketless());
        }
        name.only_version()?;
        Ok(Box::new(New {
            store: self.clone(),
            name: name.clone(),
            bytes: Vec::new(),
        }))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        let mut buckets = self.0.lock();
        let objects = buckets.get_mut(name.bucket());
        let objects = objects.ok_or_else(|| name.bucketless())?;
        name.only_version()?;
        objects.remove(name.key());
        Ok(())
    }
}

struct New {
    store: Memory,
    name: ObjectName,
    bytes: Vec<u8>,
}

impl Write for New {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl NewObject for New {
    fn commit(self: Box<Self>) -> Result<Listed, Error> {
        let kept = Kept::new(self.bytes.into());
        let mut buckets = self.store.0.lock();
        let objects = buckets.get_mut(self.name.bucket());
        let objects = objects.ok_or_else(|| self.name.bucketless())?;
        let listed = kept.listed(self.name.key());
        objects.insert(self.name.key().to_owned(), kept);
        Ok(listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    #[test]
    fn it_keeps_the_contract_of_reading() {
        suite::reads(|buckets, objects| {
            let store = Memory::default();
            buckets.iter().for_each(|bucket| store.bucket(bucket));
            for (bucket, key, bytes) in objects {
                store.put(bucket, key, bytes);
            }
            store
        });
    }

    #[test]
    fn it_keeps_the_contract_of_writing() {
        suite::writes(|buckets| {
            let store = Memory::default();
            buckets.iter().for_each(|bucket| store.bucket(bucket));
            store
        });
    }
}
