//! Sizes and choices of a DETR network, read from the `config.json` of a checkpoint.

use super::layers::activation;
use super::resnet::{self, ResNet};
use crate::bert::labels;
use crate::error::{Error, Result};
use crate::graph::Function;
use serde::Deserialize;
use std::collections::BTreeMap;

/// No size of a network is larger.
pub(crate) const LARGEST: usize = 1 << 16;
/// No network has more layers.
pub(crate) const DEEPEST: usize = 256;

/// Sizes and choices of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What objects are called, by class number. Numbers that no object has may have a name too ("N/A").
    pub labels: Vec<String>,
    /// How many objects are looked for.
    pub queries: usize,
    pub(crate) width: usize,
    pub(crate) encoder_layers: usize,
    pub(crate) encoder_heads: usize,
    pub(crate) encoder_inner: usize,
    pub(crate) decoder_layers: usize,
    pub(crate) decoder_heads: usize,
    pub(crate) decoder_inner: usize,
    pub(crate) function: Function,
    pub(crate) backbone: ResNet,
}

/// The file as it is written; what is left out is as transformers takes it.
#[derive(Deserialize)]
#[serde(default)]
struct File {
    model_type: String,
    d_model: usize,
    num_queries: usize,
    encoder_layers: usize,
    encoder_attention_heads: usize,
    encoder_ffn_dim: usize,
    decoder_layers: usize,
    decoder_attention_heads: usize,
    decoder_ffn_dim: usize,
    activation_function: String,
    position_embedding_type: String,
    dilation: Option<bool>,
    backbone: Option<String>,
    backbone_config: Option<resnet::File>,
    id2label: Option<BTreeMap<String, String>>,
    num_labels: Option<usize>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            model_type: String::new(),
            d_model: 256,
            num_queries: 100,
            encoder_layers: 6,
            encoder_attention_heads: 8,
            encoder_ffn_dim: 2048,
            decoder_layers: 6,
            decoder_attention_heads: 8,
            decoder_ffn_dim: 2048,
            activation_function: "relu".to_owned(),
            position_embedding_type: "sine".to_owned(),
            dilation: None,
            backbone: None,
            backbone_config: None,
            id2label: None,
            num_labels: None,
        }
    }
}

impl Config {
    /// Reads and checks the text of `config.json`.
    ///
    /// # Errors
    /// When it is not the configuration of such a network, or asks for something not built.
    pub fn read(json: &[u8]) -> Result<Self> {
        let file: File = serde_json::from_slice(json).map_err(Error::Json)?;
        if file.model_type != "detr" {
            let what = format!("architecture `{}`, not `detr`", file.model_type);
            return Err(Error::unsupported(what));
        }
        if file.position_embedding_type != "sine" {
            let what = format!("positions `{}`", file.position_embedding_type);
            return Err(Error::unsupported(what));
        }
        let stretched = file
            .backbone_config
            .as_ref()
            .and_then(|backbone| backbone.output_stride)
            .is_some_and(|stride| stride != 32);
        if file.dilation == Some(true) || stretched {
            return Err(Error::unsupported("a backbone with dilation"));
        }
        let backbone = match &file.backbone_config {
            Some(backbone) if backbone.model_type == "resnet" => backbone.resnet(false)?,
            Some(backbone) if !["", "timm_backbone"].contains(&backbone.model_type.as_str()) => {
                let what = format!("backbone `{}`", backbone.model_type);
                return Err(Error::unsupported(what));
            }
            other => {
                let inner = other.as_ref().and_then(|other| other.backbone.as_deref());
                let name = inner.or(file.backbone.as_deref());
                ResNet::named(name.unwrap_or("resnet50"))?
            }
        };
        let config = Self {
            labels: labels(file.id2label, file.num_labels.or(Some(2)))?,
            queries: file.num_queries,
            width: file.d_model,
            encoder_layers: file.encoder_layers,
            encoder_heads: file.encoder_attention_heads,
            encoder_inner: file.encoder_ffn_dim,
            decoder_layers: file.decoder_layers,
            decoder_heads: file.decoder_attention_heads,
            decoder_inner: file.decoder_ffn_dim,
            function: activation(&file.activation_function)?,
            backbone,
        };
        within(
            &[
                config.labels.len(),
                config.queries,
                config.width,
                config.encoder_inner,
                config.decoder_inner,
            ],
            &[config.encoder_layers, config.decoder_layers],
        )?;
        if !config.width.is_multiple_of(4) {
            let what = format!("a width of {}, not a multiple of four", config.width);
            return Err(Error::unsupported(what));
        }
        Ok(config)
    }
}

/// Checks sizes and numbers of layers.
pub(crate) fn within(sizes: &[usize], layers: &[usize]) -> Result<()> {
    if sizes.iter().any(|size| !(1..=LARGEST).contains(size)) {
        return Err(Error::unsupported(format!("sizes {sizes:?} out of range")));
    }
    if layers.iter().any(|&layers| layers > DEEPEST) {
        return Err(Error::unsupported(format!("{layers:?} layers")));
    }
    Ok(())
}
