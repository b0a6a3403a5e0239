//! The moderation task: from encoded images to opinions, as the engine runs it.

use super::{Opinions, SIDE, classes_input, flatness, safety_input, small};
use crate::error::Result;
use crate::image::{File, ImageLimits};
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit};
use crate::vision::GLANCE;
use crate::vision::network::{Network, decode_all, files};
use escala_models::Compute;
use escala_weights::{Progress, Store};
use image::{Rgb, RgbImage};

/// The catalogue's name of the network that tells kinds of pictures apart.
pub const CLASSES: &str = "nsfwjs-mobilenet-v2";
/// The catalogue's name of the second network.
pub const SAFETY: &str = "open-nsfw";

/// One image.
#[derive(Clone, Debug)]
pub struct ModerationInput {
    /// The encoded image.
    pub image: File,
}

/// Opinions on images.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModerationTask {
    limits: ImageLimits,
}

impl ModerationTask {
    /// The task for images within `limits`.
    pub fn new(limits: ImageLimits) -> Self {
        Self { limits }
    }
}

impl Task for ModerationTask {
    type Input = ModerationInput;
    type Output = Opinions;
    type Pipeline = ModerationPipeline;

    fn name(&self) -> &'static str {
        "moderation"
    }

    fn model(&self) -> &str {
        CLASSES
    }

    fn fetch(
        &self,
        weights: &Store,
        progress: &dyn Progress,
    ) -> std::result::Result<(), escala_weights::Error> {
        let mut models = [CLASSES, SAFETY].into_iter();
        models.try_for_each(|model| weights.ensure(model, progress).map(drop))
    }

    fn unit(&self) -> Unit {
        Unit::Pixels
    }

    fn cost(&self, input: &ModerationInput) -> u64 {
        self.limits.cost(&input.image) + u64::from(2 * SIDE * SIDE)
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
        // 4.3 and 5.9 million parameters of four bytes and the maps of a run.
        Some(70_000_000)
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<ModerationPipeline> {
        Ok(ModerationPipeline {
            classes: Network::tfjs(context, CLASSES)?,
            safety: Network::onnx(&files(context, SAFETY)?, SAFETY, "model.onnx")?,
            limits: self.limits,
        })
    }
}

/// The loaded networks.
pub struct ModerationPipeline {
    classes: Network,
    safety: Network,
    limits: ImageLimits,
}

impl Pipeline for ModerationPipeline {
    type Input = ModerationInput;
    type Output = Opinions;

    fn memory(&self) -> u64 {
        self.classes.memory() + self.safety.memory()
    }

    fn sample(&self) -> ModerationInput {
        ModerationInput {
            image: crate::vision::sample(&RgbImage::from_pixel(128, 128, Rgb([90, 120, 60])))
                .into(),
        }
    }

    fn run(&self, compute: &Compute, batch: &[ModerationInput]) -> Vec<Result<Opinions>> {
        let shown = decode_all(compute, batch, |input, threads| {
            let image = input.image.decoded(&self.limits, GLANCE, threads)?;
            let small = small(&image.pixels);
            let classes = classes_input(&image.pixels);
            Ok((classes, safety_input(&small), flatness(&small)))
        });
        let shape = [1, SIDE as usize, SIDE as usize, 3];
        let opinion = |shown: Result<(Vec<f32>, Vec<f32>, f32)>| {
            let (classes, safety, flat) = shown?;
            let classes = self.classes.run(compute, &shape, &classes)?;
            let safety = self.safety.run(compute, &shape, &safety)?;
            Opinions::decode(classes.only()?, safety.only()?, flat)
        };
        shown.into_iter().map(opinion).collect()
    }
}
