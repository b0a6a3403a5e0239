//! Elements chosen by a condition, by size or by indices; running sums.

use super::{RUN, Run, address, each, place, total};
use crate::graph::plan::Gathered;
use crate::graph::plan::select::{CumulativeSum, GatherElements, Scatter, Select, TopK};
use crate::team::Member;
use std::cmp::Ordering;

/// The larger number first; what is not a number is larger than all, as for PyTorch.
fn larger_first(x: f32, y: f32) -> Ordering {
    match (x.is_nan(), y.is_nan()) {
        (false, false) => y.partial_cmp(&x).unwrap_or(Ordering::Equal),
        (x, y) => y.cmp(&x),
    }
}

impl Run<'_> {
    pub(super) fn select(&self, member: Member<'_>, index: usize, step: &Select) {
        let to = self.write(step.output);
        let from = step.inputs.map(|slot| self.read(slot));
        self.grid(
            member,
            index,
            &step.loops,
            |grid, offsets, rows, columns, _| {
                for row in 0..rows {
                    let to = to.wrapping_add(offsets[0] + row * grid.rows.strides[0]);
                    let side = |side: usize, column: usize| {
                        let row = row * grid.rows.strides[side + 1];
                        let at = offsets[side + 1] + row + column * grid.steps[side + 1];
                        // SAFETY: see the module.
                        unsafe { *from[side].add(at) }
                    };
                    for column in 0..columns {
                        let chosen = if side(0, column) != 0.0 { 1 } else { 2 };
                        // SAFETY: see the module.
                        unsafe { *to.add(column) = side(chosen, column) };
                    }
                }
            },
        );
    }

    pub(super) fn top_k(&self, member: Member<'_>, index: usize, step: &TopK) {
        let [values, places] = step.outputs.map(|slot| self.write(slot));
        let from = self.read(step.input);
        self.tasks(member, index, total(&step.loops), |task| {
            each(&step.loops, task..task + 1, |_, offsets| {
                let value = |at: u32| {
                    // SAFETY: see the module; places are below the length.
                    unsafe { *from.add(offsets[2] + at as usize * step.strides[2]) }
                };
                let first = |&a: &u32, &b: &u32| {
                    let (x, y) = if step.largest { (a, b) } else { (b, a) };
                    larger_first(value(x), value(y)).then(a.cmp(&b))
                };
                // SAFETY: the planner made room for as many numbers of four bytes; this member's, of any bits.
                let order = unsafe {
                    std::slice::from_raw_parts_mut(self.scratch(member).cast::<u32>(), step.length)
                };
                for (at, place) in order.iter_mut().enumerate() {
                    *place = at as u32;
                }
                if step.count < step.length {
                    order.select_nth_unstable_by(step.count, first);
                }
                let order = &mut order[..step.count];
                order.sort_unstable_by(first);
                for (at, &place) in order.iter().enumerate() {
                    // SAFETY: see the module.
                    unsafe {
                        *values.add(offsets[0] + at * step.strides[0]) = value(place);
                        *places.add(offsets[1] + at * step.strides[1]) = place as f32;
                    }
                }
            });
        });
    }

    pub(super) fn gather_elements(&self, member: Member<'_>, index: usize, step: &GatherElements) {
        let to = self.write(step.output);
        let (indices, from) = (self.read(step.indices), self.read(step.input));
        let Some((last, outer)) = step.loops.split_last() else {
            return;
        };
        let least = RUN / last.size.max(1) + 1;
        self.pieces(member, index, total(outer), least, |piece| {
            each(outer, piece, |_, offsets| {
                // SAFETY: see the module; indices that are not inside are not followed.
                unsafe {
                    let addressed = |at: usize| {
                        place(*indices.add(offsets[1] + at * last.strides[1]), step.axis)
                    };
                    // One index for a whole run is looked at once.
                    let whole = (last.strides[1] == 0).then(|| addressed(0));
                    for at in 0..last.size {
                        let value = match whole.unwrap_or_else(|| addressed(at)) {
                            Some(place) => *from.add(offsets[2] + at * last.strides[2] + place),
                            // What an index outside addresses is not a number.
                            None => f32::NAN,
                        };
                        *to.add(offsets[0] + at * last.strides[0]) = value;
                    }
                }
            });
        });
    }

    pub(super) fn scatter(&self, step: &Scatter) {
        let to = self.write(step.output);
        let (indices, updates) = (self.read(step.indices), self.read(step.updates));
        each(&step.tuples, 0..total(&step.tuples), |_, tuple| {
            // SAFETY: see the module; indices that are not inside are not followed.
            unsafe {
                let start = address(&step.axes, indices.add(tuple[1]), step.component);
                each(&step.loops, 0..total(&step.loops), |_, offsets| {
                    match start {
                        Some(start) => {
                            *to.add(start + offsets[0]) = *updates.add(tuple[0] + offsets[1]);
                        }
                        // An index outside spoils the result rather than going unseen.
                        None => *to = f32::NAN,
                    }
                });
            }
        });
    }

    pub(super) fn cumulative_sum(&self, member: Member<'_>, index: usize, step: &CumulativeSum) {
        let (to, from) = (self.write(step.output), self.read(step.input));
        let least = RUN / step.length.max(1) + 1;
        self.pieces(member, index, total(&step.loops), least, |piece| {
            each(&step.loops, piece, |_, offsets| {
                let mut sum = 0.0;
                for at in 0..step.length {
                    // SAFETY: see the module.
                    unsafe {
                        sum += *from.add(offsets[1] + at * step.strides[1]);
                        *to.add(offsets[0] + at * step.strides[0]) = sum;
                    }
                }
            });
        });
    }

    pub(super) fn gather(&self, step: &Gathered) {
        let Gathered {
            axes,
            tuples,
            component,
            loops,
            output,
            input,
            indices,
        } = step;
        let to = self.write(*output);
        let (from, indices) = (self.read(*input), self.read(*indices));
        each(tuples, 0..total(tuples), |_, tuple| {
            // SAFETY: see the module; indices that are not inside are not followed.
            unsafe {
                let start = address(axes, indices.add(tuple[1]), *component);
                each(loops, 0..total(loops), |_, offsets| {
                    *to.add(tuple[0] + offsets[0]) = match start {
                        Some(start) => *from.add(start + offsets[1]),
                        // What an index outside addresses is not a number.
                        None => f32::NAN,
                    };
                });
            }
        });
    }
}
