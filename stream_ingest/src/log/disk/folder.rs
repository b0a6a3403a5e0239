//! A folder of the machine.

use super::direct::Direct;
use super::{Disk, File};
use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use std::fs;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// A folder of the machine, held by this process alone.
pub struct Folder {
    root: PathBuf,
    /// Held locked as long as the folder is in use; the system lets go of it when the process ends. It is open since before
    /// anything was written, so through it the system tells of every error since.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code))]
    lock: fs::File,
    /// The way past the system's cache.
    direct: Arc<Direct>,
    /// Closes files that can be opened again.
    close: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// How long to try again where the process has as many files open as it may: others come and go. It is not the disk that
/// fails, so nothing is lost by waiting, and much by giving up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries: the system does not say when there is one.
const AGAIN: Duration = Duration::from_millis(5);

/// Whether the process, or the machine, has as many files open as it may.
fn is_short(error: &io::Error) -> bool {
    let (process, machine) = (Errno::MFILE, Errno::NFILE);
    let code = error.raw_os_error();
    code == Some(process.raw_os_error()) || code == Some(machine.raw_os_error())
}

impl Folder {
    /// Makes the folder if it is not there and locks it; refused while another process (or another log of this one)
    /// holds it.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        fs::create_dir_all(&root)?;
        let lock = fs::File::create(root.join("LOCK"))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::Error(error) => error,
            fs::TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("{} is in use by another process", root.display()),
            ),
        })?;
        Ok(Self {
            root,
            lock,
            direct: Arc::default(),
            close: OnceLock::new(),
        })
    }

    /// Does what opens a file, again where only the number of files stands in the way.
    fn opening<T>(&self, mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let mut since = None;
        loop {
            let error = match open() {
                Err(error) if is_short(&error) => error,
                opened => return opened,
            };
            let since: &mut Instant = since.get_or_insert_with(|| {
                tracing::warn!(%error, "the log waits for a file that it may open");
                Instant::now()
            });
            if since.elapsed() > PATIENCE {
                return Err(error);
            }
            if let Some(close) = self.close.get() {
                close();
            }
            std::thread::sleep(AGAIN);
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(Path::new(path))
    }

    fn opened(&self, file: fs::File, path: PathBuf) -> Open {
        let direct = self.direct.clone();
        Open { file, path, direct }
    }
}

impl Disk for Folder {
    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let path = self.path(path);
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = self.opening(|| options.open(&path))?;
        Ok(Arc::new(self.opened(file, path)))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let path = self.path(path);
        let mut options = fs::OpenOptions::new();
        let file = self.opening(|| options.read(true).write(true).open(&path))?;
        Ok(Arc::new(self.opened(file, path)))
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        fs::create_dir_all(self.path(path))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(path))
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        fs::remove_dir(self.path(path))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in self.opening(|| fs::read_dir(self.path(path)))? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync_folder(&self, path: &str) -> io::Result<()> {
        self.opening(|| fs::File::open(self.path(path)))?.sync_all()
    }

    #[cfg(target_os = "linux")]
    fn sync(&self) -> io::Result<()> {
        // Since Linux 5.8 it tells of errors that happened while writing back.
        Ok(rustix::fs::syncfs(&self.lock)?)
    }

    #[cfg(not(target_os = "linux"))]
    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn free(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&self.root)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn total(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&self.root)?;
        Ok(found.f_blocks.saturating_mul(found.f_frsize))
    }

    fn most_open(&self) -> usize {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let share = limit.current.map_or(u64::MAX, |limit| limit / 8);
        usize::try_from(share).unwrap_or(usize::MAX).max(4)
    }

    fn when_short(&self, close: Box<dyn Fn() + Send + Sync>) {
        // One log has a folder; a second would have been refused.
        let _ = self.close.set(close);
    }
}

struct Open {
    file: fs::File,
    path: PathBuf,
    direct: Arc<Direct>,
}

impl File for Open {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], at + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn read(&self, count: usize, at: u64) -> io::Result<Bytes> {
        // Without the zeros that `read_at` would write over.
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            let at = at + bytes.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(&mut bytes), at) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // There may be room for more than was asked for.
        bytes.truncate(count);
        Ok(bytes.into())
    }

    fn write_at(&self, slices: &[IoSlice<'_>], mut at: u64) -> io::Result<()> {
        // The system takes at most 1024 slices at once, and may take less of them than it was given.
        let mut slices = slices.to_vec();
        let mut left = slices.as_mut_slice();
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let some = &left[..left.len().min(1024)];
            let written = match rustix::io::pwritev(&self.file, some, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            at += written as u64;
            IoSlice::advance_slices(&mut left, written);
        }
        Ok(())
    }

    fn write_past(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        self.direct.write(&self.path, self, slices, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
            Ok(()) => Ok(()),
            // Some file systems cannot; zeros take the space too.
            Err(Errno::OPNOTSUPP) => {
                let zeros = vec![0; 1 << 20];
                let mut at = 0;
                while at < bytes {
                    let some = (bytes - at).min(zeros.len() as u64);
                    self.write_at(&[IoSlice::new(&zeros[..some as usize])], at)?;
                    at += some;
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
