//! Requests against the service model, with the messages AWS gives.
//!
//! Two passes, as the real services do (a wrong type wins over a missing member): first every value must
//! have the JSON type its shape asks for ([`Invalid::Serialization`]), then every constraint must hold
//! ([`Invalid::Constraints`]). Members the model does not know are ignored, `null` members are absent.
//! Recursion is bounded by the parser's nesting limit (128) and by the model.
//!
//! Where the texts come from:
//! * wrong types: measured on a JSON 1.1 service in 2026 by the tests of athena-local ("NUMBER_VALUE can not
//!   be converted to a String", "Start of list found where not expected", "Start of structure or map found
//!   where not expected.", "Expected list or null", "Expected null"; a required member that is `null` is a
//!   constraint, not a type; `1.5` for an integer is truncated; an integer of more than 32 bits meets the
//!   usual bounds); kinesalite, whose tests run against the real Kinesis too, has the same set and the three
//!   base64 texts; Paws saw "STRING_VALUE can not be converted to milliseconds since epoch" live;
//! * constraints: kinesalite ("N validation errors detected: …; …", `records.1.member.key`, at most ten
//!   errors, blobs as `java.nio.HeapByteBuffer[pos=0 lim=0 cap=0]`), messages of Lambda quoted by users for
//!   lists of constrained text ("Member must satisfy constraint: [Member must have length less than or equal
//!   to 6, …, Member must not be null]");
//! * Rekognition, quoted by users in 2018 and 2024: `{"__type":"ValidationException","message":"1 validation
//!   error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=0 cap=0]' at 'image.bytes' failed to satisfy
//!   constraint: Member must have length greater than or equal to 1"}`;
//! * Comprehend, quoted by users: "1 validation error detected: Value at 'languageCode' failed to satisfy
//!   constraint: Member must satisfy enum value set: [hi, de, zh-TW, …]": it does not repeat the value.
//!
//! [`output`] checks answers; tests run it over every response.

use super::model::{Id, Kind, Service, Shape, ShapeId, Text};
use serde_json::Value;
use std::fmt::Write;

/// Most errors that one message lists, as at AWS.
const LISTED: usize = 10;
/// Most characters of a caller's value that a message repeats. AWS has no such bound; without one, a
/// message could be as large as a request.
const ECHOED: usize = 1_000;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// The body is not what the shape is made of: `SerializationException`.
    Serialization(String),
    /// Constraints that do not hold, at most ten: `ValidationException`.
    Constraints(Vec<String>),
}

impl Invalid {
    /// The sentence for the caller.
    pub fn message(&self) -> String {
        match self {
            Self::Serialization(message) => message.clone(),
            Self::Constraints(errors) => {
                let plural = if errors.len() == 1 { "" } else { "s" };
                format!(
                    "{} validation error{plural} detected: {}",
                    errors.len(),
                    errors.join("; ")
                )
            }
        }
    }
}

/// Checks a request body against its shape.
///
/// # Errors
/// The first wrong type, or else the constraints that do not hold.
pub fn input(service: &Service, shape: ShapeId, body: &Value) -> Result<(), Invalid> {
    types(service, service.shape(shape), body).map_err(Invalid::Serialization)?;
    let mut errors = Errors {
        service,
        listed: Vec::new(),
    };
    errors.members(service.shape(shape), body, "");
    if errors.listed.is_empty() {
        Ok(())
    } else {
        Err(Invalid::Constraints(errors.listed))
    }
}

// --- types ---------------------------------------------------------------------------------------------

const LIST_FOUND: &str = "Start of list found where not expected";
const STRUCTURE_FOUND: &str = "Start of structure or map found where not expected.";

fn types(service: &Service, shape: &Shape, value: &Value) -> Result<(), String> {
    match (&shape.kind, value) {
        (_, Value::Null) => Ok(()),
        (Kind::Structure(members), Value::Object(object)) => {
            members.iter().try_for_each(|member| {
                object.get(&member.name).map_or(Ok(()), |value| {
                    types(service, service.shape(member.shape), value)
                })
            })
        }
        (Kind::List(element), Value::Array(values)) => values
            .iter()
            .try_for_each(|value| types(service, service.shape(*element), value)),
        (Kind::Map(_, element), Value::Object(object)) => object
            .values()
            .try_for_each(|value| types(service, service.shape(*element), value)),
        (Kind::String(_), Value::String(_)) | (Kind::Boolean, Value::Bool(_)) => Ok(()),
        (
            Kind::Integer | Kind::Long | Kind::Float | Kind::Double | Kind::Timestamp,
            Value::Number(_),
        ) => Ok(()),
        (Kind::Blob, Value::String(text)) => blob_length(text).map(|_| ()),
        (_, Value::Array(_)) => Err(LIST_FOUND.to_owned()),
        (_, Value::Object(_)) => Err(STRUCTURE_FOUND.to_owned()),
        (Kind::Structure(_), _) => Err("Expected null".to_owned()),
        (Kind::List(_), _) => Err("Expected list or null".to_owned()),
        (Kind::Map(..), _) => Err("Expected map or null".to_owned()),
        (kind, scalar) => {
            let found = match scalar {
                Value::Bool(true) => "TRUE_VALUE",
                Value::Bool(false) => "FALSE_VALUE",
                Value::Number(_) => "NUMBER_VALUE",
                _ => "STRING_VALUE",
            };
            let wanted = match kind {
                Kind::String(_) => "a String",
                Kind::Blob => "a Blob",
                Kind::Integer => "an Integer",
                Kind::Long => "a Long",
                Kind::Float => "a Float",
                Kind::Double => "a Double",
                Kind::Boolean => "a Boolean",
                _ => "milliseconds since epoch",
            };
            Err(format!("{found} can not be converted to {wanted}"))
        }
    }
}

/// The bytes that a base64 text stands for, counted without decoding it.
///
/// # Errors
/// The text is not canonical padded base64; the message is AWS's (with its spelling).
pub fn blob_length(text: &str) -> Result<usize, String> {
    let refuse = |reason: String| {
        Err(format!(
            "'{}' can not be converted to a Blob: {reason}",
            clip(text, 100)
        ))
    };
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(4) {
        let found = bytes.len();
        return refuse(format!(
            "Base64 encoded length is expected a multiple of 4 bytes but found: {found}"
        ));
    }
    let padding = bytes
        .iter()
        .rev()
        .take(2)
        .take_while(|&&byte| byte == b'=')
        .count();
    let data = &bytes[..bytes.len() - padding];
    // An image has millions of characters; only what is wrong is searched.
    if base64_simd::STANDARD.check(bytes).is_ok() {
        return Ok(data.len() * 3 / 4);
    }
    if let Some(bad) = data.iter().position(|&byte| sextet(byte).is_none()) {
        let bad = text
            .get(bad..)
            .and_then(|rest| rest.chars().next())
            .unwrap_or('\u{fffd}');
        return refuse(format!("Invalid Base64 character: '{bad}'"));
    }
    // The bits of the last character that belong to no byte must be zero.
    let spare = [0, 0b11, 0b1111][padding];
    if data
        .last()
        .and_then(|&last| sextet(last))
        .is_some_and(|last| last & spare != 0)
    {
        return refuse("Invalid last non-pad Base64 character dectected".to_owned());
    }
    Ok(data.len() * 3 / 4)
}

fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

// --- constraints ---------------------------------------------------------------------------------------

struct Errors<'a> {
    service: &'a Service,
    listed: Vec<String>,
}

impl Errors<'_> {
    fn push(&mut self, shape: &Shape, value: &Value, path: &str, constraint: &str) {
        if self.listed.len() < LISTED {
            let shown = if value.is_null() {
                "null ".to_owned()
            } else if self.service.id == Id::Comprehend || shape.sensitive {
                String::new()
            } else {
                format!("'{}' ", clip(&display(shape, value), ECHOED))
            };
            self.listed.push(format!(
                "Value {shown}at '{path}' failed to satisfy constraint: {constraint}"
            ));
        }
    }

    fn members(&mut self, shape: &Shape, value: &Value, prefix: &str) {
        let (Kind::Structure(members), Value::Object(object)) = (&shape.kind, value) else {
            return;
        };
        for member in members {
            let path = format!("{prefix}{}", member.label);
            let shape = self.service.shape(member.shape);
            match object.get(&member.name).unwrap_or(&Value::Null) {
                Value::Null if member.required => {
                    self.push(shape, &Value::Null, &path, "Member must not be null")
                }
                Value::Null => {}
                value => self.value(shape, value, &path),
            }
        }
    }

    fn value(&mut self, shape: &Shape, value: &Value, path: &str) {
        if self.listed.len() >= LISTED {
            return;
        }
        for broken in constraints(shape).filter(|constraint| !constraint.holds(value)) {
            self.push(shape, value, path, &broken.text());
        }
        let service = self.service;
        match (&shape.kind, value) {
            (Kind::Structure(_), _) => self.members(shape, value, &format!("{path}.")),
            (Kind::List(element), Value::Array(values)) => {
                self.elements(
                    shape,
                    value,
                    path,
                    service.shape(*element),
                    "Member",
                    || {
                        values
                            .iter()
                            .enumerate()
                            .map(|(i, value)| ((i + 1).to_string(), value))
                    },
                );
            }
            (Kind::Map(key, element), Value::Object(object)) => {
                let key = service.shape(*key);
                if object
                    .keys()
                    .any(|name| constraints(key).any(|c| !c.holds_text(name)))
                {
                    self.push(
                        shape,
                        value,
                        path,
                        &format!("Map keys must satisfy constraint: {}", listing(key)),
                    );
                }
                self.elements(
                    shape,
                    value,
                    path,
                    service.shape(*element),
                    "Map value",
                    || object.iter().map(|(key, value)| (key.clone(), value)),
                );
            }
            _ => {}
        }
    }

    /// Elements of a list or map. Those that are structures, lists or maps are named one by one
    /// (`faces.1.member.id`); simple ones make one error of the whole, which lists every constraint.
    fn elements<'v, I: Iterator<Item = (String, &'v Value)>>(
        &mut self,
        shape: &Shape,
        whole: &Value,
        path: &str,
        element: &Shape,
        word: &str,
        values: impl Fn() -> I,
    ) {
        if matches!(
            element.kind,
            Kind::Structure(_) | Kind::List(_) | Kind::Map(..)
        ) {
            for (name, value) in values() {
                let path = format!("{path}.{name}.member");
                match value {
                    Value::Null => self.push(element, value, &path, "Member must not be null"),
                    value => self.value(element, value, &path),
                }
            }
        } else if values()
            .any(|(_, value)| value.is_null() || constraints(element).any(|c| !c.holds(value)))
        {
            self.push(
                shape,
                whole,
                path,
                &format!("{word} must satisfy constraint: {}", listing(element)),
            );
        }
    }
}

/// One constraint of a shape.
enum Constraint<'a> {
    MostLength(f64, Of),
    LeastLength(f64, Of),
    Most(f64),
    Least(f64),
    Pattern(&'a Text, &'a str),
    Values(&'a [String]),
}

/// What a length counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// Characters of a text, elements of a list or map.
    Plain,
    /// Bytes behind base64.
    Blob,
}

/// The constraints of a shape itself, in the order AWS lists them.
fn constraints(shape: &Shape) -> impl Iterator<Item = Constraint<'_>> {
    let number = matches!(
        shape.kind,
        Kind::Integer | Kind::Long | Kind::Float | Kind::Double
    );
    let of = if matches!(shape.kind, Kind::Blob) {
        Of::Blob
    } else {
        Of::Plain
    };
    let most = shape.max.map(|max| {
        if number {
            Constraint::Most(max)
        } else {
            Constraint::MostLength(max, of)
        }
    });
    let least = shape.min.map(|min| {
        if number {
            Constraint::Least(min)
        } else {
            Constraint::LeastLength(min, of)
        }
    });
    let text = match &shape.kind {
        Kind::String(text) => Some(text),
        _ => None,
    };
    let pattern = text.and_then(|text| {
        text.pattern
            .as_deref()
            .map(|pattern| Constraint::Pattern(text, pattern))
    });
    let values = text
        .filter(|text| !text.values.is_empty())
        .map(|text| Constraint::Values(&text.values));
    [most, least, pattern, values].into_iter().flatten()
}

/// Every constraint of an element, as the error of a list of simple values prints them.
fn listing(shape: &Shape) -> String {
    let mut texts: Vec<String> = constraints(shape)
        .map(|constraint| constraint.text())
        .collect();
    texts.push("Member must not be null".to_owned());
    format!("[{}]", texts.join(", "))
}

impl Constraint<'_> {
    fn text(&self) -> String {
        match self {
            Self::MostLength(most, _) => {
                format!("Member must have length less than or equal to {most}")
            }
            Self::LeastLength(least, _) => {
                format!("Member must have length greater than or equal to {least}")
            }
            Self::Most(most) => format!("Member must have value less than or equal to {most}"),
            Self::Least(least) => {
                format!("Member must have value greater than or equal to {least}")
            }
            Self::Pattern(_, pattern) => {
                format!("Member must satisfy regular expression pattern: {pattern}")
            }
            Self::Values(values) => format!(
                "Member must satisfy enum value set: [{}]",
                values.join(", ")
            ),
        }
    }

    /// Whether a value of the right type satisfies it.
    fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::MostLength(most, of), value) => {
                length(value, *of).is_none_or(|length| length as f64 <= *most)
            }
            (Self::LeastLength(least, of), value) => {
                length(value, *of).is_none_or(|length| length as f64 >= *least)
            }
            (Self::Most(most), Value::Number(number)) => {
                number.as_f64().is_some_and(|number| number <= *most)
            }
            (Self::Least(least), Value::Number(number)) => {
                number.as_f64().is_some_and(|number| number >= *least)
            }
            (_, Value::String(text)) => self.holds_text(text),
            _ => true,
        }
    }

    fn holds_text(&self, value: &str) -> bool {
        match self {
            Self::MostLength(most, _) => value.chars().count() as f64 <= *most,
            Self::LeastLength(least, _) => value.chars().count() as f64 >= *least,
            Self::Pattern(text, _) => text.matches(value),
            Self::Values(values) => values.iter().any(|allowed| allowed == value),
            Self::Most(_) | Self::Least(_) => true,
        }
    }
}

/// Elements of a list or map, characters of a text, bytes of a blob (whose base64 is known to be right).
fn length(value: &Value, of: Of) -> Option<usize> {
    match value {
        Value::String(text) if of == Of::Blob => Some(
            text.len() / 4 * 3
                - text
                    .bytes()
                    .rev()
                    .take(2)
                    .take_while(|&byte| byte == b'=')
                    .count(),
        ),
        Value::String(text) => Some(text.chars().count()),
        Value::Array(values) => Some(values.len()),
        Value::Object(object) => Some(object.len()),
        _ => None,
    }
}

/// A value as Java prints it.
fn display(shape: &Shape, value: &Value) -> String {
    match value {
        Value::String(_) if matches!(shape.kind, Kind::Blob) => {
            let length = length(value, Of::Blob).unwrap_or_default();
            format!("java.nio.HeapByteBuffer[pos=0 lim={length} cap={length}]")
        }
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let mut shown = String::from("[");
            for (i, value) in values.iter().enumerate() {
                if shown.len() > ECHOED {
                    break;
                }
                let separator = if i == 0 { "" } else { ", " };
                let _ = match value {
                    Value::String(text) => write!(shown, "{separator}{}", clip(text, ECHOED)),
                    Value::Array(_) | Value::Object(_) => write!(shown, "{separator}…"),
                    scalar => write!(shown, "{separator}{scalar}"),
                };
            }
            shown + "]"
        }
        Value::Object(object) => format!("{{{} members}}", object.len()),
        Value::Number(number) => match (&shape.kind, number.as_f64()) {
            (Kind::Float, Some(number)) => java_number(f64::from(number as f32), number as f32),
            (Kind::Double, Some(number)) => java_number(number, number),
            _ => number.to_string(),
        },
        scalar => scalar.to_string(),
    }
}

/// A number as `Float.toString` and `Double.toString` of Java write it: `150.0`, `1.0E30`. `shortest` is the
/// number in its own precision.
fn java_number(value: f64, shortest: impl std::fmt::Debug + std::fmt::UpperExp) -> String {
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        return format!("{shortest:?}");
    }
    let text = format!("{shortest:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

/// The first `most` characters, marked when there were more.
fn clip(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

// --- answers -------------------------------------------------------------------------------------------

/// Everything about an answer that its shape does not allow: members the model does not know, wrong types,
/// `null`, missing members that are required, constraints that do not hold. Empty when it is well-formed.
pub fn output(service: &Service, shape: ShapeId, value: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    check_output(service, service.shape(shape), value, "$", &mut problems);
    problems
}

fn check_output(
    service: &Service,
    shape: &Shape,
    value: &Value,
    path: &str,
    problems: &mut Vec<String>,
) {
    match (&shape.kind, value) {
        (Kind::Structure(members), Value::Object(object)) => {
            for (name, value) in object {
                match members.iter().find(|member| member.name == *name) {
                    Some(member) => {
                        check_output(
                            service,
                            service.shape(member.shape),
                            value,
                            &format!("{path}.{name}"),
                            problems,
                        );
                    }
                    None => {
                        problems.push(format!("{path}.{name} is not a member of {}", shape.name))
                    }
                }
            }
            for member in members
                .iter()
                .filter(|member| member.required && !object.contains_key(&member.name))
            {
                problems.push(format!("{path}.{} is missing", member.name));
            }
        }
        (Kind::List(element), Value::Array(values)) => {
            for (i, value) in values.iter().enumerate() {
                check_output(
                    service,
                    service.shape(*element),
                    value,
                    &format!("{path}[{i}]"),
                    problems,
                );
            }
        }
        (Kind::Map(_, element), Value::Object(object)) => {
            for (key, value) in object {
                check_output(
                    service,
                    service.shape(*element),
                    value,
                    &format!("{path}.{key}"),
                    problems,
                );
            }
        }
        (_, Value::Null) => problems.push(format!("{path} is null")),
        (Kind::Integer | Kind::Long, Value::Number(number)) if number.is_f64() => {
            problems.push(format!("{path} is {number}, not a whole number"));
        }
        _ => {
            if let Err(problem) = types(service, shape, value) {
                problems.push(format!("{path}: {problem}"));
            }
        }
    }
    for broken in constraints(shape).filter(|constraint| !constraint.holds(value)) {
        problems.push(format!("{path}: {}", broken.text()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::Models;
    use super::*;
    use base64::Engine as _;
    use proptest::prelude::*;
    use serde_json::json;

    fn check(service: Id, operation: &str, body: Value) -> Result<(), Invalid> {
        let models = Models::get().expect("models are well-formed");
        let service = models
            .services()
            .iter()
            .find(|s| s.id == service)
            .expect("known service");
        input(
            service,
            service.operation(operation).expect("known operation").input,
            &body,
        )
    }

    fn comprehend(operation: &str, body: Value) -> String {
        check(Id::Comprehend, operation, body)
            .expect_err("refused")
            .message()
    }

    fn rekognition(operation: &str, body: Value) -> String {
        check(Id::Rekognition, operation, body)
            .expect_err("refused")
            .message()
    }

    fn serialization(result: Result<(), Invalid>) -> String {
        match result {
            Err(Invalid::Serialization(message)) => message,
            other => panic!("{other:?} is no serialization error"),
        }
    }

    #[test]
    fn good_requests_pass_and_unknown_members_are_ignored() {
        let ok = |service, operation, body| assert_eq!(check(service, operation, body), Ok(()));
        ok(
            Id::Comprehend,
            "DetectDominantLanguage",
            json!({"Text": "hola", "Extra": [1, {}]}),
        );
        ok(
            Id::Comprehend,
            "BatchDetectDominantLanguage",
            json!({"TextList": ["a", "b"]}),
        );
        ok(
            Id::Comprehend,
            "DetectSentiment",
            json!({"Text": "hola", "LanguageCode": "zh-TW"}),
        );
        ok(
            Id::Rekognition,
            "DetectLabels",
            json!({"Image": {"Bytes": "AAAA"}, "MaxLabels": null, "MinConfidence": 50.5}),
        );
        // An integer with a fraction is truncated, as measured at AWS.
        ok(
            Id::Rekognition,
            "DetectLabels",
            json!({"Image": {"Bytes": "AAAA"}, "MaxLabels": 1.5}),
        );
        ok(
            Id::Rekognition,
            "TagResource",
            json!({"ResourceArn": "arn:aws:rekognition:x", "Tags": {"team": "vision"}}),
        );
    }

    /// Each line is a combination measured on the real services; see the top of this file.
    #[test]
    fn wrong_types_have_the_texts_of_aws() {
        let text = |value| {
            serialization(check(
                Id::Comprehend,
                "DetectDominantLanguage",
                json!({ "Text": value }),
            ))
        };
        assert_eq!(
            text(json!(1)),
            "NUMBER_VALUE can not be converted to a String"
        );
        assert_eq!(
            text(json!(1.5)),
            "NUMBER_VALUE can not be converted to a String"
        );
        assert_eq!(
            text(json!(true)),
            "TRUE_VALUE can not be converted to a String"
        );
        assert_eq!(
            text(json!(false)),
            "FALSE_VALUE can not be converted to a String"
        );
        assert_eq!(text(json!(["x"])), "Start of list found where not expected");
        assert_eq!(
            text(json!({"a": 1})),
            "Start of structure or map found where not expected."
        );

        let list = |value| {
            serialization(check(
                Id::Comprehend,
                "BatchDetectDominantLanguage",
                json!({ "TextList": value }),
            ))
        };
        assert_eq!(list(json!("x")), "Expected list or null");
        assert_eq!(list(json!(1)), "Expected list or null");
        assert_eq!(
            list(json!({})),
            "Start of structure or map found where not expected."
        );
        assert_eq!(
            list(json!(["ok", 1])),
            "NUMBER_VALUE can not be converted to a String"
        );

        let labels = |body| serialization(check(Id::Rekognition, "DetectLabels", body));
        assert_eq!(labels(json!({"Image": "x"})), "Expected null");
        assert_eq!(
            labels(json!({"Image": []})),
            "Start of list found where not expected"
        );
        assert_eq!(
            labels(json!({"Image": {}, "MaxLabels": "1"})),
            "STRING_VALUE can not be converted to an Integer"
        );
        assert_eq!(
            labels(json!({"Image": {}, "MinConfidence": true})),
            "TRUE_VALUE can not be converted to a Float"
        );
        assert_eq!(
            labels(json!({"Image": {"Bytes": 1}})),
            "NUMBER_VALUE can not be converted to a Blob"
        );
        assert_eq!(labels(json!([])), "Start of list found where not expected");

        let tags = json!({"ResourceArn": "arn", "Tags": "x"});
        assert_eq!(
            serialization(check(Id::Rekognition, "TagResource", tags)),
            "Expected map or null"
        );
        let time = json!({"Filter": {"SubmitTimeBefore": "today"}});
        assert_eq!(
            serialization(check(Id::Comprehend, "ListEventsDetectionJobs", time)),
            "STRING_VALUE can not be converted to milliseconds since epoch"
        );
        // A wrong type wins over a missing member.
        assert_eq!(
            labels(json!({"MaxLabels": "1"})),
            "STRING_VALUE can not be converted to an Integer"
        );
    }

    /// The three texts that kinesalite's tests assert against the real service.
    #[test]
    fn base64_has_the_texts_of_aws() {
        let blob = |text: &str| {
            serialization(check(
                Id::Rekognition,
                "DetectLabels",
                json!({"Image": {"Bytes": text}}),
            ))
        };
        assert_eq!(
            blob("23456"),
            "'23456' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 5"
        );
        assert_eq!(
            blob("=+/="),
            "'=+/=' can not be converted to a Blob: Invalid Base64 character: '='"
        );
        assert_eq!(
            blob("+/+="),
            "'+/+=' can not be converted to a Blob: Invalid last non-pad Base64 character dectected"
        );
        assert!(blob("aé1").ends_with("Invalid Base64 character: 'é'"));
        assert!(
            blob(&"!".repeat(4_000_000)).len() < 1_000,
            "a message never repeats a whole request"
        );
    }

    #[test]
    fn missing_members_are_constraints() {
        assert_eq!(
            comprehend("DetectDominantLanguage", json!({})),
            "1 validation error detected: Value null at 'text' failed to satisfy constraint: Member must not be null"
        );
        assert_eq!(
            comprehend("DetectDominantLanguage", json!({"Text": null})),
            comprehend("DetectDominantLanguage", json!({}))
        );
        let both = comprehend("DetectSentiment", json!({}));
        assert!(
            both.starts_with("2 validation errors detected: Value null at '"),
            "{both}"
        );
        assert!(
            both.contains("'languageCode'") && both.contains("; ") && both.contains("'text'"),
            "{both}"
        );
    }

    #[test]
    fn comprehend_does_not_repeat_values() {
        assert_eq!(
            comprehend(
                "DetectKeyPhrases",
                json!({"Text": "hola", "LanguageCode": "ca"})
            ),
            "1 validation error detected: Value at 'languageCode' failed to satisfy constraint: \
             Member must satisfy enum value set: [hi, de, zh-TW, ko, pt, en, it, fr, zh, es, ar, ja]"
        );
        assert_eq!(
            comprehend("DetectDominantLanguage", json!({"Text": ""})),
            "1 validation error detected: Value at 'text' failed to satisfy constraint: \
             Member must have length greater than or equal to 1"
        );
        assert_eq!(
            comprehend("BatchDetectDominantLanguage", json!({"TextList": []})),
            "1 validation error detected: Value at 'textList' failed to satisfy constraint: \
             Member must have length greater than or equal to 1"
        );
        assert_eq!(
            comprehend(
                "BatchDetectDominantLanguage",
                json!({"TextList": ["x", ""]})
            ),
            "1 validation error detected: Value at 'textList' failed to satisfy constraint: Member must satisfy \
             constraint: [Member must have length greater than or equal to 1, Member must not be null]"
        );
    }

    /// The texts that users of Rekognition quoted.
    #[test]
    fn rekognition_repeats_values() {
        assert_eq!(
            rekognition("DetectText", json!({"Image": {"Bytes": ""}})),
            "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=0 cap=0]' at 'image.bytes' \
             failed to satisfy constraint: Member must have length greater than or equal to 1"
        );
        let large = base64::engine::general_purpose::STANDARD.encode(vec![7_u8; 5_242_881]);
        assert_eq!(
            rekognition("DetectText", json!({"Image": {"Bytes": large}})),
            "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=5242881 cap=5242881]' at \
             'image.bytes' failed to satisfy constraint: Member must have length less than or equal to 5242880"
        );
    }

    #[test]
    fn every_kind_of_constraint_is_checked() {
        let image = json!({"Bytes": "AAAA"});
        assert!(rekognition("DetectLabels", json!({"Image": image, "MinConfidence": 100.5})).ends_with(
            "Value '100.5' at 'minConfidence' failed to satisfy constraint: Member must have value less than or equal to 100"
        ));
        // Numbers are shown as Java shows those of their type.
        for (given, shown) in [
            (json!(150), "150.0"),
            (json!(-1), "-1.0"),
            (json!(1e30), "1.0E30"),
            (json!(12_345_678.5), "1.2345678E7"),
        ] {
            let message = rekognition(
                "DetectLabels",
                json!({"Image": image, "MinConfidence": given}),
            );
            assert!(
                message.contains(&format!("Value '{shown}' at 'minConfidence'")),
                "{message}"
            );
        }
        assert!(rekognition("DetectLabels", json!({"Image": image, "MaxLabels": -1})).ends_with(
            "Value '-1' at 'maxLabels' failed to satisfy constraint: Member must have value greater than or equal to 0"
        ));
        assert!(rekognition("DescribeCollection", json!({"CollectionId": "a b"})).ends_with(
            r"Value 'a b' at 'collectionId' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.\-]+"
        ));
        assert!(
            rekognition(
                "DescribeCollection",
                json!({"CollectionId": "x".repeat(256)})
            )
            .contains("less than or equal to 255")
        );
        assert_eq!(
            rekognition(
                "DetectLabels",
                json!({"Image": image, "Features": ["GENERAL_LABELS", "FACES", "x"]})
            ),
            "2 validation errors detected: Value '[GENERAL_LABELS, FACES, x]' at 'features' failed to satisfy \
             constraint: Member must have length less than or equal to 2; Value '[GENERAL_LABELS, FACES, x]' at \
             'features' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum \
             value set: [GENERAL_LABELS, IMAGE_PROPERTIES], Member must not be null]"
        );
        // Structures in a list are named one by one, counted from 1.
        let regions = json!({"Image": image, "Filters": {"RegionsOfInterest": [{}, {"Polygon": [{"X": "left"}]}]}});
        assert_eq!(
            rekognition("DetectText", regions),
            "STRING_VALUE can not be converted to a Float"
        );
        let tags = json!({"ResourceArn": "arn:aws:comprehend:us-east-1:123456789012:flywheel/f", "Tags": [{"Key": "a"}, {"Value": "v"}]});
        assert_eq!(
            comprehend("TagResource", tags),
            "1 validation error detected: Value null at 'tags.2.member.key' failed to satisfy constraint: Member must not be null"
        );
        // Keys and values of a map.
        let tags = rekognition(
            "TagResource",
            json!({"ResourceArn": "arn", "Tags": {"aws:x": "v", "k": "x".repeat(257)}}),
        );
        assert!(
            tags.contains("Map keys must satisfy constraint: [")
                && tags.contains("Map value must satisfy constraint: ["),
            "{tags}"
        );
    }

    #[test]
    fn messages_are_bounded() {
        let tags: Vec<Value> = (0..1_000).map(|_| json!({})).collect();
        let arn = "arn:aws:comprehend:us-east-1:123456789012:flywheel/f";
        let message = comprehend("TagResource", json!({"ResourceArn": arn, "Tags": tags}));
        assert!(
            message.starts_with("10 validation errors detected: "),
            "{message}"
        );
        let message = rekognition(
            "DescribeCollection",
            json!({"CollectionId": "é".repeat(1_000_000)}),
        );
        assert!(message.len() < 10_000, "{} bytes", message.len());
        let features: Vec<Value> = (0..100_000).map(|_| json!("NONE")).collect();
        let message = rekognition(
            "DetectLabels",
            json!({"Image": {"Bytes": "AAAA"}, "Features": features}),
        );
        assert!(message.len() < 10_000, "{} bytes", message.len());
    }

    #[test]
    fn answers_are_checked_too() {
        let service = &Models::get().expect("models are well-formed").services()[0];
        let shape = service
            .operation("BatchDetectDominantLanguage")
            .expect("known")
            .output;
        let problems = |value| output(service, shape, &value);
        assert_eq!(
            problems(json!({"ResultList": [], "ErrorList": []})),
            Vec::<String>::new()
        );
        assert_eq!(
            problems(json!({"ResultList": []})),
            ["$.ErrorList is missing"]
        );
        let index = |index: Value| {
            problems(json!({"ResultList": [{"Index": index, "Languages": []}], "ErrorList": []}))
        };
        assert_eq!(index(json!(0)), Vec::<String>::new());
        assert_eq!(
            index(json!(0.5)),
            ["$.ResultList[0].Index is 0.5, not a whole number"]
        );
        assert_eq!(
            index(json!("0")),
            ["$.ResultList[0].Index: STRING_VALUE can not be converted to an Integer"]
        );
        assert_eq!(index(json!(null)), ["$.ResultList[0].Index is null"]);
        let unknown = problems(json!({"ResultList": [], "ErrorList": [], "Model": "x"}));
        assert_eq!(
            unknown,
            ["$.Model is not a member of BatchDetectDominantLanguageResponse"]
        );
    }

    proptest! {
        /// The count without decoding agrees with a decoder on what is base64 and how long it is.
        #[test]
        fn blob_length_agrees_with_the_decoder(text in "[A-Za-d0-3+/=é\\-]{0,12}|[A-Za-z0-9+/]{120,140}=?=?|[A-Za-z0-9+/]{120,140}.") {
            let decoded = base64::engine::general_purpose::STANDARD.decode(&text).ok().map(|bytes| bytes.len());
            prop_assert_eq!(blob_length(&text).ok(), decoded);
        }

        #[test]
        fn blob_length_counts_what_was_encoded(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = base64::engine::general_purpose::STANDARD.encode(&bytes);
            prop_assert_eq!(blob_length(&text), Ok(bytes.len()));
        }
    }
}
