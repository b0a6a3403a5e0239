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

pub use decode::{Alone, Decoded, Detail, ImageLimits, Threads, decode, decode_for, dimensions};
pub use file::File;

use escala_models::Compute;
use escala_models::team::Team;

impl Threads for Team {
    fn count(&self) -> usize {
        self.threads()
    }

    fn run(&self, work: &(dyn Fn(usize) + Sync)) {
        Self::run(self, |member| work(member.index()));
    }
}

/// Who decodes each of so many images that the team shares out: all of it for one alone, else the thread that has it.
pub(crate) fn threads(compute: &Compute, images: usize) -> &dyn Threads {
    if images == 1 { &compute.team } else { &Alone }
}
