//! Named entities: a greedy tagger of words as beginning, inside, last, unit or outside of an entity.
//!
//! Reference: `spacy/pipeline/_parser_internals/ner.pyx` of spaCy 3.8; Lample et al. 2016
//! (arXiv:1603.01360) describe such transitions. An entity neither begins on white space nor crosses into
//! the next sentence.

use super::transitions::{Scorer, read_moves};
use crate::error::{Error, Result};
use crate::kernels::simd::Isa;
use escala_weights::Tensors;
use std::ops::Range;
use std::path::Path;

/// Words a state is described by.
const SLOTS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Begin,
    Inside,
    Last,
    Unit,
    Outside,
}

pub(crate) struct Recogniser {
    scorer: Scorer,
    moves: Vec<(Kind, String)>,
}

/// A run of words, its type, and how sure the recogniser is.
pub(crate) struct Entity<'a> {
    pub(crate) words: Range<usize>,
    pub(crate) label: &'a str,
    pub(crate) score: f32,
}

impl Recogniser {
    pub(crate) fn load(folder: &Path, tensors: &Tensors, isa: Isa) -> Result<Self> {
        let moves = read_moves(&folder.join("ner.json"))?
            .into_iter()
            .map(|(kind, label)| {
                let kind = match kind {
                    1 => Kind::Begin,
                    2 => Kind::Inside,
                    3 => Kind::Last,
                    4 => Kind::Unit,
                    5 => Kind::Outside,
                    _ => return Err(Error::unsupported(format!("entity move of kind {kind}"))),
                };
                Ok((kind, label))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            scorer: Scorer::load(tensors, SLOTS, moves.len(), isa)?,
            moves,
        })
    }

    /// The entities among the words with these vectors; `starts` tells which words begin a sentence.
    ///
    /// An entity's score is the geometric mean of the probabilities of the moves that made it.
    pub(crate) fn entities(
        &self,
        vectors: &[f32],
        is_space: &[bool],
        starts: &[bool],
    ) -> Vec<Entity<'_>> {
        let words = is_space.len();
        let mut features = self.scorer.features(vectors);
        let mut entities = Vec::new();
        // First word, label and sum of the logarithms of the open entity.
        let mut open: Option<(usize, &str, f32)> = None;
        for word in 0..words {
            let goes_on = word + 1 < words && !starts[word + 1];
            let solid = !is_space[word];
            let label = open.map(|(_, label, _)| label);
            let slots = [
                Some(word),
                open.map(|(start, _, _)| start),
                open.and_then(|_| word.checked_sub(1)),
            ];
            let choice = features.choose(&slots, |index| {
                let (kind, of) = &self.moves[index];
                let same = label == Some(of.as_str()) && !of.is_empty();
                match kind {
                    Kind::Begin => label.is_none() && !of.is_empty() && goes_on && solid,
                    Kind::Inside => same && goes_on,
                    Kind::Last => same,
                    Kind::Unit => label.is_none() && !of.is_empty() && solid,
                    Kind::Outside => label.is_none(),
                }
            });
            let Some(choice) = choice else { break };
            let (kind, label) = &self.moves[choice.index];
            let log = choice.probability.ln();
            match (kind, open) {
                (Kind::Begin, _) => open = Some((word, label, log)),
                (Kind::Inside, Some((start, label, sum))) => open = Some((start, label, sum + log)),
                (Kind::Last, Some((start, label, sum))) => {
                    let words = start..word + 1;
                    entities.push(Entity {
                        score: ((sum + log) / words.len() as f32).exp(),
                        words,
                        label,
                    });
                    open = None;
                }
                (Kind::Unit, _) => entities.push(Entity {
                    words: word..word + 1,
                    label,
                    score: choice.probability,
                }),
                _ => {}
            }
        }
        entities
    }

    pub(crate) fn memory(&self) -> u64 {
        self.scorer.memory() + self.moves.len() as u64 * 64
    }
}
