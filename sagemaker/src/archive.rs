//! Models as they are kept in buckets: a gzipped tar of files.
//!
//! Nothing in an archive is believed. Only files and folders come out of it, under names that stay inside, and no more of them
//! than was agreed; a folder appears whole or not at all. What is packed is the same bytes for the same files.

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, Builder, EntryType, Header, PaxExtensions};

/// The longest name that is read.
const LONGEST_NAME: u64 = 4096;
/// The most bytes of extended headers of one file.
const LARGEST_HEADER: u64 = 1 << 16;

/// How much may come out of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Files and folders.
    pub entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            entries: 100_000,
        }
    }
}

/// Why an archive is not unpacked or packed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no archive, or is damaged.
    #[error("it is no gzipped tar archive, or is damaged: {0}")]
    Damaged(io::Error),
    /// It could not be read to its end.
    #[error("it could not be read: {0}")]
    Unread(String),
    /// A name leads out of the folder.
    #[error("{0:?} in it leads out of its folder")]
    Outside(String),
    /// It has something that is neither a file nor a folder.
    #[error("{0:?} in it is neither a file nor a folder; links and devices are not unpacked")]
    Special(String),
    /// More comes out of it than may.
    #[error("more than {} bytes or {} files come out of it", .0.bytes, .0.entries)]
    TooMuch(Limits),
    /// A file is larger than tar's own header says.
    #[error(
        "a file in it is larger than 8 GiB in the way of PAX, which is not read; that of GNU tar is (--format=gnu)"
    )]
    Large,
    /// A file cannot be written or read here.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What archives answer.
pub type Result<T> = std::result::Result<T, Error>;

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}

/// Remembers that it was the source that failed and not what came from it.
struct Source<'a, R> {
    from: R,
    failed: &'a std::cell::RefCell<Option<String>>,
}

impl<R: Read> Read for Source<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer);
        if let Err(error) = &read
            && error.kind() != io::ErrorKind::Interrupted
        {
            *self.failed.borrow_mut() = Some(error.to_string());
        }
        read
    }
}

/// Counts what comes out, and ends it where it is more than may.
struct Counted<R> {
    from: R,
    left: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::from(io::ErrorKind::QuotaExceeded))?;
        Ok(read)
    }
}

/// A folder that goes away unless it is kept.
struct Draft(Option<PathBuf>);

impl Draft {
    fn beside(folder: &Path) -> Result<(Self, PathBuf)> {
        let mut name = folder.as_os_str().to_owned();
        name.push(format!(".{}.new", uuid::Uuid::new_v4().simple()));
        let path = PathBuf::from(name);
        fs::create_dir_all(&path).map_err(at(&path))?;
        Ok((Self(Some(path.clone())), path))
    }

    fn keep(mut self, folder: &Path) -> Result<()> {
        if let Some(path) = &self.0 {
            fs::rename(path, folder).map_err(at(folder))?;
        }
        self.0 = None;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = fs::remove_dir_all(path)
        {
            tracing::warn!(%error, path = %path.display(), "an unfinished folder stays");
        }
    }
}

/// Whether a folder beside others is one that a process left unfinished.
pub(crate) fn unfinished(name: &str) -> bool {
    name.ends_with(".new")
}

/// Unpacks an archive into a folder that must not be there; the bytes of its files, counted.
///
/// # Errors
/// [`Error`], in sentences that go on from the archive's name.
pub fn unpack(archive: impl Read, folder: &Path, limits: Limits) -> Result<u64> {
    let failed = std::cell::RefCell::new(None);
    let source = Source {
        from: archive,
        failed: &failed,
    };
    let (draft, path) = Draft::beside(folder)?;
    let unpacked = entries(source, &path, limits);
    if let Some(why) = failed.take() {
        return Err(Error::Unread(why));
    }
    let bytes = unpacked?;
    draft.keep(folder)?;
    Ok(bytes)
}

/// Writes files into a folder that must not be there, whole or not at all; `write` gets a folder to write into.
///
/// # Errors
/// Those of `write`; the folder cannot be made.
pub fn whole<T, E: From<Error>>(
    folder: &Path,
    write: impl FnOnce(&Path) -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let (draft, path) = Draft::beside(folder)?;
    let said = write(&path)?;
    draft.keep(folder)?;
    Ok(said)
}

/// The path inside a folder that a name in an archive stands for; none for the folder itself.
pub(crate) fn inside(name: &[u8]) -> Result<Option<PathBuf>> {
    let outside = || Error::Outside(String::from_utf8_lossy(name).into_owned());
    let text = std::str::from_utf8(name).map_err(|_| outside())?;
    if text.contains('\0') {
        return Err(outside());
    }
    let mut path = PathBuf::new();
    for part in Path::new(text).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(outside());
            }
        }
    }
    Ok((!path.as_os_str().is_empty()).then_some(path))
}

fn entries(source: impl Read, folder: &Path, limits: Limits) -> Result<u64> {
    let damaged = |error: io::Error| match error.kind() {
        io::ErrorKind::QuotaExceeded => Error::TooMuch(limits),
        _ => Error::Damaged(error),
    };
    let overhead = limits.entries.saturating_mul(2 * LARGEST_HEADER);
    let mut archive = Archive::new(Counted {
        from: MultiGzDecoder::new(source),
        left: limits.bytes.saturating_add(overhead),
    });
    let mut named: Option<Vec<u8>> = None;
    let (mut bytes, mut count) = (0_u64, 0_u64);
    // Raw, since names and extended headers would otherwise be read into memory however long they are.
    for entry in archive.entries().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        count += 1;
        if count > limits.entries.saturating_mul(2) {
            return Err(Error::TooMuch(limits));
        }
        let kind = entry.header().entry_type();
        let mut header = |most: u64| {
            let mut text = Vec::new();
            (&mut entry)
                .take(most + 1)
                .read_to_end(&mut text)
                .map_err(damaged)?;
            match text.len() as u64 > most {
                true => Err(Error::TooMuch(limits)),
                false => Ok(text),
            }
        };
        match kind {
            EntryType::GNULongName => {
                let mut name = header(LONGEST_NAME)?;
                if name.last() == Some(&0) {
                    name.pop();
                }
                named = Some(name);
                continue;
            }
            EntryType::XHeader => {
                let text = header(LARGEST_HEADER)?;
                for extension in PaxExtensions::new(&text) {
                    let extension = extension.map_err(damaged)?;
                    match extension.key_bytes() {
                        b"path" => named = Some(extension.value_bytes().to_vec()),
                        // The length of a file that is larger than tar's own header can say.
                        b"size" => return Err(Error::Large),
                        _ => {}
                    }
                }
                continue;
            }
            EntryType::XGlobalHeader | EntryType::GNULongLink => continue,
            _ => {}
        }
        let name = named
            .take()
            .unwrap_or_else(|| entry.path_bytes().into_owned());
        let text = || String::from_utf8_lossy(&name).into_owned();
        let path = inside(&name)?;
        match (kind, path) {
            (EntryType::Directory, None) => {}
            (EntryType::Directory, Some(path)) => {
                let path = folder.join(path);
                fs::create_dir_all(&path).map_err(at(&path))?;
            }
            (EntryType::Regular | EntryType::Continuous, Some(path)) => {
                let path = folder.join(path);
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent).map_err(at(parent))?;
                }
                let wanted = entry.size();
                bytes = bytes.saturating_add(wanted);
                if bytes > limits.bytes {
                    return Err(Error::TooMuch(limits));
                }
                write(&mut entry, wanted, &path, damaged)?;
            }
            _ => return Err(Error::Special(text())),
        }
    }
    // The end of an archive is followed by zeros, and by gzip's checksum, which says whether all that came was right.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(damaged)?;
    Ok(bytes)
}

fn write(
    mut from: impl Read,
    wanted: u64,
    path: &Path,
    damaged: impl Fn(io::Error) -> Error,
) -> Result<()> {
    let mut file = File::create(path).map_err(at(path))?;
    let mut buffer = vec![0; 1 << 16];
    let mut written = 0;
    loop {
        let read = from.read(&mut buffer).map_err(&damaged)?;
        if read == 0 {
            break;
        }
        file.write_all(&buffer[..read]).map_err(at(path))?;
        written += read as u64;
    }
    if written != wanted {
        return Err(damaged(io::ErrorKind::UnexpectedEof.into()));
    }
    file.sync_data().map_err(at(path))
}

/// The files below a folder, by their names from it, in order.
///
/// # Errors
/// [`Error::Special`], [`Error::File`].
pub fn files(folder: &Path) -> Result<Vec<(String, PathBuf, u64)>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).map_err(at(&next))? {
            let path = entry.map_err(at(&next))?.path();
            let about = fs::symlink_metadata(&path).map_err(at(&path))?;
            let inner = path.strip_prefix(folder).unwrap_or(&path);
            let name = inner.to_string_lossy().into_owned();
            match (about.is_dir(), about.is_file()) {
                (true, _) => folders.push(path),
                (_, true) => found.push((name, path, about.len())),
                _ => return Err(Error::Special(name)),
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Writes the files below a folder as a gzipped tar: in the order of their names, without times or owners.
///
/// # Errors
/// [`Error::Special`] where there is something that is neither a file nor a folder, [`Error::File`],
/// [`Error::Unread`] where `into` cannot be written.
pub fn pack(folder: &Path, into: impl Write) -> Result<()> {
    let unwritten = |error: io::Error| Error::Unread(error.to_string());
    let mut archive = Builder::new(GzEncoder::new(into, Compression::default()));
    for (name, path, length) in files(folder)? {
        let file = File::open(&path).map_err(at(&path))?;
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(length);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        let mut exact = Exact {
            from: file,
            left: length,
        };
        archive
            .append_data(&mut header, &name, &mut exact)
            .map_err(unwritten)?;
    }
    archive
        .into_inner()
        .and_then(GzEncoder::finish)
        .and_then(|mut into| into.flush())
        .map_err(unwritten)
}

/// Gives as many bytes as were said, or fails: a file that changes while it is packed would damage the archive.
struct Exact {
    from: File,
    left: u64,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.from.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::Error::other("a file became shorter meanwhile"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        bytes: 1 << 20,
        entries: 10,
    };

    fn entry(kind: EntryType, name: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o777);
        if kind == EntryType::Symlink {
            header.set_link_name("/etc").unwrap();
        }
        header.set_cksum();
        let mut all = header.as_bytes().to_vec();
        all.extend(bytes);
        all.resize(all.len().next_multiple_of(512), 0);
        all
    }

    fn gzip(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&parts.concat()).unwrap();
        gzip.write_all(&[0; 1024]).unwrap();
        gzip.finish().unwrap()
    }

    fn refused(archive: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("model");
        let error = unpack(archive, &into, LIMITS).unwrap_err().to_string();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?} was left after {error}");
        error
    }

    #[test]
    fn what_is_packed_is_unpacked_and_always_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        let long = "d".repeat(150);
        fs::create_dir_all(from.join("code").join(&long)).unwrap();
        fs::write(from.join("model.safetensors"), [7; 70_000]).unwrap();
        fs::write(from.join("code").join(&long).join("inference.py"), b"x").unwrap();
        let mut packed = Vec::new();
        pack(&from, &mut packed).unwrap();
        let into = folder.path().join("into");
        assert_eq!(unpack(&packed[..], &into, LIMITS).unwrap(), 70_001);
        let names = |folder| {
            let files = files(folder).unwrap().into_iter();
            files.map(|(name, _, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(&into), names(&from));
        assert_eq!(
            fs::read(into.join("model.safetensors")).unwrap(),
            [7; 70_000]
        );
        let mut again = Vec::new();
        pack(&into, &mut again).unwrap();
        assert_eq!(packed, again);
    }

    #[test]
    fn archives_of_other_programs_are_unpacked() {
        let long = format!("./{}/x", "n".repeat(200));
        let record = format!("{} path={long}\n", long.len() + 10);
        let archive = gzip(&[
            entry(EntryType::Directory, b"./", b""),
            entry(EntryType::Regular, b"./a.json", b"{}"),
            entry(EntryType::GNULongName, b"././@LongLink", long.as_bytes()),
            entry(EntryType::Regular, b"short", b"by GNU"),
            entry(EntryType::XGlobalHeader, b"g", b"12 comment=a\n"),
            entry(
                EntryType::XHeader,
                b"p",
                record.replace('n', "m").as_bytes(),
            ),
            entry(EntryType::Regular, b"short", b"by PAX"),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("model");
        unpack(&archive[..], &into, LIMITS).unwrap();
        let read = |name: &str| fs::read_to_string(into.join(name)).unwrap();
        assert_eq!(read("a.json"), "{}");
        assert_eq!(read(&long), "by GNU");
        assert_eq!(read(&long.replace('n', "m")), "by PAX");
    }

    #[test]
    fn hostile_archives_leave_nothing() {
        let file = |name: &[u8]| entry(EntryType::Regular, name, b"x");
        for name in [&b"/etc/passwd"[..], b"../x", b"a/../../x", b"\xff\xfe"] {
            assert!(
                refused(&gzip(&[file(b"a"), file(name)])).contains("leads out"),
                "{name:?}"
            );
        }
        for kind in [
            EntryType::Symlink,
            EntryType::Link,
            EntryType::Char,
            EntryType::Fifo,
            EntryType::GNUSparse,
        ] {
            let error = refused(&gzip(&[entry(kind, b"a", b""), file(b"a/x")]));
            assert!(error.contains("neither a file nor a folder"), "{error}");
        }
        let bomb = entry(EntryType::Regular, b"zeros", &vec![0; (1 << 20) + 1]);
        assert!(refused(&gzip(&[bomb])).contains("more than 1048576 bytes"));
        let many: Vec<_> = (0..30).map(|at| file(format!("{at}").as_bytes())).collect();
        assert!(refused(&gzip(&many)).contains("or 10 files"));
        let name = entry(EntryType::GNULongName, b"l", &[b'a'; 5000]);
        assert!(refused(&gzip(&[name, file(b"a")])).contains("more than"));
        let size = entry(EntryType::XHeader, b"p", b"19 size=9000000000\n");
        assert!(refused(&gzip(&[size, file(b"a")])).contains("--format=gnu"));
        // A file where a folder must be.
        assert!(!refused(&gzip(&[file(b"a"), file(b"a/b")])).is_empty());
    }

    #[test]
    fn damaged_archives_are_told_from_unread_ones() {
        let archive = gzip(&[entry(EntryType::Regular, b"a", &[9; 5000])]);
        for cut in [0, 5, 20, archive.len() / 2, archive.len() - 1] {
            assert!(refused(&archive[..cut]).contains("damaged"), "{cut}");
        }
        let mut wrong = archive.clone();
        let last = wrong.len() - 6;
        wrong[last] ^= 1;
        assert!(refused(&wrong).contains("damaged"));
        assert!(refused(b"not an archive at all").contains("no gzipped tar"));
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the cable is out"))
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let error = unpack(
            archive[..20].chain(Broken),
            &folder.path().join("a"),
            LIMITS,
        );
        assert_eq!(
            error.unwrap_err().to_string(),
            "it could not be read: the cable is out"
        );
    }
}
