//! Shrinking by the mean of all pixels that a pixel of the target covers, whole pixels at its edges: what PyTorch calls
//! adaptive average pooling. A target that is larger than its source repeats pixels.

use crate::image::resize::Crop;
use image::RgbImage;
use std::ops::{AddAssign, Range};

/// The pixels of the source that a position of the target covers, on one axis; never none.
fn covered(position: u32, source: u32, target: u32) -> Range<usize> {
    let (position, source, target) = (
        u64::from(position),
        u64::from(source),
        u64::from(target.max(1)),
    );
    let first = position * source / target;
    let end = ((position + 1) * source).div_ceil(target);
    first as usize..end as usize
}

/// Means of a part of an image as rows of a `width` x `height` target: `each` is given those in `rows` from above,
/// three values of 0 to 255 a pixel.
///
/// # Panics
/// When the crop is empty or reaches outside the image, or rows are asked for that the target does not have.
pub fn average_rows(
    image: &RgbImage,
    crop: Crop,
    (width, height): (u32, u32),
    rows: Range<u32>,
    mut each: impl FnMut(&[f32]),
) {
    assert!(
        crop.width > 0
            && crop.height > 0
            && u64::from(crop.left) + u64::from(crop.width) <= u64::from(image.width())
            && u64::from(crop.top) + u64::from(crop.height) <= u64::from(image.height()),
        "the crop is a part of the image"
    );
    assert!(rows.end <= height, "the target has these rows");
    let columns: Vec<_> = (0..width).map(|x| covered(x, crop.width, width)).collect();
    let stride = image.width() as usize * 3;
    let (left, length) = (crop.left as usize * 3, crop.width as usize * 3);
    let mut sums = vec![0_u16; length];
    let mut means = vec![0.0_f32; width as usize * 3];
    for y in rows {
        let lines = covered(y, crop.height, height);
        let line = |line: usize| {
            let start = (crop.top as usize + line) * stride + left;
            &image.as_raw()[start..start + length]
        };
        let count = lines.len();
        if count <= usize::from(u16::MAX / 255) {
            add(&mut sums, lines.map(line));
            across(&sums, &columns, count, &mut means);
        } else {
            let mut sums = vec![0_u32; length];
            add(&mut sums, lines.map(line));
            across(&sums, &columns, count, &mut means);
        }
        each(&means);
    }
}

/// The sums of lines, value by value. `T` holds 255 for each line.
fn add<'a, T: Copy + From<u8> + AddAssign>(sums: &mut [T], lines: impl Iterator<Item = &'a [u8]>) {
    sums.fill(T::from(0));
    for line in lines {
        for (sum, &value) in sums.iter_mut().zip(line) {
            *sum += T::from(value);
        }
    }
}

/// The means of columns of sums of `lines` lines.
fn across<T: Copy + Into<u32>>(
    sums: &[T],
    columns: &[Range<usize>],
    lines: usize,
    means: &mut [f32],
) {
    let sums = sums.as_chunks::<3>().0;
    for (mean, columns) in means.as_chunks_mut::<3>().0.iter_mut().zip(columns) {
        let mut total = [0_u32; 3];
        for pixel in &sums[columns.clone()] {
            for (total, &value) in total.iter_mut().zip(pixel) {
                *total += value.into();
            }
        }
        let count = (columns.len() * lines) as f32;
        *mean = total.map(|total| total as f32 / count);
    }
}

/// As [`average_rows`], all rows.
///
/// # Panics
/// As [`average_rows`].
pub fn average(image: &RgbImage, crop: Crop, size: (u32, u32)) -> Vec<f32> {
    let mut result = Vec::with_capacity(size.0 as usize * size.1 as usize * 3);
    average_rows(image, crop, size, 0..size.1, |row| {
        result.extend_from_slice(row);
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    /// Reds of `adaptive_avg_pool2d` of PyTorch on rows of 0, 10, 20, 30, 40.
    #[test]
    fn means_are_those_of_adaptive_pooling() {
        let image = RgbImage::from_fn(5, 2, |x, y| Rgb([(10 * x) as u8, (100 * y) as u8, 7]));
        let row = |width: u32| -> Vec<f32> {
            let means = average(&image, Crop::whole(5, 2), (width, 1));
            assert!(
                means
                    .as_chunks()
                    .0
                    .iter()
                    .all(|[_, g, b]| (*g, *b) == (50.0, 7.0))
            );
            means.iter().step_by(3).copied().collect()
        };
        assert_eq!(row(1), [20.0]);
        assert_eq!(row(2), [10.0, 30.0]);
        assert_eq!(row(3), [5.0, 20.0, 35.0]);
        assert_eq!(row(5), [0.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(row(7), [0.0, 5.0, 15.0, 20.0, 25.0, 35.0, 40.0]);
    }

    #[test]
    fn many_bright_lines_are_no_overflow() {
        let image = RgbImage::from_pixel(2, 1000, Rgb([255, 254, 1]));
        let means = average(&image, Crop::whole(2, 1000), (1, 1));
        assert_eq!(means, [255.0, 254.0, 1.0]);
        let means = average(&image, Crop::whole(2, 1000), (2, 4));
        assert!(
            means
                .as_chunks()
                .0
                .iter()
                .all(|pixel| *pixel == [255.0, 254.0, 1.0])
        );
    }

    #[test]
    fn parts_and_rows_are_those_asked_for() {
        let image = RgbImage::from_fn(6, 6, |x, y| Rgb([x as u8, y as u8, 0]));
        let crop = Crop {
            left: 2,
            top: 1,
            width: 4,
            height: 4,
        };
        assert_eq!(average(&image, crop, (1, 1)), [3.5, 2.5, 0.0]);
        let mut rows = Vec::new();
        average_rows(&image, crop, (2, 2), 1..2, |row| {
            rows.extend_from_slice(row)
        });
        assert_eq!(rows, [2.5, 3.5, 0.0, 4.5, 3.5, 0.0]);
    }
}
