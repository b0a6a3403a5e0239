//! An image that several tasks look at and that is decoded once.

use super::decode::{Decoded, Detail, ImageLimits, Threads, decode_for};
use crate::error::Result;
use bytes::Bytes;
use parking_lot::Mutex;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most bytes of pixels that are kept for another task to look at, of all images together. What is over it is decoded
/// again, so that a long queue of half-answered requests does not hold the pixels of all of them.
const KEPT: u64 = 64 << 20;

/// Bytes of pixels that are kept now.
static NOW: AtomicU64 = AtomicU64::new(0);

/// An encoded image. Clones are the same file: what one has decoded, another that needs the same detail finds.
#[derive(Clone, Debug)]
pub struct File(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bytes: Bytes,
    kept: Mutex<Option<Kept>>,
}

/// Pixels that are counted while they are kept.
#[derive(Debug)]
struct Kept {
    detail: Detail,
    decoded: Arc<Decoded>,
    bytes: u64,
}

impl Kept {
    fn new(detail: Detail, decoded: &Arc<Decoded>) -> Option<Self> {
        let bytes = decoded.pixels.as_raw().len() as u64;
        let room = |now: u64| now.checked_add(bytes).filter(|&sum| sum <= KEPT);
        NOW.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .ok()
            .map(|_| Self {
                detail,
                decoded: decoded.clone(),
                bytes,
            })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        NOW.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl File {
    /// The file of these bytes.
    pub fn new(bytes: Bytes) -> Self {
        Self(Arc::new(Shared {
            bytes,
            kept: Mutex::new(None),
        }))
    }

    /// The pixels. Kept while there are other clones of this file, which may ask for them, too.
    ///
    /// # Errors
    /// As [`decode_for`].
    pub fn decoded(
        &self,
        limits: &ImageLimits,
        detail: Detail,
        threads: &dyn Threads,
    ) -> Result<Arc<Decoded>> {
        // Held while it is decoded: another thread is better off waiting than doing the same.
        let mut kept = self.0.kept.lock();
        if let Some(found) = kept.take_if(|kept| kept.detail == detail) {
            let decoded = found.decoded.clone();
            if Arc::strong_count(&self.0) > 1 {
                *kept = Some(found);
            }
            return Ok(decoded);
        }
        let decoded = Arc::new(decode_for(self, limits, detail, threads)?);
        if Arc::strong_count(&self.0) > 1 && kept.is_none() {
            *kept = Kept::new(detail, &decoded);
        }
        Ok(decoded)
    }
}

/// As it was sent.
impl Deref for File {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl From<Bytes> for File {
    fn from(bytes: Bytes) -> Self {
        Self::new(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Alone;
    use image::{ImageFormat, Rgb, RgbImage};
    use std::io::Cursor;

    fn png() -> Bytes {
        let mut bytes = Cursor::new(Vec::new());
        RgbImage::from_pixel(90, 80, Rgb([1, 2, 3]))
            .write_to(&mut bytes, ImageFormat::Png)
            .expect("a PNG");
        bytes.into_inner().into()
    }

    #[test]
    fn clones_decode_once_and_the_last_keeps_nothing() {
        let limits = ImageLimits::default();
        let first = File::new(png());
        let second = first.clone();
        let one = first
            .decoded(&limits, Detail::Whole, &Alone)
            .expect("pixels");
        let two = second
            .decoded(&limits, Detail::Whole, &Alone)
            .expect("pixels");
        assert!(Arc::ptr_eq(&one, &two));
        // Other pixels than those that are kept.
        let small = second
            .decoded(&limits, Detail::Shorter(9), &Alone)
            .expect("pixels");
        assert!(!Arc::ptr_eq(&one, &small));
        drop((first, two, small));
        let three = second
            .decoded(&limits, Detail::Whole, &Alone)
            .expect("pixels");
        assert!(Arc::ptr_eq(&one, &three));
        drop(three);
        // `second` was alone and has let go of them.
        assert_eq!(Arc::strong_count(&one), 1);
    }

    #[test]
    fn errors_are_not_kept_and_limits_hold_for_each() {
        let file = File::new(png());
        let other = file.clone();
        let strict = ImageLimits {
            max_side: 10,
            ..ImageLimits::default()
        };
        assert!(file.decoded(&strict, Detail::Whole, &Alone).is_err());
        assert!(
            other
                .decoded(&ImageLimits::default(), Detail::Whole, &Alone)
                .is_ok()
        );
    }
}
