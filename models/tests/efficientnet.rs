//! EfficientNet-Lite0 against the reference outputs in `tests/golden/efficientnet_lite0.json` (PyTorch,
//! f32, on the stored 224x224 crops).

use candle_core::Device;
use escala_models::Compute;
use escala_models::efficientnet::{CLASSES, EfficientNetLite, FEATURES, INPUT};
use escala_weights::{Silent, Store, StoreOptions};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/");

fn crop(path: &str) -> Vec<f32> {
    let image = image::open(format!("{GOLDEN}{path}"))
        .expect("crop")
        .into_rgb8();
    image
        .into_raw()
        .into_iter()
        .map(|x| (f32::from(x) - 127.0) / 128.0)
        .collect()
}

fn path() -> std::path::PathBuf {
    let store = Store::open(StoreOptions::default()).expect("store");
    store
        .ensure("efficientnet-lite0", &Silent)
        .expect("weights")
        .path("model.safetensors")
        .expect("path")
}

#[test]
fn logits_and_features_are_the_references() {
    let text = std::fs::read_to_string(format!("{GOLDEN}efficientnet_lite0.json")).expect("golden");
    let golden: serde_json::Value = serde_json::from_str(&text).expect("json");
    let items: Vec<_> = golden["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter(|item| item["input_png"].is_string())
        .collect();
    assert_eq!(items.len(), 3);
    let images: Vec<f32> = items
        .iter()
        .flat_map(|item| crop(item["input_png"].as_str().expect("path")))
        .collect();
    let fast = EfficientNetLite::load(&path(), &Device::Cpu).expect("fast");
    let plain = EfficientNetLite::reference(&path(), &Device::Cpu).expect("plain");
    let reference = plain.forward(&Compute::cpu(1), &images).expect("reference");
    // One member, whole images for each of two, an image left over for both, and rows split three ways.
    for threads in [1, 2, 3, 5] {
        let compute = Compute::cpu(threads);
        let all = fast.forward(&compute, &images).expect("predictions");
        // Sums of a thousand products in another order, through fifty layers: 1e-4 of values up to 15.
        let close = |a: &[f32], b: &[f32]| {
            a.iter()
                .zip(b)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max)
                < 2e-3
        };
        assert!(
            close(&all.logits, &reference.logits) && close(&all.features, &reference.features),
            "{threads}"
        );
        for (index, item) in items.iter().enumerate() {
            let logits = &all.logits[index * CLASSES..(index + 1) * CLASSES];
            let features = &all.features[index * FEATURES..(index + 1) * FEATURES];
            let list = |key: &str| -> Vec<f32> {
                serde_json::from_value(item[key].clone()).expect("numbers")
            };
            assert!(
                close(logits, &list("logits_first8")),
                "{threads} {:?}",
                &logits[..8]
            );
            assert!(
                close(features, &list("pooled1280_first8")),
                "{threads} {:?}",
                &features[..8]
            );
            let norm = features.iter().map(|x| x * x).sum::<f32>().sqrt();
            assert!((norm - item["pooled1280_norm"].as_f64().expect("norm") as f32).abs() < 1e-2);
            let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = logits.iter().map(|x| (x - most).exp()).sum();
            for best in item["top5"].as_array().expect("top5") {
                let class = best["idx"].as_u64().expect("class") as usize;
                let got = (logits[class] - most).exp() / sum;
                assert!(
                    (got - best["prob"].as_f64().expect("prob") as f32).abs() < 1e-3,
                    "{best} {got}"
                );
            }
            // The answer for an image does not depend on what shared its batch.
            let alone = fast
                .forward(&compute, &images[index * INPUT..(index + 1) * INPUT])
                .expect("alone");
            assert!(close(&alone.logits, logits));
        }
    }
}
