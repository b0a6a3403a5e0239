//! The text task: from encoded images to lines and words, as the engine runs it.

use super::blanks::parts;
use super::detect::Line;
use super::order::in_reading_order;
use super::page::Page;
use super::recognise::{self, Characters, Reading, Word};
use super::rectify::{ORIENTATION_COLUMNS, Picture, ROWS, Turned};
use crate::error::Result;
use crate::image::{ImageLimits, decode_for};
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit, unavailable};
use crate::vision::network::{Network, decode_all, files, path};
use bytes::Bytes;
use escala_models::Compute;
use image::{Rgb, RgbImage};

/// The catalogue's name of the networks.
pub const MODEL: &str = "pp-ocr-v6";

/// Most lines that are read of an image; further ones (in reading order) are left out.
const LINES: usize = 500;
/// Bytes of pictures of lines that are held until they are read.
const HELD: usize = 12_000_000;
/// A line that is read less surely is read the other way up as well.
const SURE: f32 = 0.85;
/// What the other way must be read more surely than, and by how much more than the first.
const PLAUSIBLE: f32 = 0.75;
const BETTER: f32 = 0.1;

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
            // Networks look at one page after the other, for seconds where it is full of text. A lone one is decoded by the
            // team.
            batch_items: 1,
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

impl OcrPipeline {
    fn find(&self, compute: &Compute, mut page: Page, file: &[u8]) -> Result<OcrFound> {
        let lines = page.lines(&self.detector, compute, |detail| {
            let threads = crate::image::threads(compute, 1);
            decode_for(file, &self.limits, detail, threads)
        })?;
        let mut lines = in_reading_order(lines, |line| line.quad);
        lines.truncate(LINES);
        let mut readings = Vec::new();
        for reading in self.read(compute, page.pixels(), &lines)? {
            let word = |word: Word| Word {
                quad: page.original(word.quad),
                ..word
            };
            readings.push(Reading {
                line: word(reading.line),
                words: reading.words.into_iter().map(word).collect(),
            });
        }
        Ok(OcrFound {
            width: page.width,
            height: page.height,
            lines: in_reading_order(readings, |reading| reading.line.quad),
        })
    }

    /// What the lines of a page say. Most of them say which way up all are, because one alone may look the same both
    /// ways; one that looks otherwise, or is read poorly, is read both ways.
    fn read(&self, compute: &Compute, pixels: &RgbImage, lines: &[Line]) -> Result<Vec<Reading>> {
        let mut votes = [0.0; 2];
        let mut held = 0;
        let mut cut = Vec::new();
        for line in lines {
            let Some(picture) = Picture::cut(pixels, &line.quad) else {
                continue;
            };
            let turned = self.turned(compute, &picture)?;
            let (width, height) = picture.image.dimensions();
            votes[usize::from(picture.laid)] += turned.share * width as f32 / height.max(1) as f32;
            // The pictures of further lines are cut once more when they are read.
            held += picture.bytes();
            let picture = (held <= HELD).then_some(picture);
            cut.push((line, turned.is, picture));
        }
        let mut readings = Vec::new();
        for (line, turned, picture) in cut {
            let Some(picture) = picture.or_else(|| Picture::cut(pixels, &line.quad)) else {
                continue;
            };
            let most = votes[usize::from(picture.laid)] > 0.0;
            readings.extend(self.read_either(compute, picture, most, turned != most)?);
        }
        Ok(readings)
    }

    /// Reads a line the way up that most are, and the other way where it may be that.
    fn read_either(
        &self,
        compute: &Compute,
        picture: Picture,
        turned: bool,
        doubtful: bool,
    ) -> Result<Option<Reading>> {
        let first = if turned { picture.turn() } else { picture };
        let reading = self.read_one(compute, &first)?;
        let score = reading.as_ref().map_or(0.0, |reading| reading.line.score);
        if !doubtful && score >= SURE {
            return Ok(reading);
        }
        let other = self.read_one(compute, &first.turn())?;
        let better = score.max(PLAUSIBLE) + BETTER;
        Ok(other.filter(|other| other.line.score > better).or(reading))
    }

    fn turned(&self, compute: &Compute, picture: &Picture) -> Result<Turned> {
        let shape = [1, 3, ROWS as usize, ORIENTATION_COLUMNS as usize];
        let answers = self
            .orientation
            .run(compute, &shape, &picture.orientation_input())?;
        Ok(Turned::of(answers.only()?))
    }

    fn read_one(&self, compute: &Compute, picture: &Picture) -> Result<Option<Reading>> {
        let mut readings = Vec::new();
        for part in parts(picture) {
            let input = recognise::input(&part);
            let shape = [1, 3, ROWS as usize, input.width as usize];
            let answers = self.recogniser.run(compute, &shape, &input.planes)?;
            readings.extend(recognise::read(
                answers.only()?,
                &self.characters,
                input.filled,
                &input.blanks,
                &part.quad,
            )?);
        }
        Ok(recognise::joined(readings, &picture.quad))
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
        let pages = decode_all(compute, batch, |input, threads| {
            // Of a header that cannot be read, decoding says what is wrong.
            let (width, height) = crate::image::dimensions(&input.image).unwrap_or_default();
            let detail = Page::detail(width, height);
            decode_for(&input.image, &self.limits, detail, threads).map(Page::new)
        });
        let each = pages.into_iter().zip(batch);
        each.map(|(page, input)| self.find(compute, page?, &input.image))
            .collect()
    }
}
