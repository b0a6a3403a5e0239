//! Small image networks as users bring them, with what reference implementations answer
//! (`tests/golden/image_models.json`, made by `make_image_models.py`).
//!
//! The weights of checkpoints are not in the golden file: script and test compute them by the same formula.
#![allow(dead_code)] // each test file uses a part

#[allow(clippy::duplicate_mod)] // the checkpoints of texts have their own, where both are there
#[path = "formula.rs"]
mod formula;

use escala_weights::format::safetensors::{Contents, Tensor, write};
use formula::value;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// The golden file.
#[derive(Deserialize)]
pub struct Golden {
    /// In the layout of transformers.
    pub checkpoints: Vec<Checkpoint>,
    /// ONNX files with their declarations.
    pub exports: Vec<Export>,
}

/// A checkpoint, and what transformers answers with it.
#[derive(Deserialize)]
pub struct Checkpoint {
    pub name: String,
    pub gain: f64,
    pub files: std::collections::BTreeMap<String, serde_json::Value>,
    pub tensors: Vec<(String, Vec<usize>)>,
    pub cases: Vec<Case>,
}

/// An ONNX file, and what ONNX Runtime answers with it.
#[derive(Deserialize)]
pub struct Export {
    pub name: String,
    pub declaration: String,
    pub cases: Vec<Case>,
}

/// An image, and what the network says of it: of a classifier the probability of each class, of a detector what it
/// finds.
#[derive(Deserialize)]
pub struct Case {
    pub image: String,
    #[serde(default)]
    pub shares: Vec<f32>,
    #[serde(default)]
    pub detections: Vec<Found>,
}

/// A thing that was found.
#[derive(Clone, Debug, Deserialize)]
pub struct Found {
    pub label: usize,
    pub score: f32,
    /// Left, top, right, bottom in pixels of the image.
    #[serde(rename = "box")]
    pub edges: [f32; 4],
}

/// The golden file.
pub fn golden() -> &'static Golden {
    static GOLDEN: OnceLock<Golden> = OnceLock::new();
    GOLDEN.get_or_init(|| {
        serde_json::from_str(include_str!("../golden/image_models.json")).expect("golden json")
    })
}

/// The checkpoint of this name.
pub fn checkpoint(name: &str) -> &'static Checkpoint {
    let mut checkpoints = golden().checkpoints.iter();
    checkpoints
        .find(|checkpoint| checkpoint.name == name)
        .expect("a golden checkpoint")
}

/// The ONNX file of this name.
pub fn export(name: &str) -> &'static Export {
    let mut exports = golden().exports.iter();
    exports
        .find(|export| export.name == name)
        .expect("a golden export")
}

/// The folder of golden files.
fn folder() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR")))
        .ancestors()
        .map(|up| up.join("tests/golden"))
        .find(|path| path.join("image_models.json").is_file())
        .expect("golden files")
}

/// The bytes of a golden image.
pub fn image(name: &str) -> Vec<u8> {
    std::fs::read(folder().join("images").join(name)).expect("a golden image")
}

impl Checkpoint {
    /// The bytes of `model.safetensors`.
    pub fn weights(&self) -> Vec<u8> {
        let mut contents = Contents::default();
        for (name, shape) in &self.tensors {
            let numbers = value(name, shape.iter().product()).map(f64::from);
            let spread = {
                let inputs: usize = shape.iter().skip(1).product();
                2.0 * self.gain * (3.0 / inputs as f64).sqrt()
            };
            let one = name.ends_with("running_var") || name.ends_with("weight");
            let numbers = numbers.map(|x| match (shape.len(), one) {
                (1, true) => x * 0.5 + 1.0,
                (1, false) => x * 0.4,
                _ => x * spread,
            } as f32);
            let tensor = Tensor::f32(shape, &numbers.collect::<Vec<f32>>());
            contents.tensors.insert(name.clone(), tensor);
        }
        let mut file = Vec::new();
        write(&contents, &mut file).expect("tensors");
        file
    }

    /// Its files by name.
    pub fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let json = self
            .files
            .iter()
            .map(|(name, json)| (name.clone(), json.to_string().into_bytes()));
        let weights = ("model.safetensors".to_owned(), self.weights());
        json.chain([weights]).collect()
    }

    /// Writes the folder as `save_pretrained` does.
    pub fn folder(&self) -> TempDir {
        written(&self.contents())
    }

    /// The names of its classes.
    pub fn classes(&self) -> Vec<String> {
        let named = &self.files["config.json"]["id2label"];
        let count = named.as_object().map_or(0, serde_json::Map::len);
        let name = |class: usize| {
            named[class.to_string()]
                .as_str()
                .expect("a name")
                .to_owned()
        };
        (0..count).map(name).collect()
    }
}

impl Export {
    /// The bytes of the network.
    pub fn network(&self) -> Vec<u8> {
        std::fs::read(folder().join("exports").join(format!("{}.onnx", self.name)))
            .expect("a network")
    }

    /// Its files by name.
    pub fn contents(&self) -> Vec<(String, Vec<u8>)> {
        vec![
            (
                "model.toml".to_owned(),
                self.declaration.clone().into_bytes(),
            ),
            ("model.onnx".to_owned(), self.network()),
        ]
    }

    /// A folder with the network and its declaration.
    pub fn folder(&self) -> TempDir {
        written(&self.contents())
    }
}

/// A folder with these files.
pub fn written(files: &[(String, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).expect("file");
    }
    folder
}
