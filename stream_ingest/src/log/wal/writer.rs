//! Writing frames: a round of them with one write and one sync.

use super::spare::{Spare, fill};
use super::{FILE_HEAD, FOLDER, FRAME_HEAD, FrameHead, file_head, path};
use crate::log::disk::{Disk, File, is_full};
use crate::log::event::Event;
use crate::log::sum::Sum;
use crate::log::types::Salts;
use bytes::Bytes;
use std::io::{self, ErrorKind, IoSlice};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of the first file of a run, which is made while somebody waits for the log to open.
const FIRST_FILE: u64 = 16 << 20;

/// The end of the write-ahead log.
pub(crate) struct Writer {
    disk: Arc<dyn Disk>,
    salts: Salts,
    file: Arc<dyn File>,
    /// The file's.
    salt: u64,
    /// Where the next frame goes.
    at: u64,
    /// Bytes of this file before the next is begun.
    limit: u64,
    /// Bytes of those that come after it.
    later: u64,
    /// The next frame's LSN.
    pub next: u64,
    /// What is written next.
    round: Round,
}

/// Frames that are written together: what is not a batch lies in one buffer, batches stay where they are.
#[derive(Default)]
struct Round {
    small: Vec<u8>,
    pieces: Vec<Piece>,
    bytes: u64,
}

enum Piece {
    Small(Range<usize>),
    Batch(Bytes),
}

impl Writer {
    /// Begins a file with the frame `next`.
    pub fn begin(disk: Arc<dyn Disk>, next: u64, limit: u64, salts: Salts) -> io::Result<Self> {
        let first = limit.min(FIRST_FILE);
        let salt = salts();
        let file = begin_file(&*disk, next, salt, first)?;
        Ok(Self {
            disk,
            salts,
            file,
            salt,
            at: FILE_HEAD as u64,
            limit: first,
            later: limit,
            next,
            round: Round::default(),
        })
    }

    /// Puts a frame into the round.
    pub fn add<'a>(&mut self, events: impl Iterator<Item = &'a Event> + Clone, durable: u64) {
        let Round {
            small,
            pieces,
            bytes,
        } = &mut self.round;
        let head_at = small.len();
        small.resize(head_at + FRAME_HEAD, 0);
        let head_piece = pieces.len();
        pieces.push(Piece::Small(head_at..head_at + FRAME_HEAD));
        let (mut length, mut sum) = (0, Sum::default());
        let mut add = |bytes: &[u8]| {
            sum.add(bytes);
            length += bytes.len();
        };
        for event in events.clone() {
            let from = small.len();
            let batch = event.encode(small);
            add(&small[from..]);
            pieces.push(Piece::Small(from..small.len()));
            if let Some(batch) = batch {
                add(batch);
                pieces.push(Piece::Batch(batch.clone()));
            }
        }
        let head = FrameHead {
            lsn: self.next,
            durable,
            length,
            crc: sum.crc32c(),
            place: place(events.clone()),
        };
        let mut encoded = Vec::with_capacity(FRAME_HEAD);
        head.encode(self.salt, &mut encoded);
        small[head_at..head_at + FRAME_HEAD].copy_from_slice(&encoded);
        // The head and the first event lie together.
        if let [Piece::Small(head), Piece::Small(first), ..] = &mut pieces[head_piece..] {
            first.start = head.start;
            pieces.remove(head_piece);
        }
        *bytes += (FRAME_HEAD + length) as u64;
        self.next += 1;
    }

    /// Writes the round at the end of the file. After an error it can be written again, to the same place.
    pub fn write(&mut self) -> io::Result<()> {
        let slices: Vec<IoSlice<'_>> = self
            .round
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Small(range) => IoSlice::new(&self.round.small[range.clone()]),
                Piece::Batch(batch) => IoSlice::new(batch),
            })
            .collect();
        self.file.write_past(&slices, self.at)
    }

    /// After [`Writer::write`]: is ready for the next round.
    pub fn written(&mut self) {
        self.at += self.round.bytes;
        self.round.small.clear();
        self.round.small.shrink_to(1 << 20);
        self.round.pieces.clear();
        self.round.bytes = 0;
    }

    /// Makes what was written durable.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// Whether the next file is due: [`Writer::rotate`] would begin it.
    pub fn is_full(&self) -> bool {
        self.at >= self.limit
    }

    /// Begins the next file if this one is long enough; gives its first LSN. Only after [`Writer::sync`], because a later
    /// file says that all before it is durable.
    pub fn rotate(&mut self, spare: &Spare) -> io::Result<Option<u64>> {
        if !self.is_full() {
            if self.at > self.limit / 2 {
                spare.want();
            }
            return Ok(None);
        }
        let salt = (self.salts)();
        self.file = match spare.take(self.next, salt)? {
            Some(file) => file,
            None => begin_file(&*self.disk, self.next, salt, 0)?,
        };
        self.salt = salt;
        self.at = FILE_HEAD as u64;
        self.limit = self.later;
        Ok(Some(self.next))
    }

    /// Gives back what was set aside behind the last frame, when the log is closed.
    pub fn end(&self) -> io::Result<()> {
        self.file.set_length(self.at)
    }
}

/// Makes the file that begins with the frame `first` and has this salt, with so many bytes set aside if there is space for
/// them.
fn begin_file(disk: &dyn Disk, first: u64, salt: u64, bytes: u64) -> io::Result<Arc<dyn File>> {
    let path = path(first);
    match disk.remove(&path) {
        // One that was begun and has no frame that happened. A crash could leave what it has under half of a new head.
        Ok(()) => disk.sync_folder(FOLDER)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = disk.create(&path)?;
    file.write_at(&[IoSlice::new(&file_head(first, salt))], 0)?;
    match fill(&*file, FILE_HEAD as u64, bytes) {
        Err(error) if is_full(&error) => file.set_length(FILE_HEAD as u64)?,
        filled => filled?,
    }
    file.sync()?;
    disk.sync_folder(FOLDER)?;
    Ok(file)
}

fn place<'a>(events: impl Iterator<Item = &'a Event>) -> Option<(uuid::Uuid, u32)> {
    let mut places = events.map(|event| match event {
        Event::Append {
            topic, partition, ..
        } => Some((*topic, *partition)),
        _ => None,
    });
    let first = places.next()??;
    places.all(|place| place == Some(first)).then_some(first)
}
