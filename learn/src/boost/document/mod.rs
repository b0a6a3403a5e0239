//! Documents of names, numbers and lists: what XGBoost's models are written as, in JSON or in Universal Binary JSON.
//!
//! Readers keep a stack of their own and allocate no more than a few times the bytes that they were given.

pub mod json;
pub mod ubj;

use std::collections::BTreeMap;

/// A part of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Flag(bool),
    Integer(i64),
    Real(f64),
    Text(String),
    /// Lists of one kind of number lie as they are.
    Bytes(Vec<u8>),
    Integers(Vec<i32>),
    Longs(Vec<i64>),
    Reals(Vec<f32>),
    List(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

/// How deep documents are at most; models are 7 deep.
const DEPTH: usize = 32;

impl Value {
    /// An object of names and values.
    pub fn object<const N: usize>(parts: [(&str, Value); N]) -> Self {
        Self::Object(parts.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// A text.
    pub fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }

    /// What an object has under a name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Object(parts) => parts.get(name),
            _ => None,
        }
    }

    /// What an object must have.
    pub fn part(&self, name: &str) -> Result<&Value, String> {
        self.get(name).ok_or_else(|| format!("there is no {name}"))
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    pub fn as_real(&self) -> Option<f32> {
        match self {
            Self::Integer(number) => Some(*number as f32),
            Self::Real(number) => Some(*number as f32),
            _ => None,
        }
    }

    /// A list of whole numbers.
    pub fn integers(&self) -> Option<Vec<i64>> {
        match self {
            Self::Bytes(list) => Some(list.iter().map(|one| i64::from(*one)).collect()),
            Self::Integers(list) => Some(list.iter().map(|one| i64::from(*one)).collect()),
            Self::Longs(list) => Some(list.clone()),
            Self::List(list) => list
                .iter()
                .map(|one| match one {
                    Self::Flag(flag) => Some(i64::from(*flag)),
                    other => other.as_integer(),
                })
                .collect(),
            _ => None,
        }
    }

    /// A list of numbers.
    pub fn reals(&self) -> Option<Vec<f32>> {
        match self {
            Self::Reals(list) => Some(list.clone()),
            other => Some(
                other
                    .integers()?
                    .into_iter()
                    .map(|one| one as f32)
                    .collect(),
            ),
        }
    }

    /// The parts of a list that are no numbers.
    pub fn list(&self) -> Option<&[Value]> {
        match self {
            Self::List(list) => Some(list),
            Self::Longs(list) if list.is_empty() => Some(&[]),
            _ => None,
        }
    }
}

/// A document that is being read.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    done: Option<Value>,
}

/// A part that did not end yet.
enum Open {
    /// With how many parts are to come, where that was said.
    List(Value, Option<u64>),
    /// With the name of the part that comes next.
    Object(BTreeMap<String, Value>, Option<String>),
}

impl Builder {
    fn open(&mut self, part: Open) -> Result<(), String> {
        if self.open.len() == DEPTH {
            return Err(format!("it is more than {DEPTH} deep"));
        }
        self.open.push(part);
        Ok(())
    }

    fn open_list(&mut self, count: Option<u64>) -> Result<(), String> {
        self.open(Open::List(Value::Longs(Vec::new()), count))
    }

    fn open_object(&mut self) -> Result<(), String> {
        self.open(Open::Object(BTreeMap::new(), None))
    }

    fn name(&mut self, name: String) {
        if let Some(Open::Object(_, next)) = self.open.last_mut() {
            *next = Some(name);
        }
    }

    fn close(&mut self) {
        match self.open.pop() {
            Some(Open::List(list, _)) => self.value(list),
            Some(Open::Object(parts, _)) => self.value(Value::Object(parts)),
            None => {}
        }
    }

    fn value(&mut self, value: Value) {
        match self.open.last_mut() {
            None => self.done = Some(value),
            Some(Open::Object(parts, name)) => {
                parts.insert(name.take().unwrap_or_default(), value);
            }
            Some(Open::List(list, left)) => {
                if let Some(left) = left {
                    *left -= 1;
                }
                push(list, value);
            }
        }
    }
}

/// Adds to a list, which stays one of numbers as long as it can.
fn push(list: &mut Value, value: Value) {
    match (&mut *list, value) {
        (Value::Longs(list), Value::Integer(number)) => list.push(number),
        (Value::Reals(list), Value::Integer(number)) => list.push(number as f32),
        (Value::Reals(list), Value::Real(number)) => list.push(number as f32),
        (Value::Longs(whole), Value::Real(number)) => {
            let reals = whole.iter().map(|one| *one as f32).chain([number as f32]);
            *list = Value::Reals(reals.collect());
        }
        (Value::List(list), value) => list.push(value),
        (other, value) => {
            let mut parts: Vec<Value> = match other {
                Value::Longs(list) => list.drain(..).map(Value::Integer).collect(),
                Value::Reals(list) => list
                    .drain(..)
                    .map(|one| Value::Real(f64::from(one)))
                    .collect(),
                _ => Vec::new(),
            };
            parts.push(value);
            *list = Value::List(parts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Value {
        Value::object([
            (
                "flags",
                Value::List(vec![Value::Flag(true), Value::Null, Value::Flag(false)]),
            ),
            (
                "reals",
                Value::Reals(vec![0.1, -1.5e-30, f32::MAX, f32::INFINITY]),
            ),
            ("text", Value::text("a \"quoted\"\n\u{1F333} \u{7}")),
            (
                "object",
                Value::object([("one", Value::Integer(-129)), ("none", Value::object([]))]),
            ),
            (
                "integers",
                Value::List([0, 127, 128, -40_000, 1 << 40].map(Value::Integer).into()),
            ),
        ])
    }

    /// Lists that readers pack.
    fn packed(value: &Value) -> Option<Vec<f32>> {
        value.get("reals").and_then(Value::reals)
    }

    #[test]
    fn what_is_written_is_read_back() {
        for bytes in [json::write(&sample()), ubj::write(&sample())] {
            let read = if bytes[1] == b'"' {
                json::read(&bytes)
            } else {
                ubj::read(&bytes)
            }
            .unwrap();
            assert_eq!(packed(&read), packed(&sample()));
            for name in ["flags", "text", "object"] {
                assert_eq!(read.get(name), sample().get(name), "{name}");
            }
            assert_eq!(
                read.get("integers").unwrap().integers().unwrap(),
                [0, 127, 128, -40_000, 1 << 40]
            );
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(100_000);
        assert!(json::read(deep.as_bytes()).unwrap_err().contains("deep"));
        assert!(ubj::read(deep.as_bytes()).unwrap_err().contains("deep"));
    }

    #[test]
    fn a_count_that_was_only_claimed_takes_no_memory() {
        for kind in ["", "$d", "$U", "$L"] {
            let mut bytes = format!("[{kind}#L").into_bytes();
            bytes.extend((i64::MAX / 16).to_be_bytes());
            assert!(ubj::read(&bytes).is_err(), "{kind}");
            bytes.truncate(bytes.len() - 8);
            bytes.extend((-1i64).to_be_bytes());
            assert!(ubj::read(&bytes).is_err(), "{kind}");
        }
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_refused() {
        for bytes in [json::write(&sample()), ubj::write(&sample())] {
            let read = |bytes: &[u8]| {
                if bytes.get(1) == Some(&b'"') {
                    json::read(bytes)
                } else {
                    ubj::read(bytes)
                }
            };
            for end in 0..bytes.len() {
                assert!(read(&bytes[..end]).is_err(), "{end}");
            }
            let mut longer = bytes.clone();
            longer.push(b'1');
            assert!(read(&longer).is_err());
        }
    }
}
