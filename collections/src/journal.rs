//! The file that a collection's events are appended to.
//!
//! ```text
//! file    magic "ESCFACES", version u32, width of descriptors u32; then records
//! record  length u32, CRC-32 of the payload u32, payload        (all little-endian)
//! ```
//! The version also says what the descriptors are: those of version 1 are of faces that were cut out of the image as they
//! were, those of version 2 of faces that were turned upright first. Neither can be compared with the other.
//!
//! A record has at least one byte of payload and is on the disk before [`Journal::append`] returns. A crash leaves the last
//! one torn at most: an end that is not whole is moved to a file beside the journal before it is cut off, so that nothing is
//! ever thrown away unseen. A record that is not whole with others behind it is damage to what was acknowledged. Such a
//! journal is refused with the place, and stays as it is.

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

/// Bytes of a record before its payload.
const HEAD: usize = 8;

/// Most bytes of a payload: a hundred faces take 60 KB, four thousand ids 64 KB.
const LONGEST: u32 = 16 << 20;

/// Bytes that are summed up at most to see that an end holds no whole record; what a crash leaves takes a few.
const SUMMED: usize = 1 << 30;

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
    ///
    /// # Errors
    /// [`Error::Format`] where a record is damaged that others follow; those of `each`; when the disk refuses.
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
            version = header(&mut reader, path)?.readable(path)?;
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
            journal.torn(all)?;
            journal.cut(all)?;
        }
        journal
            .file
            .seek(SeekFrom::Start(length))
            .map_err(io("seek in", path))?;
        Ok(journal)
    }

    /// The version and the first payload of a journal, also of one that [`Journal::open`] would refuse.
    pub fn first(path: &Path) -> Result<(u32, Option<Vec<u8>>)> {
        let mut reader = BufReader::new(File::open(path).map_err(io("open", path))?);
        let Header { version, .. } = header(&mut reader, path)?;
        let mut payload = Vec::new();
        let found = record(&mut reader, &mut payload).map_err(io("read", path))?;
        Ok((version, found.map(|_| payload)))
    }

    /// Checks that what stands behind the whole records is what a crash leaves of one more.
    fn torn(&mut self, all: u64) -> Result<()> {
        let damaged = |why: &str| Error::Format {
            path: self.path.clone(),
            why: format!("it is damaged at byte {}: {why}", self.length),
        };
        let left = all - self.length;
        if left > u64::from(LONGEST) + HEAD as u64 {
            return Err(damaged("more follows than one record can have"));
        }
        let path = &self.path;
        self.file
            .seek(SeekFrom::Start(self.length))
            .map_err(io("seek in", path))?;
        let mut end = Vec::new();
        (&self.file)
            .take(left)
            .read_to_end(&mut end)
            .map_err(io("read", path))?;
        match torn(&end) {
            true => Ok(()),
            false => Err(damaged("a record there is not whole, and others follow")),
        }
    }

    /// Moves what stands behind the last whole record to a file of its own, and cuts it off.
    fn cut(&mut self, all: u64) -> Result<()> {
        let (beside, mut out) = self.beside()?;
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
        std::io::copy(&mut self.file, &mut out).map_err(io("write", &beside))?;
        out.sync_all().map_err(io("sync", &beside))?;
        if let Some(folder) = path.parent() {
            sync_folder(folder)?;
        }
        self.file
            .set_len(self.length)
            .map_err(io("cut the end off", path))?;
        self.file.sync_all().map_err(io("sync", path))
    }

    /// A new file for what is cut off at this length: `faces.cut-LENGTH`, or with a number behind that where an earlier end
    /// was cut off at the same length.
    fn beside(&self) -> Result<(PathBuf, File)> {
        let name = format!("cut-{}", self.length);
        let mut beside = self.path.with_extension(&name);
        let mut number = 2;
        loop {
            match File::create_new(&beside) {
                Ok(file) => return Ok((beside, file)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    beside = self.path.with_extension(format!("{name}-{number}"));
                    number += 1;
                }
                Err(error) => return Err(io("create", &beside)(error)),
            }
        }
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
    let mut frame = Vec::with_capacity(payload.len() + HEAD);
    frame.extend(length.to_le_bytes());
    frame.extend(crc32fast::hash(payload).to_le_bytes());
    frame.extend(payload);
    Ok(frame)
}

/// What a journal says of itself before its records.
struct Header {
    version: u32,
    /// Numbers of a descriptor.
    width: u32,
}

impl Header {
    /// The version, if this program reads what follows.
    fn readable(self, path: &Path) -> Result<u32> {
        let Self { version, width } = self;
        let why = match (EARLIEST..=VERSION).contains(&version) {
            true if width as usize == WIDTH => return Ok(version),
            true => format!("its descriptors have {width} numbers, those of this program {WIDTH}"),
            false => {
                format!("it has version {version}, this program reads {EARLIEST} to {VERSION}")
            }
        };
        Err(wrong(path, why))
    }
}

fn wrong(path: &Path, why: impl Into<String>) -> Error {
    Error::Format {
        path: path.to_owned(),
        why: why.into(),
    }
}

fn header(reader: &mut impl Read, path: &Path) -> Result<Header> {
    let mut bytes = [0; HEADER as usize];
    reader
        .read_exact(&mut bytes)
        .map_err(|_| wrong(path, "it is too short for a journal of faces"))?;
    let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
    if bytes[..8] != MAGIC {
        return Err(wrong(path, "it is not a journal of faces"));
    }
    Ok(Header {
        version: number(8),
        width: number(12),
    })
}

/// Reads the next record into `payload`; gives its size in the file, or `None` at the end or where a record is not
/// whole.
fn record(reader: &mut impl Read, payload: &mut Vec<u8>) -> std::io::Result<Option<u64>> {
    let mut bytes = [0; HEAD];
    if !whole(reader, &mut bytes)? {
        return Ok(None);
    }
    let Some((length, sum)) = head(&bytes) else {
        return Ok(None);
    };
    payload.resize(length, 0);
    if !whole(reader, payload)? || crc32fast::hash(payload) != sum {
        return Ok(None);
    }
    Ok(Some((length + HEAD) as u64))
}

/// The length and the sum of the payload behind a record's head; `None` where no record has such a length. A place that
/// was never written reads as zeros, which are no record either.
fn head(bytes: &[u8]) -> Option<(usize, u32)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (sum, _) = rest.split_first_chunk()?;
    let length = u32::from_le_bytes(*length);
    let is_one = (1..=LONGEST).contains(&length);
    is_one.then_some((length as usize, u32::from_le_bytes(*sum)))
}

/// Whether bytes that do not begin with a whole record may be what a crash left of one: it does not end before they do, and
/// none is whole among them. Where too much looks like records to be sure, they may not.
fn torn(end: &[u8]) -> bool {
    if head(end).is_some_and(|(length, _)| HEAD + length < end.len()) {
        return false;
    }
    let mut left = SUMMED;
    (1..end.len()).all(|at| {
        let Some((length, sum)) = head(&end[at..]) else {
            return true;
        };
        let Some(payload) = end.get(at + HEAD..at + HEAD + length) else {
            return true;
        };
        let affordable = left.checked_sub(length);
        left = affordable.unwrap_or(0);
        affordable.is_some() && crc32fast::hash(payload) != sum
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A journal of these payloads in a folder, and its bytes.
    fn journal(payloads: &[Vec<u8>]) -> (tempfile::TempDir, PathBuf, Vec<u8>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("faces.log");
        Journal::create(&path, VERSION, payloads.iter().cloned()).expect("made");
        let bytes = fs::read(&path).expect("a journal");
        (folder, path, bytes)
    }

    /// The payloads that a journal of these bytes has, or why it has none.
    fn read(path: &Path, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        fs::write(path, bytes).expect("written");
        let mut payloads = Vec::new();
        Journal::open(path, |payload| {
            payloads.push(payload.to_vec());
            Ok(())
        })?;
        Ok(payloads)
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).into_string().expect("text"))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn damage_before_whole_records_is_refused_with_its_place() {
        let payloads = [vec![1; 40], vec![2; 300], vec![3; 20], vec![4; 100]];
        let (folder, path, whole) = journal(&payloads);
        let mut begin = HEADER as usize;
        for (number, payload) in payloads[..3].iter().enumerate() {
            for at in begin..begin + HEAD + payload.len() {
                let mut wrong = whole.clone();
                wrong[at] ^= 1 << (at % 8);
                let refused = read(&path, &wrong).expect_err("damaged");
                assert!(matches!(refused, Error::Format { .. }), "{refused}");
                let place = format!("damaged at byte {begin}:");
                assert!(refused.to_string().contains(&place), "{number}: {refused}");
                assert_eq!(fs::read(&path).expect("a journal"), wrong);
            }
            begin += HEAD + payload.len();
        }
        assert_eq!(names(folder.path()), ["faces.log"], "nothing was cut off");
        // The last record may as well be one that a crash left torn.
        let mut wrong = whole.clone();
        wrong[begin + HEAD] ^= 1;
        assert_eq!(read(&path, &wrong).expect("cut off"), payloads[..3]);
        assert_eq!(
            names(folder.path()),
            ["faces.cut-400".to_owned(), "faces.log".to_owned()]
        );
    }

    #[test]
    fn more_than_a_record_behind_damage_is_refused_without_being_read() {
        let payloads = vec![vec![9; 1 << 20]; 18];
        let (folder, path, mut whole) = journal(&payloads);
        whole[HEADER as usize + 3] ^= 0x40;
        let refused = read(&path, &whole).expect_err("damaged");
        assert!(refused.to_string().contains("at byte 16:"), "{refused}");
        assert_eq!(names(folder.path()), ["faces.log"]);
    }

    #[test]
    fn ends_that_a_crash_leaves_are_kept_each_in_a_file_of_its_own() {
        let payloads = [vec![1; 40], vec![2; 300]];
        let (folder, path, whole) = journal(&payloads);
        let last = whole.len() - 300 - HEAD;
        // The file is as long as it was to be, and what it was to hold is not there: nothing of it, or but the beginning.
        let unwritten = |written: usize| {
            let mut bytes = whole.clone();
            bytes[last + written..].fill(0);
            bytes
        };
        let ends = [unwritten(0), unwritten(4), unwritten(100)];
        let ends = ends.into_iter().chain([whole[..last + 100].to_vec()]);
        let ends: Vec<Vec<u8>> = ends.collect();
        for end in &ends {
            assert_eq!(read(&path, end).expect("cut off"), payloads[..1]);
            assert_eq!(fs::read(&path).expect("a journal"), whole[..last]);
        }
        let expected = [
            format!("faces.cut-{last}"),
            format!("faces.cut-{last}-2"),
            format!("faces.cut-{last}-3"),
            format!("faces.cut-{last}-4"),
            "faces.log".to_owned(),
        ];
        assert_eq!(names(folder.path()), expected);
        for (name, end) in expected.iter().zip(&ends) {
            let kept = fs::read(folder.path().join(name)).expect("kept");
            assert_eq!(kept, end[last..], "{name}");
        }
    }

    /// What reads as the head of a record of eight mebibytes at every fourth byte takes too long to look at.
    #[test]
    fn what_is_looked_for_in_an_end_has_its_bounds() {
        let heads = [0, 0, 0x80, 0].repeat(4 << 20);
        assert!(!torn(&[&[0; 4], &heads[..]].concat()));
    }
}
