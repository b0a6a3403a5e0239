//! Large pages in parts that overlap, and lines of parts as lines of the page.

use super::Quad;
use super::detect::Line;
use super::rectangle::{area, sides, smallest};
use crate::image::resize::Crop;

/// Longest side of a part, where the page is longer than [`WHOLE`].
const SIDE: u32 = 1408;
/// Rows or columns that two neighbours share at least: no line is higher, or it is cut.
const SHARED: u32 = 208;
/// A side of the page that is not parted.
const WHOLE: u32 = 2000;
/// Most lines of a page.
const LINES: usize = 3000;
/// A line is another one's if so much of it lies there.
const INSIDE: f32 = 0.7;
/// Lines go on in the next part if so much of the lower one's height is at the same height.
const BESIDE: f32 = 0.6;

/// The parts of a page, from the upper left one to the lower right one.
pub fn tiles(width: u32, height: u32) -> Vec<Crop> {
    let columns = parts(width);
    let rows = parts(height);
    let row = |&(top, height): &(u32, u32)| {
        let crop = move |&(left, width): &(u32, u32)| Crop {
            left,
            top,
            width,
            height,
        };
        columns.iter().map(crop).collect::<Vec<_>>()
    };
    rows.iter().flat_map(row).collect()
}

/// Where the parts of a side begin, and how long they are.
fn parts(length: u32) -> Vec<(u32, u32)> {
    if length <= WHOLE {
        return vec![(0, length)];
    }
    let count = (length - SHARED).div_ceil(SIDE - SHARED);
    let start = |part: u32| {
        let free = u64::from(length - SIDE);
        (free * u64::from(part) / u64::from(count - 1)) as u32
    };
    (0..count).map(|part| (start(part), SIDE)).collect()
}

/// Lines of all parts, each in pixels of the page and with the number of its part: what two parts saw is one line, and
/// what goes on in the next part is joined.
pub fn join(lines: Vec<(usize, Line)>) -> Vec<Line> {
    let mut joined: Vec<(usize, Line)> = Vec::new();
    for (part, mut line) in lines.into_iter().take(LINES) {
        let mut of = part;
        // What it is joined with may touch others.
        while let Some((place, quad)) = joined.iter().enumerate().find_map(|(place, other)| {
            let apart = other.0 == of && of == part;
            let quad = if apart {
                None
            } else {
                together(&other.1.quad, &line.quad)
            };
            Some((place, quad?))
        }) {
            let (_, other) = joined.swap_remove(place);
            line = Line {
                quad,
                score: line.score.max(other.score),
            };
            of = usize::MAX;
        }
        joined.push((of, line));
    }
    joined.into_iter().map(|(_, line)| line).collect()
}

/// The quadrangle of two that are one line; none when they are two.
fn together(a: &Quad, b: &Quad) -> Option<Quad> {
    let (longer, shorter) = if area(a) >= area(b) { (a, b) } else { (b, a) };
    let (first, second) = sides(longer);
    let (from, to) = if first >= second {
        (longer[0], longer[1])
    } else {
        (longer[1], longer[2])
    };
    let length = from.distance(to);
    if length <= 0.0 {
        return None;
    }
    let (x, y) = ((to.x - from.x) / length, (to.y - from.y) / length);
    let spans = |quad: &Quad| {
        let span = |values: [f32; 4]| {
            let ends = (f32::INFINITY, f32::NEG_INFINITY);
            let wider = |(low, high): (f32, f32), v: f32| (low.min(v), high.max(v));
            values.into_iter().fold(ends, wider)
        };
        (
            span(quad.map(|p| p.x * x + p.y * y)),
            span(quad.map(|p| p.y * x - p.x * y)),
        )
    };
    let ((along, across), (other_along, other_across)) = (spans(longer), spans(shorter));
    let shared = |a: (f32, f32), b: (f32, f32)| (a.1.min(b.1) - a.0.max(b.0)).max(0.0);
    let size = |span: (f32, f32)| (span.1 - span.0).max(1.0);
    let (wide, high) = (shared(along, other_along), shared(across, other_across));
    if wide * high >= INSIDE * size(other_along) * size(other_across) {
        return Some(*longer);
    }
    let (height, other) = (size(across), size(other_across));
    let lower = height.min(other);
    let alike = lower / height.max(other) >= BESIDE;
    if alike && high >= BESIDE * lower && wide >= lower / 2.0 {
        let corners: Vec<_> = longer.iter().chain(shorter).copied().collect();
        return smallest(&corners);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::Point;
    use proptest::prelude::*;

    fn line(left: f32, top: f32, right: f32, bottom: f32) -> Line {
        let quad = [(left, top), (right, top), (right, bottom), (left, bottom)];
        Line {
            quad: quad.map(|(x, y)| Point::new(x, y)),
            score: 0.9,
        }
    }

    proptest! {
        #[test]
        fn parts_cover_a_side_and_share_enough(length in 1_u32..20_000) {
            let parts = parts(length);
            prop_assert_eq!(parts[0].0, 0);
            let last = parts[parts.len() - 1];
            prop_assert_eq!(last.0 + last.1, length);
            for pair in parts.windows(2) {
                prop_assert!(pair[0].0 + pair[0].1 >= pair[1].0 + SHARED);
            }
            prop_assert!(parts.len() as u32 <= length / (SIDE - SHARED) + 1);
        }
    }

    #[test]
    fn what_two_parts_saw_is_one_line() {
        let found = join(vec![
            (0, line(100.0, 1300.0, 400.0, 1330.0)),
            // Its lower half, cut at the edge of the next part, and the next line.
            (1, line(100.0, 1316.0, 402.0, 1331.0)),
            (1, line(100.0, 1340.0, 400.0, 1370.0)),
        ]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], line(100.0, 1300.0, 400.0, 1330.0));
    }

    #[test]
    fn what_goes_on_in_the_next_part_is_joined() {
        let found = join(vec![
            (0, line(900.0, 50.0, 1408.0, 80.0)),
            (0, line(900.0, 90.0, 1300.0, 120.0)),
            (1, line(1200.0, 51.0, 2608.0, 81.0)),
            (2, line(2400.0, 50.0, 2900.0, 80.0)),
        ]);
        assert_eq!(found.len(), 2, "{found:?}");
        let long = &found[found.len() - 1].quad;
        assert!(long[0].distance(Point::new(900.0, 50.0)) < 1.5);
        assert!(long[2].distance(Point::new(2900.0, 81.0)) < 1.5);
    }

    #[test]
    fn lines_of_one_part_stay_apart() {
        let lines = vec![
            (0, line(0.0, 0.0, 100.0, 20.0)),
            (0, line(80.0, 0.0, 200.0, 20.0)),
        ];
        assert_eq!(join(lines).len(), 2);
        assert_eq!(join(Vec::new()), []);
    }
}
