//! Words in the place of masks: what a network finds likely where something was left out.

use super::super::alone::{Answers, broke, wanted};
use super::super::questions::{answers, refuse, texts};
use super::{open, whole};
use crate::failure::chain;
use escala_models::Compute;
use escala_models::bert::{Filling, MaskFiller, Masked};
use escala_pipelines::task::LoadContext;
use escala_sagemaker::served::{Asked, Said, Unanswered};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

/// Texts that the network sees at a time.
const AT_ONCE: usize = 16;
/// Words that are told of a mask where nobody says how many.
const TOLD: usize = 5;
/// Most words of all masks of a request: each is told with its text.
const MOST: usize = 100_000;

/// One.
pub struct Masks(MaskFiller);

impl Masks {
    /// What is named.
    ///
    /// # Errors
    /// A sentence: it fills no masks, or is not there.
    pub fn load(reference: &str, context: &LoadContext<'_>) -> Result<Self, String> {
        let files = open(reference, context)?;
        let loaded = MaskFiller::load(files.dir(), context.target);
        loaded.map(Self).map_err(|error| chain(&error))
    }

    /// The only tokens that may be told; none where all may be.
    fn among(&self, parameters: &Value) -> Result<Vec<u32>, Unanswered> {
        let named: Vec<&Value> = match parameters.get("targets") {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(named)) => named.iter().collect(),
            Some(named) => vec![named],
        };
        let mut tokens = Vec::with_capacity(named.len());
        for word in named {
            let word = word
                .as_str()
                .ok_or_else(|| refuse(400, "parameters.targets are words"))?;
            tokens.extend(self.0.token(word).map_err(|error| broke(&error))?);
        }
        tokens.sort_unstable();
        tokens.dedup();
        match tokens.is_empty() {
            true => Err(refuse(400, "the vocabulary has none of parameters.targets")),
            false => Ok(tokens),
        }
    }

    fn read(&self, text: &str, cut: bool) -> Result<Masked, Unanswered> {
        let masked = self.0.read(text).map_err(|error| broke(&error))?;
        if masked.truncated() && !cut {
            return Err(refuse(
                400,
                format!(
                    "a text has more than the {} tokens that are read; parameters.tokenizer_kwargs {{\"truncation\": true}} cuts it",
                    self.0.config().max_tokens()
                ),
            ));
        }
        match masked.masks() {
            0 => Err(refuse(
                400,
                format!("a text has no mask, {}", self.0.mask()),
            )),
            _ => Ok(masked),
        }
    }
}

fn row(filling: &Filling) -> Value {
    json!({
        "score": filling.score,
        "token": filling.token,
        "token_str": filling.word,
        "sequence": filling.text,
    })
}

impl Answers for Masks {
    fn answer(&mut self, compute: &Compute, asked: &Asked) -> Result<Said, Unanswered> {
        let asked_about = texts(asked.content_type.as_deref(), &asked.body)?;
        let parameters = &asked_about.parameters;
        let most = whole(parameters, "top_k", 1)?.unwrap_or(TOLD);
        let among = self.among(parameters)?;
        let cut = parameters.pointer("/tokenizer_kwargs/truncation") == Some(&Value::Bool(true));
        let mut rows = Vec::with_capacity(asked_about.items.len());
        let mut told = 0_usize;
        for some in asked_about.items.chunks(AT_ONCE) {
            wanted(asked)?;
            let texts = some.iter().map(|text| self.read(text, cut));
            let texts: Vec<Masked> = texts.collect::<Result<_, _>>()?;
            let words = most.min(self.0.config().vocab_size);
            let masks = texts.iter().map(Masked::masks).sum::<usize>();
            told = told.saturating_add(masks.saturating_mul(words));
            if told > MOST {
                return Err(refuse(
                    400,
                    format!("a request is told at most {MOST} words for all masks together"),
                ));
            }
            let filled = self.0.fill(compute, &texts, most, &among);
            for masks in filled.map_err(|error| broke(&error))? {
                let mut masks: Vec<Value> = masks
                    .iter()
                    .map(|words| words.iter().map(row).collect())
                    .collect();
                // One mask is answered by itself.
                let told = match masks.len() {
                    1 => masks.pop().unwrap_or_default(),
                    _ => Value::Array(masks),
                };
                let row = to_raw_value(&told);
                rows.push(row.map_err(|error| refuse(500, error.to_string()))?);
            }
        }
        answers(asked_about.answered_alone(), asked.accept.as_deref(), &rows)
    }

    fn memory(&self) -> u64 {
        self.0.memory()
    }
}
