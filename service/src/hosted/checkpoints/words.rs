//! Classifiers of words: what stands where in a text.
//!
//! As transformers' pipeline they tell tokens one by one where nobody says otherwise; by an `aggregation_strategy` words of one
//! label after the other are one group. Positions are code points, as Python counts.

use super::super::alone::{Answers, broke, told, wanted};
use super::super::questions::{answers, refuse, texts};
use super::{known, open};
use crate::failure::chain;
use escala_models::Compute;
use escala_models::bert::{Span, Strategy, TokenClassifier};
use escala_pipelines::offsets::Offsets;
use escala_pipelines::task::LoadContext;
use escala_sagemaker::served::{Asked, Said, Unanswered};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

/// Texts that the network sees at a time.
const AT_ONCE: usize = 16;

/// One.
pub struct Words(TokenClassifier);

impl Words {
    /// What is named.
    ///
    /// # Errors
    /// A sentence: it is no such classifier, or not there.
    pub fn load(reference: &str, context: &LoadContext<'_>) -> Result<Self, String> {
        let files = open(reference, context)?;
        let loaded = TokenClassifier::load(files.dir(), context.target);
        loaded.map(Self).map_err(|error| chain(&error))
    }
}

/// Parameters that are known.
const KNOWN: [&str; 2] = ["aggregation_strategy", "ignore_labels"];

/// Labels that are not told.
fn ignored(parameters: &Value) -> Result<Vec<String>, Unanswered> {
    let Some(said) = parameters
        .get("ignore_labels")
        .filter(|said| !said.is_null())
    else {
        return Ok(Vec::new());
    };
    let labels = said.as_array().and_then(|labels| {
        let labels = labels.iter().map(|label| label.as_str().map(str::to_owned));
        labels.collect::<Option<Vec<_>>>()
    });
    let labels =
        labels.ok_or_else(|| refuse(400, "parameters.ignore_labels is a list of labels"))?;
    match labels.iter().any(|label| label == "O") {
        true => Ok(labels),
        false => Err(refuse(
            400,
            "parameters.ignore_labels has O among them: tokens of no label are not told here",
        )),
    }
}

/// How tokens become groups.
fn strategy(parameters: &Value) -> Result<Strategy, Unanswered> {
    let said = parameters.get("aggregation_strategy");
    let Some(said) = said.filter(|said| !said.is_null()) else {
        return Ok(Strategy::None);
    };
    match said.as_str() {
        Some("none") => Ok(Strategy::None),
        Some("simple") => Ok(Strategy::Simple),
        Some("first") => Ok(Strategy::First),
        Some("average") => Ok(Strategy::Average),
        Some("max") => Ok(Strategy::Max),
        _ => Err(refuse(
            400,
            "parameters.aggregation_strategy is none, simple, first, average or max",
        )),
    }
}

impl Answers for Words {
    fn answer(&mut self, compute: &Compute, asked: &Asked) -> Result<Said, Unanswered> {
        let asked_about = texts(asked.content_type.as_deref(), &asked.body)?;
        known(&asked_about.parameters, &KNOWN)?;
        let strategy = strategy(&asked_about.parameters)?;
        let ignored = ignored(&asked_about.parameters)?;
        let mut rows = Vec::with_capacity(asked_about.items.len());
        for some in asked_about.items.chunks(AT_ONCE) {
            wanted(asked)?;
            let some: Vec<&str> = some.iter().map(String::as_str).collect();
            let found = self.0.classify_by(compute, &some, strategy);
            for (text, found) in some.iter().zip(found.map_err(|error| broke(&error))?) {
                let offsets = Offsets::new(text);
                let group = |span: &Span| {
                    let place = offsets.extent(span.start..span.end)?;
                    if let Some(token) = &span.token {
                        return Ok(json!({
                            "entity": span.label,
                            "score": span.score,
                            "index": token.index,
                            "word": token.text,
                            "start": place.begin,
                            "end": place.end,
                        }));
                    }
                    Ok(json!({
                        "entity_group": span.label,
                        "score": span.score,
                        "word": place.of(text),
                        "start": place.begin,
                        "end": place.end,
                    }))
                };
                let spans = found.spans.iter();
                let spans = spans.filter(|span| !ignored.contains(&span.label));
                let groups = spans.map(group);
                let groups: Vec<Value> = groups
                    .collect::<escala_pipelines::Result<_>>()
                    .map_err(|error| told(&error))?;
                let row = to_raw_value(&groups);
                rows.push(row.map_err(|error| refuse(500, error.to_string()))?);
            }
        }
        answers(asked_about.answered(), asked.accept.as_deref(), &rows)
    }

    fn memory(&self) -> u64 {
        self.0.memory()
    }
}
