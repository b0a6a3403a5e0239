//! One thing of an ONNX file: a value of its metadata, such as the list of a recogniser's characters.
//!
//! An ONNX file is a protocol buffer, `ModelProto` of `onnx.proto`; its `metadata_props` (field 14) are pairs of a
//! key (field 1) and a value (field 2). Every other field is passed over. The graph itself is published as it is
//! and read by whoever runs it.

use super::{Bytes, Error, invalid};

/// Raised when the conversion of the same file changes.
pub const REVISION: u32 = 1;

const METADATA: u64 = 14;
const KEY: u64 = 1;
const VALUE: u64 = 2;

/// The value of a key, as it is.
///
/// # Errors
/// When the file is no protocol buffer, or has no such key, or has it twice.
pub fn metadata(file: &[u8], wanted: &str) -> Result<Vec<u8>, Error> {
    let mut found = None;
    let mut model = Bytes::new(file);
    while let Some((number, field)) = field(&mut model)? {
        if number != METADATA {
            continue;
        }
        let (mut key, mut value) = (&b""[..], &b""[..]);
        let mut pair = Bytes::new(field);
        while let Some((number, text)) = self::field(&mut pair)? {
            match number {
                KEY => key = text,
                VALUE => value = text,
                _ => (),
            }
        }
        if key == wanted.as_bytes() && found.replace(value).is_some() {
            return Err(invalid(format!("metadata \"{wanted}\" twice")));
        }
    }
    found
        .map(<[u8]>::to_vec)
        .ok_or_else(|| invalid(format!("no metadata \"{wanted}\"")))
}

/// The next field's number, and its bytes when it is of the kind that has some.
fn field<'a>(from: &mut Bytes<'a>) -> Result<Option<(u64, &'a [u8])>, Error> {
    const WHAT: &str = "a field";
    if from.remaining() == 0 {
        return Ok(None);
    }
    let tag = varint(from)?;
    let bytes = match tag & 7 {
        0 => {
            varint(from)?;
            &[]
        }
        1 => from.take(8, WHAT)?,
        2 => {
            let length = usize::try_from(varint(from)?)
                .map_err(|_| invalid("a field longer than the address space"))?;
            from.take(length, WHAT)?
        }
        5 => from.take(4, WHAT)?,
        other => return Err(invalid(format!("a field of kind {other}"))),
    };
    Ok(Some((tag >> 3, bytes)))
}

fn varint(from: &mut Bytes<'_>) -> Result<u64, Error> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let byte = from.u8("a number")?;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(invalid("a number of more than ten bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ir_version = 8`, a graph of three bytes, and two pairs of metadata.
    const FILE: &[u8] =
        b"\x08\x08\x3a\x03abc\x72\x06\x0a\x01k\x12\x01v\x72\x08\x0a\x04list\x12\x00";

    #[test]
    fn a_value_is_found_by_its_key() {
        assert_eq!(metadata(FILE, "k").unwrap(), b"v");
        assert_eq!(metadata(FILE, "list").unwrap(), b"");
        assert!(metadata(FILE, "other").is_err());
        assert!(metadata(&[FILE, &FILE[7..]].concat(), "k").is_err());
    }

    #[test]
    fn broken_files_are_errors() {
        for end in 1..FILE.len() {
            // Cut between two fields it is a file, but without the last key.
            assert!(metadata(&FILE[..end], "list").is_err(), "{end}");
        }
        for broken in [
            &b"\x0b"[..],
            b"\x72\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            &[0xff; 20],
        ] {
            assert!(metadata(broken, "k").is_err(), "{broken:?}");
        }
    }
}
