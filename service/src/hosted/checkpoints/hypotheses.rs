//! Classes that nobody taught: a network that knows what follows from what is asked, for each class, whether the text being of
//! that class follows from the text (Yin et al. 2019, arXiv:1909.00161).

use super::super::alone::{Answers, broke, wanted};
use super::super::questions::{answers, refuse, texts};
use super::open;
use crate::failure::chain;
use escala_models::Compute;
use escala_models::bert::SequenceClassifier;
use escala_pipelines::task::LoadContext;
use escala_sagemaker::served::{Asked, Said, Unanswered};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

/// Pairs that the network sees at a time.
const AT_ONCE: usize = 32;
/// Most pairs of a request.
const MOST: usize = 10_000;
/// Most bytes of their hypotheses together: the template once for each class.
const MOST_BYTES: usize = 16 << 20;
/// What stands for a class where nobody says otherwise.
const TEMPLATE: &str = "This example is {}.";

/// One.
pub struct Hypotheses {
    model: SequenceClassifier,
    /// The label that says that it follows, and the one that says that it cannot be.
    follows: usize,
    contradicts: usize,
}

impl Hypotheses {
    /// What is named.
    ///
    /// # Errors
    /// A sentence: it is no such network, or not there.
    pub fn load(reference: &str, context: &LoadContext<'_>) -> Result<Self, String> {
        let files = open(reference, context)?;
        let model = SequenceClassifier::load(files.dir(), context.target);
        let model = model.map_err(|error| chain(&error))?;
        let labels = model.labels();
        let entails = |label: &String| label.to_lowercase().starts_with("entail");
        let follows = labels.iter().position(entails);
        match follows {
            Some(follows) if labels.len() > 1 => Ok(Self {
                // As the reference has it: the first label, or the last where the first is the other.
                contradicts: if follows == 0 { labels.len() - 1 } else { 0 },
                follows,
                model,
            }),
            _ => Err(format!(
                "its labels ({}) do not say which one means that a text entails another: one begins with \"entail\"",
                labels.join(", ")
            )),
        }
    }

    /// The probability of each class for a text.
    fn scores(
        &self,
        compute: &Compute,
        text: &str,
        sentences: &[String],
        several: bool,
        asked: &Asked,
    ) -> Result<Vec<f64>, Unanswered> {
        let mut all = Vec::with_capacity(sentences.len());
        for some in sentences.chunks(AT_ONCE) {
            wanted(asked)?;
            let pairs: Vec<(&str, &str)> = some.iter().map(|one| (text, one.as_str())).collect();
            let rows = self.model.score_pairs(compute, &pairs);
            for row in rows.map_err(|error| broke(&error))? {
                let of = |label: usize| f64::from(row.get(label).copied().unwrap_or_default());
                all.push((of(self.follows), of(self.contradicts)));
            }
        }
        if several || all.len() == 1 {
            let each = all.iter();
            return Ok(each
                .map(|(follows, contradicts)| 1.0 / (1.0 + (contradicts - follows).exp()))
                .collect());
        }
        let most = all
            .iter()
            .map(|one| one.0)
            .fold(f64::NEG_INFINITY, f64::max);
        let parts: Vec<f64> = all.iter().map(|one| (one.0 - most).exp()).collect();
        let sum: f64 = parts.iter().sum();
        Ok(parts.iter().map(|part| part / sum).collect())
    }
}

/// `candidate_labels`: a list, or names with commas between them.
fn classes(parameters: &Value) -> Result<Vec<String>, Unanswered> {
    let named: Option<Vec<String>> = match parameters.get("candidate_labels") {
        Some(Value::String(names)) => {
            Some(names.split(',').map(|one| one.trim().to_owned()).collect())
        }
        Some(Value::Array(names)) => names
            .iter()
            .map(|name| name.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    };
    let named: Vec<String> = named.unwrap_or_default();
    let named: Vec<String> = named.into_iter().filter(|name| !name.is_empty()).collect();
    match named.is_empty() {
        true => Err(refuse(
            400,
            "parameters.candidate_labels are the classes: a list, or names with commas between them",
        )),
        false => Ok(named),
    }
}

/// What it is for a text to be of each class.
fn sentences(template: &str, classes: &[String]) -> Result<Vec<String>, Unanswered> {
    let names: usize = classes.iter().map(String::len).sum();
    let bytes = template.len().saturating_mul(classes.len());
    if bytes.saturating_add(names) > MOST_BYTES {
        return Err(refuse(
            400,
            format!(
                "parameters.hypothesis_template is longer than {MOST_BYTES} bytes with all classes together"
            ),
        ));
    }
    let classes = classes.iter();
    Ok(classes
        .map(|class| template.replacen("{}", class, 1))
        .collect())
}

impl Answers for Hypotheses {
    fn answer(&mut self, compute: &Compute, asked: &Asked) -> Result<Said, Unanswered> {
        let asked_about = texts(asked.content_type.as_deref(), &asked.body)?;
        let parameters = &asked_about.parameters;
        let classes = classes(parameters)?;
        let several = match parameters.get("multi_label") {
            None | Some(Value::Null) => false,
            Some(several) => several
                .as_bool()
                .ok_or_else(|| refuse(400, "parameters.multi_label is true or false"))?,
        };
        let template = match parameters.get("hypothesis_template") {
            None | Some(Value::Null) => TEMPLATE,
            Some(Value::String(template)) if template.contains("{}") => template,
            Some(_) => {
                let why = "parameters.hypothesis_template is a text with {} where the class goes";
                return Err(refuse(400, why));
            }
        };
        if classes.len().saturating_mul(asked_about.items.len()) > MOST {
            return Err(refuse(
                400,
                format!("a request has at most {MOST} classes of all texts together"),
            ));
        }
        let sentences = sentences(template, &classes)?;
        let mut rows = Vec::with_capacity(asked_about.items.len());
        for text in &asked_about.items {
            let scores = self.scores(compute, text, &sentences, several, asked)?;
            let mut ranked: Vec<(&String, f64)> = classes.iter().zip(scores).collect();
            ranked.sort_by(|one, other| other.1.total_cmp(&one.1));
            let (labels, scores): (Vec<&String>, Vec<f64>) = ranked.into_iter().unzip();
            let row = to_raw_value(&json!({"sequence": text, "labels": labels, "scores": scores}));
            rows.push(row.map_err(|error| refuse(500, error.to_string()))?);
        }
        answers(asked_about.answered(), asked.accept.as_deref(), &rows)
    }

    fn memory(&self) -> u64 {
        self.model.memory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_written_once_for_each_class_within_bounds() {
        let classes = ["cats", "dogs"].map(str::to_owned);
        let written = sentences("About {}.", &classes).expect("short");
        assert_eq!(written, ["About cats.", "About dogs."]);
        // A small request; all classes would be 60 GB.
        let template = format!("{{}}{}", "x".repeat(6 << 20));
        let classes = vec!["a".to_owned(); MOST];
        let refused = sentences(&template, &classes).expect_err("too long");
        assert_eq!(refused.status, 400);
        assert!(
            refused.message.contains("hypothesis_template"),
            "{}",
            refused.message
        );
    }
}
