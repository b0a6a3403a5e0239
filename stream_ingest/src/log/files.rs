//! Open files, at most so many: ten thousand partitions would need more than a process may have.

use super::disk::{Disk, File};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

/// Files that stay open between uses.
const MOST: usize = 512;

/// A disk whose files stay open for a while.
pub(crate) struct Files {
    pub disk: Arc<dyn Disk>,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    files: HashMap<String, (Arc<dyn File>, u64)>,
    uses: u64,
}

impl Files {
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        let open: Arc<Mutex<Open>> = Arc::default();
        let kept = Arc::downgrade(&open);
        disk.when_short(Box::new(move || {
            if let Some(open) = kept.upgrade() {
                open.lock().files.clear();
            }
        }));
        Self { disk, open }
    }

    /// A file that is there.
    pub fn get(&self, path: &str) -> io::Result<Arc<dyn File>> {
        {
            let mut open = self.open.lock();
            open.uses += 1;
            let now = open.uses;
            if let Some((file, used)) = open.files.get_mut(path) {
                *used = now;
                return Ok(file.clone());
            }
        }
        let file = self.disk.open(path)?;
        self.keep(path, file.clone());
        Ok(file)
    }

    /// A new file, empty.
    pub fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let file = self.disk.create(path)?;
        self.keep(path, file.clone());
        Ok(file)
    }

    /// Removes a file; it is no error if it is not there.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        self.open.lock().files.remove(path);
        match self.disk.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Puts a file in the place of another, whole.
    pub fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        self.open.lock().files.remove(to);
        self.disk.rename(from, to)
    }

    fn keep(&self, path: &str, file: Arc<dyn File>) {
        let mut open = self.open.lock();
        let most = MOST.min(self.disk.most_open());
        if open.files.len() >= most {
            // What is too many and a quarter of the rest go: those that were not used for longest.
            let mut uses: Vec<u64> = open.files.values().map(|(_, used)| *used).collect();
            let gone = (uses.len() - most + most / 4).min(uses.len() - 1);
            let (_, &mut limit, _) = uses.select_nth_unstable(gone);
            open.files.retain(|_, (_, used)| *used > limit);
        }
        let now = open.uses;
        open.files.insert(path.to_owned(), (file, now));
    }
}
