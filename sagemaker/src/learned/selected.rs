//! What is told of each row where `SAGEMAKER_INFERENCE_OUTPUT` selects it, as Autopilot does of XGBoost's models.
//!
//! Which keys there are of which objective, what they say and how CSV has lists is XGBoost's container's
//! (aws/sagemaker-xgboost-container at cb8df91, `algorithm_mode/serve_utils.py`). A key that says nothing of an objective is
//! `nan` in CSV as there, and `null` in JSON, which has no such number.

use crate::served::Unanswered;
use crate::threads::unanswered;
use escala_learn::algorithm::Objective;
use escala_learn::formats::{self, Accept};
use escala_learn::{Answers, Field, Values};

/// What can be told of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    PredictedLabel,
    Labels,
    Probability,
    Probabilities,
    RawScore,
    RawScores,
    PredictedScore,
}

const KEYS: [(&str, Key); 7] = [
    ("predicted_label", Key::PredictedLabel),
    ("labels", Key::Labels),
    ("probability", Key::Probability),
    ("probabilities", Key::Probabilities),
    ("raw_score", Key::RawScore),
    ("raw_scores", Key::RawScores),
    ("predicted_score", Key::PredictedScore),
];

/// What a model's scores are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scores {
    /// A number that is predicted.
    Number,
    /// How probable the class 1 is.
    Logistic,
    /// How far a row is on the side of the class 1.
    Logit,
    /// The class, 0 or 1.
    Hinge,
    /// The class.
    Class,
    /// How probable each class is.
    Probabilities,
}

/// What is told of each row of a model.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selected {
    keys: Vec<(&'static str, Key)>,
    scores: Scores,
    classes: u32,
}

/// What a key says of a row.
#[derive(Debug, PartialEq)]
enum Told {
    Nothing,
    Class(u32),
    Number(f32),
    /// All classes from 0, so many.
    Classes(u32),
    Numbers(Vec<f32>),
}

impl Selected {
    /// What the environment selects, for a model of an objective.
    ///
    /// # Errors
    /// A sentence: it names something else, or nothing can be selected of such a model.
    pub fn read(said: &str, objective: Objective<'_>) -> Result<Self, String> {
        let scores = match objective.name {
            "reg:squarederror" | "reg:logistic" | "reg:gamma" | "reg:absoluteerror"
            | "reg:tweedie" => Scores::Number,
            "binary:logistic" => Scores::Logistic,
            "binary:logitraw" => Scores::Logit,
            "binary:hinge" => Scores::Hinge,
            "multi:softmax" => Scores::Class,
            "multi:softprob" => Scores::Probabilities,
            other => {
                return Err(format!(
                    "Objective `{other}` unsupported for selectable inference predictions."
                ));
            }
        };
        let mut keys = Vec::new();
        for name in said.split(',') {
            let name = name.replace(' ', "").to_lowercase();
            let known = KEYS.iter().find(|(known, _)| **known == name);
            let Some(key) = known else {
                return Err(format!(
                    "{} selects {name:?}, and what can be selected is {}",
                    super::SELECTED,
                    KEYS.map(|(known, _)| known).join(", ")
                ));
            };
            if !keys.contains(key) {
                keys.push(*key);
            }
        }
        Ok(Self {
            keys,
            scores,
            classes: objective.classes,
        })
    }

    /// What it tells of rows, as bytes: a row a line in CSV, which `ends` with a line's end or does not.
    ///
    /// # Errors
    /// What is instead of an answer: a score is no number, or `accept` is a form that has no names.
    pub fn write(
        &self,
        answers: &Answers,
        accept: Accept,
        ends: bool,
    ) -> Result<Vec<u8>, Unanswered> {
        let Some(scores) = answers.fields.first() else {
            return Err(unanswered(500, "the model says nothing of rows".to_owned()));
        };
        let (Values::Numbers(values) | Values::Vectors { values, .. }) = &scores.values else {
            return Err(unanswered(500, "the model's scores are classes".to_owned()));
        };
        if let Some(odd) = values.iter().find(|value| !value.is_finite()) {
            return Err(unanswered(500, format!("an answer is {odd}")));
        }
        let rows: Vec<&[f32]> = values.chunks_exact(scores.values.width()).collect();
        match accept {
            Accept::Csv => {
                let lines: Vec<String> = rows.iter().map(|row| self.line(row)).collect();
                let mut text = lines.join("\n");
                if ends {
                    text.push('\n');
                }
                Ok(text.into_bytes())
            }
            Accept::JsonLines => {
                let lines = rows.iter().map(|row| self.object(row) + "\n");
                Ok(lines.collect::<String>().into_bytes())
            }
            Accept::Json => {
                let objects: Vec<String> = rows.iter().map(|row| self.object(row)).collect();
                Ok(format!("{{\"predictions\":[{}]}}", objects.join(",")).into_bytes())
            }
            Accept::RecordIo => {
                let fields = self.keys.iter().filter_map(|key| self.field(*key, &rows));
                let fields = Answers {
                    list: "predictions",
                    fields: fields.collect(),
                };
                formats::render(&fields, accept).map_err(|error| super::told(&error))
            }
            Accept::Npy => Err(unanswered(
                406,
                format!(
                    "Accept type {} is not supported. What {} selects is written as text/csv, application/json, \
                     application/jsonlines or application/x-recordio-protobuf.",
                    accept.content_type(),
                    super::SELECTED
                ),
            )),
        }
    }

    fn tell(&self, key: Key, row: &[f32]) -> Told {
        let likeliest = || {
            let better = |best: usize, at: usize| if row[at] > row[best] { at } else { best };
            (0..row.len()).reduce(better).unwrap_or_default()
        };
        let score = row.first().copied().unwrap_or_default();
        let both = || Told::Numbers(vec![1.0 - score, score]);
        match (key, self.scores) {
            (Key::PredictedScore, Scores::Number) => Told::Number(score),
            (Key::PredictedScore, _) | (_, Scores::Number) => Told::Nothing,
            (Key::PredictedLabel, Scores::Logistic) => Told::Class(u32::from(score > 0.5)),
            (Key::PredictedLabel, Scores::Logit) => Told::Class(u32::from(score > 0.0)),
            (Key::PredictedLabel, Scores::Hinge | Scores::Class) => Told::Number(score),
            (Key::PredictedLabel, Scores::Probabilities) => Told::Class(likeliest() as u32),
            (Key::Labels, Scores::Class | Scores::Probabilities) => Told::Classes(self.classes),
            (Key::Labels, _) => Told::Classes(2),
            (
                Key::Probability | Key::Probabilities,
                Scores::Logit | Scores::Hinge | Scores::Class,
            ) => Told::Nothing,
            (Key::Probability | Key::RawScore, Scores::Probabilities) => {
                Told::Number(row.get(likeliest()).copied().unwrap_or_default())
            }
            (Key::Probability | Key::RawScore, _) => Told::Number(score),
            (Key::Probabilities | Key::RawScores, Scores::Probabilities) => {
                Told::Numbers(row.to_vec())
            }
            (Key::Probabilities | Key::RawScores, _) => both(),
        }
    }

    fn line(&self, row: &[f32]) -> String {
        let told = self.keys.iter().map(|(_, key)| match self.tell(*key, row) {
            Told::Nothing => "nan".to_owned(),
            list @ (Told::Classes(_) | Told::Numbers(_)) => format!("\"{}\"", text(&list, ", ")),
            one => text(&one, ""),
        });
        told.collect::<Vec<_>>().join(",")
    }

    fn object(&self, row: &[f32]) -> String {
        let told = self.keys.iter().map(|(name, key)| {
            let told = self.tell(*key, row);
            format!("\"{name}\":{}", text(&told, ","))
        });
        format!("{{{}}}", told.collect::<Vec<_>>().join(","))
    }

    /// What a key says of all rows; none where it says nothing of this model's.
    fn field(&self, (name, key): (&'static str, Key), rows: &[&[f32]]) -> Option<Field> {
        let mut width = 1;
        let mut values = Vec::new();
        for row in rows {
            let told = match self.tell(key, row) {
                Told::Nothing => return None,
                Told::Class(class) => vec![class as f32],
                Told::Number(number) => vec![number],
                Told::Classes(count) => (0..count).map(|class| class as f32).collect(),
                Told::Numbers(numbers) => numbers,
            };
            width = told.len();
            values.extend(told);
        }
        let values = Values::Vectors { width, values };
        Some(Field { name, values })
    }
}

/// As JSON has it, and CSV but for nothing.
fn text(told: &Told, between: &str) -> String {
    let list = |items: Vec<String>| format!("[{}]", items.join(between));
    match told {
        Told::Nothing => "null".to_owned(),
        Told::Class(class) => class.to_string(),
        Told::Number(number) => format!("{number:?}"),
        Told::Classes(count) => list((0..*count).map(|one| one.to_string()).collect()),
        Told::Numbers(numbers) => list(numbers.iter().map(|one| format!("{one:?}")).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str =
        "predicted_label,labels,probability,probabilities,raw_score,raw_scores,predicted_score";

    fn written(name: &str, said: &str, scores: Values, accept: Accept) -> String {
        let objective = Objective { name, classes: 3 };
        let answers = Answers {
            list: "predictions",
            fields: vec![Field {
                name: "score",
                values: scores,
            }],
        };
        let selected = Selected::read(said, objective).unwrap();
        String::from_utf8(selected.write(&answers, accept, false).unwrap()).unwrap()
    }

    /// What the container's own tests expect, and what its functions make of the other objectives.
    #[test]
    fn what_is_selected_is_what_the_container_tells() {
        let binary = || Values::Numbers(vec![0.75, 0.25]);
        let said = "predicted_label, Probabilities";
        assert_eq!(
            written("binary:logistic", said, binary(), Accept::Csv),
            "1,\"[0.25, 0.75]\"\n0,\"[0.75, 0.25]\""
        );
        assert_eq!(
            written("binary:logistic", said, binary(), Accept::Json),
            r#"{"predictions":[{"predicted_label":1,"probabilities":[0.25,0.75]},{"predicted_label":0,"probabilities":[0.75,0.25]}]}"#
        );
        assert_eq!(
            written("binary:logistic", said, binary(), Accept::JsonLines),
            "{\"predicted_label\":1,\"probabilities\":[0.25,0.75]}\n{\"predicted_label\":0,\"probabilities\":[0.75,0.25]}\n"
        );
        for (name, scores, expected) in [
            (
                "binary:logistic",
                vec![0.75],
                r#"1,"[0, 1]",0.75,"[0.25, 0.75]",0.75,"[0.25, 0.75]",nan"#,
            ),
            (
                "binary:logitraw",
                vec![-7.5],
                r#"0,"[0, 1]",nan,nan,-7.5,"[8.5, -7.5]",nan"#,
            ),
            (
                "binary:hinge",
                vec![1.0],
                r#"1.0,"[0, 1]",nan,nan,1.0,"[0.0, 1.0]",nan"#,
            ),
            (
                "multi:softmax",
                vec![2.0],
                r#"2.0,"[0, 1, 2]",nan,nan,2.0,"[-1.0, 2.0]",nan"#,
            ),
            ("reg:gamma", vec![2.5], "nan,nan,nan,nan,nan,nan,2.5"),
        ] {
            let found = written(name, ALL, Values::Numbers(scores), Accept::Csv);
            assert_eq!(found, expected, "{name}");
        }
        let many = Values::Vectors {
            width: 3,
            values: vec![0.125, 0.5, 0.375],
        };
        assert_eq!(
            written("multi:softprob", ALL, many, Accept::Csv),
            r#"1,"[0, 1, 2]",0.5,"[0.125, 0.5, 0.375]",0.5,"[0.125, 0.5, 0.375]",nan"#
        );
        let nothing = written("reg:logistic", "labels", binary(), Accept::JsonLines);
        assert_eq!(nothing, "{\"labels\":null}\n{\"labels\":null}\n");
    }

    #[test]
    fn what_cannot_be_selected_is_said() {
        let of = |said, name| Selected::read(said, Objective { name, classes: 0 });
        assert_eq!(
            of("predicted_label", "rank:pairwise").unwrap_err(),
            "Objective `rank:pairwise` unsupported for selectable inference predictions."
        );
        let why = of("predicted_label,class", "binary:logistic").unwrap_err();
        assert!(why.contains("\"class\"") && why.contains("raw_scores, predicted_score"));
        let selected = of("probability", "binary:logistic").unwrap();
        let mut answers = Answers {
            list: "predictions",
            fields: vec![Field {
                name: "score",
                values: Values::Numbers(vec![0.5, f32::NAN]),
            }],
        };
        let wrong = selected.write(&answers, Accept::Csv, true).unwrap_err();
        assert_eq!((wrong.status, &*wrong.message), (500, "an answer is NaN"));
        answers.fields[0].values = Values::Numbers(vec![0.5]);
        let wrong = selected.write(&answers, Accept::Npy, true).unwrap_err();
        assert_eq!(wrong.status, 406);
        assert_eq!(
            selected.write(&answers, Accept::Csv, true).unwrap(),
            b"0.5\n"
        );
    }
}
