//! Answers drawn into the pictures they are about: boxes, outlines, points and words.
//!
//! ```text
//! answers   what was found ── marks, in pixels of the image
//!   task    decode, scale down to what can be looked at, lay beside another
//!     draw  strokes ([`paint`]), then captions ([`text`]) where they hide least ([`place`])
//! ```
//!
//! Text that is too dense for captions is written on a page beside its image, each line where it stands.
//!
//! A picture has at most [`LONGEST`] pixels a side; what is drawn grows with it, so that it looks the same at any size.
//! Colours are light and every stroke has a dark seam, so that one of the two stands out from any background.

pub mod answers;
pub mod paint;
pub mod place;
pub mod task;
pub mod text;

pub use task::{Layer, Link, RenderInput, RenderPipeline, RenderTask};

use crate::vision::{Area, Point};
use image::RgbImage;
use paint::{Canvas, Colour, Rect};
use place::Places;
use text::Size;

/// Most pixels along either side of a picture; larger images are scaled down before they are drawn on.
pub const LONGEST: u32 = 4096;

/// Colours that black letters can be read on, each far from its neighbours.
pub const PALETTE: [Colour; 10] = [
    [0, 200, 255],
    [255, 196, 0],
    [255, 110, 120],
    [80, 225, 135],
    [195, 155, 255],
    [255, 145, 40],
    [0, 230, 200],
    [255, 125, 205],
    [180, 225, 0],
    [150, 175, 255],
];

/// For what is fine.
pub const GOOD: Colour = PALETTE[3];
/// For what needs a look.
pub const BAD: Colour = PALETTE[2];

const INK: Colour = [12, 14, 18];
const PAPER: Colour = [250, 250, 250];
/// How dark the seam of a stroke is.
const SEAM: f32 = 0.5;
/// How much of the picture shows through a caption, and through a note.
const CAPTION: f32 = 0.94;
const NOTE: f32 = 0.72;

/// Something to be drawn, in pixels of the image. What is no place (not a number, infinite) is left out.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    /// A box around a thing.
    Box {
        /// Where it is.
        area: Area,
        /// Lines that say what it is.
        caption: Vec<String>,
        /// In this colour.
        colour: Colour,
    },
    /// A closed line through corners.
    Outline {
        /// The corners, in order.
        corners: Vec<Point>,
        /// What it is; letters are no larger than those inside may be.
        caption: Option<String>,
        /// In this colour.
        colour: Colour,
    },
    /// A part of what is outlined already: a thin line without a caption.
    Part {
        /// The corners, in order.
        corners: Vec<Point>,
        /// In this colour.
        colour: Colour,
    },
    /// Points that belong together.
    Dots {
        /// The points.
        points: Vec<Point>,
        /// In this colour.
        colour: Colour,
    },
    /// Lines that belong together.
    Lines {
        /// Their ends.
        lines: Vec<[Point; 2]>,
        /// In this colour.
        colour: Colour,
    },
    /// What was read between corners, written there.
    Line {
        /// Clockwise from the upper left one as the text is read.
        corners: [Point; 4],
        /// What was read.
        text: String,
    },
    /// What is said of the whole image, in one of its corners.
    Note {
        /// Line by line; what has no room is counted.
        lines: Vec<String>,
        /// Of the stripe beside it.
        colour: Colour,
    },
}

impl Mark {
    /// The mark on an image that was scaled and moved.
    pub(crate) fn moved(&self, scale: f32, by: Point) -> Self {
        let to = |point: &Point| Point::new(point.x * scale + by.x, point.y * scale + by.y);
        let all = |points: &[Point]| points.iter().map(to).collect::<Vec<_>>();
        match self.clone() {
            Self::Box {
                area,
                caption,
                colour,
            } => {
                let start = to(&Point::new(area.left, area.top));
                let end = to(&Point::new(area.right, area.bottom));
                Self::Box {
                    area: Area::new(start.x, start.y, end.x, end.y),
                    caption,
                    colour,
                }
            }
            Self::Outline {
                corners,
                caption,
                colour,
            } => Self::Outline {
                corners: all(&corners),
                caption,
                colour,
            },
            Self::Part { corners, colour } => Self::Part {
                corners: all(&corners),
                colour,
            },
            Self::Dots { points, colour } => Self::Dots {
                points: all(&points),
                colour,
            },
            Self::Lines { lines, colour } => Self::Lines {
                lines: lines.iter().map(|[a, b]| [to(a), to(b)]).collect(),
                colour,
            },
            Self::Line { corners, text } => Self::Line {
                corners: corners.each_ref().map(to),
                text,
            },
            note @ Self::Note { .. } => note,
        }
    }
}

/// How thick and large things are on a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pen {
    /// Of a box.
    stroke: i32,
    /// Of the dark seam on each side.
    seam: i32,
    /// Letters.
    size: Size,
}

impl Pen {
    /// For a picture of this size.
    fn of(width: u32, height: u32) -> Self {
        let side = (width as f32 * height as f32).sqrt();
        let stroke = (side / 300.0).ceil().max(1.0) as i32;
        Self {
            stroke,
            seam: (stroke / 3).max(1),
            size: Size((side / 34.0).clamp(12.0, 120.0)),
        }
    }
}

/// Draws marks on a picture: all strokes first, in order, then what is written.
pub fn draw(image: &mut RgbImage, marks: &[Mark]) {
    let pen = Pen::of(image.width(), image.height());
    let mut canvas = Canvas(image);
    for mark in marks {
        stroke(&mut canvas, pen, mark);
    }
    let (captions, _) = captions(canvas.whole(), pen, marks);
    for caption in captions {
        caption.write(&mut canvas);
    }
    for mark in marks {
        if let Mark::Line { corners, text } = mark {
            line(&mut canvas, corners, text);
        }
    }
}

/// Whether captions would hide too much of what is marked on a picture of this size.
pub(crate) fn crowded(width: u32, height: u32, marks: &[Mark]) -> bool {
    /// The part of a caption, on average, that may lie on other things.
    const MOST: f32 = 0.15;
    let side = |side: u32| side.min(LONGEST) as i32;
    let whole = Rect::at(0, 0, side(width), side(height));
    let (captions, hidden) = captions(whole, Pen::of(width, height), marks);
    hidden > MOST * captions.len() as f32
}

/// What is written on a picture, and how much of other things it hides, in captions.
fn captions(whole: Rect, pen: Pen, marks: &[Mark]) -> (Vec<Caption>, f32) {
    let extents: Vec<Option<Rect>> = marks.iter().map(extent).collect();
    let marked = marks.iter().zip(&extents);
    let marked = marked.filter(|(mark, _)| !matches!(mark, Mark::Part { .. } | Mark::Lines { .. }));
    let marked = marked.filter_map(|(_, extent)| *extent).collect();
    let mut places = Places::new(whole, marked);
    let mut captions = Vec::new();
    for mark in marks {
        if let Mark::Note { lines, colour } = mark {
            captions.extend(Caption::note(&mut places, whole, pen, lines, *colour));
        }
    }
    for (mark, extent) in marks.iter().zip(extents) {
        let Some(extent) = extent.filter(|extent| extent.common(&whole).size() > 0) else {
            continue;
        };
        let label = match mark {
            Mark::Box {
                caption, colour, ..
            } => {
                // Outside of the seam.
                let around = extent.grown(pen.seam);
                let named = (Some(&extent), &around);
                Caption::label(&mut places, whole, named, pen.size, caption, *colour)
            }
            Mark::Outline {
                caption: Some(caption),
                colour,
                corners,
            } => {
                let size = Size(pen.size.0.min(0.62 * rows(corners)).max(9.0));
                // What is read must not be hidden by its own caption either.
                let (named, lines) = ((None, &extent), std::slice::from_ref(caption));
                Caption::label(&mut places, whole, named, size, lines, *colour)
            }
            _ => None,
        };
        captions.extend(label);
    }
    (captions, places.hidden())
}

/// How high what is written between corners can be.
fn rows(corners: &[Point]) -> f32 {
    match corners {
        [a, b, c, d] => (a.distance(*d) + b.distance(*c)) / 2.0,
        _ => f32::INFINITY,
    }
}

fn stroke(canvas: &mut Canvas<'_>, pen: Pen, mark: &Mark) {
    let (width, seam) = (pen.stroke as f32, pen.seam as f32);
    match mark {
        Mark::Box { area, colour, .. } => {
            let Some(rect) = Rect::nearest(area) else {
                return;
            };
            canvas.frame(rect.grown(pen.seam), pen.seam, INK, SEAM);
            canvas.frame(rect, pen.stroke, *colour, 1.0);
            let inner = rect.grown(-pen.stroke);
            if inner.width() > 2 * pen.seam && inner.height() > 2 * pen.seam {
                canvas.frame(inner, pen.seam, INK, SEAM);
            }
        }
        Mark::Outline {
            corners, colour, ..
        } => {
            let width = (0.75 * width).max(1.6);
            for (from, to) in sides(corners) {
                canvas.line(from, to, width + 2.0 * seam, INK, SEAM);
            }
            for (from, to) in sides(corners) {
                canvas.line(from, to, width, *colour, 1.0);
            }
        }
        Mark::Part { corners, colour } => {
            for (from, to) in sides(corners) {
                canvas.line(from, to, (0.35 * width).max(1.0), *colour, 0.8);
            }
        }
        Mark::Dots { points, colour } => {
            let radius =
                spread(points).map_or(width, |spread| (spread / 90.0).clamp(1.0, 1.6 * width));
            for point in points {
                canvas.dot(*point, radius + 0.6 * seam, INK, SEAM);
            }
            for point in points {
                canvas.dot(*point, radius, *colour, 1.0);
            }
        }
        Mark::Lines { lines, colour } => {
            for [from, to] in lines {
                canvas.line(*from, *to, width + 1.6 * seam, INK, SEAM);
            }
            for [from, to] in lines {
                canvas.line(*from, *to, width, *colour, 1.0);
            }
        }
        Mark::Line { .. } | Mark::Note { .. } => {}
    }
}

fn sides(corners: &[Point]) -> impl Iterator<Item = (Point, Point)> + '_ {
    let next = corners.iter().cycle().skip(1);
    corners.iter().copied().zip(next.copied())
}

/// The box around points; `None` when there are none, or one is no place.
fn around<'a>(points: impl IntoIterator<Item = &'a Point>) -> Option<Area> {
    points
        .into_iter()
        .try_fold(None, |found: Option<Area>, point| {
            let finite = point.x.is_finite() && point.y.is_finite();
            let one = Area::new(point.x, point.y, point.x, point.y);
            let all = found.map_or(one, |area| {
                Area::new(
                    area.left.min(point.x),
                    area.top.min(point.y),
                    area.right.max(point.x),
                    area.bottom.max(point.y),
                )
            });
            finite.then_some(Some(all))
        })?
}

/// The diagonal of the box around points.
fn spread(points: &[Point]) -> Option<f32> {
    around(points).map(|area| area.width().hypot(area.height()))
}

fn extent(mark: &Mark) -> Option<Rect> {
    let area = match mark {
        Mark::Box { area, .. } => Some(*area),
        Mark::Outline { corners, .. } | Mark::Part { corners, .. } => around(corners),
        Mark::Dots { points, .. } => around(points),
        Mark::Lines { lines, .. } => around(lines.iter().flatten()),
        Mark::Line { .. } | Mark::Note { .. } => None,
    };
    Rect::nearest(&area?)
}

/// Some lines on a ground, at their place.
struct Caption {
    place: Rect,
    lines: Vec<String>,
    size: Size,
    /// Where the first line begins, from the upper left corner.
    start: (i32, i32),
    ground: (Colour, f32),
    ink: Colour,
    /// Columns of a stripe at the left, and its colour.
    stripe: (i32, Colour),
}

impl Caption {
    /// A caption beside what it names; `None` when there is nothing to say.
    fn label(
        places: &mut Places,
        whole: Rect,
        (named, around): (Option<&Rect>, &Rect),
        size: Size,
        lines: &[String],
        colour: Colour,
    ) -> Option<Self> {
        let pad = (0.28 * size.0).ceil() as i32;
        let above = pad / 3;
        let (lines, width) = fitted(lines, size, whole.width() - 2 * pad)?;
        let height = lines.len() as i32 * size.height() + 2 * above;
        Some(Self {
            place: places.beside(named, around, width + 2 * pad, height),
            lines,
            size,
            start: (pad, above),
            ground: (colour, CAPTION),
            ink: INK,
            stripe: (0, colour),
        })
    }

    /// What is said of the whole image, as far as half of the picture is left to be seen.
    fn note(
        places: &mut Places,
        whole: Rect,
        pen: Pen,
        lines: &[String],
        colour: Colour,
    ) -> Option<Self> {
        let size = pen.size;
        let pad = (0.5 * size.0).ceil() as i32;
        let stripe = 2 * pen.stroke;
        let room = ((whole.height() / 2 - 2 * pad) / size.height().max(1)).max(1) as usize;
        let mut shown: Vec<String> = lines.iter().take(room).cloned().collect();
        if lines.len() > room {
            shown.pop();
            shown.push(format!("and {} more", lines.len() - shown.len()));
        }
        let (lines, width) = fitted(&shown, size, whole.width() - 4 * pad - stripe)?;
        let height = lines.len() as i32 * size.height() + pad;
        Some(Self {
            place: places.corner(width + 2 * pad + stripe, height, pad),
            lines,
            size,
            start: (stripe + pad, pad / 2),
            ground: (INK, NOTE),
            ink: PAPER,
            stripe: (stripe, colour),
        })
    }

    fn write(&self, canvas: &mut Canvas<'_>) {
        let (place, (across, down)) = (self.place, self.start);
        canvas.fill(place, self.ground.0, self.ground.1);
        let stripe = Rect {
            right: place.left + self.stripe.0,
            ..place
        };
        canvas.fill(stripe, self.stripe.1, 1.0);
        for (index, line) in self.lines.iter().enumerate() {
            let top = place.top + down + index as i32 * self.size.height();
            let at = (place.left + across, top);
            self.size.write(canvas, at, line, self.ink, place);
        }
    }
}

/// Lines cut to so many columns, and the columns they take; `None` when there are none.
fn fitted(lines: &[String], size: Size, most: i32) -> Option<(Vec<String>, i32)> {
    let most = most.max(0) as f32;
    let lines: Vec<String> = lines
        .iter()
        .map(|line| size.cut(line, most).into_owned())
        .collect();
    let widest = lines
        .iter()
        .map(|line| size.width(line))
        .fold(0.0, f32::max);
    (!lines.is_empty()).then_some((lines, widest.ceil() as i32))
}

/// Writes what was read, as large as it has room.
fn line(canvas: &mut Canvas<'_>, corners: &[Point; 4], text: &str) {
    let whole = canvas.whole();
    let extent = around(corners).and_then(|area| Rect::nearest(&area));
    let Some(extent) = extent.filter(|extent| extent.common(&whole).size() > 0) else {
        return;
    };
    let [a, b, c, d] = *corners;
    let room = a.distance(b).max(d.distance(c));
    let full = Size((0.9 * rows(corners)).clamp(1.0, LONGEST as f32));
    let size = Size((full.0 * (room / full.width(text).max(1.0)).min(1.0)).max(6.0));
    let top = (extent.top + extent.bottom - size.height()) / 2;
    let text = size.cut(text, whole.width() as f32);
    size.write(canvas, (extent.left, top), &text, INK, whole);
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use proptest::prelude::*;

    const GREY: Rgb<u8> = Rgb([128; 3]);
    const RED: Colour = [255, 0, 0];

    fn drawn(width: u32, height: u32, marks: &[Mark]) -> RgbImage {
        let mut image = RgbImage::from_pixel(width, height, GREY);
        draw(&mut image, marks);
        image
    }

    fn boxed(area: Area, caption: &[&str]) -> Mark {
        Mark::Box {
            area,
            caption: caption.iter().map(|line| (*line).to_owned()).collect(),
            colour: RED,
        }
    }

    /// The box around the pixels that differ.
    fn difference(a: &RgbImage, b: &RgbImage) -> Option<Rect> {
        let differ = a.enumerate_pixels().zip(b.pixels());
        let differ = differ.filter(|((_, _, a), b)| a != b);
        differ.fold(None, |found: Option<Rect>, ((x, y, _), _)| {
            let pixel = Rect::at(x as i32, y as i32, 1, 1);
            let all = found.unwrap_or(pixel);
            Some(Rect {
                left: all.left.min(pixel.left),
                top: all.top.min(pixel.top),
                right: all.right.max(pixel.right),
                bottom: all.bottom.max(pixel.bottom),
            })
        })
    }

    #[test]
    fn a_box_is_its_edges_with_a_seam() {
        // Two pixels thick on a picture of this size, with a seam of one.
        let image = drawn(600, 400, &[boxed(Area::new(99.6, 50.2, 300.4, 200.0), &[])]);
        for (x, y, pixel) in image.enumerate_pixels() {
            let within = |by: i32| {
                let (x, y) = (x as i32, y as i32);
                (100 - by..300 + by).contains(&x) && (50 - by..200 + by).contains(&y)
            };
            let wanted = match (within(1), within(0), within(-2), within(-3)) {
                (false, ..) | (.., true) => GREY.0,
                (_, true, false, _) => RED,
                // Half of the grey and half of the ink.
                _ => [70, 71, 73],
            };
            assert_eq!(pixel.0, wanted, "{x}, {y}");
        }
    }

    #[test]
    fn letters_stay_inside_their_caption() {
        let lines = ["Gj|Äy 92 %", "second"];
        for area in [
            Area::new(200.0, 150.0, 400.0, 300.0),
            Area::new(-50.0, -20.0, 700.0, 500.0),
            Area::new(560.0, 380.0, 900.0, 900.0),
            Area::new(580.0, 0.0, 600.0, 20.0),
        ] {
            let (bare, image) = (
                drawn(600, 400, &[boxed(area, &[])]),
                drawn(600, 400, &[boxed(area, &lines)]),
            );
            let caption = difference(&bare, &image).expect("a caption");
            let size = Pen::of(600, 400).size;
            assert!(caption.height() >= 2 * size.height() && caption.height() < 3 * size.height());
            let widest = size.width(lines[0]) as i32;
            assert!((widest..widest + size.height()).contains(&caption.width()));
            // No ink on its border, some inside.
            let inked = |x: i32, y: i32| image.get_pixel(x as u32, y as u32).0[0] < 100;
            let columns = caption.left..caption.right;
            let rows = caption.top..caption.bottom;
            assert!(
                columns
                    .clone()
                    .all(|x| !inked(x, caption.top) && !inked(x, caption.bottom - 1))
            );
            assert!(
                rows.clone()
                    .all(|y| !inked(caption.left, y) && !inked(caption.right - 1, y))
            );
            let ink = rows.flat_map(|y| columns.clone().map(move |x| (x, y)));
            assert!(ink.filter(|&(x, y)| inked(x, y)).count() > 100);
        }
    }

    #[test]
    fn what_is_no_place_or_outside_leaves_the_picture_as_it_is() {
        let nan = f32::NAN;
        let odd = Point::new(nan, 5.0);
        let marks = [
            boxed(Area::new(nan, 0.0, 10.0, 10.0), &["nowhere"]),
            boxed(Area::new(0.0, 0.0, f32::INFINITY, 10.0), &["endless"]),
            boxed(Area::new(1000.0, 1000.0, 1100.0, 1100.0), &["outside"]),
            boxed(Area::new(-900.0, 10.0, -800.0, 20.0), &["outside"]),
            Mark::Dots {
                points: vec![odd, Point::new(-500.0, 0.0)],
                colour: RED,
            },
            Mark::Outline {
                corners: vec![odd; 4],
                caption: Some("nowhere".to_owned()),
                colour: RED,
            },
            Mark::Lines {
                lines: vec![[odd, Point::default()]],
                colour: RED,
            },
            Mark::Part {
                corners: Vec::new(),
                colour: RED,
            },
            Mark::Note {
                lines: Vec::new(),
                colour: RED,
            },
        ];
        let bare = RgbImage::from_pixel(300, 200, GREY);
        assert_eq!(difference(&bare, &drawn(300, 200, &marks)), None);
    }

    #[test]
    fn a_note_is_no_more_than_half_of_the_picture() {
        let lines: Vec<String> = (0..50).map(|line| format!("label {line}")).collect();
        let mark = Mark::Note { lines, colour: RED };
        let bare = RgbImage::from_pixel(300, 200, GREY);
        let note = difference(&bare, &drawn(300, 200, &[mark])).expect("a note");
        assert!(note.left > 0 && note.bottom < 200 && note.height() <= 100);
        assert!(note.height() > 70);
    }

    fn lines_of_text(rows: f32, apart: f32) -> Vec<Mark> {
        let line = |index: u8| {
            let top = 40.0 + f32::from(index) * apart;
            let bottom = top + rows;
            Mark::Outline {
                corners: [(30.0, top), (370.0, top), (370.0, bottom), (30.0, bottom)]
                    .map(|(x, y)| Point::new(x, y))
                    .to_vec(),
                caption: Some("as many words as a line of this length has".to_owned()),
                colour: RED,
            }
        };
        (0..8).map(line).collect()
    }

    #[test]
    fn dense_text_is_crowded() {
        assert!(!crowded(400, 500, &lines_of_text(20.0, 50.0)));
        assert!(crowded(400, 500, &lines_of_text(20.0, 22.0)));
        assert!(!crowded(400, 500, &[]));
        let all = Area::new(0.0, 0.0, 400.0, 500.0);
        assert!(!crowded(400, 500, &[boxed(all, &["all of it"])]));
    }

    #[test]
    fn what_was_read_is_written_where_it_stands() {
        let corners = [(50.0, 60.0), (250.0, 60.0), (250.0, 90.0), (50.0, 90.0)];
        let long = "a text that is much too long for its place in large letters";
        for text in ["short", long] {
            let mark = Mark::Line {
                corners: corners.map(|(x, y)| Point::new(x, y)),
                text: text.to_owned(),
            };
            let bare = RgbImage::from_pixel(300, 200, GREY);
            let ink = difference(&bare, &drawn(300, 200, &[mark])).expect("ink");
            let place = Rect::at(49, 60, 202, 31);
            assert_eq!(ink.common(&place), ink, "{text}");
        }
    }

    #[test]
    fn what_is_drawn_grows_with_the_picture() {
        let (small, large) = (Pen::of(100, 100), Pen::of(4000, 3000));
        assert_eq!((small.stroke, small.seam, small.size), (1, 1, Size(12.0)));
        assert_eq!((large.stroke, large.seam), (12, 4));
        assert!(large.size.0 > 90.0 && large.size.0 < 120.0);
    }

    #[test]
    fn marks_move_with_their_image() {
        let by = Point::new(100.0, 0.0);
        let area = Area::new(10.0, 20.0, 30.0, 40.0);
        let moved = boxed(area, &["a"]).moved(0.5, by);
        assert_eq!(moved, boxed(Area::new(105.0, 10.0, 115.0, 20.0), &["a"]));
        let dots = Mark::Dots {
            points: vec![Point::new(4.0, 6.0)],
            colour: RED,
        };
        let Mark::Dots { points, .. } = dots.moved(2.0, by) else {
            panic!("dots")
        };
        assert_eq!(points, [Point::new(108.0, 12.0)]);
    }

    fn place() -> impl Strategy<Value = f32> {
        prop_oneof![any::<f32>(), -100.0_f32..400.0]
    }

    fn mark() -> impl Strategy<Value = Mark> {
        let point = || (place(), place()).prop_map(|(x, y)| Point::new(x, y));
        let points = || prop::collection::vec(point(), 0..6);
        let colour = any::<Colour>();
        prop_oneof![
            (
                point(),
                point(),
                prop::collection::vec(any::<String>(), 0..3),
                colour
            )
                .prop_map(|(a, b, caption, colour)| Mark::Box {
                    area: Area::new(a.x, a.y, b.x, b.y),
                    caption,
                    colour
                }),
            (points(), any::<Option<String>>(), any::<Colour>()).prop_map(
                |(corners, caption, colour)| Mark::Outline {
                    corners,
                    caption,
                    colour
                }
            ),
            (points(), any::<Colour>()).prop_map(|(points, colour)| Mark::Dots { points, colour }),
            (point(), point(), any::<Colour>()).prop_map(|(a, b, colour)| Mark::Lines {
                lines: vec![[a, b]],
                colour
            }),
            (
                prop::collection::vec(any::<String>(), 0..30),
                any::<Colour>()
            )
                .prop_map(|(lines, colour)| Mark::Note { lines, colour }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_marks_can_be_drawn(
            marks in prop::collection::vec(mark(), 0..6),
            width in 1_u32..300, height in 1_u32..300,
        ) {
            drawn(width, height, &marks);
        }
    }
}
