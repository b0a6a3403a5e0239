//! From an image to what a network is shown, as a declaration's [`Input`] says, and from places in what it is shown
//! back to the image.

use super::{Area, resample};
use crate::image::Detail;
use crate::image::resize::{self, Crop};
use escala_weights::declaration::{Colours, Filter, Input, Layout, Place, Resize};
use image::RgbImage;

/// The longer side of an image that is cropped to its middle, in shorter sides. What is further away is cut off before
/// anything is resized, so that a very long image costs no more than others.
const LONGEST: u32 = 4;

/// What a network is shown of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Its numbers, in the input's layout.
    pub pixels: Vec<f32>,
    /// Columns and rows.
    pub size: [u32; 2],
    /// Where the image lies in it.
    pub frame: Frame,
}

/// Where an image lies in what a network is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Columns of the image.
    pub width: u32,
    /// Rows of the image.
    pub height: u32,
    /// The image's left edge in the input.
    left: f32,
    /// The image's upper edge in the input.
    top: f32,
    /// Pixels of the image to a pixel of the input.
    across: f32,
    down: f32,
}

impl Frame {
    /// A box in pixels of the input as one in pixels of the image, not cut off at its edges.
    pub fn area(&self, shown: &Area) -> Area {
        Area::new(
            (shown.left - self.left) * self.across,
            (shown.top - self.top) * self.down,
            (shown.right - self.left) * self.across,
            (shown.bottom - self.top) * self.down,
        )
    }
}

impl Shown {
    /// The same of an image of `width` x `height`, of which a smaller one was shown.
    pub fn of(mut self, width: u32, height: u32) -> Self {
        let frame = &mut self.frame;
        frame.across *= width as f32 / frame.width.max(1) as f32;
        frame.down *= height as f32 / frame.height.max(1) as f32;
        (frame.width, frame.height) = (width, height);
        self
    }
}

/// How much of an image an input needs: half as many pixels again as it has, so that what was left out of a large
/// photograph is not seen in it.
pub fn detail(input: &Input) -> Detail {
    let side = input.width.max(input.height);
    let side = match input.resize {
        Resize::Crop { shorter } => side.max(shorter),
        _ => side,
    };
    Detail::Shorter(side.saturating_add(side / 2))
}

/// The dimensions of an input's tensor of this many columns and rows.
pub fn shape(layout: Layout, [width, height]: [u32; 2]) -> [usize; 4] {
    let (width, height) = (width as usize, height as usize);
    match layout {
        Layout::Nchw => [1, 3, height, width],
        Layout::Nhwc => [1, height, width, 3],
    }
}

/// What a network is shown of an image. The image is not empty, and the input was checked ([`Input::check`]).
pub fn show(input: &Input, image: &RgbImage) -> Shown {
    let (width, height) = image.dimensions();
    let [wide, high] = match input.resize {
        Resize::Within { shorter } => within(shorter, input.width, [width, height]),
        _ => [input.width, input.height],
    };
    let whole = Crop::whole(width, height);
    let (values, frame) = match input.resize {
        Resize::Stretch {} | Resize::Within { .. } => {
            let values = resized(image, whole, wide, high, input.filter);
            let frame = Frame {
                width,
                height,
                left: 0.0,
                top: 0.0,
                across: width as f32 / wide as f32,
                down: height as f32 / high as f32,
            };
            (values, frame)
        }
        Resize::Letterbox { pad, place } => {
            let scale =
                (f64::from(wide) / f64::from(width)).min(f64::from(high) / f64::from(height));
            let side = |length: u32, most: u32| {
                let exact = f64::from(length) * scale;
                let whole = match place {
                    Place::Middle => exact.round_ties_even(),
                    Place::Corner => exact.floor(),
                };
                (whole as u32).clamp(1, most)
            };
            let (across, down) = (side(width, wide), side(height, high));
            let (left, top) = match place {
                Place::Middle => ((wide - across) / 2, (high - down) / 2),
                Place::Corner => (0, 0),
            };
            let small = resized(image, whole, across, down, input.filter);
            let mut values = vec![f32::from(pad); wide as usize * high as usize * 3];
            let (row, stride) = (across as usize * 3, wide as usize * 3);
            for (y, from) in small.chunks_exact(row).enumerate() {
                let start = (top as usize + y) * stride + left as usize * 3;
                values[start..start + row].copy_from_slice(from);
            }
            let frame = Frame {
                width,
                height,
                left: left as f32,
                top: top as f32,
                across: (1.0 / scale) as f32,
                down: (1.0 / scale) as f32,
            };
            (values, frame)
        }
        Resize::Crop { shorter } => {
            let short = width.min(height);
            let kept = |length: u32| length.min(short.saturating_mul(LONGEST));
            let crop = Crop {
                left: (width - kept(width)) / 2,
                top: (height - kept(height)) / 2,
                width: kept(width),
                height: kept(height),
            };
            let side = |length: u32| {
                (u64::from(length) * u64::from(shorter) / u64::from(short)).max(1) as u32
            };
            let (across, down) = (side(crop.width), side(crop.height));
            let values = resized(image, crop, across, down, input.filter);
            let (left, top) = ((across - wide) / 2, (down - high) / 2);
            let stride = across as usize * 3;
            let middle: Vec<f32> = (0..high as usize)
                .flat_map(|y| {
                    let start = (top as usize + y) * stride + left as usize * 3;
                    values[start..start + wide as usize * 3].iter().copied()
                })
                .collect();
            let (to_x, to_y) = (
                crop.width as f32 / across as f32,
                crop.height as f32 / down as f32,
            );
            let frame = Frame {
                width,
                height,
                left: -(left as f32) - crop.left as f32 / to_x,
                top: -(top as f32) - crop.top as f32 / to_y,
                across: to_x,
                down: to_y,
            };
            (middle, frame)
        }
    };
    Shown {
        pixels: normalised(input, &values),
        size: [wide, high],
        frame,
    }
}

/// The size of an image whose shorter side has `shorter` pixels, or fewer where the longer one would have more than
/// `longer`; rounded as transformers does.
fn within(shorter: u32, longer: u32, size: [u32; 2]) -> [u32; 2] {
    let [low, high] = [size[0].min(size[1]), size[0].max(size[1])].map(f64::from);
    let exact = (f64::from(longer) * low / high).min(f64::from(shorter));
    let short = exact.round_ties_even();
    size.map(|side| {
        let pixels = if f64::from(side) == low {
            short
        } else {
            (exact * f64::from(side) / low).floor()
        };
        pixels.clamp(1.0, f64::from(longer)) as u32
    })
}

/// A part of an image in another size: values of 0 to 255, interleaved red, green, blue.
fn resized(image: &RgbImage, crop: Crop, width: u32, height: u32, filter: Filter) -> Vec<f32> {
    let bytes = |image: &RgbImage| image.as_raw().iter().map(|&v| f32::from(v)).collect();
    let canvas = resample::Canvas::tight(crop);
    match filter {
        Filter::PillowBilinear => bytes(&resize::bilinear(image, crop, width, height)),
        Filter::PillowBicubic => bytes(&resize::bicubic(image, crop, width, height)),
        Filter::PillowNearest => nearest(image, crop, width, height),
        Filter::OpencvBilinear => {
            let mut values =
                resample::bilinear(image, canvas, width, height, resample::Grid::Centre);
            // OpenCV gives bytes. As `round`, for values of 0 to 255, without a call for each.
            let round = |value: f32| f32::from((value + 0.499_999_97) as u8);
            values.iter_mut().for_each(|value| *value = round(*value));
            values
        }
        Filter::TensorflowBilinear => {
            resample::bilinear(image, canvas, width, height, resample::Grid::Corner)
        }
    }
}

/// Each pixel is the one in which its centre lies. The places of centres are summed up as Pillow does, which decides
/// where one lies on an edge.
fn nearest(image: &RgbImage, crop: Crop, width: u32, height: u32) -> Vec<f32> {
    let places = |from: u32, length: u32, count: u32| -> Vec<u32> {
        let step = f64::from(length) / f64::from(count);
        let mut centre = step * 0.5;
        let place = |_| {
            let place = from + (centre as u32).min(length - 1);
            centre += step;
            place
        };
        (0..count).map(place).collect()
    };
    let columns = places(crop.left, crop.width, width);
    let rows = places(crop.top, crop.height, height);
    let mut values = Vec::with_capacity(columns.len() * rows.len() * 3);
    for &y in &rows {
        for &x in &columns {
            values.extend(image.get_pixel(x, y).0.map(f32::from));
        }
    }
    values
}

/// Scaled and normalised, in the input's order of colours and layout.
fn normalised(input: &Input, values: &[f32]) -> Vec<f32> {
    let of = |channel: usize| match input.colours {
        Colours::Rgb => channel,
        Colours::Bgr => 2 - channel,
    };
    let number = |channel: usize, value: f32| {
        (value * input.scale - input.mean[channel]) / input.std[channel]
    };
    let pixels = values.as_chunks::<3>().0;
    let mut shown = vec![0.0; 3 * pixels.len()];
    match input.layout {
        Layout::Nhwc => {
            for (shown, pixel) in shown.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                *shown = std::array::from_fn(|channel| number(channel, pixel[of(channel)]));
            }
        }
        Layout::Nchw => {
            let planes = shown.chunks_exact_mut(pixels.len().max(1));
            for (channel, plane) in planes.enumerate() {
                for (shown, pixel) in plane.iter_mut().zip(pixels) {
                    *shown = number(channel, pixel[of(channel)]);
                }
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use proptest::prelude::*;

    fn input(width: u32, height: u32, resize: Resize) -> Input {
        Input {
            width,
            height,
            layout: Layout::Nhwc,
            colours: Colours::Rgb,
            resize,
            filter: Filter::PillowBilinear,
            scale: 1.0,
            mean: [0.0; 3],
            std: [1.0; 3],
        }
    }

    fn letterbox(place: Place) -> Resize {
        Resize::Letterbox { pad: 114, place }
    }

    #[test]
    fn numbers_are_scaled_and_in_the_order_asked_for() {
        let image = RgbImage::from_pixel(2, 1, Rgb([10, 20, 30]));
        let mut asked = input(2, 1, Resize::Stretch {});
        asked.scale = 0.1;
        asked.mean = [1.0, 2.0, 3.0];
        asked.std = [1.0, 2.0, 4.0];
        assert_eq!(show(&asked, &image).pixels, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        asked.mean = [0.0; 3];
        assert_eq!(
            show(&asked, &image).pixels,
            [1.0, 1.0, 0.75, 1.0, 1.0, 0.75]
        );
        asked.layout = Layout::Nchw;
        assert_eq!(
            show(&asked, &image).pixels,
            [1.0, 1.0, 1.0, 1.0, 0.75, 0.75]
        );
        asked.colours = Colours::Bgr;
        assert_eq!(
            show(&asked, &image).pixels,
            [3.0, 3.0, 1.0, 1.0, 0.25, 0.25]
        );
        assert_eq!(shape(asked.layout, [2, 1]), [1, 3, 1, 2]);
    }

    #[test]
    fn a_letterbox_keeps_proportions() {
        let image = RgbImage::from_pixel(100, 50, Rgb([7; 3]));
        for (place, top) in [(Place::Middle, 2), (Place::Corner, 0)] {
            let shown = show(&input(10, 10, letterbox(place)), &image);
            let rows: Vec<f32> = shown.pixels.iter().step_by(30).copied().collect();
            let of = |y| {
                if (top..top + 5).contains(&y) {
                    7.0
                } else {
                    114.0
                }
            };
            let wanted: Vec<f32> = (0..10).map(of).collect();
            assert_eq!(rows, wanted);
            let all = Area::new(0.0, top as f32, 10.0, top as f32 + 5.0);
            assert_eq!(shown.frame.area(&all), Area::new(0.0, 0.0, 100.0, 50.0));
        }
    }

    #[test]
    fn a_crop_is_of_the_middle() {
        // Columns count up.
        let image = RgbImage::from_fn(40, 20, |x, _| Rgb([x as u8; 3]));
        let mut asked = input(10, 10, Resize::Crop { shorter: 20 });
        asked.filter = Filter::PillowNearest;
        let shown = show(&asked, &image);
        let row: Vec<f32> = shown.pixels[..30].iter().step_by(3).copied().collect();
        let wanted: Vec<f32> = (15..25).map(|x| x as f32).collect();
        assert_eq!(row, wanted);
        let all = Area::new(0.0, 0.0, 10.0, 10.0);
        assert_eq!(shown.frame.area(&all), Area::new(15.0, 5.0, 25.0, 15.0));
        // Of a long image only what is near the middle is resized.
        let image = RgbImage::from_fn(400, 10, |x, _| Rgb([(x / 2) as u8; 3]));
        let shown = show(&asked, &image);
        assert!(
            (shown.pixels[15] - 100.0).abs() <= 1.0,
            "{}",
            shown.pixels[15]
        );
        let middle = shown.frame.area(&Area::new(5.0, 5.0, 5.0, 5.0));
        assert!((middle.left - 200.0).abs() <= 1.0 && (middle.top - 5.0).abs() <= 1.0);
    }

    /// `get_size_with_aspect_ratio` of transformers 5.24.
    #[test]
    fn any_size_is_within_bounds() {
        for (size, wanted) in [
            ([640, 480], [1066, 800]),
            ([480, 640], [800, 1066]),
            ([800, 800], [800, 800]),
            ([451, 300], [1202, 800]),
            ([3000, 500], [1333, 222]),
            ([1, 1000], [1, 1333]),
        ] {
            assert_eq!(within(800, 1333, size), wanted, "{size:?}");
        }
        let asked = input(50, 50, Resize::Within { shorter: 20 });
        let shown = show(&asked, &RgbImage::new(60, 30));
        assert_eq!((shown.size, shown.pixels.len()), ([40, 20], 40 * 20 * 3));
        let all = Area::new(0.0, 0.0, 40.0, 20.0);
        assert_eq!(shown.frame.area(&all), Area::new(0.0, 0.0, 60.0, 30.0));
    }

    #[test]
    fn places_in_a_smaller_image_are_those_of_the_larger() {
        let asked = input(10, 10, letterbox(Place::Middle));
        let small = show(&asked, &RgbImage::new(100, 50)).of(403, 199);
        let all = Area::new(0.0, 2.0, 10.0, 7.0);
        assert_eq!((small.frame.width, small.frame.height), (403, 199));
        let area = small.frame.area(&all);
        assert_eq!((area.left, area.top), (0.0, 0.0));
        assert!(
            (area.right - 403.0).abs() < 1e-3 && (area.bottom - 199.0).abs() < 1e-3,
            "{area:?}"
        );
        assert_eq!(detail(&asked), Detail::Shorter(15));
        let cropped = input(10, 10, Resize::Crop { shorter: 20 });
        assert_eq!(detail(&cropped), Detail::Shorter(30));
    }

    proptest! {
        /// Whatever the image: as many numbers as asked for, and the frame turns the input's box of the image back
        /// into the image, to a pixel of the input.
        #[test]
        fn any_image_fits(
            width in 1_u32..300, height in 1_u32..300, wide in 1_u32..40, high in 1_u32..40, kind in 0..4, filter in 0..5,
        ) {
            let resize = match kind {
                0 => Resize::Stretch {},
                1 => letterbox(Place::Middle),
                2 => letterbox(Place::Corner),
                _ => Resize::Crop { shorter: wide.max(high) + 3 },
            };
            let mut asked = input(wide, high, resize);
            asked.filter = [
                Filter::PillowBilinear, Filter::PillowBicubic, Filter::PillowNearest, Filter::OpencvBilinear,
                Filter::TensorflowBilinear,
            ][filter as usize];
            prop_assert!(asked.check().is_ok());
            let image = RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 9]));
            let shown = show(&asked, &image);
            prop_assert_eq!(shown.pixels.len(), (wide * high * 3) as usize);
            prop_assert!(shown.pixels.iter().all(|value| (0.0..=255.0).contains(value)));
            let centre = Area::new(wide as f32 / 2.0, high as f32 / 2.0, wide as f32 / 2.0, high as f32 / 2.0);
            let back = shown.frame.area(&centre);
            if kind != 2 {
                // What is cut off a long image is whole pixels of it.
                let cut = if kind == 3 { 0.5 } else { 0.0 };
                let near = |got: f32, want: f32, step: f32| {
                    (got - want).abs() <= 1.5 * step + cut + 1e-3
                };
                prop_assert!(near(back.left, width as f32 / 2.0, shown.frame.across), "{:?}", back);
                prop_assert!(near(back.top, height as f32 / 2.0, shown.frame.down), "{:?}", back);
            }
        }
    }
}
