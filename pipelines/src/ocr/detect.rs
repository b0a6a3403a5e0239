//! What the detector sees, and lines of text from its map ("differentiable binarisation", Liao et al. 2020).
//!
//! The network says of each pixel how likely it is in the core of a line of text. Pixels above a threshold that
//! touch make a region; its smallest rectangle, grown again to the line's full height, is a line.

use super::rectangle::{area, ordered, perimeter, sides, smallest};
use super::{Prepared, Quad, STEP, broken, fill_planes, resize};
use crate::error::Result;
use crate::vision::Point;
use image::RgbImage;
use std::borrow::Cow;

/// A shorter side below this is scaled up to it.
const SHORTEST: u32 = 736;
/// Unless the longer one would be longer than this.
const LONGEST: f32 = 4000.0;
/// A pixel above this is text.
const PIXEL: f32 = 0.3;
/// A line below this mean of its pixels is none.
const LINE: f32 = 0.5;
/// How far a rectangle grows: area by perimeter, times this.
const GROWTH: f32 = 1.6;
/// Shortest side of a region, in pixels of the map.
const THIN: f32 = 3.0;
/// Most regions of an image.
const REGIONS: usize = 1000;

/// What the network sees of an image.
#[derive(Debug)]
pub struct Input {
    /// The image in the size in which it is seen, if that is another.
    resized: Option<RgbImage>,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// A prepared image as the network was trained to see it: sides are multiples of 32.
pub fn input(image: &RgbImage) -> Input {
    let (width, height) = image.dimensions();
    let shortest = width.min(height).max(1);
    let most = LONGEST / width.max(height).max(1) as f32;
    let scale = (SHORTEST as f32 / shortest as f32).min(most).max(1.0);
    let to = |side: u32| {
        let side = (side as f32 * scale) as u32;
        ((side as f32 / STEP as f32).round() as u32 * STEP).max(STEP)
    };
    let (width, height) = (to(width), to(height));
    let resized = match resize(image, width, height) {
        Cow::Borrowed(_) => None,
        Cow::Owned(resized) => Some(resized),
    };
    Input {
        resized,
        width,
        height,
    }
}

impl Input {
    /// Writes the planes of blue, green and red, −1 to 1; `image` is the one it was made of.
    pub fn fill(&self, image: &RgbImage, planes: &mut [f32]) {
        fill_planes(self.resized.as_ref().unwrap_or(image), self.width, planes);
    }
}

/// A line of text.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its corners in the prepared image, whole pixels, clockwise from the upper left.
    pub quad: Quad,
    /// How sure the detector is, 0 to 1.
    pub score: f32,
}

/// The lines of a prepared image, from the map of a `width` x `height` input; in no order.
///
/// # Errors
/// `Internal` when the map has another size or holds what is not a number.
pub fn lines(map: &[f32], width: u32, height: u32, prepared: &Prepared) -> Result<Vec<Line>> {
    let (columns, rows) = (width as usize, height as usize);
    if map.len() != columns * rows {
        return Err(broken("a map of another size"));
    }
    if !map.iter().all(|value| value.is_finite()) {
        return Err(broken("a map with what is no number"));
    }
    if map.is_empty() {
        return Ok(Vec::new());
    }
    let text = spread(map, columns);
    let (to_width, to_height) = prepared.image.dimensions();
    let mut lines = Vec::new();
    for outline in outlines(&text, columns) {
        let Some(core) = smallest(&outline) else {
            continue;
        };
        let short = |quad: &Quad| {
            let (a, b) = sides(quad);
            a.min(b)
        };
        if short(&core) < THIN {
            continue;
        }
        let score = mean_inside(map, columns, &core);
        if score < LINE {
            continue;
        }
        let Some(grown) = smallest(&grow(&core)) else {
            continue;
        };
        if short(&grown) < THIN + 2.0 {
            continue;
        }
        let scaled = grown.map(|point| {
            let place = |value: f32, from: u32, to: u32| {
                let value = (value / from as f32 * to as f32).round();
                value.clamp(0.0, to.saturating_sub(1) as f32)
            };
            Point::new(
                place(point.x, width, to_width),
                place(point.y, height, to_height),
            )
        });
        let quad = ordered(scaled);
        if quad[0].distance(quad[1]).floor() <= THIN || quad[0].distance(quad[3]).floor() <= THIN {
            continue;
        }
        lines.push(Line { quad, score });
    }
    Ok(lines)
}

/// Which pixels are text, each spread to its right, lower and lower right neighbour.
fn spread(map: &[f32], columns: usize) -> Vec<bool> {
    let mut text = vec![false; map.len()];
    for (row, values) in map.chunks_exact(columns).enumerate() {
        let to = &mut text[row * columns..][..columns];
        for (to, &value) in to.iter_mut().zip(values) {
            *to = value > PIXEL;
        }
        for column in (1..columns).rev() {
            to[column] |= to[column - 1];
        }
    }
    for row in (1..text.len() / columns).rev() {
        let (above, below) = text.split_at_mut(row * columns);
        for (below, &above) in below.iter_mut().zip(&above[(row - 1) * columns..]) {
            *below |= above;
        }
    }
    text
}

/// Pixels of one row that are all text, or all not.
struct Run {
    row: u32,
    first: u32,
    last: u32,
    inside: bool,
    /// A run of the same region, or itself: chains end at the region's first run.
    region: u32,
}

/// Every run, with its region: text that touches at sides or corners, and what is not text and touches at sides.
fn runs(text: &[bool], columns: usize) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut above = 0..0;
    for (row, pixels) in text.chunks_exact(columns).enumerate() {
        let start = runs.len();
        let mut first = 0;
        for part in pixels.chunk_by(|a, b| a == b) {
            runs.push(Run {
                row: row as u32,
                first: first as u32,
                last: (first + part.len() - 1) as u32,
                inside: part[0],
                region: runs.len() as u32,
            });
            first += part.len();
        }
        let mut upper = above.start;
        for lower in start..runs.len() {
            // Runs of both rows go from left to right; one more to each side may touch at a corner.
            while upper < above.end && runs[upper].last + 1 < runs[lower].first {
                upper += 1;
            }
            for other in upper..above.end {
                let (a, b) = (&runs[other], &runs[lower]);
                let corner = u32::from(b.inside);
                if a.first > b.last + corner {
                    break;
                }
                if a.inside == b.inside && a.last + corner >= b.first {
                    let (a, b) = (root(&mut runs, other), root(&mut runs, lower));
                    runs[a.max(b)].region = a.min(b) as u32;
                }
            }
        }
        above = start..runs.len();
    }
    runs
}

/// The first run of a run's region; shortens the chain that leads there.
fn root(runs: &mut [Run], mut at: usize) -> usize {
    while runs[at].region as usize != at {
        let next = runs[at].region as usize;
        runs[at].region = runs[next].region;
        at = next;
    }
    at
}

/// Points whose smallest rectangle is that of a region: the ends of its rows. Regions are pixels of text that touch
/// at sides or corners, and the rims of holes in them.
fn outlines(text: &[bool], columns: usize) -> Vec<Vec<Point>> {
    let rows = text.len().checked_div(columns).unwrap_or(0);
    let mut runs = runs(text, columns);
    let at_edge = |run: &Run| {
        run.row == 0
            || run.first == 0
            || run.row as usize + 1 == rows
            || run.last as usize + 1 == columns
    };
    let roots: Vec<usize> = (0..runs.len()).map(|at| root(&mut runs, at)).collect();
    // What reaches the edge is no hole but the background.
    let mut wanted = vec![true; runs.len()];
    for (run, &root) in runs.iter().zip(&roots) {
        if !run.inside && at_edge(run) {
            wanted[root] = false;
        }
    }
    let mut found: Vec<Ends> = Vec::new();
    let mut places = vec![None; runs.len()];
    for (run, &root) in runs.iter().zip(&roots) {
        if !wanted[root] {
            continue;
        }
        let place = match places[root] {
            Some(place) => place,
            None if found.len() == REGIONS => continue,
            None => {
                places[root] = Some(found.len());
                found.push(Ends::default());
                found.len() - 1
            }
        };
        let (row, first, last) = (run.row as usize, run.first as usize, run.last as usize);
        let ends = &mut found[place];
        if run.inside {
            ends.add(first, row);
            ends.add(last, row);
            continue;
        }
        // The rim of a hole is the text around it; a hole is nowhere at the edge.
        ends.add(first - 1, row);
        ends.add(last + 1, row);
        for row in [row - 1, row + 1] {
            let around = &text[row * columns + first - 1..=row * columns + last + 1];
            let nearest = around.iter().position(|&text| text);
            let furthest = around.iter().rposition(|&text| text);
            for place in nearest.into_iter().chain(furthest) {
                ends.add(first - 1 + place, row);
            }
        }
    }
    found.iter().map(Ends::points).collect()
}

/// The first and last pixel of each row.
#[derive(Default)]
struct Ends(std::collections::BTreeMap<usize, (usize, usize)>);

impl Ends {
    fn add(&mut self, x: usize, y: usize) {
        let row = self.0.entry(y).or_insert((x, x));
        *row = (row.0.min(x), row.1.max(x));
    }

    fn points(&self) -> Vec<Point> {
        let rows = self.0.iter();
        rows.flat_map(|(&y, &(first, last))| [first, last].map(|x| Point::new(x as f32, y as f32)))
            .collect()
    }
}

/// The map's mean inside a rectangle, edges included.
fn mean_inside(map: &[f32], columns: usize, quad: &Quad) -> f32 {
    let rows = map.len() / columns;
    let corners = quad.map(|point| Point::new(point.x.trunc(), point.y.trunc()));
    let places = corners.iter().map(|corner| corner.y);
    let (top, bottom) = places.fold((f32::INFINITY, 0.0_f32), |(l, h), v| (l.min(v), h.max(v)));
    let (top, bottom) = (top.max(0.0) as usize, (bottom as usize).min(rows - 1));
    let (mut sum, mut count) = (0.0, 0_usize);
    for y in top..=bottom {
        // Each edge of the rectangle leaves a part of the row; corners are whole, so this is exact.
        let (mut from, mut to) = (0.0_f64, columns as f64 - 1.0);
        for edge in 0..4 {
            let (a, b) = (corners[edge], corners[(edge + 1) % 4]);
            let (across, down) = (f64::from(b.x - a.x), f64::from(b.y - a.y));
            let below = y as f64 - f64::from(a.y);
            if down > 0.0 {
                to = to.min(f64::from(a.x) + across * below / down);
            } else if down < 0.0 {
                from = from.max(f64::from(a.x) + across * below / down);
            } else if across * below < 0.0 {
                to = -1.0;
            }
        }
        let (from, to) = (from.ceil(), to.floor());
        if from <= to {
            let row = &map[y * columns + from as usize..=y * columns + to as usize];
            sum += row.iter().map(|&value| f64::from(value)).sum::<f64>();
            count += row.len();
        }
    }
    if count == 0 {
        0.0
    } else {
        (sum / count as f64) as f32
    }
}

/// The outline at a distance around a rectangle, its corners rounded, in whole pixels as the reference's polygon
/// library computes.
fn grow(quad: &Quad) -> Vec<Point> {
    /// Points that round a corner off.
    const ROUND: usize = 8;
    let distance = area(quad) * GROWTH / perimeter(quad).max(f32::MIN_POSITIVE);
    let corners = quad.map(|point| Point::new(point.x.trunc(), point.y.trunc()));
    let outward = |edge: usize| {
        let (a, b) = (corners[edge % 4], corners[(edge + 1) % 4]);
        (-(b.x - a.x)).atan2(b.y - a.y)
    };
    let mut outline = Vec::with_capacity(4 * (ROUND + 1));
    for (index, corner) in corners.iter().enumerate() {
        let from = outward(index + 3);
        let turn = (outward(index) - from).rem_euclid(std::f32::consts::TAU);
        for step in 0..=ROUND {
            let angle = from + turn * step as f32 / ROUND as f32;
            outline.push(Point::new(
                (corner.x + distance * angle.cos()).round(),
                (corner.y + distance * angle.sin()).round(),
            ));
        }
    }
    outline
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use image::Rgb;

    fn prepared(width: u32, height: u32) -> Prepared {
        Prepared::new(
            RgbImage::from_pixel(width, height, Rgb([255; 3])),
            (width, height),
        )
    }

    /// A map with rectangles of certain text: left, top, width, height.
    fn map(columns: usize, rows: usize, boxes: &[(usize, usize, usize, usize)]) -> Vec<f32> {
        let mut map = vec![0.01; columns * rows];
        for &(left, top, width, height) in boxes {
            for y in top..top + height {
                map[y * columns + left..][..width].fill(0.9);
            }
        }
        map
    }

    #[test]
    fn sides_are_multiples_of_32_and_not_too_short() {
        for (from, to) in [
            ((640, 320), (1472, 736)),
            ((1000, 900), (992, 896)),
            ((992, 896), (992, 896)),
            ((100, 100), (736, 736)),
        ] {
            let image = RgbImage::new(from.0, from.1);
            let input = input(&image);
            assert_eq!((input.width, input.height), to);
            let mut planes = vec![f32::NAN; 3 * to.0 as usize * to.1 as usize];
            input.fill(&image, &mut planes);
            assert!(planes.iter().all(|&value| value == -1.0));
        }
    }

    #[test]
    fn a_core_grows_to_its_line() {
        // 101 x 21 pixels (with the spread): grown by 100 * 20 * 1.6 / 240 = 13.3 on each side.
        let map = map(320, 160, &[(100, 50, 100, 20)]);
        let found = lines(&map, 320, 160, &prepared(320, 160)).unwrap();
        assert_eq!(found.len(), 1);
        let [a, b, c, d] = found[0].quad;
        for (corner, x, y) in [
            (a, 87.0, 37.0),
            (b, 213.0, 37.0),
            (c, 213.0, 83.0),
            (d, 87.0, 83.0),
        ] {
            assert!(corner.distance(Point::new(x, y)) < 1.5, "{found:?}");
        }
        assert!(found[0].score > 0.8);
    }

    #[test]
    fn coordinates_are_those_of_the_prepared_image() {
        let map = map(640, 320, &[(200, 100, 200, 40)]);
        let half = lines(&map, 640, 320, &prepared(320, 160)).unwrap();
        let whole = lines(&map, 640, 320, &prepared(640, 320)).unwrap();
        for (half, whole) in half[0].quad.iter().zip(&whole[0].quad) {
            assert!(half.distance(Point::new(whole.x / 2.0, whole.y / 2.0)) < 1.0);
        }
    }

    #[test]
    fn faint_thin_and_hollow_regions_are_no_lines() {
        let faint: Vec<f32> = map(200, 100, &[(20, 20, 80, 20)])
            .iter()
            .map(|v| v * 0.5)
            .collect();
        assert_eq!(lines(&faint, 200, 100, &prepared(200, 100)).unwrap(), []);
        let thin = map(200, 100, &[(20, 20, 80, 2)]);
        assert_eq!(lines(&thin, 200, 100, &prepared(200, 100)).unwrap(), []);
        // A frame: mostly empty inside, and its hole is no line either.
        let frame = map(
            200,
            100,
            &[
                (20, 20, 160, 3),
                (20, 70, 160, 3),
                (20, 20, 3, 53),
                (177, 20, 3, 53),
            ],
        );
        assert_eq!(lines(&frame, 200, 100, &prepared(200, 100)).unwrap(), []);
    }

    #[test]
    fn the_mean_is_of_what_is_inside() {
        let map: Vec<f32> = (0..20 * 10).map(|i| (i % 20) as f32).collect();
        let mean = |corners: [(f32, f32); 4]| {
            mean_inside(&map, 20, &corners.map(|(x, y)| Point::new(x, y)))
        };
        assert_eq!(mean([(2.0, 1.0), (6.0, 1.0), (6.0, 3.0), (2.0, 3.0)]), 4.0);
        // A square on its corner: 1 + 3 + 5 + 3 + 1 pixels around 5, 4.
        assert_eq!(mean([(3.0, 4.0), (5.0, 2.0), (7.0, 4.0), (5.0, 6.0)]), 5.0);
        assert_eq!(
            mean([(-9.0, 0.0), (40.0, 0.0), (40.0, 30.0), (-9.0, 30.0)]),
            9.5
        );
        assert_eq!(
            mean([(30.0, 1.0), (40.0, 1.0), (40.0, 3.0), (30.0, 3.0)]),
            0.0
        );
    }

    /// Two letters that touch at a corner, one beside, and a ring: four regions with the ring's hole.
    #[test]
    fn regions_touch_at_corners_and_have_holes() {
        let picture = [
            "..........",
            ".##....##.",
            ".##....##.",
            "...##.....",
            "...##.....",
            "......####",
            "......#..#",
            "......####",
        ];
        let text: Vec<bool> = picture
            .iter()
            .flat_map(|row| row.chars().map(|c| c == '#'))
            .collect();
        let boxes: Vec<_> = outlines(&text, 10)
            .iter()
            .map(|points| {
                let of = |value: fn(&Point) -> f32| {
                    points
                        .iter()
                        .map(value)
                        .fold((99.0_f32, 0.0_f32), |(l, h), v| (l.min(v), h.max(v)))
                };
                (of(|p| p.x), of(|p| p.y))
            })
            .collect();
        assert_eq!(
            boxes,
            [
                ((1.0, 4.0), (1.0, 4.0)),
                ((7.0, 8.0), (1.0, 2.0)),
                ((6.0, 9.0), (5.0, 7.0)),
                ((6.0, 9.0), (5.0, 7.0)),
            ]
        );
    }

    #[test]
    fn everything_ends() {
        // A chessboard of single pixels, all text, and nothing.
        let chess: Vec<f32> = (0..128 * 96)
            .map(|i| ((i % 128 + i / 128) % 2) as f32)
            .collect();
        assert!(lines(&chess, 128, 96, &prepared(128, 96)).is_ok());
        assert_eq!(
            lines(&[1.0; 64 * 64], 64, 64, &prepared(64, 64))
                .unwrap()
                .len(),
            1
        );
        assert_eq!(
            lines(&[0.0; 64 * 64], 64, 64, &prepared(64, 64)).unwrap(),
            []
        );
        let wrong = lines(&[0.0; 3], 64, 64, &prepared(64, 64)).unwrap_err();
        assert_eq!(wrong.kind(), Kind::Internal);
        assert!(lines(&[f32::NAN; 64 * 64], 64, 64, &prepared(64, 64)).is_err());
    }
}
