//! Sentence embeddings: the last hidden states of a text made one vector.

use super::weights::Weights;
use super::{Config, Encoder, Output, Way};
use crate::compute::{Compute, Target};
use crate::error::{Error, Result};
use crate::train::adapter::Adapter;
use candle_core::Device;
use escala_weights::Tensors;
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;

/// An encoder that turns token sequences into sentence embeddings.
///
/// A folder of sentence-transformers says how hidden states are pooled (`1_Pooling/config.json`: the mean, or
/// the first token) and how many tokens are read (`sentence_bert_config.json`); without these files it is the
/// mean over all that the network reads.
pub struct SentenceEncoder {
    encoder: Encoder,
    pooling: Output,
    max_tokens: usize,
}

impl SentenceEncoder {
    /// Loads a folder for `target`.
    ///
    /// # Errors
    /// When a file is missing, does not fit, or the device refuses.
    pub fn load<'a>(folder: &Path, target: impl Into<Target<'a>>) -> Result<Self> {
        Self::load_way(folder, Way::Best(target.into()))
    }

    /// Loads a folder with an adapter merged into it, pooled by the mean as classifiers that are trained here read it.
    ///
    /// # Errors
    /// As [`SentenceEncoder::load`]; when the adapter does not fit.
    pub fn load_adapted<'a>(
        folder: &Path,
        adapter: &Adapter,
        target: impl Into<Target<'a>>,
    ) -> Result<Self> {
        let weights = super::open(folder)?;
        let changed = adapter.merged(&weights)?;
        Self::of(&weights.with(changed), Way::Best(target.into()))
    }

    /// The same in plain candle operations, also on the CPU: the reference of the fast way.
    ///
    /// # Errors
    /// As [`SentenceEncoder::load`].
    pub fn load_reference(folder: &Path, device: &Device) -> Result<Self> {
        Self::load_way(folder, Way::Plain(device))
    }

    fn load_way(folder: &Path, way: Way<'_>) -> Result<Self> {
        let weights = super::open(folder)?;
        let pooling = pooling(folder)?;
        let limit: Option<Sequence> = optional(&folder.join("sentence_bert_config.json"))?;
        let mut loaded = Self::of(&weights, way)?;
        loaded.pooling = pooling;
        if let Some(limit) = limit.and_then(|file| file.max_seq_length) {
            loaded.max_tokens = loaded.max_tokens.min(limit.max(2));
        }
        Ok(loaded)
    }

    /// The network of `config` with the weights in `tensors`, pooled by the mean.
    ///
    /// # Errors
    /// When the tensors do not fit or the device refuses.
    pub fn new<'a>(
        config: Config,
        tensors: Arc<Tensors>,
        target: impl Into<Target<'a>>,
    ) -> Result<Self> {
        Self::of(&Weights::new(config, tensors)?, Way::Best(target.into()))
    }

    /// The same network in plain candle operations, also on the CPU.
    ///
    /// # Errors
    /// As [`SentenceEncoder::new`].
    pub fn reference(config: Config, tensors: Arc<Tensors>, device: &Device) -> Result<Self> {
        Self::of(&Weights::new(config, tensors)?, Way::Plain(device))
    }

    fn of(weights: &Weights, way: Way<'_>) -> Result<Self> {
        let encoder = Encoder::new(weights, way)?;
        Ok(Self {
            pooling: Output::Mean,
            max_tokens: encoder.config.max_tokens(),
            encoder,
        })
    }

    /// Sizes of the network.
    pub fn config(&self) -> &Config {
        &self.encoder.config
    }

    /// The tokens that the model reads of a text, special ones included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Bytes of memory that the loaded network holds.
    pub fn memory(&self) -> u64 {
        self.encoder.memory()
    }

    /// One embedding of `hidden_size` values and length one for each sequence of token ids.
    ///
    /// The answer for a sequence does not depend on the others of the batch.
    ///
    /// # Errors
    /// When a sequence is empty or too long, an id is unknown, or the device fails.
    pub fn encode(&self, compute: &Compute, sequences: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let mut vectors = self.pool(compute, sequences)?;
        for vector in &mut vectors {
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            if length > 0.0 {
                vector.iter_mut().for_each(|x| *x /= length);
            }
        }
        Ok(vectors)
    }

    /// As [`SentenceEncoder::encode`], but of the length that the network gives: what a classifier is trained on.
    ///
    /// # Errors
    /// As [`SentenceEncoder::encode`].
    pub fn pool(&self, compute: &Compute, sequences: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        self.encoder.run(compute, sequences, self.pooling)
    }

    /// The last hidden states of each sequence, `[tokens, hidden_size]`, one token after the other.
    ///
    /// # Errors
    /// As [`SentenceEncoder::encode`].
    pub fn states(&self, compute: &Compute, sequences: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        self.encoder.run(compute, sequences, Output::All)
    }
}

/// `sentence_bert_config.json`.
#[derive(Deserialize)]
struct Sequence {
    max_seq_length: Option<usize>,
}

/// `1_Pooling/config.json`.
#[derive(Deserialize)]
struct Pooling {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(flatten)]
    others: std::collections::BTreeMap<String, serde_json::Value>,
}

/// An entry of `modules.json`.
#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
}

fn pooling(folder: &Path) -> Result<Output> {
    let modules: Option<Vec<Module>> = optional(&folder.join("modules.json"))?;
    for Module { kind } in modules.unwrap_or_default() {
        let name = kind.rsplit('.').next().unwrap_or_default();
        if !["Transformer", "Pooling", "Normalize"].contains(&name) {
            return Err(Error::unsupported(format!(
                "sentence-transformers module `{kind}`"
            )));
        }
    }
    let Some(pooling) = optional::<Pooling>(&folder.join("1_Pooling/config.json"))? else {
        return Ok(Output::Mean);
    };
    let other = pooling
        .others
        .iter()
        .find(|(key, value)| key.starts_with("pooling_mode_") && value.as_bool() == Some(true));
    match (
        pooling.pooling_mode_cls_token,
        pooling.pooling_mode_mean_tokens,
        other,
    ) {
        (true, false, None) => Ok(Output::First),
        (false, true, None) => Ok(Output::Mean),
        (_, _, Some((key, _))) => Err(Error::unsupported(format!("`{key}`"))),
        _ => Err(Error::unsupported("pooling by none or several modes")),
    }
}

/// A JSON file that may be missing.
fn optional<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Error::File {
                path: path.into(),
                source,
            });
        }
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|source| Error::Config {
            path: path.into(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_says_how_it_is_pooled() {
        let scratch = tempfile::tempdir().expect("folder");
        let folder = scratch.path().join("model");
        std::fs::create_dir_all(folder.join("1_Pooling")).expect("folder");
        let said = |text: &str| {
            std::fs::write(folder.join("1_Pooling/config.json"), text).expect("file");
            pooling(&folder).map_err(|error| error.to_string())
        };
        let mean = r#"{"word_embedding_dimension": 8, "pooling_mode_mean_tokens": true}"#;
        assert_eq!(said(mean), Ok(Output::Mean));
        assert_eq!(
            said(r#"{"pooling_mode_cls_token": true}"#),
            Ok(Output::First)
        );
        let max = r#"{"pooling_mode_cls_token": false, "pooling_mode_max_tokens": true}"#;
        assert_eq!(said(max), Err("`pooling_mode_max_tokens`".to_owned()));
        assert!(said("{}").is_err());
        let modules = r#"[{"type": "sentence_transformers.models.Dense"}]"#;
        std::fs::write(folder.join("modules.json"), modules).expect("file");
        assert!(said(mean).is_err_and(|error| error.contains("Dense")));
        std::fs::remove_dir_all(&folder).expect("folder");
        assert_eq!(pooling(&folder).expect("default"), Output::Mean);
    }
}
