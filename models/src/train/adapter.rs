//! A trained classifier as a folder, in the layout of the PEFT library.
//!
//! `adapter_model.safetensors` holds `base_model.model.<layer>.lora_A.weight` `[rank, inputs]` and
//! `…lora_B.weight` `[outputs, rank]`, and the head as `base_model.model.classifier.{weight,bias}`;
//! `adapter_config.json` says rank, alpha, base model and labels. Applied, an adapter costs nothing: it is added
//! to the base's weights before they are packed (`W + alpha/rank B A`).

use super::checkpoint::publish;
use super::classifier::{HEAD, Trainer};
use super::encoder::{LINEARS, Method, shape};
use crate::bert::Config;
use crate::error::{Error, Result};
use escala_weights::Tensors;
use half::f16;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Prefix of the tensors' names.
const PREFIX: &str = "base_model.model.";

/// `adapter_config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdapterConfig {
    /// `LORA`.
    pub peft_type: String,
    /// `SEQ_CLS`.
    pub task_type: String,
    /// The catalogue's name of the base model.
    pub base_model_name_or_path: String,
    /// Rank.
    pub r: usize,
    /// Numerator of the factor.
    pub lora_alpha: f64,
    /// The adapted layers.
    pub target_modules: Vec<String>,
    /// Layers that are stored whole.
    pub modules_to_save: Vec<String>,
    /// Labels, in the order of the head's outputs.
    pub labels: Vec<String>,
    /// Longest sequence it was trained on, in tokens.
    pub max_tokens: usize,
    /// Put before every text.
    #[serde(default)]
    pub prompt: String,
    /// Logits are divided by this before the softmax.
    #[serde(default = "one")]
    pub temperature: f32,
    /// Added to the logits after that; empty means nothing.
    #[serde(default)]
    pub bias: Vec<f32>,
}

fn one() -> f32 {
    1.0
}

/// What a folder says about a trained classifier.
pub struct Adapter {
    /// Its configuration.
    pub config: AdapterConfig,
    tensors: Tensors,
}

/// A linear head: `[labels, hidden]` and `[labels]`.
pub struct Head {
    /// Weights by label.
    pub weight: Vec<f32>,
    /// Bias by label.
    pub bias: Vec<f32>,
}

impl Adapter {
    /// Opens `adapter_config.json` and `adapter_model.safetensors` of `folder`.
    ///
    /// # Errors
    /// When a file is missing or is not an adapter.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("adapter_config.json");
        let text = fs::read_to_string(&path).map_err(|source| Error::File {
            path: path.clone(),
            source,
        })?;
        let config: AdapterConfig =
            serde_json::from_str(&text).map_err(|source| Error::Config { path, source })?;
        let labels = config.labels.len();
        let sane = config.peft_type == "LORA"
            && labels >= 2
            && (1..=1024).contains(&config.r)
            && config.lora_alpha.is_finite()
            && config.temperature.is_finite()
            && config.temperature > 0.0
            && config.max_tokens >= 2
            && (config.bias.is_empty() || config.bias.len() == labels)
            && config.bias.iter().all(|b| b.is_finite());
        if !sane {
            return Err(Error::unsupported(format!(
                "{} is not an adapter that can be applied: {config:?}",
                folder.display()
            )));
        }
        Ok(Self {
            tensors: Tensors::open(folder.join("adapter_model.safetensors"))?,
            config,
        })
    }

    /// The head, for an encoder of width `hidden`.
    ///
    /// # Errors
    /// When its tensors do not fit.
    pub fn head(&self, hidden: usize) -> Result<Head> {
        let labels = self.config.labels.len();
        let get = |name: &str, shape: &[usize]| -> Result<Vec<f32>> {
            let name = format!("{PREFIX}{name}");
            let values = self.halves(&name, shape)?;
            if values.iter().any(|x| !x.is_finite()) {
                return Err(Error::NotFinite);
            }
            Ok(values)
        };
        Ok(Head {
            weight: get(HEAD[0], &[labels, hidden])?,
            bias: get(HEAD[1], &[labels])?,
        })
    }

    /// The weights of every adapted layer of `base`, by the name of the base's tensor.
    ///
    /// # Errors
    /// When the adapter does not fit the base.
    pub fn merged(&self, base: &Tensors, config: &Config) -> Result<HashMap<String, Vec<f32>>> {
        let mut all = HashMap::new();
        for layer in 0..config.num_hidden_layers {
            for (index, name) in LINEARS.iter().enumerate() {
                let name = format!("encoder.layer.{layer}.{name}");
                let shape = shape(config, index);
                let weight = base.f32_of(&format!("{name}.weight"), &[shape.0, shape.1])?;
                let merged = self.merge(&name, weight.into_owned(), shape)?;
                all.insert(format!("{name}.weight"), merged);
            }
        }
        Ok(all)
    }

    /// The tensor `name`, stored as `f16` or `f32`.
    fn halves(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let (dtype, found) = self.tensors.info(name)?;
        if dtype != Dtype::F16 || found != shape {
            // Says what is wrong with the shape or the type.
            return Ok(self.tensors.f32_of(name, shape)?.into_owned());
        }
        Ok(self
            .tensors
            .raw(name)?
            .chunks_exact(2)
            .map(|bytes| f16::from_le_bytes([bytes[0], bytes[1]]).to_f32())
            .collect())
    }

    /// `weight + alpha/rank B A` of one layer.
    fn merge(&self, name: &str, mut weight: Vec<f32>, shape: (usize, usize)) -> Result<Vec<f32>> {
        let (outputs, inputs) = shape;
        let rank = self.config.r;
        let a = self.halves(&format!("{PREFIX}{name}.lora_A.weight"), &[rank, inputs])?;
        let b = self.halves(&format!("{PREFIX}{name}.lora_B.weight"), &[outputs, rank])?;
        let scale = (self.config.lora_alpha / rank as f64) as f32;
        for (row, b) in weight.chunks_exact_mut(inputs).zip(b.chunks_exact(rank)) {
            for (b, a) in b.iter().zip(a.chunks_exact(inputs)) {
                let factor = b * scale;
                row.iter_mut().zip(a).for_each(|(w, a)| *w += factor * a);
            }
        }
        if weight.iter().any(|x| !x.is_finite()) {
            return Err(Error::NotFinite);
        }
        Ok(weight)
    }
}

/// Writes what `trainer` learned to `folder`: an adapter (tensors as `f16`, half the size and far finer than
/// the noise of training), or, after full fine-tuning, a whole `model.safetensors`.
///
/// # Errors
/// When the disk refuses.
pub fn save(
    trainer: &Trainer,
    config: &AdapterConfig,
    method: Method,
    folder: &Path,
) -> Result<()> {
    fs::create_dir_all(folder).map_err(|source| Error::File {
        path: folder.into(),
        source,
    })?;
    let learned = trainer.learned()?;
    let low_rank = matches!(method, Method::Lora { .. });
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::with_capacity(learned.len());
    for (name, shape, values) in learned {
        if low_rank {
            let halves: Vec<f16> = values.into_iter().map(f16::from_f32).collect();
            let bytes = bytemuck::cast_slice::<f16, u8>(&halves).to_vec();
            tensors.push((format!("{PREFIX}{name}"), shape, bytes));
        } else {
            tensors.push((
                name,
                shape,
                bytemuck::cast_slice::<f32, u8>(&values).to_vec(),
            ));
        }
    }
    let dtype = if low_rank { Dtype::F16 } else { Dtype::F32 };
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            TensorView::new(dtype, shape.clone(), bytes).map(|view| (name.as_str(), view))
        })
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|error| Error::unsupported(error.to_string()))?;
    let bytes = safetensors::serialize(views, None)
        .map_err(|error| Error::unsupported(error.to_string()))?;
    let name = if low_rank {
        "adapter_model.safetensors"
    } else {
        "model.safetensors"
    };
    publish(&folder.join(name), &bytes)?;
    let json =
        serde_json::to_vec_pretty(config).map_err(|error| Error::unsupported(error.to_string()))?;
    publish(&folder.join("adapter_config.json"), &json)
}
