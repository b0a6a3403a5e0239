//! Collections of faces for the doors: the library on the disk, opened when it is first asked for, and searches on the
//! engine's threads. What touches the disk runs on threads that may wait.
//!
//! | file | what |
//! | --- | --- |
//! | `gallery/collections.rs` | everything that can be asked of collections; the doors translate |
//! | `gallery/celebrities.rs` | the people whom the operator made known |
//! | `gallery/faces.rs` | which of an image's faces are good enough |
//! | `gallery/repeated.rs` | requests that come again |
//! | `gallery/search.rs` | searches as a task of the engine |

pub mod celebrities;
pub mod collections;
pub mod faces;
pub mod repeated;
pub mod search;

use crate::app::{Predict, one};
use escala_collections::{Library, Limits};
use escala_pipelines::{Kind, Options};
use parking_lot::Mutex;
use repeated::Repeated;
pub use search::{Found, Search, SearchTask};
use std::path::PathBuf;
use std::sync::Arc;

/// Why a collection cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The collection itself says why.
    #[error(transparent)]
    Collections(#[from] escala_collections::Error),
    /// The image or the engine does.
    #[error(transparent)]
    Engine(#[from] escala_pipelines::Error),
}

/// What an operation gives.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of the engine's kinds.
    pub fn of_kind(kind: Kind, message: impl Into<String>) -> Self {
        Self::Engine(escala_pipelines::Error::new(kind, message))
    }

    /// What it is for a door that knows the engine's kinds only.
    pub fn into_engine(self) -> escala_pipelines::Error {
        use escala_collections::Error as E;
        let error = match self {
            Self::Engine(error) => return error,
            Self::Collections(error) => error,
        };
        let kind = match error {
            E::NoCollection(_) | E::NoFace(_) | E::NoUser(_) => Kind::NotFound,
            E::Exists(_)
            | E::UserExists(_)
            | E::Token
            | E::Limit { .. }
            | E::Invalid(_)
            | E::Earlier(_) => Kind::InvalidInput,
            E::Io { .. } | E::Format { .. } | E::ReadOnly(_) | E::Unavailable(_) => {
                Kind::Unavailable
            }
        };
        escala_pipelines::Error::new(kind, error.to_string())
    }

    /// Whether another process has the folder.
    pub fn is_taken(&self) -> bool {
        let busy = std::io::ErrorKind::ResourceBusy;
        matches!(self, Self::Collections(escala_collections::Error::Io { source, .. }) if source.kind() == busy)
    }
}

/// The collections of a folder.
pub struct Gallery {
    folder: std::result::Result<PathBuf, String>,
    limits: Limits,
    library: Mutex<Option<Arc<Library>>>,
    search: Arc<dyn Predict<Search, Found>>,
    /// What was answered to requests that name themselves.
    pub repeated: Repeated,
}

impl Gallery {
    /// The collections in a folder, or the reason why there is none.
    pub fn new(
        folder: std::result::Result<PathBuf, String>,
        limits: Limits,
        search: Arc<dyn Predict<Search, Found>>,
    ) -> Self {
        Self {
            folder,
            limits,
            library: Mutex::default(),
            search,
            repeated: Repeated::default(),
        }
    }

    /// Does something with the library on a thread that may wait for the disk.
    ///
    /// # Errors
    /// What `work` answers; [`escala_collections::Error::Unavailable`] where there is no folder.
    pub async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Library) -> escala_collections::Result<T> + Send + 'static,
    ) -> escala_collections::Result<T> {
        let gallery = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&*gallery.library()?));
        done.await
            .unwrap_or_else(|error| Err(escala_collections::Error::Unavailable(error.to_string())))
    }

    /// [`Gallery::with`] where anything was ever kept; nothing where not: no folder is made and none locked.
    ///
    /// # Errors
    /// As [`Gallery::with`].
    pub async fn with_if_there<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Library) -> escala_collections::Result<T> + Send + 'static,
    ) -> escala_collections::Result<Option<T>> {
        let gallery = self.clone();
        let done = tokio::task::spawn_blocking(move || match &gallery.folder {
            Ok(folder) if !folder.is_dir() => Ok(None),
            _ => work(&*gallery.library()?).map(Some),
        });
        done.await
            .unwrap_or_else(|error| Err(escala_collections::Error::Unavailable(error.to_string())))
    }

    fn library(&self) -> escala_collections::Result<Arc<Library>> {
        let mut library = self.library.lock();
        if let Some(open) = &*library {
            return Ok(open.clone());
        }
        let folder = self.folder.as_ref();
        let folder = folder.map_err(|why| escala_collections::Error::Unavailable(why.clone()))?;
        let open = Arc::new(Library::open(folder, self.limits)?);
        *library = Some(open.clone());
        Ok(open)
    }

    /// The faces of a collection nearest to a descriptor.
    ///
    /// # Errors
    /// Those of the engine: overloaded, past the deadline.
    pub async fn search(
        &self,
        search: Search,
        options: Options,
    ) -> escala_pipelines::Result<Found> {
        one(&*self.search, search, options).await
    }

    /// Several searches at once, answered in order.
    ///
    /// # Errors
    /// As [`Gallery::search`], of the first that fails.
    pub async fn search_all(
        &self,
        searches: Vec<Search>,
        options: Options,
    ) -> escala_pipelines::Result<Vec<Found>> {
        let found = self.search.predict_many(searches, options).await;
        found.into_iter().collect()
    }
}
