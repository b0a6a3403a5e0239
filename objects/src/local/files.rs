//! The files that hold objects' bytes: `bytes/ab/…`, named at random, written once.
//!
//! There are 256 folders, so that most new files need no new folder, which would have to be written through too.
//!
//! A file is through to the disk, with the folders that lead to it, before a row of the index names it, and is removed after
//! no row does. What is read is pinned: a file that is removed meanwhile goes when its last reader is done. A process that
//! dies leaves at most files that no row names, and these are swept out when the store is opened again.

use super::checksum::{Algorithm, Checksum, Digests, Summed, hex};
use super::{Error, Expected};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// The folder of all files.
pub struct Files {
    folder: PathBuf,
    /// Folders that are known to be on the disk.
    made: Mutex<HashSet<PathBuf>>,
    pins: Mutex<HashMap<String, Pin>>,
}

#[derive(Default)]
struct Pin {
    readers: usize,
    forgotten: bool,
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Whether a name can be that of a file here.
fn is_name(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The names in a folder and their paths; none where it is no folder.
fn entries(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Vec::new()),
        entries => entries?,
    };
    let named = entries.map(|entry| {
        let entry = entry?;
        Ok((entry.file_name().into_string(), entry.path()))
    });
    let named: io::Result<Vec<_>> = named.collect();
    let text = |(name, path): (Result<String, _>, PathBuf)| Some((name.ok()?, path));
    Ok(named?.into_iter().filter_map(text).collect())
}

impl Files {
    /// Those of a folder, which is made if there is none.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        sync(&folder)?;
        if let Some(parent) = folder.parent() {
            sync(parent)?;
        }
        Ok(Self {
            folder,
            made: Mutex::default(),
            pins: Mutex::default(),
        })
    }

    fn folder_of(&self, name: &str) -> io::Result<PathBuf> {
        match is_name(name) {
            true => Ok(self.folder.join(&name[..2])),
            false => Err(io::Error::other(format!("{name:?} is no name of a file"))),
        }
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        Ok(self.folder_of(name)?.join(&name[2..]))
    }

    /// Makes a folder so that it stays.
    fn make(&self, folder: &Path) -> io::Result<()> {
        // Held while the disk is waited for: whoever finds the folder must find it on the disk.
        let mut made = self.made.lock();
        let mut missing: Vec<&Path> = folder
            .ancestors()
            .take_while(|at| *at != self.folder && !made.contains(*at))
            .collect();
        while let Some(at) = missing.pop() {
            match fs::create_dir(at) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => (),
            }
            if let Some(parent) = at.parent() {
                sync(parent)?;
            }
            made.insert(at.to_owned());
        }
        Ok(())
    }

    /// Removes every file that is not `named`. Nobody else may use the folder meanwhile.
    pub fn sweep(
        &self,
        mut named: impl FnMut(&str) -> Result<bool, Error>,
    ) -> Result<usize, Error> {
        let mut removed = 0;
        for (first, at) in entries(&self.folder)? {
            for (rest, path) in entries(&at)? {
                let name = format!("{first}{rest}");
                if is_name(&name) && !named(&name)? {
                    fs::remove_file(&path)?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    /// Keeps files until the pins are dropped.
    pub fn pin(self: &Arc<Self>, names: impl IntoIterator<Item = String>) -> Pins {
        let mut pins = self.pins.lock();
        let names: Vec<String> = names.into_iter().collect();
        for name in &names {
            pins.entry(name.clone()).or_default().readers += 1;
        }
        Pins {
            files: self.clone(),
            names,
        }
    }

    /// Removes files that no row names any more, those that are read when they are not.
    pub fn forget(&self, names: &[String]) {
        for name in names {
            let mut pins = self.pins.lock();
            match pins.get_mut(name) {
                Some(pin) => pin.forgotten = true,
                None => self.remove(name),
            }
        }
    }

    fn remove(&self, name: &str) {
        if let Err(error) = self.path(name).and_then(fs::remove_file) {
            // It is swept out later.
            tracing::warn!(%error, name, "a file of a deleted object stays");
        }
    }

    fn open_at(&self, name: &str, offset: u64) -> io::Result<File> {
        let mut file = File::open(self.path(name)?)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file)
    }
}

/// Files that are kept while this is.
pub struct Pins {
    files: Arc<Files>,
    names: Vec<String>,
}

impl Drop for Pins {
    fn drop(&mut self) {
        let mut pins = self.files.pins.lock();
        for name in &self.names {
            let Some(pin) = pins.get_mut(name) else {
                continue;
            };
            pin.readers -= 1;
            if pin.readers == 0 {
                let forgotten = pin.forgotten;
                pins.remove(name);
                if forgotten {
                    self.files.remove(name);
                }
            }
        }
    }
}

/// Bytes that are on their way to the disk. Dropped, there is nothing of them.
pub struct Writing {
    file: NewFile,
    length: u64,
    digests: Digests,
}

/// A file that no row names yet.
struct NewFile {
    files: Arc<Files>,
    name: String,
    file: File,
    kept: bool,
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.kept {
            self.files.remove(&self.name);
        }
    }
}

impl Writing {
    /// Begins a file; these checksums of it are computed beside its MD5.
    pub fn begin(files: &Arc<Files>, algorithms: &[Algorithm]) -> io::Result<Self> {
        let name = Uuid::new_v4().simple().to_string();
        files.make(&files.folder_of(&name)?)?;
        let file = File::create_new(files.path(&name)?)?;
        Ok(Self {
            file: NewFile {
                files: files.clone(),
                name,
                file,
                kept: false,
            },
            length: 0,
            digests: Digests::new(algorithms),
        })
    }

    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes the file through to the disk if it is what was expected. The checksum `keep` stays with it.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Digest`]; [`Error::Disk`].
    pub fn finish(self, expected: &Expected, keep: Option<Algorithm>) -> Result<Written, Error> {
        let summed = self.digests.finish();
        expected.check(self.length, &summed)?;
        self.file.file.sync_all()?;
        sync(&self.file.files.folder_of(&self.file.name)?)?;
        let kept = summed.others.iter().find(|(one, _)| Some(*one) == keep);
        Ok(Written {
            checksum: kept.map(|(one, bytes)| Checksum::whole(*one, bytes)),
            file: self.file,
            length: self.length,
            summed,
        })
    }
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.file.write(bytes)?;
        self.digests.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes on the disk that are no object or part yet. Dropped, there is nothing of them.
pub struct Written {
    file: NewFile,
    /// How many there are.
    pub length: u64,
    /// Their MD5 and what else was asked for.
    pub summed: Summed,
    /// The checksum that is kept.
    pub checksum: Option<Checksum>,
}

impl Written {
    /// The name of the file.
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// Their MD5, as ETags are written.
    pub fn etag(&self) -> String {
        hex(&self.summed.md5)
    }

    /// After a row names it, or may: the file stays.
    pub fn keep(mut self) {
        self.file.kept = true;
    }
}

/// Reads pieces of files one after the other.
pub struct Pieces {
    files: Arc<Files>,
    /// Files, from where, and how many bytes; the next one last.
    left: Vec<(String, u64, u64)>,
    open: Option<io::Take<File>>,
    _pins: Arc<Pins>,
}

impl Pieces {
    /// The pieces (file, from where, how many bytes) of files that are pinned.
    pub fn new(files: Arc<Files>, mut pieces: Vec<(String, u64, u64)>, pins: Arc<Pins>) -> Self {
        pieces.reverse();
        Self {
            files,
            left: pieces,
            open: None,
            _pins: pins,
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(file) = &mut self.open {
                let read = file.read(buffer)?;
                if read > 0 {
                    return Ok(read);
                }
                if file.limit() > 0 {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "a file of the object is shorter than the index says",
                    ));
                }
            }
            let Some((name, from, length)) = self.left.pop() else {
                return Ok(0);
            };
            self.open = Some(self.files.open_at(&name, from)?.take(length));
        }
    }
}
