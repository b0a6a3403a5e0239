//! Objects that were found, wherever they are.

use super::part_number;
use crate::s3::places::{Place, Places};
use crate::s3::words;
use axum::http::StatusCode;
use escala_objects::local::{self, About, Info, Part};
use escala_objects::{ObjectName, ObjectStore};
use s3s::S3Result;
use std::io::Read;

/// Bytes that are open.
type Opened = Result<Box<dyn Read + Send>, local::Error>;

/// An object that was found, wherever it is.
pub(super) struct Found {
    pub(super) info: Info,
    pub(super) parts: Vec<Part>,
    /// Opens a range of its bytes.
    pub(super) open: Box<dyn FnOnce(std::ops::Range<u64>) -> Opened + Send>,
}

pub(super) fn find(places: &Places, name: ObjectName) -> Result<Found, local::Error> {
    match places.of(name.bucket())? {
        Place::Local(local) => {
            let found = local.find(&name)?;
            Ok(Found {
                info: found.info.clone(),
                parts: found.parts.clone(),
                open: Box::new(move |range| Ok(Box::new(found.read(range)))),
            })
        }
        Place::Elsewhere(store) => {
            let info = store.describe(&name)?;
            let etag = info.etag.clone();
            Ok(Found {
                info,
                parts: Vec::new(),
                open: Box::new(move |range| {
                    if range.is_empty() {
                        return Ok(Box::new(std::io::empty()));
                    }
                    let object = store.open_range(&name, range)?;
                    match object.etag == etag {
                        true => Ok(object.bytes),
                        false => {
                            let changed = "the object changed while it was read";
                            Err(local::Error::Disk(std::io::Error::other(changed)))
                        }
                    }
                }),
            })
        }
        Place::Folder(folder) => {
            let object = folder.open(&name)?;
            let mut bytes = object.bytes;
            Ok(Found {
                info: Info {
                    length: object.length,
                    etag: object.etag,
                    modified: object.modified,
                    about: About::default(),
                    checksum: None,
                    parts: 0,
                    tags: Vec::new(),
                },
                parts: Vec::new(),
                open: Box::new(move |range| {
                    if range.start > 0 {
                        bytes = folder.open_range(&name, range.clone())?.bytes;
                    }
                    let length = range.end.saturating_sub(range.start);
                    Ok(Box::new(bytes.take(length)))
                }),
            })
        }
    }
}

/// What is known of an object, wherever it is.
pub(super) fn info(places: &Places, name: &ObjectName) -> Result<Info, local::Error> {
    match places.of(name.bucket())? {
        Place::Local(local) => local.info(name),
        Place::Elsewhere(store) => Ok(store.describe(name)?),
        Place::Folder(_) => find(places, name.clone()).map(|found| found.info),
    }
}

/// The numbers of the parts of an object and where the one of a number is.
pub(super) fn part_of(found: &Found, number: i32) -> S3Result<std::ops::Range<u64>> {
    let number = part_number(number)?;
    if found.info.parts == 0 {
        return match number {
            1 => Ok(0..found.info.length),
            _ => Err(words::other(
                "InvalidPartNumber",
                StatusCode::RANGE_NOT_SATISFIABLE,
                "the object has one part",
            )),
        };
    }
    // Parts count from 1 here, whatever they were numbered when they came.
    let at = number as usize - 1;
    let start = found.parts.iter().take(at).map(|part| part.length).sum();
    let part = found.parts.get(at);
    let part = part.ok_or_else(|| {
        words::other(
            "InvalidPartNumber",
            StatusCode::RANGE_NOT_SATISFIABLE,
            "the object has fewer parts",
        )
    })?;
    Ok(start..start + part.length)
}
