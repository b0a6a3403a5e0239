//! Objects of the store.

use super::buckets::number;
use super::checksum::Checksum;
use super::files::{Files, Pieces, Pins, Writing, Written};
use super::{Error, Expected, Local, now, signed, time, unsigned};
use crate::{Listed, NewObject, Object, ObjectName, ObjectStore, WritableStore, inside};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;
use uuid::Uuid;

/// What an object's writer said about it, which is given back as it was said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// `Content-Type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `Cache-Control`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_disposition: Option<String>,
    /// `Content-Encoding`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_language: Option<String>,
    /// `Expires`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// `x-amz-website-redirect-location`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
    /// `x-amz-meta-…`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub user: BTreeMap<String, String>,
}

/// Tags: names and values.
pub type Tags = Vec<(String, String)>;

/// What must be so when an object is put in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    Always,
    /// There is no object of the name.
    Absent,
    /// There is one with this ETag.
    Match(String),
}

/// What is said with the bytes of an object.
#[derive(Clone, Debug, Default)]
pub struct Put {
    /// What is given back with them.
    pub about: About,
    /// The object's tags.
    pub tags: Tags,
    /// When they become the object.
    pub condition: Condition,
}

/// What a copy has that is not its source's.
#[derive(Clone, Debug, Default)]
pub struct Copy {
    /// Instead of what the source's writer said.
    pub about: Option<About>,
    /// Instead of the source's tags.
    pub tags: Option<Tags>,
    /// When the copy becomes the object.
    pub condition: Condition,
    /// The ETag that the source must still have.
    pub source: Option<String>,
}

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its bytes, counted.
    pub length: u64,
    /// Its ETag, without quotes.
    pub etag: String,
    /// When it was put.
    pub modified: SystemTime,
    /// What its writer said about it.
    pub about: About,
    /// Its checksum, where its writer asked for one.
    pub checksum: Option<Checksum>,
    /// Parts that it was uploaded in; none where it was uploaded whole.
    pub parts: u32,
    /// Its tags.
    pub tags: Tags,
}

impl Info {
    /// As it is listed.
    pub fn listed(&self, key: &str) -> Listed {
        Listed {
            key: key.to_owned(),
            length: self.length,
            etag: self.etag.clone(),
            modified: self.modified,
        }
    }
}

/// A part of an object that was uploaded in parts, or all of one that was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number.
    pub number: u32,
    /// Its bytes, counted.
    pub length: u64,
    /// Its checksum, where its uploader asked for one.
    pub checksum: Option<Checksum>,
    file: String,
}

/// An object that was found. What it was then can be read for as long as this is there.
pub struct Found {
    /// What is known of it.
    pub info: Info,
    /// Its parts in their order.
    pub parts: Vec<Part>,
    files: Arc<Files>,
    pins: Arc<Pins>,
}

impl Found {
    /// Reads a range of its bytes; what of it is beyond the end is left out.
    pub fn read(&self, range: Range<u64>) -> Pieces {
        let mut pieces = Vec::new();
        let mut start = 0;
        for part in &self.parts {
            let end = start + part.length;
            let (from, to) = (range.start.max(start), range.end.min(end));
            if from < to {
                pieces.push((part.file.clone(), from - start, to - from));
            }
            start = end;
        }
        Pieces::new(self.files.clone(), pieces, self.pins.clone())
    }
}

const INFO: &str = "length, etag, modified, about, checksum, parts, tags, id";

fn json<T: for<'a> Deserialize<'a>>(text: Option<String>) -> Result<Option<T>, Error> {
    Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
}

/// JSON of a checksum, as the index keeps it.
pub fn checksum_text(checksum: Option<&Checksum>) -> Result<Option<String>, Error> {
    Ok(checksum.map(serde_json::to_string).transpose()?)
}

/// A row of [`INFO`], read and not yet understood.
struct Raw {
    info: (i64, String, i64, String, Option<String>, u32, String),
    id: String,
}

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok(Raw {
        info: (
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
            row.get(5)?,
            row.get(6)?,
        ),
        id: row.get(7)?,
    })
}

impl Raw {
    fn info(self) -> Result<Info, Error> {
        let (length, etag, modified, about, checksum, parts, tags) = self.info;
        Ok(Info {
            length: unsigned(length),
            etag,
            modified: time(modified),
            about: serde_json::from_str(&about)?,
            checksum: json(checksum)?,
            parts,
            tags: serde_json::from_str(&tags)?,
        })
    }
}

fn find(index: &Connection, bucket: i64, key: &str) -> Result<Option<Raw>, Error> {
    let find = format!("SELECT {INFO} FROM object WHERE bucket = ?1 AND key = ?2");
    let mut find = index.prepare_cached(&find)?;
    Ok(find.query_row((bucket, key), raw).optional()?)
}

fn existing(index: &Connection, name: &ObjectName) -> Result<Raw, Error> {
    let found = find(index, number(index, name.bucket())?, name.key())?;
    let found = found.ok_or_else(|| name.absent())?;
    name.only_version()?;
    Ok(found)
}

fn parts_of(index: &Connection, object: &str) -> Result<Vec<Part>, Error> {
    let parts =
        "SELECT number, length, checksum, file FROM segment WHERE object = ?1 ORDER BY number";
    let mut parts = index.prepare_cached(parts)?;
    let mut rows = parts.query([object])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Part {
            number: row.get(0)?,
            length: unsigned(row.get(1)?),
            checksum: json(row.get(2)?)?,
            file: row.get(3)?,
        });
    }
    Ok(found)
}

/// Those of the files that no row names any more.
pub fn unnamed(index: &Connection, files: Vec<String>) -> Result<Vec<String>, Error> {
    let named = "SELECT EXISTS (SELECT 1 FROM segment WHERE file = ?1) OR EXISTS (SELECT 1 FROM part WHERE file = ?1)";
    let mut named = index.prepare_cached(named)?;
    let mut gone = Vec::new();
    for file in files {
        if !named.query_row([&file], |row| row.get(0))? {
            gone.push(file);
        }
    }
    Ok(gone)
}

/// Takes an object out of the index; the files that it had.
fn take(index: &Connection, bucket: i64, key: &str) -> Result<Vec<String>, Error> {
    let mut delete =
        index.prepare_cached("DELETE FROM object WHERE bucket = ?1 AND key = ?2 RETURNING id")?;
    let id: Option<String> = delete
        .query_row((bucket, key), |row| row.get(0))
        .optional()?;
    let Some(id) = id else {
        return Ok(Vec::new());
    };
    let mut files = index.prepare_cached("DELETE FROM segment WHERE object = ?1 RETURNING file")?;
    let files: Result<Vec<String>, _> = files.query_map([id], |row| row.get(0))?.collect();
    Ok(files?)
}

/// Whether an object may be put where this one is.
pub fn holds(condition: &Condition, name: &ObjectName, there: Option<&str>) -> Result<(), Error> {
    match (condition, there) {
        (Condition::Always, _) | (Condition::Absent, None) => Ok(()),
        (Condition::Match(etag), Some(there)) if etag == there => Ok(()),
        (Condition::Match(_), None) => Err(name.absent().into()),
        _ => Err(Error::Precondition),
    }
}

/// A segment that is put: its file, length and checksum.
pub type Segment = (u32, String, u64, Option<Checksum>);

/// Puts an object into the index in the place of what is there; the files that no row names any more.
pub fn place(
    index: &Connection,
    name: &ObjectName,
    condition: &Condition,
    info: &Info,
    segments: &[Segment],
) -> Result<Vec<String>, Error> {
    name.only_version()?;
    let bucket = number(index, name.bucket())?;
    let etag = "SELECT etag FROM object WHERE bucket = ?1 AND key = ?2";
    let there: Option<String> = index
        .prepare_cached(etag)?
        .query_row((bucket, name.key()), |row| row.get(0))
        .optional()?;
    holds(condition, name, there.as_deref())?;
    let files = take(index, bucket, name.key())?;
    let id = Uuid::new_v4().simple().to_string();
    let modified = info.modified.duration_since(SystemTime::UNIX_EPOCH);
    index
        .prepare_cached(
            "INSERT INTO object (bucket, key, id, length, etag, modified, about, checksum, parts, tags) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            bucket,
            name.key(),
            id,
            signed(info.length),
            info.etag,
            modified.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            serde_json::to_string(&info.about)?,
            checksum_text(info.checksum.as_ref())?,
            info.parts,
            serde_json::to_string(&info.tags)?,
        ])?;
    let mut segment = index.prepare_cached(
        "INSERT INTO segment (object, number, file, length, checksum) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (number, file, length, checksum) in segments {
        let checksum = checksum_text(checksum.as_ref())?;
        segment.execute(params![id, number, file, signed(*length), checksum])?;
    }
    unnamed(index, files)
}

impl Local {
    /// What is known of an object.
    ///
    /// # Errors
    /// [`crate::Error::NoBucket`], [`crate::Error::NoKey`], [`crate::Error::NoVersion`]; those of the index.
    pub fn info(&self, name: &ObjectName) -> Result<Info, Error> {
        self.0.index.read(|index| existing(index, name)?.info())
    }

    /// An object, to be read.
    ///
    /// # Errors
    /// Those of [`Local::info`].
    pub fn find(&self, name: &ObjectName) -> Result<Found, Error> {
        let files = self.0.files.clone();
        loop {
            let (info, parts, id) = self.0.index.read(|index| {
                let raw = existing(index, name)?;
                let parts = parts_of(index, &raw.id)?;
                let id = raw.id.clone();
                Ok((raw.info()?, parts, id))
            })?;
            let pins = files.pin(parts.iter().map(|part| part.file.clone()));
            // What was there when it was pinned stays; what was replaced before may be gone.
            let still = self
                .0
                .index
                .read(|index| Ok(existing(index, name)?.id == id))?;
            if still {
                return Ok(Found {
                    info,
                    parts,
                    files,
                    pins: Arc::new(pins),
                });
            }
        }
    }

    /// Makes bytes an object.
    ///
    /// # Errors
    /// [`crate::Error::NoBucket`], [`crate::Error::NoVersion`], [`Error::Precondition`]; [`crate::Error::NoKey`] where an
    /// ETag is expected and there is no object; those of the index and the disk.
    pub fn put(&self, name: &ObjectName, written: Written, put: Put) -> Result<Info, Error> {
        let info = Info {
            length: written.length,
            etag: written.etag(),
            modified: time(now()),
            about: put.about,
            checksum: written.checksum.clone(),
            parts: 0,
            tags: put.tags,
        };
        let segment = (1, written.name().to_owned(), written.length, None);
        let (name, placed) = (name.clone(), info.clone());
        let changed = self
            .0
            .index
            .change(move |index| place(index, &name, &put.condition, &placed, &[segment]));
        let gone = self.settle(written, changed)?;
        self.0.files.forget(&gone);
        Ok(info)
    }

    /// Makes an object of the bytes of another, which are not copied: both name the same files.
    ///
    /// # Errors
    /// Those of [`Local::info`] about the source and of [`Local::put`] about the copy; [`Error::Precondition`] where the
    /// source is another than was expected.
    pub fn copy(&self, from: &ObjectName, to: &ObjectName, copy: Copy) -> Result<Info, Error> {
        let (from, to) = (from.clone(), to.clone());
        let (info, gone) = self.0.index.change(move |index| {
            let raw = existing(index, &from)?;
            let parts = parts_of(index, &raw.id)?;
            let mut info = raw.info()?;
            if copy.source.is_some_and(|etag| etag != info.etag) {
                return Err(Error::Precondition);
            }
            info.modified = time(now());
            info.about = copy.about.unwrap_or(info.about);
            info.tags = copy.tags.unwrap_or(info.tags);
            let segments: Vec<Segment> = parts
                .into_iter()
                .map(|part| (part.number, part.file, part.length, part.checksum))
                .collect();
            let gone = place(index, &to, &copy.condition, &info, &segments)?;
            Ok((info, gone))
        })?;
        self.0.files.forget(&gone);
        Ok(info)
    }

    /// Deletes objects of a bucket; what is not there is no error.
    ///
    /// # Errors
    /// [`crate::Error::NoBucket`]; those of the index.
    pub fn delete_all(&self, bucket: &str, keys: Vec<String>) -> Result<(), Error> {
        let bucket = bucket.to_owned();
        let gone = self.0.index.change(move |index| {
            let bucket = number(index, &bucket)?;
            let mut files = Vec::new();
            for key in keys {
                files.extend(take(index, bucket, &key)?);
            }
            unnamed(index, files)
        })?;
        self.0.files.forget(&gone);
        Ok(())
    }

    /// Deletes an object where it is what is expected: there at all, or with this ETag.
    ///
    /// # Errors
    /// [`Error::Precondition`]; [`crate::Error::NoKey`] where there is none; those of the index.
    pub fn delete_expected(&self, name: &ObjectName, etag: Option<&str>) -> Result<(), Error> {
        let (name, etag) = (name.clone(), etag.map(str::to_owned));
        let gone = self.0.index.change(move |index| {
            let there = existing(index, &name)?.info()?;
            if etag.is_some_and(|etag| etag != there.etag) {
                return Err(Error::Precondition);
            }
            let files = take(index, number(index, name.bucket())?, name.key())?;
            unnamed(index, files)
        })?;
        self.0.files.forget(&gone);
        Ok(())
    }

    /// Gives an object these tags and no others.
    ///
    /// # Errors
    /// Those of [`Local::info`].
    pub fn tag(&self, name: &ObjectName, tags: &Tags) -> Result<(), Error> {
        let (name, tags) = (name.clone(), serde_json::to_string(tags)?);
        self.0.index.change(move |index| {
            let id = existing(index, &name)?.id;
            let bucket = number(index, name.bucket())?;
            index.execute(
                "UPDATE object SET tags = ?3 WHERE bucket = ?1 AND key = ?2 AND id = ?4",
                (bucket, name.key(), &tags, &id),
            )?;
            Ok(())
        })
    }
}

impl ObjectStore for Local {
    fn open(&self, name: &ObjectName) -> Result<Object, crate::Error> {
        let found = self.find(name)?;
        Ok(Object {
            bytes: Box::new(found.read(0..u64::MAX)),
            length: found.info.length,
            etag: found.info.etag,
            modified: found.info.modified,
        })
    }

    fn content_type(&self, name: &ObjectName) -> Result<Option<String>, crate::Error> {
        Ok(self.info(name)?.about.content_type)
    }

    fn open_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Object, crate::Error> {
        let found = self.find(name)?;
        let range = inside(range, found.info.length)?;
        Ok(Object {
            bytes: Box::new(found.read(range)),
            length: found.info.length,
            etag: found.info.etag,
            modified: found.info.modified,
        })
    }

    fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<Listed>, crate::Error> {
        let listed = self.0.index.read(|index| {
            let bucket = number(index, bucket)?;
            let (from, comparison) = match after < prefix {
                true => (prefix, ">="),
                false => (after, ">"),
            };
            let list = format!(
                "SELECT key, length, etag, modified FROM object WHERE bucket = ?1 AND key {comparison} ?2 \
                 ORDER BY key LIMIT ?3"
            );
            let mut list = index.prepare_cached(&list)?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let mut rows = list.query((bucket, from, most))?;
            let mut listed = Vec::new();
            while let Some(row) = rows.next()? {
                let key: String = row.get(0)?;
                if !key.starts_with(prefix) {
                    break;
                }
                listed.push(Listed {
                    key,
                    length: unsigned(row.get(1)?),
                    etag: row.get(2)?,
                    modified: time(row.get(3)?),
                });
            }
            Ok(listed)
        });
        Ok(listed?)
    }
}

impl WritableStore for Local {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn NewObject>, crate::Error> {
        self.bucket(name.bucket())?;
        name.only_version()?;
        Ok(Box::new(New {
            writing: self.write(&[])?,
            store: self.clone(),
            name: name.clone(),
        }))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), crate::Error> {
        self.bucket(name.bucket())?;
        name.only_version()?;
        Ok(self.delete_all(name.bucket(), vec![name.key().to_owned()])?)
    }
}

/// An object that is made through the trait.
struct New {
    store: Local,
    name: ObjectName,
    writing: Writing,
}

impl Write for New {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.writing.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writing.flush()
    }
}

impl NewObject for New {
    fn commit(self: Box<Self>) -> Result<Listed, crate::Error> {
        let written = self.writing.finish(&Expected::default(), None)?;
        let info = self.store.put(&self.name, written, Put::default())?;
        Ok(info.listed(self.name.key()))
    }
}
