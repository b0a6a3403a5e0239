//! Buckets of the store.

use super::objects::{Tags, unnamed};
use super::{Error, Local, now, time};
use crate::bucket_rules;
use rusqlite::{Connection, OptionalExtension};
use std::time::SystemTime;

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: SystemTime,
}

/// The number of a bucket in the index.
pub fn number(index: &Connection, bucket: &str) -> Result<i64, Error> {
    let mut number = index.prepare_cached("SELECT id FROM bucket WHERE name = ?1")?;
    let number = number.query_row([bucket], |row| row.get(0)).optional()?;
    number.ok_or_else(|| crate::Error::NoBucket(bucket.to_owned()).into())
}

impl Local {
    /// All buckets, in the order of their names.
    ///
    /// # Errors
    /// Those of the index.
    pub fn buckets(&self) -> Result<Vec<Bucket>, Error> {
        self.0.index.read(|index| {
            let mut buckets = index.prepare("SELECT name, created FROM bucket ORDER BY name")?;
            let bucket = |row: &rusqlite::Row<'_>| {
                Ok(Bucket {
                    name: row.get(0)?,
                    created: time(row.get(1)?),
                })
            };
            let buckets: Result<Vec<_>, _> = buckets.query_map([], bucket)?.collect();
            Ok(buckets?)
        })
    }

    /// A bucket.
    ///
    /// # Errors
    /// [`crate::Error::NoBucket`]; those of the index.
    pub fn bucket(&self, bucket: &str) -> Result<Bucket, Error> {
        self.0.index.read(|index| {
            let number = number(index, bucket)?;
            let created = "SELECT created FROM bucket WHERE id = ?1";
            let created = index.query_row(created, [number], |row| row.get(0))?;
            Ok(Bucket {
                name: bucket.to_owned(),
                created: time(created),
            })
        })
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// [`crate::Error::Name`], [`Error::BucketExists`]; those of the index.
    pub fn create_bucket(&self, bucket: &str) -> Result<(), Error> {
        bucket_rules(bucket).map_err(crate::Error::Name)?;
        let bucket = bucket.to_owned();
        self.0.index.change(move |index| {
            let make = "INSERT INTO bucket (name, created) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            match index.execute(make, (&bucket, now()))? {
                0 => Err(Error::BucketExists(bucket)),
                _ => Ok(()),
            }
        })
    }

    /// Deletes a bucket without objects, and the uploads into it.
    ///
    /// # Errors
    /// [`crate::Error::NoBucket`], [`Error::NotEmpty`]; those of the index.
    pub fn delete_bucket(&self, bucket: &str) -> Result<(), Error> {
        let bucket = bucket.to_owned();
        let gone = self.0.index.change(move |index| {
            let number = number(index, &bucket)?;
            let full = "SELECT EXISTS (SELECT 1 FROM object WHERE bucket = ?1)";
            if index.query_row(full, [number], |row| row.get(0))? {
                return Err(Error::NotEmpty(bucket));
            }
            let parts = "DELETE FROM part WHERE upload IN (SELECT id FROM upload WHERE bucket = ?1) RETURNING file";
            let mut parts = index.prepare(parts)?;
            let files: Result<Vec<String>, _> =
                parts.query_map([number], |row| row.get(0))?.collect();
            index.execute("DELETE FROM upload WHERE bucket = ?1", [number])?;
            index.execute("DELETE FROM bucket WHERE id = ?1", [number])?;
            unnamed(index, files?)
        })?;
        self.0.files.forget(&gone);
        Ok(())
    }

    /// The tags of a bucket.
    ///
    /// # Errors
    /// [`crate::Error::NoBucket`]; those of the index.
    pub fn bucket_tags(&self, bucket: &str) -> Result<Tags, Error> {
        self.0.index.read(|index| {
            let number = number(index, bucket)?;
            let tags = "SELECT tags FROM bucket WHERE id = ?1";
            let tags: String = index.query_row(tags, [number], |row| row.get(0))?;
            Ok(serde_json::from_str(&tags)?)
        })
    }

    /// Gives a bucket these tags and no others.
    ///
    /// # Errors
    /// [`crate::Error::NoBucket`]; those of the index.
    pub fn tag_bucket(&self, bucket: &str, tags: &Tags) -> Result<(), Error> {
        let (bucket, tags) = (bucket.to_owned(), serde_json::to_string(tags)?);
        self.0.index.change(move |index| {
            let number = number(index, &bucket)?;
            index.execute("UPDATE bucket SET tags = ?2 WHERE id = ?1", (number, &tags))?;
            Ok(())
        })
    }
}
