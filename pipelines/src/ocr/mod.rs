//! Text in images: where its lines are, which way up they are, and what they say.
//!
//! ```text
//! prepare     searched at most 2000 pixels long, very flat images padded
//!   detect    a map of how likely each pixel is text ── regions ── quadrangles
//!     rectify each quadrangle becomes an upright picture; upside-down ones are turned
//!       recognise   pictures become characters, line by line; words by their spaces
//!         order     rows from the top, each from the left, as seen along the text
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | [`task`] | the way from a file to lines, and when a page needs another look |
//! | [`page`] | a page's pixels, and its looks: at all of it, at [`tiles`], on its side |
//! | [`detect`], [`rectangle`] | lines from the detector's map, and the smallest rectangle around points |
//! | [`rectify`] | pictures of lines |
//! | [`recognise`], [`blanks`] | characters and words; the columns of a line without ink |
//! | [`order`] | reading order |
//! | [`filter`] | which words are wanted |
//!
//! Networks: PP-OCRv6 small. Reference for everything around them: rapidocr 3.10.0 with its defaults.

pub mod blanks;
pub mod detect;
pub mod filter;
pub mod order;
mod page;
pub mod recognise;
pub mod rectangle;
pub mod rectify;
pub mod task;
pub mod tiles;

pub use task::{OcrFound, OcrInput, OcrPipeline, OcrTask};

use crate::error::{Error, Kind};
use crate::image::resize::Crop;
use crate::vision::Point;
use crate::vision::resample::{Canvas, Grid, bilinear_rows};
use image::{RgbImage, SubImage, imageops};
use std::borrow::Cow;

/// Four corners, clockwise from the upper left one as the text is read.
pub type Quad = [Point; 4];

/// Longest side of an image that is searched as it is.
const LONGEST: u32 = 2000;
/// An image of no more rows is padded.
const FLAT: u32 = 30;
/// So is one that is wider than this many times its height.
const FLATNESS: f32 = 8.0;
/// Sides of what the networks see are multiples of this.
const STEP: u32 = 32;

/// An image as it is searched, and how its pixels lie in the original.
#[derive(Debug)]
pub struct Prepared {
    /// The image that lines are cut from, padded.
    pub image: RgbImage,
    /// A smaller copy that is searched for lines, where the image is too large to be.
    smaller: Option<RgbImage>,
    /// Original columns for one of the image's.
    across: f32,
    /// Original rows for one of the image's.
    down: f32,
    /// Black rows above.
    padding: u32,
}

impl Prepared {
    /// Shrinks what is too large and pads what is too flat to be searched.
    /// `width` and `height` are the original's, of which `image` may be a smaller copy.
    pub fn new(image: RgbImage, (width, height): (u32, u32)) -> Self {
        let longest = width.max(height);
        let shortest = width.min(height);
        let scale = if longest > LONGEST {
            LONGEST as f32 / longest as f32
        } else if shortest < FLAT {
            FLAT as f32 / shortest.max(1) as f32
        } else {
            1.0
        };
        let to = |side: u32| {
            let steps = (side as f32 * scale / STEP as f32).round() as u32;
            (steps * STEP).clamp(STEP, LONGEST)
        };
        let resized = |image: &RgbImage| resize(image, to(width), to(height)).into_owned();
        let smaller = (scale < 1.0).then(|| resized(&image));
        let image = if scale > 1.0 { resized(&image) } else { image };
        let (columns, rows) = image.dimensions();
        let (across, down) = (width as f32 / columns as f32, height as f32 / rows as f32);
        let flat = columns as f32 / rows as f32 > FLATNESS;
        let padding = if smaller.is_none() && (rows <= FLAT || flat) {
            let wanted = ((columns as f32 / FLATNESS) as u32).max(FLAT) * 2;
            wanted.abs_diff(rows) / 2
        } else {
            0
        };
        let image = if padding == 0 {
            image
        } else {
            let mut padded = RgbImage::new(columns, rows + 2 * padding);
            imageops::replace(&mut padded, &image, 0, i64::from(padding));
            padded
        };
        Self {
            image,
            smaller,
            across,
            down,
            padding,
        }
    }

    /// What is searched for lines.
    pub fn searched(&self) -> &RgbImage {
        self.smaller.as_ref().unwrap_or(&self.image)
    }

    /// The image that lines are cut from, without what pads it.
    fn unpadded(&self) -> SubImage<&RgbImage> {
        let (width, height) = self.image.dimensions();
        let rows = height.saturating_sub(2 * self.padding);
        imageops::crop_imm(&self.image, 0, self.padding, width, rows)
    }

    /// Where a point of the prepared image lies in the original.
    pub fn original(&self, point: Point) -> Point {
        Point::new(
            point.x * self.across,
            (point.y - self.padding as f32) * self.down,
        )
    }
}

/// Resizes as OpenCV does (bilinear).
fn resize(image: &RgbImage, width: u32, height: u32) -> Cow<'_, RgbImage> {
    if image.dimensions() == (width, height) {
        return Cow::Borrowed(image);
    }
    let whole = Canvas::tight(Crop::whole(image.width(), image.height()));
    let mut bytes = Vec::with_capacity(width as usize * height as usize * 3);
    bilinear_rows(image, whole, width, height, Grid::Centre, |row| {
        // Rounded: values are not negative.
        bytes.extend(row.iter().map(|value| (value + 0.5) as u8));
    });
    let image = RgbImage::from_raw(width, height, bytes);
    Cow::Owned(image.expect("three values a pixel"))
}

/// Planes of blue, green and red, −1 to 1, `columns` wide: the image at the left, 0 beside it.
fn planes(image: &RgbImage, columns: u32) -> Vec<f32> {
    let columns = columns.max(image.width());
    let mut planes = vec![0.0; 3 * image.height() as usize * columns as usize];
    fill_planes(image, columns, &mut planes);
    planes
}

/// Writes the image into planes as [`planes`] makes them; what is beside it stays.
fn fill_planes(image: &RgbImage, columns: u32, planes: &mut [f32]) {
    let (width, height) = image.dimensions();
    let (columns, rows) = (columns as usize, height as usize);
    let values: [f32; 256] = std::array::from_fn(|value| (value as f32 / 255.0 - 0.5) / 0.5);
    let pixels = image.as_raw().as_chunks::<3>().0;
    for (channel, plane) in planes.chunks_exact_mut(rows * columns).enumerate() {
        let lines = plane.chunks_exact_mut(columns);
        for (to, from) in lines.zip(pixels.chunks_exact(width.max(1) as usize)) {
            for (to, pixel) in to.iter_mut().zip(from) {
                *to = values[usize::from(pixel[2 - channel])];
            }
        }
    }
}

fn broken(what: &str) -> Error {
    Error::new(Kind::Internal, format!("a text network gave {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn large_images_shrink_and_flat_ones_are_padded() {
        for (from, to) in [
            ((640, 320), (640, 320)),
            ((4000, 1000), (1984, 512)),
            ((800, 90), (800, 200)),
            ((100, 25), (128, 32)),
            ((20, 20), (32, 32)),
        ] {
            let image = RgbImage::from_pixel(from.0, from.1, Rgb([9; 3]));
            let prepared = Prepared::new(image, from);
            let size = prepared.searched().dimensions();
            assert!(
                size.0.abs_diff(to.0) <= 32 && size.1.abs_diff(to.1) <= 32,
                "{from:?}: {size:?}"
            );
            let size = prepared.image.dimensions();
            // Corners of the part that is not padding are corners of the original.
            let (top, bottom) = (
                Point::new(0.0, prepared.padding as f32),
                Point::new(size.0 as f32, (size.1 - prepared.padding) as f32),
            );
            assert_eq!(prepared.original(top), Point::new(0.0, 0.0));
            let found = prepared.original(bottom);
            assert!(
                found.distance(Point::new(from.0 as f32, from.1 as f32)) < 0.01,
                "{found:?}"
            );
        }
    }

    #[test]
    fn planes_are_blue_green_red_and_padded_with_the_middle() {
        let image = RgbImage::from_pixel(2, 1, Rgb([255, 0, 51]));
        assert_eq!(
            planes(&image, 3),
            [-0.6, -0.6, 0.0, -1.0, -1.0, 0.0, 1.0, 1.0, 0.0]
        );
    }
}
