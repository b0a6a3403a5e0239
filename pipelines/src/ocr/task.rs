//! The text task: from encoded images to lines and words, as the engine runs it.

use super::detect;
use super::recognise::{self, Characters, Reading, Word};
use super::rectify::{ORIENTATION_COLUMNS, Picture, ROWS, is_turned};
use super::{LONGEST, Prepared, Quad};
use crate::error::Result;
use crate::image::{Decoded, Detail, ImageLimits, decode_for};
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit, unavailable};
use crate::vision::network::{Network, decode_all, files, path};
use bytes::Bytes;
use escala_models::Compute;
use image::{Rgb, RgbImage};

/// The catalogue's name of the networks.
pub const MODEL: &str = "pp-ocr-v6";

/// Most lines that are read of an image; further ones (in reading order) are left out.
const LINES: usize = 500;

/// One image.
#[derive(Clone, Debug)]
pub struct OcrInput {
    /// The encoded image.
    pub image: Bytes,
}

/// The text of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct OcrFound {
    /// Columns of the image.
    pub width: u32,
    /// Rows of the image.
    pub height: u32,
    /// Lines in reading order, each with its words; corners are in pixels of the image.
    pub lines: Vec<Reading>,
}

/// Text in images by PP-OCRv6.
#[derive(Clone, Copy, Debug, Default)]
pub struct OcrTask {
    limits: ImageLimits,
}

impl OcrTask {
    /// The task for images within `limits`.
    pub fn new(limits: ImageLimits) -> Self {
        Self { limits }
    }
}

impl Task for OcrTask {
    type Input = OcrInput;
    type Output = OcrFound;
    type Pipeline = OcrPipeline;

    fn name(&self) -> &'static str {
        "text"
    }

    fn model(&self) -> &str {
        MODEL
    }

    fn unit(&self) -> Unit {
        Unit::Pixels
    }

    fn cost(&self, input: &OcrInput) -> u64 {
        // The detector sees about half a million pixels at least.
        self.limits.cost(&input.image) + 500_000
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_cost: 16_000_000,
            batch_items: 8,
            queue_items: 256,
            queue_cost: 400_000_000,
        }
    }

    fn memory_estimate(&self) -> Option<u64> {
        // 32 MB of weights, and the maps of a run on a large image.
        Some(200_000_000)
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<OcrPipeline> {
        let files = files(context, MODEL)?;
        let list = std::fs::read_to_string(path(&files, MODEL, "characters.txt")?)
            .map_err(|cause| unavailable(MODEL, cause))?;
        Ok(OcrPipeline {
            detector: Network::onnx(&files, MODEL, "det.onnx")?,
            orientation: Network::onnx(&files, MODEL, "cls.onnx")?,
            recogniser: Network::onnx(&files, MODEL, "rec.onnx")?,
            characters: Characters::parse(&list)?,
            limits: self.limits,
        })
    }
}

/// The loaded networks.
pub struct OcrPipeline {
    detector: Network,
    orientation: Network,
    recogniser: Network,
    characters: Characters,
    limits: ImageLimits,
}

struct Shown {
    width: u32,
    height: u32,
    prepared: Prepared,
    input: detect::Input,
}

impl OcrPipeline {
    fn find(&self, compute: &Compute, shown: Shown) -> Result<OcrFound> {
        let Shown {
            width,
            height,
            prepared,
            input,
        } = shown;
        let (columns, rows) = (input.width, input.height);
        let shape = [1, 3, rows as usize, columns as usize];
        let map = self.detector.run_filled(compute, &shape, |planes| {
            input.fill(&prepared.image, planes);
            drop(input);
        })?;
        let found = detect::lines(map.only()?, columns, rows, &prepared)?;
        drop(map);
        let mut lines = Vec::new();
        for line in found.iter().take(LINES) {
            let Some(picture) = Picture::cut(&prepared.image, &line.quad) else {
                continue;
            };
            if let Some(reading) = self.read(compute, picture)? {
                let quad = |quad: Quad| quad.map(|point| prepared.original(point));
                let word = |word: Word| Word {
                    quad: quad(word.quad),
                    ..word
                };
                lines.push(Reading {
                    line: word(reading.line),
                    words: reading.words.into_iter().map(word).collect(),
                });
            }
        }
        Ok(OcrFound {
            width,
            height,
            lines,
        })
    }

    fn read(&self, compute: &Compute, picture: Picture) -> Result<Option<Reading>> {
        let shape = [1, 3, ROWS as usize, ORIENTATION_COLUMNS as usize];
        let answers = self
            .orientation
            .run(compute, &shape, &picture.orientation_input())?;
        let picture = if is_turned(answers.only()?) {
            picture.turn()
        } else {
            picture
        };
        let input = recognise::input(&picture);
        let shape = [1, 3, ROWS as usize, input.width as usize];
        let answers = self.recogniser.run(compute, &shape, &input.planes)?;
        recognise::read(
            answers.only()?,
            &self.characters,
            input.filled,
            &picture.quad,
        )
    }
}

impl Pipeline for OcrPipeline {
    type Input = OcrInput;
    type Output = OcrFound;

    fn memory(&self) -> u64 {
        let networks = [&self.detector, &self.orientation, &self.recogniser];
        networks.iter().map(|network| network.memory()).sum::<u64>() + self.characters.memory()
    }

    fn sample(&self) -> OcrInput {
        let image = RgbImage::from_fn(320, 320, |x, y| {
            Rgb([if (120..150).contains(&y) && x % 16 < 5 {
                0
            } else {
                255
            }; 3])
        });
        OcrInput {
            image: crate::vision::sample(&image),
        }
    }

    fn run(&self, compute: &Compute, batch: &[OcrInput]) -> Vec<Result<OcrFound>> {
        let shown = decode_all(compute, batch, |input, threads| {
            let Decoded {
                pixels,
                width,
                height,
            } = decode_for(&input.image, &self.limits, Detail::Longer(LONGEST), threads)?;
            let prepared = Prepared::new(pixels, (width, height));
            let input = detect::input(&prepared.image);
            Ok(Shown {
                width,
                height,
                prepared,
                input,
            })
        });
        shown
            .into_iter()
            .map(|shown| self.find(compute, shown?))
            .collect()
    }
}
