//! Objects as files: `<folder>/<bucket>/<key>`, put there by hand; and folders anywhere that an operator names, each a bucket.
//!
//! A key is a path here, so there are no objects whose keys have empty parts, `.` or `..` between slashes. The way to a file
//! is walked part by part from the folder, following no link, so that no name and no link leads out of it, and nobody who
//! moves things about meanwhile can make one. Only regular files are objects: they are looked at before they are opened,
//! because opening a device can do something, and are opened so that nothing is waited for.
//!
//! Folders that the operator says may be written take objects, too ([`Folder::with_writable`]). What is being made is a file of
//! another name beside its place, which is no object, and takes its place by one rename when it is on the disk. A process that
//! dies leaves such a file; whoever makes the same object again writes over it. A folder in which nothing is left goes with the last object.
//!
//! A list walks the folders in the order of the keys and looks only where keys of the page can be. Of a folder it holds at
//! most as many names as the page has objects, so that one with millions of files costs a page's memory.

use crate::{
    Error, LONGEST_KEY, Listed, NewObject, Object, ObjectName, ObjectStore, WritableStore,
    bucket_rules, inside,
};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, fsync, mkdirat, open, openat, renameat,
    statat, unlinkat,
};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// How a folder is opened, the operator's own and those in it.
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
const INSIDE: OFlags = FOLDER.union(OFlags::NOFOLLOW);

/// What the names of files begin with that are no objects yet.
const NEW: &str = ".escala-new-";
/// How often the way to a new object is made again whose folders somebody removes meanwhile.
const TRIES: usize = 16;

/// The buckets that are folders of a folder, and those that are folders elsewhere.
#[derive(Clone, Debug)]
pub struct Folder {
    folder: Result<PathBuf, String>,
    named: BTreeMap<String, PathBuf>,
    writable: BTreeSet<String>,
}

/// The bucket and the key of a path (`/data/reviews/2026/a.csv`) in the one of these folders that it is deepest in; none where it
/// is in none, or has a part that no name of a file is (`..`).
pub fn within<'a>(
    folders: &'a BTreeMap<String, PathBuf>,
    path: &'a str,
) -> Option<(&'a str, &'a str)> {
    let below = |(bucket, folder): (&'a String, &'a PathBuf)| {
        let folder = folder.to_str()?.trim_end_matches('/');
        let rest = path.strip_prefix(folder)?;
        let key = match rest.is_empty() {
            true => "",
            false => rest.strip_prefix('/')?,
        };
        Some((folder.len(), bucket.as_str(), key))
    };
    let (_, bucket, key) = folders.iter().filter_map(below).max()?;
    let whole = key.strip_suffix('/').unwrap_or(key);
    (whole.is_empty() || is_path(whole)).then_some((bucket, key))
}

/// Whether what was asked for is not there, or is not what it would have to be.
fn absent(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOENT
            | Errno::NOTDIR
            | Errno::LOOP
            | Errno::NAMETOOLONG
            | Errno::MLINK
            | Errno::INVAL
    )
}

/// The error of a step, where `none` says that nothing is there.
fn step(errno: Errno, none: impl FnOnce() -> Error) -> Error {
    match errno {
        errno if absent(errno) => none(),
        Errno::ACCESS | Errno::PERM => Error::Denied,
        errno => Error::Unavailable(errno.into()),
    }
}

/// Whether the parts of a key between slashes can be names of files.
fn is_path(key: &str) -> bool {
    !key.contains('\0') && !key.split('/').any(|part| matches!(part, "" | "." | ".."))
}

/// What changes when a file is written anew. The bytes are not read for it.
fn etag(about: &Stat) -> String {
    let nanoseconds = about.st_mtime_nsec;
    let (inode, seconds, length) = (about.st_ino, about.st_mtime, about.st_size);
    format!("{inode:x}-{seconds:x}.{nanoseconds:x}-{length:x}")
}

fn modified(about: &Stat) -> SystemTime {
    let nanoseconds = u32::try_from(about.st_mtime_nsec).unwrap_or(0);
    let seconds = Duration::new(about.st_mtime.unsigned_abs(), nanoseconds);
    let time = match about.st_mtime >= 0 {
        true => SystemTime::UNIX_EPOCH.checked_add(seconds),
        false => SystemTime::UNIX_EPOCH.checked_sub(seconds),
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

impl Folder {
    /// The buckets in a folder, or the reason why there is none. It need not be there (yet).
    pub fn new(folder: Result<PathBuf, String>) -> Self {
        Self {
            folder,
            named: BTreeMap::new(),
            writable: BTreeSet::new(),
        }
    }

    /// With buckets that are folders elsewhere. They hide those of their names.
    pub fn with_named(mut self, named: BTreeMap<String, PathBuf>) -> Self {
        self.named = named;
        self
    }

    /// With these of the buckets elsewhere to be written, too.
    pub fn with_writable(mut self, writable: impl IntoIterator<Item = String>) -> Self {
        self.writable = writable.into_iter().collect();
        self
    }

    /// Whether a bucket is a folder elsewhere that may be written.
    pub fn is_writable(&self, bucket: &str) -> bool {
        self.is_named(bucket) && self.writable.contains(bucket)
    }

    /// Whether a bucket is a folder elsewhere.
    pub fn is_named(&self, bucket: &str) -> bool {
        self.named.contains_key(bucket)
    }

    /// The buckets, and when something last came into them or went. None where the folder is not there.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::Unavailable`].
    pub fn buckets(&self) -> Result<Vec<(String, SystemTime)>, Error> {
        let mut buckets = self.inside()?;
        for (name, path) in &self.named {
            buckets.retain(|(other, _)| other != name);
            // What is not there (yet) is no bucket.
            let Ok(folder) = open(path, FOLDER, Mode::empty()) else {
                continue;
            };
            let about = rustix::fs::fstat(&folder).map_err(std::io::Error::from)?;
            buckets.push((name.clone(), modified(&about)));
        }
        Ok(buckets)
    }

    /// Those that are folders of the folder.
    fn inside(&self) -> Result<Vec<(String, SystemTime)>, Error> {
        let root = self.folder.as_ref();
        let root = root.map_err(|why| Error::Unavailable(std::io::Error::other(why.clone())))?;
        let root = match open(root, FOLDER, Mode::empty()) {
            Err(errno) if absent(errno) => return Ok(Vec::new()),
            Err(Errno::ACCESS | Errno::PERM) => return Err(Error::Denied),
            root => root.map_err(std::io::Error::from)?,
        };
        let mut buckets = Vec::new();
        for entry in Dir::read_from(&root).map_err(std::io::Error::from)? {
            let entry = entry.map_err(std::io::Error::from)?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if bucket_rules(name).is_err() || kind(&root, &entry)? != FileType::Directory {
                continue;
            }
            // What went away meanwhile is no bucket.
            if let Ok(about) = statat(&root, name, AtFlags::SYMLINK_NOFOLLOW) {
                buckets.push((name.to_owned(), modified(&about)));
            }
        }
        Ok(buckets)
    }

    /// The folder of a bucket.
    fn bucket(&self, bucket: &str) -> Result<OwnedFd, Error> {
        let no_bucket = || Error::NoBucket(bucket.to_owned());
        if let Some(path) = self.named.get(bucket) {
            // It is the operator's choice, too, and may be a link.
            return open(path, FOLDER, Mode::empty()).map_err(|errno| step(errno, no_bucket));
        }
        let root = self.folder.as_ref();
        let root = root.map_err(|why| Error::Unavailable(std::io::Error::other(why.clone())))?;
        bucket_rules(bucket).map_err(|_| no_bucket())?;
        // The folder itself is the operator's choice and may be a link.
        let root = open(root, FOLDER, Mode::empty()).map_err(|errno| step(errno, no_bucket))?;
        openat(&root, bucket, INSIDE, Mode::empty()).map_err(|errno| step(errno, no_bucket))
    }

    fn file(&self, name: &ObjectName) -> Result<(File, Stat), Error> {
        let no_key = || name.absent();
        let mut at = self.bucket(name.bucket())?;
        if !is_path(name.key()) {
            return Err(no_key());
        }
        let (parents, last) = parts(name.key());
        if last.starts_with(NEW) {
            return Err(no_key());
        }
        for part in parents {
            at = openat(&at, part, INSIDE, Mode::empty()).map_err(|errno| step(errno, no_key))?;
        }
        let about = statat(&at, last, AtFlags::SYMLINK_NOFOLLOW);
        let about = about.map_err(|errno| step(errno, no_key))?;
        if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
            return Err(no_key());
        }
        name.only_version()?;
        let file = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&at, last, file, Mode::empty()).map_err(|errno| step(errno, no_key))?;
        // What was looked at may have been exchanged since.
        let about = rustix::fs::fstat(&file).map_err(|errno| step(errno, no_key))?;
        if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
            return Err(no_key());
        }
        Ok((File::from(file), about))
    }
}

/// The folders on the way to a key, and the name of its file.
fn parts(key: &str) -> (impl Iterator<Item = &str>, &str) {
    let (parents, last) = match key.rsplit_once('/') {
        Some((parents, last)) => (Some(parents), last),
        None => (None, key),
    };
    let parents = parents.into_iter();
    (parents.flat_map(|parents| parents.split('/')), last)
}

fn length(about: &Stat) -> u64 {
    u64::try_from(about.st_size).unwrap_or(0)
}

impl ObjectStore for Folder {
    fn open(&self, name: &ObjectName) -> Result<Object, Error> {
        let (file, about) = self.file(name)?;
        Ok(Object {
            length: length(&about),
            etag: etag(&about),
            modified: modified(&about),
            bytes: Box::new(file),
        })
    }

    fn open_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Object, Error> {
        let (mut file, about) = self.file(name)?;
        let range = inside(range, length(&about))?;
        file.seek(SeekFrom::Start(range.start))?;
        Ok(Object {
            length: length(&about),
            etag: etag(&about),
            modified: modified(&about),
            bytes: Box::new(file.take(range.end - range.start)),
        })
    }

    fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<Listed>, Error> {
        let folder = self.bucket(bucket)?;
        let mut walk = Walk {
            prefix,
            after,
            most,
            found: Vec::new(),
        };
        walk.folder(&folder, "")?;
        Ok(walk.found)
    }
}

/// A list that is being made.
struct Walk<'a> {
    prefix: &'a str,
    after: &'a str,
    most: usize,
    found: Vec<Listed>,
}

impl Walk<'_> {
    /// Whether a key that begins with this could be in the list.
    fn may_hold(&self, start: &str) -> bool {
        let same = |a: &str, b: &str| a.bytes().zip(b.bytes()).all(|(a, b)| a == b);
        same(start, self.prefix) && (start > self.after || self.after.starts_with(start))
    }

    /// Adds what is in a folder whose keys begin with `start`.
    fn folder(&mut self, folder: &OwnedFd, start: &str) -> Result<(), Error> {
        let mut last = String::new();
        while self.found.len() < self.most {
            let names = self.next_names(folder, start, &last)?;
            let Some(end) = names.last() else {
                break;
            };
            last.clone_from(end);
            for name in names {
                if self.found.len() == self.most {
                    break;
                }
                let key = format!("{start}{name}");
                match name.strip_suffix('/') {
                    // What went away meanwhile, or may not be looked into, has no objects.
                    Some(part) => match openat(folder, part, INSIDE, Mode::empty()) {
                        Ok(inner) => self.folder(&inner, &key)?,
                        Err(Errno::ACCESS | Errno::PERM) => (),
                        Err(errno) if absent(errno) => (),
                        Err(errno) => return Err(Error::Unavailable(errno.into())),
                    },
                    None => match statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
                        Ok(about) => self.found.push(Listed {
                            key,
                            length: length(&about),
                            etag: etag(&about),
                            modified: modified(&about),
                        }),
                        Err(errno) if absent(errno) => (),
                        Err(errno) => return Err(Error::Unavailable(errno.into())),
                    },
                }
            }
        }
        Ok(())
    }

    /// The first names of files, and of folders with a slash behind them, that come after `last` and can have a part in the
    /// list: in the order of keys, at most as many as objects are wanted.
    fn next_names(&self, folder: &OwnedFd, start: &str, last: &str) -> Result<Vec<String>, Error> {
        let most = self.most - self.found.len();
        let mut first = BinaryHeap::new();
        for entry in Dir::read_from(folder).map_err(std::io::Error::from)? {
            let entry = entry.map_err(std::io::Error::from)?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if matches!(name, "." | "..") || name.starts_with(NEW) {
                continue;
            }
            let name = match kind(folder, &entry)? {
                FileType::RegularFile => name.to_owned(),
                FileType::Directory => format!("{name}/"),
                _ => continue,
            };
            let key = format!("{start}{name}");
            let wanted = match name.ends_with('/') {
                true => key.len() < LONGEST_KEY && self.may_hold(&key),
                false => {
                    key.len() <= LONGEST_KEY && key.starts_with(self.prefix) && *key > *self.after
                }
            };
            if wanted && *name > *last {
                first.push(name);
                if first.len() > most {
                    first.pop();
                }
            }
        }
        Ok(first.into_sorted_vec())
    }
}

impl WritableStore for Folder {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn NewObject>, Error> {
        let mut tries = 0;
        loop {
            match self.begin(name) {
                // Somebody deleted the last object of a folder on the way.
                Err(Error::Unavailable(error))
                    if error.kind() == std::io::ErrorKind::NotFound && tries < TRIES =>
                {
                    tries += 1;
                }
                begun => return Ok(Box::new(begun?)),
            }
        }
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        let mut at = self.bucket_to_write(name.bucket())?;
        name.only_version()?;
        if !is_path(name.key()) {
            return Ok(());
        }
        let (parents, last) = parts(name.key());
        let mut way = Vec::new();
        for part in parents {
            let next = match openat(&at, part, INSIDE, Mode::empty()) {
                Err(errno) if absent(errno) => return Ok(()),
                next => next.map_err(|errno| step(errno, || name.absent()))?,
            };
            way.push((std::mem::replace(&mut at, next), part.to_owned()));
        }
        match statat(&at, last, AtFlags::SYMLINK_NOFOLLOW) {
            Err(errno) if absent(errno) => return Ok(()),
            about => {
                let about = about.map_err(|errno| step(errno, || name.absent()))?;
                if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
                    return Ok(());
                }
            }
        }
        match unlinkat(&at, last, AtFlags::empty()) {
            Err(errno) if absent(errno) => return Ok(()),
            gone => gone.map_err(|errno| step(errno, || name.absent()))?,
        }
        fsync(&at).map_err(std::io::Error::from)?;
        remove_empty(way);
        Ok(())
    }
}

/// Removes folders in which nothing is, from the innermost, each named in the one before it.
fn remove_empty(mut way: Vec<(OwnedFd, String)>) {
    while let Some((folder, part)) = way.pop() {
        // Something is in it, then.
        if unlinkat(&folder, &*part, AtFlags::REMOVEDIR).is_err() {
            return;
        }
    }
}

impl Folder {
    /// The folder of a bucket that may be written.
    fn bucket_to_write(&self, bucket: &str) -> Result<OwnedFd, Error> {
        let folder = self.bucket(bucket)?;
        match self.is_writable(bucket) {
            true => Ok(folder),
            false => Err(Error::Denied),
        }
    }

    /// Makes the way to an object and a file beside its place.
    fn begin(&self, name: &ObjectName) -> Result<NewFile, Error> {
        let mut at = self.bucket_to_write(name.bucket())?;
        name.only_version()?;
        if !is_path(name.key()) {
            let why = "a part of the key between slashes is empty, `.` or `..`";
            return Err(Error::Name(why));
        }
        let (parents, last) = parts(name.key());
        if last.starts_with(NEW) {
            return Err(Error::Name("a file that is being made has such a name"));
        }
        let no_way = || Error::Name("a part of the key is a file or a link, or too long");
        let mut made = Vec::new();
        for part in parents {
            match mkdirat(&at, part, Mode::from_raw_mode(0o777)) {
                Ok(()) => {
                    fsync(&at).map_err(std::io::Error::from)?;
                    let again = at.try_clone()?;
                    made.push((again, part.to_owned()));
                }
                Err(Errno::EXIST) => (),
                Err(errno) => return Err(step_on(errno, no_way)),
            }
            at =
                openat(&at, part, INSIDE, Mode::empty()).map_err(|errno| step_on(errno, no_way))?;
        }
        match statat(&at, last, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(about) if FileType::from_raw_mode(about.st_mode) == FileType::Directory => {
                return Err(Error::Name("a folder has this name"));
            }
            Ok(_) | Err(Errno::NOENT) => (),
            Err(errno) => return Err(step_on(errno, no_way)),
        }
        let digest = Sha256::digest(last.as_bytes());
        let digest: String = digest[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        for number in 0_u32.. {
            let aside = format!("{NEW}{digest}-{number}");
            if let Some(file) = taken(&at, &aside)? {
                return Ok(NewFile {
                    folder: at,
                    made,
                    aside,
                    last: last.to_owned(),
                    name: name.clone(),
                    file,
                    kept: false,
                });
            }
        }
        Err(Error::Unavailable(Errno::MFILE.into()))
    }
}

/// The error of a step that may be tried again where a folder went away.
fn step_on(errno: Errno, none: impl FnOnce() -> Error) -> Error {
    match errno {
        Errno::NOENT => Error::Unavailable(errno.into()),
        errno => step(errno, none),
    }
}

/// An empty file with this name that nobody else makes an object of; none where somebody does. One that a process left which died is
/// emptied.
fn taken(folder: &OwnedFd, name: &str) -> Result<Option<File>, Error> {
    let new = OFlags::WRONLY
        .union(OFlags::CREATE)
        .union(OFlags::NOFOLLOW)
        .union(OFlags::NONBLOCK)
        .union(OFlags::CLOEXEC);
    let refused = || Error::Name("a file that is being made is a link");
    let file = openat(folder, name, new, Mode::from_raw_mode(0o666));
    let file = File::from(file.map_err(|errno| step_on(errno, refused))?);
    match file.try_lock() {
        Ok(()) => (),
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    // Whoever had it may have moved it to its place meanwhile.
    let same = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => {
            let own = fstat(&file).map_err(std::io::Error::from)?;
            (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)
        }
        Err(_) => false,
    };
    if !same {
        return Ok(None);
    }
    file.set_len(0)?;
    Ok(Some(file))
}

/// A file that is no object yet.
struct NewFile {
    /// Where it is, and the folders that were made for it, each in the one before.
    folder: OwnedFd,
    made: Vec<(OwnedFd, String)>,
    /// Its name, and the one that it gets.
    aside: String,
    last: String,
    name: ObjectName,
    file: File,
    kept: bool,
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl NewObject for NewFile {
    fn commit(mut self: Box<Self>) -> Result<Listed, Error> {
        self.file.sync_all()?;
        let moved = renameat(&self.folder, &*self.aside, &self.folder, &*self.last);
        let gone = || Error::NoBucket(self.name.bucket().to_owned());
        moved.map_err(|errno| step(errno, gone))?;
        self.kept = true;
        fsync(&self.folder).map_err(std::io::Error::from)?;
        let about = fstat(&self.file).map_err(std::io::Error::from)?;
        Ok(Listed {
            key: self.name.key().to_owned(),
            length: length(&about),
            etag: etag(&about),
            modified: modified(&about),
        })
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.kept {
            // Whoever makes the object again writes over what stays.
            let _ = unlinkat(&self.folder, &*self.aside, AtFlags::empty());
            remove_empty(std::mem::take(&mut self.made));
        }
    }
}

/// What an entry is; not every file system says so with the name.
fn kind(folder: impl AsFd, entry: &rustix::fs::DirEntry) -> Result<FileType, Error> {
    match entry.file_type() {
        FileType::Unknown => match statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(about) => Ok(FileType::from_raw_mode(about.st_mode)),
            Err(errno) if absent(errno) => Ok(FileType::Unknown),
            Err(errno) => Err(Error::Unavailable(errno.into())),
        },
        kind => Ok(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn put(folder: &Path, bucket: &str, key: &str, bytes: &[u8]) {
        let path = folder.join(bucket).join(key);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, bytes).expect("written");
    }

    #[test]
    fn it_keeps_the_contract() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        crate::suite::reads(|buckets, objects| {
            for bucket in buckets {
                std::fs::create_dir(folder.path().join(bucket)).expect("made");
            }
            for (bucket, key, bytes) in objects {
                put(folder.path(), bucket, key, bytes);
            }
            Folder::new(Ok(folder.path().to_owned()))
        });
    }

    #[test]
    fn folders_anywhere_are_buckets_by_their_names() {
        let (outside, folder) = (
            tempfile::tempdir().expect("a temporary folder"),
            tempfile::tempdir().expect("a temporary folder"),
        );
        put(folder.path(), "photos", "a", b"here");
        put(outside.path(), "2026", "b", b"elsewhere");
        std::fs::write(outside.path().join("secret"), b"secret").expect("written");
        let year = outside.path().join("2026");
        symlink("../secret", year.join("link")).expect("linked");
        let named = [("photos", &year), ("gone", &outside.path().join("gone"))];
        let named = named.map(|(name, path)| (name.to_owned(), path.clone()));
        let folder = Folder::new(Ok(folder.path().to_owned())).with_named(named.into());
        let listed = folder.list("photos", "", "", 10).expect("a list");
        let keys: Vec<&str> = listed.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(keys, ["b"]);
        for key in ["link", "../secret", "a"] {
            let name = ObjectName::new("photos", key, None).expect("a name");
            let error = folder.open(&name).err();
            assert!(matches!(error, Some(Error::NoKey(..))), "{key}: {error:?}");
        }
        let buckets = folder.buckets().expect("a list").into_iter();
        let names: Vec<String> = buckets.map(|(name, _)| name).collect();
        assert_eq!(names, ["photos"]);
        assert!(matches!(
            folder.list("gone", "", "", 10),
            Err(Error::NoBucket(_))
        ));
    }

    /// Folders elsewhere, of which the first may be written.
    fn writable(root: &Path, buckets: &[&str]) -> Folder {
        let named = buckets.iter().map(|bucket| {
            let path = root.join("named").join(bucket);
            std::fs::create_dir_all(&path).expect("made");
            ((*bucket).to_owned(), path)
        });
        let named = named.collect();
        let may = buckets.iter().take(1).map(|bucket| (*bucket).to_owned());
        Folder::new(Ok(root.join("objects")))
            .with_named(named)
            .with_writable(may)
    }

    /// All that is in a folder, files and folders.
    fn everything(folder: &Path) -> Vec<String> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            all.push(path.display().to_string());
            if path.is_dir() {
                all.extend(everything(&path));
            }
        }
        all
    }

    #[test]
    fn folders_that_may_be_written_keep_the_contract() {
        let root = tempfile::tempdir().expect("a temporary folder");
        // A path has no empty parts, a name of a file at most 255 bytes, and a file no files in it.
        let has = |key: &str| is_path(key) && key.len() <= 255 && !key.starts_with("p/");
        crate::suite::writes_keys(|buckets| writable(root.path(), buckets), has);
    }

    #[test]
    fn folders_are_written_where_they_may_be_and_nowhere_else() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let store = writable(root.path(), &["out", "read"]);
        let (out, outside) = (root.path().join("named/out"), root.path().join("outside"));
        std::fs::create_dir(&outside).expect("made");
        std::fs::create_dir_all(root.path().join("objects/inner")).expect("made");
        symlink(&outside, out.join("way")).expect("linked");
        symlink(outside.join("file"), out.join("link")).expect("linked");
        let name = |bucket: &str, key: &str| ObjectName::new(bucket, key, None).expect("a name");
        let put = |key: &str, bytes: &[u8]| {
            let mut new = store.create(&name("out", key))?;
            new.write_all(bytes)?;
            new.commit()
        };
        for bucket in ["read", "inner"] {
            let refused = store.create(&name(bucket, "x")).err();
            assert!(matches!(refused, Some(Error::Denied)), "{refused:?}");
            assert!(matches!(
                store.delete(&name(bucket, "x")),
                Err(Error::Denied)
            ));
        }
        for key in ["way/x", "../x", "way/../x", ".escala-new-x"] {
            let refused = put(key, b"x").err();
            assert!(
                matches!(refused, Some(Error::Name(_))),
                "{key}: {refused:?}"
            );
        }
        // A link that stands in the place is replaced, and what it leads to is not.
        put("link", b"new").expect("written");
        store.delete(&name("out", "way")).expect("no object");
        assert!(out.join("way").exists() && everything(&outside).is_empty());
        // Of what is given up nothing stays, nor of what is deleted.
        let before = everything(&out);
        let mut new = store.create(&name("out", "a/b/c")).expect("begun");
        new.write_all(b"half").expect("written");
        drop(new);
        assert_eq!(everything(&out), before);
        put("a/b/c", b"whole").expect("written");
        put("a/d", b"whole").expect("written");
        store.delete(&name("out", "a/b/c")).expect("deleted");
        assert!(out.join("a/d").exists() && !out.join("a/b").exists());
        store.delete(&name("out", "a/d")).expect("deleted");
        assert_eq!(everything(&out), before);
    }

    #[test]
    fn what_a_process_left_that_died_is_written_over() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let store = writable(root.path(), &["out"]);
        let name = ObjectName::new("out", "a", None).expect("a name");
        let mut new = store.begin(&name).expect("begun");
        new.write_all(b"much of what was made").expect("written");
        let aside = root.path().join("named/out").join(&new.aside);
        // As the end of a process does.
        new.kept = true;
        drop(new);
        assert!(aside.exists());
        assert_eq!(store.list("out", "", "", 9).expect("a list"), []);
        let mut new = store.create(&name).expect("begun");
        new.write_all(b"short").expect("written");
        assert_eq!(new.commit().expect("kept").length, 5);
        assert!(!aside.exists());
        let mut text = String::new();
        let mut object = store.open(&name).expect("there");
        object.bytes.read_to_string(&mut text).expect("read");
        assert_eq!(text, "short");
    }

    #[test]
    fn a_path_is_in_the_deepest_folder() {
        let folders = [("lake", "/data"), ("reviews", "/data/reviews/")];
        let folders = folders.map(|(name, path)| (name.to_owned(), PathBuf::from(path)));
        let folders = BTreeMap::from(folders);
        for (path, place) in [
            ("/data/x/*.csv", Some(("lake", "x/*.csv"))),
            ("/data/reviews/2026/a.csv", Some(("reviews", "2026/a.csv"))),
            ("/data/reviews/", Some(("reviews", ""))),
            ("/data/reviews", Some(("reviews", ""))),
            ("/data/reviewsx", Some(("lake", "reviewsx"))),
            ("/data", Some(("lake", ""))),
            ("/etc/passwd", None),
            ("data/x", None),
            ("/data/../etc/passwd", None),
            ("/data/x/../../etc", None),
            ("/data/x//y", None),
            ("/data/./x", None),
        ] {
            assert_eq!(within(&folders, path), place, "{path}");
        }
    }

    fn opened(folder: &Path, bucket: &str, key: &str) -> Result<String, Error> {
        let name = ObjectName::new(bucket, key, None)?;
        let mut object = Folder::new(Ok(folder.to_owned())).open(&name)?;
        let mut text = String::new();
        object.bytes.read_to_string(&mut text)?;
        assert_eq!(text.len() as u64, object.length);
        Ok(text)
    }

    #[test]
    fn what_is_no_file_of_the_folder_is_no_object() {
        let (outside, folder) = (
            tempfile::tempdir().expect("a temporary folder"),
            tempfile::tempdir().expect("a temporary folder"),
        );
        let (outside, folder) = (outside.path(), folder.path());
        put(outside, "photos", "secret", b"secret");
        put(folder, "photos", "a/b", b"inside");
        let photos = folder.join("photos");
        symlink(outside.join("photos/secret"), photos.join("link")).expect("linked");
        symlink("a/b", photos.join("inner")).expect("linked");
        symlink(outside.join("photos"), photos.join("linked")).expect("linked");
        symlink(outside.join("photos"), folder.join("elsewhere")).expect("linked");
        symlink("/dev/zero", photos.join("zero")).expect("linked");
        symlink("loop", photos.join("loop")).expect("linked");
        let _socket = UnixListener::bind(photos.join("socket")).expect("bound");
        // Opened for reading as usual, a pipe would wait for somebody who writes.
        let made = std::process::Command::new("mkfifo")
            .arg(photos.join("pipe"))
            .status();
        assert!(made.expect("runs").success());
        for key in [
            "link",
            "inner",
            "linked/secret",
            "zero",
            "loop",
            "socket",
            "pipe",
            "a",
            "pipe/x",
        ] {
            let none = opened(folder, "photos", key);
            assert!(matches!(none, Err(Error::NoKey(..))), "{key}: {none:?}");
        }
        let store = Folder::new(Ok(folder.to_owned()));
        let buckets = store.buckets().expect("listed");
        assert_eq!(buckets.len(), 1, "{buckets:?}");
        assert_eq!(buckets[0].0, "photos");
        let listed = store.list("photos", "", "", 100).expect("listed");
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!(listed[0].key, "a/b");
        let linked = store.list("elsewhere", "", "", 100);
        assert!(matches!(linked, Err(Error::NoBucket(_))), "{linked:?}");
        let linked = opened(folder, "elsewhere", "secret");
        assert!(matches!(linked, Err(Error::NoBucket(_))), "{linked:?}");
        assert_eq!(opened(folder, "photos", "a/b").expect("there"), "inside");
        // The folder itself may be a link.
        let other = outside.join("folder");
        symlink(folder, &other).expect("linked");
        assert_eq!(opened(&other, "photos", "a/b").expect("there"), "inside");
        let nowhere = opened(&folder.join("nowhere"), "photos", "a/b");
        assert!(matches!(nowhere, Err(Error::NoBucket(_))));
        let none = Folder::new(Err("nothing says where".to_owned()));
        let none = none.open(&ObjectName::new("photos", "a", None).expect("a name"));
        assert!(matches!(none, Err(Error::Unavailable(_))));
    }

    /// Somebody who exchanges a folder for a link again and again while it is walked through never gets a reader out.
    #[test]
    fn nobody_is_led_out_while_the_way_changes() {
        let (outside, folder) = (
            tempfile::tempdir().expect("a temporary folder"),
            tempfile::tempdir().expect("a temporary folder"),
        );
        let (outside, folder) = (outside.path(), folder.path());
        put(outside, "photos", "file", b"secret");
        put(folder, "photos", "real/file", b"inside");
        let photos = folder.join("photos");
        symlink(outside.join("photos"), photos.join("link")).expect("linked");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let moving = scope.spawn(|| {
                let way = photos.join("way");
                while !done.load(Ordering::Relaxed) {
                    for from in ["real", "link"] {
                        std::fs::rename(photos.join(from), &way).expect("moved");
                        std::fs::rename(&way, photos.join(from)).expect("moved back");
                    }
                }
            });
            let mut inside = 0;
            let start = std::time::Instant::now();
            while inside < 50 && start.elapsed() < std::time::Duration::from_secs(20) {
                match opened(folder, "photos", "way/file") {
                    Ok(text) => {
                        assert_eq!(text, "inside");
                        inside += 1;
                    }
                    Err(Error::NoKey(..)) => (),
                    Err(other) => panic!("{other}"),
                }
            }
            done.store(true, Ordering::Relaxed);
            moving.join().expect("moved to the end");
            assert!(inside > 0, "the way was never there");
        });
    }
}
