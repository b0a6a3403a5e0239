//! The render task: from encoded images and marks to a PNG file, as the engine runs it.
//!
//! It has no model. Decoding and encoding a picture costs as much as a small network and holds as much memory, so it is
//! admitted, bounded and cancelled like one.

use super::paint::{Canvas, Colour};
use super::{INK, LONGEST, Mark, PAPER, Pen, SEAM, crowded, draw};
use crate::error::{Error, Kind, Result};
use crate::image::resize::{Crop, bilinear};
use crate::image::{ImageLimits, decode};
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit, each};
use crate::vision::Point;
use bytes::Bytes;
use escala_models::Compute;
use escala_weights::{Progress, Store};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};

/// An image and what is drawn on it.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The encoded image.
    pub image: Bytes,
    /// In pixels of the image as it is meant to be seen.
    pub marks: Vec<Mark>,
}

/// A line from a point of the image on the left to one of that on the right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// In pixels of the image on the left.
    pub from: Point,
    /// In pixels of the image on the right.
    pub to: Point,
    /// In this colour.
    pub colour: Colour,
}

/// What a picture is made of.
#[derive(Clone, Debug)]
pub struct RenderInput {
    /// The image, or that on the left.
    pub layer: Layer,
    /// One that is laid on the right of it, scaled to the same height, and what joins the two.
    pub beside: Option<(Layer, Vec<Link>)>,
}

impl RenderInput {
    /// One image.
    pub fn one(image: Bytes, marks: Vec<Mark>) -> Self {
        let layer = Layer { image, marks };
        Self {
            layer,
            beside: None,
        }
    }
}

/// Pictures of answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct RenderTask {
    limits: ImageLimits,
}

impl RenderTask {
    /// The task for images within `limits`.
    pub fn new(limits: ImageLimits) -> Self {
        Self { limits }
    }
}

impl Task for RenderTask {
    type Input = RenderInput;
    type Output = Bytes;
    type Pipeline = RenderPipeline;

    fn name(&self) -> &'static str {
        "render"
    }

    fn model(&self) -> &str {
        "none"
    }

    fn fetch(&self, _: &Store, _: &dyn Progress) -> std::result::Result<(), escala_weights::Error> {
        Ok(())
    }

    fn unit(&self) -> Unit {
        Unit::Pixels
    }

    fn cost(&self, input: &RenderInput) -> u64 {
        let beside = input.beside.iter().map(|(layer, _)| layer);
        let layers = std::iter::once(&input.layer).chain(beside);
        let pixels = layers.map(|layer| self.limits.cost(&layer.image));
        pixels.sum::<u64>() + 1
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_cost: 16_000_000,
            batch_items: 8,
            queue_items: 256,
            queue_cost: 400_000_000,
        }
    }

    fn load(&self, _: &LoadContext<'_>) -> Result<RenderPipeline> {
        Ok(RenderPipeline {
            limits: self.limits,
        })
    }
}

/// What draws pictures.
pub struct RenderPipeline {
    limits: ImageLimits,
}

impl Pipeline for RenderPipeline {
    type Input = RenderInput;
    type Output = Bytes;

    fn memory(&self) -> u64 {
        0
    }

    fn sample(&self) -> RenderInput {
        let image = RgbImage::from_pixel(128, 128, Rgb([90, 120, 60]));
        RenderInput::one(crate::vision::sample(&image), Vec::new())
    }

    fn run(&self, compute: &Compute, batch: &[RenderInput]) -> Vec<Result<Bytes>> {
        each(compute, batch, |input| render(input, &self.limits))
    }
}

/// The picture as a PNG file.
///
/// # Errors
/// As [`decode`]; `Internal` when the picture cannot be encoded.
pub fn render(input: &RenderInput, limits: &ImageLimits) -> Result<Bytes> {
    let left = seen(&input.layer.image, limits)?;
    let picture = match &input.beside {
        None => {
            let marks = moved(&input.layer.marks, left.scale, Point::default());
            let (width, height) = left.image.dimensions();
            let reads = |mark: &Mark| {
                matches!(
                    mark,
                    Mark::Outline {
                        caption: Some(_),
                        ..
                    }
                )
            };
            if marks.iter().any(reads) && crowded(width, height, &marks) {
                pages(left, &input.layer.marks)
            } else {
                let mut picture = left.image;
                draw(&mut picture, &marks);
                picture
            }
        }
        Some((layer, links)) => {
            let right = seen(&layer.image, limits)?;
            beside([(left, &input.layer.marks), (right, &layer.marks)], links)
        }
    };
    png(&picture)
}

/// An image no larger than a picture may be.
struct Seen {
    image: RgbImage,
    /// Its pixels for one of the file's.
    scale: f32,
}

/// Decodes an image and scales down what is too large to be looked at.
fn seen(image: &[u8], limits: &ImageLimits) -> Result<Seen> {
    let image = decode(image, limits)?;
    let longest = image.width().max(image.height());
    if longest <= LONGEST {
        return Ok(Seen { image, scale: 1.0 });
    }
    let scale = LONGEST as f32 / longest as f32;
    let to = |side: u32| ((side as f32 * scale).round() as u32).clamp(1, LONGEST);
    let (width, height) = (to(image.width()), to(image.height()));
    Ok(Seen {
        image: scaled(&image, width, height),
        scale,
    })
}

fn scaled(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let whole = Crop::whole(image.width(), image.height());
    bilinear(image, whole, width, height)
}

fn moved(marks: &[Mark], scale: f32, by: Point) -> Vec<Mark> {
    marks.iter().map(|mark| mark.moved(scale, by)).collect()
}

/// An image without captions, and beside it a page on which each stands where what it names is.
fn pages(seen: Seen, marks: &[Mark]) -> RgbImage {
    let (width, height) = seen.image.dimensions();
    let page = Seen {
        image: RgbImage::from_pixel(width, height, Rgb(PAPER)),
        scale: seen.scale,
    };
    let mut outlines = marks.to_vec();
    let mut lines = Vec::new();
    for mark in &mut outlines {
        if let Mark::Outline {
            corners, caption, ..
        } = mark
            && let &[a, b, c, d] = &corners[..]
        {
            lines.extend(caption.take().map(|text| Mark::Line {
                corners: [a, b, c, d],
                text,
            }));
        }
    }
    beside([(seen, &outlines), (page, &lines)], &[])
}

/// Two images of the same height, one beside the other.
fn beside(layers: [(Seen, &Vec<Mark>); 2], links: &[Link]) -> RgbImage {
    let sizes = [0, 1].map(|side| layers[side].0.image.dimensions());
    let Side {
        height,
        widths,
        gap,
    } = Side::of(sizes);
    let mut picture = RgbImage::from_pixel(widths[0] + gap + widths[1], height, Rgb(INK));
    let mut places = [(1.0, Point::default()); 2];
    let mut marks = Vec::new();
    let mut left = 0;
    for (side, (seen, on_it)) in layers.into_iter().enumerate() {
        let (width, (_, rows)) = (widths[side], sizes[side]);
        let scale = height as f32 / rows as f32;
        let image = match seen.image.dimensions() == (width, height) {
            true => seen.image,
            false => scaled(&seen.image, width, height),
        };
        image::imageops::replace(&mut picture, &image, i64::from(left), 0);
        places[side] = (scale * seen.scale, Point::new(left as f32, 0.0));
        marks.extend(moved(on_it, places[side].0, places[side].1));
        left += width + gap;
    }
    let pen = Pen::of(picture.width() / 2, picture.height());
    let (stroke, seam) = (0.8 * pen.stroke as f32, pen.seam as f32);
    let at = |side: usize, point: Point| {
        let (scale, by) = places[side];
        Point::new(point.x * scale + by.x, point.y * scale + by.y)
    };
    let mut canvas = Canvas(&mut picture);
    for link in links {
        let (from, to) = (at(0, link.from), at(1, link.to));
        canvas.line(from, to, stroke + 2.0 * seam, INK, SEAM);
        canvas.line(from, to, stroke, link.colour, 1.0);
    }
    draw(&mut picture, &marks);
    picture
}

/// How two images lie beside each other.
#[derive(Debug, PartialEq, Eq)]
struct Side {
    height: u32,
    widths: [u32; 2],
    gap: u32,
}

impl Side {
    /// Both as high as the higher one, unless that would be too large.
    fn of(sizes: [(u32, u32); 2]) -> Self {
        let tallest = sizes[0].1.max(sizes[1].1).max(1);
        let gap = (tallest / 64).clamp(4, 32);
        let wide = sizes.map(|(width, height)| f64::from(width) / f64::from(height.max(1)));
        let room = f64::from(LONGEST - gap);
        let height = f64::from(tallest.min(LONGEST)).min(room / (wide[0] + wide[1]));
        let whole = |value: f64| (value.round() as u32).clamp(1, LONGEST);
        let most = LONGEST - gap - 1;
        let first = whole(wide[0] * height).min(most);
        Self {
            height: whole(height),
            widths: [first, whole(wide[1] * height).min(LONGEST - gap - first)],
            gap,
        }
    }
}

fn png(picture: &RgbImage) -> Result<Bytes> {
    let mut file = Vec::new();
    let (width, height) = picture.dimensions();
    PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive)
        .write_image(picture.as_raw(), width, height, ExtendedColorType::Rgb8)
        .map_err(|source| {
            Error::new(Kind::Internal, "the picture cannot be encoded").with_source(source)
        })?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::Area;
    use proptest::prelude::*;

    const RED: Colour = [255, 0, 0];
    const ANY: ImageLimits = ImageLimits {
        max_bytes: usize::MAX,
        max_pixels: 100_000_000,
        max_side: 10_000,
        min_side: 1,
    };

    fn file(width: u32, height: u32, colour: Colour) -> Bytes {
        png(&RgbImage::from_pixel(width, height, Rgb(colour))).unwrap()
    }

    fn boxed(left: f32, top: f32, right: f32, bottom: f32) -> Mark {
        Mark::Box {
            area: Area::new(left, top, right, bottom),
            caption: Vec::new(),
            colour: RED,
        }
    }

    fn picture(input: &RenderInput) -> RgbImage {
        let file = render(input, &ANY).unwrap();
        assert!(file.starts_with(b"\x89PNG"));
        image::load_from_memory(&file).unwrap().into_rgb8()
    }

    #[test]
    fn an_image_keeps_its_size() {
        let marks = vec![boxed(20.0, 30.0, 80.0, 90.0)];
        let drawn = picture(&RenderInput::one(file(120, 100, [9; 3]), marks));
        assert_eq!(drawn.dimensions(), (120, 100));
        assert_eq!(
            (drawn.get_pixel(20, 60).0, drawn.get_pixel(50, 60).0),
            (RED, [9; 3])
        );
    }

    #[test]
    fn what_is_too_large_is_scaled_down_with_its_marks() {
        let marks = vec![boxed(2500.0, 20.0, 4999.0, 80.0)];
        let drawn = picture(&RenderInput::one(file(5000, 100, [9; 3]), marks));
        assert_eq!(drawn.dimensions(), (LONGEST, 82));
        let rows: Vec<u32> = (0..LONGEST)
            .filter(|&x| drawn.get_pixel(x, 40).0 == RED)
            .collect();
        assert_eq!(rows, [2048, 2049, 4093, 4094]);
    }

    #[test]
    fn two_images_stand_beside_each_other() {
        let layer = |image| Layer {
            image,
            marks: vec![boxed(10.0, 10.0, 90.0, 90.0)],
        };
        let blue = [0, 0, 255];
        let link = Link {
            from: Point::new(90.0, 50.0),
            to: Point::new(10.0, 50.0),
            colour: [0, 255, 0],
        };
        let input = RenderInput {
            layer: layer(file(100, 100, [9; 3])),
            beside: Some((layer(file(200, 400, blue)), vec![link])),
        };
        let drawn = picture(&input);
        // The lower one is four times as large, and 400 / 64 are between them.
        assert_eq!(drawn.dimensions(), (400 + 6 + 200, 400));
        assert_eq!(drawn.get_pixel(200, 20).0, [9; 3]);
        assert_eq!(drawn.get_pixel(403, 20).0, INK);
        assert_eq!(drawn.get_pixel(500, 20).0, [0, 0, 255]);
        // The boxes at their scales.
        assert_eq!(drawn.get_pixel(40, 300).0, RED);
        assert_eq!(drawn.get_pixel(416, 30).0, RED);
        // From the middle of the left box to that of the right.
        // Its edges are smooth.
        let [red, green, blue] = drawn.get_pixel(388, 125).0;
        assert!(green > 150 && red < 20 && blue < 20, "{red} {green} {blue}");
    }

    #[test]
    fn dense_text_has_a_page_of_its_own() {
        let line = |index: u8| {
            let top = 10.0 + 22.0 * f32::from(index);
            let bottom = top + 20.0;
            Mark::Outline {
                corners: [(10.0, top), (290.0, top), (290.0, bottom), (10.0, bottom)]
                    .map(|(x, y)| Point::new(x, y))
                    .to_vec(),
                caption: Some("words that fill a line of text".to_owned()),
                colour: RED,
            }
        };
        let of = |lines: u8| {
            let marks = (0..lines).map(line).collect();
            picture(&RenderInput::one(file(300, 200, [200; 3]), marks))
        };
        assert_eq!(of(1).dimensions(), (300, 200));
        let both = of(8);
        assert_eq!(both.dimensions(), (604, 200));
        // Ink on the paper at the right, nothing written over the image at the left.
        assert_eq!(both.get_pixel(600, 5).0, PAPER);
        let inked = |columns: std::ops::Range<u32>, y: u32| {
            let mut pixels = columns.map(|x| both.get_pixel(x, y).0);
            pixels.any(|pixel| pixel.iter().all(|&value| value < 60))
        };
        for index in 0..8 {
            let mut rows = 16 + 22 * index..24 + 22 * index;
            assert!(rows.clone().any(|y| inked(314..594, y)), "line {index}");
            assert!(!rows.any(|y| inked(20..280, y)), "line {index}");
        }
    }

    #[test]
    fn what_is_no_image_fails_as_it_does_without_drawing() {
        let broken = Bytes::from_static(b"no image");
        let error = render(&RenderInput::one(broken.clone(), Vec::new()), &ANY).unwrap_err();
        let wanted = decode(&broken, &ANY).unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (wanted.kind(), wanted.message())
        );
        let large = file(200, 100, [0; 3]);
        let limits = ImageLimits {
            max_side: 150,
            ..ANY
        };
        let error = render(&RenderInput::one(large, Vec::new()), &limits).unwrap_err();
        assert_eq!(error.kind(), Kind::TooLarge);
    }

    proptest! {
        #[test]
        fn two_images_are_never_too_large_together(
            sizes in prop::array::uniform2((1_u32..=10_000, 1_u32..=10_000)),
        ) {
            let side = Side::of(sizes);
            prop_assert!(side.widths.iter().all(|&width| width > 0) && side.height > 0);
            prop_assert!(side.height <= LONGEST);
            prop_assert!(side.widths[0] + side.gap + side.widths[1] <= LONGEST);
        }
    }
}
