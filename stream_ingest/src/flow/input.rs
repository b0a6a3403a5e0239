//! What a record is asked about.

use super::{Failed, Fault};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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
        let parsed: Value = serde_json::from_slice(value)
            .map_err(|error| invalid(format!("the value is not JSON: {error}")))?;
        let found = match parsed.pointer(field) {
            Some(Value::String(text)) => text,
            Some(_) => return Err(invalid(format!("what stands at {field} is not a text"))),
            None => return Err(invalid(format!("nothing stands at {field}"))),
        };
        match takes {
            Takes::Text => Ok(Self::Text(found.clone())),
            Takes::Image => match STANDARD.decode(found) {
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
