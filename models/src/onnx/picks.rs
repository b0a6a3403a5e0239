//! Operations of ONNX's own set on columns of texts: what is picked (`Gather`), put side by side (`Concat`), compared
//! (`Equal`) or taken from one of two (`Where`).

use super::Meaning;
use super::labels::listed;
use super::operator::{Kind, Made, Operator, Read};
use super::value::{Call, Data, Value};
use crate::graph::Result;
use crate::graph::onnx::wire::Node;
use crate::graph::tensor::count;
use std::sync::Arc;

/// What is done with texts.
enum Picked {
    /// Parts along this axis, by number.
    Gather(i64),
    /// One after the other along this axis.
    Concat(i64),
    /// Truths: whether two are the same.
    Equal,
    /// The second where the first is true, else the third.
    Where,
}

/// Reads a node when one of its inputs is texts; nothing when none is.
///
/// # Errors
/// When the node is none of these.
pub(super) fn read(node: &Node<'_>, inputs: &[Read<'_>]) -> Result<Option<Made>> {
    if inputs.iter().all(|input| input.fact.kind != Kind::Texts) {
        return Ok(None);
    }
    let from = inputs.first().and_then(|input| listed(input.constant?));
    let meaning = from.map_or(Meaning::Numbers, |classes| Meaning::Labels(Some(classes)));
    Ok(Some(match node.op.as_str() {
        "Gather" => Made::one(
            Picked::Gather(node.integer("axis", 0)),
            Kind::Texts,
            meaning,
        ),
        "Concat" => {
            let concat = Picked::Concat(node.integer("axis", 0));
            Made::one(concat, Kind::Texts, Meaning::Numbers)
        }
        "Equal" => Made::one(Picked::Equal, Kind::Whole, Meaning::Numbers),
        "Where" => Made::one(Picked::Where, Kind::Texts, Meaning::Numbers),
        _ => return Err(node.unsupported("texts as an input")),
    }))
}

impl Operator for Picked {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let value = match self {
            Self::Gather(axis) => {
                gather(call, *axis, call.input(inputs, 0)?, call.input(inputs, 1)?)
            }
            Self::Concat(axis) => concat(call, *axis, inputs),
            Self::Equal => {
                let (a, b) = (call.input(inputs, 0)?, call.input(inputs, 1)?);
                let shape = broadcast(call, &[&a.shape, &b.shape])?;
                let elements = call.room(&shape)?;
                let (texts, others) = (call.texts(a)?, call.texts(b)?);
                let pairs =
                    places(&shape, &a.shape, elements).zip(places(&shape, &b.shape, elements));
                let same = pairs.map(|(a, b)| i64::from(texts.get(a) == others.get(b)));
                Ok(Value::new(shape, Data::Whole(same.collect())))
            }
            Self::Where => {
                let [which, yes, no] = [0, 1, 2].map(|index| call.input(inputs, index));
                let (which, yes, no) = (which?, yes?, no?);
                let shape = broadcast(call, &[&which.shape, &yes.shape, &no.shape])?;
                let elements = call.room_for_texts(&shape)?;
                let truths = call.numbers(which)?;
                let [yes_texts, no_texts] = [call.texts(yes)?, call.texts(no)?];
                let truth = places(&shape, &which.shape, elements);
                let yes = places(&shape, &yes.shape, elements);
                let no = places(&shape, &no.shape, elements);
                let chosen = truth.zip(yes.zip(no)).map(|(truth, (yes, no))| {
                    let is_true = truths.get(truth).is_some_and(|&truth| truth != 0.0);
                    if is_true {
                        yes_texts.get(yes)
                    } else {
                        no_texts.get(no)
                    }
                });
                let chosen: Option<Vec<Arc<str>>> = chosen.map(|text| text.cloned()).collect();
                let chosen = chosen.ok_or_else(|| call.invalid("a part that is not there"))?;
                Ok(Value::new(shape, Data::Texts(chosen)))
            }
        };
        Ok(vec![value?])
    }
}

/// The place of an axis that may be counted from the end.
fn place_of(call: &Call<'_>, axis: i64, rank: usize) -> Result<usize> {
    let from_end = if axis < 0 { rank as i64 } else { 0 };
    let place = axis.checked_add(from_end).map(usize::try_from);
    match place {
        Some(Ok(place)) if place < rank => Ok(place),
        _ => Err(call.invalid(format!("axis {axis} of {rank}"))),
    }
}

fn gather(call: &Call<'_>, axis: i64, from: &Value, which: &Value) -> Result<Value> {
    let texts = call.texts(from)?;
    let axis = place_of(call, axis, from.shape.len())?;
    let (before, after) = from.shape.split_at(axis);
    let (&width, after) = after
        .split_first()
        .ok_or_else(|| call.invalid("a scalar has no parts"))?;
    let places = call.whole(which)?;
    let places = places.iter().map(|&index| place_of(call, index, width));
    let places = places.collect::<Result<Vec<_>>>()?;
    let shape = [before, &which.shape, after].concat();
    let mut picked = Vec::with_capacity(call.room_for_texts(&shape)?);
    let inner = count(after).unwrap_or(0);
    for outer in texts.chunks((width * inner).max(1)) {
        for place in &places {
            let part = outer.get(place * inner..(place + 1) * inner);
            picked.extend_from_slice(part.unwrap_or_default());
        }
    }
    Ok(Value::new(shape, Data::Texts(picked)))
}

fn concat(call: &Call<'_>, axis: i64, inputs: &[&Value]) -> Result<Value> {
    let mut shape = call.input(inputs, 0)?.shape.clone();
    let axis = place_of(call, axis, shape.len())?;
    let mut width = 0usize;
    let mut parts = Vec::with_capacity(inputs.len());
    for input in inputs {
        let same = input.shape.len() == shape.len()
            && (0..shape.len()).all(|at| at == axis || input.shape[at] == shape[at]);
        if !same {
            let other = &input.shape;
            return Err(call.invalid(format!("{other:?} beside {shape:?}")));
        }
        width = width.saturating_add(input.shape[axis]);
        let each = count(&input.shape[axis..]).unwrap_or(0);
        parts.push((call.texts(input)?, each));
    }
    shape[axis] = width;
    let mut joined = Vec::with_capacity(call.room_for_texts(&shape)?);
    for outer in 0..count(&shape[..axis]).unwrap_or(0) {
        for (texts, each) in &parts {
            let part = texts.get(outer * each..(outer + 1) * each);
            joined.extend_from_slice(part.unwrap_or_default());
        }
    }
    Ok(Value::new(shape, Data::Texts(joined)))
}

/// The shape that these are repeated to, with sizes of one for what is missing in front.
fn broadcast(call: &Call<'_>, shapes: &[&[usize]]) -> Result<Vec<usize>> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let size = |axis: usize| {
        let sizes = shapes.iter().filter_map(|shape| {
            let axis = (axis + shape.len()).checked_sub(rank)?;
            shape.get(axis).copied().filter(|&size| size != 1)
        });
        let mut sizes = sizes;
        let first = sizes.next().unwrap_or(1);
        sizes.all(|size| size == first).then_some(first)
    };
    let sizes: Option<Vec<usize>> = (0..rank).map(size).collect();
    sizes.ok_or_else(|| call.invalid(format!("shapes {shapes:?} together")))
}

/// For every element of a shape in turn, the place of the one of a smaller shape that is repeated there.
fn places(
    shape: &[usize],
    small: &[usize],
    elements: usize,
) -> impl Iterator<Item = usize> + use<> {
    // Of every axis from the last on: its size, and the step in the smaller shape.
    let mut axes = Vec::with_capacity(shape.len());
    let mut step = 1;
    for back in 1..=shape.len() {
        let own = small.len().checked_sub(back).map_or(1, |at| small[at]);
        axes.push((shape[shape.len() - back], if own == 1 { 0 } else { step }));
        step *= own;
    }
    (0..elements).map(move |element| {
        let (mut left, mut place) = (element, 0);
        for (size, step) in &axes {
            place += left % size * step;
            left /= size;
        }
        place
    })
}
