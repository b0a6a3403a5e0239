//! Strokes on an image: rectangles on whole pixels, lines and dots with smooth edges. What lies outside is cut off.

use crate::vision::{Area, Point};
use image::RgbImage;

/// Red, green, blue.
pub type Colour = [u8; 3];

/// Farther than this from the origin nothing is visible; places are brought nearer before they are counted with.
const FAR: f32 = 1e6;

/// Whole pixels: right and bottom are the first ones outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rect {
    /// First column.
    pub left: i32,
    /// First row.
    pub top: i32,
    /// First column to the right of it.
    pub right: i32,
    /// First row below it.
    pub bottom: i32,
}

impl Rect {
    /// The nearest whole pixels; at least one each way. `None` for what is no place.
    pub fn nearest(area: &Area) -> Option<Self> {
        if !area.is_finite() {
            return None;
        }
        let near = |value: f32| value.clamp(-FAR, FAR).round() as i32;
        let (left, top) = (near(area.left), near(area.top));
        Some(Self {
            left,
            top,
            right: near(area.right).max(left + 1),
            bottom: near(area.bottom).max(top + 1),
        })
    }

    /// From its upper left corner and its size.
    pub fn at(left: i32, top: i32, width: i32, height: i32) -> Self {
        Self {
            left,
            top,
            right: left + width,
            bottom: top + height,
        }
    }

    /// Columns.
    pub fn width(&self) -> i32 {
        (self.right - self.left).max(0)
    }

    /// Rows.
    pub fn height(&self) -> i32 {
        (self.bottom - self.top).max(0)
    }

    /// So many pixels more on each side; fewer when negative.
    pub fn grown(&self, by: i32) -> Self {
        Self {
            left: self.left - by,
            top: self.top - by,
            right: self.right + by,
            bottom: self.bottom + by,
        }
    }

    /// What both have.
    pub fn common(&self, other: &Self) -> Self {
        Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        }
    }

    /// Pixels.
    pub fn size(&self) -> i64 {
        i64::from(self.width()) * i64::from(self.height())
    }
}

/// An image that is painted on.
pub struct Canvas<'a>(pub &'a mut RgbImage);

impl Canvas<'_> {
    /// All of it.
    pub fn whole(&self) -> Rect {
        // Images that were decoded have at most ten thousand pixels a side.
        let side = |side: u32| side.min(FAR as u32) as i32;
        Rect::at(0, 0, side(self.0.width()), side(self.0.height()))
    }

    /// Lays a colour over one pixel; `cover` is 1 where it hides all.
    pub fn blend(&mut self, x: i32, y: i32, colour: Colour, cover: f32) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else {
            return;
        };
        if x >= self.0.width() || y >= self.0.height() {
            return;
        }
        let cover = cover.clamp(0.0, 1.0);
        for (below, above) in self.0.get_pixel_mut(x, y).0.iter_mut().zip(colour) {
            let (under, over) = (f32::from(*below), f32::from(above));
            *below = (under + (over - under) * cover).round() as u8;
        }
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, rect: Rect, colour: Colour, cover: f32) {
        let rect = rect.common(&self.whole());
        for y in rect.top..rect.bottom {
            for x in rect.left..rect.right {
                self.blend(x, y, colour, cover);
            }
        }
    }

    /// The border of a rectangle, `width` pixels inwards. No pixel is painted twice.
    pub fn frame(&mut self, rect: Rect, width: i32, colour: Colour, cover: f32) {
        let inner = rect.grown(-width);
        if inner.width() == 0 || inner.height() == 0 {
            return self.fill(rect, colour, cover);
        }
        for side in [
            Rect {
                bottom: inner.top,
                ..rect
            },
            Rect {
                top: inner.bottom,
                ..rect
            },
            Rect {
                right: inner.left,
                top: inner.top,
                bottom: inner.bottom,
                ..rect
            },
            Rect {
                left: inner.right,
                top: inner.top,
                bottom: inner.bottom,
                ..rect
            },
        ] {
            self.fill(side, colour, cover);
        }
    }

    /// A line with round ends. What is no place is not drawn.
    pub fn line(&mut self, from: Point, to: Point, width: f32, colour: Colour, cover: f32) {
        let half = width / 2.0;
        let reach = half + 1.0;
        let whole = self.whole();
        let Some([from, to]) = visible([from, to], whole, reach) else {
            return;
        };
        let (top, bottom) = (from.y.min(to.y) - reach, from.y.max(to.y) + reach);
        let rows = (top.floor() as i32).max(0)..(bottom.ceil() as i32).min(whole.bottom);
        let (across, down) = (to.x - from.x, to.y - from.y);
        let length = across * across + down * down;
        for y in rows {
            let middle = y as f32 + 0.5;
            // The part of the line that can reach this row.
            let at = |row: f32| match down.abs() < 1e-6 {
                true => None,
                false => Some((((row - from.y) / down).clamp(0.0, 1.0)) * across + from.x),
            };
            let ends = match (at(middle - reach), at(middle + reach)) {
                (Some(a), Some(b)) => (a.min(b), a.max(b)),
                _ => (from.x.min(to.x), from.x.max(to.x)),
            };
            let first = ((ends.0 - reach).floor() as i32).max(0);
            let last = ((ends.1 + reach).ceil() as i32).min(whole.right);
            for x in first..last {
                let (dx, dy) = (x as f32 + 0.5 - from.x, middle - from.y);
                let along = match length > 0.0 {
                    true => ((dx * across + dy * down) / length).clamp(0.0, 1.0),
                    false => 0.0,
                };
                let distance = (dx - along * across).hypot(dy - along * down);
                let edge = (half - distance + 0.5).clamp(0.0, 1.0);
                if edge > 0.0 {
                    self.blend(x, y, colour, edge * cover);
                }
            }
        }
    }

    /// A filled circle.
    pub fn dot(&mut self, middle: Point, radius: f32, colour: Colour, cover: f32) {
        self.line(middle, middle, 2.0 * radius, colour, cover);
    }
}

/// The part of a line that lies in `whole` with `margin` around it (Liang and Barsky's clipping).
fn visible([from, to]: [Point; 2], whole: Rect, margin: f32) -> Option<[Point; 2]> {
    let finite = [from.x, from.y, to.x, to.y].iter().all(|v| v.is_finite());
    if !finite || !margin.is_finite() {
        return None;
    }
    let (x, y) = (f64::from(from.x), f64::from(from.y));
    let (across, down) = (f64::from(to.x) - x, f64::from(to.y) - y);
    let margin = f64::from(margin);
    let (mut start, mut end) = (0.0_f64, 1.0_f64);
    for (step, room) in [
        (-across, x - (f64::from(whole.left) - margin)),
        (across, f64::from(whole.right) + margin - x),
        (-down, y - (f64::from(whole.top) - margin)),
        (down, f64::from(whole.bottom) + margin - y),
    ] {
        if step == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if step < 0.0 {
            start = start.max(room / step);
        } else {
            end = end.min(room / step);
        }
    }
    let at = |share: f64| Point::new((x + across * share) as f32, (y + down * share) as f32);
    (start <= end).then(|| [at(start), at(end)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use proptest::prelude::*;

    const WHITE: Colour = [255; 3];

    fn black(width: u32, height: u32) -> RgbImage {
        RgbImage::new(width, height)
    }

    fn painted(image: &RgbImage) -> Vec<(u32, u32)> {
        let pixels = image.enumerate_pixels();
        let touched = pixels.filter(|(_, _, pixel)| pixel.0 != [0; 3]);
        touched.map(|(x, y, _)| (x, y)).collect()
    }

    #[test]
    fn a_frame_is_its_border_and_nothing_else() {
        let mut image = black(12, 10);
        Canvas(&mut image).frame(Rect::at(2, 1, 8, 7), 2, WHITE, 1.0);
        for (x, y, pixel) in image.enumerate_pixels() {
            let inside = (2..10).contains(&x) && (1..8).contains(&y);
            let hollow = (4..8).contains(&x) && (3..6).contains(&y);
            let wanted = if inside && !hollow { 255 } else { 0 };
            assert_eq!(pixel.0, [wanted; 3], "{x}, {y}");
        }
        // Half a cover once, also at the corners.
        let mut image = black(12, 10);
        Canvas(&mut image).frame(Rect::at(2, 1, 8, 7), 2, WHITE, 0.5);
        assert!(image.pixels().all(|p| p.0 == [0; 3] || p.0 == [128; 3]));
        // Thicker than half of it: all of it.
        let mut image = black(12, 10);
        Canvas(&mut image).frame(Rect::at(2, 1, 3, 3), 9, WHITE, 1.0);
        assert_eq!(painted(&image).len(), 9);
    }

    #[test]
    fn what_is_outside_is_cut_off() {
        let mut image = black(10, 10);
        Canvas(&mut image).frame(Rect::at(-5, -5, 9, 30), 1, WHITE, 1.0);
        let column: Vec<_> = (0..10).map(|y| (3, y)).collect();
        assert_eq!(painted(&image), column);
        let mut image = black(10, 10);
        let far = Area::new(-f32::MAX, -f32::MAX, f32::MAX, f32::MAX);
        Canvas(&mut image).frame(Rect::nearest(&far).unwrap(), 3, WHITE, 1.0);
        assert_eq!(painted(&image), []);
    }

    #[test]
    fn lines_are_as_wide_as_they_say() {
        let mut image = black(20, 9);
        // Along the middles of a row's pixels: exactly three rows.
        Canvas(&mut image).line(Point::new(4.5, 4.5), Point::new(15.5, 4.5), 3.0, WHITE, 1.0);
        for x in 4..16 {
            let column: Vec<u8> = (0..9).map(|y| image.get_pixel(x, y).0[0]).collect();
            assert_eq!(column, [0, 0, 0, 255, 255, 255, 0, 0, 0], "column {x}");
        }
        // A dot of radius 2 covers about four times pi.
        let mut image = black(20, 20);
        Canvas(&mut image).dot(Point::new(10.0, 10.0), 2.0, WHITE, 1.0);
        let cover: f32 = image.pixels().map(|p| f32::from(p.0[0]) / 255.0).sum();
        assert!((cover - 4.0 * std::f32::consts::PI).abs() < 0.7, "{cover}");
        // A slanted line is as wide as a horizontal one.
        let mut image = black(100, 100);
        Canvas(&mut image).line(
            Point::new(20.0, 20.0),
            Point::new(85.0, 52.0),
            4.0,
            WHITE,
            1.0,
        );
        let cover: f32 = image.pixels().map(|p| f32::from(p.0[0]) / 255.0).sum();
        let wanted = 65.0_f32.hypot(32.0) * 4.0 + 4.0 * std::f32::consts::PI;
        assert!((cover - wanted).abs() < 2.0, "{cover} is not {wanted}");
    }

    #[test]
    fn what_is_no_place_is_not_drawn() {
        let mut image = black(10, 10);
        let mut canvas = Canvas(&mut image);
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            canvas.line(Point::new(odd, 1.0), Point::new(5.0, 5.0), 2.0, WHITE, 1.0);
            canvas.line(Point::new(1.0, 1.0), Point::new(5.0, 5.0), odd, WHITE, 1.0);
            canvas.dot(Point::new(1.0, odd), 2.0, WHITE, 1.0);
            assert_eq!(Rect::nearest(&Area::new(odd, 0.0, 1.0, 1.0)), None);
        }
        assert_eq!(painted(&image), []);
    }

    proptest! {
        #[test]
        fn any_line_ends_and_colours_nothing_else(
            places in prop::array::uniform4(prop_oneof![any::<f32>(), -20.0_f32..40.0]),
            width in prop_oneof![any::<f32>(), 0.0_f32..8.0],
        ) {
            let mut image = RgbImage::from_pixel(16, 12, Rgb([10, 20, 30]));
            let [a, b, c, d] = places;
            Canvas(&mut image).line(Point::new(a, b), Point::new(c, d), width, [200, 20, 30], 1.0);
            prop_assert!(image.pixels().all(|p| p.0[0] >= 10 && p.0[1..] == [20, 30]));
        }
    }
}
