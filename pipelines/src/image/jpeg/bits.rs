//! Reads bits, the most significant first.

/// A reader. What is behind the end reads as zeros; [`Bits::is_over`] tells.
#[derive(Clone, Copy, Debug)]
pub struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte that is not in `buffer` as a whole.
    at: usize,
    /// Unread bits, from the top.
    buffer: u64,
    /// How many of them count. Lower ones are already those that follow.
    count: u32,
}

impl<'a> Bits<'a> {
    /// A reader from the first bit on.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            buffer: 0,
            count: 0,
        }
    }

    /// A reader from a byte on.
    pub fn at(bytes: &'a [u8], at: usize) -> Self {
        Self {
            at,
            ..Self::new(bytes)
        }
    }

    /// Makes at least 56 bits ready.
    #[inline(always)]
    pub fn fill(&mut self) {
        let next = match self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            Some(next) => *next,
            None => tail(self.bytes, self.at),
        };
        // Bytes that do not fit as a whole are put there again the next time, to the same place.
        self.buffer |= u64::from_be_bytes(next) >> self.count;
        self.at += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    /// The next bits, from the top; at least 56 after [`Self::fill`], less what was skipped since.
    #[inline(always)]
    pub fn peek(&self) -> u64 {
        self.buffer
    }

    /// Goes on by `bits`, which must be ready; only the lower six bits of the number count.
    #[inline(always)]
    pub fn skip(&mut self, bits: u32) {
        self.buffer <<= bits & 63;
        self.count = self.count.wrapping_sub(bits & 63);
    }

    /// The next `bits` (at most 16, ready) as a number.
    #[inline(always)]
    pub fn take(&mut self, bits: u32) -> u32 {
        // In two steps, as no bits at all would be a shift by 64.
        let value = (self.buffer >> 1 >> (63 - bits)) as u32;
        self.skip(bits);
        value
    }

    /// The number of bits that were read.
    #[inline(always)]
    pub fn place(&self) -> usize {
        8 * self.at - self.count as usize
    }

    /// Whether more was read than there is.
    pub fn is_over(&self) -> bool {
        self.place() > 8 * self.bytes.len()
    }
}

/// The coefficient whose `size` low bits are `bits` (T.81, F.2.2.1).
#[inline(always)]
pub fn extend(bits: u32, size: u32) -> i32 {
    let half = (1 << size) >> 1;
    let value = bits as i32;
    if value < half {
        value - (1 << size) + 1
    } else {
        value
    }
}

/// What is left from `at` on, and zeros. By value, so that a reader stays in registers.
#[cold]
#[inline(never)]
fn tail(bytes: &[u8], at: usize) -> [u8; 8] {
    let left = bytes.get(at..).unwrap_or_default();
    let mut next = [0; 8];
    next[..left.len()].copy_from_slice(left);
    next
}
