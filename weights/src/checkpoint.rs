//! Checkpoints that a user names instead of the catalogue: a repository on the hub, or a folder.
//!
//! ```text
//! <dir>/hub/<org>--<name>/<commit>/        published as any model: files, manifest.json; read-only
//! <dir>/hub/<org>--<name>/refs/<revision>  the commit that a branch or tag was when it was first asked for
//! ```
//! Nothing is pinned beforehand, so the first pull decides: the hub says which commit the revision is, every file
//! comes from that commit, and what arrived is recorded with its SHA-256 (and held against the hub's own, where
//! the hub gives one). From then on the same reference gives the same files without a network; another revision
//! is another reference. Only data is fetched: tensors as safetensors or ONNX, the rest JSON and TOML.
//!
//! | what it reads | its files |
//! | --- | --- |
//! | texts | `config.json`, `tokenizer.json`, `model.safetensors` |
//! | images | `config.json`, `preprocessor_config.json`, `model.safetensors` |
//! | images | `model.toml` (a [`Declaration`]) and the files that it names |
//!
//! In the place of `model.safetensors` there may be `model.safetensors.index.json` and the files that it names
//! ([`Parts`]).

use crate::declaration::{self, Declaration};
use crate::digest;
use crate::error::{Attempt, Error, io_error};
use crate::hash::{self, Sha256Hex};
use crate::parts::{self, Parts};
use crate::progress::{Progress, Stage};
use crate::pull::{empty, link, lock, sync_folder, write_through};
use crate::source::{Failure, Inbox, Tell, hub};
use crate::store::{self, Manifest, ModelFiles, Origin, Published, Store, Verified};
use crate::tensors::Tensors;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a checkpoint reads, which decides what files it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Texts,
    Images,
}

/// The files of a checkpoint by name, and the most bytes that each may take.
#[derive(Debug, Default)]
struct Files {
    required: Vec<(String, u64)>,
    /// What says more, where it is there.
    more: &'static [(&'static str, u64)],
}

impl Kind {
    /// What a folder or repository with these files is, where nobody says.
    fn guess(has: &dyn Fn(&str) -> bool) -> Self {
        let image = has(declaration::FILE) || (has(PREPROCESSOR) && !has(TOKENIZER));
        if image { Self::Images } else { Self::Texts }
    }

    /// The files in the layout of Hugging Face transformers.
    fn files(self) -> Files {
        let beside = match self {
            Self::Texts => TOKENIZER,
            Self::Images => PREPROCESSOR,
        };
        let required = [(CONFIG, JSON), (beside, JSON), (TENSORS, WEIGHTS)];
        Files {
            required: required
                .map(|(name, most)| (name.to_owned(), most))
                .to_vec(),
            more: if self == Self::Texts { &MORE } else { &[] },
        }
    }
}

impl Files {
    /// Those of a network that is declared.
    fn declared(declaration: &Declaration) -> Self {
        let named = declaration.files().map(|name| {
            let network = name == declaration.file;
            let most = if network {
                NETWORK
            } else {
                declaration::MOST_BYTES
            };
            (name.to_owned(), most)
        });
        let own = (declaration::FILE.to_owned(), declaration::MOST_BYTES);
        Self {
            required: std::iter::once(own).chain(named).collect(),
            more: &[],
        }
    }

    /// Those of a folder, by what it is said or seems to be.
    fn of_folder(folder: &Path, kind: Option<Kind>) -> Result<Self, Error> {
        let has = |name: &str| folder.join(name).exists();
        let kind = kind.unwrap_or_else(|| Kind::guess(&has));
        if kind == Kind::Images && has(declaration::FILE) {
            let declaration = Declaration::open(&folder.join(declaration::FILE))?;
            return Ok(Self::declared(&declaration));
        }
        let files = kind.files();
        Ok(match files.in_parts(&has) {
            true => files.with_parts(&Parts::open(&folder.join(parts::FILE))?),
            false => files,
        })
    }

    /// Whether the weights are in several files, where these are the names of all.
    fn in_parts(&self, has: &dyn Fn(&str) -> bool) -> bool {
        self.has(TENSORS) && !has(TENSORS) && has(parts::FILE)
    }

    /// The same with the weights in several files.
    fn with_parts(mut self, parts: &Parts) -> Self {
        self.required.retain(|(name, _)| name != TENSORS);
        let list = (parts::FILE.to_owned(), parts::MOST_BYTES);
        let files = parts.files().iter().map(|name| (name.clone(), WEIGHTS));
        self.required.extend(std::iter::once(list).chain(files));
        self
    }

    /// What is opened to read the weights.
    fn weights(&self) -> Option<&'static str> {
        [TENSORS, parts::FILE]
            .into_iter()
            .find(|name| self.has(name))
    }

    /// By name, and whether each must be there.
    fn names(&self) -> impl Iterator<Item = (&str, bool)> {
        let required = self.required.iter().map(|(name, _)| (name.as_str(), true));
        required.chain(self.more.iter().map(|(name, _)| (*name, false)))
    }

    fn has(&self, name: &str) -> bool {
        self.required.iter().any(|(required, _)| required == name)
    }

    /// The required ones, in words.
    fn words(&self) -> String {
        let names: Vec<&str> = self
            .required
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        match names.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
            None => String::new(),
        }
    }
}

/// What says more about a sentence encoder, or about how texts are continued, where it is there.
const MORE: [(&str, u64); 6] = [
    ("chat_template.jinja", JSON),
    ("generation_config.json", JSON),
    ("modules.json", JSON),
    ("sentence_bert_config.json", JSON),
    ("tokenizer_config.json", JSON),
    ("1_Pooling/config.json", JSON),
];
const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const PREPROCESSOR: &str = "preprocessor_config.json";
const TENSORS: &str = "model.safetensors";
const JSON: u64 = 256 << 20;
/// Bytes of a file of weights.
const WEIGHTS: u64 = 32 << 30;
/// Bytes of an ONNX file: what its format allows.
const NETWORK: u64 = 2 << 30;

/// The revision that is meant when none is said.
const DEFAULT_REVISION: &str = "main";

/// What a reference names.
#[derive(Debug, PartialEq, Eq)]
enum Reference {
    Folder(PathBuf),
    Hub { repo: String, revision: String },
}

impl Reference {
    /// A path that is written as one or is there, else `org/name` or `org/name@revision`.
    fn parse(text: &str) -> Result<Self, Error> {
        let path = Path::new(text);
        if path.is_absolute() || text.starts_with('.') || path.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let (repo, revision) = text.split_once('@').unwrap_or((text, DEFAULT_REVISION));
        let plain = |part: &str| {
            let inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
            part.len() <= 96
                && edge(part.bytes().next())
                && part.bytes().all(inside)
                && !part.contains("--")
                && !part.contains("..")
        };
        let parts: Vec<&str> = repo.split('/').collect();
        if parts.len() != 2 || !parts.iter().all(|part| plain(part)) {
            return Err(Error::Reference {
                reference: text.to_owned(),
                why: "it is no folder, and not org/name or org/name@revision",
            });
        }
        if !(1..=8).contains(&revision.split('/').count()) || !revision.split('/').all(plain) {
            return Err(Error::Reference {
                reference: text.to_owned(),
                why: "what is after the @ is no branch, tag or commit",
            });
        }
        Ok(Self::Hub {
            repo: repo.to_owned(),
            revision: revision.to_owned(),
        })
    }
}

/// A hub's checkpoint on this machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Checkpoint {
    /// `owner/name`.
    pub repo: String,
    /// The branch or tag that was asked for.
    pub revision: String,
    /// The commit that it was.
    pub commit: String,
    /// Size of its files; none when something of it is missing or of another size.
    pub bytes: Option<u64>,
}

impl Checkpoint {
    /// What names it: `owner/name`, and the revision where it is not the one that is meant when none is said.
    pub fn reference(&self) -> String {
        match self.revision.as_str() {
            DEFAULT_REVISION => self.repo.clone(),
            revision => format!("{}@{revision}", self.repo),
        }
    }
}

/// The names in a folder; none when there is no folder.
fn names_in(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("read", folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(io_error("read", folder))?.file_name();
        names.extend(name.into_string());
    }
    Ok(names)
}

/// Where a repository's checkpoints are.
struct Place {
    /// `hub--org--name`: no model of the catalogue has two dashes and this beginning by accident, and it is a
    /// plain file name.
    key: String,
    /// The folder of its commits.
    dir: PathBuf,
}

impl Store {
    /// Gives a checkpoint that is not in the catalogue: `org/name` or `org/name@revision` on the hub, pulled at
    /// the first use, or the path of a folder with `config.json`, `tokenizer.json` and `model.safetensors`.
    ///
    /// A branch stays the commit that it was at the first use. A folder is used where it is; its files must not
    /// be changed while they are in use.
    ///
    /// # Errors
    /// [`Error::Reference`]; [`Error::Pull`] with what the hub said; [`Error::Damaged`] when a folder lacks a
    /// file; [`Error::Tensors`] when the weights are not a whole safetensors file; [`Error::Io`].
    pub fn checkpoint(
        &self,
        reference: &str,
        progress: &dyn Progress,
    ) -> Result<ModelFiles, Error> {
        self.checkpoint_of(reference, Some(Kind::Texts), progress)
    }

    /// As [`Store::checkpoint`], of an image network: `config.json`, `preprocessor_config.json` and
    /// `model.safetensors`, or a [`Declaration`] as `model.toml` and the files that it names.
    ///
    /// # Errors
    /// As [`Store::checkpoint`]; [`Error::Declaration`].
    pub fn image_checkpoint(
        &self,
        reference: &str,
        progress: &dyn Progress,
    ) -> Result<ModelFiles, Error> {
        self.checkpoint_of(reference, Some(Kind::Images), progress)
    }

    /// As [`Store::checkpoint`] and [`Store::image_checkpoint`], whichever of the two it seems to be.
    ///
    /// # Errors
    /// As theirs.
    pub fn any_checkpoint(
        &self,
        reference: &str,
        progress: &dyn Progress,
    ) -> Result<ModelFiles, Error> {
        self.checkpoint_of(reference, None, progress)
    }

    /// An image network's checkpoint if it is on this machine. Never pulls.
    ///
    /// # Errors
    /// [`Error::Reference`]; [`Error::Damaged`] when a file is missing or of another size; those of a folder, as
    /// [`Store::image_checkpoint`].
    pub fn image_checkpoint_here(&self, reference: &str) -> Result<Option<ModelFiles>, Error> {
        match Reference::parse(reference)? {
            Reference::Folder(folder) if !folder.exists() => Ok(None),
            Reference::Folder(folder) => local(reference, &folder, Some(Kind::Images)).map(Some),
            Reference::Hub { repo, revision } => {
                let place = Place::of(self, &repo);
                find(&repo, &revision, &place, Some(Kind::Images))
            }
        }
    }

    /// The digest of a model that is on this machine, by its name in the catalogue, on the hub, or as a folder; none
    /// where it is not. Never pulls. Reads the files of a folder.
    ///
    /// # Errors
    /// As [`Store::find`]; [`Error::Reference`]; [`Error::Io`].
    pub fn digest(&self, name: &str) -> Result<Option<Sha256Hex>, Error> {
        if self.catalog().get(name).is_some() {
            return Ok(self.find(name)?.map(|model| model.digest()));
        }
        match Reference::parse(name)? {
            Reference::Folder(folder) if folder.is_dir() => {
                let digest = digest::of_folder(&folder);
                digest.map(Some).map_err(io_error("read", &folder))
            }
            Reference::Folder(_) => Ok(None),
            Reference::Hub { repo, revision } => {
                let found = find(&repo, &revision, &Place::of(self, &repo), None)?;
                Ok(found.map(|model| model.digest()))
            }
        }
    }

    /// Whether a name is that of a repository, not of a model of the catalogue.
    pub fn names_checkpoint(&self, name: &str) -> bool {
        self.catalog().get(name).is_none()
            && matches!(Reference::parse(name), Ok(Reference::Hub { .. }))
    }

    /// The checkpoints of hubs that are on this machine, by name.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn checkpoints(&self) -> Result<Vec<Checkpoint>, Error> {
        let mut found = Vec::new();
        for folder in names_in(&self.dir().join("hub"))? {
            let Some((owner, name)) = folder.split_once("--") else {
                continue;
            };
            let repo = format!("{owner}/{name}");
            let place = Place::of(self, &repo);
            for reference in names_in(&place.dir.join("refs"))? {
                let revision = reference.replace("%2F", "/");
                let Some(commit) = place.commit(&revision)? else {
                    continue;
                };
                let files = find(&repo, &revision, &place, None);
                found.push(Checkpoint {
                    repo: repo.clone(),
                    revision,
                    commit,
                    bytes: files.ok().flatten().map(|files| files.bytes()),
                });
            }
        }
        found.sort();
        Ok(found)
    }

    /// Reads every file of a hub's checkpoint and compares its checksum.
    ///
    /// # Errors
    /// As [`Store::verify`]; [`Error::Reference`].
    pub fn verify_checkpoint(&self, reference: &str) -> Result<Verified, Error> {
        let Reference::Hub { repo, revision } = Reference::parse(reference)? else {
            return Err(Error::Reference {
                reference: reference.to_owned(),
                why: "folders have no checksums",
            });
        };
        match find(&repo, &revision, &Place::of(self, &repo), None)? {
            Some(files) => store::verified(reference, files),
            None => Err(Error::NotPulled {
                model: reference.to_owned(),
                dir: self.dir().to_owned(),
            }),
        }
    }

    /// Removes a repository's checkpoints, every revision of them, and whatever an unfinished pull kept. Gives whether
    /// there was anything.
    ///
    /// # Errors
    /// [`Error::Reference`], [`Error::Io`].
    pub fn remove_checkpoint(&self, reference: &str) -> Result<bool, Error> {
        let Reference::Hub { repo, .. } = Reference::parse(reference)? else {
            return Err(Error::Reference {
                reference: reference.to_owned(),
                why: "a folder is its owner's to remove",
            });
        };
        let place = Place::of(self, &repo);
        if !self.dir().exists() {
            return Ok(false);
        }
        let _lock = lock(self, &place.key, None)?;
        let work = self.layout().work(&place.key);
        empty(&work)?;
        let there = place.dir.exists();
        if there {
            // Gone in one step for whoever looks; then the bytes.
            fs::create_dir_all(&work).map_err(io_error("create", &work))?;
            fs::rename(&place.dir, work.join("removed")).map_err(io_error("remove", &place.dir))?;
        }
        empty(&work)?;
        empty(&self.layout().files(&place.key))?;
        Ok(there)
    }

    fn checkpoint_of(
        &self,
        reference: &str,
        kind: Option<Kind>,
        progress: &dyn Progress,
    ) -> Result<ModelFiles, Error> {
        let (repo, revision) = match Reference::parse(reference)? {
            Reference::Folder(folder) => return local(reference, &folder, kind),
            Reference::Hub { repo, revision } => (repo, revision),
        };
        let place = Place::of(self, &repo);
        match find(&repo, &revision, &place, kind) {
            Ok(Some(ready)) => Ok(ready),
            Ok(None)
            | Err(Error::Damaged { .. } | Error::Declaration { .. } | Error::Tensors(_)) => {
                let tell = Tell {
                    model: &repo,
                    progress,
                };
                let result = pull(self, &repo, &revision, &place, kind, tell);
                match &result {
                    Ok(model) => tell.say(Stage::Ready, "", model.bytes(), None),
                    Err(_) => tell.say(Stage::GivenUp, "", 0, None),
                }
                result
            }
            Err(other) => Err(other),
        }
    }
}

/// A folder as it is.
fn local(reference: &str, folder: &Path, kind: Option<Kind>) -> Result<ModelFiles, Error> {
    let files = Files::of_folder(folder, kind)?;
    let mut manifest = manifest(reference, "folder");
    for (name, required) in files.names() {
        let path = folder.join(name);
        match fs::metadata(&path) {
            Ok(found) if found.is_file() => manifest.files.push(published(folder, name)?),
            Ok(_) | Err(_) if !required => (),
            result => {
                let why = match result {
                    Ok(_) => "it is no file".to_owned(),
                    Err(error) => missing(name, &|other| folder.join(other).exists())
                        .unwrap_or_else(|| error.to_string()),
                };
                return Err(Error::Checkpoint {
                    reference: reference.to_owned(),
                    path,
                    why,
                });
            }
        }
    }
    if let Some(weights) = files.weights() {
        Tensors::open(folder.join(weights))?;
    }
    Ok(ModelFiles::new(folder.to_owned(), manifest))
}

/// Why there are no weights that are read, where there are others.
fn missing(name: &str, has: &dyn Fn(&str) -> bool) -> Option<String> {
    let others = [
        (
            "pytorch_model.bin",
            "there is pytorch_model.bin, but only safetensors are read",
        ),
        (
            "tf_model.h5",
            "there is tf_model.h5, but only safetensors are read",
        ),
    ];
    let other = others.iter().find(|(other, _)| has(other));
    other
        .filter(|_| name == TENSORS)
        .map(|(_, why)| (*why).to_owned())
        .or_else(|| {
            let bare = name == CONFIG && (has("model.onnx") || has("onnx/model.onnx"));
            bare.then(|| {
                format!(
                    "there is an ONNX file, but no {} that says what it reads and gives",
                    declaration::FILE
                )
            })
        })
}

fn manifest(model: &str, version: &str) -> Manifest {
    Manifest {
        format: store::FORMAT,
        model: model.to_owned(),
        version: version.to_owned(),
        licence: "as its authors say".to_owned(),
        files: Vec::new(),
        inputs: Vec::new(),
    }
}

fn published(dir: &Path, name: &str) -> Result<Published, Error> {
    let path = dir.join(name);
    let (sha256, bytes) = hash::of_file(&path, &mut |_| ()).map_err(io_error("read", &path))?;
    Ok(Published {
        name: name.to_owned(),
        bytes,
        sha256,
    })
}

/// What is published of a revision.
fn find(
    repo: &str,
    revision: &str,
    place: &Place,
    kind: Option<Kind>,
) -> Result<Option<ModelFiles>, Error> {
    let Some(commit) = place.commit(revision)? else {
        return Ok(None);
    };
    let dir = place.dir.join(commit);
    let files = Files::of_folder(&dir, kind)?;
    store::published(
        repo,
        &dir,
        files.required.iter().map(|(name, _)| name.as_str()),
    )
}

impl Place {
    fn of(store: &Store, repo: &str) -> Self {
        let name = repo.replace('/', "--");
        Self {
            dir: store.dir().join("hub").join(&name),
            key: format!("hub--{name}"),
        }
    }

    /// The commit that a revision was when it was first asked for.
    fn commit(&self, revision: &str) -> Result<Option<String>, Error> {
        let path = self.reference(revision);
        match fs::read_to_string(&path) {
            Ok(commit) if is_commit(&commit) => Ok(Some(commit)),
            Ok(_) => {
                tracing::warn!(path = %path.display(), "names no commit; asking the hub again");
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    fn reference(&self, revision: &str) -> PathBuf {
        // No plain revision has a percent sign.
        self.dir.join("refs").join(revision.replace('/', "%2F"))
    }
}

/// A commit names a folder.
fn is_commit(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn pull(
    store: &Store,
    repo: &str,
    revision: &str,
    place: &Place,
    kind: Option<Kind>,
    tell: Tell<'_>,
) -> Result<ModelFiles, Error> {
    let _lock = lock(store, &place.key, Some(&tell))?;
    match find(repo, revision, place, kind) {
        Ok(Some(ready)) => return Ok(ready),
        Ok(None) => (),
        Err(error @ (Error::Declaration { .. } | Error::Tensors(_))) => {
            tracing::warn!(repo, %error, "pulling a damaged checkpoint again");
        }
        Err(Error::Damaged { path, why, .. }) => {
            tracing::warn!(repo, path = %path.display(), why, "pulling a damaged checkpoint again");
        }
        Err(other) => return Err(other),
    }
    // A damaged checkpoint is made whole again, not moved on.
    let asked = place.commit(revision)?;
    let asked = asked.as_deref().unwrap_or(revision);
    let layout = store.layout();
    let inbox = Inbox {
        files: layout.files(&place.key),
        archives: layout.archives(),
        work: layout.work(&place.key),
        locks: layout.locks(),
        tell,
    };
    empty(&inbox.work)?;
    for folder in [&inbox.files, &inbox.work] {
        fs::create_dir_all(folder).map_err(io_error("create", folder))?;
    }
    let staging = inbox.work.join("staging");
    let fetched = if store.offline() {
        Err(Failure {
            why: "not tried: offline".to_owned(),
            hint: "pull it once while online".to_owned(),
            transient: false,
        })
    } else {
        tell.say(Stage::Fetch, &format!("hub repository {repo}"), 0, None);
        fetch(store, repo, asked, kind, &inbox, &staging)
    };
    let (commit, names) = fetched.map_err(|failure| {
        let why = failure.why;
        tell.say(
            Stage::Failed,
            &format!("hub repository {repo}: {why}"),
            0,
            None,
        );
        Error::Pull {
            model: repo.to_owned(),
            attempts: vec![Attempt {
                source: format!("hub repository {repo}"),
                why,
                hint: format!(
                    "{}; or put {} into a folder and give its path",
                    failure.hint,
                    kind.unwrap_or(Kind::Texts).files().words()
                ),
                transient: failure.transient,
            }],
        }
    })?;
    let files = publish(repo, revision, &commit, &names, place, &inbox, &staging)?;
    for folder in [&inbox.work, &inbox.files] {
        if let Err(error) = empty(folder) {
            tracing::warn!(%error, "cannot remove what a pull kept");
        }
    }
    Ok(files)
}

/// Lays the files down in `staging`; gives the commit and their names.
fn fetch(
    store: &Store,
    repo: &str,
    revision: &str,
    kind: Option<Kind>,
    inbox: &Inbox<'_>,
    staging: &Path,
) -> Result<(String, Vec<String>), Failure> {
    let settings = store.settings();
    let listing = hub::list(repo, revision, inbox, settings)?;
    if !is_commit(&listing.commit) {
        return Err(Failure {
            why: format!("the hub calls the commit \"{}\"", listing.commit),
            hint: "check that HF_ENDPOINT is a hub".to_owned(),
            transient: false,
        });
    }
    let has = |name: &str| listing.files.iter().any(|file| file == name);
    let get = |name: &str, most: u64| -> Result<PathBuf, Failure> {
        let got = hub::fetch_any(repo, &listing.commit, name, most, inbox, settings)?;
        let to = staging.join(name);
        let laid = fs::create_dir_all(to.parent().unwrap_or(staging))
            .map_err(io_error("create", staging))
            .and_then(|()| link(&got, &to));
        laid.map_err(|error| Failure {
            why: error.to_string(),
            hint: "check the disk".to_owned(),
            transient: false,
        })?;
        Ok(to)
    };
    let other = |why: String| Failure {
        why,
        hint: "choose a repository that has it".to_owned(),
        transient: false,
    };
    let mut files = kind.unwrap_or_else(|| Kind::guess(&has)).files();
    // What says what there is comes first.
    let mut there = None;
    if kind != Some(Kind::Texts) && has(declaration::FILE) {
        let path = get(declaration::FILE, declaration::MOST_BYTES)?;
        there = Some(declaration::FILE);
        let declaration = Declaration::open(&path).map_err(|error| other(error.to_string()))?;
        files = Files::declared(&declaration);
    }
    if files.in_parts(&has) {
        let list = get(parts::FILE, parts::MOST_BYTES)?;
        there = Some(parts::FILE);
        let parts = Parts::open(&list).map_err(|error| other(error.to_string()))?;
        files = files.with_parts(&parts);
    }
    if let Some((name, _)) = files.required.iter().find(|(name, _)| !has(name)) {
        return Err(other(match missing(name, &has) {
            Some(why) => format!("the repository has no {name}: {why}"),
            None => format!("the repository has no {name}"),
        }));
    }
    let required = files
        .required
        .iter()
        .map(|(name, most)| (name.as_str(), *most));
    let more = files.more.iter().copied().filter(|(name, _)| has(name));
    let mut names = Vec::new();
    for (name, most) in required.chain(more) {
        if there != Some(name) {
            get(name, most)?;
        }
        names.push(name.to_owned());
    }
    Ok((listing.commit, names))
}

/// Makes what was fetched durable, then visible.
fn publish(
    repo: &str,
    revision: &str,
    commit: &str,
    names: &[String],
    place: &Place,
    inbox: &Inbox<'_>,
    staging: &Path,
) -> Result<ModelFiles, Error> {
    let mut weights = names.iter();
    let weights = weights.find(|name| [TENSORS, parts::FILE].contains(&name.as_str()));
    if let Some(Err(error)) = weights.map(|name| Tensors::open(staging.join(name))) {
        // It would be linked again by the next pull.
        empty(&inbox.files)?;
        return Err(error.into());
    }
    inbox.tell.say(Stage::Publish, "", 0, None);
    let mut manifest = manifest(repo, commit);
    for name in names {
        let file = published(staging, name)?;
        manifest.inputs.push(Origin {
            name: file.name.clone(),
            sha256: file.sha256,
            source: format!("hub repository {repo}, commit {commit}"),
        });
        manifest.files.push(file);
    }
    let path = staging.join(crate::MANIFEST);
    fs::write(&path, manifest.to_json()).map_err(io_error("write", &path))?;
    for name in names.iter().map(String::as_str).chain([crate::MANIFEST]) {
        let path = staging.join(name);
        write_through(&path)?;
        sync_folder(path.parent().unwrap_or(staging))?;
    }
    let refs = place.dir.join("refs");
    fs::create_dir_all(&refs).map_err(io_error("create", &refs))?;
    let published = place.dir.join(commit);
    if published.exists() {
        // Damaged, or pulled under another name of the commit: either way the same files, and the lock is ours.
        let aside = inbox.work.join("before");
        fs::rename(&published, &aside).map_err(io_error("move away", &published))?;
    }
    fs::rename(staging, &published).map_err(io_error("publish", &published))?;
    sync_folder(&place.dir)?;
    let (path, part) = (place.reference(revision), inbox.work.join("reference"));
    fs::write(&part, commit).map_err(io_error("write", &part))?;
    write_through(&part)?;
    fs::rename(&part, &path).map_err(io_error("publish", &path))?;
    sync_folder(&refs)?;
    Ok(ModelFiles::new(published, manifest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_folders_or_repositories() {
        let hub = |repo: &str, revision: &str| Reference::Hub {
            repo: repo.to_owned(),
            revision: revision.to_owned(),
        };
        for (text, means) in [
            ("/models/mine", Reference::Folder("/models/mine".into())),
            ("./mine", Reference::Folder("./mine".into())),
            ("../mine", Reference::Folder("../mine".into())),
            ("org/name", hub("org/name", "main")),
            ("Org-1/na.me_2@v1.0", hub("Org-1/na.me_2", "v1.0")),
            ("org/name@refs/pr/7", hub("org/name", "refs/pr/7")),
        ] {
            assert_eq!(Reference::parse(text).unwrap(), means, "{text}");
        }
        for text in [
            "",
            "name",
            "a/b/c",
            "/",
            "org/",
            "/@",
            "org/name@",
            "org/na me",
            "org/name@a/../b",
            "-org/name",
            "org/..",
            "org/a--b",
            "org/name@-x",
            "org/name?x",
            "org/näme",
            "a/b@c@d",
        ] {
            let parsed = Reference::parse(text);
            assert!(
                matches!(
                    parsed,
                    Err(Error::Reference { .. }) | Ok(Reference::Folder(_))
                ) && !matches!(&parsed, Ok(Reference::Folder(_)) if !text.starts_with('/')),
                "{text}: {parsed:?}"
            );
        }
    }
}
