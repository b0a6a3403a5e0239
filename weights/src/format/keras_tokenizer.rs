//! Pickled tokenizers of Keras: the words that a network was trained on, in the order of their ids.
//!
//! A tokenizer counts the words of its training texts and numbers them from 1 by falling frequency; a network
//! reads those below `num_words`, and only these are kept. The pickle is the tokenizer itself or an object with
//! one as its attribute `tokenizer`. What comes out is JSON:
//!
//! ```json
//! {"filters": "!?…", "words": ["the", "to", …]}
//! ```
//!
//! `filters` are the characters that separate words beside the space; the word at place `i` has id `i + 1`.
//! Reference: `Tokenizer` of `keras_preprocessing/text.py`, version 1.1.

use super::pickle::{Id, Node, Pickle};
use super::{Bytes, Error, invalid};
use serde::Serialize;

/// Raised when the conversion of the same file changes.
pub const REVISION: u32 = 1;

#[derive(Serialize)]
struct Words<'a> {
    filters: &'a str,
    words: Vec<&'a str>,
}

/// Reads a tokenizer and gives its words as JSON.
///
/// # Errors
/// Anything that is not a tokenizer of lower-case words separated by spaces, with one word for each id below
/// `num_words`.
pub fn to_json(file: &[u8]) -> Result<Vec<u8>, Error> {
    let mut bytes = Bytes::new(file);
    let pickle = Pickle::read(&mut bytes)?;
    if bytes.remaining() > 0 {
        return Err(invalid("bytes after the pickle"));
    }
    let mut tokenizer = Attributes::of(&pickle, pickle.root())?;
    if let Some(inner) = tokenizer.find("tokenizer") {
        tokenizer = Attributes::of(&pickle, pickle.get(inner))?;
    }
    if tokenizer.class != "Tokenizer" {
        return Err(invalid(format!("an object of class {}", tokenizer.class)));
    }
    let (Node::Bool(true), Node::Text(" ")) = (tokenizer.get("lower")?, tokenizer.get("split")?)
    else {
        return Err(unsupported("a tokenizer that is not of lower-case words"));
    };
    let (Node::Bool(false), Node::None) =
        (tokenizer.get("char_level")?, tokenizer.get("oov_token")?)
    else {
        return Err(unsupported("a tokenizer of characters or unknown words"));
    };
    let (Node::Text(filters), Node::Int(below), Node::Dict(index)) = (
        tokenizer.get("filters")?,
        tokenizer.get("num_words")?,
        tokenizer.get("word_index")?,
    ) else {
        return Err(invalid(
            "a tokenizer's filters, num_words or word_index are of another type",
        ));
    };
    let mut words: Vec<(i64, &str)> = Vec::new();
    for &(word, id) in index {
        let (Node::Text(word), &Node::Int(id)) = (pickle.get(word), pickle.get(id)) else {
            return Err(invalid("a word_index that is not of words and numbers"));
        };
        if id < *below {
            words.push((id, word));
        }
    }
    words.sort_unstable();
    if let Some(gap) = words.iter().zip(1..).find(|((id, _), want)| id != want) {
        return Err(invalid(format!("no word or two with id {}", gap.1)));
    }
    let words = words.into_iter().map(|(_, word)| word).collect();
    serde_json::to_vec(&Words { filters, words })
        .map_err(|error| invalid(format!("words cannot be written: {error}")))
}

fn unsupported(what: &str) -> Error {
    Error::Unsupported {
        what: what.to_owned(),
    }
}

/// The attributes of an object.
struct Attributes<'a> {
    pickle: &'a Pickle<'a>,
    class: &'a str,
    pairs: &'a [(Id, Id)],
}

impl<'a> Attributes<'a> {
    fn of(pickle: &'a Pickle<'a>, object: &'a Node<'a>) -> Result<Self, Error> {
        let &Node::Object(class, Some(attributes)) = object else {
            return Err(invalid("not an object with attributes"));
        };
        let &Node::Global(_, class) = pickle.get(class) else {
            return Err(invalid("an object without a class"));
        };
        let Node::Dict(pairs) = pickle.get(attributes) else {
            return Err(invalid("attributes that are no dictionary"));
        };
        Ok(Self {
            pickle,
            class,
            pairs,
        })
    }

    fn find(&self, name: &str) -> Option<Id> {
        let named = |&&(key, _): &&(Id, Id)| matches!(self.pickle.get(key), Node::Text(text) if *text == name);
        self.pairs.iter().find(named).map(|&(_, value)| value)
    }

    fn get(&self, name: &str) -> Result<&'a Node<'a>, Error> {
        self.find(name)
            .map(|id| self.pickle.get(id))
            .ok_or_else(|| invalid(format!("a tokenizer without {name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&[b'X', text.len() as u8, 0, 0, 0][..], text.as_bytes()].concat()
    }

    /// A pickled object of class `m.Tokenizer` with these attributes, each an opcode sequence.
    fn object(attributes: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = b"cm\nTokenizer\n)\x81}(".to_vec();
        for (name, value) in attributes {
            bytes.extend(text(name));
            bytes.extend(value);
        }
        bytes.extend(b"ub");
        bytes
    }

    fn index(words: &[(&str, u8)]) -> Vec<u8> {
        let mut bytes = b"}(".to_vec();
        for (word, id) in words {
            bytes.extend(text(word));
            bytes.extend([b'K', *id]);
        }
        bytes.push(b'u');
        bytes
    }

    fn tokenizer(words: &[(&str, u8)], lower: u8) -> Vec<u8> {
        let attributes = [
            ("lower", vec![lower]),
            ("split", text(" ")),
            ("char_level", vec![0x89]),
            ("oov_token", vec![b'N']),
            ("filters", text("!?")),
            ("num_words", vec![b'K', 3]),
            ("word_index", index(words)),
        ];
        object(&attributes)
    }

    fn file(object: &[u8]) -> Vec<u8> {
        [b"\x80\x03", object, b"."].concat()
    }

    #[test]
    fn words_come_in_the_order_of_their_ids_below_the_bound() {
        let plain = tokenizer(&[("b", 2), ("a", 1), ("c", 3)], 0x88);
        let inside = object(&[("tokenizer", plain.clone())]);
        for object in [plain, inside] {
            let json = to_json(&file(&object)).unwrap();
            assert_eq!(
                String::from_utf8(json).unwrap(),
                r#"{"filters":"!?","words":["a","b"]}"#
            );
        }
    }

    #[test]
    fn other_tokenizers_are_refused() {
        for object in [
            tokenizer(&[("b", 2)], 0x88),
            tokenizer(&[("a", 1), ("b", 1)], 0x88),
            tokenizer(&[("a", 1), ("b", 2)], 0x89),
            object(&[]),
            object(&[("tokenizer", vec![b'N'])]),
            vec![b'N'],
        ] {
            assert!(to_json(&file(&object)).is_err(), "{object:?}");
        }
    }

    #[test]
    fn files_cut_anywhere_are_errors() {
        let whole = file(&tokenizer(&[("a", 1), ("b", 2)], 0x88));
        assert!(to_json(&whole).is_ok());
        for length in 0..whole.len() {
            assert!(to_json(&whole[..length]).is_err(), "{length}");
        }
        assert!(to_json(&[&whole[..], b"x"].concat()).is_err());
    }
}
