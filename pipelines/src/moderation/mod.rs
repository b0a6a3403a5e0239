//! Whether an image shows what not everybody should see: two networks' opinions.
//!
//! NSFW JS tells drawings, drawn and photographed pornography, suggestive and neutral pictures apart; open_nsfw knows
//! only more or less safe. Their answers become Rekognition's labels in [`labels`], with what other networks recognise
//! (swimwear, weapons, alcohol). What no network here knows (violence without weapons, drugs, gestures, symbols of hate,
//! gambling) is never answered.

pub mod labels;
pub mod task;

use crate::error::{Error, Kind, Result};
use crate::image::resize::{self, Crop};
use crate::vision::resample::{Canvas, Grid, bilinear};
use image::RgbImage;

pub use task::{ModerationInput, ModerationPipeline, ModerationTask};

/// Pixels along each side of what both networks see.
pub const SIDE: u32 = 224;
/// Pixels along each side from whose middle open_nsfw's are taken.
const AROUND: u32 = 256;
/// Blue, green and red of the images that open_nsfw was trained on.
const MEAN: [f32; 3] = [104.0, 117.0, 123.0];

/// The image as NSFW JS was trained to see it: stretched, 224 x 224 x 3, 0 to 1.
pub fn classes_input(image: &RgbImage) -> Vec<f32> {
    let whole = Canvas::tight(Crop::whole(image.width(), image.height()));
    let mut pixels = bilinear(image, whole, SIDE, SIDE, Grid::Aligned);
    for value in &mut pixels {
        *value /= 255.0;
    }
    pixels
}

/// The image in 256 x 256 pixels.
pub fn small(image: &RgbImage) -> RgbImage {
    let whole = Crop::whole(image.width(), image.height());
    resize::bilinear(image, whole, AROUND, AROUND)
}

/// How much of a [`small`] image is as good as one colour, 0 to 1: the share of pixels that differ by one at most from those
/// at the right and below. Drawings in flat colours have far more of it than photographs.
pub fn flatness(small: &RgbImage) -> f32 {
    let (width, height) = small.dimensions();
    let at = |x: u32, y: u32| small.get_pixel(x, y).0;
    let alike = |a: [u8; 3], b: [u8; 3]| a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 1);
    let places = (1..height).flat_map(|y| (1..width).map(move |x| (x - 1, y - 1)));
    let flat = places.filter(|&(x, y)| {
        let here = at(x, y);
        alike(here, at(x + 1, y)) && alike(here, at(x, y + 1))
    });
    let all = width.saturating_sub(1) * height.saturating_sub(1);
    flat.count() as f32 / all.max(1) as f32
}

/// A [`small`] image as open_nsfw was trained to see it: its middle, 224 x 224 x 3, blue first, means subtracted.
pub fn safety_input(small: &RgbImage) -> Vec<f32> {
    let margin = (AROUND - SIDE) / 2;
    let pixels = (margin..margin + SIDE).flat_map(|y| (margin..margin + SIDE).map(move |x| (x, y)));
    pixels
        .flat_map(|(x, y)| {
            let [red, green, blue] = small.get_pixel(x, y).0;
            [blue, green, red]
        })
        .zip(MEAN.into_iter().cycle())
        .map(|(value, mean)| f32::from(value) - mean)
        .collect()
}

/// What the networks say of an image; shares 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Opinions {
    /// A harmless drawing.
    pub drawing: f32,
    /// A drawing of a sexual act or of genitals.
    pub hentai: f32,
    /// Nothing of this kind.
    pub neutral: f32,
    /// A photograph of a sexual act or of genitals.
    pub porn: f32,
    /// Suggestive.
    pub sexy: f32,
    /// The second network: not safe for work.
    pub unsafe_for_work: f32,
    /// How much of the image is as good as one colour; no network's opinion ([`flatness`]).
    pub flat: f32,
}

impl Opinions {
    /// From the networks' shares, and how flat the image is.
    ///
    /// # Errors
    /// `Internal` when an answer has another size or holds what is not a number.
    pub fn decode(classes: &[f32], safety: &[f32], flat: f32) -> Result<Self> {
        let (&[drawing, hentai, neutral, porn, sexy], &[_, unsafe_for_work]) = (classes, safety)
        else {
            return Err(broken("an answer of another size"));
        };
        if !classes.iter().chain(safety).all(|share| share.is_finite()) {
            return Err(broken("a share that is no number"));
        }
        Ok(Self {
            drawing,
            hentai,
            neutral,
            porn,
            sexy,
            unsafe_for_work,
            flat,
        })
    }
}

/// What another network recognised.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    /// The label of the taxonomy of images, such as `Rifle`.
    pub name: String,
    /// How sure it is, in percent.
    pub percent: f32,
}

/// Everything that is known about an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moderated {
    /// What the networks for explicit pictures say.
    pub opinions: Opinions,
    /// What the networks for labels and objects recognised.
    pub seen: Vec<Sight>,
}

impl Moderated {
    /// The labels at or above `least` percent: first level before second, surest first.
    pub fn labels(&self, least: f32) -> Vec<labels::ModerationLabel> {
        labels::labels(&self.opinions, &self.seen, least)
    }

    /// Kinds of pictures at or above `least` percent, with their percents.
    pub fn content_types(&self, least: f32) -> Vec<(&'static str, f32)> {
        labels::content_types(&self.opinions, least)
    }
}

fn broken(what: &str) -> Error {
    Error::new(Kind::Internal, format!("a moderation network gave {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn flat_is_what_has_one_colour() {
        let one = RgbImage::from_pixel(64, 64, Rgb([10, 200, 30]));
        assert_eq!(flatness(&one), 1.0);
        let steps = RgbImage::from_fn(65, 65, |x, _| Rgb([(3 * x) as u8, 0, 0]));
        assert_eq!(flatness(&steps), 0.0);
        let half = RgbImage::from_fn(65, 65, |x, _| {
            Rgb([if x < 32 { 9 } else { (3 * x) as u8 }, 0, 0])
        });
        assert!((flatness(&half) - 31.0 / 64.0).abs() < 1e-6);
        assert_eq!(flatness(&RgbImage::new(1, 1)), 0.0);
    }

    #[test]
    fn inputs_are_those_of_the_networks() {
        let image = RgbImage::from_pixel(300, 200, Rgb([255, 117, 4]));
        let classes = classes_input(&image);
        assert_eq!((classes.len() as u32, classes[0]), (SIDE * SIDE * 3, 1.0));
        let safety = safety_input(&small(&image));
        assert_eq!(safety[..3], [4.0 - 104.0, 0.0, 255.0 - 123.0]);
        assert_eq!(safety.len(), classes.len());
    }

    #[test]
    fn broken_answers_are_errors() {
        assert!(Opinions::decode(&[0.2; 5], &[0.5; 2], 0.1).is_ok());
        assert!(Opinions::decode(&[0.2; 4], &[0.5; 2], 0.1).is_err());
        assert!(Opinions::decode(&[0.2; 5], &[0.5], 0.1).is_err());
        assert!(Opinions::decode(&[f32::NAN; 5], &[0.5; 2], 0.1).is_err());
    }
}
