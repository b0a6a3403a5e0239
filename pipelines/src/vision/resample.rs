//! Bilinear resampling in the conventions that networks were trained with.
//!
//! All of them read the four pixels around a place; they differ in which place of the source belongs to a pixel of
//! the target ([`Grid`]). Nothing is averaged when an image shrinks (no antialiasing), because the references do
//! not. Results are numbers, not rounded to bytes, interleaved red, green, blue.

use super::Area;
use crate::image::resize::Crop;
use image::RgbImage;

/// Which place of the source a pixel of the target is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// `i · source / target`: TensorFlow without aligned corners and without half-pixel centres.
    Corner,
    /// `i · (source − 1) / (target − 1)`: TensorFlow with aligned corners.
    Aligned,
    /// `(i + ½) · source / target − ½`: OpenCV.
    Centre,
}

/// A part of an image on a black canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canvas {
    crop: Crop,
    /// Column of the crop's first pixel.
    left: u32,
    /// Row of the crop's first pixel.
    top: u32,
    width: u32,
    height: u32,
}

impl Canvas {
    /// The part alone.
    pub fn tight(crop: Crop) -> Self {
        Self {
            crop,
            left: 0,
            top: 0,
            width: crop.width,
            height: crop.height,
        }
    }

    /// The part in the upper left corner of the smallest square that holds it.
    pub fn corner(crop: Crop) -> Self {
        let side = crop.width.max(crop.height);
        Self {
            crop,
            left: 0,
            top: 0,
            width: side,
            height: side,
        }
    }

    /// The part in the middle of the smallest square that holds it; an odd pixel goes to the right and down.
    pub fn middle(crop: Crop) -> Self {
        let side = crop.width.max(crop.height);
        Self {
            left: (side - crop.width) / 2,
            top: (side - crop.height) / 2,
            ..Self::corner(crop)
        }
    }

    /// Columns and rows.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Where the crop's first pixel lies.
    pub fn offset(&self) -> (u32, u32) {
        (self.left, self.top)
    }
}

/// Two neighbours of a place on one axis, and how much the second counts.
#[derive(Clone, Copy)]
struct Between {
    low: u32,
    high: u32,
    weight: f32,
}

/// Where each target position reads, on one axis.
fn axis(source: u32, target: u32, grid: Grid) -> Vec<Between> {
    let last = source.saturating_sub(1);
    let place = |i: u32| {
        let i = i as f32;
        match grid {
            Grid::Corner => i * (source as f32 / target as f32),
            Grid::Aligned if target > 1 => i * (last as f32 / (target - 1) as f32),
            Grid::Aligned => 0.0,
            Grid::Centre => ((i + 0.5) * (source as f32 / target as f32) - 0.5).max(0.0),
        }
    };
    let between = |i| {
        let place: f32 = place(i);
        let low = (place.floor() as u32).min(last);
        Between {
            low,
            high: (low + 1).min(last),
            weight: if low == last { 0.0 } else { place - low as f32 },
        }
    };
    (0..target).map(between).collect()
}

/// The columns of a target in the rows of a crop.
struct Line<'a> {
    columns: &'a [Between],
    /// Column of the canvas where the crop begins.
    left: u32,
    /// Those whose pixels lie in the crop, with another byte behind them.
    inner: std::ops::Range<usize>,
}

impl<'a> Line<'a> {
    /// `columns` are in order.
    fn new(columns: &'a [Between], left: u32, width: u32) -> Self {
        let first = columns.partition_point(|x| x.low < left);
        // The crop's last column has nothing behind it.
        let end = columns.partition_point(|x| x.high < left.saturating_add(width) - 1);
        Self {
            columns,
            left,
            inner: first.min(end)..end,
        }
    }

    /// Reads them in a row of the crop.
    fn read(&self, row: &[u8], into: &mut [[f32; 3]]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            let inner = self.inner.clone();
            self.read_portable(row, into, 0..inner.start);
            // SAFETY: the processor has AVX2.
            unsafe { self.read_avx2(row, into) };
            return self.read_portable(row, into, inner.end..self.columns.len());
        }
        self.read_portable(row, into, 0..self.columns.len());
    }

    fn read_portable(&self, row: &[u8], into: &mut [[f32; 3]], range: std::ops::Range<usize>) {
        let source = row.as_chunks::<3>().0;
        let at = |column: u32| -> [f32; 3] {
            let column = column.wrapping_sub(self.left) as usize;
            source
                .get(column)
                .map_or([0.0; 3], |pixel| pixel.map(f32::from))
        };
        for (x, pixel) in self.columns[range.clone()].iter().zip(&mut into[range]) {
            let (left, right) = (at(x.low), at(x.high));
            *pixel = std::array::from_fn(|c| left[c] + (right[c] - left[c]) * x.weight);
        }
    }

    /// The inner columns as the portable code reads them, the three channels at once.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn read_avx2(&self, row: &[u8], into: &mut [[f32; 3]]) {
        use std::arch::x86_64::{
            _mm_add_ps, _mm_cvtepi32_ps, _mm_cvtepu8_epi32, _mm_cvtsi32_si128, _mm_mul_ps,
            _mm_set1_ps, _mm_storeu_ps, _mm_sub_ps,
        };
        let range = self.inner.clone();
        for (x, pixel) in self.columns[range.clone()].iter().zip(&mut into[range]) {
            let at = |column: u32| {
                let start = (column - self.left) as usize * 3;
                // `inner` has no others, so that this is never zero.
                let bytes = row.get(start..).and_then(<[u8]>::first_chunk).copied();
                let bytes = i32::from_le_bytes(bytes.unwrap_or_default());
                _mm_cvtepi32_ps(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(bytes)))
            };
            let (left, right) = (at(x.low), at(x.high));
            let weighed = _mm_mul_ps(_mm_sub_ps(right, left), _mm_set1_ps(x.weight));
            let mut four = [0.0_f32; 4];
            // SAFETY: 16 bytes are written to an array of as many; no alignment is needed.
            unsafe { _mm_storeu_ps(four.as_mut_ptr(), _mm_add_ps(left, weighed)) };
            pixel.copy_from_slice(&four[..3]);
        }
    }
}

/// Resamples a canvas to `width` x `height`: `width · height · 3` values of 0 to 255.
///
/// # Panics
/// When the crop is empty or reaches outside the image, or the size asked for is empty.
pub fn bilinear(image: &RgbImage, canvas: Canvas, width: u32, height: u32, grid: Grid) -> Vec<f32> {
    let mut result = Vec::with_capacity(width as usize * height as usize * 3);
    bilinear_rows(image, canvas, width, height, grid, |row| {
        result.extend_from_slice(row);
    });
    result
}

/// As [`bilinear`], row by row from above.
///
/// # Panics
/// As [`bilinear`].
pub fn bilinear_rows(
    image: &RgbImage,
    canvas: Canvas,
    width: u32,
    height: u32,
    grid: Grid,
    mut each: impl FnMut(&[f32]),
) {
    let Canvas { crop, .. } = canvas;
    assert!(
        crop.width > 0 && crop.height > 0 && width > 0 && height > 0,
        "nothing to resample"
    );
    assert!(
        u64::from(crop.left) + u64::from(crop.width) <= u64::from(image.width())
            && u64::from(crop.top) + u64::from(crop.height) <= u64::from(image.height()),
        "the crop is within the image"
    );
    let columns = axis(canvas.width, width, grid);
    let rows = axis(canvas.height, height, grid);
    let stride = image.width() as usize * 3;
    let pixels = image.as_raw();
    let line = Line::new(&columns, canvas.left, crop.width);
    // A row of the canvas at the target's columns, black around the crop.
    let across = |y: u32, into: &mut [f32]| {
        let Some(y) = y.checked_sub(canvas.top).filter(|&y| y < crop.height) else {
            return into.fill(0.0);
        };
        let start = (crop.top + y) as usize * stride + crop.left as usize * 3;
        line.read(
            &pixels[start..start + crop.width as usize * 3],
            into.as_chunks_mut().0,
        );
    };
    let mut upper = vec![0.0; width as usize * 3];
    let (mut lower, mut mixed) = (upper.clone(), upper.clone());
    // The rows that `upper` and `lower` are.
    let mut held = (u32::MAX, u32::MAX);
    for y in &rows {
        if held.0 != y.low {
            if held.1 == y.low {
                std::mem::swap(&mut upper, &mut lower);
                held = (y.low, u32::MAX);
            } else {
                across(y.low, &mut upper);
                held.0 = y.low;
            }
        }
        if held.1 != y.high {
            across(y.high, &mut lower);
            held.1 = y.high;
        }
        for ((mixed, above), below) in mixed.iter_mut().zip(&upper).zip(&lower) {
            *mixed = above + (below - above) * y.weight;
        }
        each(&mixed);
    }
}

/// TensorFlow's `crop_and_resize`: `side` x `side` places spread evenly over an area, of which the first and last
/// lie on its edges. The area may reach outside the image; what is read there is 0.
pub fn crop_and_resize(image: &RgbImage, area: Area, side: u32) -> Vec<f32> {
    let (width, height) = image.dimensions();
    // Areas are relative to the image's size, places to its last pixel.
    let places = |from: f32, to: f32, length: u32| -> Vec<Option<Between>> {
        let last = length.saturating_sub(1);
        let (first, step) = (
            from / length.max(1) as f32 * last as f32,
            (to - from) / length.max(1) as f32 * last as f32 / side.saturating_sub(1).max(1) as f32,
        );
        let between = |i: u32| {
            let place = first + i as f32 * step;
            let inside = place >= 0.0 && place <= last as f32;
            inside.then(|| Between {
                low: place.floor() as u32,
                high: place.ceil() as u32,
                weight: place - place.floor(),
            })
        };
        (0..side).map(between).collect()
    };
    let columns = places(area.left, area.right, width);
    let rows = places(area.top, area.bottom, height);
    let mut result = vec![0.0; side as usize * side as usize * 3];
    for (y, line) in rows
        .iter()
        .zip(result.chunks_exact_mut(side.max(1) as usize * 3))
    {
        let Some(y) = y else { continue };
        for (x, pixel) in columns.iter().zip(line.chunks_exact_mut(3)) {
            let Some(x) = x else { continue };
            let at = |column: u32, row: u32| image.get_pixel(column, row).0.map(f32::from);
            let (a, b) = (at(x.low, y.low), at(x.high, y.low));
            let (c, d) = (at(x.low, y.high), at(x.high, y.high));
            for channel in 0..3 {
                let above = a[channel] + (b[channel] - a[channel]) * x.weight;
                let below = c[channel] + (d[channel] - c[channel]) * x.weight;
                pixel[channel] = above + (below - above) * y.weight;
            }
        }
    }
    result
}

/// The pixels inside an area: cut at the image's edges, each edge rounded down as the references do. `None` when
/// nothing is left.
pub fn whole_pixels(area: &Area, width: u32, height: u32) -> Option<Crop> {
    if !area.is_finite() {
        return None;
    }
    let area = area.within(width, height);
    let (left, top) = (area.left.floor() as u32, area.top.floor() as u32);
    let crop = Crop {
        left,
        top,
        width: ((area.right - area.left).floor() as u32).min(width - left),
        height: ((area.bottom - area.top).floor() as u32).min(height - top),
    };
    (crop.width > 0 && crop.height > 0).then_some(crop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use proptest::prelude::*;

    fn ramp(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            Rgb([(10 * x) as u8, (10 * y) as u8, 7])
        })
    }

    fn reds(values: &[f32]) -> Vec<f32> {
        values.iter().step_by(3).copied().collect()
    }

    /// Places by hand on a row of 0, 10, 20, 30.
    #[test]
    fn each_grid_reads_where_it_says() {
        let image = ramp(4, 1);
        let row = |to, grid| {
            reds(&bilinear(
                &image,
                Canvas::tight(Crop::whole(4, 1)),
                to,
                1,
                grid,
            ))
        };
        assert_eq!(row(2, Grid::Corner), [0.0, 20.0]);
        assert_eq!(
            row(8, Grid::Corner),
            [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 30.0]
        );
        assert_eq!(row(2, Grid::Aligned), [0.0, 30.0]);
        assert_eq!(
            row(7, Grid::Aligned),
            [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]
        );
        assert_eq!(row(1, Grid::Aligned), [0.0]);
        assert_eq!(row(2, Grid::Centre), [5.0, 25.0]);
        assert_eq!(
            row(8, Grid::Centre),
            [0.0, 2.5, 7.5, 12.5, 17.5, 22.5, 27.5, 30.0]
        );
        for grid in [Grid::Corner, Grid::Aligned, Grid::Centre] {
            assert_eq!(row(4, grid), [0.0, 10.0, 20.0, 30.0], "{grid:?}");
        }
    }

    #[test]
    fn canvases_are_black_around_the_crop() {
        let image = ramp(4, 4);
        let crop = Crop {
            left: 1,
            top: 1,
            width: 3,
            height: 1,
        };
        let rows = |canvas: Canvas| {
            let (width, height) = canvas.size();
            reds(&bilinear(&image, canvas, width, height, Grid::Corner))
        };
        assert_eq!(rows(Canvas::tight(crop)), [10.0, 20.0, 30.0]);
        let dark = [0.0; 3];
        assert_eq!(
            rows(Canvas::corner(crop)),
            [[10.0, 20.0, 30.0], dark, dark].concat()
        );
        assert_eq!(
            rows(Canvas::middle(crop)),
            [dark, [10.0, 20.0, 30.0], dark].concat()
        );
        assert_eq!(Canvas::middle(crop).offset(), (0, 1));
    }

    #[test]
    fn crop_and_resize_reads_edges_and_black_outside() {
        let image = ramp(5, 5);
        let whole = crop_and_resize(&image, Area::new(0.0, 0.0, 5.0, 5.0), 3);
        assert_eq!(reds(&whole[..9]), [0.0, 20.0, 40.0]);
        let wide = crop_and_resize(&image, Area::new(-5.0, -5.0, 10.0, 10.0), 4);
        assert_eq!(reds(&wide[..12]), [0.0; 4], "above the image");
        assert_eq!(reds(&wide[12..24]), [0.0, 0.0, 40.0, 0.0]);
        assert!(
            crop_and_resize(&image, Area::new(f32::NAN, 0.0, 5.0, 5.0), 2)
                .iter()
                .all(|&v| v == 0.0)
        );
    }

    #[test]
    fn parts_are_cut_at_the_edges() {
        let crop = |l, t, r, b| whole_pixels(&Area::new(l, t, r, b), 10, 8);
        let wanted = |left, top, width, height| {
            Some(Crop {
                left,
                top,
                width,
                height,
            })
        };
        assert_eq!(crop(1.7, 2.2, 4.9, 6.0), wanted(1, 2, 3, 3));
        assert_eq!(crop(-3.0, -1.0, 40.0, 50.0), wanted(0, 0, 10, 8));
        assert_eq!(crop(3.0, 3.0, 3.5, 9.0), None);
        assert_eq!(crop(f32::NAN, 0.0, 1.0, 1.0), None);
        assert_eq!(crop(12.0, 0.0, 20.0, 8.0), None);
    }

    proptest! {
        #[test]
        fn values_stay_between_those_of_the_image(
            width in 1_u32..40, height in 1_u32..40, to in 1_u32..50,
            grid in prop::sample::select(vec![Grid::Corner, Grid::Aligned, Grid::Centre]),
        ) {
            let image = RgbImage::from_fn(width, height, |x, y| {
                Rgb([(x * 7 + y * 13) as u8, 200, (x ^ y) as u8])
            });
            let crop = Crop::whole(width, height);
            let out = bilinear(&image, Canvas::tight(crop), to, to, grid);
            prop_assert_eq!(out.len(), (to * to * 3) as usize);
            prop_assert!(out.iter().all(|v| (0.0..=255.001).contains(v)));
            prop_assert!(out.iter().skip(1).step_by(3).all(|&v| v == 200.0));
            let area = Area::new(-3.0, -2.0, width as f32 + 5.0, height as f32 / 2.0);
            prop_assert!(crop_and_resize(&image, area, to).iter().all(|v| (0.0..=255.001).contains(v)));
        }
    }
}
