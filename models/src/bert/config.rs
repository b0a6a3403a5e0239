//! Sizes and choices of a network, read from the `config.json` of a Hugging Face checkpoint.

use crate::error::{Error, Result, read_json};
use crate::kernels::Activation;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The architectures that are read; all are the same post-layer-norm transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// BERT.
    Bert,
    /// DistilBERT: no segments, other names.
    DistilBert,
    /// RoBERTa, XLM-RoBERTa and CamemBERT: positions start after the padding id.
    Roberta,
}

/// What lies between the two products of the feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HiddenAct {
    /// Exact GELU.
    Gelu,
    /// GELU by the hyperbolic tangent.
    GeluTanh,
    /// Nothing below zero.
    Relu,
}

impl HiddenAct {
    pub(super) fn kernel(self) -> Activation {
        match self {
            Self::Gelu => Activation::Gelu,
            Self::GeluTanh => Activation::GeluTanh,
            Self::Relu => Activation::Relu,
        }
    }
}

/// How a sequence classifier's numbers become scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Exactly one label holds: softmax.
    SingleLabel,
    /// Labels are no classes but numbers, told as the network gives them.
    Regression,
    /// Each label holds or does not: sigmoid.
    MultiLabel,
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
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width between the two products of the feed-forward part.
    pub intermediate_size: usize,
    /// Rows of the position table.
    pub max_position_embeddings: usize,
    /// Tokens known.
    pub vocab_size: usize,
    /// Kinds of segments; 0 where the family has none.
    pub type_vocab_size: usize,
    /// Added to the variance in layer normalisation.
    pub layer_norm_eps: f64,
    /// The activation.
    pub hidden_act: HiddenAct,
    /// The padding token.
    pub pad_token_id: u32,
    /// Labels of a classifier by number; empty where the file names none.
    pub labels: Vec<String>,
    /// How a classifier's scores are made, where the file says so.
    pub problem: Option<Problem>,
}

/// The file as it is written: DistilBERT has names of its own.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    model_type: Option<String>,
    hidden_size: Option<usize>,
    dim: Option<usize>,
    num_hidden_layers: Option<usize>,
    n_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    n_heads: Option<usize>,
    intermediate_size: Option<usize>,
    hidden_dim: Option<usize>,
    max_position_embeddings: Option<usize>,
    vocab_size: Option<usize>,
    type_vocab_size: Option<usize>,
    layer_norm_eps: Option<f64>,
    hidden_act: Option<String>,
    activation: Option<String>,
    pad_token_id: Option<u32>,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
    id2label: Option<BTreeMap<String, String>>,
    num_labels: Option<usize>,
    problem_type: Option<String>,
}

/// More labels than any classifier has.
const MOST_LABELS: usize = 100_000;

impl Config {
    /// Reads and checks `config.json`.
    ///
    /// # Errors
    /// When the file is missing, is not the configuration of a known family, or asks for something not built.
    pub fn open(path: &Path) -> Result<Self> {
        let config = Self::of(read_json(path)?)?;
        config.check()?;
        Ok(config)
    }

    fn of(file: File) -> Result<Self> {
        // Files older than the key are BERT's.
        let model_type = file.model_type.as_deref().unwrap_or("bert");
        let family = match model_type {
            "bert" => Family::Bert,
            "distilbert" => Family::DistilBert,
            "roberta" | "xlm-roberta" | "camembert" => Family::Roberta,
            other => {
                return Err(Error::unsupported(format!(
                    "architecture `{other}`: bert, distilbert, roberta, xlm-roberta and camembert are read"
                )));
            }
        };
        let distil = family == Family::DistilBert;
        let either = |own, distils| if distil { distils } else { own };
        let size = |name: &str, size: Option<usize>| {
            size.ok_or_else(|| Error::unsupported(format!("config.json without `{name}`")))
        };
        let act = if distil {
            file.activation
        } else {
            file.hidden_act
        };
        let hidden_act = match act.as_deref().unwrap_or("gelu") {
            "gelu" | "gelu_python" => HiddenAct::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => HiddenAct::GeluTanh,
            "relu" => HiddenAct::Relu,
            other => return Err(Error::unsupported(format!("activation `{other}`"))),
        };
        if let Some(other) = file
            .position_embedding_type
            .filter(|kind| kind != "absolute")
        {
            return Err(Error::unsupported(format!("position embeddings `{other}`")));
        }
        if file.is_decoder {
            return Err(Error::unsupported("a decoder: only encoders are read"));
        }
        let problem = match file.problem_type.as_deref() {
            None => None,
            Some("single_label_classification") => Some(Problem::SingleLabel),
            Some("multi_label_classification") => Some(Problem::MultiLabel),
            Some("regression") => Some(Problem::Regression),
            Some(other) => return Err(Error::unsupported(format!("problem type `{other}`"))),
        };
        Ok(Self {
            family,
            hidden_size: size("hidden_size", either(file.hidden_size, file.dim))?,
            num_hidden_layers: size(
                "num_hidden_layers",
                either(file.num_hidden_layers, file.n_layers),
            )?,
            num_attention_heads: size(
                "num_attention_heads",
                either(file.num_attention_heads, file.n_heads),
            )?,
            intermediate_size: size(
                "intermediate_size",
                either(file.intermediate_size, file.hidden_dim),
            )?,
            max_position_embeddings: size("max_position_embeddings", file.max_position_embeddings)?,
            vocab_size: size("vocab_size", file.vocab_size)?,
            type_vocab_size: match family {
                Family::DistilBert => 0,
                Family::Bert | Family::Roberta => file.type_vocab_size.unwrap_or(2),
            },
            // DistilBERT's is a constant of its code.
            layer_norm_eps: file.layer_norm_eps.filter(|_| !distil).unwrap_or(1e-12),
            hidden_act,
            pad_token_id: file.pad_token_id.unwrap_or(match family {
                Family::Roberta => 1,
                Family::Bert | Family::DistilBert => 0,
            }),
            labels: labels(file.id2label, file.num_labels)?,
            problem,
        })
    }

    pub(super) fn check(&self) -> Result<()> {
        let sizes = [
            self.hidden_size,
            self.num_hidden_layers,
            self.num_attention_heads,
            self.intermediate_size,
        ];
        if sizes.contains(&0) || sizes.iter().any(|&size| size > 1 << 16) {
            return Err(Error::unsupported(format!(
                "sizes out of range in {self:?}"
            )));
        }
        let segments = self.family != Family::DistilBert;
        if self.vocab_size == 0 || (segments && self.type_vocab_size == 0) || self.max_tokens() == 0
        {
            return Err(Error::unsupported(format!("empty embeddings in {self:?}")));
        }
        let tables = [
            self.vocab_size,
            self.type_vocab_size,
            self.max_position_embeddings,
        ];
        if tables.iter().any(|&rows| rows > 1 << 24) {
            return Err(Error::unsupported(format!(
                "embeddings out of range in {self:?}"
            )));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(Error::unsupported(format!(
                "a hidden size of {} is not a multiple of {} heads",
                self.hidden_size, self.num_attention_heads
            )));
        }
        if !self.layer_norm_eps.is_finite() || self.layer_norm_eps < 0.0 {
            return Err(Error::unsupported(format!(
                "a layer norm epsilon of {}",
                self.layer_norm_eps
            )));
        }
        Ok(())
    }

    /// Width of one head.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// The longest sequence that the network reads.
    pub fn max_tokens(&self) -> usize {
        match self.family {
            Family::Bert | Family::DistilBert => self.max_position_embeddings,
            // Rows up to the padding id's are never a token's.
            Family::Roberta => self
                .max_position_embeddings
                .saturating_sub(self.pad_token_id as usize + 1),
        }
    }

    /// The segments that are told apart: one where there is no more than one, else two.
    pub(crate) fn segments(&self) -> usize {
        self.type_vocab_size.clamp(1, 2)
    }

    /// The row of the position table for each token; those from the token `second` on are the second segment's, where
    /// there is one, whose rows come behind the others. RoBERTa counts from the row after the padding id, and
    /// passes over tokens that are the padding id (a text can spell it); they stay at its row.
    pub(crate) fn positions(&self, ids: &[u32], second: usize) -> impl Iterator<Item = u32> {
        let (roberta, pad) = (self.family == Family::Roberta, self.pad_token_id);
        let mut next = if roberta { pad + 1 } else { 0 };
        let behind = match self.segments() {
            1 => 0,
            _ => self.max_position_embeddings as u32,
        };
        ids.iter().enumerate().map(move |(place, &id)| {
            let segment = if place < second { 0 } else { behind };
            if roberta && id == pad {
                return pad + segment;
            }
            next += 1;
            next - 1 + segment
        })
    }
}

/// The labels of a classifier by number.
pub(crate) fn labels(
    named: Option<BTreeMap<String, String>>,
    count: Option<usize>,
) -> Result<Vec<String>> {
    let Some(named) = named else {
        let count = count.unwrap_or(0).min(MOST_LABELS);
        return Ok((0..count).map(|label| format!("LABEL_{label}")).collect());
    };
    (0..named.len())
        .map(|label| {
            named.get(&label.to_string()).cloned().ok_or_else(|| {
                Error::unsupported(format!(
                    "`id2label` of {} labels without number {label}",
                    named.len()
                ))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config> {
        let config = Config::of(serde_json::from_str(text).expect("json"))?;
        config.check()?;
        Ok(config)
    }

    const ROBERTA: &str = r#"{"model_type": "xlm-roberta", "hidden_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 10, "vocab_size": 5,
        "type_vocab_size": 1, "layer_norm_eps": 1e-05, "hidden_act": "gelu", "pad_token_id": 1,
        "id2label": {"1": "yes", "0": "no"}, "problem_type": "multi_label_classification"}"#;

    #[test]
    fn roberta_counts_positions_after_the_padding() {
        let config = read(ROBERTA).expect("config");
        assert_eq!(config.max_tokens(), 8);
        let positions = |ids: &[u32]| config.positions(ids, usize::MAX).collect::<Vec<_>>();
        assert_eq!(positions(&[0, 4, 2]), [2, 3, 4]);
        assert_eq!(positions(&[0, 1, 2]), [2, 1, 3]);
        assert_eq!(config.labels, ["no", "yes"]);
        assert_eq!(config.problem, Some(Problem::MultiLabel));
    }

    #[test]
    fn what_is_not_built_is_refused_by_name() {
        for (from, to, says) in [
            ("xlm-roberta", "t5", "architecture `t5`"),
            ("\"gelu\"", "\"silu\"", "activation `silu`"),
            ("\"0\": \"no\"", "\"7\": \"no\"", "without number 0"),
            (
                "multi_label_classification",
                "ranking",
                "problem type `ranking`",
            ),
            (
                "\"num_attention_heads\": 2",
                "\"num_attention_heads\": 3",
                "multiple of 3",
            ),
            ("\"vocab_size\": 5,", "", "without `vocab_size`"),
            (
                "\"max_position_embeddings\": 10",
                "\"max_position_embeddings\": 2",
                "empty",
            ),
            (
                "\"type_vocab_size\"",
                "\"is_decoder\": true, \"type_vocab_size\"",
                "a decoder",
            ),
        ] {
            let error = read(&ROBERTA.replace(from, to))
                .expect_err(says)
                .to_string();
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}
