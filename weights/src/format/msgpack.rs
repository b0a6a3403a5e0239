//! MessagePack, read whole into values that borrow from the file.
//!
//! Specification: <https://github.com/msgpack/msgpack/blob/master/spec.md>. Extension types are not read.
//! [`to_json`] is for the tables that spaCy keeps beside its networks: maps with integer keys become objects
//! whose keys are decimal numbers.

use super::{Bytes, Error, invalid};

/// Raised when the conversion of the same file changes.
pub const REVISION: u32 = 1;

/// Deepest nesting: several times what spaCy and thinc write.
const DEPTH: usize = 32;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nothing.
    Nil,
    /// A truth value.
    Bool(bool),
    /// An integer of any width.
    Int(i128),
    /// A floating-point number of either width.
    Float(f64),
    /// Text.
    Str(&'a str),
    /// Bytes.
    Bin(&'a [u8]),
    /// Values in order.
    Array(Vec<Value<'a>>),
    /// Keys and values in the order of the file.
    Map(Vec<(Value<'a>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// The value of a key that is text, or bytes that spell it.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        let Self::Map(entries) = self else {
            return None;
        };
        entries
            .iter()
            .find(|(k, _)| match k {
                Self::Str(text) => *text == key,
                Self::Bin(bytes) => *bytes == key.as_bytes(),
                _ => false,
            })
            .map(|(_, value)| value)
    }

    /// The values of an array.
    pub fn array(&self) -> Option<&[Value<'a>]> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }
}

/// Reads a file that is one value.
///
/// # Errors
/// Anything that is not exactly one well-formed value of at most 32 levels.
pub fn read(file: &[u8]) -> Result<Value<'_>, Error> {
    let mut from = Bytes::new(file);
    let value = read_value(&mut from, DEPTH)?;
    match from.remaining() {
        0 => Ok(value),
        rest => Err(invalid(format!("{rest} bytes after the value"))),
    }
}

/// The same value as JSON text.
///
/// # Errors
/// What [`read`] refuses, and what JSON cannot say: bytes, numbers that are not finite, integers beyond 64
/// bits, keys that are neither text nor integers.
pub fn to_json(file: &[u8]) -> Result<Vec<u8>, Error> {
    let json = json_of(&read(file)?)?;
    serde_json::to_vec(&json).map_err(|e| invalid(e.to_string()))
}

fn read_value<'a>(from: &mut Bytes<'a>, depth: usize) -> Result<Value<'a>, Error> {
    if depth == 0 {
        return Err(Error::Unsupported {
            what: format!("MessagePack nested deeper than {DEPTH}"),
        });
    }
    let first = from.u8("a value")?;
    Ok(match first {
        0x00..=0x7f => Value::Int(first.into()),
        0x80..=0x8f => read_map(from, usize::from(first & 0x0f), depth)?,
        0x90..=0x9f => read_array(from, usize::from(first & 0x0f), depth)?,
        0xa0..=0xbf => read_text(from, usize::from(first & 0x1f))?,
        0xc0 => Value::Nil,
        0xc2 => Value::Bool(false),
        0xc3 => Value::Bool(true),
        0xc4..=0xc6 => {
            let length = length(from, first - 0xc4)?;
            Value::Bin(from.take(length, "bytes")?)
        }
        0xca => Value::Float(f32::from_be_bytes(from.array("a number")?).into()),
        0xcb => Value::Float(f64::from_be_bytes(from.array("a number")?)),
        0xcc => Value::Int(from.u8("a number")?.into()),
        0xcd => Value::Int(u16::from_be_bytes(from.array("a number")?).into()),
        0xce => Value::Int(u32::from_be_bytes(from.array("a number")?).into()),
        0xcf => Value::Int(u64::from_be_bytes(from.array("a number")?).into()),
        0xd0 => Value::Int(i8::from_be_bytes(from.array("a number")?).into()),
        0xd1 => Value::Int(i16::from_be_bytes(from.array("a number")?).into()),
        0xd2 => Value::Int(i32::from_be_bytes(from.array("a number")?).into()),
        0xd3 => Value::Int(i64::from_be_bytes(from.array("a number")?).into()),
        0xd9..=0xdb => {
            let length = length(from, first - 0xd9)?;
            read_text(from, length)?
        }
        0xdc | 0xdd => {
            let count = length(from, first - 0xdc + 1)?;
            read_array(from, count, depth)?
        }
        0xde | 0xdf => {
            let count = length(from, first - 0xde + 1)?;
            read_map(from, count, depth)?
        }
        0xe0..=0xff => Value::Int(i8::from_be_bytes([first]).into()),
        0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => {
            return Err(Error::Unsupported {
                what: format!("MessagePack type {first:#04x}"),
            });
        }
    })
}

/// A length of 1, 2 or 4 bytes.
fn length(from: &mut Bytes<'_>, width: u8) -> Result<usize, Error> {
    Ok(match width {
        0 => from.u8("a length")?.into(),
        1 => u16::from_be_bytes(from.array("a length")?).into(),
        _ => u32::from_be_bytes(from.array("a length")?) as usize,
    })
}

fn read_text<'a>(from: &mut Bytes<'a>, length: usize) -> Result<Value<'a>, Error> {
    std::str::from_utf8(from.take(length, "text")?)
        .map(Value::Str)
        .map_err(|_| invalid("text that is not UTF-8"))
}

fn read_array<'a>(from: &mut Bytes<'a>, count: usize, depth: usize) -> Result<Value<'a>, Error> {
    // Not reserved: a count is only believed as its values arrive.
    let mut values = Vec::new();
    for _ in 0..count {
        values.push(read_value(from, depth - 1)?);
    }
    Ok(Value::Array(values))
}

fn read_map<'a>(from: &mut Bytes<'a>, count: usize, depth: usize) -> Result<Value<'a>, Error> {
    let mut entries = Vec::new();
    for _ in 0..count {
        let key = read_value(from, depth - 1)?;
        entries.push((key, read_value(from, depth - 1)?));
    }
    Ok(Value::Map(entries))
}

fn json_of(value: &Value<'_>) -> Result<serde_json::Value, Error> {
    let number = |i: i128| {
        serde_json::Number::from_i128(i).ok_or_else(|| invalid(format!("{i} is beyond 64 bits")))
    };
    Ok(match value {
        Value::Nil => serde_json::Value::Null,
        Value::Bool(b) => (*b).into(),
        Value::Int(i) => serde_json::Value::Number(number(*i)?),
        Value::Float(f) => serde_json::Number::from_f64(*f)
            .ok_or_else(|| invalid("a number that is not finite"))?
            .into(),
        Value::Str(text) => (*text).into(),
        Value::Bin(_) => return Err(invalid("bytes have no place in JSON")),
        Value::Array(values) => values.iter().map(json_of).collect::<Result<_, _>>()?,
        Value::Map(entries) => {
            let mut object = serde_json::Map::new();
            for (key, value) in entries {
                let key = match key {
                    Value::Str(text) => (*text).to_owned(),
                    Value::Int(i) => i.to_string(),
                    other => return Err(invalid(format!("{other:?} as a key"))),
                };
                if object.insert(key.clone(), json_of(value)?).is_some() {
                    return Err(invalid(format!("key \"{key}\" twice")));
                }
            }
            object.into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the specification's format table.
    #[test]
    fn every_type_is_read() {
        let cases: [(&[u8], Value<'_>); 14] = [
            (b"\xc0", Value::Nil),
            (b"\xc3", Value::Bool(true)),
            (b"\x7f", Value::Int(127)),
            (b"\xff", Value::Int(-1)),
            (b"\xcd\x01\x00", Value::Int(256)),
            (
                b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
                Value::Int(u64::MAX.into()),
            ),
            (b"\xd2\xff\xff\xff\xfe", Value::Int(-2)),
            (b"\xcb\x3f\xf8\0\0\0\0\0\0", Value::Float(1.5)),
            (b"\xca\x3f\xc0\0\0", Value::Float(1.5)),
            (b"\xa2hi", Value::Str("hi")),
            (b"\xd9\x02hi", Value::Str("hi")),
            (b"\xc5\x00\x01\x09", Value::Bin(&[9])),
            (b"\xdc\x00\x01\x05", Value::Array(vec![Value::Int(5)])),
            (
                b"\x81\xa1a\xc2",
                Value::Map(vec![(Value::Str("a"), Value::Bool(false))]),
            ),
        ];
        for (bytes, value) in cases {
            assert_eq!(read(bytes).unwrap(), value);
            for end in 0..bytes.len() {
                assert!(read(&bytes[..end]).is_err(), "{bytes:?} cut at {end}");
            }
        }
    }

    #[test]
    fn what_must_not_be_believed_is_refused() {
        // Four thousand million values announced; a hundred levels; extension; trailing bytes.
        assert!(read(b"\xdd\xff\xff\xff\xff\x01").is_err());
        assert!(read(&[0x91; 100]).is_err());
        assert!(read(b"\xd4\x01\x02").is_err());
        assert!(read(b"\x01\x02").is_err());
        assert!(read(b"\xa1\xff").is_err());
    }

    #[test]
    fn json_keeps_large_keys_and_values() {
        let file = b"\x81\xcf\xff\xff\xff\xff\xff\xff\xff\xfe\x92\xa1x\xcf\xff\xff\xff\xff\xff\xff\xff\xff";
        let json = String::from_utf8(to_json(file).unwrap()).unwrap();
        assert_eq!(
            json,
            r#"{"18446744073709551614":["x",18446744073709551615]}"#
        );
        assert!(to_json(b"\xc4\x01a").is_err());
        assert!(to_json(b"\x82\x01\x02\xa11\x02").is_err());
    }
}
