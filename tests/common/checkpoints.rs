//! Small checkpoints of the BERT family as folders, with what Hugging Face transformers answers with them
//! (`tests/golden/encoders.json`, made by `make_encoders.py`).
//!
//! The weights are not in the golden file: script and test compute them by the same formula.
#![allow(dead_code)] // each test file uses a part

#[path = "formula.rs"]
mod formula;

use escala_weights::format::safetensors::{Contents, Tensor, write};
use formula::value;
use half::f16;
use safetensors::Dtype;
use serde::Deserialize;
use std::sync::OnceLock;
use tempfile::TempDir;

/// The golden file.
#[derive(Deserialize)]
pub struct Golden {
    /// One for each family and task.
    pub checkpoints: Vec<Checkpoint>,
}

/// A checkpoint, and what transformers answers with it.
#[derive(Deserialize)]
pub struct Checkpoint {
    pub name: String,
    pub task: String,
    pub half: bool,
    pub old_names: bool,
    pub config: serde_json::Value,
    pub tokenizer: serde_json::Value,
    pub tensors: Vec<(String, Vec<usize>)>,
    pub cases: Vec<Case>,
}

/// A text with its tokens and what transformers says of it.
#[derive(Deserialize)]
pub struct Case {
    pub text: String,
    pub ids: Vec<u32>,
    pub mean: Vec<f32>,
    #[serde(default)]
    pub scores: Vec<f32>,
    /// Label, score, first character, after the last.
    #[serde(default)]
    pub spans: Vec<(String, f32, usize, usize)>,
}

/// The golden file.
pub fn golden() -> &'static Golden {
    static GOLDEN: OnceLock<Golden> = OnceLock::new();
    GOLDEN.get_or_init(|| {
        serde_json::from_str(include_str!("../golden/encoders.json")).expect("golden json")
    })
}

/// `tests/golden/pairs.json`, made by `make_pairs.py`.
#[derive(Deserialize)]
pub struct Pairs {
    /// Classes that nobody taught.
    pub candidates: Vec<String>,
    pub checkpoints: Vec<Paired>,
}

/// A checkpoint of what follows from what, and what transformers answers with it.
#[derive(Deserialize)]
pub struct Paired {
    #[serde(flatten)]
    pub checkpoint: Checkpoint,
    pub pairs: Vec<Pair>,
    pub classes: Vec<Guess>,
    /// The score of the first candidate alone for the first text.
    pub alone: f32,
}

#[derive(Deserialize)]
pub struct Pair {
    pub text: String,
    pub text_pair: String,
    pub probabilities: Vec<f32>,
}

#[derive(Deserialize)]
pub struct Guess {
    pub text: String,
    pub parameters: serde_json::Map<String, serde_json::Value>,
    pub labels: Vec<String>,
    pub scores: Vec<f32>,
}

/// What transformers says of pairs of texts.
pub fn pairs() -> &'static Pairs {
    static PAIRS: OnceLock<Pairs> = OnceLock::new();
    PAIRS.get_or_init(|| {
        serde_json::from_str(include_str!("../golden/pairs.json")).expect("golden json")
    })
}

/// `tests/golden/answers.json`, made by `make_answers.py`.
#[derive(Deserialize)]
pub struct Answers {
    /// One for each family.
    pub checkpoints: Vec<Answering>,
}

/// A family's checkpoints that fill masks and that find answers.
#[derive(Deserialize)]
pub struct Answering {
    pub masks: Filler,
    pub answers: Finder,
}

#[derive(Deserialize)]
pub struct Filler {
    #[serde(flatten)]
    pub checkpoint: Checkpoint,
    pub masked: Vec<Masked>,
}

#[derive(Deserialize)]
pub struct Masked {
    pub text: String,
    pub parameters: serde_json::Value,
    /// As transformers' pipeline gives it.
    pub filled: serde_json::Value,
}

#[derive(Deserialize)]
pub struct Finder {
    #[serde(flatten)]
    pub checkpoint: Checkpoint,
    pub questions: Vec<Question>,
}

#[derive(Deserialize)]
pub struct Question {
    pub question: String,
    pub context: String,
    pub parameters: serde_json::Value,
    /// As transformers' pipeline gives it.
    pub answers: serde_json::Value,
}

/// What transformers puts in the place of masks and answers to questions.
pub fn answers() -> &'static Answers {
    static ANSWERS: OnceLock<Answers> = OnceLock::new();
    ANSWERS.get_or_init(|| {
        serde_json::from_str(include_str!("../golden/answers.json")).expect("golden json")
    })
}

/// `tests/golden/continued.json`, made by `make_continued.py`.
#[derive(Deserialize)]
pub struct AllContinued {
    /// One for each kind of network.
    pub checkpoints: Vec<Continued>,
}

/// A checkpoint that continues texts.
#[derive(Deserialize)]
pub struct Continued {
    #[serde(flatten)]
    pub checkpoint: Checkpoint,
    pub continued: Vec<Text>,
    pub scored: Scored,
    pub drawn: Vec<Drawn>,
}

#[derive(Deserialize)]
pub struct Text {
    pub prompt: String,
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// As transformers' pipeline gives it.
    pub text: String,
}

/// What the network has for each token behind a text.
#[derive(Deserialize)]
pub struct Scored {
    pub prompt: String,
    pub ids: Vec<u32>,
    pub scores: Vec<f32>,
}

/// The shares that sampling's settings leave of those.
#[derive(Deserialize)]
pub struct Drawn {
    pub settings: serde_json::Map<String, serde_json::Value>,
    pub shares: Vec<f32>,
}

/// How transformers continues texts.
pub fn continued() -> &'static AllContinued {
    static CONTINUED: OnceLock<AllContinued> = OnceLock::new();
    CONTINUED.get_or_init(|| {
        serde_json::from_str(include_str!("../golden/continued.json")).expect("golden json")
    })
}

fn tensor(name: &str, shape: &[usize], half: bool) -> Tensor {
    let numbers = value(name, shape.iter().product());
    let scaled = numbers.map(|x| match shape.len() {
        1 => x * 0.25 + if name.ends_with("weight") { 1.0 } else { 0.0 },
        _ if name.contains("embeddings") => x * 8.0,
        _ if name.contains("classifier") => x * 2.0,
        _ => x * 0.4,
    });
    if !half {
        return Tensor::f32(shape, &scaled.collect::<Vec<_>>());
    }
    Tensor {
        dtype: Dtype::F16,
        shape: shape.to_vec(),
        data: scaled
            .flat_map(|x| f16::from_f32(x).to_le_bytes())
            .collect(),
    }
}

impl Checkpoint {
    /// Writes the folder as `save_pretrained` does.
    pub fn folder(&self) -> TempDir {
        let folder = tempfile::tempdir().expect("folder");
        let put = |name: &str, bytes: Vec<u8>| {
            std::fs::write(folder.path().join(name), bytes).expect("file");
        };
        put("config.json", self.config.to_string().into_bytes());
        put("tokenizer.json", self.tokenizer.to_string().into_bytes());
        let mut contents = Contents::default();
        for (name, shape) in &self.tensors {
            let tensor = tensor(name, shape, self.half);
            let mut name = name.clone();
            if self.old_names {
                name = name.replace("LayerNorm.weight", "LayerNorm.gamma");
                name = name.replace("LayerNorm.bias", "LayerNorm.beta");
            }
            contents.tensors.insert(name, tensor);
        }
        let mut file = Vec::new();
        write(&contents, &mut file).expect("tensors");
        put("model.safetensors", file);
        folder
    }

    /// The texts of its cases.
    pub fn texts(&self) -> Vec<&str> {
        self.cases.iter().map(|case| case.text.as_str()).collect()
    }
}

/// The checkpoints for a task: `encoder`, `sequence` or `words`.
pub fn of_task(task: &str) -> impl Iterator<Item = &'static Checkpoint> {
    let task = task.to_owned();
    golden().checkpoints.iter().filter(move |c| c.task == task)
}
