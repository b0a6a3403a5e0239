//! What is asked of a hosted model: texts and images in the shapes that clients send them in.
//!
//! `application/json` has `{"text": …}`, `{"instances": […]}` as SageMaker's algorithms, or `{"inputs": …}` as Hugging Face's
//! containers; `application/jsonlines` one of them a line, with `source` as BlazingText; `text/csv` one text a row; `text/plain`
//! one text. Images are the body itself (`image/jpeg`, `application/x-image`, …), or base64 in the same places of JSON, also as
//! `{"image": …}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use escala_sagemaker::served::{Asked, Said, Unanswered};
use serde_json::Value;
use serde_json::value::RawValue;

/// Most texts of a request.
pub const MOST: usize = 10_000;
/// Most images of a request.
const MOST_IMAGES: usize = 1000;

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

/// What is asked about, and how it was asked.
#[derive(Debug, PartialEq)]
pub struct Questions<T> {
    /// Texts or files of images, in order.
    pub items: Vec<T>,
    /// How they came.
    pub shape: Shape,
    /// They came as a list; one that came alone is answered alone.
    pub list: bool,
    /// `parameters`, where there are some.
    pub parameters: Value,
}

impl<T> Questions<T> {
    /// How they are answered: what came alone under `inputs` is answered by itself.
    pub fn answered(&self) -> Shape {
        match (self.shape, self.list) {
            (Shape::Inputs, false) => Shape::One,
            (shape, _) => shape,
        }
    }

    /// The same where a list of one is answered as that one, as some of transformers' pipelines do.
    pub fn answered_alone(&self) -> Shape {
        match (self.shape, self.items.len()) {
            (Shape::Inputs, 1) => Shape::One,
            _ => self.answered(),
        }
    }
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

/// A text, and another one where two are read together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The text.
    pub text: String,
    /// The other one.
    pub pair: Option<String>,
}

fn not_texts() -> Unanswered {
    refuse(
        400,
        "the request has no text: it is {\"text\": …}, {\"instances\": [{\"text\": …}, …]} or {\"inputs\": …}",
    )
}

fn pair_of(value: &Value) -> Result<Pair, Unanswered> {
    let members = match value {
        Value::String(text) => {
            return Ok(Pair {
                text: text.clone(),
                pair: None,
            });
        }
        Value::Object(members) => members,
        _ => return Err(not_texts()),
    };
    let text = ["text", "source", "data"]
        .iter()
        .find_map(|name| members.get(*name)?.as_str());
    let pair = match members.get("text_pair") {
        None | Some(Value::Null) => None,
        Some(Value::String(pair)) => Some(pair.clone()),
        Some(_) => return Err(not_texts()),
    };
    let text = text.ok_or_else(not_texts)?.to_owned();
    Ok(Pair { text, pair })
}

/// The texts of a request.
///
/// # Errors
/// 415 for what is no text, 400 for what cannot be read and for pairs.
pub fn texts(content_type: Option<&str>, body: &Bytes) -> Result<Questions<String>, Unanswered> {
    let Questions {
        items,
        shape,
        list,
        parameters,
    } = pairs(content_type, body)?;
    // Read without its other half, a pair would have an answer that is another question's.
    let alone = |one: Pair| match one.pair {
        None => Ok(one.text),
        Some(_) => Err(refuse(400, "pairs of texts have no answers here")),
    };
    Ok(Questions {
        items: items.into_iter().map(alone).collect::<Result<_, _>>()?,
        shape,
        list,
        parameters,
    })
}

/// The texts of a request, each with another one where it has `text_pair`.
///
/// # Errors
/// 415 for what is no text, 400 for what cannot be read.
pub fn pairs(content_type: Option<&str>, body: &Bytes) -> Result<Questions<Pair>, Unanswered> {
    let kind = essence(content_type.unwrap_or("application/json"));
    let alone = |text: String| Pair { text, pair: None };
    let (items, shape) = match kind.as_str() {
        // The second is what SageMaker's classifiers of texts call it.
        "text/plain" | "application/x-text" => (vec![alone(utf8(body)?.to_owned())], Shape::One),
        "text/csv" => {
            let mut rows = Vec::new();
            let mut lines = utf8(body)?
                .lines()
                .filter(|line| !line.is_empty())
                .peekable();
            // The toolkit wants this header; whoever leaves it out means the same.
            lines.next_if(|line| line.trim_matches('"') == "inputs");
            for line in lines {
                let quoted = line
                    .strip_prefix('"')
                    .and_then(|rest| rest.strip_suffix('"'));
                let text =
                    quoted.map_or_else(|| line.to_owned(), |text| text.replace("\"\"", "\""));
                rows.push(alone(text));
            }
            (rows, Shape::Lines)
        }
        other => {
            let read = objects(other, body)?.ok_or_else(|| {
                refuse(
                    415,
                    format!(
                        "{other} is no text here; application/json, application/jsonlines, text/csv and text/plain are"
                    ),
                )
            })?;
            let Questions {
                items,
                shape,
                list,
                parameters,
            } = read;
            return Ok(Questions {
                items: items.iter().map(pair_of).collect::<Result<_, _>>()?,
                shape,
                list,
                parameters,
            });
        }
    };
    at_most(Questions {
        items,
        shape,
        list: false,
        parameters: Value::Null,
    })
}

fn utf8(body: &[u8]) -> Result<&str, Unanswered> {
    std::str::from_utf8(body).map_err(|_| refuse(400, "the request is not UTF-8"))
}

fn at_most<T>(read: Questions<T>) -> Result<Questions<T>, Unanswered> {
    match read.items.len() > MOST {
        true => Err(refuse(400, format!("a request has at most {MOST} texts"))),
        false => Ok(read),
    }
}

/// What a request in JSON asks about, each as it stands there; none of another media type.
///
/// # Errors
/// 400 for what cannot be read.
pub fn objects(kind: &str, body: &Bytes) -> Result<Option<Questions<Value>>, Unanswered> {
    let json = |text: &str| {
        serde_json::from_str::<Value>(text)
            .map_err(|error| refuse(400, format!("the request is not valid JSON: {error}")))
    };
    let inner = |value: &Value| value.get("inputs").unwrap_or(value).clone();
    let read = match kind {
        "application/jsonlines" | "application/x-jsonlines" => {
            let lines = utf8(body)?.lines().filter(|line| !line.trim().is_empty());
            let items = lines.map(|line| Ok(inner(&json(line)?)));
            Questions {
                items: items.collect::<Result<_, _>>()?,
                shape: Shape::Lines,
                list: false,
                parameters: Value::Null,
            }
        }
        "application/json" | "application/octet-stream" => {
            let asked = json(utf8(body)?)?;
            let (values, shape, list) = values(&asked);
            Questions {
                items: values.into_iter().map(inner).collect(),
                shape,
                list,
                parameters: asked.get("parameters").cloned().unwrap_or_default(),
            }
        }
        _ => return Ok(None),
    };
    at_most(read).map(Some)
}

/// What a JSON value asks about, how it does, and whether it is a list.
fn values(asked: &Value) -> (Vec<&Value>, Shape, bool) {
    let list = |name: &str| asked.get(name).and_then(Value::as_array);
    match (list("instances"), list("inputs"), asked) {
        (Some(instances), ..) => (instances.iter().collect(), Shape::Instances, true),
        (_, Some(inputs), _) | (.., Value::Array(inputs)) => {
            (inputs.iter().collect(), Shape::Inputs, true)
        }
        (.., asked) => {
            let shape = match asked.get("inputs") {
                Some(_) => Shape::Inputs,
                None => Shape::One,
            };
            (vec![asked], shape, false)
        }
    }
}

fn image_of(value: &Value) -> Result<Bytes, Unanswered> {
    let text =
        match value {
            Value::String(text) => Some(text),
            Value::Object(members) => ["image", "inputs", "data", "b64"].iter().find_map(|name| {
                match members.get(*name)? {
                    Value::String(text) => Some(text),
                    _ => None,
                }
            }),
            _ => None,
        };
    let text = text.ok_or_else(|| {
        refuse(
            400,
            "the request has no image: it is {\"image\": BASE64} or {\"inputs\": BASE64}",
        )
    })?;
    let bytes = STANDARD.decode(text);
    let bytes = bytes.map_err(|_| refuse(400, "the image is not valid base64"))?;
    Ok(bytes.into())
}

/// The images of a request.
///
/// # Errors
/// 415 for what is no image, 400 for what cannot be read.
pub fn images(asked: &Asked) -> Result<Questions<Bytes>, Unanswered> {
    let kind = essence(
        asked
            .content_type
            .as_deref()
            .unwrap_or("application/octet-stream"),
    );
    let json = |text: &[u8]| {
        serde_json::from_slice::<Value>(text)
            .map_err(|error| refuse(400, format!("the request is not valid JSON: {error}")))
    };
    let mut found = Questions {
        items: Vec::new(),
        shape: Shape::One,
        list: false,
        parameters: Value::Null,
    };
    match kind.as_str() {
        "application/x-image" | "application/octet-stream" => found.items.push(asked.body.clone()),
        "application/json" => {
            let read = json(&asked.body)?;
            let (values, shape, list) = values(&read);
            found.items = values.into_iter().map(image_of).collect::<Result<_, _>>()?;
            (found.shape, found.list) = (shape, list);
            if let Some(given) = read.get("parameters") {
                found.parameters = given.clone();
            }
        }
        "application/jsonlines" | "application/x-jsonlines" => {
            let lines = asked.body.split(|byte| *byte == b'\n');
            for line in lines.filter(|line| !line.iter().all(u8::is_ascii_whitespace)) {
                found.items.push(image_of(&json(line)?)?);
            }
            found.shape = Shape::Lines;
        }
        kind if kind.starts_with("image/") => found.items.push(asked.body.clone()),
        other => {
            return Err(refuse(
                415,
                format!(
                    "{other} is no image here; image/jpeg, image/png, application/x-image, application/json and application/jsonlines are"
                ),
            ));
        }
    }
    match found.items.len() > MOST_IMAGES {
        true => Err(refuse(
            400,
            format!("a request has at most {MOST_IMAGES} images"),
        )),
        false => Ok(found),
    }
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
        Ok((read.items, read.shape))
    }

    #[test]
    fn texts_are_read_as_clients_send_them() {
        let json = "application/json; charset=utf-8";
        for (kind, body, wanted, shape) in [
            (json, r#"{"text": "a"}"#, &["a"][..], Shape::One),
            (json, r#""a""#, &["a"], Shape::One),
            (json, r#"{"inputs": "a"}"#, &["a"], Shape::Inputs),
            (json, r#"{"inputs": {"text": "a"}}"#, &["a"], Shape::Inputs),
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
            (json, r#"{"inputs": {"text": "a", "text_pair": "b"}}"#, 400),
            (json, r#"[{"text": "a", "text_pair": "b"}]"#, 400),
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
