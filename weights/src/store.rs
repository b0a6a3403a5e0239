//! The models on this machine: what is published, whether it is whole, and where a pull keeps its things.
//!
//! ```text
//! <dir>/<model>/<version>-<recipe>/   published: files, NOTICE, manifest.json; read-only, never changed
//! <dir>/hub/<org>--<name>/<commit>/  checkpoints that a user named (see `checkpoint.rs`)
//! <dir>/.pull/locks/                  one lock file per model and per archive
//! <dir>/.pull/files/<model>/          verified inputs of an unfinished pull
//! <dir>/.pull/archives/               verified archives of unfinished pulls
//! <dir>/.pull/scratch/<model>/        scratch of a running pull
//! ```
//! The recipe is a digest of everything that decides the published bytes (see `Entry::recipe`), so a new
//! catalogue entry or converter never meets files of an old one.

use crate::catalogue::{Catalog, Entry, MANIFEST};
use crate::error::{Error, io_error};
use crate::hash::{self, Sha256Hex};
use crate::progress::Progress;
use crate::pull;
use crate::source::{Secret, Settings};
use serde::{Deserialize, Serialize};
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Version of [`Manifest`].
pub(crate) const FORMAT: u32 = 1;

/// How to open a [`Store`]. Everything has a default; `None` is decided when the store is opened.
#[derive(Clone)]
pub struct StoreOptions {
    /// Where models are kept; `None`: `ESCALA_MODELS_DIR`, else `$XDG_CACHE_HOME/escala/models`, else
    /// `~/.cache/escala/models`.
    pub dir: Option<PathBuf>,
    /// Use no source but the local folder.
    pub offline: bool,
    /// A folder with files put there by hand, tried before any other source; `None`: `ESCALA_WEIGHTS_DIR`, if set.
    pub local: Option<PathBuf>,
    /// The hub's address; `None`: `HF_ENDPOINT`, else the `hf-hub` crate's default.
    pub hub_endpoint: Option<String>,
    /// The hub's access token; `None`: `HF_TOKEN`, else the token that the hub's own tools saved.
    pub hub_token: Option<String>,
    /// The program (and its first arguments) that is `pip`.
    pub pip: Vec<String>,
    /// The program (and its first arguments) that is `npm`.
    pub npm: Vec<String>,
    /// The models; `None`: [`Catalog::builtin`].
    pub catalog: Option<Catalog>,
    /// A hub that sends no byte for this long has failed.
    pub stall: Duration,
    /// A program that runs for longer than this is ended.
    pub command_limit: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        let words = |line: &[&str]| line.iter().map(|word| (*word).to_owned()).collect();
        Self {
            dir: None,
            offline: false,
            local: None,
            hub_endpoint: None,
            hub_token: None,
            pip: words(&["python3", "-m", "pip"]),
            npm: words(&["npm"]),
            catalog: None,
            stall: Duration::from_secs(60),
            command_limit: Duration::from_secs(30 * 60),
        }
    }
}

/// Without the token.
impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            dir,
            offline,
            local,
            hub_endpoint,
            hub_token: _,
            pip,
            npm,
            catalog: _,
            stall,
            command_limit,
        } = self;
        f.debug_struct("StoreOptions")
            .field("dir", dir)
            .field("offline", offline)
            .field("local", local)
            .field("hub_endpoint", hub_endpoint)
            .field("pip", pip)
            .field("npm", npm)
            .field("stall", stall)
            .field("command_limit", command_limit)
            .finish_non_exhaustive()
    }
}

/// The models on this machine. Cheap to share between threads; any number of processes may use one folder.
#[derive(Debug)]
pub struct Store {
    catalog: Catalog,
    layout: Layout,
    offline: bool,
    local: Option<PathBuf>,
    settings: Settings,
}

impl Store {
    /// Decides every setting; touches no file.
    ///
    /// # Errors
    /// [`Error::NoDirectory`] when nothing says where models are kept; [`Error::Catalogue`].
    pub fn open(options: StoreOptions) -> Result<Self, Error> {
        let dir = match options.dir {
            Some(dir) => dir,
            None => default_dir().ok_or(Error::NoDirectory)?,
        };
        // Names of work folders are handed to programs that run elsewhere.
        let dir = std::path::absolute(&dir).map_err(io_error("find", &dir))?;
        let catalog = match options.catalog {
            Some(catalog) => catalog,
            None => Catalog::builtin()?,
        };
        let settings = Settings {
            hub_endpoint: options.hub_endpoint.or_else(|| variable("HF_ENDPOINT")),
            hub_token: Secret(
                options
                    .hub_token
                    .or_else(|| variable("HF_TOKEN"))
                    .or_else(saved_token),
            ),
            pip: options.pip,
            npm: options.npm,
            stall: options.stall,
            command_limit: options.command_limit,
        };
        let local = options
            .local
            .or_else(|| folder(env::var_os("ESCALA_WEIGHTS_DIR")));
        Ok(Self {
            catalog,
            layout: Layout { dir },
            offline: options.offline,
            local,
            settings,
        })
    }

    /// The models that can be asked for.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Where models are kept.
    pub fn dir(&self) -> &Path {
        &self.layout.dir
    }

    /// Gives a model, pulling it first if it is missing or damaged. A model that is ready costs a few file
    /// system calls: its manifest is read and sizes are compared, checksums are not ([`Store::verify`] does).
    ///
    /// # Errors
    /// [`Error::UnknownModel`]; [`Error::Pull`] with what each source said; [`Error::Convert`]; [`Error::Io`];
    /// [`Error::Consent`] when it is not ready and its licence must be accepted first.
    pub fn ensure(&self, name: &str, progress: &dyn Progress) -> Result<ModelFiles, Error> {
        self.ensure_with(name, None, progress)
    }

    /// [`Store::ensure`] for somebody who accepts a licence: pulls also a model that needs consent, if it is
    /// under that very licence.
    ///
    /// # Errors
    /// Those of [`Store::ensure`].
    pub fn ensure_accepting(
        &self,
        name: &str,
        licence: &str,
        progress: &dyn Progress,
    ) -> Result<ModelFiles, Error> {
        self.ensure_with(name, Some(licence), progress)
    }

    fn ensure_with(
        &self,
        name: &str,
        accepted: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<ModelFiles, Error> {
        match self.find(name) {
            Ok(Some(ready)) => return Ok(ready),
            Ok(None) | Err(Error::Damaged { .. }) => (),
            Err(other) => return Err(other),
        }
        let entry = self.catalog.require(name)?;
        if entry.consent && accepted != Some(entry.licence.as_str()) {
            return Err(entry.needs_consent());
        }
        pull::pull(self, entry, progress)
    }

    /// Gives a model that is ready. Never pulls.
    ///
    /// # Errors
    /// Those of [`Store::find`]; when it is not ready, [`Error::Consent`] if [`Store::ensure`] would not pull it
    /// either, else [`Error::NotPulled`].
    pub fn pulled(&self, name: &str) -> Result<ModelFiles, Error> {
        let entry = self.catalog.require(name)?;
        match self.find(name) {
            Ok(Some(ready)) => Ok(ready),
            Ok(None) | Err(Error::Damaged { .. }) if entry.consent => Err(entry.needs_consent()),
            Ok(None) => Err(Error::NotPulled {
                model: name.to_owned(),
                dir: self.layout.dir.clone(),
            }),
            Err(other) => Err(other),
        }
    }

    /// Gives a model if it is published. Never pulls.
    ///
    /// # Errors
    /// [`Error::UnknownModel`]; [`Error::Damaged`] when a file is missing or of another size.
    pub fn find(&self, name: &str) -> Result<Option<ModelFiles>, Error> {
        let entry = self.catalog.require(name)?;
        let outputs = entry.outputs.iter().map(|output| output.name.as_str());
        published(name, &self.layout.published(entry), outputs)
    }

    /// A folder of this name in the local folder ([`StoreOptions::local`]) that looks like an image network's checkpoint.
    pub fn local_checkpoint(&self, name: &Path) -> Option<PathBuf> {
        let folder = self.local.as_ref()?.join(name);
        let there =
            [crate::declaration::FILE, "config.json"].map(|file| folder.join(file).is_file());
        there.contains(&true).then_some(folder)
    }

    /// Reads every published file of a model and compares its checksum.
    ///
    /// # Errors
    /// [`Error::NotPulled`]; [`Error::Damaged`] names the first file that does not hold; [`Error::UnknownModel`].
    pub fn verify(&self, name: &str) -> Result<Verified, Error> {
        let Some(model) = self.find(name)? else {
            return Err(Error::NotPulled {
                model: name.to_owned(),
                dir: self.layout.dir.clone(),
            });
        };
        verified(name, model)
    }

    /// Whether a model is here and looks whole (as [`Store::find`] looks).
    ///
    /// # Errors
    /// [`Error::UnknownModel`], [`Error::Io`].
    pub fn status(&self, name: &str) -> Result<Status, Error> {
        match self.find(name) {
            Ok(Some(model)) => Ok(Status::Ready {
                bytes: model.bytes(),
            }),
            Ok(None) => Ok(Status::Missing),
            Err(Error::Damaged { path, why, .. }) => Ok(Status::Damaged {
                why: format!("{}: {why}", path.display()),
            }),
            Err(other) => Err(other),
        }
    }

    /// Removes a model, every version of it and whatever an unfinished pull kept. Gives whether there was
    /// anything published. Processes that have its files mapped keep them until they let go.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], [`Error::Io`].
    pub fn remove(&self, name: &str) -> Result<bool, Error> {
        let entry = self.catalog.require(name)?;
        if !self.layout.dir.exists() {
            return Ok(false);
        }
        let _lock = pull::lock(self, name, None)?;
        let model = self.layout.model(name);
        let work = self.layout.work(name);
        pull::empty(&work)?;
        let there = model.exists();
        if there {
            // Gone in one step for whoever looks; then the bytes.
            fs::create_dir_all(&work).map_err(io_error("create", &work))?;
            fs::rename(&model, work.join("removed")).map_err(io_error("remove", &model))?;
            pull::sync_folder(&self.layout.dir)?;
        }
        pull::empty(&work)?;
        pull::empty(&self.layout.files(name))?;
        pull::drop_archives(self, entry);
        Ok(there)
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn offline(&self) -> bool {
        self.offline
    }

    pub(crate) fn local(&self) -> Option<&Path> {
        self.local.as_deref()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// Reads every file of a model and compares its checksum.
pub(crate) fn verified(name: &str, model: ModelFiles) -> Result<Verified, Error> {
    for file in &model.manifest.files {
        let path = model.dir.join(&file.name);
        let (found, _) = hash::of_file(&path, &mut |_| ()).map_err(io_error("read", &path))?;
        if found != file.sha256 {
            let why = format!("its SHA-256 is {found}, not {}", file.sha256);
            return Err(Error::Damaged {
                model: name.to_owned(),
                path,
                why,
            });
        }
    }
    Ok(Verified {
        bytes: model.bytes(),
        files: model.manifest.files,
    })
}

/// What is published in a folder, if anything is: the required files must be listed, and sizes are compared;
/// checksums are not.
pub(crate) fn published<'a>(
    name: &str,
    dir: &Path,
    mut required: impl Iterator<Item = &'a str>,
) -> Result<Option<ModelFiles>, Error> {
    let path = dir.join(MANIFEST);
    let damaged = |path: &Path, why: String| Error::Damaged {
        model: name.to_owned(),
        path: path.to_owned(),
        why,
    };
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return if dir.exists() {
                Err(damaged(&path, "it is missing".to_owned()))
            } else {
                Ok(None)
            };
        }
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| damaged(&path, format!("it cannot be read: {error}")))?;
    if manifest.format != FORMAT {
        return Err(damaged(
            &path,
            format!("it has format {}, not {FORMAT}", manifest.format),
        ));
    }
    let listed = |file: &&str| manifest.files.iter().any(|f| f.name == *file);
    if let Some(absent) = required.find(|file| !listed(file)) {
        return Err(damaged(&path, format!("it does not list {absent}")));
    }
    for file in &manifest.files {
        let path = dir.join(&file.name);
        match fs::metadata(&path) {
            Ok(found) if found.is_file() && found.len() == file.bytes => (),
            Ok(found) => {
                return Err(damaged(
                    &path,
                    format!("it has {} bytes, not {}", found.len(), file.bytes),
                ));
            }
            Err(error) => return Err(damaged(&path, error.to_string())),
        }
    }
    Ok(Some(ModelFiles::new(dir.to_owned(), manifest)))
}

/// Where things are below the store's folder.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
}

impl Layout {
    pub(crate) fn model(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn published(&self, entry: &Entry) -> PathBuf {
        self.model(&entry.name).join(entry.recipe())
    }

    pub(crate) fn locks(&self) -> PathBuf {
        self.dir.join(".pull/locks")
    }

    pub(crate) fn files(&self, name: &str) -> PathBuf {
        self.dir.join(".pull/files").join(name)
    }

    pub(crate) fn archives(&self) -> PathBuf {
        self.dir.join(".pull/archives")
    }

    pub(crate) fn work(&self, name: &str) -> PathBuf {
        self.dir.join(".pull/scratch").join(name)
    }
}

/// Whether a model is on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was not pulled.
    Missing,
    /// It can be used.
    Ready {
        /// Size of its files.
        bytes: u64,
    },
    /// Something of it is missing or of another size.
    Damaged {
        /// What.
        why: String,
    },
}

/// What [`Store::verify`] read and found right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The files.
    pub files: Vec<Published>,
    /// Their size together.
    pub bytes: u64,
}

/// What was published and from what; `manifest.json` in the model's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this file's layout.
    pub format: u32,
    /// The model.
    pub model: String,
    /// The version of its catalogue entry.
    pub version: String,
    /// SPDX identifier of the licence of the weights.
    pub licence: String,
    /// The published files, without this one.
    pub files: Vec<Published>,
    /// The inputs they were made from.
    pub inputs: Vec<Origin>,
}

impl Manifest {
    pub(crate) fn new(entry: &Entry, files: Vec<Published>, inputs: Vec<Origin>) -> Self {
        Self {
            format: FORMAT,
            model: entry.name.clone(),
            version: entry.version.clone(),
            licence: entry.licence.clone(),
            files,
            inputs,
        }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a manifest holds only text and numbers")
    }
}

/// One published file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Its name in the model's folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Sha256Hex,
}

/// One input that published files were made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its name.
    pub name: String,
    /// Its SHA-256.
    pub sha256: Sha256Hex,
    /// The source that gave it, in words.
    pub source: String,
}

/// A published model: a folder of files that never change.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    dir: PathBuf,
    manifest: Manifest,
}

impl ModelFiles {
    pub(crate) fn new(dir: PathBuf, manifest: Manifest) -> Self {
        Self { dir, manifest }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What was published and from what.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Size of all files together.
    pub fn bytes(&self) -> u64 {
        self.manifest.files.iter().map(|f| f.bytes).sum()
    }

    /// The place of one of its files.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`] lists the files there are.
    pub fn path(&self, file: &str) -> Result<PathBuf, Error> {
        if self.manifest.files.iter().any(|f| f.name == file) {
            return Ok(self.dir.join(file));
        }
        Err(Error::NoSuchFile {
            model: self.manifest.model.clone(),
            file: file.to_owned(),
            has: self.manifest.files.iter().map(|f| f.name.clone()).collect(),
        })
    }
}

/// An environment variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn folder(value: Option<OsString>) -> Option<PathBuf> {
    value.filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Where models are kept when no setting says so; nowhere where no variable of the environment names a folder either.
pub fn default_dir() -> Option<PathBuf> {
    dir_of(|name| env::var_os(name))
}

fn dir_of(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let named = |name| folder(variable(name));
    named("ESCALA_MODELS_DIR").or_else(|| {
        let cache = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")))?;
        Some(cache.join("escala/models"))
    })
}

/// The token that the hub's own tools saved.
fn saved_token() -> Option<String> {
    // `hf-hub` looks up the home folder and panics without one.
    let findable = ["HF_HOME", "HOME"]
        .iter()
        .any(|name| folder(env::var_os(name)).is_some());
    findable.then(hf_hub::Cache::from_env)?.token()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_first_that_is_named() {
        let dir = |set: &[(&str, &str)]| {
            let set: Vec<_> = set.to_vec();
            dir_of(|name| {
                let found = set.iter().find(|(variable, _)| *variable == name)?;
                Some(found.1.into())
            })
        };
        let (mine, cache, home) = (
            ("ESCALA_MODELS_DIR", "/m"),
            ("XDG_CACHE_HOME", "/c"),
            ("HOME", "/h"),
        );
        assert_eq!(dir(&[mine, cache, home]), Some("/m".into()));
        assert_eq!(dir(&[cache, home]), Some("/c/escala/models".into()));
        assert_eq!(
            dir(&[("ESCALA_MODELS_DIR", ""), home]),
            Some("/h/.cache/escala/models".into())
        );
        assert_eq!(dir(&[]), None);
    }

    #[test]
    fn a_store_is_shared_between_threads_and_hides_its_token() {
        fn shared<T: Send + Sync>(_: &T) {}
        let options = StoreOptions {
            dir: Some("/m".into()),
            hub_token: Some("hf_secret".into()),
            ..StoreOptions::default()
        };
        let text = format!("{options:?}");
        let store = Store::open(options).unwrap();
        shared(&store);
        assert!(!text.contains("hf_secret") && !format!("{store:?}").contains("hf_secret"));
    }
}
