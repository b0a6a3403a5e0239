//! A record as JSON. What is UTF-8 is text, and what is not is base64; nothing is neither.

use super::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use escala_stream_ingest::records::{Draft, Header, Record};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A record of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordView {
    /// Its partition.
    pub partition: u32,
    /// Its place in the partition.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its key in base64, where it is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_base64: Option<String>,
    /// What it says. Neither this nor `value_base64`: a tombstone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What it says in base64, where it is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
    /// What stands beside it, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderView>,
}

/// A header of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderView {
    /// Its name; names may come more than once.
    pub name: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Its value in base64, where it is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
}

/// Bytes as text, or else as base64.
fn shown(bytes: Option<&Bytes>) -> (Option<String>, Option<String>) {
    match bytes {
        None => (None, None),
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(STANDARD.encode(bytes))),
        },
    }
}

fn bytes(text: Option<String>, base64: Option<String>, what: &str) -> Result<Option<Bytes>> {
    match (text, base64) {
        (None, None) => Ok(None),
        (Some(text), None) => Ok(Some(text.into())),
        (None, Some(base64)) => {
            let decoded = STANDARD.decode(base64);
            let wrong = |error| Error::Invalid(format!("`{what}_base64` is not base64: {error}"));
            Ok(Some(decoded.map_err(wrong)?.into()))
        }
        (Some(_), Some(_)) => Err(Error::Invalid(format!(
            "give either `{what}` or `{what}_base64`"
        ))),
    }
}

impl RecordView {
    /// The record of a partition.
    pub fn new(partition: u32, record: &Record) -> Self {
        let (key, key_base64) = shown(record.key.as_ref());
        let (value, value_base64) = shown(record.value.as_ref());
        let header = |(name, value): &Header| {
            let (value, value_base64) = shown(value.as_ref());
            HeaderView {
                name: name.clone(),
                value,
                value_base64,
            }
        };
        Self {
            partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key,
            key_base64,
            value,
            value_base64,
            headers: record.headers.iter().map(header).collect(),
        }
    }

    /// The bytes of its key and of its value.
    ///
    /// # Errors
    /// [`Error::Invalid`] when one is not what it says.
    pub fn bytes(self) -> Result<(Option<Bytes>, Option<Bytes>)> {
        let key = bytes(self.key, self.key_base64, "key")?;
        Ok((key, bytes(self.value, self.value_base64, "value")?))
    }
}

/// A key or a value that was sent: text as its letters, anything else as the JSON that it is, without the white space
/// around its parts.
fn meant(json: &RawValue) -> Result<Option<String>> {
    let json = json.get();
    match json.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'"') => {
            let text = serde_json::from_str(json);
            text.map(Some)
                .map_err(|error| Error::Invalid(error.to_string()))
        }
        _ => Ok(Some(compact(json))),
    }
}

/// Valid JSON without white space outside its texts; numbers stay as they were written.
fn compact(json: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    let kept = |c: &char| {
        let text = inside;
        match *c {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            _ => {}
        }
        text || !c.is_ascii_whitespace()
    };
    json.chars().filter(kept).collect()
}

/// The parts of a record that was sent as JSON.
#[derive(Debug, Default)]
pub struct Parts {
    /// The key: text or any JSON.
    pub key: Option<Box<RawValue>>,
    /// The key in base64.
    pub key_base64: Option<String>,
    /// The value: text or any JSON.
    pub value: Option<Box<RawValue>>,
    /// The value in base64.
    pub value_base64: Option<String>,
    /// Headers.
    pub headers: Vec<HeaderView>,
    /// Milliseconds since 1970; the time of the request when it does not say.
    pub timestamp: Option<i64>,
}

impl Parts {
    /// The record, at a time unless it says its own.
    ///
    /// # Errors
    /// [`Error::Invalid`] when parts contradict each other or are not what they say.
    pub fn draft(self, now: i64) -> Result<Draft> {
        let text = |part: Option<Box<RawValue>>| match part {
            Some(json) => meant(&json),
            None => Ok(None),
        };
        if self.timestamp.is_some_and(|time| time < 0) {
            return Err(Error::Invalid(
                "`timestamp` must not be negative".to_owned(),
            ));
        }
        let header = |header: HeaderView| -> Result<Header> {
            Ok((
                header.name,
                bytes(header.value, header.value_base64, "value")?,
            ))
        };
        Ok(Draft {
            timestamp: self.timestamp.unwrap_or(now),
            key: bytes(text(self.key)?, self.key_base64, "key")?,
            value: bytes(text(self.value)?, self.value_base64, "value")?,
            headers: self
                .headers
                .into_iter()
                .map(header)
                .collect::<Result<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Option<Box<RawValue>> {
        Some(RawValue::from_string(json.to_owned()).expect("JSON"))
    }

    fn value(json: &str) -> Option<Bytes> {
        let parts = Parts {
            value: raw(json),
            ..Parts::default()
        };
        parts.draft(7).expect("a record").value
    }

    #[test]
    fn text_is_its_letters_and_other_json_is_kept_as_it_was_written() {
        assert_eq!(value(r#""a\n\u00e9""#).expect("text"), "a\né");
        assert_eq!(
            value("{ \"a b\" : [ 1.000000000000000000001 , \"\\\" x\" ]\n}").expect("JSON"),
            "{\"a b\":[1.000000000000000000001,\"\\\" x\"]}"
        );
        assert_eq!(value(" 12 ").expect("a number"), "12");
        assert_eq!(value("null"), None);
    }

    #[test]
    fn parts_that_contradict_each_other_are_refused() {
        let both = Parts {
            value: raw("1"),
            value_base64: Some("AA==".to_owned()),
            ..Parts::default()
        };
        let broken = Parts {
            key_base64: Some("?".to_owned()),
            ..Parts::default()
        };
        let early = Parts {
            timestamp: Some(-1),
            ..Parts::default()
        };
        for (parts, named) in [
            (both, "`value_base64`"),
            (broken, "`key_base64`"),
            (early, "`timestamp`"),
        ] {
            let message = parts.draft(7).expect_err("refused").to_string();
            assert!(message.contains(named), "{message}");
        }
    }

    #[test]
    fn a_record_goes_through_json_and_comes_back() {
        let record = Record {
            offset: 5,
            timestamp: 9,
            key: Some(Bytes::from_static(b"\xff\0")),
            value: Some(Bytes::from_static("ü".as_bytes())),
            headers: vec![
                ("a".to_owned(), Some(Bytes::from_static(b"\xfe"))),
                ("a".to_owned(), None),
            ],
        };
        let json = serde_json::to_string(&RecordView::new(3, &record)).expect("JSON");
        let view: RecordView = serde_json::from_str(&json).expect("a record");
        assert_eq!(view, RecordView::new(3, &record));
        let parts = Parts {
            key_base64: view.key_base64.clone(),
            value: raw(&format!("{:?}", view.value.clone().expect("text"))),
            headers: view.headers.clone(),
            timestamp: Some(view.timestamp),
            ..Parts::default()
        };
        let draft = parts.draft(0).expect("a record");
        assert_eq!(
            (draft.key, draft.value),
            (record.key.clone(), record.value.clone())
        );
        assert_eq!(
            (draft.headers, draft.timestamp),
            (record.headers, record.timestamp)
        );
        assert_eq!(view.bytes().expect("bytes"), (record.key, record.value));
    }

    #[test]
    fn a_tombstone_has_no_value_in_json() {
        let record = Record {
            offset: 0,
            timestamp: 0,
            key: None,
            value: None,
            headers: Vec::new(),
        };
        let json = serde_json::to_string(&RecordView::new(0, &record)).expect("JSON");
        assert_eq!(json, r#"{"partition":0,"offset":0,"timestamp":0}"#);
    }
}
