//! The network on the CPU, written for speed.
//!
//! Images are channels last, so that a 1x1 convolution is a matrix product over pixels and a depthwise one
//! runs its vectors along the channels. What the depthwise convolution reads is written with its padding
//! already around it. On large maps each member takes rows and keeps a few rows of the depthwise result in
//! cache until they are projected; on small ones, where the weights are larger than the maps, it takes
//! channels. A batch of at least as many images as members gives each member whole images.

use super::{
    BlockShape, FEATURES, INPUT, LAST, Predictions, SIDE, STEM, blocks, folded, layer, same_padding,
};
use crate::error::{Error, Result};
use crate::kernels::depthwise::{DepthwiseFilter, Row};
use crate::kernels::matmul::{Left, Right};
use crate::kernels::shared::SharedSlice;
use crate::kernels::{Activation, AlignedVec, Isa, PackedMatrix};
use crate::team::{Member, Team};
use escala_weights::Tensors;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Pixels that go through the depthwise and the projecting convolution together.
const GROUP: usize = 96;

/// Workspaces kept for the next batch.
const KEPT_WORKSPACES: usize = 8;

/// The network with packed weights.
pub(super) struct Network {
    stem: PackedMatrix,
    blocks: Vec<Block>,
    head: PackedMatrix,
    classes: PackedMatrix,
    sizes: Sizes,
    workspaces: Mutex<Vec<Workspace>>,
}

struct Block {
    shape: BlockShape,
    expand: Option<PackedMatrix>,
    depthwise: DepthwiseFilter,
    project: PackedMatrix,
    /// Side of the input map.
    input: usize,
    /// Side of the output map.
    output: usize,
    /// Rows and columns of zeros before the padded map.
    before: usize,
    /// Side of the padded map.
    padded: usize,
}

/// Largest buffers any block needs, in elements.
#[derive(Clone, Copy, Default)]
struct Sizes {
    map: usize,
    padded: usize,
    depthwise: usize,
    /// One member's group of depthwise rows.
    group: usize,
}

/// Buffers of one image, reused by the next.
#[derive(Default)]
struct Workspace {
    image: AlignedVec,
    maps: [AlignedVec; 2],
    padded: AlignedVec,
    depthwise: AlignedVec,
    groups: AlignedVec,
    head: AlignedVec,
}

/// The buffers as the members of the team see them.
#[derive(Clone, Copy)]
struct Buffers<'a> {
    /// The padded image, `[225, 225, 3]`.
    image: SharedSlice<'a>,
    maps: [SharedSlice<'a>; 2],
    padded: SharedSlice<'a>,
    depthwise: SharedSlice<'a>,
    groups: SharedSlice<'a>,
    head: SharedSlice<'a>,
    /// `[FEATURES]`
    features: SharedSlice<'a>,
    /// `[classes]`
    logits: SharedSlice<'a>,
}

impl Network {
    pub(super) fn new(tensors: &Tensors) -> Result<Self> {
        let isa = Isa::best();
        let pointwise =
            |conv: &str, norm: &str, outputs: usize, inputs: usize| -> Result<PackedMatrix> {
                let conv = folded(tensors, conv, norm, [outputs, inputs, 1, 1])?;
                Ok(PackedMatrix::from_outputs(
                    &conv.weight,
                    &conv.bias,
                    outputs,
                    inputs,
                    isa,
                ))
            };
        let stem = folded(tensors, "_conv_stem", "_bn0", [STEM, 3, 3, 3])?;
        // The order in which a channels-last image is read: row of the filter, column, channel.
        let stem = PackedMatrix::pack(STEM, 27, &stem.bias, isa, |k, output| {
            let (y, x, channel) = (k / 9, k / 3 % 3, k % 3);
            stem.weight[((output * 3 + channel) * 3 + y) * 3 + x]
        });
        let mut side = SIDE / 2;
        let mut sizes = Sizes::default();
        let mut packed = Vec::new();
        for (index, shape) in blocks().into_iter().enumerate() {
            let at = |name: &str| format!("_blocks.{index}.{name}");
            let inner = shape.inner();
            let expand = (shape.expand > 1)
                .then(|| pointwise(&at("_expand_conv"), &at("_bn0"), inner, shape.inputs))
                .transpose()?;
            let filters = folded(
                tensors,
                &at("_depthwise_conv"),
                &at("_bn1"),
                [inner, 1, shape.side, shape.side],
            )?;
            let depthwise = DepthwiseFilter::new(
                &filters.weight,
                &filters.bias,
                shape.side,
                shape.stride,
                isa,
            )
            .map_err(|error| Error::unsupported(error.to_string()))?;
            let project = pointwise(&at("_project_conv"), &at("_bn2"), shape.outputs, inner)?;
            let (before, after, output) = same_padding(side, shape.side, shape.stride);
            let padded = before + side + after;
            sizes.map = sizes.map.max(output * output * shape.outputs);
            sizes.padded = sizes.padded.max(padded * padded * inner);
            sizes.depthwise = sizes.depthwise.max(if output < 14 {
                output * output * inner
            } else {
                0
            });
            sizes.group = sizes.group.max(group_rows(output) * output * inner);
            packed.push(Block {
                shape,
                expand,
                depthwise,
                project,
                input: side,
                output,
                before,
                padded,
            });
            side = output;
        }
        let (fc, classes) = layer(tensors)?;
        Ok(Self {
            stem,
            blocks: packed,
            head: pointwise("_conv_head", "_bn1", FEATURES, LAST)?,
            classes: PackedMatrix::from_outputs(&fc.weight, &fc.bias, classes, FEATURES, isa),
            sizes,
            workspaces: Mutex::default(),
        })
    }

    pub(super) fn classes(&self) -> usize {
        self.classes.n()
    }

    pub(super) fn memory(&self) -> u64 {
        let blocks: u64 = self
            .blocks
            .iter()
            .map(|b| {
                b.expand.as_ref().map_or(0, PackedMatrix::bytes)
                    + b.depthwise.bytes()
                    + b.project.bytes()
            })
            .sum();
        blocks + self.stem.bytes() + self.head.bytes() + self.classes.bytes()
    }

    pub(super) fn forward(&self, team: &Team, images: &[f32]) -> Predictions {
        let (count, classes) = (images.len() / INPUT, self.classes());
        let mut logits = vec![0f32; count * classes];
        let mut features = vec![0f32; count * FEATURES];
        {
            let (logits, features) = (
                SharedSlice::new(&mut logits),
                SharedSlice::new(&mut features),
            );
            let image = |index: usize| &images[index * INPUT..(index + 1) * INPUT];
            // SAFETY: each image has its own part of both results, and each index is taken once.
            let answer = |index: usize| unsafe {
                (
                    part(logits, index * classes, classes),
                    part(features, index * FEATURES, FEATURES),
                )
            };
            let alone = count / team.threads() * team.threads();
            let next = AtomicUsize::new(0);
            if team.threads() > 1 && alone > 0 {
                team.run(|_| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= alone {
                            return;
                        }
                        let (logits, features) = answer(index);
                        self.with_buffers(1, logits, features, |buffers| {
                            self.run(Member::SOLO, image(index), buffers)
                        });
                    }
                });
            }
            for index in if team.threads() > 1 { alone } else { 0 }..count {
                let (logits, features) = answer(index);
                self.with_buffers(team.threads(), logits, features, |buffers| {
                    team.run(|member| self.run(member, image(index), buffers));
                });
            }
        }
        Predictions { logits, features }
    }

    /// Calls `work` with buffers for a team of `members`.
    fn with_buffers(
        &self,
        members: usize,
        logits: &mut [f32],
        features: &mut [f32],
        work: impl FnOnce(Buffers<'_>),
    ) {
        let pool = || {
            self.workspaces
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let mut workspace = pool().pop().unwrap_or_default();
        workspace.image.reserve_len((SIDE + 1) * (SIDE + 1) * 3);
        workspace.padded.reserve_len(self.sizes.padded);
        workspace.depthwise.reserve_len(self.sizes.depthwise);
        workspace.groups.reserve_len(self.sizes.group * members);
        workspace.head.reserve_len(7 * 7 * FEATURES);
        let [even, odd] = &mut workspace.maps;
        even.reserve_len(self.sizes.map);
        odd.reserve_len(self.sizes.map);
        work(Buffers {
            image: SharedSlice::new(&mut workspace.image),
            maps: [SharedSlice::new(even), SharedSlice::new(odd)],
            padded: SharedSlice::new(&mut workspace.padded),
            depthwise: SharedSlice::new(&mut workspace.depthwise),
            groups: SharedSlice::new(&mut workspace.groups),
            head: SharedSlice::new(&mut workspace.head),
            features: SharedSlice::new(features),
            logits: SharedSlice::new(logits),
        });
        let mut pool = pool();
        if pool.len() < KEPT_WORKSPACES {
            pool.push(workspace);
        }
    }

    /// One member's part of one image.
    fn run(&self, member: Member<'_>, image: &[f32], buffers: Buffers<'_>) {
        // The image with a row and a column of zeros after it.
        let padded = SIDE + 1;
        for y in member.slice(padded, 1) {
            let row = buffers.image.at(y * padded * 3, padded * 3);
            // SAFETY: the row is inside the buffer (checked by `at`) and belongs to this member.
            unsafe {
                if y < SIDE {
                    row.copy_from_nonoverlapping(image[y * SIDE * 3..].as_ptr(), SIDE * 3);
                    row.add(SIDE * 3).write_bytes(0, 3);
                } else {
                    row.write_bytes(0, padded * 3);
                }
            }
        }
        member.barrier();
        self.stem(member, buffers);
        let mut current = 0;
        for block in &self.blocks {
            let [from, to] = if current == 0 {
                buffers.maps
            } else {
                [buffers.maps[1], buffers.maps[0]]
            };
            let to = if block.shape.residual() { from } else { to };
            if let Some(expand) = &block.expand {
                member.barrier();
                block.expand(member, expand, from, buffers.padded);
            }
            member.barrier();
            if block.output < 14 || block.output < 4 * member.count() {
                block.contract_by_channels(member, buffers, to);
            } else {
                block.contract_by_rows(member, buffers, to);
            }
            if !block.shape.residual() {
                current = 1 - current;
            }
        }
        member.barrier();
        self.classify(member, buffers, buffers.maps[current]);
    }

    /// The first convolution, written with the padding of the first block.
    fn stem(&self, member: Member<'_>, buffers: Buffers<'_>) {
        let first = &self.blocks[0];
        let image_row = (SIDE + 1) * 3;
        first.padded_rows(member, buffers.padded, STEM, |y, out| {
            let needed = 2 * image_row + (2 * first.input + 1) * 3;
            let left = Left {
                start: buffers.image.at(2 * y * image_row, needed).cast_const(),
                row: 6,
                segments: 3,
                segment: image_row,
            };
            let right = Right {
                start: out,
                row: STEM,
                residual: None,
                activation: Activation::Relu6,
            };
            // SAFETY: three rows of the padded image under the filter, and one row of outputs.
            unsafe {
                self.stem
                    .multiply(left, first.input, 0..self.stem.panels(), right)
            };
        });
    }

    /// The last convolution, pooling and the classes.
    fn classify(&self, member: Member<'_>, buffers: Buffers<'_>, map: SharedSlice<'_>) {
        let pixels = 7 * 7;
        let panels = member.slice(self.head.panels(), 1);
        let channels = panels.start * self.head.panel_width()
            ..FEATURES.min(panels.end * self.head.panel_width());
        let left = Left::rows(map.at(0, pixels * LAST).cast_const(), LAST);
        let head = buffers.head.at(0, pixels * FEATURES);
        let features = buffers.features.at(0, FEATURES);
        let right = Right {
            start: head,
            row: FEATURES,
            residual: None,
            activation: Activation::Relu6,
        };
        // SAFETY: the buffers cover all pixels (checked by `at`); each member writes its own channels.
        unsafe {
            self.head.multiply(left, pixels, panels, right);
            for channel in channels {
                let mut sum = 0.0;
                for pixel in 0..pixels {
                    sum += *head.add(pixel * FEATURES + channel);
                }
                *features.add(channel) = sum / pixels as f32;
            }
        }
        member.barrier();
        let start = buffers.logits.at(0, self.classes());
        let right = Right {
            start,
            row: self.classes(),
            residual: None,
            activation: Activation::None,
        };
        // SAFETY: one row of features, one row of classes, each member its own panels.
        unsafe {
            self.classes.multiply(
                Left::rows(features, FEATURES),
                1,
                member.slice(self.classes.panels(), 1),
                right,
            )
        };
    }
}

/// Rows of a map of this width that make a group.
fn group_rows(width: usize) -> usize {
    (GROUP / width).max(1)
}

impl Block {
    /// Calls `fill(y, out)` for this member's rows of the map, with everything around them zeroed.
    fn padded_rows(
        &self,
        member: Member<'_>,
        padded: SharedSlice<'_>,
        channels: usize,
        fill: impl Fn(usize, *mut f32),
    ) {
        let row = self.padded * channels;
        for y in member.slice(self.padded, 1) {
            let start = padded.at(y * row, row);
            // SAFETY: the row is inside the buffer (checked by `at`) and belongs to this member.
            unsafe {
                if y < self.before || y >= self.before + self.input {
                    start.write_bytes(0, row);
                    continue;
                }
                start.write_bytes(0, self.before * channels);
                let end = (self.before + self.input) * channels;
                start.add(end).write_bytes(0, row - end);
                fill(y - self.before, start.add(self.before * channels));
            }
        }
    }

    fn expand(
        &self,
        member: Member<'_>,
        expand: &PackedMatrix,
        from: SharedSlice<'_>,
        padded: SharedSlice<'_>,
    ) {
        let (inputs, inner, width) = (self.shape.inputs, self.shape.inner(), self.input);
        let row = |y: usize, panels, out: *mut f32| {
            let left = Left::rows(
                from.at(y * width * inputs, width * inputs).cast_const(),
                inputs,
            );
            let right = Right {
                start: out,
                row: inner,
                residual: None,
                activation: Activation::Relu6,
            };
            // SAFETY: one row of the map and one of the padded map, which is this member's, or whose
            // panels are.
            unsafe { expand.multiply(left, width, panels, right) };
        };
        if self.input >= 14 {
            return self.padded_rows(member, padded, inner, |y, out| {
                row(y, 0..expand.panels(), out)
            });
        }
        // A small map: zero the frame by rows, then fill the inside by columns of the product, so that a
        // panel of weights is read once for the whole map.
        let frame = |y: usize| y < self.before || y >= self.before + self.input;
        for y in member.slice(self.padded, 1) {
            let start = padded.at(y * self.padded * inner, self.padded * inner);
            // SAFETY: inside the buffer (checked by `at`); the inside of the map is not touched here.
            unsafe {
                if frame(y) {
                    start.write_bytes(0, self.padded * inner);
                } else {
                    let end = (self.before + self.input) * inner;
                    start.write_bytes(0, self.before * inner);
                    start.add(end).write_bytes(0, self.padded * inner - end);
                }
            }
        }
        for panel in member.slice(expand.panels(), 1) {
            for y in 0..self.input {
                let at = ((y + self.before) * self.padded + self.before) * inner;
                row(y, panel..panel + 1, padded.at(at, width * inner));
            }
        }
    }

    /// One row of the depthwise convolution for some of the channels.
    fn depthwise_row(
        &self,
        padded: SharedSlice<'_>,
        y: usize,
        channels: std::ops::Range<usize>,
        output: *mut f32,
    ) {
        let inner = self.shape.inner();
        let input_row = self.padded * inner;
        let row = Row {
            input: padded
                .at(
                    y * self.shape.stride * input_row,
                    self.shape.side * input_row,
                )
                .cast_const(),
            input_row,
            pixel: inner,
            output,
            width: self.output,
        };
        // SAFETY: the rows under the filter are inside the buffer (checked by `at`) and wide enough for
        // every output by the definition of the padding; the caller owns the output.
        unsafe {
            self.depthwise
                .row(row, channels.start, channels.end, Activation::Relu6)
        };
    }

    /// Depthwise and projection, a group of rows at a time.
    fn contract_by_rows(&self, member: Member<'_>, buffers: Buffers<'_>, to: SharedSlice<'_>) {
        let (inner, outputs, width) = (self.shape.inner(), self.shape.outputs, self.output);
        let rows = group_rows(width);
        let size = rows * width * inner;
        let group = buffers.groups.at(member.index() * size, size);
        let mine = member.slice(self.output, 1);
        for start in mine.clone().step_by(rows) {
            let count = rows.min(mine.end - start);
            for y in 0..count {
                // SAFETY: `group` holds `rows` rows and belongs to this member.
                self.depthwise_row(buffers.padded, start + y, 0..inner, unsafe {
                    group.add(y * width * inner)
                });
            }
            let pixels = count * width;
            let out = to.at(start * width * outputs, pixels * outputs);
            self.project(
                Left::rows(group, inner),
                pixels,
                0..self.project.panels(),
                out,
            );
        }
    }

    /// Depthwise and projection, each member some of the channels.
    fn contract_by_channels(&self, member: Member<'_>, buffers: Buffers<'_>, to: SharedSlice<'_>) {
        let (inner, width) = (self.shape.inner(), self.output);
        let pixels = width * width;
        // On many members a larger map comes here too: the padded depthwise buffer may be too small then.
        let whole = if pixels * inner <= buffers.depthwise.len() {
            buffers.depthwise
        } else {
            buffers.groups
        };
        let depthwise = whole.at(0, pixels * inner);
        let channels = member.slice(inner, 16);
        for y in 0..self.output {
            // SAFETY: row `y` is inside the buffer; each member writes its own channels of it.
            self.depthwise_row(buffers.padded, y, channels.clone(), unsafe {
                depthwise.add(y * width * inner)
            });
        }
        member.barrier();
        let out = to.at(0, pixels * self.shape.outputs);
        self.project(
            Left::rows(depthwise, inner),
            pixels,
            member.slice(self.project.panels(), 1),
            out,
        );
    }

    fn project(&self, left: Left, pixels: usize, panels: std::ops::Range<usize>, out: *mut f32) {
        let outputs = self.shape.outputs;
        let residual = self.shape.residual().then_some((out.cast_const(), outputs));
        let right = Right {
            start: out,
            row: outputs,
            residual,
            activation: Activation::None,
        };
        // SAFETY: the callers give `pixels` rows on both sides and panels or rows of their own; the
        // residual is the result's own place.
        unsafe { self.project.multiply(left, pixels, panels, right) };
    }
}

/// A part of a shared slice as a slice.
///
/// # Safety
/// Nobody else touches the part while it lives.
unsafe fn part<'a>(slice: SharedSlice<'a>, offset: usize, len: usize) -> &'a mut [f32] {
    // SAFETY: inside the slice (checked by `at`), exclusive by the caller's promise.
    unsafe { std::slice::from_raw_parts_mut(slice.at(offset, len), len) }
}
