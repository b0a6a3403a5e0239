//! What the members of JSON's objects are, and their values as values of columns.
//!
//! A column is what holds all values that were looked at: of numbers and texts a text, which then takes every value as its
//! JSON. Values are taken from the text as they were written: a number keeps its digits.

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Characters of a value that a reason shows.
const SHOWN: usize = 40;
/// Lists and objects within each other that are columns; what is deeper is a text.
const DEPTH: usize = 32;

/// The members of an object in their order, each with the text of its value.
pub(crate) struct Members<'t>(pub(crate) Vec<(String, &'t RawValue)>);

impl<'t> Deserialize<'t> for Members<'t> {
    fn deserialize<D: Deserializer<'t>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'t> Visitor<'t> for Object {
            type Value = Members<'t>;

            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("one JSON object")
            }

            fn visit_map<M: MapAccess<'t>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Object)
    }
}

/// What values are.
#[derive(Debug, Clone, Default)]
enum Kind {
    /// Nulls, and what has nothing in it.
    #[default]
    Nothing,
    Flag,
    /// Whole numbers: some below 0, some above those of 64 bits with a sign.
    Whole {
        negative: bool,
        large: bool,
    },
    Number,
    Text,
    List(Box<Kind>),
    Object(Object),
}

/// What the members of objects are, in the order in which they appeared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object {
    places: HashMap<String, usize>,
    kinds: Vec<(String, Kind)>,
}

impl Object {
    /// Takes in what the members of another are.
    pub(crate) fn add(&mut self, members: &Members) {
        for (name, value) in &members.0 {
            self.meet(name, Kind::of(value.get(), DEPTH));
        }
    }

    fn meet(&mut self, name: &str, kind: Kind) {
        match self.places.get(name) {
            Some(&at) => {
                if let Some((_, known)) = self.kinds.get_mut(at) {
                    *known = std::mem::take(known).and(kind);
                }
            }
            None => {
                self.places.insert(name.to_owned(), self.kinds.len());
                self.kinds.push((name.to_owned(), kind));
            }
        }
    }

    fn fields(self) -> Fields {
        let field = |(name, kind): (String, Kind)| Field::new(name, kind.column(), true);
        self.kinds.into_iter().map(field).collect()
    }

    /// Columns for all that was seen.
    pub(crate) fn schema(self) -> SchemaRef {
        Arc::new(Schema::new(self.fields()))
    }
}

impl Kind {
    /// What a value is, of which is known that it is JSON; `left` levels of it are looked into.
    fn of(text: &str, left: usize) -> Self {
        match text.as_bytes().first() {
            Some(b't' | b'f') => Self::Flag,
            Some(b'"') => Self::Text,
            Some(b'[' | b'{') if left == 0 => Self::Text,
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
                let items = items.into_iter().map(|item| Self::of(item.get(), left - 1));
                Self::List(Box::new(items.fold(Self::Nothing, Self::and)))
            }
            Some(b'{') => {
                let mut object = Object::default();
                if let Ok(members) = serde_json::from_str::<Members>(text) {
                    for (name, value) in &members.0 {
                        object.meet(name, Self::of(value.get(), left - 1));
                    }
                }
                Self::Object(object)
            }
            Some(b'-' | b'0'..=b'9') => match (text.parse::<i64>(), text.parse::<u64>()) {
                (Ok(number), _) => Self::Whole {
                    negative: number < 0,
                    large: false,
                },
                (Err(_), Ok(_)) => Self::Whole {
                    negative: false,
                    large: true,
                },
                _ => Self::Number,
            },
            _ => Self::Nothing,
        }
    }

    /// What holds both.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, kind) | (kind, Self::Nothing) => kind,
            (Self::Flag, Self::Flag) => Self::Flag,
            (
                Self::Whole { negative, large },
                Self::Whole {
                    negative: below,
                    large: above,
                },
            ) => Self::Whole {
                negative: negative || below,
                large: large || above,
            },
            (Self::Whole { .. } | Self::Number, Self::Whole { .. } | Self::Number) => Self::Number,
            (Self::List(one), Self::List(other)) => Self::List(Box::new(one.and(*other))),
            (Self::Object(mut one), Self::Object(other)) => {
                for (name, kind) in other.kinds {
                    one.meet(&name, kind);
                }
                Self::Object(one)
            }
            _ => Self::Text,
        }
    }

    fn column(self) -> DataType {
        match self {
            Self::Nothing | Self::Text => DataType::Utf8,
            Self::Flag => DataType::Boolean,
            Self::Whole { large: false, .. } => DataType::Int64,
            Self::Whole {
                negative: false, ..
            } => DataType::UInt64,
            Self::Whole { .. } | Self::Number => DataType::Float64,
            Self::List(kind) => DataType::new_list(kind.column(), true),
            // No format has structures without members.
            Self::Object(object) if object.kinds.is_empty() => DataType::Utf8,
            Self::Object(object) => DataType::Struct(object.fields()),
        }
    }
}

/// Finds columns by the names of members.
pub(crate) struct Columns<'s> {
    places: HashMap<&'s str, usize>,
    fields: &'s Fields,
}

impl<'s> Columns<'s> {
    pub(crate) fn new(fields: &'s Fields) -> Self {
        let named = fields.iter().enumerate();
        let places = named.map(|(at, field)| (field.name().as_str(), at));
        Self {
            places: places.collect(),
            fields,
        }
    }

    /// Writes an object with the members that are columns, as these say. A value that is none of its column is null; of the
    /// first of them it is said why.
    pub(crate) fn fit(&self, members: &Members, out: &mut Vec<u8>) -> Option<String> {
        let mut values: Vec<Option<&str>> = vec![None; self.fields.len()];
        for (name, value) in &members.0 {
            if let Some(place) = self.places.get(name.as_str())
                && let Some(slot) = values.get_mut(*place)
            {
                *slot = Some(value.get());
            }
        }
        let mut wrong = None;
        out.push(b'{');
        let mut more = false;
        for (field, value) in self.fields.iter().zip(values) {
            let Some(value) = value else {
                continue;
            };
            if std::mem::replace(&mut more, true) {
                out.push(b',');
            }
            quote(field.name(), out);
            out.push(b':');
            let begun = out.len();
            if !fit(value, field.data_type(), out) {
                out.truncate(begun);
                out.extend_from_slice(b"null");
                wrong.get_or_insert_with(|| {
                    let shown: String = value.chars().take(SHOWN).collect();
                    format!(
                        "`{}` is {shown}, which is no {}",
                        field.name(),
                        field.data_type()
                    )
                });
            }
        }
        out.push(b'}');
        wrong
    }
}

/// Writes a text as JSON's.
fn quote(text: &str, out: &mut Vec<u8>) {
    // A text can be written, and memory takes it.
    let _ = serde_json::to_writer(out, text);
}

/// Writes a value as one of a column; whether it is one.
fn fit(value: &str, kind: &DataType, out: &mut Vec<u8>) -> bool {
    let first = value.as_bytes().first().copied().unwrap_or(b'n');
    match (kind, first) {
        (_, b'n') => out.extend_from_slice(b"null"),
        (DataType::Utf8, b'"') | (DataType::Boolean, b't' | b'f') => {
            out.extend_from_slice(value.as_bytes());
        }
        (DataType::Utf8, _) => quote(value, out),
        (DataType::Float64, b'-' | b'0'..=b'9') => out.extend_from_slice(value.as_bytes()),
        (DataType::Int64 | DataType::UInt64, b'-' | b'0'..=b'9') => {
            let Some(number) = whole(value) else {
                return false;
            };
            let holds = match kind {
                DataType::Int64 => i64::try_from(number).is_ok(),
                _ => u64::try_from(number).is_ok(),
            };
            if !holds {
                return false;
            }
            out.extend_from_slice(number.to_string().as_bytes());
        }
        (DataType::List(field), b'[') => {
            let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value) else {
                return false;
            };
            out.push(b'[');
            for (at, item) in items.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                if !fit(item.get(), field.data_type(), out) {
                    return false;
                }
            }
            out.push(b']');
        }
        (DataType::Struct(fields), b'{') => {
            let Ok(members) = serde_json::from_str::<Members>(value) else {
                return false;
            };
            return Columns::new(fields).fit(&members, out).is_none();
        }
        _ => return false,
    }
    true
}

/// A number that is whole, however it is written.
fn whole(text: &str) -> Option<i128> {
    /// Whole numbers up to this are their own as floats.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => {
            let number: f64 = text.parse().ok()?;
            (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i128)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(lines: &[&str]) -> SchemaRef {
        let mut object = Object::default();
        for line in lines {
            object.add(&serde_json::from_str(line).expect(line));
        }
        object.schema()
    }

    fn fitted(schema: &Schema, line: &str) -> (String, Option<String>) {
        let members: Members = serde_json::from_str(line).expect(line);
        let mut out = Vec::new();
        let wrong = Columns::new(schema.fields()).fit(&members, &mut out);
        (String::from_utf8(out).expect("a text"), wrong)
    }

    #[test]
    fn a_column_holds_all_values_that_were_seen() {
        for (lines, kind) in [
            (&[r#"{"a":1}"#, r#"{"a":null}"#][..], DataType::Int64),
            (&[r#"{"a":1}"#, r#"{"a":2.5}"#], DataType::Float64),
            (
                &[r#"{"a":12345678901234567890}"#, r#"{"a":1}"#],
                DataType::UInt64,
            ),
            (
                &[r#"{"a":12345678901234567890}"#, r#"{"a":-1}"#],
                DataType::Float64,
            ),
            (&[r#"{"a":1}"#, r#"{"a":"x"}"#], DataType::Utf8),
            (&[r#"{"a":true}"#, r#"{"a":1}"#], DataType::Utf8),
            (&[r#"{"a":[1]}"#, r#"{"a":{"b":1}}"#], DataType::Utf8),
            (&[r#"{"a":null}"#], DataType::Utf8),
            (&[r#"{"a":{}}"#], DataType::Utf8),
            (
                &[r#"{"a":[]}"#, r#"{"a":[1]}"#],
                DataType::new_list(DataType::Int64, true),
            ),
            (
                &[r#"{"a":[1,"x"]}"#],
                DataType::new_list(DataType::Utf8, true),
            ),
            (
                &[r#"{"a":{"c":1}}"#, r#"{"a":{"b":true,"c":"x"}}"#],
                DataType::Struct(Fields::from(vec![
                    Field::new("c", DataType::Utf8, true),
                    Field::new("b", DataType::Boolean, true),
                ])),
            ),
        ] {
            assert_eq!(schema(lines).field(0).data_type(), &kind, "{lines:?}");
        }
        let ordered = schema(&[r#"{"z":1,"a":2}"#, r#"{"m":3}"#]);
        let names: Vec<&str> = ordered
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        assert_eq!(names, ["z", "a", "m"]);
    }

    /// Whoever nests values as deep as they like has texts from some depth on, and a stack left.
    #[test]
    fn what_is_too_deep_is_a_text() {
        for (open, close) in [("[", "]"), ("{\"b\":", "}")] {
            for depth in [10, 200_000] {
                let value = format!("{}1{}", open.repeat(depth), close.repeat(depth));
                let line = format!("{{\"a\":{value}}}");
                let known = schema(&[&line]);
                let (mut kind, mut levels) = (known.field(0).data_type(), 0);
                loop {
                    kind = match kind {
                        DataType::List(field) => field.data_type(),
                        DataType::Struct(fields) => fields[0].data_type(),
                        _ => break,
                    };
                    levels += 1;
                }
                assert_eq!(levels, depth.min(DEPTH));
                let leaf = if depth > DEPTH {
                    DataType::Utf8
                } else {
                    DataType::Int64
                };
                assert_eq!(*kind, leaf);
                let (written, wrong) = fitted(&known, &line);
                assert_eq!(wrong, None);
                assert_eq!(written == line, depth < DEPTH);
                // A column that was seen to be a text takes it whole.
                let texts = schema(&[r#"{"a":"x"}"#]);
                let quoted = serde_json::to_string(&value).expect("a text");
                let want = (format!("{{\"a\":{quoted}}}"), None);
                assert_eq!(fitted(&texts, &line), want);
            }
        }
    }

    #[test]
    fn values_are_those_of_their_columns_as_they_were_written() {
        let texts = schema(&[r#"{"a":"x"}"#]);
        for (line, want) in [
            (r#"{"a":1.50}"#, r#"{"a":"1.50"}"#),
            (
                r#"{"a":12345678901234567890123}"#,
                r#"{"a":"12345678901234567890123"}"#,
            ),
            (r#"{"a":true}"#, r#"{"a":"true"}"#),
            (r#"{"a":["x", 1]}"#, r#"{"a":"[\"x\", 1]"}"#),
            (r#"{"a":null}"#, r#"{"a":null}"#),
            (r#"{"b":1}"#, r#"{}"#),
        ] {
            assert_eq!(fitted(&texts, line), (want.to_owned(), None), "{line}");
        }
        let numbers = schema(&[r#"{"a":1,"b":{"c":[1]}}"#]);
        assert_eq!(
            fitted(&numbers, r#"{"a":2.0}"#),
            (r#"{"a":2}"#.to_owned(), None)
        );
        for (line, want, why) in [
            (
                r#"{"a":2.5}"#,
                r#"{"a":null}"#,
                "`a` is 2.5, which is no Int64",
            ),
            (
                r#"{"a":"x"}"#,
                r#"{"a":null}"#,
                "`a` is \"x\", which is no Int64",
            ),
            (
                r#"{"a":9223372036854775808}"#,
                r#"{"a":null}"#,
                "which is no Int64",
            ),
            (
                r#"{"b":{"c":["x"]},"a":1}"#,
                r#"{"a":1,"b":null}"#,
                "`b` is",
            ),
        ] {
            let (fitted, wrong) = fitted(&numbers, line);
            assert_eq!(fitted, want, "{line}");
            assert!(wrong.is_some_and(|wrong| wrong.contains(why)), "{line}");
        }
    }
}
