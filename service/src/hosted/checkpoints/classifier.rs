//! Classifiers of texts.

use super::super::alone::{Answers, broke, wanted};
use super::super::questions::{Pair, Questions, Shape, answers, essence, pairs, refuse};
use super::{known, whole};
use escala_models::Compute;
use escala_pipelines::classifier::TextClassifier;
use escala_pipelines::task::LoadContext;
use escala_sagemaker::served::{Asked, Said, Unanswered};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// Texts that the network sees at a time.
const AT_ONCE: usize = 32;

/// How SageMaker's own classifiers of texts are asked.
const OWN: &str = "application/x-text";

/// Parameters that are known. Texts are cut to what the network reads either way.
const KNOWN: [&str; 5] = [
    "top_k",
    "return_all_scores",
    "function_to_apply",
    "truncation",
    "padding",
];

/// What makes scores of the network's numbers, where the request says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Softmax,
    Sigmoid,
    None,
}

impl Function {
    fn of(parameters: &Value) -> Result<Option<Self>, Unanswered> {
        match parameters.get("function_to_apply") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(name)) if name == "softmax" => Ok(Some(Self::Softmax)),
            Some(Value::String(name)) if name == "sigmoid" => Ok(Some(Self::Sigmoid)),
            Some(Value::String(name)) if name == "none" => Ok(Some(Self::None)),
            Some(Value::String(name)) if name == "default" => Ok(None),
            Some(_) => Err(refuse(
                400,
                "parameters.function_to_apply is softmax, sigmoid, none or default",
            )),
        }
    }

    fn apply(self, numbers: &mut [f32]) {
        match self {
            Self::Softmax => {
                let highest = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                numbers.iter_mut().for_each(|x| *x = (*x - highest).exp());
                let sum: f32 = numbers.iter().sum();
                numbers.iter_mut().for_each(|x| *x /= sum);
            }
            Self::Sigmoid => numbers
                .iter_mut()
                .for_each(|x| *x = 1.0 / (1.0 + (-*x).exp())),
            Self::None => {}
        }
    }
}

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
        let every = match parameters.get("return_all_scores") {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(_) => {
                return Err(refuse(400, "parameters.return_all_scores is true or false"));
            }
        };
        match parameters.get("top_k") {
            None if every => Ok((all, true)),
            None if self.all => Ok((all, true)),
            None => Ok((1, false)),
            Some(Value::Null) => Ok((all, true)),
            Some(_) => {
                let most = whole(parameters, "top_k", 1)?;
                Ok((most.map_or(all, |most| most.min(all)), true))
            }
        }
    }

    /// The probabilities of the labels of each text, or of each pair; by a `function` what it makes of the network's numbers.
    fn scores(
        &self,
        compute: &Compute,
        some: &[Pair],
        function: Option<Function>,
    ) -> Result<Vec<Vec<f32>>, Unanswered> {
        if let Some(function) = function {
            let texts: Vec<&str> = some.iter().map(|one| one.text.as_str()).collect();
            let others: Option<Vec<&str>> = some.iter().map(|one| one.pair.as_deref()).collect();
            let numbers = self.model.score(compute, &texts, others.as_deref());
            let numbers = numbers.ok_or_else(|| {
                refuse(
                    400,
                    "parameters.function_to_apply is not for this classifier, whose scores are calibrated",
                )
            })?;
            let mut numbers = numbers.map_err(|error| broke(&error))?;
            numbers.iter_mut().for_each(|row| function.apply(row));
            return Ok(numbers);
        }
        let both: Option<Vec<(&str, &str)>> = some
            .iter()
            .map(|one| Some((one.text.as_str(), one.pair.as_deref()?)))
            .collect();
        let found = match both {
            Some(both) => self
                .model
                .classify_pairs(compute, &both)
                .ok_or_else(|| refuse(400, "this classifier reads one text, not pairs"))?,
            None => {
                let texts: Vec<&str> = some.iter().map(|one| one.text.as_str()).collect();
                self.model.classify(compute, &texts)
            }
        };
        found.map_err(|error| broke(&error))
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

impl Classifier {
    /// All probabilities in the labels' order.
    fn probabilities(scores: &[f32]) -> Result<Box<RawValue>, Unanswered> {
        let value = serde_json::json!({"probabilities": scores});
        to_raw_value(&value).map_err(|error| refuse(500, error.to_string()))
    }

    /// All probabilities in the labels' order, the labels, and the likeliest.
    fn verbose(&self, scores: &[f32]) -> Result<Box<RawValue>, Unanswered> {
        let labels = self.model.labels();
        let ranked = labels.iter().zip(scores);
        let likeliest = ranked.max_by(|one, other| one.1.total_cmp(other.1));
        let value = serde_json::json!({
            "probabilities": scores,
            "labels": labels,
            "predicted_label": likeliest.map(|(label, _)| label),
        });
        to_raw_value(&value).map_err(|error| refuse(500, error.to_string()))
    }
}

impl Answers for Classifier {
    fn answer(&mut self, compute: &Compute, asked: &Asked) -> Result<Said, Unanswered> {
        let Questions {
            items,
            shape,
            parameters,
            ..
        } = pairs(asked.content_type.as_deref(), &asked.body)?;
        known(&parameters, &KNOWN)?;
        let (most, list) = self.most(&parameters)?;
        let function = Function::of(&parameters)?;
        let pairs = items.iter().filter(|item| item.pair.is_some()).count();
        if pairs != 0 && pairs != items.len() {
            return Err(refuse(
                400,
                "either all texts have a text_pair, or none has",
            ));
        }
        let accept = asked.accept.as_deref();
        // As SageMaker's own classifiers of texts answer who asks for `application/json;verbose`, and anybody else who asks with
        // the content type that is theirs.
        let verbose = accept.is_some_and(|accept| accept.contains("verbose"));
        let bare = self.all && asked.content_type.as_deref().map(essence).as_deref() == Some(OWN);
        let mut rows = Vec::with_capacity(items.len());
        for some in items.chunks(AT_ONCE) {
            wanted(asked)?;
            for scores in self.scores(compute, some, function)? {
                rows.push(match (verbose, bare) {
                    (true, _) => self.verbose(&scores)?,
                    (false, true) => Self::probabilities(&scores)?,
                    (false, false) => self.row(&scores, most, list)?,
                });
            }
        }
        match shape {
            // One text: the toolkit answers its labels in one list.
            Shape::One if !list && !verbose => {
                answers(Shape::Inputs, asked.accept.as_deref(), &rows)
            }
            shape => answers(shape, asked.accept.as_deref(), &rows),
        }
    }

    fn memory(&self) -> u64 {
        self.model.memory()
    }
}
