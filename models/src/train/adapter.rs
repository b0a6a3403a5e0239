//! A trained classifier as a folder, in the layout of the PEFT library.
//!
//! `adapter_model.safetensors` holds `base_model.model.<layer>.lora_A.weight` `[rank, inputs]` and
//! `…lora_B.weight` `[outputs, rank]`, and the head as `base_model.model.classifier.{weight,bias}`;
//! `adapter_config.json` says rank, alpha, base model and labels. Applied, an adapter costs nothing: it is added
//! to the base's weights before they are packed (`W + alpha/rank B A`).

use super::checkpoint::{publish, write_f32};
use super::classifier::{HEAD, Learned, Trainer};
use super::encoder::{LINEARS, Method, shape};
use crate::bert::weights::Weights;
use crate::error::{Error, Result};
use half::f16;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Prefix of the tensors' names.
const PREFIX: &str = "base_model.model.";

/// PEFT's name of low-rank adapters.
pub const LOW_RANK: &str = "LORA";

/// A linear layer on the base as it is; not one of PEFT's kinds.
pub const HEAD_ONLY: &str = "HEAD";

/// As the name of a base: the folder itself holds it, fully fine-tuned.
pub const OWN_BASE: &str = ".";

/// Names what was trained.
const CONFIG: &str = "adapter_config.json";

/// `adapter_config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdapterConfig {
    /// [`LOW_RANK`] or [`HEAD_ONLY`].
    pub peft_type: String,
    /// `SEQ_CLS`.
    pub task_type: String,
    /// The catalogue's name of the base model, or [`OWN_BASE`].
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
}

fn one() -> f32 {
    1.0
}

/// A trained classifier, without its base.
pub struct Adapter {
    /// Its configuration.
    pub config: AdapterConfig,
    bytes: Cow<'static, [u8]>,
}

/// A linear head: `[labels, hidden]` and `[labels]`.
pub struct Head {
    /// Weights by label.
    pub weight: Vec<f32>,
    /// Bias by label.
    pub bias: Vec<f32>,
}

impl Head {
    /// The logits of a text whose mean hidden state is `mean`.
    pub fn apply(&self, mean: &[f32]) -> Vec<f32> {
        let rows = self.weight.chunks_exact(mean.len().max(1));
        rows.zip(&self.bias)
            .map(|(row, bias)| bias + row.iter().zip(mean).map(|(w, x)| w * x).sum::<f32>())
            .collect()
    }
}

impl Adapter {
    /// Whether `folder` holds a classifier that was trained here.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(CONFIG).is_file()
    }

    /// Opens `adapter_config.json` and `adapter_model.safetensors` of `folder`.
    ///
    /// # Errors
    /// When a file is missing or is not an adapter.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        let text = fs::read_to_string(&path).map_err(|source| Error::File {
            path: path.clone(),
            source,
        })?;
        let file = folder.join("adapter_model.safetensors");
        let bytes = fs::read(&file).map_err(|source| Error::File { path: file, source })?;
        Self::parse(&text, bytes.into(), &path)
    }

    /// An adapter from the contents of its two files; `path` is for messages.
    ///
    /// # Errors
    /// When they are not an adapter.
    pub fn parse(config: &str, bytes: Cow<'static, [u8]>, path: &Path) -> Result<Self> {
        let config: AdapterConfig =
            serde_json::from_str(config).map_err(|source| Error::Config {
                path: path.into(),
                source,
            })?;
        let labels = config.labels.len();
        let sane = [LOW_RANK, HEAD_ONLY].contains(&config.peft_type.as_str())
            && labels >= 2
            && (1..=1024).contains(&config.r)
            && config.lora_alpha.is_finite()
            && config.temperature.is_finite()
            && config.temperature > 0.0
            && config.max_tokens >= 2;
        if !sane {
            return Err(Error::unsupported(format!(
                "{} is not an adapter that can be applied: {config:?}",
                path.display()
            )));
        }
        SafeTensors::deserialize(&bytes)
            .map_err(|error| Error::unsupported(format!("{}: {error}", path.display())))?;
        Ok(Self { config, bytes })
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

    /// What was learned, by its name without the layout's prefix: shape and values.
    ///
    /// # Errors
    /// When a tensor is of another type or has a number that is none.
    pub fn learned(&self) -> Result<Vec<Learned>> {
        let all = SafeTensors::deserialize(&self.bytes)
            .map_err(|error| Error::unsupported(error.to_string()))?;
        all.iter()
            .filter_map(|(name, tensor)| Some((name, name.strip_prefix(PREFIX)?, tensor)))
            .map(|(name, own, tensor)| {
                let shape = tensor.shape().to_vec();
                let values = self.halves(name, &shape)?;
                match values.iter().all(|x| x.is_finite()) {
                    true => Ok((own.to_owned(), shape, values)),
                    false => Err(Error::NotFinite),
                }
            })
            .collect()
    }

    /// The weights of every adapted layer of `base`, by the name of the base's tensor; none where only the head
    /// was trained.
    ///
    /// # Errors
    /// When the adapter does not fit the base.
    pub(crate) fn merged(&self, base: &Weights) -> Result<HashMap<String, Vec<f32>>> {
        let mut all = HashMap::new();
        if self.config.peft_type == HEAD_ONLY {
            return Ok(all);
        }
        for layer in 0..base.config.num_hidden_layers {
            for part in LINEARS {
                let name = base.part(layer, part);
                let shape = shape(&base.config, part);
                let weight = base.get(&format!("{name}.weight"), &[shape.0, shape.1])?;
                let merged = self.merge(&name, weight.into_owned(), shape)?;
                all.insert(format!("{name}.weight"), merged);
            }
        }
        Ok(all)
    }

    /// The tensor `name`, stored as `f16` or `f32`.
    fn halves(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let fail =
            |error: String| Error::unsupported(format!("adapter tensor \"{name}\": {error}"));
        let all = SafeTensors::deserialize(&self.bytes).map_err(|e| fail(e.to_string()))?;
        let tensor = all.tensor(name).map_err(|e| fail(e.to_string()))?;
        if tensor.shape() != shape {
            return Err(fail(format!("shape {:?}, not {shape:?}", tensor.shape())));
        }
        match tensor.dtype() {
            Dtype::F16 => Ok(tensor
                .data()
                .chunks_exact(2)
                .map(|bytes| f16::from_le_bytes([bytes[0], bytes[1]]).to_f32())
                .collect()),
            Dtype::F32 => Ok(tensor
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect()),
            other => Err(fail(format!("type {other:?}"))),
        }
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

/// Writes what `trainer` learned to `folder`: an adapter, or, after full fine-tuning, the whole encoder with the
/// configuration and tokenizer of the folder `base`, and a head on it.
///
/// # Errors
/// When the disk refuses.
pub fn save(
    trainer: &Trainer,
    config: &AdapterConfig,
    method: Method,
    base: &Path,
    folder: &Path,
) -> Result<()> {
    let learned = trainer.learned()?;
    if method != Method::Full {
        return write(config, learned, folder);
    }
    create(folder)?;
    let (head, encoder): (Vec<Learned>, Vec<Learned>) = learned
        .into_iter()
        .partition(|(name, ..)| HEAD.contains(&name.as_str()));
    let parts: Vec<(&str, Vec<usize>, &[f32])> = encoder
        .iter()
        .map(|(name, shape, values)| (name.as_str(), shape.clone(), values.as_slice()))
        .collect();
    write_f32(&folder.join("model.safetensors"), &parts, HashMap::new())?;
    for name in ["config.json", "tokenizer.json"] {
        let path = base.join(name);
        let bytes = fs::read(&path).map_err(|source| Error::File { path, source })?;
        publish(&folder.join(name), &bytes)?;
    }
    let whole = AdapterConfig {
        peft_type: HEAD_ONLY.to_owned(),
        base_model_name_or_path: OWN_BASE.to_owned(),
        target_modules: Vec::new(),
        r: 1,
        lora_alpha: 1.0,
        ..config.clone()
    };
    write(&whole, head, folder)
}

/// Writes an adapter or a head: tensors as `f16`, half the size and far finer than the noise of training.
///
/// # Errors
/// When the disk refuses.
pub fn write(config: &AdapterConfig, learned: Vec<Learned>, folder: &Path) -> Result<()> {
    create(folder)?;
    let tensors: Vec<(String, Vec<usize>, Vec<f16>)> = learned
        .into_iter()
        .map(|(name, shape, values)| {
            let halves = values.into_iter().map(f16::from_f32).collect();
            (format!("{PREFIX}{name}"), shape, halves)
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, halves)| {
            let bytes = bytemuck::cast_slice(halves);
            TensorView::new(Dtype::F16, shape.clone(), bytes).map(|view| (name.as_str(), view))
        })
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|error| Error::unsupported(error.to_string()))?;
    let bytes = safetensors::serialize(views, None)
        .map_err(|error| Error::unsupported(error.to_string()))?;
    publish(&folder.join("adapter_model.safetensors"), &bytes)?;
    describe(config, folder)
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|source| Error::File {
        path: folder.into(),
        source,
    })
}

fn describe(config: &AdapterConfig, folder: &Path) -> Result<()> {
    let mut json =
        serde_json::to_vec_pretty(config).map_err(|error| Error::unsupported(error.to_string()))?;
    json.push(b'\n');
    publish(&folder.join(CONFIG), &json)
}
