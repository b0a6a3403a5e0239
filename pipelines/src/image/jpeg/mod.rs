//! Decoding of JPEG photographs, whole or at a half, a quarter or an eighth of their size.
//!
//! What is read: 8-bit Huffman files, baseline, extended sequential and progressive (ITU-T T.81), grey, YCbCr or RGB, with
//! the sampling factors whose ratios are whole numbers. Everything else is left to other decoders, as is every damaged file: this one
//! answers `None` for whatever is not as the standard wants it, and never guesses.
//!
//! What comes out are the pixels of libjpeg-turbo with its defaults, bit for bit: its accurate integer transform and its
//! reduced ones, "fancy" upsampling, and at smaller sizes colours that come from larger transforms where that saves
//! upsampling. One thing is not done as there: a progressive file that never brings its coefficients to
//! full precision is not smoothed.
//!
//! The way of a file: [`markers`] reads headers and tables; [`stream`] takes stuffing and restart markers out of a scan's
//! bytes; [`huffman`] and [`bits`] read codes, [`sequential`] and [`progressive`] make coefficients of them, [`transform`] samples,
//! [`upsample`] and [`colour`] pixels, tied together by [`render`] one row of units (MCUs) after the other. A sequential file
//! is hardly held as coefficients: a few rows of units are under way between the thread that reads codes and another
//! that makes pixels, where there is one ([`Threads`]). At smaller sizes there is little to do but to read codes, and
//! [`halves`] reads them from the middle on at the same time.

mod bits;
mod coefficients;
mod colour;
mod halves;
mod huffman;
mod markers;
mod progressive;
mod render;
mod sequential;
mod stream;
mod transform;
mod upsample;

#[cfg(test)]
mod tests;

pub use markers::Header;

use coefficients::Coefficients;
use markers::{Reader, Step};
use render::{Geometry, Renderer};

/// Threads that may work on one picture.
pub trait Threads: Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// Calls `work` on each, the caller's among them, with another number, from zero. Returns when all are done.
    fn run(&self, work: &(dyn Fn(usize) + Sync));
}

/// The caller's thread alone.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl Threads for Alone {
    fn count(&self) -> usize {
        1
    }

    fn run(&self, work: &(dyn Fn(usize) + Sync)) {
        work(0);
    }
}

/// RGB of a picture, row by row, each side divided by `divisor` (1, 2, 4 or 8) and rounded up.
///
/// `None` when the file is not of the kinds above, is damaged or ends early, or when it needs more than `limit` bytes for
/// coefficients and pixels.
pub fn decode(bytes: &[u8], divisor: usize, limit: u64, threads: &dyn Threads) -> Option<Vec<u8>> {
    let mut reader = Reader::new(bytes)?;
    let Step::Scan(first) = reader.step()? else {
        return None;
    };
    let frame = reader.frame()?.clone();
    let geometry = Geometry::new(&frame, divisor)?;
    let whole = !frame.progressive && first.components.len() == frame.components.len();
    let needed = geometry.bytes() + if whole { 0 } else { frame.blocks() * 128 };
    if needed > limit {
        return None;
    }
    let mut quantizers = vec![None; frame.components.len()];
    reader.latch(&first, &mut quantizers)?;
    if whole {
        let quantizers: Vec<_> = quantizers.into_iter().collect::<Option<_>>()?;
        let renderer = Renderer::new(geometry, reader.colours()?, quantizers);
        let pixels = sequential::stream(&mut reader, &first, &frame, renderer, threads)?;
        return match reader.step()? {
            Step::End => Some(pixels),
            Step::Scan(_) => None,
        };
    }
    let mut all = Coefficients::new(&frame, frame.units_down());
    let mut precision = progressive::Precision::new(&frame);
    let mut scan = first;
    loop {
        if frame.progressive {
            progressive::scan(&mut reader, &scan, &frame, &mut all, &mut precision)?;
        } else {
            sequential::scan(&mut reader, &scan, &frame, &mut all)?;
        }
        match reader.step()? {
            Step::End => break,
            Step::Scan(next) => scan = next,
        }
        reader.latch(&scan, &mut quantizers)?;
    }
    // A component that no scan brought.
    let quantizers: Vec<_> = quantizers.into_iter().collect::<Option<_>>()?;
    let mut renderer = Renderer::new(geometry, reader.colours()?, quantizers);
    for row in 0..frame.units_down() {
        renderer.add(&|component| all.rows(component, row));
    }
    renderer.finish()
}
