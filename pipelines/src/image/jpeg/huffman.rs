//! Tables of Huffman codes that give a coefficient at once where code and value are short.

use super::bits::{Bits, extend};

/// Bits that are looked up at once.
const WIDTH: u32 = 10;

/// Codes longer than [`WIDTH`], and all codes by their lengths.
#[derive(Debug)]
struct Codes {
    /// For each length the first code that is longer, from the top of 16 bits.
    limits: [u32; 17],
    /// What to add to a code of this length to get its place among the symbols.
    offsets: [i32; 17],
    symbols: [u8; 256],
}

impl Codes {
    /// From the number of codes of each length. `None` when there are more codes than bits allow.
    fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut codes = Self {
            limits: [0; 17],
            offsets: [0; 17],
            symbols: [0; 256],
        };
        codes
            .symbols
            .get_mut(..symbols.len())?
            .copy_from_slice(symbols);
        let (mut code, mut place) = (0_u32, 0);
        for (length, &count) in (1_u32..).zip(counts) {
            codes.offsets[length as usize] = place - code as i32;
            code += u32::from(count);
            place += i32::from(count);
            if code > 1 << length {
                return None;
            }
            codes.limits[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Some(codes)
    }

    /// The symbol at the top of `bits`, and its length.
    #[cold]
    #[inline(never)]
    fn find(&self, bits: u64) -> Option<(u8, u32)> {
        let top = (bits >> 48) as u32;
        let length = (1..=16).find(|&length| top < self.limits[length as usize])?;
        let place = self.offsets[length as usize] + (top >> (16 - length)) as i32;
        Some((self.symbols[place as usize & 255], length))
    }

    /// Calls `entry` with every value of [`WIDTH`] bits that begins with a whole code, the symbol and the code's length.
    fn each(&self, mut entry: impl FnMut(u32, u8, u32)) {
        for index in 0..1 << WIDTH {
            if let Some((symbol, length)) = self.find(u64::from(index) << (64 - WIDTH))
                && length <= WIDTH
            {
                entry(index, symbol, length);
            }
        }
    }
}

/// The value behind a code of `length` bits at the top of an index, if the index holds it.
fn value(index: u32, length: u32, size: u32) -> Option<i32> {
    let left = WIDTH.checked_sub(length + size)?;
    Some(extend(index >> left & ((1 << size) - 1), size))
}

/// Whether an entry of a table of first coefficients has a difference.
const KNOWN: u32 = 1 << 7;

/// Codes of first coefficients.
#[derive(Debug)]
pub struct DcTable {
    codes: Codes,
    /// Where [`KNOWN`] is set, the difference in the upper 16 bits, and in the lowest six what to skip. Else as [`Entry`].
    fast: [u32; 1 << WIDTH],
}

impl DcTable {
    /// From the number of codes of each length and their symbols.
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let codes = Codes::new(counts, symbols)?;
        if symbols.iter().any(|&size| size > 15) {
            return None;
        }
        let mut fast = [0; 1 << WIDTH];
        codes.each(|index, symbol, length| {
            let size = u32::from(symbol);
            fast[index as usize] = match value(index, length, size) {
                Some(value) => (value as u32) << 16 | KNOWN | (length + size),
                None => size << 8 | length,
            };
        });
        Some(Self { codes, fast })
    }

    /// The next difference. Takes up to 31 bits, which must be ready.
    #[inline(always)]
    pub fn read(&self, bits: &mut Bits<'_>) -> Option<i32> {
        let entry = self.fast[(bits.peek() >> (64 - WIDTH)) as usize];
        if entry & KNOWN != 0 {
            bits.skip(entry);
            return Some(entry as i32 >> 16);
        }
        let (size, length) = if entry != 0 {
            ((entry >> 8) as u8, entry & 63)
        } else {
            self.codes.find(bits.peek())?
        };
        bits.skip(length);
        let size = size.into();
        Some(extend(bits.take(size), size))
    }
}

/// Codes of other coefficients.
#[derive(Debug)]
pub struct AcTable {
    codes: Codes,
    /// See [`Entry`].
    fast: [u32; 1 << WIDTH],
}

/// What begins with some bits. With a value (which is never zero) in the upper 16 bits, bits 8 to 11 are the zeros before it, and
/// the lowest six what to skip. Without one, bits 8 to 15 are the symbol, and the lowest six the code's length, or zero for a code that is
/// longer than the table is wide.
#[derive(Clone, Copy, Debug)]
pub struct Entry(u32);

impl Entry {
    /// The coefficient, zero when it is not known.
    #[inline(always)]
    pub fn value(self) -> i16 {
        (self.0 >> 16) as i16
    }

    /// Zeros before it.
    #[inline(always)]
    pub fn run(self) -> usize {
        (self.0 >> 8 & 15) as usize
    }

    /// Bits of code and value; other bits of the answer than the lowest six mean nothing.
    #[inline(always)]
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl AcTable {
    /// From the number of codes of each length and their symbols.
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let codes = Codes::new(counts, symbols)?;
        let mut fast = [0; 1 << WIDTH];
        codes.each(|index, symbol, length| {
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            fast[index as usize] = match value(index, length, size) {
                Some(value) if size > 0 => (value as u32) << 16 | run << 8 | (length + size),
                _ => u32::from(symbol) << 8 | length,
            };
        });
        Some(Self { codes, fast })
    }

    /// What the next bits begin with; ten must be ready.
    #[inline(always)]
    pub fn look(&self, bits: &Bits<'_>) -> Entry {
        Entry(self.fast[(bits.peek() >> (64 - WIDTH)) as usize])
    }

    /// The symbol of an entry without a value, whose code is skipped; 16 bits must be ready.
    #[inline(always)]
    pub fn symbol(&self, entry: Entry, bits: &mut Bits<'_>) -> Option<u8> {
        if entry.0 & 63 != 0 {
            bits.skip(entry.0);
            return Some((entry.0 >> 8) as u8);
        }
        let (symbol, length) = self.codes.find(bits.peek())?;
        bits.skip(length);
        Some(symbol)
    }
}
