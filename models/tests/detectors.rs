//! Detection transformers as Hugging Face transformers writes them, against what transformers answers
//! (`tests/golden/detectors.json`, made by `make_detectors.py`).
//!
//! The weights are not in the golden file: script and test compute them by the same formula.

use escala_models::graph::{Graph, Input, Limits, Network};
use escala_models::kernels::Isa;
use escala_models::{Compute, Error, detr, rtdetr};
use escala_weights::Tensors;
use escala_weights::format::safetensors::{Contents, Tensor, write};
use half::{bf16, f16};
use proptest::prelude::*;
use safetensors::Dtype;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

#[path = "../../tests/common/formula.rs"]
mod formula;

#[derive(Deserialize)]
struct Golden {
    checkpoints: Vec<Checkpoint>,
}

/// A checkpoint, and what transformers answers with it.
#[derive(Clone, Deserialize)]
struct Checkpoint {
    name: String,
    salt: u32,
    config: Value,
    tensors: Vec<(String, Vec<usize>)>,
    /// Of the images: batch, channels, height and width.
    shape: [usize; 4],
    logits: Vec<f32>,
    boxes: Vec<f32>,
}

fn golden() -> Vec<Checkpoint> {
    let golden: Golden =
        serde_json::from_str(include_str!("../../tests/golden/detectors.json")).expect("golden");
    golden.checkpoints
}

fn named(name: &str) -> Checkpoint {
    let mut checkpoints = golden().into_iter();
    checkpoints.find(|c| c.name == name).expect("a checkpoint")
}

/// The numbers of a tensor as `make_detectors.py` makes them.
fn numbers(salt: u32, name: &str, shape: &[usize]) -> Vec<f32> {
    let count: usize = shape.iter().product();
    let inputs = count / shape[0];
    let scale = (2.0 * (3.0 / inputs as f64).sqrt()) as f32;
    let vector = shape.len() == 1;
    formula::value(&format!("{salt}:{name}"), count)
        .map(|x| {
            if name.ends_with("sampling_offsets.bias") {
                x * 8.0
            } else if name.ends_with("running_var") || (vector && name.ends_with("weight")) {
                x * 0.5 + 1.0
            } else if vector {
                x * 0.25
            } else if name.contains("embedding") {
                x * 16.0
            } else {
                x * scale
            }
        })
        .collect()
}

impl Checkpoint {
    /// Its tensors, each under the name that `rename` gives it, in the numbers that `store` makes.
    fn tensors(
        &self,
        rename: impl Fn(&str) -> String,
        store: impl Fn(&[usize], &[f32]) -> Tensor,
    ) -> (TempDir, Tensors) {
        let mut contents = Contents::default();
        for (name, shape) in &self.tensors {
            let tensor = store(shape, &numbers(self.salt, name, shape));
            contents.tensors.insert(rename(name), tensor);
        }
        opened(&contents)
    }

    fn plain(&self) -> (TempDir, Tensors) {
        self.tensors(str::to_owned, Tensor::f32)
    }

    fn config(&self) -> Vec<u8> {
        self.config.to_string().into_bytes()
    }

    fn graph(&self, tensors: &Tensors) -> Result<Graph, Error> {
        if self.name.starts_with("rt_detr") {
            let config = rtdetr::Config::read(&self.config())?;
            rtdetr::graph(&config, tensors, self.shape[2])
        } else {
            detr::graph(&detr::Config::read(&self.config())?, tensors)
        }
    }

    /// The images that the script describes, channels last.
    fn images(&self) -> ([usize; 4], Vec<f32>) {
        let [batch, channels, height, width] = self.shape;
        let size = height * width;
        let value = |at: usize| {
            let (pixel, channel) = (at / channels, at % channels);
            let (image, place) = (pixel / size, pixel % size);
            let at = (image * channels + channel) * size + place;
            ((at * 7919 % 1021) as f64 / 1020.0) as f32
        };
        let count = batch * channels * size;
        (
            [batch, height, width, channels],
            (0..count).map(value).collect(),
        )
    }

    /// Checks what a network gives. Values have six decimals; sums in 32-bit floats come in another order, through
    /// a few dozen layers.
    fn check(&self, network: &Network, threads: usize, within: f32) {
        let (shape, data) = self.images();
        let input = Input {
            name: detr::INPUT,
            shape: &shape,
            data: &data,
        };
        let outputs = network
            .run(&Compute::cpu(threads), &[input])
            .expect(&self.name);
        for (output, (name, want)) in outputs
            .iter()
            .zip([("logits", &self.logits), ("pred_boxes", &self.boxes)])
        {
            assert_eq!(output.name, name);
            let got = output.tensor.data();
            assert_eq!(output.tensor.shape()[0], shape[0]);
            assert_eq!(got.len(), want.len(), "{} {name}", self.name);
            for (at, (got, want)) in got.iter().zip(want).enumerate() {
                assert!(
                    (got - want).abs() <= within,
                    "{} {name} {at}: {got} {want}",
                    self.name
                );
            }
        }
        assert_eq!(outputs.len(), 2);
    }
}

fn opened(contents: &Contents) -> (TempDir, Tensors) {
    let folder = tempfile::tempdir().expect("folder");
    let mut file = Vec::new();
    write(contents, &mut file).expect("tensors");
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, file).expect("file");
    let tensors = Tensors::open(path).expect("tensors");
    (folder, tensors)
}

#[test]
fn answers_are_transformers() {
    assert_eq!(golden().len(), 5);
    for checkpoint in golden() {
        let (_folder, tensors) = checkpoint.plain();
        for isa in Isa::available() {
            let graph = checkpoint.graph(&tensors).expect(&checkpoint.name);
            let network = Network::compile_for(graph, isa, Limits::default()).expect("network");
            for threads in [1, 2, 3] {
                checkpoint.check(&network, threads, 2e-5);
            }
        }
    }
}

/// The name that timm gives to a tensor of the residual network.
fn timm(name: &str) -> String {
    let Some(inner) = name.strip_prefix("model.backbone.conv_encoder.model.") else {
        return name.to_owned();
    };
    let inner = match inner.strip_prefix("encoder.stages.") {
        None => inner
            .replace("embedder.embedder.convolution", "conv1")
            .replace("embedder.embedder.normalization", "bn1"),
        Some(rest) => {
            let parts: Vec<&str> = rest.split('.').collect();
            let stage: usize = parts[0].parse().expect("a stage");
            let block = parts[2];
            let part = match parts[3..] {
                ["layer", layer, kind, last] => {
                    let layer: usize = layer.parse().expect("a layer");
                    let kind = if kind == "convolution" { "conv" } else { "bn" };
                    format!("{kind}{}.{last}", layer + 1)
                }
                ["shortcut", "convolution", last] => format!("downsample.0.{last}"),
                ["shortcut", _, last] => format!("downsample.1.{last}"),
                _ => panic!("{name}"),
            };
            format!("layer{}.{block}.{part}", stage + 1)
        }
    };
    format!("model.backbone.conv_encoder.model.{inner}")
}

#[test]
fn a_backbone_with_the_names_of_timm_is_the_same() {
    let mut checkpoint = named("detr bottleneck");
    let (_folder, tensors) = checkpoint.tensors(timm, Tensor::f32);
    // As the published configurations say it, and as newer versions write it.
    for backbone in [
        json!({"backbone": "resnet50", "use_timm_backbone": true, "backbone_config": null}),
        json!({"backbone_config": {"model_type": "timm_backbone", "backbone": "resnet50"}}),
    ] {
        for (key, value) in backbone.as_object().expect("an object") {
            checkpoint.config[key] = value.clone();
        }
        let graph = checkpoint.graph(&tensors).expect("graph");
        let network = Network::compile(graph).expect("network");
        checkpoint.check(&network, 2, 2e-5);
    }
}

#[test]
fn heads_may_be_stored_beside_the_decoder() {
    let checkpoint = named("rt_detr basic");
    let beside = |name: &str| match name.strip_prefix("model.decoder.") {
        Some(head) if head.contains("_embed.") => head.to_owned(),
        _ => name.to_owned(),
    };
    let (_folder, tensors) = checkpoint.tensors(beside, Tensor::f32);
    let network = Network::compile(checkpoint.graph(&tensors).expect("graph")).expect("network");
    checkpoint.check(&network, 1, 2e-5);
}

/// A checkpoint in half precision is what its numbers are.
#[test]
fn weights_may_be_stored_in_halves() {
    let checkpoint = named("detr basic");
    let halves = |dtype: Dtype, bits: fn(f32) -> [u8; 2]| {
        move |shape: &[usize], numbers: &[f32]| Tensor {
            dtype,
            shape: shape.to_vec(),
            data: numbers.iter().flat_map(|&x| bits(x)).collect(),
        }
    };
    let wholes = |round: fn(f32) -> f32| {
        move |shape: &[usize], numbers: &[f32]| {
            Tensor::f32(
                shape,
                &numbers.iter().map(|&x| round(x)).collect::<Vec<_>>(),
            )
        }
    };
    let answer = |(_folder, tensors): (TempDir, Tensors)| {
        let graph = checkpoint.graph(&tensors).expect("graph");
        let (shape, data) = checkpoint.images();
        let input = Input {
            name: detr::INPUT,
            shape: &shape,
            data: &data,
        };
        let network = Network::compile(graph).expect("network");
        network.run(&Compute::cpu(1), &[input]).expect("answer")
    };
    let name = str::to_owned;
    let f16s =
        answer(checkpoint.tensors(name, halves(Dtype::F16, |x| f16::from_f32(x).to_le_bytes())));
    let wide = answer(checkpoint.tensors(name, wholes(|x| f16::from_f32(x).to_f32())));
    assert_eq!(f16s, wide);
    let bf16s = answer(checkpoint.tensors(
        name,
        halves(Dtype::BF16, |x| bf16::from_f32(x).to_le_bytes()),
    ));
    let wide = answer(checkpoint.tensors(name, wholes(|x| bf16::from_f32(x).to_f32())));
    assert_eq!(bf16s, wide);
    assert_ne!(f16s, bf16s);
}

#[test]
fn an_image_alone_and_in_a_batch_is_the_same() {
    for name in ["rt_detr bottleneck", "detr bottleneck"] {
        let checkpoint = named(name);
        let (_folder, tensors) = checkpoint.plain();
        let network =
            Network::compile(checkpoint.graph(&tensors).expect("graph")).expect("network");
        let (mut shape, data) = checkpoint.images();
        let half = data.len() / 2;
        shape[0] = 1;
        let second = Input {
            name: rtdetr::INPUT,
            shape: &shape,
            data: &data[half..],
        };
        let outputs = network.run(&Compute::cpu(1), &[second]).expect("answer");
        let want = &checkpoint.logits[checkpoint.logits.len() / 2..];
        assert_eq!(want.len(), outputs[0].tensor.data().len());
        for (got, want) in outputs[0].tensor.data().iter().zip(want) {
            assert!((got - want).abs() <= 2e-5, "{name}: {got} {want}");
        }
    }
}

#[test]
fn configurations_name_their_labels() {
    let config = rtdetr::Config::read(&named("rt_detr basic").config()).expect("config");
    assert_eq!(config.labels, ["person", "kite", "sea"]);
    assert_eq!(config.queries, 12);
    let config = detr::Config::read(&named("detr basic").config()).expect("config");
    assert_eq!(config.labels, ["N/A", "person", "kite"]);
    assert_eq!(config.queries, 9);
}

/// What an error says, with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn what_is_not_built_or_does_not_fit_is_refused_by_name() {
    for (name, path, value, says) in [
        (
            "rt_detr basic",
            "/model_type",
            json!("yolos"),
            "architecture `yolos`",
        ),
        (
            "rt_detr basic",
            "/learn_initial_query",
            json!(true),
            "learned",
        ),
        (
            "rt_detr basic",
            "/with_box_refine",
            json!(false),
            "do not move",
        ),
        (
            "rt_detr basic",
            "/activation_function",
            json!("selu"),
            "activation `selu`",
        ),
        (
            "rt_detr basic",
            "/backbone_config",
            json!(null),
            "without `backbone_config`",
        ),
        (
            "rt_detr basic",
            "/backbone_config/model_type",
            json!("swin"),
            "backbone `swin`",
        ),
        (
            "rt_detr basic",
            "/backbone_config/layer_type",
            json!("wide"),
            "layer type `wide`",
        ),
        (
            "rt_detr basic",
            "/backbone_config/depths",
            json!([1, 1, 9999, 1]),
            "stages of",
        ),
        ("rt_detr basic", "/num_feature_levels", json!(4), "4 maps"),
        (
            "rt_detr basic",
            "/num_queries",
            json!(85),
            "85 queries among 84 places",
        ),
        ("rt_detr basic", "/num_queries", json!(0), "out of range"),
        (
            "rt_detr basic",
            "/decoder_n_points",
            json!(1_u64 << 40),
            "out of range",
        ),
        (
            "rt_detr basic",
            "/decoder_n_points",
            json!(60_000),
            "sampling_offsets",
        ),
        (
            "rt_detr basic",
            "/encoder_attention_heads",
            json!(5),
            "5 heads",
        ),
        ("rt_detr basic", "/decoder_layers", json!(4), "layers.3"),
        ("rt_detr basic", "/decoder_layers", json!(10_000), "layers"),
        ("rt_detr basic", "/d_model", json!(48), "channels"),
        ("rt_detr basic", "/encode_proj_layers", json!([7]), "map 7"),
        ("rt_detr basic", "/layer_norm_eps", json!(-1.0), "constants"),
        (
            "rt_detr basic",
            "/anchor_image_size",
            json!([640, 640]),
            "anchors",
        ),
        (
            "rt_detr basic",
            "/id2label",
            json!({"0": "one", "1": "two"}),
            "enc_score_head",
        ),
        (
            "rt_detr basic",
            "/id2label",
            json!({"1": "one"}),
            "without number 0",
        ),
        (
            "rt_detr basic",
            "/num_queries",
            json!("many"),
            "configuration",
        ),
        (
            "detr basic",
            "/model_type",
            json!("rt_detr"),
            "architecture `rt_detr`",
        ),
        (
            "detr basic",
            "/position_embedding_type",
            json!("learned"),
            "positions `learned`",
        ),
        ("detr basic", "/dilation", json!(true), "dilation"),
        (
            "detr basic",
            "/backbone_config/model_type",
            json!("swin"),
            "backbone `swin`",
        ),
        (
            "detr basic",
            "/backbone_config",
            json!({"backbone": "resnet50d"}),
            "`resnet50d`",
        ),
        (
            "detr basic",
            "/backbone_config",
            json!({"backbone": "resnet18"}),
            "conv1.weight",
        ),
        (
            "detr basic",
            "/backbone_config/layer_type",
            json!("bottleneck"),
            "layer",
        ),
        ("detr basic", "/d_model", json!(26), "multiple of four"),
        ("detr basic", "/d_model", json!(28), "input_projection"),
        (
            "detr basic",
            "/num_queries",
            json!(10),
            "query_position_embeddings",
        ),
    ] {
        let mut checkpoint = named(name);
        let (_folder, tensors) = checkpoint.plain();
        match checkpoint.config.pointer_mut(path) {
            Some(place) => *place = value.clone(),
            None => checkpoint.config[&path[1..]] = value.clone(),
        }
        let error = match checkpoint.graph(&tensors) {
            Err(error) => told(&error),
            Ok(_) => panic!("{name} with {path} {value} is built"),
        };
        assert!(error.contains(says), "{path} {value}: {error}");
    }
    let checkpoint = named("rt_detr basic");
    let (_folder, tensors) = checkpoint.plain();
    let config = rtdetr::Config::read(&checkpoint.config()).expect("config");
    for side in [0, 100, 1 << 20] {
        let error = rtdetr::graph(&config, &tensors, side).expect_err("a side");
        assert!(told(&error).contains("a side of"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Tensors of other shapes, or missing, and numbers of the configuration that others are: errors, or a network
    /// that runs within its limits.
    #[test]
    fn ill_fitting_checkpoints_are_errors_or_run(
        which in 0usize..5, changed in any::<prop::sample::Index>(), axis in any::<prop::sample::Index>(),
        size in prop_oneof![Just(0usize), 1usize..70], number in any::<prop::sample::Index>(),
        other in prop_oneof![Just(0u64), 1u64..70, any::<u64>()], of_config in any::<bool>(),
    ) {
        let mut checkpoint = golden().swap_remove(which);
        if of_config {
            let sizes: Vec<String> = checkpoint.config.as_object().expect("an object").iter()
                .filter(|(_, value)| value.is_number()).map(|(key, _)| key.clone()).collect();
            checkpoint.config[number.get(&sizes)] = json!(other);
        } else {
            let at = changed.index(checkpoint.tensors.len());
            let shape = &mut checkpoint.tensors[at].1;
            let axis = axis.index(shape.len());
            shape[axis] = size;
            if shape.contains(&0) {
                checkpoint.tensors.swap_remove(at);
            }
        }
        let (_folder, tensors) = checkpoint.plain();
        if let Ok(graph) = checkpoint.graph(&tensors) {
            let limits = Limits { elements: 1 << 22, workspace: 1 << 24, ..Limits::default() };
            let network = Network::compile_for(graph, Isa::best(), limits).expect("network");
            let (shape, data) = checkpoint.images();
            let input = Input { name: detr::INPUT, shape: &shape, data: &data };
            let _ = network.run(&Compute::cpu(1), &[input]);
        }
    }
}
