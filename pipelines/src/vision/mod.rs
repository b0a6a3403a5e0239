//! What networks that look at images share: pixels as they were trained on, and boxes around what they find.
//!
//! [`resample`] makes a network's input from a part of an image in the conventions of TensorFlow and OpenCV,
//! [`average`] in PyTorch's (Pillow's are in [`image::resize`](crate::image::resize)); [`turned`] cuts out
//! turned squares; [`boxes`] measures and thins out detections. Networks that
//! operators bring are shown what their declaration says ([`preprocess`]), or what a hub's file says
//! ([`processor`]).

pub mod average;
pub mod boxes;
pub(crate) mod model;
pub(crate) mod network;
pub mod preprocess;
pub mod processor;
pub mod resample;
pub mod turned;

pub use boxes::Area;

use crate::image::Detail;
use bytes::Bytes;
use image::RgbImage;

/// What networks need of an image that see all of it at once, in at most 416 pixels a side: half as many again, so that
/// what was left out of a large photograph is not seen in what they are shown.
pub(crate) const GLANCE: Detail = Detail::Shorter(640);

/// A point of an image, in pixels from its upper left corner.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// To the right.
    pub x: f32,
    /// Down.
    pub y: f32,
}

impl Point {
    /// The point at `x`, `y`.
    pub fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    /// The distance to another point.
    pub fn distance(self, other: Self) -> f32 {
        (self.x - other.x).hypot(self.y - other.y)
    }

    /// The mean of some points; the origin when there are none.
    pub fn mean(points: &[Self]) -> Self {
        let count = points.len().max(1) as f32;
        let sum = |of: fn(&Self) -> f32| points.iter().map(of).sum::<f32>();
        Self::new(sum(|p| p.x) / count, sum(|p| p.y) / count)
    }
}

/// An image as a file, for warm-up runs.
pub(crate) fn sample(image: &RgbImage) -> Bytes {
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut bytes)
        .encode_image(image)
        .expect("a small RGB image in memory can be encoded");
    Bytes::from(bytes)
}
