//! What the networks see of a word: its norm, first and last characters, shape, and the hashes of these.
//!
//! A string is known by its place in a table of symbols or else by its MurmurHash64A (seed 1); a row of an
//! embedding table by the 128-bit Murmur3 of that number. Reference: `spacy/strings.pyx`,
//! `spacy/lang/lex_attrs.py` and `spacy/lang/norm_exceptions.py` of spaCy 3.8, from which the tables in
//! `data/` are; `characters.json` is Python's `str.isalpha` and `str.isdigit` (Unicode 14).

use crate::error::{Error, Result};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;

/// Seed of every string's hash.
const STRING_SEED: u64 = 1;
/// Strings of this many characters and more have no shape of their own.
const LONG: usize = 100;
/// Longest run of one character in a shape.
const RUN: usize = 4;

/// A word without its context.
#[derive(Clone, Debug)]
pub struct Lexeme {
    /// Lower case.
    pub lower: Box<str>,
    /// The normalised spelling.
    pub norm: Box<str>,
    /// Capitals, letters and digits as `X`, `x` and `d`.
    pub shape: Box<str>,
    /// Ids of norm, prefix, suffix and shape.
    pub ids: [u64; 4],
    /// Whether it is white space only.
    pub is_space: bool,
    /// Which list of the tokenizer's split exceptions begins with this word.
    pub(crate) special: Option<u32>,
    /// The mixed embeddings once they were computed: the shared ones without and with a space after the
    /// word, and the entity recogniser's. Common words make up most of a text, and their lexemes are shared.
    pub(crate) mixed: [OnceLock<Box<[f32]>>; 3],
}

/// The tables behind a [`Lexeme`].
pub(crate) struct Vocabulary {
    symbols: HashMap<String, u64>,
    base_norms: HashMap<String, String>,
    /// Norm by the id of the exact spelling.
    norms: HashMap<u64, String>,
    characters: Characters,
}

/// Inclusive ranges of code points, ascending.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Characters {
    #[serde(rename = "unicode")]
    _unicode: String,
    letters: Vec<(u32, u32)>,
    digits: Vec<(u32, u32)>,
}

#[derive(Deserialize)]
struct Norms {
    /// Spanish has none.
    #[serde(default)]
    lexeme_norm: HashMap<String, String>,
}

impl Vocabulary {
    pub(crate) fn load(folder: &Path) -> Result<Self> {
        let builtin = |name: &str, source| Error::Config {
            path: Path::new("models/src/spacy/data").join(name),
            source,
        };
        let norms: Norms = super::read_json(&folder.join("norms.json"))?;
        let norms = norms
            .lexeme_norm
            .into_iter()
            .map(|(key, norm)| match key.parse() {
                Ok(key) => Ok((key, norm)),
                Err(_) => Err(Error::unsupported(format!(
                    "norms.json: \"{key}\" is no hash"
                ))),
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            symbols: serde_json::from_str(include_str!("data/symbols.json"))
                .map_err(|e| builtin("symbols.json", e))?,
            base_norms: serde_json::from_str(include_str!("data/base_norms.json"))
                .map_err(|e| builtin("base_norms.json", e))?,
            characters: serde_json::from_str(include_str!("data/characters.json"))
                .map_err(|e| builtin("characters.json", e))?,
            norms,
        })
    }

    /// The number by which a string is known.
    pub(crate) fn id(&self, text: &str) -> u64 {
        if text.is_empty() {
            return 0;
        }
        match self.symbols.get(text) {
            Some(&symbol) => symbol,
            None => murmur64a(text.as_bytes(), STRING_SEED),
        }
    }

    /// The word; `norm` is what the tokenizer's exceptions say about it.
    pub(crate) fn lexeme(&self, text: &str, norm: Option<&str>) -> Lexeme {
        let lower = text.to_lowercase();
        let norm: Box<str> = match norm {
            Some(norm) => norm.into(),
            None => match self.norms.get(&self.id(text)) {
                Some(norm) => norm.as_str().into(),
                None => match self.base_norms.get(text) {
                    Some(norm) => norm.as_str().into(),
                    None => lower.as_str().into(),
                },
            },
        };
        let shape = self.shape(text);
        let prefix = text.chars().next().map_or(0, char::len_utf8);
        let suffix = text
            .char_indices()
            .rev()
            .take(3)
            .last()
            .map_or(0, |(at, _)| at);
        let ids = [&*norm, &text[..prefix], &text[suffix..], &shape].map(|part| self.id(part));
        Lexeme {
            lower: lower.into(),
            norm,
            shape: shape.into(),
            ids,
            is_space: !text.is_empty() && text.chars().all(is_space),
            special: None,
            mixed: Default::default(),
        }
    }

    fn shape(&self, text: &str) -> String {
        if text.len() >= LONG && text.chars().count() >= LONG {
            return "LONG".to_owned();
        }
        let mut shape = String::new();
        let (mut last, mut run) = (None, 0);
        for c in text.chars() {
            let class = if self.is_letter(c) {
                if c.is_uppercase() { 'X' } else { 'x' }
            } else if contains(&self.characters.digits, c) {
                'd'
            } else {
                c
            };
            run = if last == Some(class) { run + 1 } else { 0 };
            last = Some(class);
            if run < RUN {
                shape.push(class);
            }
        }
        shape
    }

    /// Whether a character is of one of Unicode's categories of letters.
    pub(crate) fn is_letter(&self, c: char) -> bool {
        if c.is_ascii() {
            c.is_ascii_alphabetic()
        } else {
            contains(&self.characters.letters, c)
        }
    }

    /// About how many bytes the tables take.
    pub(crate) fn memory(&self) -> u64 {
        let strings = self.symbols.len() + self.base_norms.len() + self.norms.len();
        let ranges = self.characters.letters.len() + self.characters.digits.len();
        (strings * 96 + ranges * 8) as u64
    }
}

fn contains(ranges: &[(u32, u32)], c: char) -> bool {
    let c = u32::from(c);
    let after = ranges.partition_point(|&(first, _)| first <= c);
    after > 0 && ranges[after - 1].1 >= c
}

/// White space as the reference has it: Unicode's, and the four separators of ASCII.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// MurmurHash64A (Appleby, public domain): little-endian words of eight bytes.
fn murmur64a(bytes: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut h = seed ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, rest) = bytes.as_chunks::<8>();
    for &word in words {
        let mut k = u64::from_le_bytes(word).wrapping_mul(M);
        k ^= k >> R;
        h = (h ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (at, &byte) in rest.iter().enumerate() {
            h ^= u64::from(byte) << (8 * at);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> R;
    h = h.wrapping_mul(M);
    h ^ (h >> R)
}

/// MurmurHash3 x64 128 of the eight bytes of `id`, as four numbers: the rows an id has in a table.
pub(crate) fn rows_of(id: u64, seed: u32) -> [u32; 4] {
    fn mix(mut h: u64) -> u64 {
        h ^= h >> 33;
        h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
        h ^= h >> 33;
        h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        h ^ (h >> 33)
    }
    let seed = u64::from(seed);
    let mut h1 = id
        .wrapping_mul(0x87c3_7b91_1142_53d5)
        .rotate_left(31)
        .wrapping_mul(0x4cf5_ad43_2745_937f)
        ^ seed
        ^ 8;
    let mut h2 = seed ^ 8;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    h1 = mix(h1);
    h2 = mix(h2);
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    // The low and the high half of each.
    [h1 as u32, (h1 >> 32) as u32, h2 as u32, (h2 >> 32) as u32]
}
