//! Normalised rows, and maps that are read between their pixels.

use super::{Dimension, Map, Planner, Slot, Step, View, loops};
use crate::graph::op::{Deformable, GridSample, Normalise};
use crate::graph::shape::row_length;
use crate::graph::{Node, Result};
use std::sync::Arc;

/// Rows that are normalised. The strides are those of the result and the input.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) loops: Vec<Dimension>,
    /// Elements of a row, neighbours on both sides.
    pub(crate) length: usize,
    pub(crate) epsilon: f32,
    /// As many as a row has.
    pub(crate) gamma: Arc<[f32]>,
    /// As many as a row has.
    pub(crate) beta: Arc<[f32]>,
    pub(crate) output: Slot,
    pub(crate) input: Slot,
}

/// A map that is read at the places of a grid.
#[derive(Clone, Debug)]
pub(crate) struct Sampling {
    pub(crate) sample: GridSample,
    pub(crate) input: Map,
    pub(crate) grid: Map,
    pub(crate) output: Map,
}

/// Rows of neighbouring values: `[batch, rows, values]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) slot: Slot,
    /// Between images and between rows.
    pub(crate) strides: [usize; 2],
}

/// A deformable attention.
#[derive(Clone, Debug)]
pub(crate) struct Deforming {
    pub(crate) deformable: Deformable,
    pub(crate) batch: usize,
    pub(crate) queries: usize,
    /// Values of a head at a place.
    pub(crate) width: usize,
    pub(crate) values: Table,
    pub(crate) boxes: Table,
    pub(crate) offsets: Table,
    pub(crate) weights: Table,
    pub(crate) output: Table,
}

impl Table {
    fn new(view: &View) -> Self {
        Self {
            slot: view.slot(),
            strides: [view.strides[0], view.strides[1]],
        }
    }
}

impl Planner<'_> {
    pub(super) fn normalise(&mut self, node: &Node, normalise: &Normalise) -> Result<()> {
        let view = self.view(node.inputs[0])?;
        let result = node.outputs[0];
        let rank = view.shape.len();
        let length = row_length(node, normalise, &view.shape)?;
        let kept: Vec<usize> = (0..rank - normalise.axes).collect();
        let over: Vec<usize> = (rank - normalise.axes..rank).collect();
        let input = self.rows(&view, &kept, &over)?;
        let output = if normalise.axes == 1 {
            let mut order = view.order();
            order.retain(|axis| kept.contains(axis));
            order.push(rank - 1);
            self.output(result, &order)?
        } else {
            let order: Vec<usize> = (0..rank).collect();
            let view = self.ordered(&view.shape, &order)?;
            self.views[result.0] = Some(view.clone());
            self.rows(&view, &kept, &over)?
        };
        let values = |values: &Option<Arc<[f32]>>, default| match values {
            Some(values) => values.clone(),
            None => vec![default; length].into(),
        };
        let leading = kept.len();
        let step = Step::Normalise(Rows {
            loops: loops(
                &input.shape[..leading],
                &kept,
                &[&output.strides[..leading], &input.strides[..leading]],
            ),
            length,
            epsilon: normalise.epsilon,
            gamma: values(&normalise.gamma, 1.0),
            beta: values(&normalise.beta, 0.0),
            output: output.slot(),
            input: input.slot(),
        });
        let work = view.elements().saturating_mul(3);
        self.step(step, work, &[output.slot(), input.slot()]);
        Ok(())
    }

    pub(super) fn grid_sample(&mut self, node: &Node, sample: GridSample) -> Result<()> {
        let (view, grid) = (self.view(node.inputs[0])?, self.view(node.inputs[1])?);
        let view = self.nearest(view, 3)?;
        let output = self.output(node.outputs[0], &[0, 1, 2, 3])?;
        let maps = [&view, &grid, &output].map(|view| self.map_of(node, view));
        let [input, grid, output] = maps;
        let (input, grid, output) = (input?, grid?, output?);
        let work = output.pixels() * (8 + 4 * output.shape[3]);
        let step = Step::GridSample(Sampling {
            sample,
            input,
            grid,
            output,
        });
        self.step_with(step, work, &[input, grid, output]);
        Ok(())
    }

    pub(super) fn deformable(&mut self, node: &Node, deformable: &Deformable) -> Result<()> {
        let mut table = |index: usize| -> Result<Table> {
            let view = self.view(node.inputs[index])?;
            let view = self.nearest(view, 2)?;
            Ok(Table::new(&view))
        };
        let (values, boxes) = (table(0)?, table(1)?);
        let (offsets, weights) = (table(2)?, table(3)?);
        let output = self.output(node.outputs[0], &[0, 1, 2])?;
        let made = Table::new(&output);
        let samples = deformable.heads * deformable.maps.len() * deformable.points;
        let (batch, queries) = (output.shape[0], output.shape[1]);
        let width = output.shape[2] / deformable.heads;
        let step = Step::Deformable(Deforming {
            deformable: deformable.clone(),
            batch,
            queries,
            width,
            values,
            boxes,
            offsets,
            weights,
            output: made,
        });
        let slots = [values, boxes, offsets, weights, made].map(|table| table.slot);
        let samples = samples.saturating_mul(batch).saturating_mul(queries);
        self.step(step, samples.saturating_mul(4 * width), &slots);
        Ok(())
    }
}
