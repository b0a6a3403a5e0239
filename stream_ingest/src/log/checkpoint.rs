//! The state of the log in a file, written aside and renamed, and a second time: one of the two is always whole, and a
//! flipped bit in one is made good by the other.

use super::disk::Disk;
use super::error::{Error, Result, io};
use super::image::Image;
use super::topics::TopicConfig;
use std::io::{self, IoSlice};

const FILES: [&str; 2] = ["checkpoint", "checkpoint.copy"];
const ASIDE: &str = "checkpoint.new";

/// Writes an image; it is durable when this returns. Gives the bytes that it has.
pub(crate) fn write(disk: &dyn Disk, image: &Image) -> io::Result<u64> {
    let encoded = image.encode();
    for path in FILES {
        let file = disk.create(ASIDE)?;
        file.write_at(&[IoSlice::new(&encoded)], 0)?;
        file.sync()?;
        disk.rename(ASIDE, path)?;
        disk.sync_folder("")?;
    }
    Ok(encoded.len() as u64)
}

/// The newest image, or `None` if there never was one.
pub(crate) fn read(disk: &dyn Disk, defaults: &TopicConfig) -> Result<Option<Image>> {
    let mut damaged = None;
    let mut newest: Option<Image> = None;
    for path in FILES {
        match read_one(disk, path, defaults) {
            Ok(Some(image)) if newest.as_ref().is_none_or(|newest| newest.lsn < image.lsn) => {
                newest = Some(image);
            }
            Ok(_) => {}
            Err(error @ Error::Damaged { .. }) => damaged = Some(error),
            Err(error) => return Err(error),
        }
    }
    match (newest, damaged) {
        (Some(image), damaged) => {
            if let Some(damaged) = damaged {
                tracing::warn!(%damaged, "the other checkpoint is used");
            }
            Ok(Some(image))
        }
        (None, Some(damaged)) => Err(damaged),
        (None, None) => Ok(None),
    }
}

/// Those of the two files that are there and cannot be used.
pub(crate) fn damages(disk: &dyn Disk, defaults: &TopicConfig) -> Result<Vec<Error>> {
    let mut damages = Vec::new();
    for path in FILES {
        match read_one(disk, path, defaults) {
            Err(error @ Error::Damaged { .. }) => damages.push(error),
            read => drop(read?),
        }
    }
    Ok(damages)
}

fn read_one(disk: &dyn Disk, path: &str, defaults: &TopicConfig) -> Result<Option<Image>> {
    let damaged = |why: &str| Error::Damaged {
        path: path.to_owned(),
        at: 0,
        why: why.to_owned(),
    };
    let file = match disk.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(io("open", path))?,
    };
    let length = file.length().map_err(io("look at", path))?;
    let length = usize::try_from(length).map_err(|_| damaged("it is longer than memory"))?;
    let content = file.read(length, 0).map_err(io("read", path))?;
    Image::decode(&content, defaults).map(Some).map_err(damaged)
}
