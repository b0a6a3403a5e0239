//! Pictures that lie on their side or stand on their head: the detectors know faces that are tilted, but few that lie, and
//! take hanging ones for upright. Such a picture is turned by quarters, and what is seen in it then is turned back.

use super::detect;
use super::task::Face;
use crate::vision::{Area, Point};
use image::{RgbImage, imageops};

/// By how much a picture is turned clockwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quarter {
    /// By 90 degrees.
    One,
    /// By 180 degrees.
    Two,
    /// By 270 degrees.
    Three,
}

impl Quarter {
    /// All of them; what cameras do most comes first.
    pub(super) const ALL: [Self; 3] = [Self::One, Self::Three, Self::Two];

    /// The picture turned.
    pub(super) fn turned(self, image: &RgbImage) -> RgbImage {
        match self {
            Self::One => imageops::rotate90(image),
            Self::Two => imageops::rotate180(image),
            Self::Three => imageops::rotate270(image),
        }
    }

    /// What a network sees of the turned picture, of the `pixels` that it sees of the picture itself: the picture is in the
    /// upper left corner of a square of `side` pixels, `across` x `down` of them.
    pub(super) fn shown(self, pixels: &[f32], side: u32, (across, down): (u32, u32)) -> Vec<f32> {
        let mut turned = vec![detect::BLACK; pixels.len()];
        let (columns, rows) = self.size((across, down));
        for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
            let middle = Point::new(x as f32 + 0.5, y as f32 + 0.5);
            let from = self.place((across, down), middle);
            let pixel = |x: u32, y: u32| ((y * side + x) * 3) as usize;
            let (to, from) = (pixel(x, y), pixel(from.x as u32, from.y as u32));
            if let (Some(to), Some(from)) = (turned.get_mut(to..to + 3), pixels.get(from..from + 3))
            {
                to.copy_from_slice(from);
            }
        }
        turned
    }

    /// What a network sees of the picture turned by each of the quarters at once, of the `pixels` that it sees of the picture
    /// itself, as in [`Quarter::shown`]: each turned picture is at half its size in a [corner](Quarter::corner) of one square.
    pub(super) fn side_by_side(pixels: &[f32], side: u32, (across, down): (u32, u32)) -> Vec<f32> {
        let half = side / 2;
        let size = (across.div_ceil(2), down.div_ceil(2));
        let pixel = |side: u32, x: u32, y: u32| ((y * side + x) * 3) as usize;
        let mut halved = vec![detect::BLACK; pixels.len() / 4];
        for (y, x) in (0..size.1).flat_map(|y| (0..size.0).map(move |x| (y, x))) {
            let to = pixel(half, x, y);
            let four = [(0, 0), (1, 0), (0, 1), (1, 1)];
            let four = four.map(|(right, below)| pixel(side, 2 * x + right, 2 * y + below));
            for channel in 0..3 {
                let sum: f32 = four.iter().map(|at| pixels[at + channel]).sum();
                halved[to + channel] = sum / 4.0;
            }
        }
        let mut together = vec![detect::BLACK; pixels.len()];
        for turn in Self::ALL {
            let (left, top) = turn.corner(half);
            let shown = turn.shown(&halved, half, size);
            let rows = shown.chunks_exact(half as usize * 3);
            for (y, row) in (top..).zip(rows) {
                together[pixel(side, left, y)..][..row.len()].copy_from_slice(row);
            }
        }
        together
    }

    /// Where the turned picture begins among all, each of which has a square of `half` the side.
    fn corner(self, half: u32) -> (u32, u32) {
        match self {
            Self::One => (0, 0),
            Self::Two => (0, half),
            Self::Three => (half, 0),
        }
    }

    /// Whose turned picture a place is in, among [all of them](Quarter::side_by_side).
    pub(super) fn at(side: u32, place: Point) -> Option<Self> {
        let half = side / 2;
        Self::ALL.into_iter().find(|turn| {
            let (left, top) = turn.corner(half);
            let inside = |from: u32, at: f32| (0.0..half as f32).contains(&(at - from as f32));
            inside(left, place.x) && inside(top, place.y)
        })
    }

    /// The width and height of the turned picture.
    pub(super) fn size(self, (width, height): (u32, u32)) -> (u32, u32) {
        match self {
            Self::Two => (width, height),
            Self::One | Self::Three => (height, width),
        }
    }

    /// Where in the `width` x `height` picture a place is of the turned one.
    fn place(self, (width, height): (u32, u32), at: Point) -> Point {
        let (width, height) = (width as f32, height as f32);
        match self {
            Self::One => Point::new(at.y, height - at.x),
            Self::Two => Point::new(width - at.x, height - at.y),
            Self::Three => Point::new(width - at.y, at.x),
        }
    }

    /// What was found in the turned picture as it is in the `width` x `height` one.
    pub(super) fn back(self, size: (u32, u32), mut face: Face) -> Face {
        let place = |point: Point| self.place(size, point);
        let corners = [
            place(Point::new(face.area.left, face.area.top)),
            place(Point::new(face.area.right, face.area.bottom)),
        ];
        face.area = Area::new(
            corners[0].x.min(corners[1].x),
            corners[0].y.min(corners[1].y),
            corners[0].x.max(corners[1].x),
            corners[0].y.max(corners[1].y),
        );
        face.landmarks = face.landmarks.moved(place);
        if let Some(gaze) = &mut face.gaze {
            gaze.pupils = gaze.pupils.map(place);
        }
        let degrees = [90.0, 180.0, 270.0][self as usize];
        face.pose.roll = (face.pose.roll - degrees + 180.0).rem_euclid(360.0) - 180.0;
        face
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    /// The middle of a pixel of the turned picture is the middle of the pixel that it was.
    #[test]
    fn places_are_those_of_the_pixels() {
        let image = RgbImage::from_fn(5, 3, |x, y| Rgb([x as u8, y as u8, 7]));
        for turn in Quarter::ALL {
            let turned = turn.turned(&image);
            for (x, y, Rgb([column, row, _])) in turned.enumerate_pixels() {
                let at = Point::new(x as f32 + 0.5, y as f32 + 0.5);
                let wanted = Point::new(f32::from(*column) + 0.5, f32::from(*row) + 0.5);
                assert_eq!(turn.place((5, 3), at), wanted, "{turn:?} {x} {y}");
            }
        }
    }

    /// What a network is shown is what it would be shown of the turned picture.
    #[test]
    fn what_is_shown_is_the_turned_picture() {
        let image = RgbImage::from_fn(2 * detect::SIDE, detect::SIDE / 2, |x, y| {
            Rgb([(x / 8) as u8, (y / 4) as u8, 7])
        });
        let pixels = detect::input(&image);
        let seen = detect::seen(image.dimensions());
        assert_eq!(seen, (detect::SIDE, detect::SIDE / 4));
        for turn in Quarter::ALL {
            let shown = turn.shown(&pixels, detect::SIDE, seen);
            let wanted = detect::input(&turn.turned(&image));
            let far = |(shown, wanted): (&f32, &f32)| (shown - wanted).abs() > 0.02;
            assert_eq!(
                shown.iter().zip(&wanted).filter(|both| far(*both)).count(),
                0,
                "{turn:?}"
            );
        }
    }

    /// In its corner, each turned picture is what would be shown of it, at half the size.
    #[test]
    fn all_turned_pictures_are_side_by_side() {
        let image = RgbImage::from_fn(2 * detect::SIDE, detect::SIDE / 2, |x, y| {
            Rgb([(x / 8) as u8, (y / 4) as u8, 7])
        });
        let (side, half) = (detect::SIDE, detect::SIDE / 2);
        let size = detect::seen(image.dimensions());
        let all = Quarter::side_by_side(&detect::input(&image), side, size);
        let pixel = |pixels: &[f32], x: u32, y: u32| {
            let at = ((y * side + x) * 3) as usize;
            [0, 1, 2].map(|channel| pixels[at + channel])
        };
        for turn in Quarter::ALL {
            let whole = detect::input(&turn.turned(&image));
            let (left, top) = turn.corner(half);
            for (x, y) in (0..half).flat_map(|y| (0..half).map(move |x| (x, y))) {
                let place = Point::new((left + x) as f32 + 0.5, (top + y) as f32 + 0.5);
                assert_eq!(Quarter::at(side, place), Some(turn));
                let shown = pixel(&all, left + x, top + y);
                let wanted = pixel(&whole, 2 * x, 2 * y);
                let far = shown.iter().zip(wanted).any(|(a, b)| (a - b).abs() > 0.03);
                assert!(!far, "{turn:?} {x} {y}: {shown:?} {wanted:?}");
            }
        }
        assert_eq!(Quarter::at(side, Point::new(300.0, 300.0)), None);
    }
}
