//! The bodies task: from encoded images to people and their parts, as the engine runs it.

use super::movenet::{self, SIDE};
use super::{Bodies, Body};
use crate::error::Result;
use crate::image::{Detail, ImageLimits, decode_for};
use crate::objects::detector::Detector;
use crate::objects::{SharedDetector, task};
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit};
use crate::vision::Area;
use crate::vision::network::{Network, decode_all};
use crate::vision::preprocess::Shown;
use crate::vision::resample::whole_pixels;
use bytes::Bytes;
use escala_models::Compute;
use escala_weights::{Progress, Store};
use image::{Rgb, RgbImage};
use std::sync::Arc;

/// The catalogue's name of the network for points.
pub const MODEL: &str = "movenet-lightning";

/// The label of people.
const PERSON: &str = "Person";
/// How much is added to each side of a person's box, as a part of it.
const MARGIN: f32 = 0.1;

/// One image and what is asked about it.
#[derive(Clone, Debug)]
pub struct BodiesInput {
    /// The encoded image.
    pub image: Bytes,
    /// Most people, surest first.
    pub most: usize,
}

/// People in images by a detector and MoveNet.
#[derive(Clone, Debug, Default)]
pub struct BodiesTask {
    detector: SharedDetector,
    limits: ImageLimits,
}

impl BodiesTask {
    /// The task for images within `limits`, by the detector in this place; where that does not know people, the
    /// built-in one looks for them.
    pub fn new(detector: SharedDetector, limits: ImageLimits) -> Self {
        Self { detector, limits }
    }
}

impl Task for BodiesTask {
    type Input = BodiesInput;
    type Output = Bodies;
    type Pipeline = BodiesPipeline;

    fn name(&self) -> &'static str {
        "bodies"
    }

    fn model(&self) -> &str {
        MODEL
    }

    fn fetch(
        &self,
        weights: &Store,
        progress: &dyn Progress,
    ) -> std::result::Result<(), escala_weights::Error> {
        weights.ensure(MODEL, progress)?;
        self.detector.fetch(weights, progress)
    }

    fn unit(&self) -> Unit {
        Unit::Pixels
    }

    fn cost(&self, input: &BodiesInput) -> u64 {
        self.limits.cost(&input.image) + task::PIXELS
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
        // 3.8 and 2.3 million parameters of four bytes and the maps of a run.
        self.detector.is_builtin().then_some(80_000_000)
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<BodiesPipeline> {
        let mut people = self.detector.load(context)?;
        if !people.knows(PERSON) {
            people = Arc::new(Detector::builtin(context)?);
        }
        Ok(BodiesPipeline {
            people,
            points: Network::tfjs(context, MODEL)?,
            limits: self.limits,
        })
    }
}

/// The loaded networks.
pub struct BodiesPipeline {
    people: Arc<Detector>,
    points: Network,
    limits: ImageLimits,
}

impl BodiesPipeline {
    fn find(
        &self,
        compute: &Compute,
        image: &RgbImage,
        shown: &Shown,
        most: usize,
    ) -> Result<Bodies> {
        let (width, height) = image.dimensions();
        let found = self.people.find(compute, shown)?;
        let people = found.into_iter().filter(|found| {
            let kind = self.people.kind(found.class);
            kind.is_some_and(|kind| kind.name == PERSON)
        });
        let people = people.take(most);
        let mut bodies = Vec::new();
        for person in people {
            let Area {
                left,
                top,
                right,
                bottom,
            } = person.area;
            let (across, down) = (MARGIN * person.area.width(), MARGIN * person.area.height());
            let around = Area::new(left - across, top - down, right + across, bottom + down);
            let Some(crop) = whole_pixels(&around, width, height) else {
                continue;
            };
            let shape = [1, SIDE as usize, SIDE as usize, 3];
            let answers = self
                .points
                .run(compute, &shape, &movenet::input(image, crop))?;
            bodies.push(Body {
                area: person.area,
                score: person.score,
                joints: movenet::decode(answers.only()?, crop)?,
                worn: Vec::new(),
            });
        }
        Ok(Bodies {
            width,
            height,
            bodies,
            sought: Vec::new(),
        })
    }
}

impl Pipeline for BodiesPipeline {
    type Input = BodiesInput;
    type Output = Bodies;

    fn memory(&self) -> u64 {
        self.people.memory() + self.points.memory()
    }

    fn sample(&self) -> BodiesInput {
        BodiesInput {
            image: crate::vision::sample(&RgbImage::from_pixel(128, 128, Rgb([90, 120, 60]))),
            most: 10,
        }
    }

    fn run(&self, compute: &Compute, batch: &[BodiesInput]) -> Vec<Result<Bodies>> {
        let prepared = decode_all(compute, batch, |input, threads| {
            let image = decode_for(&input.image, &self.limits, Detail::Whole, threads)?.pixels;
            let shown = self.people.show(&image);
            Ok((image, shown))
        });
        let each = prepared.into_iter().zip(batch);
        each.map(|(prepared, input)| {
            let (image, shown) = prepared?;
            self.find(compute, &image, &shown, input.most)
        })
        .collect()
    }
}
