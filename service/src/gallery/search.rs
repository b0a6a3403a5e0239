//! Searches of collections as a task of the engine: queued, counted and given up like a prediction, on the threads that
//! networks use.

use escala_collections::{Collection, Descriptor, Face, FaceId};
use escala_models::Compute;
use escala_pipelines::task::{self, LoadContext, Pipeline, Task, Unit};
use escala_weights::{Progress, Store};
use std::sync::Arc;

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
