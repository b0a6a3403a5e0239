//! Text to token ids, with the vocabulary that lies beside the weights.

use super::unigram::Unigram;
use crate::error::{Error, Result};
use escala_weights::Tensors;
use std::ops::Range;
use std::path::Path;
use tokenizers::{ModelWrapper, PostProcessor, TruncationDirection};

/// A tokenizer that never pads and cuts at a fixed length.
pub struct Tokenizer {
    kind: Kind,
    longest: usize,
}

enum Kind {
    /// `tokenizer.json` of the `tokenizers` crate.
    Json(Box<tokenizers::Tokenizer>),
    /// `tokenizer.safetensors`.
    Unigram(Unigram),
}

/// The tokens of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Ids, with the special tokens around them.
    pub ids: Vec<u32>,
    /// The text had more tokens than fit.
    pub truncated: bool,
}

/// The tokens of two texts, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairTokens {
    /// Ids, with the special tokens around them.
    pub ids: Vec<u32>,
    /// The first token that the tokenizer counts as the second text's; behind all where it tells none apart.
    pub second: usize,
    /// The texts had more tokens than fit.
    pub truncated: bool,
}

/// All tokens of one text with their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedTokens {
    /// Ids, with the special tokens around them.
    pub ids: Vec<u32>,
    /// For each token, where it lies in the text, unless it is a special one.
    pub places: Vec<Option<Place>>,
}

/// A question and a text, tokens of one behind those of the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Ids, with the special tokens around them.
    pub(super) ids: Vec<u32>,
    /// The first token that the tokenizer counts as the text's, as in [`PairTokens`].
    pub(super) second: Option<usize>,
    /// The tokens of the text.
    pub(super) text: Range<usize>,
    /// For each of those, its bytes in the text, and the number of its word where it has one.
    pub(super) places: Vec<(Range<usize>, Option<u32>)>,
}

/// Where a token lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// First byte.
    pub start: usize,
    /// After the last byte.
    pub end: usize,
    /// The token belongs to the word of the one before.
    pub continues: bool,
}

impl Tokenizer {
    /// Opens the tokenizer of a folder, `tokenizer.json` or `tokenizer.safetensors`; texts are cut to `longest`
    /// tokens, special ones included.
    ///
    /// # Errors
    /// When there is neither, or it is not a tokenizer.
    pub fn load(folder: &Path, longest: usize) -> Result<Self> {
        let tables = folder.join("tokenizer.safetensors");
        if tables.exists() {
            return Ok(Self {
                kind: Kind::Unigram(Unigram::new(&Tensors::open(tables)?)?),
                longest: longest.max(2),
            });
        }
        Self::open(&folder.join("tokenizer.json"), longest)
    }

    /// Opens `tokenizer.json`; texts are cut to `longest` tokens, special ones included.
    ///
    /// # Errors
    /// When the file is not a tokenizer.
    pub fn open(path: &Path, longest: usize) -> Result<Self> {
        let mut inner = tokenizers::Tokenizer::from_file(path)
            .map_err(|error| Error::Tokenizer(format!("{}: {error}", path.display())))?;
        inner.with_padding(None);
        // Cutting here rather than in the crate tells us whether anything was cut.
        inner
            .with_truncation(None)
            .map_err(|error| Error::Tokenizer(error.to_string()))?;
        Ok(Self {
            kind: Kind::Json(Box::new(inner)),
            longest: longest.max(2),
        })
    }

    /// The tokens of `text`.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn encode(&self, text: &str) -> Result<Tokens> {
        let (text, cut) = self.prefix(text);
        let ids = match &self.kind {
            Kind::Unigram(model) => model.encode(text),
            Kind::Json(inner) => {
                let encoding = inner
                    .encode_fast(text, true)
                    .map_err(|error| Error::Tokenizer(error.to_string()))?;
                encoding.get_ids().to_vec()
            }
        };
        Ok(self.cut(ids, cut))
    }

    /// The tokens of two texts. Where they are too many the first is cut, and the second where that is not enough. Where
    /// there is nothing in the second, the first is read alone, as transformers does.
    ///
    /// # Errors
    /// When the tokenizer fails, or has no form for two texts.
    pub fn encode_pair(&self, first: &str, second: &str) -> Result<PairTokens> {
        if second.is_empty() {
            let Tokens { ids, truncated } = self.encode(first)?;
            return Ok(PairTokens {
                second: ids.len(),
                ids,
                truncated,
            });
        }
        let inner = self.json("pairs of texts")?;
        let failed = |error: tokenizers::Error| Error::Tokenizer(error.to_string());
        let (first, first_cut) = self.prefix(first);
        let (second, second_cut) = self.prefix(second);
        let mut first = inner.encode_fast(first, false).map_err(failed)?;
        let mut second = inner.encode_fast(second, false).map_err(failed)?;
        let special = inner
            .get_post_processor()
            .map_or(0, |around| around.added_tokens(true));
        let room = self.longest.saturating_sub(special);
        let longest = room.saturating_sub(second.len());
        let too_long = first.len() > longest || second.len() > room;
        let truncated = first_cut || second_cut || too_long;
        first.truncate(longest, 0, TruncationDirection::Right);
        second.truncate(room, 0, TruncationDirection::Right);
        let both = inner.post_process(first, Some(second), true);
        let both = both.map_err(failed)?;
        let mut kinds = both.get_type_ids().iter();
        Ok(PairTokens {
            ids: both.get_ids().to_vec(),
            second: kinds.position(|kind| *kind != 0).unwrap_or(both.len()),
            truncated,
        })
    }

    /// The tokens of the whole of `text` and where each lies.
    ///
    /// # Errors
    /// When the tokenizer fails, or keeps no places.
    pub fn encode_placed(&self, text: &str) -> Result<PlacedTokens> {
        let inner = self.json("words")?;
        let encoding = inner
            .encode(text, true)
            .map_err(|error| Error::Tokenizer(error.to_string()))?;
        let unknown = unknown(inner);
        let prefix = match inner.get_model() {
            ModelWrapper::WordPiece(model) => Some(model.continuing_subword_prefix.as_str()),
            ModelWrapper::BPE(model) => model.continuing_subword_prefix.as_deref(),
            _ => None,
        };
        let prefix = prefix.filter(|prefix| !prefix.is_empty());
        let place = |index: usize| {
            if encoding.get_special_tokens_mask()[index] != 0 {
                return None;
            }
            let (start, end) = encoding.get_offsets()[index];
            let token = encoding.get_tokens()[index].as_str();
            let piece = text.get(start..end).unwrap_or_default();
            let continues = match prefix {
                _ if Some(encoding.get_ids()[index]) == unknown => false,
                Some(prefix) => token.starts_with(prefix) && token != piece,
                // Without marks on the tokens a word ends at a space.
                None => {
                    let before = text.get(..start).and_then(|text| text.chars().next_back());
                    let rest = text.get(start..).unwrap_or_default();
                    before.is_some_and(|c| c != ' ') && !rest.starts_with(' ')
                }
            };
            Some(Place {
                start,
                end,
                continues,
            })
        };
        Ok(PlacedTokens {
            places: (0..encoding.len()).map(place).collect(),
            ids: encoding.get_ids().to_vec(),
        })
    }

    /// The tokens of a question and of all of a text.
    ///
    /// # Errors
    /// When the tokenizer fails, or has no form for two texts.
    pub(super) fn encode_asked(&self, question: &str, text: &str) -> Result<Asked> {
        let inner = self.json("questions about texts")?;
        let failed = |error: tokenizers::Error| Error::Tokenizer(error.to_string());
        let first = inner.encode(question, false).map_err(failed)?;
        let second = inner.encode(text, false).map_err(failed)?;
        // Now: the second processing would trim places again.
        let places = second.get_offsets().iter().zip(second.get_word_ids());
        let places = places.map(|((start, end), word)| (*start..*end, *word));
        let places: Vec<_> = places.collect();
        let both = inner.post_process(first, Some(second), true);
        let both = both.map_err(failed)?;
        let of = both.get_sequence_ids();
        let is_text = |of: &Option<usize>| *of == Some(1);
        let begins = of.iter().position(is_text).unwrap_or(of.len());
        let ends = of.iter().rposition(is_text).map_or(begins, |last| last + 1);
        if ends - begins != places.len() {
            return Err(Error::unsupported(
                "a tokenizer that reads a text otherwise behind a question",
            ));
        }
        Ok(Asked {
            ids: both.get_ids().to_vec(),
            second: both.get_type_ids().iter().position(|kind| *kind != 0),
            text: begins..ends,
            places,
        })
    }

    /// The number of a token.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        match &self.kind {
            Kind::Json(inner) => inner.token_to_id(token),
            Kind::Unigram(_) => None,
        }
    }

    /// The first token of a text, without the special ones around it.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub(super) fn first(&self, text: &str) -> Result<Option<u32>> {
        let (text, _) = self.prefix(text);
        let encoding = self.json("words as tokens")?.encode_fast(text, false);
        let encoding = encoding.map_err(|error| Error::Tokenizer(error.to_string()))?;
        Ok(encoding.get_ids().first().copied())
    }

    /// Tokens as a text, with or without the special ones.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub(super) fn decode(&self, ids: &[u32], special: bool) -> Result<String> {
        let text = self.json("texts of tokens")?.decode(ids, !special);
        text.map_err(|error| Error::Tokenizer(error.to_string()))
    }

    fn json(&self, what: &str) -> Result<&tokenizers::Tokenizer> {
        match &self.kind {
            Kind::Json(inner) => Ok(inner),
            Kind::Unigram(_) => Err(Error::unsupported(format!(
                "{what} with a tokenizer without tokenizer.json"
            ))),
        }
    }

    /// A token as the vocabulary has it.
    pub(super) fn token(&self, id: u32) -> Option<String> {
        match &self.kind {
            Kind::Json(inner) => inner.id_to_token(id),
            Kind::Unigram(_) => None,
        }
    }

    /// Whether it stands for what the vocabulary does not know.
    pub(super) fn is_unknown(&self, id: u32) -> bool {
        match &self.kind {
            Kind::Json(inner) => unknown(inner) == Some(id),
            Kind::Unigram(_) => false,
        }
    }

    /// The most tokens that one reading has.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Cuts to the longest length; the closing special token stays, as in the reference's truncation.
    fn cut(&self, mut ids: Vec<u32>, cut: bool) -> Tokens {
        let truncated = cut || ids.len() > self.longest;
        if ids.len() > self.longest
            && let Some(last) = ids.pop()
        {
            ids.truncate(self.longest - 1);
            ids.push(last);
        }
        Tokens { ids, truncated }
    }

    /// The part of a very long text that can matter: a word is at most 100 characters before it becomes
    /// one unknown token (WordPiece's limit), and a piece is hardly longer, so 128 characters for each token
    /// are more than enough unless a text is mostly white space, which is skipped rather than counted.
    fn prefix<'a>(&self, text: &'a str) -> (&'a str, bool) {
        let limit = self.longest * 128;
        if text.len() <= limit {
            return (text, false);
        }
        let mut solid = 0;
        for (at, c) in text.char_indices() {
            if !c.is_whitespace() {
                solid += 1;
            } else if solid >= limit {
                return (&text[..at], !text[at..].trim().is_empty());
            }
        }
        (text, false)
    }
}

/// The id of the unknown token.
fn unknown(tokenizer: &tokenizers::Tokenizer) -> Option<u32> {
    match tokenizer.get_model() {
        ModelWrapper::WordPiece(model) => tokenizer.token_to_id(&model.unk_token),
        ModelWrapper::WordLevel(model) => tokenizer.token_to_id(&model.unk_token),
        ModelWrapper::BPE(model) => tokenizer.token_to_id(model.unk_token.as_deref()?),
        // The crate does not tell which; by custom it is this one.
        ModelWrapper::Unigram(_) => tokenizer.token_to_id("<unk>"),
    }
}
