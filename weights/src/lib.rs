//! Where weights come from: catalogue, fetch, verify, convert, cache.
//!
//! Ask a [`Store`] for a model by name and get a folder of files that are whole, checked and never change:
//!
//! ```no_run
//! use escala_weights::{Silent, Store, StoreOptions, Tensors};
//!
//! let store = Store::open(StoreOptions::default())?;
//! let files = store.ensure("lid.176", &Silent)?; // pulls it if it is missing
//! let tensors = Tensors::open(files.path("model.safetensors")?)?;
//! let (shape, rows) = tensors.f32("input")?;
//! assert_eq!(rows.len(), shape.iter().product::<usize>());
//! # Ok::<(), escala_weights::Error>(())
//! ```
//!
//! # What it promises
//! * **Nothing unchecked is used.** Every input is pinned by size and SHA-256 in the [`Catalog`]; what a source
//!   sends is hashed before anything parses it, archives included.
//! * **Published means whole.** A model is converted in a hidden folder, written through to the disk, and made
//!   visible by one rename. A process killed at any instant leaves either the model or nothing.
//! * **The work is done once.** A lock per model, which the system releases when a process dies, makes a second
//!   pull wait for the first and then find the model ready.
//! * **A pull resumes.** Archives and files that arrived whole are kept until the model is published; a file
//!   from a hub goes on where it stopped.
//! * **A failure explains itself.** The error lists every source, why it failed and what to do.
//!
//! # Where to start reading
//! | file | what |
//! | --- | --- |
//! | `catalog/*.toml`, `catalogue.rs` | the models there are, and the rules an entry must keep |
//! | `declaration.rs` | what an image network reads and what its numbers mean, as data |
//! | `store.rs` | the store's layout on disk, and finding, verifying and removing what is published |
//! | `pull.rs` | a pull from lock to rename |
//! | `checkpoint.rs` | models that a user names instead: a repository on the hub, or a folder |
//! | `digest.rs` | one digest for all files of a model |
//! | `source/` | local folder, hub, `pip`, `npm`; running programs; reading one member of an archive |
//! | `format/` | readers of foreign formats and the safetensors writer, one module each |
//! | `tensors.rs` | reading what was published, memory-mapped |
//! | `parts.rs` | weights that are in several files |

pub mod builtin;
mod catalogue;
mod checkpoint;
pub mod declaration;
mod digest;
mod error;
pub mod format;
mod hash;
pub mod parts;
mod progress;
mod pull;
mod source;
mod store;
pub mod tensors;

pub use catalogue::{
    Archive, Catalog, Convert, Entry, InputFile, MANIFEST, NOTICE, Output, Source,
};
pub use checkpoint::Checkpoint;
pub use error::{Attempt, Error};
pub use hash::Sha256Hex;
pub use progress::{Progress, Silent, Stage, Terminal, Update};
pub use store::{
    Manifest, ModelFiles, Origin, Published, Status, Store, StoreOptions, Verified, default_dir,
};
pub use tensors::Tensors;
