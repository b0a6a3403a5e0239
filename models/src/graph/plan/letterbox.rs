//! Runs of pictures that fill only the upper left corner of their input, whose rest is blank: one value everywhere.
//!
//! What lies far enough from the picture is the same for all pictures of a size. It is made once, of an input that is
//! blank everywhere, and kept; a run makes the rest:
//!
//! ```text
//!                        columns
//!            ┌──────────────────────┬───┐
//!            │ touched: made of the │   │
//!      rows  │ picture, each run    │ b │
//!            ├──────────────────────┘   │   blank: as far as what is touched in the maps
//!            │    b l a n k             │   that follow is made of it, and no further
//!            └──────────────────────────┘
//! ```
//!
//! How far the picture reaches grows with every window, until maps are touched everywhere and are made as a whole.
//! The sums are those of a run that makes everything: answers are equal to the last bit.

use super::reach::{COLUMNS, ROWS, Reach, Stretch, Strip};
use super::{Plan, Planner, Start, View};
use crate::graph::plan::Base;
use crate::graph::{Error, Graph, Node, Result, Tensor, Value};
use std::sync::Arc;

/// A map is made in part when at least one of so many of its pixels is not.
const WORTH: usize = 12;

/// Rows and columns.
pub(crate) type Extent = [usize; 2];

/// A map of which a part is made.
struct Trim {
    /// What is made of the picture.
    touched: Extent,
    /// What of the map is read.
    read: Extent,
    /// How it is made of the inputs with rows and columns.
    reads: Vec<(Value, [Reach; 2])>,
}

impl Trim {
    /// The blank parts that are read, as their first row and column and their size: below what is touched, and beside it.
    fn blanks(&self) -> impl Iterator<Item = (Extent, Extent)> {
        let ([down, right], [rows, columns]) = (self.touched, self.read);
        let parts = [
            ([down, 0], [rows - down, columns]),
            ([0, right], [down, columns - right]),
        ];
        parts
            .into_iter()
            .filter(|(_, [rows, columns])| rows * columns > 0)
    }
}

/// The part of a map from a row and column on.
fn part(view: &View, [row, column]: Extent, [rows, columns]: Extent) -> View {
    let mut part = view.clone();
    part.offset += row * view.strides[ROWS] + column * view.strides[COLUMNS];
    part.shape[ROWS] = rows;
    part.shape[COLUMNS] = columns;
    part
}

/// A plan of a run that makes everything and whose outputs, after those of the graph, are the blank parts that
/// [`trimmed`] wants for a picture of this size; none where no map could be made in part.
pub(crate) fn recorded(graph: &Graph, start: Start<'_>, picture: Extent) -> Result<Option<Plan>> {
    let mut planner = Planner::started(graph, start)?;
    let trims = planner.trims(picture);
    if trims.iter().all(Option::is_none) {
        return Ok(None);
    }
    let mut blanks = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        planner.node = index;
        if planner.is_known(node) {
            continue;
        }
        planner.plan_node(node)?;
        if let Some(trim) = &trims[index] {
            let map = planner.view(node.outputs[0])?;
            for (from, size) in trim.blanks() {
                let blank = part(&map, from, size);
                blanks.push(planner.copied(&blank, &[0, 1, 2, 3])?);
            }
        }
    }
    planner.finish_with(blanks).map(Some)
}

/// A plan of a run that makes what a picture of this size touches; `blanks` are what [`recorded`] gave.
pub(crate) fn trimmed(
    graph: &Graph,
    start: Start<'_>,
    picture: Extent,
    blanks: Vec<Tensor>,
) -> Result<Plan> {
    let mut planner = Planner::started(graph, start)?;
    let trims = planner.trims(picture);
    let made = |trim: &Option<Trim>, node: &Node| trim.as_ref().map(|_| node.outputs[0]);
    let trimmed: Vec<Value> = trims
        .iter()
        .zip(&graph.nodes)
        .filter_map(|(trim, node)| made(trim, node))
        .collect();
    // A part is not written where a concatenation of the whole wants it.
    planner
        .targets
        .retain(|value, target| !trimmed.contains(value) && !trimmed.contains(&target.whole));
    let mut blanks = blanks.into_iter();
    for (index, node) in graph.nodes.iter().enumerate() {
        planner.node = index;
        if planner.is_known(node) {
            continue;
        }
        match &trims[index] {
            Some(trim) => planner.plan_trim(node, trim, &mut blanks)?,
            None => planner.plan_node(node)?,
        }
    }
    planner.finish()
}

/// Bytes of the constants that only this plan holds.
pub(crate) fn bytes(plan: &Plan) -> u64 {
    let constant = |base: &Base| match base {
        Base::Constant(tensor) if Arc::strong_count(tensor) == 1 => 4 * tensor.data().len() as u64,
        _ => 0,
    };
    plan.buffers.iter().map(constant).sum()
}

impl Planner<'_> {
    /// For each node what of its result is made, where that is not all.
    fn trims(&self, picture: Extent) -> Vec<Option<Trim>> {
        let graph = self.graph;
        // What of each value is made of the picture; of what is made of something else, nothing is known.
        let mut touched: Vec<Option<Extent>> = vec![None; graph.constants.len()];
        for (_, value) in &graph.inputs {
            touched[value.0] = Some(picture);
        }
        let mut trims: Vec<Option<Trim>> = Vec::with_capacity(graph.nodes.len());
        for node in &graph.nodes {
            let trim = self.trim(node, &touched);
            for value in &node.outputs {
                touched[value.0] = match (&trim, self.shape(*value)) {
                    (Some(trim), _) => Some(trim.touched),
                    (None, &[_, rows, columns, _]) => Some([rows, columns]),
                    (None, _) => None,
                };
            }
            trims.push(trim);
        }
        // What of each value is read by others.
        let mut read: Vec<Extent> = vec![[0, 0]; graph.constants.len()];
        let whole = |planner: &Self, value: Value| match planner.shape(value) {
            &[_, rows, columns, _] => [rows, columns],
            _ => [0, 0],
        };
        for (_, value) in &graph.outputs {
            read[value.0] = whole(self, *value);
        }
        for (node, trim) in graph.nodes.iter().zip(&mut trims).rev() {
            let Some(trim) = trim else {
                for &value in &node.inputs {
                    read[value.0] = whole(self, value);
                }
                continue;
            };
            for (value, reach) in &trim.reads {
                let [rows, columns] = whole(self, *value);
                let ends = [
                    reach[0].end(trim.touched[0], rows),
                    reach[1].end(trim.touched[1], columns),
                ];
                for (read, end) in read[value.0].iter_mut().zip(ends) {
                    *read = (*read).max(end);
                }
            }
            let of = read[node.outputs[0].0];
            trim.read = [0, 1].map(|axis| of[axis].max(trim.touched[axis]));
        }
        trims
    }

    /// What of a node's result is made, if it is worth making a part.
    fn trim(&self, node: &Node, touched: &[Option<Extent>]) -> Option<Trim> {
        let (down, right) = (self.local(node, ROWS)?, self.local(node, COLUMNS)?);
        let alike =
            down.len() == right.len() && down.iter().zip(&right).all(|((a, _), (b, _))| a == b);
        // What has no rows and is not constant is made of the picture, and with it the whole result.
        let is_read = |value: &Value| down.iter().any(|(read, _)| read == value);
        let constant = |value: &Value| self.known(*value).is_some();
        if !alike
            || !node
                .inputs
                .iter()
                .all(|value| is_read(value) || constant(value))
        {
            return None;
        }
        let shape = self.shape(node.outputs[0]);
        let sides = [shape[ROWS], shape[COLUMNS]];
        let reads: Vec<(Value, [Reach; 2])> = down
            .into_iter()
            .zip(right)
            .map(|((value, down), (_, right))| (value, [down, right]))
            .collect();
        let mut of = [0, 0];
        for (value, reach) in &reads {
            let from = touched[value.0]?;
            for axis in 0..2 {
                let end = reach[axis].touched(from[axis], sides[axis]);
                of[axis] = end.max(of[axis]);
            }
        }
        let step = Reach::step(node);
        let of = [0, 1].map(|axis| of[axis].next_multiple_of(step).clamp(1, sides[axis]));
        let (some, all) = (of[0] * of[1], sides[0] * sides[1]);
        (all - some >= all.div_ceil(WORTH)).then_some(Trim {
            touched: of,
            read: of,
            reads,
        })
    }

    /// Plans the part of a node's result that is made, and what is blank beside it.
    fn plan_trim(
        &mut self,
        node: &Node,
        trim: &Trim,
        blanks: &mut impl Iterator<Item = Tensor>,
    ) -> Result<()> {
        let result = node.outputs[0];
        let whole = self.shape(result).to_vec();
        let mut shape = whole.clone();
        [shape[ROWS], shape[COLUMNS]] = trim.read;
        let map = self.ordered(&shape, &[0, 1, 2, 3])?;
        let mut before = Vec::with_capacity(trim.reads.len());
        let mut strip = None;
        for (value, reach) in &trim.reads {
            let (view, shape) = (self.view(*value)?, self.shape(*value).to_vec());
            let ends = [0, 1].map(|axis| reach[axis].end(trim.touched[axis], shape[ROWS + axis]));
            self.show(*value, Some(part(&view, [0, 0], ends)));
            before.push((*value, view, shape));
            strip.get_or_insert_with(|| Strip {
                down: Stretch::new(&reach[0], 0, trim.touched[0], 0),
                right: Some(Stretch::new(&reach[1], 0, trim.touched[1], 0)),
            });
        }
        self.show(result, Some(part(&map, [0, 0], trim.touched)));
        self.strip = strip;
        let planned = self.plan_node(node);
        self.strip = None;
        planned?;
        // From the last: a value that is read twice was whole before the first.
        for (value, view, shape) in before.into_iter().rev() {
            self.views[value.0] = Some(view);
            self.shapes[value.0] = Some(shape);
        }
        for (from, size) in trim.blanks() {
            let tensor = blanks.next().ok_or_else(|| Error::Invalid {
                node: node.name.clone(),
                what: "a blank part that was not recorded".to_owned(),
            })?;
            let to = part(&map, from, size);
            let blank = self.whole(&to.shape, Some(Base::Constant(Arc::new(tensor))))?;
            self.copy(&blank, &to);
        }
        self.views[result.0] = Some(map);
        self.shapes[result.0] = Some(whole);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
