//! Faces: where they are, where their parts are, how they are turned, what they look like, and whose they may be.
//!
//! The way of an image, and the network behind each step:
//!
//! ```text
//! detect      SSD MobileNet V1: boxes, of large faces above all
//! cascade     MTCNN: boxes, of small and turned faces too
//! quarters    the whole picture turned, where it lies on its side or stands on its head
//! upright     the part of the image around a face that is turned, turned back
//!   mesh      MediaPipe: is it a face at all? 468 points, pose, open eyes and mouth
//!   landmarks 68 points of brows, eyes, nose, mouth and jaw
//!     aligned box ── age and gender, expression
//!     squares around the eyes of the mesh ── MediaPipe's irises: where the eyes look
//!     chip: points where the mean face has them ── descriptor: 128 numbers, near for the same person
//! ```
//!
//! Every module here is arithmetic on pixels and numbers: what a network is shown and what its numbers mean.
//! References: @vladmandic/face-api 1.7.15 (detector, landmarks, age, gender, expression, descriptor),
//! facenet-pytorch 2.6.0 (cascade), dlib (chips) and MediaPipe's face mesh and iris.

pub mod cascade;
pub mod chip;
pub mod detect;
pub mod gaze;
pub mod landmarks;
pub mod looks;
pub mod mesh;
pub mod quality;
mod quarters;
pub mod similarity;
pub mod task;
pub mod upright;

use crate::error::{Error, Kind};

pub use cascade::CASCADE;
pub use task::{Face, Faces, FacesInput, FacesOptions, FacesPipeline, FacesTask, Looks};

/// Means of red, green and blue that the networks for cropped faces were trained with.
const MEAN: [f32; 3] = [122.782, 117.001, 104.298];

/// Subtracts the means and divides by 255, as the networks for cropped faces want it.
fn normalise(mut pixels: Vec<f32>) -> Vec<f32> {
    for (index, value) in pixels.iter_mut().enumerate() {
        *value = (*value - MEAN[index % 3]) / 255.0;
    }
    pixels
}

fn broken(what: &str) -> Error {
    Error::new(Kind::Internal, format!("a face network gave {what}"))
}
