//! Questions about a text: the passages that answer them. Positions are code points, as Python counts.

use super::super::alone::{Answers, broke, told, wanted};
use super::super::questions::{self, Questions, answers, essence, objects, refuse};
use super::{open, whole};
use crate::failure::chain;
use escala_models::Compute;
use escala_models::bert::{AnswerFinder, AnswerOptions};
use escala_pipelines::offsets::Offsets;
use escala_pipelines::task::LoadContext;
use escala_sagemaker::served::{Asked, Said, Unanswered};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use std::sync::Arc;

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
        let loaded = AnswerFinder::load(files.dir(), context.target);
        loaded.map(Self).map_err(|error| chain(&error))
    }

    fn found(
        &self,
        compute: &Compute,
        (question, text): &(String, Arc<str>),
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

fn form() -> Unanswered {
    refuse(
        400,
        "a question is {\"inputs\": {\"question\": \"…\", \"context\": \"…\"}}, neither of them empty",
    )
}

fn text(value: &Value) -> Result<&str, Unanswered> {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.ok_or_else(form)
}

/// The questions of a request, each with its text.
fn questions(asked: &Asked) -> Result<Questions<(String, Arc<str>)>, Unanswered> {
    let kind = essence(asked.content_type.as_deref().unwrap_or("application/json"));
    let read = objects(&kind, &asked.body)?.ok_or_else(|| {
        refuse(
            415,
            format!("{kind} has no questions; application/json and application/jsonlines have"),
        )
    })?;
    let mut list = read.list;
    let mut items = Vec::with_capacity(read.items.len());
    for item in &read.items {
        let question = item.get("question").ok_or_else(form)?;
        let context = item.get("context").ok_or_else(form)?;
        let mut put = |question: &Value, context: Arc<str>| match items.len() < questions::MOST {
            true => {
                items.push((text(question)?.to_owned(), context));
                Ok(())
            }
            false => Err(refuse(
                400,
                format!("a request has at most {} questions", questions::MOST),
            )),
        };
        let Value::Array(several) = question else {
            put(question, text(context)?.into())?;
            continue;
        };
        list = true;
        match context {
            Value::Array(contexts) if contexts.len() == several.len() => {
                for (question, context) in several.iter().zip(contexts) {
                    put(question, text(context)?.into())?;
                }
            }
            Value::Array(_) => return Err(form()),
            context => {
                let context: Arc<str> = text(context)?.into();
                for question in several {
                    put(question, context.clone())?;
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
            wanted(asked)?;
            let row = to_raw_value(&self.found(compute, item, &options)?);
            rows.push(row.map_err(|error| refuse(500, error.to_string()))?);
        }
        answers(asked_about.answered_alone(), asked.accept.as_deref(), &rows)
    }

    fn memory(&self) -> u64 {
        self.0.memory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: &Value) -> Asked {
        Asked {
            content_type: Some("application/json".to_owned()),
            body: body.to_string().into(),
            ..Asked::default()
        }
    }

    #[test]
    fn questions_about_one_text_share_it_and_are_so_many() {
        let of = |count: usize| {
            let inputs = json!({"question": vec!["why"; count], "context": "because"});
            questions(&asked(&json!({ "inputs": inputs })))
        };
        let two = of(2).expect("two").items;
        assert_eq!(two[1], ("why".to_owned(), "because".into()));
        assert!(Arc::ptr_eq(&two[0].1, &two[1].1));
        assert_eq!(
            of(questions::MOST).expect("enough").items.len(),
            questions::MOST
        );
        assert_eq!(of(questions::MOST + 1).expect_err("too many").status, 400);
    }
}
