//! Collections of faces for the doors: the library on the disk, opened when it is first asked for, and searches on the
//! engine's threads.
//!
//! What touches the disk runs on threads that may wait. A search is an item of the engine like a prediction: it is
//! queued, counted and given up like one, and uses the threads that networks use.

use crate::app::{Predict, one};
use escala_collections::{Collection, Descriptor, Face, FaceId, Library, Limits};
use escala_models::Compute;
use escala_pipelines::task::{self, LoadContext, Pipeline, Task, Unit};
use escala_pipelines::{Error, Kind, Options};
use escala_weights::{Progress, Store};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;

/// The collections of this machine.
pub struct Gallery {
    folder: Result<PathBuf, String>,
    limits: Limits,
    library: Mutex<Option<Arc<Library>>>,
    search: Arc<dyn Predict<Search, Found>>,
}

impl Gallery {
    /// The collections in a folder, or the reason why there is none.
    pub fn new(
        folder: Result<PathBuf, String>,
        limits: Limits,
        search: Arc<dyn Predict<Search, Found>>,
    ) -> Self {
        Self {
            folder,
            limits,
            library: Mutex::default(),
            search,
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
    pub async fn search(&self, search: Search, options: Options) -> Result<Found, Error> {
        one(&*self.search, search, options).await
    }
}

/// What is looked for.
pub struct Search {
    /// Where; nothing is found nowhere.
    pub collection: Option<Arc<Collection>>,
    /// Like what.
    pub wanted: Descriptor,
    /// Most faces.
    pub most: usize,
    /// Largest distance.
    pub farthest: f32,
    /// A face to leave out.
    pub except: Option<FaceId>,
}

/// Faces with their distances, nearest first.
pub type Found = Vec<(Face, f32)>;

/// Searches of collections.
#[derive(Clone, Copy, Debug, Default)]
pub struct SearchTask;

/// A search needs no model.
pub struct SearchPipeline;

impl Task for SearchTask {
    type Input = Search;
    type Output = Found;
    type Pipeline = SearchPipeline;

    fn name(&self) -> &'static str {
        "face-search"
    }

    fn model(&self) -> &str {
        "none"
    }

    fn fetch(&self, _: &Store, _: &dyn Progress) -> Result<(), escala_weights::Error> {
        Ok(())
    }

    fn unit(&self) -> Unit {
        Unit::Faces
    }

    fn cost(&self, input: &Search) -> u64 {
        let faces = input.collection.as_ref();
        faces.map_or(0, |collection| collection.describe().faces as u64) + 1000
    }

    fn limits(&self) -> task::Limits {
        // A million faces take some 40 ms.
        task::Limits {
            batch_cost: 2_000_000,
            batch_items: 64,
            queue_items: 4096,
            queue_cost: 200_000_000,
        }
    }

    fn load(&self, _: &LoadContext<'_>) -> escala_pipelines::Result<SearchPipeline> {
        Ok(SearchPipeline)
    }
}

impl Pipeline for SearchPipeline {
    type Input = Search;
    type Output = Found;

    fn memory(&self) -> u64 {
        0
    }

    fn sample(&self) -> Search {
        Search {
            collection: None,
            wanted: [0.0; escala_collections::WIDTH],
            most: 1,
            farthest: 1.0,
            except: None,
        }
    }

    fn run(&self, compute: &Compute, batch: &[Search]) -> Vec<escala_pipelines::Result<Found>> {
        let one = |search: &Search| {
            let Some(collection) = &search.collection else {
                return Ok(Vec::new());
            };
            let (wanted, most, farthest) = (&search.wanted, search.most, search.farthest);
            Ok(collection.search(&compute.team, wanted, most, farthest, search.except))
        };
        batch.iter().map(one).collect()
    }
}

/// The engine's error for one of collections, where the engine answers.
pub fn engine_error(error: &escala_collections::Error) -> Error {
    use escala_collections::Error as E;
    let kind = match error {
        E::NoCollection(_) | E::NoFace(_) | E::NoUser(_) => Kind::NotFound,
        E::Exists(_) | E::UserExists(_) | E::Token | E::Limit { .. } | E::Invalid(_) => {
            Kind::InvalidInput
        }
        E::Io { .. } | E::Format { .. } | E::ReadOnly(_) | E::Unavailable(_) => Kind::Unavailable,
    };
    Error::new(kind, error.to_string())
}
