//! Mirrored and shifted images: functions of an image and a random number.

use crate::efficientnet::SIDE;
use crate::train::random;

/// Values of a row.
const ROW: usize = SIDE * 3;

/// What may happen to an image before it is learned from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Augmentation {
    /// It is mirrored, left for right, every other time.
    pub flip: bool,
    /// It is moved by at most so many pixels along each side; its edge is repeated where it left. The same as a crop of
    /// the image with its edges continued.
    pub shift: usize,
}

/// What happens to one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    flip: bool,
    /// Added to a pixel's row and column to find where it comes from.
    from: [isize; 2],
}

impl Augmentation {
    /// What happens to the image that `seed` stands for.
    pub(super) fn change(self, seed: u64) -> Change {
        let shift = self.shift.min(SIDE) as u64;
        let along = |index| (random(seed, index) % (2 * shift + 1)) as isize - shift as isize;
        Change {
            flip: self.flip && random(seed, 0) >> 63 == 1,
            from: [along(1), along(2)],
        }
    }
}

impl Change {
    /// Nothing.
    pub(super) const NONE: Self = Self {
        flip: false,
        from: [0, 0],
    };

    /// Writes row `y` of the changed `image` `[SIDE, SIDE, 3]` to `out`.
    pub(super) fn row(self, image: &[f32], y: usize, out: &mut [f32]) {
        let inside = |at: usize, by: isize| at.saturating_add_signed(by).min(SIDE - 1);
        let row = &image[inside(y, self.from[0]) * ROW..][..ROW];
        if self == Self::NONE {
            return out[..ROW].copy_from_slice(row);
        }
        for (x, pixel) in out.chunks_exact_mut(3).take(SIDE).enumerate() {
            let x = if self.flip { SIDE - 1 - x } else { x };
            pixel.copy_from_slice(&row[inside(x, self.from[1]) * 3..][..3]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Vec<f32> {
        (0..SIDE * ROW).map(|index| index as f32).collect()
    }

    /// Pixel `(y, x)` of the changed image, first channel.
    fn pixel(change: Change, y: usize, x: usize) -> f32 {
        let mut row = vec![0.0; ROW];
        change.row(&image(), y, &mut row);
        row[x * 3]
    }

    #[test]
    fn images_are_moved_and_mirrored() {
        let at = |y: usize, x: usize| (y * ROW + x * 3) as f32;
        assert_eq!(pixel(Change::NONE, 5, 7), at(5, 7));
        let change = Change {
            flip: false,
            from: [3, -2],
        };
        assert_eq!(pixel(change, 5, 7), at(8, 5));
        assert_eq!(pixel(change, SIDE - 1, 0), at(SIDE - 1, 0));
        let change = Change {
            flip: true,
            from: [0, 1],
        };
        assert_eq!(pixel(change, 0, 0), at(0, SIDE - 1));
        assert_eq!(pixel(change, 0, 10), at(0, SIDE - 10));
    }

    #[test]
    fn what_happens_is_a_function_of_the_seed_and_within_bounds() {
        let augmentation = Augmentation {
            flip: true,
            shift: 4,
        };
        let changes: Vec<Change> = (0..2000).map(|seed| augmentation.change(seed)).collect();
        assert_eq!(
            changes,
            (0..2000)
                .map(|seed| augmentation.change(seed))
                .collect::<Vec<_>>()
        );
        let flipped = changes.iter().filter(|change| change.flip).count();
        // Four standard deviations of a fair coin.
        assert!((910..=1090).contains(&flipped), "{flipped}");
        for way in -4..=4 {
            assert!(changes.iter().any(|change| change.from[0] == way));
            assert!(changes.iter().any(|change| change.from[1] == way));
        }
        let most = changes.iter().flat_map(|change| change.from).max();
        assert_eq!(most, Some(4));
        assert_eq!(Augmentation::default().change(7), Change::NONE);
        let never = Augmentation {
            flip: false,
            shift: 4,
        };
        assert!((0..100).all(|seed| !never.change(seed).flip));
    }
}
