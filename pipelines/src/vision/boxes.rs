//! Axis-parallel boxes, their overlap, and suppression of boxes that say the same as a surer one.

use std::cmp::Ordering;

/// An axis-parallel box in pixels; it may reach outside its image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Area {
    /// Left edge.
    pub left: f32,
    /// Upper edge.
    pub top: f32,
    /// Right edge.
    pub right: f32,
    /// Lower edge.
    pub bottom: f32,
}

impl Area {
    /// The box from its edges.
    pub fn new(left: f32, top: f32, right: f32, bottom: f32) -> Self {
        Self {
            left,
            top,
            right,
            bottom,
        }
    }

    /// From left to right; never negative.
    pub fn width(&self) -> f32 {
        (self.right - self.left).max(0.0)
    }

    /// From top to bottom; never negative.
    pub fn height(&self) -> f32 {
        (self.bottom - self.top).max(0.0)
    }

    /// Pixels inside.
    pub fn size(&self) -> f32 {
        self.width() * self.height()
    }

    /// The middle.
    pub fn centre(&self) -> super::Point {
        super::Point::new(
            (self.left + self.right) / 2.0,
            (self.top + self.bottom) / 2.0,
        )
    }

    /// The part inside a `width` x `height` image; without a size when there is none.
    pub fn within(&self, width: u32, height: u32) -> Self {
        let (width, height) = (width as f32, height as f32);
        Self {
            left: self.left.clamp(0.0, width),
            top: self.top.clamp(0.0, height),
            right: self.right.clamp(0.0, width),
            bottom: self.bottom.clamp(0.0, height),
        }
    }

    /// What two boxes have in common, in pixels.
    pub fn common(&self, other: &Self) -> f32 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }

    /// Intersection over union, 0 to 1.
    pub fn overlap(&self, other: &Self) -> f32 {
        let common = self.common(other);
        let union = self.size() + other.size() - common;
        if union > 0.0 { common / union } else { 0.0 }
    }

    /// Whether every edge is a number.
    pub fn is_finite(&self) -> bool {
        [self.left, self.top, self.right, self.bottom]
            .iter()
            .all(|edge| edge.is_finite())
    }
}

/// Indices of the boxes that remain, surest first, at most `most`: one whose overlap with a surer one is above
/// `overlap` goes. Equal scores keep their order. Boxes and scores that are not finite go first of all.
///
/// Compares every pair in the worst case, so callers bound the number of candidates.
pub fn suppress(candidates: &[(f32, Area)], overlap: f32, most: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len())
        .filter(|&i| candidates[i].0.is_finite() && candidates[i].1.is_finite())
        .collect();
    order.sort_by(|&a, &b| surer(candidates[a].0, candidates[b].0));
    let mut kept: Vec<usize> = Vec::new();
    for index in order {
        if kept.len() == most {
            break;
        }
        let area = &candidates[index].1;
        if kept
            .iter()
            .all(|&other| candidates[other].1.overlap(area) <= overlap)
        {
            kept.push(index);
        }
    }
    kept
}

/// Orders scores, the surest first.
pub fn surer(a: f32, b: f32) -> Ordering {
    b.total_cmp(&a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn overlap_is_intersection_over_union() {
        let a = Area::new(0.0, 0.0, 10.0, 10.0);
        assert_eq!(a.overlap(&a), 1.0);
        assert_eq!(a.overlap(&Area::new(5.0, 0.0, 15.0, 10.0)), 50.0 / 150.0);
        assert_eq!(a.overlap(&Area::new(10.0, 0.0, 15.0, 10.0)), 0.0);
        assert_eq!(a.overlap(&Area::new(8.0, 8.0, 2.0, 2.0)), 0.0);
        assert_eq!(Area::default().overlap(&Area::default()), 0.0);
        assert_eq!(
            Area::new(-3.0, 5.0, 20.0, 30.0).within(10, 20),
            Area::new(0.0, 5.0, 10.0, 20.0)
        );
    }

    #[test]
    fn the_surest_of_each_heap_remains() {
        let at = |x: f32| Area::new(x, 0.0, x + 10.0, 10.0);
        let boxes = [
            (0.5, at(0.0)),
            (0.9, at(1.0)),
            (0.8, at(50.0)),
            (f32::NAN, at(90.0)),
            (0.7, at(4.0)),
            (0.6, Area::new(f32::NAN, 0.0, 1.0, 1.0)),
        ];
        assert_eq!(suppress(&boxes, 0.5, 10), [1, 2]);
        assert_eq!(suppress(&boxes, 0.85, 10), [1, 2, 4, 0]);
        assert_eq!(suppress(&boxes, 0.5, 1), [1]);
    }

    proptest! {
        #[test]
        fn no_two_that_remain_overlap(
            boxes in prop::collection::vec((0.0_f32..1.0, 0.0_f32..50.0, 0.0_f32..50.0, 1.0_f32..30.0, 1.0_f32..30.0), 0..40),
            overlap in 0.1_f32..0.9,
        ) {
            let boxes: Vec<_> = boxes
                .into_iter()
                .map(|(score, x, y, w, h)| (score, Area::new(x, y, x + w, y + h)))
                .collect();
            let kept = suppress(&boxes, overlap, usize::MAX);
            prop_assert!(kept.is_sorted_by(|&a, &b| boxes[a].0 >= boxes[b].0));
            for (i, &a) in kept.iter().enumerate() {
                for &b in &kept[..i] {
                    prop_assert!(boxes[a].1.overlap(&boxes[b].1) <= overlap);
                }
            }
            // Whoever went, went because of a surer one.
            for index in 0..boxes.len() {
                let beaten = kept.iter().any(|&k| {
                    boxes[k].0 >= boxes[index].0 && boxes[k].1.overlap(&boxes[index].1) > overlap
                });
                prop_assert!(kept.contains(&index) || beaten);
            }
        }
    }
}
