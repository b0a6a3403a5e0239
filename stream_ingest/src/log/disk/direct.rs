//! Writing past the system's cache.
//!
//! Bytes that go into the cache are copied into pages that the system has to find first, and stay there until it writes
//! them back: all at once, when a sync asks for it or when it sees fit, and whoever syncs another file then waits behind
//! them. What is written by the megabyte is spared that: it goes to the disk at once, from a buffer that is used again.
//! Such writes begin and end at multiples of a block and come from memory that does; what is before the first block and
//! behind the last is written through the cache, which the system keeps in agreement with the file.

use super::File;
use parking_lot::Mutex;
use std::fs;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Offsets, lengths and memory are multiples of this; no disk in use has larger blocks.
const BLOCK: usize = 4096;
/// Bytes that are written at once: what they are copied to stays in a processor's own cache. With a megabyte the copying
/// alone took three times as long.
const PIECE: usize = 256 << 10;
/// Fewer bytes are not worth waiting for the disk.
const LEAST: usize = 128 << 10;

/// What the files of a folder share: memory to write from, and whether they can.
#[derive(Default)]
pub(super) struct Direct {
    /// As many as wrote at the same time.
    buffers: Mutex<Vec<Vec<u8>>>,
    /// The file system has no such way.
    none: AtomicBool,
}

impl Direct {
    #[cfg(target_os = "linux")]
    fn open(path: &Path) -> io::Result<fs::File> {
        use std::os::unix::fs::OpenOptionsExt;
        let flag = rustix::fs::OFlags::DIRECT.bits() as i32;
        let mut options = fs::OpenOptions::new();
        options.write(true).custom_flags(flag).open(path)
    }

    #[cfg(not(target_os = "linux"))]
    fn open(_: &Path) -> io::Result<fs::File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Writes slices into a file from `at`; `through` the cache where there is no other way or too little to write.
    pub fn write(
        &self,
        path: &Path,
        through: &dyn File,
        slices: &[IoSlice<'_>],
        at: u64,
    ) -> io::Result<()> {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        if bytes < LEAST || self.none.load(Ordering::Relaxed) {
            return through.write_at(slices, at);
        }
        // Opened for the moment: twice as many files would stay open otherwise.
        let file = match Self::open(path) {
            Ok(file) => file,
            Err(error) => {
                let never = matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
                );
                self.none.store(never, Ordering::Relaxed);
                return through.write_at(slices, at);
            }
        };
        let mut buffer = self.buffers.lock().pop().unwrap_or_default();
        buffer.resize(PIECE + BLOCK, 0);
        let shift = buffer.as_ptr().align_offset(BLOCK);
        let memory = &mut buffer[shift..shift + PIECE];
        let written = self.write_from(memory, &file, through, slices, at);
        self.buffers.lock().push(buffer);
        written
    }

    /// Writes slices into a file from `at`, by way of memory that begins at a block.
    fn write_from(
        &self,
        memory: &mut [u8],
        file: &fs::File,
        through: &dyn File,
        slices: &[IoSlice<'_>],
        mut at: u64,
    ) -> io::Result<()> {
        let mut left = Left { slices, done: 0 };
        let mut missing: usize = slices.iter().map(|slice| slice.len()).sum();
        let before = (at as usize).next_multiple_of(BLOCK) - at as usize;
        if before > 0 {
            left.copy(&mut memory[..before]);
            through.write_at(&[IoSlice::new(&memory[..before])], at)?;
            at += before as u64;
        }
        missing -= before;
        while missing >= BLOCK {
            let piece = missing.min(PIECE) / BLOCK * BLOCK;
            left.copy(&mut memory[..piece]);
            let written = match write_all(file, &memory[..piece], at) {
                Ok(()) => Ok(()),
                // Some file systems open such files and then refuse to write them.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    self.none.store(true, Ordering::Relaxed);
                    through.write_at(&[IoSlice::new(&memory[..piece])], at)
                }
                Err(error) => Err(error),
            };
            written?;
            at += piece as u64;
            missing -= piece;
        }
        if missing > 0 {
            left.copy(&mut memory[..missing]);
            through.write_at(&[IoSlice::new(&memory[..missing])], at)?;
        }
        Ok(())
    }
}

/// Writes it all. What a short write leaves that is no whole block is refused by the system, with `InvalidInput`.
fn write_all(file: &fs::File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                at += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Slices, as far as they are not copied yet.
struct Left<'a> {
    slices: &'a [IoSlice<'a>],
    /// Bytes of the first that are.
    done: usize,
}

impl Left<'_> {
    /// Fills memory with what comes next; there is as much.
    fn copy(&mut self, mut into: &mut [u8]) {
        while !into.is_empty()
            && let Some(first) = self.slices.first()
        {
            let rest = &first[self.done..];
            let some = rest.len().min(into.len());
            into[..some].copy_from_slice(&rest[..some]);
            into = &mut into[some..];
            self.done += some;
            if self.done == first.len() {
                self.slices = &self.slices[1..];
                self.done = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::log::disk::{Disk, Folder};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use std::io::IoSlice;

    /// Any mixture of the two ways gives the file that one way alone gives.
    #[test]
    fn what_is_written_past_the_cache_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Folder::open(folder.path()).unwrap();
        let file = disk.create("file").unwrap();
        let mut random = StdRng::seed_from_u64(1);
        let mut wanted: Vec<u8> = Vec::new();
        for _ in 0..60 {
            let mut parts: Vec<Vec<u8>> = Vec::new();
            for _ in 0..random.random_range(1..8) {
                let length = match random.random_range(0..4) {
                    0 => random.random_range(0..5000),
                    1 => 4096 * random.random_range(0..60),
                    _ => random.random_range(0..400_000),
                };
                let first: u8 = random.random();
                parts.push(
                    (0..length)
                        .map(|i| first.wrapping_add((i / 7) as u8))
                        .collect(),
                );
            }
            let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
            // Behind what is there, as segments are written, or over a part of it.
            let at = match random.random_range(0..5) {
                0 => random.random_range(0..=wanted.len()),
                _ => wanted.len(),
            };
            match random.random_range(0..3) {
                0 => file.write_at(&slices, at as u64).unwrap(),
                _ => file.write_past(&slices, at as u64).unwrap(),
            }
            let bytes = parts.concat();
            let end = at + bytes.len();
            wanted.resize(wanted.len().max(end), 0);
            wanted[at..end].copy_from_slice(&bytes);
            let from = random.random_range(0..=wanted.len());
            let mut read = vec![0; wanted.len() - from];
            assert_eq!(file.read_at(&mut read, from as u64).unwrap(), read.len());
            assert!(read == wanted[from..], "{at} {end} {from}");
        }
        file.sync().unwrap();
        assert_eq!(file.length().unwrap(), wanted.len() as u64);
        assert!(std::fs::read(folder.path().join("file")).unwrap() == wanted);
    }
}
