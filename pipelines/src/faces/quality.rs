//! How bright and how sharp a face is, measured on its pixels.

use crate::image::resize::Crop;
use crate::vision::resample::{Canvas, Grid, bilinear};
use image::RgbImage;

/// Faces are measured at this many pixels a side, so that one number means the same for large and small ones.
const SIDE: u32 = 112;
/// Variance of the Laplacian at which a face counts as half sharp. A photograph in focus has some hundreds to
/// thousands, one that was blurred a few tens.
const HALF_SHARP: f32 = 150.0;

/// Brightness and sharpness, 0 to 100 each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// The mean of the luma.
    pub brightness: f32,
    /// How much neighbours differ: the Laplacian's variance, mapped so that more never means less.
    pub sharpness: f32,
}

/// Measures a part of an image.
pub fn measure(image: &RgbImage, crop: Crop) -> Quality {
    let pixels = bilinear(image, Canvas::tight(crop), SIDE, SIDE, Grid::Centre);
    let luma: Vec<f32> = pixels
        .as_chunks::<3>()
        .0
        .iter()
        .map(|[r, g, b]| 0.299 * r + 0.587 * g + 0.114 * b)
        .collect();
    let side = SIDE as usize;
    let at = |x: usize, y: usize| luma[y * side + x];
    let mut laplacian = Vec::with_capacity((side - 2) * (side - 2));
    for y in 1..side - 1 {
        for x in 1..side - 1 {
            let around = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1);
            laplacian.push(around - 4.0 * at(x, y));
        }
    }
    let mean =
        |values: &mut dyn Iterator<Item = f32>, count: usize| values.sum::<f32>() / count as f32;
    let middle = mean(&mut laplacian.iter().copied(), laplacian.len());
    let variance = mean(
        &mut laplacian.iter().map(|v| (v - middle).powi(2)),
        laplacian.len(),
    );
    Quality {
        brightness: mean(&mut luma.iter().copied(), luma.len()) / 255.0 * 100.0,
        sharpness: 100.0 * variance / (variance + HALF_SHARP),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn of(image: &RgbImage) -> Quality {
        measure(image, Crop::whole(image.width(), image.height()))
    }

    #[test]
    fn flat_pictures_have_brightness_only() {
        for (value, brightness) in [(0, 0.0), (255, 100.0), (51, 20.0)] {
            let quality = of(&RgbImage::from_pixel(200, 200, Rgb([value; 3])));
            assert!(
                (quality.brightness - brightness).abs() < 1e-3,
                "{quality:?}"
            );
            assert!(quality.sharpness < 1e-3);
        }
    }

    #[test]
    fn blur_makes_less_sharp() {
        let mut image = RgbImage::from_fn(112, 112, |x, y| {
            Rgb([if (x / 8 + y / 8) % 2 == 0 { 230 } else { 20 }; 3])
        });
        let mut last = of(&image).sharpness;
        assert!(last > 90.0, "{last}");
        for _ in 0..4 {
            // The mean of each pixel and its neighbours.
            image = RgbImage::from_fn(112, 112, |x, y| {
                let value = |dx: u32, dy: u32| {
                    let (x, y) = ((x + dx + 111) % 112, (y + dy + 111) % 112);
                    u32::from(image.get_pixel(x, y).0[0])
                };
                let sum: u32 = (0..9).map(|i| value(i % 3, i / 3)).sum();
                Rgb([(sum / 9) as u8; 3])
            });
            let now = of(&image).sharpness;
            assert!(now < last, "{now} after {last}");
            last = now;
        }
        assert!(last < 70.0, "{last}");
    }
}
