//! Collections of faces: what `IndexFaces` put in is there after any crash, and a search looks at every face.
//!
//! | file | what |
//! | --- | --- |
//! | `library.rs` | the folder of collections: create, list, open, delete |
//! | `collection/` | one collection: its faces (`mod.rs`) and users (`users.rs`), and the state that both change (`state.rs`) |
//! | `vectors.rs` | the faces' descriptors in blocks, searched by several threads |
//! | `event.rs` | what can happen to a collection, as bytes |
//! | `journal.rs` | the file that events are appended to, and how it is read after a crash |
//!
//! ```text
//! change ─ event ─ journal: append, fsync ─ state in memory ─ answer
//! search ─ snapshot of the blocks ─ distances, block by block on a team ─ nearest ─ their records
//! ```
//!
//! Promises: a change is answered after it is on the disk; it is there whole or not at all; a search sees a state
//! that was acknowledged, and neither waits for writers nor makes them wait; memory is at most 600 bytes a face, with an
//! external id of at most twelve bytes.

mod collection;
mod event;
mod journal;
mod library;
mod vectors;

pub use collection::{
    Association, Collection, Deletion, Description, Face, FaceFilter, NewFace, Page, Unassociated,
    Undeleted, User,
};
pub use journal::VERSION;
pub use library::{Library, Limits};
pub use vectors::{Hit, WIDTH};

use std::path::PathBuf;
use uuid::Uuid;

/// The name of a face.
pub type FaceId = Uuid;

/// A face's descriptor.
pub type Descriptor = [f32; WIDTH];

/// Why a collection cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such collection.
    #[error("there is no collection {0}")]
    NoCollection(String),
    /// The collection is there already.
    #[error("the collection {0} exists already")]
    Exists(String),
    /// There is no such face.
    #[error("there is no face {0}")]
    NoFace(FaceId),
    /// There is no such user.
    #[error("there is no user {0}")]
    NoUser(String),
    /// The user is there already.
    #[error("the user {0} exists already")]
    UserExists(String),
    /// A token of a list that goes on, which this collection did not give or gave before it was made smaller.
    #[error("the token of the list is not valid any more")]
    Token,
    /// The collection's faces were described by an earlier version of this program.
    #[error(
        "the faces of the collection {0} were described by an earlier version of this program: they can be listed and \
         deleted, but neither be searched nor added to; delete the collection and index its images again"
    )]
    Earlier(String),
    /// Something would grow beyond its limit.
    #[error("{what} would be more than {most}")]
    Limit {
        /// What.
        what: &'static str,
        /// Its limit.
        most: usize,
    },
    /// What was given cannot be stored.
    #[error("{0}")]
    Invalid(String),
    /// The disk refuses.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a journal that this program reads.
    #[error("{}: {why}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Nothing can be asked here.
    #[error("collections are not available: {0}")]
    Unavailable(String),
    /// An earlier write failed and could not be undone; the collection can be read, and opened again.
    #[error(
        "the collection cannot be changed until it is opened again, because a write failed: {0}"
    )]
    ReadOnly(String),
}

/// What an operation gives.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn io(
    what: &'static str,
    path: &std::path::Path,
) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { what, path, source }
}
