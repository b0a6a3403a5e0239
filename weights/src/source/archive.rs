//! Pinned archives: kept under their checksum, and read one named member at a time.
//!
//! A path inside an archive is only ever compared with the name the catalogue gives; it never becomes a path on
//! disk. A member is read up to its pinned size and no further.

use super::{Failure, Inbox, Refused, holds, lay_down};
use crate::catalogue::{Archive, InputFile};
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use zip::ZipArchive;
use zip::result::ZipError;

/// How an archive is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Zip,
    TarGz,
}

impl Kind {
    /// The kind that a file name's ending says.
    pub(crate) fn of(name: &str) -> Option<Self> {
        if name.ends_with(".whl") || name.ends_with(".zip") {
            Some(Self::Zip)
        } else if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
            Some(Self::TarGz)
        } else {
            None
        }
    }
}

/// Where an archive is kept.
pub(crate) fn place(archive: &Archive, inbox: &Inbox<'_>) -> PathBuf {
    inbox.archives.join(archive.sha256.to_string())
}

/// Whether the archive is kept and holds its checksum.
pub(crate) fn kept(archive: &Archive, inbox: &Inbox<'_>) -> bool {
    holds(
        &place(archive, inbox),
        &archive.name,
        archive.bytes,
        archive.sha256,
        &inbox.tell,
    )
}

/// Keeps an archive that was read from somewhere.
pub(crate) fn store(
    archive: &Archive,
    from: &mut dyn Read,
    inbox: &Inbox<'_>,
) -> Result<(), Failure> {
    let place = place(archive, inbox);
    lay_down(
        from,
        &place,
        &archive.name,
        archive.bytes,
        archive.sha256,
        &inbox.tell,
    )
    .map_err(|refused| refused.into_failure("check the disk"))
}

/// Lays down members of a kept archive.
pub(crate) fn extract(
    archive: &Archive,
    wanted: &[(&InputFile, &str)],
    inbox: &Inbox<'_>,
) -> Result<(), Failure> {
    let path = place(archive, inbox);
    let file = File::open(&path).map_err(|error| Failure::disk("open", &path, &error))?;
    let broken = |why: String| {
        Failure::permanent(
            format!("{}: {why}", archive.name),
            "the archive's catalogue entry needs mending",
        )
    };
    let deposit = |input: &InputFile, from: &mut dyn Read| {
        inbox.deposit(input, from).map_err(|refused| match refused {
            Refused::Read(error) => broken(error.to_string()),
            other => other.into_failure(""),
        })
    };
    match Kind::of(&archive.name) {
        Some(Kind::Zip) => {
            let mut zip = ZipArchive::new(file).map_err(|error| broken(error.to_string()))?;
            for (input, member) in wanted {
                let mut from = zip.by_name(member).map_err(|error| match error {
                    ZipError::FileNotFound => broken(format!("has no {member}")),
                    other => broken(other.to_string()),
                })?;
                deposit(input, &mut from)?;
            }
        }
        Some(Kind::TarGz) => {
            let mut left: Vec<_> = wanted.to_vec();
            let mut tar = tar::Archive::new(GzDecoder::new(file));
            for entry in tar.entries().map_err(|error| broken(error.to_string()))? {
                let mut entry = entry.map_err(|error| broken(error.to_string()))?;
                let at = left
                    .iter()
                    .position(|(_, member)| *entry.path_bytes() == *member.as_bytes());
                if let Some(at) = at
                    && entry.header().entry_type().is_file()
                {
                    let (input, _) = left.swap_remove(at);
                    deposit(input, &mut entry)?;
                }
                if left.is_empty() {
                    break;
                }
            }
            if let Some((_, member)) = left.first() {
                return Err(broken(format!("has no {member}")));
            }
        }
        None => return Err(broken("is of no known kind".to_owned())),
    }
    Ok(())
}
