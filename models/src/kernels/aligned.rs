//! Memory for kernels: `f32` buffers aligned to a cache line.

use std::ops::{Deref, DerefMut};

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([f32; 16]);

// SAFETY: sixteen floats without padding, and all bits zero is a float.
unsafe impl bytemuck::Zeroable for Line {}

/// A zeroed buffer of `f32` whose first element starts a cache line.
#[derive(Clone, Default)]
pub struct AlignedVec {
    lines: Vec<Line>,
    len: usize,
}

impl AlignedVec {
    /// `len` zeros. Large buffers take memory only where something is written to them.
    pub fn zeroed(len: usize) -> Self {
        Self {
            lines: bytemuck::allocation::zeroed_vec(len.div_ceil(16)),
            len,
        }
    }

    /// Grows to at least `len` elements; the contents are unspecified afterwards.
    pub fn reserve_len(&mut self, len: usize) {
        if len > self.lines.len() * 16 {
            // The old contents are not wanted: free them before asking for more.
            self.lines = Vec::new();
            self.lines = bytemuck::allocation::zeroed_vec(len.div_ceil(16));
        }
        self.len = len;
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        (self.lines.len() * size_of::<Line>()) as u64
    }
}

impl From<&[f32]> for AlignedVec {
    fn from(values: &[f32]) -> Self {
        let mut vec = Self::zeroed(values.len());
        vec.copy_from_slice(values);
        vec
    }
}

impl Deref for AlignedVec {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: `lines` holds at least `len` initialised `f32` without padding between them.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for AlignedVec {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}
