//! Classes of images by a classifier of the operator's own: a checkpoint of a hub, a folder, or an entry of the
//! operator's catalogue. There is no default.

use crate::classes::{Class, Classes};
use crate::error::{Error, Kind, Result};
use crate::image::{Detail, ImageLimits, decode_for};
use crate::labels::taxonomy::Taxonomy;
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit};
use crate::vision::model::{ImageModel, fetch, refused};
use crate::vision::network::decode_all;
use bytes::Bytes;
use escala_models::Compute;
use escala_weights::declaration::{self, Decoder};
use escala_weights::{Progress, Store};
use image::{Rgb, RgbImage};
use std::sync::Arc;

/// Pixels that a classifier is expected to see, when the cost of an image is estimated.
const PIXELS: u64 = 224 * 224;

/// A loaded classifier of images.
pub struct ImageClassifier {
    model: ImageModel,
    names: Vec<Arc<str>>,
    imagenet: bool,
}

impl ImageClassifier {
    /// What the operator named.
    ///
    /// # Errors
    /// `Unavailable` with what is missing or does not fit, and what to do.
    pub fn load(reference: &str, context: &LoadContext<'_>) -> Result<Self> {
        let model = ImageModel::load(reference, declaration::Task::ImageClassifier, context)?;
        let taxonomy = Taxonomy::builtin().map_err(|source| {
            Error::new(
                Kind::Internal,
                format!("the label taxonomy is damaged: {source}"),
            )
        })?;
        let (names, imagenet): (Vec<Arc<str>>, bool) = match &model.classes {
            declaration::Classes::Names(names) => {
                let shared = names.iter().map(|name| name.as_str().into());
                (shared.collect(), taxonomy.knows_order(names))
            }
            declaration::Classes::Imagenet1k => (taxonomy.class_names().collect(), true),
            declaration::Classes::Coco80 => {
                return Err(refused(reference, "`classes` \"coco-80\" are a detector's"));
            }
        };
        Ok(Self {
            model,
            names,
            imagenet,
        })
    }

    /// The classes, in the order of probabilities.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Whether the classes are the thousand of ImageNet in their usual order.
    pub fn is_imagenet(&self) -> bool {
        self.imagenet
    }

    /// Whether exactly one class holds, so that the probabilities of an image sum to one.
    pub fn exclusive(&self) -> bool {
        self.model.decoder != Decoder::Sigmoid
    }

    /// Numbers that the network is shown of an image.
    pub fn values(&self) -> usize {
        self.model.values()
    }

    /// How much of an image the network needs to be shown it.
    pub fn detail(&self) -> Detail {
        self.model.detail()
    }

    /// What the network is shown of an image.
    pub fn input(&self, image: &RgbImage) -> Vec<f32> {
        self.model.show(image).pixels
    }

    /// The network's scores for what [`ImageClassifier::input`] gave, as many as there are classes. Must not be called
    /// from inside a team's region.
    ///
    /// # Errors
    /// `Internal` when the network fails or gives other scores than there are classes.
    pub fn scores(&self, compute: &Compute, pixels: &[f32]) -> Result<Vec<f32>> {
        let answers = self.model.run(compute, pixels, self.model.size())?;
        let scores = self.model.output(&answers, 0)?.data();
        if scores.len() != self.names.len() {
            return Err(Error::new(
                Kind::Internal,
                format!(
                    "the network gives {} scores for {} classes",
                    scores.len(),
                    self.names.len()
                ),
            ));
        }
        Ok(scores.to_vec())
    }

    /// Probabilities of an image's scores.
    ///
    /// # Errors
    /// `Internal` when they are not probabilities.
    pub fn probabilities(&self, scores: &[f32]) -> Result<Vec<f64>> {
        match self.model.decoder {
            Decoder::Sigmoid => {
                let logistic = |&score: &f32| 1.0 / (1.0 + (-f64::from(score)).exp());
                Ok(scores.iter().map(logistic).collect())
            }
            Decoder::Probabilities => {
                // As floats may miss it.
                let part = |&score: &f32| {
                    let whole = f64::from(score);
                    (-1e-3..=1.001)
                        .contains(&whole)
                        .then(|| whole.clamp(0.0, 1.0))
                };
                let parts: Option<Vec<f64>> = scores.iter().map(part).collect();
                parts.ok_or_else(|| {
                    Error::new(
                        Kind::Internal,
                        "the network gives no probabilities: declare its decoder as softmax or sigmoid",
                    )
                })
            }
            _ => crate::labels::postprocess::softmax(scores),
        }
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> u64 {
        self.model.memory()
    }
}

/// Classes of images.
#[derive(Clone, Debug)]
pub struct ImageClassesTask {
    reference: Arc<str>,
    limits: ImageLimits,
}

impl ImageClassesTask {
    /// By the classifier that is named, for images within `limits`.
    pub fn new(reference: &str, limits: ImageLimits) -> Self {
        Self {
            reference: reference.into(),
            limits,
        }
    }
}

/// The loaded classifier with the decoding before it.
pub struct ImageClassesPipeline {
    classifier: ImageClassifier,
    limits: ImageLimits,
}

impl Task for ImageClassesTask {
    type Input = Bytes;
    type Output = Classes;
    type Pipeline = ImageClassesPipeline;

    fn name(&self) -> &'static str {
        "image-classes"
    }

    fn model(&self) -> &str {
        &self.reference
    }

    fn fetch(
        &self,
        weights: &Store,
        progress: &dyn Progress,
    ) -> std::result::Result<(), escala_weights::Error> {
        fetch(&self.reference, weights, progress).map(drop)
    }

    fn unit(&self) -> Unit {
        Unit::Pixels
    }

    fn cost(&self, image: &Bytes) -> u64 {
        self.limits.cost(image) + PIXELS
    }

    fn limits(&self) -> Limits {
        // As labels, with less of a batch: networks are of any size, and look at one image after the other.
        Limits {
            batch_cost: 32_000_000,
            batch_items: 4,
            queue_items: 256,
            queue_cost: 400_000_000,
        }
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<ImageClassesPipeline> {
        Ok(ImageClassesPipeline {
            classifier: ImageClassifier::load(&self.reference, context)?,
            limits: self.limits,
        })
    }
}

impl ImageClassesPipeline {
    fn classes(&self, compute: &Compute, pixels: &[f32]) -> Result<Classes> {
        let scores = self.classifier.scores(compute, pixels)?;
        let shares = self.classifier.probabilities(&scores)?;
        let named = self.classifier.names.iter().zip(shares);
        let mut classes: Classes = named
            .map(|(name, share)| Class {
                name: name.clone(),
                score: share as f32,
            })
            .collect();
        classes.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(classes)
    }
}

impl Pipeline for ImageClassesPipeline {
    type Input = Bytes;
    type Output = Classes;

    fn memory(&self) -> u64 {
        self.classifier.memory()
    }

    fn sample(&self) -> Bytes {
        crate::vision::sample(&RgbImage::from_pixel(128, 128, Rgb([90, 120, 60])))
    }

    fn run(&self, compute: &Compute, batch: &[Bytes]) -> Vec<Result<Classes>> {
        let shown = decode_all(compute, batch, |image, threads| {
            let decoded = decode_for(image, &self.limits, Detail::Whole, threads)?;
            Ok(self.classifier.input(&decoded.pixels))
        });
        shown
            .into_iter()
            .map(|pixels| self.classes(compute, &pixels?))
            .collect()
    }
}
