//! Values of the protocol, read from bytes that nobody vouches for.

use super::{Error, Result};
use bytes::{Buf, Bytes};
use uuid::Uuid;

/// What arrays may occupy for each byte of the message, beside [`MEMORY_FLOOR`].
///
/// An element may be a byte on the wire and a hundred in memory; honest messages stay far below.
const MEMORY_A_BYTE: usize = 16;
const MEMORY_FLOOR: usize = 8 << 10;

/// Takes values off the front of a message.
///
/// Every length is held against what is left before anything is allocated for it, and all arrays of a message
/// together against a budget that follows from the message's size. Byte strings share the message's memory.
#[derive(Debug)]
pub struct Reader {
    bytes: Bytes,
    memory: usize,
}

impl Reader {
    /// A reader at the start of a message, whose arrays may occupy as much as is usual for its size.
    pub fn new(bytes: Bytes) -> Self {
        let memory = Self::usual_memory(bytes.len());
        Self { bytes, memory }
    }

    /// A reader at the start of a message whose arrays may occupy so many bytes.
    pub fn with_memory(bytes: Bytes, memory: usize) -> Self {
        Self { bytes, memory }
    }

    /// What the arrays of a message of so many bytes may occupy, unless said otherwise.
    pub fn usual_memory(bytes: usize) -> usize {
        bytes
            .saturating_mul(MEMORY_A_BYTE)
            .saturating_add(MEMORY_FLOOR)
    }

    /// How many bytes nobody has read yet.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// The end of the message.
    ///
    /// # Errors
    /// When there is more.
    pub fn end(&self) -> Result<()> {
        match self.left() {
            0 => Ok(()),
            left => Err(Error::Trailing(left)),
        }
    }

    /// The next `count` bytes, without copying them.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn take(&mut self, count: usize) -> Result<Bytes> {
        if count > self.bytes.len() {
            return Err(Error::Short {
                wanted: count,
                left: self.bytes.len(),
            });
        }
        Ok(self.bytes.split_to(count))
    }

    fn array_of<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some(bytes) = self.bytes.first_chunk::<N>() else {
            return Err(Error::Short {
                wanted: N,
                left: self.bytes.len(),
            });
        };
        let bytes = *bytes;
        self.bytes.advance(N);
        Ok(bytes)
    }

    /// A byte that is zero or not.
    ///
    /// # Errors
    /// When the message ends.
    pub fn bool(&mut self) -> Result<bool> {
        Ok(self.int8()? != 0)
    }

    /// One byte.
    ///
    /// # Errors
    /// When the message ends.
    pub fn int8(&mut self) -> Result<i8> {
        Ok(i8::from_be_bytes(self.array_of()?))
    }

    /// Two bytes, big end first, as all integers here.
    ///
    /// # Errors
    /// When the message ends.
    pub fn int16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.array_of()?))
    }

    /// Four bytes.
    ///
    /// # Errors
    /// When the message ends.
    pub fn int32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.array_of()?))
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// When the message ends.
    pub fn int64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.array_of()?))
    }

    /// Sixteen bytes.
    ///
    /// # Errors
    /// When the message ends.
    pub fn uuid(&mut self) -> Result<Uuid> {
        Ok(Uuid::from_bytes(self.array_of()?))
    }

    /// Up to five bytes of seven bits, the low ones first.
    ///
    /// # Errors
    /// When the message ends, or the number has more than 32 bits.
    pub fn unsigned_varint(&mut self) -> Result<u32> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array_of()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0xf {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::Varint)
    }

    /// A length of the compact or the older kind; `None` is null.
    fn length(
        &mut self,
        flexible: bool,
        old: fn(&mut Self) -> Result<i32>,
    ) -> Result<Option<usize>> {
        if flexible {
            let length = self.unsigned_varint()?;
            return Ok(length.checked_sub(1).map(|length| length as usize));
        }
        match old(self)? {
            -1 => Ok(None),
            length => usize::try_from(length)
                .map(Some)
                .map_err(|_| Error::Length(length)),
        }
    }

    /// Text that is there.
    ///
    /// # Errors
    /// When it is null, longer than the message, or not UTF-8.
    pub fn string(&mut self, flexible: bool) -> Result<String> {
        self.nullable_string(flexible, false)?.ok_or(Error::Null)
    }

    /// Text that may be null where the version says so.
    ///
    /// # Errors
    /// When it is null and may not be, longer than the message, or not UTF-8.
    pub fn nullable_string(&mut self, flexible: bool, nullable: bool) -> Result<Option<String>> {
        let length = self.length(flexible, |reader| reader.int16().map(i32::from))?;
        let Some(length) = length else {
            return if nullable { Ok(None) } else { Err(Error::Null) };
        };
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Error::Utf8)?;
        Ok(Some(text.to_owned()))
    }

    /// Bytes that are there.
    ///
    /// # Errors
    /// When they are null or more than the message has.
    pub fn bytes(&mut self, flexible: bool) -> Result<Bytes> {
        self.nullable_bytes(flexible, false)?.ok_or(Error::Null)
    }

    /// Bytes that may be null where the version says so.
    ///
    /// # Errors
    /// When they are null and may not be, or more than the message has.
    pub fn nullable_bytes(&mut self, flexible: bool, nullable: bool) -> Result<Option<Bytes>> {
        match self.length(flexible, Self::int32)? {
            Some(length) => self.take(length).map(Some),
            None if nullable => Ok(None),
            None => Err(Error::Null),
        }
    }

    /// Elements that are there.
    ///
    /// # Errors
    /// As [`nullable_array`](Self::nullable_array).
    pub fn array<T>(
        &mut self,
        flexible: bool,
        element: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.nullable_array(flexible, false, element)?
            .ok_or(Error::Null)
    }

    /// Elements that may be null where the version says so.
    ///
    /// # Errors
    /// When the array is null and may not be, has more elements than the message has bytes, would occupy more
    /// memory than a message of this size may, or an element cannot be read.
    pub fn nullable_array<T>(
        &mut self,
        flexible: bool,
        nullable: bool,
        mut element: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(count) = self.length(flexible, Self::int32)? else {
            return if nullable { Ok(None) } else { Err(Error::Null) };
        };
        // No element of any message is shorter than a byte.
        if count > self.left() {
            return Err(Error::Short {
                wanted: count,
                left: self.left(),
            });
        }
        let memory = count.saturating_mul(size_of::<T>());
        self.memory = self.memory.checked_sub(memory).ok_or(Error::Memory)?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    /// The tagged fields at the end of a flexible struct. `field` reads those it knows from a reader of their own
    /// and returns whether it knew the tag; others are skipped.
    ///
    /// # Errors
    /// When a field is longer than the message, cannot be read, or is longer than its value.
    pub fn tags(&mut self, mut field: impl FnMut(u32, &mut Self) -> Result<bool>) -> Result<()> {
        for _ in 0..self.unsigned_varint()? {
            let tag = self.unsigned_varint()?;
            let size = self.unsigned_varint()?;
            let mut inner = Self {
                bytes: self.take(size as usize)?,
                memory: self.memory,
            };
            if field(tag, &mut inner)? {
                inner.end()?;
            }
            self.memory = inner.memory;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8]) -> Reader {
        Reader::new(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn varints_have_at_most_32_bits() {
        assert_eq!(
            reader(&[0xff, 0xff, 0xff, 0xff, 0x0f]).unsigned_varint(),
            Ok(u32::MAX)
        );
        assert_eq!(
            reader(&[0xff, 0xff, 0xff, 0xff, 0x1f]).unsigned_varint(),
            Err(Error::Varint)
        );
        assert_eq!(
            reader(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]).unsigned_varint(),
            Err(Error::Varint)
        );
        assert_eq!(reader(&[0x96, 0x01]).unsigned_varint(), Ok(150));
        assert_eq!(
            reader(&[0x80]).unsigned_varint(),
            Err(Error::Short { wanted: 1, left: 0 })
        );
    }

    #[test]
    fn a_hostile_count_allocates_nothing() {
        let huge = i32::MAX.to_be_bytes();
        assert!(matches!(
            reader(&huge).array(false, Reader::int8),
            Err(Error::Short { left: 0, .. })
        ));
        assert_eq!(
            reader(&(-2i32).to_be_bytes()).array(false, Reader::int8),
            Err(Error::Length(-2))
        );
    }

    /// Elements of one byte that would be kilobytes in memory: refused before they are.
    #[test]
    fn memory_follows_the_size_of_the_message() {
        let mut message = 100_000i32.to_be_bytes().to_vec();
        message.resize(100_004, 0);
        let fat = |reader: &mut Reader| reader.int8().map(|byte| [byte; 1000]);
        assert_eq!(reader(&message).array(false, fat), Err(Error::Memory));
        assert_eq!(
            reader(&message)
                .array(false, Reader::int8)
                .map(|array| array.len()),
            Ok(100_000)
        );
    }

    #[test]
    fn null_only_where_it_may_be() {
        assert_eq!(reader(&[0xff, 0xff]).nullable_string(false, true), Ok(None));
        assert_eq!(
            reader(&[0xff, 0xff]).nullable_string(false, false),
            Err(Error::Null)
        );
        assert_eq!(reader(&[0]).nullable_bytes(true, true), Ok(None));
        assert_eq!(reader(&[0]).bytes(true), Err(Error::Null));
    }

    #[test]
    fn unknown_tags_are_skipped_and_known_ones_read_to_their_end() {
        let known = |tag, field: &mut Reader| {
            if tag == 1 {
                field.int8()?;
            }
            Ok(tag == 1)
        };
        let mut both = reader(&[2, 0, 3, 9, 9, 9, 1, 1, 7, 42]);
        assert_eq!(both.tags(known), Ok(()));
        assert_eq!(both.int8(), Ok(42));
        assert_eq!(
            reader(&[1, 1, 2, 7, 7]).tags(known),
            Err(Error::Trailing(1))
        );
        assert!(reader(&[1, 0, 9, 1]).tags(known).is_err());
    }
}
