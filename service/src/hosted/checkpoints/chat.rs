//! Messages as one text, by the template that a checkpoint brings.
//!
//! The template is Jinja's, in `chat_template.jinja` or in `tokenizer_config.json`, and sees what transformers'
//! `apply_chat_template` shows it: the messages, the special tokens by their names, and whether the assistant's turn begins
//! behind it. A template is data of whoever made the checkpoint: it can read nothing else, and its steps are counted.
//!
//! Reference: transformers 4.57, `utils/chat_template_utils.py`.

use crate::failure::chain;
use fancy_regex::Regex;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value as Shown, context};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

/// Most bytes of a template and of the file that may hold it.
const LONGEST: u64 = 32 << 20;
/// Steps of a template: some hundred a message.
const STEPS: u64 = 5_000_000;
/// The template's name; it ends in nothing that would have its texts escaped.
const NAME: &str = "chat";
/// Special tokens that templates know by name.
const SPECIAL: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// A checkpoint's template.
#[derive(Debug)]
pub struct Chat {
    environment: Environment<'static>,
    special: BTreeMap<&'static str, String>,
    /// Whether the template goes through the parts of a content by itself.
    parts: bool,
}

/// A loop over the parts of a message's content, as templates write it.
static LOOP: LazyLock<Result<Regex, String>> = LazyLock::new(|| {
    let pattern =
        r#"\bfor\s+\w+\s+in\s+(?:content\b|[\w.\[\]'"-]*(?:\.content\b|\[['"]content['"]\]))"#;
    Regex::new(pattern).map_err(|error| error.to_string())
});

impl Chat {
    /// The template in a checkpoint's folder, if there is one.
    ///
    /// # Errors
    /// A sentence: a file cannot be read, or is no template.
    pub fn load(folder: &Path) -> Result<Option<Self>, String> {
        let config = match read(&folder.join("tokenizer_config.json"))? {
            Some(text) => serde_json::from_str(&text)
                .map_err(|error| format!("tokenizer_config.json is not JSON: {error}"))?,
            None => Value::Null,
        };
        let template = match read(&folder.join("chat_template.jinja"))? {
            Some(template) => Some(template),
            None => template_of(&config),
        };
        let Some(template) = template else {
            return Ok(None);
        };
        Self::new(template, &config).map(Some)
    }

    /// A template, and the special tokens of a `tokenizer_config.json`.
    fn new(template: String, config: &Value) -> Result<Self, String> {
        let parts = LOOP.as_ref().map_err(String::clone)?;
        let parts = parts
            .is_match(&template)
            .map_err(|error| error.to_string())?;
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(|error| told(&error))?);
        environment.set_fuel(Some(STEPS));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", as_json);
        environment.add_function("raise_exception", raise);
        environment.add_function("strftime_now", now);
        environment
            .add_template_owned(NAME, template)
            .map_err(|error| format!("the chat template cannot be read: {}", told(&error)))?;
        let special = SPECIAL.iter().filter_map(|name| {
            let token = &config[*name];
            let text = token.as_str().or_else(|| token["content"].as_str())?;
            Some((*name, text.to_owned()))
        });
        Ok(Self {
            environment,
            special: special.collect(),
            parts,
        })
    }

    /// The text of messages, up to where the assistant's next one begins. They are JSON as it was sent, since templates
    /// write objects with their members in the order that they have.
    ///
    /// # Errors
    /// A sentence: the template refuses the messages, or fails.
    pub fn prompt(&self, messages: &RawValue) -> Result<String, String> {
        let unread = |error: serde_json::Error| format!("the messages cannot be read: {error}");
        let mut messages: Shown = serde_json::from_str(messages.get()).map_err(unread)?;
        if !self.parts {
            messages = joined(&messages).map_err(|error| told(&error))?;
        }
        let render = || {
            let template = self.environment.get_template(NAME)?;
            let special = Shown::from(Serde(&self.special));
            template.render(context! {
                messages,
                tools => (),
                documents => (),
                add_generation_prompt => true,
                ..special
            })
        };
        render()
            .map_err(|error| format!("the chat template refuses the messages: {}", told(&error)))
    }
}

/// An object's members, in their order.
struct Members(Vec<(Shown, Shown)>);

impl Serialize for Members {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Messages whose parts are texts with these as one, for templates that know only texts.
fn joined(messages: &Shown) -> Result<Shown, Error> {
    let mut all = Vec::new();
    for message in messages.try_iter()? {
        let content = message.get_attr("content")?;
        if content.kind() != ValueKind::Seq {
            all.push(message);
            continue;
        }
        let (mut text, mut are_texts) = (String::new(), true);
        for part in content.try_iter()? {
            are_texts &= part.get_attr("type")?.as_str() == Some("text");
            text.push_str(part.get_attr("text")?.as_str().unwrap_or_default());
        }
        if !are_texts {
            all.push(message);
            continue;
        }
        let mut members = Vec::new();
        for name in message.try_iter()? {
            let value = match name.as_str() {
                Some("content") => Shown::from(text.as_str()),
                _ => message.get_item(&name)?,
            };
            members.push((name, value));
        }
        all.push(Shown::from(Serde(&Members(members))));
    }
    Ok(Shown::from(all))
}

/// What a file holds, if it is there.
fn read(path: &Path) -> Result<Option<String>, String> {
    let said = |error: std::io::Error| format!("{}: {error}", path.display());
    match std::fs::metadata(path) {
        Ok(about) if about.len() > LONGEST => {
            Err(format!("{} has more than {LONGEST} bytes", path.display()))
        }
        Ok(_) => std::fs::read_to_string(path).map(Some).map_err(said),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(said(error)),
    }
}

/// The template of a `tokenizer_config.json`; of several by name the default one.
fn template_of(config: &Value) -> Option<String> {
    let template = match &config["chat_template"] {
        Value::Array(named) => {
            let default = named.iter().find(|one| one["name"] == "default");
            default.map(|one| &one["template"])?
        }
        template => template,
    };
    template.as_str().map(str::to_owned)
}

/// What is wrong, with the line of the template.
fn told(error: &Error) -> String {
    chain(error)
}

fn raise(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

fn now(format: &str) -> Result<String, Error> {
    use std::fmt::Write;
    let mut text = String::new();
    let now = chrono::Utc::now();
    write!(text, "{}", now.format(format)).map_err(|_| {
        Error::new(
            ErrorKind::InvalidOperation,
            format!("{format:?} is no format of a date"),
        )
    })?;
    Ok(text)
}

/// As Python's `json.dumps` writes, which templates were tried with: a space behind commas and colons.
fn as_json(value: &Shown, options: minijinja::value::Kwargs) -> Result<Shown, Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    let wrong = |error: serde_json::Error| {
        Error::new(ErrorKind::BadSerialization, "cannot be written as JSON").with_source(error)
    };
    let mut text = Vec::new();
    match indent {
        Some(width) => {
            let indent = " ".repeat(width.min(16));
            let format = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            let mut writer = serde_json::Serializer::with_formatter(&mut text, format);
            value.serialize(&mut writer).map_err(wrong)?;
        }
        None => {
            let mut writer = serde_json::Serializer::with_formatter(&mut text, Spaced);
            value.serialize(&mut writer).map_err(wrong)?;
        }
    }
    Ok(Shown::from_safe_string(
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Golden {
        special: Value,
        templates: BTreeMap<String, String>,
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        template: String,
        messages: Box<RawValue>,
        text: Option<String>,
        error: Option<String>,
    }

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    /// Texts that transformers renders of the same templates and messages, and what it refuses.
    #[test]
    fn texts_are_those_of_the_reference() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/chats.json");
        let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut refused = 0;
        assert!(golden.cases.len() >= 20);
        for case in golden.cases {
            let template = golden.templates[&case.template].clone();
            let chat = Chat::new(template, &golden.special).unwrap();
            let found = chat.prompt(&case.messages);
            let about = (&case.template, &case.messages);
            match (&case.text, &case.error) {
                (Some(text), None) => assert_eq!(found.as_ref(), Ok(text), "{about:?}"),
                (None, Some(why)) => {
                    assert!(found.is_err_and(|said| said.contains(why)), "{about:?}");
                    refused += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(refused >= 2);
    }

    #[test]
    fn templates_are_found_in_both_files() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Chat::load(folder.path()).unwrap().is_none());
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let hello = raw(r#"[{"role": "user", "content": "Hi & <you>"}]"#);
        let said = || {
            Chat::load(folder.path())
                .unwrap()
                .unwrap()
                .prompt(&hello)
                .unwrap()
        };
        write(
            "tokenizer_config.json",
            r#"{"bos_token": {"content": "<s>"}, "chat_template": [{"name": "rag", "template": "no"},
                {"name": "default", "template": "{{ bos_token }}{{ messages[0].content }}"}]}"#,
        );
        assert_eq!(said(), "<s>Hi & <you>");
        write(
            "chat_template.jinja",
            "{{ messages[0]['role'] }}{% if add_generation_prompt %}:{% endif %}",
        );
        assert_eq!(said(), "user:");
        write("chat_template.jinja", "{% for x in %}");
        assert!(
            Chat::load(folder.path())
                .unwrap_err()
                .contains("cannot be read")
        );
        write("tokenizer_config.json", "{");
        assert!(Chat::load(folder.path()).is_err());
    }

    /// Parts are one text for templates that know only texts, and parts for those that go through them.
    #[test]
    fn parts_are_shown_as_the_template_knows_them() {
        let messages = raw(
            r#"[{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                {"role": "assistant", "content": "c"}, {"role": "tool"}]"#,
        );
        for (template, text) in [
            (
                "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}",
                "user:ab;assistant:c;tool:;",
            ),
            (
                "{{ messages[0]['content'] | length }}{{ messages[0] | tojson }}",
                "2{\"role\": \"user\", \"content\": \"ab\"}",
            ),
            (
                "{% for m in messages %}{% if m['content'] is string %}{{ m['content'] }}{% elif m['content'] %}\
                 {% for part in m['content'] %}<{{ part['text'] }}>{% endfor %}{% endif %}{% endfor %}",
                "<a><b>c",
            ),
            (
                "{% for content in messages[0].content %}{{ content.text }},{% endfor %}",
                "a,b,",
            ),
            // It only looks for something in a text.
            (
                "{% if 'b' in messages[0].content %}{{ messages[0].content }}{% endif %}",
                "ab",
            ),
        ] {
            let chat = Chat::new(template.to_owned(), &Value::Null).unwrap();
            assert_eq!(chat.prompt(&messages).as_deref(), Ok(text), "{template}");
        }
    }

    #[test]
    fn templates_that_never_end_are_stopped() {
        let endless =
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        let chat = Chat::new(endless.to_owned(), &Value::Null).unwrap();
        assert!(chat.prompt(&raw("[]")).is_err());
    }
}
