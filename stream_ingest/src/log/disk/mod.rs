//! Everything the log asks of a disk, so that tests can put one in its place that loses, tears and refuses.
//!
//! Paths are relative to the log's folder, with `/` between their parts. What a disk promises:
//!
//! * What [`File::write_at`] took is read back by this process at once; it survives the machine only after
//!   [`File::sync`], and until then any part of it may.
//! * A sector of 512 bytes that is written again keeps the bytes that do not change.
//! * What was created, renamed or removed in a folder survives after [`Disk::sync_folder`]; until then each of these
//!   may have happened or not, in their order.

mod direct;
mod folder;
#[cfg(test)]
pub(crate) mod simulated;

pub use folder::Folder;

use bytes::{Bytes, BytesMut};
use std::io::{self, IoSlice};
use std::sync::Arc;

/// A folder with files.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file for reading and writing, empty, whether or not it was there.
    fn create(&self, path: &str) -> io::Result<Arc<dyn File>>;
    /// Opens a file that is there, for reading and writing.
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>>;
    /// Makes a folder, and those above it, unless they are there.
    fn create_folder(&self, path: &str) -> io::Result<()>;
    /// Gives a file another name, replacing the file that had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_folder(&self, path: &str) -> io::Result<()>;
    /// Names of what is in a folder, sorted.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;
    /// Makes what was created, renamed and removed in a folder durable.
    fn sync_folder(&self, path: &str) -> io::Result<()>;
    /// Makes everything durable that was written to any file or changed in any folder: for thousands of files at once.
    /// [`io::ErrorKind::Unsupported`] where the system has nothing like it.
    fn sync(&self) -> io::Result<()>;
    /// Bytes that can still be written.
    fn free(&self) -> io::Result<u64>;
    /// Bytes that there are, used or not.
    fn total(&self) -> io::Result<u64>;
    /// How many files may be open for each purpose that opens many: the process has other uses for some.
    fn most_open(&self) -> usize {
        usize::MAX
    }
    /// What to do when the process may open no more files: to close some that can be opened again.
    fn when_short(&self, _close: Box<dyn Fn() + Send + Sync>) {}
}

/// An open file. Reads and writes name their place and may come from several threads.
pub trait File: Send + Sync {
    /// Fills the buffer from `at`, or as much of it as the file has; gives the number of bytes.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;
    /// So many bytes from `at`, or as many as the file has there.
    fn read(&self, count: usize, at: u64) -> io::Result<Bytes> {
        let mut bytes = BytesMut::zeroed(count);
        let read = self.read_at(&mut bytes, at)?;
        bytes.truncate(read);
        Ok(bytes.freeze())
    }
    /// Writes all slices, one after the other, from `at`. After an error any part of them may have been written.
    fn write_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<()>;
    /// As [`File::write_at`], for much that will not be read again soon: past the system's cache, where that is possible and
    /// the file has the name by which it was opened.
    fn write_past(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        self.write_at(slices, at)
    }
    /// Makes what was written durable, with the length that is needed to read it. After an error nothing is known
    /// about what was written since the last success.
    fn sync(&self) -> io::Result<()>;
    /// Bytes of the file.
    fn length(&self) -> io::Result<u64>;
    /// Makes the file shorter, or longer with zeros.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Sets bytes of the disk aside for the file, so that they are not [`Disk::free`] any more.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
}

/// Whether an error says that there is no space.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
