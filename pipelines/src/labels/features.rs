//! What the network of labels sees in an image before it names classes: a vector that classifiers of other classes can learn from.

use super::task::{MODEL, network_input};
use crate::error::{Error, Kind, Result};
use crate::image::{File, ImageLimits, threads};
use crate::task::{LoadContext, unavailable};
use crate::vision::GLANCE;
use escala_models::Compute;
use escala_models::efficientnet::{EfficientNetLite, FEATURES};
use escala_weights::Silent;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};

/// Numbers of a vector.
pub const WIDTH: usize = FEATURES;

/// The file of EfficientNet-Lite0's tensors, pulled where it is missing.
///
/// # Errors
/// `Unavailable` with what is missing and what to do.
pub fn tensors(context: &LoadContext<'_>) -> Result<PathBuf> {
    let files = context.weights.ensure(MODEL, &Silent);
    let path = files.and_then(|files| files.path("model.safetensors"));
    path.map_err(|error| unavailable(MODEL, error))
}

/// What the network is shown of images, as `models` takes it; of one that cannot be decoded, why.
pub fn inputs(limits: &ImageLimits, compute: &Compute, images: &[File]) -> Vec<Result<Vec<f32>>> {
    let slots: Vec<Mutex<Option<Result<Vec<f32>>>>> =
        images.iter().map(|_| Mutex::new(None)).collect();
    let shared = threads(compute, images.len());
    compute.team.for_each(images.len(), |index| {
        let decoded = images[index].decoded(limits, GLANCE, shared);
        *slots[index].lock() = Some(decoded.map(|decoded| network_input(&decoded.pixels)));
    });
    let undone = || Error::new(Kind::Internal, "an image was not decoded");
    slots
        .into_iter()
        .map(|slot| slot.into_inner().unwrap_or_else(|| Err(undone())))
        .collect()
}

/// The loaded network.
pub struct ImageFeatures {
    network: EfficientNetLite,
    limits: ImageLimits,
}

impl ImageFeatures {
    /// EfficientNet-Lite0, pulled where it is missing.
    ///
    /// # Errors
    /// `Unavailable` with what is missing and what to do.
    pub fn load(context: &LoadContext<'_>, limits: ImageLimits) -> Result<Self> {
        Self::open(&tensors(context)?, context.target.device, limits)
    }

    /// A network of the same kind from a file: one that was tuned for other classes.
    ///
    /// # Errors
    /// `Unavailable` when the file does not hold one.
    pub fn open(
        tensors: &Path,
        device: &escala_models::compute::Device,
        limits: ImageLimits,
    ) -> Result<Self> {
        let network = EfficientNetLite::load(tensors, device);
        Ok(Self {
            network: network.map_err(|error| unavailable(MODEL, error))?,
            limits,
        })
    }

    /// Classes that the network itself tells apart.
    pub fn classes(&self) -> usize {
        self.network.classes()
    }

    /// The vectors of images, [`WIDTH`] numbers each; of one that cannot be decoded, why.
    ///
    /// # Errors
    /// The network fails; for all of them.
    pub fn vectors(&self, compute: &Compute, images: &[File]) -> Result<Vec<Result<Vec<f32>>>> {
        let inputs = inputs(&self.limits, compute, images);
        let pixels: Vec<f32> = inputs.iter().flatten().flatten().copied().collect();
        let seen = self.network.forward(compute, &pixels).map_err(|source| {
            Error::new(Kind::Internal, "the image network failed").with_source(source)
        })?;
        let mut vectors = seen.features.chunks_exact(WIDTH);
        Ok(inputs
            .into_iter()
            .map(|input| {
                input?;
                let vector = vectors.next().map(<[f32]>::to_vec);
                vector.ok_or_else(|| {
                    Error::new(Kind::Internal, "the image network answered too little")
                })
            })
            .collect())
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> u64 {
        self.network.memory()
    }
}
