//! What is asked of a hosted model: texts in the shapes that clients send them in.
//!
//! `application/json` has `{"text": …}`, `{"instances": […]}` as SageMaker's algorithms, or `{"inputs": …}` as Hugging Face's
//! containers; `application/jsonlines` one of them a line, with `source` as BlazingText; `text/csv` one text a row; `text/plain`
//! one text.

use bytes::Bytes;
use escala_sagemaker::served::{Said, Unanswered};
use serde_json::Value;
use serde_json::value::RawValue;

/// Most texts of a request.
const MOST: usize = 10_000;

/// How a question was asked, which says how it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One text: one object.
    One,
    /// `instances`: `{"predictions": […]}`.
    Instances,
    /// `inputs`: a list.
    Inputs,
    /// One a line.
    Lines,
}

/// Texts and how they were asked.
#[derive(Debug, PartialEq)]
pub struct Texts {
    /// They, in order.
    pub texts: Vec<String>,
    /// How they came.
    pub shape: Shape,
    /// `parameters`, where there are some.
    pub parameters: Value,
}

/// The container would have answered so.
pub fn refuse(status: u16, message: impl Into<String>) -> Unanswered {
    Unanswered {
        status,
        message: message.into(),
    }
}

/// The media type without its parameters, in lower case.
pub fn essence(media: &str) -> String {
    let essence = media.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(members) => ["text", "source", "inputs", "data"]
            .iter()
            .find_map(|name| members.get(*name)?.as_str().map(str::to_owned)),
        _ => None,
    }
}

fn not_texts() -> Unanswered {
    refuse(
        400,
        "the request has no text: it is {\"text\": …}, {\"instances\": [{\"text\": …}, …]} or {\"inputs\": …}",
    )
}

/// The texts of a request.
///
/// # Errors
/// 415 for what is no text, 400 for what cannot be read.
pub fn texts(content_type: Option<&str>, body: &Bytes) -> Result<Texts, Unanswered> {
    let kind = essence(content_type.unwrap_or("application/json"));
    let utf8 = || std::str::from_utf8(body).map_err(|_| refuse(400, "the request is not UTF-8"));
    let json = |text: &str| {
        serde_json::from_str::<Value>(text)
            .map_err(|error| refuse(400, format!("the request is not valid JSON: {error}")))
    };
    let mut parameters = Value::Null;
    let (texts, shape) = match kind.as_str() {
        "text/plain" => (vec![utf8()?.to_owned()], Shape::One),
        "text/csv" => {
            let mut rows = Vec::new();
            for line in utf8()?.lines().filter(|line| !line.is_empty()) {
                let quoted = line
                    .strip_prefix('"')
                    .and_then(|rest| rest.strip_suffix('"'));
                rows.push(
                    quoted.map_or_else(|| line.to_owned(), |text| text.replace("\"\"", "\"")),
                );
            }
            (rows, Shape::Lines)
        }
        "application/jsonlines" | "application/x-jsonlines" => {
            let lines = utf8()?.lines().filter(|line| !line.trim().is_empty());
            let read = |line| text_of(&json(line)?).ok_or_else(not_texts);
            (lines.map(read).collect::<Result<_, _>>()?, Shape::Lines)
        }
        "application/json" | "application/octet-stream" => {
            let asked = json(utf8()?)?;
            if let Some(given) = asked.get("parameters") {
                parameters = given.clone();
            }
            let list = |name: &str| asked.get(name).and_then(Value::as_array);
            let all = |list: &Vec<Value>| list.iter().map(text_of).collect::<Option<Vec<_>>>();
            match (list("instances"), list("inputs"), &asked) {
                (Some(instances), ..) => (all(instances).ok_or_else(not_texts)?, Shape::Instances),
                (_, Some(inputs), _) => (all(inputs).ok_or_else(not_texts)?, Shape::Inputs),
                (.., Value::Array(inputs)) => (all(inputs).ok_or_else(not_texts)?, Shape::Inputs),
                (.., asked) => {
                    let shape = match asked.get("inputs") {
                        Some(_) => Shape::Inputs,
                        None => Shape::One,
                    };
                    (vec![text_of(asked).ok_or_else(not_texts)?], shape)
                }
            }
        }
        other => {
            return Err(refuse(
                415,
                format!(
                    "{other} is no text here; application/json, application/jsonlines, text/csv and text/plain are"
                ),
            ));
        }
    };
    if texts.len() > MOST {
        return Err(refuse(400, format!("a request has at most {MOST} texts")));
    }
    Ok(Texts {
        texts,
        shape,
        parameters,
    })
}

/// Answers in the form of the question, or as lines where those are accepted.
///
/// # Errors
/// 406 where neither is accepted.
pub fn answers(
    shape: Shape,
    accept: Option<&str>,
    answers: &[Box<RawValue>],
) -> Result<Said, Unanswered> {
    let accepted = accept.unwrap_or("*/*").split(',').map(essence);
    let mut form = None;
    for one in accepted {
        form = match one.as_str() {
            "application/jsonlines" | "application/x-jsonlines" => Some(Shape::Lines),
            "" | "*/*" | "application/*" => Some(shape),
            "application/json" if shape == Shape::Lines => Some(Shape::Instances),
            "application/json" => Some(shape),
            _ => continue,
        };
        break;
    }
    let Some(form) = form else {
        let accept = accept.unwrap_or_default();
        return Err(refuse(
            406,
            format!("{accept} is not written here; application/json and application/jsonlines are"),
        ));
    };
    let list = |between: &str| {
        let texts: Vec<&str> = answers.iter().map(|one| one.get()).collect();
        texts.join(between)
    };
    let (content_type, body) = match form {
        Shape::One => ("application/json", list(",")),
        Shape::Instances => (
            "application/json",
            format!("{{\"predictions\":[{}]}}", list(",")),
        ),
        Shape::Inputs => ("application/json", format!("[{}]", list(","))),
        Shape::Lines => ("application/jsonlines", list("\n") + "\n"),
    };
    Ok(Said {
        content_type: content_type.to_owned(),
        body: body.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, body: &str) -> Result<(Vec<String>, Shape), Unanswered> {
        let read = texts(Some(kind), &Bytes::from(body.to_owned()))?;
        Ok((read.texts, read.shape))
    }

    #[test]
    fn texts_are_read_as_clients_send_them() {
        let json = "application/json; charset=utf-8";
        for (kind, body, wanted, shape) in [
            (json, r#"{"text": "a"}"#, &["a"][..], Shape::One),
            (json, r#""a""#, &["a"], Shape::One),
            (json, r#"{"inputs": "a"}"#, &["a"], Shape::Inputs),
            (
                json,
                r#"{"inputs": ["a", "b"]}"#,
                &["a", "b"],
                Shape::Inputs,
            ),
            (json, r#"["a", {"text": "b"}]"#, &["a", "b"], Shape::Inputs),
            (
                json,
                r#"{"instances": ["a", {"data": "b"}]}"#,
                &["a", "b"],
                Shape::Instances,
            ),
            (
                "application/jsonlines",
                "{\"source\": \"a\"}\n\n\"b\"\n",
                &["a", "b"],
                Shape::Lines,
            ),
            (
                "text/csv",
                "a, b\n\"c \"\"d\"\"\"\n",
                &["a, b", "c \"d\""],
                Shape::Lines,
            ),
            ("text/plain", "a\nb", &["a\nb"], Shape::One),
        ] {
            let (texts, got) = read(kind, body).expect(body);
            assert_eq!(
                (texts, got),
                (
                    wanted.iter().map(|text| (*text).to_owned()).collect(),
                    shape
                )
            );
        }
        for (kind, body, status) in [
            (json, "{", 400),
            (json, "{}", 400),
            (json, r#"{"instances": [1]}"#, 400),
            ("image/png", "x", 415),
        ] {
            assert_eq!(read(kind, body).expect_err(body).status, status);
        }
        let invalid = texts(Some("text/plain"), &Bytes::from_static(b"\xff"));
        assert_eq!(invalid.expect_err("refused").status, 400);
    }

    #[test]
    fn answers_have_the_form_of_the_question() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).expect("JSON");
        let said = [raw("1"), raw("{\"a\":2}")];
        for (shape, accept, wanted) in [
            (Shape::Instances, None, "{\"predictions\":[1,{\"a\":2}]}"),
            (Shape::Inputs, Some("application/json"), "[1,{\"a\":2}]"),
            (Shape::Lines, Some("*/*"), "1\n{\"a\":2}\n"),
            (
                Shape::Lines,
                Some("application/json"),
                "{\"predictions\":[1,{\"a\":2}]}",
            ),
            (
                Shape::Inputs,
                Some("text/csv, application/jsonlines"),
                "1\n{\"a\":2}\n",
            ),
        ] {
            let answer = answers(shape, accept, &said).expect("accepted");
            assert_eq!(answer.body, wanted);
        }
        assert_eq!(
            answers(Shape::One, Some("image/png"), &said)
                .expect_err("refused")
                .status,
            406
        );
    }
}
