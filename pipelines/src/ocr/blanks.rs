//! Columns of a line without ink: between words, and where a long line may be parted.

use super::rectify::{Picture, ROWS};
use image::RgbImage;
use std::borrow::Cow;

/// A column has no ink if its values differ by less than this part of what those of the column with most differ by.
const PALE: f32 = 0.3;
/// Columns of a part of a long line, at 48 rows.
const PART: u32 = 2400;
/// A line of fewer columns is not parted.
const LONG: u32 = 3200;

/// Neighbouring columns without ink; places along the line, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blank {
    /// Where they begin.
    pub from: f32,
    /// Where they end.
    pub to: f32,
}

/// All such columns of the picture of a line, from the left.
pub fn blanks(line: &RgbImage) -> Vec<Blank> {
    let width = line.width() as f32;
    let columns = runs(line).into_iter();
    let blank = |(from, to): (u32, u32)| Blank {
        from: from as f32 / width,
        to: to as f32 / width,
    };
    columns.map(blank).collect()
}

/// First columns without ink, and the first with ink after each.
fn runs(line: &RgbImage) -> Vec<(u32, u32)> {
    let (width, height) = line.dimensions();
    let stride = width as usize;
    let mut ends = vec![(u8::MAX, u8::MIN); stride];
    // The outermost rows may hold what belongs to other lines.
    let border = height / 12;
    let rows = line.as_raw().as_chunks::<3>().0.chunks_exact(stride.max(1));
    for row in rows
        .skip(border as usize)
        .take((height - 2 * border) as usize)
    {
        for ((low, high), pixel) in ends.iter_mut().zip(row) {
            let sum: u16 = pixel.iter().map(|&value| u16::from(value)).sum();
            let grey = (sum / 3) as u8;
            (*low, *high) = ((*low).min(grey), (*high).max(grey));
        }
    }
    let contrast = |&(low, high): &(u8, u8)| f32::from(high.saturating_sub(low));
    let most = ends.iter().map(contrast).fold(0.0, f32::max);
    let mut found = Vec::new();
    let mut at = 0;
    for run in ends.chunk_by(|a, b| (contrast(a) < PALE * most) == (contrast(b) < PALE * most)) {
        let to = at + run.len() as u32;
        if contrast(&run[0]) < PALE * most {
            found.push((at, to));
        }
        at = to;
    }
    found
}

/// The parts of a line that is too long for the network to see at once, each cut off in a wide blank; the line itself
/// where it is not.
pub fn parts(picture: &Picture) -> Vec<Cow<'_, Picture>> {
    let columns = picture.columns(u32::MAX);
    if columns <= LONG {
        return vec![Cow::Borrowed(picture)];
    }
    let (width, height) = picture.image.dimensions();
    let blanks = runs(&picture.image);
    let step = (u64::from(PART) * u64::from(height) / u64::from(ROWS)).max(1) as u32;
    let mut parts = Vec::new();
    let mut from = 0;
    while width - from > step + step / 4 {
        let (first, last) = (from + step - step / 4, from + step + step / 4);
        let widest = blanks
            .iter()
            .filter(|&&(left, right)| (first..last).contains(&left.midpoint(right)))
            .max_by_key(|&&(left, right)| right - left);
        let to = widest.map_or(from + step, |&(left, right)| left.midpoint(right));
        parts.push(Cow::Owned(picture.part(from, to)));
        from = to;
    }
    parts.push(Cow::Owned(picture.part(from, width)));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::Point;
    use image::Rgb;

    /// White, with black bars that are 6 columns wide, at columns that `inked` says.
    fn bars(width: u32, inked: impl Fn(u32) -> bool) -> RgbImage {
        RgbImage::from_fn(width, 48, |x, y| {
            let ink = inked(x) && (10..40).contains(&y);
            Rgb([if ink { 0 } else { 250 }; 3])
        })
    }

    #[test]
    fn blanks_are_between_ink() {
        let line = bars(100, |x| (10..30).contains(&x) || (50..90).contains(&x));
        let blank = |from, to| Blank { from, to };
        assert_eq!(
            blanks(&line),
            [blank(0.0, 0.1), blank(0.3, 0.5), blank(0.9, 1.0)]
        );
        assert_eq!(blanks(&RgbImage::new(5, 48)), []);
        assert_eq!(blanks(&RgbImage::new(0, 0)), []);
    }

    #[test]
    fn long_lines_are_parted_in_blanks() {
        // Words of 80 columns, 20 apart.
        let image = bars(9000, |x| x % 100 < 80);
        let corners = [(0.0, 0.0), (9000.0, 0.0), (9000.0, 48.0), (0.0, 48.0)];
        let quad = corners.map(|(x, y)| Point::new(x, y));
        let picture = Picture {
            image,
            quad,
            laid: false,
        };
        let parts = parts(&picture);
        assert!((3..=5).contains(&parts.len()), "{}", parts.len());
        let mut at = 0.0;
        for part in &parts {
            assert_eq!(part.quad[0].x, at);
            assert!(part.image.width() <= LONG);
            at = part.quad[1].x;
            assert!(
                at == 9000.0 || (80.0..100.0).contains(&(at % 100.0)),
                "{at}"
            );
        }
        assert_eq!(at, 9000.0);
    }
}
