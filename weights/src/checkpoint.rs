//! Checkpoints that a user names instead of the catalogue: a repository on the hub, or a folder.
//!
//! ```text
//! <dir>/hub/<org>--<name>/<commit>/        published as any model: files, manifest.json; read-only
//! <dir>/hub/<org>--<name>/refs/<revision>  the commit that a branch or tag was when it was first asked for
//! ```
//! Nothing is pinned beforehand, so the first pull decides: the hub says which commit the revision is, every file
//! comes from that commit, and what arrived is recorded with its SHA-256 (and held against the hub's own, where
//! the hub gives one). From then on the same reference gives the same files without a network; another revision
//! is another reference. Only data is fetched: tensors as safetensors, the rest JSON.

use crate::error::{Attempt, Error, io_error};
use crate::hash;
use crate::progress::{Progress, Stage};
use crate::pull::{empty, link, lock, sync_folder, write_through};
use crate::source::{Failure, Inbox, Tell, hub};
use crate::store::{self, Manifest, ModelFiles, Origin, Published, Store};
use crate::tensors::Tensors;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What every checkpoint has, and the most that each may take.
const FILES: [(&str, u64); 3] = [
    ("config.json", JSON),
    ("tokenizer.json", JSON),
    (TENSORS, 32 << 30),
];
/// What says more about a sentence encoder, where there is one.
const MORE: [(&str, u64); 3] = [
    ("modules.json", JSON),
    ("sentence_bert_config.json", JSON),
    ("1_Pooling/config.json", JSON),
];
const TENSORS: &str = "model.safetensors";
const JSON: u64 = 256 << 20;

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
        match Reference::parse(reference)? {
            Reference::Folder(folder) => local(reference, &folder),
            Reference::Hub { repo, revision } => {
                let key = format!("hub--{}", repo.replace('/', "--"));
                let dir = self.dir().join("hub").join(repo.replace('/', "--"));
                let place = Place { key, dir };
                match find(&repo, &revision, &place) {
                    Ok(Some(ready)) => Ok(ready),
                    Ok(None) | Err(Error::Damaged { .. }) => {
                        let tell = Tell {
                            model: &repo,
                            progress,
                        };
                        let result = pull(self, &repo, &revision, &place, tell);
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
    }
}

/// A folder as it is.
fn local(reference: &str, folder: &Path) -> Result<ModelFiles, Error> {
    let mut manifest = manifest(reference, "folder");
    for (name, required) in names() {
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
    Tensors::open(folder.join(TENSORS))?;
    Ok(ModelFiles::new(folder.to_owned(), manifest))
}

/// Why there are no weights that are read, where there are others.
fn missing(name: &str, has: &dyn Fn(&str) -> bool) -> Option<String> {
    let others = [
        (
            "model.safetensors.index.json",
            "the weights are in several files, which are not read",
        ),
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
}

/// The files by name, and whether each must be there.
fn names() -> impl Iterator<Item = (&'static str, bool)> {
    let required = FILES.iter().map(|(name, _)| (*name, true));
    required.chain(MORE.iter().map(|(name, _)| (*name, false)))
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
fn find(repo: &str, revision: &str, place: &Place) -> Result<Option<ModelFiles>, Error> {
    match place.commit(revision)? {
        Some(commit) => store::published(repo, &place.dir.join(commit), FILES.iter().map(|f| f.0)),
        None => Ok(None),
    }
}

impl Place {
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
    tell: Tell<'_>,
) -> Result<ModelFiles, Error> {
    let _lock = lock(store, &place.key, Some(&tell))?;
    match find(repo, revision, place) {
        Ok(Some(ready)) => return Ok(ready),
        Ok(None) => (),
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
        fetch(store, repo, asked, &inbox, &staging)
    };
    let (commit, names) = fetched.map_err(|failure| {
        let why = failure.why;
        tell.say(Stage::Failed, &format!("hub repository {repo}: {why}"), 0, None);
        Error::Pull {
            model: repo.to_owned(),
            attempts: vec![Attempt {
                source: format!("hub repository {repo}"),
                why,
                hint: format!(
                    "{}; or put config.json, tokenizer.json and model.safetensors into a folder and give its path",
                    failure.hint
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
    inbox: &Inbox<'_>,
    staging: &Path,
) -> Result<(String, Vec<&'static str>), Failure> {
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
    let absent = FILES.iter().find(|(name, _)| !has(name));
    if let Some((name, _)) = absent {
        let instead = missing(name, &has);
        return Err(Failure {
            why: match instead {
                Some(why) => format!("the repository has no {name}: {why}"),
                None => format!("the repository has no {name}"),
            },
            hint: "choose a repository that has it".to_owned(),
            transient: false,
        });
    }
    let wanted = FILES
        .iter()
        .chain(MORE.iter().filter(|(name, _)| has(name)));
    let mut names = Vec::new();
    for &(name, most) in wanted {
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
        names.push(name);
    }
    Ok((listing.commit, names))
}

/// Makes what was fetched durable, then visible.
fn publish(
    repo: &str,
    revision: &str,
    commit: &str,
    names: &[&str],
    place: &Place,
    inbox: &Inbox<'_>,
    staging: &Path,
) -> Result<ModelFiles, Error> {
    if let Err(error) = Tensors::open(staging.join(TENSORS)) {
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
    for name in names.iter().copied().chain([crate::MANIFEST]) {
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
