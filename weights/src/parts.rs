//! Checkpoints whose weights are in several files, as Hugging Face transformers saves large ones.
//!
//! `model.safetensors.index.json` says which tensor is in which file beside it:
//! `{"weight_map": {"model.norm.weight": "model-00002-of-00002.safetensors", …}}`.

use crate::tensors::Error;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The file that lists the others.
pub const FILE: &str = "model.safetensors.index.json";
/// Most bytes of it.
pub(crate) const MOST_BYTES: u64 = 64 << 20;
/// Most files that it lists.
const MOST_FILES: usize = 1000;
/// What they end in.
const ENDING: &str = ".safetensors";

/// Which tensor is in which file.
#[derive(Debug)]
pub struct Parts {
    /// Sorted.
    files: Vec<String>,
    /// The file of each tensor.
    tensors: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct Listed {
    weight_map: BTreeMap<String, String>,
}

impl Parts {
    /// Reads the list.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Parts`] when it is no such list, names a file that is not beside it, or lists none or too many.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        let wrong = |why: String| Error::Parts {
            path: path.to_owned(),
            why,
        };
        let mut text = Vec::new();
        let file = File::open(path).map_err(io)?;
        let read = file.take(MOST_BYTES + 1).read_to_end(&mut text);
        if read.map_err(io)? as u64 > MOST_BYTES {
            return Err(wrong(format!("it has more than {MOST_BYTES} bytes")));
        }
        let listed: Listed =
            serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        let files: BTreeSet<&str> = listed.weight_map.values().map(String::as_str).collect();
        // Beside it, and nowhere else.
        let plain = |name: &str| {
            let inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            name.len() <= 255
                && name.bytes().all(inside)
                && name.len() > ENDING.len()
                && name.ends_with(ENDING)
                && !name.starts_with('.')
        };
        if let Some(name) = files.iter().find(|name| !plain(name)) {
            return Err(wrong(format!("it names {name:?}")));
        }
        if files.is_empty() || files.len() > MOST_FILES {
            return Err(wrong(format!(
                "it names {} files, where 1 to {MOST_FILES} may be",
                files.len()
            )));
        }
        let files: Vec<String> = files.into_iter().map(str::to_owned).collect();
        let place = |(tensor, file): (String, String)| {
            let place = files.binary_search(&file).unwrap_or_default();
            (tensor, place)
        };
        let tensors = listed.weight_map.into_iter().map(place).collect();
        Ok(Self { files, tensors })
    }

    /// The files, sorted.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Each tensor and the file that it is in, by its place among the files.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, usize)> {
        let tensors = self.tensors.iter();
        tensors.map(|(tensor, &file)| (tensor.as_str(), file))
    }
}
