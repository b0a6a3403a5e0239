//! Objects in memory, for tests.

use super::{Error, Object, ObjectName, ObjectStore};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::Cursor;

/// Objects that are put in by hand, by bucket and key.
#[derive(Clone, Debug, Default)]
pub struct Memory(BTreeMap<String, BTreeMap<String, Bytes>>);

impl Memory {
    /// Makes a bucket, if there is none of the name.
    pub fn bucket(&mut self, bucket: &str) -> &mut BTreeMap<String, Bytes> {
        self.0.entry(bucket.to_owned()).or_default()
    }

    /// Puts an object into a bucket.
    pub fn put(&mut self, bucket: &str, key: &str, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.bucket(bucket).insert(key.to_owned(), bytes);
    }
}

impl ObjectStore for Memory {
    fn open(&self, name: &ObjectName) -> Result<Object, Error> {
        let (bucket, key) = (name.bucket(), name.key());
        let objects = self.0.get(bucket);
        let objects = objects.ok_or_else(|| Error::NoBucket(bucket.to_owned()))?;
        let bytes = objects.get(key);
        let bytes = bytes.ok_or_else(|| Error::NoKey(bucket.to_owned(), key.to_owned()))?;
        name.only_version()?;
        Ok(Object {
            length: bytes.len() as u64,
            bytes: Box::new(Cursor::new(bytes.clone())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_contract() {
        super::super::suite::holds(|buckets, objects| {
            let mut store = Memory::default();
            buckets.iter().for_each(|bucket| {
                store.bucket(bucket);
            });
            for (bucket, key, bytes) in objects {
                store.put(bucket, key, bytes);
            }
            store
        });
    }
}
