//! Long images in parts that overlap, and what was found in them as what is in the image.
//!
//! The built-in network sees an image squeezed into a square. In one that is twice as long as high, things are half as
//! long as those that it was trained on, and small.

use super::Detection;
use crate::image::resize::Crop;
use crate::vision::Area;

/// An image of which the longer side is at most so many shorter ones is seen as a whole only.
const LONG: f32 = 1.8;
/// How long a part is, in shorter sides of the image.
const LENGTH: f32 = 1.5;
/// By how much a part is further along than the one before, in its lengths: things up to half as long are in one of both.
const STEP: f32 = 0.5;
/// Most parts of an image; those of a longer one are longer.
const MOST: u32 = 9;
/// What ends nearer than so much of a part's length at an edge that is not the image's is cut off there.
const EDGE: f32 = 0.02;
/// A box of which so much lies in another one of the same class is the same thing.
const SAME: f32 = 0.6;

/// The parts of a `width` x `height` image, from its left or upper end; none of one that is not long.
pub fn parts(width: u32, height: u32) -> Vec<Crop> {
    let (longer, shorter) = (width.max(height), width.min(height).max(1));
    let ratio = longer as f32 / shorter as f32;
    if ratio <= LONG {
        return Vec::new();
    }
    let count = (((ratio / LENGTH - 1.0) / STEP).ceil() as u32 + 1).min(MOST);
    let evenly = longer as f32 / (1.0 + STEP * (count - 1) as f32);
    let length = ((evenly.max(LENGTH * shorter as f32)).ceil() as u32).min(longer);
    let start = |part: u32| {
        let free = u64::from(longer - length);
        (free * u64::from(part) / u64::from(count - 1)) as u32
    };
    let crop = |part| {
        if width > height {
            Crop {
                left: start(part),
                top: 0,
                width: length,
                height,
            }
        } else {
            Crop {
                left: 0,
                top: start(part),
                width,
                height: length,
            }
        }
    };
    (0..count).map(crop).collect()
}

/// What was found in a part of a `width` x `height` image, as places in the image, without what is cut off at the
/// edges of the part.
pub fn of_image(
    found: Vec<Detection>,
    part: Crop,
    (width, height): (u32, u32),
) -> impl Iterator<Item = Detection> {
    let (across, down) = (EDGE * part.width as f32, EDGE * part.height as f32);
    let (right, bottom) = (part.left + part.width, part.top + part.height);
    found.into_iter().filter_map(move |detection| {
        let Area {
            left,
            top,
            right: end,
            bottom: low,
        } = detection.area;
        let cut = part.left > 0 && left < across
            || part.top > 0 && top < down
            || right < width && end > part.width as f32 - across
            || bottom < height && low > part.height as f32 - down;
        let (x, y) = (part.left as f32, part.top as f32);
        let area = Area::new(left + x, top + y, end + x, low + y);
        (!cut).then_some(Detection { area, ..detection })
    })
}

/// What was found in the whole and in parts, each thing once: the surest of those that are the same.
pub fn once(mut found: Vec<Detection>, most: usize) -> Vec<Detection> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Detection> = Vec::new();
    for detection in found {
        let again = kept.iter().any(|other| {
            let least = other.area.size().min(detection.area.size());
            other.class == detection.class && other.area.common(&detection.area) > SAME * least
        });
        if !again && kept.len() < most {
            kept.push(detection);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_cover_long_images(width in 1_u32..10_000, height in 1_u32..10_000) {
            let parts = parts(width, height);
            let ratio = width.max(height) as f32 / width.min(height) as f32;
            prop_assert_eq!(parts.is_empty(), ratio <= LONG);
            prop_assert!(parts.len() <= MOST as usize);
            let ends = |crop: &Crop| if width > height {
                (crop.left, crop.left + crop.width)
            } else {
                (crop.top, crop.top + crop.height)
            };
            if let [first, .., last] = &parts[..] {
                prop_assert_eq!(ends(first).0, 0);
                prop_assert_eq!(ends(last).1, width.max(height));
            }
            for pair in parts.windows(2) {
                prop_assert!(ends(&pair[0]).1 >= ends(&pair[1]).0);
            }
        }
    }

    fn at(left: f32, right: f32, score: f32) -> Detection {
        Detection {
            class: 1,
            score,
            area: Area::new(left, 10.0, right, 90.0),
        }
    }

    #[test]
    fn each_thing_is_found_once() {
        let part = Crop {
            left: 100,
            top: 0,
            width: 100,
            height: 100,
        };
        let found = vec![at(20.0, 80.0, 0.6), at(0.5, 30.0, 0.9), at(60.0, 99.5, 0.8)];
        let moved: Vec<_> = of_image(found.clone(), part, (300, 100)).collect();
        assert_eq!(moved, [at(120.0, 180.0, 0.6)]);
        // At the end of the image nothing is cut off.
        assert_eq!(of_image(found, part, (200, 100)).count(), 2);
        let all = vec![at(118.0, 185.0, 0.5), moved[0].clone(), at(10.0, 60.0, 0.3)];
        assert_eq!(once(all.clone(), 9), [moved[0].clone(), all[2].clone()]);
        assert_eq!(once(all, 1), moved);
    }
}
