//! The real models of the catalogue, pulled through the machine's own tools into the user's model folder (where
//! they stay for the next run), against facts that PyTorch and the formats' own tools gave.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use escala_weights::format::{fasttext, torch_legacy};
use escala_weights::{Catalog, Convert, Silent, Store, StoreOptions, Tensors};
use proptest::prelude::*;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;

fn tensors(name: &str) -> Tensors {
    let store = Store::open(StoreOptions::default()).unwrap();
    let model = store.ensure(name, &Silent).unwrap();
    store.verify(name).unwrap();
    assert!(
        fs::read_to_string(model.path("NOTICE").unwrap())
            .unwrap()
            .contains("icence")
    );
    Tensors::open(model.path("model.safetensors").unwrap()).unwrap()
}

/// An original file of the catalogue as it is, published beside the converted one under `<model>.original`.
fn original(catalog_file: &str, text: &str, name: &str, file: &str) -> Vec<u8> {
    let catalog = Catalog::parse([(catalog_file, text)]).unwrap();
    let kind = match catalog.get(name).unwrap().outputs[0].convert {
        Convert::TorchLegacy { .. } => {
            "{ kind = \"torch-legacy\", drop_suffixes = [\".num_batches_tracked\"] }"
        }
        Convert::Fasttext {} => "{ kind = \"fasttext\" }",
        _ => panic!("{name} is not converted"),
    };
    let text = text
        .replace(
            &format!("name = \"{name}\""),
            &format!("name = \"{name}.original\""),
        )
        .replace(kind, "{ kind = \"copy\" }");
    let catalog = Catalog::parse([(catalog_file, text.as_str())]).unwrap();
    let store = Store::open(StoreOptions {
        catalog: Some(catalog),
        ..StoreOptions::default()
    })
    .unwrap();
    let model = store.ensure(&format!("{name}.original"), &Silent).unwrap();
    let bytes = fs::read(model.path("model.safetensors").unwrap()).unwrap();
    assert!(!bytes.is_empty(), "{file}");
    bytes
}

fn lid_original() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| {
        original(
            "lid.toml",
            include_str!("../catalog/lid.176.toml"),
            "lid.176",
            "lid.176.ftz",
        )
    })
}

fn efficientnet_original() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    let text = include_str!("../catalog/efficientnet-lite0.toml");
    FILE.get_or_init(|| original("efficientnet.toml", text, "efficientnet-lite0", "pth"))
}

#[derive(Deserialize)]
struct Reference {
    tensors: Vec<ReferenceTensor>,
}

#[derive(Deserialize)]
struct ReferenceTensor {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    stride: Vec<usize>,
    offset: usize,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("data/efficientnet_lite0.json")).unwrap()
}

#[test]
fn minilm_has_the_tensors_of_a_bert_encoder() {
    let model = tensors("all-minilm-l6-v2");
    // 103 of weights, and the positions 0 to 511 as integers.
    let integers: Vec<_> = model
        .names()
        .into_iter()
        .filter(|name| model.f32(name).is_err())
        .collect();
    assert_eq!(
        (model.names().len(), integers),
        (104, vec!["embeddings.position_ids".to_owned()])
    );
    let words = model
        .f32_of("embeddings.word_embeddings.weight", &[30_522, 384])
        .unwrap();
    assert!(words.iter().all(|v| v.is_finite()));
    model
        .f32_of("encoder.layer.5.output.LayerNorm.bias", &[384])
        .unwrap();
    let store = Store::open(StoreOptions::default()).unwrap();
    let files = store.find("all-minilm-l6-v2").unwrap().unwrap();
    let config = fs::read_to_string(files.path("config.json").unwrap()).unwrap();
    assert!(config.contains("\"num_hidden_layers\": 6"));
    files.path("tokenizer.json").unwrap();
}

#[test]
fn efficientnet_lies_where_pytorch_says() {
    let found = torch_legacy::layouts(efficientnet_original()).unwrap();
    let wanted = reference().tensors;
    assert_eq!((found.len(), wanted.len()), (296, 296));
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!(found.name, wanted.name);
        assert_eq!(
            format!("{:?}", found.dtype).to_lowercase(),
            wanted.dtype,
            "{}",
            wanted.name
        );
        assert_eq!(found.shape, wanted.shape, "{}", wanted.name);
        assert_eq!(found.stride, wanted.stride, "{}", wanted.name);
        assert_eq!(found.offset, wanted.offset, "{}", wanted.name);
    }
}

#[test]
fn efficientnet_is_converted_element_by_element() {
    let (file, model) = (efficientnet_original(), tensors("efficientnet-lite0"));
    let mut wanted = reference().tensors;
    wanted.retain(|t| !t.name.ends_with(".num_batches_tracked"));
    let mut names: Vec<_> = wanted.iter().map(|t| t.name.clone()).collect();
    names.sort();
    assert_eq!(model.names(), names);
    for tensor in &wanted {
        let data = model.f32_of(&tensor.name, &tensor.shape).unwrap();
        for (place, value) in data.iter().enumerate() {
            let (mut rest, mut element) = (place, 0);
            for (length, stride) in tensor.shape.iter().zip(&tensor.stride).rev() {
                element += rest % length * stride;
                rest /= length;
            }
            let at = tensor.offset + 4 * element;
            assert_eq!(
                value.to_le_bytes(),
                file[at..at + 4],
                "{} {place}",
                tensor.name
            );
        }
    }
}

#[test]
fn lid_has_the_tables_that_fasttext_describes() {
    let model = tensors("lid.176");
    let number = |key: &str| model.metadata_as::<usize>(key).unwrap();
    let keys = [
        "dim",
        "nwords",
        "nlabels",
        "bucket",
        "minn",
        "maxn",
        "word_ngrams",
    ];
    assert_eq!(keys.map(number), [16, 7235, 176, 2_000_000, 2, 4, 1]);
    assert_eq!(
        (model.metadata("loss"), model.metadata("pruned")),
        (Some("hs"), Some("true"))
    );
    let input = model.f32_of("input", &[50_000, 16]).unwrap();
    let output = model.f32_of("output", &[176, 16]).unwrap();
    assert!(input.iter().chain(output.iter()).all(|v| v.is_finite()));
    let (_, buckets) = model.u32("prune.bucket").unwrap();
    let (_, rows) = model.u32("prune.row").unwrap();
    assert_eq!((buckets.len(), rows.len()), (42_765, 42_765));
    assert!(buckets.is_sorted() && buckets.iter().all(|&b| b < 2_000_000));
    let mut rows = rows.into_owned();
    rows.sort_unstable();
    assert!(rows.iter().copied().eq(0..42_765));
    let (_, labels) = model.u8("labels").unwrap();
    let labels: Vec<_> = labels
        .split(|&b| b == 0)
        .map(|l| std::str::from_utf8(l).unwrap())
        .collect();
    assert_eq!((labels.len(), labels[0]), (176, "en"));
    assert!(["es", "zh", "ja", "sv"].iter().all(|l| labels.contains(l)));
    let (_, words) = model.u8("words").unwrap();
    let words: Vec<_> = words.split(|&b| b == 0).collect();
    assert_eq!(words.len(), 7235);
    assert!(words.contains(&&b"</s>"[..]));
    let (_, counts) = model.i64("label_counts").unwrap();
    assert!(counts.len() == 176 && counts.is_sorted_by(|a, b| a >= b));
}

#[derive(Deserialize)]
struct Decoded {
    tensors: usize,
    elements: usize,
    sha256: String,
}

/// Names, shapes and every bit of the tensors are those that TensorFlow.js decodes.
#[test]
fn tensorflow_js_weights_are_what_tensorflow_js_reads() {
    let reference: BTreeMap<String, Decoded> =
        serde_json::from_str(include_str!("data/tfjs.json")).unwrap();
    assert_eq!(reference.len(), 10);
    for (name, wanted) in reference {
        let model = tensors(&name);
        let (mut digest, mut elements) = (Sha256::new(), 0);
        for tensor in model.names() {
            let (_, shape) = model.info(&tensor).unwrap();
            let shape = serde_json::to_string(shape).unwrap();
            let data = model.raw(&tensor).unwrap();
            digest.update(format!("{tensor}\n{shape}\n"));
            digest.update(data);
            elements += data.len() / 4;
        }
        assert_eq!(
            (model.names().len(), elements),
            (wanted.tensors, wanted.elements),
            "{name}"
        );
        let digest: String = digest
            .finalize()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(digest, wanted.sha256, "{name}");
    }
}

#[test]
fn graphs_find_their_weights() {
    let store = Store::open(StoreOptions::default()).unwrap();
    for (name, nodes, input) in [
        ("nanodet-g", 489, "input_1"),
        ("face-mesh", 241, "input_1"),
        ("face-iris", 334, "input_1"),
        ("movenet-lightning", 331, "input"),
        ("nsfwjs-mobilenet-v2", 0, "input"),
    ] {
        let model = tensors(name);
        let path = store.find(name).unwrap().unwrap();
        let graph = fs::read(path.path("graph.json").unwrap()).unwrap();
        let graph: serde_json::Value = serde_json::from_slice(&graph).unwrap();
        let list = graph["modelTopology"]["node"].as_array().unwrap();
        if nodes > 0 {
            assert_eq!(list.len(), nodes, "{name}");
        }
        let of = |op: &str| {
            let found = list.iter().filter(|node| node["op"] == op);
            let mut names: Vec<_> = found
                .map(|n| n["name"].as_str().unwrap().to_owned())
                .collect();
            names.sort();
            names
        };
        assert_eq!(of("Const"), model.names(), "{name}");
        assert_eq!(of("Placeholder"), [input], "{name}");
        assert!(graph["signature"]["inputs"].is_object(), "{name}");
        assert!(graph.get("weightsManifest").is_none());
    }
}

#[test]
fn the_list_of_characters_is_as_long_as_the_recogniser_says() {
    let store = Store::open(StoreOptions::default()).unwrap();
    let model = store.ensure("pp-ocr-v6", &Silent).unwrap();
    store.verify("pp-ocr-v6").unwrap();
    let text = fs::read_to_string(model.path("characters.txt").unwrap()).unwrap();
    let characters: Vec<_> = text.split('\n').collect();
    // The recogniser has 18,710 classes: a blank, these, and the space.
    assert_eq!(characters.len(), 18_708);
    assert!(characters.iter().all(|c| !c.is_empty()));
    for c in ["0", "A", "z", "é", "中", "$"] {
        assert!(characters.contains(&c), "{c}");
    }
    for name in ["det.onnx", "rec.onnx", "cls.onnx"] {
        assert!(model.path(name).unwrap().exists());
    }
    store
        .ensure("open-nsfw", &Silent)
        .unwrap()
        .path("model.onnx")
        .unwrap();
}

#[test]
fn lid_rows_are_centroids_times_norm() {
    // The places are those of the file's layout: 12 arguments, the dictionary, then the quantised table.
    let file = lid_original();
    let model = tensors("lid.176");
    let input = model.f32_of("input", &[50_000, 16]).unwrap();
    // Ending with: centroids 16 x 256, norm codes, norm quantiser, 256 norms, flag, rows, columns, output.
    let output = file.len() - 4 * 176 * 16;
    let norms = output - 16 - 1 - 4 * 256;
    let norm_codes = norms - 16 - 50_000;
    let centroids = norm_codes - 4 * 16 * 256;
    let codes = centroids - 16 - 8 * 50_000;
    let float = |at: usize| f32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    for row in (0..50_000).step_by(997).chain([49_999]) {
        let norm = float(norms + 4 * usize::from(file[norm_codes + row]));
        for column in 0..16 {
            let part = column / 2;
            let code = usize::from(file[codes + 8 * row + part]);
            let value = float(centroids + 4 * ((part * 256 + code) * 2 + column % 2));
            assert_eq!(input[row * 16 + column], norm * value, "{row} {column}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Cut off anywhere, the real files are errors.
    #[test]
    fn truncated_originals_are_errors(cut in any::<prop::sample::Index>()) {
        let file = lid_original();
        prop_assert!(fasttext::convert(&file[..cut.index(file.len())]).is_err());
        let file = efficientnet_original();
        prop_assert!(torch_legacy::layouts(&file[..cut.index(file.len())]).is_err());
        // Most of the file is data; the structure is in its first 48 kB.
        prop_assert!(torch_legacy::layouts(&file[..cut.index(48_000)]).is_err());
    }

    /// With bytes changed they are errors or still bounded tables; never a panic.
    #[test]
    fn changed_originals_never_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut file = lid_original().to_vec();
        for (at, byte) in &flips {
            // Arguments and dictionary, where the counts are.
            file[at.index(600_000)] = *byte;
        }
        if let Ok(contents) = fasttext::convert(&file) {
            prop_assert!(contents.tensors.values().all(|t| t.data.len() < 64 << 20));
        }
        let mut file = efficientnet_original()[..48_000].to_vec();
        for (at, byte) in &flips {
            file[at.index(48_000)] = *byte;
        }
        prop_assert!(torch_legacy::layouts(&file).is_err());
    }
}
