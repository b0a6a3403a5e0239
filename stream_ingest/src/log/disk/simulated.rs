//! A disk in memory that loses, tears and refuses.
//!
//! It keeps what was written apart from what was synced. A crash takes some of what was not synced: any sectors of any
//! write, a sector torn in the middle, a file's new length without its content, a folder's changes up to any of them.
//! What was kept is decided by a [`Choose`], so that all possibilities can be gone through, or some drawn by a seed.

use super::{Disk, File};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

const SECTOR: usize = 512;

/// Decides what a crash keeps.
pub(crate) trait Choose {
    /// A number below `count`.
    fn choose(&mut self, count: usize) -> usize;
}

/// Goes through all possibilities, one after the other.
#[derive(Default)]
pub(crate) struct Every {
    choices: Vec<(usize, usize)>,
    at: usize,
}

impl Every {
    /// Goes on to the next possibility; `false` when all were had.
    pub fn next(&mut self) -> bool {
        self.at = 0;
        while let Some((choice, count)) = self.choices.last_mut() {
            *choice += 1;
            if choice < count {
                return true;
            }
            self.choices.pop();
        }
        false
    }
}

impl Choose for Every {
    fn choose(&mut self, count: usize) -> usize {
        if self.at == self.choices.len() {
            self.choices.push((0, count));
        }
        let (choice, _) = self.choices[self.at];
        self.at += 1;
        choice
    }
}

/// Draws possibilities; half of the time everything or nothing of a kind, which is what most crashes leave.
pub(crate) struct Draw {
    random: StdRng,
    mood: usize,
}

impl Draw {
    pub fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mood = random.random_range(0..4);
        Self { random, mood }
    }
}

impl Choose for Draw {
    fn choose(&mut self, count: usize) -> usize {
        match self.mood {
            0 => 0,
            1 => count - 1,
            _ => self.random.random_range(0..count),
        }
    }
}

/// A fault that happens once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A sync fails; what was not synced is lost to the disk, although reading still gives it, and the next sync
    /// succeeds: what Linux does.
    Sync,
    /// A write fails after half of it.
    Write,
}

/// The disk.
#[derive(Clone)]
pub(crate) struct Simulated(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    inodes: Vec<Inode>,
    folders: Vec<Folder>,
    /// Operations that changed something or synced.
    operations: u64,
    /// From this operation on the power is off.
    cut_at: Option<u64>,
    /// The fault, the words in the path it waits for, and how many it lets pass.
    fault: Option<(Fault, String, u32)>,
    /// Faults that happened.
    fired: u32,
    capacity: Option<u64>,
    /// Syncs do nothing and say that they did.
    lies: bool,
}

#[derive(Clone, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    allocated: u64,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    File(usize),
    Folder(usize),
}

#[derive(Clone, Default)]
struct Folder {
    now: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    pending: Vec<Entry>,
}

#[derive(Clone)]
enum Entry {
    Set(String, Node),
    Remove(String),
    Rename(String, String),
}

impl Entry {
    fn apply(&self, entries: &mut BTreeMap<String, Node>) {
        match self {
            Self::Set(name, node) => {
                entries.insert(name.clone(), *node);
            }
            Self::Remove(name) => {
                entries.remove(name);
            }
            Self::Rename(from, to) => {
                if let Some(node) = entries.remove(from) {
                    entries.insert(to.clone(), node);
                }
            }
        }
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => put(content, *at as usize, bytes),
            Self::Length(length) => content.resize(*length as usize, 0),
        }
    }
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

impl Simulated {
    pub fn new() -> Self {
        let state = State {
            folders: vec![Folder::default()],
            ..State::default()
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// Turns the power off at an operation: it and those after it fail, and of it anything may be kept.
    pub fn cut_at(&self, operation: u64) {
        self.0.lock().cut_at = Some(operation);
    }

    /// Whether the power went off.
    pub fn is_off(&self) -> bool {
        let state = self.0.lock();
        state.cut_at.is_some_and(|cut| state.operations > cut)
    }

    /// Lets the next fault happen to a file whose path has these words, after so many were passed.
    pub fn fail(&self, fault: Fault, path: &str, pass: u32) {
        self.0.lock().fault = Some((fault, path.to_owned(), pass));
    }

    /// Faults that have happened.
    pub fn fired(&self) -> u32 {
        self.0.lock().fired
    }

    /// Makes every sync of a file do nothing and say that it did.
    pub fn lie(&self) {
        self.0.lock().lies = true;
    }

    /// Makes the disk as large as this.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity = bytes;
    }

    /// Bytes in all files.
    pub fn used(&self) -> u64 {
        self.0.lock().used()
    }

    /// What a crash leaves.
    pub fn crash(&self, choose: &mut dyn Choose) -> Self {
        let state = self.0.lock();
        let mut after = State::default();
        for folder in &state.folders {
            let kept = choose.choose(folder.pending.len() + 1);
            let mut entries = folder.durable.clone();
            for entry in &folder.pending[..kept] {
                entry.apply(&mut entries);
            }
            after.folders.push(Folder {
                now: entries.clone(),
                durable: entries,
                pending: Vec::new(),
            });
        }
        for inode in &state.inodes {
            let content = inode.crash(choose);
            after.inodes.push(Inode {
                now: content.clone(),
                durable: content,
                ..Inode::default()
            });
        }
        Self(Arc::new(Mutex::new(after)))
    }

    /// Everything as it is now, on a disk of its own: what the end of the process alone leaves.
    pub fn copy(&self) -> Self {
        let mut state = self.0.lock().clone();
        state.cut_at = None;
        Self(Arc::new(Mutex::new(state)))
    }

    /// Paths of all files, with their lengths.
    pub fn files(&self) -> Vec<(String, usize)> {
        let state = self.0.lock();
        let mut files = Vec::new();
        let mut folders = vec![(String::new(), 0)];
        while let Some((path, folder)) = folders.pop() {
            for (name, node) in &state.folders[folder].now {
                let path = match path.is_empty() {
                    true => name.clone(),
                    false => format!("{path}/{name}"),
                };
                match node {
                    Node::File(inode) => files.push((path, state.inodes[*inode].now.len())),
                    Node::Folder(folder) => folders.push((path, *folder)),
                }
            }
        }
        files.sort();
        files
    }

    /// Changes the content of a file behind everybody's back.
    pub fn damage(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock();
        let inode = state.file(path).unwrap();
        let inode = &mut state.inodes[inode];
        change(&mut inode.now);
        inode.durable = inode.now.clone();
    }
}

impl Inode {
    fn crash(&self, choose: &mut dyn Choose) -> Vec<u8> {
        let mut content = self.durable.clone();
        for change in &self.pending {
            match change {
                Change::Length(_) => {
                    if choose.choose(2) == 1 {
                        change.apply(&mut content);
                    }
                }
                Change::Write(at, bytes) => {
                    let mut from = 0;
                    while from < bytes.len() {
                        let place = *at as usize + from;
                        let to = (from + SECTOR - place % SECTOR).min(bytes.len());
                        match choose.choose(3) {
                            0 => {}
                            1 => put(&mut content, place, &bytes[from..(from + to) / 2]),
                            _ => put(&mut content, place, &bytes[from..to]),
                        }
                        from = to;
                    }
                }
            }
        }
        if content.len() < self.now.len() && choose.choose(2) == 1 {
            content.resize(self.now.len(), 0);
        }
        content
    }
}

impl State {
    fn used(&self) -> u64 {
        let mut linked = vec![false; self.inodes.len()];
        for node in self.folders.iter().flat_map(|folder| folder.now.values()) {
            if let Node::File(inode) = node {
                linked[*inode] = true;
            }
        }
        let sizes = self.inodes.iter().zip(linked);
        sizes
            .map(|(inode, linked)| match linked {
                true => (inode.now.len() as u64).max(inode.allocated),
                false => 0,
            })
            .sum()
    }

    /// Counts an operation; whether the power goes off with it, or an error if it is off.
    fn operation(&mut self) -> io::Result<bool> {
        let operation = self.operations;
        if self.cut_at.is_some_and(|cut| operation > cut) {
            return Err(off());
        }
        self.operations += 1;
        Ok(self.cut_at == Some(operation))
    }

    fn node(&self, path: &str) -> io::Result<Node> {
        let mut node = Node::Folder(0);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let Node::Folder(folder) = node else {
                return Err(ErrorKind::NotADirectory.into());
            };
            let found = self.folders[folder].now.get(name);
            node = *found.ok_or(io::Error::from(ErrorKind::NotFound))?;
        }
        Ok(node)
    }

    fn folder(&self, path: &str) -> io::Result<usize> {
        match self.node(path)? {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&self, path: &str) -> io::Result<usize> {
        match self.node(path)? {
            Node::File(inode) => Ok(inode),
            Node::Folder(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn enter(&mut self, folder: usize, entry: Entry) {
        let folder = &mut self.folders[folder];
        entry.apply(&mut folder.now);
        folder.pending.push(entry);
    }

    fn change(&mut self, inode: usize, change: Change) {
        let inode = &mut self.inodes[inode];
        change.apply(&mut inode.now);
        inode.pending.push(change);
    }

    /// Whether a fault happens now.
    fn faulty(&mut self, kind: Fault, path: &str) -> bool {
        match &mut self.fault {
            Some((fault, words, pass)) if *fault == kind && path.contains(words.as_str()) => {
                if *pass > 0 {
                    *pass -= 1;
                    return false;
                }
                self.fault = None;
                self.fired += 1;
                true
            }
            _ => false,
        }
    }
}

fn off() -> io::Error {
    io::Error::other("the power is off")
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl Disk for Simulated {
    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.0.lock();
        let cut = state.operation()?;
        let (folder, name) = split(path);
        let folder = state.folder(folder)?;
        let inode = match state.file(path) {
            Ok(inode) => {
                state.change(inode, Change::Length(0));
                inode
            }
            Err(_) => {
                state.inodes.push(Inode::default());
                let inode = state.inodes.len() - 1;
                state.enter(folder, Entry::Set(name.to_owned(), Node::File(inode)));
                inode
            }
        };
        if cut {
            return Err(off());
        }
        Ok(self.handle(inode, path))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let inode = self.0.lock().file(path)?;
        Ok(self.handle(inode, path))
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        let mut above = 0;
        for name in path.split('/') {
            above = match state.folders[above].now.get(name) {
                Some(Node::Folder(folder)) => *folder,
                Some(Node::File(_)) => return Err(ErrorKind::AlreadyExists.into()),
                None => {
                    let cut = state.operation()?;
                    state.folders.push(Folder::default());
                    let folder = state.folders.len() - 1;
                    state.enter(above, Entry::Set(name.to_owned(), Node::Folder(folder)));
                    if cut {
                        return Err(off());
                    }
                    folder
                }
            };
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        let cut = state.operation()?;
        let ((folder, from_name), (other, to_name)) = (split(from), split(to));
        assert_eq!(folder, other, "renamed within a folder");
        state.file(from)?;
        let folder = state.folder(folder)?;
        let entry = Entry::Rename(from_name.to_owned(), to_name.to_owned());
        state.enter(folder, entry);
        if cut { Err(off()) } else { Ok(()) }
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.file(path)?;
        let cut = state.operation()?;
        let (folder, name) = split(path);
        let folder = state.folder(folder)?;
        state.enter(folder, Entry::Remove(name.to_owned()));
        if cut { Err(off()) } else { Ok(()) }
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        let removed = state.folder(path)?;
        if !state.folders[removed].now.is_empty() {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        let cut = state.operation()?;
        let (folder, name) = split(path);
        let folder = state.folder(folder)?;
        state.enter(folder, Entry::Remove(name.to_owned()));
        if cut { Err(off()) } else { Ok(()) }
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        let folder = state.folder(path)?;
        Ok(state.folders[folder].now.keys().cloned().collect())
    }

    fn sync_folder(&self, path: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.operation()? {
            return Err(off());
        }
        let folder = state.folder(path)?;
        let folder = &mut state.folders[folder];
        folder.durable = folder.now.clone();
        folder.pending.clear();
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.operation()? {
            return Err(off());
        }
        if state.lies {
            return Ok(());
        }
        let faulty = state.faulty(Fault::Sync, "topics/");
        for inode in &mut state.inodes {
            for change in std::mem::take(&mut inode.pending) {
                if !faulty {
                    change.apply(&mut inode.durable);
                }
            }
        }
        if faulty {
            return Err(io::Error::other("the disk did not keep it"));
        }
        for folder in &mut state.folders {
            folder.durable = folder.now.clone();
            folder.pending.clear();
        }
        Ok(())
    }

    fn free(&self) -> io::Result<u64> {
        let state = self.0.lock();
        let used = state.used();
        Ok(state
            .capacity
            .map_or(u64::MAX, |all| all.saturating_sub(used)))
    }

    fn total(&self) -> io::Result<u64> {
        Ok(self.0.lock().capacity.unwrap_or(u64::MAX))
    }
}

impl Simulated {
    fn handle(&self, inode: usize, path: &str) -> Arc<dyn File> {
        Arc::new(Handle {
            disk: self.clone(),
            inode,
            path: path.to_owned(),
        })
    }
}

struct Handle {
    disk: Simulated,
    inode: usize,
    path: String,
}

impl File for Handle {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let state = self.disk.0.lock();
        let content = &state.inodes[self.inode].now;
        let from = content.len().min(at as usize);
        let count = buffer.len().min(content.len() - from);
        buffer[..count].copy_from_slice(&content[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let cut = state.operation()?;
        let mut bytes: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        let mut error = cut.then(off);
        if state.faulty(Fault::Write, &self.path) {
            bytes.truncate(bytes.len() / 2);
            error = Some(io::Error::other("the disk does not answer"));
        }
        if let Some(capacity) = state.capacity {
            let length = state.inodes[self.inode].now.len() as u64;
            let more = (at + bytes.len() as u64).saturating_sub(length);
            let free = capacity.saturating_sub(state.used());
            if more > free {
                // As much as there is room for is written.
                bytes.truncate(bytes.len() - ((more - free) as usize).min(bytes.len()));
                error = Some(ErrorKind::StorageFull.into());
            }
        }
        state.change(self.inode, Change::Write(at, bytes));
        error.map_or(Ok(()), Err)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        if state.operation()? {
            return Err(off());
        }
        if state.lies {
            return Ok(());
        }
        let faulty = state.faulty(Fault::Sync, &self.path);
        let inode = &mut state.inodes[self.inode];
        let pending = std::mem::take(&mut inode.pending);
        if faulty {
            return Err(io::Error::other("the disk did not keep it"));
        }
        for change in pending {
            change.apply(&mut inode.durable);
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().inodes[self.inode].now.len() as u64)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let cut = state.operation()?;
        state.change(self.inode, Change::Length(length));
        if cut { Err(off()) } else { Ok(()) }
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let cut = state.operation()?;
        state.inodes[self.inode].allocated = bytes;
        if cut { Err(off()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(disk: &Simulated, path: &str) -> Option<Vec<u8>> {
        let file = disk.open(path).ok()?;
        let mut buffer = vec![0; file.length().unwrap() as usize];
        file.read_at(&mut buffer, 0).unwrap();
        Some(buffer)
    }

    /// What every possible crash leaves of a file.
    fn left(disk: &Simulated, path: &str) -> Vec<Option<Vec<u8>>> {
        let mut every = Every::default();
        let mut left = Vec::new();
        loop {
            left.push(content(&disk.crash(&mut every), path));
            if !every.next() {
                left.sort();
                left.dedup();
                return left;
            }
        }
    }

    #[test]
    fn a_crash_takes_what_was_not_synced_and_nothing_else() {
        let disk = Simulated::new();
        let file = disk.create("a").unwrap();
        file.write_at(&[IoSlice::new(b"one")], 0).unwrap();
        assert!(left(&disk, "a").contains(&None), "its name may be lost");
        disk.sync_folder("").unwrap();
        let some = left(&disk, "a");
        for kept in [&b""[..], b"\0\0\0", b"o", b"o\0\0", b"one"] {
            assert!(some.contains(&Some(kept.to_vec())), "{kept:?}");
        }
        file.sync().unwrap();
        assert_eq!(left(&disk, "a"), [Some(b"one".to_vec())]);
        // Two sectors: the second may be there without the first.
        file.write_at(&[IoSlice::new(&[7; 1000])], 3).unwrap();
        let some = left(&disk, "a");
        assert!(some.iter().flatten().all(|kept| kept.starts_with(b"one")));
        assert!(
            some.iter()
                .flatten()
                .any(|kept| kept.get(3) == Some(&0) && kept.len() == 1003 && kept[1002] == 7)
        );
    }

    #[test]
    fn a_rename_is_early_or_late() {
        let disk = Simulated::new();
        for (name, text) in [("a", b"old"), ("b", b"new")] {
            let file = disk.create(name).unwrap();
            file.write_at(&[IoSlice::new(text)], 0).unwrap();
            if name == "a" {
                file.sync().unwrap();
            }
        }
        disk.sync_folder("").unwrap();
        disk.rename("b", "a").unwrap();
        let some = left(&disk, "a");
        for kept in [&b"old"[..], b"", b"new"] {
            assert!(some.contains(&Some(kept.to_vec())), "{kept:?}");
        }
    }

    #[test]
    fn a_failed_sync_loses_and_the_next_succeeds() {
        let disk = Simulated::new();
        let file = disk.create("a").unwrap();
        disk.sync_folder("").unwrap();
        file.write_at(&[IoSlice::new(b"one")], 0).unwrap();
        disk.fail(Fault::Sync, "a", 0);
        assert!(file.sync().is_err());
        assert_eq!(disk.fired(), 1);
        assert_eq!(content(&disk, "a"), Some(b"one".to_vec()));
        assert!(left(&disk, "a").iter().flatten().all(|kept| kept != b"one"));
        assert!(file.sync().is_ok());
        assert!(left(&disk, "a").iter().flatten().all(|kept| kept != b"one"));
    }

    #[test]
    fn a_full_disk_takes_a_part() {
        let disk = Simulated::new();
        let file = disk.create("a").unwrap();
        disk.set_capacity(Some(4));
        let error = file.write_at(&[IoSlice::new(b"sixsix")], 0).unwrap_err();
        assert!(super::super::is_full(&error));
        assert_eq!(disk.free().unwrap(), 0);
    }
}
