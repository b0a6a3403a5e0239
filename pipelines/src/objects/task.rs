//! The objects task: from encoded images to things with boxes, as the engine runs it.

use super::Detection;
use super::detector::{Detector, SharedDetector};
use super::parts::{of_image, once};
use crate::bodies::covers;
use crate::error::Result;
use crate::image::{File, ImageLimits};
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit};
use crate::vision::Area;
use crate::vision::network::decode_all;
use crate::vision::preprocess::{Frame, Shown};
use escala_models::Compute;
use escala_weights::{Progress, Store};
use image::{Rgb, RgbImage};
use std::sync::Arc;

/// Pixels that a detector is expected to see, when the cost of an image is estimated.
pub(crate) const PIXELS: u64 = 640 * 640;

/// Most objects of an image that is seen in parts.
const MOST: usize = 100;

/// The task of what people wear for protection.
const COVERS: &str = "covers";

/// One image and what is asked about it.
#[derive(Clone, Debug)]
pub struct ObjectsInput {
    /// The encoded image.
    pub image: File,
    /// Least confidence in percent; detectors leave out what they are less sure of than they were told, the built-in one
    /// what is below 50 ([`sureness`](super::nanodet::sureness) of its scores from 0.3 on).
    pub min_confidence: f32,
    /// Most objects, surest first.
    pub most: usize,
}

/// The things in one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Objects {
    /// Columns of the image.
    pub width: u32,
    /// Rows of the image.
    pub height: u32,
    /// Surest first.
    pub objects: Vec<Object>,
    /// The labels of everything that the detector could have found.
    pub known: Arc<[String]>,
}

/// One thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The detector's class, an index into its own list.
    pub class: usize,
    /// Its label, such as `Cat`.
    pub name: String,
    /// Percent, 0 to 100.
    pub confidence: f32,
    /// Where it is, in pixels.
    pub area: Area,
    /// All ancestors of the label, by name.
    pub parents: Vec<String>,
    /// Broad categories, such as `Animals and Pets`.
    pub categories: Vec<String>,
    /// Other names of the same thing.
    pub aliases: Vec<String>,
}

/// Objects in images.
#[derive(Clone, Debug)]
pub struct ObjectsTask {
    name: &'static str,
    detector: SharedDetector,
    limits: ImageLimits,
}

impl Default for ObjectsTask {
    /// By the built-in detector.
    fn default() -> Self {
        Self::new(SharedDetector::default(), ImageLimits::default())
    }
}

impl ObjectsTask {
    /// The task for images within `limits`, by the detector in this place.
    pub fn new(detector: SharedDetector, limits: ImageLimits) -> Self {
        Self {
            name: "objects",
            detector,
            limits,
        }
    }

    /// The task `covers`: what people wear for protection ([`crate::bodies::covers`]), by the detector that is named.
    pub fn covers(named: &str, limits: ImageLimits) -> Self {
        Self {
            name: COVERS,
            ..Self::new(SharedDetector::named(named), limits)
        }
    }
}

impl Task for ObjectsTask {
    type Input = ObjectsInput;
    type Output = Objects;
    type Pipeline = ObjectsPipeline;

    fn name(&self) -> &'static str {
        self.name
    }

    fn model(&self) -> &str {
        self.detector.name()
    }

    fn fetch(
        &self,
        weights: &Store,
        progress: &dyn Progress,
    ) -> std::result::Result<(), escala_weights::Error> {
        self.detector.fetch(weights, progress)
    }

    fn unit(&self) -> Unit {
        Unit::Pixels
    }

    fn cost(&self, input: &ObjectsInput) -> u64 {
        self.limits.cost(&input.image) + PIXELS
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_cost: 32_000_000,
            batch_items: self.detector.batch_items(),
            queue_items: 256,
            queue_cost: 400_000_000,
        }
    }

    fn memory_estimate(&self) -> Option<u64> {
        // 3.8 million parameters of four bytes and the maps of a run.
        self.detector.is_builtin().then_some(60_000_000)
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<ObjectsPipeline> {
        let detector = self.detector.load(context)?;
        if self.name == COVERS && covers::sought(detector.labels()).is_empty() {
            let classes = detector.labels().join(", ");
            tracing::warn!(%classes, "the detector of covers knows none: nobody is said to wear or to lack any");
        }
        Ok(ObjectsPipeline {
            detector,
            limits: self.limits,
        })
    }
}

/// A loaded detector with the decoding before it.
pub struct ObjectsPipeline {
    detector: Arc<Detector>,
    limits: ImageLimits,
}

/// What a batch holds of an image before the network sees it.
enum Seen {
    Whole(Shown),
    /// A long one, which is decoded when its turn comes: its parts take more memory.
    Long,
}

impl ObjectsPipeline {
    fn find(&self, compute: &Compute, seen: Seen, input: &ObjectsInput) -> Result<Objects> {
        match seen {
            Seen::Whole(shown) => {
                let found = self.detector.find(compute, &shown)?;
                let Frame { width, height, .. } = shown.frame;
                Ok(self.objects((width, height), found, input))
            }
            Seen::Long => self.find_in_parts(compute, input),
        }
    }

    /// What is in a long image: in all of it, and in its parts, one after the other.
    fn find_in_parts(&self, compute: &Compute, input: &ObjectsInput) -> Result<Objects> {
        let threads = crate::image::threads(compute, 1);
        let detail = self.detector.detail();
        let image = input.image.decoded(&self.limits, detail, threads)?;
        let (width, height) = (image.width, image.height);
        let shown = self.detector.show(&image.pixels).of(width, height);
        let mut found = self.detector.find(compute, &shown)?;
        let (columns, rows) = image.pixels.dimensions();
        let (across, down) = (
            width as f32 / columns.max(1) as f32,
            height as f32 / rows.max(1) as f32,
        );
        for part in self.detector.parts(columns, rows) {
            let pixels = image::imageops::crop_imm(
                &image.pixels,
                part.left,
                part.top,
                part.width,
                part.height,
            );
            let shown = self.detector.show(&pixels.to_image());
            let here = self.detector.find(compute, &shown)?;
            found.extend(of_image(here, part, (columns, rows)).map(|detection| {
                let Area {
                    left,
                    top,
                    right,
                    bottom,
                } = detection.area;
                let area = Area::new(left * across, top * down, right * across, bottom * down);
                Detection { area, ..detection }
            }));
        }
        Ok(self.objects((width, height), once(found, MOST), input))
    }

    fn objects(
        &self,
        (width, height): (u32, u32),
        found: Vec<Detection>,
        input: &ObjectsInput,
    ) -> Objects {
        let objects = found.into_iter().filter_map(|detection| {
            let kind = self.detector.kind(detection.class)?;
            let category = Some(&kind.category).filter(|category| !category.is_empty());
            Some(Object {
                class: detection.class,
                name: kind.name.clone(),
                confidence: 100.0 * detection.score,
                area: detection.area,
                parents: kind.parents.clone(),
                categories: category.into_iter().cloned().collect(),
                aliases: kind.aliases.clone(),
            })
        });
        let sure = |object: &Object| object.confidence >= input.min_confidence;
        Objects {
            width,
            height,
            objects: objects.filter(sure).take(input.most).collect(),
            known: self.detector.labels().clone(),
        }
    }
}

impl Pipeline for ObjectsPipeline {
    type Input = ObjectsInput;
    type Output = Objects;

    fn memory(&self) -> u64 {
        self.detector.memory()
    }

    fn sample(&self) -> ObjectsInput {
        ObjectsInput {
            image: crate::vision::sample(&RgbImage::from_pixel(128, 128, Rgb([90, 120, 60])))
                .into(),
            min_confidence: 0.0,
            most: 10,
        }
    }

    fn run(&self, compute: &Compute, batch: &[ObjectsInput]) -> Vec<Result<Objects>> {
        let seen = decode_all(compute, batch, |input, threads| {
            // Of a header that cannot be read, decoding says what is wrong.
            let (width, height) = crate::image::dimensions(&input.image).unwrap_or_default();
            if !self.detector.parts(width, height).is_empty() {
                return Ok(Seen::Long);
            }
            let detail = self.detector.detail();
            let image = input.image.decoded(&self.limits, detail, threads)?;
            let shown = self.detector.show(&image.pixels);
            Ok(Seen::Whole(shown.of(image.width, image.height)))
        });
        let each = seen.into_iter().zip(batch);
        each.map(|(seen, input)| self.find(compute, seen?, input))
            .collect()
    }
}
