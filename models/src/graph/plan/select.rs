//! Operations that choose elements: by a condition, by size, by indices; and running sums.

use super::{Dimension, Planner, Slot, Step, View, loops};
use crate::graph::shape::axis_of;
use crate::graph::{Node, Result};

/// The first input where the condition is not zero, else the second. The strides are those of the result, the
/// condition and the two.
#[derive(Clone, Debug)]
pub(crate) struct Select {
    pub(crate) loops: Vec<Dimension>,
    pub(crate) output: Slot,
    pub(crate) inputs: [Slot; 3],
}

/// The `count` largest or smallest of rows, and their places. The strides are those of the values, the places
/// and the input.
#[derive(Clone, Debug)]
pub(crate) struct TopK {
    /// Over the rows.
    pub(crate) loops: Vec<Dimension>,
    pub(crate) count: usize,
    pub(crate) length: usize,
    /// Along the rows.
    pub(crate) strides: [usize; 3],
    pub(crate) largest: bool,
    pub(crate) outputs: [Slot; 2],
    pub(crate) input: Slot,
}

/// Elements by an index each. The strides are those of the result, the indices and the input, whose own along
/// the indexed axis is left out.
#[derive(Clone, Debug)]
pub(crate) struct GatherElements {
    pub(crate) loops: Vec<Dimension>,
    /// Size and distance of the indexed axis.
    pub(crate) axis: (usize, usize),
    pub(crate) output: Slot,
    pub(crate) indices: Slot,
    pub(crate) input: Slot,
}

/// Writes updates where the indices say.
#[derive(Clone, Debug)]
pub(crate) struct Scatter {
    /// Sizes and distances of the axes that an index addresses.
    pub(crate) axes: Vec<(usize, usize)>,
    /// Over the tuples of indices: updates and indices.
    pub(crate) tuples: Vec<Dimension>,
    /// Distance between the indices of a tuple.
    pub(crate) component: usize,
    /// Over what one tuple addresses: result and updates.
    pub(crate) loops: Vec<Dimension>,
    pub(crate) output: Slot,
    pub(crate) indices: Slot,
    pub(crate) updates: Slot,
}

/// Sums up to every element. The strides are those of the result and the input.
#[derive(Clone, Debug)]
pub(crate) struct CumulativeSum {
    /// Over the rows.
    pub(crate) loops: Vec<Dimension>,
    pub(crate) length: usize,
    /// Along the rows.
    pub(crate) strides: [usize; 2],
    pub(crate) output: Slot,
    pub(crate) input: Slot,
}

/// All axes but one.
fn without(rank: usize, axis: usize) -> Vec<usize> {
    (0..rank).filter(|&other| other != axis).collect()
}

fn all(rank: usize) -> Vec<usize> {
    (0..rank).collect()
}

impl Planner<'_> {
    pub(super) fn select(&mut self, node: &Node) -> Result<()> {
        let result = node.outputs[0];
        let mut sides = [
            self.view(node.inputs[0])?,
            self.view(node.inputs[1])?,
            self.view(node.inputs[2])?,
        ];
        let shape = self.shape(result).to_vec();
        let full = sides.iter().find(|view| view.shape == shape);
        let order = full.map_or_else(|| all(shape.len()), View::order);
        let output = self.output(result, &order)?;
        let loops = self.aligned(node, &mut sides, &output)?;
        let inputs = sides.map(|side| side.slot());
        let slots = [output.slot(), inputs[0], inputs[1], inputs[2]];
        let step = Step::Select(Select {
            loops,
            output: slots[0],
            inputs,
        });
        self.step(step, 2 * output.elements(), &slots);
        Ok(())
    }

    pub(super) fn top_k(&mut self, node: &Node, axis: isize, largest: bool) -> Result<()> {
        let &[values, places] = node.outputs.as_slice() else {
            return Err(node.invalid("two results are needed"));
        };
        let view = self.view(node.inputs[0])?;
        let axis = axis_of(node, axis, view.shape.len())?;
        let count = self.shape(values)[axis];
        let order = all(view.shape.len());
        let (values, places) = (self.output(values, &order)?, self.output(places, &order)?);
        let length = view.shape[axis];
        self.scratch = self.scratch.max(length);
        let kept = without(view.shape.len(), axis);
        let [v, p, from] = [&values, &places, &view].map(|view| view.permuted(&kept));
        let step = Step::TopK(TopK {
            loops: loops(
                &from.shape,
                &all(kept.len()),
                &[&v.strides, &p.strides, &from.strides],
            ),
            count,
            length,
            strides: [
                values.strides[axis],
                places.strides[axis],
                view.strides[axis],
            ],
            largest,
            outputs: [values.slot(), places.slot()],
            input: view.slot(),
        });
        let slots = [values.slot(), places.slot(), view.slot()];
        self.step(step, view.elements().saturating_mul(4), &slots);
        Ok(())
    }

    pub(super) fn gather_elements(&mut self, node: &Node, axis: isize) -> Result<()> {
        let (view, indices) = (self.view(node.inputs[0])?, self.view(node.inputs[1])?);
        let axis = axis_of(node, axis, view.shape.len())?;
        let order = all(view.shape.len());
        let output = self.output(node.outputs[0], &order)?;
        let mut beside = view.strides.clone();
        beside[axis] = 0;
        let step = Step::GatherElements(GatherElements {
            loops: loops(
                &indices.shape,
                &order,
                &[&output.strides, &indices.strides, &beside],
            ),
            axis: (view.shape[axis], view.strides[axis]),
            output: output.slot(),
            indices: indices.slot(),
            input: view.slot(),
        });
        let slots = [output.slot(), indices.slot(), view.slot()];
        self.step(step, 2 * output.elements(), &slots);
        Ok(())
    }

    pub(super) fn scatter(&mut self, node: &Node) -> Result<()> {
        let view = self.view(node.inputs[0])?;
        let (indices, updates) = (self.view(node.inputs[1])?, self.view(node.inputs[2])?);
        let output = self.output(node.outputs[0], &all(view.shape.len()))?;
        self.copy(&view, &output);
        let lead = indices.shape.len() - 1;
        let depth = indices.shape[lead];
        let axes = (0..depth).map(|axis| (output.shape[axis], output.strides[axis]));
        let tuples = loops(
            &indices.shape[..lead],
            &all(lead),
            &[&updates.strides[..lead], &indices.strides[..lead]],
        );
        let inner = &output.shape[depth..];
        let step = Step::Scatter(Scatter {
            axes: axes.collect(),
            tuples,
            component: indices.strides[lead],
            loops: loops(
                inner,
                &all(inner.len()),
                &[&output.strides[depth..], &updates.strides[lead..]],
            ),
            output: output.slot(),
            indices: indices.slot(),
            updates: updates.slot(),
        });
        // Updates of one place follow each other, so one member does them all.
        self.step(step, 0, &[output.slot(), indices.slot(), updates.slot()]);
        Ok(())
    }

    pub(super) fn cumulative_sum(&mut self, node: &Node, axis: isize) -> Result<()> {
        let view = self.view(node.inputs[0])?;
        let axis = axis_of(node, axis, view.shape.len())?;
        let output = self.output(node.outputs[0], &all(view.shape.len()))?;
        let kept = without(view.shape.len(), axis);
        let (to, from) = (output.permuted(&kept), view.permuted(&kept));
        let step = Step::CumulativeSum(CumulativeSum {
            loops: loops(&from.shape, &all(kept.len()), &[&to.strides, &from.strides]),
            length: view.shape[axis],
            strides: [output.strides[axis], view.strides[axis]],
            output: output.slot(),
            input: view.slot(),
        });
        self.step(step, view.elements(), &[output.slot(), view.slot()]);
        Ok(())
    }

    /// What is repeated, as a view where that is possible.
    pub(super) fn tile(&mut self, node: &Node) -> Result<View> {
        let view = self.view(node.inputs[0])?;
        let shape = self.shape(node.outputs[0]).to_vec();
        let mut repeated = View {
            shape: Vec::new(),
            strides: Vec::new(),
            ..view
        };
        for ((&size, &stride), &tiled) in view.shape.iter().zip(&view.strides).zip(&shape) {
            // Zero times is nothing, whatever it is of.
            repeated.shape.extend([tiled / size.max(1), size]);
            repeated.strides.extend([0, stride]);
        }
        self.looked_at(&repeated, &shape)
    }
}
