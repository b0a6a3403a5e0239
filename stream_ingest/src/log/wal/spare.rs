//! Files that are ready to become the end of the write-ahead log, as long as it will be.
//!
//! Where a file grows, every sync waits for the file system's journal, and with it for whatever else is on its way to the
//! disk: the segments. Where it only writes over bytes that the disk has already, a sync has those bytes to write and
//! nothing else. So files are filled with zeros before they are needed, a piece at a time, and files whose frames are no
//! longer needed are used again.
//!
//! What an old file still has are frames with another salt than those that are written into it, so they are not taken for
//! frames that happened ([`Scan`](super::Scan)). A spare file does not outlive the run of the log that made it, because
//! the next may give the LSNs of frames that never happened again.

use super::{FOLDER, file_head, path};
use crate::log::disk::{Disk, File};
use parking_lot::Mutex;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What its name begins with, which no frame's does.
const NAME: &str = "spare-";
/// Most files that are kept: as many as a busy log has between two checkpoints.
const MOST: usize = 4;
/// Zeros that are written and made durable at once.
const PIECE: usize = 2 << 20;

/// Writes zeros from `at` until a file has so many bytes. They are not durable yet.
pub(crate) fn fill(file: &dyn File, mut at: u64, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; PIECE.min(usize::try_from(bytes).unwrap_or(PIECE))];
    while at < bytes {
        let some = (bytes - at).min(zeros.len() as u64);
        file.write_at(&[IoSlice::new(&zeros[..some as usize])], at)?;
        at += some;
    }
    Ok(())
}

/// The files that come next.
pub(crate) struct Spare {
    disk: Arc<dyn Disk>,
    /// Bytes that each has.
    bytes: u64,
    /// The file at hand is half full.
    wanted: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: Vec<(String, Arc<dyn File>)>,
    /// The one that is being filled, and up to where it is.
    filling: Option<(String, Arc<dyn File>, u64)>,
    /// How many there were.
    count: u64,
}

impl State {
    fn name(&mut self) -> String {
        self.count += 1;
        format!("{FOLDER}/{NAME}{}", self.count)
    }
}

impl Spare {
    /// None yet. What an earlier run left goes.
    pub fn new(disk: Arc<dyn Disk>, bytes: u64) -> Self {
        for name in disk.list(FOLDER).unwrap_or_default() {
            if name.starts_with(NAME) {
                remove(&*disk, &format!("{FOLDER}/{name}"));
            }
        }
        Self {
            disk,
            bytes,
            wanted: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Asks for one.
    pub fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Does without, until it is asked for again.
    pub fn forgo(&self) {
        self.wanted.store(false, Ordering::Relaxed);
    }

    /// Removes what is ready or being filled, because others need the space; whether there was any.
    pub fn give_up(&self) -> bool {
        self.forgo();
        let (ready, filling) = {
            let mut state = self.state.lock();
            (std::mem::take(&mut state.ready), state.filling.take())
        };
        let filling = filling.map(|(name, file, _)| (name, file));
        let mut any = false;
        for (name, file) in ready.into_iter().chain(filling) {
            // Space is only free when nobody has the file open.
            drop(file);
            remove(&*self.disk, &name);
            any = true;
        }
        any
    }

    /// Whether there is something to fill.
    pub fn is_due(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Fills a piece, if one is wanted. After an error there is none, until it is asked for again.
    pub fn prepare(&self) -> io::Result<()> {
        if !self.is_due() {
            return Ok(());
        }
        let mut state = self.state.lock();
        if !state.ready.is_empty() {
            self.forgo();
            return Ok(());
        }
        let (name, file, at) = match state.filling.take() {
            Some(filling) => filling,
            None => {
                let name = state.name();
                let file = self.disk.create(&name)?;
                (name, file, 0)
            }
        };
        let until = (at + PIECE as u64).min(self.bytes);
        if let Err(error) = fill(&*file, at, until).and_then(|()| file.sync()) {
            self.forgo();
            remove(&*self.disk, &name);
            return Err(error);
        }
        match until == self.bytes {
            true => state.ready.push((name, file)),
            false => state.filling = Some((name, file, until)),
        }
        Ok(())
    }

    /// Makes a file whose frames are not needed any more a spare one; `false` where there are enough, or it is too short:
    /// then it may be removed.
    pub fn recycle(&self, first: u64) -> io::Result<bool> {
        let mut state = self.state.lock();
        if state.ready.len() >= MOST {
            return Ok(false);
        }
        let path = path(first);
        let file = self.disk.open(&path)?;
        let length = file.length()?;
        if length < self.bytes {
            return Ok(false);
        }
        if length > self.bytes {
            // Nothing may stand behind the last frame of a file that another follows.
            file.set_length(self.bytes)?;
        }
        let name = state.name();
        self.disk.rename(&path, &name)?;
        state.ready.push((name, file));
        Ok(true)
    }

    /// Makes one the file that begins with the frame `first` and has this salt, durably; `None` where none is ready.
    pub fn take(&self, first: u64, salt: u64) -> io::Result<Option<Arc<dyn File>>> {
        // Whatever becomes of it, it is not spare any more.
        let Some((name, file)) = self.state.lock().ready.pop() else {
            return Ok(None);
        };
        file.write_at(&[IoSlice::new(&file_head(first, salt))], 0)?;
        file.sync()?;
        drop(file);
        let path = path(first);
        self.disk.rename(&name, &path)?;
        self.disk.sync_folder(FOLDER)?;
        // By its new name: by the old one it could only be written through the system's cache.
        Ok(Some(self.disk.open(&path)?))
    }
}

/// Removes a file that is worth nothing.
fn remove(disk: &dyn Disk, path: &str) {
    if let Err(error) = disk.remove(path) {
        tracing::warn!(%path, %error, "a file could not be removed");
    }
}
