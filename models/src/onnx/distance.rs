//! Distances between the rows of two tables, which nearest neighbours are found by: `CDist`, and the loop (`Scan`) that
//! exporters write instead.

use super::Meaning;
use super::linear::each_row;
use super::operator::{Fact, Kind, Made, Operator};
use super::value::{Call, Table, Value};
use crate::graph::onnx::wire::{Body, Constant, Node};
use crate::graph::{Limits, Result};

/// A distance for every row of the first table and every row of the second.
struct Distances {
    /// Whether the root of the sum of squares is taken.
    root: bool,
    /// Whether this is a loop: its first result is the first table, and the distances have a line for each row of the
    /// second.
    turned: bool,
}

/// Reads a `CDist` of `com.microsoft`.
pub(super) fn all_pairs(node: &Node<'_>) -> Result<Made> {
    let root = match node.text("metric") {
        Some("euclidean") => true,
        None | Some("sqeuclidean") => false,
        Some(other) => return Err(node.unsupported(format!("metric {other}"))),
    };
    let distances = Distances {
        root,
        turned: false,
    };
    Ok(Made::one(distances, Kind::Numbers, Meaning::Numbers))
}

/// Reads a `Scan` when it is the loop of squared distances: for every row of the second input, the sums of squares of
/// its differences to all rows of the first. Others are not supported.
pub(super) fn scan(node: &Node<'_>) -> Result<Made> {
    let body = node.attributes.get("body").and_then(|body| body.graph);
    let limits = Limits {
        nodes: 8,
        ..Limits::default()
    };
    let body = match body {
        Some(bytes) => Body::read(bytes, limits).ok(),
        None => None,
    };
    let plain = ["scan_input_axes", "scan_output_axes"].iter().all(|name| {
        node.integers(name)
            .is_none_or(|axes| axes.iter().all(|&axis| axis == 0))
    }) && ["scan_input_directions", "scan_output_directions"]
        .iter()
        .all(|name| {
            node.integers(name)
                .is_none_or(|ways| ways.iter().all(|&way| way == 0))
        });
    if !plain || node.inputs.len() != 2 || !body.is_some_and(|body| is_distance(&body)) {
        return Err(node.unsupported("a loop that does not compute distances"));
    }
    let distances = Distances {
        root: false,
        turned: true,
    };
    Ok(Made::new(distances, vec![Fact::NUMBERS; 2]))
}

/// The node that makes a value, through those that only hand it on, and the value's first name.
fn maker<'b>(body: &'b Body<'_>, name: &'b str) -> (&'b str, Option<&'b Node<'b>>) {
    let mut name = name;
    for _ in 0..=body.nodes.len() {
        let makes = |node: &&Node<'_>| node.outputs.first().is_some_and(|made| made == name);
        match body.nodes.iter().find(makes) {
            Some(node) if node.op == "Identity" => match node.inputs.first() {
                Some(input) => name = input,
                None => return (name, None),
            },
            found => return (name, found),
        }
    }
    (name, None)
}

/// Whether a loop hands its state on and makes sums of squares of what is between the state and the next row.
fn is_distance(body: &Body<'_>) -> bool {
    let ([state, next], [kept, sums]) = (body.inputs.as_slice(), body.outputs.as_slice()) else {
        return false;
    };
    let made = |name| maker(body, name);
    let (kept, _) = made(&kept.name);
    let (_, Some(sum)) = made(&sums.name) else {
        return false;
    };
    let last_axis = match sum.inputs.get(1) {
        Some(axes) => {
            let axes = body.constants.iter().find(|(name, _)| name == axes);
            matches!(axes, Some((_, Constant::Whole { values, .. })) if matches!(values[..], [1 | -1]))
        }
        None => matches!(sum.integers("axes"), Some([1 | -1])),
    };
    let Some((_, Some(difference))) = sum.inputs.first().map(|input| made(input)) else {
        return false;
    };
    let sides = difference.inputs.iter().map(|side| made(side).0);
    let sides: Vec<&str> = sides.collect();
    kept == state.name
        && sum.op == "ReduceSumSquare"
        && sum.integer("keepdims", 1) == 0
        && last_axis
        && difference.op == "Sub"
        && (sides == [state.name.as_str(), next.name.as_str()]
            || sides == [next.name.as_str(), state.name.as_str()])
}

impl Operator for Distances {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let (left, right) = (call.table(inputs, 0)?, call.table(inputs, 1)?);
        if left.width != right.width {
            let (left, right) = (left.width, right.width);
            return Err(call.invalid(format!("rows of {left} and {right} columns")));
        }
        let distances = |from: &Table<'_>, to: &Table<'_>| {
            each_row(call, from, to.rows, |row, distances| {
                let others = to.data.chunks(to.width.max(1));
                for (other, distance) in others.zip(distances) {
                    let pairs = row.iter().zip(other);
                    let squares: f32 = pairs.map(|(x, y)| (x - y) * (x - y)).sum();
                    *distance = if self.root { squares.sqrt() } else { squares };
                }
            })
        };
        if !self.turned {
            return distances(&left, &right);
        }
        let mut results = vec![call.input(inputs, 0)?.clone()];
        results.extend(distances(&right, &left)?);
        Ok(results)
    }
}
