//! Normalised rows, and maps that are read between their pixels.

use super::{Map, RUN, Run, each, total};
use crate::graph::op::Outside;
use crate::graph::plan::sample::{Deforming, Rows, Sampling, Table};
use crate::kernels::{elementwise, norm};
use crate::team::Member;

/// Four pixels around a place and how much of each.
struct Corners {
    offsets: [usize; 4],
    weights: [f32; 4],
}

impl Corners {
    /// The pixels around column `x` and row `y` of a map of `[height, width]` whose rows and pixels are so far
    /// apart; what lies outside weighs nothing. Absent when all does.
    fn around(x: f32, y: f32, [height, width]: [usize; 2], strides: [usize; 2]) -> Option<Self> {
        // What is not a number spoils the result rather than going unseen.
        if x.is_nan() || y.is_nan() {
            return Some(Self {
                offsets: [0; 4],
                weights: [f32::NAN; 4],
            });
        }
        if x <= -1.0 || y <= -1.0 || x >= width as f32 || y >= height as f32 {
            return None;
        }
        let (left, top) = (x.floor(), y.floor());
        let (right, down) = (x - left, y - top);
        // Whole numbers from -1 to the size.
        let (left, top) = (left as i64, top as i64);
        let inside = |at: i64, size: usize| usize::try_from(at).ok().filter(|&at| at < size);
        let mut corners = Self {
            offsets: [0; 4],
            weights: [0.0; 4],
        };
        for (corner, (dy, dx)) in [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().enumerate() {
            if let (Some(v), Some(u)) = (inside(top + dy, height), inside(left + dx, width)) {
                let part = |step: i64, part: f32| if step == 1 { part } else { 1.0 - part };
                corners.offsets[corner] = v * strides[0] + u * strides[1];
                corners.weights[corner] = part(dy, down) * part(dx, right);
            }
        }
        Some(corners)
    }
}

impl Run<'_> {
    pub(super) fn normalise(&self, member: Member<'_>, index: usize, step: &Rows) {
        let (to, from) = (self.write(step.output), self.read(step.input));
        let least = RUN / step.length + 1;
        self.pieces(member, index, total(&step.loops), least, |piece| {
            each(&step.loops, piece, |_, offsets| {
                // SAFETY: see the module; the planner gives as many factors as a row has elements.
                unsafe {
                    let row = to.add(offsets[0]);
                    row.copy_from_nonoverlapping(from.add(offsets[1]), step.length);
                    norm::layer_norm(
                        self.isa,
                        row,
                        1,
                        step.length,
                        step.gamma.as_ptr(),
                        step.beta.as_ptr(),
                        step.epsilon,
                    );
                }
            });
        });
    }

    pub(super) fn grid_sample(&self, member: Member<'_>, index: usize, step: &Sampling) {
        let Sampling {
            sample,
            input,
            grid,
            output,
        } = step;
        let from = self.read(input.slot);
        let (grid_from, to) = (self.read(grid.slot), self.write(output.slot));
        let [images, rows, columns, channels] = output.shape;
        let [_, height, width, _] = input.shape;
        let coordinate = |value: f32, size: usize| {
            let size = size as f32;
            let at = if sample.align_corners {
                (value + 1.0) / 2.0 * (size - 1.0)
            } else {
                ((value + 1.0) * size - 1.0) / 2.0
            };
            let at = match sample.outside {
                // The bound comes first: what is not a number stays so.
                Outside::Border if at < 0.0 => 0.0,
                Outside::Border if at > size - 1.0 => size - 1.0,
                _ => at,
            };
            if sample.nearest {
                at.round_ties_even()
            } else {
                at
            }
        };
        self.pieces(member, index, images * rows, 1, |piece| {
            for line in piece {
                let (image, row) = (line / rows, line % rows);
                let from = from.wrapping_add(image * input.strides[0]);
                for column in 0..columns {
                    let place = |map: &Map| {
                        image * map.strides[0] + row * map.strides[1] + column * map.strides[2]
                    };
                    // SAFETY: see the module; corners are inside the map.
                    unsafe {
                        let at = grid_from.add(place(grid));
                        let x = coordinate(*at, width);
                        let y = coordinate(*at.add(grid.strides[3]), height);
                        let out = to.add(place(output));
                        let strides = [input.strides[1], input.strides[2]];
                        match Corners::around(x, y, [height, width], strides) {
                            Some(corners) => {
                                let pixels = corners.offsets.map(|offset| from.add(offset));
                                let weights = corners.weights;
                                elementwise::mix(self.isa, out, pixels, weights, channels, false);
                            }
                            None => out.write_bytes(0, channels),
                        }
                    }
                }
            }
        });
    }

    pub(super) fn deformable(&self, member: Member<'_>, index: usize, step: &Deforming) {
        let read = |table: &Table| self.read(table.slot);
        let (values, boxes) = (read(&step.values), read(&step.boxes));
        let (offsets, weights) = (read(&step.offsets), read(&step.weights));
        let to = self.write(step.output.slot);
        let (heads, points) = (step.deformable.heads, step.deformable.points);
        let maps = &step.deformable.maps;
        let width = step.width;
        let count = step.batch * step.queries;
        self.pieces(member, index, count, 1, |piece| {
            for at in piece {
                let (image, query) = (at / step.queries, at % step.queries);
                let row = |table: &Table| image * table.strides[0] + query * table.strides[1];
                // SAFETY: see the module; the shapes were checked against heads, maps and points, and corners
                // are inside their map.
                unsafe {
                    let reference = boxes.add(row(&step.boxes));
                    let [x, y, w, h] = [0, 1, 2, 3].map(|at| *reference.add(at));
                    let mut offset = offsets.add(row(&step.offsets));
                    let mut weight = weights.add(row(&step.weights));
                    let out = to.add(row(&step.output));
                    out.write_bytes(0, heads * width);
                    for head in 0..heads {
                        let out = out.add(head * width);
                        let mut first = 0;
                        for map in maps {
                            let [rows, columns] = *map;
                            let place = image * step.values.strides[0]
                                + first * step.values.strides[1]
                                + head * width;
                            let from = values.add(place);
                            first += rows * columns;
                            let between = step.values.strides[1];
                            for _ in 0..points {
                                let reach = 0.5 / points as f32;
                                let u = x + *offset * reach * w;
                                let v = y + *offset.add(1) * reach * h;
                                let share = *weight;
                                (offset, weight) = (offset.add(2), weight.add(1));
                                let corners = Corners::around(
                                    u * columns as f32 - 0.5,
                                    v * rows as f32 - 0.5,
                                    *map,
                                    [columns * between, between],
                                );
                                if let Some(corners) = corners {
                                    let pixels = corners.offsets.map(|offset| from.add(offset));
                                    let weights = corners.weights.map(|part| part * share);
                                    elementwise::mix(self.isa, out, pixels, weights, width, true);
                                }
                            }
                        }
                    }
                }
            }
        });
    }
}
