//! Operations of ONNX's own set that shape and cast texts and labels: what networks do not have, or, of whole numbers, not
//! of any size.

use super::Meaning;
use super::labels::Classes;
use super::operator::{Fact, Kind, Made, Operator, Read};
use super::value::{Call, Data, Value};
use crate::graph::onnx::wire::{Node, is_whole};
use crate::graph::tensor::count;
use crate::graph::{Error, Result};
use std::collections::HashSet;

/// What is done with labels.
enum Shaped {
    Identity,
    /// To numbers, whole numbers or texts.
    Cast(Kind),
    /// To truths: 1 for all numbers but 0.
    Truth,
    /// A list of what has one element in every row.
    Flatten(i64),
    /// To a shape; 0 keeps a size and -1 is what is left.
    Reshape,
    /// Without axes of size one, all or these.
    Squeeze(Option<Vec<i64>>),
    /// With axes of size one in these places.
    Unsqueeze(Option<Vec<i64>>),
}

/// The number of booleans among the types of elements.
const TRUTHS: i64 = 9;

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
        "Cast" if node.integer("to", 1) == TRUTHS => Shaped::Truth,
        "Cast" => Shaped::Cast(to),
        "Flatten" => Shaped::Flatten(node.integer("axis", 1)),
        "Reshape" => Shaped::Reshape,
        "Squeeze" => Shaped::Squeeze(axes()),
        "Unsqueeze" => Shaped::Unsqueeze(axes()),
        _ => return Ok(None),
    };
    let (kind, meaning) = match (&shaped, &input.fact.meaning) {
        (Shaped::Cast(to), meaning) => (*to, cast(meaning, *to)),
        (Shaped::Truth, _) => (Kind::Whole, Meaning::Numbers),
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
            Self::Identity | Self::Cast(_) | Self::Truth => Ok(shape.to_vec()),
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
                    Some(axes) => Some(call.whole(axes)?.into_owned()),
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
            Self::Unsqueeze(axes) => {
                let axes = match inputs.get(1) {
                    Some(axes) => call.whole(axes)?.into_owned(),
                    None => axes.clone().unwrap_or_default(),
                };
                let rank = shape.len().saturating_add(axes.len());
                let place = |&axis: &i64| {
                    let axis = if axis < 0 {
                        axis.checked_add(rank as i64)?
                    } else {
                        axis
                    };
                    usize::try_from(axis).ok().filter(|&axis| axis < rank)
                };
                let places: Option<HashSet<usize>> = axes.iter().map(place).collect();
                let places = places.filter(|places| places.len() == axes.len());
                let places = places.ok_or_else(|| wrong(&axes))?;
                let mut sizes = shape.iter().copied();
                let size = |axis: usize| match places.contains(&axis) {
                    true => Some(1),
                    false => sizes.next(),
                };
                let sizes: Option<Vec<usize>> = (0..rank).map(size).collect();
                sizes.ok_or_else(|| wrong(&axes))
            }
            Self::Reshape => {
                let wanted = call.whole(call.input(inputs, 1)?)?;
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

/// A number as text, as ONNX Runtime writes it: eight digits, of which zeros at the end are left out, with a power of ten
/// for small and large ones.
fn written(number: f32) -> String {
    const DIGITS: i32 = 8;
    if !number.is_finite() {
        return match number {
            f32::INFINITY => "INF",
            f32::NEG_INFINITY => "-INF",
            _ => "NaN",
        }
        .to_owned();
    }
    let scientific = format!("{number:.0$e}", DIGITS as usize - 1);
    let (digits, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let short = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..DIGITS).contains(&power) {
        let places = usize::try_from(DIGITS - 1 - power).unwrap_or(0);
        return short(&format!("{number:.places$}"));
    }
    let sign = if power < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", short(digits), power.abs())
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
            (Self::Cast(Kind::Texts), Data::Numbers(numbers)) => {
                call.room_for_texts(&shape)?;
                let texts = numbers.iter().map(|&number| written(number).into());
                Data::Texts(texts.collect())
            }
            (Self::Truth, data) => {
                let truths = match data {
                    Data::Whole(numbers) => numbers.iter().map(|&x| i64::from(x != 0)).collect(),
                    Data::Numbers(numbers) => {
                        numbers.iter().map(|&x| i64::from(x != 0.0)).collect()
                    }
                    Data::Texts(_) => return Err(call.invalid("texts as truths")),
                };
                Data::Whole(truths)
            }
            (_, data) => data.clone(),
        };
        Ok(vec![Value::new(shape, data)])
    }
}
