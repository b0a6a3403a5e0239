//! EfficientNet-Lite0 as the labels task's [`Classifier`].

use super::task::{Classifier, MODEL};
use crate::error::{Error, Kind, Result};
use escala_models::Compute;
use escala_models::efficientnet::EfficientNetLite;
use std::path::Path;

/// Loads the network from its published tensors.
///
/// # Errors
/// `Unavailable` when the file is not there or does not hold the network.
pub(super) fn load(tensors: &Path, device: &candle_core::Device) -> Result<Box<dyn Classifier>> {
    match EfficientNetLite::load(tensors, device) {
        Ok(network) => Ok(Box::new(network)),
        Err(source) => Err(Error::new(
            Kind::Unavailable,
            format!("{MODEL} cannot be loaded: {source}"),
        )
        .with_source(source)),
    }
}

impl Classifier for EfficientNetLite {
    fn logits(&self, compute: &Compute, images: &[f32]) -> Result<Vec<f32>> {
        match self.forward(compute, images) {
            Ok(predictions) => Ok(predictions.logits),
            Err(source) => {
                Err(Error::new(Kind::Internal, "the image network failed").with_source(source))
            }
        }
    }

    fn memory(&self) -> u64 {
        EfficientNetLite::memory(self)
    }
}
