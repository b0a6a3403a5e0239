//! Checkpoints in Hugging Face's layout behind SageMaker's endpoints: through the real binary, against what transformers
//! answers with the same checkpoints.
//!
//! | file | what |
//! | --- | --- |
//! | `texts.rs` | texts that are judged, encoded, filled in and asked about |
//! | `continued.rs` | texts and conversations that are continued, whole and in parts |
//! | `pictures.rs` | detectors and classifiers of images |

#[path = "../common/mod.rs"]
mod common;
mod continued;
#[allow(dead_code, clippy::unwrap_used)] // a part is used; a test fails by panicking
#[path = "../../weights/tests/common/hub.rs"]
mod hub;
mod pictures;
mod texts;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::checkpoints::{Checkpoint, answers, continued, of_task, pairs};
use common::sagemaker::{self, PATIENCE, call, config, data, model};
use common::{Server, Setup, image_models, python, wait_for};
use serde_json::{Value, json};

const IMAGE: &str = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-inference:2.6.0-transformers4.49.0-cpu-py312-ubuntu22.04";

const GENERATING: &str = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-tgi-inference:2.7.0-tgi3.3.6-gpu-py311-cu124-ubuntu22.04";

fn serve(place: &tempfile::TempDir) -> Server {
    let folder = place.path().to_str().expect("a plain path");
    let setup = Setup::default()
        .with("ESCALA_DATA_DIR", folder)
        .with("ESCALA_MODELS_PRELOAD", "language");
    Server::start(&setup)
}

/// Puts files into a bucket and gives the container that has them as its model's data.
fn container(server: &Server, name: &str, files: &[(String, Vec<u8>)], task: &str) -> Value {
    let data = data(server, "models", name, files);
    json!({"Image": IMAGE, "Environment": {"HF_TASK": task}, "ModelDataSource": data})
}

fn host(server: &Server, name: &str, container: &Value) {
    call(server, "CreateModel", &model(name, container)).ok();
    sagemaker::host(server, name, name);
}

fn files(checkpoint: &Checkpoint) -> Vec<(String, Vec<u8>)> {
    let folder = checkpoint.folder();
    let names = ["config.json", "tokenizer.json", "model.safetensors"];
    names
        .map(|name| {
            let bytes = std::fs::read(folder.path().join(name)).expect("a file");
            (name.to_owned(), bytes)
        })
        .to_vec()
}

fn ask(server: &Server, name: &str, body: &Value) -> Value {
    let path = format!("/endpoints/{name}/invocations");
    let answer = server.post(&path, "application/json", body.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn near(got: &Value, want: f32, what: &str) {
    let got = got.as_f64().unwrap_or_else(|| panic!("{what}: {got}"));
    // The golden values have six decimals.
    assert!(
        (got - f64::from(want)).abs() < 2e-5,
        "{what}: {got}, not {want}"
    );
}

fn vector(value: &Value) -> Vec<f32> {
    let numbers = value.as_array().expect("a list").iter();
    numbers
        .map(|one| one.as_f64().expect("a number") as f32)
        .collect()
}
