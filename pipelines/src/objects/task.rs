//! The objects task: from encoded images to things with boxes, as the engine runs it.

use super::Detection;
use super::kinds::Kinds;
use super::nanodet::{self, Answer, SIDE, Thresholds};
use crate::error::{Error, Kind, Result};
use crate::image::{File, ImageLimits};
use crate::labels::taxonomy::Taxonomy;
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit};
use crate::vision::network::{Network, decode_all};
use crate::vision::{Area, GLANCE};
use escala_models::Compute;
use image::{Rgb, RgbImage};

/// The catalogue's name of the network.
pub const MODEL: &str = "nanodet-g";

/// One image and what is asked about it.
#[derive(Clone, Debug)]
pub struct ObjectsInput {
    /// The encoded image.
    pub image: File,
    /// Least confidence in percent; the detector itself is never surer of nothing than 30.
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
}

/// One thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The detector's class, an index into COCO's 80.
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

/// Objects in images by NanoDet.
#[derive(Clone, Copy, Debug, Default)]
pub struct ObjectsTask {
    limits: ImageLimits,
}

impl ObjectsTask {
    /// The task for images within `limits`.
    pub fn new(limits: ImageLimits) -> Self {
        Self { limits }
    }
}

impl Task for ObjectsTask {
    type Input = ObjectsInput;
    type Output = Objects;
    type Pipeline = ObjectsPipeline;

    fn name(&self) -> &'static str {
        "objects"
    }

    fn model(&self) -> &str {
        MODEL
    }

    fn unit(&self) -> Unit {
        Unit::Pixels
    }

    fn cost(&self, input: &ObjectsInput) -> u64 {
        self.limits.cost(&input.image) + u64::from(SIDE * SIDE)
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_cost: 32_000_000,
            batch_items: 16,
            queue_items: 256,
            queue_cost: 400_000_000,
        }
    }

    fn memory_estimate(&self) -> Option<u64> {
        // 3.8 million parameters of four bytes and the maps of a run.
        Some(60_000_000)
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<ObjectsPipeline> {
        let damaged = |cause: String| {
            Error::new(
                Kind::Internal,
                format!("the labels of objects are damaged: {cause}"),
            )
        };
        let taxonomy = Taxonomy::builtin().map_err(|error| damaged(error.to_string()))?;
        let kinds = Kinds::builtin(&taxonomy).map_err(|error| damaged(error.to_string()))?;
        Ok(ObjectsPipeline {
            network: Network::tfjs(context, MODEL)?,
            kinds,
            limits: self.limits,
        })
    }
}

/// A loaded detector with its labels.
pub struct ObjectsPipeline {
    network: Network,
    kinds: Kinds,
    limits: ImageLimits,
}

struct Prepared {
    width: u32,
    height: u32,
    pixels: Vec<f32>,
}

/// What the detector finds in an image of this size; `pixels` are [`nanodet::input`]'s.
pub(crate) fn detections(
    network: &Network,
    compute: &Compute,
    (width, height): (u32, u32),
    pixels: &[f32],
) -> Result<Vec<Detection>> {
    let side = SIDE as usize;
    let answers = network.run(compute, &[1, 3, side, side], pixels)?;
    let answer = |scores: &str, sides: &str| -> Result<Answer<'_>> {
        Ok(Answer {
            scores: answers.of(scores)?,
            sides: answers.of(sides)?,
        })
    };
    let grids = [
        answer("Identity", "Identity_3")?,
        answer("Identity_1", "Identity_4")?,
        answer("Identity_2", "Identity_5")?,
    ];
    nanodet::decode(grids, width, height, &Thresholds::default())
}

impl ObjectsPipeline {
    fn find(&self, compute: &Compute, image: &Prepared, input: &ObjectsInput) -> Result<Objects> {
        let found = detections(
            &self.network,
            compute,
            (image.width, image.height),
            &image.pixels,
        )?;
        let objects = found.into_iter().map(|detection| {
            let kind = &self.kinds.all()[detection.class];
            Object {
                class: detection.class,
                name: kind.name.clone(),
                confidence: 100.0 * detection.score,
                area: detection.area,
                parents: kind.parents.clone(),
                categories: vec![kind.category.clone()],
                aliases: kind.aliases.clone(),
            }
        });
        let sure = |object: &Object| object.confidence >= input.min_confidence;
        Ok(Objects {
            width: image.width,
            height: image.height,
            objects: objects.filter(sure).take(input.most).collect(),
        })
    }
}

impl Pipeline for ObjectsPipeline {
    type Input = ObjectsInput;
    type Output = Objects;

    fn memory(&self) -> u64 {
        self.network.memory()
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
        let prepared = decode_all(compute, batch, |input| {
            let image = input.image.decoded(&self.limits, GLANCE)?;
            Ok(Prepared {
                width: image.width,
                height: image.height,
                pixels: nanodet::input(&image.pixels),
            })
        });
        let each = prepared.into_iter().zip(batch);
        each.map(|(image, input)| self.find(compute, &image?, input))
            .collect()
    }
}
