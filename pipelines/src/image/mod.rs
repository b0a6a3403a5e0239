//! Image input: decoding within limits, orientation, crops, and properties computed from pixels.
//!
//! Start at [`decode`]: bytes become an upright `RgbImage` or an error, never a panic. [`File`] decodes once for
//! several tasks. [`resize`] makes the exact pixels that a network was trained on, [`properties`] measures an image
//! without a network.

mod css_colors;
pub mod decode;
mod file;
pub mod properties;
pub mod resize;

pub use decode::{Decoded, Detail, ImageLimits, decode, decode_for, dimensions};
pub use file::File;
