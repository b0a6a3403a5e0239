//! TensorFlow.js: graphs (`model.json`) and their weights (a manifest and the bytes that it describes).
//!
//! A graph model is a JSON object: `modelTopology` is TensorFlow's own list of nodes, `weightsManifest` names the
//! constants in the order in which their bytes follow each other in the binary files. Some packages ship only such
//! a manifest, because their network is fixed in code; then the whole file is the list. Some packages put both
//! into JavaScript modules (`bundle.rs`). Reference: `tfjs-core/src/io/io_utils.ts`, `decodeWeights`, of
//! TensorFlow.js 4.22.
//!
//! Numbers may be stored smaller than they are used. `value = q · scale + min` is computed in 64 bits and then
//! rounded to 32, as JavaScript does; the result is the value that the reference computes with, bit by bit. Halves
//! are widened, which loses nothing. So the converted file holds 32-bit floats and integers only.

use super::bundle::exact_json;
use super::safetensors::{Contents, Tensor};
use super::{Bytes, Error, invalid};
use half::f16;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Raised when the conversion of the same file changes.
pub const REVISION: u32 = 1;

/// Most bytes of all tensors together: ten times the largest network that is published this way.
const LIMIT: u64 = 1 << 30;

#[derive(Deserialize)]
struct Group {
    weights: Vec<Weight>,
}

#[derive(Deserialize)]
struct Weight {
    name: String,
    shape: Vec<usize>,
    dtype: String,
    quantization: Option<Quantization>,
}

#[derive(Deserialize)]
struct Quantization {
    dtype: String,
    scale: Option<f64>,
    min: Option<f64>,
}

/// The graph without its weights: `modelTopology`, and `signature`, which names inputs and outputs, where the file
/// has one. Attributes stay as they are.
///
/// # Errors
/// [`Error::Invalid`] for anything but a graph model.
pub fn graph(model: &[u8]) -> Result<Vec<u8>, Error> {
    graph_of(exact_json(model)?)
}

/// [`graph`] of a model that is already parsed.
pub(crate) fn graph_of(model: Value) -> Result<Vec<u8>, Error> {
    let Value::Object(mut model) = model else {
        return Err(invalid("a graph model is a JSON object"));
    };
    let topology = model
        .remove("modelTopology")
        .ok_or_else(|| invalid("no modelTopology"))?;
    if !topology.get("node").is_some_and(Value::is_array) {
        return Err(invalid("modelTopology lists no nodes"));
    }
    let mut graph = Map::new();
    let older = || model.get("userDefinedMetadata")?.get("signature").cloned();
    if let Some(signature) = model.get("signature").cloned().or_else(older) {
        graph.insert("signature".to_owned(), signature);
    }
    graph.insert("modelTopology".to_owned(), topology);
    serde_json::to_vec(&Value::Object(graph)).map_err(|error| invalid(error.to_string()))
}

/// The weights that a manifest (or a graph model, which holds one) describes.
///
/// # Errors
/// When manifest and bytes do not fit each other, to the last byte.
pub fn weights(manifest: &[u8], bytes: &[u8]) -> Result<Contents, Error> {
    weights_of(exact_json(manifest)?, bytes)
}

/// [`weights`] by a manifest that is already parsed.
pub(crate) fn weights_of(manifest: Value, bytes: &[u8]) -> Result<Contents, Error> {
    let groups = match manifest {
        Value::Object(mut model) => model
            .remove("weightsManifest")
            .ok_or_else(|| invalid("no weightsManifest"))?,
        list => list,
    };
    let groups: Vec<Group> = serde_json::from_value(groups)
        .map_err(|error| invalid(format!("the weights manifest: {error}")))?;
    let mut from = Bytes::new(bytes);
    let mut contents = Contents::default();
    let mut total = 0_u128;
    for weight in groups.into_iter().flat_map(|group| group.weights) {
        let tensor = read(&weight, &mut from)?;
        total += tensor.data.len() as u128;
        if total > u128::from(LIMIT) {
            return Err(Error::TooLarge {
                what: "the weights",
                bytes: total,
                limit: LIMIT,
            });
        }
        if contents
            .tensors
            .insert(weight.name.clone(), tensor)
            .is_some()
        {
            return Err(invalid(format!("weight \"{}\" twice", weight.name)));
        }
    }
    if from.remaining() > 0 {
        return Err(invalid(format!(
            "{} bytes after the last weight",
            from.remaining()
        )));
    }
    Ok(contents)
}

fn read(weight: &Weight, from: &mut Bytes<'_>) -> Result<Tensor, Error> {
    const WHAT: &str = "a weight";
    let truncated = || Error::Truncated {
        at: from.position(),
        what: WHAT,
    };
    let count = weight
        .shape
        .iter()
        .try_fold(1_usize, |n, &side| n.checked_mul(side))
        .ok_or_else(truncated)?;
    let stored = weight.quantization.as_ref().map(|q| q.dtype.as_str());
    let values: Vec<f64> = match (stored, weight.dtype.as_str()) {
        (None, "float32") => return Ok(Tensor::f32(&weight.shape, &from.f32s(count, WHAT)?)),
        (None, "int32") => {
            let words = from.u32s(count, WHAT)?;
            let words: Vec<i32> = words.into_iter().map(u32::cast_signed).collect();
            return Ok(Tensor::i32(&weight.shape, &words));
        }
        (Some("float16"), "float32") => {
            let bytes = from.take(count.checked_mul(2).ok_or_else(truncated)?, WHAT)?;
            let halves = bytes.as_chunks::<2>().0.iter();
            let values: Vec<f32> = halves.map(|&b| f16::from_le_bytes(b).to_f32()).collect();
            return Ok(Tensor::f32(&weight.shape, &values));
        }
        (Some("uint8"), _) => {
            let bytes = from.take(count, WHAT)?;
            bytes.iter().map(|&q| f64::from(q)).collect()
        }
        (Some("uint16"), _) => {
            let bytes = from.take(count.checked_mul(2).ok_or_else(truncated)?, WHAT)?;
            let words = bytes.as_chunks::<2>().0.iter();
            words.map(|&b| f64::from(u16::from_le_bytes(b))).collect()
        }
        (stored, dtype) => {
            return Err(Error::Unsupported {
                what: format!("a weight of {dtype} stored as {}", stored.unwrap_or(dtype)),
            });
        }
    };
    let Some(Quantization {
        scale: Some(scale),
        min: Some(min),
        ..
    }) = weight.quantization
    else {
        return Err(invalid(format!(
            "weight \"{}\" has no scale or minimum",
            weight.name
        )));
    };
    let value = |q: f64| q * scale + min;
    match weight.dtype.as_str() {
        "float32" => {
            let values: Vec<f32> = values.into_iter().map(|q| value(q) as f32).collect();
            Ok(Tensor::f32(&weight.shape, &values))
        }
        "int32" => {
            // As Math.round: halves go up.
            let round = |q: f64| (value(q) + 0.5).floor() as i32;
            let values: Vec<i32> = values.into_iter().map(round).collect();
            Ok(Tensor::i32(&weight.shape, &values))
        }
        dtype => Err(Error::Unsupported {
            what: format!("a quantised weight of {dtype}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"[{"paths": ["x.bin"], "weights": [
        {"name": "raw", "shape": [2], "dtype": "float32"},
        {"name": "bytes", "shape": [1, 3], "dtype": "float32",
         "quantization": {"dtype": "uint8", "scale": 0.1, "min": -0.3}},
        {"name": "halves", "shape": [2], "dtype": "float32", "quantization": {"dtype": "float16"}},
        {"name": "words", "shape": [1], "dtype": "float32",
         "quantization": {"dtype": "uint16", "scale": 0.5, "min": 1}}
     ]}, {"paths": ["y.bin"], "weights": [
        {"name": "whole", "shape": [], "dtype": "int32"},
        {"name": "rounded", "shape": [2], "dtype": "int32",
         "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1}}
     ]}]"#;

    fn bytes() -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend([1.5_f32, -2.0].iter().flat_map(|v| v.to_le_bytes()));
        bytes.extend([0, 3, 255]);
        bytes.extend([0x00, 0x38, 0xff, 0xfb]);
        bytes.extend(513_u16.to_le_bytes());
        bytes.extend((-7_i32).to_le_bytes());
        bytes.extend([1, 4]);
        bytes
    }

    #[test]
    fn every_way_of_storing_is_read() {
        let contents = weights(MANIFEST.as_bytes(), &bytes()).unwrap();
        let tensor = |name: &str| contents.tensors[name].clone();
        assert_eq!(tensor("raw"), Tensor::f32(&[2], &[1.5, -2.0]));
        // 3 · 0.1 − 0.3 is 5.55e-17 in 64 bits and would be another number in 32.
        let wanted = [-0.3_f64, 3.0 * 0.1 - 0.3, 255.0 * 0.1 - 0.3].map(|v| v as f32);
        assert_eq!(tensor("bytes"), Tensor::f32(&[1, 3], &wanted));
        assert_eq!(tensor("halves"), Tensor::f32(&[2], &[0.5, -65504.0]));
        assert_eq!(tensor("words"), Tensor::f32(&[1], &[257.5]));
        assert_eq!(tensor("whole"), Tensor::i32(&[], &[-7]));
        // −0.5 rounds up to 0.
        assert_eq!(tensor("rounded"), Tensor::i32(&[2], &[0, 1]));
        assert_eq!(contents.tensors.len(), 6);
    }

    #[test]
    fn bytes_that_do_not_fit_are_errors() {
        let whole = bytes();
        for end in 0..whole.len() {
            assert!(
                weights(MANIFEST.as_bytes(), &whole[..end]).is_err(),
                "{end}"
            );
        }
        assert!(weights(MANIFEST.as_bytes(), &[&whole[..], b"x"].concat()).is_err());
    }

    #[test]
    fn what_must_not_be_believed_is_refused() {
        let one = |weight: &str| format!(r#"[{{"weights": [{weight}]}}]"#);
        for weight in [
            r#"{"name": "a", "shape": [18446744073709551615, 3], "dtype": "float32"}"#,
            r#"{"name": "a", "shape": [4000000000], "dtype": "int32"}"#,
            r#"{"name": "a", "shape": [-1], "dtype": "float32"}"#,
            r#"{"name": "a", "shape": [1], "dtype": "string"}"#,
            r#"{"name": "a", "shape": [1], "dtype": "float32", "quantization": {"dtype": "uint8"}}"#,
            r#"{"name": "a", "shape": [0], "dtype": "int32"}, {"name": "a", "shape": [1], "dtype": "int32"}"#,
        ] {
            assert!(
                weights(one(weight).as_bytes(), &[0; 4]).is_err(),
                "{weight}"
            );
        }
        for text in ["", "{}", "[1]", "7", "[[[["] {
            assert!(weights(text.as_bytes(), &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn a_graph_keeps_nodes_and_signature_and_nothing_else() {
        let node = r#"{"node": [{"name": "x", "op": "Placeholder"}], "versions": {}}"#;
        for signature in [
            r#""signature": {"inputs": {}}"#,
            r#""userDefinedMetadata": {"signature": {"inputs": {}}}"#,
        ] {
            let model =
                format!(r#"{{{signature}, "modelTopology": {node}, "weightsManifest": []}}"#);
            let graph: Value = serde_json::from_slice(&graph(model.as_bytes()).unwrap()).unwrap();
            let wanted: Value = serde_json::from_str(&format!(
                r#"{{"signature": {{"inputs": {{}}}}, "modelTopology": {node}}}"#
            ))
            .unwrap();
            assert_eq!(graph, wanted);
        }
        for wrong in ["[]", "{}", r#"{"modelTopology": {"node": 1}}"#] {
            assert!(graph(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
