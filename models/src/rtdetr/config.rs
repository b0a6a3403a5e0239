//! Sizes and choices of an RT-DETR network, read from the `config.json` of a checkpoint.

use crate::bert::labels;
use crate::detr::config::within;
use crate::detr::layers::activation;
use crate::detr::resnet::{self, ResNet};
use crate::error::{Error, Result};
use crate::graph::Function;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Sizes and choices of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What objects are called, by class number.
    pub labels: Vec<String>,
    /// How many objects are looked for.
    pub queries: usize,
    pub(super) width: usize,
    pub(super) encoder_width: usize,
    pub(super) encoder_layers: usize,
    pub(super) encoder_heads: usize,
    pub(super) encoder_inner: usize,
    pub(super) encoder_function: Function,
    /// The maps within which there is attention.
    pub(super) attended: Vec<usize>,
    /// Whether it knows where things are.
    pub(super) placed: bool,
    pub(super) norm_first: bool,
    pub(super) temperature: f64,
    /// Between convolutions.
    pub(super) function: Function,
    pub(super) decoder_layers: usize,
    pub(super) decoder_heads: usize,
    pub(super) decoder_inner: usize,
    pub(super) decoder_function: Function,
    pub(super) points: usize,
    /// Of layer and batch normalisations.
    pub(super) epsilon: f32,
    pub(super) norm_epsilon: f32,
    /// Height and width of images, where anchors are for one size.
    pub(super) side: Option<[usize; 2]>,
    pub(super) backbone: ResNet,
    /// The stages of the backbone whose maps are used.
    pub(super) stages: Vec<usize>,
}

/// The file as it is written; what is left out is as transformers takes it.
#[derive(Deserialize)]
#[serde(default)]
struct File {
    model_type: String,
    d_model: usize,
    num_queries: usize,
    encoder_hidden_dim: usize,
    encoder_layers: usize,
    encoder_attention_heads: usize,
    encoder_ffn_dim: usize,
    encoder_activation_function: String,
    encode_proj_layers: Vec<usize>,
    eval_size: Option<serde_json::Value>,
    normalize_before: bool,
    positional_encoding_temperature: f64,
    activation_function: String,
    feat_strides: Vec<usize>,
    num_feature_levels: usize,
    decoder_layers: usize,
    decoder_attention_heads: usize,
    decoder_ffn_dim: usize,
    decoder_activation_function: String,
    decoder_n_points: usize,
    learn_initial_query: bool,
    with_box_refine: bool,
    layer_norm_eps: f32,
    batch_norm_eps: f32,
    anchor_image_size: Option<[usize; 2]>,
    backbone_config: Option<resnet::File>,
    id2label: Option<BTreeMap<String, String>>,
    num_labels: Option<usize>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            model_type: String::new(),
            d_model: 256,
            num_queries: 300,
            encoder_hidden_dim: 256,
            encoder_layers: 1,
            encoder_attention_heads: 8,
            encoder_ffn_dim: 1024,
            encoder_activation_function: "gelu".to_owned(),
            encode_proj_layers: vec![2],
            eval_size: None,
            normalize_before: false,
            positional_encoding_temperature: 10_000.0,
            activation_function: "silu".to_owned(),
            feat_strides: vec![8, 16, 32],
            num_feature_levels: 3,
            decoder_layers: 6,
            decoder_attention_heads: 8,
            decoder_ffn_dim: 1024,
            decoder_activation_function: "relu".to_owned(),
            decoder_n_points: 4,
            learn_initial_query: false,
            with_box_refine: true,
            layer_norm_eps: 1e-5,
            batch_norm_eps: 1e-5,
            anchor_image_size: None,
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
        if file.model_type != "rt_detr" {
            let what = format!("architecture `{}`, not `rt_detr`", file.model_type);
            return Err(Error::unsupported(what));
        }
        let Some(backbone) = &file.backbone_config else {
            return Err(Error::unsupported("config.json without `backbone_config`"));
        };
        if backbone.model_type != "rt_detr_resnet" {
            let what = format!("backbone `{}`", backbone.model_type);
            return Err(Error::unsupported(what));
        }
        if !file.with_box_refine {
            return Err(Error::unsupported("boxes that layers do not move"));
        }
        if file.learn_initial_query {
            return Err(Error::unsupported("queries that are learned, not chosen"));
        }
        let stages = backbone.stages().unwrap_or_else(|| vec![1, 2, 3]);
        let backbone = backbone.resnet(true)?;
        let config = Self {
            labels: labels(file.id2label, file.num_labels.or(Some(2)))?,
            queries: file.num_queries,
            width: file.d_model,
            encoder_width: file.encoder_hidden_dim,
            encoder_layers: file.encoder_layers,
            encoder_heads: file.encoder_attention_heads,
            encoder_inner: file.encoder_ffn_dim,
            encoder_function: activation(&file.encoder_activation_function)?,
            attended: file.encode_proj_layers,
            placed: file.eval_size.is_none(),
            norm_first: file.normalize_before,
            temperature: file.positional_encoding_temperature,
            function: activation(&file.activation_function)?,
            decoder_layers: file.decoder_layers,
            decoder_heads: file.decoder_attention_heads,
            decoder_inner: file.decoder_ffn_dim,
            decoder_function: activation(&file.decoder_activation_function)?,
            points: file.decoder_n_points,
            epsilon: file.layer_norm_eps,
            norm_epsilon: file.batch_norm_eps,
            side: file.anchor_image_size,
            backbone,
            stages,
        };
        config.check(&file.feat_strides, file.num_feature_levels)?;
        Ok(config)
    }

    fn check(&self, strides: &[usize], levels: usize) -> Result<()> {
        within(
            &[
                self.labels.len(),
                self.queries,
                self.width,
                self.encoder_width,
                self.encoder_heads,
                self.encoder_inner,
                self.decoder_layers,
                self.decoder_heads,
                self.decoder_inner,
                self.points,
            ],
            &[self.encoder_layers, self.decoder_layers],
        )?;
        if !self.encoder_width.is_multiple_of(4) || !self.width.is_multiple_of(self.decoder_heads) {
            return Err(Error::unsupported(format!(
                "widths of {} and {} with {} heads",
                self.encoder_width, self.width, self.decoder_heads
            )));
        }
        // Each map has half the sides of the one before; the first stage has a quarter of the image's, or an eighth.
        let first = 2 + usize::from(self.backbone.halving);
        let made: Vec<usize> = self.stages.iter().map(|stage| stage + first).collect();
        let fits = levels == made.len()
            && !made.is_empty()
            && made.is_sorted_by(|a, b| a + 1 == *b)
            && self.stages.iter().all(|&s| s < self.backbone.depths.len())
            && made.iter().all(|&power| power <= 5)
            && made
                .iter()
                .map(|power| 1 << power)
                .eq(strides.iter().copied());
        if !fits {
            return Err(Error::unsupported(format!(
                "{levels} maps of strides {strides:?} from stages {:?}",
                self.stages
            )));
        }
        let epsilons = [self.epsilon, self.norm_epsilon];
        let sound = epsilons.iter().all(|e| e.is_finite() && *e >= 0.0)
            && self.temperature.is_finite()
            && self.temperature > 0.0;
        if !sound {
            return Err(Error::unsupported(format!(
                "constants {epsilons:?} and {}",
                self.temperature
            )));
        }
        Ok(())
    }
}
