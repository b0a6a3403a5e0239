//! The folder of collections.
//!
//! ```text
//! <folder>/<uuid>/faces.log      one collection; its id is in the journal, because ids are longer than file names may be
//! <folder>/<uuid>/id             the id once more, for where the journal's beginning is damaged
//! <folder>/new-<uuid>/           one that is being made
//! <folder>/gone-<uuid>/          one that is being deleted
//! ```
//! A collection appears and goes by one rename. Folders of unfinished work are removed when the library is opened. A
//! collection's faces are read when it is first asked for. One that a later version of this program wrote, or whose faces
//! cannot be read, is there all the same: its id is taken, and whoever asks for it is told why.

use crate::collection::{Collection, JOURNAL, fits, is_id};
use crate::journal::{VERSION, sync_folder};
use crate::{Error, Page, Result, io};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, btree_map};
use std::fs::{self, File};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// Bounds of what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Collections.
    pub collections: usize,
    /// Faces of a collection, 600 bytes of memory each.
    pub faces: usize,
    /// Users of a collection.
    pub users: usize,
    /// Faces of a user; AWS's limit is 100.
    pub faces_of_user: usize,
    /// Tags of a collection; AWS's limit is 200.
    pub tags: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            collections: 10_000,
            faces: 2_000_000,
            users: 1_000_000,
            faces_of_user: 100,
            tags: 200,
        }
    }
}

/// Most bytes of a token of [`Library::ids`]: with what doors put before it and in base64, less than the 255 characters
/// of AWS's model.
const TOKEN: usize = 160;

/// The token of a list that goes on behind an id: the id itself, or its beginning and a sum of it all where it is longer
/// than a token may be. Ids have no `/`.
fn token(id: &str) -> String {
    if id.len() <= TOKEN {
        return id.to_owned();
    }
    let digest = Sha256::digest(id);
    let sum = u64::from_be_bytes(std::array::from_fn(|at| digest[at]));
    let begin = id.get(..TOKEN - 17).unwrap_or_default();
    format!("{begin}/{sum:016x}")
}

/// Where a list goes on. Where the id that a token of its beginning was made of is gone, that is with the first id that
/// begins so: some come twice, none is left out.
fn behind(entries: &BTreeMap<String, Entry>, wanted: &str) -> Bound<String> {
    let Some((begin, _)) = wanted.split_once('/') else {
        return Bound::Excluded(wanted.to_owned());
    };
    let from = (Bound::Included(begin), Bound::Unbounded);
    let ids = entries.range::<str, _>(from).map(|(id, _)| id);
    let mut alike = ids.take_while(|id| id.starts_with(begin));
    match alike.find(|id| token(id) == wanted) {
        Some(id) => Bound::Excluded(id.clone()),
        None => Bound::Included(begin.to_owned()),
    }
}

/// A collection that is known; open once somebody asked for it.
#[derive(Clone)]
struct Entry {
    folder: PathBuf,
    /// Of its descriptors.
    version: u32,
    open: Arc<Mutex<Option<Arc<Collection>>>>,
}

/// All collections of a folder. One process at a time: the folder is locked.
pub struct Library {
    folder: PathBuf,
    limits: Limits,
    entries: Mutex<BTreeMap<String, Entry>>,
    /// Holds the lock.
    _lock: File,
}

impl Library {
    /// Opens a folder, which is made where it is missing.
    ///
    /// # Errors
    /// When another process has it open, or the disk refuses.
    pub fn open(folder: &Path, limits: Limits) -> Result<Self> {
        fs::create_dir_all(folder).map_err(io("create", folder))?;
        let path = folder.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(io("open", &path))?;
        lock.try_lock().map_err(|error| {
            let source = match error {
                fs::TryLockError::Error(error) => error,
                fs::TryLockError::WouldBlock => std::io::Error::new(
                    std::io::ErrorKind::ResourceBusy,
                    "another process has it open",
                ),
            };
            io("lock", &path)(source)
        })?;
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        let found = fs::read_dir(folder).map_err(io("read", folder))?;
        let found = found.map(|found| found.map(|found| found.path()));
        let found = found.collect::<std::io::Result<Vec<PathBuf>>>();
        let mut found = found.map_err(io("read", folder))?;
        // The same ones of a folder's are in use each time.
        found.sort();
        for path in found {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if name.starts_with("new-") || name.starts_with("gone-") {
                fs::remove_dir_all(&path).map_err(io("remove", &path))?;
            } else if path.join(JOURNAL).is_file() {
                match Collection::peek(&path) {
                    Ok((id, version)) => match entries.entry(id) {
                        // A copy that was left beside the original, say.
                        btree_map::Entry::Occupied(taken) => tracing::error!(
                            id = taken.key(),
                            folder = %path.display(),
                            taken = %taken.get().folder.display(),
                            "a second collection of this id is left out"
                        ),
                        btree_map::Entry::Vacant(vacant) => {
                            vacant.insert(Entry {
                                folder: path,
                                version,
                                open: Arc::default(),
                            });
                        }
                    },
                    // The others can be used all the same.
                    Err(error) => tracing::error!(%error, "a collection cannot be read"),
                }
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            limits,
            entries: Mutex::new(entries),
            _lock: lock,
        })
    }

    /// Makes a collection; gives when, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`Error::Exists`]; [`Error::Limit`]; [`Error::Invalid`] for an id of other characters than AWS's; when the disk
    /// refuses.
    pub fn create(&self, id: &str, tags: BTreeMap<String, String>) -> Result<u64> {
        if !is_id(id) {
            return Err(Error::Invalid(
                "a collection's id has 1 to 255 letters, digits, `_`, `.` and `-`".to_owned(),
            ));
        }
        fits(&tags)?;
        if tags.len() > self.limits.tags {
            return Err(Error::Limit {
                what: "the tags of a collection",
                most: self.limits.tags,
            });
        }
        let mut entries = self.entries.lock();
        if entries.contains_key(id) {
            return Err(Error::Exists(id.to_owned()));
        }
        if entries.len() >= self.limits.collections {
            return Err(Error::Limit {
                what: "the collections",
                most: self.limits.collections,
            });
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let created = since.map_or(0, |since| since.as_millis() as u64);
        let name = Uuid::new_v4().simple().to_string();
        let (unfinished, folder) = (
            self.folder.join(format!("new-{name}")),
            self.folder.join(name),
        );
        fs::create_dir(&unfinished).map_err(io("create", &unfinished))?;
        Collection::create(&unfinished, id, created, tags)?;
        fs::rename(&unfinished, &folder).map_err(io("rename", &unfinished))?;
        sync_folder(&self.folder)?;
        let entry = Entry {
            folder,
            version: VERSION,
            open: Arc::default(),
        };
        entries.insert(id.to_owned(), entry);
        Ok(created)
    }

    /// Ids, each with the version of its descriptors, at most `most` of them behind the one that `wanted` is the token of.
    /// Tokens have at most 160 bytes.
    pub fn ids(&self, wanted: Option<&str>, most: usize) -> Page<(String, u32)> {
        let entries = self.entries.lock();
        let after = wanted.map_or(Bound::Unbounded, |wanted| behind(&entries, wanted));
        let mut ids = entries
            .range::<String, _>((after, Bound::Unbounded))
            .map(|(id, entry)| (id.clone(), entry.version));
        let items: Vec<(String, u32)> = ids.by_ref().take(most).collect();
        let more = ids.next().is_some();
        let next = items.last().filter(|_| more).map(|(id, _)| token(id));
        Page { items, next }
    }

    /// A collection, read where it was not yet.
    ///
    /// # Errors
    /// [`Error::NoCollection`]; when its journal cannot be read.
    pub fn get(&self, id: &str) -> Result<Arc<Collection>> {
        let missing = || Error::NoCollection(id.to_owned());
        let entry = self.entries.lock().get(id).cloned().ok_or_else(missing)?;
        let mut open = entry.open.lock();
        if let Some(collection) = &*open {
            return Ok(collection.clone());
        }
        if !self.entries.lock().contains_key(id) {
            return Err(missing());
        }
        let collection = Arc::new(Collection::open(&entry.folder, self.limits)?);
        *open = Some(collection.clone());
        Ok(collection)
    }

    /// Deletes a collection with all its faces. Who holds it goes on with what is in memory.
    ///
    /// # Errors
    /// [`Error::NoCollection`]; when the disk refuses.
    pub fn delete(&self, id: &str) -> Result<()> {
        let gone = {
            let mut entries = self.entries.lock();
            let entry = entries
                .get(id)
                .ok_or_else(|| Error::NoCollection(id.to_owned()))?;
            let name = entry.folder.file_name().unwrap_or_default();
            let gone = self.folder.join(format!("gone-{}", name.to_string_lossy()));
            fs::rename(&entry.folder, &gone).map_err(io("rename", &entry.folder))?;
            entries.remove(id);
            gone
        };
        sync_folder(&self.folder)?;
        fs::remove_dir_all(&gone).map_err(io("remove", &gone))
    }
}
