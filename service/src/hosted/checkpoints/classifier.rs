//! Classifiers of texts.

use super::super::alone::{Answers, broke};
use super::super::questions::{Questions, Shape, answers, refuse, texts};
use escala_models::Compute;
use escala_pipelines::classifier::TextClassifier;
use escala_pipelines::task::LoadContext;
use escala_sagemaker::served::{Asked, Said, Unanswered};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// Texts that the network sees at a time.
const AT_ONCE: usize = 32;

/// One.
pub struct Classifier {
    model: TextClassifier,
    /// Whether all labels are told where nobody says how many.
    all: bool,
}

impl Classifier {
    /// What is named.
    ///
    /// # Errors
    /// It is no classifier, or not there.
    pub fn load(
        reference: &str,
        all: bool,
        context: &LoadContext<'_>,
    ) -> escala_pipelines::Result<Self> {
        let model = TextClassifier::named(reference, context)?;
        Ok(Self { model, all })
    }

    /// How many labels are told of each text, and whether they were asked for.
    fn most(&self, parameters: &Value) -> Result<(usize, bool), Unanswered> {
        let all = self.model.labels().len();
        match parameters.get("top_k") {
            None if self.all => Ok((all, true)),
            None => Ok((1, false)),
            Some(Value::Null) => Ok((all, true)),
            Some(most) => match most.as_u64() {
                Some(most) if most > 0 => Ok((most.min(all as u64) as usize, true)),
                _ => Err(refuse(400, "parameters.top_k is a whole number above 0")),
            },
        }
    }

    fn row(&self, scores: &[f32], most: usize, list: bool) -> Result<Box<RawValue>, Unanswered> {
        let mut ranked: Vec<(usize, f32)> = scores.iter().copied().enumerate().collect();
        ranked.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
        let told = ranked.iter().take(most).map(|(label, score)| {
            serde_json::json!({"label": self.model.labels().get(*label), "score": score})
        });
        let mut told: Vec<Value> = told.collect();
        let value = match (list, told.pop()) {
            (false, Some(only)) => only,
            (_, last) => Value::Array(told.into_iter().chain(last).collect()),
        };
        to_raw_value(&value).map_err(|error| refuse(500, error.to_string()))
    }
}

impl Answers for Classifier {
    fn answer(&mut self, compute: &Compute, asked: &Asked) -> Result<Said, Unanswered> {
        let Questions {
            items: texts,
            shape,
            parameters,
            ..
        } = texts(asked.content_type.as_deref(), &asked.body)?;
        let (most, list) = self.most(&parameters)?;
        let mut rows = Vec::with_capacity(texts.len());
        for some in texts.chunks(AT_ONCE) {
            let some: Vec<&str> = some.iter().map(String::as_str).collect();
            let found = self.model.classify(compute, &some);
            for scores in found.map_err(|error| broke(&error))? {
                rows.push(self.row(&scores, most, list)?);
            }
        }
        match shape {
            // One text: the toolkit answers its labels in one list.
            Shape::One if !list => answers(Shape::Inputs, asked.accept.as_deref(), &rows),
            shape => answers(shape, asked.accept.as_deref(), &rows),
        }
    }

    fn memory(&self) -> u64 {
        self.model.memory()
    }
}
