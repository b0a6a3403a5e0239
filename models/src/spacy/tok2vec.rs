//! Words into vectors: hashed embeddings of a word's features, mixed, then four layers that each see one
//! neighbour on either side.
//!
//! Miranda et al. 2022 (arXiv:2212.09255) describe the embeddings; reference: `MultiHashEmbed.v2` and
//! `MaxoutWindowEncoder.v2` of spaCy 3.8 (`spacy/ml/models/tok2vec.py`). Tensors: `embed.<feature>.E`
//! `[rows, 96]`, `mix.{W,b}`, `encode.<layer>.{W,b}` with `W` `[96, 3, inputs]`, and `*.norm.{G,b}`.
//!
//! The reference pads a document with four rows of zeros on either side, which the layers change like any
//! other. Of those only what a word can still see is computed here: three rows in the first layer, none in
//! the last. Three neighbouring rows lie one after the other, so a layer is a plain matrix product over
//! overlapping rows.

use super::tokenizer::Word;
use super::vocab::rows_of;
use crate::error::{Error, Result};
use crate::kernels::matmul::{Left, Right};
use crate::kernels::norm::layer_norm;
use crate::kernels::simd::{Isa, Simd, multiversion};
use crate::kernels::{Activation, AlignedVec, PackedMatrix};
use escala_weights::Tensors;

/// Values of a word's vector.
pub(crate) const WIDTH: usize = 96;
/// Linear functions of which a unit takes the largest.
const PIECES: usize = 3;
const LAYERS: usize = 4;
/// Rows of padding before and after a document: one a layer.
const PAD: usize = LAYERS;
const EPSILON: f32 = 1e-8;
/// Rows computed at a time, so that their sums stay in the second-level cache.
const BLOCK: usize = 96;
/// Hash seed of the first feature; the others count up.
const FIRST_SEED: u32 = 8;

/// The features in the order of the embedding tables. A network uses the first four or all of them; its
/// tables say which.
const FEATURES: [&str; 6] = [
    "norm",
    "prefix",
    "suffix",
    "shape",
    "space_after",
    "is_space",
];
/// Features of the word alone, whatever stands beside it.
const LEXICAL: usize = 4;

/// Whose vectors they are: where a lexeme keeps their mixed embeddings.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// Those that tagger and parser share. With the feature `space_after` a lexeme has two.
    Shared = 0,
    /// The entity recogniser's.
    Entities = 2,
}

/// Embeddings and layers.
pub(crate) struct Tok2Vec {
    place: Place,
    tables: Vec<(usize, AlignedVec)>,
    mix: Maxout,
    layers: Vec<Maxout>,
}

/// `layer_norm(max over pieces of (W x + b))`.
struct Maxout {
    /// Columns: all units of the first piece, of the second, of the third.
    matrix: PackedMatrix,
    gamma: AlignedVec,
    beta: AlignedVec,
    isa: Isa,
}

multiversion! {
    /// `to[row][i] = max over p of sums[row][p * width + i]`.
    ///
    /// # Safety
    /// `sums` is readable for `rows * pieces * width` values, `to` writable for `rows * width`; `width` is a
    /// multiple of 16.
    unsafe fn largest(isa, sums: *const f32, rows: usize, pieces: usize, width: usize, to: *mut f32) = largest_body
}

#[inline(always)]
unsafe fn largest_body<S: Simd>(
    sums: *const f32,
    rows: usize,
    pieces: usize,
    width: usize,
    to: *mut f32,
) {
    for row in 0..rows {
        for at in (0..width).step_by(S::LANES) {
            // SAFETY: the function's contract; vectors have at most 16 lanes.
            unsafe {
                let from = sums.add(row * pieces * width + at);
                let mut most = S::load(from);
                for piece in 1..pieces {
                    most = S::max(most, S::load(from.add(piece * width)));
                }
                S::store(to.add(row * width + at), most);
            }
        }
    }
}

/// The largest of two pieces of 64 units, for the transition scorers.
pub(crate) fn largest_of_two(isa: Isa, sums: &[f32; 128], to: &mut [f32; 64]) {
    // SAFETY: one row of two pieces of 64.
    unsafe { largest(isa, sums.as_ptr(), 1, 2, 64, to.as_mut_ptr()) }
}

impl Maxout {
    fn load(tensors: &Tensors, name: &str, inputs: usize, isa: Isa) -> Result<Self> {
        let weights = tensors.f32_of(&format!("{name}.W"), &[WIDTH, PIECES, inputs])?;
        let bias = tensors.f32_of(&format!("{name}.b"), &[WIDTH, PIECES])?;
        let place = |column: usize| column % WIDTH * PIECES + column / WIDTH;
        let bias: Vec<f32> = (0..WIDTH * PIECES).map(|c| bias[place(c)]).collect();
        let matrix = PackedMatrix::pack(WIDTH * PIECES, inputs, &bias, isa, |row, column| {
            weights[place(column) * inputs + row]
        });
        let gamma = tensors.f32_of(&format!("{name}.norm.G"), &[WIDTH])?;
        let beta = tensors.f32_of(&format!("{name}.norm.b"), &[WIDTH])?;
        Ok(Self {
            matrix,
            gamma: AlignedVec::from(&*gamma),
            beta: AlignedVec::from(&*beta),
            isa,
        })
    }

    /// `to[i] = f(from[i * WIDTH .. i * WIDTH + inputs])` for each of `rows` rows; `stride` is the distance
    /// between the inputs.
    fn run(&self, from: &[f32], stride: usize, rows: usize, sums: &mut [f32], to: &mut [f32]) {
        let columns = WIDTH * PIECES;
        assert!(
            rows > 0
                && from.len() >= (rows - 1) * stride + self.matrix.k()
                && sums.len() >= rows * columns
                && to.len() >= rows * WIDTH,
            "buffers hold all rows"
        );
        let right = Right {
            start: sums.as_mut_ptr(),
            row: columns,
            residual: None,
            activation: Activation::None,
        };
        // SAFETY: the lengths were checked above, gamma and beta have WIDTH values, and the buffers are
        // borrowed for this call.
        unsafe {
            let left = Left::rows(from.as_ptr(), stride);
            self.matrix
                .multiply(left, rows, 0..self.matrix.panels(), right);
            largest(
                self.isa,
                sums.as_ptr(),
                rows,
                PIECES,
                WIDTH,
                to.as_mut_ptr(),
            );
            layer_norm(
                self.isa,
                to.as_mut_ptr(),
                rows,
                WIDTH,
                self.gamma.as_ptr(),
                self.beta.as_ptr(),
                EPSILON,
            );
        }
    }

    fn memory(&self) -> u64 {
        self.matrix.bytes() + self.gamma.bytes() + self.beta.bytes()
    }
}

impl Tok2Vec {
    /// Loads the embeddings and the layers.
    pub(crate) fn load(tensors: &Tensors, place: Place, isa: Isa) -> Result<Self> {
        let mut tables = Vec::new();
        let features = match tensors.info("embed.space_after.E") {
            Ok(_) => FEATURES.len(),
            Err(_) => LEXICAL,
        };
        if features > LEXICAL && matches!(place, Place::Entities) {
            return Err(Error::unsupported(
                "an entity recogniser that sees the space after a word",
            ));
        }
        for feature in &FEATURES[..features] {
            let name = format!("embed.{feature}.E");
            let (shape, _) = tensors.f32(&name)?;
            let rows = shape.first().copied().unwrap_or(0).max(1);
            tables.push((
                rows,
                AlignedVec::from(&*tensors.f32_of(&name, &[rows, WIDTH])?),
            ));
        }
        let layers = (0..LAYERS)
            .map(|layer| Maxout::load(tensors, &format!("encode.{layer}"), 3 * WIDTH, isa))
            .collect::<Result<_>>()?;
        Ok(Self {
            place,
            mix: Maxout::load(tensors, "mix", features * WIDTH, isa)?,
            tables,
            layers,
        })
    }

    /// One vector a word, in order.
    pub(crate) fn vectors(&self, words: &[Word]) -> AlignedVec {
        let rows = words.len() + 2 * PAD;
        let mut x = AlignedVec::zeroed(rows * WIDTH);
        let mut next = AlignedVec::zeroed(rows * WIDTH);
        let mut sums = AlignedVec::zeroed(BLOCK * WIDTH * PIECES);
        let mut out = AlignedVec::zeroed(BLOCK * WIDTH);
        let mut features = AlignedVec::zeroed(BLOCK.min(words.len()) * self.tables.len() * WIDTH);
        let mut missing = Vec::with_capacity(BLOCK);
        for (index, word) in words.iter().enumerate() {
            let row = &mut x[(PAD + index) * WIDTH..][..WIDTH];
            match word.lexeme.mixed[self.place(word)].get() {
                Some(mixed) => row.copy_from_slice(mixed),
                None => missing.push(index),
            }
            if missing.len() == BLOCK || (index + 1 == words.len() && !missing.is_empty()) {
                self.mix(words, &missing, &mut features, &mut sums, &mut out);
                for (&index, mixed) in missing.iter().zip(out.chunks_exact(WIDTH)) {
                    x[(PAD + index) * WIDTH..][..WIDTH].copy_from_slice(mixed);
                    let word = &words[index];
                    // Another thread, or the same word before, may have been faster with the same values.
                    let _ = word.lexeme.mixed[self.place(word)].set(mixed.into());
                }
                missing.clear();
            }
        }
        for (index, layer) in self.layers.iter().enumerate() {
            // Rows that a word can still see.
            let (first, last) = (index + 1, rows - index - 1);
            for start in (first..last).step_by(BLOCK) {
                let count = BLOCK.min(last - start);
                let from = &x[(start - 1) * WIDTH..(start + count + 1) * WIDTH];
                layer.run(from, WIDTH, count, &mut sums, &mut out);
                let range = start * WIDTH..(start + count) * WIDTH;
                for ((to, &x), &change) in
                    next[range.clone()].iter_mut().zip(&x[range]).zip(&out[..])
                {
                    *to = x + change;
                }
            }
            std::mem::swap(&mut x, &mut next);
        }
        AlignedVec::from(&x[PAD * WIDTH..(rows - PAD) * WIDTH])
    }

    /// Which of a lexeme's mixed embeddings are the word's here.
    fn place(&self, word: &Word) -> usize {
        let apart = self.tables.len() > LEXICAL && word.space_after;
        self.place as usize + usize::from(apart)
    }

    /// Writes the mixed embeddings of the words with these indices to `out`.
    fn mix(
        &self,
        words: &[Word],
        indices: &[usize],
        features: &mut [f32],
        sums: &mut [f32],
        out: &mut [f32],
    ) {
        let width = self.tables.len() * WIDTH;
        for (&index, row) in indices.iter().zip(features.chunks_exact_mut(width)) {
            self.embed(&words[index], row);
        }
        self.mix.run(features, width, indices.len(), sums, out);
    }

    /// Writes the embeddings of a word's features one after the other.
    fn embed(&self, word: &Word, row: &mut [f32]) {
        let [norm, prefix, suffix, shape] = word.lexeme.ids;
        let ids = [
            norm,
            prefix,
            suffix,
            shape,
            word.space_after.into(),
            word.lexeme.is_space.into(),
        ];
        let tables = self.tables.iter().zip(row.chunks_exact_mut(WIDTH));
        for (feature, ((rows, table), to)) in tables.enumerate() {
            let [a, b, c, d] = rows_of(ids[feature], FIRST_SEED + feature as u32).map(|key| {
                let row = key as usize % rows;
                &table[row * WIDTH..(row + 1) * WIDTH]
            });
            for (i, to) in to.iter_mut().enumerate() {
                *to = a[i] + b[i] + c[i] + d[i];
            }
        }
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> u64 {
        let tables: u64 = self.tables.iter().map(|(_, table)| table.bytes()).sum();
        let layers: u64 = self.layers.iter().map(Maxout::memory).sum();
        tables + self.mix.memory() + layers
    }
}
