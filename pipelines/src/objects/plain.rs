//! Objects under the names that their detector has for them, for those who host a detector of their own.

use super::detector::Detector;
use crate::error::Result;
use crate::image::{ImageLimits, decode_for};
use crate::task::LoadContext;
use crate::vision::Area;
use crate::vision::network::decode_all;
use bytes::Bytes;
use escala_models::Compute;
use std::sync::Arc;

/// A detector with the decoding before it.
pub struct PlainObjects {
    detector: Detector,
    names: Vec<Arc<str>>,
    limits: ImageLimits,
}

/// One thing.
#[derive(Clone, Debug, PartialEq)]
pub struct PlainObject {
    /// The detector's name of it.
    pub name: Arc<str>,
    /// How sure the detector is, 0 to 1.
    pub score: f32,
    /// Where it is, in pixels of the image.
    pub area: Area,
}

impl PlainObjects {
    /// What the operator named, for images within `limits`.
    ///
    /// # Errors
    /// `Unavailable` with what is missing or does not fit, and what to do.
    pub fn load(reference: &str, limits: ImageLimits, context: &LoadContext<'_>) -> Result<Self> {
        let detector = Detector::named(reference, context)?;
        let names = detector.names().map(Arc::from).collect();
        Ok(Self {
            detector,
            names,
            limits,
        })
    }

    /// The things in each image whose score is above `least`, surest first.
    ///
    /// # Errors
    /// Of each image: `InvalidInput` when it cannot be read, `Internal` when the network fails.
    pub fn find(
        &self,
        compute: &Compute,
        images: &[Bytes],
        least: f32,
    ) -> Vec<Result<Vec<PlainObject>>> {
        let shown = decode_all(compute, images, |image, threads| {
            let image = decode_for(image, &self.limits, self.detector.detail(), threads)?;
            let shown = self.detector.show(&image.pixels);
            Ok(shown.of(image.width, image.height))
        });
        let find = |shown: Result<_>| {
            let found = self.detector.find_above(compute, &shown?, least)?;
            let named = found.into_iter().filter_map(|one| {
                Some(PlainObject {
                    name: self.names.get(one.class)?.clone(),
                    score: one.score,
                    area: one.area,
                })
            });
            Ok(named.collect())
        };
        shown.into_iter().map(find).collect()
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> u64 {
        self.detector.memory()
    }
}
