//! Objects in a folder, durable by the same steps as a real store: written aside, synced, renamed, folder synced.

use escala_objects::{Error, Listed, NewObject, Object, ObjectName, ObjectStore, WritableStore};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

pub struct Folder(pub PathBuf);

static NEXT: AtomicU64 = AtomicU64::new(0);

fn listed(key: &str, path: &Path) -> Result<Listed, Error> {
    let about = std::fs::metadata(path)?;
    let modified = about.modified()?;
    let since = modified.duration_since(SystemTime::UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos());
    Ok(Listed {
        key: key.to_owned(),
        length: about.len(),
        etag: format!("{:x}-{nanos:x}", about.len()),
        modified,
    })
}

impl Folder {
    fn path(&self, name: &ObjectName) -> PathBuf {
        self.0.join(name.bucket()).join(name.key())
    }

    fn file(&self, name: &ObjectName) -> Result<(File, Listed), Error> {
        let path = self.path(name);
        let file = File::open(&path).map_err(|_| name.absent())?;
        Ok((file, listed(name.key(), &path)?))
    }
}

fn object(listed: Listed, bytes: Box<dyn Read + Send>) -> Object {
    Object {
        length: listed.length,
        etag: listed.etag,
        modified: listed.modified,
        bytes,
    }
}

impl ObjectStore for Folder {
    fn open(&self, name: &ObjectName) -> Result<Object, Error> {
        let (file, listed) = self.file(name)?;
        Ok(object(listed, Box::new(file)))
    }

    fn open_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Object, Error> {
        let (mut file, listed) = self.file(name)?;
        if range.start >= listed.length.min(range.end) {
            return Err(Error::Range {
                length: listed.length,
            });
        }
        file.seek(SeekFrom::Start(range.start))?;
        let bytes = file.take(range.end - range.start);
        Ok(object(listed, Box::new(bytes)))
    }

    fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<Listed>, Error> {
        let root = self.0.join(bucket);
        let (mut folders, mut keys) = (vec![root.clone()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(key) = path.strip_prefix(&root) {
                    keys.push(key.display().to_string());
                }
            }
        }
        keys.retain(|key| key.starts_with(prefix) && key.as_str() > after);
        keys.sort();
        keys.truncate(most);
        keys.iter()
            .map(|key| listed(key, &root.join(key)))
            .collect()
    }
}

impl WritableStore for Folder {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn NewObject>, Error> {
        if !self.0.join(name.bucket()).is_dir() {
            return Err(name.bucketless());
        }
        let aside = self.0.join("aside");
        std::fs::create_dir_all(&aside)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let aside = aside.join(format!("{}-{number}", std::process::id()));
        Ok(Box::new(New {
            file: File::create(&aside)?,
            aside,
            key: name.key().to_owned(),
            path: self.path(name),
        }))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        match std::fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

struct New {
    file: File,
    aside: PathBuf,
    path: PathBuf,
    key: String,
}

impl Write for New {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl NewObject for New {
    fn commit(self: Box<Self>) -> Result<Listed, Error> {
        self.file.sync_all()?;
        let folder = self.path.parent().expect("a key has a folder");
        std::fs::create_dir_all(folder)?;
        std::fs::rename(&self.aside, &self.path)?;
        File::open(folder)?.sync_all()?;
        listed(&self.key, &self.path)
    }
}

impl Drop for New {
    fn drop(&mut self) {
        // After a commit there is none.
        let _ = std::fs::remove_file(&self.aside);
    }
}
