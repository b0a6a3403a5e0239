//! The state of the log in a file, written aside and renamed, and a second time: one of the two is always whole, and a
//! flipped bit in one is made good by the other.

use super::disk::Disk;
use super::error::{Error, Result, io};
use super::image::Image;
use super::topics::TopicConfig;
use std::io::{self, IoSlice};

const FILES: [&str; 2] = ["checkpoint", "checkpoint.copy"];
const ASIDE: &str = "checkpoint.new";

/// Writes an image; it is durable when this returns.
pub(crate) fn write(disk: &dyn Disk, image: &Image) -> io::Result<()> {
    let encoded = image.encode();
    for path in FILES {
        let file = disk.create(ASIDE)?;
        file.write_at(&[IoSlice::new(&encoded)], 0)?;
        file.sync()?;
        disk.rename(ASIDE, path)?;
        disk.sync_folder("")?;
    }
    Ok(())
}

/// The newest image, or `None` if there never was one.
pub(crate) fn read(disk: &dyn Disk, defaults: &TopicConfig) -> Result<Option<Image>> {
    let mut damaged = None;
    let mut newest: Option<Image> = None;
    for path in FILES {
        let file = match disk.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(io("open", path))?,
        };
        let length = file.length().map_err(io("look at", path))?;
        let length = usize::try_from(length).map_err(|_| Error::Damaged {
            path: path.to_owned(),
            at: 0,
            why: "it is longer than memory".to_owned(),
        })?;
        let mut content = vec![0; length];
        let read = file.read_at(&mut content, 0).map_err(io("read", path))?;
        match Image::decode(&content[..read], defaults) {
            Ok(image) if newest.as_ref().is_none_or(|newest| newest.lsn < image.lsn) => {
                newest = Some(image);
            }
            Ok(_) => {}
            Err(why) => {
                damaged = Some(Error::Damaged {
                    path: path.to_owned(),
                    at: 0,
                    why: why.to_owned(),
                });
            }
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
