//! Fine-grained tags, or parts of speech with their morphology: one linear layer over the shared vectors.
//! Reference: `Tagger.v2`, `spacy/pipeline/tagger.pyx` and `morphologizer.pyx` of spaCy 3.8.

use super::tok2vec::WIDTH;
use super::transitions::multiply;
use crate::error::{Error, Result};
use crate::kernels::PackedMatrix;
use crate::kernels::simd::Isa;
use escala_weights::Tensors;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

pub(crate) struct Tagger {
    matrix: PackedMatrix,
    pub(crate) labels: Vec<Label>,
    /// For each label the first one that is told as the same tag.
    same: Vec<usize>,
}

/// What one output of the network says; what it does not say is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Label {
    pub(crate) tag: String,
    pub(crate) pos: String,
    pub(crate) morphology: String,
}

#[derive(Deserialize)]
struct File {
    /// A tagger's tags.
    #[serde(default)]
    labels: Vec<String>,
    /// A morphologizer's labels (all features and the part of speech among them) and their features.
    #[serde(default)]
    labels_morph: InOrder,
}

impl File {
    fn labels(self) -> Result<Vec<Label>> {
        let tag = |tag| Label {
            tag,
            ..Label::default()
        };
        let part = |(label, morphology): (String, String)| match label
            .split('|')
            .find_map(|f| f.strip_prefix("POS="))
        {
            Some(pos) => Ok(Label {
                tag: String::new(),
                pos: pos.to_owned(),
                morphology,
            }),
            None => Err(Error::unsupported(format!(
                "tagger.json: \"{label}\" has no part of speech"
            ))),
        };
        match (self.labels.is_empty(), self.labels_morph.0.is_empty()) {
            (false, true) => Ok(self.labels.into_iter().map(tag).collect()),
            (true, false) => self.labels_morph.0.into_iter().map(part).collect(),
            _ => Err(Error::unsupported(
                "tagger.json has no labels, or two kinds of them",
            )),
        }
    }
}

/// A map of strings whose order says something.
#[derive(Default)]
struct InOrder(Vec<(String, String)>);

impl<'de> Deserialize<'de> for InOrder {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = InOrder;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<M: MapAccess<'de>>(
                self,
                mut map: M,
            ) -> std::result::Result<InOrder, M::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(InOrder(entries))
            }
        }
        from.deserialize_map(Entries)
    }
}

impl Tagger {
    pub(crate) fn load(folder: &Path, isa: Isa) -> Result<Self> {
        let labels = super::read_json::<File>(&folder.join("tagger.json"))?.labels()?;
        let mut first = HashMap::new();
        let same = labels.iter().enumerate();
        let same = same
            .map(|(index, label)| *first.entry((&label.tag, &label.pos)).or_insert(index))
            .collect();
        let tensors = Tensors::open(folder.join("tagger.safetensors"))?;
        Ok(Self {
            matrix: PackedMatrix::from_outputs(
                &tensors.f32_of("W", &[labels.len(), WIDTH])?,
                &tensors.f32_of("b", &[labels.len()])?,
                labels.len(),
                WIDTH,
                isa,
            ),
            same,
            labels,
        })
    }

    /// For each word the number of its best label (the first of equals), and the probability of all labels that
    /// are told as the same tag.
    pub(crate) fn tags(&self, vectors: &[f32]) -> Vec<(usize, f32)> {
        let count = self.labels.len();
        let words = vectors.len() / WIDTH;
        let mut scores = vec![0.0; words * count];
        multiply(&self.matrix, vectors, words, &mut scores);
        scores
            .chunks_exact(count)
            .map(|scores| {
                let mut best = 0;
                for (index, &score) in scores.iter().enumerate() {
                    if score > scores[best] {
                        best = index;
                    }
                }
                let (mut total, mut told) = (0.0, 0.0);
                for (index, &score) in scores.iter().enumerate() {
                    let share = (score - scores[best]).exp();
                    total += share;
                    if self.same[index] == self.same[best] {
                        told += share;
                    }
                }
                // Sums in another order may differ by a hair.
                (best, f32::min(told / total, 1.0))
            })
            .collect()
    }

    pub(crate) fn memory(&self) -> u64 {
        self.matrix.bytes()
    }
}
