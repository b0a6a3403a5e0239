//! The order in which lines are read: rows from the top, each from the left, as seen along the text.

use super::Quad;
use crate::vision::Point;

/// Lines are in one row if their middles are no further apart than this part of the lower one's height.
const ROW: f32 = 0.5;

/// Puts lines in reading order. `quad` gives the corners of one, the first where its text begins; the direction of
/// most of them is that of the page.
pub fn in_reading_order<T>(mut lines: Vec<T>, quad: impl Fn(&T) -> Quad) -> Vec<T> {
    let turn = direction(lines.iter().map(&quad));
    let (sin, cos) = turn.sin_cos();
    let place = |line: &T| {
        let corners = quad(line);
        let middle = Point::mean(&corners);
        let across = corners.map(|p| p.y * cos - p.x * sin);
        let low = across.iter().copied().fold(f32::INFINITY, f32::min);
        let high = across.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        Place {
            along: middle.x * cos + middle.y * sin,
            across: middle.y * cos - middle.x * sin,
            height: (high - low).min(sides(&corners)),
        }
    };
    lines.sort_by(|a, b| place(a).across.total_cmp(&place(b).across));
    // A row goes on as long as the next line is beside its first one.
    let mut rows: Vec<Vec<T>> = Vec::new();
    let mut first: Option<Place> = None;
    for line in lines {
        let at = place(&line);
        let beside = first.as_ref().is_some_and(|first| {
            let least = first.height.min(at.height);
            at.across - first.across <= ROW * least
        });
        match rows.last_mut() {
            Some(row) if beside => row.push(line),
            _ => {
                first = Some(at);
                rows.push(vec![line]);
            }
        }
    }
    for row in &mut rows {
        row.sort_by(|a, b| place(a).along.total_cmp(&place(b).along));
    }
    rows.into_iter().flatten().collect()
}

/// Where a line is, as seen along the text.
struct Place {
    along: f32,
    across: f32,
    height: f32,
}

/// The height of a line that is longer than high.
fn sides(quad: &Quad) -> f32 {
    let side = |a: usize, b: usize| quad[a].distance(quad[b]);
    (side(0, 3) + side(1, 2)) / 2.0
}

/// The median of the lines' directions, by their lengths, in radians clockwise; 0 when there are none.
fn direction(quads: impl Iterator<Item = Quad>) -> f32 {
    let ways: Vec<(f32, f32)> = quads
        .map(|[a, b, c, d]| (b.x - a.x + c.x - d.x, b.y - a.y + c.y - d.y))
        .collect();
    let (x, y) = ways
        .iter()
        .fold((0.0, 0.0), |(x, y), way| (x + way.0, y + way.1));
    let mean = f32::atan2(y, x);
    let mut off: Vec<(f32, f32)> = ways
        .iter()
        .map(|&(x, y)| {
            let off = (y.atan2(x) - mean + std::f32::consts::PI).rem_euclid(std::f32::consts::TAU);
            (off - std::f32::consts::PI, x.hypot(y))
        })
        .collect();
    off.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = off.iter().map(|(_, length)| length).sum::<f32>() / 2.0;
    let mut sum = 0.0;
    for (angle, length) in off {
        sum += length;
        if sum >= half {
            return mean + angle;
        }
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A page of three rows of two cells, the second cell of each higher, turned around its corner.
    fn page(turn: f32) -> Vec<(usize, Quad)> {
        let (sin, cos) = turn.sin_cos();
        let cell = |index: usize| {
            let (row, column) = (index / 2, index % 2);
            let (x, y) = (column as f32 * 500.0, row as f32 * 60.0);
            let (width, height) = (200.0 + 37.0 * row as f32, 30.0 + 14.0 * column as f32);
            let top = y - height / 2.0 + 4.0 * column as f32;
            let corners = [
                (x, top),
                (x + width, top),
                (x + width, top + height),
                (x, top + height),
            ];
            let quad = corners.map(|(x, y)| Point::new(x * cos - y * sin, x * sin + y * cos));
            (index, quad)
        };
        (0..6).map(cell).collect()
    }

    proptest! {
        #[test]
        fn a_page_is_read_alike_however_it_is_turned(
            turn in -3.2_f32..3.2,
            order in Just([0, 1, 2, 3, 4, 5]).prop_shuffle(),
        ) {
            let page = page(turn);
            let lines: Vec<_> = order.into_iter().map(|index| page[index]).collect();
            let read = in_reading_order(lines, |line| line.1);
            let read: Vec<_> = read.into_iter().map(|line| line.0).collect();
            prop_assert_eq!(read, [0, 1, 2, 3, 4, 5]);
        }
    }

    #[test]
    fn rows_do_not_chain() {
        // Each is a little lower than the one before; the last is below the first.
        let line = |index: usize| {
            let (x, y) = (100.0 * index as f32, 8.0 * index as f32);
            let corners = [(x, y), (x + 90.0, y), (x + 90.0, y + 20.0), (x, y + 20.0)];
            (index, corners.map(|(x, y)| Point::new(x, y)))
        };
        let lines = vec![line(2), line(0), line(1)];
        let read = in_reading_order(lines, |line| line.1);
        assert_eq!(read.iter().map(|l| l.0).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(in_reading_order(Vec::<Quad>::new(), |quad| *quad).is_empty());
    }
}
