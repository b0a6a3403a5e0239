//! A buffer that the members of a team write to, each in its own part.

use std::marker::PhantomData;

/// A mutable slice handed to several threads that promise not to touch the same elements at a time.
#[derive(Clone, Copy)]
pub struct SharedSlice<'a> {
    start: *mut f32,
    len: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: access goes through raw pointers whose users promise disjointness.
unsafe impl Send for SharedSlice<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedSlice<'_> {}

impl<'a> SharedSlice<'a> {
    /// Shares `slice` for as long as it is borrowed.
    pub fn new(slice: &'a mut [f32]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            lifetime: PhantomData,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A pointer to element `offset`, from which `needed` elements are inside the buffer.
    ///
    /// # Panics
    /// When they are not: a defect of the calling network, caught before it touches memory.
    pub fn at(&self, offset: usize, needed: usize) -> *mut f32 {
        assert!(
            offset
                .checked_add(needed)
                .is_some_and(|end| end <= self.len),
            "{needed} elements at {offset} are outside a buffer of {}",
            self.len
        );
        // SAFETY: `offset <= len`, checked above.
        unsafe { self.start.add(offset) }
    }
}
