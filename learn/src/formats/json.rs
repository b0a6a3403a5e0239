//! `application/json` and `application/jsonlines`: instances whose features are lists of numbers, or keys with values; an
//! instance may be the list of numbers alone.

use super::rows::{Beside, Rows};
use super::{MAX_JSON, number, unreadable};
use crate::{Answers, Error, Result, Values};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::io::{BufRead, Read};

#[derive(Deserialize)]
#[serde(expecting = "an object with `instances`")]
struct Body {
    instances: Vec<Instance>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with `features`")]
struct Inner {
    features: Option<Element>,
}

#[derive(Deserialize, Default)]
struct Tensor {
    #[serde(default)]
    keys: Vec<u32>,
    #[serde(default)]
    shape: Vec<usize>,
    values: Vec<Option<f64>>,
}

/// A list of numbers, or an object of keys, shape and values.
struct Element(Tensor);

/// Features, and what is to be learned of them.
struct Instance(Option<Element>, Option<f64>);

/// A label's number: alone, or the only one of a list or of an object's `values`. Others are of rows to predict, where nobody reads
/// them.
fn number_of(label: &serde_json::Value) -> Option<f64> {
    let list = |value: &serde_json::Value| match value.as_array()?.as_slice() {
        [only] => only.as_f64(),
        _ => None,
    };
    let inside = || list(label.get("values")?);
    label.as_f64().or_else(|| list(label)).or_else(inside)
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Element;

            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("a list of numbers or an object with values")
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut list: A,
            ) -> std::result::Result<Element, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(Element(Tensor {
                    values,
                    ..Tensor::default()
                }))
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                map: A,
            ) -> std::result::Result<Element, A::Error> {
                Tensor::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Element)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Instance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Outer {
            features: Option<Element>,
            data: Option<Inner>,
            label: Option<serde_json::Value>,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Instance;

            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("an object with features, or a list of numbers")
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                list: A,
            ) -> std::result::Result<Instance, A::Error> {
                let list = serde::de::value::SeqAccessDeserializer::new(list);
                Ok(Instance(Some(Element::deserialize(list)?), None))
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                map: A,
            ) -> std::result::Result<Instance, A::Error> {
                let map = serde::de::value::MapAccessDeserializer::new(map);
                let outer = Outer::deserialize(map)?;
                let inner = || outer.data?.features;
                Ok(Instance(
                    outer.features.or_else(inner),
                    outer.label.as_ref().and_then(number_of),
                ))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

pub(super) fn read(rows: &mut Rows, name: &str, input: impl BufRead) -> Result<()> {
    let mut bytes = Vec::new();
    input
        .take(MAX_JSON as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| unreadable(name, source))?;
    if bytes.len() > MAX_JSON {
        return Err(Error::input(format!(
            "{name} is longer than {MAX_JSON} bytes; application/jsonlines has no such limit"
        )));
    }
    let body: Body =
        serde_json::from_slice(&bytes).map_err(|why| Error::input(format!("{name}: {why}")))?;
    for (at, instance) in body.instances.into_iter().enumerate() {
        push(rows, instance)
            .map_err(|why| Error::input(format!("{name}: row {}: {why}", at + 1)))?;
    }
    Ok(())
}

pub(super) fn read_lines(rows: &mut Rows, name: &str, input: impl BufRead) -> Result<()> {
    super::lines(name, input, |number, line| {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        serde_json::from_slice(line)
            .map_err(|why| why.to_string())
            .and_then(|instance| push(rows, instance))
            .map_err(|why| Error::input(format!("{name}: row {number}: {why}")))
    })
}

fn push(rows: &mut Rows, instance: Instance) -> std::result::Result<(), String> {
    let Some(Element(tensor)) = instance.0 else {
        return Err("there are no features; {\"features\": [1.5, 2.0]} has some".to_owned());
    };
    let mut values = Vec::with_capacity(tensor.values.len());
    for value in tensor.values {
        let value = value.map_or(f32::NAN, |value| value as f32);
        if value.is_infinite() {
            return Err("a number is too large".to_owned());
        }
        values.push(value);
    }
    let label = instance.1.map(|label| label as f32);
    let beside = Beside {
        label,
        ..Beside::default()
    };
    rows.tensor(values, tensor.keys, &tensor.shape, beside)
}

/// Objects of answers, each followed by what is between them.
fn objects(out: &mut Vec<u8>, answers: &Answers, mut after: impl FnMut(&mut Vec<u8>, usize)) {
    for row in 0..answers.rows() {
        out.push(b'{');
        for (at, field) in answers.fields.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(b", ");
            }
            out.push(b'"');
            out.extend_from_slice(field.name.as_bytes());
            out.extend_from_slice(b"\": ");
            match &field.values {
                Values::Numbers(values) => number(out, values[row]),
                Values::Whole(values) => out.extend_from_slice(values[row].to_string().as_bytes()),
                Values::Vectors { width, values } => {
                    out.push(b'[');
                    for (at, value) in values[row * width..][..*width].iter().enumerate() {
                        if at > 0 {
                            out.extend_from_slice(b", ");
                        }
                        number(out, *value);
                    }
                    out.push(b']');
                }
            }
        }
        out.push(b'}');
        after(out, row);
    }
}

pub(super) fn render(answers: &Answers) -> Vec<u8> {
    let last = answers.rows().saturating_sub(1);
    let mut out = format!("{{\"{}\": [", answers.list).into_bytes();
    objects(&mut out, answers, |out, row| {
        if row < last {
            out.extend_from_slice(b", ");
        }
    });
    out.extend_from_slice(b"]}");
    out
}

pub(super) fn render_lines(answers: &Answers) -> Vec<u8> {
    let mut out = Vec::new();
    objects(&mut out, answers, |out, _| out.push(b'\n'));
    out
}
