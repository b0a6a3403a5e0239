//! The second detector: a cascade that finds faces down to a fiftieth of the longer side, and turned ones.
//!
//! The first network sees the image at many sizes and proposes squares, the second and the third see each square
//! alone, move its edges and say whether it is a face. Method, sizes and thresholds are those of facenet-pytorch 2.6.0
//! (`models/utils/detect_face.py`). A large image is first shrunk by a whole number, and the squares that the later
//! networks see are bounded.

use super::detect::Candidate;
use super::upright::Features;
use crate::error::Result;
use crate::image::resize::Crop;
use crate::task::{LoadContext, unavailable};
use crate::vision::average::{average, average_rows};
use crate::vision::boxes::{suppress, surer};
use crate::vision::network::{self, Network};
use crate::vision::{Area, Point};
use escala_models::Compute;
use escala_models::faces::cascade::{self, CONFIRM_NUMBERS, CONFIRM_SIDE, NUMBERS, REFINE_SIDE};
use escala_weights::Tensors;
use image::RgbImage;
use std::borrow::Cow;

/// The catalogue's name of the three networks.
pub const CASCADE: &str = "face-mtcnn";

/// The smallest face, as a part of the image's longer side: 40 pixels of 1920.
const LEAST: f64 = 1.0 / 48.0;
/// The smallest face in pixels.
const LEAST_PIXELS: f64 = 20.0;
/// Images whose longer side is much larger than this are shrunk.
const LONGER: f64 = 1600.0;
/// Side of the squares that the first network judges, and how far they are apart.
const CELL: u32 = 12;
const STEP: u32 = 2;
/// Each size of the image is this part of the one before.
const FACTOR: f64 = 0.709;
/// Least scores of the three networks.
const SCORES: [f32; 3] = [0.6, 0.7, 0.7];
/// Of two squares that overlap more than this the surer remains: at one size of the image, then among all.
const OVERLAP: [f32; 2] = [0.5, 0.7];
/// Squares of one size of the image, squares for the second network and for the third; the surest remain.
const MOST: [usize; 3] = [1000, 600, 200];
/// Squares that a network sees at once; fewer are made up to a multiple of [`PADDED`].
const TOGETHER: usize = 32;
const PADDED: usize = 8;
/// Rows of a smaller image that one thread makes at once.
const BAND: u32 = 32;

/// The three networks.
pub struct Cascade {
    propose: Network,
    refine: Network,
    confirm: Network,
}

/// One size at which the image is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Level {
    scale: f64,
    width: u32,
    height: u32,
}

/// What a network says of a square.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Judged {
    score: f32,
    area: Area,
    /// How far to move left, top, right and bottom, as parts of the square.
    moved: [f32; 4],
}

impl Cascade {
    /// The networks of the catalogue.
    ///
    /// # Errors
    /// `Unavailable` when their weights cannot be had or are not theirs.
    pub fn load(context: &LoadContext<'_>) -> Result<Self> {
        let files = network::files(context, CASCADE)?;
        let one = |name: &str, build: fn(&Tensors) -> _| -> Result<Network> {
            let path = network::path(&files, CASCADE, name)?;
            let tensors = Tensors::open(path).map_err(|cause| unavailable(CASCADE, cause))?;
            let graph: std::result::Result<_, escala_models::faces::Error> = build(&tensors);
            Network::compile(CASCADE, graph.map_err(|cause| unavailable(CASCADE, cause))?)
        };
        Ok(Self {
            propose: one("propose.safetensors", cascade::propose)?,
            refine: one("refine.safetensors", cascade::refine)?,
            confirm: one("confirm.safetensors", cascade::confirm)?,
        })
    }

    /// Bytes that the networks hold.
    pub fn memory(&self) -> u64 {
        [&self.propose, &self.refine, &self.confirm]
            .iter()
            .map(|network| network.memory())
            .sum()
    }

    /// The faces of an image, surest first. Must not be called from inside a team's region.
    ///
    /// # Errors
    /// `Internal` when a network fails.
    pub fn find(&self, compute: &Compute, image: &RgbImage) -> Result<Vec<Candidate>> {
        let times = shrunk_by(image.dimensions());
        let image = match times {
            0 | 1 => Cow::Borrowed(image),
            _ => Cow::Owned(shrink(compute, image, times)?),
        };
        let mut squares = self.proposals(compute, &image)?;
        squares = self.refined(compute, &image, &squares)?;
        let faces = self.confirmed(compute, &image, &squares)?;
        let back = times.max(1) as f32;
        let enlarge = |point: Point| Point::new(point.x * back, point.y * back);
        let candidate = |(one, features): (Judged, Features)| {
            let Area {
                left,
                top,
                right,
                bottom,
            } = one.area;
            Candidate {
                score: one.score,
                area: Area::new(left * back, top * back, right * back, bottom * back),
                features: Some(features.map(enlarge)),
            }
        };
        Ok(faces.into_iter().map(candidate).collect())
    }

    /// What the first network proposes, as squares.
    fn proposals(&self, compute: &Compute, image: &RgbImage) -> Result<Vec<Area>> {
        let levels = levels(image.dimensions());
        let mut found = Vec::new();
        for (level, pixels) in levels.iter().zip(smaller(compute, image, &levels)?) {
            let shape = [1, level.height as usize, level.width as usize, 3];
            let answers = self.propose.run(compute, &shape, &pixels)?;
            found.extend(thinned(squares_of(answers.only()?, level), OVERLAP[0]));
        }
        let mut found = thinned(found, OVERLAP[1]);
        found.truncate(MOST[1]);
        let squares = found.iter().map(|judged| {
            let (width, height) = (judged.area.width(), judged.area.height());
            square(shifted(&judged.area, &judged.moved, width, height))
        });
        Ok(squares.collect())
    }

    /// The squares that the second network takes for faces.
    fn refined(&self, compute: &Compute, image: &RgbImage, squares: &[Area]) -> Result<Vec<Area>> {
        let judged = judge::<NUMBERS>(compute, &self.refine, image, squares, REFINE_SIDE)?;
        let judged = judged
            .iter()
            .map(|(area, numbers)| Judged::of(area, numbers));
        let mut kept = thinned(
            judged.filter(|one| one.score > SCORES[1]).collect(),
            OVERLAP[1],
        );
        kept.truncate(MOST[2]);
        Ok(kept.iter().map(|one| square(one.adjusted())).collect())
    }

    /// The faces, and where their features are.
    fn confirmed(
        &self,
        compute: &Compute,
        image: &RgbImage,
        squares: &[Area],
    ) -> Result<Vec<(Judged, Features)>> {
        let side = CONFIRM_SIDE;
        let judged = judge::<CONFIRM_NUMBERS>(compute, &self.confirm, image, squares, side)?;
        let mut faces = Vec::new();
        for (area, numbers) in &judged {
            let Some((numbers, points)) = numbers.split_first_chunk::<NUMBERS>() else {
                continue;
            };
            let one = Judged::of(area, numbers);
            if one.score > SCORES[2] {
                let area = one.adjusted();
                faces.push((Judged { area, ..one }, features(&one.area, points)));
            }
        }
        faces.sort_by(|(a, _), (b, _)| surer(a.score, b.score));
        let mut kept: Vec<(Judged, Features)> = Vec::new();
        for (face, features) in faces {
            if kept
                .iter()
                .all(|(other, _)| !covers(&other.area, &face.area))
            {
                kept.push((face, features));
            }
        }
        Ok(kept)
    }
}

/// Five points of a square, of which the numbers across come first.
fn features(square: &Area, numbers: &[f32]) -> Features {
    let (width, height) = (square.width() + 1.0, square.height() + 1.0);
    std::array::from_fn(|index| {
        let part = |at: usize| numbers.get(at).copied().unwrap_or(0.5);
        Point::new(
            square.left + part(index) * width - 1.0,
            square.top + part(index + 5) * height - 1.0,
        )
    })
}

impl Judged {
    fn of(area: &Area, numbers: &[f32; NUMBERS]) -> Self {
        let [none, face, moved @ ..] = *numbers;
        Self {
            score: 1.0 / (1.0 + (none - face).exp()),
            area: *area,
            moved,
        }
    }

    /// The square with its edges moved; the reference counts its first and its last pixel.
    fn adjusted(&self) -> Area {
        let (width, height) = (self.area.width() + 1.0, self.area.height() + 1.0);
        shifted(&self.area, &self.moved, width, height)
    }
}

/// How many times a large image is made smaller.
fn shrunk_by((width, height): (u32, u32)) -> u32 {
    (f64::from(width.max(height)) / LONGER).round() as u32
}

/// The sizes at which an image is looked at, the largest first: at each, faces of about [`CELL`] pixels are seen.
fn levels((width, height): (u32, u32)) -> Vec<Level> {
    let least = (f64::from(width.max(height)) * LEAST).max(LEAST_PIXELS);
    let mut scale = f64::from(CELL) / least;
    let mut levels = Vec::new();
    while f64::from(width.min(height)) * scale >= f64::from(CELL) {
        levels.push(Level {
            scale,
            width: (f64::from(width) * scale + 1.0) as u32,
            height: (f64::from(height) * scale + 1.0) as u32,
        });
        scale *= FACTOR;
    }
    levels
}

/// An image whose pixels are the means of `times` x `times`.
fn shrink(compute: &Compute, image: &RgbImage, times: u32) -> Result<RgbImage> {
    let (width, height) = image.dimensions();
    let size = ((width / times).max(1), (height / times).max(1));
    let whole = Crop::whole(width, height);
    let bands: Vec<u32> = (0..size.1).step_by(BAND as usize).collect();
    let made = crate::task::each(compute, &bands, |&top| {
        let mut bytes = Vec::with_capacity(size.0 as usize * BAND as usize * 3);
        let rows = top..(top + BAND).min(size.1);
        average_rows(image, whole, size, rows, |row| {
            bytes.extend(row.iter().map(|value| value.round() as u8));
        });
        Ok(bytes)
    });
    let made: Result<Vec<_>> = made.into_iter().collect();
    RgbImage::from_raw(size.0, size.1, made?.concat())
        .ok_or_else(|| super::broken("an image of another size"))
}

/// The image at every size, as the first network sees it.
fn smaller(compute: &Compute, image: &RgbImage, levels: &[Level]) -> Result<Vec<Vec<f32>>> {
    let whole = Crop::whole(image.width(), image.height());
    let bands = |(index, level): (usize, &Level)| {
        let tops = (0..level.height).step_by(BAND as usize);
        tops.map(|top| (index, top)).collect::<Vec<_>>()
    };
    let bands: Vec<_> = levels.iter().enumerate().flat_map(bands).collect();
    let made = crate::task::each(compute, &bands, |&(index, top)| {
        let level = &levels[index];
        let mut values = Vec::with_capacity(level.width as usize * BAND as usize * 3);
        let rows = top..(top + BAND).min(level.height);
        average_rows(image, whole, (level.width, level.height), rows, |row| {
            values.extend(row.iter().map(|value| seen(*value)));
        });
        Ok(values)
    });
    let mut all = vec![Vec::new(); levels.len()];
    for (&(index, _), values) in bands.iter().zip(made) {
        all[index].extend(values?);
    }
    Ok(all)
}

/// A value of a pixel as the networks were trained to see it.
fn seen(value: f32) -> f32 {
    (value - 127.5) * (1.0 / 128.0)
}

/// The squares that the first network takes for faces; no more than [`MOST`], the surest.
fn squares_of(answer: &[f32], level: &Level) -> Vec<Judged> {
    // A pooling of two rounds up between convolutions of three.
    let columns = ((level.width - 2).div_ceil(STEP) - 4).max(1);
    let scale = level.scale as f32;
    let place = |at: u32| ((STEP * at + 1) as f32 / scale).floor();
    let end = |at: u32| ((STEP * at + CELL) as f32 / scale).floor();
    let mut found = Vec::new();
    for (index, numbers) in answer.as_chunks::<NUMBERS>().0.iter().enumerate() {
        let (row, column) = (index as u32 / columns, index as u32 % columns);
        let area = Area::new(place(column), place(row), end(column), end(row));
        let judged = Judged::of(&area, numbers);
        if judged.score >= SCORES[0] {
            found.push(judged);
        }
    }
    if found.len() > MOST[0] {
        found.sort_by(|a, b| surer(a.score, b.score));
        found.truncate(MOST[0]);
    }
    found
}

/// Of those that overlap more than `overlap`, the surest; surest first.
fn thinned(found: Vec<Judged>, overlap: f32) -> Vec<Judged> {
    let boxes: Vec<_> = found.iter().map(|one| (one.score, one.area)).collect();
    let kept = suppress(&boxes, overlap, boxes.len());
    kept.into_iter().map(|index| found[index]).collect()
}

/// A box with its edges moved by parts of a width and a height.
fn shifted(area: &Area, moved: &[f32; 4], width: f32, height: f32) -> Area {
    Area::new(
        area.left + moved[0] * width,
        area.top + moved[1] * height,
        area.right + moved[2] * width,
        area.bottom + moved[3] * height,
    )
}

/// The square around the middle of a box, as wide as its longer edge.
fn square(area: Area) -> Area {
    let (width, height) = (area.right - area.left, area.bottom - area.top);
    let side = width.max(height);
    let left = area.left + width * 0.5 - side * 0.5;
    let top = area.top + height * 0.5 - side * 0.5;
    Area::new(left, top, left + side, top + side)
}

/// Whether two boxes have more in common than 0.7 of the smaller; the reference counts first and last pixels.
fn covers(a: &Area, b: &Area) -> bool {
    let wider = |area: &Area| Area::new(area.left, area.top, area.right + 1.0, area.bottom + 1.0);
    let (a, b) = (wider(a), wider(b));
    a.common(&b) > OVERLAP[1] * a.size().min(b.size())
}

/// The pixels of a square that lie in the image; `None` when there are none.
fn pixels_of(area: &Area, (width, height): (u32, u32)) -> Option<Crop> {
    if !area.is_finite() {
        return None;
    }
    // The reference counts from one.
    let first = |edge: f32| (edge.trunc() as i64).max(1) - 1;
    let last = |edge: f32, length: u32| (edge.trunc() as i64).min(i64::from(length));
    let (left, right) = (first(area.left), last(area.right, width));
    let (top, bottom) = (first(area.top), last(area.bottom, height));
    (left < right && top < bottom).then(|| Crop {
        left: left as u32,
        top: top as u32,
        width: (right - left) as u32,
        height: (bottom - top) as u32,
    })
}

/// What a network says of squares of an image; of those outside the image nothing.
fn judge<const N: usize>(
    compute: &Compute,
    network: &Network,
    image: &RgbImage,
    squares: &[Area],
    side: usize,
) -> Result<Vec<(Area, [f32; N])>> {
    let shown: Vec<(Area, Crop)> = squares
        .iter()
        .filter_map(|area| Some((*area, pixels_of(area, image.dimensions())?)))
        .collect();
    let mut judged = Vec::with_capacity(shown.len());
    for some in shown.chunks(TOGETHER) {
        let pixels = crate::task::each(compute, some, |(_, crop)| {
            let mut values = average(image, *crop, (side as u32, side as u32));
            for value in &mut values {
                *value = seen(*value);
            }
            Ok(values)
        });
        let pixels: Result<Vec<_>> = pixels.into_iter().collect();
        let mut pixels = pixels?.concat();
        let count = some.len().next_multiple_of(PADDED);
        pixels.resize(count * side * side * 3, 0.0);
        let answers = network.run(compute, &[count, side, side, 3], &pixels)?;
        let answers = answers.only()?.as_chunks::<N>().0;
        judged.extend(
            some.iter()
                .map(|(area, _)| *area)
                .zip(answers.iter().copied()),
        );
    }
    Ok(judged)
}
