//! Lines, questions and answers as bytes, as SageMaker's developer guide has them for BlazingText.
//!
//! | what | form |
//! | --- | --- |
//! | lines to learn from | `__label__NAME word word …`, one a line |
//! | the same as an augmented manifest | `{"source": "word word …", "label": 1}` or `"label": [1, 3]`, one a line |
//! | a question, `application/json` | `{"instances": ["text", …], "configuration": {"k": 2}}` |
//! | a question, `application/jsonlines` | `{"source": "text", "k": 2}`, one a line; here also `"text"` alone |
//! | an answer, `application/json` | `[{"label": ["__label__1"], "prob": [0.9]}, …]` |
//! | an answer, `application/jsonlines` | these objects, one a line |

use super::{LABEL, Line, Said, TextModel};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{BufRead, Read};

/// Most bytes of a line.
const LONGEST: u64 = 16 << 20;
/// Labels of a text where nothing is said.
const MOST: usize = 1;

/// How lines to learn from are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Labels are words of the line.
    Labelled,
    /// Objects of JSON.
    Manifest,
}

/// Reads the lines to learn from, behind those that there are; empty ones are passed over.
///
/// # Errors
///
/// [`Error::Input`] with the number of the line that is none, and why; `what` names the file.
pub fn read(from: impl BufRead, form: Form, what: &str, to: &mut Vec<Line>) -> Result<()> {
    let mut from = from;
    let mut bytes = Vec::new();
    for number in 1_u64.. {
        let wrong = |why: &str| Error::input(format!("{what}: line {number}: {why}"));
        bytes.clear();
        let read = from
            .by_ref()
            .take(LONGEST + 1)
            .read_until(b'\n', &mut bytes);
        let read = read.map_err(|why| Error::input(format!("{what} cannot be read: {why}")))?;
        if read == 0 {
            return Ok(());
        }
        if bytes.len() as u64 > LONGEST {
            return Err(wrong(&format!("it has more than {LONGEST} bytes")));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is not UTF-8"))?;
        if text.trim().is_empty() {
            continue;
        }
        to.push(match form {
            Form::Labelled => labelled(text),
            Form::Manifest => manifest(text).map_err(|why| wrong(&why))?,
        });
    }
    Ok(())
}

/// Labels are words of it, wherever they are.
fn labelled(text: &str) -> Line {
    let words = text.split_ascii_whitespace();
    let labels = words.filter(|word| word.starts_with(LABEL));
    Line {
        labels: labels.map(str::to_owned).collect(),
        text: text.trim_end().to_owned(),
    }
}

fn manifest(text: &str) -> std::result::Result<Line, String> {
    #[derive(Deserialize)]
    struct Entry {
        source: String,
        label: Value,
    }
    let entry: Entry = serde_json::from_str(text).map_err(|why| why.to_string())?;
    let label = |label: &Value| match label {
        Value::Number(number) => Ok(format!("{LABEL}{number}")),
        Value::String(name) if name.starts_with(LABEL) => Ok(name.clone()),
        Value::String(name) if !name.is_empty() => Ok(format!("{LABEL}{name}")),
        other => Err(format!("{other} is no label: it is a number or a name")),
    };
    let labels = match &entry.label {
        Value::Array(labels) => labels
            .iter()
            .map(label)
            .collect::<std::result::Result<_, _>>()?,
        one => vec![label(one)?],
    };
    if labels
        .iter()
        .any(|label| label.contains(char::is_whitespace))
    {
        return Err("a label has no whitespace".to_owned());
    }
    Ok(Line {
        labels,
        text: entry.source,
    })
}

/// What questions and answers are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// One value.
    Json,
    /// A value a line.
    Lines,
}

impl Wire {
    /// That of a content type; none for others.
    pub fn of(content_type: &str) -> Option<Self> {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        match kind.to_ascii_lowercase().as_str() {
            "application/json" => Some(Self::Json),
            "application/jsonlines" | "application/x-jsonlines" => Some(Self::Lines),
            _ => None,
        }
    }

    /// Its content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Lines => "application/jsonlines",
        }
    }
}

/// A text that is asked about, and how many labels are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The text.
    pub text: String,
    /// Labels, the likeliest; at least one.
    pub most: usize,
}

/// Reads a question.
///
/// # Errors
///
/// [`Error::Input`] with what is wrong.
pub fn asked(wire: Wire, body: &[u8]) -> Result<Vec<Asked>> {
    #[derive(Deserialize)]
    struct Whole {
        instances: Vec<String>,
        #[serde(default)]
        configuration: Configuration,
    }
    #[derive(Default, Deserialize)]
    struct Configuration {
        k: Option<usize>,
    }
    #[derive(Deserialize)]
    struct One {
        source: String,
        k: Option<usize>,
    }
    let most = |k: Option<usize>| match k {
        Some(0) => Err(Error::input("k is 0: it is how many labels are wanted")),
        k => Ok(k.unwrap_or(MOST)),
    };
    match wire {
        Wire::Json => {
            let whole: Whole = serde_json::from_slice(body).map_err(|why| {
                Error::input(format!(
                    "the body is not {{\"instances\": [\"text\", …], \"configuration\": {{\"k\": 1}}}}: {why}"
                ))
            })?;
            let most = most(whole.configuration.k)?;
            let one = |text| Asked { text, most };
            Ok(whole.instances.into_iter().map(one).collect())
        }
        Wire::Lines => {
            let mut all = Vec::new();
            for (number, line) in (1..).zip(body.split(|byte| *byte == b'\n')) {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                // A text alone is what queries and flows have.
                let alone = serde_json::from_slice::<String>(line);
                let one = match alone {
                    Ok(source) => One { source, k: None },
                    Err(_) => serde_json::from_slice(line).map_err(|why| {
                        Error::input(format!(
                            "line {number} is not {{\"source\": \"text\", \"k\": 1}}: {why}"
                        ))
                    })?,
                };
                all.push(Asked {
                    text: one.source,
                    most: most(one.k)?,
                });
            }
            Ok(all)
        }
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    label: Vec<&'a str>,
    prob: Vec<f32>,
}

/// What a model says of texts, as bytes.
pub fn answered(model: &dyn TextModel, asked: &[Asked], wire: Wire) -> Vec<u8> {
    let answer = |asked: &Asked| {
        let said: Said<'_> = model.classify(&asked.text, asked.most);
        let (label, prob) = said.into_iter().unzip();
        Answer { label, prob }
    };
    let answers: Vec<Answer<'_>> = asked.iter().map(answer).collect();
    // Texts and numbers always become bytes.
    let bytes = |value: std::result::Result<Vec<u8>, serde_json::Error>| value.unwrap_or_default();
    match wire {
        Wire::Json => bytes(serde_json::to_vec(&answers)),
        Wire::Lines => {
            let line = |answer| {
                let mut line = bytes(serde_json::to_vec(answer));
                line.push(b'\n');
                line
            };
            answers.iter().flat_map(line).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(form: Form, text: &[u8]) -> std::result::Result<Vec<Line>, String> {
        let mut lines = Vec::new();
        read(text, form, "train.txt", &mut lines).map_err(|why| why.to_string())?;
        Ok(lines)
    }

    fn line(labels: &[&str], text: &str) -> Line {
        Line {
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            text: text.to_owned(),
        }
    }

    /// The guide's examples.
    #[test]
    fn lines_to_learn_from_have_their_labels() {
        let text = b"__label__4  linux ready for prime time , intel says\n\n__label__2 __label__3 a\r\nno label";
        let read = lines(Form::Labelled, text).unwrap();
        let first = "__label__4  linux ready for prime time , intel says";
        assert_eq!(
            read,
            [
                line(&["__label__4"], first),
                line(&["__label__2", "__label__3"], "__label__2 __label__3 a"),
                line(&[], "no label"),
            ]
        );
        let text = b"{\"source\":\"linux ready for prime time , intel says\", \"label\":1}\n{\"source\":\"a\", \"label\":[1, \"x\", \"__label__y\"]}\n";
        let read = lines(Form::Manifest, text).unwrap();
        assert_eq!(
            read,
            [
                line(&["__label__1"], "linux ready for prime time , intel says"),
                line(&["__label__1", "__label__x", "__label__y"], "a"),
            ]
        );
        for (form, text, why) in [
            (Form::Labelled, &b"a\n\xff\n"[..], "line 2: it is not UTF-8"),
            (
                Form::Manifest,
                b"{\"source\": \"a\"}",
                "missing field `label`",
            ),
            (
                Form::Manifest,
                b"{\"source\": \"a\", \"label\": null}",
                "null is no label",
            ),
            (
                Form::Manifest,
                b"{\"source\": \"a\", \"label\": \"a b\"}",
                "no whitespace",
            ),
        ] {
            let said = lines(form, text).unwrap_err();
            assert!(
                said.starts_with("train.txt: line ") && said.contains(why),
                "{said}"
            );
        }
    }

    struct Fixed;

    impl TextModel for Fixed {
        fn classify(&self, text: &str, most: usize) -> Said<'_> {
            assert_eq!(text, "source_0");
            [("__label__1", 0.75), ("__label__2", 0.25)][..most.min(2)].to_vec()
        }
        fn memory(&self) -> u64 {
            0
        }
        fn write(&self, _: &std::path::Path) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn questions_are_answered_in_their_form() {
        let answer = |wire, body: &str| {
            let asked = asked(wire, body.as_bytes()).map_err(|why| why.to_string())?;
            Ok::<_, String>(String::from_utf8(answered(&Fixed, &asked, wire)).unwrap())
        };
        let json = Wire::of("application/json; charset=utf-8").unwrap();
        let lines = Wire::of("application/jsonlines").unwrap();
        assert_eq!(Wire::of("text/csv"), None);
        let one = "{\"label\":[\"__label__1\"],\"prob\":[0.75]}";
        let two = "{\"label\":[\"__label__1\",\"__label__2\"],\"prob\":[0.75,0.25]}";
        let said = answer(json, "{\"instances\": [\"source_0\", \"source_0\"]}");
        assert_eq!(said, Ok(format!("[{one},{one}]")));
        let k = "{\"instances\": [\"source_0\"], \"configuration\": {\"k\": 5}}";
        assert_eq!(answer(json, k), Ok(format!("[{two}]")));
        let mixed = "{\"source\": \"source_0\"}\n\n{\"source\": \"source_0\", \"k\": 2}\n";
        assert_eq!(answer(lines, mixed), Ok(format!("{one}\n{two}\n")));
        assert_eq!(answer(lines, "\"source_0\"\n"), Ok(format!("{one}\n")));
        for (wire, body, why) in [
            (json, "{}", "missing field `instances`"),
            (json, "{\"instances\": [1]}", "expected a string"),
            (lines, "{\"source\": \"source_0\"}\nx", "line 2 is not"),
            (lines, "{\"source\": \"source_0\", \"k\": 0}", "k is 0"),
        ] {
            let said = answer(wire, body).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
