//! Which values must be exact to the last digit, as far as an optimisation could change it.
//!
//! Most functions take a number that is off by its last digit for what it is. Those that round, compare or take
//! remainders do not: 41 / 41 is 1, 41 times the `f32` next to 1/41 is less, and what rounds down makes 0 of it.

use super::op::{Arithmetic, Function, Op};
use super::{Graph, Value};
use std::collections::HashSet;

/// The values that something reads which tells them from their neighbours, directly or behind operations that hand
/// on what they are given. Behind curves and sums of products nothing depends on a last digit.
pub(super) fn exact(graph: &Graph) -> HashSet<Value> {
    let outputs = graph.outputs.iter();
    let outputs = outputs.filter(|(name, _)| graph.exact.contains(name));
    let mut exact: HashSet<Value> = outputs.map(|(_, value)| *value).collect();
    for node in graph.nodes.iter().rev() {
        let reads_exactly = tells_neighbours_apart(&node.op)
            || hands_on(&node.op) && node.outputs.iter().any(|output| exact.contains(output));
        if reads_exactly {
            exact.extend(&node.inputs);
        }
    }
    exact
}

fn tells_neighbours_apart(op: &Op) -> bool {
    match op {
        Op::Map(function) => matches!(
            function,
            Function::Floor
                | Function::Ceil
                | Function::Round
                | Function::Truncate
                | Function::Sign
                | Function::Not
                | Function::IsTrue
        ),
        Op::Arithmetic(arithmetic) => matches!(
            arithmetic,
            Arithmetic::FloorDiv
                | Arithmetic::Modulo
                | Arithmetic::Remainder
                | Arithmetic::Equal
                | Arithmetic::Less
                | Arithmetic::LessOrEqual
                | Arithmetic::Greater
                | Arithmetic::GreaterOrEqual
        ),
        // Sizes are rounded down.
        Op::Range | Op::Resize(_) => true,
        _ => false,
    }
}

fn hands_on(op: &Op) -> bool {
    match op {
        Op::Map(function) => matches!(
            function,
            Function::Identity
                | Function::Clip { .. }
                | Function::Leaky(_)
                | Function::Prelu(_)
                | Function::Abs
                | Function::Affine { .. }
        ),
        Op::Arithmetic(_)
        | Op::Where
        | Op::Reduce(_)
        | Op::CumulativeSum { .. }
        | Op::TopK { .. }
        | Op::Transpose(_)
        | Op::Reshape { .. }
        | Op::Squeeze(_)
        | Op::Unsqueeze(_)
        | Op::Concat { .. }
        | Op::Split { .. }
        | Op::Slice
        | Op::Pad { .. }
        | Op::Gather { .. }
        | Op::GatherNd
        | Op::GatherElements { .. }
        | Op::ScatterNd
        | Op::Expand
        | Op::Tile => true,
        _ => false,
    }
}

/// Whether `1 / divisor` is exact, so that products with it are the quotients.
pub(super) fn has_exact_reciprocal(divisor: f32) -> bool {
    let fraction = divisor.to_bits() & ((1 << (f32::MANTISSA_DIGITS - 1)) - 1);
    fraction == 0 && divisor.is_normal() && divisor.recip().is_normal()
}
