//! The paths of Batch Transform's filters: a small part of JSONPath.
//!
//! | | |
//! | --- | --- |
//! | `$` | everything |
//! | `.name`, `['name']` | a member of an object |
//! | `['a','b']` | these members, as an object |
//! | `.*`, `[*]` | all elements |
//! | `[1]`, `[-1]` | an element of an array, from its end where negative |
//! | `[1,3,5]`, `[0,5:]` | these elements, as an array |
//! | `[1:4]`, `[:5]`, `[1:]`, `[-2:]` | elements from one to before another, as an array |
//!
//! A row of a CSV file is an array of its columns. Filters with conditions and `..` are refused, as SageMaker refuses them.
//! Source: the SageMaker developer guide, "Associate Prediction Results with Input Records". The guide says of slices that their
//! last index belongs to them, and counts otherwise in its own examples; they end before it here, as in JSONPath.

use serde_json::{Map, Value};
use std::fmt;

/// Most characters of a path.
pub const LONGEST: usize = 63;

/// A path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Members(Vec<String>),
    All,
    Element(i64),
    Elements(Vec<Choice>),
}

/// What a bracket chooses of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    One(i64),
    Range(Option<i64>, Option<i64>),
}

/// Why a path is none, or chooses nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is too long.
    #[error("a path has at most {LONGEST} characters")]
    Long,
    /// It is not understood.
    #[error("`{path}` is no path: {why}")]
    Syntax {
        /// The path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It asks for what is not there.
    #[error("there is no {what} in {of}")]
    Missing {
        /// What is asked for.
        what: String,
        /// What it was looked for in.
        of: &'static str,
    },
}

impl Path {
    /// Reads a path; an empty one is `$`.
    ///
    /// # Errors
    /// [`Error::Long`], [`Error::Syntax`].
    pub fn parse(path: &str) -> Result<Self, Error> {
        if path.chars().count() > LONGEST {
            return Err(Error::Long);
        }
        let refuse = |why| Error::Syntax {
            path: path.to_owned(),
            why,
        };
        if path.is_empty() {
            return Ok(Self::default());
        }
        let mut rest = path
            .strip_prefix('$')
            .ok_or(refuse("it does not begin with `$`"))?;
        let mut steps = Vec::new();
        while let Some(first) = rest.chars().next() {
            let (step, left) = match first {
                '.' => member(&rest[1..]).map_err(refuse)?,
                '[' => bracket(&rest[1..]).map_err(refuse)?,
                _ => return Err(refuse("after a step there is `.` or `[`")),
            };
            steps.push(step);
            rest = left;
        }
        Ok(Self(steps))
    }

    /// Whether it is `$`.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// What it chooses of a value.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn of(&self, value: &Value) -> Result<Value, Error> {
        self.0
            .iter()
            .try_fold(value.clone(), |value, step| step.of(value))
    }
}

/// The step after a dot.
fn member(rest: &str) -> Result<(Step, &str), &'static str> {
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let (name, left) = rest.split_at(end);
    match name {
        "" if left.starts_with('.') => Err("`..` is not supported"),
        "" => Err("a name is missing after `.`"),
        "*" => Ok((Step::All, left)),
        name if name.contains(['\'', '"', ']', '?', '@', '(', '*', ' ']) => {
            Err("a name with such characters stands in `['…']`")
        }
        name => Ok((Step::Member(name.to_owned()), left)),
    }
}

/// The step in a bracket.
fn bracket(rest: &str) -> Result<(Step, &str), &'static str> {
    if let Some(quote) = rest
        .trim_start()
        .chars()
        .next()
        .filter(|c| matches!(c, '\'' | '"'))
    {
        return names(rest, quote);
    }
    let (inside, left) = rest.split_once(']').ok_or("`]` is missing")?;
    if inside.trim() == "*" {
        return Ok((Step::All, left));
    }
    let number = |text: &str| -> Result<i64, &'static str> {
        let text = text.trim();
        text.parse()
            .map_err(|_| "a bracket has names in quotes, numbers, ranges or `*`")
    };
    let choice = |text: &str| match text.split_once(':') {
        None => number(text).map(Choice::One),
        Some((from, to)) => {
            let end = |text: &str| match text.trim() {
                "" => Ok(None),
                text => number(text).map(Some),
            };
            Ok(Choice::Range(end(from)?, end(to)?))
        }
    };
    let choices: Vec<Choice> = inside.split(',').map(choice).collect::<Result<_, _>>()?;
    match choices[..] {
        [Choice::One(index)] => Ok((Step::Element(index), left)),
        _ => Ok((Step::Elements(choices), left)),
    }
}

/// Names in quotes.
fn names(rest: &str, quote: char) -> Result<(Step, &str), &'static str> {
    let (mut names, mut left) = (Vec::new(), rest);
    loop {
        let open = left.trim_start().strip_prefix(quote);
        let (name, after) = open
            .and_then(|open| open.split_once(quote))
            .ok_or("a name in a bracket has quotes at both ends")?;
        names.push(name.to_owned());
        let after = after.trim_start();
        if let Some(end) = after.strip_prefix(']') {
            left = end;
            break;
        }
        left = after
            .strip_prefix(',')
            .ok_or("between names there is `,`")?;
    }
    match <[String; 1]>::try_from(names) {
        Ok([name]) => Ok((Step::Member(name), left)),
        Err(names) => Ok((Step::Members(names), left)),
    }
}

impl Step {
    fn of(&self, value: Value) -> Result<Value, Error> {
        match (self, value) {
            (Self::Member(name), Value::Object(mut members)) => {
                members.remove(name).ok_or_else(|| no_member(name))
            }
            (Self::Members(names), Value::Object(mut members)) => {
                let mut chosen = Map::new();
                for name in names {
                    let member = members.remove(name).ok_or_else(|| no_member(name))?;
                    chosen.insert(name.clone(), member);
                }
                Ok(Value::Object(chosen))
            }
            (Self::All, Value::Object(members)) => Ok(Value::Array(
                members.into_iter().map(|(_, value)| value).collect(),
            )),
            (Self::All, Value::Array(elements)) => Ok(Value::Array(elements)),
            (Self::Element(index), Value::Array(mut elements)) => {
                let at = position(*index, elements.len()).ok_or_else(|| no_element(*index))?;
                Ok(elements.swap_remove(at))
            }
            (Self::Elements(choices), Value::Array(elements)) => {
                let mut chosen = Vec::new();
                for choice in choices {
                    match *choice {
                        Choice::One(index) => {
                            let at = position(index, elements.len());
                            let at = at.ok_or_else(|| no_element(index))?;
                            chosen.push(elements[at].clone());
                        }
                        Choice::Range(from, to) => {
                            let (from, to) = range(from, to, elements.len());
                            chosen.extend_from_slice(elements.get(from..to).unwrap_or_default());
                        }
                    }
                }
                Ok(Value::Array(chosen))
            }
            (step, value) => Err(Error::Missing {
                what: step.to_string(),
                of: match value {
                    Value::Object(_) => "an object",
                    Value::Array(_) => "an array",
                    Value::String(_) => "a string",
                    Value::Number(_) => "a number",
                    Value::Bool(_) => "a truth value",
                    Value::Null => "null",
                },
            }),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(name) => write!(f, "member `{name}`"),
            Self::Members(names) => write!(f, "members `{}`", names.join("`, `")),
            Self::All => f.write_str("elements"),
            Self::Element(index) => write!(f, "element {index}"),
            Self::Elements(_) => f.write_str("such elements"),
        }
    }
}

fn no_member(name: &str) -> Error {
    Error::Missing {
        what: format!("member `{name}`"),
        of: "the object",
    }
}

fn no_element(index: i64) -> Error {
    Error::Missing {
        what: format!("element {index}"),
        of: "the array",
    }
}

/// The place of an index, from the end where it is negative.
fn position(index: i64, length: usize) -> Option<usize> {
    let length = length as i64;
    let at = if index < 0 {
        index.checked_add(length)?
    } else {
        index
    };
    (0..length).contains(&at).then_some(at as usize)
}

/// The places of a range, which ends where the array does.
fn range(from: Option<i64>, to: Option<i64>, length: usize) -> (usize, usize) {
    let length = length as i64;
    let place = |index: i64| {
        let at = if index < 0 {
            index.saturating_add(length)
        } else {
            index
        };
        at.clamp(0, length) as usize
    };
    (place(from.unwrap_or(0)), place(to.unwrap_or(length)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chosen(path: &str, value: &Value) -> Value {
        let path = Path::parse(path).unwrap_or_else(|error| panic!("{error}"));
        path.of(value)
            .unwrap_or_else(|error| panic!("{path:?}: {error}"))
    }

    /// The operators of the guide's table, on objects and arrays like its own.
    #[test]
    fn paths_choose_what_the_guide_says() {
        let object = json!({"id": 7, "features": {"a": 1, "b.c": 2}, "list": [10, 20, 30, 40]});
        for (path, want) in [
            ("", object.clone()),
            ("$", object.clone()),
            ("$.id", json!(7)),
            ("$['id']", json!(7)),
            ("$[\"id\"]", json!(7)),
            ("$.features", json!({"a": 1, "b.c": 2})),
            ("$.features['b.c']", json!(2)),
            ("$['id','list']", json!({"id": 7, "list": [10, 20, 30, 40]})),
            ("$.features.*", json!([1, 2])),
            ("$.list[1]", json!(20)),
            ("$.list[-1]", json!(40)),
            ("$.list[0,2]", json!([10, 30])),
            ("$.list[0,2:]", json!([10, 30, 40])),
            ("$.list[1:3]", json!([20, 30])),
            ("$.list[:2]", json!([10, 20])),
            ("$.list[-2:]", json!([30, 40])),
            ("$.list[:-1]", json!([10, 20, 30])),
            ("$.list[2:99]", json!([30, 40])),
            ("$.list[3:1]", json!([])),
            ("$.list[*]", json!([10, 20, 30, 40])),
        ] {
            assert_eq!(chosen(path, &object), want, "{path}");
        }
    }

    #[test]
    fn what_is_not_there_is_said() {
        let value = json!({"list": [1, 2], "name": "x"});
        for (path, why) in [
            ("$.none", "member `none`"),
            ("$['name','none']", "member `none`"),
            ("$.list[2]", "element 2"),
            ("$.list[-3]", "element -3"),
            ("$.list[0,9]", "element 9"),
            ("$.list.name", "an array"),
            ("$[0]", "an object"),
            ("$.name[0]", "a string"),
            ("$.name.*", "a string"),
        ] {
            let missing = Path::parse(path).and_then(|path| path.of(&value));
            let said = missing.expect_err(path).to_string();
            assert!(said.contains(why), "{path}: {said}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in [
            "id",
            "$id",
            "$..id",
            "$.",
            "$.a.",
            "$[",
            "$[]",
            "$[1",
            "$['a'",
            "$['a',]",
            "$['a' 'b']",
            "$['a','b.c'",
            "$[?(@.a > 1)]",
            "$.a[?(@.b)]",
            "$[a]",
            "$[1:2:3]",
            "$.f.['a']",
            "$[99999999999999999999]",
        ] {
            assert!(
                matches!(Path::parse(path), Err(Error::Syntax { .. })),
                "{path}"
            );
        }
        assert_eq!(
            Path::parse(&format!("$.{}", "x".repeat(62))),
            Err(Error::Long)
        );
        assert!(Path::parse(&format!("$.{}", "x".repeat(61))).is_ok());
    }
}
