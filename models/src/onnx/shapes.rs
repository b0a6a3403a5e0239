//! Operations of ONNX's own set on labels: texts, and whole numbers of any size, which networks do not have.

use super::Meaning;
use super::labels::Classes;
use super::operator::{Fact, Kind, Made, Operator, Read};
use super::value::{Call, Data, Value};
use crate::graph::onnx::wire::{Node, is_whole};
use crate::graph::tensor::count;
use crate::graph::{Error, Result};

/// What is done with labels.
enum Shaped {
    Identity,
    /// To numbers, whole numbers or texts.
    Cast(Kind),
    /// A list of what has one element in every row.
    Flatten(i64),
    /// To a shape; 0 keeps a size and -1 is what is left.
    Reshape,
    /// Without axes of size one, all or these.
    Squeeze(Option<Vec<i64>>),
}

/// Reads a node when its input is labels or its result is text; nothing when it is one for a network.
pub(super) fn read(node: &Node<'_>, inputs: &[Read<'_>]) -> Result<Option<Made>> {
    let Some(input) = inputs.first() else {
        return Ok(None);
    };
    let to = match node.integer("to", 1) {
        8 => Kind::Texts,
        to if is_whole(to) => Kind::Whole,
        _ => Kind::Numbers,
    };
    let is_label = input.fact.kind == Kind::Texts || (input.ours && input.fact.kind == Kind::Whole);
    let to_text = node.op == "Cast" && to == Kind::Texts;
    if !is_label && !to_text {
        return Ok(None);
    }
    let axes = || node.integers("axes").map(<[i64]>::to_vec);
    let shaped = match node.op.as_str() {
        "Identity" => Shaped::Identity,
        "Cast" => Shaped::Cast(to),
        "Flatten" => Shaped::Flatten(node.integer("axis", 1)),
        "Reshape" => Shaped::Reshape,
        "Squeeze" => Shaped::Squeeze(axes()),
        _ if input.fact.kind == Kind::Texts => {
            return Err(node.unsupported("texts as an input"));
        }
        _ => return Ok(None),
    };
    let (kind, meaning) = match (&shaped, &input.fact.meaning) {
        (Shaped::Cast(to), meaning) => (*to, cast(meaning, *to)),
        (_, meaning) => (input.fact.kind, meaning.clone()),
    };
    Ok(Some(Made::new(shaped, vec![Fact { kind, meaning }])))
}

/// What labels mean as another type.
fn cast(meaning: &Meaning, to: Kind) -> Meaning {
    match (meaning, to) {
        (Meaning::Labels(Some(classes)), Kind::Texts) => {
            let names = classes.names().into_iter().map(std::sync::Arc::from);
            Meaning::Labels(Some(Classes::Texts(names.collect())))
        }
        (Meaning::Labels(Some(Classes::Texts(_))), _) => Meaning::Labels(None),
        (_, Kind::Numbers) => Meaning::Numbers,
        (meaning, _) => meaning.clone(),
    }
}

impl Shaped {
    fn shape(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<usize>> {
        let value = call.input(inputs, 0)?;
        let shape = value.shape.as_slice();
        let wrong = |to: &[i64]| call.invalid(format!("{shape:?} as {to:?}"));
        match self {
            Self::Identity | Self::Cast(_) => Ok(shape.to_vec()),
            Self::Flatten(axis) => {
                let rank = shape.len() as i64;
                let axis = if *axis < 0 { axis + rank } else { *axis };
                let at = usize::try_from(axis).ok();
                let (rows, columns) = at
                    .and_then(|axis| shape.split_at_checked(axis))
                    .ok_or_else(|| wrong(&[axis]))?;
                let sizes = [rows, columns].map(|sizes| count(sizes).unwrap_or(0));
                Ok(sizes.to_vec())
            }
            Self::Squeeze(axes) => {
                let axes = match inputs.get(1) {
                    Some(axes) => Some(whole(call, axes)?),
                    None => axes.clone(),
                };
                let rank = shape.len() as i64;
                let goes = |axis: usize| match &axes {
                    None => shape[axis] == 1,
                    Some(axes) => axes
                        .iter()
                        .any(|&at| at == axis as i64 || at.saturating_add(rank) == axis as i64),
                };
                if (0..shape.len()).any(|axis| goes(axis) && shape[axis] != 1) {
                    return Err(wrong(&axes.unwrap_or_default()));
                }
                let left = (0..shape.len()).filter(|&axis| !goes(axis));
                Ok(left.map(|axis| shape[axis]).collect())
            }
            Self::Reshape => {
                let wanted = whole(call, call.input(inputs, 1)?)?;
                let size = |(axis, &size): (usize, &i64)| match size {
                    0 => shape.get(axis).copied(),
                    -1 => Some(1),
                    size => usize::try_from(size).ok(),
                };
                let sizes: Option<Vec<usize>> = wanted.iter().enumerate().map(size).collect();
                let mut sizes = sizes.ok_or_else(|| wrong(&wanted))?;
                let open = wanted.iter().position(|&size| size == -1);
                if let (Some(open), Some(others)) = (open, count(&sizes).filter(|&n| n > 0)) {
                    sizes[open] = value.data.len() / others;
                }
                if count(&sizes) != Some(value.data.len()) {
                    return Err(wrong(&wanted));
                }
                Ok(sizes)
            }
        }
    }
}

/// Whole numbers, such as a shape.
fn whole(call: &Call<'_>, value: &Value) -> Result<Vec<i64>> {
    match &value.data {
        Data::Whole(numbers) => Ok(numbers.clone()),
        Data::Numbers(numbers) => Ok(numbers.iter().map(|&number| number as i64).collect()),
        Data::Texts(_) => Err(call.invalid("texts where numbers are wanted")),
    }
}

impl Operator for Shaped {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let shape = self.shape(call, inputs)?;
        let data = &call.input(inputs, 0)?.data;
        let unreadable = |text: &str| -> Error { call.invalid(format!("{text:?} is no number")) };
        let data = match (self, data) {
            (Self::Cast(Kind::Numbers), Data::Texts(texts)) => {
                let number =
                    |text: &std::sync::Arc<str>| text.trim().parse().map_err(|_| unreadable(text));
                Data::Numbers(texts.iter().map(number).collect::<Result<_>>()?)
            }
            (Self::Cast(Kind::Whole), Data::Texts(texts)) => {
                let number =
                    |text: &std::sync::Arc<str>| text.trim().parse().map_err(|_| unreadable(text));
                Data::Whole(texts.iter().map(number).collect::<Result<_>>()?)
            }
            (Self::Cast(Kind::Whole), Data::Numbers(numbers)) => {
                Data::Whole(numbers.iter().map(|&number| number as i64).collect())
            }
            (Self::Cast(Kind::Numbers), Data::Whole(numbers)) => {
                Data::Numbers(numbers.iter().map(|&number| number as f32).collect())
            }
            (Self::Cast(Kind::Texts), Data::Whole(numbers)) => {
                let texts = numbers.iter().map(|number| number.to_string().into());
                Data::Texts(texts.collect())
            }
            (Self::Cast(Kind::Texts), Data::Numbers(_)) => {
                return Err(call.invalid("numbers that are not whole as text"));
            }
            (_, data) => data.clone(),
        };
        Ok(vec![Value::new(shape, data)])
    }
}
