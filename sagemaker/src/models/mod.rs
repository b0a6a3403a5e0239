//! Models: what is kept of them, and how they are opened.
//!
//! `CreateModel` keeps what it is told. The data are looked at when something is to answer: they are fetched from the bucket,
//! unpacked into a folder that is named by what they are, and opened by whoever knows the image. Open models are kept while
//! there is memory for them; those that nobody holds go first, the one that was used longest ago before the others.
//!
//! ```text
//! definition.rs  what a model is: what is read of its container
//! operations.rs  the operations on models as resources
//! open.rs        models that are open, and the memory for them
//! folders.rs     their data: found, fetched and unpacked into folders
//! ```

mod definition;
mod folders;
mod open;
mod operations;

pub use definition::{Data, Definition, Form};
pub use open::Keep;

use crate::archive::Limits;
use crate::served::Opener;
use crate::store::Store;
use definition::Key;
use escala_objects::WritableStore;
use folders::Folders;
use open::Slot;
use parking_lot::{Condvar, Mutex};
use serde_json::Value;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// What the environment of a container says in a transform job.
pub const BATCH: &str = "SAGEMAKER_BATCH";

/// What models may take.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of memory of all open models together.
    pub memory: u64,
    /// Bytes on the disk of all unpacked models together; those that are open may be more.
    pub disk: u64,
    /// How long an unpacked model stays on the disk after the last one that has it open.
    pub unpacked: Duration,
    /// Models that are opened at the same time.
    pub loads: usize,
    /// What may come out of one archive.
    pub archive: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory: 8 << 30,
            disk: 64 << 30,
            unpacked: Duration::from_secs(24 * 60 * 60),
            loads: 2,
            archive: Limits::default(),
        }
    }
}

/// How often models were found open, and so on; for metrics.
#[derive(Debug, Default)]
pub struct Counts {
    /// Asked for and open already.
    pub hits: AtomicU64,
    /// Opened.
    pub loads: AtomicU64,
    /// Asked for and not to be opened.
    pub failures: AtomicU64,
    /// Closed to make room, or because nobody asked.
    pub evictions: AtomicU64,
}

/// Why a model is not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// There are no such data. A sentence.
    #[error("{0}")]
    Absent(String),
    /// All memory is held by models that answer. A sentence.
    #[error("{0}")]
    Full(String),
    /// It cannot be opened. A sentence for whoever made it.
    #[error("{0}")]
    Failed(String),
}

/// The models of a store, and those of them that are open.
pub struct Models {
    store: Arc<Store>,
    objects: Arc<dyn WritableStore>,
    openers: Vec<Arc<dyn Opener>>,
    options: Options,
    folder: PathBuf,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    /// Whoever has it settles whether there is memory for one more.
    settling: Mutex<()>,
    folders: Mutex<Folders>,
    free: Mutex<usize>,
    freed: Condvar,
    /// For metrics.
    pub counts: Counts,
}

impl Models {
    /// The models of a store; `folder` is where they are unpacked, and no other process has it.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn new(
        store: Arc<Store>,
        objects: Arc<dyn WritableStore>,
        openers: Vec<Arc<dyn Opener>>,
        folder: PathBuf,
        options: Options,
    ) -> std::io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let folders = Folders::read(&folder)?;
        Ok(Self {
            store,
            objects,
            openers,
            folder,
            slots: Mutex::default(),
            settling: Mutex::new(()),
            folders: Mutex::new(folders),
            free: Mutex::new(options.loads.max(1)),
            freed: Condvar::new(),
            options,
            counts: Counts::default(),
        })
    }
}

/// A member that the service model requires.
pub(crate) fn name(input: &Value, member: &str) -> String {
    let name = input.get(member).and_then(Value::as_str);
    name.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
