//! The folder of objects as a place that jobs write to: `<folder>/<bucket>/<key>`.
//!
//! Buckets are made by hand; folders in them are made as keys need them. What is written lies in `.aside`, which is no bucket's
//! name, until it is committed: synced, renamed, and the folders on the way to it synced. The way is walked part by part
//! and no link is followed, as for reading ([`Folder`]).

use escala_objects::folder::Folder;
use escala_objects::{Error, Listed, NewObject, Object, ObjectName, ObjectStore, WritableStore};
use rustix::fs::{AtFlags, Mode, OFlags, RawMode, mkdirat, open, openat, renameat, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
const INSIDE: OFlags = FOLDER.union(OFlags::NOFOLLOW);
const NEW: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::CLOEXEC);
const ASIDE: &str = ".aside";

/// Buckets in a folder.
#[derive(Clone)]
pub struct Writable(Arc<Inside>);

struct Inside {
    reading: Folder,
    root: PathBuf,
}

fn mode(bits: RawMode) -> Mode {
    Mode::from_raw_mode(bits)
}

fn denied(errno: Errno) -> Error {
    match errno {
        Errno::ACCESS | Errno::PERM | Errno::ROFS => Error::Denied,
        errno => Error::Unavailable(errno.into()),
    }
}

impl Writable {
    /// The buckets of a folder, which need not be there yet.
    pub fn new(root: PathBuf) -> Self {
        Self(Arc::new(Inside {
            reading: Folder::new(Ok(root.clone())),
            root,
        }))
    }

    fn root(&self, name: &ObjectName) -> Result<OwnedFd, Error> {
        open(&self.0.root, FOLDER, Mode::empty()).map_err(|errno| match errno {
            Errno::NOENT => name.bucketless(),
            errno => denied(errno),
        })
    }

    fn bucket(&self, name: &ObjectName) -> Result<OwnedFd, Error> {
        let root = self.root(name)?;
        openat(&root, name.bucket(), INSIDE, Mode::empty()).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => name.bucketless(),
            errno => denied(errno),
        })
    }

    /// The folder of an object and the name of its file there. `make` makes folders that are missing, each of them durable.
    fn way<'a>(
        &self,
        name: &'a ObjectName,
        make: bool,
    ) -> Result<Option<(OwnedFd, &'a str)>, Error> {
        let mut at = self.bucket(name)?;
        let (parents, last) = name.key().rsplit_once('/').unwrap_or(("", name.key()));
        let parts = parents.split('/').filter(|_| !parents.is_empty());
        if parts
            .clone()
            .chain([last])
            .any(|part| matches!(part, "" | "." | ".."))
        {
            return Err(Error::Name(
                "the parts of a key between slashes are no names of files",
            ));
        }
        for part in parts {
            at = match openat(&at, part, INSIDE, Mode::empty()) {
                Ok(inner) => inner,
                Err(Errno::NOENT) if !make => return Ok(None),
                Err(Errno::NOENT) => {
                    match mkdirat(&at, part, mode(0o777)) {
                        // Somebody else was quicker.
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(denied(errno)),
                    }
                    rustix::fs::fsync(&at).map_err(denied)?;
                    openat(&at, part, INSIDE, Mode::empty()).map_err(denied)?
                }
                Err(errno) => return Err(denied(errno)),
            };
        }
        Ok(Some((at, last)))
    }
}

impl ObjectStore for Writable {
    fn open(&self, name: &ObjectName) -> Result<Object, Error> {
        self.0.reading.open(name)
    }

    fn open_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Object, Error> {
        self.0.reading.open_range(name, range)
    }

    fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<Listed>, Error> {
        self.0.reading.list(bucket, prefix, after, most)
    }
}

impl WritableStore for Writable {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn NewObject>, Error> {
        drop(self.bucket(name)?);
        name.only_version()?;
        let root = self.root(name)?;
        match mkdirat(&root, ASIDE, mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(denied(errno)),
        }
        let aside = openat(&root, ASIDE, INSIDE, Mode::empty()).map_err(denied)?;
        let file = uuid::Uuid::new_v4().simple().to_string();
        let bytes = openat(&aside, &file, NEW, mode(0o666)).map_err(denied)?;
        Ok(Box::new(New {
            store: self.clone(),
            name: name.clone(),
            bytes: File::from(bytes),
            aside,
            file,
        }))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        name.only_version()?;
        let Some((folder, file)) = self.way(name, false)? else {
            return Ok(());
        };
        match unlinkat(&folder, file, AtFlags::empty()) {
            Ok(()) => rustix::fs::fsync(&folder).map_err(denied)?,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(denied(errno)),
        }
        self.prune(name);
        Ok(())
    }
}

impl Writable {
    /// Removes folders that the last object has left, as there are none in a bucket.
    fn prune(&self, name: &ObjectName) {
        let mut key = name.key();
        while let Some((parent, _)) = key.rsplit_once('/') {
            let Ok(folder) = ObjectName::new(name.bucket(), parent, None) else {
                return;
            };
            let Ok(Some((at, last))) = self.way(&folder, false) else {
                return;
            };
            // One that has something is left, which is the end of it.
            if unlinkat(&at, last, AtFlags::REMOVEDIR).is_err() {
                return;
            }
            key = parent;
        }
    }
}

struct New {
    store: Writable,
    name: ObjectName,
    bytes: File,
    aside: OwnedFd,
    file: String,
}

impl Write for New {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.bytes.flush()
    }
}

impl NewObject for New {
    fn commit(self: Box<Self>) -> Result<Listed, Error> {
        self.bytes.sync_all()?;
        // A folder may be pruned between its making and the rename; the second time there is no other to prune it.
        let mut tries = 0;
        loop {
            let Some((folder, file)) = self.store.way(&self.name, true)? else {
                return Err(self.name.absent());
            };
            match renameat(&self.aside, &self.file, &folder, file) {
                Ok(()) => {
                    rustix::fs::fsync(&folder).map_err(denied)?;
                    break;
                }
                Err(Errno::NOENT) if tries < 3 => tries += 1,
                Err(errno) => return Err(denied(errno)),
            }
        }
        let object = self.store.open(&self.name)?;
        Ok(Listed {
            key: self.name.key().to_owned(),
            length: object.length,
            etag: object.etag,
            modified: object.modified,
        })
    }
}

impl Drop for New {
    fn drop(&mut self) {
        // Once it is committed there is none.
        let _ = unlinkat(&self.aside, &self.file, AtFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn buckets(folder: &std::path::Path, names: &[&str]) -> Writable {
        for name in names {
            std::fs::create_dir_all(folder.join(name)).expect("made");
        }
        Writable::new(folder.to_owned())
    }

    #[test]
    fn links_lead_nowhere_and_nothing_is_left_of_what_is_dropped() {
        let (folder, outside) = (
            tempfile::tempdir().expect("a folder"),
            tempfile::tempdir().expect("a folder"),
        );
        let store = buckets(folder.path(), &["photos"]);
        symlink(outside.path(), folder.path().join("photos/link")).expect("linked");
        symlink(outside.path(), folder.path().join("linked")).expect("linked");
        let name = |bucket: &str, key: &str| ObjectName::new(bucket, key, None).expect("a name");
        let mut new = store.create(&name("photos", "link/a")).expect("begun");
        new.write_all(b"bytes").expect("written");
        assert!(new.commit().is_err());
        let none = store.create(&name("linked", "a")).err();
        assert!(matches!(none, Some(Error::NoBucket(_))), "{none:?}");
        let mut new = store.create(&name("photos", "b/c")).expect("begun");
        new.write_all(b"bytes").expect("written");
        drop(new);
        let new = store.create(&name("photos", "../c")).expect("begun");
        assert!(matches!(new.commit(), Err(Error::Name(_))));
        let files = |path: &std::path::Path| std::fs::read_dir(path).expect("there").count();
        assert_eq!(files(outside.path()), 0);
        assert_eq!(files(&folder.path().join(ASIDE)), 0);
        assert_eq!(files(&folder.path().join("photos")), 1, "the link");
    }

    #[test]
    fn folders_are_made_and_go_with_their_last_object() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = buckets(folder.path(), &["photos"]);
        for key in ["a/b/c", "a/d"] {
            let name = ObjectName::new("photos", key, None).expect("a name");
            let mut new = store.create(&name).expect("begun");
            new.write_all(key.as_bytes()).expect("written");
            assert_eq!(new.commit().expect("kept").length, key.len() as u64);
        }
        let delete = |key: &str| {
            let name = ObjectName::new("photos", key, None).expect("a name");
            store.delete(&name).expect("deleted");
        };
        delete("a/b/c");
        assert!(!folder.path().join("photos/a/b").exists());
        assert!(folder.path().join("photos/a/d").exists());
        delete("a/d");
        delete("a/d");
        assert!(!folder.path().join("photos/a").exists());
        assert!(folder.path().join("photos").exists(), "the bucket stays");
    }
}
