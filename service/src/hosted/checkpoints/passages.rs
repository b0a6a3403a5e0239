//! Questions about a text: the passages that answer them. Positions are code points, as Python counts.

use super::super::alone::{Answers, broke, told};
use super::super::questions::{Questions, answers, essence, objects, refuse};
use super::{open, whole};
use crate::failure::chain;
use escala_models::Compute;
use escala_models::bert::{AnswerFinder, AnswerOptions};
use escala_pipelines::offsets::Offsets;
use escala_pipelines::task::LoadContext;
use escala_sagemaker::served::{Asked, Said, Unanswered};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

/// Most answers that are told to a question.
const MOST: usize = 100;

/// One.
pub struct Passages(AnswerFinder);

impl Passages {
    /// What is named.
    ///
    /// # Errors
    /// A sentence: it answers no questions, or is not there.
    pub fn load(reference: &str, context: &LoadContext<'_>) -> Result<Self, String> {
        let files = open(reference, context)?;
        let loaded = AnswerFinder::load(files.dir(), context.device);
        loaded.map(Self).map_err(|error| chain(&error))
    }

    fn found(
        &self,
        compute: &Compute,
        (question, text): &(String, String),
        options: &AnswerOptions,
    ) -> Result<Value, Unanswered> {
        let found = self.0.answers(compute, question, text, options);
        let found = found.map_err(|error| broke(&error))?.ok_or_else(|| {
            let most = options.window.min(self.0.config().max_tokens());
            refuse(
                400,
                format!(
                    "the question leaves too little room for its context among {most} tokens (parameters.max_seq_len, doc_stride), or the context is too long"
                ),
            )
        })?;
        let offsets = Offsets::new(text);
        let mut all = Vec::with_capacity(found.len());
        for answer in found {
            let place = offsets.extent(answer.place);
            let place = place.map_err(|error| told(&error))?;
            all.push(json!({
                "score": answer.score,
                "start": place.begin,
                "end": place.end,
                "answer": place.of(text),
            }));
        }
        Ok(match all.len() {
            1 => all.pop().unwrap_or_default(),
            _ => Value::Array(all),
        })
    }
}

fn options(parameters: &Value) -> Result<AnswerOptions, Unanswered> {
    let usual = AnswerOptions::default();
    let number = |name, least| whole(parameters, name, least);
    let switch = |name: &str, usual: bool| match parameters.get(name) {
        None | Some(Value::Null) => Ok(usual),
        Some(said) => said
            .as_bool()
            .ok_or_else(|| refuse(400, format!("parameters.{name} is true or false"))),
    };
    let most = number("top_k", 1)?.or(number("topk", 1)?);
    let options = AnswerOptions {
        most: most.unwrap_or(usual.most),
        longest: number("max_answer_len", 1)?.unwrap_or(usual.longest),
        window: number("max_seq_len", 1)?.unwrap_or(usual.window),
        overlap: number("doc_stride", 0)?,
        words: switch("align_to_words", usual.words)?,
        none: switch("handle_impossible_answer", usual.none)?,
    };
    match options.most > MOST {
        true => Err(refuse(
            400,
            format!("parameters.top_k is at most {MOST} answers"),
        )),
        false => Ok(options),
    }
}

/// The questions of a request, each with its text.
fn questions(asked: &Asked) -> Result<Questions<(String, String)>, Unanswered> {
    let kind = essence(asked.content_type.as_deref().unwrap_or("application/json"));
    let read = objects(&kind, &asked.body)?.ok_or_else(|| {
        refuse(
            415,
            format!("{kind} has no questions; application/json and application/jsonlines have"),
        )
    })?;
    let form = || {
        refuse(
            400,
            "a question is {\"inputs\": {\"question\": \"…\", \"context\": \"…\"}}, neither of them empty",
        )
    };
    let text = |value: &Value| {
        let text = value.as_str().filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(form)
    };
    let mut list = read.list;
    let mut items = Vec::with_capacity(read.items.len());
    for item in &read.items {
        let question = item.get("question").ok_or_else(form)?;
        let context = item.get("context").ok_or_else(form)?;
        let Value::Array(several) = question else {
            items.push((text(question)?, text(context)?));
            continue;
        };
        list = true;
        match context {
            Value::Array(contexts) if contexts.len() == several.len() => {
                for (question, context) in several.iter().zip(contexts) {
                    items.push((text(question)?, text(context)?));
                }
            }
            Value::Array(_) => return Err(form()),
            context => {
                for question in several {
                    items.push((text(question)?, text(context)?));
                }
            }
        }
    }
    Ok(Questions {
        items,
        shape: read.shape,
        list,
        parameters: read.parameters,
    })
}

impl Answers for Passages {
    fn answer(&mut self, compute: &Compute, asked: &Asked) -> Result<Said, Unanswered> {
        let asked_about = questions(asked)?;
        let options = options(&asked_about.parameters)?;
        let mut rows = Vec::with_capacity(asked_about.items.len());
        for item in &asked_about.items {
            let row = to_raw_value(&self.found(compute, item, &options)?);
            rows.push(row.map_err(|error| refuse(500, error.to_string()))?);
        }
        answers(asked_about.answered_alone(), asked.accept.as_deref(), &rows)
    }

    fn memory(&self) -> u64 {
        self.0.memory()
    }
}
