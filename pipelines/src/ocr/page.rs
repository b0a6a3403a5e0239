//! A page's pixels, and the looks at it: at all of it, at its parts, and at the page laid on its side.

use super::detect::{self, Line};
use super::rectangle::sides;
use super::tiles::{join, tiles};
use super::{LONGEST, Prepared, Quad, resize};
use crate::error::Result;
use crate::image::{Decoded, Detail};
use crate::vision::Point;
use crate::vision::network::Network;
use escala_models::Compute;
use image::{RgbImage, imageops};

/// Most pixels that lines are cut from; a larger image is made smaller.
const PIXELS: u64 = 24_000_000;
/// An image whose longer side is longer than so many shorter ones loses too much when it is shrunk.
const SLENDER: f32 = 2.5;
/// Lines that are lower than this where they are searched for are seen poorly, in pixels.
const LOW: f32 = 14.0;
/// A line this many times higher than wide runs up or down.
const UPRIGHT: f32 = 1.5;

/// A page.
#[derive(Debug)]
pub(super) struct Page {
    /// Columns of the image.
    pub width: u32,
    /// Rows of the image.
    pub height: u32,
    prepared: Prepared,
    /// Whether it lies on its side: what was its right edge is above.
    turned: bool,
}

impl Page {
    /// How much of an image of this size a look at all of it needs.
    pub fn detail(width: u32, height: u32) -> Detail {
        if is_slender(width, height) {
            Self::full_detail(width, height)
        } else {
            Detail::Longer(LONGEST)
        }
    }

    /// How much of it looks at its parts need.
    fn full_detail(width: u32, height: u32) -> Detail {
        if u64::from(width) * u64::from(height) <= PIXELS {
            Detail::Whole
        } else {
            Detail::Longer(2 * LONGEST)
        }
    }

    /// The page of an image.
    pub fn new(decoded: Decoded) -> Self {
        let Decoded {
            pixels,
            width,
            height,
        } = decoded;
        Self {
            width,
            height,
            prepared: Prepared::new(limited(pixels), (width, height)),
            turned: false,
        }
    }

    /// What lines are cut from.
    pub fn pixels(&self) -> &RgbImage {
        &self.prepared.image
    }

    /// Corners in what lines are cut from as those in the image.
    pub fn original(&self, quad: Quad) -> Quad {
        quad.map(|point| {
            let Point { x, y } = self.prepared.original(point);
            if self.turned {
                Point::new(self.width as f32 - y, x)
            } else {
                Point::new(x, y)
            }
        })
    }

    /// All lines, by as many looks as the page needs. `again` decodes the image once more, in more detail.
    pub fn lines(
        &mut self,
        detector: &Network,
        compute: &Compute,
        again: impl FnOnce(Detail) -> Result<Decoded>,
    ) -> Result<Vec<Line>> {
        let mut lines = look(&self.prepared, detector, compute)?;
        let shrunk = self.prepared.smaller.is_some();
        let in_parts = shrunk && (is_slender(self.width, self.height) || self.is_low(&lines));
        if in_parts {
            let full = Self::full_detail(self.width, self.height);
            let smaller = self.pixels().width() < self.width;
            if smaller && full != Self::detail(self.width, self.height) {
                *self = Self::new(again(full)?);
            }
            lines = self.look_at_parts(detector, compute)?;
        }
        if is_on_its_side(&lines) {
            let page = self.on_its_side();
            let found = if in_parts {
                page.look_at_parts(detector, compute)?
            } else {
                look(&page.prepared, detector, compute)?
            };
            if !is_on_its_side(&found) {
                *self = page;
                return Ok(found);
            }
        }
        Ok(lines)
    }

    /// Whether a quarter of the lines or more are too low, where they were searched for, to be seen well.
    fn is_low(&self, lines: &[Line]) -> bool {
        let searched = self.prepared.searched().height() as f32;
        let scale = searched / self.pixels().height().max(1) as f32;
        let height = |line: &Line| {
            let (a, b) = sides(&line.quad);
            a.min(b) * scale
        };
        4 * lines.iter().filter(|line| height(line) < LOW).count() > lines.len()
    }

    /// The page laid on its other side: what is its right edge comes to be the upper one.
    fn on_its_side(&self) -> Self {
        let pixels = imageops::rotate270(&*self.prepared.unpadded());
        Self {
            width: self.width,
            height: self.height,
            prepared: Prepared::new(pixels, (self.height, self.width)),
            turned: true,
        }
    }

    /// Lines of its parts, one after the other.
    fn look_at_parts(&self, detector: &Network, compute: &Compute) -> Result<Vec<Line>> {
        let (width, height) = self.pixels().dimensions();
        let mut lines = Vec::new();
        for (index, crop) in tiles(width, height).into_iter().enumerate() {
            let part =
                imageops::crop_imm(self.pixels(), crop.left, crop.top, crop.width, crop.height);
            let part = Prepared::new(part.to_image(), (crop.width, crop.height));
            for line in look(&part, detector, compute)? {
                let place = |point| {
                    let Point { x, y } = part.original(point);
                    Point::new(x + crop.left as f32, y + crop.top as f32)
                };
                let quad = line.quad.map(place);
                lines.push((index, Line { quad, ..line }));
            }
        }
        Ok(join(lines))
    }
}

fn is_slender(width: u32, height: u32) -> bool {
    let (longer, shorter) = (width.max(height), width.min(height));
    longer > LONGEST && longer as f32 > SLENDER * shorter as f32
}

/// An image of at most [`PIXELS`] pixels.
fn limited(image: RgbImage) -> RgbImage {
    let (width, height) = image.dimensions();
    let pixels = f64::from(width) * f64::from(height);
    if pixels <= PIXELS as f64 {
        return image;
    }
    let scale = (PIXELS as f64 / pixels).sqrt();
    let to = |side: u32| ((f64::from(side) * scale) as u32).max(1);
    resize(&image, to(width), to(height)).into_owned()
}

fn look(prepared: &Prepared, detector: &Network, compute: &Compute) -> Result<Vec<Line>> {
    let input = detect::input(prepared.searched());
    let (columns, rows) = (input.width, input.height);
    let shape = [1, 3, rows as usize, columns as usize];
    let map = detector.run_filled(compute, &shape, |planes| {
        input.fill(prepared.searched(), planes);
        drop(input);
    })?;
    detect::lines(map.only()?, columns, rows, prepared)
}

/// Whether more of the text runs up or down than across.
fn is_on_its_side(lines: &[Line]) -> bool {
    let mut sum = 0.0;
    for line in lines {
        let [a, b, c, d] = line.quad;
        let width = a.distance(b).max(c.distance(d));
        let height = a.distance(d).max(b.distance(c));
        if height >= UPRIGHT * width {
            sum += height;
        } else if width >= UPRIGHT * height {
            sum -= width;
        }
    }
    sum > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(width: f32, height: f32) -> Line {
        let corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)];
        Line {
            quad: corners.map(|(x, y)| Point::new(x, y)),
            score: 1.0,
        }
    }

    fn page(size: (u32, u32)) -> Page {
        Page::new(Decoded {
            pixels: RgbImage::new(size.0, size.1),
            width: size.0,
            height: size.1,
        })
    }

    #[test]
    fn most_of_the_text_says_how_a_page_lies() {
        assert!(!is_on_its_side(&[]));
        assert!(is_on_its_side(&[
            line(20.0, 200.0),
            line(30.0, 30.0),
            line(60.0, 30.0)
        ]));
        assert!(!is_on_its_side(&[line(20.0, 200.0), line(250.0, 30.0)]));
    }

    #[test]
    fn corners_of_a_page_on_its_side_are_those_of_the_image() {
        // The second is padded, the third shrunk.
        for size in [(640, 320), (80, 900), (3000, 2400)] {
            let page = page(size).on_its_side();
            let (width, height) = (size.0 as f32, size.1 as f32);
            let (across, padding) = (page.pixels().width() as f32, page.prepared.padding as f32);
            let down = page.pixels().height() as f32 - padding;
            let corners = [
                (0.0, padding),
                (across, padding),
                (across, down),
                (0.0, down),
            ];
            let found = page.original(corners.map(|(x, y)| Point::new(x, y)));
            let wanted = [(width, 0.0), (width, height), (0.0, height), (0.0, 0.0)];
            for (corner, (x, y)) in found.iter().zip(wanted) {
                assert!(corner.distance(Point::new(x, y)) < 0.01, "{found:?}");
            }
        }
    }

    #[test]
    fn large_images_are_limited() {
        let image = limited(RgbImage::new(9000, 4000));
        let (width, height) = image.dimensions();
        assert!(u64::from(width) * u64::from(height) <= PIXELS);
        assert!((width as f32 / height as f32 - 2.25).abs() < 0.01);
        assert_eq!(Page::detail(1000, 9000), Detail::Whole);
        assert_eq!(Page::detail(4000, 3000), Detail::Longer(LONGEST));
    }
}
