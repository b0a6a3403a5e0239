//! A folder that somebody filled by hand, for machines that reach nothing.
//!
//! For each input it may hold `<folder>/<model>/<file>` or `<folder>/<file>`; or, at either place, the archive
//! that carries it under the archive's own name. Checksums are held to as for any other source.

use super::archive;
use super::{Failure, Inbox};
use crate::catalogue::{Entry, InputFile};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// What to do about a file with another checksum.
const AGAIN: &str =
    "copy the file again: it is damaged, or it is another version than the pinned one";

/// Lays down files of a folder that an entry names as a source.
pub(super) fn copy(
    folder: &Path,
    wanted: &[(&InputFile, &str)],
    inbox: &Inbox<'_>,
) -> Result<(), Failure> {
    for (file, path) in wanted {
        let path = folder.join(path);
        let mut from = File::open(&path).map_err(|error| {
            let why = format!("cannot open {}: {error}", path.display());
            Failure::permanent(why, "put the file there, or correct the entry")
        })?;
        lay(file, &path, &mut from, inbox)?;
    }
    Ok(())
}

/// Lays down an input; says which file was refused.
fn lay(file: &InputFile, path: &Path, from: &mut File, inbox: &Inbox<'_>) -> Result<(), Failure> {
    inbox.deposit(file, from).map_err(|refused| {
        let mut failure = match refused {
            super::Refused::Content(why) => Failure::permanent(why, AGAIN),
            other => other.into_failure("check the folder's disk"),
        };
        failure.why = format!("{}: {}", path.display(), failure.why);
        failure
    })
}

/// Lays down what the folder has of the missing inputs.
pub(crate) fn fetch(
    folder: &Path,
    entry: &Entry,
    missing: &[&InputFile],
    inbox: &Inbox<'_>,
) -> Result<(), Failure> {
    if !folder.is_dir() {
        return Err(Failure::permanent(
            format!("{} is not a folder", folder.display()),
            "create it, or set ESCALA_WEIGHTS_DIR to the folder that has the files",
        ));
    }
    let mut absent = Vec::new();
    for file in missing {
        match open(folder, &entry.name, &file.name)? {
            Some((path, mut from)) => lay(file, &path, &mut from, inbox)?,
            None => absent.push(*file),
        }
    }
    for source in &entry.sources {
        let Some(carrier) = source.archive() else {
            continue;
        };
        let wanted: Vec<(&InputFile, &str)> = absent
            .iter()
            .filter_map(|file| Some((*file, source.paths().get(&file.name)?.as_str())))
            .collect();
        if wanted.is_empty() {
            continue;
        }
        let Some((_, mut from)) = open(folder, &entry.name, &carrier.name)? else {
            continue;
        };
        archive::store(carrier, &mut from, inbox)?;
        archive::extract(carrier, &wanted, inbox)?;
        absent.retain(|file| !wanted.iter().any(|(given, _)| given.name == file.name));
    }
    if absent.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = absent.iter().map(|f| f.name.as_str()).collect();
    Err(Failure::permanent(
        format!("{} has no {}", folder.display(), names.join(", ")),
        format!("put the files into {}", folder.join(&entry.name).display()),
    ))
}

fn open(folder: &Path, model: &str, name: &str) -> Result<Option<(PathBuf, File)>, Failure> {
    for path in [folder.join(model).join(name), folder.join(name)] {
        match File::open(&path) {
            Ok(file) => return Ok(Some((path, file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => {
                let why = format!("cannot open {}: {error}", path.display());
                return Err(Failure::permanent(why, "make the file readable"));
            }
        }
    }
    Ok(None)
}
