//! Conversations: what is asked with messages instead of a text, and how it is answered.
//!
//! Two forms. `messages`, as Text Generation Inference and OpenAI's chat completions have them, whose answers are theirs
//! too; and `inputs` that are messages, as transformers' pipeline takes them, whose answers are the conversation with one
//! message more.
//!
//! Sources: huggingface/text-generation-inference (`router/src/lib.rs`, `ChatRequest`), OpenAI's API reference
//! (`chat/completions`), transformers' `TextGenerationPipeline` with a `Chat`.

use super::super::questions::refuse;
use escala_sagemaker::served::Unanswered;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Most messages of a conversation.
const MOST: usize = 4096;
/// Most bytes of what a request calls the model, which every part of the answer repeats.
const NAME: usize = 256;
/// New tokens where a request does not say.
pub const USUAL: usize = 1024;

/// Members of a request with `messages` that are read.
const KNOWN: [&str; 10] = [
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "seed",
    "stop",
    "n",
];
/// Those that change nothing here.
const IDLE: [&str; 6] = [
    "model",
    "user",
    "metadata",
    "store",
    "stream_options",
    "return_full_text",
];
/// Those that are refused unless they say what is the case anyway.
const REFUSED: [(&str, &[&str]); 8] = [
    ("frequency_penalty", &["null", "0", "0.0"]),
    ("presence_penalty", &["null", "0", "0.0"]),
    ("logit_bias", &["null", "{}"]),
    ("logprobs", &["null", "false"]),
    ("top_logprobs", &["null", "0"]),
    ("tools", &["null", "[]"]),
    ("tool_choice", &["null", "\"none\"", "\"auto\""]),
    ("response_format", &["null", "{\"type\":\"text\"}"]),
];

/// What is asked.
pub struct Talk {
    /// What was said, and the same as it was sent.
    pub messages: Value,
    pub sent: Box<RawValue>,
    /// How it is to be continued, under the names of texts' parameters.
    pub parameters: Value,
    /// Whether the answer comes token by token.
    pub stream: bool,
    /// Whether the stream's last part but one says how many tokens there were.
    pub usage: bool,
    /// What the request calls the model; absent where messages are `inputs`.
    pub model: Option<String>,
}

impl Talk {
    /// The conversation of a request's body, if it has one.
    ///
    /// # Errors
    /// 400 when there are messages, and something is wrong with them or beside them.
    pub fn of(body: &[u8]) -> Result<Option<Self>, Unanswered> {
        // What is no object is for who reads texts to refuse.
        let Ok(Value::Object(mut members)) = serde_json::from_slice(body) else {
            return Ok(None);
        };
        let Ok(mut sent) = serde_json::from_slice::<BTreeMap<String, Box<RawValue>>>(body) else {
            return Ok(None);
        };
        let stream = members.remove("stream") == Some(Value::Bool(true));
        if let (Some(messages), Some(sent)) = (members.remove("messages"), sent.remove("messages"))
        {
            return Self::of_members(messages, sent, members, stream).map(Some);
        }
        let are_messages = members.get("inputs").is_some_and(|inputs| {
            let first = inputs.as_array().and_then(|list| list.first());
            first.is_some_and(|one| one["role"].is_string())
        });
        let Some(sent) = sent.remove("inputs").filter(|_| are_messages) else {
            return Ok(None);
        };
        let messages = checked(members.remove("inputs").unwrap_or_default())?;
        Ok(Some(Self {
            messages,
            sent,
            parameters: members.remove("parameters").unwrap_or_default(),
            stream,
            usage: false,
            model: None,
        }))
    }

    fn of_members(
        messages: Value,
        sent: Box<RawValue>,
        mut members: Map<String, Value>,
        stream: bool,
    ) -> Result<Self, Unanswered> {
        let messages = checked(messages)?;
        for (name, idle) in REFUSED {
            let said = members.remove(name).unwrap_or_default();
            if !idle.contains(&said.to_string().as_str()) {
                return Err(refuse(
                    400,
                    format!("{name} is not part of this version of Escala"),
                ));
            }
        }
        let model = members.get("model").and_then(Value::as_str);
        let model = model.unwrap_or("escala").to_owned();
        if model.len() > NAME {
            return Err(refuse(400, format!("model has more than {NAME} bytes")));
        }
        let usage = members
            .get("stream_options")
            .is_some_and(|o| o["include_usage"] == true);
        let mut parameters = Map::new();
        for (name, value) in members {
            if IDLE.contains(&name.as_str()) || value.is_null() {
                continue;
            }
            if !KNOWN.contains(&name.as_str()) {
                return Err(refuse(
                    400,
                    format!("{name} is not known here; these are: {}", KNOWN.join(", ")),
                ));
            }
            let own = match name.as_str() {
                "max_tokens" | "max_completion_tokens" => "max_new_tokens",
                "n" => "num_return_sequences",
                other => other,
            };
            parameters.insert(own.to_owned(), value);
        }
        // Drawn unless it is to be as cold as can be, and from all tokens, whatever the checkpoint says.
        let cold = parameters.get("temperature").and_then(Value::as_f64) == Some(0.0);
        parameters.insert("do_sample".to_owned(), json!(!cold));
        for (name, usual) in [
            ("temperature", json!(1.0)),
            ("top_k", json!(0)),
            ("top_p", json!(1.0)),
        ] {
            parameters.entry(name).or_insert(usual);
        }
        Ok(Self {
            messages,
            sent,
            parameters: Value::Object(parameters),
            stream,
            usage,
            model: Some(model),
        })
    }
}

/// Messages that a template can be shown.
fn checked(messages: Value) -> Result<Value, Unanswered> {
    let wrong = "messages are a list of objects, each with a role that is a text and a content";
    let list = messages.as_array().filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| refuse(400, wrong))?;
    if list.len() > MOST {
        return Err(refuse(
            400,
            format!("a conversation has at most {MOST} messages"),
        ));
    }
    if !list.iter().all(|one| one["role"].is_string()) {
        return Err(refuse(400, wrong));
    }
    list.iter().try_for_each(content)?;
    Ok(messages)
}

/// Looks at what a message says: a text, parts that are texts, or nothing where it calls tools.
fn content(message: &Value) -> Result<(), Unanswered> {
    let parts = match &message["content"] {
        Value::String(_) => return Ok(()),
        Value::Null if message["tool_calls"].is_array() => return Ok(()),
        Value::Array(parts) => parts,
        _ => {
            return Err(refuse(
                400,
                "the content of a message is a text, or a list of parts",
            ));
        }
    };
    match parts
        .iter()
        .find(|part| part["type"] != "text" || !part["text"].is_string())
    {
        None => Ok(()),
        Some(part) => Err(refuse(
            400,
            format!(
                "a part of a message is of the type {}; this network reads {{\"type\": \"text\", \"text\": …}}",
                part["type"]
            ),
        )),
    }
}

/// What of a text is said while it grows: not what ends it, nor what may be the beginning of that.
pub struct Unsaid<'a> {
    stops: &'a [String],
    held: String,
    ended: bool,
}

impl<'a> Unsaid<'a> {
    /// A text that any of `stops` ends.
    pub fn new(stops: &'a [String]) -> Self {
        Self {
            stops,
            held: String::new(),
            ended: false,
        }
    }

    /// What can be said now that more is there.
    pub fn hear(&mut self, more: &str) -> String {
        if self.ended {
            return String::new();
        }
        self.held.push_str(more);
        let stops = self.stops.iter();
        let end = stops.filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(end) = end {
            self.ended = true;
            self.held.truncate(end);
            return std::mem::take(&mut self.held);
        }
        let begun = |stop: &String| {
            let mut lengths = (1..stop.len()).rev();
            let is = |&length: &usize| {
                stop.get(..length)
                    .is_some_and(|begun| self.held.ends_with(begun))
            };
            lengths.find(is).unwrap_or(0)
        };
        let kept = self.stops.iter().map(begun).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - kept);
        std::mem::replace(&mut self.held, rest)
    }

    /// What is left to be said when there is no more.
    pub fn rest(self) -> String {
        self.held
    }
}

/// What identifies an answer.
pub struct Head {
    id: String,
    created: u64,
    model: String,
}

impl Head {
    /// Of an answer that begins now.
    pub fn new(model: &str) -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            id: format!("chatcmpl-{}", uuid::Uuid::new_v4().simple()),
            created: since.map_or(0, |since| since.as_secs()),
            model: model.to_owned(),
        }
    }

    fn object(&self, kind: &str, choices: Value) -> Value {
        json!({
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": concat!("escala-", env!("CARGO_PKG_VERSION")),
            "choices": choices,
        })
    }

    /// The whole answer: texts, each with why it ends.
    pub fn completion(&self, texts: &[(&str, &str)], read: usize, written: usize) -> Value {
        let choices = texts.iter().enumerate().map(|(index, (text, why))| {
            let message = json!({"role": "assistant", "content": text});
            json!({"index": index, "message": message, "logprobs": null, "finish_reason": finish(why)})
        });
        let mut whole = self.object("chat.completion", choices.collect());
        whole["usage"] = usage(read, written);
        whole
    }

    /// A part of it: what is new, and at the end why there is no more.
    pub fn chunk(&self, text: &str, first: bool, why: Option<&str>) -> Value {
        let mut delta = json!({ "content": text });
        if first {
            delta["role"] = json!("assistant");
        }
        let choice = json!({
            "index": 0, "delta": delta, "logprobs": null, "finish_reason": why.map(finish),
        });
        self.object("chat.completion.chunk", json!([choice]))
    }

    /// The part that says how many tokens there were.
    pub fn counted(&self, read: usize, written: usize) -> Value {
        let mut part = self.object("chat.completion.chunk", json!([]));
        part["usage"] = usage(read, written);
        part
    }
}

fn usage(read: usize, written: usize) -> Value {
    json!({"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written})
}

/// Why a text ends, in the words of conversations.
fn finish(why: &str) -> &'static str {
    match why {
        "length" => "length",
        _ => "stop",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_text_is_not_said() {
        let stops = ["END".to_owned(), "é!".to_owned()];
        let say = |parts: &[&str]| {
            let mut unsaid = Unsaid::new(&stops);
            let mut said: Vec<String> = parts.iter().map(|part| unsaid.hear(part)).collect();
            said.push(unsaid.rest());
            said
        };
        assert_eq!(say(&["a", "b"]), ["a", "b", ""]);
        assert_eq!(say(&["aE", "N", "x"]), ["a", "", "ENx", ""]);
        assert_eq!(say(&["aE", "N", "D b", "c"]), ["a", "", "", "", ""]);
        assert_eq!(say(&["aEN"]), ["a", "EN"]);
        assert_eq!(say(&["é", "!é"]), ["", "", ""]);
        assert_eq!(say(&["EEND"]), ["E", ""]);
    }
}
