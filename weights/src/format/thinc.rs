//! Networks of thinc, the library below spaCy: one MessagePack map of parallel lists, one entry a node of
//! the network in the order in which thinc walks it.
//!
//! `params` holds a map for each node, from a parameter's name to an array or nil; an array is the map of
//! `msgpack-numpy` (`nd`, `type`, `kind`, `shape`, `data`). Nodes have no names of their own that are
//! unique, so the catalogue names each array by its node's place: `39.W` is parameter `W` of node 39.
//! Reference: `thinc/model.py` of thinc 8.3 (`Model.to_dict`, `Model.walk`).

use super::msgpack::{self, Value};
use super::safetensors::{Contents, Tensor};
use super::{Error, invalid};
use std::collections::BTreeMap;

/// Raised when the conversion of the same file changes.
pub const REVISION: u32 = 1;

/// Reads a network and gives its arrays as tensors under the names that `names` has for
/// `node.parameter`.
///
/// # Errors
/// Anything that is not a whole network of 32-bit floats with exactly the arrays that are named.
pub fn convert(file: &[u8], names: &BTreeMap<String, String>) -> Result<Contents, Error> {
    let network = msgpack::read(file)?;
    let list = |key: &str| {
        network
            .get(key)
            .and_then(Value::array)
            .ok_or_else(|| invalid(format!("no list \"{key}\"")))
    };
    let params = list("params")?;
    if list("nodes")?.len() != params.len() {
        return Err(invalid("nodes and params are of different lengths"));
    }
    let mut contents = Contents::default();
    for (node, params) in params.iter().enumerate() {
        let Value::Map(params) = params else {
            return Err(invalid(format!("the parameters of node {node} are no map")));
        };
        for (param, array) in params {
            let Value::Str(param) = param else {
                return Err(invalid(format!("a parameter of node {node} has no name")));
            };
            if *array == Value::Nil {
                continue;
            }
            let at = format!("{node}.{param}");
            let name = names
                .get(&at)
                .ok_or_else(|| invalid(format!("array {at} has no name in the catalogue")))?;
            let tensor = tensor(array).map_err(|e| invalid(format!("array {at}: {e}")))?;
            if contents.tensors.insert(name.clone(), tensor).is_some() {
                return Err(invalid(format!("two arrays named \"{name}\"")));
            }
        }
    }
    if contents.tensors.len() != names.len() {
        return Err(invalid(format!(
            "{} arrays, {} named",
            contents.tensors.len(),
            names.len()
        )));
    }
    contents
        .metadata
        .insert("format".to_owned(), "thinc".to_owned());
    Ok(contents)
}

fn tensor(array: &Value<'_>) -> Result<Tensor, Error> {
    if array.get("nd") != Some(&Value::Bool(true)) {
        return Err(invalid("not an array"));
    }
    if array.get("type") != Some(&Value::Str("<f4")) {
        return Err(Error::Unsupported {
            what: format!("element type {:?}", array.get("type")),
        });
    }
    let shape = array
        .get("shape")
        .and_then(Value::array)
        .ok_or_else(|| invalid("no shape"))?
        .iter()
        .map(|side| match side {
            Value::Int(side) => usize::try_from(*side).map_err(|_| invalid("a side below zero")),
            _ => Err(invalid("a side that is no number")),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let Some(Value::Bin(data)) = array.get("data") else {
        return Err(invalid("no data"));
    };
    let count = shape
        .iter()
        .try_fold(4_usize, |n, &side| n.checked_mul(side));
    if count != Some(data.len()) {
        return Err(invalid(format!("{} bytes for shape {shape:?}", data.len())));
    }
    let values: Vec<f32> = data
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&b| f32::from_le_bytes(b))
        .collect();
    Ok(Tensor::f32(&shape, &values))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `text` as MessagePack.
    fn str(text: &str) -> Vec<u8> {
        [&[0xa0 | text.len() as u8], text.as_bytes()].concat()
    }

    /// `{nd: true, type: "<f4", shape: [1, 2], data: …}` with keys that are bytes, as msgpack-numpy has them.
    fn array(data: &[f32]) -> Vec<u8> {
        let data: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        [
            b"\x84\xc4\x02nd\xc3\xc4\x04type\xa3<f4\xc4\x05shape\x92\x01\x02\xc4\x04data\xc4"
                .to_vec(),
            vec![data.len() as u8],
            data,
        ]
        .concat()
    }

    /// Two nodes: one without parameters, one with `W` and with a `b` that is nil.
    fn network(array: &[u8]) -> Vec<u8> {
        [
            vec![0x82],
            str("nodes"),
            vec![0x92, 0x80, 0x80],
            str("params"),
            vec![0x92, 0x80, 0x82],
            str("W"),
            array.to_vec(),
            str("b"),
            vec![0xc0],
        ]
        .concat()
    }

    fn names(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(at, name)| ((*at).to_owned(), (*name).to_owned()))
            .collect()
    }

    #[test]
    fn arrays_are_named_by_the_catalogue() {
        let file = network(&array(&[1.5, -2.0]));
        let contents = convert(&file, &names(&[("1.W", "mix.W")])).unwrap();
        assert_eq!(contents.tensors.len(), 1);
        assert_eq!(
            contents.tensors["mix.W"],
            Tensor::f32(&[1, 2], &[1.5, -2.0])
        );
    }

    #[test]
    fn names_and_arrays_must_agree() {
        let file = network(&array(&[1.5, -2.0]));
        for pairs in [&[][..], &[("0.W", "x")], &[("1.W", "x"), ("1.b", "y")]] {
            assert!(convert(&file, &names(pairs)).is_err(), "{pairs:?}");
        }
    }

    #[test]
    fn shapes_and_bytes_must_agree() {
        for data in [&[1.5][..], &[1.5, 2.0, 3.0]] {
            let file = network(&array(data));
            assert!(convert(&file, &names(&[("1.W", "x")])).is_err());
        }
        let whole = network(&array(&[1.5, -2.0]));
        for end in 0..whole.len() {
            assert!(convert(&whole[..end], &names(&[("1.W", "x")])).is_err());
        }
    }
}
