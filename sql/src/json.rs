//! `json_value(text, path)`: a member of a text that is JSON, as text.
//!
//! Paths are those of SQL's `JSON_VALUE` without filters: `$.a.b[0]`, `$['a b']`; `$.` in front may be left out. Null where
//! the text is no JSON, there is no such member, or it is null. Objects and lists are told as JSON.

use datafusion::arrow::array::{ArrayRef, AsArray, StringBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use serde_json::Value;
use std::sync::Arc;

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct JsonValue {
    signature: Signature,
}

impl JsonValue {
    pub(crate) fn new() -> Self {
        let texts = vec![DataType::Utf8, DataType::Utf8];
        Self {
            signature: Signature::exact(texts, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for JsonValue {
    fn name(&self) -> &str {
        "json_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let arrays = arguments.args.into_iter();
        let arrays = arrays
            .map(|argument| cast(&argument.into_array(rows)?, &DataType::Utf8).map_err(Into::into));
        let arrays = arrays.collect::<Result<Vec<ArrayRef>>>()?;
        let [texts, paths] = &arrays[..] else {
            return exec_err!("json_value() takes a text and a path");
        };
        let (texts, paths) = (texts.as_string::<i32>(), paths.as_string::<i32>());
        let mut found = StringBuilder::new();
        // Mostly all rows have the same.
        let mut last: Option<(&str, Vec<Step>)> = None;
        for (text, path) in texts.iter().zip(paths) {
            let (Some(text), Some(path)) = (text, path) else {
                found.append_null();
                continue;
            };
            if last.as_ref().is_none_or(|(read, _)| *read != path) {
                let Some(steps) = steps(path) else {
                    return exec_err!("json_value(): `{path}` is no path such as $.a.b[0]");
                };
                last = Some((path, steps));
            }
            let steps = last.as_ref().map_or(&[][..], |(_, steps)| steps);
            found.append_option(value(text, steps));
        }
        Ok(ColumnarValue::Array(Arc::new(found.finish())))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Item(usize),
}

/// The steps of a path; none where it is none.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.trim();
    let mut steps = Vec::new();
    match rest.strip_prefix('$') {
        Some(after) => rest = after,
        None => {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            steps.push(Step::Member(name.to_owned()).named()?);
            rest = after;
        }
    }
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            steps.push(Step::Member(name.to_owned()).named()?);
            rest = after;
            continue;
        }
        let inside = rest.strip_prefix('[')?;
        let quote = inside
            .chars()
            .next()
            .filter(|one| matches!(one, '\'' | '"'));
        match quote {
            Some(quote) => {
                let (name, after) = inside[1..].split_once(quote)?;
                steps.push(Step::Member(name.to_owned()));
                rest = after.strip_prefix(']')?;
            }
            None => {
                let (number, after) = inside.split_once(']')?;
                steps.push(Step::Item(number.trim().parse().ok()?));
                rest = after;
            }
        }
    }
    Some(steps)
}

impl Step {
    /// Names in a path without quotes are not empty.
    fn named(self) -> Option<Self> {
        (self != Self::Member(String::new())).then_some(self)
    }
}

fn value(text: &str, steps: &[Step]) -> Option<String> {
    let whole: Value = serde_json::from_str(text).ok()?;
    let found = steps.iter().try_fold(&whole, |value, step| match step {
        Step::Member(name) => value.get(name),
        Step::Item(at) => value.get(at),
    });
    match found? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_by_their_path() {
        let text = r#"{"a": {"b": [1, {"c d": "x"}]}, "n": null, "t": true}"#;
        for (path, wanted) in [
            ("$.a.b[0]", Some("1")),
            ("a.b[1]['c d']", Some("x")),
            ("$['a'].b[1]", Some("{\"c d\":\"x\"}")),
            ("$[\"t\"]", Some("true")),
            ("$.n", None),
            ("$.a.b[9]", None),
            ("$.a.b.c", None),
        ] {
            let steps = steps(path).expect(path);
            assert_eq!(value(text, &steps).as_deref(), wanted, "{path}");
        }
        assert_eq!(value("{", &[]), None);
        assert_eq!(value("0.5", &[]).as_deref(), Some("0.5"));
        for path in ["", "$a", "$.", "$[x]", "$['a", "a..b", "$[0"] {
            assert_eq!(steps(path), None, "{path}");
        }
    }
}
