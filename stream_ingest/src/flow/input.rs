//! What a record is asked about.

use super::{Failed, Fault};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde_json::Value;

/// What a task takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Texts.
    Text,
    /// Files of images.
    Image,
}

/// What a predictor is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A text.
    Text(String),
    /// The bytes of an image's file.
    Image(Bytes),
}

/// The JSON pointer of a field: itself, or that to a member of this name.
pub fn field_of(field: &str) -> String {
    match field.is_empty() || field.starts_with('/') {
        true => field.to_owned(),
        false => format!("/{}", field.replace('~', "~0").replace('/', "~1")),
    }
}

/// Whether a JSON pointer can be one (RFC 6901): after `~` comes 0 or 1.
///
/// # Errors
/// A sentence with what is wrong.
pub fn check_pointer(pointer: &str) -> Result<(), String> {
    let escapes = pointer.split('~').skip(1);
    let wrong = escapes
        .map(|rest| rest.chars().next())
        .find(|next| !matches!(next, Some('0' | '1')));
    match wrong {
        None => Ok(()),
        Some(next) => {
            let next = next.map(String::from).unwrap_or_default();
            Err(format!(
                "`{pointer}` is no JSON pointer: it has ~{next}, and a member's ~ is written ~0, its / is written ~1"
            ))
        }
    }
}

/// What UTF-8 may begin with and JSON may not.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Base64 with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes of base64 as it is met with: in either alphabet (RFC 4648, 4 and 5), padded or not, in lines, or in a `data:` URL.
fn base64(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    let plain = |byte: u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => byte,
    };
    let bytes = after_data_url(text).bytes();
    let bytes: Vec<u8> = bytes
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(plain)
        .collect();
    BASE64.decode(bytes)
}

/// What stands after `data:…;base64,`, or all of a text that does not begin so.
fn after_data_url(text: &str) -> &str {
    let Some((head, body)) = text.split_once(',') else {
        return text;
    };
    let head = head.trim_start().to_ascii_lowercase();
    match head.starts_with("data:") && head.ends_with(";base64") {
        true => body,
        false => text,
    }
}

impl Input {
    /// The input in a record's value: all of it, or what stands at a pointer in its JSON.
    ///
    /// # Errors
    /// With the fault of the record, why there is none.
    pub fn of(value: &Bytes, takes: Takes, field: Option<&str>) -> Result<Self, Failed> {
        let Some(field) = field else {
            return match takes {
                Takes::Image => Ok(Self::Image(value.clone())),
                Takes::Text => match std::str::from_utf8(value) {
                    Ok(text) => Ok(Self::Text(text.to_owned())),
                    Err(_) => Err(invalid("the value is not valid UTF-8".to_owned())),
                },
            };
        };
        let json = value.strip_prefix(BYTE_ORDER_MARK).unwrap_or(value);
        let parsed: Value = serde_json::from_slice(json)
            .map_err(|error| invalid(format!("the value is not JSON: {error}")))?;
        let found = match parsed.pointer(field) {
            Some(Value::String(text)) => text,
            Some(_) => return Err(invalid(format!("what stands at {field} is not a text"))),
            None => return Err(invalid(format!("nothing stands at {field}"))),
        };
        match takes {
            Takes::Text => Ok(Self::Text(found.clone())),
            Takes::Image => match base64(found) {
                Ok(bytes) => Ok(Self::Image(bytes.into())),
                Err(error) => Err(invalid(format!(
                    "what stands at {field} is not base64: {error}"
                ))),
            },
        }
    }
}

fn invalid(message: String) -> Failed {
    Failed {
        fault: Fault::Record,
        code: "invalid_input".to_owned(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(text: &str) -> Result<Input, Failed> {
        let value = serde_json::json!({ "image": text }).to_string();
        Input::of(&value.into(), Takes::Image, Some("/image"))
    }

    /// The values are those of RFC 4648, 10, and bytes whose base64 differs between its alphabets.
    #[test]
    fn base64_is_read_however_it_is_written() {
        for (text, bytes) in [
            ("Zm9vYg==", &b"foob"[..]),
            ("Zm9vYg", b"foob"),
            ("Zm9v\r\nYmFy\r\n", b"foobar"),
            ("data:image/png;base64,Zm9vYmE=", b"fooba"),
            ("DATA:image/png;x=y;Base64,Zm9vYmE", b"fooba"),
            ("+/+/", b"\xfb\xff\xbf"),
            ("-_-_", b"\xfb\xff\xbf"),
            ("", b""),
        ] {
            assert_eq!(image(text), Ok(Input::Image(bytes.into())), "{text:?}");
        }
        for text in ["Zm9vY", "Zm9*", "data:image/png,Zm9v", "Zm=9"] {
            let failed = image(text).unwrap_err();
            assert!(
                failed.message.contains("not base64"),
                "{text:?}: {}",
                failed.message
            );
        }
    }

    #[test]
    fn json_may_begin_with_a_byte_order_mark() {
        let value = Bytes::from("\u{feff}{\"text\": \"ok\"}");
        let found = Input::of(&value, Takes::Text, Some("/text"));
        assert_eq!(found, Ok(Input::Text("ok".to_owned())));
    }

    /// The pointers of RFC 6901, 5, and some that are none.
    #[test]
    fn pointers_are_those_of_the_rfc() {
        for pointer in ["", "/foo", "/foo/0", "/", "/a~1b", "/c%d", "/m~0n", "/~01"] {
            assert_eq!(check_pointer(pointer), Ok(()), "{pointer}");
        }
        for pointer in ["/a~2", "/~", "/a~/b", "/~~0"] {
            assert!(check_pointer(pointer).is_err(), "{pointer}");
        }
    }
}
