//! Words for what was left out of a text: tokens of the vocabulary in the place of a mask.
//!
//! The head is the family's: BERT's `cls.predictions`, RoBERTa's `lm_head`, DistilBERT's `vocab_…`. Each is a layer from the
//! hidden size to itself with the network's activation, a normalisation, and a layer to the vocabulary, whose weights are the
//! table of words where the checkpoint has no others (Press and Wolf 2017, arXiv:1608.05859). Reference: the pipeline `fill-mask`
//! of Hugging Face transformers.

use super::config::Family;
use super::cpu::Norm;
use super::head::{After, Dense, finite, softmax};
use super::tokenizer::Tokens;
use super::weights::Weights;
use super::{Config, Encoder, HiddenAct, Output, Tokenizer, Way, open};
use crate::compute::{Compute, Target};
use crate::error::{Error, Result};
use candle_core::Device;
use std::path::Path;

/// What a mask is called in the vocabularies of these families.
const MASKS: [&str; 2] = ["[MASK]", "<mask>"];

/// Masks whose probabilities are held at a time: each is a number for every token that is known.
const AT_ONCE: usize = 16;

/// A network that knows which words may stand where.
pub struct MaskFiller {
    tokenizer: Tokenizer,
    encoder: Encoder,
    dense: Dense,
    norm: Norm,
    words: Dense,
    mask: u32,
}

/// A text with masks, as the network reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked {
    ids: Vec<u32>,
    masks: Vec<usize>,
    truncated: bool,
}

impl Masked {
    /// The number of masks that are read.
    pub fn masks(&self) -> usize {
        self.masks.len()
    }

    /// The text had more tokens than the network reads.
    pub fn truncated(&self) -> bool {
        self.truncated
    }
}

/// A token in the place of a mask.
#[derive(Clone, Debug, PartialEq)]
pub struct Filling {
    /// Its probability among all tokens.
    pub score: f32,
    /// Its number.
    pub token: u32,
    /// As it is written.
    pub word: String,
    /// The text with it in the place of the mask; other masks are still there.
    pub text: String,
}

impl MaskFiller {
    /// Loads a checkpoint's folder for `target`.
    ///
    /// # Errors
    /// When a file is missing, does not fit, has no such head, or the device refuses.
    pub fn load<'a>(folder: &Path, target: impl Into<Target<'a>>) -> Result<Self> {
        Self::load_way(folder, Way::Best(target.into()))
    }

    /// The same with the encoder in plain candle operations, also on the CPU: the reference of the fast way.
    ///
    /// # Errors
    /// As [`MaskFiller::load`].
    pub fn load_reference(folder: &Path, device: &Device) -> Result<Self> {
        Self::load_way(folder, Way::Plain(device))
    }

    fn load_way(folder: &Path, way: Way<'_>) -> Result<Self> {
        let weights = open(folder)?;
        let config = &weights.config;
        let (dense, norm, after) = match config.family {
            Family::Bert => (
                "cls.predictions.transform.dense",
                "cls.predictions.transform.LayerNorm",
                config.hidden_act,
            ),
            // It is always the one.
            Family::Roberta => ("lm_head.dense", "lm_head.layer_norm", HiddenAct::Gelu),
            Family::DistilBert => ("vocab_transform", "vocab_layer_norm", config.hidden_act),
        };
        let name = format!("{dense}.weight");
        if !weights.has(&name) {
            return Err(Error::unsupported(format!(
                "a checkpoint without the tensor \"{name}\" cannot fill masks"
            )));
        }
        let tokenizer = Tokenizer::load(folder, config.max_tokens())?;
        let mask = MASKS.iter().find_map(|mask| tokenizer.id(mask));
        let mask = mask.filter(|mask| (*mask as usize) < config.vocab_size);
        Ok(Self {
            mask: mask.ok_or_else(|| Error::unsupported("a tokenizer without a mask"))?,
            tokenizer,
            dense: Dense::square(&weights, dense, After::Kernel(after.kernel()))?,
            norm: Norm::new(&weights, norm)?,
            words: words(&weights)?,
            encoder: Encoder::new(&weights, way)?,
        })
    }

    /// Sizes of the network.
    pub fn config(&self) -> &Config {
        &self.encoder.config
    }

    /// What a mask is called in a text.
    pub fn mask(&self) -> String {
        self.tokenizer.token(self.mask).unwrap_or_default()
    }

    /// Bytes of memory that the loaded network holds.
    pub fn memory(&self) -> u64 {
        self.encoder.memory() + self.dense.bytes() + self.words.bytes()
    }

    /// A text as the network reads it.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn read(&self, text: &str) -> Result<Masked> {
        let Tokens { ids, truncated } = self.tokenizer.encode(text)?;
        let tokens = ids.iter().enumerate();
        let masks = tokens.filter(|(_, id)| **id == self.mask);
        Ok(Masked {
            masks: masks.map(|(place, _)| place).collect(),
            ids,
            truncated,
        })
    }

    /// The token that a word is, or begins with; none of a word without tokens.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn token(&self, word: &str) -> Result<Option<u32>> {
        let token = match self.tokenizer.id(word) {
            Some(token) => Some(token),
            None => self.tokenizer.first(word)?,
        };
        Ok(token.filter(|token| (*token as usize) < self.config().vocab_size))
    }

    /// For each mask of each text the `most` probable tokens, the most probable first; only of those in `among`, where there are
    /// some.
    ///
    /// # Errors
    /// When the tokenizer or the device fails, or the network gives something that is not a number.
    pub fn fill(
        &self,
        compute: &Compute,
        texts: &[Masked],
        most: usize,
        among: &[u32],
    ) -> Result<Vec<Vec<Vec<Filling>>>> {
        let sequences: Vec<&[u32]> = texts.iter().map(|text| &*text.ids).collect();
        let states = self.encoder.run(compute, &sequences, Output::All)?;
        let mut filled = Vec::with_capacity(texts.len());
        for (text, states) in texts.iter().zip(states) {
            let mut places = Vec::with_capacity(text.masks.len());
            for masks in text.masks.chunks(AT_ONCE) {
                for (mask, scores) in masks.iter().zip(self.scores(compute, &states, masks)?) {
                    places.push(self.best(text, *mask, &scores, most, among)?);
                }
            }
            filled.push(places);
        }
        Ok(filled)
    }

    /// The probability of each token in each of some places of a text with these hidden states.
    fn scores(&self, compute: &Compute, states: &[f32], places: &[usize]) -> Result<Vec<Vec<f32>>> {
        let width = self.config().hidden_size;
        let rows = places
            .iter()
            .filter_map(|place| states.chunks_exact(width).nth(*place));
        let mut rows = self.dense.apply(&rows.collect::<Vec<_>>().concat());
        self.norm.rows(&mut rows);
        let numbers = self.words.apply_on(&compute.team, &rows);
        finite(&numbers)?;
        let each = numbers.chunks_exact(self.config().vocab_size);
        Ok(each
            .map(|row| {
                let mut scores = row.to_vec();
                softmax(&mut scores);
                scores
            })
            .collect())
    }

    fn best(
        &self,
        text: &Masked,
        mask: usize,
        scores: &[f32],
        most: usize,
        among: &[u32],
    ) -> Result<Vec<Filling>> {
        let of = |token: u32| Some((token, *scores.get(token as usize)?));
        let mut ranked: Vec<(u32, f32)> = match among {
            [] => (0..scores.len() as u32).filter_map(of).collect(),
            among => among.iter().copied().filter_map(of).collect(),
        };
        let order = |one: &(u32, f32), other: &(u32, f32)| {
            other.1.total_cmp(&one.1).then(one.0.cmp(&other.0))
        };
        if most < ranked.len() {
            ranked.select_nth_unstable_by(most, order);
            ranked.truncate(most);
        }
        ranked.sort_by(order);
        let mut ids = text.ids.clone();
        let filling = |(token, score)| {
            if let Some(place) = ids.get_mut(mask) {
                *place = token;
            }
            Ok(Filling {
                score,
                token,
                word: self.tokenizer.decode(&[token], true)?,
                // Special tokens are told only where other masks are among them.
                text: self.tokenizer.decode(&ids, text.masks.len() > 1)?,
            })
        };
        ranked.into_iter().map(filling).collect()
    }
}

/// The layer from the hidden size to the vocabulary.
fn words(weights: &Weights) -> Result<Dense> {
    let config = &weights.config;
    let (layer, other) = match config.family {
        Family::Bert => ("cls.predictions.decoder", "cls.predictions.bias"),
        Family::Roberta => ("lm_head.decoder", "lm_head.bias"),
        Family::DistilBert => ("vocab_projector", "vocab_projector.bias"),
    };
    let mut table = format!("{layer}.weight");
    if !weights.has(&table) {
        table = weights.module("embeddings.word_embeddings.weight");
    }
    let mut bias = format!("{layer}.bias");
    if !weights.has(&bias) {
        other.clone_into(&mut bias);
    }
    let (known, width) = (config.vocab_size, config.hidden_size);
    let table = weights.get(&table, &[known, width])?;
    let bias = weights.get(&bias, &[known])?;
    Ok(Dense::of(&table, &bias, width, After::Nothing))
}
