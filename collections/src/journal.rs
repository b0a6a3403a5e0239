//! The file that a collection's events are appended to.
//!
//! ```text
//! file    magic "ESCFACES", version u32, width of descriptors u32; then records
//! record  length u32, CRC-32 of the payload u32, payload        (all little-endian)
//! ```
//! The version also says what the descriptors are: those of version 1 are of faces that were cut out of the image as they
//! were, those of version 2 of faces that were turned upright first. Neither can be compared with the other.
//!
//! A record is on the disk before [`Journal::append`] returns. A crash leaves the last record torn at most: reading
//! ends at the first record that is not whole, and what stands there is moved to a file beside the journal before it
//! is cut off, so that nothing is ever thrown away unseen.

use crate::vectors::WIDTH;
use crate::{Error, Result, io};
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"ESCFACES";
/// What is written, and the earliest that can be read.
pub const VERSION: u32 = 2;
const EARLIEST: u32 = 1;
const HEADER: u64 = 16;

/// Most bytes of a record: a hundred faces take 60 KB, four thousand ids 64 KB.
const LONGEST: u32 = 16 << 20;

/// An open journal, at its end.
pub(crate) struct Journal {
    file: File,
    version: u32,
    path: PathBuf,
    /// Bytes that are whole records.
    length: u64,
    /// Why nothing more can be appended.
    broken: Option<String>,
}

impl Journal {
    /// Starts a journal with these payloads, on the disk when this returns. Its folder's entry is the caller's to
    /// make durable.
    pub fn create(
        path: &Path,
        version: u32,
        payloads: impl Iterator<Item = Vec<u8>>,
    ) -> Result<Self> {
        let file = File::create_new(path).map_err(io("create", path))?;
        let mut out = std::io::BufWriter::new(file);
        let mut length = HEADER;
        let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(io("write", path));
        put(&MAGIC)?;
        put(&version.to_le_bytes())?;
        put(&(WIDTH as u32).to_le_bytes())?;
        for payload in payloads {
            let frame = frame(&payload)?;
            length += frame.len() as u64;
            put(&frame)?;
        }
        let file = out
            .into_inner()
            .map_err(|error| io("write", path)(error.into_error()))?;
        file.sync_all().map_err(io("sync", path))?;
        Ok(Self {
            file,
            version,
            path: path.to_owned(),
            length,
            broken: None,
        })
    }

    /// Opens a journal, giving every payload to `each`, and cuts off a torn end.
    pub fn open(path: &Path, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(io("open", path))?;
        let all = file.metadata().map_err(io("look at", path))?.len();
        let mut length = HEADER;
        let version;
        {
            let mut reader = BufReader::with_capacity(1 << 20, &mut file);
            version = header(&mut reader, path)?;
            let mut payload = Vec::new();
            while let Some(size) = record(&mut reader, &mut payload).map_err(io("read", path))? {
                each(&payload)?;
                length += size;
            }
        }
        let mut journal = Self {
            file,
            version,
            path: path.to_owned(),
            length,
            broken: None,
        };
        if length < all {
            journal.cut(all)?;
        }
        journal
            .file
            .seek(SeekFrom::Start(length))
            .map_err(io("seek in", path))?;
        Ok(journal)
    }

    /// The version and the first payload of a journal.
    pub fn first(path: &Path) -> Result<(u32, Option<Vec<u8>>)> {
        let mut reader = BufReader::new(File::open(path).map_err(io("open", path))?);
        let version = header(&mut reader, path)?;
        let mut payload = Vec::new();
        let found = record(&mut reader, &mut payload).map_err(io("read", path))?;
        Ok((version, found.map(|_| payload)))
    }

    /// Moves what stands behind the last whole record to a file of its own, and cuts it off.
    fn cut(&mut self, all: u64) -> Result<()> {
        let beside = self.path.with_extension(format!("cut-{}", self.length));
        tracing::warn!(
            journal = %self.path.display(),
            bytes = all - self.length,
            kept = %beside.display(),
            "the end of the journal is torn and is cut off"
        );
        let path = &self.path;
        self.file
            .seek(SeekFrom::Start(self.length))
            .map_err(io("seek in", path))?;
        let mut out = File::create(&beside).map_err(io("create", &beside))?;
        std::io::copy(&mut self.file, &mut out).map_err(io("write", &beside))?;
        out.sync_all().map_err(io("sync", &beside))?;
        self.file
            .set_len(self.length)
            .map_err(io("cut the end off", path))?;
        self.file.sync_all().map_err(io("sync", path))
    }

    /// Appends a record; it is on the disk when this returns. When it cannot be written whole, the journal is as it
    /// was, or takes nothing more.
    pub fn append(&mut self, payload: &[u8]) -> Result<()> {
        if let Some(why) = &self.broken {
            return Err(Error::ReadOnly(why.clone()));
        }
        let frame = frame(payload)?;
        let written = self
            .file
            .write_all(&frame)
            .and_then(|()| self.file.sync_data());
        let Err(error) = written else {
            self.length += frame.len() as u64;
            return Ok(());
        };
        let undone = self
            .file
            .set_len(self.length)
            .and_then(|()| self.file.seek(SeekFrom::Start(self.length)))
            .and_then(|_| self.file.sync_data());
        if let Err(undone) = undone {
            self.broken = Some(format!("{error}; {undone}"));
        }
        Err(io("write", &self.path)(error))
    }

    /// The version of the file.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.length
    }
}

fn frame(payload: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(payload.len()).ok();
    let length = length
        .filter(|length| *length <= LONGEST)
        .ok_or(Error::Limit {
            what: "the bytes of one change",
            most: LONGEST as usize,
        })?;
    let mut frame = Vec::with_capacity(payload.len() + 8);
    frame.extend(length.to_le_bytes());
    frame.extend(crc32fast::hash(payload).to_le_bytes());
    frame.extend(payload);
    Ok(frame)
}

/// Reads the header; gives the version.
fn header(reader: &mut impl Read, path: &Path) -> Result<u32> {
    let wrong = |why: String| Error::Format {
        path: path.to_owned(),
        why,
    };
    let mut bytes = [0; HEADER as usize];
    reader
        .read_exact(&mut bytes)
        .map_err(|_| wrong("it is too short for a journal of faces".to_owned()))?;
    let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
    if bytes[..8] != MAGIC {
        return Err(wrong("it is not a journal of faces".to_owned()));
    }
    let version = number(8);
    if !(EARLIEST..=VERSION).contains(&version) {
        return Err(wrong(format!(
            "it has version {version}, this program reads {EARLIEST} to {VERSION}"
        )));
    }
    if number(12) as usize != WIDTH {
        return Err(wrong(format!(
            "its descriptors have {} numbers, those of this program {WIDTH}",
            number(12)
        )));
    }
    Ok(version)
}

/// Reads the next record into `payload`; gives its size in the file, or `None` at the end or where a record is not
/// whole.
fn record(reader: &mut impl Read, payload: &mut Vec<u8>) -> std::io::Result<Option<u64>> {
    let mut head = [0; 8];
    if !whole(reader, &mut head)? {
        return Ok(None);
    }
    let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| head[at + i]));
    let (length, sum) = (number(0), number(4));
    if length > LONGEST {
        return Ok(None);
    }
    payload.resize(length as usize, 0);
    if !whole(reader, payload)? || crc32fast::hash(payload) != sum {
        return Ok(None);
    }
    Ok(Some(u64::from(length) + 8))
}

/// Fills the buffer; `false` when the file ends before.
fn whole(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes what was created, renamed or removed in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    let open = fs::File::open(folder).map_err(io("open", folder))?;
    open.sync_all().map_err(io("sync", folder))
}
