//! Uploads in parts: nothing of one can be seen until it is completed, which names the parts' files and copies nothing.

use super::buckets::number;
use super::checksum::{Algorithm, Checksum, Digests, hex};
use super::files::Written;
use super::objects::{About, Condition, Info, Segment, Tags, checksum_text, place, unnamed};
use super::{Error, Local, now, signed, time, unsigned};
use crate::ObjectName;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::time::SystemTime;
use uuid::Uuid;

/// Fewest bytes of a part that is not the last.
pub const SMALLEST_PART: u64 = 5 << 20;

/// What is said when an upload begins.
#[derive(Clone, Debug, Default)]
pub struct NewUpload {
    /// What is given back with the object.
    pub about: About,
    /// The object's tags.
    pub tags: Tags,
    /// The checksum of parts and object, and whether the object's is of its parts' checksums.
    pub checksum: Option<(Algorithm, bool)>,
}

/// An upload that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: String,
    /// The key of the object to be.
    pub key: String,
    /// When it began.
    pub started: SystemTime,
    /// The checksum of parts and object, and whether the object's is of its parts' checksums.
    pub checksum: Option<(Algorithm, bool)>,
}

/// A part that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadedPart {
    /// Its number.
    pub number: u32,
    /// Its bytes, counted.
    pub length: u64,
    /// Its MD5.
    pub etag: String,
    /// When it came.
    pub modified: SystemTime,
    /// Its checksum, where one was sent or the upload has one.
    pub checksum: Option<Checksum>,
}

/// The parts of an upload.
pub type Parts = Vec<UploadedPart>;

/// A part as the request that completes an upload names it.
#[derive(Clone, Debug)]
pub struct Given {
    /// Its number.
    pub number: u32,
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its checksum, where it is named.
    pub checksum: Option<(Algorithm, String)>,
}

fn upload(row: &Row<'_>) -> rusqlite::Result<(Upload, Option<String>)> {
    let upload = Upload {
        id: row.get(0)?,
        key: row.get(1)?,
        started: time(row.get(2)?),
        checksum: None,
    };
    Ok((upload, row.get(3)?))
}

fn understood((mut upload, checksum): (Upload, Option<String>)) -> Result<Upload, Error> {
    let checksum = checksum.map(|text| serde_json::from_str(&text));
    upload.checksum = checksum.transpose()?;
    Ok(upload)
}

fn existing(index: &Connection, name: &ObjectName, id: &str) -> Result<Upload, Error> {
    let bucket = number(index, name.bucket())?;
    let find =
        "SELECT id, key, started, checksum FROM upload WHERE id = ?1 AND bucket = ?2 AND key = ?3";
    let mut find = index.prepare_cached(find)?;
    let found = find
        .query_row((id, bucket, name.key()), upload)
        .optional()?;
    understood(found.ok_or_else(|| Error::NoUpload(id.to_owned()))?)
}

/// Parts and their files.
fn parts_of(
    index: &Connection,
    upload: &str,
    after: u32,
    most: usize,
) -> Result<Vec<(UploadedPart, String)>, Error> {
    let parts = "SELECT number, length, etag, modified, checksum, file FROM part \
                 WHERE upload = ?1 AND number > ?2 ORDER BY number LIMIT ?3";
    let mut parts = index.prepare_cached(parts)?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut rows = parts.query((upload, after, most))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let checksum: Option<String> = row.get(4)?;
        let part = UploadedPart {
            number: row.get(0)?,
            length: unsigned(row.get(1)?),
            etag: row.get(2)?,
            modified: time(row.get(3)?),
            checksum: checksum
                .map(|text| serde_json::from_str(&text))
                .transpose()?,
        };
        found.push((part, row.get(5)?));
    }
    Ok(found)
}

/// Takes an upload out of the index; the files of its parts.
fn take(index: &Connection, id: &str) -> Result<Vec<String>, Error> {
    let mut files = index.prepare_cached("DELETE FROM part WHERE upload = ?1 RETURNING file")?;
    let files: Result<Vec<String>, _> = files.query_map([id], |row| row.get(0))?.collect();
    index.execute("DELETE FROM upload WHERE id = ?1", [id])?;
    Ok(files?)
}

/// The parts that a request names, where they are what it says.
fn chosen(
    mut there: Vec<(UploadedPart, String)>,
    given: &[Given],
) -> Result<Vec<(UploadedPart, String)>, Error> {
    if !given.is_sorted_by(|a, b| a.number < b.number) {
        return Err(Error::PartOrder);
    }
    let mut chosen = Vec::with_capacity(given.len());
    for one in given {
        let at = there.binary_search_by_key(&one.number, |(part, _)| part.number);
        let at = at.map_err(|_| Error::InvalidPart(one.number))?;
        let (part, file) = &mut there[at];
        let sum = part.checksum.as_ref();
        let other = one.checksum.as_ref().is_some_and(|(algorithm, value)| {
            !sum.is_some_and(|sum| sum.algorithm == *algorithm && sum.value == *value)
        });
        if part.etag != one.etag || other {
            return Err(Error::InvalidPart(one.number));
        }
        chosen.push((part.clone(), std::mem::take(file)));
    }
    let Some((_, but_last)) = chosen.split_last() else {
        return Err(Error::InvalidPart(0));
    };
    match but_last
        .iter()
        .find(|(part, _)| part.length < SMALLEST_PART)
    {
        Some((small, _)) => Err(Error::SmallPart(small.number)),
        None => Ok(chosen),
    }
}

/// The checksum of an object of parts.
fn joined(
    parts: &[(UploadedPart, String)],
    checksum: Option<(Algorithm, bool)>,
) -> Result<Option<Checksum>, Error> {
    let Some((algorithm, composite)) = checksum else {
        return Ok(None);
    };
    let mut sums = Vec::with_capacity(parts.len());
    for (part, _) in parts {
        let sum = part.checksum.as_ref().and_then(Checksum::bytes);
        sums.push((sum.ok_or(Error::InvalidPart(part.number))?, part.length));
    }
    if composite {
        let all: Vec<u8> = sums.iter().flat_map(|(sum, _)| sum.clone()).collect();
        let mut whole = Checksum::whole(algorithm, &algorithm.of(&all));
        whole.value = format!("{}-{}", whole.value, parts.len());
        whole.composite = true;
        return Ok(Some(whole));
    }
    let mut sums = sums.into_iter();
    let first = sums.next().map(|(sum, _)| sum).unwrap_or_default();
    let both =
        |first: Vec<u8>, (sum, length): (Vec<u8>, u64)| algorithm.combined(&first, &sum, length);
    let whole = sums.try_fold(first, both);
    Ok(whole.map(|whole| Checksum::whole(algorithm, &whole)))
}

fn md5_of(etag: &str) -> impl Iterator<Item = u8> + '_ {
    let digits = etag.as_bytes().chunks(2);
    digits.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
}

impl Local {
    /// Begins an upload; its id.
    ///
    /// # Errors
    /// [`crate::Error::NoBucket`]; those of the index.
    pub fn begin_upload(&self, name: &ObjectName, new: &NewUpload) -> Result<String, Error> {
        let id = Uuid::new_v4().simple().to_string();
        let (name, given) = (name.clone(), id.clone());
        let (about, tags) = (
            serde_json::to_string(&new.about)?,
            serde_json::to_string(&new.tags)?,
        );
        let checksum = new
            .checksum
            .map(|checksum| serde_json::to_string(&checksum));
        let checksum = checksum.transpose()?;
        self.0.index.change(move |index| {
            let bucket = number(index, name.bucket())?;
            index.execute(
                "INSERT INTO upload (id, bucket, key, started, about, checksum, tags) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![given, bucket, name.key(), now(), about, checksum, tags],
            )?;
            Ok(())
        })?;
        Ok(id)
    }

    /// An upload.
    ///
    /// # Errors
    /// [`Error::NoUpload`]; those of the index.
    pub fn upload(&self, name: &ObjectName, id: &str) -> Result<Upload, Error> {
        self.0.index.read(|index| existing(index, name, id))
    }

    /// Makes bytes a part, in the place of the one that had its number.
    ///
    /// # Errors
    /// [`Error::NoUpload`]; those of the index and the disk.
    pub fn put_part(
        &self,
        name: &ObjectName,
        id: &str,
        number: u32,
        written: Written,
    ) -> Result<UploadedPart, Error> {
        let part = UploadedPart {
            number,
            length: written.length,
            etag: written.etag(),
            modified: time(now()),
            checksum: written.checksum.clone(),
        };
        let (name, id) = (name.clone(), id.to_owned());
        let (file, checksum) = (
            written.name().to_owned(),
            checksum_text(part.checksum.as_ref())?,
        );
        let (length, etag) = (signed(part.length), part.etag.clone());
        let changed = self.0.index.change(move |index| {
            existing(index, &name, &id)?;
            let old = "DELETE FROM part WHERE upload = ?1 AND number = ?2 RETURNING file";
            let old: Option<String> = index
                .prepare_cached(old)?
                .query_row(params![id, number], |row| row.get(0))
                .optional()?;
            index
                .prepare_cached(
                    "INSERT INTO part (upload, number, file, length, etag, modified, checksum) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![id, number, file, length, etag, now(), checksum])?;
            unnamed(index, old.into_iter().collect())
        });
        let gone = self.settle(written, changed)?;
        self.0.files.forget(&gone);
        Ok(part)
    }

    /// At most `most` parts of an upload whose numbers come after `after`.
    ///
    /// # Errors
    /// [`Error::NoUpload`]; those of the index.
    pub fn parts(
        &self,
        name: &ObjectName,
        id: &str,
        after: u32,
        most: usize,
    ) -> Result<(Upload, Parts), Error> {
        self.0.index.read(|index| {
            let upload = existing(index, name, id)?;
            let parts = parts_of(index, id, after, most)?;
            Ok((upload, parts.into_iter().map(|(part, _)| part).collect()))
        })
    }

    /// At most `most` uploads into a bucket whose keys begin with `prefix` and which come after the upload `after.1` of the
    /// key `after.0`, in the order of keys and ids. An empty id stands for all uploads of the key.
    ///
    /// # Errors
    /// [`crate::Error::NoBucket`]; those of the index.
    pub fn uploads(
        &self,
        bucket: &str,
        prefix: &str,
        after: (&str, &str),
        most: usize,
    ) -> Result<Vec<Upload>, Error> {
        self.0.index.read(|index| {
            let bucket = number(index, bucket)?;
            let uploads = "SELECT id, key, started, checksum FROM upload \
                 WHERE bucket = ?1 AND key >= ?2 AND (key > ?3 OR (key = ?3 AND ?4 <> '' AND id > ?4)) \
                 ORDER BY key, id LIMIT ?5";
            let mut uploads = index.prepare_cached(uploads)?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let asked = params![bucket, prefix, after.0, after.1, most];
            let mut rows = uploads.query(asked)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let upload = understood(upload(row)?)?;
                if !upload.key.starts_with(prefix) {
                    break;
                }
                found.push(upload);
            }
            Ok(found)
        })
    }

    /// Gives an upload up.
    ///
    /// # Errors
    /// [`Error::NoUpload`]; those of the index.
    pub fn abort_upload(&self, name: &ObjectName, id: &str) -> Result<(), Error> {
        let (name, id) = (name.clone(), id.to_owned());
        let gone = self.0.index.change(move |index| {
            existing(index, &name, &id)?;
            let files = take(index, &id)?;
            unnamed(index, files)
        })?;
        self.0.files.forget(&gone);
        Ok(())
    }

    /// Makes the parts that are given, in the order of their numbers, an object. Others are dropped.
    ///
    /// # Errors
    /// [`Error::NoUpload`], [`Error::PartOrder`], [`Error::InvalidPart`], [`Error::SmallPart`], [`Error::Precondition`];
    /// [`Error::Digest`] where the object's checksum is not `expected`, [`Error::Length`] where its length is not; those of
    /// the index.
    pub fn complete_upload(
        &self,
        name: &ObjectName,
        id: &str,
        given: &[Given],
        condition: &Condition,
        expected: (Option<u64>, Option<(Algorithm, String)>),
    ) -> Result<Info, Error> {
        let (name, id, condition) = (name.clone(), id.to_owned(), condition.clone());
        let given = given.to_vec();
        let (info, gone) = self.0.index.change(move |index| {
            let upload = existing(index, &name, &id)?;
            let parts = chosen(parts_of(index, &id, 0, usize::MAX)?, &given)?;
            let mut digests = Digests::new(&[]);
            for (part, _) in &parts {
                digests.update(&md5_of(&part.etag).collect::<Vec<u8>>());
            }
            let checksum = joined(&parts, upload.checksum)?;
            let length = parts.iter().map(|(part, _)| part.length).sum();
            let (announced, sum) = expected;
            if let Some(announced) = announced.filter(|announced| *announced != length) {
                let got = length;
                return Err(Error::Length { got, announced });
            }
            if let Some((algorithm, value)) = sum {
                let same = |sum: &Checksum| sum.algorithm == algorithm && sum.value == value;
                if !checksum.as_ref().is_some_and(same) {
                    return Err(Error::Digest(algorithm.name()));
                }
            }
            let said = "SELECT about, tags FROM upload WHERE id = ?1";
            let (about, tags): (String, String) =
                index.query_row(said, [&id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let info = Info {
                length,
                etag: format!("{}-{}", hex(&digests.finish().md5), parts.len()),
                modified: time(now()),
                about: serde_json::from_str(&about)?,
                checksum,
                // A request names at most 10,000.
                parts: u32::try_from(parts.len()).unwrap_or(u32::MAX),
                tags: serde_json::from_str(&tags)?,
            };
            let segments: Vec<Segment> = parts
                .into_iter()
                .map(|(part, file)| (part.number, file, part.length, part.checksum))
                .collect();
            let mut gone = place(index, &name, &condition, &info, &segments)?;
            let files = take(index, &id)?;
            gone.extend(unnamed(index, files)?);
            Ok((info, gone))
        })?;
        self.0.files.forget(&gone);
        Ok(info)
    }
}
