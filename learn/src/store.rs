//! What models and checkpoints are as bytes: safetensors, with a header of JSON among its metadata that names the algorithm
//! and the version of what it holds. Nothing that is read is believed.

use crate::{Error, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// Numbers of a tensor.
pub(crate) enum Numbers<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    U32(&'a [u32]),
}

/// A tensor to be kept: its name, its shape and its numbers.
pub(crate) type Kept<'a> = (&'a str, &'a [usize], Numbers<'a>);

/// The bytes of a header and tensors.
pub(crate) fn bytes(
    algorithm: &str,
    version: u32,
    header: &impl Serialize,
    tensors: &[Kept],
) -> std::result::Result<Vec<u8>, String> {
    let mut held = Vec::new();
    for (name, shape, numbers) in tensors {
        let (dtype, bytes): (_, Vec<u8>) = match numbers {
            Numbers::F32(list) => (
                Dtype::F32,
                list.iter().flat_map(|one| one.to_le_bytes()).collect(),
            ),
            Numbers::F64(list) => (
                Dtype::F64,
                list.iter().flat_map(|one| one.to_le_bytes()).collect(),
            ),
            Numbers::U32(list) => (
                Dtype::U32,
                list.iter().flat_map(|one| one.to_le_bytes()).collect(),
            ),
        };
        held.push((*name, dtype, shape.to_vec(), bytes));
    }
    let views = held
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            TensorView::new(*dtype, shape.clone(), bytes).map(|view| (*name, view))
        })
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|why| why.to_string())?;
    let header = serde_json::to_string(header).map_err(|why| why.to_string())?;
    let metadata = [
        ("algorithm", algorithm.to_owned()),
        ("version", version.to_string()),
        ("model", header),
    ];
    let metadata = metadata.map(|(name, text)| (name.to_owned(), text));
    safetensors::serialize(views, Some(metadata.into())).map_err(|why| why.to_string())
}

/// Tensors that were read.
pub(crate) struct Tensors<'a>(SafeTensors<'a>);

/// The header and the tensors of bytes.
pub(crate) fn open<'a, T: DeserializeOwned>(
    algorithm: &str,
    version: u32,
    bytes: &'a [u8],
) -> std::result::Result<(T, Tensors<'a>), String> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|why| why.to_string())?;
    let empty = HashMap::new();
    let texts = metadata.metadata().as_ref().unwrap_or(&empty);
    let text = |name: &str| texts.get(name).map(String::as_str).unwrap_or_default();
    if text("algorithm") != algorithm {
        return Err(format!("it is of {:?}", text("algorithm")));
    }
    if text("version") != version.to_string() {
        return Err(format!(
            "its version is {:?}, and {version} is known",
            text("version")
        ));
    }
    let header = serde_json::from_str(text("model")).map_err(|why| format!("its header: {why}"))?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|why| why.to_string())?;
    Ok((header, Tensors(tensors)))
}

impl Tensors<'_> {
    fn chunks<const N: usize>(
        &self,
        name: &str,
        dtype: Dtype,
        shape: &[usize],
    ) -> std::result::Result<&[[u8; N]], String> {
        let tensor = self
            .0
            .tensor(name)
            .map_err(|_| format!("there is no tensor {name}"))?;
        if tensor.dtype() != dtype || tensor.shape() != shape {
            return Err(format!(
                "{name} is {:?} of {:?}, and {dtype:?} of {shape:?} is expected",
                tensor.dtype(),
                tensor.shape()
            ));
        }
        match tensor.data().as_chunks() {
            (chunks, []) => Ok(chunks),
            _ => Err(format!("{name} ends within a number")),
        }
    }

    /// Numbers of a shape, all finite.
    pub fn f32(&self, name: &str, shape: &[usize]) -> std::result::Result<Vec<f32>, String> {
        let chunks = self.chunks(name, Dtype::F32, shape)?;
        let list: Vec<_> = chunks.iter().map(|one| f32::from_le_bytes(*one)).collect();
        match list.iter().all(|one| one.is_finite()) {
            true => Ok(list),
            false => Err(format!("{name} has numbers that are not finite")),
        }
    }

    /// Numbers of a shape, all finite.
    pub fn f64(&self, name: &str, shape: &[usize]) -> std::result::Result<Vec<f64>, String> {
        let chunks = self.chunks(name, Dtype::F64, shape)?;
        let list: Vec<_> = chunks.iter().map(|one| f64::from_le_bytes(*one)).collect();
        match list.iter().all(|one| one.is_finite()) {
            true => Ok(list),
            false => Err(format!("{name} has numbers that are not finite")),
        }
    }

    /// Whole numbers of a shape.
    pub fn u32(&self, name: &str, shape: &[usize]) -> std::result::Result<Vec<u32>, String> {
        let chunks = self.chunks(name, Dtype::U32, shape)?;
        Ok(chunks.iter().map(|one| u32::from_le_bytes(*one)).collect())
    }
}

/// The file of a model in its folder.
const FILE: &str = "model.safetensors";

/// Writes the file of a model; it is there whole or not at all.
pub(crate) fn write(
    folder: &Path,
    algorithm: &'static str,
    version: u32,
    header: &impl Serialize,
    tensors: &[Kept],
) -> Result<()> {
    let path = folder.join(FILE);
    let part = folder.join("model.safetensors.part");
    let bytes = bytes(algorithm, version, header, tensors).map_err(|why| Error::Model {
        path: path.clone(),
        algorithm,
        why,
    })?;
    let failed = |source| Error::File {
        path: path.clone(),
        source,
    };
    let file = std::fs::File::create(&part).map_err(failed)?;
    std::io::Write::write_all(&mut &file, &bytes).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&part, &path).map_err(failed)
}

/// The longest header that is read for the algorithm's name.
const MAX_HEADER: u64 = 1 << 20;

/// Whose model a folder has; none where it has no file of ours.
pub(crate) fn algorithm(folder: &Path) -> Result<Option<String>> {
    let path = folder.join(FILE);
    let failed = |source| Error::File {
        path: path.clone(),
        source,
    };
    let mut file = match std::fs::File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let unread = |why: &str| Error::Model {
        path: path.clone(),
        algorithm: "any algorithm",
        why: why.to_owned(),
    };
    // The header alone: how long it is, then JSON. What follows may be long.
    let mut read = |bytes: &mut [u8]| match std::io::Read::read_exact(&mut file, bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(unread("it is cut off"))
        }
        read => read.map_err(failed),
    };
    let mut length = [0; 8];
    read(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER {
        return Err(unread("its header is too long"));
    }
    let mut header = vec![0; length as usize];
    read(&mut header)?;
    let header: Header = serde_json::from_slice(&header).map_err(|why| unread(&why.to_string()))?;
    match header.metadata.get("algorithm") {
        Some(name) => Ok(Some(name.clone())),
        None => Err(unread("it names none")),
    }
}

/// What is read of a file's header before the file is.
#[derive(Deserialize)]
struct Header {
    #[serde(default, rename = "__metadata__")]
    metadata: HashMap<String, String>,
}

/// Reads the file of a model. `make` says what is wrong with what the file holds.
pub(crate) fn read<T: DeserializeOwned, M>(
    folder: &Path,
    algorithm: &'static str,
    version: u32,
    make: impl FnOnce(T, &Tensors) -> std::result::Result<M, String>,
) -> Result<M> {
    let path = folder.join(FILE);
    let bytes = std::fs::read(&path).map_err(|source| Error::File {
        path: path.clone(),
        source,
    })?;
    open(algorithm, version, &bytes)
        .and_then(|(header, tensors)| make(header, &tensors))
        .map_err(|why| Error::Model {
            path,
            algorithm,
            why,
        })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Algorithm, Table};

    /// Opens a model's file after changes here and there: it may be refused, it may answer, it may not panic.
    pub fn mutated(algorithm: &dyn Algorithm, folder: &Path, table: &Table) {
        mutated_file(&folder.join(FILE), || match algorithm.open(folder) {
            Ok(model) => {
                drop(model.predict(table));
                true
            }
            Err(_) => false,
        });
    }

    /// The same with anything that opens a file, and says whether it could.
    pub fn mutated_file(path: &Path, opens: impl Fn() -> bool) {
        let whole = std::fs::read(path).unwrap();
        let mut refused = 0;
        let mut state = 7_u64;
        for round in 0..400 {
            let mut bytes = whole.clone();
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // Half of the changes are in the header, which is a small part of the bytes.
            let range = if round % 2 == 0 {
                bytes.len()
            } else {
                bytes.len().min(700)
            };
            let at = (state >> 33) as usize % range;
            match round % 3 {
                0 => bytes.truncate(at),
                _ => bytes[at] ^= 1 << (state >> 20 & 7),
            }
            std::fs::write(path, bytes).unwrap();
            refused += u32::from(!opens());
        }
        std::fs::write(path, whole).unwrap();
        assert!(opens());
        assert!(refused > 100, "{refused} of 400 damaged files were refused");
    }

    #[test]
    fn what_was_kept_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let tensors: [Kept; 3] = [
            ("a", &[2, 1], Numbers::F32(&[1.5, -2.0])),
            ("b", &[1], Numbers::F64(&[0.1])),
            ("c", &[0], Numbers::U32(&[])),
        ];
        write(folder.path(), "this", 3, &vec![1, 2], &tensors).unwrap();
        let read = |algorithm, version| {
            read(
                folder.path(),
                algorithm,
                version,
                |header: Vec<i32>, tensors| {
                    assert_eq!(header, [1, 2]);
                    assert_eq!(tensors.f32("a", &[2, 1])?, [1.5, -2.0]);
                    assert_eq!(tensors.f64("b", &[1])?, [0.1]);
                    assert!(tensors.u32("c", &[0])?.is_empty());
                    tensors.f32("a", &[1, 2])
                },
            )
            .unwrap_err()
            .to_string()
        };
        assert!(read("this", 3).contains("a is F32 of [2, 1], and F32 of [1, 2] is expected"));
        assert!(read("that", 3).contains("it is of \"this\""));
        assert!(read("this", 4).contains("its version is \"3\""));
    }
}
