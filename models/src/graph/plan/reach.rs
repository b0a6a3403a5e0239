//! Which rows (or columns) of a map each row (or column) of a node's result is made of, for nodes that are local: windows,
//! resized maps, functions, sums, concatenations of channels. Who plans a part of a map asks here.

use super::{Planner, Source};
use crate::graph::execute::by_tiles;
use crate::graph::op::{Function, Op, PoolKind, Window};
use crate::graph::{Node, Value};
use crate::kernels::winograd::TILE;

/// The axis of rows in a map `[batch, rows, columns, channels]`.
pub(super) const ROWS: usize = 1;

/// The axis of columns.
pub(super) const COLUMNS: usize = 2;

/// Which places of an input, along an axis, a place of the result is made of. It is told of rows; columns are alike.
#[derive(Clone, Debug)]
pub(super) enum Reach {
    /// The same.
    Row,
    Window {
        before: usize,
        stride: usize,
        extent: usize,
    },
    Resized(Vec<Source>),
    /// Each row of the input makes so many.
    Spread(usize),
}

impl Reach {
    /// In multiples of how many rows a node makes its result.
    pub(super) fn step(node: &Node) -> usize {
        match &node.op {
            Op::Deconv(deconv) => deconv.size[0],
            Op::Conv(conv) if by_tiles(conv) => TILE,
            _ => 1,
        }
    }

    /// The first row of the input of which result row `row` is made.
    pub(super) fn start(&self, row: usize) -> usize {
        match self {
            Self::Row => row,
            Self::Window { before, stride, .. } => (row * stride).saturating_sub(*before),
            Self::Resized(sources) => sources.get(row).map_or(0, |source| source.low),
            Self::Spread(size) => row / size,
        }
    }

    /// The end of the rows of the input, which has `height`, of which the result's rows before `row` are made.
    pub(super) fn end(&self, row: usize, height: usize) -> usize {
        let Some(last) = row.checked_sub(1) else {
            return 0;
        };
        match self {
            Self::Row => row,
            Self::Window {
                before,
                stride,
                extent,
            } => (last * stride + extent).saturating_sub(*before).min(height),
            Self::Resized(sources) => sources.get(last).map_or(0, |source| source.high + 1),
            Self::Spread(size) => row.div_ceil(*size),
        }
    }

    /// The end of the rows of the result, which has `height`, that are made of any of the input's rows before `row`.
    pub(super) fn touched(&self, row: usize, height: usize) -> usize {
        let mut rows = (0..height).rev();
        rows.find(|&made| self.start(made) < row)
            .map_or(0, |made| made + 1)
    }
}

/// Some places of a result along an axis, as what a node is planned of.
#[derive(Clone, Debug, Default)]
pub(super) struct Stretch {
    /// Padding before those of the input.
    pub(super) before: usize,
    /// Places of the result.
    pub(super) count: usize,
    /// Where those of a resized map come from.
    pub(super) sources: Vec<Source>,
}

impl Stretch {
    /// The rows from `first` to `end` of a result, made of the rows of the input from `start` on.
    pub(super) fn new(reach: &Reach, first: usize, end: usize, start: usize) -> Self {
        let mut stretch = Self {
            before: 0,
            count: end - first,
            sources: Vec::new(),
        };
        match reach {
            Reach::Window { before, stride, .. } => {
                stretch.before = before.saturating_sub(first * stride);
            }
            Reach::Resized(sources) => {
                let sources = sources[first..end].iter();
                stretch.sources = sources
                    .map(|source| Source {
                        low: source.low - start,
                        high: source.high - start,
                        ..*source
                    })
                    .collect();
            }
            Reach::Row | Reach::Spread(_) => {}
        }
        stretch
    }
}

/// The part of a result that is planned, where it is not the whole.
#[derive(Clone, Debug)]
pub(super) struct Strip {
    /// Its rows.
    pub(super) down: Stretch,
    /// Its columns, where they are not all.
    pub(super) right: Option<Stretch>,
}

impl Strip {
    /// What is planned along an axis of maps (0 down, 1 to the right), where that is not all.
    pub(super) fn along(&self, axis: usize) -> Option<&Stretch> {
        match axis {
            0 => Some(&self.down),
            _ => self.right.as_ref(),
        }
    }
}

impl Planner<'_> {
    /// What a node reads along an axis ([`ROWS`], [`COLUMNS`]), and which places of it, if that is so of all that has them.
    pub(super) fn local(&self, node: &Node, axis: usize) -> Option<Vec<(Value, Reach)>> {
        let &[result] = node.outputs.as_slice() else {
            return None;
        };
        let is_map = |value: Value| {
            let shape = self.shape(value);
            shape.len() == 4 && !shape.contains(&0)
        };
        if !is_map(result) || self.known(result).is_some() {
            return None;
        }
        let length = self.shape(result)[axis];
        let &first = node.inputs.first()?;
        let reads = match &node.op {
            Op::Conv(conv) => {
                let window = self.windowed(conv.window, first, length, axis)?;
                let mut reads = vec![(first, window)];
                if let Some(&residual) = super::maps::residual_of(node) {
                    if self.shape(residual) != self.shape(result) {
                        return None;
                    }
                    reads.push((residual, Reach::Row));
                }
                reads
            }
            Op::Pool(pool) if pool.kind != PoolKind::AverageWithPadding => {
                vec![(first, self.windowed(pool.window, first, length, axis)?)]
            }
            // Its kernel writes whole rows.
            Op::Deconv(deconv) if axis == ROWS => vec![(first, Reach::Spread(deconv.size[0]))],
            Op::Resize(resize) => {
                let sources = self.sources(node, resize, axis - ROWS).ok()?;
                vec![(first, Reach::Resized(sources))]
            }
            Op::Map(function) if *function != Function::Identity => vec![(first, Reach::Row)],
            Op::Arithmetic(_) => {
                let mut reads = Vec::new();
                for &value in &node.inputs {
                    let shape = self.shape(value);
                    let missing = 4usize.checked_sub(shape.len())?;
                    let size = axis.checked_sub(missing).map_or(1, |axis| shape[axis]);
                    match size == length && length > 1 {
                        true => reads.push((value, Reach::Row)),
                        // What has one row is the same for all.
                        false if size == 1 => {}
                        false => return None,
                    }
                }
                reads
            }
            Op::Concat { axis: 3 | -1 } => {
                let inputs = node.inputs.iter();
                inputs.map(|&value| (value, Reach::Row)).collect()
            }
            _ => return None,
        };
        // A value has one view while a node is planned.
        let is_one = |(at, (value, reach)): (usize, &(Value, Reach))| {
            reads[..at].iter().all(|(other, before)| {
                other != value || matches!((reach, before), (Reach::Row, Reach::Row))
            })
        };
        let fits = reads.iter().all(|&(value, _)| is_map(value))
            && reads.iter().enumerate().all(is_one)
            && !reads.is_empty();
        fits.then_some(reads)
    }

    /// How a window that makes `outputs` places goes over a map along an axis, if every output sees something of it.
    fn windowed(&self, window: Window, map: Value, outputs: usize, axis: usize) -> Option<Reach> {
        let &length = self.shape(map).get(axis)?;
        let side = axis - ROWS;
        let (before, _, made) = window.fit(side, length)?;
        let (stride, extent) = (
            window.strides[side],
            (window.size[side] - 1) * window.dilations[side] + 1,
        );
        if made != outputs || before >= extent || (made - 1) * stride >= length + before {
            return None;
        }
        if (before, stride, extent) == (0, 1, 1) && made == length {
            return Some(Reach::Row);
        }
        Some(Reach::Window {
            before,
            stride,
            extent,
        })
    }
}
