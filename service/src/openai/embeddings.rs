//! `POST /v1/embeddings`.
//!
//! Follows OpenAI's API reference for the request and the answer; what we cannot do (tokens of their
//! tokenizer as input, other numbers of dimensions) is refused with the reason.

use super::error::OpenAiErrorBody;
use super::models::known;
use crate::app::App;
use crate::failure::Failure;
use crate::rest::call::{Call, Media, check_texts, predict_list};
use crate::rest::embeddings::model;
use crate::rest::list::List;
use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use escala_pipelines::Kind;
use escala_pipelines::embeddings::{DIMENSIONS, EmbeddingInput};
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::sync::Arc;
use utoipa::ToSchema;

/// Texts to embed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateEmbeddings {
    /// A text, or a list of texts.
    #[schema(value_type = OneOrMany)]
    input: Input,
    /// `all-MiniLM-L6-v2`, or the one that was named at start.
    #[schema(example = "all-MiniLM-L6-v2")]
    model: String,
    /// How to write the numbers.
    #[schema(default = "float")]
    encoding_format: Option<Encoding>,
    /// The numbers that the model gives (384), if given.
    dimensions: Option<u64>,
    /// Taken and not used.
    #[serde(rename = "user")]
    _user: Option<String>,
}

/// A text or a list of texts.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code)] // only describes the document
enum OneOrMany {
    /// One text.
    One(String),
    /// Texts, answered in order.
    Many(Vec<String>),
}

/// How to write an embedding's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// A list of numbers.
    #[default]
    Float,
    /// Little-endian 32-bit floats in base64.
    Base64,
}

/// The embeddings.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmbeddingList {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<EmbeddingObject>,
    model: String,
    usage: Usage,
}

/// One embedding.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmbeddingObject {
    #[schema(example = "embedding")]
    object: &'static str,
    /// The number of the text.
    index: usize,
    /// The numbers.
    embedding: Numbers,
}

/// An embedding's numbers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Numbers {
    /// As a list.
    Float(Vec<f32>),
    /// As base64 of little-endian 32-bit floats.
    Base64(String),
}

/// What the request took.
#[derive(Debug, Serialize, ToSchema)]
pub struct Usage {
    /// Tokens read, special ones included.
    prompt_tokens: usize,
    /// The same.
    total_tokens: usize,
}

/// Embed texts, in OpenAI's shape.
///
/// # Errors
/// Those of [`crate::failure`], in OpenAI's shape.
#[utoipa::path(
    post,
    path = "/v1/embeddings",
    operation_id = "create_embeddings",
    tag = "openai",
    request_body = CreateEmbeddings,
    responses(
        (status = 200, description = "The embeddings, in order.", body = EmbeddingList),
        (status = 400, description = "The request breaks a rule.", body = OpenAiErrorBody),
        (status = 404, description = "There is no such model.", body = OpenAiErrorBody),
        (status = 413, description = "The body or a text is too large.", body = OpenAiErrorBody),
        (status = 415, description = "The body is not JSON.", body = OpenAiErrorBody),
        (status = 429, description = "The queue is full; `Retry-After` says when to come back.", body = OpenAiErrorBody),
        (status = 503, description = "The model cannot be loaded now.", body = OpenAiErrorBody),
        (status = 504, description = "The deadline passed.", body = OpenAiErrorBody),
    )
)]
pub async fn embeddings(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<EmbeddingList>, Failure> {
    if call.media != Media::Json {
        return Err(call.unsupported("application/json"));
    }
    let request: CreateEmbeddings = call.json().await?;
    known(&app, &request.model)?;
    let model = model(&app);
    let refused = |dimensions: usize| {
        let message = format!(
            "`{model}` has {dimensions} dimensions and cannot answer with another number of them"
        );
        Failure::of_kind(Kind::Unsupported, message).at("dimensions")
    };
    let wanted = request.dimensions;
    let builtin = app.config.checkpoints.embeddings.is_none();
    if builtin && wanted.is_some_and(|wanted| wanted != DIMENSIONS as u64) {
        return Err(refused(DIMENSIONS));
    }
    let encoding = request.encoding_format.unwrap_or_default();
    let texts = texts(request.input)?;
    let texts = check_texts(texts, &app.config.limits).map_err(|failure| failure.at("input"))?;
    let inputs = texts
        .into_iter()
        .map(|text| EmbeddingInput { text })
        .collect();
    let mut usage = 0;
    let mut data = Vec::new();
    for (index, result) in predict_list(&*app.embeddings, inputs, call.options)
        .await?
        .into_iter()
        .enumerate()
    {
        // This shape has no place for an item that fails alone.
        let embedding = result.map_err(|failure| {
            let message = format!("input {index}: {}", failure.message);
            Failure { message, ..failure }.at("input")
        })?;
        let dimensions = embedding.vector.len();
        if !builtin && wanted.is_some_and(|wanted| wanted != dimensions as u64) {
            return Err(refused(dimensions));
        }
        usage += embedding.tokens;
        data.push(EmbeddingObject {
            object: "embedding",
            index,
            embedding: write(embedding.vector, encoding),
        });
    }
    Ok(Json(EmbeddingList {
        object: "list",
        data,
        model: model.to_owned(),
        usage: Usage {
            prompt_tokens: usage,
            total_tokens: usage,
        },
    }))
}

/// What stands in `input`, read without ever holding what it is refused for.
#[derive(Debug)]
enum Input {
    /// One text, or a list of items.
    Items(List<Item>),
    /// Something else.
    Other,
}

/// One item of the list in `input`.
#[derive(Debug)]
enum Item {
    Text(String),
    /// A token's number, or a list of them.
    Tokens,
    /// Something else.
    Other,
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InputVisitor)
    }
}

struct InputVisitor;

impl<'de> Visitor<'de> for InputVisitor {
    type Value = Input;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E>(self, text: &str) -> Result<Input, E> {
        Ok(Input::Items(vec![Item::Text(text.to_owned())].into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<Input, A::Error> {
        List::read(sequence).map(Input::Items)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Input, A::Error> {
        skip_map(map).map(|()| Input::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Input, E> {
        Ok(Input::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Input, E> {
        Ok(Input::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Input, E> {
        Ok(Input::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Input, E> {
        Ok(Input::Other)
    }

    fn visit_unit<E>(self) -> Result<Input, E> {
        Ok(Input::Other)
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Item, E> {
        Ok(Item::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Item, A::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Item::Tokens)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
        skip_map(map).map(|()| Item::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Item, E> {
        Ok(Item::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Item, E> {
        Ok(Item::Tokens)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Item, E> {
        Ok(Item::Tokens)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Item, E> {
        Ok(Item::Tokens)
    }

    fn visit_unit<E>(self) -> Result<Item, E> {
        Ok(Item::Other)
    }
}

fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// The texts of `input`.
fn texts(input: Input) -> Result<List<String>, Failure> {
    let wrong = || Failure::invalid("`input` must be a text or a list of texts").at("input");
    let Input::Items(items) = input else {
        return Err(wrong());
    };
    items.try_map(|index, item| match item {
        Item::Text(text) if text.is_empty() => {
            Err(Failure::invalid(format!("input {index} is empty")).at("input"))
        }
        Item::Text(text) => Ok(text),
        Item::Tokens => {
            let message = "`input` as token numbers cannot be read: they are numbers of another model's tokenizer; send texts \
                 (with LangChain's OpenAIEmbeddings: check_embedding_ctx_length=False)";
            Err(Failure::of_kind(Kind::Unsupported, message).at("input"))
        }
        Item::Other => Err(wrong()),
    })
}

fn write(vector: Vec<f32>, encoding: Encoding) -> Numbers {
    match encoding {
        Encoding::Float => Numbers::Float(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect();
            Numbers::Base64(BASE64_STANDARD.encode(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn texts(input: Value) -> Result<Vec<String>, Failure> {
        let input: Input = serde_json::from_str(&input.to_string()).expect("any JSON is read");
        super::texts(input).map(List::into_items)
    }

    #[test]
    fn texts_are_taken_and_tokens_are_not() {
        assert_eq!(texts(json!("a")).expect("one"), ["a"]);
        assert_eq!(texts(json!(["a", "b"])).expect("two"), ["a", "b"]);
        assert!(
            texts(json!([]))
                .expect("none, which is refused later")
                .is_empty()
        );
        for input in [json!([1, 2]), json!([[1, 2], [3]])] {
            let failure = texts(input).expect_err("tokens");
            assert_eq!(
                (failure.code, failure.member),
                ("unsupported", Some("input"))
            );
        }
        for input in [
            json!(""),
            json!(["a", ""]),
            json!(null),
            json!(3),
            json!(true),
            json!({ "a": [1] }),
            json!([null]),
            json!([{ "a": 1 }]),
        ] {
            assert_eq!(
                texts(input.clone()).expect_err("not texts").code,
                "invalid_input",
                "{input}"
            );
        }
    }

    #[test]
    fn base64_holds_little_endian_floats() {
        // struct.pack("<2f", 1.0, -0.5) in base64, as numpy.frombuffer reads it.
        match write(vec![1.0, -0.5], Encoding::Base64) {
            Numbers::Base64(text) => assert_eq!(text, "AACAPwAAAL8="),
            Numbers::Float(_) => panic!("not base64"),
        }
    }
}
