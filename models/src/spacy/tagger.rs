//! Fine-grained tags: one linear layer over the shared vectors. Reference: `Tagger.v2` of spaCy 3.8.

use super::tok2vec::WIDTH;
use super::transitions::multiply;
use crate::error::{Error, Result};
use crate::kernels::PackedMatrix;
use crate::kernels::simd::Isa;
use escala_weights::Tensors;
use serde::Deserialize;
use std::path::Path;

pub(crate) struct Tagger {
    matrix: PackedMatrix,
    pub(crate) labels: Vec<String>,
}

impl Tagger {
    pub(crate) fn load(folder: &Path, isa: Isa) -> Result<Self> {
        #[derive(Deserialize)]
        struct File {
            labels: Vec<String>,
        }
        let File { labels } = super::read_json(&folder.join("tagger.json"))?;
        if labels.is_empty() {
            return Err(Error::unsupported("tagger.json has no labels"));
        }
        let tensors = Tensors::open(folder.join("tagger.safetensors"))?;
        Ok(Self {
            matrix: PackedMatrix::from_outputs(
                &tensors.f32_of("W", &[labels.len(), WIDTH])?,
                &tensors.f32_of("b", &[labels.len()])?,
                labels.len(),
                WIDTH,
                isa,
            ),
            labels,
        })
    }

    /// For each word the number of its best tag (the first of equals) and that tag's probability.
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
                let total: f32 = scores.iter().map(|s| (s - scores[best]).exp()).sum();
                (best, 1.0 / total)
            })
            .collect()
    }

    pub(crate) fn memory(&self) -> u64 {
        self.matrix.bytes()
    }
}
