//! Values of the protocol, written.

use super::{Error, Result};
use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

/// Byte strings from this size on are sent from where they lie.
const SHARE: usize = 4096;

/// Puts values one after the other. Long byte strings are not copied: a message is a list of pieces.
#[derive(Debug, Default)]
pub struct Writer {
    pieces: Vec<Bytes>,
    shared: usize,
    tail: BytesMut,
}

impl Writer {
    /// A writer of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes were written.
    pub fn len(&self) -> usize {
        self.shared + self.tail.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was written, in pieces that follow each other.
    pub fn finish(mut self) -> Vec<Bytes> {
        self.cut();
        self.pieces
    }

    fn cut(&mut self) {
        if !self.tail.is_empty() {
            let piece = self.tail.split().freeze();
            self.shared += piece.len();
            self.pieces.push(piece);
        }
    }

    /// Bytes as they are, without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.tail.put_slice(bytes);
    }

    /// A byte, 1 or 0.
    pub fn bool(&mut self, value: bool) {
        self.tail.put_u8(u8::from(value));
    }

    /// One byte.
    pub fn int8(&mut self, value: i8) {
        self.tail.put_i8(value);
    }

    /// Two bytes, big end first, as all integers here.
    pub fn int16(&mut self, value: i16) {
        self.tail.put_i16(value);
    }

    /// Four bytes.
    pub fn int32(&mut self, value: i32) {
        self.tail.put_i32(value);
    }

    /// Eight bytes.
    pub fn int64(&mut self, value: i64) {
        self.tail.put_i64(value);
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self, value: Uuid) {
        self.tail.put_slice(value.as_bytes());
    }

    /// Up to five bytes of seven bits, the low ones first.
    pub fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.tail.put_u8(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.tail.put_u8(value.to_le_bytes()[0]);
    }

    fn compact_length(&mut self, length: Option<usize>) -> Result<()> {
        let length = length.map_or(Ok(0), |length| {
            u32::try_from(length + 1).map_err(|_| Error::TooLong(length))
        })?;
        self.unsigned_varint(length);
        Ok(())
    }

    /// Text that is there.
    ///
    /// # Errors
    /// When it is longer than the protocol can say.
    pub fn string(&mut self, flexible: bool, value: &str) -> Result<()> {
        self.nullable_string(flexible, false, Some(value))
    }

    /// Text that may be null where the version says so.
    ///
    /// # Errors
    /// When it is null and may not be, or longer than the protocol can say.
    pub fn nullable_string(
        &mut self,
        flexible: bool,
        nullable: bool,
        value: Option<&str>,
    ) -> Result<()> {
        if value.is_none() && !nullable {
            return Err(Error::Null);
        }
        if flexible {
            self.compact_length(value.map(str::len))?;
        } else {
            let length = value.map_or(Ok(-1), |value| {
                i16::try_from(value.len()).map_err(|_| Error::TooLong(value.len()))
            })?;
            self.int16(length);
        }
        self.raw(value.unwrap_or_default().as_bytes());
        Ok(())
    }

    /// Bytes that are there.
    ///
    /// # Errors
    /// When they are more than the protocol can say.
    pub fn bytes(&mut self, flexible: bool, value: &Bytes) -> Result<()> {
        self.nullable_bytes(flexible, false, Some(value))
    }

    /// Bytes that may be null where the version says so.
    ///
    /// # Errors
    /// When they are null and may not be, or more than the protocol can say.
    pub fn nullable_bytes(
        &mut self,
        flexible: bool,
        nullable: bool,
        value: Option<&Bytes>,
    ) -> Result<()> {
        if value.is_none() && !nullable {
            return Err(Error::Null);
        }
        self.length(flexible, value.map(Bytes::len))?;
        match value {
            Some(value) if value.len() >= SHARE => {
                self.cut();
                self.shared += value.len();
                self.pieces.push(value.clone());
            }
            Some(value) => self.raw(value),
            None => {}
        }
        Ok(())
    }

    fn length(&mut self, flexible: bool, length: Option<usize>) -> Result<()> {
        if flexible {
            return self.compact_length(length);
        }
        let length = length.map_or(Ok(-1), |length| {
            i32::try_from(length).map_err(|_| Error::TooLong(length))
        })?;
        self.int32(length);
        Ok(())
    }

    /// Elements that are there.
    ///
    /// # Errors
    /// When they are more than the protocol can say, or one cannot be written.
    pub fn array<T>(
        &mut self,
        flexible: bool,
        elements: &[T],
        element: impl FnMut(&mut Self, &T) -> Result<()>,
    ) -> Result<()> {
        self.nullable_array(flexible, false, Some(elements), element)
    }

    /// Elements that may be null where the version says so.
    ///
    /// # Errors
    /// When the array is null and may not be, has more elements than the protocol can say, or one cannot be written.
    pub fn nullable_array<T>(
        &mut self,
        flexible: bool,
        nullable: bool,
        elements: Option<&[T]>,
        mut element: impl FnMut(&mut Self, &T) -> Result<()>,
    ) -> Result<()> {
        if elements.is_none() && !nullable {
            return Err(Error::Null);
        }
        self.length(flexible, elements.map(<[T]>::len))?;
        elements
            .unwrap_or_default()
            .iter()
            .try_for_each(|one| element(self, one))
    }

    /// The tagged fields at the end of a flexible struct, in the order of their tags.
    ///
    /// # Errors
    /// When a field is longer than the protocol can say.
    pub fn tags(&mut self, tags: Tags) -> Result<()> {
        let count = u32::try_from(tags.0.len()).map_err(|_| Error::TooLong(tags.0.len()))?;
        self.unsigned_varint(count);
        for (tag, field) in tags.0 {
            self.unsigned_varint(tag);
            let size = u32::try_from(field.len()).map_err(|_| Error::TooLong(field.len()))?;
            self.unsigned_varint(size);
            for piece in field.finish() {
                self.raw(&piece);
            }
        }
        Ok(())
    }
}

/// Tagged fields that differ from their defaults.
#[derive(Debug, Default)]
pub struct Tags(Vec<(u32, Writer)>);

impl Tags {
    /// One more, with a tag higher than those before.
    ///
    /// # Errors
    /// When its value cannot be written.
    pub fn push(&mut self, tag: u32, field: impl FnOnce(&mut Writer) -> Result<()>) -> Result<()> {
        let mut writer = Writer::new();
        field(&mut writer)?;
        self.0.push((tag, writer));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bytes_are_sent_from_where_they_lie() {
        let long = Bytes::from(vec![7; SHARE]);
        let mut writer = Writer::new();
        writer.int8(1);
        writer.bytes(false, &long).expect("bytes");
        writer.int8(2);
        assert_eq!(writer.len(), SHARE + 6);
        let pieces = writer.finish();
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[1].as_ptr(), long.as_ptr());
    }

    #[test]
    fn what_the_protocol_cannot_say_is_refused() {
        let text = "x".repeat(40_000);
        assert_eq!(
            Writer::new().string(false, &text),
            Err(Error::TooLong(40_000))
        );
        assert_eq!(Writer::new().string(true, &text), Ok(()));
        assert_eq!(
            Writer::new().nullable_string(true, false, None),
            Err(Error::Null)
        );
    }
}
