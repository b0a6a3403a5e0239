//! The network on the CPU, written for speed.
//!
//! Texts are sorted by length and worked on in groups, both directions of a group by themselves: whoever is free
//! takes the next. The inputs of all words of a group are projected by one product; then its rows go through time
//! in step, so that a step reads the recurrent weights once for all of them ([`crate::kernels::lstm`]).
//!
//! Blanks stand before the words. Forwards they come first, when no word has been seen: the states after every number
//! of them are the same for every text and are computed once, when the network is loaded. Backwards they come
//! last, after the words; there a row is done as soon as a blank leaves its state as it was, to the last bit, because
//! every further blank would do the same. Neither changes a bit of the result.

use super::{Direction, EMBEDDING, HIDDEN, LABELS, STEPS, Scores, UNITS, Weights};
use crate::kernels::lstm::{Cell, Rows};
use crate::kernels::matmul::{Left, Right};
use crate::kernels::shared::SharedSlice;
use crate::kernels::{Activation, AlignedVec, Isa, PackedMatrix};
use crate::team::Team;
use std::sync::{Mutex, PoisonError};

/// Rows of a group: two register tiles, whose projected inputs stay in the second-level cache.
const GROUP: usize = 8;

/// Workspaces kept for the next batch.
const KEPT_WORKSPACES: usize = 8;

pub(super) struct Network {
    /// `[words, EMBEDDING]`
    embedding: AlignedVec,
    /// Forward, backward.
    layers: [Layer; 2],
    /// The states after 0 to [`STEPS`] blanks, forwards.
    lead: Lead,
    dense: PackedMatrix,
    output: PackedMatrix,
    workspaces: Mutex<Vec<Workspace>>,
}

struct Layer {
    input: PackedMatrix,
    cell: Cell,
    /// The projected input of a blank.
    blank: AlignedVec,
}

/// States after each number of blanks, `[STEPS + 1, padded]`.
struct Lead {
    hidden: AlignedVec,
    memory: AlignedVec,
    peak: AlignedVec,
}

/// Buffers of one direction of a group, reused by the next.
#[derive(Default)]
struct Workspace {
    /// Embeddings of the words, `[words, EMBEDDING]`.
    words: AlignedVec,
    /// The same projected, `[words, width]`.
    inputs: AlignedVec,
    /// Hidden states before and after a step, memory and peak: `[4, GROUP, padded]`.
    states: AlignedVec,
}

/// The rows of a group, longest first, and where the inputs of each step are.
struct Group<'a> {
    /// Place in the batch and words of each row.
    rows: &'a [(usize, &'a [u32])],
}

impl Group<'_> {
    /// Rows that have a word at this step; they are the first ones.
    fn active(&self, step: usize) -> usize {
        let blanks = |words: &[u32]| STEPS - words.len();
        self.rows
            .partition_point(|(_, words)| blanks(words) <= step)
    }

    /// The words of the group, step by step.
    fn words(&self) -> impl Iterator<Item = u32> {
        (0..STEPS).flat_map(move |step| {
            let active = &self.rows[..self.active(step)];
            active
                .iter()
                .map(move |(_, words)| words[step + words.len() - STEPS])
        })
    }
}

impl Layer {
    fn new(direction: &Direction<'_>, blank: &[f32], isa: Isa) -> Self {
        let cell = Cell::new(&direction.recurrent, UNITS, isa);
        let width = cell.width();
        let column = |at: usize| cell.place(at).map(|(gate, unit)| gate * UNITS + unit);
        let bias: Vec<f32> = (0..width)
            .map(|at| column(at).map_or(0.0, |column| direction.bias[column]))
            .collect();
        let input = PackedMatrix::pack(width, EMBEDDING, &bias, isa, |row, at| {
            column(at).map_or(0.0, |column| direction.kernel[row * 4 * UNITS + column])
        });
        let mut projected = AlignedVec::zeroed(width);
        project(&input, blank, 1, &mut projected);
        Self {
            input,
            cell,
            blank: projected,
        }
    }
}

/// `inputs = words * matrix + bias` for `rows` rows.
fn project(matrix: &PackedMatrix, words: &[f32], rows: usize, inputs: &mut [f32]) {
    assert!(words.len() >= rows * matrix.k() && inputs.len() >= rows * matrix.n());
    let right = Right {
        start: inputs.as_mut_ptr(),
        row: matrix.n(),
        residual: None,
        activation: Activation::None,
    };
    let left = Left::rows(words.as_ptr(), matrix.k());
    // SAFETY: both sides have the rows that were checked above, and the result is borrowed mutably.
    unsafe { matrix.multiply(left, rows, 0..matrix.panels(), right) }
}

impl Lead {
    fn new(layer: &Layer) -> Self {
        let padded = layer.cell.padded();
        let mut lead = Self {
            hidden: AlignedVec::zeroed((STEPS + 1) * padded),
            memory: AlignedVec::zeroed((STEPS + 1) * padded),
            peak: AlignedVec::zeroed((STEPS + 1) * padded),
        };
        lead.peak[..padded].fill(f32::NEG_INFINITY);
        for step in 0..STEPS {
            let (from, to) = (step * padded, (step + 1) * padded);
            for states in [&mut lead.memory, &mut lead.peak] {
                states.copy_within(from..to, to);
            }
            let (before, after) = lead.hidden.split_at_mut(to);
            let rows = Rows {
                count: 1,
                input: layer.blank.as_ptr(),
                input_row: 0,
                before: before[from..].as_ptr(),
                after: after.as_mut_ptr(),
                memory: lead.memory[to..].as_mut_ptr(),
                peak: lead.peak[to..].as_mut_ptr(),
                row: padded,
            };
            // SAFETY: `step < STEPS`, so rows `step` and `step + 1` of all states exist.
            unsafe { layer.cell.step(rows) };
        }
        lead
    }
}

impl Network {
    pub(super) fn new(weights: &Weights<'_>) -> Self {
        let isa = Isa::best();
        let blank = &weights.embedding[..EMBEDDING];
        let [forward, backward] = &weights.directions;
        let layers = [forward, backward].map(|direction| Layer::new(direction, blank, isa));
        let padded = layers[0].cell.padded();
        let dense = &weights.dense;
        // Peaks have the padding of the states; no weight reads it.
        let row_of = |at: usize| {
            let (direction, unit) = (at / padded, at % padded);
            (unit < UNITS).then_some(direction * UNITS + unit)
        };
        Self {
            embedding: weights.embedding.as_ref().into(),
            lead: Lead::new(&layers[0]),
            dense: PackedMatrix::pack(HIDDEN, 2 * padded, &dense.bias, isa, |at, column| {
                row_of(at).map_or(0.0, |row| dense.kernel[row * HIDDEN + column])
            }),
            output: PackedMatrix::pack(
                LABELS.len(),
                HIDDEN,
                &weights.output.bias,
                isa,
                |row, column| weights.output.kernel[row * LABELS.len() + column],
            ),
            layers,
            workspaces: Mutex::default(),
        }
    }

    pub(super) fn memory(&self) -> u64 {
        let layer = |layer: &Layer| layer.input.bytes() + layer.cell.bytes() + layer.blank.bytes();
        self.embedding.bytes()
            + self.layers.iter().map(layer).sum::<u64>()
            + self.lead.hidden.bytes()
            + self.lead.memory.bytes()
            + self.lead.peak.bytes()
            + self.dense.bytes()
            + self.output.bytes()
    }

    /// The scores of sequences of at most [`STEPS`] known words.
    pub(super) fn scores(&self, team: &Team, sequences: &[&[u32]]) -> Vec<Scores> {
        let mut rows: Vec<(usize, &[u32])> = sequences.iter().copied().enumerate().collect();
        rows.sort_by_key(|(_, words)| std::cmp::Reverse(words.len()));
        // Two directions keep two members busy; for more, groups are smaller.
        let size = rows
            .len()
            .div_ceil(team.threads().div_ceil(2))
            .clamp(1, GROUP);
        let groups: Vec<Group<'_>> = rows.chunks(size).map(|rows| Group { rows }).collect();
        let width = 2 * self.layers[0].cell.padded();
        let mut peaks = AlignedVec::zeroed(sequences.len() * width);
        let shared = SharedSlice::new(&mut peaks);
        // Backwards first: it takes longer.
        team.for_each(2 * groups.len(), |unit| {
            let mut workspace = self.workspace();
            self.direction(1 - unit % 2, &groups[unit / 2], &mut workspace, shared);
            let mut kept = self.kept();
            if kept.len() < KEPT_WORKSPACES {
                kept.push(workspace);
            }
        });
        self.heads(&peaks, sequences.len())
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Workspace>> {
        self.workspaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn workspace(&self) -> Workspace {
        self.kept().pop().unwrap_or_default()
    }

    /// One direction of one group: writes the peaks of its rows to their places.
    fn direction(
        &self,
        direction: usize,
        group: &Group<'_>,
        workspace: &mut Workspace,
        peaks: SharedSlice<'_>,
    ) {
        let layer = &self.layers[direction];
        let (padded, width) = (layer.cell.padded(), layer.cell.width());
        let words: usize = group.rows.iter().map(|(_, words)| words.len()).sum();
        workspace.words.reserve_len(words * EMBEDDING);
        workspace.inputs.reserve_len(words * width);
        let places = workspace.words.chunks_exact_mut(EMBEDDING);
        for (place, word) in places.zip(group.words()) {
            place.copy_from_slice(&self.embedding[word as usize * EMBEDDING..][..EMBEDDING]);
        }
        project(&layer.input, &workspace.words, words, &mut workspace.inputs);
        let count = group.rows.len();
        workspace.states.reserve_len(4 * count * padded);
        workspace.states.fill(0.0);
        let (hidden, rest) = workspace.states.split_at_mut(2 * count * padded);
        let (memory, peak) = rest.split_at_mut(count * padded);
        let mut states = States {
            layer,
            inputs: &workspace.inputs,
            hidden,
            memory,
            peak,
            count,
            before: 0,
        };
        match direction {
            0 => states.forward(group, &self.lead),
            _ => states.backward(group, words),
        }
        for (row, (place, _)) in group.rows.iter().enumerate() {
            let to = peaks.at(place * 2 * padded + direction * padded, padded);
            // SAFETY: the target was checked to be inside; this direction of this row is written here only.
            unsafe {
                to.copy_from_nonoverlapping(states.peak[row * padded..][..padded].as_ptr(), padded);
            }
        }
    }

    /// The dense layers.
    fn heads(&self, peaks: &[f32], rows: usize) -> Vec<Scores> {
        let mut hidden = AlignedVec::zeroed(rows * HIDDEN);
        let mut logits = AlignedVec::zeroed(rows * LABELS.len());
        assert_eq!(peaks.len(), rows * self.dense.k());
        let result = |of: &mut AlignedVec, row, activation| Right {
            start: of.as_mut_ptr(),
            row,
            residual: None,
            activation,
        };
        // SAFETY: the buffers have `rows` rows of the matrices' lengths.
        unsafe {
            let right = result(&mut hidden, HIDDEN, Activation::Relu);
            let left = Left::rows(peaks.as_ptr(), self.dense.k());
            self.dense
                .multiply(left, rows, 0..self.dense.panels(), right);
            let right = result(&mut logits, LABELS.len(), Activation::None);
            let left = Left::rows(hidden.as_ptr(), HIDDEN);
            self.output
                .multiply(left, rows, 0..self.output.panels(), right);
        }
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        logits
            .chunks_exact(LABELS.len())
            .map(|row| std::array::from_fn(|label| sigmoid(row[label])))
            .collect()
    }
}

/// The states of a group's rows on their way through time.
struct States<'a> {
    layer: &'a Layer,
    inputs: &'a [f32],
    /// `[2, count, padded]`: before and after a step, in turn.
    hidden: &'a mut [f32],
    /// `[count, padded]`
    memory: &'a mut [f32],
    /// `[count, padded]`
    peak: &'a mut [f32],
    count: usize,
    /// Which half of `hidden` is before the next step.
    before: usize,
}

impl States<'_> {
    /// One step of the rows `first..end`, whose inputs are `distance` apart.
    fn step(&mut self, first: usize, end: usize, inputs: &[f32], distance: usize) {
        let (padded, width) = (self.layer.cell.padded(), self.layer.cell.width());
        if first == end {
            return;
        }
        assert!(first < end && end <= self.count);
        assert!(inputs.len() >= (end - first - 1) * distance + width);
        let (one, two) = self.hidden.split_at_mut(self.count * padded);
        let (before, after) = match self.before {
            0 => (one, two),
            _ => (two, one),
        };
        let at = first * padded;
        let rows = Rows {
            count: end - first,
            input: inputs.as_ptr(),
            input_row: distance,
            before: before[at..].as_ptr(),
            after: after[at..].as_mut_ptr(),
            memory: self.memory[at..].as_mut_ptr(),
            peak: self.peak[at..].as_mut_ptr(),
            row: padded,
        };
        // SAFETY: rows and inputs were checked above to be inside their buffers, which are borrowed here alone.
        unsafe { self.layer.cell.step(rows) };
    }

    fn forward(&mut self, group: &Group<'_>, lead: &Lead) {
        let (padded, width) = (self.layer.cell.padded(), self.layer.cell.width());
        for (row, (_, words)) in group.rows.iter().enumerate() {
            let from = (STEPS - words.len()) * padded;
            let from = from..from + padded;
            let to = row * padded..(row + 1) * padded;
            // A row waits for its first word: its hidden state must be in the half that is then before.
            let (one, two) = self.hidden.split_at_mut(self.count * padded);
            one[to.clone()].copy_from_slice(&lead.hidden[from.clone()]);
            two[to.clone()].copy_from_slice(&lead.hidden[from.clone()]);
            self.memory[to.clone()].copy_from_slice(&lead.memory[from.clone()]);
            self.peak[to].copy_from_slice(&lead.peak[from]);
        }
        let mut at = 0;
        for step in 0..STEPS {
            let active = group.active(step);
            let inputs = self.inputs;
            self.step(0, active, &inputs[at * width..], width);
            at += active;
            self.before = 1 - self.before;
        }
    }

    fn backward(&mut self, group: &Group<'_>, words: usize) {
        let (padded, width) = (self.layer.cell.padded(), self.layer.cell.width());
        self.peak.fill(f32::NEG_INFINITY);
        let (mut at, mut rows) = (words, self.count);
        let mut memory = [0.0; 64];
        assert!(padded <= memory.len(), "50 units in whole vectors");
        for step in (0..STEPS).rev() {
            let active = group.active(step);
            at -= active;
            let (inputs, blank) = (self.inputs, &*self.layer.blank);
            self.step(0, active, &inputs[at * width..], width);
            // The last rows have had blanks longest: they are the first to be done.
            while rows > active {
                let last = (rows - 1) * padded;
                memory[..padded].copy_from_slice(&self.memory[last..][..padded]);
                self.step(rows - 1, rows, blank, 0);
                let (one, two) = self.hidden.split_at(self.count * padded);
                let still = same(&one[last..][..padded], &two[last..][..padded])
                    && same(&memory[..padded], &self.memory[last..][..padded]);
                if !still {
                    break;
                }
                rows -= 1;
            }
            if rows > active {
                self.step(active, rows - 1, blank, 0);
            }
            if rows == 0 {
                return;
            }
            self.before = 1 - self.before;
        }
    }
}

/// Whether two states are the same to the last bit.
fn same(one: &[f32], two: &[f32]) -> bool {
    one.iter()
        .zip(two)
        .all(|(one, two)| one.to_bits() == two.to_bits())
}
