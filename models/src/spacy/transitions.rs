//! Scores of the moves of a transition system: what parser and entity recogniser have in common.
//!
//! Reference: `TransitionBasedParser.v2` of spaCy 3.8 (`spacy/ml/tb_framework.py`,
//! `spacy/ml/parser_model.pyx`), after Kiperwasser & Goldberg 2016 (arXiv:1603.04351). A state is a few words
//! in fixed slots; each word's share of the hidden layer in each slot is computed once for a document, so a
//! state's scores are a sum of those, a maximum and one small product. Tensors: `input.{W,b}` `[64, 96]`,
//! `lower.W` `[slots, 64, 2, 64]`, `lower.b` `[64, 2]`, `lower.pad` `[1, slots, 64, 2]`, `upper.{W,b}`
//! `[moves, 64]`.

use super::tok2vec::{WIDTH, largest_of_two};
use crate::error::{Error, Result};
use crate::kernels::matmul::{Left, Right};
use crate::kernels::simd::Isa;
use crate::kernels::{Activation, AlignedVec, PackedMatrix};
use escala_weights::Tensors;
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

/// Units of the hidden layer, and of the projected vectors.
const HIDDEN: usize = 64;
const PIECES: usize = 2;
/// Sums a slot adds to the hidden layer.
const SUMS: usize = HIDDEN * PIECES;
/// Words whose shares are computed at a time.
const BLOCK: usize = 96;
/// Blocks of shares that are kept: a word's shares are ten times its vector, and states seldom look back
/// further than a few blocks, so a long document's are computed again rather than all held.
const KEPT: usize = 64;

/// The networks of one transition system.
pub(crate) struct Scorer {
    input: PackedMatrix,
    /// `[64] → [slots * 128]`; a slot's sums are all units of the first piece, then of the second.
    lower: PackedMatrix,
    bias: [f32; SUMS],
    /// `[slots, 128]`, for slots without a word.
    pad: Vec<f32>,
    upper: PackedMatrix,
    slots: usize,
    moves: usize,
    isa: Isa,
}

/// A document's words as the scorer needs them.
pub(crate) struct Features<'a> {
    scorer: &'a Scorer,
    /// `[words, 64]`.
    hidden: AlignedVec,
    /// `[words of the block, slots, 128]` for each block; empty for those that are not held.
    shares: Vec<AlignedVec>,
    /// Blocks that are held, the oldest first.
    held: VecDeque<usize>,
    scores: Vec<f32>,
}

/// The move chosen in a state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Choice {
    /// Its number.
    pub(crate) index: usize,
    /// Its probability among the moves that are allowed in the state.
    pub(crate) probability: f32,
}

impl Scorer {
    pub(crate) fn load(tensors: &Tensors, slots: usize, moves: usize, isa: Isa) -> Result<Self> {
        let input = PackedMatrix::from_outputs(
            &tensors.f32_of("input.W", &[HIDDEN, WIDTH])?,
            &tensors.f32_of("input.b", &[HIDDEN])?,
            HIDDEN,
            WIDTH,
            isa,
        );
        let weights = tensors.f32_of("lower.W", &[slots, HIDDEN, PIECES, HIDDEN])?;
        // Column of a slot → place in `[units, pieces]`.
        let place = |column: usize| column % HIDDEN * PIECES + column / HIDDEN;
        let lower = PackedMatrix::pack(slots * SUMS, HIDDEN, &[], isa, |row, column| {
            let (slot, column) = (column / SUMS, column % SUMS);
            weights[(slot * SUMS + place(column)) * HIDDEN + row]
        });
        let bias = tensors.f32_of("lower.b", &[HIDDEN, PIECES])?;
        let pad = tensors.f32_of("lower.pad", &[1, slots, HIDDEN, PIECES])?;
        let upper = PackedMatrix::from_outputs(
            &tensors.f32_of("upper.W", &[moves, HIDDEN])?,
            &tensors.f32_of("upper.b", &[moves])?,
            moves,
            HIDDEN,
            isa,
        );
        Ok(Self {
            input,
            lower,
            bias: std::array::from_fn(|c| bias[place(c)]),
            pad: (0..slots * SUMS)
                .map(|c| pad[c / SUMS * SUMS + place(c % SUMS)])
                .collect(),
            upper,
            slots,
            moves,
            isa,
        })
    }

    /// Prepares the words of a document whose vectors these are.
    pub(crate) fn features(&self, vectors: &[f32]) -> Features<'_> {
        let words = vectors.len() / WIDTH;
        let mut hidden = AlignedVec::zeroed(words * HIDDEN);
        multiply(&self.input, vectors, words, &mut hidden);
        Features {
            scorer: self,
            hidden,
            shares: vec![AlignedVec::default(); words.div_ceil(BLOCK)],
            held: VecDeque::with_capacity(KEPT),
            scores: vec![0.0; self.moves],
        }
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> u64 {
        self.input.bytes() + self.lower.bytes() + self.upper.bytes() + self.pad.len() as u64 * 4
    }
}

/// `to = from * matrix + bias`, rows one after the other.
pub(crate) fn multiply(matrix: &PackedMatrix, from: &[f32], rows: usize, to: &mut [f32]) {
    let (k, n) = (matrix.k(), matrix.n());
    assert!(
        from.len() >= rows * k && to.len() >= rows * n,
        "buffers hold all rows"
    );
    let right = Right {
        start: to.as_mut_ptr(),
        row: n,
        residual: None,
        activation: Activation::None,
    };
    // SAFETY: the lengths were checked above and the buffers are borrowed for this call.
    unsafe {
        matrix.multiply(
            Left::rows(from.as_ptr(), k),
            rows,
            0..matrix.panels(),
            right,
        )
    }
}

impl Features<'_> {
    /// What a word adds to the hidden layer when it is in a slot.
    fn share(&mut self, word: usize, slot: usize) -> &[f32] {
        let scorer = self.scorer;
        let (block, word) = (word / BLOCK, word % BLOCK);
        if self.shares[block].is_empty() {
            let width = scorer.slots * SUMS;
            let start = block * BLOCK * HIDDEN;
            let hidden = &self.hidden[start..self.hidden.len().min(start + BLOCK * HIDDEN)];
            let words = hidden.len() / HIDDEN;
            let mut shares = match self.held.len() {
                KEPT => self
                    .held
                    .pop_front()
                    .map(|oldest| std::mem::take(&mut self.shares[oldest]))
                    .unwrap_or_default(),
                _ => AlignedVec::default(),
            };
            shares.reserve_len(words * width);
            multiply(&scorer.lower, hidden, words, &mut shares);
            self.shares[block] = shares;
            self.held.push_back(block);
        }
        &self.shares[block][(word * scorer.slots + slot) * SUMS..][..SUMS]
    }

    /// The best of the moves that `allowed` lets through in the state of these words (in the order of the
    /// slots), the first of equals; none when no move is allowed or no score is a number.
    pub(crate) fn choose(
        &mut self,
        slots: &[Option<usize>],
        allowed: impl Fn(usize) -> bool,
    ) -> Option<Choice> {
        let scorer = self.scorer;
        let mut sums = [0.0; SUMS];
        for (slot, word) in slots.iter().enumerate() {
            let share = match word {
                Some(word) => self.share(*word, slot),
                None => &scorer.pad[slot * SUMS..][..SUMS],
            };
            for (sum, share) in sums.iter_mut().zip(share) {
                *sum += share;
            }
        }
        for (sum, bias) in sums.iter_mut().zip(&scorer.bias) {
            *sum += bias;
        }
        let mut hidden = [0.0; HIDDEN];
        largest_of_two(scorer.isa, &sums, &mut hidden);
        multiply(&scorer.upper, &hidden, 1, &mut self.scores);
        let mut best: Option<(usize, f32)> = None;
        for (index, &score) in self.scores.iter().enumerate() {
            if score.is_finite() && allowed(index) && best.is_none_or(|(_, most)| score > most) {
                best = Some((index, score));
            }
        }
        let (index, most) = best?;
        let total: f32 = self
            .scores
            .iter()
            .enumerate()
            .filter(|&(index, score)| score.is_finite() && allowed(index))
            .map(|(_, score)| (score - most).exp())
            .sum();
        Some(Choice {
            index,
            probability: 1.0 / total,
        })
    }
}

/// Moves in the order of the scores: kind ascending, and within a kind the most frequent label first,
/// labels of the same frequency in falling alphabetical order.
pub(crate) fn read_moves(path: &Path) -> Result<Vec<(u8, String)>> {
    #[derive(Deserialize)]
    struct File {
        /// JSON inside of JSON: kind → label → frequency.
        moves: String,
    }
    let file: File = super::read_json(path)?;
    let moves: BTreeMap<String, BTreeMap<String, i64>> = serde_json::from_str(&file.moves)
        .map_err(|source| Error::Config {
            path: path.to_owned(),
            source,
        })?;
    let mut kinds = Vec::new();
    for (kind, labels) in moves {
        let kind: u8 = kind.parse().map_err(|_| {
            Error::unsupported(format!("{}: \"{kind}\" is no kind of move", path.display()))
        })?;
        kinds.push((kind, labels));
    }
    kinds.sort_by_key(|(kind, _)| *kind);
    let mut all = Vec::new();
    for (kind, labels) in kinds {
        let mut labels: Vec<(i64, String)> = labels.into_iter().map(|(l, n)| (n, l)).collect();
        labels.sort_by(|a, b| b.cmp(a));
        all.extend(labels.into_iter().map(|(_, label)| (kind, label)));
    }
    Ok(all)
}
