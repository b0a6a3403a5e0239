//! Sizes and choices of a network, read from the `config.json` of a Hugging Face checkpoint.

use crate::error::{Error, Result, read_json};
use serde::Deserialize;
use std::path::Path;

/// The architectures that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// GPT-2: positions from a table, layer normalisation, one product between two with GELU.
    Gpt2,
    /// Llama and what is built as it is (SmolLM, TinyLlama).
    Llama,
    /// Mistral: Llama, with windows of attention.
    Mistral,
    /// Qwen 2 and 2.5: Llama, with biases on queries, keys and values.
    Qwen2,
    /// Qwen 3: Llama, with queries and keys normalised.
    Qwen3,
}

/// How angles of rotary positions (Su et al. 2021, arXiv:2104.09864) are stretched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stretch {
    /// Not at all.
    None,
    /// All by a factor.
    Linear(f64),
    /// Llama 3.1's: long waves by a factor, short ones not at all, those between in part.
    Llama3 {
        /// The factor.
        factor: f64,
        /// Waves longer than the context by this are long.
        low: f64,
        /// Those shorter by this are short.
        high: f64,
        /// The context that the network was first trained with.
        context: f64,
    },
}

/// Sizes and choices of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The architecture.
    pub family: Family,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads of queries.
    pub num_attention_heads: usize,
    /// Heads of keys and values, each shared by as many heads of queries (Ainslie et al. 2023, arXiv:2305.13245).
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Width between the products of the feed-forward part.
    pub intermediate_size: usize,
    /// Most positions.
    pub max_position_embeddings: usize,
    /// Tokens known.
    pub vocab_size: usize,
    /// Added to the variance in normalisation.
    pub epsilon: f32,
    /// Base of the rotary angles.
    pub rope_theta: f64,
    /// How they are stretched.
    pub stretch: Stretch,
    /// Whether the head's weights are the table of words.
    pub tied: bool,
    /// Whether queries, keys and values have biases.
    pub attention_bias: bool,
    /// Whether the product that ends the attention has a bias.
    pub output_bias: bool,
    /// Whether products of the feed-forward part have biases.
    pub mlp_bias: bool,
    /// For each layer how many of the latest positions it sees, where it does not see all.
    pub windows: Vec<Option<usize>>,
    /// Tokens that end a text, by the configuration.
    pub eos: Vec<u32>,
}

/// One number or several.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(untagged)]
pub(crate) enum Ids {
    #[default]
    None,
    One(u32),
    Several(Vec<u32>),
}

impl Ids {
    pub(crate) fn all(self) -> Vec<u32> {
        match self {
            Self::None => Vec::new(),
            Self::One(id) => vec![id],
            Self::Several(ids) => ids,
        }
    }
}

/// Rotary positions as they are written, by newer versions of transformers with their base.
#[derive(Clone, Debug, Default, Deserialize)]
struct Rope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

/// The file as it is written: GPT-2 has names of its own.
#[derive(Deserialize)]
struct File {
    model_type: Option<String>,
    #[serde(alias = "n_embd")]
    hidden_size: Option<usize>,
    #[serde(alias = "n_layer")]
    num_hidden_layers: Option<usize>,
    #[serde(alias = "n_head")]
    num_attention_heads: Option<usize>,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    #[serde(alias = "n_inner")]
    intermediate_size: Option<usize>,
    #[serde(alias = "n_positions")]
    max_position_embeddings: Option<usize>,
    vocab_size: Option<usize>,
    #[serde(alias = "layer_norm_epsilon")]
    rms_norm_eps: Option<f64>,
    #[serde(alias = "activation_function")]
    hidden_act: Option<String>,
    rope_theta: Option<f64>,
    rope_scaling: Option<Rope>,
    rope_parameters: Option<Rope>,
    tie_word_embeddings: Option<bool>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
    max_window_layers: Option<usize>,
    layer_types: Option<Vec<String>>,
    #[serde(default)]
    eos_token_id: Ids,
    #[serde(default)]
    scale_attn_by_inverse_layer_idx: bool,
    scale_attn_weights: Option<bool>,
    #[serde(default)]
    add_cross_attention: bool,
    quantization_config: Option<serde_json::Value>,
}

impl Config {
    /// Reads a checkpoint's file.
    ///
    /// # Errors
    /// When it cannot be read, or describes what is not built.
    pub fn open(path: &Path) -> Result<Self> {
        let config = Self::of(read_json(path)?)?;
        config.check()?;
        Ok(config)
    }

    fn of(file: File) -> Result<Self> {
        let name = file.model_type.as_deref().unwrap_or("without a name");
        let family = match name {
            "gpt2" => Family::Gpt2,
            "llama" => Family::Llama,
            "mistral" => Family::Mistral,
            "qwen2" => Family::Qwen2,
            "qwen3" => Family::Qwen3,
            other => {
                return Err(Error::unsupported(format!(
                    "texts are continued by networks of the architectures gpt2, llama, mistral, qwen2 and qwen3, not `{other}`"
                )));
            }
        };
        let gpt2 = family == Family::Gpt2;
        let default = if gpt2 { "gelu_new" } else { "silu" };
        let activation = file.hidden_act.as_deref().unwrap_or(default);
        if activation != default {
            return Err(Error::unsupported(format!(
                "activation `{activation}` of the architecture `{name}`"
            )));
        }
        let other = file.scale_attn_by_inverse_layer_idx
            || file.scale_attn_weights == Some(false)
            || file.add_cross_attention;
        if other {
            return Err(Error::unsupported("attention of another kind"));
        }
        if file.quantization_config.is_some() {
            return Err(Error::unsupported("weights that are quantized"));
        }
        let wanted = |value: Option<usize>, name: &str| {
            value.ok_or_else(|| Error::unsupported(format!("a configuration without `{name}`")))
        };
        let hidden_size = wanted(file.hidden_size, "hidden_size")?;
        let heads = wanted(file.num_attention_heads, "num_attention_heads")?;
        let layers = wanted(file.num_hidden_layers, "num_hidden_layers")?;
        let intermediate_size = match (file.intermediate_size, gpt2) {
            (None, true) => hidden_size.saturating_mul(4),
            (size, _) => wanted(size, "intermediate_size")?,
        };
        let written = file
            .rope_parameters
            .or(file.rope_scaling)
            .unwrap_or_default();
        Ok(Self {
            family,
            hidden_size,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: file.num_key_value_heads.unwrap_or(heads),
            head_dim: file.head_dim.unwrap_or(hidden_size / heads.max(1)),
            intermediate_size,
            max_position_embeddings: wanted(
                file.max_position_embeddings,
                "max_position_embeddings",
            )?,
            vocab_size: wanted(file.vocab_size, "vocab_size")?,
            epsilon: file.rms_norm_eps.unwrap_or(if gpt2 { 1e-5 } else { 1e-6 }) as f32,
            rope_theta: file.rope_theta.or(written.rope_theta).unwrap_or(10_000.0),
            stretch: stretch(&written)?,
            tied: file.tie_word_embeddings.unwrap_or(gpt2),
            attention_bias: match family {
                Family::Gpt2 | Family::Qwen2 => true,
                _ => file.attention_bias.unwrap_or(false),
            },
            output_bias: match family {
                Family::Gpt2 => true,
                Family::Qwen2 => false,
                _ => file.attention_bias.unwrap_or(false),
            },
            mlp_bias: gpt2 || file.mlp_bias.unwrap_or(false),
            windows: windows(
                family,
                layers,
                &file.layer_types,
                file.sliding_window,
                file.use_sliding_window.unwrap_or(false),
                file.max_window_layers.unwrap_or(usize::MAX),
            ),
            eos: file.eos_token_id.all(),
        })
    }

    /// Whether sizes are such that a network can be built.
    fn check(&self) -> Result<()> {
        let sizes = [
            ("hidden_size", self.hidden_size, 1 << 16),
            ("num_hidden_layers", self.num_hidden_layers, 1 << 10),
            ("num_attention_heads", self.num_attention_heads, 1 << 10),
            ("num_key_value_heads", self.num_key_value_heads, 1 << 10),
            ("head_dim", self.head_dim, 1 << 12),
            ("intermediate_size", self.intermediate_size, 1 << 18),
            (
                "max_position_embeddings",
                self.max_position_embeddings,
                1 << 24,
            ),
            ("vocab_size", self.vocab_size, 1 << 22),
        ];
        for (name, size, most) in sizes {
            if size == 0 || size > most {
                return Err(Error::unsupported(format!("`{name}` of {size}")));
            }
        }
        let (heads, kept) = (self.num_attention_heads, self.num_key_value_heads);
        if !heads.is_multiple_of(kept) {
            return Err(Error::unsupported(format!(
                "{heads} heads of queries for {kept} of keys"
            )));
        }
        if self.family == Family::Gpt2 {
            if kept != heads || self.head_dim * heads != self.hidden_size {
                return Err(Error::unsupported("heads that do not fill the hidden size"));
            }
        } else if !self.head_dim.is_multiple_of(2) {
            return Err(Error::unsupported("rotary positions of an odd width"));
        }
        let angles_fit = self.rope_theta.is_finite() && self.rope_theta > 0.0;
        if !(angles_fit && self.epsilon.is_finite() && self.epsilon >= 0.0) {
            return Err(Error::unsupported(
                "a configuration with numbers out of range",
            ));
        }
        Ok(())
    }
}

fn stretch(rope: &Rope) -> Result<Stretch> {
    let positive = |value: Option<f64>, name: &str| {
        value
            .filter(|value| value.is_finite() && *value > 0.0)
            .ok_or_else(|| Error::unsupported(format!("rotary positions without `{name}`")))
    };
    Ok(match rope.rope_type.as_deref() {
        None | Some("default") => Stretch::None,
        Some("linear") => Stretch::Linear(positive(rope.factor, "factor")?),
        Some("llama3") => Stretch::Llama3 {
            factor: positive(rope.factor, "factor")?,
            low: positive(rope.low_freq_factor, "low_freq_factor")?,
            high: positive(rope.high_freq_factor, "high_freq_factor")?,
            context: positive(
                rope.original_max_position_embeddings,
                "original_max_position_embeddings",
            )?,
        },
        Some(other) => {
            return Err(Error::unsupported(format!(
                "rotary positions of the kind `{other}`"
            )));
        }
    })
}

/// The windows of the layers.
fn windows(
    family: Family,
    layers: usize,
    types: &Option<Vec<String>>,
    window: Option<usize>,
    used: bool,
    first: usize,
) -> Vec<Option<usize>> {
    let of = |layer: usize| match (family, types) {
        (Family::Gpt2 | Family::Llama, _) => None,
        (_, Some(types)) => match types.get(layer).map(String::as_str) {
            Some("sliding_attention") => window,
            _ => None,
        },
        (Family::Mistral, None) => window,
        (Family::Qwen2 | Family::Qwen3, None) => window.filter(|_| used && layer >= first),
    };
    // A layer always sees the position itself.
    (0..layers.min(1 << 10))
        .map(|layer| of(layer).map(|window| window.max(1)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLAMA: &str = r#"{"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 16, "max_position_embeddings": 32, "vocab_size": 9,
        "hidden_act": "silu", "eos_token_id": [3, 4]}"#;

    fn read(text: &str) -> Result<Config> {
        let config = Config::of(serde_json::from_str(text).expect("json"))?;
        config.check()?;
        Ok(config)
    }

    #[test]
    fn what_is_left_out_is_the_familys() {
        let config = read(LLAMA).expect("a configuration");
        assert_eq!((config.head_dim, config.rope_theta), (2, 10_000.0));
        assert_eq!((config.eos, config.tied), (vec![3, 4], false));
        let gpt2 = r#"{"model_type": "gpt2", "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 7, "vocab_size": 9}"#;
        let config = read(gpt2).expect("a configuration");
        assert_eq!((config.intermediate_size, config.tied), (32, true));
        assert!(config.attention_bias && config.mlp_bias);
    }

    #[test]
    fn windows_are_those_of_some_layers() {
        let with = |more: &str| LLAMA.replace("\"vocab_size\"", &format!("{more}, \"vocab_size\""));
        let windows = |text: &str| read(text).expect("a configuration").windows;
        let mistral = with("\"sliding_window\": 5").replace("\"llama\"", "\"mistral\"");
        assert_eq!(windows(&mistral), [Some(5), Some(5)]);
        let qwen = "\"sliding_window\": 5, \"use_sliding_window\": true, \"max_window_layers\": 1";
        let qwen = with(qwen).replace("\"llama\"", "\"qwen2\"");
        assert_eq!(windows(&qwen), [None, Some(5)]);
        assert_eq!(windows(&qwen.replace("true", "false")), [None, None]);
        assert_eq!(windows(LLAMA), [None, None]);
    }

    #[test]
    fn what_is_not_built_is_refused_by_name() {
        for (from, to, says) in [
            ("\"llama\"", "\"bloom\"", "not `bloom`"),
            ("\"silu\"", "\"relu\"", "activation `relu`"),
            (
                "\"num_key_value_heads\": 2",
                "\"num_key_value_heads\": 3",
                "for 3 of keys",
            ),
            ("\"hidden_size\": 8", "\"hidden_size\": 12", "odd width"),
            ("\"vocab_size\": 9,", "", "without `vocab_size`"),
            (
                "\"num_attention_heads\": 4",
                "\"num_attention_heads\": 0",
                "of 0",
            ),
            (
                "\"vocab_size\"",
                "\"rope_scaling\": {\"type\": \"yarn\"}, \"vocab_size\"",
                "kind `yarn`",
            ),
            (
                "\"vocab_size\"",
                "\"rope_scaling\": {\"type\": \"linear\"}, \"vocab_size\"",
                "without `factor`",
            ),
            (
                "\"vocab_size\"",
                "\"quantization_config\": {}, \"vocab_size\"",
                "quantized",
            ),
        ] {
            let error = read(&LLAMA.replace(from, to)).expect_err(says).to_string();
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}
