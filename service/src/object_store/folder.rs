//! Objects as files: `<folder>/<bucket>/<key>`, put there by hand.
//!
//! The way to a file is walked part by part from the folder, following no link, so that no name and no link leads out of
//! it, and nobody who moves things about meanwhile can make one. Only regular files are objects: they are looked at before
//! they are opened, because opening a device can do something, and are opened so that nothing is waited for.

use super::{Error, Object, ObjectName, ObjectStore};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, open, openat, statat};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The buckets that are folders of a folder.
#[derive(Clone, Debug)]
pub struct Folder {
    folder: Result<PathBuf, String>,
}

impl Folder {
    /// The buckets in a folder, or the reason why there is none. It need not be there (yet).
    pub fn new(folder: Result<PathBuf, String>) -> Self {
        Self { folder }
    }
}

/// Whether what was asked for is not there, or is not what it would have to be.
fn absent(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG | Errno::MLINK
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

impl ObjectStore for Folder {
    fn open(&self, name: &ObjectName) -> Result<Object, Error> {
        let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let inside = folder | OFlags::NOFOLLOW;
        let no_bucket = || Error::NoBucket(name.bucket().to_owned());
        let no_key = || Error::NoKey(name.bucket().to_owned(), name.key().to_owned());
        let root = self.folder.as_ref();
        let root = root.map_err(|why| Error::Unavailable(std::io::Error::other(why.clone())))?;
        // The folder itself is the operator's choice and may be a link.
        let root = open(root, folder, Mode::empty()).map_err(|errno| step(errno, no_bucket))?;
        let mut at: OwnedFd = openat(&root, name.bucket(), inside, Mode::empty())
            .map_err(|errno| step(errno, no_bucket))?;
        let (parents, last) = match name.key().rsplit_once('/') {
            Some((parents, last)) => (Some(parents), last),
            None => (None, name.key()),
        };
        for part in parents.into_iter().flat_map(|parents| parents.split('/')) {
            at = openat(&at, part, inside, Mode::empty()).map_err(|errno| step(errno, no_key))?;
        }
        let about = statat(&at, last, AtFlags::SYMLINK_NOFOLLOW);
        let about = about.map_err(|errno| step(errno, no_key))?;
        if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
            return Err(no_key());
        }
        name.only_version()?;
        let file = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&at, last, file, Mode::empty()).map_err(|errno| step(errno, no_key))?;
        let file = File::from(file);
        // What was looked at may have been exchanged since.
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(no_key());
        }
        Ok(Object {
            length: about.len(),
            bytes: Box::new(file),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
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
        super::super::suite::holds(|buckets, objects| {
            for bucket in buckets {
                std::fs::create_dir(folder.path().join(bucket)).expect("made");
            }
            for (bucket, key, bytes) in objects {
                put(folder.path(), bucket, key, bytes);
            }
            Folder::new(Ok(folder.path().to_owned()))
        });
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
