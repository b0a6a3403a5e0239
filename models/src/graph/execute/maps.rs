//! Windows over maps, and resized maps.

use super::{Run, SHARES, Sums, activation};
use crate::graph::op::{PoolKind, Window};
use crate::graph::plan::{Depthwise, Finish, Map, Pooled, Source, Spread};
use crate::kernels::PackedMatrix;
use crate::kernels::elementwise;
use crate::kernels::matmul::{Left, Right};
use crate::kernels::window::{Axis, Line, MapFilter, Pooling, pool_line};
use crate::kernels::winograd::{Outputs, PRODUCTS, TILE, Tiles, WinogradFilter, gather, spread};
use crate::team::Member;
use std::ops::Range;

/// Elements of a pointwise convolution's map that stay in cache while the weights go by.
const CHUNK: usize = 32 * 1024;

/// Rows of tiles for each member below which members share the outputs of a convolution by tiles, not its rows.
const FEW: usize = 4;

impl Run<'_> {
    pub(super) fn pointwise(
        &self,
        member: Member<'_>,
        index: usize,
        matrix: &PackedMatrix,
        input: &Map,
        output: &Map,
        finish: &Finish,
    ) {
        let (from, to) = (self.read(input.slot), self.write(output.slot));
        let even = [Some(*input), Some(*output), finish.residual]
            .into_iter()
            .flatten()
            .all(|map| map.is_even());
        let [images, height, width, _] = output.shape;
        // All pixels are one line, or every row of the map is.
        let (lines, length) = if even {
            (1, images * height * width)
        } else {
            (images * height, width)
        };
        let piece = |line: usize, pixels: Range<usize>, panels: Range<usize>| {
            let (image, y) = if even {
                (0, 0)
            } else {
                (line / height, line % height)
            };
            let place = |map: &Map| {
                image * map.strides[0] + y * map.strides[1] + pixels.start * map.strides[2]
            };
            let left = Left::rows(from.wrapping_add(place(input)), input.strides[2]);
            let sums = Sums {
                out: to.wrapping_add(place(output)),
                out_row: output.strides[2],
                residual: self.residual(finish, image, y, pixels.start),
                rows: pixels.len(),
            };
            self.product(matrix, left, sums, panels, finish);
        };
        let (k, n, panels) = (matrix.k(), matrix.n(), matrix.panels());
        let members = member.count();
        let pixels = lines * length;
        // Weights that are larger than the map go by once, each member's own.
        let few = members > 1 && pixels < 24 * members;
        if panels >= members && (few || k * n > pixels * (k + n)) {
            return self.pieces(member, index, panels, 1, |panels| {
                for line in 0..lines {
                    piece(line, 0..length, panels.clone());
                }
            });
        }
        let chunk = (CHUNK / (k + n)).clamp(24, 384);
        let chunk = chunk
            .min(pixels.div_ceil(members * SHARES))
            .next_multiple_of(12);
        if lines == 1 {
            let count = length.div_ceil(chunk);
            return self.tasks(member, index, count, |task| {
                // Even pieces rather than a small last one.
                let pixels = length * task / count..length * (task + 1) / count;
                piece(0, pixels, 0..panels);
            });
        }
        let rows = (chunk / length).max(1);
        self.tasks(member, index, lines.div_ceil(rows), |task| {
            for line in task * rows..lines.min((task + 1) * rows) {
                piece(line, 0..length, 0..panels);
            }
        });
    }

    pub(super) fn conv(
        &self,
        member: Member<'_>,
        index: usize,
        conv: &Convolution<'_>,
        most: usize,
    ) {
        let matrix = conv.matrix;
        let [images, rows, columns, _] = conv.output.shape;
        let lines = images * rows;
        let members = member.count();
        let panels = matrix.panels();
        let pixels = lines * columns;
        let map = pixels * (matrix.n() + conv.input.shape[3] * conv.window.strides[0]);
        let by_panels = panels >= members && (matrix.k() * matrix.n() > map || lines < members);
        let (shares, group) = if by_panels && members == 1 {
            (1, rows)
        } else if by_panels {
            (panels.min(2 * members), rows)
        } else {
            (1, rows.div_ceil((members * SHARES).div_ceil(images)))
        };
        // At least enough pixels to be worth the weights going by.
        let group = group.max(48usize.div_ceil(columns)).min(rows);
        let group = if most == 0 { group } else { group.min(most) };
        let groups = rows.div_ceil(group);
        self.tasks(member, index, images * groups * shares, |task| {
            let (place, share) = (task / shares, task % shares);
            let (image, number) = (place / groups, place % groups);
            let ys = rows * number / groups..rows * (number + 1) / groups;
            let panels = panels * share / shares..panels * (share + 1) / shares;
            let scratch = (most > 0).then(|| self.scratch(member));
            self.conv_rows(conv, image, ys, panels, scratch);
        });
    }

    /// Some rows of outputs and some panels of a convolution; `scratch` for its rows of inputs.
    pub(super) fn conv_rows(
        &self,
        conv: &Convolution<'_>,
        image: usize,
        ys: Range<usize>,
        panels: Range<usize>,
        scratch: Option<*mut f32>,
    ) {
        let Convolution {
            matrix,
            window,
            input,
            output,
            finish,
            ..
        } = *conv;
        let channels = input.shape[3];
        let columns = output.shape[2];
        let [down, right] = window.strides;
        let from = self.read(input.slot).wrapping_add(image * input.strides[0]);
        let to = self.write(output.slot);
        let (start, line) = match scratch {
            Some(scratch) => {
                let line = ((columns - 1) * right + window.size[1]) * channels;
                let lines = (ys.len() - 1) * down + window.size[0];
                // SAFETY: the planner made room for as many lines; this member's.
                unsafe {
                    surround(
                        input,
                        conv.before,
                        from,
                        ys.start * down,
                        lines,
                        scratch,
                        line,
                    );
                }
                (scratch.cast_const(), line)
            }
            None => (
                from.wrapping_add(ys.start * down * input.strides[1]),
                input.strides[1],
            ),
        };
        let pixel = if scratch.is_some() {
            channels
        } else {
            input.strides[2]
        };
        for panel in panels {
            for y in ys.clone() {
                let left = Left {
                    start: start.wrapping_add((y - ys.start) * down * line),
                    row: right * pixel,
                    segments: window.size[0],
                    segment: line,
                };
                let sums = Sums {
                    out: to.wrapping_add(image * output.strides[0] + y * output.strides[1]),
                    out_row: output.strides[2],
                    residual: self.residual(finish, image, y, 0),
                    rows: columns,
                };
                self.product(matrix, left, sums, panel..panel + 1, finish);
            }
        }
    }

    pub(super) fn tiled(&self, member: Member<'_>, index: usize, tiling: &Tiling<'_>) {
        let [images, rows, columns, _] = tiling.output.shape;
        let (down, right) = (rows.div_ceil(TILE), columns.div_ceil(TILE));
        let (members, panels) = (member.count(), tiling.filter.panels());
        // Where there are few rows, members share the outputs; each transforms the inputs for itself.
        let shares = match images * down < FEW * members {
            true => members.min(panels),
            false => 1,
        };
        let group = down
            .div_ceil((members * SHARES).div_ceil(images * shares))
            .max(tiling.tiles.div_ceil(right))
            .min(tiling.rows)
            .min(down);
        let groups = down.div_ceil(group);
        self.tasks(member, index, images * groups * shares, |task| {
            let (place, share) = (task / shares, task % shares);
            let (image, number) = (place / groups, place % groups);
            let rows = down * number / groups..down * (number + 1) / groups;
            let panels = panels * share / shares..panels * (share + 1) / shares;
            self.rows_of_tiles(tiling, image, rows, panels, self.scratch(member));
        });
    }

    /// Some rows of tiles and some panels of their outputs.
    fn rows_of_tiles(
        &self,
        tiling: &Tiling<'_>,
        image: usize,
        rows: Range<usize>,
        panels: Range<usize>,
        scratch: *mut f32,
    ) {
        let Tiling {
            filter,
            before,
            input,
            output,
            finish,
            ..
        } = *tiling;
        let channels = input.shape[3];
        let [_, height, width, outputs] = output.shape;
        let right = width.div_ceil(TILE);
        let line = (TILE * right + 2) * channels;
        let lines = TILE * rows.len() + 2;
        let from = self.read(input.slot).wrapping_add(image * input.strides[0]);
        let to = self
            .write(output.slot)
            .wrapping_add(image * output.strides[0]);
        // SAFETY: the planner made room for as many lines, the tiles and their products; all is this member's.
        unsafe { surround(input, before, from, TILE * rows.start, lines, scratch, line) };
        let transformed = scratch.wrapping_add(lines * line);
        let all = rows.len() * right;
        for start in (0..all).step_by(tiling.tiles) {
            let count = tiling.tiles.min(all - start);
            let made = transformed.wrapping_add(PRODUCTS * count * channels);
            // The tiles of each row among them: the row, its first tile, how many, and how many are before them.
            let runs = (start / right..=(start + count - 1) / right).map(|row| {
                let first = start.max(row * right);
                let end = (start + count).min((row + 1) * right);
                (row, first - row * right, end - first, first - start)
            });
            for (row, first, count_here, done) in runs.clone() {
                let at = |y: usize| {
                    let offset = (TILE * row + y) * line + TILE * first * channels;
                    scratch.wrapping_add(offset).cast_const()
                };
                let tiles = Tiles {
                    rows: [at(0), at(1), at(2), at(3)],
                    channels,
                    count: count_here,
                };
                let out = transformed.wrapping_add(done * channels);
                // SAFETY: as above; lines have two pixels more than tiles have columns.
                unsafe { spread(filter.isa(), tiles, out, count * channels) };
            }
            let across = filter.panel_width();
            for panel in panels.clone() {
                // SAFETY: as above.
                unsafe { filter.multiply(transformed, count, panel, made) };
                let first_output = panel * across;
                let these = first_output..outputs.min(first_output + across);
                for (row, first, count_here, done) in runs.clone() {
                    let x = TILE * first;
                    let columns = (TILE * count_here).min(width - x);
                    let y = TILE * (rows.start + row);
                    let at = |y: usize| {
                        let offset = y * output.strides[1] + x * output.strides[2];
                        to.wrapping_add(offset + first_output)
                    };
                    let written = [Some(y), Some(y + 1).filter(|&y| y < height)];
                    let part = Outputs {
                        rows: written.map(|y| y.map_or(std::ptr::null_mut(), at)),
                        pixel: output.strides[2],
                        columns,
                        channels: these.len(),
                    };
                    let from = made.wrapping_add(done * across).cast_const();
                    // SAFETY: as above, and the outputs are this task's.
                    unsafe { gather(filter.isa(), from, count * across, across, part) };
                    for y in written.into_iter().flatten() {
                        let sums = Sums {
                            out: at(y),
                            out_row: output.strides[2],
                            residual: self.residual(finish, image, y, x),
                            rows: columns,
                        };
                        self.finish_all(finish, sums, these.clone());
                    }
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn unfolded(
        &self,
        member: Member<'_>,
        index: usize,
        matrices: &[PackedMatrix],
        window: &Window,
        before: [usize; 2],
        groups: usize,
        input: &Map,
        output: &Map,
        finish: &Finish,
    ) {
        let [_, height, width, channels] = input.shape;
        let depth = channels / groups;
        let [_, rows, columns, outputs] = output.shape;
        let own = outputs / groups;
        let (from, to) = (self.read(input.slot), self.write(output.slot));
        self.tasks(member, index, output.shape[0] * rows, |task| {
            let (image, y) = (task / rows, task % rows);
            let scratch = self.scratch(member);
            let out = to.wrapping_add(image * output.strides[0] + y * output.strides[1]);
            let from = from.wrapping_add(image * input.strides[0]);
            for (group, matrix) in matrices.iter().enumerate() {
                let mut at = scratch;
                for x in 0..columns {
                    for tap_y in 0..window.size[0] {
                        let v = (y * window.strides[0] + tap_y * window.dilations[0])
                            .checked_sub(before[0])
                            .filter(|&v| v < height);
                        for tap_x in 0..window.size[1] {
                            let u = (x * window.strides[1] + tap_x * window.dilations[1])
                                .checked_sub(before[1])
                                .filter(|&u| u < width);
                            // SAFETY: see the module; the planner made room for a row of unfolded windows.
                            unsafe {
                                match v.zip(u) {
                                    Some((v, u)) => at.copy_from_nonoverlapping(
                                        from.add(
                                            v * input.strides[1]
                                                + u * input.strides[2]
                                                + group * depth,
                                        ),
                                        depth,
                                    ),
                                    None => at.write_bytes(0, depth),
                                }
                                at = at.add(depth);
                            }
                        }
                    }
                }
                let right = Right {
                    start: out.wrapping_add(group * own),
                    row: output.strides[2],
                    residual: None,
                    activation: activation(&finish.first).unwrap_or_default(),
                };
                let left = Left::rows(scratch, matrix.k());
                // SAFETY: see the module.
                unsafe { matrix.multiply(left, columns, 0..matrix.panels(), right) };
            }
            let sums = Sums {
                out,
                out_row: output.strides[2],
                residual: self.residual(finish, image, y, 0),
                rows: columns,
            };
            self.finish(finish, sums, 0..outputs);
        });
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn resize(
        &self,
        member: Member<'_>,
        index: usize,
        nearest: bool,
        rows: &[Source],
        columns: &[Source],
        input: &Map,
        output: &Map,
    ) {
        let channels = input.shape[3];
        let (from, to) = (self.read(input.slot), self.write(output.slot));
        let lines = output.shape[0] * output.shape[1];
        self.pieces(member, index, lines, 1, |piece| {
            for line in piece {
                let (image, y) = (line / output.shape[1], line % output.shape[1]);
                let from = from.wrapping_add(image * input.strides[0]);
                let to = to.wrapping_add(image * output.strides[0] + y * output.strides[1]);
                let row = rows[y];
                let at = |v: usize, u: usize| {
                    from.wrapping_add(v * input.strides[1] + u * input.strides[2])
                };
                for (x, column) in columns.iter().enumerate() {
                    let out = to.wrapping_add(x * output.strides[2]);
                    // SAFETY: see the module; sources are inside the input.
                    unsafe {
                        if nearest {
                            out.copy_from_nonoverlapping(at(row.low, column.low), channels);
                        } else {
                            let corners = [
                                at(row.low, column.low),
                                at(row.low, column.high),
                                at(row.high, column.low),
                                at(row.high, column.high),
                            ];
                            let weights = [column.weight, row.weight];
                            elementwise::blend(self.isa, out, corners, weights, channels);
                        }
                    }
                }
            }
        });
    }

    pub(super) fn depthwise(
        &self,
        member: Member<'_>,
        index: usize,
        filter: &MapFilter,
        step: &Depthwise,
    ) {
        let Depthwise {
            down,
            right,
            input,
            output,
            finish,
        } = step;
        let line = self.line(*down, *right, input, output);
        let channels = output.shape[3];
        let rows = output.shape[0] * output.shape[1];
        let first = activation(&finish.first).unwrap_or_default();
        let work = |row: usize, channels: Range<usize>| {
            let line = line(row);
            // SAFETY: see the module; the axes are those of the map.
            unsafe { filter.line(line, channels.clone(), first) };
            self.finish(
                finish,
                Sums {
                    out: line.output.wrapping_add(channels.start),
                    out_row: line.output_pixel,
                    residual: self.residual(
                        finish,
                        row / output.shape[1],
                        row % output.shape[1],
                        0,
                    ),
                    rows: line.width,
                },
                channels.clone(),
            );
        };
        if rows >= 2 * member.count() {
            self.pieces(member, index, rows, 1, |piece| {
                for row in piece {
                    work(row, 0..channels);
                }
            });
        } else {
            self.pieces(member, index, channels.div_ceil(16), 1, |piece| {
                let channels = piece.start * 16..channels.min(piece.end * 16);
                for row in 0..rows {
                    work(row, channels.clone());
                }
            });
        }
    }

    pub(super) fn deconv(
        &self,
        member: Member<'_>,
        index: usize,
        matrices: &[PackedMatrix],
        step: &Spread,
    ) {
        let Spread {
            size,
            input,
            output,
            finish,
        } = step;
        let [_, height, width, _] = input.shape;
        let (from, to) = (self.read(input.slot), self.write(output.slot));
        let channels = output.shape[3];
        self.pieces(member, index, input.shape[0] * height, 1, |piece| {
            for row in piece {
                let (image, y) = (row / height, row % height);
                let left = Left::rows(
                    from.wrapping_add(image * input.strides[0] + y * input.strides[1]),
                    input.strides[2],
                );
                for (dy, matrix) in matrices.iter().enumerate() {
                    let out = to.wrapping_add(
                        image * output.strides[0] + (y * size[0] + dy) * output.strides[1],
                    );
                    let right = Right {
                        start: out,
                        row: size[1] * output.strides[2],
                        residual: None,
                        activation: activation(&finish.first).unwrap_or_default(),
                    };
                    let sums = Sums {
                        out,
                        out_row: output.strides[2],
                        residual: None,
                        rows: width * size[1],
                    };
                    // SAFETY: see the module; the result is dense, so that the values under one input
                    // pixel are one run in every row.
                    unsafe { matrix.multiply(left, width, 0..matrix.panels(), right) };
                    self.finish(finish, sums, 0..channels);
                }
            }
        });
    }

    pub(super) fn pool(&self, member: Member<'_>, index: usize, step: &Pooled) {
        let Pooled {
            kind,
            down,
            right,
            input,
            output,
        } = step;
        let line = self.line(*down, *right, input, output);
        let pooling = match kind {
            PoolKind::Max => Pooling::Max,
            PoolKind::Average => Pooling::Mean { all: false },
            PoolKind::AverageWithPadding => Pooling::Mean { all: true },
        };
        let rows = output.shape[0] * output.shape[1];
        self.pieces(member, index, rows, 1, |piece| {
            for row in piece {
                // SAFETY: see the module; the axes are those of the map.
                unsafe { pool_line(self.isa, pooling, line(row), output.shape[3]) };
            }
        });
    }

    /// The rows of a window's outputs.
    fn line<'b>(
        &'b self,
        down: Axis,
        right: Axis,
        input: &'b Map,
        output: &'b Map,
    ) -> impl Fn(usize) -> Line + 'b {
        let (from, to) = (self.read(input.slot), self.write(output.slot));
        move |row| {
            let (image, y) = (row / output.shape[1], row % output.shape[1]);
            Line {
                input: from.wrapping_add(image * input.strides[0]),
                row: input.strides[1],
                pixel: input.strides[2],
                down,
                right,
                y,
                output: to.wrapping_add(image * output.strides[0] + y * output.strides[1]),
                output_pixel: output.strides[2],
                width: output.shape[2],
            }
        }
    }
}

/// A convolution's step.
#[derive(Clone, Copy)]
pub(super) struct Convolution<'a> {
    pub(super) matrix: &'a PackedMatrix,
    pub(super) window: &'a Window,
    pub(super) before: [usize; 2],
    pub(super) input: &'a Map,
    pub(super) output: &'a Map,
    pub(super) finish: &'a Finish,
}

/// The step of a convolution by tiles.
#[derive(Clone, Copy)]
pub(super) struct Tiling<'a> {
    pub(super) filter: &'a WinogradFilter,
    pub(super) before: [usize; 2],
    pub(super) input: &'a Map,
    pub(super) output: &'a Map,
    pub(super) finish: &'a Finish,
    /// Rows of tiles that go together at most.
    pub(super) rows: usize,
    /// Tiles whose transformed inputs are there at a time.
    pub(super) tiles: usize,
}

/// Copies `lines` rows of the map (the first is row `first` of the padded map) with what surrounds them.
///
/// # Safety
/// `from` is the first value of the image, `to` has room for `lines` rows of `line` elements.
unsafe fn surround(
    input: &Map,
    before: [usize; 2],
    from: *const f32,
    first: usize,
    lines: usize,
    to: *mut f32,
    line: usize,
) {
    let [_, height, width, channels] = input.shape;
    let [_, row, pixel, step] = input.strides;
    let left = (before[1] * channels).min(line);
    let inside = (width * channels).min(line - left);
    for number in 0..lines {
        let y = (first + number).checked_sub(before[0]);
        // SAFETY: the caller's promise; `inside` elements are whole pixels of the map's width.
        unsafe {
            let to = to.add(number * line);
            let Some(y) = y.filter(|&y| y < height) else {
                to.write_bytes(0, line);
                continue;
            };
            let from = from.add(y * row);
            to.write_bytes(0, left);
            let to = to.add(left);
            if step == 1 && pixel == channels {
                to.copy_from_nonoverlapping(from, inside);
            } else if step == 1 {
                for x in 0..inside / channels {
                    to.add(x * channels)
                        .copy_from_nonoverlapping(from.add(x * pixel), channels);
                }
            } else {
                for channel in 0..channels {
                    let from = from.add(channel * step);
                    for x in 0..inside / channels {
                        *to.add(x * channels + channel) = *from.add(x * pixel);
                    }
                }
            }
            to.add(inside).write_bytes(0, line - left - inside);
        }
    }
}
